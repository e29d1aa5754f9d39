/* mask.h: what stands in the place of what is masked: a text, a keyed hash, or the last characters.
 *
 * hash: "hash:" and 32 hex digits, HMAC-SHA-256 of the value with the stage's key: equal values stay equal, and without the key nobody
 * can try all card numbers. partial: "***" and the last four characters of values of at least eight. What a mask made is left as it is
 * when it is met again.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_OPERATORS_STAGES_REDACT_MASK_H
#define SL_OPERATORS_STAGES_REDACT_MASK_H

#include "runtime/base/buf.h"
#include "runtime/base/err.h"

enum sl_mask_form { SL_MASK_TEXT, SL_MASK_HASH, SL_MASK_PARTIAL };

struct sl_mask {
    enum sl_mask_form form;
    struct sl_slice text; /* TEXT */
    void *mac;            /* HASH */
};

/* with: the words hash and partial, or the text itself. key: of HASH, else NULL. */
int sl_mask_open(struct sl_mask *mask, const char *with, const char *key, struct sl_err *err);
void sl_mask_close(struct sl_mask *mask);
/* Appends the mask of a value (its text, escapes resolved) to a buffer: never a quote, a backslash or a control character. 0, or -1. */
int sl_mask_write(const struct sl_mask *mask, struct sl_slice value, struct sl_buf *buf);
/* A value that has this form already. */
bool sl_mask_made(const struct sl_mask *mask, struct sl_slice value);

#endif
