/* klog_rdkafka_sender.c: the idempotent producer of the plain Kafka sink. One owner thread; nothing waits but close.
 * Ownership: a payload stays the caller's and must live until its report; key and headers are copied by the library.
 * Limits: queue_bytes of payloads in the library's queue; above them send answers -SL_E_LIMIT. Nothing is dropped by time.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/kafka/klog_rdkafka.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

enum { KLOG_SENDER_MAGIC = 0x6b6c7364 };

struct sl_klog_sender {
    uint32_t magic;
    rd_kafka_t *rk;
    rd_kafka_queue_t *queue;
    void (*wake)(void *user);
    void *user;
    struct klog_cause cause; /* since the last delivery */
};

static void sender_wake(rd_kafka_t *rk, void *opaque)
{
    struct sl_klog_sender *sender = opaque;

    (void)rk;
    sender->wake(sender->user);
}

static int sender_start(struct sl_klog_sender *sender, const struct sl_connection *connection, const struct sl_map *properties,
                        uint64_t queue_bytes, struct sl_err *err)
{
    char kbytes[24], messages[24];
    const struct sl_klog_setting table[] = {
        {SL_KLOG_DEFAULT, "linger.ms", "20"},
        {SL_KLOG_DEFAULT, "message.max.bytes", "1114112"}, /* 1 MiB and a bit: the broker decides, on what is compressed */
        {SL_KLOG_DEFAULT, "batch.num.messages", "10000"},
        {SL_KLOG_DEFAULT, "queue.buffering.max.kbytes", kbytes},
        {SL_KLOG_DEFAULT, "queue.buffering.max.messages", messages},
        {SL_KLOG_LAW, "enable.idempotence", "true"}, /* acks from all, order kept, nothing twice by a retry */
        {SL_KLOG_LAW, "acks", NULL},
        {SL_KLOG_LAW, "request.required.acks", NULL},
        {SL_KLOG_LAW, "message.timeout.ms", "0"}, /* nothing is given up by time */
        {SL_KLOG_LAW, "transactional.id", NULL},
    };
    uint64_t kib = queue_bytes / 1024;
    rd_kafka_conf_t *conf;
    int status;

    kib = kib < 1024 ? 1024 : kib > 2097151 ? 2097151 : kib;
    (void)snprintf(kbytes, sizeof(kbytes), "%llu", (unsigned long long)kib);
    (void)snprintf(messages, sizeof(messages), "%llu", (unsigned long long)(kib * 1024 / 200 > 10000000 ? 10000000 : kib * 1024 / 200));
    status = sl_klog_conf_new(connection, properties, table, sizeof(table) / sizeof(table[0]), &conf, err);
    if (status != 0)
        return status;
    rd_kafka_conf_set_opaque(conf, sender);
    rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_DR | RD_KAFKA_EVENT_ERROR);
    status = sl_klog_handle_new(RD_KAFKA_PRODUCER, conf, &sender->rk, err);
    if (status != 0)
        return status;
    sender->queue = rd_kafka_queue_get_main(sender->rk);
    rd_kafka_queue_cb_event_enable(sender->queue, sender_wake, sender);
    return 0;
}

int sl_klog_sender_open(struct sl_klog *log, const struct sl_connection *connection, const struct sl_map *properties,
                        uint64_t queue_bytes, void (*wake)(void *user), void *user, struct sl_klog_sender **ret_sender,
                        struct sl_err *err)
{
    struct sl_klog_sender *sender = calloc(1, sizeof(*sender));
    int status;

    (void)log;
    if (sender == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory for a sender");
    *sender = (struct sl_klog_sender){.magic = KLOG_SENDER_MAGIC, .wake = wake, .user = user};
    status = sender_start(sender, connection, properties, queue_bytes, err);
    if (status != 0) {
        sl_klog_sender_close(sender);
        return status;
    }
    *ret_sender = sender;
    return 0;
}

int sl_klog_sender_send(struct sl_klog_sender *sender, const struct sl_klog_record *record, void *opaque, struct sl_err *err)
{
    rd_kafka_resp_err_t code;

    assert(sender->magic == KLOG_SENDER_MAGIC);
    code = sl_klog_native_produce(sender->rk, record, false, opaque);
    switch ((int)code) {
    case RD_KAFKA_RESP_ERR_NO_ERROR:
        return 0;
    case RD_KAFKA_RESP_ERR__QUEUE_FULL:
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, (int)code, "the queue to topic %s is full", record->topic);
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
        return sl_fail(err, SL_E_FORMAT, SL_REMEDY_DEADLETTER, (int)code,
                       "a record of %u bytes is above librdkafka's message.max.bytes", (unsigned)record->payload.bytes);
    default:
        if (sl_klog_fatal(sender->rk, "sending", err) == 0)
            (void)sl_klog_fail(err, code, "sending", record->topic, NULL);
        return -SL_E_BROKER;
    }
}

/* What became of a record that the library has given up. */
static int sender_judge(struct sl_klog_sender *sender, const rd_kafka_message_t *message, struct sl_err *err)
{
    const char *topic = rd_kafka_topic_name(message->rkt);

    if (sl_klog_fatal(sender->rk, "sending", err) != 0)
        return -SL_E_BROKER;
    (void)sl_klog_fail(err, message->err, "sending", topic, NULL);
    if (message->err == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE || message->err == RD_KAFKA_RESP_ERR_INVALID_RECORD ||
        message->err == RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP)
        err->remedy = SL_REMEDY_DEADLETTER;
    else if (err->remedy == SL_REMEDY_RETRY)
        err->remedy = SL_REMEDY_HALT;
    return -SL_E_BROKER;
}

int sl_klog_sender_reports(struct sl_klog_sender *sender,
                           void (*each)(void *user, void *opaque, int status, const struct sl_err *err), void *user,
                           struct sl_err *err)
{
    rd_kafka_event_t *event;

    assert(sender->magic == KLOG_SENDER_MAGIC);
    while ((event = rd_kafka_queue_poll(sender->queue, 0)) != NULL) {
        const rd_kafka_message_t *message;

        while (rd_kafka_event_type(event) == RD_KAFKA_EVENT_DR && (message = rd_kafka_event_message_next(event)) != NULL) {
            struct sl_err why = {0};
            int status = message->err == RD_KAFKA_RESP_ERR_NO_ERROR ? 0 : sender_judge(sender, message, &why);

            if (status == 0)
                sender->cause = (struct klog_cause){0};
            each(user, message->_private, status, &why);
        }
        if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_ERROR)
            sl_klog_cause_note(&sender->cause, rd_kafka_event_error(event), rd_kafka_event_error_string(event));
        rd_kafka_event_destroy(event);
    }
    return sl_klog_fatal(sender->rk, "sending", err);
}

int sl_klog_sender_trouble(struct sl_klog_sender *sender, struct sl_err *err)
{
    assert(sender->magic == KLOG_SENDER_MAGIC);
    if (sender->cause.code == RD_KAFKA_RESP_ERR_NO_ERROR || sender->cause.told)
        return 0;
    sender->cause.told = true;
    (void)sl_klog_fail(err, sender->cause.code, "sending", NULL, sender->cause.text);
    return 1;
}

void sl_klog_sender_close(struct sl_klog_sender *sender)
{
    if (sender == NULL)
        return;
    assert(sender->magic == KLOG_SENDER_MAGIC);
    if (sender->rk != NULL) {
        rd_kafka_queue_cb_event_enable(sender->queue, NULL, NULL);
        (void)rd_kafka_purge(sender->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
        rd_kafka_queue_destroy(sender->queue);
        rd_kafka_destroy(sender->rk);
    }
    sender->magic = 0;
    free(sender);
}
