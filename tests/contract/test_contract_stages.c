/* test_contract_stages.c: every operator keeps its records: each has one fate, what was dropped before stays dropped, and when the
 * batch's memory ends it says so instead of losing or crashing.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tests/contract/contract.h"

#include "operators/stages/stages.h"

static const char *const texts[] = {
    "{\"ts\":\"2026-11-22T05:14:56Z\",\"service\":\"a\",\"level\":\"error\",\"trace_id\":\"4bf92f3577b34da6a3ce929d0e0e4736\"}",
    "{\"ts\":1795322096,\"service\":\"b\",\"level\":\"debug\",\"duration_ms\":1500}",
    "{\"level\":\"info\",\"message\":\"t\\u00e4t\",\"service\":7}",
    "{\"level\":null,\"nested\":{\"level\":\"fatal\"}}",
    "{\"broken\":",
    "",
    "plain text\xff",
    "[1,2,3]",
    "{}",
    "127.0.0.1 - frank [10/Oct/2000:13:55:36 -0700] \"GET /a?b=1 HTTP/1.0\" 200 2326 \"-\" \"x \\\"y\\\" \xff\"",
    "<165>1 2003-08-24T05:14:15.000003-07:00 h app 8710 - [ex@1 iut=\"3\" s=\"a\\\"b\"][b] \xef\xbb\xbfgo",
    "<34>Oct 11 22:14:15 h su[1]: failed\r",
    "level=info msg=\"a \\\"b\\\" \\u00e4\" n=+05 flag",
    "1,\"say \"\"hi\"\"\",3",
};

/* Further settings of parse: each format, with whole records wanted. All tests run once more with each. */
static const char *const variants[] = {
    "{ type: parse, inputs: [x], format: text }",
    "{ type: parse, inputs: [x], format: regex, pattern: '^(?<level>\\w+) ?(?<message>.*)$' }",
    "{ type: parse, inputs: [x], format: clf, record: { service: path } }",
    "{ type: parse, inputs: [x], format: logfmt, types: { n: number } }",
    "{ type: parse, inputs: [x], format: syslog, record: { trace: structured_data.ex@1.iut } }",
    "{ type: parse, inputs: [x], format: csv, columns: [ts, service, level] }",
    "{ type: parse, inputs: [x], format: protobuf }",
};
static const char *variant; /* NULL: every kind with its own settings; else parse with these */

static bool rig_whole(struct sl_names *names)
{
    (void)names;
    return true;
}

struct rig {
    struct contract contract;
    const struct sl_op_kind *kind;
    void *parse, *self; /* parse is NULL where it is the kind itself */
    uint32_t ports;
};

static struct rig rig;

static void rig_ready(const struct sl_op_kind *kind, void *self)
{
    struct bench *bench = &rig.contract.bench;
    uint32_t columns[BENCH_COLUMNS];

    for (uint32_t i = 0; i < bench->columns_count; i++)
        columns[i] = i;
    if (kind->ready != NULL)
        assert_int_equal(kind->ready(self, columns, bench->columns_count, &bench->names, &rig.contract.err), 0);
}

static void rig_stage(const struct sl_op_kind *kind, void *self)
{
    void *config = variant == NULL ? contract_config(&kind->head) : config_of(&kind->head, variant);

    rig.contract.head = &kind->head;
    if (kind->open(self, &rig.contract.api, config, &rig.contract.bench.names, &rig.contract.err) != 0)
        fail_msg("%s: %s", kind->head.name, rig.contract.err.text);
}

static void rig_init(const struct sl_op_kind *kind)
{
    const char *const *names;

    memset(&rig, 0, sizeof(rig));
    contract_init(&rig.contract);
    rig.contract.bench.names.is_whole = variant == NULL ? rig.contract.bench.names.is_whole : rig_whole;
    rig.kind = kind;
    if (kind != &sl_op_parse) {
        assert_non_null(rig.parse = calloc(1, sl_op_parse.head.self_bytes));
        rig_stage(&sl_op_parse, rig.parse);
    }
    assert_non_null(rig.self = calloc(1, kind->head.self_bytes));
    rig_stage(kind, rig.self);
    rig.ports = kind->ports == NULL ? 1 : kind->ports(contract_config(&kind->head), &names);
    if (rig.parse != NULL)
        rig_ready(&sl_op_parse, rig.parse);
    rig_ready(kind, rig.self);
}

static void rig_fini(void)
{
    rig.kind->close(rig.self);
    free(rig.self);
    if (rig.parse != NULL) {
        sl_op_parse.close(rig.parse);
        free(rig.parse);
    }
    contract_fini(&rig.contract);
}

static void rig_batch(uint32_t count, uint32_t from)
{
    static const char *rows[SL_BATCH_RECORDS];
    struct bench *bench = &rig.contract.bench;

    for (uint32_t i = 0; i < count; i++)
        rows[i] = texts[(from + i) % (sizeof(texts) / sizeof(texts[0]))];
    bench_batch(bench, rows, count);
    if (rig.parse != NULL) {
        rig.contract.head = &sl_op_parse.head;
        assert_int_equal(sl_op_parse.process(rig.parse, &bench->view, &rig.contract.err), 0);
        sl_view_compact(&bench->view);
    }
    rig.contract.head = &rig.kind->head;
}

static uint32_t rig_reasons(void)
{
    uint32_t count = 1;

    while (rig.kind->head.reasons != NULL && rig.kind->head.reasons[0] != NULL && rig.kind->head.reasons[count] != NULL)
        count++;
    return count;
}

/* before: the fates that came in. */
static void rig_conserves(const uint8_t *before)
{
    struct sl_view *view = &rig.contract.bench.view;
    uint32_t live = 0, at = 0;

    sl_view_compact(view);
    for (uint32_t i = 0; i < view->batch->count; i++) {
        uint8_t fate = view->fate[i];
        assert_true(fate < SL_FATES && fate != SL_DELIVERED && fate != SL_DEFERRED);
        if (before[i] != SL_LIVE && fate != before[i])
            fail_msg("%s: record %u had fate %u and got %u", rig.kind->head.name, i, before[i], fate);
        if (before[i] == SL_LIVE && fate == SL_DEAD)
            assert_true(view->reason[i] > 0 && view->reason[i] < rig_reasons());
        if (fate != SL_LIVE)
            continue;
        live++;
        assert_true(rig.ports == 1 || view->port[i] < rig.ports);
        assert_true(at < view->sel_count && view->sel[at++] == i);
    }
    assert_int_equal(live, view->sel_count);
}

static void rig_process(void)
{
    struct sl_view *view = &rig.contract.bench.view;
    uint8_t before[SL_BATCH_RECORDS];

    memcpy(before, view->fate, view->batch->count);
    if (rig.kind->process(rig.self, view, &rig.contract.err) != 0)
        fail_msg("%s: %s", rig.kind->head.name, rig.contract.err.text);
    rig_conserves(before);
}

#define EACH_KIND(kind)                                                                                                        \
    for (const struct sl_op_kind *const *kind##s = sl_registry_builtin.operators, *kind; (kind = *kind##s) != NULL; kind##s++)           \
        if (variant == NULL || kind == &sl_op_parse)

static void test_every_record_has_one_fate(void **state)
{
    (void)state;
    EACH_KIND(kind) {
        rig_init(kind);
        for (uint32_t from = 0; from < sizeof(texts) / sizeof(texts[0]); from++) {
            rig_batch(1, from);
            rig_process();
        }
        for (uint32_t count = SL_BATCH_RECORDS - 1; count <= SL_BATCH_RECORDS; count++) {
            rig_batch(count, 0);
            rig_process();
        }
        rig_fini();
    }
}

static void test_what_was_dropped_stays_dropped(void **state)
{
    static const uint8_t fates[] = {SL_FILTERED, SL_LIVE, SL_SAMPLED, SL_DEAD};
    (void)state;
    EACH_KIND(kind) {
        struct sl_view *view = &rig.contract.bench.view;
        rig_init(kind);
        rig_batch(100, 0);
        for (uint32_t i = 0; i < 100; i++)
            if (view->fate[i] == SL_LIVE) {
                view->fate[i] = fates[i % 4];
                view->reason[i] = fates[i % 4] == SL_DEAD;
            }
        sl_view_compact(view);
        rig_process();
        rig_fini();
    }
}

static void test_an_empty_selection_is_fine(void **state)
{
    (void)state;
    EACH_KIND(kind) {
        struct sl_view *view = &rig.contract.bench.view;
        rig_init(kind);
        rig_batch(50, 0);
        memset(view->fate, SL_FILTERED, 50);
        sl_view_compact(view);
        assert_int_equal(view->sel_count, 0);
        rig_process();
        assert_int_equal(view->sel_count, 0);
        rig_batch(0, 0);
        rig_process();
        rig_fini();
    }
}

/* What the one before decides of the next batch, the one that has adopted it does: copied before the one before goes on, or moved. */
static void rig_adopts(bool move)
{
    struct sl_view *view = &rig.contract.bench.view;
    uint8_t fates[SL_BATCH_RECORDS];
    void *next = calloc(1, rig.kind->head.self_bytes), *old = rig.self;
    int rc;

    assert_non_null(next);
    rig_stage(rig.kind, next);
    rig_ready(rig.kind, next);
    assert_true(rig.kind->state_version(next) == rig.kind->state_version(old));
    rig_batch(200, 0);
    rig_process();
    while ((rc = rig.kind->adopt(next, old, move, &rig.contract.err)) == 1)
        assert_false(move);
    assert_int_equal(rc, 0);
    rig_batch(300, 0);
    if (!move) {
        rig_process();
        memcpy(fates, view->fate, 300);
        rig.contract.bench.partition.next -= 300;
        rig_batch(300, 0);
    }
    rig.self = next;
    rig_process();
    if (!move)
        assert_memory_equal(fates, view->fate, 300);
    rig.self = move ? next : old; /* a copy may go at any time, and so may what was moved out of */
    rig.kind->close(move ? old : next);
    free(move ? old : next);
    rig_batch(300, 0);
    rig_process();
}

static void test_adopted_state_decides_as_before(void **state)
{
    (void)state;
    EACH_KIND(kind) {
        if (kind->adopt == NULL)
            continue;
        rig_init(kind);
        rig_adopts(false);
        rig_adopts(true);
        rig_fini();
    }
}

static void test_thresholds_only_rise(void **state)
{
    (void)state;
    EACH_KIND(kind) {
        struct sl_view *view = &rig.contract.bench.view;
        const uint64_t high = (1ull << 56) - 1;
        rig_init(kind);
        rig_batch(1000, 0);
        view->threshold = bench_array(&rig.contract.bench, 1000, sizeof(uint64_t));
        view->randomness = bench_array(&rig.contract.bench, 1000, sizeof(uint64_t));
        for (uint32_t i = 0; i < 1000; i++)
            view->threshold[i] = view->randomness[i] = high;
        rig_process();
        for (uint32_t i = 0; i < 1000; i++)
            assert_true(view->threshold[i] >= high);
        rig_fini();
    }
}

/* The arena has room for `more` bytes beyond what is used. */
static void rig_squeeze(size_t more)
{
    struct sl_arena *arena = &rig.contract.bench.arena;

    arena->max_bytes = arena->used + arena->chunk_bytes + more;
    if (arena->bytes > arena->used + more)
        arena->bytes = (arena->used + more) & ~(size_t)15;
}

/* True: it was enough. */
static bool rig_squeezed(uint32_t count, size_t more)
{
    struct sl_arena *arena = &rig.contract.bench.arena, whole;
    struct sl_view *view = &rig.contract.bench.view;
    uint8_t before[SL_BATCH_RECORDS];
    int status;

    rig_batch(count, 0);
    whole = *arena;
    memcpy(before, view->fate, count);
    rig_squeeze(more);
    rig.contract.err = (struct sl_err){.text = ""};
    status = rig.kind->process(rig.self, view, &rig.contract.err);
    if (status == 0)
        rig_conserves(before);
    else if (rig.contract.err.code != SL_E_LIMIT || rig.contract.err.text[0] == '\0')
        fail_msg("%s with %zu bytes: not SL_E_LIMIT but \"%s\"", rig.kind->head.name, more, rig.contract.err.text);
    arena->max_bytes = whole.max_bytes;
    arena->bytes = whole.bytes;
    return status == 0;
}

static void test_too_little_memory_is_an_error_and_nothing_else(void **state)
{
    (void)state;
    EACH_KIND(kind) {
        rig_init(kind);
        for (uint32_t count = 1; count <= SL_BATCH_RECORDS; count *= 64) {
            size_t more = 0;
            while (!rig_squeezed(count, more)) {
                more += 16 + more / 8;
                assert_true(more < 64 << 20);
            }
            rig_batch(count, 0); /* and it goes on afterwards */
            rig_process();
        }
        rig_fini();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_record_has_one_fate),
        cmocka_unit_test(test_what_was_dropped_stays_dropped),
        cmocka_unit_test(test_an_empty_selection_is_fine),
        cmocka_unit_test(test_adopted_state_decides_as_before),
        cmocka_unit_test(test_thresholds_only_rise),
        cmocka_unit_test(test_too_little_memory_is_an_error_and_nothing_else),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);

    for (size_t i = 0; i < sizeof(variants) / sizeof(variants[0]); i++) {
        variant = variants[i];
        failed += cmocka_run_group_tests_name(variant, tests, NULL, NULL);
    }
    return failed;
}
