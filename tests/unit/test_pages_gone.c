/* test_pages_gone.c: what is told of components that a newer version has no more.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/buf.h"
#include "runtime/cli/pages.h"
#include "runtime/control/metrics.h"
#include "runtime/engine/op.h"

static const struct sl_counter stage_counters[] = {{"seen_total", "records", "Seen."}, {0}};
static const struct sl_head stage_head = {.name = "stage", .counters = stage_counters};
static const struct sl_sink_kind sink_kind = {.head = {.name = "sink", .counters = stage_counters}};

enum { ROW_SINK, ROW_GONE_STAGE, ROW_GONE_SINK, ROW_SILENT_SINK, ROW_STAGE, ROWS };

static struct sl_component rows[ROWS];
static struct sl_component_counts counts[ROWS];
static struct sl_topology topology = {.name = "t", .components = rows, .components_count = ROWS};
static struct sl_ledger_row ledger_rows[8];
static struct sl_host_topology item;

static int setup(void **state)
{
    (void)state;
    rows[ROW_SINK] = (struct sl_component){.role = SL_SINK, .name = "out", .type = "sink", .head = &sink_kind.head};
    rows[ROW_GONE_STAGE] = (struct sl_component){.role = SL_GONE, .gone_role = SL_OPERATOR, .name = "was", .type = ""};
    rows[ROW_GONE_SINK] = (struct sl_component){.role = SL_GONE, .gone_role = SL_SINK, .name = "ended", .type = ""};
    rows[ROW_SILENT_SINK] = (struct sl_component){.role = SL_GONE, .gone_role = SL_SINK, .name = "silent", .type = ""};
    rows[ROW_STAGE] = (struct sl_component){.role = SL_OPERATOR, .name = "stage", .type = "stage", .head = &stage_head}; /* behind the sinks */
    for (uint32_t c = 0; c < ROWS; c++)
        counts[c].counters[0] = 10 + c;
    ledger_rows[3] = (struct sl_ledger_row){.sink = ROW_GONE_SINK + 1, .fates = {[SL_LIVE] = 4, [SL_DELIVERED] = 4}};
    item = (struct sl_host_topology){.topology = &topology,
                                     .sum = {.ledger = {.rows = ledger_rows, .rows_cap = 8}, .components = counts, .components_count = ROWS}};
    return 0;
}

static void test_a_gone_sink_is_told_of_while_it_has_counts(void **state)
{
    struct sl_ledger_row sum;

    (void)state;
    assert_true(sl_pages_is_sink(&item, ROW_SINK, &sum));
    assert_false(sl_pages_is_sink(&item, ROW_GONE_STAGE, &sum));
    assert_false(sl_pages_is_sink(&item, ROW_SILENT_SINK, &sum));
    assert_false(sl_pages_is_sink(&item, ROW_STAGE, &sum));
    assert_true(sl_pages_is_sink(&item, ROW_GONE_SINK, &sum));
    assert_int_equal(sum.fates[SL_DELIVERED], 4);
}

static void test_counters_are_of_what_is_there(void **state)
{
    static const struct sl_metric_row seconds = {"sluice_seconds", SL_METRIC_HISTOGRAM, "How long.", {"topology", "sink"}};
    struct sl_buf text;
    struct sl_metrics metrics = {.buf = &text};

    (void)state;
    sl_buf_init(&text);
    sl_pages_metric_components(&metrics, &item, 1, &seconds);
    assert_non_null(strstr(sl_buf_str(&text), "sluice_sink_seen_total{topology=\"t\",sink=\"out\"} 10\n"));
    assert_non_null(strstr(sl_buf_str(&text), "sluice_operator_seen_total{topology=\"t\",operator=\"stage\"} 14\n"));
    assert_null(strstr(sl_buf_str(&text), "was"));
    assert_null(strstr(sl_buf_str(&text), "ended"));
    sl_buf_fini(&text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_gone_sink_is_told_of_while_it_has_counts),
        cmocka_unit_test(test_counters_are_of_what_is_there),
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}
