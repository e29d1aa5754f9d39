/* intern.h: service names as small numbers, process-wide, for ever. At most 65,536; later ones are ~other (1).
 * Threads: ids from any thread; a per-thread cache (sl_intern_cache) makes the hot path lock-free.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_BASE_INTERN_H
#define SL_RUNTIME_BASE_INTERN_H

#include "runtime/base/slice.h"

enum { SL_INTERN_NONE = 0, SL_INTERN_OTHER = 1, SL_INTERN_MAX = 65536 };

struct sl_intern_cache; /* one a thread */
struct sl_intern_cache *sl_intern_cache_new(void);
struct sl_intern_cache *sl_intern_cache_free(struct sl_intern_cache *cache);
/* 0 for an empty name. Names longer than 128 bytes are cut for interning. */
uint32_t sl_intern(struct sl_intern_cache *cache, struct sl_slice name);
/* Static lifetime. */
struct sl_slice sl_intern_name(uint32_t id);

#endif
