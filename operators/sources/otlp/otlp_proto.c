/* otlp_proto.c: an ExportLogsServiceRequest in protobuf, unpacked message by message through protobuf-c.
 *
 * Memory: an arena for lists of messages, OTLP_LISTS times the body, and one for what a single record, resource or scope unpacks to,
 * emptied after each, OTLP_UNPACK times max_record: attributes of a few bytes are what grows most. More is refused.
 * SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "operators/sources/otlp/otlp.pb-c.h"
#include "operators/sources/otlp/otlp_record.h"
#include "runtime/base/base64.h"
#include "runtime/envelope/proto_arena.h"

enum { OTLP_UNPACK = 32, OTLP_UNPACK_LEAST = 4096, OTLP_LISTS = 8, OTLP_ARENA_FIRST = 64 << 10 };

struct proto_walk {
    struct sl_arena lists, scratch;
    struct otlp_records *records;
    struct otlp_context context;
    struct otlp_log log;
    char trace[64], span[64];
    bool deep; /* some value was nested too deep */
    struct sl_err *err;
};

/* Any of our messages; NULL with err. */
static void *proto_unpack(struct proto_walk *walk, struct sl_arena *arena, const ProtobufCMessageDescriptor *type, ProtobufCBinaryData bytes)
{
    struct sl_proto_arena proto;
    void *message;

    sl_proto_arena_init(&proto, arena, bytes.len * OTLP_UNPACK + OTLP_UNPACK_LEAST);
    message = protobuf_c_message_unpack(type, &proto.allocator, bytes.len, bytes.data);
    if (message != NULL)
        return message;
    if (proto.failed || proto.refused) /* the arenas' bounds are of the body's size too */
        (void)sl_fail(walk->err, SL_E_LIMIT, SL_REMEDY_DEADLETTER, 0, "the body has too many parts for its size: %s", type->short_name);
    else
        (void)otlp_malformed(walk->err, type->short_name);
    return NULL;
}

/* ---- values ---- */

static int proto_value(struct proto_walk *walk, struct sl_json_out *out, ProtobufCBinaryData bytes, int depth);

static void proto_double(struct sl_json_out *out, double value)
{
    if (isnan(value))
        sl_json_out_str(out, "NaN");
    else if (isinf(value))
        sl_json_out_str(out, value > 0 ? "Infinity" : "-Infinity");
    else
        sl_json_out_f64(out, value);
}

static void proto_base64(struct sl_json_out *out, ProtobufCBinaryData bytes)
{
    struct sl_buf text = {0};

    sl_base64_write(&text, (struct sl_slice){(const char *)bytes.data, (uint32_t)bytes.len});
    sl_json_out_str(out, sl_buf_str(&text));
    out->buf->failed |= text.failed;
    sl_buf_fini(&text);
}

static int proto_pairs(struct proto_walk *walk, struct sl_json_out *out, size_t count, const ProtobufCBinaryData *pairs, int depth)
{
    sl_json_out_object(out);
    for (size_t i = 0; i < count; i++) {
        const Sluice__Otlp__KeyValue *pair = proto_unpack(walk, &walk->scratch, &sluice__otlp__key_value__descriptor, pairs[i]);
        if (pair == NULL)
            return -1;
        sl_json_out_key_slice(out, sl_slice_of(pair->key));
        if (proto_value(walk, out, pair->value, depth) != 0)
            return -1;
    }
    sl_json_out_end_object(out);
    return 0;
}

static int proto_list(struct proto_walk *walk, struct sl_json_out *out, ProtobufCBinaryData bytes, int depth)
{
    const Sluice__Otlp__AnyValues *list = proto_unpack(walk, &walk->scratch, &sluice__otlp__any_values__descriptor, bytes);

    if (list == NULL)
        return -1;
    sl_json_out_array(out);
    for (size_t i = 0; i < list->n_values; i++)
        if (proto_value(walk, out, list->values[i], depth) != 0)
            return -1;
    sl_json_out_end_array(out);
    return 0;
}

static int proto_map(struct proto_walk *walk, struct sl_json_out *out, ProtobufCBinaryData bytes, int depth)
{
    const Sluice__Otlp__KeyValues *list = proto_unpack(walk, &walk->scratch, &sluice__otlp__key_values__descriptor, bytes);

    return list == NULL ? -1 : proto_pairs(walk, out, list->n_values, list->values, depth);
}

static int proto_scalar(struct sl_json_out *out, const Sluice__Otlp__AnyValue *value)
{
    if (value->value_case == SLUICE__OTLP__ANY_VALUE__VALUE_STRING_VALUE)
        sl_json_out_str(out, value->string_value);
    else if (value->value_case == SLUICE__OTLP__ANY_VALUE__VALUE_BOOL_VALUE)
        sl_json_out_bool(out, value->bool_value != 0);
    else if (value->value_case == SLUICE__OTLP__ANY_VALUE__VALUE_INT_VALUE)
        sl_json_out_i64(out, value->int_value);
    else if (value->value_case == SLUICE__OTLP__ANY_VALUE__VALUE_DOUBLE_VALUE)
        proto_double(out, value->double_value);
    else if (value->value_case == SLUICE__OTLP__ANY_VALUE__VALUE_BYTES_VALUE)
        proto_base64(out, value->bytes_value);
    else
        sl_json_out_null(out);
    return 0;
}

/* 0, or -1 with err. What is too deep becomes null and is remembered. */
static int proto_value(struct proto_walk *walk, struct sl_json_out *out, ProtobufCBinaryData bytes, int depth)
{
    const Sluice__Otlp__AnyValue *value = proto_unpack(walk, &walk->scratch, &sluice__otlp__any_value__descriptor, bytes);
    bool list, map;

    if (value == NULL)
        return -1;
    list = value->value_case == SLUICE__OTLP__ANY_VALUE__VALUE_ARRAY_VALUE;
    map = value->value_case == SLUICE__OTLP__ANY_VALUE__VALUE_KVLIST_VALUE;
    if ((list || map) && depth == OTLP_DEPTH) {
        walk->deep = true;
        sl_json_out_null(out);
        return 0;
    }
    if (list)
        return proto_list(walk, out, value->array_value, depth + 1);
    if (map)
        return proto_map(walk, out, value->kvlist_value, depth + 1);
    return proto_scalar(out, value);
}

/* A map of attributes as a text of its own; none: empty. */
static int proto_attributes(struct proto_walk *walk, struct sl_buf *buf, size_t count, const ProtobufCBinaryData *pairs)
{
    struct sl_json_out out;

    sl_buf_reset(buf);
    sl_json_out_init(&out, buf);
    return count == 0 ? 0 : proto_pairs(walk, &out, count, pairs, 0);
}

/* ---- records ---- */

static struct otlp_text proto_hex(ProtobufCBinaryData id, char *text, size_t room)
{
    static const char digits[] = "0123456789abcdef";
    size_t bytes = id.len * 2 < room ? id.len : room / 2;

    for (size_t i = 0; i < bytes; i++) {
        text[2 * i] = digits[id.data[i] >> 4];
        text[2 * i + 1] = digits[id.data[i] & 15];
    }
    return (struct otlp_text){{text, (uint32_t)(2 * bytes)}, false};
}

static int proto_log(struct proto_walk *walk, ProtobufCBinaryData bytes)
{
    const Sluice__Otlp__LogRecord *message;
    struct otlp_log *log = &walk->log;
    struct sl_json_out body;

    if (bytes.len > walk->records->max_record_bytes)
        return otlp_records_large(walk->records, walk->err);
    message = proto_unpack(walk, &walk->scratch, &sluice__otlp__log_record__descriptor, bytes);
    if (message == NULL)
        return -1;
    walk->deep = false;
    log->time_ns = message->time_unix_nano;
    log->observed_ns = message->observed_time_unix_nano;
    log->severity = (uint32_t)message->severity_number;
    log->flags = message->flags;
    log->dropped = message->dropped_attributes_count;
    log->severity_text = (struct otlp_text){sl_slice_of(message->severity_text), false};
    log->event_name = (struct otlp_text){sl_slice_of(message->event_name), false};
    log->trace_id = proto_hex(message->trace_id, walk->trace, sizeof(walk->trace));
    log->span_id = proto_hex(message->span_id, walk->span, sizeof(walk->span));
    sl_buf_reset(&log->body);
    sl_json_out_init(&body, &log->body);
    if (message->body.len > 0 && proto_value(walk, &body, message->body, 0) != 0)
        return -1;
    if (proto_attributes(walk, &log->attributes, message->n_attributes, message->attributes) != 0)
        return -1;
    log->deep = walk->deep;
    return otlp_records_add(walk->records, &walk->context, log, walk->err);
}

static int proto_scope(struct proto_walk *walk, ProtobufCBinaryData bytes)
{
    const Sluice__Otlp__InstrumentationScope *scope =
        proto_unpack(walk, &walk->scratch, &sluice__otlp__instrumentation_scope__descriptor, bytes);
    struct sl_json_out out;

    sl_buf_reset(&walk->context.scope);
    if (scope == NULL)
        return -1;
    if (bytes.len == 0)
        return 0;
    sl_json_out_init(&out, &walk->context.scope);
    sl_json_out_object(&out);
    otlp_text_write(&out, "name", (struct otlp_text){sl_slice_of(scope->name), false});
    otlp_text_write(&out, "version", (struct otlp_text){sl_slice_of(scope->version), false});
    if (scope->n_attributes > 0) {
        sl_json_out_key(&out, "attributes");
        if (proto_pairs(walk, &out, scope->n_attributes, scope->attributes, 1) != 0)
            return -1;
    }
    sl_json_out_end_object(&out);
    return 0;
}

/* The first string called service.name. */
static int proto_service(struct proto_walk *walk, const Sluice__Otlp__Resource *resource)
{
    sl_buf_reset(&walk->context.service);
    for (size_t i = 0; i < resource->n_attributes && walk->context.service.bytes == 0; i++) {
        const Sluice__Otlp__KeyValue *pair = proto_unpack(walk, &walk->scratch, &sluice__otlp__key_value__descriptor, resource->attributes[i]);
        const Sluice__Otlp__AnyValue *value;
        if (pair == NULL)
            return -1;
        if (strcmp(pair->key, "service.name") != 0)
            continue;
        value = proto_unpack(walk, &walk->scratch, &sluice__otlp__any_value__descriptor, pair->value);
        if (value == NULL)
            return -1;
        if (value->value_case == SLUICE__OTLP__ANY_VALUE__VALUE_STRING_VALUE && value->string_value[0] != '\0')
            sl_json_quote(&walk->context.service, sl_slice_of(value->string_value));
    }
    return 0;
}

static int proto_resource(struct proto_walk *walk, ProtobufCBinaryData bytes)
{
    const Sluice__Otlp__Resource *resource = proto_unpack(walk, &walk->scratch, &sluice__otlp__resource__descriptor, bytes);

    if (resource == NULL || proto_service(walk, resource) != 0)
        return -1;
    return proto_attributes(walk, &walk->context.resource, resource->n_attributes, resource->attributes);
}

static int proto_scope_logs(struct proto_walk *walk, ProtobufCBinaryData bytes)
{
    const Sluice__Otlp__ScopeLogs *logs = proto_unpack(walk, &walk->lists, &sluice__otlp__scope_logs__descriptor, bytes);
    int rc;

    walk->deep = false;
    rc = logs == NULL ? -1 : proto_scope(walk, logs->scope);
    walk->context.scope_deep = walk->deep;
    sl_arena_reset(&walk->scratch);
    for (size_t i = 0; rc == 0 && i < logs->n_log_records; i++) {
        rc = proto_log(walk, logs->log_records[i]);
        sl_arena_reset(&walk->scratch);
    }
    return rc;
}

static int proto_resource_logs(struct proto_walk *walk, ProtobufCBinaryData bytes)
{
    const Sluice__Otlp__ResourceLogs *logs = proto_unpack(walk, &walk->lists, &sluice__otlp__resource_logs__descriptor, bytes);
    int rc;

    walk->deep = false;
    rc = logs == NULL ? -1 : proto_resource(walk, logs->resource);
    walk->context.resource_deep = walk->deep;
    sl_arena_reset(&walk->scratch);
    for (size_t i = 0; rc == 0 && i < logs->n_scope_logs; i++)
        rc = proto_scope_logs(walk, logs->scope_logs[i]);
    return rc;
}

static int proto_request(struct proto_walk *walk, struct sl_slice body)
{
    ProtobufCBinaryData bytes = {body.bytes, (uint8_t *)(uintptr_t)body.data}; /* read only */
    const Sluice__Otlp__ExportLogsServiceRequest *request =
        proto_unpack(walk, &walk->lists, &sluice__otlp__export_logs_service_request__descriptor, bytes);
    int rc = request == NULL ? -1 : 0;

    for (size_t i = 0; rc == 0 && i < request->n_resource_logs; i++)
        rc = proto_resource_logs(walk, request->resource_logs[i]);
    return rc == 0 ? 0 : -(int)walk->err->code;
}

int otlp_read_proto(struct sl_slice body, struct otlp_records *records, struct sl_err *err)
{
    struct sl_err own;
    struct proto_walk walk = {.records = records, .err = err != NULL ? err : &own};
    size_t one = body.bytes < records->max_record_bytes ? body.bytes : (size_t)records->max_record_bytes;
    int rc;

    if (sl_arena_init(&walk.lists, OTLP_ARENA_FIRST, (size_t)body.bytes * OTLP_LISTS + (1 << 20)) != 0)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory for the body");
    if (sl_arena_init(&walk.scratch, OTLP_ARENA_FIRST, one * OTLP_UNPACK + (1 << 20)) != 0)
        rc = sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory for the body");
    else
        rc = proto_request(&walk, body);
    sl_arena_fini(&walk.lists);
    sl_arena_fini(&walk.scratch);
    sl_buf_fini(&walk.context.resource);
    sl_buf_fini(&walk.context.scope);
    sl_buf_fini(&walk.context.service);
    sl_buf_fini(&walk.log.body);
    sl_buf_fini(&walk.log.attributes);
    return rc;
}
