/* otlp_record.h: log records of OTLP as JSON records, whichever way they came (otlp_proto.c, otlp_json.c).
 *
 * A record: ts (RFC 3339, nanoseconds; the observed time where there is no other), observed_ts, service (resource's service.name),
 * level (from severity_number, else severity_text), trace_id and span_id (hex), event_name, body, attributes, severity_number,
 * severity_text, flags, dropped_attributes_count, scope {name, version, attributes}, resource (its attributes). What is empty is left
 * out. So the default roles of `parse` with format json find everything.
 * AnyValue: strings, bools, ints and doubles as JSON has them (NaN and infinities as strings), bytes as base64, arrays, maps; nothing
 * is null. Texts that are not UTF-8 get U+FFFD.
 * Limits: OTLP_DEPTH levels of values and max_record bytes: above them a record is rejected and the others are taken;
 * OTLP_GROWTH times the largest body for all records together, and OTLP_RECORDS of them: above that the request is refused.
 * Pure but for memory; the fuzz targets drive it.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_OPERATORS_SOURCES_OTLP_RECORD_H
#define SL_OPERATORS_SOURCES_OTLP_RECORD_H

#include "runtime/base/buf.h"
#include "runtime/base/err.h"
#include "runtime/base/json_out.h"

enum { OTLP_DEPTH = 32, OTLP_GROWTH = 4, OTLP_RECORDS = 1 << 18 };

struct otlp_text {
    struct sl_slice text; /* bytes 0: none */
    bool token;           /* it is a JSON string token already */
};

/* What records of one resource and one scope share, as JSON text; empty: nothing. */
struct otlp_context {
    struct sl_buf resource, scope, service; /* service: a string token */
    bool resource_deep, scope_deep;         /* nested too deep: their records are rejected */
};

struct otlp_log {
    uint64_t time_ns, observed_ns;
    uint32_t severity, flags, dropped;
    struct otlp_text severity_text, trace_id, span_id, event_name;
    struct sl_buf body, attributes; /* JSON text; empty: none */
    bool deep;                      /* some value is nested too deep: to be rejected */
};

struct otlp_records {
    struct sl_buf out;   /* one text behind the other */
    size_t *ends;        /* where each ends in out */
    uint32_t count, capacity;
    uint64_t rejected;
    const char *why;     /* of the first rejected one; static */
    uint64_t max_record_bytes, max_bytes;
};

void otlp_records_init(struct otlp_records *records, uint64_t max_record_bytes, uint64_t max_body_bytes);
void otlp_records_fini(struct otlp_records *records);
struct sl_slice otlp_record(const struct otlp_records *records, uint32_t index);
/* Takes or rejects it. -SL_E_LIMIT: too much altogether, or no memory. */
int otlp_records_add(struct otlp_records *records, const struct otlp_context *context, const struct otlp_log *log, struct sl_err *err);
/* Rejects one that is too large before it is unpacked. */
int otlp_records_large(struct otlp_records *records, struct sl_err *err);
void otlp_text_write(struct sl_json_out *out, const char *key, struct otlp_text text);
int otlp_malformed(struct sl_err *err, const char *what);

/* A body's records. -SL_E_FORMAT: malformed, and the text says where; -SL_E_LIMIT. Nothing of it is to be used then. */
int otlp_read_proto(struct sl_slice body, struct otlp_records *records, struct sl_err *err);
int otlp_read_json(struct sl_slice body, struct otlp_records *records, struct sl_err *err);

#endif
