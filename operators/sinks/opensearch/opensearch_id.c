/* opensearch_id.c: a document's id from its record's origin, so that a record sent twice is one document (DELIVERY rule E1).
 *
 * The id is XXH3-128 in base64url, of the origin that the record carries (a replay, a queue), else of source, topic, partition,
 * incarnation (rule A1) and offset, and of its ordinal where a stage made several records of one. 128 bits: among 10^12
 * records the chance of any collision is 1.5e-15.
 * SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdio.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "operators/sinks/opensearch/opensearch.h"

void opensearch_origin_of(struct opensearch_origin *origin, const struct sl_partition *partition)
{
    /* NULs part the fields: none of them can hold one. A topic that is a file's long path is cut: its id is unique by itself. */
    int bytes = snprintf(origin->text, sizeof(origin->text), "%.128s%c%.400s%c%s%c%u", partition->source, 0, partition->topic, 0,
                         partition->id, 0, partition->incarnation);

    assert(bytes > 0 && bytes < (int)sizeof(origin->text) - 20);
    origin->bytes = (uint32_t)bytes + 1;
}

static void id_print(XXH128_canonical_t hash, char id[OPENSEARCH_ID_BYTES])
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    uint32_t group = 0, bits = 0, to = 0;

    for (uint32_t i = 0; i < sizeof(hash.digest); i++) {
        group = group << 8 | hash.digest[i];
        for (bits += 8; bits >= 6; bits -= 6)
            id[to++] = digits[group >> (bits - 6) & 63];
    }
    id[to++] = digits[group << (6 - bits) & 63];
    assert(to == OPENSEARCH_ID_BYTES);
}

void opensearch_id_of(const struct opensearch_origin *origin, const struct sl_batch *batch, uint16_t row,
                      char id[OPENSEARCH_ID_BYTES])
{
    uint32_t ordinal = batch->sub != NULL ? batch->sub[row] : 0;
    XXH128_canonical_t canonical;
    XXH128_hash_t hash;

    if (batch->origin != NULL && batch->origin[row].data != NULL) {
        hash = XXH3_128bits_withSeed(batch->origin[row].data, batch->origin[row].bytes, ordinal);
    } else {
        char text[sizeof(origin->text)];
        uint64_t offset = batch->offset[row];
        uint32_t bytes = origin->bytes;
        memcpy(text, origin->text, bytes);
        for (int i = 0; i < 8; i++) /* the same bytes on every machine */
            text[bytes++] = (char)(offset >> (8 * i) & 0xff);
        hash = XXH3_128bits_withSeed(text, bytes, ordinal);
    }
    XXH128_canonicalFromHash(&canonical, hash);
    id_print(canonical, id);
}
