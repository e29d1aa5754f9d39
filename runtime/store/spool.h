/* spool.h: a partitioned, append-only log on local disk (DESIGN.md 7, DELIVERY.md F): the embedded source's storage.
 *
 * Threads: a spool has one writer thread (or, under the simulator, sl_spool_write_turn called by hand); appends may come from any
 * thread; each reader belongs to one thread. Readers see only what is fsynced (rule F1).
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_STORE_SPOOL_H
#define SL_RUNTIME_STORE_SPOOL_H

#include "runtime/base/arena.h"
#include "runtime/base/err.h"
#include "runtime/base/fs.h"
#include "runtime/engine/batch.h"

enum { SL_SPOOL_FORMAT = 1 /* of a topic's manifest and marks, in their first line */ };
enum sl_spool_fsync { SL_SPOOL_EACH, SL_SPOOL_100MS, SL_SPOOL_OFF };
enum sl_spool_full { SL_SPOOL_BLOCK, SL_SPOOL_LOSE };

struct sl_spool_settings {
    uint64_t segment_bytes; /* 64MiB */
    uint64_t hold_bytes, hold_age_ns; /* per topic; 0: no limit. Age alone never removes what a hold still needs */
    enum sl_spool_fsync fsync;
    enum sl_spool_full when_full;
    uint64_t append_queue_bytes; /* memory for records not yet durable; above it appends are refused */
    int64_t (*unix_ms)(void *env); /* append times */
    uint64_t (*now_ns)(void *env);
    void *env;
    bool no_thread; /* the simulator drives sl_spool_write_turn itself */
    /* A failure that a person should know of (a full disk, a failed fsync), and recovery from it (err->code SL_OK). Writer
     * thread. May be NULL. */
    void (*report)(void *env, const struct sl_err *err);
};

struct sl_spool_record {
    struct sl_slice payload, key; /* key.data NULL: none */
    const struct sl_header *headers;
    uint16_t headers_count;
    bool null_payload;
    int64_t append_unix_ms; /* 0: now */
};

struct sl_spool;        /* one folder: topics, partitions; holds no lock of its own (data_dir's lock guards it) */
struct sl_spool_topic;
struct sl_spool_reader;

/* Opens (makes) DIR; recovers every topic in it: tails are cut only if no valid batch follows, damage in the middle is skipped
 * and counted (rule F3). */
int sl_spool_open(struct sl_fs *fs, const char *dir, const struct sl_spool_settings *settings, struct sl_spool **ret_spool,
                  struct sl_err *err);
/* Ends the writer after what is queued is durable; waiters get their answer first. */
struct sl_spool *sl_spool_close(struct sl_spool *spool);
/* Finds or makes a topic. partitions counts for a new one; an existing one keeps its own (more are added if asked for). */
int sl_spool_topic(struct sl_spool *spool, const char *name, uint32_t partitions, struct sl_spool_topic **ret_topic,
                   struct sl_err *err);
uint32_t sl_spool_partitions(const struct sl_spool_topic *topic);

/* Answer to an append, on the writer thread: status 0 durable, or -code as in err. */
struct sl_spool_wait {
    void (*done)(struct sl_spool_wait *wait, int status, uint64_t first_offset, const struct sl_err *err);
    struct sl_spool_wait *next;
};
/* Copies the records into the append queue as one batch; `wait` (may be NULL) is told once when they are durable or refused.
 * Refused at once, without calling wait: -SL_E_LIMIT (queue or hold full: the sender should come again later). */
int sl_spool_append(struct sl_spool_topic *topic, uint32_t partition, const struct sl_spool_record *records, uint32_t count,
                    struct sl_spool_wait *wait, struct sl_err *err);
/* no_thread only: writes and syncs what is queued. Returns what the thread would sleep for, ns. */
uint64_t sl_spool_write_turn(struct sl_spool *spool);
/* True while appends would be refused (429/503 with Retry-After). */
bool sl_spool_is_full(const struct sl_spool_topic *topic);

/* ---- reading ---- */
/* `wake` is called (writer thread, under a lock: it must not call the spool) when records become durable; may be NULL. */
int sl_spool_reader_open(struct sl_spool_topic *topic, uint32_t partition, void (*wake)(void *user), void *user,
                         struct sl_spool_reader **ret_reader, struct sl_err *err);
struct sl_spool_reader *sl_spool_reader_close(struct sl_spool_reader *reader);
/* The next read starts at the first record >= offset. Never fails on an offset beyond the end: it waits there. */
int sl_spool_seek(struct sl_spool_reader *reader, uint64_t offset, struct sl_err *err);
/* Fills raw, offset, append time, key, headers, first, next of batch (arrays in batch->arena, payloads padded) with up to
 * SL_BATCH_RECORDS / SL_BATCH_BYTES, at least one record however large. 1 a batch, 0 none, <0 err. Damaged stretches are
 * skipped: they lie between first and the first record and are counted in stats. */
int sl_spool_read(struct sl_spool_reader *reader, struct sl_batch *batch, struct sl_err *err);
/* Durable end offset and earliest offset. The end is that of the last record: an offset reserved beyond it does not move it, and
 * it goes down where a reader finds the last records damaged, so that whoever reads to the end gets there. */
void sl_spool_bounds(struct sl_spool_topic *topic, uint32_t partition, uint64_t *ret_first, uint64_t *ret_end);
/* First offset whose append time is >= unix_ms. */
int sl_spool_offset_of_time(struct sl_spool_topic *topic, uint32_t partition, int64_t unix_ms, uint64_t *ret_offset,
                            struct sl_err *err);

/* ---- retention (rule F4) ---- */
/* Each reading topology registers a hold; segments below the lowest hold may be removed once the limits ask for it. A
 * registered hold is durable. */
int sl_spool_hold(struct sl_spool_topic *topic, const char *holder, uint32_t partition, uint64_t offset, struct sl_err *err);
int sl_spool_release(struct sl_spool_topic *topic, const char *holder, struct sl_err *err);
/* As sl_spool_hold, and durable on return also where it only moves ahead. */
int sl_spool_settle(struct sl_spool_topic *topic, const char *holder, uint32_t partition, uint64_t offset, struct sl_err *err);
/* Where holder stands; false: it holds nothing there. */
bool sl_spool_held(struct sl_spool_topic *topic, const char *holder, uint32_t partition, uint64_t *ret_offset);

/* ---- queues: a topic that is emptied by its one holder ---- */
/* What the holder has finished with is removed at once, and appends are refused above `bytes` (of all its partitions on disk)
 * instead of the settings' limits, which do not apply. Told after each opening of the topic, before the first append. */
void sl_spool_queue(struct sl_spool_topic *topic, uint64_t bytes);
/* Refused for want of room: at its limit, or the disk is full or failing; not: for a moment, since memory or disk do not keep up. */
bool sl_spool_has_no_room(const struct sl_spool_topic *topic);
/* Records at or above offset, offsets that no record has left out, and bytes on disk of the segments that hold them. */
void sl_spool_from(struct sl_spool_topic *topic, uint32_t partition, uint64_t offset, uint64_t *ret_records, uint64_t *ret_bytes);
/* Every topic; each() must not call the spool. */
void sl_spool_each(struct sl_spool *spool, void (*each)(void *user, const char *topic), void *user);

/* Marks known elsewhere: the next offset of the partition will be at least this (rule F1: offsets are never used twice). */
int sl_spool_reserve(struct sl_spool_topic *topic, uint32_t partition, uint64_t offset, struct sl_err *err);

struct sl_spool_stats {
    uint64_t records, bytes, segments;
    uint64_t torn_bytes, damaged_bytes, damaged_stretches, lost_offsets, missing_segments;
    uint64_t fsync_failures, refused_appends;
};
void sl_spool_stats(struct sl_spool *spool, struct sl_spool_stats *ret_stats);

/* `sluice spool check|repair`: walks DIR without opening it; each() gets one finding a line: file, byte range, what, which
 * offsets are lost. repair rewrites damaged segments without their damaged stretches (offsets keep their holes). */
struct sl_spool_finding {
    const char *topic;
    uint32_t partition;
    const char *file;
    uint64_t at, bytes, first_offset, next_offset;
    const char *what;
};
int sl_spool_check(struct sl_fs *fs, const char *dir, bool repair, void (*each)(void *user, const struct sl_spool_finding *),
                   void *user, struct sl_spool_stats *ret_stats, struct sl_err *err);

#endif
