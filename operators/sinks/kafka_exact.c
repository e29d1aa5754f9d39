/* kafka_exact.c: exactly once: records are kept until the commit, which produces them inside its transaction (rule D).
 * States of a block: taken -seal-> sealed -transact, commit-> released; abandon frees it from either.
 * SPDX-License-Identifier: Apache-2.0 */
#include "operators/sinks/kafka.h"

#include <assert.h>
#include <stdlib.h>

#include "operators/sinks/sinks.h"

/* Half of the memory is for what comes while a commit runs. The rhythm itself is the engine's. */
int kafka_exact_want(void *self, uint64_t now_ns)
{
    const struct kafka_sink *sink = self;

    (void)now_ns;
    return sink->blocks.bytes >= sink->api->share_bytes / 2;
}

int kafka_exact_seal(void *self, uint64_t flush_number, struct sl_flush **ret_flush, struct sl_err *err)
{
    struct kafka_sink *sink = self;
    struct kafka_flush *flush;

    assert(sink->magic == KAFKA_SINK_MAGIC && sink->sealed_bytes == 0);
    if (sink->blocks.first == NULL) {
        *ret_flush = NULL;
        return 0;
    }
    flush = calloc(1, sizeof(*flush));
    if (flush == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory for a flush");
    flush->flush = (struct sl_flush){.kind = &sl_sink_kafka, .number = flush_number};
    flush->sink = sink;
    flush->blocks = sink->blocks;
    sink->sealed_bytes = sink->blocks.bytes;
    sink->blocks = (struct kafka_blocks){0};
    *ret_flush = &flush->flush;
    return 0;
}

int kafka_exact_prepare(struct sl_flush *flush, struct sl_err *err)
{
    (void)err;
    flush->entry = (struct sl_slice){NULL, 0}; /* the records are their own proof */
    return 0;
}

int kafka_exact_transact(struct sl_flush *flush, struct sl_klog *log, struct sl_klog_producer *producer, struct sl_err *err)
{
    struct kafka_flush *own = (struct kafka_flush *)(void *)flush;
    const struct kafka_sink *sink = own->sink; /* its headers are used here alone: with exactly_once nothing is sent otherwise */
    int status = 0;

    for (const struct kafka_block *block = own->blocks.first; block != NULL && status == 0; block = block->next)
        for (uint32_t i = 0; i < block->count && status == 0; i++) {
            struct sl_klog_record record = kafka_record(sink, &block->rows[i], sink->headers);

            status = log->kind->produce(producer, &record, 1, err);
        }
    return status == 0 ? 0 : sl_while(err, "sink %s", sink->api->component);
}

int kafka_exact_publish(struct sl_flush *flush, struct sl_err *err)
{
    (void)flush;
    (void)err;
    return 0; /* the commit itself made them visible */
}

void kafka_exact_abandon(void *self, struct sl_flush *flush)
{
    struct kafka_sink *sink = self;

    if (flush == NULL)
        kafka_blocks_clear(&sink->blocks);
    else
        kafka_blocks_clear(&((struct kafka_flush *)(void *)flush)->blocks);
}

void kafka_exact_release(void *self, struct sl_flush *flush)
{
    struct kafka_sink *sink = self;
    struct kafka_flush *own = (struct kafka_flush *)(void *)flush;

    kafka_blocks_clear(&own->blocks);
    sink->sealed_bytes = 0;
    free(own);
}
