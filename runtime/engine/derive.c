/* derive.c: several records out of one: all arrays of a view are gathered anew by a map from new rows to old ones.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/engine/derive.h"

#include <assert.h>

struct derive_map {
    struct sl_arena *arena;
    uint32_t count;   /* rows of the new batch */
    uint16_t *from;   /* [count] old row: its own, or its parent's */
    uint8_t *derived; /* [count] */
    bool failed;
};

static int derive_map_init(struct derive_map *map, const struct sl_view *view, struct sl_child *children, uint32_t count)
{
    const struct sl_batch *batch = view->batch;
    uint32_t child = 0, row = 0;

    map->arena = batch->arena;
    map->count = batch->count + count;
    map->from = sl_arena_alloc(map->arena, ((size_t)map->count + 1) * sizeof(*map->from));
    map->derived = sl_arena_alloc(map->arena, (size_t)map->count + 1);
    map->failed = false;
    if (map->from == NULL || map->derived == NULL)
        return -1;
    for (uint32_t old = 0; old < batch->count; old++) {
        map->derived[row] = 0;
        map->from[row++] = (uint16_t)old;
        for (; child < count && children[child].index == old; child++) {
            assert(child == 0 || children[child - 1].index <= children[child].index);
            children[child].row = (uint16_t)row;
            map->derived[row] = 1;
            map->from[row++] = (uint16_t)old;
        }
    }
    assert(child == count && row == map->count);
    return 0;
}

/* The array by the map; NULL stays NULL. Members of derived rows are their parent's, or zero where they are `own`. */
static void *derive_gather(struct derive_map *map, const void *array, size_t bytes, bool own)
{
    const char *from = array;
    char *to;

    if (array == NULL)
        return NULL;
    to = sl_arena_alloc(map->arena, ((size_t)map->count + 1) * bytes);
    if (to == NULL) {
        map->failed = true;
        return NULL;
    }
    for (uint32_t row = 0; row < map->count; row++) {
        if (own && map->derived[row])
            memset(to + row * bytes, 0, bytes);
        else
            memcpy(to + row * bytes, from + map->from[row] * bytes, bytes);
    }
    return to;
}

/* Ordinals are numbered on behind the highest of the record, so that a second stage's differ from the first's. */
static uint16_t *derive_ordinals(struct derive_map *map, const struct sl_batch *batch)
{
    uint16_t *sub = sl_arena_alloc(map->arena, ((size_t)map->count + 1) * sizeof(*sub));

    if (sub == NULL) {
        map->failed = true;
        return NULL;
    }
    for (uint32_t row = 0; row < map->count;) {
        uint64_t offset = batch->offset[map->from[row]];
        uint32_t end = row, next = 0;
        for (; end < map->count && batch->offset[map->from[end]] == offset; end++)
            if (!map->derived[end] && batch->sub != NULL && batch->sub[map->from[end]] > next)
                next = batch->sub[map->from[end]];
        for (; row < end; row++)
            sub[row] = map->derived[row] ? (uint16_t)++next : batch->sub != NULL ? batch->sub[map->from[row]] : 0;
    }
    return sub;
}

static void derive_batch(struct derive_map *map, const struct sl_batch *old, const struct sl_child *children, uint32_t count,
                         struct sl_batch *batch)
{
    *batch = *old;
    batch->count = map->count;
    batch->may_break = true; /* a script's texts */
    batch->raw = derive_gather(map, old->raw, sizeof(*batch->raw), true);
    batch->offset = derive_gather(map, old->offset, sizeof(*batch->offset), false);
    batch->append_unix_ms = derive_gather(map, old->append_unix_ms, sizeof(*batch->append_unix_ms), false);
    batch->key = derive_gather(map, old->key, sizeof(*batch->key), false);
    batch->headers = derive_gather(map, old->headers, sizeof(*batch->headers), false);
    batch->headers_count = derive_gather(map, old->headers_count, sizeof(*batch->headers_count), false);
    batch->null_payload = derive_gather(map, old->null_payload, sizeof(*batch->null_payload), true);
    batch->origin = derive_gather(map, old->origin, sizeof(*batch->origin), false);
    batch->sub = derive_ordinals(map, old);
    batch->parent = old->parent != NULL ? derive_gather(map, old->parent, sizeof(*batch->parent), false) : map->from;
    for (uint32_t i = 0; batch->raw != NULL && i < count; i++)
        batch->raw[children[i].row] = children[i].text;
}

static void derive_column(struct derive_map *map, const struct sl_column *from, struct sl_column *to)
{
    to->value = derive_gather(map, from->value, sizeof(*to->value), true);
    to->span = derive_gather(map, from->span, sizeof(*to->span), true);
    to->type = derive_gather(map, from->type, sizeof(*to->type), true);
    to->repeated = derive_gather(map, from->repeated, sizeof(*to->repeated), true);
}

static void derive_decoded(struct derive_map *map, const struct sl_decoded *old, const struct sl_batch *batch,
                           struct sl_decoded *decoded)
{
    struct sl_slice *body = derive_gather(map, old->body, sizeof(*body), true);

    *decoded = *old;
    decoded->time_unix_ms = derive_gather(map, old->time_unix_ms, sizeof(*decoded->time_unix_ms), false);
    decoded->service = derive_gather(map, old->service, sizeof(*decoded->service), false);
    decoded->level = derive_gather(map, old->level, sizeof(*decoded->level), false);
    for (uint32_t row = 0; body != NULL && batch->raw != NULL && row < map->count; row++)
        if (map->derived[row])
            body[row] = batch->raw[row];
    decoded->body = body;
    if (old->columns_count == 0)
        return;
    decoded->columns = sl_arena_alloc(map->arena, old->columns_count * sizeof(*decoded->columns));
    map->failed = map->failed || decoded->columns == NULL;
    for (uint32_t c = 0; decoded->columns != NULL && c < old->columns_count; c++)
        derive_column(map, &old->columns[c], &decoded->columns[c]);
}

static void derive_sel(struct derive_map *map, const struct sl_view *old, struct sl_view *view)
{
    uint32_t at = 0;

    view->sel = sl_arena_alloc(map->arena, ((size_t)map->count + 1) * sizeof(*view->sel));
    view->sel_count = 0;
    map->failed = map->failed || view->sel == NULL;
    for (uint32_t row = 0; view->sel != NULL && row < map->count; row++) {
        while (at < old->sel_count && old->sel[at] < map->from[row])
            at++;
        if (map->derived[row] || (at < old->sel_count && old->sel[at] == map->from[row]))
            view->sel[view->sel_count++] = (uint16_t)row;
    }
}

int sl_view_adopt_texts(struct sl_view *view)
{
    const struct sl_batch *old = view->batch;
    struct sl_batch *batch;
    struct sl_decoded *decoded;

    if (view->decoded->body == NULL || view->decoded->foreign)
        return 0;
    batch = sl_arena_alloc(old->arena, sizeof(*batch));
    decoded = sl_arena_alloc(old->arena, sizeof(*decoded));
    if (batch == NULL || decoded == NULL)
        return -1;
    *batch = *old;
    *decoded = *view->decoded;
    batch->raw = sl_arena_alloc(old->arena, ((size_t)old->count + 1) * sizeof(*batch->raw));
    if (old->null_payload != NULL)
        batch->null_payload = sl_arena_alloc(old->arena, (size_t)old->count + 1);
    if (batch->raw == NULL || (old->null_payload != NULL && batch->null_payload == NULL))
        return -1;
    for (uint32_t i = 0; i < old->count; i++) {
        batch->raw[i] = sl_view_text(view, i);
        if (old->null_payload != NULL)
            batch->null_payload[i] = old->null_payload[i] && view->decoded->body[i].data == NULL;
    }
    batch->may_break = true; /* a stage's texts */
    decoded->body = NULL;
    view->batch = batch;
    view->decoded = decoded;
    return 0;
}

int sl_view_derive(struct sl_view *view, struct sl_child *children, uint32_t count)
{
    struct sl_arena *arena = view->batch->arena;
    struct sl_batch *batch = sl_arena_alloc(arena, sizeof(*batch));
    struct sl_decoded *decoded = sl_arena_alloc(arena, sizeof(*decoded));
    struct sl_view derived = *view;
    struct derive_map map;

    assert(view->edits_count == 0 && view->batch->count + count <= SL_VIEW_RECORDS_MAX);
    if (batch == NULL || decoded == NULL || derive_map_init(&map, view, children, count) != 0)
        return -1;
    derive_batch(&map, view->batch, children, count, batch);
    derive_decoded(&map, view->decoded, batch, decoded);
    derive_sel(&map, view, &derived);
    derived.batch = batch;
    derived.decoded = decoded;
    derived.fate = derive_gather(&map, view->fate, sizeof(*derived.fate), true); /* SL_LIVE is 0 */
    derived.reason = derive_gather(&map, view->reason, sizeof(*derived.reason), true);
    derived.port = derive_gather(&map, view->port, sizeof(*derived.port), true);
    derived.note = derive_gather(&map, view->note, sizeof(*derived.note), true);
    derived.randomness = derive_gather(&map, view->randomness, sizeof(*derived.randomness), false);
    derived.threshold = derive_gather(&map, view->threshold, sizeof(*derived.threshold), false);
    if (map.failed)
        return -1;
    *view = derived;
    return 0;
}
