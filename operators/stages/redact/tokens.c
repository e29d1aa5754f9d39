/* tokens.c: what lets somebody in: bearer and basic credentials, signed tokens, keys of well-known shops, private keys, and the value of
 * NAME=VALUE where the name says so (password, secret, token, api key).
 *
 * One walk over the text's words (runs of the characters that tokens are made of); what a word is, its beginning tells, or the word
 * before it, or the sign behind it.
 * SPDX-License-Identifier: Apache-2.0 */
#include <strings.h>

#include "operators/stages/redact/detect.h"

enum { TOKEN_BEARER_LEAST = 8, TOKEN_VALUE_LEAST = 4, TOKEN_LEAST = 16, TOKEN_AWS = 20, TOKEN_PEM_WORDS = 64 };

/* 1: part of a word; 2: a letter or digit too; 4: an upper-case letter or digit too. */
static const uint8_t token_kind[256] = {
    ['0'] = 7, ['1'] = 7, ['2'] = 7, ['3'] = 7, ['4'] = 7, ['5'] = 7, ['6'] = 7, ['7'] = 7, ['8'] = 7, ['9'] = 7,
    ['A'] = 7, ['B'] = 7, ['C'] = 7, ['D'] = 7, ['E'] = 7, ['F'] = 7, ['G'] = 7, ['H'] = 7, ['I'] = 7, ['J'] = 7,
    ['K'] = 7, ['L'] = 7, ['M'] = 7, ['N'] = 7, ['O'] = 7, ['P'] = 7, ['Q'] = 7, ['R'] = 7, ['S'] = 7, ['T'] = 7,
    ['U'] = 7, ['V'] = 7, ['W'] = 7, ['X'] = 7, ['Y'] = 7, ['Z'] = 7,
    ['a'] = 3, ['b'] = 3, ['c'] = 3, ['d'] = 3, ['e'] = 3, ['f'] = 3, ['g'] = 3, ['h'] = 3, ['i'] = 3, ['j'] = 3,
    ['k'] = 3, ['l'] = 3, ['m'] = 3, ['n'] = 3, ['o'] = 3, ['p'] = 3, ['q'] = 3, ['r'] = 3, ['s'] = 3, ['t'] = 3,
    ['u'] = 3, ['v'] = 3, ['w'] = 3, ['x'] = 3, ['y'] = 3, ['z'] = 3,
    ['_'] = 1, ['-'] = 1, ['.'] = 1, ['~'] = 1, ['+'] = 1, ['/'] = 1,
};

static inline uint8_t token_is(struct sl_slice text, uint32_t at, uint8_t kind)
{
    return token_kind[(unsigned char)text.data[at]] & kind;
}

/* Beginnings of tokens: so many further letters, digits, _ and - (and dots where `dots`) make one. */
static const struct token_form {
    const char *lead;
    uint8_t bytes, least;
    bool dots;
} token_forms[] = {
    {"eyJ", 3, 10, true},          {"ghp_", 4, 20, false},     {"gho_", 4, 20, false},     {"ghu_", 4, 20, false},
    {"ghs_", 4, 20, false},        {"ghr_", 4, 20, false},     {"github_pat_", 11, 20, false}, {"glpat-", 6, 16, false},
    {"xoxa-", 5, 10, false},       {"xoxb-", 5, 10, false},    {"xoxe-", 5, 10, false},    {"xoxo-", 5, 10, false},
    {"xoxp-", 5, 10, false},       {"xoxr-", 5, 10, false},    {"xoxs-", 5, 10, false},    {"sk_live_", 8, 10, false},
    {"sk_test_", 8, 10, false},    {"rk_live_", 8, 10, false}, {"rk_test_", 8, 10, false}, {"pk_live_", 8, 10, false},
    {"pk_test_", 8, 10, false},    {"sk-", 3, 20, false},      {"AIza", 4, 30, false},     {"npm_", 4, 30, false},
};
static const char *const token_aws[] = {"AKIA", "ASIA", "AGPA", "AIDA", "AROA", "AIPA", "ANPA", "ANVA", "ABIA", "ACCA"};

/* The end of a token of a form that begins at `at`, or 0. */
static uint32_t token_form_end(struct sl_slice text, uint32_t at, uint32_t end)
{
    for (size_t i = 0; i < sizeof(token_forms) / sizeof(token_forms[0]); i++) {
        const struct token_form *form = &token_forms[i];
        uint32_t behind = at + form->bytes, dots = 0;

        if (end - at < (uint32_t)form->bytes + form->least || memcmp(text.data + at, form->lead, form->bytes) != 0)
            continue;
        while (behind < end && (token_is(text, behind, 2) || text.data[behind] == '_' || text.data[behind] == '-' ||
                                (form->dots && text.data[behind] == '.')))
            dots += text.data[behind++] == '.';
        if (behind - at >= (uint32_t)form->bytes + form->least && (!form->dots || dots > 0))
            return behind;
    }
    return 0;
}

/* The end of an access key of Amazon's: exactly so many upper-case letters and digits. */
static uint32_t token_aws_end(struct sl_slice text, uint32_t at, uint32_t end)
{
    uint32_t behind = at;

    if (at > 0 && token_is(text, at - 1, 4))
        return 0;
    while (behind < end && behind - at <= TOKEN_AWS && token_is(text, behind, 4))
        behind++;
    if (behind - at != TOKEN_AWS)
        return 0;
    for (size_t i = 0; i < sizeof(token_aws) / sizeof(token_aws[0]); i++)
        if (memcmp(text.data + at, token_aws[i], 4) == 0)
            return behind;
    return 0;
}

/* Tokens inside one long word. */
static int token_word(struct sl_slice text, uint32_t from, uint32_t end, struct sl_ranges *ranges)
{
    for (uint32_t at = from; at + TOKEN_LEAST <= end + 3; at++) { /* the shortest form has 13 */
        uint32_t behind = 0;

        switch (text.data[at]) {
        case 'A':
            behind = token_aws_end(text, at, end);
            if (behind > 0)
                break;
            /* fall through */
        case 'e':
        case 'g':
        case 'x':
        case 's':
        case 'r':
        case 'p':
        case 'n':
            if (at == from || text.data[at] == 'e' || !(token_is(text, at - 1, 2) || text.data[at - 1] == '_'))
                behind = token_form_end(text, at, end);
            break;
        default:
            break;
        }
        if (behind == 0)
            continue;
        if (sl_ranges_add(ranges, at, behind) != 0)
            return -1;
        at = behind - 1;
    }
    return 0;
}

static bool token_ends_with(struct sl_slice text, uint32_t from, uint32_t end, const char *name)
{
    uint32_t bytes = (uint32_t)strlen(name);

    return end - from >= bytes && strncasecmp(text.data + end - bytes, name, bytes) == 0;
}

static bool token_is_name(struct sl_slice text, uint32_t from, uint32_t end)
{
    static const char *const names[] = {"apikey",     "api_key", "api-key", "secret",     "secretkey",  "secret_key",        "secret-key",
                                        "access_key", "token",   "passwd",  "password",   "passphrase", "pwd",               "secret_access_key"};
    char last = end > from ? (char)(text.data[end - 1] | 0x20) : ' ';

    if (last != 'y' && last != 't' && last != 'n' && last != 'd' && last != 'e')
        return false;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (token_ends_with(text, from, end, names[i]))
            return true;
    return false;
}

static bool token_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Where the = or : behind a name that ends at `at` stands, or the text's end. */
static uint32_t token_equals(struct sl_slice text, uint32_t at)
{
    at += at < text.bytes && (text.data[at] == '"' || text.data[at] == '\'');
    while (at < text.bytes && token_blank(text.data[at]))
        at++;
    return at < text.bytes && (text.data[at] == '=' || text.data[at] == ':') ? at : text.bytes;
}

/* The value behind an = or : its range. */
static int token_value(struct sl_slice text, uint32_t at, struct sl_ranges *ranges)
{
    uint32_t from, end;

    for (at++; at < text.bytes && token_blank(text.data[at]); at++)
        ;
    at += at < text.bytes && (text.data[at] == '"' || text.data[at] == '\'');
    for (from = end = at; end < text.bytes && !token_blank(text.data[end]) && memchr("\"',;&}", text.data[end], 6) == NULL; end++)
        ;
    return end - from >= TOKEN_VALUE_LEAST ? sl_ranges_add(ranges, from, end) : 0;
}

/* A private key in PEM, from "-----BEGIN" on to the end of its last line, or of the text. */
static int token_pem(struct sl_slice text, uint32_t from, struct sl_ranges *ranges)
{
    const char *begin = text.data + from, *end = text.data + text.bytes, *last;
    size_t head = (size_t)(end - begin) < TOKEN_PEM_WORDS ? (size_t)(end - begin) : TOKEN_PEM_WORDS;

    if (memmem(begin, head, "PRIVATE KEY-----", 16) == NULL)
        return 0;
    last = memmem(begin + 10, (size_t)(end - begin) - 10, "-----END", 8);
    if (last != NULL)
        last = memmem(last + 8, (size_t)(end - last) - 8, "-----", 5);
    return sl_ranges_add(ranges, from, last == NULL ? text.bytes : (uint32_t)(last - text.data) + 5);
}

static bool token_is_scheme(struct sl_slice text, uint32_t from, uint32_t end)
{
    return (end - from == 6 && strncasecmp(text.data + from, "bearer", 6) == 0) ||
           (end - from == 5 && strncasecmp(text.data + from, "basic", 5) == 0);
}

/* Behind a scheme: not a plain word of prose, as in "the basic question". */
static bool token_is_credential(struct sl_slice text, uint32_t from, uint32_t end)
{
    bool plain = end - from < TOKEN_AWS;

    for (uint32_t at = from; plain && at < end; at++)
        plain = text.data[at] >= 'a' && text.data[at] <= 'z';
    return end - from >= TOKEN_BEARER_LEAST && !plain;
}

int sl_detect_tokens(struct sl_slice text, struct sl_ranges *ranges)
{
    bool scheme = false; /* the word before was one, and only blanks since */

    for (uint32_t at = 0; at < text.bytes;) {
        uint32_t from = at, equals;
        int rc = 0;

        if (!token_is(text, at, 1)) {
            scheme = scheme && token_blank(text.data[at]);
            at++;
            continue;
        }
        while (at < text.bytes && token_is(text, at, 1))
            at++;
        if (scheme && token_is_credential(text, from, at)) {
            while (at < text.bytes && text.data[at] == '=')
                at++;
            rc = sl_ranges_add(ranges, from, at);
        } else if (at - from >= 10 && memcmp(text.data + from, "-----BEGIN", 10) == 0) {
            rc = token_pem(text, from, ranges);
        } else if (at - from >= TOKEN_LEAST - 3) {
            rc = token_word(text, from, at, ranges);
        }
        equals = token_equals(text, at);
        if (rc == 0 && equals < text.bytes && token_is_name(text, from, at))
            rc = token_value(text, equals, ranges);
        if (rc != 0)
            return -1;
        scheme = token_is_scheme(text, from, at);
    }
    return 0;
}
