/* format.c: the list of formats, their common table of reasons, and which settings belong to which.
 * SPDX-License-Identifier: Apache-2.0 */
#include "operators/stages/formats/format.h"

#include <stddef.h>

#include "runtime/base/utf8.h"
#include "runtime/json/json_text.h"

const struct sl_format_kind *const sl_formats[] = {&sl_format_json, &sl_format_text, NULL};
const char *const sl_format_names[] = {"json", "text", NULL};

const char *const sl_format_reasons[SL_FORMAT_REASONS + 1] = {
    SL_JSON_REASON_ROWS,
    [SL_FORMAT_NONE] = "no reason",
};

int sl_format_check(const struct sl_format_config *config, struct sl_err *err)
{
    const struct sl_format_kind *kind = sl_formats[config->format];

    return kind->check == NULL ? 0 : kind->check(config, err);
}

int sl_format_utf8(const struct sl_format_batch *batch, struct sl_slice *text)
{
    struct sl_arena *arena = batch->view->batch->arena;
    struct sl_slice quoted, inside;
    char *copy;
    uint32_t bytes = 0;

    if (sl_utf8_valid(*text))
        return 0;
    quoted = sl_json_escape(arena, *text);
    copy = quoted.data == NULL ? NULL : sl_arena_alloc(arena, (size_t)quoted.bytes + SL_PAD);
    if (copy == NULL)
        return -1;
    inside = (struct sl_slice){quoted.data + 1, quoted.bytes - 2};
    (void)sl_json_unescape(inside, copy, &bytes);
    *text = (struct sl_slice){copy, bytes};
    return 0;
}
