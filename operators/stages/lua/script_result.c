/* script_result.c: what a script gives back: verdicts, texts, further records.
 * SPDX-License-Identifier: Apache-2.0 */
#include "operators/stages/lua/script_inner.h"

#include "operators/stages/lua/script_json.h"

/* The value at the top of the stack as a record's text: a string is one, a table becomes one. */
void script_to_text(lua_State *lua)
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

void script_emit(lua_State *lua, uint16_t row)
{
    struct script_api *api = script_api_of(lua);

    if (api->emitted / api->records_max >= SL_BATCH_RECORDS)
        (void)luaL_error(lua, "too many records are derived in one batch");
    script_place(lua, SCRIPT_AT_EMITS);
    lua_insert(lua, -2);
    lua_rawseti(lua, -2, (int)api->emitted * 2 + 2);
    lua_pushnumber(lua, row);
    lua_rawseti(lua, -2, (int)api->emitted * 2 + 1);
    lua_pop(lua, 1);
    api->emitted++;
}

/* One item of a list: the record itself, a table or a string. True: a text is on the stack. */
static bool result_item(lua_State *lua, uint16_t row)
{
    if (lua_type(lua, -1) == LUA_TUSERDATA) {
        struct sl_slice text;
        script_place(lua, SCRIPT_AT_RECORD);
        if (lua_rawequal(lua, -1, -2) == 0)
            (void)luaL_error(lua, "a list holds something that is no record");
        lua_pop(lua, 2);
        text = script_record_text(lua, row);
        lua_pushlstring(lua, text.data, text.bytes);
        lua_remove(lua, -2);
        return true;
    }
    script_to_text(lua);
    return true;
}

static void result_list(lua_State *lua, int list, size_t count, uint16_t row)
{
    const struct script_api *api = script_api_of(lua);

    if (count > api->records_max)
        (void)luaL_error(lua, "%d records out of one, and max_records_per_record is %d: raise it", (int)count, (int)api->records_max);
    for (size_t i = 2; i <= count; i++) {
        lua_rawgeti(lua, list, (int)i);
        (void)result_item(lua, row);
        script_emit(lua, row);
    }
    lua_rawgeti(lua, list, 1); /* last: the others may want the record as it was */
    if (lua_type(lua, -1) != LUA_TUSERDATA && result_item(lua, row))
        script_record_store(lua, row);
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
        script_api_of(lua)->dropped[row] = 1;
    } else {
        lua_pop(lua, 2);
        lua_pushvalue(lua, index);
        script_to_text(lua);
        script_record_store(lua, row);
    }
}

static void result_record(lua_State *lua, uint16_t row)
{
    int type = lua_type(lua, -1), index = lua_gettop(lua);

    if (type == LUA_TNIL || (type == LUA_TBOOLEAN && lua_toboolean(lua, -1) != 0))
        return;
    if (type == LUA_TBOOLEAN)
        script_api_of(lua)->dropped[row] = 1;
    else if (type == LUA_TSTRING)
        script_record_store(lua, row);
    else if (type == LUA_TTABLE)
        result_table(lua, index, row);
    else if (type != LUA_TUSERDATA) /* the record itself: kept as it is */
        (void)luaL_error(lua, "process returned a %s; return nothing or true (keep), false (drop), a table or string (a new record) "
                         "or a list of them", luaL_typename(lua, -1));
}

/* What script_vm_call calls: runs protected. */
int script_run(lua_State *lua)
{
    struct script_api *api = script_api_of(lua);
    bool batches;

    script_place(lua, SCRIPT_AT_ENTRY);
    batches = lua_toboolean(lua, -1) != 0;
    lua_getglobal(lua, batches ? "process_batch" : "process");
    if (batches) {
        script_place(lua, SCRIPT_AT_BATCH);
        lua_call(lua, 1, 1);
        if (!lua_isnil(lua, -1))
            return luaL_error(lua, "process_batch returned a %s; it returns nothing and says batch:drop(i)", luaL_typename(lua, -1));
        return 0;
    }
    script_place(lua, SCRIPT_AT_RECORD);
    *(struct script_record *)lua_touserdata(lua, -1) = (struct script_record){api->serial, api->rows[0]};
    lua_call(lua, 1, 1);
    result_record(lua, api->rows[0]);
    return 0;
}

/* Which entry the script has; runs protected. */
int script_look(lua_State *lua)
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
    script_place_set(lua, SCRIPT_AT_ENTRY);
    return 0;
}
