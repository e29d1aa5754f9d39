/* host.h: the process: its data_dir, spool, workers and topologies. Sources, operators and sinks come with the topologies.
 *
 * Threads: all calls from one thread (main's), but for sl_host_view, sl_host_ask, sl_host_replay and what its log callback says.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_ENGINE_HOST_H
#define SL_RUNTIME_ENGINE_HOST_H

#include "runtime/config/process.h"
#include "runtime/engine/drive.h"
#include "runtime/store/spool.h"

struct sl_host;

struct sl_host_settings {
    const struct sl_process_config *process;
    const struct sl_topology *const *topologies; /* borrowed while the host lives */
    uint32_t topologies_count;
    struct sl_klog *klog;
    bool once;
    const struct sl_head *spool; /* the registry's source of that name, for replays; NULL: none */
    const uint32_t *numbers;     /* of the topologies: their generations'; NULL: none are kept */
    bool replay_only;            /* dead letters are read again, and nothing else */
    void (*log)(void *user, const char *topology, const struct sl_err *err, const char *what); /* any thread */
    void (*ended)(void *user); /* any thread: look at sl_host_idle */
    void *user;
};

/* Opens everything: after it returns, no further configuration error can come but from the outside world. */
struct sl_host *sl_host_open(const struct sl_host_settings *settings, struct sl_err *err);
int sl_host_start(struct sl_host *host, struct sl_err *err);
void sl_host_drain(struct sl_host *host);
bool sl_host_idle(struct sl_host *host);
struct sl_host *sl_host_close(struct sl_host *host);

/* One topology's status, its slots added up. Any thread. */
struct sl_host_topology {
    const struct sl_topology *topology;
    struct sl_slot_status sum; /* partitions of all slots, ledger of all */
    uint32_t slots, running, failed;
    uint64_t age_ns; /* of the oldest copy: a slot that is stuck shows here */
    char waits_for[192];
};
/* 0 or -1 (no memory). *ret_items malloc'd, count = topologies; sl_host_view_fini, soon: until then no version of a topology is freed. */
int sl_host_view(struct sl_host *host, struct sl_host_topology **ret_items);
/* Whether the topology's live version cannot go on (sl_slot_status.faulted); why: its words. Cheap: nothing is copied. Any thread. */
bool sl_host_fault(struct sl_host *host, const char *topology, char *why, size_t bytes);
void sl_host_view_fini(struct sl_host *host, struct sl_host_topology *items);
/* Calls each(user, slot) on the thread of every slot of the topology, one after the other; between its turns. After start, before
 * close; any thread but a slot's. 0, or SL_E_CONFIG: no topology of that name (the text lists those there are). */
int sl_host_ask(struct sl_host *host, const char *topology, void (*each)(void *user, struct sl_slot *slot), void *user,
                struct sl_err *err);
/* Letters are in the spool topic of the topology's replays (slot/replay.h): a slot of its own reads them, from now on until the end.
 * A start with such a topic begins it by itself. Any thread, after start. Not for topologies with a Kafka source. */
int sl_host_replay(struct sl_host *host, const char *topology, struct sl_err *err);
/* 0, or why that could not be. */
int sl_host_replay_check(struct sl_host *host, const char *topology, struct sl_err *err);
struct sl_spool *sl_host_spool(struct sl_host *host);
uint32_t sl_host_topologies_count(const struct sl_host *host);
const char *sl_host_name_at(const struct sl_host *host, uint32_t index);
/* The version that is live. What was read between sl_host_hold and sl_host_let is not freed before the latter. Any thread. */
const struct sl_topology *sl_host_topology_at(const struct sl_host *host, uint32_t index);
void sl_host_hold(struct sl_host *host);
void sl_host_let(struct sl_host *host);
void sl_host_spool_stats(struct sl_host *host, struct sl_spool_stats *ret_stats);
uint32_t sl_host_epoch(const struct sl_host *host);
const char *sl_host_data_dir(const struct sl_host *host);

#endif
