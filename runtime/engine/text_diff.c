/* text_diff.c: two JSON texts side by side, token by token; see the header.
 *
 * Both are read in lockstep while tokens are equal; the way down to the token is kept for the path. Where keys part, the rest of
 * both objects is searched, so that a dropped field is told from one that moved. Reading past the end by SL_PAD is the scanner's
 * habit, so texts are copied into padded memory first.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/engine/text_diff.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/base/arena.h"
#include "runtime/base/buf.h"
#include "runtime/json/json_scan.h"

enum { DIFF_SIDES = 2, DIFF_KEY_BYTES = 512 };

struct diff_level { /* of the value that the walk stands in */
    bool object;
    struct sl_slice key; /* object: the token of the member; bytes 0: before the first */
    uint32_t item;       /* array: items begun */
};

struct diff_side {
    struct sl_json_index *index;
    struct sl_json_scan scan;
    struct sl_buf text;
    enum sl_json_event event;
    struct sl_slice token;
};

struct sl_text_diff {
    struct diff_side side[DIFF_SIDES];
    struct diff_level levels[SL_JSON_DEPTH + 1]; /* [depth]; 0 is the outermost value's place */
    uint32_t depth;
    const struct sl_field_path *const *paths; /* left out */
    uint32_t paths_count;
};

struct sl_text_diff *sl_text_diff_new(void)
{
    struct sl_text_diff *diff = calloc(1, sizeof(*diff));

    for (int s = 0; diff != NULL && s < DIFF_SIDES; s++)
        if ((diff->side[s].index = sl_json_index_new()) == NULL)
            return sl_text_diff_free(diff);
    return diff;
}

struct sl_text_diff *sl_text_diff_free(struct sl_text_diff *diff)
{
    for (int s = 0; diff != NULL && s < DIFF_SIDES; s++) {
        sl_json_index_free(diff->side[s].index);
        sl_buf_fini(&diff->side[s].text);
    }
    free(diff);
    return NULL;
}

const char *sl_text_verdict_name(enum sl_text_verdict verdict)
{
    static const char *const names[SL_TEXT_VERDICTS] = {
        [SL_TEXT_EQUAL] = "equal",          [SL_TEXT_CHANGED] = "field changed",  [SL_TEXT_TYPE] = "type of field changed",
        [SL_TEXT_GONE] = "field is gone",   [SL_TEXT_ADDED] = "field was added",  [SL_TEXT_ORDER] = "fields in another order",
        [SL_TEXT_BLANKS] = "blanks differ", [SL_TEXT_NOT_JSON] = "text differs",
    };

    assert(verdict < SL_TEXT_VERDICTS);
    return names[verdict];
}

/* ---- one side ---- */

static bool diff_begin(struct diff_side *side, struct sl_slice text)
{
    sl_buf_reset(&side->text);
    sl_buf_slice(&side->text, text);
    if (sl_buf_reserve(&side->text, SL_PAD) == NULL)
        return false;
    memset(side->text.data + text.bytes, 0, SL_PAD);
    return sl_json_scan_begin(&side->scan, side->index, (struct sl_slice){side->text.data, text.bytes});
}

static void diff_next(struct diff_side *side)
{
    side->event = sl_json_scan_next(&side->scan);
    side->token = (struct sl_slice){NULL, 0};
    if (side->event == SL_JSON_KEY || side->event == SL_JSON_VALUE)
        side->token = (struct sl_slice){side->scan.text + side->scan.span.at, side->scan.span.bytes};
}

/* Over the value behind a key. */
static bool diff_leap(struct diff_side *side)
{
    diff_next(side);
    if (side->event == SL_JSON_BEGIN)
        side->event = sl_json_scan_leap(&side->scan);
    return side->event != SL_JSON_WRONG;
}

/* Whether the object that the side stands in, at a key or its end, has `key` from here on. The side is used up. */
static bool diff_has_key(struct diff_side *side, struct sl_slice key)
{
    while (side->event == SL_JSON_KEY) {
        if (sl_slice_eq(side->token, key))
            return true;
        if (!diff_leap(side))
            return false;
        diff_next(side);
    }
    return false;
}

/* ---- the way down ---- */

static void diff_follow(struct sl_text_diff *diff, const struct diff_side *side)
{
    struct diff_level *level = &diff->levels[diff->depth];

    if (side->event == SL_JSON_KEY)
        level->key = side->token;
    if (!level->object && (side->event == SL_JSON_VALUE || side->event == SL_JSON_BEGIN))
        level->item++;
    if (side->event == SL_JSON_BEGIN)
        diff->levels[++diff->depth] = (struct diff_level){side->scan.type == SL_T_OBJECT, {NULL, 0}, 0};
    if (side->event == SL_JSON_END)
        diff->depth--;
}

static void diff_path_put(char *path, size_t *used, const char *text, size_t bytes, bool escape_dots)
{
    for (size_t i = 0; i < bytes && *used + 3 < SL_TEXT_PATH_BYTES; i++) {
        if (escape_dots && text[i] == '.')
            path[(*used)++] = '\\';
        path[(*used)++] = text[i];
    }
}

static void diff_path(const struct sl_text_diff *diff, char *path)
{
    size_t used = 0;

    for (uint32_t d = 1; d <= diff->depth; d++) {
        const struct diff_level *level = &diff->levels[d];
        char item[24];

        if (!level->object && level->item > 0)
            diff_path_put(path, &used, item, (size_t)snprintf(item, sizeof(item), "[%u]", level->item - 1), false);
        if (!level->object || level->key.bytes < 2)
            continue;
        if (used > 0)
            diff_path_put(path, &used, ".", 1, false);
        diff_path_put(path, &used, level->key.data + 1, level->key.bytes - 2, true);
    }
    path[used] = '\0';
}

/* ---- fields that are left out ---- */

static bool diff_key_is(struct sl_slice token, const char *segment)
{
    struct sl_slice inside = {token.data + 1, token.bytes - 2};
    char plain[DIFF_KEY_BYTES];
    uint32_t bytes;

    if (memchr(inside.data, '\\', inside.bytes) == NULL)
        return sl_slice_is(inside, segment);
    return inside.bytes <= sizeof(plain) && sl_json_unescape(inside, plain, &bytes) == 0 &&
           sl_slice_is((struct sl_slice){plain, bytes}, segment);
}

/* Whether the member `key` of the object that the walk stands in is at one of the paths: all levels above it are objects. */
static bool diff_is_left_out(const struct sl_text_diff *diff, struct sl_slice key)
{
    for (uint32_t p = 0; p < diff->paths_count; p++) {
        const struct sl_field_path *path = diff->paths[p];
        bool fits = path->segments_count == diff->depth;

        for (uint32_t d = 1; fits && d <= diff->depth; d++)
            fits = diff->levels[d].object && diff_key_is(d == diff->depth ? key : diff->levels[d].key, path->segments[d - 1]);
        if (fits)
            return true;
    }
    return false;
}

/* On to the next token that counts. */
static void diff_next_but(const struct sl_text_diff *diff, struct diff_side *side)
{
    diff_next(side);
    while (side->event == SL_JSON_KEY && diff_is_left_out(diff, side->token) && diff_leap(side))
        diff_next(side);
}

/* ---- the first difference ---- */

/* Both stand in one object, one at least at a key, and part there. */
static enum sl_text_verdict diff_part_at_key(struct sl_text_diff *diff)
{
    struct diff_side *a = &diff->side[0], *b = &diff->side[1];
    struct sl_slice a_key = a->event == SL_JSON_KEY ? a->token : (struct sl_slice){NULL, 0};
    struct sl_slice b_key = b->event == SL_JSON_KEY ? b->token : (struct sl_slice){NULL, 0};
    struct diff_level *level = &diff->levels[diff->depth];

    if (a_key.data != NULL && !diff_has_key(b, a_key)) {
        level->key = a_key;
        return SL_TEXT_GONE;
    }
    if (b_key.data != NULL && !diff_has_key(a, b_key)) {
        level->key = b_key;
        return SL_TEXT_ADDED;
    }
    level->key = a_key.data != NULL ? a_key : b_key;
    return SL_TEXT_ORDER;
}

static enum sl_text_verdict diff_part(struct sl_text_diff *diff)
{
    struct diff_side *a = &diff->side[0], *b = &diff->side[1];
    struct diff_level *level = &diff->levels[diff->depth];

    if (a->event == SL_JSON_WRONG || b->event == SL_JSON_WRONG)
        return SL_TEXT_NOT_JSON;
    if (a->event == SL_JSON_KEY || b->event == SL_JSON_KEY)
        return diff_part_at_key(diff);
    if (!level->object && diff->depth > 0)
        level->item++; /* the item at which they part */
    if (a->event == SL_JSON_END || b->event == SL_JSON_END)
        return a->event == SL_JSON_END ? SL_TEXT_ADDED : SL_TEXT_GONE;
    return a->scan.type == b->scan.type ? SL_TEXT_CHANGED : SL_TEXT_TYPE;
}

static bool diff_same(const struct diff_side *a, const struct diff_side *b)
{
    if (a->event != b->event)
        return false;
    if (a->event == SL_JSON_BEGIN)
        return a->scan.type == b->scan.type;
    return a->event == SL_JSON_END || a->event == SL_JSON_DONE || (a->event != SL_JSON_WRONG && sl_slice_eq(a->token, b->token));
}

enum sl_text_verdict sl_text_diff_first(struct sl_text_diff *diff, struct sl_slice a, struct sl_slice b,
                                        const struct sl_field_path *const *paths, uint32_t paths_count, char path[SL_TEXT_PATH_BYTES])
{
    enum sl_text_verdict verdict;

    path[0] = '\0';
    if (sl_slice_eq(a, b))
        return SL_TEXT_EQUAL;
    if (!diff_begin(&diff->side[0], a) || !diff_begin(&diff->side[1], b))
        return SL_TEXT_NOT_JSON;
    diff->paths = paths;
    diff->paths_count = paths_count;
    diff->depth = 0;
    diff->levels[0] = (struct diff_level){false, {NULL, 0}, 0};
    for (;;) {
        diff_next_but(diff, &diff->side[0]);
        diff_next_but(diff, &diff->side[1]);
        if (!diff_same(&diff->side[0], &diff->side[1]))
            break;
        if (diff->side[0].event == SL_JSON_DONE)
            return paths_count == 0 ? SL_TEXT_BLANKS : SL_TEXT_EQUAL; /* cut fields leave blanks of their own */
        diff_follow(diff, &diff->side[0]);
    }
    verdict = diff_part(diff);
    if (verdict != SL_TEXT_NOT_JSON)
        diff_path(diff, path);
    return verdict;
}
