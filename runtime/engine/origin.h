/* origin.h: the origin of a record as bytes: what a record that comes a second way (a replayed letter) carries as batch->origin, so
 * that what is derived from it stays the same: ids, headers, a sampler's randomness.
 *
 * Layout: source NUL topic NUL partition NUL incarnation in decimal NUL, then the offset, 8 bytes, little endian. Names that are
 * too long are cut, at 128 and 400 bytes. Pure.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_ENGINE_ORIGIN_H
#define SL_RUNTIME_ENGINE_ORIGIN_H

#include <stddef.h>

#include "runtime/base/slice.h"

enum { SL_ORIGIN_BYTES = 640 };

struct sl_origin {
    struct sl_slice source, topic, partition;
    uint32_t incarnation;
    uint64_t offset;
};

/* Returns the bytes written. */
size_t sl_origin_print(const struct sl_origin *origin, char text[SL_ORIGIN_BYTES]);
/* 0, the slices in `text`; or -1: bytes of another form. */
int sl_origin_scan(struct sl_slice text, struct sl_origin *ret_origin);

#endif
