/* buf.h: a growable string on the heap, for everything that is not on the hot path: pages, messages, entries, requests.
 * A failed allocation is remembered: later appends do nothing, and sl_buf_failed tells; so a writer checks once, at its end.
 *
 * Ownership: the caller owns the struct, zeroed or after sl_buf_init; fini or take ends it. Not thread-safe.
 * Invariant: data is NULL or NUL-terminated at data[bytes].
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_BASE_BUF_H
#define SL_RUNTIME_BASE_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include "runtime/base/slice.h"

struct sl_buf {
    char *data;
    size_t bytes, capacity;
    bool failed;
};

static inline void sl_buf_init(struct sl_buf *buf)
{
    *buf = (struct sl_buf){NULL, 0, 0, false};
}

void sl_buf_fini(struct sl_buf *buf);
/* Forgets the content and a past failure, keeps the memory. */
void sl_buf_reset(struct sl_buf *buf);
/* Room for `bytes` more (and the NUL); where they begin, or NULL. Fill it, then add to buf->bytes by sl_buf_added. */
char *sl_buf_reserve(struct sl_buf *buf, size_t bytes);
void sl_buf_added(struct sl_buf *buf, size_t bytes);
void sl_buf_append(struct sl_buf *buf, const void *data, size_t bytes);
void sl_buf_text(struct sl_buf *buf, const char *text);
void sl_buf_slice(struct sl_buf *buf, struct sl_slice slice);
void sl_buf_char(struct sl_buf *buf, char c);
void sl_buf_printf(struct sl_buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));
void sl_buf_vprintf(struct sl_buf *buf, const char *format, va_list args) __attribute__((format(printf, 2, 0)));

static inline bool sl_buf_failed(const struct sl_buf *buf)
{
    return buf->failed;
}

/* "" while nothing was written. */
static inline const char *sl_buf_str(const struct sl_buf *buf)
{
    return buf->data != NULL ? buf->data : "";
}

/* The malloc'd, NUL-terminated text is the caller's; the buffer is empty afterwards. NULL if something failed. */
char *sl_buf_take(struct sl_buf *buf, size_t *ret_bytes);

#endif
