/* bind_value.c: one reader a type of setting, in a table by enum sl_field_type.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/config/bind_value.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "runtime/config/condition.h"
#include "runtime/config/kept.h"
#include "runtime/config/nearest.h"
#include "runtime/config/pool.h"
#include "runtime/config/template.h"
#include "runtime/config/units.h"
#include "runtime/config/yaml_json.h"

struct bind_slot { /* what a reader needs to know */
    struct sl_bind *bind;
    const struct sl_field *field;
    const struct sl_yaml *node;
    const char *setting;
};

static const char *const phrases[] = {
    [SL_F_STRING] = "text",
    [SL_F_BOOL] = "true or false",
    [SL_F_U64] = "a whole number",
    [SL_F_BYTES] = "a size such as 128MiB",
    [SL_F_DURATION] = "a duration such as 60s",
    [SL_F_RATE] = "a rate such as 5000/s",
    [SL_F_SHARE] = "a share such as 10%",
    [SL_F_ENUM] = "one of its words",
    [SL_F_STRINGS] = "a list such as [one, two]",
    [SL_F_MAP] = "a mapping such as { name: value }",
    [SL_F_CONDITION] = "a condition such as { level: error }",
    [SL_F_CONDITIONS] = "a mapping of names to conditions such as { errors: { level: error } }",
    [SL_F_FIELD_NAME] = "a field such as user.email",
    [SL_F_TEMPLATE] = "a path such as service={service}/dt={day}",
    [SL_F_SECRET] = "{ secret: { env: NAME } } or { secret: { file: PATH } }",
    [SL_F_INPUT_PATH] = "a path of a file",
    [SL_F_OUTPUT_PATH] = "a path",
    [SL_F_STRUCT] = "a mapping",
    [SL_F_VALUES] = "a mapping such as { name: value }",
};

const char *sl_field_type_phrase(enum sl_field_type type)
{
    assert((size_t)type < sizeof(phrases) / sizeof(phrases[0]));
    return phrases[type];
}

/* "a size such as 128MiB, between 64KiB and 8GiB" */
static const char *slot_right(const struct bind_slot *slot)
{
    const struct sl_field *field = slot->field;
    const char *phrase = sl_field_type_phrase(field->type);

    if (field->min != NULL && field->max != NULL)
        return sl_pool_printf(slot->bind->pool, "write %s, between %s and %s", phrase, field->min,
                              field->max);
    if (field->min != NULL)
        return sl_pool_printf(slot->bind->pool, "write %s, at least %s", phrase, field->min);
    if (field->max != NULL)
        return sl_pool_printf(slot->bind->pool, "write %s, at most %s", phrase, field->max);
    return sl_pool_printf(slot->bind->pool, "write %s", phrase);
}

static bool slot_refuse_at(const struct bind_slot *slot, const struct sl_yaml *node,
                           const char *problem, const char *remedy)
{
    sl_diags_add(slot->bind->diags, false, slot->bind->file, node->line, node->column, remedy,
                 "%s: %s", slot->setting, problem);
    return false;
}

static bool slot_refuse(const struct bind_slot *slot, const char *problem, const char *remedy)
{
    return slot_refuse_at(slot, slot->node, problem, remedy);
}

/* "X is not a size": what was found has another shape than the type. */
static bool slot_wrong_type(const struct bind_slot *slot)
{
    static const char *const nouns[] = {[SL_F_STRING] = "text",
                                        [SL_F_BOOL] = "true or false",
                                        [SL_F_U64] = "a whole number",
                                        [SL_F_BYTES] = "a size",
                                        [SL_F_DURATION] = "a duration",
                                        [SL_F_RATE] = "a rate",
                                        [SL_F_SHARE] = "a share",
                                        [SL_F_ENUM] = "one of the words it may be",
                                        [SL_F_STRINGS] = "a list of texts",
                                        [SL_F_MAP] = "a mapping",
                                        [SL_F_CONDITION] = "a condition",
                                        [SL_F_CONDITIONS] = "a mapping of names to conditions",
                                        [SL_F_FIELD_NAME] = "a field's name",
                                        [SL_F_TEMPLATE] = "a path template",
                                        [SL_F_SECRET] = "a secret",
                                        [SL_F_INPUT_PATH] = "a path",
                                        [SL_F_OUTPUT_PATH] = "a path",
                                        [SL_F_STRUCT] = "a mapping",
                                        [SL_F_VALUES] = "a mapping"};

    return slot_refuse(slot,
                       sl_pool_printf(slot->bind->pool, "%s is not %s",
                                      sl_bind_found(slot->bind, slot->node),
                                      nouns[slot->field->type]),
                       slot_right(slot));
}

static bool slot_is_text(const struct bind_slot *slot)
{
    return slot->node->kind == SL_YAML_SCALAR && !sl_yaml_is_null(slot->node);
}

/* ---- numbers ---- */

union amount {
    uint64_t whole;
    double real;
};

static int amount_scan(enum sl_field_type type, const char *text, union amount *ret,
                       struct sl_err *err)
{
    if (type == SL_F_U64)
        return sl_count_scan(text, &ret->whole, err);
    if (type == SL_F_BYTES)
        return sl_bytes_scan(text, &ret->whole, err);
    if (type == SL_F_DURATION)
        return sl_duration_scan(text, &ret->whole, err);
    return type == SL_F_RATE ? sl_rate_scan(text, &ret->real, err)
                             : sl_share_scan(text, &ret->real, err);
}

static bool amount_below(enum sl_field_type type, const union amount *a, const union amount *b)
{
    return type == SL_F_RATE || type == SL_F_SHARE ? a->real < b->real : a->whole < b->whole;
}

/* The scanners' texts are "what: remedy"; the last ": " parts them, as quoted values come first. */
static bool amount_refuse(const struct bind_slot *slot, const char *text)
{
    const char *colon = strstr(text, ": write ");

    if (colon == NULL)
        return slot_refuse(slot, text, slot_right(slot));
    return slot_refuse(slot, sl_pool_text(slot->bind->pool, text, (size_t)(colon - text)),
                       slot->field->min == NULL && slot->field->max == NULL
                           ? sl_pool_text(slot->bind->pool, colon + 2, strlen(colon + 2))
                           : sl_pool_printf(slot->bind->pool, "%s; %s", colon + 2,
                                            strstr(slot_right(slot), ", ") + 2));
}

/* A row's own bound; that it can be read is proved by the tests of the tables. */
static union amount amount_bound(const struct sl_field *field, const char *text)
{
    union amount bound = {0};
    int status = amount_scan(field->type, text, &bound, NULL);

    assert(status == 0);
    (void)status; /* without asserts */
    return bound;
}

static bool amount_in_bounds(const struct bind_slot *slot, const union amount *amount)
{
    const struct sl_field *field = slot->field;
    bool low = false, high = false;

    if (field->min != NULL) {
        union amount least = amount_bound(field, field->min);
        low = amount_below(field->type, amount, &least);
    }
    if (field->max != NULL) {
        union amount most = amount_bound(field, field->max);
        high = amount_below(field->type, &most, amount);
    }
    if (!low && !high)
        return true;
    return slot_refuse(slot,
                       sl_pool_printf(slot->bind->pool, "%.64s is too %s", slot->node->text,
                                      low ? "small" : "large"),
                       slot_right(slot));
}

static bool read_amount(const struct bind_slot *slot, void *at)
{
    union amount amount = {0};
    struct sl_err err;

    if (!slot_is_text(slot))
        return slot_wrong_type(slot);
    if (slot->field->type == SL_F_U64 && slot->node->quoted)
        return slot_refuse(slot,
                           sl_pool_printf(slot->bind->pool,
                                          "\"%.64s\" in quotes is text, not a number",
                                          slot->node->text),
                           "leave out the quotes");
    if (amount_scan(slot->field->type, slot->node->text, &amount, &err) != 0)
        return amount_refuse(slot, err.text);
    if (!amount_in_bounds(slot, &amount))
        return false;
    memcpy(at, &amount, sizeof(amount));
    return true;
}

/* ---- words ---- */

static bool read_bool(const struct bind_slot *slot, void *at)
{
    bool *value = at;
    bool yes = slot->node->kind == SL_YAML_SCALAR && strcmp(slot->node->text, "true") == 0;
    bool no = slot->node->kind == SL_YAML_SCALAR && strcmp(slot->node->text, "false") == 0;

    if (!yes && !no)
        return slot_wrong_type(slot);
    if (slot->node->quoted)
        return slot_refuse(slot,
                           sl_pool_printf(slot->bind->pool,
                                          "\"%s\" in quotes is text, not true or false",
                                          slot->node->text),
                           "leave out the quotes");
    *value = yes;
    return true;
}

static bool enum_refuse(const struct bind_slot *slot)
{
    struct sl_nearest nearest;
    const char *instead = sl_later_word(slot->field->name, slot->node->text);
    char known[400] = "";
    size_t at = 0;

    if (instead != NULL)
        return slot_refuse(slot,
                           sl_pool_printf(slot->bind->pool,
                                          "\"%s\" is known but not built in this version",
                                          slot->node->text),
                           instead);
    sl_nearest_init(&nearest, slot->node->text);
    for (uint32_t i = 0; slot->field->values[i] != NULL && at < sizeof(known); i++) {
        sl_nearest_offer(&nearest, slot->field->values[i]);
        at += (size_t)snprintf(known + at, sizeof(known) - at, "%s%s", i == 0 ? "" : ", ",
                               slot->field->values[i]);
    }
    return slot_refuse(
        slot, sl_pool_printf(slot->bind->pool, "\"%.64s\" is not allowed", slot->node->text),
        nearest.best != NULL
            ? sl_pool_printf(slot->bind->pool, "did you mean %s? Allowed: %s", nearest.best, known)
            : sl_pool_printf(slot->bind->pool, "allowed: %s", known));
}

static bool read_enum(const struct bind_slot *slot, void *at)
{
    int *value = at;

    if (!slot_is_text(slot))
        return slot_wrong_type(slot);
    for (int i = 0; slot->field->values[i] != NULL; i++)
        if (strcmp(slot->field->values[i], slot->node->text) == 0)
            return *value = i, true;
    return enum_refuse(slot);
}

/* Bounds of a text are its length. */
static bool read_string(const struct bind_slot *slot, void *at)
{
    const char **value = at;
    uint64_t least = 0, most = UINT64_MAX;

    if (!slot_is_text(slot))
        return slot_wrong_type(slot);
    if (slot->field->min != NULL)
        (void)sl_count_scan(slot->field->min, &least, NULL);
    if (slot->field->max != NULL)
        (void)sl_count_scan(slot->field->max, &most, NULL);
    if (strlen(slot->node->text) < least || strlen(slot->node->text) > most)
        return slot_refuse(
            slot,
            sl_pool_printf(slot->bind->pool, "\"%.64s\" is too %s", slot->node->text,
                           strlen(slot->node->text) < least ? "short" : "long"),
            sl_pool_printf(slot->bind->pool, "write %s to %s bytes",
                           slot->field->min == NULL ? "0" : slot->field->min,
                           slot->field->max == NULL ? "any number of" : slot->field->max));
    *value = slot->node->text;
    return true;
}

/* ---- lists and maps ---- */

static bool read_strings(const struct bind_slot *slot, void *at)
{
    struct sl_strings *value = at;
    const struct sl_yaml *list = slot->node;
    const char **items;
    uint64_t least = 0;

    if (list->kind == SL_YAML_SCALAR && !sl_yaml_is_null(list))
        return slot_refuse(slot,
                           sl_pool_printf(slot->bind->pool, "\"%.64s\" is not a list", list->text),
                           sl_pool_printf(slot->bind->pool, "write [%.64s]", list->text));
    if (list->kind != SL_YAML_LIST)
        return slot_wrong_type(slot);
    if (slot->field->min != NULL)
        (void)sl_count_scan(slot->field->min, &least, NULL);
    if (list->count < least)
        return slot_refuse(slot, "the list is too short",
                           sl_pool_printf(slot->bind->pool, "write at least %s", slot->field->min));
    items = sl_pool_alloc(slot->bind->pool, (list->count + 1) * sizeof(*items));
    for (uint32_t i = 0; i < list->count; i++) {
        const struct sl_yaml *item = list->items[i].value;
        if (item->kind != SL_YAML_SCALAR || sl_yaml_is_null(item))
            return slot_refuse_at(slot, item,
                                  sl_pool_printf(slot->bind->pool, "item %u is %s, not text", i + 1,
                                                 sl_bind_found(slot->bind, item)),
                                  slot_right(slot));
        items[i] = item->text;
    }
    *value = (struct sl_strings){items, list->count};
    return true;
}

static bool read_map(const struct bind_slot *slot, void *at)
{
    struct sl_map *value = at;
    const struct sl_yaml *map = slot->node;
    struct sl_pair *items;

    if (map->kind != SL_YAML_MAP)
        return slot_wrong_type(slot);
    items = sl_pool_alloc(slot->bind->pool, (map->count + 1) * sizeof(*items));
    for (uint32_t i = 0; i < map->count; i++) {
        const struct sl_yaml *item = map->items[i].value;
        if (item->kind != SL_YAML_SCALAR || sl_yaml_is_null(item))
            return slot_refuse_at(slot, item,
                                  sl_pool_printf(slot->bind->pool, "%.64s is %s, not text",
                                                 map->items[i].key,
                                                 sl_bind_found(slot->bind, item)),
                                  slot_right(slot));
        items[i] = (struct sl_pair){map->items[i].key, item->text, map->items[i].key_line,
                                    map->items[i].key_column};
    }
    *value = (struct sl_map){items, map->count};
    return true;
}

static bool read_values(const struct bind_slot *slot, void *at)
{
    struct sl_map *value = at;
    const struct sl_yaml *map = slot->node;
    struct sl_pair *items;

    if (map->kind != SL_YAML_MAP)
        return slot_wrong_type(slot);
    items = sl_pool_alloc(slot->bind->pool, (map->count + 1) * sizeof(*items));
    for (uint32_t i = 0; i < map->count; i++)
        items[i] = (struct sl_pair){map->items[i].key,
                                    sl_yaml_json(slot->bind->pool, map->items[i].value),
                                    map->items[i].key_line, map->items[i].key_column};
    *value = (struct sl_map){items, map->count};
    return true;
}

/* ---- conditions, names, templates ---- */

static bool read_condition(const struct bind_slot *slot, void *at)
{
    struct sl_cond **value = at;
    struct sl_cond *cond = sl_cond_parse(slot->bind->pool, slot->node, slot->bind->file,
                                         slot->setting, slot->bind->diags);

    if (cond != NULL)
        *value = cond;
    return cond != NULL;
}

static bool read_conditions(const struct bind_slot *slot, void *at)
{
    struct sl_named_conds *value = at;
    const struct sl_yaml *map = slot->node;
    struct sl_named_cond *items;
    bool fine = true;

    if (map->kind != SL_YAML_MAP)
        return slot_wrong_type(slot);
    if (map->count == 0)
        return slot_refuse(slot, "the mapping is empty", slot_right(slot));
    items = sl_pool_alloc(slot->bind->pool, map->count * sizeof(*items));
    for (uint32_t i = 0; i < map->count; i++) {
        const struct sl_yaml_item *item = &map->items[i];
        const struct sl_yaml place = {.line = item->key_line, .column = item->key_column};
        const char *setting = sl_bind_setting(slot->bind, slot->setting, item->key);
        if (!sl_bind_is_name(item->key))
            fine = slot_refuse_at(
                slot, &place,
                sl_pool_printf(slot->bind->pool, "\"%.64s\" is not a name", item->key),
                "write 1 to 64 of A-Z a-z 0-9 _ -");
        items[i].name = item->key;
        items[i].cond = sl_cond_parse(slot->bind->pool, item->value, slot->bind->file, setting,
                                      slot->bind->diags);
        fine = items[i].cond != NULL && fine;
    }
    *value = (struct sl_named_conds){items, map->count};
    return fine;
}

static bool read_field_name(const struct bind_slot *slot, void *at)
{
    const char **value = at;
    struct sl_name name;
    struct sl_err err;

    if (!slot_is_text(slot))
        return slot_wrong_type(slot);
    if (sl_name_parse(slot->node->text, &name, &err) != 0)
        return amount_refuse(slot, err.text);
    sl_name_fini(&name);
    *value = slot->node->text;
    return true;
}

static bool read_template(const struct bind_slot *slot, void *at)
{
    const struct sl_template **value = at;
    struct sl_err err;

    if (slot->node->kind != SL_YAML_SCALAR || sl_yaml_is_null(slot->node))
        return slot_wrong_type(slot);
    if (sl_template_parse(slot->bind->pool, slot->node->text, value, &err) != 0)
        return amount_refuse(slot, err.text);
    return true;
}

/* ---- secrets and paths ---- */

static const char *path_below(struct sl_bind *bind, const char *path)
{
    if (path[0] == '/' || bind->base_dir == NULL)
        return path;
    return sl_pool_printf(bind->pool, "%s/%s", bind->base_dir, path);
}

static bool secret_refuse(const struct bind_slot *slot)
{
    return slot_refuse(slot, "this is not a secret",
                       slot_right(slot)); /* what was found may be one: it is not printed */
}

static bool read_secret(const struct bind_slot *slot, void *at)
{
    struct sl_secret *value = at;
    const struct sl_yaml *node = slot->node;
    const struct sl_yaml *inner =
        node->kind == SL_YAML_MAP && node->count == 1 && strcmp(node->items[0].key, "secret") == 0
            ? node->items[0].value
            : NULL;
    const struct sl_yaml_item *item;

    if (slot_is_text(slot))
        return *value = (struct sl_secret){.plain = node->text}, true;
    if (inner == NULL || inner->kind != SL_YAML_MAP || inner->count != 1)
        return secret_refuse(slot);
    item = &inner->items[0];
    if (item->value->kind != SL_YAML_SCALAR || item->value->text[0] == '\0')
        return secret_refuse(slot);
    if (strcmp(item->key, "env") == 0)
        *value = (struct sl_secret){.env = item->value->text};
    else if (strcmp(item->key, "file") == 0)
        *value = (struct sl_secret){.file = path_below(slot->bind, item->value->text)};
    else
        return secret_refuse(slot);
    return true;
}

static bool read_output_path(const struct bind_slot *slot, void *at)
{
    const char **value = at;

    if (!slot_is_text(slot))
        return slot_wrong_type(slot);
    if (slot->node->text[0] == '\0')
        return slot_refuse(slot, "the path is empty", slot_right(slot));
    *value = slot->node->text;
    return true;
}

static const char *path_kept(struct sl_bind *bind, const char *written)
{
    return sl_pool_printf(bind->pool, "%s/%s", bind->kept_dir, sl_kept_name(bind->pool, written));
}

/* Of a kept version: the copy; but what changes in place is read there while it is there. */
static const char *path_input(const struct bind_slot *slot)
{
    const char *written = slot->node->text, *path = path_below(slot->bind, written);
    bool in_place = (slot->field->flags & SL_F_IN_PLACE) != 0, copied = (slot->field->flags & SL_F_NOT_KEPT) == 0;

    if (slot->bind->kept_dir == NULL || (in_place && access(path, R_OK) == 0))
        return path;
    return in_place && (!copied || access(path_kept(slot->bind, written), R_OK) != 0) ? path : path_kept(slot->bind, written);
}

static void path_record(const struct bind_slot *slot, const char *path)
{
    struct sl_inputs *inputs = slot->bind->inputs;
    bool kept = (slot->field->flags & SL_F_NOT_KEPT) == 0, in_place = (slot->field->flags & SL_F_IN_PLACE) != 0;

    if (inputs == NULL)
        return;
    inputs->items = sl_pool_grow(slot->bind->pool, inputs->items, inputs->count, sizeof(*inputs->items));
    inputs->items[inputs->count++] =
        (struct sl_input_file){.setting = slot->setting,
                               .written = slot->node->text,
                               .named = sl_kept_plain(slot->bind->pool, slot->node->text),
                               .path = path,
                               .in_place = in_place,
                               .kept = kept ? sl_kept_name(slot->bind->pool, slot->node->text) : NULL,
                               .digest = sl_digest_file(path, in_place)};
}

static bool read_input_path(const struct bind_slot *slot, void *at)
{
    const char **value = at, *path;

    if (!slot_is_text(slot) || slot->node->text[0] == '\0')
        return slot_wrong_type(slot);
    path = path_input(slot);
    if (access(path, R_OK) != 0)
        return slot_refuse(
            slot,
            sl_pool_printf(slot->bind->pool, "unreachable file %.200s: %s", path, strerror(errno)),
            "write the path of a file that this user may read");
    path_record(slot, path);
    *value = path;
    return true;
}

bool sl_bind_value(struct sl_bind *bind, const struct sl_field *field, void *at,
                   const struct sl_yaml *node, const char *setting)
{
    static bool (*const readers[])(const struct bind_slot *slot,
                                   void *at) = {[SL_F_STRING] = read_string,
                                                [SL_F_BOOL] = read_bool,
                                                [SL_F_U64] = read_amount,
                                                [SL_F_BYTES] = read_amount,
                                                [SL_F_DURATION] = read_amount,
                                                [SL_F_RATE] = read_amount,
                                                [SL_F_SHARE] = read_amount,
                                                [SL_F_ENUM] = read_enum,
                                                [SL_F_STRINGS] = read_strings,
                                                [SL_F_MAP] = read_map,
                                                [SL_F_CONDITION] = read_condition,
                                                [SL_F_CONDITIONS] = read_conditions,
                                                [SL_F_FIELD_NAME] = read_field_name,
                                                [SL_F_TEMPLATE] = read_template,
                                                [SL_F_SECRET] = read_secret,
                                                [SL_F_INPUT_PATH] = read_input_path,
                                                [SL_F_OUTPUT_PATH] = read_output_path,
                                                [SL_F_VALUES] = read_values};
    const struct bind_slot slot = {bind, field, node, setting};

    assert(field->type != SL_F_STRUCT);
    return readers[field->type](&slot, at);
}
