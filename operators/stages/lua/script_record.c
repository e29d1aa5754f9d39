/* script_record.c: the record in a script's hands.
 * SPDX-License-Identifier: Apache-2.0 */
#include "operators/stages/lua/script_inner.h"

#include "operators/stages/lua/script_json.h"
#include "runtime/base/intern.h"
#include "runtime/engine/slot.h"

static uint16_t record_row(lua_State *lua)
{
    const struct script_record *record = lua_touserdata(lua, 1);
    const struct script_api *api = script_api_of(lua);
    bool fine = record != NULL && lua_getmetatable(lua, 1) != 0;

    if (fine) {
        script_place(lua, SCRIPT_AT_RECORD_META);
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
struct sl_slice script_record_text(lua_State *lua, uint16_t row)
{
    struct sl_slice text;
    size_t bytes = 0;

    script_place(lua, SCRIPT_AT_TEXTS);
    lua_rawgeti(lua, -1, row + 1);
    lua_remove(lua, -2);
    if (lua_isnil(lua, -1))
        return sl_view_text(script_api_of(lua)->view, row);
    text.data = lua_tolstring(lua, -1, &bytes);
    text.bytes = (uint32_t)bytes;
    return text;
}

static bool record_is_changed(lua_State *lua, uint16_t row)
{
    bool changed;

    if (script_api_of(lua)->changed == 0)
        return false;
    script_place(lua, SCRIPT_AT_TEXTS);
    lua_rawgeti(lua, -1, row + 1);
    changed = !lua_isnil(lua, -1);
    lua_pop(lua, 2);
    return changed;
}

void script_push_cell(lua_State *lua, const struct sl_view *view, int column, uint16_t row)
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
    struct sl_slice path = script_argument(lua, 2);

    if (!record_is_changed(lua, row)) {
        script_place(lua, SCRIPT_AT_FIELDS);
        lua_pushvalue(lua, 2);
        lua_rawget(lua, -2);
        if (lua_type(lua, -1) == LUA_TNUMBER) {
            const struct script_api *api = script_api_of(lua);
            script_push_cell(lua, api->view, api->fields.columns[(int)lua_tonumber(lua, -1)], row);
            return 1;
        }
    }
    if (!script_api_of(lua)->view->decoded->json && script_api_of(lua)->view->decoded->body == NULL && !record_is_changed(lua, row))
        return luaL_error(lua, "the record is no JSON and nothing has parsed it: use record:text()");
    script_json_get(lua, script_record_text(lua, row), path);
    return 1;
}

/* The text on the top of the stack is the row's from now on. */
void script_record_store(lua_State *lua, uint16_t row)
{
    script_place(lua, SCRIPT_AT_TEXTS);
    lua_pushvalue(lua, -2);
    lua_rawseti(lua, -2, row + 1);
    lua_pop(lua, 2);
    script_api_of(lua)->changed++;
}

static int record_change(lua_State *lua, bool set)
{
    uint16_t row = record_row(lua);
    struct sl_slice path = script_argument(lua, 2), value = {NULL, 0}, text;

    if (set && !lua_isnoneornil(lua, 3)) {
        script_text_begin(lua);
        script_json_add(lua, 3);
        script_text_push(lua);
        value = script_argument(lua, -1);
    }
    text = script_record_text(lua, row);
    script_json_edit(lua, text, path, value);
    script_record_store(lua, row);
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
    struct sl_slice text = script_record_text(lua, record_row(lua));

    lua_pushlstring(lua, text.data, text.bytes);
    return 1;
}

static int record_header(lua_State *lua)
{
    uint16_t row = record_row(lua);
    struct sl_slice name = script_argument(lua, 2);
    const struct sl_batch *batch = script_api_of(lua)->view->batch;

    for (uint32_t i = 0; batch->headers != NULL && i < batch->headers_count[row]; i++)
        if (sl_slice_eq(batch->headers[row][i].name, name)) {
            lua_pushlstring(lua, batch->headers[row][i].value.data, batch->headers[row][i].value.bytes);
            return 1;
        }
    return 0;
}

void script_push_service(lua_State *lua, const struct sl_view *view, uint16_t row)
{
    struct sl_slice name = {NULL, 0};

    if (view->decoded->service != NULL && view->decoded->service[row] != SL_INTERN_NONE)
        name = sl_intern_name(view->decoded->service[row]);
    if (name.bytes == 0)
        lua_pushnil(lua);
    else
        lua_pushlstring(lua, name.data, name.bytes);
}

void script_push_level(lua_State *lua, const struct sl_view *view, uint16_t row)
{
    script_place(lua, SCRIPT_AT_LEVELS);
    lua_rawgeti(lua, -1, view->decoded->level == NULL ? SL_LEVEL_NONE : view->decoded->level[row]);
    lua_remove(lua, -2);
}

static int record_index(lua_State *lua)
{
    uint16_t row = record_row(lua);
    const struct sl_view *view = script_api_of(lua)->view;
    const struct sl_batch *batch = view->batch;
    struct sl_slice name = script_argument(lua, 2);

    lua_pushvalue(lua, 2);
    lua_rawget(lua, lua_upvalueindex(1));
    if (!lua_isnil(lua, -1))
        return 1;
    if (sl_slice_is(name, "service"))
        script_push_service(lua, view, row);
    else if (sl_slice_is(name, "level"))
        script_push_level(lua, view, row);
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

int script_no_assignment(lua_State *lua)
{
    return luaL_error(lua, "fields are set with record:set(\"%s\", value)", lua_tostring(lua, 2) == NULL ? "x" : lua_tostring(lua, 2));
}

void script_record_install(lua_State *lua)
{
    static const luaL_Reg record[] = {{"get", record_get}, {"set", record_set}, {"remove", record_remove}, {"text", record_whole},
                                      {"header", record_header}, {NULL, NULL}};

    (void)lua_newuserdata(lua, sizeof(struct script_record));
    script_install_meta(lua, record, record_index, script_no_assignment);
    lua_pushvalue(lua, -1);
    script_place_set(lua, SCRIPT_AT_RECORD_META);
    (void)lua_setmetatable(lua, -2);
    script_place_set(lua, SCRIPT_AT_RECORD);
}
