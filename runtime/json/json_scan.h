/* json_scan.h: a JSON text token by token, for stages that change records: where each key, value, bracket and comma stands.
 *
 * The grammar is kept (a text that is not one JSON value ends in SL_JSON_WRONG), but for the escapes of strings: who wants a string's
 * meaning resolves it. Begin by sl_json_scan_begin, then sl_json_scan_next until DONE or WRONG. Inline: this is the hot path of
 * every stage that edits.
 * Limits: SL_JSON_DEPTH levels. Threads: an index serves one scan at a time.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_JSON_JSON_SCAN_H
#define SL_RUNTIME_JSON_JSON_SCAN_H

#include "runtime/json/json.h"
#include "runtime/json/json_index.h"
#include "runtime/json/json_text.h"

enum sl_json_event {
    SL_JSON_KEY,   /* span: with its quotes; comma: before it */
    SL_JSON_VALUE, /* a scalar. span: the token, a string's quotes included */
    SL_JSON_BEGIN, /* span: the bracket */
    SL_JSON_END,
    SL_JSON_DONE,
    SL_JSON_WRONG /* verdict says why */
};

#define SL_JSON_NO_COMMA UINT32_MAX

enum sl_json_expects { SL_JSON_EXPECTS_VALUE, SL_JSON_EXPECTS_FIRST, SL_JSON_EXPECTS_BEHIND };

struct sl_json_scan {
    const char *text;
    const uint32_t *at, *end;
    uint32_t depth;
    enum sl_json_expects expects;
    enum sl_json_verdict verdict;
    struct sl_span span;
    enum sl_type type; /* of VALUE, BEGIN and END */
    uint32_t comma;    /* of KEY, or SL_JSON_NO_COMMA: it is the first */
    uint64_t objects[SL_JSON_DEPTH / 64 + 1]; /* bit by depth: an object */
};

static inline enum sl_json_event sl_json_scan_wrong(struct sl_json_scan *scan, enum sl_json_verdict verdict)
{
    scan->verdict = verdict;
    return SL_JSON_WRONG;
}

/* false: not JSON, or no memory (SL_JSON_VERDICTS); scan->verdict says which. text has SL_PAD readable bytes behind it. */
static inline bool sl_json_scan_begin(struct sl_json_scan *scan, struct sl_json_index *index, struct sl_slice text)
{
    static const uint8_t verdicts[] = {
        [SL_JSON_INDEX_FINE] = SL_JSON_FINE,          [SL_JSON_INDEX_EMPTY] = SL_JSON_EMPTY,
        [SL_JSON_INDEX_UNCLOSED] = SL_JSON_TRUNCATED, [SL_JSON_INDEX_CONTROL] = SL_JSON_CONTROL,
        [SL_JSON_INDEX_UTF8] = SL_JSON_UTF8,          [SL_JSON_INDEX_NO_MEMORY] = SL_JSON_VERDICTS,
    };
    uint32_t count = 0;

    scan->text = text.data;
    scan->depth = 0;
    scan->expects = SL_JSON_EXPECTS_VALUE;
    scan->objects[0] = 0;
    scan->verdict = (enum sl_json_verdict)verdicts[sl_json_index_of(index, text.data, text.bytes, &scan->at, &count)];
    if (scan->verdict == SL_JSON_FINE)
        scan->end = scan->at + count;
    return scan->verdict == SL_JSON_FINE;
}

/* Where the token that ends before `next` ends; the token's first byte is no blank, so this stops. */
static inline uint32_t sl_json_scan_token_end(const char *text, uint32_t next)
{
    while (text[next - 1] == ' ' || text[next - 1] == '\n' || text[next - 1] == '\t' || text[next - 1] == '\r')
        next--;
    return next;
}

static inline bool sl_json_scan_in_object(const struct sl_json_scan *scan)
{
    return scan->depth > 0 && (scan->objects[scan->depth / 64] >> scan->depth % 64 & 1) != 0;
}

static inline enum sl_json_event sl_json_scan_key(struct sl_json_scan *scan, uint32_t comma)
{
    uint32_t open, colon, end;

    if (scan->end - scan->at < 2)
        return sl_json_scan_wrong(scan, SL_JSON_TRUNCATED);
    open = *scan->at++;
    colon = *scan->at++;
    end = sl_json_scan_token_end(scan->text, colon);
    if (scan->text[open] != '"' || scan->text[colon] != ':' || end - open < 2 || scan->text[end - 1] != '"')
        return sl_json_scan_wrong(scan, SL_JSON_NOT_JSON);
    scan->span = (struct sl_span){open, end - open};
    scan->comma = comma;
    scan->expects = SL_JSON_EXPECTS_VALUE;
    return SL_JSON_KEY;
}

static inline enum sl_json_event sl_json_scan_open(struct sl_json_scan *scan, uint32_t at, bool object)
{
    uint64_t bit;

    if (scan->depth == SL_JSON_DEPTH)
        return sl_json_scan_wrong(scan, SL_JSON_DEEP);
    scan->depth++;
    bit = 1ull << scan->depth % 64;
    scan->objects[scan->depth / 64] = object ? scan->objects[scan->depth / 64] | bit : scan->objects[scan->depth / 64] & ~bit;
    scan->span = (struct sl_span){at, 1};
    scan->type = object ? SL_T_OBJECT : SL_T_ARRAY;
    scan->expects = SL_JSON_EXPECTS_FIRST;
    return SL_JSON_BEGIN;
}

static inline enum sl_json_event sl_json_scan_close(struct sl_json_scan *scan, uint32_t at)
{
    scan->type = sl_json_scan_in_object(scan) ? SL_T_OBJECT : SL_T_ARRAY;
    scan->depth--;
    scan->span = (struct sl_span){at, 1};
    scan->expects = SL_JSON_EXPECTS_BEHIND;
    return SL_JSON_END;
}

static inline enum sl_json_event sl_json_scan_scalar(struct sl_json_scan *scan, uint32_t at)
{
    struct sl_slice token = {scan->text + at, sl_json_scan_token_end(scan->text, *scan->at) - at};
    char first = token.data[0];

    scan->span = (struct sl_span){at, token.bytes};
    scan->expects = SL_JSON_EXPECTS_BEHIND;
    if (first == '"') {
        scan->type = SL_T_STRING;
        return token.bytes >= 2 && token.data[token.bytes - 1] == '"' ? SL_JSON_VALUE : sl_json_scan_wrong(scan, SL_JSON_NOT_JSON);
    }
    if (first == '-' || (first >= '0' && first <= '9')) {
        scan->type = SL_T_NUMBER;
        return sl_json_is_number(token) ? SL_JSON_VALUE : sl_json_scan_wrong(scan, SL_JSON_NUMBER);
    }
    scan->type = first == 'n' ? SL_T_NULL : SL_T_BOOL;
    if ((token.bytes == 4 && (memcmp(token.data, "true", 4) == 0 || memcmp(token.data, "null", 4) == 0)) ||
        (token.bytes == 5 && memcmp(token.data, "false", 5) == 0))
        return SL_JSON_VALUE;
    return sl_json_scan_wrong(scan, SL_JSON_NOT_JSON);
}

static inline enum sl_json_event sl_json_scan_value(struct sl_json_scan *scan)
{
    uint32_t at;

    if (scan->at == scan->end)
        return sl_json_scan_wrong(scan, SL_JSON_TRUNCATED);
    at = *scan->at++;
    if (scan->text[at] == '{' || scan->text[at] == '[')
        return sl_json_scan_open(scan, at, scan->text[at] == '{');
    return sl_json_scan_scalar(scan, at);
}

static inline enum sl_json_event sl_json_scan_behind(struct sl_json_scan *scan)
{
    uint32_t at;

    if (scan->depth == 0)
        return scan->at == scan->end ? SL_JSON_DONE : sl_json_scan_wrong(scan, SL_JSON_TRAILING);
    if (scan->at == scan->end)
        return sl_json_scan_wrong(scan, SL_JSON_TRUNCATED);
    at = *scan->at++;
    if (scan->text[at] == ',')
        return sl_json_scan_in_object(scan) ? sl_json_scan_key(scan, at) : sl_json_scan_value(scan);
    if (scan->text[at] == (sl_json_scan_in_object(scan) ? '}' : ']'))
        return sl_json_scan_close(scan, at);
    return sl_json_scan_wrong(scan, SL_JSON_NOT_JSON);
}

static inline enum sl_json_event sl_json_scan_next(struct sl_json_scan *scan)
{
    bool object;

    if (scan->expects == SL_JSON_EXPECTS_BEHIND)
        return sl_json_scan_behind(scan);
    if (scan->expects == SL_JSON_EXPECTS_VALUE)
        return sl_json_scan_value(scan);
    if (scan->at == scan->end)
        return sl_json_scan_wrong(scan, SL_JSON_TRUNCATED);
    object = sl_json_scan_in_object(scan);
    if (scan->text[*scan->at] == (object ? '}' : ']'))
        return sl_json_scan_close(scan, *scan->at++);
    return object ? sl_json_scan_key(scan, SL_JSON_NO_COMMA) : sl_json_scan_value(scan);
}

/* Behind a BEGIN: on to its END, whatever is in between (only brackets are counted). */
static inline enum sl_json_event sl_json_scan_leap(struct sl_json_scan *scan)
{
    uint32_t open = 1;

    while (scan->at < scan->end) {
        uint32_t at = *scan->at++;
        char c = (char)(scan->text[at] | 0x20); /* '[' and '{' differ in this bit only, so do ']' and '}' */

        if (c == '{')
            open++;
        else if (c == '}' && --open == 0)
            return sl_json_scan_close(scan, at);
    }
    return sl_json_scan_wrong(scan, SL_JSON_TRUNCATED);
}

#endif
