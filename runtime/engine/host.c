/* host.c: the process: opens data_dir, spool, commit logs, shares and workers in this order, closes them in the opposite one.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/engine/host.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "runtime/base/clock.h"
#include "runtime/engine/mark_codec.h"
#include "runtime/engine/slot/replay.h"
#include "runtime/engine/worker.h"
#include "runtime/store/commit_log.h"
#include "runtime/store/data_dir.h"

struct host_topology {
    const struct sl_topology *topology;
    struct sl_shared shared;
    struct sl_api *apis; /* by component, for share(); kept because a share may keep its api */
    uint64_t flush_number;
    struct sl_worker *replay; /* reads dead letters again; NULL: nobody asked for it. Under the host's replay_lock */
    struct sl_topology *replay_topology;
    struct sl_shared replay_shared;
};

struct sl_host {
    struct sl_host_settings settings;
    struct sl_fs *fs;
    struct sl_data_dir data_dir;
    bool has_data_dir;
    struct sl_spool *spool;
    struct host_topology *topologies;
    uint32_t topologies_count;
    struct sl_worker **workers;
    uint32_t workers_count;
    pthread_mutex_t replay_lock;
    bool draining, started; /* under replay_lock */
};

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

static int host_share(struct sl_host *host, struct host_topology *at, uint32_t index, struct sl_err *err)
{
    const struct sl_component *conf = &at->topology->components[index];
    struct sl_api *api = &at->apis[index];
    struct host_env *env;

    if (conf->head->share == NULL)
        return 0;
    env = calloc(1, sizeof(*env));
    if (env == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "no memory for %s", conf->name);
    *env = (struct host_env){host, at->topology};
    *api = (struct sl_api){
        .env = env, .fs = host->fs, .now_ns = host_now, .unix_ms = host_unix, .random = host_api_random, .tally = host_api_tally, .wake = host_api_wake,
        .log = host_api_log, .node = host->settings.process->node, .data_dir = host->data_dir.path,
        .topology = at->topology->name, .component = conf->name, .base_dir = at->topology->base_dir,
        .epoch = host->data_dir.epoch, .slots = at->shared.slots, .share_bytes = at->shared.memory_bytes / 10,
        .max_record_bytes = host->settings.process->max_record_bytes, .spool = host->spool,
    };
    if (conf->head->share(api, conf->config, &at->shared.component_shared[index], err) != 0)
        return sl_while(err, "%s", conf->name);
    return 0;
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
    at->shared.component_shared = calloc(at->topology->components_count + 1, sizeof(void *));
    at->apis = calloc(at->topology->components_count + 1, sizeof(*at->apis));
    if (at->shared.component_shared == NULL || at->apis == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "no memory");
    if (host_slots(host, at, err) != 0 || sl_commit_log_open(host->fs, path, &at->shared.commit_log, err) != 0)
        return -(int)err->code;
    if (sl_commit_log_each(at->shared.commit_log, host_reserve_each, &(struct host_reserve){host, err}) != 0)
        return sl_while(err, "reserving the spool's offsets");
    for (uint32_t c = 0; c < at->topology->components_count; c++)
        if ((!host->settings.replay_only || at->topology->components[c].role != SL_SOURCE) && host_share(host, at, c, err) != 0)
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

/* ---- dead letters once more ---- */

static const struct sl_topology *host_find(const struct sl_host *host, const char *name, struct sl_err *err)
{
    char names[256] = "";
    size_t used = 0;

    for (uint32_t t = 0; t < host->topologies_count; t++) {
        const char *known = host->topologies[t].topology->name;
        if (strcmp(known, name) == 0)
            return host->topologies[t].topology;
        if (used < sizeof(names))
            used += (size_t)snprintf(names + used, sizeof(names) - used, "%s%s", t == 0 ? "" : ", ", known);
    }
    (void)sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "no topology %s runs here; there are: %s", name, names);
    return NULL;
}

/* Records of exactly-once Kafka sinks are part of the transaction that the topology's own source commits. */
static const char *host_rides_kafka(const struct sl_topology *topology)
{
    for (uint32_t c = 0; c < topology->components_count; c++)
        if (topology->components[c].role == SL_SINK &&
            (sl_sink_flags_of((const struct sl_sink_kind *)(const void *)topology->components[c].head,
                              topology->components[c].config) & SL_SINK_NEEDS_KAFKA_COMMIT) != 0)
            return topology->components[c].name;
    return NULL;
}

/* Its shares, its commit log and its flush numbers are the topology's. */
static int host_replay_open(struct sl_host *host, struct host_topology *at, struct sl_err *err)
{
    struct sl_worker_settings settings = {host->fs, host->settings.klog, host->settings.log, host->settings.ended,
                                          host->settings.user, 1};

    at->replay_topology = sl_replay_topology(at->topology, host->settings.spool);
    if (at->replay_topology == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory");
    at->replay_shared = at->shared;
    at->replay_shared.topology = at->replay_topology;
    at->replay_shared.replay = true;
    at->replay_shared.slots = at->shared.slots + 1;
    at->replay = sl_worker_new(&settings, err);
    if (at->replay == NULL || sl_worker_add(at->replay, &at->replay_shared, at->shared.slots, err) != 0 ||
        sl_worker_start(at->replay, err) != 0)
        return -(int)err->code;
    return 0;
}

static int host_replay_may(const struct sl_host *host, const struct host_topology *at, struct sl_err *err)
{
    if (host->settings.spool == NULL || host->draining || !host->started)
        return sl_fail(err, SL_E_STOPPED, SL_REMEDY_RETRY, 0, "the process is ending, or has not started yet");
    if (host_rides_kafka(at->topology) != NULL)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0,
                       "topology %s: sink %s is exactly_once, and its records are committed with Kafka's offsets alone; produce the letters' "
                       "raw bytes to the topology's input topic",
                       at->topology->name, host_rides_kafka(at->topology));
    return 0;
}

static void host_replay_close(struct host_topology *at)
{
    at->replay = sl_worker_free(at->replay);
    free(at->replay_topology);
    at->replay_topology = NULL;
}

static int host_replay_begin(struct sl_host *host, struct host_topology *at, struct sl_err *err)
{
    int status;

    if (at->replay != NULL && !sl_worker_idle(at->replay))
        return 0;
    host_replay_close(at); /* --once: it has ended with what was there */
    status = host_replay_open(host, at, err);
    if (status != 0) {
        (void)sl_while(err, "replaying letters of topology %s", at->topology->name);
        host_replay_close(at);
    }
    return status;
}

static int host_replay(struct sl_host *host, const char *topology, bool begin, struct sl_err *err)
{
    const struct sl_topology *found = host_find(host, topology, err);
    int status = found == NULL ? -(int)err->code : 0;

    (void)pthread_mutex_lock(&host->replay_lock);
    for (uint32_t t = 0; status == 0 && t < host->topologies_count; t++) {
        if (host->topologies[t].topology != found)
            continue;
        status = host_replay_may(host, &host->topologies[t], err);
        if (status == 0 && begin)
            status = host_replay_begin(host, &host->topologies[t], err);
    }
    (void)pthread_mutex_unlock(&host->replay_lock);
    return status;
}

int sl_host_replay(struct sl_host *host, const char *topology, struct sl_err *err)
{
    return host_replay(host, topology, true, err);
}

int sl_host_replay_check(struct sl_host *host, const char *topology, struct sl_err *err)
{
    return host_replay(host, topology, false, err);
}

/* What an earlier start had begun goes on; that it cannot is no reason not to start. */
static void host_replay_again(struct sl_host *host, struct host_topology *at)
{
    struct sl_fs_stat stat;
    struct sl_err err = {0};
    char path[4096];

    (void)snprintf(path, sizeof(path), "%s/spool/" SL_REPLAY_TOPIC "%s", host->data_dir.path, at->topology->name);
    if (host->settings.spool == NULL || host->fs->stat(host->fs, path, &stat) != 0 || host_rides_kafka(at->topology) != NULL)
        return;
    if (sl_host_replay(host, at->topology->name, &err) != 0)
        host->settings.log(host->settings.user, at->topology->name, &err, "replay");
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
        host_replay_again(host, &host->topologies[t]);
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
    for (uint32_t c = 0; at->shared.component_shared != NULL && c < at->topology->components_count; c++) {
        const struct sl_head *head = at->topology->components[c].head;
        if (at->shared.component_shared[c] != NULL && head->unshare != NULL)
            head->unshare(at->shared.component_shared[c]);
        free(at->apis[c].env);
    }
    free(at->shared.component_shared);
    free(at->apis);
    at->shared.commit_log = sl_commit_log_close(at->shared.commit_log);
}

struct sl_host *sl_host_close(struct sl_host *host)
{
    if (host == NULL)
        return NULL;
    for (uint32_t w = 0; host->workers != NULL && w < host->workers_count; w++)
        host->workers[w] = sl_worker_free(host->workers[w]);
    for (uint32_t t = 0; t < host->topologies_count; t++)
        host_replay_close(&host->topologies[t]);
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

/* ---- status ---- */

static struct sl_host_topology *host_view_find(struct sl_host *host, struct sl_host_topology *items, const struct sl_topology *topology)
{
    for (uint32_t t = 0; t < host->topologies_count; t++)
        if (strcmp(items[t].topology->name, topology->name) == 0) /* its letters' too */
            return &items[t];
    return NULL;
}

struct host_view {
    struct sl_host *host;
    struct sl_host_topology *items;
    bool failed;
};

/* By sink: counts of the slots added up, the oldest of all. */
static int host_view_queues(struct sl_slot_status *sum, const struct sl_slot_status *status)
{
    for (uint32_t q = 0; q < status->queues_count; q++) {
        const struct sl_slot_queue_status *from = &status->queues[q];
        struct sl_slot_queue_status *queues, *to = NULL;
        for (uint32_t i = 0; i < sum->queues_count && to == NULL; i++)
            to = sum->queues[i].component == from->component ? &sum->queues[i] : NULL;
        if (to == NULL) {
            queues = realloc(sum->queues, (sum->queues_count + 1) * sizeof(*queues));
            if (queues == NULL)
                return -1;
            sum->queues = queues;
            queues[sum->queues_count++] = *from;
            continue;
        }
        to->records += from->records;
        to->bytes += from->bytes;
        to->lost += from->lost;
        to->oldest_ms = from->oldest_ms > to->oldest_ms ? from->oldest_ms : to->oldest_ms;
        if (from->dead[0] != '\0')
            memcpy(to->dead, from->dead, sizeof(to->dead));
    }
    return 0;
}

static int host_view_components(struct sl_slot_status *sum, const struct sl_slot_status *status)
{
    if (sum->components == NULL) {
        sum->components = calloc(status->components_count + 1u, sizeof(*sum->components));
        sum->components_count = status->components_count;
    }
    if (sum->components == NULL)
        return -1;
    for (uint32_t c = 0; c < status->components_count && c < sum->components_count; c++) { /* a slot of replays has one more */
        for (int i = 0; i < SL_COUNTERS_MAX; i++)
            sum->components[c].counters[i] += status->components[c].counters[i];
        for (int i = 0; i <= SL_LATENCY_BOUNDS; i++)
            sum->components[c].latency[i] += status->components[c].latency[i];
        sum->components[c].latency_sum_ns += status->components[c].latency_sum_ns;
    }
    return 0;
}

static void host_view_each(void *user, const struct sl_topology *topology, uint32_t index, const struct sl_slot_status *status,
                           uint64_t age_ns, const char *waits_for)
{
    struct host_view *view = user;
    struct sl_host_topology *item = host_view_find(view->host, view->items, topology);
    struct sl_slot_status *sum = &item->sum;
    uint32_t count = sum->partitions_count + status->partitions_count;
    struct sl_slot_partition_status *partitions = realloc(sum->partitions, (count + 1) * sizeof(*partitions));

    (void)index;
    if (partitions == NULL || sl_ledger_add(&sum->ledger, &status->ledger) != 0) {
        view->failed = true;
        return;
    }
    memcpy(partitions + sum->partitions_count, status->partitions, status->partitions_count * sizeof(*partitions));
    sum->partitions = partitions;
    if (host_view_queues(sum, status) != 0 || host_view_components(sum, status) != 0)
        view->failed = true;
    sum->partitions_count = count;
    sum->batches += status->batches;
    sum->records += status->records;
    sum->bytes += status->bytes;
    sum->commits += status->commits;
    sum->commit_failures += status->commit_failures;
    sum->rewinds += status->rewinds;
    sum->gap_offsets += status->gap_offsets;
    if (status->lag_records >= 0)
        sum->lag_records = sum->lag_records < 0 ? status->lag_records : sum->lag_records + status->lag_records;
    sum->lag_ms = status->lag_ms > sum->lag_ms ? status->lag_ms : sum->lag_ms;
    item->slots++;
    item->running += status->state == SL_SLOT_RUNNING || status->state == SL_SLOT_DRAINING;
    item->failed += status->state == SL_SLOT_FAILED;
    if (status->state > sum->state)
        sum->state = status->state;
    if (status->error[0] != '\0')
        memcpy(sum->error, status->error, sizeof(sum->error));
    if (age_ns > item->age_ns && status->state != SL_SLOT_ENDED && status->state != SL_SLOT_FAILED)
        item->age_ns = age_ns;
    if (waits_for[0] != '\0')
        (void)snprintf(item->waits_for, sizeof(item->waits_for), "%s", waits_for);
}

int sl_host_view(struct sl_host *host, struct sl_host_topology **ret_items)
{
    struct host_view view = {host, calloc(host->topologies_count, sizeof(*view.items)), false};

    if (view.items == NULL)
        return -1;
    for (uint32_t t = 0; t < host->topologies_count; t++) {
        view.items[t].topology = host->topologies[t].topology;
        view.items[t].sum.lag_records = view.items[t].sum.lag_ms = -1;
        if (sl_ledger_init(&view.items[t].sum.ledger) != 0)
            view.failed = true;
    }
    for (uint32_t w = 0; !view.failed && w < host->workers_count; w++)
        sl_worker_view(host->workers[w], host_view_each, &view);
    (void)pthread_mutex_lock(&host->replay_lock);
    for (uint32_t t = 0; !view.failed && t < host->topologies_count; t++)
        if (host->topologies[t].replay != NULL)
            sl_worker_view(host->topologies[t].replay, host_view_each, &view);
    (void)pthread_mutex_unlock(&host->replay_lock);
    if (view.failed) {
        sl_host_view_fini(host, view.items);
        return -1;
    }
    *ret_items = view.items;
    return 0;
}

void sl_host_view_fini(struct sl_host *host, struct sl_host_topology *items)
{
    for (uint32_t t = 0; t < host->topologies_count; t++)
        sl_slot_status_fini(&items[t].sum);
    free(items);
}

int sl_host_ask(struct sl_host *host, const char *topology, void (*each)(void *user, struct sl_slot *slot), void *user,
                struct sl_err *err)
{
    const struct sl_topology *found = host_find(host, topology, err);

    for (uint32_t w = 0; found != NULL && w < host->workers_count; w++)
        sl_worker_ask(host->workers[w], found, each, user);
    return found != NULL ? 0 : -(int)err->code;
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
