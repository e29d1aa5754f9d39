/* queue_codec.c: records of a sink's queue to bytes and back.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/engine/slot/queue_codec.h"

#include <string.h>

#include "runtime/base/intern.h"
#include "runtime/engine/slot.h"
#include "runtime/store/bytes.h"

enum { CODEC_VERSION = 1, CODEC_FIXED = 4 + 4 + 4 + 4 + 2 + 8 + 8 + 8 };
enum codec_flags {
    CODEC_NULL = 1,
    CODEC_JSON = 2,
    CODEC_MAY_BREAK = 4,
    CODEC_UNMARKED = 8,
    CODEC_RANDOMNESS = 16,
    CODEC_THRESHOLD = 32,
    CODEC_KEY = 64,
    CODEC_ORIGIN = 128
};

/* ---- writing: one walk that either counts or puts ---- */

struct codec_out {
    char *to; /* NULL: only count */
    size_t bytes;
};

static void codec_raw(struct codec_out *out, const void *data, size_t bytes)
{
    if (out->to != NULL && bytes > 0)
        memcpy(out->to + out->bytes, data, bytes);
    out->bytes += bytes;
}

static void codec_number(struct codec_out *out, uint64_t value, int bytes)
{
    char text[8];

    sl_put64(text, value);
    codec_raw(out, text, (size_t)bytes);
}

static void codec_text(struct codec_out *out, struct sl_slice text)
{
    codec_number(out, text.bytes, 4);
    codec_raw(out, text.data, text.bytes);
}

static struct sl_slice codec_key(const struct sl_batch *batch, uint32_t row)
{
    return batch->key != NULL ? batch->key[row] : (struct sl_slice){NULL, 0};
}

static struct sl_slice codec_origin(const struct sl_batch *batch, uint32_t row)
{
    return batch->origin != NULL ? batch->origin[row] : (struct sl_slice){NULL, 0};
}

static uint8_t codec_flags_of(const struct sl_view *view, const struct sl_item *item, bool unmarked)
{
    const struct sl_batch *batch = view->batch;
    uint32_t row = item->row;
    bool null = batch->null_payload != NULL && batch->null_payload[row] != 0 && item->body.bytes == 0;

    return (uint8_t)((null ? CODEC_NULL : 0) | (view->decoded->json ? CODEC_JSON : 0) | (batch->may_break ? CODEC_MAY_BREAK : 0) |
                     (unmarked ? CODEC_UNMARKED : 0) | (view->randomness != NULL ? CODEC_RANDOMNESS : 0) |
                     (view->threshold != NULL ? CODEC_THRESHOLD : 0) | (codec_key(batch, row).data != NULL ? CODEC_KEY : 0) |
                     (codec_origin(batch, row).data != NULL ? CODEC_ORIGIN : 0));
}

static void codec_headers(struct codec_out *out, const struct sl_batch *batch, uint32_t row)
{
    uint16_t count = batch->headers != NULL ? batch->headers_count[row] : 0;

    codec_number(out, count, 2);
    for (uint16_t i = 0; i < count; i++) {
        codec_text(out, batch->headers[row][i].name);
        codec_text(out, batch->headers[row][i].value);
    }
}

static void codec_path(struct codec_out *out, const struct sl_field_path *path)
{
    size_t bytes = 0;

    for (uint32_t i = 0; i < path->segments_count; i++)
        bytes += strlen(path->segments[i]) + 1;
    codec_number(out, bytes, 4);
    for (uint32_t i = 0; i < path->segments_count; i++)
        codec_raw(out, path->segments[i], strlen(path->segments[i]) + 1);
}

static void codec_columns(struct codec_out *out, const struct sl_queue_columns *columns, const struct sl_decoded *decoded, uint32_t row)
{
    size_t count_at = out->bytes;
    uint16_t count = 0;

    codec_number(out, 0, 2);
    for (uint32_t c = 0; c < columns->count; c++) {
        const struct sl_column *column = &decoded->columns[columns->columns[c]];
        if (columns->columns[c] >= decoded->columns_count || column->type == NULL || column->type[row] == SL_T_ABSENT)
            continue;
        codec_number(out, column->type[row], 1);
        codec_number(out, column->repeated != NULL ? column->repeated[row] : 0, 1);
        codec_path(out, &columns->paths[columns->columns[c]]);
        codec_text(out, column->value[row]);
        count++;
    }
    if (out->to != NULL) {
        out->to[count_at] = (char)(count & 0xff);
        out->to[count_at + 1] = (char)(count >> 8);
    }
}

static struct sl_slice codec_service(const struct sl_decoded *decoded, uint32_t row)
{
    return decoded->service != NULL && decoded->service[row] != SL_INTERN_NONE ? sl_intern_name(decoded->service[row])
                                                                              : (struct sl_slice){"", 0};
}

static void codec_row(struct codec_out *out, const struct sl_queue_columns *columns, const struct sl_view *view,
                      const struct sl_item *item, bool unmarked)
{
    const struct sl_batch *batch = view->batch;
    const struct sl_decoded *decoded = view->decoded;
    uint32_t row = item->row;
    uint8_t flags = codec_flags_of(view, item, unmarked);

    codec_number(out, CODEC_VERSION, 1);
    codec_number(out, flags, 1);
    codec_number(out, decoded->level != NULL ? decoded->level[row] : 0, 1);
    codec_number(out, 0, 1);
    codec_number(out, 0, 4); /* bytes before the body, put at the end */
    codec_number(out, (uint32_t)batch->partition->number, 4);
    codec_number(out, batch->partition->incarnation, 4);
    codec_number(out, batch->sub != NULL ? batch->sub[row] : 0, 2);
    codec_number(out, batch->offset[row], 8);
    codec_number(out, (uint64_t)batch->append_unix_ms[row], 8);
    codec_number(out, (uint64_t)(decoded->time_unix_ms != NULL ? decoded->time_unix_ms[row] : batch->append_unix_ms[row]), 8);
    if ((flags & CODEC_RANDOMNESS) != 0)
        codec_number(out, view->randomness[row], 8);
    if ((flags & CODEC_THRESHOLD) != 0)
        codec_number(out, view->threshold[row], 8);
    codec_text(out, sl_slice_of(batch->partition->source));
    codec_text(out, sl_slice_of(batch->partition->topic));
    codec_text(out, sl_slice_of(batch->partition->id));
    codec_text(out, codec_service(decoded, row));
    if ((flags & CODEC_KEY) != 0)
        codec_text(out, codec_key(batch, row));
    if ((flags & CODEC_ORIGIN) != 0)
        codec_text(out, codec_origin(batch, row));
    codec_headers(out, batch, row);
    codec_columns(out, columns, decoded, row);
    if (out->to != NULL)
        sl_put32(out->to + 4, (uint32_t)out->bytes);
    codec_raw(out, item->body.data, item->body.bytes);
}

size_t sl_queue_row_bytes(const struct sl_queue_columns *columns, const struct sl_view *view, const struct sl_item *item)
{
    struct codec_out out = {NULL, 0};

    codec_row(&out, columns, view, item, false);
    return out.bytes;
}

char *sl_queue_row_put(const struct sl_queue_columns *columns, const struct sl_view *view, const struct sl_item *item, bool unmarked,
                       char *to)
{
    struct codec_out out = {to, 0};

    codec_row(&out, columns, view, item, unmarked);
    return to + out.bytes;
}

/* ---- reading ---- */

struct codec_in {
    const char *at;
    size_t left;
    bool broken;
};

static const char *codec_take(struct codec_in *in, size_t bytes)
{
    const char *at = in->at;

    if (in->broken || bytes > in->left) {
        in->broken = true;
        return NULL;
    }
    in->at += bytes;
    in->left -= bytes;
    return at;
}

static uint64_t codec_get(struct codec_in *in, size_t bytes)
{
    const char *at = codec_take(in, bytes);
    uint64_t value = 0;

    for (size_t i = 0; at != NULL && i < bytes; i++)
        value |= (uint64_t)(unsigned char)at[i] << 8 * i;
    return value;
}

static struct sl_slice codec_get_text(struct codec_in *in)
{
    uint32_t bytes = (uint32_t)codec_get(in, 4);
    const char *at = codec_take(in, bytes);

    return (struct sl_slice){at, at != NULL ? bytes : 0};
}

/* Walks over `count` pairs behind an optional prefix each; the slice that they fill. */
static struct sl_slice codec_get_pairs(struct codec_in *in, uint16_t count, size_t prefix)
{
    const char *begin = in->at;

    for (uint16_t i = 0; i < count && !in->broken; i++) {
        (void)codec_take(in, prefix);
        (void)codec_get_text(in);
        (void)codec_get_text(in);
    }
    return (struct sl_slice){begin, in->broken ? 0 : (uint32_t)(in->at - begin)};
}

static void codec_get_flags(struct codec_in *in, uint8_t flags, struct sl_queue_row *row)
{
    row->null_payload = (flags & CODEC_NULL) != 0;
    row->json = (flags & CODEC_JSON) != 0;
    row->may_break = (flags & CODEC_MAY_BREAK) != 0;
    row->unmarked = (flags & CODEC_UNMARKED) != 0;
    row->has_randomness = (flags & CODEC_RANDOMNESS) != 0;
    row->has_threshold = (flags & CODEC_THRESHOLD) != 0;
    row->randomness = row->has_randomness ? codec_get(in, 8) : 0;
    row->threshold = row->has_threshold ? codec_get(in, 8) : 0;
    row->source = codec_get_text(in);
    row->topic = codec_get_text(in);
    row->id = codec_get_text(in);
    row->service = codec_get_text(in);
    if ((flags & CODEC_KEY) != 0)
        row->key = codec_get_text(in);
    if ((flags & CODEC_ORIGIN) != 0)
        row->origin = codec_get_text(in);
}

int sl_queue_row_get(struct sl_slice from, struct sl_queue_row *ret_row)
{
    struct codec_in in = {from.data, from.bytes, false};
    struct sl_queue_row row = {0};
    uint64_t version = codec_get(&in, 1);
    uint8_t flags = (uint8_t)codec_get(&in, 1);
    uint32_t before;

    row.level = (uint8_t)codec_get(&in, 1);
    (void)codec_get(&in, 1);
    before = (uint32_t)codec_get(&in, 4);
    if (in.broken || version != CODEC_VERSION || before < CODEC_FIXED || before > from.bytes || row.level >= SL_LEVELS)
        return -1;
    in.left = before - 8;
    row.number = (int32_t)(uint32_t)codec_get(&in, 4);
    row.incarnation = (uint32_t)codec_get(&in, 4);
    row.sub = (uint16_t)codec_get(&in, 2);
    row.offset = codec_get(&in, 8);
    row.append_unix_ms = (int64_t)codec_get(&in, 8);
    row.time_unix_ms = (int64_t)codec_get(&in, 8);
    codec_get_flags(&in, flags, &row);
    row.headers_count = (uint16_t)codec_get(&in, 2);
    row.headers = codec_get_pairs(&in, row.headers_count, 0);
    row.columns_count = (uint16_t)codec_get(&in, 2);
    row.columns = codec_get_pairs(&in, row.columns_count, 2);
    if (in.broken || in.left != 0)
        return -1;
    row.body = (struct sl_slice){from.data + before, from.bytes - before};
    *ret_row = row;
    return 0;
}

void sl_queue_row_headers(const struct sl_queue_row *row, struct sl_header *ret_headers)
{
    struct codec_in in = {row->headers.data, row->headers.bytes, false};

    for (uint16_t i = 0; i < row->headers_count; i++) {
        ret_headers[i].name = codec_get_text(&in);
        ret_headers[i].value = codec_get_text(&in);
    }
}

static bool codec_path_is(const struct sl_field_path *path, struct sl_slice text)
{
    size_t at = 0;

    for (uint32_t i = 0; i < path->segments_count; i++) {
        size_t bytes = strlen(path->segments[i]) + 1;
        if (bytes > text.bytes - at || memcmp(text.data + at, path->segments[i], bytes) != 0)
            return false;
        at += bytes;
    }
    return at == text.bytes;
}

void sl_queue_row_columns(const struct sl_queue_row *row, const struct sl_queue_columns *columns, struct sl_column *to, uint32_t index)
{
    struct codec_in in = {row->columns.data, row->columns.bytes, false};

    for (uint16_t i = 0; i < row->columns_count; i++) {
        uint8_t type = (uint8_t)codec_get(&in, 1), repeated = (uint8_t)codec_get(&in, 1);
        struct sl_slice path = codec_get_text(&in), value = codec_get_text(&in);
        for (uint32_t c = 0; c < columns->count && type <= SL_T_ARRAY; c++) {
            struct sl_column *column = &to[columns->columns[c]];
            if (!codec_path_is(&columns->paths[columns->columns[c]], path))
                continue;
            column->type[index] = type;
            column->repeated[index] = repeated;
            column->value[index] = value;
        }
    }
}
