/* test_cli_case.c: test cases of topologies: what is read, and where what is wrong is pointed at.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/cli/test_case.h"

static struct sl_diags diags;

static struct sl_test_case *load(const char *text)
{
    char path[] = "/tmp/sluice-test-case-XXXXXX";
    struct sl_test_case *test = NULL;
    int fd = mkstemp(path), result;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    (void)close(fd);
    sl_diags_fini(&diags);
    sl_diags_init(&diags);
    result = sl_test_case_load(path, &diags, &test);
    assert_int_equal(result == 0, test != NULL);
    assert_int_equal(test == NULL, diags.errors > 0);
    (void)unlink(path);
    return test;
}

static void test_every_part_of_a_case_is_read(void **state)
{
    struct sl_test_case *test = load("source: logs\n"
                                     "records:\n"
                                     "  - '{\"a\":1}'\n"
                                     "  - { payload: '', key: k, headers: { h: v, i: w }, time: 2024-05-01T12:00:00.250Z, topic: t }\n"
                                     "  - { payload: null }\n"
                                     "  - { payload: 'null' }\n"
                                     "expect:\n"
                                     "  landing: [ '{\"a\":1}', '' ]\n"
                                     "  none: []\n"
                                     "  sampled: { count: 2 }\n"
                                     "  dead_letters: [ { reason: 'JSON', body: x } ]\n");
    (void)state;
    assert_non_null(test);
    assert_string_equal(test->source, "logs");
    assert_int_equal(test->records_count, 4);
    assert_string_equal(test->records[0].payload, "{\"a\":1}");
    assert_null(test->records[0].key);
    assert_string_equal(test->records[1].payload, "");
    assert_string_equal(test->records[1].key, "k");
    assert_string_equal(test->records[1].topic, "t");
    assert_int_equal(test->records[1].append_unix_ms, 1714564800250);
    assert_int_equal(test->records[1].headers_count, 2);
    assert_string_equal(test->records[1].headers[1].name, "i");
    assert_string_equal(test->records[1].headers[1].value, "w");
    assert_null(test->records[2].payload);
    assert_string_equal(test->records[3].payload, "null");
    assert_int_equal(test->expects_count, 4);
    assert_true(test->expects[0].listed);
    assert_int_equal(test->expects[0].count, 2);
    assert_string_equal(test->expects[0].bodies[1].body, "");
    assert_true(test->expects[1].listed);
    assert_int_equal(test->expects[1].count, 0);
    assert_false(test->expects[2].listed);
    assert_int_equal(test->expects[2].count, 2);
    assert_string_equal(test->expects[3].bodies[0].reason, "JSON");
    assert_string_equal(test->expects[3].bodies[0].body, "x");
    (void)sl_test_case_free(test);
}

static void test_what_is_wrong_is_pointed_at(void **state)
{
#define REST "\nrecords: [ 'a' ]\nexpect: { landing: [] }\n"
    static const struct { const char *yaml; uint32_t line, column; const char *text; } cases[] = {
        {"sorce: logs" REST, 1, 1, "unknown key sorce; did you mean source"},
        {"source: [ a ]" REST, 1, 9, "source is not a text"},
        {"source: a\nrecords: b\nexpect: { l: [] }\n", 2, 10, "records is not such a list"},
        {"source: a\nrecords: []\nexpect: { l: [] }\n", 2, 10, "records is not such a list"},
        {"source: a\nrecords:\n  - { key: b }\nexpect: { l: [] }\n", 3, 5, "a record without a payload"},
        {"source: a\nrecords:\n  - { payload: b, keys: c }\nexpect: { l: [] }\n", 3, 19, "unknown key keys; did you mean key"},
        {"source: a\nrecords:\n  - { payload: b, time: noon }\nexpect: { l: [] }\n", 3, 25, "time is no UTC time"},
        {"source: a\nrecords:\n  - { payload: b, headers: c }\nexpect: { l: [] }\n", 3, 28, "headers is not a mapping"},
        {"source: a\nrecords:\n  - [ b ]\nexpect: { l: [] }\n", 3, 5, "a record is a text or a mapping"},
        {"source: a\nrecords: [ b ]\nexpect: [ l ]\n", 3, 9, "expect names no sink"},
        {"source: a\nrecords: [ b ]\nexpect: { l: 3 }\n", 3, 14, "neither a list nor a count"},
        {"source: a\nrecords: [ b ]\nexpect: { l: { count: many } }\n", 3, 23, "many"},
        {"source: a\nrecords: [ b ]\nexpect: { l: { cuont: 3 } }\n", 3, 16, "unknown key cuont; did you mean count"},
        {"source: a\nrecords: [ b ]\nexpect: { l: [ { raeson: c } ] }\n", 3, 18, "unknown key raeson; did you mean reason"},
        {"source: a\nrecords: [ b ]\nexpect: { l: [ [ c ] ] }\n", 3, 16, "an expected record is a text or a mapping"},
        {"source: a\nrecords: [ b ]\n", 1, 1, "expect is missing"},
        {"- a\n", 1, 1, "a test case is a mapping"},
        {"source: {\n", 0, 0, ""},
        {"", 0, 0, ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct sl_diag *found = NULL;
        assert_null(load(cases[i].yaml));
        for (uint32_t j = 0; j < diags.count; j++)
            if (strstr(diags.items[j].text, cases[i].text) != NULL)
                found = &diags.items[j];
        if (found == NULL)
            fail_msg("case %zu: \"%s\" is not told, but \"%s\"", i, cases[i].text, diags.items[0].text);
        assert_true(found->remedy[0] != '\0');
        if (cases[i].line == 0)
            continue;
        if (found->line != cases[i].line || found->column != cases[i].column)
            fail_msg("case %zu: at %u:%u, not %u:%u", i, found->line, found->column, cases[i].line, cases[i].column);
    }
}

static void test_a_missing_file_is_told(void **state)
{
    struct sl_test_case *test = NULL;
    (void)state;
    sl_diags_fini(&diags);
    sl_diags_init(&diags);
    assert_int_not_equal(sl_test_case_load("/nowhere/a.yaml", &diags, &test), 0);
    assert_int_equal(diags.errors, 1);
}

static void test_the_cases_that_come_with_sluice_are_read(void **state)
{
    glob_t found;
    (void)state;
    assert_int_equal(glob(SL_SOURCE_DIR "/topologies/*/tests/*.yaml", 0, NULL, &found), 0);
    assert_true(found.gl_pathc >= 6);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        struct sl_test_case *test = NULL;
        sl_diags_fini(&diags);
        sl_diags_init(&diags);
        if (sl_test_case_load(found.gl_pathv[i], &diags, &test) != 0)
            fail_msg("%s:%u:%u: %s", found.gl_pathv[i], diags.items[0].line, diags.items[0].column, diags.items[0].text);
        (void)sl_test_case_free(test);
    }
    globfree(&found);
}

static int end(void **state)
{
    (void)state;
    sl_diags_fini(&diags);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_part_of_a_case_is_read),
        cmocka_unit_test(test_what_is_wrong_is_pointed_at),
        cmocka_unit_test(test_a_missing_file_is_told),
        cmocka_unit_test(test_the_cases_that_come_with_sluice_are_read),
    };
    sl_diags_init(&diags);
    return cmocka_run_group_tests(tests, NULL, end);
}
