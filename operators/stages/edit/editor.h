/* editor.h: what the stages that set, remove and rename fields have in common: a batch goes record by record through fields.h, and
 * what is wished becomes the records that the stages behind see (engine/rewrite.h).
 *
 * Records that are JSON but no objects have no fields and pass as they are, counted. Text that is no JSON is set aside.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_OPERATORS_STAGES_EDIT_EDITOR_H
#define SL_OPERATORS_STAGES_EDIT_EDITOR_H

#include "operators/stages/edit/fields.h"
#include "runtime/engine/rewrite.h"

enum sl_editor_counter { SL_EDITOR_C_CHANGED, SL_EDITOR_C_NO_OBJECT, SL_EDITOR_C_PARENTS, SL_EDITOR_COUNTERS };
enum { SL_EDITOR_NOT_JSON = 1 }; /* row of sl_editor_reasons */

extern const char *const sl_editor_reasons[];

/* The first rows of every such stage's counters. */
#define SL_EDITOR_COUNTER_ROWS                                                                                                    \
    [SL_EDITOR_C_CHANGED] = {"changed_total", "records", "Records that the stage changed."},                                      \
    [SL_EDITOR_C_NO_OBJECT] = {"no_object_total", "records", "Records without fields: JSON, but no object; they pass as they are."}, \
    [SL_EDITOR_C_PARENTS] = {"parents_replaced_total", "fields",                                                                  \
                             "Parents of a field that are no object: replaced by one, or left where if_missing says so."}

struct sl_editor {
    const struct sl_api *api;
    struct sl_fields *fields;
    struct sl_rewriter *rewriter;
    struct sl_fields_edits edits;
    struct sl_wish *wishes; /* one a path, filled by the stage's callback */
    uint32_t count;
};

/* The paths are copied. Says names->whole(). */
int sl_editor_open(struct sl_editor *editor, const struct sl_api *api, const struct sl_field_path *paths, uint32_t count,
                   struct sl_names *names, struct sl_err *err);
int sl_editor_ready(struct sl_editor *editor, const uint32_t *columns, uint32_t count, struct sl_names *names, struct sl_err *err);
/* wish: fills editor->wishes of the record just read. 1 something is wished, 0 nothing (or it set a fate), -1 no memory. */
int sl_editor_process(struct sl_editor *editor, void *self, struct sl_view *view,
                      int (*wish)(void *self, struct sl_view *view, uint16_t row), struct sl_err *err);
void sl_editor_close(struct sl_editor *editor);

#endif
