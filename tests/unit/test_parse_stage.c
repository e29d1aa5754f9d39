/* test_parse_stage.c: roles, columns, plausible times, and what is set aside.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "operators/stages/stages.h"
#include "tests/support/stage_bench.h"
#include "tests/support/stage_config.h"

static struct bench bench;
static struct sl_err err;
static char self[4096];

static int setup(void **state)
{
    (void)state;
    bench_init(&bench);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sl_op_parse.close(self);
    config_fini();
    bench_fini(&bench);
    return 0;
}

/* settings: a YAML flow mapping; column: a further field that something behind it reads, or NULL. Returns its index. */
static int begin(const char *settings, const char *field)
{
    static const char *segments[1];
    struct sl_name name = {.kind = SL_NAME_PATH, .path = {segments, 1}};
    uint32_t columns[BENCH_COLUMNS];
    const void *config = config_of(&sl_op_parse.head, settings);
    int column = -1;

    assert_true(sl_op_parse.head.self_bytes <= sizeof(self));
    assert_int_equal(sl_op_parse.open(self, &bench.api, config, &bench.names, &err), 0);
    segments[0] = field;
    if (field != NULL)
        column = bench.names.column(&bench.names, &name, &err);
    for (uint32_t i = 0; i < bench.columns_count; i++)
        columns[i] = i;
    assert_int_equal(sl_op_parse.ready(self, columns, bench.columns_count, &bench.names, &err), 0);
    return column;
}

static void process(const char *const *texts, uint32_t count)
{
    bench_batch(&bench, texts, count);
    assert_int_equal(sl_op_parse.process(self, &bench.view, &err), 0);
    sl_view_compact(&bench.view);
}

static void test_roles_and_columns_come_from_the_payload(void **state)
{
    static const char *const texts[] = {
        "{\"ts\":\"2026-11-22T05:00:00.250Z\",\"service\":\"pay\",\"level\":\"WARNING\",\"trace_id\":\"t1\",\"user\":\"u\"}",
        "{\"level\":30,\"x\":{\"level\":\"error\"},\"ts\":\"2026-11-22T05:00:00.5Z\"}",
        "{\"ts\":\"2026-11-22T05:00:00Z\"}",
        "{\"ts\":1795323600750}",
    };
    int user = begin("{ type: parse, inputs: [x] }", "user");
    const struct sl_decoded *decoded;

    (void)state;
    bench.unix_ms = 1795323700000;
    process(texts, 4);
    decoded = bench.view.decoded;
    assert_int_equal(bench.view.sel_count, 4);
    assert_int_equal(decoded->time_unix_ms[0], 1795323600250);
    assert_int_equal(decoded->time_unix_ms[1], 1795323600500); /* by the second's cache */
    assert_int_equal(decoded->time_unix_ms[2], 1795323600000);
    assert_int_equal(decoded->time_unix_ms[3], 1795323600750);
    assert_true(sl_slice_is(sl_intern_name(decoded->service[0]), "pay"));
    assert_int_equal(decoded->service[1], SL_INTERN_NONE);
    assert_int_equal(decoded->level[0], SL_LEVEL_WARN);
    assert_int_equal(decoded->level[1], SL_LEVEL_INFO);
    assert_int_equal(decoded->level[2], SL_LEVEL_NONE);
    assert_true(sl_slice_is(decoded->columns[decoded->trace].value[0], "t1"));
    assert_int_equal(decoded->columns[decoded->trace].type[1], SL_T_ABSENT);
    assert_true(sl_slice_is(decoded->columns[user].value[0], "u"));
    assert_true(decoded->json);
    assert_int_equal(bench.counters[2], 3); /* without a service */
}

static bool is_threshold(struct sl_names *names, uint32_t column)
{
    return strcmp(names->path(names, column)->segments[0], "_t") == 0;
}

static void test_a_stamp_is_found_at_the_end_and_not_waited_for(void **state)
{
    static const char *const texts[] = {
        "{\"ts\":1,\"service\":\"a\",\"level\":30,\"trace_id\":\"t\",\"_t\":\"8\",\"_g\":3}",
        "{\"ts\":1,\"service\":\"a\",\"level\":30,\"trace_id\":\"t\",\"n\":1, broken}",
    };
    int stamp;

    (void)state;
    bench.names.is_appended = is_threshold;
    stamp = begin("{ type: parse, inputs: [x], validate: false }", "_t");
    process(texts, 2);
    assert_true(sl_slice_is(bench.view.decoded->columns[stamp].value[0], "8"));
    assert_int_equal(bench.view.decoded->columns[stamp].type[1], SL_T_ABSENT);
    assert_int_equal(bench.view.sel_count, 2); /* what follows the last field needed is not looked at */
}

static void test_times_near_each_other_in_text_are_not_mixed_up(void **state)
{
    static const char *const texts[] = {
        "{\"ts\":\"2026-11-22T05:00:00Z\"}",     "{\"ts\":\"2026-11-22T05:00:00.9999Z\"}",    "{\"ts\":\"2026-11-22T05:00:00+01:00\"}",
        "{\"ts\":\"2026-11-22T05:00:00.Z\"}",    "{\"ts\":\"2026-11-22T05:00:01.001Z\"}",     "{\"ts\":\"2026-11-22T05:00:00.2x0Z\"}",
        "{\"ts\":\"2026-11-22T05:00:00.250\"}",
    };
    static const int64_t base = 1795323600000;
    (void)state;
    (void)begin("{ type: parse, inputs: [x] }", NULL);
    bench.unix_ms = base + 777;
    process(texts, 7);
    assert_int_equal(bench.view.decoded->time_unix_ms[0], base);
    assert_int_equal(bench.view.decoded->time_unix_ms[1], base + 999);
    assert_int_equal(bench.view.decoded->time_unix_ms[2], base - 3600000);
    assert_int_equal(bench.view.decoded->time_unix_ms[3], base + 777); /* no time */
    assert_int_equal(bench.view.decoded->time_unix_ms[4], base + 1001);
    assert_int_equal(bench.view.decoded->time_unix_ms[5], base + 777);
    assert_int_equal(bench.view.decoded->time_unix_ms[6], base + 250);
    assert_int_equal(bench.counters[0], 2);
}

static void test_an_implausible_time_gives_way_to_the_append_time(void **state)
{
    static const char *const texts[] = {"{\"ts\":1795323600}", "{\"ts\":1795323599}", "{\"ts\":1795323670}", "{\"ts\":1795323671}", "{\"ts\":\"x\"}"};
    (void)state;
    (void)begin("{ type: parse, inputs: [x], max_age: 1m, max_future: 10s }", NULL);
    bench.unix_ms = 1795323660000;
    process(texts, 5);
    assert_int_equal(bench.view.decoded->time_unix_ms[0], 1795323600000);
    assert_int_equal(bench.view.decoded->time_unix_ms[1], 1795323660000);
    assert_int_equal(bench.view.decoded->time_unix_ms[2], 1795323670000);
    assert_int_equal(bench.view.decoded->time_unix_ms[3], 1795323660000);
    assert_int_equal(bench.view.decoded->time_unix_ms[4], 1795323660000);
    assert_int_equal(bench.counters[0], 1);
    assert_int_equal(bench.counters[1], 2);
}

static void test_what_is_no_json_is_set_aside_with_its_reason(void **state)
{
    static const char *const texts[] = {"{\"a\":1}", "", "{\"a\":", "{} {}", "[1,2]", "{\"a\":\"\xff\"}"};
    static const uint8_t fates[] = {SL_LIVE, SL_DEAD, SL_DEAD, SL_DEAD, SL_LIVE, SL_DEAD};
    (void)state;
    (void)begin("{ type: parse, inputs: [x] }", NULL);
    process(texts, 6);
    assert_memory_equal(bench.view.fate, fates, 6);
    assert_int_equal(bench.view.sel_count, 2);
    for (int i = 0; i < 6; i++)
        if (fates[i] == SL_DEAD)
            assert_non_null(sl_op_parse.head.reasons[bench.view.reason[i]]);
    assert_non_null(strstr(sl_op_parse.head.reasons[bench.view.reason[1]], "empty"));
    assert_non_null(strstr(sl_op_parse.head.reasons[bench.view.reason[5]], "UTF-8"));
}

static void test_text_is_one_field_whatever_its_bytes(void **state)
{
    static const char *const texts[] = {"plain \xff text", ""};
    int message = begin("{ type: parse, inputs: [x], format: text, record: { service: \"@topic\" } }", "message");
    (void)state;
    process(texts, 2);
    assert_int_equal(bench.view.sel_count, 2);
    assert_true(sl_slice_is(bench.view.decoded->columns[message].value[0], texts[0]));
    assert_int_equal(bench.view.decoded->columns[message].type[1], SL_T_STRING);
    assert_true(sl_slice_is(sl_intern_name(bench.view.decoded->service[0]), "topic-a"));
    assert_int_equal(bench.view.decoded->time_unix_ms[0], bench.unix_ms);
    assert_false(bench.view.decoded->json);
}

static bool is_whole(struct sl_names *names)
{
    (void)names;
    return true;
}

static void test_text_becomes_json_where_somebody_wants_whole_records(void **state)
{
    static const char *const texts[] = {"plain \xff \"text\"\t", ""};
    const struct sl_decoded *decoded;
    int message;

    (void)state;
    bench.names.is_whole = is_whole;
    message = begin("{ type: parse, inputs: [x], format: text, record: { service: \"@topic\" } }", "message");
    process(texts, 2);
    decoded = bench.view.decoded;
    assert_true(decoded->json);
    assert_true(sl_slice_is(decoded->body[0], "{\"message\":\"plain \xef\xbf\xbd \\\"text\\\"\\t\"}"));
    assert_true(sl_slice_is(decoded->columns[message].value[0], "plain \xef\xbf\xbd \"text\"\t"));
    assert_int_equal(decoded->columns[message].span[0].at, 11);
    assert_int_equal(decoded->columns[message].span[0].bytes, decoded->body[0].bytes - 12);
    assert_true(sl_slice_is(sl_view_text(&bench.view, 1), "{\"message\":\"\"}"));
    assert_true(sl_slice_is(bench.batch.raw[0], texts[0]));
}

static void test_roles_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    assert_int_equal(config_check(&sl_op_parse.head, "{ type: parse, inputs: [x], record: { trace: \"@key\" } }", &err), -1);
    assert_non_null(strstr(err.text, "record.trace"));
    assert_int_equal(config_check(&sl_op_parse.head, "{ type: parse, inputs: [x], record: { time: \"@topic\" } }", &err), -1);
    assert_int_equal(config_check(&sl_op_parse.head, sl_op_parse.head.example, &err), 0);
    memset(self, 0, sizeof(self));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_roles_and_columns_come_from_the_payload, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_stamp_is_found_at_the_end_and_not_waited_for, setup, teardown),
        cmocka_unit_test_setup_teardown(test_times_near_each_other_in_text_are_not_mixed_up, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_implausible_time_gives_way_to_the_append_time, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_no_json_is_set_aside_with_its_reason, setup, teardown),
        cmocka_unit_test_setup_teardown(test_text_is_one_field_whatever_its_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_text_becomes_json_where_somebody_wants_whole_records, setup, teardown),
        cmocka_unit_test_setup_teardown(test_roles_that_make_no_sense_are_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
