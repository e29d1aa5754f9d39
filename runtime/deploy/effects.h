/* effects.h: what each generation did to its topology: rates before and while it was live, the judge's words, when it crashed last.
 *
 * DIR/generations/TOPOLOGY/effects: a line a generation, replaced as a whole. Nothing is decided by it: a damaged file is an empty one, and
 * what a kill loses are the rates of the generation that was live.
 * Ownership: the caller's struct. Threads: one at a time. Blocks (fsync).
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_DEPLOY_EFFECTS_H
#define SL_RUNTIME_DEPLOY_EFFECTS_H

#include "runtime/store/generations.h"

struct sl_rates {
    double records_per_s, dead_per_s, errors_per_s; /* < 0: not known */
};

struct sl_effect {
    uint32_t number;
    struct sl_rates before, after; /* of the one that was live before it; its own */
    char verdict[256];             /* "" none */
};

struct sl_effects {
    struct sl_effect items[SL_GENERATIONS_KEPT];
    uint32_t count;
};

void sl_effects_load(const struct sl_generations *generations, struct sl_effects *ret_effects);
/* Rows of generations that are not kept any more go. */
int sl_effects_save(const struct sl_generations *generations, struct sl_effects *effects, struct sl_err *err);
/* That generation's, made where there is none. */
struct sl_effect *sl_effects_of(struct sl_effects *effects, uint32_t number);

#endif
