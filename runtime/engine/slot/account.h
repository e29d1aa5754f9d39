/* account.h: counts what became of a batch's records at a sink into a ledger.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_ENGINE_ACCOUNT_H
#define SL_RUNTIME_ENGINE_ACCOUNT_H

#include "runtime/engine/ledger.h"
#include "runtime/engine/op.h"

struct sl_account; /* scratch of one slot */
struct sl_account *sl_account_new(void);
struct sl_account *sl_account_free(struct sl_account *account);
/* fate[i] for i >= skip of the view's batch; LIVE counts as `taken`: delivered, or (SL_LIVE) lost, which never was in, or (SL_FATES)
 * not yet: its queue counts it. items: the live ones, for bytes and weights. `batch` numbers the batch, so that its records are sorted into cells once. 0, or -1:
 * no memory for a ledger row. */
int sl_account_batch(struct sl_account *account, uint64_t batch, struct sl_ledger *ledger, uint32_t sink,
                     const struct sl_view *view, const uint8_t *fate, uint32_t skip, const struct sl_item *items,
                     uint32_t items_count, enum sl_fate taken);

#endif
