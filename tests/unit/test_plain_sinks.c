/* test_plain_sinks.c: stdout and blackhole: what they acknowledge, and when they take no more.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include "operators/sinks/sinks.h"
#include "tests/support/stage_bench.h"
#include "tests/support/stage_config.h"

static struct bench bench;
static struct sl_err err;
static _Alignas(16) char self[2048];
static uint64_t done_count;
static uint16_t done_last;

/* The engine's side, in place of slot.c. */
void sl_slot_done(struct sl_slot *slot, void *sink, const struct sl_ref *refs, uint32_t count, enum sl_outcome outcome,
                  const struct sl_err *why)
{
    (void)slot;
    (void)why;
    assert_ptr_equal(sink, self);
    assert_int_equal(outcome, SL_ACK);
    done_count += count;
    done_last = refs[count - 1].index;
}

static int setup(void **state)
{
    (void)state;
    bench_init(&bench);
    done_count = done_last = 0;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    config_fini();
    bench_fini(&bench);
    return 0;
}

static void submit(const struct sl_sink_kind *kind, const char *const *texts, uint32_t count, bool may_break)
{
    struct sl_parcel parcel;

    bench_batch(&bench, texts, count);
    bench.batch.may_break = may_break;
    parcel = bench_parcel(&bench);
    assert_int_equal(kind->submit(self, &parcel, &err), 0);
}

static uint64_t turn(const struct sl_sink_kind *kind)
{
    uint64_t wake_ns = UINT64_MAX;

    assert_int_equal(kind->turn(self, bench.now_ns, &wake_ns, &err), 0);
    return wake_ns;
}

/* fd 1 is a pipe while the sink writes; what cmocka prints goes out before and after. */
static int saved, pipe_out[2];

static void pipe_begin(void)
{
    (void)fflush(stdout);
    assert_int_equal(pipe2(pipe_out, O_NONBLOCK), 0);
    saved = dup(1);
    assert_true(saved >= 0 && dup2(pipe_out[1], 1) == 1);
    assert_int_equal(close(pipe_out[1]), 0);
}

static void pipe_end(void)
{
    assert_int_equal(dup2(saved, 1), 1);
    assert_int_equal(close(saved), 0);
    (void)close(pipe_out[0]);
}

static void test_stdout_writes_lines_and_acknowledges_them(void **state)
{
    static const char *const texts[] = {"one", "t\r\nwo", ""};
    char got[64] = "";
    (void)state;
    assert_int_equal(sl_sink_stdout.open(self, &bench.api, config_of(&sl_sink_stdout.head, sl_sink_stdout.head.example), &bench.names, NULL, &err), 0);
    pipe_begin();
    submit(&sl_sink_stdout, texts, 3, true);
    assert_int_equal(done_count, 0);
    assert_int_equal(sl_sink_stdout.drain(self), 0);
    (void)turn(&sl_sink_stdout);
    assert_true(read(pipe_out[0], got, sizeof(got) - 1) > 0);
    pipe_end();
    assert_string_equal(got, "one\nt  wo\n\n");
    assert_int_equal(done_count, 3);
    assert_int_equal(sl_sink_stdout.drain(self), 1);
    sl_sink_stdout.close(self);
}

static void test_a_slow_reader_of_stdout_stops_the_credit_and_loses_nothing(void **state)
{
    enum { COUNT = 4000 };
    static char line[301];
    static const char *texts[COUNT];
    char *got = malloc(1 << 16);
    uint64_t bytes = 0;
    ssize_t n;
    (void)state;
    memset(line, 'x', 300);
    for (int i = 0; i < COUNT; i++)
        texts[i] = line;
    assert_int_equal(sl_sink_stdout.open(self, &bench.api, config_of(&sl_sink_stdout.head, "{ type: stdout, inputs: [x] }"), &bench.names, NULL, &err), 0);
    pipe_begin();
    submit(&sl_sink_stdout, texts, COUNT, false);
    assert_int_equal(sl_sink_stdout.credit(self), 0);
    assert_true(turn(&sl_sink_stdout) < UINT64_MAX); /* the pipe is full: it comes again by itself */
    assert_true(done_count < COUNT);
    while (sl_sink_stdout.drain(self) == 0) {
        while ((n = read(pipe_out[0], got, 1 << 16)) > 0)
            bytes += (uint64_t)n;
        (void)turn(&sl_sink_stdout);
    }
    while ((n = read(pipe_out[0], got, 1 << 16)) > 0)
        bytes += (uint64_t)n;
    pipe_end();
    assert_int_equal(bytes, COUNT * 301);
    assert_int_equal(done_count, COUNT);
    assert_int_equal(done_last, COUNT - 1);
    assert_true(sl_sink_stdout.credit(self) > 0);
    sl_sink_stdout.close(self);
    free(got);
}

static void test_a_reader_that_has_gone_stops_the_topology(void **state)
{
    static const char *const texts[] = {"one"};
    uint64_t wake_ns = UINT64_MAX;
    int rc;
    (void)state;
    (void)signal(SIGPIPE, SIG_IGN); /* as main does */
    assert_int_equal(sl_sink_stdout.open(self, &bench.api, config_of(&sl_sink_stdout.head, "{ type: stdout, inputs: [x] }"), &bench.names, NULL, &err), 0);
    pipe_begin();
    assert_int_equal(close(pipe_out[0]), 0);
    submit(&sl_sink_stdout, texts, 1, false);
    rc = sl_sink_stdout.turn(self, bench.now_ns, &wake_ns, &err);
    pipe_out[0] = -1;
    pipe_end();
    assert_int_equal(rc, -SL_E_IO);
    assert_int_equal(err.remedy, SL_REMEDY_HALT);
    assert_int_equal(done_count, 0);
    sl_sink_stdout.close(self);
}

static void test_a_blackhole_takes_its_rate_and_acknowledges_after_its_delay(void **state)
{
    static const char *const texts[] = {"a", "b", "c", "d"};
    (void)state;
    assert_int_equal(sl_sink_blackhole.open(self, &bench.api, config_of(&sl_sink_blackhole.head, "{ type: blackhole, inputs: [x], rate: 4/s, delay: 10ms }"), &bench.names, NULL, &err), 0);
    assert_true(sl_sink_blackhole.credit(self) > 0);
    submit(&sl_sink_blackhole, texts, 4, false);
    assert_int_equal(sl_sink_blackhole.credit(self), 0);
    assert_int_equal(turn(&sl_sink_blackhole), 10000000);
    assert_int_equal(done_count, 0);
    bench.now_ns += 10000000;
    assert_int_equal(turn(&sl_sink_blackhole), 990000000);
    assert_int_equal(done_count, 4);
    assert_int_equal(sl_sink_blackhole.drain(self), 1);
    bench.now_ns += 989999999;
    assert_int_equal(sl_sink_blackhole.credit(self), 0);
    bench.now_ns += 1;
    assert_true(sl_sink_blackhole.credit(self) > 0);
    sl_sink_blackhole.close(self);
}

static void test_a_blackhole_without_settings_takes_all_at_once(void **state)
{
    static const char *const texts[] = {"a", "b"};
    (void)state;
    assert_int_equal(sl_sink_blackhole.open(self, &bench.api, config_of(&sl_sink_blackhole.head, "{ type: blackhole, inputs: [x] }"), &bench.names, NULL, &err), 0);
    submit(&sl_sink_blackhole, texts, 2, false);
    assert_true(sl_sink_blackhole.credit(self) > 0);
    assert_int_equal(turn(&sl_sink_blackhole), UINT64_MAX);
    assert_int_equal(done_count, 2);
    sl_sink_blackhole.close(self);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_stdout_writes_lines_and_acknowledges_them, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_slow_reader_of_stdout_stops_the_credit_and_loses_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_reader_that_has_gone_stops_the_topology, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_blackhole_takes_its_rate_and_acknowledges_after_its_delay, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_blackhole_without_settings_takes_all_at_once, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
