/* logfmt.c: format logfmt: key=value pairs with blanks between them, as Go's and Heroku's loggers write them.
 *
 * A key is anything but blanks, control characters, = and "; a value the same, or quoted, with \" \\ \/ \n \r \t \b \f \uXXXX in it (an unknown escape stays as
 * it is). A key alone is true; `key=` is the empty string. All other values are strings. Of repeated keys the first counts. A dot in a key
 * is part of it: `http.status` is the field http\.status. A line without any pair, a value without a key and a quote without its end are set aside.
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>

#include "operators/stages/formats/fields.h"

struct logfmt_format {
    struct sl_format_fields *fields;
    struct sl_format_member members[SL_FORMAT_MEMBERS];
};

struct logfmt_walk {
    const char *at, *end;
    struct sl_arena *arena;
    uint32_t pairs;
    bool failed; /* over budget */
};

static int logfmt_check(const struct sl_format_config *config, struct sl_err *err)
{
    return sl_format_types_check(config, NULL, 0, err);
}

static void logfmt_close(void *self)
{
    struct logfmt_format *logfmt = self;

    logfmt->fields = sl_format_fields_free(logfmt->fields);
    free(logfmt);
}

static int logfmt_open(const struct sl_format_open *open, void **ret_self, struct sl_err *err)
{
    struct logfmt_format *logfmt = calloc(1, sizeof(*logfmt));
    int rc;

    if (logfmt == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory for a format");
    rc = sl_format_fields_new(open, NULL, 0, &logfmt->fields, err);
    if (rc != 0)
        logfmt_close(logfmt);
    else
        *ret_self = logfmt;
    return rc;
}

/* ---- decode ---- */

static bool logfmt_is_word(char c)
{
    return (unsigned char)c > ' ' && c != '=' && c != '"';
}

static bool logfmt_hex(const char *at, const char *end, uint32_t *ret_value)
{
    *ret_value = 0;
    if (end - at < 4)
        return false;
    for (int i = 0; i < 4; i++) {
        unsigned char c = (unsigned char)at[i], digit = (unsigned char)(c - '0');
        if (digit > 9)
            digit = (unsigned char)((c | 0x20) - 'a' + 10);
        if (digit > 15 || (c > '9' && digit < 10))
            return false;
        *ret_value = *ret_value << 4 | digit;
    }
    return true;
}

static char *logfmt_utf8(char *to, uint32_t point)
{
    if (point >= 0xD800 && point <= 0xDFFF)
        point = 0xFFFD; /* half of a pair stands for nothing */
    if (point < 0x80) {
        *to++ = (char)point;
    } else if (point < 0x800) {
        *to++ = (char)(0xC0 | point >> 6);
        *to++ = (char)(0x80 | (point & 63));
    } else if (point < 0x10000) {
        *to++ = (char)(0xE0 | point >> 12);
        *to++ = (char)(0x80 | (point >> 6 & 63));
        *to++ = (char)(0x80 | (point & 63));
    } else {
        *to++ = (char)(0xF0 | point >> 18);
        *to++ = (char)(0x80 | (point >> 12 & 63));
        *to++ = (char)(0x80 | (point >> 6 & 63));
        *to++ = (char)(0x80 | (point & 63));
    }
    return to;
}

/* at stands behind \u. Never longer than what it was written as. */
static const char *logfmt_point(const char *at, const char *end, char **to)
{
    uint32_t point, low;

    if (!logfmt_hex(at, end, &point)) {
        *(*to)++ = '\\';
        *(*to)++ = 'u';
        return at;
    }
    at += 4;
    if (point >= 0xD800 && point <= 0xDBFF && end - at >= 6 && at[0] == '\\' && at[1] == 'u' && logfmt_hex(at + 2, end, &low) && low >= 0xDC00 &&
        low <= 0xDFFF) {
        point = 0x10000 + ((point - 0xD800) << 10) + (low - 0xDC00);
        at += 6;
    }
    *to = logfmt_utf8(*to, point);
    return at;
}

static struct sl_format_value logfmt_unescape(struct logfmt_walk *walk, const char *from, const char *to)
{
    static const char letters[] = "nrtbf\"\\/", meant[] = "\n\r\t\b\f\"\\/";
    char *text = sl_arena_alloc(walk->arena, (size_t)(to - from) + SL_PAD), *out = text;

    if (text == NULL) {
        walk->failed = true;
        return sl_format_null();
    }
    while (from < to) {
        const char *letter;
        if (*from != '\\' || from + 1 == to) {
            *out++ = *from++;
            continue;
        }
        letter = memchr(letters, from[1], sizeof(letters) - 1);
        if (from[1] == 'u') {
            from = logfmt_point(from + 2, to, &out);
        } else if (letter != NULL) {
            *out++ = meant[letter - letters];
            from += 2;
        } else {
            *out++ = *from++;
        }
    }
    return sl_format_string(text, (size_t)(out - text));
}

/* at stands behind the opening quote. */
static uint8_t logfmt_quoted(struct logfmt_walk *walk, struct sl_format_value *ret_value)
{
    const char *from = walk->at, *at = from;
    bool escapes = false;

    for (; at < walk->end && *at != '"'; at++)
        if (*at == '\\') {
            escapes = true;
            at++;
        }
    if (at >= walk->end)
        return SL_FORMAT_LOGFMT_QUOTE;
    walk->at = at + 1;
    *ret_value = escapes ? logfmt_unescape(walk, from, at) : sl_format_string(from, (size_t)(at - from));
    return 0;
}

/* One pair; at stands at its first byte. */
static uint8_t logfmt_pair(struct logfmt_walk *walk, struct sl_format_member *member)
{
    const char *from = walk->at;

    while (walk->at < walk->end && logfmt_is_word(*walk->at))
        walk->at++;
    if (walk->at == from)
        return SL_FORMAT_LOGFMT_NO_KEY;
    *member = (struct sl_format_member){.field = SL_FORMAT_NO_FIELD, .key = {from, (uint32_t)(walk->at - from)},
                                        .value = {{"true", 4}, SL_T_BOOL}};
    if (walk->at == walk->end || *walk->at != '=')
        return 0;
    walk->pairs++;
    from = ++walk->at;
    if (walk->at < walk->end && *walk->at == '"') {
        walk->at++;
        return logfmt_quoted(walk, &member->value);
    }
    while (walk->at < walk->end && (unsigned char)*walk->at > ' ') /* a bare value may hold = and ": a query string, a base64 text */
        walk->at++;
    member->value = sl_format_string(from, (size_t)(walk->at - from));
    return 0;
}

/* 0, or the reason. */
static uint8_t logfmt_record(struct logfmt_walk *walk, struct sl_format_member *members, uint32_t *ret_count)
{
    uint32_t count = 0;
    uint8_t reason = 0;

    for (;;) {
        while (walk->at < walk->end && (unsigned char)*walk->at <= ' ')
            walk->at++;
        if (walk->at == walk->end || reason != 0)
            break;
        if (count == SL_FORMAT_MEMBERS)
            return SL_FORMAT_MANY;
        reason = logfmt_pair(walk, &members[count++]);
        if (reason != 0)
            return reason;
    }
    *ret_count = count;
    if (count == 0)
        return SL_FORMAT_EMPTY;
    return walk->pairs == 0 ? SL_FORMAT_LOGFMT_NO_PAIR : 0;
}

static int logfmt_decode(void *self, const struct sl_format_batch *batch)
{
    struct logfmt_format *logfmt = self;
    const struct sl_view *view = batch->view;

    sl_format_fields_batch(logfmt->fields, batch);
    for (uint32_t i = 0; i < view->sel_count; i++) {
        uint16_t row = view->sel[i];
        struct logfmt_walk walk = {.arena = view->batch->arena};
        struct sl_slice line;
        uint32_t count = 0;
        uint8_t reason;
        if (sl_format_line(batch, row, &line) != 0)
            return -1;
        walk.at = line.data;
        walk.end = line.data + line.bytes;
        reason = logfmt_record(&walk, logfmt->members, &count);
        if (walk.failed)
            return -1;
        if (reason != 0)
            sl_format_dead(batch, row, reason);
        else if (sl_format_fields_put(logfmt->fields, row, logfmt->members, count) != 0)
            return -1;
    }
    return 0;
}

const struct sl_format_kind sl_format_logfmt = {
    .name = "logfmt",
    .roles = {"ts", "service", "level", "trace_id"},
    .check = logfmt_check,
    .open = logfmt_open,
    .decode = logfmt_decode,
    .close = logfmt_close,
};
