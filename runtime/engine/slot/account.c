/* account.c: counts a batch's fates into a ledger. Records are first sorted into cells (service, level), once a batch, then each
 * sink's fates are counted by cell: two increments a record, one table look-up a cell.
 * SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdlib.h>

#include "runtime/engine/slot/slot_private.h"
#include "sampling/consistent.h"

enum { ACCOUNT_LEVELS = 8, ACCOUNT_CELL_BITS = 13, ACCOUNT_STAMPS = 1 << (32 - ACCOUNT_CELL_BITS) };

struct sl_account {
    uint32_t *cell_of;  /* [SL_INTERN_MAX * ACCOUNT_LEVELS]: stamp << ACCOUNT_CELL_BITS | cell */
    uint32_t stamp;
    const struct sl_decoded *decoded; /* what the cells below were made for, in this batch */
    uint64_t batch;
    uint32_t cells_count;
    uint16_t cell[SL_BATCH_RECORDS]; /* by record */
    uint32_t service[SL_SLOT_CELLS];
    uint8_t level[SL_SLOT_CELLS];
    uint32_t fates[SL_SLOT_CELLS][SL_FATES]; /* of the sink being counted */
    uint64_t bytes[SL_SLOT_CELLS];
    double weight[SL_SLOT_CELLS], weight_square[SL_SLOT_CELLS];
};

struct sl_account *sl_account_new(void)
{
    struct sl_account *account = calloc(1, sizeof(*account));

    if (account == NULL)
        return NULL;
    account->cell_of = calloc((size_t)SL_INTERN_MAX * ACCOUNT_LEVELS, sizeof(*account->cell_of));
    if (account->cell_of == NULL)
        return sl_account_free(account);
    return account;
}

struct sl_account *sl_account_free(struct sl_account *account)
{
    if (account != NULL)
        free(account->cell_of);
    free(account);
    return NULL;
}

static void account_sort(struct sl_account *account, uint64_t batch, const struct sl_view *view)
{
    const struct sl_decoded *decoded = view->decoded;

    if (account->batch == batch && account->decoded == decoded)
        return;
    account->stamp++;
    if (account->stamp == ACCOUNT_STAMPS) {
        memset(account->cell_of, 0, (size_t)SL_INTERN_MAX * ACCOUNT_LEVELS * sizeof(*account->cell_of));
        account->stamp = 1;
    }
    account->batch = batch;
    account->decoded = decoded;
    account->cells_count = 0;
    for (uint32_t i = 0; i < view->batch->count; i++) {
        uint32_t service = decoded->service != NULL ? decoded->service[i] : SL_INTERN_NONE;
        uint8_t level = decoded->level != NULL ? decoded->level[i] : SL_LEVEL_NONE;
        uint32_t *at = &account->cell_of[service * ACCOUNT_LEVELS + level];
        if (*at >> ACCOUNT_CELL_BITS != account->stamp) {
            uint32_t cell = account->cells_count++;
            *at = account->stamp << ACCOUNT_CELL_BITS | cell;
            account->service[cell] = service;
            account->level[cell] = level;
        }
        account->cell[i] = (uint16_t)(*at & ((1u << ACCOUNT_CELL_BITS) - 1));
    }
}

static void account_weigh(struct sl_account *account, const struct sl_view *view, const struct sl_item *items, uint32_t count)
{
    memset(account->bytes, 0, account->cells_count * sizeof(account->bytes[0]));
    memset(account->weight, 0, account->cells_count * sizeof(account->weight[0]));
    memset(account->weight_square, 0, account->cells_count * sizeof(account->weight_square[0]));
    for (uint32_t i = 0; i < count; i++) {
        uint32_t row = items[i].row, cell = account->cell[row];
        double weight = view->threshold != NULL ? sl_weight_of_threshold(view->threshold[row]) : 1.0;
        account->bytes[cell] += items[i].body.bytes;
        account->weight[cell] += weight;
        account->weight_square[cell] += weight * (weight - 1.0);
    }
}

int sl_account_batch(struct sl_account *account, uint64_t batch, struct sl_ledger *ledger, uint32_t sink,
                     const struct sl_view *view, const uint8_t *fate, uint32_t skip, const struct sl_item *items,
                     uint32_t items_count)
{
    account_sort(account, batch, view);
    memset(account->fates, 0, account->cells_count * sizeof(account->fates[0]));
    for (uint32_t i = skip; i < view->batch->count; i++)
        account->fates[account->cell[i]][fate[i]]++;
    account_weigh(account, view, items, items_count);
    for (uint32_t cell = 0; cell < account->cells_count; cell++) {
        const uint32_t *fates = account->fates[cell];
        struct sl_ledger_row *row;
        uint64_t in = 0;
        for (int f = 0; f < SL_FATES; f++)
            in += fates[f];
        if (in == 0)
            continue;
        row = sl_ledger_row(ledger, sink, account->service[cell], account->level[cell]);
        if (row == NULL)
            return -1;
        row->fates[SL_LIVE] += in; /* the row's first column is what came in */
        row->fates[SL_DELIVERED] += fates[SL_LIVE] + fates[SL_DELIVERED];
        for (int f = SL_FILTERED; f < SL_FATES; f++)
            row->fates[f] += fates[f];
        row->bytes += account->bytes[cell];
        row->weight += account->weight[cell];
        row->weight_square += account->weight_square[cell];
    }
    return 0;
}
