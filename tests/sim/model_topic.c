/* model_topic.c: the modelled log's topics: dense offsets, markers, holes, and what a read_committed reader sees.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <xxhash.h>

#include "tests/sim/model_inner.h"

struct model_topic *model_topic_find(struct sl_model *model, const char *name)
{
    struct model_topic *topic = model->topics;
    while (topic != NULL && strcmp(topic->name, name) != 0)
        topic = topic->next;
    return topic;
}

struct model_partition *model_partition_find(struct sl_model *model, const char *topic, int32_t partition)
{
    struct model_topic *found = model_topic_find(model, topic);
    if (found == NULL || partition < 0 || (uint32_t)partition >= found->count)
        return NULL;
    return found->partitions[partition];
}

/* An existing partition, asked for by a test. */
static struct model_partition *topic_partition(struct sl_model *model, const char *topic, int32_t partition)
{
    struct model_partition *found = model_partition_find(model, topic, partition);
    assert(found != NULL);
    return found;
}

static void topic_grow(struct model_topic *topic, uint32_t partitions)
{
    if (partitions <= topic->count)
        return;
    topic->partitions = realloc(topic->partitions, partitions * sizeof(struct model_partition *));
    assert(topic->partitions != NULL);
    while (topic->count < partitions)
        topic->partitions[topic->count++] = model_alloc(sizeof(struct model_partition));
}

void sl_model_topic(struct sl_model *model, const char *topic, uint32_t partitions)
{
    struct model_topic *found = model_topic_find(model, topic);
    assert(partitions > 0);
    if (found == NULL) {
        found = model_alloc(sizeof(*found));
        found->name = model_text(topic);
        found->next = model->topics;
        model->topics = found;
    }
    if (partitions > found->count) {
        topic_grow(found, partitions);
        model_group_changed_topic(model, topic);
    }
}

void sl_model_recreate(struct sl_model *model, const char *topic, uint32_t partitions, bool keep_offsets)
{
    struct model_topic **link = &model->topics;
    while (*link != NULL && strcmp((*link)->name, topic) != 0)
        link = &(*link)->next;
    assert(*link != NULL);
    struct model_topic *old = *link;
    *link = old->next;
    old->next = model->buried;
    model->buried = old;
    if (!keep_offsets)
        model_group_forget_topic(model, topic);
    sl_model_topic(model, topic, partitions);
}

int32_t model_topic_choose(const struct model_topic *topic, const struct sl_klog_record *record)
{
    if (record->partition >= 0)
        return record->partition;
    return (int32_t)(XXH3_64bits(record->key.data, record->key.bytes) % topic->count);
}

static struct model_record *topic_push(struct sl_model *model, struct model_partition *partition)
{
    struct model_record *record = model_alloc(sizeof(*record));
    if (partition->count == partition->cap) {
        partition->cap = partition->cap > 0 ? 2 * partition->cap : 16;
        partition->records = realloc(partition->records, partition->cap * sizeof(struct model_record *));
        assert(partition->records != NULL);
    }
    record->append_unix_ms = model->unix_ms;
    partition->records[partition->count++] = record;
    return record;
}

static struct sl_header *topic_headers(const struct sl_klog_record *record)
{
    if (record->headers_count == 0)
        return NULL;
    struct sl_header *headers = model_alloc(record->headers_count * sizeof(*headers));
    for (uint16_t i = 0; i < record->headers_count; i++) {
        headers[i].name = model_copy(record->headers[i].name);
        headers[i].value = model_copy(record->headers[i].value);
    }
    return headers;
}

uint64_t model_partition_append(struct sl_model *model, struct model_partition *partition, const struct sl_klog_record *record,
                                struct model_txn *txn)
{
    uint64_t offset = partition->count;
    if (txn != NULL)
        model_txn_touch(txn, partition);
    struct model_record *made = topic_push(model, partition);
    made->key = model_copy(record->key);
    made->payload = record->null_payload ? (struct sl_slice){NULL, 0} : model_copy(record->payload);
    made->null_payload = record->null_payload;
    made->headers = topic_headers(record);
    made->headers_count = record->headers_count;
    made->txn = txn;
    if (record->unix_ms != 0)
        made->append_unix_ms = record->unix_ms;
    return offset;
}

void model_partition_mark(struct sl_model *model, struct model_partition *partition, struct model_txn *txn)
{
    struct model_record *made = topic_push(model, partition);
    made->marker = true;
    made->txn = txn;
}

uint64_t model_partition_stable(struct sl_model *model, const struct model_partition *partition)
{
    uint64_t stable = partition->count;
    for (const struct model_txn *txn = model->open; txn != NULL; txn = txn->next)
        for (uint32_t i = 0; i < txn->touched_count; i++)
            if (txn->touched[i].partition == partition && txn->touched[i].first < stable)
                stable = txn->touched[i].first;
    return stable;
}

bool model_record_seen(const struct model_record *record, bool read_committed)
{
    if (record->marker || record->removed)
        return false;
    return !read_committed || record->txn == NULL || record->txn->state == MODEL_TXN_COMMITTED;
}

void model_record_message(const struct model_record *record, uint64_t offset, struct sl_klog_message *ret_message)
{
    *ret_message = (struct sl_klog_message){
        .payload = record->payload,
        .key = record->key,
        .null_payload = record->null_payload,
        .offset = offset,
        .append_unix_ms = record->append_unix_ms,
        .headers = record->headers,
        .headers_count = record->headers_count,
    };
}

uint64_t sl_model_append(struct sl_model *model, const struct sl_klog_record *record)
{
    struct model_partition *partition = topic_partition(model, record->topic, record->partition);
    uint64_t offset = model_partition_append(model, partition, record, NULL);
    model_wake(model);
    return offset;
}

void sl_model_append_transaction(struct sl_model *model, const struct sl_klog_record *records, uint32_t count, bool commit)
{
    struct model_txn *txn = model_txn_open(model, NULL);
    for (uint32_t i = 0; i < count; i++)
        (void)model_partition_append(model, topic_partition(model, records[i].topic, records[i].partition), &records[i], txn);
    model_txn_end(model, txn, commit);
}

void sl_model_retain(struct sl_model *model, const char *topic, int32_t partition, uint64_t first)
{
    struct model_partition *found = topic_partition(model, topic, partition);
    assert(first >= found->first && first <= found->count);
    for (uint64_t i = found->first; i < first; i++)
        found->records[i]->removed = true;
    found->first = first;
}

static bool topic_newer(const struct model_partition *partition, uint64_t index, uint64_t end)
{
    const struct model_record *old = partition->records[index];
    for (uint64_t i = index + 1; i < end; i++) {
        const struct model_record *record = partition->records[i];
        if (model_record_seen(record, true) && record->key.data != NULL && sl_slice_eq(record->key, old->key))
            return true;
    }
    return false;
}

void sl_model_compact(struct sl_model *model, const char *topic, int32_t partition)
{
    struct model_partition *found = topic_partition(model, topic, partition);
    uint64_t stable = model_partition_stable(model, found);
    for (uint64_t i = found->first; i < stable; i++) {
        struct model_record *record = found->records[i];
        if (record->marker)
            record->removed = i + 1 < stable;
        else if (!model_record_seen(record, true) || (record->key.data != NULL && topic_newer(found, i, stable)))
            record->removed = true;
    }
}

void sl_model_bounds(struct sl_model *model, const char *topic, int32_t partition, uint64_t *ret_first,
                     uint64_t *ret_stable, uint64_t *ret_end)
{
    struct model_partition *found = topic_partition(model, topic, partition);
    *ret_first = found->first;
    *ret_stable = model_partition_stable(model, found);
    *ret_end = found->count;
}

uint32_t sl_model_partitions(struct sl_model *model, const char *topic)
{
    struct model_topic *found = model_topic_find(model, topic);
    return found != NULL ? found->count : 0;
}

int sl_model_read(struct sl_model *model, const char *topic, int32_t partition,
                  int (*each)(void *user, const struct sl_klog_message *message), void *user)
{
    struct model_partition *found = topic_partition(model, topic, partition);
    int status = 0;
    for (uint64_t i = found->first; i < found->count && status == 0; i++) {
        struct sl_klog_message message;
        if (!model_record_seen(found->records[i], true))
            continue;
        model_record_message(found->records[i], i, &message);
        status = each(user, &message);
    }
    return status;
}

static void topic_record_free(struct model_record *record)
{
    for (uint16_t i = 0; i < record->headers_count; i++) {
        free((void *)(uintptr_t)record->headers[i].name.data);
        free((void *)(uintptr_t)record->headers[i].value.data);
    }
    free(record->headers);
    free((void *)(uintptr_t)record->key.data);
    free((void *)(uintptr_t)record->payload.data);
    free(record);
}

static void topic_partition_free(struct model_partition *partition)
{
    for (uint64_t i = 0; i < partition->count; i++)
        topic_record_free(partition->records[i]);
    free(partition->records);
    free(partition);
}

void model_topics_free(struct model_topic *topic)
{
    while (topic != NULL) {
        struct model_topic *next = topic->next;
        for (uint32_t i = 0; i < topic->count; i++)
            topic_partition_free(topic->partitions[i]);
        free(topic->partitions);
        free(topic->name);
        free(topic);
        topic = next;
    }
}
