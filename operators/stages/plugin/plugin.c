/* plugin.c: an operator that is built outside of Sluice, against the installed sluice/plugin.h alone: loaded at check, its settings
 * bound by its own rows with the binder's own messages, run over views that are made for it.
 *
 * What it did is looked at before it counts: only records that were alive may get a fate, and only one that there is.
 * Operators only: sources and sinks as plugins would need the slot's and the commit's interfaces to be kept stable too.
 * SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "operators/stages/plugin/plugin_load.h"
#include "operators/stages/stages.h"
#include "runtime/base/intern.h"
#include "runtime/config/pool.h"
#include "runtime/engine/derive.h"
#include "runtime/engine/rewrite.h"
#include "runtime/engine/slot.h"

enum { PLUGIN_STAGE_MAGIC = 0x706c7567 };
enum plugin_reason { PLUGIN_R_DEAD = 1, PLUGIN_R_NOT_JSON };
enum plugin_counter { PLUGIN_C_DROPPED, PLUGIN_C_CHANGED, PLUGIN_C_DERIVED, PLUGIN_C_DEAD, PLUGIN_COUNTERS };

static_assert((int)SL_PLUGIN_LIVE == (int)SL_LIVE && (int)SL_PLUGIN_FILTERED == (int)SL_FILTERED && (int)SL_PLUGIN_DEAD == (int)SL_DEAD, "fates");
static_assert((int)SL_PLUGIN_ABSENT == (int)SL_T_ABSENT && (int)SL_PLUGIN_TEXT == (int)SL_T_STRING && (int)SL_PLUGIN_ARRAY == (int)SL_T_ARRAY, "types");
static_assert((int)SL_PLUGIN_FATAL == (int)SL_LEVEL_FATAL && (int)SL_PLUGIN_TRACE == (int)SL_LEVEL_TRACE, "levels");
static_assert(sizeof(struct sl_plugin_column) == sizeof(struct sl_column) && offsetof(struct sl_plugin_column, type) == offsetof(struct sl_column, type) &&
                  offsetof(struct sl_plugin_column, span) == offsetof(struct sl_column, span) &&
                  offsetof(struct sl_plugin_column, repeated) == offsetof(struct sl_column, repeated), "columns");
static_assert(SL_PLUGIN_PAD == SL_PAD, "padding");

struct plugin_config {
    const char *path;
    struct sl_map settings; /* as they are written, for the digest */
    const struct plugin_code *code;
    void *bound; /* the plugin's own settings */
};

struct plugin_stage {
    uint32_t magic;
    const struct plugin_config *config;
    const struct sl_api *engine;
    struct sl_plugin_api api;
    void *self; /* the plugin's */
    struct sl_names *opening; /* while its open() runs */
    struct sl_name *names; /* of its columns */
    uint32_t names_count;
    struct sl_rewriter *rewriter;
};

/* ---- settings ---- */

static void plugin_refuse_at(struct sl_bind *bind, const struct sl_yaml *at, const char *setting, const char *text)
{
    const char *remedy = strstr(text, "; ");

    while (remedy != NULL && strstr(remedy + 2, "; ") != NULL)
        remedy = strstr(remedy + 2, "; ");
    sl_diags_add(bind->diags, false, bind->file, at->line, at->column, remedy == NULL ? "change this setting" : remedy + 2, "%s: %.*s",
                 setting, (int)(remedy == NULL ? strlen(text) : (size_t)(remedy - text)), text);
}

static bool plugin_bind(struct sl_bind *bind, const struct sl_yaml *node, const char *setting, void *config)
{
    struct plugin_config *plugin = config;
    const struct sl_yaml_item *path = sl_yaml_find(node, "path"), *settings = sl_yaml_find(node, "settings");
    const struct plugin_code *code;
    struct sl_plugin_err own = {.text = ""};
    struct sl_bind_part part;
    struct sl_bind_map map = {.parts = &part, .parts_count = 1, .setting = sl_bind_setting(bind, setting, "settings")};
    struct sl_err err;

    code = plugin_load(bind->pool, plugin->path, &err);
    if (code == NULL) {
        plugin_refuse_at(bind, path->value, sl_bind_setting(bind, setting, "path"), err.text);
        return false;
    }
    part = (struct sl_bind_part){code->fields, sl_pool_alloc(bind->pool, code->table.settings_bytes + 1)};
    if (!sl_bind_fill(bind, &map, settings == NULL ? NULL : settings->value))
        return false;
    plugin->code = code;
    plugin->bound = part.config;
    if (code->table.check == NULL || code->table.check(plugin->bound, &own) == 0)
        return true;
    own.text[sizeof(own.text) - 1] = '\0';
    plugin_refuse_at(bind, settings == NULL ? path->value : settings->value, map.setting, own.text);
    return false;
}

/* ---- the api ---- */

static uint64_t plugin_now(void *env)
{
    const struct plugin_stage *stage = env;

    return stage->engine->now_ns(stage->engine->env);
}

static int64_t plugin_unix(void *env)
{
    const struct plugin_stage *stage = env;

    return stage->engine->unix_ms(stage->engine->env);
}

static uint64_t plugin_random(void *env)
{
    const struct plugin_stage *stage = env;

    return stage->engine->random(stage->engine->env);
}

static void plugin_log(void *env, const char *text)
{
    const struct plugin_stage *stage = env;
    struct sl_err err;

    (void)sl_fail(&err, SL_E_FORMAT, SL_REMEDY_RETRY, 0, "%.400s", text == NULL ? "" : text);
    if (stage->engine->log != NULL)
        stage->engine->log(stage->engine->env, &err, stage->engine->component);
}

static int plugin_column(void *env, const char *field, struct sl_plugin_err *own)
{
    struct plugin_stage *stage = env;
    struct sl_err err = {.text = ""};
    struct sl_name name = {0}, *names;
    int column;

    if (stage->opening == NULL || field == NULL)
        return sl_plugin_fail(own, "columns are asked for in open(), by the name of a field");
    if (sl_name_parse(field, &name, &err) != 0)
        return sl_plugin_fail(own, "%.380s", err.text);
    names = name.kind == SL_NAME_PATH ? realloc(stage->names, (stage->names_count + 1u) * sizeof(*names)) : NULL;
    if (names == NULL) {
        bool path = name.kind == SL_NAME_PATH;
        sl_name_fini(&name);
        return path ? sl_plugin_fail(own, "no memory for a field")
                    : sl_plugin_fail(own, "\"%.64s\" is no field of the payload: write .%.64s for the payload's own; roles are in the view", field, field);
    }
    stage->names = names;
    names[stage->names_count++] = name;
    column = stage->opening->column(stage->opening, &name, &err);
    return column >= 0 ? column : sl_plugin_fail(own, "%.380s", err.text);
}

static struct sl_plugin_slice plugin_service(uint32_t service)
{
    struct sl_slice name = service < SL_INTERN_MAX ? sl_intern_name(service) : (struct sl_slice){NULL, 0};

    return (struct sl_plugin_slice){name.data == NULL ? "" : name.data, name.bytes};
}

/* ---- a batch ---- */

struct plugin_work { /* behind view->engine */
    struct plugin_stage *stage;
    struct sl_view *view;
    struct sl_slice *texts; /* [count] what was handed out */
    struct sl_slice *replaced; /* [count] or NULL */
    const char **note;
    uint8_t *fate; /* the plugin's copy */
    struct sl_edit *edits;
    struct sl_child *children;
    uint32_t edits_count, edits_cap, children_count, children_cap;
    bool full; /* the arena was over budget in a call: what the plugin makes of that is no fault of its */
};

static struct plugin_work *work_of(struct sl_plugin_view *own)
{
    return own == NULL ? NULL : own->engine;
}

static bool work_live(const struct plugin_work *work, uint16_t row)
{
    return work != NULL && row < work->view->batch->count && work->view->fate[row] == SL_LIVE;
}

/* Room for one more in a list of the arena. */
static void *work_grow(struct plugin_work *work, void *items, uint32_t count, uint32_t *cap, size_t bytes)
{
    uint32_t grown = *cap == 0 ? 256 : 2 * *cap;
    char *list;

    if (count < *cap)
        return items;
    list = sl_arena_alloc(work->view->batch->arena, grown * bytes);
    work->full = work->full || list == NULL;
    if (list == NULL)
        return NULL;
    if (count > 0)
        memcpy(list, items, count * bytes);
    *cap = grown;
    return list;
}

static struct sl_slice work_copy(struct plugin_work *work, struct sl_plugin_slice text)
{
    struct sl_slice copy = sl_arena_copy(work->view->batch->arena, (struct sl_slice){text.bytes == 0 ? "" : text.data, text.bytes});

    work->full = work->full || copy.data == NULL;
    return copy;
}

static void *plugin_alloc(struct sl_plugin_view *own, size_t bytes)
{
    struct plugin_work *work = work_of(own);
    void *memory = work == NULL ? NULL : sl_arena_alloc(work->view->batch->arena, bytes);

    if (work != NULL && memory == NULL)
        work->full = true;
    return memory;
}

static int plugin_edit(struct sl_plugin_view *own, uint16_t row, struct sl_plugin_span cut, struct sl_plugin_slice paste)
{
    struct plugin_work *work = work_of(own);
    struct sl_edit *edits;
    struct sl_slice copy;

    if (!work_live(work, row) || cut.at > work->texts[row].bytes || cut.bytes > work->texts[row].bytes - cut.at)
        return -1;
    edits = work_grow(work, work->edits, work->edits_count, &work->edits_cap, sizeof(*edits));
    copy = work_copy(work, paste);
    if (edits == NULL || copy.data == NULL)
        return -1;
    work->edits = edits;
    edits[work->edits_count++] = (struct sl_edit){row, {cut.at, cut.bytes}, copy};
    return 0;
}

static int plugin_replace(struct sl_plugin_view *own, uint16_t row, struct sl_plugin_slice text)
{
    struct plugin_work *work = work_of(own);
    size_t bytes;

    if (!work_live(work, row))
        return -1;
    bytes = ((size_t)work->view->batch->count + 1) * sizeof(*work->replaced);
    if (work->replaced == NULL) {
        work->replaced = sl_arena_alloc(work->view->batch->arena, bytes);
        work->full = work->full || work->replaced == NULL;
        if (work->replaced == NULL)
            return -1;
        memset(work->replaced, 0, bytes);
    }
    work->replaced[row] = work_copy(work, text);
    return work->replaced[row].data == NULL ? -1 : 0;
}

static int plugin_derive(struct sl_plugin_view *own, uint16_t row, struct sl_plugin_slice text)
{
    struct plugin_work *work = work_of(own);
    struct sl_child *children;
    struct sl_slice copy;

    if (!work_live(work, row) || (work->stage->config->code->table.flags & SL_PLUGIN_DERIVES) == 0 ||
        work->view->batch->count + work->children_count >= SL_VIEW_RECORDS_MAX)
        return -1;
    children = work_grow(work, work->children, work->children_count, &work->children_cap, sizeof(*children));
    copy = work_copy(work, text);
    if (children == NULL || copy.data == NULL)
        return -1;
    work->children = children;
    children[work->children_count] = (struct sl_child){.index = row, .order = work->children_count, .text = copy};
    work->children_count++;
    return 0;
}

static int plugin_dead(struct sl_plugin_view *own, uint16_t row, const char *reason)
{
    struct plugin_work *work = work_of(own);

    if (!work_live(work, row))
        return -1;
    work->fate[row] = SL_DEAD;
    if (reason != NULL)
        work->note[row] = sl_arena_copy(work->view->batch->arena, sl_slice_of(reason)).data;
    return 0;
}

/* ---- open, close ---- */

static void plugin_stage_close(void *self)
{
    struct plugin_stage *stage = self;

    if (stage->magic != PLUGIN_STAGE_MAGIC)
        return;
    if (stage->self != NULL && stage->config->code->table.close != NULL)
        stage->config->code->table.close(stage->self);
    stage->rewriter = sl_rewriter_free(stage->rewriter);
    for (uint32_t i = 0; i < stage->names_count; i++)
        sl_name_fini(&stage->names[i]);
    free(stage->names);
    free(stage->self);
    memset(stage, 0, sizeof(*stage));
}

static void plugin_api(struct plugin_stage *stage)
{
    const struct sl_api *engine = stage->engine;

    stage->api = (struct sl_plugin_api){.bytes = sizeof(struct sl_plugin_api), .major = SL_PLUGIN_MAJOR, .minor = SL_PLUGIN_MINOR,
                                        .env = stage, .topology = engine->topology, .component = engine->component,
                                        .base_dir = engine->base_dir, .slot = engine->slot, .slots = engine->slots,
                                        .now_ns = plugin_now, .unix_ms = plugin_unix, .random = plugin_random, .log = plugin_log,
                                        .column = plugin_column, .service = plugin_service, .alloc = plugin_alloc, .edit = plugin_edit,
                                        .replace = plugin_replace, .derive = plugin_derive, .dead = plugin_dead};
}

static int plugin_failed(const struct plugin_stage *stage, struct sl_plugin_err *own, const char *what, struct sl_err *err)
{
    const struct sl_plugin *table = &stage->config->code->table;

    own->text[sizeof(own->text) - 1] = '\0';
    return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "plugin %s %s: %s: %s", table->name, table->version, what,
                   own->text[0] == '\0' ? "it failed and does not say why" : own->text);
}

static int plugin_stage_open(void *self, const struct sl_api *api, const void *config, struct sl_names *names, struct sl_err *err)
{
    struct plugin_stage *stage = self;
    const struct sl_plugin *table;
    struct sl_plugin_err own = {.text = ""};
    int rc = 0;

    memset(stage, 0, sizeof(*stage));
    stage->magic = PLUGIN_STAGE_MAGIC;
    stage->config = config;
    stage->engine = api;
    assert(stage->config->code != NULL);
    table = &stage->config->code->table;
    plugin_api(stage);
    stage->self = calloc(1, table->self_bytes + 1);
    if (stage->self == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, ENOMEM, "no memory for plugin %s", table->name);
    stage->opening = names;
    if (table->open != NULL)
        rc = table->open(stage->self, &stage->api, stage->config->bound, &own);
    stage->opening = NULL;
    if (names->whole != NULL)
        names->whole(names);
    return rc == 0 ? 0 : plugin_failed(stage, &own, "open", err);
}

static int plugin_stage_ready(void *self, const uint32_t *columns, uint32_t count, struct sl_names *names, struct sl_err *err)
{
    struct plugin_stage *stage = self;

    return sl_rewriter_new(columns, count, names, &stage->rewriter, err);
}

/* ---- process ---- */

static int plugin_memory(const struct sl_view *view, struct sl_err *err)
{
    return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "a batch of %u records does not fit its arena", view->batch->count);
}

static int plugin_work_init(struct plugin_stage *stage, struct sl_view *view, struct plugin_work *work)
{
    struct sl_arena *arena = view->batch->arena;
    size_t count = (size_t)view->batch->count + 1;

    memset(work, 0, sizeof(*work));
    work->stage = stage;
    work->view = view;
    work->texts = sl_arena_alloc(arena, count * sizeof(*work->texts));
    work->note = sl_arena_alloc(arena, count * sizeof(*work->note));
    work->fate = sl_arena_alloc(arena, count);
    if (work->texts == NULL || work->note == NULL || work->fate == NULL)
        return -1;
    for (uint32_t i = 0; i < view->batch->count; i++)
        work->texts[i] = sl_view_text(view, i);
    memset(work->note, 0, count * sizeof(*work->note));
    memcpy(work->fate, view->fate, view->batch->count);
    return 0;
}

/* The structs that are only looked at are the engine's own by another name (see the asserts). */
static void plugin_view(struct plugin_work *work, struct sl_plugin_view *own)
{
    const struct sl_view *view = work->view;
    const struct sl_decoded *decoded = view->decoded;

    *own = (struct sl_plugin_view){.count = view->batch->count,
                                   .rows = view->sel,
                                   .rows_count = view->sel_count,
                                   .text = (const struct sl_plugin_slice *)(const void *)work->texts,
                                   .columns = (const struct sl_plugin_column *)(const void *)decoded->columns,
                                   .columns_count = decoded->columns_count,
                                   .time_unix_ms = decoded->time_unix_ms,
                                   .service = decoded->service,
                                   .level = decoded->level,
                                   .offset = view->batch->offset,
                                   .key = (const struct sl_plugin_slice *)(const void *)view->batch->key,
                                   .topic = view->batch->partition->topic,
                                   .partition = view->batch->partition->id,
                                   .json = decoded->json || decoded->body != NULL,
                                   .fate = work->fate,
                                   .engine = work};
}

/* What it says became of the records. */
static int plugin_fates(struct plugin_work *work, uint64_t counts[PLUGIN_COUNTERS], struct sl_err *err)
{
    const struct plugin_stage *stage = work->stage;
    struct sl_view *view = work->view;

    view->note = work->note;
    for (uint32_t i = 0; i < view->sel_count; i++) {
        uint16_t row = view->sel[i];
        uint8_t fate = work->fate[row];
        if (fate != SL_LIVE && fate != SL_FILTERED && fate != SL_DEAD)
            return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "plugin %s gave a record the fate %u; it may be SL_PLUGIN_LIVE, FILTERED or DEAD",
                           stage->config->code->table.name, fate);
        view->fate[row] = fate;
        view->reason[row] = fate == SL_DEAD ? PLUGIN_R_DEAD : view->reason[row];
        counts[PLUGIN_C_DROPPED] += fate == SL_FILTERED;
        counts[PLUGIN_C_DEAD] += fate == SL_DEAD;
    }
    return 0;
}

/* Edits of records that live on. */
static int plugin_apply_edits(struct plugin_work *work, struct sl_err *err)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < work->edits_count; i++)
        if (work->view->fate[work->edits[i].index] == SL_LIVE)
            work->edits[kept++] = work->edits[i];
    return kept == 0 ? 0 : sl_rewrite_edits(work->stage->rewriter, work->view, work->edits, kept, err);
}

static int plugin_apply_texts(struct plugin_work *work, uint64_t counts[PLUGIN_COUNTERS], struct sl_err *err)
{
    struct sl_view *view = work->view;
    uint16_t *rows = sl_arena_alloc(view->batch->arena, ((size_t)view->sel_count + 1) * sizeof(*rows));
    struct sl_slice *texts = sl_arena_alloc(view->batch->arena, ((size_t)view->sel_count + 1) * sizeof(*texts));
    uint32_t count = 0;

    if (rows == NULL || texts == NULL)
        return plugin_memory(view, err);
    for (uint32_t i = 0; i < view->sel_count; i++) {
        uint16_t row = view->sel[i];
        if (view->fate[row] != SL_LIVE || work->replaced[row].data == NULL)
            continue;
        rows[count] = row;
        texts[count++] = work->replaced[row];
    }
    counts[PLUGIN_C_CHANGED] += count;
    return count == 0 ? 0 : sl_rewrite_texts(work->stage->rewriter, view, rows, texts, count, PLUGIN_R_NOT_JSON, err);
}

static int plugin_by_parent(const void *left, const void *right)
{
    const struct sl_child *a = left, *b = right;

    if (a->index != b->index)
        return a->index < b->index ? -1 : 1;
    return a->order < b->order ? -1 : a->order > b->order;
}

static int plugin_apply_children(struct plugin_work *work, struct sl_err *err)
{
    struct sl_view *view = work->view;
    uint32_t count = work->children_count;
    uint16_t *rows = sl_arena_alloc(view->batch->arena, count * sizeof(*rows));
    struct sl_slice *texts = sl_arena_alloc(view->batch->arena, count * sizeof(*texts));
    int rc;

    qsort(work->children, count, sizeof(*work->children), plugin_by_parent);
    if (rows == NULL || texts == NULL || sl_view_derive(view, work->children, count) != 0)
        return plugin_memory(view, err);
    for (uint32_t i = 0; i < count; i++) {
        rows[i] = work->children[i].row;
        texts[i] = work->children[i].text;
    }
    rc = sl_rewrite_settle(work->stage->rewriter, view, err); /* the view is another one now */
    return rc != 0 ? rc : sl_rewrite_texts(work->stage->rewriter, view, rows, texts, count, PLUGIN_R_NOT_JSON, err);
}

static int plugin_apply(struct plugin_work *work, uint64_t counts[PLUGIN_COUNTERS], struct sl_err *err)
{
    int rc = plugin_fates(work, counts, err);

    if (rc == 0)
        rc = plugin_apply_edits(work, err);
    if (rc == 0 && work->replaced != NULL)
        rc = plugin_apply_texts(work, counts, err);
    counts[PLUGIN_C_CHANGED] += work->edits_count;
    counts[PLUGIN_C_DERIVED] += work->children_count;
    return rc == 0 && work->children_count > 0 ? plugin_apply_children(work, err) : rc;
}

static int plugin_stage_process(void *self, struct sl_view *view, struct sl_err *err)
{
    struct plugin_stage *stage = self;
    struct plugin_work work;
    struct sl_plugin_view own;
    struct sl_plugin_err said = {.text = ""};
    uint64_t counts[PLUGIN_COUNTERS] = {0};
    int rc = sl_rewrite_settle(stage->rewriter, view, err);

    assert(stage->magic == PLUGIN_STAGE_MAGIC);
    if (rc != 0)
        return rc;
    if (plugin_work_init(stage, view, &work) != 0)
        return plugin_memory(view, err);
    plugin_view(&work, &own);
    rc = stage->config->code->table.process(stage->self, &own, &said);
    if (work.full)
        return plugin_memory(view, err);
    if (rc != 0)
        return plugin_failed(stage, &said, "process", err);
    rc = plugin_apply(&work, counts, err);
    for (uint32_t i = 0; rc == 0 && stage->engine->tally != NULL && i < PLUGIN_COUNTERS; i++)
        if (counts[i] > 0)
            stage->engine->tally(stage->engine->env, stage, i, counts[i]);
    return rc;
}

static uint32_t plugin_flags(const void *config)
{
    const struct plugin_code *code = ((const struct plugin_config *)config)->code;

    return code != NULL && (code->table.flags & SL_PLUGIN_DERIVES) != 0 ? SL_OP_DERIVES : 0;
}

/* ---- tables ---- */

static const struct sl_field plugin_fields[] = {
    SL_FIELD(plugin_config, path, SL_F_INPUT_PATH, .flags = SL_F_REQUIRED,
             .help = "The plugin: a shared object that is built against sluice/plugin.h; relative to the topology's file."),
    SL_FIELD(plugin_config, settings, SL_F_VALUES, .help = "The plugin's own settings, as its table describes them."),
    {0},
};

static const char *const plugin_reasons[] = {
    "",
    [PLUGIN_R_DEAD] = "set aside by the plugin",
    [PLUGIN_R_NOT_JSON] = "the plugin made a record that is not JSON",
    NULL,
};

static const struct sl_counter plugin_counters[] = {
    [PLUGIN_C_DROPPED] = {"dropped_total", "records", "Records that the plugin dropped."},
    [PLUGIN_C_CHANGED] = {"changes_total", "changes", "Changes that the plugin made to records."},
    [PLUGIN_C_DERIVED] = {"derived_total", "records", "Records that the plugin made beside those it was given."},
    [PLUGIN_C_DEAD] = {"dead_total", "records", "Records that the plugin set aside."},
    [PLUGIN_COUNTERS] = {0},
};

const struct sl_op_kind sl_op_plugin = {
    .head = {.major = SL_ABI_MAJOR,
             .minor = SL_ABI_MINOR,
             .bytes = sizeof(struct sl_op_kind),
             .name = "plugin",
             .summary = "Runs records through an operator of your own, built in C against sluice/plugin.h.",
             .example = "{ type: plugin, inputs: [parsed], path: ./mask.so, settings: { field: user.email } }",
             .fields = plugin_fields,
             .config_bytes = sizeof(struct plugin_config),
             .self_bytes = sizeof(struct plugin_stage),
             .counters = plugin_counters,
             .reasons = plugin_reasons,
             .bind = plugin_bind},
    .open = plugin_stage_open,
    .ready = plugin_stage_ready,
    .process = plugin_stage_process,
    .close = plugin_stage_close,
    .flags = SL_OP_EDITS | SL_OP_CODE,
    .config_flags = plugin_flags,
};
