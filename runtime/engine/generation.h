/* generation.h: a new version of a topology beside the one that runs: prepared off the hot path, put in at a batch boundary.
 *
 *   sl_host_prepare -> [sl_host_shadow] -> [sl_host_canary share ...] -> sl_host_promote      sl_host_discard from each before
 *
 * Nothing that runs is touched until shadow, canary or promote; these return within a turn of each slot (and 2 s at worst), whatever
 * state the sinks are in: what the old version holds is finished behind the swap (slot/swap.c).
 * Threads: any but a slot's; one call at a time for one topology (the caller's lock).
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_ENGINE_GENERATION_H
#define SL_RUNTIME_ENGINE_GENERATION_H

#include "runtime/engine/host.h"
#include "sampling/judge.h"

struct sl_buf;
struct sl_candidate;
struct sl_expect; /* what a shadow may find different: runtime/engine/shadow.h */

/* The candidate: what is loaded and opened of a version that is not live. `from` is the host's on success (freed when nothing runs of
 * it any more), the caller's on failure. number: the generation's, for messages and counters. `release(user)` (may be NULL) is called once
 * nothing of it runs any more, before `from` is freed: plugins are unloaded then. Fails with everything as it was: every component of it has been
 * opened and closed again. */
int sl_host_prepare(struct sl_host *host, struct sl_topology *from, uint32_t number, void (*release)(void *user), void *user,
                    struct sl_candidate **ret_candidate, struct sl_err *err);

struct sl_swap_report {
    uint32_t slots, kept_sinks, changed_sinks, new_sinks, gone_sinks, kept_sources, other_sources;
    uint64_t wall_ns, longest_ns; /* asked to all slots swapped; the longest that one slot's thread was held */
};
/* Live from the next batch on. The candidate is consumed, also where a slot refuses (then nothing is swapped). */
int sl_host_promote(struct sl_host *host, struct sl_candidate *candidate, struct sl_swap_report *ret_report, struct sl_err *err);
/* Nothing of it stays; what a canary has taken through changed sinks is finished first. */
void sl_host_discard(struct sl_host *host, struct sl_candidate *candidate);
/* True once nothing of any earlier version runs any more (its sinks have finished or were given up). */
bool sl_host_settled(struct sl_host *host, const char *topology);
/* The number of the version that is live: of its candidate, 0 for the one that the process was started with (see sl_host_number). */
uint32_t sl_host_live(struct sl_host *host, const char *topology);
void sl_host_number(struct sl_host *host, const char *topology, uint32_t number); /* of the one started with; before start */

/* ---- shadow: the candidate gets the same batches, its output is digested and compared, nothing leaves ---- */
int sl_host_shadow(struct sl_host *host, struct sl_candidate *candidate, const struct sl_expect *expect, struct sl_err *err);

/* ---- canary ---- */
enum sl_split_by { SL_SPLIT_KEY, SL_SPLIT_PARTITION };
int sl_host_canary(struct sl_host *host, struct sl_candidate *candidate, double share, enum sl_split_by by, struct sl_err *err);

/* What both sides did since the share last changed. Records of key shares only. */
struct sl_side {
    uint64_t records, delivered, filtered, dead, dead_bursts, errors, shed;
    struct sl_judge_histogram batch_latency; /* of stages, per record */
};
struct sl_sides {
    struct sl_side canary, baseline;
    bool broken; /* an operator of the candidate failed: it has been taken out by itself, see why */
    struct sl_err why;
    /* of a shadow */
    uint64_t compared, differing, ranges, ranges_skipped;
};
int sl_host_sides(struct sl_host *host, struct sl_candidate *candidate, struct sl_sides *ret_sides, struct sl_err *err);
/* What a shadow has found so far, with examples, as one JSON object (shadow.h) at the end of `json`. */
int sl_host_differences(struct sl_host *host, struct sl_candidate *candidate, struct sl_buf *json, struct sl_err *err);

/* There is a version to go back to, or none: one that cannot go on waits some seconds for that before it stops (sl_slot_status.faulted).
 * A promote says so by itself. */
void sl_host_fallback(struct sl_host *host, const char *topology, bool there);

/* ---- the topology as a whole ---- */
int sl_host_pause(struct sl_host *host, const char *topology, bool paused, struct sl_err *err); /* reading stops; commits go on */
int sl_host_drain_topology(struct sl_host *host, const char *topology, struct sl_err *err);     /* it ends; others go on */

#endif
