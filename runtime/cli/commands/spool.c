/* spool.c: `sluice spool check|repair`: damage of a closed spool, a finding a line; repair cuts it out.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/cli/cli.h"

#include <string.h>

#include "runtime/base/fs.h"
#include "runtime/cli/commands.h"
#include "runtime/cli/spool_dir.h"
#include "runtime/store/spool.h"

struct spool_report {
    struct sl_cli *cli;
    uint32_t findings;
    bool json;
};

static void spool_finding(void *user, const struct sl_spool_finding *finding)
{
    struct spool_report *report = user;
    FILE *out = report->cli->out;

    if (report->json) {
        (void)fputs(report->findings > 0 ? ",{\"topic\":" : "{\"topic\":", out);
        sl_cli_print_json(out, finding->topic);
        (void)fprintf(out, ",\"partition\":%u,\"file\":", finding->partition);
        sl_cli_print_json(out, finding->file);
        (void)fprintf(out, ",\"at\":%llu,\"bytes\":%llu,\"first_offset\":%llu,\"next_offset\":%llu,\"what\":",
                      (unsigned long long)finding->at, (unsigned long long)finding->bytes,
                      (unsigned long long)finding->first_offset, (unsigned long long)finding->next_offset);
        sl_cli_print_json(out, finding->what);
        (void)fputc('}', out);
    } else {
        (void)fprintf(out, "%s: bytes %llu to %llu: %s", finding->file != NULL ? finding->file : finding->topic,
                      (unsigned long long)finding->at, (unsigned long long)(finding->at + finding->bytes), finding->what);
        if (finding->next_offset > finding->first_offset)
            (void)fprintf(out, "; %s partition %u loses offsets %llu to %llu", finding->topic, finding->partition,
                          (unsigned long long)finding->first_offset, (unsigned long long)finding->next_offset - 1);
        (void)fputc('\n', out);
    }
    report->findings++;
}

static void spool_summary(struct spool_report *report, const struct sl_spool_stats *stats, bool repair)
{
    FILE *out = report->cli->out;
    char good[24], damaged[24], torn[24];
    if (report->json) {
        (void)fprintf(out, "],\"repaired\":%s,\"records\":%llu,\"bytes\":%llu,\"segments\":%llu,\"torn_bytes\":%llu,"
                           "\"damaged_bytes\":%llu,\"lost_offsets\":%llu,\"missing_segments\":%llu}\n",
                      repair ? "true" : "false", (unsigned long long)stats->records, (unsigned long long)stats->bytes,
                      (unsigned long long)stats->segments, (unsigned long long)stats->torn_bytes,
                      (unsigned long long)stats->damaged_bytes, (unsigned long long)stats->lost_offsets,
                      (unsigned long long)stats->missing_segments);
        return;
    }
    (void)fprintf(out, "%llu records, %s in %llu segments; torn %s, damaged %s, offsets lost %llu, segments missing %llu\n",
                  (unsigned long long)stats->records, sl_cli_print_bytes(stats->bytes, good),
                  (unsigned long long)stats->segments, sl_cli_print_bytes(stats->torn_bytes, torn),
                  sl_cli_print_bytes(stats->damaged_bytes, damaged), (unsigned long long)stats->lost_offsets,
                  (unsigned long long)stats->missing_segments);
    if (report->findings > 0 && !repair)
        (void)fputs("`sluice spool repair DIR` cuts the damage out; offsets keep their holes.\n", out);
}

int sl_command_spool(struct sl_cli *cli)
{
    struct spool_report report = {.cli = cli, .json = sl_cli_has(cli, "json")};
    bool repair = strcmp(cli->args[0], "repair") == 0;
    struct sl_spool_stats stats = {0};
    struct sl_spool_dir dir;
    struct sl_err err;
    int result;

    if (sl_spool_dir_take(cli->args[1], repair, &dir, &err) != 0)
        return sl_cli_say_err(cli, SL_EXIT_FAILED, &err);
    if (report.json)
        (void)fputs("{\"findings\":[", cli->out);
    result = sl_spool_check(sl_fs_posix(), dir.path, repair, spool_finding, &report, &stats, &err);
    sl_spool_dir_leave(&dir);
    if (result < 0) {
        if (report.json)
            (void)fputs("]}\n", cli->out);
        return sl_cli_say_err(cli, SL_EXIT_FAILED, &err);
    }
    spool_summary(&report, &stats, repair);
    return report.findings > 0 && !repair ? SL_EXIT_FAILED : SL_EXIT_OK;
}
