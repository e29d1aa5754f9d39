/* model_sender.c: the modelled log's plain sender (idempotent, in order, retried until it arrives) and the commit topic's calls.
 * A record arrives some time after it was sent and is reported some time after it arrived: a process killed in between leaves
 * a record that it never heard of.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "runtime/base/clock.h"
#include "tests/sim/model_inner.h"

enum { SENDER_MAGIC = 0x6d736e64 };

struct sender_item {
    struct sl_klog_record record; /* key, headers and topic copied; the payload is the caller's */
    void *opaque;
    uint64_t arrival_ns, report_ns;
    bool arrived, refused;
    struct sender_item *next;
};

struct sl_klog_sender {
    uint32_t magic;
    struct sl_model_client *client;
    uint64_t queue_bytes, held_bytes;
    void (*wake)(void *user);
    void *user;
    struct sender_item *first, **last;
    struct sl_klog_sender *next;
};

static int sender_open(struct sl_klog *log, const struct sl_connection *connection, const struct sl_map *properties,
                       uint64_t queue_bytes, void (*wake)(void *user), void *user, struct sl_klog_sender **ret_sender,
                       struct sl_err *err)
{
    (void)connection;
    (void)properties;
    struct sl_model_client *client = (struct sl_model_client *)log;
    int status = model_step(client, "open a sender", err);
    if (status != 0)
        return status;
    struct sl_klog_sender *sender = model_alloc(sizeof(*sender));
    sender->magic = SENDER_MAGIC;
    sender->client = client;
    sender->queue_bytes = queue_bytes;
    sender->wake = wake;
    sender->user = user;
    sender->last = &sender->first;
    sender->next = client->senders;
    client->senders = sender;
    *ret_sender = sender;
    return 0;
}

static void sender_item_free(struct sender_item *item)
{
    struct sl_header *headers = (struct sl_header *)(uintptr_t)item->record.headers;
    for (uint16_t i = 0; i < item->record.headers_count; i++) {
        free((void *)(uintptr_t)headers[i].name.data);
        free((void *)(uintptr_t)headers[i].value.data);
    }
    free(headers);
    free((void *)(uintptr_t)item->record.key.data);
    free((void *)(uintptr_t)item->record.topic);
    free(item);
}

static struct sender_item *sender_item_new(const struct sl_klog_record *record, void *opaque)
{
    struct sender_item *item = model_alloc(sizeof(*item));
    struct sl_header *headers = model_alloc(record->headers_count * sizeof(*headers));
    for (uint16_t i = 0; i < record->headers_count; i++)
        headers[i] = (struct sl_header){model_copy(record->headers[i].name), model_copy(record->headers[i].value)};
    item->record = *record;
    item->record.topic = model_text(record->topic);
    item->record.key = model_copy(record->key);
    item->record.headers = headers;
    item->opaque = opaque;
    return item;
}

static int sender_send(struct sl_klog_sender *sender, const struct sl_klog_record *record, void *opaque, struct sl_err *err)
{
    assert(sender->magic == SENDER_MAGIC);
    struct sl_model *model = sender->client->model;
    int status = model_step(sender->client, "send", err);
    if (status != 0)
        return status;
    if (sender->first != NULL && sender->held_bytes + record->payload.bytes > sender->queue_bytes)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "send: the queue is full (%llu bytes)",
                       (unsigned long long)sender->queue_bytes);
    struct sender_item *item = sender_item_new(record, opaque);
    item->arrival_ns = model->now_ns + model_random(model, 20) * SL_NS_PER_MS;
    item->report_ns = item->arrival_ns + model_random(model, 20) * SL_NS_PER_MS;
    sender->held_bytes += record->payload.bytes;
    *sender->last = item;
    sender->last = &item->next;
    return 0;
}

static bool sender_arrive(struct sl_klog_sender *sender, struct sender_item *item)
{
    struct sl_model *model = sender->client->model;
    const struct model_topic *topic = model_topic_find(model, item->record.topic);
    struct model_partition *partition =
        topic != NULL ? model_partition_find(model, topic->name, model_topic_choose(topic, &item->record)) : NULL;
    item->refused = item->record.payload.bytes > model->settings.max_record_bytes;
    if (partition == NULL)
        return false;
    if (!item->refused)
        (void)model_partition_append(model, partition, &item->record, NULL);
    item->arrived = true;
    return true;
}

void model_sender_turn(struct sl_klog_sender *sender)
{
    bool reached = model_can_reach(sender->client), due = false;
    uint64_t now_ns = sender->client->model->now_ns;
    for (struct sender_item *item = sender->first; item != NULL; item = item->next) {
        if (!item->arrived && (!reached || now_ns < item->arrival_ns || !sender_arrive(sender, item)))
            break; /* in order: nothing overtakes */
        due = due || now_ns >= item->report_ns;
    }
    if (due && reached && sender->wake != NULL)
        sender->wake(sender->user);
}

struct sl_klog_sender *model_sender_next(struct sl_klog_sender *sender)
{
    return sender->next;
}

static int sender_reports(struct sl_klog_sender *sender,
                          void (*each)(void *user, void *opaque, int status, const struct sl_err *err), void *user,
                          struct sl_err *err)
{
    assert(sender->magic == SENDER_MAGIC);
    uint64_t now_ns = sender->client->model->now_ns;
    int status = model_step(sender->client, "reports", err);
    while (status == 0 && model_can_reach(sender->client) && sender->first != NULL && sender->first->arrived &&
           now_ns >= sender->first->report_ns) {
        struct sender_item *item = sender->first;
        struct sl_err refused;
        sender->first = item->next;
        if (sender->first == NULL)
            sender->last = &sender->first;
        sender->held_bytes -= item->record.payload.bytes;
        if (item->refused)
            (void)sl_fail(&refused, SL_E_LIMIT, SL_REMEDY_DEADLETTER, 0, "MSG_SIZE_TOO_LARGE: %u bytes",
                          item->record.payload.bytes);
        each(user, item->opaque, item->refused ? -(int)SL_E_LIMIT : 0, item->refused ? &refused : NULL);
        sender_item_free(item);
    }
    return status;
}

static void sender_close(struct sl_klog_sender *sender)
{
    assert(sender->magic == SENDER_MAGIC);
    struct sl_klog_sender **link = &sender->client->senders;
    while (*link != sender)
        link = &(*link)->next;
    *link = sender->next;
    while (sender->first != NULL) {
        struct sender_item *item = sender->first;
        sender->first = item->next;
        sender_item_free(item);
    }
    sender->magic = 0;
    free(sender);
}

static int sender_topic_ensure(struct sl_klog *log, const struct sl_connection *connection, const char *topic,
                               uint32_t partitions, struct sl_err *err)
{
    (void)connection;
    struct sl_model_client *client = (struct sl_model_client *)log;
    int status = model_reach(client, "make a topic", err);
    if (status == 0 && model_topic_find(client->model, topic) == NULL)
        sl_model_topic(client->model, topic, partitions);
    return status;
}

static int sender_scan(struct sl_klog *log, const struct sl_connection *connection, const char *topic, int32_t partition,
                       uint64_t *inout_offset, int (*each)(void *user, struct sl_slice key, struct sl_slice value),
                       void *user, struct sl_err *err)
{
    (void)connection;
    struct sl_model_client *client = (struct sl_model_client *)log;
    int status = model_reach(client, "scan", err);
    if (status != 0)
        return status;
    const struct model_partition *found = model_partition_find(client->model, topic, partition);
    if (found == NULL)
        return sl_fail(err, SL_E_BROKER, SL_REMEDY_RETRY, 0, "scan: unknown topic or partition %s/%d", topic, partition);
    uint64_t end = model_partition_stable(client->model, found);
    uint64_t at = *inout_offset > found->first ? *inout_offset : found->first;
    for (; at < end && status == 0; at++)
        if (model_record_seen(found->records[at], true))
            status = each(user, found->records[at]->key, found->records[at]->payload);
    if (status == 0)
        *inout_offset = at;
    return status;
}

static int sender_partition_count(struct sl_klog *log, const struct sl_connection *connection, const char *topic,
                                  uint32_t *ret_count, struct sl_err *err)
{
    (void)connection;
    struct sl_model_client *client = (struct sl_model_client *)log;
    int status = model_reach(client, "partition count", err);
    if (status != 0)
        return status;
    uint32_t count = sl_model_partitions(client->model, topic);
    if (count == 0)
        return sl_fail(err, SL_E_BROKER, SL_REMEDY_RETRY, 0, "unknown topic %s", topic);
    *ret_count = count;
    return 0;
}

const struct sl_klog_kind model_sender_kind = {
    .topic_ensure = sender_topic_ensure,
    .scan = sender_scan,
    .partition_count = sender_partition_count,
    .sender_open = sender_open,
    .send = sender_send,
    .reports = sender_reports,
    .sender_close = sender_close,
};
