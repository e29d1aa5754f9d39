/* front.h: what generate, http, stdin and syslog share: each appends to the spool topic TOPOLOGY.SOURCE and is then a spool source of it.
 *
 * The front itself is made once per process and component by the kind's share(): the topic and the kind's own threads. Every
 * slot's instance (struct sl_front_slot) reads its part of the topic. Records are durable before anyone sees them.
 * A pump (generate, stdin) sends batches whose bytes it keeps until they are durable: a refused or failed append is made again,
 * so nothing taken is lost; a full spool stops the pump.
 * Threads: sl_front_* calls of the pump come from its one thread; answers from the spool's writer; slots from their own. All
 * meet under `lock`. Front threads are loops of their own and read the clocks themselves.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_OPERATORS_SOURCES_FRONT_H
#define SL_OPERATORS_SOURCES_FRONT_H

#include <pthread.h>
#include <stdatomic.h>

#include "operators/sources/spool/spool_tail.h"

enum { SL_FRONT_BATCHES = 16, SL_FRONT_BATCH_BYTES = 1 << 20, SL_FRONT_BATCH_RECORDS = 4096 };

struct sl_front;

/* Records on their way to the spool, with the memory behind them. */
struct sl_front_batch {
    struct sl_spool_wait wait;
    struct sl_front *front;
    struct sl_front_batch *next;
    uint32_t count, capacity_bytes, used_bytes;
    char *bytes;
    struct sl_spool_record *records; /* [SL_FRONT_BATCH_RECORDS] */
};

struct sl_front_slot;

struct sl_front {
    uint32_t magic;
    char *topic_name, *component;
    struct sl_spool_topic *topic;
    uint32_t partitions, turn;
    atomic_bool stop;     /* unshare() has begun: the pump ends */
    atomic_bool finished; /* all that will ever come is durable */
    pthread_mutex_t lock;
    pthread_cond_t change;
    struct sl_front_slot *slots;        /* joined, to be woken */
    struct sl_front_batch *idle, *again; /* free batches; batches whose append failed */
    uint32_t batches, in_flight;
    uint32_t batch_bytes;
    bool troubled;          /* trouble is news that no slot has logged yet */
    struct sl_err trouble;
    /* A pump that must not wait is told when a batch has come back (under `lock`: it calls no front function); may be NULL. */
    void (*freed)(void *user);
    void *freed_user;
};

/* First member of `self` of every front's instances. */
struct sl_front_slot {
    struct sl_tail tail;
    struct sl_front *front;
    const struct sl_api *api;
    struct sl_front_slot *next;
};

/* Opens the topic. batch_bytes: memory of one pump batch, 0 for fronts that do not pump. */
int sl_front_init(struct sl_front *front, const struct sl_api *api, uint64_t partitions, uint32_t batch_bytes,
                  struct sl_err *err);
/* All batches must be back: sl_front_drain() first. Accepts a zeroed front. */
void sl_front_fini(struct sl_front *front);

/* The next partition in turn. */
uint32_t sl_front_partition(struct sl_front *front);
/* Keeps an error for the slots' log; a repeated text is news only after another. */
void sl_front_trouble(struct sl_front *front, const struct sl_err *err);

/* ---- the pump ---- */
/* An empty batch, waiting for one to come back and sending again what failed. NULL: stopping, nothing was taken. */
struct sl_front_batch *sl_front_take(struct sl_front *front);
/* One more batch without waiting, also while stopping; NULL: no memory. */
struct sl_front_batch *sl_front_spare(struct sl_front *front);
/* Sends it, or gives it back if it is empty. The batch is the front's again. */
void sl_front_send(struct sl_front *front, struct sl_front_batch *batch);
/* ---- a pump that must not wait ---- */
/* An empty batch, if more than `spare` could be had now; NULL: not now. */
struct sl_front_batch *sl_front_try(struct sl_front *front, uint32_t spare);
/* Sends it, or keeps it for sl_front_retry(), behind others that are kept. The batch is the front's again. */
void sl_front_offer(struct sl_front *front, struct sl_front_batch *batch);
/* Sends what is kept, in order. True: some is kept still; ask again after a while. */
bool sl_front_retry(struct sl_front *front);
/* Something is on its way to the disk, or kept. */
bool sl_front_busy(struct sl_front *front);

/* ---- both ---- */
/* Waits until everything sent is durable, sending again what fails; while stopping it gives up on what the spool refuses, which
 * is then reported. 0, or -1 when something was given up. */
int sl_front_drain(struct sl_front *front);
/* Waits until `stop` or the time; true: go on. */
bool sl_front_sleep(struct sl_front *front, uint64_t wait_ns);
void sl_front_stop(struct sl_front *front);
/* Everything is durable: slots may be at their end. */
void sl_front_finish(struct sl_front *front);

/* ---- the slots of struct sl_source_kind ---- */
int sl_front_slot_open(void *self, const struct sl_api *api, const void *config, struct sl_slot *slot, struct sl_err *err);
int sl_front_slot_poll(void *self, struct sl_batch *batch, struct sl_err *err);
void sl_front_slot_release(void *self);
int sl_front_slot_first(void *self, struct sl_partition *partition, uint64_t *ret_first, struct sl_err *err);
int sl_front_slot_seek(void *self, struct sl_partition *partition, uint64_t next, struct sl_err *err);
void sl_front_slot_committed(void *self, struct sl_partition *partition, uint64_t next);
int sl_front_slot_fingerprint(void *self, struct sl_partition *partition, uint64_t offset, uint64_t *ret_hash);
void sl_front_slot_lag(void *self, int64_t *ret_records, int64_t *ret_ms);
int sl_front_slot_at_end(void *self);
void sl_front_slot_pause(void *self, bool paused);
void sl_front_slot_close(void *self);

/* What all kinds on this ground have in common, in their struct sl_source_kind. */
#define SL_FRONT_SLOTS                                                                                                         \
    .open = sl_front_slot_open, .poll = sl_front_slot_poll, .release = sl_front_slot_release, .seek = sl_front_slot_seek,      \
    .first = sl_front_slot_first, .committed = sl_front_slot_committed, .fingerprint = sl_front_slot_fingerprint,              \
    .lag = sl_front_slot_lag, .pause = sl_front_slot_pause, .close = sl_front_slot_close

#endif
