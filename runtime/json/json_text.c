/* json_text.c: the grammar inside one token of JSON.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/json/json_text.h"

#include <string.h>

static int json_text_hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The four digits behind "\u"; -1 if they are not there. */
static int32_t json_text_unit(const char *at, const char *end)
{
    int32_t unit = 0;

    if (end - at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        int digit = json_text_hex(at[i]);

        if (digit < 0)
            return -1;
        unit = unit << 4 | digit;
    }
    return unit;
}

/* The code point of "\uXXXX" or of a surrogate pair, moving *at behind it; -1 for half of a pair. */
static int32_t json_text_code_point(const char **at, const char *end)
{
    int32_t high = json_text_unit(*at + 2, end), low;

    if (high < 0 || (high >= 0xDC00 && high <= 0xDFFF))
        return -1;
    *at += 6;
    if (high < 0xD800 || high > 0xDFFF)
        return high;
    if (end - *at < 6 || (*at)[0] != '\\' || (*at)[1] != 'u')
        return -1;
    low = json_text_unit(*at + 2, end);
    if (low < 0xDC00 || low > 0xDFFF)
        return -1;
    *at += 6;
    return 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
}

static uint32_t json_text_utf8(int32_t point, char *to)
{
    if (point < 0x80) {
        to[0] = (char)point;
        return 1;
    }
    if (point < 0x800) {
        to[0] = (char)(0xC0 | point >> 6);
        to[1] = (char)(0x80 | (point & 0x3F));
        return 2;
    }
    if (point < 0x10000) {
        to[0] = (char)(0xE0 | point >> 12);
        to[1] = (char)(0x80 | (point >> 6 & 0x3F));
        to[2] = (char)(0x80 | (point & 0x3F));
        return 3;
    }
    to[0] = (char)(0xF0 | point >> 18);
    to[1] = (char)(0x80 | (point >> 12 & 0x3F));
    to[2] = (char)(0x80 | (point >> 6 & 0x3F));
    to[3] = (char)(0x80 | (point & 0x3F));
    return 4;
}

/* The byte that a two-character escape stands for, 0 for none. */
static char json_text_named(char c)
{
    switch (c) {
    case '"':
    case '\\':
    case '/':
        return c;
    case 'b':
        return '\b';
    case 'f':
        return '\f';
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    default:
        return 0;
    }
}

/* One escape at *at into resolved[4]; its bytes, or 0 if it is none. */
static uint32_t json_text_escape(const char **at, const char *end, char *resolved)
{
    int32_t point;

    if (end - *at < 2)
        return 0;
    if ((*at)[1] == 'u') {
        point = json_text_code_point(at, end);
        return point < 0 ? 0 : json_text_utf8(point, resolved);
    }
    resolved[0] = json_text_named((*at)[1]);
    *at += 2;
    return resolved[0] != 0;
}

int sl_json_unescape(struct sl_slice inside, char *to, uint32_t *ret_bytes)
{
    const char *at = inside.data, *end = inside.data + inside.bytes;
    uint32_t bytes = 0;

    while (at < end) {
        const char *escape = memchr(at, '\\', (size_t)(end - at));
        uint32_t plain = (uint32_t)((escape != NULL ? escape : end) - at), resolved_bytes = 0;
        char resolved[4];

        if (to != NULL)
            memcpy(to + bytes, at, plain);
        bytes += plain;
        at += plain;
        if (escape == NULL)
            break;
        resolved_bytes = json_text_escape(&at, end, resolved);
        if (resolved_bytes == 0)
            return -1;
        if (to != NULL)
            memcpy(to + bytes, resolved, resolved_bytes);
        bytes += resolved_bytes;
    }
    *ret_bytes = bytes;
    return 0;
}

static const char *json_text_digits(const char *at, const char *end)
{
    while (at < end && (unsigned char)(*at - '0') <= 9)
        at++;
    return at;
}

bool sl_json_is_number(struct sl_slice token)
{
    const char *at = token.data, *end = token.data + token.bytes, *digits;

    if (at < end && *at == '-')
        at++;
    digits = at;
    at = json_text_digits(at, end);
    if (at == digits || (at - digits > 1 && *digits == '0'))
        return false;
    if (at < end && *at == '.') {
        digits = ++at;
        at = json_text_digits(at, end);
        if (at == digits)
            return false;
    }
    if (at < end && (*at == 'e' || *at == 'E')) {
        at++;
        if (at < end && (*at == '+' || *at == '-'))
            at++;
        digits = at;
        at = json_text_digits(at, end);
        if (at == digits)
            return false;
    }
    return at == end;
}
