/* protobuf.c: format protobuf: each payload is one sluice.v1.Envelope (runtime/envelope/envelope.proto), as codec protobuf writes it.
 *
 * Fields: time (nanoseconds since 1970), host, service, level, trace_id, span_id, format, attributes.NAME, and body: where the
 * envelope's format is "json" and the body is JSON, that value (body.user.id), else its text. What is empty is absent. A map key
 * that comes twice: the first counts. Each envelope is written out as one JSON object, and the fields are read from that.
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "operators/stages/formats/format.h"
#include "runtime/base/json_out.h"
#include "runtime/envelope/envelope.h"

struct protobuf_format {
    struct sl_json_decoder *fields; /* of the JSON we made */
    struct sl_json_decoder *check;  /* of bodies that say they are JSON */
};

struct protobuf_work { /* arrays of the batch's count */
    struct sl_envelope *envelopes;
    struct sl_slice *bodies, *texts;
    uint8_t *verdict; /* of bodies: SL_JSON_FINE: embedded as it is */
    uint16_t *sel;    /* live rows */
    uint32_t sel_count;
};

static void protobuf_close(void *self)
{
    struct protobuf_format *format = self;

    if (format == NULL)
        return;
    (void)sl_json_decoder_free(format->fields);
    (void)sl_json_decoder_free(format->check);
    free(format);
}

static int protobuf_open(const struct sl_format_open *open, void **ret_self, struct sl_err *err)
{
    struct sl_json_projection fields = {open->fields, open->fields_count, false}, nothing = {NULL, 0, true};
    struct protobuf_format *format = calloc(1, sizeof(*format));
    int rc = format == NULL ? sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory for format protobuf") : 0;

    if (rc == 0)
        rc = sl_json_decoder_new(&fields, &format->fields, err);
    if (rc == 0)
        rc = sl_json_decoder_new(&nothing, &format->check, err);
    if (rc == 0)
        *ret_self = format;
    else
        protobuf_close(format);
    return rc;
}

/* ---- one envelope as JSON; `to` NULL only counts ---- */

struct protobuf_text {
    char *to;
    size_t at;
    bool more; /* a member stands before */
};

static void text_put(struct protobuf_text *text, const char *data, size_t bytes)
{
    if (text->to != NULL && bytes > 0)
        memcpy(text->to + text->at, data, bytes);
    text->at += bytes;
}

static void text_quote(struct protobuf_text *text, struct sl_slice value)
{
    text->at += sl_json_quote_to(value, text->to == NULL ? NULL : text->to + text->at);
}

static void text_key(struct protobuf_text *text, struct sl_slice key)
{
    if (text->more)
        text_put(text, ",", 1);
    text->more = true;
    text_quote(text, key);
    text_put(text, ":", 1);
}

static void text_member(struct protobuf_text *text, const char *key, struct sl_slice value)
{
    if (value.bytes == 0)
        return;
    text_key(text, sl_slice_of(key));
    text_quote(text, value);
}

static void text_time(struct protobuf_text *text, uint64_t unix_ns)
{
    char number[24];
    int bytes = snprintf(number, sizeof(number), "%llu", (unsigned long long)unix_ns);

    if (unix_ns == 0)
        return;
    text_key(text, sl_slice_of("time"));
    text_put(text, number, (size_t)bytes);
}

static void text_attributes(struct protobuf_text *text, const struct sl_envelope *envelope)
{
    if (envelope->attributes_count == 0)
        return;
    text_key(text, sl_slice_of("attributes"));
    text_put(text, "{", 1);
    text->more = false;
    for (uint32_t i = 0; i < envelope->attributes_count; i++) {
        text_key(text, envelope->attributes[i].name);
        text_quote(text, envelope->attributes[i].value);
    }
    text_put(text, "}", 1);
    text->more = true;
}

static size_t protobuf_write(const struct sl_envelope *envelope, bool embed, char *to)
{
    struct protobuf_text text = {.to = to};

    text_put(&text, "{", 1);
    text_time(&text, envelope->time_unix_ns);
    text_member(&text, "host", envelope->host);
    text_member(&text, "service", envelope->service);
    text_member(&text, "level", envelope->level);
    text_member(&text, "trace_id", envelope->trace_id);
    text_member(&text, "span_id", envelope->span_id);
    text_member(&text, "format", envelope->format);
    text_attributes(&text, envelope);
    if (embed) {
        text_key(&text, sl_slice_of("body"));
        text_put(&text, envelope->body.data, envelope->body.bytes);
    } else {
        text_member(&text, "body", envelope->body);
    }
    text_put(&text, "}", 1);
    return text.at;
}

/* ---- a batch ---- */

static int protobuf_work_init(struct protobuf_work *work, const struct sl_batch *records)
{
    size_t count = (size_t)records->count + 1;

    work->envelopes = sl_arena_alloc(records->arena, count * sizeof(*work->envelopes));
    work->bodies = sl_arena_alloc(records->arena, count * sizeof(*work->bodies));
    work->texts = sl_arena_alloc(records->arena, count * sizeof(*work->texts));
    work->verdict = sl_arena_alloc(records->arena, count);
    work->sel = sl_arena_alloc(records->arena, count * sizeof(*work->sel));
    work->sel_count = 0;
    return work->envelopes == NULL || work->bodies == NULL || work->texts == NULL || work->verdict == NULL || work->sel == NULL ? -1 : 0;
}

static int protobuf_unpack(const struct sl_format_batch *batch, struct protobuf_work *work)
{
    static const uint8_t reasons[] = {[SL_ENVELOPE_MALFORMED] = SL_FORMAT_PROTOBUF_SHAPE,
                                      [SL_ENVELOPE_UTF8] = SL_FORMAT_PROTOBUF_UTF8,
                                      [SL_ENVELOPE_LARGE] = SL_FORMAT_PROTOBUF_LARGE};
    const struct sl_view *view = batch->view;

    for (uint32_t i = 0; i < view->sel_count; i++) {
        uint16_t row = view->sel[i];
        struct sl_slice raw = view->batch->raw[row];
        enum sl_envelope_verdict verdict = sl_envelope_unpack(view->batch->arena, raw, &work->envelopes[row]);
        if (verdict == SL_ENVELOPE_BUDGET)
            return -1;
        if (raw.bytes == 0 || verdict != SL_ENVELOPE_FINE)
            sl_format_dead(batch, row, raw.bytes == 0 ? SL_FORMAT_EMPTY : reasons[verdict]);
        else
            work->sel[work->sel_count++] = row;
    }
    return 0;
}

/* A body that says it is JSON is proved to be one value of its own, before it becomes part of our text. */
static int protobuf_check(const struct protobuf_format *format, struct protobuf_work *work, struct sl_arena *arena)
{
    uint16_t *sel = sl_arena_alloc(arena, ((size_t)work->sel_count + 1) * sizeof(*sel));
    uint32_t count = 0;

    if (sel == NULL)
        return -1;
    for (uint32_t i = 0; i < work->sel_count; i++) {
        struct sl_envelope *envelope = &work->envelopes[work->sel[i]];
        work->verdict[work->sel[i]] = SL_JSON_EMPTY;
        if (!sl_slice_is(envelope->format, "json") || envelope->body.bytes == 0)
            continue;
        envelope->body = sl_arena_copy(arena, envelope->body); /* for the bytes that may be read behind it */
        if (envelope->body.data == NULL)
            return -1;
        work->bodies[work->sel[i]] = envelope->body;
        sel[count++] = work->sel[i];
    }
    return sl_json_decode(format->check, work->bodies, sel, count, NULL, work->verdict, arena);
}

static int protobuf_texts(struct protobuf_work *work, struct sl_arena *arena)
{
    for (uint32_t i = 0; i < work->sel_count; i++) {
        uint16_t row = work->sel[i];
        bool embed = work->verdict[row] == SL_JSON_FINE;
        size_t bytes = protobuf_write(&work->envelopes[row], embed, NULL);
        char *to = bytes > UINT32_MAX ? NULL : sl_arena_alloc(arena, bytes + SL_PAD);
        if (to == NULL)
            return -1;
        (void)protobuf_write(&work->envelopes[row], embed, to);
        memset(to + bytes, 0, SL_PAD);
        work->texts[row] = (struct sl_slice){to, (uint32_t)bytes};
    }
    return 0;
}

static int protobuf_decode(void *self, const struct sl_format_batch *batch)
{
    const struct protobuf_format *format = self;
    struct sl_arena *arena = batch->view->batch->arena;
    struct protobuf_work work;

    if (protobuf_work_init(&work, batch->view->batch) != 0 || protobuf_unpack(batch, &work) != 0 ||
        protobuf_check(format, &work, arena) != 0 || protobuf_texts(&work, arena) != 0 ||
        sl_json_decode(format->fields, work.texts, work.sel, work.sel_count, batch->columns, work.verdict, arena) != 0)
        return -1;
    for (uint32_t i = 0; i < work.sel_count; i++) {
        uint16_t row = work.sel[i];
        if (work.verdict[row] != SL_JSON_FINE) /* a body nested as deep as JSON may be is too deep inside ours */
            sl_format_dead(batch, row, work.verdict[row]);
        else if (batch->body != NULL)
            batch->body[row] = work.texts[row];
    }
    return 0;
}

const struct sl_format_kind sl_format_protobuf = {
    .name = "protobuf",
    .roles = {"time", "service", "level", "trace_id"},
    .open = protobuf_open,
    .decode = protobuf_decode,
    .close = protobuf_close,
};
