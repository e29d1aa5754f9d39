/* arm.c: a batch through one version's tree, and the bodies that come out; see the header.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/engine/slot/arm.h"

#include <assert.h>

#include "runtime/engine/slot/replay.h"
#include "runtime/engine/slot/slot_private.h"
#include "runtime/engine/slot/tap.h"

static int arm_walk(struct sl_slot *slot, struct sl_arm *arm, const struct sl_node *node, struct sl_view *view, struct sl_err *err);

int sl_arm_budget(const struct sl_slot *slot, struct sl_err *err)
{
    return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "topology %s: a batch needs more memory than its share; raise `memory:`",
                   slot->topology->name);
}

void sl_arm_begin(struct sl_arm *arm)
{
    for (uint32_t i = 0; i < arm->leaves_count; i++)
        arm->leaves[i].views_count = 0;
}

/* ---- the tree ---- */

static const char *arm_name(const struct sl_arm *arm, const struct sl_node *node)
{
    return arm->plan->topology->components[node->component].name;
}

/* Records that the stage set aside, for the dead letters. */
static int arm_collect_dead(struct sl_slot *slot, const struct sl_arm *arm, const struct sl_node *node, const struct sl_view *view,
                            struct sl_err *err)
{
    const char *const *reasons = node->kind->head.reasons;

    for (uint32_t i = 0; i < view->sel_count; i++) {
        uint16_t index = view->sel[i];
        const char *note = view->note == NULL ? NULL : view->note[index];
        if (view->fate[index] != SL_DEAD)
            continue;
        if (sl_slot_dead(slot, view->batch, index, arm->live ? NULL : arm->plan, node->component,
                         note != NULL ? note : reasons[view->reason[index]]) != 0)
            return sl_arm_budget(slot, err);
    }
    return 0;
}

/* A branch that a condition or a router narrows: what does not match has the fate FILTERED there. */
static void arm_keep_port(struct sl_view *view, uint32_t port)
{
    for (uint32_t i = 0; i < view->sel_count; i++)
        if (view->port[view->sel[i]] != port)
            view->fate[view->sel[i]] = SL_FILTERED;
    sl_view_compact(view);
}

/* What the sink's condition leaves, in a view of its own. NULL: over budget. */
static struct sl_view *arm_where(struct sl_slot *slot, const struct sl_instance *sink, const struct sl_view *view)
{
    uint8_t *match = sl_arena_alloc(&slot->arena, view->batch->count + 1u);
    struct sl_view *kept = sl_arena_alloc(&slot->arena, sizeof(*kept));

    if (kept == NULL || match == NULL || sl_view_branch(kept, view) != 0)
        return NULL;
    sl_cond_eval(sink->where, kept, match);
    for (uint32_t i = 0; i < kept->sel_count; i++)
        if (match[kept->sel[i]] == 0)
            kept->fate[kept->sel[i]] = SL_FILTERED;
    sl_view_compact(kept);
    return kept;
}

static int arm_leaf(struct sl_slot *slot, const struct sl_arm *arm, const struct sl_node *node, struct sl_view *view, struct sl_err *err)
{
    struct sl_leaf *leaf = &arm->leaves[node->sink];
    const struct sl_instance *sink = leaf->sink;
    struct sl_view *kept = view;

    if (sink == NULL)
        return 0;
    if (sink->where != NULL && (slot->replay == NULL || slot->replay->stage != sink->component)) { /* it was taken once */
        kept = arm_where(slot, sink, view);
        if (kept == NULL)
            return sl_arm_budget(slot, err);
    }
    if (sink->encoder != NULL && sl_encoder_settle(sink->encoder, kept, err) != 0)
        return -(int)err->code;
    if (leaf->views_count == SL_LEAF_WAYS)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "topology %s: more than %u ways lead to sink %s", slot->topology->name,
                       leaf->views_count, arm_name(arm, node));
    /* derive_check.c has refused it; batches of a parse behind a change (sl_view_adopt_texts) have the same rows */
    if (leaf->views_count > 0 && (leaf->views[0]->batch->sub != kept->batch->sub || leaf->views[0]->batch->count != kept->batch->count))
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "topology %s: sink %s is reached behind a stage that derives records and around it",
                       slot->topology->name, arm_name(arm, node));
    leaf->views[leaf->views_count++] = kept;
    return 0;
}

/* The stages behind `node`, each on a view of its own: a drop in one branch is not seen in another. A router that did not run has
 * told no ports. */
static int arm_children(struct sl_slot *slot, struct sl_arm *arm, const struct sl_node *node, bool ran, struct sl_view *view,
                        struct sl_err *err)
{
    bool router = node->kind != NULL && node->kind->ports != NULL;

    for (const struct sl_node *child = node->child; child != NULL; child = child->sibling) {
        struct sl_view *own = view;
        if (router || node->child->sibling != NULL) {
            own = sl_arena_alloc(&slot->arena, sizeof(*own));
            if (own == NULL || sl_view_branch(own, view) != 0)
                return sl_arm_budget(slot, err);
        }
        if (router && ran)
            arm_keep_port(own, child->port);
        if (arm_walk(slot, arm, child, own, err) != 0)
            return -(int)err->code;
    }
    return 0;
}

/* What follows process(). */
static int arm_after(struct sl_slot *slot, const struct sl_arm *arm, const struct sl_node *node, struct sl_view *view, struct sl_err *err)
{
    if (node->kind->head.reasons != NULL && arm_collect_dead(slot, arm, node, view, err) != 0)
        return -(int)err->code;
    sl_view_compact(view);
    if (slot->taps != NULL && arm->live)
        sl_slot_tap_view(slot, node->component, view);
    return 0;
}

static int arm_stage(struct sl_slot *slot, const struct sl_arm *arm, const struct sl_node *node, struct sl_view *view, struct sl_err *err)
{
    int status;

    sl_blame_enter(node->frame);
    status = node->kind->process(node->self, view, err);
    sl_blame_leave();
    if (status != 0)
        return sl_while(err, "topology %s: operator %s", slot->topology->name, arm_name(arm, node));
    return arm_after(slot, arm, node, view, err);
}

static int arm_walk(struct sl_slot *slot, struct sl_arm *arm, const struct sl_node *node, struct sl_view *view, struct sl_err *err)
{
    enum sl_replay_step step = slot->replay == NULL ? SL_REPLAY_RUN : sl_slot_replay_enter(slot, node);
    int status = 0;

    if (step == SL_REPLAY_SKIP)
        return 0;
    if (node->sink != UINT32_MAX)
        status = arm_leaf(slot, arm, node, view, err);
    else if (step == SL_REPLAY_RUN)
        status = arm_stage(slot, arm, node, view, err);
    if (status == 0 && node->sink == UINT32_MAX)
        status = arm_children(slot, arm, node, step == SL_REPLAY_RUN, view, err);
    if (slot->replay != NULL)
        sl_slot_replay_leave(slot, node);
    return status;
}

int sl_arm_run(struct sl_slot *slot, struct sl_arm *arm, const struct sl_node *tree, struct sl_view *root, struct sl_err *err)
{
    return arm_children(slot, arm, tree, true, root, err);
}

int sl_arm_behind(struct sl_slot *slot, struct sl_arm *arm, const struct sl_node *node, struct sl_view *view, struct sl_err *err)
{
    if (arm_after(slot, arm, node, view, err) != 0)
        return -(int)err->code;
    return arm_children(slot, arm, node, true, view, err);
}

/* ---- what comes out ---- */

static const struct sl_view *arm_way(const struct sl_leaf *leaf, uint32_t index)
{
    for (uint32_t v = 0; v < leaf->views_count; v++)
        if (leaf->views[v]->fate[index] == SL_LIVE)
            return leaf->views[v];
    return leaf->views[0];
}

/* Codec raw: the payload, with what stages changed spliced in, but for payloads that are not JSON: those stay as they came. */
static struct sl_slice arm_body(const struct sl_leaf *leaf, const struct sl_view *view, uint32_t row, uint32_t *cursor)
{
    if (leaf->sink->encoder != NULL && !leaf->encoded)
        return sl_encode(leaf->sink->encoder, view, row, cursor);
    return view->decoded->foreign ? view->batch->raw[row] : sl_view_body(view, row, cursor);
}

static bool arm_may_break(const struct sl_view *view)
{
    return view->batch->may_break || view->edits_count > 0 || view->decoded->body != NULL;
}

/* The view that stands for several ways: the first, but where only another one's bodies may hold CR or LF, one that says so. */
static const struct sl_view *arm_face(struct sl_slot *slot, const struct sl_leaf *leaf)
{
    const struct sl_view *first = leaf->views[0];
    struct sl_batch *batch;
    struct sl_view *face;
    bool may_break = false;

    for (uint32_t v = 1; v < leaf->views_count; v++)
        may_break = may_break || arm_may_break(leaf->views[v]);
    if (!may_break || arm_may_break(first))
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

static int arm_items_merged(const struct sl_leaf *leaf, uint32_t skip, struct sl_output *output)
{
    const struct sl_batch *batch = leaf->views[0]->batch;
    uint32_t cursors[SL_LEAF_WAYS] = {0};

    for (uint32_t i = skip; i < batch->count; i++) {
        const struct sl_view *way = arm_way(leaf, i);
        struct sl_item *item = &output->items[output->count];
        uint32_t v = 0;
        while (leaf->views[v] != way)
            v++;
        output->fate[i] = way->fate[i];
        if (way->fate[i] != SL_LIVE)
            continue;
        item->row = item->ref.index = (uint16_t)i;
        item->body = arm_body(leaf, way, i, &cursors[v]);
        if (item->body.data == NULL)
            return -1;
        output->count++;
    }
    return 0;
}

static int arm_items(const struct sl_leaf *leaf, uint32_t skip, struct sl_output *output)
{
    const struct sl_view *view = leaf->views[0];
    bool plain = leaf->sink->encoder == NULL && view->edits_count == 0 && !view->decoded->foreign;
    uint32_t cursor = 0;

    for (uint32_t i = 0; i < view->sel_count; i++) {
        uint16_t row = view->sel[i];
        struct sl_item *item = &output->items[output->count];
        if (row < skip)
            continue;
        item->row = item->ref.index = row;
        item->body = plain ? sl_view_text(view, row) : arm_body(leaf, view, row, &cursor);
        if (item->body.data == NULL)
            return -1;
        output->count++;
    }
    return 0;
}

int sl_arm_output(struct sl_slot *slot, struct sl_leaf *leaf, uint32_t skip, struct sl_item *items, struct sl_output *ret_output)
{
    const struct sl_batch *rows = leaf->views[0]->batch; /* of its own where records were derived */
    bool one = leaf->views_count == 1;

    assert(leaf->views_count > 0);
    *ret_output = (struct sl_output){arm_face(slot, leaf), one ? leaf->views[0]->fate : sl_arena_alloc(&slot->arena, rows->count + 1u), items, 0};
    if (ret_output->face == NULL || ret_output->fate == NULL)
        return -1;
    if (leaf->sink->encoder != NULL)
        sl_encoder_begin(leaf->sink->encoder, &slot->arena);
    return one ? arm_items(leaf, skip, ret_output) : arm_items_merged(leaf, skip, ret_output);
}
