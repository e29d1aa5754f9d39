/* detectors.c: card numbers, e-mail addresses and IBANs in text: what they look like, and what proves them.
 *
 * A card number is 12 to 19 digits of a known issuer with Luhn's check digit, in one piece or in groups parted by a blank, a hyphen, a
 * dot or a no-break space. It may stand beside letters, not beside further digits of its own run of groups, unless a part of these is
 * a card number by itself. An IBAN is checked by its remainder of 97.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "operators/stages/redact/detect.h"

enum { CARD_LEAST = 12, CARD_MOST = 19, CARD_GROUPS = 64, IBAN_LEAST = 15, IBAN_MOST = 34 };

int sl_ranges_add(struct sl_ranges *ranges, uint32_t from, uint32_t end)
{
    if (ranges->count == ranges->room) {
        uint32_t room = ranges->room == 0 ? 16 : ranges->room * 2;
        struct sl_span *items = realloc(ranges->items, room * sizeof(*items));
        if (items == NULL)
            return -1;
        ranges->items = items;
        ranges->room = room;
    }
    ranges->items[ranges->count++] = (struct sl_span){from, end - from};
    return 0;
}

static inline bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static inline bool is_alpha(char c)
{
    return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
}

/* ---- cards ---- */

static bool card_luhn(const char *digits, uint32_t count)
{
    uint32_t sum = 0;

    for (uint32_t i = 0; i < count; i++) {
        uint32_t digit = (uint32_t)(digits[count - 1 - i] - '0');
        digit = i % 2 == 1 ? digit * 2 : digit;
        sum += digit > 9 ? digit - 9 : digit;
    }
    return sum % 10 == 0;
}

static const struct card_issuer {
    uint32_t first, last; /* of the first six digits */
    uint32_t lengths;     /* bit n: n digits */
} card_issuers[] = {
#define LENGTH(n) (1u << (n))
    {400000, 499999, LENGTH(13) | LENGTH(16) | LENGTH(19)},                      /* Visa */
    {510000, 559999, LENGTH(16)},                                                /* Mastercard */
    {222100, 272099, LENGTH(16)},                                                /* Mastercard */
    {340000, 349999, LENGTH(15)},                                                /* American Express */
    {370000, 379999, LENGTH(15)},                                                /* American Express */
    {300000, 305999, LENGTH(14) | LENGTH(16) | LENGTH(19)},                      /* Diners */
    {309500, 309599, LENGTH(14) | LENGTH(16) | LENGTH(19)},                      /* Diners */
    {360000, 369999, LENGTH(14) | LENGTH(16) | LENGTH(19)},                      /* Diners */
    {380000, 399999, LENGTH(14) | LENGTH(16) | LENGTH(19)},                      /* Diners */
    {352800, 358999, LENGTH(16) | LENGTH(17) | LENGTH(18) | LENGTH(19)},         /* JCB */
    {601100, 601199, LENGTH(16) | LENGTH(17) | LENGTH(18) | LENGTH(19)},         /* Discover */
    {644000, 659999, LENGTH(16) | LENGTH(17) | LENGTH(18) | LENGTH(19)},         /* Discover */
    {620000, 629999, LENGTH(16) | LENGTH(17) | LENGTH(18) | LENGTH(19)},         /* UnionPay */
    {810000, 817199, LENGTH(16) | LENGTH(17) | LENGTH(18) | LENGTH(19)},         /* UnionPay */
    {500000, 509999, 0xFF000u},                                                  /* Maestro */
    {560000, 589999, 0xFF000u},                                                  /* Maestro */
    {630400, 639999, 0xFF000u},                                                  /* Maestro */
    {670000, 679999, 0xFF000u},                                                  /* Maestro */
    {220000, 220499, LENGTH(16) | LENGTH(17) | LENGTH(18) | LENGTH(19)},         /* Mir */
};

static bool card_is(const char *digits, uint32_t count)
{
    uint32_t head = 0;

    for (uint32_t i = 0; i < 6; i++)
        head = head * 10 + (uint32_t)(digits[i] - '0');
    for (size_t i = 0; i < sizeof(card_issuers) / sizeof(card_issuers[0]); i++)
        if (head >= card_issuers[i].first && head <= card_issuers[i].last && (card_issuers[i].lengths >> count & 1) != 0)
            return card_luhn(digits, count);
    return false;
}

/* Groups of digits, each parted from the next by one separator. */
struct card_run {
    struct {
        uint32_t at, bytes;
    } group[CARD_GROUPS];
    uint32_t count, digits;
};

static uint32_t card_separator(struct sl_slice text, uint32_t at)
{
    char c = at < text.bytes ? text.data[at] : 'x';

    if (c == ' ' || c == '-' || c == '.')
        return 1;
    return at + 1 < text.bytes && (unsigned char)c == 0xC2 && (unsigned char)text.data[at + 1] == 0xA0 ? 2 : 0;
}

/* The groups from a digit on; returns where they end. */
static uint32_t card_groups(struct sl_slice text, uint32_t at, struct card_run *run)
{
    run->count = run->digits = 0;
    while (at < text.bytes && is_digit(text.data[at]) && run->count < CARD_GROUPS) {
        uint32_t from = at, separator;

        while (at < text.bytes && is_digit(text.data[at]))
            at++;
        run->group[run->count].at = from;
        run->group[run->count++].bytes = at - from;
        run->digits += at - from;
        separator = card_separator(text, at);
        if (separator == 0 || at + separator >= text.bytes || !is_digit(text.data[at + separator]) || run->count == CARD_GROUPS)
            break;
        at += separator;
    }
    return at;
}

/* A card number that begins with group `first`: how many groups it takes, 0 none. The longest wins. */
static uint32_t card_at(struct sl_slice text, const struct card_run *run, uint32_t first)
{
    char digits[CARD_MOST];
    uint32_t count = 0, found = 0;

    for (uint32_t g = first; g < run->count && count + run->group[g].bytes <= CARD_MOST; g++) {
        memcpy(digits + count, text.data + run->group[g].at, run->group[g].bytes);
        count += run->group[g].bytes;
        if (count >= CARD_LEAST && card_is(digits, count))
            found = g - first + 1;
    }
    return found;
}

int sl_detect_cards(struct sl_slice text, struct sl_ranges *ranges)
{
    for (uint32_t at = 0; at + CARD_LEAST <= text.bytes;) {
        struct card_run run;
        uint32_t behind, g = 0, last;

        if (!is_digit(text.data[at])) {
            at++;
            continue;
        }
        behind = card_groups(text, at, &run);
        last = run.count < CARD_GROUPS ? run.count : CARD_GROUPS - CARD_MOST; /* a longer run goes on where a number may still begin */
        for (; run.digits >= CARD_LEAST && g < last; g++) { /* also from inside what was found: the wrong groups may make a number by chance */
            uint32_t taken = card_at(text, &run, g);
            if (taken > 0 && sl_ranges_add(ranges, run.group[g].at, run.group[g + taken - 1].at + run.group[g + taken - 1].bytes) != 0)
                return -1;
        }
        at = run.count == CARD_GROUPS ? run.group[last].at : behind;
    }
    return 0;
}

/* ---- e-mail: without the rarest signs that a local part may have, for these part it from what stands before it in URLs and JSON ---- */

static bool email_local(char c)
{
    return is_alpha(c) || is_digit(c) || (unsigned char)c >= 0x80 || (c != '\0' && strchr("._%+-'!#$*^~", c) != NULL);
}

static bool email_domain(char c)
{
    return is_alpha(c) || is_digit(c) || (unsigned char)c >= 0x80 || c == '.' || c == '-';
}

/* From a quote back to the one that opens it: "john doe"@example.com. */
static uint32_t email_quoted(struct sl_slice text, uint32_t at)
{
    for (uint32_t from = at - 1; from > 0; from--)
        if (text.data[from - 1] == '"')
            return from - 1;
    return at;
}

/* The end of the domain behind an @, or 0: it has no two labels. */
static uint32_t email_end(struct sl_slice text, uint32_t at)
{
    uint32_t end = at, dot = 0;

    if (at < text.bytes && text.data[at] == '[') { /* an address of numbers */
        const char *close = memchr(text.data + at, ']', text.bytes - at);
        return close == NULL ? 0 : (uint32_t)(close - text.data) + 1;
    }
    while (end < text.bytes && email_domain(text.data[end])) {
        if (text.data[end] == '.' && end > at && end + 1 < text.bytes && email_domain(text.data[end + 1]) && text.data[end + 1] != '.')
            dot = end;
        end++;
    }
    while (end > at && (text.data[end - 1] == '.' || text.data[end - 1] == '-'))
        end--;
    return dot > 0 && end > dot + 1 ? end : 0;
}

int sl_detect_emails(struct sl_slice text, struct sl_ranges *ranges)
{
    uint32_t behind = 0; /* of the last one */

    for (const char *hit = memchr(text.data, '@', text.bytes); hit != NULL;) {
        uint32_t sign = (uint32_t)(hit - text.data), from = sign, end = email_end(text, sign + 1);

        while (from > behind && email_local(text.data[from - 1]))
            from--;
        if (from == sign && from > behind + 1 && text.data[from - 1] == '"')
            from = email_quoted(text, sign);
        if (from < sign && end > 0) {
            if (sl_ranges_add(ranges, from, end) != 0)
                return -1;
            behind = end;
        } else {
            end = sign + 1;
        }
        hit = end >= text.bytes ? NULL : memchr(text.data + end, '@', text.bytes - end);
    }
    return 0;
}

/* ---- IBAN ---- */

static bool iban_is(const char *chars, uint32_t count)
{
    uint32_t rest = 0;

    for (uint32_t i = 0; i < count; i++) {
        char c = chars[(i + 4) % count];
        rest = is_digit(c) ? (rest * 10 + (uint32_t)(c - '0')) % 97 : (rest * 100 + (uint32_t)((c & ~0x20) - 'A') + 10) % 97;
    }
    return rest == 1;
}

/* The longest IBAN from `at` on: where it ends, or 0. */
static uint32_t iban_at(struct sl_slice text, uint32_t at)
{
    char chars[IBAN_MOST];
    uint32_t count = 0, end = 0, i = at;

    while (i < text.bytes && count < IBAN_MOST) {
        bool blank = text.data[i] == ' ' || text.data[i] == '-';

        if (blank && count > 0 && i + 1 < text.bytes && (is_digit(text.data[i + 1]) || is_alpha(text.data[i + 1]))) {
            i++;
            continue;
        }
        if (!is_digit(text.data[i]) && !is_alpha(text.data[i]))
            break;
        chars[count++] = text.data[i++];
        if (count >= IBAN_LEAST && (i == text.bytes || !(is_digit(text.data[i]) || is_alpha(text.data[i]))) && iban_is(chars, count))
            end = i;
    }
    return end;
}

int sl_detect_ibans(struct sl_slice text, struct sl_ranges *ranges)
{
    for (uint32_t at = 0; at + IBAN_LEAST <= text.bytes; at++) {
        uint32_t end;

        if (!is_alpha(text.data[at]) || !is_alpha(text.data[at + 1]) || !is_digit(text.data[at + 2]) || !is_digit(text.data[at + 3]) ||
            (at > 0 && (is_alpha(text.data[at - 1]) || is_digit(text.data[at - 1]))))
            continue;
        end = iban_at(text, at);
        if (end == 0)
            continue;
        if (sl_ranges_add(ranges, at, end) != 0)
            return -1;
        at = end - 1;
    }
    return 0;
}
