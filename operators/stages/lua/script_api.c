/* script_api.c: what a script sees of its records.
 * SPDX-License-Identifier: Apache-2.0 */
#include "operators/stages/lua/script_api.h"

#include <assert.h>
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "operators/stages/lua/script_json.h"
#include "runtime/base/intern.h"
#include "runtime/engine/slot.h"

/* Places in the registry: reading and overwriting them takes no memory, so it needs no protection. */
enum api_place { API_RUN = 1, API_LOOK, API_ENTRY, API_RECORD, API_BATCH, API_RECORD_META, API_TEXTS, API_EMITS, API_FIELDS, API_LEVELS, API_CACHE };

/* Arrays of a batch beside those of fields. */
enum api_array { API_LEVEL, API_SERVICE, API_TIME, API_ARRAYS };

struct api_record { /* the userdata */
    uint32_t serial;
    uint16_t row;
};

static struct script_api *api_of(lua_State *lua)
{
    return script_vm_of(lua)->user;
}

static void api_get(lua_State *lua, int place)
{
    lua_rawgeti(lua, LUA_REGISTRYINDEX, place);
}

static void api_set(lua_State *lua, int place)
{
    lua_rawseti(lua, LUA_REGISTRYINDEX, place);
}

static struct sl_slice api_string(lua_State *lua, int index)
{
    size_t bytes = 0;
    const char *data = luaL_checklstring(lua, index, &bytes);

    return (struct sl_slice){data, (uint32_t)bytes};
}

/* ---- the record ---- */

static uint16_t record_row(lua_State *lua)
{
    const struct api_record *record = lua_touserdata(lua, 1);
    const struct script_api *api = api_of(lua);
    bool fine = record != NULL && lua_getmetatable(lua, 1) != 0;

    if (fine) {
        api_get(lua, API_RECORD_META);
        fine = lua_rawequal(lua, -1, -2) != 0;
        lua_pop(lua, 2);
    }
    if (!fine)
        return (uint16_t)luaL_error(lua, "call it on a record, with a colon: record:get(\"user.email\")");
    if (record->serial != api->serial || api->view == NULL)
        return (uint16_t)luaL_error(lua, "a record is used after its call: take what you need out of it first");
    return record->row;
}

/* The record's text as the script has made it; it stays on the stack where it is one of its own. */
static struct sl_slice record_text(lua_State *lua, uint16_t row)
{
    struct sl_slice text;
    size_t bytes = 0;

    api_get(lua, API_TEXTS);
    lua_rawgeti(lua, -1, row + 1);
    lua_remove(lua, -2);
    if (lua_isnil(lua, -1))
        return sl_view_text(api_of(lua)->view, row);
    text.data = lua_tolstring(lua, -1, &bytes);
    text.bytes = (uint32_t)bytes;
    return text;
}

static bool record_is_changed(lua_State *lua, uint16_t row)
{
    bool changed;

    if (api_of(lua)->changed == 0)
        return false;
    api_get(lua, API_TEXTS);
    lua_rawgeti(lua, -1, row + 1);
    changed = !lua_isnil(lua, -1);
    lua_pop(lua, 2);
    return changed;
}

static void api_push_cell(lua_State *lua, const struct sl_view *view, int column, uint16_t row)
{
    const struct sl_column *cells;

    if ((uint32_t)column >= view->decoded->columns_count || view->decoded->columns[column].type == NULL) {
        lua_pushnil(lua);
        return;
    }
    cells = &view->decoded->columns[column];
    switch ((enum sl_type)cells->type[row]) {
    case SL_T_STRING:
        lua_pushlstring(lua, cells->value[row].data, cells->value[row].bytes);
        return;
    case SL_T_ABSENT:
    case SL_T_NULL:
        lua_pushnil(lua);
        return;
    case SL_T_BOOL:
        lua_pushboolean(lua, cells->value[row].data[0] == 't');
        return;
    case SL_T_NUMBER:
    case SL_T_OBJECT:
    case SL_T_ARRAY:
        script_json_push(lua, cells->value[row]);
        return;
    }
}

static int record_get(lua_State *lua)
{
    uint16_t row = record_row(lua);
    struct sl_slice path = api_string(lua, 2);

    if (!record_is_changed(lua, row)) {
        api_get(lua, API_FIELDS);
        lua_pushvalue(lua, 2);
        lua_rawget(lua, -2);
        if (lua_type(lua, -1) == LUA_TNUMBER) {
            const struct script_api *api = api_of(lua);
            api_push_cell(lua, api->view, api->fields.columns[(int)lua_tonumber(lua, -1)], row);
            return 1;
        }
    }
    if (!api_of(lua)->view->decoded->json && api_of(lua)->view->decoded->body == NULL && !record_is_changed(lua, row))
        return luaL_error(lua, "the record is no JSON and nothing has parsed it: use record:text()");
    script_json_get(lua, record_text(lua, row), path);
    return 1;
}

/* The text on the top of the stack is the row's from now on. */
static void record_store(lua_State *lua, uint16_t row)
{
    api_get(lua, API_TEXTS);
    lua_pushvalue(lua, -2);
    lua_rawseti(lua, -2, row + 1);
    lua_pop(lua, 2);
    api_of(lua)->changed++;
}

static int record_change(lua_State *lua, bool set)
{
    uint16_t row = record_row(lua);
    struct sl_slice path = api_string(lua, 2), value = {NULL, 0}, text;

    if (set && !lua_isnoneornil(lua, 3)) {
        script_text_begin(lua);
        script_json_add(lua, 3);
        script_text_push(lua);
        value = api_string(lua, -1);
    }
    text = record_text(lua, row);
    script_json_edit(lua, text, path, value);
    record_store(lua, row);
    return 0;
}

static int record_set(lua_State *lua)
{
    return record_change(lua, true);
}

static int record_remove(lua_State *lua)
{
    return record_change(lua, false);
}

static int record_whole(lua_State *lua)
{
    struct sl_slice text = record_text(lua, record_row(lua));

    lua_pushlstring(lua, text.data, text.bytes);
    return 1;
}

static int record_header(lua_State *lua)
{
    uint16_t row = record_row(lua);
    struct sl_slice name = api_string(lua, 2);
    const struct sl_batch *batch = api_of(lua)->view->batch;

    for (uint32_t i = 0; batch->headers != NULL && i < batch->headers_count[row]; i++)
        if (sl_slice_eq(batch->headers[row][i].name, name)) {
            lua_pushlstring(lua, batch->headers[row][i].value.data, batch->headers[row][i].value.bytes);
            return 1;
        }
    return 0;
}

static void api_push_service(lua_State *lua, const struct sl_view *view, uint16_t row)
{
    struct sl_slice name = {NULL, 0};

    if (view->decoded->service != NULL && view->decoded->service[row] != SL_INTERN_NONE)
        name = sl_intern_name(view->decoded->service[row]);
    if (name.bytes == 0)
        lua_pushnil(lua);
    else
        lua_pushlstring(lua, name.data, name.bytes);
}

static void api_push_level(lua_State *lua, const struct sl_view *view, uint16_t row)
{
    api_get(lua, API_LEVELS);
    lua_rawgeti(lua, -1, view->decoded->level == NULL ? SL_LEVEL_NONE : view->decoded->level[row]);
    lua_remove(lua, -2);
}

static int record_index(lua_State *lua)
{
    uint16_t row = record_row(lua);
    const struct sl_view *view = api_of(lua)->view;
    const struct sl_batch *batch = view->batch;
    struct sl_slice name = api_string(lua, 2);

    lua_pushvalue(lua, 2);
    lua_rawget(lua, lua_upvalueindex(1));
    if (!lua_isnil(lua, -1))
        return 1;
    if (sl_slice_is(name, "service"))
        api_push_service(lua, view, row);
    else if (sl_slice_is(name, "level"))
        api_push_level(lua, view, row);
    else if (sl_slice_is(name, "time"))
        lua_pushnumber(lua, (double)view->decoded->time_unix_ms[row]);
    else if (sl_slice_is(name, "topic"))
        lua_pushstring(lua, batch->partition->topic);
    else if (sl_slice_is(name, "partition"))
        lua_pushstring(lua, batch->partition->id);
    else if (sl_slice_is(name, "offset"))
        lua_pushnumber(lua, (double)batch->offset[row]);
    else if (sl_slice_is(name, "key") && batch->key != NULL && batch->key[row].data != NULL)
        lua_pushlstring(lua, batch->key[row].data, batch->key[row].bytes);
    else if (sl_slice_is(name, "key"))
        lua_pushnil(lua);
    else
        return luaL_error(lua, "a record has no \"%s\": fields are read with record:get(\"%s\")", name.data, name.data);
    return 1;
}

static int record_newindex(lua_State *lua)
{
    return luaL_error(lua, "fields are set with record:set(\"%s\", value)", lua_tostring(lua, 2) == NULL ? "x" : lua_tostring(lua, 2));
}

/* ---- the batch ---- */

static uint16_t batch_row(lua_State *lua)
{
    const struct script_api *api = api_of(lua);
    double at = luaL_checknumber(lua, 2);

    if (!(at >= 1 && at <= api->rows_count) || api->view == NULL)
        return (uint16_t)luaL_error(lua, "record %f of a batch of %d", at, (int)api->rows_count);
    return api->rows[(uint32_t)at - 1];
}

/* An array of the batch: from the cache if this batch has filled it, else filled into the same table. */
static void batch_array(lua_State *lua, uint32_t which, void (*push)(lua_State *lua, const struct sl_view *view, int column, uint16_t row),
                        int column)
{
    struct script_api *api = api_of(lua);
    uint32_t held = (uint32_t)api->filled[which];

    api_get(lua, API_CACHE + (int)which);
    if (api->filled[which] >> 32 == api->serial)
        return;
    for (uint32_t i = 0; i < api->rows_count; i++) {
        push(lua, api->view, column, api->rows[i]);
        lua_rawseti(lua, -2, (int)i + 1);
    }
    for (uint32_t i = api->rows_count; i < held; i++) {
        lua_pushnil(lua);
        lua_rawseti(lua, -2, (int)i + 1);
    }
    api->filled[which] = (uint64_t)api->serial << 32 | api->rows_count;
}

static void batch_push_service(lua_State *lua, const struct sl_view *view, int column, uint16_t row)
{
    (void)column;
    api_push_service(lua, view, row);
}

static void batch_push_level(lua_State *lua, const struct sl_view *view, int column, uint16_t row)
{
    (void)column;
    api_push_level(lua, view, row);
}

static void batch_push_time(lua_State *lua, const struct sl_view *view, int column, uint16_t row)
{
    (void)column;
    lua_pushnumber(lua, (double)view->decoded->time_unix_ms[row]);
}

static int batch_column(lua_State *lua)
{
    const struct script_api *api = api_of(lua);
    int at;

    if (api->view == NULL)
        return luaL_error(lua, "the batch is used after its call");
    api_get(lua, API_FIELDS);
    lua_pushvalue(lua, 2);
    lua_rawget(lua, -2);
    if (lua_type(lua, -1) != LUA_TNUMBER)
        return luaL_error(lua, "\"%s\" is no column: add it to fields: of this operator", luaL_checkstring(lua, 2));
    at = (int)lua_tonumber(lua, -1);
    batch_array(lua, (uint32_t)at + API_ARRAYS, api_push_cell, api->fields.columns[at]);
    return 1;
}

static int batch_text(lua_State *lua)
{
    struct sl_slice text = record_text(lua, batch_row(lua));

    lua_pushlstring(lua, text.data, text.bytes);
    return 1;
}

static int batch_drop(lua_State *lua)
{
    uint16_t row = batch_row(lua);

    api_of(lua)->dropped[row] = 1;
    return 0;
}

static int batch_record(lua_State *lua)
{
    uint16_t row = batch_row(lua);
    struct api_record *record = lua_newuserdata(lua, sizeof(*record));

    *record = (struct api_record){api_of(lua)->serial, row};
    api_get(lua, API_RECORD_META);
    (void)lua_setmetatable(lua, -2);
    return 1;
}

/* The value at the top of the stack as a record's text: a string is one, a table becomes one. */
static void api_to_text(lua_State *lua)
{
    if (lua_type(lua, -1) == LUA_TTABLE) {
        script_text_begin(lua);
        script_json_add(lua, -1);
        script_text_push(lua);
        lua_remove(lua, -2);
    } else if (lua_type(lua, -1) != LUA_TSTRING) {
        (void)luaL_error(lua, "a %s is no record: give a table, or a string of JSON", luaL_typename(lua, -1));
    }
}

static void api_emit(lua_State *lua, uint16_t row)
{
    struct script_api *api = api_of(lua);

    if (api->emitted / api->records_max >= SL_BATCH_RECORDS)
        (void)luaL_error(lua, "too many records are derived in one batch");
    api_get(lua, API_EMITS);
    lua_insert(lua, -2);
    lua_rawseti(lua, -2, (int)api->emitted * 2 + 2);
    lua_pushnumber(lua, row);
    lua_rawseti(lua, -2, (int)api->emitted * 2 + 1);
    lua_pop(lua, 1);
    api->emitted++;
}

static int batch_emit(lua_State *lua)
{
    uint16_t row = batch_row(lua);

    lua_settop(lua, 3);
    api_to_text(lua);
    api_emit(lua, row);
    return 0;
}

static int batch_index(lua_State *lua)
{
    struct sl_slice name = api_string(lua, 2);

    lua_pushvalue(lua, 2);
    lua_rawget(lua, lua_upvalueindex(1));
    if (!lua_isnil(lua, -1))
        return 1;
    if (api_of(lua)->view == NULL)
        return luaL_error(lua, "the batch is used after its call");
    if (sl_slice_is(name, "count"))
        lua_pushnumber(lua, api_of(lua)->rows_count);
    else if (sl_slice_is(name, "level"))
        batch_array(lua, API_LEVEL, batch_push_level, 0);
    else if (sl_slice_is(name, "service"))
        batch_array(lua, API_SERVICE, batch_push_service, 0);
    else if (sl_slice_is(name, "time"))
        batch_array(lua, API_TIME, batch_push_time, 0);
    else
        return luaL_error(lua, "a batch has no \"%s\": fields are read with batch:column(\"%s\")", name.data, name.data);
    return 1;
}

/* ---- what the entry gives back ---- */

/* One item of a list: the record itself, a table or a string. True: a text is on the stack. */
static bool result_item(lua_State *lua, uint16_t row)
{
    if (lua_type(lua, -1) == LUA_TUSERDATA) {
        struct sl_slice text;
        api_get(lua, API_RECORD);
        if (lua_rawequal(lua, -1, -2) == 0)
            (void)luaL_error(lua, "a list holds something that is no record");
        lua_pop(lua, 2);
        text = record_text(lua, row);
        lua_pushlstring(lua, text.data, text.bytes);
        lua_remove(lua, -2);
        return true;
    }
    api_to_text(lua);
    return true;
}

static void result_list(lua_State *lua, int list, size_t count, uint16_t row)
{
    const struct script_api *api = api_of(lua);

    if (count > api->records_max)
        (void)luaL_error(lua, "%d records out of one, and max_records_per_record is %d: raise it", (int)count, (int)api->records_max);
    for (size_t i = 2; i <= count; i++) {
        lua_rawgeti(lua, list, (int)i);
        (void)result_item(lua, row);
        api_emit(lua, row);
    }
    lua_rawgeti(lua, list, 1); /* last: the others may want the record as it was */
    if (lua_type(lua, -1) != LUA_TUSERDATA && result_item(lua, row))
        record_store(lua, row);
}

/* A table: a list of records if it has an element 1 or nothing at all, else the new record. */
static void result_table(lua_State *lua, int index, uint16_t row)
{
    size_t count = lua_objlen(lua, index);

    lua_pushnil(lua);
    if (count > 0) {
        lua_pop(lua, 1);
        result_list(lua, index, count, row);
    } else if (lua_next(lua, index) == 0) {
        api_of(lua)->dropped[row] = 1;
    } else {
        lua_pop(lua, 2);
        lua_pushvalue(lua, index);
        api_to_text(lua);
        record_store(lua, row);
    }
}

static void result_record(lua_State *lua, uint16_t row)
{
    int type = lua_type(lua, -1), index = lua_gettop(lua);

    if (type == LUA_TNIL || (type == LUA_TBOOLEAN && lua_toboolean(lua, -1) != 0))
        return;
    if (type == LUA_TBOOLEAN)
        api_of(lua)->dropped[row] = 1;
    else if (type == LUA_TSTRING)
        record_store(lua, row);
    else if (type == LUA_TTABLE)
        result_table(lua, index, row);
    else if (type != LUA_TUSERDATA) /* the record itself: kept as it is */
        (void)luaL_error(lua, "process returned a %s; return nothing or true (keep), false (drop), a table or string (a new record) "
                         "or a list of them", luaL_typename(lua, -1));
}

/* What script_vm_call calls: runs protected. */
static int api_run(lua_State *lua)
{
    struct script_api *api = api_of(lua);
    bool batches;

    api_get(lua, API_ENTRY);
    batches = lua_toboolean(lua, -1) != 0;
    lua_getglobal(lua, batches ? "process_batch" : "process");
    if (batches) {
        api_get(lua, API_BATCH);
        lua_call(lua, 1, 1);
        if (!lua_isnil(lua, -1))
            return luaL_error(lua, "process_batch returned a %s; it returns nothing and says batch:drop(i)", luaL_typename(lua, -1));
        return 0;
    }
    api_get(lua, API_RECORD);
    *(struct api_record *)lua_touserdata(lua, -1) = (struct api_record){api->serial, api->rows[0]};
    lua_call(lua, 1, 1);
    result_record(lua, api->rows[0]);
    return 0;
}

/* Which entry the script has; runs protected. */
static int api_look(lua_State *lua)
{
    bool records, batches;

    lua_getglobal(lua, "process");
    lua_getglobal(lua, "process_batch");
    records = lua_isfunction(lua, -2);
    batches = lua_isfunction(lua, -1);
    if (records == batches)
        return luaL_error(lua, records ? "the script has both process and process_batch; keep one of them"
                                       : "the script has no function process(record) or process_batch(batch)");
    lua_pushboolean(lua, batches);
    api_set(lua, API_ENTRY);
    return 0;
}

/* ---- installing ---- */

static int api_log(lua_State *lua)
{
    struct script_vm *vm = script_vm_of(lua);
    const struct sl_api *api = api_of(lua)->api;
    const char *text = luaL_checkstring(lua, 1);
    struct sl_err err;

    if (api == NULL || api->log == NULL) /* at check */
        return 0;
    vm->watch.busy = 1; /* the engine's log is not to be left halfway */
    (void)sl_fail(&err, SL_E_FORMAT, SL_REMEDY_RETRY, 0, "%s", text);
    api->log(api->env, &err, api->component);
    vm->watch.busy = 0;
    return 0;
}

/* Leaves a metatable whose __index looks the methods up first. */
static void install_meta(lua_State *lua, const luaL_Reg *methods, lua_CFunction index, lua_CFunction newindex)
{
    lua_newtable(lua);
    lua_newtable(lua);
    for (; methods->name != NULL; methods++) {
        lua_pushcfunction(lua, methods->func);
        lua_setfield(lua, -2, methods->name);
    }
    lua_pushcclosure(lua, index, 1);
    lua_setfield(lua, -2, "__index");
    lua_pushcfunction(lua, newindex);
    lua_setfield(lua, -2, "__newindex");
    lua_pushliteral(lua, "locked");
    lua_setfield(lua, -2, "__metatable");
}

static void install_objects(lua_State *lua)
{
    static const luaL_Reg record[] = {{"get", record_get}, {"set", record_set}, {"remove", record_remove}, {"text", record_whole},
                                      {"header", record_header}, {NULL, NULL}};
    static const luaL_Reg batch[] = {{"column", batch_column}, {"text", batch_text}, {"drop", batch_drop}, {"record", batch_record},
                                     {"emit", batch_emit}, {NULL, NULL}};

    (void)lua_newuserdata(lua, sizeof(struct api_record));
    install_meta(lua, record, record_index, record_newindex);
    lua_pushvalue(lua, -1);
    api_set(lua, API_RECORD_META);
    (void)lua_setmetatable(lua, -2);
    api_set(lua, API_RECORD);
    (void)lua_newuserdata(lua, 1);
    install_meta(lua, batch, batch_index, record_newindex);
    (void)lua_setmetatable(lua, -2);
    api_set(lua, API_BATCH);
}

static void install_levels(lua_State *lua)
{
    static const char *const names[SL_LEVELS] = {NULL, "trace", "debug", "info", "warn", "error", "fatal"};

    lua_createtable(lua, SL_LEVELS, 0);
    for (int i = 1; i < SL_LEVELS; i++) {
        lua_pushstring(lua, names[i]);
        lua_rawseti(lua, -2, i);
    }
    api_set(lua, API_LEVELS);
}

static void api_install(lua_State *lua)
{
    struct script_api *api = api_of(lua);

    lua_pushcfunction(lua, api_run);
    api_set(lua, API_RUN);
    lua_pushcfunction(lua, api_look);
    api_set(lua, API_LOOK);
    install_objects(lua);
    install_levels(lua);
    lua_newtable(lua);
    api_set(lua, API_TEXTS);
    lua_newtable(lua);
    api_set(lua, API_EMITS);
    lua_createtable(lua, 0, (int)api->fields.count);
    for (uint32_t i = 0; i < api->fields.count; i++) {
        lua_pushstring(lua, api->fields.names[i]);
        lua_pushnumber(lua, i);
        lua_rawset(lua, -3);
    }
    api_set(lua, API_FIELDS);
    for (int i = 0; i < (int)api->fields.count + API_ARRAYS; i++) {
        lua_newtable(lua);
        api_set(lua, API_CACHE + i);
        api->filled[i] = 0;
    }
    lua_pushcfunction(lua, api_log);
    lua_setglobal(lua, "log");
    api->view = NULL;
}

/* ---- calls ---- */

int script_api_init(struct script_api *api, const struct script_code *code, const struct script_limits *limits)
{
    api->filled = calloc((size_t)api->fields.count + API_ARRAYS, sizeof(*api->filled));
    if (api->filled == NULL)
        return -1;
    script_vm_init(&api->vm, code, limits, api_install, api);
    return 0;
}

void script_api_fini(struct script_api *api)
{
    script_vm_fini(&api->vm);
    free(api->filled);
    api->filled = NULL;
}

enum script_entry script_api_ready(struct script_api *api, uint64_t budget)
{
    lua_State *lua;
    bool batches;

    if (api->vm.lua == NULL) {
        if (script_vm_start(&api->vm, budget) != 0)
            return SCRIPT_NO_ENTRY;
        api_get(api->vm.lua, API_LOOK);
        if (script_vm_call(&api->vm, 0, 0, budget) != SCRIPT_FINE)
            return SCRIPT_NO_ENTRY;
    }
    lua = api->vm.lua;
    api_get(lua, API_ENTRY);
    batches = lua_toboolean(lua, -1) != 0;
    lua_pop(lua, 1);
    return batches ? SCRIPT_BATCHES : SCRIPT_RECORDS;
}

enum script_outcome script_api_call(struct script_api *api, enum script_entry entry, const struct sl_view *view,
                                    const uint16_t *rows, uint32_t rows_count, uint64_t budget)
{
    enum script_outcome outcome;

    assert(entry == SCRIPT_BATCHES || rows_count == 1);
    api->view = view;
    api->rows = rows;
    api->rows_count = rows_count;
    api->changed = api->emitted = 0;
    api->serial++;
    api_get(api->vm.lua, API_RUN);
    outcome = script_vm_call(&api->vm, 0, 0, budget);
    if (outcome == SCRIPT_ERROR && api->changed > 0) /* what it did before it failed is forgotten */
        for (uint32_t i = 0; i < rows_count; i++)
            (void)script_api_text(api, rows[i]);
    if (outcome != SCRIPT_FINE)
        api->changed = api->emitted = 0;
    api->view = NULL;
    return outcome;
}

struct sl_slice script_api_text(struct script_api *api, uint16_t row)
{
    lua_State *lua = api->vm.lua;
    struct sl_slice text = {NULL, 0};
    size_t bytes = 0;

    if (api->changed == 0)
        return text;
    api_get(lua, API_TEXTS);
    lua_rawgeti(lua, -1, row + 1);
    if (lua_type(lua, -1) == LUA_TSTRING) {
        text.data = lua_tolstring(lua, -1, &bytes); /* no collector runs before the next call */
        text.bytes = (uint32_t)bytes;
        lua_pushnil(lua);
        lua_rawseti(lua, -3, row + 1);
    }
    lua_pop(lua, 2);
    return text;
}

struct sl_slice script_api_emitted(struct script_api *api, uint32_t n, uint16_t *ret_row)
{
    lua_State *lua = api->vm.lua;
    struct sl_slice text;
    size_t bytes = 0;

    assert(n < api->emitted);
    api_get(lua, API_EMITS);
    lua_rawgeti(lua, -1, (int)n * 2 + 1);
    lua_rawgeti(lua, -2, (int)n * 2 + 2);
    text.data = lua_tolstring(lua, -1, &bytes);
    text.bytes = (uint32_t)bytes;
    *ret_row = (uint16_t)lua_tonumber(lua, -2);
    lua_pop(lua, 3);
    return text;
}
