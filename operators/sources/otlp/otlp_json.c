/* otlp_json.c: an ExportLogsServiceRequest in JSON: protobuf's JSON mapping with OTLP's changes (ids in hex, enums as numbers).
 *
 * The whole body is first proved to be RFC 8259 JSON; then it is walked: members and items by skipping over their values, each level
 * once more. Names in lowerCamelCase, and as in the .proto; unknown ones are ignored. Strings are taken as the tokens they are.
 * SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdlib.h>

#include "operators/sources/otlp/otlp_record.h"
#include "runtime/json/json.h"
#include "runtime/json/json_text.h"

struct json_walk {
    struct otlp_records *records;
    struct otlp_context context;
    struct otlp_log log;
    bool deep;
    struct sl_err *err;
};

/* ---- tokens of valid JSON ---- */

struct json_cursor {
    const char *at, *end;
};

static void cursor_blanks(struct json_cursor *cursor)
{
    while (cursor->at < cursor->end && (*cursor->at == ' ' || *cursor->at == '\t' || *cursor->at == '\n' || *cursor->at == '\r'))
        cursor->at++;
}

static void cursor_string(struct json_cursor *cursor)
{
    for (cursor->at++; cursor->at < cursor->end && *cursor->at != '"'; cursor->at++)
        cursor->at += *cursor->at == '\\';
    cursor->at++;
}

static void cursor_nested(struct json_cursor *cursor)
{
    uint32_t depth = 0;

    do {
        char c = *cursor->at;
        if (c == '"') {
            cursor_string(cursor);
            continue;
        }
        depth += c == '{' || c == '[';
        depth -= c == '}' || c == ']';
        cursor->at++;
    } while (depth > 0 && cursor->at < cursor->end);
}

static struct sl_slice cursor_value(struct json_cursor *cursor)
{
    const char *begin;

    cursor_blanks(cursor);
    begin = cursor->at;
    if (begin < cursor->end && *begin == '"')
        cursor_string(cursor);
    else if (begin < cursor->end && (*begin == '{' || *begin == '['))
        cursor_nested(cursor);
    else
        while (cursor->at < cursor->end && strchr(",:]} \t\r\n", *cursor->at) == NULL)
            cursor->at++;
    if (cursor->at > cursor->end)
        cursor->at = cursor->end;
    return (struct sl_slice){begin, (uint32_t)(cursor->at - begin)};
}

/* At the first member or item of a value of that kind; false: it is none. */
static bool cursor_open(struct json_cursor *cursor, struct sl_slice value, char kind)
{
    if (value.bytes < 2 || value.data[0] != kind)
        return false;
    *cursor = (struct json_cursor){value.data + 1, value.data + value.bytes - 1};
    return true;
}

/* False: no more. */
static bool cursor_item(struct json_cursor *cursor, struct sl_slice *ret_value)
{
    cursor_blanks(cursor);
    if (cursor->at >= cursor->end)
        return false;
    *ret_value = cursor_value(cursor);
    cursor_blanks(cursor);
    cursor->at += cursor->at < cursor->end; /* the comma */
    return true;
}

static bool cursor_member(struct json_cursor *cursor, struct sl_slice *ret_key, struct sl_slice *ret_value)
{
    cursor_blanks(cursor);
    if (cursor->at >= cursor->end)
        return false;
    *ret_key = cursor_value(cursor);
    cursor_blanks(cursor);
    cursor->at += cursor->at < cursor->end; /* the colon */
    *ret_value = cursor_value(cursor);
    cursor_blanks(cursor);
    cursor->at += cursor->at < cursor->end;
    return true;
}

static bool value_is(struct sl_slice value, char kind)
{
    return value.bytes > 0 && value.data[0] == kind;
}

static bool value_is_null(struct sl_slice value)
{
    return sl_slice_is(value, "null");
}

static struct sl_slice value_inside(struct sl_slice token)
{
    return (struct sl_slice){token.data + 1, token.bytes - 2};
}

/* ---- members by name ---- */

struct json_member {
    const char *camel, *snake;
    struct sl_slice *value; /* bytes 0: not there; null counts as not there; the first counts */
};

static bool members_read(struct sl_slice object, const struct json_member *members, uint32_t count)
{
    struct json_cursor cursor;
    struct sl_slice key, value;

    if (!cursor_open(&cursor, object, '{'))
        return false;
    while (cursor_member(&cursor, &key, &value)) {
        struct sl_slice name = value_inside(key);
        for (uint32_t i = 0; i < count; i++)
            if (members[i].value->bytes == 0 && !value_is_null(value) &&
                (sl_slice_is(name, members[i].camel) || sl_slice_is(name, members[i].snake)))
                *members[i].value = value;
    }
    return true;
}

#define COUNT(array) (uint32_t)(sizeof(array) / sizeof((array)[0]))

/* ---- numbers and texts ---- */

static int json_malformed(struct json_walk *walk, const char *what)
{
    return otlp_malformed(walk->err, what);
}

/* Integers are numbers or strings of digits. bytes 0: 0. */
static int json_integer(struct json_walk *walk, struct sl_slice value, uint64_t most, uint64_t *ret_number, const char *what)
{
    struct sl_slice digits = value_is(value, '"') ? value_inside(value) : value;
    uint64_t number = 0;

    if (value.bytes == 0)
        return 0;
    for (uint32_t i = 0; i < digits.bytes; i++) {
        if (digits.data[i] < '0' || digits.data[i] > '9' || number > (UINT64_MAX - 9) / 10)
            return json_malformed(walk, what);
        number = number * 10 + (uint64_t)(digits.data[i] - '0');
    }
    if (digits.bytes == 0 || number > most)
        return json_malformed(walk, what);
    *ret_number = number;
    return 0;
}

/* The digits of a 64-bit integer, signed, as a number. */
static bool json_digits(struct sl_slice value, struct sl_slice *ret_digits)
{
    struct sl_slice digits = value_is(value, '"') ? value_inside(value) : value;

    if (digits.bytes == 0 || digits.bytes > 20 || !sl_json_is_number(digits))
        return false;
    for (uint32_t i = 0; i < digits.bytes; i++)
        if (digits.data[i] == '.' || digits.data[i] == 'e' || digits.data[i] == 'E')
            return false;
    *ret_digits = digits;
    return true;
}

static int json_string(struct json_walk *walk, struct sl_slice value, struct otlp_text *ret_text, const char *what)
{
    *ret_text = (struct otlp_text){{NULL, 0}, true};
    if (value.bytes == 0)
        return 0;
    if (!value_is(value, '"'))
        return json_malformed(walk, what);
    if (value.bytes > 2)
        ret_text->text = value;
    return 0;
}

/* ---- values ---- */

static int json_value(struct json_walk *walk, struct sl_json_out *out, struct sl_slice value, int depth);

static int json_pairs(struct json_walk *walk, struct sl_json_out *out, struct sl_slice list, int depth)
{
    struct json_cursor cursor;
    struct sl_slice item;

    if (!cursor_open(&cursor, list, '['))
        return json_malformed(walk, "KeyValue: the list is none");
    sl_json_out_object(out);
    while (cursor_item(&cursor, &item)) {
        struct sl_slice key = {NULL, 0}, value = {NULL, 0};
        const struct json_member members[] = {{"key", "key", &key}, {"value", "value", &value}};
        if (!members_read(item, members, COUNT(members)) || (key.bytes > 0 && !value_is(key, '"')))
            return json_malformed(walk, "KeyValue");
        sl_json_out_key_token(out, key.bytes > 0 ? key : sl_slice_of("\"\""));
        if (json_value(walk, out, value, depth) != 0)
            return -1;
    }
    sl_json_out_end_object(out);
    return 0;
}

static int json_list(struct json_walk *walk, struct sl_json_out *out, struct sl_slice list, int depth)
{
    struct json_cursor cursor;
    struct sl_slice item;

    if (!cursor_open(&cursor, list, '['))
        return json_malformed(walk, "ArrayValue");
    sl_json_out_array(out);
    while (cursor_item(&cursor, &item))
        if (json_value(walk, out, item, depth) != 0)
            return -1;
    sl_json_out_end_array(out);
    return 0;
}

static int json_container(struct json_walk *walk, struct sl_json_out *out, struct sl_slice container, bool map, int depth)
{
    struct sl_slice values = {NULL, 0};
    const struct json_member members[] = {{"values", "values", &values}};

    if (depth == OTLP_DEPTH) {
        walk->deep = true;
        sl_json_out_null(out);
        return 0;
    }
    if (!members_read(container, members, 1))
        return json_malformed(walk, map ? "KeyValueList" : "ArrayValue");
    if (values.bytes == 0)
        values = sl_slice_of("[]");
    return map ? json_pairs(walk, out, values, depth + 1) : json_list(walk, out, values, depth + 1);
}

static int json_scalar(struct json_walk *walk, struct sl_json_out *out, struct sl_slice token, bool fits)
{
    if (!fits)
        return json_malformed(walk, "AnyValue");
    sl_json_out_raw(out, token);
    return 0;
}

static bool json_is_double(struct sl_slice token)
{
    return sl_json_is_number(token) || sl_slice_is(token, "\"NaN\"") || sl_slice_is(token, "\"Infinity\"") || sl_slice_is(token, "\"-Infinity\"");
}

static int json_value(struct json_walk *walk, struct sl_json_out *out, struct sl_slice value, int depth)
{
    struct sl_slice string = {NULL, 0}, boolean = {NULL, 0}, integer = {NULL, 0}, real = {NULL, 0}, list = {NULL, 0}, map = {NULL, 0},
                    bytes = {NULL, 0}, digits = {NULL, 0};
    const struct json_member members[] = {{"stringValue", "string_value", &string}, {"boolValue", "bool_value", &boolean},
                                          {"intValue", "int_value", &integer},      {"doubleValue", "double_value", &real},
                                          {"arrayValue", "array_value", &list},     {"kvlistValue", "kvlist_value", &map},
                                          {"bytesValue", "bytes_value", &bytes}};

    if (value.bytes > 0 && !value_is_null(value) && !members_read(value, members, COUNT(members)))
        return json_malformed(walk, "AnyValue");
    if (string.bytes > 0)
        return json_scalar(walk, out, string, value_is(string, '"'));
    if (boolean.bytes > 0)
        return json_scalar(walk, out, boolean, sl_slice_is(boolean, "true") || sl_slice_is(boolean, "false"));
    if (integer.bytes > 0)
        return json_digits(integer, &digits) ? json_scalar(walk, out, digits, true) : json_malformed(walk, "AnyValue.intValue");
    if (real.bytes > 0)
        return json_scalar(walk, out, real, json_is_double(real));
    if (list.bytes > 0)
        return json_container(walk, out, list, false, depth);
    if (map.bytes > 0)
        return json_container(walk, out, map, true, depth);
    if (bytes.bytes > 0)
        return json_scalar(walk, out, bytes, value_is(bytes, '"'));
    sl_json_out_null(out);
    return 0;
}

/* A map of attributes as a text of its own; none: empty. */
static int json_attributes(struct json_walk *walk, struct sl_buf *buf, struct sl_slice list)
{
    struct json_cursor cursor;
    struct sl_slice first;
    struct sl_json_out out;

    sl_buf_reset(buf);
    sl_json_out_init(&out, buf);
    if (list.bytes == 0 || (cursor_open(&cursor, list, '[') && !cursor_item(&cursor, &first)))
        return 0;
    return json_pairs(walk, &out, list, 0);
}

/* ---- records ---- */

static int json_log_numbers(struct json_walk *walk, const struct sl_slice *time, const struct sl_slice *observed,
                            const struct sl_slice *severity, const struct sl_slice *flags, const struct sl_slice *dropped)
{
    struct otlp_log *log = &walk->log;
    uint64_t severity_number = 0, flag_bits = 0, dropped_count = 0;

    log->time_ns = log->observed_ns = 0;
    if (json_integer(walk, *time, UINT64_MAX, &log->time_ns, "LogRecord.timeUnixNano") != 0 ||
        json_integer(walk, *observed, UINT64_MAX, &log->observed_ns, "LogRecord.observedTimeUnixNano") != 0 ||
        json_integer(walk, *severity, INT32_MAX, &severity_number, "LogRecord.severityNumber") != 0 ||
        json_integer(walk, *flags, UINT32_MAX, &flag_bits, "LogRecord.flags") != 0 ||
        json_integer(walk, *dropped, UINT32_MAX, &dropped_count, "LogRecord.droppedAttributesCount") != 0)
        return -1;
    log->severity = (uint32_t)severity_number;
    log->flags = (uint32_t)flag_bits;
    log->dropped = (uint32_t)dropped_count;
    return 0;
}

static int json_log(struct json_walk *walk, struct sl_slice record)
{
    struct sl_slice time = {NULL, 0}, observed = {NULL, 0}, severity = {NULL, 0}, text = {NULL, 0}, body = {NULL, 0},
                    attributes = {NULL, 0}, dropped = {NULL, 0}, flags = {NULL, 0}, trace = {NULL, 0}, span = {NULL, 0}, event = {NULL, 0};
    const struct json_member members[] = {{"timeUnixNano", "time_unix_nano", &time},
                                          {"observedTimeUnixNano", "observed_time_unix_nano", &observed},
                                          {"severityNumber", "severity_number", &severity},
                                          {"severityText", "severity_text", &text},
                                          {"body", "body", &body},
                                          {"attributes", "attributes", &attributes},
                                          {"droppedAttributesCount", "dropped_attributes_count", &dropped},
                                          {"flags", "flags", &flags},
                                          {"traceId", "trace_id", &trace},
                                          {"spanId", "span_id", &span},
                                          {"eventName", "event_name", &event}};
    struct otlp_log *log = &walk->log;
    struct sl_json_out out;

    if (!members_read(record, members, COUNT(members)))
        return json_malformed(walk, "LogRecord");
    walk->deep = false;
    if (json_log_numbers(walk, &time, &observed, &severity, &flags, &dropped) != 0 ||
        json_string(walk, text, &log->severity_text, "LogRecord.severityText") != 0 ||
        json_string(walk, trace, &log->trace_id, "LogRecord.traceId") != 0 ||
        json_string(walk, span, &log->span_id, "LogRecord.spanId") != 0 ||
        json_string(walk, event, &log->event_name, "LogRecord.eventName") != 0)
        return -1;
    sl_buf_reset(&log->body);
    sl_json_out_init(&out, &log->body);
    if ((body.bytes > 0 && json_value(walk, &out, body, 0) != 0) || json_attributes(walk, &log->attributes, attributes) != 0)
        return -1;
    log->deep = walk->deep;
    return otlp_records_add(walk->records, &walk->context, log, walk->err);
}

static int json_scope(struct json_walk *walk, struct sl_slice scope)
{
    struct sl_slice name = {NULL, 0}, version = {NULL, 0}, attributes = {NULL, 0};
    const struct json_member members[] = {{"name", "name", &name}, {"version", "version", &version}, {"attributes", "attributes", &attributes}};
    struct otlp_text name_text, version_text;
    struct sl_json_out out;

    walk->deep = false;
    sl_buf_reset(&walk->context.scope);
    if (scope.bytes > 0 && !members_read(scope, members, COUNT(members)))
        return json_malformed(walk, "InstrumentationScope");
    if (json_string(walk, name, &name_text, "InstrumentationScope.name") != 0 ||
        json_string(walk, version, &version_text, "InstrumentationScope.version") != 0)
        return -1;
    if (name.bytes + version.bytes + attributes.bytes == 0)
        return 0;
    sl_json_out_init(&out, &walk->context.scope);
    sl_json_out_object(&out);
    otlp_text_write(&out, "name", name_text);
    otlp_text_write(&out, "version", version_text);
    if (attributes.bytes > 0) {
        sl_json_out_key(&out, "attributes");
        if (json_pairs(walk, &out, attributes, 1) != 0)
            return -1;
    }
    sl_json_out_end_object(&out);
    walk->context.scope_deep = walk->deep;
    return 0;
}

static int json_service(struct json_walk *walk, struct sl_slice attributes)
{
    struct json_cursor cursor;
    struct sl_slice item;

    sl_buf_reset(&walk->context.service);
    if (attributes.bytes == 0 || !cursor_open(&cursor, attributes, '['))
        return 0;
    while (walk->context.service.bytes == 0 && cursor_item(&cursor, &item)) {
        struct sl_slice key = {NULL, 0}, value = {NULL, 0}, string = {NULL, 0};
        const struct json_member pair[] = {{"key", "key", &key}, {"value", "value", &value}};
        const struct json_member any[] = {{"stringValue", "string_value", &string}};
        if (members_read(item, pair, COUNT(pair)) && sl_slice_is(key, "\"service.name\"") && members_read(value, any, COUNT(any)) &&
            value_is(string, '"') && string.bytes > 2)
            sl_buf_slice(&walk->context.service, string);
    }
    return 0;
}

static int json_resource(struct json_walk *walk, struct sl_slice resource)
{
    struct sl_slice attributes = {NULL, 0};
    const struct json_member members[] = {{"attributes", "attributes", &attributes}};
    int rc;

    walk->deep = false;
    if (resource.bytes > 0 && !members_read(resource, members, COUNT(members)))
        return json_malformed(walk, "Resource");
    rc = json_service(walk, attributes);
    if (rc == 0)
        rc = json_attributes(walk, &walk->context.resource, attributes);
    walk->context.resource_deep = walk->deep;
    return rc;
}

/* Calls each() for the items of a list; none is an empty list. */
static int json_each(struct json_walk *walk, struct sl_slice list, int (*each)(struct json_walk *walk, struct sl_slice item),
                     const char *what)
{
    struct json_cursor cursor;
    struct sl_slice item;
    int rc = 0;

    if (list.bytes == 0)
        return 0;
    if (!cursor_open(&cursor, list, '['))
        return json_malformed(walk, what);
    while (rc == 0 && cursor_item(&cursor, &item))
        rc = each(walk, item);
    return rc;
}

static int json_scope_logs(struct json_walk *walk, struct sl_slice logs)
{
    struct sl_slice scope = {NULL, 0}, records = {NULL, 0};
    const struct json_member members[] = {{"scope", "scope", &scope}, {"logRecords", "log_records", &records}};

    walk->context.scope_deep = false;
    if (!members_read(logs, members, COUNT(members)))
        return json_malformed(walk, "ScopeLogs");
    return json_scope(walk, scope) != 0 ? -1 : json_each(walk, records, json_log, "ScopeLogs.logRecords");
}

static int json_resource_logs(struct json_walk *walk, struct sl_slice logs)
{
    struct sl_slice resource = {NULL, 0}, scopes = {NULL, 0};
    const struct json_member members[] = {{"resource", "resource", &resource}, {"scopeLogs", "scope_logs", &scopes}};

    if (!members_read(logs, members, COUNT(members)))
        return json_malformed(walk, "ResourceLogs");
    return json_resource(walk, resource) != 0 ? -1 : json_each(walk, scopes, json_scope_logs, "ResourceLogs.scopeLogs");
}

static int json_request(struct json_walk *walk, struct sl_slice body)
{
    struct json_cursor cursor = {body.data, body.data + body.bytes};
    struct sl_slice logs = {NULL, 0};
    const struct json_member members[] = {{"resourceLogs", "resource_logs", &logs}};

    if (!members_read(cursor_value(&cursor), members, COUNT(members)))
        return json_malformed(walk, "the outermost value, which is no object");
    return json_each(walk, logs, json_resource_logs, "resourceLogs");
}

/* The whole of it is valid JSON; body gets the bytes that may be read behind it. */
static int json_check(struct sl_arena *arena, struct sl_slice *body, struct sl_err *err)
{
    static const struct sl_json_projection nothing = {NULL, 0, true};
    struct sl_json_decoder *decoder = NULL;
    uint16_t sel = 0;
    uint8_t verdict = SL_JSON_EMPTY;
    int rc = sl_json_decoder_new(&nothing, &decoder, err);

    if (rc != 0)
        return rc;
    *body = sl_arena_copy(arena, *body);
    if (body->data == NULL || sl_json_decode(decoder, body, &sel, 1, NULL, &verdict, arena) != 0)
        rc = sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory for the body");
    else if (verdict != SL_JSON_FINE)
        rc = sl_fail(err, SL_E_FORMAT, SL_REMEDY_DEADLETTER, 0, "the body is no JSON: %s", sl_json_reasons[verdict]);
    (void)sl_json_decoder_free(decoder);
    return rc;
}

int otlp_read_json(struct sl_slice body, struct otlp_records *records, struct sl_err *err)
{
    struct sl_err own;
    struct json_walk walk = {.records = records, .err = err != NULL ? err : &own};
    struct sl_arena arena;
    int rc;

    if (sl_arena_init(&arena, 4096, 16 * (size_t)body.bytes + (1 << 20)) != 0)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory for the body");
    rc = json_check(&arena, &body, walk.err);
    if (rc == 0 && json_request(&walk, body) != 0)
        rc = -(int)walk.err->code;
    sl_arena_fini(&arena);
    sl_buf_fini(&walk.context.resource);
    sl_buf_fini(&walk.context.scope);
    sl_buf_fini(&walk.context.service);
    sl_buf_fini(&walk.log.body);
    sl_buf_fini(&walk.log.attributes);
    return rc;
}
