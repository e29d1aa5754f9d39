/* klog_rdkafka_consumer.c: a consumer's life and its poll.
 *
 * Two queues: `control` (rebalances, errors) is served at every poll; `fetched` takes the messages of all partitions, by way of
 * each partition's own queue, and is drained only as far as the caller asks. So a caller that is full still sees a rebalance at
 * once, and what it does not take stays in the library's queue, whose limits stop the fetching: back-pressure costs nothing and
 * fetches nothing twice. Both queues signal the edge from empty: the owner polls until it gets 0.
 * Limits: a quarter of queue_bytes for payloads, a quarter for the library's own records of them (KLOG_OP_BYTES each); the rest is
 * for what one fetch response may bring beyond the limits, compressed and decompressed.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/kafka/klog_rdkafka.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/clock.h"

enum { KLOG_MAGIC = 0x6b6c6f63, KLOG_OP_BYTES = 400, KLOG_MIB = 1 << 20, KLOG_FORWARD_NS = 100000000 };

static uint64_t consumer_clamp(uint64_t value, uint64_t low, uint64_t high)
{
    return value < low ? low : value > high ? high : value;
}

static void consumer_wake(rd_kafka_t *rk, void *opaque)
{
    struct sl_klog_consumer *consumer = opaque;

    (void)rk;
    consumer->settings.wake(consumer->settings.user);
}

static void consumer_on_error(rd_kafka_t *rk, int code, const char *text, void *opaque)
{
    (void)rk;
    sl_klog_error_event(opaque, (rd_kafka_resp_err_t)code, NULL, text);
}

void sl_klog_error_event(struct sl_klog_consumer *consumer, rd_kafka_resp_err_t code, const char *name, const char *text)
{
    struct sl_err err = {0};
    bool fatal = sl_klog_fatal(consumer->rk, "consumer", &err) != 0;

    if (consumer->closing)
        return;
    if (!fatal)
        (void)sl_klog_fail(&err, code, "consumer", name, text);
    consumer->settings.event(consumer->settings.user, fatal ? SL_KLOG_FATAL : SL_KLOG_ERROR, &(struct sl_klog_list){NULL, 0},
                             &err);
}

/* ---- open ---- */
static int consumer_conf(struct sl_klog_consumer *consumer, rd_kafka_conf_t **ret_conf, struct sl_err *err)
{
    const struct sl_klog_consumer_settings *settings = &consumer->settings;
    uint64_t session_ms = settings->session_timeout_ms == 0 ? 45000 : settings->session_timeout_ms;
    uint64_t fetch_bytes = consumer_clamp(settings->queue_bytes / 64, KLOG_MIB, 8 * KLOG_MIB);
    char session[24], heartbeat[24], kbytes[24], messages[24], fetch[24], part[24];
    const struct sl_klog_setting table[] = {
        {SL_KLOG_DEFAULT, "session.timeout.ms", session},
        {SL_KLOG_DEFAULT, "heartbeat.interval.ms", heartbeat},
        {SL_KLOG_DEFAULT, "queued.max.messages.kbytes", kbytes},
        {SL_KLOG_DEFAULT, "queued.min.messages", messages},
        {SL_KLOG_DEFAULT, "fetch.max.bytes", fetch},
        {SL_KLOG_DEFAULT, "fetch.message.max.bytes", part},
        {SL_KLOG_DEFAULT, "fetch.min.bytes", "16384"},
        {SL_KLOG_DEFAULT, "fetch.wait.max.ms", "50"},
        {SL_KLOG_PROBE, "fetch.queue.backoff.ms", "10"},
        {SL_KLOG_DEFAULT, "check.crcs", "true"},
        {SL_KLOG_LAW, "group.id", consumer->group},
        {SL_KLOG_LAW, "group.instance.id", consumer->instance_id},
        {SL_KLOG_LAW, "partition.assignment.strategy", settings->cooperative ? "cooperative-sticky" : "range"},
        {SL_KLOG_LAW, "isolation.level", settings->read_committed ? "read_committed" : "read_uncommitted"},
        {SL_KLOG_LAW, "enable.auto.commit", "false"},
        {SL_KLOG_LAW, "enable.auto.offset.store", "false"},
        {SL_KLOG_LAW, "auto.offset.reset", "error"}, /* rule A3: out of range is an event, never a jump */
        {SL_KLOG_LAW, "allow.auto.create.topics", "false"},
        {SL_KLOG_LAW, "enable.partition.eof", "true"}, /* tells where it stands behind transaction markers */
    };

    consumer->queue_limit_bytes = consumer_clamp(settings->queue_bytes / 4, KLOG_MIB, 1024ull * KLOG_MIB);
    consumer->queue_limit = (uint32_t)consumer_clamp(settings->queue_bytes / 4 / KLOG_OP_BYTES, 1000, 10000000);
    (void)snprintf(session, sizeof(session), "%llu", (unsigned long long)session_ms);
    (void)snprintf(heartbeat, sizeof(heartbeat), "%llu", (unsigned long long)consumer_clamp(session_ms / 10, 100, 3000));
    (void)snprintf(kbytes, sizeof(kbytes), "%llu", (unsigned long long)(consumer->queue_limit_bytes / 1024));
    (void)snprintf(messages, sizeof(messages), "%u", (unsigned)consumer->queue_limit);
    (void)snprintf(fetch, sizeof(fetch), "%llu", (unsigned long long)fetch_bytes);
    (void)snprintf(part, sizeof(part), "%llu", (unsigned long long)consumer_clamp(fetch_bytes, 0, KLOG_MIB));
    return sl_klog_conf_new(settings->connection, settings->properties, table, sizeof(table) / sizeof(table[0]), ret_conf, err);
}

int sl_klog_consumer_subscribe(struct sl_klog_consumer *consumer, const struct sl_strings *topics, struct sl_err *err)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)topics->count);
    rd_kafka_resp_err_t code;

    for (uint32_t i = 0; i < topics->count; i++)
        rd_kafka_topic_partition_list_add(list, topics->items[i], RD_KAFKA_PARTITION_UA);
    code = rd_kafka_subscribe(consumer->rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    if (code == RD_KAFKA_RESP_ERR__INVALID_ARG)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, (int)code,
                       "topics: one is empty, named twice, or a pattern that is no POSIX regular expression");
    return code == 0 ? 0 : sl_klog_fail(err, code, "subscribing", NULL, NULL);
}

static int consumer_start(struct sl_klog_consumer *consumer, struct sl_err *err)
{
    rd_kafka_conf_t *conf;
    int status = consumer_conf(consumer, &conf, err);

    if (status != 0)
        return status;
    rd_kafka_conf_set_opaque(conf, consumer);
    rd_kafka_conf_set_rebalance_cb(conf, sl_klog_rebalance);
    rd_kafka_conf_set_error_cb(conf, consumer_on_error);
    status = sl_klog_handle_new(RD_KAFKA_CONSUMER, conf, &consumer->rk, err);
    if (status != 0)
        return status;
    rd_kafka_poll_set_consumer(consumer->rk);
    consumer->control = rd_kafka_queue_get_consumer(consumer->rk);
    consumer->fetched = rd_kafka_queue_new(consumer->rk);
    return 0;
}

int sl_klog_consumer_new(const struct sl_klog_consumer_settings *settings, struct sl_klog_consumer **ret_consumer, struct sl_err *err)
{
    struct sl_klog_consumer *consumer = calloc(1, sizeof(*consumer));
    int status;

    if (consumer == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory for a consumer");
    consumer->magic = KLOG_MAGIC;
    consumer->settings = *settings;
    consumer->has_backoff = sl_klog_library_at_least(0x020200ff);
    consumer->group = strdup(settings->group);
    consumer->instance_id = settings->instance_id == NULL ? NULL : strdup(settings->instance_id);
    status = consumer_start(consumer, err);
    if (status != 0) {
        sl_klog_consumer_close(consumer);
        return status;
    }
    *ret_consumer = consumer;
    return 0;
}

int sl_klog_consumer_open(struct sl_klog *log, const struct sl_klog_consumer_settings *settings,
                          struct sl_klog_consumer **ret_consumer, struct sl_err *err)
{
    struct sl_klog_consumer *consumer = sl_klog_warm_take(settings);
    bool warm = consumer != NULL;
    int status = warm ? 0 : sl_klog_consumer_new(settings, &consumer, err);

    (void)log;
    if (status != 0)
        return status;
    consumer->settings = *settings;
    rd_kafka_queue_cb_event_enable(consumer->control, consumer_wake, consumer);
    rd_kafka_queue_cb_event_enable(consumer->fetched, consumer_wake, consumer);
    status = sl_klog_consumer_subscribe(consumer, &settings->topics, err);
    if (status != 0) {
        sl_klog_consumer_close(consumer);
        return status;
    }
    if (warm) /* what came before the queues told of it */
        settings->wake(settings->user);
    *ret_consumer = consumer;
    return 0;
}

/* ---- poll ---- */
static void consumer_release(struct sl_klog_consumer *consumer)
{
    for (uint32_t i = 0; i < consumer->held_count; i++)
        rd_kafka_message_destroy(consumer->held[i]);
    consumer->held_count = 0;
    consumer->headers_count = 0;
}

static void consumer_out_of_range(struct sl_klog_consumer *consumer, const struct klog_place *place, const char *text)
{
    struct sl_klog_partition item = {.topic = place->topic, .partition = place->partition, .offset = (int64_t)place->next};
    struct sl_err err;

    (void)sl_fail(&err, SL_E_BROKER, SL_REMEDY_HALT, (int)RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE,
                  "%s [%d]: offset %llu is not there (%s)", place->topic, (int)place->partition,
                  (unsigned long long)place->next, text == NULL ? "out of range" : text);
    consumer->settings.event(consumer->settings.user, SL_KLOG_OUT_OF_RANGE, &(struct sl_klog_list){&item, 1}, &err);
}

/* An error in place of a message. */
static void consumer_notice(struct sl_klog_consumer *consumer, const rd_kafka_message_t *message)
{
    struct klog_place *place = message->rkt == NULL ? NULL : sl_klog_place_of(consumer, message);

    if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        if (place != NULL && message->offset >= 0 && (uint64_t)message->offset > place->next)
            place->next = (uint64_t)message->offset;
    } else if (message->err == RD_KAFKA_RESP_ERR__AUTO_OFFSET_RESET || message->err == RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE) {
        if (place != NULL)
            consumer_out_of_range(consumer, place, rd_kafka_message_errstr(message));
    } else {
        sl_klog_error_event(consumer, message->err, message->rkt == NULL ? NULL : rd_kafka_topic_name(message->rkt),
                            rd_kafka_message_errstr(message));
    }
}

static int consumer_headers_room(struct sl_klog_consumer *consumer, size_t more)
{
    size_t max = consumer->headers_count + more;
    struct sl_header *headers;

    if (max <= consumer->headers_max)
        return 0;
    max = max < 1024 ? 1024 : 2 * max;
    headers = realloc(consumer->headers, max * sizeof(*headers));
    if (headers == NULL)
        return -1;
    consumer->headers = headers;
    consumer->headers_max = (uint32_t)max;
    return 0;
}

/* Headers are kept by number until all messages of the poll are read, since the array may move. */
static void consumer_read_headers(struct sl_klog_consumer *consumer, rd_kafka_message_t *native, struct sl_klog_message *message)
{
    rd_kafka_headers_t *list;
    const char *name;
    const void *value;
    size_t count, bytes;

    if (rd_kafka_message_headers(native, &list) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return;
    count = rd_kafka_header_cnt(list);
    count = count > UINT16_MAX ? UINT16_MAX : count;
    if (consumer_headers_room(consumer, count) != 0)
        return;
    for (size_t i = 0; i < count && rd_kafka_header_get_all(list, i, &name, &value, &bytes) == RD_KAFKA_RESP_ERR_NO_ERROR; i++) {
        consumer->headers[consumer->headers_count++] =
            (struct sl_header){sl_slice_of(name), {value, value == NULL ? 0 : (uint32_t)bytes}};
        message->headers_count++;
    }
}

static void consumer_point_headers(struct sl_klog_consumer *consumer, struct sl_klog_message *messages, uint32_t count)
{
    uint32_t used = 0;

    for (uint32_t i = 0; i < count; i++) {
        messages[i].headers = messages[i].headers_count == 0 ? NULL : consumer->headers + used;
        used += messages[i].headers_count;
    }
}

/* Hands native out as *message (kept until the next poll), or deals with it. True if handed out. */
static bool consumer_take(struct sl_klog_consumer *consumer, rd_kafka_message_t *native, struct sl_klog_message *message)
{
    struct klog_place *place = NULL;
    rd_kafka_timestamp_type_t type;
    int64_t unix_ms;

    if (native->err != RD_KAFKA_RESP_ERR_NO_ERROR)
        consumer_notice(consumer, native);
    else
        place = sl_klog_place_of(consumer, native);
    if (place == NULL) { /* an error, or of a partition that is not ours any more */
        rd_kafka_message_destroy(native);
        return false;
    }
    unix_ms = rd_kafka_message_timestamp(native, &type);
    *message = (struct sl_klog_message){
        .payload = {native->payload == NULL ? "" : native->payload, (uint32_t)native->len},
        .key = {native->key, (uint32_t)native->key_len},
        .null_payload = native->payload == NULL,
        .offset = (uint64_t)native->offset,
        .append_unix_ms = unix_ms < 0 ? 0 : unix_ms,
        .partition = place->user,
    };
    place->next = message->offset + 1;
    if (consumer->settings.want_headers)
        consumer_read_headers(consumer, native, message);
    consumer->held[consumer->held_count++] = native;
    return true;
}

/* Serves events. A message comes this way only if the library set a partition going without our forward; none is lost then. */
static uint32_t consumer_serve(struct sl_klog_consumer *consumer, struct sl_klog_message *messages, uint32_t max)
{
    uint32_t count = 0;

    for (uint32_t turn = 0; turn < 64 && count < max; turn++) {
        rd_kafka_message_t *native = rd_kafka_consumer_poll(consumer->rk, 0);

        if (native == NULL)
            break;
        count += consumer_take(consumer, native, &messages[count]);
    }
    return count;
}

/* Events alone. A message that came the wrong way cannot be handed out now: it is fetched again. */
static void consumer_hear(struct sl_klog_consumer *consumer)
{
    for (uint32_t turn = 0; turn < 64; turn++) {
        rd_kafka_message_t *native = rd_kafka_consumer_poll(consumer->rk, 0);
        struct klog_place *place;

        if (native == NULL)
            return;
        if (native->err != RD_KAFKA_RESP_ERR_NO_ERROR)
            consumer_notice(consumer, native);
        else if ((place = sl_klog_place_of(consumer, native)) != NULL)
            (void)sl_klog_seek(consumer, place->topic, place->partition, (uint64_t)native->offset, NULL);
        rd_kafka_message_destroy(native);
    }
}

static void consumer_note_fill(struct sl_klog_consumer *consumer, const struct sl_klog_message *messages, uint32_t count)
{
    size_t length = rd_kafka_queue_length(consumer->fetched) + count;
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < count; i++)
        bytes += messages[i].payload.bytes;
    if (count > 0)
        consumer->mean_bytes = (uint32_t)(bytes / count);
    if (length >= consumer->queue_limit || length * consumer->mean_bytes >= consumer->queue_limit_bytes)
        consumer->was_full = true;
}

/* The batch call returns as many as fit into held; what is handed out moves down over what was not. */
static uint32_t consumer_batch(struct sl_klog_consumer *consumer, struct sl_klog_message *messages, uint32_t max)
{
    rd_kafka_message_t **natives = consumer->held + consumer->held_count;
    ssize_t got = rd_kafka_consume_batch_queue(consumer->fetched, 0, natives, max);
    uint32_t count = 0;

    for (ssize_t i = 0; i < got; i++)
        count += consumer_take(consumer, natives[i], &messages[count]);
    return got <= 0 ? UINT32_MAX : count;
}

int sl_klog_consumer_poll(struct sl_klog_consumer *consumer, struct sl_klog_message *messages, uint32_t max, struct sl_err *err)
{
    uint32_t count, more = 0;

    assert(consumer->magic == KLOG_MAGIC);
    if (max == 0) {
        consumer_hear(consumer);
        return sl_klog_fatal(consumer->rk, "consumer", err);
    }
    consumer_release(consumer);
    if (max > KLOG_POLL_MAX)
        max = KLOG_POLL_MAX;
    count = consumer_serve(consumer, messages, max);
    /* A batch of nothing but notices is no sign of an empty queue: 0 from here would end the owner's polling. */
    while (count < max && more == 0 && (more = consumer_batch(consumer, messages + count, max - count)) != UINT32_MAX)
        count += more;
    if (count == 0 && consumer->places_count > 0 && sl_clock_now_ns() - consumer->forwarded_ns > KLOG_FORWARD_NS) {
        sl_klog_places_forward(consumer);
        more = consumer_batch(consumer, messages, max);
        count = more == UINT32_MAX ? 0 : more;
    }
    consumer_point_headers(consumer, messages, count);
    consumer_note_fill(consumer, messages, count);
    if (count == 0 && rd_kafka_fatal_error(consumer->rk, NULL, 0) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return sl_klog_fatal(consumer->rk, "consumer", err);
    return (int)count;
}

int sl_klog_consumer_starved(struct sl_klog_consumer *consumer)
{
    size_t length = rd_kafka_queue_length(consumer->fetched);

    if (consumer->has_backoff || !consumer->was_full || length > consumer->queue_limit / 2 ||
        length * consumer->mean_bytes > consumer->queue_limit_bytes / 2)
        return 0;
    consumer->was_full = false;
    return 1;
}

/* ---- close ---- */
void sl_klog_consumer_close(struct sl_klog_consumer *consumer)
{
    if (consumer == NULL)
        return;
    assert(consumer->magic == KLOG_MAGIC);
    consumer->closing = true;
    consumer_release(consumer);
    sl_klog_probe_close(consumer);
    if (consumer->control != NULL) {
        rd_kafka_queue_cb_event_enable(consumer->control, NULL, NULL);
        rd_kafka_queue_cb_event_enable(consumer->fetched, NULL, NULL);
    }
    if (consumer->rk != NULL)
        (void)rd_kafka_consumer_close(consumer->rk); /* the rebalance callback answers by itself now */
    sl_klog_places_clear(consumer);
    sl_klog_generation_forget(consumer);
    if (consumer->control != NULL) {
        rd_kafka_queue_destroy(consumer->control);
        rd_kafka_queue_destroy(consumer->fetched);
    }
    if (consumer->rk != NULL)
        rd_kafka_destroy(consumer->rk);
    free(consumer->places);
    free(consumer->index);
    free(consumer->headers);
    free(consumer->group);
    free(consumer->instance_id);
    consumer->magic = 0;
    free(consumer);
}
