/* pages.c: status as JSON, metrics as Prometheus text: both from one view of the host.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/cli/pages.h"

#include <unistd.h>

#include "runtime/base/clock.h"
#include "runtime/base/intern.h"
#include "runtime/base/json_out.h"
#include "runtime/control/metrics.h"

#define PAGES_STUCK_NS (5ull * SL_NS_PER_S) /* a slot that gave no news for so long is called stuck */

static const char *const pages_fates[SL_FATES] = {"in", "delivered", "filtered", "sampled", "shed", "deferred", "dead"};

const char *sl_level_text(uint8_t level)
{
    static const char *const names[SL_LEVELS] = {"none", "trace", "debug", "info", "warn", "error", "fatal"};
    return level < SL_LEVELS ? names[level] : "none";
}

bool sl_pages_balanced(const struct sl_ledger *ledger)
{
    for (uint32_t i = 0; i < ledger->rows_cap; i++) {
        const struct sl_ledger_row *row = &ledger->rows[i];
        uint64_t sum = 0;
        for (int fate = SL_DELIVERED; fate < SL_FATES; fate++)
            sum += row->fates[fate];
        if (row->sink != 0 && sum != row->fates[SL_LIVE] + row->returned)
            return false;
    }
    return true;
}

static const char *pages_state(const struct sl_host_topology *item, bool paused)
{
    if (item->failed > 0)
        return "failed";
    if (item->running > 0 && item->age_ns > PAGES_STUCK_NS)
        return "stuck";
    if (item->sum.state == SL_SLOT_DRAINING)
        return "draining";
    if (paused && item->running > 0)
        return "paused";
    return item->running > 0 ? "live" : "ended";
}

/* The queue of a sink with when_full: spool, or NULL. */
static const struct sl_slot_queue_status *pages_queue_of(const struct sl_host_topology *item, uint32_t component)
{
    for (uint32_t q = 0; q < item->sum.queues_count; q++)
        if (item->sum.queues[q].component == component)
            return &item->sum.queues[q];
    return NULL;
}

bool sl_pages_is_sink(const struct sl_host_topology *item, uint32_t component, struct sl_ledger_row *ret_sum)
{
    const struct sl_component *at = &item->topology->components[component];
    uint64_t told = 0;

    sl_ledger_sum(&item->sum.ledger, component, ret_sum);
    for (int fate = SL_LIVE; fate < SL_FATES; fate++)
        told += ret_sum->fates[fate];
    return at->role == SL_SINK || (at->role == SL_GONE && at->gone_role == SL_SINK && told > 0);
}

/* A table of its own, where there are any. */
static void pages_queues(struct sl_json_out *out, const struct sl_host_topology *item)
{
    if (item->sum.queues_count == 0)
        return;
    sl_json_out_key(out, "queues");
    sl_json_out_array(out);
    for (uint32_t q = 0; q < item->sum.queues_count; q++) {
        const struct sl_slot_queue_status *queue = &item->sum.queues[q];
        sl_json_out_object(out);
        sl_json_out_str_at(out, "sink", item->topology->components[queue->component].name);
        sl_json_out_u64_at(out, "records", queue->records);
        sl_json_out_u64_at(out, "bytes", queue->bytes);
        sl_json_out_f64_at(out, "oldest_seconds", (double)queue->oldest_ms / 1000.0);
        sl_json_out_u64_at(out, "lost", queue->lost);
        sl_json_out_str_at(out, "stopped", queue->dead);
        sl_json_out_end_object(out);
    }
    sl_json_out_end_array(out);
}

static void pages_sinks(struct sl_json_out *out, const struct sl_host_topology *item)
{
    sl_json_out_key(out, "sinks");
    sl_json_out_array(out);
    for (uint32_t c = 0; c < item->topology->components_count; c++) {
        const struct sl_component *component = &item->topology->components[c];
        struct sl_ledger_row sum;
        if (!sl_pages_is_sink(item, c, &sum))
            continue;
        sl_json_out_object(out);
        sl_json_out_str_at(out, "sink", component->name);
        sl_json_out_str_at(out, "type", component->role == SL_GONE ? "gone" : component->type);
        for (int fate = SL_LIVE; fate < SL_FATES; fate++)
            sl_json_out_u64_at(out, pages_fates[fate], sum.fates[fate]);
        sl_json_out_u64_at(out, "bytes", sum.bytes);
        sl_json_out_f64_at(out, "weight", sum.weight);
        sl_json_out_u64_at(out, "returned", sum.returned);
        sl_json_out_end_object(out);
    }
    sl_json_out_end_array(out);
}

static void pages_partitions(struct sl_json_out *out, const struct sl_slot_status *sum, const char *key, bool held_only)
{
    sl_json_out_key(out, key);
    sl_json_out_array(out);
    for (uint32_t p = 0; p < sum->partitions_count; p++) {
        const struct sl_slot_partition_status *partition = &sum->partitions[p];
        if (held_only && partition->held[0] == '\0')
            continue;
        sl_json_out_object(out);
        sl_json_out_str_at(out, "source", partition->source);
        sl_json_out_str_at(out, "topic", partition->topic);
        sl_json_out_str_at(out, "partition", partition->id);
        sl_json_out_u64_at(out, "next", partition->next);
        sl_json_out_u64_at(out, "committed", partition->committed);
        if (partition->held[0] != '\0')
            sl_json_out_str_at(out, "held", partition->held);
        sl_json_out_end_object(out);
    }
    sl_json_out_end_array(out);
}

static void pages_topology(struct sl_json_out *out, const struct sl_host_topology *item, const struct sl_answer *generations)
{
    const struct sl_slot_status *sum = &item->sum;

    sl_json_out_object(out);
    sl_json_out_str_at(out, "name", item->topology->name);
    sl_json_out_str_at(out, "state", pages_state(item, sl_pages_generations_paused(generations, item->topology->name)));
    sl_pages_generations_write(out, generations, item->topology->name);
    if (sum->error[0] != '\0')
        sl_json_out_str_at(out, "reason", sum->error);
    if (item->topology->commit_mode == SL_COMMIT_OFFSETS)
        sl_json_out_str_at(out, "delivery", "at least once (commit.mode: offsets)");
    if (item->waits_for[0] != '\0')
        sl_json_out_str_at(out, "waits_for", item->waits_for);
    sl_json_out_u64_at(out, "slots", item->slots);
    sl_json_out_u64_at(out, "records", sum->records);
    sl_json_out_u64_at(out, "bytes", sum->bytes);
    sl_json_out_u64_at(out, "commits", sum->commits);
    sl_json_out_u64_at(out, "commit_failures", sum->commit_failures);
    sl_json_out_u64_at(out, "rewinds", sum->rewinds);
    sl_json_out_u64_at(out, "maybe_duplicated", sum->maybe_duplicated);
    sl_json_out_u64_at(out, "gap_offsets", sum->gap_offsets);
    sl_json_out_i64_at(out, "lag_records", sum->lag_records);
    sl_json_out_i64_at(out, "lag_ms", sum->lag_ms);
    sl_json_out_bool_at(out, "balanced", sl_pages_balanced(&sum->ledger));
    pages_sinks(out, item);
    pages_queues(out, item);
    pages_partitions(out, sum, "sources", false);
    pages_partitions(out, sum, "held", true);
    sl_json_out_end_object(out);
}

static void pages_spool(struct sl_json_out *out, struct sl_host *host)
{
    struct sl_spool_stats stats = {0};

    sl_host_spool_stats(host, &stats);
    sl_json_out_key(out, "spool");
    sl_json_out_object(out);
    sl_json_out_u64_at(out, "records", stats.records);
    sl_json_out_u64_at(out, "bytes", stats.bytes);
    sl_json_out_u64_at(out, "segments", stats.segments);
    sl_json_out_u64_at(out, "torn_bytes", stats.torn_bytes);
    sl_json_out_u64_at(out, "damaged_bytes", stats.damaged_bytes);
    sl_json_out_u64_at(out, "damaged_stretches", stats.damaged_stretches);
    sl_json_out_u64_at(out, "lost_offsets", stats.lost_offsets);
    sl_json_out_u64_at(out, "missing_segments", stats.missing_segments);
    sl_json_out_u64_at(out, "fsync_failures", stats.fsync_failures);
    sl_json_out_u64_at(out, "refused_appends", stats.refused_appends);
    sl_json_out_end_object(out);
}

int sl_pages_status(struct sl_host *host, const struct sl_process_config *process, struct sl_deployer *deployer, uint64_t started_ns,
                    struct sl_buf *json)
{
    struct sl_host_topology *items;
    struct sl_answer generations;
    struct sl_json_out out;

    if (sl_host_view(host, &items) != 0)
        return -1;
    sl_json_out_init(&out, json);
    sl_json_out_object(&out);
    sl_json_out_str_at(&out, "version", SLUICE_VERSION);
    sl_json_out_str_at(&out, "node", process->node);
    sl_json_out_u64_at(&out, "pid", (uint64_t)getpid());
    sl_json_out_u64_at(&out, "epoch", sl_host_epoch(host));
    sl_json_out_u64_at(&out, "uptime_s", (sl_clock_now_ns() - started_ns) / SL_NS_PER_S);
    sl_json_out_u64_at(&out, "memory_bytes", process->memory_bytes);
    pages_spool(&out, host);
    sl_pages_generations_read(deployer, &generations);
    sl_json_out_key(&out, "topologies");
    sl_json_out_array(&out);
    for (uint32_t t = 0; t < sl_host_topologies_count(host); t++)
        pages_topology(&out, &items[t], &generations);
    sl_json_out_end_array(&out);
    sl_answer_fini(&generations);
    sl_json_out_end_object(&out);
    sl_host_view_fini(host, items);
    return sl_buf_failed(json) ? -1 : 0;
}

/* ---- metrics ---- */

enum { ROW_RECORDS, ROW_BYTES, ROW_READ, ROW_COMMITS, ROW_FAILURES, ROW_REWINDS, ROW_MAYBE_DUPLICATED, ROW_GAPS, ROW_LAG_RECORDS, ROW_LAG_SECONDS,
       ROW_HELD, ROW_UP, ROW_QUEUE_RECORDS, ROW_QUEUE_BYTES, ROW_QUEUE_OLDEST, ROW_QUEUE_LOST, ROW_REQUEST_SECONDS, ROW_SPOOL_BYTES, ROW_SPOOL_DAMAGED, ROW_SPOOL_REFUSED, ROW_GENERATION, ROW_UPTIME };

static const struct sl_metric_row pages_rows[] = {
    [ROW_RECORDS] = {"sluice_records_total", SL_METRIC_COUNTER, "Records by what became of them at a sink.",
                     {"topology", "sink", "class", "fate"}},
    [ROW_BYTES] = {"sluice_delivered_bytes_total", SL_METRIC_COUNTER, "Bytes of delivered records.", {"topology", "sink"}},
    [ROW_READ] = {"sluice_read_records_total", SL_METRIC_COUNTER, "Records taken from the sources, those read again included.",
                  {"topology"}},
    [ROW_COMMITS] = {"sluice_commits_total", SL_METRIC_COUNTER, "Commits that happened.", {"topology"}},
    [ROW_FAILURES] = {"sluice_commit_failures_total", SL_METRIC_COUNTER, "Commits that failed and were undone.", {"topology"}},
    [ROW_REWINDS] = {"sluice_rewinds_total", SL_METRIC_COUNTER, "Times that a sink was given records again from its mark.",
                     {"topology"}},
    [ROW_MAYBE_DUPLICATED] = {"sluice_maybe_duplicated_total", SL_METRIC_COUNTER,
                              "Records sent again to a sink without ids, because its earlier version did not answer for them after a swap.",
                              {"topology"}},
    [ROW_GAPS] = {"sluice_gap_offsets_total", SL_METRIC_COUNTER, "Offsets that could no longer be had (retention, damage).",
                  {"topology"}},
    [ROW_LAG_RECORDS] = {"sluice_lag_records", SL_METRIC_GAUGE, "Records behind the ends of the sources.", {"topology"}},
    [ROW_LAG_SECONDS] = {"sluice_lag_seconds", SL_METRIC_GAUGE, "Age of the oldest record not yet read.", {"topology"}},
    [ROW_HELD] = {"sluice_held_partitions", SL_METRIC_GAUGE, "Partitions that wait for a person.", {"topology"}},
    [ROW_UP] = {"sluice_topology_up", SL_METRIC_GAUGE, "1 while every slot of the topology runs, else 0.", {"topology"}},
    [ROW_QUEUE_RECORDS] = {"sluice_sink_queue_records", SL_METRIC_GAUGE, "Records that wait in the queue of a sink with when_full: spool.",
                           {"topology", "sink"}},
    [ROW_QUEUE_BYTES] = {"sluice_sink_queue_bytes", SL_METRIC_GAUGE, "Bytes of that queue on disk.", {"topology", "sink"}},
    [ROW_QUEUE_OLDEST] = {"sluice_sink_queue_oldest_seconds", SL_METRIC_GAUGE, "How long its oldest record has waited.",
                          {"topology", "sink"}},
    [ROW_QUEUE_LOST] = {"sluice_sink_queue_lost_total", SL_METRIC_COUNTER,
                        "Records lost to a sink: its queue was full or too old (then: lose), or damaged on disk.", {"topology", "sink"}},
    [ROW_REQUEST_SECONDS] = {"sluice_sink_request_seconds", SL_METRIC_HISTOGRAM,
                             "How long the requests of a sink took until they were answered.", {"topology", "sink"}},
    [ROW_SPOOL_BYTES] = {"sluice_spool_bytes", SL_METRIC_GAUGE, "Bytes of the spool on disk.", {NULL}},
    [ROW_SPOOL_DAMAGED] = {"sluice_spool_damaged_bytes", SL_METRIC_GAUGE, "Bytes of the spool that were skipped as damaged.", {NULL}},
    [ROW_SPOOL_REFUSED] = {"sluice_spool_refused_appends_total", SL_METRIC_COUNTER, "Appends refused because the spool was full.",
                           {NULL}},
    [ROW_GENERATION] = {"sluice_generation_info", SL_METRIC_GAUGE, "1 for the live generation of a topology and for the one that is being deployed.",
                        {"topology", "generation", "state"}},
    [ROW_UPTIME] = {"sluice_uptime_seconds", SL_METRIC_GAUGE, "Seconds since the process started.", {NULL}},
    {NULL, SL_METRIC_GAUGE, NULL, {NULL}},
};

const struct sl_metric_row *sl_pages_metric_rows(void)
{
    return pages_rows;
}

static void pages_metric_records(struct sl_metrics *metrics, const struct sl_host_topology *item)
{
    for (uint32_t c = 0; c < item->topology->components_count; c++) {
        struct sl_ledger_row sum;
        if (!sl_pages_is_sink(item, c, &sum))
            continue;
        for (int fate = SL_LIVE; fate < SL_FATES; fate++) {
            const char *values[] = {item->topology->name, item->topology->components[c].name, "0", pages_fates[fate]};
            sl_metrics_u64(metrics, &pages_rows[ROW_RECORDS], values, sum.fates[fate]);
        }
        if (pages_queue_of(item, c) != NULL) {
            const char *values[] = {item->topology->name, item->topology->components[c].name, "0", "returned"};
            sl_metrics_u64(metrics, &pages_rows[ROW_RECORDS], values, sum.returned);
        }
    }
}

static void pages_metric_bytes(struct sl_metrics *metrics, const struct sl_host_topology *item)
{
    for (uint32_t c = 0; c < item->topology->components_count; c++) {
        const char *values[] = {item->topology->name, item->topology->components[c].name};
        struct sl_ledger_row sum;
        if (!sl_pages_is_sink(item, c, &sum))
            continue;
        sl_metrics_u64(metrics, &pages_rows[ROW_BYTES], values, sum.bytes);
    }
}

static double pages_queue_value(const struct sl_slot_queue_status *queue, int row)
{
    switch (row) {
    case ROW_QUEUE_RECORDS:
        return (double)queue->records;
    case ROW_QUEUE_BYTES:
        return (double)queue->bytes;
    case ROW_QUEUE_OLDEST:
        return (double)queue->oldest_ms / 1000.0;
    default:
        return (double)queue->lost;
    }
}

static void pages_metric_queues(struct sl_metrics *metrics, const struct sl_host_topology *items, uint32_t count)
{
    for (int row = ROW_QUEUE_RECORDS; row <= ROW_QUEUE_LOST; row++) {
        sl_metrics_family(metrics, &pages_rows[row]);
        for (uint32_t t = 0; t < count; t++)
            for (uint32_t q = 0; q < items[t].sum.queues_count; q++) {
                const struct sl_slot_queue_status *queue = &items[t].sum.queues[q];
                const char *values[] = {items[t].topology->name, items[t].topology->components[queue->component].name};
                sl_metrics_f64(metrics, &pages_rows[row], values, pages_queue_value(queue, row));
            }
    }
}

static double pages_value(const struct sl_host_topology *item, int row)
{
    const struct sl_slot_status *sum = &item->sum;
    uint32_t held = 0;

    switch (row) {
    case ROW_READ:
        return (double)sum->records;
    case ROW_COMMITS:
        return (double)sum->commits;
    case ROW_FAILURES:
        return (double)sum->commit_failures;
    case ROW_REWINDS:
        return (double)sum->rewinds;
    case ROW_MAYBE_DUPLICATED:
        return (double)sum->maybe_duplicated;
    case ROW_GAPS:
        return (double)sum->gap_offsets;
    case ROW_LAG_RECORDS:
        return (double)(sum->lag_records < 0 ? 0 : sum->lag_records);
    case ROW_LAG_SECONDS:
        return sum->lag_ms < 0 ? 0 : (double)sum->lag_ms / 1000;
    case ROW_UP:
        return item->failed == 0 && item->running == item->slots && item->age_ns <= PAGES_STUCK_NS;
    default:
        for (uint32_t p = 0; p < sum->partitions_count; p++)
            held += sum->partitions[p].held[0] != '\0';
        return held;
    }
}

static void pages_metric_process(struct sl_metrics *metrics, struct sl_host *host, uint64_t started_ns)
{
    struct sl_spool_stats stats = {0};

    sl_host_spool_stats(host, &stats);
    sl_metrics_family(metrics, &pages_rows[ROW_SPOOL_BYTES]);
    sl_metrics_u64(metrics, &pages_rows[ROW_SPOOL_BYTES], NULL, stats.bytes);
    sl_metrics_family(metrics, &pages_rows[ROW_SPOOL_DAMAGED]);
    sl_metrics_u64(metrics, &pages_rows[ROW_SPOOL_DAMAGED], NULL, stats.damaged_bytes + stats.torn_bytes);
    sl_metrics_family(metrics, &pages_rows[ROW_SPOOL_REFUSED]);
    sl_metrics_u64(metrics, &pages_rows[ROW_SPOOL_REFUSED], NULL, stats.refused_appends);
    sl_metrics_family(metrics, &pages_rows[ROW_UPTIME]);
    sl_metrics_f64(metrics, &pages_rows[ROW_UPTIME], NULL, (double)(sl_clock_now_ns() - started_ns) / 1e9);
}

int sl_pages_metrics(struct sl_host *host, struct sl_deployer *deployer, uint64_t started_ns, struct sl_buf *text)
{
    struct sl_answer generations;
    struct sl_metrics metrics = {.buf = text};
    struct sl_host_topology *items;
    uint32_t count = sl_host_topologies_count(host);

    if (sl_host_view(host, &items) != 0)
        return -1;
    sl_metrics_family(&metrics, &pages_rows[ROW_RECORDS]);
    for (uint32_t t = 0; t < count; t++)
        pages_metric_records(&metrics, &items[t]);
    sl_metrics_family(&metrics, &pages_rows[ROW_BYTES]);
    for (uint32_t t = 0; t < count; t++)
        pages_metric_bytes(&metrics, &items[t]);
    for (int row = ROW_READ; row <= ROW_UP; row++) {
        sl_metrics_family(&metrics, &pages_rows[row]);
        for (uint32_t t = 0; t < count; t++) {
            const char *values[] = {items[t].topology->name};
            sl_metrics_f64(&metrics, &pages_rows[row], values, pages_value(&items[t], row));
        }
    }
    pages_metric_queues(&metrics, items, count);
    sl_pages_metric_components(&metrics, items, count, &pages_rows[ROW_REQUEST_SECONDS]);
    sl_pages_generations_read(deployer, &generations);
    sl_pages_generations_metric(&metrics, &pages_rows[ROW_GENERATION], &generations);
    sl_answer_fini(&generations);
    pages_metric_process(&metrics, host, started_ns);
    sl_host_view_fini(host, items);
    return sl_buf_failed(text) ? -1 : 0;
}
