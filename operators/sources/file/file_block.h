/* file_block.h: a window on a file, cut into lines without a copy.
 *
 * The window covers [at, at + bytes) of whatever `owner` names; SL_PAD bytes behind it are readable. It begins small and doubles
 * for a long line up to its bound. Lines are slices into it: they die with the next fill, seat or fini.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_OPERATORS_SOURCES_FILE_BLOCK_H
#define SL_OPERATORS_SOURCES_FILE_BLOCK_H

#include "runtime/base/fs.h"
#include "runtime/engine/batch.h"

struct sl_file_block {
    char *data;
    size_t capacity, capacity_min, capacity_max, bytes;
    uint64_t at;
    const void *owner;
};

int sl_file_block_init(struct sl_file_block *block, size_t bytes, size_t max_bytes); /* 0, or -1: no memory */
void sl_file_block_fini(struct sl_file_block *block);
/* Turns the window to `position` of owner: what it holds from there on is kept. */
void sl_file_block_seat(struct sl_file_block *block, const void *owner, uint64_t position);
/* Bytes from `position`, which the window must be seated at or before. */
struct sl_slice sl_file_block_rest(const struct sl_file_block *block, uint64_t position);
/* Moves the rest from `position` to the front and reads behind it. Bytes read, 0 at the end of the file, -errno; -ENOBUFS when
 * the window is full and at its bound. */
int64_t sl_file_block_fill(struct sl_file_block *block, struct sl_fs *fs, int fd, uint64_t position);
/* Fills raw, offset, count, first, next, may_break and large of the batch with the whole lines from `position`, as many as a batch
 * holds. A line above max_record comes alone. The arrays have room for SL_BATCH_RECORDS. Returns the count. */
uint32_t sl_file_block_lines(const struct sl_file_block *block, uint64_t position, uint64_t max_record,
                             struct sl_batch *batch);

#endif
