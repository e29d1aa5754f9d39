/* kafka_send.c: at least once: an idempotent sender, whose reports become the records' acknowledgements.
 * A sender that has died is replaced; what it had in flight is unknown, and the engine sends that again.
 * SPDX-License-Identifier: Apache-2.0 */
#include "operators/sinks/kafka.h"

#include <stdlib.h>

#define KAFKA_REOPEN_NS 1000000000ull

static void done_flush(struct kafka_sink *sink)
{
    if (sink->done_count == 0)
        return;
    sl_slot_done(sink->slot, sink, sink->done, sink->done_count, SL_ACK, NULL);
    sink->api->tally(sink->api->env, sink, KAFKA_SINK_SENT, sink->done_count);
    sink->done_count = 0;
}

static void row_done(struct kafka_sink *sink, const struct kafka_row *row)
{
    struct kafka_block *block = row->block;

    if (--block->left == 0)
        kafka_blocks_remove(&sink->blocks, block);
}

static void row_failed(struct kafka_sink *sink, const struct kafka_row *row, const struct sl_err *why)
{
    struct sl_refused record = {row->ref, row->payload, row->key, row->offset, row->append_unix_ms, row->service, row->level};

    done_flush(sink); /* acknowledgements keep their order */
    if (why->remedy == SL_REMEDY_DEADLETTER) {
        sink->api->tally(sink->api->env, sink, KAFKA_SINK_REFUSED, 1);
        sl_slot_refused(sink->slot, sink, &record, why);
    } else {
        sl_slot_done(sink->slot, sink, &row->ref, 1, SL_RETRY, why);
    }
    row_done(sink, row);
}

static void on_report(void *user, void *opaque, int status, const struct sl_err *err)
{
    struct kafka_sink *sink = user;
    const struct kafka_row *row = opaque;

    if (status != 0 && err->remedy == SL_REMEDY_FENCE)
        return; /* the sender is dead: all that is in flight is settled at once */
    if (status != 0) {
        row_failed(sink, row, err);
        return;
    }
    sink->done[sink->done_count++] = row->ref;
    if (sink->done_count == KAFKA_DONE_ROWS)
        done_flush(sink);
    row_done(sink, row);
}

/* 0: sent, or settled; 1: the queue is full now; <0: the sender is dead. */
static int row_send(struct kafka_sink *sink, struct kafka_row *row, struct sl_err *err)
{
    struct sl_klog_record record = kafka_record(sink, row, sink->headers);
    int status = sink->log->kind->send(sink->sender, &record, row, err);

    if (status == -SL_E_LIMIT)
        return 1;
    row->block->sent++;
    if (status == 0)
        return 0;
    if (err->remedy == SL_REMEDY_FENCE)
        return status;
    row_failed(sink, row, err);
    return 0;
}

static int blocks_send(struct kafka_sink *sink, struct sl_err *err)
{
    for (struct kafka_block *block = sink->blocks.first, *next; block != NULL; block = next) {
        next = block->next; /* the last row's refusal may free the block */
        for (uint32_t left = block->count - block->sent; left > 0; left--) {
            int status = row_send(sink, &block->rows[block->sent], err);

            if (status != 0)
                return status;
        }
    }
    return 0;
}

static void sender_drop(struct kafka_sink *sink, uint64_t now_ns, const struct sl_err *why)
{
    done_flush(sink);
    sink->log->kind->sender_close(sink->sender); /* no payload is used any more */
    sink->sender = NULL;
    sink->open_at_ns = now_ns + KAFKA_REOPEN_NS;
    sink->api->tally(sink->api->env, sink, KAFKA_SINK_REOPENED, 1);
    sink->api->log(sink->api->env, why, "sender");
}

/* What was not yet reported, in order. Rows that were are gone from `left` but not from the block: a sender reports in any order. */
static void sender_lost(struct kafka_sink *sink, uint64_t now_ns, const struct sl_err *why)
{
    sender_drop(sink, now_ns, why);
    kafka_blocks_clear(&sink->blocks);
}

static int sender_open(struct kafka_sink *sink, struct sl_err *err)
{
    return sink->log->kind->sender_open(sink->log, sink->connection, &sink->property_map, sink->api->share_bytes,
                                        sink->api->wake, sink->api->env, &sink->sender, err);
}

/* Nothing is lost by it: the sender goes on trying. But somebody may have to act. */
static void sender_listen(struct kafka_sink *sink)
{
    struct sl_err trouble;

    if (sink->log->kind->trouble != NULL && sink->log->kind->trouble(sink->sender, &trouble) != 0)
        sink->api->log(sink->api->env, &trouble, "sender");
}

int kafka_send_turn(struct kafka_sink *sink, uint64_t now_ns, uint64_t *ret_wake_ns, struct sl_err *err)
{
    if (sink->sender == NULL && now_ns < sink->open_at_ns) {
        uint64_t left_ns = sink->open_at_ns - now_ns;

        *ret_wake_ns = left_ns < *ret_wake_ns ? left_ns : *ret_wake_ns;
        return 0;
    }
    if (sink->sender == NULL && sender_open(sink, err) != 0)
        return -(int)err->code;
    if (sink->log->kind->reports(sink->sender, on_report, sink, err) != 0 || blocks_send(sink, err) < 0) {
        sender_lost(sink, now_ns, err);
        err->remedy = SL_REMEDY_RETRY;
        return -(int)err->code; /* the engine reads again from what was acknowledged */
    }
    done_flush(sink);
    sender_listen(sink);
    return 0;
}

int kafka_send_submit(struct kafka_sink *sink, const struct sl_parcel *parcel, struct sl_err *err)
{
    bool behind = sink->sender == NULL || (sink->blocks.last != NULL && sink->blocks.last->sent < sink->blocks.last->count);

    if (kafka_blocks_add(sink, &sink->blocks, parcel) != 0)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory for %u records", (unsigned)parcel->count);
    if (behind) /* in order: after what waits already */
        return 0;
    if (blocks_send(sink, err) < 0) {
        sender_lost(sink, sink->api->now_ns(sink->api->env), err);
        err->remedy = SL_REMEDY_RETRY;
        return -(int)err->code;
    }
    done_flush(sink);
    return 0;
}
