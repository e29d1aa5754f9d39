/* script_watch.h: takes the thread back from a script that does not return: out of a compiled loop, where LuaJIT's count hook never
 * fires, or out of a library function (a pattern that backtracks for ever), where no hook can.
 *
 * While a batch is with the script, a timer of the thread's own CPU time ticks every 10 ms by a signal to that thread. A call that
 * has seen more ticks than it may is left by siglongjmp, right out of Lua's machine code. What is left behind is nobody's: the
 * state's whole heap is dropped, never asked again (script_vm.c). That is sound because inside a script nothing but the state's
 * own memory is written: `busy` is set around the few things that are not (malloc, the engine's log), and then the tick waits.
 * The price: code that the JIT compiler had made stays mapped, at most 512 KiB; so a state is compiled no more once it was cut off.
 *
 * States: idle -script_watch_begin-> armed -entered = 1-> in a call -entered = 0-> armed -script_watch_end-> idle
 * Threads: one watch a slot; begin, end and calls on the slot's thread. The signal is SIGVTALRM, which nothing else here uses.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_OPERATORS_STAGES_LUA_SCRIPT_WATCH_H
#define SL_OPERATORS_STAGES_LUA_SCRIPT_WATCH_H

#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <time.h>

enum { SCRIPT_TICK_MS = 10 };

struct script_watch {
    sigjmp_buf out;
    volatile sig_atomic_t entered, busy;
    volatile uint64_t call; /* number of the call that runs */
    uint64_t seen;          /* call of the last tick */
    uint32_t ticks, ticks_max;
    timer_t timer;
    bool armed;
    int thread; /* that the timer belongs to; 0: none */
};

/* `limit_ns` of CPU time a call, rounded up to ticks. */
void script_watch_init(struct script_watch *watch, uint64_t limit_ns);
void script_watch_fini(struct script_watch *watch);
/* False, and no script_watch_end is due: it is armed already, or this system gives no such timer, and scripts are bounded by their
 * instructions only. */
bool script_watch_begin(struct script_watch *watch);
void script_watch_end(struct script_watch *watch);

#endif
