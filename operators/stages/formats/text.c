/* text.c: format text: the payload is the field `message`, whatever its bytes; there are no other fields. As JSON a record is
 * {"message": "..."}; what is not UTF-8 becomes U+FFFD there.
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>

#include "operators/stages/formats/format.h"
#include "runtime/base/json_out.h"

enum { TEXT_NO_COLUMN = -1 };
#define TEXT_OPENING "{\"message\":"

struct text_format {
    int column; /* of message, or TEXT_NO_COLUMN */
};

static int text_open(const struct sl_format_open *open, void **ret_self, struct sl_err *err)
{
    struct text_format *text = calloc(1, sizeof(*text));

    if (text == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory for a format");
    text->column = TEXT_NO_COLUMN;
    for (uint32_t i = 0; i < open->fields_count; i++)
        if (open->fields[i].path.segments_count == 1 && strcmp(open->fields[i].path.segments[0], "message") == 0)
            text->column = (int)open->fields[i].column;
    *ret_self = text;
    return 0;
}

static int text_body(struct sl_arena *arena, struct sl_slice value, struct sl_slice *ret_body)
{
    uint32_t bytes = (uint32_t)(sizeof(TEXT_OPENING) - 1 + sl_json_quote_to(value, NULL) + 1);
    char *body = sl_arena_alloc(arena, (size_t)bytes + SL_PAD), *to = body;

    if (body == NULL)
        return -1;
    memcpy(to, TEXT_OPENING, sizeof(TEXT_OPENING) - 1);
    to += sizeof(TEXT_OPENING) - 1;
    to += sl_json_quote_to(value, to);
    *to++ = '}';
    memset(to, 0, SL_PAD);
    *ret_body = (struct sl_slice){body, bytes};
    return 0;
}

static int text_row(const struct sl_format_batch *batch, uint16_t row, struct sl_column *message)
{
    struct sl_slice value = batch->view->batch->raw[row];
    struct sl_span span = {0, value.bytes};

    if (batch->body != NULL) {
        if (sl_format_utf8(batch, &value) != 0 || text_body(batch->view->batch->arena, value, &batch->body[row]) != 0)
            return -1;
        span = (struct sl_span){sizeof(TEXT_OPENING) - 1, batch->body[row].bytes - (uint32_t)sizeof(TEXT_OPENING)};
    }
    if (message != NULL) {
        message->type[row] = SL_T_STRING;
        message->value[row] = value;
        message->span[row] = span;
    }
    return 0;
}

static int text_decode(void *self, const struct sl_format_batch *batch)
{
    const struct text_format *text = self;
    const struct sl_view *view = batch->view;
    struct sl_column *message = text->column == TEXT_NO_COLUMN ? NULL : &batch->columns[text->column];
    int rc = 0;

    for (uint32_t i = 0; rc == 0 && i < view->sel_count; i++)
        rc = text_row(batch, view->sel[i], message);
    return rc;
}

const struct sl_format_kind sl_format_text = {
    .name = "text",
    .roles = {"ts", "service", "level", "trace_id"},
    .open = text_open,
    .decode = text_decode,
    .close = free,
};
