/* spool_batch.c: record batches to bytes and back.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/store/spool/spool_batch.h"

#include <assert.h>

#include "runtime/base/crc32c.h"
#include "runtime/store/bytes.h"

#define SPOOL_SEGMENT_MAGIC "SLSPOOL1"
#define SPOOL_BATCH_MAGIC 0x31424c53u /* "SLB1" */

enum { ROW_KEY = 1, ROW_HEADERS = 2, ROW_NULL = 4 };

static uint32_t spool_segment_crc(const char *from)
{
    return sl_crc32c(sl_crc32c(0, from, 12), from + 16, SL_SPOOL_SEGMENT_HEADER - 16);
}

void sl_spool_segment_header_put(char *to, uint64_t nonce, uint64_t base, uint32_t partition)
{
    memset(to, 0, SL_SPOOL_SEGMENT_HEADER);
    memcpy(to, SPOOL_SEGMENT_MAGIC, 8);
    sl_put32(to + 8, partition);
    sl_put64(to + 16, nonce);
    sl_put64(to + 24, base);
    sl_put32(to + 12, spool_segment_crc(to));
}

bool sl_spool_segment_header_ok(const char *from, uint64_t nonce, uint64_t base, uint32_t partition)
{
    char right[SL_SPOOL_SEGMENT_HEADER];
    sl_spool_segment_header_put(right, nonce, base, partition);
    return memcmp(from, right, sizeof(right)) == 0;
}

static uint32_t spool_batch_crc(const char *from, uint64_t nonce)
{
    char seed[8];
    sl_put64(seed, nonce);
    return sl_crc32c(sl_crc32c(0, seed, sizeof(seed)), from, SL_SPOOL_BATCH_HEADER - 4);
}

void sl_spool_batch_put(char *to, const struct sl_spool_batch *batch, uint64_t nonce)
{
    sl_put32(to, SPOOL_BATCH_MAGIC);
    sl_put32(to + 4, batch->body_bytes);
    sl_put64(to + 8, batch->base);
    sl_put32(to + 16, batch->count);
    sl_put32(to + 20, batch->meta_bytes);
    sl_put64(to + 24, (uint64_t)batch->time_min);
    sl_put64(to + 32, (uint64_t)batch->time_max);
    sl_put32(to + 40, batch->flags);
    sl_put32(to + 44, 0);
    sl_put32(to + 48, batch->body_crc);
    sl_put32(to + 52, spool_batch_crc(to, nonce));
}

bool sl_spool_batch_get(const char *from, uint64_t nonce, struct sl_spool_batch *ret_batch)
{
    struct sl_spool_batch batch;
    if (sl_get32(from) != SPOOL_BATCH_MAGIC || sl_get32(from + 52) != spool_batch_crc(from, nonce))
        return false;
    batch = (struct sl_spool_batch){
        .base = sl_get64(from + 8),
        .count = sl_get32(from + 16),
        .body_bytes = sl_get32(from + 4),
        .meta_bytes = sl_get32(from + 20),
        .flags = sl_get32(from + 40),
        .body_crc = sl_get32(from + 48),
        .time_min = (int64_t)sl_get64(from + 24),
        .time_max = (int64_t)sl_get64(from + 32),
    };
    if (batch.count == 0 || batch.count > SL_BATCH_RECORDS || batch.meta_bytes > batch.body_bytes ||
        batch.body_bytes > SL_SPOOL_BODY_BYTES || batch.base > UINT64_MAX - batch.count)
        return false;
    *ret_batch = batch;
    return true;
}

bool sl_spool_batch_body_ok(const struct sl_spool_batch *batch, const char *body)
{
    return sl_crc32c(0, body, batch->body_bytes) == batch->body_crc;
}

/* ---- encode ---- */

static size_t spool_varint_bytes(uint64_t value)
{
    size_t bytes = 1;
    while (value >= 128) {
        value >>= 7;
        bytes++;
    }
    return bytes;
}

static char *spool_varint_put(char *to, uint64_t value)
{
    while (value >= 128) {
        *to++ = (char)(value | 128);
        value >>= 7;
    }
    *to++ = (char)value;
    return to;
}

static char *spool_slice_put(char *to, struct sl_slice slice)
{
    if (slice.bytes > 0)
        memcpy(to, slice.data, slice.bytes);
    return to + slice.bytes;
}

static size_t spool_slice_bytes(struct sl_slice slice, uint64_t shift)
{
    return spool_varint_bytes(slice.bytes + shift) + slice.bytes;
}

static size_t spool_row_bytes(const struct sl_spool_record *record)
{
    size_t bytes = 1 + 8 + spool_varint_bytes(record->null_payload ? 0 : record->payload.bytes);
    if (record->key.data != NULL)
        bytes += spool_slice_bytes(record->key, 0);
    if (record->headers_count > 0)
        bytes += spool_varint_bytes(record->headers_count);
    for (uint16_t i = 0; i < record->headers_count; i++) {
        bytes += spool_slice_bytes(record->headers[i].name, 0);
        bytes += record->headers[i].value.data == NULL ? 1 : spool_slice_bytes(record->headers[i].value, 1);
    }
    return bytes;
}

uint32_t sl_spool_batch_measure(const struct sl_spool_record *records, uint32_t count, size_t *ret_body_bytes,
                                size_t *ret_meta_bytes)
{
    size_t body_bytes = 0, meta_bytes = 0;
    uint32_t taken = 0;

    while (taken < count && taken < SL_BATCH_RECORDS) {
        size_t row_bytes = spool_row_bytes(&records[taken]);
        size_t more = row_bytes + (records[taken].null_payload ? 0 : records[taken].payload.bytes);
        if (body_bytes + more > (taken == 0 ? (size_t)SL_SPOOL_BODY_BYTES : (size_t)SL_BATCH_BYTES - SL_SPOOL_BATCH_HEADER))
            break;
        body_bytes += more;
        meta_bytes += row_bytes;
        taken++;
    }
    *ret_body_bytes = body_bytes;
    *ret_meta_bytes = meta_bytes;
    return taken;
}

static char *spool_row_put(char *to, const struct sl_spool_record *record, int64_t unix_ms)
{
    bool keyed = record->key.data != NULL;
    *to++ = (char)((keyed ? ROW_KEY : 0) | (record->headers_count > 0 ? ROW_HEADERS : 0) |
                   (record->null_payload ? ROW_NULL : 0));
    sl_put64(to, (uint64_t)unix_ms);
    to = spool_varint_put(to + 8, record->null_payload ? 0 : record->payload.bytes);
    if (keyed)
        to = spool_slice_put(spool_varint_put(to, record->key.bytes), record->key);
    if (record->headers_count > 0)
        to = spool_varint_put(to, record->headers_count);
    for (uint16_t i = 0; i < record->headers_count; i++) {
        struct sl_slice value = record->headers[i].value;
        to = spool_slice_put(spool_varint_put(to, record->headers[i].name.bytes), record->headers[i].name);
        if (value.data == NULL)
            to = spool_varint_put(to, 0);
        else
            to = spool_slice_put(spool_varint_put(to, (uint64_t)value.bytes + 1), value);
    }
    return to;
}

static uint32_t spool_record_flags(const struct sl_spool_record *record)
{
    uint32_t flags = (record->key.data != NULL ? SL_SPOOL_KEYS : 0u) | (record->headers_count > 0 ? SL_SPOOL_HEADERS : 0u);
    return flags | (record->null_payload ? SL_SPOOL_NULLS : 0u);
}

void sl_spool_batch_encode(const struct sl_spool_record *records, uint32_t count, int64_t now_unix_ms, size_t body_bytes,
                           size_t meta_bytes, char *body, struct sl_spool_batch *ret_batch)
{
    struct sl_spool_batch batch = {.count = count, .body_bytes = (uint32_t)body_bytes, .meta_bytes = (uint32_t)meta_bytes};
    char *row = body, *payloads = body + meta_bytes, *payload = payloads;

    for (uint32_t i = 0; i < count; i++) {
        int64_t unix_ms = records[i].append_unix_ms != 0 ? records[i].append_unix_ms : now_unix_ms;
        batch.time_min = i == 0 || unix_ms < batch.time_min ? unix_ms : batch.time_min;
        batch.time_max = i == 0 || unix_ms > batch.time_max ? unix_ms : batch.time_max;
        batch.flags |= spool_record_flags(&records[i]);
        row = spool_row_put(row, &records[i], unix_ms);
        if (!records[i].null_payload)
            payload = spool_slice_put(payload, records[i].payload);
    }
    assert(row == payloads && payload == body + body_bytes);
    if (memchr(payloads, '\n', body_bytes - meta_bytes) != NULL || memchr(payloads, '\r', body_bytes - meta_bytes) != NULL)
        batch.flags |= SL_SPOOL_MAY_BREAK;
    batch.body_crc = sl_crc32c(0, body, body_bytes);
    *ret_batch = batch;
}

/* ---- decode ---- */

struct spool_cursor {
    const char *at, *end;
    bool bad;
};

static uint64_t spool_varint_get(struct spool_cursor *cursor)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64 && cursor->at < cursor->end; shift += 7) {
        unsigned char byte = (unsigned char)*cursor->at++;
        value |= (uint64_t)(byte & 127) << shift;
        if (byte < 128)
            return value;
    }
    cursor->bad = true;
    return 0;
}

static struct sl_slice spool_slice_get(struct spool_cursor *cursor, uint64_t bytes)
{
    struct sl_slice slice = {cursor->at, (uint32_t)bytes};
    if (cursor->bad || bytes > (uint64_t)(cursor->end - cursor->at)) {
        cursor->bad = true;
        return (struct sl_slice){cursor->at, 0};
    }
    cursor->at += bytes;
    return slice;
}

static int spool_headers_get(struct spool_cursor *cursor, struct sl_batch *batch, uint32_t index)
{
    uint64_t count = spool_varint_get(cursor);
    struct sl_header *headers;

    if (cursor->bad || count == 0 || count > UINT16_MAX)
        return -1;
    headers = sl_arena_alloc(batch->arena, (size_t)count * sizeof(*headers));
    if (headers == NULL)
        return -2;
    for (uint64_t i = 0; i < count; i++) {
        uint64_t value_bytes;
        headers[i].name = spool_slice_get(cursor, spool_varint_get(cursor));
        value_bytes = spool_varint_get(cursor);
        headers[i].value = (struct sl_slice){NULL, 0};
        if (value_bytes > 0)
            headers[i].value = spool_slice_get(cursor, value_bytes - 1);
    }
    batch->headers[index] = headers;
    batch->headers_count[index] = (uint16_t)count;
    return cursor->bad ? -1 : 0;
}

static int spool_row_get(struct spool_cursor *row, struct spool_cursor *payloads, struct sl_batch *batch, uint32_t index)
{
    int flags, rc;
    struct sl_slice time, key = {NULL, 0};

    if (row->at == row->end)
        return -1;
    flags = *row->at++;
    time = spool_slice_get(row, 8);
    if (row->bad)
        return -1;
    batch->append_unix_ms[index] = (int64_t)sl_get64(time.data);
    batch->raw[index] = spool_slice_get(payloads, spool_varint_get(row));
    if ((flags & ROW_KEY) != 0)
        key = spool_slice_get(row, spool_varint_get(row));
    if (batch->key != NULL)
        batch->key[index] = key;
    if (batch->headers != NULL) {
        batch->headers[index] = NULL;
        batch->headers_count[index] = 0;
    }
    if ((flags & ROW_HEADERS) != 0 && batch->headers == NULL)
        return -1;
    if ((flags & ROW_HEADERS) != 0 && (rc = spool_headers_get(row, batch, index)) < 0)
        return rc;
    if (batch->null_payload != NULL)
        batch->null_payload[index] = (flags & ROW_NULL) != 0;
    return row->bad || payloads->bad ? -1 : 0;
}

int sl_spool_batch_decode(const struct sl_spool_batch *header, const char *body, uint64_t from, struct sl_batch *batch)
{
    struct spool_cursor row = {body, body + header->meta_bytes, false};
    struct spool_cursor payloads = {body + header->meta_bytes, body + header->body_bytes, false};

    for (uint32_t i = 0; i < header->count; i++) {
        int rc = spool_row_get(&row, &payloads, batch, batch->count);
        if (rc < 0)
            return rc;
        if (header->base + i < from)
            continue; /* its row is overwritten by the next */
        batch->offset[batch->count++] = header->base + i;
    }
    return row.at == row.end && payloads.at == payloads.end ? 0 : -1;
}
