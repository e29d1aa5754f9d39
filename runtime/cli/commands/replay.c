/* replay.c: `sluice replay --dead FILE`: sends the dead letters of a topology again, each through the stage or sink that had failed.
 *
 * A server that runs does it (POST /command/replay) with the settings that it runs with; else this process takes the data folder,
 * runs the stages and sinks without the sources, and ends when all letters are through.
 * SPDX-License-Identifier: Apache-2.0 */
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/clock.h"
#include "runtime/cli/ask.h"
#include "runtime/cli/cli.h"
#include "runtime/cli/client.h"
#include "runtime/cli/commands.h"
#include "runtime/cli/replay/replay.h"
#include "runtime/config/process.h"
#include "runtime/config/topology.h"
#include "runtime/config/units.h"
#include "runtime/kafka/klog.h"

enum { REPLAY_LOOK_MS = 20 };

struct replay_job {
    struct sl_cli *cli;
    struct sl_process_config *process;
    struct sl_topology *topology;
    struct sl_replay_filter filter;
};

static void replay_log(void *user, const char *topology, const struct sl_err *err, const char *what)
{
    struct replay_job *job = user;

    (void)fprintf(job->cli->err, "%s: %s\n", what, err->text[0] != '\0' ? err->text : topology);
}

static void replay_ended(void *user)
{
    (void)user; /* it is looked at */
}

static const struct sl_head *replay_spool_kind(const struct sl_registry *registry)
{
    for (uint32_t i = 0; registry->sources[i] != NULL; i++) {
        const struct sl_head *head = (const struct sl_head *)(const void *)registry->sources[i];
        if (strcmp(head->name, "spool") == 0)
            return head;
    }
    return NULL;
}

static int replay_load(struct replay_job *job)
{
    struct sl_diags diags;
    int status = SL_EXIT_OK;

    sl_diags_init(&diags);
    if (sl_process_load(sl_cli_config(job->cli), &diags, &job->process) != 0 ||
        sl_topology_load(job->cli->args[0], job->cli->registry, job->process, &diags, &job->topology) != 0)
        status = SL_EXIT_FAILED;
    for (uint32_t i = 0; i < diags.count && status != SL_EXIT_OK; i++)
        (void)fprintf(job->cli->err, "%s:%u:%u: %s\n    %s\n", diags.items[i].file, diags.items[i].line, diags.items[i].column,
                      diags.items[i].text, diags.items[i].remedy != NULL ? diags.items[i].remedy : "");
    sl_diags_fini(&diags);
    if (status == SL_EXIT_OK && sl_cli_has(job->cli, "data-dir"))
        job->process->data_dir = sl_cli_option(job->cli, "data-dir");
    return status;
}

/* The server's socket is where its process file says, unless the command line or the environment does. */
static void replay_place(const struct replay_job *job)
{
    bool data_dir = sl_cli_has(job->cli, "data-dir");
    char path[PATH_MAX];

    if (sl_cli_has(job->cli, "socket"))
        return;
    if (!data_dir && job->process->control_socket != NULL)
        (void)snprintf(path, sizeof(path), "%s", job->process->control_socket);
    else
        (void)snprintf(path, sizeof(path), "%s/control.sock", job->process->data_dir);
    (void)setenv("SLUICE_SOCKET", path, data_dir); /* sl_cli_socket() looks there next */
}

/* ---- without a server ---- */

static int replay_run(struct replay_job *job, struct sl_host *host)
{
    struct sl_replay_result result;
    struct sl_buf text = {0};
    struct sl_err err = {0};

    if (sl_host_start(host, &err) != 0 || sl_replay_send(host, job->topology, &job->filter, &result, &err) != 0)
        return sl_cli_say_err(job->cli, SL_EXIT_FAILED, &err);
    sl_replay_say(job->topology, &result, &text);
    while (!sl_host_idle(host))
        (void)poll(NULL, 0, REPLAY_LOOK_MS);
    (void)fprintf(job->cli->out, "%s\n", sl_buf_str(&text));
    sl_buf_fini(&text);
    return result.without_way > 0 || result.strange > 0 ? SL_EXIT_FAILED : SL_EXIT_OK;
}

static int replay_alone(struct replay_job *job)
{
    const struct sl_topology *topologies[1] = {job->topology};
    struct sl_host_settings settings = {.process = job->process, .topologies = topologies, .topologies_count = 1,
                                        .klog = sl_klog_rdkafka(), .spool = replay_spool_kind(job->cli->registry),
                                        .replay_only = true, .once = true, .log = replay_log, .ended = replay_ended, .user = job};
    struct sl_err err = {0};
    struct sl_host *host = sl_host_open(&settings, &err);
    int status;

    if (host == NULL)
        return sl_cli_say_err(job->cli, SL_EXIT_FAILED, &err);
    status = replay_run(job, host);
    (void)sl_host_close(host);
    return status;
}

/* ---- with one ---- */

static bool replay_has_server(const struct sl_cli *cli, const char *socket)
{
    struct sl_client_reply reply;
    struct sl_err err;

    (void)cli;
    if (sl_client_request(socket, "GET", "/healthz", NULL, &reply, &err) != 0)
        return err.code != SL_E_STOPPED;
    sl_client_reply_fini(&reply);
    return true;
}

static int replay_ask(struct replay_job *job)
{
    struct sl_ask ask;

    sl_ask_init(&ask, job->cli, UINT32_MAX);
    sl_json_out_str_at(&ask.out, "topology", job->topology->name);
    if (job->filter.stage != NULL)
        sl_json_out_str_at(&ask.out, "stage", job->filter.stage);
    if (job->filter.reason != NULL)
        sl_json_out_str_at(&ask.out, "reason", job->filter.reason);
    if (job->filter.since_unix_ms > 0)
        sl_json_out_i64_at(&ask.out, "since_unix_ms", job->filter.since_unix_ms);
    return sl_ask_send(&ask, "replay");
}

int sl_command_replay(struct sl_cli *cli)
{
    struct replay_job job = {.cli = cli, .filter = {sl_cli_option(cli, "stage"), sl_cli_option(cli, "reason"), 0}};
    const char *since = sl_cli_option(cli, "since");
    char socket_path[PATH_MAX];
    struct sl_err err;
    uint64_t ago_ns = 0;
    int status;

    if (!sl_cli_has(cli, "dead"))
        return sl_cli_say(cli, SL_EXIT_USAGE, "say what is to be replayed: --dead");
    if (since != NULL && sl_duration_scan(since, &ago_ns, &err) != 0)
        return sl_cli_say(cli, SL_EXIT_USAGE, "--since: %s", err.text);
    if (since != NULL)
        job.filter.since_unix_ms = sl_clock_unix_ms() - (int64_t)(ago_ns / SL_NS_PER_MS);
    status = replay_load(&job);
    if (status == SL_EXIT_OK)
        replay_place(&job);
    if (status == SL_EXIT_OK)
        status = replay_has_server(cli, sl_cli_socket(cli, socket_path, sizeof(socket_path))) ? replay_ask(&job) : replay_alone(&job);
    job.topology = sl_topology_free(job.topology);
    job.process = sl_process_free(job.process);
    return status;
}
