/* queue_pump.c: from a sink's queue to the sink, while it has credit: first what lies on disk, adopted parts before the own, then what
 * is still in memory, so that each partition keeps its order.
 *
 * Records of one entry and partition make a parcel (queue_parcel.c).
 * SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdio.h>

#include "runtime/engine/slot/queue.h"

#define PUMP_AGAIN_NS (1000 * 1000000ull)

struct pump_load { /* what was read, and where the walk over it stands */
    struct sl_batch batch; /* of the queue's topic */
    struct sl_queue_row *rows;
    bool *fine;
};

bool sl_queue_behind(const struct sl_queue *queue)
{
    for (uint32_t p = 0; p < queue->parts_count; p++)
        if (queue->parts[p].read < queue->parts[p].end)
            return true;
    return queue->idle_memory;
}

bool sl_queue_sink_takes(const struct sl_queue *queue)
{
    const struct sl_slot_sink *sink = queue->sink;

    return !queue->dead && sink->leaving == NULL && queue->slot->now_ns >= queue->retry_at_ns &&
           (sink->now.kind->credit == NULL || sink->now.kind->credit(sink->now.self) > 0);
}

/* ---- what is in memory ---- */

static bool pump_follows(const struct sl_queue_row *before, const struct sl_queue_row *row)
{
    return (row->offset > before->offset || (row->offset == before->offset && row->sub > before->sub)) && row->number == before->number && row->incarnation == before->incarnation &&
           sl_slice_eq(row->id, before->id) && sl_slice_eq(row->topic, before->topic) && sl_slice_eq(row->source, before->source);
}

static int pump_entry(struct sl_queue *queue, struct sl_queue_entry *entry)
{
    struct sl_queue_row *rows;
    uint32_t *numbers;
    struct sl_queue_run run = {.entry = entry};

    sl_arena_reset(&queue->arena);
    rows = sl_arena_alloc(&queue->arena, entry->count * sizeof(*rows));
    numbers = sl_arena_alloc(&queue->arena, entry->count * sizeof(*numbers));
    if (rows == NULL || numbers == NULL)
        return -1;
    for (uint32_t row = 0; row < entry->count; row++) {
        struct sl_slice bytes = {entry->rows + entry->row_at[row], entry->row_at[row + 1] - entry->row_at[row]};
        if (sl_queue_bit(entry->done_bits, row) || sl_queue_bit(entry->out_bits, row))
            continue;
        if (sl_queue_row_get(bytes, &rows[run.count]) != 0)
            assert(!"a record in memory that we wrote ourselves");
        numbers[run.count++] = row;
    }
    run.rows = rows;
    run.numbers = numbers;
    return sl_queue_submit(queue, &run);
}

/* ---- what is on disk ---- */

/* The entry that holds `offset`, or, in *ret_behind, the first one that begins after it. */
static struct sl_queue_entry *pump_find(const struct sl_queue_part *part, uint64_t offset, struct sl_queue_entry **ret_behind)
{
    struct sl_queue_entry *entry = part->disk.first;

    while (entry != NULL && entry->next_offset <= offset)
        entry = entry->next;
    *ret_behind = entry != NULL && entry->first <= offset ? entry->next : entry;
    return entry != NULL && entry->first <= offset ? entry : NULL;
}

static void pump_insert(struct sl_queue_part *part, struct sl_queue_entry *entry, struct sl_queue_entry *behind)
{
    if (behind == NULL) {
        sl_queue_list_add(&part->disk, entry);
        return;
    }
    entry->next = behind;
    entry->prev = behind->prev;
    *(behind->prev != NULL ? &behind->prev->next : &part->disk.first) = entry;
    behind->prev = entry;
    part->disk.count++;
}

static void pump_entry_drop(struct sl_queue *queue, struct sl_queue_part *part, struct sl_queue_entry *entry)
{
    sl_queue_list_take(&part->disk, entry);
    sl_queue_entry_free(queue, entry);
}

/* The row can no longer be delivered from here. Where the mark still waits for it, it is read from the source again, unless it was
 * lost by the user's wish; else the ledger keeps it as deferred, and the count of lost ones says so. */
static void pump_lose(struct sl_queue *queue, struct sl_queue_entry *entry, uint64_t offset, bool wished)
{
    uint32_t row = entry != NULL ? sl_queue_row_of(entry, offset) : UINT32_MAX;
    bool again = entry != NULL && entry->ticketed && !wished;

    queue->lost += !again;
    queue->rewind = queue->rewind || again;
    if (row == UINT32_MAX || sl_queue_bit(entry->done_bits, row))
        return;
    sl_queue_row_done(entry, row);
    if (entry->left == 0 && !again)
        sl_queue_ticket_done(queue, entry);
}

/* Steps over entries of which the sink has, or has had, everything, without reading them. */
static void pump_skip(struct sl_queue *queue, struct sl_queue_part *part)
{
    struct sl_queue_entry *behind, *entry;

    while (part->read < part->end && (entry = pump_find(part, part->read, &behind)) != NULL && sl_queue_idle(entry) == 0 &&
           !sl_queue_entry_is_over(queue, entry))
        part->read = entry->next_offset;
}

static int pump_read(struct sl_queue *queue, struct sl_queue_part *part, struct pump_load *load)
{
    struct sl_err err = {0};
    int got;

    sl_arena_reset(&queue->arena);
    *load = (struct pump_load){.batch = {.arena = &queue->arena}};
    if (part->at != part->read && sl_spool_seek(part->reader, part->read, &err) != 0)
        got = -1;
    else
        got = sl_spool_read(part->reader, &load->batch, &err);
    part->at = UINT64_MAX; /* unless all of it is given out */
    if (got == 1) {
        load->rows = sl_arena_alloc(&queue->arena, load->batch.count * sizeof(*load->rows));
        load->fine = sl_arena_alloc(&queue->arena, load->batch.count);
        if (load->rows == NULL || load->fine == NULL)
            got = sl_fail(&err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory for %u records", load->batch.count);
    }
    if (got < 0) {
        (void)sl_while(&err, "topology %s: reading the queue of sink %s", queue->slot->topology->name, queue->name);
        sl_slot_log(queue->slot, &err, "queue");
        queue->retry_at_ns = queue->slot->now_ns + PUMP_AGAIN_NS;
        return -1;
    }
    for (uint32_t i = 0; got == 1 && i < load->batch.count; i++)
        load->fine[i] = sl_queue_row_get(load->batch.raw[i], &load->rows[i]) == 0;
    return got;
}

static bool pump_is_old(const struct sl_queue *queue, const struct pump_load *load, uint32_t i)
{
    const struct sl_env *env = &queue->slot->env;
    int64_t age_ms = (int64_t)(queue->sink->now.common->queue_age_ns / 1000000);

    return age_ms > 0 && load->batch.append_unix_ms[i] < env->unix_ms(env->user) - age_ms;
}

/* Whether row i of the load is to be delivered now; counts what is lost. */
static bool pump_wanted(struct sl_queue *queue, const struct pump_load *load, uint32_t i, struct sl_queue_entry *entry)
{
    uint64_t offset = load->batch.offset[i];
    uint32_t row;

    if (!load->fine[i] || pump_is_old(queue, load, i)) {
        pump_lose(queue, entry, offset, load->fine[i]);
        return false;
    }
    if (entry == NULL)
        return !load->rows[i].unmarked; /* else of an assignment or a start that is over: it comes again from the source */
    row = sl_queue_row_of(entry, offset);
    return row != UINT32_MAX && !sl_queue_bit(entry->done_bits, row) && !sl_queue_bit(entry->out_bits, row);
}

static struct sl_queue_entry *pump_entry_new(struct sl_queue *queue, struct sl_queue_part *part, const struct pump_load *load,
                                             uint32_t from, uint32_t count, struct sl_queue_entry *behind)
{
    const struct sl_queue_row *row = &load->rows[from];
    struct sl_partition partition = {.number = row->number, .incarnation = row->incarnation};
    char source[256], topic[4096];
    struct sl_queue_entry *entry;

    (void)snprintf(source, sizeof(source), "%.*s", (int)row->source.bytes, row->source.data);
    (void)snprintf(topic, sizeof(topic), "%.*s", (int)row->topic.bytes, row->topic.data);
    (void)snprintf(partition.id, sizeof(partition.id), "%.*s", (int)row->id.bytes, row->id.data);
    partition.source = source;
    partition.topic = topic;
    entry = sl_queue_entry_new(queue, count, &partition);
    if (entry == NULL)
        return NULL;
    entry->where = SL_QUEUE_DISK;
    entry->part = (uint32_t)(part - queue->parts);
    entry->first = load->batch.offset[from];
    entry->next_offset = entry->first + count;
    entry->kept = count;
    entry->queued_unix_ms = load->batch.append_unix_ms[from];
    for (uint32_t i = 0; i < count; i++)
        sl_queue_bit_set(entry->kept_bits, i, true);
    pump_insert(part, entry, behind);
    return entry;
}

/* How many rows from `from` on make one parcel. */
static uint32_t pump_measure(struct sl_queue *queue, const struct pump_load *load, uint32_t from, struct sl_queue_entry *entry,
                             const struct sl_queue_entry *behind)
{
    uint32_t to = from + 1;

    while (to < load->batch.count && load->batch.offset[to] == load->batch.offset[to - 1] + 1 &&
           load->batch.offset[to] < (entry != NULL ? entry->next_offset : behind != NULL ? behind->first : UINT64_MAX) &&
           load->fine[to] && !pump_is_old(queue, load, to) && pump_follows(&load->rows[to - 1], &load->rows[to]) &&
           pump_wanted(queue, load, to, entry))
        to++;
    return to - from;
}

/* One parcel of the load, from row `from`. Returns its rows, 0: no memory now. */
static uint32_t pump_run(struct sl_queue *queue, struct sl_queue_part *part, struct pump_load *load, uint32_t from,
                         struct sl_queue_entry *entry, struct sl_queue_entry *behind)
{
    uint32_t count = pump_measure(queue, load, from, entry, behind);
    uint32_t *numbers = sl_arena_alloc(&queue->arena, count * sizeof(*numbers));
    struct sl_queue_run run = {entry, &load->rows[from], numbers, count};
    bool made = entry == NULL;

    if (numbers == NULL)
        return 0;
    if (made && (run.entry = pump_entry_new(queue, part, load, from, count, behind)) == NULL)
        return 0;
    for (uint32_t i = 0; i < count; i++)
        numbers[i] = sl_queue_row_of(run.entry, load->batch.offset[from + i]);
    part->read = load->batch.offset[from] + count; /* before the sink is asked: what it fails is read again */
    if (sl_queue_submit(queue, &run) == 0)
        return count;
    part->read = load->batch.offset[from];
    if (made)
        pump_entry_drop(queue, part, run.entry);
    return 0;
}

/* Records that damage took from the disk: of entries that the walk has passed. */
static void pump_missing(struct sl_queue *queue, struct sl_queue_part *part, uint64_t from)
{
    for (struct sl_queue_entry *entry = part->disk.first, *next; entry != NULL && entry->first < part->read; entry = next) {
        next = entry->next;
        if (entry->next_offset <= from || entry->next_offset > part->read || sl_queue_idle(entry) == 0)
            continue;
        for (uint32_t row = 0; row < entry->count; row++)
            if (!sl_queue_bit(entry->done_bits, row) && !sl_queue_bit(entry->out_bits, row))
                pump_lose(queue, entry, sl_queue_offset_of(entry, row), false);
    }
}

/* 1: all of it is given out; 0: the sink takes no more, or has failed; -1: again later. */
static int pump_load(struct sl_queue *queue, struct sl_queue_part *part, struct pump_load *load)
{
    uint32_t i = 0;

    while (i < load->batch.count) {
        uint64_t offset = load->batch.offset[i];
        struct sl_queue_entry *behind, *entry = pump_find(part, offset, &behind);
        uint32_t count;
        if (entry != NULL && sl_queue_entry_is_over(queue, entry)) {
            pump_entry_drop(queue, part, entry);
            continue;
        }
        if (!pump_wanted(queue, load, i, entry)) {
            part->read = offset + 1;
            i++;
            continue;
        }
        part->head_unix_ms = load->batch.append_unix_ms[i];
        if (!sl_queue_sink_takes(queue))
            return 0;
        count = pump_run(queue, part, load, i, entry, behind);
        if (count == 0)
            return -1;
        i += count;
        if (part->read != offset + count) /* the sink has failed: read again from what it lost */
            return 0;
    }
    part->read = part->at = load->batch.next;
    part->head_unix_ms = 0;
    return 1;
}

static int pump_part(struct sl_queue *queue, struct sl_queue_part *part)
{
    uint64_t from = part->read;
    struct pump_load load;
    int got = pump_read(queue, part, &load);

    if (got < 0)
        return -1;
    if (got == 0) {
        part->read = part->end; /* durable once, and gone: damage, which the spool has counted */
        pump_missing(queue, part, from);
        return 1;
    }
    got = pump_load(queue, part, &load);
    if (part->read > from)
        pump_missing(queue, part, from);
    if (got < 0)
        queue->retry_at_ns = queue->slot->now_ns + PUMP_AGAIN_NS;
    return got;
}

/* ---- turns ---- */

static struct sl_queue_entry *pump_idle_entry(struct sl_queue *queue)
{
    if (!queue->idle_memory)
        return NULL;
    for (struct sl_queue_entry *entry = queue->memory.first, *next; entry != NULL; entry = next) {
        next = entry->next;
        if (entry->where == SL_QUEUE_MEMORY && sl_queue_entry_is_over(queue, entry)) {
            sl_queue_list_take(&queue->memory, entry);
            sl_queue_entry_free(queue, entry);
        } else if (sl_queue_idle(entry) > 0) {
            return entry;
        }
    }
    queue->idle_memory = false;
    return NULL;
}

static bool pump_ready(struct sl_queue *queue)
{
    size_t max_bytes = (size_t)(4 * queue->slot->shared->max_record_bytes + (8u << 20));

    if (!queue->has_arena)
        queue->has_arena = sl_arena_init(&queue->arena, SL_QUEUE_ARENA_FIRST, max_bytes) == 0;
    return queue->has_arena;
}

static void pump_rest(struct sl_queue *queue)
{
    if (queue->has_arena)
        sl_arena_fini(&queue->arena);
    queue->has_arena = false;
}

bool sl_queue_pump(struct sl_queue *queue)
{
    for (int loads = 0; loads < SL_QUEUE_LOADS_A_TURN; loads++) {
        struct sl_queue_part *part = NULL;
        struct sl_queue_entry *entry;
        for (uint32_t p = 0; p < queue->parts_count && part == NULL; p++) {
            pump_skip(queue, &queue->parts[p]);
            if (queue->parts[p].read < queue->parts[p].end)
                part = &queue->parts[p];
        }
        entry = part == NULL ? pump_idle_entry(queue) : NULL;
        if (part == NULL && entry == NULL) {
            pump_rest(queue);
            return loads > 0;
        }
        if (!sl_queue_sink_takes(queue) && (part == NULL || part->head_unix_ms != 0 || queue->slot->now_ns < queue->retry_at_ns))
            return loads > 0; /* but how old its head is should be known */
        if (!pump_ready(queue))
            return false;
        if (part != NULL && pump_part(queue, part) < 0)
            return false;
        if (entry != NULL && pump_entry(queue, entry) < 0)
            return false;
    }
    return true;
}

void sl_queue_reap(struct sl_queue *queue)
{
    for (uint32_t p = 0; p < queue->parts_count; p++) {
        struct sl_queue_part *part = &queue->parts[p];
        struct sl_queue_entry *entry;
        while ((entry = part->disk.first) != NULL && entry->next_offset <= part->read &&
               (entry->left == 0 || sl_queue_entry_is_over(queue, entry)))
            pump_entry_drop(queue, part, entry);
    }
}

uint64_t sl_queue_settled(const struct sl_queue_part *part)
{
    const struct sl_queue_entry *entry = part->disk.first;

    while (entry != NULL && entry->left == 0)
        entry = entry->next;
    if (entry == NULL || entry->first >= part->read)
        return part->read;
    for (uint32_t row = 0; row < entry->count; row++)
        if (!sl_queue_bit(entry->done_bits, row) && sl_queue_bit(entry->kept_bits, row))
            return sl_queue_offset_of(entry, row) < part->read ? sl_queue_offset_of(entry, row) : part->read;
    return part->read;
}
