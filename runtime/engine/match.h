/* match.h: conditions at work: a parsed condition bound to a topology's columns and evaluated over
 * a view, one column at a time.
 *
 * Threads: a bound condition belongs to one slot (it has scratch memory and caches); the sl_cond
 * behind it is shared. Cost: level and service tests are table look-ups; AND and OR narrow the
 * records that later, dearer tests see.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_ENGINE_MATCH_H
#define SL_RUNTIME_ENGINE_MATCH_H

#include <stdint.h>

#include "runtime/base/err.h"

struct sl_cond;
struct sl_bound_cond;
struct sl_names;
struct sl_view;

/* At open: registers the columns that the condition reads. */
int sl_cond_bind(const struct sl_cond *cond, struct sl_names *names,
                 struct sl_bound_cond **ret_bound, struct sl_err *err);
/* match has room for batch->count; match[i] becomes 0 or 1 for each i in view->sel, the others are
 * untouched. A pattern that runs into its limits on a record does not match it (sl_cond_limits
 * counts them). */
void sl_cond_eval(struct sl_bound_cond *bound, const struct sl_view *view, uint8_t *match);
uint64_t sl_cond_limits(const struct sl_bound_cond *bound);
/* Accepts NULL; returns NULL. */
struct sl_bound_cond *sl_cond_unbind(struct sl_bound_cond *bound);

#endif
