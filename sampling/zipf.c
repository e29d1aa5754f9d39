/* zipf.c: draws from a finite Zipf law; see the header for the method.
 * SPDX-License-Identifier: Apache-2.0 */
#include "sampling/zipf.h"

#include <assert.h>
#include <math.h>

static double zipf_total(uint32_t count, double exponent)
{
    double total = 0;

    for (uint32_t k = count; k >= 1; k--) /* smallest first keeps the sum exact */
        total += pow((double)k, -exponent);
    return total;
}

double sl_zipf_share(uint32_t count, double exponent, uint32_t rank)
{
    assert(rank < count);
    return pow((double)rank + 1, -exponent) / zipf_total(count, exponent);
}

static void zipf_close(struct sl_zipf_cell *cell, uint32_t alias)
{
    double share = cell->share < 0 ? 0 : cell->share;

    cell->keep = share >= 1.0 ? UINT32_MAX : (uint32_t)(share * 4294967295.0);
    cell->alias = alias;
}

/* work is two stacks that grow towards each other: cells below one share from the left, those above from the right. */
void sl_zipf_init(struct sl_zipf *zipf, uint32_t count, double exponent, struct sl_zipf_cell *cells, uint32_t *work)
{
    double total = zipf_total(count, exponent);
    uint32_t small = 0, large = count;

    assert(count >= 1);
    for (uint32_t i = 0; i < count; i++) {
        cells[i].share = pow((double)i + 1, -exponent) / total * count;
        if (cells[i].share < 1.0)
            work[small++] = i;
        else
            work[--large] = i;
    }
    while (small > 0 && large < count) {
        uint32_t poor = work[--small], rich = work[large];
        zipf_close(&cells[poor], rich);
        cells[rich].share -= 1.0 - cells[poor].share;
        if (cells[rich].share < 1.0) {
            large++;
            work[small++] = rich;
        }
    }
    while (small > 0) { /* rounding left them a hair below one */
        uint32_t i = work[--small];
        cells[i].share = 1.0;
        zipf_close(&cells[i], i);
    }
    for (; large < count; large++)
        zipf_close(&cells[work[large]], work[large]);
    zipf->cells = cells;
    zipf->count = count;
}
