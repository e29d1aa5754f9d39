/* field.c: rows of settings as reference docs and as a hash.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "runtime/config/bind.h"
#include "runtime/config/bind_value.h"
#include "runtime/config/condition.h"
#include "runtime/config/process.h"
#include "runtime/config/template.h"

/* ---- docs ---- */

static void field_print_bounds(const struct sl_field *field, FILE *out)
{
    if (field->type == SL_F_ENUM) {
        for (uint32_t i = 0; field->values[i] != NULL; i++)
            (void)fprintf(out, "%s`%s`", i == 0 ? "" : ", ", field->values[i]);
    } else if (field->min != NULL && field->max != NULL) {
        (void)fprintf(out, "`%s` to `%s`", field->min, field->max);
    } else if (field->min != NULL) {
        (void)fprintf(out, "at least `%s`", field->min);
    } else if (field->max != NULL) {
        (void)fprintf(out, "at most `%s`", field->max);
    }
}

static const char *field_type_word(enum sl_field_type type)
{
    static const char *const words[] = {[SL_F_STRING] = "text",
                                        [SL_F_BOOL] = "true/false",
                                        [SL_F_U64] = "number",
                                        [SL_F_BYTES] = "size",
                                        [SL_F_DURATION] = "duration",
                                        [SL_F_RATE] = "rate",
                                        [SL_F_SHARE] = "share",
                                        [SL_F_ENUM] = "word",
                                        [SL_F_STRINGS] = "list",
                                        [SL_F_MAP] = "mapping",
                                        [SL_F_CONDITION] = "condition",
                                        [SL_F_CONDITIONS] = "named conditions",
                                        [SL_F_FIELD_NAME] = "field",
                                        [SL_F_TEMPLATE] = "path template",
                                        [SL_F_SECRET] = "secret",
                                        [SL_F_INPUT_PATH] = "input path",
                                        [SL_F_OUTPUT_PATH] = "output path",
                                        [SL_F_STRUCT] = "mapping",
                                        [SL_F_VALUES] = "values by name"};
    return words[type];
}

static void field_print(const struct sl_field *field, const char *prefix, FILE *out)
{
    char name[256];

    if ((field->flags & SL_F_OUTDATED) != 0)
        return;
    (void)snprintf(name, sizeof(name), "%s%s", prefix, field->name);
    if (field->type == SL_F_STRUCT) {
        (void)snprintf(name, sizeof(name), "%s%s.", prefix, field->name);
        for (const struct sl_field *sub = field->sub; sub->name != NULL; sub++)
            field_print(sub, name, out);
        return;
    }
    (void)fprintf(out, "| `%s` | %s | ", name, field_type_word(field->type));
    if ((field->flags & SL_F_REQUIRED) != 0)
        (void)fputs("required", out);
    else if (field->def != NULL)
        (void)fprintf(out, "`%s`", field->def[0] == '\0' ? "\"\"" : field->def);
    (void)fputs(" | ", out);
    field_print_bounds(field, out);
    (void)fprintf(out, " | %s |\n", field->help == NULL ? "" : field->help);
}

void sl_fields_print(const struct sl_field *fields, FILE *out)
{
    (void)fputs("| setting | type | default | allowed | what it does |\n|---|---|---|---|---|\n",
                out);
    for (; fields != NULL && fields->name != NULL; fields++)
        field_print(fields, "", out);
}

/* ---- hash ---- */

static uint64_t hash_bytes(const void *data, size_t bytes, uint64_t seed)
{
    return XXH3_64bits_withSeed(data, bytes, seed * 31 + bytes + 1);
}

static uint64_t hash_text(const char *text, uint64_t seed)
{
    return text == NULL ? hash_bytes("", 0, seed ^ 0x5a5a) : hash_bytes(text, strlen(text), seed);
}

/* A secret's file is hashed as the topology names it, so that moving the folder changes nothing. */
static uint64_t hash_path(const char *path, const char *base_dir, uint64_t seed)
{
    size_t bytes = base_dir == NULL ? 0 : strlen(base_dir);

    if (path != NULL && bytes > 0 && strncmp(path, base_dir, bytes) == 0 && path[bytes] == '/')
        path += bytes + 1;
    return hash_text(path, seed);
}

static uint64_t hash_strings(const struct sl_strings *strings, uint64_t seed)
{
    for (uint32_t i = 0; i < strings->count; i++)
        seed = hash_text(strings->items[i], seed);
    return hash_bytes(&strings->count, sizeof(strings->count), seed);
}

static uint64_t hash_map(const struct sl_map *map, uint64_t seed)
{
    for (uint32_t i = 0; i < map->count; i++)
        seed = hash_text(map->items[i].value, hash_text(map->items[i].name, seed));
    return hash_bytes(&map->count, sizeof(map->count), seed);
}

static uint64_t hash_conds(const struct sl_named_conds *conds, uint64_t seed)
{
    for (uint32_t i = 0; i < conds->count; i++)
        seed = sl_cond_hash(conds->items[i].cond, hash_text(conds->items[i].name, seed));
    return hash_bytes(&conds->count, sizeof(conds->count), seed);
}

/* One that cannot be fetched here counts as empty: it is asked for again where it is used. */
static uint64_t hash_secret_now(const struct sl_secret *secret, uint64_t seed)
{
    char *text = NULL;

    if ((secret->env == NULL && secret->file == NULL) || sl_secret_resolve(secret, &text, NULL) != 0)
        return hash_text(NULL, seed);
    seed = hash_text(text, seed);
    explicit_bzero(text, strlen(text));
    free(text);
    return seed;
}

uint64_t sl_secret_hash(const struct sl_secret *secret, const char *base_dir, bool now, uint64_t seed)
{
    seed = hash_text(secret->plain, hash_path(secret->file, base_dir, hash_text(secret->env, seed)));
    return now ? hash_secret_now(secret, seed) : seed;
}

static uint64_t hash_strings_below(const struct sl_strings *strings, const char *base_dir, uint64_t seed)
{
    for (uint32_t i = 0; i < strings->count; i++)
        if (strings->items[i][0] != '/')
            return hash_text(base_dir, seed);
    return seed;
}

static uint64_t hash_field(const struct sl_field *field, const void *at, const char *base_dir, bool now, uint64_t seed)
{
    const struct sl_cond *cond;
    const struct sl_template *template;
    const char *text;

    switch (field->type) {
    case SL_F_STRING:
    case SL_F_FIELD_NAME:
    case SL_F_OUTPUT_PATH:
        return memcpy(&text, at, sizeof(text)), hash_text(text, seed);
    case SL_F_INPUT_PATH:
        return memcpy(&text, at, sizeof(text)), hash_text(text == NULL ? NULL : "set", seed);
    case SL_F_BOOL:
        return hash_bytes(at, sizeof(bool), seed);
    case SL_F_ENUM:
        return hash_bytes(at, sizeof(int), seed);
    case SL_F_U64:
    case SL_F_BYTES:
    case SL_F_DURATION:
    case SL_F_RATE:
    case SL_F_SHARE:
        return hash_bytes(at, sizeof(uint64_t), seed);
    case SL_F_STRINGS:
        if (now && (field->flags & SL_F_BELOW_BASE) != 0)
            seed = hash_strings_below(at, base_dir, seed);
        return hash_strings(at, seed);
    case SL_F_MAP:
    case SL_F_VALUES:
        return hash_map(at, seed);
    case SL_F_CONDITION:
        return memcpy(&cond, at, sizeof(cond)),
               cond == NULL ? hash_text(NULL, seed) : sl_cond_hash(cond, seed);
    case SL_F_CONDITIONS:
        return hash_conds(at, seed);
    case SL_F_TEMPLATE:
        return memcpy(&template, at, sizeof(template)),
               hash_text(template == NULL ? NULL : template->text, seed);
    case SL_F_SECRET:
        return sl_secret_hash(at, base_dir, now, seed);
    case SL_F_STRUCT:
        return sl_fields_hash(field->sub, at, base_dir, now, seed);
    }
    return seed;
}

uint64_t sl_fields_hash(const struct sl_field *fields, const void *config, const char *base_dir, bool now, uint64_t seed)
{
    for (; fields != NULL && fields->name != NULL; fields++)
        seed = hash_field(fields, (const char *)config + fields->offset, base_dir, now, hash_text(fields->name, seed));
    return seed;
}
