/* spool_check.c: `sluice spool check|repair`: every batch of every segment is read and every loss is named.
 *
 * Repair writes a damaged segment anew, under another nonce, without its damaged stretches; the old file goes once the manifest
 * names the new one. Offsets keep their holes. A missing segment is struck from the manifest.
 * SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdio.h>

#include "runtime/store/spool_impl.h"

struct check {
    struct sl_spool spool; /* of this walk; no thread, no settings */
    struct spool_finder finder;
    bool repair;
    int rc;
    struct sl_err *err;
};

struct check_copy {
    struct sl_fs *fs;
    int from, to;
    uint64_t at;
    struct spool_segment *segment, *fresh;
};

static int check_copy_batches(struct check_copy *copy)
{
    struct spool_scan scan = {.fs = copy->fs, .fd = copy->from, .nonce = copy->segment->nonce, .at = SL_SPOOL_SEGMENT_HEADER,
                              .end = copy->segment->bytes, .offset = copy->segment->base, .limit = copy->segment->end};
    char header[SL_SPOOL_BATCH_HEADER];
    struct spool_step step;
    int rc;

    while ((rc = spool_scan_step(&scan, &step)) >= 0 && rc != SPOOL_END) {
        if (rc != SPOOL_BATCH)
            continue;
        sl_spool_batch_put(header, &step.batch, copy->fresh->nonce);
        rc = sl_fs_write_all(copy->fs, copy->to, header, sizeof(header), copy->at);
        if (rc == 0)
            rc = sl_fs_write_all(copy->fs, copy->to, step.bytes + sizeof(header), step.batch.body_bytes, copy->at + sizeof(header));
        if (rc < 0)
            break;
        copy->at += step.next_at - step.at;
    }
    spool_scan_fini(&scan);
    return rc < 0 ? rc : 0;
}

static int check_copy_segment(struct sl_spool_topic *topic, struct spool_partition *partition, struct check_copy *copy)
{
    char path[SPOOL_PATH_BYTES], header[SL_SPOOL_SEGMENT_HEADER];
    int rc;

    spool_segment_path(topic, partition->number, copy->segment, path);
    copy->from = copy->fs->open(copy->fs, path, O_RDONLY, 0);
    if (copy->from < 0)
        return copy->from;
    spool_segment_path(topic, partition->number, copy->fresh, path);
    copy->to = copy->fs->open(copy->fs, path, O_WRONLY | O_CREAT | O_EXCL, 0644);
    rc = copy->to < 0 ? copy->to : 0;
    if (rc == 0) {
        sl_spool_segment_header_put(header, copy->fresh->nonce, copy->fresh->base, partition->number);
        rc = sl_fs_write_all(copy->fs, copy->to, header, sizeof(header), 0);
        copy->at = sizeof(header);
        if (rc == 0)
            rc = check_copy_batches(copy);
        if (rc == 0)
            rc = copy->fs->fsync(copy->fs, copy->to);
        (void)copy->fs->close(copy->fs, copy->to);
        if (rc == 0)
            rc = copy->fs->sync_dir(copy->fs, topic->folder);
        if (rc < 0)
            (void)copy->fs->unlink(copy->fs, path);
    }
    (void)copy->fs->close(copy->fs, copy->from);
    return rc;
}

static int check_rewrite(struct check *check, struct sl_spool_topic *topic, struct spool_partition *partition,
                         struct spool_segment *segment)
{
    struct spool_segment fresh = *segment;
    struct check_copy copy = {.fs = topic->spool->fs, .segment = segment, .fresh = &fresh};
    int rc;

    fresh.nonce = sl_nonce();
    rc = check_copy_segment(topic, partition, &copy);
    if (rc < 0)
        return spool_fail_io(check->err, rc, "rewriting a damaged segment of", topic->folder);
    segment->nonce = fresh.nonce;
    segment->bytes = copy.at;
    segment->recovered = false; /* synced just now */
    return 0;
}

static int check_repair(struct check *check, struct sl_spool_topic *topic)
{
    int rc = 0;
    for (uint32_t i = 0; rc == 0 && i < topic->partitions_count; i++) {
        struct spool_partition *partition = topic->partitions[i];
        for (uint32_t j = 0; rc == 0 && j < partition->segments_count;) {
            struct spool_segment *segment = partition->segments[j];
            if (segment->state == SPOOL_MISSING) {
                spool_segment_take(partition, segment);
                continue;
            }
            if (segment->damaged)
                rc = check_rewrite(check, topic, partition, segment);
            j++;
        }
    }
    return rc == 0 ? spool_recover_finish(topic, check->err) : rc;
}

static int check_topic(struct check *check, const char *folder)
{
    struct sl_spool *spool = &check->spool;
    struct sl_spool_topic *topic;
    struct sl_fs_stat st;
    char path[SPOOL_PATH_BYTES], name[SPOOL_FOLDER_BYTES];
    int rc;

    (void)snprintf(path, sizeof(path), "%s/%s", spool->dir, folder);
    rc = spool->fs->stat(spool->fs, path, &st);
    if (rc < 0)
        return spool_fail_io(check->err, rc, "looking at", path);
    if (!st.is_dir || spool_name_decode(folder, name, sizeof(name)) < 0)
        return 0;
    topic = spool_topic_new(spool, name, check->err);
    if (topic == NULL)
        return -(int)SL_E_LIMIT;
    rc = spool_recover(topic, true, &check->finder, check->err);
    for (uint32_t i = 0; i < topic->partitions_count; i++)
        for (uint32_t j = 0; j < topic->partitions[i]->segments_count; j++) {
            const struct spool_segment *segment = topic->partitions[i]->segments[j];
            spool->stats.segments += segment->state != SPOOL_MISSING;
            spool->stats.bytes += segment->state != SPOOL_MISSING ? segment->bytes : 0;
            spool->stats.records += segment->state != SPOOL_MISSING ? segment->end - segment->base : 0;
        }
    if (rc == 0 && check->repair && topic->partitions_count > 0)
        rc = check_repair(check, topic);
    (void)spool_topic_free(topic);
    return rc < 0 ? sl_while(check->err, "topic %s", name) : 0;
}

static int check_folder(void *user, const char *folder)
{
    struct check *check = user;
    check->rc = check_topic(check, folder);
    return check->rc < 0;
}

int sl_spool_check(struct sl_fs *fs, const char *dir, bool repair, void (*each)(void *user, const struct sl_spool_finding *),
                   void *user, struct sl_spool_stats *ret_stats, struct sl_err *err)
{
    struct sl_err own;
    struct check check = {.finder = {each, user}, .repair = repair, .err = err != NULL ? err : &own};
    int rc;

    check.spool.fs = fs;
    check.spool.dir = strdup(dir);
    if (check.spool.dir == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory to check %s", dir);
    (void)pthread_mutex_init(&check.spool.lock, NULL);
    rc = fs->list(fs, dir, check_folder, &check);
    rc = rc < 0 ? spool_fail_io(check.err, rc, "listing", dir) : check.rc;
    (void)pthread_mutex_destroy(&check.spool.lock);
    free(check.spool.dir);
    if (rc == 0 && ret_stats != NULL)
        *ret_stats = check.spool.stats;
    return rc;
}
