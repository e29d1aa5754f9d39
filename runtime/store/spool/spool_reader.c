/* spool_reader.c: from segments to batches of records: one read into the batch's arena, checked, then sliced.
 *
 * A reader holds no lock while it reads: it works on a copy of what the segment's structure said. Damage is met by a checksum
 * that does not fit; the walk of spool_scan.c then finds the next sound batch, and what lies between is counted once.
 * SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>

#include "runtime/store/spool/spool_impl.h"

enum { READER_CHUNK_LEAST = 64 << 10, READER_GROUPS = 512 };

/* What the structure said of the segment that holds the wanted offset. */
struct reader_segment {
    uint64_t base, end, nonce, bytes;
    uint64_t start_at, start_offset; /* index row at or before the wanted offset */
    bool indexed;
    char path[SPOOL_PATH_BYTES];
};

/* ---- open and close ---- */

int sl_spool_reader_open(struct sl_spool_topic *topic, uint32_t partition, void (*wake)(void *user), void *user,
                         struct sl_spool_reader **ret_reader, struct sl_err *err)
{
    struct sl_spool_reader *reader;

    if (partition >= topic->partitions_count)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "topic %s has %u partitions, not %u", topic->name,
                       topic->partitions_count, partition + 1);
    reader = calloc(1, sizeof(*reader));
    if (reader == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory for a reader of topic %s", topic->name);
    *reader = (struct sl_spool_reader){.topic = topic, .wake = wake, .user = user, .fd = -1, .chunk_bytes = READER_CHUNK_LEAST};
    (void)pthread_mutex_lock(&topic->spool->lock);
    reader->partition = topic->partitions[partition];
    reader->offset = reader->floor = reader->partition->first;
    reader->next = reader->partition->readers;
    reader->partition->readers = reader;
    (void)pthread_mutex_unlock(&topic->spool->lock);
    *ret_reader = reader;
    return 0;
}

static void reader_drop_file(struct sl_spool_reader *reader)
{
    if (reader->fd >= 0)
        (void)reader->topic->spool->fs->close(reader->topic->spool->fs, reader->fd);
    reader->fd = -1;
}

struct sl_spool_reader *sl_spool_reader_close(struct sl_spool_reader *reader)
{
    struct sl_spool_reader **at;

    if (reader == NULL)
        return NULL;
    (void)pthread_mutex_lock(&reader->topic->spool->lock);
    for (at = &reader->partition->readers; *at != NULL && *at != reader; at = &(*at)->next)
        continue;
    if (*at != NULL)
        *at = reader->next;
    (void)pthread_mutex_unlock(&reader->topic->spool->lock);
    reader_drop_file(reader);
    free(reader);
    return NULL;
}

int sl_spool_seek(struct sl_spool_reader *reader, uint64_t offset, struct sl_err *err)
{
    (void)err;
    reader->offset = reader->floor = offset;
    reader_drop_file(reader);
    return 0;
}

/* ---- finding the place ---- */

/* The first segment with records at or beyond floor. False: nothing durable there. */
static bool reader_find(struct sl_spool_reader *reader, struct reader_segment *ret_found)
{
    struct spool_partition *partition = reader->partition;
    struct spool_segment *segment = NULL;
    uint32_t low = 0, high;

    (void)pthread_mutex_lock(&reader->topic->spool->lock);
    high = partition->segments_count;
    while (low < high) { /* ends ascend */
        uint32_t middle = low + (high - low) / 2;
        if (partition->segments[middle]->end > reader->floor)
            high = middle;
        else
            low = middle + 1;
    }
    for (; low < partition->segments_count && segment == NULL; low++)
        if (partition->segments[low]->state != SPOOL_MISSING && partition->segments[low]->end > reader->floor)
            segment = partition->segments[low];
    if (segment != NULL) {
        *ret_found = (struct reader_segment){.base = segment->base, .end = segment->end, .nonce = segment->nonce,
                                             .bytes = segment->bytes, .start_at = SL_SPOOL_SEGMENT_HEADER,
                                             .start_offset = segment->base,
                                             .indexed = segment->indexed || segment->state == SPOOL_OPEN};
        for (uint32_t i = 0; i < segment->index_count && segment->index[i].offset <= reader->floor; i++) {
            ret_found->start_at = segment->index[i].at;
            ret_found->start_offset = segment->index[i].offset;
        }
        spool_segment_path(reader->topic, partition->number, segment, ret_found->path);
    }
    (void)pthread_mutex_unlock(&reader->topic->spool->lock);
    return segment != NULL;
}

/* 1 the file is open and placed, 0 look again (it is gone), <0 err. */
static int reader_enter(struct sl_spool_reader *reader, struct reader_segment *found, struct sl_err *err)
{
    struct sl_fs *fs = reader->topic->spool->fs;
    int rc;

    if (reader->fd >= 0 && reader->nonce == found->nonce)
        return 1;
    if (!found->indexed && reader->floor > found->base) {
        rc = spool_index_build(reader->topic, reader->partition, found->nonce, err);
        if (rc < 0)
            return rc;
        if (rc == 1)
            return 0;
    }
    reader_drop_file(reader);
    rc = fs->open(fs, found->path, O_RDONLY, 0);
    if (rc == -ENOENT) {
        spool_index_missing(reader->topic, reader->partition, found->nonce);
        reader->floor = found->end;
        return 0;
    }
    if (rc < 0)
        return spool_fail_io(err, rc, "opening", found->path);
    reader->fd = rc;
    reader->nonce = found->nonce;
    reader->at = found->start_at;
    reader->at_offset = found->start_offset;
    return 1;
}

/* ---- one chunk ---- */

struct reader_chunk {
    char *data;
    size_t bytes, used; /* used: what the taken batches cover, from reader->at */
    uint32_t groups, flags, count;
    struct sl_spool_batch group[READER_GROUPS];
    size_t group_at[READER_GROUPS]; /* of the body */
    bool damaged;                   /* what follows `used` does not check */
};

static int reader_fill(struct sl_spool_reader *reader, struct sl_arena *arena, size_t want, struct reader_chunk *chunk,
                       struct sl_err *err)
{
    struct sl_fs *fs = reader->topic->spool->fs;

    chunk->bytes = 0;
    chunk->data = sl_arena_alloc(arena, want + SL_PAD);
    if (chunk->data == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "topic %s: a batch of %zu bytes does not fit into its memory share",
                       reader->topic->name, want);
    while (chunk->bytes < want) {
        int64_t n = fs->pread(fs, reader->fd, chunk->data + chunk->bytes, want - chunk->bytes, reader->at + chunk->bytes);
        if (n < 0)
            return spool_fail_io(err, (int)n, "reading topic", reader->topic->name);
        if (n == 0)
            break;
        chunk->bytes += (size_t)n;
    }
    memset(chunk->data + chunk->bytes, 0, want + SL_PAD - chunk->bytes);
    return 0;
}

/* Takes whole sound batches off the chunk. Returns the bytes that the first one needs if it is longer than the chunk, else 0. */
static size_t reader_take(const struct sl_spool_reader *reader, const struct reader_segment *found, struct reader_chunk *chunk)
{
    uint64_t expected = reader->at_offset, left = found->bytes - reader->at;

    chunk->used = 0;
    chunk->groups = chunk->count = chunk->flags = 0;
    chunk->damaged = false;
    while (chunk->groups < READER_GROUPS && chunk->used + SL_SPOOL_BATCH_HEADER <= chunk->bytes) {
        struct sl_spool_batch *group = &chunk->group[chunk->groups];
        const char *header = chunk->data + chunk->used;
        size_t bytes;
        if (!sl_spool_batch_get(header, found->nonce, group) || group->base < expected || group->base + group->count > found->end ||
            (bytes = SL_SPOOL_BATCH_HEADER + (size_t)group->body_bytes) > left - chunk->used) {
            chunk->damaged = true;
            return 0;
        }
        if (bytes > chunk->bytes - chunk->used)
            return chunk->used == 0 ? bytes : 0;
        if (chunk->count > 0 && chunk->count + group->count > SL_BATCH_RECORDS)
            return 0;
        if (!sl_spool_batch_body_ok(group, header + SL_SPOOL_BATCH_HEADER)) {
            chunk->damaged = true;
            return 0;
        }
        expected = group->base + group->count;
        chunk->group_at[chunk->groups] = chunk->used + SL_SPOOL_BATCH_HEADER;
        chunk->used += bytes;
        if (expected <= reader->floor)
            continue; /* before the wanted offset */
        chunk->count += group->count;
        chunk->flags |= group->flags;
        chunk->groups++;
    }
    if (chunk->used + SL_SPOOL_BATCH_HEADER > chunk->bytes && chunk->bytes < left && chunk->used == 0)
        chunk->damaged = true; /* the file ends before its records do */
    if (chunk->used == 0 && left < SL_SPOOL_BATCH_HEADER)
        chunk->damaged = true;
    return 0;
}

static int reader_arrays(struct sl_batch *batch, const struct reader_chunk *chunk)
{
    struct sl_arena *arena = batch->arena;
    size_t count = chunk->count;
    bool complete = true;

    batch->raw = sl_arena_alloc(arena, count * sizeof(*batch->raw));
    batch->offset = sl_arena_alloc(arena, count * sizeof(*batch->offset));
    batch->append_unix_ms = sl_arena_alloc(arena, count * sizeof(*batch->append_unix_ms));
    complete = batch->raw != NULL && batch->offset != NULL && batch->append_unix_ms != NULL;
    if ((chunk->flags & SL_SPOOL_KEYS) != 0)
        complete = (batch->key = sl_arena_alloc(arena, count * sizeof(*batch->key))) != NULL && complete;
    if ((chunk->flags & SL_SPOOL_NULLS) != 0)
        complete = (batch->null_payload = sl_arena_alloc(arena, count)) != NULL && complete;
    if ((chunk->flags & SL_SPOOL_HEADERS) != 0) {
        batch->headers = sl_arena_alloc(arena, count * sizeof(*batch->headers));
        batch->headers_count = sl_arena_alloc(arena, count * sizeof(*batch->headers_count));
        complete = batch->headers != NULL && batch->headers_count != NULL && complete;
    }
    return complete ? 0 : -1;
}

static int reader_slice(struct sl_spool_reader *reader, const struct reader_chunk *chunk, struct sl_batch *batch,
                        struct sl_err *err)
{
    uint64_t next = reader->floor;
    int rc = reader_arrays(batch, chunk) < 0 ? -2 : 0;

    for (uint32_t i = 0; rc == 0 && i < chunk->groups; i++) {
        uint32_t before = batch->count;
        rc = sl_spool_batch_decode(&chunk->group[i], chunk->data + chunk->group_at[i], reader->floor, batch);
        if (rc == -1) { /* a sound checksum over nonsense: no disk does that, but no bad input may end the process */
            uint64_t at = reader->at + chunk->group_at[i];
            struct spool_step step = {.at = at, .next_at = at + chunk->group[i].body_bytes, .first = chunk->group[i].base,
                                      .next = chunk->group[i].base + chunk->group[i].count};
            spool_index_lost(reader->topic, reader->partition, reader->nonce, &step, "a batch contradicts itself");
            batch->count = before;
            rc = 0;
        }
        next = chunk->group[i].base + chunk->group[i].count;
    }
    if (rc < 0)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "topic %s: %u records do not fit into their memory share",
                       reader->topic->name, chunk->count);
    batch->may_break = (chunk->flags & SL_SPOOL_MAY_BREAK) != 0;
    batch->large = chunk->used > SL_BATCH_BYTES;
    batch->next = next;
    reader->floor = next;
    return 0;
}

/* Nothing sound stands at reader->at: goes on behind the damage. */
static int reader_skip_damage(struct sl_spool_reader *reader, const struct reader_segment *found, struct sl_err *err)
{
    struct spool_scan scan = {.fs = reader->topic->spool->fs, .fd = reader->fd, .nonce = found->nonce, .at = reader->at,
                              .end = found->bytes, .offset = reader->at_offset, .limit = found->end};
    struct spool_step step = {0};
    int rc = spool_scan_step(&scan, &step);

    spool_scan_fini(&scan);
    if (rc < 0)
        return spool_fail_io(err, rc, "reading topic", reader->topic->name);
    if (rc == SPOOL_BATCH) /* it was read well this time */
        return 0;
    if (rc == SPOOL_DAMAGE) {
        spool_index_lost(reader->topic, reader->partition, found->nonce, &step, "damaged stretch");
        reader->at = step.next_at;
        reader->at_offset = step.next;
        return 0;
    }
    if (rc == SPOOL_TAIL) {
        step.next = found->end;
        spool_index_lost(reader->topic, reader->partition, found->nonce, &step, "the rest of the segment is damaged");
    }
    spool_index_shorten(reader->topic, reader->partition, found->nonce, reader->at_offset);
    reader->floor = found->end > reader->floor ? found->end : reader->floor;
    reader_drop_file(reader);
    return 0;
}

/* 1 a batch, 0 look again, <0 err. */
static int reader_step(struct sl_spool_reader *reader, struct reader_segment *found, struct sl_batch *batch,
                       struct reader_chunk *chunk, struct sl_err *err)
{
    size_t want = reader->chunk_bytes, longer;
    int rc;

    if (found->bytes <= reader->at)
        return reader_skip_damage(reader, found, err);
    if (want > found->bytes - reader->at)
        want = (size_t)(found->bytes - reader->at);
    rc = reader_fill(reader, batch->arena, want, chunk, err);
    if (rc < 0)
        return rc;
    longer = reader_take(reader, found, chunk);
    if (longer > 0) {
        rc = reader_fill(reader, batch->arena, longer, chunk, err);
        if (rc < 0)
            return rc;
        if (reader_take(reader, found, chunk) > 0)
            chunk->damaged = true; /* the file is shorter than that */
    }
    if (chunk->used == 0)
        return chunk->damaged ? reader_skip_damage(reader, found, err) : 0;
    if (chunk->groups > 0) {
        rc = reader_slice(reader, chunk, batch, err);
        if (rc < 0)
            return rc;
        reader->at_offset = batch->next;
    }
    reader->at += chunk->used;
    reader->chunk_bytes = 2 * chunk->used < READER_CHUNK_LEAST ? READER_CHUNK_LEAST
                          : 2 * chunk->used > SL_BATCH_BYTES   ? SL_BATCH_BYTES
                                                               : 2 * chunk->used;
    return batch->count > 0 ? 1 : 0;
}

int sl_spool_read(struct sl_spool_reader *reader, struct sl_batch *batch, struct sl_err *err)
{
    struct reader_segment found;
    struct reader_chunk chunk;
    int rc = 0;

    while (rc == 0 && reader_find(reader, &found)) {
        batch->count = 0;
        batch->key = NULL;
        batch->headers = NULL;
        batch->headers_count = NULL;
        batch->null_payload = NULL;
        batch->origin = NULL;
        rc = reader_enter(reader, &found, err);
        if (rc == 1)
            rc = reader_step(reader, &found, batch, &chunk, err);
    }
    if (rc != 1)
        return rc;
    batch->first = reader->offset;
    reader->offset = reader->floor = batch->next;
    return 1;
}
