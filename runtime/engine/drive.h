/* drive.h: how a slot is driven: by a worker's libuv loop (worker.c) or by the simulator. Nothing in a slot waits: a turn does
 * what can be done now and tells when it wants the next one; blocking work leaves as jobs and comes back through done().
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_ENGINE_DRIVE_H
#define SL_RUNTIME_ENGINE_DRIVE_H

#include <stdatomic.h>

#include "runtime/engine/ledger.h"
#include "runtime/engine/merge.h"
#include "runtime/engine/op.h"

struct sl_topology;
struct sl_spool;
struct sl_klog;
struct sl_commit_log;

/* The driver's side of the world. submit: job->run is called once, in order of submission per slot, on another thread (or later
 * in virtual time); then job->done on the thread of the slot's turns, never inside submit. wake: any thread. */
struct sl_env {
    void *user;
    struct sl_fs *fs;
    struct sl_klog *klog;
    uint64_t (*now_ns)(void *user);
    int64_t (*unix_ms)(void *user);
    uint64_t (*random)(void *user);
    void (*submit)(void *user, struct sl_job *job);
    void (*wake)(void *user);
    void (*log)(void *user, const char *topology, const struct sl_err *err, const char *what);
    int (*http)(void *user, struct sl_http_request *request, struct sl_err *err); /* http.h; may be NULL */
    void (*http_cancel)(void *user, struct sl_http_request *request);
};

/* What the slots of one topology share in a process. */
struct sl_shared {
    const struct sl_topology *topology;
    const char *node, *data_dir;
    uint32_t epoch, slots;
    uint64_t memory_bytes, max_record_bytes;
    struct sl_spool *spool;
    struct sl_commit_log *commit_log; /* of this topology: own sources' commit domain */
    void **component_shared;          /* by component: what head.share() made */
    uint32_t generation;              /* number of the version that the slots begin with; 0: none was given */
    uint64_t *flush_number;           /* atomic; flush numbers of this start count from it */
    atomic_bool fallback;             /* there is a version to go back to: what cannot go on waits for it before it stops */
    bool replay;                      /* the topology is one of sl_replay_topology() */
    bool once;                        /* end when every source is at its end and everything is committed */
};

enum sl_slot_state { SL_SLOT_RUNNING, SL_SLOT_DRAINING, SL_SLOT_ENDED, SL_SLOT_FAILED };

struct sl_slot *sl_slot_new(const struct sl_env *env, const struct sl_shared *shared, uint32_t index, struct sl_err *err);

/* ---- the next version of the topology, beside the one that runs ---- */
struct sl_plan;
/* What a plan must know of the slot, taken between two turns. */
struct sl_slot_facts {
    struct { char sink[128], zone[33]; } zones[256]; /* of flushed sinks */
    uint32_t zones_count;
    bool transactional, kafka;
};
/* Slot thread. Refuses while the slot is starting, ending or has stopped. */
int sl_slot_facts(struct sl_slot *slot, struct sl_slot_facts *ret_facts, struct sl_err *err);
/* Opens what is new of it: everything that can fail. Any thread; one plan of a slot at a time, and no swap meanwhile. topology: merged with the
 * one that runs (merge.h), kept until the plan is freed. NULL: err. */
struct sl_plan *sl_slot_prepare(struct sl_slot *slot, const struct sl_slot_facts *facts, const struct sl_topology *topology,
                                void **component_shared, const enum sl_merge_fate *fates, uint32_t generation, struct sl_err *err);
/* The landing zones of sinks that are new get their ids: a job of the slot's clerk; done(user, plan) is called on the slot's thread, and
 * sl_plan_zones_err says what came of it (code SL_OK: fine). False: none is needed, done is not called. Any thread. */
bool sl_plan_zones(struct sl_plan *plan, void (*done)(void *user, struct sl_plan *plan), void *user);
const struct sl_err *sl_plan_zones_err(const struct sl_plan *plan);
/* Slot thread, between two turns: live from the next batch on. *ret_old is what was: sl_plan_free it, on any thread, once the slot is
 * settled and nobody wants it back. Fails with nothing changed. Where a queue cannot be opened it is put in all the same, and the
 * slot stops with the reason: that is no refusal. */
int sl_slot_swap(struct sl_slot *slot, struct sl_plan *plan, struct sl_plan **ret_old, struct sl_err *err);
/* Slot thread: no instance, and no job, of an earlier plan is left. */
bool sl_slot_settled(const struct sl_slot *slot);
/* Closes its operators; of one that was never put in also sinks and sources. Any thread. */
struct sl_plan *sl_plan_free(struct sl_plan *plan);
struct sl_slot *sl_plan_slot(const struct sl_plan *plan);
void sl_slot_pause(struct sl_slot *slot, bool paused); /* slot thread: reads nothing; commits go on */

/* One turn. Returns ns until it wants the next (0: at once; UINT64_MAX: only when woken). */
uint64_t sl_slot_turn(struct sl_slot *slot);
/* Stop reading, flush, commit, then SL_SLOT_ENDED after some turns. */
void sl_slot_drain(struct sl_slot *slot);
enum sl_slot_state sl_slot_state(const struct sl_slot *slot);
/* What a drain waits for, in words; static or slot memory, valid until the next turn. */
const char *sl_slot_waits_for(const struct sl_slot *slot);
const struct sl_err *sl_slot_error(const struct sl_slot *slot); /* of SL_SLOT_FAILED */
/* Rule A1's remedy: a partition held as changed begins again as the next incarnation, at its first offset. name: "TOPIC:ID", or the
 * id alone. *ret_named is raised by each partition of that name; not held, or for another reason: err. Slot thread. */
int sl_slot_resume_changed(struct sl_slot *slot, const char *name, uint32_t *ret_named, struct sl_err *err);
/* Frees it whatever its state; nothing more is committed. No job may run meanwhile; jobs that never
 * ran are simply not run: what they were to do, the next start does. */
struct sl_slot *sl_slot_free(struct sl_slot *slot);

/* A copy of the slot's account and positions, made on its thread. */
struct sl_slot_partition_status {
    char source[64], topic[192], id[40];
    uint64_t next, committed; /* committed: lowest mark of the required sinks */
    uint32_t incarnation;
    char held[160]; /* empty: not held */
};
struct sl_slot_queue_status { /* of a sink with when_full: spool */
    uint32_t component;
    uint64_t records, bytes, oldest_ms; /* that wait */
    uint64_t out;                       /* of those with the sink: not yet answered for */
    uint64_t lost;                      /* by queue.then: lose, or by damage on the disk */
    char dead[480];                     /* why it will never take any, or empty */
};
/* What an instance counts of itself: its kind's counters, and how long its requests took, by upper bound of a bucket. */
enum { SL_COUNTERS_MAX = 16, SL_LATENCY_BOUNDS = 15 };
extern const uint64_t sl_latency_bounds_ns[SL_LATENCY_BOUNDS];
struct sl_component_counts {
    uint64_t counters[SL_COUNTERS_MAX];
    uint64_t latency[SL_LATENCY_BOUNDS + 1]; /* the last: above all bounds */
    uint64_t latency_sum_ns;
};
struct sl_slot_status {
    enum sl_slot_state state;
    uint64_t batches, records, bytes, commits, commit_failures, rewinds, gap_offsets;
    uint64_t swaps, maybe_duplicated; /* the last: records that a swap has made a sink without ids send again */
    bool paused;
    bool faulted; /* the live version cannot go on, `error` says why; for some seconds it waits for another one to be put in */
    int64_t lag_records, lag_ms; /* -1 unknown */
    uint32_t partitions_count;
    struct sl_slot_partition_status *partitions; /* malloc'd */
    uint32_t queues_count;
    struct sl_slot_queue_status *queues; /* malloc'd */
    uint32_t components_count;
    struct sl_component_counts *components; /* malloc'd; by component of the topology */
    struct sl_ledger ledger;                     /* by sink, service, level */
    char error[480];
};
/* 0 or -1 (no memory). Any thread may ask through the driver; on the slot's thread only. */
int sl_slot_status(struct sl_slot *slot, struct sl_slot_status *ret_status);
void sl_slot_status_fini(struct sl_slot_status *status);

#endif
