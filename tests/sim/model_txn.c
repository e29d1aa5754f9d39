/* model_txn.c: the modelled log's transactions: records, group offsets and their one end.
 *
 * States: OPEN -> COMMITTED | ABORTED (model_txn_end, once). A transactional.id is fenced by taking it (model_tid_take) and by
 * the time-out of its transaction: both raise the epoch, so that the old producer's next request is refused.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "tests/sim/model_inner.h"

struct model_tid *model_tid_take(struct sl_model *model, const char *name, uint64_t timeout_ns)
{
    struct model_tid *tid = model->tids;
    while (tid != NULL && strcmp(tid->name, name) != 0)
        tid = tid->next;
    if (tid == NULL) {
        tid = model_alloc(sizeof(*tid));
        tid->name = model_text(name);
        tid->next = model->tids;
        model->tids = tid;
    }
    tid->epoch++;
    tid->timeout_ns = timeout_ns;
    if (tid->txn != NULL)
        model_txn_end(model, tid->txn, false);
    return tid;
}

struct model_txn *model_txn_open(struct sl_model *model, struct model_tid *tid)
{
    struct model_txn *txn = model_alloc(sizeof(*txn));
    txn->deadline_ns = UINT64_MAX;
    txn->next = model->open;
    model->open = txn;
    if (tid != NULL) {
        assert(tid->txn == NULL);
        txn->tid = tid;
        txn->deadline_ns = model->now_ns + tid->timeout_ns;
        tid->txn = txn;
    }
    return txn;
}

void model_txn_touch(struct model_txn *txn, struct model_partition *partition)
{
    for (uint32_t i = 0; i < txn->touched_count; i++)
        if (txn->touched[i].partition == partition)
            return;
    txn->touched = realloc(txn->touched, (txn->touched_count + 1) * sizeof(struct model_touched));
    assert(txn->touched != NULL);
    txn->touched[txn->touched_count++] = (struct model_touched){partition, partition->count};
}

void model_txn_bring(struct model_txn *txn, struct model_group *group, const struct sl_klog_list *offsets)
{
    struct model_pending pending = {.group = group};
    for (uint32_t i = 0; i < offsets->count; i++)
        model_list_add(&pending.list, &offsets->items[i]);
    txn->pending = realloc(txn->pending, (txn->pending_count + 1) * sizeof(struct model_pending));
    assert(txn->pending != NULL);
    txn->pending[txn->pending_count++] = pending;
}

void model_txn_end(struct sl_model *model, struct model_txn *txn, bool commit)
{
    struct model_txn **link = &model->open;
    assert(txn->state == MODEL_TXN_OPEN);
    while (*link != txn)
        link = &(*link)->next;
    *link = txn->next;
    txn->next = model->ended;
    model->ended = txn;
    txn->state = commit ? MODEL_TXN_COMMITTED : MODEL_TXN_ABORTED;
    txn->arrival_ns = 0;
    for (uint32_t i = 0; i < txn->touched_count; i++)
        model_partition_mark(model, txn->touched[i].partition, txn);
    for (uint32_t i = 0; commit && i < txn->pending_count; i++)
        model_group_store(txn->pending[i].group, &txn->pending[i].list);
    if (txn->tid != NULL)
        txn->tid->txn = NULL;
    model_wake(model);
}

bool model_txn_unstable(struct sl_model *model, const struct model_group *group, const char *topic, int32_t partition)
{
    for (const struct model_txn *txn = model->open; txn != NULL; txn = txn->next)
        for (uint32_t i = 0; i < txn->pending_count; i++)
            if (txn->pending[i].group == group && model_list_find(&txn->pending[i].list, topic, partition) != NULL)
                return true;
    return false;
}

void model_txn_expire(struct sl_model *model)
{
    struct model_txn *next;
    for (struct model_txn *txn = model->open; txn != NULL; txn = next) {
        next = txn->next;
        if (txn->arrival_ns != 0 && model->now_ns >= txn->arrival_ns && txn->arrival_ns < txn->deadline_ns) {
            model_txn_end(model, txn, true);
        } else if (model->now_ns >= txn->deadline_ns) {
            txn->tid->epoch++;
            model_txn_end(model, txn, false);
        }
    }
}

static void txn_free_list(struct model_txn *txn)
{
    while (txn != NULL) {
        struct model_txn *next = txn->next;
        for (uint32_t i = 0; i < txn->pending_count; i++)
            sl_klog_list_fini(&txn->pending[i].list);
        free(txn->pending);
        free(txn->touched);
        free(txn);
        txn = next;
    }
}

void model_txns_free(struct sl_model *model)
{
    txn_free_list(model->open);
    txn_free_list(model->ended);
    while (model->tids != NULL) {
        struct model_tid *tid = model->tids;
        model->tids = tid->next;
        free(tid->name);
        free(tid);
    }
}
