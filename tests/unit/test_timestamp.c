/* test_timestamp.c: times as records write them, and the days and hours of paths.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "runtime/json/timestamp.h"

/* Exactly as many bytes as the text has, so that the sanitizer sees a read behind it. INT64_MIN: not a time. */
static int64_t parse(const char *text, bool quoted)
{
    size_t bytes = strlen(text);
    char *copy = malloc(bytes + (bytes == 0));
    int64_t ms = 424242;
    int result;
    memcpy(copy, text, bytes);
    result = sl_time_parse((struct sl_slice){copy, (uint32_t)bytes}, quoted, &ms);
    free(copy);
    if (result != 0)
        assert_int_equal(ms, 424242);
    return result == 0 ? ms : INT64_MIN;
}

static void test_rfc3339_is_read(void **state)
{
    static const struct {
        const char *text;
        int64_t ms;
    } cases[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"2026-11-22T05:08:00Z", 1795324080000},
        {"2026-11-22T05:08:00.123Z", 1795324080123},
        {"2026-11-22 05:08:00.1", 1795324080100},
        {"2026-11-22t05:08:00,123456789z", 1795324080123},
        {"2026-11-22T05:08:00.999999999999999999999999Z", 1795324080999},
        {"2026-11-22T07:08:00+02:00", 1795324080000},
        {"2026-11-22T07:08:00+0200", 1795324080000},
        {"2026-11-22T07:08:00+02", 1795324080000},
        {"2026-11-21T23:38:00.5-05:30", 1795324080500},
        {"2024-02-29T12:00:00Z", 1709208000000},
        {"2000-02-29T00:00:00Z", 951782400000},
        {"1969-12-31T23:59:59.999Z", -1},
        {"2016-12-31T23:59:60Z", 1483228800000},
        {"0000-01-01T00:00:00Z", -62167219200000},
        {"9999-12-31T23:59:59.999Z", 253402300799999},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        if (parse(cases[i].text, true) != cases[i].ms)
            print_error("%s\n", cases[i].text);
        assert_true(parse(cases[i].text, true) == cases[i].ms);
        assert_true(parse(cases[i].text, false) == INT64_MIN);
    }
}

static void test_what_is_no_time_is_refused(void **state)
{
    static const char *const cases[] = {
        "", "-", ".", "x", "now", "2026-11-22", "2026-11-22T05:08", "2026-11-22T05:08:0", "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z", "2026-02-29T00:00:00Z", "1900-02-29T00:00:00Z", "2026-04-31T00:00:00Z", "2026-01-00T00:00:00Z",
        "2026-01-01T24:00:00Z", "2026-01-01T00:60:00Z", "2026-01-01T00:00:61Z", "2026-01-01T00:00:00.Z", "2026-01-01T00:00:00+24:00",
        "2026-01-01T00:00:00+02:60", "2026-01-01T00:00:00+2:00", "2026-01-01T00:00:00X", "2026-01-01T00:00:00ZZ", "2026-01-01X00:00:00Z",
        "2O26-01-01T00:00:00Z", "20-6-01-01T00:00:00Z", "2026-01-0aT00:00:00Z", "2026-01-01T00:00:00+", "1.", "1.5x", "1e", "1e+", "--1", "+1", "0x10",
        "100000000000000000000", "1e300", "1e99999999999", " 1", "1 ", "Infinity", "1,5", "202611220508",
    };
    (void)state;
    for (size_t i = 0; i + 1 < sizeof(cases) / sizeof(cases[0]); i++) {
        if (parse(cases[i], true) != INT64_MIN)
            print_error("%s\n", cases[i]);
        assert_true(parse(cases[i], true) == INT64_MIN);
    }
    assert_true(parse("202611220508", true) == 202611220508); /* a bare number is always since 1970 */
}

/* Every byte value in every place of a time: accepted exactly where the place may hold it. */
static void test_one_wrong_byte_is_seen(void **state)
{
    static const char time[] = "2011-11-11T11:11:11Z", form[] = "dddd-dd-ddTdd:dd:ddZ";
    (void)state;
    for (size_t at = 0; at + 1 < sizeof(time); at++)
        for (int c = 1; c < 256; c++) {
            bool digit = c >= '0' && c <= '9', expected;
            char text[sizeof(time)];
            memcpy(text, time, sizeof(time));
            text[at] = (char)c;
            if (form[at] == 'd')
                expected = digit && (at != 5 || c <= '1') && (at != 6 || (c >= '0' && c <= '2')) && (at != 8 || c <= '2') && (at != 11 || c <= '2') &&
                           (at != 14 || c <= '5') && (at != 17 || c <= '5');
            else
                expected = form[at] == 'T' ? strchr("Tt _", c) != NULL : form[at] == 'Z' ? c == 'Z' || c == 'z' : c == form[at];
            if ((parse(text, true) != INT64_MIN) != expected)
                print_error("%s\n", text);
            assert_true((parse(text, true) != INT64_MIN) == expected);
        }
}

static void test_epochs_are_told_by_magnitude(void **state)
{
    static const struct {
        const char *text;
        int64_t ms;
    } cases[] = {
        {"0", 0}, {"0.0", 0}, {"-0", 0}, {"1795324080", 1795324080000}, {"1795324080.123", 1795324080123}, {"1795324080.1239", 1795324080123},
        {"1795324080.123456789012345678901234567890", 1795324080123},
        {"1795324080123", 1795324080123}, {"1795324080123.9", 1795324080123}, {"1795324080123456", 1795324080123},
        {"1795324080123456.7", 1795324080123}, {"1795324080123456789", 1795324080123}, {"1795324080123456789.5", 1795324080123},
        {"1.795324080e9", 1795324080000}, {"1.7953240801234e+09", 1795324080123}, {"1795324080123E0", 1795324080123}, {"1795324080123000000000e-3", 1795324080123},
        {"-1.5", -1500}, {"-86400", -86400000}, {"99999999999", 99999999999000}, {"100000000000", 100000000000}, {"99999999999999", 99999999999999},
        {"100000000000000", 100000000000}, {"99999999999999999", 99999999999999}, {"100000000000000000", 100000000000},
        {"9999999999999999999", 9999999999999}, {"0.001", 1}, {"0.0009", 0}, {"1e-300", 0}, {"00000000000000000000001", 1000},
        {"0e9999", 0},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        for (int quoted = 0; quoted < 2; quoted++) {
            if (parse(cases[i].text, quoted) != cases[i].ms)
                print_error("%s: %lld\n", cases[i].text, (long long)parse(cases[i].text, quoted));
            assert_true(parse(cases[i].text, quoted) == cases[i].ms);
        }
}

/* Against the C library, over every day of 1600 to 2400 and the edges of each. */
static void test_days_and_hours_agree_with_the_c_library(void **state)
{
    (void)state;
    for (int64_t day = -135140; day < 157054; day++) {
        time_t seconds = (time_t)(day * 86400 + (day * 7919 % 86400 + 86400) % 86400);
        struct tm tm;
        char expected[32], text[SL_TIME_DAY_BYTES], hour[SL_TIME_HOUR_BYTES], record[48];
        assert_non_null(gmtime_r(&seconds, &tm));
        assert_int_equal(strftime(expected, sizeof(expected), "%Y-%m-%d %H", &tm), 13);
        sl_time_day((int64_t)seconds * 1000 + 999, text);
        sl_time_hour((int64_t)seconds * 1000 + 999, hour);
        assert_memory_equal(text, expected, 10);
        assert_string_equal(hour, expected + 11);
        assert_int_equal(sl_time_day_number((int64_t)seconds * 1000), day);
        assert_int_equal(sl_time_day_number(day * 86400000 - 1), day - 1);
        assert_int_equal(strftime(record, sizeof(record), "%Y-%m-%dT%H:%M:%SZ", &tm), 20);
        assert_true(parse(record, true) == (int64_t)seconds * 1000);
    }
}

static void test_absurd_times_still_make_sane_names(void **state)
{
    char day[SL_TIME_DAY_BYTES], hour[SL_TIME_HOUR_BYTES];
    (void)state;
    sl_time_day(INT64_MAX, day);
    sl_time_hour(INT64_MAX, hour);
    assert_string_equal(day, "9999-12-31");
    assert_string_equal(hour, "23");
    sl_time_day(INT64_MIN, day);
    sl_time_hour(INT64_MIN, hour);
    assert_string_equal(day, "0000-01-01");
    assert_string_equal(hour, "00");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rfc3339_is_read),
        cmocka_unit_test(test_what_is_no_time_is_refused),
        cmocka_unit_test(test_one_wrong_byte_is_seen),
        cmocka_unit_test(test_epochs_are_told_by_magnitude),
        cmocka_unit_test(test_days_and_hours_agree_with_the_c_library),
        cmocka_unit_test(test_absurd_times_still_make_sane_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
