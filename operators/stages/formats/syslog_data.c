/* syslog_data.c: structured data, scanned and written in one pass.
 *
 * Ids and names are what stands up to the next =, ], " or blank: senders with characters that the RFC does not allow there are understood. In
 * values \" \\ \] are resolved, another backslash is itself.
 * SPDX-License-Identifier: Apache-2.0 */
#include "operators/stages/formats/syslog_data.h"

#include <string.h>

#include "runtime/base/json_out.h"

enum { DATA_NAMES = 512 }; /* remembered, of one element and of elements: those beyond are not looked for again */

struct data_names {
    uint32_t count;
    struct sl_slice names[DATA_NAMES];
};

struct data_walk {
    const char *at, *end;
    char *out;     /* NULL: only scanned */
    char *scratch; /* one value, unescaped */
};

static bool data_new(struct data_names *names, struct sl_slice name)
{
    for (uint32_t i = 0; i < names->count; i++)
        if (sl_slice_eq(names->names[i], name))
            return false;
    if (names->count < DATA_NAMES)
        names->names[names->count++] = name;
    return true;
}

static struct sl_slice data_name(struct data_walk *walk)
{
    const char *from = walk->at;

    while (walk->at < walk->end && (unsigned char)*walk->at > ' ' && *walk->at != '=' && *walk->at != ']' && *walk->at != '"')
        walk->at++;
    return (struct sl_slice){from, (uint32_t)(walk->at - from)};
}

static void data_quote(struct data_walk *walk, struct sl_slice text, char behind)
{
    walk->out += sl_json_quote_to(text, walk->out);
    if (behind != '\0')
        *walk->out++ = behind;
}

/* at stands behind the opening quote. */
static bool data_value(struct data_walk *walk, struct sl_slice *ret_value)
{
    char *to = walk->scratch;

    for (; walk->at < walk->end && *walk->at != '"'; walk->at++) {
        if (*walk->at == '\\' && walk->end - walk->at > 1 && strchr("\"\\]", walk->at[1]) != NULL && walk->at[1] != '\0')
            walk->at++;
        if (to != NULL)
            *to++ = *walk->at;
    }
    if (walk->at == walk->end)
        return false;
    walk->at++;
    *ret_value = (struct sl_slice){walk->scratch, to == NULL ? 0 : (uint32_t)(to - walk->scratch)};
    return true;
}

static bool data_param(struct data_walk *walk, struct data_names *names, bool kept)
{
    struct sl_slice name = data_name(walk), value;

    if (name.bytes == 0 || walk->end - walk->at < 2 || walk->at[0] != '=' || walk->at[1] != '"')
        return false;
    walk->at += 2;
    if (!data_value(walk, &value))
        return false;
    if (walk->out == NULL || !kept || !data_new(names, name))
        return true;
    if (walk->out[-1] != '{')
        *walk->out++ = ',';
    data_quote(walk, name, ':');
    data_quote(walk, value, '\0');
    return true;
}

/* at stands behind the [. A repeated id is read over. */
static bool data_element(struct data_walk *walk, struct data_names *ids)
{
    struct sl_slice id = data_name(walk);
    struct data_names names;
    bool kept;

    names.count = 0;
    if (id.bytes == 0)
        return false;
    kept = walk->out != NULL && data_new(ids, id);
    if (kept) {
        if (walk->out[-1] != '{')
            *walk->out++ = ',';
        data_quote(walk, id, ':');
        *walk->out++ = '{';
    }
    while (walk->at < walk->end && *walk->at == ' ') {
        while (walk->at < walk->end && *walk->at == ' ')
            walk->at++;
        if (walk->at < walk->end && *walk->at == ']')
            break;
        if (!data_param(walk, &names, kept))
            return false;
    }
    if (walk->at == walk->end || *walk->at != ']')
        return false;
    walk->at++;
    if (kept)
        *walk->out++ = '}';
    return true;
}

int sl_syslog_data(const char **at, const char *end, bool make, struct sl_arena *arena, struct sl_slice *ret_json)
{
    size_t bytes = (size_t)(end - *at);
    struct data_walk walk = {.at = *at, .end = end};
    struct data_names ids;
    char *json = NULL;

    ids.count = 0;
    while (walk.at < end && *walk.at == '[') { /* first without writing: how long is it, and is it right */
        walk.at++;
        if (!data_element(&walk, &ids))
            return 0;
    }
    if (walk.at == *at)
        return 0;
    if (make) {
        const char *stop = walk.at;
        bytes = (size_t)(stop - *at);
        json = sl_arena_alloc(arena, 8 * bytes + 32 + SL_PAD); /* [i] is "i":{},  and a byte may become six */
        walk = (struct data_walk){.at = *at, .end = stop, .out = json, .scratch = sl_arena_alloc(arena, bytes + 1)};
        if (json == NULL || walk.scratch == NULL)
            return -1;
        *walk.out++ = '{';
        while (walk.at < stop) {
            walk.at++;
            (void)data_element(&walk, &ids);
        }
        *walk.out++ = '}';
        memset(walk.out, 0, SL_PAD);
        *ret_json = (struct sl_slice){json, (uint32_t)(walk.out - json)};
    }
    *at = walk.at;
    return 1;
}
