/* test_tap.c: taps on a running host: what a stage lets out and nothing else, bounded, and never before a redact operator.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "operators/registry.h"
#include "operators/sinks/sinks.h"
#include "operators/sources/sources.h"
#include "operators/stages/stages.h"
#include "runtime/cli/tap.h"
#include "runtime/config/topology.h"
#include "runtime/engine/host.h"

struct tap_rig {
    char dir[64], data_dir[96];
    struct sl_process_config process;
    struct sl_topology *topology;
    const struct sl_topology *topologies[1];
    struct sl_host *host;
    struct sl_control_stream *stream;
    struct sl_buf text, why;
};

/* redact, as far as a tap is concerned */
static struct sl_op_kind redact;
static const struct sl_source_kind *const sources[] = {&sl_source_generate, NULL};
static const struct sl_op_kind *const operators[] = {&sl_op_parse, &sl_op_filter, &redact, NULL};
static const struct sl_sink_kind *const sinks[] = {&sl_sink_blackhole, &sl_sink_files, NULL};
static const struct sl_registry registry = {sources, operators, sinks};

static const char yaml[] = "name: t\n"
                           "consumers: 2\n"
                           "sources:\n"
                           "  gen: { type: generate, rate: 20000/s, partitions: 2 }\n"
                           "operators:\n"
                           "  parsed: { type: parse, inputs: [gen], format: json }\n"
                           "  errors: { type: filter, inputs: [parsed], where: { level: error } }\n"
                           "  masked: { type: redact, inputs: [parsed], where: { level: warn } }\n"
                           "sinks:\n"
                           "  out: { type: blackhole, inputs: [errors] }\n"
                           "  safe: { type: blackhole, inputs: [masked] }\n";

static int mask(void *self, bool json, struct sl_slice text, struct sl_arena *arena, struct sl_slice *ret_text)
{
    (void)self, (void)json, (void)arena;
    *ret_text = text;
    return 1;
}

static void quiet(void *user, const char *topology, const struct sl_err *err, const char *what)
{
    (void)user, (void)topology, (void)err, (void)what;
}

static void ended(void *user)
{
    (void)user;
}

static int setup(void **state)
{
    struct tap_rig *rig = calloc(1, sizeof(*rig));
    struct sl_host_settings settings = {.topologies_count = 1, .log = quiet, .ended = ended};
    struct sl_diags diags;
    struct sl_err err = {.text = ""};
    char path[96];
    FILE *file;

    redact = sl_op_filter;
    redact.head.name = "redact";
    redact.mask = mask;
    (void)snprintf(rig->dir, sizeof(rig->dir), "/tmp/sl-tap-XXXXXX");
    assert_non_null(mkdtemp(rig->dir));
    (void)snprintf(path, sizeof(path), "%s/t.yaml", rig->dir);
    (void)snprintf(rig->data_dir, sizeof(rig->data_dir), "%s/data", rig->dir);
    file = fopen(path, "w");
    assert_true(file != NULL && fputs(yaml, file) >= 0 && fclose(file) == 0);
    sl_diags_init(&diags);
    if (sl_topology_load(path, &registry, NULL, &diags, &rig->topology) != 0)
        fail_msg("%s: %s", diags.items[0].text, diags.items[0].remedy);
    sl_diags_fini(&diags);
    rig->process = (struct sl_process_config){.data_dir = rig->data_dir, .node = "n", .workers = 2, .memory_bytes = 256 << 20,
                                              .max_record_bytes = 1 << 20,
                                              .spool = {.segment_bytes = 64 << 20, .hold_bytes = 1 << 30, .fsync = 2}};
    rig->topologies[0] = rig->topology;
    settings.process = &rig->process;
    settings.topologies = rig->topologies;
    rig->host = sl_host_open(&settings, &err);
    if (rig->host == NULL || sl_host_start(rig->host, &err) != 0)
        fail_msg("%s", err.text);
    *state = rig;
    return 0;
}

static int teardown(void **state)
{
    struct tap_rig *rig = *state;
    char command[128];

    if (rig->stream != NULL)
        rig->stream->close(rig->stream);
    sl_host_drain(rig->host); /* no job is left behind */
    while (!sl_host_idle(rig->host))
        (void)sched_yield();
    rig->host = sl_host_close(rig->host);
    rig->topology = sl_topology_free(rig->topology);
    sl_buf_fini(&rig->text);
    sl_buf_fini(&rig->why);
    (void)snprintf(command, sizeof(command), "rm -rf %s", rig->dir);
    assert_int_equal(system(command), 0);
    free(rig);
    return 0;
}

static void refused(struct tap_rig *rig, const char *path, const char *words)
{
    sl_buf_reset(&rig->why);
    assert_true(sl_tap_serve(rig->host, path, &rig->stream, &rig->why) < 0);
    assert_null(rig->stream);
    if (strstr(sl_buf_str(&rig->why), words) == NULL)
        fail_msg("%s", sl_buf_str(&rig->why));
}

/* Reads until there are so many lines with `mark`. */
static void lines(struct tap_rig *rig, const char *path, const char *mark, uint32_t count)
{
    char part[8192];

    sl_buf_reset(&rig->text);
    if (sl_tap_serve(rig->host, path, &rig->stream, &rig->why) != 0)
        fail_msg("%s", sl_buf_str(&rig->why));
    for (uint32_t found = 0; found < count;) {
        int64_t got = rig->stream->read(rig->stream, part, sizeof(part));
        assert_true(got >= 0);
        sl_buf_append(&rig->text, part, (size_t)got);
        found = 0;
        for (const char *at = sl_buf_str(&rig->text); (at = strstr(at, mark)) != NULL; at++)
            found++;
    }
    rig->stream->close(rig->stream);
    rig->stream = NULL;
}

static void test_a_filter_shows_what_it_lets_out(void **state)
{
    struct tap_rig *rig = *state;

    lines(rig, "t/errors/10000", "\"fate\":\"live\"", 50);
    assert_null(strstr(sl_buf_str(&rig->text), "\\\"level\\\":\\\"info\\\""));
    assert_non_null(strstr(sl_buf_str(&rig->text), "\\\"level\\\":\\\"error\\\""));
    lines(rig, "t/errors/10000", "\"partition\":\"0\"", 1); /* of both slots */
    lines(rig, "t/errors/10000", "\"partition\":\"1\"", 1);
}

static void test_a_sink_shows_what_it_took(void **state)
{
    struct tap_rig *rig = *state;

    lines(rig, "t/out", "\"fate\":\"delivered\"", 20);
    assert_null(strstr(sl_buf_str(&rig->text), "\\\"level\\\":\\\"info\\\""));
}

static void test_what_is_above_the_rate_is_counted(void **state)
{
    struct tap_rig *rig = *state;

    lines(rig, "t/safe/2", "\"tap\":{\"shown\":", 2);
    assert_null(strstr(sl_buf_str(&rig->text), "\"passed\":0,"));
}

static void test_nobody_sees_records_before_they_are_masked(void **state)
{
    struct tap_rig *rig = *state;

    refused(rig, "t/gen", "gen lies before masked, which redacts");
    refused(rig, "t/parsed", "tap masked or what is behind it");
    lines(rig, "t/masked", "\"fate\":\"live\"", 5);
    lines(rig, "t/safe", "\"fate\":\"delivered\"", 5);
}

static void test_what_is_not_there_is_refused_by_name(void **state)
{
    struct tap_rig *rig = *state;

    refused(rig, "t", "name a topology and a stage");
    refused(rig, "u/parsed", "no topology u runs here; there are: t");
    refused(rig, "t/erors", "did you mean errors?");
    refused(rig, "t/out/0", "not 1 to 10000");
    refused(rig, "t/out/1e9", "not 1 to 10000");
    refused(rig, "t/out/-1", "not 1 to 10000");
}

static void test_taps_come_and_go_while_records_flow(void **state)
{
    struct tap_rig *rig = *state;

    for (int i = 0; i < 50; i++) {
        struct sl_control_stream *one, *other;
        assert_int_equal(sl_tap_serve(rig->host, "t/errors", &one, &rig->why), 0);
        assert_int_equal(sl_tap_serve(rig->host, "t/errors", &other, &rig->why), 0);
        one->close(one);
        other->close(other);
    }
    lines(rig, "t/errors", "\"fate\":\"live\"", 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_filter_shows_what_it_lets_out, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_sink_shows_what_it_took, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_above_the_rate_is_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nobody_sees_records_before_they_are_masked, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_not_there_is_refused_by_name, setup, teardown),
        cmocka_unit_test_setup_teardown(test_taps_come_and_go_while_records_flow, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
