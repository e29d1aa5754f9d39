/* status.c: a copy of a slot's account and positions for readers on other threads.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "runtime/engine/slot/slot_private.h"

#define MS 1000000ull
const uint64_t sl_latency_bounds_ns[SL_LATENCY_BOUNDS] = {1 * MS,   2500000,  5 * MS,    10 * MS,   25 * MS,   50 * MS,    100 * MS,  250 * MS,
                                                          500 * MS, 1000 * MS, 2500 * MS, 5000 * MS, 10000 * MS, 30000 * MS, 60000 * MS};

static uint64_t status_committed(const struct sl_position *position)
{
    return position->committed.next;
}

static void status_partition(const struct sl_slot *slot, const struct sl_partition *from, struct sl_slot_partition_status *to)
{
    (void)snprintf(to->source, sizeof(to->source), "%s", from->source);
    (void)snprintf(to->topic, sizeof(to->topic), "%s", from->topic);
    (void)snprintf(to->id, sizeof(to->id), "%s", from->id);
    (void)snprintf(to->held, sizeof(to->held), "%s", from->held != NULL ? from->held : "");
    to->next = from->next;
    to->incarnation = from->incarnation;
    to->committed = sl_slot_lowest(slot, from->index, true, status_committed);
}

static void status_lag(const struct sl_slot *slot, struct sl_slot_status *status)
{
    for (uint32_t i = 0; i < slot->sources_count; i++) {
        int64_t records = -1, ms = -1;
        if (slot->sources[i].kind->lag == NULL || !slot->sources[i].opened || slot->sources[i].leaving)
            continue;
        slot->sources[i].kind->lag(slot->sources[i].self, &records, &ms);
        if (records >= 0)
            status->lag_records = status->lag_records < 0 ? records : status->lag_records + records;
        status->lag_ms = ms > status->lag_ms ? ms : status->lag_ms;
    }
}

/* Committed rows, and those that flushed sinks have taken but not yet committed: what a person expects to see. */
static int status_ledger(const struct sl_slot *slot, struct sl_ledger *ledger)
{
    if (sl_ledger_init(ledger) != 0 || sl_ledger_add(ledger, &slot->ledger) != 0)
        return -1;
    for (uint32_t s = 0; s < slot->sinks_count; s++) {
        const struct sl_slot_sink *sink = &slot->sinks[s];
        bool pending = sink->sealed && slot->commit.state != SL_COMMIT_PUBLISHING;
        if (sink->leaving != NULL && sl_ledger_add(ledger, &sink->leaving->open) != 0)
            return -1;
        if (sl_ledger_add(ledger, &sink->open) != 0 || (pending && sl_ledger_add(ledger, &sink->sealed_ledger) != 0))
            return -1;
    }
    return 0;
}

int sl_slot_status(struct sl_slot *slot, struct sl_slot_status *ret_status)
{
    struct sl_slot_status status = {.state = slot->state, .batches = slot->batches, .records = slot->records, .bytes = slot->bytes,
                                    .commits = slot->commits, .commit_failures = slot->commit_failures, .rewinds = slot->rewinds,
                                    .gap_offsets = slot->gap_offsets, .swaps = slot->swaps,
                                    .maybe_duplicated = slot->maybe_duplicated, .paused = slot->paused, .lag_records = -1, .lag_ms = -1};

    status.partitions = calloc(slot->partitions_cap + 1, sizeof(*status.partitions));
    status.queues = calloc(slot->sinks_count + 1, sizeof(*status.queues));
    status.components_count = slot->topology->components_count;
    status.components = calloc(status.components_count + 1u, sizeof(*status.components));
    if (status.partitions == NULL || status.queues == NULL || status.components == NULL || status_ledger(slot, &status.ledger) != 0) {
        sl_slot_status_fini(&status);
        return -1;
    }
    for (uint32_t p = 0; p < slot->partitions_cap; p++)
        if (slot->partitions[p] != NULL)
            status_partition(slot, slot->partitions[p], &status.partitions[status.partitions_count++]);
    for (uint32_t s = 0; s < slot->sinks_count; s++)
        if (slot->sinks[s].queue != NULL)
            sl_slot_queue_status(slot, s, &status.queues[status.queues_count++]);
    for (uint32_t c = 0; c < status.components_count; c++)
        status.components[c] = slot->components[c] == NULL ? (struct sl_component_counts){0} : slot->components[c]->counts;
    status_lag(slot, &status);
    status.faulted = slot->faulted;
    if (slot->state == SL_SLOT_FAILED || slot->faulted)
        (void)snprintf(status.error, sizeof(status.error), "%s", slot->failure.text);
    *ret_status = status;
    return 0;
}

void sl_slot_status_fini(struct sl_slot_status *status)
{
    free(status->partitions);
    free(status->queues);
    free(status->components);
    sl_ledger_fini(&status->ledger);
}
