/* host_replay.c: dead letters once more: a worker of its own for the slot that reads a topology's letters again (slot/replay.h).
 * It runs the version of the topology that was live when it began; no version is freed while it runs.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/engine/host_private.h"
#include "runtime/engine/slot/replay.h"
#include "runtime/engine/worker.h"

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

    sl_host_hold(host);
    at->replay_topology = sl_replay_topology(at->topology, host->settings.spool);
    sl_host_let(host);
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

void sl_host_replay_close(struct host_topology *at)
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
    sl_host_replay_close(at); /* --once: it has ended with what was there */
    status = host_replay_open(host, at, err);
    if (status != 0) {
        (void)sl_while(err, "replaying letters of topology %s", at->topology->name);
        sl_host_replay_close(at);
    }
    return status;
}

static int host_replay(struct sl_host *host, const char *topology, bool begin, struct sl_err *err)
{
    struct host_topology *found = sl_host_find(host, topology, err);
    int status = found == NULL ? -(int)err->code : 0;

    (void)pthread_mutex_lock(&host->replay_lock);
    if (status == 0)
        status = host_replay_may(host, found, err);
    if (status == 0 && begin)
        status = host_replay_begin(host, found, err);
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
void sl_host_replay_again(struct sl_host *host, struct host_topology *at)
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
