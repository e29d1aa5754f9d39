/* ledger.c: the account of one slot: an open-addressed table of rows.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/engine/ledger.h"

#include <stdlib.h>

enum { LEDGER_FIRST_CAP = 256 };

int sl_ledger_init(struct sl_ledger *ledger)
{
    ledger->rows = calloc(LEDGER_FIRST_CAP, sizeof(*ledger->rows));
    ledger->rows_count = 0;
    ledger->rows_cap = ledger->rows == NULL ? 0 : LEDGER_FIRST_CAP;
    return ledger->rows == NULL ? -1 : 0;
}

void sl_ledger_fini(struct sl_ledger *ledger)
{
    free(ledger->rows);
    memset(ledger, 0, sizeof(*ledger));
}

static uint32_t ledger_hash(uint32_t sink, uint32_t service, uint8_t level)
{
    uint64_t h = ((uint64_t)sink << 40) ^ ((uint64_t)service << 8) ^ level;

    h *= 0x9e3779b97f4a7c15ull;
    return (uint32_t)(h >> 32);
}

/* A used row has `sink` stored plus one, so that zeroed memory is free. */
static struct sl_ledger_row *ledger_find(struct sl_ledger_row *rows, uint32_t cap, uint32_t sink, uint32_t service, uint8_t level)
{
    uint32_t at = ledger_hash(sink, service, level) & (cap - 1);

    while (rows[at].sink != 0 &&
           !(rows[at].sink == sink + 1 && rows[at].service == service && rows[at].level == level))
        at = (at + 1) & (cap - 1);
    return &rows[at];
}

static int ledger_grow(struct sl_ledger *ledger)
{
    uint32_t cap = ledger->rows_cap * 2;
    struct sl_ledger_row *rows = calloc(cap, sizeof(*rows));

    if (rows == NULL)
        return -1;
    for (uint32_t i = 0; i < ledger->rows_cap; i++) {
        const struct sl_ledger_row *row = &ledger->rows[i];
        if (row->sink != 0)
            *ledger_find(rows, cap, row->sink - 1, row->service, row->level) = *row;
    }
    free(ledger->rows);
    ledger->rows = rows;
    ledger->rows_cap = cap;
    return 0;
}

struct sl_ledger_row *sl_ledger_row(struct sl_ledger *ledger, uint32_t sink, uint32_t service, uint8_t level)
{
    struct sl_ledger_row *row = ledger_find(ledger->rows, ledger->rows_cap, sink, service, level);

    if (row->sink != 0)
        return row;
    if (ledger->rows_count * 2 >= ledger->rows_cap) {
        if (ledger_grow(ledger) != 0)
            return NULL;
        row = ledger_find(ledger->rows, ledger->rows_cap, sink, service, level);
    }
    row->sink = sink + 1;
    row->service = service;
    row->level = level;
    ledger->rows_count++;
    return row;
}

static void ledger_row_add(struct sl_ledger_row *to, const struct sl_ledger_row *from)
{
    for (int fate = 0; fate < SL_FATES; fate++)
        to->fates[fate] += from->fates[fate];
    to->derived += from->derived;
    to->returned += from->returned;
    to->lost += from->lost;
    to->bytes += from->bytes;
    to->weight += from->weight;
    to->weight_square += from->weight_square;
}

int sl_ledger_add(struct sl_ledger *ledger, const struct sl_ledger *from)
{
    for (uint32_t i = 0; i < from->rows_cap; i++) {
        const struct sl_ledger_row *row = &from->rows[i];
        struct sl_ledger_row *to;
        if (row->sink == 0)
            continue;
        to = sl_ledger_row(ledger, row->sink - 1, row->service, row->level);
        if (to == NULL)
            return -1;
        ledger_row_add(to, row);
    }
    return 0;
}

void sl_ledger_sum(const struct sl_ledger *ledger, uint32_t sink, struct sl_ledger_row *ret_sum)
{
    memset(ret_sum, 0, sizeof(*ret_sum));
    for (uint32_t i = 0; i < ledger->rows_cap; i++) {
        const struct sl_ledger_row *row = &ledger->rows[i];
        if (row->sink != 0 && (sink == UINT32_MAX || row->sink - 1 == sink))
            ledger_row_add(ret_sum, row);
    }
}
