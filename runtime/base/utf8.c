/* utf8.c: validity of UTF-8 by the table of RFC 3629, section 4.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/utf8.h"

static uint32_t utf8_length(unsigned char lead)
{
    if (lead < 0x80)
        return 1;
    if (lead >= 0xc2 && lead <= 0xdf)
        return 2;
    if (lead >= 0xe0 && lead <= 0xef)
        return 3;
    return lead >= 0xf0 && lead <= 0xf4 ? 4 : 0;
}

/* The second byte has a narrower range behind some leads; the others are 80..BF. */
static bool utf8_second(unsigned char lead, unsigned char second)
{
    unsigned char low = 0x80, high = 0xbf;

    if (lead == 0xe0)
        low = 0xa0;
    else if (lead == 0xed)
        high = 0x9f;
    else if (lead == 0xf0)
        low = 0x90;
    else if (lead == 0xf4)
        high = 0x8f;
    return second >= low && second <= high;
}

/* How many bytes from `at` on are ASCII, as far as eight at a time can tell: most text is nothing else. */
static uint32_t utf8_ascii(const unsigned char *at, uint32_t bytes)
{
    uint32_t i = 0;

    for (; bytes - i >= 8; i += 8) {
        uint64_t eight;
        memcpy(&eight, at + i, sizeof(eight));
        if ((eight & 0x8080808080808080u) != 0)
            break;
    }
    return i;
}

bool sl_utf8_valid(struct sl_slice text)
{
    const unsigned char *at = (const unsigned char *)text.data;
    uint32_t i = 0;

    while (i < text.bytes) {
        uint32_t length;
        i += utf8_ascii(at + i, text.bytes - i);
        if (i == text.bytes)
            break;
        length = utf8_length(at[i]);
        if (length == 0 || length > text.bytes - i)
            return false;
        if (length > 1 && !utf8_second(at[i], at[i + 1]))
            return false;
        for (uint32_t k = 2; k < length; k++)
            if ((at[i + k] & 0xc0) != 0x80)
                return false;
        i += length;
    }
    return true;
}
