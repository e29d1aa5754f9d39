/* timestamp.h: the time role: what records write as their time, and the days and hours of paths. All in UTC.
 *
 * Read: RFC 3339 with any number of decimals, 'T', 't', '_' or a blank in the middle, and Z, +hh:mm, +hhmm, +hh or nothing
 * (UTC) at the end; a leap second is the second after. Numbers since 1970, with decimals or an exponent too, quoted or not:
 * below 1e11 they are seconds, below 1e14 milliseconds, below 1e17 microseconds, else nanoseconds. Finer than a
 * millisecond is cut off. Whether a time is plausible is the caller's to judge.
 * Pure: no clock, no zone data, no state.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_JSON_TIMESTAMP_H
#define SL_RUNTIME_JSON_TIMESTAMP_H

#include <stdbool.h>

#include "runtime/base/slice.h"
#include "runtime/json/level.h"

enum { SL_TIME_DAY_BYTES = 11, SL_TIME_HOUR_BYTES = 3 }; /* with the NUL */

/* quoted: the value was a string (only those may be RFC 3339). 0, or -1: not a time, output untouched. */
int sl_time_parse(struct sl_slice text, bool quoted, int64_t *ret_unix_ms);
/* Days since 1970, rounded down: what to cache a path by. */
int64_t sl_time_day_number(int64_t unix_ms);
/* "2026-11-22" and "05". Years outside 0 to 9999 are shown as the nearest of them. */
void sl_time_day(int64_t unix_ms, char ret_text[SL_TIME_DAY_BYTES]);
void sl_time_hour(int64_t unix_ms, char ret_text[SL_TIME_HOUR_BYTES]);

#endif
