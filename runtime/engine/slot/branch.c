/* branch.c: one batch of a source: through the tree (arm.c), and what is left to the sinks.
 *
 * Order: the whole tree first, each leaf keeping its view; then every sink the source reaches takes its part (also
 * an empty one, so that ranges tile, rule A2); dead letters last. What a sink has taken before a restart or a rewind is a prefix
 * of the batch and is skipped (rule B3). A record that reaches a sink by several ways is delivered once, by the first.
 * SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdio.h>

#include "runtime/engine/slot/replay.h"
#include "runtime/engine/slot/slot_private.h"
#include "runtime/engine/slot/tap.h"
#include "runtime/engine/slot/trial.h"

/* ---- sinks ---- */

static uint32_t branch_skip(const struct sl_batch *batch, uint64_t taken)
{
    uint32_t skip = 0;

    while (skip < batch->count && batch->offset[skip] < taken)
        skip++;
    return skip;
}

static int branch_submit(struct sl_slot *slot, uint32_t sink_index, struct sl_parcel *parcel, const struct sl_mark *upto,
                         enum sl_fate *ret_taken, struct sl_err *err)
{
    struct sl_slot_sink *sink = &slot->sinks[sink_index];
    struct sl_position *position = &sink->positions[parcel->view->batch->partition->index];
    uint32_t ticket = 0;

    for (uint32_t i = 0; i < parcel->count; i++)
        parcel->bytes += parcel->items[i].body.bytes;
    if (!sink->now.flushed && parcel->count == 0 && position->head == UINT32_MAX) {
        position->taken = position->done = *upto; /* nothing is pending here: the mark follows at once */
        return 0;
    }
    position->taken = *upto;
    if (sink_index == slot->dead_sink && sink->now.flushed && parcel->count == 0 && sink->open_items == 0)
        return 0; /* no letters: no flush that would say so, its mark is free */
    if (sink->queue != NULL && parcel->count > 0)
        return sl_slot_queue_take(slot, sink_index, parcel, upto, ret_taken, err);
    if (!sink->now.flushed) {
        if (sl_slot_ticket(slot, sink_index, parcel->view->batch->partition->index, parcel->count, upto, &ticket) != 0)
            return sl_arm_budget(slot, err);
        for (uint32_t i = 0; i < parcel->count; i++)
            slot->items[i].ref.ticket = ticket;
    }
    if (sink->now.flushed || parcel->count > 0) {
        if (sink->now.kind->submit(sink->now.self, parcel, err) != 0)
            return -(int)err->code;
    }
    if (sink->open_items == 0)
        sink->open_mix = slot->mix;
    sink->open_items += parcel->count + 1; /* an empty range belongs to a flush too: manifests tile */
    return 0;
}

static void branch_upto(const struct sl_batch *batch, const struct sl_position *position, struct sl_mark *ret_upto)
{
    *ret_upto = position->taken;
    ret_upto->next = batch->next;
    if (batch->count > 0) {
        uint32_t last = batch->count - 1;
        ret_upto->last_offset = batch->offset[last];
        ret_upto->last_hash = sl_record_hash(batch->raw[last]);
        ret_upto->last_unix_ms = batch->append_unix_ms[last];
    }
}

/* A sink that fails has lost what it took since its mark: it is read again; that is not a failure of the batch. */
static int branch_take(struct sl_slot *slot, uint32_t sink_index, const struct sl_view *view, const uint8_t *fate,
                       uint32_t skip, int count, const struct sl_mark *upto, struct sl_err *err)
{
    struct sl_slot_sink *sink = &slot->sinks[sink_index];
    struct sl_position *position = &sink->positions[view->batch->partition->index];
    struct sl_parcel parcel = {slot->items, (uint32_t)count, view, position->taken.next, upto->next, 0};
    struct sl_ledger *ledger = sink->now.flushed ? &sink->open : &slot->ledger;
    enum sl_fate taken = SL_DELIVERED;

    if (parcel.first < view->batch->first)
        parcel.first = view->batch->first;
    if (branch_submit(slot, sink_index, &parcel, upto, &taken, err) != 0) {
        bool halt = err->remedy == SL_REMEDY_HALT; /* another version may go on from its marks */
        if (sink->now.flushed)
            sink->now.kind->abandon(sink->now.self, NULL);
        sl_slot_rewind(slot, sink_index, halt ? NULL : err);
        if (halt)
            return sl_while(err, "topology %s: sink %s", slot->topology->name, sink->name);
        return 0;
    }
    if (slot->taps != NULL)
        sl_slot_tap_items(slot, sink->now.component, view, slot->items, (uint32_t)count);
    if (sl_account_batch(slot->account, slot->batches, ledger, sink->now.component, view, fate, skip, slot->items,
                         (uint32_t)count, taken) != 0)
        return sl_arm_budget(slot, err);
    return 0;
}

/* What the live version has for the sink, but what that has taken already. */
static int branch_output(struct sl_slot *slot, uint32_t sink_index, uint64_t taken, struct sl_output *ret_output, uint32_t *ret_skip,
                         struct sl_err *err)
{
    struct sl_leaf *leaf = &slot->live.leaves[sink_index];

    assert(leaf->views_count > 0);
    leaf->encoded = slot->replay != NULL && slot->replay->decoded && slot->replay->stage == slot->sinks[sink_index].now.component;
    *ret_skip = branch_skip(leaf->views[0]->batch, taken);
    if (sl_slot_room(slot, leaf->views[0]->batch->count) != 0 || sl_arm_output(slot, leaf, *ret_skip, slot->items, ret_output) != 0)
        return sl_arm_budget(slot, err);
    return 0;
}

static int branch_sink(struct sl_slot *slot, uint32_t sink_index, const struct sl_batch *batch, struct sl_err *err)
{
    struct sl_slot_sink *sink = &slot->sinks[sink_index];
    struct sl_position *position = &sink->positions[batch->partition->index];
    struct sl_output output;
    struct sl_mark upto;
    uint32_t skip;
    int status;

    if (batch->next <= position->taken.next)
        return 0;
    branch_upto(batch, position, &upto);
    status = sl_trial_is_split(slot) ? sl_trial_output(slot, sink_index, position->taken.next, &output, &skip, err)
                                     : branch_output(slot, sink_index, position->taken.next, &output, &skip, err);
    if (status != 0)
        return status;
    if (slot->trial != NULL)
        sl_trial_shadow_wrote(slot, sink_index, &output, skip);
    return branch_take(slot, sink_index, output.face, output.fate, skip, (int)output.count, &upto, err);
}

/* The dead letters of this batch: their sink has a fate only for the records that died. */
static int branch_dead(struct sl_slot *slot, const struct sl_view *root, struct sl_err *err)
{
    struct sl_slot_sink *sink = &slot->sinks[slot->dead_sink];
    const struct sl_batch *batch = root->batch;
    struct sl_position *position = &sink->positions[batch->partition->index];
    struct sl_mark upto;
    int count;

    if (batch->next <= position->taken.next)
        return 0;
    branch_upto(batch, position, &upto);
    count = sl_slot_room(slot, slot->dead_count) != 0 ? -1 : sl_slot_letters(slot, position->taken.next, slot->items);
    if (count < 0)
        return sl_arm_budget(slot, err);
    /* no record of the batch is counted here but the letters: fate is counted from the end on */
    if (branch_take(slot, slot->dead_sink, root, root->fate, batch->count, count, &upto, err) != 0)
        return -(int)err->code;
    if (count > 0) {
        struct sl_ledger_row *row = sl_ledger_row(sink->now.flushed ? &sink->open : &slot->ledger, sink->now.component, 0, 0);
        if (row == NULL)
            return sl_arm_budget(slot, err);
        row->fates[SL_LIVE] += (uint64_t)count;
        row->fates[SL_DELIVERED] += (uint64_t)count;
        row->weight += count;
        for (int i = 0; i < count; i++)
            row->bytes += slot->items[i].body.bytes;
    }
    return 0;
}

/* A sink that no letter of this batch goes to: its mark moves on all the same. */
static int branch_none(struct sl_slot *slot, uint32_t sink_index, const struct sl_view *root, struct sl_err *err)
{
    const struct sl_position *position = &slot->sinks[sink_index].positions[root->batch->partition->index];
    struct sl_mark upto;

    if (root->batch->next <= position->taken.next)
        return 0;
    branch_upto(root->batch, position, &upto);
    return branch_take(slot, sink_index, root, root->fate, root->batch->count, 0, &upto, err);
}

static int branch_set_aside(struct sl_slot *slot, struct sl_view *view, const char *reason, struct sl_err *err)
{
    for (uint32_t i = 0; i < view->batch->count; i++) {
        view->fate[i] = SL_DEAD;
        if (sl_slot_dead(slot, view->batch, (uint16_t)i, NULL, UINT32_MAX, reason) != 0)
            return sl_arm_budget(slot, err);
    }
    sl_view_compact(view);
    return 0;
}

static int branch_root(struct sl_slot *slot, const struct sl_batch *batch, struct sl_view *view, struct sl_err *err)
{
    struct sl_decoded *decoded = sl_arena_alloc(&slot->arena, sizeof(*decoded));

    if (decoded == NULL || sl_view_all(view, batch, decoded) != 0)
        return sl_arm_budget(slot, err);
    memset(decoded, 0, sizeof(*decoded));
    decoded->time_unix_ms = batch->append_unix_ms;
    decoded->trace = -1;
    for (int role = 0; role < SL_ROLE_FIELDS; role++)
        decoded->role_column[role] = -1;
    if (batch->large) /* above max_record: set aside before anything reads it; it never holds the mark */
        return branch_set_aside(slot, view, "larger than max_record", err);
    if (slot->replay != NULL && slot->replay->stage == UINT32_MAX)
        return branch_set_aside(slot, view, "its stage is not there any more, or no letter can go there", err);
    return 0;
}

/* The tree that a batch goes through: the source's; a letter's is that of the source that it came from. NULL: none is left. */
static const struct sl_node *branch_tree(const struct sl_slot *slot, const struct sl_slot_source *source)
{
    if (slot->replay == NULL)
        return source->tree;
    return slot->replay->stage == UINT32_MAX ? NULL : slot->plan->trees[slot->replay->source];
}

static void branch_leaves(struct sl_slot *slot)
{
    slot->live.plan = slot->plan;
    slot->live.live = true;
    slot->live.leaves_count = slot->sinks_count;
    sl_arm_begin(&slot->live);
    for (uint32_t s = 0; s < slot->sinks_count; s++) {
        slot->live.leaves[s].sink = slot->sinks[s].now.kind != NULL ? &slot->sinks[s].now : NULL;
        slot->live.leaves[s].row = s;
    }
}

int sl_slot_run(struct sl_slot *slot, struct sl_slot_source *source, struct sl_batch *batch, struct sl_err *err)
{
    struct sl_partition *partition = batch->partition;
    const struct sl_node *tree;
    struct sl_view root, plain;

    assert(batch->partition->magic == SL_PARTITION_MAGIC);
    if (slot->replay != NULL && sl_slot_replay_begin(slot, batch, err) != 0)
        return -(int)err->code;
    tree = branch_tree(slot, source);
    slot->dead_count = 0;
    slot->batches++;
    slot->records += batch->count;
    branch_leaves(slot);
    if (branch_root(slot, batch, &root, err) != 0)
        return -(int)err->code;
    if (slot->taps != NULL)
        sl_slot_tap_view(slot, source->component, &root);
    plain = root; /* batch and times, as no stage has seen them */
    if (slot->trial != NULL)
        sl_trial_shadow_begin(slot, batch);
    partition->next = batch->next; /* before sinks take: a rewind may lower it again */
    if (tree != NULL && (slot->trial != NULL ? sl_trial_run(slot, source, &root, err)
                                             : sl_arm_run(slot, &slot->live, tree, &root, err)) != 0)
        return -(int)err->code;
    for (uint32_t s = 0; s < slot->sinks_count; s++) {
        bool none = slot->replay != NULL && slot->live.leaves[s].views_count == 0;
        if (source->sinks[s] && s != slot->dead_sink &&
            (none ? branch_none(slot, s, &root, err) : branch_sink(slot, s, batch, err)) != 0)
            return -(int)err->code;
    }
    if (branch_dead(slot, &root, err) != 0)
        return -(int)err->code;
    if (slot->trial != NULL)
        sl_trial_shadow_run(slot, source, &plain);
    return 0;
}
