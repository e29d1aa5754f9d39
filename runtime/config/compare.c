/* compare.c: two components' settings, row by row: bound values say whether they differ, the files say how.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/config/compare.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "runtime/base/buf.h"
#include "runtime/base/json_out.h"
#include "runtime/config/bind.h"
#include "runtime/config/pool.h"
#include "runtime/config/yaml.h"

enum { COMPARE_TEXT_BYTES = 200 };

struct compare_side {
    const struct sl_topology *topology;
    const struct sl_component *component; /* NULL: the top level */
    const void *config;
    const struct sl_yaml *written; /* the mapping that the rows are keys of, or NULL */
};

struct compare_job {
    struct sl_pool *pool;
    struct sl_differences *out;
};

static void compare_add(struct compare_job *job, struct sl_difference difference)
{
    struct sl_differences *out = job->out;

    out->items = sl_pool_grow(job->pool, out->items, out->count, sizeof(*out->items));
    out->items[out->count++] = difference;
}

/* ---- values as text ---- */

/* Of keys that no table describes. */
static bool compare_is_private(const char *key)
{
    static const char *const words[] = {"secret", "password", "passwd", "token", "authorization", "cookie", "key", "credential", "salt"};

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        if (strcasestr(key, words[i]) != NULL)
            return true;
    return false;
}

/* Words as they are, all else in quotes; who logs in, in a URL, is left out. */
static void compare_scalar(struct sl_buf *buf, const struct sl_yaml *node)
{
    const char *text = node->text, *scheme = strstr(text, "://");
    const char *at = scheme == NULL ? NULL : memchr(scheme + 3, '@', strcspn(scheme + 3, "/?# "));
    struct sl_buf shown;

    sl_buf_init(&shown);
    if (at != NULL)
        sl_buf_printf(&shown, "%.*s(hidden)%s", (int)(scheme + 3 - text), text, at);
    else
        sl_buf_text(&shown, text);
    if (text[0] == '\0' || strpbrk(text, " ,[]{}\"'\\\n\t#") != NULL)
        sl_json_quote(buf, sl_slice_of(sl_buf_str(&shown)));
    else
        sl_buf_text(buf, sl_buf_str(&shown));
    sl_buf_fini(&shown);
}

static void compare_value(struct sl_buf *buf, const struct sl_yaml *node)
{
    bool map = node->kind == SL_YAML_MAP;

    if (node->kind == SL_YAML_SCALAR) {
        compare_scalar(buf, node);
        return;
    }
    sl_buf_text(buf, map ? "{" : "[");
    for (uint32_t i = 0; i < node->count; i++) {
        sl_buf_text(buf, i > 0 ? ", " : map ? " " : "");
        if (map)
            sl_buf_printf(buf, "%s: ", node->items[i].key);
        if (map && compare_is_private(node->items[i].key))
            sl_buf_text(buf, "(hidden)");
        else
            compare_value(buf, node->items[i].value);
    }
    sl_buf_text(buf, map ? " }" : "]");
}

static uint32_t compare_lines(const char *text)
{
    uint32_t lines = 1;

    for (; *text != '\0'; text++)
        lines += *text == '\n' && text[1] != '\0';
    return lines;
}

static const char *compare_text(struct compare_job *job, const struct sl_yaml *node)
{
    struct sl_buf buf;
    const char *text;

    if (node->kind == SL_YAML_SCALAR && strchr(node->text, '\n') != NULL)
        return sl_pool_printf(job->pool, "a text of %u lines", compare_lines(node->text));
    sl_buf_init(&buf);
    compare_value(&buf, node);
    text = buf.bytes <= COMPARE_TEXT_BYTES ? sl_pool_text(job->pool, sl_buf_str(&buf), buf.bytes)
                                           : sl_pool_printf(job->pool, "%.*s…", COMPARE_TEXT_BYTES, sl_buf_str(&buf));
    sl_buf_fini(&buf);
    return text;
}

static const struct sl_yaml *compare_below(const struct sl_yaml *map, const char *key)
{
    const struct sl_yaml_item *item = map == NULL ? NULL : sl_yaml_find(map, key);

    return item == NULL ? NULL : item->value;
}

static const char *compare_said(struct compare_job *job, const struct sl_field *field, const struct sl_yaml *node)
{
    if (node != NULL)
        return compare_text(job, node);
    return field->def == NULL ? "not set" : sl_pool_printf(job->pool, "%s (default)", field->def[0] == '\0' ? "\"\"" : field->def);
}

/* ---- settings ---- */

/* Another table's, so which of them are secrets is not known here. */
static void compare_hidden(struct compare_job *job, const struct sl_yaml *one, const struct sl_yaml *other, const char *setting)
{
    static const struct sl_yaml none = {.kind = SL_YAML_MAP};
    const struct sl_yaml *maps[] = {one == NULL ? &none : one, other == NULL ? &none : other};

    for (uint32_t m = 0; m < 2; m++)
        for (uint32_t i = 0; i < maps[m]->count; i++) {
            const struct sl_yaml *here = maps[m]->items[i].value, *there = compare_below(maps[1 - m], maps[m]->items[i].key);
            struct sl_buf texts[2];
            bool same;
            if (there != NULL && m == 1)
                continue; /* said already */
            sl_buf_init(&texts[0]);
            sl_buf_init(&texts[1]);
            compare_value(&texts[0], here);
            compare_value(&texts[1], there == NULL ? &none : there);
            same = there != NULL && strcmp(sl_buf_str(&texts[0]), sl_buf_str(&texts[1])) == 0;
            sl_buf_fini(&texts[0]);
            sl_buf_fini(&texts[1]);
            if (!same)
                compare_add(job, (struct sl_difference){.setting = sl_pool_printf(job->pool, "%s.%s", setting, maps[m]->items[i].key)});
        }
}

static bool compare_differs(const struct compare_side *a, const struct compare_side *b, const struct sl_field *field)
{
    const struct sl_field row[] = {*field, {0}};

    return sl_fields_hash(row, a->config, a->topology->base_dir, true, 1) != sl_fields_hash(row, b->config, b->topology->base_dir, true, 1);
}

/* Of files below the topology's folder. */
static const char *compare_folder(struct compare_job *job, const char *text, const struct compare_side *side)
{
    return sl_pool_printf(job->pool, "%s in %s", text, side->topology->base_dir);
}

static void compare_row(struct compare_job *job, const struct compare_side *a, const struct compare_side *b, const struct sl_field *field,
                        const char *setting)
{
    const struct sl_yaml *one = compare_below(a->written, field->name), *other = compare_below(b->written, field->name);
    struct sl_difference difference = {.setting = setting};
    bool path = field->type == SL_F_INPUT_PATH;

    if (!path && !compare_differs(a, b, field))
        return;
    if (field->type == SL_F_VALUES && a->component != NULL && a->component->head->bind != NULL) {
        compare_hidden(job, one, other, setting);
        return;
    }
    if (field->type != SL_F_SECRET) {
        difference.from = compare_said(job, field, one);
        difference.to = compare_said(job, field, other);
    }
    if (difference.from != NULL && strcmp(difference.from, difference.to) == 0) {
        if (path)
            return;
        if ((field->flags & SL_F_BELOW_BASE) != 0) {
            difference.from = compare_folder(job, difference.from, a);
            difference.to = compare_folder(job, difference.to, b);
        } else {
            difference.from = difference.to = NULL; /* what differs is hidden */
        }
    }
    compare_add(job, difference);
}

static void compare_rows(struct compare_job *job, const struct sl_field *fields, const struct compare_side *a, const struct compare_side *b,
                         const char *prefix)
{
    for (const struct sl_field *field = fields; field != NULL && field->name != NULL; field++) {
        const char *setting = prefix[0] == '\0' ? field->name : sl_pool_printf(job->pool, "%s.%s", prefix, field->name);
        struct compare_side below[2] = {*a, *b};
        if (field->type != SL_F_STRUCT) {
            compare_row(job, a, b, field, setting);
            continue;
        }
        for (uint32_t i = 0; i < 2; i++) {
            below[i].config = (const char *)below[i].config + field->offset;
            below[i].written = compare_below(below[i].written, field->name);
        }
        compare_rows(job, field->sub, &below[0], &below[1], setting);
    }
}

/* ---- the content of files ---- */

static const char *compare_prefix(struct sl_pool *pool, const struct sl_topology *topology, const struct sl_component *component)
{
    static const char *const sections[] = {[SL_SOURCE] = "sources", [SL_OPERATOR] = "operators", [SL_SINK] = "sinks"};

    if (component == &topology->components[topology->dead_letters])
        return sl_pool_printf(pool, "%s.", component->name);
    return sl_pool_printf(pool, "%s.%s.", sections[component->role], component->name);
}

static void compare_files(struct compare_job *job, const struct compare_side *a, const struct compare_side *b)
{
    const char *prefix = compare_prefix(job->pool, a->topology, a->component);
    size_t bytes = strlen(prefix);

    for (uint32_t i = 0; i < a->topology->inputs_count; i++) {
        const struct sl_input_file *one = &a->topology->inputs[i];
        if (strncmp(one->setting, prefix, bytes) != 0)
            continue;
        for (uint32_t k = 0; k < b->topology->inputs_count; k++) {
            const struct sl_input_file *other = &b->topology->inputs[k];
            if (strcmp(one->setting, other->setting) == 0 && one->digest != other->digest)
                compare_add(job, (struct sl_difference){.setting = one->setting + bytes, .content = other->written});
        }
    }
}

/* ---- the whole ---- */

static bool compare_same_inputs(const struct compare_side *a, const struct compare_side *b)
{
    if (a->component->inputs_count != b->component->inputs_count)
        return false;
    for (uint32_t i = 0; i < a->component->inputs_count; i++) {
        const struct sl_input *one = &a->component->inputs[i], *other = &b->component->inputs[i];
        if (one->port != other->port ||
            strcmp(a->topology->components[one->component].name, b->topology->components[other->component].name) != 0)
            return false;
    }
    return true;
}

static const char *compare_written(struct compare_job *job, const struct compare_side *side, const char *key)
{
    const struct sl_yaml *node = compare_below(side->written, key);

    return node == NULL ? "not set" : compare_text(job, node);
}

/* What every sink has; of two with one digest only what a deployment alone reads can differ. */
static void compare_common(struct compare_job *job, struct compare_side a, struct compare_side b, bool same)
{
    a.config = a.component->common;
    b.config = b.component->common;
    for (const struct sl_field *field = sl_sink_common_fields; field->name != NULL; field++) {
        const struct sl_field row[] = {*field, {0}};
        if (!same || strcmp(field->name, "was") == 0 || strcmp(field->name, "require") == 0)
            compare_rows(job, row, &a, &b, "");
    }
}

void sl_compare_components(struct sl_pool *pool, const struct sl_topology *a, const struct sl_component *one, const struct sl_topology *b,
                           const struct sl_component *other, struct sl_differences *ret_differences)
{
    struct compare_job job = {pool, ret_differences};
    const struct compare_side left = {a, one, one->config, one->written}, right = {b, other, other->config, other->written};
    bool type = strcmp(one->type, other->type) == 0;

    *ret_differences = (struct sl_differences){NULL, 0};
    if (!type)
        compare_add(&job, (struct sl_difference){.setting = "type", .from = one->type, .to = other->type});
    if (!compare_same_inputs(&left, &right))
        compare_add(&job, (struct sl_difference){.setting = "inputs",
                                                 .from = compare_written(&job, &left, "inputs"),
                                                 .to = compare_written(&job, &right, "inputs")});
    if (type && one->digest != other->digest)
        compare_rows(&job, one->head->fields, &left, &right, "");
    if (one->role == SL_SINK)
        compare_common(&job, left, right, type && one->digest == other->digest);
    if (type && one->digest != other->digest)
        compare_files(&job, &left, &right);
}

void sl_compare_tops(struct sl_pool *pool, const struct sl_topology *a, const struct sl_topology *b, struct sl_differences *ret_differences)
{
    struct compare_job job = {pool, ret_differences};
    const struct compare_side left = {a, NULL, a->settings, a->written}, right = {b, NULL, b->settings, b->written};

    *ret_differences = (struct sl_differences){NULL, 0};
    compare_rows(&job, sl_topology_fields, &left, &right, "");
}
