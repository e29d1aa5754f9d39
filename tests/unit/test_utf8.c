/* test_utf8.c: what is UTF-8 and what is not, wherever it stands among ASCII.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "runtime/base/utf8.h"

/* The piece at each place of a text of 20 letters, at its end too. */
static void expect(const char *piece, uint32_t bytes, bool valid)
{
    for (uint32_t at = 0; at <= 20; at++) {
        char text[32];

        memset(text, 'a', sizeof(text));
        memcpy(text + at, piece, bytes);
        if (sl_utf8_valid((struct sl_slice){text, 20 + bytes}) != valid)
            fail_msg("%02x… at %u", (unsigned char)piece[0], at);
        if (sl_utf8_valid((struct sl_slice){text, at + bytes}) != valid)
            fail_msg("%02x… at the end, %u", (unsigned char)piece[0], at);
    }
}

static void test_sequences_at_every_place(void **state)
{
    (void)state;
    expect("", 0, true);
    expect("\0\x7f", 2, true);
    expect("\xc3\xa4", 2, true);
    expect("\xe6\x9d\xb1", 3, true);
    expect("\xf0\x9f\x9a\x80", 4, true);
    expect("\xf4\x8f\xbf\xbf", 4, true);
    expect("\x80", 1, false);
    expect("\xff", 1, false);
    expect("\xc3", 1, false);
    expect("\xc0\x80", 2, false);
    expect("\xe2\x82", 2, false);
    expect("\xed\xa0\x80", 3, false);
    expect("\xf4\x90\x80\x80", 4, false);
}

/* All sequences of two bytes, against the rule. */
static void test_all_pairs(void **state)
{
    (void)state;
    for (unsigned a = 0; a < 256; a++)
        for (unsigned b = 0; b < 256; b++) {
            const char text[2] = {(char)a, (char)b};
            bool valid = (a < 0x80 && b < 0x80) || (a >= 0xc2 && a <= 0xdf && b >= 0x80 && b <= 0xbf);
            assert_int_equal(sl_utf8_valid((struct sl_slice){text, 2}), valid);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sequences_at_every_place),
        cmocka_unit_test(test_all_pairs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
