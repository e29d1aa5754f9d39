/* window.h: the records that dedupe remembers: a flat table of at most `max` entries, that can be taken over whole or by and by.
 *
 * A ring of entries in the order they came, and an open-addressed index over their hashes (128 bits of XXH3, so that no two records of
 * different keys are taken for one). A full ring forgets its oldest. Of two entries of one hash the index finds the later.
 * Ownership: the caller's struct; memory from malloc, the entries' touched as they come. Threads: one at a time.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_OPERATORS_STAGES_DEDUPE_WINDOW_H
#define SL_OPERATORS_STAGES_DEDUPE_WINDOW_H

#include <stdbool.h>
#include <stdint.h>
#include <xxhash.h>

struct window_entry {
    XXH128_hash_t hash;
    uint64_t offset;  /* origin: of the partition that is in the hash */
    uint64_t carried; /* hash of the origin that the record carries, 0: none */
    int64_t append_unix_ms;
};

struct window {
    struct window_entry *entries; /* first, then count - 1 more */
    uint32_t max, first, count;
    uint32_t *index; /* of entries plus one, or 0; linear probing */
    uint32_t mask;
    uint64_t sequence; /* of the entry that is remembered next */
    uint64_t edition;  /* raised when an entry is replaced where it stands */
};

enum { WINDOW_ENTRY_BYTES = sizeof(struct window_entry) + 4 * sizeof(uint32_t) /* with its cells of the index, at most */ };

/* 0, or -1: no memory. max >= 1. */
int window_init(struct window *window, uint32_t max);
void window_fini(struct window *window); /* accepts a zeroed one */
void window_clear(struct window *window);
/* NULL: not remembered. */
struct window_entry *window_find(const struct window *window, XXH128_hash_t hash);
/* The latest. A full window forgets its oldest first. */
void window_remember(struct window *window, const struct window_entry *entry);
/* known: as found, of the same hash. */
void window_replace(struct window *window, struct window_entry *known, const struct window_entry *entry);
/* The oldest, before all others; of a hash that is not remembered, where there is room. */
void window_put_first(struct window *window, const struct window_entry *entry);
/* Takes the latest out; false: it was not the one that its hash finds, and says nothing. count >= 1. */
bool window_take_last(struct window *window, struct window_entry *ret_entry);

static inline bool window_is_full(const struct window *window)
{
    return window->count == window->max;
}

static inline const struct window_entry *window_oldest(const struct window *window)
{
    return &window->entries[window->first];
}

static inline const struct window_entry *window_latest(const struct window *window)
{
    uint32_t place = window->first + window->count - 1;

    return &window->entries[place >= window->max ? place - window->max : place];
}

/* The entry of a sequence number in [sequence - count, sequence). */
static inline const struct window_entry *window_at(const struct window *window, uint64_t sequence)
{
    uint64_t place = window->first + (sequence - (window->sequence - window->count));

    return &window->entries[place >= window->max ? place - window->max : place];
}

#endif
