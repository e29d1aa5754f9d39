/* fuzz_script_json.c: a field's name (first line) and any bytes as a record in a script's hands: nothing crashes or reads past the
 * end; of a JSON object, what was set is read back, what was removed is gone, and the rest is JSON still.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

#ifdef SLUICE_LUA
#include <lauxlib.h>

#include "operators/stages/lua/script_json.h"
#include "operators/stages/lua/script_vm.h"
#include "runtime/base/utf8.h"
#include "runtime/json/json.h"

static struct script_vm vm;
static struct sl_slice path, record;

static void fuzz_check(bool holds, const char *what)
{
    if (!holds) {
        (void)fprintf(stderr, "fuzz_script_json: %s: %.*s in %.*s\n", what, (int)path.bytes, path.data, (int)record.bytes, record.data);
        abort();
    }
}

static bool fuzz_is_json(const char *text, size_t bytes)
{
    static struct sl_json_decoder *decoder;
    struct sl_json_projection projection = {NULL, 0, true};
    struct sl_arena arena;
    struct sl_slice padded;
    uint16_t row = 0;
    uint8_t verdict = SL_JSON_NOT_JSON;

    if (decoder == NULL && sl_json_decoder_new(&projection, &decoder, NULL) != 0)
        abort();
    fuzz_check(sl_arena_init(&arena, 1 << 16, 1 << 26) == 0, "memory");
    padded = sl_arena_copy(&arena, (struct sl_slice){text, (uint32_t)bytes});
    fuzz_check(sl_json_decode(decoder, &padded, &row, 1, NULL, &verdict, &arena) == 0, "memory");
    sl_arena_fini(&arena);
    return verdict == SL_JSON_FINE;
}

/* The text at the top of the stack. */
static struct sl_slice fuzz_text(lua_State *lua)
{
    size_t bytes = 0;
    const char *text = lua_tolstring(lua, -1, &bytes);

    return (struct sl_slice){text, (uint32_t)bytes};
}

static int fuzz_run(lua_State *lua)
{
    struct sl_slice changed;
    /* a key that is not UTF-8 makes a record that is refused behind the script, as a string of its would */
    bool json = fuzz_is_json(record.data, record.bytes) && sl_utf8_valid(path);

    script_json_get(lua, record, path);
    script_json_edit(lua, record, path, (struct sl_slice){"\"v\"", 3});
    changed = fuzz_text(lua);
    fuzz_check(!json || fuzz_is_json(changed.data, changed.bytes), "a set field broke the record");
    script_json_get(lua, changed, path);
    fuzz_check(!json || sl_slice_is(fuzz_text(lua), "v"), "what was set is not read");
    script_json_edit(lua, changed, path, (struct sl_slice){NULL, 0});
    changed = fuzz_text(lua);
    fuzz_check(!json || fuzz_is_json(changed.data, changed.bytes), "a removed field broke the record");
    script_json_get(lua, changed, path);
    fuzz_check(!json || lua_isnil(lua, -1), "what was removed is read");
    script_json_push(lua, record);
    script_text_begin(lua);
    script_json_add(lua, -1);
    script_text_push(lua);
    changed = fuzz_text(lua);
    fuzz_check(!json || fuzz_is_json(changed.data, changed.bytes), "a table is no JSON");
    return 0;
}

/* The function under test is the only thing in the state. */
static void fuzz_install(lua_State *lua)
{
    lua_pushcfunction(lua, fuzz_run);
    lua_rawseti(lua, LUA_REGISTRYINDEX, 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    static const struct script_code code = {{"", 0}, "=fuzz"};
    static const struct script_limits limits = {16 << 20, 1000000000, false};
    const char *text = (const char *)data, *line = memchr(text, '\n', bytes);
    char *exact;

    if (line == NULL || bytes > 1 << 16)
        return 0;
    path = (struct sl_slice){text, (uint32_t)(line - text)};
    exact = malloc(bytes); /* ends where the record ends */
    fuzz_check(exact != NULL, "memory");
    memcpy(exact, line + 1, bytes - path.bytes - 1);
    record = (struct sl_slice){exact, (uint32_t)(bytes - path.bytes - 1)};
    if (vm.lua == NULL) {
        script_vm_init(&vm, &code, &limits, fuzz_install, NULL);
        fuzz_check(script_vm_start(&vm, 1000000) == 0, "no state");
    }
    lua_rawgeti(vm.lua, LUA_REGISTRYINDEX, 1);
    (void)script_vm_call(&vm, 0, 0, 1000000);
    if (vm.lua == NULL) /* a bound was met */
        script_vm_fini(&vm);
    free(exact);
    return 0;
}
#else
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    (void)data;
    (void)bytes;
    return 0;
}
#endif
