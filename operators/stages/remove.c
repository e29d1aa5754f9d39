/* remove.c: takes fields out of records: every occurrence of each.
 *
 * Objects stay, also when nothing is left in them. Fields are the record's own: `level` is .level, whatever the level comes from.
 * SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>

#include "operators/stages/edit/editor.h"
#include "operators/stages/stages.h"

enum { REMOVE_MAGIC = 0x72656d6f };

struct remove_config {
    struct sl_strings fields;
};

struct remove_stage {
    uint32_t magic;
    struct sl_editor editor;
};

static int remove_check(const void *config, struct sl_err *err)
{
    const struct remove_config *remove = config;
    struct sl_field_names names;
    int rc;

    if (remove->fields.count == 0)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "fields: there is nothing to remove; name at least one field, such as [password]");
    rc = sl_field_names_parse("fields", remove->fields.items, remove->fields.count, &names, err);
    if (rc == 0)
        sl_field_names_fini(&names);
    return rc;
}

static void remove_close(void *self)
{
    struct remove_stage *stage = self;

    if (stage->magic != REMOVE_MAGIC)
        return;
    sl_editor_close(&stage->editor);
    memset(stage, 0, sizeof(*stage));
}

static int remove_open(void *self, const struct sl_api *api, const void *config, struct sl_names *names, struct sl_err *err)
{
    struct remove_stage *stage = self;
    const struct remove_config *remove = config;
    struct sl_field_names fields;
    int rc = sl_field_names_parse("fields", remove->fields.items, remove->fields.count, &fields, err);

    memset(stage, 0, sizeof(*stage));
    stage->magic = REMOVE_MAGIC;
    if (rc != 0)
        return rc;
    rc = sl_editor_open(&stage->editor, api, fields.paths, fields.count, names, err);
    sl_field_names_fini(&fields);
    for (uint32_t i = 0; rc == 0 && i < stage->editor.count; i++)
        stage->editor.wishes[i] = (struct sl_wish){SL_WISH_REMOVE, {NULL, 0}};
    if (rc != 0)
        remove_close(stage);
    return rc;
}

static int remove_ready(void *self, const uint32_t *columns, uint32_t count, struct sl_names *names, struct sl_err *err)
{
    struct remove_stage *stage = self;

    return sl_editor_ready(&stage->editor, columns, count, names, err);
}

/* The same of every record, said at open. */
static int remove_wish(void *self, struct sl_view *view, uint16_t row)
{
    (void)self;
    (void)view;
    (void)row;
    return 1;
}

static int remove_process(void *self, struct sl_view *view, struct sl_err *err)
{
    struct remove_stage *stage = self;

    assert(stage->magic == REMOVE_MAGIC);
    return sl_editor_process(&stage->editor, stage, view, remove_wish, err);
}

static const struct sl_field remove_fields[] = {
    SL_FIELD(remove_config, fields, SL_F_STRINGS, .flags = SL_F_REQUIRED,
             .help = "Fields of the record that are taken out, wherever and however often they occur: [password, user.email]."),
    {0},
};

static const struct sl_counter remove_counters[] = {SL_EDITOR_COUNTER_ROWS, {0}};

const struct sl_op_kind sl_op_remove = {
    .head = {.major = SL_ABI_MAJOR,
             .minor = SL_ABI_MINOR,
             .bytes = sizeof(struct sl_op_kind),
             .name = "remove",
             .summary = "Takes fields out of records.",
             .example = "{ type: remove, inputs: [parsed], fields: [password, user.email] }",
             .fields = remove_fields,
             .config_bytes = sizeof(struct remove_config),
             .self_bytes = sizeof(struct remove_stage),
             .counters = remove_counters,
             .reasons = sl_editor_reasons,
             .check = remove_check},
    .flags = SL_OP_EDITS,
    .open = remove_open,
    .ready = remove_ready,
    .process = remove_process,
    .close = remove_close,
};
