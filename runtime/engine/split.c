/* split.c: a canary's share of the keys, and its rows as bytes.
 *
 * Layout: format 1, then varints: count, and of each row the distance of `from` to the row before and the generation; the threshold
 * behind them in 8 bytes, little endian; at the end 4 bytes of XXH3 over what is before them.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/engine/split.h"

#include <assert.h>
#include <math.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "runtime/store/bytes.h"

/* Public and fixed: a record must go the same way in every process, for ever. */
#define SPLIT_SEED 0x736c756963652d53ull

enum { SPLIT_FORMAT = 1, SPLIT_SUM_BYTES = 4 };
enum split_tag { SPLIT_RANDOMNESS = 1, SPLIT_KEY, SPLIT_ORIGIN, SPLIT_PARTITION };

/* ---- shares and keys ---- */

uint64_t sl_split_threshold(double share)
{
    assert(share >= 0 && share <= 1);
    if (share >= 1)
        return SL_SPLIT_ALL;
    return (uint64_t)ldexp(share, 64); /* below 2^64: the largest share below 1 has 53 bits */
}

static uint64_t split_seed(uint32_t generation, enum split_tag tag)
{
    return SPLIT_SEED ^ (uint64_t)generation << 8 ^ (uint64_t)tag;
}

uint64_t sl_split_hash_randomness(uint64_t randomness, uint32_t generation)
{
    return XXH3_64bits_withSeed(&randomness, sizeof(randomness), split_seed(generation, SPLIT_RANDOMNESS));
}

uint64_t sl_split_hash_key(struct sl_slice key, uint32_t generation)
{
    return XXH3_64bits_withSeed(key.data, key.bytes, split_seed(generation, SPLIT_KEY));
}

static uint64_t split_names(const char *source, const char *topic, const char *partition, uint64_t seed)
{
    uint64_t hash = XXH3_64bits_withSeed(source, strlen(source), seed);

    hash = XXH3_64bits_withSeed(topic, strlen(topic), hash);
    return XXH3_64bits_withSeed(partition, strlen(partition), hash);
}

uint64_t sl_split_hash_origin(const char *source, const char *topic, const char *partition, uint32_t incarnation, uint64_t offset,
                              uint32_t generation)
{
    uint64_t words[2] = {incarnation, offset};

    return XXH3_64bits_withSeed(words, sizeof(words), split_names(source, topic, partition, split_seed(generation, SPLIT_ORIGIN)));
}

uint64_t sl_split_threshold_partition(double share, const char *source, const char *topic, const char *partition, uint32_t generation)
{
    uint64_t hash = split_names(source, topic, partition, split_seed(generation, SPLIT_PARTITION));

    return sl_split_is_canary(hash, sl_split_threshold(share)) ? SL_SPLIT_ALL : 0;
}

/* ---- rows ---- */

static bool split_says_the_same(const struct sl_split_row *row, uint64_t threshold, uint32_t generation)
{
    return row->threshold == threshold && (row->generation == generation || threshold == 0);
}

int sl_split_add(struct sl_split *split, uint64_t from, uint64_t threshold, uint32_t generation, struct sl_err *err)
{
    uint32_t count = split->count;

    assert(count == 0 || from >= split->rows[count - 1].from);
    if (count > 0 && from == split->rows[count - 1].from)
        count--; /* nothing was read under it */
    if (count > 0 ? split_says_the_same(&split->rows[count - 1], threshold, generation) : threshold == 0) {
        split->count = count;
        return 0;
    }
    if (count == SL_SPLIT_ROWS)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0,
                       "the share was changed %d times since the marks last moved: a sink does not acknowledge; change it once that works again",
                       SL_SPLIT_ROWS);
    split->rows[count] = (struct sl_split_row){from, threshold, generation};
    split->count = count + 1;
    return 0;
}

const struct sl_split_row *sl_split_at(const struct sl_split *split, uint64_t offset, uint64_t *ret_until)
{
    uint32_t at = split->count;

    while (at > 0 && split->rows[at - 1].from > offset)
        at--;
    if (ret_until != NULL)
        *ret_until = at < split->count ? split->rows[at].from : UINT64_MAX;
    return at == 0 ? NULL : &split->rows[at - 1];
}

bool sl_split_prune(struct sl_split *split, uint64_t lowest)
{
    uint32_t gone = 0;

    while (gone + 1 < split->count && split->rows[gone + 1].from <= lowest)
        gone++;
    if (gone < split->count && split->rows[gone].from <= lowest && split->rows[gone].threshold == 0)
        gone++; /* all to the live one: as before every row */
    memmove(split->rows, split->rows + gone, (split->count - gone) * sizeof(split->rows[0]));
    split->count -= gone;
    return gone > 0;
}

bool sl_split_is_plain(const struct sl_split *split)
{
    for (uint32_t i = 0; i < split->count; i++)
        if (split->rows[i].threshold != 0)
            return false;
    return true;
}

/* ---- bytes ---- */

static size_t split_put_varint(char *to, uint64_t value)
{
    size_t used = 0;

    for (; value >= 0x80; value >>= 7)
        to[used++] = (char)(value | 0x80);
    to[used++] = (char)value;
    return used;
}

size_t sl_split_print(const struct sl_split *split, char text[SL_SPLIT_BYTES])
{
    size_t used = 0;
    uint64_t before = 0;

    text[used++] = SPLIT_FORMAT;
    used += split_put_varint(text + used, split->count);
    for (uint32_t i = 0; i < split->count; i++) {
        used += split_put_varint(text + used, split->rows[i].from - before);
        used += split_put_varint(text + used, split->rows[i].generation);
        sl_put64(text + used, split->rows[i].threshold);
        used += 8;
        before = split->rows[i].from;
    }
    sl_put32(text + used, (uint32_t)XXH3_64bits(text, used));
    return used + SPLIT_SUM_BYTES;
}

struct split_reader {
    const unsigned char *data;
    size_t at, bytes;
    bool bad;
};

static uint64_t split_take_varint(struct split_reader *reader)
{
    uint64_t value = 0;

    for (unsigned shift = 0; shift < 64 && reader->at < reader->bytes; shift += 7) {
        unsigned char byte = reader->data[reader->at++];

        if (shift == 63 && byte > 1)
            break;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80)
            return value;
    }
    reader->bad = true;
    return 0;
}

static void split_take_row(struct split_reader *reader, struct sl_split *split)
{
    uint64_t distance = split_take_varint(reader), generation = split_take_varint(reader);
    struct sl_split_row *row = &split->rows[split->count];
    bool first = split->count == 0;

    if (reader->bad || reader->bytes - reader->at < 8 || generation > UINT32_MAX || (!first && distance == 0) ||
        __builtin_add_overflow(first ? 0 : row[-1].from, distance, &row->from)) {
        reader->bad = true;
        return;
    }
    row->generation = (uint32_t)generation;
    row->threshold = sl_get64(reader->data + reader->at);
    reader->at += 8;
    split->count++;
}

int sl_split_scan(struct sl_slice text, struct sl_split *ret_split)
{
    struct split_reader reader = {(const unsigned char *)text.data, 1, text.bytes - SPLIT_SUM_BYTES, false};
    struct sl_split split = {.count = 0};
    uint64_t count;

    if (text.bytes < 2 + SPLIT_SUM_BYTES || text.bytes > SL_SPLIT_BYTES || text.data[0] != SPLIT_FORMAT ||
        sl_get32(text.data + reader.bytes) != (uint32_t)XXH3_64bits(text.data, reader.bytes))
        return -1;
    count = split_take_varint(&reader);
    if (count > SL_SPLIT_ROWS)
        return -1;
    for (uint64_t i = 0; i < count && !reader.bad; i++)
        split_take_row(&reader, &split);
    if (reader.bad || reader.at != reader.bytes)
        return -1;
    *ret_split = split;
    return 0;
}
