/* status.c: `sluice status`: asks the running server for /status and prints it as tables.
 *
 * The server's document: { version, node, pid, uptime_s, memory_bytes, topologies: [ { name, state, reason, lag_records, lag_ms,
 * sources: [ {...} ], sinks: [ {...} ], held: [ {...} ] } ] }. A list of objects becomes a table whose columns are the first
 * object's keys, so that what a server adds is shown without a change here.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/cli/cli.h"

#include <limits.h>
#include <string.h>

#include "runtime/cli/client.h"
#include "runtime/cli/commands.h"
#include "runtime/config/pool.h"
#include "runtime/config/yaml.h"

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

static void status_print_topology(const struct sl_cli *cli, const struct sl_yaml *topology)
{
    (void)fprintf(cli->out, "%s%s%s", sl_cli_ink(cli, cli->out, SL_INK_BOLD), status_cell(topology, "name"),
                  sl_cli_ink(cli, cli->out, SL_INK_OFF));
    status_print_scalars(cli->out, topology, "name");
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
    struct sl_pool pool;
    struct sl_diags diags;
    bool shown = false;

    if (!sl_cli_has(cli, "json")) { /* JSON is YAML, so the configuration's reader serves */
        sl_pool_init(&pool);
        sl_diags_init(&diags);
        shown = status_print(cli, sl_yaml_parse(&pool, "status", reply->body, reply->bytes, &diags));
        sl_diags_fini(&diags);
        sl_pool_fini(&pool);
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
