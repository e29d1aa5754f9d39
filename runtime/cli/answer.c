/* answer.c: reads a JSON document of the control socket by the configuration's reader.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/cli/answer.h"

#include <stdlib.h>
#include <string.h>

/* The reader fills in ${VAR}: each dollar sign is doubled, which it reads as one. */
void sl_answer_read(struct sl_answer *answer, const char *text, size_t bytes)
{
    char *plain;
    size_t at = 0;

    sl_pool_init(&answer->pool);
    sl_diags_init(&answer->diags);
    answer->root = NULL;
    if (bytes > SL_YAML_BYTES)
        return;
    plain = sl_pool_alloc(&answer->pool, 2 * bytes + 1);
    for (size_t i = 0; i < bytes; i++) {
        if (text[i] == '$')
            plain[at++] = '$';
        plain[at++] = text[i];
    }
    answer->root = sl_yaml_parse(&answer->pool, "answer", plain, at, &answer->diags);
    if (answer->root != NULL && answer->root->kind != SL_YAML_MAP)
        answer->root = NULL;
}

void sl_answer_fini(struct sl_answer *answer)
{
    sl_diags_fini(&answer->diags);
    sl_pool_fini(&answer->pool);
    answer->root = NULL;
}

static const struct sl_yaml *answer_member(const struct sl_yaml *map, const char *key)
{
    const struct sl_yaml_item *item = map == NULL || map->kind != SL_YAML_MAP ? NULL : sl_yaml_find(map, key);

    return item == NULL ? NULL : item->value;
}

const char *sl_answer_text(const struct sl_yaml *map, const char *key)
{
    const struct sl_yaml *value = answer_member(map, key);

    return value == NULL || value->kind != SL_YAML_SCALAR || sl_yaml_is_null(value) ? NULL : value->text;
}

int64_t sl_answer_i64(const struct sl_yaml *map, const char *key)
{
    const char *text = sl_answer_text(map, key);

    return text == NULL ? 0 : strtoll(text, NULL, 10);
}

double sl_answer_f64(const struct sl_yaml *map, const char *key)
{
    const char *text = sl_answer_text(map, key);

    return text == NULL ? 0 : strtod(text, NULL);
}

const struct sl_yaml *sl_answer_map(const struct sl_yaml *map, const char *key)
{
    const struct sl_yaml *value = answer_member(map, key);

    return value == NULL || value->kind != SL_YAML_MAP ? NULL : value;
}

const struct sl_yaml *sl_answer_list(const struct sl_yaml *map, const char *key)
{
    const struct sl_yaml *value = answer_member(map, key);

    return value == NULL || value->kind != SL_YAML_LIST ? NULL : value;
}

const struct sl_yaml *sl_answer_find(const struct sl_yaml *list, const char *key, const char *text)
{
    for (uint32_t i = 0; list != NULL && i < list->count; i++) {
        const char *found = sl_answer_text(list->items[i].value, key);
        if (found != NULL && strcmp(found, text) == 0)
            return list->items[i].value;
    }
    return NULL;
}
