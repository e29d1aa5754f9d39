/* joint.c: several arms' outputs as one; see the header.
 *
 * Where no arm derives, the rows are the source's: arrays that all arms share are shared on, others are the first arm's with the rows of
 * the smaller ones written over.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/engine/slot/joint.h"

#include <assert.h>

#include "runtime/engine/derive.h"

struct joint_map {
    struct sl_arena *arena;
    const struct sl_joint_part *parts;
    uint32_t parts_count, count; /* count: rows */
    uint8_t *part;               /* [count] where a row comes from */
    uint16_t *row;               /* [count] */
    bool derived;                /* some part has rows of its own */
    uint16_t *others;            /* rows that are not the first part's */
    uint32_t others_count;
    bool failed;
};

static const struct sl_batch *joint_batch_of(const struct sl_joint_part *part)
{
    return part->output.face->batch;
}

static bool joint_owns(const uint8_t *sides, const struct sl_joint_part *part, uint32_t row)
{
    const struct sl_batch *batch = joint_batch_of(part);

    return sides[batch->parent != NULL ? batch->parent[row] : row] == part->side;
}

/* The next row of the part from `row` on, or its count. */
static uint32_t joint_next(const uint8_t *sides, const struct sl_joint_part *part, uint32_t row)
{
    while (row < joint_batch_of(part)->count && !joint_owns(sides, part, row))
        row++;
    return row;
}

static int joint_map_init(struct joint_map *map, const uint8_t *sides)
{
    uint32_t at[SL_JOINT_PARTS] = {0}, room = 0;

    for (uint32_t p = 0; p < map->parts_count; p++) {
        room += joint_batch_of(&map->parts[p])->count;
        map->derived = map->derived || joint_batch_of(&map->parts[p])->parent != NULL;
        at[p] = joint_next(sides, &map->parts[p], 0);
    }
    map->part = sl_arena_alloc(map->arena, (size_t)room + 1);
    map->row = sl_arena_alloc(map->arena, ((size_t)room + 1) * sizeof(*map->row));
    map->others = sl_arena_alloc(map->arena, ((size_t)room + 1) * sizeof(*map->others));
    if (map->part == NULL || map->row == NULL || map->others == NULL)
        return -1;
    for (;;) {
        uint32_t first = UINT32_MAX;
        uint64_t offset = UINT64_MAX;
        for (uint32_t p = 0; p < map->parts_count; p++) {
            const struct sl_batch *batch = joint_batch_of(&map->parts[p]);
            if (at[p] < batch->count && (first == UINT32_MAX || batch->offset[at[p]] < offset)) {
                first = p;
                offset = batch->offset[at[p]];
            }
        }
        if (first == UINT32_MAX)
            return map->count <= SL_VIEW_RECORDS_MAX ? 0 : -1;
        if (first > 0)
            map->others[map->others_count++] = (uint16_t)map->count;
        map->part[map->count] = (uint8_t)first;
        map->row[map->count++] = (uint16_t)at[first];
        at[first] = joint_next(sides, &map->parts[first], at[first] + 1);
    }
}

static void joint_put(const struct joint_map *map, const void *const from[SL_JOINT_PARTS], size_t bytes, char *to, uint32_t row)
{
    const char *array = from[map->part[row]];

    if (array == NULL)
        memset(to + row * bytes, 0, bytes);
    else
        memcpy(to + row * bytes, array + map->row[row] * bytes, bytes);
}

/* One array of the parts' (NULL where a part has none: zeroes) by the map; NULL where no part has one. */
static void *joint_gather(struct joint_map *map, const void *const from[SL_JOINT_PARTS], size_t bytes)
{
    bool some = false, same = true;
    char *to;

    for (uint32_t p = 0; p < map->parts_count; p++) {
        some = some || from[p] != NULL;
        same = same && from[p] == from[0];
    }
    if (!some || (same && !map->derived))
        return (void *)(uintptr_t)from[0]; /* nobody writes to a sink's view */
    to = sl_arena_alloc(map->arena, ((size_t)map->count + 1) * bytes);
    if (to == NULL) {
        map->failed = true;
        return NULL;
    }
    if (map->derived || from[0] == NULL) {
        for (uint32_t row = 0; row < map->count; row++)
            joint_put(map, from, bytes, to, row);
        return to;
    }
    memcpy(to, from[0], map->count * bytes);
    for (uint32_t i = 0; i < map->others_count; i++)
        joint_put(map, from, bytes, to, map->others[i]);
    return to;
}

#define JOINT_ARRAYS(map, from, what)                                                                                          \
    const void *from[SL_JOINT_PARTS] = {NULL};                                                                                  \
    for (uint32_t p = 0; p < (map)->parts_count; p++)                                                                           \
        from[p] = (map)->parts[p].output.face->what

#define JOINT_GATHER(map, to, what)                                                                                            \
    do {                                                                                                                        \
        JOINT_ARRAYS(map, from_, what);                                                                                         \
        (to) = joint_gather(map, from_, sizeof(*(to)));                                                                         \
    } while (0)

/* Where some part derives, every row says its own ordinal and parent. */
static void joint_derived(struct joint_map *map, struct sl_batch *batch)
{
    uint16_t *parent, *sub;

    JOINT_GATHER(map, sub, batch->sub);
    batch->sub = sub;
    batch->parent = NULL;
    if (!map->derived)
        return; /* the rows are the source's */
    parent = sl_arena_alloc(map->arena, ((size_t)map->count + 1) * sizeof(*parent));
    if (parent == NULL) {
        map->failed = true;
        return;
    }
    for (uint32_t i = 0; i < map->count; i++) {
        const struct sl_batch *own = joint_batch_of(&map->parts[map->part[i]]);
        parent[i] = own->parent != NULL ? own->parent[map->row[i]] : map->row[i];
    }
    batch->parent = parent;
}

static void joint_batch(struct joint_map *map, struct sl_batch *batch)
{
    *batch = *joint_batch_of(&map->parts[0]);
    batch->count = map->count;
    JOINT_GATHER(map, batch->raw, batch->raw);
    JOINT_GATHER(map, batch->offset, batch->offset);
    JOINT_GATHER(map, batch->append_unix_ms, batch->append_unix_ms);
    JOINT_GATHER(map, batch->key, batch->key);
    JOINT_GATHER(map, batch->headers, batch->headers);
    JOINT_GATHER(map, batch->headers_count, batch->headers_count);
    JOINT_GATHER(map, batch->null_payload, batch->null_payload);
    JOINT_GATHER(map, batch->origin, batch->origin);
    joint_derived(map, batch);
    for (uint32_t p = 0; p < map->parts_count; p++) {
        const struct sl_view *face = map->parts[p].output.face;
        batch->may_break = batch->may_break || face->batch->may_break || face->edits_count > 0 || face->decoded->body != NULL;
    }
}

/* A field that a part has not read is absent there. */
static void joint_column(struct joint_map *map, uint32_t c, struct sl_column *column)
{
    const void *value[SL_JOINT_PARTS] = {NULL}, *span[SL_JOINT_PARTS] = {NULL}, *type[SL_JOINT_PARTS] = {NULL},
               *repeated[SL_JOINT_PARTS] = {NULL};

    for (uint32_t p = 0; p < map->parts_count; p++) {
        const struct sl_decoded *decoded = map->parts[p].output.face->decoded;
        if (c >= decoded->columns_count || decoded->columns[c].value == NULL)
            continue;
        value[p] = decoded->columns[c].value;
        span[p] = decoded->columns[c].span;
        type[p] = decoded->columns[c].type;
        repeated[p] = decoded->columns[c].repeated;
    }
    column->value = joint_gather(map, value, sizeof(*column->value));
    column->span = joint_gather(map, span, sizeof(*column->span));
    column->type = joint_gather(map, type, sizeof(*column->type));
    column->repeated = joint_gather(map, repeated, sizeof(*column->repeated));
}

static void joint_decoded(struct joint_map *map, struct sl_decoded *decoded)
{
    uint32_t columns = 0;

    *decoded = *map->parts[0].output.face->decoded;
    JOINT_GATHER(map, decoded->time_unix_ms, decoded->time_unix_ms);
    JOINT_GATHER(map, decoded->service, decoded->service);
    JOINT_GATHER(map, decoded->level, decoded->level);
    for (uint32_t p = 0; p < map->parts_count; p++) {
        const struct sl_decoded *own = map->parts[p].output.face->decoded;
        columns = own->columns_count > columns ? own->columns_count : columns;
        decoded->trace = own->trace == decoded->trace ? decoded->trace : -1;
        decoded->json = decoded->json && own->json;
        decoded->foreign = decoded->foreign || own->foreign;
    }
    decoded->body = NULL; /* items have the bodies; the batch says whether they may break */
    decoded->columns_count = columns;
    decoded->columns = sl_arena_alloc(map->arena, ((size_t)columns + 1) * sizeof(*decoded->columns));
    map->failed = map->failed || decoded->columns == NULL;
    for (uint32_t c = 0; decoded->columns != NULL && c < columns; c++)
        joint_column(map, c, &decoded->columns[c]);
}

static void joint_fates(struct joint_map *map, struct sl_output *output)
{
    const void *from[SL_JOINT_PARTS] = {NULL};

    for (uint32_t p = 0; p < map->parts_count; p++)
        from[p] = map->parts[p].output.fate;
    output->fate = joint_gather(map, from, sizeof(*output->fate));
}

static void joint_items(struct joint_map *map, struct sl_item *items, struct sl_output *output, struct sl_view *view)
{
    uint32_t at[SL_JOINT_PARTS] = {0};

    output->items = items;
    view->sel_count = 0;
    for (uint32_t i = 0; i < map->count; i++) {
        const struct sl_output *own = &map->parts[map->part[i]].output;
        uint32_t *item = &at[map->part[i]];
        while (*item < own->count && own->items[*item].row < map->row[i])
            ++*item;
        if (*item == own->count || own->items[*item].row != map->row[i])
            continue;
        items[output->count] = own->items[(*item)++];
        items[output->count].row = items[output->count].ref.index = (uint16_t)i;
        output->count++;
        view->sel[view->sel_count++] = (uint16_t)i;
    }
}

static int joint_view(struct joint_map *map, struct sl_view *view)
{
    struct sl_batch *batch = sl_arena_alloc(map->arena, sizeof(*batch));
    struct sl_decoded *decoded = sl_arena_alloc(map->arena, sizeof(*decoded));

    if (batch == NULL || decoded == NULL)
        return -1;
    memset(view, 0, sizeof(*view));
    joint_batch(map, batch);
    joint_decoded(map, decoded);
    view->batch = batch;
    view->decoded = decoded;
    view->sel = sl_arena_alloc(map->arena, ((size_t)map->count + 1) * sizeof(*view->sel));
    view->reason = sl_arena_alloc(map->arena, (size_t)map->count + 1);
    view->port = sl_arena_alloc(map->arena, (size_t)map->count + 1);
    if (view->sel == NULL || view->reason == NULL || view->port == NULL)
        return -1;
    memset(view->reason, 0, map->count);
    memset(view->port, 0, map->count);
    JOINT_GATHER(map, view->randomness, randomness);
    JOINT_GATHER(map, view->threshold, threshold);
    return map->failed ? -1 : 0;
}

int sl_joint(const uint8_t *sides, const struct sl_joint_part *parts, uint32_t count, struct sl_item *items, struct sl_output *ret_output)
{
    struct joint_map map = {.arena = joint_batch_of(&parts[0])->arena, .parts = parts, .parts_count = count};
    struct sl_view *view = sl_arena_alloc(map.arena, sizeof(*view));

    assert(count > 0 && count <= SL_JOINT_PARTS);
    memset(ret_output, 0, sizeof(*ret_output));
    if (view == NULL || joint_map_init(&map, sides) != 0 || joint_view(&map, view) != 0)
        return -1;
    joint_fates(&map, ret_output);
    if (ret_output->fate == NULL)
        return -1;
    joint_items(&map, items, ret_output, view);
    view->fate = ret_output->fate;
    ret_output->face = view;
    return 0;
}
