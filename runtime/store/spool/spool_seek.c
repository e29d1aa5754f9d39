/* spool_seek.c: what is known about a segment's inside, learnt when first asked: index rows, losses, times.
 * SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>

#include "runtime/store/spool/spool_impl.h"

enum { SEEK_ARENA_BYTES = 64 << 20 };

static struct spool_segment *seek_segment(struct spool_partition *partition, uint64_t nonce)
{
    for (uint32_t i = 0; i < partition->segments_count; i++)
        if (partition->segments[i]->nonce == nonce)
            return partition->segments[i];
    return NULL;
}

/* Counts a loss that a reader met. The segment may be gone meanwhile; then nobody misses it. */
void spool_index_lost(struct sl_spool_topic *topic, struct spool_partition *partition, uint64_t nonce,
                      const struct spool_step *step, const char *what)
{
    struct sl_spool *spool = topic->spool;
    struct spool_segment *segment;
    char path[SPOOL_PATH_BYTES];
    struct sl_err err;

    (void)pthread_mutex_lock(&spool->lock);
    segment = seek_segment(partition, nonce);
    if (segment == NULL || step->next_at <= segment->counted_at) {
        (void)pthread_mutex_unlock(&spool->lock);
        return;
    }
    segment->counted_at = step->next_at;
    segment->damaged = true;
    spool->stats.lost_offsets += step->next - step->first;
    spool->stats.damaged_bytes += step->next_at - step->at;
    spool->stats.damaged_stretches++;
    spool_segment_path(topic, partition->number, segment, path);
    (void)pthread_mutex_unlock(&spool->lock);
    (void)sl_fail(&err, SL_E_FORMAT, SL_REMEDY_RETRY, 0, "%s: bytes %llu to %llu: %s, offsets %llu to %llu are lost", path,
                  (unsigned long long)step->at, (unsigned long long)step->next_at, what, (unsigned long long)step->first,
                  (unsigned long long)step->next);
    if (spool->settings.report != NULL)
        spool->settings.report(spool->settings.env, &err);
}

/* The file vanished under us: its offsets are lost, readers pass over it. */
void spool_index_missing(struct sl_spool_topic *topic, struct spool_partition *partition, uint64_t nonce)
{
    struct sl_spool *spool = topic->spool;
    struct spool_segment *segment;

    (void)pthread_mutex_lock(&spool->lock);
    segment = seek_segment(partition, nonce);
    if (segment != NULL && segment->state == SPOOL_SEALED) {
        segment->state = SPOOL_MISSING;
        spool->stats.missing_segments++;
        spool->stats.lost_offsets += segment->gone ? 0 : segment->end - segment->base;
        topic->bytes -= segment->bytes;
    } else if (segment != NULL && segment->state == SPOOL_OPEN && !segment->gone) {
        segment->gone = true; /* the writer's next run seals it and begins another */
        spool->stats.lost_offsets += segment->end - segment->base;
    }
    (void)pthread_mutex_unlock(&spool->lock);
}

/* The log's end is where its last readable record ends: whoever reads to the end must get there. */
void spool_index_shorten(struct sl_spool_topic *topic, struct spool_partition *partition, uint64_t nonce, uint64_t end)
{
    struct spool_segment *segment;

    (void)pthread_mutex_lock(&topic->spool->lock);
    segment = seek_segment(partition, nonce);
    if (segment != NULL && segment->state == SPOOL_SEALED && partition->segments_count > 0 &&
        partition->segments[partition->segments_count - 1] == segment && partition->end > end && end >= segment->base)
        partition->end = end;
    (void)pthread_mutex_unlock(&topic->spool->lock);
}

/* Fills rows of a structure of our own from the file. */
static int seek_walk(struct sl_spool_topic *topic, const char *path, uint64_t bytes, uint64_t limit, struct spool_segment *rows)
{
    struct sl_fs *fs = topic->spool->fs;
    struct spool_scan scan = {.fs = fs, .nonce = rows->nonce, .at = SL_SPOOL_SEGMENT_HEADER, .end = bytes, .offset = rows->base,
                              .limit = limit};
    struct spool_step step;
    int rc;

    scan.fd = fs->open(fs, path, O_RDONLY, 0);
    if (scan.fd < 0)
        return scan.fd;
    while ((rc = spool_scan_step(&scan, &step)) >= 0 && rc != SPOOL_END)
        if (rc == SPOOL_BATCH)
            spool_segment_note(rows, &step.batch, step.at);
    spool_scan_fini(&scan);
    (void)fs->close(fs, scan.fd);
    return rc < 0 ? rc : 0;
}

int spool_index_build(struct sl_spool_topic *topic, struct spool_partition *partition, uint64_t nonce, struct sl_err *err)
{
    struct spool_segment rows, *segment;
    uint64_t bytes, limit;
    char path[SPOOL_PATH_BYTES];
    int rc;

    (void)pthread_mutex_lock(&topic->spool->lock);
    segment = seek_segment(partition, nonce);
    if (segment == NULL || segment->state != SPOOL_SEALED || segment->indexed) {
        (void)pthread_mutex_unlock(&topic->spool->lock);
        return 1;
    }
    rows = (struct spool_segment){.base = segment->base, .nonce = nonce};
    bytes = segment->bytes;
    limit = segment->end;
    spool_segment_path(topic, partition->number, segment, path);
    (void)pthread_mutex_unlock(&topic->spool->lock);
    rc = seek_walk(topic, path, bytes, limit, &rows);
    if (rc < 0 && rc != -ENOENT) {
        free(rows.index);
        return spool_fail_io(err, rc, "reading", path);
    }
    (void)pthread_mutex_lock(&topic->spool->lock);
    segment = seek_segment(partition, nonce);
    if (segment != NULL && !segment->indexed && rc == 0) {
        free(segment->index);
        segment->index = rows.index;
        segment->index_count = rows.index_count;
        segment->index_room = rows.index_room;
        segment->indexed = true;
        rows.index = NULL;
    }
    (void)pthread_mutex_unlock(&topic->spool->lock);
    free(rows.index);
    if (rc == -ENOENT)
        spool_index_missing(topic, partition, nonce);
    return 1;
}

void sl_spool_bounds(struct sl_spool_topic *topic, uint32_t partition, uint64_t *ret_first, uint64_t *ret_end)
{
    (void)pthread_mutex_lock(&topic->spool->lock);
    *ret_first = topic->partitions[partition]->first;
    *ret_end = topic->partitions[partition]->end;
    (void)pthread_mutex_unlock(&topic->spool->lock);
}

/* ---- by time ---- */

/* An offset from which no record that is wanted lies behind us: a segment's base or a row of its index. */
static uint64_t seek_time_start(struct spool_partition *partition, int64_t unix_ms)
{
    for (uint32_t i = 0; i < partition->segments_count; i++) {
        const struct spool_segment *segment = partition->segments[i];
        uint64_t start = segment->base;
        if (segment->state == SPOOL_MISSING || segment->end == segment->base || segment->time_max < unix_ms)
            continue;
        for (uint32_t row = 0; row < segment->index_count && segment->index[row].time_max < unix_ms; row++)
            start = segment->index[row].offset;
        return start;
    }
    return partition->end;
}

static int seek_time_read(struct sl_spool_reader *reader, int64_t unix_ms, uint64_t *ret_offset, struct sl_err *err)
{
    struct sl_arena arena;
    struct sl_batch batch = {.arena = &arena};
    bool found = false;
    int rc = 1;

    if (sl_arena_init(&arena, SL_BATCH_BYTES, SL_SPOOL_BODY_BYTES + SEEK_ARENA_BYTES) < 0)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory to look for a time in topic %s", reader->topic->name);
    while (!found && (rc = sl_spool_read(reader, &batch, err)) == 1) {
        for (uint32_t i = 0; i < batch.count && !found; i++) {
            found = batch.append_unix_ms[i] >= unix_ms;
            if (found)
                *ret_offset = batch.offset[i];
        }
        sl_arena_reset(&arena);
    }
    sl_arena_fini(&arena);
    if (!found && rc == 0)
        *ret_offset = reader->offset;
    return rc < 0 ? rc : 0;
}

int sl_spool_offset_of_time(struct sl_spool_topic *topic, uint32_t partition, int64_t unix_ms, uint64_t *ret_offset,
                            struct sl_err *err)
{
    struct sl_spool_reader *reader;
    uint64_t start;
    int rc = sl_spool_reader_open(topic, partition, NULL, NULL, &reader, err);

    if (rc < 0)
        return rc;
    (void)pthread_mutex_lock(&topic->spool->lock);
    start = seek_time_start(topic->partitions[partition], unix_ms);
    (void)pthread_mutex_unlock(&topic->spool->lock);
    rc = sl_spool_seek(reader, start, err);
    if (rc == 0)
        rc = seek_time_read(reader, unix_ms, ret_offset, err);
    (void)sl_spool_reader_close(reader);
    return rc;
}
