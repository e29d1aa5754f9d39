/* script_inner.h: what the parts of a script's api share: script_api.c (calls), script_record.c, script_batch.c, script_result.c. All but
 * the places run inside a protected call only, since they may raise.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_OPERATORS_STAGES_LUA_SCRIPT_INNER_H
#define SL_OPERATORS_STAGES_LUA_SCRIPT_INNER_H

#include <lauxlib.h>

#include "operators/stages/lua/script_api.h"

/* Places in the registry: reading and overwriting them takes no memory, so it needs no protection. */
enum script_place_of {
    SCRIPT_AT_RUN = 1,
    SCRIPT_AT_LOOK,
    SCRIPT_AT_ENTRY,
    SCRIPT_AT_RECORD,
    SCRIPT_AT_BATCH,
    SCRIPT_AT_RECORD_META,
    SCRIPT_AT_TEXTS,  /* row + 1 -> its new text */
    SCRIPT_AT_EMITS,  /* row, text, row, text ... */
    SCRIPT_AT_FIELDS, /* name -> index in script_columns */
    SCRIPT_AT_LEVELS,
    SCRIPT_AT_CACHE   /* and on: the arrays of a batch */
};

/* Arrays of a batch beside those of fields. */
enum script_array { SCRIPT_AT_LEVEL, SCRIPT_AT_SERVICE, SCRIPT_AT_TIME, SCRIPT_AT_ARRAYS };

struct script_record { /* the userdata */
    uint32_t serial;
    uint16_t row;
};

struct script_api *script_api_of(lua_State *lua);
/* Pushes what is in a place of the registry; puts the top of the stack there. */
void script_place(lua_State *lua, int place);
void script_place_set(lua_State *lua, int place);
struct sl_slice script_argument(lua_State *lua, int index);
/* Leaves a metatable whose __index looks the methods up first. */
void script_install_meta(lua_State *lua, const luaL_Reg *methods, lua_CFunction index, lua_CFunction newindex);

/* ---- script_record.c ---- */
void script_record_install(lua_State *lua);
/* The record's text as the script has made it; it stays on the stack where it is one of its own, else nil does. */
struct sl_slice script_record_text(lua_State *lua, uint16_t row);
/* The text on the top of the stack is the row's from now on. */
void script_record_store(lua_State *lua, uint16_t row);
void script_push_cell(lua_State *lua, const struct sl_view *view, int column, uint16_t row);
void script_push_service(lua_State *lua, const struct sl_view *view, uint16_t row);
void script_push_level(lua_State *lua, const struct sl_view *view, uint16_t row);
int script_no_assignment(lua_State *lua); /* a __newindex */

/* ---- script_batch.c ---- */
void script_batch_install(lua_State *lua);

/* ---- script_result.c ---- */
/* The value at the top of the stack as a record's text: a string is one, a table becomes one. */
void script_to_text(lua_State *lua);
/* The text on the top of the stack is a record derived from the row's. */
void script_emit(lua_State *lua, uint16_t row);
/* Calls the script's entry for the rows at hand, and takes what it returned. */
int script_run(lua_State *lua);
/* Which entry the script has. */
int script_look(lua_State *lua);

#endif
