/* operators.c: `sluice operators`: the registry's tables as text, as JSON, and as the reference page of the docs.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/cli/cli.h"

#include <assert.h>
#include <string.h>

#include "runtime/cli/commands.h"
#include "runtime/cli/reference.h"
#include "runtime/config/nearest.h"
#include "runtime/engine/op.h"

enum { OPERATORS_MAX = 256 };

struct operators_entry {
    const char *role;
    const struct sl_head *head;
};

struct operators_list {
    struct operators_entry items[OPERATORS_MAX];
    uint32_t count;
};

static void operators_add(struct operators_list *list, const char *role, const struct sl_head *head)
{
    assert(list->count < OPERATORS_MAX);
    list->items[list->count++] = (struct operators_entry){role, head};
}

static void operators_collect(const struct sl_registry *registry, struct operators_list *list)
{
    list->count = 0;
    for (uint32_t i = 0; registry->sources != NULL && registry->sources[i] != NULL; i++)
        operators_add(list, "source", &registry->sources[i]->head);
    for (uint32_t i = 0; registry->operators != NULL && registry->operators[i] != NULL; i++)
        operators_add(list, "operator", &registry->operators[i]->head);
    for (uint32_t i = 0; registry->sinks != NULL && registry->sinks[i] != NULL; i++)
        operators_add(list, "sink", &registry->sinks[i]->head);
}

/* ---- Markdown ---- */

static void operators_markdown(FILE *out, const struct operators_entry *entry)
{
    const struct sl_head *head = entry->head;
    (void)fprintf(out, "\n## %s (%s)\n\n%s\n\n```yaml\n%s\n```\n", head->name, entry->role, head->summary, head->example);
    sl_reference_fields(out, head->fields);
    if (head->counters != NULL && head->counters[0].name != NULL)
        (void)fputs("\n| counter | unit | |\n| --- | --- | --- |\n", out);
    for (const struct sl_counter *row = head->counters; row != NULL && row->name != NULL; row++)
        (void)fprintf(out, "| `%s` | %s | %s |\n", row->name, row->unit != NULL ? row->unit : "", row->help);
    if (head->reasons != NULL && head->reasons[0] != NULL && head->reasons[1] != NULL) {
        (void)fputs("\nReasons of dead letters:\n\n", out);
        for (const char *const *reason = head->reasons + 1; *reason != NULL; reason++)
            (void)fprintf(out, "- %s\n", *reason);
    }
}

/* ---- text ---- */

static void operators_text_fields(FILE *out, const struct sl_field *fields, const char *prefix)
{
    for (const struct sl_field *field = fields; field != NULL && field->name != NULL; field++) {
        char name[256];
        (void)snprintf(name, sizeof(name), "%s%s%s", prefix, prefix[0] != '\0' ? "." : "", field->name);
        if (field->type == SL_F_STRUCT) {
            operators_text_fields(out, field->sub, name);
            continue;
        }
        (void)fprintf(out, "  %-24s %s", name, sl_reference_type(field));
        sl_reference_limits(out, field);
        if ((field->flags & SL_F_REQUIRED) != 0)
            (void)fputs("; required", out);
        else if (field->def != NULL)
            (void)fprintf(out, "; default %s", field->def);
        (void)fprintf(out, "\n  %-24s   %s\n", "", field->help != NULL ? field->help : "");
    }
}

static void operators_text(struct sl_cli *cli, const struct operators_entry *entry)
{
    (void)fprintf(cli->out, "%s%s%s (%s): %s\n\nexample:\n  %s\n\nsettings:\n", sl_cli_ink(cli, cli->out, SL_INK_BOLD),
                  entry->head->name, sl_cli_ink(cli, cli->out, SL_INK_OFF), entry->role, entry->head->summary,
                  entry->head->example);
    operators_text_fields(cli->out, entry->head->fields, "");
}

static void operators_text_list(struct sl_cli *cli, const struct operators_list *list)
{
    const char *role = "";
    for (uint32_t i = 0; i < list->count; i++) {
        if (strcmp(role, list->items[i].role) != 0)
            (void)fprintf(cli->out, "%s%ss:\n", i == 0 ? "" : "\n", list->items[i].role);
        role = list->items[i].role;
        (void)fprintf(cli->out, "  %s%-12s%s %s\n", sl_cli_ink(cli, cli->out, SL_INK_BOLD), list->items[i].head->name,
                      sl_cli_ink(cli, cli->out, SL_INK_OFF), list->items[i].head->summary);
    }
    (void)fputs("\n`sluice operators NAME` prints the settings of one.\n", cli->out);
}

/* ---- JSON ---- */

static void operators_json_pair(FILE *out, const char *name, const char *value)
{
    (void)fprintf(out, ",\"%s\":", name);
    sl_cli_print_json(out, value);
}

static void operators_json_fields(FILE *out, const struct sl_field *fields)
{
    (void)fputc('[', out);
    for (const struct sl_field *field = fields; field != NULL && field->name != NULL; field++) {
        (void)fprintf(out, "%s{\"name\":", field == fields ? "" : ",");
        sl_cli_print_json(out, field->name);
        operators_json_pair(out, "type", sl_reference_type(field));
        operators_json_pair(out, "default", field->def);
        operators_json_pair(out, "min", field->min);
        operators_json_pair(out, "max", field->max);
        operators_json_pair(out, "help", field->help);
        (void)fprintf(out, ",\"required\":%s", (field->flags & SL_F_REQUIRED) != 0 ? "true" : "false");
        (void)fputs(",\"values\":[", out);
        for (const char *const *value = field->values; value != NULL && *value != NULL; value++) {
            (void)fputs(value == field->values ? "" : ",", out);
            sl_cli_print_json(out, *value);
        }
        (void)fputs("],\"fields\":", out);
        operators_json_fields(out, field->type == SL_F_STRUCT ? field->sub : NULL);
        (void)fputc('}', out);
    }
    (void)fputc(']', out);
}

static void operators_json(FILE *out, const struct operators_entry *entry)
{
    (void)fprintf(out, "{\"role\":\"%s\"", entry->role);
    operators_json_pair(out, "name", entry->head->name);
    operators_json_pair(out, "summary", entry->head->summary);
    operators_json_pair(out, "example", entry->head->example);
    (void)fputs(",\"fields\":", out);
    operators_json_fields(out, entry->head->fields);
    (void)fputc('}', out);
}

/* ---- the command ---- */

/* kafka and spool are both a source and a sink: every entry of that name stays. */
static void operators_keep(struct operators_list *list, const char *name)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i].head->name, name) == 0)
            list->items[kept++] = list->items[i];
    list->count = kept;
}

static int operators_unknown(struct sl_cli *cli, const struct operators_list *list)
{
    struct sl_nearest nearest;
    sl_nearest_init(&nearest, cli->args[0]);
    for (uint32_t i = 0; i < list->count; i++)
        sl_nearest_offer(&nearest, list->items[i].head->name);
    if (nearest.best != NULL)
        return sl_cli_say(cli, SL_EXIT_USAGE, "no source, operator or sink is called \"%s\"; did you mean %s?", cli->args[0],
                          nearest.best);
    return sl_cli_say(cli, SL_EXIT_USAGE, "no source, operator or sink is called \"%s\"; `sluice operators` lists them",
                      cli->args[0]);
}

static void operators_print(struct sl_cli *cli, const struct operators_list *list)
{
    bool json = sl_cli_has(cli, "json"), markdown = !json && sl_cli_has(cli, "markdown");

    if (markdown && cli->args_count == 0)
        (void)fputs("# Sources, operators and sinks\n\nPrinted by `sluice operators --markdown`; edit the tables in "
                    "operators/ instead.\n", cli->out);
    if (!json && !markdown && cli->args_count == 0) {
        operators_text_list(cli, list);
        return;
    }
    (void)fputs(json ? "[" : "", cli->out);
    for (uint32_t i = 0; i < list->count; i++) {
        if (i > 0 && !markdown)
            (void)fputs(json ? "," : "\n", cli->out);
        if (json)
            operators_json(cli->out, &list->items[i]);
        else if (markdown)
            operators_markdown(cli->out, &list->items[i]);
        else
            operators_text(cli, &list->items[i]);
    }
    (void)fputs(json ? "]\n" : "", cli->out);
}

int sl_command_operators(struct sl_cli *cli)
{
    struct operators_list all, list;

    operators_collect(cli->registry, &all);
    list = all;
    if (cli->args_count > 0)
        operators_keep(&list, cli->args[0]);
    if (cli->args_count > 0 && list.count == 0)
        return operators_unknown(cli, &all);
    operators_print(cli, &list);
    return SL_EXIT_OK;
}
