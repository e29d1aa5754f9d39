/* enrich.c: adds columns of a table's row to the records whose key it has.
 *
 * The table is loaded at open and looked at again at most once a second while records come: a file that changed is loaded by the
 * clerk and exchanged between two batches; one that cannot be loaded leaves the old table in place, is told once and not tried again
 * until it changes. Each instance has a table of its own (tables are small, and nothing is shared on the hot path).
 * States of a look: idle --process, a second has passed--> asked (the clerk) --look_done--> idle.
 * SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "operators/stages/edit/editor.h"
#include "operators/stages/edit/values.h"
#include "operators/stages/enrich/table.h"
#include "operators/stages/stages.h"

enum { ENRICH_MAGIC = 0x656e7269, ENRICH_NO_ROW = SL_EDITOR_NOT_JSON + 1 };
#define ENRICH_LOOK_NS 1000000000ull
enum enrich_missing { ENRICH_KEEP, ENRICH_DEAD };
enum enrich_counter { ENRICH_C_MATCHED = SL_EDITOR_COUNTERS, ENRICH_C_MISSING, ENRICH_C_RELOADS, ENRICH_C_RELOAD_FAILURES };

struct enrich_config {
    const char *table, *key, *column, *separator;
    int format, missing;
    struct sl_map fields;
    uint64_t max_bytes;
};

struct enrich_look { /* the clerk's while it is asked */
    struct sl_job job; /* first: the job is the look */
    struct enrich_stage *stage;
    struct sl_table_stamp known; /* of the file that was tried last */
    struct sl_table *table;      /* a new one, or NULL */
    int status;                  /* of a file that was tried */
    bool tried;
    struct sl_err err;
};

struct enrich_stage {
    uint32_t magic;
    struct sl_editor editor;
    const struct enrich_config *config;
    struct sl_table_want want;
    const char **columns; /* want.columns */
    struct sl_table *table;
    struct sl_name key;
    int key_column;
    struct enrich_look look;
    bool asked;
    uint64_t looked_ns, matched, missing;
};

/* ---- settings ---- */

/* columns: room for config->fields.count. */
static struct sl_table_want enrich_want(const struct enrich_config *config, const char **columns)
{
    for (uint32_t i = 0; i < config->fields.count; i++)
        columns[i] = config->fields.items[i].value;
    return (struct sl_table_want){.path = config->table,
                                  .format = (enum sl_table_format)config->format,
                                  .separator = config->separator[0],
                                  .key = config->column,
                                  .columns = columns,
                                  .columns_count = config->fields.count,
                                  .max_bytes = config->max_bytes};
}

static bool enrich_is_ndjson(const struct enrich_config *config)
{
    const char *end = strrchr(config->table, '.');

    return config->format == SL_TABLE_NDJSON ||
           (config->format == SL_TABLE_AUTO && end != NULL &&
            (strcmp(end, ".ndjson") == 0 || strcmp(end, ".jsonl") == 0 || strcmp(end, ".json") == 0));
}

static int enrich_check_table(const struct enrich_config *config, struct sl_err *err)
{
    const char **columns = calloc((size_t)config->fields.count + 1, sizeof(*columns));
    struct sl_table *table = NULL;
    struct sl_table_want want;
    int rc;

    if (columns == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory for a table");
    want = enrich_want(config, columns);
    rc = sl_table_load(sl_fs_posix(), &want, &table, err);
    table = sl_table_free(table);
    free(columns);
    if (rc != 0 && strstr(err->text, "; ") == NULL)
        (void)snprintf(err->text + strlen(err->text), sizeof(err->text) - strlen(err->text), "; correct the file, or name another one");
    return rc == 0 ? 0 : sl_while(err, "table");
}

static int enrich_check(const void *config, struct sl_err *err)
{
    const struct enrich_config *enrich = config;
    struct sl_field_names names;
    int rc;

    if (enrich->fields.count == 0 || enrich->fields.count >= SL_TABLE_COLUMNS)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "fields: name 1 to %d fields and the table's columns they come from, such as { team: team }",
                       SL_TABLE_COLUMNS - 1);
    rc = sl_field_names_of_keys("fields", &enrich->fields, &names, err);
    if (rc != 0)
        return rc;
    sl_field_names_fini(&names);
    for (uint32_t i = 0; i < enrich->fields.count; i++)
        for (uint32_t k = 0; enrich_is_ndjson(enrich) && k < i; k++)
            if (strcmp(enrich->fields.items[i].value, enrich->fields.items[k].value) == 0)
                return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "fields: the column %s is named twice; a set stage behind copies a field",
                               enrich->fields.items[i].value);
    if (enrich_is_ndjson(enrich) && enrich->column == NULL)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "column: NDJSON has no first column; name the one that holds the keys");
    for (uint32_t i = 0; enrich_is_ndjson(enrich) && i < enrich->fields.count; i++)
        if (strcmp(enrich->fields.items[i].value, enrich->column) == 0)
            return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "fields: the column %s is the key, which the record has already; leave it out",
                           enrich->column);
    return enrich_check_table(enrich, err);
}

/* ---- open ---- */

static void enrich_close(void *self)
{
    struct enrich_stage *stage = self;

    if (stage->magic != ENRICH_MAGIC)
        return;
    sl_editor_close(&stage->editor);
    stage->table = sl_table_free(stage->table);
    stage->look.table = sl_table_free(stage->look.table); /* loaded, and nobody was told any more */
    sl_name_fini(&stage->key);
    free(stage->columns);
    memset(stage, 0, sizeof(*stage));
}

static int enrich_open_key(struct enrich_stage *stage, struct sl_names *names, struct sl_err *err)
{
    int rc = sl_name_parse(stage->config->key, &stage->key, err);

    stage->key_column = -1;
    if (rc != 0)
        return sl_while(err, "key");
    if (stage->key.kind != SL_NAME_PATH && stage->key.kind != SL_NAME_TRACE)
        return 0;
    stage->key_column = names->column(names, &stage->key, err);
    return stage->key_column < 0 ? stage->key_column : 0;
}

static int enrich_open_table(struct enrich_stage *stage, struct sl_err *err)
{
    stage->columns = calloc((size_t)stage->config->fields.count + 1, sizeof(*stage->columns));
    if (stage->columns == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory for a table");
    stage->want = enrich_want(stage->config, stage->columns);
    if (sl_table_load(stage->editor.api->fs, &stage->want, &stage->table, err) != 0)
        return sl_while(err, "table");
    stage->look.known = *sl_table_stamp(stage->table);
    stage->look.stage = stage;
    return 0;
}

static int enrich_open(void *self, const struct sl_api *api, const void *config, struct sl_names *names, struct sl_err *err)
{
    struct enrich_stage *stage = self;
    struct sl_field_names fields;
    int rc = sl_field_names_of_keys("fields", &((const struct enrich_config *)config)->fields, &fields, err);

    memset(stage, 0, sizeof(*stage));
    stage->magic = ENRICH_MAGIC;
    stage->config = config;
    if (rc != 0)
        return rc;
    rc = sl_editor_open(&stage->editor, api, fields.paths, fields.count, names, err);
    sl_field_names_fini(&fields);
    if (rc == 0)
        rc = enrich_open_key(stage, names, err);
    if (rc == 0)
        rc = enrich_open_table(stage, err);
    if (rc == 0)
        stage->looked_ns = api->now_ns(api->env);
    else
        enrich_close(stage);
    return rc;
}

static int enrich_ready(void *self, const uint32_t *columns, uint32_t count, struct sl_names *names, struct sl_err *err)
{
    struct enrich_stage *stage = self;

    return sl_editor_ready(&stage->editor, columns, count, names, err);
}

/* ---- a new file ---- */

static void look_run(struct sl_job *job)
{
    struct enrich_look *look = (struct enrich_look *)(void *)job;
    struct sl_fs *fs = look->stage->editor.api->fs;
    struct sl_table_stamp now = {0};

    look->tried = false;
    if (sl_table_stat(fs, look->stage->want.path, &now) != 0 || memcmp(&now, &look->known, sizeof(now)) == 0)
        return; /* gone for a moment, as editors do it, or unchanged */
    look->tried = true;
    look->status = sl_table_load(fs, &look->stage->want, &look->table, &look->err);
    if (look->status == 0)
        look->known = *sl_table_stamp(look->table);
    else if (look->err.remedy != SL_REMEDY_RETRY)
        look->known = now;
    else
        look->tried = false; /* it is being written: again in a second */
}

static void look_done(struct sl_job *job)
{
    struct enrich_look *look = (struct enrich_look *)(void *)job;
    struct enrich_stage *stage = look->stage;
    const struct sl_api *api = stage->editor.api;

    stage->asked = false;
    if (!look->tried)
        return;
    if (look->status == 0) {
        (void)sl_table_free(stage->table);
        stage->table = look->table;
        look->table = NULL;
    } else if (api->log != NULL) {
        (void)sl_while(&look->err, "enrich %s: the old table stays", api->component);
        api->log(api->env, &look->err, "table");
    }
    if (api->tally != NULL)
        api->tally(api->env, stage, look->status == 0 ? ENRICH_C_RELOADS : ENRICH_C_RELOAD_FAILURES, 1);
}

static void enrich_look(struct enrich_stage *stage)
{
    const struct sl_api *api = stage->editor.api;
    uint64_t now_ns = api->now_ns(api->env);

    if (stage->asked || api->submit == NULL || now_ns - stage->looked_ns < ENRICH_LOOK_NS)
        return;
    stage->looked_ns = now_ns;
    stage->asked = true;
    stage->look.job = (struct sl_job){.run = look_run, .done = look_done};
    api->submit(api->env, &stage->look.job);
}

/* ---- records ---- */

static int enrich_wish(void *self, struct sl_view *view, uint16_t row)
{
    struct enrich_stage *stage = self;
    char time[SL_VALUE_TIME_BYTES];
    struct sl_slice key = {NULL, 0};
    const struct sl_slice *values = NULL;
    int wished = 0;

    if (sl_value_cell(view, &stage->key, stage->key_column, row, time, &key) > SL_T_NULL)
        values = sl_table_find(stage->table, key);
    if (values == NULL) {
        stage->missing++;
        if (stage->config->missing == ENRICH_DEAD) {
            view->fate[row] = SL_DEAD;
            view->reason[row] = ENRICH_NO_ROW;
        }
        return 0;
    }
    stage->matched++;
    for (uint32_t i = 0; i < stage->editor.count; i++) {
        stage->editor.wishes[i] = (struct sl_wish){values[i].data == NULL ? SL_WISH_LEAVE : SL_WISH_SET, values[i]};
        wished |= values[i].data != NULL;
    }
    return wished;
}

static int enrich_process(void *self, struct sl_view *view, struct sl_err *err)
{
    struct enrich_stage *stage = self;
    const struct sl_api *api = stage->editor.api;
    int rc;

    assert(stage->magic == ENRICH_MAGIC);
    stage->matched = stage->missing = 0;
    rc = sl_editor_process(&stage->editor, stage, view, enrich_wish, err);
    if (api->tally != NULL && stage->matched > 0)
        api->tally(api->env, stage, ENRICH_C_MATCHED, stage->matched);
    if (api->tally != NULL && stage->missing > 0)
        api->tally(api->env, stage, ENRICH_C_MISSING, stage->missing);
    enrich_look(stage);
    return rc;
}

/* ---- tables ---- */

static const char *const enrich_formats[] = {"auto", "csv", "ndjson", NULL};
static const char *const enrich_missing_words[] = {"keep", "dead", NULL};

static const struct sl_field enrich_fields[] = {
    SL_FIELD(enrich_config, table, SL_F_INPUT_PATH, .flags = SL_F_REQUIRED | SL_F_IN_PLACE,
             .help = "The file: CSV with a header row, or NDJSON. It is read again when it changes; replace it by a rename."),
    SL_FIELD(enrich_config, format, SL_F_ENUM, .def = "auto", .values = enrich_formats,
             .help = "auto: NDJSON if the file's name ends in .ndjson, .jsonl or .json, else CSV."),
    SL_FIELD(enrich_config, separator, SL_F_STRING, .def = ",", .min = "1", .max = "1", .help = "csv: what parts cells."),
    SL_FIELD(enrich_config, key, SL_F_FIELD_NAME, .flags = SL_F_REQUIRED, .help = "The record's value that is looked up: a role, @key, or a field."),
    SL_FIELD(enrich_config, column, SL_F_STRING, .min = "1", .max = "500", .help = "The table's column that holds the keys; without it CSV's first."),
    SL_FIELD(enrich_config, fields, SL_F_MAP, .flags = SL_F_REQUIRED,
             .help = "Field of the record to column of the table: { team: team, owner.email: email }."),
    SL_FIELD(enrich_config, missing, SL_F_ENUM, .def = "keep", .values = enrich_missing_words,
             .help = "What becomes of records whose key the table does not have: they stay as they are, or are dead letters."),
    SL_FIELD(enrich_config, max_bytes, SL_F_BYTES, .def = "32MiB", .min = "64KiB", .max = "16GiB",
             .help = "The most memory that a table may take in each worker; two of them while a new one is loaded."),
    {0},
};

static const struct sl_counter enrich_counters[] = {
    SL_EDITOR_COUNTER_ROWS,
    [ENRICH_C_MATCHED] = {"matched_total", "records", "Records whose key the table has."},
    [ENRICH_C_MISSING] = {"missing_total", "records", "Records whose key the table does not have, or that have no key."},
    [ENRICH_C_RELOADS] = {"reloads_total", "tables", "Tables that were read again, since their file had changed."},
    [ENRICH_C_RELOAD_FAILURES] = {"reload_failures_total", "tables", "Changed files that could not be read as a table; the old one stays."},
    [ENRICH_C_RELOAD_FAILURES + 1] = {0},
};

static const char *const enrich_reasons[] = {
    "", [SL_EDITOR_NOT_JSON] = "not JSON, so it cannot be enriched; put a parse stage before this one",
    [ENRICH_NO_ROW] = "no row of the table has the record's key", NULL};

const struct sl_op_kind sl_op_enrich = {
    .head = {.major = SL_ABI_MAJOR,
             .minor = SL_ABI_MINOR,
             .bytes = sizeof(struct sl_op_kind),
             .name = "enrich",
             .summary = "Adds columns of a table to the records whose key it has.",
             .example = "{ type: enrich, inputs: [parsed], table: teams.csv, key: service, fields: { team: team, owner.email: email } }",
             .fields = enrich_fields,
             .config_bytes = sizeof(struct enrich_config),
             .self_bytes = sizeof(struct enrich_stage),
             .counters = enrich_counters,
             .reasons = enrich_reasons,
             .check = enrich_check},
    .flags = SL_OP_EDITS,
    .open = enrich_open,
    .ready = enrich_ready,
    .process = enrich_process,
    .close = enrich_close,
};
