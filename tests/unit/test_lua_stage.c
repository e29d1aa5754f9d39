/* test_lua_stage.c: what scripts may do to records, and what becomes of those that loop, eat memory, fail or never return.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/support/stage_json.h"

#ifdef SLUICE_LUA
enum { DROPPED, CHANGED, DERIVED, ERRORS, LOOPS, MEMORY, STUCK, UNRUN, STARTS };

static struct stage_json json;

static int setup(void **state)
{
    (void)state;
    stage_json_init(&json);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    stage_json_fini(&json);
    return 0;
}

/* The settings as a file, so that scripts need no quoting: `more` is a flow of further settings, each with a comma before it. */
static void open_script(const char *script, const char *more)
{
    static char settings[8192];
    char path[128];
    FILE *file;

    (void)snprintf(path, sizeof(path), "%s/script.lua", json.bench.dir);
    file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(script, file) >= 0);
    assert_int_equal(fclose(file), 0);
    (void)snprintf(settings, sizeof(settings), "{ type: lua, inputs: [x], script: \"%s\"%s }", path, more);
    stage_json_open(&json, &sl_op_lua, settings);
}

static struct sl_view *run(const char *const *texts, uint32_t count)
{
    struct sl_view *view = &json.bench.view;

    stage_json_batch(&json, texts, count);
    if (sl_op_lua.process(json.stage, view, &json.err) != 0)
        fail_msg("%s", json.err.text);
    return view;
}

static struct sl_view *run_one(const char *text)
{
    return run(&text, 1);
}

static void has_text(const struct sl_view *view, uint32_t row, const char *text)
{
    struct sl_slice is = sl_view_text(view, row);

    if (!sl_slice_is(is, text))
        fail_msg("row %u is %.*s, not %s", row, (int)is.bytes, is.data, text);
}

static void has_note(const struct sl_view *view, uint32_t row, const char *part)
{
    const char *note = view->note[row] != NULL ? view->note[row] : sl_op_lua.head.reasons[view->reason[row]];

    assert_int_equal(view->fate[row], SL_DEAD);
    assert_true(view->reason[row] > 0);
    if (strstr(note, part) == NULL)
        fail_msg("row %u died of \"%s\", not of \"%s\"", row, note, part);
}

/* ---- what scripts do ---- */

static void test_what_process_returns_decides(void **state)
{
    static const char *const texts[] = {"{\"n\":1}", "{\"n\":2}", "{\"n\":3}", "{\"n\":4}", "{\"n\":5}", "{\"n\":6}", "{\"n\":7}", "{\"n\":8}"};
    const struct sl_view *view;
    (void)state;
    open_script("function process(r)\n local n = r:get('n')\n"
                " if n == 1 then return end\n if n == 2 then return true end\n if n == 3 then return false end\n"
                " if n == 4 then return '{\"new\":4}' end\n if n == 5 then return { b = { 1, 2.5, 'x' }, a = 'q\\n\"' } end\n"
                " if n == 6 then return {} end\n if n == 7 then return r end\n return 8\nend\n", "");
    view = run(texts, 8);
    has_text(view, 0, texts[0]);
    has_text(view, 1, texts[1]);
    assert_int_equal(view->fate[2], SL_FILTERED);
    has_text(view, 3, "{\"new\":4}");
    has_text(view, 4, "{\"a\":\"q\\n\\\"\",\"b\":[1,2.5,\"x\"]}");
    assert_int_equal(view->fate[5], SL_FILTERED);
    has_text(view, 6, texts[6]);
    has_note(view, 7, "process returned a number");
    assert_int_equal(json.bench.counters[DROPPED], 2);
    assert_int_equal(json.bench.counters[CHANGED], 2);
    assert_int_equal(json.bench.counters[ERRORS], 1);
    assert_int_equal(json.bench.counters[STARTS], 0);
}

static void test_a_record_gives_its_fields_and_roles(void **state)
{
    static const char *const texts[] = {
        "{\"ts\":\"2026-11-22T05:14:56Z\",\"service\":\"shop\",\"level\":\"warning\",\"user\":{\"email\":\"a@b\",\"email\":\"second\"},"
        "\"t\":true,\"nil\":null,\"n\":-1.5e2,\"list\":[1,[],{}],\"k\\u00e9y\":\"\\u00e4\",\"a.b\":7}"};
    (void)state;
    open_script("function process(r)\n"
                " assert(r.service == 'shop' and r.level == 'warn' and r.time == 1795324496000)\n"
                " assert(r.topic == 'topic-a' and r.partition == '0' and r.offset == 0 and r.key == nil and r:header('h') == nil)\n"
                " assert(r:get('user.email') == 'a@b' and r:get('level') == 'warning' and r:get('.level') == 'warning')\n"
                " assert(r:get('t') == true and r:get('nil') == nil and r:get('none') == nil and r:get('user.none.deep') == nil)\n"
                " assert(r:get('n') == -150 and #r:get('list') == 3 and r:get('list')[1] == 1)\n"
                " assert(r:get('k\\195\\169y') == '\\195\\164' and r:get('a\\\\.b') == 7 and r:get('user').email == 'a@b')\n"
                " assert(#r:text() > 100)\nend\n", ", fields: [user.email, level]");
    assert_int_equal(run(texts, 1)->fate[0], SL_LIVE);
    assert_int_equal(json.bench.counters[ERRORS], 0);
}

static void test_set_and_remove_leave_all_else_alone(void **state)
{
    const struct sl_view *view;
    (void)state;
    open_script("function process(r)\n r:set('a', 2)\n assert(r:get('a') == 2)\n r:set('deep.er.x', { true })\n"
                " r:set('o.k', 'v')\n r:remove('gone')\n r:remove('o.gone')\n r:set('gone2', nil)\nend\n", ", fields: [a]");
    view = run_one("{ \"a\" : 1, \"gone\":1,\"keep\" : [1, 2],\"gone\":{\"x\":\"}\"},\"a\":3,\"o\":{\"gone\":1},\"o\":{\"gone\":2,\"z\":0},\"gone2\":1}");
    has_text(view, 0, "{\"a\":2,\"keep\" : [1, 2],\"o\":{\"k\":\"v\"},\"o\":{\"z\":0},\"deep\":{\"er\":{\"x\":[true]}}}");
    assert_int_equal(json.bench.counters[CHANGED], 1);
}

static void test_stages_behind_see_what_was_written(void **state)
{
    const struct sl_view *view;
    struct sl_name name;
    int column;
    (void)state;
    assert_int_equal(sl_name_parse("user", &name, &json.err), 0);
    column = json.bench.names.column(&json.bench.names, &name, &json.err);
    open_script("function process(r) r:set('user', 'new') r:set('level', 'fatal') r:set('service', 'other') end\n", "");
    view = run_one("{\"user\":\"old\",\"level\":\"info\",\"service\":\"shop\"}");
    assert_true(sl_slice_is(view->decoded->columns[column].value[0], "new"));
    assert_int_equal(view->decoded->level[0], SL_LEVEL_FATAL);
    assert_true(sl_slice_is(sl_intern_name(view->decoded->service[0]), "other"));
    sl_name_fini(&name);
}

static void test_one_record_becomes_several(void **state)
{
    static const char *const texts[] = {"{\"n\":1,\"service\":\"a\"}", "{\"n\":2,\"service\":\"a\"}", "{\"n\":3}", "{\"n\":4}"};
    static const uint16_t subs[] = {0, 0, 1, 2, 0, 0};
    static const uint64_t offsets[] = {0, 1, 1, 1, 2, 3};
    const struct sl_view *view;
    (void)state;
    open_script("function process(r)\n local n = r:get('n')\n if n == 2 then return { { first = 1 }, r, '{\"service\":\"b\"}' } end\n"
                " if n == 4 then return { r, r, r, r } end\nend\n", ", max_records_per_record: 3");
    view = run(texts, 4);
    assert_int_equal(view->batch->count, 6);
    assert_memory_equal(view->batch->sub, subs, sizeof(subs));
    assert_memory_equal(view->batch->offset, offsets, sizeof(offsets));
    has_text(view, 1, "{\"first\":1}");
    has_text(view, 2, texts[1]);
    has_text(view, 3, "{\"service\":\"b\"}");
    assert_true(sl_slice_is(sl_intern_name(view->decoded->service[3]), "b"));
    assert_int_equal(view->batch->parent[3], 1);
    assert_int_equal(view->batch->parent[5], 3);
    has_note(view, 5, "max_records_per_record is 3");
    assert_int_equal(json.bench.counters[DERIVED], 2);
}

static void test_derived_records_that_are_not_json_die_alone(void **state)
{
    const struct sl_view *view;
    (void)state;
    open_script("function process(r) return { r, 'no json' } end\n", "");
    view = run_one("{\"n\":1}");
    assert_int_equal(view->batch->count, 2);
    assert_int_equal(view->fate[0], SL_LIVE);
    has_note(view, 1, "not JSON");
}

/* ---- batches ---- */

static void test_columns_are_arrays_of_the_live_records(void **state)
{
    static const char *const texts[] = {"{\"level\":\"info\",\"u\":\"a\"}", "not json", "{\"level\":\"debug\",\"u\":2}", "{\"service\":\"s\"}"};
    const struct sl_view *view;
    (void)state;
    open_script("function process_batch(b)\n local u, l, s = b:column('u'), b.level, b.service\n"
                " if b.count == 3 then\n  assert(u[1] == 'a' and u[2] == 2 and u[3] == nil and u[4] == nil)\n"
                "  assert(l[1] == 'info' and l[2] == 'debug' and l[3] == nil and s[3] == 's' and b.time[1] > 1e12)\n"
                "  b:drop(2)\n  b:record(3):set('x', 1)\n  b:emit(1, { of = u[1] })\n"
                " else assert(b.count == 1 and u[2] == nil and #u <= 1) end\nend\n", ", fields: [u]");
    view = run(texts, 4);
    assert_int_equal(json.bench.counters[ERRORS], 0);
    assert_int_equal(view->batch->count, 5);
    has_text(view, 1, "{\"of\":\"a\"}");
    assert_int_equal(view->fate[2], SL_DEAD); /* parse's */
    assert_int_equal(view->fate[3], SL_FILTERED);
    has_text(view, 4, "{\"service\":\"s\",\"x\":1}");
    assert_int_equal(run(texts, 1)->fate[0], SL_LIVE);
    assert_int_equal(json.bench.counters[ERRORS], 0);
}

static void test_a_failing_batch_is_asked_again_record_by_record(void **state)
{
    static const char *const texts[] = {"{\"u\":1}", "{\"u\":\"bad\"}", "{\"u\":3}"};
    const struct sl_view *view;
    (void)state;
    open_script("function process_batch(b)\n local u = b:column('u')\n for i = 1, b.count do\n"
                "  b:record(i):set('v', u[i] + 1)\n  if u[i] == 3 then b:drop(i) end\n end\nend\n", ", fields: [u]");
    view = run(texts, 3);
    has_text(view, 0, "{\"u\":1,\"v\":2}");
    has_note(view, 1, "script.lua:4: attempt to perform arithmetic on a string value");
    assert_int_equal(view->fate[2], SL_FILTERED);
    assert_int_equal(json.bench.counters[ERRORS], 2); /* the batch, then the record */
    assert_int_equal(json.bench.counters[DROPPED], 1);
}

static void test_columns_that_were_not_declared_are_refused(void **state)
{
    (void)state;
    open_script("function process_batch(b) b:column('u') end\n", "");
    has_note(run_one("{}"), 0, "\"u\" is no column: add it to fields:");
}

/* ---- what scripts must not do ---- */

static const char *const bad_script =
    "local runs = 0\n"
    "function process(r)\n local what = r:get('do')\n runs = runs + 1\n"
    " if what == 'loop' then while true do end end\n"
    " if what == 'pcall' then while true do pcall(function() while true do end end) end end\n"
    " if what == 'caught' then return pcall(function() while true do end end) end\n"
    " if what == 'thread' then while true do coroutine.resume(coroutine.create(function() while true do end end)) end end\n"
    " if what == 'bomb' then local s = 'x' while true do s = s .. s end end\n"
    " if what == 'tables' then local t = {} for i = 1, 1e9 do t[i] = { i } end end\n"
    " if what == 'deep' then local function f() return 1 + f() end return f() end\n"
    " if what == 'error' then local none return none.x end\n"
    " if what == 'object' then error({}) end\n"
    " if what == 'pattern' then return string.find(string.rep('a', 60000), '.-.-.-.-.-b') end\n"
    " r:set('runs', runs)\nend\n";

static void contained(const char *what, enum sl_fate fate, const char *note, uint32_t counter)
{
    static char first[100];
    const char *const texts[] = {"{}", first, "{}"};
    const struct sl_view *view;

    (void)snprintf(first, sizeof(first), "{\"do\":\"%s\"}", what);
    view = run(texts, 3);
    assert_int_equal(view->fate[0], SL_LIVE);
    assert_int_equal(view->fate[1], fate);
    has_note(view, 1, note);
    assert_int_equal(view->fate[2], SL_LIVE);
    has_text(view, 2, counter == ERRORS ? "{\"runs\":3}" : "{\"runs\":1}"); /* a new state, but for plain errors */
    assert_int_equal(json.bench.counters[counter], 1);
    assert_int_equal(json.bench.counters[STARTS], counter != ERRORS);
}

#define CONTAINED(name, what, note, counter)                                                                                   \
    static void test_##name(void **state)                                                                                      \
    {                                                                                                                          \
        (void)state;                                                                                                           \
        open_script(bad_script, ", limits: { instructions: 1000000, memory: 4MiB }");                                           \
        contained(what, SL_DEAD, note, counter);                                                                               \
    }
CONTAINED(an_endless_loop_is_contained, "loop", "script.lua:5: more than 1000000 instructions", LOOPS)
CONTAINED(a_loop_around_pcall_is_contained, "pcall", "more than 1000000 instructions", LOOPS)
CONTAINED(a_caught_budget_is_no_way_on, "caught", "it caught the error", LOOPS)
CONTAINED(a_loop_of_coroutines_is_contained, "thread", "instructions", LOOPS)
CONTAINED(a_string_bomb_is_contained, "bomb", "script.lua: more than 4096 KiB of memory", MEMORY)
CONTAINED(a_table_bomb_is_contained, "tables", "more than 4096 KiB of memory", MEMORY)
CONTAINED(endless_recursion_is_contained, "deep", "stack overflow", ERRORS)
CONTAINED(a_runtime_error_is_told, "error", "script.lua:12: attempt to index local 'none' (a nil value)", ERRORS)
CONTAINED(an_error_that_is_no_text_is_contained, "object", "an error that is no text", ERRORS)

#ifndef __SANITIZE_THREAD__ /* the thread sanitizer holds signals back until the next call that it knows, and here none comes */
CONTAINED(a_pattern_without_end_is_cut_off, "pattern", "script.lua: more than 100 ms of CPU time in one call", STUCK)

static void test_a_compiled_loop_is_cut_off_and_compiled_no_more(void **state)
{
    static const char *const texts[] = {"{\"do\":\"loop\"}", "{}", "{\"do\":\"loop\"}"};
    const struct sl_view *view;
    (void)state;
    open_script(bad_script, ", jit: true, limits: { instructions: 1000000 }");
    view = run(texts, 3);
    has_note(view, 0, "ms of CPU time in one call; from now on it is interpreted");
    assert_int_equal(view->fate[1], SL_LIVE);
    has_note(view, 2, "instructions");
    assert_int_equal(json.bench.counters[STUCK], 1);
    assert_int_equal(json.bench.counters[LOOPS], 1);
}

static void test_a_batch_without_end_is_cut_off(void **state)
{
    static const char *const texts[] = {"{\"n\":1}", "{\"n\":2}"};
    const struct sl_view *view;
    (void)state;
    open_script("function process_batch(b) if b.count > 1 then string.find(string.rep('a', 60000), '.-.-.-.-.-b') end end\n", "");
    view = run(texts, 2);
    assert_int_equal(view->sel_count, 2);
    assert_int_equal(view->fate[0] | view->fate[1], SL_LIVE);
    assert_int_equal(json.bench.counters[STUCK], 1);
}
#endif

static void test_one_batch_costs_a_bounded_time(void **state)
{
    static const char *texts[1000];
    const struct sl_view *view;
    uint32_t dead = 0;
    (void)state;
    for (uint32_t i = 0; i < 1000; i++)
        texts[i] = i % 2 == 0 ? "{\"do\":\"loop\"}" : "{}";
    open_script(bad_script, "");
    view = run(texts, 1000);
    for (uint32_t i = 0; i < 1000; i++)
        dead += view->fate[i] == SL_DEAD;
    assert_int_equal(json.bench.counters[LOOPS], 16);
    assert_int_equal(json.bench.counters[UNRUN], 1000 - 31); /* 16 loops, the 15 good ones between them */
    assert_int_equal(dead, 1000 - 15);
    has_note(view, 999, "other records of the batch had used up");
    assert_int_equal(run_one("{}")->fate[0], SL_LIVE); /* the next batch begins afresh */
}

static void test_the_state_survives_ten_thousand_failures(void **state)
{
    static const char *const texts[] = {"{\"do\":\"error\"}", "{\"do\":\"bomb\"}", "{\"do\":\"loop\"}", "{}"};
    (void)state;
    open_script(bad_script, ", limits: { instructions: 10000, memory: 1MiB }");
    for (int i = 0; i < 2500; i++)
        assert_int_equal(run(texts, 4)->fate[3], SL_LIVE);
}

static void test_what_a_failed_call_wrote_is_forgotten(void **state)
{
    static const char *const texts[] = {"{\"n\":1}", "{\"n\":2}"};
    const struct sl_view *view;
    (void)state;
    open_script("local calls = 0\nfunction process(r)\n calls = calls + 1\n"
                " if calls == 1 then r:set('stale', true) error('no') end\n if calls == 3 then assert(r:get('stale') == nil) end\n"
                " if calls == 4 then r:set('fresh', r:text()) end\nend\n", "");
    view = run(texts, 2);
    has_note(view, 0, "no");
    view = run(texts, 2);
    assert_int_equal(view->fate[0], SL_LIVE);
    has_text(view, 0, texts[0]);
    has_text(view, 1, "{\"n\":2,\"fresh\":\"{\\\"n\\\":2}\"}");
}

static void test_nothing_outside_is_in_reach(void **state)
{
    const struct sl_view *view;
    (void)state;
    open_script("function process(r)\n local bad = ''\n"
                " for _, name in ipairs({ 'io', 'os', 'debug', 'ffi', 'jit', 'package', 'require', 'load', 'loadstring', 'loadfile', 'dofile',\n"
                "   'print', 'newproxy', 'collectgarbage', 'module' }) do if _G[name] ~= nil then bad = bad .. name .. ' ' end end\n"
                " if string.dump then bad = bad .. 'string.dump' end\n"
                " if pcall(function() getmetatable(r).__index = nil end) then bad = bad .. 'metatable' end\n"
                " if pcall(function() r.x = 1 end) then bad = bad .. 'newindex' end\n"
                " if pcall(r.get, {}, 'x') then bad = bad .. 'self' end\n"
                " if bad ~= '' then error(bad) end\nend\n", "");
    view = run_one("{}");
    if (view->fate[0] != SL_LIVE)
        fail_msg("%s", view->note[0]);
}

static void test_a_record_is_gone_after_its_call(void **state)
{
    static const char *const texts[] = {"{\"n\":1}", "{\"n\":2}"};
    const struct sl_view *view;
    (void)state;
    open_script("function process_batch(b)\n if old then old:get('n') end\n old = b:record(1)\nend\n", "");
    assert_int_equal(run(texts, 2)->fate[0], SL_LIVE);
    view = run(texts, 2);
    has_note(view, 0, "a record is used after its call");
}

static void test_bad_texts_never_crash_the_script(void **state)
{
    static const char *const texts[] = {"{\"a\":", "{\"a", "{\"a\\", "{", "{}", "[]", "5", "\"x\"", "{\"a\":{}}", "{\"a\":1,}", "{,}", "{\"a\" 1}",
                                        "{\"a\":1 \"b\":2}", "{\"b\":\"\\ud800\"}", "{\"a\":tru}", "{\"a\":[1,}", "{\"a\":}", "", "   "};
    (void)state;
    open_script("function process_batch(b)\n local t = b:text(1)\n pcall(function() b:record(1):get('a.b') end)\n"
                " pcall(function() b:record(1):get('b') end)\n pcall(function() b:record(1):set('a.c', t) end)\n"
                " pcall(function() b:record(1):remove('a') end)\n pcall(function() b:record(1):set('', 1) end)\nend\n", "");
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct sl_view *view = &json.bench.view;
        bench_batch(&json.bench, &texts[i], 1); /* past parse: no stage before it has looked */
        view->decoded = &json.bench.decoded;
        json.bench.decoded.json = true;
        for (int role = 0; role < SL_ROLE_FIELDS; role++)
            json.bench.decoded.role_column[role] = -1;
        if (sl_op_lua.process(json.stage, view, &json.err) != 0)
            fail_msg("%s", json.err.text);
    }
}

/* ---- check ---- */

static void refused(const char *settings, const char *says)
{
    struct sl_err err = {.text = ""};

    assert_true(config_check(&sl_op_lua.head, settings, &err) != 0);
    if (strstr(err.text, says) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", err.text, says);
}

static void test_check_says_what_is_wrong_with_a_script(void **state)
{
    (void)state;
    refused("{ type: lua }", "script: a lua operator needs a script");
    refused("{ type: lua, source: \"function process(r\" }", "source: source:1: ')' expected near '<eof>'");
    refused("{ type: lua, source: \"x = 1\" }", "the script has no function process(record)");
    refused("{ type: lua, source: \"function process() end function process_batch() end\" }", "keep one of them");
    refused("{ type: lua, source: \"while true do end\" }", "source:1: more than 20000000 instructions");
    refused("{ type: lua, source: \"local x = io.open('/etc/passwd')\" }", "attempt to index global 'io'");
    refused("{ type: lua, source: \"function process() end\", fields: [\"@key\"] }", "is no field of the payload");
    refused("{ type: lua, source: \"function process() end\", fields: [a, b, a] }", "named twice");
    refused("{ type: lua, source: \"function process() end\", fields: [a..b] }", "is no field's name");
    refused("{ type: lua, source: \"\\x1bLJ\\x02\" }", "attempt to load");
    assert_int_equal(config_check(&sl_op_lua.head, sl_op_lua.head.example, &json.err), 0);
}

static void put_script(const char *text)
{
    char path[128];
    FILE *file;

    (void)snprintf(path, sizeof(path), "%s/script.lua", json.bench.dir);
    file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void test_the_file_is_read_once(void **state)
{
    char settings[256];
    void *config;
    (void)state;
    open_script("function process() end", "");
    sl_op_lua.close(json.stage);
    (void)snprintf(settings, sizeof(settings), "{ type: lua, inputs: [x], script: \"%s/script.lua\" }", json.bench.dir);
    put_script("function process(record) record:set('v', 1) end");
    config = config_of(&sl_op_lua.head, settings);
    put_script("this is no Lua");
    assert_int_equal(sl_op_lua.open(json.stage, &json.bench.api, config, &json.bench.names, &json.err), 0);
    assert_int_equal(sl_op_lua.ready(json.stage, NULL, 0, &json.bench.names, &json.err), 0);
    has_text(run_one("{\"a\":0}"), 0, "{\"a\":0,\"v\":1}");
}

/* Two generations of a script in one thread, in turn. */
static void test_two_versions_share_nothing(void **state)
{
    static const char script[] = "count = (count or 0) + %d function process(record) count = count + %d string.shared = count record:set('n', count) end";
    static _Alignas(16) char second[sizeof(json.stage)];
    char text[256];
    void *config;
    (void)state;
    (void)snprintf(text, sizeof(text), script, 0, 1);
    open_script(text, "");
    has_text(run_one("{}"), 0, "{\"n\":1}");
    (void)snprintf(text, sizeof(text), "{ type: lua, inputs: [x], source: \"function process(record) record:set('n', tostring(count) .. tostring(string.shared)) end\" }");
    config = config_of(&sl_op_lua.head, text);
    assert_int_equal(sl_op_lua.open(second, &json.bench.api, config, &json.bench.names, &json.err), 0);
    assert_int_equal(sl_op_lua.ready(second, NULL, 0, &json.bench.names, &json.err), 0);
    stage_json_batch(&json, (const char *const[]){"{}"}, 1);
    assert_int_equal(sl_op_lua.process(second, &json.bench.view, &json.err), 0);
    has_text(&json.bench.view, 0, "{\"n\":\"nilnil\"}");
    sl_op_lua.close(second);
    has_text(run_one("{}"), 0, "{\"n\":2}");
}

#define T(name) cmocka_unit_test_setup_teardown(test_##name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(what_process_returns_decides),
        T(a_record_gives_its_fields_and_roles),
        T(set_and_remove_leave_all_else_alone),
        T(stages_behind_see_what_was_written),
        T(one_record_becomes_several),
        T(derived_records_that_are_not_json_die_alone),
        T(columns_are_arrays_of_the_live_records),
        T(a_failing_batch_is_asked_again_record_by_record),
        T(columns_that_were_not_declared_are_refused),
        T(an_endless_loop_is_contained),
        T(a_loop_around_pcall_is_contained),
        T(a_caught_budget_is_no_way_on),
        T(a_loop_of_coroutines_is_contained),
        T(a_string_bomb_is_contained),
        T(a_table_bomb_is_contained),
        T(endless_recursion_is_contained),
        T(a_runtime_error_is_told),
        T(an_error_that_is_no_text_is_contained),
#ifndef __SANITIZE_THREAD__
        T(a_pattern_without_end_is_cut_off),
        T(a_compiled_loop_is_cut_off_and_compiled_no_more),
        T(a_batch_without_end_is_cut_off),
#endif
        T(one_batch_costs_a_bounded_time),
        T(the_state_survives_ten_thousand_failures),
        T(what_a_failed_call_wrote_is_forgotten),
        T(nothing_outside_is_in_reach),
        T(a_record_is_gone_after_its_call),
        T(bad_texts_never_crash_the_script),
        T(check_says_what_is_wrong_with_a_script),
        T(the_file_is_read_once),
        T(two_versions_share_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
#else
int main(void)
{
    return 0; /* built without Lua */
}
#endif
