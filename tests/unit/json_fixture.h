/* json_fixture.h: one record decoded at the very end of readable memory, and a second opinion on what JSON is.
 *
 * Each payload stands so that exactly SL_PAD bytes behind it can be read and the next byte is a fault. What those bytes
 * hold is the caller's choice, since no answer may depend on it. The second opinion is the plainest reading of RFC 8259,
 * byte by byte and recursive; it shares no line with the decoder.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_TESTS_UNIT_JSON_FIXTURE_H
#define SL_TESTS_UNIT_JSON_FIXTURE_H

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "runtime/json/json.h"

enum { FIXTURE_BYTES = 1 << 20, FIXTURE_PAGE = 4096, FIXTURE_FIELDS = 8, FIXTURE_REFERENCE_DEPTH = SL_JSON_DEPTH };

struct json_fixture {
    char *memory; /* FIXTURE_BYTES readable, then a page that is not */
    struct sl_arena arena;
    struct sl_json_decoder *decoder[2]; /* [validate] */
    struct sl_column column[FIXTURE_FIELDS];
    struct sl_slice value[FIXTURE_FIELDS];
    struct sl_span span[FIXTURE_FIELDS];
    uint8_t type[FIXTURE_FIELDS], repeated[FIXTURE_FIELDS];
    uint32_t fields_count;
};

/* paths: each a list of keys, with NULL at its end. */
static inline struct json_fixture *json_fixture_new(const char *const *const *paths, uint32_t count)
{
    struct json_fixture *fixture = calloc(1, sizeof(*fixture));
    struct sl_json_field fields[FIXTURE_FIELDS];

    assert(fixture != NULL && count <= FIXTURE_FIELDS);
    fixture->fields_count = count;
    fixture->memory = mmap(NULL, FIXTURE_BYTES + FIXTURE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert(fixture->memory != MAP_FAILED);
    assert(mprotect(fixture->memory + FIXTURE_BYTES, FIXTURE_PAGE, PROT_NONE) == 0);
    assert(sl_arena_init(&fixture->arena, 1 << 16, 1 << 24) == 0);
    for (uint32_t i = 0; i < count; i++) {
        fields[i] = (struct sl_json_field){{paths[i], 0}, i};
        while (paths[i][fields[i].path.segments_count] != NULL)
            fields[i].path.segments_count++;
        fixture->column[i] = (struct sl_column){&fixture->value[i], &fixture->span[i], &fixture->type[i], &fixture->repeated[i]};
    }
    for (int validate = 0; validate < 2; validate++) {
        struct sl_json_projection projection = {fields, count, validate};
        int result = sl_json_decoder_new(&projection, &fixture->decoder[validate], NULL);
        assert(result == 0);
        (void)result;
    }
    return fixture;
}

static inline void json_fixture_free(struct json_fixture *fixture)
{
    sl_json_decoder_free(fixture->decoder[0]);
    sl_json_decoder_free(fixture->decoder[1]);
    sl_arena_fini(&fixture->arena);
    (void)munmap(fixture->memory, FIXTURE_BYTES + FIXTURE_PAGE);
    free(fixture);
}

/* The verdict; columns hold the row until the next call. */
static inline uint8_t json_fixture_decode(struct json_fixture *fixture, const char *text, uint32_t bytes, bool validate, char pad)
{
    struct sl_slice raw = {fixture->memory + FIXTURE_BYTES - SL_PAD - bytes, bytes};
    uint8_t verdict = 0xFF;
    int result;

    assert(bytes <= FIXTURE_BYTES - SL_PAD);
    if (bytes > 0)
        memcpy(fixture->memory + FIXTURE_BYTES - SL_PAD - bytes, text, bytes);
    memset(fixture->memory + FIXTURE_BYTES - SL_PAD, pad, SL_PAD);
    sl_arena_reset(&fixture->arena);
    result = sl_json_decode(fixture->decoder[validate], &raw, &(uint16_t){0}, 1, fixture->column, &verdict, &fixture->arena);
    assert(result == 0);
    (void)result;
    return verdict;
}

/* ---- the second opinion ---- */

struct json_reference {
    const unsigned char *at, *end;
    unsigned depth;
};

static inline int json_reference_hex(struct json_reference *r)
{
    int unit = 0;

    for (int i = 0; i < 4; i++, r->at++) {
        if (r->at == r->end)
            return -1;
        if (*r->at >= '0' && *r->at <= '9')
            unit = unit * 16 + *r->at - '0';
        else if (*r->at >= 'a' && *r->at <= 'f')
            unit = unit * 16 + *r->at - 'a' + 10;
        else if (*r->at >= 'A' && *r->at <= 'F')
            unit = unit * 16 + *r->at - 'A' + 10;
        else
            return -1;
    }
    return unit;
}

static inline bool json_reference_utf8(struct json_reference *r)
{
    static const struct {
        unsigned char first_low, first_high, low, high, more;
    } forms[] = {{0xC2, 0xDF, 0x80, 0xBF, 0}, {0xE0, 0xE0, 0xA0, 0xBF, 1}, {0xE1, 0xEC, 0x80, 0xBF, 1},
                 {0xED, 0xED, 0x80, 0x9F, 1}, {0xEE, 0xEF, 0x80, 0xBF, 1}, {0xF0, 0xF0, 0x90, 0xBF, 2},
                 {0xF1, 0xF3, 0x80, 0xBF, 2}, {0xF4, 0xF4, 0x80, 0x8F, 2}};

    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        if (*r->at < forms[i].first_low || *r->at > forms[i].first_high)
            continue;
        if (r->end - r->at < forms[i].more + 2 || r->at[1] < forms[i].low || r->at[1] > forms[i].high)
            return false;
        for (int k = 0; k < forms[i].more; k++)
            if ((r->at[2 + k] & 0xC0) != 0x80)
                return false;
        r->at += forms[i].more + 2;
        return true;
    }
    return false;
}

static inline bool json_reference_escape(struct json_reference *r)
{
    int unit;

    if (r->at == r->end)
        return false;
    if (*r->at != 'u')
        return *r->at != 0 && strchr("\"\\/bfnrt", *r->at++) != NULL;
    r->at++;
    unit = json_reference_hex(r);
    if (unit < 0xD800 || unit > 0xDFFF)
        return unit >= 0;
    if (unit > 0xDBFF || r->end - r->at < 2 || r->at[0] != '\\' || r->at[1] != 'u')
        return false;
    r->at += 2;
    unit = json_reference_hex(r);
    return unit >= 0xDC00 && unit <= 0xDFFF;
}

static inline bool json_reference_string(struct json_reference *r)
{
    if (r->at == r->end || *r->at++ != '"')
        return false;
    while (r->at < r->end && *r->at != '"') {
        if (*r->at < 0x20)
            return false;
        if (*r->at == '\\') {
            r->at++;
            if (!json_reference_escape(r))
                return false;
        } else if (*r->at < 0x80) {
            r->at++;
        } else if (!json_reference_utf8(r)) {
            return false;
        }
    }
    return r->at < r->end && *r->at++ == '"';
}

static inline void json_reference_blanks(struct json_reference *r)
{
    while (r->at < r->end && *r->at != 0 && strchr(" \t\r\n", *r->at) != NULL)
        r->at++;
}

static inline bool json_reference_digits(struct json_reference *r)
{
    const unsigned char *first = r->at;

    while (r->at < r->end && *r->at >= '0' && *r->at <= '9')
        r->at++;
    return r->at > first;
}

static inline bool json_reference_number(struct json_reference *r)
{
    if (r->at < r->end && *r->at == '-')
        r->at++;
    if (r->at < r->end && *r->at == '0')
        r->at++;
    else if (!json_reference_digits(r))
        return false;
    if (r->at < r->end && *r->at == '.') {
        r->at++;
        if (!json_reference_digits(r))
            return false;
    }
    if (r->at < r->end && (*r->at == 'e' || *r->at == 'E')) {
        r->at++;
        if (r->at < r->end && (*r->at == '+' || *r->at == '-'))
            r->at++;
        return json_reference_digits(r);
    }
    return true;
}

static inline bool json_reference_word(struct json_reference *r, const char *word)
{
    size_t bytes = strlen(word);

    if ((size_t)(r->end - r->at) < bytes || memcmp(r->at, word, bytes) != 0)
        return false;
    r->at += bytes;
    return true;
}

static inline bool json_reference_value(struct json_reference *r);

static inline bool json_reference_member(struct json_reference *r, bool object)
{
    json_reference_blanks(r);
    if (object) {
        if (!json_reference_string(r))
            return false;
        json_reference_blanks(r);
        if (!json_reference_word(r, ":"))
            return false;
    }
    return json_reference_value(r);
}

static inline bool json_reference_container(struct json_reference *r, bool object)
{
    const char *closer = object ? "}" : "]";
    bool sound = true;

    if (r->depth++ == FIXTURE_REFERENCE_DEPTH)
        return false;
    r->at++;
    json_reference_blanks(r);
    if (!json_reference_word(r, closer)) {
        do
            sound = json_reference_member(r, object);
        while (sound && json_reference_word(r, ","));
        sound = sound && json_reference_word(r, closer);
    }
    r->depth--;
    return sound;
}

/* With the blanks around it. */
static inline bool json_reference_value(struct json_reference *r)
{
    bool sound;

    json_reference_blanks(r);
    if (r->at == r->end)
        return false;
    switch (*r->at) {
    case '{':
    case '[':
        sound = json_reference_container(r, *r->at == '{');
        break;
    case '"':
        sound = json_reference_string(r);
        break;
    case 't':
        sound = json_reference_word(r, "true");
        break;
    case 'f':
        sound = json_reference_word(r, "false");
        break;
    case 'n':
        sound = json_reference_word(r, "null");
        break;
    default:
        sound = json_reference_number(r);
    }
    json_reference_blanks(r);
    return sound;
}

static inline bool json_reference_is_json(const char *text, size_t bytes)
{
    struct json_reference r = {(const unsigned char *)text, (const unsigned char *)text + bytes, 0};

    return json_reference_value(&r) && r.at == r.end;
}

#endif
