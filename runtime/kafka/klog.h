/* klog.h: the small interface on which the Kafka source, the Kafka sink and the Kafka commit stand. Its implementations are
 * klog_rdkafka.c (real) and tests/sim's modelled log. Only the former includes librdkafka.
 *
 * Threads: a consumer has one owner thread (poll, assign, seek, pause); calls marked [blocks] run in jobs on the slot's clerk
 * thread while the owner goes on. A producer belongs to the clerk, but for sl_klog_producer's async produce (owner thread).
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_KAFKA_KLOG_H
#define SL_RUNTIME_KAFKA_KLOG_H

#include "runtime/base/err.h"
#include "runtime/config/topology.h"
#include "runtime/engine/batch.h"

struct sl_klog;          /* the implementation and its environment */
struct sl_klog_consumer;
struct sl_klog_producer; /* transactional, used by commits */
struct sl_klog_sender;   /* idempotent, not transactional: the plain Kafka sink */

struct sl_klog_partition {
    char *topic;
    int32_t partition;
    int64_t offset;   /* committed or wanted; < 0: none */
    char *metadata;   /* of the committed offset, or NULL */
    uint32_t metadata_bytes;
    int32_t error;    /* of this partition, 0 fine */
};

struct sl_klog_list { /* all memory malloc'd; sl_klog_list_fini */
    struct sl_klog_partition *items;
    uint32_t count;
};

struct sl_klog_print { /* the hash of one record's payload: whether a partition is still the one that was read (rule A1) */
    const char *topic;
    int32_t partition;
    uint64_t offset;
    bool found; /* false: there is no such record (any more) */
    uint64_t hash;
};

enum sl_klog_event_kind { SL_KLOG_ASSIGN, SL_KLOG_REVOKE, SL_KLOG_LOST, SL_KLOG_ERROR, SL_KLOG_FATAL, SL_KLOG_OUT_OF_RANGE };

struct sl_klog_message {
    struct sl_slice payload, key; /* valid until the next poll */
    bool null_payload;
    uint64_t offset;
    int64_t append_unix_ms;
    const struct sl_header *headers;
    uint16_t headers_count;
    void *partition; /* as given to set_user at assignment: our struct sl_partition * */
};

struct sl_klog_consumer_settings {
    const struct sl_connection *connection;
    struct sl_strings topics; /* "^…" is a pattern */
    const char *group, *instance_id; /* instance_id NULL: dynamic member */
    bool cooperative;         /* assignor */
    uint64_t queue_bytes;     /* the source's share of memory: bounds librdkafka's queues and fetches */
    bool read_committed;
    bool want_headers;        /* else messages come without (reading them costs) */
    uint64_t session_timeout_ms; /* 0: default */
    const struct sl_map *properties; /* the source's own pass-through, behind the connection's; may be NULL */
    void (*wake)(void *user); /* any thread: something to poll */
    void *user;
    /* Owner thread, inside poll. ASSIGN and REVOKE must be answered by sl_klog.assign / unassign, at once or later (heartbeats go
     * on meanwhile). LOST is a REVOKE after which nothing may be committed. list is borrowed. */
    void (*event)(void *user, enum sl_klog_event_kind kind, const struct sl_klog_list *list, const struct sl_err *err);
};

struct sl_klog_record { /* to be produced; borrowed for the call (copied), unless stated */
    const char *topic;
    int32_t partition; /* -1: by key */
    struct sl_slice key, payload;
    bool null_payload; /* tombstone */
    const struct sl_header *headers;
    uint16_t headers_count;
    int64_t unix_ms; /* 0: now */
};

struct sl_klog_kind {
    /* ---- consumer ---- */
    int (*consumer_open)(struct sl_klog *log, const struct sl_klog_consumer_settings *settings,
                         struct sl_klog_consumer **ret_consumer, struct sl_err *err);
    /* Up to max messages, in order within a partition, consecutive ones of one partition together where it can be had; never waits.
     * max 0: events only; what was handed out stays valid. */
    int (*poll)(struct sl_klog_consumer *consumer, struct sl_klog_message *messages, uint32_t max, struct sl_err *err);
    /* Answers an ASSIGN (an empty list is an answer, too), or adds partitions left out then: start at each item's offset;
     * item.offset < 0 is refused. users[i] comes back in messages. Answers come in the order of the events. */
    int (*assign)(struct sl_klog_consumer *consumer, const struct sl_klog_list *list, void *const *users, struct sl_err *err);
    int (*unassign)(struct sl_klog_consumer *consumer, const struct sl_klog_list *list, struct sl_err *err);
    int (*seek)(struct sl_klog_consumer *consumer, const char *topic, int32_t partition, uint64_t offset, struct sl_err *err);
    /* Where it stands after what poll has handed out: the last one + 1, or further, past transaction markers at the end. */
    int (*position)(struct sl_klog_consumer *consumer, const char *topic, int32_t partition, uint64_t *ret_next);
    /* 1: fetching has stopped at a full queue that is now half empty; a call of `offsets` (clerk) sets it going at once. */
    int (*starved)(struct sl_klog_consumer *consumer);
    int (*pause)(struct sl_klog_consumer *consumer, const struct sl_klog_list *list, bool paused, struct sl_err *err);
    /* [blocks] Fills offsets and metadata of list: what the group has committed, read stable. */
    int (*committed)(struct sl_klog_consumer *consumer, struct sl_klog_list *list, uint32_t timeout_ms, struct sl_err *err);
    /* [blocks] Fills list offsets: which = -1 ends, -2 beginnings, >= 0 first offset at or after that unix ms. */
    int (*offsets)(struct sl_klog_consumer *consumer, struct sl_klog_list *list, int64_t which, uint32_t timeout_ms,
                   struct sl_err *err);
    /* [blocks] Reads each record exactly at its offset (own short-lived consumer); not two of one partition. 0, or <0: err, and
     * none is known. */
    int (*fingerprints)(struct sl_klog_consumer *consumer, struct sl_klog_print *prints, uint32_t count, struct sl_err *err);
    /* [blocks] Plain offsets commit with metadata (commit mode offsets). */
    int (*commit_offsets)(struct sl_klog_consumer *consumer, const struct sl_klog_list *list, struct sl_err *err);
    /* Leaves cleanly; a static member sends no LeaveGroup. [blocks] up to timeout. */
    void (*consumer_close)(struct sl_klog_consumer *consumer);
    /* Other topics for a member that stays; the group rebalances, events tell. NULL: not possible with this implementation. */
    int (*consumer_subscribe)(struct sl_klog_consumer *consumer, const struct sl_strings *topics, struct sl_err *err);
    /* Snapshot of group id, generation, member: to be taken on the owner thread in the turn that snapshots the offsets. NULL: we
     * are no member now (lost), so nothing may be committed. */
    struct sl_klog_group *(*group_snapshot)(struct sl_klog_consumer *consumer);
    void (*group_free)(struct sl_klog_group *group);

    /* ---- transactional producer [all block] ---- */
    int (*producer_open)(struct sl_klog *log, const struct sl_connection *connection, const char *transactional_id,
                         uint32_t transaction_timeout_ms, struct sl_klog_producer **ret_producer, struct sl_err *err); /* inits transactions */
    /* Learns where topic's partitions are; without it, the first commit waits for that (1 s). */
    int (*warm)(struct sl_klog_producer *producer, const char *topic, struct sl_err *err);
    int (*begin)(struct sl_klog_producer *producer, struct sl_err *err);
    int (*produce)(struct sl_klog_producer *producer, const struct sl_klog_record *records, uint32_t count, struct sl_err *err);
    int (*send_offsets)(struct sl_klog_producer *producer, const struct sl_klog_list *offsets, struct sl_klog_group *group,
                        struct sl_err *err);
    /* err->remedy: RETRY (aborted already: read again from the marks), FENCE (another owner; or an outcome that cannot be known:
     * close the producer, open it again, which settles it, and read the marks from Kafka), HALT. The same for send_offsets and
     * produce, which abort by themselves where they fail. */
    int (*commit)(struct sl_klog_producer *producer, struct sl_err *err);
    int (*abort)(struct sl_klog_producer *producer, struct sl_err *err);
    void (*producer_close)(struct sl_klog_producer *producer);

    /* ---- commit topic ---- */
    /* [blocks] Makes topic (compacted, partitions, replication of the cluster's default) unless it exists. */
    int (*topic_ensure)(struct sl_klog *log, const struct sl_connection *connection, const char *topic, uint32_t partitions,
                        struct sl_err *err);
    /* [blocks] Reads partition of a topic read_committed from *inout_offset to its stable end, calling each in order; value.data
     * NULL is a tombstone. */
    int (*scan)(struct sl_klog *log, const struct sl_connection *connection, const char *topic, int32_t partition,
                uint64_t *inout_offset, int (*each)(void *user, struct sl_slice key, struct sl_slice value), void *user,
                struct sl_err *err);
    int (*partition_count)(struct sl_klog *log, const struct sl_connection *connection, const char *topic,
                           uint32_t *ret_count, struct sl_err *err);

    /* [blocks] Logs in at the first broker that answers; where none lets us in, err says why. */
    int (*reach)(struct sl_klog *log, const struct sl_connection *connection, uint32_t timeout_ms, struct sl_err *err);

    /* [blocks] For a process that waits for its turn: opens ahead what consumer_open with the same settings, and scans of commit_topic
     * (NULL: none), will need. Joins no group, fences nobody. What is not asked for goes with `cool`. May be NULL. */
    int (*ahead)(struct sl_klog *log, const struct sl_klog_consumer_settings *settings, const char *commit_topic, int32_t commit_partition,
                 struct sl_err *err);
    void (*cool)(struct sl_klog *log);

    /* ---- plain sender (idempotent) ---- */
    int (*sender_open)(struct sl_klog *log, const struct sl_connection *connection, const struct sl_map *properties,
                       uint64_t queue_bytes, void (*wake)(void *user), void *user, struct sl_klog_sender **ret_sender,
                       struct sl_err *err);
    /* Owner thread, never waits. payload must live until its report (no copy); key and headers are copied. -SL_E_LIMIT: full now. */
    int (*send)(struct sl_klog_sender *sender, const struct sl_klog_record *record, void *opaque, struct sl_err *err);
    /* Owner thread: delivery reports since the last call. status 0 delivered; else err, remedy RETRY never comes (the sender retries
     * itself), DEADLETTER: this record can never be sent (too large), HALT: nothing can be until a person acts (a missing topic or
     * right), FENCE: sender is dead, open a new one. */
    int (*reports)(struct sl_klog_sender *sender, void (*each)(void *user, void *opaque, int status, const struct sl_err *err),
                   void *user, struct sl_err *err);
    /* Owner thread: 1 and *err, once, when something new keeps it from its brokers (away, wrong password); 0: nothing new. It goes
     * on trying by itself. May be NULL. */
    int (*trouble)(struct sl_klog_sender *sender, struct sl_err *err);
    /* [blocks] What is in flight gets no report any more; its payloads are the caller's again. */
    void (*sender_close)(struct sl_klog_sender *sender);
};

struct sl_klog {
    const struct sl_klog_kind *kind;
};

struct sl_klog *sl_klog_rdkafka(void); /* static */
void sl_klog_list_fini(struct sl_klog_list *list);
/* Appends a copy. 0 or -1. */
int sl_klog_list_add(struct sl_klog_list *list, const char *topic, int32_t partition, int64_t offset, const char *metadata,
                     uint32_t metadata_bytes);

#endif
