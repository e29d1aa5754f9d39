/* script_heap.h: the memory of one Lua state: bounded, and thrown away as a whole, also in the middle of whatever the state was
 * doing. Small blocks come from free lists by size over chunks of 64 KiB, since Lua tells the size of what it frees.
 *
 * Limits: `max_bytes` of blocks, rounded up to their class; beyond it script_heap_alloc gives NULL, which Lua raises as an error.
 * Threads: the slot's. While *busy is not 0 the heap is inside malloc, and nobody may jump out of it (script_watch.h).
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_OPERATORS_STAGES_LUA_SCRIPT_HEAP_H
#define SL_OPERATORS_STAGES_LUA_SCRIPT_HEAP_H

#include <signal.h>
#include <stddef.h>

enum { SCRIPT_HEAP_CLASSES = 64, SCRIPT_HEAP_STEP = 16 };

struct script_block;
struct script_heap {
    size_t used_bytes, max_bytes;
    char *chunk;
    size_t chunk_left;
    struct script_block *chunks, *large; /* lists of what malloc gave */
    void *free[SCRIPT_HEAP_CLASSES];
    volatile sig_atomic_t *busy;
};

void script_heap_init(struct script_heap *heap, size_t max_bytes, volatile sig_atomic_t *busy);
/* A lua_Alloc; user is the heap. */
void *script_heap_alloc(void *user, void *old, size_t old_bytes, size_t bytes);
/* Everything, whatever state it is in. The heap is empty and usable afterwards. */
void script_heap_drop(struct script_heap *heap);

#endif
