/* queue_entry.c: entries of a sink's queue: memory, the table of ids, lists, and where a record lies on disk.
 * SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/engine/slot/queue.h"

/* An id: low 20 bits row of the table, high 12 bits its generation, so that a late answer is known as such (rule B4). */
enum { ENTRY_ROW_BITS = 20, ENTRY_ROW_MASK = (1 << ENTRY_ROW_BITS) - 1, ENTRY_GENERATION_MASK = 0xfff };

/* ---- the table ---- */

static int entry_table_grow(struct sl_queue *queue)
{
    uint32_t cap = queue->table_cap == 0 ? 64 : queue->table_cap * 2;
    struct sl_queue_entry **table;
    uint16_t *generation;
    uint32_t *free_rows;

    if (cap > ENTRY_ROW_MASK)
        return -1;
    table = realloc(queue->table, cap * sizeof(struct sl_queue_entry *));
    queue->table = table != NULL ? table : queue->table;
    generation = realloc(queue->table_generation, cap * sizeof(*generation));
    queue->table_generation = generation != NULL ? generation : queue->table_generation;
    free_rows = realloc(queue->table_free, cap * sizeof(*free_rows));
    queue->table_free = free_rows != NULL ? free_rows : queue->table_free;
    if (table == NULL || generation == NULL || free_rows == NULL)
        return -1;
    for (uint32_t row = cap; row-- > queue->table_cap;) {
        table[row] = NULL;
        generation[row] = 0;
        free_rows[queue->table_free_count++] = row;
    }
    queue->table_cap = cap;
    return 0;
}

static int entry_enter(struct sl_queue *queue, struct sl_queue_entry *entry)
{
    uint32_t row;

    if (queue->table_free_count == 0 && entry_table_grow(queue) != 0)
        return -1;
    row = queue->table_free[--queue->table_free_count];
    queue->table[row] = entry;
    entry->id = (uint32_t)(queue->table_generation[row] & ENTRY_GENERATION_MASK) << ENTRY_ROW_BITS | row;
    return 0;
}

struct sl_queue_entry *sl_queue_entry_find(const struct sl_queue *queue, uint32_t id)
{
    uint32_t row = id & ENTRY_ROW_MASK;

    if (row >= queue->table_cap || queue->table[row] == NULL || queue->table[row]->id != id)
        return NULL;
    return queue->table[row];
}

/* ---- where records come from ---- */

static uint32_t origin_hash(const struct sl_partition *like)
{
    uint64_t hash = sl_record_hash(sl_slice_of(like->id)) ^ sl_record_hash(sl_slice_of(like->topic));

    return (uint32_t)(hash % SL_QUEUE_ORIGINS);
}

static bool origin_is(const struct sl_partition *own, const struct sl_partition *like)
{
    return own->number == like->number && own->incarnation == like->incarnation && strcmp(own->id, like->id) == 0 &&
           strcmp(own->topic, like->topic) == 0 && strcmp(own->source, like->source) == 0;
}

const struct sl_partition *sl_queue_origin(struct sl_queue *queue, const struct sl_partition *like)
{
    struct sl_queue_origin **first = &queue->origins[origin_hash(like)], *origin = *first;
    size_t source_bytes = strlen(like->source) + 1, topic_bytes = strlen(like->topic) + 1;
    char *texts;

    while (origin != NULL && !origin_is(&origin->partition, like))
        origin = origin->next;
    if (origin != NULL)
        return &origin->partition;
    origin = calloc(1, sizeof(*origin) + source_bytes + topic_bytes);
    if (origin == NULL)
        return NULL;
    texts = (char *)(origin + 1);
    origin->partition = (struct sl_partition){.magic = SL_PARTITION_MAGIC, .index = UINT32_MAX, .number = like->number,
                                              .incarnation = like->incarnation};
    origin->partition.source = memcpy(texts, like->source, source_bytes);
    origin->partition.topic = memcpy(texts + source_bytes, like->topic, topic_bytes);
    (void)snprintf(origin->partition.id, sizeof(origin->partition.id), "%s", like->id);
    origin->next = *first;
    *first = origin;
    return &origin->partition;
}

void sl_queue_origins_fini(struct sl_queue *queue)
{
    for (uint32_t i = 0; i < SL_QUEUE_ORIGINS; i++)
        while (queue->origins[i] != NULL) {
            struct sl_queue_origin *origin = queue->origins[i];
            queue->origins[i] = origin->next;
            free(origin);
        }
}

/* ---- entries ---- */

struct sl_queue_entry *sl_queue_entry_new(struct sl_queue *queue, uint32_t count, const struct sl_partition *from)
{
    size_t words = (count + 63) / 64, bytes = sizeof(struct sl_queue_entry) + 3 * words * sizeof(uint64_t);
    struct sl_queue_entry *entry = calloc(1, bytes);

    assert(count > 0 && count <= UINT16_MAX + 1u);
    if (entry == NULL || (entry->from = sl_queue_origin(queue, from)) == NULL || entry_enter(queue, entry) != 0) {
        free(entry);
        return NULL;
    }
    entry->count = entry->left = count;
    entry->done_bits = (uint64_t *)(entry + 1);
    entry->out_bits = entry->done_bits + words;
    entry->kept_bits = entry->out_bits + words;
    entry->at_ns = queue->slot->now_ns;
    entry->bytes = bytes;
    queue->memory_bytes += bytes;
    return entry;
}

void sl_queue_rows_free(struct sl_queue *queue, struct sl_queue_entry *entry)
{
    uint64_t bytes;

    if (entry->rows == NULL)
        return;
    bytes = entry->row_at[entry->count] + (entry->count + 1) * sizeof(uint32_t);
    entry->bytes -= bytes;
    queue->memory_bytes -= bytes;
    free(entry->rows);
    free(entry->row_at);
    entry->rows = NULL;
    entry->row_at = NULL;
}

void sl_queue_entry_free(struct sl_queue *queue, struct sl_queue_entry *entry)
{
    uint32_t row = entry->id & ENTRY_ROW_MASK;

    assert(queue->table[row] == entry);
    sl_queue_rows_free(queue, entry);
    sl_queue_cells_free(queue, entry);
    queue->memory_bytes -= entry->bytes;
    queue->table[row] = NULL;
    queue->table_generation[row]++;
    queue->table_free[queue->table_free_count++] = row;
    free(entry);
}

/* ---- the account ---- */

int sl_queue_cells_new(struct sl_queue *queue, struct sl_queue_entry *entry)
{
    uint64_t bytes = entry->count * sizeof(struct sl_queue_cell);

    if (entry->cells != NULL)
        return 0;
    entry->cells = calloc(1, bytes);
    if (entry->cells == NULL)
        return -1;
    entry->bytes += bytes;
    queue->memory_bytes += bytes;
    return 0;
}

void sl_queue_cells_free(struct sl_queue *queue, struct sl_queue_entry *entry)
{
    uint64_t bytes = entry->count * sizeof(struct sl_queue_cell);

    if (entry->cells == NULL)
        return;
    entry->bytes -= bytes;
    queue->memory_bytes -= bytes;
    free(entry->cells);
    entry->cells = NULL;
}

void sl_queue_account(struct sl_queue *queue, struct sl_queue_entry *entry, uint32_t row, enum sl_fate fate)
{
    struct sl_queue_cell *cell = &entry->cells[row];
    struct sl_ledger_row *to = sl_ledger_row(&queue->slot->ledger, queue->sink->now.component, cell->service, cell->level);

    if (to == NULL) /* no memory: the counters are too low from here on */
        return;
    if (cell->deferred) {
        to->returned++;
    } else {
        to->fates[SL_LIVE]++;
        to->derived += cell->derived;
    }
    cell->deferred = fate == SL_DEFERRED;
    to->fates[fate]++;
    if (fate != SL_DELIVERED)
        return;
    to->bytes += cell->bytes;
    to->weight += cell->weight;
    to->weight_square += cell->weight * (cell->weight - 1.0);
}

/* ---- lists ---- */

void sl_queue_list_add(struct sl_queue_list *list, struct sl_queue_entry *entry)
{
    entry->prev = list->last;
    entry->next = NULL;
    *(list->last != NULL ? &list->last->next : &list->first) = entry;
    list->last = entry;
    list->count++;
}

void sl_queue_list_take(struct sl_queue_list *list, struct sl_queue_entry *entry)
{
    *(entry->prev != NULL ? &entry->prev->next : &list->first) = entry->next;
    *(entry->next != NULL ? &entry->next->prev : &list->last) = entry->prev;
    entry->prev = entry->next = NULL;
    list->count--;
}

/* ---- records and offsets ---- */

uint64_t sl_queue_offset_of(const struct sl_queue_entry *entry, uint32_t row)
{
    uint64_t rank = 0;

    if (entry->kept == entry->count)
        return entry->first + row;
    for (uint32_t i = 0; i < row; i++)
        rank += sl_queue_bit(entry->kept_bits, i);
    return entry->first + rank;
}

uint32_t sl_queue_row_of(const struct sl_queue_entry *entry, uint64_t offset)
{
    uint64_t rank = offset - entry->first;

    if (offset < entry->first || offset >= entry->next_offset)
        return UINT32_MAX;
    if (entry->kept == entry->count)
        return (uint32_t)rank;
    for (uint32_t i = 0; i < entry->count; i++)
        if (sl_queue_bit(entry->kept_bits, i) && rank-- == 0)
            return i;
    return UINT32_MAX;
}

void sl_queue_ticket_done(struct sl_queue *queue, struct sl_queue_entry *entry)
{
    struct sl_ref ref = {entry->ticket, 0};

    if (entry->ticketed)
        sl_slot_ticket_done(queue->slot, &ref);
    entry->ticketed = false;
}

void sl_queue_row_out(struct sl_queue_entry *entry, uint32_t row)
{
    assert(!sl_queue_bit(entry->out_bits, row) && !sl_queue_bit(entry->done_bits, row));
    sl_queue_bit_set(entry->out_bits, row, true);
    entry->out++;
}

void sl_queue_row_idle(struct sl_queue_entry *entry, uint32_t row)
{
    assert(sl_queue_bit(entry->out_bits, row));
    sl_queue_bit_set(entry->out_bits, row, false);
    entry->out--;
}

void sl_queue_row_done(struct sl_queue_entry *entry, uint32_t row)
{
    assert(!sl_queue_bit(entry->done_bits, row));
    if (sl_queue_bit(entry->out_bits, row))
        sl_queue_row_idle(entry, row);
    sl_queue_bit_set(entry->done_bits, row, true);
    entry->left--;
}

bool sl_queue_entry_is_over(const struct sl_queue *queue, const struct sl_queue_entry *entry)
{
    struct sl_ref ref = {entry->ticket, 0};

    return entry->ticketed && sl_slot_ticket_partition(queue->slot, &ref) == UINT32_MAX;
}

struct sl_queue_columns sl_queue_columns_of(const struct sl_queue *queue)
{
    const struct sl_slot_component *component = queue->sink->now.of;

    return (struct sl_queue_columns){component->columns, component->columns_count, queue->slot->plan->paths};
}
