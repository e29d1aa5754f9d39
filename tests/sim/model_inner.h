/* model_inner.h: the inside of the modelled log, shared by its files: topics (model_topic.c), groups (model_group.c),
 * transactions (model_txn.c), the client's objects (model_consumer.c, model_producer.c, model_sender.c).
 *
 * Invariants: (1) a partition's record number i has offset i: removed ones stay as holes until the model dies, so bytes
 * given to a consumer stay valid; (2) a transaction ends once; (3) a group's generation rises only when a rebalance ends.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_TESTS_SIM_MODEL_INNER_H
#define SL_TESTS_SIM_MODEL_INNER_H

#include <assert.h>

#include "tests/sim/model_log.h"

enum model_txn_state { MODEL_TXN_OPEN, MODEL_TXN_COMMITTED, MODEL_TXN_ABORTED };
enum model_group_state { MODEL_GROUP_EMPTY, MODEL_GROUP_PREPARING, MODEL_GROUP_STABLE };

struct model_record {
    struct sl_slice key, payload; /* malloc'd exactly, so that the address sanitizer sees a read past the end */
    bool null_payload, marker, removed;
    struct sl_header *headers;
    uint16_t headers_count;
    int64_t append_unix_ms;
    struct model_txn *txn; /* NULL: not transactional */
};

struct model_partition {
    struct model_record **records; /* [count]; index = offset */
    uint64_t count, cap, first;
};

struct model_topic {
    char *name;
    struct model_partition **partitions;
    uint32_t count;
    struct model_topic *next;
};

struct model_touched { /* where a transaction has written */
    struct model_partition *partition;
    uint64_t first;
};

struct model_pending { /* offsets that a transaction brings */
    struct model_group *group;
    struct sl_klog_list list;
};

struct model_txn {
    enum model_txn_state state;
    struct model_tid *tid; /* NULL: another program's */
    uint64_t deadline_ns, arrival_ns; /* arrival of a late commit; 0: none under way */
    struct model_touched *touched;
    uint32_t touched_count;
    struct model_pending *pending;
    uint32_t pending_count;
    struct model_txn *next; /* of the model's open ones, or of the ended ones */
};

struct model_tid {
    char *name;
    uint32_t epoch;
    uint64_t timeout_ns;
    struct model_txn *txn; /* open, or NULL */
    struct model_tid *next;
};

struct model_member {
    uint64_t id;
    char *instance_id; /* or NULL */
    char **topics;     /* subscription */
    uint32_t topics_count;
    uint64_t session_ns, deadline_ns;
    bool joined; /* since the rebalance began; in a stable group: all are */
    struct sl_klog_list assigned;
};

struct model_group {
    char *name;
    uint32_t generation;
    enum model_group_state state;
    uint64_t deadline_ns; /* of a rebalance */
    struct model_member *members;
    uint32_t members_count;
    struct sl_klog_list committed;
    struct model_group *next;
};

struct sl_model {
    uint32_t magic;
    struct sl_model_settings settings;
    uint64_t random, now_ns, members_made;
    int64_t unix_ms;
    bool down;
    struct model_topic *topics, *buried; /* buried: deleted topics, kept for invariant 1 */
    struct model_txn *open, *ended;
    struct model_tid *tids;
    struct model_group *groups;
    struct sl_model_client *clients;
};

struct sl_model_client {
    struct sl_klog base; /* first */
    uint32_t magic;
    struct sl_model *model;
    int (*step)(void *user, const char *what);
    void *user;
    bool dead, cut, fate_set;
    enum sl_model_commit fate;
    struct sl_klog_consumer *consumers;
    struct sl_klog_producer *producers;
    struct sl_klog_sender *senders;
    struct sl_model_client *next;
};

/* model_log.c */
void *model_alloc(size_t bytes); /* zeroed; a test without memory ends */
char *model_text(const char *text);
struct sl_slice model_copy(struct sl_slice slice);
uint64_t model_random(struct sl_model *model, uint64_t below); /* 0 .. below - 1 */
bool model_lot(struct sl_model *model, uint32_t permille);
void model_wake(struct sl_model *model); /* something to poll, perhaps */
/* Before each operation: the process may die here. 0, or the error of a dead process. */
int model_step(struct sl_model_client *client, const char *what, struct sl_err *err);
/* The same for an operation that needs the cluster. */
int model_reach(struct sl_model_client *client, const char *what, struct sl_err *err);
bool model_can_reach(const struct sl_model_client *client);

/* model_topic.c */
struct model_topic *model_topic_find(struct sl_model *model, const char *name);
struct model_partition *model_partition_find(struct sl_model *model, const char *topic, int32_t partition);
int32_t model_topic_choose(const struct model_topic *topic, const struct sl_klog_record *record);
uint64_t model_partition_append(struct sl_model *model, struct model_partition *partition, const struct sl_klog_record *record,
                                struct model_txn *txn);
void model_partition_mark(struct sl_model *model, struct model_partition *partition, struct model_txn *txn);
uint64_t model_partition_stable(struct sl_model *model, const struct model_partition *partition);
/* Is there a record for a reader at this offset, below the end that it may read to? */
bool model_record_seen(const struct model_record *record, bool read_committed);
void model_record_message(const struct model_record *record, uint64_t offset, struct sl_klog_message *ret_message);
void model_topics_free(struct model_topic *topic);

/* model_group.c */
struct model_group *model_group_of(struct sl_model *model, const char *name);
struct model_member *model_member_find(struct model_group *group, uint64_t id);
bool model_member_replaced(const struct model_group *group, uint64_t id, const char *instance_id);
uint64_t model_group_join(struct sl_model *model, struct model_group *group, const struct sl_klog_consumer_settings *settings);
void model_group_rejoin(struct sl_model *model, struct model_group *group, struct model_member *member);
void model_group_leave(struct sl_model *model, struct model_group *group, uint64_t id);
void model_group_changed_topic(struct sl_model *model, const char *topic);
void model_group_expire(struct sl_model *model);
int model_group_check(const struct model_group *group, uint64_t member, uint32_t generation, const char *instance_id,
                      struct sl_err *err);
void model_group_store(struct model_group *group, const struct sl_klog_list *list);
struct sl_klog_partition *model_list_find(const struct sl_klog_list *list, const char *topic, int32_t partition);
void model_list_add(struct sl_klog_list *list, const struct sl_klog_partition *item);
void model_group_forget_topic(struct sl_model *model, const char *topic);
void model_groups_free(struct sl_model *model);

/* model_txn.c */
struct model_tid *model_tid_take(struct sl_model *model, const char *name, uint64_t timeout_ns); /* fences, aborts, epoch + 1 */
struct model_txn *model_txn_open(struct sl_model *model, struct model_tid *tid);
void model_txn_touch(struct model_txn *txn, struct model_partition *partition);
void model_txn_bring(struct model_txn *txn, struct model_group *group, const struct sl_klog_list *offsets);
void model_txn_end(struct sl_model *model, struct model_txn *txn, bool commit);
bool model_txn_unstable(struct sl_model *model, const struct model_group *group, const char *topic, int32_t partition);
void model_txn_expire(struct sl_model *model);
void model_txns_free(struct sl_model *model);

/* model_consumer.c */
extern const struct sl_klog_kind model_consumer_kind; /* the consumer's slots */
void model_consumer_wake(struct sl_klog_consumer *consumer);
void model_consumer_heartbeat(struct sl_klog_consumer *consumer);
struct sl_klog_consumer *model_consumer_next(struct sl_klog_consumer *consumer);
/* A copy of a snapshot's facts for the producer. */
int model_group_snapshot_check(const struct sl_klog_group *group, struct model_group **ret_group, struct sl_err *err);

/* model_producer.c, model_sender.c */
extern const struct sl_klog_kind model_producer_kind, model_sender_kind;
void model_sender_turn(struct sl_klog_sender *sender);
struct sl_klog_sender *model_sender_next(struct sl_klog_sender *sender);

#endif
