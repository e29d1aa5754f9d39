/* trial_shadow.c: the candidate gets the batch that the live version has just had; what both hand to sinks is compared, and nothing
 * of the candidate's leaves.
 *
 * Time: credit grows by 1/100 of the time that passes, and by half of the time in which the slot had nothing to do; it is spent on digests
 * and on the candidate's stages. A batch is shadowed while there is credit, so a long one is paid back before the next.
 * SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdlib.h>

#include "runtime/engine/slot/trial_private.h"

#define SHADOW_CREDIT_NS (4 * 1000000ll) /* at most, and at first */
enum { SHADOW_SHARE = 100, SHADOW_IDLE_SHARE = 2 };

/* ---- begin ---- */

/* What either version masks is masked. */
static int shadow_mask(void *user, struct sl_slice text, struct sl_slice *ret_text)
{
    struct sl_slot *slot = user;
    int status = sl_slot_mask(slot, slot->trial->partition, UINT32_MAX, true, text, ret_text);

    return status != 1 ? status : sl_slot_mask_of(slot, slot->trial->plan, slot->trial->partition, UINT32_MAX, true, *ret_text, ret_text);
}

/* Sinks in the order of the slot's rows, then those that only the candidate has. Returns how many. */
static uint32_t shadow_pairs(const struct sl_slot *slot, struct sl_trial *trial, struct sl_shadow_sink *sinks)
{
    const struct sl_topology *topology = trial->plan->topology;
    uint32_t count = 0;

    for (uint32_t s = 0; s < slot->sinks_count; s++) {
        if (slot->sinks[s].now.kind == NULL || slot->sinks[s].gone)
            continue;
        trial->pair_of[s] = count;
        sinks[count++] = (struct sl_shadow_sink){slot->sinks[s].name, {true, trial->leaf_of[s] != UINT32_MAX}};
    }
    for (uint32_t c = 0; c < topology->components_count; c++) {
        const struct sl_leaf *leaf = &trial->arm.leaves[c];
        if (leaf->sink == NULL)
            continue;
        if (leaf->row != UINT32_MAX) {
            trial->leaf_pair[c] = trial->pair_of[leaf->row];
        } else {
            trial->leaf_pair[c] = count;
            sinks[count++] = (struct sl_shadow_sink){topology->components[c].name, {false, true}};
        }
    }
    return count;
}

int sl_slot_shadow(struct sl_slot *slot, struct sl_plan *plan, const struct sl_expect *expect, struct sl_err *err)
{
    struct sl_trial *trial = sl_trial_new(slot, plan, TRIAL_SHADOW, err);
    struct sl_shadow_options options = {.expect = expect, .mask = shadow_mask, .user = slot};
    struct sl_shadow_sink *sinks = calloc(SL_SLOT_SINKS_MAX + plan->components_count + 1u, sizeof(*sinks));

    if (trial == NULL) {
        free(sinks);
        return -(int)err->code;
    }
    trial->pair_of = calloc(SL_SLOT_SINKS_MAX, sizeof(*trial->pair_of));
    trial->leaf_pair = calloc(plan->components_count + 1u, sizeof(*trial->leaf_pair));
    if (sinks != NULL && trial->pair_of != NULL && trial->leaf_pair != NULL) {
        options.sinks = sinks;
        options.sinks_count = shadow_pairs(slot, trial, sinks);
        trial->shadow = sl_shadow_new(&options);
    }
    free(sinks);
    if (trial->shadow == NULL) {
        (void)sl_trial_free(slot, trial);
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "topology %s: no memory to shadow it", slot->topology->name);
    }
    trial->credit_ns = SHADOW_CREDIT_NS;
    trial->last_ns = slot->env.now_ns(slot->env.user);
    sl_trial_put(slot, trial);
    return 0;
}

const struct sl_shadow_report *sl_slot_trial_report(const struct sl_slot *slot)
{
    return slot->trial != NULL && slot->trial->shadow != NULL ? sl_shadow_report(slot->trial->shadow) : NULL;
}

/* ---- time ---- */

static void shadow_earn(struct sl_trial *trial, uint64_t ns, uint32_t share)
{
    trial->credit_ns += (int64_t)(ns / share);
    if (trial->credit_ns > SHADOW_CREDIT_NS)
        trial->credit_ns = SHADOW_CREDIT_NS;
}

void sl_trial_turn(struct sl_slot *slot, bool was_idle)
{
    struct sl_trial *trial = slot->trial;
    uint64_t now_ns = slot->now_ns;

    if (trial == NULL || trial->kind != TRIAL_SHADOW || now_ns < trial->last_ns)
        return;
    shadow_earn(trial, now_ns - trial->last_ns, was_idle ? SHADOW_IDLE_SHARE : SHADOW_SHARE);
    trial->last_ns = now_ns;
}

/* A stage that knows something from record to record would judge by what it has not seen: of a partition of which a range was skipped
 * nothing is compared any more. */
static bool shadow_is_stale(const struct sl_trial *trial, const struct sl_partition *partition)
{
    return partition->index < trial->stale_cap && trial->stale[partition->index] == partition->assignment;
}

static void shadow_skip(struct sl_slot *slot, struct sl_trial *trial, const struct sl_batch *batch)
{
    const struct sl_partition *partition = batch->partition;

    sl_shadow_skip(trial->shadow, batch->count);
    if (!trial->states || !trial->ready)
        return;
    if (partition->index >= trial->stale_cap) {
        uint64_t *stale = realloc(trial->stale, slot->partitions_cap * sizeof(*stale));
        struct sl_err err;
        if (stale == NULL) {
            (void)sl_fail(&err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "topology %s: no memory to shadow it", slot->topology->name);
            sl_trial_break(slot, trial, &err);
            return;
        }
        memset(stale + trial->stale_cap, 0, (slot->partitions_cap - trial->stale_cap) * sizeof(*stale));
        trial->stale = stale;
        trial->stale_cap = slot->partitions_cap;
    }
    trial->stale[partition->index] = partition->assignment;
}

void sl_trial_shadow_begin(struct sl_slot *slot, const struct sl_batch *batch)
{
    struct sl_trial *trial = slot->trial;

    if (trial->kind != TRIAL_SHADOW)
        return;
    trial->taken = false;
    trial->wrote_count = trial->items_count = 0;
    if (trial->broken || batch->large || batch->count == 0)
        return;
    if (trial->credit_ns >= 0 && !trial->ready) {
        uint64_t began_ns = slot->env.now_ns(slot->env.user);
        (void)sl_trial_is_ready(slot, trial);
        trial->credit_ns -= (int64_t)(slot->env.now_ns(slot->env.user) - began_ns);
    }
    trial->taken = trial->credit_ns >= 0 && trial->ready && !shadow_is_stale(trial, batch->partition);
    if (!trial->taken)
        shadow_skip(slot, trial, batch);
}

/* ---- one batch ---- */

/* Bodies stay where they are until the batch is over; the items' array is the next sink's. */
void sl_trial_shadow_wrote(struct sl_slot *slot, uint32_t sink, const struct sl_output *output, uint32_t skip)
{
    struct sl_trial *trial = slot->trial;
    struct trial_wrote *wrote;

    if (trial->kind != TRIAL_SHADOW || !trial->taken)
        return;
    if (sl_trial_items(trial, trial->items_count + output->count) != 0) {
        trial->taken = false;
        shadow_skip(slot, trial, output->face->batch);
        return;
    }
    wrote = &trial->wrote[trial->wrote_count++];
    *wrote = (struct trial_wrote){sink, output->face, trial->items_count, output->count, skip == 0};
    if (output->count > 0)
        memcpy(trial->items + trial->items_count, output->items, output->count * sizeof(*output->items));
    trial->items_count += output->count;
}

static void shadow_add(struct sl_trial *trial, enum sl_shadow_side side, uint32_t pair, const struct sl_view *view,
                       const struct sl_item *items, uint32_t count)
{
    const struct sl_batch *batch = view->batch;
    const struct sl_decoded *decoded = view->decoded;

    for (uint32_t i = 0; i < count; i++) {
        uint32_t row = items[i].row;
        struct sl_shadow_record record = {
            .offset = batch->offset[row],
            .threshold = view->threshold != NULL ? view->threshold[row] : 0,
            .time_unix_ms = decoded->time_unix_ms[row],
            .service = decoded->service != NULL ? decoded->service[row] : 0,
            .sub = batch->sub != NULL ? batch->sub[row] : 0,
            .level = decoded->level != NULL ? decoded->level[row] : SL_LEVEL_NONE,
            .body = items[i].body,
        };
        sl_shadow_add(trial->shadow, side, pair, &record);
    }
}

static void shadow_add_dead(struct sl_slot *slot, enum sl_shadow_side side, uint32_t from)
{
    uint32_t pair = slot->trial->pair_of[slot->dead_sink];

    for (uint32_t i = from; i < slot->dead_count; i++) {
        const struct sl_dead *dead = &slot->dead[i];
        struct sl_shadow_record record = {.offset = dead->batch->offset[dead->index],
                                          .sub = dead->batch->sub != NULL ? dead->batch->sub[dead->index] : 0,
                                          .body = sl_slice_of(dead->reason)};
        sl_shadow_add(slot->trial->shadow, side, pair, &record);
    }
}

/* What the live version wrote. Sinks that had the batch, or some of it, before (they are read again) are left out. */
static void shadow_live(struct sl_slot *slot, const struct sl_slot_source *source)
{
    struct sl_trial *trial = slot->trial;

    for (uint32_t s = 0; s < slot->sinks_count; s++) {
        const struct trial_wrote *wrote = NULL;
        if (!source->sinks[s] || s == slot->dead_sink || slot->sinks[s].gone)
            continue;
        for (uint32_t i = 0; i < trial->wrote_count; i++)
            wrote = trial->wrote[i].sink == s ? &trial->wrote[i] : wrote;
        if (wrote == NULL || !wrote->whole)
            sl_shadow_leave(trial->shadow, trial->pair_of[s]);
        else
            shadow_add(trial, SL_SHADOW_LIVE, trial->pair_of[s], wrote->view, trial->items + wrote->items_first, wrote->items_count);
    }
    shadow_add_dead(slot, SL_SHADOW_LIVE, 0);
}

static int shadow_candidate(struct sl_slot *slot, const struct sl_slot_source *source, const struct sl_view *root, struct sl_err *err)
{
    struct sl_trial *trial = slot->trial;
    const struct sl_node *tree = source->component < trial->plan->components_count ? trial->plan->trees[source->component] : NULL;
    uint32_t dead = slot->dead_count;
    struct sl_view view;

    sl_arm_begin(&trial->arm);
    if (sl_view_all(&view, root->batch, root->decoded) != 0)
        return sl_arm_budget(slot, err);
    if (tree != NULL && sl_arm_run(slot, &trial->arm, tree, &view, err) != 0)
        return -(int)err->code;
    for (uint32_t c = 0; c < trial->arm.leaves_count; c++) {
        struct sl_leaf *leaf = &trial->arm.leaves[c];
        struct sl_output output;
        if (leaf->views_count == 0)
            continue;
        if (sl_trial_items(trial, leaf->views[0]->batch->count) != 0 || sl_arm_output(slot, leaf, 0, trial->items, &output) != 0)
            return sl_arm_budget(slot, err);
        shadow_add(trial, SL_SHADOW_CANDIDATE, trial->leaf_pair[c], output.face, output.items, output.count);
    }
    shadow_add_dead(slot, SL_SHADOW_CANDIDATE, dead);
    return 0;
}

void sl_trial_shadow_run(struct sl_slot *slot, const struct sl_slot_source *source, const struct sl_view *root)
{
    struct sl_trial *trial = slot->trial;
    const struct sl_batch *batch = root->batch;
    struct sl_shadow_range range;
    struct sl_err err = {0};
    uint64_t began_ns;

    if (trial == NULL || trial->kind != TRIAL_SHADOW || !trial->taken)
        return;
    began_ns = slot->env.now_ns(slot->env.user);
    trial->partition = batch->partition;
    range = (struct sl_shadow_range){batch->partition->source, batch->partition->topic, batch->partition->id,
                                     batch->partition->incarnation, batch->first, batch->next};
    sl_shadow_begin(trial->shadow, &range);
    shadow_live(slot, source);
    if (shadow_candidate(slot, source, root, &err) == 0) {
        (void)sl_shadow_end(trial->shadow);
    } else {
        shadow_skip(slot, trial, batch);
        if (err.code != SL_E_LIMIT || err.remedy != SL_REMEDY_RETRY) /* else this batch was too large for two */
            sl_trial_break(slot, trial, &err);
    }
    trial->taken = false;
    trial->credit_ns -= (int64_t)(slot->env.now_ns(slot->env.user) - began_ns);
}
