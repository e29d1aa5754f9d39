/* envelope.c: the log envelope, through protobuf-c.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/envelope/envelope.h"

#include "runtime/envelope/envelope.pb-c.h"
#include "runtime/base/utf8.h"
#include "runtime/envelope/proto_arena.h"

enum { ENVELOPE_GROWTH = 16, ENVELOPE_LEAST_BYTES = 4096 };

/* Bytes of the character that begins there; 0: none does. */
static uint32_t envelope_character(struct sl_slice text)
{
    for (uint32_t bytes = 1; bytes <= 4 && bytes <= text.bytes; bytes++)
        if (sl_utf8_valid((struct sl_slice){text.data, bytes}))
            return bytes;
    return 0;
}

static size_t envelope_repair(struct sl_slice text, char *to)
{
    size_t at = 0;

    while (text.bytes > 0) {
        uint32_t sound = envelope_character(text), step = sound > 0 ? sound : 1;
        memcpy(to + at, sound > 0 ? text.data : "\xEF\xBF\xBD", sound > 0 ? sound : 3);
        at += sound > 0 ? sound : 3;
        text.data += step;
        text.bytes -= step;
    }
    return at;
}

/* NUL-terminated and valid UTF-8, as protobuf-c wants texts; it measures them by strlen, so that a NUL inside becomes a blank.
 * NULL: over budget. */
static char *envelope_text(struct sl_arena *arena, struct sl_slice text)
{
    bool valid = sl_utf8_valid(text);
    char *copy = sl_arena_alloc(arena, (valid ? 1 : 3) * (size_t)text.bytes + 1);
    size_t bytes = text.bytes;

    if (copy == NULL)
        return NULL;
    if (!valid)
        bytes = envelope_repair(text, copy);
    else if (bytes > 0)
        memcpy(copy, text.data, bytes);
    copy[bytes] = '\0';
    for (char *nul = copy; (nul = memchr(nul, '\0', bytes - (size_t)(nul - copy))) != NULL;)
        *nul = ' ';
    return copy;
}

static int envelope_attributes(struct sl_arena *arena, const struct sl_envelope *envelope, Sluice__V1__Envelope *message)
{
    uint32_t count = envelope->attributes_count;
    Sluice__V1__Envelope__AttributesEntry *entries = sl_arena_alloc(arena, (count + 1) * sizeof(*entries));

    message->attributes = sl_arena_alloc(arena, (count + 1) * sizeof(Sluice__V1__Envelope__AttributesEntry *));
    message->n_attributes = count;
    if (entries == NULL || message->attributes == NULL)
        return -1;
    for (uint32_t i = 0; i < count; i++) {
        sluice__v1__envelope__attributes_entry__init(&entries[i]);
        entries[i].key = envelope_text(arena, envelope->attributes[i].name);
        entries[i].value = envelope_text(arena, envelope->attributes[i].value);
        message->attributes[i] = &entries[i];
        if (entries[i].key == NULL || entries[i].value == NULL)
            return -1;
    }
    return 0;
}

int sl_envelope_pack(struct sl_arena *arena, const struct sl_envelope *envelope, struct sl_slice *ret_bytes)
{
    Sluice__V1__Envelope message = SLUICE__V1__ENVELOPE__INIT;
    const struct sl_slice *const texts[] = {&envelope->host,     &envelope->service, &envelope->level,
                                            &envelope->trace_id, &envelope->span_id, &envelope->format};
    char **const places[] = {&message.host, &message.service, &message.level, &message.trace_id, &message.span_id, &message.format};
    size_t bytes;
    char *packed;

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (texts[i]->bytes > 0 && (*places[i] = envelope_text(arena, *texts[i])) == NULL)
            return -1;
    message.time_unix_ns = envelope->time_unix_ns;
    message.body.data = (uint8_t *)(uintptr_t)envelope->body.data; /* read only */
    message.body.len = envelope->body.bytes;
    if (envelope_attributes(arena, envelope, &message) != 0)
        return -1;
    bytes = sluice__v1__envelope__get_packed_size(&message);
    packed = sl_arena_alloc(arena, bytes + SL_PAD);
    if (packed == NULL)
        return -1;
    (void)sluice__v1__envelope__pack(&message, (uint8_t *)packed);
    memset(packed + bytes, 0, SL_PAD);
    *ret_bytes = (struct sl_slice){packed, (uint32_t)bytes};
    return 0;
}

static bool envelope_valid(const Sluice__V1__Envelope *message)
{
    const char *const texts[] = {message->host, message->service, message->level, message->trace_id, message->span_id, message->format};

    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        if (!sl_utf8_valid(sl_slice_of(texts[i])))
            return false;
    for (size_t i = 0; i < message->n_attributes; i++)
        if (!sl_utf8_valid(sl_slice_of(message->attributes[i]->key)) || !sl_utf8_valid(sl_slice_of(message->attributes[i]->value)))
            return false;
    return true;
}

enum sl_envelope_verdict sl_envelope_unpack(struct sl_arena *arena, struct sl_slice bytes, struct sl_envelope *ret_envelope)
{
    struct sl_proto_arena proto;
    Sluice__V1__Envelope *message;
    struct sl_envelope_attribute *attributes;

    sl_proto_arena_init(&proto, arena, (size_t)bytes.bytes * ENVELOPE_GROWTH + ENVELOPE_LEAST_BYTES);
    message = sluice__v1__envelope__unpack(&proto.allocator, bytes.bytes, (const uint8_t *)bytes.data);
    if (message == NULL)
        return proto.failed ? SL_ENVELOPE_BUDGET : proto.refused ? SL_ENVELOPE_LARGE : SL_ENVELOPE_MALFORMED;
    if (!envelope_valid(message))
        return SL_ENVELOPE_UTF8;
    attributes = sl_arena_alloc(arena, (message->n_attributes + 1) * sizeof(*attributes));
    if (attributes == NULL)
        return SL_ENVELOPE_BUDGET;
    for (size_t i = 0; i < message->n_attributes; i++)
        attributes[i] = (struct sl_envelope_attribute){sl_slice_of(message->attributes[i]->key), sl_slice_of(message->attributes[i]->value)};
    *ret_envelope = (struct sl_envelope){.time_unix_ns = message->time_unix_ns,
                                         .host = sl_slice_of(message->host),
                                         .service = sl_slice_of(message->service),
                                         .level = sl_slice_of(message->level),
                                         .trace_id = sl_slice_of(message->trace_id),
                                         .span_id = sl_slice_of(message->span_id),
                                         .format = sl_slice_of(message->format),
                                         .body = {(const char *)message->body.data, (uint32_t)message->body.len},
                                         .attributes = attributes,
                                         .attributes_count = (uint32_t)message->n_attributes};
    return SL_ENVELOPE_FINE;
}
