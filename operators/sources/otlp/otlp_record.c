/* otlp_record.c: log records of OTLP composed as JSON.
 * SPDX-License-Identifier: Apache-2.0 */
#include "operators/sources/otlp/otlp_record.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/json/timestamp.h"

enum { OTLP_TIME_BYTES = 40 };

void otlp_records_init(struct otlp_records *records, uint64_t max_record_bytes, uint64_t max_body_bytes)
{
    *records = (struct otlp_records){.max_record_bytes = max_record_bytes, .max_bytes = OTLP_GROWTH * max_body_bytes};
}

void otlp_records_fini(struct otlp_records *records)
{
    sl_buf_fini(&records->out);
    free(records->ends);
    *records = (struct otlp_records){.count = 0};
}

struct sl_slice otlp_record(const struct otlp_records *records, uint32_t index)
{
    size_t from = index == 0 ? 0 : records->ends[index - 1];

    assert(index < records->count);
    return (struct sl_slice){sl_buf_str(&records->out) + from, (uint32_t)(records->ends[index] - from)};
}

int otlp_malformed(struct sl_err *err, const char *what)
{
    return sl_fail(err, SL_E_FORMAT, SL_REMEDY_DEADLETTER, 0, "the body is no ExportLogsServiceRequest: malformed at %s", what);
}

void otlp_text_write(struct sl_json_out *out, const char *key, struct otlp_text text)
{
    if (text.text.bytes == 0)
        return;
    sl_json_out_key(out, key);
    if (text.token)
        sl_json_out_raw(out, text.text);
    else
        sl_json_out_slice(out, text.text);
}

static void record_time(struct sl_json_out *out, const char *key, uint64_t unix_ns)
{
    uint64_t ms = unix_ns / 1000000, day_ms = ms % 86400000;
    char text[OTLP_TIME_BYTES], day[SL_TIME_DAY_BYTES];

    if (unix_ns == 0)
        return;
    sl_time_day((int64_t)ms, day);
    (void)snprintf(text, sizeof(text), "%sT%02u:%02u:%02u.%09uZ", day, (unsigned)(day_ms / 3600000), (unsigned)(day_ms / 60000 % 60),
                   (unsigned)(day_ms / 1000 % 60), (unsigned)(unix_ns % 1000000000));
    sl_json_out_str_at(out, key, text);
}

/* Severity numbers come in fours: TRACE, TRACE2 … FATAL4. */
static void record_level(struct sl_json_out *out, const struct otlp_log *log)
{
    static const char *const names[] = {"trace", "debug", "info", "warn", "error", "fatal"};

    if (log->severity >= 1 && log->severity <= 24)
        sl_json_out_str_at(out, "level", names[(log->severity - 1) / 4]);
    else
        otlp_text_write(out, "level", log->severity_text);
}

static void record_number(struct sl_json_out *out, const char *key, uint32_t number)
{
    if (number != 0)
        sl_json_out_u64_at(out, key, number);
}

static void record_json(struct sl_json_out *out, const char *key, const struct sl_buf *json)
{
    if (json->bytes == 0)
        return;
    sl_json_out_key(out, key);
    sl_json_out_raw(out, (struct sl_slice){sl_buf_str(json), (uint32_t)json->bytes});
}

static void record_write(struct sl_buf *buf, const struct otlp_context *context, const struct otlp_log *log)
{
    struct sl_json_out out;

    sl_json_out_init(&out, buf);
    sl_json_out_object(&out);
    record_time(&out, "ts", log->time_ns != 0 ? log->time_ns : log->observed_ns);
    record_json(&out, "service", &context->service);
    record_level(&out, log);
    otlp_text_write(&out, "trace_id", log->trace_id);
    otlp_text_write(&out, "span_id", log->span_id);
    otlp_text_write(&out, "event_name", log->event_name);
    record_json(&out, "body", &log->body);
    record_json(&out, "attributes", &log->attributes);
    record_number(&out, "severity_number", log->severity);
    otlp_text_write(&out, "severity_text", log->severity_text);
    record_time(&out, "observed_ts", log->observed_ns);
    record_number(&out, "flags", log->flags);
    record_number(&out, "dropped_attributes_count", log->dropped);
    record_json(&out, "scope", &context->scope);
    record_json(&out, "resource", &context->resource);
    sl_json_out_end_object(&out);
}

static int records_room(struct otlp_records *records)
{
    uint32_t capacity = records->capacity == 0 ? 256 : records->capacity * 2;
    size_t *ends;

    if (records->count < records->capacity)
        return 0;
    ends = realloc(records->ends, capacity * sizeof(*ends));
    if (ends == NULL)
        return -1;
    records->ends = ends;
    records->capacity = capacity;
    return 0;
}

static void records_reject(struct otlp_records *records, size_t begin, const char *why)
{
    records->out.bytes = begin;
    records->rejected++;
    if (records->why == NULL)
        records->why = why;
}

static int records_full(const struct otlp_records *records, struct sl_err *err)
{
    if (records->count + records->rejected < OTLP_RECORDS)
        return 0;
    return sl_fail(err, SL_E_LIMIT, SL_REMEDY_DEADLETTER, 0, "the body has more than %d records", OTLP_RECORDS);
}

int otlp_records_large(struct otlp_records *records, struct sl_err *err)
{
    if (records_full(records, err) != 0)
        return -(int)SL_E_LIMIT;
    records_reject(records, records->out.bytes, "larger than max_record, with its resource and scope");
    return 0;
}

int otlp_records_add(struct otlp_records *records, const struct otlp_context *context, const struct otlp_log *log, struct sl_err *err)
{
    size_t begin = records->out.bytes;

    if (records_full(records, err) != 0)
        return -(int)SL_E_LIMIT;
    if (log->deep || context->resource_deep || context->scope_deep) {
        records_reject(records, begin, "values are nested deeper than 32 levels");
        return 0;
    }
    record_write(&records->out, context, log);
    if (records_room(records) != 0 || sl_buf_failed(&records->out) || sl_buf_failed(&log->body) || sl_buf_failed(&log->attributes) ||
        sl_buf_failed(&context->resource) || sl_buf_failed(&context->scope) || sl_buf_failed(&context->service))
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory for the records");
    if (records->out.bytes - begin > records->max_record_bytes) {
        records_reject(records, begin, "larger than max_record, with its resource and scope");
        return 0;
    }
    if (records->out.bytes > records->max_bytes)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_DEADLETTER, 0,
                       "the records, each with its resource and scope, are larger than %d times max_body; send fewer in one request",
                       OTLP_GROWTH);
    records->ends[records->count++] = records->out.bytes;
    return 0;
}
