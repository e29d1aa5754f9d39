/* cond_value.c: operands of roles: levels by any of their names, instants by RFC 3339.
 * SPDX-License-Identifier: Apache-2.0 */
#include <strings.h>

#include "runtime/config/condition.h"

static const struct {
    const char *name;
    enum sl_level level;
} cond_levels[] = {
    {"trace", SL_LEVEL_TRACE}, {"debug", SL_LEVEL_DEBUG}, {"info", SL_LEVEL_INFO}, {"warn", SL_LEVEL_WARN},
    {"error", SL_LEVEL_ERROR}, {"fatal", SL_LEVEL_FATAL}, /* the first six print levels */
    {"warning", SL_LEVEL_WARN}, {"err", SL_LEVEL_ERROR}, {"notice", SL_LEVEL_INFO}, {"information", SL_LEVEL_INFO},
    {"informational", SL_LEVEL_INFO}, {"critical", SL_LEVEL_FATAL}, {"crit", SL_LEVEL_FATAL}, {"alert", SL_LEVEL_FATAL},
    {"emerg", SL_LEVEL_FATAL}, {"emergency", SL_LEVEL_FATAL}, {"panic", SL_LEVEL_FATAL}, {"verbose", SL_LEVEL_DEBUG},
    {"10", SL_LEVEL_TRACE}, {"20", SL_LEVEL_DEBUG}, {"30", SL_LEVEL_INFO}, {"40", SL_LEVEL_WARN}, {"50", SL_LEVEL_ERROR},
    {"60", SL_LEVEL_FATAL}, /* pino */
    {"0", SL_LEVEL_FATAL}, {"1", SL_LEVEL_FATAL}, {"2", SL_LEVEL_FATAL}, {"3", SL_LEVEL_ERROR}, {"4", SL_LEVEL_WARN},
    {"5", SL_LEVEL_INFO}, {"6", SL_LEVEL_INFO}, {"7", SL_LEVEL_DEBUG}, /* syslog */
};

int sl_cond_level(struct sl_slice text, enum sl_level *ret_level)
{
    for (size_t i = 0; i < sizeof(cond_levels) / sizeof(cond_levels[0]); i++)
        if (strlen(cond_levels[i].name) == text.bytes && strncasecmp(cond_levels[i].name, text.data, text.bytes) == 0)
            return *ret_level = cond_levels[i].level, 0;
    return -1;
}

const char *sl_cond_level_name(enum sl_level level)
{
    return level == SL_LEVEL_NONE || level >= SL_LEVELS ? "" : cond_levels[level - 1].name;
}

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
            return -1; /* records' times are milliseconds: a finer bound would not do what it says */
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

    return year >= 0 && month >= 1 && month <= 12 && day >= 1 && day <= days[month - 1] + (month == 2 && leap);
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

    if (zone == INT32_MAX || *at != '\0' || !time_is_date(year, month, day) || hour > 23 || minute > 59 || second > 60)
        return -1;
    *ret_unix_ms = ((time_days(year, month, day) * 24 + hour) * 60 + minute - zone) * 60000 + (second == 60 ? 59 : second) * 1000 + ms;
    return 0;
}
