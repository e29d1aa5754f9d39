/* fake_slot.h: a slot for tests of sources: what they ask of sl_slot_*, kept in plain tables, and an api with a clock set by hand.
 * Include fake_slot.c once in a test; it defines sl_slot_* and sl_record_hash in the engine's place.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_TESTS_SUPPORT_FAKE_SLOT_H
#define SL_TESTS_SUPPORT_FAKE_SLOT_H

#include <pthread.h>

#include "runtime/engine/slot.h"

enum { FAKE_PARTITIONS = 256 };

/* What a commit log would remember, by (source component, topic, id). */
struct fake_mark {
    char id[40], topic[256];
    struct sl_mark mark;
};

struct fake_slot {
    struct sl_api api;
    struct sl_spool *spool;
    struct sl_partition *partitions[FAKE_PARTITIONS];
    uint32_t count;
    struct fake_mark marks[FAKE_PARTITIONS];
    uint32_t marks_count;
    uint64_t boundary; /* where another sink stands; 0: nowhere */
    uint32_t gaps, holds, revokes, logs;
    char held_why[512], log_text[512], gap_why[256];
    uint64_t tallies[16];
    uint64_t now_ns, random;
    int64_t unix_ms;
    struct sl_job *jobs; /* run by fake_slot_jobs */
    pthread_mutex_t lock;
    pthread_cond_t woken;
    uint64_t wakes;
};

void fake_slot_init(struct fake_slot *slot, struct sl_fs *fs, const char *data_dir, struct sl_spool *spool);
void fake_slot_fini(struct fake_slot *slot);
void fake_slot_jobs(struct fake_slot *slot); /* runs what was submitted, then each done() */
/* Takes a batch as the engine would: checks that it tiles, moves `next` and the mark. */
void fake_slot_take(struct fake_slot *slot, const struct sl_batch *batch);
/* Waits until wake() has been called more often than `seen`; returns the new count. */
uint64_t fake_slot_wait(struct fake_slot *slot, uint64_t seen);
struct fake_mark *fake_slot_mark(struct fake_slot *slot, const char *id);

#endif
