/* mark_codec.c: marks and commit keys to bytes and back.
 * Everything read here comes from outside (Kafka, disk): lengths are checked before use, and a checksum tells a mark of ours
 * from whatever else somebody may have put there.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/engine/mark_codec.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include <xxhash.h>

enum { CODEC_SUM_BYTES = 4, CODEC_RAW_BYTES = (SL_MARK_METADATA_BYTES - 2) / 4 * 3, CODEC_FIELDS = 5 };

/* ---- bytes ---- */
struct codec_writer {
    unsigned char *data;
    size_t used, capacity;
    bool full;
};

struct codec_reader {
    const unsigned char *data;
    size_t at, bytes;
    bool bad;
};

static void codec_put(struct codec_writer *writer, const void *data, size_t bytes)
{
    if (writer->full || writer->capacity - writer->used < bytes) {
        writer->full = true;
        return;
    }
    memcpy(writer->data + writer->used, data, bytes);
    writer->used += bytes;
}

static void codec_put_varint(struct codec_writer *writer, uint64_t value)
{
    unsigned char bytes[10];
    size_t count = 0;

    for (; value >= 0x80; value >>= 7)
        bytes[count++] = (unsigned char)(value | 0x80);
    bytes[count++] = (unsigned char)value;
    codec_put(writer, bytes, count);
}

static void codec_put_fixed(struct codec_writer *writer, uint64_t value, size_t bytes)
{
    unsigned char little[8];

    for (size_t i = 0; i < bytes; i++)
        little[i] = (unsigned char)(value >> (8 * i));
    codec_put(writer, little, bytes);
}

static const unsigned char *codec_take(struct codec_reader *reader, size_t bytes)
{
    if (reader->bad || reader->bytes - reader->at < bytes) {
        reader->bad = true;
        return NULL;
    }
    reader->at += bytes;
    return reader->data + reader->at - bytes;
}

static uint64_t codec_take_varint(struct codec_reader *reader)
{
    uint64_t value = 0;

    for (unsigned shift = 0; shift < 64; shift += 7) {
        const unsigned char *byte = codec_take(reader, 1);

        if (byte == NULL || (shift == 63 && *byte > 1))
            break;
        value |= (uint64_t)(*byte & 0x7f) << shift;
        if (*byte < 0x80)
            return value;
    }
    reader->bad = true;
    return 0;
}

static uint64_t codec_take_fixed(struct codec_reader *reader, size_t bytes)
{
    const unsigned char *little = codec_take(reader, bytes);
    uint64_t value = 0;

    for (size_t i = 0; little != NULL && i < bytes; i++)
        value |= (uint64_t)little[i] << (8 * i);
    return value;
}

static void codec_put_sum(struct codec_writer *writer)
{
    codec_put_fixed(writer, XXH3_64bits(writer->data, writer->used), CODEC_SUM_BYTES);
}

/* Checks the sum at the end and hides it from the reader. */
static bool codec_sum_fits(struct codec_reader *reader)
{
    struct codec_reader sum = *reader;

    if (reader->bytes < CODEC_SUM_BYTES)
        return false;
    reader->bytes -= CODEC_SUM_BYTES;
    sum.at = reader->bytes;
    return codec_take_fixed(&sum, CODEC_SUM_BYTES) == (XXH3_64bits(reader->data, reader->bytes) & UINT32_MAX);
}

/* ---- a mark ---- */
/* The last offset is written as its distance before next, 0 for none seen, which is a byte or two where next takes nine. */
static void codec_put_mark(struct codec_writer *writer, const struct sl_mark *mark, uint32_t incarnation)
{
    bool seen = mark->last_offset != UINT64_MAX;
    uint64_t time = (uint64_t)mark->last_unix_ms;

    assert(!seen || mark->last_offset < mark->next);
    codec_put_varint(writer, incarnation);
    codec_put_varint(writer, mark->next);
    codec_put_varint(writer, seen ? mark->next - mark->last_offset : 0);
    if (!seen)
        return;
    codec_put_fixed(writer, mark->last_hash, 8);
    codec_put_varint(writer, (time << 1) ^ (mark->last_unix_ms < 0 ? UINT64_MAX : 0));
}

static void codec_take_mark(struct codec_reader *reader, struct sl_mark *mark, uint32_t *incarnation)
{
    uint64_t number = codec_take_varint(reader), distance, time;

    *incarnation = (uint32_t)number;
    mark->next = codec_take_varint(reader);
    distance = codec_take_varint(reader);
    if (number > UINT32_MAX || distance > mark->next)
        reader->bad = true;
    mark->last_offset = UINT64_MAX;
    mark->last_hash = 0;
    mark->last_unix_ms = 0;
    if (reader->bad || distance == 0)
        return;
    mark->last_offset = mark->next - distance;
    mark->last_hash = codec_take_fixed(reader, 8);
    time = codec_take_varint(reader);
    mark->last_unix_ms = (int64_t)((time >> 1) ^ ((time & 1) != 0 ? UINT64_MAX : 0));
}

size_t sl_mark_print(const struct sl_mark *mark, uint32_t incarnation, char text[SL_MARK_BYTES])
{
    struct codec_writer writer = {(unsigned char *)text, 0, SL_MARK_BYTES, false};

    codec_put_fixed(&writer, 1, 1);
    codec_put_mark(&writer, mark, incarnation);
    codec_put_sum(&writer);
    assert(!writer.full);
    return writer.used;
}

int sl_mark_scan(struct sl_slice text, struct sl_mark *ret_mark, uint32_t *ret_incarnation)
{
    struct codec_reader reader = {(const unsigned char *)text.data, 0, text.bytes, false};
    struct sl_mark mark;
    uint32_t incarnation;

    if (!codec_sum_fits(&reader) || codec_take_fixed(&reader, 1) != 1)
        return -1;
    codec_take_mark(&reader, &mark, &incarnation);
    if (reader.bad || reader.at != reader.bytes)
        return -1;
    *ret_mark = mark;
    *ret_incarnation = incarnation;
    return 0;
}

/* ---- base64 (RFC 4648, no padding) ---- */
static const char codec_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static size_t codec_base64_print(const unsigned char *data, size_t bytes, char *text)
{
    size_t used = 0;

    for (size_t i = 0; i < bytes; i += 3) {
        size_t left = bytes - i;
        uint32_t three = (uint32_t)data[i] << 16 | (left > 1 ? (uint32_t)data[i + 1] << 8 : 0) |
                         (left > 2 ? (uint32_t)data[i + 2] : 0);

        for (size_t digit = 0; digit < (left > 2 ? 4 : left + 1); digit++)
            text[used++] = codec_digits[three >> (18 - 6 * digit) & 63];
    }
    return used;
}

static int codec_digit(char c)
{
    const char *found = c == '\0' ? NULL : strchr(codec_digits, c);

    return found == NULL ? -1 : (int)(found - codec_digits);
}

static int codec_base64_scan(const char *text, size_t bytes, unsigned char *data, size_t *ret_bytes)
{
    uint32_t bits = 0;
    unsigned held = 0;
    size_t used = 0;

    for (size_t i = 0; i < bytes; i++) {
        int digit = codec_digit(text[i]);

        if (digit < 0)
            return -1;
        bits = bits << 6 | (uint32_t)digit;
        held += 6;
        if (held >= 8) {
            held -= 8;
            data[used++] = (unsigned char)(bits >> held);
        }
    }
    *ret_bytes = used;
    return held < 6 && (bits & ((1u << held) - 1)) == 0 ? 0 : -1;
}

/* ---- metadata ---- */
size_t sl_marks_print(const struct sl_named_mark *rows, uint32_t count, char text[SL_MARK_METADATA_BYTES + 1],
                      uint32_t *ret_count)
{
    unsigned char raw[CODEC_RAW_BYTES];
    struct codec_writer writer = {raw, 0, sizeof(raw) - CODEC_SUM_BYTES, false};
    uint32_t written = 0;
    size_t used;

    for (; written < count && written < SL_MARK_ROWS; written++) {
        size_t before = writer.used, bytes = strlen(rows[written].sink);

        assert(bytes <= SL_MARK_SINK_BYTES);
        codec_put_varint(&writer, bytes);
        codec_put(&writer, rows[written].sink, bytes);
        codec_put_mark(&writer, &rows[written].mark, rows[written].incarnation);
        if (writer.full) {
            writer.used = before;
            break;
        }
    }
    writer.full = false;
    writer.capacity = sizeof(raw);
    codec_put_sum(&writer);
    memcpy(text, written == count ? "s1" : "s2", 2);
    used = 2 + codec_base64_print(raw, writer.used, text + 2);
    text[used] = '\0';
    *ret_count = written;
    return used;
}

static int codec_take_row(struct codec_reader *reader, struct sl_marks *marks, size_t *used)
{
    struct sl_named_mark *row = &marks->rows[marks->count];
    size_t bytes = codec_take_varint(reader);
    const unsigned char *name = bytes <= SL_MARK_SINK_BYTES ? codec_take(reader, bytes) : NULL;

    if (name == NULL || marks->count == SL_MARK_ROWS || memchr(name, 0, bytes) != NULL)
        return -1;
    memcpy(marks->names + *used, name, bytes);
    marks->names[*used + bytes] = '\0';
    row->sink = marks->names + *used;
    *used += bytes + 1;
    codec_take_mark(reader, &row->mark, &row->incarnation);
    marks->count++;
    return reader->bad ? -1 : 0;
}

int sl_marks_scan(struct sl_slice text, struct sl_marks *ret_marks)
{
    unsigned char raw[CODEC_RAW_BYTES + 3];
    struct codec_reader reader = {raw, 0, 0, false};
    size_t names = 0;

    ret_marks->count = 0;
    if (text.bytes < 2 || text.bytes > SL_MARK_METADATA_BYTES || text.data[0] != 's')
        return -1;
    if (text.data[1] != '1' && text.data[1] != '2')
        return -1;
    ret_marks->partial = text.data[1] == '2';
    if (codec_base64_scan(text.data + 2, text.bytes - 2, raw, &reader.bytes) != 0 || !codec_sum_fits(&reader))
        return -1;
    while (reader.at < reader.bytes) /* a row takes more raw bytes than its name takes in names */
        if (codec_take_row(&reader, ret_marks, &names) != 0) {
            ret_marks->count = 0;
            return -1;
        }
    return 0;
}

/* ---- keys ---- */
/* The names that a kind has, in order; `number` and `part` follow in a flush. Returns how many, 0 for an unknown kind. */
static uint32_t codec_key_names(struct sl_commit_key *key, const char **names[CODEC_FIELDS])
{
    uint32_t count = 0;

    names[count++] = &key->group;
    switch (key->kind) {
    case SL_KEY_MARK:
        names[count++] = &key->sink;
        names[count++] = &key->source;
        names[count++] = &key->topic;
        names[count++] = &key->id;
        return count;
    case SL_KEY_FLUSH:
        names[count++] = &key->sink;
        names[count++] = &key->node;
        return count;
    case SL_KEY_ZONE:
        names[count++] = &key->sink;
        return count;
    case SL_KEY_INCARNATION:
    case SL_KEY_SPLIT:
        names[count++] = &key->source;
        names[count++] = &key->topic;
        names[count++] = &key->id;
        return count;
    }
    return 0;
}

size_t sl_commit_key_print(const struct sl_commit_key *key, char text[SL_COMMIT_KEY_BYTES])
{
    struct codec_writer writer = {(unsigned char *)text, 0, SL_COMMIT_KEY_BYTES, false};
    struct sl_commit_key copy = *key;
    const char **names[CODEC_FIELDS];
    uint32_t count = codec_key_names(&copy, names);
    char number[40];

    assert(count > 0);
    codec_put_fixed(&writer, (uint64_t)key->kind, 1);
    for (uint32_t i = 0; i < count; i++) {
        codec_put(&writer, "", 1);
        codec_put(&writer, *names[i], strlen(*names[i]));
    }
    if (key->kind == SL_KEY_FLUSH) {
        assert(key->part < 100000);
        (void)snprintf(number, sizeof(number), "%020llu", (unsigned long long)key->number);
        codec_put(&writer, "", 1);
        codec_put(&writer, number, 20);
        (void)snprintf(number, sizeof(number), "%05u", (unsigned)key->part);
        codec_put(&writer, "", 1);
        codec_put(&writer, number, 5);
    }
    return writer.full ? 0 : writer.used;
}

/* Exactly `digits` decimal digits. */
static bool codec_number(const char *text, size_t digits, uint64_t *ret_number)
{
    uint64_t number = 0;

    if (strlen(text) != digits)
        return false;
    for (size_t i = 0; i < digits; i++) {
        if (text[i] < '0' || text[i] > '9' || __builtin_mul_overflow(number, 10u, &number) ||
            __builtin_add_overflow(number, (uint64_t)(text[i] - '0'), &number))
            return false;
    }
    *ret_number = number;
    return true;
}

/* The next NUL-led field of the key in memory, or NULL at its end. */
static const char *codec_field(char *memory, size_t bytes, size_t *at)
{
    const char *field;

    if (*at >= bytes || memory[*at] != '\0')
        return NULL;
    field = memory + *at + 1;
    *at += 1 + strlen(field);
    return field;
}

int sl_commit_key_scan(struct sl_slice text, char memory[SL_COMMIT_KEY_BYTES + 1], struct sl_commit_key *ret_key)
{
    struct sl_commit_key key = {0};
    const char **names[CODEC_FIELDS];
    size_t at = 1;
    uint32_t count;

    if (text.bytes == 0 || text.bytes > SL_COMMIT_KEY_BYTES)
        return -1;
    memcpy(memory, text.data, text.bytes);
    memory[text.bytes] = '\0';
    if (memory[0] == '\0' || strchr((const char[]){SL_KEY_MARK, SL_KEY_FLUSH, SL_KEY_ZONE, SL_KEY_INCARNATION, SL_KEY_SPLIT, 0}, memory[0]) == NULL)
        return -1;
    key.kind = (enum sl_commit_key_kind)memory[0];
    count = codec_key_names(&key, names);
    for (uint32_t i = 0; i < count; i++)
        if ((*names[i] = codec_field(memory, text.bytes, &at)) == NULL)
            return -1;
    if (key.kind == SL_KEY_FLUSH) {
        const char *number = codec_field(memory, text.bytes, &at), *part = codec_field(memory, text.bytes, &at);
        uint64_t part_number;

        if (number == NULL || part == NULL || !codec_number(number, 20, &key.number) || !codec_number(part, 5, &part_number))
            return -1;
        key.part = (uint32_t)part_number;
    }
    if (at != text.bytes)
        return -1;
    *ret_key = key;
    return 0;
}

int32_t sl_commit_partition(const char *group, uint32_t partitions)
{
    assert(partitions > 0 && partitions <= INT32_MAX);
    return (int32_t)(XXH3_64bits(group, strlen(group)) % partitions);
}
