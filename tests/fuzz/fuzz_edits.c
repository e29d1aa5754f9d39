/* fuzz_edits.c: any bytes as a record whose fields are set, removed, renamed and masked: nothing is read beyond the padding, what was
 * JSON stays JSON, what was removed is gone, what was set reads back, and only JSON can be masked.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <stdio.h>

#include "operators/stages/edit/fields.h"
#include "operators/stages/stages.h"
#include "tests/support/stage_config.h"
#include "tests/unit/json_fixture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

enum { FUZZ_FIELDS = 4, FUZZ_BYTES = 1 << 16 };

static const char *const a[] = {"a", NULL}, *const email[] = {"user", "email", NULL}, *const deep[] = {"user", "x", "y", NULL},
                         *const b[] = {"b", NULL};
static const char *const *const paths[FUZZ_FIELDS] = {a, email, deep, b};

struct fuzz {
    struct json_fixture *in, *out; /* the record at the end of memory; what became of it */
    struct sl_arena arena;
    struct sl_fields *fields;
    struct sl_fields_edits edits;
    _Alignas(16) char redact[16384], detect[16384]; /* with fields, and without */
};

static void fuzz_check(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "fuzz_edits: %s\n", what);
        abort();
    }
}

static void fuzz_stage(char *self, const char *settings)
{
    static const struct sl_api api = {.share_bytes = 1 << 20};
    struct sl_names names = {0};
    struct sl_err err;

    fuzz_check(sl_op_redact.head.self_bytes <= sizeof(((struct fuzz *)NULL)->redact), "redact has grown");
    fuzz_check(sl_op_redact.open(self, &api, config_of(&sl_op_redact.head, settings), &names, &err) == 0, "redact does not open");
}

static struct fuzz *fuzz_new(void)
{
    struct fuzz *fuzz = calloc(1, sizeof(*fuzz));
    struct sl_field_path wanted[FUZZ_FIELDS];
    struct sl_err err;

    fuzz_check(fuzz != NULL && sl_arena_init(&fuzz->arena, 1 << 16, 1 << 24) == 0, "memory");
    for (int i = 0; i < FUZZ_FIELDS; i++) {
        wanted[i] = (struct sl_field_path){paths[i], 0};
        while (paths[i][wanted[i].segments_count] != NULL)
            wanted[i].segments_count++;
    }
    fuzz_check(sl_fields_new(wanted, FUZZ_FIELDS, &fuzz->fields, &err) == 0, "fields");
    fuzz->in = json_fixture_new(paths, FUZZ_FIELDS);
    fuzz->out = json_fixture_new(paths, FUZZ_FIELDS);
    fuzz_stage(fuzz->redact, "{ type: redact, inputs: [x], fields: [a, user.email, user.x.y, b], detect: [card, email, token, iban] }");
    fuzz_stage(fuzz->detect, "{ type: redact, inputs: [x], detect: [card, email, token, iban], patterns: [\"[0-9]{4}\"], with: partial }");
    return fuzz;
}

/* The record with the wishes, in the arena. */
static struct sl_slice fuzz_write(struct fuzz *fuzz, struct sl_slice text, const struct sl_wish *wishes)
{
    struct sl_batch batch = {.count = 1, .raw = &text, .arena = &fuzz->arena};
    struct sl_decoded decoded = {.trace = -1};
    struct sl_view view;
    uint32_t cursor = 0;
    struct sl_slice made;

    fuzz->edits.count = 0;
    fuzz_check(sl_view_all(&view, &batch, &decoded) == 0, "memory");
    fuzz_check(sl_fields_write(fuzz->fields, 0, wishes, &fuzz->arena, &fuzz->edits) == 0, "memory");
    fuzz_check(sl_view_edit(&view, fuzz->edits.edits, fuzz->edits.count) == 0, "memory");
    made = sl_view_body(&view, 0, &cursor);
    fuzz_check(made.data != NULL, "memory");
    return made;
}

static void fuzz_becomes(struct fuzz *fuzz, struct sl_slice text, enum sl_wish_kind kind)
{
    static const char *const values[FUZZ_FIELDS] = {"1", "\"x\"", "{\"k\":[]}", "null"};
    struct sl_wish wishes[FUZZ_FIELDS];
    struct sl_slice made;

    for (int i = 0; i < FUZZ_FIELDS; i++)
        wishes[i] = (struct sl_wish){kind, kind == SL_WISH_RENAME ? sl_slice_of("\"renamed\"") : sl_slice_of(values[i])};
    made = fuzz_write(fuzz, text, wishes);
    fuzz_check(made.bytes <= FIXTURE_BYTES - SL_PAD, "a record has exploded");
    fuzz_check(json_fixture_decode(fuzz->out, made.data, made.bytes, true, '"') == SL_JSON_FINE, "what was JSON is none any more");
    for (int i = 0; i < FUZZ_FIELDS; i++) {
        struct sl_slice raw = {made.data + fuzz->out->span[i].at, fuzz->out->span[i].bytes};

        if (kind == SL_WISH_REMOVE || kind == SL_WISH_RENAME)
            fuzz_check(fuzz->out->type[i] == SL_T_ABSENT, "a field that was taken away is there");
        else if (kind == SL_WISH_SET)
            fuzz_check(sl_slice_is(raw, values[i]) && !fuzz->out->repeated[i], "a field that was set is not what it was set to");
    }
}

static void fuzz_masks(struct fuzz *fuzz, void *stage, struct sl_slice text, bool json, bool all)
{
    struct sl_slice shown = {NULL, 0};
    int status = text.bytes == 0 ? 0 : sl_op_redact.mask(stage, true, text, &fuzz->arena, &shown);

    fuzz_check(status >= 0, "memory");
    fuzz_check(status == 1 || !json, "JSON cannot be masked");
    fuzz_check(status == 0 || json || all, "what is no JSON was masked"); /* what is masked whole is not looked into */
    if (status != 1 || !json)
        return;
    fuzz_check(json_fixture_decode(fuzz->out, shown.data, shown.bytes, true, '"') == SL_JSON_FINE, "what was masked is no JSON");
    for (int i = 0; all && i < FUZZ_FIELDS; i++)
        fuzz_check(fuzz->out->type[i] <= SL_T_NULL || sl_slice_is(fuzz->out->value[i], "***"), "a masked field shows its value");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static struct fuzz *fuzz;
    struct sl_slice text;
    enum sl_fields_found found;
    bool json;

    if (fuzz == NULL)
        fuzz = fuzz_new();
    if (bytes > FUZZ_BYTES)
        return 0;
    json = json_fixture_decode(fuzz->in, (const char *)data, (uint32_t)bytes, true, '"') == SL_JSON_FINE;
    text = (struct sl_slice){fuzz->in->memory + FIXTURE_BYTES - SL_PAD - bytes, (uint32_t)bytes};
    sl_arena_reset(&fuzz->arena);
    found = sl_fields_read(fuzz->fields, text);
    fuzz_check(found != SL_FIELDS_NO_MEMORY, "memory");
    fuzz_check(found != SL_FIELDS_WRONG || !json, "JSON is refused");
    for (int kind = SL_WISH_LEAVE; found == SL_FIELDS_READ && kind <= SL_WISH_RENAME; kind++) {
        if (json)
            fuzz_becomes(fuzz, text, (enum sl_wish_kind)kind);
        fuzz_check(sl_fields_read(fuzz->fields, text) == SL_FIELDS_READ, "a second look differs");
    }
    fuzz_masks(fuzz, fuzz->redact, text, json, true);
    fuzz_masks(fuzz, fuzz->detect, text, json, false);
    (void)sl_op_redact.mask(fuzz->detect, false, text, &fuzz->arena, &text);
    return 0;
}
