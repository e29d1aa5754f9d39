/* commit_log.c: the local commit domain (rule C1): one fsynced record a commit, the map of what is current, snapshots.
 *
 * States of the file: sound (appended to) -> condemned (commit_log_append_record: a failed fsync; commit_log_roll: between the
 * rename and the folder's fsync) -> sound (commit_log_roll). A condemned file is never written, synced or trusted again.
 * Invariants: (1) while sound, bytes [0, end) are durable and under log->path; (2) the map is what those bytes say.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/store/commit_log.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/store/commit_map.h"
#include "runtime/store/commit_record.h"

#define COMMIT_LOG_MAGIC_NUMBER 0x534c434cu
#define COMMIT_LOG_GARBAGE_BYTES (4ull << 20)
#define COMMIT_LOG_CHUNK_BYTES (1u << 20) /* of a snapshot's records, about */
#define COMMIT_LOG_MAX_BYTES (8ull << 30)

struct sl_commit_log {
    uint32_t magic;
    struct sl_fs *fs;
    char *path, *folder, *new_path;
    pthread_mutex_t lock;
    int fd;
    bool condemned;
    uint64_t nonce, next_number, end;
    uint64_t compact_at; /* not before the file is this long: after a snapshot that failed */
    struct sl_commit_map map;
};

/* ---- snapshots ---- */

static int commit_log_snapshot_records(struct sl_commit_log *log, struct sl_buffer *buffer, uint64_t nonce,
                                       uint64_t *inout_number, struct sl_err *err)
{
    struct sl_commit_entry **sorted = sl_commit_map_sorted(&log->map);
    struct sl_commit_change *changes = malloc((log->map.count + 1) * sizeof(*changes));
    uint64_t chunk_bytes = 0;
    uint32_t count = 0;
    int rc = 0;

    if (sorted == NULL || changes == NULL)
        rc = sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory for a snapshot of %zu entries", log->map.count);
    for (size_t i = 0; rc == 0 && i < log->map.count; i++) {
        changes[count++] = (struct sl_commit_change){sorted[i]->key, sorted[i]->value};
        chunk_bytes += (uint64_t)sorted[i]->key.bytes + sorted[i]->value.bytes;
        if (chunk_bytes < COMMIT_LOG_CHUNK_BYTES && i + 1 < log->map.count)
            continue;
        rc = sl_commit_record_put(buffer, nonce, (*inout_number)++, changes, count, err);
        count = 0;
        chunk_bytes = 0;
    }
    free(sorted);
    free(changes);
    return rc;
}

/* Writes the whole file under its temporary name and syncs it; a descriptor or -errno. */
static int commit_log_write_new(struct sl_commit_log *log, const struct sl_buffer *buffer)
{
    struct sl_fs *fs = log->fs;
    int rc, fd = fs->open(fs, log->new_path, O_RDWR | O_CREAT | O_TRUNC, 0644);

    if (fd < 0)
        return fd;
    rc = sl_fs_write_all(fs, fd, buffer->data, buffer->bytes, 0);
    if (rc == 0)
        rc = fs->fsync(fs, fd);
    if (rc == 0)
        return fd;
    (void)fs->close(fs, fd);
    (void)fs->unlink(fs, log->new_path);
    return rc;
}

/* From before the rename until the folder is synced nobody knows which file a crash leaves under the name. */
static int commit_log_install(struct sl_commit_log *log, int fd)
{
    struct sl_fs *fs = log->fs;
    int rc;

    log->condemned = true;
    rc = fs->rename(fs, log->new_path, log->path);
    if (rc == 0)
        rc = fs->sync_dir(fs, log->folder);
    if (rc < 0) {
        (void)fs->close(fs, fd);
        return rc;
    }
    if (log->fd >= 0)
        (void)fs->close(fs, log->fd);
    log->fd = fd;
    log->condemned = false;
    return 0;
}

/* Replaces the file by a snapshot of the map with `changes` on top (rule F2). On failure the file is sound or condemned as
 * log->condemned says, and the changes are not committed. */
static int commit_log_roll(struct sl_commit_log *log, const struct sl_commit_change *changes, uint32_t count,
                           struct sl_err *err)
{
    struct sl_buffer buffer = {0};
    struct sl_commit_header header = {.nonce = sl_nonce(), .first_number = log->next_number};
    uint64_t number = log->next_number;
    int fd, rc = -1;

    if (sl_buffer_reserve(&buffer, SL_COMMIT_HEADER_BYTES) == 0) {
        buffer.bytes = SL_COMMIT_HEADER_BYTES;
        rc = commit_log_snapshot_records(log, &buffer, header.nonce, &number, err);
    } else {
        rc = sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory for a snapshot");
    }
    if (rc == 0 && count > 0)
        rc = sl_commit_record_put(&buffer, header.nonce, number++, changes, count, err);
    if (rc < 0)
        goto out;
    header.snapshot_end = buffer.bytes;
    sl_commit_header_put(buffer.data, &header);
    rc = fd = commit_log_write_new(log, &buffer);
    if (fd >= 0)
        rc = commit_log_install(log, fd);
    if (rc < 0) {
        rc = sl_fail(err, SL_E_IO, SL_REMEDY_RETRY, -rc, "%s: writing a snapshot: %s", log->path, strerror(-rc));
        goto out;
    }
    log->nonce = header.nonce;
    log->next_number = number;
    log->end = buffer.bytes;
    log->compact_at = 0;
out:
    sl_buffer_fini(&buffer);
    return rc;
}

/* ---- open ---- */

static int commit_log_apply(struct sl_commit_map *map, const char *record)
{
    struct sl_commit_change change;
    size_t cursor = 0;

    while (sl_commit_record_next(record, &cursor, &change)) {
        struct sl_commit_entry *entry;
        if (change.value.data == NULL) {
            sl_commit_map_remove(map, change.key);
            continue;
        }
        if (sl_commit_map_reserve(map, 1) < 0 || (entry = sl_commit_entry_new(change.key, change.value)) == NULL)
            return -1;
        sl_commit_map_put(map, entry);
    }
    return 0;
}

/* What does not check at `at` is a torn tail only if nothing valid follows and it was not part of a snapshot. */
static int commit_log_judge_tail(const char *data, size_t bytes, size_t at, const struct sl_commit_header *header,
                                 uint64_t number, struct sl_err *err)
{
    size_t found = 0;
    if (at < header->snapshot_end)
        return sl_fail(err, SL_E_FORMAT, SL_REMEDY_HALT, 0,
                       "is damaged at byte %zu, inside its snapshot (up to byte %llu); commits are missing, restore it from a "
                       "backup", at, (unsigned long long)header->snapshot_end);
    if (!sl_commit_record_find(data + at, bytes - at, header->nonce, number, &found))
        return 0;
    return sl_fail(err, SL_E_FORMAT, SL_REMEDY_HALT, 0,
                   "is damaged at byte %zu, but a valid commit follows at byte %zu; commits are missing, restore it from a backup",
                   at, at + found);
}

static int commit_log_load(struct sl_commit_log *log, const char *data, size_t bytes, struct sl_err *err)
{
    struct sl_commit_header header;
    size_t record_bytes, at = SL_COMMIT_HEADER_BYTES;
    int rc = sl_commit_header_get(data, bytes, &header, err);

    if (rc < 0)
        return rc;
    log->next_number = header.first_number;
    while ((record_bytes = sl_commit_record_check(data + at, bytes - at, header.nonce, log->next_number)) > 0) {
        if (commit_log_apply(&log->map, data + at) < 0)
            return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory for the commit at byte %zu", at);
        at += record_bytes;
        log->next_number++;
    }
    return at == bytes ? at < header.snapshot_end ? commit_log_judge_tail(data, bytes, at, &header, log->next_number, err) : 0
                       : commit_log_judge_tail(data, bytes, at, &header, log->next_number, err);
}

static int commit_log_read(struct sl_commit_log *log, struct sl_err *err)
{
    char *data;
    size_t bytes;
    int rc = sl_fs_read_file(log->fs, log->path, COMMIT_LOG_MAX_BYTES, &data, &bytes);

    if (rc == -ENOENT)
        return 0;
    if (rc < 0)
        return sl_fail(err, SL_E_IO, SL_REMEDY_HALT, -rc, "reading %s: %s", log->path, strerror(-rc));
    rc = commit_log_load(log, data, bytes, err);
    free(data);
    return rc < 0 ? sl_while(err, "commit log %s", log->path) : 0;
}

static int commit_log_paths(struct sl_commit_log *log, const char *path)
{
    const char *slash = strrchr(path, '/');
    log->path = strdup(path);
    log->folder = slash == NULL ? strdup(".") : slash == path ? strdup("/") : strndup(path, (size_t)(slash - path));
    if (asprintf(&log->new_path, "%s.new", path) < 0)
        log->new_path = NULL;
    return log->path != NULL && log->folder != NULL && log->new_path != NULL ? 0 : -1;
}

int sl_commit_log_open(struct sl_fs *fs, const char *path, struct sl_commit_log **ret_log, struct sl_err *err)
{
    struct sl_commit_log *log = calloc(1, sizeof(*log));
    int rc;

    if (log == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory to open %s", path);
    log->magic = COMMIT_LOG_MAGIC_NUMBER;
    log->fs = fs;
    log->fd = -1;
    (void)pthread_mutex_init(&log->lock, NULL);
    if (commit_log_paths(log, path) < 0)
        rc = sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory to open %s", path);
    else
        rc = commit_log_read(log, err);
    if (rc == 0)
        rc = commit_log_roll(log, NULL, 0, err);
    if (rc < 0) {
        (void)sl_commit_log_close(log);
        return rc;
    }
    *ret_log = log;
    return 0;
}

struct sl_commit_log *sl_commit_log_close(struct sl_commit_log *log)
{
    if (log == NULL)
        return NULL;
    assert(log->magic == COMMIT_LOG_MAGIC_NUMBER);
    log->magic = 0;
    if (log->fd >= 0)
        (void)log->fs->close(log->fs, log->fd);
    sl_commit_map_fini(&log->map);
    (void)pthread_mutex_destroy(&log->lock);
    free(log->path);
    free(log->folder);
    free(log->new_path);
    free(log);
    return NULL;
}

/* ---- append ---- */

/* Entries for all changes that set something; NULL where one removes. */
static int commit_log_prepare(struct sl_commit_log *log, const struct sl_commit_change *changes, uint32_t count,
                              struct sl_commit_entry **entries)
{
    if (sl_commit_map_reserve(&log->map, count) < 0)
        return -1;
    for (uint32_t i = 0; i < count; i++) {
        if (changes[i].value.data == NULL)
            continue;
        entries[i] = sl_commit_entry_new(changes[i].key, changes[i].value);
        if (entries[i] == NULL)
            return -1;
    }
    return 0;
}

static int commit_log_append_record(struct sl_commit_log *log, const struct sl_buffer *record, struct sl_err *err)
{
    struct sl_fs *fs = log->fs;
    int rc = sl_fs_write_all(fs, log->fd, record->data, record->bytes, log->end);

    if (rc < 0) { /* half a record may lie there: it goes, or the file does */
        log->condemned = fs->truncate(fs, log->fd, log->end) < 0;
        return sl_fail(err, SL_E_IO, SL_REMEDY_RETRY, -rc, "%s: writing a commit of %zu bytes: %s", log->path, record->bytes,
                       strerror(-rc));
    }
    rc = fs->fsync(fs, log->fd);
    if (rc < 0) {
        log->condemned = true; /* rule F2 */
        return sl_fail(err, SL_E_IO, SL_REMEDY_RETRY, -rc, "%s: syncing a commit: %s", log->path, strerror(-rc));
    }
    log->end += record->bytes;
    log->next_number++;
    return 0;
}

static int commit_log_write(struct sl_commit_log *log, const struct sl_commit_change *changes, uint32_t count,
                            struct sl_err *err)
{
    struct sl_buffer record = {0};
    int rc = sl_commit_record_put(&record, log->nonce, log->next_number, changes, count, err);

    if (rc == 0 && !log->condemned)
        rc = commit_log_append_record(log, &record, err);
    if (log->condemned && (rc == 0 || rc == -(int)SL_E_IO))
        rc = commit_log_roll(log, changes, count, err);
    sl_buffer_fini(&record);
    return rc;
}

static void commit_log_link(struct sl_commit_log *log, const struct sl_commit_change *changes, uint32_t count,
                            struct sl_commit_entry **entries)
{
    for (uint32_t i = 0; i < count; i++) {
        if (entries[i] != NULL)
            sl_commit_map_put(&log->map, entries[i]);
        else
            sl_commit_map_remove(&log->map, changes[i].key);
        entries[i] = NULL;
    }
}

/* The commit is durable already: a snapshot that fails is tried again once the file has grown as much again. */
static void commit_log_compact(struct sl_commit_log *log)
{
    uint64_t garbage = log->end > log->map.live_bytes ? log->end - log->map.live_bytes : 0;
    if (garbage <= COMMIT_LOG_GARBAGE_BYTES || garbage <= log->end / 2 || log->end < log->compact_at)
        return;
    if (commit_log_roll(log, NULL, 0, NULL) < 0)
        log->compact_at = log->end + COMMIT_LOG_GARBAGE_BYTES;
}

int sl_commit_log_append(struct sl_commit_log *log, const struct sl_commit_change *changes, uint32_t count, struct sl_err *err)
{
    struct sl_commit_entry **entries;
    int rc;

    assert(log->magic == COMMIT_LOG_MAGIC_NUMBER);
    if (count == 0)
        return 0;
    entries = calloc(count, sizeof(struct sl_commit_entry *));
    if (entries == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory for a commit of %u changes", count);
    (void)pthread_mutex_lock(&log->lock);
    if (commit_log_prepare(log, changes, count, entries) < 0)
        rc = sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory for a commit of %u changes", count);
    else
        rc = commit_log_write(log, changes, count, err);
    if (rc == 0) {
        commit_log_link(log, changes, count, entries);
        commit_log_compact(log);
    }
    (void)pthread_mutex_unlock(&log->lock);
    for (uint32_t i = 0; i < count; i++)
        free(entries[i]);
    free(entries);
    return rc;
}

int sl_commit_log_each(struct sl_commit_log *log, int (*each)(void *user, struct sl_slice key, struct sl_slice value),
                       void *user)
{
    struct sl_commit_entry **sorted;
    int rc = 0;

    assert(log->magic == COMMIT_LOG_MAGIC_NUMBER);
    (void)pthread_mutex_lock(&log->lock);
    sorted = sl_commit_map_sorted(&log->map);
    if (sorted == NULL)
        rc = -(int)SL_E_LIMIT;
    for (size_t i = 0; rc == 0 && i < log->map.count; i++)
        rc = each(user, sorted[i]->key, sorted[i]->value);
    (void)pthread_mutex_unlock(&log->lock);
    free(sorted);
    return rc;
}
