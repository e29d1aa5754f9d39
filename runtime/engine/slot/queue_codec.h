/* queue_codec.h: a record as it lies in a sink's queue: the body as the sink gets it, and of its metadata what sinks may ask for.
 * Pure: no I/O; a damaged or foreign record is refused, never a crash.
 *
 * Layout (little endian): version u8 = 1, flags u8, level u8, 0; bytes of all before the body u32; number i32; incarnation u32; ordinal u16;
 * offset u64; append time i64; time i64; [randomness u64]; [threshold u64]; then texts, u32 length and bytes: source, topic, id, service,
 * [key], [origin]; headers u16 and each two texts; columns u16 and each type u8, repeated u8, path text (its segments, each ending in
 * NUL), value text; then the body.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_ENGINE_SLOT_QUEUE_CODEC_H
#define SL_RUNTIME_ENGINE_SLOT_QUEUE_CODEC_H

#include "runtime/engine/op.h"

struct sl_queue_columns { /* of a sink: those that it bound at open */
    const uint32_t *columns;
    uint32_t count;
    const struct sl_field_path *paths; /* by column */
};

struct sl_queue_row {
    struct sl_slice body, key, origin, source, topic, id, service; /* key, origin: data NULL: none */
    bool null_payload, json, may_break;
    bool unmarked; /* the sink's mark waits for its delivery: it comes again from the source after a restart */
    bool has_randomness, has_threshold;
    uint8_t level;
    int32_t number;
    uint32_t incarnation;
    uint64_t offset, randomness, threshold;
    int64_t append_unix_ms, time_unix_ms;
    uint16_t sub, headers_count, columns_count; /* sub: see sl_batch */
    struct sl_slice headers, columns; /* encoded */
};

/* Bytes of the item's record. */
size_t sl_queue_row_bytes(const struct sl_queue_columns *columns, const struct sl_view *view, const struct sl_item *item);
/* Writes it; returns the end. */
char *sl_queue_row_put(const struct sl_queue_columns *columns, const struct sl_view *view, const struct sl_item *item, bool unmarked,
                       char *to);
/* Slices of *ret_row point into `from`. 0, or -1: damaged, or of a version not known. */
int sl_queue_row_get(struct sl_slice from, struct sl_queue_row *ret_row);
/* ret_headers has room for row->headers_count. */
void sl_queue_row_headers(const struct sl_queue_row *row, struct sl_header *ret_headers);
/* Fills row number `index` of `to` (by column; of those bound) with what the record has of them. */
void sl_queue_row_columns(const struct sl_queue_row *row, const struct sl_queue_columns *columns, struct sl_column *to, uint32_t index);

#endif
