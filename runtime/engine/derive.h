/* derive.h: several records out of one. The view goes on over a batch of its own, whose rows are the records and, right behind
 * each, those that were derived from it: they share its offset, key, headers and append time, begin with its roles, and have an
 * ordinal (batch->sub) that, with the origin, names them; 0 is the record itself.
 *
 * What stands outside the view is untouched: other branches go on with the batch as it was. A sink must therefore not be reached
 * both behind a stage that derives and around it; derive_check.c refuses that (SL_OP_DERIVES says which stages may).
 * Accounts: behind such a stage `in` counts derived records too, and the ledger's `derived` says how many of them were.
 * Offsets, marks and tickets know nothing of it: a record is done when all of its rows are.
 * Ownership: everything made lies in the batch's arena.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_ENGINE_DERIVE_H
#define SL_RUNTIME_ENGINE_DERIVE_H

#include "runtime/engine/batch.h"

enum { SL_VIEW_RECORDS_MAX = 65535 }; /* rows are uint16_t */

struct sl_child {
    uint16_t index;       /* the row of its parent; children ascend by it */
    uint16_t row;         /* set by sl_view_derive: where it stands now */
    uint32_t order;       /* the caller's */
    struct sl_slice text; /* with SL_PAD readable bytes behind it, in the arena */
};

/* Settle the view's edits first (rewrite.h). The children are live, without fields: rewrite them (sl_rewrite_texts) to have them read;
 * since view->decoded is another one, that begins with sl_rewrite_settle. The view's count and the children's together are at most
 * SL_VIEW_RECORDS_MAX. 0, or -1 when the arena is over budget: the view is as it was. */
int sl_view_derive(struct sl_view *view, struct sl_child *children, uint32_t count);

/* Texts that stages have written become the payloads of a batch of the view's own, with the same rows: for parse, which reads
 * payloads. Nothing happens where no text was written, or where texts are only what a parse made of payloads of another format. 0, or -1
 * when the arena is over budget. */
int sl_view_adopt_texts(struct sl_view *view);

#endif
