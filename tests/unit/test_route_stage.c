/* test_route_stage.c: the first route that matches takes a record; the rest goes to unmatched.
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

static void test_the_first_match_wins_and_the_rest_is_unmatched(void **state)
{
    static const char *const texts[] = {"{\"level\":\"error\",\"n\":9}", "{\"n\":9}", "{\"n\":1}", "{", "{\"level\":\"fatal\"}"};
    static const uint8_t ports[] = {0, 1, 2, 0, 0};
    const char *const *names = NULL;
    (void)state;
    stage_json_open(&json, &sl_op_route, "{ type: route, inputs: [x], routes: { errors: { level: [error, fatal] }, big: { n: { gt: 5 } } } }");
    assert_int_equal(sl_op_route.ports(json.config, &names), 3);
    assert_string_equal(names[0], "errors");
    assert_string_equal(names[1], "big");
    assert_string_equal(names[2], "unmatched");
    stage_json_batch(&json, texts, 5);
    stage_json_process(&json);
    assert_int_equal(json.bench.view.sel_count, 4); /* a route drops nothing */
    for (int i = 0; i < 5; i++)
        if (i != 3)
            assert_int_equal(json.bench.view.port[i], ports[i]);
    assert_int_equal(json.bench.counters[0], 1);
}

static void test_routes_that_cannot_be_are_refused(void **state)
{
    (void)state;
    assert_int_equal(config_check(&sl_op_route.head, "{ type: route, inputs: [x], routes: { unmatched: { a: b } } }", &json.err), -1);
    assert_non_null(strstr(json.err.text, "another name"));
    assert_int_equal(config_check(&sl_op_route.head, sl_op_route.head.example, &json.err), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_the_first_match_wins_and_the_rest_is_unmatched, setup, teardown),
        cmocka_unit_test_setup_teardown(test_routes_that_cannot_be_are_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
