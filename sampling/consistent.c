/* consistent.c: consistent probability sampling; see the header for the source.
 * SPDX-License-Identifier: Apache-2.0 */
#include "sampling/consistent.h"

#include <math.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#define R_SEED 0x736c756963652d52ull /* public and fixed: R must be the same in every process, for ever */
#define G_SEED 0x736c756963652d47ull

uint64_t sl_threshold_of_share(double share)
{
    double kept = share >= 1.0 ? (double)SL_R_LIMIT : floor(share * (double)SL_R_LIMIT + 0.5);

    if (!(kept >= 1.0))
        kept = 1.0;
    return SL_R_LIMIT - (uint64_t)kept;
}

double sl_weight_of_threshold(uint64_t threshold)
{
    return (double)SL_R_LIMIT / (double)(SL_R_LIMIT - threshold);
}

uint64_t sl_randomness_of_bytes(const void *data, size_t bytes)
{
    return XXH3_64bits_withSeed(data, bytes, R_SEED) & (SL_R_LIMIT - 1);
}

uint32_t sl_group_of_bytes(const void *data, size_t bytes)
{
    return (uint32_t)(XXH3_64bits_withSeed(data, bytes, G_SEED) & 63);
}

/* Eight hex digits at a time (SWAR): each byte is mapped to its value; *bad gets a bit where a byte is no digit. Digits of both
 * cases map by adding 9 to the low nibble of letters; then neighbouring nibbles are packed pairwise. */
static uint32_t hex_eight(const char *text, uint64_t *bad)
{
    const uint64_t ones = 0x0101010101010101ull, highs = 0x8080808080808080ull;
    uint64_t word, letter, value, digit_bad, letter_bad, lower;

    memcpy(&word, text, sizeof(word));
    lower = word | 0x20 * ones;
    letter = (word & 0x40 * ones) >> 6;       /* 1 for 0x40 to 0x7f, among which letters are */
    value = (word & 0x0f * ones) + 9 * letter;
    /* a byte below 0x80 is >= c iff (byte + 0x80 - c) has its high bit */
    digit_bad = ~((word & ~highs) + (0x80 - '0') * ones) | ((word & ~highs) + (0x7f - '9') * ones);
    letter_bad = ~((lower & ~highs) + (0x80 - 'a') * ones) | ((lower & ~highs) + (0x7f - 'f') * ones);
    *bad |= (((digit_bad & ~(letter * 0x80)) | (letter_bad & (letter * 0x80))) | word) & highs;
    value = __builtin_bswap64(value);          /* first digit highest */
    value = (value | value >> 4) & 0x00ff00ff00ff00ffull;
    value = (value | value >> 8) & 0x0000ffff0000ffffull;
    value = (value | value >> 16) & 0x00000000ffffffffull;
    return (uint32_t)value;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int hex_scan(const char *text, size_t bytes, uint64_t *ret_value)
{
    uint64_t value = 0;

    for (size_t i = 0; i < bytes; i++) {
        int digit = hex_digit(text[i]);
        if (digit < 0)
            return -1;
        value = value << 4 | (uint64_t)digit;
    }
    *ret_value = value;
    return 0;
}

int sl_randomness_of_hex(const char *text, size_t bytes, uint64_t *ret_randomness)
{
    uint64_t bad = 0, low;

    if (bytes != 32)
        return 0;
    (void)hex_eight(text, &bad);
    (void)hex_eight(text + 8, &bad);
    low = (uint64_t)hex_eight(text + 16, &bad) << 32;
    low |= hex_eight(text + 24, &bad);
    if (bad != 0)
        return 0;
    *ret_randomness = low & (SL_R_LIMIT - 1);
    return 1;
}

size_t sl_threshold_print(uint64_t threshold, char *text)
{
    size_t bytes = 14;

    for (size_t i = 0; i < 14; i++)
        text[i] = "0123456789abcdef"[threshold >> (52 - 4 * i) & 15];
    while (bytes > 1 && text[bytes - 1] == '0')
        bytes--;
    text[bytes] = '\0';
    return bytes;
}

int sl_threshold_scan(const char *text, size_t bytes, uint64_t *ret_threshold)
{
    uint64_t value;

    if (bytes == 0 || bytes > 14 || hex_scan(text, bytes, &value) != 0)
        return -1;
    *ret_threshold = value << (56 - 4 * bytes);
    return 0;
}
