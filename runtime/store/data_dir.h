/* data_dir.h: the process's folder: locked by flock (the refusal names the holder's pid), with its start counter.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_STORE_DATA_DIR_H
#define SL_RUNTIME_STORE_DATA_DIR_H

#include "runtime/base/err.h"
#include "runtime/base/fs.h"

struct sl_data_dir {
    char *path; /* absolute */
    struct sl_fs *fs;
    int lock_fd;
    uint32_t epoch; /* of this start, from 1; durable before open returns */
};

/* Makes the folder, takes DIR/lock (writing our pid into it), raises DIR/epoch. Refuses a second process with the first one's
 * pid, and a newer format version. */
int sl_data_dir_open(struct sl_fs *fs, const char *path, struct sl_data_dir *ret_dir, struct sl_err *err);
void sl_data_dir_close(struct sl_data_dir *dir);
/* DIR/lock alone, for who has to write something there before the process opens it; ends with the descriptor. */
int sl_data_dir_lock(struct sl_fs *fs, const char *path, int *ret_fd, struct sl_err *err);

/* ---- from process to process (rule I3) ----
 * The lock belongs to an open file, not to a process: whoever has a descriptor of that file holds the folder, and it is free only once
 * the last of them is closed. Threads: any. */
/* One more descriptor of the lock that this process holds on `path` (as it was given to sl_data_dir_open); the caller closes it. */
int sl_data_dir_share(const char *path, int *ret_fd, struct sl_err *err);
/* From now on an opening of the folder whose lock `fd` is takes that lock over; fd stays the caller's, who says -1 before closing it. */
void sl_data_dir_adopt(int fd);
/* Without the lock: could this version open the folder? 0, or why not (a newer format). A folder that is not there yet can be. */
int sl_data_dir_check(struct sl_fs *fs, const char *path, struct sl_err *err);

#endif
