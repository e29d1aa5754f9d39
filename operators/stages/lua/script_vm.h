/* script_vm.h: one Lua state with nothing in reach but what it computes with: base, string, table, math, bit, coroutine, and the api
 * of script_api.c. No files, no processes, no modules, no FFI, no byte code, no debug library.
 *
 * Bounds of a call: instructions (the count hook; the same for the same input, so a second reading ends alike), memory
 * (script_heap.h), CPU time (script_watch.h; it catches what no hook can). A call that met a bound, or that ran out of memory, costs
 * the state: it is dropped, and the next call begins with a new one, in which the script's top level has run again.
 * Compiled (`jit`): no hook, since it would never fire; time alone bounds a call, and the first one that is cut off ends
 * compilation for this state's life.
 *
 * States: empty -script_vm_start-> ready; ready -script_vm_call: FINE or ERROR-> ready, else-> empty.
 * Threads: the slot's.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_OPERATORS_STAGES_LUA_SCRIPT_VM_H
#define SL_OPERATORS_STAGES_LUA_SCRIPT_VM_H

#include <lua.h>

#include "operators/stages/lua/script_heap.h"
#include "operators/stages/lua/script_watch.h"
#include "runtime/base/err.h"
#include "runtime/base/slice.h"

enum script_outcome { SCRIPT_FINE, SCRIPT_ERROR, SCRIPT_BUDGET, SCRIPT_MEMORY, SCRIPT_STUCK };

struct script_code {
    struct sl_slice text;
    const char *chunk; /* "@mask.lua" or "=source": how messages call it */
};

struct script_limits {
    uint64_t memory_bytes, call_ns;
    bool jit;
};

struct script_text { /* grows in the state's heap, so it goes with it */
    char *data;
    size_t bytes, capacity;
};

struct script_vm {
    lua_State *lua; /* NULL: empty */
    struct script_heap heap;
    struct script_watch watch;
    struct script_code code;
    struct script_limits limits;
    void (*install)(lua_State *lua); /* the api; runs protected */
    void *user;
    struct script_text scratch;
    uint64_t budget, spent;
    bool over, starved, jit;
    uint64_t starts;
    char message[320]; /* of the last outcome that was not FINE */
};

void script_vm_init(struct script_vm *vm, const struct script_code *code, const struct script_limits *limits,
                    void (*install)(lua_State *lua), void *user);
void script_vm_fini(struct script_vm *vm);
/* A new state: libraries, api, the script's top level, for which it has `budget` instructions. 0, or -1 and vm->message. */
int script_vm_start(struct script_vm *vm, uint64_t budget);
/* Calls the function below `args` arguments on the stack. FINE: `results` results are there, else nothing is. */
enum script_outcome script_vm_call(struct script_vm *vm, int args, int results, uint64_t budget);
/* The machine behind a state. */
struct script_vm *script_vm_of(lua_State *lua);

/* ---- the scratch text, for code that runs inside a call ---- */
void script_text_begin(lua_State *lua);
void script_text_add(lua_State *lua, const void *data, size_t bytes); /* raises when memory is short */
void script_text_push(lua_State *lua);                               /* as a string */

#endif
