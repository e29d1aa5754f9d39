/* syslog_data.h: the structured data of RFC 5424, [id name="value" …]…, as one JSON object of objects.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_OPERATORS_STAGES_FORMATS_SYSLOG_DATA_H
#define SL_OPERATORS_STAGES_FORMATS_SYSLOG_DATA_H

#include <stdbool.h>

#include "runtime/base/arena.h"

/* *at stands at the first [ and moves behind the last ]. make: *ret_json is made in the arena, with SL_PAD readable bytes behind it; of
 * repeated ids and names the first counts. 1 fine, 0 not in the form, -1 over budget. */
int sl_syslog_data(const char **at, const char *end, bool make, struct sl_arena *arena, struct sl_slice *ret_json);

#endif
