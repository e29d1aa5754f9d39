/* slot.h: one topology on one worker thread: its sources, its operator and sink instances, its partitions, its commits. The
 * engine's state machine; a libuv loop drives it in production (worker.c), the simulator in tests: both call sl_slot_turn.
 *
 * This header is what sources and sinks may call, on the slot's thread only.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_ENGINE_SLOT_H
#define SL_RUNTIME_ENGINE_SLOT_H

#include "runtime/engine/op.h"

struct sl_connection;
struct sl_topology;
struct sl_spool;
struct sl_klog;
struct sl_klog_consumer;

/* What a sink had done of a partition, as committed. */
struct sl_mark {
    uint64_t next;        /* everything below is done */
    uint64_t last_offset; /* the last input record below next (rule A1); UINT64_MAX: none seen */
    uint64_t last_hash;   /* sl_record_hash of its payload */
    int64_t last_unix_ms; /* its append time */
};

/* One partition of a source, as this slot owns it. Open to read for sources and sinks. */
struct sl_partition {
    uint32_t magic, index; /* index in the slot's table; reused after release */
    uint64_t assignment;   /* raised at each assign: late answers of an older one are dropped (rule B4) */
    const char *source, *topic; /* topic: Kafka's or the spool's topic, a file's path */
    char id[40];           /* partition number in decimal, or a file's 128-bit id in hex */
    int32_t number;        /* Kafka's and the spool's partition; -1 for files */
    uint32_t incarnation;
    uint64_t next;         /* offset that the next batch of it must begin with; moved by the engine */
    const char *held;      /* why it is not read, or NULL */
    bool changed;          /* held because the source is another one (rule A1): `sluice resume --source-changed` accepts it */
    void *user;            /* the source's own */
};

/* Sources: a partition is ours now. marks (of sinks by component name, as recovered from Kafka) may be NULL: then the local
 * commit log is asked. `start`: where a partition without any mark begins. The partition's `next` tells where to read from;
 * *ret_mark (may be NULL) is the mark with the highest offset, for the check of rule A1; next == UINT64_MAX in it: none. */
struct sl_named_mark {
    const char *sink;
    struct sl_mark mark;
    uint32_t incarnation; /* of the partition, when the mark was made */
};
int sl_slot_assign(struct sl_slot *slot, void *source, const char *topic, const char *id, int32_t number,
                   const struct sl_named_mark *marks, uint32_t marks_count, uint64_t start, void *user,
                   struct sl_partition **ret_partition, struct sl_mark *ret_mark, struct sl_err *err);
/* Stops reading it and says why: status shows it, the remedy is a person's (`sluice resume`). */
void sl_slot_hold(struct sl_slot *slot, struct sl_partition *partition, const struct sl_err *why);
/* Rule A1: the source is a new one (re-created topic accepted by a person): incarnation + 1, marks forgotten, starts at `start`. */
int sl_slot_reincarnate(struct sl_slot *slot, struct sl_partition *partition, uint64_t start, struct sl_err *err);
/* Offsets between next and `to` can no longer be had (retention, spool damage): a gap row in the ledger (rule A2). */
void sl_slot_gap(struct sl_slot *slot, struct sl_partition *partition, uint64_t to, const char *why);
/* The first offset above `after` at which some sink stands; UINT64_MAX: none. A source that joins what stands in the partition into
 * records must not join across it: a sink that has the first part already would never get the second. */
uint64_t sl_slot_boundary(const struct sl_slot *slot, const struct sl_partition *partition, uint64_t after);
/* Sources: partitions are being taken away. With commit: flush and commit first, within 2 s (rule I1); without: everything of
 * them not yet committed is abandoned. done(user) is called when they are released; the partitions are invalid then. */
void sl_slot_revoke(struct sl_slot *slot, struct sl_partition *const *partitions, uint32_t count, bool commit,
                    void (*done)(void *user), void *user);
/* The Kafka source tells the commit domain its consumer (before the first assign). */
void sl_slot_use_consumer(struct sl_slot *slot, struct sl_klog *log, const struct sl_connection *connection,
                          struct sl_klog_consumer *consumer, const char *group);
struct sl_klog *sl_slot_klog(struct sl_slot *slot); /* the log implementation of this process: real, or the simulator's */
const struct sl_topology *sl_slot_topology(const struct sl_slot *slot);
struct sl_spool *sl_slot_spool(struct sl_slot *slot); /* the process's spool */
const char *sl_slot_commit_topic(const struct sl_slot *slot);

/* Sinks that acknowledge each record. Each ref gets exactly one done. */
void sl_slot_done(struct sl_slot *slot, void *sink, const struct sl_ref *refs, uint32_t count, enum sl_outcome outcome,
                  const struct sl_err *why);
/* A record that will never be taken (too large, refused by the back-end): it becomes a dead letter with why->text as its reason,
 * and its ref is done once that is durable. Everything is copied. Not for FLUSHED sinks. */
struct sl_refused {
    struct sl_ref ref;
    struct sl_slice body, key; /* key.data NULL: none */
    uint64_t offset;           /* of the record's origin */
    int64_t append_unix_ms;
    uint32_t service; /* as the parcel's view had it: for the ledger */
    uint8_t level;
};
void sl_slot_refused(struct sl_slot *slot, void *sink, const struct sl_refused *record, const struct sl_err *why);
/* FLUSHED sinks: a flush is due although want() was not asked (a path limit was met inside submit). */
void sl_slot_want_flush(struct sl_slot *slot, void *sink);
/* All that was taken is to be committed at the next turns, reading goes on; true once that is done (slot/handover.c). */
void sl_slot_flush(struct sl_slot *slot);
bool sl_slot_flushed(const struct sl_slot *slot);

/* XXH3 of a payload, the fingerprint of rule A1. */
uint64_t sl_record_hash(struct sl_slice payload);

#endif
