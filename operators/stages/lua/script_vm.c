/* script_vm.c: one Lua state, its sandbox and its bounds.
 * SPDX-License-Identifier: Apache-2.0 */
#include "operators/stages/lua/script_vm.h"

#include <assert.h>
#include <lauxlib.h>
#include <luajit.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VM_STEP = 1000 /* instructions between two looks */, VM_GC_PAUSE = 150 /* percent */ };

struct script_vm *script_vm_of(lua_State *lua)
{
    void *heap = NULL;

    (void)lua_getallocf(lua, &heap);
    return (struct script_vm *)(void *)((char *)heap - offsetof(struct script_vm, heap));
}

/* ---- bounds ---- */

/* Over its budget every single instruction raises, so that no pcall of the script holds it in a loop. */
static void vm_hook(lua_State *lua, lua_Debug *at)
{
    struct script_vm *vm = script_vm_of(lua);

    vm->spent += VM_STEP;
    if (vm->spent <= vm->budget)
        return;
    if (!vm->over)
        (void)lua_sethook(lua, vm_hook, LUA_MASKCOUNT, 1);
    vm->over = true;
    (void)lua_getinfo(lua, "Sl", at);
    (void)luaL_error(lua, "%s:%d: more than %f instructions: an endless loop?", at->short_src, at->currentline, (double)vm->budget);
}

static void vm_drop(struct script_vm *vm, bool sound)
{
    if (vm->lua != NULL && sound) { /* unmaps what was compiled */
        (void)lua_sethook(vm->lua, NULL, 0, 0);
        lua_close(vm->lua);
    }
    vm->lua = NULL;
    vm->scratch = (struct script_text){NULL, 0, 0};
    script_heap_drop(&vm->heap);
}

static enum script_outcome vm_failed(struct script_vm *vm, int status)
{
    bool text = lua_type(vm->lua, -1) == LUA_TSTRING;
    enum script_outcome outcome = SCRIPT_ERROR;

    if (vm->over)
        outcome = SCRIPT_BUDGET;
    else if (status == LUA_ERRMEM || vm->starved)
        outcome = SCRIPT_MEMORY;
    if (outcome == SCRIPT_MEMORY)
        (void)snprintf(vm->message, sizeof(vm->message), "%s: more than %zu KiB of memory", vm->code.chunk + 1, vm->heap.max_bytes >> 10);
    else
        (void)snprintf(vm->message, sizeof(vm->message), "%s", text ? lua_tostring(vm->lua, -1) : "an error that is no text");
    if (outcome == SCRIPT_ERROR)
        lua_settop(vm->lua, 0);
    else
        vm_drop(vm, true);
    return outcome;
}

enum script_outcome script_vm_call(struct script_vm *vm, int args, int results, uint64_t budget)
{
    int status;

    assert(vm->lua != NULL && lua_gettop(vm->lua) == args + 1);
    vm->budget = budget;
    vm->spent = 0;
    vm->over = vm->starved = false;
    vm->watch.call++;
    if (sigsetjmp(vm->watch.out, 0) != 0) { /* from script_watch.c: the state may be in the middle of anything */
        (void)snprintf(vm->message, sizeof(vm->message), "%s: more than %u ms of CPU time in one call%s", vm->code.chunk + 1,
                       vm->watch.ticks_max * SCRIPT_TICK_MS, vm->jit ? "; from now on it is interpreted" : "");
        vm->jit = false;
        vm_drop(vm, false);
        return SCRIPT_STUCK;
    }
    vm->watch.entered = 1;
    status = lua_pcall(vm->lua, args, results, 0);
    vm->watch.entered = 0;
    if (status == 0 && vm->over) {
        (void)snprintf(vm->message, sizeof(vm->message), "%s: more than %llu instructions, and it caught the error that said so",
                       vm->code.chunk + 1, (unsigned long long)vm->budget);
        vm_drop(vm, true);
        return SCRIPT_BUDGET;
    }
    return status == 0 ? SCRIPT_FINE : vm_failed(vm, status);
}

/* ---- the sandbox ---- */

static void vm_library(lua_State *lua, const char *name, lua_CFunction open)
{
    lua_pushcfunction(lua, open);
    lua_pushstring(lua, name);
    lua_call(lua, 1, 0);
}

/* What could read files, run byte code, load modules or reach behind the sandbox. */
static void vm_forbid(lua_State *lua)
{
    static const char *const names[] = {"dofile", "loadfile", "load", "loadstring", "require", "module", "package", "newproxy",
                                        "collectgarbage", "gcinfo", "jit", "print", "io", "os", "debug", "ffi"};

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        lua_pushnil(lua);
        lua_setglobal(lua, names[i]);
    }
    lua_getglobal(lua, LUA_STRLIBNAME);
    lua_pushnil(lua);
    lua_setfield(lua, -2, "dump");
    lua_pop(lua, 1);
}

static int vm_build(lua_State *lua)
{
    struct script_vm *vm = script_vm_of(lua);

    vm_library(lua, "", luaopen_base);
    vm_library(lua, LUA_STRLIBNAME, luaopen_string);
    vm_library(lua, LUA_TABLIBNAME, luaopen_table);
    vm_library(lua, LUA_MATHLIBNAME, luaopen_math);
    vm_library(lua, LUA_BITLIBNAME, luaopen_bit);
    if (vm->jit) /* it is this library that makes the compiler available */
        vm_library(lua, LUA_JITLIBNAME, luaopen_jit);
    (void)luaJIT_setmode(lua, 0, LUAJIT_MODE_ENGINE | (vm->jit ? LUAJIT_MODE_ON : LUAJIT_MODE_OFF));
    /* A shorter pause than Lua's own: dead strings lengthen the chains that new ones are looked up in (150 ns a string against 170),
     * and garbage counts against the state's memory. */
    (void)lua_gc(lua, LUA_GCSETPAUSE, VM_GC_PAUSE);
    vm_forbid(lua);
    lua_settop(lua, 0);
    vm->install(lua);
    lua_settop(lua, 0);
    if (luaL_loadbufferx(lua, vm->code.text.data, vm->code.text.bytes, vm->code.chunk, "t") != 0)
        return lua_error(lua);
    lua_call(lua, 0, 0);
    return 0;
}

int script_vm_start(struct script_vm *vm, uint64_t budget)
{
    bool watched = script_watch_begin(&vm->watch);
    enum script_outcome outcome = SCRIPT_MEMORY;

    assert(vm->lua == NULL);
    vm->starts++;
    vm->lua = lua_newstate(script_heap_alloc, &vm->heap);
    if (vm->lua != NULL && lua_checkstack(vm->lua, 64) != 0) {
        if (!vm->jit)
            (void)lua_sethook(vm->lua, vm_hook, LUA_MASKCOUNT, VM_STEP);
        lua_pushcfunction(vm->lua, vm_build); /* the first bytes of a state fit into the least memory that may be set */
        outcome = script_vm_call(vm, 0, 0, budget);
    } else {
        (void)snprintf(vm->message, sizeof(vm->message), "no memory for a Lua state");
    }
    if (watched)
        script_watch_end(&vm->watch);
    if (outcome == SCRIPT_FINE)
        return 0;
    vm_drop(vm, outcome == SCRIPT_ERROR);
    return -1;
}

void script_vm_init(struct script_vm *vm, const struct script_code *code, const struct script_limits *limits,
                    void (*install)(lua_State *lua), void *user)
{
    memset(vm, 0, sizeof(*vm));
    vm->code = *code;
    vm->limits = *limits;
    vm->jit = limits->jit;
    vm->install = install;
    vm->user = user;
    script_watch_init(&vm->watch, limits->call_ns);
    script_heap_init(&vm->heap, limits->memory_bytes, &vm->watch.busy);
}

void script_vm_fini(struct script_vm *vm)
{
    vm_drop(vm, true);
    script_watch_fini(&vm->watch);
}

/* ---- scratch ---- */

void script_text_begin(lua_State *lua)
{
    script_vm_of(lua)->scratch.bytes = 0;
}

void script_text_add(lua_State *lua, const void *data, size_t bytes)
{
    struct script_vm *vm = script_vm_of(lua);
    struct script_text *text = &vm->scratch;

    if (text->capacity - text->bytes < bytes) {
        size_t capacity = text->capacity < 512 ? 1024 : 2 * text->capacity;
        char *grown;
        while (capacity < text->bytes + bytes)
            capacity *= 2;
        grown = script_heap_alloc(&vm->heap, text->data, text->capacity, capacity);
        if (grown == NULL) {
            vm->starved = true;
            (void)luaL_error(lua, "not enough memory");
            return;
        }
        text->data = grown;
        text->capacity = capacity;
    }
    if (bytes > 0)
        memcpy(text->data + text->bytes, data, bytes);
    text->bytes += bytes;
}

void script_text_push(lua_State *lua)
{
    const struct script_text *text = &script_vm_of(lua)->scratch;

    lua_pushlstring(lua, text->bytes == 0 ? "" : text->data, text->bytes);
}
