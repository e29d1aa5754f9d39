/* kafka_poll.c: messages to batches: consecutive messages of one partition, copied once into padded memory.
 * Messages of other partitions that came with the same poll wait for the next call; their payloads live until the log client is
 * asked again, which is when none is left.
 * SPDX-License-Identifier: Apache-2.0 */
#include "operators/sources/kafka/kafka.h"
#include "runtime/base/taken.h"

#include <assert.h>
#include <stdio.h>

#define KAFKA_LAG_NS 5000000000ull
#define KAFKA_STARVED_NS 20000000ull

enum { KAFKA_SKIP_POLLS = 16 };

/* ---- lag, and the end of a stall ---- */
void kafka_lag_run(struct sl_job *job)
{
    struct kafka_lag *lag = (struct kafka_lag *)(void *)job;

    lag->status = lag->source->log->kind->offsets(lag->source->consumer, &lag->list, -1, KAFKA_TIMEOUT_MS, &lag->err);
}

void kafka_lag_done(struct sl_job *job)
{
    struct kafka_lag *lag = (struct kafka_lag *)(void *)job;

    lag->out = false;
    for (uint32_t i = 0; i < lag->list.count && lag->status == 0; i++) {
        const struct sl_klog_partition *got = &lag->list.items[i];
        struct kafka_item *item = kafka_item_find(lag->source, got->topic, got->partition);

        if (item != NULL && got->error == 0 && got->offset >= 0)
            item->end_now = got->offset;
    }
    sl_klog_list_fini(&lag->list);
}

static void lag_start(struct kafka_source *source, uint64_t now_ns)
{
    struct kafka_lag *lag = &source->lag;

    source->lag_at_ns = now_ns;
    for (uint32_t i = 0; i < source->items_count; i++)
        if (sl_klog_list_add(&lag->list, source->items[i]->topic, source->items[i]->number, -1, NULL, 0) != 0)
            return;
    if (lag->list.count == 0)
        return;
    lag->out = true;
    source->api->submit(source->api->env, &lag->job);
}

/* Asking for the ends also wakes a client that stopped fetching at a full queue: it would sleep for up to a second. */
static void lag_turn(struct kafka_source *source)
{
    const struct sl_klog_kind *kind = source->log->kind;
    uint64_t now_ns = source->api->now_ns(source->api->env), since_ns = now_ns - source->lag_at_ns;

    if (source->lag.out || source->items_count == 0 || since_ns < KAFKA_STARVED_NS)
        return;
    if (since_ns >= KAFKA_LAG_NS || (kind->starved != NULL && kind->starved(source->consumer) == 1))
        lag_start(source, now_ns);
}

/* ---- messages ---- */
static int pending_fill(struct kafka_source *source, struct sl_err *err)
{
    int got;

    if (source->pending_at < source->pending_count)
        return 0;
    source->pending_at = source->pending_count = 0;
    got = source->log->kind->poll(source->consumer, source->pending, KAFKA_PENDING, err);
    if (got < 0)
        return sl_while(err, "source %s", source->api->component);
    source->pending_count = (uint32_t)got;
    return 0;
}

static bool item_reads(const struct kafka_item *item)
{
    return item != NULL && !item->revoking && item->partition != NULL && item->partition->held == NULL;
}

/* A partition that the engine holds goes on being fetched until it is paused. */
static void item_quiet(struct kafka_source *source, struct kafka_item *item)
{
    struct sl_klog_partition at = {.topic = item->topic, .partition = item->number};
    struct sl_err err;

    if (item->revoking || item->paused || item->partition == NULL)
        return;
    item->paused = true;
    if (source->log->kind->pause(source->consumer, &(struct sl_klog_list){&at, 1}, true, &err) != 0)
        source->api->log(source->api->env, &err, "pausing a held partition");
}

/* Skips what nobody wants: of partitions that are leaving or held, and what every sink has already. */
static struct kafka_item *pending_next(struct kafka_source *source)
{
    while (source->pending_at < source->pending_count) {
        const struct sl_klog_message *message = &source->pending[source->pending_at];
        struct kafka_item *item = message->partition;

        if (item_reads(item)) {
            if (message->offset >= item->partition->next)
                return item;
            source->api->tally(source->api->env, source, KAFKA_SKIPPED, 1);
        } else if (item != NULL) {
            item_quiet(source, item);
        }
        source->pending_at++;
    }
    return NULL;
}

struct run { /* consecutive messages that become one batch */
    const struct sl_klog_message *messages;
    uint32_t count;
    uint64_t bytes; /* of payloads, keys and headers, as copied */
    uint32_t headers;
    bool keys, nulls, large;
};

static uint64_t message_bytes(const struct sl_klog_message *message)
{
    uint64_t bytes = (uint64_t)message->payload.bytes + message->key.bytes;

    for (uint16_t i = 0; i < message->headers_count; i++)
        bytes += (uint64_t)message->headers[i].name.bytes + message->headers[i].value.bytes;
    return bytes;
}

/* A record above the engine's limit is a batch of its own: it will be dead-lettered. */
static struct run run_of(const struct kafka_source *source)
{
    struct run run = {.messages = &source->pending[source->pending_at]};
    uint32_t left = source->pending_count - source->pending_at;

    while (run.count < left && run.count < SL_BATCH_RECORDS) {
        const struct sl_klog_message *message = &run.messages[run.count];
        bool large = message->payload.bytes > source->api->max_record_bytes;
        uint64_t bytes = message_bytes(message);

        if (message->partition != run.messages[0].partition ||
            (run.count > 0 && (large || run.bytes + bytes > SL_BATCH_BYTES || message->offset <= message[-1].offset)))
            break;
        run.bytes += bytes;
        run.headers += message->headers_count;
        run.keys = run.keys || message->key.data != NULL;
        run.nulls = run.nulls || message->null_payload;
        run.large = large;
        run.count++;
        if (large)
            break;
    }
    return run;
}

/* ---- batches ---- */
static int batch_alloc(struct sl_batch *batch, const struct run *run, char **ret_block, struct sl_header **ret_headers)
{
    uint32_t count = run->count;

    batch->raw = sl_arena_alloc(batch->arena, count * sizeof(*batch->raw));
    batch->offset = sl_arena_alloc(batch->arena, count * sizeof(*batch->offset));
    batch->append_unix_ms = sl_arena_alloc(batch->arena, count * sizeof(*batch->append_unix_ms));
    *ret_block = sl_arena_alloc(batch->arena, run->bytes + SL_PAD);
    if (run->keys)
        batch->key = sl_arena_alloc(batch->arena, count * sizeof(*batch->key));
    if (run->nulls)
        batch->null_payload = sl_arena_alloc(batch->arena, count);
    if (run->headers > 0) {
        batch->headers = sl_arena_alloc(batch->arena, count * sizeof(struct sl_header *));
        batch->headers_count = sl_arena_alloc(batch->arena, count * sizeof(*batch->headers_count));
        *ret_headers = sl_arena_alloc(batch->arena, run->headers * sizeof(**ret_headers));
    }
    return batch->raw == NULL || batch->offset == NULL || batch->append_unix_ms == NULL || *ret_block == NULL ||
                   (run->keys && batch->key == NULL) || (run->nulls && batch->null_payload == NULL) ||
                   (run->headers > 0 && (batch->headers == NULL || batch->headers_count == NULL || *ret_headers == NULL))
               ? -1
               : 0;
}

static struct sl_slice block_put(char **block, struct sl_slice slice)
{
    struct sl_slice copy = {*block, slice.bytes};

    if (slice.bytes > 0)
        memcpy(*block, slice.data, slice.bytes);
    *block += slice.bytes;
    return copy;
}

static void batch_headers(struct sl_batch *batch, uint32_t row, const struct sl_klog_message *message, char **block,
                          struct sl_header **headers)
{
    batch->headers[row] = *headers;
    batch->headers_count[row] = message->headers_count;
    for (uint16_t i = 0; i < message->headers_count; i++) {
        const struct sl_header *from = &message->headers[i];
        struct sl_header *to = (*headers)++;

        to->name = block_put(block, from->name);
        to->value = from->value.data == NULL ? from->value : block_put(block, from->value);
    }
}

/* Payloads lie behind one another, so that one search of the block tells whether any may hold a line break. */
static int batch_fill(struct sl_batch *batch, const struct run *run)
{
    struct sl_header *headers = NULL;
    char *block, *begin;
    size_t payloads;

    if (batch_alloc(batch, run, &block, &headers) != 0)
        return -1;
    begin = block;
    for (uint32_t i = 0; i < run->count; i++) {
        batch->raw[i] = block_put(&block, run->messages[i].payload);
        batch->offset[i] = run->messages[i].offset;
        batch->append_unix_ms[i] = run->messages[i].append_unix_ms;
    }
    payloads = (size_t)(block - begin);
    batch->may_break = memchr(begin, '\n', payloads) != NULL || memchr(begin, '\r', payloads) != NULL;
    for (uint32_t i = 0; i < run->count; i++) {
        const struct sl_klog_message *message = &run->messages[i];

        if (run->keys)
            batch->key[i] = message->key.data == NULL ? message->key : block_put(&block, message->key);
        if (run->nulls)
            batch->null_payload[i] = message->null_payload;
        if (run->headers > 0)
            batch_headers(batch, i, message, &block, &headers);
    }
    memset(block, 0, SL_PAD);
    batch->count = run->count;
    batch->large = run->large;
    return 0;
}

/* Behind the last record, or behind the markers behind it where nothing more of the partition is waiting (rule A2). */
static uint64_t run_next(struct kafka_source *source, const struct kafka_item *item, const struct run *run)
{
    uint64_t next = run->messages[run->count - 1].offset + 1, position = 0;

    if (source->pending_at + run->count == source->pending_count &&
        source->log->kind->position(source->consumer, item->topic, item->number, &position) == 0 && position > next)
        next = position;
    return next;
}

/* What the group wants is heard even while nothing may be read. */
void kafka_source_serve(void *self)
{
    struct kafka_source *source = self;
    struct sl_err err;

    assert(source->magic == KAFKA_MAGIC);
    if (source->log->kind->poll(source->consumer, NULL, 0, &err) < 0)
        kafka_fail(source, &err);
    kafka_answer(source);
    lag_turn(source);
}

int kafka_source_poll(void *self, struct sl_batch *batch, struct sl_err *err)
{
    struct kafka_source *source = self;
    struct kafka_item *item;
    struct run run;

    assert(source->magic == KAFKA_MAGIC);
    if (pending_fill(source, err) != 0)
        return -(int)err->code;
    kafka_answer(source);
    if (source->failed != 0) {
        *err = source->failure;
        return source->failed;
    }
    lag_turn(source);
    for (int polls = 0; (item = pending_next(source)) == NULL; polls++) { /* 0 would say that nothing is left there */
        if (source->pending_count == 0)
            return 0;
        if (polls == KAFKA_SKIP_POLLS) {
            source->api->wake(source->api->env);
            return 0;
        }
        if (pending_fill(source, err) != 0)
            return -(int)err->code;
    }
    run = run_of(source);
    if (batch_fill(batch, &run) != 0)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0,
                       "source %s: %u records of %llu bytes do not fit into a batch; raise memory:", source->api->component,
                       (unsigned)run.count, (unsigned long long)run.bytes);
    batch->partition = item->partition;
    batch->first = item->partition->next;
    batch->next = run_next(source, item, &run);
    item->last_unix_ms = run.messages[run.count - 1].append_unix_ms;
    if (batch->next - batch->first > run.count)
        source->api->tally(source->api->env, source, KAFKA_HOLES, batch->next - batch->first - run.count);
    source->pending_at += run.count;
    sl_taken_note();
    return 1;
}
