/* spool_batch.h: the bytes of a spool's segments: headers and record batches, written, checked and taken apart. Pure.
 *
 * Segment header, 40 bytes: "SLSPOOL1", u32 partition, u32 CRC32C over the rest, u64 nonce, u64 base offset, u64 zero.
 * Batch: a header of 56 bytes, then the body: one row a record (flags, u64 append time, varint payload length, key,
 * headers), then all payloads end to end. The header's CRC covers the segment's nonce and the body's CRC (rule F3): a payload
 * that quotes a batch cannot know the nonce.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_STORE_SPOOL_BATCH_H
#define SL_RUNTIME_STORE_SPOOL_BATCH_H

#include "runtime/store/spool.h"

enum {
    SL_SPOOL_SEGMENT_HEADER = 40,
    SL_SPOOL_BATCH_HEADER = 56,
    SL_SPOOL_BODY_BYTES = 256 << 20, /* largest body; only a single record makes more than SL_BATCH_BYTES */
};

enum sl_spool_batch_flags { SL_SPOOL_MAY_BREAK = 1, SL_SPOOL_KEYS = 2, SL_SPOOL_HEADERS = 4, SL_SPOOL_NULLS = 8 };

struct sl_spool_batch {
    uint64_t base;
    uint32_t count, body_bytes, meta_bytes, flags, body_crc;
    int64_t time_min, time_max;
};

void sl_spool_segment_header_put(char *to, uint64_t nonce, uint64_t base, uint32_t partition);
bool sl_spool_segment_header_ok(const char *from, uint64_t nonce, uint64_t base, uint32_t partition);

void sl_spool_batch_put(char *to, const struct sl_spool_batch *batch, uint64_t nonce);
/* Whether a header that belongs to this nonce stands at `from` (SL_SPOOL_BATCH_HEADER bytes). The body is not looked at. */
bool sl_spool_batch_get(const char *from, uint64_t nonce, struct sl_spool_batch *ret_batch);
bool sl_spool_batch_body_ok(const struct sl_spool_batch *batch, const char *body);

/* How many of the records make the next batch, and its body's size; 0: the first one alone is too large. */
uint32_t sl_spool_batch_measure(const struct sl_spool_record *records, uint32_t count, size_t *ret_body_bytes,
                                size_t *ret_meta_bytes);
/* Writes the body of `count` records, body_bytes and meta_bytes as measured, and fills all of *ret_batch but base. */
void sl_spool_batch_encode(const struct sl_spool_record *records, uint32_t count, int64_t now_unix_ms, size_t body_bytes,
                           size_t meta_bytes, char *body, struct sl_spool_batch *ret_batch);

/* Adds the records with offset >= from to `batch` at batch->count; arrays must have room, and key, headers and null_payload
 * exist where flags say so. -1: the body contradicts itself (a writer's mistake, for its CRC is right); -2: the arena is
 * over budget. */
int sl_spool_batch_decode(const struct sl_spool_batch *header, const char *body, uint64_t from, struct sl_batch *batch);

#endif
