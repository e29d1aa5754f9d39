/* compare.h: what two versions of a topology say otherwise, setting by setting, for people who read it before they deploy.
 *
 * Told are values as written, and defaults as the tables write them. What may be a secret is never told, only that it changed: secret
 * settings, values under keys such as token or password, user and password in URLs, settings of plugins.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_CONFIG_COMPARE_H
#define SL_RUNTIME_CONFIG_COMPARE_H

#include "runtime/config/topology.h"

struct sl_pool;

struct sl_difference {
    const char *setting;   /* "roll.bytes" */
    const char *from, *to; /* NULL both: it changed, and how is not told */
    const char *content;   /* the file whose content changed, as written; from and to are NULL then; or NULL */
};

struct sl_differences {
    struct sl_difference *items;
    uint32_t count;
};

/* Of two components of one role and name. Memory is the pool's. */
void sl_compare_components(struct sl_pool *pool, const struct sl_topology *a, const struct sl_component *one, const struct sl_topology *b,
                           const struct sl_component *other, struct sl_differences *ret_differences);
/* Of the top level. */
void sl_compare_tops(struct sl_pool *pool, const struct sl_topology *a, const struct sl_topology *b, struct sl_differences *ret_differences);

#endif
