/* test_name.c: names of fields, and path templates built of them.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "runtime/config/name.h"
#include "runtime/config/pool.h"
#include "runtime/config/template.h"

static void name_is(const char *text, enum sl_name_kind kind, uint32_t segments, const char *first,
                    const char *print)
{
    struct sl_name name;
    char printed[100];

    assert_int_equal(sl_name_parse(text, &name, NULL), 0);
    assert_int_equal(name.kind, kind);
    if (kind == SL_NAME_PATH) {
        assert_int_equal(name.path.segments_count, segments);
        assert_string_equal(name.path.segments[0], first);
    }
    assert_int_equal(sl_name_print(&name, printed, sizeof(printed)), (int)strlen(print));
    assert_string_equal(printed, print);
    sl_name_fini(&name);
}

static void test_roles_come_first_and_a_dot_means_the_payload(void **state)
{
    (void)state;
    name_is("time", SL_NAME_TIME, 0, NULL, "time");
    name_is("level", SL_NAME_LEVEL, 0, NULL, "level");
    name_is(".level", SL_NAME_PATH, 1, "level", ".level");
    name_is(".any", SL_NAME_PATH, 1, "any", "any");
    name_is("user.email", SL_NAME_PATH, 2, "user", "user.email");
    name_is("user\\.email", SL_NAME_PATH, 1, "user.email", "user\\.email");
    name_is("a\\\\b", SL_NAME_PATH, 1, "a\\b", "a\\\\b");
    name_is("level.x", SL_NAME_PATH, 2, "level", "level.x");
    name_is(".@timestamp", SL_NAME_PATH, 1, "@timestamp", ".@timestamp");
    name_is("@topic", SL_NAME_TOPIC, 0, NULL, "@topic");
    name_is("@time", SL_NAME_APPEND_TIME, 0, NULL, "@time");
    name_is("@header:Trace-Id", SL_NAME_HEADER, 0, NULL, "@header:Trace-Id");
    name_is("a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p", SL_NAME_PATH, 16, "a",
            "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p");
}

static void test_wrong_names_are_refused(void **state)
{
    static const char *const wrong[] = {"",
                                        ".",
                                        "a..b",
                                        "a.",
                                        "..a",
                                        "a\\",
                                        "a\\b",
                                        "@tpoic",
                                        "@",
                                        "@header:",
                                        "a.b.c.d.e.f.g.h.i.j.k.l.m.n.o.p.q"};

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct sl_name name = {.kind = SL_NAME_KEY};
        struct sl_err err;
        assert_int_not_equal(sl_name_parse(wrong[i], &name, &err), 0);
        assert_int_equal(name.kind, SL_NAME_KEY);
        assert_non_null(strstr(err.text, ": "));
    }
}

static void value_is(const char *in, const char *expected)
{
    char out[SL_TEMPLATE_VALUE_BYTES];
    uint32_t bytes = sl_template_value(sl_slice_of(in), out);

    assert_int_equal(bytes, strlen(expected));
    assert_memory_equal(out, expected, bytes);
}

static void test_values_stay_inside_their_folder(void **state)
{
    char in[300], out[SL_TEMPLATE_VALUE_BYTES];

    (void)state;
    value_is("pay-api_1.2", "pay-api_1.2");
    value_is("", "__none__");
    value_is(".", "%2E");
    value_is("..", "%2E.");
    value_is(".sluice", "%2Esluice");
    value_is("a/b", "a%2Fb");
    value_is("../x", "%2E.%2Fx");
    value_is("caf\xc3\xa9", "caf%C3%A9");
    value_is("a%41", "a%2541");
    memset(in, 'a', 299);
    in[299] = '\0';
    assert_int_equal(sl_template_value(sl_slice_of(in), out), 128);
    for (int at = 0; at < 4; at++) { /* a cut never leaves half an escape */
        memset(in, 'a', 200);
        memset(in + 124 + at, '/', 10);
        uint32_t bytes = sl_template_value(sl_slice_of(in), out);
        assert_int_equal(bytes, 124 + at + (at <= 1 ? 3 : 0));
    }
}

static void test_templates_are_taken_apart(void **state)
{
    const struct sl_template *t = NULL;
    struct sl_pool pool;

    (void)state;
    sl_pool_init(&pool);
    assert_int_equal(
        sl_template_parse(&pool,
                          "service={service}/dt={day}/hour={hour}/{topic}-{partition}/{user.id}",
                          &t, NULL),
        0);
    assert_int_equal(t->count, 12);
    assert_int_equal(t->parts[0].kind, SL_PART_LITERAL);
    assert_string_equal(t->parts[0].text.data, "service=");
    assert_int_equal(t->parts[1].name.kind, SL_NAME_SERVICE);
    assert_int_equal(t->parts[3].kind, SL_PART_DAY);
    assert_int_equal(t->parts[5].kind, SL_PART_HOUR);
    assert_int_equal(t->parts[7].name.kind, SL_NAME_TOPIC);
    assert_int_equal(t->parts[9].kind, SL_PART_PARTITION);
    assert_int_equal(t->parts[11].name.kind, SL_NAME_PATH);
    sl_pool_fini(&pool);
}

static void test_wrong_templates_are_refused(void **state)
{
    static const char *const wrong[] = {"/abs",   "a//b",     "a/",        "../a", "a/../b",
                                        "a/./b",  "{service", "service}",  "{}",   "{a{b}}",
                                        "{@x}",   "{a/b}",    ".sluice/x", "a\\b", "a\tb",
                                        "{time}", "{class}",  "{a..b}"};
    const struct sl_template *t = NULL;
    char many[400] = "";
    struct sl_pool pool;
    struct sl_err err;

    (void)state;
    sl_pool_init(&pool);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_int_not_equal(sl_template_parse(&pool, wrong[i], &t, &err), 0);
        assert_non_null(strstr(err.text, ": "));
    }
    for (int i = 0; i < 40; i++)
        strcat(many, "{a}");
    assert_int_not_equal(sl_template_parse(&pool, many, &t, &err), 0);
    assert_null(t);
    assert_int_equal(sl_template_parse(&pool, "", &t, &err), 0);
    assert_int_equal(t->count, 0);
    sl_pool_fini(&pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_roles_come_first_and_a_dot_means_the_payload),
        cmocka_unit_test(test_wrong_names_are_refused),
        cmocka_unit_test(test_values_stay_inside_their_folder),
        cmocka_unit_test(test_templates_are_taken_apart),
        cmocka_unit_test(test_wrong_templates_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
