/* script_heap.c: the memory of one Lua state.
 * SPDX-License-Identifier: Apache-2.0 */
#include "operators/stages/lua/script_heap.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { HEAP_CHUNK = 64 << 10, HEAP_SMALL_MAX = SCRIPT_HEAP_CLASSES * SCRIPT_HEAP_STEP };

struct script_block {
    struct script_block *next, *last;
    _Alignas(16) char data[];
};

static size_t heap_class(size_t bytes)
{
    return (bytes - 1) / SCRIPT_HEAP_STEP;
}

static size_t heap_rounded(size_t bytes)
{
    return bytes == 0 ? 0 : bytes > HEAP_SMALL_MAX ? bytes : (heap_class(bytes) + 1) * SCRIPT_HEAP_STEP;
}

static void heap_link(struct script_block **list, struct script_block *block)
{
    block->last = NULL;
    block->next = *list;
    if (*list != NULL)
        (*list)->last = block;
    *list = block;
}

static void heap_unlink(struct script_block **list, struct script_block *block)
{
    if (block->last != NULL)
        block->last->next = block->next;
    else
        *list = block->next;
    if (block->next != NULL)
        block->next->last = block->last;
}

/* Signals that come in here wait: a jump out of malloc would leave its locks held. */
static void *heap_malloc(struct script_heap *heap, struct script_block **list, size_t bytes)
{
    struct script_block *block;

    *heap->busy = 1;
    block = malloc(sizeof(*block) + bytes);
    if (block != NULL)
        heap_link(list, block);
    *heap->busy = 0;
    return block == NULL ? NULL : block->data;
}

static struct script_block *heap_block(void *data)
{
    return (struct script_block *)(void *)((char *)data - offsetof(struct script_block, data));
}

static void *heap_take(struct script_heap *heap, size_t bytes)
{
    size_t class = heap_class(bytes), rounded = (class + 1) * SCRIPT_HEAP_STEP;
    void *taken = bytes > HEAP_SMALL_MAX ? NULL : heap->free[class];

    if (bytes > HEAP_SMALL_MAX)
        return heap_malloc(heap, &heap->large, bytes);
    if (taken != NULL) {
        memcpy(&heap->free[class], taken, sizeof(void *));
        return taken;
    }
    if (heap->chunk_left < rounded) { /* what is left of the old chunk is lost: at most one block in sixty-four */
        heap->chunk = heap_malloc(heap, &heap->chunks, HEAP_CHUNK);
        heap->chunk_left = heap->chunk == NULL ? 0 : HEAP_CHUNK;
    }
    if (heap->chunk == NULL)
        return NULL;
    taken = heap->chunk;
    heap->chunk += rounded;
    heap->chunk_left -= rounded;
    return taken;
}

static void heap_give(struct script_heap *heap, void *old, size_t bytes)
{
    if (bytes > HEAP_SMALL_MAX) {
        struct script_block *block = heap_block(old);
        *heap->busy = 1;
        heap_unlink(&heap->large, block);
        free(block);
        *heap->busy = 0;
        return;
    }
    memcpy(old, &heap->free[heap_class(bytes)], sizeof(void *));
    heap->free[heap_class(bytes)] = old;
}

void *script_heap_alloc(void *user, void *old, size_t old_bytes, size_t bytes)
{
    struct script_heap *heap = user;
    size_t was = old == NULL ? 0 : heap_rounded(old_bytes), is = heap_rounded(bytes);
    void *data;

    if (is > was && is - was > heap->max_bytes - heap->used_bytes)
        return NULL;
    if (was == is && was <= HEAP_SMALL_MAX)
        return old;
    data = bytes == 0 ? NULL : heap_take(heap, bytes);
    if (bytes > 0 && data == NULL)
        return is < was ? old : NULL; /* Lua never expects that a block cannot shrink */
    if (old != NULL && was > 0) {
        if (data != NULL)
            memcpy(data, old, old_bytes < bytes ? old_bytes : bytes);
        heap_give(heap, old, old_bytes);
    }
    heap->used_bytes = heap->used_bytes - was + is;
    return data;
}

void script_heap_init(struct script_heap *heap, size_t max_bytes, volatile sig_atomic_t *busy)
{
    memset(heap, 0, sizeof(*heap));
    heap->max_bytes = max_bytes;
    heap->busy = busy;
}

static void heap_drop_list(struct script_block **list)
{
    while (*list != NULL) {
        struct script_block *next = (*list)->next;
        free(*list);
        *list = next;
    }
}

void script_heap_drop(struct script_heap *heap)
{
    heap_drop_list(&heap->chunks);
    heap_drop_list(&heap->large);
    script_heap_init(heap, heap->max_bytes, heap->busy);
}
