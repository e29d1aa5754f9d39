/* domain.h: the commit domain behind one interface (DELIVERY rule C1): a Kafka transaction, plain offsets, or one fsynced record
 * in the local commit log. All calls block and run as jobs on the slot's clerk thread, but for group_snapshot's taking.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_ENGINE_DOMAIN_H
#define SL_RUNTIME_ENGINE_DOMAIN_H

#include "runtime/engine/op.h"
#include "runtime/base/buf.h"
#include "runtime/kafka/klog.h"

struct sl_domain;
struct sl_commit_log;

/* What one commit holds. Filled on the slot's thread; the clerk's until the job is done. */
struct sl_domain_commit {
    struct sl_buf changes; /* see sl_domain_change */
    uint32_t changes_count;
    struct sl_klog_list offsets; /* Kafka: committed offsets with marks as metadata */
    struct sl_klog_group *group;
    struct sl_flush **flushes; /* borrowed; those whose kind has transact() produce inside the transaction */
    uint32_t flushes_count;
    bool unknown; /* it failed, but may have happened: ask again with the same commit until it is known; nothing may be undone */
};

/* Adds one change: key -> value; value.data NULL removes it. */
void sl_domain_change(struct sl_domain_commit *commit, struct sl_slice key, struct sl_slice value);
void sl_domain_commit_reset(struct sl_domain *domain, struct sl_domain_commit *commit);

struct sl_domain *sl_domain_local_new(struct sl_commit_log *log);
/* transactional: C1's transaction, else plain offsets. Strings are copied. */
struct sl_domain *sl_domain_kafka_new(struct sl_klog *log, const struct sl_connection *connection,
                                      struct sl_klog_consumer *consumer, const char *group, const char *transactional_id,
                                      const char *topic, uint32_t epoch, uint32_t transaction_timeout_ms, bool transactional);
struct sl_domain *sl_domain_free(struct sl_domain *domain);
bool sl_domain_is_kafka(const struct sl_domain *domain);
struct sl_klog_consumer *sl_domain_consumer(struct sl_domain *domain);

/* 0: it happened, whole. Else err->remedy: RETRY, FENCE (another owner), HALT; and nothing of it happened, unless
 * commit->unknown says that this is not known. */
int sl_domain_commit(struct sl_domain *domain, struct sl_domain_commit *commit, struct sl_err *err);
/* Makes ready what the first commit needs (commit topic, producer): the first would take a second. */
int sl_domain_warm(struct sl_domain *domain, struct sl_err *err);
/* The current map of this domain, all keys; order unspecified, each key once. */
int sl_domain_each(struct sl_domain *domain, int (*each)(void *user, struct sl_slice key, struct sl_slice value), void *user,
                   struct sl_err *err);
/* The zone id of (group, sink): made once, by whoever comes first (rule C6). zone holds 33 bytes. random: 16 bytes of it. */
int sl_domain_zone(struct sl_domain *domain, const char *group, const char *sink, const uint64_t random[2], char *zone,
                   struct sl_err *err);

#endif
