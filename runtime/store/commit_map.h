/* commit_map.h: the commit log's current content: byte strings to byte strings, hashed, listed in key order.
 * Adding is split in two so that a commit cannot fail once it is durable: entries are made before, linked after.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_STORE_COMMIT_MAP_H
#define SL_RUNTIME_STORE_COMMIT_MAP_H

#include <stddef.h>

#include "runtime/base/slice.h"

struct sl_commit_entry {
    struct sl_commit_entry *next;
    uint64_t hash;
    struct sl_slice key, value; /* into the same block */
};

struct sl_commit_map {
    struct sl_commit_entry **slots;
    size_t slots_count, count;
    uint64_t live_bytes; /* of all keys and values */
};

/* Zeroed memory is an empty map. */
void sl_commit_map_fini(struct sl_commit_map *map);
/* Room for `more` entries without allocation. 0 or -1. */
int sl_commit_map_reserve(struct sl_commit_map *map, size_t more);
/* A copy outside any map; NULL without memory. */
struct sl_commit_entry *sl_commit_entry_new(struct sl_slice key, struct sl_slice value);
/* Takes entry, replacing what the key had. Room must have been reserved. */
void sl_commit_map_put(struct sl_commit_map *map, struct sl_commit_entry *entry);
void sl_commit_map_remove(struct sl_commit_map *map, struct sl_slice key);
/* All entries in key order, malloc'd array of map->count; NULL without memory (or, when empty, whatever malloc(1) says). */
struct sl_commit_entry **sl_commit_map_sorted(const struct sl_commit_map *map);

#endif
