/* set.c: sets fields of records to constants, or to what is made of other fields.
 *
 * All values see the record as it came. A field that comes twice is set in its first occurrence, the others go; parents that are
 * missing are made. Fields are the record's own: `level` is .level, also where the role level comes from another field. A field that a
 * role comes from changes the role for all stages behind. A template with a name that has no value leaves its field as it is, counted.
 * SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "operators/stages/edit/editor.h"
#include "operators/stages/edit/values.h"
#include "operators/stages/stages.h"

enum { SET_MAGIC = 0x73657473 };
enum set_counter { SET_C_NO_VALUE = SL_EDITOR_COUNTERS };

struct set_config {
    struct sl_map fields; /* JSON values */
    bool if_missing;
};

struct set_stage {
    uint32_t magic;
    bool if_missing;
    struct sl_editor editor;
    struct sl_value *values; /* one a field */
    uint32_t values_count;
    struct sl_buf scratch;
    uint64_t no_value;
};

static int set_check(const void *config, struct sl_err *err)
{
    const struct set_config *set = config;
    struct sl_field_names names;
    int rc;

    if (set->fields.count == 0)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "fields: there is nothing to set; write { environment: production }");
    rc = sl_field_names_of_keys("fields", &set->fields, &names, err);
    if (rc != 0)
        return rc;
    sl_field_names_fini(&names);
    for (uint32_t i = 0; i < set->fields.count; i++) {
        struct sl_value value;
        if (sl_value_open(set->fields.items[i].value, NULL, &value, err) != 0)
            return sl_while(err, "fields: %s", set->fields.items[i].name);
        sl_value_close(&value);
    }
    return 0;
}

static void set_close(void *self)
{
    struct set_stage *stage = self;

    if (stage->magic != SET_MAGIC)
        return;
    sl_editor_close(&stage->editor);
    for (uint32_t i = 0; i < stage->values_count; i++)
        sl_value_close(&stage->values[i]);
    free(stage->values);
    sl_buf_fini(&stage->scratch);
    memset(stage, 0, sizeof(*stage));
}

static int set_values(struct set_stage *stage, const struct set_config *config, struct sl_names *names, struct sl_err *err)
{
    stage->values = calloc((size_t)config->fields.count + 1, sizeof(*stage->values));
    if (stage->values == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory for %u fields", config->fields.count);
    for (; stage->values_count < config->fields.count; stage->values_count++)
        if (sl_value_open(config->fields.items[stage->values_count].value, names, &stage->values[stage->values_count], err) != 0)
            return -(int)err->code;
    return 0;
}

static int set_open(void *self, const struct sl_api *api, const void *config, struct sl_names *names, struct sl_err *err)
{
    struct set_stage *stage = self;
    const struct set_config *set = config;
    struct sl_field_names fields;
    int rc = sl_field_names_of_keys("fields", &set->fields, &fields, err);

    memset(stage, 0, sizeof(*stage));
    stage->magic = SET_MAGIC;
    stage->if_missing = set->if_missing;
    if (rc != 0)
        return rc;
    rc = sl_editor_open(&stage->editor, api, fields.paths, fields.count, names, err);
    sl_field_names_fini(&fields);
    if (rc == 0)
        rc = set_values(stage, set, names, err);
    if (rc != 0)
        set_close(stage);
    return rc;
}

static int set_ready(void *self, const uint32_t *columns, uint32_t count, struct sl_names *names, struct sl_err *err)
{
    struct set_stage *stage = self;

    return sl_editor_ready(&stage->editor, columns, count, names, err);
}

static int set_wish(void *self, struct sl_view *view, uint16_t row)
{
    struct set_stage *stage = self;
    int wished = 0;

    for (uint32_t i = 0; i < stage->values_count; i++) {
        struct sl_wish *wish = &stage->editor.wishes[i];
        int made;

        *wish = (struct sl_wish){SL_WISH_LEAVE, {NULL, 0}};
        if (stage->if_missing && sl_fields_value(stage->editor.fields, i).data != NULL)
            continue;
        made = sl_value_of(&stage->values[i], view, row, &stage->scratch, &wish->json);
        if (made < 0)
            return -1;
        stage->no_value += made == 0;
        if (made == 0)
            continue;
        wish->kind = stage->if_missing ? SL_WISH_SET_SOFT : SL_WISH_SET;
        wished = 1;
    }
    return wished;
}

static int set_process(void *self, struct sl_view *view, struct sl_err *err)
{
    struct set_stage *stage = self;
    const struct sl_api *api = stage->editor.api;
    int rc;

    assert(stage->magic == SET_MAGIC);
    stage->no_value = 0;
    rc = sl_editor_process(&stage->editor, stage, view, set_wish, err);
    if (api->tally != NULL && stage->no_value > 0)
        api->tally(api->env, stage, SET_C_NO_VALUE, stage->no_value);
    return rc;
}

static const struct sl_field set_fields[] = {
    SL_FIELD(set_config, fields, SL_F_VALUES, .flags = SL_F_REQUIRED,
             .help = "Field to value: { environment: production, attempt: 1, where: \"{service}-{host}\" }. {NAME} copies; quote such texts."),
    SL_FIELD(set_config, if_missing, SL_F_BOOL, .def = "false", .help = "Leave fields alone that a record has already."),
    {0},
};

static const struct sl_counter set_counters[] = {
    SL_EDITOR_COUNTER_ROWS,
    [SET_C_NO_VALUE] = {"no_value_total", "fields", "Fields that were not set, since a name in their template has no value."},
    [SET_C_NO_VALUE + 1] = {0},
};

const struct sl_op_kind sl_op_set = {
    .head = {.major = SL_ABI_MAJOR,
             .minor = SL_ABI_MINOR,
             .bytes = sizeof(struct sl_op_kind),
             .name = "set",
             .summary = "Sets fields of records to constants or to copies of other fields.",
             .example = "{ type: set, inputs: [parsed], fields: { environment: production, where: \"{service}-{host}\" } }",
             .fields = set_fields,
             .config_bytes = sizeof(struct set_config),
             .self_bytes = sizeof(struct set_stage),
             .counters = set_counters,
             .reasons = sl_editor_reasons,
             .check = set_check},
    .flags = SL_OP_EDITS,
    .open = set_open,
    .ready = set_ready,
    .process = set_process,
    .close = set_close,
};
