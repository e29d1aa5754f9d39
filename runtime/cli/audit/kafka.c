/* kafka.c: reads ranges of Kafka partitions again: a member of a consumer group of its own (GROUP-audit-RANDOM) that never
 * commits, so the audited group and its offsets are not touched and may go on working.
 *
 * One consumer for the whole audit: the group's assignment is answered with nothing, then one partition at a time is taken on and
 * given up. Threads: main's; `wake` comes from the client's threads.
 * SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#include "runtime/base/clock.h"
#include "runtime/cli/audit/audit.h"

enum { KAFKA_MESSAGES = 1024, KAFKA_QUEUE_BYTES = 32 << 20, KAFKA_TIMEOUT_MS = 30000, KAFKA_WAIT_MS = 50 };
#define KAFKA_PATIENCE_NS (60ull * SL_NS_PER_S)

struct audit_kafka {
    struct audit *audit;
    const struct sl_component *source;
    struct sl_klog_consumer *consumer;
    char group[512];
    bool headers, joined, fatal;
    struct sl_klog_list assigned;            /* what the group gave us */
    const struct audit_partition *partition; /* taken on, or NULL */
    int32_t number;
    uint64_t position;
    struct sl_klog_message messages[KAFKA_MESSAGES];
    uint32_t at, count;
    pthread_mutex_t lock;
    pthread_cond_t woken;
    bool awake;
    struct sl_err failure;
};

/* ---- settings of the source ---- */

const struct sl_connection *audit_kafka_connection(const struct audit *audit, const struct sl_component *component,
                                                   struct sl_connection *own)
{
    const char *const *name = audit_setting(component, "connection", SL_F_STRING);
    const struct sl_strings *brokers = audit_setting(component, "brokers", SL_F_STRINGS);

    *own = (struct sl_connection){0};
    if (name == NULL || *name == NULL) {
        if (brokers == NULL)
            return NULL;
        own->brokers = *brokers;
        return own;
    }
    for (uint32_t i = 0; i < audit->topology->connections_count; i++)
        if (strcmp(audit->topology->connections[i].name, *name) == 0)
            return &audit->topology->connections[i];
    return NULL;
}

const char *audit_kafka_group(const struct audit *audit, const struct sl_component *component)
{
    const char *const *group = audit_setting(component, "group", SL_F_STRING);

    return group != NULL && *group != NULL ? *group : audit->topology->name;
}

/* ---- the client's calls ---- */

static void kafka_wake(void *user)
{
    struct audit_kafka *kafka = user;

    (void)pthread_mutex_lock(&kafka->lock);
    kafka->awake = true;
    (void)pthread_cond_signal(&kafka->woken);
    (void)pthread_mutex_unlock(&kafka->lock);
}

static void kafka_wait(struct audit_kafka *kafka)
{
    struct timespec until;

    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += KAFKA_WAIT_MS * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    (void)pthread_mutex_lock(&kafka->lock);
    while (!kafka->awake && pthread_cond_timedwait(&kafka->woken, &kafka->lock, &until) == 0)
        ;
    kafka->awake = false;
    (void)pthread_mutex_unlock(&kafka->lock);
}

/* Nobody else is in this group: an assignment comes once, and again only when partitions are added. */
static void kafka_event(void *user, enum sl_klog_event_kind kind, const struct sl_klog_list *list, const struct sl_err *err)
{
    struct audit_kafka *kafka = user;
    const struct sl_klog_kind *calls = kafka->audit->klog->kind;
    struct sl_klog_list none = {NULL, 0};

    switch (kind) {
    case SL_KLOG_ASSIGN:
        for (uint32_t i = 0; i < list->count; i++)
            (void)sl_klog_list_add(&kafka->assigned, list->items[i].topic, list->items[i].partition, -1, NULL, 0);
        kafka->joined = calls->assign(kafka->consumer, &none, NULL, &kafka->failure) == 0;
        kafka->fatal = kafka->fatal || !kafka->joined;
        break;
    case SL_KLOG_REVOKE:
    case SL_KLOG_LOST:
        kafka->joined = false;
        sl_klog_list_fini(&kafka->assigned);
        (void)calls->unassign(kafka->consumer, list, &kafka->failure);
        if (kafka->partition != NULL) {
            kafka->fatal = true;
            (void)sl_fail(&kafka->failure, SL_E_BROKER, SL_REMEDY_RETRY, 0,
                          "the group took the partition away while it was read; run the audit again");
        }
        break;
    case SL_KLOG_FATAL:
    case SL_KLOG_OUT_OF_RANGE:
        kafka->fatal = true;
        kafka->failure = *err;
        break;
    case SL_KLOG_ERROR:
        kafka->failure = *err; /* it goes on by itself; named if it does not */
        break;
    }
}

static int kafka_late(const struct audit_kafka *kafka, const char *what, struct sl_err *err)
{
    return sl_fail(err, SL_E_BROKER, SL_REMEDY_RETRY, 0, "waited %llu s in vain for %s%s%s",
                   (unsigned long long)(KAFKA_PATIENCE_NS / SL_NS_PER_S), what, kafka->failure.text[0] != '\0' ? ": " : "",
                   kafka->failure.text);
}

/* ---- opening ---- */

static struct audit_kafka *kafka_new(struct audit *audit, const struct sl_component *source)
{
    struct audit_kafka *kafka = audit_alloc(sizeof(*kafka));
    const bool *headers = audit_setting(source, "headers", SL_F_BOOL);
    uint64_t random = 0;

    kafka->audit = audit;
    kafka->source = source;
    kafka->headers = headers != NULL && *headers;
    (void)getrandom(&random, sizeof(random), 0);
    (void)snprintf(kafka->group, sizeof(kafka->group), "%.400s-audit-%016llx", audit_kafka_group(audit, source),
                   (unsigned long long)random);
    (void)pthread_mutex_init(&kafka->lock, NULL);
    (void)pthread_cond_init(&kafka->woken, NULL);
    return kafka;
}

static int kafka_join(struct audit_kafka *kafka, struct sl_err *err)
{
    struct audit *audit = kafka->audit;
    const struct sl_strings *topics = audit_setting(kafka->source, "topics", SL_F_STRINGS);
    const uint64_t *session_ns = audit_setting(kafka->source, "session_timeout", SL_F_DURATION);
    struct sl_connection own;
    struct sl_klog_consumer_settings settings = {.connection = audit_kafka_connection(audit, kafka->source, &own),
                                                 .group = kafka->group,
                                                 .queue_bytes = KAFKA_QUEUE_BYTES,
                                                 .read_committed = true,
                                                 .want_headers = kafka->headers,
                                                 .session_timeout_ms = session_ns == NULL ? 0 : *session_ns / 1000000,
                                                 .properties = audit_setting(kafka->source, "librdkafka", SL_F_MAP),
                                                 .wake = kafka_wake,
                                                 .user = kafka,
                                                 .event = kafka_event};
    uint64_t until_ns = sl_clock_now_ns() + KAFKA_PATIENCE_NS;

    if (settings.connection == NULL || topics == NULL)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "source %s names no brokers or topics", kafka->source->name);
    settings.topics = *topics;
    if (audit->klog->kind->consumer_open(audit->klog, &settings, &kafka->consumer, err) != 0)
        return -(int)err->code;
    while (!kafka->joined) {
        int got = audit->klog->kind->poll(kafka->consumer, kafka->messages, KAFKA_MESSAGES, err);
        if (got < 0)
            return got;
        if (kafka->fatal) {
            *err = kafka->failure;
            return -(int)err->code;
        }
        if (kafka->joined)
            break;
        if (sl_clock_now_ns() > until_ns)
            return kafka_late(kafka, "the group's assignment", err);
        kafka_wait(kafka);
    }
    return 0;
}

static bool kafka_has(const struct audit_kafka *kafka, const struct audit_partition *partition, int32_t number)
{
    for (uint32_t i = 0; i < kafka->assigned.count; i++)
        if (kafka->assigned.items[i].partition == number && strcmp(kafka->assigned.items[i].topic, partition->topic) == 0)
            return true;
    return false;
}

static int kafka_low(struct audit_kafka *kafka, struct audit_partition *partition, int32_t number, struct sl_err *err)
{
    struct sl_klog_list list = {NULL, 0};
    int rc = -1;

    if (sl_klog_list_add(&list, partition->topic, number, -1, NULL, 0) == 0)
        rc = kafka->audit->klog->kind->offsets(kafka->consumer, &list, -2, KAFKA_TIMEOUT_MS, err);
    partition->low = rc == 0 && list.items[0].offset > 0 ? (uint64_t)list.items[0].offset : 0;
    sl_klog_list_fini(&list);
    return rc;
}

/* Takes the partition on, to be read from `from`; or moves there. */
static int kafka_move(struct audit_kafka *kafka, uint64_t from, struct sl_err *err)
{
    const struct sl_klog_kind *calls = kafka->audit->klog->kind;
    struct sl_klog_list list = {NULL, 0};
    void *users[1] = {kafka};
    int rc;

    kafka->at = kafka->count = 0;
    if (kafka->position != UINT64_MAX) {
        rc = calls->seek(kafka->consumer, kafka->partition->topic, kafka->number, from, err);
    } else if (sl_klog_list_add(&list, kafka->partition->topic, kafka->number, (int64_t)from, NULL, 0) != 0) {
        rc = sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "no memory");
    } else {
        rc = calls->assign(kafka->consumer, &list, users, err);
    }
    sl_klog_list_fini(&list);
    kafka->position = from;
    return rc;
}

int audit_kafka_begin(struct audit *audit, struct audit_partition *partition, struct sl_err *err)
{
    struct audit_kafka *kafka = audit->kafka;
    int32_t number = (int32_t)strtol(partition->id, NULL, 10);

    if (kafka == NULL) {
        kafka = audit->kafka = kafka_new(audit, &audit->topology->components[partition->component]);
        if (kafka_join(kafka, err) != 0)
            return -(int)err->code;
    }
    if (!kafka_has(kafka, partition, number)) {
        (void)snprintf(partition->gone, sizeof(partition->gone), "topic %.150s has no partition %d any more", partition->topic,
                       number);
        return 0;
    }
    if (kafka_low(kafka, partition, number, err) != 0)
        return -(int)err->code;
    kafka->partition = partition;
    kafka->number = number;
    kafka->position = UINT64_MAX;
    return 0;
}

void audit_kafka_end(struct audit_kafka *kafka)
{
    struct sl_klog_list list = {NULL, 0};
    struct sl_err err = {0};

    if (kafka->partition != NULL && kafka->position != UINT64_MAX && !kafka->fatal &&
        sl_klog_list_add(&list, kafka->partition->topic, kafka->number, -1, NULL, 0) == 0)
        (void)kafka->audit->klog->kind->unassign(kafka->consumer, &list, &err);
    sl_klog_list_fini(&list);
    kafka->at = kafka->count = 0;
    kafka->partition = NULL;
}

struct audit_kafka *audit_kafka_close(struct audit_kafka *kafka)
{
    if (kafka == NULL)
        return NULL;
    if (kafka->consumer != NULL)
        kafka->audit->klog->kind->consumer_close(kafka->consumer);
    sl_klog_list_fini(&kafka->assigned);
    (void)pthread_cond_destroy(&kafka->woken);
    (void)pthread_mutex_destroy(&kafka->lock);
    free(kafka);
    return NULL;
}

/* ---- reading ---- */

/* Until there are messages (1), or the consumer stands at or behind upto without any (0). */
static int kafka_fill(struct audit_kafka *kafka, uint64_t upto, struct sl_err *err)
{
    const struct sl_klog_kind *calls = kafka->audit->klog->kind;
    uint64_t until_ns = sl_clock_now_ns() + KAFKA_PATIENCE_NS, next = 0;

    while (kafka->at == kafka->count) {
        int got = calls->poll(kafka->consumer, kafka->messages, KAFKA_MESSAGES, err);
        if (got < 0)
            return got;
        if (kafka->fatal) {
            *err = kafka->failure;
            return -(int)err->code;
        }
        kafka->at = 0;
        kafka->count = (uint32_t)got;
        if (got > 0)
            return 1;
        if (calls->position(kafka->consumer, kafka->partition->topic, kafka->number, &next) == 0 && next >= upto)
            return 0;
        if (sl_clock_now_ns() > until_ns)
            return kafka_late(kafka, audit_partition_name(kafka->partition), err);
        kafka_wait(kafka);
    }
    return 1;
}

static bool batch_arrays(struct sl_batch *batch, bool headers)
{
    size_t rows = SL_BATCH_RECORDS;

    batch->raw = sl_arena_alloc(batch->arena, rows * sizeof(*batch->raw));
    batch->offset = sl_arena_alloc(batch->arena, rows * sizeof(*batch->offset));
    batch->append_unix_ms = sl_arena_alloc(batch->arena, rows * sizeof(*batch->append_unix_ms));
    batch->key = sl_arena_alloc(batch->arena, rows * sizeof(*batch->key));
    batch->null_payload = sl_arena_alloc(batch->arena, rows);
    if (headers) {
        batch->headers = sl_arena_alloc(batch->arena, rows * sizeof(struct sl_header *));
        batch->headers_count = sl_arena_alloc(batch->arena, rows * sizeof(*batch->headers_count));
    }
    return batch->raw != NULL && batch->offset != NULL && batch->append_unix_ms != NULL && batch->key != NULL &&
           batch->null_payload != NULL && (!headers || (batch->headers != NULL && batch->headers_count != NULL));
}

static bool batch_headers(struct sl_batch *batch, uint32_t row, const struct sl_klog_message *message)
{
    struct sl_header *to = sl_arena_alloc(batch->arena, (message->headers_count + 1u) * sizeof(*to));

    for (uint16_t h = 0; to != NULL && h < message->headers_count; h++) {
        to[h].name = sl_arena_copy(batch->arena, message->headers[h].name);
        to[h].value = message->headers[h].value.data == NULL ? message->headers[h].value
                                                             : sl_arena_copy(batch->arena, message->headers[h].value);
    }
    batch->headers[row] = to;
    batch->headers_count[row] = message->headers_count;
    return to != NULL;
}

static bool batch_take(struct sl_batch *batch, const struct sl_klog_message *message, bool headers)
{
    uint32_t row = batch->count++;

    batch->raw[row] = sl_arena_copy(batch->arena, message->payload.data != NULL ? message->payload : sl_slice_of(""));
    batch->key[row] = message->key.data != NULL ? sl_arena_copy(batch->arena, message->key) : message->key;
    batch->null_payload[row] = message->null_payload;
    batch->offset[row] = message->offset;
    batch->append_unix_ms[row] = message->append_unix_ms;
    return batch->raw[row].data != NULL && (!headers || batch_headers(batch, row, message));
}

/* Messages below upto, as the source cuts them: one above max_record is a batch of its own. */
static int kafka_take(struct audit_kafka *kafka, uint64_t upto, struct sl_batch *batch, struct sl_err *err)
{
    uint64_t bytes = 0, max = kafka->audit->process->max_record_bytes;

    while (kafka->at < kafka->count && batch->count < SL_BATCH_RECORDS && bytes < SL_BATCH_BYTES && !batch->large) {
        const struct sl_klog_message *message = &kafka->messages[kafka->at];
        if (message->offset >= upto || (message->payload.bytes > max && batch->count > 0))
            break;
        kafka->at++;
        if (message->partition != kafka || message->offset < batch->first)
            continue;
        batch->large = message->payload.bytes > max;
        bytes += message->payload.bytes;
        if (!batch_take(batch, message, kafka->headers))
            return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "a batch of %s needs more memory than it may have",
                           kafka->partition->topic);
    }
    return 0;
}

int audit_kafka_read(struct audit_kafka *kafka, uint64_t from, uint64_t upto, struct sl_batch *batch, struct sl_err *err)
{
    uint64_t low = kafka->partition->low;
    int got = 0;

    batch->first = from;
    batch->next = upto;
    batch->count = 0;
    batch->may_break = true;
    if (upto <= low)
        return 1;
    if (kafka->position != from && kafka_move(kafka, from < low ? low : from, err) != 0)
        return -(int)err->code;
    if (!batch_arrays(batch, kafka->headers))
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "no memory for a batch");
    while (batch->count == 0 && (got = kafka_fill(kafka, upto, err)) == 1 && kafka->messages[kafka->at].offset < upto)
        if (kafka_take(kafka, upto, batch, err) != 0)
            return -(int)err->code;
    if (got < 0)
        return got;
    if (batch->count > 0 && batch->offset[batch->count - 1] + 1 < upto)
        batch->next = batch->offset[batch->count - 1] + 1;
    kafka->position = batch->next;
    return 1;
}
