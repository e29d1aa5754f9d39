/* audit_log.c: see audit_log.h. After a failed write or fsync the file is opened anew before the next line, and cut to whole lines.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/deploy/audit_log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/json_out.h"

struct sl_audit_log {
    struct sl_fs *fs;
    char *dir;
    uint64_t rotate_bytes, bytes; /* bytes: of whole, durable lines */
    int fd;                       /* -1: to be opened */
    pthread_mutex_t lock;
};

static void audit_log_path(const struct sl_audit_log *log, const char *suffix, char path[PATH_MAX])
{
    (void)snprintf(path, PATH_MAX, "%s/audit.log%s", log->dir, suffix);
}

static int audit_log_fail(const struct sl_audit_log *log, int rc, const char *doing, struct sl_err *err)
{
    return sl_fail(err, SL_E_IO, SL_REMEDY_RETRY, -rc, "%s %s/audit.log: %s", doing, log->dir, strerror(-rc));
}

/* Where the last whole line ends; < 0: -errno. */
static int64_t audit_log_whole(struct sl_audit_log *log, int fd, uint64_t bytes)
{
    char text[4096];

    while (bytes > 0) {
        uint64_t from = bytes > sizeof(text) ? bytes - sizeof(text) : 0;
        int64_t got = log->fs->pread(log->fs, fd, text, (size_t)(bytes - from), from);
        if (got <= 0)
            return got < 0 ? got : -EIO;
        for (int64_t i = got; i > 0; i--)
            if (text[i - 1] == '\n')
                return (int64_t)from + i;
        bytes = from;
    }
    return 0;
}

static int audit_log_begin(struct sl_audit_log *log, struct sl_err *err)
{
    struct sl_fs *fs = log->fs;
    struct sl_fs_stat found;
    char path[PATH_MAX];
    int64_t whole;
    int fd, rc;

    audit_log_path(log, "", path);
    fd = fs->open(fs, path, O_RDWR | O_CREAT, 0640);
    if (fd < 0)
        return audit_log_fail(log, fd, "opening", err);
    rc = fs->fstat(fs, fd, &found);
    whole = rc < 0 ? rc : audit_log_whole(log, fd, found.bytes);
    rc = whole < 0 ? (int)whole : 0;
    if (rc == 0 && (uint64_t)whole < found.bytes)
        rc = fs->truncate(fs, fd, (uint64_t)whole);
    if (rc == 0)
        rc = fs->fsync(fs, fd);
    if (rc == 0)
        rc = fs->sync_dir(fs, log->dir);
    if (rc < 0) {
        (void)fs->close(fs, fd);
        return audit_log_fail(log, rc, "opening", err);
    }
    log->fd = fd;
    log->bytes = (uint64_t)whole;
    return 0;
}

static void audit_log_end(struct sl_audit_log *log)
{
    if (log->fd >= 0)
        (void)log->fs->close(log->fs, log->fd);
    log->fd = -1;
}

static int audit_log_rotate(struct sl_audit_log *log, struct sl_err *err)
{
    char from[PATH_MAX], to[PATH_MAX];
    int rc;

    audit_log_end(log);
    audit_log_path(log, "", from);
    audit_log_path(log, ".1", to);
    rc = log->fs->rename(log->fs, from, to);
    if (rc == 0) /* before a new file has the old name: one change without the other would lose the old lines */
        rc = log->fs->sync_dir(log->fs, log->dir);
    return rc < 0 ? audit_log_fail(log, rc, "renaming", err) : audit_log_begin(log, err);
}

static void audit_log_print(const struct sl_audit_entry *entry, struct sl_buf *line)
{
    struct sl_json_out out;
    char digest[24];

    (void)snprintf(digest, sizeof(digest), "%016" PRIx64, entry->digest);
    sl_json_out_init(&out, line);
    sl_json_out_object(&out);
    sl_json_out_i64_at(&out, "unix_ms", entry->unix_ms);
    sl_json_out_str_at(&out, "who", entry->who->text);
    if (entry->who->uid >= 0)
        sl_json_out_i64_at(&out, "uid", entry->who->uid);
    sl_json_out_str_at(&out, "command", entry->command);
    if (entry->topology != NULL)
        sl_json_out_str_at(&out, "topology", entry->topology);
    if (entry->generation != 0)
        sl_json_out_u64_at(&out, "generation", entry->generation);
    if (entry->digest != 0)
        sl_json_out_str_at(&out, "digest", digest);
    sl_json_out_str_at(&out, "result", entry->result);
    sl_json_out_str_at(&out, "text", entry->text);
    sl_json_out_end_object(&out);
    sl_buf_char(line, '\n');
}

static int audit_log_append(struct sl_audit_log *log, const struct sl_buf *line, struct sl_err *err)
{
    int rc;

    if (log->fd < 0 && audit_log_begin(log, err) != 0)
        return -(int)err->code;
    if (log->bytes > 0 && log->bytes + line->bytes > log->rotate_bytes && audit_log_rotate(log, err) != 0)
        return -(int)err->code;
    rc = sl_fs_write_all(log->fs, log->fd, line->data, line->bytes, log->bytes);
    if (rc >= 0)
        rc = log->fs->fsync(log->fs, log->fd);
    if (rc < 0) {
        audit_log_end(log);
        return audit_log_fail(log, rc, "writing", err);
    }
    log->bytes += line->bytes;
    return 0;
}

int sl_audit_log_write(struct sl_audit_log *log, const struct sl_audit_entry *entry, struct sl_err *err)
{
    struct sl_buf line = {0};
    int status;

    audit_log_print(entry, &line);
    if (sl_buf_failed(&line))
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory for a line of %s/audit.log", log->dir);
    (void)pthread_mutex_lock(&log->lock);
    status = audit_log_append(log, &line, err);
    (void)pthread_mutex_unlock(&log->lock);
    sl_buf_fini(&line);
    return status;
}

int sl_audit_log_open(struct sl_fs *fs, const char *data_dir, uint64_t rotate_bytes, struct sl_audit_log **ret_log, struct sl_err *err)
{
    struct sl_audit_log *log = calloc(1, sizeof(*log));

    if (log == NULL || (log->dir = strdup(data_dir)) == NULL) {
        free(log);
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, ENOMEM, "no memory for %s/audit.log", data_dir);
    }
    log->fs = fs;
    log->rotate_bytes = rotate_bytes;
    log->fd = -1;
    (void)pthread_mutex_init(&log->lock, NULL);
    if (audit_log_begin(log, err) != 0) {
        (void)sl_audit_log_close(log);
        return -(int)err->code;
    }
    *ret_log = log;
    return 0;
}

struct sl_audit_log *sl_audit_log_close(struct sl_audit_log *log)
{
    if (log == NULL)
        return NULL;
    audit_log_end(log);
    (void)pthread_mutex_destroy(&log->lock);
    free(log->dir);
    free(log);
    return NULL;
}
