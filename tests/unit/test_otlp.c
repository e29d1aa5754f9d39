/* test_otlp.c: log records of OTLP, in protobuf and in JSON, as JSON records; what is malformed, deep, large or far too much.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "operators/sources/otlp/otlp_record.h"

static struct otlp_records records;
static struct sl_err err;

static int setup(void **state)
{
    (void)state;
    otlp_records_init(&records, 1 << 20, 16 << 20);
    err = (struct sl_err){.code = SL_OK};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    otlp_records_fini(&records);
    return 0;
}

static const char *record(uint32_t index)
{
    static char text[4096];
    struct sl_slice slice = otlp_record(&records, index);

    (void)snprintf(text, sizeof(text), "%.*s", (int)slice.bytes, slice.data);
    return text;
}

/* ---- protobuf by hand ---- */

struct wire {
    char data[8192];
    size_t bytes;
};

static void wire_varint(struct wire *wire, uint64_t value)
{
    for (; value >= 128; value >>= 7)
        wire->data[wire->bytes++] = (char)(value | 128);
    wire->data[wire->bytes++] = (char)value;
}

static void wire_number(struct wire *wire, unsigned field, uint64_t value)
{
    wire_varint(wire, field << 3);
    wire_varint(wire, value);
}

static void wire_bytes(struct wire *wire, unsigned field, const void *data, size_t bytes)
{
    wire_varint(wire, field << 3 | 2);
    wire_varint(wire, bytes);
    assert_true(wire->bytes + bytes <= sizeof(wire->data));
    if (bytes > 0)
        memcpy(wire->data + wire->bytes, data, bytes);
    wire->bytes += bytes;
}

static void wire_text(struct wire *wire, unsigned field, const char *text)
{
    wire_bytes(wire, field, text, strlen(text));
}

static void wire_fixed64(struct wire *wire, unsigned field, uint64_t value)
{
    wire_varint(wire, field << 3 | 1);
    memcpy(wire->data + wire->bytes, &value, 8);
    wire->bytes += 8;
}

static void wire_message(struct wire *wire, unsigned field, const struct wire *message)
{
    wire_bytes(wire, field, message->data, message->bytes);
}

/* KeyValue { key, value } as field of `wire`. */
static void wire_pair(struct wire *wire, unsigned field, const char *key, const struct wire *value)
{
    static struct wire pair;

    pair.bytes = 0;
    wire_text(&pair, 1, key);
    wire_message(&pair, 2, value);
    wire_message(wire, field, &pair);
}

static void wire_text_pair(struct wire *wire, unsigned field, const char *key, const char *text)
{
    struct wire value = {.bytes = 0};

    wire_text(&value, 1, text);
    wire_pair(wire, field, key, &value);
}

/* One record of one scope of one resource. */
static void wire_request(struct wire *request, const struct wire *log)
{
    static struct wire resource, scope, scope_logs, resource_logs;

    resource.bytes = scope.bytes = scope_logs.bytes = resource_logs.bytes = request->bytes = 0;
    wire_text_pair(&resource, 1, "service.name", "pay");
    wire_text_pair(&resource, 1, "host.name", "h1");
    wire_text(&scope, 1, "lib");
    wire_text(&scope, 2, "1.2");
    wire_text_pair(&scope, 3, "s", "t");
    wire_message(&scope_logs, 1, &scope);
    wire_message(&scope_logs, 2, log);
    wire_message(&resource_logs, 1, &resource);
    wire_message(&resource_logs, 2, &scope_logs);
    wire_message(request, 1, &resource_logs);
}

static int read_proto(const struct wire *wire)
{
    return otlp_read_proto((struct sl_slice){wire->data, (uint32_t)wire->bytes}, &records, &err);
}

static int read_json(const char *text)
{
    return otlp_read_json(sl_slice_of(text), &records, &err);
}

#define CONTEXT "\"scope\":{\"name\":\"lib\",\"version\":\"1.2\",\"attributes\":{\"s\":\"t\"}},\"resource\":{\"service.name\":\"pay\",\"host.name\":\"h1\"}}"

static void test_protobuf_has_every_kind_of_value(void **state)
{
    static struct wire request, log, value, list, map, inner;
    static const double half = 0.5, nan_bits = __builtin_nan("");
    uint64_t bits;
    (void)state;
    log.bytes = 0;
    wire_fixed64(&log, 1, 1795324496123456789ull);
    wire_number(&log, 2, 13);
    wire_text(&log, 3, "WARN");
    value.bytes = 0;
    wire_text(&value, 1, "hello \"x\"\n\xff");
    wire_message(&log, 5, &value);
    value.bytes = 0;
    wire_number(&value, 2, 1);
    wire_pair(&log, 6, "bool", &value);
    value.bytes = 0;
    wire_number(&value, 3, (uint64_t)-5);
    wire_pair(&log, 6, "int", &value);
    value.bytes = 0;
    memcpy(&bits, &half, 8);
    wire_fixed64(&value, 4, bits);
    wire_pair(&log, 6, "double", &value);
    value.bytes = 0;
    memcpy(&bits, &nan_bits, 8);
    wire_fixed64(&value, 4, bits);
    wire_pair(&log, 6, "nan", &value);
    value.bytes = 0;
    wire_bytes(&value, 7, "\0\1\2\xff", 4);
    wire_pair(&log, 6, "bytes", &value);
    inner.bytes = list.bytes = value.bytes = 0;
    wire_number(&inner, 3, 7);
    wire_message(&list, 1, &inner);
    wire_bytes(&list, 1, "", 0);
    wire_message(&value, 5, &list);
    wire_pair(&log, 6, "list", &value);
    map.bytes = value.bytes = 0;
    wire_text_pair(&map, 1, "k", "v");
    wire_message(&value, 6, &map);
    wire_pair(&log, 6, "map", &value);
    value.bytes = 0;
    wire_pair(&log, 6, "nothing", &value);
    wire_number(&log, 7, 2);
    wire_bytes(&log, 9, "\x4b\xf9\x2f\x35\x77\xb3\x4d\xa6\xa3\xce\x92\x9d\x0e\x0e\x47\x36", 16);
    wire_bytes(&log, 10, "\x00\xf0\x67\xaa\x0b\xa9\x02\xb7", 8);
    wire_fixed64(&log, 11, 1795324496200000000ull);
    wire_text(&log, 99, "of a later version");
    wire_request(&request, &log);
    if (read_proto(&request) != 0)
        fail_msg("%s", err.text);
    assert_int_equal(records.count, 1);
    assert_string_equal(record(0),
                        "{\"ts\":\"2026-11-22T05:14:56.123456789Z\",\"service\":\"pay\",\"level\":\"warn\","
                        "\"trace_id\":\"4bf92f3577b34da6a3ce929d0e0e4736\",\"span_id\":\"00f067aa0ba902b7\","
                        "\"body\":\"hello \\\"x\\\"\\n\xEF\xBF\xBD\",\"attributes\":{\"bool\":true,\"int\":-5,\"double\":0.5,\"nan\":\"NaN\","
                        "\"bytes\":\"AAEC/w==\",\"list\":[7,null],\"map\":{\"k\":\"v\"},\"nothing\":null},\"severity_number\":13,"
                        "\"severity_text\":\"WARN\",\"observed_ts\":\"2026-11-22T05:14:56.200000000Z\",\"dropped_attributes_count\":2," CONTEXT);
}

static void test_an_empty_record_has_its_context_only(void **state)
{
    static struct wire request, log;
    (void)state;
    log.bytes = 0;
    wire_request(&request, &log);
    assert_int_equal(read_proto(&request), 0);
    assert_string_equal(record(0), "{\"service\":\"pay\"," CONTEXT);
    log.bytes = 0;
    wire_fixed64(&log, 11, 1000000000);
    wire_request(&request, &log);
    assert_int_equal(read_proto(&request), 0);
    assert_string_equal(record(1), "{\"ts\":\"1970-01-01T00:00:01.000000000Z\",\"service\":\"pay\",\"observed_ts\":\"1970-01-01T00:00:01.000000000Z\"," CONTEXT);
}

static void test_json_says_the_same(void **state)
{
    (void)state;
    if (read_json("{\"resourceLogs\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":{\"stringValue\":\"pay\"}},"
                  "{\"key\":\"host.name\",\"value\":{\"stringValue\":\"h1\"}}]},\n\"scopeLogs\" : [ {\"scope\":{\"name\":\"lib\",\"version\":\"1.2\","
                  "\"attributes\":[{\"key\":\"s\",\"value\":{\"stringValue\":\"t\"}}]},\"logRecords\":[{\"timeUnixNano\":\"1795324496123456789\","
                  "\"observedTimeUnixNano\":1795324496200000000,\"severityNumber\":13,\"severityText\":\"WARN\","
                  "\"body\":{\"stringValue\":\"hello \\\"x\\\"\\u00e9\"},\"attributes\":[{\"key\":\"bool\",\"value\":{\"boolValue\":true}},"
                  "{\"key\":\"int\",\"value\":{\"intValue\":\"-5\"}},{\"key\":\"plain\",\"value\":{\"intValue\":6}},"
                  "{\"key\":\"double\",\"value\":{\"doubleValue\":0.5}},{\"key\":\"nan\",\"value\":{\"doubleValue\":\"NaN\"}},"
                  "{\"key\":\"bytes\",\"value\":{\"bytesValue\":\"AAEC/w==\"}},"
                  "{\"key\":\"list\",\"value\":{\"arrayValue\":{\"values\":[{\"intValue\":\"7\"},{}]}}},"
                  "{\"key\":\"map\",\"value\":{\"kvlistValue\":{\"values\":[{\"key\":\"k\",\"value\":{\"stringValue\":\"v\"}}]}}},"
                  "{\"key\":\"none\"}, {\"key\":\"empty\",\"value\":{\"arrayValue\":{}}}],\"droppedAttributesCount\":2,\"flags\":1,"
                  "\"traceId\":\"4bf92f3577b34da6a3ce929d0e0e4736\",\"spanId\":\"\",\"unknown\":[{\"a\":\"}]\\\"\"}],\"eventName\":\"e\"}"
                  ",{\"severity_text\":\"notice\",\"body\":null}]}]}, {}]}") != 0)
        fail_msg("%s", err.text);
    assert_int_equal(records.count, 2);
    assert_string_equal(record(0),
                        "{\"ts\":\"2026-11-22T05:14:56.123456789Z\",\"service\":\"pay\",\"level\":\"warn\","
                        "\"trace_id\":\"4bf92f3577b34da6a3ce929d0e0e4736\",\"event_name\":\"e\",\"body\":\"hello \\\"x\\\"\\u00e9\","
                        "\"attributes\":{\"bool\":true,\"int\":-5,\"plain\":6,\"double\":0.5,\"nan\":\"NaN\",\"bytes\":\"AAEC/w==\",\"list\":[7,null],"
                        "\"map\":{\"k\":\"v\"},\"none\":null,\"empty\":[]},\"severity_number\":13,\"severity_text\":\"WARN\","
                        "\"observed_ts\":\"2026-11-22T05:14:56.200000000Z\",\"flags\":1,\"dropped_attributes_count\":2," CONTEXT);
    assert_string_equal(record(1), "{\"service\":\"pay\",\"level\":\"notice\",\"severity_text\":\"notice\"," CONTEXT);
}

static void test_severities_are_levels_by_fours(void **state)
{
    static const char *const levels[] = {"trace", "debug", "info", "warn", "error", "fatal"};
    (void)state;
    for (uint32_t n = 1; n <= 24; n++) {
        char text[128], want[64];
        (void)snprintf(text, sizeof(text), "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"severityNumber\":%u}]}]}]}", n);
        assert_int_equal(read_json(text), 0);
        (void)snprintf(want, sizeof(want), "{\"level\":\"%s\",\"severity_number\":%u}", levels[(n - 1) / 4], n);
        assert_string_equal(record(n - 1), want);
    }
}

static void test_nothing_is_no_record(void **state)
{
    static const struct wire empty;
    (void)state;
    assert_int_equal(read_proto(&empty), 0);
    assert_int_equal(read_json("{}"), 0);
    assert_int_equal(read_json(" {\"resourceLogs\":[]} "), 0);
    assert_int_equal(read_json("{\"resourceLogs\":null}"), 0);
    assert_int_equal(records.count, 0);
}

static void test_malformed_bodies_are_refused_and_said(void **state)
{
    static const struct {
        const char *json, *says;
    } cases[] = {
        {"", "no JSON"},
        {"{\"resourceLogs\":", "no JSON"},
        {"[]", "outermost"},
        {"7", "outermost"},
        {"{\"resourceLogs\":{}}", "resourceLogs"},
        {"{\"resourceLogs\":[5]}", "ResourceLogs"},
        {"{\"resourceLogs\":[{\"scopeLogs\":[\"x\"]}]}", "ScopeLogs"},
        {"{\"resourceLogs\":[{\"resource\":[]}]}", "Resource"},
        {"{\"resourceLogs\":[{\"resource\":{\"attributes\":{}}}]}", "KeyValue"},
        {"{\"resourceLogs\":[{\"resource\":{\"attributes\":[{\"key\":5}]}}]}", "KeyValue"},
        {"{\"resourceLogs\":[{\"scopeLogs\":[{\"scope\":{\"name\":5}}]}]}", "InstrumentationScope.name"},
        {"{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"timeUnixNano\":\"soon\"}]}]}]}", "timeUnixNano"},
        {"{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"timeUnixNano\":\"99999999999999999999\"}]}]}]}", "timeUnixNano"},
        {"{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"severityNumber\":-1}]}]}]}", "severityNumber"},
        {"{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"body\":\"text\"}]}]}]}", "AnyValue"},
        {"{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"body\":{\"stringValue\":5}}]}]}]}", "AnyValue"},
        {"{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"body\":{\"intValue\":\"1.5\"}}]}]}]}", "intValue"},
        {"{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"body\":{\"doubleValue\":\"many\"}}]}]}]}", "AnyValue"},
        {"{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"traceId\":7}]}]}]}", "traceId"},
    };
    static const struct wire cut = {"\x0a\x05" "ab", 4}, garbage = {"garbage", 7};
    static struct wire request, log;
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(read_json(cases[i].json), -SL_E_FORMAT);
        if (strstr(err.text, cases[i].says) == NULL)
            fail_msg("%s: %s", cases[i].json, err.text);
    }
    assert_int_equal(read_proto(&cut), -SL_E_FORMAT);
    assert_int_equal(read_proto(&garbage), -SL_E_FORMAT);
    log.bytes = 0;
    wire_bytes(&log, 5, "\x0a\x09x", 3); /* a string longer than its message */
    wire_request(&request, &log);
    assert_int_equal(read_proto(&request), -SL_E_FORMAT);
    assert_non_null(strstr(err.text, "AnyValue"));
}

static void test_deep_values_reject_their_record_only(void **state)
{
    static struct wire request, log, value, around;
    (void)state;
    for (int depth = OTLP_DEPTH; depth <= 400; depth += 400 - OTLP_DEPTH) {
        value.bytes = log.bytes = 0;
        wire_text(&value, 1, "x");
        for (int i = 0; i < depth; i++) {
            around.bytes = 0;
            wire_message(&around, 1, &value);
            value.bytes = 0;
            wire_message(&value, 5, &around);
        }
        wire_message(&log, 5, &value);
        wire_request(&request, &log);
        assert_int_equal(read_proto(&request), 0);
        assert_int_equal(records.count, 1);
        assert_int_equal(records.rejected, depth == OTLP_DEPTH ? 0 : 1);
    }
    assert_non_null(strstr(records.why, "nested"));
    assert_non_null(strstr(record(0), "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[\"x\"]"));
}

static void test_deep_json_rejects_too(void **state)
{
    static char text[64 << 10];
    (void)state;
    for (int depth = OTLP_DEPTH; depth <= 100; depth += 100 - OTLP_DEPTH) {
        size_t at = (size_t)sprintf(text, "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"body\":");
        for (int i = 0; i < depth; i++)
            at += (size_t)sprintf(text + at, "{\"kvlistValue\":{\"values\":[{\"key\":\"k\",\"value\":");
        at += (size_t)sprintf(text + at, "{\"boolValue\":true}");
        for (int i = 0; i < depth; i++)
            at += (size_t)sprintf(text + at, "}]}}");
        (void)sprintf(text + at, "}]},{\"logRecords\":[{}]}]}]}");
        if (read_json(text) != 0)
            fail_msg("%s", err.text);
    }
    assert_int_equal(records.count, 3);
    assert_int_equal(records.rejected, 1);
}

static void test_large_records_are_rejected_alone(void **state)
{
    (void)state;
    records.max_record_bytes = 100;
    assert_int_equal(read_json("{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"body\":{\"stringValue\":\"small\"}},{\"body\":{\"stringValue\":\""
                               "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789\"}},"
                               "{\"body\":{\"boolValue\":false}}]}]}]}"),
                     0);
    assert_int_equal(records.count, 2);
    assert_int_equal(records.rejected, 1);
    assert_string_equal(record(0), "{\"body\":\"small\"}");
    assert_string_equal(record(1), "{\"body\":false}");
}

static void test_a_resource_that_multiplies_is_refused(void **state)
{
    static char text[1 << 20];
    size_t at = (size_t)sprintf(text, "{\"resourceLogs\":[{\"resource\":{\"attributes\":[{\"key\":\"k\",\"value\":{\"stringValue\":\"");
    (void)state;
    memset(text + at, 'r', 100000);
    at += 100000;
    at += (size_t)sprintf(text + at, "\"}}]},\"scopeLogs\":[{\"logRecords\":[{}");
    for (int i = 0; i < 1000; i++)
        at += (size_t)sprintf(text + at, ",{}");
    (void)sprintf(text + at, "]}]}]}");
    records.max_bytes = OTLP_GROWTH << 20;
    assert_int_equal(read_json(text), -SL_E_LIMIT);
    assert_non_null(strstr(err.text, "send fewer"));
}

static void test_tiny_messages_do_not_take_all_memory(void **state)
{
    size_t count = 1 << 20;
    char *list = malloc(2 * count + 64);
    struct sl_slice body;
    (void)state;
    assert_non_null(list);
    for (size_t i = 0; i < count; i++)
        memcpy(list + 2 * i, "\x0a\x00", 2); /* ResourceLogs of nothing */
    body = (struct sl_slice){list, (uint32_t)(2 * count)};
    assert_int_equal(otlp_read_proto(body, &records, &err), -SL_E_LIMIT);
    assert_non_null(strstr(err.text, "too many parts"));
    free(list);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_protobuf_has_every_kind_of_value),
        TEST(test_an_empty_record_has_its_context_only),
        TEST(test_json_says_the_same),
        TEST(test_severities_are_levels_by_fours),
        TEST(test_nothing_is_no_record),
        TEST(test_malformed_bodies_are_refused_and_said),
        TEST(test_deep_values_reject_their_record_only),
        TEST(test_deep_json_rejects_too),
        TEST(test_large_records_are_rejected_alone),
        TEST(test_a_resource_that_multiplies_is_refused),
        TEST(test_tiny_messages_do_not_take_all_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
