/* sim_input.c: the workload: records with numbers of their own, "#17#", appended to the spools or to the modelled Kafka.
 * A spool's record is due once its answer said durable; one that was never answered may come, or not. One that lies in an aborted
 * transaction must never come.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "tests/sim/sim_inner.h"

enum { INPUT_BATCH = 12, INPUT_BYTES = 256 };

static uint32_t input_make(struct sim *sim, uint32_t process, uint32_t partition, char payload[INPUT_BYTES])
{
    uint32_t number = sim->records_count++;
    struct sim_record *record = &sim->records[number];
    long long unix_s = (long long)(sim->unix_base_ms / 1000 + (int64_t)(sim->now_ns / SIM_S));
    *record = (struct sim_record){.process = process, .partition = partition, .asked = true};
    record->versions = record->after = sim_versions_of(sim, process);
    record->valid = !sim_lot(sim, 60);
    record->debug = sim_lot(sim, 300);
    if (record->valid)
        (void)snprintf(payload, INPUT_BYTES, "{\"ts\":%lld,\"service\":\"s%u\",\"level\":\"%s\",\"id\":\"#%u#\"}", unix_s,
                       (unsigned)sim_random(sim, 3), record->debug ? "debug" : "info", number);
    else
        (void)snprintf(payload, INPUT_BYTES, "{\"broken\": \"#%u#", number);
    return number;
}

static void input_answer(struct sl_spool_wait *base, int status, uint64_t first_offset, const struct sl_err *err)
{
    struct sim_wait *wait = (struct sim_wait *)base;
    struct sim_process *process = wait->process;
    (void)err;
    wait->answered = true;
    if (process->dead || wait->start != process->starts)
        return; /* nobody is there to hear it */
    for (uint32_t i = 0; i < wait->count; i++) {
        process->sim->records[wait->first + i].durable = status == 0;
        process->sim->records[wait->first + i].placed = status == 0;
        process->sim->records[wait->first + i].offset = first_offset + i;
        process->sim->records[wait->first + i].refused = false;
    }
}

static void input_spool(struct sim *sim, struct sim_process *process)
{
    char payloads[INPUT_BATCH][INPUT_BYTES];
    struct sl_spool_record records[INPUT_BATCH] = {0};
    struct sl_spool_topic *topic;
    struct sl_err err;
    uint32_t partition = (uint32_t)sim_random(sim, sim->partitions), count = 1 + (uint32_t)sim_random(sim, INPUT_BATCH);
    uint32_t first = sim->records_count;
    if (sl_spool_topic(process->spool, "input", sim->partitions, &topic, &err) != 0)
        return;
    for (uint32_t i = 0; i < count; i++) {
        (void)input_make(sim, process->index, partition, payloads[i]);
        records[i].payload = sl_slice_of(payloads[i]);
    }
    struct sim_wait *wait = calloc(1, sizeof(*wait));
    assert(wait != NULL);
    *wait = (struct sim_wait){.wait.done = input_answer, .process = process, .first = first, .count = count,
                              .start = process->starts, .next = sim->waits};
    sim->waits = wait;
    int status = sl_spool_append(topic, partition, records, count, &wait->wait, &err);
    wait->answered = status != 0; /* refused at once: no answer comes */
    for (uint32_t i = 0; status != 0 && i < count; i++)
        sim->records[first + i].refused = true;
    process->spool_at_ns = sim->now_ns;
    sim_trace(sim, "%s: records %u to %u go to partition %u", process->node, first, first + count - 1, partition);
}

static void input_kafka(struct sim *sim)
{
    char payloads[INPUT_BATCH][INPUT_BYTES];
    struct sl_klog_record records[INPUT_BATCH] = {0};
    uint32_t partition = (uint32_t)sim_random(sim, sl_model_partitions(sim->model, "in"));
    uint32_t count = 1 + (uint32_t)sim_random(sim, INPUT_BATCH);
    bool transaction = sim_lot(sim, 150), commit = sim_lot(sim, 500);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t number = input_make(sim, 0, partition, payloads[i]);
        records[i] = (struct sl_klog_record){.topic = "in", .partition = (int32_t)partition,
                                             .payload = sl_slice_of(payloads[i])};
        sim->records[number].durable = !transaction || commit;
        sim->records[number].refused = transaction && !commit;
        if (transaction)
            continue;
        sim->records[number].offset = sl_model_append(sim->model, &records[i]);
        sim->records[number].placed = true;
    }
    sim_trace(sim, "records %u to %u go to partition %u%s", sim->records_count - count, sim->records_count - 1, partition,
              transaction ? ", in a transaction" : "");
    if (transaction)
        sl_model_append_transaction(sim->model, records, count, commit);
}

void sim_input(struct sim *sim)
{
    struct sim_process *process = &sim->processes[sim_random(sim, sim->processes_count)];
    if (sim->records_count + INPUT_BATCH > sim->records_goal)
        return;
    if (sim->kind->kafka)
        input_kafka(sim);
    else if (process->up && sim->now_ns >= process->stopped_until_ns)
        input_spool(sim, process);
}

bool sim_input_waits(const struct sim_process *process)
{
    for (const struct sim_wait *wait = process->sim->waits; wait != NULL; wait = wait->next)
        if (wait->process == process && wait->start == process->starts && !wait->answered)
            return true;
    return false;
}

void sim_input_free(struct sim *sim)
{
    while (sim->waits != NULL) {
        struct sim_wait *wait = sim->waits;
        sim->waits = wait->next;
        free(wait);
    }
}
