/* files_flush.c: the bytes of a flush: a raw buffer a path, independent zstd frames, temporaries, and what makes them durable.
 *
 * Memory: a path's buffer begins at 1 KiB and doubles up to 512 KiB. When the flush would hold more than its limit, a path that
 * has its fair part (limit / paths) writes a frame instead of growing; else the path longest without a record (a clock hand:
 * second chance) writes its frame and gives its buffer up. So held_bytes <= limit + one buffer, whatever the number of paths; the
 * price of many paths is smaller frames, never memory.
 * Descriptors: at most FILES_DESCRIPTORS; a further one closes another path's descriptor, not its file (rule C4).
 * Rule F2: any failed write, fsync or close condemns the whole flush: the caller removes it and reads again. Linux reports a
 * write-back error to the next opener of the file, so one that happened while a descriptor was closed is still seen by prepare.
 * SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "operators/sinks/files.h"
#include "operators/sinks/lines.h"
#include "runtime/base/crc32c.h"
#include "runtime/base/intern.h"
#include "runtime/engine/ledger.h"

/* ---- writer ---- */

static int files_cctx_setup(ZSTD_CCtx *cctx, int level)
{
    size_t rc = ZSTD_CCtx_setParameter(cctx, ZSTD_c_compressionLevel, level);

    if (!ZSTD_isError(rc))
        rc = ZSTD_CCtx_setParameter(cctx, ZSTD_c_windowLog, FILES_WINDOW_LOG);
    return ZSTD_isError(rc) ? -1 : 0;
}

int files_writer_init(struct files_writer *writer, bool packed, int level, struct sl_err *err)
{
    memset(writer, 0, sizeof(*writer));
    if (!packed)
        return 0;
    writer->out_bytes = ZSTD_compressBound(FILES_BUFFER_MAX);
    writer->out = malloc(writer->out_bytes);
    writer->cctx = ZSTD_createCCtx();
    if (writer->out == NULL || writer->cctx == NULL || files_cctx_setup(writer->cctx, level) != 0) {
        files_writer_fini(writer);
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory for compression (level %d)", level);
    }
    return 0;
}

void files_writer_fini(struct files_writer *writer)
{
    (void)ZSTD_freeCCtx(writer->cctx);
    free(writer->out);
    memset(writer, 0, sizeof(*writer));
}

/* Tables of a level grow by its hash log and chain log; the bounds hold for levels up to 19 at this window (tested). */
size_t files_writer_bytes(bool packed, int level)
{
    size_t tables_kib = level <= 3 ? 1536 : level <= 6 ? 4096 : 10240;

    return packed ? ZSTD_compressBound(FILES_BUFFER_MAX) + (tables_kib << 10) : 0;
}

/* ---- flush ---- */

struct files_flush *files_flush_new(const struct files_place *place, uint64_t seal)
{
    struct files_flush *flush = calloc(1, sizeof(*flush));

    if (flush != NULL) {
        flush->place = place;
        flush->seal = seal;
    }
    return flush;
}

static void files_buffer_free(struct files_flush *flush, struct files_path *path)
{
    atomic_fetch_sub_explicit(&flush->held_bytes, path->cap, memory_order_relaxed);
    free(path->buffer);
    path->buffer = NULL;
    path->cap = path->used = 0;
}

struct files_flush *files_flush_free(struct files_flush *flush)
{
    if (flush == NULL)
        return NULL;
    for (uint32_t i = 0; i < flush->paths_count; i++) {
        assert(flush->paths[i]->fd < 0);
        free(flush->paths[i]->buffer);
        free(flush->paths[i]->name);
        free(flush->paths[i]);
    }
    for (uint32_t i = 0; i < flush->ranges_count; i++) {
        free(flush->ranges[i].source);
        free(flush->ranges[i].topic);
        free(flush->ranges[i].id);
    }
    for (uint32_t i = 0; i < flush->entry.files_count && flush->entry.files != NULL; i++) {
        free((char *)(uintptr_t)flush->entry.files[i].temporary); /* made by prepare; const for readers only */
        free((char *)(uintptr_t)flush->entry.files[i].final);
    }
    free(flush->entry.files);
    free(flush->entry.ranges);
    free(flush->entry.accounts);
    free(flush->entry_data);
    free(flush->paths);
    free(flush->ranges);
    free(flush->range_of);
    free(flush);
    return NULL;
}

static int files_room_for_path(struct files_flush *flush)
{
    uint32_t cap = flush->paths_cap == 0 ? 64 : 2 * flush->paths_cap;
    struct files_path **paths;

    if (flush->paths_count < flush->paths_cap)
        return 0;
    paths = realloc(flush->paths, cap * sizeof(struct files_path *));
    if (paths == NULL)
        return -1;
    flush->paths = paths;
    flush->paths_cap = cap;
    return 0;
}

struct files_path *files_flush_path(struct files_flush *flush, struct sl_slice name, uint64_t hash)
{
    struct files_path *path = calloc(1, sizeof(*path));

    if (path == NULL || files_room_for_path(flush) != 0 || (path->name = malloc((size_t)name.bytes + 1)) == NULL) {
        free(path);
        return NULL;
    }
    if (name.bytes > 0)
        memcpy(path->name, name.data, name.bytes);
    path->name[name.bytes] = '\0';
    path->hash = hash;
    path->fd = -1;
    path->index = flush->paths_count;
    flush->paths[flush->paths_count++] = path;
    atomic_fetch_add_explicit(&flush->held_bytes, sizeof(*path) + name.bytes + 1, memory_order_relaxed);
    return path;
}

/* ---- temporaries ---- */

static int files_temporary(const struct files_flush *flush, const struct files_path *path, char text[PATH_MAX])
{
    int bytes = snprintf(text, PATH_MAX, "%s/%u-%llu-%u", flush->place->tmp_dir, flush->place->slot,
                         (unsigned long long)flush->seal, path->index);
    return bytes < 0 || bytes >= PATH_MAX ? -ENAMETOOLONG : 0;
}

static int files_close(struct files_flush *flush, struct files_path *path)
{
    int rc, fd = path->fd;

    if (fd < 0)
        return 0;
    flush->fds[path->fd_slot] = NULL;
    path->fd = -1; /* a failed close leaves no descriptor either */
    rc = flush->place->fs->close(flush->place->fs, fd);
    return rc < 0 ? rc : 0;
}

/* A free place among the descriptors; second chance for those written to since the hand passed. */
static int files_fd_slot(struct files_flush *flush, uint32_t *ret_slot)
{
    for (;;) {
        uint32_t slot = flush->fd_hand++ % FILES_DESCRIPTORS;
        struct files_path *path = flush->fds[slot];
        if (path != NULL && path->recent) {
            path->recent = false;
            continue;
        }
        *ret_slot = slot;
        return path == NULL ? 0 : files_close(flush, path);
    }
}

static int files_open_made(struct files_flush *flush, struct files_path *path, const char *text)
{
    struct sl_fs *fs = flush->place->fs;
    int flags = path->made ? O_WRONLY : O_WRONLY | O_CREAT | O_EXCL;
    int rc = fs->open(fs, text, flags, 0644);

    if (rc != -ENOENT || path->made)
        return rc;
    rc = sl_fs_mkdirs(fs, flush->place->tmp_dir, 0755); /* the first one of this epoch */
    return rc < 0 ? rc : fs->open(fs, text, flags, 0644);
}

static int files_open(struct files_flush *flush, struct files_path *path)
{
    char text[PATH_MAX];
    uint32_t slot = 0;
    int fd, rc;

    if (path->fd >= 0)
        return 0;
    rc = files_temporary(flush, path, text);
    if (rc == 0)
        rc = files_fd_slot(flush, &slot);
    if (rc < 0)
        return rc;
    fd = files_open_made(flush, path, text);
    if (fd < 0)
        return fd;
    path->fd = fd;
    path->fd_slot = slot;
    path->made = true;
    flush->fds[slot] = path;
    return 0;
}

static int files_write_failed(const struct files_flush *flush, const struct files_path *path, int rc, size_t bytes,
                              struct sl_err *err)
{
    if (rc == -ENOSPC || rc == -EDQUOT)
        return sl_fail(err, SL_E_IO, SL_REMEDY_RETRY, -rc,
                       "no space left under %s for a temporary of %s (%zu more bytes at %llu): free space, it goes on by itself",
                       flush->place->dir, path->name[0] == '\0' ? "the folder itself" : path->name, bytes,
                       (unsigned long long)path->file_bytes);
    return sl_fail(err, SL_E_IO, SL_REMEDY_RETRY, -rc, "write a temporary of %s under %s: %s",
                   path->name[0] == '\0' ? "the folder itself" : path->name, flush->place->tmp_dir, strerror(-rc));
}

/* Writes the buffer as one frame; the buffer stays. */
static int files_drain(struct files_flush *flush, struct files_path *path, struct files_writer *writer, struct sl_err *err)
{
    const char *data = path->buffer;
    size_t bytes = path->used;
    int rc;

    if (path->used == 0)
        return 0;
    if (writer->cctx != NULL) {
        bytes = ZSTD_compress2(writer->cctx, writer->out, writer->out_bytes, path->buffer, path->used);
        if (ZSTD_isError(bytes))
            return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "compress: %s", ZSTD_getErrorName(bytes));
        data = writer->out;
    }
    rc = files_open(flush, path);
    if (rc == 0)
        rc = sl_fs_write_all(flush->place->fs, path->fd, data, bytes, path->file_bytes);
    if (rc < 0)
        return files_write_failed(flush, path, rc, bytes, err);
    path->crc32c = sl_crc32c(path->crc32c, data, bytes);
    path->file_bytes += bytes;
    flush->written_bytes += bytes;
    path->used = 0;
    return 0;
}

/* ---- buffers ---- */

static uint64_t files_held(const struct files_flush *flush)
{
    return atomic_load_explicit(&flush->held_bytes, memory_order_relaxed);
}

/* Another path gives its buffer up. Two rounds of the hand find one if there is any. */
static int files_evict(struct files_flush *flush, const struct files_path *keep, struct files_writer *writer, struct sl_err *err)
{
    for (uint32_t i = 0; i < 2 * flush->paths_count; i++) {
        struct files_path *path = flush->paths[flush->hand++ % flush->paths_count];
        int rc;
        if (path == keep || path->cap == 0)
            continue;
        if (path->recent) {
            path->recent = false;
            continue;
        }
        rc = files_drain(flush, path, writer, err);
        if (rc == 0)
            files_buffer_free(flush, path);
        return rc < 0 ? rc : 1;
    }
    return 0;
}

static int files_grow(struct files_flush *flush, struct files_path *path, uint32_t cap, struct sl_err *err)
{
    char *buffer = realloc(path->buffer, cap);

    if (buffer == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory for a buffer of %u bytes", cap);
    atomic_fetch_add_explicit(&flush->held_bytes, cap - path->cap, memory_order_relaxed);
    path->buffer = buffer;
    path->cap = cap;
    return 0;
}

/* One step towards room for `need` (<= FILES_BUFFER_MAX): grow, write out, or take from another path. */
static int files_make_room(struct files_flush *flush, struct files_path *path, struct files_writer *writer, uint32_t need,
                           uint64_t limit_bytes, struct sl_err *err)
{
    uint32_t cap = path->cap == 0 ? FILES_BUFFER_MIN : path->cap;
    int rc;

    if (path->cap == FILES_BUFFER_MAX)
        return files_drain(flush, path, writer, err);
    if (path->cap > 0)
        cap = 2 * cap;
    while (cap < need)
        cap *= 2;
    while (files_held(flush) + (cap - path->cap) > limit_bytes) {
        if (path->used > 0 && path->used >= limit_bytes / flush->paths_count)
            return files_drain(flush, path, writer, err);
        rc = files_evict(flush, path, writer, err);
        if (rc < 0)
            return rc;
        if (rc == 0) { /* nobody else holds any: the bound is this one buffer */
            if (path->used > 0)
                return files_drain(flush, path, writer, err);
            break;
        }
    }
    return files_grow(flush, path, cap, err);
}

static void files_copy(struct files_path *path, const char *data, size_t bytes, bool breaks)
{
    lines_copy(path->buffer + path->used, data, bytes, breaks);
    path->used += (uint32_t)bytes;
}

/* A record longer than a buffer spans frames. */
static int files_append_long(struct files_flush *flush, struct files_path *path, struct files_writer *writer, struct sl_slice body,
                             bool breaks, uint64_t limit_bytes, struct sl_err *err)
{
    for (uint32_t at = 0; at < body.bytes;) {
        uint32_t part = body.bytes - at;
        if (path->used == path->cap) {
            int rc = files_make_room(flush, path, writer, FILES_BUFFER_MAX, limit_bytes, err);
            if (rc < 0)
                return rc;
            continue;
        }
        if (part > path->cap - path->used)
            part = path->cap - path->used;
        files_copy(path, body.data + at, part, breaks);
        at += part;
    }
    return 0;
}

int files_flush_append(struct files_flush *flush, struct files_path *path, struct files_writer *writer, struct sl_slice body,
                       bool breaks, uint64_t limit_bytes, struct sl_err *err)
{
    bool longer = body.bytes >= FILES_BUFFER_MAX;
    uint32_t need = longer ? 1 : body.bytes + 1;
    int rc = longer ? files_append_long(flush, path, writer, body, breaks, limit_bytes, err) : 0;

    while (rc == 0 && path->cap - path->used < need)
        rc = files_make_room(flush, path, writer, need, limit_bytes, err);
    if (rc < 0)
        return rc;
    if (!longer)
        files_copy(path, body.data, body.bytes, breaks);
    path->buffer[path->used++] = '\n';
    path->recent = true;
    path->records++;
    path->raw_bytes += (uint64_t)body.bytes + 1;
    return 0;
}

/* ---- ranges ---- */

static struct files_range *files_range_of(struct files_flush *flush, const struct sl_partition *partition)
{
    uint32_t row = partition->index < flush->range_of_count ? flush->range_of[partition->index] : 0;

    return row == 0 || flush->ranges[row - 1].assignment != partition->assignment ? NULL : &flush->ranges[row - 1];
}

static int files_ranges_grow(struct files_flush *flush, uint32_t index)
{
    uint32_t cap = flush->ranges_cap == 0 ? 16 : 2 * flush->ranges_cap, count = index + 16;

    if (flush->ranges_count == flush->ranges_cap) {
        struct files_range *ranges = realloc(flush->ranges, cap * sizeof(*ranges));
        if (ranges == NULL)
            return -1;
        flush->ranges = ranges;
        flush->ranges_cap = cap;
    }
    if (index >= flush->range_of_count) {
        uint32_t *range_of = realloc(flush->range_of, count * sizeof(*range_of));
        if (range_of == NULL)
            return -1;
        memset(range_of + flush->range_of_count, 0, (count - flush->range_of_count) * sizeof(*range_of));
        flush->range_of = range_of;
        flush->range_of_count = count;
    }
    return 0;
}

static struct files_range *files_range_add(struct files_flush *flush, const struct sl_partition *partition, uint64_t first)
{
    struct files_range range = {.incarnation = partition->incarnation, .assignment = partition->assignment, .first = first,
                                .next = first};

    if (files_ranges_grow(flush, partition->index) != 0)
        return NULL;
    range.source = strdup(partition->source);
    range.topic = strdup(partition->topic);
    range.id = strdup(partition->id);
    if (range.source == NULL || range.topic == NULL || range.id == NULL) {
        free(range.source);
        free(range.topic);
        free(range.id);
        return NULL;
    }
    flush->ranges[flush->ranges_count++] = range;
    flush->range_of[partition->index] = flush->ranges_count;
    return &flush->ranges[flush->ranges_count - 1];
}

/* Parcels tile (rule A2); where one does not begin at the last one's end (a gap that retention made, an assignment of its own),
 * a new row begins. */
int files_flush_cover(struct files_flush *flush, const struct sl_partition *partition, uint64_t first, uint64_t next,
                      uint32_t delivered, struct sl_err *err)
{
    struct files_range *range = files_range_of(flush, partition);

    assert(first <= next);
    if (range == NULL || first != range->next)
        range = files_range_add(flush, partition, first);
    if (range == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory for the ranges of a flush");
    range->next = next;
    range->delivered += delivered;
    return 0;
}

/* ---- prepare ---- */

static int files_finish(struct files_flush *flush, struct files_path *path, struct files_writer *writer, struct sl_err *err)
{
    struct sl_fs *fs = flush->place->fs;
    int synced, closed, rc = files_drain(flush, path, writer, err);

    if (rc < 0)
        return rc;
    files_buffer_free(flush, path);
    rc = files_open(flush, path); /* it may have been closed for want of descriptors */
    if (rc < 0)
        return files_write_failed(flush, path, rc, 0, err);
    synced = fs->fsync(fs, path->fd);
    closed = files_close(flush, path);
    if (synced < 0 || closed < 0)
        return sl_fail(err, SL_E_IO, SL_REMEDY_RETRY, synced < 0 ? -synced : -closed,
                       "%s a temporary of %s under %s: %s; the flush is given up and read again", synced < 0 ? "fsync" : "close",
                       path->name[0] == '\0' ? "the folder itself" : path->name, flush->place->tmp_dir,
                       strerror(synced < 0 ? -synced : -closed));
    return 0;
}

/* A final name that exists already can only be foreign: it must not be found after the commit. */
static int files_final_is_free(const struct files_flush *flush, const char *final, struct sl_err *err)
{
    const struct files_place *place = flush->place;
    struct sl_fs_stat st;
    char text[PATH_MAX];
    int bytes = snprintf(text, sizeof(text), "%s/%s", place->dir, final);
    int rc = bytes < 0 || bytes >= PATH_MAX ? -ENAMETOOLONG : place->fs->stat(place->fs, text, &st);

    if (rc == -ENOENT || rc == -ENOTDIR)
        return 0;
    if (rc < 0)
        return sl_fail(err, SL_E_IO, SL_REMEDY_HALT, -rc, "stat %s/%s: %s", place->dir, final, strerror(-rc));
    return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, EEXIST,
                   "%s exists already and is never overwritten: another process with node %s writes here, or data_dir was "
                   "lost (its start counter began anew); give this node another name, or move the file away",
                   text, place->node);
}

static int files_entry_file(struct files_flush *flush, const struct files_path *path, struct sl_err *err)
{
    const struct files_place *place = flush->place;
    struct sl_landing_file *file = &flush->entry.files[flush->entry.files_count++];
    char name[SL_LANDING_NAME_BYTES], *temporary = NULL, *final = NULL;
    const char *relative = place->tmp_dir + strlen(place->dir) + 1;

    (void)sl_landing_name(place->node, place->epoch, flush->base.number, name);
    if (asprintf(&temporary, "%s/%u-%llu-%u", relative, place->slot, (unsigned long long)flush->seal, path->index) < 0)
        temporary = NULL;
    if (asprintf(&final, "%s%s%s.ndjson%s", path->name, path->name[0] == '\0' ? "" : "/", name, place->packed ? ".zst" : "") < 0)
        final = NULL;
    *file = (struct sl_landing_file){temporary, final, path->file_bytes, path->records, path->raw_bytes, path->crc32c};
    if (temporary == NULL || final == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory for the entry of a flush");
    return files_final_is_free(flush, final, err);
}

static int files_entry_accounts(struct files_flush *flush, struct sl_err *err)
{
    const struct sl_ledger *ledger = flush->base.ledger;
    struct sl_landing_entry *entry = &flush->entry;

    static_assert((int)SL_LANDING_FATES == (int)SL_FATES, "an account row has a number a fate");
    if (ledger == NULL)
        return 0;
    entry->accounts = calloc((size_t)ledger->rows_count + 1, sizeof(*entry->accounts));
    if (entry->accounts == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory for the entry of a flush");
    for (uint32_t i = 0; i < ledger->rows_cap && entry->accounts_count < ledger->rows_count; i++) {
        const struct sl_ledger_row *row = &ledger->rows[i];
        struct sl_landing_account *account = &entry->accounts[entry->accounts_count];
        if (row->sink == 0)
            continue;
        account->service = sl_intern_name(row->service);
        account->level = row->level;
        memcpy(account->fates, row->fates, sizeof(account->fates));
        entry->accounts_count++;
    }
    return 0;
}

static int files_entry(struct files_flush *flush, struct sl_err *err)
{
    struct sl_landing_entry *entry = &flush->entry;
    size_t bytes = 0;
    int rc = 0;

    entry->zone = flush->place->zone;
    entry->node = flush->place->node;
    entry->topology = flush->place->topology;
    entry->component = flush->place->component;
    entry->epoch = flush->place->epoch;
    entry->number = flush->base.number;
    entry->unix_ms = flush->sealed_unix_ms;
    entry->generation = flush->base.generation;
    entry->several = flush->base.several;
    entry->dir = flush->place->dir;
    entry->files = calloc((size_t)flush->paths_count + 1, sizeof(*entry->files));
    entry->ranges = calloc((size_t)flush->ranges_count + 1, sizeof(*entry->ranges));
    if (entry->files == NULL || entry->ranges == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory for the entry of a flush");
    for (uint32_t i = 0; rc == 0 && i < flush->paths_count; i++)
        rc = files_entry_file(flush, flush->paths[i], err);
    for (uint32_t i = 0; i < flush->ranges_count; i++) {
        const struct files_range *range = &flush->ranges[i];
        entry->ranges[entry->ranges_count++] = (struct sl_landing_range){
            range->source, range->topic, range->id, range->incarnation, range->first, range->next, range->delivered};
    }
    if (rc == 0)
        rc = files_entry_accounts(flush, err);
    if (rc == 0)
        rc = sl_landing_encode(entry, &flush->entry_data, &bytes, err);
    if (rc == 0)
        flush->base.entry = (struct sl_slice){flush->entry_data, (uint32_t)bytes};
    return rc;
}

int files_flush_prepare(struct files_flush *flush, struct sl_err *err)
{
    const struct files_place *place = flush->place;
    struct files_writer writer;
    int synced, rc = files_writer_init(&writer, place->packed, place->level, err);

    assert(!flush->prepared);
    for (uint32_t i = 0; rc == 0 && i < flush->paths_count; i++)
        rc = files_finish(flush, flush->paths[i], &writer, err);
    files_writer_fini(&writer);
    if (rc == 0 && flush->paths_count > 0 && (synced = place->fs->sync_dir(place->fs, place->tmp_dir)) < 0)
        rc = sl_fail(err, SL_E_IO, SL_REMEDY_RETRY, -synced, "fsync %s: %s", place->tmp_dir, strerror(-synced));
    if (rc == 0)
        rc = files_entry(flush, err);
    if (rc == 0) /* a folder that cannot be made must be met before the commit */
        rc = files_make_folders(place, &flush->entry, err);
    flush->prepared = rc == 0;
    return rc;
}

void files_flush_remove(struct files_flush *flush)
{
    char text[PATH_MAX];

    for (uint32_t i = 0; i < flush->paths_count; i++) {
        struct files_path *path = flush->paths[i];
        (void)files_close(flush, path);
        if (path->made && !flush->gone && files_temporary(flush, path, text) == 0)
            (void)flush->place->fs->unlink(flush->place->fs, text); /* a start of ours removes what stays */
    }
    flush->gone = true;
}
