/* upgrade.c: the old process's side of `sluice upgrade`: the command, the host under the giver's hooks, and who watches.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/cli/upgrade.h"

#include <assert.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "runtime/base/json_out.h"
#include "runtime/base/slice.h"
#include "runtime/base/taken.h"
#include "runtime/config/pool.h"
#include "runtime/config/yaml.h"
#include "runtime/engine/host.h"
#include "runtime/engine/slot.h"
#include "runtime/store/data_dir.h"
#include "runtime/upgrade/giver.h"
#include "runtime/upgrade/notify.h"
#include "runtime/upgrade/taker.h"
#include "runtime/upgrade/wire.h"

enum { UPGRADE_LINES = 16, UPGRADE_LINE_BYTES = 1024, UPGRADE_ARGS_BYTES = 256 << 10, UPGRADE_READ_MS = 100 };
#define UPGRADE_ANSWER_NS (10 * SL_NS_PER_S) /* main's loop takes a command up within that */

struct upgrade_ask { /* of a control thread; main answers */
    const char *binary; /* NULL: the one that runs */
    bool taken, answered; /* under the upgrade's lock */
    int status;
    struct sl_err err;
};

struct sl_upgrade {
    struct sl_upgrade_hooks hooks;
    struct sl_giver *giver;
    uv_async_t asked;
    atomic_bool under_way;
    char *args_text, **args; /* of this process */
    pthread_mutex_t lock;
    pthread_cond_t change;
    struct upgrade_ask *ask; /* under lock, as all below */
    char lines[UPGRADE_LINES][UPGRADE_LINE_BYTES];
    uint32_t lines_count, attempt, watchers;
    bool over; /* the last line is there */
};

/* ---- who watches ---- */

static const char *upgrade_state(enum sl_giver_state state)
{
    static const char *const names[] = {"idle", "warming", "flushing", "draining", "handing", "calling_off", "upgraded"};
    return names[state];
}

/* One line; report NULL and end NULL: a step. */
static void upgrade_line(struct sl_upgrade *upgrade, const char *state, const char *text, const char *end, const char *report)
{
    struct sl_buf line = {0};
    struct sl_json_out out;

    sl_json_out_init(&out, &line);
    sl_json_out_object(&out);
    sl_json_out_u64_at(&out, "unix_ms", (uint64_t)sl_clock_unix_ms());
    sl_json_out_str_at(&out, "state", state);
    sl_json_out_str_at(&out, "text", text);
    if (end != NULL)
        sl_json_out_str_at(&out, "end", end);
    if (report != NULL) {
        sl_json_out_key(&out, "report");
        sl_json_out_raw(&out, sl_slice_of(report));
    }
    sl_json_out_end_object(&out);
    (void)pthread_mutex_lock(&upgrade->lock);
    if (upgrade->lines_count < UPGRADE_LINES && !sl_buf_failed(&line))
        (void)snprintf(upgrade->lines[upgrade->lines_count++], UPGRADE_LINE_BYTES, "%.*s\n", UPGRADE_LINE_BYTES - 2, sl_buf_str(&line));
    upgrade->over = upgrade->over || end != NULL;
    (void)pthread_cond_broadcast(&upgrade->change);
    (void)pthread_mutex_unlock(&upgrade->lock);
    sl_buf_fini(&line);
}

static void upgrade_lines_new(struct sl_upgrade *upgrade)
{
    (void)pthread_mutex_lock(&upgrade->lock);
    upgrade->lines_count = 0;
    upgrade->attempt++;
    upgrade->over = false;
    (void)pthread_mutex_unlock(&upgrade->lock);
}

struct upgrade_stream {
    struct sl_control_stream stream; /* first */
    struct sl_upgrade *upgrade;
    uint32_t attempt, next;
};

static void upgrade_until(struct timespec *ret_until, uint64_t wait_ns)
{
    uint64_t until_ns = sl_clock_now_ns() + wait_ns;

    ret_until->tv_sec = (time_t)(until_ns / SL_NS_PER_S);
    ret_until->tv_nsec = (long)(until_ns % SL_NS_PER_S);
}

int64_t sl_upgrade_read(struct sl_control_stream *self, char *to, size_t bytes)
{
    struct upgrade_stream *stream = (struct upgrade_stream *)(void *)self;
    struct sl_upgrade *upgrade = stream->upgrade;
    struct timespec until;
    int64_t got = 0;
    int rc = 0;

    upgrade_until(&until, UPGRADE_READ_MS * SL_NS_PER_MS);
    (void)pthread_mutex_lock(&upgrade->lock);
    while (rc == 0 && stream->attempt == upgrade->attempt && stream->next == upgrade->lines_count && !upgrade->over)
        rc = pthread_cond_timedwait(&upgrade->change, &upgrade->lock, &until);
    if (stream->attempt != upgrade->attempt || (upgrade->over && stream->next == upgrade->lines_count))
        got = -1;
    else if (stream->next < upgrade->lines_count && strlen(upgrade->lines[stream->next]) <= bytes) {
        got = (int64_t)strlen(upgrade->lines[stream->next]);
        memcpy(to, upgrade->lines[stream->next++], (size_t)got);
    }
    (void)pthread_mutex_unlock(&upgrade->lock);
    return got;
}

static void upgrade_stream_close(struct sl_control_stream *self)
{
    struct upgrade_stream *stream = (struct upgrade_stream *)(void *)self;

    (void)pthread_mutex_lock(&stream->upgrade->lock);
    stream->upgrade->watchers--;
    (void)pthread_cond_broadcast(&stream->upgrade->change);
    (void)pthread_mutex_unlock(&stream->upgrade->lock);
    free(stream);
}

int sl_upgrade_watch(struct sl_upgrade *upgrade, struct sl_control_stream **ret_stream, struct sl_buf *json)
{
    struct upgrade_stream *stream = calloc(1, sizeof(*stream));

    (void)pthread_mutex_lock(&upgrade->lock);
    if (stream == NULL || upgrade->attempt == 0) {
        (void)pthread_mutex_unlock(&upgrade->lock);
        free(stream);
        sl_buf_text(json, "{\"error\":\"this process was not upgraded, and did not take over from another\"}");
        return -1;
    }
    *stream = (struct upgrade_stream){{sl_upgrade_read, upgrade_stream_close}, upgrade, upgrade->attempt, 0};
    upgrade->watchers++;
    (void)pthread_mutex_unlock(&upgrade->lock);
    *ret_stream = &stream->stream;
    return 0;
}

/* ---- the giver's hooks ---- */

static void upgrade_ask_all(struct sl_upgrade *upgrade, void (*each)(void *user, struct sl_slot *slot), void *user)
{
    struct sl_host *host = upgrade->hooks.host(upgrade->hooks.user);
    struct sl_err err;

    for (uint32_t t = 0; t < sl_host_topologies_count(host); t++)
        (void)sl_host_ask(host, sl_host_topology_at(host, t)->name, each, user, &err);
}

static void upgrade_flush_each(void *user, struct sl_slot *slot)
{
    (void)user;
    sl_slot_flush(slot);
}

static void upgrade_flushed_each(void *user, struct sl_slot *slot)
{
    *(bool *)user = *(bool *)user && sl_slot_flushed(slot);
}

static void upgrade_flush(void *user)
{
    upgrade_ask_all(user, upgrade_flush_each, NULL);
}

static bool upgrade_flushed(void *user)
{
    bool flushed = true;

    upgrade_ask_all(user, upgrade_flushed_each, &flushed);
    return flushed;
}

static void upgrade_drain(void *user)
{
    struct sl_upgrade *upgrade = user;

    sl_host_drain(upgrade->hooks.host(upgrade->hooks.user));
}

static bool upgrade_idle(void *user)
{
    struct sl_upgrade *upgrade = user;

    return sl_host_idle(upgrade->hooks.host(upgrade->hooks.user));
}

static uint64_t upgrade_last_taken_ns(void *user)
{
    (void)user;
    return sl_taken_last_ns();
}

static int upgrade_close(void *user, int *ret_lock, struct sl_err *err)
{
    struct sl_upgrade *upgrade = user;

    if (sl_data_dir_share(upgrade->hooks.data_dir, ret_lock, err) != 0)
        return -(int)err->code;
    upgrade->hooks.close(upgrade->hooks.user);
    return 0;
}

/* As many consumers as there are: their instance ids are known to the group (rule I2). */
static int upgrade_tell(void *user, int wire, struct sl_err *err)
{
    struct sl_upgrade *upgrade = user;
    struct sl_host *host = upgrade->hooks.host(upgrade->hooks.user);
    struct sl_host_topology *items;
    int status = 0;

    if (sl_host_view(host, &items) != 0)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory");
    for (uint32_t t = 0; t < sl_host_topologies_count(host) && status == 0; t++)
        if (items[t].slots > 0)
            status = sl_wire_send(wire, -1, err, "slots %u %s", items[t].slots, items[t].topology->name);
    sl_host_view_fini(host, items);
    return status;
}

static void upgrade_said(void *user, enum sl_giver_state state, const char *text)
{
    struct sl_upgrade *upgrade = user;

    upgrade_line(upgrade, upgrade_state(state), text, NULL, NULL);
}

static int upgrade_reopen(void *user, struct sl_err *err)
{
    struct sl_upgrade *upgrade = user;

    return upgrade->hooks.reopen(upgrade->hooks.user, err);
}

static void upgrade_ms(struct sl_json_out *out, const char *key, uint64_t ns)
{
    sl_json_out_f64_at(out, key, (double)(ns / 100000) / 10);
}

static void upgrade_report(const struct sl_giver_report *report, struct sl_buf *json)
{
    uint64_t handover_ns = report->gap_ns > report->drain_ns ? report->gap_ns - report->drain_ns : 0;
    struct sl_json_out out;

    sl_json_out_init(&out, json);
    sl_json_out_object(&out);
    sl_json_out_u64_at(&out, "pid", (uint64_t)report->pid);
    upgrade_ms(&out, "warm_ms", report->warm_ns);
    upgrade_ms(&out, "flush_ms", report->flush_ns);
    if (report->gap_ns != 0) {
        upgrade_ms(&out, "gap_ms", report->gap_ns);
        upgrade_ms(&out, "handover_ms", handover_ns);
    }
    upgrade_ms(&out, "drain_ms", report->drain_ns);
    upgrade_ms(&out, "close_ms", report->close_ns);
    upgrade_ms(&out, "report_ms", report->open_ns);
    sl_json_out_bool_at(&out, "drained", report->drained);
    sl_json_out_end_object(&out);
}

static void upgrade_sum_up(const struct sl_giver_report *report, char *text, size_t bytes)
{
    uint64_t handover_ns = report->gap_ns > report->drain_ns ? report->gap_ns - report->drain_ns : 0;
    int used = snprintf(text, bytes, "process %ld has taken over", report->pid);

    if (report->gap_ns != 0)
        used += snprintf(text + used, bytes - (size_t)used, "; no record was taken for %.0f ms: %.0f ms to finish and commit, %.0f ms to hand over",
                         (double)report->gap_ns / 1e6, (double)(report->gap_ns - handover_ns) / 1e6, (double)handover_ns / 1e6);
    else
        used += snprintf(text + used, bytes - (size_t)used, "; no records came meanwhile");
    if (!report->drained)
        (void)snprintf(text + used, bytes - (size_t)used, "; some sink had not finished in time: what it held is read again");
}

static void upgrade_ended(void *user, const struct sl_giver_report *report, const char *why, bool lost)
{
    struct sl_upgrade *upgrade = user;
    struct sl_buf json = {0};
    char text[640];

    if (why == NULL)
        upgrade_sum_up(report, text, sizeof(text));
    else
        (void)snprintf(text, sizeof(text), "%.500s%s", why, lost ? "" : "; this process goes on");
    upgrade_report(report, &json);
    upgrade_line(upgrade, why == NULL ? "upgraded" : "failed", text, why == NULL ? "upgraded" : "failed", sl_buf_str(&json));
    sl_buf_fini(&json);
    upgrade->hooks.say(upgrade->hooks.user, text);
    if (why != NULL)
        atomic_store(&upgrade->under_way, false);
    upgrade->hooks.ended(upgrade->hooks.user, why == NULL, lost);
}

/* ---- the command ---- */

static int upgrade_args(struct sl_upgrade *upgrade)
{
    FILE *file = fopen("/proc/self/cmdline", "re"); /* its size is told as 0 */
    size_t bytes, count = 0;

    upgrade->args_text = file == NULL ? NULL : calloc(1, UPGRADE_ARGS_BYTES + 1);
    bytes = upgrade->args_text == NULL ? 0 : fread(upgrade->args_text, 1, UPGRADE_ARGS_BYTES, file);
    if (file != NULL)
        (void)fclose(file);
    for (size_t i = 0; i < bytes; i++)
        count += upgrade->args_text[i] == '\0';
    upgrade->args = calloc(count + 1, sizeof(char *));
    for (size_t i = 0, at = 0; upgrade->args != NULL && i < count; i++) {
        upgrade->args[i] = upgrade->args_text + at;
        at += strlen(upgrade->args_text + at) + 1;
    }
    return upgrade->args == NULL || count == 0 ? -1 : 0;
}

static int upgrade_start(struct sl_upgrade *upgrade, const char *binary, struct sl_err *err)
{
    const struct sl_giver_limits limits = {0};
    const char *why = sl_giver_state(upgrade->giver) != SL_GIVER_IDLE ? "an upgrade is under way already" : sl_notify_refuses();
    const char *file = binary != NULL ? binary : upgrade->args[0];
    char *was = upgrade->args[0];
    int status;

    if (why == NULL) {
        atomic_store(&upgrade->under_way, true); /* first: no command is begun any more */
        why = upgrade->hooks.refuses(upgrade->hooks.user);
        atomic_store(&upgrade->under_way, why == NULL);
    }
    if (why != NULL)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "no upgrade now: %s", why);
    upgrade_lines_new(upgrade);
    upgrade->args[0] = (char *)(uintptr_t)file; /* the next upgrade's file, unless it names one */
    status = sl_giver_start(upgrade->giver, file, upgrade->args, &limits, err);
    upgrade->args[0] = was;
    if (status != 0 && sl_giver_state(upgrade->giver) == SL_GIVER_IDLE) {
        atomic_store(&upgrade->under_way, false);
        upgrade_line(upgrade, "failed", err->text, "failed", NULL);
        upgrade->hooks.ended(upgrade->hooks.user, false, false); /* what refuses() held may go on */
    }
    return status;
}

static void upgrade_on_ask(uv_async_t *handle)
{
    struct sl_upgrade *upgrade = handle->data;

    (void)pthread_mutex_lock(&upgrade->lock);
    struct upgrade_ask *ask = upgrade->ask;
    upgrade->ask = NULL;
    if (ask != NULL)
        ask->taken = true;
    (void)pthread_mutex_unlock(&upgrade->lock);
    if (ask == NULL)
        return;
    ask->status = upgrade_start(upgrade, ask->binary, &ask->err);
    (void)pthread_mutex_lock(&upgrade->lock);
    ask->answered = true;
    (void)pthread_cond_broadcast(&upgrade->change);
    (void)pthread_mutex_unlock(&upgrade->lock);
}

/* To main's loop and back. Commands come one at a time. */
static void upgrade_do(struct sl_upgrade *upgrade, struct upgrade_ask *ask)
{
    struct timespec until;
    int rc = 0;

    upgrade_until(&until, UPGRADE_ANSWER_NS);
    (void)pthread_mutex_lock(&upgrade->lock);
    upgrade->ask = ask;
    (void)uv_async_send(&upgrade->asked);
    while (!ask->answered && (ask->taken || rc == 0))
        rc = ask->taken ? pthread_cond_wait(&upgrade->change, &upgrade->lock)
                        : pthread_cond_timedwait(&upgrade->change, &upgrade->lock, &until);
    if (!ask->answered) {
        upgrade->ask = NULL;
        ask->status = sl_fail(&ask->err, SL_E_STOPPED, SL_REMEDY_HALT, 0, "this process is ending");
    }
    (void)pthread_mutex_unlock(&upgrade->lock);
}

int sl_upgrade_command(struct sl_upgrade *upgrade, const char *body, struct sl_buf *json)
{
    struct upgrade_ask ask = {.status = 0};
    const struct sl_yaml_item *item = NULL;
    const struct sl_yaml *root;
    struct sl_json_out out;
    struct sl_pool pool;
    struct sl_diags diags;

    sl_pool_init(&pool);
    sl_diags_init(&diags);
    root = sl_yaml_parse(&pool, "request", body[0] != '\0' ? body : "{}", body[0] != '\0' ? strlen(body) : 2, &diags);
    if (root != NULL && root->kind == SL_YAML_MAP)
        item = sl_yaml_find(root, "binary");
    if (item != NULL && item->value->kind == SL_YAML_SCALAR)
        ask.binary = item->value->text;
    if (root == NULL || root->kind != SL_YAML_MAP)
        ask.status = sl_fail(&ask.err, SL_E_FORMAT, SL_REMEDY_HALT, 0, "the request is no JSON object");
    else if (ask.binary != NULL && ask.binary[0] == '\0')
        ask.status = sl_fail(&ask.err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "binary: empty; name a file, or leave it out");
    else
        upgrade_do(upgrade, &ask);
    sl_json_out_init(&out, json);
    sl_json_out_object(&out);
    sl_json_out_str_at(&out, ask.status == 0 ? "said" : "error", ask.status == 0 ? "the new process warms up" : ask.err.text);
    if (ask.status == 0)
        sl_json_out_str_at(&out, "watch", SL_UPGRADE_WATCH);
    sl_json_out_end_object(&out);
    sl_diags_fini(&diags);
    sl_pool_fini(&pool);
    return ask.status == 0 ? 0 : -1;
}

/* ---- the new process ---- */

void sl_upgrade_taken(struct sl_upgrade *upgrade, struct sl_taker *taker)
{
    uint64_t first_ns = sl_taken_first_ns(), last_ns = sl_taker_last_taken_ns(taker);
    struct sl_err err;
    char text[200], report[64];

    if (sl_taker_running(taker, first_ns, &err) != 0) /* the old one has died meanwhile: nobody is left to be told */
        upgrade->hooks.say(upgrade->hooks.user, "the process before has gone");
    upgrade_lines_new(upgrade);
    (void)snprintf(text, sizeof(text), "process %ld has taken over", (long)getpid());
    (void)snprintf(report, sizeof(report), "{\"pid\":%ld,\"gap_ms\":%.1f}", (long)getpid(),
                   first_ns > last_ns && last_ns > 0 ? (double)(first_ns - last_ns) / 1e6 : 0.0);
    upgrade_line(upgrade, "upgraded", text, "upgraded", report);
}

/* ---- life ---- */

struct sl_upgrade *sl_upgrade_new(uv_loop_t *loop, const struct sl_upgrade_hooks *hooks, struct sl_err *err)
{
    struct sl_upgrade *upgrade = calloc(1, sizeof(*upgrade));
    struct sl_giver_hooks giver = {upgrade, upgrade_flush, upgrade_flushed, upgrade_drain, upgrade_idle, upgrade_close, upgrade_tell,
                                   upgrade_last_taken_ns, upgrade_reopen, upgrade_said, upgrade_ended};
    pthread_condattr_t attr;

    if (upgrade == NULL || upgrade_args(upgrade) != 0 || (upgrade->giver = sl_giver_new(loop, &giver, err)) == NULL) {
        if (upgrade != NULL)
            free(upgrade->args_text);
        free(upgrade);
        (void)sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "no memory, or /proc/self/cmdline cannot be read");
        return NULL;
    }
    upgrade->hooks = *hooks;
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&upgrade->lock, NULL);
    (void)pthread_cond_init(&upgrade->change, &attr);
    (void)uv_async_init(loop, &upgrade->asked, upgrade_on_ask);
    upgrade->asked.data = upgrade;
    return upgrade;
}

bool sl_upgrade_under_way(struct sl_upgrade *upgrade)
{
    return atomic_load(&upgrade->under_way);
}

bool sl_upgrade_drains(const struct sl_upgrade *upgrade)
{
    enum sl_giver_state state = sl_giver_state(upgrade->giver);

    return state == SL_GIVER_DRAIN || state == SL_GIVER_HAND || state == SL_GIVER_KILL || state == SL_GIVER_OVER;
}

bool sl_upgrade_stop(struct sl_upgrade *upgrade)
{
    return sl_giver_stop(upgrade->giver);
}

void sl_upgrade_finish(struct sl_upgrade *upgrade)
{
    struct timespec until;
    int rc = 0;

    upgrade_until(&until, 2 * SL_NS_PER_S);
    (void)pthread_mutex_lock(&upgrade->lock);
    while (upgrade->over && upgrade->watchers > 0 && rc == 0)
        rc = pthread_cond_timedwait(&upgrade->change, &upgrade->lock, &until);
    (void)pthread_mutex_unlock(&upgrade->lock);
}

struct sl_upgrade *sl_upgrade_free(struct sl_upgrade *upgrade)
{
    if (upgrade == NULL)
        return NULL;
    upgrade->giver = sl_giver_free(upgrade->giver);
    (void)pthread_mutex_destroy(&upgrade->lock);
    (void)pthread_cond_destroy(&upgrade->change);
    free(upgrade->args_text);
    free(upgrade->args);
    free(upgrade);
    return NULL;
}
