/* report.c: what is asked of deployments: history, status, differences of a shadow, where a generation is kept.
 * SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "runtime/config/units.h"
#include "runtime/deploy/answer.h"

static int report_done(struct sl_buf *json)
{
    return sl_buf_failed(json) ? -(int)SL_E_LIMIT : 0;
}

/* ---- history ---- */

static void history_rates(struct sl_json_out *out, const char *key, const struct sl_rates *rates)
{
    if (rates->records_per_s < 0)
        return;
    sl_json_out_key(out, key);
    sl_json_out_object(out);
    sl_json_out_f64_at(out, "records_per_s", rates->records_per_s);
    sl_json_out_f64_at(out, "dead_per_s", rates->dead_per_s);
    sl_json_out_f64_at(out, "errors_per_s", rates->errors_per_s);
    sl_json_out_end_object(out);
}

static void history_row(struct deployment *deployment, const struct sl_generation_row *row, struct sl_json_out *out)
{
    const struct sl_effect *effect = sl_effects_of(&deployment->effects, row->number);
    char digest[24];

    (void)snprintf(digest, sizeof(digest), "%016" PRIx64, row->digest);
    sl_json_out_object(out);
    sl_json_out_u64_at(out, "generation", row->number);
    sl_json_out_str_at(out, "state", sl_generation_state_text(row->state));
    sl_json_out_str_at(out, "digest", digest);
    sl_json_out_str_at(out, "who", row->who);
    sl_json_out_i64_at(out, "deployed_unix_ms", row->deployed_unix_ms);
    sl_json_out_i64_at(out, "live_unix_ms", row->live_unix_ms);
    sl_json_out_i64_at(out, "ended_unix_ms", row->ended_unix_ms);
    sl_json_out_f64_at(out, "share", row->share);
    sl_json_out_u64_at(out, "crashes", row->crashes);
    sl_json_out_str_at(out, "reason", row->reason);
    sl_json_out_str_at(out, "verdict", effect->verdict);
    history_rates(out, "before", &effect->before);
    history_rates(out, "after", &effect->after);
    sl_json_out_end_object(out);
}

int sl_deployer_history(struct sl_deployer *deployer, const char *topology, struct sl_buf *json)
{
    struct sl_err err = {0};
    struct deployment *deployment = deployment_find(deployer, topology, &err);
    struct sl_json_out out;

    if (deployment == NULL)
        return answer_error(json, &err);
    sl_json_out_init(&out, json);
    sl_json_out_object(&out);
    sl_json_out_str_at(&out, "topology", deployment->name);
    sl_json_out_key(&out, "generations");
    sl_json_out_array(&out);
    (void)pthread_mutex_lock(&deployment->lock);
    deployment_note_rates(deployment);
    for (uint32_t i = deployment->generations.count; i > 0; i--)
        history_row(deployment, &deployment->generations.rows[i - 1], &out);
    (void)pthread_mutex_unlock(&deployment->lock);
    sl_json_out_end_array(&out);
    sl_json_out_end_object(&out);
    return report_done(json);
}

/* ---- status ---- */

static const char *status_next(const struct deployment *deployment, char text[DEPLOYMENT_TEXT])
{
    const char *name = deployment->name;

    if (deployment->doing != NULL)
        (void)snprintf(text, DEPLOYMENT_TEXT, "%s", deployment->may_cancel ? "wait, or `sluice rollback`" : "wait");
    else if (deployment->walking && !deployment->held)
        (void)snprintf(text, DEPLOYMENT_TEXT, "the plan goes on by itself; `sluice rollback %s` takes it out", name);
    else
        (void)snprintf(text, DEPLOYMENT_TEXT, "`sluice promote %s --share 10%%`, `sluice promote %s` or `sluice rollback %s`", name, name, name);
    return text;
}

static void status_candidate(const struct deployment *deployment, struct sl_json_out *out)
{
    const struct sl_generation_row *row = sl_generations_find(&deployment->generations, deployment->number);
    char step[64];

    if (row == NULL)
        return;
    sl_json_out_u64_at(out, "generation", row->number);
    sl_json_out_str_at(out, "state", sl_generation_state_text(row->state));
    sl_json_out_f64_at(out, "share", row->share);
    sl_json_out_str_at(out, "who", row->who);
    sl_json_out_i64_at(out, "deployed_unix_ms", row->deployed_unix_ms);
    sl_json_out_str_at(out, "says", deployment->says);
    if (row->state == SL_GENERATION_SHADOW || row->state == SL_GENERATION_CANARY) {
        sl_json_out_u64_at(out, row->state == SL_GENERATION_SHADOW ? "compared" : "records", deployment->seen);
        sl_json_out_u64_at(out, row->state == SL_GENERATION_SHADOW ? "differing" : "records_beside", deployment->beside);
    }
    if (!deployment->walking)
        return;
    sl_json_out_str_at(out, "plan", deployment->plan.name);
    sl_json_out_u64_at(out, "step", deployment->step + 1);
    sl_json_out_u64_at(out, "steps", deployment->plan.steps_count);
    sl_json_out_str_at(out, "at", sl_step_print(&deployment->plan.steps[deployment->step], step));
    sl_json_out_bool_at(out, "held", deployment->held);
}

static void status_live(const struct deployment *deployment, struct sl_json_out *out)
{
    const struct sl_generation_row *row = sl_generations_find(&deployment->generations, deployment->live);
    char digest[24];

    sl_json_out_u64_at(out, "live", deployment->live);
    sl_json_out_bool_at(out, "paused", deployment->paused);
    if (row == NULL)
        return;
    (void)snprintf(digest, sizeof(digest), "%016" PRIx64, row->digest);
    sl_json_out_i64_at(out, "live_unix_ms", row->live_unix_ms);
    sl_json_out_str_at(out, "live_who", row->who);
    sl_json_out_str_at(out, "live_digest", digest);
}

static void status_one(struct deployment *deployment, struct sl_json_out *out)
{
    char text[DEPLOYMENT_TEXT];

    (void)pthread_mutex_lock(&deployment->lock);
    sl_json_out_object(out);
    sl_json_out_str_at(out, "topology", deployment->name);
    status_live(deployment, out);
    sl_json_out_bool_at(out, "drained", deployment->drained);
    if (deployment_describe(deployment, text)) {
        sl_json_out_str_at(out, "doing", text);
        if (deployment->candidate != NULL)
            status_candidate(deployment, out);
        sl_json_out_str_at(out, "next", status_next(deployment, text));
    }
    sl_json_out_end_object(out);
    (void)pthread_mutex_unlock(&deployment->lock);
}

int sl_deployer_status(struct sl_deployer *deployer, const char *topology, struct sl_buf *json)
{
    struct sl_err err = {0};
    struct deployment *one = NULL;
    struct sl_json_out out;

    if (topology != NULL && topology[0] != '\0') {
        one = deployment_find(deployer, topology, &err);
        if (one == NULL)
            return answer_error(json, &err);
    }
    sl_json_out_init(&out, json);
    sl_json_out_object(&out);
    sl_json_out_key(&out, "deployments");
    sl_json_out_array(&out);
    for (uint32_t i = 0; i < deployer->count; i++)
        if (one == NULL || one == &deployer->items[i])
            status_one(&deployer->items[i], &out);
    sl_json_out_end_array(&out);
    sl_json_out_end_object(&out);
    return report_done(json);
}

/* ---- a shadow's differences ---- */

/* Lock held. */
static int diff_text(struct deployment *deployment, struct sl_buf *text, uint32_t *ret_number, struct sl_err *err)
{
    const struct sl_deployer *deployer = deployment->deployer;
    const struct sl_generation_row *row = deployment->candidate == NULL ? NULL : sl_generations_find(&deployment->generations, deployment->number);

    if (row != NULL && row->state == SL_GENERATION_SHADOW && deployer->engine->differences != NULL) {
        *ret_number = row->number;
        return deployer->engine->differences(deployer->settings.host, deployment->candidate, text, err);
    }
    if (deployment->differences_of == 0)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "topology %s: no generation was a shadow since the start; `sluice shadow start %s` makes the candidate one",
                       deployment->name, deployment->name);
    *ret_number = deployment->differences_of;
    sl_buf_append(text, sl_buf_str(&deployment->differences), deployment->differences.bytes);
    return 0;
}

int sl_deployer_shadow_diff(struct sl_deployer *deployer, const char *topology, struct sl_buf *json)
{
    struct sl_err err = {0};
    struct deployment *deployment = deployment_find(deployer, topology, &err);
    struct sl_buf text = {0};
    struct sl_json_out out;
    uint32_t number = 0;
    int status;

    if (deployment == NULL)
        return answer_error(json, &err);
    (void)pthread_mutex_lock(&deployment->lock);
    status = diff_text(deployment, &text, &number, &err);
    (void)pthread_mutex_unlock(&deployment->lock);
    if (status != 0) {
        sl_buf_fini(&text);
        return answer_error(json, &err);
    }
    sl_json_out_init(&out, json);
    sl_json_out_object(&out);
    sl_json_out_str_at(&out, "topology", deployment->name);
    sl_json_out_u64_at(&out, "generation", number);
    sl_json_out_key(&out, "shadow");
    sl_json_out_raw(&out, (struct sl_slice){sl_buf_str(&text), (uint32_t)text.bytes});
    sl_json_out_end_object(&out);
    sl_buf_fini(&text);
    return report_done(json);
}

/* ---- where one is kept ---- */

int sl_deployer_kept(struct sl_deployer *deployer, const char *topology, uint32_t number, char *text, struct sl_err *err)
{
    struct deployment *deployment = deployment_find(deployer, topology, err);
    const struct sl_generation_row *row;

    if (deployment == NULL)
        return -(int)err->code;
    (void)pthread_mutex_lock(&deployment->lock);
    row = sl_generations_find(&deployment->generations, number == 0 ? deployment->live : number);
    if (row != NULL)
        (void)snprintf(text, PATH_MAX, "%s/%" PRIu32, deployment->generations.dir, row->number);
    (void)pthread_mutex_unlock(&deployment->lock);
    return row != NULL ? 0
                       : sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "topology %s: generation %" PRIu32 " is not kept; `sluice history %s` lists those that are",
                                 deployment->name, number, deployment->name);
}
