/* test_units.c: amounts as people write them: exact or refused, and prints that read back.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/config/nearest.h"
#include "runtime/config/units.h"

static void bytes_are(const char *text, uint64_t expected)
{
    uint64_t value = 77;
    assert_int_equal(sl_bytes_scan(text, &value, NULL), 0);
    assert_true(value == expected);
}

static void test_sizes(void **state)
{
    static const char *const wrong[] = {"",
                                        "MiB",
                                        "12 MiB",
                                        "12mib",
                                        "-1",
                                        "1.0001KiB",
                                        "0.5B",
                                        "1.5",
                                        "99999999999999999999",
                                        "16384PiB",
                                        "1e3",
                                        "12 parrots",
                                        "+1",
                                        "0x10",
                                        "1.MiB",
                                        "18446744073709551616"};

    (void)state;
    bytes_are("0", 0);
    bytes_are("128MiB", 128ull << 20);
    bytes_are("10GiB", 10ull << 30);
    bytes_are("1.5KiB", 1536);
    bytes_are("0.001KB", 1);
    bytes_are("1kB", 1000);
    bytes_are("3MB", 3000000);
    bytes_are("16383PiB", 16383ull << 50);
    bytes_are("18446744073709551615", UINT64_MAX);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        uint64_t value = 77;
        struct sl_err err;
        assert_int_not_equal(sl_bytes_scan(wrong[i], &value, &err), 0);
        assert_int_equal(value, 77);
        assert_non_null(strstr(err.text, ": write "));
    }
}

static void duration_is(const char *text, uint64_t expected)
{
    uint64_t value = 77;
    assert_int_equal(sl_duration_scan(text, &value, NULL), 0);
    assert_true(value == expected);
}

static void test_durations(void **state)
{
    static const char *const wrong[] = {"",   "60",   "1 h",  "1m1m",  "30m1h",
                                        "h",  "1h30", "-5s",  "0.1ns", "30501w",
                                        "1M", "1S",   "5sec", "1.5.5s"};

    (void)state;
    duration_is("0", 0);
    duration_is("100ms", 100000000);
    duration_is("60s", 60000000000);
    duration_is("1h30m", 5400000000000);
    duration_is("7d", 604800000000000);
    duration_is("1.5s", 1500000000);
    duration_is("1d1h1m1s1ms1us1ns", 90061001001001ull);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        uint64_t value = 77;
        struct sl_err err;
        assert_int_not_equal(sl_duration_scan(wrong[i], &value, &err), 0);
        assert_int_equal(value, 77);
    }
}

static void test_rates_and_shares(void **state)
{
    static const char *const wrong_rates[] = {"",     "5000",  "5000/", "/s",      "5000/w",
                                              "-1/s", "nan/s", "inf/s", "1e999/s", "5 /s"};
    static const char *const wrong_shares[] = {"",    "10",   "101%", "-1%", "1.1",
                                               "ten", "10%%", "nan",  "1%0", ".5"};
    double value = 0;
    struct sl_err err;

    (void)state;
    assert_int_equal(sl_rate_scan("5000/s", &value, NULL), 0);
    assert_true(value == 5000);
    assert_int_equal(sl_rate_scan("10/m", &value, NULL), 0);
    assert_true(value == 10.0 / 60);
    assert_int_equal(sl_share_scan("10%", &value, NULL), 0);
    assert_true(value == 0.1);
    assert_int_equal(sl_share_scan("0.25", &value, NULL), 0);
    assert_true(value == 0.25);
    assert_int_equal(sl_share_scan("1", &value, NULL), 0);
    assert_true(value == 1);
    for (size_t i = 0; i < sizeof(wrong_rates) / sizeof(wrong_rates[0]); i++)
        assert_int_not_equal(sl_rate_scan(wrong_rates[i], &value, &err), 0);
    for (size_t i = 0; i < sizeof(wrong_shares) / sizeof(wrong_shares[0]); i++)
        assert_int_not_equal(sl_share_scan(wrong_shares[i], &value, &err), 0);
    assert_int_not_equal(sl_share_scan("10", &value, &err), 0);
    assert_string_equal(err.text, "10 without % is more than everything: write 10%");
    assert_true(value == 1);
}

static void test_prints_read_back(void **state)
{
    uint64_t seed = 1, back = 0;
    char text[SL_UNITS_TEXT];

    (void)state;
    for (int i = 0; i < 100000; i++) {
        double real, real_back = 0;
        seed = seed * 6364136223846793005ull + 1442695040888963407ull;
        uint64_t value = seed >> (seed & 63);
        sl_bytes_print(value, text);
        assert_int_equal(sl_bytes_scan(text, &back, NULL), 0);
        assert_true(back == value);
        sl_duration_print(value, text);
        assert_int_equal(sl_duration_scan(text, &back, NULL), 0);
        assert_true(back == value);
        real = (double)(value >> 20) / 7;
        sl_rate_print(real, text);
        assert_int_equal(sl_rate_scan(text, &real_back, NULL), 0);
        assert_true(real_back == real);
        real = (double)(seed >> 11) / 9007199254740992.0;
        sl_share_print(real, text);
        assert_int_equal(sl_share_scan(text, &real_back, NULL), 0);
        assert_true(real_back == real);
    }
}

static void test_prints_are_what_people_write(void **state)
{
    char text[SL_UNITS_TEXT];

    (void)state;
    sl_bytes_print(128ull << 20, text);
    assert_string_equal(text, "128MiB");
    sl_bytes_print(5000000, text);
    assert_string_equal(text, "5MB");
    sl_bytes_print(1500, text);
    assert_string_equal(text, "1500");
    sl_duration_print(5400000000000, text);
    assert_string_equal(text, "1h30m");
    sl_duration_print(604800000000000, text);
    assert_string_equal(text, "7d");
    sl_rate_print(10.0 / 60, text);
    assert_string_equal(text, "10/m");
    sl_share_print(0.1, text);
    assert_string_equal(text, "10%");
    sl_share_print(1, text);
    assert_string_equal(text, "100%");
}

static void test_the_nearest_word_is_found(void **state)
{
    struct sl_nearest nearest;

    (void)state;
    assert_int_equal(sl_edit_distance("kitten", "sitting"), 3);
    assert_int_equal(sl_edit_distance("ab", "ba"), 1);
    assert_int_equal(sl_edit_distance("Level", "level"), 0);
    sl_nearest_init(&nearest, "compresion");
    sl_nearest_offer(&nearest, "consumers");
    sl_nearest_offer(&nearest, "compression");
    assert_string_equal(nearest.best, "compression");
    sl_nearest_init(&nearest, "backoff");
    sl_nearest_offer(&nearest, "backoff_min");
    assert_string_equal(nearest.best, "backoff_min");
    sl_nearest_init(&nearest, "xyzzy");
    sl_nearest_offer(&nearest, "compression");
    assert_null(nearest.best);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_durations),
        cmocka_unit_test(test_rates_and_shares),
        cmocka_unit_test(test_prints_read_back),
        cmocka_unit_test(test_prints_are_what_people_write),
        cmocka_unit_test(test_the_nearest_word_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
