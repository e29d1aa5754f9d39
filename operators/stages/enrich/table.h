/* table.h: a table of a file, CSV or NDJSON, for look-ups by key: constant once it is loaded.
 *
 * CSV as RFC 4180 has it: a header row, quotes, CR LF or LF; all values are texts. NDJSON: one object a line; values keep their types.
 * Columns are named as in the header, or by a path of NDJSON (owner.email). A row without a key, two rows with one key, a row with
 * too few cells: the file is refused with its line, whole.
 * Memory: all in one arena of at most max_bytes, the file's text included while it is read. Threads: any one at a time; constant then.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_OPERATORS_STAGES_ENRICH_TABLE_H
#define SL_OPERATORS_STAGES_ENRICH_TABLE_H

#include "runtime/base/err.h"
#include "runtime/base/fs.h"
#include "runtime/base/slice.h"

enum sl_table_format { SL_TABLE_AUTO, SL_TABLE_CSV, SL_TABLE_NDJSON };
enum { SL_TABLE_COLUMNS = 256 };

struct sl_table_want {
    const char *path;
    enum sl_table_format format; /* AUTO: by the name's end */
    char separator;              /* CSV */
    const char *key;             /* column; NULL: CSV's first */
    const char *const *columns;
    uint32_t columns_count;
    uint64_t max_bytes;
};

struct sl_table_stamp { /* which file it was */
    uint64_t bytes, device, inode;
    int64_t mtime_unix_ms;
};

struct sl_table;

int sl_table_load(struct sl_fs *fs, const struct sl_table_want *want, struct sl_table **ret_table, struct sl_err *err);
struct sl_table *sl_table_free(struct sl_table *table);
/* The values of a key's row, JSON each, in the order of want->columns; data NULL: the row has none. NULL: no such row. */
const struct sl_slice *sl_table_find(const struct sl_table *table, struct sl_slice key);
uint32_t sl_table_rows(const struct sl_table *table);
uint64_t sl_table_bytes(const struct sl_table *table);
const struct sl_table_stamp *sl_table_stamp(const struct sl_table *table);
/* 0, or -errno. */
int sl_table_stat(struct sl_fs *fs, const char *path, struct sl_table_stamp *ret_stamp);

#endif
