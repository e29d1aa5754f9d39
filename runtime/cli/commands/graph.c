/* graph.c: `sluice graph`: a topology as Graphviz or Mermaid text.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/cli/cli.h"

#include <string.h>

#include "runtime/cli/commands.h"
#include "runtime/config/process.h"
#include "runtime/config/topology.h"
#include "runtime/engine/op.h"

/* The port's name of a router, or NULL where its operator has one output. */
static const char *graph_port(const struct sl_component *from, uint32_t port)
{
    const struct sl_op_kind *kind = (const struct sl_op_kind *)(const void *)from->head;
    const char *const *names = NULL;
    if (from->role != SL_OPERATOR || kind->ports == NULL)
        return NULL;
    return port < kind->ports(from->config, &names) ? names[port] : NULL;
}

/* Text inside double quotes of either language; Mermaid knows no backslash. */
static void graph_quoted(FILE *out, const char *text, bool mermaid)
{
    for (; *text != '\0'; text++) {
        if (*text == '"' || (*text == '\\' && !mermaid))
            (void)fputs(mermaid ? "#quot;" : *text == '"' ? "\\\"" : "\\\\", out);
        else
            (void)fputc(*text, out);
    }
}

static void graph_node(FILE *out, const struct sl_topology *topology, uint32_t index, bool mermaid)
{
    static const char *const shapes[] = {"cds", "box", "cylinder"};
    static const char *const opening[] = {"([", "[", "[("}, *const closing[] = {"])", "]", ")]"};
    const struct sl_component *component = &topology->components[index];
    bool dead = (int)index == topology->dead_letters;

    (void)fprintf(out, mermaid ? "    c%u%s\"" : "    c%u [%slabel=\"", index, mermaid ? opening[component->role] : "");
    graph_quoted(out, component->name, mermaid);
    (void)fputs(mermaid ? "<br/>" : "\\n", out);
    graph_quoted(out, component->type, mermaid);
    if (mermaid)
        (void)fprintf(out, "\"%s\n", closing[component->role]);
    else
        (void)fprintf(out, "\", shape=%s%s];\n", shapes[component->role], dead ? ", style=dashed" : "");
}

static void graph_edge(FILE *out, const struct sl_topology *topology, uint32_t to, const struct sl_input *input, bool mermaid)
{
    const char *port = graph_port(&topology->components[input->component], input->port);
    if (port == NULL) {
        (void)fprintf(out, mermaid ? "    c%u --> c%u\n" : "    c%u -> c%u;\n", input->component, to);
        return;
    }
    (void)fprintf(out, mermaid ? "    c%u -->|\"" : "    c%u -> ", input->component);
    if (!mermaid)
        (void)fprintf(out, "c%u [label=\"", to);
    graph_quoted(out, port, mermaid);
    if (mermaid)
        (void)fprintf(out, "\"| c%u\n", to);
    else
        (void)fputs("\"];\n", out);
}

static void graph_print(FILE *out, const struct sl_topology *topology, bool mermaid)
{
    if (mermaid) {
        (void)fputs("flowchart LR\n", out);
    } else {
        (void)fputs("digraph \"", out);
        graph_quoted(out, topology->name, false);
        (void)fputs("\" {\n    rankdir=LR;\n    node [fontname=\"sans-serif\"];\n", out);
    }
    for (uint32_t i = 0; i < topology->components_count; i++)
        graph_node(out, topology, i, mermaid);
    for (uint32_t i = 0; i < topology->components_count; i++)
        for (uint32_t j = 0; j < topology->components[i].inputs_count; j++)
            graph_edge(out, topology, i, &topology->components[i].inputs[j], mermaid);
    if (!mermaid)
        (void)fputs("}\n", out);
}

static int graph_refused(struct sl_cli *cli, const struct sl_diags *diags)
{
    for (uint32_t i = 0; i < diags->count; i++)
        if (!diags->items[i].warning)
            (void)fprintf(cli->err, "%s:%u:%u: error: %s\n    %s\n", diags->items[i].file != NULL ? diags->items[i].file : "",
                          diags->items[i].line, diags->items[i].column, diags->items[i].text,
                          diags->items[i].remedy != NULL ? diags->items[i].remedy : "");
    return SL_EXIT_FAILED;
}

int sl_command_graph(struct sl_cli *cli)
{
    const char *format = sl_cli_option(cli, "format");
    struct sl_process_config *process = NULL;
    struct sl_topology *topology = NULL;
    struct sl_diags diags;
    int result = SL_EXIT_OK;

    if (format != NULL && strcmp(format, "dot") != 0 && strcmp(format, "mermaid") != 0)
        return sl_cli_say(cli, SL_EXIT_USAGE, "--format %s is not known; write dot or mermaid", format);
    sl_diags_init(&diags);
    if (sl_process_load(sl_cli_config(cli), &diags, &process) != 0 ||
        sl_topology_load(cli->args[0], cli->registry, process, &diags, &topology) != 0)
        result = graph_refused(cli, &diags);
    else
        graph_print(cli->out, topology, format != NULL && strcmp(format, "mermaid") == 0);
    (void)sl_topology_free(topology);
    (void)sl_process_free(process);
    sl_diags_fini(&diags);
    return result;
}
