/* json_out.c: writes JSON into a growable buffer.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/json_out.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void sl_json_out_init(struct sl_json_out *out, struct sl_buf *buf)
{
    *out = (struct sl_json_out){.buf = buf};
}

bool sl_json_out_done(const struct sl_json_out *out)
{
    return out->depth == 0 && !out->keyed;
}

static uint64_t json_out_bit(const struct sl_json_out *out)
{
    return out->depth == 0 ? 0 : (uint64_t)1 << (out->depth - 1);
}

/* What stands between the value before and this one. */
static void json_out_next(struct sl_json_out *out)
{
    uint64_t bit = json_out_bit(out);

    if (out->keyed) {
        out->keyed = false;
        return;
    }
    assert((out->objects & bit) == 0);
    if ((out->some & bit) != 0)
        sl_buf_char(out->buf, ',');
    out->some |= bit;
}

static void json_out_begin(struct sl_json_out *out, bool object)
{
    json_out_next(out);
    assert(out->depth < SL_JSON_OUT_DEPTH);
    out->depth++;
    out->some &= ~json_out_bit(out);
    out->objects &= ~json_out_bit(out);
    if (object)
        out->objects |= json_out_bit(out);
    sl_buf_char(out->buf, object ? '{' : '[');
}

static void json_out_end(struct sl_json_out *out, bool object)
{
    assert(out->depth > 0);
    assert(!out->keyed);
    assert(((out->objects & json_out_bit(out)) != 0) == object);
    out->depth--;
    sl_buf_char(out->buf, object ? '}' : ']');
}

void sl_json_out_object(struct sl_json_out *out)
{
    json_out_begin(out, true);
}

void sl_json_out_end_object(struct sl_json_out *out)
{
    json_out_end(out, true);
}

void sl_json_out_array(struct sl_json_out *out)
{
    json_out_begin(out, false);
}

void sl_json_out_end_array(struct sl_json_out *out)
{
    json_out_end(out, false);
}

/* What stands before a key. */
static void json_out_key_begin(struct sl_json_out *out)
{
    uint64_t bit = json_out_bit(out);

    assert(!out->keyed);
    assert((out->objects & bit) != 0);
    if ((out->some & bit) != 0)
        sl_buf_char(out->buf, ',');
    out->some |= bit;
    out->keyed = true;
}

void sl_json_out_key_slice(struct sl_json_out *out, struct sl_slice key)
{
    json_out_key_begin(out);
    sl_json_quote(out->buf, key);
    sl_buf_char(out->buf, ':');
}

void sl_json_out_key_token(struct sl_json_out *out, struct sl_slice token)
{
    json_out_key_begin(out);
    sl_buf_slice(out->buf, token);
    sl_buf_char(out->buf, ':');
}

void sl_json_out_key(struct sl_json_out *out, const char *key)
{
    sl_json_out_key_slice(out, sl_slice_of(key));
}

/* Bytes of the well-formed UTF-8 sequence at `at`, or 0 with *ret_wrong the bytes of the maximal wrong part. */
static uint32_t json_out_utf8(const unsigned char *at, uint32_t left, uint32_t *ret_wrong)
{
    unsigned char low = 0x80, high = 0xBF;
    uint32_t bytes, i;

    *ret_wrong = 1;
    if (at[0] >= 0xC2 && at[0] <= 0xDF)
        bytes = 2;
    else if (at[0] >= 0xE0 && at[0] <= 0xEF)
        bytes = 3;
    else if (at[0] >= 0xF0 && at[0] <= 0xF4)
        bytes = 4;
    else
        return 0;
    if (at[0] == 0xE0)
        low = 0xA0;
    else if (at[0] == 0xED)
        high = 0x9F;
    else if (at[0] == 0xF0)
        low = 0x90;
    else if (at[0] == 0xF4)
        high = 0x8F;
    for (i = 1; i < bytes; i++) {
        if (i == left || at[i] < low || at[i] > high) {
            *ret_wrong = i;
            return 0;
        }
        low = 0x80;
        high = 0xBF;
    }
    return bytes;
}

/* Copies where there is a place to copy to; the count is the same either way. */
static size_t json_out_put(char *to, size_t at, const void *data, size_t bytes)
{
    if (to != NULL && bytes > 0)
        memcpy(to + at, data, bytes);
    return at + bytes;
}

static size_t json_out_escape(char *to, size_t at, unsigned char c)
{
    static const char named[] = "btn\0fr", digits[] = "0123456789abcdef"; /* named: 8 to 13; 11 has no name */

    if (c == '"' || c == '\\')
        return json_out_put(to, at, (char[]){'\\', (char)c}, 2);
    if (c >= 8 && c <= 13 && c != 11)
        return json_out_put(to, at, (char[]){'\\', named[c - 8]}, 2);
    return json_out_put(to, at, (char[]){'\\', 'u', '0', '0', digits[c >> 4], digits[c & 15]}, 6);
}

size_t sl_json_quote_to(struct sl_slice text, char *to)
{
    const unsigned char *data = (const unsigned char *)text.data;
    uint32_t from = 0, at = 0;
    size_t bytes = json_out_put(to, 0, "\"", 1);

    while (at < text.bytes) {
        uint32_t sound, wrong = 1;

        if (data[at] < 0x80)
            sound = data[at] >= 0x20 && data[at] != '"' && data[at] != '\\';
        else
            sound = json_out_utf8(data + at, text.bytes - at, &wrong);
        if (sound > 0) {
            at += sound;
            continue;
        }
        bytes = json_out_put(to, bytes, data + from, at - from);
        if (data[at] < 0x80)
            bytes = json_out_escape(to, bytes, data[at]);
        else
            bytes = json_out_put(to, bytes, "\xEF\xBF\xBD", 3);
        at += wrong;
        from = at;
    }
    if (at > from)
        bytes = json_out_put(to, bytes, data + from, at - from);
    return json_out_put(to, bytes, "\"", 1);
}

void sl_json_quote(struct sl_buf *buf, struct sl_slice text)
{
    size_t bytes = sl_json_quote_to(text, NULL);
    char *to = sl_buf_reserve(buf, bytes);

    if (to == NULL)
        return;
    (void)sl_json_quote_to(text, to);
    sl_buf_added(buf, bytes);
}

void sl_json_out_slice(struct sl_json_out *out, struct sl_slice text)
{
    json_out_next(out);
    sl_json_quote(out->buf, text);
}

void sl_json_out_str(struct sl_json_out *out, const char *text)
{
    if (text == NULL)
        sl_json_out_null(out);
    else
        sl_json_out_slice(out, sl_slice_of(text));
}

void sl_json_out_printf(struct sl_json_out *out, const char *format, ...)
{
    struct sl_buf text = {0};
    va_list args;

    va_start(args, format);
    sl_buf_vprintf(&text, format, args);
    va_end(args);
    sl_json_out_slice(out, (struct sl_slice){sl_buf_str(&text), (uint32_t)text.bytes});
    out->buf->failed |= text.failed;
    sl_buf_fini(&text);
}

void sl_json_out_u64(struct sl_json_out *out, uint64_t value)
{
    json_out_next(out);
    sl_buf_printf(out->buf, "%" PRIu64, value);
}

void sl_json_out_i64(struct sl_json_out *out, int64_t value)
{
    json_out_next(out);
    sl_buf_printf(out->buf, "%" PRId64, value);
}

void sl_json_out_f64(struct sl_json_out *out, double value)
{
    char text[40];

    json_out_next(out);
    if (!isfinite(value)) {
        sl_buf_text(out->buf, "null");
        return;
    }
    for (int digits = 15; digits <= 17; digits++) {
        (void)snprintf(text, sizeof(text), "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            break;
    }
    for (char *c = text; *c != 0; c++) /* a locale's decimal comma is not JSON */
        *c = *c == ',' ? '.' : *c;
    sl_buf_text(out->buf, text);
}

void sl_json_out_bool(struct sl_json_out *out, bool value)
{
    json_out_next(out);
    sl_buf_text(out->buf, value ? "true" : "false");
}

void sl_json_out_null(struct sl_json_out *out)
{
    json_out_next(out);
    sl_buf_text(out->buf, "null");
}

void sl_json_out_raw(struct sl_json_out *out, struct sl_slice json)
{
    json_out_next(out);
    sl_buf_slice(out->buf, json);
}

void sl_json_out_str_at(struct sl_json_out *out, const char *key, const char *text)
{
    sl_json_out_key(out, key);
    sl_json_out_str(out, text);
}

void sl_json_out_slice_at(struct sl_json_out *out, const char *key, struct sl_slice text)
{
    sl_json_out_key(out, key);
    sl_json_out_slice(out, text);
}

void sl_json_out_u64_at(struct sl_json_out *out, const char *key, uint64_t value)
{
    sl_json_out_key(out, key);
    sl_json_out_u64(out, value);
}

void sl_json_out_i64_at(struct sl_json_out *out, const char *key, int64_t value)
{
    sl_json_out_key(out, key);
    sl_json_out_i64(out, value);
}

void sl_json_out_f64_at(struct sl_json_out *out, const char *key, double value)
{
    sl_json_out_key(out, key);
    sl_json_out_f64(out, value);
}

void sl_json_out_bool_at(struct sl_json_out *out, const char *key, bool value)
{
    sl_json_out_key(out, key);
    sl_json_out_bool(out, value);
}
