/* table.c: every command of sluice: one row each, from which help, manual page, completion and reference are printed.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/cli/cli.h"

#include <string.h>

#include "runtime/cli/commands.h"

#define TABLE_JSON {"json", NULL, "Print one JSON document instead of text."}
#define TABLE_CONFIG {"config", "FILE", "The process file; else sluice.yaml beside the topology; without one every setting has its default."}
#define TABLE_SOCKET {"socket", "PATH", "Control socket of the server; else SLUICE_SOCKET, else the one in the data folder."}
#define TABLE_DATA_DIR {"data-dir", "DIR", "Folder of all state (default ./sluice-data)."}

static const struct sl_option table_run[] = {
    TABLE_CONFIG,
    TABLE_DATA_DIR,
    {"from-files", NULL, "Run the files as they are, also where another generation was live; without it the live one comes back."},
    {"once", NULL, "End when every source is at its end and everything is committed."},
    {"for", "DURATION", "End cleanly after this long, such as 10s."},
    {"workers", "COUNT", "Worker threads (default: usable CPUs)."},
    {"memory", "SIZE", "Memory of the process, such as 256MiB."},
    {"socket", "PATH", "Control socket to listen on (default: control.sock in the data folder)."},
    {"quiet", NULL, "No progress, no summary."},
    {NULL, NULL, NULL},
};

static const struct sl_option table_test[] = {
    {"case", "NAME", "Only cases whose name contains NAME."},
    TABLE_CONFIG,
    TABLE_JSON,
    {NULL, NULL, NULL},
};

static const struct sl_option table_audit[] = {
    TABLE_CONFIG,
    TABLE_DATA_DIR,
    TABLE_JSON,
    {NULL, NULL, NULL},
};

static const struct sl_option table_check[] = {
    TABLE_CONFIG,
    {"connect", NULL, "Also log in at every broker and back-end that is named."},
    TABLE_JSON,
    {NULL, NULL, NULL},
};

static const struct sl_option table_graph[] = {
    {"format", "dot|mermaid", "Graphviz (default) or Mermaid."},
    TABLE_CONFIG,
    {NULL, NULL, NULL},
};

static const struct sl_option table_operators[] = {
    {"markdown", NULL, "Print the reference page of the docs."},
    TABLE_JSON,
    {NULL, NULL, NULL},
};

static const struct sl_option table_topologies[] = {
    {"dir", "DIR", "Folder to list (default: topologies, or the installed ones)."},
    TABLE_JSON,
    {NULL, NULL, NULL},
};

static const struct sl_option table_cat[] = {
    {"partition", "NUMBER", "Only this partition of a spool topic."},
    {"offset", "NUMBER", "Start at this offset of a spool topic."},
    {"limit", "COUNT", "Stop after this many records."},
    TABLE_DATA_DIR,
    TABLE_JSON,
    {NULL, NULL, NULL},
};

static const struct sl_option table_deploy[] = {
    {"plan", "now|canary|FILE", "How it goes live: at once, by shares of the keys with a judge, or by a plan's file; without one it waits, warm."},
    {"set", "PATH=VALUE", "A setting said otherwise than in the file, such as operators.enrich.script=v2.lua; may be repeated."},
    {"wait", NULL, "Show how it goes on until it ends; Ctrl-C leaves it as it is."},
    TABLE_SOCKET,
    TABLE_DATA_DIR,
    TABLE_JSON,
    {NULL, NULL, NULL},
};

static const struct sl_option table_diff[] = {
    {"set", "PATH=VALUE", "A setting of the second file said otherwise, as for deploy; may be repeated."},
    {"topology", "NAME", "Of which topology generations are, where none of the two is a file."},
    {"exit-code", NULL, "Exit with 1 where they differ."},
    TABLE_CONFIG,
    TABLE_DATA_DIR,
    TABLE_JSON,
    {NULL, NULL, NULL},
};

static const struct sl_option table_promote[] = {
    {"share", "SHARE", "Not live, but a canary with this share of the records, such as 10%."},
    {"by", "key|partition", "With --share: whole keys (default) or whole partitions."},
    TABLE_SOCKET,
    TABLE_DATA_DIR,
    TABLE_JSON,
    {NULL, NULL, NULL},
};

static const struct sl_option table_client[] = {
    TABLE_SOCKET,
    TABLE_DATA_DIR,
    TABLE_JSON,
    {NULL, NULL, NULL},
};
static const char *const table_shadow_words[] = {"start", "stop", "diff", NULL};

static const struct sl_option table_upgrade[] = {
    {"binary", "PATH", "The new program (default: the file that the running process was started with, as it is now)."},
    TABLE_SOCKET,
    TABLE_DATA_DIR,
    TABLE_JSON,
    {NULL, NULL, NULL},
};

static const struct sl_option table_resume[] = {
    {"source-changed", "PARTITION", "TOPIC:NUMBER of a partition that is held since its source is another one: it begins anew."},
    TABLE_SOCKET,
    TABLE_DATA_DIR,
    TABLE_JSON,
    {NULL, NULL, NULL},
};

static const struct sl_option table_replay[] = {
    {"dead", NULL, "Send dead letters again."},
    {"stage", "NAME", "Only those of this stage or sink."},
    {"reason", "TEXT", "Only those whose reason has this in it."},
    {"since", "DURATION", "Only records that came in the last, such as 2h."},
    TABLE_CONFIG,
    TABLE_SOCKET,
    TABLE_DATA_DIR,
    TABLE_JSON,
    {NULL, NULL, NULL},
};

static const struct sl_option table_tap[] = {
    {"limit", "COUNT", "End after this many records."},
    {"rate", "COUNT", "At most this many records a second (default 100); what is above it is passed over."},
    {"meta", NULL, "Show each record as JSON with its fate, partition, offset and key."},
    TABLE_SOCKET,
    TABLE_DATA_DIR,
    {NULL, NULL, NULL},
};

static const struct sl_option table_spool[] = {
    TABLE_JSON,
    {NULL, NULL, NULL},
};
static const char *const table_spool_words[] = {"check", "repair", NULL};

static const struct sl_option table_docs[] = {
    {"man", NULL, "Print a manual page (roff) instead of Markdown."},
    {"settings", NULL, "Print the settings of sluice.yaml, of a topology and of every sink."},
    {"metrics", NULL, "Print the rows of /metrics."},
    {NULL, NULL, NULL},
};

static const struct sl_option table_none[] = {{NULL, NULL, NULL}};
static const struct sl_option table_version[] = {TABLE_JSON, {NULL, NULL, NULL}};
static const char *const table_shells[] = {"bash", NULL};

static const struct sl_command table[] = {
    {"run", "FILE...", 0, 1000, "Run topologies until stopped; Ctrl-C drains and ends cleanly.",
     "sluice run topologies/quickstart/topology.yaml --for 10s", table_run, NULL, sl_command_run},
    {"check", "FILE...", 0, 1000, "Check topology files: every problem with file, line, column and remedy.",
     "sluice check topologies/company-bus/topology.yaml", table_check, NULL, sl_command_check},
    {"test", "FILE...", 1, 1000, "Run the cases that lie in the tests folder beside a topology.",
     "sluice test topologies/quickstart/topology.yaml", table_test, NULL, sl_command_test},
    {"init", "[TEMPLATE] [FOLDER]", 0, 2, "Copy a topology that comes with sluice into a folder of yours; without a name: list them.",
     "sluice init nginx-clickhouse access-logs", table_topologies, NULL, sl_command_init},
    {"graph", "FILE", 1, 1, "Draw a topology as Graphviz or Mermaid text.",
     "sluice graph topology.yaml | dot -Tsvg > topology.svg", table_graph, NULL, sl_command_graph},
    {"diff", "A B", 2, 2,
     "Compare two versions of a topology (files, or generations: a number, live, previous) and tell what a deployment of B over A does.",
     "sluice diff live topology.yaml", table_diff, NULL, sl_command_diff},
    {"deploy", "FILE", 1, 1, "Give the running server a new version of a topology: it is checked, opened and warm; what runs is not touched.",
     "sluice deploy topology.yaml --plan canary --wait", table_deploy, NULL, sl_command_deploy},
    {"shadow", "start|stop|diff [TOPOLOGY]", 1, 2,
     "Let the candidate work on the same records with its sinks closed; diff shows what it would write otherwise.", "sluice shadow diff company-bus",
     table_client, table_shadow_words, sl_command_shadow},
    {"promote", "[TOPOLOGY]", 0, 1, "Make the candidate live at the next batch, or a canary with a share of the records.",
     "sluice promote company-bus --share 10%", table_promote, NULL, sl_command_promote},
    {"rollback", "[TOPOLOGY]", 0, 1, "Take the candidate out; where there is none, make the previous generation live again.",
     "sluice rollback company-bus", table_client, NULL, sl_command_rollback},
    {"history", "[TOPOLOGY]", 0, 1, "List a topology's generations: state, since when, by whom, what each did.", "sluice history company-bus",
     table_client, NULL, sl_command_history},
    {"status", "", 0, 0, "Show what the running server does: topologies, generations, lag, fates per sink.",
     "sluice status --socket /run/sluice/control.sock", table_client, NULL, sl_command_status},
    {"pause", "[TOPOLOGY]", 0, 1, "Stop reading; what was read is delivered and committed, and the topology keeps its place.",
     "sluice pause company-bus", table_client, NULL, sl_command_pause},
    {"resume", "[TOPOLOGY]", 0, 1, "Read again after a pause; or let a held partition go on: its topic was made anew, and that is meant.",
     "sluice resume company-bus --source-changed logs.payment:3", table_resume, NULL, sl_command_resume},
    {"drain", "[TOPOLOGY]", 0, 1, "Let a topology finish what it has read and end; the others go on.", "sluice drain company-bus", table_client,
     NULL, sl_command_drain},
    {"upgrade", "", 0, 0, "Hand over from the running process to a new one of a new binary: nothing is lost, nothing doubled.",
     "sluice upgrade --binary /opt/sluice-2/bin/sluice", table_upgrade, NULL, sl_command_upgrade},
    {"cat", "spool TOPIC|PATH...", 1, 1000,
     "Print records: a topic of a closed spool, or the files of a landing or dead-letter folder.",
     "sluice cat sluice-data/landing | head", table_cat, NULL, sl_command_cat},
    {"replay", "FILE", 1, 1, "Send the dead letters of a topology through the stages and sinks that had failed, each once.",
     "sluice replay --dead topology.yaml --stage parsed", table_replay, NULL, sl_command_replay},
    {"tap", "TOPOLOGY STAGE", 2, 2, "Show a live sample of the records that a stage of the running server lets out.",
     "sluice tap company-bus parsed --limit 10", table_tap, NULL, sl_command_tap},
    {"audit", "FILE [LANDING_DIR...]", 1, 1000, "Read source and landing zone again and prove that each record came out once.",
     "sluice audit topologies/quickstart/topology.yaml", table_audit, NULL, sl_command_audit},
    {"spool", "check|repair DIR", 2, 2, "Look for damage in a closed spool; repair cuts it out, offsets keep their holes.",
     "sluice spool check sluice-data/spool", table_spool, table_spool_words, sl_command_spool},
    {"operators", "[NAME]", 0, 1, "List sources, operators and sinks, or the settings of one.", "sluice operators files",
     table_operators, NULL, sl_command_operators},
    {"topologies", "", 0, 0, "List the topologies that are ready to run.", "sluice topologies", table_topologies, NULL,
     sl_command_topologies},
    {"docs", "", 0, 0, "Print the reference pages: the command line, or settings, or metrics.", "sluice docs --man | man -l -", table_docs, NULL,
     sl_command_docs},
    {"complete", "bash", 1, 1, "Print a completion script.", "source <(sluice complete bash)", table_none, table_shells,
     sl_command_complete},
    {"version", "", 0, 0, "Print the version and what it is built on.", "sluice version --json", table_version, NULL,
     sl_command_version},
    {"help", "[COMMAND]", 0, 1, "Explain a command.", "sluice help run", table_none, NULL, sl_command_help},
    {NULL, NULL, 0, 0, NULL, NULL, NULL, NULL, NULL},
};

const struct sl_command *sl_cli_commands(void)
{
    return table;
}

const struct sl_command *sl_cli_find(const struct sl_command *commands, const char *name)
{
    for (; commands->name != NULL; commands++)
        if (strcmp(commands->name, name) == 0)
            return commands;
    return NULL;
}
