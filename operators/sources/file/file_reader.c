/* file_reader.c: one open file of a slot of the `file` source; see the header for the states.
 * SPDX-License-Identifier: Apache-2.0 */
#include "operators/sources/file/file_reader.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#define FILE_LOOK_NS 100000000ull     /* a file at its end is looked at this often */
#define FILE_LEAVE_NS 10000000000ull  /* a deleted or renamed file may still be written to for a while */
enum { FILE_SKIPS_EACH = 256 };       /* pieces of a too long line read over in one call */

static uint64_t file_now_ns(const struct sl_file *file)
{
    return file->reader->api->now_ns(file->reader->api->env);
}

static void file_tally(const struct sl_file *file, enum sl_file_counter counter, uint64_t by)
{
    const struct sl_api *api = file->reader->api;
    api->tally(api->env, file->reader->source, counter, by);
}

static void file_fd_close(struct sl_file *file)
{
    if (file->fd >= 0)
        (void)file->reader->api->fs->close(file->reader->api->fs, file->fd);
    file->fd = -1;
}

/* 0, or -errno; -ESTALE: the name leads to another file now. */
static int file_fd_open(struct sl_file *file)
{
    struct sl_fs *fs = file->reader->api->fs;
    struct sl_fs_stat stat;
    int fd = fs->open(fs, file->path, O_RDONLY | O_CLOEXEC, 0), rc;

    if (fd < 0)
        return fd;
    rc = fs->fstat(fs, fd, &stat);
    if (rc >= 0 && (stat.inode != file->entry->inode || stat.device != file->entry->device))
        rc = -ESTALE;
    if (rc < 0) {
        (void)fs->close(fs, fd);
        return rc;
    }
    file->fd = fd;
    file->size = stat.bytes;
    file->mtime_unix_ms = stat.mtime_unix_ms;
    return 0;
}

/* ---- becoming another file, or none ---- */

static void file_revoked(void *user)
{
    struct sl_file *file = user;

    assert(file->magic == SL_FILE_MAGIC && file->revoking);
    file->revoking = false;
    file->partition = NULL;
    if (file->phase == SL_FILE_LEAVING) {
        sl_file_set_give_back(file->reader->set, file->entry, SL_FILE_GONE, false);
        file->entry = NULL;
        file->phase = SL_FILE_CLOSED;
    }
}

static void file_revoke(struct sl_file *file)
{
    struct sl_partition *partition = file->partition;

    file_fd_close(file);
    file->revoking = true;
    sl_slot_revoke(file->reader->slot, &partition, 1, true, file_revoked, file);
}

/* Truncated, or replaced by other bytes: a new id at 0 (rule A4). What lay between position and the old end is lost. */
static void file_restart(struct sl_file *file)
{
    uint64_t position = file->partition->next;

    file_tally(file, SL_FILE_RESTARTS, 1);
    if (file->size > position)
        file_tally(file, SL_FILE_LOST_BYTES, file->size - position);
    file->phase = SL_FILE_REBINDING;
    sl_file_set_rebind(file->reader->set, file->entry);
    file_revoke(file);
}

static void file_leave(struct sl_file *file)
{
    file->phase = SL_FILE_LEAVING;
    file_revoke(file);
}

static void file_ended(struct sl_file *file)
{
    file_fd_close(file);
    file->phase = SL_FILE_ENDED;
    file->reached = true;
}

/* ---- assignment ---- */

/* 1: the bytes at the front are those that the id is bound to. */
static int file_head_same(const struct sl_file *file, const struct sl_file_look *look)
{
    struct sl_file_head head;
    int rc = sl_file_head_read(file->reader->api->fs, file->fd, look->head.bytes, &head);

    return rc < 0 ? rc : head.bytes == look->head.bytes && head.hash == look->head.hash;
}

/* The hash of the record in [offset, next), its line end left out. As sl_file_fingerprint otherwise. */
static int file_hash_upto(const struct sl_file *file, uint64_t offset, uint64_t next, uint64_t *ret_hash)
{
    const struct sl_api *api = file->reader->api;
    struct sl_file_block block;
    struct sl_slice rest;
    int64_t got;

    if (file->fd < 0 || next <= offset || sl_file_block_init(&block, 4096, file->reader->block.capacity_max) != 0)
        return -1;
    sl_file_block_seat(&block, file, offset);
    do
        got = sl_file_block_fill(&block, api->fs, file->fd, offset);
    while (got > 0 && sl_file_block_rest(&block, offset).bytes < next - offset);
    rest = sl_file_block_rest(&block, offset);
    if (rest.bytes > next - offset)
        rest.bytes = (uint32_t)(next - offset);
    if (rest.bytes == next - offset && rest.data[rest.bytes - 1] == '\n')
        rest.bytes--;
    *ret_hash = sl_record_hash(rest);
    sl_file_block_fini(&block);
    return got < 0 && got != -ENOBUFS ? -1 : 1;
}

static int file_mark_hash(struct sl_file *file, const struct sl_mark *mark, uint64_t *ret_hash)
{
    return file->reader->multiline == NULL ? sl_file_fingerprint(file, mark->last_offset, ret_hash)
                                           : file_hash_upto(file, mark->last_offset, mark->next, ret_hash);
}

/* The last record that was committed must still stand where it stood. */
static bool file_mark_fits(struct sl_file *file, const struct sl_mark *mark)
{
    uint64_t hash;

    if (mark->next == UINT64_MAX)
        return true;
    if (mark->next > file->size)
        return false;
    if (mark->last_offset == UINT64_MAX)
        return true;
    switch (file_mark_hash(file, mark, &hash)) {
    case 1:
        return hash == mark->last_hash;
    case 0:
        return false;
    default:
        return true; /* not readable now: the next read says why */
    }
}

static int file_assign(struct sl_file *file, const struct sl_file_look *look, struct sl_err *err)
{
    struct sl_mark mark = {.next = UINT64_MAX, .last_offset = UINT64_MAX};
    struct sl_file_reader *reader = file->reader;
    char *topic = sl_file_set_bound_path(reader->set, file->entry);
    int rc;

    if (topic == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory");
    rc = sl_slot_assign(reader->slot, reader->source, topic, look->id, -1, NULL, 0, 0, file, &file->partition, &mark, err);
    free(topic); /* the slot has its own copy */
    if (rc != 0)
        return rc;
    file->phase = SL_FILE_READING;
    file->committed = file->partition->next;
    file->at_end = false;
    file->skip_at = 0;
    file->open_upto = 0;
    file->idle_ns = 0;
    if (!file_mark_fits(file, &mark))
        file_restart(file);
    return 0;
}

static struct sl_file *file_new(struct sl_file_reader *reader, struct sl_file_entry *entry)
{
    struct sl_file *file = calloc(1, sizeof(*file));

    if (file == NULL)
        return NULL;
    file->magic = SL_FILE_MAGIC;
    file->reader = reader;
    file->entry = entry;
    file->fd = -1;
    file->path = sl_file_set_path(reader->set, entry);
    if (file->path == NULL) {
        free(file);
        return NULL;
    }
    return file;
}

int sl_file_open(struct sl_file_reader *reader, struct sl_file_entry *entry, struct sl_file **ret_file, struct sl_err *err)
{
    struct sl_file *file = file_new(reader, entry);
    struct sl_file_look look;
    int rc;

    if (file == NULL) {
        sl_file_set_give_back(reader->set, entry, SL_FILE_FREE, false);
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory for another file");
    }
    rc = file_fd_open(file);
    sl_file_set_look(reader->set, entry, &look);
    if (rc == 0)
        rc = file_head_same(file, &look);
    if (rc == 0)
        sl_file_set_rebind(reader->set, entry);
    if (rc == 1 && file_assign(file, &look, err) == 0) {
        *ret_file = file;
        return 0;
    }
    if (rc < 0)
        (void)sl_fail(err, SL_E_IO, SL_REMEDY_RETRY, -rc, "opening %s: %s", file->path, strerror(-rc));
    else if (rc == 0)
        (void)sl_fail(err, SL_E_IO, SL_REMEDY_RETRY, 0, "%s was replaced while it was opened; it is looked at again", file->path);
    sl_file_set_give_back(reader->set, entry, SL_FILE_FREE, rc < 0);
    file->entry = NULL;
    (void)sl_file_close(file);
    return -(int)err->code;
}

struct sl_file *sl_file_close(struct sl_file *file)
{
    if (file == NULL)
        return NULL;
    file_fd_close(file);
    if (file->entry != NULL)
        sl_file_set_give_back(file->reader->set, file->entry, SL_FILE_FREE, false);
    file->magic = 0;
    free(file->path);
    free(file);
    return NULL;
}

/* 1: reads on as the new file; 0 not yet. */
static int file_rebound(struct sl_file *file, struct sl_err *err)
{
    struct sl_file_look look;
    char *path;

    if (file->revoking)
        return 0;
    sl_file_set_look(file->reader->set, file->entry, &look);
    if (look.rebind) {
        if (look.missing) {
            sl_file_set_give_back(file->reader->set, file->entry, SL_FILE_GONE, false);
            file->entry = NULL;
            file->phase = SL_FILE_CLOSED;
        }
        return 0;
    }
    path = sl_file_set_path(file->reader->set, file->entry);
    if (path == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory");
    free(file->path);
    file->path = path;
    file_fd_close(file);
    if (file_fd_open(file) != 0 || file_head_same(file, &look) != 1) {
        sl_file_set_rebind(file->reader->set, file->entry); /* it has changed once more */
        return 0;
    }
    return file_assign(file, &look, err) != 0 ? -(int)err->code : file->phase == SL_FILE_READING;
}

/* ---- reading ---- */

static int file_fail(const struct sl_file *file, int64_t rc, struct sl_err *err)
{
    return sl_fail(err, SL_E_IO, SL_REMEDY_RETRY, (int)-rc, "reading %s: %s", file->path, strerror((int)-rc));
}

static int file_hand(struct sl_file *file, struct sl_batch *batch)
{
    const struct sl_api *api = file->reader->api;
    int64_t unix_ms = file->reader->set->once ? file->mtime_unix_ms : api->unix_ms(api->env);

    for (uint32_t i = 0; i < batch->count; i++)
        batch->append_unix_ms[i] = unix_ms;
    batch->partition = file->partition;
    batch->key = NULL;
    batch->headers = NULL;
    batch->headers_count = NULL;
    batch->null_payload = NULL;
    batch->origin = NULL;
    file->records += batch->count;
    file->bytes += batch->next - batch->first;
    if (file->size < batch->next)
        file->size = batch->next;
    return 1;
}

/* One record [position, next) out of the window: a last line without its newline, or the first part of a too long one. */
static int file_hand_one(struct sl_file *file, struct sl_batch *batch, uint64_t next)
{
    uint64_t position = file->partition->next;
    struct sl_slice rest = sl_file_block_rest(&file->reader->block, position);

    batch->raw[0] = rest;
    batch->offset[0] = position;
    batch->count = 1;
    batch->first = position;
    batch->next = next;
    batch->large = rest.bytes > file->reader->api->max_record_bytes;
    batch->may_break = true;
    file->skip_at = 0;
    return file_hand(file, batch);
}

static void file_keep_tail(struct sl_file *file)
{
    struct sl_fs *fs = file->reader->api->fs;
    uint64_t position = file->partition->next;
    uint32_t bytes = position < SL_FILE_TAIL_BYTES ? (uint32_t)position : SL_FILE_TAIL_BYTES;

    file->tail_bytes = fs->pread(fs, file->fd, file->tail, bytes, position - bytes) == (int64_t)bytes ? bytes : 0;
}

/* ---- lines that are joined ---- */

/* Whole records from `position`; final: the open one too, and what stands behind the last line's end. Their count. */
static uint32_t file_join(struct sl_file *file, struct sl_batch *batch, bool final, bool tail)
{
    const struct sl_api *api = file->reader->api;
    uint64_t position = file->partition->next;
    struct sl_file_join join = {.multiline = file->reader->multiline,
                                .max_record = api->max_record_bytes,
                                .boundary = sl_slot_boundary(file->reader->slot, file->partition, position),
                                .final = final,
                                .tail = tail};
    uint32_t count = sl_file_join_records(&file->reader->block, position, &join, batch);

    if (count > 0 || join.open_upto == 0 || join.open_upto != file->open_upto)
        file->open_ns = file_now_ns(file);
    file->open_upto = count > 0 ? 0 : join.open_upto;
    return count;
}

/* Nothing more is waited for behind the open record. */
static bool file_open_due(const struct sl_file *file)
{
    return file->open_upto != 0 &&
           (atomic_load(&file->reader->set->ending) || file_now_ns(file) - file->open_ns >= file->reader->timeout_ns);
}

/* At the end of the file with an open record: 1 it was handed out, 0 it may still go on. */
static int file_close_open(struct sl_file *file, struct sl_batch *batch)
{
    bool once = file->reader->set->once;

    if (file->reader->multiline == NULL || file->skip_at != 0 || (!once && !file_open_due(file)))
        return 0;
    if (file_join(file, batch, true, once) == 0)
        return 0;
    file->at_end = false; /* the end is behind this record now: it is met once more, and its tail kept */
    return file_hand(file, batch);
}

/* The end was met with no whole line before it; `upto` is how far we have read. */
static int file_at_end(struct sl_file *file, struct sl_batch *batch, uint64_t upto, struct sl_err *err)
{
    struct sl_file_set *set = file->reader->set;
    uint64_t position = file->partition->next;
    struct sl_fs_stat stat;
    int rc = file->reader->api->fs->fstat(file->reader->api->fs, file->fd, &stat);

    if (rc < 0)
        return file_fail(file, rc, err);
    if (stat.bytes < position) {
        file_restart(file);
        return 0;
    }
    if (file_close_open(file, batch) == 1)
        return 1;
    if (set->once && upto > position)
        return file_hand_one(file, batch, upto);
    if (set->once) {
        file_ended(file);
        return 0;
    }
    file_keep_tail(file);
    file->at_end = true;
    file->size = upto;
    file->mtime_unix_ms = stat.mtime_unix_ms;
    file->look_ns = file_now_ns(file) + (stat.bytes > upto ? 0 : FILE_LOOK_NS);
    file->reached = file->reached || atomic_load(&set->ending);
    return 0;
}

/* Another head or last-read block is another file (rule A4). 1 the same, 0 another, -errno. */
static int file_same(struct sl_file *file)
{
    struct sl_fs *fs = file->reader->api->fs;
    char tail[SL_FILE_TAIL_BYTES];
    struct sl_file_look look;
    int64_t got;
    int rc;

    sl_file_set_look(file->reader->set, file->entry, &look);
    rc = file_head_same(file, &look);
    if (rc != 1 || file->tail_bytes == 0)
        return rc;
    got = fs->pread(fs, file->fd, tail, file->tail_bytes, file->partition->next - file->tail_bytes);
    if (got < 0)
        return (int)got;
    return got == (int64_t)file->tail_bytes && memcmp(tail, file->tail, file->tail_bytes) == 0;
}

/* At its end and unchanged: a file that no name leads to any more is let go once everything of it is committed. */
static void file_idle(struct sl_file *file, uint64_t now_ns)
{
    struct sl_file_look look;

    sl_file_set_look(file->reader->set, file->entry, &look);
    if (!look.missing)
        file->idle_ns = 0;
    else if (file->idle_ns == 0)
        file->idle_ns = now_ns;
    else if (now_ns - file->idle_ns >= FILE_LEAVE_NS && file->committed >= file->partition->next && file->open_upto == 0)
        file_leave(file);
}

/* Looks whether a file at its end has more. 1 read on, 0 nothing new. */
static int file_look(struct sl_file *file, struct sl_err *err)
{
    uint64_t now_ns = file_now_ns(file);
    struct sl_fs_stat stat;
    int rc;

    if (now_ns < file->look_ns)
        return 0;
    file->look_ns = now_ns + FILE_LOOK_NS;
    rc = file->reader->api->fs->fstat(file->reader->api->fs, file->fd, &stat);
    if (rc < 0)
        return file_fail(file, rc, err);
    if (stat.bytes < file->size)
        file->reader->block.owner = NULL; /* what the window holds of it may be gone */
    if (stat.bytes == file->size && stat.mtime_unix_ms == file->mtime_unix_ms) {
        if (file_open_due(file))
            return 1;
        file->reached = file->reached || atomic_load(&file->reader->set->ending);
        file_idle(file, now_ns);
        return 0;
    }
    rc = stat.bytes < file->partition->next ? 0 : file_same(file);
    if (rc < 0)
        return file_fail(file, rc, err);
    if (rc == 0) {
        file_restart(file);
        return 0;
    }
    file->at_end = false;
    file->idle_ns = 0;
    return 1;
}

static int file_arrays(struct sl_batch *batch, struct sl_err *err)
{
    batch->raw = sl_arena_alloc(batch->arena, SL_BATCH_RECORDS * sizeof(*batch->raw));
    batch->offset = sl_arena_alloc(batch->arena, SL_BATCH_RECORDS * sizeof(*batch->offset));
    batch->append_unix_ms = sl_arena_alloc(batch->arena, SL_BATCH_RECORDS * sizeof(*batch->append_unix_ms));
    if (batch->raw == NULL || batch->offset == NULL || batch->append_unix_ms == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "the batch has no memory for its rows");
    return 0;
}

/* Reads over the rest of a line of which the window holds the first part. */
static int file_skip(struct sl_file *file, struct sl_batch *batch, struct sl_err *err)
{
    const struct sl_api *api = file->reader->api;

    for (int piece = 0; piece < FILE_SKIPS_EACH; piece++) {
        int64_t got = api->fs->pread(api->fs, file->fd, file->reader->skip, SL_FILE_SKIP_BYTES, file->skip_at);
        const char *newline;

        if (got < 0)
            return file_fail(file, got, err);
        if (got == 0)
            return file_at_end(file, batch, file->skip_at, err);
        newline = memchr(file->reader->skip, '\n', (size_t)got);
        if (newline != NULL) {
            file_tally(file, SL_FILE_CUT_LINES, 1);
            return file_hand_one(file, batch, file->skip_at + (uint64_t)(newline - file->reader->skip) + 1);
        }
        file->skip_at += (uint64_t)got;
    }
    api->wake(api->env); /* there is more to read over */
    return 0;
}

static uint32_t file_records(struct sl_file *file, struct sl_batch *batch)
{
    const struct sl_file_reader *reader = file->reader;

    return reader->multiline != NULL ? file_join(file, batch, false, false)
                                     : sl_file_block_lines(&reader->block, file->partition->next, reader->api->max_record_bytes, batch);
}

static int file_next(struct sl_file *file, struct sl_batch *batch, struct sl_err *err)
{
    struct sl_file_block *block = &file->reader->block;
    uint64_t position = file->partition->next;
    const struct sl_api *api = file->reader->api;

    sl_file_block_seat(block, file, position);
    for (;;) { /* until there is a record, or no more to read */
        int64_t got;

        if (file->skip_at == 0 && file_records(file, batch) > 0)
            return file_hand(file, batch);
        got = sl_file_block_fill(block, api->fs, file->fd, position);
        if (got == -ENOBUFS) { /* the window is full of one line */
            if (file->skip_at == 0)
                file->skip_at = block->at + block->bytes;
            return file_skip(file, batch, err);
        }
        if (got < 0)
            return file_fail(file, got, err);
        if (got == 0) {
            file->skip_at = 0;
            return file_at_end(file, batch, block->at + block->bytes, err);
        }
    }
}

int sl_file_read(struct sl_file *file, struct sl_batch *batch, struct sl_err *err)
{
    assert(file->magic == SL_FILE_MAGIC);
    if (file->phase == SL_FILE_REBINDING) {
        int rc = file_rebound(file, err);
        if (rc != 1)
            return rc;
    }
    if (file->phase != SL_FILE_READING || file->partition->held != NULL)
        return 0;
    if (file->at_end) {
        int rc = file_look(file, err);
        if (rc != 1)
            return rc;
    }
    if (file_arrays(batch, err) != 0)
        return -(int)err->code;
    return file_next(file, batch, err);
}

int sl_file_seek(struct sl_file *file, uint64_t next, struct sl_err *err)
{
    int rc;

    (void)next; /* the partition's own `next` is read from */
    assert(file->magic == SL_FILE_MAGIC);
    if (file->phase == SL_FILE_ENDED) {
        rc = file_fd_open(file);
        if (rc < 0)
            return sl_fail(err, SL_E_IO, SL_REMEDY_RETRY, -rc, "opening %s again: %s", file->path, strerror(-rc));
        file->phase = SL_FILE_READING;
    }
    file->at_end = false;
    file->reached = false;
    file->skip_at = 0;
    return 0;
}

int sl_file_fingerprint(struct sl_file *file, uint64_t offset, uint64_t *ret_hash)
{
    const struct sl_api *api = file->reader->api;
    struct sl_file_block block;
    struct sl_slice rest;
    const char *newline = NULL;
    int64_t got = 0;

    if (file->fd < 0 || sl_file_block_init(&block, 4096, file->reader->block.capacity_max) != 0)
        return -1;
    sl_file_block_seat(&block, file, offset);
    do {
        rest = sl_file_block_rest(&block, offset);
        newline = memchr(rest.data, '\n', rest.bytes);
    } while (newline == NULL && (got = sl_file_block_fill(&block, api->fs, file->fd, offset)) > 0);
    rest = sl_file_block_rest(&block, offset);
    if (newline != NULL)
        rest.bytes = (uint32_t)(newline - rest.data);
    if (newline != NULL || rest.bytes > 0)
        *ret_hash = sl_record_hash(rest);
    sl_file_block_fini(&block);
    if (got < 0 && got != -ENOBUFS)
        return -1;
    return newline != NULL || rest.bytes > 0;
}
