/* model_log.h: the modelled twin of Kafka: one cluster in memory, reached through struct sl_klog_kind like the real client.
 *
 * Modelled: topics with dense offsets (a transaction marker takes one), compaction and retention holes, re-created topics;
 * consumer groups (eager, range) with generations, sessions and static members; transactions with fencing by epoch,
 * time-out, and offsets checked against the group's generation; read_committed up to the last stable offset; commits that
 * are refused, lost, answered late or not at all; outages of the cluster or of one client's way to it.
 * Not modelled: brokers and replicas, the cooperative assignor, quotas, the wire.
 *
 * Time: stands still but for sl_model_time; sessions and transactions expire there. Random choices come from the seed alone.
 * Threads: none. A client is one process's connection: kill it and its objects remain to be closed, but nothing of
 * what they do reaches the cluster any more, which learns of the death by time-outs only.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_TESTS_SIM_MODEL_LOG_H
#define SL_TESTS_SIM_MODEL_LOG_H

#include "runtime/kafka/klog.h"

struct sl_model;
struct sl_model_client;

enum sl_model_commit {
    SL_MODEL_COMMIT_FINE,
    SL_MODEL_COMMIT_REFUSED,    /* the cluster refuses: aborted, the producer can go on */
    SL_MODEL_COMMIT_LOST,       /* the request never arrives; the caller learns nothing */
    SL_MODEL_COMMIT_UNANSWERED, /* it is carried out; the caller learns nothing */
    SL_MODEL_COMMIT_LATE,       /* it arrives some seconds later, unless the producer was fenced by then */
    SL_MODEL_COMMIT_TWICE,      /* fine, but the request comes a second time */
};

struct sl_model_settings {
    uint64_t seed;
    uint64_t session_ns;   /* 0: 10 s; where a consumer names none */
    uint64_t rebalance_ns; /* 0: 60 s; how long a rebalance waits for a member */
    uint64_t max_record_bytes; /* 0: 1 MiB; above it a sender's record is refused for ever */
    uint32_t refused_permille, lost_permille, unanswered_permille, late_permille, twice_permille; /* of commits */
    uint32_t empty_poll_permille; /* polls that find nothing although there is something */
};

struct sl_model *sl_model_new(const struct sl_model_settings *settings);
struct sl_model *sl_model_free(struct sl_model *model); /* after its clients */
/* Time goes on (never back). unix_ms stamps what is appended from now on. */
void sl_model_time(struct sl_model *model, uint64_t now_ns, int64_t unix_ms);
/* From now on every commit is answered well and no poll comes back empty by lot. */
void sl_model_calm(struct sl_model *model);
/* The whole cluster answers nobody. Sessions run out meanwhile, as time does not stop. */
void sl_model_outage(struct sl_model *model, bool down);

/* ---- clients: one a process ---- */
/* step (may be NULL) is asked before each operation; non-zero kills the process there and then. */
struct sl_model_client *sl_model_client_new(struct sl_model *model, int (*step)(void *user, const char *what), void *user);
/* Frees it with whatever was left open on it, as a killed process leaves it. */
struct sl_model_client *sl_model_client_free(struct sl_model_client *client);
struct sl_klog *sl_model_client_klog(struct sl_model_client *client);
void sl_model_client_kill(struct sl_model_client *client);
/* What librdkafka's own thread does beside poll: keeps its sessions alive. */
void sl_model_client_heartbeat(struct sl_model_client *client);
void sl_model_client_cut(struct sl_model_client *client, bool cut); /* its way to the cluster */
/* The fate of its next commit, instead of one by lot. */
void sl_model_client_next_commit(struct sl_model_client *client, enum sl_model_commit fate);

/* ---- topics ---- */
/* Makes the topic, or adds partitions to it (groups that subscribe to it rebalance). */
void sl_model_topic(struct sl_model *model, const char *topic, uint32_t partitions);
/* Deleted and made again: offsets start at 0. Kafka forgets the groups' offsets then; with keep_offsets it has not yet. */
void sl_model_recreate(struct sl_model *model, const char *topic, uint32_t partitions, bool keep_offsets);
/* As another program would produce it; record->topic and partition say where (partition >= 0). The offset. */
uint64_t sl_model_append(struct sl_model *model, const struct sl_klog_record *record);
/* A whole transaction of another program in one partition: the records, then a marker. */
void sl_model_append_transaction(struct sl_model *model, const struct sl_klog_record *records, uint32_t count, bool commit);
/* Retention: the log begins at first. */
void sl_model_retain(struct sl_model *model, const char *topic, int32_t partition, uint64_t first);
/* Removes what has a newer record of the same key below the last stable offset, aborted records, and markers but the last. */
void sl_model_compact(struct sl_model *model, const char *topic, int32_t partition);

/* ---- what is in it, read committed ---- */
void sl_model_bounds(struct sl_model *model, const char *topic, int32_t partition, uint64_t *ret_first,
                     uint64_t *ret_stable, uint64_t *ret_end);
uint32_t sl_model_partitions(struct sl_model *model, const char *topic); /* 0: no such topic */
/* Every record that a read_committed reader sees or will see once what is open before it has ended, in order. Stops and returns what each returned if not 0. */
int sl_model_read(struct sl_model *model, const char *topic, int32_t partition,
                  int (*each)(void *user, const struct sl_klog_message *message), void *user);
/* What a group has committed: 1, or 0 when nothing. metadata is valid until the next commit. */
int sl_model_committed(struct sl_model *model, const char *group, const char *topic, int32_t partition, int64_t *ret_offset,
                       struct sl_slice *ret_metadata);
/* kafka-consumer-groups --reset-offsets: an offset without metadata. */
void sl_model_reset_offset(struct sl_model *model, const char *group, const char *topic, int32_t partition, int64_t offset);
/* Members and generation of a group; 0 members: empty or unknown. */
uint32_t sl_model_members(struct sl_model *model, const char *group, uint32_t *ret_generation);

#endif
