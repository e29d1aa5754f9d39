/* status.c: `sluice status`: asks the running server for /status and prints it as tables.
 *
 * The server's document: { version, node, pid, uptime_s, memory_bytes, topologies: [ { name, state, reason, lag_records, lag_ms,
 * live: {...}, candidate: {...}, sources: [ {...} ], sinks: [ {...} ], held: [ {...} ] } ] }. A list of objects becomes a table whose
 * columns are the first object's keys, so that what a server adds is shown without a change here. live and candidate are sentences.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/cli/cli.h"

#include <limits.h>
#include <string.h>
#include <time.h>

#include "runtime/cli/answer.h"
#include "runtime/cli/ask.h"
#include "runtime/cli/commands.h"

static int status_width(const char *text)
{
    return (int)(strlen(text) < 60 ? strlen(text) : 60);
}

static const char *status_cell(const struct sl_yaml *row, const char *key)
{
    const struct sl_yaml_item *item = row->kind == SL_YAML_MAP ? sl_yaml_find(row, key) : NULL;
    if (item == NULL || item->value->kind != SL_YAML_SCALAR || sl_yaml_is_null(item->value))
        return "-";
    return item->value->text;
}

static bool status_is_number(const char *text)
{
    return text[strspn(text, "0123456789.-")] == '\0';
}

static void status_print_row(FILE *out, const struct sl_yaml *table, const struct sl_yaml *row)
{
    const struct sl_yaml *first = table->items[0].value;
    (void)fputs("    ", out);
    for (uint32_t i = 0; i < first->count; i++) {
        const char *key = first->items[i].key, *text = row != NULL ? status_cell(row, key) : key;
        bool number = status_is_number(status_cell(first, key));
        int width = status_width(key);
        if (first->items[i].value->kind != SL_YAML_SCALAR)
            continue;
        for (uint32_t j = 0; j < table->count; j++) {
            int cell = status_width(status_cell(table->items[j].value, key));
            width = cell > width ? cell : width;
        }
        (void)fprintf(out, number ? "%*s  " : "%-*s  ", width, text);
    }
    (void)fputc('\n', out);
}

static void status_print_table(const struct sl_cli *cli, const char *name, const struct sl_yaml *table)
{
    (void)fprintf(cli->out, "  %s%s%s\n", sl_cli_ink(cli, cli->out, SL_INK_BOLD), name, sl_cli_ink(cli, cli->out, SL_INK_OFF));
    (void)fputs(sl_cli_ink(cli, cli->out, SL_INK_DIM), cli->out);
    status_print_row(cli->out, table, NULL);
    (void)fputs(sl_cli_ink(cli, cli->out, SL_INK_OFF), cli->out);
    for (uint32_t i = 0; i < table->count; i++)
        status_print_row(cli->out, table, table->items[i].value);
}

static bool status_is_table(const struct sl_yaml *node)
{
    return node->kind == SL_YAML_LIST && node->count > 0 && node->items[0].value->kind == SL_YAML_MAP;
}

/* Scalars of a mapping in one line, but for the one that heads it. */
static void status_print_scalars(FILE *out, const struct sl_yaml *map, const char *but)
{
    for (uint32_t i = 0; i < map->count; i++) {
        const struct sl_yaml_item *item = &map->items[i];
        if (item->value->kind == SL_YAML_SCALAR && strcmp(item->key, but) != 0 && !sl_yaml_is_null(item->value))
            (void)fprintf(out, "  %s %s", item->key, item->value->text);
    }
    (void)fputc('\n', out);
}

static void status_print_live(const struct sl_cli *cli, const struct sl_yaml *live)
{
    const char *by = sl_answer_text(live, "by"), *digest = sl_answer_text(live, "digest");
    time_t since = (time_t)(sl_answer_i64(live, "since_unix_ms") / 1000);
    struct tm parts;
    char when[32];

    (void)fprintf(cli->out, "  generation %s live", status_cell(live, "generation"));
    if (since > 0 && strftime(when, sizeof(when), "%Y-%m-%d %H:%M:%SZ", gmtime_r(&since, &parts)) > 0)
        (void)fprintf(cli->out, " since %s", when);
    if (by != NULL)
        (void)fprintf(cli->out, " by %s", by);
    if (digest != NULL)
        (void)fprintf(cli->out, ", digest %.8s", digest);
    (void)fputc('\n', cli->out);
}

/* "generation 4 canary 10 % by alice, plan canary, step 2 of 4", what it does, what the judge says, how to go on: a line each. */
static void status_print_candidate(const struct sl_cli *cli, const struct sl_yaml *candidate)
{
    static const char *const lines[] = {"says", "next"};
    const char *by = sl_answer_text(candidate, "by"), *plan = sl_answer_text(candidate, "plan");
    char state[64];

    if (sl_answer_text(candidate, "generation") == NULL) { /* it is only being opened */
        (void)fprintf(cli->out, "  %s\n", status_cell(candidate, "doing"));
        return;
    }
    (void)fprintf(cli->out, "  generation %s %s%s%s", status_cell(candidate, "generation"), sl_cli_ink(cli, cli->out, SL_INK_YELLOW),
                  sl_ask_state(candidate, state), sl_cli_ink(cli, cli->out, SL_INK_OFF));
    if (by != NULL)
        (void)fprintf(cli->out, " by %s", by);
    if (plan != NULL)
        (void)fprintf(cli->out, ", plan %s", plan);
    if (sl_answer_i64(candidate, "steps") > 0)
        (void)fprintf(cli->out, ", step %s of %s", status_cell(candidate, "step"), status_cell(candidate, "steps"));
    if (sl_answer_text(candidate, "records") != NULL)
        (void)fprintf(cli->out, ", %s records, %s beside them", status_cell(candidate, "records"), status_cell(candidate, "records_beside"));
    if (sl_answer_text(candidate, "compared") != NULL)
        (void)fprintf(cli->out, ", %s outputs compared, %s differ", status_cell(candidate, "compared"), status_cell(candidate, "differing"));
    (void)fputc('\n', cli->out);
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        if (sl_answer_text(candidate, lines[i]) != NULL)
            (void)fprintf(cli->out, "    %s\n", sl_answer_text(candidate, lines[i]));
}

static void status_print_topology(const struct sl_cli *cli, const struct sl_yaml *topology)
{
    (void)fprintf(cli->out, "%s%s%s", sl_cli_ink(cli, cli->out, SL_INK_BOLD), status_cell(topology, "name"),
                  sl_cli_ink(cli, cli->out, SL_INK_OFF));
    status_print_scalars(cli->out, topology, "name");
    if (sl_answer_map(topology, "live") != NULL)
        status_print_live(cli, sl_answer_map(topology, "live"));
    if (sl_answer_map(topology, "candidate") != NULL)
        status_print_candidate(cli, sl_answer_map(topology, "candidate"));
    for (uint32_t i = 0; i < topology->count; i++)
        if (status_is_table(topology->items[i].value))
            status_print_table(cli, topology->items[i].key, topology->items[i].value);
}

/* False where the document is not what a server of ours says; the caller prints it as it came. */
static bool status_print(const struct sl_cli *cli, const struct sl_yaml *root)
{
    const struct sl_yaml_item *topologies;
    if (root == NULL || root->kind != SL_YAML_MAP)
        return false;
    topologies = sl_yaml_find(root, "topologies");
    if (topologies == NULL || (topologies->value->count > 0 && !status_is_table(topologies->value)))
        return false;
    (void)fprintf(cli->out, "sluice");
    status_print_scalars(cli->out, root, "");
    for (uint32_t i = 0; i < topologies->value->count; i++) {
        if (topologies->value->items[i].value->kind != SL_YAML_MAP)
            return false;
        (void)fputc('\n', cli->out);
        status_print_topology(cli, topologies->value->items[i].value);
    }
    return true;
}

static void status_show(const struct sl_cli *cli, const struct sl_client_reply *reply)
{
    struct sl_answer answer;
    bool shown = false;

    if (!sl_cli_has(cli, "json")) {
        sl_answer_read(&answer, reply->body, reply->bytes);
        shown = status_print(cli, answer.root);
        sl_answer_fini(&answer);
    }
    if (!shown)
        (void)fprintf(cli->out, "%s%s", reply->body, reply->bytes > 0 && reply->body[reply->bytes - 1] == '\n' ? "" : "\n");
}

int sl_command_status(struct sl_cli *cli)
{
    struct sl_client_reply reply;
    struct sl_err err;
    char socket_path[PATH_MAX];
    int result = sl_client_request(sl_cli_socket(cli, socket_path, sizeof(socket_path)), "GET", "/status", NULL, &reply, &err);

    if (result != 0)
        return sl_cli_say_err(cli, err.code == SL_E_STOPPED ? SL_EXIT_NO_SERVER : SL_EXIT_FAILED, &err);
    if (reply.status == 200) {
        status_show(cli, &reply);
        result = SL_EXIT_OK;
    } else {
        result = sl_cli_say(cli, SL_EXIT_FAILED, "the server answers %d: %.400s", reply.status, reply.body);
    }
    sl_client_reply_fini(&reply);
    return result;
}
