/* pool.h: memory with the lifetime of one loaded configuration, and the things to release with it
 * (compiled patterns). sl_pool_alloc never returns NULL: a configuration is at most 1 MiB of text,
 * and a process without memory for that ends here. One owner thread while loading; constant
 * afterwards, so any thread may read.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_CONFIG_POOL_H
#define SL_RUNTIME_CONFIG_POOL_H

#include "runtime/base/arena.h"

struct sl_pool_release;
struct sl_pool {
    struct sl_arena arena;
    struct sl_pool_release *releases;
};

void sl_pool_init(struct sl_pool *pool);
void sl_pool_fini(struct sl_pool *pool);
void *sl_pool_alloc(struct sl_pool *pool, size_t bytes);                  /* zeroed */
char *sl_pool_text(struct sl_pool *pool, const char *text, size_t bytes); /* NUL-terminated copy */
char *sl_pool_printf(struct sl_pool *pool, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Room for one more item behind `count` items of a list that only ever grew through this call. */
void *sl_pool_grow(struct sl_pool *pool, void *items, size_t count, size_t item_bytes);
/* release(thing) is called at fini, last one first. */
void sl_pool_on_fini(struct sl_pool *pool, void (*release)(void *thing), void *thing);

#endif
