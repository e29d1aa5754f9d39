/* redact.c: masks what must not leave: fields by their paths, and whatever detectors and patterns find in texts, numbers and keys.
 *
 * Fields: every occurrence goes, also of repeated keys and keys with escapes; arrays on the way are looked through; whatever the value
 * is (but null), a text takes its place. Detectors and patterns look at every string, number and key of the record, wherever it
 * lies. What is no JSON cannot be masked and is set aside.
 * Not covered: the message's key and headers, which are no part of the record; sinks pass them on as they came.
 * Dead letters of a topology with this stage go through redact_mask, whichever stage set them aside (slot/mask.c).
 * A mask that happens to stand in a record already is left as it is: so masking twice is masking once.
 * SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "operators/stages/edit/fields.h"
#include "operators/stages/redact/detect.h"
#include "operators/stages/redact/mask.h"
#include "operators/stages/stages.h"
#include "runtime/base/json_out.h"
#include "runtime/config/process.h"
#include "runtime/engine/rewrite.h"
#include "runtime/json/json_scan.h"
#include "runtime/json/json_tree.h"

enum { REDACT_MAGIC = 0x72656461, REDACT_NOT_JSON = 1, REDACT_KEY_LEAST = 16 };
enum redact_counter { REDACT_C_CHANGED, REDACT_C_VALUES, REDACT_C_NOT_JSON, REDACT_C_PATTERN_LIMITS };

struct redact_config {
    struct sl_strings fields, patterns, detect;
    const char *with;
    struct sl_secret key;
};

struct redact_stage {
    uint32_t magic;
    const struct sl_api *api;
    struct sl_rewriter *rewriter;
    struct sl_json_index *index;
    struct sl_json_node paths;
    bool detects;
    struct sl_detect *detect;
    struct sl_mask mask;
    struct sl_fields_edits edits;
    struct sl_buf resolved, made; /* scratch */
    uint64_t limits_told;
    const struct sl_json_node *nodes[SL_JSON_DEPTH + 1]; /* of the scan: what is wanted in each open container */
    struct sl_json_scan scan;
};

/* ---- settings ---- */

static int redact_check_with(const struct redact_config *redact, struct sl_err *err)
{
    bool key = redact->key.env != NULL || redact->key.file != NULL || redact->key.plain != NULL;

    for (const char *at = redact->with; *at != '\0'; at++)
        if ((unsigned char)*at < 0x20 || *at == '"' || *at == '\\' || (unsigned char)*at == 0x7F)
            return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0,
                           "with: a mask stands inside other texts; write one without quotes, backslashes and control characters");
    if (strcmp(redact->with, "hash") == 0 && !key)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0,
                       "key: a hash without a key is undone by trying; write key: { secret: { env: NAME } }");
    if (strcmp(redact->with, "hash") != 0 && key)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "key: only with: hash has a use for it; leave it out, or write with: hash");
    if (redact->key.plain != NULL)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0,
                       "key: it stands in the file for all to read; write { secret: { env: NAME } } or { secret: { file: PATH } }");
    return 0;
}

static int redact_check(const void *config, struct sl_err *err)
{
    const struct redact_config *redact = config;
    struct sl_field_names names;
    struct sl_detect *detect = NULL;
    int rc = sl_field_names_parse("fields", redact->fields.items, redact->fields.count, &names, err);

    if (rc != 0)
        return rc;
    sl_field_names_fini(&names);
    rc = sl_detect_new(&redact->detect, &redact->patterns, &detect, err);
    detect = sl_detect_free(detect);
    if (rc == 0 && redact->fields.count + redact->patterns.count + redact->detect.count == 0)
        rc = sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "fields: there is nothing to mask; name fields, patterns or detect: [card, email, token]");
    return rc != 0 ? rc : redact_check_with(redact, err);
}

/* ---- open ---- */

static void redact_close(void *self)
{
    struct redact_stage *stage = self;

    if (stage->magic != REDACT_MAGIC)
        return;
    stage->rewriter = sl_rewriter_free(stage->rewriter);
    stage->index = sl_json_index_free(stage->index);
    stage->detect = sl_detect_free(stage->detect);
    sl_json_tree_fini(&stage->paths);
    sl_mask_close(&stage->mask);
    free(stage->edits.edits);
    sl_buf_fini(&stage->resolved);
    sl_buf_fini(&stage->made);
    memset(stage, 0, sizeof(*stage));
}

static int redact_paths(struct redact_stage *stage, const struct redact_config *config, struct sl_err *err)
{
    struct sl_field_names names;
    int rc = sl_field_names_parse("fields", config->fields.items, config->fields.count, &names, err);

    if (rc != 0)
        return rc;
    for (uint32_t i = 0; rc == 0 && i < names.count; i++) {
        struct sl_json_field field = {names.paths[i], i};
        rc = sl_json_tree_add(&stage->paths, &field, err);
    }
    sl_field_names_fini(&names);
    return rc;
}

static void redact_wipe(char *key)
{
    for (volatile char *at = key; at != NULL && *at != '\0'; at++)
        *at = '\0';
    free(key);
}

static int redact_open_mask(struct redact_stage *stage, const struct redact_config *config, struct sl_err *err)
{
    char *key = NULL;
    int rc = 0;

    if (strcmp(config->with, "hash") == 0)
        rc = sl_secret_resolve(&config->key, &key, err);
    if (rc != 0)
        return sl_while(err, "key");
    if (key != NULL && strlen(key) < REDACT_KEY_LEAST)
        rc = sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "key: the secret is shorter than %d bytes; a key that short is found by trying",
                     REDACT_KEY_LEAST);
    if (rc == 0)
        rc = sl_mask_open(&stage->mask, config->with, key, err);
    redact_wipe(key);
    return rc;
}

static int redact_open(void *self, const struct sl_api *api, const void *config, struct sl_names *names, struct sl_err *err)
{
    struct redact_stage *stage = self;
    const struct redact_config *redact = config;
    int rc;

    memset(stage, 0, sizeof(*stage));
    stage->magic = REDACT_MAGIC;
    stage->api = api;
    stage->paths.column = JSON_NO_COLUMN;
    stage->index = sl_json_index_new();
    if (names->whole != NULL)
        names->whole(names);
    rc = stage->index == NULL ? sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory for a stage that masks") : 0;
    if (rc == 0)
        rc = redact_paths(stage, redact, err);
    if (rc == 0)
        rc = sl_detect_new(&redact->detect, &redact->patterns, &stage->detect, err);
    if (rc == 0)
        rc = redact_open_mask(stage, redact, err);
    if (rc != 0)
        redact_close(stage);
    else
        stage->detects = sl_detect_any(stage->detect);
    return rc;
}

static int redact_ready(void *self, const uint32_t *columns, uint32_t count, struct sl_names *names, struct sl_err *err)
{
    struct redact_stage *stage = self;

    return sl_rewriter_new(columns, count, names, &stage->rewriter, err);
}

/* ---- one record ---- */

enum redact_result { REDACT_FINE, REDACT_WRONG, REDACT_NO_MEMORY };

struct redact_record {
    struct redact_stage *stage;
    struct sl_slice text;
    struct sl_arena *arena;
    uint16_t row;
};

/* `made` takes the place of a token, quoted. */
static enum redact_result redact_replace(const struct redact_record *record, struct sl_span token)
{
    struct redact_stage *stage = record->stage;
    struct sl_fields_edits *edits = &stage->edits;
    struct sl_slice paste;

    if (edits->count == edits->room) {
        uint32_t room = edits->room == 0 ? 64 : edits->room * 2;
        struct sl_edit *grown = realloc(edits->edits, room * sizeof(*grown));
        if (grown == NULL)
            return REDACT_NO_MEMORY;
        edits->edits = grown;
        edits->room = room;
    }
    paste = sl_json_escape(record->arena, (struct sl_slice){sl_buf_str(&stage->made), (uint32_t)stage->made.bytes});
    if (paste.data == NULL || sl_buf_failed(&stage->made))
        return REDACT_NO_MEMORY;
    edits->edits[edits->count++] = (struct sl_edit){record->row, token, paste};
    return REDACT_FINE;
}

/* The meaning of a string's token. */
static enum redact_result redact_meaning(const struct redact_record *record, struct sl_span token, struct sl_slice *ret_text)
{
    struct sl_slice inside = {record->text.data + token.at + 1, token.bytes - 2};
    uint32_t bytes;
    char *to;

    *ret_text = inside;
    if (inside.bytes == 0 || memchr(inside.data, '\\', inside.bytes) == NULL)
        return REDACT_FINE;
    sl_buf_reset(&record->stage->resolved);
    to = sl_buf_reserve(&record->stage->resolved, inside.bytes + 8u);
    if (to == NULL)
        return REDACT_NO_MEMORY;
    if (sl_json_unescape(inside, to, &bytes) != 0)
        return REDACT_WRONG;
    memset(to + bytes, 0, 8); /* keys are read in eights */
    *ret_text = (struct sl_slice){to, bytes};
    return REDACT_FINE;
}

static enum redact_result redact_whole(const struct redact_record *record, struct sl_span token, struct sl_slice value)
{
    struct redact_stage *stage = record->stage;

    sl_buf_reset(&stage->made);
    if (sl_mask_write(&stage->mask, value, &stage->made) != 0)
        return REDACT_NO_MEMORY;
    return redact_replace(record, token);
}

/* A text with the mask in the place of what was found, in stage->made. */
static enum redact_result redact_ranges(struct redact_stage *stage, struct sl_slice text, const struct sl_ranges *ranges)
{
    uint32_t from = 0;

    sl_buf_reset(&stage->made);
    for (uint32_t i = 0; i < ranges->count; i++) {
        struct sl_slice found = {text.data + ranges->items[i].at, ranges->items[i].bytes};

        sl_buf_append(&stage->made, text.data + from, ranges->items[i].at - from);
        if (sl_mask_made(&stage->mask, found))
            sl_buf_slice(&stage->made, found);
        else if (sl_mask_write(&stage->mask, found, &stage->made) != 0)
            return REDACT_NO_MEMORY;
        from = ranges->items[i].at + ranges->items[i].bytes;
    }
    sl_buf_append(&stage->made, text.data + from, text.bytes - from);
    return sl_buf_failed(&stage->made) ? REDACT_NO_MEMORY : REDACT_FINE;
}

/* A string: a value, or a key. */
static enum redact_result redact_text(const struct redact_record *record, struct sl_span token, struct sl_slice text)
{
    const struct sl_ranges *ranges;
    enum redact_result result;

    if (!record->stage->detects || text.bytes == 0)
        return REDACT_FINE;
    if (sl_detect_find(record->stage->detect, text, &ranges) != 0)
        return REDACT_NO_MEMORY;
    if (ranges->count == 0)
        return REDACT_FINE;
    result = redact_ranges(record->stage, text, ranges);
    return result != REDACT_FINE ? result : redact_replace(record, token);
}

static enum redact_result redact_number(const struct redact_record *record, struct sl_span token)
{
    struct sl_slice text = {record->text.data + token.at, token.bytes};
    int found = record->stage->detects ? sl_detect_number(record->stage->detect, text) : 0;

    if (found < 0)
        return REDACT_NO_MEMORY;
    return found == 0 ? REDACT_FINE : redact_whole(record, token, text);
}

/* A scalar under `node`: a masked field, or something to look into. */
static enum redact_result redact_scalar(const struct redact_record *record, const struct sl_json_node *node)
{
    const struct sl_json_scan *scan = &record->stage->scan;
    bool field = node != NULL && node->column != JSON_NO_COLUMN;
    struct sl_span token = scan->span;
    struct sl_slice text = {record->text.data + token.at, token.bytes};
    enum redact_result result;

    if (scan->type == SL_T_STRING) {
        result = redact_meaning(record, token, &text);
        if (result != REDACT_FINE)
            return result;
        if (field)
            return sl_mask_made(&record->stage->mask, text) ? REDACT_FINE : redact_whole(record, token, text);
        return redact_text(record, token, text);
    }
    if (field && scan->type != SL_T_NULL)
        return redact_whole(record, token, text);
    return scan->type == SL_T_NUMBER ? redact_number(record, token) : REDACT_FINE;
}

/* An object or array that is masked as a whole. */
static enum redact_result redact_container(const struct redact_record *record)
{
    struct sl_json_scan *scan = &record->stage->scan;
    uint32_t from = scan->span.at;
    struct sl_span token;

    if (sl_json_scan_leap(scan) == SL_JSON_WRONG)
        return REDACT_WRONG;
    token = (struct sl_span){from, scan->span.at + 1 - from};
    return redact_whole(record, token, (struct sl_slice){record->text.data + from, token.bytes});
}

static enum redact_result redact_key(const struct redact_record *record, const struct sl_json_node *object, const struct sl_json_node **ret_node)
{
    struct sl_span token = record->stage->scan.span;
    struct sl_slice key;
    enum redact_result result = redact_meaning(record, token, &key);

    if (result != REDACT_FINE)
        return result;
    *ret_node = object == NULL ? NULL : sl_json_tree_find(object, key);
    return redact_text(record, token, key);
}

/* Edits of one record, appended to stage->edits in text order. */
static enum redact_result redact_record(const struct redact_record *record)
{
    struct redact_stage *stage = record->stage;
    struct sl_json_scan *scan = &stage->scan;
    const struct sl_json_node *node = &stage->paths; /* of the value that comes next */
    enum redact_result result = REDACT_FINE;

    if (!sl_json_scan_begin(scan, stage->index, record->text))
        return scan->verdict == SL_JSON_VERDICTS ? REDACT_NO_MEMORY : REDACT_WRONG;
    if (stage->detects && sl_detect_begin(stage->detect, record->text) != 0)
        return REDACT_NO_MEMORY;
    while (result == REDACT_FINE) {
        switch (sl_json_scan_next(scan)) {
        case SL_JSON_KEY:
            result = redact_key(record, stage->nodes[scan->depth], &node);
            continue;
        case SL_JSON_VALUE:
            result = redact_scalar(record, node);
            break;
        case SL_JSON_BEGIN:
            if (node != NULL && node->column != JSON_NO_COLUMN)
                result = redact_container(record);
            else
                stage->nodes[scan->depth] = node;
            break;
        case SL_JSON_END:
            break;
        case SL_JSON_DONE:
            return REDACT_FINE;
        case SL_JSON_WRONG:
            return REDACT_WRONG;
        }
        node = scan->depth > 0 ? stage->nodes[scan->depth] : NULL; /* items of an array are looked at as the array is */
    }
    return result;
}

/* ---- process ---- */

static int redact_memory(struct sl_err *err)
{
    return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "what is masked in a batch does not fit its memory; raise `memory:`");
}

static void redact_tally(struct redact_stage *stage, const uint64_t *counts)
{
    uint64_t limits = sl_detect_limits(stage->detect);

    for (uint32_t i = 0; stage->api->tally != NULL && i < REDACT_C_PATTERN_LIMITS; i++)
        if (counts[i] > 0)
            stage->api->tally(stage->api->env, stage, i, counts[i]);
    if (stage->api->tally != NULL && limits > stage->limits_told)
        stage->api->tally(stage->api->env, stage, REDACT_C_PATTERN_LIMITS, limits - stage->limits_told);
    stage->limits_told = limits;
}

static enum redact_result redact_row(struct redact_stage *stage, struct sl_view *view, uint16_t row)
{
    struct redact_record record = {stage, sl_view_text(view, row), view->batch->arena, row};

    return record.text.bytes == 0 ? REDACT_FINE : redact_record(&record); /* a tombstone says nothing */
}

static int redact_process(void *self, struct sl_view *view, struct sl_err *err)
{
    struct redact_stage *stage = self;
    uint64_t counts[REDACT_C_PATTERN_LIMITS] = {0};
    int rc = sl_rewrite_settle(stage->rewriter, view, err);

    assert(stage->magic == REDACT_MAGIC);
    if (rc != 0)
        return rc;
    stage->edits.count = 0;
    for (uint32_t i = 0; i < view->sel_count; i++) {
        uint16_t row = view->sel[i];
        uint32_t before = stage->edits.count;

        if (view->fate[row] != SL_LIVE)
            continue;
        switch (redact_row(stage, view, row)) {
        case REDACT_FINE:
            counts[REDACT_C_CHANGED] += stage->edits.count > before;
            break;
        case REDACT_WRONG:
            stage->edits.count = before;
            view->fate[row] = SL_DEAD;
            view->reason[row] = REDACT_NOT_JSON;
            counts[REDACT_C_NOT_JSON]++;
            break;
        case REDACT_NO_MEMORY:
            return redact_memory(err);
        }
    }
    counts[REDACT_C_VALUES] = stage->edits.count;
    redact_tally(stage, counts);
    return sl_rewrite_edits(stage->rewriter, view, stage->edits.edits, stage->edits.count, err);
}

/* ---- dead letters and taps ---- */

static int redact_splice(const struct redact_record *record, struct sl_slice *ret_text)
{
    const struct sl_fields_edits *edits = &record->stage->edits;
    size_t bytes = record->text.bytes;
    uint32_t from = 0;
    char *text, *to;

    for (uint32_t i = 0; i < edits->count; i++)
        bytes = bytes - edits->edits[i].cut.bytes + edits->edits[i].paste.bytes;
    text = to = sl_arena_alloc(record->arena, bytes + SL_PAD);
    if (text == NULL)
        return -1;
    for (uint32_t i = 0; i < edits->count; i++) {
        const struct sl_edit *edit = &edits->edits[i];
        memcpy(to, record->text.data + from, edit->cut.at - from);
        to += edit->cut.at - from;
        memcpy(to, edit->paste.data, edit->paste.bytes);
        to += edit->paste.bytes;
        from = edit->cut.at + edit->cut.bytes;
    }
    memcpy(to, record->text.data + from, record->text.bytes - from);
    memset(text + bytes, 0, SL_PAD);
    *ret_text = (struct sl_slice){text, (uint32_t)bytes};
    return 1;
}

static int redact_mask_text(struct redact_stage *stage, struct sl_slice text, struct sl_arena *arena, struct sl_slice *ret_text)
{
    const struct sl_ranges *ranges;

    *ret_text = text;
    if (!stage->detects || text.bytes == 0)
        return 1;
    if (sl_detect_begin(stage->detect, (struct sl_slice){NULL, 0}) != 0 || sl_detect_find(stage->detect, text, &ranges) != 0)
        return -1;
    if (ranges->count == 0)
        return 1;
    if (redact_ranges(stage, text, ranges) != REDACT_FINE)
        return -1;
    *ret_text = sl_arena_copy(arena, (struct sl_slice){sl_buf_str(&stage->made), (uint32_t)stage->made.bytes});
    return ret_text->data == NULL ? -1 : 1;
}

static int redact_mask(void *self, bool json, struct sl_slice text, struct sl_arena *arena, struct sl_slice *ret_text)
{
    struct redact_stage *stage = self;
    struct redact_record record = {stage, text, arena, 0};

    assert(stage->magic == REDACT_MAGIC);
    if (!json)
        return redact_mask_text(stage, text, arena, ret_text);
    stage->edits.count = 0;
    switch (redact_record(&record)) {
    case REDACT_FINE:
        break;
    case REDACT_WRONG:
        return 0;
    case REDACT_NO_MEMORY:
        return -1;
    }
    *ret_text = text;
    return stage->edits.count == 0 ? 1 : redact_splice(&record, ret_text);
}

/* ---- tables ---- */

static const struct sl_field redact_fields[] = {
    SL_FIELD(redact_config, fields, SL_F_STRINGS, .help = "Fields of the record whose values are masked, wherever and however often they occur."),
    SL_FIELD(redact_config, detect, SL_F_STRINGS,
             .help = "What is masked in every string, number and key: card (numbers), email (addresses), token (bearer tokens, keys, passwords), iban."),
    SL_FIELD(redact_config, patterns, SL_F_STRINGS,
             .help = "PCRE2 patterns: what they match in any string, number or key is masked."),
    SL_FIELD(redact_config, with, SL_F_STRING, .def = "***", .min = "1", .max = "64",
             .help = "The mask; hash: a keyed hash, so that equal values stay equal; partial: *** and the last four characters."),
    SL_FIELD(redact_config, key, SL_F_SECRET, .help = "Key of with: hash, at least 16 bytes."),
    {0},
};

static const struct sl_counter redact_counters[] = {
    [REDACT_C_CHANGED] = {"changed_total", "records", "Records in which something was masked."},
    [REDACT_C_VALUES] = {"masked_total", "values", "Values and keys that were masked."},
    [REDACT_C_NOT_JSON] = {"not_json_total", "records", "Records set aside, since what is no JSON cannot be masked."},
    [REDACT_C_PATTERN_LIMITS] = {"pattern_limits_total", "values", "Values on which a pattern gave up; they are masked as a whole."},
    [REDACT_C_PATTERN_LIMITS + 1] = {0},
};

static const char *const redact_reasons[] = {
    "", [REDACT_NOT_JSON] = "not JSON, so it cannot be masked safely; put a parse stage before this one", NULL};

const struct sl_op_kind sl_op_redact = {
    .head = {.major = SL_ABI_MAJOR,
             .minor = SL_ABI_MINOR,
             .bytes = sizeof(struct sl_op_kind),
             .name = "redact",
             .summary = "Masks fields, and card numbers, e-mail addresses, tokens and patterns wherever they stand.",
             .example = "{ type: redact, inputs: [parsed], fields: [user.email, password], detect: [card, email, token], with: \"***\" }",
             .fields = redact_fields,
             .config_bytes = sizeof(struct redact_config),
             .self_bytes = sizeof(struct redact_stage),
             .counters = redact_counters,
             .reasons = redact_reasons,
             .check = redact_check},
    .flags = SL_OP_EDITS,
    .open = redact_open,
    .ready = redact_ready,
    .process = redact_process,
    .mask = redact_mask,
    .close = redact_close,
};
