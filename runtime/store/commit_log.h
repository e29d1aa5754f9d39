/* commit_log.h: the local commit domain (DELIVERY.md C1): an append-only file of fsynced records, single writer by the lock
 * on data_dir; each record is one atomic commit: marks and flush entries together.
 *
 * Threads: append from any thread (serialised inside); open and close from one.
 * On disk: a header (magic, format version, nonce of the file, first number, end of the snapshot), then records: length, CRC32C
 * over (nonce, length, number, body), number (rises by 1), body. A torn last record is cut (it was never acknowledged); damage
 * in the snapshot or before a valid later record is refused (SL_REMEDY_HALT).
 * A failed fsync condemns the file (rule F2): the log rolls to a new file holding a snapshot, and the commit is reported failed
 * unless that new file is durable. A commit reported failed may still be there after a crash, whole. Every open rolls, too:
 * what the page cache says of an older process's last fsync is not trusted, so only files synced by us are appended to.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_STORE_COMMIT_LOG_H
#define SL_RUNTIME_STORE_COMMIT_LOG_H

#include "runtime/base/err.h"
#include "runtime/base/fs.h"
#include "runtime/base/slice.h"

enum { SL_COMMIT_LOG_KEY_BYTES = 16 << 20, SL_COMMIT_LOG_VALUE_BYTES = 16 << 20 }; /* largest; above: -SL_E_LIMIT */

/* A commit is a set of changes to a key/value map, as in a compacted topic: value.data NULL removes (a tombstone). */
struct sl_commit_change {
    struct sl_slice key, value;
};

struct sl_commit_log;

int sl_commit_log_open(struct sl_fs *fs, const char *path, struct sl_commit_log **ret_log, struct sl_err *err);
struct sl_commit_log *sl_commit_log_close(struct sl_commit_log *log);
/* All changes or none, durable on return 0. Compacts (snapshot by replace) when garbage exceeds 4 MiB and half the file. */
int sl_commit_log_append(struct sl_commit_log *log, const struct sl_commit_change *changes, uint32_t count, struct sl_err *err);
/* The current map, in key order, under the lock; slices are valid for the call. Stops and returns what each returned if not 0. */
int sl_commit_log_each(struct sl_commit_log *log, int (*each)(void *user, struct sl_slice key, struct sl_slice value),
                       void *user);

#endif
