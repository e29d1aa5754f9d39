/* model_log.c: the modelled cluster: its clock, its chance, its clients and how they are cut off or killed.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/model_log.h"

#include <stdlib.h>

#include "runtime/base/clock.h"
#include "tests/sim/model_inner.h"

enum { MODEL_MAGIC = 0x6d6f6465, CLIENT_MAGIC = 0x6d636c69 };

void *model_alloc(size_t bytes)
{
    void *data = calloc(1, bytes > 0 ? bytes : 1);
    assert(data != NULL);
    return data;
}

char *model_text(const char *text)
{
    size_t bytes = strlen(text) + 1;
    return memcpy(model_alloc(bytes), text, bytes);
}

struct sl_slice model_copy(struct sl_slice slice)
{
    if (slice.data == NULL)
        return (struct sl_slice){NULL, 0};
    char *data = malloc(slice.bytes > 0 ? slice.bytes : 1);
    assert(data != NULL);
    if (slice.bytes > 0)
        memcpy(data, slice.data, slice.bytes);
    return (struct sl_slice){data, slice.bytes};
}

/* splitmix64: one word of state, so a seed is the whole story. */
uint64_t model_random(struct sl_model *model, uint64_t below)
{
    uint64_t z = model->random += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    assert(below > 0);
    return (z ^ (z >> 31)) % below;
}

bool model_lot(struct sl_model *model, uint32_t permille)
{
    return permille > 0 && model_random(model, 1000) < permille;
}

void model_wake(struct sl_model *model)
{
    for (struct sl_model_client *client = model->clients; client != NULL; client = client->next)
        for (struct sl_klog_consumer *c = client->dead ? NULL : client->consumers; c != NULL; c = model_consumer_next(c))
            model_consumer_wake(c);
}

int model_step(struct sl_model_client *client, const char *what, struct sl_err *err)
{
    assert(client->magic == CLIENT_MAGIC);
    if (!client->dead && client->step != NULL && client->step(client->user, what) != 0)
        client->dead = true;
    if (client->dead)
        return sl_fail(err, SL_E_STOPPED, SL_REMEDY_HALT, 0, "%s: the process is dead", what);
    return 0;
}

bool model_can_reach(const struct sl_model_client *client)
{
    return !client->dead && !client->cut && !client->model->down;
}

int model_reach(struct sl_model_client *client, const char *what, struct sl_err *err)
{
    int status = model_step(client, what, err);
    if (status == 0 && !model_can_reach(client))
        status = sl_fail(err, SL_E_BROKER, SL_REMEDY_RETRY, 0, "%s: timed out: no broker answers", what);
    return status;
}

struct sl_model *sl_model_new(const struct sl_model_settings *settings)
{
    struct sl_model *model = model_alloc(sizeof(*model));
    model->magic = MODEL_MAGIC;
    model->settings = *settings;
    model->random = settings->seed;
    if (model->settings.session_ns == 0)
        model->settings.session_ns = 10 * SL_NS_PER_S;
    if (model->settings.rebalance_ns == 0)
        model->settings.rebalance_ns = 60 * SL_NS_PER_S;
    if (model->settings.max_record_bytes == 0)
        model->settings.max_record_bytes = 1 << 20;
    return model;
}

struct sl_model *sl_model_free(struct sl_model *model)
{
    if (model == NULL)
        return NULL;
    assert(model->magic == MODEL_MAGIC && model->clients == NULL);
    model_topics_free(model->topics);
    model_topics_free(model->buried);
    model_groups_free(model);
    model_txns_free(model);
    model->magic = 0;
    free(model);
    return NULL;
}

void sl_model_time(struct sl_model *model, uint64_t now_ns, int64_t unix_ms)
{
    assert(model->magic == MODEL_MAGIC && now_ns >= model->now_ns);
    model->now_ns = now_ns;
    model->unix_ms = unix_ms;
    model_txn_expire(model);
    model_group_expire(model);
    for (struct sl_model_client *client = model->clients; client != NULL; client = client->next)
        for (struct sl_klog_sender *s = client->senders; s != NULL; s = model_sender_next(s))
            model_sender_turn(s);
}

void sl_model_calm(struct sl_model *model)
{
    struct sl_model_settings *settings = &model->settings;
    settings->refused_permille = settings->lost_permille = settings->unanswered_permille = 0;
    settings->late_permille = settings->twice_permille = settings->empty_poll_permille = 0;
}

void sl_model_outage(struct sl_model *model, bool down)
{
    model->down = down;
    if (!down)
        model_wake(model);
}

static void log_merge(struct sl_klog_kind *kind)
{
    const struct sl_klog_kind *producer = &model_producer_kind, *sender = &model_sender_kind;
    *kind = model_consumer_kind;
    kind->producer_open = producer->producer_open;
    kind->warm = producer->warm;
    kind->begin = producer->begin;
    kind->produce = producer->produce;
    kind->send_offsets = producer->send_offsets;
    kind->commit = producer->commit;
    kind->abort = producer->abort;
    kind->producer_close = producer->producer_close;
    kind->topic_ensure = sender->topic_ensure;
    kind->scan = sender->scan;
    kind->partition_count = sender->partition_count;
    kind->sender_open = sender->sender_open;
    kind->send = sender->send;
    kind->reports = sender->reports;
    kind->sender_close = sender->sender_close;
}

struct sl_model_client *sl_model_client_new(struct sl_model *model, int (*step)(void *user, const char *what), void *user)
{
    static struct sl_klog_kind kind;
    struct sl_model_client *client = model_alloc(sizeof(*client));
    if (kind.poll == NULL)
        log_merge(&kind);
    client->base.kind = &kind;
    client->magic = CLIENT_MAGIC;
    client->model = model;
    client->step = step;
    client->user = user;
    client->next = model->clients;
    model->clients = client;
    return client;
}

struct sl_model_client *sl_model_client_free(struct sl_model_client *client)
{
    if (client == NULL)
        return NULL;
    assert(client->magic == CLIENT_MAGIC);
    client->dead = true;
    while (client->consumers != NULL)
        client->base.kind->consumer_close(client->consumers);
    while (client->producers != NULL)
        client->base.kind->producer_close(client->producers);
    while (client->senders != NULL)
        client->base.kind->sender_close(client->senders);
    struct sl_model_client **link = &client->model->clients;
    while (*link != client)
        link = &(*link)->next;
    *link = client->next;
    client->magic = 0;
    free(client);
    return NULL;
}

struct sl_klog *sl_model_client_klog(struct sl_model_client *client)
{
    return &client->base;
}

void sl_model_client_kill(struct sl_model_client *client)
{
    client->dead = true;
}

void sl_model_client_heartbeat(struct sl_model_client *client)
{
    if (model_can_reach(client))
        for (struct sl_klog_consumer *c = client->consumers; c != NULL; c = model_consumer_next(c))
            model_consumer_heartbeat(c);
}

void sl_model_client_cut(struct sl_model_client *client, bool cut)
{
    client->cut = cut;
    if (!cut)
        model_wake(client->model);
}

void sl_model_client_next_commit(struct sl_model_client *client, enum sl_model_commit fate)
{
    client->fate = fate;
    client->fate_set = true;
}
