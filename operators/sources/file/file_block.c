/* file_block.c: a window on a file, cut into lines without a copy.
 * SPDX-License-Identifier: Apache-2.0 */
#include "operators/sources/file/file_block.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

int sl_file_block_init(struct sl_file_block *block, size_t bytes, size_t max_bytes)
{
    assert(bytes > 0 && bytes <= max_bytes && max_bytes < UINT32_MAX - SL_PAD);
    memset(block, 0, sizeof(*block));
    block->data = calloc(1, bytes + SL_PAD);
    block->capacity = bytes;
    block->capacity_min = bytes;
    block->capacity_max = max_bytes;
    return block->data == NULL ? -1 : 0;
}

void sl_file_block_fini(struct sl_file_block *block)
{
    free(block->data);
    memset(block, 0, sizeof(*block));
}

void sl_file_block_seat(struct sl_file_block *block, const void *owner, uint64_t position)
{
    if (block->owner == owner && block->at <= position && position <= block->at + block->bytes)
        return;
    block->owner = owner;
    block->at = position;
    block->bytes = 0;
}

struct sl_slice sl_file_block_rest(const struct sl_file_block *block, uint64_t position)
{
    assert(block->at <= position && position <= block->at + block->bytes);
    return (struct sl_slice){block->data + (position - block->at), (uint32_t)(block->at + block->bytes - position)};
}

static int block_grow(struct sl_file_block *block)
{
    size_t capacity = block->capacity > block->capacity_max / 2 ? block->capacity_max : block->capacity * 2;
    char *data;

    if (block->capacity == block->capacity_max)
        return -ENOBUFS;
    data = realloc(block->data, capacity + SL_PAD);
    if (data == NULL)
        return -ENOBUFS;
    memset(data + capacity, 0, SL_PAD);
    block->data = data;
    block->capacity = capacity;
    return 0;
}

/* A long line is over: its memory goes back. */
static void block_shrink(struct sl_file_block *block)
{
    char *data;

    if (block->capacity == block->capacity_min || block->bytes > block->capacity_min / 2)
        return;
    data = realloc(block->data, block->capacity_min + SL_PAD);
    if (data == NULL)
        return;
    memset(data + block->capacity_min, 0, SL_PAD);
    block->data = data;
    block->capacity = block->capacity_min;
}

int64_t sl_file_block_fill(struct sl_file_block *block, struct sl_fs *fs, int fd, uint64_t position)
{
    struct sl_slice rest = sl_file_block_rest(block, position);
    int64_t got;

    if (rest.data != block->data)
        memmove(block->data, rest.data, rest.bytes);
    block->at = position;
    block->bytes = rest.bytes;
    block_shrink(block);
    if (block->bytes == block->capacity && block_grow(block) != 0)
        return -ENOBUFS;
    got = fs->pread(fs, fd, block->data + block->bytes, block->capacity - block->bytes, block->at + block->bytes);
    if (got > 0)
        block->bytes += (size_t)got;
    return got;
}

uint32_t sl_file_block_lines(const struct sl_file_block *block, uint64_t position, uint64_t max_record,
                             struct sl_batch *batch)
{
    struct sl_slice rest = sl_file_block_rest(block, position);
    const char *begin = rest.data, *end = rest.data + rest.bytes, *line = begin;
    uint32_t count = 0;

    batch->large = false;
    while (count < SL_BATCH_RECORDS && line < end) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        uint32_t bytes;

        if (newline == NULL)
            break;
        bytes = (uint32_t)(newline - line);
        if (bytes > max_record && count > 0)
            break; /* it has the next batch to itself */
        if (count > 0 && newline + 1 - begin > SL_BATCH_BYTES)
            break;
        batch->raw[count] = (struct sl_slice){line, bytes};
        batch->offset[count++] = position + (uint64_t)(line - begin);
        line = newline + 1;
        if (bytes > max_record) {
            batch->large = true;
            break;
        }
    }
    batch->count = count;
    batch->first = position;
    batch->next = position + (uint64_t)(line - begin);
    batch->may_break = count > 0 && memchr(begin, '\r', (size_t)(line - begin)) != NULL;
    return count;
}
