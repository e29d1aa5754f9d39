/* kafka.h: the kafka sink's own structs, shared by its files: kafka.c (settings, both ways' entry), kafka_key.c (the record's key),
 * kafka_send.c (at least once: an idempotent sender), kafka_exact.c (exactly once: records wait for the commit's transaction).
 *
 * Memory: a parcel's bodies, keys and origins are copied once into a block of ours, charged to the lane; the sender sends from
 * there without a further copy, so a block lives until its last record is reported.
 * Threads: slot thread; a sealed flush is the clerk's from prepare to the commit's end.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_OPERATORS_SINKS_KAFKA_H
#define SL_OPERATORS_SINKS_KAFKA_H

#include "runtime/config/name.h"
#include "runtime/config/topology.h"
#include "runtime/engine/slot.h"
#include "runtime/kafka/klog.h"

enum { KAFKA_SINK_MAGIC = 0x6b61736e, KAFKA_DONE_ROWS = 1024, KAFKA_ORIGIN_BYTES = 512 };
enum kafka_sink_counter { KAFKA_SINK_SENT, KAFKA_SINK_REFUSED, KAFKA_SINK_REOPENED };

struct kafka_sink_config {
    const char *connection;
    struct sl_strings brokers;
    const char *topic, *key;
    int partitioner, compression;
    struct sl_map headers;
    bool exactly_once;
    struct sl_map librdkafka;
};

struct kafka_row {
    struct kafka_block *block;
    struct sl_ref ref;
    struct sl_slice payload, key, origin;
    int64_t unix_ms, append_unix_ms;
    uint64_t offset;   /* of the origin, for a dead letter */
    uint32_t service;
    uint8_t level;
    bool null_payload;
};

struct kafka_block { /* one parcel, copied */
    struct kafka_block *next, *prev;
    uint32_t count, sent, left; /* left: not yet reported */
    uint64_t bytes;
    struct kafka_row rows[];
};

struct kafka_blocks {
    struct kafka_block *first, *last;
    uint64_t bytes;
    uint32_t rows;
};

struct kafka_flush {
    struct sl_flush flush; /* first */
    struct kafka_sink *sink;
    struct kafka_blocks blocks;
};

struct kafka_sink {
    uint32_t magic;
    const struct sl_api *api;
    const struct kafka_sink_config *config;
    struct sl_slot *slot;
    struct sl_klog *log;
    struct sl_connection own;
    const struct sl_connection *connection;
    struct sl_name key;
    int key_column; /* or -1 */
    bool has_key;
    struct sl_header *headers; /* [1 + config->headers.count]; the first is the origin's */
    struct sl_pair *properties;
    struct sl_map property_map;
    struct sl_klog_sender *sender; /* NULL: to be opened */
    uint64_t open_at_ns;
    struct kafka_blocks blocks; /* exactly once: since the last seal; else: until reported */
    uint64_t sealed_bytes;
    struct sl_ref done[KAFKA_DONE_ROWS];
    uint32_t done_count;
};

/* kafka_key.c */
int kafka_key_open(struct kafka_sink *sink, struct sl_names *names, struct sl_err *err);
struct sl_slice kafka_key_of(const struct kafka_sink *sink, const struct sl_view *view, uint32_t row);

/* kafka.c */
/* A copy of the parcel at the end of blocks. 0, or -1: no memory. */
int kafka_blocks_add(struct kafka_sink *sink, struct kafka_blocks *blocks, const struct sl_parcel *parcel);
void kafka_blocks_remove(struct kafka_blocks *blocks, struct kafka_block *block);
void kafka_blocks_clear(struct kafka_blocks *blocks);
/* The record of a row. headers: sink->headers, whose first becomes the row's origin. */
struct sl_klog_record kafka_record(const struct kafka_sink *sink, const struct kafka_row *row, struct sl_header *headers);

/* kafka_send.c */
int kafka_send_turn(struct kafka_sink *sink, uint64_t now_ns, uint64_t *ret_wake_ns, struct sl_err *err);
int kafka_send_submit(struct kafka_sink *sink, const struct sl_parcel *parcel, struct sl_err *err);

/* kafka_exact.c */
int kafka_exact_want(void *self, uint64_t now_ns);
int kafka_exact_seal(void *self, uint64_t flush_number, struct sl_flush **ret_flush, struct sl_err *err);
int kafka_exact_prepare(struct sl_flush *flush, struct sl_err *err);
int kafka_exact_transact(struct sl_flush *flush, struct sl_klog *log, struct sl_klog_producer *producer, struct sl_err *err);
int kafka_exact_publish(struct sl_flush *flush, struct sl_err *err);
void kafka_exact_abandon(void *self, struct sl_flush *flush);
void kafka_exact_release(void *self, struct sl_flush *flush);

#endif
