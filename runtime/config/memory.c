/* memory.c: does `memory:` hold what a topology needs? Shares of DESIGN.md 4.7; needs are counted
 * in the largest record that may come.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "runtime/base/column.h"
#include "runtime/config/topology.h"
#include "runtime/config/units.h"

enum { QUEUES_SHARE = 40, LANES_SHARE = 30, BATCHES_SHARE = 20, TABLES_SHARE = 10 };

/* Rounded up, so that the plan that meets it really does. Saturates. */
static uint64_t memory_total_for(uint64_t need_bytes, uint64_t share)
{
    uint64_t scaled;

    return __builtin_mul_overflow(need_bytes, 100u, &scaled) ? UINT64_MAX
                                                             : (scaled + share - 1) / share;
}

static uint64_t memory_max(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* The least total: each consumer holds two batches (one being read, one in a job), fetches one
 * response of compressed plus decompressed size, and each sink's lane takes one record of the
 * largest size. */
static uint64_t memory_need(uint64_t consumers, uint64_t lanes_count, uint64_t max_record_bytes)
{
    uint64_t record = memory_max(max_record_bytes, SL_BATCH_BYTES);
    uint64_t batches = consumers * 2 * record, queues = consumers * 2 * record,
             lanes = consumers * lanes_count * record / 4;

    return memory_max(memory_max(memory_total_for(batches, BATCHES_SHARE),
                                 memory_total_for(queues, QUEUES_SHARE)),
                      memory_total_for(lanes, LANES_SHARE));
}

static uint64_t memory_share(uint64_t total_bytes, uint64_t share)
{
    return total_bytes / 100 * share + total_bytes % 100 * share / 100;
}

/* A sink with a queue has a third of its lane, the queue the rest. */
static uint64_t memory_lanes(const struct sl_topology *topology)
{
    uint64_t lanes = 0;

    for (uint32_t c = 0; c < topology->components_count; c++)
        if (topology->components[c].role == SL_SINK)
            lanes += topology->components[c].sink.when_full == SL_FULL_SPOOL ? 3 : 1;
    return lanes;
}

int sl_topology_memory(const struct sl_topology *topology, uint64_t memory_bytes,
                       uint32_t consumers, uint64_t max_record_bytes,
                       struct sl_memory_plan *ret_plan, struct sl_err *err)
{
    uint64_t total = topology->memory_bytes != 0 ? topology->memory_bytes : memory_bytes;
    uint32_t slots = topology->consumers != 0 ? topology->consumers
                     : consumers == 0         ? 1
                                              : consumers;
    char has[SL_UNITS_TEXT], needs[SL_UNITS_TEXT];

    *ret_plan = (struct sl_memory_plan){
        .total_bytes = total,
        .queues_bytes = memory_share(total, QUEUES_SHARE),
        .lanes_bytes = memory_share(total, LANES_SHARE),
        .batches_bytes = memory_share(total, BATCHES_SHARE),
        .tables_bytes = memory_share(total, TABLES_SHARE),
        .consumers = slots,
        .need_bytes = memory_need(slots, memory_lanes(topology), max_record_bytes)};
    if (total >= ret_plan->need_bytes)
        return 0;
    sl_bytes_print(total, has);
    sl_bytes_print((ret_plan->need_bytes + (1u << 20) - 1) >> 20 << 20, needs);
    return sl_fail(
        err, SL_E_CONFIG, SL_REMEDY_HALT, 0,
        "memory: %s cannot hold %u consumer%s and %u sink%s; write memory: %s, or fewer consumers",
        has, slots, slots == 1 ? "" : "s", topology->sinks_count,
        topology->sinks_count == 1 ? "" : "s", needs);
}

int sl_memory_print(const struct sl_memory_plan *plan, char *out, size_t bytes)
{
    const double mib = 1048576.0;

    return snprintf(out, bytes,
                    "memory %.1f MiB for %u consumer%s: source queues %.1f, lanes %.1f, batches "
                    "%.1f, tickets and tables %.1f MiB (at least %.1f MiB needed)",
                    (double)plan->total_bytes / mib, plan->consumers,
                    plan->consumers == 1 ? "" : "s", (double)plan->queues_bytes / mib,
                    (double)plan->lanes_bytes / mib, (double)plan->batches_bytes / mib,
                    (double)plan->tables_bytes / mib, (double)plan->need_bytes / mib);
}
