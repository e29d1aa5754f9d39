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

#endif
