/* arena.h: bump memory with one lifetime: everything in it dies at reset. One owner thread, no lock.
 * Under the address sanitizer each piece is a malloc of its own, so that overflow and use after reset are seen.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_BASE_ARENA_H
#define SL_RUNTIME_BASE_ARENA_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/base/slice.h"

struct sl_arena {
    char *base;
    size_t bytes, used, max_bytes;
    struct sl_arena_chunk *chunks; /* grown or, under asan, all pieces */
    size_t chunk_bytes;
};

/* bytes: first block, taken at once; the arena may grow by further blocks up to max_bytes in all. 0 or -1 (no memory). */
int sl_arena_init(struct sl_arena *arena, size_t bytes, size_t max_bytes);
void sl_arena_fini(struct sl_arena *arena);
/* 16-byte aligned, not zeroed; NULL over budget. */
void *sl_arena_alloc(struct sl_arena *arena, size_t bytes);
/* O(1) where nothing had to grow. */
void sl_arena_reset(struct sl_arena *arena);
/* Copy with SL_PAD zero bytes readable behind it; data NULL over budget. */
struct sl_slice sl_arena_copy(struct sl_arena *arena, struct sl_slice slice);

#define SL_PAD 64u /* bytes that may be read behind every body and raw slice (simdjson reads past the end) */

#endif
