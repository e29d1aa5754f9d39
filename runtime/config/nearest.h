/* nearest.h: the known word that a misspelt one most likely means.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_CONFIG_NEAREST_H
#define SL_RUNTIME_CONFIG_NEAREST_H

#include <stdint.h>

struct sl_nearest {
    const char *word; /* as misspelt */
    const char *best; /* NULL: none is near */
    uint32_t distance;
};

/* Insertions, deletions, replacements and swaps of neighbours; letter case does not count. */
uint32_t sl_edit_distance(const char *a, const char *b);
void sl_nearest_init(struct sl_nearest *nearest, const char *word);
/* Offers one more known word; it is taken when it is nearer than the best so far and near enough to
 * be meant. */
void sl_nearest_offer(struct sl_nearest *nearest, const char *known);

#endif
