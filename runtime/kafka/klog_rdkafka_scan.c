/* klog_rdkafka_scan.c: what commits need of a topic as a whole: make it, count its partitions, read one partition to its end.
 * Each call opens an instance of its own and closes it: they happen at start and at assignments only. Clerk thread; they block.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/kafka/klog_rdkafka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/clock.h"

enum { KLOG_ADMIN_MS = 30000, KLOG_SCAN_QUIET_MS = 120000, KLOG_LEARN_MS = 1000, KLOG_POLL_MS = 10 };

/* ---- partition count ---- */
static int scan_count(struct klog_asker *asker, const char *topic, uint32_t *ret_count, rd_kafka_resp_err_t *ret_code)
{
    rd_kafka_topic_t *rkt = rd_kafka_topic_new(asker->rk, topic, NULL);
    const struct rd_kafka_metadata *metadata;

    if (rkt == NULL) {
        *ret_code = rd_kafka_last_error();
        return -1;
    }
    *ret_code = sl_klog_ask(asker, rkt, KLOG_ADMIN_MS, &metadata);
    rd_kafka_topic_destroy(rkt);
    if (*ret_code != 0)
        return -1;
    *ret_code = metadata->topic_cnt == 1 ? metadata->topics[0].err : RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
    *ret_count = metadata->topic_cnt == 1 ? (uint32_t)metadata->topics[0].partition_cnt : 0;
    rd_kafka_metadata_destroy(metadata);
    return *ret_code == 0 ? 0 : -1;
}

int sl_klog_partition_count(struct sl_klog *log, const struct sl_connection *connection, const char *topic, uint32_t *ret_count,
                            struct sl_err *err)
{
    struct klog_asker asker;
    rd_kafka_resp_err_t code;
    uint32_t count;
    int status = sl_klog_warm_count(connection, topic, ret_count) ? 1 : sl_klog_asker_open(&asker, connection, "read_committed", err);

    (void)log;
    if (status != 0)
        return status == 1 ? 0 : status;
    if (scan_count(&asker, topic, &count, &code) != 0)
        status = sl_klog_fail_cause(err, code, "asking for a topic", topic, &asker.cause);
    else
        *ret_count = count;
    if (status == 0)
        sl_klog_warm_counted(connection, topic, count);
    sl_klog_asker_close(&asker);
    return status;
}

/* ---- making the commit topic ---- */
static int ensure_create(rd_kafka_t *rk, rd_kafka_queue_t *queue, const char *topic, uint32_t partitions, struct sl_err *err)
{
    char text[300];
    rd_kafka_NewTopic_t *made = rd_kafka_NewTopic_new(topic, (int)partitions, -1, text, sizeof(text));
    rd_kafka_AdminOptions_t *options = rd_kafka_AdminOptions_new(rk, RD_KAFKA_ADMIN_OP_CREATETOPICS);
    const rd_kafka_topic_result_t **results;
    rd_kafka_event_t *event;
    size_t count;
    int status = 0;

    if (made == NULL) {
        rd_kafka_AdminOptions_destroy(options);
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "making topic %s: %s", topic, text);
    }
    (void)rd_kafka_NewTopic_set_config(made, "cleanup.policy", "compact");
    (void)rd_kafka_AdminOptions_set_operation_timeout(options, KLOG_ADMIN_MS, text, sizeof(text)); /* until it has leaders */
    rd_kafka_CreateTopics(rk, &made, 1, options, queue);
    event = rd_kafka_queue_poll(queue, 2 * KLOG_ADMIN_MS);
    if (event == NULL) {
        status = sl_klog_fail(err, RD_KAFKA_RESP_ERR__TIMED_OUT, "making the commit topic", topic, NULL);
    } else if (rd_kafka_event_error(event) != 0) {
        status = sl_klog_fail(err, rd_kafka_event_error(event), "making the commit topic", topic, rd_kafka_event_error_string(event));
    } else {
        results = rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(event), &count);
        if (rd_kafka_topic_result_error(results[0]) != 0 &&
            rd_kafka_topic_result_error(results[0]) != RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS)
            status = sl_klog_fail(err, rd_kafka_topic_result_error(results[0]), "making the commit topic", topic,
                                  rd_kafka_topic_result_error_string(results[0]));
    }
    if (event != NULL)
        rd_kafka_event_destroy(event);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_NewTopic_destroy(made);
    return status;
}

/* The cleanup.policy in a DescribeConfigs answer, or NULL: not to be had (no right to see it), which is no reason to stop. */
static const char *ensure_policy(const rd_kafka_event_t *event)
{
    const rd_kafka_DescribeConfigs_result_t *result = rd_kafka_event_DescribeConfigs_result((rd_kafka_event_t *)(uintptr_t)event);
    const rd_kafka_ConfigResource_t **resources;
    const rd_kafka_ConfigEntry_t **entries;
    size_t count = 0;

    if (result == NULL)
        return NULL;
    resources = rd_kafka_DescribeConfigs_result_resources(result, &count);
    if (count == 0 || rd_kafka_ConfigResource_error(resources[0]) != 0)
        return NULL;
    entries = rd_kafka_ConfigResource_configs(resources[0], &count);
    for (size_t i = 0; i < count; i++)
        if (strcmp(rd_kafka_ConfigEntry_name(entries[i]), "cleanup.policy") == 0)
            return rd_kafka_ConfigEntry_value(entries[i]);
    return NULL;
}

/* A topic that somebody made with the default policy would forget flush entries after a week. */
static int ensure_compacted(rd_kafka_t *rk, rd_kafka_queue_t *queue, const char *topic, struct sl_err *err)
{
    rd_kafka_ConfigResource_t *resource = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic);
    rd_kafka_event_t *event;
    const char *policy;
    int status = 0;

    rd_kafka_DescribeConfigs(rk, &resource, 1, NULL, queue);
    event = rd_kafka_queue_poll(queue, 2 * KLOG_ADMIN_MS);
    policy = event == NULL ? NULL : ensure_policy(event);
    if (policy != NULL && strcmp(policy, "compact") != 0)
        status = sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0,
                         "topic %s has cleanup.policy=%s, which would forget commits; set it to compact, or name another topic "
                         "under commit:",
                         topic, policy);
    if (event != NULL)
        rd_kafka_event_destroy(event);
    rd_kafka_ConfigResource_destroy(resource);
    return status;
}

/* The controller answers before all brokers know the topic. */
static int ensure_known(struct klog_asker *asker, rd_kafka_queue_t *queue, const char *topic, struct sl_err *err)
{
    uint64_t end_ns = sl_clock_now_ns() + KLOG_ADMIN_MS * SL_NS_PER_MS;
    rd_kafka_resp_err_t code;
    uint32_t count;

    while (scan_count(asker, topic, &count, &code) != 0) {
        rd_kafka_event_t *event;

        if (code != RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART && code != RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE)
            return sl_klog_fail_cause(err, code, "asking for a topic", topic, &asker->cause);
        if (sl_clock_now_ns() > end_ns)
            return sl_klog_fail(err, code, "waiting for the new topic", topic, NULL);
        if ((event = rd_kafka_queue_poll(queue, 20)) != NULL)
            rd_kafka_event_destroy(event);
    }
    return 0;
}

int sl_klog_topic_ensure(struct sl_klog *log, const struct sl_connection *connection, const char *topic, uint32_t partitions,
                         struct sl_err *err)
{
    struct klog_asker asker;
    rd_kafka_queue_t *queue;
    rd_kafka_resp_err_t code;
    uint32_t count;
    int status = sl_klog_warm_count(connection, topic, &count) ? 1 : sl_klog_asker_open(&asker, connection, "read_committed", err);

    (void)log;
    if (status != 0) /* 1: it was there a moment ago, when this process warmed up */
        return status == 1 ? 0 : status;
    queue = rd_kafka_queue_new(asker.rk);
    if (scan_count(&asker, topic, &count, &code) != 0)
        status = code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART
                     ? ensure_create(asker.rk, queue, topic, partitions, err)
                     : sl_klog_fail_cause(err, code, "asking for a topic", topic, &asker.cause);
    if (status == 0)
        status = ensure_known(&asker, queue, topic, err);
    if (status == 0)
        status = ensure_compacted(asker.rk, queue, topic, err);
    rd_kafka_queue_destroy(queue);
    sl_klog_asker_close(&asker);
    return status;
}

/* ---- reading a partition to its end ---- */
struct scan {
    struct klog_asker *asker;
    rd_kafka_t *rk; /* its handle */
    const char *topic;
    int32_t partition;
    uint64_t next;
    int64_t goal; /* the partition's end, uncommitted records included, when the scan began; -1 not yet known */
    uint64_t quiet_ns; /* since when nothing has come */
    struct klog_kept *kept; /* NULL: what is read is not kept */
    int (*each)(void *user, struct sl_slice key, struct sl_slice value);
    void *user;
};

/* The end comes with each fetch response, before what is in it. Asked for once something of this scan has come: a handle that was used
 * before knows an older end. */
static void scan_learn_goal(struct scan *scan)
{
    int64_t low, high;

    if (scan->goal < 0 && rd_kafka_get_watermark_offsets(scan->rk, scan->topic, scan->partition, &low, &high) == 0 && high >= 0)
        scan->goal = high;
}

static int scan_message(struct scan *scan, const rd_kafka_message_t *message, struct sl_err *err)
{
    struct sl_slice key = {message->key, (uint32_t)message->key_len};
    struct sl_slice value = {message->payload, (uint32_t)message->len};

    switch ((int)message->err) {
    case RD_KAFKA_RESP_ERR_NO_ERROR:
        scan->next = (uint64_t)message->offset + 1;
        if (scan->kept != NULL)
            sl_klog_kept_add(scan->kept, (uint64_t)message->offset, key, value);
        return scan->each(scan->user, key, value);
    case RD_KAFKA_RESP_ERR__PARTITION_EOF:
        scan->next = (uint64_t)message->offset > scan->next ? (uint64_t)message->offset : scan->next;
        return 0;
    case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
    case RD_KAFKA_RESP_ERR__TRANSPORT:
        return 0;
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
    case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE:
        return sl_fail(err, SL_E_BROKER, SL_REMEDY_HALT, (int)message->err,
                       "topic %s [%d] does not reach to offset %llu, where it was read last: it has been made anew", scan->topic,
                       (int)scan->partition, (unsigned long long)scan->next);
    default:
        return sl_klog_fail(err, message->err, "reading a topic", scan->topic, rd_kafka_message_errstr(message));
    }
}

static int scan_quiet(const struct scan *scan, struct sl_err *err)
{
    const struct klog_cause *cause = &scan->asker->cause;

    if (sl_klog_cause_halts(cause))
        return sl_klog_fail_cause(err, RD_KAFKA_RESP_ERR__TIMED_OUT, "reading a topic", scan->topic, cause);
    return sl_klog_fail(err, RD_KAFKA_RESP_ERR__TIMED_OUT, "reading a topic", scan->topic,
                        "nothing came for two minutes (brokers away, or a transaction left open)");
}

/* As a rule the next records are there; where a transaction is open, it may take its time. */
static int scan_patience_ms(const struct scan *scan)
{
    return sl_clock_now_ns() - scan->quiet_ns < SL_NS_PER_S ? KLOG_POLL_MS : 100;
}

/* Open transactions in the way end by their own time-out; until then the end is not reached. */
static int scan_run(struct scan *scan, struct sl_err *err)
{
    int status = 0;

    scan->quiet_ns = sl_clock_now_ns();
    while (status == 0 && (scan->goal < 0 || scan->next < (uint64_t)scan->goal)) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(scan->rk, scan_patience_ms(scan));
        uint64_t before = scan->next;

        if (message != NULL) {
            scan_learn_goal(scan);
            status = scan_message(scan, message, err);
            rd_kafka_message_destroy(message);
        }
        if (message == NULL)
            sl_klog_poke(scan->rk, scan->topic, scan->partition);
        if (scan->next != before)
            scan->quiet_ns = sl_clock_now_ns();
        else if (status == 0 && sl_clock_now_ns() - scan->quiet_ns > KLOG_SCAN_QUIET_MS * SL_NS_PER_MS)
            status = scan_quiet(scan, err);
    }
    return status;
}

/* As a number: the library asks for it too, but where the leader is not yet connected only once more half a second later. */
static int64_t scan_beginning(rd_kafka_t *rk, const char *topic, int32_t partition)
{
    int64_t low, high;

    return rd_kafka_query_watermark_offsets(rk, topic, partition, &low, &high, KLOG_LEARN_MS) == 0 ? low : RD_KAFKA_OFFSET_BEGINNING;
}

/* The handle is connected and knows the topic; `next` is where to begin. */
static int scan_from(struct scan *scan, int64_t from, struct sl_err *err)
{
    rd_kafka_topic_partition_list_t *native = rd_kafka_topic_partition_list_new(1);
    rd_kafka_resp_err_t code;

    rd_kafka_topic_partition_list_add(native, scan->topic, scan->partition)->offset = from;
    code = rd_kafka_assign(scan->rk, native);
    rd_kafka_topic_partition_list_destroy(native);
    return code == 0 ? scan_run(scan, err) : sl_klog_fail(err, code, "reading a topic", scan->topic, NULL);
}

/* What is kept first, then what has come since. */
static int scan_kept(struct scan *scan, uint64_t *inout_offset, struct sl_err *err)
{
    struct klog_kept *kept = scan->kept;
    int status = sl_klog_kept_each(kept, *inout_offset, scan->each, scan->user);

    if (status != 0)
        return status;
    scan->asker = &kept->asker;
    scan->rk = kept->asker.rk;
    scan->next = kept->next;
    if (kept->rkt == NULL)
        kept->rkt = sl_klog_learn(scan->rk, scan->topic, KLOG_LEARN_MS);
    status = scan_from(scan, kept->next == 0 ? scan_beginning(scan->rk, scan->topic, scan->partition) : (int64_t)kept->next, err);
    (void)rd_kafka_assign(scan->rk, NULL);
    kept->broken = kept->broken || status != 0;
    kept->next = scan->next;
    if (status == 0)
        *inout_offset = scan->next;
    return status;
}

static int scan_alone(struct scan *scan, const struct sl_connection *connection, uint64_t *inout_offset, struct sl_err *err)
{
    struct klog_asker asker;
    rd_kafka_topic_t *rkt;
    int status = sl_klog_asker_open(&asker, connection, "read_committed", err);

    if (status != 0)
        return status;
    scan->asker = &asker;
    scan->rk = asker.rk;
    rkt = sl_klog_learn(asker.rk, scan->topic, KLOG_LEARN_MS);
    status = scan_from(scan, *inout_offset == 0 ? scan_beginning(asker.rk, scan->topic, scan->partition) : (int64_t)*inout_offset, err);
    if (status == 0)
        *inout_offset = scan->next;
    (void)rd_kafka_consumer_close(asker.rk);
    if (rkt != NULL)
        rd_kafka_topic_destroy(rkt);
    sl_klog_asker_close(&asker);
    return status;
}

int sl_klog_scan(struct sl_klog *log, const struct sl_connection *connection, const char *topic, int32_t partition,
                 uint64_t *inout_offset, int (*each)(void *user, struct sl_slice key, struct sl_slice value), void *user,
                 struct sl_err *err)
{
    struct scan scan = {.topic = topic, .partition = partition, .next = *inout_offset, .goal = -1, .each = each, .user = user,
                        .kept = sl_klog_kept_take(connection, topic, partition)};
    int status;

    (void)log;
    if (scan.kept == NULL)
        return scan_alone(&scan, connection, inout_offset, err);
    status = scan_kept(&scan, inout_offset, err);
    sl_klog_kept_give_back(scan.kept);
    return status;
}
