/* time_format.h: times in a form of somebody's own, written with the directives of strptime.
 *
 * Known: %Y %y %m %b %B %h %d %e %j %H %I %M %S %p %f (decimals of a second, any number) %z (+hh:mm, +hhmm, +hh, Z) %Z (UTC, GMT, Z) %s (seconds
 * since 1970) %a %A %F (%Y-%m-%d) %T (%H:%M:%S) %R (%H:%M) %D (%m/%d/%y) %n %t %%. A blank in the form is one blank or more in the
 * text; %d, %e and %H may be padded with a blank or not at all. Names are English, their case does not matter. All of the text must be used.
 * Without %z or %s the time is local to the zone given. Without a year it is of the latest year in which it lies not more than a day
 * behind `near`: logs are of the past, and clocks and zones differ a little.
 * Ownership: an instance keeps the last text it read, and so belongs to one thread. Pure otherwise.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_JSON_TIME_FORMAT_H
#define SL_RUNTIME_JSON_TIME_FORMAT_H

#include "runtime/base/err.h"
#include "runtime/base/slice.h"

struct sl_time_format;

/* zone_minutes: east of Greenwich. Fails on an unknown directive, and on a form that names no day. */
int sl_time_format_new(const char *form, int32_t zone_minutes, struct sl_time_format **ret_format, struct sl_err *err);
struct sl_time_format *sl_time_format_free(struct sl_time_format *format);
/* 0, or -1: the text has another form, or there is no such day or hour. near_unix_ms: about now; 0 or less is not known, then a time without
 * a year is none. */
int sl_time_format_read(struct sl_time_format *format, struct sl_slice text, int64_t near_unix_ms, int64_t *ret_unix_ms);

/* "UTC", "Z", "+02:00", "-0330", "+01". 0, or -1. */
int sl_time_zone_read(const char *text, int32_t *ret_minutes);

#endif
