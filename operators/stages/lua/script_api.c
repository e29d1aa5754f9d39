/* script_api.c: what a script sees of its records: the state's places, what is installed, and the calls.
 * SPDX-License-Identifier: Apache-2.0 */
#include "operators/stages/lua/script_api.h"

#include <assert.h>
#include <stdlib.h>

#include "operators/stages/lua/script_inner.h"

struct script_api *script_api_of(lua_State *lua)
{
    return script_vm_of(lua)->user;
}

void script_place(lua_State *lua, int place)
{
    lua_rawgeti(lua, LUA_REGISTRYINDEX, place);
}

void script_place_set(lua_State *lua, int place)
{
    lua_rawseti(lua, LUA_REGISTRYINDEX, place);
}

struct sl_slice script_argument(lua_State *lua, int index)
{
    size_t bytes = 0;
    const char *data = luaL_checklstring(lua, index, &bytes);

    return (struct sl_slice){data, (uint32_t)bytes};
}

/* Leaves a metatable whose __index looks the methods up first. */
void script_install_meta(lua_State *lua, const luaL_Reg *methods, lua_CFunction index, lua_CFunction newindex)
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

/* ---- installing ---- */

static int api_log(lua_State *lua)
{
    struct script_vm *vm = script_vm_of(lua);
    const struct sl_api *api = script_api_of(lua)->api;
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

static void install_levels(lua_State *lua)
{
    static const char *const names[SL_LEVELS] = {NULL, "trace", "debug", "info", "warn", "error", "fatal"};

    lua_createtable(lua, SL_LEVELS, 0);
    for (int i = 1; i < SL_LEVELS; i++) {
        lua_pushstring(lua, names[i]);
        lua_rawseti(lua, -2, i);
    }
    script_place_set(lua, SCRIPT_AT_LEVELS);
}

static void api_install(lua_State *lua)
{
    struct script_api *api = script_api_of(lua);

    lua_pushcfunction(lua, script_run);
    script_place_set(lua, SCRIPT_AT_RUN);
    lua_pushcfunction(lua, script_look);
    script_place_set(lua, SCRIPT_AT_LOOK);
    script_record_install(lua);
    script_batch_install(lua);
    install_levels(lua);
    lua_newtable(lua);
    script_place_set(lua, SCRIPT_AT_TEXTS);
    lua_newtable(lua);
    script_place_set(lua, SCRIPT_AT_EMITS);
    lua_createtable(lua, 0, (int)api->fields.count);
    for (uint32_t i = 0; i < api->fields.count; i++) {
        lua_pushstring(lua, api->fields.names[i]);
        lua_pushnumber(lua, i);
        lua_rawset(lua, -3);
    }
    script_place_set(lua, SCRIPT_AT_FIELDS);
    for (int i = 0; i < (int)api->fields.count + SCRIPT_AT_ARRAYS; i++) {
        lua_newtable(lua);
        script_place_set(lua, SCRIPT_AT_CACHE + i);
        api->filled[i] = 0;
    }
    lua_pushcfunction(lua, api_log);
    lua_setglobal(lua, "log");
    api->view = NULL;
}

/* ---- calls ---- */

int script_api_init(struct script_api *api, const struct script_code *code, const struct script_limits *limits)
{
    api->filled = calloc((size_t)api->fields.count + SCRIPT_AT_ARRAYS, sizeof(*api->filled));
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
        script_place(api->vm.lua, SCRIPT_AT_LOOK);
        if (script_vm_call(&api->vm, 0, 0, budget) != SCRIPT_FINE)
            return SCRIPT_NO_ENTRY;
    }
    lua = api->vm.lua;
    script_place(lua, SCRIPT_AT_ENTRY);
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
    script_place(api->vm.lua, SCRIPT_AT_RUN);
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
    script_place(lua, SCRIPT_AT_TEXTS);
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
    script_place(lua, SCRIPT_AT_EMITS);
    lua_rawgeti(lua, -1, (int)n * 2 + 1);
    lua_rawgeti(lua, -2, (int)n * 2 + 2);
    text.data = lua_tolstring(lua, -1, &bytes);
    text.bytes = (uint32_t)bytes;
    *ret_row = (uint16_t)lua_tonumber(lua, -2);
    lua_pop(lua, 3);
    return text;
}
