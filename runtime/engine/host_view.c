/* host_view.c: one topology's status: copies that its slots have made, added up.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/engine/host_private.h"
#include "runtime/engine/worker.h"

static struct sl_host_topology *host_view_find(struct sl_host *host, struct sl_host_topology *items, const struct sl_shared *shared)
{
    for (uint32_t t = 0; t < host->topologies_count; t++)
        if (shared == &host->topologies[t].shared || shared == &host->topologies[t].replay_shared) /* its letters' too */
            return &items[t];
    return NULL;
}

struct host_view {
    struct sl_host *host;
    struct sl_host_topology *items;
    bool failed;
};

/* By sink: counts of the slots added up, the oldest of all. */
static int host_view_queues(struct sl_slot_status *sum, const struct sl_slot_status *status)
{
    for (uint32_t q = 0; q < status->queues_count; q++) {
        const struct sl_slot_queue_status *from = &status->queues[q];
        struct sl_slot_queue_status *queues, *to = NULL;
        for (uint32_t i = 0; i < sum->queues_count && to == NULL; i++)
            to = sum->queues[i].component == from->component ? &sum->queues[i] : NULL;
        if (to == NULL) {
            queues = realloc(sum->queues, (sum->queues_count + 1) * sizeof(*queues));
            if (queues == NULL)
                return -1;
            sum->queues = queues;
            queues[sum->queues_count++] = *from;
            continue;
        }
        to->records += from->records;
        to->bytes += from->bytes;
        to->lost += from->lost;
        to->out += from->out;
        to->oldest_ms = from->oldest_ms > to->oldest_ms ? from->oldest_ms : to->oldest_ms;
        if (from->dead[0] != '\0')
            memcpy(to->dead, from->dead, sizeof(to->dead));
    }
    return 0;
}

static int host_view_components(struct sl_slot_status *sum, const struct sl_slot_status *status)
{
    if (status->components_count > sum->components_count) { /* a swap has reached this slot already */
        struct sl_component_counts *grown = realloc(sum->components, (status->components_count + 1u) * sizeof(*grown));
        if (grown == NULL)
            return -1;
        memset(grown + sum->components_count, 0, (status->components_count + 1u - sum->components_count) * sizeof(*grown));
        sum->components = grown;
        sum->components_count = status->components_count;
    }
    for (uint32_t c = 0; c < status->components_count && c < sum->components_count; c++) { /* a slot of replays has one more */
        for (int i = 0; i < SL_COUNTERS_MAX; i++)
            sum->components[c].counters[i] += status->components[c].counters[i];
        for (int i = 0; i <= SL_LATENCY_BOUNDS; i++)
            sum->components[c].latency[i] += status->components[c].latency[i];
        sum->components[c].latency_sum_ns += status->components[c].latency_sum_ns;
    }
    return 0;
}

static void host_view_each(void *user, const struct sl_shared *shared, uint32_t index, const struct sl_slot_status *status,
                           uint64_t age_ns, const char *waits_for)
{
    struct host_view *view = user;
    struct sl_host_topology *item = host_view_find(view->host, view->items, shared);
    struct sl_slot_status *sum = &item->sum;
    uint32_t count = sum->partitions_count + status->partitions_count;
    struct sl_slot_partition_status *partitions = realloc(sum->partitions, (count + 1) * sizeof(*partitions));

    (void)index;
    if (partitions == NULL || sl_ledger_add(&sum->ledger, &status->ledger) != 0) {
        view->failed = true;
        return;
    }
    memcpy(partitions + sum->partitions_count, status->partitions, status->partitions_count * sizeof(*partitions));
    sum->partitions = partitions;
    if (host_view_queues(sum, status) != 0 || host_view_components(sum, status) != 0)
        view->failed = true;
    sum->partitions_count = count;
    sum->batches += status->batches;
    sum->records += status->records;
    sum->bytes += status->bytes;
    sum->commits += status->commits;
    sum->commit_failures += status->commit_failures;
    sum->rewinds += status->rewinds;
    sum->gap_offsets += status->gap_offsets;
    sum->swaps += status->swaps;
    sum->maybe_duplicated += status->maybe_duplicated;
    sum->paused = sum->paused || status->paused;
    sum->faulted = sum->faulted || status->faulted;
    if (status->lag_records >= 0)
        sum->lag_records = sum->lag_records < 0 ? status->lag_records : sum->lag_records + status->lag_records;
    sum->lag_ms = status->lag_ms > sum->lag_ms ? status->lag_ms : sum->lag_ms;
    item->slots++;
    item->running += status->state == SL_SLOT_RUNNING || status->state == SL_SLOT_DRAINING;
    item->failed += status->state == SL_SLOT_FAILED;
    if (status->state > sum->state)
        sum->state = status->state;
    if (status->error[0] != '\0')
        memcpy(sum->error, status->error, sizeof(sum->error));
    if (age_ns > item->age_ns && status->state != SL_SLOT_ENDED && status->state != SL_SLOT_FAILED)
        item->age_ns = age_ns;
    if (waits_for[0] != '\0')
        (void)snprintf(item->waits_for, sizeof(item->waits_for), "%s", waits_for);
}

int sl_host_view(struct sl_host *host, struct sl_host_topology **ret_items)
{
    struct host_view view = {host, calloc(host->topologies_count, sizeof(*view.items)), false};

    if (view.items == NULL)
        return -1;
    sl_host_hold(host);
    for (uint32_t t = 0; t < host->topologies_count; t++) {
        view.items[t].topology = host->topologies[t].topology;
        view.items[t].sum.lag_records = view.items[t].sum.lag_ms = -1;
        if (sl_ledger_init(&view.items[t].sum.ledger) != 0)
            view.failed = true;
    }
    for (uint32_t w = 0; !view.failed && w < host->workers_count; w++)
        sl_worker_view(host->workers[w], host_view_each, &view);
    (void)pthread_mutex_lock(&host->replay_lock);
    for (uint32_t t = 0; !view.failed && t < host->topologies_count; t++)
        if (host->topologies[t].replay != NULL)
            sl_worker_view(host->topologies[t].replay, host_view_each, &view);
    (void)pthread_mutex_unlock(&host->replay_lock);
    if (view.failed) {
        sl_host_view_fini(host, view.items);
        return -1;
    }
    *ret_items = view.items;
    return 0;
}

void sl_host_view_fini(struct sl_host *host, struct sl_host_topology *items)
{
    for (uint32_t t = 0; t < host->topologies_count; t++)
        sl_slot_status_fini(&items[t].sum);
    free(items);
    sl_host_let(host);
}

struct host_fault {
    const struct sl_shared *shared;
    char *why;
    size_t bytes;
    bool found;
};

static void host_fault_each(void *user, const struct sl_shared *shared, uint32_t index, const struct sl_slot_status *status,
                            uint64_t age_ns, const char *waits_for)
{
    struct host_fault *fault = user;

    (void)index, (void)age_ns, (void)waits_for;
    if (shared != fault->shared || !status->faulted)
        return;
    fault->found = true;
    (void)snprintf(fault->why, fault->bytes, "%s", status->error);
}

bool sl_host_fault(struct sl_host *host, const char *topology, char *why, size_t bytes)
{
    struct sl_err err;
    const struct host_topology *at = sl_host_find(host, topology, &err);
    struct host_fault fault = {.shared = at == NULL ? NULL : &at->shared, .why = why, .bytes = bytes};

    for (uint32_t w = 0; at != NULL && w < host->workers_count; w++)
        sl_worker_view(host->workers[w], host_fault_each, &fault);
    return fault.found;
}
