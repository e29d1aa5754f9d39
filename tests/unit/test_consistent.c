/* test_consistent.c: thresholds, weights and nesting of consistent sampling.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sampling/consistent.h"

static void test_the_weight_is_the_inverse_of_the_share(void **state)
{
    (void)state;
    assert_int_equal(sl_threshold_of_share(1.0), 0);
    assert_true(fabs(sl_weight_of_threshold(sl_threshold_of_share(0.1)) - 10.0) < 1e-9);
    assert_true(fabs(sl_weight_of_threshold(sl_threshold_of_share(1.0 / 1048576)) - 1048576) < 1e-3);
    assert_true(sl_threshold_of_share(1e-30) < SL_R_LIMIT);
}

static void test_thresholds_survive_print_and_scan(void **state)
{
    static const uint64_t cases[] = {0, 1, 0xc0000000000000, 0xe6666666666666, SL_R_LIMIT - 1};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[15];
        uint64_t back = 7;
        size_t bytes = sl_threshold_print(cases[i], text);
        assert_int_equal(sl_threshold_scan(text, bytes, &back), 0);
        assert_int_equal(back, cases[i]);
    }
    assert_int_equal(sl_threshold_scan("", 0, &(uint64_t){0}), -1);
    assert_int_equal(sl_threshold_scan("g", 1, &(uint64_t){0}), -1);
    assert_int_equal(sl_threshold_scan("123456789abcdef", 15, &(uint64_t){0}), -1);
}

static void test_kept_shares_are_within_three_sigma_and_nest(void **state)
{
    static const double shares[] = {1.0, 0.5, 0.1, 0.01, 0.001};
    enum { KEYS = 1000000, SHARES = sizeof(shares) / sizeof(shares[0]) };
    uint64_t kept[SHARES] = {0};
    (void)state;
    for (int key = 0; key < KEYS; key++) {
        char text[32];
        int bytes = snprintf(text, sizeof(text), "trace-%d", key);
        uint64_t r = sl_randomness_of_bytes(text, (size_t)bytes);
        int before = 1;
        for (size_t s = 0; s < SHARES; s++) {
            int keep = sl_keep(r, sl_threshold_of_share(shares[s]));
            assert_true(before || !keep); /* a smaller sample lies inside a larger one */
            before = keep;
            kept[s] += (uint64_t)keep;
        }
    }
    for (size_t s = 0; s < SHARES; s++) {
        double expected = KEYS * shares[s], sigma = sqrt(KEYS * shares[s] * (1 - shares[s]));
        assert_true(fabs((double)kept[s] - expected) <= 3 * sigma + 0.5);
    }
}

static void test_only_32_hex_digits_are_a_trace_id(void **state)
{
    uint64_t r = 0;
    (void)state;
    assert_int_equal(sl_randomness_of_hex("4bf92f3577b34da6a3ce929d0e0e4736", 32, &r), 1);
    assert_int_equal(r, 0xce929d0e0e4736);
    assert_int_equal(sl_randomness_of_hex("4bf92f3577b34da6a3ce929d0e0e473g", 32, &r), 0);
    assert_int_equal(sl_randomness_of_hex("abc", 3, &r), 0);
    assert_int_equal(sl_randomness_of_hex("4BF92F3577B34DA6A3CE929D0E0E4736", 32, &r), 1);
    assert_int_equal(r, 0xce929d0e0e4736);
}

static void test_every_byte_at_every_place_is_judged_as_isxdigit_does(void **state)
{
    (void)state;
    for (int at = 0; at < 32; at++)
        for (int byte = 0; byte < 256; byte++) {
            char text[] = "0123456789abcdefABCDEF9876543210", low[15] = {0};
            uint64_t r = 0;
            text[at] = (char)byte;
            assert_int_equal(sl_randomness_of_hex(text, 32, &r), isxdigit(byte) ? 1 : 0);
            memcpy(low, text + 18, 14);
            if (isxdigit(byte))
                assert_int_equal(r, strtoull(low, NULL, 16));
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_weight_is_the_inverse_of_the_share),
        cmocka_unit_test(test_thresholds_survive_print_and_scan),
        cmocka_unit_test(test_kept_shares_are_within_three_sigma_and_nest),
        cmocka_unit_test(test_only_32_hex_digits_are_a_trace_id),
        cmocka_unit_test(test_every_byte_at_every_place_is_judged_as_isxdigit_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
