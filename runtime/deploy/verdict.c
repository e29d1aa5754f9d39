/* verdict.c: see verdict.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/deploy/verdict.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "runtime/base/clock.h"
#include "runtime/config/units.h"

/* Latencies before the quantiles are set; seconds before a spread is believed, what holds until then, and the least that is believed
 * (independent events give 1 with a standard deviation of about sqrt(3 / seconds)). */
enum { VERDICT_MARK_LATENCIES = 1000, VERDICT_SPREAD_SECONDS = 15 };
#define VERDICT_SPREAD_FIRST 8.0
#define VERDICT_SPREAD_LEAST 2.0

const struct sl_verdict_limits sl_verdict_defaults = {.alpha = 0.01, .ratio = 1.2, .latency = true, .filtered = true, .min_records = 1000,
                                                      .warm_up_ns = 60 * SL_NS_PER_S, .patience_ns = 1800 * SL_NS_PER_S};

static const struct {
    const char *noun, *remedy;
} verdict_words[SL_VERDICT_COUNTS] = {
    [SL_VERDICT_ERRORS] = {"errors", ""},
    [SL_VERDICT_DEAD] = {"bursts of dead letters", ""},
    [SL_VERDICT_FILTERED] = {"filtered records", "; a plan with judge: { filtered: false } allows it"},
    [SL_VERDICT_P50] = {"records slower than the live version's median", ""},
    [SL_VERDICT_P90] = {"records slower than the live version's 90th percentile", ""},
    [SL_VERDICT_P99] = {"records slower than the live version's 99th percentile", ""},
};

void sl_verdict_begin(struct sl_verdict *verdict, const struct sl_verdict_limits *limits, uint64_t hold_ns, bool warm, uint64_t now_ns)
{
    memset(verdict, 0, sizeof(*verdict));
    verdict->limits = *limits;
    verdict->began_ns = now_ns;
    verdict->hold_ns = hold_ns;
    verdict->warm = warm || limits->warm_up_ns == 0; /* then `base` is what there was at the beginning: nothing */
    if (warm)
        verdict->limits.warm_up_ns = 0;
}

/* ---- counts ---- */

static uint64_t verdict_of(const struct sl_side *side, enum sl_verdict_count count)
{
    return count == SL_VERDICT_ERRORS ? side->errors : count == SL_VERDICT_DEAD ? side->dead_bursts : side->filtered;
}

static uint64_t verdict_above(const struct sl_judge_histogram *now, const struct sl_judge_histogram *before, uint32_t bucket)
{
    uint64_t above = 0;

    for (uint32_t i = bucket; i < SL_JUDGE_BUCKETS; i++)
        above += now->bucket[i] - before->bucket[i];
    return above;
}

/* The events of both sides, and of how many records. */
static struct sl_judge_count verdict_events(const struct sl_verdict *verdict, const struct sl_sides *sides, enum sl_verdict_count count,
                                            struct sl_judge_count *ret_of)
{
    const struct sl_side *canary = &verdict->base.canary, *baseline = &verdict->base.baseline;
    uint32_t bucket;

    if (count < SL_VERDICT_P50) {
        *ret_of = (struct sl_judge_count){sides->canary.records - canary->records, sides->baseline.records - baseline->records};
        return (struct sl_judge_count){verdict_of(&sides->canary, count) - verdict_of(canary, count),
                                       verdict_of(&sides->baseline, count) - verdict_of(baseline, count)};
    }
    bucket = verdict->quantiles[count - SL_VERDICT_P50];
    canary = &verdict->mark.canary;
    baseline = &verdict->mark.baseline;
    *ret_of = (struct sl_judge_count){sides->canary.batch_latency.count - canary->batch_latency.count,
                                      sides->baseline.batch_latency.count - baseline->batch_latency.count};
    return (struct sl_judge_count){verdict_above(&sides->canary.batch_latency, &canary->batch_latency, bucket),
                                   verdict_above(&sides->baseline.batch_latency, &baseline->batch_latency, bucket)};
}

static bool verdict_counts(const struct sl_verdict *verdict, enum sl_verdict_count count)
{
    if (count >= SL_VERDICT_P50)
        return verdict->limits.latency && verdict->marked;
    return count != SL_VERDICT_FILTERED || verdict->limits.filtered;
}

/* alpha of one test: latencies have four. */
static double verdict_alpha(const struct sl_verdict *verdict)
{
    return verdict->limits.alpha / (2 + (verdict->limits.filtered ? 1 : 0) + (verdict->limits.latency ? 4 : 0));
}

/* ---- spread ---- */

static void spread_look(struct sl_verdict_spread *spread, uint64_t count, uint64_t records, uint64_t now_ns)
{
    double of_records = records > 0 ? (double)count / (double)records : 0, in_second = (double)(count - spread->at_count);
    double beyond = in_second - of_records * (double)(records - spread->at_records);

    if (now_ns - spread->at_ns < SL_NS_PER_S)
        return;
    if (spread->seconds > 0) {
        spread->squares += (beyond - spread->before) * (beyond - spread->before) / 2;
        spread->sum += in_second;
    }
    spread->seconds++;
    spread->before = beyond;
    spread->at_count = count;
    spread->at_records = records;
    spread->at_ns = now_ns;
}

/* By how much events have to be thinned out to count as independent. */
static double spread_factor(const struct sl_verdict_spread *spread)
{
    double factor = spread->sum > 0 ? spread->squares / spread->sum : 1;

    if (spread->seconds <= VERDICT_SPREAD_SECONDS)
        return VERDICT_SPREAD_FIRST;
    return factor > VERDICT_SPREAD_LEAST ? factor : 1;
}

static void verdict_look_spreads(struct sl_verdict *verdict, const struct sl_sides *sides, uint64_t now_ns)
{
    for (int count = 0; count < SL_VERDICT_P50; count++)
        spread_look(&verdict->spread[count], verdict_of(&sides->baseline, (enum sl_verdict_count)count), sides->baseline.records, now_ns);
}

/* ---- one count ---- */

struct verdict_one {
    struct sl_judge_count events, of, thinned;
    double share, alpha, ratio; /* of rates, as estimated */
    double low, high;           /* its bounds: one_bound() */
    bool rejects;
};

static struct verdict_one verdict_judge(const struct sl_verdict *verdict, const struct sl_sides *sides, enum sl_verdict_count count)
{
    struct verdict_one one = {.alpha = verdict_alpha(verdict)};
    double factor = count < SL_VERDICT_P50 ? spread_factor(&verdict->spread[count]) : 1, canary, baseline;

    one.events = verdict_events(verdict, sides, count, &one.of);
    if (one.of.canary == 0 || one.of.baseline == 0) {
        one.ratio = 1;
        return one;
    }
    one.share = (double)one.of.canary / ((double)one.of.canary + (double)one.of.baseline);
    one.thinned.canary = (uint64_t)((double)one.events.canary / factor);
    one.thinned.baseline = (uint64_t)((double)one.events.baseline / factor);
    one.rejects = sl_judge_log_factor(&one.thinned, one.share) > log(1 / one.alpha);
    canary = (double)one.events.canary / (double)one.of.canary;
    baseline = (double)one.events.baseline / (double)one.of.baseline;
    one.ratio = baseline > 0 ? canary / baseline : canary > 0 ? INFINITY : 1;
    return one;
}

/* Costs much more than the test: only where somebody asks. */
static void one_bound(struct verdict_one *one)
{
    one->low = 0;
    one->high = INFINITY;
    if (one->share > 0)
        sl_judge_ratio(&one->thinned, one->share, one->alpha, &one->low, &one->high);
}

/* Worse by more than the plan allows; what filters take is a change in both directions. */
static bool one_is_bad(const struct sl_verdict *verdict, const struct verdict_one *one, enum sl_verdict_count count)
{
    if (!one->rejects)
        return false;
    return one->ratio > verdict->limits.ratio || (count == SL_VERDICT_FILTERED && one->ratio < 1 / verdict->limits.ratio);
}

/* Not worse than allowed, at the confidence asked for; or too rare for a ratio, by Bernstein's bound: rarer, at worst, than what
 * min_records without a single event would tell of. Who wants to see rarer events asks for more records. */
static bool one_is_good(const struct sl_verdict *verdict, struct verdict_one *one, enum sl_verdict_count count)
{
    double few = log(1 / one->alpha), events = (double)one->events.canary;
    double high = (events + few + sqrt(few * few + 2 * events * few)) / fmax((double)one->of.canary, 1);

    one_bound(one);
    if (high <= 2 * few / (double)verdict->limits.min_records)
        return true;
    return one->high < verdict->limits.ratio && (count != SL_VERDICT_FILTERED || one->low > 1 / verdict->limits.ratio);
}

static void one_print(const struct sl_verdict *verdict, const struct verdict_one *one, enum sl_verdict_count count, bool fails, char text[400])
{
    char times[64], bound[64], limit[64];
    double ratio = verdict->limits.ratio;

    if (isinf(one->ratio))
        (void)snprintf(times, sizeof(times), "where the live version has none");
    else
        (void)snprintf(times, sizeof(times), "%.3g times as many a record", one->ratio);
    if (fails)
        (void)snprintf(limit, sizeof(limit), "the plan allows %.3g", one->ratio < 1 ? 1 / ratio : ratio);
    else if (count == SL_VERDICT_FILTERED)
        (void)snprintf(limit, sizeof(limit), "not clear yet that it is between %.3g and %.3g", 1 / ratio, ratio);
    else
        (void)snprintf(limit, sizeof(limit), "not clear yet that it is under %.3g", ratio);
    if (isinf(one->high))
        (void)snprintf(bound, sizeof(bound), "at least %.3g times", one->low);
    else
        (void)snprintf(bound, sizeof(bound), "between %.3g and %.3g times", one->low, one->high);
    (void)snprintf(text, 400, "%s: %" PRIu64 " of %" PRIu64 " in the canary, %" PRIu64 " of %" PRIu64 " beside it: %s (at confidence %.4g%% %s; %s)",
                   verdict_words[count].noun, one->events.canary, one->of.canary, one->events.baseline, one->of.baseline, times,
                   100 * (1 - one->alpha), bound, limit);
}

/* ---- latency as a whole ---- */

static uint32_t latency_quantile(const struct sl_judge_histogram *now, const struct sl_judge_histogram *before, double quantile)
{
    uint64_t below = 0, all = now->count - before->count;

    for (uint32_t i = 0; i < SL_JUDGE_BUCKETS; i++) {
        below += now->bucket[i] - before->bucket[i];
        if ((double)below >= quantile * (double)all)
            return i;
    }
    return SL_JUDGE_BUCKETS - 1;
}

static double latency_of(uint32_t bucket) /* its upper end, in us */
{
    return exp2((bucket + 1) / 8.0);
}

static void latency_mark(struct sl_verdict *verdict, const struct sl_sides *sides)
{
    static const double quantiles[] = {0.5, 0.9, 0.99};
    const struct sl_judge_histogram *now = &sides->baseline.batch_latency, *before = &verdict->base.baseline.batch_latency;

    if (verdict->marked || now->count - before->count < VERDICT_MARK_LATENCIES)
        return;
    for (int i = 0; i < 3; i++)
        verdict->quantiles[i] = latency_quantile(now, before, quantiles[i]) + 1;
    verdict->mark = *sides;
    verdict->marked = true;
}

static struct sl_judge_histogram latency_since(const struct sl_judge_histogram *now, const struct sl_judge_histogram *before)
{
    struct sl_judge_histogram since = {.count = now->count - before->count};

    for (uint32_t i = 0; i < SL_JUDGE_BUCKETS; i++)
        since.bucket[i] = now->bucket[i] - before->bucket[i];
    return since;
}

/* True: slower at every confidence asked for, and by more than the plan allows at one of the quantiles. */
static bool latency_is_bad(const struct sl_verdict *verdict, const struct sl_sides *sides, char text[400])
{
    static const double quantiles[] = {0.5, 0.9, 0.99};
    struct sl_judge_histogram none = {0}, canary, baseline;

    if (!verdict->limits.latency)
        return false;
    canary = latency_since(&sides->canary.batch_latency, &verdict->base.canary.batch_latency);
    baseline = latency_since(&sides->baseline.batch_latency, &verdict->base.baseline.batch_latency);
    if (!sl_judge_is_slower(&canary, &baseline, verdict_alpha(verdict), NULL))
        return false;
    for (int i = 0; i < 3; i++) {
        double slow = latency_of(latency_quantile(&canary, &none, quantiles[i])), fast = latency_of(latency_quantile(&baseline, &none, quantiles[i]));
        if (slow <= fast * verdict->limits.ratio)
            continue;
        (void)snprintf(text, 400, "latency of stages: p%g is %.3g us in the canary (%" PRIu64 " seen), %.3g us beside it (%" PRIu64 "): %.3g times, the plan allows %.3g",
                       100 * quantiles[i], slow, canary.count, fast, baseline.count, slow / fast, verdict->limits.ratio);
        return true;
    }
    return false;
}

/* ---- the whole ---- */

static bool verdict_fails(const struct sl_verdict *verdict, const struct sl_sides *sides, char text[400])
{
    for (int i = 0; i < SL_VERDICT_COUNTS; i++) {
        enum sl_verdict_count count = (enum sl_verdict_count)i;
        struct verdict_one one;
        size_t bytes;
        if (!verdict_counts(verdict, count))
            continue;
        one = verdict_judge(verdict, sides, count);
        if (!one_is_bad(verdict, &one, count))
            continue;
        one_bound(&one);
        one_print(verdict, &one, count, true, text);
        bytes = strlen(text);
        (void)snprintf(text + bytes, 400 - bytes, "%s", verdict_words[count].remedy);
        return true;
    }
    return latency_is_bad(verdict, sides, text);
}

/* False: text says what is not clear yet. */
static bool verdict_passes(const struct sl_verdict *verdict, const struct sl_sides *sides, char text[400])
{
    for (int i = 0; i < SL_VERDICT_P50; i++) {
        enum sl_verdict_count count = (enum sl_verdict_count)i;
        struct verdict_one one;
        if (!verdict_counts(verdict, count))
            continue;
        one = verdict_judge(verdict, sides, count);
        if (one_is_good(verdict, &one, count))
            continue;
        one_print(verdict, &one, count, false, text);
        return false;
    }
    return true;
}

static bool verdict_is_broken(const struct sl_sides *sides, char text[400])
{
    if (sides->broken)
        (void)snprintf(text, 400, "it broke: %.380s", sides->why.text);
    return sides->broken;
}

static enum sl_verdict_answer verdict_at_end(const struct sl_verdict *verdict, const struct sl_sides *sides, uint64_t since_ns, char text[400])
{
    uint64_t records = sides->canary.records - verdict->base.canary.records;
    char took[SL_UNITS_TEXT];

    sl_duration_print(verdict->hold_ns / SL_NS_PER_S * SL_NS_PER_S, took);
    if (records < verdict->limits.min_records) {
        (void)snprintf(text, 400, "%" PRIu64 " %s in %s: too few to tell (the plan asks for %" PRIu64 ")", records,
                       records == 1 ? "record" : "records", took, verdict->limits.min_records);
        return SL_VERDICT_FEW;
    }
    if (verdict_passes(verdict, sides, text)) {
        (void)snprintf(text, 400, "%" PRIu64 " records in %s, not worse than the %" PRIu64 " beside them", records, took,
                       sides->baseline.records - verdict->base.baseline.records);
        return SL_VERDICT_PASS;
    }
    if (since_ns < verdict->limits.patience_ns)
        return SL_VERDICT_HOLD;
    sl_duration_print(since_ns / SL_NS_PER_S * SL_NS_PER_S, took);
    (void)snprintf(text, 400, "%" PRIu64 " records in %s, and no test finds it worse", records, took);
    return SL_VERDICT_PASS;
}

enum sl_verdict_answer sl_verdict_look(struct sl_verdict *verdict, const struct sl_sides *sides, uint64_t now_ns, char text[400])
{
    uint64_t since_ns = now_ns - verdict->began_ns;

    text[0] = '\0';
    if (verdict_is_broken(sides, text))
        return SL_VERDICT_FAIL;
    verdict_look_spreads(verdict, sides, now_ns);
    if (!verdict->warm) {
        if (since_ns < verdict->limits.warm_up_ns)
            return SL_VERDICT_HOLD;
        verdict->base = *sides;
        verdict->warm = true;
    }
    latency_mark(verdict, sides);
    if (verdict_fails(verdict, sides, text))
        return SL_VERDICT_FAIL;
    if (since_ns < verdict->limits.warm_up_ns + verdict->hold_ns)
        return SL_VERDICT_HOLD;
    return verdict_at_end(verdict, sides, since_ns, text);
}

enum sl_verdict_answer sl_verdict_look_shadow(const struct sl_verdict *verdict, const struct sl_sides *sides, uint64_t now_ns, char text[400])
{
    text[0] = '\0';
    if (verdict_is_broken(sides, text))
        return SL_VERDICT_FAIL;
    if (sides->differing > 0) {
        (void)snprintf(text, 400, "%" PRIu64 " of %" PRIu64 " outputs differ from the live version's; `sluice shadow diff` shows some, and a plan's expect: names those that are meant",
                       sides->differing, sides->compared);
        return SL_VERDICT_FAIL;
    }
    if (now_ns - verdict->began_ns < verdict->hold_ns)
        return SL_VERDICT_HOLD;
    if (sides->compared == 0) {
        (void)snprintf(text, 400, "nothing was compared (%" PRIu64 " ranges were left out): too little to tell", sides->ranges_skipped);
        return SL_VERDICT_FEW;
    }
    (void)snprintf(text, 400, "%" PRIu64 " outputs compared, none differs (%" PRIu64 " ranges, %" PRIu64 " left out)", sides->compared,
                   sides->ranges, sides->ranges_skipped);
    return SL_VERDICT_PASS;
}
