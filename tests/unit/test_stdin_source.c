/* test_stdin_source.c: standard input through the spool, from a pipe.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <unistd.h>

#include "operators/sources/sources.h"
#include "tests/support/fake_slot.c"
#include "tests/support/front_rig.h"

struct feeder {
    int fd;
    const char *data;
    size_t bytes;
};

static void *feed(void *user)
{
    const struct feeder *feeder = user;

    for (size_t at = 0; at < feeder->bytes;) {
        ssize_t n = write(feeder->fd, feeder->data + at, feeder->bytes - at);
        assert_true(n > 0);
        at += (size_t)n;
    }
    (void)close(feeder->fd);
    return NULL;
}

static int pipe_in(void)
{
    int ends[2];

    assert_int_equal(pipe(ends), 0);
    assert_int_equal(dup2(ends[0], STDIN_FILENO), STDIN_FILENO);
    (void)close(ends[0]);
    return ends[1];
}

static void rig_stdin(struct front_rig *rig, size_t queue_bytes)
{
    rig_init(rig, &sl_source_stdin);
    rig->spool = sl_spool_close(rig->spool);
    rig->settings.append_queue_bytes = queue_bytes;
    rig_spool_open(rig);
    rig_set_u64(rig, "partitions", 1);
    rig_open(rig);
}

static void test_all_lines_come_in_order_and_it_ends(void **state)
{
    enum { LINES = 200000 };
    struct front_rig rig;
    char *text = malloc(LINES * 16), *at = text;
    struct feeder feeder = {.fd = pipe_in(), .data = text};
    uint64_t seen = 0;
    uint32_t next = 0;
    pthread_t thread;
    (void)state;
    for (int i = 0; i < LINES; i++)
        at += sprintf(at, "line %d\n", i);
    feeder.bytes = (size_t)(at - text) - 1; /* the last has no newline */
    rig_stdin(&rig, 1 << 16);               /* the spool refuses most of the time */
    assert_int_equal(pthread_create(&thread, NULL, feed, &feeder), 0);
    while (!rig.kind->at_end(rig.self)) {
        if (rig_poll(&rig) == 0) {
            if (!rig.kind->at_end(rig.self))
                seen = fake_slot_wait(&rig.slot, seen);
            continue;
        }
        for (uint32_t i = 0; i < rig.batch.count; i++, next++) {
            char want[32];
            assert_int_equal(rig.batch.raw[i].bytes, sprintf(want, "line %u", next));
            assert_memory_equal(rig.batch.raw[i].data, want, rig.batch.raw[i].bytes);
        }
    }
    assert_int_equal(next, LINES);
    (void)pthread_join(thread, NULL);
    rig_close(&rig);
    rig_fini(&rig);
    free(text);
}

static void test_an_endless_line_is_cut_and_the_next_is_whole(void **state)
{
    enum { LONG = 3 << 20 };
    struct front_rig rig;
    char *text = malloc(LONG + 16);
    struct feeder feeder = {.fd = pipe_in(), .data = text, .bytes = LONG + 7};
    pthread_t thread;
    (void)state;
    memset(text, 'x', LONG);
    memcpy(text + LONG, "\nnext\n\n", 7);
    rig_stdin(&rig, 64 << 20);
    assert_int_equal(pthread_create(&thread, NULL, feed, &feeder), 0);
    rig_next(&rig);
    assert_int_equal(rig.batch.count, 1);
    assert_true(rig.batch.large && rig.batch.raw[0].bytes > rig.slot.api.max_record_bytes);
    rig_next(&rig);
    assert_true(sl_slice_is(rig.batch.raw[0], "next"));
    (void)pthread_join(thread, NULL);
    rig_close(&rig);
    rig_fini(&rig);
    free(text);
}

static void test_a_stop_keeps_what_was_read(void **state)
{
    struct front_rig rig;
    struct sl_spool_topic *topic;
    uint64_t first, end;
    int fd = pipe_in();
    (void)state;
    rig_stdin(&rig, 64 << 20);
    assert_int_equal(write(fd, "one\nhalf", 8), 8);
    rig_next(&rig); /* "one" is durable; "half" waits for its newline */
    assert_int_equal(rig.batch.count, 1);
    rig_close(&rig);
    assert_int_equal(sl_spool_topic(rig.spool, "t.s", 1, &topic, NULL), 0);
    sl_spool_bounds(topic, 0, &first, &end);
    assert_int_equal(end, 2);
    (void)close(fd);
    rig_fini(&rig);
}

static void test_only_one_source_reads_standard_input(void **state)
{
    struct front_rig rig;
    struct sl_err err;
    void *second;
    int fd = pipe_in();
    (void)state;
    rig_stdin(&rig, 64 << 20);
    assert_int_equal(rig.kind->head.share(&rig.slot.api, rig.config, &second, &err), -SL_E_CONFIG);
    assert_non_null(strstr(err.text, "only one can"));
    (void)close(fd);
    rig_close(&rig);
    rig_fini(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_lines_come_in_order_and_it_ends),
        cmocka_unit_test(test_an_endless_line_is_cut_and_the_next_is_whole),
        cmocka_unit_test(test_a_stop_keeps_what_was_read),
        cmocka_unit_test(test_only_one_source_reads_standard_input),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
