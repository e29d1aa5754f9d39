/* arena.c: bump memory with one lifetime.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/arena.h"

#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#define ARENA_ONE_EACH 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_ONE_EACH 1
#endif
#endif
#ifndef ARENA_ONE_EACH
#define ARENA_ONE_EACH 0
#endif

struct sl_arena_chunk {
    struct sl_arena_chunk *next;
    size_t bytes;
    _Alignas(16) char data[];
};

int sl_arena_init(struct sl_arena *arena, size_t bytes, size_t max_bytes)
{
    memset(arena, 0, sizeof(*arena));
    arena->max_bytes = max_bytes > bytes ? max_bytes : bytes;
    if (ARENA_ONE_EACH)
        return 0;
    arena->base = aligned_alloc(16, (bytes + 15) & ~(size_t)15);
    if (arena->base == NULL)
        return -1;
    arena->bytes = (bytes + 15) & ~(size_t)15;
    return 0;
}

void sl_arena_reset(struct sl_arena *arena)
{
    while (arena->chunks != NULL) {
        struct sl_arena_chunk *next = arena->chunks->next;
        free(arena->chunks);
        arena->chunks = next;
    }
    arena->used = 0;
    arena->chunk_bytes = 0;
}

void sl_arena_fini(struct sl_arena *arena)
{
    sl_arena_reset(arena);
    free(arena->base);
    memset(arena, 0, sizeof(*arena));
}

static void *arena_grow(struct sl_arena *arena, size_t bytes)
{
    struct sl_arena_chunk *chunk;

    if (arena->used + arena->chunk_bytes + bytes > arena->max_bytes)
        return NULL;
    chunk = malloc(sizeof(*chunk) + bytes);
    if (chunk == NULL)
        return NULL;
    chunk->bytes = bytes;
    chunk->next = arena->chunks;
    arena->chunks = chunk;
    arena->chunk_bytes += bytes;
    return chunk->data;
}

void *sl_arena_alloc(struct sl_arena *arena, size_t bytes)
{
    size_t rounded = (bytes + 15) & ~(size_t)15;

    if (ARENA_ONE_EACH)
        return arena_grow(arena, bytes == 0 ? 1 : bytes);
    if (arena->bytes - arena->used < rounded)
        return arena_grow(arena, rounded == 0 ? 16 : rounded);
    arena->used += rounded;
    return arena->base + (arena->used - rounded);
}

struct sl_slice sl_arena_copy(struct sl_arena *arena, struct sl_slice slice)
{
    char *copy = sl_arena_alloc(arena, (size_t)slice.bytes + SL_PAD);

    if (copy == NULL)
        return (struct sl_slice){NULL, 0};
    if (slice.bytes > 0)
        memcpy(copy, slice.data, slice.bytes);
    memset(copy + slice.bytes, 0, SL_PAD);
    return (struct sl_slice){copy, slice.bytes};
}
