/* test_sample_stage.c: shares, whole traces, chains of samplers, and the stamp.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "sampling/consistent.h"
#include "tests/support/stage_json.h"

static struct stage_json json;

static int setup(void **state)
{
    (void)state;
    stage_json_init(&json);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    stage_json_fini(&json);
    return 0;
}

static const char *body(uint16_t row)
{
    static char text[512];
    uint32_t cursor = 0;
    struct sl_slice slice = sl_view_body(&json.bench.view, row, &cursor);

    (void)snprintf(text, sizeof(text), "%.*s", (int)slice.bytes, slice.data);
    return text;
}

/* R of these trace ids is their last 14 digits: the first is far above T of 10 %, the second far below. */
#define HIGH "4bf92f3577b34da6a3ffffffffffff00"
#define LOW "4bf92f3577b34da6a300100000000001"

static void test_traces_live_or_die_as_a_whole_and_are_stamped(void **state)
{
    static const char *const texts[] = {"{\"trace_id\":\"" HIGH "\",\"n\":1}", "{\"trace_id\":\"" LOW "\"}", " {\"trace_id\":\"" HIGH "\" } ",
                                        "{\"trace_id\":\"" LOW "\",\"n\":2}"};
    static const uint8_t fates[] = {SL_LIVE, SL_SAMPLED, SL_LIVE, SL_SAMPLED};
    char want[256];
    (void)state;
    stage_json_open(&json, &sl_op_sample, "{ type: sample, inputs: [x], share: 10% }");
    stage_json_batch(&json, texts, 4);
    stage_json_process(&json);
    assert_memory_equal(json.bench.view.fate, fates, 4);
    (void)snprintf(want, sizeof(want), "{\"trace_id\":\"" HIGH "\",\"n\":1,\"_w\":10,\"_t\":\"e6666666666666\",\"_r\":\"ffffffffffff00\",\"_g\":%u}",
                   sl_group_of_bytes(HIGH, 32));
    assert_string_equal(body(0), want);
    (void)snprintf(want, sizeof(want), " {\"trace_id\":\"" HIGH "\" ,\"_w\":10,\"_t\":\"e6666666666666\",\"_r\":\"ffffffffffff00\",\"_g\":%u} ",
                   sl_group_of_bytes(HIGH, 32));
    assert_string_equal(body(2), want);
    assert_int_equal(json.bench.view.randomness[0], 0xffffffffffff00);
    assert_int_equal(json.bench.view.threshold[0], sl_threshold_of_share(0.1));
    assert_int_equal(json.bench.counters[0], 2);
    assert_int_equal(json.bench.counters[1], 2);
}

/* 00…01, 00…02, …: hashed, or all of them would be left out. */
static void test_ids_that_are_counted_up_are_hashed(void **state)
{
    enum { IDS = 2000 };
    static char texts[IDS][64];
    static const char *rows[IDS];
    (void)state;
    for (int i = 0; i < IDS; i++) {
        (void)snprintf(texts[i], sizeof(texts[i]), "{\"trace_id\":\"%032x\"}", (unsigned)i);
        rows[i] = texts[i];
    }
    stage_json_open(&json, &sl_op_sample, "{ type: sample, inputs: [x], share: 10% }");
    stage_json_batch(&json, rows, IDS);
    stage_json_process(&json);
    assert_in_range(json.bench.view.sel_count, 150, 250); /* 200 +- 3.7 sigma */
}

static void test_values_that_are_no_objects_stay_as_they_are(void **state)
{
    static const char *const texts[] = {"{}", "[1]", "5", "{ }"};
    (void)state;
    stage_json_open(&json, &sl_op_sample, "{ type: sample, inputs: [x], share: 100% }");
    stage_json_batch(&json, texts, 4);
    stage_json_process(&json);
    assert_memory_equal(body(0), "{\"_w\":1,\"_t\":\"0\",\"_r\":\"", 23);
    assert_string_equal(body(1), "[1]");
    assert_string_equal(body(2), "5");
    assert_memory_equal(body(3), "{ \"_w\":1,", 9);
    assert_int_equal(json.bench.counters[3], 4); /* by origin */
    assert_int_equal(json.bench.counters[4], 2);
}

static void test_an_earlier_stamp_composes_and_is_replaced(void **state)
{
    /* _r says more than the trace id; T of 50 % came in */
    static const char *const texts[] = {
        "{\"_w\":2,\"_t\":\"8\",\"trace_id\":\"" LOW "\",\"_r\":\"fffffffffffff0\",\"_g\":1,\"z\":0}",
        "{\"_t\":\"f\",\"trace_id\":\"" HIGH "\"}",
    };
    char want[256];
    (void)state;
    stage_json_open(&json, &sl_op_sample, "{ type: sample, inputs: [x], share: 10% }");
    stage_json_batch(&json, texts, 2);
    stage_json_process(&json);
    assert_int_equal(json.bench.view.sel_count, 2);
    (void)snprintf(want, sizeof(want), "{\"_w\":10,\"_t\":\"e6666666666666\",\"trace_id\":\"" LOW "\",\"_r\":\"fffffffffffff0\",\"_g\":%u,\"z\":0}",
                   sl_group_of_bytes(LOW, 32));
    assert_string_equal(body(0), want);
    (void)snprintf(want, sizeof(want), "{\"_t\":\"f\",\"trace_id\":\"" HIGH "\",\"_w\":16,\"_r\":\"ffffffffffff00\",\"_g\":%u}",
                   sl_group_of_bytes(HIGH, 32));
    assert_string_equal(body(1), want); /* T only rises */
}

static void test_two_samplers_of_one_topology_stamp_once(void **state)
{
    static const char *const texts[] = {"{\"trace_id\":\"" HIGH "\"}", "{}"};
    _Alignas(16) char second[4096];
    char want[256];
    const void *config;
    (void)state;
    stage_json_open(&json, &sl_op_sample, "{ type: sample, inputs: [x], share: 100% }");
    config = config_of(&sl_op_sample.head, "{ type: sample, inputs: [x], share: 10%, keep_where: { trace_id: { exists: false } } }");
    assert_int_equal(sl_op_sample.open(second, &json.bench.api, config, &json.bench.names, &json.err), 0);
    stage_json_batch(&json, texts, 2);
    stage_json_process(&json);
    assert_int_equal(sl_op_sample.process(second, &json.bench.view, &json.err), 0);
    (void)snprintf(want, sizeof(want), "{\"trace_id\":\"" HIGH "\",\"_w\":10,\"_t\":\"e6666666666666\",\"_r\":\"ffffffffffff00\",\"_g\":%u}",
                   sl_group_of_bytes(HIGH, 32));
    assert_string_equal(body(0), want);
    assert_memory_equal(body(1), "{\"_w\":1,\"_t\":\"0\",\"_r\":\"", 23); /* kept whatever its R */
    sl_op_sample.close(second);
}

static void test_keep_where_keeps_with_the_weight_it_came_with(void **state)
{
    static const char *const texts[] = {"{\"level\":\"error\",\"trace_id\":\"" LOW "\"}", "{\"level\":\"error\",\"trace_id\":\"" LOW "\",\"_t\":\"8\"}"};
    (void)state;
    stage_json_open(&json, &sl_op_sample, "{ type: sample, inputs: [x], share: 10%, keep_where: { level: error } }");
    stage_json_batch(&json, texts, 2);
    stage_json_process(&json);
    assert_int_equal(json.bench.view.sel_count, 2);
    assert_non_null(strstr(body(0), "\"_w\":1,\"_t\":\"0\""));
    assert_non_null(strstr(body(1), "\"_t\":\"8\",\"_w\":2,"));
    assert_int_equal(json.bench.counters[2], 2);
}

static void test_without_a_trace_the_origin_decides_alike_everywhere(void **state)
{
    enum { COUNT = 4000 };
    static const char *texts[COUNT];
    static uint8_t first[COUNT];
    uint32_t kept;
    (void)state;
    for (int i = 0; i < COUNT; i++)
        texts[i] = "{\"n\":1}";
    stage_json_open(&json, &sl_op_sample, "{ type: sample, inputs: [x], share: 25%, stamp: false, incoming: false }");
    stage_json_batch(&json, texts, COUNT);
    stage_json_process(&json);
    kept = json.bench.view.sel_count;
    assert_true(kept > 1000 - 110 && kept < 1000 + 110); /* 4 sigma */
    assert_int_equal(json.bench.view.edits_count, 0);
    memcpy(first, json.bench.view.fate, COUNT);
    json.bench.partition.next = 0; /* read again, under another topology's name of the source */
    json.bench.partition.source = "other";
    stage_json_batch(&json, texts, COUNT);
    stage_json_process(&json);
    assert_memory_equal(first, json.bench.view.fate, COUNT);
    json.bench.partition.next = 0;
    json.bench.partition.incarnation = 1;
    stage_json_batch(&json, texts, COUNT);
    stage_json_process(&json);
    assert_memory_not_equal(first, json.bench.view.fate, COUNT);
}

static void test_shares_and_names_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    assert_int_equal(config_check(&sl_op_sample.head, "{ type: sample, inputs: [x], share: 0% }", &json.err), -1);
    assert_int_equal(config_check(&sl_op_sample.head, "{ type: sample, inputs: [x], share: 1%, consistent: level }", &json.err), -1);
    assert_int_equal(config_check(&sl_op_sample.head, sl_op_sample.head.example, &json.err), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_traces_live_or_die_as_a_whole_and_are_stamped, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ids_that_are_counted_up_are_hashed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_values_that_are_no_objects_stay_as_they_are, setup, teardown),
        cmocka_unit_test_setup_teardown(test_an_earlier_stamp_composes_and_is_replaced, setup, teardown),
        cmocka_unit_test_setup_teardown(test_two_samplers_of_one_topology_stamp_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_keep_where_keeps_with_the_weight_it_came_with, setup, teardown),
        cmocka_unit_test_setup_teardown(test_without_a_trace_the_origin_decides_alike_everywhere, setup, teardown),
        cmocka_unit_test_setup_teardown(test_shares_and_names_that_make_no_sense_are_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
