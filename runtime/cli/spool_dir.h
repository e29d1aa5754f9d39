/* spool_dir.h: a closed spool on disk, for the commands that look at it from outside: found below the folder that a user
 * named, and held by a shared (or, to change it, exclusive) lock on its data folder, so that no server starts meanwhile.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_CLI_SPOOL_DIR_H
#define SL_RUNTIME_CLI_SPOOL_DIR_H

#include <limits.h>
#include <stdbool.h>

#include "runtime/base/err.h"

struct sl_spool_dir {
    char path[PATH_MAX];
    int lock_fd; /* -1: the spool lies in no data folder (a copy) */
};

/* dir: a data folder (with spool/ in it) or a spool's own folder. Refused while a server holds the data folder. */
int sl_spool_dir_take(const char *dir, bool to_change, struct sl_spool_dir *ret_dir, struct sl_err *err);
void sl_spool_dir_leave(struct sl_spool_dir *dir);

#endif
