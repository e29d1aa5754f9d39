/* lines.h: a record as one line: its CR and LF become blanks where it may hold any.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_OPERATORS_SINKS_LINES_H
#define SL_OPERATORS_SINKS_LINES_H

#include "runtime/engine/batch.h"

/* Whether bodies of this view may hold CR or LF. */
static inline bool lines_may_break(const struct sl_view *view)
{
    return view->batch->may_break || view->edits_count > 0 || view->decoded->body != NULL;
}

static inline void lines_blank(char *data, size_t bytes, char which)
{
    for (char *at = data; (at = memchr(at, which, bytes - (size_t)(at - data))) != NULL; at++)
        *at = ' ';
}

static inline void lines_copy(char *to, const char *data, size_t bytes, bool breaks)
{
    if (bytes == 0)
        return;
    memcpy(to, data, bytes);
    if (breaks) {
        lines_blank(to, bytes, '\n');
        lines_blank(to, bytes, '\r');
    }
}

#endif
