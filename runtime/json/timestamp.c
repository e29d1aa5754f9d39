/* timestamp.c: the time role. Days are counted by the proleptic Gregorian calendar, in eras of 400 years that begin in March,
 * so that the leap day is the last of its year.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/json/timestamp.h"

#include <endian.h>

enum { TIME_MS_PER_DAY = 86400000, TIME_DIGITS = 19, TIME_EXPONENT_MAX = 1000 };

static const int64_t time_first_ms = -62167219200000, time_last_ms = 253402300799999; /* years 0 to 9999 */

/* ---- numbers ---- */

/* digits * 10^exponent */
struct time_number {
    uint64_t digits;
    int32_t exponent;
    bool negative;
};

static uint64_t time_power(int32_t exponent)
{
    uint64_t power = 1;

    while (exponent-- > 0)
        power *= 10;
    return power;
}

/* Digits beyond the nineteenth cannot change a millisecond. Returns where the digits end. */
static const char *time_digits(const char *at, const char *end, bool decimals, uint32_t *count, struct time_number *number)
{
    for (; at < end && (unsigned char)(*at - '0') <= 9; at++) {
        if (*count < TIME_DIGITS) {
            number->digits = number->digits * 10 + (unsigned char)(*at - '0');
            *count += number->digits > 0;
            number->exponent -= decimals;
        } else {
            number->exponent += !decimals;
        }
        if (number->exponent > TIME_EXPONENT_MAX || number->exponent < -TIME_EXPONENT_MAX)
            return at;
    }
    return at;
}

static const char *time_exponent(const char *at, const char *end, struct time_number *number)
{
    bool negative = false;
    int32_t exponent = 0;
    const char *first;

    if (at < end && (*at == '+' || *at == '-'))
        negative = *at++ == '-';
    for (first = at; at < end && (unsigned char)(*at - '0') <= 9 && exponent < TIME_EXPONENT_MAX; at++)
        exponent = exponent * 10 + (*at - '0');
    number->exponent += negative ? -exponent : exponent;
    return at > first ? at : NULL;
}

static int time_number_scan(struct sl_slice text, struct time_number *number)
{
    const char *at = text.data, *end = at + text.bytes, *first;
    uint32_t count = 0;

    *number = (struct time_number){0, 0, at < end && *at == '-'};
    at += number->negative;
    first = at;
    at = time_digits(at, end, false, &count, number);
    if (at == first)
        return -1;
    if (at < end && *at == '.') {
        first = ++at;
        at = time_digits(at, end, true, &count, number);
        if (at == first)
            return -1;
    }
    if (at < end && (*at == 'e' || *at == 'E'))
        at = time_exponent(at + 1, end, number);
    return at == end ? 0 : -1;
}

/* Decimal digits before the point of digits * 10^exponent; 0 or less below one. */
static int32_t time_magnitude(const struct time_number *number)
{
    int32_t magnitude = number->exponent;

    for (uint64_t rest = number->digits; rest > 0; rest /= 10)
        magnitude++;
    return magnitude;
}

static int time_epoch(struct sl_slice text, int64_t *ret_unix_ms)
{
    struct time_number number;
    int32_t magnitude, scale;
    uint64_t ms;

    if (time_number_scan(text, &number) != 0)
        return -1;
    magnitude = number.digits == 0 ? 0 : time_magnitude(&number);
    if (magnitude > TIME_DIGITS)
        return -1;
    scale = number.exponent + (magnitude <= 11 ? 3 : magnitude <= 14 ? 0 : magnitude <= 17 ? -3 : -6);
    if (number.digits == 0 || scale < -TIME_DIGITS)
        ms = 0;
    else
        ms = scale >= 0 ? number.digits * time_power(scale) : number.digits / time_power(-scale);
    *ret_unix_ms = number.negative ? -(int64_t)ms : (int64_t)ms;
    return 0;
}

/* ---- RFC 3339 ---- */

static int64_t time_days_of(int32_t year, int32_t month, int32_t day)
{
    int32_t march_year = year - (month <= 2), era = (march_year >= 0 ? march_year : march_year - 399) / 400;
    int32_t year_of_era = march_year - era * 400;
    int32_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;

    return (int64_t)era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

/* Two digits, or a value that fails every range check here. */
static inline int32_t time_two(const char *at)
{
    unsigned tens = (unsigned char)(at[0] - '0'), ones = (unsigned char)(at[1] - '0');

    return tens > 9 || ones > 9 ? 1000 : (int32_t)(tens * 10 + ones);
}

/* Eight bytes at once, the first in the lowest byte. */
static inline uint64_t time_load(const char *at)
{
    uint64_t bytes;

    memcpy(&bytes, at, sizeof(bytes));
    return le64toh(bytes);
}

/* "2026-11-22T05:08" and its parts: what differs from the pattern may only be the low bits of digits, and none above 9. */
struct time_parts {
    int32_t year, month, day, hour, minute;
};

static int time_scan_minutes(const char *at, struct time_parts *parts)
{
    const uint64_t low = time_load("0000-00-") ^ time_load(at), digits_low = 0x000F0F000F0F0F0Fu;
    uint64_t high = time_load("00T00:00") ^ time_load(at + 8);
    const uint64_t digits_high = 0x0F0F000F0F000F0Fu, six_low = 0x0006060006060606u, six_high = 0x0606000606000606u;

    high ^= at[10] == 'T' ? 0 : (uint64_t)(uint8_t)('T' ^ at[10]) << 16; /* any of the four, judged by the caller */
    if (((low & ~digits_low) | (high & ~digits_high) | ((low + six_low) & ~digits_low) | ((high + six_high) & ~digits_high)) != 0)
        return -1;
    parts->year = (int32_t)((low & 15) * 1000 + (low >> 8 & 15) * 100 + (low >> 16 & 15) * 10 + (low >> 24 & 15));
    parts->month = (int32_t)((low >> 40 & 15) * 10 + (low >> 48 & 15));
    parts->day = (int32_t)((high & 15) * 10 + (high >> 8 & 15));
    parts->hour = (int32_t)((high >> 24 & 15) * 10 + (high >> 32 & 15));
    parts->minute = (int32_t)((high >> 48 & 15) * 10 + (high >> 56 & 15));
    return 0;
}

static bool time_is_day(int32_t year, int32_t month, int32_t day)
{
    static const uint8_t days[13] = {0, 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;

    return month >= 1 && month <= 12 && day >= 1 && day <= days[month] + (month == 2 && leap);
}

/* Milliseconds of ".123456"; *at moves behind it. -1: a point without digits. */
static inline int32_t time_fraction(const char **at, const char *end)
{
    static const int32_t scale[4] = {-1, 100, 10, 1};
    const char *first = ++*at;
    int32_t ms = 0;

    while (*at < end && *at - first < 3 && (unsigned char)(**at - '0') <= 9)
        ms = ms * 10 + (*(*at)++ - '0');
    if (*at == first)
        return -1;
    ms *= scale[*at - first];
    while (*at < end && (unsigned char)(**at - '0') <= 9)
        ++*at;
    return ms;
}

/* What to subtract, in minutes; 0 or -1 (no zone). */
static int time_zone(const char *at, const char *end, int32_t *ret_minutes)
{
    int32_t hours, minutes = 0;

    if (at == end || (end - at == 1 && (*at == 'Z' || *at == 'z'))) {
        *ret_minutes = 0;
        return 0;
    }
    if (end - at < 3 || (*at != '+' && *at != '-'))
        return -1;
    hours = time_two(at + 1);
    if (end - at == 6 && at[3] == ':')
        minutes = time_two(at + 4);
    else if (end - at == 5)
        minutes = time_two(at + 3);
    else if (end - at != 3)
        return -1;
    if (hours > 23 || minutes > 59)
        return -1;
    *ret_minutes = (*at == '-' ? -1 : 1) * (hours * 60 + minutes);
    return 0;
}

static int time_rfc3339(struct sl_slice text, int64_t *ret_unix_ms)
{
    const char *at = text.data, *end = at + text.bytes;
    int32_t second, fraction_ms = 0, zone_minutes = 0;
    struct time_parts t;

    if (text.bytes < 19 || at[16] != ':' || (at[10] != 'T' && at[10] != ' ' && at[10] != 't' && at[10] != '_'))
        return -1;
    second = time_two(at + 17);
    if (time_scan_minutes(at, &t) != 0 || !time_is_day(t.year, t.month, t.day) || t.hour > 23 || t.minute > 59 || second > 60)
        return -1;
    at += 19;
    if (at < end && (*at == '.' || *at == ','))
        fraction_ms = time_fraction(&at, end);
    if (fraction_ms < 0 || time_zone(at, end, &zone_minutes) != 0)
        return -1;
    *ret_unix_ms = time_days_of(t.year, t.month, t.day) * TIME_MS_PER_DAY +
                   ((int64_t)(t.hour * 60 + t.minute - zone_minutes) * 60 + second) * 1000 + fraction_ms;
    return 0;
}

int sl_time_parse(struct sl_slice text, bool quoted, int64_t *ret_unix_ms)
{
    if (text.bytes == 0)
        return -1;
    if (quoted && text.bytes >= 19 && text.data[4] == '-')
        return time_rfc3339(text, ret_unix_ms);
    return time_epoch(text, ret_unix_ms);
}

/* ---- days and hours ---- */

static int64_t time_clamp(int64_t unix_ms)
{
    return unix_ms < time_first_ms ? time_first_ms : unix_ms > time_last_ms ? time_last_ms : unix_ms;
}

int64_t sl_time_day_number(int64_t unix_ms)
{
    return unix_ms / TIME_MS_PER_DAY - (unix_ms % TIME_MS_PER_DAY < 0);
}

static void time_put(char *to, uint32_t value)
{
    to[0] = (char)('0' + value / 10);
    to[1] = (char)('0' + value % 10);
}

void sl_time_day(int64_t unix_ms, char ret_text[SL_TIME_DAY_BYTES])
{
    uint32_t days = (uint32_t)(sl_time_day_number(time_clamp(unix_ms)) + 719468 + 146097); /* an era earlier: not negative */
    uint32_t day_of_era = days % 146097;
    uint32_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    uint32_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    uint32_t month = (5 * day_of_year + 2) / 153; /* 0 is March */
    uint32_t year = year_of_era + days / 146097 * 400 - 400 + (month >= 10);

    time_put(ret_text, year / 100);
    time_put(ret_text + 2, year % 100);
    ret_text[4] = '-';
    time_put(ret_text + 5, month < 10 ? month + 3 : month - 9);
    ret_text[7] = '-';
    time_put(ret_text + 8, day_of_year - (153 * month + 2) / 5 + 1);
    ret_text[10] = 0;
}

void sl_time_hour(int64_t unix_ms, char ret_text[SL_TIME_HOUR_BYTES])
{
    int64_t ms = time_clamp(unix_ms);

    time_put(ret_text, (uint32_t)((ms - sl_time_day_number(ms) * TIME_MS_PER_DAY) / 3600000));
    ret_text[2] = 0;
}
