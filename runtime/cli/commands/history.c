/* history.c: `sluice history`: a topology's generations, newest first: since when each is what it is, by whom, what it did.
 * SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "runtime/cli/answer.h"
#include "runtime/cli/ask.h"
#include "runtime/cli/cli.h"
#include "runtime/cli/commands.h"

enum { HISTORY_COLUMNS = 7, HISTORY_ROWS = 64 };

static const char *const history_heads[HISTORY_COLUMNS] = {"generation", "state", "since", "by", "digest", "what it did", "reason"};

struct history_row {
    char cells[HISTORY_COLUMNS][320];
};

/* Since when it is in this state. */
static int64_t history_since(const struct sl_yaml *generation, const char *state)
{
    int64_t deployed = sl_answer_i64(generation, "deployed_unix_ms"), live = sl_answer_i64(generation, "live_unix_ms");
    int64_t ended = sl_answer_i64(generation, "ended_unix_ms");
    bool past = strcmp(state, "previous") == 0 || strcmp(state, "retired") == 0 || strcmp(state, "failed") == 0;

    if (past && ended > 0)
        return ended;
    return live > 0 ? live : deployed;
}

/* "1200/s -> 1180/s", of one count before and after it went live; nothing where it was not measured. */
static size_t history_rate(const struct sl_yaml *generation, const char *key, const char *name, char *to, size_t bytes)
{
    const struct sl_yaml *before = sl_answer_map(generation, "before"), *after = sl_answer_map(generation, "after");

    if (sl_answer_text(before, key) == NULL || sl_answer_text(after, key) == NULL)
        return 0;
    return (size_t)snprintf(to, bytes, "%s %.4g/s -> %.4g/s", name, sl_answer_f64(before, key), sl_answer_f64(after, key));
}

static void history_did(const struct sl_yaml *generation, char *to, size_t bytes)
{
    static const char *const rates[][2] = {{"records_per_s", "records"}, {"dead_per_s", ", dead"}, {"errors_per_s", ", errors"}};
    int64_t crashes = sl_answer_i64(generation, "crashes");
    size_t used = 0;

    to[0] = '\0';
    for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]) && used < bytes; i++)
        used += history_rate(generation, rates[i][0], rates[i][1], to + used, bytes - used);
    if (crashes > 0 && used < bytes)
        (void)snprintf(to + used, bytes - used, "%scrashed %" PRId64 " time%s", used > 0 ? ", " : "", crashes, crashes == 1 ? "" : "s");
}

static const char *history_text(const struct sl_yaml *generation, const char *key)
{
    const char *text = sl_answer_text(generation, key);

    return text != NULL ? text : "";
}

static void history_fill(const struct sl_yaml *generation, struct history_row *row)
{
    const char *state = history_text(generation, "state"), *reason = history_text(generation, "reason");
    time_t since = (time_t)(history_since(generation, state) / 1000);
    struct tm parts;
    size_t bytes = sizeof(row->cells[0]);
    char shown[64];

    (void)snprintf(row->cells[0], bytes, "%s", history_text(generation, "generation"));
    (void)snprintf(row->cells[1], bytes, "%s", sl_ask_state(generation, shown));
    (void)strftime(row->cells[2], bytes, "%Y-%m-%d %H:%M:%SZ", gmtime_r(&since, &parts));
    (void)snprintf(row->cells[3], bytes, "%s", history_text(generation, "who"));
    (void)snprintf(row->cells[4], bytes, "%.8s", history_text(generation, "digest"));
    history_did(generation, row->cells[5], bytes);
    (void)snprintf(row->cells[6], bytes, "%s", reason[0] != '\0' ? reason : history_text(generation, "verdict"));
}

static void history_line(struct sl_cli *cli, const struct history_row *row, const int *widths, enum sl_ink ink)
{
    (void)fputs(sl_cli_ink(cli, cli->out, ink), cli->out);
    for (int c = 0; c < HISTORY_COLUMNS; c++)
        (void)fprintf(cli->out, c == 0 ? "%*s" : c == HISTORY_COLUMNS - 1 ? "  %.*s" : "  %-*s",
                      c == HISTORY_COLUMNS - 1 ? (int)strlen(row->cells[c]) : widths[c], row->cells[c]);
    (void)fprintf(cli->out, "%s\n", sl_cli_ink(cli, cli->out, SL_INK_OFF));
}

static void history_table(struct sl_cli *cli, const struct sl_yaml *generations)
{
    static struct history_row rows[HISTORY_ROWS + 1]; /* with the heads; a generation list is at most 32 long */
    uint32_t count = generations->count < HISTORY_ROWS ? generations->count : HISTORY_ROWS;
    int widths[HISTORY_COLUMNS] = {0};

    for (int c = 0; c < HISTORY_COLUMNS; c++)
        (void)snprintf(rows[0].cells[c], sizeof(rows[0].cells[c]), "%s", history_heads[c]);
    for (uint32_t i = 0; i < count; i++)
        history_fill(generations->items[i].value, &rows[i + 1]);
    for (uint32_t i = 0; i <= count; i++)
        for (int c = 0; c < HISTORY_COLUMNS; c++)
            widths[c] = (int)strlen(rows[i].cells[c]) > widths[c] ? (int)strlen(rows[i].cells[c]) : widths[c];
    for (uint32_t i = 0; i <= count; i++) {
        const char *state = rows[i].cells[1];
        history_line(cli, &rows[i], widths,
                     i == 0 ? SL_INK_DIM : strcmp(state, "live") == 0 ? SL_INK_GREEN : strcmp(state, "failed") == 0 ? SL_INK_RED : SL_INK_OFF);
    }
}

int sl_command_history(struct sl_cli *cli)
{
    struct sl_client_reply reply;
    struct sl_answer answer;
    const struct sl_yaml *generations;
    struct sl_ask ask;
    int status;

    sl_ask_init(&ask, cli, 0);
    status = sl_ask_reply(&ask, "history", &reply);
    if (status != SL_EXIT_OK)
        return status;
    sl_answer_read(&answer, reply.body, reply.bytes);
    generations = sl_answer_list(answer.root, "generations");
    if (sl_cli_has(cli, "json") || generations == NULL)
        sl_ask_print(cli, &reply);
    else
        history_table(cli, generations);
    sl_answer_fini(&answer);
    sl_client_reply_fini(&reply);
    return SL_EXIT_OK;
}
