/* bind.c: mappings into structs by rows: unknown keys, missing ones, and the values through
 * bind_value.h. Every problem is reported, not only the first.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/config/bind.h"

#include <assert.h>
#include <string.h>

#include "runtime/config/bind_value.h"
#include "runtime/config/nearest.h"
#include "runtime/config/pool.h"

const char *sl_bind_setting(struct sl_bind *bind, const char *prefix, const char *name)
{
    return prefix[0] == '\0' ? name : sl_pool_printf(bind->pool, "%s.%s", prefix, name);
}

const char *sl_bind_found(struct sl_bind *bind, const struct sl_yaml *node)
{
    if (node->kind != SL_YAML_SCALAR)
        return node->kind == SL_YAML_LIST ? "a list" : "a mapping";
    return sl_yaml_is_null(node) ? "nothing" : sl_pool_printf(bind->pool, "\"%.64s\"", node->text);
}

bool sl_bind_is_name(const char *text)
{
    size_t bytes = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-");

    return bytes >= 1 && bytes <= 64 && text[bytes] == '\0';
}

/* ---- unknown keys ---- */

static bool bind_is_own(const struct sl_bind_map *map, const char *key)
{
    for (uint32_t i = 0; map->own != NULL && map->own[i] != NULL; i++)
        if (strcmp(map->own[i], key) == 0)
            return true;
    return map->extensions && strncmp(key, "x-", 2) == 0;
}

static bool bind_is_field(const struct sl_bind_map *map, const char *key)
{
    for (uint32_t p = 0; p < map->parts_count; p++)
        for (const struct sl_field *field = map->parts[p].fields;
             field != NULL && field->name != NULL; field++)
            if (strcmp(field->name, key) == 0)
                return true;
    return false;
}

static const struct sl_later *bind_later(const struct sl_bind_map *map, const char *key)
{
    for (const struct sl_later *later = map->later; later != NULL && later->name != NULL; later++)
        if (strcmp(later->name, key) == 0)
            return later;
    return NULL;
}

struct bind_known {
    char text[600];
    size_t at;
    struct sl_nearest nearest;
};

static void bind_offer(struct bind_known *known, const char *name)
{
    int bytes;

    sl_nearest_offer(&known->nearest, name);
    if (known->at >= sizeof(known->text))
        return;
    bytes = snprintf(known->text + known->at, sizeof(known->text) - known->at, "%s%s",
                     known->at == 0 ? "" : ", ", name);
    known->at += (size_t)bytes;
}

static void bind_offer_all(struct bind_known *known, const struct sl_bind_map *map)
{
    for (uint32_t i = 0; map->own != NULL && map->own[i] != NULL; i++)
        bind_offer(known, map->own[i]);
    for (uint32_t p = 0; p < map->parts_count; p++)
        for (const struct sl_field *field = map->parts[p].fields;
             field != NULL && field->name != NULL; field++)
            if ((field->flags & SL_F_OUTDATED) == 0)
                bind_offer(known, field->name);
}

static void bind_unknown(struct sl_bind *bind, const struct sl_bind_map *map,
                         const struct sl_yaml_item *item)
{
    const struct sl_later *later = bind_later(map, item->key);
    const char *where =
        map->setting[0] == '\0' ? "" : sl_pool_printf(bind->pool, "%s: ", map->setting);
    struct bind_known known = {.at = 0};
    const char *remedy;

    if (later != NULL) {
        sl_diags_add(bind->diags, false, bind->file, item->key_line, item->key_column,
                     later->instead, "%s\"%s\" is known but not built in this version", where,
                     item->key);
        return;
    }
    sl_nearest_init(&known.nearest, item->key);
    bind_offer_all(&known, map);
    remedy = known.nearest.best != NULL
                 ? sl_pool_printf(bind->pool, "did you mean \"%s\"? Allowed: %s",
                                  known.nearest.best, known.text)
                 : sl_pool_printf(bind->pool, "allowed: %s", known.text);
    sl_diags_add(bind->diags, false, bind->file, item->key_line, item->key_column, remedy,
                 "%sunknown key \"%.64s\"", where, item->key);
}

/* ---- known ones ---- */

static bool bind_struct(struct sl_bind *bind, const struct sl_field *field, char *at,
                        const struct sl_yaml *node, const char *setting)
{
    const struct sl_bind_part part = {field->sub, at};
    const struct sl_bind_map map = {.parts = &part, .parts_count = 1, .setting = setting};

    return sl_bind_fill(bind, &map, node);
}

/* Defaults are written in our own tables: one that does not read is our mistake, not the user's. */
static void bind_default(struct sl_bind *bind, const struct sl_field *field, char *at)
{
    struct sl_diags diags;
    struct sl_bind quiet = *bind;
    struct sl_yaml scalar = {.kind = SL_YAML_SCALAR, .line = 1, .column = 1, .text = field->def};
    bool list = field->type == SL_F_STRINGS || field->type == SL_F_MAP ||
                field->type == SL_F_CONDITION || field->type == SL_F_CONDITIONS ||
                field->type == SL_F_VALUES;
    const struct sl_yaml *node;
    bool fine;

    sl_diags_init(&diags);
    quiet.diags = &diags;
    scalar.quoted = field->def[0] == '\0';
    node = list ? sl_yaml_parse(bind->pool, field->name, field->def, strlen(field->def), &diags)
                : &scalar;
    fine = node != NULL && sl_bind_value(&quiet, field, at, node, field->name);
    if (!fine && diags.count > 0) /* the assert alone would not say which row */
        (void)fprintf(stderr, "sluice: the default of %s: %s\n", field->name, diags.items[0].text);
    assert(fine);
    sl_diags_fini(&diags);
}

static void bind_missing(struct sl_bind *bind, const struct sl_field *field,
                         const struct sl_yaml *map, const char *setting)
{
    sl_diags_add(bind->diags, false, bind->file, map == NULL ? 0 : map->line,
                 map == NULL ? 0 : map->column,
                 sl_pool_printf(bind->pool, "add %s: %s", field->name, field->help),
                 "%s is missing", setting);
}

static bool bind_field(struct sl_bind *bind, const struct sl_field *field, void *config,
                       const struct sl_yaml *map, const char *prefix)
{
    const struct sl_yaml_item *item = map == NULL ? NULL : sl_yaml_find(map, field->name);
    const char *setting = sl_bind_setting(bind, prefix, field->name);
    char *at = (char *)config + field->offset;

    if (item == NULL && (field->flags & SL_F_REQUIRED) != 0)
        return bind_missing(bind, field, map, setting), false;
    if (field->type == SL_F_STRUCT)
        return bind_struct(bind, field, at, item == NULL ? NULL : item->value, setting);
    if (item == NULL)
        return field->def == NULL ? true : (bind_default(bind, field, at), true);
    if ((field->flags & SL_F_OUTDATED) != 0)
        sl_diags_add(bind->diags, true, bind->file, item->key_line, item->key_column, field->help,
                     "%s is outdated", setting);
    return sl_bind_value(bind, field, at, item->value, setting);
}

bool sl_bind_fill(struct sl_bind *bind, const struct sl_bind_map *map, const struct sl_yaml *node)
{
    bool fine = true;

    if (node != NULL && node->kind != SL_YAML_MAP) {
        sl_diags_add(bind->diags, false, bind->file, node->line, node->column,
                     "write a mapping: KEY: VALUE", "%s%s is not a mapping",
                     map->setting[0] == '\0' ? ""
                                             : sl_pool_printf(bind->pool, "%s: ", map->setting),
                     sl_bind_found(bind, node));
        return false;
    }
    for (uint32_t i = 0; node != NULL && i < node->count; i++) {
        if (bind_is_own(map, node->items[i].key) || bind_is_field(map, node->items[i].key))
            continue;
        bind_unknown(bind, map, &node->items[i]);
        fine = false;
    }
    for (uint32_t p = 0; p < map->parts_count; p++)
        for (const struct sl_field *field = map->parts[p].fields;
             field != NULL && field->name != NULL; field++)
            fine = bind_field(bind, field, map->parts[p].config, node, map->setting) && fine;
    return fine;
}
