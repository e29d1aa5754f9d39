/* spool_copy.c: writing a segment anew, under another nonce, without its damaged stretches. The caller writes the manifest.
 * SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>

#include "runtime/store/spool/spool_impl.h"

struct segment_copy {
    struct sl_fs *fs;
    int from, to;
    uint64_t at;
    struct spool_segment *segment, *fresh;
};

static int copy_batches(struct segment_copy *copy)
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

static int copy_segment(struct sl_spool_topic *topic, struct spool_partition *partition, struct segment_copy *copy)
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
            rc = copy_batches(copy);
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

int spool_segment_rewrite(struct sl_spool_topic *topic, struct spool_partition *partition, struct spool_segment *segment,
                          struct sl_err *err)
{
    struct spool_segment fresh = *segment;
    struct segment_copy copy = {.fs = topic->spool->fs, .segment = segment, .fresh = &fresh};
    int rc;

    fresh.nonce = sl_nonce();
    rc = copy_segment(topic, partition, &copy);
    if (rc < 0)
        return spool_fail_io(err, rc, "rewriting a segment of", topic->folder);
    segment->nonce = fresh.nonce;
    segment->bytes = copy.at;
    segment->recovered = false; /* synced just now */
    segment->index_count = 0;
    segment->indexed = false;
    return 0;
}
