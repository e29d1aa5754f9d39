/* pool.c: memory with the lifetime of one loaded configuration.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/config/pool.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct sl_pool_release {
    struct sl_pool_release *next;
    void (*release)(void *thing);
    void *thing;
};

static void pool_die(void)
{
    (void)fputs("sluice: out of memory while reading a configuration\n", stderr);
    abort();
}

void sl_pool_init(struct sl_pool *pool)
{
    pool->releases = NULL;
    if (sl_arena_init(&pool->arena, 16384, SIZE_MAX / 2) != 0)
        pool_die();
}

void sl_pool_fini(struct sl_pool *pool)
{
    for (struct sl_pool_release *r = pool->releases; r != NULL; r = r->next)
        r->release(r->thing);
    pool->releases = NULL;
    sl_arena_fini(&pool->arena);
}

void *sl_pool_alloc(struct sl_pool *pool, size_t bytes)
{
    void *memory = sl_arena_alloc(&pool->arena, bytes);

    if (memory == NULL)
        pool_die();
    return memset(memory, 0, bytes);
}

char *sl_pool_text(struct sl_pool *pool, const char *text, size_t bytes)
{
    char *copy = sl_pool_alloc(pool, bytes + 1);

    if (bytes > 0)
        memcpy(copy, text, bytes);
    return copy;
}

char *sl_pool_printf(struct sl_pool *pool, const char *format, ...)
{
    va_list args;
    char *text = NULL, *copy;
    int bytes;

    va_start(args, format);
    bytes = vasprintf(&text, format, args);
    va_end(args);
    if (bytes < 0)
        pool_die();
    copy = sl_pool_text(pool, text, (size_t)bytes);
    free(text);
    return copy;
}

void *sl_pool_grow(struct sl_pool *pool, void *items, size_t count, size_t item_bytes)
{
    void *larger;

    if (count != 0 && (count < 4 || (count & (count - 1)) != 0))
        return items; /* capacity is the next power of two, at least 4 */
    larger = sl_pool_alloc(pool, item_bytes * (count == 0 ? 4 : 2 * count));
    if (count > 0)
        memcpy(larger, items, count * item_bytes);
    return larger;
}

void sl_pool_on_fini(struct sl_pool *pool, void (*release)(void *thing), void *thing)
{
    struct sl_pool_release *r = sl_pool_alloc(pool, sizeof(*r));

    *r = (struct sl_pool_release){pool->releases, release, thing};
    pool->releases = r;
}
