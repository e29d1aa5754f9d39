/* rewrite.h: records that a stage changes: new texts for rows of a view, whose fields and roles are then read anew, so that every
 * stage behind sees what was written and nothing else.
 *
 * Each stage that changes records has one rewriter, and begins each process() with sl_rewrite_settle. Pending edits of earlier
 * stages (a sampler's stamps) are spliced by it. Only the rows named are touched; columns are copied before the first write (the
 * view's siblings keep theirs), so pointers into view->decoded that were taken before a call are of the record as it was.
 * A role whose field changes is derived anew as parse does it (rule A5 for times); all others stay.
 * Ownership: everything made lies in the batch's arena. Threads: a rewriter belongs to its slot.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_ENGINE_REWRITE_H
#define SL_RUNTIME_ENGINE_REWRITE_H

#include "runtime/engine/op.h"

struct sl_rewriter;

/* In ready(): `columns` are those that the stage and the ones behind it read, as ready() was told. names->whole() must have been
 * said at open(). */
int sl_rewriter_new(const uint32_t *columns, uint32_t count, struct sl_names *names, struct sl_rewriter **ret_rewriter,
                    struct sl_err *err);
struct sl_rewriter *sl_rewriter_free(struct sl_rewriter *rewriter);

/* Splices what is pending in the view into texts of its own, so that sl_view_text() is the whole truth and view->edits is empty.
 * Columns and spans of the rows concerned are read anew. */
int sl_rewrite_settle(struct sl_rewriter *rewriter, struct sl_view *view, struct sl_err *err);

/* Applies edits (of sl_view_text(), after settle; sorted or not; outermost cut wins) and reads the rows anew. */
int sl_rewrite_edits(struct sl_rewriter *rewriter, struct sl_view *view, const struct sl_edit *edits, uint32_t count,
                     struct sl_err *err);

/* texts[i] replaces row rows[i] (ascending), a JSON object with SL_PAD readable bytes behind it, in the arena. A text that is not
 * valid JSON: the row's fate is SL_DEAD and reason is `bad_reason` of the caller's table. */
int sl_rewrite_texts(struct sl_rewriter *rewriter, struct sl_view *view, const uint16_t *rows, const struct sl_slice *texts,
                     uint32_t count, uint8_t bad_reason, struct sl_err *err);

#endif
