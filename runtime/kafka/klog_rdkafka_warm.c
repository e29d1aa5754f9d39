/* klog_rdkafka_warm.c: what a process that waits for its turn opens ahead, so that only the group's own steps are left when it comes:
 * consumer handles, connected to their coordinator and leaders but in no group; the commit topic as far as it goes; counts of topics.
 *
 * Between `warm` and `cool` the openings and questions of klog.h find it here. Nothing of it joins, fences or commits. What the commit
 * topic had is kept and read on from there: what was written meanwhile is never missed, since each scan asks for the end anew.
 * Threads: warm and cool one; finders any (lock); a kept topic is read by one at a time (its own lock).
 * Limits: WARM_BYTES of a commit topic; a longer one is not kept.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/kafka/klog_rdkafka.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/buf.h"

enum { WARM_BYTES = 64 << 20, WARM_MS = 5000 };

struct warm_count { /* of a topic that is there */
    char *key;
    uint32_t partitions;
    struct warm_count *next;
};

static pthread_mutex_t warm_lock = PTHREAD_MUTEX_INITIALIZER;
static bool warm_on; /* under the lock, as all below */
static struct sl_klog_consumer *warm_consumers;
static struct klog_kept *warm_kept;
static struct warm_count *warm_counts;

/* Of one cluster a topic's name says all. malloc'd */
static char *warm_key(const struct sl_connection *connection, const char *topic)
{
    struct sl_buf key = {0};

    for (uint32_t i = 0; i < connection->brokers.count; i++)
        sl_buf_printf(&key, "%s,", connection->brokers.items[i]);
    sl_buf_printf(&key, " %s", topic);
    return sl_buf_take(&key, &(size_t){0});
}

/* ---- counts ---- */

static struct warm_count *warm_count_find(const char *key)
{
    for (struct warm_count *at = warm_counts; at != NULL; at = at->next)
        if (strcmp(at->key, key) == 0)
            return at;
    return NULL;
}

bool sl_klog_warm_count(const struct sl_connection *connection, const char *topic, uint32_t *ret_count)
{
    const struct warm_count *found = NULL;
    char *key;

    (void)pthread_mutex_lock(&warm_lock);
    if (warm_on && (key = warm_key(connection, topic)) != NULL) {
        found = warm_count_find(key);
        free(key);
    }
    if (found != NULL)
        *ret_count = found->partitions;
    (void)pthread_mutex_unlock(&warm_lock);
    return found != NULL;
}

void sl_klog_warm_counted(const struct sl_connection *connection, const char *topic, uint32_t count)
{
    struct warm_count *made;
    char *key;

    (void)pthread_mutex_lock(&warm_lock);
    key = warm_on ? warm_key(connection, topic) : NULL;
    if (key != NULL && warm_count_find(key) == NULL && (made = calloc(1, sizeof(*made))) != NULL) {
        *made = (struct warm_count){key, count, warm_counts};
        warm_counts = made;
        key = NULL;
    }
    free(key);
    (void)pthread_mutex_unlock(&warm_lock);
}

/* ---- the commit topic ---- */

static struct klog_kept *kept_free(struct klog_kept *kept)
{
    if (kept->asker.rk != NULL) {
        (void)rd_kafka_consumer_close(kept->asker.rk);
        if (kept->rkt != NULL)
            rd_kafka_topic_destroy(kept->rkt);
        sl_klog_asker_close(&kept->asker);
    }
    sl_buf_fini(&kept->rows);
    (void)pthread_mutex_destroy(&kept->lock);
    free(kept->key);
    free(kept);
    return NULL;
}

struct klog_kept *sl_klog_kept_take(const struct sl_connection *connection, const char *topic, int32_t partition)
{
    struct klog_kept *found = NULL;
    char *key;

    (void)pthread_mutex_lock(&warm_lock);
    if (warm_on && (key = warm_key(connection, topic)) != NULL) {
        for (struct klog_kept *at = warm_kept; at != NULL && found == NULL; at = at->next_kept)
            if (at->partition == partition && !at->broken && strcmp(at->key, key) == 0)
                found = at;
        free(key);
    }
    if (found != NULL)
        found->readers++; /* cool waits for them */
    (void)pthread_mutex_unlock(&warm_lock);
    if (found != NULL)
        (void)pthread_mutex_lock(&found->lock);
    return found;
}

void sl_klog_kept_give_back(struct klog_kept *kept)
{
    bool gone;

    (void)pthread_mutex_unlock(&kept->lock);
    (void)pthread_mutex_lock(&warm_lock);
    kept->readers--;
    gone = kept->readers == 0 && kept->cooled;
    (void)pthread_mutex_unlock(&warm_lock);
    if (gone)
        (void)kept_free(kept);
}

static void kept_slice(struct sl_buf *rows, struct sl_slice slice)
{
    uint32_t bytes = slice.data == NULL ? UINT32_MAX : slice.bytes;

    sl_buf_append(rows, &bytes, sizeof(bytes));
    if (slice.data != NULL)
        sl_buf_append(rows, slice.data, slice.bytes);
}

void sl_klog_kept_add(struct klog_kept *kept, uint64_t offset, struct sl_slice key, struct sl_slice value)
{
    if (kept->broken)
        return;
    sl_buf_append(&kept->rows, &offset, sizeof(offset));
    kept_slice(&kept->rows, key);
    kept_slice(&kept->rows, value);
    kept->broken = sl_buf_failed(&kept->rows) || kept->rows.bytes > WARM_BYTES; /* the next scan reads all by itself */
}

static struct sl_slice kept_read(const struct sl_buf *rows, size_t *at)
{
    struct sl_slice slice;
    uint32_t bytes;

    memcpy(&bytes, rows->data + *at, sizeof(bytes));
    *at += sizeof(bytes);
    slice = (struct sl_slice){bytes == UINT32_MAX ? NULL : rows->data + *at, bytes == UINT32_MAX ? 0 : bytes};
    *at += slice.bytes;
    return slice;
}

int sl_klog_kept_each(const struct klog_kept *kept, uint64_t from, int (*each)(void *user, struct sl_slice key, struct sl_slice value),
                      void *user)
{
    int status = 0;

    for (size_t at = 0; at < kept->rows.bytes && status == 0;) {
        struct sl_slice key, value;
        uint64_t offset;

        memcpy(&offset, kept->rows.data + at, sizeof(offset));
        at += sizeof(offset);
        key = kept_read(&kept->rows, &at);
        value = kept_read(&kept->rows, &at);
        if (offset >= from)
            status = each(user, key, value);
    }
    return status;
}

static int kept_nothing(void *user, struct sl_slice key, struct sl_slice value)
{
    (void)user, (void)key, (void)value;
    return 0;
}

static int warm_keep(struct sl_klog *log, const struct sl_connection *connection, const char *topic, int32_t partition, struct sl_err *err)
{
    struct klog_kept *kept = calloc(1, sizeof(*kept));
    uint64_t offset = 0;
    int status;

    if (kept == NULL || (kept->key = warm_key(connection, topic)) == NULL) {
        free(kept);
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory");
    }
    kept->partition = partition;
    (void)pthread_mutex_init(&kept->lock, NULL);
    status = sl_klog_asker_open(&kept->asker, connection, "read_committed", err);
    if (status != 0) {
        (void)kept_free(kept);
        return status;
    }
    (void)pthread_mutex_lock(&warm_lock);
    kept->next_kept = warm_kept;
    warm_kept = kept;
    (void)pthread_mutex_unlock(&warm_lock);
    return sl_klog_scan(log, connection, topic, partition, &offset, kept_nothing, NULL, err);
}

/* ---- consumers ---- */

struct sl_klog_consumer *sl_klog_warm_take(const struct sl_klog_consumer_settings *settings)
{
    struct sl_klog_consumer *found = NULL;

    (void)pthread_mutex_lock(&warm_lock);
    for (struct sl_klog_consumer **at = &warm_consumers; *at != NULL && found == NULL && settings->instance_id != NULL; at = &(*at)->warm_next)
        if (strcmp((*at)->instance_id, settings->instance_id) == 0 && strcmp((*at)->group, settings->group) == 0 &&
            (*at)->settings.queue_bytes == settings->queue_bytes) {
            found = *at;
            *at = found->warm_next;
            break;
        }
    (void)pthread_mutex_unlock(&warm_lock);
    return found;
}

/* All partitions of its topics; of patterns nothing. */
static int warm_partitions(struct sl_klog *log, const struct sl_klog_consumer_settings *settings, struct sl_klog_list *list,
                           struct sl_err *err)
{
    for (uint32_t i = 0; i < settings->topics.count; i++) {
        const char *topic = settings->topics.items[i];
        uint32_t count;

        if (topic[0] == '^')
            continue;
        if (sl_klog_partition_count(log, settings->connection, topic, &count, err) != 0)
            return -(int)err->code;
        for (uint32_t p = 0; p < count; p++)
            if (sl_klog_list_add(list, topic, (int32_t)p, -1, NULL, 0) != 0)
                return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory");
    }
    return 0;
}

/* Questions whose answers nobody needs: asking them connects. */
static void warm_connect(struct sl_klog_consumer *consumer, struct sl_klog_list *list)
{
    rd_kafka_topic_partition_list_t *native;
    struct sl_err ignored;

    (void)sl_klog_committed(consumer, list, WARM_MS, &ignored);
    (void)sl_klog_offsets(consumer, list, -1, WARM_MS, &ignored);
    if (list->count == 0 || sl_klog_probe_open(consumer, list->items[0].topic, &ignored) != 0)
        return;
    native = sl_klog_native_list(list);
    for (int i = 0; i < native->cnt; i++)
        native->elems[i].offset = -1;
    (void)rd_kafka_offsets_for_times(consumer->probe.rk, native, WARM_MS);
    rd_kafka_topic_partition_list_destroy(native);
}

static int warm_consumer(struct sl_klog *log, const struct sl_klog_consumer_settings *settings, struct sl_err *err)
{
    struct sl_klog_consumer *consumer;
    struct sl_klog_list list = {NULL, 0};
    int status = warm_partitions(log, settings, &list, err);

    if (status == 0)
        status = sl_klog_consumer_new(settings, &consumer, err);
    if (status == 0) {
        warm_connect(consumer, &list);
        (void)pthread_mutex_lock(&warm_lock);
        consumer->warm_next = warm_consumers;
        warm_consumers = consumer;
        (void)pthread_mutex_unlock(&warm_lock);
    }
    sl_klog_list_fini(&list);
    return status;
}

/* ---- both ---- */

int sl_klog_warm(struct sl_klog *log, const struct sl_klog_consumer_settings *settings, const char *commit_topic, int32_t commit_partition,
                 struct sl_err *err)
{
    struct klog_kept *kept;
    uint32_t count;
    int status = 0;

    (void)pthread_mutex_lock(&warm_lock);
    warm_on = true;
    (void)pthread_mutex_unlock(&warm_lock);
    if (commit_topic != NULL) /* noted as known */
        status = sl_klog_partition_count(log, settings->connection, commit_topic, &count, err);
    if (status == 0 && settings->instance_id != NULL)
        status = warm_consumer(log, settings, err);
    if (status != 0 || commit_topic == NULL)
        return status;
    kept = sl_klog_kept_take(settings->connection, commit_topic, commit_partition);
    if (kept == NULL)
        return warm_keep(log, settings->connection, commit_topic, commit_partition, err);
    sl_klog_kept_give_back(kept); /* another slot's, of the same group */
    return 0;
}

void sl_klog_cool(struct sl_klog *log)
{
    struct sl_klog_consumer *consumers;
    struct warm_count *counts;
    struct klog_kept *kept, *next, *idle = NULL;

    (void)log;
    (void)pthread_mutex_lock(&warm_lock);
    warm_on = false;
    consumers = warm_consumers;
    counts = warm_counts;
    kept = warm_kept;
    warm_consumers = NULL;
    warm_counts = NULL;
    warm_kept = NULL;
    for (; kept != NULL; kept = next) {
        next = kept->next_kept;
        kept->cooled = true;
        if (kept->readers > 0) /* its last reader frees it */
            continue;
        kept->next_kept = idle;
        idle = kept;
    }
    (void)pthread_mutex_unlock(&warm_lock);
    for (; idle != NULL; idle = next) {
        next = idle->next_kept;
        (void)kept_free(idle);
    }
    for (struct sl_klog_consumer *consumer = consumers, *after; consumer != NULL; consumer = after) {
        after = consumer->warm_next;
        sl_klog_consumer_close(consumer);
    }
    for (struct warm_count *count = counts, *after; count != NULL; count = after) {
        after = count->next;
        free(count->key);
        free(count);
    }
}
