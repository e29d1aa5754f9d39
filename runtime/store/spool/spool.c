/* spool.c: opening and closing a spool and its topics, and the append queue.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/store/spool.h"

#include <assert.h>
#include <stdio.h>

#include "runtime/store/spool/spool_impl.h"

#define SPOOL_MAGIC 0x534c5350u

/* ---- open ---- */

static void spool_tell(void *user, const struct sl_spool_finding *finding)
{
    struct sl_spool *spool = user;
    struct sl_err err;

    if (spool->settings.report == NULL)
        return;
    (void)sl_fail(&err, SL_E_FORMAT, SL_REMEDY_RETRY, 0, "%s: bytes %llu to %llu: %s (offsets %llu to %llu of %s/%u)", finding->file,
                  (unsigned long long)finding->at, (unsigned long long)(finding->at + finding->bytes), finding->what,
                  (unsigned long long)finding->first_offset, (unsigned long long)finding->next_offset, finding->topic,
                  finding->partition);
    spool->settings.report(spool->settings.env, &err);
}

/* A topic that was closed cleanly and is whole needs no write: it opens on a full disk, too. */
static bool spool_topic_needs_finish(const struct sl_spool_topic *topic)
{
    if (!topic->was_clean)
        return true;
    for (uint32_t i = 0; i < topic->partitions_count; i++) {
        const struct spool_partition *partition = topic->partitions[i];
        if (partition->reserved < partition->next_offset)
            return true;
        for (uint32_t j = 0; j < partition->segments_count; j++)
            if (partition->segments[j]->recovered)
                return true;
    }
    return false;
}

static int spool_open_topic(struct sl_spool *spool, const char *folder, struct sl_err *err)
{
    const struct spool_finder finder = {spool_tell, spool};
    struct sl_spool_topic *topic;
    struct sl_fs_stat st;
    char path[SPOOL_PATH_BYTES], name[SPOOL_FOLDER_BYTES], again[SPOOL_FOLDER_BYTES];
    int rc;

    (void)snprintf(path, sizeof(path), "%s/%s", spool->dir, folder);
    rc = spool->fs->stat(spool->fs, path, &st);
    if (rc < 0)
        return spool_fail_io(err, rc, "looking at", path);
    if (!st.is_dir || spool_name_decode(folder, name, sizeof(name)) < 0 || spool_name_encode(name, again, sizeof(again)) < 0 ||
        strcmp(again, folder) != 0)
        return 0; /* not ours */
    topic = spool_topic_new(spool, name, err);
    if (topic == NULL)
        return -(int)SL_E_LIMIT;
    rc = spool_recover(topic, false, &finder, err);
    if (rc == 0 && topic->partitions_count > 0 && spool_topic_needs_finish(topic))
        rc = spool_recover_finish(topic, err);
    if (rc < 0 || topic->partitions_count == 0) { /* an empty folder becomes a topic when somebody asks for it */
        (void)spool_topic_free(topic);
        return rc < 0 ? sl_while(err, "topic %s", name) : 0;
    }
    topic->next = spool->topics;
    spool->topics = topic;
    spool_retain(topic);
    return 0;
}

struct spool_opening {
    struct sl_spool *spool;
    struct sl_err *err;
    int rc;
};

/* list() hands back errno's and our own codes alike, so ours travels beside it. */
static int spool_open_folder(void *user, const char *folder)
{
    struct spool_opening *opening = user;
    opening->rc = spool_open_topic(opening->spool, folder, opening->err);
    return opening->rc < 0;
}

static int spool_open_all(struct sl_spool *spool, struct sl_err *err)
{
    struct spool_opening opening = {spool, err, 0};
    int rc = spool->fs->list(spool->fs, spool->dir, spool_open_folder, &opening);
    return rc < 0 ? spool_fail_io(err, rc, "listing", spool->dir) : opening.rc;
}

static int spool_start(struct sl_spool *spool, struct sl_err *err)
{
    pthread_condattr_t attributes;
    int rc;

    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&spool->work, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    if (spool->settings.no_thread)
        return 0;
    rc = pthread_create(&spool->thread, NULL, spool_writer_thread, spool);
    if (rc != 0)
        return sl_fail(err, SL_E_IO, SL_REMEDY_HALT, rc, "starting the spool's writer thread: %s", strerror(rc));
    spool->threaded = true;
    return 0;
}

static struct sl_spool *spool_free(struct sl_spool *spool)
{
    while (spool->topics != NULL) {
        struct sl_spool_topic *next = spool->topics->next;
        (void)spool_topic_free(spool->topics);
        spool->topics = next;
    }
    sl_buffer_fini(&spool->piece);
    (void)pthread_mutex_destroy(&spool->io);
    (void)pthread_mutex_destroy(&spool->lock);
    (void)pthread_cond_destroy(&spool->work);
    free(spool->dir);
    spool->magic = 0;
    free(spool);
    return NULL;
}

int sl_spool_open(struct sl_fs *fs, const char *dir, const struct sl_spool_settings *settings, struct sl_spool **ret_spool,
                  struct sl_err *err)
{
    struct sl_spool *spool = calloc(1, sizeof(*spool));
    struct sl_err own;
    int rc;

    err = err != NULL ? err : &own;
    if (spool == NULL || (spool->dir = strdup(dir)) == NULL || strlen(dir) > SPOOL_PATH_BYTES - 512) {
        rc = sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "opening spool %.200s: no memory, or the path is too long", dir);
        if (spool != NULL)
            free(spool->dir);
        free(spool);
        return rc;
    }
    spool->magic = SPOOL_MAGIC;
    spool->fs = fs;
    spool->settings = *settings;
    (void)pthread_mutex_init(&spool->io, NULL);
    (void)pthread_mutex_init(&spool->lock, NULL);
    rc = sl_fs_mkdirs(fs, dir, 0755);
    if (rc < 0)
        rc = spool_fail_io(err, rc, "making", dir);
    if (rc == 0)
        rc = spool_open_all(spool, err);
    if (rc == 0)
        rc = spool_start(spool, err);
    if (rc < 0) {
        (void)spool_free(spool);
        return sl_while(err, "spool %s", dir);
    }
    *ret_spool = spool;
    return 0;
}

/* ---- close ---- */

/* What is sealed and marked clean needs no walk at the next start, and tells it where the log must end. */
static void spool_close_topic(struct sl_spool_topic *topic)
{
    bool sealed = true;
    for (uint32_t i = 0; i < topic->partitions_count; i++)
        if (spool_writer_seal(topic, topic->partitions[i], NULL) < 0)
            sealed = false;
    if (!sealed)
        return;
    for (uint32_t i = 0; i < topic->partitions_count; i++)
        topic->partitions[i]->reserved = topic->partitions[i]->next_offset;
    (void)spool_marks_write(topic, !topic->holds_unknown, NULL);
}

static void spool_sync_off(struct sl_spool *spool)
{
    for (struct sl_spool_topic *topic = spool->topics; topic != NULL; topic = topic->next)
        for (uint32_t i = 0; i < topic->partitions_count; i++)
            if (topic->partitions[i]->fd >= 0)
                (void)spool->fs->fsync(spool->fs, topic->partitions[i]->fd);
}

struct sl_spool *sl_spool_close(struct sl_spool *spool)
{
    if (spool == NULL)
        return NULL;
    assert(spool->magic == SPOOL_MAGIC);
    if (spool->threaded) {
        (void)pthread_mutex_lock(&spool->lock);
        spool->stopping = true;
        (void)pthread_cond_signal(&spool->work);
        (void)pthread_mutex_unlock(&spool->lock);
        (void)pthread_join(spool->thread, NULL);
    }
    spool->closing = true;
    (void)spool_writer_turn(spool, true);
    if (spool->settings.fsync == SL_SPOOL_OFF)
        spool_sync_off(spool);
    for (struct sl_spool_topic *topic = spool->topics; topic != NULL; topic = topic->next)
        spool_close_topic(topic);
    return spool_free(spool);
}

/* ---- topics ---- */

static int spool_topic_grow(struct sl_spool_topic *topic, uint32_t partitions, struct sl_err *err)
{
    uint32_t before = topic->partitions_count;
    int rc = 0;

    (void)pthread_mutex_lock(&topic->spool->lock);
    while (rc == 0 && topic->partitions_count < partitions)
        if (spool_topic_partition_add(topic) == NULL)
            rc = sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory for topic %s", topic->name);
    (void)pthread_mutex_unlock(&topic->spool->lock);
    if (rc == 0)
        rc = spool_marks_write(topic, false, err);
    if (rc == 0)
        rc = spool_manifest_write(topic, err);
    (void)pthread_mutex_lock(&topic->spool->lock);
    while (rc < 0 && topic->partitions_count > before)
        free(topic->partitions[--topic->partitions_count]);
    (void)pthread_mutex_unlock(&topic->spool->lock);
    return rc;
}

static int spool_topic_make(struct sl_spool *spool, const char *name, uint32_t partitions, struct sl_spool_topic **ret_topic,
                            struct sl_err *err)
{
    struct sl_spool_topic *topic = spool_topic_new(spool, name, err);
    int rc;

    if (topic == NULL)
        return -(int)err->code;
    rc = sl_fs_mkdirs(spool->fs, topic->folder, 0755);
    if (rc < 0)
        rc = spool_fail_io(err, rc, "making", topic->folder);
    if (rc == 0)
        rc = spool_topic_grow(topic, partitions, err);
    if (rc < 0) {
        (void)spool_topic_free(topic);
        return rc;
    }
    (void)pthread_mutex_lock(&spool->lock);
    topic->next = spool->topics;
    spool->topics = topic;
    (void)pthread_mutex_unlock(&spool->lock);
    *ret_topic = topic;
    return 0;
}

int sl_spool_topic(struct sl_spool *spool, const char *name, uint32_t partitions, struct sl_spool_topic **ret_topic,
                   struct sl_err *err)
{
    struct sl_spool_topic *topic;
    struct sl_err own;
    int rc = 0;

    err = err != NULL ? err : &own;
    if (partitions == 0 || partitions > SPOOL_PARTITIONS_MOST)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "topic %.80s: %u partitions; it takes 1 to %d", name, partitions,
                       SPOOL_PARTITIONS_MOST);
    (void)pthread_mutex_lock(&spool->io);
    for (topic = spool->topics; topic != NULL && strcmp(topic->name, name) != 0; topic = topic->next)
        continue;
    if (topic == NULL)
        rc = spool_topic_make(spool, name, partitions, &topic, err);
    else if (topic->partitions_count < partitions)
        rc = spool_topic_grow(topic, partitions, err);
    (void)pthread_mutex_unlock(&spool->io);
    if (rc == 0)
        *ret_topic = topic;
    return rc;
}

uint32_t sl_spool_partitions(const struct sl_spool_topic *topic)
{
    return topic->partitions_count;
}

/* ---- append ---- */

static int spool_refuse(struct sl_spool *spool, struct sl_err *err, const char *why)
{
    spool->stats.refused_appends++;
    return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "spool %s refuses records: %s; send them again later", spool->dir, why);
}

/* lock held. */
static int spool_admit(struct sl_spool_topic *topic, size_t bytes, struct sl_err *err)
{
    struct sl_spool *spool = topic->spool;
    if (spool->sick)
        return spool_refuse(spool, err, spool->sick_err.text);
    if (topic->hold_full)
        return spool_refuse(spool, err, "its hold is full, and a topology has not finished with the oldest segment");
    if (spool->queued_bytes > 0 && spool->queued_bytes + bytes > spool->settings.append_queue_bytes)
        return spool_refuse(spool, err, "the disk does not keep up, the append queue is full");
    return 0;
}

/* The batches that the records make, end to end; NULL and err where one record is too large or memory ends. */
static struct spool_pending *spool_pack(struct sl_spool *spool, const struct sl_spool_record *records, uint32_t count,
                                        struct sl_err *err)
{
    int64_t now_unix_ms = spool->settings.unix_ms(spool->settings.env);
    size_t body_bytes, meta_bytes, room = 0;
    struct spool_pending *pending;
    uint32_t taken;

    for (uint32_t at = 0; at < count; at += taken) {
        taken = sl_spool_batch_measure(records + at, count - at, &body_bytes, &meta_bytes);
        if (taken == 0) {
            (void)sl_fail(err, SL_E_LIMIT, SL_REMEDY_DEADLETTER, 0, "record %u has more than %d bytes", at, SL_SPOOL_BODY_BYTES);
            return NULL;
        }
        room += SL_SPOOL_BATCH_HEADER + body_bytes;
    }
    pending = malloc(sizeof(*pending) + room);
    if (pending == NULL) {
        (void)sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory for %zu bytes of records", room);
        return NULL;
    }
    *pending = (struct spool_pending){.count = count, .room = room};
    for (uint32_t at = 0; at < count; at += taken) {
        struct sl_spool_batch batch;
        char *header = pending->data + pending->bytes;
        taken = sl_spool_batch_measure(records + at, count - at, &body_bytes, &meta_bytes);
        sl_spool_batch_encode(records + at, taken, now_unix_ms, body_bytes, meta_bytes, header + SL_SPOOL_BATCH_HEADER, &batch);
        batch.base = 0;
        sl_spool_batch_put(header, &batch, 0); /* base and checksum are the writer's */
        pending->bytes += SL_SPOOL_BATCH_HEADER + body_bytes;
    }
    return pending;
}

int sl_spool_append(struct sl_spool_topic *topic, uint32_t partition, const struct sl_spool_record *records, uint32_t count,
                    struct sl_spool_wait *wait, struct sl_err *err)
{
    struct sl_spool *spool = topic->spool;
    struct spool_pending *pending;
    struct spool_queue *queue;
    struct sl_err own;
    uint64_t before;
    int rc;

    assert(spool->magic == SPOOL_MAGIC);
    err = err != NULL ? err : &own;
    if (partition >= topic->partitions_count || count == 0)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "topic %s: %u records for partition %u of %u", topic->name, count,
                       partition, topic->partitions_count);
    (void)pthread_mutex_lock(&spool->lock);
    rc = spool_admit(topic, 0, err); /* before the work of packing */
    (void)pthread_mutex_unlock(&spool->lock);
    pending = rc == 0 ? spool_pack(spool, records, count, err) : NULL;
    if (pending == NULL)
        return rc < 0 ? rc : -(int)SL_E_LIMIT;
    pending->wait = wait;
    (void)pthread_mutex_lock(&spool->lock);
    rc = spool_admit(topic, pending->room, err);
    if (rc == 0) {
        queue = &topic->partitions[partition]->queue;
        *queue->last = pending;
        queue->last = &pending->next;
        before = spool->queued_bytes;
        spool->queued_bytes += pending->room;
        if (spool->threaded && (before == 0 || spool_writer_is_due(spool)))
            (void)pthread_cond_signal(&spool->work);
    }
    (void)pthread_mutex_unlock(&spool->lock);
    if (rc < 0)
        free(pending);
    return rc;
}

bool sl_spool_is_full(const struct sl_spool_topic *topic)
{
    struct sl_spool *spool = topic->spool;
    bool full;
    (void)pthread_mutex_lock(&spool->lock);
    full = spool->sick || topic->hold_full || spool->queued_bytes >= spool->settings.append_queue_bytes;
    (void)pthread_mutex_unlock(&spool->lock);
    return full;
}

void sl_spool_stats(struct sl_spool *spool, struct sl_spool_stats *ret_stats)
{
    (void)pthread_mutex_lock(&spool->io);
    (void)pthread_mutex_lock(&spool->lock);
    *ret_stats = spool->stats;
    ret_stats->segments = 0;
    for (struct sl_spool_topic *topic = spool->topics; topic != NULL; topic = topic->next)
        for (uint32_t i = 0; i < topic->partitions_count; i++)
            for (uint32_t j = 0; j < topic->partitions[i]->segments_count; j++)
                ret_stats->segments += topic->partitions[i]->segments[j]->state != SPOOL_MISSING;
    (void)pthread_mutex_unlock(&spool->lock);
    (void)pthread_mutex_unlock(&spool->io);
}
