/* digest.c: order-free digests of bodies: sums of 128-bit hashes, so that neither the order of files nor that of partitions
 * matters, and a record too many, one too few or one byte changed always shows.
 * SPDX-License-Identifier: Apache-2.0 */
#define XXH_STATIC_LINKING_ONLY
#include <xxhash.h>

#include "runtime/cli/audit/audit.h"

#define DIGEST_TIME ",\"append_unix_ms\":"

/* Where the value of a letter's append time begins; bytes if it has none. In a JSON string the quote would be escaped. */
static uint32_t digest_time_at(struct sl_slice letter)
{
    const size_t bytes = sizeof(DIGEST_TIME) - 1;
    const char *at = letter.bytes == 0 ? NULL : memmem(letter.data, letter.bytes, DIGEST_TIME, bytes);

    return at == NULL ? letter.bytes : (uint32_t)(at + bytes - letter.data);
}

/* Part by part, so that a line break is hashed as the blank that the sink writes. */
static void digest_feed(XXH3_state_t *state, const char *data, uint32_t bytes)
{
    while (bytes > 0) {
        uint32_t plain = 0;
        while (plain < bytes && data[plain] != '\r' && data[plain] != '\n')
            plain++;
        (void)XXH3_128bits_update(state, data, plain);
        if (plain < bytes)
            (void)XXH3_128bits_update(state, " ", 1);
        data += plain + (plain < bytes);
        bytes -= plain + (plain < bytes);
    }
}

static bool digest_breaks(struct sl_slice body)
{
    return body.bytes > 0 && (memchr(body.data, '\n', body.bytes) != NULL || memchr(body.data, '\r', body.bytes) != NULL);
}

struct audit_hash audit_hash_of(struct sl_slice body, bool letter)
{
    XXH3_state_t state;
    XXH128_hash_t hash;
    uint32_t at, end;

    if (!letter && !digest_breaks(body)) {
        hash = XXH3_128bits(body.data, body.bytes);
        return (struct audit_hash){hash.low64, hash.high64};
    }
    (void)XXH3_128bits_reset(&state);
    at = end = letter ? digest_time_at(body) : body.bytes;
    while (end < body.bytes && (body.data[end] == '-' || (body.data[end] >= '0' && body.data[end] <= '9')))
        end++;
    digest_feed(&state, body.data, at);
    digest_feed(&state, body.data + end, body.bytes - end);
    hash = XXH3_128bits_digest(&state);
    return (struct audit_hash){hash.low64, hash.high64};
}

void audit_digest_add(struct audit_digest *digest, struct audit_hash hash)
{
    digest->low += hash.low;
    digest->high += hash.high;
    digest->records++;
}
