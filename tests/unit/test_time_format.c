/* test_time_format.c: times in forms of somebody's own, and the year of those that name none.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <time.h>

#include "runtime/json/time_format.h"

static struct sl_err err;
#define NEAR 1795324496000 /* 2026-11-22T05:14:56Z */
#define NO_TIME INT64_MIN

static int64_t read_near(const char *form, const char *zone, const char *text, int64_t near)
{
    struct sl_time_format *format = NULL;
    int32_t minutes = 0;
    int64_t unix_ms = NO_TIME, again = NO_TIME;

    assert_int_equal(sl_time_zone_read(zone, &minutes), 0);
    assert_int_equal(sl_time_format_new(form, minutes, &format, &err), 0);
    if (sl_time_format_read(format, sl_slice_of(text), near, &unix_ms) == 0) {
        assert_int_equal(sl_time_format_read(format, sl_slice_of(text), near, &again), 0); /* now by what was kept */
        assert_int_equal(again, unix_ms);
    }
    format = sl_time_format_free(format);
    return unix_ms;
}

static int64_t read(const char *form, const char *text)
{
    return read_near(form, "UTC", text, NEAR);
}

static void test_the_forms_of_well_known_logs(void **state)
{
    (void)state;
    assert_int_equal(read("%d/%b/%Y:%H:%M:%S %z", "10/Oct/2000:13:55:36 -0700"), 971211336000);
    assert_int_equal(read("%Y-%m-%d %H:%M:%S,%f", "2026-11-22 05:14:56,789"), NEAR + 789);
    assert_int_equal(read("%F %T.%f%z", "2026-11-22 05:14:56.5+00:00"), NEAR + 500);
    assert_int_equal(read("%FT%TZ", "2026-11-22T05:14:56Z"), NEAR);
    assert_int_equal(read("%a %b %e %T %Y", "Sun Nov 22 05:14:56 2026"), NEAR);
    assert_int_equal(read("%A, %d-%B-%y %I:%M:%S %p", "Sunday, 22-November-26 05:14:56 AM"), NEAR);
    assert_int_equal(read("%s.%f", "1795324496.250"), NEAR + 250);
    assert_int_equal(read("%Y/%j %R", "2026/326 05:14"), NEAR - 56000);
    assert_int_equal(read("%D %R %Z 100%%", "11/22/26 05:14 UTC 100%"), NEAR - 56000);
    assert_int_equal(read("%I:%M %p %F", "12:14 am 2026-11-22"), NEAR - 56000 - 5 * 3600000);
    assert_int_equal(read("%I:%M %p %F", "12:14 PM 2026-11-22"), NEAR - 56000 + 7 * 3600000);
}

static void test_what_has_another_form_is_no_time(void **state)
{
    static const char *const texts[] = {"", "2026-11-22", "2026-11-22 05:14:5", "2026-11-22 05:14:56 ", "2026-13-22 05:14:56", "2026-02-29 05:14:56",
                                        "2026-11-22 24:00:00", "2026-11-22 05:60:00", "2026-11-22 05:14:61", "0000-11-22 05:14:56", "x", "26-11-22 05:14:56"};
    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (read("%Y-%m-%d %H:%M:%S", texts[i]) != NO_TIME)
            fail_msg("\"%s\" was read", texts[i]);
    assert_int_equal(read("%F %I %p", "2026-11-22 13 PM"), NO_TIME);
    assert_int_equal(read("%F %T%z", "2026-11-22 05:14:56+24:00"), NO_TIME);
    assert_int_equal(read("%Y %j", "2026 366"), NO_TIME);
    assert_true(read("%Y %j", "2028 366") != NO_TIME);
    assert_int_equal(read("%s", "-1"), NO_TIME);
}

/* The latest year that is not more than a day in the future. */
static void test_a_year_is_found_where_none_is_written(void **state)
{
    const int64_t day = 86400000, newyear = 1798761600000; /* 2027-01-01 */

    (void)state;
    assert_int_equal(read("%b %e %T", "Nov 22 05:14:56"), NEAR);
    assert_int_equal(read("%b %e %T", "Nov  2 05:14:56"), NEAR - 20 * day);
    assert_int_equal(read("%b %e %T", "Nov 23 05:14:55"), NEAR + day - 1000);
    assert_int_equal(read("%b %e %T", "Nov 23 05:14:57"), NEAR - 364 * day + 1000); /* last year's */
    assert_int_equal(read_near("%b %e %T", "UTC", "Dec 31 23:59:59", newyear + 5000), newyear - 1000);
    assert_int_equal(read_near("%b %e %T", "UTC", "Jan  1 00:00:05", newyear - 5000), newyear + 5000); /* the sender's clock is ahead */
    assert_int_equal(read_near("%b %e %T", "UTC", "Dec 31 23:59:59", newyear - 1000), newyear - 1000);
    assert_int_equal(read("%b %e %T", "Feb 29 00:00:00"), 1709164800000); /* 2024 */
    assert_int_equal(read("%b %e %T", "Feb 30 00:00:00"), NO_TIME);
    assert_int_equal(read_near("%b %e %T", "UTC", "Nov 22 05:14:56", 0), NO_TIME);
}

static void test_the_kept_text_does_not_keep_its_year(void **state)
{
    struct sl_time_format *format = NULL;
    const int64_t newyear = 1798761600000;
    int64_t unix_ms = 0;

    (void)state;
    assert_int_equal(sl_time_format_new("%b %e", 0, &format, &err), 0);
    assert_int_equal(sl_time_format_read(format, sl_slice_of("Jan 3"), newyear, &unix_ms), 0);
    assert_int_equal(unix_ms, newyear - (int64_t)363 * 86400000);
    assert_int_equal(sl_time_format_read(format, sl_slice_of("Jan 3"), newyear + (int64_t)2 * 86400000, &unix_ms), 0);
    assert_int_equal(unix_ms, newyear + (int64_t)2 * 86400000);
    assert_int_equal(sl_time_format_read(format, sl_slice_of("Jan 3"), newyear, &unix_ms), 0);
    assert_int_equal(unix_ms, newyear - (int64_t)363 * 86400000);
    format = sl_time_format_free(format);
}

static void test_zones(void **state)
{
    int32_t minutes = 0;

    (void)state;
    assert_int_equal(read_near("%F %T", "+02:00", "2026-11-22 07:14:56", NEAR), NEAR);
    assert_int_equal(read_near("%F %T", "-0330", "2026-11-22 01:44:56", NEAR), NEAR);
    assert_int_equal(read_near("%F %T %z", "-03", "2026-11-22 06:14:56 +01", NEAR), NEAR);
    assert_int_equal(sl_time_zone_read("Europe/Berlin", &minutes), -1);
    assert_int_equal(sl_time_zone_read("+25:00", &minutes), -1);
    assert_int_equal(sl_time_zone_read("", &minutes), -1);
}

static void test_wrong_forms_are_refused(void **state)
{
    static const struct {
        const char *form, *says;
    } wrong[] = {{"%Q", "%Q"}, {"%Y-%m-%d %", "lone"}, {"%H:%M", "no day"}, {"", "no day"}, {"%Y %d", "no day"}};
    struct sl_time_format *format = NULL;

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_true(sl_time_format_new(wrong[i].form, 0, &format, &err) != 0);
        assert_null(format);
        assert_non_null(strstr(err.text, wrong[i].says));
    }
}

/* Each day of four centuries, against the C library. */
static void test_the_calendar_is_that_of_the_c_library(void **state)
{
    struct sl_time_format *format = NULL;
    char text[32];

    (void)state;
    assert_int_equal(sl_time_format_new("%Y-%m-%d", 0, &format, &err), 0);
    for (int64_t day = -25000; day < 125000; day++) {
        time_t seconds = (time_t)(day * 86400);
        struct tm tm;
        int64_t unix_ms = 0;
        assert_non_null(gmtime_r(&seconds, &tm));
        assert_true(strftime(text, sizeof(text), "%Y-%m-%d", &tm) > 0);
        assert_int_equal(sl_time_format_read(format, sl_slice_of(text), 0, &unix_ms), 0);
        assert_int_equal(unix_ms, day * 86400000);
    }
    format = sl_time_format_free(format);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_forms_of_well_known_logs),
        cmocka_unit_test(test_what_has_another_form_is_no_time),
        cmocka_unit_test(test_a_year_is_found_where_none_is_written),
        cmocka_unit_test(test_the_kept_text_does_not_keep_its_year),
        cmocka_unit_test(test_zones),
        cmocka_unit_test(test_wrong_forms_are_refused),
        cmocka_unit_test(test_the_calendar_is_that_of_the_c_library),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
