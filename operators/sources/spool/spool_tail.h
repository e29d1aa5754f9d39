/* spool_tail.h: one slot's reading of a spool topic: what the spool source is, and the second half of every front (http, stdin,
 * generate), which append to a topic and read it back.
 *
 * A topic's partitions are divided over the slots: number % slots == slot. They are assigned at the first poll, later ones when
 * they appear (rule A3: from their earliest offset). Each registers a hold as TOPOLOGY/SOURCE, moved by commits (rule F4).
 * Threads: the slot's, but for the wake-up (the spool's writer) and the moving of holds (the clerk, through its own memory).
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_OPERATORS_SOURCES_SPOOL_TAIL_H
#define SL_OPERATORS_SOURCES_SPOOL_TAIL_H

#include "runtime/engine/slot.h"
#include "runtime/store/spool.h"

enum sl_tail_start { SL_TAIL_EARLIEST, SL_TAIL_LATEST, SL_TAIL_TIMESTAMP, SL_TAIL_OFFSET };

struct sl_tail_partition;
struct sl_tail_holds;

struct sl_tail {
    uint32_t magic;
    const struct sl_api *api;
    struct sl_slot *slot;
    void *source; /* self of the source, as sl_slot_assign wants it */
    struct sl_spool_topic *topic;
    const char *topic_name;
    enum sl_tail_start start;
    int64_t start_unix_ms;
    uint64_t start_offset;
    struct sl_tail_partition **items;
    uint32_t count, known; /* ours, and the topic's partitions looked at so far */
    uint32_t turn;         /* item that is asked first */
    bool ends_taken, paused;
    struct sl_tail_holds *holds;
};

/* The start_ fields may be set between init and the first poll; zeroed they say earliest. topic_name lives as long as the tail. */
int sl_tail_init(struct sl_tail *tail, const struct sl_api *api, struct sl_slot *slot, void *source,
                 struct sl_spool_topic *topic, const char *topic_name, struct sl_err *err);
void sl_tail_fini(struct sl_tail *tail); /* accepts a zeroed one */
/* The slots of struct sl_source_kind. */
int sl_tail_poll(struct sl_tail *tail, struct sl_batch *batch, struct sl_err *err);
/* The first offset that it has: where a new incarnation begins (rule A1). */
void sl_tail_first(struct sl_tail *tail, struct sl_partition *partition, uint64_t *ret_first);
int sl_tail_seek(struct sl_tail *tail, struct sl_partition *partition, uint64_t next, struct sl_err *err);
void sl_tail_committed(struct sl_tail *tail, struct sl_partition *partition, uint64_t next);
int sl_tail_fingerprint(struct sl_tail *tail, struct sl_partition *partition, uint64_t offset, uint64_t *ret_hash);
void sl_tail_lag(struct sl_tail *tail, int64_t *ret_records, int64_t *ret_ms);
int sl_tail_at_end(struct sl_tail *tail);

#endif
