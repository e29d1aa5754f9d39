/* test_protobuf_format.c: envelopes through `parse` with format protobuf: roles, fields, bodies, what is malformed, and the way back
 * from codec protobuf.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "operators/stages/formats/format.h"
#include "operators/stages/stages.h"
#include "runtime/envelope/envelope.h"
#include "tests/support/stage_bench.h"
#include "tests/support/stage_config.h"

static struct bench bench;
static _Alignas(16) char parse[8192];
static struct sl_err err;
static struct sl_name names[BENCH_COLUMNS];
static uint32_t names_count;
static bool whole;
static struct sl_arena packs; /* a batch's own is emptied by the next */

static bool is_whole(struct sl_names *of)
{
    (void)of;
    return whole;
}

static int setup(void **state)
{
    (void)state;
    bench_init(&bench);
    bench.names.is_whole = is_whole;
    whole = true;
    return sl_arena_init(&packs, 1 << 20, 1 << 26);
}

static int teardown(void **state)
{
    (void)state;
    sl_op_parse.close(parse);
    for (uint32_t i = 0; i < names_count; i++)
        sl_name_fini(&names[i]);
    names_count = 0;
    config_fini();
    bench_fini(&bench);
    sl_arena_fini(&packs);
    return 0;
}

static int column(const char *text)
{
    assert_int_equal(sl_name_parse(text, &names[names_count], &err), 0);
    return bench.names.column(&bench.names, &names[names_count++], &err);
}

static void open_parse(void)
{
    uint32_t columns[BENCH_COLUMNS];

    assert_true(sl_op_parse.head.self_bytes <= sizeof(parse));
    assert_int_equal(sl_op_parse.open(parse, &bench.api, config_of(&sl_op_parse.head, "{ type: parse, inputs: [x], format: protobuf }"),
                                      &bench.names, &err),
                     0);
    for (uint32_t i = 0; i < BENCH_COLUMNS; i++)
        columns[i] = i;
    assert_int_equal(sl_op_parse.ready(parse, columns, bench.columns_count, &bench.names, &err), 0);
}

/* One batch of these payloads. */
static void process(const struct sl_slice *payloads, uint32_t count)
{
    const char *texts[16];

    for (uint32_t i = 0; i < count; i++)
        texts[i] = "";
    bench_batch(&bench, texts, count);
    for (uint32_t i = 0; i < count; i++) {
        bench.batch.raw[i] = sl_arena_copy(&bench.arena, payloads[i]);
        assert_non_null(bench.batch.raw[i].data);
    }
    if (sl_op_parse.process(parse, &bench.view, &err) != 0)
        fail_msg("%s", err.text);
    sl_view_compact(&bench.view);
}

static struct sl_slice packed(const struct sl_envelope *envelope)
{
    struct sl_slice bytes;

    assert_int_equal(sl_envelope_pack(&packs, envelope, &bytes), 0);
    return bytes;
}

static const char *body(uint32_t row)
{
    static char text[4096];
    struct sl_slice slice = sl_view_text(&bench.view, row);

    (void)snprintf(text, sizeof(text), "%.*s", (int)slice.bytes, slice.data);
    return text;
}

static const char *cell(int index, uint32_t row)
{
    static char text[4096];
    const struct sl_column *cells = &bench.view.decoded->columns[index];

    if (cells->type[row] == SL_T_ABSENT)
        return NULL;
    (void)snprintf(text, sizeof(text), "%.*s", (int)cells->value[row].bytes, cells->value[row].data);
    return text;
}

static const struct sl_envelope_attribute attributes[] = {{{"k", 1}, {"v\"\n", 3}}, {{"a.b", 3}, {"", 0}}};
#define TEXT(text) {text, sizeof(text) - 1}

static void test_fields_roles_and_bodies(void **state)
{
    const struct sl_envelope envelope = {.time_unix_ns = 1795322096123456789ull, .host = TEXT("h1"), .service = TEXT("pay"),
                                         .level = TEXT("warning"), .trace_id = TEXT("t1"), .span_id = TEXT("s1"), .format = TEXT("json"),
                                         .body = TEXT(" {\"user\":{\"id\":7}}"), .attributes = attributes, .attributes_count = 2};
    const struct sl_slice payload = packed(&envelope);
    int id = column("body.user.id"), host = column("host"), k = column("attributes.k"), missing = column("attributes.x");
    (void)state;
    open_parse();
    process(&payload, 1);
    assert_int_equal(bench.view.sel_count, 1);
    assert_int_equal(bench.view.decoded->time_unix_ms[0], 1795322096123);
    assert_true(sl_slice_is(sl_intern_name(bench.view.decoded->service[0]), "pay"));
    assert_int_equal(bench.view.decoded->level[0], SL_LEVEL_WARN);
    assert_true(bench.view.decoded->json && bench.view.decoded->foreign);
    assert_string_equal(cell(id, 0), "7");
    assert_string_equal(cell(host, 0), "h1");
    assert_string_equal(cell(k, 0), "v\"\n");
    assert_null(cell(missing, 0));
    assert_string_equal(cell(bench.view.decoded->trace, 0), "t1");
    assert_string_equal(body(0), "{\"time\":1795322096123456789,\"host\":\"h1\",\"service\":\"pay\",\"level\":\"warning\",\"trace_id\":\"t1\","
                                 "\"span_id\":\"s1\",\"format\":\"json\",\"attributes\":{\"k\":\"v\\\"\\n\",\"a.b\":\"\"},"
                                 "\"body\": {\"user\":{\"id\":7}}}");
}

static void test_bodies_that_only_claim_to_be_json_stay_texts(void **state)
{
    const struct sl_envelope claims[] = {
        {.format = TEXT("json"), .body = TEXT("{},\"level\":\"fatal\",\"x\":{}")}, /* would become members of ours */
        {.format = TEXT("json"), .body = TEXT("{\"a\":1")},
        {.format = TEXT("text"), .body = TEXT("{\"a\":1}")},
        {.body = TEXT("\xff\0x")},
        {.format = TEXT("json"), .body = TEXT("5")},
        {.format = TEXT("json")},
    };
    static const char *const bodies[] = {"{\"format\":\"json\",\"body\":\"{},\\\"level\\\":\\\"fatal\\\",\\\"x\\\":{}\"}",
                                         "{\"format\":\"json\",\"body\":\"{\\\"a\\\":1\"}",
                                         "{\"format\":\"text\",\"body\":\"{\\\"a\\\":1}\"}",
                                         "{\"body\":\"\xEF\xBF\xBD\\u0000x\"}",
                                         "{\"format\":\"json\",\"body\":5}",
                                         "{\"format\":\"json\"}"};
    struct sl_slice payloads[6];
    (void)state;
    for (int i = 0; i < 6; i++)
        payloads[i] = packed(&claims[i]);
    open_parse();
    process(payloads, 6);
    assert_int_equal(bench.view.sel_count, 6);
    for (uint32_t i = 0; i < 6; i++) {
        assert_string_equal(body(i), bodies[i]);
        assert_int_equal(bench.view.decoded->level[i], SL_LEVEL_NONE);
    }
}

static void test_malformed_ones_are_set_aside_alone(void **state)
{
    const struct sl_envelope good = {.service = TEXT("pay")};
    struct sl_slice payloads[] = {{"", 0}, packed(&good), {"{\"json\":1}", 10}, {"\x12\x01\xff", 3}, {NULL, 0}};
    static char entries[4001];
    (void)state;
    for (int i = 0; i < 2000; i++)
        memcpy(entries + 2 * (size_t)i, "\x4a\0", 2);
    payloads[4] = (struct sl_slice){entries, 4000};
    open_parse();
    process(payloads, 5);
    assert_int_equal(bench.view.sel_count, 1);
    assert_int_equal(bench.view.reason[0], SL_FORMAT_EMPTY);
    assert_int_equal(bench.view.reason[2], SL_FORMAT_PROTOBUF_SHAPE);
    assert_int_equal(bench.view.reason[3], SL_FORMAT_PROTOBUF_UTF8);
    assert_int_equal(bench.view.reason[4], SL_FORMAT_PROTOBUF_LARGE);
    assert_string_equal(body(1), "{\"service\":\"pay\"}");
}

static void test_a_body_as_deep_as_json_may_be_is_set_aside(void **state)
{
    static char deep[2 * SL_JSON_DEPTH + 1];
    struct sl_envelope envelope = {.format = TEXT("json"), .body = {deep, 2 * SL_JSON_DEPTH}};
    struct sl_slice payload;
    (void)state;
    memset(deep, '[', SL_JSON_DEPTH);
    memset(deep + SL_JSON_DEPTH, ']', SL_JSON_DEPTH);
    payload = packed(&envelope);
    open_parse();
    process(&payload, 1);
    assert_true(bench.view.sel_count == 0 || strlen(body(0)) > 1000);
}

static void test_without_need_there_are_no_bodies(void **state)
{
    const struct sl_envelope envelope = {.service = TEXT("pay"), .body = TEXT("x")};
    const struct sl_slice payload = packed(&envelope);
    int text = column("body");
    (void)state;
    whole = false;
    open_parse();
    process(&payload, 1);
    assert_string_equal(cell(text, 0), "x");
    assert_false(bench.view.decoded->json);
    assert_true(sl_view_text(&bench.view, 0).data == bench.batch.raw[0].data);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_fields_roles_and_bodies),
        TEST(test_bodies_that_only_claim_to_be_json_stay_texts),
        TEST(test_malformed_ones_are_set_aside_alone),
        TEST(test_a_body_as_deep_as_json_may_be_is_set_aside),
        TEST(test_without_need_there_are_no_bodies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
