/* queue_answer.c: what a sink says of the records that its queue gave it (DELIVERY rules B2, B4, F5). Answers come inside submit(),
 * turn() and requests' ends: here bits are turned and finished entries leave; whatever else follows is the next turn's.
 * SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdio.h>

#include "runtime/engine/slot/queue.h"

static void answer_finished(struct sl_queue *queue, struct sl_queue_entry *entry)
{
    sl_queue_ticket_done(queue, entry);
    if (entry->where != SL_QUEUE_MEMORY)
        return; /* it stays as long as the disk has its records */
    sl_queue_list_take(&queue->memory, entry);
    sl_queue_entry_free(queue, entry);
}

/* To be given out again: from memory, or read from disk. */
static void answer_again(struct sl_queue *queue, struct sl_queue_entry *entry, uint32_t row)
{
    struct sl_queue_part *part = &queue->parts[entry->part];

    sl_queue_row_idle(entry, row);
    if (entry->where != SL_QUEUE_DISK) {
        queue->idle_memory = true;
    } else if (sl_queue_bit(entry->kept_bits, row)) {
        uint64_t offset = sl_queue_offset_of(entry, row);
        part->read = offset < part->read ? offset : part->read;
    }
}

void sl_queue_back_off(struct sl_queue *queue, const struct sl_err *why)
{
    const struct sl_sink_common *common = queue->sink->now.common;
    const struct sl_env *env = &queue->slot->env;
    uint64_t pause_ns;

    queue->spill = true; /* what it had may be long in coming: it waits on disk */
    if (queue->slot->now_ns < queue->retry_at_ns)
        return; /* many records of one failure: one pause */
    queue->backoff_ns = queue->backoff_ns == 0 ? common->backoff_min_ns : queue->backoff_ns * 2;
    if (queue->backoff_ns > common->backoff_max_ns)
        queue->backoff_ns = common->backoff_max_ns;
    pause_ns = queue->backoff_ns / 2 + env->random(env->user) % (queue->backoff_ns / 2 + 1);
    queue->retry_at_ns = queue->slot->now_ns + pause_ns;
    if (why != NULL) {
        struct sl_err said = *why;
        (void)sl_while(&said, "topology %s: sink %s", queue->slot->topology->name, queue->name);
        sl_slot_log(queue->slot, &said, "sink failed; its queue keeps what it did not take");
    }
}

static void answer_all_again(struct sl_queue *queue, struct sl_queue_entry *entry)
{
    for (uint32_t row = 0; entry->out > 0 && row < entry->count; row++)
        if (sl_queue_bit(entry->out_bits, row))
            answer_again(queue, entry, row);
}

void sl_queue_sink_failed(struct sl_queue *queue, const struct sl_err *why)
{
    struct sl_slot *slot = queue->slot;

    for (struct sl_queue_entry *entry = queue->memory.first; entry != NULL; entry = entry->next)
        answer_all_again(queue, entry);
    for (uint32_t p = 0; p < queue->parts_count; p++)
        for (struct sl_queue_entry *entry = queue->parts[p].disk.first; entry != NULL; entry = entry->next)
            answer_all_again(queue, entry);
    sl_queue_back_off(queue, why->remedy != SL_REMEDY_HALT ? why : NULL);
    if (why->remedy != SL_REMEDY_HALT)
        return;
    queue->why = *why;
    (void)sl_while(&queue->why, "topology %s: sink %s", slot->topology->name, queue->name);
    if (queue->sink->now.common->required) {
        sl_slot_fail(slot, &queue->why);
        return;
    }
    queue->dead = true;
    sl_slot_log(slot, &queue->why, "sink stopped; its queue keeps its records for the next start");
}

void sl_slot_queue_failed(struct sl_slot *slot, uint32_t sink_index, const struct sl_err *why)
{
    sl_queue_sink_failed(slot->sinks[sink_index].queue, why);
}

void sl_slot_queue_done(struct sl_slot *slot, uint32_t sink_index, const struct sl_ref *refs, uint32_t count, enum sl_outcome outcome,
                        const struct sl_err *why)
{
    struct sl_queue *queue = slot->sinks[sink_index].queue;
    bool again = outcome == SL_RETRY || outcome == SL_UNKNOWN, some = false;

    assert(queue->magic == SL_QUEUE_MAGIC);
    for (uint32_t i = 0; i < count; i++) {
        struct sl_queue_entry *entry = sl_queue_entry_find(queue, refs[i].ticket);
        if (entry == NULL || refs[i].index >= entry->count || !sl_queue_bit(entry->out_bits, refs[i].index))
            continue; /* of an attempt, or an assignment, that is over (rule B4) */
        some = true;
        if (again) {
            answer_again(queue, entry, refs[i].index);
            continue;
        }
        sl_queue_account(queue, entry, refs[i].index, outcome == SL_REFUSED ? SL_DEAD : SL_DELIVERED);
        sl_queue_row_done(entry, refs[i].index);
        if (entry->left == 0)
            answer_finished(queue, entry);
    }
    if (some && again) {
        sl_queue_back_off(queue, why);
    } else if (some) {
        queue->backoff_ns = 0;
        queue->progress_ns = slot->now_ns;
    }
    if (some)
        slot->env.wake(slot->env.user);
}

/* ---- refusals ---- */

/* The letter names the record's own partition, ours or not. One that is not has an index that no partition has now, and an
 * assignment that no other has. */
bool sl_slot_queue_partition(struct sl_slot *slot, uint32_t sink_index, const struct sl_ref *ref, struct sl_partition *scratch,
                             const struct sl_partition **ret_partition)
{
    const struct sl_queue_entry *entry = sl_queue_entry_find(slot->sinks[sink_index].queue, ref->ticket);

    if (entry == NULL || ref->index >= entry->count || !sl_queue_bit(entry->out_bits, ref->index))
        return false;
    for (uint32_t p = 0; p < slot->partitions_cap; p++) {
        const struct sl_partition *own = slot->partitions[p];
        if (own == NULL || own->incarnation != entry->from->incarnation || strcmp(own->id, entry->from->id) != 0 ||
            strcmp(own->topic, entry->from->topic) != 0 || strcmp(own->source, entry->from->source) != 0)
            continue;
        *ret_partition = own;
        return true;
    }
    *scratch = *entry->from;
    scratch->index = slot->partitions_cap;
    scratch->assignment = 1ull << 63 | sl_record_hash((struct sl_slice){entry->from->id, (uint32_t)strlen(entry->from->id)}) >> 1;
    scratch->assignment ^= sl_record_hash(sl_slice_of(entry->from->topic)) >> 1;
    *ret_partition = scratch;
    return true;
}
