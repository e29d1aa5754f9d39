/* test_crc32c.c: known vectors, and the instruction against the tables.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "runtime/base/crc32c.h"

/* RFC 3720, appendix B.4, and the usual check value. */
static void test_known_vectors(void **state)
{
    unsigned char data[32];
    (void)state;
    assert_int_equal(sl_crc32c(0, "", 0), 0);
    assert_int_equal(sl_crc32c(0, "123456789", 9), 0xe3069283);
    memset(data, 0, sizeof(data));
    assert_int_equal(sl_crc32c(0, data, 32), 0x8a9136aa);
    memset(data, 0xff, sizeof(data));
    assert_int_equal(sl_crc32c(0, data, 32), 0x62a8ab43);
    for (int i = 0; i < 32; i++)
        data[i] = (unsigned char)i;
    assert_int_equal(sl_crc32c(0, data, 32), 0x46dd794e);
    assert_int_equal(sl_crc32c_portable(0, data, 32), 0x46dd794e);
    for (int i = 0; i < 32; i++)
        data[i] = (unsigned char)(31 - i);
    assert_int_equal(sl_crc32c(0, data, 32), 0x113fdb5c);
}

static void test_both_ways_agree_at_every_length_place_and_split(void **state)
{
    unsigned char data[300];
    (void)state;
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (unsigned char)(i * 167 + 13);
    for (size_t at = 0; at < 9; at++)
        for (size_t bytes = 0; at + bytes <= sizeof(data); bytes++) {
            uint32_t whole = sl_crc32c(0, data + at, bytes);
            size_t half = bytes / 3;
            assert_int_equal(whole, sl_crc32c_portable(0, data + at, bytes));
            assert_int_equal(whole, sl_crc32c(sl_crc32c(0, data + at, half), data + at + half, bytes - half));
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_vectors),
        cmocka_unit_test(test_both_ways_agree_at_every_length_place_and_split),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
