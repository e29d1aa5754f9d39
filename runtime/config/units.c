/* units.c: amounts read and printed from tables of units.
 * Limits: what fits 64 bits; at most 3 digits behind a decimal point, and only where the amount is
 * a whole number of bytes or ns.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/config/units.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/slice.h"

struct unit {
    const char *name;
    uint64_t scale;
};

/* Largest first; printing takes the first that divides. */
static const struct unit units_binary[] = {{"PiB", 1ull << 50}, {"TiB", 1ull << 40},
                                           {"GiB", 1ull << 30}, {"MiB", 1ull << 20},
                                           {"KiB", 1ull << 10}, {NULL, 0}};
static const struct unit units_decimal[] = {{"PB", 1000000000000000ull},
                                            {"TB", 1000000000000ull},
                                            {"GB", 1000000000ull},
                                            {"MB", 1000000ull},
                                            {"KB", 1000ull},
                                            {"kB", 1000ull},
                                            {"B", 1ull},
                                            {NULL, 0}};
static const struct unit units_time[] = {{"w", 604800000000000ull},
                                         {"d", 86400000000000ull},
                                         {"h", 3600000000000ull},
                                         {"m", 60000000000ull},
                                         {"s", 1000000000ull},
                                         {"ms", 1000000ull},
                                         {"us", 1000ull},
                                         {"ns", 1ull},
                                         {NULL, 0}};
static const struct unit units_per[] = {{"s", 1}, {"m", 60}, {"h", 3600}, {"d", 86400}, {NULL, 0}};

#define units_refuse(err, ...) sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, __VA_ARGS__)
#define TEXT_FORMAT "%.64s" /* a value is quoted in a message, not printed whole */

static bool units_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static const struct unit *units_find(const struct unit *units, const char *name, size_t bytes)
{
    for (; units->name != NULL; units++)
        if (strlen(units->name) == bytes && memcmp(units->name, name, bytes) == 0)
            return units;
    return NULL;
}

/* "12.5" as 12 and 5 of 10; returns the bytes read, 0 if there is no number. */
struct decimal {
    uint64_t whole, part, part_scale;
    bool too_long;
};

static size_t decimal_scan(const char *text, struct decimal *ret)
{
    size_t at = 0, digits = 0;

    *ret = (struct decimal){.part_scale = 1};
    for (; units_is_digit(text[at]); at++) {
        if (__builtin_mul_overflow(ret->whole, 10u, &ret->whole) ||
            __builtin_add_overflow(ret->whole, (uint64_t)(text[at] - '0'), &ret->whole))
            ret->too_long = true;
    }
    if (at == 0 || text[at] != '.' || !units_is_digit(text[at + 1]))
        return at;
    for (at++; units_is_digit(text[at]); at++) {
        if (++digits > 3) {
            ret->too_long = true;
            continue;
        }
        ret->part = ret->part * 10 + (uint64_t)(text[at] - '0');
        ret->part_scale *= 10;
    }
    return at;
}

enum amount { AMOUNT_FINE, AMOUNT_LARGE, AMOUNT_UNEVEN };

static enum amount decimal_scale(const struct decimal *decimal, uint64_t scale, uint64_t *ret)
{
    uint64_t whole, part;

    if (decimal->too_long || __builtin_mul_overflow(decimal->whole, scale, &whole) ||
        __builtin_mul_overflow(decimal->part, scale, &part))
        return AMOUNT_LARGE;
    if (part % decimal->part_scale != 0)
        return AMOUNT_UNEVEN;
    return __builtin_add_overflow(whole, part / decimal->part_scale, ret) ? AMOUNT_LARGE
                                                                          : AMOUNT_FINE;
}

static int bytes_refuse(const char *text, enum amount amount, struct sl_err *err)
{
    if (amount == AMOUNT_LARGE)
        return units_refuse(
            err,
            TEXT_FORMAT
            " is too large or has too many digits for a size: write at most 8191PiB and "
            "three digits behind the point",
            text);
    if (amount == AMOUNT_UNEVEN)
        return units_refuse(
            err, TEXT_FORMAT " is not a whole number of bytes: write a smaller unit", text);
    return units_refuse(
        err,
        "\"" TEXT_FORMAT
        "\" is not a size: write a size such as 128MiB (KiB, MiB, GiB, TiB; KB, MB, GB, "
        "TB; a plain number is bytes)",
        text);
}

int sl_bytes_scan(const char *text, uint64_t *ret_bytes, struct sl_err *err)
{
    struct decimal decimal;
    size_t at = decimal_scan(text, &decimal);
    const struct unit *unit;
    enum amount amount;
    uint64_t value = 0;
    static const struct unit plain = {"", 1};

    if (at == 0)
        return bytes_refuse(text, AMOUNT_FINE, err);
    unit = text[at] == '\0' ? &plain : units_find(units_binary, text + at, strlen(text + at));
    if (unit == NULL)
        unit = units_find(units_decimal, text + at, strlen(text + at));
    if (unit == NULL)
        return bytes_refuse(text, AMOUNT_FINE, err);
    amount = decimal_scale(&decimal, unit->scale, &value);
    if (amount != AMOUNT_FINE)
        return bytes_refuse(text, amount, err);
    *ret_bytes = value;
    return 0;
}

static int duration_refuse(const char *text, enum amount amount, struct sl_err *err)
{
    if (amount == AMOUNT_LARGE)
        return units_refuse(
            err,
            TEXT_FORMAT
            " is too long or has too many digits for a duration: write at most 30000w and "
            "three digits behind the point",
            text);
    if (amount == AMOUNT_UNEVEN)
        return units_refuse(
            err, TEXT_FORMAT " is not a whole number of nanoseconds: write a smaller unit", text);
    if (text[0] != '\0' && strspn(text, "0123456789") == strlen(text))
        return units_refuse(err,
                            "\"" TEXT_FORMAT
                            "\" has no unit: write %.64ss for seconds (ns, us, ms, s, m, h, d, w)",
                            text, text);
    return units_refuse(
        err,
        "\"" TEXT_FORMAT
        "\" is not a duration: write a duration such as 100ms, 60s, 5m, 1h30m or 7d",
        text);
}

static size_t units_letters(const char *text)
{
    size_t bytes = 0;

    while ((text[bytes] >= 'a' && text[bytes] <= 'z') || (text[bytes] >= 'A' && text[bytes] <= 'Z'))
        bytes++;
    return bytes;
}

int sl_duration_scan(const char *text, uint64_t *ret_ns, struct sl_err *err)
{
    uint64_t total = 0, last_scale = UINT64_MAX;

    if (strcmp(text, "0") == 0)
        return *ret_ns = 0, 0;
    for (const char *at = text; at == text || *at != '\0';) {
        struct decimal decimal;
        size_t digits = decimal_scan(at, &decimal),
               letters = digits == 0 ? 0 : units_letters(at + digits);
        const struct unit *unit =
            letters == 0 ? NULL : units_find(units_time, at + digits, letters);
        uint64_t part = 0;
        enum amount amount;
        if (unit == NULL || unit->scale >= last_scale) /* 30m1h and 1m1m are slips of the pen */
            return duration_refuse(text, AMOUNT_FINE, err);
        amount = decimal_scale(&decimal, unit->scale, &part);
        if (amount == AMOUNT_FINE && __builtin_add_overflow(total, part, &total))
            amount = AMOUNT_LARGE;
        if (amount != AMOUNT_FINE)
            return duration_refuse(text, amount, err);
        last_scale = unit->scale;
        at += digits + letters;
    }
    *ret_ns = total;
    return 0;
}

/* Digits with at most one point and an exponent; never a sign, nan or inf, which strtod would take.
 */
static size_t real_scan(const char *text, double *ret)
{
    size_t at = strspn(text, "0123456789");
    char copy[40];

    if (at == 0)
        return 0;
    if (text[at] == '.')
        at += 1 + strspn(text + at + 1, "0123456789");
    if (at > 0 && text[at] == 'e') {
        size_t exponent = at + 1 + (text[at + 1] == '-' || text[at + 1] == '+');
        size_t digits = strspn(text + exponent, "0123456789");
        at = digits == 0 ? at : exponent + digits;
    }
    if (at >= sizeof(copy) || text[at - 1] == '.')
        return 0;
    memcpy(copy, text, at);
    copy[at] = '\0';
    *ret = strtod(copy, NULL);
    return isfinite(*ret) ? at : 0;
}

int sl_rate_scan(const char *text, double *ret_per_s, struct sl_err *err)
{
    double amount = 0;
    size_t at = real_scan(text, &amount);
    const struct unit *per;

    if (at > 0 && text[at] == '\0')
        return units_refuse(err, "\"" TEXT_FORMAT "\" has no unit of time: write %.64s/s", text,
                            text);
    per = at > 0 && text[at] == '/' ? units_find(units_per, text + at + 1, strlen(text + at + 1))
                                    : NULL;
    if (per == NULL)
        return units_refuse(err,
                            "\"" TEXT_FORMAT
                            "\" is not a rate: write a rate such as 5000/s or 10/m (s, m, h, d)",
                            text);
    *ret_per_s = amount / (double)per->scale;
    return 0;
}

int sl_share_scan(const char *text, double *ret_share, struct sl_err *err)
{
    double amount = 0;
    size_t at = real_scan(text, &amount);
    bool percent = at > 0 && text[at] == '%';

    if (at == 0 || text[at + percent] != '\0')
        return units_refuse(
            err, "\"" TEXT_FORMAT "\" is not a share: write a share such as 10%% or 0.1", text);
    if (!percent && amount > 1 && amount <= 100)
        return units_refuse(err, TEXT_FORMAT " without %% is more than everything: write %.64s%%",
                            text, text);
    amount = percent ? amount / 100 : amount;
    if (amount > 1)
        return units_refuse(
            err, TEXT_FORMAT " is more than everything: write a share of at most 100%%", text);
    *ret_share = amount;
    return 0;
}

int sl_count_scan(const char *text, uint64_t *ret_count, struct sl_err *err)
{
    struct decimal decimal;
    size_t at = decimal_scan(text, &decimal);

    if (at == 0 || text[at] != '\0' || decimal.part_scale != 1)
        return units_refuse(
            err, "\"" TEXT_FORMAT "\" is not a whole number: write digits only, such as 8", text);
    if (decimal.too_long)
        return units_refuse(err, TEXT_FORMAT " is too large: write at most 18446744073709551615",
                            text);
    *ret_count = decimal.whole;
    return 0;
}

/* ---- printing ---- */

void sl_bytes_print(uint64_t amount_bytes, char out[SL_UNITS_TEXT])
{
    const struct unit *unit = units_binary;

    while (unit->name != NULL && (amount_bytes == 0 || amount_bytes % unit->scale != 0))
        unit++;
    if (unit->name == NULL && amount_bytes != 0)
        for (unit = units_decimal; unit->scale > 1000 && amount_bytes % unit->scale != 0;)
            unit++;
    if (amount_bytes == 0 || amount_bytes % unit->scale != 0)
        (void)snprintf(out, SL_UNITS_TEXT, "%llu", (unsigned long long)amount_bytes);
    else
        (void)snprintf(out, SL_UNITS_TEXT, "%llu%s",
                       (unsigned long long)(amount_bytes / unit->scale), unit->name);
}

void sl_duration_print(uint64_t duration_ns, char out[SL_UNITS_TEXT])
{
    int at = 0;

    if (duration_ns == 0) {
        (void)snprintf(out, SL_UNITS_TEXT, "0s");
        return;
    }
    for (const struct unit *unit = units_time + 1; unit->name != NULL;
         unit++) { /* weeks are read, days are written */
        if (duration_ns < unit->scale)
            continue;
        at += snprintf(out + at, (size_t)(SL_UNITS_TEXT - at), "%llu%s",
                       (unsigned long long)(duration_ns / unit->scale), unit->name);
        duration_ns %= unit->scale;
    }
}

static void real_print(double value, char out[40])
{
    for (int digits = 6; digits <= 17; digits++) {
        (void)snprintf(out, 40, "%.*g", digits, value);
        if (strtod(out, NULL) == value)
            return;
    }
}

void sl_rate_print(double per_s, char out[SL_UNITS_TEXT])
{
    char number[40];

    for (const struct unit *per = units_per; per->name != NULL; per++) {
        double amount = nearbyint(per_s * (double)per->scale);
        if (amount < 1e15 && amount / (double)per->scale == per_s) {
            (void)snprintf(out, SL_UNITS_TEXT, "%.0f/%s", amount, per->name);
            return;
        }
    }
    real_print(per_s, number);
    (void)snprintf(out, SL_UNITS_TEXT, "%s/s", number);
}

void sl_share_print(double share, char out[SL_UNITS_TEXT])
{
    char number[40];

    real_print(share, number);
    for (int digits = 1; digits <= 17; digits++) {
        char percent[40];
        (void)snprintf(percent, sizeof(percent), "%.*g", digits, share * 100);
        if (strtod(percent, NULL) / 100 == share && strlen(percent) < 12 &&
            strchr(percent, 'e') == NULL) {
            (void)snprintf(out, SL_UNITS_TEXT, "%s%%", percent);
            return;
        }
    }
    (void)snprintf(out, SL_UNITS_TEXT, "%s", number);
}
