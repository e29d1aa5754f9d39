/* klog_rdkafka_ask.c: questions to the brokers that wait for an answer, and why none came.
 *
 * The library's waiting calls end with "timed out" or "transport failure" whatever the reason; the reason (a wrong password, an
 * authority that is not the brokers') comes apart, as an error event. So a question is asked in short turns, with a look at the
 * events between them: what only a person can mend ends the asking early, when another broker has had time to answer, too.
 * Threads: the one that opened the asker.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/kafka/klog_rdkafka.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "runtime/base/clock.h"

enum { KLOG_ASK_TURN_MS = 500, KLOG_ASK_PATIENCE_MS = 2000 };

/* ---- causes ---- */
static int cause_rank(rd_kafka_resp_err_t code)
{
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        return 0;
    if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN) /* follows any other */
        return 1;
    return sl_klog_remedy(code) == SL_REMEDY_HALT ? 3 : 2;
}

/* Without the library's last words, which say for how long it was in which state. */
void sl_klog_cause_note(struct klog_cause *cause, rd_kafka_resp_err_t code, const char *text)
{
    const char *after = strstr(text, " (after ");

    if (cause_rank(code) < cause_rank(cause->code) || code == cause->code)
        return;
    cause->code = code;
    cause->told = false;
    (void)snprintf(cause->text, sizeof(cause->text), "%.*s", (int)(after != NULL ? after - text : (ptrdiff_t)strlen(text)), text);
}

bool sl_klog_cause_halts(const struct klog_cause *cause)
{
    return cause->code != RD_KAFKA_RESP_ERR_NO_ERROR && sl_klog_remedy(cause->code) == SL_REMEDY_HALT;
}

int sl_klog_fail_cause(struct sl_err *err, rd_kafka_resp_err_t code, const char *doing, const char *name,
                       const struct klog_cause *cause)
{
    bool silent = code == RD_KAFKA_RESP_ERR__TRANSPORT || code == RD_KAFKA_RESP_ERR__TIMED_OUT ||
                  code == RD_KAFKA_RESP_ERR__TIMED_OUT_QUEUE || code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN;

    return silent && cause->code != RD_KAFKA_RESP_ERR_NO_ERROR ? sl_klog_fail(err, cause->code, doing, name, cause->text)
                                                               : sl_klog_fail(err, code, doing, name, NULL);
}

/* ---- askers ---- */
static void ask_on_error(rd_kafka_t *rk, int code, const char *text, void *opaque)
{
    struct klog_asker *asker = opaque;

    (void)rk;
    sl_klog_cause_note(&asker->cause, (rd_kafka_resp_err_t)code, text);
}

int sl_klog_asker_open(struct klog_asker *asker, const struct sl_connection *connection, const char *isolation, struct sl_err *err)
{
    const struct sl_klog_setting table[] = {
        {SL_KLOG_LAW, "group.id", "sluice-scan"}, /* never joined: partitions are assigned by hand */
        {SL_KLOG_LAW, "group.instance.id", NULL},
        {SL_KLOG_LAW, "isolation.level", isolation},
        {SL_KLOG_LAW, "enable.auto.commit", "false"},
        {SL_KLOG_LAW, "enable.auto.offset.store", "false"},
        {SL_KLOG_LAW, "auto.offset.reset", "error"},
        {SL_KLOG_LAW, "allow.auto.create.topics", "false"},
        {SL_KLOG_LAW, "enable.partition.eof", "true"},
        {SL_KLOG_DEFAULT, "queued.max.messages.kbytes", "8192"},
        {SL_KLOG_DEFAULT, "fetch.max.bytes", "4194304"},
        {SL_KLOG_DEFAULT, "fetch.wait.max.ms", "5"}, /* a scan's end is told by an answer with nothing in it */
        {SL_KLOG_DEFAULT, "check.crcs", "true"},
    };
    rd_kafka_conf_t *conf;
    int status = sl_klog_conf_new(connection, NULL, table, sizeof(table) / sizeof(table[0]), &conf, err);

    *asker = (struct klog_asker){0};
    if (status != 0)
        return status;
    rd_kafka_conf_set_opaque(conf, asker);
    rd_kafka_conf_set_error_cb(conf, ask_on_error);
    status = sl_klog_handle_new(RD_KAFKA_CONSUMER, conf, &asker->rk, err);
    if (status == 0)
        rd_kafka_poll_set_consumer(asker->rk);
    return status;
}

void sl_klog_asker_close(struct klog_asker *asker)
{
    rd_kafka_destroy(asker->rk);
    asker->rk = NULL;
}

/* Events only: nothing is assigned while something is asked. */
static void ask_hear(struct klog_asker *asker)
{
    rd_kafka_message_t *message;

    while ((message = rd_kafka_consumer_poll(asker->rk, 0)) != NULL)
        rd_kafka_message_destroy(message);
}

rd_kafka_resp_err_t sl_klog_ask(struct klog_asker *asker, rd_kafka_topic_t *rkt, uint32_t timeout_ms,
                                const struct rd_kafka_metadata **ret_metadata)
{
    uint64_t begin_ns = sl_clock_now_ns(), waited_ns;

    for (;;) {
        rd_kafka_resp_err_t code = rd_kafka_metadata(asker->rk, 0, rkt, ret_metadata, KLOG_ASK_TURN_MS);

        ask_hear(asker);
        if (code != RD_KAFKA_RESP_ERR__TRANSPORT && code != RD_KAFKA_RESP_ERR__TIMED_OUT)
            return code;
        waited_ns = sl_clock_now_ns() - begin_ns;
        if (waited_ns > (sl_klog_cause_halts(&asker->cause) ? KLOG_ASK_PATIENCE_MS : timeout_ms) * SL_NS_PER_MS)
            return code;
    }
}

/* Where its partitions are is asked for at once: assigned without that, a partition is read half a second later, when the library looks
 * for it by itself. NULL: it was not to be had; the library goes on looking. */
rd_kafka_topic_t *sl_klog_learn(rd_kafka_t *rk, const char *topic, uint32_t timeout_ms)
{
    rd_kafka_topic_t *rkt = rd_kafka_topic_new(rk, topic, NULL);
    const struct rd_kafka_metadata *metadata;

    if (rkt != NULL && rd_kafka_metadata(rk, 0, rkt, &metadata, (int)timeout_ms) == RD_KAFKA_RESP_ERR_NO_ERROR)
        rd_kafka_metadata_destroy(metadata);
    return rkt;
}

/* A partition that was just assigned is fetched once its leader's thread looks up from its socket, up to a second later. Any request to
 * the leader makes it look (KAFKA.md 1.2). */
void sl_klog_poke(rd_kafka_t *rk, const char *topic, int32_t partition)
{
    int64_t low, high;

    (void)rd_kafka_query_watermark_offsets(rk, topic, partition, &low, &high, KLOG_ASK_TURN_MS);
}

/* ---- is there somebody who lets us in ---- */
int sl_klog_reach(struct sl_klog *log, const struct sl_connection *connection, uint32_t timeout_ms, struct sl_err *err)
{
    const struct rd_kafka_metadata *metadata;
    struct klog_asker asker;
    rd_kafka_resp_err_t code;
    int status = sl_klog_asker_open(&asker, connection, "read_committed", err);

    (void)log;
    if (status != 0)
        return status;
    code = sl_klog_ask(&asker, NULL, timeout_ms, &metadata);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        rd_kafka_metadata_destroy(metadata);
    else
        status = sl_klog_fail_cause(err, code, "asking who the brokers are", NULL, &asker.cause);
    sl_klog_asker_close(&asker);
    return status;
}
