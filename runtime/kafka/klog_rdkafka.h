/* klog_rdkafka.h: what the files of the librdkafka implementation of klog.h share, and the hook for librdkafka's own log.
 *
 * Rules of librdkafka that all of them keep: offsets are never stored or committed by the library; a consumer's control calls
 * come from its owner thread alone (2.0.x loses messages otherwise); queues are polled without waiting and signal an edge.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_KAFKA_KLOG_RDKAFKA_H
#define SL_RUNTIME_KAFKA_KLOG_RDKAFKA_H

#include <librdkafka/rdkafka.h>
#include <pthread.h>

#include "runtime/base/buf.h"
#include "runtime/kafka/klog.h"

/* ---- log ---- */
/* librdkafka's own lines: counted, and passed on if a hook is set (any thread; level as in syslog). Set before any open. */
void sl_klog_rdkafka_on_log(void (*hook)(void *user, int level, const char *facility, const char *text), void *user);
uint64_t sl_klog_rdkafka_log_lines(void);
void sl_klog_log(const rd_kafka_t *rk, int level, const char *facility, const char *text);

/* ---- settings ---- */
enum sl_klog_setting_rank {
    SL_KLOG_DEFAULT, /* ours; connection and user may change it */
    SL_KLOG_PROBE,   /* likewise; left out where this version of the library does not know it */
    SL_KLOG_LAW      /* delivery rests on it: a user's property of that name is refused */
};
struct sl_klog_setting {
    enum sl_klog_setting_rank rank;
    const char *key, *value; /* value NULL: not set, but refused (law) */
};
/* Defaults, connection, the connection's and then `more`'s (may be NULL) pass-through, law. */
int sl_klog_conf_new(const struct sl_connection *connection, const struct sl_map *more, const struct sl_klog_setting *settings,
                     uint32_t count, rd_kafka_conf_t **ret_conf, struct sl_err *err);
/* Takes conf, also on failure. */
int sl_klog_handle_new(rd_kafka_type_t type, rd_kafka_conf_t *conf, rd_kafka_t **ret_rk, struct sl_err *err);
bool sl_klog_library_at_least(int version); /* 0x020200ff */

/* ---- errors ---- */
enum sl_remedy sl_klog_remedy(rd_kafka_resp_err_t code);
/* Fills *err: `doing`, the library's words, and for missing rights the one to grant. name: of the topic, group or transactional
 * id concerned. */
int sl_klog_fail(struct sl_err *err, rd_kafka_resp_err_t code, const char *doing, const char *name, const char *detail);
/* The same of an error object, which it destroys. */
int sl_klog_fail_error(struct sl_err *err, rd_kafka_error_t *error, const char *doing, const char *name);
/* Why a handle gets no answers: the worst of its error events. */
struct klog_cause {
    rd_kafka_resp_err_t code; /* 0: none yet */
    bool told;
    char text[400];
};
void sl_klog_cause_note(struct klog_cause *cause, rd_kafka_resp_err_t code, const char *text);
bool sl_klog_cause_halts(const struct klog_cause *cause); /* only a person can mend it */
/* As sl_klog_fail, in the cause's words where code says no more than that no answer came. */
int sl_klog_fail_cause(struct sl_err *err, rd_kafka_resp_err_t code, const char *doing, const char *name,
                       const struct klog_cause *cause);
/* If the instance has failed for good: fills *err (remedy FENCE or HALT) and returns -code; else 0. */
int sl_klog_fatal(rd_kafka_t *rk, const char *doing, struct sl_err *err);

/* ---- questions that wait ---- */
struct klog_asker { /* a handle of its own for one question or scan; must stay where it was opened */
    rd_kafka_t *rk;
    struct klog_cause cause;
};
int sl_klog_asker_open(struct klog_asker *asker, const struct sl_connection *connection, const char *isolation, struct sl_err *err);
void sl_klog_asker_close(struct klog_asker *asker);
/* Metadata of one topic, or with NULL of the brokers; 0 or the library's code. Ends early where only a person can help. */
rd_kafka_resp_err_t sl_klog_ask(struct klog_asker *asker, rd_kafka_topic_t *rkt, uint32_t timeout_ms,
                                const struct rd_kafka_metadata **ret_metadata);

/* A topic's handle whose partitions are known, to be held while they are read (rd_kafka_topic_destroy); NULL: the library finds out. */
rd_kafka_topic_t *sl_klog_learn(rd_kafka_t *rk, const char *topic, uint32_t timeout_ms);

/* Makes the partition's leader be asked for records now. Blocks for an answer, half a second at worst. */
void sl_klog_poke(rd_kafka_t *rk, const char *topic, int32_t partition);

/* ---- lists, records ---- */
rd_kafka_topic_partition_list_t *sl_klog_native_list(const struct sl_klog_list *list);
/* Hands a record to the library (key and headers copied; the payload with copy). 0, or the library's code. */
rd_kafka_resp_err_t sl_klog_native_produce(rd_kafka_t *rk, const struct sl_klog_record *record, bool copy, void *opaque);

/* ---- consumer ---- */
struct klog_place { /* a partition that is ours */
    char *topic;
    int32_t partition;
    uint64_t next;     /* behind the last message handed out, or past the markers behind it */
    void *user;
    rd_kafka_topic_t *rkt;    /* held, so that a message finds its place by pointer */
    rd_kafka_queue_t *queue;  /* the partition's own, forwarded to the consumer's fetched */
    bool paused;
};

struct sl_klog_group {
    rd_kafka_consumer_group_metadata_t *native;
};

enum klog_owed { KLOG_OWED_NOTHING, KLOG_OWED_ASSIGN, KLOG_OWED_UNASSIGN };

enum { KLOG_POLL_MAX = 4096 };

struct sl_klog_consumer {
    uint32_t magic;
    rd_kafka_t *rk;
    rd_kafka_queue_t *control, *fetched; /* events; messages of all partitions */
    struct sl_klog_consumer_settings settings; /* strings in it are the opener's; only callbacks and flags are used later */
    const struct sl_connection *connection;
    char *group, *instance_id;
    enum klog_owed owed; /* what librdkafka waits for */
    void *generation;    /* eager: the group's metadata as of the last assignment, written out; NULL: none */
    size_t generation_bytes;
    bool closing;
    struct sl_klog_consumer *warm_next; /* while it waits to be opened */
    uint64_t forwarded_ns; /* when the queues were last forwarded */
    struct klog_place *places;
    uint32_t places_count, places_max;
    uint32_t *index; /* hash of (rkt, partition): 1 + number of a place; 0 free; never more than half full */
    uint32_t index_mask;
    struct klog_place *last; /* of the last message, or NULL */
    uint32_t queue_limit;    /* messages, as set in the library */
    uint64_t queue_limit_bytes;
    uint32_t mean_bytes;     /* of the last messages */
    bool was_full, has_backoff;
    /* what the last poll handed out */
    rd_kafka_message_t *held[KLOG_POLL_MAX];
    uint32_t held_count;
    struct sl_header *headers;
    uint32_t headers_count, headers_max;
    struct klog_probe { /* the reader of single records; clerk */
        rd_kafka_t *rk;
        rd_kafka_topic_t *rkt; /* of the last topic */
        uint64_t used_ns;
    } probe;
};

struct klog_place *sl_klog_place_find(struct sl_klog_consumer *consumer, const char *topic, int32_t partition);
struct klog_place *sl_klog_place_of(struct sl_klog_consumer *consumer, const rd_kafka_message_t *message);
void sl_klog_places_clear(struct sl_klog_consumer *consumer);
/* Partition queues lose their target when the library stops and starts a partition by itself; set it again. */
void sl_klog_places_forward(struct sl_klog_consumer *consumer);
void sl_klog_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t code, rd_kafka_topic_partition_list_t *list, void *opaque);
void sl_klog_probe_close(struct sl_klog_consumer *consumer);
/* Reports ERROR, or FATAL where the instance is dead. */
void sl_klog_error_event(struct sl_klog_consumer *consumer, rd_kafka_resp_err_t code, const char *name, const char *text);

/* Connects, joins nothing, wakes nobody. */
int sl_klog_consumer_new(const struct sl_klog_consumer_settings *settings, struct sl_klog_consumer **ret_consumer, struct sl_err *err);
int sl_klog_probe_open(struct sl_klog_consumer *consumer, const char *topic, struct sl_err *err);

/* ---- opened ahead (klog_rdkafka_warm.c) ---- */
struct klog_kept { /* a partition of the commit topic as far as it was read; its reader has the lock */
    char *key;
    int32_t partition;
    pthread_mutex_t lock;
    struct klog_asker asker;
    rd_kafka_topic_t *rkt;
    uint64_t next;      /* the first offset that is not kept */
    struct sl_buf rows; /* offset, key and value of each record, with their lengths; UINT32_MAX: NULL */
    bool broken;        /* not to be used any more */
    uint32_t readers;
    bool cooled;
    struct klog_kept *next_kept;
};
struct sl_klog_consumer *sl_klog_warm_take(const struct sl_klog_consumer_settings *settings); /* NULL: none */
bool sl_klog_warm_count(const struct sl_connection *connection, const char *topic, uint32_t *ret_count);
void sl_klog_warm_counted(const struct sl_connection *connection, const char *topic, uint32_t count);
struct klog_kept *sl_klog_kept_take(const struct sl_connection *connection, const char *topic, int32_t partition); /* locked; NULL: none */
void sl_klog_kept_give_back(struct klog_kept *kept);
void sl_klog_kept_add(struct klog_kept *kept, uint64_t offset, struct sl_slice key, struct sl_slice value);
int sl_klog_kept_each(const struct klog_kept *kept, uint64_t from, int (*each)(void *user, struct sl_slice key, struct sl_slice value),
                      void *user);

/* The rows of struct sl_klog_kind. */
int sl_klog_consumer_subscribe(struct sl_klog_consumer *consumer, const struct sl_strings *topics, struct sl_err *err);
int sl_klog_consumer_open(struct sl_klog *log, const struct sl_klog_consumer_settings *settings,
                          struct sl_klog_consumer **ret_consumer, struct sl_err *err);
int sl_klog_consumer_poll(struct sl_klog_consumer *consumer, struct sl_klog_message *messages, uint32_t max, struct sl_err *err);
int sl_klog_consumer_starved(struct sl_klog_consumer *consumer);
void sl_klog_consumer_close(struct sl_klog_consumer *consumer);
void sl_klog_generation_forget(struct sl_klog_consumer *consumer);
int sl_klog_assign(struct sl_klog_consumer *consumer, const struct sl_klog_list *list, void *const *users, struct sl_err *err);
int sl_klog_unassign(struct sl_klog_consumer *consumer, const struct sl_klog_list *list, struct sl_err *err);
int sl_klog_seek(struct sl_klog_consumer *consumer, const char *topic, int32_t partition, uint64_t offset, struct sl_err *err);
int sl_klog_position(struct sl_klog_consumer *consumer, const char *topic, int32_t partition, uint64_t *ret_next);
int sl_klog_pause(struct sl_klog_consumer *consumer, const struct sl_klog_list *list, bool paused, struct sl_err *err);
struct sl_klog_group *sl_klog_group_snapshot(struct sl_klog_consumer *consumer);
void sl_klog_group_free(struct sl_klog_group *group);
int sl_klog_committed(struct sl_klog_consumer *consumer, struct sl_klog_list *list, uint32_t timeout_ms, struct sl_err *err);
int sl_klog_offsets(struct sl_klog_consumer *consumer, struct sl_klog_list *list, int64_t which, uint32_t timeout_ms,
                    struct sl_err *err);
int sl_klog_fingerprints(struct sl_klog_consumer *consumer, struct sl_klog_print *prints, uint32_t count, struct sl_err *err);
int sl_klog_commit_offsets(struct sl_klog_consumer *consumer, const struct sl_klog_list *list, struct sl_err *err);
int sl_klog_producer_open(struct sl_klog *log, const struct sl_connection *connection, const char *transactional_id,
                          uint32_t transaction_timeout_ms, struct sl_klog_producer **ret_producer, struct sl_err *err);
int sl_klog_producer_warm(struct sl_klog_producer *producer, const char *topic, struct sl_err *err);
int sl_klog_producer_begin(struct sl_klog_producer *producer, struct sl_err *err);
int sl_klog_producer_produce(struct sl_klog_producer *producer, const struct sl_klog_record *records, uint32_t count,
                             struct sl_err *err);
int sl_klog_producer_send_offsets(struct sl_klog_producer *producer, const struct sl_klog_list *offsets,
                                  struct sl_klog_group *group, struct sl_err *err);
int sl_klog_producer_commit(struct sl_klog_producer *producer, struct sl_err *err);
int sl_klog_producer_abort(struct sl_klog_producer *producer, struct sl_err *err);
void sl_klog_producer_close(struct sl_klog_producer *producer);
int sl_klog_topic_ensure(struct sl_klog *log, const struct sl_connection *connection, const char *topic, uint32_t partitions,
                         struct sl_err *err);
int sl_klog_scan(struct sl_klog *log, const struct sl_connection *connection, const char *topic, int32_t partition,
                 uint64_t *inout_offset, int (*each)(void *user, struct sl_slice key, struct sl_slice value), void *user,
                 struct sl_err *err);
int sl_klog_partition_count(struct sl_klog *log, const struct sl_connection *connection, const char *topic, uint32_t *ret_count,
                            struct sl_err *err);
int sl_klog_warm(struct sl_klog *log, const struct sl_klog_consumer_settings *settings, const char *commit_topic, int32_t commit_partition,
                 struct sl_err *err);
void sl_klog_cool(struct sl_klog *log);
int sl_klog_reach(struct sl_klog *log, const struct sl_connection *connection, uint32_t timeout_ms, struct sl_err *err);
int sl_klog_sender_open(struct sl_klog *log, const struct sl_connection *connection, const struct sl_map *properties,
                        uint64_t queue_bytes, void (*wake)(void *user), void *user, struct sl_klog_sender **ret_sender,
                        struct sl_err *err);
int sl_klog_sender_send(struct sl_klog_sender *sender, const struct sl_klog_record *record, void *opaque, struct sl_err *err);
int sl_klog_sender_reports(struct sl_klog_sender *sender,
                           void (*each)(void *user, void *opaque, int status, const struct sl_err *err), void *user,
                           struct sl_err *err);
int sl_klog_sender_trouble(struct sl_klog_sender *sender, struct sl_err *err);
void sl_klog_sender_close(struct sl_klog_sender *sender);

#endif
