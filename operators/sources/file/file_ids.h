/* file_ids.h: which file is which (rule A4): a kept 128-bit id bound to device, inode and the hash of the file's head, the first
 * min(1 KiB, size) bytes at the time it was bound. The bindings survive restarts in one small file.
 *
 * On disk: text, replaced whole and durably. A line "sluice file ids 1", then a line a binding: id, device, inode, head bytes,
 * head hash (hex) and the last known path, percent-encoded; last a line "end HASH", the XXH3 of all before it. Damage is refused:
 * without their ids all files would be read again.
 * Limit: SL_FILE_IDS_MAX bindings; the ones unseen for longest go first. Threads: none of its own; file_set.c locks.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_OPERATORS_SOURCES_FILE_IDS_H
#define SL_OPERATORS_SOURCES_FILE_IDS_H

#include <stdbool.h>

#include "runtime/base/err.h"
#include "runtime/base/fs.h"

enum { SL_FILE_HEAD_BYTES = 1024, SL_FILE_IDS_MAX = 65536, SL_FILE_ID_TEXT = 33 };

struct sl_file_head {
    uint32_t bytes;
    uint64_t hash;
};

struct sl_file_id {
    char id[SL_FILE_ID_TEXT]; /* 32 hex digits */
    uint64_t device, inode;
    struct sl_file_head head;
    char *path;
    bool present; /* seen by the last scan: never evicted */
};

struct sl_file_ids {
    struct sl_file_id *items; /* oldest first */
    uint32_t count, capacity;
};

/* Reads the bindings; no file is no binding. */
int sl_file_ids_load(struct sl_file_ids *ids, struct sl_fs *fs, const char *path, struct sl_err *err);
/* The whole content for sl_fs_replace_file, malloc'd; NULL: no memory. Evicts above the limit first. */
char *sl_file_ids_print(struct sl_file_ids *ids, size_t *ret_bytes);
void sl_file_ids_fini(struct sl_file_ids *ids);
/* The youngest binding of an inode, or NULL. Valid until the next bind or print. */
struct sl_file_id *sl_file_ids_find(struct sl_file_ids *ids, uint64_t device, uint64_t inode);
/* A new binding with an id made of two random numbers. NULL: no memory. */
struct sl_file_id *sl_file_ids_bind(struct sl_file_ids *ids, const struct sl_fs_stat *stat, struct sl_file_head head,
                                    const char *path, uint64_t random_high, uint64_t random_low);
/* Hash of the first `bytes` (at most SL_FILE_HEAD_BYTES) of a file; fewer are read where it is shorter. 0 or -errno. */
int sl_file_head_read(struct sl_fs *fs, int fd, uint32_t bytes, struct sl_file_head *ret_head);

#endif
