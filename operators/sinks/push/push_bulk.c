/* push_bulk.c: a bulk's rows and bytes: added, counted, copied in part.
 * SPDX-License-Identifier: Apache-2.0 */
#include "operators/sinks/push/push.h"

#include <assert.h>
#include <stdlib.h>

struct push_bulk *push_bulk_new(struct push *push)
{
    struct push_bulk *bulk = calloc(1, sizeof(*bulk));

    if (bulk == NULL)
        return NULL;
    bulk->push = push;
    if (push->kind->first != NULL)
        sl_buf_text(&bulk->text, push->kind->first);
    return bulk;
}

static uint64_t bulk_bytes(const struct push_bulk *bulk)
{
    return sizeof(*bulk) + bulk->text.capacity + bulk->keys.capacity + bulk->wire.capacity +
           (uint64_t)bulk->rows_cap * sizeof(*bulk->rows);
}

void push_bulk_charge(struct push_bulk *bulk)
{
    uint64_t bytes = bulk_bytes(bulk);

    bulk->push->used_bytes += bytes - bulk->charged_bytes;
    bulk->charged_bytes = bytes;
}

void push_bulk_free(struct push_bulk *bulk)
{
    if (bulk == NULL)
        return;
    assert(bulk->request.driver == NULL);
    if (bulk->push != NULL) {
        assert(bulk->push->used_bytes >= bulk->charged_bytes);
        bulk->push->used_bytes -= bulk->charged_bytes;
    }
    if (bulk->hunt != NULL && --bulk->hunt->refs == 0)
        free(bulk->hunt);
    sl_buf_fini(&bulk->text);
    sl_buf_fini(&bulk->keys);
    sl_buf_fini(&bulk->wire);
    sl_buf_fini(&bulk->request.answer);
    free(bulk->rows);
    free(bulk);
}

struct push_row *push_bulk_row(struct push_bulk *bulk)
{
    if (bulk->rows_count == bulk->rows_cap) {
        uint32_t cap = bulk->rows_cap == 0 ? 64 : bulk->rows_cap * 2;
        struct push_row *rows = realloc(bulk->rows, cap * sizeof(*rows));
        if (rows == NULL)
            return NULL;
        bulk->rows = rows;
        bulk->rows_cap = cap;
    }
    return &bulk->rows[bulk->rows_count];
}

struct sl_slice push_row_body(const struct push_bulk *bulk, const struct push_row *row)
{
    if (row->raw_bytes != PUSH_NONE)
        return (struct sl_slice){sl_buf_str(&bulk->keys) + row->key_at + (row->key_bytes == PUSH_NONE ? 0 : row->key_bytes),
                                 row->raw_bytes};
    return (struct sl_slice){bulk->text.data + row->at + row->head_bytes, row->body_bytes};
}

struct sl_slice push_row_key(const struct push_bulk *bulk, const struct push_row *row)
{
    if (row->key_bytes == PUSH_NONE)
        return (struct sl_slice){NULL, 0};
    return (struct sl_slice){sl_buf_str(&bulk->keys) + row->key_at, row->key_bytes};
}

static int part_add(struct push_bulk *part, const struct push_bulk *bulk, const struct push_row *from)
{
    struct push_row *row = push_bulk_row(part);

    if (row == NULL)
        return -1;
    *row = *from;
    row->state = PUSH_PENDING;
    row->at = (uint32_t)part->text.bytes;
    row->key_at = (uint32_t)part->keys.bytes;
    sl_buf_append(&part->text, bulk->text.data + from->at, (size_t)from->head_bytes + from->body_bytes + from->tail_bytes);
    if (bulk->push->kind->between != '\0')
        sl_buf_char(&part->text, bulk->push->kind->between);
    sl_buf_append(&part->keys, sl_buf_str(&bulk->keys) + from->key_at,
                  (from->key_bytes == PUSH_NONE ? 0 : (size_t)from->key_bytes) + (from->raw_bytes == PUSH_NONE ? 0 : from->raw_bytes));
    part->rows_count++;
    return sl_buf_failed(&part->text) || sl_buf_failed(&part->keys) ? -1 : 0;
}

struct push_bulk *push_bulk_part(const struct push_bulk *bulk, uint32_t from, uint32_t to, enum push_row_state state)
{
    struct push_bulk *part = push_bulk_new(bulk->push);

    assert(from <= to && to <= bulk->rows_count);
    if (part == NULL)
        return NULL;
    part->opened_ns = bulk->opened_ns;
    part->sealed_ns = bulk->sealed_ns;
    part->attempts = bulk->attempts;
    for (uint32_t i = from; i < to; i++)
        if (bulk->rows[i].state == (uint8_t)state && part_add(part, bulk, &bulk->rows[i]) != 0) {
            push_bulk_free(part);
            return NULL;
        }
    push_bulk_charge(part);
    return part;
}
