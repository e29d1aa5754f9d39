/* cond_time.c: RFC 3339 instants, as operands of the time roles.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdbool.h>
#include <string.h>

#include "runtime/config/condition.h"

/* Days since 1970-01-01 of a proleptic Gregorian date (Howard Hinnant's days_from_civil). */
static int64_t time_days(int year, int month, int day)
{
    int64_t y = month <= 2 ? year - 1 : year, era = (y >= 0 ? y : y - 399) / 400;
    int64_t yoe = y - era * 400, doy = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;

    return era * 146097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719468;
}

/* Exactly `count` digits at *at, which moves on; -1 otherwise. */
static int time_digits(const char **at, int count)
{
    int value = 0;

    for (int i = 0; i < count; i++, (*at)++) {
        if (**at < '0' || **at > '9')
            return -1;
        value = value * 10 + (**at - '0');
    }
    return value;
}

static bool time_is(const char **at, const char *any)
{
    if (**at == '\0' || strchr(any, **at) == NULL)
        return false;
    (*at)++;
    return true;
}

static int time_fraction(const char **at)
{
    int ms = 0, scale = 100;

    if (**at != '.')
        return 0;
    if ((*at)[1] < '0' || (*at)[1] > '9')
        return -1;
    for ((*at)++; **at >= '0' && **at <= '9'; (*at)++) {
        if (scale == 0 && **at != '0')
            return -1; /* records' times are milliseconds: a finer bound would not do what it says
                        */
        ms += (**at - '0') * scale;
        scale /= 10;
    }
    return ms;
}

/* Minutes to take away; INT32_MAX: not a zone. */
static int time_zone(const char **at)
{
    bool west = **at == '-';
    int hours, minutes;

    if (time_is(at, "Zz"))
        return 0;
    if (!time_is(at, "+-"))
        return INT32_MAX;
    hours = time_digits(at, 2);
    if (hours < 0 || hours > 23 || !time_is(at, ":"))
        return INT32_MAX;
    minutes = time_digits(at, 2);
    if (minutes < 0 || minutes > 59)
        return INT32_MAX;
    return west ? -(hours * 60 + minutes) : hours * 60 + minutes;
}

static bool time_is_date(int year, int month, int day)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return year >= 0 && month >= 1 && month <= 12 && day >= 1 &&
           day <= days[month - 1] + (month == 2 && leap);
}

int sl_cond_time(const char *text, int64_t *ret_unix_ms)
{
    const char *at = text;
    int year = time_digits(&at, 4), month = time_is(&at, "-") ? time_digits(&at, 2) : -1;
    int day = month >= 0 && time_is(&at, "-") ? time_digits(&at, 2) : -1;
    int hour = day >= 0 && time_is(&at, "Tt ") ? time_digits(&at, 2) : -1;
    int minute = hour >= 0 && time_is(&at, ":") ? time_digits(&at, 2) : -1;
    int second = minute >= 0 && time_is(&at, ":") ? time_digits(&at, 2) : -1;
    int ms = second >= 0 ? time_fraction(&at) : -1, zone = ms >= 0 ? time_zone(&at) : INT32_MAX;

    if (zone == INT32_MAX || *at != '\0' || !time_is_date(year, month, day) || hour > 23 ||
        minute > 59 || second > 60)
        return -1;
    *ret_unix_ms = ((time_days(year, month, day) * 24 + hour) * 60 + minute - zone) * 60000 +
                   (second == 60 ? 59 : second) * 1000 + ms;
    return 0;
}
