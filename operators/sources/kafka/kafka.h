/* kafka.h: the kafka source's own structs, shared by its files: kafka.c (settings, life), kafka_recover.c (the clerk's look at an
 * assignment), kafka_assign.c (partitions come and go), kafka_poll.c (messages to batches).
 *
 * Events of the group are answered one after the other: an assignment is looked at by a job (committed offsets, marks, ends,
 * fingerprints), then given to the slot; a revocation waits for the slot. Meanwhile the others' messages flow.
 * Threads: all slot thread, but struct kafka_look while its job is out, and `known`, which is the clerk's.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_OPERATORS_SOURCES_KAFKA_H
#define SL_OPERATORS_SOURCES_KAFKA_H

#include "runtime/config/topology.h"
#include "runtime/engine/mark_codec.h"
#include "runtime/engine/slot.h"
#include "runtime/kafka/klog.h"

enum { KAFKA_MAGIC = 0x6b61666b, KAFKA_PENDING = 4096, KAFKA_TIMEOUT_MS = 30000 };
enum kafka_start { KAFKA_EARLIEST, KAFKA_LATEST, KAFKA_TIMESTAMP, KAFKA_OFFSET };
enum kafka_assignor { KAFKA_RANGE, KAFKA_COOPERATIVE };
enum kafka_on_gap { KAFKA_GAP_STOP, KAFKA_GAP_RECORD };
enum kafka_counter { KAFKA_REBALANCES, KAFKA_GAPS, KAFKA_HOLES, KAFKA_SKIPPED, KAFKA_UNVERIFIED, KAFKA_ERRORS, KAFKA_ASSIGNMENTS };

struct kafka_config {
    const char *connection;
    struct sl_strings brokers, topics;
    const char *group;
    int start, assignor, on_gap;
    uint64_t timestamp, offset;
    bool headers, static_member;
    uint64_t session_timeout;
    struct sl_map librdkafka;
};

struct kafka_item { /* a partition that the group has given us */
    struct sl_partition *partition; /* NULL: not yet the slot's */
    char *topic;
    int32_t number;
    bool fetching;    /* the log client reads it; else it is held, or not yet started */
    bool revoking, paused;
    bool seen_range;  /* out of range: looked at again */
    uint64_t low;     /* its first offset when it was assigned: where a new incarnation begins */
    uint64_t end;     /* its end when it was assigned: where --once stops */
    int64_t end_now;  /* as asked last */
    int64_t last_unix_ms; /* append time of the last record; 0 none */
};

/* A mark of ours as the commit topic has it. */
struct kafka_known {
    char *topic, *id, *sink;
    struct sl_mark mark;
    uint32_t incarnation;
};

struct kafka_found { /* what the clerk finds out of one partition */
    struct sl_named_mark rows[SL_MARK_ROWS];
    uint32_t rows_count;
    struct sl_marks *marks; /* names of rows from the metadata; malloc'd */
    uint64_t low, end, start;
    bool committed; /* there is an offset or a mark */
    bool reset;     /* an offset without marks, where the commit topic has some (rule C5) */
    bool beyond;    /* a mark lies beyond the end */
    bool unverified;
    char changed[256]; /* why the source is another one; empty: it is not */
};

struct kafka_look {
    struct sl_job job;
    struct kafka_source *source;
    struct sl_klog_list list;
    struct kafka_found *found; /* [list.count] */
    bool known_subscription;   /* partitions without marks are new: earliest (rule A3) */
    bool again;                /* of partitions that are ours already, after an offset out of range */
    bool out, cancelled;
    uint32_t attempts;
    uint64_t retry_at_ns;      /* 0: none planned */
    int status;
    struct sl_err err;
};

struct kafka_event {
    enum sl_klog_event_kind kind;
    struct sl_klog_list list;
    struct kafka_event *next;
};

struct kafka_lag {
    struct sl_job job;
    struct kafka_source *source;
    struct sl_klog_list list;
    bool out;
    int status;
    struct sl_err err;
};

struct kafka_source {
    uint32_t magic;
    const struct sl_api *api;
    const struct kafka_config *config, *next_config; /* the last: of a new version, to be taken once no job reads the other */
    bool other_topics; /* next_config has others than config */
    struct sl_slot *slot;
    struct sl_klog *log;
    struct sl_connection own; /* of brokers: */
    const struct sl_connection *connection;
    struct sl_klog_consumer *consumer;
    const char *group;
    bool transactional;
    struct kafka_item **items;
    uint32_t items_count;
    uint32_t assignments; /* handled so far */
    bool settled;         /* the last event was an assignment: after a revocation another one comes */
    struct kafka_event *events, **events_end;
    bool revoking;
    struct kafka_look look, range;
    struct kafka_lag lag;
    uint64_t lag_at_ns;
    struct kafka_known *known; /* the clerk's */
    uint32_t known_count;
    uint64_t known_offset;
    int32_t known_partition; /* of the commit topic; -1 not yet asked */
    struct sl_klog_message pending[KAFKA_PENDING];
    uint32_t pending_at, pending_count;
    int failed; /* a code: `failure` is to be returned by the next poll */
    struct sl_err failure;
};

struct kafka_item *kafka_item_find(struct kafka_source *source, const char *topic, int32_t number);
void kafka_item_drop_pending(struct kafka_source *source, const struct kafka_item *item);
void kafka_fail(struct kafka_source *source, const struct sl_err *err);

/* kafka_recover.c */
void kafka_look_init(struct kafka_look *look, struct kafka_source *source, void (*done)(struct sl_job *job));
int kafka_look_fill(struct kafka_look *look, const struct sl_klog_list *list);
void kafka_look_fini(struct kafka_look *look);
void kafka_known_fini(struct kafka_source *source);

/* kafka_assign.c */
void kafka_on_event(void *user, enum sl_klog_event_kind kind, const struct sl_klog_list *list, const struct sl_err *err);
void kafka_look_done(struct sl_job *job);
void kafka_range_done(struct sl_job *job);
void kafka_answer(struct kafka_source *source); /* takes the next event up, retries what failed */
int kafka_source_first(void *self, struct sl_partition *partition, uint64_t *ret_first, struct sl_err *err);
int kafka_source_seek(void *self, struct sl_partition *partition, uint64_t next, struct sl_err *err);
void kafka_items_fini(struct kafka_source *source);

/* kafka_poll.c */
int kafka_source_poll(void *self, struct sl_batch *batch, struct sl_err *err);
void kafka_source_serve(void *self);
void kafka_lag_done(struct sl_job *job);
void kafka_lag_run(struct sl_job *job);

#endif
