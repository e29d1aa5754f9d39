/* giver.h: the process that hands over: starts the new one, gives it everything, and takes it back where the new one does not run.
 *
 *   IDLE --start--> WARM --ready--> FLUSH --flushed--> DRAIN --idle--> HAND --running--> OVER: this process ends
 *                    |                |                  |               |
 *                    |                |                  |               +- it dies, says failed, or time is up: killed, then reopen
 *                    |                |                  +- it dies: the drain goes on (it cannot be called back), then as above
 *                    +- it dies, says refused, or time is up: killed; nothing was touched
 *
 * Invariants: 1. What is closed is reopened only after the new process has certainly ended: both the child, and whoever said hello, are
 * waited for after the kill. 2. The data folder's lock is never free. 3. From `go` to `running` or its end the new process alone may
 * write; before and after that this one alone.
 * A flush or a drain that takes too long does not call it off: what a sick sink held back was never committed, so the new process
 * reads it again.
 * Threads: one, that of the loop. The hooks are called from it and from the functions below.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_UPGRADE_GIVER_H
#define SL_RUNTIME_UPGRADE_GIVER_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "runtime/base/err.h"

struct sl_giver;

enum sl_giver_state { SL_GIVER_IDLE, SL_GIVER_WARM, SL_GIVER_FLUSH, SL_GIVER_DRAIN, SL_GIVER_HAND, SL_GIVER_KILL, SL_GIVER_OVER };

struct sl_giver_report {
    long pid;               /* of the new process; 0: it never said hello */
    uint64_t warm_ns;       /* from its start to ready */
    uint64_t flush_ns;
    uint64_t drain_ns;      /* from the stop of reading to the last commit */
    uint64_t close_ns;      /* until all was closed and handed over */
    uint64_t open_ns;       /* until it said that it runs */
    uint64_t last_taken_ns; /* instants; 0: no record came */
    uint64_t first_taken_ns;
    uint64_t gap_ns;        /* between the two; 0: not known */
    bool drained;           /* everything that was taken was committed */
};

struct sl_giver_hooks {
    void *user;
    /* Commit what was taken; reading goes on. flushed and idle are asked every other millisecond. */
    void (*flush)(void *user);
    bool (*flushed)(void *user);
    void (*drain)(void *user); /* reading stops */
    bool (*idle)(void *user);
    /* Close all that a successor opens; listening sockets are kept already. *ret_lock: of the data folder. Nothing may fail but the
     * lock; it is taken first. */
    int (*close)(void *user, int *ret_lock, struct sl_err *err);
    /* What the new one has to know before it warms up, by sl_wire_send. */
    int (*tell)(void *user, int wire, struct sl_err *err);
    uint64_t (*last_taken_ns)(void *user);
    /* Take it all back; the lock is adopted already. */
    int (*reopen)(void *user, struct sl_err *err);
    /* A step, for a person. */
    void (*said)(void *user, enum sl_giver_state state, const char *text);
    /* why NULL: the new one runs, end this process. Else: this one goes on (lost: it could not be reopened, end with an error). */
    void (*ended)(void *user, const struct sl_giver_report *report, const char *why, bool lost);
};

struct sl_giver_limits { /* ms; 0: the default */
    uint32_t warm, flush, drain, report;
};
enum { SL_GIVER_WARM_MS = 60000, SL_GIVER_FLUSH_MS = 5000, SL_GIVER_DRAIN_MS = 10000, SL_GIVER_REPORT_MS = 30000 };

struct sl_giver *sl_giver_new(uv_loop_t *loop, const struct sl_giver_hooks *hooks, struct sl_err *err);
/* args: the new process's, NULL at its end; args[0] is not looked at: file is run, found by PATH if it has no slash. Fails where it is
 * under way, or the file cannot be run. */
int sl_giver_start(struct sl_giver *giver, const char *file, char *const *args, const struct sl_giver_limits *limits, struct sl_err *err);
enum sl_giver_state sl_giver_state(const struct sl_giver *giver);
/* A signal asked this process to end: the new one is killed. True: `ended` will be called when that is done, and nothing is reopened. */
bool sl_giver_stop(struct sl_giver *giver);
/* Before the loop is closed; its handles are closed by the loop's owner (uv_walk). The memory goes with sl_giver_free, after that. */
struct sl_giver *sl_giver_free(struct sl_giver *giver);

#endif
