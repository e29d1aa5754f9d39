/* detect.c: the layers of a text, and what looks through each: detectors.c and patterns of PCRE2.
 * SPDX-License-Identifier: Apache-2.0 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "operators/stages/redact/detect.h"

#include <assert.h>
#include <errno.h>
#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/json/json_text.h"

enum { DETECT_MAGIC = 0x64657465, DETECT_MATCH_LIMIT = 1000000, DETECT_PATTERN_BYTES = 4096, DETECT_DIGITS = 19 };
enum detect_name { DETECT_CARD, DETECT_EMAIL, DETECT_TOKEN, DETECT_IBAN, DETECT_NAMES };

const char *const sl_detector_names[] = {
    [DETECT_CARD] = "card", [DETECT_EMAIL] = "email", [DETECT_TOKEN] = "token", [DETECT_IBAN] = "iban", [DETECT_NAMES] = NULL};

struct detect_layer {
    char *text;
    uint32_t *from; /* [bytes + 1]: where each byte begins in the text as it is */
    uint32_t bytes, room;
};

struct sl_detect {
    uint32_t magic;
    bool wanted[DETECT_NAMES];
    bool now[DETECT_NAMES]; /* those that may find something in the record under way */
    pcre2_code *patterns[DETECT_PATTERNS];
    uint32_t patterns_count;
    pcre2_match_data *match;
    pcre2_match_context *context;
    bool any;     /* of now, and patterns */
    bool quoting; /* the record has backslashes or percent signs */
    uint64_t limits;
    struct sl_ranges ranges, found; /* of the text as it is; of a layer */
    struct detect_layer layer[2];   /* in turns */
};

/* ---- made ---- */

static int detect_pattern(struct sl_detect *detect, const char *setting, const char *pattern, struct sl_err *err)
{
    pcre2_compile_context *context = pcre2_compile_context_create(NULL);
    PCRE2_SIZE offset = 0;
    PCRE2_UCHAR why[120] = "no memory";
    uint32_t least = 0;
    int error = 0;
    pcre2_code *code = NULL;

    if (context != NULL) {
        (void)pcre2_set_max_pattern_length(context, DETECT_PATTERN_BYTES);
        (void)pcre2_set_parens_nest_limit(context, 100);
        code = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_NEVER_BACKSLASH_C,
                             &error, &offset, context);
        if (code == NULL)
            (void)pcre2_get_error_message(error, why, sizeof(why));
    }
    pcre2_compile_context_free(context);
    if (code == NULL)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "%s: the pattern \"%.60s\" fails at character %u: %s; write a PCRE2 pattern",
                       setting, pattern, (unsigned)offset + 1, (const char *)why);
    detect->patterns[detect->patterns_count++] = code;
    (void)pcre2_pattern_info(code, PCRE2_INFO_MINLENGTH, &least);
    if (least == 0)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0,
                       "%s: the pattern \"%.60s\" matches where nothing stands; write what must stand there, such as [0-9]+ for [0-9]*",
                       setting, pattern);
    (void)pcre2_jit_compile(code, PCRE2_JIT_COMPLETE); /* without it the interpreter serves */
    return 0;
}

static int detect_name(struct sl_detect *detect, const char *name, struct sl_err *err)
{
    for (int i = 0; i < DETECT_NAMES; i++)
        if (strcmp(sl_detector_names[i], name) == 0) {
            detect->wanted[i] = true;
            return 0;
        }
    return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "detect: there is no detector \"%.40s\"; write card, email, token or iban", name);
}

int sl_detect_new(const struct sl_strings *detectors, const struct sl_strings *patterns, struct sl_detect **ret_detect, struct sl_err *err)
{
    struct sl_detect *detect = calloc(1, sizeof(*detect));
    int rc = 0;

    if (detect == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory for detectors");
    detect->magic = DETECT_MAGIC;
    detect->match = pcre2_match_data_create(1, NULL);
    detect->context = pcre2_match_context_create(NULL);
    if (detect->match == NULL || detect->context == NULL)
        rc = sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory for detectors");
    else
        (void)pcre2_set_match_limit(detect->context, DETECT_MATCH_LIMIT);
    for (uint32_t i = 0; rc == 0 && i < detectors->count; i++)
        rc = detect_name(detect, detectors->items[i], err);
    if (rc == 0 && patterns->count > DETECT_PATTERNS)
        rc = sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "patterns: %u are too many; write at most %d, or join them by |", patterns->count,
                     DETECT_PATTERNS);
    for (uint32_t i = 0; rc == 0 && i < patterns->count; i++)
        rc = detect_pattern(detect, "patterns", patterns->items[i], err);
    if (rc != 0)
        detect = sl_detect_free(detect);
    else
        *ret_detect = detect;
    return rc;
}

struct sl_detect *sl_detect_free(struct sl_detect *detect)
{
    if (detect != NULL) {
        assert(detect->magic == DETECT_MAGIC);
        for (uint32_t i = 0; i < detect->patterns_count; i++)
            pcre2_code_free(detect->patterns[i]);
        pcre2_match_data_free(detect->match);
        pcre2_match_context_free(detect->context);
        free(detect->ranges.items);
        free(detect->found.items);
        for (int i = 0; i < 2; i++) {
            free(detect->layer[i].text);
            free(detect->layer[i].from);
        }
        detect->magic = 0;
        free(detect);
    }
    return NULL;
}

bool sl_detect_any(const struct sl_detect *detect)
{
    bool any = detect->patterns_count > 0;

    for (int i = 0; i < DETECT_NAMES; i++)
        any = any || detect->wanted[i];
    return any;
}

uint64_t sl_detect_limits(const struct sl_detect *detect)
{
    return detect->limits;
}

/* ---- one layer ---- */

static int detect_match(struct sl_detect *detect, const pcre2_code *code, struct sl_slice text)
{
    PCRE2_SIZE at = 0;

    while (at <= text.bytes) {
        int matched = pcre2_match(code, (PCRE2_SPTR)text.data, text.bytes, at, 0, detect->match, detect->context);
        const PCRE2_SIZE *ends = pcre2_get_ovector_pointer(detect->match);

        if (matched == PCRE2_ERROR_NOMATCH)
            return 0;
        if (matched < 0) { /* it gave up */
            detect->limits++;
            return sl_ranges_add(&detect->found, 0, text.bytes);
        }
        if (ends[1] > ends[0] && sl_ranges_add(&detect->found, (uint32_t)ends[0], (uint32_t)ends[1]) != 0)
            return -1;
        at = ends[1] > at ? ends[1] : at + 1;
    }
    return 0;
}

static bool detect_escaped(struct sl_slice text, uint32_t at)
{
    uint32_t backslashes = 0;

    while (backslashes < at && text.data[at - backslashes - 1] == '\\')
        backslashes++;
    return backslashes % 2 == 1;
}

/* Escapes are taken whole or left whole: what is quoted stays well-formed. */
static void detect_align(struct sl_slice text, struct sl_ranges *found)
{
    for (uint32_t i = 0; i < found->count; i++) {
        struct sl_span *range = &found->items[i];

        if (detect_escaped(text, range->at)) {
            range->at--;
            range->bytes++;
        }
        if (range->bytes > 0 && range->at + range->bytes < text.bytes && detect_escaped(text, range->at + range->bytes))
            range->bytes--;
    }
}

static int detect_layer(struct sl_detect *detect, struct sl_slice text)
{
    int rc = 0;

    detect->found.count = 0;
    if (detect->now[DETECT_CARD])
        rc = sl_detect_cards(text, &detect->found);
    if (rc == 0 && detect->now[DETECT_EMAIL])
        rc = sl_detect_emails(text, &detect->found);
    if (rc == 0 && detect->now[DETECT_TOKEN])
        rc = sl_detect_tokens(text, &detect->found);
    if (rc == 0 && detect->now[DETECT_IBAN])
        rc = sl_detect_ibans(text, &detect->found);
    for (uint32_t i = 0; rc == 0 && i < detect->patterns_count; i++)
        rc = detect_match(detect, detect->patterns[i], text);
    if (rc == 0 && detect->found.count > 0 && memchr(text.data, '\\', text.bytes) != NULL)
        detect_align(text, &detect->found);
    return rc;
}

/* ---- layers ---- */

static int detect_hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* What a backslash or percent sign at `at` quotes: its bytes into resolved[4], and how many bytes it takes; 0: nothing. */
static uint32_t detect_quoted(struct sl_slice text, uint32_t at, char resolved[4], uint32_t *ret_resolved)
{
    struct sl_slice rest = {text.data + at, text.bytes - at};

    if (rest.bytes < 2)
        return 0;
    if (rest.data[0] == '%') {
        if (rest.bytes < 3 || detect_hex(rest.data[1]) < 0 || detect_hex(rest.data[2]) < 0)
            return 0;
        resolved[0] = (char)(detect_hex(rest.data[1]) << 4 | detect_hex(rest.data[2]));
        *ret_resolved = 1;
        return 3;
    }
    for (uint32_t bytes = rest.data[1] == 'u' ? 6 : 2; bytes <= 12 && bytes <= rest.bytes; bytes += 6) {
        if (sl_json_unescape((struct sl_slice){rest.data, bytes}, resolved, ret_resolved) == 0)
            return bytes;
        if (rest.data[1] != 'u')
            break;
    }
    return 0;
}

static bool detect_quotes(struct sl_slice text)
{
    return memchr(text.data, '\\', text.bytes) != NULL || memchr(text.data, '%', text.bytes) != NULL;
}

/* text, whose bytes begin at from[] (NULL: as it is), with what it quotes resolved. 1; 0: it quotes nothing; -1: no memory. */
static int detect_resolve(struct sl_slice text, const uint32_t *from, struct detect_layer *to)
{
    bool any = false;

    if (text.bytes + 8u > to->room) {
        free(to->text);
        free(to->from);
        to->room = text.bytes * 2 + 64;
        to->text = malloc(to->room);
        to->from = malloc(to->room * sizeof(*to->from));
        if (to->text == NULL || to->from == NULL) {
            to->room = 0;
            return -1;
        }
    }
    to->bytes = 0;
    for (uint32_t at = 0; at < text.bytes;) {
        uint32_t resolved_bytes = 1, taken = 0;
        char resolved[16] = {text.data[at]};

        if (text.data[at] == '\\' || text.data[at] == '%')
            taken = detect_quoted(text, at, resolved, &resolved_bytes);
        any = any || taken > 0;
        if (taken == 0) {
            resolved[0] = text.data[at];
            resolved_bytes = taken = 1;
        }
        for (uint32_t i = 0; i < resolved_bytes; i++) {
            to->text[to->bytes] = resolved[i];
            to->from[to->bytes++] = from == NULL ? at : from[at];
        }
        at += taken;
    }
    to->from[to->bytes] = from == NULL ? text.bytes : from[text.bytes];
    return any;
}

static int detect_keep(struct sl_detect *detect, const struct detect_layer *layer)
{
    for (uint32_t i = 0; i < detect->found.count; i++) {
        uint32_t from = detect->found.items[i].at, end = from + detect->found.items[i].bytes;

        if (layer != NULL) {
            from = layer->from[from];
            end = layer->from[end];
        }
        if (end > from && sl_ranges_add(&detect->ranges, from, end) != 0)
            return -1;
    }
    return 0;
}

static int detect_order(const void *left, const void *right)
{
    const struct sl_span *a = left, *b = right;

    return a->at < b->at ? -1 : a->at > b->at;
}

static void detect_merge(struct sl_ranges *ranges)
{
    uint32_t kept = 0;

    if (ranges->count < 2)
        return;
    qsort(ranges->items, ranges->count, sizeof(*ranges->items), detect_order);
    for (uint32_t i = 1; i < ranges->count; i++) {
        struct sl_span *last = &ranges->items[kept];
        const struct sl_span *next = &ranges->items[i];

        if (next->at <= last->at + last->bytes) {
            uint32_t end = next->at + next->bytes;
            if (end > last->at + last->bytes)
                last->bytes = end - last->at;
        } else {
            ranges->items[++kept] = *next;
        }
    }
    ranges->count = kept + 1;
}

int sl_detect_find(struct sl_detect *detect, struct sl_slice text, const struct sl_ranges **ret_ranges)
{
    const struct detect_layer *layer = NULL;
    struct sl_slice at = text;

    assert(detect->magic == DETECT_MAGIC);
    detect->ranges.count = 0;
    *ret_ranges = &detect->ranges;
    if (!detect->any)
        return 0;
    if (detect_layer(detect, text) != 0 || detect_keep(detect, NULL) != 0)
        return -1;
    for (int depth = 0; detect->quoting && detect_quotes(at); depth++) {
        struct detect_layer *next = &detect->layer[depth % 2];
        int resolved = detect_resolve(at, layer == NULL ? NULL : layer->from, next);

        if (resolved <= 0)
            return resolved < 0 ? -1 : (detect_merge(&detect->ranges), 0);
        if (depth == DETECT_LAYERS) { /* who quotes so often hides something */
            detect->ranges.count = 0;
            return sl_ranges_add(&detect->ranges, 0, text.bytes);
        }
        layer = next;
        at = (struct sl_slice){next->text, next->bytes};
        if (detect_layer(detect, at) != 0 || detect_keep(detect, layer) != 0)
            return -1;
    }
    detect_merge(&detect->ranges);
    return 0;
}

/* What cannot be in the whole text is not in its strings: where nothing is quoted, one look at all of it spares many. */
int sl_detect_begin(struct sl_detect *detect, struct sl_slice text)
{
    memcpy(detect->now, detect->wanted, sizeof(detect->now));
    detect->quoting = text.data == NULL || detect_quotes(text);
    if (!detect->quoting) {
        detect->now[DETECT_EMAIL] = detect->now[DETECT_EMAIL] && memchr(text.data, '@', text.bytes) != NULL;
        detect->found.count = 0;
        if (detect->now[DETECT_CARD] && sl_detect_cards(text, &detect->found) != 0)
            return -1;
        detect->now[DETECT_CARD] = detect->found.count > 0;
        detect->found.count = 0;
        if (detect->now[DETECT_IBAN] && sl_detect_ibans(text, &detect->found) != 0)
            return -1;
        detect->now[DETECT_IBAN] = detect->found.count > 0;
    }
    detect->any = detect->patterns_count > 0;
    for (int i = 0; i < DETECT_NAMES; i++)
        detect->any = detect->any || detect->now[i];
    return 0;
}

/* ---- numbers ---- */

/* The digits of a number that is whole, written with a fraction or an exponent. 0: it is not, or has too many. */
static uint32_t detect_whole(struct sl_slice token, char digits[DETECT_DIGITS])
{
    uint32_t at = token.data[0] == '-', count = 0;
    int64_t point = -1, exponent = 0;
    bool negative = false;

    for (; at < token.bytes && (token.data[at] | 0x20) != 'e'; at++) {
        if (token.data[at] == '.') {
            point = count;
            continue;
        }
        if (count == DETECT_DIGITS) {
            if (token.data[at] != '0')
                return 0;
            continue;
        }
        if (count > 0 || token.data[at] != '0' || point >= 0)
            digits[count++] = token.data[at];
    }
    if (point < 0)
        point = count;
    for (at++; at < token.bytes; at++) {
        if (token.data[at] == '-')
            negative = true;
        else if (token.data[at] != '+' && exponent < 1000)
            exponent = exponent * 10 + token.data[at] - '0';
    }
    point += negative ? -exponent : exponent;
    if (point < 1 || point > DETECT_DIGITS)
        return 0;
    for (uint32_t i = (uint32_t)point; i < count; i++)
        if (digits[i] != '0')
            return 0;
    while (count < (uint32_t)point)
        digits[count++] = '0';
    return (uint32_t)point;
}

int sl_detect_number(struct sl_detect *detect, struct sl_slice token)
{
    const struct sl_ranges *ranges;
    char digits[DETECT_DIGITS];
    uint32_t count;

    if (sl_detect_find(detect, token, &ranges) != 0)
        return -1;
    if (ranges->count > 0)
        return 1;
    if (memchr(token.data, '.', token.bytes) == NULL && memchr(token.data, 'e', token.bytes) == NULL &&
        memchr(token.data, 'E', token.bytes) == NULL)
        return 0;
    count = detect_whole(token, digits);
    if (count == 0)
        return 0;
    detect->found.count = 0;
    if (detect->wanted[DETECT_CARD] && sl_detect_cards((struct sl_slice){digits, count}, &detect->found) != 0)
        return -1;
    for (uint32_t i = 0; detect->found.count == 0 && i < detect->patterns_count; i++)
        if (detect_match(detect, detect->patterns[i], (struct sl_slice){digits, count}) != 0)
            return -1;
    return detect->found.count > 0;
}
