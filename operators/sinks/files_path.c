/* files_path.c: from a record to its path: what the template names is taken as a tuple, and a path is rendered once a tuple.
 *
 * A tuple is (service id, level, day or hour) packed exactly into 64 bits, and a 128-bit hash of all other values, seeded at random
 * when the sink opens, so that nobody can make two values meet. The last tuple is kept aside: records of one service and hour
 * that follow each other cost a comparison. Tuples that render to one name share a path (a second table, by name).
 * Limits: max_paths paths, later ones are __other__; a name that no file system would take (a segment above 255 bytes) too. At most
 * 2 * max_paths tuples are kept; records of others are rendered each time. Memory: files_router_bytes.
 * SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "operators/sinks/files.h"
#include "runtime/base/intern.h"
#include "runtime/config/template.h"
#include "runtime/json/timestamp.h"

enum {
    FILES_NAME_BYTES = SL_TEMPLATE_BYTES + SL_TEMPLATE_PARTS * SL_TEMPLATE_VALUE_BYTES + 16,
    FILES_NAME_MAX = 2048,  /* rendered; leaves room for DIR and the file's own name in PATH_MAX */
    FILES_SEGMENT_MAX = 255
};

#define FILES_MS_PER_HOUR 3600000
#define FILES_OTHER "__other__"

struct files_tuple {
    uint64_t packed;
    XXH128_hash_t others;
};

struct files_known { /* a row of the tuple table; path NULL: free */
    struct files_tuple tuple;
    struct files_path *path;
};

struct files_router {
    const struct sl_template *template;
    int columns[SL_TEMPLATE_PARTS]; /* of PATH parts */
    bool by_service, by_level, by_day, by_hour, by_partition, by_others;
    uint64_t seed, max_paths;
    const struct sl_view *view;
    int64_t hour_from_ms; /* the last record's bucket: [from, from + bucket) */
    uint64_t hour;
    struct files_tuple last;
    struct files_path *last_path;
    bool last_other;
    struct files_known *known;
    uint64_t known_count, known_room; /* room: a power of two */
    struct files_path **named;
    uint64_t named_count, named_room;
    struct files_path *other;
};

/* ---- values ---- */

static struct sl_slice files_header(const struct sl_view *view, uint16_t row, const char *name)
{
    const struct sl_batch *batch = view->batch;

    for (uint32_t i = 0; batch->headers != NULL && i < batch->headers_count[row]; i++)
        if (sl_slice_is(batch->headers[row][i].name, name))
            return batch->headers[row][i].value;
    return (struct sl_slice){"", 0};
}

static struct sl_slice files_column(const struct sl_view *view, uint16_t row, int index)
{
    const struct sl_decoded *decoded = view->decoded;

    if (index < 0 || (uint32_t)index >= decoded->columns_count || decoded->columns[index].value == NULL ||
        decoded->columns[index].type[row] <= SL_T_NULL)
        return (struct sl_slice){"", 0};
    return decoded->columns[index].value[row];
}

static uint32_t files_service(const struct sl_view *view, uint16_t row)
{
    return view->decoded->service == NULL ? SL_INTERN_NONE : view->decoded->service[row];
}

static uint8_t files_level(const struct sl_view *view, uint16_t row)
{
    return view->decoded->level == NULL ? SL_LEVEL_NONE : view->decoded->level[row];
}

static int64_t files_time(const struct sl_view *view, uint16_t row)
{
    return view->decoded->time_unix_ms != NULL ? view->decoded->time_unix_ms[row] : view->batch->append_unix_ms[row];
}

static struct sl_slice files_value(const struct files_router *router, uint32_t part, uint16_t row)
{
    const struct sl_view *view = router->view;
    const struct sl_name *name = &router->template->parts[part].name;

    switch (name->kind) {
    case SL_NAME_SERVICE:
        return sl_intern_name(files_service(view, row));
    case SL_NAME_LEVEL:
        return files_level(view, row) == SL_LEVEL_NONE ? (struct sl_slice){"", 0} : sl_slice_of(sl_level_name(files_level(view, row)));
    case SL_NAME_TOPIC:
        return sl_slice_of(view->batch->partition->topic);
    case SL_NAME_KEY:
        return view->batch->key == NULL || view->batch->key[row].data == NULL ? (struct sl_slice){"", 0} : view->batch->key[row];
    case SL_NAME_HEADER:
        return files_header(view, row, name->header);
    case SL_NAME_TRACE:
        return files_column(view, row, view->decoded->trace);
    case SL_NAME_PATH:
        return files_column(view, row, router->columns[part]);
    case SL_NAME_TIME:
    case SL_NAME_APPEND_TIME:
    case SL_NAME_CLASS:
        break; /* refused by the template */
    }
    return (struct sl_slice){"", 0};
}

/* ---- tuples ---- */

/* Days or hours since 1970, at most 2^40; what is before it counts as its first. */
static uint64_t files_bucket(struct files_router *router, int64_t unix_ms)
{
    int64_t length = router->by_hour ? FILES_MS_PER_HOUR : 24 * (int64_t)FILES_MS_PER_HOUR;

    if (unix_ms < 0)
        unix_ms = 0;
    if (router->hour_from_ms >= 0 && unix_ms >= router->hour_from_ms && unix_ms - router->hour_from_ms < length)
        return router->hour;
    router->hour = (uint64_t)(unix_ms / length) & (((uint64_t)1 << 40) - 1);
    router->hour_from_ms = unix_ms - unix_ms % length;
    return router->hour;
}

static XXH128_hash_t files_hash(XXH128_hash_t before, const void *data, size_t bytes)
{
    XXH128_hash_t hash = XXH3_128bits_withSeed(data, bytes, before.low64 + bytes);

    hash.high64 ^= before.high64 * 0x9e3779b97f4a7c15ull;
    return hash;
}

static XXH128_hash_t files_hash_others(const struct files_router *router, uint16_t row)
{
    const struct sl_partition *partition = router->view->batch->partition;
    XXH128_hash_t hash = {router->seed, 0};

    if (router->by_partition) {
        hash = files_hash(hash, partition->topic, strlen(partition->topic));
        hash = files_hash(hash, partition->id, strlen(partition->id));
    }
    for (uint32_t i = 0; i < router->template->count; i++) {
        const struct sl_part *part = &router->template->parts[i];
        struct sl_slice value;
        if (part->kind != SL_PART_NAME || part->name.kind == SL_NAME_SERVICE || part->name.kind == SL_NAME_LEVEL ||
            part->name.kind == SL_NAME_TOPIC)
            continue;
        value = files_value(router, i, row);
        hash = files_hash(hash, value.data, value.bytes);
    }
    return hash;
}

static struct files_tuple files_tuple_of(struct files_router *router, uint16_t row)
{
    struct files_tuple tuple = {0, {0, 0}};

    if (router->by_service)
        tuple.packed |= files_service(router->view, row);
    if (router->by_level)
        tuple.packed |= (uint64_t)files_level(router->view, row) << 20;
    if (router->by_day || router->by_hour)
        tuple.packed |= files_bucket(router, files_time(router->view, row)) << 24;
    if (router->by_others || router->by_partition)
        tuple.others = files_hash_others(router, row);
    return tuple;
}

static bool files_tuple_eq(const struct files_tuple *a, const struct files_tuple *b)
{
    return a->packed == b->packed && a->others.low64 == b->others.low64 && a->others.high64 == b->others.high64;
}

static uint64_t files_tuple_hash(const struct files_tuple *tuple)
{
    uint64_t hash = (tuple->packed ^ tuple->others.low64) * 0x9e3779b97f4a7c15ull;

    return hash ^ hash >> 32;
}

/* The row of the tuple, or the free one where it would stand. */
static struct files_known *files_known_find(const struct files_router *router, const struct files_tuple *tuple)
{
    uint64_t mask = router->known_room - 1, at = files_tuple_hash(tuple) & mask;

    while (router->known[at].path != NULL && !files_tuple_eq(&router->known[at].tuple, tuple))
        at = (at + 1) & mask;
    return &router->known[at];
}

static int files_known_grow(struct files_router *router)
{
    struct files_known *old = router->known;
    uint64_t old_room = router->known_room, room = old_room == 0 ? 256 : 2 * old_room;
    struct files_known *known = calloc(room, sizeof(*known));

    if (known == NULL)
        return -1;
    router->known = known;
    router->known_room = room;
    for (uint64_t i = 0; i < old_room; i++)
        if (old[i].path != NULL)
            *files_known_find(router, &old[i].tuple) = old[i];
    free(old);
    return 0;
}

static int files_known_add(struct files_router *router, const struct files_tuple *tuple, struct files_path *path)
{
    if (router->known_count >= 2 * router->max_paths)
        return 0;
    if (2 * router->known_count >= router->known_room && files_known_grow(router) != 0)
        return -1;
    *files_known_find(router, tuple) = (struct files_known){*tuple, path};
    router->known_count++;
    return 0;
}

/* ---- rendering ---- */

struct files_name {
    char text[FILES_NAME_BYTES];
    size_t bytes;
};

/* What is before 1970 counts as its first instant, as in the tuple. */
static int64_t files_render_time(const struct files_router *router, uint16_t row)
{
    int64_t unix_ms = files_time(router->view, row);

    return unix_ms < 0 ? 0 : unix_ms;
}

static void files_render(const struct files_router *router, uint16_t row, struct files_name *name)
{
    name->bytes = 0;
    for (uint32_t i = 0; i < router->template->count; i++) {
        const struct sl_part *part = &router->template->parts[i];
        char *to = name->text + name->bytes;
        switch (part->kind) {
        case SL_PART_LITERAL:
            memcpy(to, part->text.data, part->text.bytes);
            name->bytes += part->text.bytes;
            break;
        case SL_PART_NAME:
            name->bytes += sl_template_value(files_value(router, i, row), to);
            break;
        case SL_PART_DAY:
            sl_time_day(files_render_time(router, row), to);
            name->bytes += SL_TIME_DAY_BYTES - 1;
            break;
        case SL_PART_HOUR:
            sl_time_hour(files_render_time(router, row), to);
            name->bytes += SL_TIME_HOUR_BYTES - 1;
            break;
        case SL_PART_PARTITION:
            name->bytes += sl_template_value(sl_slice_of(router->view->batch->partition->id), to);
            break;
        }
    }
    name->text[name->bytes] = '\0';
}

static bool files_name_fits(const struct files_name *name)
{
    if (name->bytes > FILES_NAME_MAX)
        return false;
    for (const char *at = name->text;;) {
        size_t bytes = strcspn(at, "/");
        if (bytes > FILES_SEGMENT_MAX)
            return false;
        if (at[bytes] == '\0')
            return true;
        at += bytes + 1;
    }
}

/* ---- paths by name ---- */

static struct files_path **files_named_find(const struct files_router *router, const char *name, uint64_t hash)
{
    uint64_t mask = router->named_room - 1, at = hash & mask;

    while (router->named[at] != NULL && (router->named[at]->hash != hash || strcmp(router->named[at]->name, name) != 0))
        at = (at + 1) & mask;
    return &router->named[at];
}

static int files_named_grow(struct files_router *router)
{
    struct files_path **old = router->named;
    uint64_t old_room = router->named_room, room = old_room == 0 ? 256 : 2 * old_room;
    struct files_path **named = calloc(room, sizeof(struct files_path *));

    if (named == NULL)
        return -1;
    router->named = named;
    router->named_room = room;
    for (uint64_t i = 0; i < old_room; i++)
        if (old[i] != NULL)
            *files_named_find(router, old[i]->name, old[i]->hash) = old[i];
    free(old);
    return 0;
}

static struct files_path *files_other(struct files_router *router, struct files_flush *flush)
{
    if (router->other == NULL)
        router->other = files_flush_path(flush, sl_slice_of(FILES_OTHER), 0);
    return router->other;
}

static struct files_path *files_path_named(struct files_router *router, struct files_flush *flush, const struct files_name *name,
                                           bool *ret_other)
{
    uint64_t hash = XXH3_64bits_withSeed(name->text, name->bytes, router->seed);
    struct files_path **place, *path;

    if (2 * router->named_count >= router->named_room && files_named_grow(router) != 0)
        return NULL;
    place = files_named_find(router, name->text, hash);
    if (*place != NULL)
        return *place;
    if (router->named_count >= router->max_paths || !files_name_fits(name)) {
        *ret_other = true;
        return files_other(router, flush);
    }
    path = files_flush_path(flush, (struct sl_slice){name->text, (uint32_t)name->bytes}, hash);
    if (path != NULL) {
        *place = path;
        router->named_count++;
    }
    return path;
}

struct files_path *files_router_path(struct files_router *router, struct files_flush *flush, uint16_t row, bool *ret_other)
{
    struct files_tuple tuple = files_tuple_of(router, row);
    struct files_known *known;
    struct files_name name;
    struct files_path *path;

    *ret_other = router->last_other;
    if (router->last_path != NULL && files_tuple_eq(&tuple, &router->last))
        return router->last_path;
    *ret_other = false;
    known = router->known_room > 0 ? files_known_find(router, &tuple) : NULL;
    path = known != NULL ? known->path : NULL;
    if (path == NULL) {
        files_render(router, row, &name);
        path = files_path_named(router, flush, &name, ret_other);
        if (path == NULL || (!*ret_other && files_known_add(router, &tuple, path) != 0))
            return NULL;
    }
    router->last = tuple;
    router->last_path = path;
    router->last_other = *ret_other;
    return path;
}

/* ---- life ---- */

static int files_router_part(struct files_router *router, uint32_t i, struct sl_names *names, struct sl_err *err)
{
    const struct sl_part *part = &router->template->parts[i];

    router->columns[i] = -1;
    router->by_day |= part->kind == SL_PART_DAY;
    router->by_hour |= part->kind == SL_PART_HOUR;
    router->by_partition |= part->kind == SL_PART_PARTITION;
    if (part->kind != SL_PART_NAME)
        return 0;
    router->by_service |= part->name.kind == SL_NAME_SERVICE;
    router->by_level |= part->name.kind == SL_NAME_LEVEL;
    router->by_partition |= part->name.kind == SL_NAME_TOPIC;
    router->by_others |= part->name.kind != SL_NAME_SERVICE && part->name.kind != SL_NAME_LEVEL && part->name.kind != SL_NAME_TOPIC;
    if (part->name.kind != SL_NAME_PATH) /* the trace's column is decoded->trace */
        return 0;
    router->columns[i] = names->column(names, &part->name, err);
    return router->columns[i] < 0 ? router->columns[i] : 0;
}

struct files_router *files_router_new(const struct files_config *config, const struct sl_api *api, struct sl_names *names,
                                      struct sl_err *err)
{
    static const struct sl_template none = {.text = "", .parts = NULL, .count = 0};
    struct files_router *router = calloc(1, sizeof(*router));

    if (router == NULL) {
        (void)sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory for the paths of a files sink");
        return NULL;
    }
    router->template = config->path != NULL ? config->path : &none;
    router->max_paths = config->max_paths;
    router->seed = api->random(api->env);
    router->hour_from_ms = -1;
    for (uint32_t i = 0; i < router->template->count; i++)
        if (files_router_part(router, i, names, err) != 0)
            return files_router_free(router);
    return router;
}

struct files_router *files_router_free(struct files_router *router)
{
    if (router != NULL) {
        free(router->known);
        free(router->named);
        free(router);
    }
    return NULL;
}

void files_router_reset(struct files_router *router)
{
    free(router->known);
    free(router->named);
    router->known = NULL;
    router->named = NULL;
    router->known_count = router->known_room = router->named_count = router->named_room = 0;
    router->last_path = router->other = NULL;
    router->last_other = false;
}

void files_router_view(struct files_router *router, const struct sl_view *view)
{
    router->view = view;
}

uint64_t files_router_bytes(const struct files_router *router)
{
    return router->known_room * sizeof(struct files_known) + router->named_room * sizeof(struct files_path *);
}
