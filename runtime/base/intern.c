/* intern.c: service names as small numbers, process-wide, for ever.
 *
 * One table of the process holds the names; it only grows, under a lock. Each thread's cache is an open-addressed table
 * from hash to id that it alone touches; a miss asks the process's table. Names never move and never die, so a name
 * found in a cache is compared without a lock.
 *
 * Invariants: (1) name[id] is written before id leaves the lock; (2) slots hold ids in [2, count); (3) a table has twice
 * as many slots as names at most, so a probe ends.
 * Limits: SL_INTERN_MAX names, 128 bytes each. A cache doubles from 256 slots to the names it has met.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/intern.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

enum { INTERN_NAME_BYTES = 128, INTERN_FIRST_SLOTS = 256, INTERN_CACHE_MAGIC = 0x1a7e12c4 };

struct intern_entry {
    uint64_t hash;
    uint32_t id; /* 0: free */
};

struct intern_table {
    struct intern_entry *entries; /* [mask + 1] */
    uint32_t mask, used;
};

struct sl_intern_cache {
    uint32_t magic;
    struct intern_table table;
};

static struct {
    pthread_mutex_t lock;
    struct intern_table table;
    struct sl_slice name[SL_INTERN_MAX];
    uint32_t count;
} intern = {.lock = PTHREAD_MUTEX_INITIALIZER, .name = {[SL_INTERN_OTHER] = {"~other", 6}}, .count = 2};

struct sl_intern_cache *sl_intern_cache_new(void)
{
    struct sl_intern_cache *cache = calloc(1, sizeof(*cache));

    if (cache != NULL)
        cache->magic = INTERN_CACHE_MAGIC;
    return cache;
}

struct sl_intern_cache *sl_intern_cache_free(struct sl_intern_cache *cache)
{
    if (cache != NULL) {
        assert(cache->magic == INTERN_CACHE_MAGIC);
        cache->magic = 0;
        free(cache->table.entries);
        free(cache);
    }
    return NULL;
}

static uint32_t intern_find(const struct intern_table *table, uint64_t hash, struct sl_slice name)
{
    if (table->entries == NULL)
        return 0;
    for (uint64_t at = hash & table->mask;; at = (at + 1) & table->mask) {
        const struct intern_entry *entry = &table->entries[at];

        if (entry->id == 0)
            return 0;
        if (entry->hash == hash && sl_slice_eq(intern.name[entry->id], name))
            return entry->id;
    }
}

static void intern_place(struct intern_table *table, uint64_t hash, uint32_t id)
{
    uint64_t at = hash & table->mask;

    while (table->entries[at].id != 0)
        at = (at + 1) & table->mask;
    table->entries[at] = (struct intern_entry){hash, id};
    table->used++;
}

/* 0, or -1 without memory: then nothing has changed. */
static int intern_make_room(struct intern_table *table)
{
    uint32_t slots = table->entries == NULL ? 0 : table->mask + 1;
    struct intern_table larger = {.mask = (slots == 0 ? INTERN_FIRST_SLOTS : slots * 2) - 1};

    if (table->used < slots / 2)
        return 0;
    larger.entries = calloc((size_t)larger.mask + 1, sizeof(*larger.entries));
    if (larger.entries == NULL)
        return -1;
    for (uint32_t i = 0; i < slots; i++)
        if (table->entries[i].id != 0)
            intern_place(&larger, table->entries[i].hash, table->entries[i].id);
    free(table->entries);
    *table = larger;
    return 0;
}

/* Under the lock. */
static uint32_t intern_add(uint64_t hash, struct sl_slice name)
{
    char *copy;

    if (intern.count == SL_INTERN_MAX || intern_make_room(&intern.table) != 0)
        return SL_INTERN_OTHER;
    copy = malloc(name.bytes);
    if (copy == NULL)
        return SL_INTERN_OTHER;
    memcpy(copy, name.data, name.bytes);
    intern.name[intern.count] = (struct sl_slice){copy, name.bytes};
    intern_place(&intern.table, hash, intern.count);
    return intern.count++;
}

static uint32_t intern_ask(uint64_t hash, struct sl_slice name)
{
    uint32_t id;

    (void)pthread_mutex_lock(&intern.lock);
    id = intern_find(&intern.table, hash, name);
    if (id == 0)
        id = intern_add(hash, name);
    (void)pthread_mutex_unlock(&intern.lock);
    return id;
}

uint32_t sl_intern(struct sl_intern_cache *cache, struct sl_slice name)
{
    uint64_t hash;
    uint32_t id;

    assert(cache->magic == INTERN_CACHE_MAGIC);
    if (name.bytes == 0)
        return SL_INTERN_NONE;
    if (name.bytes > INTERN_NAME_BYTES)
        name.bytes = INTERN_NAME_BYTES;
    hash = XXH3_64bits(name.data, name.bytes);
    id = intern_find(&cache->table, hash, name);
    if (id != 0)
        return id;
    id = intern_ask(hash, name);
    if (id != SL_INTERN_OTHER && intern_make_room(&cache->table) == 0)
        intern_place(&cache->table, hash, id);
    return id;
}

struct sl_slice sl_intern_name(uint32_t id)
{
    assert(id < SL_INTERN_MAX);
    return intern.name[id];
}
