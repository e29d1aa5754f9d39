/* print.c: what an audit found: a table a sink, then each difference, then the verdict; or all of it as one JSON document.
 * SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>

#include "runtime/base/json_out.h"
#include "runtime/cli/audit/audit.h"

static const char *const print_fates[SL_LANDING_FATES] = {"in", "delivered", "filtered", "sampled", "shed", "deferred", "dead"};

/* good | wrong | not proved (the source, or a file, is no longer there) | open (no flush of it) */
static const char *lane_verdict(const struct audit_lane *lane)
{
    if (lane->wrong)
        return "WRONG";
    for (uint32_t t = 0; t < lane->count; t++)
        if (lane->tiles[t].flush->unproved != NULL)
            return "not proved";
    for (uint32_t t = 0; t < lane->count; t++)
        if (lane->tiles[t].flush->expired > 0)
            return "expired in part";
    return lane->count > 0 ? "good" : "empty";
}

static uint64_t lane_said(const struct audit_lane *lane)
{
    uint64_t delivered = 0;

    for (uint32_t t = 0; t < lane->count; t++)
        delivered += lane->tiles[t].flush->entry->ranges[lane->tiles[t].range].delivered;
    return delivered;
}

static int lane_width(const struct audit *audit)
{
    int width = 9;

    for (uint32_t p = 0; p < audit->partitions_count; p++) {
        int bytes = (int)strlen(audit_partition_name(audit->partitions[p]));
        width = bytes > width ? bytes : width;
    }
    return width < 60 ? width : 60;
}

static void print_lane(const struct audit *audit, const struct audit_partition *partition, const struct audit_lane *lane, int width)
{
    FILE *out = audit->cli->out;
    const char *verdict = lane_verdict(lane);
    enum sl_ink ink = lane->wrong ? SL_INK_RED : strcmp(verdict, "good") == 0 ? SL_INK_GREEN : SL_INK_YELLOW;
    char range[64];

    (void)snprintf(range, sizeof(range), "[%" PRIu64 ", %" PRIu64 ")", lane->tiles[0].first, lane->tiles[lane->count - 1].next);
    (void)fprintf(out, "  %-*s %24s %10" PRIu64, width, audit_partition_name(partition), range, lane_said(lane));
    if (strcmp(verdict, "not proved") == 0)
        (void)fprintf(out, " %10s %10s %10s %8s", "-", "-", "-", "-");
    else
        (void)fprintf(out, " %10" PRIu64 " %10" PRIu64 " %10" PRIu64 " %8" PRIu64, lane->fates[SL_LIVE], lane->fates[SL_FILTERED],
                      lane->fates[SL_SAMPLED], lane->fates[SL_DEAD]);
    (void)fprintf(out, "  %s%s%s\n", sl_cli_ink(audit->cli, out, ink), verdict, sl_cli_ink(audit->cli, out, SL_INK_OFF));
}

static void print_sink(const struct audit *audit, uint32_t s, int width)
{
    const struct audit_sink *sink = &audit->sinks[s];
    FILE *out = audit->cli->out;
    char bytes[24];

    (void)fprintf(out, "%s%s: zone %s, %" PRIu64 " manifests, %" PRIu64 " files with %" PRIu64 " %s (%s)", s > 0 ? "\n" : "",
                  sink->name, sink->zone[0] != '\0' ? sink->zone : "(none)", sink->manifests, sink->files, sink->records,
                  sink->dead ? "dead letters" : "records", sl_cli_print_bytes(sink->bytes, bytes));
    if (sink->expired > 0)
        (void)fprintf(out, ", %" PRIu64 " expired", sink->expired);
    if (sink->foreign > 0)
        (void)fprintf(out, ", %" PRIu64 " foreign left alone", sink->foreign);
    (void)fputc('\n', out);
    if (sink->manifests == 0)
        return;
    (void)fprintf(out, "  %-*s %24s %10s %10s %10s %10s %8s  %s\n", width, "partition", "offsets", "delivered", "in", "filtered",
                  "sampled", "dead", "verdict");
    for (uint32_t p = 0; p < audit->partitions_count; p++)
        if (audit->partitions[p]->lanes[s].count > 0)
            print_lane(audit, audit->partitions[p], &audit->partitions[p]->lanes[s], width);
}

static void print_findings(const struct audit *audit, enum audit_severity severity, const char *title)
{
    bool any = false;

    for (uint32_t i = 0; i < audit->findings_count; i++) {
        const struct audit_finding *finding = &audit->findings[i];
        if (finding->severity != severity)
            continue;
        if (!any)
            (void)fprintf(audit->cli->out, "\n%s\n", title);
        any = true;
        (void)fprintf(audit->cli->out, "  %s: %s\n", finding->kind, finding->text != NULL ? finding->text : "(no memory)");
    }
}

static uint32_t unproved_count(const struct audit *audit)
{
    uint32_t count = 0;

    for (uint32_t f = 0; f < audit->flushes_count; f++)
        count += audit->flushes[f]->unproved != NULL || audit->flushes[f]->expired > 0;
    return count;
}

static void print_text(const struct audit *audit)
{
    FILE *out = audit->cli->out;
    int width = lane_width(audit);
    uint32_t unproved = unproved_count(audit);

    for (uint32_t s = 0; s < audit->sinks_count; s++)
        print_sink(audit, s, width);
    print_findings(audit, AUDIT_NOTE, "notes");
    print_findings(audit, AUDIT_ERROR, "differences");
    (void)fprintf(out, "\n%" PRIu64 " records read again\n", audit->replayed);
    if (audit->errors > 0) {
        (void)fprintf(out, "%saudit: %u differences%s\n", sl_cli_ink(audit->cli, out, SL_INK_RED), audit->errors,
                      sl_cli_ink(audit->cli, out, SL_INK_OFF));
        return;
    }
    (void)fprintf(out, "%saudit: good%s", sl_cli_ink(audit->cli, out, SL_INK_GREEN), sl_cli_ink(audit->cli, out, SL_INK_OFF));
    if (unproved > 0)
        (void)fprintf(out, " as far as it can be proved: %u of %u flushes could not be made again from the source", unproved,
                      audit->flushes_count);
    (void)fputc('\n', out);
}

/* ---- JSON ---- */

static void json_lane(struct sl_json_out *json, const struct audit_partition *partition, const struct audit_lane *lane)
{
    sl_json_out_object(json);
    sl_json_out_str_at(json, "source", partition->source);
    sl_json_out_str_at(json, "topic", partition->topic);
    sl_json_out_str_at(json, "partition", partition->id);
    sl_json_out_u64_at(json, "incarnation", partition->incarnation);
    sl_json_out_u64_at(json, "first", lane->tiles[0].first);
    sl_json_out_u64_at(json, "next", lane->tiles[lane->count - 1].next);
    if (lane->marked)
        sl_json_out_u64_at(json, "committed", lane->mark);
    sl_json_out_u64_at(json, "said_delivered", lane_said(lane));
    for (int f = 0; f < SL_LANDING_FATES; f++)
        sl_json_out_u64_at(json, print_fates[f], lane->fates[f]);
    sl_json_out_u64_at(json, "missing", lane->missing);
    sl_json_out_str_at(json, "verdict", lane_verdict(lane));
    sl_json_out_end_object(json);
}

static void json_sink(struct sl_json_out *json, const struct audit *audit, uint32_t s)
{
    const struct audit_sink *sink = &audit->sinks[s];

    sl_json_out_object(json);
    sl_json_out_str_at(json, "name", sink->name);
    sl_json_out_str_at(json, "zone", sink->zone[0] != '\0' ? sink->zone : NULL);
    sl_json_out_u64_at(json, "manifests", sink->manifests);
    sl_json_out_u64_at(json, "files", sink->files);
    sl_json_out_u64_at(json, "records", sink->records);
    sl_json_out_u64_at(json, "bytes", sink->bytes);
    sl_json_out_u64_at(json, "expired", sink->expired);
    sl_json_out_u64_at(json, "foreign", sink->foreign);
    sl_json_out_key(json, "partitions");
    sl_json_out_array(json);
    for (uint32_t p = 0; p < audit->partitions_count; p++)
        if (audit->partitions[p]->lanes[s].count > 0)
            json_lane(json, audit->partitions[p], &audit->partitions[p]->lanes[s]);
    sl_json_out_end_array(json);
    sl_json_out_end_object(json);
}

static void print_json(const struct audit *audit)
{
    struct sl_buf buf = {0};
    struct sl_json_out json;

    sl_json_out_init(&json, &buf);
    sl_json_out_object(&json);
    sl_json_out_str_at(&json, "topology", audit->topology->name);
    sl_json_out_bool_at(&json, "good", audit->errors == 0);
    sl_json_out_u64_at(&json, "differences", audit->errors);
    sl_json_out_u64_at(&json, "flushes", audit->flushes_count);
    sl_json_out_u64_at(&json, "flushes_not_proved", unproved_count(audit));
    sl_json_out_u64_at(&json, "records_read_again", audit->replayed);
    sl_json_out_key(&json, "sinks");
    sl_json_out_array(&json);
    for (uint32_t s = 0; s < audit->sinks_count; s++)
        json_sink(&json, audit, s);
    sl_json_out_end_array(&json);
    sl_json_out_key(&json, "findings");
    sl_json_out_array(&json);
    for (uint32_t i = 0; i < audit->findings_count; i++) {
        sl_json_out_object(&json);
        sl_json_out_bool_at(&json, "difference", audit->findings[i].severity == AUDIT_ERROR);
        sl_json_out_str_at(&json, "kind", audit->findings[i].kind);
        sl_json_out_str_at(&json, "text", audit->findings[i].text);
        sl_json_out_end_object(&json);
    }
    sl_json_out_end_array(&json);
    sl_json_out_end_object(&json);
    (void)fprintf(audit->cli->out, "%s\n", sl_buf_str(&buf));
    sl_buf_fini(&buf);
}

void audit_print(const struct audit *audit)
{
    if (sl_cli_has(audit->cli, "json"))
        print_json(audit);
    else
        print_text(audit);
}
