/* fs.h: every file operation of the runtime, as a table: the kernel in production, a modelled disk in the simulator.
 * All calls are synchronous and return >= 0 or -errno. Whoever may block on them runs them off the loop thread.
 * Paths are NUL-terminated. A failed fsync condemns the file (DELIVERY rule F2): callers never retry it.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_BASE_FS_H
#define SL_RUNTIME_BASE_FS_H

#include <stddef.h>
#include <stdint.h>

struct sl_fs_stat {
    uint64_t bytes, device, inode;
    int64_t mtime_unix_ms;
    int is_dir;
};

struct sl_fs {
    int (*open)(struct sl_fs *fs, const char *path, int flags, unsigned mode); /* open(2)'s flags; a descriptor */
    int (*close)(struct sl_fs *fs, int fd);
    int64_t (*pread)(struct sl_fs *fs, int fd, void *data, size_t bytes, uint64_t at);
    int64_t (*pwrite)(struct sl_fs *fs, int fd, const void *data, size_t bytes, uint64_t at); /* may be short */
    int (*fsync)(struct sl_fs *fs, int fd);
    int (*truncate)(struct sl_fs *fs, int fd, uint64_t bytes);
    int (*stat)(struct sl_fs *fs, const char *path, struct sl_fs_stat *ret_stat);
    int (*fstat)(struct sl_fs *fs, int fd, struct sl_fs_stat *ret_stat);
    int (*rename)(struct sl_fs *fs, const char *from, const char *to);
    int (*unlink)(struct sl_fs *fs, const char *path);
    int (*mkdir)(struct sl_fs *fs, const char *path, unsigned mode);
    int (*rmdir)(struct sl_fs *fs, const char *path);
    int (*sync_dir)(struct sl_fs *fs, const char *path); /* fsync of a folder: names in it become durable */
    /* flock(2), exclusive, without waiting: -EWOULDBLOCK while another descriptor holds it. Ends with the descriptor. */
    int (*lock)(struct sl_fs *fs, int fd);
    /* Calls each(user, name) for every entry but . and .. in name order; stops and returns what each returned if not 0. */
    int (*list)(struct sl_fs *fs, const char *path, int (*each)(void *user, const char *name), void *user);
};

/* The kernel's. Static storage. */
struct sl_fs *sl_fs_posix(void);
/* All of data or an error; -ENOSPC after a short write that does not continue. */
int sl_fs_write_all(struct sl_fs *fs, int fd, const void *data, size_t bytes, uint64_t at);
/* mkdir -p; each made folder's parent is synced, so that the path is durable on return. */
int sl_fs_mkdirs(struct sl_fs *fs, const char *path, unsigned mode);
/* Whole file into malloc'd memory (caller frees), NUL-terminated beyond *ret_bytes. -EFBIG above max. */
int sl_fs_read_file(struct sl_fs *fs, const char *path, size_t max, char **ret_data, size_t *ret_bytes);
/* Durable replacement: temporary beside it, write, fsync, rename, folder fsync. */
int sl_fs_replace_file(struct sl_fs *fs, const char *path, const void *data, size_t bytes);

#endif
