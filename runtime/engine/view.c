/* view.c: what each branch of a topology sees of a batch, and the splice of its edits.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/engine/batch.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

int sl_view_all(struct sl_view *view, const struct sl_batch *batch, const struct sl_decoded *decoded)
{
    size_t count = batch->count;

    assert(count <= SL_BATCH_RECORDS);
    memset(view, 0, sizeof(*view));
    view->batch = batch;
    view->decoded = decoded;
    view->sel = sl_arena_alloc(batch->arena, count * sizeof(*view->sel) + 1);
    view->fate = sl_arena_alloc(batch->arena, count + 1);
    view->reason = sl_arena_alloc(batch->arena, count + 1);
    view->port = sl_arena_alloc(batch->arena, count + 1);
    if (view->sel == NULL || view->fate == NULL || view->reason == NULL || view->port == NULL)
        return -1;
    for (size_t i = 0; i < count; i++)
        view->sel[i] = (uint16_t)i;
    view->sel_count = (uint32_t)count;
    memset(view->fate, SL_LIVE, count);
    memset(view->reason, 0, count);
    memset(view->port, 0, count);
    return 0;
}

int sl_view_branch(struct sl_view *view, const struct sl_view *from)
{
    size_t count = from->batch->count;
    uint16_t *sel = sl_arena_alloc(from->batch->arena, from->sel_count * sizeof(*sel) + 1);
    uint8_t *bytes = sl_arena_alloc(from->batch->arena, 3 * count + 1);

    if (sel == NULL || bytes == NULL)
        return -1;
    *view = *from;
    memcpy(sel, from->sel, from->sel_count * sizeof(*sel));
    memcpy(bytes, from->fate, count);
    memcpy(bytes + count, from->reason, count);
    memcpy(bytes + 2 * count, from->port, count);
    view->sel = sel;
    view->fate = bytes;
    view->reason = bytes + count;
    view->port = bytes + 2 * count;
    return 0;
}

void sl_view_compact(struct sl_view *view)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < view->sel_count; i++) {
        uint16_t index = view->sel[i];
        view->sel[kept] = index;
        kept += view->fate[index] == SL_LIVE;
    }
    view->sel_count = kept;
}

static int edit_order(const void *left, const void *right)
{
    const struct sl_edit *a = left, *b = right;

    if (a->index != b->index)
        return a->index < b->index ? -1 : 1;
    if (a->cut.at != b->cut.at)
        return a->cut.at < b->cut.at ? -1 : 1;
    /* the longer cut first, so that the outermost of two nested ones is met first and wins */
    return a->cut.bytes == b->cut.bytes ? 0 : a->cut.bytes > b->cut.bytes ? -1 : 1;
}

int sl_view_edit(struct sl_view *view, const struct sl_edit *edits, uint32_t count)
{
    uint32_t total = view->edits_count + count, kept = 0;
    struct sl_edit *all;
    bool sorted = true;

    if (count == 0)
        return 0;
    all = sl_arena_alloc(view->batch->arena, total * sizeof(*all));
    if (all == NULL)
        return -1;
    if (view->edits_count > 0)
        memcpy(all, view->edits, view->edits_count * sizeof(*all));
    memcpy(all + view->edits_count, edits, count * sizeof(*all));
    for (uint32_t i = 1; i < total && sorted; i++)
        sorted = edit_order(&all[i - 1], &all[i]) <= 0;
    if (!sorted)
        qsort(all, total, sizeof(*all), edit_order);
    for (uint32_t i = 0; i < total; i++) {
        const struct sl_edit *last = kept > 0 ? &all[kept - 1] : NULL;
        bool inside = last != NULL && last->index == all[i].index && all[i].cut.at < last->cut.at + last->cut.bytes;
        if (!inside)
            all[kept++] = all[i];
    }
    view->edits = all;
    view->edits_count = kept;
    return 0;
}

static struct sl_slice view_splice(const struct sl_view *view, struct sl_slice raw, const struct sl_edit *edits, uint32_t count)
{
    size_t bytes = raw.bytes;
    uint32_t from = 0;
    char *body, *to;

    for (uint32_t i = 0; i < count; i++)
        bytes = bytes - edits[i].cut.bytes + edits[i].paste.bytes;
    body = to = sl_arena_alloc(view->batch->arena, bytes + SL_PAD);
    if (body == NULL)
        return (struct sl_slice){NULL, 0};
    for (uint32_t i = 0; i < count; i++) {
        uint32_t keep = edits[i].cut.at - from;
        assert(edits[i].cut.at >= from && edits[i].cut.at + edits[i].cut.bytes <= raw.bytes);
        memcpy(to, raw.data + from, keep);
        to += keep;
        if (edits[i].paste.bytes > 0)
            memcpy(to, edits[i].paste.data, edits[i].paste.bytes);
        to += edits[i].paste.bytes;
        from = edits[i].cut.at + edits[i].cut.bytes;
    }
    memcpy(to, raw.data + from, raw.bytes - from);
    memset(body + bytes, 0, SL_PAD);
    return (struct sl_slice){body, (uint32_t)bytes};
}

struct sl_slice sl_view_body(const struct sl_view *view, uint32_t index, uint32_t *cursor)
{
    uint32_t first = *cursor, last;

    while (first < view->edits_count && view->edits[first].index < index)
        first++;
    last = first;
    while (last < view->edits_count && view->edits[last].index == index)
        last++;
    *cursor = last;
    if (last == first)
        return sl_view_text(view, index);
    return view_splice(view, sl_view_text(view, index), view->edits + first, last - first);
}
