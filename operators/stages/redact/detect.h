/* detect.h: where in a text something stands that must not be shown: built-in detectors and patterns.
 *
 * A text is looked at as it is, and again with what it quotes resolved: escapes of JSON in strings that hold JSON, and percent signs of
 * URLs, up to DETECT_LAYERS deep; what still quotes something there is taken whole. So "user\u0040example.com" in a JSON text in a string is
 * found, and what is reported is a range of the text as it is.
 * Threads: one a slot. Limits: a pattern that gives up takes the whole text: rather too much than too little.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_OPERATORS_STAGES_REDACT_DETECT_H
#define SL_OPERATORS_STAGES_REDACT_DETECT_H

#include "runtime/base/err.h"
#include "runtime/base/slice.h"
#include "runtime/config/field.h"

enum { DETECT_LAYERS = 4, DETECT_PATTERNS = 64 };

struct sl_ranges { /* ascending, apart from each other */
    struct sl_span *items;
    uint32_t count, room;
};

struct sl_detect;

/* The names that `detect` knows, NULL behind the last. */
extern const char *const sl_detector_names[];

/* err->text begins with the setting. */
int sl_detect_new(const struct sl_strings *detectors, const struct sl_strings *patterns, struct sl_detect **ret_detect, struct sl_err *err);
struct sl_detect *sl_detect_free(struct sl_detect *detect);
/* Whether it looks for anything at all. */
bool sl_detect_any(const struct sl_detect *detect);
/* Before the texts of a record: `text` is all of it (data NULL: not known), for what it says of its parts. 0, or -1: no memory. */
int sl_detect_begin(struct sl_detect *detect, struct sl_slice text);
/* The ranges of `text` to mask, valid until the next call. 0, or -1: no memory. */
int sl_detect_find(struct sl_detect *detect, struct sl_slice text, const struct sl_ranges **ret_ranges);
/* Whether a JSON number must be masked: as text, and as the whole number that 4.111e15 stands for. 1, 0, or -1: no memory. */
int sl_detect_number(struct sl_detect *detect, struct sl_slice token);
uint64_t sl_detect_limits(const struct sl_detect *detect); /* texts on which a pattern gave up */

/* The detectors one by one, for tests: each appends to ranges. Text of any bytes. 0, or -1: no memory. */
int sl_detect_cards(struct sl_slice text, struct sl_ranges *ranges);
int sl_detect_emails(struct sl_slice text, struct sl_ranges *ranges);
int sl_detect_tokens(struct sl_slice text, struct sl_ranges *ranges);
int sl_detect_ibans(struct sl_slice text, struct sl_ranges *ranges);
int sl_ranges_add(struct sl_ranges *ranges, uint32_t from, uint32_t end);

#endif
