/* split.h: which records of a partition a canary gets: by key, whole keys together, as a committed function of the offset (rule H2).
 *
 * A record's key is R by the live generation's mapping, else its Kafka key, else its origin; a hash of it, salted with the candidate's
 * generation, is compared with the share's threshold. So the same keys stay in from step to step, other deployments try other keys,
 * and a sampler, which keeps high R, takes no more from one arm than from the other.
 * A partition's rows say from which offset on which share holds. They are committed with the marks, kept until every mark is past
 * them, and found again after a rewind or a restart, so that a record that is read again goes the same way.
 * Where both arms feed the same sinks (the same entries, with the same marks), its way decides only what is written of it.
 *
 * Invariants: rows[].from ascends strictly. Before the first row everything is the live one's.
 * Pure: no I/O, no clock, no allocation.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_ENGINE_SPLIT_H
#define SL_RUNTIME_ENGINE_SPLIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/base/err.h"
#include "runtime/base/slice.h"

enum {
    SL_SPLIT_ROWS = 64,
    SL_SPLIT_BYTES = 1 + 3 + SL_SPLIT_ROWS * (10 + 8 + 5) + 4 /* of the printed rows */
};

#define SL_SPLIT_ALL UINT64_MAX /* threshold: everything */

struct sl_split_row {
    uint64_t from;
    uint64_t threshold; /* a record is the canary's if its hash is below; 0: none; SL_SPLIT_ALL: every one */
    uint32_t generation; /* the candidate's */
};

struct sl_split {
    uint32_t count;
    struct sl_split_row rows[SL_SPLIT_ROWS];
};

/* ---- shares and keys ---- */
/* 0 <= share <= 1. */
uint64_t sl_split_threshold(double share);
/* The hash of a record's key, by what it has. */
uint64_t sl_split_hash_randomness(uint64_t randomness, uint32_t generation);
uint64_t sl_split_hash_key(struct sl_slice key, uint32_t generation);
uint64_t sl_split_hash_origin(const char *source, const char *topic, const char *partition, uint32_t incarnation, uint64_t offset,
                              uint32_t generation);
/* Shares by whole partitions: SL_SPLIT_ALL or 0. */
uint64_t sl_split_threshold_partition(double share, const char *source, const char *topic, const char *partition, uint32_t generation);
static inline bool sl_split_is_canary(uint64_t hash, uint64_t threshold)
{
    return hash < threshold || threshold == SL_SPLIT_ALL;
}

/* ---- rows ---- */
/* From `from` on (not below the last row's; above every offset that a batch has held) the share is another. Rows that say what the one
 * before them says are left out. Refused where there are too many: marks have not moved for that many changes. */
int sl_split_add(struct sl_split *split, uint64_t from, uint64_t threshold, uint32_t generation, struct sl_err *err);
/* The row that holds at `offset`, or NULL: before all. *ret_until (may be NULL): the offset at which the next one begins, or UINT64_MAX. */
const struct sl_split_row *sl_split_at(const struct sl_split *split, uint64_t offset, uint64_t *ret_until);
/* Every mark is at `lowest` or above: rows that no offset from there on needs are left out. True: some were. */
bool sl_split_prune(struct sl_split *split, uint64_t lowest);
/* No row says anything but "all to the live one": nothing need be committed. */
bool sl_split_is_plain(const struct sl_split *split);

/* ---- as bytes, under the key SL_KEY_SPLIT (mark_codec.h) ---- */
/* Returns the bytes written. */
size_t sl_split_print(const struct sl_split *split, char text[SL_SPLIT_BYTES]);
/* 0, or -1: not rows of a known format; *ret_split is untouched then. */
int sl_split_scan(struct sl_slice text, struct sl_split *ret_split);

#endif
