/* editor.c: a batch through the fields of a stage that edits.
 * SPDX-License-Identifier: Apache-2.0 */
#include "operators/stages/edit/editor.h"

#include <errno.h>
#include <stdlib.h>

const char *const sl_editor_reasons[] = {
    "", [SL_EDITOR_NOT_JSON] = "not JSON, so its fields cannot be changed; put a parse stage before this one", NULL};

static int editor_memory(struct sl_err *err)
{
    return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "the changes of a batch do not fit its memory; raise `memory:`");
}

int sl_editor_open(struct sl_editor *editor, const struct sl_api *api, const struct sl_field_path *paths, uint32_t count,
                   struct sl_names *names, struct sl_err *err)
{
    editor->api = api;
    editor->count = count;
    editor->wishes = calloc((size_t)count + 1, sizeof(*editor->wishes));
    if (editor->wishes == NULL)
        return editor_memory(err);
    if (names->whole != NULL)
        names->whole(names);
    return sl_fields_new(paths, count, &editor->fields, err);
}

int sl_editor_ready(struct sl_editor *editor, const uint32_t *columns, uint32_t count, struct sl_names *names, struct sl_err *err)
{
    return sl_rewriter_new(columns, count, names, &editor->rewriter, err);
}

void sl_editor_close(struct sl_editor *editor)
{
    editor->fields = sl_fields_free(editor->fields);
    editor->rewriter = sl_rewriter_free(editor->rewriter);
    free(editor->edits.edits);
    free(editor->wishes);
    memset(editor, 0, sizeof(*editor));
}

static int editor_row(struct sl_editor *editor, void *self, struct sl_view *view, uint16_t row,
                      int (*wish)(void *self, struct sl_view *view, uint16_t row), uint64_t *counts)
{
    uint32_t before = editor->edits.count;
    int wished;

    switch (sl_fields_read(editor->fields, sl_view_text(view, row))) {
    case SL_FIELDS_READ:
        break;
    case SL_FIELDS_NO_OBJECT:
        counts[SL_EDITOR_C_NO_OBJECT]++;
        return 0;
    case SL_FIELDS_WRONG:
        view->fate[row] = SL_DEAD;
        view->reason[row] = SL_EDITOR_NOT_JSON;
        return 0;
    case SL_FIELDS_NO_MEMORY:
        return -1;
    }
    wished = wish(self, view, row);
    if (wished > 0)
        wished = sl_fields_write(editor->fields, row, editor->wishes, view->batch->arena, &editor->edits);
    counts[SL_EDITOR_C_CHANGED] += editor->edits.count > before;
    return wished;
}

int sl_editor_process(struct sl_editor *editor, void *self, struct sl_view *view,
                      int (*wish)(void *self, struct sl_view *view, uint16_t row), struct sl_err *err)
{
    uint64_t counts[SL_EDITOR_COUNTERS] = {0};
    int rc = sl_rewrite_settle(editor->rewriter, view, err);

    if (rc != 0)
        return rc;
    editor->edits.count = 0;
    editor->edits.conflicts = 0;
    for (uint32_t i = 0; i < view->sel_count; i++)
        if (view->fate[view->sel[i]] == SL_LIVE && editor_row(editor, self, view, view->sel[i], wish, counts) < 0)
            return editor_memory(err);
    counts[SL_EDITOR_C_PARENTS] = editor->edits.conflicts;
    for (uint32_t i = 0; editor->api->tally != NULL && i < SL_EDITOR_COUNTERS; i++)
        if (counts[i] > 0)
            editor->api->tally(editor->api->env, self, i, counts[i]);
    return sl_rewrite_edits(editor->rewriter, view, editor->edits.edits, editor->edits.count, err);
}
