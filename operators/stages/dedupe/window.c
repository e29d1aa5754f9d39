/* window.c: the records that dedupe remembers.
 * SPDX-License-Identifier: Apache-2.0 */
#include "operators/stages/dedupe/window.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW_NONE 0u
#define WINDOW_PAGE_CELLS (4096 / sizeof(uint32_t))
#define WINDOW_SEQUENCE (UINT64_C(1) << 48) /* the first: entries may be put before it */

int window_init(struct window *window, uint32_t max)
{
    uint32_t cells = 16;

    assert(max >= 1 && max <= 1u << 30);
    while (cells < max * UINT64_C(2))
        cells *= 2;
    *window = (struct window){.max = max, .mask = cells - 1, .sequence = WINDOW_SEQUENCE};
    window->entries = malloc(max * sizeof(*window->entries));
    window->index = calloc(cells, sizeof(*window->index));
    if (window->entries == NULL || window->index == NULL)
        return -1;
    /* Hashes touch it everywhere at once, and so many page faults in one batch were 5 ms on a slot's thread: they are taken here. */
    for (uint32_t cell = 0; cell < cells; cell += (uint32_t)WINDOW_PAGE_CELLS)
        ((volatile uint32_t *)window->index)[cell] = WINDOW_NONE;
    return 0;
}

void window_fini(struct window *window)
{
    free(window->entries);
    free(window->index);
    memset(window, 0, sizeof(*window));
}

void window_clear(struct window *window)
{
    memset(window->index, 0, ((size_t)window->mask + 1) * sizeof(*window->index));
    window->first = window->count = 0;
    window->edition++;
}

/* The cell of the hash, or the free one where it belongs. */
static uint32_t window_cell(const struct window *window, XXH128_hash_t hash)
{
    uint32_t cell = (uint32_t)hash.low64 & window->mask;

    while (window->index[cell] != WINDOW_NONE) {
        const struct window_entry *entry = &window->entries[window->index[cell] - 1];
        if (entry->hash.low64 == hash.low64 && entry->hash.high64 == hash.high64)
            break;
        cell = (cell + 1) & window->mask;
    }
    return cell;
}

/* Cells behind a hole move up, as far as their own place allows. */
static void window_free_cell(struct window *window, uint32_t hole)
{
    uint32_t cell = hole;

    window->index[hole] = WINDOW_NONE;
    for (;;) {
        uint32_t own;

        cell = (cell + 1) & window->mask;
        if (window->index[cell] == WINDOW_NONE)
            return;
        own = (uint32_t)window->entries[window->index[cell] - 1].hash.low64 & window->mask;
        if (((cell - own) & window->mask) < ((cell - hole) & window->mask))
            continue;
        window->index[hole] = window->index[cell];
        window->index[cell] = WINDOW_NONE;
        hole = cell;
    }
}

/* False: a later entry of the same key has the cell. */
static bool window_unindex(struct window *window, uint32_t at)
{
    uint32_t cell = window_cell(window, window->entries[at].hash);

    if (window->index[cell] != at + 1)
        return false;
    window_free_cell(window, cell);
    return true;
}

struct window_entry *window_find(const struct window *window, XXH128_hash_t hash)
{
    uint32_t at = window->index[window_cell(window, hash)];

    return at == WINDOW_NONE ? NULL : &window->entries[at - 1];
}

static void window_index(struct window *window, uint32_t at, const struct window_entry *entry)
{
    uint32_t cell = window_cell(window, entry->hash);

    window->entries[at] = *entry;
    window->index[cell] = at + 1;
}

void window_remember(struct window *window, const struct window_entry *entry)
{
    if (window_is_full(window)) {
        (void)window_unindex(window, window->first);
        window->first = (window->first + 1) % window->max;
        window->count--;
    }
    window_index(window, (window->first + window->count) % window->max, entry);
    window->count++;
    window->sequence++;
}

void window_replace(struct window *window, struct window_entry *known, const struct window_entry *entry)
{
    assert(known->hash.low64 == entry->hash.low64 && known->hash.high64 == entry->hash.high64);
    *known = *entry;
    window->edition++;
}

void window_put_first(struct window *window, const struct window_entry *entry)
{
    assert(!window_is_full(window));
    window->first = (window->first + window->max - 1) % window->max;
    window_index(window, window->first, entry);
    window->count++;
}

bool window_take_last(struct window *window, struct window_entry *ret_entry)
{
    uint32_t at;

    assert(window->count > 0);
    at = (window->first + window->count - 1) % window->max;
    *ret_entry = window->entries[at];
    window->count--;
    window->sequence--;
    window->edition++;
    return window_unindex(window, at);
}
