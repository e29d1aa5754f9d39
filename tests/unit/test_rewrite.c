/* test_rewrite.c: what stages write is what the stages behind them read, and what other branches do not see.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "runtime/engine/rewrite.h"
#include "tests/support/stage_json.h"

enum { BAD = 7, NOW = 1795322096 /* 2026-11-22T04:34:56Z, the bench's append time */ };

static struct stage_json json;
static struct sl_rewriter *rewriter;
static int ts, service, level, trace, n, user;

static int column(const char *const *segments, uint32_t count)
{
    struct sl_name name = {.kind = SL_NAME_PATH, .path = {segments, count}};

    return json.bench.names.column(&json.bench.names, &name, &json.err);
}

static int setup(void **state)
{
    static const char *const names[] = {"ts", "service", "level", "trace_id", "n", "user", "id"};
    uint32_t columns[BENCH_COLUMNS];
    struct sl_name trace_role = {.kind = SL_NAME_TRACE};
    (void)state;
    stage_json_init(&json);
    n = column(&names[4], 1);
    user = column(&names[5], 2);
    trace = json.bench.names.column(&json.bench.names, &trace_role, &json.err);
    stage_json_open(&json, &sl_op_sample, "{ type: sample, inputs: [x], share: 100% }");
    ts = column(&names[0], 1);
    service = column(&names[1], 1);
    level = column(&names[2], 1);
    for (uint32_t i = 0; i < json.bench.columns_count; i++)
        columns[i] = i;
    /* told of two fields and the trace role: those of the other roles it must find by itself */
    columns[0] = (uint32_t)n;
    columns[1] = (uint32_t)user;
    columns[2] = (uint32_t)trace;
    assert_int_equal(sl_rewriter_new(columns, 3, &json.bench.names, &rewriter, &json.err), 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    rewriter = sl_rewriter_free(rewriter);
    stage_json_fini(&json);
    return 0;
}

static const char *cell(const struct sl_view *view, int index, uint16_t row)
{
    static char text[8][256];
    static int next;
    const struct sl_column *cells = &view->decoded->columns[index];
    char *to = text[next++ % 8];

    if (cells->type[row] == SL_T_ABSENT)
        return "(absent)";
    (void)snprintf(to, sizeof(text[0]), "%.*s", (int)cells->value[row].bytes, cells->value[row].data);
    return to;
}

static const char *body(const struct sl_view *view, uint16_t row)
{
    static char text[512];
    uint32_t cursor = 0;
    struct sl_slice slice = sl_view_body(view, row, &cursor);

    (void)snprintf(text, sizeof(text), "%.*s", (int)slice.bytes, slice.data);
    return text;
}

static const char *name_of(const struct sl_view *view, uint16_t row)
{
    static char text[64];
    struct sl_slice name = sl_intern_name(view->decoded->service[row]);

    (void)snprintf(text, sizeof(text), "%.*s", (int)name.bytes, name.data);
    return text;
}

static struct sl_edit edit(const struct sl_view *view, uint16_t row, const char *find, const char *paste)
{
    struct sl_slice text = sl_view_text(view, row);
    const char *at = memmem(text.data, text.bytes, find, strlen(find));

    assert_non_null(at);
    return (struct sl_edit){row, {(uint32_t)(at - text.data), (uint32_t)strlen(find)}, sl_slice_of(paste)};
}

static struct sl_slice padded(const char *text)
{
    return sl_arena_copy(&json.bench.arena, sl_slice_of(text));
}

static void test_what_is_written_is_read_behind_it_and_in_no_other_branch(void **state)
{
    static const char *const texts[] = {
        "{\"ts\":1795322095,\"service\":\"pay\",\"level\":\"info\",\"trace_id\":\"t1\",\"n\":1,\"user\":{\"id\":\"u1\"}}",
        "{\"ts\":1795322095,\"service\":\"pay\",\"level\":\"info\",\"trace_id\":\"t2\",\"n\":2,\"user\":{\"id\":\"u2\"}}",
        "{\"n\":3}"};
    struct sl_view mine, other;
    struct sl_edit edits[5];
    (void)state;
    stage_json_batch(&json, texts, 3);
    assert_int_equal(sl_view_branch(&mine, &json.bench.view), 0);
    assert_int_equal(sl_view_branch(&other, &json.bench.view), 0);
    assert_int_equal(sl_rewrite_settle(rewriter, &mine, &json.err), 0);
    edits[0] = edit(&mine, 2, "3", "4,\"service\":\"c\\u0061rt\",\"level\":40,\"trace_id\":\"t3\"");
    edits[1] = edit(&mine, 0, "\"pay\"", "\"shop\"");
    edits[2] = edit(&mine, 0, "1795322095", "\"2026-11-22T04:34:00Z\"");
    edits[3] = edit(&mine, 0, "\"info\"", "\"error\"");
    edits[4] = edit(&mine, 0, "{\"id\":\"u1\"}", "null");
    assert_int_equal(sl_rewrite_edits(rewriter, &mine, edits, 5, &json.err), 0);
    assert_int_equal(mine.edits_count, 0);

    assert_string_equal(body(&mine, 0), "{\"ts\":\"2026-11-22T04:34:00Z\",\"service\":\"shop\",\"level\":\"error\",\"trace_id\":\"t1\",\"n\":1,\"user\":null}");
    assert_string_equal(body(&mine, 1), texts[1]);
    assert_string_equal(name_of(&mine, 0), "shop");
    assert_int_equal(mine.decoded->level[0], SL_LEVEL_ERROR);
    assert_int_equal(mine.decoded->time_unix_ms[0], (NOW - 56) * 1000ll);
    assert_string_equal(cell(&mine, user, 0), "(absent)");
    assert_string_equal(cell(&mine, n, 0), "1");
    assert_string_equal(name_of(&mine, 1), "pay");
    assert_string_equal(cell(&mine, user, 1), "u2");
    assert_string_equal(cell(&mine, trace, 1), "t2");
    assert_string_equal(name_of(&mine, 2), "cart");
    assert_int_equal(mine.decoded->level[2], SL_LEVEL_WARN);
    assert_string_equal(cell(&mine, trace, 2), "t3");
    assert_string_equal(cell(&mine, n, 2), "4");

    assert_string_equal(body(&other, 0), texts[0]);
    assert_string_equal(name_of(&other, 0), "pay");
    assert_int_equal(other.decoded->level[0], SL_LEVEL_INFO);
    assert_int_equal(other.decoded->time_unix_ms[0], (NOW - 1) * 1000ll);
    assert_string_equal(cell(&other, user, 0), "u1");
    assert_int_equal(other.decoded->level[2], SL_LEVEL_NONE);
    assert_string_equal(cell(&other, trace, 2), "(absent)");
}

static void test_all_rows_at_once_and_twice_in_one_process(void **state)
{
    static const char *const texts[] = {"{\"n\":1,\"level\":\"info\"}", "{\"n\":2,\"level\":\"warn\"}"};
    struct sl_edit edits[2];
    (void)state;
    stage_json_batch(&json, texts, 2);
    for (int round = 0; round < 2; round++) {
        if (round == 0)
            assert_int_equal(sl_rewrite_settle(rewriter, &json.bench.view, &json.err), 0);
        edits[0] = edit(&json.bench.view, 0, "{", "{\"user\":{\"id\":5},");
        edits[1] = edit(&json.bench.view, 1, round == 0 ? "2" : "22", round == 0 ? "22" : "222");
        assert_int_equal(sl_rewrite_edits(rewriter, &json.bench.view, edits, 2, &json.err), 0);
    }
    assert_string_equal(body(&json.bench.view, 0), "{\"user\":{\"id\":5},\"user\":{\"id\":5},\"n\":1,\"level\":\"info\"}");
    assert_string_equal(cell(&json.bench.view, n, 1), "222");
    assert_string_equal(cell(&json.bench.view, user, 0), "5");
    assert_int_equal(json.bench.view.decoded->level[1], SL_LEVEL_WARN);
}

static void test_a_samplers_stamps_are_settled_first(void **state)
{
    static const char *const texts[] = {"{\"n\":1}", "{\"n\":2}", "[1]"};
    struct sl_edit one;
    (void)state;
    stage_json_batch(&json, texts, 3);
    stage_json_process(&json);
    assert_true(json.bench.view.edits_count > 0);
    assert_int_equal(sl_rewrite_settle(rewriter, &json.bench.view, &json.err), 0);
    assert_int_equal(json.bench.view.edits_count, 0);
    one = edit(&json.bench.view, 1, ",\"_w\":1", ",\"_w\":9");
    assert_int_equal(sl_rewrite_edits(rewriter, &json.bench.view, &one, 1, &json.err), 0);
    assert_memory_equal(body(&json.bench.view, 0), "{\"n\":1,\"_w\":1,", 14);
    assert_memory_equal(body(&json.bench.view, 1), "{\"n\":2,\"_w\":9,", 14);
    assert_string_equal(body(&json.bench.view, 2), "[1]");
    assert_string_equal(cell(&json.bench.view, n, 1), "2");
    stage_json_process(&json); /* a second sampler stamps what was written, not what was sent */
    assert_memory_equal(body(&json.bench.view, 1), "{\"n\":2,\"_w\":9,", 14);
}

static void test_a_text_that_is_no_json_is_set_aside(void **state)
{
    static const char *const texts[] = {"{\"service\":\"a\"}", "{\"service\":\"a\"}", "{\"service\":\"a\"}"};
    static const uint16_t rows[] = {0, 2};
    struct sl_slice made[2];
    (void)state;
    stage_json_batch(&json, texts, 3);
    made[0] = padded("{\"service\":\"b\",}");
    made[1] = padded("{\"service\":\"c\"}");
    assert_int_equal(sl_rewrite_settle(rewriter, &json.bench.view, &json.err), 0);
    assert_int_equal(sl_rewrite_texts(rewriter, &json.bench.view, rows, made, 2, BAD, &json.err), 0);
    sl_view_compact(&json.bench.view);
    assert_int_equal(json.bench.view.fate[0], SL_DEAD);
    assert_int_equal(json.bench.view.reason[0], BAD);
    assert_string_equal(name_of(&json.bench.view, 0), "a"); /* for the account */
    assert_int_equal(json.bench.view.sel_count, 2);
    assert_string_equal(name_of(&json.bench.view, 1), "a");
    assert_string_equal(name_of(&json.bench.view, 2), "c");
}

static void test_a_role_without_its_field_is_gone_and_an_implausible_time_is_the_append_time(void **state)
{
    static const char *const texts[] = {"{\"ts\":1795322095,\"service\":\"a\",\"level\":\"warn\"}",
                                        "{\"ts\":1795322095,\"service\":\"a\",\"level\":\"warn\"}"};
    struct sl_edit edits[2];
    (void)state;
    stage_json_batch(&json, texts, 2);
    assert_int_equal(sl_rewrite_settle(rewriter, &json.bench.view, &json.err), 0);
    edits[0] = edit(&json.bench.view, 0, texts[0], "{}");
    edits[1] = edit(&json.bench.view, 1, "1795322095", "1795408497"); /* more than a day ahead */
    assert_int_equal(sl_rewrite_edits(rewriter, &json.bench.view, edits, 2, &json.err), 0);
    assert_int_equal(json.bench.view.decoded->service[0], SL_INTERN_NONE);
    assert_int_equal(json.bench.view.decoded->level[0], SL_LEVEL_NONE);
    assert_int_equal(json.bench.view.decoded->time_unix_ms[0], NOW * 1000ll);
    assert_int_equal(json.bench.view.decoded->time_unix_ms[1], NOW * 1000ll); /* rule A5 */
    assert_int_equal(json.bench.view.decoded->level[1], SL_LEVEL_WARN);
}

static void test_a_role_whose_field_stays_is_left_alone(void **state)
{
    static const char *const texts[] = {"{\"ts\":\"10/Oct/2026\",\"n\":1}"};
    int64_t own = 1795000000000;
    struct sl_decoded decoded;
    struct sl_edit one;
    (void)state;
    stage_json_batch(&json, texts, 1);
    decoded = *json.bench.view.decoded; /* as a format that reads such times would have it */
    decoded.time_unix_ms = &own;
    json.bench.view.decoded = &decoded;
    assert_int_equal(sl_rewrite_settle(rewriter, &json.bench.view, &json.err), 0);
    one = edit(&json.bench.view, 0, "1}", "2}");
    assert_int_equal(sl_rewrite_edits(rewriter, &json.bench.view, &one, 1, &json.err), 0);
    assert_int_equal(json.bench.view.decoded->time_unix_ms[0], own);
    assert_string_equal(cell(&json.bench.view, n, 0), "2");
}

static void test_before_any_parse_stage_there_are_bodies_and_nothing_else(void **state)
{
    static const char *const texts[] = {"{\"n\":1}", "no json"};
    struct sl_edit one;
    (void)state;
    bench_batch(&json.bench, texts, 2);
    assert_int_equal(sl_rewrite_settle(rewriter, &json.bench.view, &json.err), 0);
    one = edit(&json.bench.view, 0, "1", "2");
    assert_int_equal(sl_rewrite_edits(rewriter, &json.bench.view, &one, 1, &json.err), 0);
    assert_string_equal(body(&json.bench.view, 0), "{\"n\":2}");
    assert_string_equal(body(&json.bench.view, 1), "no json");
    stage_json_batch(&json, texts, 1); /* and the same rewriter behind one */
    assert_int_equal(sl_rewrite_settle(rewriter, &json.bench.view, &json.err), 0);
    one = edit(&json.bench.view, 0, "1", "3");
    assert_int_equal(sl_rewrite_edits(rewriter, &json.bench.view, &one, 1, &json.err), 0);
    assert_string_equal(cell(&json.bench.view, n, 0), "3");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_is_written_is_read_behind_it_and_in_no_other_branch, setup, teardown),
        cmocka_unit_test_setup_teardown(test_all_rows_at_once_and_twice_in_one_process, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_samplers_stamps_are_settled_first, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_text_that_is_no_json_is_set_aside, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_role_without_its_field_is_gone_and_an_implausible_time_is_the_append_time, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_role_whose_field_stays_is_left_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_before_any_parse_stage_there_are_bodies_and_nothing_else, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
