/* script_json.h: JSON as a script sees it: values of a record's text as Lua values, Lua values as JSON, and members of a text
 * replaced or cut without touching the others.
 *
 * All of it runs inside a protected call: what cannot be done is raised as a Lua error. Texts need not be valid: what is no JSON is
 * an error, never a read past the end.
 * Repeated keys: the first is read; set replaces the first and cuts the others; remove cuts all.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_OPERATORS_STAGES_LUA_SCRIPT_JSON_H
#define SL_OPERATORS_STAGES_LUA_SCRIPT_JSON_H

#include <lua.h>

#include "runtime/base/slice.h"

/* Pushes the value at the path (user.email, user\.email) of the text, nil where there is none or null. */
void script_json_get(lua_State *lua, struct sl_slice text, struct sl_slice path);
/* Pushes a JSON token as a Lua value. */
void script_json_push(lua_State *lua, struct sl_slice token);
/* Adds the value at `index` of the stack to the scratch text. */
void script_json_add(lua_State *lua, int index);
/* Pushes the text with the path's member set to `value` (JSON), or removed where value.data is NULL. */
void script_json_edit(lua_State *lua, struct sl_slice text, struct sl_slice path, struct sl_slice value);

#endif
