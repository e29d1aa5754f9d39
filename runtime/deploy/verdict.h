/* verdict.h: the judge of a step: what both sides did, put to the tests of sampling/judge.h, as one of four answers.
 *
 *   FAIL  a test rejects and the canary is worse by more than `ratio` allows, or an invariant is broken: out at once
 *   PASS  the step's time is over and no count is, at its upper confidence bound, more than `ratio` times the baseline's (or it is
 *         too rare for that: as rare, at worst, as min_records without any would show); or `patience` is over without a FAIL
 *   FEW   the step's time is over, and the canary had too few records to tell
 *   HOLD  none of them yet
 * Counted: errors, bursts of dead letters (CONTROL.md 5.3), what filters took (more or less: either is a change), latencies above the
 * baseline's p50, p90 and p99 of when there were enough of them, and the latencies' distribution as a whole. alpha is divided by the
 * number of tests. The share that events are held against is the canary's share of the records. Errors that come in bursts
 * are made fewer by what their seconds vary more than independent ones would.
 * The warm-up is cut off: caches and connections fill. An invariant is looked at meanwhile, too.
 *
 * Pure but for the text: time is an argument. Ownership: the caller's struct, good for one step.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_DEPLOY_VERDICT_H
#define SL_RUNTIME_DEPLOY_VERDICT_H

#include "runtime/engine/generation.h"

struct sl_verdict_limits {
    double alpha, ratio;
    bool latency, filtered;
    uint64_t min_records; /* of the canary, after the warm-up */
    uint64_t warm_up_ns, patience_ns;
};
extern const struct sl_verdict_limits sl_verdict_defaults;

enum sl_verdict_answer { SL_VERDICT_HOLD, SL_VERDICT_PASS, SL_VERDICT_FAIL, SL_VERDICT_FEW };

enum sl_verdict_count { SL_VERDICT_ERRORS, SL_VERDICT_DEAD, SL_VERDICT_FILTERED, SL_VERDICT_P50, SL_VERDICT_P90, SL_VERDICT_P99, SL_VERDICT_COUNTS };

/* How much more the counts of a second vary than those of independent events, beyond what its records explain: by differences of
 * neighbours, which what rises and falls slowly does not disturb. */
struct sl_verdict_spread {
    uint64_t at_ns, at_count, at_records;
    double before, squares, sum; /* before: the last second's count beyond what its records would give */
    uint32_t seconds;
};

struct sl_verdict {
    struct sl_verdict_limits limits;
    uint64_t began_ns, hold_ns;
    bool warm, marked; /* the warm-up is over: `base` holds; the baseline's quantiles are known: `mark` holds */
    struct sl_sides base, mark;
    uint32_t quantiles[3]; /* buckets above p50, p90, p99 */
    struct sl_verdict_spread spread[SL_VERDICT_P50];
};

/* warm: what came before has warmed it up. */
void sl_verdict_begin(struct sl_verdict *verdict, const struct sl_verdict_limits *limits, uint64_t hold_ns, bool warm, uint64_t now_ns);
/* sides: since the share last changed. text: why, for a person; 400 bytes. A canary's. */
enum sl_verdict_answer sl_verdict_look(struct sl_verdict *verdict, const struct sl_sides *sides, uint64_t now_ns, char text[400]);
/* Likewise a shadow's: no statistics, a difference that is not meant is a FAIL. FEW: nothing was compared. */
enum sl_verdict_answer sl_verdict_look_shadow(const struct sl_verdict *verdict, const struct sl_sides *sides, uint64_t now_ns, char text[400]);

#endif
