/* commit_record.c: writing and checking the bytes of a commit log.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/store/commit_record.h"

#include "runtime/base/crc32c.h"

#define COMMIT_MAGIC "SLCOMMIT"
#define COMMIT_REMOVED UINT32_MAX

enum { COMMIT_CHANGE_BYTES = 8 };

static uint32_t commit_header_crc(const char *from)
{
    return sl_crc32c(sl_crc32c(0, from, 12), from + 16, SL_COMMIT_HEADER_BYTES - 16);
}

void sl_commit_header_put(char *to, const struct sl_commit_header *header)
{
    memcpy(to, COMMIT_MAGIC, 8);
    sl_put32(to + 8, SL_COMMIT_FORMAT);
    sl_put64(to + 16, header->nonce);
    sl_put64(to + 24, header->first_number);
    sl_put64(to + 32, header->snapshot_end);
    sl_put32(to + 12, commit_header_crc(to));
}

int sl_commit_header_get(const char *from, size_t bytes, struct sl_commit_header *ret_header, struct sl_err *err)
{
    if (bytes < SL_COMMIT_HEADER_BYTES)
        return sl_fail(err, SL_E_FORMAT, SL_REMEDY_HALT, 0,
                       "has %zu bytes, less than a header of %d; restore it from a backup", bytes, SL_COMMIT_HEADER_BYTES);
    if (memcmp(from, COMMIT_MAGIC, 8) != 0)
        return sl_fail(err, SL_E_FORMAT, SL_REMEDY_HALT, 0, "is not a commit log (it does not begin with " COMMIT_MAGIC ")");
    if (sl_get32(from + 12) != commit_header_crc(from))
        return sl_fail(err, SL_E_FORMAT, SL_REMEDY_HALT, 0, "has a damaged header; restore it from a backup");
    if (sl_get32(from + 8) > SL_COMMIT_FORMAT)
        return sl_fail(err, SL_E_FORMAT, SL_REMEDY_HALT, 0,
                       "was written by a newer version (format %u, this one knows up to %d); run the newer version",
                       sl_get32(from + 8), SL_COMMIT_FORMAT);
    *ret_header = (struct sl_commit_header){sl_get64(from + 16), sl_get64(from + 24), sl_get64(from + 32)};
    return 0;
}

static uint32_t commit_record_crc(const char *record, uint32_t body_bytes, uint64_t nonce)
{
    char seed[12];
    sl_put64(seed, nonce);
    sl_put32(seed + 8, body_bytes);
    return sl_crc32c(sl_crc32c(0, seed, sizeof(seed)), record + 8, (size_t)body_bytes + 8);
}

/* Sum of the body, or 0 (which no sound commit of at least one change has) where something is too large. */
static uint64_t commit_body_bytes(const struct sl_commit_change *changes, uint32_t count)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (changes[i].key.bytes > SL_COMMIT_LOG_KEY_BYTES)
            return 0;
        if (changes[i].value.data != NULL && changes[i].value.bytes > SL_COMMIT_LOG_VALUE_BYTES)
            return 0;
        bytes += COMMIT_CHANGE_BYTES + (uint64_t)changes[i].key.bytes;
        bytes += changes[i].value.data != NULL ? changes[i].value.bytes : 0;
    }
    return bytes > SL_COMMIT_BODY_BYTES ? 0 : bytes;
}

static char *commit_change_put(char *to, const struct sl_commit_change *change)
{
    uint32_t value_bytes = change->value.data != NULL ? change->value.bytes : 0;
    sl_put32(to, change->key.bytes);
    sl_put32(to + 4, change->value.data != NULL ? value_bytes : COMMIT_REMOVED);
    to += COMMIT_CHANGE_BYTES;
    if (change->key.bytes > 0)
        memcpy(to, change->key.data, change->key.bytes);
    to += change->key.bytes;
    if (value_bytes > 0)
        memcpy(to, change->value.data, value_bytes);
    return to + value_bytes;
}

int sl_commit_record_put(struct sl_buffer *buffer, uint64_t nonce, uint64_t number, const struct sl_commit_change *changes,
                         uint32_t count, struct sl_err *err)
{
    uint64_t body_bytes = commit_body_bytes(changes, count);
    char *record, *to;

    if (body_bytes == 0)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0,
                       "a commit has at least one change, keys and values of up to 16 MiB each and 1 GiB in all; this one of %u "
                       "changes has not", count);
    if (sl_buffer_reserve(buffer, SL_COMMIT_RECORD_BYTES + (size_t)body_bytes) < 0)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory for a commit of %llu bytes",
                       (unsigned long long)body_bytes);
    record = buffer->data + buffer->bytes;
    to = record + SL_COMMIT_RECORD_BYTES;
    for (uint32_t i = 0; i < count; i++)
        to = commit_change_put(to, &changes[i]);
    sl_put32(record, (uint32_t)body_bytes);
    sl_put64(record + 8, number);
    sl_put32(record + 4, commit_record_crc(record, (uint32_t)body_bytes, nonce));
    buffer->bytes += SL_COMMIT_RECORD_BYTES + (size_t)body_bytes;
    return 0;
}

/* The checksum is no proof against a writer's mistake: lengths inside are checked once, so that readers need not. */
static bool commit_body_is_sound(const char *body, size_t bytes)
{
    while (bytes > 0) {
        uint64_t change_bytes;
        uint32_t value_bytes;
        if (bytes < COMMIT_CHANGE_BYTES)
            return false;
        value_bytes = sl_get32(body + 4);
        change_bytes = COMMIT_CHANGE_BYTES + (uint64_t)sl_get32(body) + (value_bytes == COMMIT_REMOVED ? 0 : value_bytes);
        if (change_bytes > bytes)
            return false;
        body += change_bytes;
        bytes -= (size_t)change_bytes;
    }
    return true;
}

size_t sl_commit_record_check(const char *from, size_t bytes, uint64_t nonce, uint64_t number)
{
    uint32_t body_bytes;
    if (bytes < SL_COMMIT_RECORD_BYTES || sl_get64(from + 8) != number)
        return 0;
    body_bytes = sl_get32(from);
    if (body_bytes > bytes - SL_COMMIT_RECORD_BYTES || sl_get32(from + 4) != commit_record_crc(from, body_bytes, nonce))
        return 0;
    if (!commit_body_is_sound(from + SL_COMMIT_RECORD_BYTES, body_bytes))
        return 0;
    return SL_COMMIT_RECORD_BYTES + body_bytes;
}

bool sl_commit_record_find(const char *from, size_t bytes, uint64_t nonce, uint64_t number, size_t *ret_at)
{
    uint64_t last = number + bytes / SL_COMMIT_RECORD_BYTES + 1; /* more records do not fit */
    for (size_t at = 0; at + SL_COMMIT_RECORD_BYTES <= bytes; at++) {
        uint64_t found = sl_get64(from + at + 8);
        if (found <= number || found > last || sl_commit_record_check(from + at, bytes - at, nonce, found) == 0)
            continue;
        *ret_at = at;
        return true;
    }
    return false;
}

bool sl_commit_record_next(const char *record, size_t *cursor, struct sl_commit_change *ret_change)
{
    const char *change = record + SL_COMMIT_RECORD_BYTES + *cursor;
    uint32_t key_bytes, value_bytes;

    if (*cursor >= sl_get32(record))
        return false;
    key_bytes = sl_get32(change);
    value_bytes = sl_get32(change + 4);
    ret_change->key = (struct sl_slice){change + COMMIT_CHANGE_BYTES, key_bytes};
    ret_change->value = (struct sl_slice){NULL, 0};
    *cursor += COMMIT_CHANGE_BYTES + (size_t)key_bytes;
    if (value_bytes != COMMIT_REMOVED) {
        ret_change->value = (struct sl_slice){change + COMMIT_CHANGE_BYTES + key_bytes, value_bytes};
        *cursor += value_bytes;
    }
    return true;
}
