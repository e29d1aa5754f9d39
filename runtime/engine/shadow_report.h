/* shadow_report.h: the parts of a shadow's report that shadow.c fills.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_ENGINE_SHADOW_REPORT_H
#define SL_RUNTIME_ENGINE_SHADOW_REPORT_H

#include "runtime/engine/shadow.h"

/* 0, or -1: no memory; fini either way. */
int sl_shadow_report_init(struct sl_shadow_report *report, const struct sl_shadow_sink *sinks, uint32_t count);
/* With its texts; NULL: no memory. */
struct sl_shadow_example *sl_shadow_example_copy(const struct sl_shadow_example *from);
struct sl_shadow_example *sl_shadow_example_free(struct sl_shadow_example *example);
void sl_shadow_digest_add(struct sl_shadow_digest *digest, const struct sl_shadow_digest *more);

#endif
