/* time_format.c: strptime's directives, without its locale and with a year where there is none.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/json/time_format.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { FORM_BYTES = 128, FORM_KEEP = 64, FORM_LEAP_YEARS = 8, FORM_MS_PER_DAY = 86400000 };

struct sl_time_format {
    char form[FORM_BYTES]; /* with %F, %T, %R and %D written out */
    int32_t zone_minutes;
    bool yearless; /* the form names no year */
    char kept[FORM_KEEP]; /* the last text read: records of one second come together */
    uint32_t kept_bytes;
    int64_t kept_unix_ms;
};

struct form_parts {
    int32_t year, month, day, day_of_year, hour, minute, second, ms, zone_minutes;
    int64_t epoch;
    bool has_year, has_epoch, has_zone, half, afternoon;
};

/* ---- the form ---- */

static const struct {
    char directive;
    const char *stands_for;
} form_long[] = {{'F', "%Y-%m-%d"}, {'T', "%H:%M:%S"}, {'R', "%H:%M"}, {'D', "%m/%d/%y"}, {'n', " "}, {'t', " "}};

static int form_refuse(struct sl_err *err, const char *form, char directive)
{
    return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0,
                   directive == '\0' ? "\"%.64s\" ends with a lone %%; write %%%% for a percent sign"
                                     : "\"%.64s\" has %%%c, which is no directive here; known are %%Y %%y %%m %%b %%B %%d %%e %%j %%H %%I %%M %%S %%p "
                                       "%%f %%z %%Z %%s %%a %%A %%F %%T %%R %%D and %%%%",
                   form, directive);
}

static int form_expand(struct sl_time_format *format, const char *form, struct sl_err *err)
{
    size_t bytes = 0;

    for (const char *at = form; *at != '\0'; at++) {
        const char *piece = at;
        size_t piece_bytes = *at == '%' ? 2 : 1;
        if (*at == '%') {
            if (at[1] == '\0' || strchr("YymbBhdejHIMSpfzZsaA%FTRDnt", at[1]) == NULL)
                return form_refuse(err, form, at[1]);
            at++;
            for (size_t i = 0; i < sizeof(form_long) / sizeof(form_long[0]); i++)
                if (form_long[i].directive == *at) {
                    piece = form_long[i].stands_for;
                    piece_bytes = strlen(piece);
                }
        }
        if (bytes + piece_bytes >= sizeof(format->form))
            return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "\"%.64s…\" is longer than 127 characters", form);
        memcpy(format->form + bytes, piece, piece_bytes);
        bytes += piece_bytes;
    }
    format->form[bytes] = '\0';
    return 0;
}

static bool form_has(const struct sl_time_format *format, const char *directives)
{
    for (const char *at = format->form; *at != '\0'; at++)
        if (*at == '%' && strchr(directives, *++at) != NULL)
            return true;
    return false;
}

int sl_time_format_new(const char *form, int32_t zone_minutes, struct sl_time_format **ret_format, struct sl_err *err)
{
    struct sl_time_format *format = calloc(1, sizeof(*format));
    int rc = format == NULL ? sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory for the form of a time")
                            : form_expand(format, form, err);

    if (rc == 0 && !form_has(format, "sj") && !(form_has(format, "de") && form_has(format, "mbBh")))
        rc = sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "\"%.64s\" names no day; a time needs %%d with %%m or %%b, or %%j, or %%s", form);
    if (rc != 0) {
        free(format);
        return rc;
    }
    format->zone_minutes = zone_minutes;
    format->yearless = !form_has(format, "Yys");
    *ret_format = format;
    return 0;
}

struct sl_time_format *sl_time_format_free(struct sl_time_format *format)
{
    free(format);
    return NULL;
}

/* ---- reading ---- */

static bool form_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* least to most digits. */
static bool form_digits(const char **at, const char *end, int least, int most, int32_t *ret_value)
{
    const char *first = *at;
    int32_t value = 0;

    while (*at < end && *at - first < most && form_is_digit(**at))
        value = value * 10 + (*(*at)++ - '0');
    *ret_value = value;
    return *at - first >= least;
}

static bool form_padded(const char **at, const char *end, int32_t *ret_value)
{
    if (*at < end && **at == ' ')
        ++*at;
    return form_digits(at, end, 1, 2, ret_value);
}

/* The index of the name that stands here, by its first three letters; the rest of a full name is taken too. */
static bool form_name(const char **at, const char *end, const char *const *names, int32_t count, int32_t *ret_index)
{
    for (int32_t i = 0; i < count; i++) {
        size_t bytes = strlen(names[i]);
        if (end - *at < 3 || strncasecmp(*at, names[i], 3) != 0)
            continue;
        *at += (size_t)(end - *at) >= bytes && strncasecmp(*at, names[i], bytes) == 0 ? bytes : 3;
        *ret_index = i;
        return true;
    }
    return false;
}

static bool form_fraction(const char **at, const char *end, int32_t *ret_ms)
{
    const char *first = *at;
    int32_t ms = 0, unit = 100;

    for (; *at < end && form_is_digit(**at); ++*at, unit /= 10)
        ms += (**at - '0') * unit;
    *ret_ms = ms;
    return *at > first;
}

static bool form_zone(const char **at, const char *end, int32_t *ret_minutes)
{
    int32_t sign = *at < end && **at == '-' ? -1 : 1, hours = 0, minutes = 0;

    if (*at < end && (**at == 'Z' || **at == 'z')) {
        ++*at;
        *ret_minutes = 0;
        return true;
    }
    if (*at == end || (**at != '+' && **at != '-'))
        return false;
    ++*at;
    if (!form_digits(at, end, 2, 2, &hours))
        return false;
    if (end - *at >= 3 && **at == ':' && form_is_digit((*at)[1]))
        ++*at;
    if (*at < end && form_is_digit(**at) && !form_digits(at, end, 2, 2, &minutes))
        return false;
    *ret_minutes = sign * (hours * 60 + minutes);
    return hours <= 23 && minutes <= 59;
}

static bool form_epoch(const char **at, const char *end, int64_t *ret_seconds)
{
    const char *first = *at;
    int64_t value = 0;

    while (*at < end && *at - first < 12 && form_is_digit(**at))
        value = value * 10 + (*(*at)++ - '0');
    *ret_seconds = value;
    return *at > first;
}

static bool form_half(const char **at, const char *end, struct form_parts *parts)
{
    if (end - *at < 2 || (strncasecmp(*at, "am", 2) != 0 && strncasecmp(*at, "pm", 2) != 0))
        return false;
    parts->half = true;
    parts->afternoon = **at == 'p' || **at == 'P';
    *at += 2;
    return true;
}

static bool form_zone_name(const char **at, const char *end)
{
    uint32_t bytes = end - *at >= 3 && (strncasecmp(*at, "UTC", 3) == 0 || strncasecmp(*at, "GMT", 3) == 0) ? 3 : *at < end && **at == 'Z';

    *at += bytes;
    return bytes > 0;
}

static bool form_month_or_day(char directive, const char **at, const char *end, struct form_parts *parts)
{
    static const char *const months[] = {"January", "February", "March",     "April",   "May",      "June",
                                         "July",    "August",   "September", "October", "November", "December"};
    static const char *const days[] = {"Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"};
    int32_t index = 0;

    if (directive == 'a' || directive == 'A')
        return form_name(at, end, days, 7, &index);
    if (!form_name(at, end, months, 12, &index))
        return false;
    parts->month = index + 1;
    return true;
}

static bool form_year(char directive, const char **at, const char *end, struct form_parts *parts)
{
    parts->has_year = true;
    if (directive == 'Y')
        return form_digits(at, end, 4, 4, &parts->year);
    if (!form_digits(at, end, 2, 2, &parts->year))
        return false;
    parts->year += parts->year < 69 ? 2000 : 1900; /* as POSIX has it */
    return true;
}

static bool form_directive(char directive, const char **at, const char *end, struct form_parts *parts)
{
    switch (directive) {
    case 'Y':
    case 'y':
        return form_year(directive, at, end, parts);
    case 'm':
        return form_digits(at, end, 1, 2, &parts->month);
    case 'b':
    case 'B':
    case 'h':
    case 'a':
    case 'A':
        return form_month_or_day(directive, at, end, parts);
    case 'd':
    case 'e':
        return form_padded(at, end, &parts->day);
    case 'j':
        return form_digits(at, end, 3, 3, &parts->day_of_year) && parts->day_of_year >= 1;
    case 'H':
    case 'I':
        return form_padded(at, end, &parts->hour);
    case 'M':
        return form_digits(at, end, 2, 2, &parts->minute);
    case 'S':
        return form_digits(at, end, 2, 2, &parts->second);
    case 'p':
        return form_half(at, end, parts);
    case 'f':
        return form_fraction(at, end, &parts->ms);
    case 'z':
        parts->has_zone = true;
        return form_zone(at, end, &parts->zone_minutes);
    case 'Z':
        parts->has_zone = true;
        return form_zone_name(at, end);
    case 's':
        parts->has_epoch = true;
        return form_epoch(at, end, &parts->epoch);
    default: /* %% */
        return *at < end && *(*at)++ == '%';
    }
}

static bool form_scan(const struct sl_time_format *format, struct sl_slice text, struct form_parts *parts)
{
    const char *at = text.data, *end = at + text.bytes;

    for (const char *form = format->form; *form != '\0'; form++) {
        if (*form == '%') {
            if (!form_directive(*++form, &at, end, parts))
                return false;
        } else if (*form == ' ') {
            if (at == end || *at != ' ')
                return false;
            while (at < end && *at == ' ')
                at++;
        } else if (at == end || *at++ != *form) {
            return false;
        }
    }
    return at == end;
}

/* ---- the calendar ---- */

static bool form_is_leap(int32_t year)
{
    return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int64_t form_days_before(int32_t year)
{
    int64_t y = (int64_t)year - 1;

    return y * 365 + y / 4 - y / 100 + y / 400 - 719162; /* 1970-01-01 is day 719163 of the first year's */
}

/* -1: no such day. */
static int form_days(const struct form_parts *parts, int32_t year, int64_t *ret_days)
{
    static const int32_t before[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365};
    int32_t leap = form_is_leap(year), month_days;

    if (year < 1)
        return -1;
    *ret_days = form_days_before(year) + parts->day_of_year - 1;
    if (parts->day_of_year > 0)
        return parts->day_of_year <= 365 + leap ? 0 : -1;
    if (parts->month < 1 || parts->month > 12)
        return -1;
    month_days = before[parts->month] - before[parts->month - 1] + (parts->month == 2 ? leap : 0);
    if (parts->day < 1 || parts->day > month_days)
        return -1;
    *ret_days = form_days_before(year) + before[parts->month - 1] + (parts->month > 2 ? leap : 0) + parts->day - 1;
    return 0;
}

static int form_unix_ms(const struct form_parts *parts, int32_t year, int64_t *ret_unix_ms)
{
    int64_t days;

    if (form_days(parts, year, &days) != 0)
        return -1;
    *ret_unix_ms = days * FORM_MS_PER_DAY +
                   ((int64_t)(parts->hour * 60 + parts->minute - parts->zone_minutes) * 60 + parts->second) * 1000 + parts->ms;
    return 0;
}

static int32_t form_year_of(int64_t unix_ms)
{
    int32_t year = (int32_t)(1970 + unix_ms / FORM_MS_PER_DAY / 366);

    while (form_days_before(year + 1) * FORM_MS_PER_DAY <= unix_ms)
        year++;
    return year;
}

static int form_without_year(const struct form_parts *parts, int64_t near, int64_t *ret_unix_ms)
{
    int64_t unix_ms;
    int32_t year;

    if (near <= 0)
        return -1;
    year = form_year_of(near) + 1;
    for (int32_t tries = 0; tries <= FORM_LEAP_YEARS + 1; tries++, year--)
        if (form_unix_ms(parts, year, &unix_ms) == 0 && unix_ms <= near + FORM_MS_PER_DAY) {
            *ret_unix_ms = unix_ms;
            return 0;
        }
    return -1;
}

static int form_read(const struct sl_time_format *format, struct sl_slice text, int64_t near, int64_t *ret_unix_ms)
{
    struct form_parts parts = {.day = 0};

    if (!form_scan(format, text, &parts))
        return -1;
    if (parts.has_epoch) {
        *ret_unix_ms = parts.epoch * 1000 + parts.ms;
        return 0;
    }
    if (!parts.has_zone)
        parts.zone_minutes = format->zone_minutes;
    if (parts.half && (parts.hour < 1 || parts.hour > 12))
        return -1;
    if (parts.half)
        parts.hour = parts.hour % 12 + (parts.afternoon ? 12 : 0);
    if (parts.hour > 23 || parts.minute > 59 || parts.second > 60)
        return -1;
    return format->yearless ? form_without_year(&parts, near, ret_unix_ms) : form_unix_ms(&parts, parts.year, ret_unix_ms);
}

/* What was found near another instant is found near this one too. */
static bool form_same_year(int64_t unix_ms, int64_t near)
{
    int64_t latest = near + FORM_MS_PER_DAY;

    return near > 0 && unix_ms <= latest && latest < unix_ms + (int64_t)365 * FORM_MS_PER_DAY;
}

int sl_time_format_read(struct sl_time_format *format, struct sl_slice text, int64_t near_unix_ms, int64_t *ret_unix_ms)
{
    bool same = text.bytes > 0 && text.bytes == format->kept_bytes && memcmp(text.data, format->kept, text.bytes) == 0;

    if (same && (!format->yearless || form_same_year(format->kept_unix_ms, near_unix_ms))) {
        *ret_unix_ms = format->kept_unix_ms;
        return 0;
    }
    if (form_read(format, text, near_unix_ms, ret_unix_ms) != 0)
        return -1;
    if (text.bytes <= FORM_KEEP) {
        memcpy(format->kept, text.data, text.bytes);
        format->kept_bytes = text.bytes;
        format->kept_unix_ms = *ret_unix_ms;
    }
    return 0;
}

int sl_time_zone_read(const char *text, int32_t *ret_minutes)
{
    const char *at = text, *end = text + strlen(text);
    int32_t minutes = 0;

    if (strcasecmp(text, "UTC") == 0 || strcasecmp(text, "GMT") == 0) {
        *ret_minutes = 0;
        return 0;
    }
    if (!form_zone(&at, end, &minutes) || at != end)
        return -1;
    *ret_minutes = minutes;
    return 0;
}
