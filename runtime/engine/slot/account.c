/* account.c: counts a batch's fates into a ledger. Records are first sorted into cells (service, level), once a batch, then each
 * sink's fates are counted by cell: two increments a record, one table look-up a cell.
 * SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdlib.h>

#include "runtime/engine/slot/slot_private.h"
#include "sampling/consistent.h"

enum { ACCOUNT_LEVELS = 8, ACCOUNT_CELL_BITS = 16, ACCOUNT_STAMPS = 1 << (32 - ACCOUNT_CELL_BITS) };

struct account_cell { /* one (service, level) of the batch; the counts are of the sink being counted */
    uint32_t service;
    uint8_t level;
    uint32_t fates[SL_FATES];
    uint64_t bytes, derived;
    double weight, weight_square;
};

struct sl_account {
    uint32_t *cell_of;  /* [SL_INTERN_MAX * ACCOUNT_LEVELS]: stamp << ACCOUNT_CELL_BITS | cell */
    uint32_t stamp;
    const struct sl_decoded *decoded; /* what the cells below were made for, in this batch */
    uint64_t batch;
    uint32_t cells_count, cap;
    uint16_t *cell;             /* [cap] by record */
    struct account_cell *cells; /* [cap] */
};

/* Room for the rows of a batch: SL_BATCH_RECORDS, more behind a stage that derives records. */
static int account_room(struct sl_account *account, uint32_t count)
{
    uint32_t cap = account->cap == 0 ? SL_BATCH_RECORDS : account->cap;
    struct account_cell *cells;
    uint16_t *cell;

    if (account->cap > 0 && count <= account->cap)
        return 0;
    while (cap < count)
        cap *= 2;
    cell = realloc(account->cell, cap * sizeof(*cell));
    account->cell = cell != NULL ? cell : account->cell;
    cells = realloc(account->cells, cap * sizeof(*cells));
    account->cells = cells != NULL ? cells : account->cells;
    if (cell == NULL || cells == NULL)
        return -1;
    account->cap = cap;
    return 0;
}

struct sl_account *sl_account_new(void)
{
    struct sl_account *account = calloc(1, sizeof(*account));

    if (account == NULL)
        return NULL;
    account->cell_of = calloc((size_t)SL_INTERN_MAX * ACCOUNT_LEVELS, sizeof(*account->cell_of));
    if (account->cell_of == NULL || account_room(account, SL_BATCH_RECORDS) != 0)
        return sl_account_free(account);
    return account;
}

struct sl_account *sl_account_free(struct sl_account *account)
{
    if (account != NULL) {
        free(account->cell_of);
        free(account->cell);
        free(account->cells);
    }
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
            account->cells[cell].service = service;
            account->cells[cell].level = level;
        }
        account->cell[i] = (uint16_t)(*at & ((1u << ACCOUNT_CELL_BITS) - 1));
    }
}

static void account_clear(struct sl_account *account)
{
    for (uint32_t i = 0; i < account->cells_count; i++) {
        struct account_cell *cell = &account->cells[i];
        *cell = (struct account_cell){.service = cell->service, .level = cell->level};
    }
}

static void account_weigh(struct sl_account *account, const struct sl_view *view, const struct sl_item *items, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t row = items[i].row;
        struct account_cell *cell = &account->cells[account->cell[row]];
        double weight = view->threshold != NULL ? sl_weight_of_threshold(view->threshold[row]) : 1.0;
        cell->bytes += items[i].body.bytes;
        cell->weight += weight;
        cell->weight_square += weight * (weight - 1.0);
    }
}

int sl_account_batch(struct sl_account *account, uint64_t batch, struct sl_ledger *ledger, uint32_t sink,
                     const struct sl_view *view, const uint8_t *fate, uint32_t skip, const struct sl_item *items,
                     uint32_t items_count, enum sl_fate taken)
{
    if (account_room(account, view->batch->count) != 0)
        return -1;
    account_sort(account, batch, view);
    account_clear(account);
    for (uint32_t i = skip; i < view->batch->count; i++)
        account->cells[account->cell[i]].fates[fate[i]]++;
    for (uint32_t i = skip; view->batch->sub != NULL && i < view->batch->count; i++)
        account->cells[account->cell[i]].derived += view->batch->sub[i] > 0 && (taken == SL_DELIVERED || fate[i] != SL_LIVE);
    account_weigh(account, view, items, taken == SL_DELIVERED ? items_count : 0);
    for (uint32_t i = 0; i < account->cells_count; i++) {
        const struct account_cell *cell = &account->cells[i];
        const uint32_t *fates = cell->fates;
        struct sl_ledger_row *row;
        uint64_t in = 0;
        for (int f = 0; f < SL_FATES; f++)
            in += fates[f];
        if (in == 0)
            continue;
        in -= taken == SL_DELIVERED ? 0 : fates[SL_LIVE];
        row = sl_ledger_row(ledger, sink, cell->service, cell->level);
        if (row == NULL)
            return -1;
        row->fates[SL_LIVE] += in; /* the row's first column is what came in */
        row->fates[SL_DELIVERED] += taken == SL_DELIVERED ? fates[SL_LIVE] : 0;
        row->lost += taken == SL_LIVE ? fates[SL_LIVE] : 0;
        for (int f = SL_DELIVERED; f < SL_FATES; f++)
            row->fates[f] += fates[f];
        row->derived += cell->derived;
        row->bytes += cell->bytes;
        row->weight += cell->weight;
        row->weight_square += cell->weight_square;
    }
    return 0;
}
