/* sim_fault.c: what goes wrong in the bad half, when, and how it ends.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "tests/sim/sim_inner.h"

static struct sim_process *fault_victim(struct sim *sim)
{
    struct sim_process *process = &sim->processes[sim_random(sim, sim->processes_count)];
    return process->up ? process : NULL;
}

static void fault_kill(struct sim *sim, struct sim_process *process)
{
    bool power = sim_lot(sim, 500);
    sim_process_kill(process, power);
}

static void fault_doom(struct sim *sim, struct sim_process *process)
{
    (void)sim;
    sim_process_doom(process, 200);
}

static void fault_stop(struct sim *sim, struct sim_process *process)
{
    process->stopped_until_ns = sim->now_ns + (1 + sim_random(sim, 30000)) * SIM_MS;
    sim->result->stops++;
    sim_trace(sim, "%s is stopped until %llu ms", process->node, (unsigned long long)(process->stopped_until_ns / SIM_MS));
}

static void fault_full(struct sim *sim, struct sim_process *process)
{
    process->full_until_ns = sim->now_ns + (1 + sim_random(sim, 8000)) * SIM_MS;
    sl_disk_capacity(process->disk, sl_disk_used(process->disk) + sim_random(sim, 2000));
    sim_trace(sim, "%s's disk is full", process->node);
}

static void fault_fsync(struct sim *sim, struct sim_process *process)
{
    uint64_t nth = 1 + sim_random(sim, 12);
    sl_disk_fail_fsync(process->disk, nth);
    sim_trace(sim, "%s's fsync number %llu from now fails", process->node, (unsigned long long)nth);
}

static void fault_outage(struct sim *sim, struct sim_process *process)
{
    (void)process;
    sim->down_until_ns = sim->now_ns + (1 + sim_random(sim, 20000)) * SIM_MS;
    sl_model_outage(sim->model, true);
    sim_trace(sim, "the cluster is away");
}

static void fault_cut(struct sim *sim, struct sim_process *process)
{
    process->cut_until_ns = sim->now_ns + (1 + sim_random(sim, 20000)) * SIM_MS;
    sl_model_client_cut(process->client, true);
    sim_trace(sim, "%s is cut off", process->node);
}

static void fault_commit(struct sim *sim, struct sim_process *process)
{
    enum sl_model_commit fate = (enum sl_model_commit)(1 + sim_random(sim, SL_MODEL_COMMIT_TWICE));
    sl_model_client_next_commit(process->client, fate);
    sim_trace(sim, "%s's next commit has fate %d", process->node, (int)fate);
}

static void fault_clock(struct sim *sim, struct sim_process *process)
{
    (void)process;
    sim->unix_base_ms += sim_lot(sim, 500) ? 3600000 : -3600000;
    sim_trace(sim, "the clocks jump by an hour");
}

static void fault_grow(struct sim *sim, struct sim_process *process)
{
    uint32_t count = sl_model_partitions(sim->model, "in");
    (void)process;
    if (count < SIM_PARTITIONS_MAX)
        sl_model_topic(sim->model, "in", count + 1);
    sim_trace(sim, "a partition more");
}

struct fault_row {
    bool kafka; /* only with Kafka */
    void (*happen)(struct sim *sim, struct sim_process *process);
};

static const struct fault_row fault_rows[] = {
    {false, fault_kill}, {false, fault_doom}, {false, fault_doom}, {false, fault_stop}, {false, fault_full}, {false, fault_fsync},
    {false, fault_clock}, {true, fault_outage}, {true, fault_cut}, {true, fault_commit}, {true, fault_commit}, {true, fault_grow},
};

static int fault_compare(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return a < b ? -1 : a > b;
}

void sim_faults_plan(struct sim *sim, uint64_t until_ns)
{
    sim->faults_count = (uint32_t)sim_random(sim, SIM_FAULTS_MAX + 1);
    for (uint32_t i = 0; i < sim->faults_count; i++)
        sim->faults_at_ns[i] = sim_random(sim, until_ns);
    qsort(sim->faults_at_ns, sim->faults_count, sizeof(sim->faults_at_ns[0]), fault_compare);
}

static void fault_next(struct sim *sim)
{
    size_t rows = sizeof(fault_rows) / sizeof(fault_rows[0]);
    const struct fault_row *row = &fault_rows[sim_random(sim, rows)];
    struct sim_process *process = fault_victim(sim);
    sim->faults_done++;
    if (sim->kind->sick && sim_lot(sim, 300)) {
        sim->hangs_until_ns = sim->now_ns + (1 + sim_random(sim, 20000)) * SIM_MS;
        sim_trace(sim, "the back-end hangs until %llu ms", (unsigned long long)(sim->hangs_until_ns / SIM_MS));
        return;
    }
    if (process != NULL && (!row->kafka || sim->kind->kafka))
        row->happen(sim, process);
}

static void fault_over(struct sim *sim, struct sim_process *process)
{
    if (process->full_until_ns != 0 && sim->now_ns >= process->full_until_ns) {
        process->full_until_ns = 0;
        sl_disk_capacity(process->disk, UINT64_MAX);
    }
    if (process->cut_until_ns != 0 && sim->now_ns >= process->cut_until_ns) {
        process->cut_until_ns = 0;
        if (process->up)
            sl_model_client_cut(process->client, false);
    }
}

void sim_faults(struct sim *sim)
{
    while (!sim->quiet && sim->faults_done < sim->faults_count && sim->now_ns >= sim->faults_at_ns[sim->faults_done])
        fault_next(sim);
    for (uint32_t p = 0; p < sim->processes_count; p++)
        fault_over(sim, &sim->processes[p]);
    if (sim->down_until_ns != 0 && sim->now_ns >= sim->down_until_ns) {
        sim->down_until_ns = 0;
        sl_model_outage(sim->model, false);
    }
}

void sim_faults_end(struct sim *sim)
{
    sl_model_calm(sim->model);
    for (uint32_t p = 0; p < sim->processes_count; p++) {
        struct sim_process *process = &sim->processes[p];
        process->die_at = 0;
        if (!sl_disk_is_crashed(process->disk))
            sl_disk_crash_after(process->disk, UINT64_MAX);
        sl_disk_fail_fsync(process->disk, 0);
    }
}
