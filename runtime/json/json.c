/* json.c: the fields of a batch of JSON records as columns.
 *
 * A record takes two passes. The first (json_index.h) finds where its tokens begin, 64 bytes a step, and sees UTF-8, control
 * characters and strings without end. The second, here, walks those tokens once, keeps the grammar with a stack of open
 * containers, and looks keys up in the tree of wanted ones. It is compiled twice: the validating walk looks at every
 * token; the trusting one leaps over containers that nobody named and stops at the last wanted field.
 *
 * Invariants: (1) the walk reads tokens below `end` only, and bytes below *end, but for eight from a key's start on, which
 * SL_PAD covers; (2) depth <= SL_JSON_DEPTH; (3) found counts the columns of the row that the walk waits for and that are not absent.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/json/json.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/json_out.h"
#include "runtime/json/json_index.h"
#include "runtime/json/json_text.h"
#include "runtime/json/json_tree.h"

/* The walk is one loop to the compiler over a copy of its own whose address nobody takes, so that its cursor stays in
 * registers; what is rare is kept out of it. */
#define JSON_HOT static inline __attribute__((always_inline))
#define JSON_COLD static __attribute__((noinline))

enum {
    JSON_DECODER_MAGIC = 0x15d3c0de,
    JSON_NO_MEMORY = SL_JSON_VERDICTS, /* beside the verdicts: ends the whole call */
    JSON_LAST_KEY_BYTES = 32,
};

struct json_level {
    const struct sl_json_node *node; /* what is wanted in or of this container, or NULL */
    uint32_t start;
    bool object;
};

struct sl_json_decoder {
    uint32_t magic;
    bool validate;
    uint32_t fields_count, awaited; /* awaited: all but appended ones */
    uint32_t *column; /* [fields_count] */
    char last_key[JSON_LAST_KEY_BYTES]; /* quoted */
    uint32_t last_key_bytes; /* 0: no field is appended */
    struct sl_json_node root;
    struct sl_json_index *index;
    struct json_level level[SL_JSON_DEPTH];
};

struct json_walk {
    const char *text;
    const uint32_t *at, *end; /* the next token; behind the last, where the record's length stands */
    const char *escape;       /* first backslash not before the last string asked for; the record's end: none */
    struct json_level *level;
    uint32_t depth, row, found;
    struct sl_column *columns;
    struct sl_arena *arena;
};

const char *const sl_json_reasons[SL_JSON_VERDICTS + 1] = {SL_JSON_REASON_ROWS};
_Static_assert(SL_JSON_DEPTH == 1024, "the reason in json.h names it");

/* What a token is by its first byte; 0 (absent): nothing that a value may begin with. */
static const uint8_t json_type_of[256] = {
    ['"'] = SL_T_STRING, ['{'] = SL_T_OBJECT, ['['] = SL_T_ARRAY,  ['t'] = SL_T_BOOL,   ['f'] = SL_T_BOOL,
    ['n'] = SL_T_NULL,   ['-'] = SL_T_NUMBER, ['0'] = SL_T_NUMBER, ['1'] = SL_T_NUMBER, ['2'] = SL_T_NUMBER,
    ['3'] = SL_T_NUMBER, ['4'] = SL_T_NUMBER, ['5'] = SL_T_NUMBER, ['6'] = SL_T_NUMBER, ['7'] = SL_T_NUMBER,
    ['8'] = SL_T_NUMBER, ['9'] = SL_T_NUMBER,
};

static inline bool json_is_blank(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

/* Where the token that ends before `next` ends; blanks, mostly none, lie between. Its first byte is none, so this stops. */
static inline uint32_t json_token_end(const char *text, uint32_t next)
{
    if ((uint8_t)text[next - 1] > ' ')
        return next;
    while (json_is_blank(text[next - 1]))
        next--;
    return next;
}

/* Whether a string has an escape. Asked for strings in order, each at most once: one search serves all up to the next hit. */
JSON_HOT bool walk_escaped(struct json_walk *walk, const char *inside, uint32_t bytes)
{
    if (walk->escape < inside) {
        const char *end = walk->text + *walk->end;
        const char *hit = memchr(inside, '\\', (size_t)(end - inside));
        walk->escape = hit != NULL ? hit : end;
    }
    return walk->escape < inside + bytes;
}

/* The text of a string with escapes, in the arena; without an arena its escapes are only checked. */
JSON_COLD int walk_resolve(struct sl_arena *arena, struct sl_slice inside, struct sl_slice *ret_text)
{
    char *to = NULL;
    uint32_t bytes;

    if (arena != NULL) {
        to = sl_arena_alloc(arena, inside.bytes + 8u); /* 8: keys are read in eights */
        if (to == NULL)
            return JSON_NO_MEMORY;
    }
    if (sl_json_unescape(inside, to, &bytes) != 0)
        return SL_JSON_ESCAPE;
    if (to != NULL)
        memset(to + bytes, 0, 8);
    *ret_text = (struct sl_slice){to, bytes};
    return SL_JSON_FINE;
}

JSON_HOT void walk_store(struct json_walk *walk, const struct sl_json_node *node, struct sl_span span, struct sl_slice value,
                         enum sl_type type)
{
    struct sl_column *column = &walk->columns[node->column];

    if (column->type[walk->row] != SL_T_ABSENT) {
        column->repeated[walk->row] = 1;
        return;
    }
    column->value[walk->row] = value;
    column->span[walk->row] = span;
    column->type[walk->row] = (uint8_t)type;
    walk->found += !node->appended;
}

JSON_HOT int walk_string(struct json_walk *walk, uint32_t start, uint32_t end, const struct sl_json_node *node)
{
    struct sl_slice inside = {walk->text + start + 1, end - start - 2};
    bool wanted = node != NULL && node->column != JSON_NO_COLUMN;

    if (end - start < 2 || walk->text[end - 1] != '"')
        return SL_JSON_NOT_JSON;
    if (walk_escaped(walk, inside.data, inside.bytes)) {
        struct sl_slice meant;
        int verdict = walk_resolve(wanted ? walk->arena : NULL, inside, &meant);

        if (verdict != SL_JSON_FINE)
            return verdict;
        inside = meant;
    }
    if (wanted)
        walk_store(walk, node, (struct sl_span){start, end - start}, inside, SL_T_STRING);
    return SL_JSON_FINE;
}

static inline bool json_is_literal(struct sl_slice token)
{
    return (token.bytes == 4 && (memcmp(token.data, "true", 4) == 0 || memcmp(token.data, "null", 4) == 0)) ||
           (token.bytes == 5 && memcmp(token.data, "false", 5) == 0);
}

JSON_HOT int walk_word(struct json_walk *walk, uint32_t start, uint32_t end, const struct sl_json_node *node,
                     enum sl_type type)
{
    struct sl_slice token = {walk->text + start, end - start};

    if (type == SL_T_NUMBER) {
        if (!sl_json_is_number(token))
            return SL_JSON_NUMBER;
    } else if (!json_is_literal(token)) {
        return SL_JSON_NOT_JSON;
    }
    if (node != NULL && node->column != JSON_NO_COLUMN)
        walk_store(walk, node, (struct sl_span){start, end - start}, token, type);
    return SL_JSON_FINE;
}

/* A value that is no container; its own index is behind us. */
JSON_HOT int walk_scalar(struct json_walk *walk, uint32_t start, const struct sl_json_node *node, bool validate)
{
    enum sl_type type = (enum sl_type)json_type_of[(uint8_t)walk->text[start]];
    uint32_t end;

    if (type == SL_T_ABSENT)
        return SL_JSON_NOT_JSON;
    if (!validate && node == NULL)
        return SL_JSON_FINE;
    end = json_token_end(walk->text, *walk->at);
    return type == SL_T_STRING ? walk_string(walk, start, end, node) : walk_word(walk, start, end, node, type);
}

/* Keys with escapes are compared by what they mean. */
JSON_COLD int walk_escaped_key(struct sl_arena *arena, struct sl_slice key, const struct sl_json_node *object,
                               const struct sl_json_node **ret_node)
{
    struct sl_slice meant;
    int verdict = walk_resolve(object != NULL ? arena : NULL, key, &meant);

    if (verdict == SL_JSON_FINE && object != NULL)
        *ret_node = sl_json_tree_find(object, meant);
    return verdict;
}

/* A key and its colon; *ret_node: what is wanted of the value, or NULL. */
JSON_HOT int walk_key(struct json_walk *walk, const struct sl_json_node *object,
                           const struct sl_json_node **ret_node)
{
    uint32_t open, colon, close;
    struct sl_slice key;

    if (walk->end - walk->at < 2)
        return walk->at < walk->end && walk->text[*walk->at] != '"' ? SL_JSON_NOT_JSON : SL_JSON_TRUNCATED;
    open = *walk->at++;
    colon = *walk->at++;
    close = json_token_end(walk->text, colon) - 1;
    if (walk->text[open] != '"' || walk->text[colon] != ':' || close == open || walk->text[close] != '"')
        return SL_JSON_NOT_JSON;
    key = (struct sl_slice){walk->text + open + 1, close - open - 1};
    *ret_node = NULL;
    if (walk_escaped(walk, key.data, key.bytes)) {
        const struct sl_json_node *found = NULL;
        int verdict = walk_escaped_key(walk->arena, key, object, &found);

        *ret_node = found;
        return verdict;
    }
    if (object != NULL)
        *ret_node = sl_json_tree_find(object, key);
    return SL_JSON_FINE;
}

/* Behind the end of a container whose first token is behind us, without a look at what is in it; NULL: it has no end. */
JSON_COLD const uint32_t *walk_leap(const char *text, const uint32_t *at, const uint32_t *end)
{
    uint32_t open = 1;

    while (at < end) {
        char c = (char)(text[*at++] | 0x20); /* '[' and '{' differ in this bit only, so do ']' and '}' */

        if (c == '{')
            open++;
        else if (c == '}' && --open == 0)
            return at;
    }
    return NULL;
}

/* Begins a container. *ret_empty: it ends at once. Else the walk stands before its first value, wanted as *node says. */
JSON_HOT int walk_open(struct json_walk *walk, uint32_t start, const struct sl_json_node **node, bool *ret_empty)
{
    bool object = walk->text[start] == '{';

    if (walk->depth == SL_JSON_DEPTH)
        return SL_JSON_DEEP;
    walk->level[walk->depth++] = (struct json_level){*node, start, object};
    if (walk->at == walk->end)
        return SL_JSON_TRUNCATED;
    *ret_empty = walk->text[*walk->at] == (object ? '}' : ']');
    if (*ret_empty)
        return SL_JSON_FINE;
    if (object)
        return walk_key(walk, *node, node);
    *node = NULL;
    return SL_JSON_FINE;
}

JSON_HOT void walk_close(struct json_walk *walk, uint32_t at)
{
    const struct json_level *level = &walk->level[--walk->depth];

    if (level->node != NULL && level->node->column != JSON_NO_COLUMN) {
        struct sl_span span = {level->start, at + 1 - level->start};
        walk_store(walk, level->node, span, (struct sl_slice){walk->text + span.at, span.bytes},
                   level->object ? SL_T_OBJECT : SL_T_ARRAY);
    }
}

/* Behind a value: ends of containers, then either the end of the record's value (depth 0) or a comma, and for objects the
 * next key: the next value is wanted as *node says. */
JSON_HOT int walk_behind(struct json_walk *walk, const struct sl_json_node **node)
{
    while (walk->depth > 0) {
        const struct json_level *level = &walk->level[walk->depth - 1];
        uint32_t at;

        if (walk->at == walk->end)
            return SL_JSON_TRUNCATED;
        at = *walk->at++;
        if (walk->text[at] == ',') {
            if (level->object)
                return walk_key(walk, level->node, node);
            *node = NULL;
            return SL_JSON_FINE;
        }
        if (walk->text[at] != (level->object ? '}' : ']'))
            return SL_JSON_NOT_JSON;
        walk_close(walk, at);
    }
    return SL_JSON_FINE;
}

JSON_HOT int walk_value(struct json_walk *walk, const struct sl_json_node **node, bool validate)
{
    uint32_t start;
    bool empty = false;
    int verdict;

    if (walk->at == walk->end)
        return SL_JSON_TRUNCATED;
    start = *walk->at++;
    if (((uint8_t)walk->text[start] | 0x20) != '{') {
        verdict = walk_scalar(walk, start, *node, validate);
    } else if (!validate && *node == NULL) {
        walk->at = walk_leap(walk->text, walk->at, walk->end);
        verdict = walk->at != NULL ? SL_JSON_FINE : SL_JSON_TRUNCATED;
    } else {
        verdict = walk_open(walk, start, node, &empty);
        if (verdict != SL_JSON_FINE || !empty)
            return verdict;
    }
    return verdict != SL_JSON_FINE ? verdict : walk_behind(walk, node);
}

/* Compiled once for each mode: `validate` and, by it, half of the branches are constants. */
JSON_HOT int walk_record(struct json_walk *walk, const struct sl_json_node *root, uint32_t awaited, const bool validate)
{
    const struct sl_json_node *node = root;

    do {
        int verdict = walk_value(walk, &node, validate);

        if (!validate && walk->found == awaited && verdict != JSON_NO_MEMORY)
            return SL_JSON_FINE;
        if (verdict != SL_JSON_FINE)
            return verdict;
    } while (walk->depth > 0);
    return walk->at == walk->end ? SL_JSON_FINE : SL_JSON_TRAILING;
}

JSON_COLD int walk_validating(const struct json_walk *begin, const struct sl_json_decoder *decoder)
{
    struct json_walk walk = *begin;

    return walk_record(&walk, &decoder->root, decoder->awaited, true);
}

/* Whether the object's last member is a scalar with the key that stages append last. Its tokens are key, colon, value, brace. */
static inline bool walk_is_appended(const struct json_walk *walk, const struct sl_json_decoder *decoder)
{
    const uint32_t *key;

    if (decoder->last_key_bytes == 0 || walk->end - walk->at <= 4)
        return false;
    key = walk->end - 4;
    return key[1] - key[0] >= decoder->last_key_bytes &&
           memcmp(walk->text + key[0], decoder->last_key, decoder->last_key_bytes) == 0;
}

JSON_COLD int walk_trusting(const struct json_walk *begin, const struct sl_json_decoder *decoder)
{
    struct json_walk walk = *begin;
    uint32_t awaited = walk_is_appended(begin, decoder) ? UINT32_MAX : decoder->awaited; /* never reached: walks to the end */

    return walk_record(&walk, &decoder->root, awaited, false);
}

static const uint8_t json_verdict_of[] = {
    [SL_JSON_INDEX_FINE] = SL_JSON_FINE,          [SL_JSON_INDEX_EMPTY] = SL_JSON_EMPTY,
    [SL_JSON_INDEX_UNCLOSED] = SL_JSON_TRUNCATED, [SL_JSON_INDEX_CONTROL] = SL_JSON_CONTROL,
    [SL_JSON_INDEX_UTF8] = SL_JSON_UTF8,          [SL_JSON_INDEX_NO_MEMORY] = JSON_NO_MEMORY,
};

static int json_decode_record(struct sl_json_decoder *decoder, struct sl_slice raw, struct json_walk *walk)
{
    const uint32_t *at;
    uint32_t count;
    enum sl_json_index_result result = sl_json_index_of(decoder->index, raw.data, raw.bytes, &at, &count);

    if (result != SL_JSON_INDEX_FINE)
        return json_verdict_of[result];
    assert(at[count] == raw.bytes);
    walk->text = raw.data;
    walk->at = at;
    walk->end = at + count;
    walk->escape = memchr(raw.data, '\\', raw.bytes);
    if (walk->escape == NULL)
        walk->escape = raw.data + raw.bytes;
    walk->depth = 0;
    walk->found = 0;
    return decoder->validate ? walk_validating(walk, decoder) : walk_trusting(walk, decoder);
}

static void json_clear(const struct sl_json_decoder *decoder, struct sl_column *columns, uint32_t row, uint32_t count)
{
    for (uint32_t i = 0; i < decoder->fields_count; i++) {
        struct sl_column *column = &columns[decoder->column[i]];

        memset(column->value + row, 0, count * sizeof(*column->value));
        memset(column->span + row, 0, count * sizeof(*column->span));
        memset(column->type + row, SL_T_ABSENT, count);
        memset(column->repeated + row, 0, count);
    }
}

/* Rows that follow each other, mostly the whole batch, are cleared at once. */
static void json_clear_all(const struct sl_json_decoder *decoder, struct sl_column *columns, const uint16_t *sel, uint32_t sel_count)
{
    uint32_t first = 0;

    for (uint32_t i = 1; i <= sel_count; i++) {
        if (i < sel_count && sel[i] == sel[i - 1] + 1)
            continue;
        json_clear(decoder, columns, sel[first], i - first);
        first = i;
    }
}

int sl_json_decode(struct sl_json_decoder *decoder, const struct sl_slice *raw, const uint16_t *sel, uint32_t sel_count,
                   struct sl_column *columns, uint8_t *verdict, struct sl_arena *arena)
{
    struct json_walk walk = {.level = decoder->level, .columns = columns, .arena = arena};

    assert(decoder->magic == JSON_DECODER_MAGIC);
    json_clear_all(decoder, columns, sel, sel_count);
    for (uint32_t i = 0; i < sel_count; i++) {
        int result;

        walk.row = sel[i];
        result = json_decode_record(decoder, raw[walk.row], &walk);
        if (result == JSON_NO_MEMORY)
            return -SL_E_LIMIT;
        verdict[walk.row] = (uint8_t)result;
        if (result != SL_JSON_FINE)
            json_clear(decoder, columns, walk.row, 1);
    }
    return 0;
}

int sl_json_decoder_new(const struct sl_json_projection *projection, struct sl_json_decoder **ret_decoder,
                        struct sl_err *err)
{
    struct sl_json_decoder *decoder = calloc(1, sizeof(*decoder));
    int result = 0;

    if (decoder == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory for a JSON decoder");
    decoder->magic = JSON_DECODER_MAGIC;
    decoder->validate = projection->validate;
    decoder->root.column = JSON_NO_COLUMN;
    decoder->index = sl_json_index_new();
    decoder->column = calloc(projection->fields_count + 1u, sizeof(*decoder->column));
    if (decoder->index == NULL || decoder->column == NULL)
        result = sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory for a JSON decoder");
    for (uint32_t i = 0; i < projection->fields_count && result == 0; i++) {
        decoder->column[decoder->fields_count++] = projection->fields[i].column;
        decoder->awaited++;
        result = sl_json_tree_add(&decoder->root, &projection->fields[i], err);
    }
    if (result != 0)
        decoder = sl_json_decoder_free(decoder);
    else
        *ret_decoder = decoder;
    return result;
}

void sl_json_decoder_appended(struct sl_json_decoder *decoder, const char *last_key, const uint32_t *columns, uint32_t count)
{
    size_t bytes = strlen(last_key) + 2;

    assert(decoder->magic == JSON_DECODER_MAGIC && bytes < sizeof(decoder->last_key));
    for (uint32_t i = 0; i < count; i++) {
        struct sl_json_node *node = sl_json_tree_of_column(&decoder->root, columns[i]);

        assert(node != NULL && !node->appended);
        node->appended = true;
        decoder->awaited--;
    }
    decoder->last_key_bytes = count > 0 ? (uint32_t)bytes : 0;
    (void)snprintf(decoder->last_key, sizeof(decoder->last_key), "\"%s\"", last_key);
}

struct sl_json_decoder *sl_json_decoder_free(struct sl_json_decoder *decoder)
{
    if (decoder != NULL) {
        assert(decoder->magic == JSON_DECODER_MAGIC);
        decoder->magic = 0;
        sl_json_tree_fini(&decoder->root);
        sl_json_index_free(decoder->index);
        free(decoder->column);
        free(decoder);
    }
    return NULL;
}

struct sl_slice sl_json_escape(struct sl_arena *arena, struct sl_slice text)
{
    size_t bytes = sl_json_quote_to(text, NULL);
    char *to = bytes > UINT32_MAX ? NULL : sl_arena_alloc(arena, bytes);

    if (to == NULL)
        return (struct sl_slice){NULL, 0};
    (void)sl_json_quote_to(text, to);
    return (struct sl_slice){to, (uint32_t)bytes};
}
