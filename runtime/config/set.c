/* set.c: --set PATH=VALUE into a parsed topology. The tree is shared by aliases, so the nodes along the path are copied.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/config/set.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/config/nearest.h"
#include "runtime/config/pool.h"

enum { SET_STEPS_MAX = SL_YAML_DEPTH };

struct set_job {
    struct sl_pool *pool;
    struct sl_diags *diags;
    const char *text; /* PATH=VALUE */
    const char *steps[SET_STEPS_MAX];
    uint32_t count, line;
    const struct sl_yaml *value;
};

/* The text as it may be shown: a value might be a secret. */
static const char *set_shown(struct sl_pool *pool, const char *text)
{
    return sl_pool_printf(pool, "--set %.*s", (int)(strcspn(text, "=") < 200 ? strcspn(text, "=") : 200), text);
}

static bool set_refuse(struct set_job *job, const char *remedy, const char *problem)
{
    sl_diags_add(job->diags, false, set_shown(job->pool, job->text), 0, 0, remedy, "%s", problem);
    return false;
}

/* ---- PATH=VALUE ---- */

/* Steps end at dots; \. is a dot and \\ a backslash. *ret_value: behind the =. */
static bool set_split(struct set_job *job, const char **ret_value)
{
    const char *text = job->text, *equals = strchr(text, '=');
    char *step = sl_pool_alloc(job->pool, strlen(text) + 1);
    size_t at = 0;

    if (equals == NULL || equals == text)
        return set_refuse(job, "write --set PATH=VALUE, such as --set sinks.landing.level=3",
                          equals == NULL ? "there is no = in it" : "there is no path before the =");
    for (; text <= equals; text++) {
        if (*text == '\\' && (text[1] == '.' || text[1] == '\\')) {
            step[at++] = *++text;
        } else if (*text != '.' && text != equals) {
            step[at++] = *text;
        } else if (at == 0 || job->count == SET_STEPS_MAX) {
            return set_refuse(job, "write names with one dot between them, such as sinks.landing.level",
                              at == 0 ? "a name in the path is empty" : "the path has more than 64 names");
        } else {
            job->steps[job->count++] = sl_pool_text(job->pool, step, at);
            at = 0;
        }
    }
    *ret_value = equals + 1;
    return true;
}

/* Every node of the value says that it came from this set. */
static void set_mark(const struct set_job *job, struct sl_yaml *node)
{
    node->line = job->line;
    node->column = 1;
    for (uint32_t i = 0; i < node->count; i++) {
        struct sl_yaml *below = sl_pool_alloc(job->pool, sizeof(*below));
        *below = *node->items[i].value; /* aliases may share it */
        if (below->count > 0) {
            struct sl_yaml_item *items = sl_pool_alloc(job->pool, below->count * sizeof(*items));
            memcpy(items, below->items, below->count * sizeof(*items));
            below->items = items;
        }
        set_mark(job, below);
        node->items[i].value = below;
        node->items[i].key_line = job->line;
        node->items[i].key_column = 1;
    }
}

/* VALUE is YAML; what is wrong with it is said of the set. */
static bool set_value(struct set_job *job, const char *text)
{
    struct sl_yaml *node = sl_pool_alloc(job->pool, sizeof(*node));
    uint32_t first = job->diags->count;
    const struct sl_yaml *parsed;

    *node = (struct sl_yaml){.kind = SL_YAML_SCALAR, .quoted = true, .text = "", .weight = 1};
    if (text[0] != '\0') {
        parsed = sl_yaml_parse(job->pool, set_shown(job->pool, job->text), text, strlen(text), job->diags);
        for (uint32_t i = first; i < job->diags->count; i++)
            job->diags->items[i].line = 0; /* of a text of one line */
        if (parsed == NULL)
            return false;
        *node = *parsed;
    }
    set_mark(job, node);
    job->value = node;
    return true;
}

/* ---- into the tree ---- */

static const char *set_path(const struct set_job *job, uint32_t steps)
{
    const char *path = "";

    for (uint32_t i = 0; i < steps; i++)
        path = sl_pool_printf(job->pool, "%s%s%.80s", path, i == 0 ? "" : ".", job->steps[i]);
    return path;
}

/* sources, operators and sinks: --set changes those that are there. */
static bool set_is_section(const char *word)
{
    return strcmp(word, "sources") == 0 || strcmp(word, "operators") == 0 || strcmp(word, "sinks") == 0;
}

static bool set_unknown(struct set_job *job, const struct sl_yaml *map, uint32_t at)
{
    struct sl_nearest nearest;
    const char *known = "";

    sl_nearest_init(&nearest, job->steps[at]);
    for (uint32_t i = 0; map != NULL && i < map->count; i++) {
        sl_nearest_offer(&nearest, map->items[i].key);
        if (i < 20)
            known = sl_pool_printf(job->pool, "%s%s%s", known, i == 0 ? "" : ", ", map->items[i].key);
        else if (i == 20)
            known = sl_pool_printf(job->pool, "%s, …", known);
    }
    return set_refuse(job,
                      nearest.best != NULL ? sl_pool_printf(job->pool, "did you mean %s? There are: %s", nearest.best, known)
                      : known[0] != '\0'   ? sl_pool_printf(job->pool, "there are: %s; new ones are added in the file", known)
                                           : "add it in the file",
                      sl_pool_printf(job->pool, "there is no \"%.64s\" below %s:", job->steps[at], job->steps[0]));
}

static const struct sl_yaml *set_empty(const struct set_job *job)
{
    struct sl_yaml *node = sl_pool_alloc(job->pool, sizeof(*node));

    *node = (struct sl_yaml){.kind = SL_YAML_MAP, .weight = 1, .line = job->line, .column = 1};
    return node;
}

static struct sl_yaml *set_copy(const struct set_job *job, const struct sl_yaml *from, uint32_t more)
{
    struct sl_yaml *node = sl_pool_alloc(job->pool, sizeof(*node));

    *node = *from;
    node->items = sl_pool_alloc(job->pool, (node->count + more + 1) * sizeof(*node->items));
    if (from->count > 0)
        memcpy(node->items, from->items, from->count * sizeof(*node->items));
    return node;
}

static const struct sl_yaml *set_into(struct set_job *job, const struct sl_yaml *node, uint32_t at);

static const struct sl_yaml *set_into_list(struct set_job *job, const struct sl_yaml *node, uint32_t at)
{
    const char *step = job->steps[at];
    uint32_t index = strspn(step, "0123456789") == strlen(step) && strlen(step) < 8 ? (uint32_t)strtoul(step, NULL, 10) : UINT32_MAX;
    struct sl_yaml *copy;

    if (index >= node->count) {
        (void)set_refuse(job,
                         node->count == 0 ? sl_pool_printf(job->pool, "write the whole list: %s=[…]", set_path(job, at))
                                          : sl_pool_printf(job->pool, "write a number from 0 to %u, or the whole list: %s=[…]",
                                                           node->count - 1, set_path(job, at)),
                         sl_pool_printf(job->pool, "%s is a list of %u, \"%.64s\" is none of its places", set_path(job, at), node->count,
                                        step));
        return NULL;
    }
    copy = set_copy(job, node, 0);
    copy->items[index].value = set_into(job, copy->items[index].value, at + 1);
    return copy->items[index].value == NULL ? NULL : copy;
}

static const struct sl_yaml *set_into_map(struct set_job *job, const struct sl_yaml *node, uint32_t at)
{
    struct sl_yaml *copy = set_copy(job, node, 1);
    uint32_t i = 0;

    while (i < copy->count && strcmp(copy->items[i].key, job->steps[at]) != 0)
        i++;
    if (i == copy->count && at == 1 && set_is_section(job->steps[0]))
        return set_unknown(job, node, at), NULL;
    if (i == copy->count)
        copy->items[copy->count++] =
            (struct sl_yaml_item){.key = job->steps[at], .key_line = job->line, .key_column = 1, .value = set_empty(job)};
    copy->items[i].merged = false;
    if (at + 1 == job->count)
        copy->items[i].key_line = job->line;
    copy->items[i].value = set_into(job, copy->items[i].value, at + 1);
    return copy->items[i].value == NULL ? NULL : copy;
}

/* `node` with the value at steps[at …] in it. A setting that says nothing becomes a mapping where the path goes on. */
static const struct sl_yaml *set_into(struct set_job *job, const struct sl_yaml *node, uint32_t at)
{
    if (at == job->count)
        return job->value;
    if (node->kind == SL_YAML_SCALAR && sl_yaml_is_null(node))
        node = set_empty(job);
    if (node->kind == SL_YAML_MAP)
        return set_into_map(job, node, at);
    if (node->kind == SL_YAML_LIST)
        return set_into_list(job, node, at);
    (void)set_refuse(job, sl_pool_printf(job->pool, "write --set %s=VALUE", set_path(job, at)),
                     sl_pool_printf(job->pool, "%s is a single value, there is no \"%.64s\" below it", set_path(job, at), job->steps[at]));
    return NULL;
}

const struct sl_yaml *sl_set_apply(struct sl_pool *pool, const struct sl_yaml *root, const struct sl_strings *sets, struct sl_diags *diags)
{
    bool fine = true;

    for (uint32_t i = 0; i < sets->count; i++) {
        struct set_job job = {.pool = pool, .diags = diags, .text = sets->items[i], .line = (uint32_t)SL_SET_LINE + i};
        const char *value = "";
        const struct sl_yaml *next = NULL;
        if (i == SL_SETS_MAX)
            return set_refuse(&job, "write them into the file", "this is --set number 1001"), NULL;
        if (set_split(&job, &value) && set_value(&job, value))
            next = set_into(&job, root, 0);
        fine = fine && next != NULL;
        root = next == NULL ? root : next;
    }
    return fine ? root : NULL;
}

void sl_set_name_diags(const struct sl_strings *sets, struct sl_diags *diags, uint32_t from)
{
    for (uint32_t i = from; i < diags->count; i++) {
        struct sl_diag *diag = &diags->items[i];
        uint32_t index = diag->line - (uint32_t)SL_SET_LINE;
        char *name = NULL;
        if (diag->line < (uint32_t)SL_SET_LINE || index >= sets->count)
            continue;
        diag->line = diag->column = 0;
        if (asprintf(&name, "--set %.*s", (int)strcspn(sets->items[index], "="), sets->items[index]) < 0)
            continue;
        free(diag->file);
        diag->file = name;
    }
}
