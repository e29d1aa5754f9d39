/* blame.h: which stage of which generation runs on this thread, so that a crash can name it (rule J2; deploy/blame.h writes it down).
 *
 * The engine makes a frame for every operator of a plan when it opens it, stores it around that operator's calls (sl_blame_enter: one
 * store), and clears it behind the last one of a batch (sl_blame_leave). What it does without a frame names nobody. Threads that run
 * stages call sl_blame_thread() once at their start: a stack that has overflowed leaves no room for a signal's handler.
 * Ownership: the caller's; a frame and its texts live until the thread has entered another one or left.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_BASE_BLAME_H
#define SL_RUNTIME_BASE_BLAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Sanitizers have handlers and stacks of their own. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SL_BLAME_OFF 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SL_BLAME_OFF 1
#endif
#endif
#ifndef SL_BLAME_OFF
#define SL_BLAME_OFF 0
#endif

struct sl_blame_frame {
    const char *topology, *component;
    uint32_t generation;
    bool foreign; /* code that did not come with Sluice: a plugin, a script */
};

/* initial-exec: a handler may read it, whatever the thread was doing. */
extern _Thread_local const struct sl_blame_frame *volatile sl_blame_now __attribute__((tls_model("initial-exec")));

static inline void sl_blame_enter(const struct sl_blame_frame *frame)
{
    sl_blame_now = frame;
}

static inline void sl_blame_leave(void)
{
    sl_blame_now = NULL;
}

/* Gives the calling thread a stack for signals, until it ends; a second call does nothing. Without memory for one, only an overflow of
 * the thread's stack goes unnamed. */
void sl_blame_thread(void);

#endif
