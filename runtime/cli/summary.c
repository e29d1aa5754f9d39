/* summary.c: what a person reads at the end of a run: what came in and what became of it at each sink; what the samples estimate
 * against what was really there; whether the ledger balances.
 *
 * The interval: weights of independent records, variance sum w(w-1) (Horvitz-Thompson, Poisson sampling); records of one trace
 * are kept together, so for traces of several records it is too narrow, and the line says so. The honest interval over the
 * records themselves uses the 64 groups that `sample` stamps (_g).
 * SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <math.h>

#include "runtime/cli/cli.h"
#include "runtime/cli/pages.h"

struct summary_level {
    double in, estimate, variance;
};

static void summary_sinks(const struct sl_host_topology *item, FILE *out)
{
    (void)fprintf(out, "  %-20s %12s %12s %12s %12s %10s %14s\n", "sink", "in", "delivered", "filtered", "sampled", "dead", "bytes");
    for (uint32_t c = 0; c < item->topology->components_count; c++) {
        struct sl_ledger_row sum;
        if (!sl_pages_is_sink(item, c, &sum))
            continue;
        (void)fprintf(out, "  %-20s %12" PRIu64 " %12" PRIu64 " %12" PRIu64 " %12" PRIu64 " %10" PRIu64 " %14" PRIu64 "%s\n",
                      item->topology->components[c].name, sum.fates[SL_LIVE], sum.fates[SL_DELIVERED], sum.fates[SL_FILTERED],
                      sum.fates[SL_SAMPLED], sum.fates[SL_DEAD], sum.bytes,
                      item->topology->components[c].role == SL_GONE ? "  gone" : "");
    }
}

static void summary_queues(const struct sl_host_topology *item, FILE *out)
{
    for (uint32_t q = 0; q < item->sum.queues_count; q++) {
        const struct sl_slot_queue_status *queue = &item->sum.queues[q];
        const char *name = item->topology->components[queue->component].name;
        if (queue->records > 0)
            (void)fprintf(out, "  queue of %s: %" PRIu64 " records wait for the next start\n", name, queue->records);
        if (queue->lost > 0)
            (void)fprintf(out, "  queue of %s: %" PRIu64 " records were lost\n", name, queue->lost);
        if (queue->dead[0] != '\0')
            (void)fprintf(out, "  sink %s stopped: %s\n", name, queue->dead);
    }
}

static void summary_levels(const struct sl_host_topology *item, uint32_t sink, struct summary_level *levels)
{
    for (uint32_t i = 0; i < item->sum.ledger.rows_cap; i++) {
        const struct sl_ledger_row *row = &item->sum.ledger.rows[i];
        if (row->sink == 0 || row->sink - 1 != sink)
            continue;
        levels[row->level].in += (double)(row->fates[SL_DELIVERED] + row->fates[SL_SAMPLED]);
        levels[row->level].estimate += row->weight;
        levels[row->level].variance += row->weight_square;
    }
}

/* For each sink that got a sample: the weights of what it got, against what reached the sampler. */
static void summary_estimates(const struct sl_host_topology *item, FILE *out)
{
    for (uint32_t c = 0; c < item->topology->components_count; c++) {
        struct summary_level levels[SL_LEVELS] = {{0, 0, 0}};
        struct sl_ledger_row sum;
        if (!sl_pages_is_sink(item, c, &sum) || sum.fates[SL_SAMPLED] == 0)
            continue;
        summary_levels(item, c, levels);
        (void)fprintf(out, "  %s: estimated against true counts by level\n", item->topology->components[c].name);
        (void)fprintf(out, "    %-8s %12s %12s %9s   %s\n", "level", "true", "estimated", "off by",
                      "standard error (single records; wider for whole traces)");
        for (uint8_t l = 0; l < SL_LEVELS; l++) {
            double off = levels[l].in > 0 ? (levels[l].estimate - levels[l].in) / levels[l].in * 100 : 0;
            if (levels[l].in > 0)
                (void)fprintf(out, "    %-8s %12.0f %12.0f %+8.2f%%   +-%.0f\n", sl_level_text(l), levels[l].in,
                              levels[l].estimate, off, sqrt(levels[l].variance));
        }
    }
}

static uint32_t summary_held(const struct sl_host_topology *item, FILE *out)
{
    uint32_t held = 0;

    for (uint32_t p = 0; p < item->sum.partitions_count; p++) {
        const struct sl_slot_partition_status *partition = &item->sum.partitions[p];
        if (partition->held[0] == '\0')
            continue;
        held++;
        (void)fprintf(out, "  held: %s %s: %s\n", partition->topic, partition->id, partition->held);
    }
    return held;
}

bool sl_pages_summary(struct sl_host *host, const struct sl_cli *cli, FILE *out, uint64_t elapsed_ns)
{
    struct sl_host_topology *items;
    bool fine = true;

    if (sl_host_view(host, &items) != 0)
        return false;
    for (uint32_t t = 0; t < sl_host_topologies_count(host); t++) {
        const struct sl_host_topology *item = &items[t];
        bool balanced = sl_pages_balanced(&item->sum.ledger);
        double seconds = (double)elapsed_ns / 1e9;
        (void)fprintf(out, "%s%s%s: %" PRIu64 " records, %.1f MiB in %.1f s (%.0f records/s), %" PRIu64 " commits\n",
                      sl_cli_ink(cli, out, SL_INK_BOLD), item->topology->name, sl_cli_ink(cli, out, SL_INK_OFF),
                      item->sum.records, (double)item->sum.bytes / 1048576, seconds, (double)item->sum.records / seconds,
                      item->sum.commits);
        summary_sinks(item, out);
        summary_queues(item, out);
        summary_estimates(item, out);
        if (item->sum.gap_offsets > 0)
            (void)fprintf(out, "  gaps: %" PRIu64 " offsets could no longer be had\n", item->sum.gap_offsets);
        fine = summary_held(item, out) == 0 && fine;
        if (item->failed > 0)
            (void)fprintf(out, "  stopped: %s\n", item->sum.error);
        (void)fprintf(out, "  ledger %s%s%s\n", sl_cli_ink(cli, out, balanced ? SL_INK_GREEN : SL_INK_RED),
                      balanced ? "balanced" : "DOES NOT BALANCE", sl_cli_ink(cli, out, SL_INK_OFF));
        fine = fine && balanced && item->failed == 0;
    }
    sl_host_view_fini(host, items);
    return fine;
}
