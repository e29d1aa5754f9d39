/* running.c: the engine of a running process, as a deployer's table.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "runtime/deploy/engine.h"

static int running_counts(struct sl_host *host, const char *topology, struct sl_deploy_counts *ret_counts)
{
    struct sl_host_topology *items;
    int status = -1;

    if (sl_host_view(host, &items) != 0)
        return -1;
    for (uint32_t t = 0; t < sl_host_topologies_count(host); t++) {
        const struct sl_slot_status *sum = &items[t].sum;
        struct sl_ledger_row row;
        if (strcmp(sl_host_name_at(host, t), topology) != 0)
            continue;
        sl_ledger_sum(&sum->ledger, UINT32_MAX, &row);
        *ret_counts = (struct sl_deploy_counts){sum->records, row.fates[SL_DEAD], sum->commit_failures + sum->rewinds};
        status = 0;
    }
    sl_host_view_fini(host, items);
    return status;
}

static const struct sl_deploy_engine running = {
    .prepare = sl_host_prepare,
    .promote = sl_host_promote,
    .discard = sl_host_discard,
    .number = sl_host_number,
    .shadow = sl_host_shadow,
    .canary = sl_host_canary,
    .sides = sl_host_sides,
    .differences = sl_host_differences,
    .pause = sl_host_pause,
    .drain = sl_host_drain_topology,
    .fault = sl_host_fault,
    .fallback = sl_host_fallback,
    .settle = sl_host_settled,
    .counts = running_counts,
};

const struct sl_deploy_engine *sl_deploy_engine(void)
{
    return &running;
}
