/* ledger.h: the account of one slot: per sink, service and level, what became of every record. Counters are sparse blocks
 * owned by one thread; a copy is made for readers. Invariant (checked per batch): in + returned = sum of fates.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_ENGINE_LEDGER_H
#define SL_RUNTIME_ENGINE_LEDGER_H

#include "runtime/engine/batch.h"

struct sl_ledger_row {
    uint32_t sink; /* component index plus one; 0: a free row */
    uint32_t service;
    uint8_t level;
    uint64_t fates[SL_FATES]; /* [SL_LIVE] is in */
    uint64_t derived;         /* of `in`: records that a stage made beside those that were read (derive.h) */
    uint64_t returned;        /* deferred ones, of this run or an earlier one, that came back; each has a further fate then */
    uint64_t lost;            /* given up by the user's wish (queue.then: lose); they never were in */
    uint64_t bytes;           /* delivered */
    double weight;            /* sum of weights of the delivered: the estimate of what came in */
    double weight_square;     /* sum of w*(w-1): variance, records taken as independent */
};

struct sl_ledger {
    struct sl_ledger_row *rows; /* open addressing by (sink, service, level) */
    uint32_t rows_count, rows_cap;
};

int sl_ledger_init(struct sl_ledger *ledger);
void sl_ledger_fini(struct sl_ledger *ledger);
/* The row, made if missing; NULL: no memory. Valid until the next call that makes one. */
struct sl_ledger_row *sl_ledger_row(struct sl_ledger *ledger, uint32_t sink, uint32_t service, uint8_t level);
/* Adds all rows of from. 0 or -1. */
int sl_ledger_add(struct sl_ledger *ledger, const struct sl_ledger *from);
/* Sums over one sink (UINT32_MAX: all). */
void sl_ledger_sum(const struct sl_ledger *ledger, uint32_t sink, struct sl_ledger_row *ret_sum);

#endif
