/* prepare.c: what stands between a merged topology and a swap: its instances opened, its landing zones claimed. Nothing that runs
 * is touched, and everything that can fail, fails here.
 *
 * A sink that keeps its name keeps its zone, so that is claimed at once; the id of a new one is made by the slot's clerk, which owns the
 * commit record.
 * SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/engine/slot/slot_private.h"

int sl_slot_facts(struct sl_slot *slot, struct sl_slot_facts *ret_facts, struct sl_err *err)
{
    if (slot->state == SL_SLOT_FAILED)
        return sl_fail(err, SL_E_STOPPED, SL_REMEDY_HALT, 0, "topology %s has stopped: %s", slot->topology->name, slot->failure.text);
    if (slot->state != SL_SLOT_RUNNING || !slot->recovered)
        return sl_fail(err, SL_E_STOPPED, SL_REMEDY_RETRY, 0, "topology %s is %s; try again once it runs", slot->topology->name,
                       slot->state == SL_SLOT_RUNNING ? "still starting" : "ending");
    memset(ret_facts, 0, sizeof(*ret_facts));
    ret_facts->kafka = sl_domain_is_kafka(slot->domain);
    ret_facts->transactional = slot->transactional;
    for (uint32_t s = 0; s < slot->sinks_count; s++) {
        const struct sl_slot_sink *sink = &slot->sinks[s];
        if (sink->now.kind == NULL || sink->zone[0] == '\0')
            continue;
        (void)snprintf(ret_facts->zones[ret_facts->zones_count].sink, sizeof(ret_facts->zones[0].sink), "%s", sink->name);
        memcpy(ret_facts->zones[ret_facts->zones_count++].zone, sink->zone, sizeof(sink->zone));
    }
    return 0;
}

static const char *prepare_zone_of(const struct sl_slot_facts *facts, const char *sink)
{
    for (uint32_t i = 0; sink != NULL && i < facts->zones_count; i++)
        if (strcmp(facts->zones[i].sink, sink) == 0)
            return facts->zones[i].zone;
    return NULL;
}

static int prepare_zones(struct sl_plan *plan, const struct sl_slot_facts *facts, struct sl_err *err)
{
    for (uint32_t c = 0; c < plan->components_count; c++) {
        const struct sl_instance *sink = &plan->sinks[c];
        const char *zone;
        if (sink->kind == NULL || !sink->needs_zone)
            continue;
        zone = prepare_zone_of(facts, sink->of->conf.name);
        if (zone == NULL)
            zone = prepare_zone_of(facts, sink->common->was);
        if (zone == NULL)
            continue;
        memcpy(plan->zones[c], zone, sizeof(plan->zones[c]));
        if (sink->kind->zone(sink->self, zone, err) != 0)
            return sl_while(err, "sink %s", sink->of->conf.name);
    }
    return 0;
}

/* A group whose commits are plain offsets cannot begin to carry flushes. */
static int prepare_commits(const struct sl_plan *plan, const struct sl_slot_facts *facts, struct sl_err *err)
{
    for (uint32_t c = 0; facts->kafka && !facts->transactional && c < plan->components_count; c++)
        if (plan->sinks[c].kind != NULL && plan->sinks[c].flushed)
            return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0,
                           "sink %s commits with the offsets, and this topology runs with plain offset commits; restart the process with "
                           "this version, or give commit: { mode: transaction } at its next restart",
                           plan->sinks[c].of->conf.name);
    return 0;
}

struct sl_plan *sl_slot_prepare(struct sl_slot *slot, const struct sl_slot_facts *facts, const struct sl_topology *topology,
                                void **component_shared, const enum sl_merge_fate *fates, uint32_t generation, struct sl_err *err)
{
    struct sl_plan *plan = sl_plan_new(slot, topology, component_shared, fates, slot->plan, generation, err);

    if (plan == NULL)
        return NULL;
    if (prepare_commits(plan, facts, err) != 0 || prepare_zones(plan, facts, err) != 0)
        return sl_plan_free(plan);
    return plan;
}

/* ---- zones of sinks that are new ---- */

static struct sl_plan *prepare_plan_of(struct sl_job *job)
{
    return (struct sl_plan *)(void *)((char *)job - offsetof(struct sl_plan, zones_job));
}

static bool prepare_wants_zone(const struct sl_plan *plan, uint32_t c)
{
    return plan->sinks[c].kind != NULL && plan->sinks[c].needs_zone && plan->zones[c][0] == '\0';
}

static void prepare_zones_run(struct sl_job *job)
{
    struct sl_plan *plan = prepare_plan_of(job);
    struct sl_err *err = &plan->zones_err;

    for (uint32_t c = 0; plan->zones_status == 0 && c < plan->components_count; c++) {
        const struct sl_instance *sink = &plan->sinks[c];
        uint64_t random[2] = {plan->zones_random[0] + c, plan->zones_random[1] ^ c};
        if (!prepare_wants_zone(plan, c))
            continue;
        if (sl_domain_zone(plan->slot->domain, sl_slot_group(plan->slot), sink->of->conf.name, random, plan->zones[c], err) != 0 ||
            sink->kind->zone(sink->self, plan->zones[c], err) != 0)
            plan->zones_status = sl_while(err, "sink %s", sink->of->conf.name);
    }
}

static void prepare_zones_over(struct sl_job *job)
{
    struct sl_plan *plan = prepare_plan_of(job);

    plan->zones_done(plan->zones_user, plan);
}

bool sl_plan_zones(struct sl_plan *plan, void (*done)(void *user, struct sl_plan *plan), void *user)
{
    const struct sl_env *env = &plan->slot->env;
    bool wants = false;

    for (uint32_t c = 0; c < plan->components_count; c++)
        wants = wants || prepare_wants_zone(plan, c);
    if (!wants)
        return false;
    plan->zones_random[0] = env->random(env->user);
    plan->zones_random[1] = env->random(env->user);
    plan->zones_done = done;
    plan->zones_user = user;
    plan->zones_job.run = prepare_zones_run;
    plan->zones_job.done = plan->zones_job.drop = prepare_zones_over;
    env->submit(env->user, &plan->zones_job);
    return true;
}

const struct sl_err *sl_plan_zones_err(const struct sl_plan *plan)
{
    return &plan->zones_err;
}
