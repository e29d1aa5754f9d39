/* script_batch.c: the batch in a script's hands: columns as arrays.
 * SPDX-License-Identifier: Apache-2.0 */
#include "operators/stages/lua/script_inner.h"

static uint16_t batch_row(lua_State *lua)
{
    const struct script_api *api = script_api_of(lua);
    double at = luaL_checknumber(lua, 2);

    if (!(at >= 1 && at <= api->rows_count) || api->view == NULL)
        return (uint16_t)luaL_error(lua, "record %f of a batch of %d", at, (int)api->rows_count);
    return api->rows[(uint32_t)at - 1];
}

/* An array of the batch: from the cache if this batch has filled it, else filled into the same table. */
static void batch_array(lua_State *lua, uint32_t which, void (*push)(lua_State *lua, const struct sl_view *view, int column, uint16_t row),
                        int column)
{
    struct script_api *api = script_api_of(lua);
    uint32_t held = (uint32_t)api->filled[which];

    script_place(lua, SCRIPT_AT_CACHE + (int)which);
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
    script_push_service(lua, view, row);
}

static void batch_push_level(lua_State *lua, const struct sl_view *view, int column, uint16_t row)
{
    (void)column;
    script_push_level(lua, view, row);
}

static void batch_push_time(lua_State *lua, const struct sl_view *view, int column, uint16_t row)
{
    (void)column;
    lua_pushnumber(lua, (double)view->decoded->time_unix_ms[row]);
}

static int batch_column(lua_State *lua)
{
    const struct script_api *api = script_api_of(lua);
    int at;

    if (api->view == NULL)
        return luaL_error(lua, "the batch is used after its call");
    script_place(lua, SCRIPT_AT_FIELDS);
    lua_pushvalue(lua, 2);
    lua_rawget(lua, -2);
    if (lua_type(lua, -1) != LUA_TNUMBER)
        return luaL_error(lua, "\"%s\" is no column: add it to fields: of this operator", luaL_checkstring(lua, 2));
    at = (int)lua_tonumber(lua, -1);
    batch_array(lua, (uint32_t)at + SCRIPT_AT_ARRAYS, script_push_cell, api->fields.columns[at]);
    return 1;
}

static int batch_text(lua_State *lua)
{
    struct sl_slice text = script_record_text(lua, batch_row(lua));

    lua_pushlstring(lua, text.data, text.bytes);
    return 1;
}

static int batch_drop(lua_State *lua)
{
    uint16_t row = batch_row(lua);

    script_api_of(lua)->dropped[row] = 1;
    return 0;
}

static int batch_record(lua_State *lua)
{
    uint16_t row = batch_row(lua);
    struct script_record *record = lua_newuserdata(lua, sizeof(*record));

    *record = (struct script_record){script_api_of(lua)->serial, row};
    script_place(lua, SCRIPT_AT_RECORD_META);
    (void)lua_setmetatable(lua, -2);
    return 1;
}

static int batch_emit(lua_State *lua)
{
    uint16_t row = batch_row(lua);

    lua_settop(lua, 3);
    script_to_text(lua);
    script_emit(lua, row);
    return 0;
}

static int batch_index(lua_State *lua)
{
    struct sl_slice name = script_argument(lua, 2);

    lua_pushvalue(lua, 2);
    lua_rawget(lua, lua_upvalueindex(1));
    if (!lua_isnil(lua, -1))
        return 1;
    if (script_api_of(lua)->view == NULL)
        return luaL_error(lua, "the batch is used after its call");
    if (sl_slice_is(name, "count"))
        lua_pushnumber(lua, script_api_of(lua)->rows_count);
    else if (sl_slice_is(name, "level"))
        batch_array(lua, SCRIPT_AT_LEVEL, batch_push_level, 0);
    else if (sl_slice_is(name, "service"))
        batch_array(lua, SCRIPT_AT_SERVICE, batch_push_service, 0);
    else if (sl_slice_is(name, "time"))
        batch_array(lua, SCRIPT_AT_TIME, batch_push_time, 0);
    else
        return luaL_error(lua, "a batch has no \"%s\": fields are read with batch:column(\"%s\")", name.data, name.data);
    return 1;
}

void script_batch_install(lua_State *lua)
{
    static const luaL_Reg batch[] = {{"column", batch_column}, {"text", batch_text}, {"drop", batch_drop}, {"record", batch_record},
                                     {"emit", batch_emit}, {NULL, NULL}};


    (void)lua_newuserdata(lua, 1);
    script_install_meta(lua, batch, batch_index, script_no_assignment);
    (void)lua_setmetatable(lua, -2);
    script_place_set(lua, SCRIPT_AT_BATCH);
}
