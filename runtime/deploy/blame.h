/* blame.h: what is left of a crash: in whose code the process died, for the next start (rule J2).
 *
 * DIR/blame: rows of a fixed size, each written by the handler of a fatal signal in the process that dies. A row names a stage only if
 * the thread was in its code (base/blame.h) and the signal came of that code: not one that somebody else sent. A kill -9 leaves none.
 * The handler then hands on to whoever had the signal before it, so that core dumps are as they were. Under sanitizers it is not
 * installed. Rows outlive the process, not the host: they are not synced.
 * Threads: open and take any, one at a time; the handler whichever crashes first, others wait for it.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_DEPLOY_BLAME_H
#define SL_RUNTIME_DEPLOY_BLAME_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/err.h"
#include "runtime/base/fs.h"

enum { SL_BLAME_ROWS = 64 /* kept; the oldest go first */, SL_BLAME_NAME = 65, SL_BLAME_WITHIN_MS = 60000 };

struct sl_blame_row {
    int64_t unix_ms;
    uint64_t address; /* what it faulted on; 0 for abort */
    int signal;
    bool named;       /* false: nobody's code, and the three below say nothing */
    bool foreign;     /* a plugin's or a script's */
    bool fresh;       /* not taken before */
    uint32_t generation;
    char topology[SL_BLAME_NAME], component[SL_BLAME_NAME];
    /* How many crashes of this topology and generation ended with this one, each within a minute of the one before; 0: not named. Two
     * make a bad generation. */
    uint32_t in_a_row;
};

/* From now on a crash of this process leaves a row in data_dir. Once in a process, by whoever holds data_dir; gives the calling thread
 * its stack, too. A second call (another data_dir) moves the rows there. The kernel's files, always: a dying process has no other. */
int sl_blame_open(const char *data_dir, struct sl_err *err);
/* The rows there are, oldest first; they stay, but are not fresh the next time. Rows that are damaged are left out. */
int sl_blame_take(struct sl_fs *fs, const char *data_dir, struct sl_blame_row ret_rows[SL_BLAME_ROWS], uint32_t *ret_count,
                  struct sl_err *err);
/* "SIGSEGV"; any number. */
const char *sl_blame_signal(int number);

#endif
