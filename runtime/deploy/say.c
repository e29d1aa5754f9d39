/* say.c: what a deployment tells: those who watch, the process's log, the audit log.
 * SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/json_out.h"
#include "runtime/config/units.h"
#include "runtime/deploy/deployment.h"

static void say_log(struct deployment *deployment, const char *line)
{
    const struct sl_deployer_settings *settings = &deployment->deployer->settings;

    if (settings->log != NULL)
        settings->log(settings->user, deployment->name, line);
}

static char *say_print(const struct deployment *deployment, uint32_t number, const char *end, const char *text)
{
    const struct sl_generation_row *row = sl_generations_find(&deployment->generations, number);
    struct sl_json_out out;
    struct sl_buf line = {0};
    size_t bytes;

    sl_json_out_init(&out, &line);
    sl_json_out_object(&out);
    sl_json_out_i64_at(&out, "unix_ms", deployment_unix_ms(deployment));
    sl_json_out_u64_at(&out, "generation", number);
    if (row != NULL) {
        sl_json_out_str_at(&out, "state", sl_generation_state_text(row->state));
        sl_json_out_f64_at(&out, "share", row->share);
    }
    sl_json_out_str_at(&out, "text", text);
    if (end != NULL)
        sl_json_out_str_at(&out, "end", end);
    sl_json_out_end_object(&out);
    sl_buf_char(&line, '\n');
    return sl_buf_take(&line, &bytes);
}

void deployment_say(struct deployment *deployment, uint32_t number, const char *end, const char *format, ...)
{
    char text[DEPLOYMENT_TEXT], whole[DEPLOYMENT_TEXT + 128];
    char *line;
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    line = say_print(deployment, number, end, text);
    if (line != NULL)
        sl_lines_add(&deployment->lines, line, end != NULL);
    (void)snprintf(whole, sizeof(whole), "topology %s: generation %" PRIu32 ": %s", deployment->name, number, text);
    say_log(deployment, whole);
}

void deployment_say_nothing(struct deployment *deployment)
{
    char text[128];
    char *line;

    (void)snprintf(text, sizeof(text), "generation %" PRIu32 " is live; nothing was deployed since the start", deployment->live);
    line = say_print(deployment, deployment->live, "live", text);
    if (line != NULL)
        sl_lines_add(&deployment->lines, line, true);
}

void deployment_audit(struct deployment *deployment, const struct sl_who *who, const char *command, uint32_t number, const char *result,
                      const char *text)
{
    const struct sl_generation_row *row = number == 0 ? NULL : sl_generations_find(&deployment->generations, number);
    struct sl_audit_entry entry = {deployment_unix_ms(deployment), who, command, deployment->name, number, row == NULL ? 0 : row->digest,
                                   result, text};
    struct sl_err err = {0};
    char line[DEPLOYMENT_TEXT];

    if (sl_audit_log_write(deployment->deployer->audit, &entry, &err) == 0)
        return;
    (void)snprintf(line, sizeof(line), "%s by %s is not in the audit log: %s", command, who->text, err.text);
    say_log(deployment, line);
}

bool deployment_describe(const struct deployment *deployment, char text[DEPLOYMENT_TEXT])
{
    const struct sl_generation_row *row = sl_generations_candidate(&deployment->generations);
    char share[SL_UNITS_TEXT] = "", at[SL_UNITS_TEXT + 8] = "", plan[200] = "";

    if (deployment->doing != NULL) {
        (void)snprintf(text, DEPLOYMENT_TEXT, "a generation %s (by %s)", deployment->doing, deployment->doing_who);
        return true;
    }
    if (row == NULL)
        return false;
    if (row->state == SL_GENERATION_CANARY) {
        sl_share_print(row->share, share);
        (void)snprintf(at, sizeof(at), " at %s", share);
    }
    if (deployment->walking)
        (void)snprintf(plan, sizeof(plan), ", step %" PRIu32 " of %" PRIu32 " of plan %s%s", deployment->step + 1, deployment->plan.steps_count,
                       deployment->plan.name, deployment->held ? ", which holds" : "");
    (void)snprintf(text, DEPLOYMENT_TEXT, "generation %" PRIu32 " (deployed by %s) is %s%s%s", row->number, row->who,
                   row->state == SL_GENERATION_CANARY ? "a canary" : row->state == SL_GENERATION_SHADOW ? "a shadow" : sl_generation_state_text(row->state),
                   at, plan);
    return true;
}
