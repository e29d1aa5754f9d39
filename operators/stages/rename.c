/* rename.c: gives fields other names, or moves them to another object.
 *
 * A field that stays in its object keeps its place there; one that moves is added at the end of its new parent, which is made if it is
 * missing. What had the new name before is replaced. A field that comes twice is renamed in its first occurrence, the others go.
 * All renames of a stage happen at once, so no two of its fields may overlap.
 * SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "operators/stages/edit/editor.h"
#include "operators/stages/stages.h"
#include "runtime/base/json_out.h"

enum { RENAME_MAGIC = 0x72656e61 };

struct rename_config {
    struct sl_map fields;
};

struct rename_stage {
    uint32_t magic, count;
    struct sl_editor editor;     /* paths: all old ones, then all new ones */
    struct sl_slice *key;        /* [count]: the new last key, quoted, where the parent stays; else data NULL */
};

/* All old names, then all new ones. */
static int rename_names(const struct rename_config *config, struct sl_field_names *ret_names, struct sl_err *err)
{
    uint32_t count = config->fields.count;
    const char **texts = calloc(2u * count + 1, sizeof(*texts));
    int rc;

    if (texts == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory for %u fields", count);
    for (uint32_t i = 0; i < count; i++) {
        texts[i] = config->fields.items[i].name;
        texts[count + i] = config->fields.items[i].value;
    }
    rc = sl_field_names_parse("fields", texts, 2 * count, ret_names, err);
    free(texts);
    return rc;
}

static int rename_check(const void *config, struct sl_err *err)
{
    const struct rename_config *rename = config;
    struct sl_field_names names;
    int rc;

    if (rename->fields.count == 0)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "fields: there is nothing to rename; write { old.name: new.name }");
    rc = rename_names(rename, &names, err);
    if (rc == 0)
        sl_field_names_fini(&names);
    return rc;
}

static void rename_close(void *self)
{
    struct rename_stage *stage = self;

    if (stage->magic != RENAME_MAGIC)
        return;
    sl_editor_close(&stage->editor);
    for (uint32_t i = 0; stage->key != NULL && i < stage->count; i++)
        free((void *)(uintptr_t)stage->key[i].data);
    free(stage->key);
    memset(stage, 0, sizeof(*stage));
}

static bool rename_same_parent(const struct sl_field_path *from, const struct sl_field_path *to)
{
    if (from->segments_count != to->segments_count)
        return false;
    for (uint32_t i = 0; i + 1 < from->segments_count; i++)
        if (strcmp(from->segments[i], to->segments[i]) != 0)
            return false;
    return true;
}

static int rename_keys(struct rename_stage *stage, const struct sl_field_names *names, struct sl_err *err)
{
    stage->key = calloc((size_t)stage->count + 1, sizeof(*stage->key));
    for (uint32_t i = 0; stage->key != NULL && i < stage->count; i++) {
        const struct sl_field_path *to = &names->paths[stage->count + i];
        struct sl_buf quoted;

        if (!rename_same_parent(&names->paths[i], to))
            continue;
        sl_buf_init(&quoted);
        sl_json_quote(&quoted, sl_slice_of(to->segments[to->segments_count - 1]));
        if (sl_buf_failed(&quoted)) {
            sl_buf_fini(&quoted);
            return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory for %u fields", stage->count);
        }
        stage->key[i] = (struct sl_slice){quoted.data, (uint32_t)quoted.bytes};
    }
    return stage->key == NULL ? sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory for %u fields", stage->count) : 0;
}

static int rename_open(void *self, const struct sl_api *api, const void *config, struct sl_names *names, struct sl_err *err)
{
    struct rename_stage *stage = self;
    const struct rename_config *rename = config;
    struct sl_field_names fields;
    int rc = rename_names(rename, &fields, err);

    memset(stage, 0, sizeof(*stage));
    stage->magic = RENAME_MAGIC;
    stage->count = rename->fields.count;
    if (rc != 0)
        return rc;
    rc = sl_editor_open(&stage->editor, api, fields.paths, fields.count, names, err);
    if (rc == 0)
        rc = rename_keys(stage, &fields, err);
    sl_field_names_fini(&fields);
    if (rc != 0)
        rename_close(stage);
    return rc;
}

static int rename_ready(void *self, const uint32_t *columns, uint32_t count, struct sl_names *names, struct sl_err *err)
{
    struct rename_stage *stage = self;

    return sl_editor_ready(&stage->editor, columns, count, names, err);
}

static int rename_wish(void *self, struct sl_view *view, uint16_t row)
{
    struct rename_stage *stage = self;
    int wished = 0;
    (void)view;
    (void)row;

    for (uint32_t i = 0; i < stage->count; i++) {
        struct sl_wish *from = &stage->editor.wishes[i], *to = &stage->editor.wishes[stage->count + i];
        struct sl_slice value = sl_fields_value(stage->editor.fields, i);
        bool taken = sl_fields_value(stage->editor.fields, stage->count + i).data != NULL;

        *from = *to = (struct sl_wish){SL_WISH_LEAVE, {NULL, 0}};
        if (value.data == NULL)
            continue;
        wished = 1;
        if (stage->key[i].data != NULL && !taken) {
            *from = (struct sl_wish){SL_WISH_RENAME, stage->key[i]};
            continue;
        }
        *from = (struct sl_wish){SL_WISH_REMOVE, {NULL, 0}};
        *to = (struct sl_wish){SL_WISH_SET, value};
    }
    return wished;
}

static int rename_process(void *self, struct sl_view *view, struct sl_err *err)
{
    struct rename_stage *stage = self;

    assert(stage->magic == RENAME_MAGIC);
    return sl_editor_process(&stage->editor, stage, view, rename_wish, err);
}

static const struct sl_field rename_fields[] = {
    SL_FIELD(rename_config, fields, SL_F_MAP, .flags = SL_F_REQUIRED,
             .help = "Old name to new name: { msg: message, host: server.name }. A record without the old field stays as it is."),
    {0},
};

static const struct sl_counter rename_counters[] = {SL_EDITOR_COUNTER_ROWS, {0}};

const struct sl_op_kind sl_op_rename = {
    .head = {.major = SL_ABI_MAJOR,
             .minor = SL_ABI_MINOR,
             .bytes = sizeof(struct sl_op_kind),
             .name = "rename",
             .summary = "Gives fields other names, or moves them to another object.",
             .example = "{ type: rename, inputs: [parsed], fields: { msg: message, host: server.name } }",
             .fields = rename_fields,
             .config_bytes = sizeof(struct rename_config),
             .self_bytes = sizeof(struct rename_stage),
             .counters = rename_counters,
             .reasons = sl_editor_reasons,
             .check = rename_check},
    .flags = SL_OP_EDITS,
    .open = rename_open,
    .ready = rename_ready,
    .process = rename_process,
    .close = rename_close,
};
