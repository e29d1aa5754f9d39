/* trial.c: the life of a trial: the candidate's leaves beside the slot's sinks, and its end.
 * SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/engine/slot/trial_private.h"

/* ---- leaves ---- */

static uint32_t trial_row_named(const struct sl_slot *slot, const char *name)
{
    for (uint32_t s = 0; name != NULL && s < slot->sinks_count; s++)
        if (slot->sinks[s].now.kind != NULL && slot->sinks[s].name != NULL && strcmp(slot->sinks[s].name, name) == 0)
            return s;
    return UINT32_MAX;
}

/* The row of a sink of the candidate, also under the name that it had before (`was:`). */
static uint32_t trial_row(const struct sl_slot *slot, const struct sl_plan *plan, uint32_t component)
{
    uint32_t row = sl_slot_sink_of(slot, component);

    return row != UINT32_MAX ? row : trial_row_named(slot, plan->topology->components[component].sink.was);
}

static void trial_leaves(struct sl_slot *slot, struct sl_trial *trial)
{
    struct sl_plan *plan = trial->plan;

    for (uint32_t n = 0; n < plan->nodes_count; n++) { /* a swap gives them the slot's rows */
        uint32_t c = plan->nodes[n].component;
        plan->nodes[n].sink = plan->topology->components[c].role == SL_SINK ? c : UINT32_MAX;
    }
    for (uint32_t c = 0; c < plan->components_count; c++) {
        struct sl_leaf *leaf = &trial->arm.leaves[c];
        leaf->row = UINT32_MAX;
        if (plan->topology->components[c].role != SL_SINK)
            continue;
        leaf->row = trial_row(slot, plan, c);
        leaf->sink = plan->sinks[c].kind != NULL ? &plan->sinks[c] : &slot->sinks[leaf->row].now;
        if (leaf->row != UINT32_MAX)
            trial->leaf_of[leaf->row] = c;
    }
}

static void trial_apart(const struct sl_plan *plan, bool apart)
{
    for (uint32_t c = 0; c < plan->components_count; c++)
        if (plan->components[c] != NULL && plan->fates[c] != SL_MERGE_KEPT)
            plan->components[c]->apart = apart;
}

/* ---- what stages know ---- */

static const struct sl_op_kind *trial_state_kind(const struct sl_plan *plan, uint32_t c)
{
    const struct sl_op_kind *kind;

    if (c >= plan->components_count || plan->components[c] == NULL || plan->components[c]->conf.role != SL_OPERATOR)
        return NULL;
    kind = (const struct sl_op_kind *)(const void *)plan->components[c]->conf.head;
    return kind->adopt != NULL ? kind : NULL;
}

static bool trial_has_states(const struct sl_plan *plan)
{
    for (uint32_t c = 0; c < plan->components_count; c++)
        if (trial_state_kind(plan, c) != NULL)
            return true;
    return false;
}

/* 0: nothing more to learn at this boundary. */
static int trial_learn(struct sl_slot *slot, struct sl_trial *trial, uint32_t c)
{
    const struct sl_op_kind *kind = trial_state_kind(trial->plan, c);
    struct sl_err err = {0};
    void *self, *old;
    int status;

    if (kind == NULL || kind != trial_state_kind(slot->plan, c) || trial->anew[c])
        return 0;
    self = trial->plan->components[c]->self;
    old = slot->plan->components[c]->self;
    if (kind->state_version(self) != kind->state_version(old))
        return 0;
    status = kind->adopt(self, old, false, &err);
    if (status >= 0)
        return status;
    trial->anew[c] = true;
    (void)sl_while(&err, "topology %s: what stage %s knows is not copied", slot->topology->name, trial->plan->components[c]->conf.name);
    sl_slot_log(slot, &err, "state");
    return 0;
}

bool sl_trial_is_ready(struct sl_slot *slot, struct sl_trial *trial)
{
    int left = 0;

    for (uint32_t c = 0; !trial->ready && c < trial->plan->components_count; c++)
        left |= trial_learn(slot, trial, c);
    trial->ready = left == 0;
    return trial->ready;
}

/* ---- life ---- */

struct sl_trial *sl_trial_new(struct sl_slot *slot, struct sl_plan *plan, enum trial_kind kind, struct sl_err *err)
{
    struct sl_trial *trial = calloc(1, sizeof(*trial));

    assert(plan->slot == slot && !plan->installed);
    if (trial != NULL) {
        trial->kind = kind;
        trial->plan = trial->arm.plan = plan;
        trial->arm.leaves_count = plan->components_count;
        trial->arm.leaves = calloc(plan->components_count + 1u, sizeof(*trial->arm.leaves));
        trial->leaf_of = malloc(SL_SLOT_SINKS_MAX * sizeof(*trial->leaf_of));
        trial->anew = calloc(plan->components_count + 1u, sizeof(*trial->anew));
        trial->states = trial_has_states(plan) || trial_has_states(slot->plan);
        trial->ready = !trial->states;
    }
    if (trial == NULL || trial->arm.leaves == NULL || trial->leaf_of == NULL || trial->anew == NULL) {
        (void)sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "topology %s: no memory to try a version of it", slot->topology->name);
        return sl_trial_free(slot, trial);
    }
    memset(trial->leaf_of, 0xff, SL_SLOT_SINKS_MAX * sizeof(*trial->leaf_of));
    trial_leaves(slot, trial);
    return trial;
}

struct sl_trial *sl_trial_free(struct sl_slot *slot, struct sl_trial *trial)
{
    if (trial == NULL)
        return NULL;
    sl_trial_splits_fini(slot, trial);
    sl_shadow_free(trial->shadow);
    free(trial->arm.leaves);
    free(trial->control.leaves);
    free(trial->again.leaves);
    free(trial->leaf_of);
    free(trial->pair_of);
    free(trial->leaf_pair);
    free(trial->anew);
    free(trial->stale);
    free(trial->items);
    free(trial);
    return NULL;
}

bool sl_trial_is_canary(const struct sl_slot *slot)
{
    return slot->trial != NULL && slot->trial->kind == TRIAL_CANARY;
}

/* From now on; the arena has room for both versions of a batch. */
void sl_trial_put(struct sl_slot *slot, struct sl_trial *trial)
{
    sl_slot_trial_end(slot);
    trial->arena_bytes = slot->arena.max_bytes;
    slot->arena.max_bytes += trial->arena_bytes;
    trial_apart(trial->plan, false);
    slot->mix += trial->kind == TRIAL_CANARY;
    slot->trial = trial;
}

void sl_slot_trial_end(struct sl_slot *slot)
{
    struct sl_trial *trial = slot->trial;

    if (trial == NULL)
        return;
    slot->trial = NULL;
    slot->mix += trial->kind == TRIAL_CANARY;
    slot->arena.max_bytes -= trial->arena_bytes;
    trial_apart(trial->plan, true);
    (void)sl_trial_free(slot, trial);
}

void sl_trial_break(struct sl_slot *slot, struct sl_trial *trial, const struct sl_err *why)
{
    trial->broken = true;
    trial->why = *why;
    sl_slot_log(slot, why, "the version on trial is taken out");
}

int sl_trial_items(struct sl_trial *trial, uint32_t count)
{
    uint32_t cap = trial->items_cap == 0 ? SL_BATCH_RECORDS : trial->items_cap;
    struct sl_item *items;

    if (count <= trial->items_cap)
        return 0;
    while (cap < count)
        cap *= 2;
    items = realloc(trial->items, cap * sizeof(*items));
    if (items == NULL)
        return -1;
    trial->items = items;
    trial->items_cap = cap;
    return 0;
}

/* ---- what came of it ---- */

static void trial_add_histogram(struct sl_judge_histogram *to, const struct sl_judge_histogram *from)
{
    to->count += from->count;
    for (uint32_t i = 0; i < SL_JUDGE_BUCKETS; i++)
        to->bucket[i] += from->bucket[i];
}

static void trial_add_side(struct sl_side *to, const struct sl_side *from)
{
    to->records += from->records;
    to->delivered += from->delivered;
    to->filtered += from->filtered;
    to->dead += from->dead;
    to->dead_bursts += from->dead_bursts;
    to->errors += from->errors;
    to->shed += from->shed;
    trial_add_histogram(&to->batch_latency, &from->batch_latency);
}

void sl_slot_trial_sides(const struct sl_slot *slot, struct sl_sides *sides)
{
    const struct sl_trial *trial = slot->trial;
    const struct sl_shadow_report *report = sl_slot_trial_report(slot);

    if (trial == NULL)
        return;
    trial_add_side(&sides->canary, &trial->canary);
    trial_add_side(&sides->baseline, &trial->baseline);
    if (trial->broken && !sides->broken) {
        sides->broken = true;
        sides->why = trial->why;
    }
    if (report == NULL)
        return;
    sides->compared += report->compared;
    sides->differing += report->differing;
    sides->ranges += report->ranges;
    sides->ranges_skipped += report->ranges_skipped;
}

const struct sl_plan *sl_trial_plan(const struct sl_slot *slot)
{
    return slot->trial != NULL ? slot->trial->plan : NULL;
}
