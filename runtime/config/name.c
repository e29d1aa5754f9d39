/* name.c: names of fields, parsed into one block: the path's segment pointers first, their text
 * behind them.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/config/name.h"

#include <stdio.h>
#include <stdlib.h>

#include "runtime/config/pool.h"

enum { NAME_SEGMENTS_MAX = 16 };

#define name_refuse(err, ...) sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, __VA_ARGS__)

static const struct {
    const char *text;
    enum sl_name_kind kind;
} name_words[] = {{"time", SL_NAME_TIME},   {"service", SL_NAME_SERVICE},
                  {"level", SL_NAME_LEVEL}, {"trace", SL_NAME_TRACE},
                  {"class", SL_NAME_CLASS}, {"@topic", SL_NAME_TOPIC},
                  {"@key", SL_NAME_KEY},    {"@time", SL_NAME_APPEND_TIME}};

static int name_header(const char *text, struct sl_name *ret_name, struct sl_err *err)
{
    char *copy;

    if (text[0] == '\0')
        return name_refuse(err, "@header: names no header: write @header:NAME");
    copy = strdup(text);
    if (copy == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "no memory for a field's name");
    *ret_name = (struct sl_name){.kind = SL_NAME_HEADER, .header = copy};
    return 0;
}

/* Copies one segment with its escapes resolved; *at stops at '.', or the end. */
static int name_segment(const char *whole, const char **at, char **out, struct sl_err *err)
{
    const char *begin = *at;

    for (; **at != '\0' && **at != '.'; (*at)++) {
        if (**at == '\\') {
            (*at)++;
            if (**at == '\0')
                return name_refuse(
                    err, "the field %.64s ends with a lone backslash: write \\\\ for a backslash",
                    whole);
            if (**at != '.' && **at != '\\')
                return name_refuse(err,
                                   "the field %.64s has a backslash before \"%c\": a backslash "
                                   "stands only before a dot or "
                                   "another backslash",
                                   whole, **at);
        }
        *(*out)++ = **at;
    }
    if (*at == begin)
        return name_refuse(err,
                           "the field %.64s has an empty part: write names between the dots, and "
                           "\\. for a dot inside a key",
                           whole);
    *(*out)++ = '\0';
    return 0;
}

static int name_fill(const char *whole, const char *text, const char **segments, char *out,
                     uint32_t *ret_count, struct sl_err *err)
{
    uint32_t count = 0;

    for (const char *at = text;; at++) {
        if (count == NAME_SEGMENTS_MAX)
            return name_refuse(
                err, "the field %.64s is more than 16 keys deep: name a field nearer to the top",
                whole);
        segments[count++] = out;
        int status = name_segment(whole, &at, &out, err);
        if (status != 0)
            return status;
        if (*at == '\0')
            break;
    }
    *ret_count = count;
    return 0;
}

static int name_path(const char *whole, const char *text, struct sl_name *ret_name,
                     struct sl_err *err)
{
    size_t table = NAME_SEGMENTS_MAX * sizeof(const char *);
    char *block = malloc(table + strlen(text) + 1);
    uint32_t count = 0;
    int status;

    if (block == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "no memory for a field's name");
    status = name_fill(whole, text, (const char **)(void *)block, block + table, &count, err);
    if (status != 0) {
        free(block);
        return status;
    }
    *ret_name =
        (struct sl_name){.kind = SL_NAME_PATH, .path = {(const char *const *)(void *)block, count}};
    return 0;
}

int sl_name_parse(const char *text, struct sl_name *ret_name, struct sl_err *err)
{
    if (text[0] == '\0')
        return name_refuse(err, "an empty name is no field: write a field such as user.email");
    for (size_t i = 0; i < sizeof(name_words) / sizeof(name_words[0]); i++)
        if (strcmp(name_words[i].text, text) == 0)
            return *ret_name = (struct sl_name){.kind = name_words[i].kind}, 0;
    if (strncmp(text, "@header:", 8) == 0)
        return name_header(text + 8, ret_name, err);
    if (text[0] == '@')
        return name_refuse(err,
                           "%.64s is not known before parsing: write @topic, @key, @time or "
                           "@header:NAME, or .%.64s for a field "
                           "of the payload",
                           text, text);
    return name_path(text, text[0] == '.' ? text + 1 : text, ret_name, err);
}

void sl_name_fini(struct sl_name *name)
{
    union { /* the block was ours to write; users see it constant */
        const char *const *path;
        const char *header;
        void *block;
    } u;

    u.block = NULL;
    if (name->kind == SL_NAME_PATH)
        u.path = name->path.segments;
    else if (name->kind == SL_NAME_HEADER)
        u.header = name->header;
    free(u.block);
    *name = (struct sl_name){.kind = SL_NAME_TIME};
}

struct sl_name sl_name_copy(struct sl_pool *pool, const struct sl_name *name)
{
    struct sl_name copy = *name;
    const char **segments;

    if (name->kind == SL_NAME_HEADER)
        copy.header = sl_pool_text(pool, name->header, strlen(name->header));
    if (name->kind != SL_NAME_PATH)
        return copy;
    segments = sl_pool_alloc(pool, name->path.segments_count * sizeof(*segments));
    for (uint32_t i = 0; i < name->path.segments_count; i++)
        segments[i] = sl_pool_text(pool, name->path.segments[i], strlen(name->path.segments[i]));
    copy.path.segments = segments;
    return copy;
}

static bool name_is_word(const struct sl_name *name)
{
    for (size_t i = 0; i < sizeof(name_words) / sizeof(name_words[0]); i++)
        if (name->path.segments_count == 1 &&
            strcmp(name->path.segments[0], name_words[i].text) == 0)
            return true;
    return name->path.segments[0][0] == '@';
}

/* Keeps snprintf's promise: counts what did not fit. */
static void name_put(char *out, size_t bytes, size_t *at, char c)
{
    if (*at + 1 < bytes)
        out[*at] = c;
    (*at)++;
}

static int name_print_path(const struct sl_name *name, char *out, size_t bytes)
{
    size_t at = 0;

    if (name_is_word(name))
        name_put(out, bytes, &at, '.');
    for (uint32_t i = 0; i < name->path.segments_count; i++) {
        if (i > 0)
            name_put(out, bytes, &at, '.');
        for (const char *c = name->path.segments[i]; *c != '\0'; c++) {
            if (*c == '.' || *c == '\\')
                name_put(out, bytes, &at, '\\');
            name_put(out, bytes, &at, *c);
        }
    }
    if (bytes > 0)
        out[at < bytes ? at : bytes - 1] = '\0';
    return (int)at;
}

int sl_name_print(const struct sl_name *name, char *out, size_t bytes)
{
    if (name->kind == SL_NAME_PATH)
        return name_print_path(name, out, bytes);
    if (name->kind == SL_NAME_HEADER)
        return snprintf(out, bytes, "@header:%s", name->header);
    for (size_t i = 0; i < sizeof(name_words) / sizeof(name_words[0]); i++)
        if (name_words[i].kind == name->kind)
            return snprintf(out, bytes, "%s", name_words[i].text);
    return snprintf(out, bytes, "?");
}
