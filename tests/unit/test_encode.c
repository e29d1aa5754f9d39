/* test_encode.c: bodies by codec: values, casts, quoting, stamps, whole records; the envelope as protoc reads it.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sys/wait.h>

#include "operators/registry.h"
#include "runtime/config/encoding.h"
#include "runtime/config/topology.h"
#include "runtime/engine/encode.h"
#include "runtime/envelope/envelope.h"
#include "tests/support/stage_json.h"

static struct stage_json json;
static struct sl_encoder *encoder;
static char said[2048];

/* The encoding of a sink's mapping; NULL: raw, or refused, and said[] is why. */
static const struct sl_encoding *encoding_of(const char *sink, uint32_t needs)
{
    static struct sl_encoding_config config;
    struct sl_diags diags;
    struct sl_bind bind = {.pool = &config_pool, .diags = &diags, .file = "test", .base_dir = "/tmp"};
    struct sl_bind_part part = {sl_encoding_fields, &config};
    struct sl_bind_map map = {.parts = &part, .parts_count = 1, .setting = "it.encoding"};
    const struct sl_encoding *encoding = NULL;
    const struct sl_yaml *node;
    bool fine;

    if (!config_pool_open)
        sl_pool_init(&config_pool);
    config_pool_open = true;
    memset(&config, 0, sizeof(config));
    sl_diags_init(&diags);
    node = sl_yaml_parse(&config_pool, "test", sink, strlen(sink), &diags);
    assert_non_null(node);
    fine = sl_bind_fill(&bind, &map, sl_yaml_find(node, "encoding") == NULL ? NULL : sl_yaml_find(node, "encoding")->value);
    fine = fine && sl_encoding_make(&bind, &config, node, "it", needs, &encoding);
    said[0] = '\0';
    for (uint32_t i = 0; i < diags.count; i++)
        (void)snprintf(said, sizeof(said), "%s: %s", diags.items[i].text, diags.items[i].remedy);
    assert_int_equal(fine, diags.errors == 0);
    sl_diags_fini(&diags);
    return fine ? encoding : NULL;
}

/* Opens the encoder first, so that parse knows its columns, then parse and a sampler. */
static void open_with(const char *sink, bool lines, const char *sampler)
{
    const struct sl_encoding *encoding = encoding_of(sink, lines ? SL_ENCODING_LINES : 0);
    uint32_t columns[BENCH_COLUMNS];

    assert_string_equal(said, "");
    assert_non_null(encoding);
    assert_int_equal(sl_encoder_new(encoding, &json.bench.names, &encoder, &json.err), 0);
    for (uint32_t i = 0; i < BENCH_COLUMNS; i++)
        columns[i] = i;
    stage_json_open(&json, &sl_op_sample, sampler);
    assert_int_equal(sl_encoder_ready(encoder, columns, json.bench.columns_count, &json.bench.names, &json.err), 0);
}

#define SAMPLER "{ type: sample, inputs: [x], share: 100%, stamp: false }"

static void batch(const char *const *texts, uint32_t count)
{
    stage_json_batch(&json, texts, count);
    stage_json_process(&json);
    assert_int_equal(sl_encoder_settle(encoder, &json.bench.view, &json.err), 0);
    sl_encoder_begin(encoder, &json.bench.arena);
}

static struct sl_slice bytes_of(uint32_t row)
{
    uint32_t cursor = 0;
    struct sl_slice body = sl_encode(encoder, &json.bench.view, row, &cursor);

    assert_non_null(body.data);
    for (uint32_t i = 0; i < SL_PAD; i++) /* readable: the sanitizer would say */
        (void)((const volatile char *)body.data)[body.bytes + i];
    return body;
}

static const char *body(uint32_t row)
{
    static char text[4096];
    struct sl_slice slice = bytes_of(row);

    (void)snprintf(text, sizeof(text), "%.*s", (int)slice.bytes, slice.data);
    return text;
}

static int setup(void **state)
{
    (void)state;
    stage_json_init(&json);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    encoder = sl_encoder_free(encoder);
    stage_json_fini(&json);
    return 0;
}

static void test_json_writes_the_fields_that_are_there(void **state)
{
    static const char *const texts[] = {"{\"ts\":\"2026-11-22T05:00:00.25Z\",\"service\":\"pay\",\"level\":\"warning\",\"a\":{\"b\":\"x\\ny\"},"
                                        "\"o\":[1, {}],\"n\":1.50,\"u\":null,\"trace_id\":\"t1\",\"level2\":\"own\"}",
                                        "{\"a\":5}"};
    (void)state;
    open_with("{ encoding: { codec: json, fields: [time, service, level, trace, a.b, o, n, u, .level, \"@topic\", \"@key\"], names: { a.b: ab, .level: own } } }",
              true, SAMPLER);
    batch(texts, 2);
    assert_string_equal(body(0), "{\"time\":\"2026-11-22T05:00:00.250Z\",\"service\":\"pay\",\"level\":\"warn\",\"trace\":\"t1\","
                                 "\"ab\":\"x\\ny\",\"o\":[1, {}],\"n\":1.50,\"u\":null,\"own\":\"warning\",\"@topic\":\"topic-a\"}");
    assert_string_equal(body(1), "{\"time\":\"2026-11-22T04:34:56.000Z\",\"@topic\":\"topic-a\"}"); /* the append time */
}

static void test_casts_change_the_type_or_leave_the_value_out(void **state)
{
    static const char *const texts[] = {"{\"a\":\"12.5\",\"b\":\"TRUE\",\"c\":7,\"d\":1795322096,\"e\":\"2026-11-22T05:14:56.123Z\",\"f\":[1]}",
                                        "{\"a\":\"12 ms\",\"b\":\"maybe\",\"c\":null,\"d\":\"never\",\"e\":true,\"f\":\"s\"}",
                                        "{\"a\":true,\"b\":0,\"c\":\"x\",\"d\":1795322096123,\"e\":0.5}"};
    (void)state;
    open_with("{ encoding: { codec: json, fields: [a, b, c, d, e, f, time], "
              "types: { a: number, b: bool, c: string, d: rfc3339, e: epoch, f: string, time: epoch_ns } } }",
              false, SAMPLER);
    batch(texts, 3);
    assert_string_equal(body(0), "{\"a\":12.5,\"b\":true,\"c\":\"7\",\"d\":\"2026-11-22T04:34:56.000Z\",\"e\":1795324496.123,\"f\":\"[1]\","
                                 "\"time\":1795322096000000000}");
    assert_string_equal(body(1), "{\"f\":\"s\",\"time\":1795322096000000000}");
    assert_string_equal(body(2), "{\"b\":false,\"c\":\"x\",\"d\":\"2026-11-22T04:34:56.123Z\",\"e\":0.500,\"time\":1795322096000000000}");
}

static void test_whole_seconds_have_no_decimals(void **state)
{
    static const char *const texts[] = {"{\"e\":\"2026-11-22T05:14:56.999Z\"}"};
    (void)state;
    open_with("{ encoding: { codec: json, fields: [e], types: { e: epoch_s } } }", false, SAMPLER);
    batch(texts, 1);
    assert_string_equal(body(0), "{\"e\":1795324496}");
}

static void test_an_object_without_any_field_is_empty(void **state)
{
    static const char *const texts[] = {"{}", "[1]", "5"};
    (void)state;
    open_with("{ encoding: { codec: json, fields: [a] } }", false, SAMPLER);
    batch(texts, 3);
    for (uint32_t i = 0; i < 3; i++)
        assert_string_equal(body(i), "{}");
}

static void test_text_fills_the_template(void **state)
{
    static const char *const texts[] = {"{\"service\":\"pay\",\"level\":30,\"message\":\"one\\r\\ntwo\",\"n\":{\"x\":\"a\\u0000b\"}}", "{\"message\":null}"};
    (void)state;
    open_with("{ encoding: { codec: text, template: \"{{{level}}} {service}: {message}|{n.x}\" } }", true, SAMPLER);
    batch(texts, 2);
    assert_memory_equal(bytes_of(0).data, "{info} pay: one  two|a\0b", 24);
    assert_string_equal(body(1), "{} : |");
}

static void test_a_sink_that_keeps_records_apart_keeps_line_ends(void **state)
{
    static const char *const texts[] = {"{\"message\":\"one\\r\\ntwo\"}"};
    (void)state;
    open_with("{ encoding: { codec: csv, fields: [message] } }", false, SAMPLER);
    batch(texts, 1);
    assert_string_equal(body(0), "\"one\r\ntwo\"");
}

static void test_csv_quotes_as_rfc_4180_says(void **state)
{
    static const char *const texts[] = {"{\"a\":\"x,y\",\"b\":\"say \\\"hi\\\"\",\"c\":\"\\\"\"}", "{\"a\":\" lead\",\"b\":1e3,\"c\":{\"k\":\"v\"}}", "{}"};
    (void)state;
    open_with("{ encoding: { codec: csv, fields: [a, b, c] } }", true, SAMPLER);
    batch(texts, 3);
    assert_string_equal(body(0), "\"x,y\",\"say \"\"hi\"\"\",\"\"\"\"");
    assert_string_equal(body(1), " lead,1e3,\"{\"\"k\"\":\"\"v\"\"}\"");
    assert_string_equal(body(2), ",,");
}

static void test_one_empty_cell_is_still_a_record(void **state)
{
    static const char *const texts[] = {"{}"};
    (void)state;
    open_with("{ encoding: { codec: csv, fields: [a] } }", true, SAMPLER);
    batch(texts, 1);
    assert_string_equal(body(0), "\"\"");
}

static void test_fields_see_the_stamps_of_a_sampler(void **state)
{
    static const char *const texts[] = {"{\"a\":1}", "5"};
    (void)state;
    open_with("{ encoding: { codec: csv, fields: [a, _w, _t] } }", true, "{ type: sample, inputs: [x], share: 100% }");
    batch(texts, 2);
    assert_string_equal(body(0), "1,1,0");
    assert_string_equal(body(1), ",,");
}

static void test_a_stamp_that_moves_other_fields(void **state)
{
    static const char *const texts[] = {"{\"trace_id\":\"4bf92f3577b34da6a3ffffffffffff00\",\"_w\":1,\"a\":\"xyz\"}"};
    (void)state;
    open_with("{ encoding: { codec: json, fields: [a, _w] } }", true, "{ type: sample, inputs: [x], share: 10% }");
    batch(texts, 1);
    assert_string_equal(body(0), "{\"a\":\"xyz\",\"_w\":10}");
}

static void test_json_without_fields_is_the_record_with_its_edits(void **state)
{
    static const char *const texts[] = {" {\"a\": 1}", "[2]"};
    (void)state;
    open_with("{ encoding: { codec: json } }", true, "{ type: sample, inputs: [x], share: 100% }");
    batch(texts, 2);
    assert_memory_equal(body(0), " {\"a\": 1,\"_w\":1,", 16);
    assert_string_equal(body(1), "[2]");
}

static void test_large_records_move_to_larger_blocks(void **state)
{
    char *big = malloc(300001 + 16);
    const char *texts[4];
    (void)state;
    assert_non_null(big);
    memset(big, 'q', 300000);
    memcpy(big, "{\"a\":\"", 6);
    memcpy(big + 299998, "\"}", 3);
    for (int i = 0; i < 4; i++)
        texts[i] = big;
    open_with("{ encoding: { codec: json, fields: [a, time] } }", false, SAMPLER);
    batch(texts, 4);
    for (uint32_t i = 0; i < 4; i++) {
        struct sl_slice slice = bytes_of(i);
        assert_int_equal(slice.bytes, 300000 - 1 + sizeof(",\"time\":\"2026-11-22T05:14:56.000Z\"}") - 1);
        assert_memory_equal(slice.data, big, 299999);
    }
    free(big);
}

static void test_over_budget_is_said(void **state)
{
    static const char *const texts[] = {"{\"a\":\"0123456789\"}"};
    uint32_t cursor = 0;
    (void)state;
    open_with("{ encoding: { codec: json, fields: [a] } }", false, SAMPLER);
    batch(texts, 1);
    while (sl_arena_alloc(&json.bench.arena, 1 << 20) != NULL)
        ;
    while (sl_arena_alloc(&json.bench.arena, 64) != NULL)
        ;
    assert_null(sl_encode(encoder, &json.bench.view, 0, &cursor).data);
}

/* What protoc makes of an envelope. */
static void protoc_text(struct sl_slice packed, char *text, size_t bytes)
{
    char path[128], command[512];
    FILE *file;
    size_t got;

    (void)snprintf(path, sizeof(path), "%s/envelope", json.bench.dir);
    file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(packed.data, 1, packed.bytes, file), packed.bytes);
    assert_int_equal(fclose(file), 0);
    (void)snprintf(command, sizeof(command), "protoc --proto_path=%s/runtime/envelope --decode=sluice.v1.Envelope envelope.proto <%s",
                   SL_SOURCE_DIR, path);
    file = popen(command, "r");
    assert_non_null(file);
    got = fread(text, 1, bytes - 1, file);
    text[got] = '\0';
    assert_int_equal(WEXITSTATUS(pclose(file)), 0);
}

static void test_protobuf_is_read_by_protoc(void **state)
{
    static const char *const texts[] = {
        "{\"ts\":1795322096123,\"service\":\"p\\u00e4y\",\"level\":\"error\",\"host\":\"h1\",\"trace_id\":\"t\",\"span_id\":\"s\",\"n\":7,\"o\":{\"a\":1}}"};
    char text[4096];
    (void)state;
    open_with("{ encoding: { codec: protobuf, fields: [n, o.a, missing, time], names: { o.a: deep } } }", false, SAMPLER);
    batch(texts, 1);
    protoc_text(bytes_of(0), text, sizeof(text));
    assert_non_null(strstr(text, "time_unix_ns: 1795322096123000000\nhost: \"h1\"\nservice: \"p\\303\\244y\"\nlevel: \"error\"\n"
                                 "trace_id: \"t\"\nspan_id: \"s\"\nformat: \"json\"\nbody: \"{\\\"ts\\\":1795322096123,"));
    assert_non_null(strstr(text, "attributes {\n  key: \"n\"\n  value: \"7\"\n}\n")); /* protoc sorts maps */
    assert_non_null(strstr(text, "attributes {\n  key: \"deep\"\n  value: \"1\"\n}\n"));
    assert_non_null(strstr(text, "attributes {\n  key: \"time\"\n  value: \"2026-11-22T04:34:56.123Z\"\n}\n"));
    assert_null(strstr(text, "missing"));
}

static void test_what_protoc_writes_is_read(void **state)
{
    char command[1024], bytes[1024];
    struct sl_envelope envelope;
    FILE *file;
    size_t got;
    (void)state;
    (void)snprintf(command, sizeof(command),
                   "echo 'time_unix_ns: 7 host: \"h\" level: \"warn\" format: \"json\" body: \"{}\" attributes { key: \"k\" value: \"v\" }' | "
                   "protoc --proto_path=%s/runtime/envelope --encode=sluice.v1.Envelope envelope.proto", SL_SOURCE_DIR);
    file = popen(command, "r");
    assert_non_null(file);
    got = fread(bytes, 1, sizeof(bytes), file);
    assert_int_equal(WEXITSTATUS(pclose(file)), 0);
    assert_int_equal(sl_envelope_unpack(&json.bench.arena, (struct sl_slice){bytes, (uint32_t)got}, &envelope), SL_ENVELOPE_FINE);
    assert_int_equal(envelope.time_unix_ns, 7);
    assert_true(sl_slice_is(envelope.host, "h") && sl_slice_is(envelope.level, "warn") && sl_slice_is(envelope.format, "json"));
    assert_true(sl_slice_is(envelope.body, "{}") && envelope.service.bytes == 0 && envelope.attributes_count == 1);
    assert_true(sl_slice_is(envelope.attributes[0].name, "k") && sl_slice_is(envelope.attributes[0].value, "v"));
}

static void test_envelopes_come_back_as_they_went(void **state)
{
    static const struct sl_envelope_attribute attributes[] = {{{"k", 1}, {"v", 1}}, {{"", 0}, {"\xff\xfe z\xc3", 5}}};
    struct sl_envelope envelope = {.time_unix_ns = 5, .host = {"h\0x", 3}, .body = {"\0\n\xff", 3}, .attributes = attributes, .attributes_count = 2};
    struct sl_envelope back;
    struct sl_slice packed;
    (void)state;
    assert_int_equal(sl_envelope_pack(&json.bench.arena, &envelope, &packed), 0);
    assert_int_equal(sl_envelope_unpack(&json.bench.arena, packed, &back), SL_ENVELOPE_FINE);
    assert_int_equal(back.time_unix_ns, 5);
    assert_true(sl_slice_is(back.host, "h x"));
    assert_true(sl_slice_eq(back.body, envelope.body));
    assert_int_equal(back.service.bytes, 0);
    assert_int_equal(back.attributes_count, 2);
    assert_true(sl_slice_is(back.attributes[0].value, "v"));
    assert_true(sl_slice_is(back.attributes[1].value, "\xEF\xBF\xBD\xEF\xBF\xBD z\xEF\xBF\xBD"));
}

static void test_damaged_envelopes_are_told_apart(void **state)
{
    static char empty_entries[6001];
    struct sl_envelope back;
    (void)state;
    for (int i = 0; i < 3000; i++)
        memcpy(empty_entries + (size_t)i * 2, "\x4a\0", 2); /* an entry of nothing: 2 bytes that become a struct and two texts */
    assert_int_equal(sl_envelope_unpack(&json.bench.arena, (struct sl_slice){"", 0}, &back), SL_ENVELOPE_FINE);
    assert_int_equal(sl_envelope_unpack(&json.bench.arena, (struct sl_slice){"\x42\x05" "ab", 4}, &back), SL_ENVELOPE_MALFORMED);
    assert_int_equal(sl_envelope_unpack(&json.bench.arena, (struct sl_slice){"no protobuf", 11}, &back), SL_ENVELOPE_MALFORMED);
    assert_int_equal(sl_envelope_unpack(&json.bench.arena, (struct sl_slice){"\x12\x01\xff", 3}, &back), SL_ENVELOPE_UTF8);
    assert_int_equal(sl_envelope_unpack(&json.bench.arena, (struct sl_slice){empty_entries, 6000}, &back), SL_ENVELOPE_LARGE);
    /* a field of a later version is ignored */
    assert_int_equal(sl_envelope_unpack(&json.bench.arena, (struct sl_slice){"\xa2\x06\x01x\x1a\x01s", 7}, &back), SL_ENVELOPE_FINE);
    assert_true(sl_slice_is(back.service, "s"));
}

static void test_json_is_the_default_of_sinks_that_take_nothing_else(void **state)
{
    (void)state;
    assert_int_equal(encoding_of("{ type: x }", SL_ENCODING_JSON)->codec, SL_CODEC_JSON);
    assert_int_equal(encoding_of("{ encoding: { fields: [a] } }", SL_ENCODING_JSON)->fields_count, 1);
    assert_null(encoding_of("{ type: x }", SL_ENCODING_LINES));
    assert_null(encoding_of("{ type: x }", SL_ENCODING_JSON | SL_ENCODING_LETTERS));
    assert_string_equal(said, "");
    assert_null(encoding_of("{ encoding: { codec: raw } }", SL_ENCODING_JSON));
    assert_string_equal(said, "it.encoding.codec: this sink takes JSON objects only, not raw: write codec: json, or leave it out");
    assert_null(encoding_of("{ encoding: { codec: json } }", SL_ENCODING_JSON | SL_ENCODING_LETTERS));
    assert_string_equal(said, "it.encoding.codec: dead letters are JSON objects already, each with the raw bytes in it: leave encoding: out");
}

static void test_equal_encodings_have_equal_hashes(void **state)
{
    const struct sl_encoding *a = encoding_of("{ encoding: { codec: json, fields: [a, time] } }", 0);
    const struct sl_encoding *same = encoding_of("{ encoding: { fields: [ \"a\", time ], codec: json } }", 0);
    const struct sl_encoding *cast = encoding_of("{ encoding: { codec: json, fields: [a, time], types: { a: number } } }", 0);
    (void)state;
    assert_int_equal(sl_encoding_hash(a, 1), sl_encoding_hash(same, 1));
    assert_int_not_equal(sl_encoding_hash(a, 1), sl_encoding_hash(cast, 1));
    assert_int_not_equal(sl_encoding_hash(a, 1), sl_encoding_hash(encoding_of("{ encoding: { codec: csv, fields: [a, time] } }", 0), 1));
    assert_int_not_equal(sl_encoding_hash(a, 1), sl_encoding_hash(NULL, 1));
}

/* Of a topology of our own kinds: what is said of it. */
static const char *check(const char *text, bool *ret_fine)
{
    static char words[2048];
    char path[96];
    struct sl_topology *topology = NULL;
    struct sl_diags diags;
    FILE *file;

    (void)snprintf(path, sizeof(path), "%s/t.yaml", json.bench.dir);
    file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, strlen(text), file), strlen(text));
    assert_int_equal(fclose(file), 0);
    sl_diags_init(&diags);
    *ret_fine = sl_topology_load(path, &sl_registry_builtin, NULL, &diags, &topology) == 0;
    words[0] = '\0';
    for (uint32_t i = 0; i < diags.count; i++)
        (void)snprintf(words, sizeof(words), "%s%s: %s", diags.items[i].warning ? "warning: " : "", diags.items[i].text, diags.items[i].remedy);
    assert_true(diags.count <= 1);
    sl_diags_fini(&diags);
    (void)sl_topology_free(topology);
    return words;
}

#define TOPOLOGY(format, stage, sink)                                                                                            \
    "name: t\nsources: { in: { type: stdin } }\noperators:\n  parsed: { type: parse, inputs: [in], format: " format " }\n"         \
    "  stage: " stage "\nsinks:\n  out: " sink "\n"

static void test_what_codec_raw_would_lose_is_said(void **state)
{
    bool fine;
    (void)state;
    assert_string_equal(check(TOPOLOGY("text", "{ type: sample, inputs: [parsed], share: 10% }", "{ type: stdout, inputs: [stage] }"), &fine),
                        "warning: sinks.out.encoding: codec raw writes what parsed read as it came, without the stamps of stage, as it is not JSON: "
                        "write encoding: { codec: json }, or stamp: false at stage");
    assert_true(fine);
    assert_string_equal(check(TOPOLOGY("text", "{ type: sample, inputs: [parsed], share: 10%, stamp: false }", "{ type: stdout, inputs: [stage] }"), &fine), "");
    assert_true(fine);
    assert_string_equal(check(TOPOLOGY("text", "{ type: set, inputs: [parsed], fields: { a: 1 } }", "{ type: stdout, inputs: [stage] }"), &fine),
                        "sinks.out.encoding: codec raw would write what parsed read as it came, without what stage changes, as it is not JSON: "
                        "write encoding: { codec: json }");
    assert_false(fine);
    assert_string_equal(check(TOPOLOGY("text", "{ type: set, inputs: [parsed], fields: { a: 1 } }",
                                       "{ type: stdout, inputs: [stage], encoding: { codec: json } }"), &fine), "");
    assert_true(fine);
    assert_string_equal(check(TOPOLOGY("json", "{ type: set, inputs: [parsed], fields: { a: 1 } }", "{ type: stdout, inputs: [stage] }"), &fine), "");
    assert_true(fine);
    assert_string_equal(check(TOPOLOGY("text", "{ type: parse, inputs: [parsed], format: json }", "{ type: stdout, inputs: [stage] }"), &fine), "");
    assert_true(fine);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_json_writes_the_fields_that_are_there),
        TEST(test_casts_change_the_type_or_leave_the_value_out),
        TEST(test_whole_seconds_have_no_decimals),
        TEST(test_an_object_without_any_field_is_empty),
        TEST(test_text_fills_the_template),
        TEST(test_a_sink_that_keeps_records_apart_keeps_line_ends),
        TEST(test_csv_quotes_as_rfc_4180_says),
        TEST(test_one_empty_cell_is_still_a_record),
        TEST(test_fields_see_the_stamps_of_a_sampler),
        TEST(test_a_stamp_that_moves_other_fields),
        TEST(test_json_without_fields_is_the_record_with_its_edits),
        TEST(test_large_records_move_to_larger_blocks),
        TEST(test_over_budget_is_said),
        TEST(test_protobuf_is_read_by_protoc),
        TEST(test_what_protoc_writes_is_read),
        TEST(test_envelopes_come_back_as_they_went),
        TEST(test_damaged_envelopes_are_told_apart),
        TEST(test_json_is_the_default_of_sinks_that_take_nothing_else),
        TEST(test_equal_encodings_have_equal_hashes),
        TEST(test_what_codec_raw_would_lose_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
