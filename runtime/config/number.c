/* number.c: JSON's number syntax, and a comparison that does not round integers.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/config/number.h"

#include <stdlib.h>

enum { NUMBER_BYTES = 64 }; /* longer ones take a malloc */

static uint32_t number_digits(struct sl_slice text, uint32_t at)
{
    while (at < text.bytes && text.data[at] >= '0' && text.data[at] <= '9')
        at++;
    return at;
}

/* Bytes of the integer part, or 0; *ret_whole says that nothing follows it. */
static uint32_t number_syntax(struct sl_slice text, bool *ret_whole)
{
    uint32_t sign = text.bytes > 0 && text.data[0] == '-', whole = number_digits(text, sign),
             at = whole;

    if (whole == sign || (text.data[sign] == '0' && whole - sign > 1))
        return 0;
    if (at < text.bytes && text.data[at] == '.') {
        uint32_t end = number_digits(text, at + 1);
        if (end == at + 1)
            return 0;
        at = end;
    }
    if (at < text.bytes && (text.data[at] == 'e' || text.data[at] == 'E')) {
        uint32_t exponent = at + 1;
        if (exponent < text.bytes && (text.data[exponent] == '+' || text.data[exponent] == '-'))
            exponent++;
        at = number_digits(text, exponent);
        if (at == exponent)
            return 0;
    }
    *ret_whole = at == whole;
    return at == text.bytes ? whole : 0;
}

static double number_real(struct sl_slice text)
{
    char copy[NUMBER_BYTES], *larger;
    double real;

    if (text.bytes < sizeof(copy)) {
        memcpy(copy, text.data, text.bytes);
        copy[text.bytes] = '\0';
        return strtod(copy, NULL);
    }
    larger =
        malloc((size_t)text.bytes + 1); /* rare: the exponent may stand behind hundreds of digits */
    if (larger == NULL)
        return 0;
    memcpy(larger, text.data, text.bytes);
    larger[text.bytes] = '\0';
    real = strtod(larger, NULL);
    free(larger);
    return real;
}

struct sl_number sl_number_of(struct sl_slice text)
{
    struct sl_number number = {.is = false};
    bool whole = false, negative;
    uint32_t digits = number_syntax(text, &whole);

    if (digits == 0)
        return number;
    number.is = true;
    negative = text.data[0] == '-';
    number.integer = whole;
    for (uint32_t i = negative; whole && number.integer && i < digits; i++) {
        int digit = text.data[i] - '0';
        if (__builtin_mul_overflow(number.whole, 10, &number.whole) ||
            __builtin_sub_overflow(number.whole, digit,
                                   &number.whole)) /* downwards: INT64_MIN has no positive twin */
            number.integer = false;
    }
    if (number.integer && !negative &&
        __builtin_sub_overflow(INT64_C(0), number.whole, &number.whole))
        number.integer = false;
    number.real = number.integer ? (double)number.whole : number_real(text);
    return number;
}

int sl_number_compare(const struct sl_number *a, const struct sl_number *b)
{
    if (a->integer && b->integer)
        return (a->whole > b->whole) - (a->whole < b->whole);
    return (a->real > b->real) - (a->real < b->real);
}
