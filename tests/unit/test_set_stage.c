/* test_set_stage.c: set, remove and rename: what records become, and that they stay JSON.
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

static const char *body(uint16_t row)
{
    static char text[4][512];
    static int next;
    struct sl_slice slice = sl_view_text(&json.bench.view, row);
    char *to = text[next++ % 4];

    (void)snprintf(to, sizeof(text[0]), "%.*s", (int)slice.bytes, slice.data);
    return to;
}

struct change {
    const char *from, *to;
};

static void changes(const struct sl_op_kind *kind, const char *settings, const struct change *rows, uint32_t count)
{
    const char *texts[64];

    stage_json_open(&json, kind, settings);
    for (uint32_t i = 0; i < count; i++)
        texts[i] = rows[i].from;
    stage_json_batch(&json, texts, count);
    stage_json_process(&json);
    assert_int_equal(json.bench.view.sel_count, count);
    for (uint32_t i = 0; i < count; i++)
        assert_string_equal(body((uint16_t)i), rows[i].to);
}

#define CHANGES(kind, settings, rows) changes(kind, settings, rows, sizeof(rows) / sizeof(rows[0]))

static void test_remove_takes_every_occurrence_and_its_comma(void **state)
{
    static const struct change rows[] = {
        {"{\"a\":1}", "{}"},
        {"{\"a\":1,\"b\":2}", "{\"b\":2}"},
        {"{\"b\":2,\"a\":1}", "{\"b\":2}"},
        {"{ \"b\" : 2 , \"a\" : 1 }", "{ \"b\" : 2  }"},
        {"{ \"a\" : 1 , \"b\" : 2 }", "{  \"b\" : 2 }"},
        {"{\"a\":1,\"a\":2,\"b\":3,\"a\":4}", "{\"b\":3}"},
        {"{\"a\":1,\"a\":2}", "{}"},
        {"{\"b\":3,\"a\":1,\"a\":2}", "{\"b\":3}"},
        {"{\"\\u0061\":1,\"b\":2}", "{\"b\":2}"},
        {"{\"x\":{\"y\":{\"z\":1}}}", "{\"x\":{\"y\":{}}}"},
        {"{\"x\":{\"y\":{\"z\":[1,{\"z\":2}],\"q\":1}},\"x\":{\"y\":{\"q\":1,\"z\":null}}}", "{\"x\":{\"y\":{\"q\":1}},\"x\":{\"y\":{\"q\":1}}}"},
        {"{\"x\":[{\"y\":{\"z\":1}}],\"b\":1}", "{\"x\":[{\"y\":{\"z\":1}}],\"b\":1}"},
        {"{\"a\":{\"b\":[]},\"x\":{\"y\":7}}", "{\"x\":{\"y\":7}}"},
        {"{}", "{}"},
        {"[1,2]", "[1,2]"},
        {"\"a\"", "\"a\""},
    };
    (void)state;
    CHANGES(&sl_op_remove, "{ type: remove, inputs: [x], fields: [a, x.y.z] }", rows);
    assert_int_equal(json.bench.counters[1], 2); /* no objects */
}

static void test_set_replaces_adds_and_makes_parents(void **state)
{
    static const struct change rows[] = {
        {"{}", "{\"a\":1,\"x\":{\"y\":{\"z\":\"q\\\"\",\"w\":null}}}"},
        {"{ }", "{ \"a\":1,\"x\":{\"y\":{\"z\":\"q\\\"\",\"w\":null}}}"},
        {"{\"a\":0,\"x\":{\"y\":{\"z\":0,\"w\":0}}}", "{\"a\":1,\"x\":{\"y\":{\"z\":\"q\\\"\",\"w\":null}}}"},
        {"{\"b\":0,\"x\":{\"y\":{}}}", "{\"b\":0,\"x\":{\"y\":{\"z\":\"q\\\"\",\"w\":null}},\"a\":1}"},
        {"{\"x\":{\"k\":[]},\"a\":{}}", "{\"x\":{\"k\":[],\"y\":{\"z\":\"q\\\"\",\"w\":null}},\"a\":1}"},
        {"{\"x\":5,\"a\":1}", "{\"x\":{\"y\":{\"z\":\"q\\\"\",\"w\":null}},\"a\":1}"},
        {"{\"x\":{\"y\":[1]},\"a\":1}", "{\"x\":{\"y\":{\"z\":\"q\\\"\",\"w\":null}},\"a\":1}"},
        {"{\"a\":2,\"a\":3,\"x\":{\"y\":{\"w\":1,\"z\":1,\"w\":2}}}", "{\"a\":1,\"x\":{\"y\":{\"w\":null,\"z\":\"q\\\"\"}}}"},
        {"{\"x\":{\"y\":{\"w\":1}},\"a\":1,\"x\":{\"y\":{\"z\":1,\"w\":2}}}", "{\"x\":{\"y\":{\"w\":null}},\"a\":1,\"x\":{\"y\":{\"z\":\"q\\\"\"}}}"},
    };
    (void)state;
    CHANGES(&sl_op_set, "{ type: set, inputs: [x], fields: { a: 1, x.y.z: 'q\"', .x.y.w: null } }", rows);
    assert_int_equal(json.bench.counters[2], 2); /* parents replaced */
}

static void test_values_keep_their_types(void **state)
{
    static const struct change rows[] = {
        {"{}", "{\"n\":-1.5e3,\"t\":true,\"s\":\"true\",\"l\":[1,\"007\",{\"k\":null}],\"e\":\"\",\"zip\":\"01234\"}"},
    };
    (void)state;
    CHANGES(&sl_op_set, "{ type: set, inputs: [x], fields: { n: -1.5e3, t: true, s: \"true\", l: [1, 007, { k: ~ }], e: \"\", zip: 01234 } }", rows);
}

static void test_if_missing_leaves_what_is_there(void **state)
{
    static const struct change rows[] = {
        {"{\"a\":null}", "{\"a\":null,\"x\":{\"y\":2}}"},
        {"{\"x\":5}", "{\"x\":5,\"a\":1}"},
        {"{\"x\":{\"y\":0},\"a\":0}", "{\"x\":{\"y\":0},\"a\":0}"},
    };
    (void)state;
    CHANGES(&sl_op_set, "{ type: set, inputs: [x], if_missing: true, fields: { a: 1, x.y: 2 } }", rows);
    assert_int_equal(json.bench.counters[0], 2);
    assert_int_equal(json.bench.counters[2], 1);
}

static void test_templates_copy_what_is_known(void **state)
{
    static const struct change rows[] = {
        {"{\"ts\":1795322095.5,\"service\":\"pay\\\"s\",\"level\":\"WARNING\",\"host\":\"h1\",\"o\":{\"k\":[1, 2]},\"n\":12}",
         "{\"ts\":1795322095.5,\"service\":\"pay\\\"s\",\"level\":\"WARNING\",\"host\":\"h1\",\"o\":{\"k\":[1, 2]},\"n\":12,"
         "\"where\":\"pay\\\"s-h1{12}\",\"o2\":{\"k\":[1, 2]},\"n2\":12,\"l\":\"warn\",\"l2\":\"WARNING\",\"at\":\"2026-11-22T04:34:55.500Z\",\"t\":\"topic-a\"}"},
        {"{\"host\":\"h2\",\"n\":1}", "{\"host\":\"h2\",\"n\":1,\"n2\":1,\"at\":\"2026-11-22T04:34:56.000Z\",\"t\":\"topic-a\"}"},
    };
    (void)state;
    CHANGES(&sl_op_set, "{ type: set, inputs: [x], fields: { where: \"{service}-{host}{{{n}}}\", o2: \"{o}\", n2: \"{n}\", l: \"{level}\", l2: \"{.level}\", at: \"{time}\", t: \"{@topic}\" } }",
            rows);
    assert_int_equal(json.bench.counters[3], 4); /* without a value */
}

static void test_a_role_that_is_set_is_seen_behind(void **state)
{
    static const char *const texts[] = {"{\"service\":\"a\",\"level\":\"info\"}"};
    struct sl_slice name;
    (void)state;
    stage_json_open(&json, &sl_op_set, "{ type: set, inputs: [x], fields: { service: shop, level: fatal, ts: 1795322000 } }");
    stage_json_batch(&json, texts, 1);
    stage_json_process(&json);
    name = sl_intern_name(json.bench.view.decoded->service[0]);
    assert_true(sl_slice_is(name, "shop"));
    assert_int_equal(json.bench.view.decoded->level[0], SL_LEVEL_FATAL);
    assert_int_equal(json.bench.view.decoded->time_unix_ms[0], 1795322000000);
}

static void test_rename_keeps_the_place_or_moves(void **state)
{
    static const struct change rows[] = {
        {"{\"msg\":\"hi\",\"b\":1}", "{\"message\":\"hi\",\"b\":1}"},
        {"{\"m\\u0073g\" : [1] }", "{\"message\" : [1] }"},
        {"{\"msg\":1,\"message\":2,\"b\":1}", "{\"message\":1,\"b\":1}"},
        {"{\"message\":2,\"msg\":1}", "{\"message\":1}"},
        {"{\"msg\":1,\"b\":0,\"msg\":2}", "{\"message\":1,\"b\":0}"},
        {"{\"host\":\"h\",\"b\":1}", "{\"b\":1,\"server\":{\"name\":\"h\"}}"},
        {"{\"server\":{\"name\":\"old\",\"p\":1},\"host\":\"h\"}", "{\"server\":{\"name\":\"h\",\"p\":1}}"},
        {"{\"server\":7,\"host\":{\"x\":1}}", "{\"server\":{\"name\":{\"x\":1}}}"},
        {"{\"message\":1}", "{\"message\":1}"},
        {"{\"d\":{\"k\":1,\"j\":2}}", "{\"d\":{\"K\":1,\"j\":2}}"},
        {"{\"d\":{\"j\":2},\"d\":{\"k\":1}}", "{\"d\":{\"j\":2},\"d\":{\"K\":1}}"},
    };
    (void)state;
    CHANGES(&sl_op_rename, "{ type: rename, inputs: [x], fields: { msg: message, host: server.name, d.k: d.K } }", rows);
}

static void test_settings_that_make_no_sense_are_refused(void **state)
{
    static const struct {
        const struct sl_op_kind *kind;
        const char *settings, *says;
    } wrong[] = {
        {&sl_op_remove, "{ type: remove, inputs: [x], fields: [] }", "fields: there is nothing to remove"},
        {&sl_op_remove, "{ type: remove, inputs: [x], fields: [a, a.b] }", "fields: a and a.b are one field, or one lies in the other"},
        {&sl_op_remove, "{ type: remove, inputs: [x], fields: [\"@key\"] }", "fields: @key is known before parsing"},
        {&sl_op_set, "{ type: set, inputs: [x], fields: { level: a, .level: b } }", "fields: level and .level are one field"},
        {&sl_op_set, "{ type: set, inputs: [x], fields: { a: \"{b\" } }", "fields: a: a { without its }"},
        {&sl_op_set, "{ type: set, inputs: [x], fields: { a: \"b}\" } }", "fields: a: a } without its {"},
        {&sl_op_set, "{ type: set, inputs: [x], fields: { a: \"{@nothing}\" } }", "fields: a: "},
        {&sl_op_rename, "{ type: rename, inputs: [x], fields: { a: a } }", "fields: a and a are one field"},
        {&sl_op_rename, "{ type: rename, inputs: [x], fields: { a: b, b: c } }", "fields: b and b are one field"},
        {&sl_op_rename, "{ type: rename, inputs: [x], fields: { a: a.b } }", "fields: a and a.b are one field, or one lies in the other"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_true(config_check(&wrong[i].kind->head, wrong[i].settings, &json.err) < 0);
        if (strstr(json.err.text, wrong[i].says) == NULL)
            fail_msg("%s: %s", wrong[i].settings, json.err.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_remove_takes_every_occurrence_and_its_comma, setup, teardown),
        cmocka_unit_test_setup_teardown(test_set_replaces_adds_and_makes_parents, setup, teardown),
        cmocka_unit_test_setup_teardown(test_values_keep_their_types, setup, teardown),
        cmocka_unit_test_setup_teardown(test_if_missing_leaves_what_is_there, setup, teardown),
        cmocka_unit_test_setup_teardown(test_templates_copy_what_is_known, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_role_that_is_set_is_seen_behind, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rename_keeps_the_place_or_moves, setup, teardown),
        cmocka_unit_test_setup_teardown(test_settings_that_make_no_sense_are_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
