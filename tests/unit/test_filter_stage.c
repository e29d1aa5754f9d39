/* test_filter_stage.c: what a filter keeps and drops.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

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

static const char *const texts[] = {"{\"level\":\"debug\",\"n\":1}", "{\"level\":\"info\",\"n\":2}", "{\"n\":3}", "not json"};

static void test_drop_where_drops_what_matches(void **state)
{
    static const uint8_t fates[] = {SL_FILTERED, SL_LIVE, SL_LIVE, SL_DEAD};
    (void)state;
    stage_json_open(&json, &sl_op_filter, "{ type: filter, inputs: [x], drop_where: { level: [debug, trace] } }");
    stage_json_batch(&json, texts, 4);
    stage_json_process(&json);
    assert_memory_equal(json.bench.view.fate, fates, 4);
    assert_int_equal(json.bench.view.sel_count, 2);
    assert_int_equal(json.bench.counters[0], 1);
}

static void test_where_keeps_what_matches(void **state)
{
    static const uint8_t fates[] = {SL_FILTERED, SL_LIVE, SL_LIVE, SL_DEAD};
    (void)state;
    stage_json_open(&json, &sl_op_filter, "{ type: filter, inputs: [x], where: { n: { gte: 2 } } }");
    stage_json_batch(&json, texts, 4);
    stage_json_process(&json);
    assert_memory_equal(json.bench.view.fate, fates, 4);
    stage_json_batch(&json, texts, 0); /* an empty batch is legal */
    stage_json_process(&json);
    assert_int_equal(json.bench.view.sel_count, 0);
}

static void test_a_filter_has_exactly_one_condition(void **state)
{
    (void)state;
    assert_int_equal(config_check(&sl_op_filter.head, "{ type: filter, inputs: [x] }", &json.err), -1);
    assert_int_equal(config_check(&sl_op_filter.head, "{ type: filter, inputs: [x], where: { a: b }, drop_where: { c: d } }", &json.err), -1);
    assert_int_equal(config_check(&sl_op_filter.head, sl_op_filter.head.example, &json.err), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_drop_where_drops_what_matches, setup, teardown),
        cmocka_unit_test_setup_teardown(test_where_keeps_what_matches, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_filter_has_exactly_one_condition, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
