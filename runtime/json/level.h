/* level.h: the level role: the names and numbers that loggers write, as enum sl_level.
 *
 * Names fold case: trace verbose | debug | info informational information notice | warn warning | err error severe |
 * critical crit alert emerg emergency panic dpanic fatal. Numbers, quoted or not: 0 to 7 as in syslog (0 to 2 fatal,
 * 3 error, 4 warn, 5 and 6 info, 7 debug); 10 to 69 as in pino and bunyan by their tens (10 trace, 20 debug … 60 fatal).
 * Pure.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_JSON_LEVEL_H
#define SL_RUNTIME_JSON_LEVEL_H

#include "runtime/base/column.h"

/* 0, or -1: no level that is known here (output untouched). type: SL_T_STRING or SL_T_NUMBER; others are no levels. */
int sl_level_parse(struct sl_slice text, enum sl_type type, enum sl_level *ret_level);
/* "info"; "none" for SL_LEVEL_NONE. Static storage. */
const char *sl_level_name(enum sl_level level);

#endif
