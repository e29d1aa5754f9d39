/* spool_tail.c: one slot's reading of a spool topic.
 * SPDX-License-Identifier: Apache-2.0 */
#include "operators/sources/spool/spool_tail.h"
#include "runtime/base/taken.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#define TAIL_MAGIC 0x54534c31u

/* One partition of ours. ready: assigned, verified, held and sought; a step that failed is tried again. end: taken at the first at_end(); drained: the reader had nothing more after that. */
struct sl_tail_partition {
    struct sl_tail *tail;
    struct sl_spool_reader *reader;
    struct sl_partition *partition;
    uint32_t number;
    bool appeared, ready, drained;
    uint64_t end, position; /* position: where the reader stands */
    int64_t last_unix_ms; /* append time last read, -1 none */
};

struct sl_tail_move { /* a hold to be moved */
    uint32_t partition;
    bool due;
    uint64_t next;
};

/* Moves holds on the clerk, for a hold is a durable file: busy while the job is out, dead when its tail has gone before it. */
struct sl_tail_holds {
    struct sl_job job;
    struct sl_spool_topic *topic;
    struct sl_tail *tail;
    char holder[256];
    bool busy;
    struct sl_tail_move *wanted, *moving; /* [capacity]; moving belongs to the clerk while busy */
    uint32_t capacity;
};

static struct sl_tail_holds *holds_free(struct sl_tail_holds *holds)
{
    if (holds != NULL) {
        free(holds->wanted);
        free(holds->moving);
        free(holds);
    }
    return NULL;
}

/* A hold that could not be moved stays where it was: more is kept than need be, and the next commit tries again. */
static void holds_run(struct sl_job *job)
{
    struct sl_tail_holds *holds = (struct sl_tail_holds *)(void *)job;

    for (uint32_t i = 0; i < holds->capacity; i++) {
        struct sl_tail_move *move = &holds->moving[i];
        struct sl_err err;
        if (move->due)
            (void)sl_spool_hold(holds->topic, holds->holder, move->partition, move->next, &err);
    }
}

static void holds_start(struct sl_tail_holds *holds);

static void holds_done(struct sl_job *job)
{
    struct sl_tail_holds *holds = (struct sl_tail_holds *)(void *)job;

    holds->busy = false;
    if (holds->tail == NULL)
        (void)holds_free(holds);
    else
        holds_start(holds);
}

static void holds_drop(struct sl_job *job)
{
    struct sl_tail_holds *holds = (struct sl_tail_holds *)(void *)job;

    holds->busy = false;
    if (holds->tail == NULL)
        (void)holds_free(holds);
}

static void holds_start(struct sl_tail_holds *holds)
{
    bool due = false;

    if (holds->busy)
        return;
    for (uint32_t i = 0; i < holds->capacity; i++) {
        holds->moving[i] = holds->wanted[i];
        holds->wanted[i].due = false;
        due = due || holds->moving[i].due;
    }
    if (!due)
        return;
    holds->busy = true;
    holds->tail->api->submit(holds->tail->api->env, &holds->job);
}

/* Room for one more partition. Not while the clerk reads `moving`: the caller tries again at its next poll. */
static int holds_grow(struct sl_tail_holds *holds, uint32_t partition)
{
    size_t bytes = (holds->capacity + 1) * sizeof(struct sl_tail_move);
    struct sl_tail_move *wanted, *moving;

    assert(!holds->busy);
    wanted = realloc(holds->wanted, bytes);
    if (wanted == NULL)
        return -1;
    holds->wanted = wanted;
    moving = realloc(holds->moving, bytes);
    if (moving == NULL)
        return -1;
    holds->moving = moving;
    wanted[holds->capacity] = (struct sl_tail_move){.partition = partition};
    moving[holds->capacity] = wanted[holds->capacity];
    holds->capacity++;
    return 0;
}

int sl_tail_init(struct sl_tail *tail, const struct sl_api *api, struct sl_slot *slot, void *source,
                 struct sl_spool_topic *topic, const char *topic_name, struct sl_err *err)
{
    struct sl_tail_holds *holds = calloc(1, sizeof(*holds));
    int bytes;

    if (holds == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "source %s: no memory", api->component);
    bytes = snprintf(holds->holder, sizeof(holds->holder), "%s/%s", api->topology, api->component);
    if (bytes >= (int)sizeof(holds->holder)) {
        (void)holds_free(holds);
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0,
                       "source %s: the names of topology and source are longer than 254 bytes together", api->component);
    }
    *tail = (struct sl_tail){.magic = TAIL_MAGIC, .api = api, .slot = slot, .source = source, .topic = topic,
                             .topic_name = topic_name, .holds = holds};
    holds->job = (struct sl_job){.run = holds_run, .done = holds_done, .drop = holds_drop};
    holds->topic = topic;
    holds->tail = tail;
    return 0;
}

void sl_tail_fini(struct sl_tail *tail)
{
    if (tail->magic != TAIL_MAGIC)
        return;
    for (uint32_t i = 0; i < tail->count; i++) {
        (void)sl_spool_reader_close(tail->items[i]->reader);
        free(tail->items[i]);
    }
    free(tail->items);
    if (tail->holds->busy)
        tail->holds->tail = NULL; /* holds_done frees it */
    else
        (void)holds_free(tail->holds);
    memset(tail, 0, sizeof(*tail));
}

static void tail_wake(void *user)
{
    struct sl_tail *tail = user;
    tail->api->wake(tail->api->env);
}

/* Where a partition without any mark begins. */
static int tail_start(struct sl_tail *tail, uint32_t number, bool appeared, uint64_t *ret_start, struct sl_err *err)
{
    uint64_t first, end;

    sl_spool_bounds(tail->topic, number, &first, &end);
    *ret_start = first;
    if (appeared) /* rule A3 */
        return 0;
    switch (tail->start) {
    case SL_TAIL_EARLIEST:
        return 0;
    case SL_TAIL_LATEST:
        *ret_start = end;
        return 0;
    case SL_TAIL_OFFSET:
        *ret_start = tail->start_offset < first ? first : tail->start_offset > end ? end : tail->start_offset;
        return 0;
    case SL_TAIL_TIMESTAMP:
        return sl_spool_offset_of_time(tail->topic, number, tail->start_unix_ms, ret_start, err);
    }
    return 0;
}

/* Rule A1 for the spool. A mark beyond the end is what a cut tail leaves: rule F1 moves the next offset up to it. */
static int tail_verify(struct sl_tail_partition *item, const struct sl_mark *mark, struct sl_err *err)
{
    struct sl_tail *tail = item->tail;
    uint64_t first, end, hash;
    struct sl_err why;

    if (mark->next == UINT64_MAX)
        return 0;
    sl_spool_bounds(tail->topic, item->number, &first, &end);
    if (mark->next > end && sl_spool_reserve(tail->topic, item->number, mark->next, err) != 0)
        return sl_while(err, "spool topic %s partition %u", tail->topic_name, item->number);
    if (mark->last_offset == UINT64_MAX || item->partition->held != NULL)
        return 0;
    if (sl_tail_fingerprint(tail, item->partition, mark->last_offset, &hash) == 1 && hash != mark->last_hash) {
        (void)sl_fail(&why, SL_E_FORMAT, SL_REMEDY_HALT, 0,
                      "source changed: spool topic %s partition %u holds another record at offset %llu than the one committed; "
                      "if that is meant: sluice resume %s --source-changed %s:%u",
                      tail->topic_name, item->number, (unsigned long long)mark->last_offset, tail->api->topology, tail->topic_name,
                      item->number);
        item->partition->changed = true;
        sl_slot_hold(tail->slot, item->partition, &why);
    }
    return 0;
}

static int tail_assign(struct sl_tail_partition *item, struct sl_mark *ret_mark, struct sl_err *err)
{
    struct sl_tail *tail = item->tail;
    char id[40];
    uint64_t start = 0;

    if (tail_start(tail, item->number, item->appeared, &start, err) != 0)
        return -(int)err->code;
    (void)snprintf(id, sizeof(id), "%u", item->number);
    return sl_slot_assign(tail->slot, tail->source, tail->topic_name, id, (int32_t)item->number, NULL, 0, start, item,
                          &item->partition, ret_mark, err);
}

static int tail_ready(struct sl_tail_partition *item, struct sl_err *err)
{
    struct sl_tail *tail = item->tail;
    struct sl_mark mark = {.next = UINT64_MAX, .last_offset = UINT64_MAX};
    uint64_t first, end;

    if (item->partition == NULL && tail_assign(item, &mark, err) != 0)
        return sl_while(err, "source %s: spool topic %s partition %u", tail->api->component, tail->topic_name, item->number);
    if (tail_verify(item, &mark, err) != 0 ||
        sl_spool_hold(tail->topic, tail->holds->holder, item->number, item->partition->next, err) != 0)
        return sl_while(err, "source %s", tail->api->component);
    sl_spool_bounds(tail->topic, item->number, &first, &end);
    if (item->partition->next < first)
        sl_slot_gap(tail->slot, item->partition, first, "the spool's retention has removed these offsets");
    item->ready = true;
    return sl_tail_seek(tail, item->partition, item->partition->next, err);
}

static int tail_add(struct sl_tail *tail, uint32_t number, bool appeared, struct sl_err *err)
{
    struct sl_tail_partition **items = realloc(tail->items, (tail->count + 1) * sizeof(struct sl_tail_partition *));
    struct sl_tail_partition *item = calloc(1, sizeof(*item));

    if (items != NULL)
        tail->items = items;
    if (items == NULL || item == NULL || holds_grow(tail->holds, number) != 0) {
        free(item);
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory for partition %u", number);
    }
    *item = (struct sl_tail_partition){.tail = tail, .number = number, .appeared = appeared, .last_unix_ms = -1};
    if (sl_spool_reader_open(tail->topic, number, tail_wake, tail, &item->reader, err) != 0) {
        tail->holds->capacity--;
        free(item);
        return -(int)err->code;
    }
    items[tail->count++] = item;
    return 0;
}

/* Takes the partitions of ours that we do not have yet. */
static int tail_discover(struct sl_tail *tail, uint32_t partitions, struct sl_err *err)
{
    bool appeared = tail->known > 0;

    if (tail->holds->busy)
        return 0;
    for (; tail->known < partitions; tail->known++) {
        if (tail->known % tail->api->slots != tail->api->slot)
            continue;
        if (tail_add(tail, tail->known, appeared, err) != 0)
            return sl_while(err, "source %s: spool topic %s", tail->api->component, tail->topic_name);
    }
    return 0;
}

/* 1 when the batch begins where the partition stands; 0 when the hole before it stops the partition (rule A2). */
static int tail_tiles(struct sl_tail_partition *item, const struct sl_batch *batch)
{
    struct sl_partition *partition = item->partition;

    if (batch->first > partition->next)
        sl_slot_gap(item->tail->slot, partition, batch->first, "the spool no longer has these offsets");
    return batch->first == partition->next && partition->held == NULL;
}

/* A record above max_record goes alone, so that the engine sets it aside (batch.large): the batch is cut before or behind it. True:
 * it was cut, and the reader stands beyond its end. */
static bool tail_part_large(struct sl_batch *batch, uint64_t max_record_bytes)
{
    uint32_t count = 0;

    while (count < batch->count && batch->raw[count].bytes <= max_record_bytes)
        count++;
    batch->large = count == 0 && batch->count > 0;
    count += batch->large;
    if (count == batch->count)
        return false;
    batch->count = count;
    batch->next = batch->offset[count];
    return true;
}

static int tail_read(struct sl_tail_partition *item, struct sl_batch *batch, struct sl_err *err)
{
    struct sl_tail *tail = item->tail;
    int got;

    if (item->position != item->partition->next && sl_tail_seek(tail, item->partition, item->partition->next, err) != 0)
        return -(int)err->code; /* a batch that was handed out was not taken */
    got = sl_spool_read(item->reader, batch, err);
    if (got < 0)
        return sl_while(err, "source %s: spool topic %s partition %u", tail->api->component, tail->topic_name, item->number);
    if (got == 0) {
        item->drained = tail->ends_taken;
        return 0;
    }
    if (!tail_tiles(item, batch))
        return sl_tail_seek(tail, item->partition, item->partition->next, err);
    batch->partition = item->partition;
    batch->may_break = true; /* a document posted whole may have line breaks */
    item->position = tail_part_large(batch, tail->api->max_record_bytes) ? UINT64_MAX : batch->next; /* else: seek next time */
    if (batch->count > 0)
        item->last_unix_ms = batch->append_unix_ms[batch->count - 1];
    sl_taken_note();
    return 1;
}

int sl_tail_poll(struct sl_tail *tail, struct sl_batch *batch, struct sl_err *err)
{
    uint32_t partitions = sl_spool_partitions(tail->topic);

    assert(tail->magic == TAIL_MAGIC);
    if (tail->known < partitions && tail_discover(tail, partitions, err) != 0)
        return -(int)err->code;
    for (uint32_t asked = 0; asked < tail->count && !tail->paused; asked++) {
        struct sl_tail_partition *item = tail->items[tail->turn];
        int got;

        tail->turn = (tail->turn + 1) % tail->count;
        if (!item->ready && tail_ready(item, err) != 0)
            return -(int)err->code;
        if (item->partition->held != NULL)
            continue;
        got = tail_read(item, batch, err);
        if (got != 0)
            return got;
    }
    return 0;
}

int sl_tail_seek(struct sl_tail *tail, struct sl_partition *partition, uint64_t next, struct sl_err *err)
{
    struct sl_tail_partition *item = partition->user;

    assert(tail->magic == TAIL_MAGIC && item != NULL);
    item->drained = false;
    item->position = next;
    return sl_spool_seek(item->reader, next, err);
}

void sl_tail_first(struct sl_tail *tail, struct sl_partition *partition, uint64_t *ret_first)
{
    const struct sl_tail_partition *item = partition->user;
    uint64_t end;

    assert(tail->magic == TAIL_MAGIC && item != NULL);
    sl_spool_bounds(tail->topic, item->number, ret_first, &end);
}

void sl_tail_committed(struct sl_tail *tail, struct sl_partition *partition, uint64_t next)
{
    const struct sl_tail_partition *item = partition->user;

    assert(tail->magic == TAIL_MAGIC && item != NULL);
    for (uint32_t i = 0; i < tail->holds->capacity; i++) {
        struct sl_tail_move *move = &tail->holds->wanted[i];
        if (move->partition == item->number) {
            move->next = next;
            move->due = true;
        }
    }
    holds_start(tail->holds);
}

/* A reader of its own, so that the place of the real one is not disturbed. */
int sl_tail_fingerprint(struct sl_tail *tail, struct sl_partition *partition, uint64_t offset, uint64_t *ret_hash)
{
    const struct sl_tail_partition *item = partition->user;
    struct sl_spool_reader *reader = NULL;
    struct sl_arena arena;
    struct sl_batch batch = {.arena = &arena};
    int found = -1;

    if (sl_arena_init(&arena, 1 << 16, 1u << 30) != 0)
        return -1;
    if (sl_spool_reader_open(tail->topic, item->number, NULL, NULL, &reader, NULL) == 0 &&
        sl_spool_seek(reader, offset, NULL) == 0) {
        int got = sl_spool_read(reader, &batch, NULL);
        found = got < 0 ? -1 : got == 1 && batch.count > 0 && batch.offset[0] == offset;
        if (found == 1)
            *ret_hash = sl_record_hash(batch.raw[0]);
    }
    if (reader != NULL)
        (void)sl_spool_reader_close(reader);
    sl_arena_fini(&arena);
    return found;
}

void sl_tail_lag(struct sl_tail *tail, int64_t *ret_records, int64_t *ret_ms)
{
    int64_t now_unix_ms = tail->api->unix_ms(tail->api->env);

    *ret_records = tail->known == 0 ? -1 : 0;
    *ret_ms = *ret_records;
    for (uint32_t i = 0; i < tail->count; i++) {
        const struct sl_tail_partition *item = tail->items[i];
        uint64_t first, end;
        int64_t late_ms;

        if (item->partition == NULL)
            continue;
        sl_spool_bounds(tail->topic, item->number, &first, &end);
        if (end <= item->partition->next)
            continue;
        *ret_records += (int64_t)(end - item->partition->next);
        late_ms = item->last_unix_ms < 0 ? -1 : now_unix_ms - item->last_unix_ms;
        if (late_ms > *ret_ms || late_ms < 0)
            *ret_ms = late_ms;
    }
}

int sl_tail_at_end(struct sl_tail *tail)
{
    if (tail->known == 0)
        return 0;
    for (uint32_t i = 0; i < tail->count && !tail->ends_taken; i++) {
        uint64_t first;
        sl_spool_bounds(tail->topic, tail->items[i]->number, &first, &tail->items[i]->end);
    }
    tail->ends_taken = true;
    for (uint32_t i = 0; i < tail->count; i++) {
        const struct sl_tail_partition *item = tail->items[i];
        if (!item->ready)
            return 0;
        if (item->partition->held == NULL && !item->drained && item->partition->next < item->end)
            return 0;
    }
    return 1;
}
