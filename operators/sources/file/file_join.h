/* file_join.h: records of several lines out of a window on a file, without a copy: lines that belong together stand together.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_OPERATORS_SOURCES_FILE_JOIN_H
#define SL_OPERATORS_SOURCES_FILE_JOIN_H

#include "operators/sources/file/file_block.h"
#include "operators/sources/multiline.h"

struct sl_file_join {
    struct sl_multiline *multiline;
    uint64_t max_record; /* no record grows above it by joining */
    uint64_t boundary;   /* records end here, and so does what is returned */
    bool final;          /* the record that the window ends with is complete */
    bool tail;           /* and what stands behind the last line's end is a line */
    uint64_t open_upto;  /* returned: where the lines of the record that may go on end; 0: there is none, or it was taken */
};

/* As sl_file_block_lines. A line above max_record is never joined and comes alone. */
uint32_t sl_file_join_records(const struct sl_file_block *block, uint64_t position, struct sl_file_join *join, struct sl_batch *batch);

#endif
