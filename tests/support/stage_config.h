/* stage_config.h: a kind's settings from a YAML flow mapping, as the configuration binds them; for unit tests. Header only.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_TESTS_SUPPORT_STAGE_CONFIG_H
#define SL_TESTS_SUPPORT_STAGE_CONFIG_H

#include <stdio.h>
#include <stdlib.h>

#include "runtime/config/bind.h"
#include "runtime/config/kind.h"
#include "runtime/config/pool.h"

static struct sl_pool config_pool; /* of all settings made by this test */
static bool config_pool_open;

static inline void config_fini(void)
{
    if (config_pool_open)
        sl_pool_fini(&config_pool);
    config_pool_open = false;
}

/* NULL and a line on stderr where the settings are refused; check() is not asked. */
static inline void *config_bind(const struct sl_head *head, const char *settings)
{
    static const char *const own[] = {"type", "inputs", NULL};
    struct sl_diags diags;
    struct sl_bind bind = {.pool = &config_pool, .diags = &diags, .file = "test", .base_dir = "/tmp"};
    struct sl_bind_part part;
    struct sl_bind_map map = {.parts = &part, .parts_count = 1, .own = own, .setting = "it"};
    const struct sl_yaml *node;
    bool fine;

    if (!config_pool_open)
        sl_pool_init(&config_pool);
    config_pool_open = true;
    part = (struct sl_bind_part){head->fields, sl_pool_alloc(&config_pool, head->config_bytes)};
    sl_diags_init(&diags);
    node = sl_yaml_parse(&config_pool, "test", settings, strlen(settings), &diags);
    fine = node != NULL && sl_bind_fill(&bind, &map, node) && (head->bind == NULL || head->bind(&bind, node, "it", part.config));
    for (uint32_t i = 0; i < diags.count; i++)
        (void)fprintf(stderr, "%s: %s\n", diags.items[i].text, diags.items[i].remedy);
    sl_diags_fini(&diags);
    return fine ? part.config : NULL;
}

static inline void *config_of(const struct sl_head *head, const char *settings)
{
    struct sl_err err;
    void *config = config_bind(head, settings);

    if (config == NULL || (head->check != NULL && head->check(config, &err) != 0))
        abort();
    return config;
}

static inline int config_check(const struct sl_head *head, const char *settings, struct sl_err *err)
{
    void *config = config_bind(head, settings);

    if (config == NULL)
        abort();
    return head->check == NULL ? 0 : head->check(config, err);
}

#endif
