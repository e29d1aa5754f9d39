/* test_generate.c: the generator's lines, its shares and its way through the spool.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>

#include "operators/sources/front.h"
#include "operators/sources/generate/generate_log.h"
#include "operators/sources/sources.h"
#include "sampling/zipf.h"
#include "tests/support/fake_slot.c"
#include "tests/support/front_rig.h"

static const struct sl_generate_log_settings usual = {
    .seed = 1, .services = 50, .exponent = 1.1, .levels = {[SL_LEVEL_DEBUG] = 0.2, [SL_LEVEL_WARN] = 0.06, [SL_LEVEL_ERROR] = 0.02}};

static const char *field(const char *line, const char *name, char *out)
{
    char want[32];
    const char *at;
    size_t bytes;

    (void)snprintf(want, sizeof(want), "\"%s\":\"", name);
    at = strstr(line, want);
    assert_non_null(at);
    at += strlen(want);
    bytes = strcspn(at, "\"");
    memcpy(out, at, bytes);
    out[bytes] = '\0';
    return out;
}

static void test_lines_have_their_fields_and_size(void **state)
{
    struct sl_generate_log *log = sl_generate_log_new(&usual);
    char line[SL_GENERATE_LOG_MAX + 1], text[SL_GENERATE_LOG_MAX];
    uint64_t total = 0;
    (void)state;
    for (int i = 0; i < 100000; i++) {
        uint32_t bytes = sl_generate_log_next(log, 1790000000123, line, NULL);
        assert_in_range(bytes, 150, SL_GENERATE_LOG_MAX);
        line[bytes] = '\0';
        assert_string_equal(field(line, "ts", text), "2026-09-21T14:13:20.123Z");
        assert_int_equal(strlen(field(line, "trace_id", text)), 32);
        assert_int_equal(strlen(field(line, "span_id", text)), 16);
        assert_true(strlen(field(line, "service", text)) > 3);
        assert_int_equal(line[bytes - 1], '}');
        assert_null(memchr(line, '\n', bytes));
        total += bytes;
    }
    assert_in_range(total / 100000, 270, 310);
    (void)sl_generate_log_free(log);
}

static void test_the_seed_decides_every_byte(void **state)
{
    struct sl_generate_log_settings other = usual;
    struct sl_generate_log *logs[3];
    char lines[3][SL_GENERATE_LOG_MAX];
    uint32_t differ = 0;
    (void)state;
    other.seed = 2;
    for (int i = 0; i < 3; i++)
        logs[i] = sl_generate_log_new(i < 2 ? &usual : &other);
    for (int i = 0; i < 1000; i++) {
        uint32_t bytes[3];
        for (int l = 0; l < 3; l++)
            bytes[l] = sl_generate_log_next(logs[l], i, lines[l], NULL);
        assert_int_equal(bytes[0], bytes[1]);
        assert_memory_equal(lines[0], lines[1], bytes[0]);
        differ += bytes[0] != bytes[2] || memcmp(lines[0], lines[2], bytes[0]) != 0;
    }
    assert_int_equal(differ, 1000);
    for (int i = 0; i < 3; i++)
        (void)sl_generate_log_free(logs[i]);
}

static void test_services_levels_and_bad_records_have_their_shares(void **state)
{
    enum { LINES = 500000 };
    struct sl_generate_log_settings settings = usual;
    uint32_t services[50] = {0}, levels[SL_LEVELS] = {0}, bad[SL_BADS] = {0};
    char line[SL_GENERATE_LOG_MAX];
    struct sl_generate_log *log;
    (void)state;
    settings.bad = 0.01;
    log = sl_generate_log_new(&settings);
    for (int i = 0; i < LINES; i++) {
        struct sl_generate_made made;
        uint32_t bytes = sl_generate_log_next(log, 1790000000123, line, &made);
        services[made.service]++;
        levels[made.level]++;
        bad[made.bad]++;
        if (made.bad == SL_BAD_EMPTY)
            assert_int_equal(bytes, 0);
        if (made.bad == SL_BAD_TRUNCATED)
            assert_int_not_equal(line[bytes - 1], '}');
    }
    for (uint32_t s = 0; s < 50; s++) {
        double p = sl_zipf_share(50, 1.1, s);
        assert_true(fabs(services[s] - LINES * p) < 4 * sqrt(LINES * p * (1 - p)));
    }
    assert_true(fabs(levels[SL_LEVEL_DEBUG] - LINES * 0.2) < 4 * sqrt(LINES * 0.2 * 0.8));
    assert_true(fabs(levels[SL_LEVEL_INFO] - LINES * 0.72) < 4 * sqrt(LINES * 0.72 * 0.28));
    assert_int_equal(levels[SL_LEVEL_FATAL], 0);
    assert_true(fabs(LINES - bad[SL_BAD_NONE] - LINES * 0.01) < 4 * sqrt(LINES * 0.01 * 0.99));
    for (uint32_t b = SL_BAD_TRUNCATED; b < SL_BADS; b++)
        assert_true(bad[b] > LINES / 1000);
    (void)sl_generate_log_free(log);
}

static void test_traces_have_a_few_records(void **state)
{
    enum { LINES = 20000 };
    struct sl_generate_log *log = sl_generate_log_new(&usual);
    char(*ids)[33] = calloc(LINES, sizeof(*ids));
    char line[SL_GENERATE_LOG_MAX + 1];
    uint32_t traces = 0, most = 0, run = 0;
    (void)state;
    for (int i = 0; i < LINES; i++) {
        line[sl_generate_log_next(log, 1790000000123, line, NULL)] = '\0';
        (void)field(line, "trace_id", ids[i]);
    }
    qsort(ids, LINES, sizeof(*ids), (int (*)(const void *, const void *))strcmp);
    for (int i = 0; i < LINES; i++) {
        run = i > 0 && strcmp(ids[i], ids[i - 1]) == 0 ? run + 1 : 1;
        traces += run == 1;
        most = run > most ? run : most;
    }
    assert_int_equal(most, 8);
    assert_in_range(traces, LINES / 5, LINES / 4);
    free(ids);
    (void)sl_generate_log_free(log);
}

static void test_the_schedule_keeps_its_mean_and_its_swing(void **state)
{
    const uint64_t day = 86400ull * 1000000000;
    double low, high;
    (void)state;
    assert_true(fabs(sl_generate_due(100, 1, day, 5000000000) - 500) < 1e-6);
    assert_true(fabs(sl_generate_due(100, 3, day, day) - 8640000) < 1);
    high = sl_generate_due(100, 3, day, day / 4 + 1000000000) - sl_generate_due(100, 3, day, day / 4);
    low = sl_generate_due(100, 3, day, 3 * (day / 4) + 1000000000) - sl_generate_due(100, 3, day, 3 * (day / 4));
    assert_true(fabs(high / low - 3) < 0.001);
}

static void generate_config(struct front_rig *rig, const char *rate, uint64_t count)
{
    rig_set_text(rig, "rate", rate);
    rig_set_text(rig, "exponent", "1.1");
    rig_set_u64(rig, "services", 50);
    rig_set_u64(rig, "count", count);
    rig_set_u64(rig, "partitions", 4);
    rig_set_u64(rig, "diurnal.factor", 1);
    rig_set_u64(rig, "diurnal.period", 1000000000);
}

/* Reads until the source is at its end; returns how many records came. */
static uint64_t read_to_end(struct front_rig *rig)
{
    uint64_t seen = 0, records = 0;

    while (!rig->kind->at_end(rig->self)) {
        if (rig_poll(rig) == 1)
            records += rig->batch.count;
        else if (!rig->kind->at_end(rig->self))
            seen = fake_slot_wait(&rig->slot, seen);
    }
    return records;
}

static void test_count_records_go_through_the_spool_and_then_it_ends(void **state)
{
    struct front_rig rig;
    (void)state;
    rig_init(&rig, &sl_source_generate);
    generate_config(&rig, "max", 30000);
    rig_open(&rig);
    assert_int_equal(read_to_end(&rig), 30000);
    assert_int_equal(rig.slot.count, 4);
    rig_close(&rig);
    rig_fini(&rig);
}

static void test_a_full_queue_makes_it_wait_and_loses_nothing(void **state)
{
    struct front_rig rig;
    (void)state;
    rig_init(&rig, &sl_source_generate);
    rig.spool = sl_spool_close(rig.spool);
    rig.settings.append_queue_bytes = 4096; /* one batch at a time */
    rig_spool_open(&rig);
    generate_config(&rig, "max", 50000);
    rig_open(&rig);
    assert_int_equal(read_to_end(&rig), 50000);
    rig_close(&rig);
    rig_fini(&rig);
}

static void test_it_stops_in_the_middle_with_everything_durable(void **state)
{
    struct front_rig rig;
    uint64_t records = 0, before;
    (void)state;
    rig_init(&rig, &sl_source_generate);
    generate_config(&rig, "max", 0);
    rig_open(&rig);
    rig_next(&rig);
    before = rig.batch.count;
    rig_close(&rig);
    for (uint32_t p = 0; p < 4; p++) {
        struct sl_spool_topic *topic;
        uint64_t first, end;
        assert_int_equal(sl_spool_topic(rig.spool, "t.s", 4, &topic, NULL), 0);
        sl_spool_bounds(topic, p, &first, &end);
        records += end - first;
    }
    assert_true(records >= before);
    rig_fini(&rig);
}

static void test_wrong_settings_are_refused_with_their_name(void **state)
{
    static const char *const wrong[][3] = {{"rate", "12 parrots", "rate"}, {"rate", "20000", "rate"},
                                           {"exponent", "9", "exponent"}, {"exponent", "x", "exponent"}};
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct front_rig rig;
        struct sl_err err;
        rig_init(&rig, &sl_source_generate);
        generate_config(&rig, "100/s", 0);
        rig_set_text(&rig, wrong[i][0], wrong[i][1]);
        assert_int_equal(rig.kind->head.check(rig.config, &err), -SL_E_CONFIG);
        assert_non_null(strstr(err.text, wrong[i][2]));
        rig_fini(&rig);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines_have_their_fields_and_size),
        cmocka_unit_test(test_the_seed_decides_every_byte),
        cmocka_unit_test(test_services_levels_and_bad_records_have_their_shares),
        cmocka_unit_test(test_traces_have_a_few_records),
        cmocka_unit_test(test_the_schedule_keeps_its_mean_and_its_swing),
        cmocka_unit_test(test_count_records_go_through_the_spool_and_then_it_ends),
        cmocka_unit_test(test_a_full_queue_makes_it_wait_and_loses_nothing),
        cmocka_unit_test(test_it_stops_in_the_middle_with_everything_durable),
        cmocka_unit_test(test_wrong_settings_are_refused_with_their_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
