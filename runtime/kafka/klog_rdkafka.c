/* klog_rdkafka.c: the log interface on librdkafka: its table, and where the library's own log goes.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/kafka/klog_rdkafka.h"

#include <stdatomic.h>

static atomic_ullong log_lines;
static void (*log_hook)(void *user, int level, const char *facility, const char *text);
static void *log_user;

void sl_klog_rdkafka_on_log(void (*hook)(void *user, int level, const char *facility, const char *text), void *user)
{
    log_user = user;
    log_hook = hook;
}

uint64_t sl_klog_rdkafka_log_lines(void)
{
    return atomic_load_explicit(&log_lines, memory_order_relaxed);
}

/* The library logs what it also reports as an error or an event; alone it says little, and much of it ("Not coordinator" at a
 * first transaction) is no failure. So lines are counted, not printed. */
void sl_klog_log(const rd_kafka_t *rk, int level, const char *facility, const char *text)
{
    (void)rk;
    atomic_fetch_add_explicit(&log_lines, 1, memory_order_relaxed);
    if (log_hook != NULL)
        log_hook(log_user, level, facility, text);
}

static const struct sl_klog_kind rdkafka_kind = {
    .consumer_open = sl_klog_consumer_open,
    .poll = sl_klog_consumer_poll,
    .assign = sl_klog_assign,
    .unassign = sl_klog_unassign,
    .seek = sl_klog_seek,
    .position = sl_klog_position,
    .starved = sl_klog_consumer_starved,
    .pause = sl_klog_pause,
    .committed = sl_klog_committed,
    .offsets = sl_klog_offsets,
    .fingerprints = sl_klog_fingerprints,
    .commit_offsets = sl_klog_commit_offsets,
    .consumer_close = sl_klog_consumer_close,
    .consumer_subscribe = sl_klog_consumer_subscribe,
    .group_snapshot = sl_klog_group_snapshot,
    .group_free = sl_klog_group_free,
    .producer_open = sl_klog_producer_open,
    .warm = sl_klog_producer_warm,
    .begin = sl_klog_producer_begin,
    .produce = sl_klog_producer_produce,
    .send_offsets = sl_klog_producer_send_offsets,
    .commit = sl_klog_producer_commit,
    .abort = sl_klog_producer_abort,
    .producer_close = sl_klog_producer_close,
    .topic_ensure = sl_klog_topic_ensure,
    .scan = sl_klog_scan,
    .partition_count = sl_klog_partition_count,
    .reach = sl_klog_reach,
    .ahead = sl_klog_warm,
    .cool = sl_klog_cool,
    .sender_open = sl_klog_sender_open,
    .send = sl_klog_sender_send,
    .reports = sl_klog_sender_reports,
    .trouble = sl_klog_sender_trouble,
    .sender_close = sl_klog_sender_close,
};

struct sl_klog *sl_klog_rdkafka(void)
{
    static struct sl_klog log = {&rdkafka_kind};

    return &log;
}
