/* trial_canary.c: a batch in two versions: a share of its keys goes through the candidate's stages, and all go on together to the sinks.
 *
 * The key of a record is what the live version's first stage, where that is a parse and the only one, calls its trace; else its Kafka
 * key; else its origin (split.h). Three arms at most: the rest, a control group as large as the canary, the canary. Each is a view with
 * the other arms' records taken out; what they have for a sink is joined again (joint.h).
 * SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdlib.h>

#include <xxhash.h>

#include "runtime/engine/slot/trial_private.h"
#include "runtime/store/commit_log.h"
#include "sampling/consistent.h"

#define CANARY_NS_PER_S 1000000000ull
#define CANARY_CONTROL_NS 10000000ull /* latencies are compared so often, where there are batches */

/* ---- begin ---- */

static bool canary_reads(const struct sl_slot_component *component, uint32_t column)
{
    for (uint32_t i = 0; i < component->columns_count; i++)
        if (component->columns[i] == column)
            return true;
    return false;
}

/* The live instance takes what the candidate's settings make of a record: same kind, same form, and the fields that it looks into itself (for
 * paths, indices) are read by the candidate as well. */
static bool canary_may_take(const struct sl_instance *live, const struct sl_instance *candidate)
{
    if (live->kind != candidate->kind || live->flags != candidate->flags)
        return false;
    for (uint32_t i = 0; i < live->of->columns_count; i++)
        if (!canary_reads(candidate->of, live->of->columns[i]))
            return false;
    return true;
}

static void canary_reach(const struct sl_node *node, const struct sl_trial *trial, bool *rows)
{
    for (; node != NULL; node = node->sibling) {
        if (node->sink != UINT32_MAX && trial->arm.leaves[node->sink].row != UINT32_MAX)
            rows[trial->arm.leaves[node->sink].row] = true;
        canary_reach(node->child, trial, rows);
    }
}

/* A sink's marks are of the sources that the live version feeds it from. */
static int canary_sources(const struct sl_slot *slot, const struct sl_trial *trial, struct sl_err *err)
{
    for (uint32_t i = 0; i < slot->sources_count; i++) {
        const struct sl_slot_source *source = &slot->sources[i];
        bool rows[SL_SLOT_SINKS_MAX] = {false};
        if (source->leaving || source->component >= trial->plan->components_count)
            continue;
        canary_reach(trial->plan->trees[source->component], trial, rows);
        for (uint32_t s = 0; s < slot->sinks_count; s++)
            if (rows[s] && !source->sinks[s])
                return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0,
                               "sink %s gets records of source %s in this version only; a canary cannot send some: shadow it, then promote it whole",
                               slot->sinks[s].name, source->of->conf.name);
    }
    return 0;
}

static int canary_sinks(const struct sl_slot *slot, struct sl_trial *trial, struct sl_err *err)
{
    for (uint32_t c = 0; c < trial->arm.leaves_count; c++) {
        struct sl_leaf *leaf = &trial->arm.leaves[c];
        const struct sl_slot_sink *row;
        if (leaf->sink == NULL)
            continue;
        if (leaf->row == UINT32_MAX) { /* new: nothing goes there before it is live */
            leaf->sink = NULL;
            continue;
        }
        row = &slot->sinks[leaf->row];
        if (leaf->sink != &row->now && !canary_may_take(&row->now, leaf->sink))
            return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0,
                           "sink %s has another type, form or other fields for its paths in this version, so the one that runs cannot take "
                           "a canary's records: shadow this version, then promote it whole", row->name);
    }
    return canary_sources(slot, trial, err);
}

static int canary_live_leaves(const struct sl_slot *slot, struct sl_arm *arm)
{
    *arm = (struct sl_arm){.plan = slot->plan, .leaves = calloc(SL_SLOT_SINKS_MAX, sizeof(*arm->leaves)), .leaves_count = SL_SLOT_SINKS_MAX,
                           .live = true};
    return arm->leaves == NULL ? -1 : 0;
}

static void canary_count_anew(struct sl_trial *trial, double share, enum sl_split_by by)
{
    trial->share = share;
    trial->by = by;
    memset(&trial->canary, 0, sizeof(trial->canary));
    memset(&trial->baseline, 0, sizeof(trial->baseline));
    memset(trial->bursts, 0, sizeof(trial->bursts));
}

int sl_slot_canary(struct sl_slot *slot, struct sl_plan *plan, double share, enum sl_split_by by, struct sl_err *err)
{
    struct sl_trial *trial = slot->trial;

    assert(share >= 0 && share <= 1);
    if (trial != NULL && trial->plan == plan && trial->kind == TRIAL_CANARY) {
        if (trial->broken) {
            *err = trial->why;
            return sl_while(err, "it has been taken out");
        }
        canary_count_anew(trial, share, by);
        return 0;
    }
    sl_slot_trial_end(slot);
    trial = sl_trial_new(slot, plan, TRIAL_CANARY, err);
    if (trial == NULL)
        return -(int)err->code;
    if (canary_sinks(slot, trial, err) != 0) {
        (void)sl_trial_free(slot, trial);
        return -(int)err->code;
    }
    if (canary_live_leaves(slot, &trial->control) != 0 || canary_live_leaves(slot, &trial->again) != 0) {
        (void)sl_trial_free(slot, trial);
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "topology %s: no memory for a canary", slot->topology->name);
    }
    canary_count_anew(trial, share, by);
    sl_trial_put(slot, trial);
    return 0;
}

/* ---- shares, by offset ---- */

static struct sl_slice canary_key(const struct sl_slot *slot, const struct sl_partition *partition, char text[SL_COMMIT_KEY_BYTES])
{
    struct sl_commit_key key = {.kind = SL_KEY_SPLIT, .group = sl_slot_group(slot), .source = partition->source, .topic = partition->topic,
                                .id = partition->id};

    return (struct sl_slice){text, (uint32_t)sl_commit_key_print(&key, text)};
}

struct canary_look {
    struct sl_slice key;
    struct sl_split *rows;
};

static int canary_look_each(void *user, struct sl_slice key, struct sl_slice value)
{
    struct canary_look *look = user;

    if (!sl_slice_eq(key, look->key) || value.data == NULL)
        return 0;
    (void)sl_split_scan(value, look->rows); /* what is not ours says nothing */
    return 1;
}

/* Rows that an earlier run has committed. Of a topology that commits to Kafka they are not read back: what they say is no matter of loss. */
static void canary_recall(struct sl_slot *slot, const struct sl_partition *partition, struct sl_split *rows)
{
    char text[SL_COMMIT_KEY_BYTES];
    struct canary_look look = {canary_key(slot, partition, text), rows};

    if (slot->shared->commit_log != NULL && look.key.bytes > 0)
        (void)sl_commit_log_each(slot->shared->commit_log, canary_look_each, &look);
}

static struct trial_split *canary_split(struct sl_slot *slot, struct sl_trial *trial, const struct sl_partition *partition)
{
    struct trial_split *split;

    if (partition->index >= trial->splits_cap) {
        struct trial_split *splits = realloc(trial->splits, slot->partitions_cap * sizeof(*splits));
        if (splits == NULL)
            return NULL;
        memset(splits + trial->splits_cap, 0, (slot->partitions_cap - trial->splits_cap) * sizeof(*splits));
        trial->splits = splits;
        trial->splits_cap = slot->partitions_cap;
    }
    split = &trial->splits[partition->index];
    if (split->assignment != partition->assignment) {
        *split = (struct trial_split){.assignment = partition->assignment};
        canary_recall(slot, partition, &split->rows);
    }
    return split;
}

static uint64_t canary_committed(const struct sl_position *position)
{
    return position->committed.next;
}

/* The first offset that no batch has held yet, for none of its sinks. */
static uint64_t canary_fresh(const struct sl_slot *slot, const struct sl_batch *batch)
{
    uint64_t fresh = batch->first;

    for (uint32_t s = 0; s < slot->sinks_count; s++) {
        uint64_t taken = slot->sinks[s].now.kind == NULL ? 0 : slot->sinks[s].positions[batch->partition->index].taken.next;
        fresh = taken > fresh ? taken : fresh;
    }
    return fresh;
}

/* The rows of the batch's partition, with one for the share of now behind all that was read. NULL: no memory. */
static const struct sl_split *canary_rows(struct sl_slot *slot, struct sl_trial *trial, const struct sl_batch *batch)
{
    const struct sl_partition *partition = batch->partition;
    struct trial_split *split = canary_split(slot, trial, partition);
    const struct sl_split_row *last;
    uint64_t threshold, from;
    char key[SL_COMMIT_KEY_BYTES], value[SL_SPLIT_BYTES];
    struct sl_err err;

    if (split == NULL)
        return NULL;
    last = split->rows.count > 0 ? &split->rows.rows[split->rows.count - 1] : NULL;
    threshold = trial->by == SL_SPLIT_KEY
                    ? sl_split_threshold(trial->share)
                    : sl_split_threshold_partition(trial->share, partition->source, partition->topic, partition->id, trial->plan->generation);
    if (last != NULL ? last->threshold == threshold && (last->generation == trial->plan->generation || threshold == 0) : threshold == 0)
        return &split->rows;
    from = canary_fresh(slot, batch);
    from = last != NULL && last->from > from ? last->from : from;
    (void)sl_split_prune(&split->rows, sl_slot_lowest(slot, partition->index, false, canary_committed));
    if (sl_split_add(&split->rows, from, threshold, trial->plan->generation, &err) != 0) {
        sl_slot_log(slot, &err, "canary");
        return &split->rows;
    }
    sl_slot_commit_later(slot, canary_key(slot, partition, key), (struct sl_slice){value, (uint32_t)sl_split_print(&split->rows, value)});
    return &split->rows;
}

void sl_trial_splits_fini(struct sl_slot *slot, struct sl_trial *trial)
{
    char key[SL_COMMIT_KEY_BYTES];

    for (uint32_t p = 0; p < trial->splits_cap && p < slot->partitions_cap; p++)
        if (slot->partitions[p] != NULL && trial->splits[p].assignment == slot->partitions[p]->assignment && trial->splits[p].rows.count > 0 &&
            slot->state != SL_SLOT_FAILED)
            sl_slot_commit_later(slot, canary_key(slot, slot->partitions[p], key), (struct sl_slice){NULL, 0});
    free(trial->splits);
    trial->splits = NULL;
    trial->splits_cap = 0;
}

/* ---- whose a record is ---- */

static uint64_t canary_hash(const struct sl_trial *trial, const struct sl_batch *batch, const struct sl_decoded *decoded, uint32_t row)
{
    const struct sl_partition *partition = batch->partition;
    uint32_t generation = trial->plan->generation;

    if (decoded->trace >= 0 && (uint32_t)decoded->trace < decoded->columns_count && decoded->columns[decoded->trace].value != NULL &&
        decoded->columns[decoded->trace].type[row] > SL_T_NULL && decoded->columns[decoded->trace].value[row].bytes > 0) {
        struct sl_slice trace = decoded->columns[decoded->trace].value[row];
        uint64_t randomness;
        if (sl_randomness_of_hex(trace.data, trace.bytes, &randomness) == 0)
            randomness = sl_randomness_of_bytes(trace.data, trace.bytes);
        return sl_split_hash_randomness(randomness, generation);
    }
    if (batch->key != NULL && batch->key[row].data != NULL && batch->key[row].bytes > 0)
        return sl_split_hash_key(batch->key[row], generation);
    return sl_split_hash_origin(partition->source, partition->topic, partition->id, partition->incarnation, batch->offset[row], generation);
}

static enum trial_side canary_side(uint64_t hash, uint64_t threshold, bool control)
{
    if (sl_split_is_canary(hash, threshold))
        return TRIAL_CANDIDATE;
    return control && hash - threshold < threshold ? TRIAL_CONTROL : TRIAL_REST;
}

/* Of each record; counts by side. decoded: what is known of keys. control: a group of the live version's keys is an arm of its own. */
static int canary_assign(struct sl_trial *trial, const struct sl_split *rows, const struct sl_batch *batch, const struct sl_decoded *decoded,
                         bool control, uint32_t counts[TRIAL_SIDES])
{
    uint64_t until = 0, threshold = 0;

    trial->sides = sl_arena_alloc(batch->arena, (size_t)batch->count + 1);
    trial->hashes = sl_arena_alloc(batch->arena, ((size_t)batch->count + 1) * sizeof(*trial->hashes));
    if (trial->sides == NULL || trial->hashes == NULL)
        return -1;
    for (uint32_t i = 0; i < batch->count; i++) {
        if (i == 0 || batch->offset[i] >= until) {
            const struct sl_split_row *row = sl_split_at(rows, batch->offset[i], &until);
            threshold = row != NULL && row->generation == trial->plan->generation ? row->threshold : 0;
        }
        trial->hashes[i] = trial->by == SL_SPLIT_PARTITION ? 0 : canary_hash(trial, batch, decoded, i);
        trial->sides[i] = (uint8_t)canary_side(trial->hashes[i], threshold, control);
        counts[trial->sides[i]]++;
    }
    trial->threshold = threshold;
    return 0;
}

/* Some record of the batch may be the canary's. */
static bool canary_is_due(const struct sl_trial *trial, const struct sl_split *rows, const struct sl_batch *batch)
{
    uint64_t at = batch->first, until = 0;

    while (rows != NULL && at < batch->next && until != UINT64_MAX) {
        const struct sl_split_row *row = sl_split_at(rows, at, &until);
        if (row != NULL && row->threshold > 0 && row->generation == trial->plan->generation)
            return true;
        at = until;
    }
    return false;
}

/* ---- the arms ---- */

/* The view without the other sides' records; they have their fate on another arm. */
static void canary_narrow(const struct sl_trial *trial, struct sl_view *view, enum trial_side side)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < view->sel_count; i++) { /* not sl_view_compact: a stage's own verdicts are still to be read */
        uint16_t row = view->sel[i];
        view->sel[kept] = row;
        if (trial->sides[row] == side)
            kept++;
        else
            view->fate[row] = SL_FILTERED;
    }
    view->sel_count = kept;
}

static void canary_live_begin(struct sl_slot *slot, struct sl_arm *arm)
{
    arm->plan = slot->plan;
    arm->leaves_count = slot->sinks_count;
    for (uint32_t s = 0; s < slot->sinks_count; s++)
        arm->leaves[s] = (struct sl_leaf){.sink = slot->sinks[s].now.kind != NULL ? &slot->sinks[s].now : NULL, .row = s};
}

/* Bursts begin once a second, reason and group of keys as large as the canary's: so as many are to be expected of each group. */
static uint64_t canary_signature(const struct sl_trial *trial, const struct sl_dead *dead, uint32_t row)
{
    const struct sl_partition *partition = dead->batch->partition;
    uint64_t group = trial->by == SL_SPLIT_PARTITION || trial->threshold == 0 || trial->hashes == NULL
                         ? XXH3_64bits_withSeed(partition->id, strlen(partition->id), partition->index)
                         : trial->hashes[row] / trial->threshold;
    uint64_t words[2] = {dead->component, group};

    return XXH3_64bits_withSeed(dead->reason, strlen(dead->reason), XXH3_64bits(words, sizeof(words)));
}

static void canary_count_dead(struct sl_slot *slot, struct sl_trial *trial, struct sl_side *side, uint32_t from)
{
    struct sl_judge_bursts *bursts = &trial->bursts[side == &trial->canary];

    for (uint32_t i = from; i < slot->dead_count; i++) {
        const struct sl_dead *dead = &slot->dead[i];
        uint32_t row = dead->batch->parent != NULL ? dead->batch->parent[dead->index] : dead->index;
        side->dead++;
        side->errors++;
        side->dead_bursts += sl_judge_burst(bursts, canary_signature(trial, dead, row), (uint32_t)(slot->now_ns / CANARY_NS_PER_S));
    }
}

struct canary_way { /* one arm's run */
    struct sl_arm *arm;
    const struct sl_node *tree;
    struct sl_view *view;
    struct sl_side *counts;
    uint32_t records;
    bool timed;
};

static int canary_walk(struct sl_slot *slot, const struct canary_way *way, struct sl_err *err)
{
    struct sl_trial *trial = slot->trial;
    uint64_t began_ns = slot->env.now_ns(slot->env.user);
    uint32_t dead = slot->dead_count;

    if (way->tree != NULL && sl_arm_run(slot, way->arm, way->tree, way->view, err) != 0)
        return -(int)err->code;
    way->counts->records += way->records;
    canary_count_dead(slot, trial, way->counts, dead);
    if (way->timed)
        sl_judge_observe(&way->counts->batch_latency, (slot->env.now_ns(slot->env.user) - began_ns) / way->records, 1);
    return 0;
}

/* The only stage behind the source, and a parse: it reads all records once, and tells their keys. */
static const struct sl_node *canary_parse(const struct sl_node *tree)
{
    const struct sl_node *first = tree->child;

    return first != NULL && first->sibling == NULL && first->kind != NULL && (first->kind->flags & SL_OP_PARSES) != 0 ? first : NULL;
}

static struct sl_view *canary_view(struct sl_slot *slot, const struct sl_view *root)
{
    struct sl_view *view = sl_arena_alloc(&slot->arena, sizeof(*view));

    return view != NULL && sl_view_branch(view, root) == 0 ? view : NULL;
}

static int canary_candidate(struct sl_slot *slot, const struct sl_slot_source *source, uint32_t records, bool timed, struct sl_err *err)
{
    struct sl_trial *trial = slot->trial;
    struct canary_way way = {&trial->arm, NULL, canary_view(slot, trial->roots[TRIAL_CANDIDATE]), &trial->canary, records, timed};
    uint32_t dead = slot->dead_count;
    struct sl_err why = {0};

    if (way.view == NULL)
        return sl_arm_budget(slot, err);
    sl_arm_begin(&trial->arm);
    way.tree = trial->plan->trees[source->component];
    trial->parts[TRIAL_CANDIDATE] = &trial->arm;
    if (canary_walk(slot, &way, &why) == 0)
        return 0;
    sl_trial_break(slot, trial, &why); /* its records of this batch go the live way */
    slot->dead_count = dead;
    canary_live_begin(slot, &trial->again);
    trial->parts[TRIAL_CANDIDATE] = &trial->again;
    way = (struct canary_way){&trial->again, source->tree, canary_view(slot, trial->roots[TRIAL_CANDIDATE]), &trial->baseline, records, false};
    return way.view == NULL ? sl_arm_budget(slot, err) : canary_walk(slot, &way, err);
}

static int canary_control(struct sl_slot *slot, const struct sl_slot_source *source, uint32_t records, bool timed, struct sl_err *err)
{
    struct sl_trial *trial = slot->trial;
    struct canary_way way = {&trial->control, source->tree, canary_view(slot, trial->roots[TRIAL_CONTROL]), &trial->baseline, records, timed};

    if (way.view == NULL)
        return sl_arm_budget(slot, err);
    canary_live_begin(slot, &trial->control);
    trial->parts[TRIAL_CONTROL] = &trial->control;
    return canary_walk(slot, &way, err);
}

/* All that is neither: from behind the parse stage, where that has read the batch for the keys. */
static int canary_rest(struct sl_slot *slot, const struct sl_slot_source *source, const struct sl_node *parse, struct sl_view *view,
                       uint32_t records, struct sl_err *err)
{
    struct sl_trial *trial = slot->trial;
    struct canary_way way = {&slot->live, source->tree, view, &trial->baseline, records, false};
    uint32_t dead = slot->dead_count;

    trial->parts[TRIAL_REST] = &slot->live;
    if (parse == NULL)
        return canary_walk(slot, &way, err);
    if (sl_arm_behind(slot, &slot->live, parse, view, err) != 0)
        return -(int)err->code;
    trial->baseline.records += records;
    canary_count_dead(slot, trial, &trial->baseline, dead);
    return 0;
}

/* Latencies are compared by batches in which the live version has an arm of the same size. */
static bool canary_wants_control(struct sl_slot *slot)
{
    struct sl_trial *trial = slot->trial;

    if (trial->by != SL_SPLIT_KEY || slot->now_ns - trial->control_ns < CANARY_CONTROL_NS)
        return false;
    trial->control_ns = slot->now_ns;
    return true;
}

static int canary_roots(struct sl_slot *slot, const struct sl_view *root, const uint32_t counts[TRIAL_SIDES])
{
    struct sl_trial *trial = slot->trial;

    for (int side = TRIAL_CONTROL; side < TRIAL_SIDES; side++) {
        if (counts[side] == 0)
            continue;
        trial->roots[side] = canary_view(slot, root);
        if (trial->roots[side] == NULL)
            return -1;
        canary_narrow(trial, trial->roots[side], (enum trial_side)side);
    }
    return 0;
}

/* The small arms; who comes first finds colder caches, so they take turns. */
static int canary_small(struct sl_slot *slot, const struct sl_slot_source *source, const uint32_t counts[TRIAL_SIDES], struct sl_err *err)
{
    bool timed = slot->trial->by == SL_SPLIT_PARTITION || (counts[TRIAL_CONTROL] > 0 && counts[TRIAL_CANDIDATE] > 0);
    bool control_first = slot->batches % 2 == 0;
    int status = 0;

    if (counts[TRIAL_CONTROL] > 0 && control_first)
        status = canary_control(slot, source, counts[TRIAL_CONTROL], timed, err);
    if (status == 0 && counts[TRIAL_CANDIDATE] > 0)
        status = canary_candidate(slot, source, counts[TRIAL_CANDIDATE], timed, err);
    if (status == 0 && counts[TRIAL_CONTROL] > 0 && !control_first)
        status = canary_control(slot, source, counts[TRIAL_CONTROL], timed, err);
    return status;
}

static int canary_read(const struct sl_node *parse, struct sl_view *view, struct sl_err *err)
{
    int status;

    sl_blame_enter(parse->frame);
    status = parse->kind->process(parse->self, view, err);
    sl_blame_leave();
    return status;
}

static int canary_arms(struct sl_slot *slot, const struct sl_slot_source *source, const struct sl_split *rows, struct sl_view *root,
                       struct sl_err *err)
{
    struct sl_trial *trial = slot->trial;
    const struct sl_node *parse = trial->by == SL_SPLIT_KEY ? canary_parse(source->tree) : NULL;
    uint32_t counts[TRIAL_SIDES] = {0};
    struct sl_view *rest = canary_view(slot, root);

    if (rest == NULL)
        return sl_arm_budget(slot, err);
    if (parse != NULL && canary_read(parse, rest, err) != 0)
        return sl_while(err, "topology %s: operator %s", slot->topology->name, slot->topology->components[parse->component].name);
    if (canary_assign(trial, rows, root->batch, rest->decoded, canary_wants_control(slot), counts) != 0 ||
        canary_roots(slot, root, counts) != 0)
        return sl_arm_budget(slot, err);
    canary_narrow(trial, rest, TRIAL_REST);
    trial->roots[TRIAL_REST] = rest;
    if (canary_small(slot, source, counts, err) != 0)
        return -(int)err->code;
    return counts[TRIAL_REST] > 0 ? canary_rest(slot, source, parse, rest, counts[TRIAL_REST], err) : 0;
}

/* A batch that is the live version's as a whole. */
static int canary_none(struct sl_slot *slot, const struct sl_slot_source *source, struct sl_view *root, struct sl_err *err)
{
    struct sl_trial *trial = slot->trial;
    struct canary_way way = {&slot->live, source->tree, root, &trial->baseline, root->batch->count, trial->by == SL_SPLIT_PARTITION};

    way.timed = way.timed && way.records > 0;
    return canary_walk(slot, &way, err);
}

int sl_trial_run(struct sl_slot *slot, const struct sl_slot_source *source, struct sl_view *root, struct sl_err *err)
{
    struct sl_trial *trial = slot->trial;
    const struct sl_split *rows;

    memset(trial->parts, 0, sizeof(trial->parts));
    trial->sides = NULL;
    trial->hashes = NULL;
    if (trial->kind != TRIAL_CANARY || trial->broken || root->batch->large || source->component >= trial->plan->components_count ||
        trial->plan->trees[source->component] == NULL || !sl_trial_is_ready(slot, trial))
        return sl_arm_run(slot, &slot->live, source->tree, root, err);
    rows = canary_rows(slot, trial, root->batch);
    return canary_is_due(trial, rows, root->batch) && root->batch->count > 0 ? canary_arms(slot, source, rows, root, err)
                                                                             : canary_none(slot, source, root, err);
}

bool sl_trial_is_split(const struct sl_slot *slot)
{
    return slot->trial != NULL && slot->trial->kind == TRIAL_CANARY && slot->trial->sides != NULL;
}

/* ---- what goes to a sink ---- */

static struct sl_leaf *canary_leaf(const struct sl_trial *trial, enum trial_side side, uint32_t sink)
{
    struct sl_arm *arm = trial->parts[side];
    uint32_t leaf = arm == &trial->arm ? trial->leaf_of[sink] : sink;

    return leaf < arm->leaves_count && arm->leaves[leaf].views_count > 0 ? &arm->leaves[leaf] : NULL;
}

/* An arm that does not lead to this sink has filtered its records there. */
static int canary_part_none(struct sl_slot *slot, const struct sl_view *root, struct sl_output *output)
{
    *output = (struct sl_output){.face = root, .fate = sl_arena_alloc(&slot->arena, root->batch->count + 1u)};
    if (output->fate == NULL)
        return -1;
    memset(output->fate, SL_FILTERED, root->batch->count);
    return 0;
}

static uint32_t canary_skip(const struct sl_batch *batch, uint64_t taken)
{
    uint32_t skip = 0;

    while (skip < batch->count && batch->offset[skip] < taken)
        skip++;
    return skip;
}

static int canary_part(struct sl_slot *slot, enum trial_side side, uint32_t sink, uint64_t taken, struct sl_joint_part *part)
{
    struct sl_trial *trial = slot->trial;
    struct sl_leaf *leaf = canary_leaf(trial, side, sink);
    uint32_t first = trial->items_count;

    part->side = (uint8_t)side;
    if (leaf == NULL)
        return canary_part_none(slot, trial->roots[side], &part->output);
    if (sl_trial_items(trial, first + leaf->views[0]->batch->count) != 0 ||
        sl_arm_output(slot, leaf, canary_skip(leaf->views[0]->batch, taken), trial->items + first, &part->output) != 0)
        return -1;
    trial->items_count += part->output.count;
    return 0;
}

static uint32_t canary_rows_of(const struct sl_joint_part *parts, uint32_t count)
{
    uint32_t rows = 0;

    for (uint32_t p = 0; p < count; p++)
        rows += parts[p].output.face->batch->count;
    return rows;
}

/* A sink that the candidate has no more says nothing of the records. */
static void canary_count_fates(struct sl_slot *slot, const struct sl_output *output, uint32_t skip, uint32_t sink)
{
    struct sl_trial *trial = slot->trial;
    const struct sl_batch *batch = output->face->batch;

    if (trial->leaf_of[sink] == UINT32_MAX)
        return;
    for (uint32_t i = skip; i < batch->count; i++) {
        uint32_t row = batch->parent != NULL ? batch->parent[i] : i;
        bool canary = trial->sides[row] == TRIAL_CANDIDATE && trial->parts[TRIAL_CANDIDATE] == &trial->arm;
        struct sl_side *side = canary ? &trial->canary : &trial->baseline;
        side->delivered += output->fate[i] == SL_LIVE;
        side->filtered += output->fate[i] == SL_FILTERED || output->fate[i] == SL_SAMPLED;
        side->shed += output->fate[i] == SL_SHED;
    }
}

int sl_trial_output(struct sl_slot *slot, uint32_t sink, uint64_t taken, struct sl_output *ret_output, uint32_t *ret_skip, struct sl_err *err)
{
    struct sl_trial *trial = slot->trial;
    struct sl_joint_part parts[TRIAL_SIDES];
    uint32_t count = 0;

    trial->items_count = 0;
    for (int side = 0; side < TRIAL_SIDES; side++) {
        if (trial->parts[side] == NULL)
            continue;
        if (canary_part(slot, (enum trial_side)side, sink, taken, &parts[count]) != 0)
            return sl_arm_budget(slot, err);
        parts[count].output.items = NULL; /* the array may yet move */
        count++;
    }
    for (uint32_t p = 0, first = 0; p < count; first += parts[p++].output.count)
        parts[p].output.items = trial->items + first;
    if (sl_slot_room(slot, canary_rows_of(parts, count)) != 0 || sl_joint(trial->sides, parts, count, slot->items, ret_output) != 0)
        return sl_arm_budget(slot, err);
    *ret_skip = canary_skip(ret_output->face->batch, taken);
    canary_count_fates(slot, ret_output, *ret_skip, sink);
    return 0;
}
