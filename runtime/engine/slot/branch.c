/* branch.c: one batch through the tree of its source: operators change views, leaves hand what is left to sinks.
 *
 * Order: the whole tree first, each leaf leaving its view with its sink; then every sink the source reaches takes its part (also
 * an empty one, so that ranges tile, rule A2); dead letters last. What a sink has taken before a restart or a rewind is a prefix
 * of the batch and is skipped (rule B3). A record that reaches a sink by several ways is delivered once, by the first.
 * SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdio.h>

#include "runtime/engine/slot/replay.h"
#include "runtime/engine/slot/slot_private.h"
#include "runtime/engine/slot/tap.h"

static int branch_walk(struct sl_slot *slot, const struct sl_node *node, struct sl_view *view, struct sl_err *err);

static int branch_budget(const struct sl_slot *slot, struct sl_err *err)
{
    return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "topology %s: a batch needs more memory than its share; raise `memory:`",
                   slot->topology->name);
}

/* Records that the stage set aside, for the dead letters. */
static int branch_collect_dead(struct sl_slot *slot, const struct sl_node *node, const struct sl_view *view, struct sl_err *err)
{
    const char *const *reasons = node->kind->head.reasons;

    for (uint32_t i = 0; i < view->sel_count; i++) {
        uint16_t index = view->sel[i];
        const char *note = view->note == NULL ? NULL : view->note[index];
        if (view->fate[index] != SL_DEAD)
            continue;
        if (sl_slot_dead(slot, view->batch, index, node->component, note != NULL ? note : reasons[view->reason[index]]) != 0)
            return branch_budget(slot, err);
    }
    return 0;
}

/* A branch that a condition or a router narrows: what does not match has the fate FILTERED there. */
static void branch_keep_port(struct sl_view *view, uint32_t port)
{
    for (uint32_t i = 0; i < view->sel_count; i++)
        if (view->port[view->sel[i]] != port)
            view->fate[view->sel[i]] = SL_FILTERED;
    sl_view_compact(view);
}

static int branch_leaf(struct sl_slot *slot, const struct sl_node *node, struct sl_view *view, struct sl_err *err)
{
    struct sl_slot_sink *sink = &slot->sinks[node->sink];
    struct sl_view *kept = view;

    if (sink->now.where != NULL && (slot->replay == NULL || slot->replay->stage != sink->now.component)) { /* it was taken once */
        uint8_t *match = sl_arena_alloc(&slot->arena, view->batch->count + 1u);
        kept = sl_arena_alloc(&slot->arena, sizeof(*kept));
        if (kept == NULL || match == NULL || sl_view_branch(kept, view) != 0)
            return branch_budget(slot, err);
        sl_cond_eval(sink->now.where, kept, match);
        for (uint32_t i = 0; i < kept->sel_count; i++)
            if (match[kept->sel[i]] == 0)
                kept->fate[kept->sel[i]] = SL_FILTERED;
        sl_view_compact(kept);
    }
    if (sink->now.encoder != NULL && sl_encoder_settle(sink->now.encoder, kept, err) != 0)
        return -(int)err->code;
    if (sink->views_count == sizeof(sink->views) / sizeof(sink->views[0]))
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "topology %s: more than %u ways lead to sink %s",
                       slot->topology->name, sink->views_count, sink->name);
    /* derive_check.c has refused it; batches of a parse behind a change (sl_view_adopt_texts) have the same rows */
    if (sink->views_count > 0 && (sink->views[0]->batch->sub != kept->batch->sub || sink->views[0]->batch->count != kept->batch->count))
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "topology %s: sink %s is reached behind a stage that derives records and around it",
                       slot->topology->name, sink->name);
    sink->views[sink->views_count++] = kept;
    return 0;
}

/* The stages behind `node`, each on a view of its own: a drop in one branch is not seen in another. A router that did not run has
 * told no ports. */
static int branch_children(struct sl_slot *slot, const struct sl_node *node, bool ran, struct sl_view *view, struct sl_err *err)
{
    bool router = node->kind != NULL && node->kind->ports != NULL;

    for (const struct sl_node *child = node->child; child != NULL; child = child->sibling) {
        struct sl_view *own = view;
        if (router || node->child->sibling != NULL) {
            own = sl_arena_alloc(&slot->arena, sizeof(*own));
            if (own == NULL || sl_view_branch(own, view) != 0)
                return branch_budget(slot, err);
        }
        if (router && ran)
            branch_keep_port(own, child->port);
        if (branch_walk(slot, child, own, err) != 0)
            return -(int)err->code;
    }
    return 0;
}

static int branch_run(struct sl_slot *slot, const struct sl_node *node, struct sl_view *view, struct sl_err *err)
{
    if (node->kind->process(node->self, view, err) != 0)
        return sl_while(err, "topology %s: operator %s", slot->topology->name,
                        slot->topology->components[node->component].name);
    if (node->kind->head.reasons != NULL && branch_collect_dead(slot, node, view, err) != 0)
        return -(int)err->code;
    sl_view_compact(view);
    if (slot->taps != NULL)
        sl_slot_tap_view(slot, node->component, view);
    return 0;
}

static int branch_walk(struct sl_slot *slot, const struct sl_node *node, struct sl_view *view, struct sl_err *err)
{
    enum sl_replay_step step = slot->replay == NULL ? SL_REPLAY_RUN : sl_slot_replay_enter(slot, node);
    int status = 0;

    if (step == SL_REPLAY_SKIP)
        return 0;
    if (node->sink != UINT32_MAX)
        status = branch_leaf(slot, node, view, err);
    else if (step == SL_REPLAY_RUN)
        status = branch_run(slot, node, view, err);
    if (status == 0 && node->sink == UINT32_MAX)
        status = branch_children(slot, node, step == SL_REPLAY_RUN, view, err);
    if (slot->replay != NULL)
        sl_slot_replay_leave(slot, node);
    return status;
}

/* ---- sinks ---- */

static uint32_t branch_skip(const struct sl_batch *batch, uint64_t taken)
{
    uint32_t skip = 0;

    while (skip < batch->count && batch->offset[skip] < taken)
        skip++;
    return skip;
}

/* Several ways to one sink: the fate of a record is that of the first way on which it is alive, else of the first way. */
static const struct sl_view *branch_way(const struct sl_slot_sink *sink, uint32_t index)
{
    for (uint32_t v = 0; v < sink->views_count; v++)
        if (sink->views[v]->fate[index] == SL_LIVE)
            return sink->views[v];
    return sink->views[0];
}

/* Codec raw: the payload, with what stages changed spliced in, but for payloads that are not JSON: those stay as they came. */
static struct sl_slice branch_body(const struct sl_slot_sink *sink, const struct sl_view *view, uint32_t row, uint32_t *cursor)
{
    if (sink->now.encoder != NULL && !sink->encoded)
        return sl_encode(sink->now.encoder, view, row, cursor);
    return view->decoded->foreign ? view->batch->raw[row] : sl_view_body(view, row, cursor);
}

static bool branch_may_break(const struct sl_view *view)
{
    return view->batch->may_break || view->edits_count > 0 || view->decoded->body != NULL;
}

/* The view that stands for several ways: the first, but where only another one's bodies may hold CR or LF, one that says so. */
static const struct sl_view *branch_face(struct sl_slot *slot, const struct sl_slot_sink *sink)
{
    const struct sl_view *first = sink->views[0];
    struct sl_batch *batch;
    struct sl_view *face;
    bool may_break = false;

    for (uint32_t v = 1; v < sink->views_count; v++)
        may_break = may_break || branch_may_break(sink->views[v]);
    if (!may_break || branch_may_break(first))
        return first;
    face = sl_arena_alloc(&slot->arena, sizeof(*face));
    batch = sl_arena_alloc(&slot->arena, sizeof(*batch));
    if (face == NULL || batch == NULL)
        return NULL;
    *face = *first;
    *batch = *first->batch;
    batch->may_break = true;
    face->batch = batch;
    return face;
}

static int branch_items_merged(struct sl_slot *slot, const struct sl_slot_sink *sink, uint32_t skip, uint8_t *fate)
{
    const struct sl_batch *batch = sink->views[0]->batch;
    uint32_t cursors[8] = {0};
    int count = 0;

    if (sink->now.encoder != NULL)
        sl_encoder_begin(sink->now.encoder, batch->arena);
    for (uint32_t i = skip; i < batch->count; i++) {
        const struct sl_view *way = branch_way(sink, i);
        uint32_t v = 0;
        while (sink->views[v] != way)
            v++;
        fate[i] = way->fate[i];
        if (fate[i] != SL_LIVE)
            continue;
        slot->items[count].row = (uint16_t)i;
        slot->items[count].ref.index = (uint16_t)i;
        slot->items[count].body = branch_body(sink, way, i, &cursors[v]);
        if (slot->items[count++].body.data == NULL)
            return -1;
    }
    return count;
}

static int branch_items(struct sl_slot *slot, const struct sl_slot_sink *sink, uint32_t skip)
{
    const struct sl_view *view = sink->views[0];
    bool plain = sink->now.encoder == NULL && view->edits_count == 0 && !view->decoded->foreign;
    uint32_t cursor = 0;
    int count = 0;

    if (sink->now.encoder != NULL)
        sl_encoder_begin(sink->now.encoder, view->batch->arena);
    for (uint32_t i = 0; i < view->sel_count; i++) {
        uint16_t row = view->sel[i];
        struct sl_item *item = &slot->items[count];
        if (row < skip)
            continue;
        item->row = row;
        item->ref.index = row;
        item->body = plain ? sl_view_text(view, row) : branch_body(sink, view, row, &cursor);
        if (item->body.data == NULL)
            return -1;
        count++;
    }
    return count;
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
            return branch_budget(slot, err);
        for (uint32_t i = 0; i < parcel->count; i++)
            slot->items[i].ref.ticket = ticket;
    }
    if (sink->now.flushed || parcel->count > 0) {
        if (sink->now.kind->submit(sink->now.self, parcel, err) != 0)
            return -(int)err->code;
    }
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
        if (err->remedy == SL_REMEDY_HALT)
            return sl_while(err, "topology %s: sink %s", slot->topology->name,
                            sink->name);
        if (sink->now.flushed)
            sink->now.kind->abandon(sink->now.self, NULL);
        sl_slot_rewind(slot, sink_index, err);
        return 0;
    }
    if (slot->taps != NULL)
        sl_slot_tap_items(slot, sink->now.component, view, slot->items, (uint32_t)count);
    if (sl_account_batch(slot->account, slot->batches, ledger, sink->now.component, view, fate, skip, slot->items,
                         (uint32_t)count, taken) != 0)
        return branch_budget(slot, err);
    return 0;
}

static int branch_sink(struct sl_slot *slot, uint32_t sink_index, const struct sl_batch *batch, struct sl_err *err)
{
    struct sl_slot_sink *sink = &slot->sinks[sink_index];
    struct sl_position *position = &sink->positions[batch->partition->index];
    const struct sl_view *face;
    const struct sl_batch *rows;
    uint32_t skip;
    uint8_t *fate;
    struct sl_mark upto;
    int count;

    if (batch->next <= position->taken.next)
        return 0;
    assert(sink->views_count > 0);
    rows = sink->views[0]->batch; /* of its own where records were derived */
    sink->encoded = slot->replay != NULL && slot->replay->decoded && slot->replay->stage == sink->now.component;
    skip = branch_skip(rows, position->taken.next);
    branch_upto(batch, position, &upto);
    if (sl_slot_room(slot, rows->count) != 0)
        return branch_budget(slot, err);
    if (sink->views_count == 1) {
        fate = sink->views[0]->fate;
        count = branch_items(slot, sink, skip);
    } else {
        fate = sl_arena_alloc(&slot->arena, rows->count + 1u);
        count = fate == NULL ? -1 : branch_items_merged(slot, sink, skip, fate);
    }
    face = branch_face(slot, sink);
    if (count < 0 || face == NULL)
        return branch_budget(slot, err);
    return branch_take(slot, sink_index, face, fate, skip, count, &upto, err);
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
        return branch_budget(slot, err);
    /* no record of the batch is counted here but the letters: fate is counted from the end on */
    if (branch_take(slot, slot->dead_sink, root, root->fate, batch->count, count, &upto, err) != 0)
        return -(int)err->code;
    if (count > 0) {
        struct sl_ledger_row *row = sl_ledger_row(sink->now.flushed ? &sink->open : &slot->ledger, sink->now.component, 0, 0);
        if (row == NULL)
            return branch_budget(slot, err);
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
        if (sl_slot_dead(slot, view->batch, (uint16_t)i, UINT32_MAX, reason) != 0)
            return branch_budget(slot, err);
    }
    sl_view_compact(view);
    return 0;
}

static int branch_root(struct sl_slot *slot, const struct sl_batch *batch, struct sl_view *view, struct sl_err *err)
{
    struct sl_decoded *decoded = sl_arena_alloc(&slot->arena, sizeof(*decoded));

    if (decoded == NULL || sl_view_all(view, batch, decoded) != 0)
        return branch_budget(slot, err);
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

int sl_slot_run(struct sl_slot *slot, struct sl_slot_source *source, struct sl_batch *batch, struct sl_err *err)
{
    struct sl_partition *partition = batch->partition;
    const struct sl_node *tree;
    struct sl_view root;

    assert(batch->partition->magic == SL_PARTITION_MAGIC);
    if (slot->replay != NULL && sl_slot_replay_begin(slot, batch, err) != 0)
        return -(int)err->code;
    tree = branch_tree(slot, source);
    slot->dead_count = 0;
    slot->batches++;
    slot->records += batch->count;
    for (uint32_t s = 0; s < slot->sinks_count; s++)
        slot->sinks[s].views_count = 0;
    if (branch_root(slot, batch, &root, err) != 0)
        return -(int)err->code;
    if (slot->taps != NULL)
        sl_slot_tap_view(slot, source->component, &root);
    partition->next = batch->next; /* before sinks take: a rewind may lower it again */
    if (tree != NULL && branch_children(slot, tree, true, &root, err) != 0)
        return -(int)err->code;
    for (uint32_t s = 0; s < slot->sinks_count; s++) {
        bool none = slot->replay != NULL && slot->sinks[s].views_count == 0;
        if (source->sinks[s] && s != slot->dead_sink &&
            (none ? branch_none(slot, s, &root, err) : branch_sink(slot, s, batch, err)) != 0)
            return -(int)err->code;
    }
    return branch_dead(slot, &root, err);
}
