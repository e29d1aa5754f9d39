/* test_level.c: levels as loggers write them.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "runtime/json/level.h"

static enum sl_level level_of(const char *text, enum sl_type type)
{
    enum sl_level level = SL_LEVELS;
    int result = sl_level_parse(sl_slice_of(text), type, &level);
    assert_true((result == 0) == (level != SL_LEVELS));
    return result == 0 ? level : SL_LEVEL_NONE;
}

static void test_names_fold_case(void **state)
{
    static const struct {
        const char *text;
        enum sl_level level;
    } cases[] = {
        {"trace", SL_LEVEL_TRACE}, {"Verbose", SL_LEVEL_TRACE}, {"DEBUG", SL_LEVEL_DEBUG}, {"Info", SL_LEVEL_INFO},
        {"informational", SL_LEVEL_INFO}, {"Information", SL_LEVEL_INFO}, {"NOTICE", SL_LEVEL_INFO}, {"warn", SL_LEVEL_WARN},
        {"Warning", SL_LEVEL_WARN}, {"err", SL_LEVEL_ERROR}, {"ERROR", SL_LEVEL_ERROR}, {"SEVERE", SL_LEVEL_ERROR},
        {"crit", SL_LEVEL_FATAL}, {"CRITICAL", SL_LEVEL_FATAL}, {"alert", SL_LEVEL_FATAL}, {"emerg", SL_LEVEL_FATAL},
        {"Emergency", SL_LEVEL_FATAL}, {"panic", SL_LEVEL_FATAL}, {"dpanic", SL_LEVEL_FATAL}, {"fatal", SL_LEVEL_FATAL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(level_of(cases[i].text, SL_T_STRING), cases[i].level);
        assert_int_equal(level_of(cases[i].text, SL_T_NUMBER), SL_LEVEL_NONE);
    }
}

static void test_numbers_of_syslog_and_pino(void **state)
{
    static const enum sl_level syslog[] = {SL_LEVEL_FATAL, SL_LEVEL_FATAL, SL_LEVEL_FATAL, SL_LEVEL_ERROR, SL_LEVEL_WARN,
                                           SL_LEVEL_INFO, SL_LEVEL_INFO, SL_LEVEL_DEBUG, SL_LEVEL_NONE, SL_LEVEL_NONE};
    (void)state;
    for (int number = 0; number < 1000; number++) {
        enum sl_level expected = number < 10 ? syslog[number] : number < 70 ? (enum sl_level)(number / 10) : SL_LEVEL_NONE;
        char text[16];
        (void)snprintf(text, sizeof(text), "%d", number);
        assert_int_equal(level_of(text, SL_T_NUMBER), expected);
        assert_int_equal(level_of(text, SL_T_STRING), expected);
    }
}

static void test_other_things_are_no_levels(void **state)
{
    static const char *const cases[] = {"", "in", "infoo", " info", "x", "-1", "1.5", "3e1", "inf\xc3\xb6", "a-very-long-name-indeed", "@[\\]"};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_int_equal(level_of(cases[i], SL_T_STRING), SL_LEVEL_NONE);
    assert_int_equal(level_of("true", SL_T_BOOL), SL_LEVEL_NONE);
    assert_int_equal(level_of("30", SL_T_ARRAY), SL_LEVEL_NONE);
    assert_int_equal(level_of("null", SL_T_NULL), SL_LEVEL_NONE);
    assert_string_equal(sl_level_name(SL_LEVEL_WARN), "warn");
    assert_string_equal(sl_level_name(SL_LEVEL_NONE), "none");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_fold_case),
        cmocka_unit_test(test_numbers_of_syslog_and_pino),
        cmocka_unit_test(test_other_things_are_no_levels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
