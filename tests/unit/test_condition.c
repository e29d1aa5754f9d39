/* test_condition.c: conditions as parsed: levels become masks, times instants, and what is wrong is
 * said with its place.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "runtime/config/condition.h"
#include "runtime/config/glob.h"
#include "runtime/config/pool.h"
#include "runtime/config/yaml.h"

static struct sl_pool pool;
static struct sl_diags diags;

static int setup(void **state)
{
    (void)state;
    sl_pool_init(&pool);
    sl_diags_init(&diags);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sl_diags_fini(&diags);
    sl_pool_fini(&pool);
    return 0;
}

static const struct sl_cond *parse(const char *text)
{
    const struct sl_yaml *root = sl_yaml_parse(&pool, "t", text, strlen(text), &diags);

    return root == NULL ? NULL : sl_cond_parse(&pool, root, "t", "where", &diags);
}

/* "LINE:COLUMN TEXT" of the first problem. */
static void refused(const char *text, const char *expected)
{
    char found[600];

    sl_diags_fini(&diags);
    assert_null(parse(text));
    assert_true(diags.count >= 1);
    (void)snprintf(found, sizeof(found), "%u:%u %s", diags.items[0].line, diags.items[0].column,
                   diags.items[0].text);
    assert_string_equal(found, expected);
    assert_true(strlen(diags.items[0].remedy) > 0);
}

static void test_levels_become_masks(void **state)
{
    const struct sl_cond *cond = parse("{ level: { gte: warn } }");

    (void)state;
    assert_int_equal(cond->kind, SL_COND_ALL);
    assert_int_equal(cond->items[0]->items[0]->levels,
                     1 << SL_LEVEL_WARN | 1 << SL_LEVEL_ERROR | 1 << SL_LEVEL_FATAL);
    cond = parse("{ level: [Err, 30, 7] }");
    assert_int_equal(cond->items[0]->levels,
                     1 << SL_LEVEL_ERROR | 1 << SL_LEVEL_INFO | 1 << SL_LEVEL_DEBUG);
    cond = parse("{ .level: weird }");
    assert_int_equal(cond->items[0]->name.kind, SL_NAME_PATH);
}

static void test_quotes_make_text_of_a_number(void **state)
{
    (void)state;
    assert_true(parse("{ a: 5 }")->items[0]->operands[0].number.is);
    assert_false(parse("{ a: \"5\" }")->items[0]->operands[0].number.is);
    assert_false(parse("{ a: 05 }")->items[0]->operands[0].number.is);
}

static void test_times_are_instants(void **state)
{
    static const char *const wrong[] = {"",
                                        "now",
                                        "now-1h",
                                        "2026-11-22",
                                        "2026-13-01T00:00:00Z",
                                        "2026-02-29T00:00:00Z",
                                        "2026-11-22T24:00:00Z",
                                        "2026-11-22T00:00:00",
                                        "2026-11-22T00:00:00.0001Z",
                                        "2026-11-22T00:00:00Zx",
                                        "2026-11-22T00:00:00+25:00",
                                        "1795305600"};
    int64_t ms = 0;

    (void)state;
    assert_int_equal(sl_cond_time("1970-01-01T00:00:00Z", &ms), 0);
    assert_int_equal(ms, 0);
    assert_int_equal(sl_cond_time("2026-11-22T01:00:00.123+01:00", &ms), 0);
    assert_true(ms == 1795305600123);
    assert_int_equal(sl_cond_time("2024-02-29t23:59:60.000000z", &ms), 0);
    assert_true(ms == 1709251199000);
    assert_int_equal(sl_cond_time("0000-03-01T00:00:00Z", &ms), 0);
    assert_true(ms == -62162035200000);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_int_equal(sl_cond_time(wrong[i], &ms), -1);
}

static void test_what_is_wrong_is_said_with_its_place(void **state)
{
    (void)state;
    refused("error", "1:1 where: \"error\" is no condition");
    refused("{}", "1:1 where: an empty condition");
    refused("[]", "1:1 where: an empty list of conditions");
    refused("{ level: loud }", "1:10 where: \"loud\" is no level");
    refused("{ level: { gte: [warn] } }",
            "1:17 where: level is compared with a list inside a list");
    refused("{ a: { gt: 1, lq: 5 } }", "1:15 where: a: unknown comparison \"lq\"");
    refused("{ a: { in: 5 } }", "1:12 where: a: in needs a list");
    refused("{ a: { eq: [5] } }", "1:12 where: a: eq needs one value");
    refused("{ a: [] }", "1:6 where: a is compared with an empty list");
    refused("{ a: }", "1:3 where: a is compared with nothing");
    refused("{ a: { matches: \"a(b\" } }",
            "1:17 where: the pattern \"a(b\" fails at character 4: missing closing parenthesis");
    refused("{ a: { glob: \"a[b\" } }",
            "1:14 where: the pattern a[b opens a set with [ and does not close it");
    refused("{ a: { exists: 1 } }", "1:16 where: exists is neither true nor false");
    refused("{ time: { gt: now-1h } }", "1:15 where: \"now-1h\" is no instant");
    refused("{ time: { glob: x } }", "1:17 where: time is an instant, not text");
    refused("{ class: 1 }", "1:3 where: class is known but not built in this version");
    refused("{ any: { a: 1 } }", "1:8 where: any needs a list of conditions");
    refused("{ \"@tpoic\": a }", "1:3 where: @tpoic is not known before parsing");
    refused("{ a: { not: 5 } }", "1:8 where: a: unknown comparison \"not\"");
}

static void test_depth_is_bounded(void **state)
{
    char text[400] = "";

    (void)state;
    for (int i = 0; i < 33; i++)
        strcat(text, "{ not: ");
    strcat(text, "{ a: 1 }");
    for (int i = 0; i < 33; i++)
        strcat(text, " }");
    assert_null(parse(text));
    assert_non_null(strstr(diags.items[0].text, "levels deep"));
}

static void glob_is(const char *pattern, const char *text, bool expected)
{
    assert_int_equal(sl_glob_check(pattern, NULL), 0);
    assert_int_equal(sl_glob_match(pattern, sl_slice_of(text)), expected);
}

static void test_globs(void **state)
{
    (void)state;
    glob_is("", "", true);
    glob_is("", "a", false);
    glob_is("*", "", true);
    glob_is("a*b*c", "aXbYbZc", true);
    glob_is("a*b*c", "aXbYbZ", false);
    glob_is("?", "\xc3\xa9", true);
    glob_is("?", "ab", false);
    glob_is("[a-c]x", "bx", true);
    glob_is("[!a-c]x", "bx", false);
    glob_is("[]]", "]", true);
    glob_is("[a-]", "-", true);
    glob_is("\\*", "*", true);
    glob_is("\\*", "x", false);
    glob_is("?", "\xff", true);
    glob_is("\xc3\xa9*", "\xc3\xa9t\xc3\xa9", true);
    glob_is("*\xa9", "\xc3\xa9", false); /* half a character is none */
    glob_is("\xc3", "\xc3\xa9", false);
    glob_is("a**b", "ab", true);
    assert_int_not_equal(sl_glob_check("[", NULL), 0);
    assert_int_not_equal(sl_glob_check("[]", NULL), 0);
    assert_int_not_equal(sl_glob_check("[z-a]", NULL), 0);
    assert_int_not_equal(sl_glob_check("a\\", NULL), 0);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_levels_become_masks), CASE(test_quotes_make_text_of_a_number),
        CASE(test_times_are_instants),  CASE(test_what_is_wrong_is_said_with_its_place),
        CASE(test_depth_is_bounded),    CASE(test_globs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
