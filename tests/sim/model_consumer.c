/* model_consumer.c: the modelled log's consumer: its membership as a state machine inside poll, and its fetches.
 *
 * States: OUT -> JOINING (consumer_join) -> ASSIGNING (the group is stable: ASSIGN event) -> OWNING (assign) -> REVOKING
 * (rebalance: REVOKE event; thrown out: LOST event) -> OUT or JOINING (unassign). A replaced static member ends in FENCED
 * (FATAL event). Between the event and its answer heartbeats go on and fetched records still arrive, as with librdkafka.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <xxhash.h>

#include "tests/sim/model_inner.h"

enum { CONSUMER_MAGIC = 0x6d636f6e, GROUP_MAGIC = 0x6d677270 };
enum consumer_state { CONSUMER_OUT, CONSUMER_JOINING, CONSUMER_ASSIGNING, CONSUMER_OWNING, CONSUMER_REVOKING, CONSUMER_FENCED };

struct consumer_fetch {
    char *topic;
    int32_t partition;
    uint64_t next;
    bool paused, out_of_range;
    void *user;
};

struct sl_klog_consumer {
    uint32_t magic;
    struct sl_model_client *client;
    struct model_group *group;
    struct sl_klog_consumer_settings settings; /* strings copied */
    char **topics;
    enum consumer_state state;
    bool lost; /* REVOKING after a LOST */
    uint64_t member;
    uint32_t generation;
    struct sl_klog_list granted; /* what the last ASSIGN named */
    struct consumer_fetch *fetches;
    uint32_t fetches_count;
    struct sl_klog_consumer *next;
};

struct sl_klog_group {
    uint32_t magic;
    struct model_group *group;
    uint64_t member;
    uint32_t generation;
    char *instance_id;
};

static int consumer_open(struct sl_klog *log, const struct sl_klog_consumer_settings *settings,
                         struct sl_klog_consumer **ret_consumer, struct sl_err *err)
{
    struct sl_model_client *client = (struct sl_model_client *)log;
    int status = model_step(client, "open a consumer", err);
    if (status != 0)
        return status;
    if (settings->cooperative)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "the modelled log knows the range assignor only");
    struct sl_klog_consumer *consumer = model_alloc(sizeof(*consumer));
    consumer->magic = CONSUMER_MAGIC;
    consumer->client = client;
    consumer->group = model_group_of(client->model, settings->group);
    consumer->settings = *settings;
    consumer->settings.group = consumer->group->name;
    consumer->settings.instance_id = settings->instance_id != NULL ? model_text(settings->instance_id) : NULL;
    consumer->topics = model_alloc(settings->topics.count * sizeof(char *));
    for (uint32_t i = 0; i < settings->topics.count; i++)
        consumer->topics[i] = model_text(settings->topics.items[i]);
    consumer->settings.topics.items = (const char *const *)consumer->topics;
    consumer->next = client->consumers;
    client->consumers = consumer;
    *ret_consumer = consumer;
    return 0;
}

void model_consumer_wake(struct sl_klog_consumer *consumer)
{
    if (consumer->settings.wake != NULL)
        consumer->settings.wake(consumer->settings.user);
}

struct sl_klog_consumer *model_consumer_next(struct sl_klog_consumer *consumer)
{
    return consumer->next;
}

static struct model_member *consumer_member(const struct sl_klog_consumer *consumer)
{
    return model_member_find(consumer->group, consumer->member);
}

void model_consumer_heartbeat(struct sl_klog_consumer *consumer)
{
    struct model_member *member = consumer_member(consumer);
    if (member != NULL)
        member->deadline_ns = consumer->client->model->now_ns + member->session_ns;
}

/* Events may answer from inside: the state is set before. */
static void consumer_event(struct sl_klog_consumer *consumer, enum sl_klog_event_kind kind, const struct sl_klog_list *list)
{
    consumer->settings.event(consumer->settings.user, kind, list, NULL);
}

static void consumer_event_owned(struct sl_klog_consumer *consumer, enum sl_klog_event_kind kind)
{
    struct sl_klog_list list = {NULL, 0};
    for (uint32_t i = 0; i < consumer->granted.count; i++)
        model_list_add(&list, &consumer->granted.items[i]);
    consumer->state = CONSUMER_REVOKING;
    consumer->lost = kind == SL_KLOG_LOST;
    consumer_event(consumer, kind, &list);
    sl_klog_list_fini(&list);
}

static void consumer_fence(struct sl_klog_consumer *consumer)
{
    struct sl_err err;
    (void)sl_fail(&err, SL_E_BROKER, SL_REMEDY_FENCE, 0, "FENCED_INSTANCE_ID: \"%s\" of group %s is another process now",
                  consumer->settings.instance_id, consumer->group->name);
    consumer->state = CONSUMER_FENCED;
    consumer->settings.event(consumer->settings.user, SL_KLOG_FATAL, NULL, &err);
}

static void consumer_take(struct sl_klog_consumer *consumer, const struct model_member *member)
{
    struct sl_klog_list list = {NULL, 0};
    consumer->generation = consumer->group->generation;
    sl_klog_list_fini(&consumer->granted);
    consumer->granted = (struct sl_klog_list){NULL, 0};
    for (uint32_t i = 0; i < member->assigned.count; i++) {
        model_list_add(&consumer->granted, &member->assigned.items[i]);
        model_list_add(&list, &member->assigned.items[i]);
    }
    consumer->state = CONSUMER_ASSIGNING;
    consumer->lost = false;
    consumer_event(consumer, SL_KLOG_ASSIGN, &list);
    sl_klog_list_fini(&list);
}

static void consumer_joining(struct sl_klog_consumer *consumer, struct model_member *member)
{
    if (member == NULL) {
        consumer->state = CONSUMER_OUT;
        return;
    }
    if (!member->joined)
        model_group_rejoin(consumer->client->model, consumer->group, member);
    member = consumer_member(consumer);
    if (consumer->group->state == MODEL_GROUP_STABLE)
        consumer_take(consumer, member);
}

static void consumer_owning(struct sl_klog_consumer *consumer, const struct model_member *member)
{
    if (member == NULL)
        consumer_event_owned(consumer, SL_KLOG_LOST);
    else if (consumer->group->state == MODEL_GROUP_PREPARING || consumer->group->generation != consumer->generation)
        consumer_event_owned(consumer, SL_KLOG_REVOKE);
}

static void consumer_membership(struct sl_klog_consumer *consumer)
{
    struct model_group *group = consumer->group;
    bool fenced = consumer->state != CONSUMER_OUT && consumer->state != CONSUMER_FENCED &&
                  model_member_replaced(group, consumer->member, consumer->settings.instance_id);
    model_consumer_heartbeat(consumer);
    if (fenced)
        consumer_fence(consumer);
    if (consumer->state == CONSUMER_OUT) {
        consumer->member = model_group_join(consumer->client->model, group, &consumer->settings);
        consumer->state = CONSUMER_JOINING;
    }
    if (consumer->state == CONSUMER_JOINING)
        consumer_joining(consumer, consumer_member(consumer));
    else if (consumer->state == CONSUMER_OWNING)
        consumer_owning(consumer, consumer_member(consumer));
}

static void consumer_out_of_range(struct sl_klog_consumer *consumer, struct consumer_fetch *fetch)
{
    struct sl_klog_list list = {NULL, 0};
    int status = sl_klog_list_add(&list, fetch->topic, fetch->partition, (int64_t)fetch->next, NULL, 0);
    assert(status == 0);
    fetch->out_of_range = true;
    consumer_event(consumer, SL_KLOG_OUT_OF_RANGE, &list);
    sl_klog_list_fini(&list);
}

/* Up to max records of one partition; the position goes past what is not shown only when nothing was left to show, as an
 * end-of-partition event does it. */
static uint32_t consumer_fetch_some(struct sl_klog_consumer *consumer, struct consumer_fetch *fetch,
                                    const struct model_partition *partition, struct sl_klog_message *messages, uint32_t max)
{
    bool committed_only = consumer->settings.read_committed;
    uint64_t end = committed_only ? model_partition_stable(consumer->client->model, partition) : partition->count;
    uint64_t at = fetch->next;
    uint32_t count = 0;
    for (; at < end && count < max; at++) {
        if (!model_record_seen(partition->records[at], committed_only))
            continue;
        model_record_message(partition->records[at], at, &messages[count]);
        messages[count].headers = consumer->settings.want_headers ? messages[count].headers : NULL;
        messages[count].headers_count = consumer->settings.want_headers ? messages[count].headers_count : 0;
        messages[count++].partition = fetch->user;
        fetch->next = at + 1;
    }
    if (count == 0 && at > fetch->next)
        fetch->next = at;
    return count;
}

/* The index is looked up again after an event, which may have changed the fetches: then nothing is given this time. */
static uint32_t consumer_fetch_one(struct sl_klog_consumer *consumer, uint32_t index, struct sl_klog_message *messages,
                                   uint32_t max)
{
    struct consumer_fetch *fetch = &consumer->fetches[index];
    const struct model_partition *partition = model_partition_find(consumer->client->model, fetch->topic, fetch->partition);
    if (partition == NULL || fetch->paused || fetch->out_of_range)
        return 0;
    if (fetch->next < partition->first || fetch->next > partition->count) {
        consumer_out_of_range(consumer, fetch);
        return 0;
    }
    return consumer_fetch_some(consumer, fetch, partition, messages, max);
}

static int consumer_poll(struct sl_klog_consumer *consumer, struct sl_klog_message *messages, uint32_t max, struct sl_err *err)
{
    assert(consumer->magic == CONSUMER_MAGIC);
    struct sl_model *model = consumer->client->model;
    uint32_t count = 0;
    int status = model_step(consumer->client, "poll", err);
    if (status != 0 || !model_can_reach(consumer->client))
        return status;
    consumer_membership(consumer);
    if (consumer->state == CONSUMER_FENCED || consumer->fetches_count == 0 || max == 0 ||
        model_lot(model, model->settings.empty_poll_permille))
        return 0;
    uint32_t first = (uint32_t)model_random(model, consumer->fetches_count);
    uint32_t some = 1 + (uint32_t)model_random(model, max);
    for (uint32_t i = 0; i < consumer->fetches_count && count < some; i++)
        count += consumer_fetch_one(consumer, (first + i) % consumer->fetches_count, messages + count, some - count);
    return (int)count;
}

static void consumer_fetches_clear(struct sl_klog_consumer *consumer)
{
    for (uint32_t i = 0; i < consumer->fetches_count; i++)
        free(consumer->fetches[i].topic);
    free(consumer->fetches);
    consumer->fetches = NULL;
    consumer->fetches_count = 0;
}

static struct consumer_fetch *consumer_fetch_of(struct sl_klog_consumer *consumer, const char *topic, int32_t partition)
{
    for (uint32_t i = 0; i < consumer->fetches_count; i++)
        if (consumer->fetches[i].partition == partition && strcmp(consumer->fetches[i].topic, topic) == 0)
            return &consumer->fetches[i];
    return NULL;
}

static void consumer_fetch_begin(struct sl_klog_consumer *consumer, const struct sl_klog_partition *item, void *user)
{
    struct consumer_fetch *fetch = consumer_fetch_of(consumer, item->topic, item->partition);
    if (fetch == NULL) {
        consumer->fetches = realloc(consumer->fetches, (consumer->fetches_count + 1) * sizeof(*fetch));
        assert(consumer->fetches != NULL);
        fetch = &consumer->fetches[consumer->fetches_count++];
        *fetch = (struct consumer_fetch){.topic = model_text(item->topic), .partition = item->partition};
    }
    fetch->next = (uint64_t)item->offset;
    fetch->out_of_range = false;
    fetch->user = user;
}

/* Adds to what it has: an ASSIGN may be answered in several parts. */
static int consumer_assign(struct sl_klog_consumer *consumer, const struct sl_klog_list *list, void *const *users,
                           struct sl_err *err)
{
    int status = model_step(consumer->client, "assign", err);
    if (status != 0)
        return status;
    for (uint32_t i = 0; i < list->count; i++) {
        if (list->items[i].offset < 0)
            return sl_fail(err, SL_E_BROKER, SL_REMEDY_HALT, 0, "assign %s/%d: no offset", list->items[i].topic,
                           list->items[i].partition);
        if (model_list_find(&consumer->granted, list->items[i].topic, list->items[i].partition) == NULL)
            return sl_fail(err, SL_E_BROKER, SL_REMEDY_HALT, 0, "assign %s/%d: not given to this member",
                           list->items[i].topic, list->items[i].partition);
    }
    for (uint32_t i = 0; i < list->count; i++)
        consumer_fetch_begin(consumer, &list->items[i], users[i]);
    if (consumer->state == CONSUMER_ASSIGNING)
        consumer->state = CONSUMER_OWNING;
    model_consumer_wake(consumer);
    return 0;
}

/* Eager: all of them go, whatever the list says. */
static int consumer_unassign(struct sl_klog_consumer *consumer, const struct sl_klog_list *list, struct sl_err *err)
{
    (void)list;
    int status = model_step(consumer->client, "unassign", err);
    if (status != 0)
        return status;
    consumer_fetches_clear(consumer);
    if (consumer->state == CONSUMER_REVOKING)
        consumer->state = CONSUMER_JOINING; /* poll finds out whether it is still known */
    else if (consumer->state == CONSUMER_ASSIGNING)
        consumer->state = CONSUMER_OWNING;
    model_consumer_wake(consumer);
    return 0;
}

static int consumer_seek(struct sl_klog_consumer *consumer, const char *topic, int32_t partition, uint64_t offset,
                         struct sl_err *err)
{
    struct consumer_fetch *fetch = consumer_fetch_of(consumer, topic, partition);
    int status = model_step(consumer->client, "seek", err);
    if (status != 0)
        return status;
    if (fetch == NULL)
        return sl_fail(err, SL_E_BROKER, SL_REMEDY_HALT, 0, "seek %s/%d: not assigned", topic, partition);
    fetch->next = offset;
    fetch->out_of_range = false;
    model_consumer_wake(consumer);
    return 0;
}

static int consumer_position(struct sl_klog_consumer *consumer, const char *topic, int32_t partition, uint64_t *ret_next)
{
    const struct consumer_fetch *fetch = consumer_fetch_of(consumer, topic, partition);
    if (fetch == NULL)
        return -(int)SL_E_BROKER;
    *ret_next = fetch->next;
    return 0;
}

/* Its queue is the log itself: never full. */
static int consumer_starved(struct sl_klog_consumer *consumer)
{
    (void)consumer;
    return 0;
}

static int consumer_pause(struct sl_klog_consumer *consumer, const struct sl_klog_list *list, bool paused, struct sl_err *err)
{
    int status = model_step(consumer->client, "pause", err);
    for (uint32_t i = 0; status == 0 && i < list->count; i++) {
        struct consumer_fetch *fetch = consumer_fetch_of(consumer, list->items[i].topic, list->items[i].partition);
        if (fetch != NULL)
            fetch->paused = paused;
    }
    if (!paused)
        model_consumer_wake(consumer);
    return status;
}

static int consumer_committed(struct sl_klog_consumer *consumer, struct sl_klog_list *list, uint32_t timeout_ms,
                              struct sl_err *err)
{
    struct sl_model *model = consumer->client->model;
    int status = model_reach(consumer->client, "committed", err);
    if (status != 0)
        return status;
    for (uint32_t i = 0; i < list->count; i++)
        if (model_txn_unstable(model, consumer->group, list->items[i].topic, list->items[i].partition))
            return sl_fail(err, SL_E_BROKER, SL_REMEDY_RETRY, 0, "committed %s/%d: UNSTABLE_OFFSET_COMMIT for %u ms",
                           list->items[i].topic, list->items[i].partition, timeout_ms);
    for (uint32_t i = 0; i < list->count; i++) {
        struct sl_klog_partition *item = &list->items[i];
        const struct sl_klog_partition *found = model_list_find(&consumer->group->committed, item->topic, item->partition);
        free(item->metadata);
        item->metadata = NULL;
        item->metadata_bytes = 0;
        item->error = 0;
        item->offset = found != NULL ? found->offset : -1;
        if (found != NULL && found->metadata != NULL) {
            item->metadata = model_alloc(found->metadata_bytes + 1);
            memcpy(item->metadata, found->metadata, found->metadata_bytes);
            item->metadata_bytes = found->metadata_bytes;
        }
    }
    return 0;
}

static uint64_t consumer_offset_of_time(const struct model_partition *partition, uint64_t end, int64_t unix_ms)
{
    uint64_t at = partition->first;
    while (at < end && (partition->records[at]->removed || partition->records[at]->append_unix_ms < unix_ms))
        at++;
    return at;
}

static int consumer_offsets(struct sl_klog_consumer *consumer, struct sl_klog_list *list, int64_t which, uint32_t timeout_ms,
                            struct sl_err *err)
{
    (void)timeout_ms;
    struct sl_model *model = consumer->client->model;
    int status = model_reach(consumer->client, "offsets", err);
    for (uint32_t i = 0; status == 0 && i < list->count; i++) {
        struct sl_klog_partition *item = &list->items[i];
        const struct model_partition *partition = model_partition_find(model, item->topic, item->partition);
        item->error = partition == NULL ? 3 : 0; /* UNKNOWN_TOPIC_OR_PARTITION */
        item->offset = -1;
        if (partition == NULL)
            continue;
        uint64_t end = consumer->settings.read_committed ? model_partition_stable(model, partition) : partition->count;
        uint64_t found = which == -1   ? end
                         : which == -2 ? partition->first
                                       : consumer_offset_of_time(partition, end, which);
        item->offset = (int64_t)found;
    }
    return status;
}

static int consumer_fingerprint(struct sl_klog_consumer *consumer, struct sl_klog_print *print, struct sl_err *err)
{
    struct sl_model *model = consumer->client->model;
    int status = model_reach(consumer->client, "fingerprint", err);
    const struct model_partition *found;
    const struct model_record *record;

    if (status != 0)
        return status;
    found = model_partition_find(model, print->topic, print->partition);
    print->found = found != NULL && print->offset >= found->first && print->offset < model_partition_stable(model, found) &&
                   model_record_seen(found->records[print->offset], true);
    if (!print->found)
        return 0;
    record = found->records[print->offset];
    print->hash = XXH3_64bits(record->payload.data, record->payload.bytes);
    return 0;
}

static int consumer_fingerprints(struct sl_klog_consumer *consumer, struct sl_klog_print *prints, uint32_t count, struct sl_err *err)
{
    int status = 0;

    for (uint32_t i = 0; i < count && status == 0; i++)
        status = consumer_fingerprint(consumer, &prints[i], err);
    return status;
}

static int consumer_commit_offsets(struct sl_klog_consumer *consumer, const struct sl_klog_list *list, struct sl_err *err)
{
    int status = model_reach(consumer->client, "commit offsets", err);
    if (status == 0)
        status = model_group_check(consumer->group, consumer->member, consumer->generation, consumer->settings.instance_id,
                                   err);
    if (status == 0)
        model_group_store(consumer->group, list);
    return status;
}

static void consumer_unlink(struct sl_klog_consumer *consumer)
{
    struct sl_klog_consumer **link = &consumer->client->consumers;
    while (*link != consumer)
        link = &(*link)->next;
    *link = consumer->next;
}

static void consumer_close(struct sl_klog_consumer *consumer)
{
    assert(consumer->magic == CONSUMER_MAGIC);
    struct sl_model *model = consumer->client->model;
    if (consumer->settings.instance_id == NULL && model_step(consumer->client, "leave the group", NULL) == 0 &&
        model_can_reach(consumer->client))
        model_group_leave(model, consumer->group, consumer->member);
    consumer_unlink(consumer);
    consumer_fetches_clear(consumer);
    sl_klog_list_fini(&consumer->granted);
    for (uint32_t i = 0; i < consumer->settings.topics.count; i++)
        free(consumer->topics[i]);
    free(consumer->topics);
    free((void *)(uintptr_t)consumer->settings.instance_id);
    consumer->magic = 0;
    free(consumer);
}

/* A consumer that was told of its loss, or is not in, is no member: NULL. */
static struct sl_klog_group *consumer_group_snapshot(struct sl_klog_consumer *consumer)
{
    if (consumer->lost || consumer->state == CONSUMER_OUT || consumer->state == CONSUMER_FENCED)
        return NULL;
    struct sl_klog_group *group = model_alloc(sizeof(*group));
    group->magic = GROUP_MAGIC;
    group->group = consumer->group;
    group->member = consumer->member;
    group->generation = consumer->generation;
    group->instance_id = consumer->settings.instance_id != NULL ? model_text(consumer->settings.instance_id) : NULL;
    return group;
}

int model_group_snapshot_check(const struct sl_klog_group *group, struct model_group **ret_group, struct sl_err *err)
{
    if (group == NULL)
        return sl_fail(err, SL_E_BROKER, SL_REMEDY_FENCE, 0, "no member of the group now");
    assert(group->magic == GROUP_MAGIC);
    *ret_group = group->group;
    return model_group_check(group->group, group->member, group->generation, group->instance_id, err);
}

static void consumer_group_free(struct sl_klog_group *group)
{
    if (group == NULL)
        return;
    assert(group->magic == GROUP_MAGIC);
    group->magic = 0;
    free(group->instance_id);
    free(group);
}

const struct sl_klog_kind model_consumer_kind = {
    .consumer_open = consumer_open,
    .poll = consumer_poll,
    .assign = consumer_assign,
    .unassign = consumer_unassign,
    .seek = consumer_seek,
    .position = consumer_position,
    .starved = consumer_starved,
    .pause = consumer_pause,
    .committed = consumer_committed,
    .offsets = consumer_offsets,
    .fingerprints = consumer_fingerprints,
    .commit_offsets = consumer_commit_offsets,
    .consumer_close = consumer_close,
    .group_snapshot = consumer_group_snapshot,
    .group_free = consumer_group_free,
};
