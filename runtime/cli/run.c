/* run.c: `sluice run`: loads, opens, runs until a signal, a duration or the end of all input; says at the end what became of
 * every record.
 *
 * Threads: main's loop holds signals, timers, an upgrade and nothing else; workers do the work; the control server has its own threads,
 * which find host and deployer under a lock, since an upgrade closes them before these threads end, and may open them again.
 * Ctrl-C once drains (a line says what it waits for); a second one ends at once: what is not committed is read again next time.
 * SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <uv.h>

#include "runtime/base/clock.h"
#include "runtime/cli/admin.h"
#include "runtime/cli/cli.h"
#include "runtime/cli/commands.h"
#include "runtime/cli/pages.h"
#include "runtime/cli/tap.h"
#include "runtime/cli/upgrade.h"
#include "runtime/config/process.h"
#include "runtime/config/units.h"
#include "runtime/control/control.h"
#include "runtime/deploy/blame.h"
#include "runtime/deploy/deployer.h"
#include "runtime/engine/host.h"
#include "runtime/kafka/klog.h"
#include "runtime/upgrade/notify.h"
#include "runtime/upgrade/taker.h"

enum { RUN_PROGRESS_MS = 500, RUN_TAKING_MS = 20, RUN_LOG_ROWS = 64 };
#define RUN_LOG_QUIET_NS (5ull * SL_NS_PER_S)
#define RUN_SIGNAL_ONCE_NS (200ull * SL_NS_PER_MS)

struct run_said { /* the same message is printed once in five seconds, with how often it came */
    char text[160];
    uint64_t at_ns, times;
};

struct run {
    struct sl_cli *cli;
    struct sl_process_config *process;
    struct sl_topology **topologies;
    uint32_t topologies_count;
    struct sl_deploy_kinds kinds;
    uint32_t *consumers; /* that the topologies ask for, while those of the process before stand there (run_take); NULL: they do */
    struct sl_start start;
    struct sl_host *host;
    struct sl_deployer *deployer;
    pthread_rwlock_t shown_lock;
    struct sl_admin shown; /* host and deployer for control threads; NULL: closed. Under shown_lock */
    struct sl_control *control;
    struct sl_upgrade *upgrade;
    uint64_t there_ns;      /* of sl_upgrade_runs */
    struct sl_taker *taker; /* NULL: nobody hands over to this process, or that is done */
    bool lost;              /* this process cannot go on: an upgrade broke off halfway, here or there */
    char problem[480];      /* the first one of the configuration */
    char socket[PATH_MAX];
    uint64_t started_ns, ended_ns, records_before, for_ns, signal_ns;
    uv_loop_t loop;
    uv_signal_t interrupt, terminate;
    uv_timer_t deadline, progress, taking;
    uv_async_t ended;
    atomic_bool draining; /* the control server asks */
    bool progress_shown, quiet, memory_given;
    pthread_mutex_t log_lock;
    struct run_said said[RUN_LOG_ROWS];
};

/* ---- the log ---- */

static struct run_said *run_said_find(struct run *run, const char *text)
{
    struct run_said *oldest = &run->said[0];

    for (int i = 0; i < RUN_LOG_ROWS; i++) {
        if (strncmp(run->said[i].text, text, sizeof(run->said[i].text) - 1) == 0)
            return &run->said[i];
        if (run->said[i].at_ns < oldest->at_ns)
            oldest = &run->said[i];
    }
    *oldest = (struct run_said){.at_ns = 0};
    (void)snprintf(oldest->text, sizeof(oldest->text), "%.159s", text);
    return oldest;
}

/* The time of a line; what was shown of the progress goes first. Under the lock. */
static const char *run_log_begin(struct run *run, char when[32])
{
    time_t now = time(NULL);
    struct tm parts;

    (void)strftime(when, 32, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &parts));
    if (run->progress_shown)
        (void)fputs("\r\033[K", run->cli->err);
    run->progress_shown = false;
    return when;
}

/* Of a deployment: a step, a verdict. */
static void run_log_line(void *user, const char *topology, const char *line)
{
    struct run *run = user;
    char when[32];
    (void)topology;

    (void)pthread_mutex_lock(&run->log_lock);
    (void)fprintf(run->cli->err, "%s info %s\n", run_log_begin(run, when), line);
    (void)pthread_mutex_unlock(&run->log_lock);
}

static void run_log(void *user, const char *topology, const struct sl_err *err, const char *what)
{
    struct run *run = user;
    uint64_t now_ns = sl_clock_now_ns();
    struct run_said *said;
    char when[32];

    (void)pthread_mutex_lock(&run->log_lock);
    said = run_said_find(run, err->text);
    said->times++;
    if (said->at_ns == 0 || now_ns - said->at_ns >= RUN_LOG_QUIET_NS) {
        (void)fprintf(run->cli->err, "%s %s %s: %s", run_log_begin(run, when), err->remedy == SL_REMEDY_HALT && err->code != SL_OK ? "error" : "warn", what,
                      err->text[0] != '\0' ? err->text : topology);
        if (said->times > 1)
            (void)fprintf(run->cli->err, " (%" PRIu64 " times)", said->times);
        (void)fputc('\n', run->cli->err);
        said->at_ns = now_ns;
        said->times = 0;
    }
    (void)pthread_mutex_unlock(&run->log_lock);
}

/* ---- the control server's questions ---- */

static const char run_handing[] = "{\"error\":\"an upgrade is under way; come again when it has ended (`sluice upgrade` shows it)\"}";

/* NULL: the host is closed. Ends with run_leave in each case. */
static const struct sl_admin *run_enter(struct run *run)
{
    (void)pthread_rwlock_rdlock(&run->shown_lock);
    return run->shown.host == NULL ? NULL : &run->shown;
}

static void run_leave(struct run *run)
{
    (void)pthread_rwlock_unlock(&run->shown_lock);
}

static void run_show(struct run *run, struct sl_host *host, struct sl_deployer *deployer)
{
    (void)pthread_rwlock_wrlock(&run->shown_lock);
    run->shown = (struct sl_admin){host, deployer};
    (void)pthread_rwlock_unlock(&run->shown_lock);
}

static int run_status(void *user, struct sl_buf *json)
{
    struct run *run = user;
    const struct sl_admin *admin = run_enter(run);
    int status = admin == NULL ? -1 : sl_pages_status(admin->host, run->process, admin->deployer, run->started_ns, json);

    run_leave(run);
    return status;
}

static int run_metrics(void *user, struct sl_buf *text)
{
    struct run *run = user;
    const struct sl_admin *admin = run_enter(run);
    int status = admin == NULL ? -1 : sl_pages_metrics(admin->host, admin->deployer, run->started_ns, text);

    run_leave(run);
    return status;
}

static int run_look_at(struct sl_host *host, bool held_too, char *why, size_t bytes)
{
    struct sl_host_topology *items;
    int fine = 1;

    if (sl_host_view(host, &items) != 0)
        return 0;
    for (uint32_t t = 0; t < sl_host_topologies_count(host) && fine == 1; t++) {
        const struct sl_host_topology *item = &items[t];
        if (item->failed > 0) {
            (void)snprintf(why, bytes, "topology %s stopped: %s", item->topology->name, item->sum.error);
            fine = 0;
        }
        for (uint32_t p = 0; held_too && p < item->sum.partitions_count && fine == 1; p++)
            if (item->sum.partitions[p].held[0] != '\0') {
                (void)snprintf(why, bytes, "topology %s: partition %s is held: %s", item->topology->name,
                               item->sum.partitions[p].id, item->sum.partitions[p].held);
                fine = 0;
            }
        if (held_too && item->slots < 1) {
            (void)snprintf(why, bytes, "topology %s is starting", item->topology->name);
            fine = 0;
        }
    }
    sl_host_view_fini(host, items);
    return fine;
}

static int run_look(struct run *run, bool held_too, char *why, size_t bytes)
{
    const struct sl_admin *admin = run_enter(run);
    int fine = admin == NULL ? 0 : run_look_at(admin->host, held_too, why, bytes);

    if (admin == NULL)
        (void)snprintf(why, bytes, "handing over to another process");
    run_leave(run);
    return fine;
}

static int run_healthy(void *user, char *why, size_t bytes)
{
    return run_look(user, false, why, bytes);
}

static int run_ready(void *user, char *why, size_t bytes)
{
    struct run *run = user;

    if (run->draining) {
        (void)snprintf(why, bytes, "draining");
        return 0;
    }
    return run_look(run, true, why, bytes);
}

/* The audit log says who asked; how it ended is said there by whoever goes on. */
static int run_upgrade_command(struct run *run, const struct sl_control_who *who, const char *body, struct sl_buf *json)
{
    struct sl_who asks = {.uid = who->local ? (int64_t)who->uid : -1};
    const struct sl_admin *admin = run_enter(run);

    (void)snprintf(asks.text, sizeof(asks.text), "%s", who->text);
    if (admin != NULL)
        sl_deployer_audit(admin->deployer, &asks, "upgrade", "asked", body);
    run_leave(run); /* main will want this lock for itself */
    return sl_upgrade_command(run->upgrade, body, json);
}

static int run_command(void *user, const struct sl_control_who *who, const char *path, const char *body, struct sl_buf *json)
{
    struct run *run = user;
    const struct sl_admin *admin;
    int status = -1;

    if (strcmp(path, "upgrade") == 0)
        return run_upgrade_command(run, who, body, json);
    admin = run_enter(run);
    if (admin == NULL || sl_upgrade_under_way(run->upgrade))
        sl_buf_text(json, run_handing);
    else
        status = sl_admin_command(admin, who, path, body, json);
    run_leave(run);
    return status;
}

static int run_tap(void *user, const char *path, struct sl_control_stream **ret_stream, struct sl_buf *json)
{
    struct run *run = user;
    const struct sl_admin *admin = run_enter(run);
    int status = admin == NULL ? -1 : sl_tap_serve(admin->host, path, ret_stream, json);

    if (admin == NULL)
        sl_buf_text(json, run_handing);
    run_leave(run);
    return status;
}

static int run_watch(void *user, const char *path, struct sl_control_stream **ret_stream, struct sl_buf *json)
{
    struct run *run = user;
    const struct sl_admin *admin;
    int status;

    if (strcmp(path, SL_UPGRADE_WATCH) == 0)
        return sl_upgrade_watch(run->upgrade, ret_stream, json);
    admin = run_enter(run);
    status = admin == NULL ? -1 : sl_admin_watch(admin, path, ret_stream, json);
    if (admin == NULL)
        sl_buf_text(json, run_handing);
    run_leave(run);
    return status;
}

static int run_open_control(struct run *run, struct sl_err *err)
{
    struct sl_control_source source = {run, run_status, run_metrics, run_healthy, run_ready, run_command, run_tap, run_watch};
    struct sl_control_settings settings = {run->socket, run->process->control_listen, NULL};
    char *token = NULL;
    int status;

    if (settings.listen != NULL && sl_secret_resolve(&run->process->control_token, &token, err) != 0)
        return sl_while(err, "control.token");
    settings.token = token;
    status = sl_control_open(&settings, &source, &run->control, err);
    if (token != NULL)
        explicit_bzero(token, strlen(token));
    free(token);
    return status;
}

/* ---- ending ---- */

static void run_waits(struct run *run)
{
    struct sl_host_topology *items;

    if (sl_host_view(run->host, &items) != 0)
        return;
    for (uint32_t t = 0; t < sl_host_topologies_count(run->host); t++)
        if (items[t].running > 0)
            (void)fprintf(run->cli->err, "sluice: %s waits for %s; Ctrl-C again ends at once, nothing is lost\n",
                          items[t].topology->name, items[t].waits_for[0] != '\0' ? items[t].waits_for : "its last batch");
    sl_host_view_fini(run->host, items);
}

static void run_drain(struct run *run, const char *why)
{
    if (run->draining)
        return;
    run->draining = true;
    if (why != NULL && !run->quiet) {
        if (run->progress_shown)
            (void)fputs("\r\033[K", run->cli->err);
        run->progress_shown = false;
        (void)fprintf(run->cli->err, "sluice: %s: reading has stopped, files and commits are being finished\n", why);
    }
    sl_host_drain(run->host);
}

static void run_on_signal(uv_signal_t *handle, int number)
{
    struct run *run = handle->data;

    uint64_t now_ns = sl_clock_now_ns();

    if (run->draining && now_ns - run->signal_ns < RUN_SIGNAL_ONCE_NS)
        return; /* one Ctrl-C that came twice, by way of a wrapper's process group */
    if (run->draining) {
        (void)fputs("sluice: ended at once; what was not committed is read again at the next start\n", run->cli->err);
        (void)fflush(run->cli->err);
        _exit(128 + number);
    }
    run->signal_ns = now_ns;
    if (run->upgrade != NULL && sl_upgrade_stop(run->upgrade)) {
        run->draining = true; /* all was closed for the new process: nothing is left to drain */
        return;
    }
    run_drain(run, number == SIGINT ? "interrupted" : "asked to end");
}

static void run_on_deadline(uv_timer_t *handle)
{
    run_drain(handle->data, NULL);
}

static void run_on_ended(uv_async_t *handle)
{
    struct run *run = handle->data;

    if (run->host == NULL || (!run->draining && sl_upgrade_drains(run->upgrade)))
        return;
    if (sl_host_idle(run->host)) {
        run->ended_ns = sl_clock_now_ns();
        uv_stop(&run->loop);
    }
}

static void run_ended(void *user)
{
    struct run *run = user;
    (void)uv_async_send(&run->ended);
}

static void run_on_progress(uv_timer_t *handle)
{
    struct run *run = handle->data;
    struct sl_host_topology *items;
    uint64_t records = 0;
    int64_t lag = -1;
    static int draining_turns;

    if (run->host == NULL)
        return;
    if (run->draining && ++draining_turns % 4 == 2)
        run_waits(run);
    if (run->quiet || !isatty(fileno(run->cli->err)) || run->draining || sl_host_view(run->host, &items) != 0)
        return;
    for (uint32_t t = 0; t < sl_host_topologies_count(run->host); t++) {
        records += items[t].sum.records;
        if (items[t].sum.lag_records >= 0)
            lag = (lag < 0 ? 0 : lag) + items[t].sum.lag_records;
    }
    sl_host_view_fini(run->host, items);
    (void)pthread_mutex_lock(&run->log_lock);
    (void)fprintf(run->cli->err, "\r\033[K%" PRIu64 " records, %" PRIu64 "/s", records,
                  (records - run->records_before) * (1000 / RUN_PROGRESS_MS));
    if (lag >= 0)
        (void)fprintf(run->cli->err, ", %" PRId64 " behind (%.0f %% done)", lag,
                      100.0 * (double)records / (double)(records + (uint64_t)lag + 1));
    if (run->for_ns > 0)
        (void)fprintf(run->cli->err, ", %" PRIu64 " s left",
                      (uint64_t)(run->for_ns / SL_NS_PER_S > (sl_clock_now_ns() - run->started_ns) / SL_NS_PER_S
                          ? run->for_ns / SL_NS_PER_S - (sl_clock_now_ns() - run->started_ns) / SL_NS_PER_S : 0));
    (void)fflush(run->cli->err);
    run->progress_shown = true;
    (void)pthread_mutex_unlock(&run->log_lock);
    run->records_before = records;
}

/* ---- loading ---- */

static void run_print_diags(struct run *run, const struct sl_diags *diags)
{
    for (uint32_t i = 0; i < diags->count; i++) {
        const struct sl_diag *diag = &diags->items[i];
        if (!diag->warning && run->problem[0] == '\0')
            (void)snprintf(run->problem, sizeof(run->problem), "%s:%u:%u: %s", diag->file, diag->line, diag->column, diag->text);
        (void)fprintf(run->cli->err, "%s:%u:%u: %s: %s\n", diag->file, diag->line, diag->column,
                      diag->warning ? "warning" : "error", diag->text);
        if (diag->remedy != NULL && diag->remedy[0] != '\0')
            (void)fprintf(run->cli->err, "    %s\n", diag->remedy);
    }
}

static int run_override(struct run *run)
{
    const char *workers = sl_cli_option(run->cli, "workers"), *memory = sl_cli_option(run->cli, "memory");
    const char *data_dir = sl_cli_option(run->cli, "data-dir"), *duration = sl_cli_option(run->cli, "for");
    struct sl_err err = {0};

    if (data_dir != NULL)
        run->process->data_dir = data_dir;
    if (workers != NULL) {
        char *end = NULL;
        unsigned long count = strtoul(workers, &end, 10);
        if (*workers == '\0' || *end != '\0' || count < 1 || count > 1024)
            return sl_cli_say(run->cli, SL_EXIT_USAGE, "--workers: %s is not a count; write 1 to 1024", workers);
        run->process->workers = (uint32_t)count;
    }
    if (memory != NULL && sl_bytes_scan(memory, &run->process->memory_bytes, &err) != 0)
        return sl_cli_say(run->cli, SL_EXIT_USAGE, "--memory: %s", err.text);
    if (duration != NULL && sl_duration_scan(duration, &run->for_ns, &err) != 0)
        return sl_cli_say(run->cli, SL_EXIT_USAGE, "--for: %s", err.text);
    if (sl_cli_has(run->cli, "socket"))
        (void)snprintf(run->socket, sizeof(run->socket), "%s", sl_cli_option(run->cli, "socket"));
    else if (data_dir == NULL && run->process->control_socket != NULL)
        (void)snprintf(run->socket, sizeof(run->socket), "%s", run->process->control_socket);
    else
        (void)snprintf(run->socket, sizeof(run->socket), "%s/control.sock", run->process->data_dir);
    return SL_EXIT_OK;
}

static int run_load(struct run *run)
{
    struct sl_diags diags;
    uint32_t count = run->cli->args_count;
    int status = SL_EXIT_OK;

    sl_diags_init(&diags);
    if (sl_process_load(sl_cli_config(run->cli), &diags, &run->process) != 0)
        status = SL_EXIT_FAILED;
    if (status == SL_EXIT_OK)
        status = run_override(run);
    if (status == SL_EXIT_OK && count == 0)
        count = run->process->topologies.count;
    if (status == SL_EXIT_OK && count == 0)
        status = sl_cli_say(run->cli, SL_EXIT_USAGE, "no topology: name a file, or list some under topologies: in sluice.yaml");
    run->topologies = calloc(count + 1, sizeof(struct sl_topology *));
    for (uint32_t i = 0; status != SL_EXIT_USAGE && run->process != NULL && run->topologies != NULL && i < count; i++) {
        const char *path = run->cli->args_count > 0 ? run->cli->args[i] : run->process->topologies.items[i];
        if (sl_topology_load(path, run->cli->registry, run->process, &diags, &run->topologies[run->topologies_count]) != 0)
            status = SL_EXIT_FAILED;
        else
            run->topologies_count++;
    }
    for (uint32_t i = 0; i < run->topologies_count; i++)
        for (uint32_t j = 0; j < i; j++)
            if (strcmp(run->topologies[i]->name, run->topologies[j]->name) == 0)
                status = sl_cli_say(run->cli, SL_EXIT_FAILED, "two topologies are named %s; give each a name of its own",
                                    run->topologies[i]->name);
    run_print_diags(run, &diags);
    sl_diags_fini(&diags);
    return status;
}

/* Which generation of each topology runs: that of its file, or the live one (deploy/start.h). */
static int run_choose(struct run *run, bool beside, struct sl_err *err)
{
    struct sl_start_settings settings = {sl_fs_posix(), run->process->data_dir, sl_deploy_load(&run->kinds), sl_clock_unix_ms(),
                                         sl_cli_has(run->cli, "from-files"), beside};

    run->kinds = (struct sl_deploy_kinds){run->cli->registry, run->process};
    if (sl_start_choose(&settings, run->topologies, run->topologies_count, &run->start, err) != 0)
        return -(int)err->code;
    for (uint32_t i = 0; i < run->topologies_count; i++) {
        run->topologies[i] = run->start.items[i].topology;
        if (run->start.items[i].said[0] != '\0')
            (void)fprintf(run->cli->err, "sluice: %s\n", run->start.items[i].said);
    }
    return 0;
}

/* ---- running ---- */

static void run_loop_open(struct run *run)
{
    (void)uv_loop_init(&run->loop);
    (void)uv_signal_init(&run->loop, &run->interrupt);
    (void)uv_signal_init(&run->loop, &run->terminate);
    (void)uv_timer_init(&run->loop, &run->deadline);
    (void)uv_timer_init(&run->loop, &run->progress);
    (void)uv_timer_init(&run->loop, &run->taking);
    (void)uv_async_init(&run->loop, &run->ended, run_on_ended);
    run->interrupt.data = run->terminate.data = run->deadline.data = run->progress.data = run->taking.data = run->ended.data = run;
    (void)uv_signal_start(&run->interrupt, run_on_signal, SIGINT);
    (void)uv_signal_start(&run->terminate, run_on_signal, SIGTERM);
    (void)uv_timer_start(&run->progress, run_on_progress, RUN_PROGRESS_MS, RUN_PROGRESS_MS);
}

static void run_close_handle(uv_handle_t *handle, void *user)
{
    (void)user;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

static void run_loop_close(struct run *run)
{
    uv_walk(&run->loop, run_close_handle, NULL);
    (void)uv_run(&run->loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&run->loop);
}

static const struct sl_head *run_spool_kind(const struct sl_registry *registry)
{
    for (uint32_t i = 0; registry->sources[i] != NULL; i++)
        if (strcmp(((const struct sl_head *)(const void *)registry->sources[i])->name, "spool") == 0)
            return (const struct sl_head *)(const void *)registry->sources[i];
    return NULL;
}

/* Between the host's opening and its start: from here on its data_dir is ours. */
static int run_open_deployer(struct run *run, struct sl_err *err)
{
    struct sl_deployer_settings settings = {.host = run->host, .engine = sl_deploy_engine(), .load = sl_deploy_load(&run->kinds),
                                            .fs = sl_fs_posix(), .data_dir = sl_host_data_dir(run->host), .log = run_log_line,
                                            .user = run};

    if (sl_deployer_open(&settings, &run->start, &run->deployer, err) != 0)
        return -(int)err->code;
    return sl_blame_open(sl_host_data_dir(run->host), err);
}

static void run_close_host(struct run *run)
{
    run_show(run, NULL, NULL);
    run->deployer = sl_deployer_close(run->deployer);
    run->host = sl_host_close(run->host);
}

/* The host has counted its slots; what is deployed from now on is held against what the files say. */
static void run_consumers_back(struct run *run)
{
    for (uint32_t t = 0; run->consumers != NULL && t < run->topologies_count; t++)
        run->topologies[t]->consumers = run->consumers[t];
    free(run->consumers);
    run->consumers = NULL;
}

/* Also where an upgrade has closed it and takes it back. */
static int run_open_host(struct run *run, struct sl_err *err)
{
    struct sl_host_settings settings = {run->process, (const struct sl_topology *const *)run->topologies, run->topologies_count,
                                        sl_klog_rdkafka(), sl_cli_has(run->cli, "once"), run_spool_kind(run->cli->registry), NULL, false,
                                        run_log, run_ended, run};
    uint32_t *numbers = calloc(run->topologies_count + 1, sizeof(*numbers));

    for (uint32_t t = 0; numbers != NULL && t < run->start.count; t++)
        numbers[t] = run->start.items[t].number;
    settings.numbers = numbers;
    run->host = sl_host_open(&settings, err);
    free(numbers);
    run_consumers_back(run);
    if (run->host == NULL) {
        sl_start_fini(&run->start, err->text);
        return -(int)err->code;
    }
    if (run_open_deployer(run, err) != 0 || sl_host_start(run->host, err) != 0) {
        run_close_host(run);
        return -(int)err->code;
    }
    run_show(run, run->host, run->deployer); /* commands need workers that turn */
    return 0;
}

/* ---- upgrades ---- */

static const struct sl_who run_itself = {"the process", -1};

static struct sl_host *run_upgrade_host(void *user)
{
    return ((struct run *)user)->host;
}

static bool run_reads_stdin(const struct run *run)
{
    for (uint32_t t = 0; t < run->topologies_count; t++)
        for (uint32_t c = 0; c < run->topologies[t]->components_count; c++) {
            const struct sl_component *component = &run->topologies[t]->components[c];
            if (component->role == SL_SOURCE && strcmp(component->head->name, "stdin") == 0)
                return true;
        }
    return false;
}

/* No command is under way, and none will be begun: an upgrade is. Nor does the deployer change anything by itself until run_upgrade_ended. */
static const char *run_upgrade_deploys(struct run *run)
{
    struct timespec until;
    struct sl_buf json = {0};
    struct sl_err ignored = {0};
    const char *why = NULL;

    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec++;
    if (pthread_rwlock_timedwrlock(&run->shown_lock, &until) != 0)
        return "another command is being carried out; come again";
    (void)sl_deployer_status(run->deployer, NULL, &json);
    if (strstr(sl_buf_str(&json), "\"paused\":true") != NULL)
        why = "a topology is paused, and the new process would read it; `sluice resume` it first";
    else if (sl_deployer_hold(run->deployer, "the binary is being upgraded", &ignored) != 0)
        why = "a deployment is under way; promote it or roll it back first (`sluice status`)";
    run_leave(run);
    sl_buf_fini(&json);
    return why;
}

static const char *run_upgrade_refuses(void *user)
{
    struct run *run = user;

    if (run->draining || run->host == NULL)
        return "this process is ending";
    if (sl_cli_has(run->cli, "once") || run->for_ns > 0)
        return "this process ends by itself (--once, --for)";
    if (run->taker != NULL)
        return "this process is just taking over from another one";
    if (run_reads_stdin(run))
        return "a topology reads standard input, of which a half-read line cannot be handed over";
    return run_upgrade_deploys(run);
}

static void run_upgrade_close(void *user)
{
    struct run *run = user;

    run_show(run, NULL, NULL);
    sl_control_quiesce(run->control, sl_upgrade_read);
    run_close_host(run);
}

/* What is live now, whatever was when this process started. */
static int run_upgrade_reopen(void *user, struct sl_err *err)
{
    struct run *run = user;

    if (run_choose(run, true, err) != 0 || run_open_host(run, err) != 0)
        return -(int)err->code;
    return sl_control_resume(run->control, err);
}

static void run_upgrade_say(void *user, const char *text)
{
    struct run *run = user;
    char when[32];

    (void)pthread_mutex_lock(&run->log_lock);
    (void)fprintf(run->cli->err, "%s info upgrade: %s\n", run_log_begin(run, when), text);
    (void)pthread_mutex_unlock(&run->log_lock);
}

static void run_upgrade_ended(void *user, bool handed, bool lost)
{
    struct run *run = user;

    run->lost = lost;
    if (run->deployer != NULL) {
        sl_deployer_let(run->deployer);
        sl_deployer_audit(run->deployer, &run_itself, "upgrade", "failed", "this process goes on; its log says why");
    }
    if (handed || lost || run->host == NULL)
        uv_stop(&run->loop);
    else if (run->draining)
        run_ended(run);
}

static int run_upgrade_open(struct run *run, struct sl_err *err)
{
    struct sl_upgrade_hooks hooks = {run, run->process->data_dir, run_upgrade_host, run_upgrade_refuses, run_upgrade_close,
                                     run_upgrade_reopen, run_upgrade_say, run_upgrade_ended};

    run->upgrade = sl_upgrade_new(&run->loop, &hooks, err);
    return run->upgrade == NULL ? -(int)err->code : 0;
}

static void run_on_taking(uv_timer_t *handle)
{
    struct run *run = handle->data;
    struct sl_err err = {0};
    int runs = sl_upgrade_runs(run->host, &run->there_ns, &err);

    if (runs == 0)
        return;
    (void)uv_timer_stop(&run->taking);
    if (runs == 1) {
        sl_upgrade_taken(run->upgrade, run->taker);
        sl_deployer_audit(run->deployer, &run_itself, "upgrade", "done", "version " SLUICE_VERSION " has taken over");
    } else {
        sl_taker_failed(run->taker, err.text);
        run->lost = true;
        uv_stop(&run->loop);
    }
    run->taker = sl_taker_free(run->taker);
    sl_klog_rdkafka()->kind->cool(sl_klog_rdkafka());
}

/* Where another process hands over to this one: on 0 everything is ours. */
static int run_take(struct run *run, struct sl_err *err)
{
    struct sl_upgrade_warm warm = {run->process, run->topologies, run->topologies_count, sl_klog_rdkafka()};

    run->consumers = calloc(run->topologies_count + 1, sizeof(*run->consumers));
    for (uint32_t t = 0; run->consumers != NULL && t < run->topologies_count; t++)
        run->consumers[t] = run->topologies[t]->consumers;
    if (!sl_cli_has(run->cli, "once") && run->for_ns == 0)
        return sl_upgrade_take(run->taker, &warm, err);
    (void)sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "--once and --for are not for a process that takes over");
    sl_taker_refuse(run->taker, err->text);
    return -(int)err->code;
}

/* ---- from start to end ---- */

static void run_summary(struct run *run, int *status)
{
    FILE *null = run->quiet ? fopen("/dev/null", "we") : NULL;

    if (!sl_pages_summary(run->host, run->cli, null != NULL ? null : run->cli->err, run->ended_ns - run->started_ns))
        *status = SL_EXIT_FAILED;
    if (null != NULL)
        (void)fclose(null);
}

static int run_host(struct run *run)
{
    struct sl_err err = {0};
    int status = SL_EXIT_FAILED;

    if (run_upgrade_open(run, &err) != 0 || run_open_host(run, &err) != 0 || run_open_control(run, &err) != 0) {
        (void)sl_cli_say_err(run->cli, SL_EXIT_FAILED, &err);
        if (run->taker != NULL)
            sl_taker_failed(run->taker, err.text);
        goto out;
    }
    if (!run->quiet)
        (void)fprintf(run->cli->err, "sluice %s: %u %s, %u %s, state in %s, control socket %s\n", SLUICE_VERSION,
                      run->topologies_count, run->topologies_count == 1 ? "topology" : "topologies", run->process->workers,
                      run->process->workers == 1 ? "worker" : "workers", sl_host_data_dir(run->host), run->socket);
    (void)sl_notify("READY=1\n");
    if (run->for_ns > 0)
        (void)uv_timer_start(&run->deadline, run_on_deadline, run->for_ns / SL_NS_PER_MS, 0);
    if (run->taker != NULL)
        (void)uv_timer_start(&run->taking, run_on_taking, RUN_TAKING_MS, RUN_TAKING_MS);
    (void)uv_run(&run->loop, UV_RUN_DEFAULT);
    if (run->progress_shown)
        (void)fputs("\r\033[K", run->cli->err);
    status = run->lost ? SL_EXIT_FAILED : SL_EXIT_OK;
    if (run->host != NULL && !run->lost)
        run_summary(run, &status);
    sl_upgrade_finish(run->upgrade);
out:
    run->control = sl_control_close(run->control);
    run_close_host(run);
    return status;
}

/* What runs is loaded; where another process hands over, it is told what is wrong with that. */
static int run_prepare(struct run *run)
{
    struct sl_err err = {0};
    int status;

    if (sl_taker_open(&run->taker, &err) != 0)
        return sl_cli_say_err(run->cli, SL_EXIT_FAILED, &err);
    status = run_load(run);
    if (status != SL_EXIT_OK && run->taker != NULL)
        sl_taker_refuse(run->taker, run->problem[0] != '\0' ? run->problem : "its arguments or its configuration are not valid");
    if (status != SL_EXIT_OK)
        return status;
    if (run_choose(run, run->taker != NULL, &err) != 0) {
        if (run->taker != NULL)
            sl_taker_refuse(run->taker, err.text);
        return sl_cli_say_err(run->cli, SL_EXIT_FAILED, &err);
    }
    return run->taker == NULL || run_take(run, &err) == 0 ? SL_EXIT_OK : sl_cli_say_err(run->cli, SL_EXIT_FAILED, &err);
}

int sl_command_run(struct sl_cli *cli)
{
    struct run *run = calloc(1, sizeof(*run));
    int status;

    if (run == NULL)
        return sl_cli_say(cli, SL_EXIT_FAILED, "no memory");
    run->cli = cli;
    run->quiet = sl_cli_has(cli, "quiet");
    run->started_ns = sl_clock_now_ns();
    (void)pthread_mutex_init(&run->log_lock, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
    (void)pthread_rwlock_init(&run->shown_lock, NULL);
    status = run_prepare(run);
    if (status == SL_EXIT_OK) {
        run_loop_open(run);
        status = run_host(run);
        run_loop_close(run);
    }
    run->upgrade = sl_upgrade_free(run->upgrade);
    run->taker = sl_taker_free(run->taker);
    run_consumers_back(run);
    sl_klog_rdkafka()->kind->cool(sl_klog_rdkafka()); /* what was opened ahead for nothing */
    (void)pthread_rwlock_destroy(&run->shown_lock);
    for (uint32_t i = 0; i < run->topologies_count; i++)
        run->topologies[i] = sl_topology_free(run->topologies[i]);
    free(run->topologies);
    run->process = sl_process_free(run->process);
    (void)pthread_mutex_destroy(&run->log_lock);
    free(run);
    return status;
}
