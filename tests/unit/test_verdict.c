/* test_verdict.c: a canary that is as good is let pass, one that is worse is found in time, and little traffic says that it is little.
 * Simulated seconds, seeds fixed.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/clock.h"
#include "runtime/deploy/verdict.h"

enum { RUNS = 200, SECONDS = 1800 };

static uint64_t random_state;

/* splitmix64 (Steele et al., OOPSLA 2014) */
static uint64_t draw(void)
{
    uint64_t z = random_state += 0x9e3779b97f4a7c15ull;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

static double draw_unit(void)
{
    return (double)(draw() >> 11) / 9007199254740992.0;
}

static uint64_t draw_poisson(double mean)
{
    double limit = exp(-mean), product = 1;
    uint64_t count = 0;

    if (mean > 50) { /* about normal: twelve uniform ones */
        double sum = -6;
        for (int i = 0; i < 12; i++)
            sum += draw_unit();
        return (uint64_t)fmax(0, mean + sqrt(mean) * sum + 0.5);
    }
    while ((product *= draw_unit()) > limit)
        count++;
    return count;
}

struct traffic {
    double records_per_s, errors_per_s, dead_per_s, filtered; /* of both sides; the share of records that are filtered */
    double burst;                                               /* mean number of errors that come together */
    double error_factor, dead_factor, filtered_factor, slow_factor; /* of the canary */
    double jumps;                                                   /* how much the load varies from second to second */
};
static const struct traffic even = {5000, 10, 2, 0.3, 1, 1, 1, 1, 1, 0};

static void side_second(struct sl_side *side, const struct traffic *traffic, double share, double load, bool canary)
{
    uint64_t records = draw_poisson(traffic->records_per_s * share * load), bursts;
    double filtered = traffic->filtered * (canary ? traffic->filtered_factor : 1);

    side->records += records;
    side->filtered += draw_poisson((double)records * filtered);
    bursts = draw_poisson(traffic->errors_per_s / traffic->burst * share * load * (canary ? traffic->error_factor : 1));
    for (uint64_t i = 0; i < bursts; i++)
        side->errors += traffic->burst > 1 ? 1 + draw_poisson(traffic->burst - 1) : 1;
    bursts = draw_poisson(traffic->dead_per_s * share * load * (canary ? traffic->dead_factor : 1));
    side->dead_bursts += bursts;
    side->dead += 3 * bursts;
    for (int i = 0; i < 20; i++) { /* batches; about log-normal */
        double sum = -2;
        for (int j = 0; j < 4; j++)
            sum += draw_unit();
        sl_judge_observe(&side->batch_latency, (uint64_t)(20000 * exp(sum) * (canary ? traffic->slow_factor : 1)), 1);
    }
}

/* Looks every second. The answer that ended it, and the second. */
static enum sl_verdict_answer walk(uint64_t seed, const struct traffic *traffic, double share, const struct sl_verdict_limits *limits,
                                   uint64_t hold_s, uint32_t *ret_second, char text[400])
{
    struct sl_verdict verdict;
    struct sl_sides sides = {0};
    enum sl_verdict_answer answer = SL_VERDICT_HOLD;
    uint32_t second = 0;

    random_state = seed;
    sl_verdict_begin(&verdict, limits, hold_s * SL_NS_PER_S, true, 0);
    while (answer == SL_VERDICT_HOLD && second < SECONDS + 10) {
        double load = (1 + 0.5 * sin(second / 100.0)) * (1 + (traffic->jumps > 0 ? traffic->jumps * draw_unit() : 0));
        second++;
        side_second(&sides.canary, traffic, share, load, true);
        side_second(&sides.baseline, traffic, 1 - share, load, false);
        answer = sl_verdict_look(&verdict, &sides, second * SL_NS_PER_S, text);
    }
    *ret_second = second;
    return answer;
}

static int compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static void test_the_same_version_is_seldom_taken_out(void **state)
{
    uint32_t false_alarms = 0, passes = 0, second;
    char text[400];
    (void)state;

    for (uint64_t run = 0; run < RUNS; run++) {
        enum sl_verdict_answer answer = walk(7000 + run, &even, 0.1, &sl_verdict_defaults, SECONDS, &second, text);
        false_alarms += answer == SL_VERDICT_FAIL;
        passes += answer == SL_VERDICT_PASS;
        if (answer == SL_VERDICT_FAIL)
            print_message("run %u, second %u: %s\n", (unsigned)run, second, text);
    }
    print_message("%u of %d A/A runs of %d s failed\n", false_alarms, RUNS, SECONDS);
    assert_true(false_alarms <= 6);
    assert_int_equal(passes + false_alarms, RUNS);
}

static void test_errors_in_bursts_are_no_fault(void **state)
{
    struct traffic bursts = even;
    uint32_t false_alarms = 0, second;
    char text[400];
    (void)state;

    bursts.burst = 8;
    for (uint64_t run = 0; run < RUNS; run++)
        false_alarms += walk(9000 + run, &bursts, 0.1, &sl_verdict_defaults, SECONDS, &second, text) == SL_VERDICT_FAIL;
    print_message("%u of %d A/A runs with bursts of 8 failed\n", false_alarms, RUNS);
    assert_true(false_alarms <= 6);
}

/* What a second's records explain is no dependence between events: it must not keep a good version waiting. */
static void test_records_that_come_in_bursts_make_no_doubt(void **state)
{
    struct traffic jumpy = even;
    uint32_t second;
    char text[400];
    (void)state;

    jumpy.jumps = 10;
    jumpy.records_per_s = 2000;
    jumpy.errors_per_s = 0;
    jumpy.dead_per_s = 0;
    for (uint64_t run = 0; run < 20; run++) {
        assert_int_equal(walk(60 + run, &jumpy, 0.1, &sl_verdict_defaults, 120, &second, text), SL_VERDICT_PASS);
        assert_int_equal(second, 120);
    }
}

static uint32_t median_second(const struct traffic *traffic, double share, const char *says)
{
    uint32_t seconds[RUNS], found = 0;
    char text[400];

    for (uint64_t run = 0; run < RUNS; run++)
        if (walk(500 + run, traffic, share, &sl_verdict_defaults, SECONDS, &seconds[run], text) == SL_VERDICT_FAIL) {
            found++;
            if (strstr(text, says) == NULL)
                print_message("found, but by: %s\n", text);
        } else {
            seconds[run] = SECONDS;
        }
    qsort(seconds, RUNS, sizeof(seconds[0]), compare);
    print_message("%s: found in %u of %d, median %u s, nine in ten %u s; e.g. %s\n", says, found, RUNS, seconds[RUNS / 2],
                  seconds[RUNS * 9 / 10], text);
    return seconds[RUNS / 2];
}

static void test_more_errors_are_found(void **state)
{
    struct traffic worse = even;
    (void)state;

    worse.error_factor = 2;
    assert_true(median_second(&worse, 0.1, "errors") <= 30);
    worse.error_factor = 1.5;
    assert_true(median_second(&worse, 0.1, "errors") <= 90);
}

static void test_each_metric_is_looked_at(void **state)
{
    struct traffic worse = even;
    (void)state;

    worse.dead_factor = 5;
    assert_true(median_second(&worse, 0.1, "dead letters") <= 60);
    worse = even;
    worse.filtered_factor = 1.5;
    assert_true(median_second(&worse, 0.1, "filtered records") <= 30);
    worse.filtered_factor = 0.5;
    assert_true(median_second(&worse, 0.1, "filtered records") <= 30);
    worse = even;
    worse.slow_factor = 1.6;
    assert_true(median_second(&worse, 0.1, "") <= 120);
}

static void test_what_is_meant_is_not_judged(void **state)
{
    struct sl_verdict_limits limits = sl_verdict_defaults;
    struct traffic other = even;
    uint32_t second;
    char text[400];
    (void)state;

    other.filtered_factor = 2;
    other.slow_factor = 3;
    limits.filtered = limits.latency = false;
    assert_int_equal(walk(1, &other, 0.1, &limits, SECONDS, &second, text), SL_VERDICT_PASS);
}

static void test_a_good_step_passes_when_its_time_is_over(void **state)
{
    struct traffic clean = even;
    uint32_t second, early = 0;
    char text[400];
    (void)state;

    clean.errors_per_s = 0;
    clean.dead_per_s = 0;
    for (uint64_t run = 0; run < 20; run++) {
        assert_int_equal(walk(40 + run, &clean, 0.1, &sl_verdict_defaults, 120, &second, text), SL_VERDICT_PASS);
        early += second == 120;
    }
    print_message("%u of 20 clean steps passed at their end: %s\n", early, text);
    assert_true(early >= 18);
    /* With errors on both sides it takes until the bound is under the limit, and never less than the step. */
    assert_int_equal(walk(99, &even, 0.3, &sl_verdict_defaults, 120, &second, text), SL_VERDICT_PASS);
    assert_true(second >= 120);
}

static void test_little_traffic_says_so(void **state)
{
    struct sl_verdict verdict;
    struct sl_sides sides = {0};
    char text[400];
    (void)state;

    sl_verdict_begin(&verdict, &sl_verdict_defaults, 120 * SL_NS_PER_S, true, 0);
    sides.canary.records = 12;
    sides.baseline.records = 1100;
    assert_int_equal(sl_verdict_look(&verdict, &sides, 119 * SL_NS_PER_S, text), SL_VERDICT_HOLD);
    assert_int_equal(sl_verdict_look(&verdict, &sides, 120 * SL_NS_PER_S, text), SL_VERDICT_FEW);
    assert_string_equal(text, "12 records in 2m: too few to tell (the plan asks for 1000)");
}

static void test_the_warm_up_is_cut_off(void **state)
{
    struct sl_verdict verdict;
    struct sl_sides sides = {0};
    char text[400];
    (void)state;

    sl_verdict_begin(&verdict, &sl_verdict_defaults, 120 * SL_NS_PER_S, false, 0);
    sides.canary.records = sides.canary.errors = 5000; /* all of it bad, at first */
    sides.baseline.records = 50000;
    assert_int_equal(sl_verdict_look(&verdict, &sides, 59 * SL_NS_PER_S, text), SL_VERDICT_HOLD);
    assert_int_equal(sl_verdict_look(&verdict, &sides, 60 * SL_NS_PER_S, text), SL_VERDICT_HOLD);
    sides.canary.records += 20000;
    sides.baseline.records += 200000;
    assert_int_equal(sl_verdict_look(&verdict, &sides, 179 * SL_NS_PER_S, text), SL_VERDICT_HOLD);
    assert_int_equal(sl_verdict_look(&verdict, &sides, 180 * SL_NS_PER_S, text), SL_VERDICT_PASS);
    sides.canary.errors += 2000;
    assert_int_equal(sl_verdict_look(&verdict, &sides, 181 * SL_NS_PER_S, text), SL_VERDICT_FAIL);
    assert_non_null(strstr(text, "errors: 2000 of 20000 in the canary, 0 of 200000 beside it: where the live version has none"));
}

static void test_a_broken_one_is_out_at_once(void **state)
{
    struct sl_verdict verdict;
    struct sl_sides sides = {.broken = true};
    char text[400];
    (void)state;

    (void)snprintf(sides.why.text, sizeof(sides.why.text), "operator mask: a plugin gave an error");
    sl_verdict_begin(&verdict, &sl_verdict_defaults, 120 * SL_NS_PER_S, false, 0);
    assert_int_equal(sl_verdict_look(&verdict, &sides, 1, text), SL_VERDICT_FAIL);
    assert_string_equal(text, "it broke: operator mask: a plugin gave an error");
    assert_int_equal(sl_verdict_look_shadow(&verdict, &sides, 1, text), SL_VERDICT_FAIL);
}

static void test_a_shadow_allows_no_difference(void **state)
{
    struct sl_verdict verdict;
    struct sl_sides sides = {0};
    char text[400];
    (void)state;

    sl_verdict_begin(&verdict, &sl_verdict_defaults, 300 * SL_NS_PER_S, false, 0);
    assert_int_equal(sl_verdict_look_shadow(&verdict, &sides, 299 * SL_NS_PER_S, text), SL_VERDICT_HOLD);
    assert_int_equal(sl_verdict_look_shadow(&verdict, &sides, 300 * SL_NS_PER_S, text), SL_VERDICT_FEW);
    sides.compared = 100000;
    assert_int_equal(sl_verdict_look_shadow(&verdict, &sides, 300 * SL_NS_PER_S, text), SL_VERDICT_PASS);
    sides.differing = 1;
    assert_int_equal(sl_verdict_look_shadow(&verdict, &sides, 10 * SL_NS_PER_S, text), SL_VERDICT_FAIL);
    assert_non_null(strstr(text, "1 of 100000 outputs differ"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_same_version_is_seldom_taken_out),
        cmocka_unit_test(test_errors_in_bursts_are_no_fault),
        cmocka_unit_test(test_records_that_come_in_bursts_make_no_doubt),
        cmocka_unit_test(test_more_errors_are_found),
        cmocka_unit_test(test_each_metric_is_looked_at),
        cmocka_unit_test(test_what_is_meant_is_not_judged),
        cmocka_unit_test(test_a_good_step_passes_when_its_time_is_over),
        cmocka_unit_test(test_little_traffic_says_so),
        cmocka_unit_test(test_the_warm_up_is_cut_off),
        cmocka_unit_test(test_a_broken_one_is_out_at_once),
        cmocka_unit_test(test_a_shadow_allows_no_difference),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
