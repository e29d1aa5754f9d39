/* lua.c: runs records through a Lua script: process(record) for each, or process_batch(batch) over columns.
 *
 * What a script does wrong costs its record, never the process: an error, an endless loop, a memory bomb make a dead letter with
 * the script's message; where the state is not to be trusted afterwards it is made anew (script_vm.h). When process_batch fails,
 * it is asked again for each record by itself, so that only the guilty one dies.
 * One batch costs a bounded time: records that meet a bound weigh (an endless loop 1, a memory bomb 2, a call that had to be cut off
 * 8), and at LUA_WEIGHT_MAX the rest of the batch is set aside unrun; with the defaults that is about 200 ms.
 * Every instance has a Lua state of its own, so nothing of one generation's script is seen by another's: globals begin anew. The file
 * is read once, when its topology is loaded.
 * Several records out of one: the first keeps the record's identity, the others are derived from it (derive.h).
 * SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "operators/stages/lua/script_api.h"
#include "operators/stages/stages.h"
#include "runtime/config/bind.h"
#include "runtime/config/pool.h"
#include "runtime/engine/derive.h"
#include "runtime/engine/rewrite.h"

enum { LUA_STAGE_MAGIC = 0x6c756173, LUA_WEIGHT_MAX = 16, LUA_SCRIPT_MAX = 1 << 20 };

enum lua_reason { LUA_R_FAILED = 1, LUA_R_BOUNDS, LUA_R_NOT_JSON, LUA_R_UNRUN, LUA_R_MANY };
enum lua_counter { LUA_C_DROPPED, LUA_C_CHANGED, LUA_C_DERIVED, LUA_C_ERRORS, LUA_C_LOOPS, LUA_C_MEMORY, LUA_C_STUCK, LUA_C_UNRUN,
                   LUA_C_STARTS, LUA_COUNTERS };

struct lua_bounds {
    uint64_t instructions, batch_instructions, memory, time;
};

struct lua_config {
    const char *script, *source;
    struct sl_strings fields;
    uint64_t max_records_per_record;
    bool jit;
    struct lua_bounds limits;
    /* Not settings: the text as it was when the topology was loaded. A file that changes afterwards changes nothing that was checked. */
    const char *text, *chunk;
    size_t text_bytes;
    int unread; /* errno of the file */
};

struct lua_stage {
    uint32_t magic;
    const struct lua_config *config;
    const struct sl_api *api;
    struct script_api script;
    bool running; /* script is to be ended */
    struct sl_name *names;
    int *columns;
    struct sl_rewriter *rewriter;
};

/* ---- the script's text ---- */

/* A file's messages name it without its folder: "mask.lua:3: ...". What is wrong is said by lua_check, at the setting's place. */
static bool lua_bind(struct sl_bind *bind, const struct sl_yaml *node, const char *setting, void *config)
{
    struct lua_config *lua = config;
    const char *name = lua->script == NULL ? NULL : strrchr(lua->script, '/');
    char *text = NULL;
    int rc;

    (void)node;
    (void)setting;
    lua->text = lua->source;
    lua->text_bytes = lua->source == NULL ? 0 : strlen(lua->source);
    lua->chunk = "=source";
    if (lua->script == NULL)
        return true;
    rc = sl_fs_read_file(sl_fs_posix(), lua->script, LUA_SCRIPT_MAX, &text, &lua->text_bytes);
    lua->unread = rc < 0 ? -rc : 0;
    lua->text = rc < 0 ? NULL : sl_pool_text(bind->pool, text, lua->text_bytes);
    lua->chunk = sl_pool_printf(bind->pool, "@%s", name == NULL ? lua->script : name + 1);
    free(text);
    return true;
}

static struct script_code lua_code(const struct lua_config *config)
{
    return (struct script_code){{config->text, (uint32_t)config->text_bytes}, config->chunk};
}

static struct script_limits lua_limits(const struct lua_config *config)
{
    return (struct script_limits){config->limits.memory, config->limits.time, config->jit};
}

static int lua_try(const struct lua_config *config, struct sl_err *err)
{
    struct script_api script = {.fields = {config->fields.items, NULL, config->fields.count}, .records_max = 1};
    struct script_limits limits = lua_limits(config);
    struct script_code code = lua_code(config);
    int rc = 0;

    if (config->unread != 0)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, config->unread, "script: %s: %s; write the path of a Lua file of at most 1 MiB",
                       config->script, strerror(config->unread));
    if (script_api_init(&script, &code, &limits) != 0)
        rc = sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, ENOMEM, "no memory for a script");
    if (rc == 0 && script_api_ready(&script, config->limits.batch_instructions) == SCRIPT_NO_ENTRY)
        rc = sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "%s: %s; correct the script", config->script != NULL ? "script" : "source",
                     script.vm.message);
    if (script.filled != NULL)
        script_api_fini(&script);
    return rc;
}

/* A field as conditions name it; here a role's word means the payload's own field. */
static int lua_name(const char *text, struct sl_name *ret_name, struct sl_err *err)
{
    char own[600];

    if (text[0] == '@' || strlen(text) + 2 > sizeof(own))
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0,
                       "fields: \"%.64s\" is no field of the payload; scripts read record.topic, record.key, record.time and record:header(NAME)",
                       text);
    (void)snprintf(own, sizeof(own), "%s%s", text[0] == '.' ? "" : ".", text);
    if (sl_name_parse(own, ret_name, err) != 0)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "fields: \"%.64s\" is no field's name; write one such as user.email", text);
    return 0;
}

static int lua_check(const void *config, struct sl_err *err)
{
    const struct lua_config *lua = config;

    if (lua->script != NULL && lua->source != NULL)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "source: script is set as well; keep one of the two");
    if (lua->script == NULL && lua->source == NULL)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "script: a lua operator needs a script; write script: FILE, or source: with the text itself");
    for (uint32_t i = 0; i < lua->fields.count; i++) {
        struct sl_name name;
        int rc = lua_name(lua->fields.items[i], &name, err);
        if (rc != 0)
            return rc;
        sl_name_fini(&name);
        for (uint32_t k = 0; k < i; k++)
            if (strcmp(lua->fields.items[i], lua->fields.items[k]) == 0)
                return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "fields: \"%.64s\" is named twice; name it once", lua->fields.items[i]);
    }
    return lua_try(lua, err);
}

/* ---- open, close ---- */

static void lua_stage_close(void *self)
{
    struct lua_stage *stage = self;

    if (stage->magic != LUA_STAGE_MAGIC)
        return;
    if (stage->running)
        script_api_fini(&stage->script);
    stage->rewriter = sl_rewriter_free(stage->rewriter);
    for (uint32_t i = 0; stage->names != NULL && i < stage->config->fields.count; i++)
        sl_name_fini(&stage->names[i]);
    free(stage->names);
    free(stage->columns);
    memset(stage, 0, sizeof(*stage));
}

static int lua_stage_columns(struct lua_stage *stage, struct sl_names *names, struct sl_err *err)
{
    const struct sl_strings *fields = &stage->config->fields;
    int rc = 0;

    stage->names = calloc((size_t)fields->count + 1, sizeof(*stage->names));
    stage->columns = calloc((size_t)fields->count + 1, sizeof(*stage->columns));
    if (stage->names == NULL || stage->columns == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, ENOMEM, "no memory for a script's fields");
    for (uint32_t i = 0; rc == 0 && i < fields->count; i++) {
        rc = lua_name(fields->items[i], &stage->names[i], err);
        if (rc != 0)
            return rc;
        stage->columns[i] = names->column(names, &stage->names[i], err);
        if (stage->columns[i] < 0)
            rc = -(int)err->code;
    }
    if (names->whole != NULL)
        names->whole(names);
    return rc;
}

static int lua_stage_open(void *self, const struct sl_api *api, const void *config, struct sl_names *names, struct sl_err *err)
{
    struct lua_stage *stage = self;
    struct script_limits limits;
    struct script_code code;
    int rc;

    memset(stage, 0, sizeof(*stage));
    stage->magic = LUA_STAGE_MAGIC;
    stage->config = config;
    stage->api = api;
    limits = lua_limits(stage->config);
    code = lua_code(stage->config);
    rc = lua_stage_columns(stage, names, err);
    if (rc != 0)
        return rc;
    stage->script = (struct script_api){.api = api,
                                        .fields = {stage->config->fields.items, stage->columns, stage->config->fields.count},
                                        .records_max = (uint32_t)stage->config->max_records_per_record};
    if (script_api_init(&stage->script, &code, &limits) != 0)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, ENOMEM, "no memory for a script");
    stage->running = true;
    if (script_api_ready(&stage->script, stage->config->limits.batch_instructions) == SCRIPT_NO_ENTRY)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "%s", stage->script.vm.message);
    return 0;
}

static int lua_stage_ready(void *self, const uint32_t *columns, uint32_t count, struct sl_names *names, struct sl_err *err)
{
    struct lua_stage *stage = self;

    return sl_rewriter_new(columns, count, names, &stage->rewriter, err);
}

/* ---- one batch ---- */

struct lua_work {
    struct sl_view *view;
    uint16_t *rows; /* changed ones, and their texts */
    struct sl_slice *texts;
    struct sl_child *children;
    uint32_t changed, children_count, children_cap;
    uint16_t *derived; /* [count] by parent */
    const char **note;
    uint32_t weight;
    bool broken; /* no state can be made: the rest is set aside */
    bool full;   /* the arena is over budget */
    uint64_t counts[LUA_COUNTERS];
};

static int lua_memory(const struct sl_view *view, struct sl_err *err)
{
    return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "a batch of %u records and what a script makes of it do not fit its arena",
                   view->batch->count);
}

static int lua_work_init(struct lua_stage *stage, struct sl_view *view, struct lua_work *work)
{
    struct sl_arena *arena = view->batch->arena;
    size_t count = (size_t)view->batch->count + 1;

    memset(work, 0, sizeof(*work));
    work->view = view;
    work->rows = sl_arena_alloc(arena, count * sizeof(*work->rows));
    work->texts = sl_arena_alloc(arena, count * sizeof(*work->texts));
    work->derived = sl_arena_alloc(arena, count * sizeof(*work->derived));
    work->note = sl_arena_alloc(arena, count * sizeof(*work->note));
    stage->script.dropped = sl_arena_alloc(arena, count);
    if (work->rows == NULL || work->texts == NULL || work->derived == NULL || work->note == NULL || stage->script.dropped == NULL)
        return -1;
    memset(work->derived, 0, count * sizeof(*work->derived));
    memset(work->note, 0, count * sizeof(*work->note));
    memset(stage->script.dropped, 0, count);
    view->note = work->note;
    return 0;
}

static void lua_dead(struct lua_work *work, uint16_t row, enum lua_reason reason, const char *message)
{
    work->view->fate[row] = SL_DEAD;
    work->view->reason[row] = (uint8_t)reason;
    if (message != NULL) /* without memory for it the row's fixed words do */
        work->note[row] = sl_arena_copy(work->view->batch->arena, sl_slice_of(message)).data;
}

static void lua_weigh(struct lua_work *work, enum script_outcome outcome)
{
    static const struct {
        uint32_t weight;
        enum lua_counter counter;
    } by[] = {[SCRIPT_FINE] = {0, LUA_C_ERRORS},
              [SCRIPT_ERROR] = {0, LUA_C_ERRORS},
              [SCRIPT_BUDGET] = {1, LUA_C_LOOPS},
              [SCRIPT_MEMORY] = {2, LUA_C_MEMORY},
              [SCRIPT_STUCK] = {8, LUA_C_STUCK}};

    work->weight += by[outcome].weight;
    work->counts[by[outcome].counter]++;
}

/* ---- what came out ---- */

static void lua_child(struct lua_stage *stage, struct lua_work *work, uint16_t row, struct sl_slice text)
{
    struct sl_arena *arena = work->view->batch->arena;

    if (work->view->fate[row] == SL_DEAD)
        return;
    if (work->derived[row] + 1u >= stage->script.records_max ||
        work->view->batch->count + work->children_count >= SL_VIEW_RECORDS_MAX) {
        lua_dead(work, row, LUA_R_MANY, NULL);
        return;
    }
    if (work->children_count == work->children_cap) {
        uint32_t cap = work->children_cap == 0 ? 256 : 2 * work->children_cap;
        struct sl_child *grown = sl_arena_alloc(arena, cap * sizeof(*grown));
        if (grown == NULL) {
            work->full = true;
            return;
        }
        if (work->children_count > 0)
            memcpy(grown, work->children, work->children_count * sizeof(*grown));
        work->children = grown;
        work->children_cap = cap;
    }
    text = sl_arena_copy(arena, text);
    work->full = work->full || text.data == NULL;
    work->children[work->children_count++] = (struct sl_child){.index = row, .text = text};
    work->derived[row]++;
}

static void lua_take(struct lua_stage *stage, struct lua_work *work, const uint16_t *rows, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint16_t row = rows[i];
        struct sl_slice text = script_api_text(&stage->script, row);
        if (stage->script.dropped[row]) {
            work->view->fate[row] = SL_FILTERED;
            work->counts[LUA_C_DROPPED]++;
        } else if (text.data != NULL) {
            work->rows[work->changed] = row;
            work->texts[work->changed] = sl_arena_copy(work->view->batch->arena, text);
            work->full = work->full || work->texts[work->changed].data == NULL;
            work->changed++;
        }
    }
    for (uint32_t n = 0; n < stage->script.emitted; n++) {
        uint16_t parent = 0;
        struct sl_slice text = script_api_emitted(&stage->script, n, &parent);
        lua_child(stage, work, parent, text);
    }
}

/* ---- running ---- */

static enum script_entry lua_ready(struct lua_stage *stage, struct lua_work *work)
{
    enum script_entry entry;

    if (stage->script.vm.lua == NULL)
        work->counts[LUA_C_STARTS]++;
    entry = script_api_ready(&stage->script, stage->config->limits.batch_instructions);
    work->broken = entry == SCRIPT_NO_ENTRY;
    return entry;
}

/* Each row by itself. */
static void lua_singles(struct lua_stage *stage, struct lua_work *work)
{
    const struct sl_view *view = work->view;

    for (uint32_t i = 0; i < view->sel_count; i++) {
        const uint16_t *row = &view->sel[i];
        enum script_outcome outcome;
        enum script_entry entry = SCRIPT_NO_ENTRY;
        if (work->weight < LUA_WEIGHT_MAX && !work->broken)
            entry = lua_ready(stage, work);
        if (entry == SCRIPT_NO_ENTRY) {
            work->counts[LUA_C_UNRUN]++;
            lua_dead(work, *row, LUA_R_UNRUN, work->broken ? stage->script.vm.message : NULL);
            continue;
        }
        outcome = script_api_call(&stage->script, entry, view, row, 1, stage->config->limits.instructions);
        if (outcome == SCRIPT_FINE) {
            lua_take(stage, work, row, 1);
            continue;
        }
        stage->script.dropped[*row] = 0;
        lua_weigh(work, outcome);
        lua_dead(work, *row, outcome == SCRIPT_ERROR ? LUA_R_FAILED : LUA_R_BOUNDS, stage->script.vm.message);
    }
}

static void lua_run(struct lua_stage *stage, struct lua_work *work)
{
    const struct sl_view *view = work->view;
    enum script_entry entry = view->sel_count == 0 ? SCRIPT_NO_ENTRY : lua_ready(stage, work);
    enum script_outcome outcome;

    if (entry != SCRIPT_BATCHES || view->sel_count == 1) {
        lua_singles(stage, work);
        return;
    }
    outcome = script_api_call(&stage->script, entry, view, view->sel, view->sel_count, stage->config->limits.batch_instructions);
    if (outcome == SCRIPT_FINE) {
        lua_take(stage, work, view->sel, view->sel_count);
        return;
    }
    lua_weigh(work, outcome);
    memset(stage->script.dropped, 0, view->batch->count);
    lua_singles(stage, work);
}

/* ---- writing it down ---- */

/* Derived records stand behind their parent, in the order in which they were made. */
static int lua_by_parent(const void *left, const void *right)
{
    const struct sl_child *a = left, *b = right;

    if (a->index != b->index)
        return a->index < b->index ? -1 : 1;
    return a->order < b->order ? -1 : a->order > b->order;
}

/* Parents that died after children were made of them take these along. */
static void lua_children_sort(struct lua_work *work)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < work->children_count; i++)
        if (work->view->fate[work->children[i].index] != SL_DEAD) {
            work->children[kept] = work->children[i];
            work->children[kept].order = kept;
            kept++;
        }
    work->children_count = kept;
    if (kept > 1)
        qsort(work->children, kept, sizeof(*work->children), lua_by_parent);
}

/* Their fields are read as those of any changed record. */
static int lua_rewrite_children(struct lua_stage *stage, const struct lua_work *work, struct sl_err *err)
{
    struct sl_view *view = work->view;
    uint16_t *rows = sl_arena_alloc(view->batch->arena, work->children_count * sizeof(*rows));
    struct sl_slice *texts = sl_arena_alloc(view->batch->arena, work->children_count * sizeof(*texts));

    if (rows == NULL || texts == NULL)
        return lua_memory(view, err);
    for (uint32_t i = 0; i < work->children_count; i++) {
        rows[i] = work->children[i].row;
        texts[i] = work->children[i].text;
    }
    return sl_rewrite_texts(stage->rewriter, view, rows, texts, work->children_count, LUA_R_NOT_JSON, err);
}

static int lua_rewrite(struct lua_stage *stage, struct lua_work *work, struct sl_err *err)
{
    struct sl_view *view = work->view;
    int rc = 0;

    if (work->changed > 0)
        rc = sl_rewrite_texts(stage->rewriter, view, work->rows, work->texts, work->changed, LUA_R_NOT_JSON, err);
    lua_children_sort(work);
    if (rc != 0 || work->children_count == 0)
        return rc;
    if (sl_view_derive(view, work->children, work->children_count) != 0)
        return lua_memory(view, err);
    rc = sl_rewrite_settle(stage->rewriter, view, err); /* the view is another one now */
    return rc != 0 ? rc : lua_rewrite_children(stage, work, err);
}

static int lua_stage_process(void *self, struct sl_view *view, struct sl_err *err)
{
    struct lua_stage *stage = self;
    struct lua_work work;
    bool watched;
    int rc = sl_rewrite_settle(stage->rewriter, view, err);

    assert(stage->magic == LUA_STAGE_MAGIC);
    if (rc != 0)
        return rc;
    if (lua_work_init(stage, view, &work) != 0)
        return lua_memory(view, err);
    watched = script_watch_begin(&stage->script.vm.watch);
    lua_run(stage, &work);
    if (watched)
        script_watch_end(&stage->script.vm.watch);
    if (work.full)
        return lua_memory(view, err);
    work.counts[LUA_C_CHANGED] = work.changed;
    work.counts[LUA_C_DERIVED] = work.children_count;
    rc = lua_rewrite(stage, &work, err);
    for (uint32_t i = 0; rc == 0 && stage->api->tally != NULL && i < LUA_COUNTERS; i++)
        if (work.counts[i] > 0)
            stage->api->tally(stage->api->env, stage, i, work.counts[i]);
    return rc;
}

static uint32_t lua_flags(const void *config)
{
    return ((const struct lua_config *)config)->max_records_per_record > 1 ? SL_OP_DERIVES : 0;
}

/* ---- tables ---- */

static const struct sl_field lua_limit_fields[] = {
    SL_FIELD(lua_bounds, instructions, SL_F_U64, .def = "100000", .min = "10000", .max = "1000000000",
             .help = "Instructions that process may take for one record; more is taken for an endless loop."),
    SL_FIELD(lua_bounds, batch_instructions, SL_F_U64, .def = "20000000", .min = "100000", .max = "10000000000",
             .help = "Instructions that process_batch, and the script's top level, may take."),
    SL_FIELD(lua_bounds, memory, SL_F_BYTES, .def = "32MiB", .min = "1MiB", .max = "1GiB",
             .help = "Memory of one script; each consumer has a script of its own."),
    SL_FIELD(lua_bounds, time, SL_F_DURATION, .def = "100ms", .min = "20ms", .max = "1m",
             .help = "CPU time of one call, for what instructions do not bound: long patterns, and compiled loops of jit: true."),
    {0},
};

static const struct sl_field lua_fields[] = {
    SL_FIELD(lua_config, script, SL_F_INPUT_PATH, .help = "File with the script, relative to the topology's file; exactly one of script and source."),
    SL_FIELD(lua_config, source, SL_F_STRING, .help = "The script itself."),
    SL_FIELD(lua_config, fields, SL_F_STRINGS,
             .help = "Fields of the payload that the script reads: they are decoded with all others, and are the columns of process_batch. "
                     "Others are looked up in the record's text."),
    SL_FIELD(lua_config, max_records_per_record, SL_F_U64, .def = "16", .min = "1", .max = "1000",
             .help = "Records that a script may make of one; 1: it makes no further ones."),
    SL_FIELD(lua_config, jit, SL_F_BOOL, .def = "false",
             .help = "Compile the script: faster loops; then limits.time alone bounds a call, and a script that met it is interpreted from there on."),
    SL_FIELD(lua_config, limits, SL_F_STRUCT, .sub = lua_limit_fields, .help = "What a script may take; beyond it the record becomes a dead letter."),
    {0},
};

static const char *const lua_reasons[] = {
    "",
    [LUA_R_FAILED] = "the script failed",
    [LUA_R_BOUNDS] = "the script met a bound",
    [LUA_R_NOT_JSON] = "the script made a record that is not JSON",
    [LUA_R_UNRUN] = "the script was not run: other records of the batch had used up what one batch may cost",
    [LUA_R_MANY] = "the script made more records out of one than max_records_per_record, or a batch can hold",
    NULL,
};

static const struct sl_counter lua_counters[] = {
    [LUA_C_DROPPED] = {"dropped_total", "records", "Records that the script dropped."},
    [LUA_C_CHANGED] = {"changed_total", "records", "Records that the script changed."},
    [LUA_C_DERIVED] = {"derived_total", "records", "Records that the script made beside the one it was given."},
    [LUA_C_ERRORS] = {"errors_total", "calls", "Calls that ended with an error of the script."},
    [LUA_C_LOOPS] = {"loops_total", "calls", "Calls that took more instructions than they may."},
    [LUA_C_MEMORY] = {"memory_exceeded_total", "calls", "Calls that took more memory than they may."},
    [LUA_C_STUCK] = {"cut_off_total", "calls", "Calls that took more CPU time than they may, and were cut off."},
    [LUA_C_UNRUN] = {"unrun_total", "records", "Records set aside because others of their batch had used up its bounds."},
    [LUA_C_STARTS] = {"restarts_total", "states", "Times that the script was started anew."},
    [LUA_COUNTERS] = {0},
};

const struct sl_op_kind sl_op_lua = {
    .head = {.major = SL_ABI_MAJOR,
             .minor = SL_ABI_MINOR,
             .bytes = sizeof(struct sl_op_kind),
             .name = "lua",
             .summary = "Runs records through a Lua script that may change, drop or multiply them.",
             .example = "{ type: lua, inputs: [parsed], fields: [user.email], source: \"function process(record) "
                        "if record:get('user.email') then record:set('user.email', '***') end end\" }",
             .fields = lua_fields,
             .config_bytes = sizeof(struct lua_config),
             .self_bytes = sizeof(struct lua_stage),
             .counters = lua_counters,
             .reasons = lua_reasons,
             .check = lua_check,
             .bind = lua_bind},
    .open = lua_stage_open,
    .ready = lua_stage_ready,
    .process = lua_stage_process,
    .close = lua_stage_close,
    .flags = SL_OP_EDITS | SL_OP_CODE,
    .config_flags = lua_flags,
};
