/* upgrade_take.c: the new process's side of `sluice upgrade`: what is warmed up, and when it can say that it runs.
 *
 * Runs, for each topology: a commit of what it took; or, where nothing comes, that it has its partitions and is there. Where the commit's
 * own rhythm is longer than anyone wants to wait (files are rolled every few minutes), it is asked for. A topology whose sinks were
 * stuck before is held to no more than the old process could do: that it has its partitions, and no slot has failed.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <string.h>

#include "runtime/base/clock.h"
#include "runtime/base/fs.h"
#include "runtime/base/taken.h"
#include "runtime/cli/upgrade.h"
#include "runtime/config/process.h"
#include "runtime/config/topology.h"
#include "runtime/engine/host.h"
#include "runtime/engine/op.h"
#include "runtime/engine/slot.h"
#include "runtime/upgrade/stores.h"
#include "runtime/upgrade/taker.h"

#define TAKE_QUIET_NS (500 * SL_NS_PER_MS) /* nothing came for so long: there is no traffic */
#define TAKE_STUCK_NS (5 * SL_NS_PER_S)

/* The share that the source will have of its slot's memory; where it is another one after all, its opening ahead was for nothing. */
static uint64_t take_share(const struct sl_upgrade_warm *warm, const struct sl_topology *topology)
{
    uint64_t bytes = topology->memory_bytes != 0 ? topology->memory_bytes : warm->process->memory_bytes / warm->count;

    return bytes / topology->consumers * 40 / 100 / topology->sources_count;
}

/* What cannot be opened ahead will be opened later: the reason not to take over is then found, and said, there. */
static void take_ahead(const struct sl_upgrade_warm *warm, const struct sl_topology *topology, const struct sl_component *component)
{
    const struct sl_source_kind *kind = (const struct sl_source_kind *)(const void *)component->head;
    struct sl_api api = {.fs = sl_fs_posix(), .node = warm->process->node, .data_dir = warm->process->data_dir, .topology = topology->name,
                         .component = component->name, .base_dir = topology->base_dir, .slots = topology->consumers,
                         .share_bytes = take_share(warm, topology)};
    struct sl_err ignored;

    for (api.slot = 0; kind->ahead != NULL && api.slot < api.slots; api.slot++)
        (void)kind->ahead(&api, component->config, topology, warm->klog, &ignored);
}

static void take_warm_up(const struct sl_taker *taker, const struct sl_upgrade_warm *warm)
{
    for (uint32_t t = 0; t < warm->count; t++) {
        struct sl_topology *topology = warm->topologies[t];

        if (topology->consumers == 0)
            topology->consumers = sl_taker_slots(taker, topology->name);
        for (uint32_t c = 0; c < topology->components_count && topology->consumers > 0; c++)
            if (topology->components[c].role == SL_SOURCE)
                take_ahead(warm, topology, &topology->components[c]);
    }
}

int sl_upgrade_take(struct sl_taker *taker, const struct sl_upgrade_warm *warm, struct sl_err *err)
{
    if (sl_upgrade_stores(sl_fs_posix(), warm->process->data_dir, err) != 0) {
        sl_taker_refuse(taker, err->text);
        return -(int)err->code;
    }
    take_warm_up(taker, warm);
    return sl_taker_ready(taker, err);
}

/* Assignments that a Kafka source has answered, over all its slots; UINT64_MAX where it has no such counter. */
static uint64_t take_assignments(const struct sl_host_topology *item, uint32_t component)
{
    const struct sl_counter *counters = item->topology->components[component].head->counters;

    for (uint32_t i = 0; counters != NULL && counters[i].name != NULL && component < item->sum.components_count; i++)
        if (strcmp(counters[i].name, "kafka_assignments_total") == 0)
            return item->sum.components[component].counters[i];
    return UINT64_MAX;
}

static bool take_is_there(const struct sl_host_topology *item)
{
    if (item->running < item->slots || item->slots == 0)
        return false;
    for (uint32_t c = 0; c < item->topology->components_count; c++)
        if (item->topology->components[c].role == SL_SOURCE && take_assignments(item, c) < item->slots)
            return false;
    return true;
}

static void take_flush(void *user, struct sl_slot *slot)
{
    (void)user;
    sl_slot_flush(slot);
}

/* there_ns: for how long it has had its partitions. */
static bool take_runs(struct sl_host *host, const struct sl_host_topology *item, uint64_t there_ns)
{
    struct sl_err err;

    if (item->sum.records > 0 && item->sum.commits > 0)
        return true;
    if (item->sum.records > 0 && there_ns < TAKE_STUCK_NS) {
        (void)sl_host_ask(host, item->topology->name, take_flush, NULL, &err);
        return false;
    }
    return there_ns >= (item->sum.records > 0 ? TAKE_STUCK_NS : TAKE_QUIET_NS);
}

int sl_upgrade_runs(struct sl_host *host, uint64_t *inout_there_ns, struct sl_err *err)
{
    uint32_t count = sl_host_topologies_count(host);
    uint64_t now_ns = sl_clock_now_ns();
    struct sl_host_topology *items;
    bool there = true;
    int runs = 1;

    if (sl_host_view(host, &items) != 0)
        return 0;
    for (uint32_t t = 0; t < count; t++)
        there = there && take_is_there(&items[t]);
    if (there && *inout_there_ns == 0)
        *inout_there_ns = now_ns;
    for (uint32_t t = 0; t < count; t++) {
        if (items[t].failed > 0)
            runs = sl_fail(err, SL_E_STOPPED, SL_REMEDY_HALT, 0, "topology %s stopped: %s", items[t].topology->name, items[t].sum.error);
        else if (runs == 1 && (!there || !take_runs(host, &items[t], now_ns - *inout_there_ns)))
            runs = 0;
    }
    sl_host_view_fini(host, items);
    return runs;
}
