/* slice.h: borrowed bytes: pointer and length, never NUL-terminated, owned by somebody else.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_BASE_SLICE_H
#define SL_RUNTIME_BASE_SLICE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct sl_slice {
    const char *data;
    uint32_t bytes;
};

/* Where a value lies in its record's payload, for the splice. */
struct sl_span {
    uint32_t at, bytes;
};

static inline struct sl_slice sl_slice_of(const char *text)
{
    return (struct sl_slice){text, (uint32_t)strlen(text)};
}

static inline bool sl_slice_eq(struct sl_slice a, struct sl_slice b)
{
    return a.bytes == b.bytes && (a.bytes == 0 || memcmp(a.data, b.data, a.bytes) == 0);
}

static inline bool sl_slice_is(struct sl_slice a, const char *text)
{
    return sl_slice_eq(a, sl_slice_of(text));
}

#endif
