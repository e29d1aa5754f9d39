/* script_api.h: what a script sees of its records: the record, the batch, log().
 *
 *   record:get(path)  record:set(path, value)  record:remove(path)  record:text()  record:header(name)
 *   record.service  record.level  record.time (ms since 1970)  record.topic  record.partition  record.offset  record.key
 *   batch.count  batch:column(path)  batch.level  batch.service  batch.time (arrays, 1 .. count; nil: missing)
 *   batch:text(i)  batch:record(i)  batch:drop(i)  batch:emit(i, value)
 *
 * Columns are Lua arrays that are filled here, once a batch and only when asked for, and used again by the next batch. No pointer
 * ever reaches a script: in the interpreter an FFI access costs more than the whole array's element does (24-240 ns against 3-10),
 * and one index too far would be a crash of the process.
 * All state of a script's own lies in its state; what it did to records lies in two tables of it, which lua.c reads after the call.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_OPERATORS_STAGES_LUA_SCRIPT_API_H
#define SL_OPERATORS_STAGES_LUA_SCRIPT_API_H

#include "operators/stages/lua/script_vm.h"
#include "runtime/engine/op.h"

struct script_columns { /* of `fields:` */
    const char *const *names;
    const int *columns;
    uint32_t count;
};

struct script_api {
    struct script_vm vm; /* first: vm.user is this */
    const struct sl_api *api;
    struct script_columns fields;
    const struct sl_view *view; /* of the call; NULL: none */
    const uint16_t *rows;       /* those that the call is about, ascending */
    uint8_t *dropped;           /* [view's count] */
    uint32_t rows_count, serial;
    uint32_t changed, emitted, records_max;
    uint64_t *filled; /* [fields.count + 3]: rows that a column's table held last */
};

enum script_entry { SCRIPT_NO_ENTRY, SCRIPT_RECORDS, SCRIPT_BATCHES };

/* `api` is filled but for vm. Ends with script_api_fini. */
int script_api_init(struct script_api *api, const struct script_code *code, const struct script_limits *limits);
void script_api_fini(struct script_api *api);
/* A running state, made if need be; its kind of entry. NO_ENTRY: vm.message. */
enum script_entry script_api_ready(struct script_api *api, uint64_t budget);
/* process_batch for `rows`, or process for the one row. */
enum script_outcome script_api_call(struct script_api *api, enum script_entry entry, const struct sl_view *view,
                                    const uint16_t *rows, uint32_t rows_count, uint64_t budget);
/* After a call that was FINE: the row's new text (data NULL: unchanged); the bytes are the state's until the next call. */
struct sl_slice script_api_text(struct script_api *api, uint16_t row);
/* n-th record that was derived; its parent's row. */
struct sl_slice script_api_emitted(struct script_api *api, uint32_t n, uint16_t *ret_row);

#endif
