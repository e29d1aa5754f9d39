/* check.c: `sluice check`: every problem of topology files with file, line, column and remedy; for good files what they hold.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/cli/cli.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "runtime/cli/commands.h"
#include "runtime/config/process.h"
#include "runtime/config/topology.h"
#include "runtime/engine/reach.h"
#include "runtime/kafka/klog.h"

enum { CHECK_CONNECT_MS = 5000 };

struct check_file {
    const char *path;
    struct sl_topology *topology; /* NULL: refused */
    struct sl_diags diags;
    uint64_t memory_bytes; /* its share */
};

struct check_job {
    struct sl_cli *cli;
    struct sl_process_config *process; /* NULL: refused */
    struct sl_diags process_diags;
    struct check_file *files;
    uint32_t files_count;
};

/* ---- loading ---- */

static uint32_t check_errors(const struct check_job *job)
{
    uint32_t errors = job->process_diags.errors;
    for (uint32_t i = 0; i < job->files_count; i++)
        errors += job->files[i].diags.errors;
    return errors;
}

/* `memory:` is split equally between the topologies that do not say their own (DESIGN.md section 5). */
static void check_memory(struct check_job *job)
{
    uint64_t said_bytes = 0, silent = 0, rest_bytes, all_bytes = job->process->memory_bytes;

    for (uint32_t i = 0; i < job->files_count; i++) {
        const struct sl_topology *topology = job->files[i].topology;
        said_bytes += topology != NULL ? topology->memory_bytes : 0;
        silent += topology != NULL && topology->memory_bytes == 0;
    }
    if (said_bytes > all_bytes || (silent > 0 && said_bytes == all_bytes)) {
        char said[24], all[24];
        sl_diags_add(&job->process_diags, false, job->process->path != NULL ? job->process->path : job->files[0].path, 0, 0,
                     "raise memory: in sluice.yaml, or lower the topologies' own", "the topologies ask for %s, %s the process's %s",
                     sl_cli_print_bytes(said_bytes, said), said_bytes > all_bytes ? "more than" : "which leaves nothing of",
                     sl_cli_print_bytes(all_bytes, all));
        return;
    }
    rest_bytes = silent > 0 ? (all_bytes - said_bytes) / silent : 0;
    for (uint32_t i = 0; i < job->files_count; i++)
        if (job->files[i].topology != NULL)
            job->files[i].memory_bytes = job->files[i].topology->memory_bytes > 0 ? job->files[i].topology->memory_bytes : rest_bytes;
}

static void check_names(struct check_job *job)
{
    for (uint32_t i = 0; i < job->files_count; i++) {
        for (uint32_t j = 0; j < i && job->files[i].topology != NULL; j++) {
            if (job->files[j].topology == NULL || strcmp(job->files[i].topology->name, job->files[j].topology->name) != 0)
                continue;
            sl_diags_add(&job->files[i].diags, false, job->files[i].path, 1, 1, "give each topology of a process a name of its own",
                         "name: %s is also the name of %s", job->files[i].topology->name, job->files[j].path);
            break;
        }
    }
}

static void check_load(struct check_job *job)
{
    const char *config = sl_cli_config(job->cli);
    bool named = job->cli->args_count > 0;

    sl_diags_init(&job->process_diags);
    if (sl_process_load(config, &job->process_diags, &job->process) != 0)
        job->process = NULL;
    if (named)
        job->files_count = job->cli->args_count;
    else if (job->process != NULL)
        job->files_count = job->process->topologies.count;
    job->files = calloc(job->files_count > 0 ? job->files_count : 1, sizeof(*job->files));
    assert(job->files != NULL);
    for (uint32_t i = 0; i < job->files_count; i++) {
        struct check_file *file = &job->files[i];
        file->path = named ? job->cli->args[i] : job->process->topologies.items[i];
        sl_diags_init(&file->diags);
        if (sl_topology_load(file->path, job->cli->registry, job->process, &file->diags, &file->topology) != 0)
            file->topology = NULL;
    }
    if (job->process != NULL && job->files_count > 0)
        check_memory(job);
    check_names(job);
}

static void check_free(struct check_job *job)
{
    for (uint32_t i = 0; i < job->files_count; i++) {
        (void)sl_topology_free(job->files[i].topology);
        sl_diags_fini(&job->files[i].diags);
    }
    free(job->files);
    (void)sl_process_free(job->process);
    sl_diags_fini(&job->process_diags);
}

/* ---- --connect ---- */

static int check_connect_to(const struct addrinfo *address)
{
    struct pollfd poller = {.events = POLLOUT};
    int sys = 0;
    socklen_t sys_bytes = sizeof(sys);

    poller.fd = socket(address->ai_family, address->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, address->ai_protocol);
    if (poller.fd < 0)
        return errno;
    if (connect(poller.fd, address->ai_addr, address->ai_addrlen) != 0 && errno != EINPROGRESS)
        sys = errno;
    else if (poll(&poller, 1, CHECK_CONNECT_MS) <= 0)
        sys = ETIMEDOUT;
    else
        (void)getsockopt(poller.fd, SOL_SOCKET, SO_ERROR, &sys, &sys_bytes);
    (void)close(poller.fd);
    return sys;
}

/* Whose: file, line, column and the name of the setting that names the broker. */
struct check_where {
    struct sl_diags *diags;
    const char *file, *setting;
    uint32_t line, column;
};

/* False: nothing listens there, and it was said. */
static bool check_broker(const struct check_where *where, const char *broker)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *addresses = NULL;
    const char *colon = strrchr(broker, ':'), *why = NULL;
    char host[256];
    int result;

    (void)snprintf(host, sizeof(host), "%.*s", colon != NULL ? (int)(colon - broker) : (int)strlen(broker), broker);
    result = getaddrinfo(host, colon != NULL ? colon + 1 : "9092", &hints, &addresses);
    if (result != 0)
        why = gai_strerror(result);
    for (struct addrinfo *address = addresses; address != NULL; address = address->ai_next) {
        int sys = check_connect_to(address);
        why = sys != 0 ? strerror(sys) : NULL;
        if (sys == 0)
            break;
    }
    if (addresses != NULL)
        freeaddrinfo(addresses);
    if (why != NULL)
        sl_diags_add(where->diags, false, where->file, where->line, where->column, "start the broker, or correct brokers:",
                     "%s.brokers: %s does not answer: %s", where->setting, broker, why);
    return why == NULL;
}

/* A port that takes connections is no broker yet, and a broker need not let us in. */
static void check_login(const struct check_where *where, const struct sl_connection *connection)
{
    struct sl_klog *klog = sl_klog_rdkafka();
    bool listens = false;
    struct sl_err err;

    for (uint32_t i = 0; i < connection->brokers.count; i++)
        listens = check_broker(where, connection->brokers.items[i]) || listens;
    if (listens && klog->kind->reach(klog, connection, CHECK_CONNECT_MS, &err) != 0)
        sl_diags_add(where->diags, false, where->file, where->line, where->column,
                     connection->name != NULL ? "correct the connection's security_protocol, sasl_... and ca"
                                              : "where the broker has TLS or users, name a connection of sluice.yaml instead",
                     "%s: %s", where->setting, err.text);
}

/* A component's own brokers: every kind that has the setting has it under this name and type. */
static void check_component(struct check_file *file, const struct sl_component *component)
{
    char setting[160];
    struct check_where where = {&file->diags, file->path, setting, component->line, component->column};

    (void)snprintf(setting, sizeof(setting), "%s.%s", component->role == SL_SOURCE ? "sources" : "sinks", component->name);
    for (const struct sl_field *field = component->head->fields; field != NULL && field->name != NULL; field++) {
        const struct sl_strings *brokers = (const struct sl_strings *)(const void *)((const char *)component->config + field->offset);
        if (field->type != SL_F_STRINGS || strcmp(field->name, "brokers") != 0)
            continue;
        check_login(&where, &(struct sl_connection){.brokers = *brokers});
    }
}

/* A sink that sends requests: each of its hosts is asked for something that changes nothing. */
static void check_probe(struct check_file *file, const struct sl_component *component)
{
    enum sl_reach reach = SL_REACH_FINE;

    for (uint32_t host = 0; reach == SL_REACH_FINE || reach == SL_REACH_SILENT; host++) {
        struct sl_err err;
        reach = sl_reach_host(component, host, &err);
        if (reach == SL_REACH_SILENT || reach == SL_REACH_UNASKED)
            sl_diags_add(&file->diags, false, file->path, component->line, component->column,
                         reach == SL_REACH_UNASKED ? "correct this secret" : "start the back-end, or correct url:, auth: and tls:",
                         "sinks.%s: %s", component->name, err.text);
    }
}

static void check_connections(struct check_job *job)
{
    for (uint32_t i = 0; job->process != NULL && i < job->process->connections_count; i++) {
        const struct sl_connection *connection = &job->process->connections[i];
        char setting[160];
        struct check_where where = {&job->process_diags, job->process->path != NULL ? job->process->path : "sluice.yaml", setting, 0, 0};
        (void)snprintf(setting, sizeof(setting), "connections.%s", connection->name);
        check_login(&where, connection);
    }
    for (uint32_t f = 0; f < job->files_count; f++)
        for (uint32_t c = 0; job->files[f].topology != NULL && c < job->files[f].topology->components_count; c++) {
            check_component(&job->files[f], &job->files[f].topology->components[c]);
            check_probe(&job->files[f], &job->files[f].topology->components[c]);
        }
}

/* ---- text ---- */

static void check_text_diags(struct sl_cli *cli, const struct sl_diags *diags)
{
    for (uint32_t i = 0; i < diags->count; i++) {
        const struct sl_diag *diag = &diags->items[i];
        const char *file = diag->file != NULL ? diag->file : "sluice";
        if (diag->line > 0)
            (void)fprintf(cli->err, "%s:%u:%u: ", file, diag->line, diag->column);
        else
            (void)fprintf(cli->err, "%s: ", file);
        (void)fprintf(cli->err, "%s%s:%s %s\n", sl_cli_ink(cli, cli->err, diag->warning ? SL_INK_YELLOW : SL_INK_RED),
                      diag->warning ? "warning" : "error", sl_cli_ink(cli, cli->err, SL_INK_OFF), diag->text);
        if (diag->remedy != NULL && diag->remedy[0] != '\0')
            (void)fprintf(cli->err, "    %s\n", diag->remedy);
    }
}

static void check_text_file(struct sl_cli *cli, const struct check_file *file)
{
    const struct sl_topology *topology = file->topology;
    char text[24];

    (void)fprintf(cli->out, "%s%s%s: good: %s: %u source%s, %u operator%s, %u sink%s", sl_cli_ink(cli, cli->out, SL_INK_GREEN),
                  file->path, sl_cli_ink(cli, cli->out, SL_INK_OFF), topology->name, topology->sources_count,
                  topology->sources_count == 1 ? "" : "s", topology->operators_count, topology->operators_count == 1 ? "" : "s",
                  topology->sinks_count, topology->sinks_count == 1 ? "" : "s");
    (void)fprintf(cli->out, "; memory %s\n", sl_cli_print_bytes(file->memory_bytes, text));
    for (uint32_t i = 0; i < topology->components_count; i++) {
        const struct sl_component *component = &topology->components[i];
        (void)fprintf(cli->out, "  %-16s %-10s", component->name, component->type);
        for (uint32_t j = 0; j < component->inputs_count; j++)
            (void)fprintf(cli->out, "%s%s", j == 0 ? "<- " : ", ", topology->components[component->inputs[j].component].name);
        (void)fputc('\n', cli->out);
    }
}

static void check_text_memory(struct check_job *job)
{
    static const struct { const char *name; uint64_t percent; } shares[] = {
        {"source queues", 40}, {"lanes", 30}, {"batches", 20}, {"tickets and tables", 10}};
    char text[24];

    (void)fprintf(job->cli->out, "memory %s:", sl_cli_print_bytes(job->process->memory_bytes, text));
    for (uint32_t i = 0; i < sizeof(shares) / sizeof(shares[0]); i++)
        (void)fprintf(job->cli->out, "%s %s %s", i > 0 ? "," : "", shares[i].name,
                      sl_cli_print_bytes(job->process->memory_bytes / 100 * shares[i].percent, text));
    (void)fprintf(job->cli->out, "; %u worker%s\n", job->process->workers, job->process->workers == 1 ? "" : "s");
}

static void check_text(struct check_job *job)
{
    bool good = check_errors(job) == 0;
    check_text_diags(job->cli, &job->process_diags);
    for (uint32_t i = 0; i < job->files_count; i++) {
        check_text_diags(job->cli, &job->files[i].diags);
        if (job->files[i].topology != NULL && job->files[i].diags.errors == 0)
            check_text_file(job->cli, &job->files[i]);
    }
    if (good)
        check_text_memory(job);
    else
        (void)fprintf(job->cli->err, "%u error%s\n", check_errors(job), check_errors(job) == 1 ? "" : "s");
}

/* ---- JSON ---- */

static void check_json_diags(FILE *out, const struct sl_diags *diags)
{
    (void)fputs("\"diagnostics\":[", out);
    for (uint32_t i = 0; i < diags->count; i++) {
        const struct sl_diag *diag = &diags->items[i];
        (void)fprintf(out, "%s{\"severity\":\"%s\",\"file\":", i > 0 ? "," : "", diag->warning ? "warning" : "error");
        sl_cli_print_json(out, diag->file);
        (void)fprintf(out, ",\"line\":%u,\"column\":%u,\"text\":", diag->line, diag->column);
        sl_cli_print_json(out, diag->text);
        (void)fputs(",\"remedy\":", out);
        sl_cli_print_json(out, diag->remedy);
        (void)fputc('}', out);
    }
    (void)fputc(']', out);
}

static void check_json_components(FILE *out, const struct sl_topology *topology)
{
    static const char *const roles[] = {"source", "operator", "sink"};
    (void)fputs(",\"components\":[", out);
    for (uint32_t i = 0; i < topology->components_count; i++) {
        const struct sl_component *component = &topology->components[i];
        (void)fprintf(out, "%s{\"role\":\"%s\",\"name\":", i > 0 ? "," : "", roles[component->role]);
        sl_cli_print_json(out, component->name);
        (void)fputs(",\"type\":", out);
        sl_cli_print_json(out, component->type);
        (void)fputs(",\"inputs\":[", out);
        for (uint32_t j = 0; j < component->inputs_count; j++) {
            (void)fputs(j > 0 ? "," : "", out);
            sl_cli_print_json(out, topology->components[component->inputs[j].component].name);
        }
        (void)fputs("]}", out);
    }
    (void)fputc(']', out);
}

static void check_json(const struct check_job *job)
{
    FILE *out = job->cli->out;
    (void)fprintf(out, "{\"good\":%s,", check_errors(job) == 0 ? "true" : "false");
    check_json_diags(out, &job->process_diags);
    (void)fprintf(out, ",\"memory_bytes\":%llu,\"topologies\":[",
                  job->process != NULL ? (unsigned long long)job->process->memory_bytes : 0ull);
    for (uint32_t i = 0; i < job->files_count; i++) {
        const struct check_file *file = &job->files[i];
        (void)fputs(i > 0 ? ",{\"file\":" : "{\"file\":", out);
        sl_cli_print_json(out, file->path);
        (void)fprintf(out, ",\"good\":%s,", file->diags.errors == 0 ? "true" : "false");
        check_json_diags(out, &file->diags);
        if (file->topology != NULL) {
            (void)fputs(",\"name\":", out);
            sl_cli_print_json(out, file->topology->name);
            (void)fprintf(out, ",\"digest\":\"%016llx\",\"memory_bytes\":%llu", (unsigned long long)file->topology->digest,
                          (unsigned long long)file->memory_bytes);
            check_json_components(out, file->topology);
        }
        (void)fputc('}', out);
    }
    (void)fputs("]}\n", out);
}

int sl_command_check(struct sl_cli *cli)
{
    struct check_job job = {.cli = cli};
    int result;

    if (cli->args_count == 0 && !sl_cli_has(cli, "config"))
        return sl_cli_say(cli, SL_EXIT_USAGE, "name a topology file, or a process file with --config sluice.yaml");
    check_load(&job);
    if (sl_cli_has(cli, "connect") && check_errors(&job) == 0)
        check_connections(&job);
    if (sl_cli_has(cli, "json"))
        check_json(&job);
    else
        check_text(&job);
    result = check_errors(&job) == 0 ? SL_EXIT_OK : SL_EXIT_FAILED;
    check_free(&job);
    return result;
}
