/* test_judge.c: the judge raises few false alarms however often it is asked, and finds what is worse in the time that the paper's
 * tests need. Simulated seconds, seeds fixed.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>

#include "sampling/judge.h"

enum { SECONDS = 1800, RUNS = 200, ALPHA_PER_MILLE = 10 };
#define ALPHA (ALPHA_PER_MILLE / 1000.0)

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

static uint64_t draw_poisson(double mean) /* Knuth: means are small here */
{
    double limit = exp(-mean), product = 1;
    uint64_t count = 0;

    while ((product *= draw_unit()) > limit)
        count++;
    return count;
}

/* The second in which the test rejects, looked at in every one; SECONDS: never. Ten errors a second in all, `factor` times as many in
 * the canary; the load swings by a factor of three meanwhile. */
static uint32_t run_counts(uint64_t seed, double share, double factor)
{
    struct sl_judge_count count = {0, 0};

    random_state = seed;
    for (uint32_t second = 0; second < SECONDS; second++) {
        double load = 1 + 0.5 * sin(second / 100.0);
        count.canary += draw_poisson(10 * share * factor * load);
        count.baseline += draw_poisson(10 * (1 - share) * load);
        if (sl_judge_log_factor(&count, share) > log(1 / ALPHA) && sl_judge_is_more(&count, share))
            return second;
    }
    return SECONDS;
}

static int by_size(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;

    return a < b ? -1 : a > b;
}

static uint32_t median_of(double share, double factor)
{
    static uint32_t found[RUNS];

    for (uint32_t i = 0; i < RUNS; i++)
        found[i] = run_counts(1000 + i, share, factor);
    qsort(found, RUNS, sizeof(found[0]), by_size);
    return found[RUNS / 2];
}

static void test_a_against_a_is_rarely_rejected(void **state)
{
    uint32_t alarms = 0;
    (void)state;

    for (uint32_t i = 0; i < RUNS; i++)
        alarms += run_counts(i, 0.1, 1) < SECONDS;
    print_message("%u of %u A/A runs of %d looks were rejected\n", alarms, RUNS, SECONDS);
    assert_true(alarms <= 6);
}

static void test_what_is_worse_is_found_soon(void **state)
{
    uint32_t doubled = median_of(0.1, 2), half_more = median_of(0.1, 1.5), fifth_more = median_of(0.1, 1.2);
    (void)state;

    print_message("medians: x2 in %u s, x1.5 in %u s, x1.2 in %u s\n", doubled, half_more, fifth_more);
    assert_true(doubled <= 30);
    assert_true(half_more <= 90);
    assert_true(fifth_more < SECONDS);
}

static void test_bursts_are_counted_once(void **state)
{
    static struct sl_judge_bursts bursts;
    (void)state;

    assert_true(sl_judge_burst(&bursts, 42, 1));
    assert_false(sl_judge_burst(&bursts, 42, 1));
    assert_true(sl_judge_burst(&bursts, 42, 2));
    assert_true(sl_judge_burst(&bursts, 43, 2));
    assert_false(sl_judge_burst(&bursts, 43, 2));
}

/* Errors come in bursts of ten: raw counts are rejected nearly always, their starts rarely. */
static void test_burst_starts_keep_the_level(void **state)
{
    uint32_t raw_alarms = 0, start_alarms = 0;
    (void)state;

    for (uint32_t run = 0; run < RUNS; run++) {
        static struct sl_judge_bursts bursts;
        struct sl_judge_count raw = {0, 0}, starts = {0, 0};
        bool raw_alarm = false, start_alarm = false;
        random_state = 77 + run;
        for (uint32_t second = 0; second < SECONDS; second++) {
            for (uint64_t burst = draw_poisson(1); burst > 0; burst--) {
                bool canary = draw_unit() < 0.1;
                uint64_t signature = draw();
                for (int event = 0; event < 10; event++) {
                    bool first = sl_judge_burst(&bursts, signature, second);
                    raw.canary += canary;
                    raw.baseline += !canary;
                    starts.canary += canary && first;
                    starts.baseline += !canary && first;
                }
            }
            raw_alarm |= sl_judge_log_factor(&raw, 0.1) > log(1 / ALPHA);
            start_alarm |= sl_judge_log_factor(&starts, 0.1) > log(1 / ALPHA);
        }
        raw_alarms += raw_alarm;
        start_alarms += start_alarm;
    }
    print_message("bursts of ten: %u of %u rejected by raw counts, %u by burst starts\n", raw_alarms, RUNS, start_alarms);
    assert_true(raw_alarms > RUNS / 2);
    assert_true(start_alarms <= 6);
}

static void test_strata_are_combined(void **state)
{
    /* Simpson's trap: the canary has half of a service that errs a lot, and 1 % of one that never does */
    struct sl_judge_count counts[2] = {{500, 500}, {0, 1}};
    double shares[2] = {0.5, 0.01};
    struct sl_judge_count all = {500, 501};
    (void)state;

    assert_true(sl_judge_log_factor_strata(counts, shares, 2) < 0);
    assert_true(sl_judge_log_factor(&all, 0.1) > log(1 / ALPHA));
    counts[0].canary = 1000;
    assert_true(sl_judge_log_factor_strata(counts, shares, 2) > log(1 / ALPHA));
}

static void test_the_ratio_has_bounds(void **state)
{
    struct sl_judge_count none = {0, 0}, even = {1000, 9000}, doubled = {2000, 9000};
    double low, high;
    (void)state;

    sl_judge_ratio(&none, 0.1, ALPHA, &low, &high);
    assert_true(low == 0 && isinf(high));
    sl_judge_ratio(&even, 0.1, ALPHA, &low, &high);
    print_message("1000 of 10000 at 10 %%: %.3f to %.3f\n", low, high);
    assert_true(low < 1 && low > 0.8 && high > 1 && high < 1.25);
    sl_judge_ratio(&doubled, 0.1, ALPHA, &low, &high);
    assert_true(low > 1.5 && low < 2 && high > 2 && high < 2.5);
}

static uint64_t draw_latency(double scale)
{
    return (uint64_t)(scale * 20e6 * -log(1 - draw_unit()));
}

static uint32_t run_latency(uint64_t seed, double scale)
{
    struct sl_judge_histogram canary = {0}, baseline = {0};

    random_state = seed;
    for (uint32_t second = 0; second < 300; second++) {
        for (int i = 0; i < 100; i++) {
            sl_judge_observe(&canary, draw_latency(scale), 1);
            sl_judge_observe(&baseline, draw_latency(1), 1);
        }
        if (sl_judge_is_slower(&canary, &baseline, ALPHA, NULL))
            return second;
    }
    return 300;
}

static void test_slower_is_found_and_equal_is_not(void **state)
{
    uint32_t alarms = 0, faster = 0, found = 0;
    (void)state;

    for (uint32_t i = 0; i < RUNS; i++) {
        alarms += run_latency(i, 1) < 300;
        faster += run_latency(i, 0.7) < 300;
        found += run_latency(i, 1.3) < 60;
    }
    print_message("latency: %u false alarms, %u for a faster one, +30 %% found within a minute in %u of %u\n", alarms, faster, found, RUNS);
    assert_int_equal(alarms, 0);
    assert_int_equal(faster, 0);
    assert_true(found >= RUNS * 95 / 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_against_a_is_rarely_rejected),
        cmocka_unit_test(test_what_is_worse_is_found_soon),
        cmocka_unit_test(test_bursts_are_counted_once),
        cmocka_unit_test(test_burst_starts_keep_the_level),
        cmocka_unit_test(test_strata_are_combined),
        cmocka_unit_test(test_the_ratio_has_bounds),
        cmocka_unit_test(test_slower_is_found_and_equal_is_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
