/* klog_rdkafka_producer.c: the transactional producer of commits. It belongs to the clerk thread; every call blocks.
 *
 * States: idle -begin-> open -produce, send_offsets-> open -commit-> idle; any failure inside open aborts here and is idle again,
 * but for a fatal one (fenced, dead) and a commit whose outcome is unknown, after which only close is left (broken).
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/kafka/klog_rdkafka.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/clock.h"

enum { KLOG_PRODUCER_MAGIC = 0x6b6c7072, KLOG_INIT_MS = 60000, KLOG_SETTLE_MS = 60000,
       KLOG_ABORT_FLUSH_MS = 1000 };

struct sl_klog_producer {
    uint32_t magic;
    rd_kafka_t *rk;
    char *id;
    bool open, broken;
    rd_kafka_resp_err_t record_error; /* of the first record of this transaction that failed for good */
    char record_topic[256];
    struct klog_cause cause;
};

static uint64_t producer_deadline(uint32_t ms)
{
    return sl_clock_now_ns() + ms * SL_NS_PER_MS;
}

static void producer_report(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque)
{
    struct sl_klog_producer *producer = opaque;

    (void)rk;
    if (message->err == RD_KAFKA_RESP_ERR_NO_ERROR || message->err == RD_KAFKA_RESP_ERR__PURGE_QUEUE ||
        message->err == RD_KAFKA_RESP_ERR__PURGE_INFLIGHT || producer->record_error != RD_KAFKA_RESP_ERR_NO_ERROR)
        return;
    producer->record_error = message->err;
    (void)snprintf(producer->record_topic, sizeof(producer->record_topic), "%s", rd_kafka_topic_name(message->rkt));
}

static void producer_on_error(rd_kafka_t *rk, int code, const char *text, void *opaque)
{
    struct sl_klog_producer *producer = opaque;

    (void)rk;
    sl_klog_cause_note(&producer->cause, (rd_kafka_resp_err_t)code, text);
}

/* ---- open ---- */
/* Destroys error. A time-out's reason is among the events. */
static int producer_init_failed(struct sl_klog_producer *producer, rd_kafka_error_t *error, struct sl_err *err)
{
    rd_kafka_resp_err_t code = rd_kafka_error_code(error);

    (void)rd_kafka_poll(producer->rk, 0);
    if (code != RD_KAFKA_RESP_ERR__TIMED_OUT || !sl_klog_cause_halts(&producer->cause))
        return sl_klog_fail_error(err, error, "starting transactions", producer->id);
    rd_kafka_error_destroy(error);
    return sl_klog_fail_cause(err, code, "starting transactions", producer->id, &producer->cause);
}

static int producer_init(struct sl_klog_producer *producer, struct sl_err *err)
{
    uint64_t end_ns = producer_deadline(KLOG_INIT_MS);

    for (;;) {
        rd_kafka_error_t *error = rd_kafka_init_transactions(producer->rk, KLOG_INIT_MS / 2);
        bool again = error != NULL && rd_kafka_error_is_retriable(error) && sl_clock_now_ns() < end_ns;

        if (error == NULL)
            return 0;
        if (!again)
            return producer_init_failed(producer, error, err);
        rd_kafka_error_destroy(error);
    }
}

static int producer_start(struct sl_klog_producer *producer, const struct sl_connection *connection,
                          uint32_t transaction_timeout_ms, struct sl_err *err)
{
    char timeout[16];
    const struct sl_klog_setting table[] = {
        {SL_KLOG_DEFAULT, "linger.ms", "0"},
        {SL_KLOG_DEFAULT, "message.max.bytes", "1114112"}, /* 1 MiB and a bit: the broker decides, on what is compressed */
        {SL_KLOG_DEFAULT, "queue.buffering.max.kbytes", "65536"},
        {SL_KLOG_LAW, "transactional.id", producer->id},
        {SL_KLOG_LAW, "transaction.timeout.ms", timeout},
        {SL_KLOG_LAW, "enable.idempotence", "true"},
        {SL_KLOG_LAW, "acks", NULL},
        {SL_KLOG_LAW, "request.required.acks", NULL},
        {SL_KLOG_LAW, "message.timeout.ms", NULL},
    };
    rd_kafka_conf_t *conf;
    int status;

    (void)snprintf(timeout, sizeof(timeout), "%u", (unsigned)transaction_timeout_ms);
    status = sl_klog_conf_new(connection, NULL, table, sizeof(table) / sizeof(table[0]), &conf, err);
    if (status != 0)
        return status;
    rd_kafka_conf_set_opaque(conf, producer);
    rd_kafka_conf_set_dr_msg_cb(conf, producer_report);
    rd_kafka_conf_set_error_cb(conf, producer_on_error);
    status = sl_klog_handle_new(RD_KAFKA_PRODUCER, conf, &producer->rk, err);
    return status == 0 ? producer_init(producer, err) : status;
}

int sl_klog_producer_open(struct sl_klog *log, const struct sl_connection *connection, const char *transactional_id,
                          uint32_t transaction_timeout_ms, struct sl_klog_producer **ret_producer, struct sl_err *err)
{
    struct sl_klog_producer *producer = calloc(1, sizeof(*producer));
    int status;

    (void)log;
    if (producer == NULL || (producer->id = strdup(transactional_id)) == NULL) {
        free(producer);
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory for a producer");
    }
    producer->magic = KLOG_PRODUCER_MAGIC;
    status = producer_start(producer, connection, transaction_timeout_ms, err);
    if (status != 0) {
        sl_klog_producer_close(producer);
        return status;
    }
    *ret_producer = producer;
    return 0;
}

void sl_klog_producer_close(struct sl_klog_producer *producer)
{
    if (producer == NULL)
        return;
    assert(producer->magic == KLOG_PRODUCER_MAGIC);
    if (producer->open && !producer->broken)
        (void)sl_klog_producer_abort(producer, NULL);
    if (producer->rk != NULL) {
        (void)rd_kafka_purge(producer->rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
        rd_kafka_destroy(producer->rk);
    }
    free(producer->id);
    producer->magic = 0;
    free(producer);
}

int sl_klog_producer_warm(struct sl_klog_producer *producer, const char *topic, struct sl_err *err)
{
    rd_kafka_topic_t *rkt = rd_kafka_topic_new(producer->rk, topic, NULL);
    const struct rd_kafka_metadata *metadata;
    rd_kafka_resp_err_t code;

    if (rkt == NULL)
        return sl_klog_fail(err, rd_kafka_last_error(), "opening a topic", topic, NULL);
    code = rd_kafka_metadata(producer->rk, 0, rkt, &metadata, KLOG_INIT_MS / 2);
    if (code == 0) {
        code = metadata->topic_cnt == 1 ? metadata->topics[0].err : RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC;
        rd_kafka_metadata_destroy(metadata);
    }
    rd_kafka_topic_destroy(rkt);
    return code == 0 ? 0 : sl_klog_fail(err, code, "asking for a topic", topic, NULL);
}

/* ---- settling failures ---- */
int sl_klog_producer_abort(struct sl_klog_producer *producer, struct sl_err *err)
{
    uint64_t end_ns = producer_deadline(KLOG_SETTLE_MS);
    rd_kafka_error_t *error;

    assert(producer->magic == KLOG_PRODUCER_MAGIC);
    if (!producer->open || producer->broken)
        return producer->broken ? sl_fail(err, SL_E_STOPPED, SL_REMEDY_FENCE, 0, "the producer %s is dead", producer->id) : 0;
    /* an abort that overtakes the transaction's first records finds none open at the broker and fails (INVALID_TXN_STATE) */
    (void)rd_kafka_flush(producer->rk, KLOG_ABORT_FLUSH_MS);
    while ((error = rd_kafka_abort_transaction(producer->rk, KLOG_SETTLE_MS / 2)) != NULL &&
           rd_kafka_error_is_retriable(error) && sl_clock_now_ns() < end_ns)
        rd_kafka_error_destroy(error);
    producer->open = false;
    if (error == NULL)
        return 0;
    producer->broken = true;
    (void)sl_klog_fail_error(err, error, "aborting a transaction", producer->id);
    if (err != NULL)
        err->remedy = SL_REMEDY_FENCE;
    return -SL_E_BROKER;
}

/* Tells what went wrong (the record's own failure says more than the transaction's) and leaves no transaction open. */
static int producer_settle(struct sl_klog_producer *producer, rd_kafka_error_t *error, const char *doing, struct sl_err *err)
{
    bool fatal = rd_kafka_error_is_fatal(error);
    struct sl_err abort_err = {0};

    if (producer->record_error != RD_KAFKA_RESP_ERR_NO_ERROR && !fatal) {
        (void)sl_klog_fail(err, producer->record_error, doing, producer->record_topic, NULL);
        rd_kafka_error_destroy(error);
    } else {
        (void)sl_klog_fail_error(err, error, doing, producer->id);
    }
    if (fatal) {
        producer->broken = true;
        if (err != NULL && err->remedy == SL_REMEDY_RETRY)
            err->remedy = SL_REMEDY_FENCE;
    } else if (sl_klog_producer_abort(producer, &abort_err) != 0 && err != NULL) {
        *err = abort_err;
    }
    return -SL_E_BROKER;
}

/* A record could not even be queued. */
static int producer_settle_record(struct sl_klog_producer *producer, rd_kafka_resp_err_t code, const char *topic,
                                  struct sl_err *err)
{
    struct sl_err abort_err = {0};

    if (producer->record_error != RD_KAFKA_RESP_ERR_NO_ERROR)
        (void)sl_klog_fail(err, producer->record_error, "producing", producer->record_topic, NULL);
    else if (sl_klog_fatal(producer->rk, "producing", err) != 0)
        producer->broken = true;
    else
        (void)sl_klog_fail(err, code, "producing", topic, NULL);
    if (err != NULL && code == RD_KAFKA_RESP_ERR__STATE && err->remedy == SL_REMEDY_HALT && err->sys == (int)code)
        err->remedy = SL_REMEDY_RETRY; /* the transaction had failed before; its cause is not known here */
    if (!producer->broken && sl_klog_producer_abort(producer, &abort_err) != 0 && err != NULL)
        *err = abort_err;
    return -SL_E_BROKER;
}

/* ---- a transaction ---- */
int sl_klog_producer_begin(struct sl_klog_producer *producer, struct sl_err *err)
{
    rd_kafka_error_t *error;

    assert(producer->magic == KLOG_PRODUCER_MAGIC && (!producer->open || producer->broken));
    if (producer->broken)
        return sl_fail(err, SL_E_STOPPED, SL_REMEDY_FENCE, 0, "the producer %s is dead", producer->id);
    producer->record_error = RD_KAFKA_RESP_ERR_NO_ERROR;
    error = rd_kafka_begin_transaction(producer->rk);
    if (error == NULL) {
        producer->open = true;
        return 0;
    }
    producer->open = true; /* so that settling aborts where the library asks for it */
    return producer_settle(producer, error, "beginning a transaction", err);
}

/* NULL: no memory. Names are not NUL-terminated, so they cannot go in one by one. */
static rd_kafka_headers_t *native_headers(const struct sl_klog_record *record)
{
    rd_kafka_headers_t *headers = rd_kafka_headers_new(record->headers_count);

    for (uint16_t i = 0; headers != NULL && i < record->headers_count; i++) {
        const struct sl_header *header = &record->headers[i];

        if (rd_kafka_header_add(headers, header->name.data == NULL ? "" : header->name.data, (ssize_t)header->name.bytes,
                                header->value.data, (ssize_t)header->value.bytes) != 0) {
            rd_kafka_headers_destroy(headers);
            return NULL;
        }
    }
    return headers;
}

rd_kafka_resp_err_t sl_klog_native_produce(rd_kafka_t *rk, const struct sl_klog_record *record, bool copy, void *opaque)
{
    rd_kafka_vu_t values[8];
    rd_kafka_headers_t *headers = NULL;
    size_t count = 0;
    rd_kafka_error_t *error;
    rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR_NO_ERROR;

    if (record->headers_count > 0 && (headers = native_headers(record)) == NULL)
        return RD_KAFKA_RESP_ERR__QUEUE_FULL;
    values[count++] = (rd_kafka_vu_t){.vtype = RD_KAFKA_VTYPE_TOPIC, .u.cstr = record->topic};
    values[count++] = (rd_kafka_vu_t){.vtype = RD_KAFKA_VTYPE_MSGFLAGS, .u.i = copy ? RD_KAFKA_MSG_F_COPY : 0};
    values[count++] = (rd_kafka_vu_t){.vtype = RD_KAFKA_VTYPE_PARTITION, .u.i32 = record->partition};
    values[count++] = (rd_kafka_vu_t){.vtype = RD_KAFKA_VTYPE_OPAQUE, .u.ptr = opaque};
    if (!record->null_payload) {
        values[count].vtype = RD_KAFKA_VTYPE_VALUE; /* an empty payload is no NULL: that would be a tombstone */
        values[count].u.mem.ptr = (void *)(uintptr_t)(record->payload.data == NULL ? "" : record->payload.data);
        values[count++].u.mem.size = record->payload.bytes;
    }
    if (record->key.data != NULL) {
        values[count].vtype = RD_KAFKA_VTYPE_KEY;
        values[count].u.mem.ptr = (void *)(uintptr_t)record->key.data;
        values[count++].u.mem.size = record->key.bytes;
    }
    if (record->unix_ms > 0)
        values[count++] = (rd_kafka_vu_t){.vtype = RD_KAFKA_VTYPE_TIMESTAMP, .u.i64 = record->unix_ms};
    if (headers != NULL)
        values[count++] = (rd_kafka_vu_t){.vtype = RD_KAFKA_VTYPE_HEADERS, .u.headers = headers};
    error = rd_kafka_produceva(rk, values, count);
    if (error == NULL)
        return RD_KAFKA_RESP_ERR_NO_ERROR;
    code = rd_kafka_error_code(error);
    rd_kafka_error_destroy(error);
    if (headers != NULL)
        rd_kafka_headers_destroy(headers); /* ours again where the call failed */
    return code;
}

int sl_klog_producer_produce(struct sl_klog_producer *producer, const struct sl_klog_record *records, uint32_t count,
                             struct sl_err *err)
{
    uint64_t end_ns = producer_deadline(KLOG_SETTLE_MS);

    assert(producer->magic == KLOG_PRODUCER_MAGIC && producer->open);
    for (uint32_t i = 0; i < count; i++) {
        rd_kafka_resp_err_t code = sl_klog_native_produce(producer->rk, &records[i], true, NULL);

        while (code == RD_KAFKA_RESP_ERR__QUEUE_FULL && sl_clock_now_ns() < end_ns) {
            (void)rd_kafka_poll(producer->rk, 100); /* reports make room */
            code = sl_klog_native_produce(producer->rk, &records[i], true, NULL);
        }
        if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
            return producer_settle_record(producer, code, records[i].topic, err);
    }
    return 0;
}

int sl_klog_producer_send_offsets(struct sl_klog_producer *producer, const struct sl_klog_list *offsets,
                                  struct sl_klog_group *group, struct sl_err *err)
{
    uint64_t end_ns = producer_deadline(KLOG_SETTLE_MS);
    rd_kafka_topic_partition_list_t *native;
    rd_kafka_error_t *error;

    assert(producer->magic == KLOG_PRODUCER_MAGIC && producer->open);
    if (group == NULL) { /* no member, no right to commit */
        producer->record_error = RD_KAFKA_RESP_ERR_NO_ERROR;
        return producer_settle_record(producer, RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID, NULL, err);
    }
    native = sl_klog_native_list(offsets);
    while ((error = rd_kafka_send_offsets_to_transaction(producer->rk, native, group->native, -1)) != NULL &&
           rd_kafka_error_is_retriable(error) && !rd_kafka_error_txn_requires_abort(error) && sl_clock_now_ns() < end_ns)
        rd_kafka_error_destroy(error);
    rd_kafka_topic_partition_list_destroy(native);
    return error == NULL ? 0 : producer_settle(producer, error, "sending offsets", err);
}

int sl_klog_producer_commit(struct sl_klog_producer *producer, struct sl_err *err)
{
    uint64_t end_ns = producer_deadline(KLOG_SETTLE_MS);
    rd_kafka_error_t *error;
    int status;

    assert(producer->magic == KLOG_PRODUCER_MAGIC && producer->open);
    while ((error = rd_kafka_commit_transaction(producer->rk, KLOG_SETTLE_MS / 2)) != NULL &&
           rd_kafka_error_is_retriable(error) && !rd_kafka_error_txn_requires_abort(error) && sl_clock_now_ns() < end_ns)
        rd_kafka_error_destroy(error);
    if (error == NULL) {
        producer->open = false;
        return 0;
    }
    if (rd_kafka_error_is_fatal(error) || rd_kafka_error_txn_requires_abort(error))
        return producer_settle(producer, error, "committing a transaction", err);
    producer->broken = true; /* asked for, never answered: it may have happened */
    status = sl_klog_fail_error(err, error, "committing a transaction (its outcome is unknown)", producer->id);
    if (err != NULL)
        err->remedy = SL_REMEDY_FENCE;
    return status;
}
