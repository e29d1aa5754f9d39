/* spool_writer.c: from the append queues to durable segments: group commit, rolling, and what to do when the disk fails.
 *
 * A run is what one partition has queued and its open segment takes: written, synced, then published and acknowledged.
 * A failed fsync, or a write that could not be taken back, condemns the segment (rule F2): it is sealed in the manifest where
 * it was durable, and the run, still in memory, goes into a new segment under the same offsets. If that fails too, or the disk
 * is full, the run is refused and the spool is sick: appends are refused until a probe file could be written and synced.
 * SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <time.h>

#include "runtime/base/clock.h"
#include "runtime/store/spool/spool_impl.h"

enum { WRITER_PROBE_BYTES = 256 << 10, WRITER_EARLY_BYTES = 8 << 20 };

#define WRITER_GROUP_NS (100 * SL_NS_PER_MS)
#define WRITER_PROBE_NS (500 * SL_NS_PER_MS)

static uint64_t writer_now_ns(const struct sl_spool *spool)
{
    return spool->settings.now_ns(spool->settings.env);
}

static void writer_report(struct sl_spool *spool, const struct sl_err *err)
{
    if (spool->settings.report != NULL)
        spool->settings.report(spool->settings.env, err);
}

/* ---- sickness ---- */

static void writer_fall_sick(struct sl_spool *spool, const struct sl_err *err)
{
    bool news;
    (void)pthread_mutex_lock(&spool->lock);
    news = !spool->sick;
    spool->sick = true;
    spool->sick_err = *err;
    (void)pthread_mutex_unlock(&spool->lock);
    spool->last_probe_ns = writer_now_ns(spool);
    if (news)
        writer_report(spool, err);
}

static int writer_probe(struct sl_spool *spool)
{
    static const char zeros[WRITER_PROBE_BYTES];
    struct sl_fs *fs = spool->fs;
    char path[SPOOL_PATH_BYTES];
    int rc, fd;

    (void)snprintf(path, sizeof(path), "%s/.probe", spool->dir);
    fd = fs->open(fs, path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (fd < 0)
        return fd;
    rc = sl_fs_write_all(fs, fd, zeros, sizeof(zeros), 0);
    if (rc == 0)
        rc = fs->fsync(fs, fd);
    (void)fs->close(fs, fd);
    (void)fs->unlink(fs, path);
    return rc;
}

static void writer_heal(struct sl_spool *spool)
{
    uint64_t now_ns = writer_now_ns(spool);
    struct sl_err err = {.code = SL_OK, .origin = "spool_writer.c"};

    if (!spool->sick || now_ns - spool->last_probe_ns < WRITER_PROBE_NS)
        return;
    spool->last_probe_ns = now_ns;
    if (writer_probe(spool) < 0)
        return;
    (void)pthread_mutex_lock(&spool->lock);
    spool->sick = false;
    (void)pthread_mutex_unlock(&spool->lock);
    (void)snprintf(err.text, sizeof(err.text), "spool %s takes records again", spool->dir);
    writer_report(spool, &err);
}

/* ---- segments ---- */

static void writer_close_segment(struct sl_spool_topic *topic, struct spool_partition *partition)
{
    struct spool_segment *segment = spool_partition_open_segment(partition);

    if (partition->fd >= 0)
        (void)topic->spool->fs->close(topic->spool->fs, partition->fd); /* its durable part was synced; the rest is condemned */
    partition->fd = -1;
    if (segment == NULL)
        return;
    (void)pthread_mutex_lock(&topic->spool->lock);
    if (segment->end == segment->base) {
        topic->bytes -= segment->bytes;
        spool_segment_take(partition, segment); /* an empty one is forgotten, its file goes at the next start */
    } else {
        segment->state = SPOOL_SEALED;
        segment->indexed = true;
    }
    (void)pthread_mutex_unlock(&topic->spool->lock);
}

int spool_writer_seal(struct sl_spool_topic *topic, struct spool_partition *partition, struct sl_err *err)
{
    if (spool_partition_open_segment(partition) == NULL)
        return 0;
    writer_close_segment(topic, partition);
    return spool_manifest_write(topic, err);
}

static int writer_create_file(struct sl_spool_topic *topic, struct spool_partition *partition, const struct spool_segment *segment,
                              struct sl_err *err)
{
    struct sl_fs *fs = topic->spool->fs;
    char path[SPOOL_PATH_BYTES], header[SL_SPOOL_SEGMENT_HEADER];
    int rc, fd;

    spool_segment_path(topic, partition->number, segment, path);
    sl_spool_segment_header_put(header, segment->nonce, segment->base, partition->number);
    fd = fs->open(fs, path, O_RDWR | O_CREAT | O_EXCL, 0644);
    if (fd < 0)
        return spool_fail_io(err, fd, "making", path);
    rc = sl_fs_write_all(fs, fd, header, sizeof(header), 0);
    if (rc == 0)
        rc = fs->fsync(fs, fd);
    if (rc == 0)
        rc = fs->sync_dir(fs, topic->folder);
    if (rc == 0)
        return fd;
    (void)fs->close(fs, fd);
    (void)fs->unlink(fs, path);
    return spool_fail_io(err, rc, "making", path);
}

/* Ends the open segment where it is durable and begins the next one. The file and its name are durable before the manifest
 * names it: a segment that the manifest names and that is not there was lost, never forgotten. */
static int writer_roll(struct sl_spool_topic *topic, struct spool_partition *partition, struct sl_err *err)
{
    struct sl_spool *spool = topic->spool;
    struct spool_segment *segment;
    int rc, fd;

    writer_close_segment(topic, partition);
    (void)pthread_mutex_lock(&spool->lock);
    segment = spool_segment_add(partition, partition->next_offset, sl_nonce());
    (void)pthread_mutex_unlock(&spool->lock);
    if (segment == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory for a segment of topic %s", topic->name);
    fd = rc = writer_create_file(topic, partition, segment, err);
    if (rc >= 0)
        rc = spool_manifest_write(topic, err);
    (void)pthread_mutex_lock(&spool->lock);
    if (rc < 0) { /* the file stays until the next start: the manifest may be durable although its writing failed */
        spool_segment_take(partition, segment);
    } else {
        segment->bytes = SL_SPOOL_SEGMENT_HEADER;
        topic->bytes += segment->bytes;
        partition->fd = fd;
    }
    (void)pthread_mutex_unlock(&spool->lock);
    if (rc < 0 && fd >= 0)
        (void)spool->fs->close(spool->fs, fd);
    return rc < 0 ? rc : 0;
}

static uint64_t writer_segment_bytes(const struct sl_spool_topic *topic)
{
    const struct sl_spool_settings *settings = &topic->spool->settings;
    uint64_t most = settings->segment_bytes, hold = settings->hold_bytes;
    if (topic->queue_bytes > 0)
        return topic->queue_bytes / 8 < most ? topic->queue_bytes / 8 : most;
    return hold > 0 && hold / 4 < most ? hold / 4 : most; /* retention removes whole segments: keep them small beside the limit */
}

static int writer_reserve(struct sl_spool_topic *topic, struct spool_partition *partition, uint64_t count, struct sl_err *err)
{
    uint64_t before = partition->reserved, ahead = partition->used;
    int rc;

    if (partition->next_offset + count <= partition->reserved)
        return 0;
    ahead = ahead < SPOOL_RESERVE_LEAST ? SPOOL_RESERVE_LEAST : ahead > SPOOL_RESERVE_MOST ? SPOOL_RESERVE_MOST : ahead;
    partition->reserved = partition->next_offset + count + ahead;
    rc = spool_marks_write(topic, false, err);
    if (rc < 0)
        partition->reserved = before;
    return rc;
}

/* ---- a run ---- */

struct writer_run {
    struct sl_spool_topic *topic;
    struct spool_partition *partition;
    struct spool_pending *first; /* the run: first .. before `end` */
    struct spool_pending *end;
    uint64_t at, count; /* bytes written behind the durable ones; records */
};

/* Gives the batches of one append their place: base offsets, and headers under the segment's nonce. */
static void writer_place(struct spool_pending *pending, uint64_t offset, uint64_t nonce)
{
    size_t at = 0;
    pending->first_offset = offset;
    while (at < pending->bytes) {
        char *header = pending->data + at;
        struct sl_spool_batch batch = {
            .base = offset,
            .count = sl_get32(header + 16),
            .body_bytes = sl_get32(header + 4),
            .meta_bytes = sl_get32(header + 20),
            .flags = sl_get32(header + 40),
            .body_crc = sl_get32(header + 48),
            .time_min = (int64_t)sl_get64(header + 24),
            .time_max = (int64_t)sl_get64(header + 32),
        };
        sl_spool_batch_put(header, &batch, nonce);
        offset += batch.count;
        at += SL_SPOOL_BATCH_HEADER + (size_t)batch.body_bytes;
    }
    assert(at == pending->bytes && offset == pending->first_offset + pending->count);
}

static int writer_flush_piece(struct writer_run *run)
{
    struct sl_spool *spool = run->topic->spool;
    int rc = sl_fs_write_all(spool->fs, run->partition->fd, spool->piece.data, spool->piece.bytes, run->at);
    if (rc == 0)
        run->at += spool->piece.bytes;
    spool->piece.bytes = 0;
    return rc;
}

static int writer_put(struct writer_run *run, const struct spool_pending *pending)
{
    struct sl_spool *spool = run->topic->spool;
    int rc = 0;

    if (spool->piece.bytes + pending->bytes > SPOOL_PIECE_BYTES && spool->piece.bytes > 0)
        rc = writer_flush_piece(run);
    if (rc == 0 && pending->bytes >= SPOOL_PIECE_BYTES) {
        rc = sl_fs_write_all(spool->fs, run->partition->fd, pending->data, pending->bytes, run->at);
        run->at += rc == 0 ? pending->bytes : 0;
        return rc;
    }
    if (rc == 0 && sl_buffer_reserve(&spool->piece, pending->bytes) < 0)
        return -ENOMEM;
    if (rc == 0) {
        memcpy(spool->piece.data + spool->piece.bytes, pending->data, pending->bytes);
        spool->piece.bytes += pending->bytes;
    }
    return rc;
}

/* Writes and syncs the run into the open segment. On failure the segment is as durable as before: taken back, or condemned. */
static int writer_write(struct writer_run *run, struct sl_err *err)
{
    struct sl_spool *spool = run->topic->spool;
    struct spool_partition *partition = run->partition;
    struct spool_segment *segment = spool_partition_open_segment(partition);
    uint64_t offset = partition->next_offset;
    char path[SPOOL_PATH_BYTES];
    int rc = 0;

    assert(segment != NULL);
    spool_segment_path(run->topic, partition->number, segment, path);
    run->at = segment->bytes;
    spool->piece.bytes = 0;
    for (struct spool_pending *pending = run->first; rc == 0 && pending != run->end; pending = pending->next) {
        writer_place(pending, offset, segment->nonce);
        offset += pending->count;
        rc = writer_put(run, pending);
    }
    if (rc == 0 && spool->piece.bytes > 0)
        rc = writer_flush_piece(run);
    if (rc < 0) {
        rc = spool_fail_io(err, rc, "writing", path);
        if (spool->fs->truncate(spool->fs, partition->fd, segment->bytes) < 0 || rc != -(int)SL_E_LIMIT)
            writer_close_segment(run->topic, partition);
        return rc;
    }
    rc = spool->settings.fsync == SL_SPOOL_OFF && !spool->closing ? 0 : spool->fs->fsync(spool->fs, partition->fd);
    if (rc < 0) {
        (void)pthread_mutex_lock(&spool->lock);
        spool->stats.fsync_failures++;
        (void)pthread_mutex_unlock(&spool->lock);
        writer_close_segment(run->topic, partition); /* rule F2 */
        return spool_fail_io(err, rc, "syncing", path);
    }
    return 0;
}

/* Readers and senders learn of it. Index rows are made here, so that they never speak of what is not durable. */
static void writer_publish(struct writer_run *run)
{
    struct sl_spool *spool = run->topic->spool;
    struct spool_partition *partition = run->partition;
    struct spool_segment *segment = spool_partition_open_segment(partition);
    uint64_t at = segment->bytes;

    (void)pthread_mutex_lock(&spool->lock);
    for (struct spool_pending *pending = run->first; pending != run->end; pending = pending->next) {
        for (size_t in = 0; in < pending->bytes;) {
            struct sl_spool_batch batch = {0};
            bool sound = sl_spool_batch_get(pending->data + in, segment->nonce, &batch);
            assert(sound);
            spool_segment_note(segment, &batch, at + in);
            in += SL_SPOOL_BATCH_HEADER + (size_t)batch.body_bytes;
        }
        at += pending->bytes;
        spool->queued_bytes -= pending->room;
    }
    run->topic->bytes += at - segment->bytes;
    spool->stats.records += run->count;
    spool->stats.bytes += at - segment->bytes;
    segment->bytes = at;
    partition->next_offset += run->count;
    partition->used += run->count;
    partition->end = segment->end = partition->next_offset;
    for (struct sl_spool_reader *reader = partition->readers; reader != NULL; reader = reader->next)
        if (reader->wake != NULL)
            reader->wake(reader->user);
    (void)pthread_mutex_unlock(&spool->lock);
}

static void writer_answer(struct writer_run *run, int status, const struct sl_err *err)
{
    struct sl_spool *spool = run->topic->spool;
    while (run->first != run->end) {
        struct spool_pending *pending = run->first;
        run->first = pending->next;
        if (status != 0) {
            (void)pthread_mutex_lock(&spool->lock);
            spool->queued_bytes -= pending->room;
            spool->stats.refused_appends++;
            (void)pthread_mutex_unlock(&spool->lock);
        }
        if (pending->wait != NULL)
            pending->wait->done(pending->wait, status, status == 0 ? pending->first_offset : 0, err);
        free(pending);
    }
}

/* Room first, then the bytes. */
static int writer_try(struct writer_run *run, struct sl_err *err)
{
    struct spool_segment *segment = spool_partition_open_segment(run->partition);
    int rc = writer_reserve(run->topic, run->partition, run->count, err);

    if (rc == 0 && (segment == NULL || segment->gone || segment->bytes >= writer_segment_bytes(run->topic)))
        rc = writer_roll(run->topic, run->partition, err);
    return rc == 0 ? writer_write(run, err) : rc;
}

static void writer_cut_run(struct writer_run *run)
{
    const struct spool_segment *segment = spool_partition_open_segment(run->partition);
    uint64_t most = writer_segment_bytes(run->topic), bytes = segment != NULL ? segment->bytes : SL_SPOOL_SEGMENT_HEADER;

    if (bytes >= most)
        bytes = SL_SPOOL_SEGMENT_HEADER;
    run->count = 0;
    run->end = run->first;
    while (run->end != NULL && (run->end == run->first || bytes < most)) {
        run->count += run->end->count;
        bytes += run->end->bytes;
        run->end = run->end->next;
    }
}

static void writer_partition(struct sl_spool_topic *topic, struct spool_partition *partition, struct spool_pending *queue)
{
    struct writer_run run = {.topic = topic, .partition = partition, .first = queue};
    struct sl_err err;

    while (run.first != NULL) {
        int rc;
        writer_cut_run(&run);
        rc = writer_try(&run, &err);
        if (rc == -(int)SL_E_IO) { /* the file was condemned; the run is still in memory */
            writer_report(topic->spool, &err);
            rc = writer_try(&run, &err);
        }
        if (rc == 0) {
            writer_publish(&run);
        } else {
            writer_fall_sick(topic->spool, &err);
            run.end = NULL; /* what is queued behind would fare no better */
        }
        writer_answer(&run, rc, rc == 0 ? NULL : &err);
    }
}

/* ---- turns ---- */

/* 0: now; else what is left of the group's 100 ms. lock held. */
static uint64_t writer_wait_ns(const struct sl_spool *spool)
{
    uint64_t since_ns = writer_now_ns(spool) - spool->last_sync_ns;
    if (spool->settings.fsync != SL_SPOOL_100MS || !spool->synced_once || since_ns >= WRITER_GROUP_NS)
        return 0;
    if (spool->queued_bytes >= WRITER_EARLY_BYTES || spool->queued_bytes >= spool->settings.append_queue_bytes / 2)
        return 0;
    return WRITER_GROUP_NS - since_ns;
}

bool spool_writer_is_due(const struct sl_spool *spool)
{
    return writer_wait_ns(spool) == 0;
}

static struct spool_pending *writer_take(struct sl_spool *spool, struct spool_partition *partition)
{
    struct spool_pending *queue;
    (void)pthread_mutex_lock(&spool->lock);
    queue = partition->queue.first;
    partition->queue = (struct spool_queue){.last = &partition->queue.first};
    (void)pthread_mutex_unlock(&spool->lock);
    return queue;
}

static void writer_topic(struct sl_spool_topic *topic)
{
    bool wrote = false;
    for (uint32_t i = 0; i < topic->partitions_count; i++) {
        struct spool_pending *queue = writer_take(topic->spool, topic->partitions[i]);
        if (queue == NULL)
            continue;
        writer_partition(topic, topic->partitions[i], queue);
        wrote = true;
    }
    if (wrote || topic->hold_full)
        spool_retain(topic);
}

uint64_t spool_writer_turn(struct sl_spool *spool, bool all)
{
    uint64_t wait_ns;

    (void)pthread_mutex_lock(&spool->io);
    writer_heal(spool);
    (void)pthread_mutex_lock(&spool->lock);
    wait_ns = spool->queued_bytes == 0 ? UINT64_MAX : all ? 0 : writer_wait_ns(spool);
    (void)pthread_mutex_unlock(&spool->lock);
    if (wait_ns == 0) {
        for (struct sl_spool_topic *topic = spool->topics; topic != NULL; topic = topic->next)
            writer_topic(topic);
        wait_ns = UINT64_MAX;
        (void)pthread_mutex_lock(&spool->lock);
        spool->last_sync_ns = writer_now_ns(spool);
        spool->synced_once = true;
        if (spool->queued_bytes > 0)
            wait_ns = writer_wait_ns(spool);
        (void)pthread_mutex_unlock(&spool->lock);
    }
    if (spool->sick && wait_ns > WRITER_PROBE_NS)
        wait_ns = WRITER_PROBE_NS;
    (void)pthread_mutex_unlock(&spool->io);
    return wait_ns;
}

uint64_t sl_spool_write_turn(struct sl_spool *spool)
{
    assert(!spool->threaded);
    return spool_writer_turn(spool, false);
}

static void writer_sleep(struct sl_spool *spool, uint64_t wait_ns)
{
    struct timespec until;
    uint64_t until_ns = sl_clock_now_ns() + wait_ns;
    until.tv_sec = (time_t)(until_ns / SL_NS_PER_S);
    until.tv_nsec = (long)(until_ns % SL_NS_PER_S);
    (void)pthread_cond_timedwait(&spool->work, &spool->lock, &until);
}

void *spool_writer_thread(void *user)
{
    struct sl_spool *spool = user;
    uint64_t wait_ns = UINT64_MAX;

    (void)pthread_mutex_lock(&spool->lock);
    while (!spool->stopping) {
        if (wait_ns == UINT64_MAX && spool->queued_bytes == 0)
            (void)pthread_cond_wait(&spool->work, &spool->lock);
        else if (wait_ns != UINT64_MAX && wait_ns > 0 && writer_wait_ns(spool) > 0)
            writer_sleep(spool, wait_ns);
        else if (wait_ns != UINT64_MAX && spool->queued_bytes == 0)
            writer_sleep(spool, wait_ns);
        (void)pthread_mutex_unlock(&spool->lock);
        wait_ns = spool_writer_turn(spool, false);
        (void)pthread_mutex_lock(&spool->lock);
    }
    (void)pthread_mutex_unlock(&spool->lock);
    return NULL;
}
