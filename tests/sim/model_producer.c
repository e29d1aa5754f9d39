/* model_producer.c: the modelled log's transactional producer.
 *
 * States: IDLE -> IN (begin) -> IDLE (commit, abort; a produce or send_offsets that fails aborts by itself). BROKEN: its
 * transactional.id has a newer epoch, or how a request ended is unknown (FENCE); all it can do is to be closed, and opening the
 * transactional.id again settles what became of the transaction.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "runtime/base/clock.h"
#include "tests/sim/model_inner.h"

enum { PRODUCER_MAGIC = 0x6d70726f };
enum producer_state { PRODUCER_IDLE, PRODUCER_IN, PRODUCER_BROKEN };

struct sl_klog_producer {
    uint32_t magic;
    struct sl_model_client *client;
    struct model_tid *tid;
    uint32_t epoch;
    enum producer_state state;
    struct sl_klog_producer *next;
};

static int producer_open(struct sl_klog *log, const struct sl_connection *connection, const char *transactional_id,
                         uint32_t transaction_timeout_ms, struct sl_klog_producer **ret_producer, struct sl_err *err)
{
    (void)connection;
    struct sl_model_client *client = (struct sl_model_client *)log;
    int status = model_reach(client, "init transactions", err);
    if (status != 0)
        return status;
    struct sl_klog_producer *producer = model_alloc(sizeof(*producer));
    producer->magic = PRODUCER_MAGIC;
    producer->client = client;
    producer->tid = model_tid_take(client->model, transactional_id, transaction_timeout_ms * SL_NS_PER_MS);
    producer->epoch = producer->tid->epoch;
    producer->next = client->producers;
    client->producers = producer;
    *ret_producer = producer;
    return 0;
}

static int producer_warm(struct sl_klog_producer *producer, const char *topic, struct sl_err *err)
{
    (void)topic;
    return model_reach(producer->client, "warm", err);
}

/* Before every request: may this producer still speak? */
static int producer_request(struct sl_klog_producer *producer, const char *what, struct sl_err *err)
{
    assert(producer->magic == PRODUCER_MAGIC);
    int status = model_reach(producer->client, what, err);
    if (status != 0)
        return status;
    if (producer->state == PRODUCER_BROKEN)
        return sl_fail(err, SL_E_BROKER, SL_REMEDY_FENCE, 0, "%s: the producer %s is dead", what, producer->tid->name);
    if (producer->epoch == producer->tid->epoch)
        return 0;
    producer->state = PRODUCER_BROKEN;
    return sl_fail(err, SL_E_BROKER, SL_REMEDY_FENCE, 0, "%s: _FENCED: transactional.id %s has a newer epoch", what,
                   producer->tid->name);
}

/* The request at the cluster. A second one finds no open transaction: it changes nothing. */
static void producer_end(struct sl_klog_producer *producer, bool commit)
{
    if (producer->tid->txn != NULL && producer->tid->epoch == producer->epoch)
        model_txn_end(producer->client->model, producer->tid->txn, commit);
}

/* After a request inside a transaction failed: aborted where the cluster can be reached, else nobody knows. */
static int producer_settle(struct sl_klog_producer *producer, struct sl_err *err)
{
    if (producer->client->dead)
        return -(int)SL_E_STOPPED;
    if (producer->state == PRODUCER_BROKEN)
        return -(int)SL_E_BROKER;
    if (model_can_reach(producer->client)) {
        producer_end(producer, false);
        producer->state = PRODUCER_IDLE;
        return -(int)SL_E_BROKER;
    }
    producer->state = PRODUCER_BROKEN;
    if (err != NULL)
        err->remedy = SL_REMEDY_FENCE;
    return -(int)SL_E_BROKER;
}

static struct model_txn *producer_txn(struct sl_klog_producer *producer)
{
    assert(producer->state == PRODUCER_IN);
    if (producer->tid->txn == NULL)
        (void)model_txn_open(producer->client->model, producer->tid);
    return producer->tid->txn;
}

static int producer_begin(struct sl_klog_producer *producer, struct sl_err *err)
{
    assert(producer->magic == PRODUCER_MAGIC && producer->state != PRODUCER_IN);
    int status = model_step(producer->client, "begin", err);
    if (status == 0 && producer->state == PRODUCER_BROKEN)
        return sl_fail(err, SL_E_BROKER, SL_REMEDY_FENCE, 0, "begin: the producer %s is dead", producer->tid->name);
    if (status == 0)
        producer->state = PRODUCER_IN;
    return status;
}

static int producer_produce(struct sl_klog_producer *producer, const struct sl_klog_record *records, uint32_t count,
                            struct sl_err *err)
{
    struct sl_model *model = producer->client->model;
    for (uint32_t i = 0; i < count; i++) {
        if (producer_request(producer, "produce", err) != 0)
            return producer_settle(producer, err);
        const struct model_topic *topic = model_topic_find(model, records[i].topic);
        struct model_partition *partition =
            topic != NULL ? model_partition_find(model, records[i].topic, model_topic_choose(topic, &records[i])) : NULL;
        if (partition == NULL) {
            (void)sl_fail(err, SL_E_BROKER, SL_REMEDY_RETRY, 0, "produce: unknown topic or partition %s/%d", records[i].topic,
                          records[i].partition);
            return producer_settle(producer, err);
        }
        (void)model_partition_append(model, partition, &records[i], producer_txn(producer));
    }
    return 0;
}

static int producer_send_offsets(struct sl_klog_producer *producer, const struct sl_klog_list *offsets,
                                 struct sl_klog_group *group, struct sl_err *err)
{
    struct model_group *found;
    int status = producer_request(producer, "send offsets", err);
    if (status == 0)
        status = model_group_snapshot_check(group, &found, err);
    if (status != 0)
        return producer_settle(producer, err);
    model_txn_bring(producer_txn(producer), found, offsets);
    return 0;
}

static enum sl_model_commit producer_fate(struct sl_model_client *client)
{
    const struct sl_model_settings *settings = &client->model->settings;
    uint32_t lot = (uint32_t)model_random(client->model, 1000);
    if (client->fate_set) {
        client->fate_set = false;
        return client->fate;
    }
    if (lot < settings->refused_permille)
        return SL_MODEL_COMMIT_REFUSED;
    lot -= settings->refused_permille;
    if (lot < settings->lost_permille)
        return SL_MODEL_COMMIT_LOST;
    lot -= settings->lost_permille;
    if (lot < settings->unanswered_permille)
        return SL_MODEL_COMMIT_UNANSWERED;
    lot -= settings->unanswered_permille;
    if (lot < settings->late_permille)
        return SL_MODEL_COMMIT_LATE;
    lot -= settings->late_permille;
    return lot < settings->twice_permille ? SL_MODEL_COMMIT_TWICE : SL_MODEL_COMMIT_FINE;
}

static void producer_end_later(struct sl_klog_producer *producer)
{
    struct sl_model *model = producer->client->model;
    if (producer->tid->txn != NULL)
        producer->tid->txn->arrival_ns = model->now_ns + SL_NS_PER_MS * (1 + model_random(model, 8000));
}

static int producer_unknown(struct sl_klog_producer *producer, struct sl_err *err)
{
    producer->state = PRODUCER_BROKEN;
    return sl_fail(err, SL_E_BROKER, SL_REMEDY_FENCE, 0,
                   "commit: timed out: whether it was carried out is unknown: the producer must be opened again");
}

static int producer_commit(struct sl_klog_producer *producer, struct sl_err *err)
{
    int status = producer_request(producer, "commit", err);
    if (status != 0)
        return model_can_reach(producer->client) || producer->client->dead ? status : producer_unknown(producer, err);
    assert(producer->state == PRODUCER_IN);
    producer->state = PRODUCER_IDLE;
    enum sl_model_commit fate = producer_fate(producer->client);
    if (fate == SL_MODEL_COMMIT_REFUSED) {
        producer_end(producer, false);
        return sl_fail(err, SL_E_BROKER, SL_REMEDY_RETRY, 0, "commit: the cluster refused it; it is aborted");
    }
    if (fate == SL_MODEL_COMMIT_LATE)
        producer_end_later(producer);
    else if (fate != SL_MODEL_COMMIT_LOST)
        producer_end(producer, true);
    if (fate == SL_MODEL_COMMIT_TWICE)
        producer_end(producer, true);
    if (fate == SL_MODEL_COMMIT_LOST || fate == SL_MODEL_COMMIT_UNANSWERED || fate == SL_MODEL_COMMIT_LATE)
        return producer_unknown(producer, err);
    return 0;
}

static int producer_abort(struct sl_klog_producer *producer, struct sl_err *err)
{
    if (producer->state == PRODUCER_IDLE)
        return model_step(producer->client, "abort", err);
    if (producer_request(producer, "abort", err) != 0)
        return producer_settle(producer, err);
    producer_end(producer, false);
    producer->state = PRODUCER_IDLE;
    return 0;
}

/* What is open stays open at the cluster until its time-out or the next owner of the id, as with librdkafka. */
static void producer_close(struct sl_klog_producer *producer)
{
    assert(producer->magic == PRODUCER_MAGIC);
    struct sl_klog_producer **link = &producer->client->producers;
    while (*link != producer)
        link = &(*link)->next;
    *link = producer->next;
    producer->magic = 0;
    free(producer);
}

const struct sl_klog_kind model_producer_kind = {
    .producer_open = producer_open,
    .warm = producer_warm,
    .begin = producer_begin,
    .produce = producer_produce,
    .send_offsets = producer_send_offsets,
    .commit = producer_commit,
    .abort = producer_abort,
    .producer_close = producer_close,
};
