/* sim_deploy.c: versions in a process: what runtime/engine/generation.c and runtime/deploy do with threads and files, done here step by
 * step: prepared beside what runs, put into one slot after the other, freed once every slot has settled, or dropped.
 *
 * process->version stands for the row "live" of the state on disk. It is written before the swap, as the deployer does, or (a rule that
 * need not hold for exactness) after it; a crash in between starts whichever the row names.
 * States of a candidate: preparing (clerks give its new sinks their zones) -> ready -> in some slots -> live; from the first two also dropped.
 * While it is ready it may be on trial: a shadow, a canary whose share changes, or nothing again.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "runtime/engine/slot/trial.h"
#include "tests/sim/sim_inner.h"

struct sim_life {
    struct sim_process *process;
    uint32_t number, components_count;
    struct sl_topology *from; /* NULL: the kind's own */
    struct sl_merge merge;
    const struct sl_topology *topology;
    struct sl_api *apis;
    void **shared;
    struct sim_life **origins, **settings; /* by component: the version that opened it, and shares; whose settings it has */
    struct sl_plan *plans[SIM_SLOTS_MAX];
    bool retired, canary; /* canary: it is, or was, given records before it was live */
    uint32_t waiting; /* for clerks */
    struct sim_life *next;
};

#define DEPLOY_NEVER UINT64_MAX

/* ---- lives ---- */

static void life_unshare(struct sim_life *life, uint32_t c)
{
    const struct sl_head *head = life->topology->components[c].head;
    if (life->shared[c] != NULL && head != NULL && head->unshare != NULL)
        head->unshare(life->shared[c]);
    life->shared[c] = NULL;
}

static void life_free(struct sim_life *life)
{
    for (uint32_t c = 0; c < life->components_count; c++)
        if (life->origins[c] == life)
            life_unshare(life, c);
    for (uint32_t s = 0; s < SIM_SLOTS_MAX; s++)
        life->plans[s] = sl_plan_free(life->plans[s]);
    sl_merge_fini(&life->merge);
    (void)sl_topology_free(life->from);
    free(life->apis);
    free(life->shared);
    free(life->origins);
    free(life->settings);
    free(life);
}

static struct sim_life *life_new(struct sim_process *process, const struct sl_topology *topology, uint32_t number)
{
    struct sim_life *life = calloc(1, sizeof(*life));
    uint32_t count = topology->components_count;
    assert(life != NULL);
    *life = (struct sim_life){.process = process, .number = number, .components_count = count, .topology = topology, .next = process->lives};
    life->apis = calloc(count, sizeof(*life->apis));
    life->shared = calloc(count, sizeof(void *));
    life->origins = calloc(count, sizeof(struct sim_life *));
    life->settings = calloc(count, sizeof(struct sim_life *));
    assert(life->apis != NULL && life->shared != NULL && life->origins != NULL && life->settings != NULL);
    for (uint32_t c = 0; c < count; c++)
        life->origins[c] = life->settings[c] = topology->components[c].role == SL_GONE ? NULL : life;
    process->lives = life;
    return life;
}

static void life_drop(struct sim_process *process, struct sim_life *life)
{
    struct sim_life **last = &process->lives;
    while (*last != life)
        last = &(*last)->next;
    *last = life->next;
    life_free(life);
}

int sim_lives_open(struct sim_process *process, struct sl_err *err)
{
    struct sim *sim = process->sim;
    struct sl_topology *from = sim->kind->changes ? sim_version_load(sim, process->version) : NULL;
    const struct sl_topology *topology = from != NULL ? from : sim->kind->topology;
    struct sim_life *life = life_new(process, topology, process->version);
    life->from = from;
    process->live = life;
    process->candidate = NULL;
    process->shared.topology = topology;
    process->shared.component_shared = life->shared;
    process->shared.generation = process->version;
    process->deploy_at_ns = sim->now_ns + sim_random(sim, 6 * SIM_S);
    if (sim->kind->changes)
        sim_version_live(process, process->version);
    for (uint32_t s = 0; sim->kind->changes && s < sim->kind->sinks_count; s++)
        sim->orphans = sim->orphans || (sim->kind->sinks[s].backend && !sim->versions[process->version].has[s]);
    for (uint32_t c = 0; c < topology->components_count; c++)
        if (sim_process_share(process, topology, c, &life->apis[c], &life->shared[c], err) != 0)
            return -(int)err->code;
    return 0;
}

void sim_lives_close(struct sim_process *process)
{
    for (struct sim_life *life = process->lives; life != NULL; life = life->next)
        for (uint32_t s = 0; s < SIM_SLOTS_MAX; s++)
            life->plans[s] = sl_plan_free(life->plans[s]);
    while (process->lives != NULL) {
        struct sim_life *life = process->lives;
        process->lives = life->next;
        life_free(life);
    }
    process->live = process->candidate = NULL;
}

uint64_t sim_lives_versions(const struct sim_process *process)
{
    uint64_t versions = 1ull << process->version;
    if (process->live != NULL)
        versions |= 1ull << process->live->number;
    if (process->candidate != NULL && (process->swapping > 0 || process->candidate->canary))
        versions |= 1ull << process->candidate->number;
    return versions;
}

/* ---- what is over ---- */

static bool deploy_settled(const struct sim_process *process)
{
    for (uint32_t s = 0; s < process->slots_count; s++) {
        enum sl_slot_state state = sl_slot_state(process->slots[s].slot);
        if (!sl_slot_settled(process->slots[s].slot) && state != SL_SLOT_ENDED && state != SL_SLOT_FAILED)
            return false;
    }
    return true;
}

static bool life_is_used(const struct sim_process *process, const struct sim_life *life)
{
    for (const struct sim_life *user = process->lives; user != NULL; user = user->next)
        for (uint32_t c = 0; user != life && !user->retired && c < user->components_count; c++)
            if (user->origins[c] == life || user->settings[c] == life)
                return true;
    return false;
}

static void deploy_reap(struct sim_process *process)
{
    for (struct sim_life *life = process->lives, *next; life != NULL; life = next) {
        next = life->next;
        if (!life->retired || life->waiting > 0)
            continue;
        for (uint32_t s = 0; s < SIM_SLOTS_MAX; s++)
            life->plans[s] = sl_plan_free(life->plans[s]);
        for (uint32_t c = 0; c < life->components_count; c++)
            if (life->origins[c] == life && (c >= process->live->components_count || process->live->origins[c] != life))
                life_unshare(life, c);
        if (!life_is_used(process, life))
            life_drop(process, life);
    }
}

static bool deploy_has_retired(const struct sim_process *process)
{
    for (const struct sim_life *life = process->lives; life != NULL; life = life->next)
        for (uint32_t s = 0; life->retired && s < SIM_SLOTS_MAX; s++)
            if (life->plans[s] != NULL || !life_is_used(process, life))
                return true;
    return false;
}

bool sim_deploy_is_over(const struct sim_process *process)
{
    return process->live == NULL || (process->candidate == NULL && !deploy_has_retired(process) && deploy_settled(process));
}

/* ---- preparing ---- */

static void deploy_later(struct sim_process *process, uint64_t most_ns)
{
    process->deploy_at_ns = process->sim->now_ns + sim_random(process->sim, most_ns);
}

static void deploy_zones_done(void *user, struct sl_plan *plan)
{
    struct sim_life *life = user;
    (void)plan;
    life->waiting--;
}

static int deploy_plans(struct sim_process *process, struct sim_life *life, struct sl_err *err)
{
    static struct sl_slot_facts facts[SIM_SLOTS_MAX];
    for (uint32_t s = 0; s < process->slots_count; s++)
        if (sl_slot_facts(process->slots[s].slot, &facts[s], err) != 0)
            return -(int)err->code;
    for (uint32_t c = 0; c < life->components_count; c++) {
        if (life->merge.fates[c] == SL_MERGE_KEPT || life->merge.fates[c] == SL_MERGE_SET) {
            life->shared[c] = process->live->shared[c];
            life->origins[c] = process->live->origins[c];
            life->settings[c] = life->merge.fates[c] == SL_MERGE_KEPT ? process->live->settings[c] : life;
        } else if (life->origins[c] != NULL && sim_process_share(process, life->topology, c, &life->apis[c], &life->shared[c], err) != 0) {
            return -(int)err->code;
        }
    }
    for (uint32_t s = 0; s < process->slots_count; s++) {
        life->plans[s] = sl_slot_prepare(process->slots[s].slot, &facts[s], life->topology, life->shared, life->merge.fates, life->number, err);
        if (life->plans[s] == NULL)
            return -(int)err->code;
    }
    for (uint32_t s = 0; s < process->slots_count; s++)
        life->waiting += sl_plan_zones(life->plans[s], deploy_zones_done, life);
    return 0;
}

/* A new version, the one before, or (in a group) one that another member made. */
static uint32_t deploy_choose(struct sim_process *process)
{
    struct sim *sim = process->sim;
    uint32_t number = process->before;
    if (sim->kind->kafka && sim_lot(sim, 300))
        number = (uint32_t)sim_random(sim, sim->versions_count);
    if (sim_lot(sim, 400) && sim_version_follows(sim, number, process->live->number))
        return number;
    return sim_version_make(sim, process->live->number);
}

static void deploy_prepare(struct sim_process *process)
{
    struct sim *sim = process->sim;
    uint32_t number = deploy_choose(process);
    struct sl_merge merge = {NULL, NULL};
    struct sl_topology *from;
    struct sim_life *life;
    struct sl_err err = {0};
    deploy_later(process, 2 * SIM_S);
    if (number == SIM_VERSIONS_MAX || number == process->live->number || (from = sim_version_load(sim, number)) == NULL)
        return;
    if (sl_merge(process->live->topology, from, &merge, &err) != 0) {
        sim_trace(sim, "%s: version %u is refused: %s", process->node, number, err.text);
        (void)sl_topology_free(from);
        return;
    }
    life = life_new(process, merge.topology, number);
    life->from = from;
    life->merge = merge;
    if (deploy_plans(process, life, &err) != 0) {
        sim_trace(sim, "%s: version %u is not prepared: %s", process->node, number, err.text);
        life_drop(process, life);
        return;
    }
    sim_trace(sim, "%s: version %u is prepared", process->node, number);
    process->candidate = life;
    process->swapping = 0;
    process->row_first = sim_lot(sim, 700);
}

/* ---- on trial ---- */

static void deploy_trial_end(struct sim_process *process)
{
    for (uint32_t s = 0; s < process->slots_count; s++)
        if (process->slots[s].slot != NULL)
            sl_slot_trial_end(process->slots[s].slot);
}

/* As the host does: in every slot, or in none. */
static void deploy_trial(struct sim_process *process)
{
    static const double shares[] = {0.01, 0.1, 0.5, 0.9, 1};
    struct sim *sim = process->sim;
    struct sim_life *life = process->candidate;
    bool shadow = sim_lot(sim, 300);
    double share = shares[sim_random(sim, sizeof(shares) / sizeof(shares[0]))];
    enum sl_split_by by = sim_lot(sim, 700) ? SL_SPLIT_KEY : SL_SPLIT_PARTITION;
    struct sl_err err = {0};
    int status = 0;
    if (!shadow) { /* it decides about records from now on */
        life->canary = true;
        sim_version_live(process, life->number);
    }
    for (uint32_t s = 0; s < process->slots_count && status == 0; s++) {
        struct sl_slot *slot = process->slots[s].slot;
        if (sl_slot_state(slot) != SL_SLOT_RUNNING)
            continue;
        status = shadow ? sl_slot_shadow(slot, life->plans[s], NULL, &err) : sl_slot_canary(slot, life->plans[s], share, by, &err);
    }
    sim_trace(sim, "%s: version %u is a %s of %g %s", process->node, life->number, shadow ? "shadow" : "canary", share, status == 0 ? "" : err.text);
    if (status != 0)
        deploy_trial_end(process);
}

/* A stage of a candidate that fails is a fault of ours: there is none that should. */
static void deploy_trial_look(struct sim_process *process)
{
    struct sl_sides sides = {.broken = false};
    for (uint32_t s = 0; s < process->slots_count; s++)
        sl_slot_trial_sides(process->slots[s].slot, &sides);
    if (sides.broken)
        sim_fail(process->sim, "%s: version %u broke on trial: %s", process->node, process->candidate->number, sides.why.text);
}

/* ---- putting it in ---- */

static void deploy_discard(struct sim_process *process)
{
    sim_trace(process->sim, "%s: version %u is discarded", process->node, process->candidate->number);
    deploy_trial_end(process);
    life_drop(process, process->candidate);
    process->candidate = NULL;
}

static void deploy_live(struct sim_process *process)
{
    struct sim_life *life = process->candidate;
    process->before = process->live->number;
    process->version = life->number;
    process->live->retired = true;
    process->live = life;
    process->candidate = NULL;
    process->shared.component_shared = life->shared;
    process->shared.generation = life->number;
    deploy_later(process, sim_lot(process->sim, 300) ? 300 * SIM_MS : 8 * SIM_S);
}

/* One slot more: others have turns meanwhile, as threads do. */
static void deploy_swap(struct sim_process *process)
{
    struct sim *sim = process->sim;
    struct sim_life *life = process->candidate;
    struct sl_plan *old = NULL;
    struct sl_err err = {0};
    uint32_t s = process->swapping;
    sim_version_live(process, life->number);
    if (sl_slot_swap(process->slots[s].slot, life->plans[s], &old, &err) != 0) {
        sim_trace(sim, "%s slot %u: version %u is refused: %s", process->node, s, life->number, err.text);
        if (sl_slot_state(process->slots[s].slot) == SL_SLOT_RUNNING)
            sim_fail(sim, "%s slot %u: version %u is refused by a slot that runs: %s", process->node, s, life->number, err.text);
        if (s == 0) {
            process->version = process->live->number;
            deploy_discard(process);
            return;
        }
    } else {
        sim_trace(sim, "%s slot %u: version %u is live", process->node, s, life->number);
        life->plans[s] = NULL;
        process->live->plans[s] = old;
    }
    if (++process->swapping == process->slots_count)
        deploy_live(process);
    else
        process->deploy_at_ns = sim->now_ns;
}

static void deploy_candidate(struct sim_process *process)
{
    struct sim *sim = process->sim;
    struct sim_life *life = process->candidate;
    deploy_later(process, 200 * SIM_MS);
    if (life->waiting > 0)
        return;
    for (uint32_t s = 0; s < process->slots_count; s++)
        if (life->plans[s] != NULL && sl_plan_zones_err(life->plans[s])->code != SL_OK) {
            sim_trace(sim, "%s: version %u: %s", process->node, life->number, sl_plan_zones_err(life->plans[s])->text);
            deploy_discard(process);
            return;
        }
    deploy_trial_look(process);
    if (process->swapping == 0 && !sim->quiet && sim_lot(sim, 400)) {
        deploy_trial(process);
        deploy_later(process, 2 * SIM_S);
        return;
    }
    if (process->swapping == 0 && (sim->quiet || sim_lot(sim, 50))) {
        process->version = process->live->number;
        deploy_discard(process);
        return;
    }
    if (process->swapping == 0 && process->row_first && process->version != life->number) {
        process->version = life->number; /* written; the swap is another step, and may never come */
        process->deploy_at_ns = sim->now_ns;
        return;
    }
    deploy_swap(process);
}

void sim_deploy(struct sim_process *process)
{
    struct sim *sim = process->sim;
    if (process->candidate != NULL) {
        deploy_candidate(process);
        return;
    }
    if (deploy_has_retired(process) && deploy_settled(process) && (sim->quiet || sim_lot(sim, 500))) {
        deploy_reap(process);
        return;
    }
    if (sim->quiet)
        deploy_later(process, 200 * SIM_MS);
    else
        deploy_prepare(process);
}

uint64_t sim_deploy_due(const struct sim_process *process)
{
    if (!process->sim->kind->changes || process->live == NULL || (process->sim->quiet && sim_deploy_is_over(process)))
        return DEPLOY_NEVER;
    return process->deploy_at_ns;
}
