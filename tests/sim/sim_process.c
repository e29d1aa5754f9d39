/* sim_process.c: one process: what host.c and worker.c do with threads and the kernel, done here step by step.
 *
 * States: down --sim_process_start--> up --sim_process_kill, or an operation that it dies in--> down. The disk outlives it all.
 * A process that died inside a call runs to that call's end with every operation failing, and is then torn down.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "runtime/store/commit_log.h"
#include "tests/sim/sim_inner.h"

enum { PROCESS_ACTIONS = 3 * SIM_SLOTS_MAX + 2 };

/* Asked before every operation on the log; the disk counts its own. */
static int process_operation(void *user, const char *what)
{
    struct sim_process *process = user;
    process->operations++;
    process->dead = process->dead || sl_disk_is_crashed(process->disk);
    if (!process->dead && process->die_at != 0 && process->operations >= process->die_at) {
        sim_trace(process->sim, "%s dies in %s%s", process->node, what, process->power ? ", the machine too" : "");
        process->dead = true;
        sl_disk_crash_after(process->disk, 0);
    }
    return process->dead;
}

/* ---- the slot's world ---- */

static uint64_t process_now(void *user)
{
    return ((struct sim_slot *)user)->process->sim->now_ns;
}

static int64_t process_unix_of(const struct sim *sim)
{
    return sim->unix_base_ms + (int64_t)(sim->now_ns / SIM_MS);
}

static int64_t process_unix(void *user)
{
    return process_unix_of(((struct sim_slot *)user)->process->sim);
}

static uint64_t process_random(void *user)
{
    return sim_random(((struct sim_slot *)user)->process->sim, UINT64_MAX);
}

static void process_submit(void *user, struct sl_job *job)
{
    struct sim_slot *slot = user;
    struct sim *sim = slot->process->sim;
    if (slot->jobs == NULL)
        slot->job_at_ns = sim->now_ns + sim_random(sim, 30 * SIM_MS);
    job->next = NULL;
    *slot->jobs_last = job;
    slot->jobs_last = &job->next;
}

static void process_wake(void *user)
{
    ((struct sim_slot *)user)->woken = true;
}

static void process_log(void *user, const char *topology, const struct sl_err *err, const char *what)
{
    const struct sim_slot *slot = user;
    (void)topology;
    sim_trace(slot->process->sim, "%s: %s: %s", slot->process->node, what, err != NULL ? err->text : "");
}

static uint64_t process_spool_now(void *env)
{
    return ((struct sim_process *)env)->sim->now_ns;
}

static int64_t process_spool_unix(void *env)
{
    return process_unix_of(((struct sim_process *)env)->sim);
}

static void process_spool_report(void *env, const struct sl_err *err)
{
    const struct sim_process *process = env;
    sim_trace(process->sim, "%s: spool: %s", process->node, err->code == SL_OK ? "recovered" : err->text);
}

/* The api of share(): no slot yet. */
static uint64_t process_api_now(void *env)
{
    return process_spool_now(env);
}

static void process_api_wake(void *env)
{
    (void)env;
}

static void process_api_tally(void *env, const void *self, uint32_t counter, uint64_t by)
{
    (void)env;
    (void)self;
    (void)counter;
    (void)by;
}

static void process_api_log(void *env, const struct sl_err *err, const char *what)
{
    const struct sim_process *process = env;
    sim_trace(process->sim, "%s: %s: %s", process->node, what, err != NULL ? err->text : "");
}

static uint64_t process_api_random(void *env)
{
    return sim_random(((struct sim_process *)env)->sim, UINT64_MAX);
}

/* ---- opening ---- */

static struct sl_fs *process_fs(struct sim_process *process)
{
    return sl_disk_fs(process->disk);
}

static int process_open_spool(struct sim_process *process, struct sl_err *err)
{
    struct sim *sim = process->sim;
    struct sl_spool_topic *topic;
    const struct sl_spool_settings settings = {
        .segment_bytes = 64 << 10,
        .hold_bytes = 1 << 30,
        .hold_age_ns = 24 * 3600 * SIM_S,
        .fsync = process->index % 2 == 0 ? SL_SPOOL_EACH : SL_SPOOL_100MS,
        .when_full = SL_SPOOL_BLOCK,
        .append_queue_bytes = 1 << 20,
        .unix_ms = process_spool_unix,
        .now_ns = process_spool_now,
        .env = process,
        .no_thread = true,
        .report = process_spool_report,
    };
    if (sl_spool_open(process_fs(process), SIM_DATA "/spool", &settings, &process->spool, err) != 0)
        return -(int)err->code;
    process->spool_at_ns = sim->now_ns;
    return sim->kind->kafka ? 0 : sl_spool_topic(process->spool, "input", sim->partitions, &topic, err);
}

int sim_process_share(struct sim_process *process, const struct sl_topology *topology, uint32_t index, struct sl_api *api, void **ret_shared,
                      struct sl_err *err)
{
    const struct sl_component *conf = &topology->components[index];
    *ret_shared = NULL;
    if (conf->head->share == NULL)
        return 0;
    *api = (struct sl_api){
        .env = process,
        .fs = process_fs(process),
        .now_ns = process_api_now,
        .unix_ms = process_spool_unix,
        .random = process_api_random,
        .tally = process_api_tally,
        .wake = process_api_wake,
        .log = process_api_log,
        .node = process->node,
        .data_dir = SIM_DATA,
        .topology = topology->name,
        .component = conf->name,
        .base_dir = topology->base_dir,
        .epoch = process->data_dir.epoch,
        .slots = process->slots_count,
        .share_bytes = 4 << 20,
        .max_record_bytes = 1 << 20,
        .spool = process->spool,
    };
    return conf->head->share(api, conf->config, ret_shared, err);
}

static int process_open_slot(struct sim_process *process, uint32_t index, struct sl_err *err)
{
    struct sim_slot *slot = &process->slots[index];
    *slot = (struct sim_slot){.process = process, .woken = true};
    slot->jobs_last = &slot->jobs;
    slot->ran_last = &slot->ran;
    slot->env = (struct sl_env){
        .user = slot,
        .fs = process_fs(process),
        .klog = sl_model_client_klog(process->client),
        .now_ns = process_now,
        .unix_ms = process_unix,
        .random = process_random,
        .submit = process_submit,
        .wake = process_wake,
        .log = process_log,
    };
    slot->slot = sl_slot_new(&slot->env, &process->shared, index, err);
    return slot->slot != NULL ? 0 : -(int)err->code;
}

static int process_open(struct sim_process *process, struct sl_err *err)
{
    if (sl_data_dir_open(process_fs(process), SIM_DATA, &process->data_dir, err) != 0)
        return -(int)err->code;
    if (sl_fs_mkdirs(process_fs(process), SIM_DATA "/topologies/sim", 0755) != 0)
        return sl_fail(err, SL_E_IO, SL_REMEDY_RETRY, 0, "mkdirs");
    process->flush_number = 0;
    process->shared = (struct sl_shared){
        .node = process->node,
        .data_dir = SIM_DATA,
        .epoch = process->data_dir.epoch,
        .slots = process->slots_count,
        .memory_bytes = 64 << 20,
        .max_record_bytes = 1 << 20,
        .flush_number = &process->flush_number,
    };
    if (process_open_spool(process, err) != 0)
        return sl_while(err, "spool");
    process->shared.spool = process->spool;
    if (sl_commit_log_open(process_fs(process), SIM_DATA "/topologies/sim/commit.log", &process->shared.commit_log, err) != 0)
        return -(int)err->code;
    if (sim_lives_open(process, err) != 0)
        return -(int)err->code;
    for (uint32_t s = 0; s < process->slots_count; s++)
        if (process_open_slot(process, s, err) != 0)
            return -(int)err->code;
    return 0;
}

/* Its counters end with it. */
static void process_count(struct sim_process *process, struct sim_slot *slot)
{
    struct sl_slot_status status;
    if (slot->slot == NULL || sl_slot_status(slot->slot, &status) != 0)
        return;
    process->sim->swaps += status.swaps;
    sl_slot_status_fini(&status);
}

/* Frees all objects, as the process leaves them; jobs that have not run never do. */
static void process_close(struct sim_process *process)
{
    for (uint32_t s = 0; s < process->slots_count; s++) {
        struct sim_slot *slot = &process->slots[s];
        process_count(process, slot);
        slot->slot = sl_slot_free(slot->slot);
        slot->jobs = slot->ran = NULL;
    }
    sim_lives_close(process);
    process->shared.commit_log = sl_commit_log_close(process->shared.commit_log);
    if (process->spool != NULL)
        process->spool = sl_spool_close(process->spool);
    if (process->data_dir.fs != NULL)
        sl_data_dir_close(&process->data_dir);
    process->client = sl_model_client_free(process->client);
    process->up = false;
}

void sim_process_kill(struct sim_process *process, bool power)
{
    sim_trace(process->sim, "%s ends%s", process->node, power ? ", and its machine" : "");
    process->dead = true;
    process->sim->result->crashes++;
    sl_model_client_kill(process->client);
    sl_disk_crash_after(process->disk, 0);
    process_close(process);
    if (power)
        sl_disk_restart(process->disk, sim_random(process->sim, UINT64_MAX));
    else
        sl_disk_restart_process(process->disk);
    process->full_until_ns = process->cut_until_ns = 0;
    sl_disk_capacity(process->disk, UINT64_MAX);
    process->start_at_ns = process->sim->now_ns + (1 + sim_random(process->sim, 20000)) * SIM_MS;
}

void sim_process_doom(struct sim_process *process, uint64_t operations)
{
    struct sim *sim = process->sim;
    uint64_t after = 1 + sim_random(sim, operations);
    process->power = sim_lot(sim, 500);
    if (sim->kind->kafka && sim_lot(sim, 500))
        process->die_at = process->operations + after;
    else
        sl_disk_crash_after(process->disk, after);
}

void sim_process_drain(struct sim_process *process)
{
    for (uint32_t s = 0; process->up && s < process->slots_count; s++) {
        sl_slot_drain(process->slots[s].slot);
        process->slots[s].woken = true;
    }
}

void sim_process_start(struct sim_process *process)
{
    struct sim *sim = process->sim;
    struct sl_err err = {0};
    process->dead = false;
    process->operations = 0;
    process->die_at = 0;
    process->power = false;
    process->stopped_until_ns = 0;
    process->starts++;
    sim->result->restarts++;
    if (sim->kind->sick && !sim->quiet) /* `consumers:` was changed: queues of slots that are no more are adopted */
        process->slots_count = 1 + (uint32_t)sim_random(sim, sim->slots);
    if (!sim->quiet && sim_lot(sim, 200)) /* dies while it starts, or soon after */
        sim_process_doom(process, 150);
    process->client = sl_model_client_new(sim->model, process_operation, process);
    process->up = true;
    int status = process_open(process, &err);
    process->dead = process->dead || sl_disk_is_crashed(process->disk);
    if (status == 0 && !process->dead) {
        sim_trace(sim, "%s started, epoch %u", process->node, process->data_dir.epoch);
        sim_check_commits(process);
        if (sim->draining)
            sim_process_drain(process);
        return;
    }
    sim_trace(sim, "%s did not start: %s", process->node, err.text);
    if (!process->dead && sim->quiet && ++process->failures > 20)
        sim_fail(sim, "%s does not start: %s", process->node, err.text);
    sim_process_kill(process, process->dead && process->power);
}

void sim_process_init(struct sim *sim, uint32_t index)
{
    struct sim_process *process = &sim->processes[index];
    *process = (struct sim_process){.sim = sim, .index = index, .slots_count = sim->slots};
    process->data_dir.lock_fd = -1;
    (void)snprintf(process->node, sizeof(process->node), "node%u", index);
    process->disk = sl_disk_new(sim_random(sim, UINT64_MAX));
    process->start_at_ns = sim->now_ns + sim_random(sim, 5 * SIM_S);
}

void sim_process_fini(struct sim_process *process)
{
    if (process->up)
        process_close(process);
    process->disk = sl_disk_free(process->disk);
}

/* ---- steps ---- */

static void process_turn(struct sim_slot *slot)
{
    struct sim *sim = slot->process->sim;
    slot->woken = false;
    uint64_t wait_ns = sl_slot_turn(slot->slot);
    slot->due_ns = wait_ns == UINT64_MAX || wait_ns > 3600 * SIM_S ? UINT64_MAX : sim->now_ns + wait_ns;
    if (sim->kind->sick) /* it may have appended to a queue; in production the writer's thread is signalled */
        slot->process->spool_at_ns = sim->now_ns;
}

static bool process_died(struct sim_process *process)
{
    process->dead = process->dead || sl_disk_is_crashed(process->disk);
    return process->dead;
}

static void process_run_job(struct sim_slot *slot)
{
    struct sim *sim = slot->process->sim;
    struct sl_job *job = slot->jobs;
    slot->jobs = job->next;
    if (slot->jobs == NULL)
        slot->jobs_last = &slot->jobs;
    job->next = NULL;
    *slot->ran_last = job;
    slot->ran_last = &job->next;
    slot->job_at_ns = sim->now_ns + sim_random(sim, 30 * SIM_MS);
    job->run(job);
    if (!process_died(slot->process))
        sim_check_commits(slot->process);
}

static void process_job_done(struct sim_slot *slot)
{
    struct sl_job *job = slot->ran;
    slot->ran = job->next;
    if (slot->ran == NULL)
        slot->ran_last = &slot->ran;
    job->done(job);
    slot->woken = true;
}

static void process_spool_turn(struct sim_slot *slot)
{
    struct sim_process *process = slot->process;
    uint64_t wait_ns = sl_spool_write_turn(process->spool);
    process->spool_at_ns = wait_ns > 3600 * SIM_S ? UINT64_MAX : process->sim->now_ns + wait_ns;
}

static void process_deploy(struct sim_slot *slot)
{
    sim_deploy(slot->process);
}

struct process_action {
    void (*act)(struct sim_slot *slot);
    struct sim_slot *slot;
};

static uint32_t process_actions(struct sim_process *process, struct process_action actions[PROCESS_ACTIONS])
{
    uint64_t now_ns = process->sim->now_ns;
    uint32_t count = 0;
    for (uint32_t s = 0; s < process->slots_count; s++) {
        struct sim_slot *slot = &process->slots[s];
        if (slot->woken || now_ns >= slot->due_ns)
            actions[count++] = (struct process_action){process_turn, slot};
        if (slot->jobs != NULL && now_ns >= slot->job_at_ns)
            actions[count++] = (struct process_action){process_run_job, slot};
        if (slot->ran != NULL)
            actions[count++] = (struct process_action){process_job_done, slot};
    }
    if (now_ns >= sim_deploy_due(process))
        actions[count++] = (struct process_action){process_deploy, &process->slots[0]};
    if (now_ns >= process->spool_at_ns)
        actions[count++] = (struct process_action){process_spool_turn, &process->slots[0]};
    return count;
}

/* A supervisor starts it again. */
static void process_after(struct sim_process *process)
{
    struct sim *sim = process->sim;
    if (process_died(process)) {
        sim_process_kill(process, process->power);
        return;
    }
    for (uint32_t s = 0; s < process->slots_count; s++) {
        if (sl_slot_state(process->slots[s].slot) != SL_SLOT_FAILED)
            continue;
        sim_trace(sim, "%s slot %u failed: %s", process->node, s, sl_slot_error(process->slots[s].slot)->text);
        if (sim->quiet && ++process->failures > 5)
            sim_fail(sim, "%s fails again and again: %s", process->node, sl_slot_error(process->slots[s].slot)->text);
        sim_process_kill(process, false);
        return;
    }
}

static bool process_runs(const struct sim_process *process)
{
    return process->up && process->sim->now_ns >= process->stopped_until_ns;
}

bool sim_process_step(struct sim_process *process)
{
    struct process_action actions[PROCESS_ACTIONS];
    struct sim *sim = process->sim;
    if (!process->up && sim->now_ns >= process->start_at_ns) {
        sim_process_start(process);
        return true;
    }
    uint32_t count = process_runs(process) ? process_actions(process, actions) : 0;
    if (count == 0)
        return false;
    const struct process_action *action = &actions[sim_random(sim, count)];
    action->act(action->slot);
    process_after(process);
    return true;
}

static uint64_t process_min(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t sim_process_due(const struct sim_process *process)
{
    uint64_t due_ns = process->spool_at_ns;
    if (!process->up)
        return process->start_at_ns;
    due_ns = process_min(due_ns, sim_deploy_due(process));
    for (uint32_t s = 0; s < process->slots_count; s++) {
        const struct sim_slot *slot = &process->slots[s];
        due_ns = process_min(due_ns, slot->woken || slot->ran != NULL ? 0 : slot->due_ns);
        if (slot->jobs != NULL)
            due_ns = process_min(due_ns, slot->job_at_ns);
    }
    return due_ns > process->stopped_until_ns ? due_ns : process->stopped_until_ns;
}

uint64_t sim_process_commits(struct sim_process *process, uint64_t *ret_rewinds)
{
    uint64_t commits = 0;
    for (uint32_t s = 0; process->up && s < process->slots_count; s++) {
        struct sl_slot_status status;
        if (sl_slot_status(process->slots[s].slot, &status) != 0)
            continue;
        commits += status.commits;
        *ret_rewinds += status.rewinds;
        sl_slot_status_fini(&status);
    }
    return commits;
}

bool sim_process_ended(const struct sim_process *process)
{
    if (!process->up)
        return false;
    for (uint32_t s = 0; s < process->slots_count; s++)
        if (sl_slot_state(process->slots[s].slot) != SL_SLOT_ENDED)
            return false;
    return true;
}
