/* file_join.c: records of several lines out of a window on a file.
 *
 * Each call begins at a record's first byte and with a fresh state, so what is joined depends on the bytes from there on alone.
 * SPDX-License-Identifier: Apache-2.0 */
#include "operators/sources/file/file_join.h"

#include <string.h>

struct join_walk {
    struct sl_file_join *join;
    struct sl_batch *batch;
    struct sl_multiline_state state;
    uint64_t position; /* of begin in the file */
    const char *begin, *end;
    const char *record; /* the open one, or NULL */
    uint64_t record_bytes; /* without its last line's end */
    const char *upto;   /* behind all that was taken */
    uint32_t count;
    bool full;
};

struct join_line {
    const char *data, *next; /* next: behind its end */
    uint64_t bytes;
};

static bool join_line_next(const struct join_walk *walk, const char *at, struct join_line *line)
{
    const char *newline = at < walk->end ? memchr(at, '\n', (size_t)(walk->end - at)) : NULL;

    if (newline == NULL && (at == walk->end || !walk->join->tail))
        return false;
    *line = (struct join_line){at, newline == NULL ? walk->end : newline + 1, (uint64_t)((newline == NULL ? walk->end : newline) - at)};
    return true;
}

/* The open record is complete; it ends before `next`. */
static void join_take(struct join_walk *walk, const char *next)
{
    walk->batch->raw[walk->count] = (struct sl_slice){walk->record, (uint32_t)walk->record_bytes};
    walk->batch->offset[walk->count++] = walk->position + (uint64_t)(walk->record - walk->begin);
    walk->batch->large = walk->record_bytes > walk->join->max_record;
    walk->record = NULL;
    walk->upto = next;
    walk->full = walk->count == SL_BATCH_RECORDS || walk->batch->large;
}

/* A CR before the line's end is part of the record, not of what is looked at. */
static struct sl_slice join_seen(const struct join_line *line)
{
    uint64_t bytes = line->bytes > 0 && line->data[line->bytes - 1] == '\r' ? line->bytes - 1 : line->bytes;

    return (struct sl_slice){line->data, (uint32_t)bytes};
}

static bool join_fits(const struct join_walk *walk, const struct join_line *line)
{
    return line->bytes <= walk->join->max_record && (uint64_t)(line->data - walk->record) + line->bytes <= walk->join->max_record;
}

static bool join_at_boundary(const struct join_walk *walk, const char *at)
{
    return walk->position + (uint64_t)(at - walk->begin) >= walk->join->boundary;
}

/* The record that is open and ends at `line` does not go into this batch any more. */
static bool join_overflows(const struct join_walk *walk, const char *next)
{
    return walk->count > 0 && (next - walk->begin > SL_BATCH_BYTES || walk->record_bytes > walk->join->max_record);
}

static void join_open(struct join_walk *walk, const struct join_line *line)
{
    walk->record = line->data;
    walk->record_bytes = line->bytes;
}

static void join_add(struct join_walk *walk, const struct join_line *line)
{
    bool fits = walk->record != NULL && join_fits(walk, line), stop = join_at_boundary(walk, line->data);

    fits = fits && !stop;
    if (fits && sl_multiline_joins(walk->join->multiline, &walk->state, join_seen(line))) {
        walk->record_bytes = (uint64_t)(line->data - walk->record) + line->bytes;
        return;
    }
    if (walk->record != NULL && join_overflows(walk, line->data)) {
        walk->full = true;
        return;
    }
    if (walk->record != NULL)
        join_take(walk, line->data);
    walk->full = walk->full || stop;
    if (walk->full)
        return;
    if (!fits) /* else it has begun one already */
        sl_multiline_begin(walk->join->multiline, &walk->state, join_seen(line));
    join_open(walk, line);
}

uint32_t sl_file_join_records(const struct sl_file_block *block, uint64_t position, struct sl_file_join *join, struct sl_batch *batch)
{
    struct sl_slice rest = sl_file_block_rest(block, position);
    struct join_walk walk = {.join = join, .batch = batch, .position = position, .begin = rest.data, .end = rest.data + rest.bytes,
                             .upto = rest.data};
    struct join_line line = {.next = rest.data};

    batch->large = false;
    join->open_upto = 0;
    while (!walk.full && join_line_next(&walk, line.next, &line))
        join_add(&walk, &line);
    if (!walk.full && walk.record != NULL && (join->final || walk.record_bytes > join->max_record || join_at_boundary(&walk, line.next)) && !join_overflows(&walk, line.next))
        join_take(&walk, line.next);
    else if (!walk.full && walk.record != NULL)
        join->open_upto = position + (uint64_t)(line.next - rest.data);
    batch->count = walk.count;
    batch->first = position;
    batch->next = position + (uint64_t)(walk.upto - rest.data);
    batch->may_break = walk.count > 0; /* line ends stand in them */
    return walk.count;
}
