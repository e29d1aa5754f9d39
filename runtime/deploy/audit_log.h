/* audit_log.h: what was changed in this process's data_dir, by whom and with what result: a line a change, as NDJSON.
 *
 * DIR/audit.log    {"unix_ms", "who", "uid", "command", "topology", "generation", "digest", "result", "text"}
 * DIR/audit.log.1  the one before: at SL_AUDIT_BYTES the log is renamed to it, in the place of an older one
 * A line is durable when write returns. A line that a crash tore is cut off at the next open. A disk that refuses a line does not stop what
 * it would have told of (a rollback above all): the caller says so in the process's log.
 * Threads: any; a lock inside. Blocks (fsync).
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_DEPLOY_AUDIT_LOG_H
#define SL_RUNTIME_DEPLOY_AUDIT_LOG_H

#include "runtime/base/err.h"
#include "runtime/base/fs.h"
#include "runtime/deploy/who.h"

enum { SL_AUDIT_BYTES = 64 << 20 };

struct sl_audit_log;

struct sl_audit_entry {
    int64_t unix_ms;
    const struct sl_who *who;
    const char *command, *topology; /* topology: NULL: none was found */
    uint32_t generation;            /* 0: none */
    uint64_t digest;                /* of the generation's; 0: none */
    const char *result;             /* "done", "refused", "failed", "no change" */
    const char *text;               /* what was said */
};

int sl_audit_log_open(struct sl_fs *fs, const char *data_dir, uint64_t rotate_bytes, struct sl_audit_log **ret_log, struct sl_err *err);
int sl_audit_log_write(struct sl_audit_log *log, const struct sl_audit_entry *entry, struct sl_err *err);
struct sl_audit_log *sl_audit_log_close(struct sl_audit_log *log);

#endif
