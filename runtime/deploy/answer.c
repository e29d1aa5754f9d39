/* answer.c: see answer.h.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/deploy/answer.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "runtime/base/clock.h"

static void answer_audit(const struct answer *answer, const char *result, const char *text)
{
    struct sl_audit_entry entry = {sl_clock_unix_ms(), answer->who, answer->command, NULL, 0, 0, result, text};
    struct sl_err ignored = {0};

    if (answer->deployment != NULL)
        deployment_audit(answer->deployment, answer->who, answer->command, answer->number, result, text);
    else
        (void)sl_audit_log_write(answer->deployer->audit, &entry, &ignored);
}

static void answer_print(const struct answer *answer, const char *key, const char *text, const struct sl_diags *diags)
{
    const struct sl_generation_row *row = NULL;
    struct sl_json_out out;

    sl_buf_reset(answer->json);
    sl_json_out_init(&out, answer->json);
    sl_json_out_object(&out);
    sl_json_out_str_at(&out, key, text);
    if (answer->deployment != NULL) {
        sl_json_out_str_at(&out, "topology", answer->deployment->name);
        row = answer->number == 0 ? NULL : sl_generations_find(&answer->deployment->generations, answer->number);
    }
    if (row != NULL) {
        sl_json_out_u64_at(&out, "generation", row->number);
        sl_json_out_str_at(&out, "state", sl_generation_state_text(row->state));
        sl_json_out_f64_at(&out, "share", row->share);
    }
    for (uint32_t i = 0; diags != NULL && i < diags->count; i++) {
        const struct sl_diag *diag = &diags->items[i];
        if (i == 0) {
            sl_json_out_key(&out, "diags");
            sl_json_out_array(&out);
        }
        sl_json_out_object(&out);
        sl_json_out_bool_at(&out, "warning", diag->warning);
        sl_json_out_str_at(&out, "file", diag->file);
        sl_json_out_u64_at(&out, "line", diag->line);
        sl_json_out_u64_at(&out, "column", diag->column);
        sl_json_out_str_at(&out, "text", diag->text);
        sl_json_out_str_at(&out, "remedy", diag->remedy);
        sl_json_out_end_object(&out);
        if (i + 1 == diags->count)
            sl_json_out_end_array(&out);
    }
    sl_json_out_end_object(&out);
}

int answer_done(const struct answer *answer, const char *result, const char *format, ...)
{
    char text[DEPLOYMENT_TEXT];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    answer_audit(answer, result, text);
    answer_print(answer, "said", text, NULL);
    return 0;
}

int answer_err(const struct answer *answer, const struct sl_err *err)
{
    answer_audit(answer, err->code == SL_E_CONFIG ? "refused" : "failed", err->text);
    answer_print(answer, "error", err->text, NULL);
    return -(int)err->code;
}

int answer_diags(const struct answer *answer, const struct sl_diags *diags, const struct sl_err *err)
{
    struct sl_buf text = {0};
    char line[2048];

    for (uint32_t i = 0; i < diags->count; i++) {
        (void)sl_diag_print(&diags->items[i], line, sizeof(line));
        sl_buf_printf(&text, "%s%s", i == 0 ? "" : "\n", line);
    }
    if (diags->count == 0)
        sl_buf_text(&text, err->text);
    answer_audit(answer, "refused", sl_buf_str(&text));
    answer_print(answer, "error", sl_buf_str(&text), diags);
    sl_buf_fini(&text);
    return -(int)err->code;
}

int answer_error(struct sl_buf *json, const struct sl_err *err)
{
    struct sl_json_out out;

    sl_buf_reset(json);
    sl_json_out_init(&out, json);
    sl_json_out_object(&out);
    sl_json_out_str_at(&out, "error", err->text);
    sl_json_out_end_object(&out);
    return -(int)err->code;
}
