/* json.c: format json: each payload is one JSON value; what is not is set aside with json.h's verdict.
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>

#include "operators/stages/formats/format.h"
#include "operators/stages/stamp.h"

/* Stamps stand behind everything else, and most records have none: who trusts his input need not walk every record for them. */
static int json_stamps(const struct sl_format_open *open, struct sl_json_decoder *decoder, struct sl_err *err)
{
    uint32_t *columns = calloc((size_t)open->fields_count + 1, sizeof(*columns)), count = 0;

    if (columns == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory for %u fields", open->fields_count);
    for (uint32_t i = 0; i < open->fields_count; i++)
        if (open->names->is_appended(open->names, open->fields[i].column))
            columns[count++] = open->fields[i].column;
    sl_json_decoder_appended(decoder, STAMP_LAST, columns, count);
    free(columns);
    return 0;
}

static void json_close(void *self)
{
    (void)sl_json_decoder_free(self);
}

static int json_open(const struct sl_format_open *open, void **ret_self, struct sl_err *err)
{
    struct sl_json_projection projection = {open->fields, open->fields_count, open->config->validate};
    struct sl_json_decoder *decoder = NULL;
    int rc = sl_json_decoder_new(&projection, &decoder, err);

    if (rc == 0 && !open->config->validate && open->names->is_appended != NULL)
        rc = json_stamps(open, decoder, err);
    if (rc == 0)
        *ret_self = decoder;
    else
        json_close(decoder);
    return rc;
}

static int json_decode(void *self, const struct sl_format_batch *batch)
{
    const struct sl_view *view = batch->view;
    const struct sl_batch *records = view->batch;
    uint8_t *verdict = sl_arena_alloc(records->arena, (size_t)records->count + 1);
    int rc = verdict == NULL ? -1
                             : sl_json_decode(self, records->raw, view->sel, view->sel_count, batch->columns, verdict, records->arena);

    for (uint32_t i = 0; rc == 0 && i < view->sel_count; i++) {
        uint16_t row = view->sel[i];
        if (verdict[row] != SL_JSON_FINE)
            sl_format_dead(batch, row, verdict[row]);
    }
    return rc;
}

const struct sl_format_kind sl_format_json = {
    .name = "json",
    .json = true,
    .roles = {"ts", "service", "level", "trace_id"},
    .open = json_open,
    .decode = json_decode,
    .close = json_close,
};
