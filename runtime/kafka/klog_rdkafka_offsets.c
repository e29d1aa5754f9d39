/* klog_rdkafka_offsets.c: what a consumer's clerk asks of the brokers: committed offsets, ends, single records; and the plain
 * commit. All of it blocks, none of it touches fetching, so it may run beside the owner thread.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/kafka/klog_rdkafka.h"

#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "runtime/base/clock.h"

enum { KLOG_PROBE_IDLE_S = 10, KLOG_PROBE_MS = 30000, KLOG_PROBE_MAX = 64, KLOG_PROBE_TURN_MS = 1000, KLOG_LEARN_MS = 1000, KLOG_POLL_MS = 10 };

static rd_kafka_topic_partition_t *native_find(rd_kafka_topic_partition_list_t *native, const struct sl_klog_partition *item,
                                               int index)
{
    rd_kafka_topic_partition_t *at = &native->elems[index]; /* the library keeps the order, as a rule */

    if (at->partition == item->partition && strcmp(at->topic, item->topic) == 0)
        return at;
    return rd_kafka_topic_partition_list_find(native, item->topic, item->partition);
}

/* ---- committed ---- */
static int item_set_metadata(struct sl_klog_partition *item, const void *metadata, size_t bytes)
{
    free(item->metadata);
    item->metadata = NULL;
    item->metadata_bytes = 0;
    if (metadata == NULL || bytes == 0)
        return 0;
    item->metadata = malloc(bytes + 1);
    if (item->metadata == NULL)
        return -1;
    memcpy(item->metadata, metadata, bytes);
    item->metadata[bytes] = '\0';
    item->metadata_bytes = (uint32_t)bytes;
    return 0;
}

int sl_klog_committed(struct sl_klog_consumer *consumer, struct sl_klog_list *list, uint32_t timeout_ms, struct sl_err *err)
{
    rd_kafka_topic_partition_list_t *native;
    rd_kafka_resp_err_t code;
    int status = 0;

    if (list->count == 0)
        return 0;
    native = sl_klog_native_list(list);
    code = rd_kafka_committed(consumer->rk, native, (int)timeout_ms);
    if (code != 0)
        status = sl_klog_fail(err, code, "asking for committed offsets", consumer->group, NULL);
    for (uint32_t i = 0; i < list->count && status == 0; i++) {
        struct sl_klog_partition *item = &list->items[i];
        const rd_kafka_topic_partition_t *got = native_find(native, item, (int)i);

        item->error = (int32_t)got->err;
        item->offset = got->err != 0 || got->offset < 0 ? -1 : got->offset;
        if (got->err != 0)
            status = sl_klog_fail(err, got->err, "asking for committed offsets", item->topic, NULL);
        else if (item_set_metadata(item, got->metadata, got->metadata_size) != 0)
            status = sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory for metadata of %zu bytes", got->metadata_size);
    }
    rd_kafka_topic_partition_list_destroy(native);
    return status;
}

/* ---- ends ---- */
int sl_klog_offsets(struct sl_klog_consumer *consumer, struct sl_klog_list *list, int64_t which, uint32_t timeout_ms,
                    struct sl_err *err)
{
    rd_kafka_topic_partition_list_t *native;
    rd_kafka_resp_err_t code;

    if (consumer->probe.rk != NULL && sl_clock_now_ns() - consumer->probe.used_ns > KLOG_PROBE_IDLE_S * SL_NS_PER_S)
        sl_klog_probe_close(consumer);
    if (list->count == 0)
        return 0;
    native = sl_klog_native_list(list);
    for (int i = 0; i < native->cnt; i++)
        native->elems[i].offset = which; /* one request a leader, whatever the number of partitions */
    code = rd_kafka_offsets_for_times(consumer->rk, native, (int)timeout_ms);
    for (uint32_t i = 0; i < list->count; i++) {
        struct sl_klog_partition *item = &list->items[i];
        const rd_kafka_topic_partition_t *got = native_find(native, item, (int)i);

        item->error = (int32_t)(code != 0 && got->err == 0 ? code : got->err);
        item->offset = item->error != 0 || got->offset < 0 ? -1 : got->offset;
    }
    rd_kafka_topic_partition_list_destroy(native);
    return code == 0 ? 0 : sl_klog_fail(err, code, "asking for offsets", list->items[0].topic, NULL);
}

/* ---- plain commit ---- */
int sl_klog_commit_offsets(struct sl_klog_consumer *consumer, const struct sl_klog_list *list, struct sl_err *err)
{
    rd_kafka_topic_partition_list_t *native;
    rd_kafka_resp_err_t code;
    const char *name = consumer->group;

    if (list->count == 0)
        return 0;
    native = sl_klog_native_list(list);
    code = rd_kafka_commit(consumer->rk, native, 0);
    for (int i = 0; i < native->cnt && code == 0; i++) {
        code = native->elems[i].err;
        name = native->elems[i].topic;
    }
    rd_kafka_topic_partition_list_destroy(native);
    return code == 0 ? 0 : sl_klog_fail(err, code, "committing offsets", code == 0 ? NULL : name, NULL);
}

/* ---- single records ---- */
static int probe_new(struct sl_klog_consumer *consumer, struct sl_err *err)
{
    static const struct sl_klog_setting table[] = {
        {SL_KLOG_LAW, "group.id", "sluice-probe"}, /* never joined: partitions are assigned by hand */
        {SL_KLOG_LAW, "group.instance.id", NULL},
        {SL_KLOG_LAW, "isolation.level", "read_uncommitted"}, /* what was read once is readable, open transactions or not */
        {SL_KLOG_LAW, "enable.auto.commit", "false"},
        {SL_KLOG_LAW, "enable.auto.offset.store", "false"},
        {SL_KLOG_LAW, "auto.offset.reset", "error"},
        {SL_KLOG_LAW, "allow.auto.create.topics", "false"},
        {SL_KLOG_LAW, "enable.partition.eof", "true"},
        {SL_KLOG_LAW, "queued.min.messages", "1"},
        {SL_KLOG_LAW, "fetch.message.max.bytes", "65536"}, /* a batch of each partition; a larger one comes whole when it is first in turn */
        {SL_KLOG_DEFAULT, "fetch.wait.max.ms", "10"},
        {SL_KLOG_DEFAULT, "check.crcs", "true"},
    };
    rd_kafka_conf_t *conf;
    int status = sl_klog_conf_new(consumer->settings.connection, NULL, table, sizeof(table) / sizeof(table[0]), &conf, err);

    if (status != 0)
        return status;
    status = sl_klog_handle_new(RD_KAFKA_CONSUMER, conf, &consumer->probe.rk, err);
    if (status == 0)
        rd_kafka_poll_set_consumer(consumer->probe.rk);
    return status;
}

void sl_klog_probe_close(struct sl_klog_consumer *consumer)
{
    if (consumer->probe.rk == NULL)
        return;
    (void)rd_kafka_consumer_close(consumer->probe.rk);
    if (consumer->probe.rkt != NULL)
        rd_kafka_topic_destroy(consumer->probe.rkt);
    rd_kafka_destroy(consumer->probe.rk);
    consumer->probe.rkt = NULL;
    consumer->probe.rk = NULL;
}

/* What the next message of its partition says. 1: all that there is to know. 2: ask again. <0: err. */
static int probe_judge(const rd_kafka_message_t *message, struct sl_klog_print *print, struct sl_err *err)
{
    switch ((int)message->err) {
    case RD_KAFKA_RESP_ERR_NO_ERROR:
        if ((uint64_t)message->offset < print->offset)
            return 2;
        print->found = (uint64_t)message->offset == print->offset;
        if (print->found)
            print->hash = XXH3_64bits(message->payload == NULL ? "" : message->payload, message->len);
        return 1;
    case RD_KAFKA_RESP_ERR__PARTITION_EOF:
    case RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET:
    case RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE:
        return 1;
    case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
    case RD_KAFKA_RESP_ERR__TRANSPORT:
        return 2;
    default:
        return sl_klog_fail(err, message->err, "reading a record again", print->topic, rd_kafka_message_errstr(message));
    }
}

struct probe { /* of so many partitions at once */
    rd_kafka_t *rk;
    struct sl_klog_print *prints;
    uint32_t count, left, at; /* at: of the last message, since a partition's come in a row */
    uint32_t assigned;        /* of those that were left at assigned_ns */
    uint64_t assigned_ns;
    bool known[KLOG_PROBE_MAX];
};

/* KLOG_PROBE_MAX: none of them. What concerns no partition is the first unknown one's, as good as any. */
static uint32_t probe_find(const struct probe *probe, const rd_kafka_message_t *message)
{
    if (message->rkt == NULL) {
        for (uint32_t i = 0; i < probe->count; i++)
            if (!probe->known[i])
                return i;
        return KLOG_PROBE_MAX;
    }
    for (uint32_t n = 0, i = probe->at; n < probe->count; n++, i = i + 1 == probe->count ? 0 : i + 1)
        if (probe->prints[i].partition == message->partition && strcmp(probe->prints[i].topic, rd_kafka_topic_name(message->rkt)) == 0)
            return i;
    return KLOG_PROBE_MAX;
}

static int probe_message(struct probe *probe, const rd_kafka_message_t *message, struct sl_err *err)
{
    uint32_t i = probe_find(probe, message);
    int status;

    if (i == KLOG_PROBE_MAX || probe->known[i])
        return 0; /* more of a batch whose record is known */
    probe->at = i;
    status = probe_judge(message, &probe->prints[i], err);
    probe->known[i] = status == 1;
    probe->left -= status == 1;
    return status < 0 ? status : 0;
}

/* Those that are left. */
static int probe_assign(struct probe *probe, struct sl_err *err)
{
    rd_kafka_topic_partition_list_t *native = rd_kafka_topic_partition_list_new((int)probe->left);
    rd_kafka_resp_err_t code;

    for (uint32_t i = 0; i < probe->count; i++)
        if (!probe->known[i])
            rd_kafka_topic_partition_list_add(native, probe->prints[i].topic, probe->prints[i].partition)->offset =
                (int64_t)probe->prints[i].offset;
    code = rd_kafka_assign(probe->rk, native);
    rd_kafka_topic_partition_list_destroy(native);
    probe->assigned = probe->left;
    probe->assigned_ns = sl_clock_now_ns();
    return code == 0 ? 0 : sl_klog_fail(err, code, "reading a record again", probe->prints[0].topic, NULL);
}

static void probe_poke(const struct probe *probe)
{
    for (uint32_t i = 0; i < probe->count; i++)
        if (!probe->known[i]) {
            sl_klog_poke(probe->rk, probe->prints[i].topic, probe->prints[i].partition);
            return;
        }
}

static int probe_read(struct probe *probe, struct sl_err *err)
{
    uint64_t end_ns = sl_clock_now_ns() + KLOG_PROBE_MS * SL_NS_PER_MS, now_ns;
    int status = probe_assign(probe, err);

    while (probe->left > 0 && status == 0) {
        rd_kafka_message_t *message = rd_kafka_consumer_poll(probe->rk, KLOG_POLL_MS);
        uint32_t before = probe->left;

        if (message != NULL) {
            status = probe_message(probe, message, err);
            rd_kafka_message_destroy(message);
        } else {
            probe_poke(probe);
        }
        now_ns = sl_clock_now_ns();
        if (probe->left < before)
            end_ns = now_ns + KLOG_PROBE_MS * SL_NS_PER_MS;
        else if (now_ns > end_ns)
            status = sl_klog_fail(err, RD_KAFKA_RESP_ERR__TIMED_OUT, "reading a record again", probe->prints[probe->at].topic, NULL);
        /* one whose leader is away may take long: what is known is not fetched on and on meanwhile */
        if (status == 0 && probe->left > 0 && probe->left < probe->assigned && now_ns - probe->assigned_ns > KLOG_PROBE_TURN_MS * SL_NS_PER_MS)
            status = probe_assign(probe, err);
    }
    (void)rd_kafka_assign(probe->rk, NULL);
    return status;
}

static void probe_learn(struct sl_klog_consumer *consumer, const char *topic)
{
    rd_kafka_topic_t *before = consumer->probe.rkt;

    if (before != NULL && strcmp(rd_kafka_topic_name(before), topic) == 0)
        return;
    consumer->probe.rkt = sl_klog_learn(consumer->probe.rk, topic, KLOG_LEARN_MS);
    if (before != NULL)
        rd_kafka_topic_destroy(before);
}

int sl_klog_probe_open(struct sl_klog_consumer *consumer, const char *topic, struct sl_err *err)
{
    int status = consumer->probe.rk == NULL ? probe_new(consumer, err) : 0;

    if (status == 0)
        probe_learn(consumer, topic);
    return status;
}

static int probe_some(struct sl_klog_consumer *consumer, struct sl_klog_print *prints, uint32_t count, struct sl_err *err)
{
    struct probe probe = {.prints = prints, .count = count, .left = count};
    int status = 0;

    for (uint32_t i = 0; i < count; i++) {
        if (i == 0 || strcmp(prints[i].topic, prints[i - 1].topic) != 0)
            status = sl_klog_probe_open(consumer, prints[i].topic, err);
        if (status != 0)
            return status;
        prints[i].found = false;
    }
    probe.rk = consumer->probe.rk;
    status = probe_read(&probe, err);
    consumer->probe.used_ns = sl_clock_now_ns();
    return status;
}

int sl_klog_fingerprints(struct sl_klog_consumer *consumer, struct sl_klog_print *prints, uint32_t count, struct sl_err *err)
{
    int status = 0;

    for (uint32_t i = 0; i < count && status == 0; i += KLOG_PROBE_MAX)
        status = probe_some(consumer, prints + i, count - i < KLOG_PROBE_MAX ? count - i : KLOG_PROBE_MAX, err);
    return status;
}
