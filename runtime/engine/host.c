/* host.c: the process: opens data_dir, spool, commit logs, shares and workers in this order, closes them in the opposite one.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/engine/host_private.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "runtime/base/clock.h"
#include "runtime/engine/mark_codec.h"
#include "runtime/engine/slot/replay.h"
#include "runtime/engine/worker.h"
#include "runtime/store/commit_log.h"

static uint64_t host_now(void *env)
{
    (void)env;
    return sl_clock_now_ns();
}

static int64_t host_unix(void *env)
{
    (void)env;
    return sl_clock_unix_ms();
}

static void host_spool_report(void *env, const struct sl_err *err)
{
    struct sl_host *host = env;
    host->settings.log(host->settings.user, "spool", err, err->code == SL_OK ? "spool recovered" : "spool");
}

static int host_open_spool(struct sl_host *host, struct sl_err *err)
{
    const struct sl_spool_config *conf = &host->settings.process->spool;
    struct sl_spool_settings settings = {
        .segment_bytes = conf->segment_bytes,
        .hold_bytes = conf->hold_bytes,
        .hold_age_ns = conf->hold_age_ns,
        .fsync = (enum sl_spool_fsync)conf->fsync,
        .when_full = SL_SPOOL_BLOCK,
        .append_queue_bytes = host->settings.process->memory_bytes / 20,
        .unix_ms = host_unix,
        .now_ns = host_now,
        .env = host,
        .report = host_spool_report,
    };
    char path[4096];

    (void)snprintf(path, sizeof(path), "%s/spool", host->data_dir.path);
    return sl_spool_open(host->fs, path, &settings, &host->spool, err);
}

/* ---- one topology ---- */

struct host_env { /* behind the api of share(): no slot yet */
    struct sl_host *host;
    const struct sl_topology *topology;
};

static void host_api_log(void *env, const struct sl_err *err, const char *what)
{
    const struct host_env *from = env;
    from->host->settings.log(from->host->settings.user, from->topology->name, err, what);
}

static uint64_t host_api_random(void *env)
{
    uint64_t value = 0;

    (void)env;
    if (getrandom(&value, sizeof(value), 0) != sizeof(value))
        value = sl_clock_now_ns();
    return value;
}

static void host_api_wake(void *env)
{
    (void)env;
}

static void host_api_tally(void *env, const void *self, uint32_t counter, uint64_t by)
{
    (void)env;
    (void)self;
    (void)counter;
    (void)by;
}

int sl_host_share(struct sl_host *host, struct host_topology *at, struct host_version *version, uint32_t index, struct sl_err *err)
{
    const struct sl_component *conf = &version->topology->components[index];
    struct sl_api *api = &version->apis[index];
    struct host_env *env;

    if (conf->head->share == NULL)
        return 0;
    env = calloc(1, sizeof(*env));
    if (env == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "no memory for %s", conf->name);
    *env = (struct host_env){host, version->topology};
    *api = (struct sl_api){
        .env = env, .fs = host->fs, .now_ns = host_now, .unix_ms = host_unix, .random = host_api_random, .tally = host_api_tally, .wake = host_api_wake,
        .log = host_api_log, .node = host->settings.process->node, .data_dir = host->data_dir.path,
        .topology = version->topology->name, .component = conf->name, .base_dir = version->topology->base_dir,
        .epoch = host->data_dir.epoch, .slots = at->shared.slots, .share_bytes = at->shared.memory_bytes / 10,
        .max_record_bytes = host->settings.process->max_record_bytes, .spool = host->spool,
    };
    if (conf->head->share(api, conf->config, &version->shared[index], err) != 0)
        return sl_while(err, "%s", conf->name);
    return 0;
}

void sl_host_unshare(struct host_version *version, uint32_t index)
{
    const struct sl_head *head = version->topology->components[index].head;

    if (version->shared[index] != NULL && head != NULL && head->unshare != NULL)
        head->unshare(version->shared[index]);
    version->shared[index] = NULL;
    free(version->apis[index].env);
    version->apis[index].env = NULL;
}

/* consumers: default max(1, min(workers, partitions / 4)) (DESIGN.md 4.2). */
static int host_slots(struct sl_host *host, struct host_topology *at, struct sl_err *err)
{
    uint32_t partitions = 0, slots = at->topology->consumers;

    for (uint32_t c = 0; slots == 0 && c < at->topology->components_count; c++) {
        const struct sl_component *conf = &at->topology->components[c];
        const struct sl_source_kind *kind = (const struct sl_source_kind *)conf->head;
        struct sl_api api = {.fs = host->fs, .base_dir = at->topology->base_dir, .topology = at->topology->name,
                             .component = conf->name, .data_dir = host->data_dir.path};
        uint32_t count = 0;
        if (conf->role != SL_SOURCE || kind->partitions == NULL)
            continue;
        if (kind->partitions(&api, conf->config, at->topology, host->settings.klog, &count, err) != 0) {
            /* not to be had now, as while the brokers are away: that must keep neither this topology nor others from starting */
            (void)sl_while(err, "topology %s: source %s: its partitions cannot be counted, consumers: %u", at->topology->name,
                           conf->name, host->workers_count);
            host->settings.log(host->settings.user, at->topology->name, err, "start");
            slots = host->workers_count;
        }
        partitions += count;
    }
    if (slots == 0)
        slots = partitions / 4 < host->workers_count ? partitions / 4 : host->workers_count;
    at->shared.slots = slots == 0 ? 1 : slots;
    return 0;
}

/* Rule F1: no spool partition goes on below a committed mark, even if its tail was lost; told before any front accepts. */
struct host_reserve {
    struct sl_host *host;
    struct sl_err *err;
};

static int host_reserve_each(void *user, struct sl_slice key, struct sl_slice value)
{
    struct host_reserve *reserve = user;
    char memory[SL_COMMIT_KEY_BYTES + 1];
    struct sl_commit_key found;
    struct sl_spool_topic *topic;
    struct sl_mark mark;
    uint32_t incarnation;
    unsigned long partition;

    if (sl_commit_key_scan(key, memory, &found) != 0 || found.kind != SL_KEY_MARK ||
        sl_mark_scan(value, &mark, &incarnation) != 0)
        return 0;
    if (found.id[strspn(found.id, "0123456789")] != '\0' || strlen(found.id) > 6 || found.topic[0] == '/')
        return 0; /* a file's, by its 128-bit id */
    partition = strtoul(found.id, NULL, 10);
    if (sl_spool_topic(reserve->host->spool, found.topic, (uint32_t)partition + 1, &topic, reserve->err) != 0)
        return -(int)reserve->err->code;
    return sl_spool_reserve(topic, (uint32_t)partition, mark.next, reserve->err);
}

static int host_open_topology(struct sl_host *host, struct host_topology *at, struct sl_err *err)
{
    const struct sl_process_config *process = host->settings.process;
    char path[4096];

    (void)pthread_mutex_init(&at->change, NULL);
    (void)snprintf(path, sizeof(path), "%s/topologies/%s", host->data_dir.path, at->topology->name);
    if (sl_fs_mkdirs(host->fs, path, 0755) != 0)
        return sl_fail(err, SL_E_IO, SL_REMEDY_HALT, 0, "cannot make folder %s", path);
    at->shared = (struct sl_shared){
        .topology = at->topology,
        .node = process->node,
        .data_dir = host->data_dir.path,
        .epoch = host->data_dir.epoch,
        .memory_bytes = at->topology->memory_bytes != 0 ? at->topology->memory_bytes
                                                        : process->memory_bytes / host->topologies_count,
        .max_record_bytes = process->max_record_bytes,
        .spool = host->spool,
        .flush_number = &at->flush_number,
        .once = host->settings.once,
    };
    (void)snprintf(path, sizeof(path), "%s/topologies/%s/commit.log", host->data_dir.path, at->topology->name);
    at->name = strdup(at->topology->name);
    at->live = sl_host_version_new(at, at->topology, 0, err);
    if (at->name == NULL || at->live == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "no memory");
    at->live->live = true;
    if (host->settings.numbers != NULL)
        at->live->number = at->shared.generation = host->settings.numbers[at - host->topologies];
    at->shared.component_shared = at->live->shared;
    if (host_slots(host, at, err) != 0 || sl_commit_log_open(host->fs, path, &at->shared.commit_log, err) != 0)
        return -(int)err->code;
    if (sl_commit_log_each(at->shared.commit_log, host_reserve_each, &(struct host_reserve){host, err}) != 0)
        return sl_while(err, "reserving the spool's offsets");
    for (uint32_t c = 0; c < at->topology->components_count; c++)
        if ((!host->settings.replay_only || at->topology->components[c].role != SL_SOURCE) && sl_host_share(host, at, at->live, c, err) != 0)
            return -(int)err->code;
    return 0;
}

static int host_open_workers(struct sl_host *host, struct sl_err *err)
{
    struct sl_worker_settings settings = {host->fs, host->settings.klog, host->settings.log, host->settings.ended,
                                          host->settings.user, 0};

    for (uint32_t t = 0; t < host->topologies_count; t++)
        settings.slots_max += host->topologies[t].shared.slots;
    for (uint32_t w = 0; w < host->workers_count; w++) {
        host->workers[w] = sl_worker_new(&settings, err);
        if (host->workers[w] == NULL)
            return -(int)err->code;
    }
    for (uint32_t t = 0, next = 0; t < host->topologies_count && !host->settings.replay_only; t++)
        for (uint32_t s = 0; s < host->topologies[t].shared.slots; s++, next++)
            if (sl_worker_add(host->workers[next % host->workers_count], &host->topologies[t].shared, s, err) != 0)
                return -(int)err->code;
    return 0;
}

static int host_open_all(struct sl_host *host, struct sl_err *err)
{
    const struct sl_process_config *process = host->settings.process;

    if (sl_data_dir_open(host->fs, process->data_dir, &host->data_dir, err) != 0)
        return -(int)err->code;
    host->has_data_dir = true;
    host->workers_count = process->workers;
    host->workers = calloc(host->workers_count, sizeof(struct sl_worker *));
    host->topologies = calloc(host->settings.topologies_count, sizeof(*host->topologies));
    if (host->workers == NULL || host->topologies == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "no memory");
    host->topologies_count = host->settings.topologies_count;
    if (host_open_spool(host, err) != 0)
        return -(int)err->code;
    for (uint32_t t = 0; t < host->topologies_count; t++) {
        host->topologies[t].topology = host->settings.topologies[t];
        if (host_open_topology(host, &host->topologies[t], err) != 0)
            return sl_while(err, "topology %s", host->settings.topologies[t]->name);
    }
    return host_open_workers(host, err);
}

struct sl_host *sl_host_open(const struct sl_host_settings *settings, struct sl_err *err)
{
    struct sl_host *host = calloc(1, sizeof(*host));

    assert(settings->topologies_count > 0 && settings->process->workers > 0);
    if (host == NULL) {
        (void)sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "no memory");
        return NULL;
    }
    (void)pthread_mutex_init(&host->replay_lock, NULL);
    host->settings = *settings;
    host->fs = sl_fs_posix();
    if (host_open_all(host, err) != 0)
        return sl_host_close(host);
    return host;
}

struct sl_spool *sl_host_spool(struct sl_host *host)
{
    return host->spool;
}

int sl_host_start(struct sl_host *host, struct sl_err *err)
{
    (void)pthread_mutex_lock(&host->replay_lock);
    host->started = true;
    (void)pthread_mutex_unlock(&host->replay_lock);
    /* First: what a replay had committed is renamed before a topology that knows nothing of it clears temporaries away. */
    for (uint32_t t = 0; t < host->topologies_count && !host->settings.replay_only; t++)
        sl_host_replay_again(host, &host->topologies[t]);
    for (uint32_t w = 0; w < host->workers_count; w++)
        if (sl_worker_start(host->workers[w], err) != 0)
            return -(int)err->code;
    return 0;
}

void sl_host_drain(struct sl_host *host)
{
    for (uint32_t w = 0; w < host->workers_count; w++)
        sl_worker_drain(host->workers[w]);
    (void)pthread_mutex_lock(&host->replay_lock);
    host->draining = true;
    for (uint32_t t = 0; t < host->topologies_count; t++)
        if (host->topologies[t].replay != NULL)
            sl_worker_drain(host->topologies[t].replay);
    (void)pthread_mutex_unlock(&host->replay_lock);
}

bool sl_host_idle(struct sl_host *host)
{
    bool idle = true;

    for (uint32_t w = 0; w < host->workers_count; w++)
        idle = idle && sl_worker_idle(host->workers[w]);
    (void)pthread_mutex_lock(&host->replay_lock);
    for (uint32_t t = 0; t < host->topologies_count; t++)
        idle = idle && (host->topologies[t].replay == NULL || sl_worker_idle(host->topologies[t].replay));
    (void)pthread_mutex_unlock(&host->replay_lock);
    return idle;
}

static void host_close_topology(struct host_topology *at)
{
    sl_host_versions_close(at);
    at->shared.commit_log = sl_commit_log_close(at->shared.commit_log);
    (void)pthread_mutex_destroy(&at->change);
    free(at->name);
}

struct sl_host *sl_host_close(struct sl_host *host)
{
    if (host == NULL)
        return NULL;
    for (uint32_t w = 0; host->workers != NULL && w < host->workers_count; w++)
        host->workers[w] = sl_worker_free(host->workers[w]);
    for (uint32_t t = 0; t < host->topologies_count; t++)
        sl_host_replay_close(&host->topologies[t]);
    for (uint32_t t = 0; t < host->topologies_count; t++)
        if (host->topologies[t].topology != NULL)
            host_close_topology(&host->topologies[t]);
    if (host->spool != NULL)
        host->spool = sl_spool_close(host->spool);
    free(host->workers);
    free(host->topologies);
    if (host->has_data_dir)
        sl_data_dir_close(&host->data_dir);
    (void)pthread_mutex_destroy(&host->replay_lock);
    free(host);
    return NULL;
}

/* ---- questions ---- */

struct host_topology *sl_host_find(struct sl_host *host, const char *name, struct sl_err *err)
{
    char names[256] = "";
    size_t used = 0;

    for (uint32_t t = 0; t < host->topologies_count; t++) {
        const char *known = host->topologies[t].name;
        if (strcmp(known, name) == 0)
            return &host->topologies[t];
        if (used < sizeof(names))
            used += (size_t)snprintf(names + used, sizeof(names) - used, "%s%s", t == 0 ? "" : ", ", known);
    }
    (void)sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "no topology %s runs here; there are: %s", name, names);
    return NULL;
}

void sl_host_ask_at(struct sl_host *host, struct host_topology *at, void (*each)(void *user, struct sl_slot *slot), void *user)
{
    for (uint32_t w = 0; w < host->workers_count; w++)
        sl_worker_ask(host->workers[w], &at->shared, each, user);
}

int sl_host_ask(struct sl_host *host, const char *topology, void (*each)(void *user, struct sl_slot *slot), void *user,
                struct sl_err *err)
{
    struct host_topology *found = sl_host_find(host, topology, err);

    if (found != NULL)
        sl_host_ask_at(host, found, each, user);
    return found != NULL ? 0 : -(int)err->code;
}

void sl_host_hold(struct sl_host *host)
{
    (void)atomic_fetch_add(&host->pins, 1);
}

void sl_host_let(struct sl_host *host)
{
    (void)atomic_fetch_sub(&host->pins, 1);
}

const char *sl_host_name_at(const struct sl_host *host, uint32_t index)
{
    return host->topologies[index].name;
}

const struct sl_topology *sl_host_topology_at(const struct sl_host *host, uint32_t index)
{
    return host->topologies[index].topology;
}

uint32_t sl_host_topologies_count(const struct sl_host *host)
{
    return host->topologies_count;
}

void sl_host_spool_stats(struct sl_host *host, struct sl_spool_stats *ret_stats)
{
    sl_spool_stats(host->spool, ret_stats);
}

uint32_t sl_host_epoch(const struct sl_host *host)
{
    return host->data_dir.epoch;
}

const char *sl_host_data_dir(const struct sl_host *host)
{
    return host->data_dir.path;
}
