/* script_json.c: JSON as a script sees it.
 * SPDX-License-Identifier: Apache-2.0 */
#include "operators/stages/lua/script_json.h"

#include <lauxlib.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "operators/stages/lua/script_vm.h"
#include "runtime/json/json_text.h"

enum { JSON_DEPTH = 64, JSON_KEY_MAX = 512 };

struct json_at {
    lua_State *lua;
    const char *at, *end;
};

static int json_wrong(struct json_at *json)
{
    return luaL_error(json->lua, "the record is not valid JSON");
}

static void json_blanks(struct json_at *json)
{
    while (json->at < json->end && (*json->at == ' ' || *json->at == '\t' || *json->at == '\n' || *json->at == '\r'))
        json->at++;
}

static char json_peek(struct json_at *json)
{
    json_blanks(json);
    return json->at < json->end ? *json->at : '\0';
}

static bool json_take(struct json_at *json, char c)
{
    if (json_peek(json) != c)
        return false;
    json->at++;
    return true;
}

/* Of a string, quotes included. */
static struct sl_slice json_string(struct json_at *json)
{
    const char *from = json->at++;

    while (json->at < json->end && *json->at != '"')
        json->at += *json->at == '\\' ? 2 : 1;
    if (json->at >= json->end)
        (void)json_wrong(json);
    json->at++;
    return (struct sl_slice){from, (uint32_t)(json->at - from)};
}

/* The next value as it stands: brackets are counted, not checked; the decoder has seen the text. */
static struct sl_slice json_value(struct json_at *json)
{
    const char *from;
    uint32_t depth = 0;

    (void)json_peek(json);
    from = json->at;
    do {
        char c = json->at < json->end ? *json->at : '\0';
        if (c == '\0')
            (void)json_wrong(json);
        if (c == '"') {
            (void)json_string(json);
            continue;
        }
        if (depth == 0 && (c == ',' || c == ']' || c == '}' || c == ':'))
            (void)json_wrong(json);
        json->at++;
        if (c == '{' || c == '[')
            depth++;
        else if (c == '}' || c == ']')
            depth--;
        else if (depth == 0)
            while (json->at < json->end && strchr(",]} \t\r\n", *json->at) == NULL)
                json->at++;
    } while (depth > 0);
    return (struct sl_slice){from, (uint32_t)(json->at - from)};
}

/* ---- paths ---- */

/* Cuts the first segment off; "\." is a dot of the key. A leading dot is the payload's own, as in conditions. */
static struct sl_slice path_next(struct sl_slice *path, char key[JSON_KEY_MAX])
{
    uint32_t bytes = 0, at = 0;

    for (; at < path->bytes && path->data[at] != '.'; at++) {
        if (path->data[at] == '\\' && at + 1 < path->bytes)
            at++;
        if (bytes < JSON_KEY_MAX)
            key[bytes++] = path->data[at];
    }
    at += at < path->bytes;
    path->data += at;
    path->bytes -= at;
    return (struct sl_slice){key, bytes};
}

static struct sl_slice path_first(lua_State *lua, struct sl_slice path)
{
    if (path.bytes > 0 && path.data[0] == '.') {
        path.data++;
        path.bytes--;
    }
    if (path.bytes == 0 || path.bytes >= JSON_KEY_MAX)
        (void)luaL_error(lua, "a field's name has 1 to %d bytes", JSON_KEY_MAX - 1);
    return path;
}

static bool key_is(struct sl_slice quoted, struct sl_slice key)
{
    struct sl_slice inside = {quoted.data + 1, quoted.bytes - 2};
    char plain[JSON_KEY_MAX * 6];
    uint32_t bytes = 0;

    if (memchr(inside.data, '\\', inside.bytes) == NULL)
        return sl_slice_eq(inside, key);
    if (inside.bytes > sizeof(plain) || sl_json_unescape(inside, plain, &bytes) != 0)
        return false;
    return sl_slice_eq((struct sl_slice){plain, bytes}, key);
}

/* Next member of an object: false at its end. Begins behind the brace. */
static bool json_member(struct json_at *json, bool *first, struct sl_slice *ret_key)
{
    if (json_take(json, '}'))
        return false;
    if (!*first && !json_take(json, ','))
        (void)json_wrong(json);
    *first = false;
    if (json_peek(json) != '"')
        (void)json_wrong(json);
    *ret_key = json_string(json);
    if (!json_take(json, ':'))
        (void)json_wrong(json);
    (void)json_peek(json);
    return true;
}

void script_json_get(lua_State *lua, struct sl_slice text, struct sl_slice path)
{
    struct json_at json = {lua, text.data, text.data + text.bytes};
    char key[JSON_KEY_MAX];
    struct sl_slice segment, found = {NULL, 0}, at;

    path = path_first(lua, path);
    do {
        bool first = true;
        segment = path_next(&path, key);
        found.data = NULL;
        if (!json_take(&json, '{'))
            break;
        while (found.data == NULL && json_member(&json, &first, &at)) {
            struct sl_slice value = json_value(&json);
            if (key_is(at, segment))
                found = value;
        }
        if (found.data != NULL)
            json = (struct json_at){lua, found.data, found.data + found.bytes};
    } while (found.data != NULL && path.bytes > 0);
    if (found.data == NULL)
        lua_pushnil(lua);
    else
        script_json_push(lua, found);
}

/* ---- to Lua ---- */

static void push_string(lua_State *lua, struct sl_slice quoted)
{
    struct sl_slice inside = {quoted.data + 1, quoted.bytes - 2};
    uint32_t bytes = 0;
    char *plain;

    if (memchr(inside.data, '\\', inside.bytes) == NULL) {
        lua_pushlstring(lua, inside.data, inside.bytes);
        return;
    }
    plain = lua_newuserdata(lua, inside.bytes + 1u);
    if (sl_json_unescape(inside, plain, &bytes) != 0)
        (void)luaL_error(lua, "the record is not valid JSON: a bad escape");
    lua_pushlstring(lua, plain, bytes);
    lua_remove(lua, -2);
}

static void push_number(struct json_at *json, struct sl_slice token)
{
    char text[64];
    int64_t whole = 0;
    uint32_t at = 0;

    for (; at < token.bytes && at < 15 && token.data[at] >= '0' && token.data[at] <= '9'; at++)
        whole = whole * 10 + (token.data[at] - '0');
    if (at == token.bytes && at > 0) { /* most numbers of a log */
        lua_pushnumber(json->lua, (double)whole);
        return;
    }
    if (token.bytes >= sizeof(text) || !sl_json_is_number(token))
        (void)json_wrong(json);
    memcpy(text, token.data, token.bytes);
    text[token.bytes] = '\0';
    lua_pushnumber(json->lua, strtod(text, NULL));
}

static void push_value(struct json_at *json, uint32_t depth);

static void push_object(struct json_at *json, uint32_t depth)
{
    bool first = true;
    struct sl_slice key;

    json->at++;
    lua_newtable(json->lua);
    while (json_member(json, &first, &key)) {
        push_string(json->lua, key);
        lua_pushvalue(json->lua, -1);
        lua_rawget(json->lua, -3);
        if (lua_isnil(json->lua, -1)) { /* the first one wins */
            lua_pop(json->lua, 1);
            push_value(json, depth + 1);
            lua_rawset(json->lua, -3);
            continue;
        }
        lua_pop(json->lua, 2);
        (void)json_value(json);
    }
}

static void push_array(struct json_at *json, uint32_t depth)
{
    int count = 0;

    json->at++;
    lua_newtable(json->lua);
    if (json_take(json, ']'))
        return;
    do {
        push_value(json, depth + 1);
        lua_rawseti(json->lua, -2, ++count);
    } while (json_take(json, ','));
    if (!json_take(json, ']'))
        (void)json_wrong(json);
}

static void push_value(struct json_at *json, uint32_t depth)
{
    char c = json_peek(json);

    if (depth > JSON_DEPTH || lua_checkstack(json->lua, 8) == 0)
        (void)luaL_error(json->lua, "a value of more than %d levels", JSON_DEPTH);
    if (c == '{')
        push_object(json, depth);
    else if (c == '[')
        push_array(json, depth);
    else if (c == '"')
        push_string(json->lua, json_string(json));
    else {
        struct sl_slice token = json_value(json);
        if (sl_slice_is(token, "true") || sl_slice_is(token, "false"))
            lua_pushboolean(json->lua, c == 't');
        else if (sl_slice_is(token, "null"))
            lua_pushnil(json->lua);
        else
            push_number(json, token);
    }
}

void script_json_push(lua_State *lua, struct sl_slice token)
{
    struct json_at json = {lua, token.data, token.data + token.bytes};

    push_value(&json, 0);
}

/* ---- from Lua ---- */

static void add_text(lua_State *lua, const char *text)
{
    script_text_add(lua, text, strlen(text));
}

static void add_quoted(lua_State *lua, struct sl_slice text)
{
    static const char hex[] = "0123456789abcdef";
    uint32_t from = 0;

    script_text_add(lua, "\"", 1);
    for (uint32_t i = 0; i < text.bytes; i++) {
        unsigned char c = (unsigned char)text.data[i];
        char escape[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        script_text_add(lua, text.data + from, i - from);
        from = i + 1;
        if (c == '"' || c == '\\')
            escape[1] = (char)c;
        else if (c == '\n')
            escape[1] = 'n';
        else if (c == '\t')
            escape[1] = 't';
        script_text_add(lua, escape, escape[1] == 'u' ? 6 : 2);
    }
    script_text_add(lua, text.data + from, text.bytes - from);
    script_text_add(lua, "\"", 1);
}

static void add_number(lua_State *lua, double number)
{
    struct script_vm *vm = script_vm_of(lua);
    char text[40];
    bool whole = number == floor(number) && fabs(number) < 9007199254740992.0;

    if (isnan(number) || isinf(number)) {
        (void)luaL_error(lua, "JSON knows no %s", isnan(number) ? "NaN" : "infinity");
        return;
    }
    vm->watch.busy = 1; /* libc's printf is not to be left halfway */
    (void)snprintf(text, sizeof(text), whole ? "%.0f" : "%.15g", number);
    if (!whole && strtod(text, NULL) != number)
        (void)snprintf(text, sizeof(text), "%.17g", number);
    vm->watch.busy = 0;
    add_text(lua, text);
}

static void add_value(lua_State *lua, int index, uint32_t depth);

static void add_array(lua_State *lua, int index, size_t count, uint32_t depth)
{
    add_text(lua, "[");
    for (size_t i = 1; i <= count; i++) {
        lua_rawgeti(lua, index, (int)i);
        if (i > 1)
            add_text(lua, ",");
        add_value(lua, lua_gettop(lua), depth + 1);
        lua_pop(lua, 1);
    }
    add_text(lua, "]");
}

/* Lua's own order of keys differs from process to process; a record read again must have the same bytes. */
static int add_order(const void *left, const void *right)
{
    const struct sl_slice *a = left, *b = right;
    int order = memcmp(a->data, b->data, a->bytes < b->bytes ? a->bytes : b->bytes);

    return order != 0 ? order : (a->bytes > b->bytes) - (a->bytes < b->bytes);
}

/* The keys, sorted, in a userdata on the top of the stack; their text stays with the table. */
static struct sl_slice *add_keys(lua_State *lua, int index, size_t *ret_count)
{
    struct script_vm *vm = script_vm_of(lua);
    struct sl_slice *keys;
    size_t count = 0, at = 0;

    for (lua_pushnil(lua); lua_next(lua, index) != 0; lua_pop(lua, 1)) {
        if (lua_type(lua, -2) != LUA_TSTRING)
            (void)luaL_error(lua, "a table's key is a %s: JSON's keys are strings, or 1, 2, 3 ... for a list",
                             luaL_typename(lua, -2));
        count++;
    }
    keys = lua_newuserdata(lua, (count + 1) * sizeof(*keys));
    for (lua_pushnil(lua); lua_next(lua, index) != 0; lua_pop(lua, 1)) {
        size_t bytes = 0;
        keys[at].data = lua_tolstring(lua, -2, &bytes);
        keys[at++].bytes = (uint32_t)bytes;
    }
    vm->watch.busy = 1; /* libc's sort may take memory */
    qsort(keys, count, sizeof(*keys), add_order);
    vm->watch.busy = 0;
    *ret_count = count;
    return keys;
}

static void add_table(lua_State *lua, int index, uint32_t depth)
{
    size_t count = lua_objlen(lua, index);
    const struct sl_slice *keys;

    if (count > 0) {
        add_array(lua, index, count, depth);
        return;
    }
    keys = add_keys(lua, index, &count);
    add_text(lua, "{");
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            add_text(lua, ",");
        add_quoted(lua, keys[i]);
        add_text(lua, ":");
        lua_pushlstring(lua, keys[i].data, keys[i].bytes);
        lua_rawget(lua, index);
        add_value(lua, lua_gettop(lua), depth + 1);
        lua_pop(lua, 1);
    }
    lua_pop(lua, 1);
    add_text(lua, "}");
}

static void add_value(lua_State *lua, int index, uint32_t depth)
{
    struct sl_slice text;
    size_t bytes = 0;

    if (depth > JSON_DEPTH || lua_checkstack(lua, 8) == 0)
        (void)luaL_error(lua, "a table of more than %d levels, or one that contains itself", JSON_DEPTH);
    switch (lua_type(lua, index)) {
    case LUA_TNIL:
        add_text(lua, "null");
        return;
    case LUA_TBOOLEAN:
        add_text(lua, lua_toboolean(lua, index) ? "true" : "false");
        return;
    case LUA_TNUMBER:
        add_number(lua, lua_tonumber(lua, index));
        return;
    case LUA_TSTRING:
        text.data = lua_tolstring(lua, index, &bytes);
        text.bytes = (uint32_t)bytes;
        add_quoted(lua, text);
        return;
    case LUA_TTABLE:
        add_table(lua, index, depth);
        return;
    default:
        (void)luaL_error(lua, "a %s is no JSON value", luaL_typename(lua, index));
    }
}

void script_json_add(lua_State *lua, int index)
{
    add_value(lua, index < 0 ? lua_gettop(lua) + 1 + index : index, 0);
}

/* ---- edits ---- */

struct json_edit {
    struct json_at json;
    struct sl_slice value;
    bool done;
};

/* The rest of a path that the record does not have: nested objects around the value. */
static void edit_missing(struct json_edit *edit, struct sl_slice segment, struct sl_slice path)
{
    lua_State *lua = edit->json.lua;
    char key[JSON_KEY_MAX];
    uint32_t objects = 0;

    add_quoted(lua, segment);
    add_text(lua, ":");
    for (; path.bytes > 0; objects++) {
        add_text(lua, "{");
        add_quoted(lua, path_next(&path, key));
        add_text(lua, ":");
    }
    script_text_add(lua, edit->value.data, edit->value.bytes);
    for (; objects > 0; objects--)
        add_text(lua, "}");
    edit->done = true;
}

static void edit_object(struct json_edit *edit, struct sl_slice path, uint32_t depth);

/* The member that the path names here. Adds it with its key, or nothing. */
static bool edit_member(struct json_edit *edit, struct sl_slice key, struct sl_slice path, uint32_t depth, bool comma)
{
    lua_State *lua = edit->json.lua;
    bool set = edit->value.data != NULL, object = json_peek(&edit->json) == '{';

    if (path.bytes == 0 && (!set || edit->done)) {
        (void)json_value(&edit->json);
        return false;
    }
    if (path.bytes > 0 && !object && set && !edit->done) {
        lua_pushlstring(lua, key.data, key.bytes);
        (void)luaL_error(lua, "the field cannot be set below %s, which is no object", lua_tostring(lua, -1));
    }
    if (comma)
        add_text(lua, ",");
    script_text_add(lua, key.data, key.bytes);
    add_text(lua, ":");
    if (path.bytes > 0 && object && !(set && edit->done)) {
        edit_object(edit, path, depth + 1);
        return true;
    }
    key = json_value(&edit->json);
    if (path.bytes == 0) {
        key = edit->value;
        edit->done = true;
    }
    script_text_add(lua, key.data, key.bytes);
    return true;
}

static void edit_object(struct json_edit *edit, struct sl_slice path, uint32_t depth)
{
    lua_State *lua = edit->json.lua;
    char plain[JSON_KEY_MAX];
    struct sl_slice segment = path_next(&path, plain), key;
    bool first = true, some = false;

    if (depth > JSON_DEPTH)
        (void)luaL_error(lua, "a path of more than %d levels", JSON_DEPTH);
    if (!json_take(&edit->json, '{'))
        (void)luaL_error(lua, "the record is no JSON object, so it has no fields to change");
    add_text(lua, "{");
    while (json_member(&edit->json, &first, &key)) {
        struct sl_slice value;
        if (key_is(key, segment)) {
            some = edit_member(edit, key, path, depth, some) || some;
            continue;
        }
        value = json_value(&edit->json);
        if (some)
            add_text(lua, ",");
        script_text_add(lua, key.data, (size_t)(value.data + value.bytes - key.data));
        some = true;
    }
    if (edit->value.data != NULL && !edit->done) {
        if (some)
            add_text(lua, ",");
        edit_missing(edit, segment, path);
    }
    add_text(lua, "}");
}

void script_json_edit(lua_State *lua, struct sl_slice text, struct sl_slice path, struct sl_slice value)
{
    struct json_edit edit = {{lua, text.data, text.data + text.bytes}, value, false};

    script_text_begin(lua);
    edit_object(&edit, path_first(lua, path), 0);
    script_text_push(lua);
}
