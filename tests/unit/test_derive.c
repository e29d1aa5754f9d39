/* test_derive.c: a view that goes on over records and those derived from them: every array follows its row.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "runtime/engine/derive.h"
#include "tests/support/stage_bench.h"

enum { MODEL_ROUNDS = 300, MODEL_COUNT = 40 };

static struct bench bench;

static int setup(void **state)
{
    (void)state;
    bench_init(&bench);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    bench_fini(&bench);
    return 0;
}

static uint32_t seed = 7;

static uint32_t chance(uint32_t below)
{
    seed = seed * 1103515245u + 12345u;
    return (seed >> 8) % below;
}

/* A batch whose arrays all say which row they are of. */
static void fill(uint32_t count)
{
    static char texts[SL_BATCH_RECORDS][24];
    static const char *rows[SL_BATCH_RECORDS];
    struct sl_view *view = &bench.view;
    uint8_t *levels;

    for (uint32_t i = 0; i < count; i++) {
        (void)snprintf(texts[i], sizeof(texts[i]), "{\"n\":%u}", i);
        rows[i] = texts[i];
    }
    bench_batch(&bench, rows, count);
    levels = bench_array(&bench, count, 1);
    bench.batch.key = bench_array(&bench, count, sizeof(struct sl_slice));
    bench.batch.null_payload = bench_array(&bench, count, 1);
    view->randomness = bench_array(&bench, count, sizeof(uint64_t));
    view->note = bench_array(&bench, count, sizeof(char *));
    bench.columns[0] = (struct sl_column){bench_array(&bench, count, sizeof(struct sl_slice)), bench_array(&bench, count, sizeof(struct sl_span)),
                                          bench_array(&bench, count, 1), bench_array(&bench, count, 1)};
    for (uint32_t i = 0; i < count; i++) {
        levels[i] = (uint8_t)(i % SL_LEVELS);
        bench.batch.key[i] = sl_slice_of(texts[i]);
        bench.batch.null_payload[i] = i % 3 == 0;
        view->randomness[i] = i;
        view->fate[i] = i % 5 == 4 ? SL_DEAD : SL_LIVE;
        view->reason[i] = view->fate[i] == SL_DEAD;
        view->note[i] = view->fate[i] == SL_DEAD ? texts[i] : NULL;
        bench.columns[0].type[i] = SL_T_STRING;
        bench.columns[0].value[i] = sl_slice_of(texts[i]);
    }
    sl_view_compact(view);
    bench.decoded.level = levels;
    bench.decoded.columns = bench.columns;
    bench.decoded.columns_count = 1;
}

/* Each row of the derived view against the row it came from. */
static void check(const struct sl_view *old, const struct sl_view *view, const struct sl_child *children, uint32_t count)
{
    const struct sl_batch *batch = view->batch, *was = old->batch;
    uint32_t child = 0, row = 0, live = 0;

    assert_int_equal(batch->count, was->count + count);
    assert_true(batch->first == was->first && batch->next == was->next && batch->partition == was->partition);
    for (uint32_t from = 0; from < was->count; from++) {
        uint32_t before = was->sub != NULL ? was->sub[from] : 0;
        for (bool derived = false; row < batch->count; derived = true, row++) {
            if (derived && (child == count || children[child].index != from))
                break;
            assert_true(batch->offset[row] == was->offset[from] && batch->append_unix_ms[row] == was->append_unix_ms[from]);
            assert_true(sl_slice_eq(batch->key[row], was->key[from]) && view->randomness[row] == old->randomness[from]);
            assert_int_equal(view->decoded->level[row], old->decoded->level[from]);
            assert_int_equal(batch->parent[row], was->parent != NULL ? was->parent[from] : from);
            if (derived) {
                assert_int_equal(children[child].row, row);
                assert_true(sl_slice_eq(sl_view_text(view, row), children[child].text) && batch->sub[row] > 0);
                assert_int_equal(view->fate[row], SL_LIVE);
                assert_true(view->note[row] == NULL && view->decoded->columns[0].type[row] == SL_T_ABSENT);
                assert_int_equal(batch->null_payload[row], 0);
                child++;
            } else {
                assert_true(sl_slice_eq(sl_view_text(view, row), sl_view_text(old, from)) && batch->sub[row] == before);
                assert_true(view->fate[row] == old->fate[from] && view->reason[row] == old->reason[from] && view->note[row] == old->note[from]);
                assert_true(sl_slice_eq(view->decoded->columns[0].value[row], old->decoded->columns[0].value[from]));
            }
            if (view->fate[row] == SL_LIVE)
                assert_true(live < view->sel_count && view->sel[live++] == row);
        }
    }
    assert_int_equal(child, count);
    assert_int_equal(live, view->sel_count);
}

/* Ordinals of one offset are all different. */
static void check_ordinals(const struct sl_batch *batch)
{
    for (uint32_t i = 0; i < batch->count; i++)
        for (uint32_t k = i + 1; k < batch->count && batch->offset[k] == batch->offset[i]; k++)
            assert_int_not_equal(batch->sub[i], batch->sub[k]);
}

static uint32_t some_children(struct sl_child *children, uint32_t count)
{
    uint32_t made = 0;

    for (uint32_t i = 0; i < count; i++)
        for (uint32_t n = chance(4); n > 1; n--)
            children[made++] = (struct sl_child){.index = (uint16_t)i, .text = sl_arena_copy(&bench.arena, sl_slice_of("{\"child\":1}"))};
    return made;
}

static void test_every_array_follows_its_row_twice(void **state)
{
    static struct sl_child children[4 * 4 * MODEL_COUNT];
    (void)state;
    for (int round = 0; round < MODEL_ROUNDS; round++) {
        struct sl_view first, second;
        uint32_t count;
        fill(chance(MODEL_COUNT));
        count = some_children(children, bench.view.batch->count);
        first = bench.view;
        assert_int_equal(sl_view_derive(&first, children, count), 0);
        check(&bench.view, &first, children, count);
        second = first;
        count = some_children(children, first.batch->count);
        assert_int_equal(sl_view_derive(&second, children, count), 0);
        check(&first, &second, children, count);
        check_ordinals(second.batch);
    }
}

static void test_the_most_rows_that_there_can_be(void **state)
{
    static struct sl_child children[SL_VIEW_RECORDS_MAX];
    struct sl_view view;
    uint32_t count = SL_VIEW_RECORDS_MAX - SL_BATCH_RECORDS;
    (void)state;
    fill(SL_BATCH_RECORDS);
    for (uint32_t i = 0; i < count; i++)
        children[i] = (struct sl_child){.index = (uint16_t)((uint64_t)i * SL_BATCH_RECORDS / count), .text = sl_slice_of("{}")};
    view = bench.view;
    assert_int_equal(sl_view_derive(&view, children, count), 0);
    assert_int_equal(view.batch->count, SL_VIEW_RECORDS_MAX);
    check(&bench.view, &view, children, count);
}

static void test_over_budget_the_view_is_as_it_was(void **state)
{
    static struct sl_child children[100];
    (void)state;
    for (size_t more = 0;; more += 64) {
        struct sl_view view;
        int rc;
        fill(100);
        for (uint32_t i = 0; i < 100; i++)
            children[i] = (struct sl_child){.index = (uint16_t)i, .text = sl_slice_of("{}")};
        view = bench.view;
        bench.arena.max_bytes = bench.arena.used + bench.arena.chunk_bytes + more;
        if (bench.arena.bytes > bench.arena.used + more)
            bench.arena.bytes = (bench.arena.used + more) & ~(size_t)15;
        rc = sl_view_derive(&view, children, 100);
        bench.arena.max_bytes = 64 << 20;
        bench.arena.bytes = bench.arena.base == NULL ? 0 : 4 << 20;
        if (rc == 0)
            return;
        assert_memory_equal(&view, &bench.view, sizeof(view));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_every_array_follows_its_row_twice, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_most_rows_that_there_can_be, setup, teardown),
        cmocka_unit_test_setup_teardown(test_over_budget_the_view_is_as_it_was, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
