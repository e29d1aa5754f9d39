/* commit_map.c: a chained hash table that owns its entries.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/store/commit_map.h"

#include <assert.h>
#include <stdlib.h>

static uint64_t commit_map_hash(struct sl_slice key)
{
    uint64_t hash = 0xcbf29ce484222325u;
    for (uint32_t i = 0; i < key.bytes; i++)
        hash = (hash ^ (unsigned char)key.data[i]) * 0x100000001b3u;
    return hash ^ hash >> 32;
}

void sl_commit_map_fini(struct sl_commit_map *map)
{
    for (size_t i = 0; i < map->slots_count; i++) {
        while (map->slots[i] != NULL) {
            struct sl_commit_entry *next = map->slots[i]->next;
            free(map->slots[i]);
            map->slots[i] = next;
        }
    }
    free(map->slots);
    *map = (struct sl_commit_map){0};
}

int sl_commit_map_reserve(struct sl_commit_map *map, size_t more)
{
    size_t slots_count = map->slots_count == 0 ? 64 : map->slots_count;
    struct sl_commit_entry **slots;

    while (slots_count < map->count + more)
        slots_count *= 2;
    if (slots_count == map->slots_count)
        return 0;
    slots = calloc(slots_count, sizeof(*slots));
    if (slots == NULL)
        return -1;
    for (size_t i = 0; i < map->slots_count; i++) {
        while (map->slots[i] != NULL) {
            struct sl_commit_entry *entry = map->slots[i];
            map->slots[i] = entry->next;
            entry->next = slots[entry->hash & (slots_count - 1)];
            slots[entry->hash & (slots_count - 1)] = entry;
        }
    }
    free(map->slots);
    map->slots = slots;
    map->slots_count = slots_count;
    return 0;
}

struct sl_commit_entry *sl_commit_entry_new(struct sl_slice key, struct sl_slice value)
{
    struct sl_commit_entry *entry = malloc(sizeof(*entry) + key.bytes + value.bytes + 1);
    char *data;

    if (entry == NULL)
        return NULL;
    data = (char *)(entry + 1);
    if (key.bytes > 0)
        memcpy(data, key.data, key.bytes);
    if (value.bytes > 0)
        memcpy(data + key.bytes, value.data, value.bytes);
    *entry = (struct sl_commit_entry){
        .hash = commit_map_hash(key), .key = {data, key.bytes}, .value = {data + key.bytes, value.bytes}};
    return entry;
}

static void commit_map_cut(struct sl_commit_map *map, uint64_t hash, struct sl_slice key)
{
    struct sl_commit_entry **at, *entry;

    if (map->slots_count == 0)
        return;
    for (at = &map->slots[hash & (map->slots_count - 1)]; *at != NULL; at = &(*at)->next) {
        entry = *at;
        if (entry->hash != hash || !sl_slice_eq(entry->key, key))
            continue;
        *at = entry->next;
        map->count--;
        map->live_bytes -= (uint64_t)entry->key.bytes + entry->value.bytes;
        free(entry);
        return;
    }
}

void sl_commit_map_put(struct sl_commit_map *map, struct sl_commit_entry *entry)
{
    struct sl_commit_entry **slot;

    assert(map->slots_count > 0);
    commit_map_cut(map, entry->hash, entry->key);
    slot = &map->slots[entry->hash & (map->slots_count - 1)];
    entry->next = *slot;
    *slot = entry;
    map->count++;
    map->live_bytes += (uint64_t)entry->key.bytes + entry->value.bytes;
}

void sl_commit_map_remove(struct sl_commit_map *map, struct sl_slice key)
{
    commit_map_cut(map, commit_map_hash(key), key);
}

static int commit_map_compare(const void *a, const void *b)
{
    struct sl_slice x = (*(struct sl_commit_entry *const *)a)->key, y = (*(struct sl_commit_entry *const *)b)->key;
    uint32_t bytes = x.bytes < y.bytes ? x.bytes : y.bytes;
    int order = bytes > 0 ? memcmp(x.data, y.data, bytes) : 0;
    return order != 0 ? order : (x.bytes > y.bytes) - (x.bytes < y.bytes);
}

struct sl_commit_entry **sl_commit_map_sorted(const struct sl_commit_map *map)
{
    struct sl_commit_entry **sorted = malloc((map->count + 1) * sizeof(struct sl_commit_entry *));
    size_t count = 0;

    if (sorted == NULL)
        return NULL;
    for (size_t i = 0; i < map->slots_count; i++)
        for (struct sl_commit_entry *entry = map->slots[i]; entry != NULL; entry = entry->next)
            sorted[count++] = entry;
    assert(count == map->count);
    qsort(sorted, count, sizeof(struct sl_commit_entry *), commit_map_compare);
    return sorted;
}
