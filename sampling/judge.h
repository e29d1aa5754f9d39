/* judge.h: whether a canary is worse than the version beside it, by tests that may be looked at as often as one likes.
 *
 * Counts (errors, dead letters, what a filter took, latencies above a quantile): under the null hypothesis an event falls to the
 * canary with the share θ of the traffic that it has, whatever the traffic does meanwhile; so two integers a metric suffice. The Bayes
 * factor of a Beta mixture against that binomial is a test martingale, valid at every look: Lindon and Malek, "Anytime-Valid
 * Inference for Multinomial Count Data", NeurIPS 2022. Latency as a whole: a time-uniform band around both empirical distribution
 * functions: Howard and Ramdas, "Sequential estimation of quantiles", Bernoulli 28(3), 2022.
 * Events that come in bursts break the independence that both stand on: count the starts of bursts (sl_judge_burst).
 *
 * Pure: no clock, memory or I/O; what is kept is the caller's.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_SAMPLING_JUDGE_H
#define SL_SAMPLING_JUDGE_H

#include <stdbool.h>
#include <stdint.h>

enum { SL_JUDGE_BURSTS = 1024, SL_JUDGE_BUCKETS = 256 };

struct sl_judge_count {
    uint64_t canary, baseline;
};

/* ln of the Bayes factor against "the canary has the share `share` of the events", 0 < share < 1. Above ln(1/alpha): reject. */
double sl_judge_log_factor(const struct sl_judge_count *count, double share);
/* Strata (services, levels) of one metric, each with its own share: ln of the mean of their factors, which is a test as well. */
double sl_judge_log_factor_strata(const struct sl_judge_count *counts, const double *shares, uint32_t strata);
/* Is the canary's rate higher? A rejection may also say that it is lower, which is no fault. */
bool sl_judge_is_more(const struct sl_judge_count *count, double share);
/* Upper and lower confidence bounds, at every look, of (canary's rate) / (baseline's rate). Upper: INFINITY while nothing bounds it. */
void sl_judge_ratio(const struct sl_judge_count *count, double share, double alpha, double *ret_low, double *ret_high);

/* Starts of bursts: true for the first event of `signature` (a hash of service and error) in `second`. Zeroed at first; slots are
 * taken over, so under more signatures than slots some bursts are counted more than once. */
struct sl_judge_bursts {
    uint64_t signature[SL_JUDGE_BURSTS];
    uint32_t second[SL_JUDGE_BURSTS];
};
bool sl_judge_burst(struct sl_judge_bursts *bursts, uint64_t signature, uint32_t second);

/* Latencies: a histogram of logarithmic buckets, eight an octave from 1 us on. */
struct sl_judge_histogram {
    uint64_t count, bucket[SL_JUDGE_BUCKETS];
};
void sl_judge_observe(struct sl_judge_histogram *histogram, uint64_t latency_ns, uint64_t times);
/* True when the canary's latencies lie above the baseline's somewhere, at confidence 1 - alpha over all looks. *ret_distance (may be
 * NULL): the largest amount by which the baseline's distribution function exceeds the canary's. */
bool sl_judge_is_slower(const struct sl_judge_histogram *canary, const struct sl_judge_histogram *baseline, double alpha,
                        double *ret_distance);

#endif
