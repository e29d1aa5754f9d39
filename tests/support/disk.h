/* disk.h: a disk in memory behind struct sl_fs, for tests and the simulator: it forgets, tears, fills up and fails on demand.
 *
 * Model: every inode has what programs see (volatile) and what a crash leaves (durable). A write stays pending until fsync of
 * its file, then it is durable; names (create, rename, unlink, mkdir, rmdir) stay pending until sync_dir of their folder.
 * At a crash each pending write survives whole, in part (some of its 512-byte sectors), or not at all, and of each folder's
 * pending name changes some survive, in any mixture; the seed decides. A failed fsync marks the pages clean, as Linux does: the
 * data is still seen, but never becomes durable unless it is written again.
 * The same seed and the same calls give the same disk. Threads: calls are serialised inside.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_TESTS_SUPPORT_DISK_H
#define SL_TESTS_SUPPORT_DISK_H

#include <stdbool.h>

#include "runtime/base/fs.h"

struct sl_disk;

struct sl_disk *sl_disk_new(uint64_t seed);
struct sl_disk *sl_disk_free(struct sl_disk *disk);
/* Valid as long as the disk. */
struct sl_fs *sl_disk_fs(struct sl_disk *disk);
/* A disk of its own with the same content, durable and pending; descriptors are not copied. */
struct sl_disk *sl_disk_copy(const struct sl_disk *disk);

/* Changing calls (open with O_CREAT or O_TRUNC, pwrite, fsync, truncate, rename, unlink, mkdir, rmdir, sync_dir) so far. */
uint64_t sl_disk_ops(const struct sl_disk *disk);
/* The machine stops after `ops` further changing calls: from then on every call returns -EIO. UINT64_MAX: never. The call at
 * which it stops may have had its effect, as any pending one. */
void sl_disk_crash_after(struct sl_disk *disk, uint64_t ops);
bool sl_disk_is_crashed(const struct sl_disk *disk);
/* Loses power now if it has not stopped yet, applies the survival model with `seed`, closes all descriptors, goes on. */
void sl_disk_restart(struct sl_disk *disk, uint64_t seed);
/* Only the process dies: descriptors and locks go, nothing is lost, and the machine goes on. */
void sl_disk_restart_process(struct sl_disk *disk);

/* The nth fsync or sync_dir from now (1: the next) fails with -EIO, once. 0: none. */
void sl_disk_fail_fsync(struct sl_disk *disk, uint64_t nth);
/* Bytes of file content that fit; beyond: short writes, then -ENOSPC. UINT64_MAX: no limit. */
void sl_disk_capacity(struct sl_disk *disk, uint64_t bytes);
uint64_t sl_disk_used(const struct sl_disk *disk);
/* Flips one bit of a file, in what is seen and what is durable. 0 or -errno. */
int sl_disk_flip(struct sl_disk *disk, const char *path, uint64_t at, unsigned bit);
/* Cuts a file or takes it away, seen and durable, as somebody else's mistake would. 0 or -errno. */
int sl_disk_cut(struct sl_disk *disk, const char *path, uint64_t bytes);
int sl_disk_take(struct sl_disk *disk, const char *path);

#endif
