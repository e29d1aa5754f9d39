/* encode.c: bodies by a sink's `encoding`. Values come from the view's columns and roles, a whole record from its text and edits.
 *
 * A value of a JSON record is copied as the token that stands there; one of a foreign record is quoted.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/engine/encode.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "runtime/base/json_out.h"
#include "runtime/config/encoding.h"
#include "runtime/engine/encode_value.h"
#include "runtime/engine/rewrite.h"
#include "runtime/envelope/envelope.h"

enum { ENCODE_MAGIC = 0x656e636f, ENCODE_BLOCK_BYTES = 64 << 10, ENCODE_NO_COLUMN = -1 };

/* Bytes into the arena: one record after the other in blocks; a record that outgrows its block moves to a larger one. */
struct encode_out {
    struct sl_arena *arena;
    char *begin, *at, *end; /* of this record; of the block, without the SL_PAD behind it */
    bool failed;
};

struct sl_encoder {
    uint32_t magic;
    const struct sl_encoding *encoding;
    int *columns;                 /* [fields_count]: of payload fields, or ENCODE_NO_COLUMN */
    int host_column, span_column; /* protobuf */
    struct sl_envelope_attribute *attributes; /* [fields_count], protobuf */
    struct sl_rewriter *rewriter; /* or NULL: whole records need none */
    struct encode_out out;
};

/* ---- out ---- */

static char *out_room(struct encode_out *out, size_t bytes)
{
    size_t have = (size_t)(out->at - out->begin), block = 2 * (have + bytes);
    char *moved;

    if (out->failed || (size_t)(out->end - out->at) >= bytes)
        return out->failed ? NULL : out->at;
    if (block < ENCODE_BLOCK_BYTES)
        block = ENCODE_BLOCK_BYTES;
    moved = sl_arena_alloc(out->arena, block + SL_PAD);
    if (moved == NULL) {
        out->failed = true;
        return NULL;
    }
    if (have > 0)
        memcpy(moved, out->begin, have);
    out->begin = moved;
    out->at = moved + have;
    out->end = moved + block;
    return out->at;
}

static void out_put(struct encode_out *out, struct sl_slice text)
{
    char *to = out_room(out, text.bytes);

    if (to == NULL || text.bytes == 0)
        return;
    memcpy(to, text.data, text.bytes);
    out->at += text.bytes;
}

static void out_char(struct encode_out *out, char c)
{
    char *to = out_room(out, 1);

    if (to == NULL)
        return;
    *to = c;
    out->at++;
}

static void out_quote(struct encode_out *out, struct sl_slice text)
{
    size_t bytes = sl_json_quote_to(text, NULL);
    char *to = out_room(out, bytes);

    if (to != NULL)
        out->at += sl_json_quote_to(text, to);
}

static void out_blank_lines(struct encode_out *out)
{
    for (char *at = out->begin; at < out->at; at++)
        if (*at == '\n' || *at == '\r')
            *at = ' ';
}

/* The record that was begun; the next one begins behind it. */
static struct sl_slice out_take(struct encode_out *out)
{
    struct sl_slice body = {out->begin, (uint32_t)(out->at - out->begin)};

    if (out->failed || out_room(out, 1) == NULL) /* an empty body has a place too */
        return (struct sl_slice){NULL, 0};
    body.data = out->begin;
    out->begin = out->at;
    return body;
}

/* ---- codecs ---- */

static void encode_json(struct sl_encoder *encoder, const struct sl_view *view, uint32_t row)
{
    struct encode_out *out = &encoder->out;
    char between = '{';

    for (uint32_t i = 0; i < encoder->encoding->fields_count; i++) {
        struct sl_encode_value value;
        sl_encode_value(&encoder->encoding->fields[i], encoder->columns[i], view, row, &value);
        if (value.type == SL_T_ABSENT)
            continue;
        out_char(out, between);
        between = ',';
        out_put(out, encoder->encoding->fields[i].lead);
        if (value.token.data != NULL)
            out_put(out, value.token);
        else
            out_quote(out, value.text);
    }
    if (between == '{')
        out_char(out, '{');
    out_char(out, '}');
}

static void encode_text(struct sl_encoder *encoder, const struct sl_view *view, uint32_t row)
{
    for (uint32_t i = 0; i < encoder->encoding->fields_count; i++) {
        struct sl_encode_value value;
        sl_encode_value(&encoder->encoding->fields[i], encoder->columns[i], view, row, &value);
        out_put(&encoder->out, encoder->encoding->fields[i].lead);
        if (value.type > SL_T_NULL)
            out_put(&encoder->out, value.text);
    }
    out_put(&encoder->out, encoder->encoding->tail);
}

/* RFC 4180, 2.5 to 2.7. */
static void encode_cell(struct encode_out *out, struct sl_slice text)
{
    bool quote = false;

    for (uint32_t i = 0; i < text.bytes && !quote; i++)
        quote = text.data[i] == ',' || text.data[i] == '"' || text.data[i] == '\r' || text.data[i] == '\n';
    if (!quote) {
        out_put(out, text);
        return;
    }
    out_char(out, '"');
    for (uint32_t from = 0; from < text.bytes;) {
        const char *end = memchr(text.data + from, '"', text.bytes - from);
        uint32_t bytes = end == NULL ? text.bytes - from : (uint32_t)(end - text.data) + 1 - from;
        out_put(out, (struct sl_slice){text.data + from, bytes});
        if (end != NULL)
            out_char(out, '"');
        from += bytes;
    }
    out_char(out, '"');
}

static void encode_csv(struct sl_encoder *encoder, const struct sl_view *view, uint32_t row)
{
    struct encode_out *out = &encoder->out;

    for (uint32_t i = 0; i < encoder->encoding->fields_count; i++) {
        struct sl_encode_value value;
        sl_encode_value(&encoder->encoding->fields[i], encoder->columns[i], view, row, &value);
        if (i > 0)
            out_char(out, ',');
        if (value.type > SL_T_NULL)
            encode_cell(out, value.text);
    }
    if (out->at == out->begin) /* one empty cell: an empty line would be no record at all */
        out_put(out, sl_slice_of("\"\""));
}

/* Attributes' texts that lie in a value's scratch are copied. */
static uint32_t encode_attributes(struct sl_encoder *encoder, const struct sl_view *view, uint32_t row)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < encoder->encoding->fields_count; i++) {
        struct sl_encode_value value;
        sl_encode_value(&encoder->encoding->fields[i], encoder->columns[i], view, row, &value);
        if (value.type <= SL_T_NULL)
            continue;
        if (value.text.data == value.scratch)
            value.text = sl_arena_copy(encoder->out.arena, value.text);
        if (value.text.data == NULL)
            encoder->out.failed = true;
        encoder->attributes[count++] = (struct sl_envelope_attribute){sl_slice_of(encoder->encoding->fields[i].out), value.text};
    }
    return count;
}

static struct sl_slice encode_protobuf(struct sl_encoder *encoder, const struct sl_view *view, uint32_t row, uint32_t *cursor)
{
    const struct sl_decoded *decoded = view->decoded;
    struct sl_envelope envelope = {.body = sl_view_body(view, row, cursor), .attributes = encoder->attributes};
    struct sl_slice packed;

    envelope.time_unix_ns = decoded->time_unix_ms[row] < 0 ? 0 : (uint64_t)decoded->time_unix_ms[row] * 1000000;
    envelope.host = sl_encode_column(view, row, encoder->host_column);
    envelope.service = sl_encode_service(decoded, row);
    envelope.level = sl_encode_level(decoded, row);
    envelope.trace_id = sl_encode_column(view, row, decoded->trace);
    envelope.span_id = sl_encode_column(view, row, encoder->span_column);
    envelope.format = sl_slice_of(decoded->json ? "json" : "");
    envelope.attributes_count = encode_attributes(encoder, view, row);
    if (encoder->out.failed || envelope.body.data == NULL || sl_envelope_pack(encoder->out.arena, &envelope, &packed) != 0)
        return (struct sl_slice){NULL, 0};
    return packed;
}

/* ---- the encoder ---- */

static int encoder_column(struct sl_names *names, const char *const *key, int *ret_column, struct sl_err *err)
{
    struct sl_name name = {.kind = SL_NAME_PATH, .path = {key, 1}};

    *ret_column = names->column(names, &name, err);
    return *ret_column < 0 ? *ret_column : 0;
}

static int encoder_columns(struct sl_encoder *encoder, struct sl_names *names, struct sl_err *err)
{
    const struct sl_encoding *encoding = encoder->encoding;
    static const char *const host_key = "host", *const span_key = "span_id";
    bool whole = encoding->codec == SL_CODEC_PROTOBUF || (encoding->codec == SL_CODEC_JSON && encoding->fields_count == 0);
    int rc = 0;

    encoder->host_column = encoder->span_column = ENCODE_NO_COLUMN;
    for (uint32_t i = 0; rc == 0 && i < encoding->fields_count; i++) {
        encoder->columns[i] = ENCODE_NO_COLUMN;
        if (encoding->fields[i].name.kind != SL_NAME_PATH)
            continue;
        encoder->columns[i] = names->column(names, &encoding->fields[i].name, err);
        rc = encoder->columns[i] < 0 ? encoder->columns[i] : 0;
    }
    if (rc == 0 && encoding->codec == SL_CODEC_PROTOBUF)
        rc = encoder_column(names, &host_key, &encoder->host_column, err);
    if (rc == 0 && encoding->codec == SL_CODEC_PROTOBUF)
        rc = encoder_column(names, &span_key, &encoder->span_column, err);
    if (rc == 0 && whole && names->whole != NULL)
        names->whole(names);
    return rc;
}

int sl_encoder_new(const struct sl_encoding *encoding, struct sl_names *names, struct sl_encoder **ret_encoder, struct sl_err *err)
{
    struct sl_encoder *encoder = calloc(1, sizeof(*encoder));
    size_t fields = (size_t)encoding->fields_count + 1;
    int rc;

    if (encoder != NULL) {
        *encoder = (struct sl_encoder){.magic = ENCODE_MAGIC, .encoding = encoding,
                                       .columns = calloc(fields, sizeof(*encoder->columns)),
                                       .attributes = calloc(fields, sizeof(*encoder->attributes))};
    }
    if (encoder == NULL || encoder->columns == NULL || encoder->attributes == NULL)
        rc = sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory for an encoder");
    else
        rc = encoder_columns(encoder, names, err);
    if (rc != 0) {
        (void)sl_encoder_free(encoder);
        return rc;
    }
    *ret_encoder = encoder;
    return 0;
}

int sl_encoder_ready(struct sl_encoder *encoder, const uint32_t *columns, uint32_t count, struct sl_names *names, struct sl_err *err)
{
    assert(encoder->magic == ENCODE_MAGIC);
    if (encoder->encoding->fields_count == 0)
        return 0;
    return sl_rewriter_new(columns, count, names, &encoder->rewriter, err);
}

struct sl_encoder *sl_encoder_free(struct sl_encoder *encoder)
{
    if (encoder == NULL)
        return NULL;
    assert(encoder->magic == ENCODE_MAGIC);
    if (encoder->rewriter != NULL)
        encoder->rewriter = sl_rewriter_free(encoder->rewriter);
    free(encoder->columns);
    free(encoder->attributes);
    memset(encoder, 0, sizeof(*encoder));
    free(encoder);
    return NULL;
}

int sl_encoder_settle(struct sl_encoder *encoder, struct sl_view *view, struct sl_err *err)
{
    if (encoder->rewriter == NULL || view->edits_count == 0)
        return 0;
    return sl_rewrite_settle(encoder->rewriter, view, err);
}

void sl_encoder_begin(struct sl_encoder *encoder, struct sl_arena *arena)
{
    encoder->out = (struct encode_out){.arena = arena};
}

struct sl_slice sl_encode(struct sl_encoder *encoder, const struct sl_view *view, uint32_t row, uint32_t *cursor)
{
    assert(encoder->magic == ENCODE_MAGIC && encoder->out.arena != NULL);
    switch (encoder->encoding->codec) {
    case SL_CODEC_JSON:
        if (encoder->encoding->fields_count == 0)
            return sl_view_body(view, row, cursor); /* as it is: a sink that writes lines blanks what stands between tokens */
        encode_json(encoder, view, row);
        break;
    case SL_CODEC_TEXT:
        encode_text(encoder, view, row);
        break;
    case SL_CODEC_CSV:
        encode_csv(encoder, view, row);
        break;
    case SL_CODEC_PROTOBUF:
        return encode_protobuf(encoder, view, row, cursor);
    case SL_CODEC_RAW:
        assert(!"raw needs no encoder");
    }
    if (encoder->encoding->lines && !encoder->out.failed)
        out_blank_lines(&encoder->out);
    return out_take(&encoder->out);
}
