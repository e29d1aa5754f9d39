/* queue_parcel.c: records of a queue as a parcel for the sink, with a batch and a view of their own in the pump's arena: bodies as they
 * were encoded at first, and of the fields those that the sink bound at open.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/engine/slot/queue.h"
#include "sampling/consistent.h"

static bool parcel_any(const struct sl_queue_run *run, bool (*has)(const struct sl_queue_row *row))
{
    for (uint32_t i = 0; i < run->count; i++)
        if (has(&run->rows[i]))
            return true;
    return false;
}

static bool parcel_has_key(const struct sl_queue_row *row)
{
    return row->key.data != NULL;
}

static bool parcel_has_origin(const struct sl_queue_row *row)
{
    return row->origin.data != NULL;
}

static bool parcel_has_sub(const struct sl_queue_row *row)
{
    return row->sub > 0;
}

static bool parcel_has_headers(const struct sl_queue_row *row)
{
    return row->headers_count > 0;
}

static bool parcel_has_null(const struct sl_queue_row *row)
{
    return row->null_payload;
}

static bool parcel_has_threshold(const struct sl_queue_row *row)
{
    return row->has_threshold;
}

static bool parcel_has_randomness(const struct sl_queue_row *row)
{
    return row->has_randomness;
}

static int parcel_headers(const struct sl_queue_run *run, struct sl_batch *batch)
{
    if (!parcel_any(run, parcel_has_headers))
        return 0;
    batch->headers = sl_arena_alloc(batch->arena, run->count * sizeof(struct sl_header *));
    batch->headers_count = sl_arena_alloc(batch->arena, run->count * sizeof(*batch->headers_count));
    if (batch->headers == NULL || batch->headers_count == NULL)
        return -1;
    for (uint32_t i = 0; i < run->count; i++) {
        const struct sl_queue_row *row = &run->rows[i];
        batch->headers_count[i] = row->headers_count;
        batch->headers[i] = sl_arena_alloc(batch->arena, (row->headers_count + 1u) * sizeof(struct sl_header));
        if (batch->headers[i] == NULL)
            return -1;
        sl_queue_row_headers(row, batch->headers[i]);
    }
    return 0;
}

static int parcel_batch(const struct sl_queue_run *run, struct sl_batch *batch)
{
    struct sl_arena *arena = batch->arena;
    uint32_t count = run->count;
    uint16_t *subs = parcel_any(run, parcel_has_sub) ? sl_arena_alloc(arena, count * sizeof(*subs)) : NULL;

    batch->raw = sl_arena_alloc(arena, count * sizeof(*batch->raw));
    batch->offset = sl_arena_alloc(arena, count * sizeof(*batch->offset));
    batch->append_unix_ms = sl_arena_alloc(arena, count * sizeof(*batch->append_unix_ms));
    batch->key = parcel_any(run, parcel_has_key) ? sl_arena_alloc(arena, count * sizeof(*batch->key)) : NULL;
    batch->origin = parcel_any(run, parcel_has_origin) ? sl_arena_alloc(arena, count * sizeof(*batch->origin)) : NULL;
    batch->null_payload = parcel_any(run, parcel_has_null) ? sl_arena_alloc(arena, count) : NULL;
    if (batch->raw == NULL || batch->offset == NULL || batch->append_unix_ms == NULL || parcel_headers(run, batch) != 0 ||
        (batch->key == NULL && parcel_any(run, parcel_has_key)) || (batch->origin == NULL && parcel_any(run, parcel_has_origin)) ||
        (batch->null_payload == NULL && parcel_any(run, parcel_has_null)) || (subs == NULL && parcel_any(run, parcel_has_sub)))
        return -1;
    for (uint32_t i = 0; i < count; i++) {
        const struct sl_queue_row *row = &run->rows[i];
        batch->raw[i] = row->body;
        batch->offset[i] = row->offset;
        batch->append_unix_ms[i] = row->append_unix_ms;
        batch->may_break = batch->may_break || row->may_break;
        if (batch->key != NULL)
            batch->key[i] = row->key;
        if (batch->origin != NULL)
            batch->origin[i] = row->origin;
        if (batch->null_payload != NULL)
            batch->null_payload[i] = row->null_payload;
        if (subs != NULL)
            subs[i] = row->sub;
    }
    batch->sub = subs;
    batch->partition = (struct sl_partition *)(uintptr_t)run->entry->from; /* sinks only read it */
    batch->count = count;
    batch->first = batch->offset[0];
    batch->next = batch->offset[count - 1] + 1;
    return 0;
}

static int parcel_columns(const struct sl_queue *queue, const struct sl_queue_run *run, struct sl_decoded *decoded, struct sl_arena *arena)
{
    struct sl_queue_columns columns = sl_queue_columns_of(queue);

    decoded->columns_count = queue->slot->plan->paths_count;
    decoded->columns = sl_arena_alloc(arena, (decoded->columns_count + 1) * sizeof(*decoded->columns));
    if (decoded->columns == NULL)
        return -1;
    memset(decoded->columns, 0, (decoded->columns_count + 1) * sizeof(*decoded->columns));
    for (uint32_t c = 0; c < columns.count; c++) {
        struct sl_column *column = &decoded->columns[columns.columns[c]];
        column->value = sl_arena_alloc(arena, run->count * sizeof(*column->value));
        column->span = sl_arena_alloc(arena, run->count * sizeof(*column->span));
        column->type = sl_arena_alloc(arena, run->count);
        column->repeated = sl_arena_alloc(arena, run->count);
        if (column->value == NULL || column->span == NULL || column->type == NULL || column->repeated == NULL)
            return -1;
        memset(column->value, 0, run->count * sizeof(*column->value));
        memset(column->span, 0, run->count * sizeof(*column->span));
        memset(column->type, SL_T_ABSENT, run->count);
        memset(column->repeated, 0, run->count);
    }
    for (uint32_t i = 0; i < run->count; i++)
        sl_queue_row_columns(&run->rows[i], &columns, decoded->columns, i);
    return 0;
}

static int parcel_decoded(struct sl_queue *queue, const struct sl_queue_run *run, struct sl_decoded *decoded, struct sl_arena *arena)
{
    int64_t *time_unix_ms = sl_arena_alloc(arena, run->count * sizeof(*time_unix_ms));
    uint32_t *service = sl_arena_alloc(arena, run->count * sizeof(*service));
    uint8_t *level = sl_arena_alloc(arena, run->count);

    memset(decoded, 0, sizeof(*decoded));
    if (time_unix_ms == NULL || service == NULL || level == NULL || parcel_columns(queue, run, decoded, arena) != 0)
        return -1;
    decoded->json = true;
    for (uint32_t i = 0; i < run->count; i++) {
        const struct sl_queue_row *row = &run->rows[i];
        time_unix_ms[i] = row->time_unix_ms;
        service[i] = sl_intern(queue->services, row->service);
        level[i] = row->level;
        decoded->json = decoded->json && row->json;
    }
    decoded->time_unix_ms = time_unix_ms;
    decoded->service = service;
    decoded->level = level;
    decoded->trace = -1;
    for (int role = 0; role < SL_ROLE_FIELDS; role++)
        decoded->role_column[role] = -1;
    return 0;
}

static int parcel_view(const struct sl_queue_run *run, struct sl_view *view, const struct sl_batch *batch, const struct sl_decoded *decoded)
{
    if (sl_view_all(view, batch, decoded) != 0)
        return -1;
    if (parcel_any(run, parcel_has_randomness) &&
        (view->randomness = sl_arena_alloc(batch->arena, run->count * sizeof(*view->randomness))) == NULL)
        return -1;
    if (parcel_any(run, parcel_has_threshold) &&
        (view->threshold = sl_arena_alloc(batch->arena, run->count * sizeof(*view->threshold))) == NULL)
        return -1;
    for (uint32_t i = 0; i < run->count; i++) {
        if (view->randomness != NULL)
            view->randomness[i] = run->rows[i].randomness;
        if (view->threshold != NULL)
            view->threshold[i] = run->rows[i].threshold;
    }
    return 0;
}

/* What the ledger will want to know, of those that were read back from disk: the ledger has them as deferred. */
static int parcel_cells(struct sl_queue *queue, const struct sl_queue_run *run, const struct sl_view *view)
{
    bool made = run->entry->cells == NULL;

    if (sl_queue_cells_new(queue, run->entry) != 0)
        return -1;
    for (uint32_t i = 0; i < run->count; i++) {
        struct sl_queue_cell *cell = &run->entry->cells[run->numbers[i]];
        if (!made && cell->weight > 0)
            continue;
        *cell = (struct sl_queue_cell){.service = view->decoded->service[i], .level = view->decoded->level[i], .deferred = true,
                                       .derived = run->rows[i].sub > 0, .bytes = run->rows[i].body.bytes,
                                       .weight = view->threshold != NULL ? sl_weight_of_threshold(view->threshold[i]) : 1.0};
    }
    return 0;
}

int sl_queue_submit(struct sl_queue *queue, const struct sl_queue_run *run)
{
    struct sl_arena *arena = &queue->arena;
    struct sl_batch *batch = sl_arena_alloc(arena, sizeof(*batch));
    struct sl_decoded *decoded = sl_arena_alloc(arena, sizeof(*decoded));
    struct sl_item *items = sl_arena_alloc(arena, run->count * sizeof(*items));
    struct sl_parcel parcel = {.items = items, .count = run->count};
    struct sl_err err = {0};
    struct sl_view view;

    if (batch == NULL || decoded == NULL || items == NULL)
        return -1;
    *batch = (struct sl_batch){.arena = arena};
    if (parcel_batch(run, batch) != 0 || parcel_decoded(queue, run, decoded, arena) != 0 || parcel_view(run, &view, batch, decoded) != 0 ||
        parcel_cells(queue, run, &view) != 0)
        return -1;
    for (uint32_t i = 0; i < run->count; i++) {
        items[i] = (struct sl_item){.ref = {run->entry->id, (uint16_t)run->numbers[i]}, .row = (uint16_t)i, .body = run->rows[i].body};
        parcel.bytes += items[i].body.bytes;
        sl_queue_row_out(run->entry, run->numbers[i]);
    }
    parcel.view = &view;
    parcel.first = batch->first;
    parcel.next = batch->next;
    if (queue->sink->now.kind->submit(queue->sink->now.self, &parcel, &err) != 0) /* the entry may be gone: all answered */
        sl_queue_sink_failed(queue, &err);
    return 0;
}
