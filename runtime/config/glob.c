/* glob.c: matching with one point of return: a star that comes later makes the earlier ones'
 * choices final.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/config/glob.h"

#define glob_refuse(err, ...) sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, __VA_ARGS__)

/* Bytes of the character at `at`; a broken sequence is one byte. */
static uint32_t glob_char(const char *at, uint32_t left, uint32_t *ret_code)
{
    unsigned char first = (unsigned char)at[0];
    uint32_t bytes = first < 0xc2 ? 1 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 1;
    uint32_t code = bytes == 1 ? first : first & (0xffu >> (bytes + 1));

    if (first < 0x80 || bytes == 1 || bytes > left)
        return *ret_code = first < 0x80 ? first : 0x110000u + first, 1;
    for (uint32_t i = 1; i < bytes; i++) {
        if (((unsigned char)at[i] & 0xc0) != 0x80)
            return *ret_code = 0x110000u + first, 1;
        code = (code << 6) | ((unsigned char)at[i] & 0x3f);
    }
    *ret_code = code;
    return bytes;
}

/* One member of a set, with its escape resolved; advances *at. The pattern's NUL is no continuation
 * byte, so that no sequence is read past it. */
static uint32_t glob_member(const char **at)
{
    uint32_t code = 0;

    if ((*at)[0] == '\\' && (*at)[1] != '\0')
        (*at)++;
    *at += glob_char(*at, 4, &code);
    return code;
}

/* *at stands behind '['; afterwards behind ']'. */
static bool glob_set(const char **at, uint32_t code)
{
    bool negative = **at == '!' || **at == '^', found = false, first = true;

    if (negative)
        (*at)++;
    for (; **at != '\0' && (first || **at != ']'); first = false) {
        uint32_t low = glob_member(at), high = low;
        if ((*at)[0] == '-' && (*at)[1] != ']' && (*at)[1] != '\0') {
            (*at)++;
            high = glob_member(at);
        }
        found = found || (low <= code && code <= high);
    }
    if (**at == ']')
        (*at)++;
    return found != negative;
}

/* Does the pattern's next element (not a star) take the character `code`? Advances *at over the
 * element. */
static bool glob_step(const char **at, uint32_t code)
{
    uint32_t own = 0;

    if (**at == '?')
        return (*at)++, true;
    if (**at == '[')
        return (*at)++, glob_set(at, code);
    own = glob_member(at);
    return own == code;
}

/* Most of most patterns: one byte that stands for itself. */
static bool glob_is_plain(char c)
{
    return (unsigned char)c < 0x80 && c != '\0' && c != '?' && c != '[' && c != '\\';
}

/* One character of text against the pattern's next element; both move on when it fits. */
static bool glob_take(const char **at, struct sl_slice text, uint32_t *pos)
{
    uint32_t code = 0, bytes;

    if (glob_is_plain(**at)) {
        if (text.data[*pos] != **at)
            return false;
        (*at)++;
        (*pos)++;
        return true;
    }
    bytes = glob_char(text.data + *pos, text.bytes - *pos, &code);
    if (**at == '\0' || !glob_step(at, code))
        return false;
    *pos += bytes;
    return true;
}

bool sl_glob_match(const char *pattern, struct sl_slice text)
{
    const char *at = pattern, *star = NULL;
    uint32_t pos = 0, star_pos = 0, code = 0;

    while (pos < text.bytes) {
        if (*at == '*') {
            star = ++at;
            star_pos = pos;
            if (*at == '\0')
                return true;
            continue;
        }
        if (glob_take(&at, text, &pos))
            continue;
        if (star == NULL)
            return false;
        star_pos += glob_char(text.data + star_pos, text.bytes - star_pos, &code);
        at = star;
        pos = star_pos;
    }
    while (*at == '*')
        at++;
    return *at == '\0';
}

static int glob_check_set(const char *pattern, const char **at, struct sl_err *err)
{
    bool first = true;

    if (**at == '!' || **at == '^')
        (*at)++;
    for (; **at != '\0' && (first || **at != ']'); first = false) {
        uint32_t low, high;
        if ((*at)[0] == '\\' && (*at)[1] == '\0')
            break;
        low = high = glob_member(at);
        if ((*at)[0] == '-' && (*at)[1] != ']' && (*at)[1] != '\0') {
            (*at)++;
            high = glob_member(at);
        }
        if (high < low)
            return glob_refuse(
                err,
                "the pattern %.64s has a range that runs backwards: write the smaller end first",
                pattern);
    }
    if (**at != ']')
        return glob_refuse(err,
                           "the pattern %.64s opens a set with [ and does not close it: write ] "
                           "or, for the character, \\[",
                           pattern);
    (*at)++;
    return 0;
}

int sl_glob_check(const char *pattern, struct sl_err *err)
{
    if (strlen(pattern) > SL_GLOB_BYTES)
        return glob_refuse(err, "the pattern %.64s… is longer than %d bytes: write a shorter one",
                           pattern, SL_GLOB_BYTES);
    for (const char *at = pattern; *at != '\0';) {
        if (*at == '\\' && at[1] == '\0')
            return glob_refuse(
                err, "the pattern %.64s ends with a lone backslash: write \\\\ for a backslash",
                pattern);
        if (*at == '\\')
            at += 2;
        else if (*at != '[')
            at++;
        else if (at++, glob_check_set(pattern, &at, err) != 0)
            return -(int)SL_E_CONFIG;
    }
    return 0;
}
