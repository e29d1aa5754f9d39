/* judge.c: see judge.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "sampling/judge.h"

#include <assert.h>
#include <math.h>
#include <stddef.h>

/* Mass of the Beta prior, centred at the null: large enough that a doubled rate is found at its speed, small enough for x1.2. */
#define JUDGE_MASS 100.0

static double judge_log_beta(double a, double b)
{
    return lgamma(a) + lgamma(b) - lgamma(a + b);
}

/* The prior is centred at `share`, the null is `theta`: the test has theta = share, the confidence bounds move theta. */
static double judge_log_factor_at(const struct sl_judge_count *count, double share, double theta)
{
    double a = JUDGE_MASS * share, b = JUDGE_MASS * (1 - share);
    double x1 = (double)count->canary, x0 = (double)count->baseline;

    return judge_log_beta(a + x1, b + x0) - judge_log_beta(a, b) - x1 * log(theta) - x0 * log1p(-theta);
}

double sl_judge_log_factor(const struct sl_judge_count *count, double share)
{
    assert(share > 0 && share < 1);
    return judge_log_factor_at(count, share, share);
}

double sl_judge_log_factor_strata(const struct sl_judge_count *counts, const double *shares, uint32_t strata)
{
    double most = -INFINITY, sum = 0;

    assert(strata > 0);
    for (uint32_t i = 0; i < strata; i++)
        most = fmax(most, sl_judge_log_factor(&counts[i], shares[i]));
    for (uint32_t i = 0; i < strata; i++)
        sum += exp(sl_judge_log_factor(&counts[i], shares[i]) - most);
    return most + log(sum / strata);
}

bool sl_judge_is_more(const struct sl_judge_count *count, double share)
{
    return (double)count->canary * (1 - share) > (double)count->baseline * share;
}

/* The bound of theta on one side of its estimate: the factor against theta grows away from it, so bisection finds where it crosses. */
static double judge_bound(const struct sl_judge_count *count, double share, double log_limit, double inside, double outside)
{
    for (int i = 0; i < 60; i++) {
        double middle = (inside + outside) / 2;
        if (judge_log_factor_at(count, share, middle) <= log_limit)
            inside = middle;
        else
            outside = middle;
    }
    return inside;
}

void sl_judge_ratio(const struct sl_judge_count *count, double share, double alpha, double *ret_low, double *ret_high)
{
    double events = (double)count->canary + (double)count->baseline, limit = log(1 / alpha), odds = (1 - share) / share;
    double estimate = events > 0 ? (double)count->canary / events : share, low, high;

    estimate = fmin(fmax(estimate, 1e-12), 1 - 1e-12);
    low = judge_bound(count, share, limit, estimate, 0);
    high = judge_bound(count, share, limit, estimate, 1);
    *ret_low = events > 0 ? low / (1 - low) * odds : 0;
    *ret_high = events > 0 && high < 1 - 1e-9 ? high / (1 - high) * odds : INFINITY;
}

bool sl_judge_burst(struct sl_judge_bursts *bursts, uint64_t signature, uint32_t second)
{
    uint64_t at = (signature ^ signature >> 32) % SL_JUDGE_BURSTS;
    bool first = bursts->signature[at] != signature || bursts->second[at] != second;

    bursts->signature[at] = signature;
    bursts->second[at] = second;
    return first;
}

static uint32_t judge_bucket(uint64_t latency_ns)
{
    double octaves = latency_ns <= 1000 ? 0 : log2((double)latency_ns / 1000);

    return octaves >= SL_JUDGE_BUCKETS / 8 ? SL_JUDGE_BUCKETS - 1 : (uint32_t)(octaves * 8);
}

void sl_judge_observe(struct sl_judge_histogram *histogram, uint64_t latency_ns, uint64_t times)
{
    histogram->bucket[judge_bucket(latency_ns)] += times;
    histogram->count += times;
}

/* Howard and Ramdas 2022, theorem 2 with its constants: a band that holds for all n at once. */
static double judge_band(uint64_t count, double alpha)
{
    double n = (double)count;

    return 0.85 * sqrt((log(log(M_E * n)) + 0.8 * log(1612 / (alpha / 2))) / n);
}

bool sl_judge_is_slower(const struct sl_judge_histogram *canary, const struct sl_judge_histogram *baseline, double alpha,
                        double *ret_distance)
{
    uint64_t below1 = 0, below0 = 0;
    double distance = 0;

    for (uint32_t i = 0; canary->count > 0 && baseline->count > 0 && i < SL_JUDGE_BUCKETS; i++) {
        below1 += canary->bucket[i];
        below0 += baseline->bucket[i];
        distance = fmax(distance, (double)below0 / (double)baseline->count - (double)below1 / (double)canary->count);
    }
    if (ret_distance != NULL)
        *ret_distance = distance;
    return canary->count > 0 && baseline->count > 0 &&
           distance > judge_band(canary->count, alpha) + judge_band(baseline->count, alpha);
}
