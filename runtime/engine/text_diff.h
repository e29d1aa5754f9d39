/* text_diff.h: where two JSON texts of one record part, some fields left out. For differences that a shadow has found, not for
 * every record.
 *
 * Texts are compared as written: 1 and 1.0, or members in another order, are a difference; blanks between tokens are one too, but
 * the last that is looked for. Keys are compared as written; those of fields to leave out with their escapes resolved.
 * Threads: one owner.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_ENGINE_TEXT_DIFF_H
#define SL_RUNTIME_ENGINE_TEXT_DIFF_H

#include <stddef.h>

#include "runtime/base/column.h"

enum { SL_TEXT_PATH_BYTES = 200 };

struct sl_text_diff;

struct sl_text_diff *sl_text_diff_new(void); /* NULL: no memory */
struct sl_text_diff *sl_text_diff_free(struct sl_text_diff *diff);

enum sl_text_verdict {
    SL_TEXT_EQUAL,
    SL_TEXT_CHANGED,  /* a value */
    SL_TEXT_TYPE,     /* another type of value */
    SL_TEXT_GONE,     /* in the first only: a field, or an item of an array */
    SL_TEXT_ADDED,    /* in the second only */
    SL_TEXT_ORDER,    /* members in another order */
    SL_TEXT_BLANKS,   /* between tokens */
    SL_TEXT_NOT_JSON, /* one of them is no JSON: nothing more is known */
    SL_TEXT_VERDICTS
};

/* The first difference of a and b without the fields at `paths` (which descend objects, not arrays; every occurrence). path
 * (user.tags[2]; empty: the whole) is NUL-terminated, cut where it is too long. */
enum sl_text_verdict sl_text_diff_first(struct sl_text_diff *diff, struct sl_slice a, struct sl_slice b,
                                        const struct sl_field_path *const *paths, uint32_t paths_count, char path[SL_TEXT_PATH_BYTES]);

/* In words, for people: "field changed", … */
const char *sl_text_verdict_name(enum sl_text_verdict verdict);

#endif
