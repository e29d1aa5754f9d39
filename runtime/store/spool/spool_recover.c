/* spool_recover.c: from the files of a topic to its partitions, whatever a crash or a bad disk left of them (rules F1, F3).
 *
 * The manifest says which segments there should be; where it is damaged the folder's listing takes its place. Open segments are
 * walked to their last sound batch; sealed ones are walked only if they are too short, or if asked.
 * After anything but a clean close the next offset is the reserved mark: whatever was cut or lost, nobody sees an offset twice.
 * SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

#include "runtime/store/spool/spool_impl.h"

struct recover {
    struct sl_spool_topic *topic;
    const struct spool_finder *finder;
    bool deep, rebuild;
    struct sl_err *err;
};

void spool_count_loss(struct sl_spool_topic *topic, uint32_t partition, struct spool_segment *segment,
                      const struct spool_step *step, const struct spool_finder *finder, const char *what)
{
    char path[SPOOL_PATH_BYTES];
    struct sl_spool_stats *stats = &topic->spool->stats;

    (void)snprintf(path, sizeof(path), "%s/manifest", topic->folder);
    (void)pthread_mutex_lock(&topic->spool->lock);
    if (segment != NULL) {
        spool_segment_path(topic, partition, segment, path);
        if (step->next_at <= segment->counted_at && step->next_at > 0) {
            (void)pthread_mutex_unlock(&topic->spool->lock);
            return;
        }
        segment->counted_at = step->next_at;
        segment->damaged = true;
    }
    stats->lost_offsets += step->next - step->first;
    stats->damaged_bytes += step->next_at - step->at;
    stats->damaged_stretches++;
    (void)pthread_mutex_unlock(&topic->spool->lock);
    if (finder->each != NULL)
        finder->each(finder->user, &(struct sl_spool_finding){topic->name, partition, path, step->at, step->next_at - step->at,
                                                             step->first, step->next, what});
}

static void recover_find(struct recover *recover, uint32_t partition, const char *file, uint64_t bytes, uint64_t first,
                         uint64_t next, const char *what)
{
    if (recover->finder->each != NULL)
        recover->finder->each(recover->finder->user, &(struct sl_spool_finding){recover->topic->name, partition, file, 0, bytes,
                                                                               first, next, what});
}

/* ---- the folder's listing ---- */

static bool recover_segment_name(const char *name, uint32_t *ret_partition, uint64_t *ret_base, uint64_t *ret_nonce)
{
    int end = 0;
    return sscanf(name, "%5" SCNu32 "-%20" SCNu64 "-%16" SCNx64 ".seg%n", ret_partition, ret_base, ret_nonce, &end) == 3 &&
           end == 5 + 1 + 20 + 1 + 16 + 4 && name[end] == '\0';
}

static struct spool_segment *recover_named(struct sl_spool_topic *topic, uint32_t partition, uint64_t base, uint64_t nonce)
{
    if (partition >= topic->partitions_count)
        return NULL;
    for (uint32_t i = 0; i < topic->partitions[partition]->segments_count; i++) {
        struct spool_segment *segment = topic->partitions[partition]->segments[i];
        if (segment->base == base && segment->nonce == nonce)
            return segment;
    }
    return NULL;
}

static int recover_has_segment(void *user, const char *name)
{
    uint32_t partition;
    uint64_t base, nonce;
    (void)user;
    return recover_segment_name(name, &partition, &base, &nonce) ? 1 : 0;
}

/* Without a manifest every file counts. Of two with the same base the longer one is put last: the earlier one then ends where
 * it begins, for a segment never reaches into the next. */
static int recover_adopt(void *user, const char *name)
{
    struct recover *recover = user;
    struct sl_spool_topic *topic = recover->topic;
    struct spool_partition *partition;
    struct spool_segment *segment;
    struct sl_fs_stat st = {0};
    char path[SPOOL_PATH_BYTES];
    uint32_t number, at = 0;
    uint64_t base, nonce;

    if (!recover_segment_name(name, &number, &base, &nonce) || number >= SPOOL_PARTITIONS_MOST)
        return 0;
    while (topic->partitions_count <= number)
        if (spool_topic_partition_add(topic) == NULL)
            return -ENOMEM;
    partition = topic->partitions[number];
    segment = spool_segment_add(partition, base, nonce);
    if (segment == NULL)
        return -ENOMEM;
    spool_segment_path(topic, number, segment, path);
    if (topic->spool->fs->stat(topic->spool->fs, path, &st) == 0)
        segment->bytes = st.bytes;
    while (partition->segments[at] != segment)
        at++;
    if (at > 0 && partition->segments[at - 1]->base == base && partition->segments[at - 1]->bytes > segment->bytes) {
        partition->segments[at] = partition->segments[at - 1];
        partition->segments[at - 1] = segment;
    }
    return 0;
}

static int recover_remove_unnamed(void *user, const char *name)
{
    struct sl_spool_topic *topic = user;
    char path[SPOOL_PATH_BYTES];
    uint32_t partition;
    uint64_t base, nonce;

    if (!recover_segment_name(name, &partition, &base, &nonce) || recover_named(topic, partition, base, nonce) != NULL)
        return 0;
    (void)snprintf(path, sizeof(path), "%s/%s", topic->folder, name);
    (void)topic->spool->fs->unlink(topic->spool->fs, path); /* nothing in it was ever acknowledged (invariant 1) */
    return 0;
}

/* ---- one segment ---- */

static int recover_header(struct recover *recover, struct spool_partition *partition, struct spool_segment *segment, int fd)
{
    struct sl_fs *fs = recover->topic->spool->fs;
    char header[SL_SPOOL_SEGMENT_HEADER] = {0};
    int64_t n = fs->pread(fs, fd, header, sizeof(header), 0);
    struct spool_step step = {.at = 0, .next_at = SL_SPOOL_SEGMENT_HEADER, .first = segment->base, .next = segment->base};

    if (n < 0)
        return (int)n;
    if (n == (int64_t)sizeof(header) &&
        sl_spool_segment_header_ok(header, segment->nonce, segment->base, partition->number))
        return 0;
    spool_count_loss(recover->topic, partition->number, segment, &step, recover->finder,
                     "the segment's header is damaged; its records are read by the manifest's word");
    return 0;
}

static void recover_tail(struct recover *recover, struct spool_partition *partition, struct spool_segment *segment,
                         struct spool_step *step)
{
    struct sl_spool_topic *topic = recover->topic;
    char path[SPOOL_PATH_BYTES];

    if (!segment->recovered) { /* a sealed segment was durable to its end */
        step->next = segment->end;
        spool_count_loss(topic, partition->number, segment, step, recover->finder, "the rest of the segment is damaged");
        return;
    }
    topic->spool->stats.torn_bytes += step->next_at - step->at;
    spool_segment_path(topic, partition->number, segment, path);
    if (recover->finder->each != NULL)
        recover->finder->each(recover->finder->user,
                              &(struct sl_spool_finding){topic->name, partition->number, path, step->at,
                                                         step->next_at - step->at, step->first, step->next,
                                                         "torn tail: no sound batch follows, it is cut"});
}

/* Walks the batches up to file_bytes and limit. Fills the index; of an open segment also end and bytes. */
static int recover_walk(struct recover *recover, struct spool_partition *partition, struct spool_segment *segment, int fd,
                        uint64_t file_bytes, uint64_t limit)
{
    struct spool_scan scan = {.fs = recover->topic->spool->fs, .fd = fd, .nonce = segment->nonce, .at = SL_SPOOL_SEGMENT_HEADER,
                              .end = file_bytes, .offset = segment->base, .limit = limit};
    uint64_t end = segment->base, bytes = SL_SPOOL_SEGMENT_HEADER, told = segment->base;
    struct spool_step step;
    int rc;

    segment->index_count = 0;
    while ((rc = spool_scan_step(&scan, &step)) >= 0 && rc != SPOOL_END) {
        if (rc == SPOOL_DAMAGE) {
            spool_count_loss(recover->topic, partition->number, segment, &step, recover->finder, "damaged stretch");
        } else if (rc == SPOOL_TAIL) {
            recover_tail(recover, partition, segment, &step);
            told = step.next;
        } else {
            spool_segment_note(segment, &step.batch, step.at);
            end = step.batch.base + step.batch.count;
            bytes = step.next_at;
        }
    }
    spool_scan_fini(&scan);
    if (rc < 0)
        return rc;
    segment->indexed = true;
    if (segment->recovered) {
        segment->end = end;
        segment->bytes = bytes;
    } else if (file_bytes < segment->bytes) { /* what a sealed segment has lost at its end */
        step = (struct spool_step){.at = file_bytes, .next_at = segment->bytes, .first = told > end ? told : end,
                                   .next = segment->end};
        if (segment->end > end)
            spool_count_loss(recover->topic, partition->number, segment, &step, recover->finder,
                             "the segment is shorter than it was when it was sealed");
    }
    return 0;
}

static void recover_missing(struct recover *recover, struct spool_partition *partition, struct spool_segment *segment,
                            uint64_t limit)
{
    struct sl_spool_topic *topic = recover->topic;
    char path[SPOOL_PATH_BYTES];

    if (segment->state == SPOOL_OPEN) { /* how far it went is not known, only how far it cannot have gone */
        segment->end = limit != UINT64_MAX ? limit : partition->reserved;
        segment->end = segment->end > segment->base ? segment->end : segment->base;
    }
    segment->state = SPOOL_MISSING;
    topic->spool->stats.missing_segments++;
    topic->spool->stats.lost_offsets += segment->end - segment->base;
    spool_segment_path(topic, partition->number, segment, path);
    recover_find(recover, partition->number, path, segment->bytes, segment->base, segment->end,
                 "the segment is missing; at most these offsets are lost");
}

static int recover_segment(struct recover *recover, struct spool_partition *partition, struct spool_segment *segment,
                           uint64_t limit)
{
    struct sl_spool_topic *topic = recover->topic;
    struct sl_fs *fs = topic->spool->fs;
    struct sl_fs_stat st = {0};
    char path[SPOOL_PATH_BYTES];
    int rc, fd;

    spool_segment_path(topic, partition->number, segment, path);
    fd = fs->open(fs, path, O_RDONLY, 0);
    if (fd == -ENOENT) {
        recover_missing(recover, partition, segment, limit);
        return 0;
    }
    if (fd < 0)
        return spool_fail_io(recover->err, fd, "opening", path);
    rc = fs->fstat(fs, fd, &st);
    if (rc == 0)
        rc = recover_header(recover, partition, segment, fd);
    segment->recovered = segment->state == SPOOL_OPEN;
    if (rc == 0 && segment->recovered)
        rc = recover_walk(recover, partition, segment, fd, st.bytes, limit);
    else if (rc == 0 && (recover->deep || st.bytes < segment->bytes))
        rc = recover_walk(recover, partition, segment, fd, st.bytes < segment->bytes ? st.bytes : segment->bytes, segment->end);
    segment->state = SPOOL_SEALED;
    (void)fs->close(fs, fd);
    return rc < 0 ? spool_fail_io(recover->err, rc, "reading", path) : 0;
}

/* ---- one partition ---- */

static void recover_bounds(struct recover *recover, struct spool_partition *partition, bool marks_known)
{
    struct sl_spool_topic *topic = recover->topic;
    uint64_t known = partition->first;

    partition->end = partition->first;
    if (recover->rebuild && partition->segments_count > 0)
        partition->first = partition->end = partition->segments[0]->base;
    for (uint32_t i = 0; i < partition->segments_count; i++) {
        const struct spool_segment *segment = partition->segments[i];
        known = segment->end > known ? segment->end : known;
        if (segment->state != SPOOL_MISSING && segment->end > partition->end)
            partition->end = segment->end;
        topic->bytes += segment->state == SPOOL_MISSING ? 0 : segment->bytes;
    }
    if (topic->was_clean && partition->clean_end > known) {
        topic->spool->stats.lost_offsets += partition->clean_end - known;
        recover_find(recover, partition->number, topic->folder, 0, known, partition->clean_end,
                     "the log ends before the place where it was closed cleanly");
    }
    partition->next_offset = known;
    if (partition->reserved > partition->next_offset)
        partition->next_offset = partition->reserved;
    if (!marks_known)
        partition->next_offset += 2ull * SPOOL_RESERVE_MOST; /* further than any reserved mark was ahead of a log's end */
    for (struct spool_hold *hold = topic->holds; hold != NULL; hold = hold->next)
        if (hold->partition == partition->number && hold->offset > partition->next_offset)
            partition->next_offset = hold->offset;
}

static int recover_partition(struct recover *recover, struct spool_partition *partition, bool marks_known)
{
    uint32_t i = 0;
    while (i < partition->segments_count) {
        struct spool_segment *segment = partition->segments[i];
        uint64_t limit = i + 1 < partition->segments_count ? partition->segments[i + 1]->base : UINT64_MAX;
        int rc = recover_segment(recover, partition, segment, limit);
        if (rc < 0)
            return rc;
        if (segment->recovered && segment->end == segment->base)
            spool_segment_take(partition, segment); /* nothing in it was acknowledged; the file goes with the unnamed ones */
        else
            i++;
    }
    recover_bounds(recover, partition, marks_known);
    return 0;
}

/* ---- the topic ---- */

static int recover_manifest(struct recover *recover, bool marks_found, struct sl_err *err)
{
    struct sl_spool_topic *topic = recover->topic;
    struct sl_fs *fs = topic->spool->fs;
    char path[SPOOL_PATH_BYTES];
    int rc = spool_manifest_read(topic, err);

    if (rc > 0 || (rc < 0 && err->remedy == SL_REMEDY_HALT) || rc == -(int)SL_E_IO)
        return rc;
    if (rc == 0 && !marks_found) {
        rc = fs->list(fs, topic->folder, recover_has_segment, NULL);
        if (rc <= 0)
            return rc < 0 ? spool_fail_io(err, rc, "listing", topic->folder) : 0; /* a new topic */
    }
    (void)snprintf(path, sizeof(path), "%s/manifest", topic->folder);
    topic->spool->stats.damaged_stretches++;
    recover_find(recover, 0, path, 0, 0, 0, "the manifest is missing or damaged; the segments were found by listing the folder, "
                                            "so that a missing last one would not be known");
    recover->rebuild = true;
    rc = fs->list(fs, topic->folder, recover_adopt, recover);
    return rc < 0 ? spool_fail_io(err, rc, "listing", topic->folder) : 1;
}

int spool_recover(struct sl_spool_topic *topic, bool deep, const struct spool_finder *finder, struct sl_err *err)
{
    struct sl_err own;
    struct recover recover = {.topic = topic, .finder = finder, .deep = deep, .err = err != NULL ? err : &own};
    char path[SPOOL_PATH_BYTES];
    int marks, rc;

    marks = spool_marks_read(topic, recover.err);
    if (marks < 0 && (recover.err->remedy == SL_REMEDY_HALT || marks == -(int)SL_E_IO))
        return marks;
    rc = recover_manifest(&recover, marks != 0, recover.err);
    if (rc <= 0)
        return rc;
    if (marks <= 0) {
        (void)snprintf(path, sizeof(path), "%s/marks", topic->folder);
        topic->holds_unknown = true;
        topic->was_clean = false;
        topic->spool->stats.damaged_stretches++;
        recover_find(&recover, 0, path, 0, 0, 0, "the marks are missing or damaged; nothing is removed before the next start, and "
                                                 "new offsets begin far beyond the end");
    }
    rc = 0;
    for (uint32_t i = 0; rc == 0 && i < topic->partitions_count; i++)
        rc = recover_partition(&recover, topic->partitions[i], marks > 0);
    return rc;
}

/* Rule F1: what was found in an open segment may sit in the page cache alone; it is synced before anybody reads it. */
static int recover_sync_segment(struct sl_spool_topic *topic, struct spool_partition *partition, struct spool_segment *segment,
                                struct sl_err *err)
{
    struct sl_fs *fs = topic->spool->fs;
    char path[SPOOL_PATH_BYTES];
    int rc, fd;

    spool_segment_path(topic, partition->number, segment, path);
    fd = fs->open(fs, path, O_RDWR, 0);
    if (fd < 0)
        return spool_fail_io(err, fd, "opening", path);
    (void)fs->truncate(fs, fd, segment->bytes); /* gives the tail's room back; the manifest says where the log ends */
    rc = fs->fsync(fs, fd);
    (void)fs->close(fs, fd);
    if (rc < 0) { /* rule F2: the file is condemned, what can still be read of it goes into another */
        topic->spool->stats.fsync_failures++;
        return spool_segment_rewrite(topic, partition, segment, err);
    }
    segment->recovered = false;
    return 0;
}

int spool_recover_finish(struct sl_spool_topic *topic, struct sl_err *err)
{
    struct sl_fs *fs = topic->spool->fs;
    int rc = 0;

    for (uint32_t i = 0; rc == 0 && i < topic->partitions_count; i++) {
        struct spool_partition *partition = topic->partitions[i];
        for (uint32_t j = 0; rc == 0 && j < partition->segments_count; j++)
            if (partition->segments[j]->recovered)
                rc = recover_sync_segment(topic, partition, partition->segments[j], err);
        if (partition->reserved < partition->next_offset)
            partition->reserved = partition->next_offset;
    }
    /* marks first: a manifest alone would make the next start believe that a clean end was lost */
    if (rc == 0)
        rc = spool_marks_write(topic, false, err);
    if (rc == 0)
        rc = spool_manifest_write(topic, err);
    if (rc == 0)
        (void)fs->list(fs, topic->folder, recover_remove_unnamed, topic);
    return rc;
}
