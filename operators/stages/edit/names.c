/* names.c: the fields that settings of editing stages name.
 * SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "operators/stages/edit/fields.h"

static bool names_clash(const struct sl_field_path *a, const struct sl_field_path *b)
{
    uint32_t least = a->segments_count < b->segments_count ? a->segments_count : b->segments_count;

    for (uint32_t i = 0; i < least; i++)
        if (strcmp(a->segments[i], b->segments[i]) != 0)
            return false;
    return true;
}

static int names_one(const char *setting, const char *text, struct sl_name *ret_name, struct sl_err *err)
{
    char path[512];
    int rc, bytes = snprintf(path, sizeof(path), "%s%s", text[0] == '.' || text[0] == '@' ? "" : ".", text);

    if (bytes < 0 || (size_t)bytes >= sizeof(path))
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "%s: a field's name is longer than 500 bytes; write a shorter one", setting);
    if (text[0] == '\0')
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "%s: a field's name is empty; write a name such as user.email", setting);
    if (text[0] == '@')
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0,
                       "%s: %s is known before parsing and is not in the record; name a field of the record", setting, text);
    rc = sl_name_parse(path, ret_name, err);
    if (rc != 0)
        return sl_while(err, "%s: %s", setting, text);
    assert(ret_name->kind == SL_NAME_PATH);
    return 0;
}

int sl_field_names_parse(const char *setting, const char *const *texts, uint32_t count, struct sl_field_names *ret_names,
                         struct sl_err *err)
{
    struct sl_field_names names = {.names = calloc((size_t)count + 1, sizeof(*names.names)),
                                   .paths = calloc((size_t)count + 1, sizeof(*names.paths))};
    int rc = names.names == NULL || names.paths == NULL ? sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory for %u fields", count) : 0;

    while (rc == 0 && names.count < count) {
        uint32_t i = names.count;

        rc = names_one(setting, texts[i], &names.names[i], err);
        if (rc != 0)
            break;
        names.paths[i] = names.names[i].path;
        names.count++;
        for (uint32_t before = 0; rc == 0 && before < i; before++)
            if (names_clash(&names.paths[before], &names.paths[i]))
                rc = sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0,
                             "%s: %s and %s are one field, or one lies in the other; use two stages, one behind the other", setting,
                             texts[before], texts[i]);
    }
    if (rc != 0)
        sl_field_names_fini(&names);
    else
        *ret_names = names;
    return rc;
}

void sl_field_names_fini(struct sl_field_names *names)
{
    for (uint32_t i = 0; i < names->count; i++)
        sl_name_fini(&names->names[i]);
    free(names->names);
    free(names->paths);
    *names = (struct sl_field_names){NULL, NULL, 0};
}

int sl_field_names_of_keys(const char *setting, const struct sl_map *map, struct sl_field_names *ret_names, struct sl_err *err)
{
    const char **texts = calloc((size_t)map->count + 1, sizeof(*texts));
    int rc;

    if (texts == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory for %u fields", map->count);
    for (uint32_t i = 0; i < map->count; i++)
        texts[i] = map->items[i].name;
    rc = sl_field_names_parse(setting, texts, map->count, ret_names, err);
    free(texts);
    return rc;
}
