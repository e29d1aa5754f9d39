/* giver_child.h: the new process as the old one sees it: a child, and perhaps another process that this child started.
 * Used by giver.c alone.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_UPGRADE_GIVER_CHILD_H
#define SL_RUNTIME_UPGRADE_GIVER_CHILD_H

#include <stdbool.h>
#include <sys/types.h>
#include <uv.h>

#include "runtime/base/err.h"

struct giver_child {
    uv_process_t process;
    bool started, ended, closed; /* of the child: spawned, waited for, its handle closed */
    char how[80];                /* it ended */
    pid_t pid;                   /* who said hello; 0: nobody yet */
    int pid_fd;                  /* -1: none, or this kernel has none */
    void (*on_end)(void *user);
    void *user;
};

/* wire_fd becomes the child's; file as in execvp. The caller closes its own copy. */
int giver_child_start(struct giver_child *child, uv_loop_t *loop, const char *file, char *const *args, int wire_fd, struct sl_err *err);
void giver_child_hello(struct giver_child *child, pid_t pid);
void giver_child_kill(struct giver_child *child);
/* Both have certainly ended, and its handle may be used again. */
bool giver_child_gone(struct giver_child *child);
/* The one who said hello, or the child. */
pid_t giver_child_pid(const struct giver_child *child);
void giver_child_fini(struct giver_child *child);

#endif
