/* zipf.h: draws from a finite Zipf law: rank k of 1..n comes with weight 1 / k^exponent.
 * Source: A. J. Walker's alias method in M. D. Vose's linear-time form; one 64-bit random number a draw, exact to 2^-32 a cell.
 * Pure: the table is the caller's memory, randomness an argument.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_SAMPLING_ZIPF_H
#define SL_SAMPLING_ZIPF_H

#include <stdint.h>

struct sl_zipf_cell {
    double share;   /* of the cell that is its own rank's, while the table is built */
    uint32_t keep;  /* the same in units of 2^-32 */
    uint32_t alias; /* rank that has the rest of the cell */
};

struct sl_zipf {
    const struct sl_zipf_cell *cells;
    uint32_t count;
};

/* cells: room for count >= 1 rows, which must live as long as the law. work: scratch of count rows, free again on return. */
void sl_zipf_init(struct sl_zipf *zipf, uint32_t count, double exponent, struct sl_zipf_cell *cells, uint32_t *work);
/* Probability of a rank (0 is the most frequent). O(count): for tests and forecasts. */
double sl_zipf_share(uint32_t count, double exponent, uint32_t rank);

/* A rank 0..count-1. */
static inline uint32_t sl_zipf_pick(const struct sl_zipf *zipf, uint64_t random)
{
    uint32_t cell = (uint32_t)(((random >> 32) * zipf->count) >> 32);
    return (uint32_t)random <= zipf->cells[cell].keep ? cell : zipf->cells[cell].alias;
}

#endif
