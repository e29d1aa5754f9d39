/* sim.c: the world of a run: virtual time, chance, and which process takes the next step.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tests/sim/sim.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/sim/sim_inner.h"

enum { SIM_STEPS_MAX = 2000000 };
#define SIM_QUIET_MAX_NS (600 * SIM_S) /* so long may it take, without a fault, to bring everything home */

uint64_t sim_random(struct sim *sim, uint64_t below)
{
    uint64_t z = sim->random += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return below == 0 ? 0 : (z ^ (z >> 31)) % below;
}

bool sim_lot(struct sim *sim, uint32_t permille)
{
    return sim_random(sim, 1000) < permille;
}

void sim_fail(struct sim *sim, const char *format, ...)
{
    va_list args;
    if (sim->failed)
        return; /* the first broken law is the story */
    sim->failed = true;
    sim->result->fine = false;
    va_start(args, format);
    (void)vsnprintf(sim->result->why, sizeof(sim->result->why), format, args);
    va_end(args);
    sim_trace(sim, "FAILED: %s", sim->result->why);
}

void sim_trace(const struct sim *sim, const char *format, ...)
{
    va_list args;
    if (!sim->settings.trace)
        return;
    (void)printf("%9llu.%03llu ms  ", (unsigned long long)(sim->now_ns / SIM_MS),
                 (unsigned long long)(sim->now_ns / 1000 % 1000));
    va_start(args, format);
    (void)vprintf(format, args);
    va_end(args);
    (void)putchar('\n');
}

/* ---- time ---- */

static void sim_heartbeats(struct sim *sim)
{
    for (uint32_t p = 0; p < sim->processes_count; p++) {
        struct sim_process *process = &sim->processes[p];
        if (process->up && sim->now_ns >= process->stopped_until_ns)
            sl_model_client_heartbeat(process->client);
    }
}

/* Leaps are cut into pieces shorter than any session, so that only who is stopped or cut off loses his. */
static void sim_advance(struct sim *sim, uint64_t to_ns)
{
    while (sim->now_ns < to_ns) {
        uint64_t left_ns = to_ns - sim->now_ns;
        sim->now_ns += left_ns < SIM_S ? left_ns : SIM_S;
        sl_model_time(sim->model, sim->now_ns, sim->unix_base_ms + (int64_t)(sim->now_ns / SIM_MS));
        sim_heartbeats(sim);
    }
}

static uint64_t sim_next_due(const struct sim *sim)
{
    uint64_t due_ns = sim->now_ns + 500 * SIM_MS;
    for (uint32_t p = 0; p < sim->processes_count; p++) {
        uint64_t at_ns = sim_process_due(&sim->processes[p]);
        due_ns = at_ns < due_ns ? at_ns : due_ns;
    }
    return due_ns > sim->now_ns ? due_ns : sim->now_ns + SIM_MS;
}

/* ---- one run ---- */

static void sim_init(struct sim *sim)
{
    struct sl_model_settings model = {.seed = sim_random(sim, UINT64_MAX)};
    if (sim_lot(sim, 300)) {
        model.refused_permille = (uint32_t)sim_random(sim, 100);
        model.lost_permille = (uint32_t)sim_random(sim, 50);
        model.unanswered_permille = (uint32_t)sim_random(sim, 50);
        model.late_permille = (uint32_t)sim_random(sim, 50);
        model.twice_permille = (uint32_t)sim_random(sim, 50);
    }
    model.empty_poll_permille = (uint32_t)sim_random(sim, 300);
    sim->kind = sim_topology_of(sim_random(sim, 1 << 16), &sim->settings);
    if (sim->kind->sick)
        sim_sick_begin(sim);
    sim->unix_base_ms = 1700000000000;
    sim->model = sl_model_new(&model);
    sl_model_time(sim->model, 0, sim->unix_base_ms);
    sim->partitions = 1 + (uint32_t)sim_random(sim, 3);
    sim->processes_count = 1 + (uint32_t)sim_random(sim, SIM_PROCESSES_MAX);
    sim->slots = 1 + (uint32_t)sim_random(sim, SIM_SLOTS_MAX);
    if (sim->kind->changes)
        sim_versions_begin(sim);
    sim->records_goal = sim->settings.quick ? 150 : 100 + (uint32_t)sim_random(sim, 500);
    sl_model_topic(sim->model, "in", sim->partitions);
    sl_model_topic(sim->model, "out", 2);
    sim->quiet_at_ns = (2 + sim_random(sim, 40)) * SIM_S;
    sim_faults_plan(sim, sim->quiet_at_ns);
    for (uint32_t p = 0; p < sim->processes_count; p++)
        sim_process_init(sim, p);
    sim_trace(sim, "seed %llu: %s, %u processes of %u slots, %u partitions, %u faults, quiet from %llu ms",
              (unsigned long long)sim->settings.seed, sim->kind->name, sim->processes_count, sim->slots, sim->partitions,
              sim->faults_count, (unsigned long long)(sim->quiet_at_ns / SIM_MS));
}

static void sim_one_step(struct sim *sim)
{
    uint32_t first = (uint32_t)sim_random(sim, sim->processes_count);
    bool some = false;
    for (uint32_t i = 0; i < sim->processes_count && !some; i++)
        some = sim_process_step(&sim->processes[(first + i) % sim->processes_count]);
    sim_advance(sim, some ? sim->now_ns + sim_random(sim, SIM_MS) : sim_next_due(sim));
    if (sim_lot(sim, 100))
        sim_input(sim);
    sim_faults(sim);
    sim->result->steps++;
}

static bool sim_all_ended(const struct sim *sim)
{
    for (uint32_t p = 0; p < sim->processes_count; p++)
        if (!sim_process_ended(&sim->processes[p]))
            return false;
    return true;
}

static void sim_stuck(struct sim *sim, const char *what)
{
    for (uint32_t p = 0; p < sim->processes_count; p++) {
        struct sim_process *process = &sim->processes[p];
        for (uint32_t s = 0; process->up && s < process->slots_count; s++) {
            struct sl_slot_status status;
            if (sl_slot_status(process->slots[s].slot, &status) != 0)
                continue;
            for (uint32_t i = 0; i < status.partitions_count; i++)
                sim_trace(sim, "%s slot %u: %s %s next %llu committed %llu %s", process->node, s, status.partitions[i].topic,
                          status.partitions[i].id, (unsigned long long)status.partitions[i].next,
                          (unsigned long long)status.partitions[i].committed, status.partitions[i].held);
            sim_trace(sim, "%s slot %u: waits for \"%s\", state %d, jobs %d, next turn %lld ms, %llu failed commits", process->node, s,
                      sl_slot_waits_for(process->slots[s].slot), (int)status.state,
                      process->slots[s].jobs != NULL || process->slots[s].ran != NULL,
                      process->slots[s].due_ns == UINT64_MAX ? -1 : (long long)(process->slots[s].due_ns / SIM_MS),
                      (unsigned long long)status.commit_failures);
            for (uint32_t q = 0; q < status.queues_count; q++)
                sim_trace(sim, "%s slot %u: its queue: %llu records, %llu bytes, %llu lost", process->node, s,
                          (unsigned long long)status.queues[q].records, (unsigned long long)status.queues[q].bytes,
                          (unsigned long long)status.queues[q].lost);
            sl_slot_status_fini(&status);
            if (!sl_slot_settled(process->slots[s].slot))
                sim_trace(sim, "%s slot %u: something of an earlier version is left", process->node, s);
        }
    }
    const char *absent = sim_check_absent(sim);
    if (absent != NULL)
        sim_fail(sim, "%s was committed, but is not there", absent);
    if (!sim->draining && sim_check_missing(sim) != NULL)
        what = sim_check_missing(sim);
    sim_fail(sim, "%s, %llu virtual seconds after the last fault", what,
             (unsigned long long)((sim->now_ns - sim->quiet_at_ns) / SIM_S));
}

/* Bad times, then quiet until everything is committed, then until every slot has ended. */
static void sim_live(struct sim *sim)
{
    while (!sim->failed && sim->now_ns < sim->quiet_at_ns && sim->result->steps < SIM_STEPS_MAX)
        sim_one_step(sim);
    sim->quiet = true;
    sim_faults_end(sim);
    sim->records_goal = sim->records_count; /* no more of them */
    sim_trace(sim, "quiet");
    while (!sim->failed && !sim_check_all_committed(sim)) {
        if (sim->now_ns > sim->quiet_at_ns + SIM_QUIET_MAX_NS || sim->result->steps > SIM_STEPS_MAX)
            sim_stuck(sim, "not everything is committed");
        sim_one_step(sim);
    }
    sim_trace(sim, "everything is committed");
    sim->draining = true;
    for (uint32_t p = 0; p < sim->processes_count; p++)
        sim_process_drain(&sim->processes[p]);
    while (!sim->failed && !sim_all_ended(sim)) {
        if (sim->now_ns > sim->quiet_at_ns + 2 * SIM_QUIET_MAX_NS || sim->result->steps > 2 * SIM_STEPS_MAX)
            sim_stuck(sim, "not every slot has ended");
        sim_one_step(sim);
    }
}

void sim_run(const struct sim_settings *settings, struct sim_result *ret_result)
{
    struct sim *sim = calloc(1, sizeof(*sim));
    assert(sim != NULL);
    *ret_result = (struct sim_result){.fine = true};
    sim->settings = *settings;
    sim->result = ret_result;
    sim->random = settings->seed * 0xd1342543de82ef95u + 1;
    sim_init(sim);
    sim_live(sim);
    if (!sim->failed)
        sim_check_end(sim);
    for (uint32_t p = 0; p < sim->processes_count; p++)
        ret_result->commits += sim_process_commits(&sim->processes[p], &ret_result->rewinds);
    ret_result->records = sim->records_count;
    ret_result->virtual_ms = sim->now_ns / SIM_MS;
    for (uint32_t p = 0; p < sim->processes_count; p++)
        sim_process_fini(&sim->processes[p]);
    ret_result->swaps = sim->swaps;
    sim->model = sl_model_free(sim->model);
    sim_input_free(sim);
    for (uint32_t i = 0; i < sim->names_count; i++)
        free(sim->names[i]);
    free(sim);
}
