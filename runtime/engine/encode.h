/* encode.h: bodies of records as a sink's `encoding` wants them. A sink with codec raw has no encoder and pays nothing.
 *
 * Bodies lie in the batch's arena, one behind the other, with SL_PAD readable bytes behind each. Where the sink writes lines, CR
 * and LF become blanks here already.
 * Threads: an encoder belongs to its slot.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_ENGINE_ENCODE_H
#define SL_RUNTIME_ENGINE_ENCODE_H

#include "runtime/engine/op.h"

struct sl_encoding;
struct sl_encoder;

/* At open: registers the fields that it reads. */
int sl_encoder_new(const struct sl_encoding *encoding, struct sl_names *names, struct sl_encoder **ret_encoder, struct sl_err *err);
/* Once all stages are open; `columns` are those of the sink. */
int sl_encoder_ready(struct sl_encoder *encoder, const uint32_t *columns, uint32_t count, struct sl_names *names, struct sl_err *err);
struct sl_encoder *sl_encoder_free(struct sl_encoder *encoder);

/* Makes the view's fields say what its pending edits (stamps) do. The view is nobody else's any more. */
int sl_encoder_settle(struct sl_encoder *encoder, struct sl_view *view, struct sl_err *err);
/* Before the first body of a batch. */
void sl_encoder_begin(struct sl_encoder *encoder, struct sl_arena *arena);
/* The body of `row`; cursor as in sl_view_body. data NULL: the arena is over budget. */
struct sl_slice sl_encode(struct sl_encoder *encoder, const struct sl_view *view, uint32_t row, uint32_t *cursor);

#endif
