/* spool_check.c: `sluice spool check|repair`: every batch of every segment is read and every loss is named.
 *
 * Repair writes a damaged segment anew, under another nonce, without its damaged stretches; the old file goes once the manifest
 * names the new one. Offsets keep their holes. A missing segment is struck from the manifest.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "runtime/store/spool/spool_impl.h"

struct check {
    struct sl_spool spool; /* of this walk; no thread, no settings */
    struct spool_finder finder;
    bool repair;
    int rc;
    struct sl_err *err;
};

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
                rc = spool_segment_rewrite(topic, partition, segment, check->err);
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
