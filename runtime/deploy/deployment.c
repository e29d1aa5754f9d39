/* deployment.c: the transitions of a candidate. deployer.h says why rows and engine come in this order.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/deploy/deployment.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "runtime/base/clock.h"

static const struct sl_deploy_engine *engine_of(const struct deployment *deployment)
{
    return deployment->deployer->engine;
}

static struct sl_host *host_of(const struct deployment *deployment)
{
    return deployment->deployer->settings.host;
}

/* Of a step: `row_refused` tells the disk's refusal from the engine's. */
static int row_step(struct deployment *deployment, enum sl_generation_state state, double share, struct sl_err *err)
{
    deployment->row_refused = sl_generations_set(&deployment->generations, deployment->number, state, share, deployment_unix_ms(deployment), NULL, err) != 0;
    return deployment->row_refused ? sl_while(err, "the step cannot be written down") : 0;
}

static int row_set(struct deployment *deployment, uint32_t number, enum sl_generation_state state, double share, const char *reason,
                   struct sl_err *err)
{
    return sl_generations_set(&deployment->generations, number, state, share, deployment_unix_ms(deployment), reason, err);
}

/* ---- shadow and canary ---- */

/* Of a shadow that ends now, whatever comes after it. */
static void deployment_keep_differences(struct deployment *deployment)
{
    const struct sl_generation_row *row = sl_generations_find(&deployment->generations, deployment->number);
    struct sl_err ignored = {0};

    if (row == NULL || row->state != SL_GENERATION_SHADOW || engine_of(deployment)->differences == NULL)
        return;
    sl_buf_reset(&deployment->differences);
    if (engine_of(deployment)->differences(host_of(deployment), deployment->candidate, &deployment->differences, &ignored) == 0)
        deployment->differences_of = deployment->number;
}

/* The engine has refused the step: the candidate takes nothing any more, in no slot. A disk that refuses this row leaves a state that is only
 * shown. */
static void row_warm(struct deployment *deployment)
{
    struct sl_err ignored = {0};

    (void)row_set(deployment, deployment->number, SL_GENERATION_WARM, 0, NULL, &ignored);
}

int deployment_shadow(struct deployment *deployment, struct sl_err *err)
{
    deployment->row_refused = false;
    if (engine_of(deployment)->shadow == NULL)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "this engine runs no shadows; promote it, or roll it back");
    if (row_step(deployment, SL_GENERATION_SHADOW, 0, err) != 0)
        return -(int)err->code;
    if (engine_of(deployment)->shadow(host_of(deployment), deployment->candidate, deployment->plan.expect, err) != 0) {
        row_warm(deployment);
        return -(int)err->code;
    }
    deployment->says[0] = '\0';
    deployment->seen = deployment->beside = 0;
    sl_buf_reset(&deployment->differences);
    deployment->differences_of = 0;
    sl_verdict_begin(&deployment->verdict, &deployment->plan.limits,
                     deployment->walking ? deployment->plan.steps[deployment->step].hold_ns : 0, false, deployment_now_ns(deployment));
    return 0;
}

int deployment_canary(struct deployment *deployment, double share, enum sl_split_by by, uint64_t hold_ns, struct sl_err *err)
{
    deployment->row_refused = false;
    if (engine_of(deployment)->canary == NULL)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "this engine runs no canaries; promote it whole, or roll it back");
    deployment_keep_differences(deployment);
    if (row_step(deployment, SL_GENERATION_CANARY, share, err) != 0)
        return -(int)err->code;
    if (engine_of(deployment)->canary(host_of(deployment), deployment->candidate, share, by, err) != 0) {
        row_warm(deployment);
        return -(int)err->code;
    }
    deployment->says[0] = '\0';
    deployment->seen = deployment->beside = 0;
    sl_verdict_begin(&deployment->verdict, &deployment->plan.limits, hold_ns, deployment->warmed, deployment_now_ns(deployment));
    deployment->warmed = true;
    return 0;
}

/* ---- what a generation did ---- */

static struct sl_rates rates_between(const struct sl_deploy_counts *from, const struct sl_deploy_counts *to, uint64_t ns)
{
    double seconds = (double)ns / (double)SL_NS_PER_S;

    if (ns < SL_NS_PER_S || to->records < from->records || to->dead < from->dead || to->errors < from->errors)
        return (struct sl_rates){-1, -1, -1};
    return (struct sl_rates){(double)(to->records - from->records) / seconds, (double)(to->dead - from->dead) / seconds,
                             (double)(to->errors - from->errors) / seconds};
}

void deployment_note_rates(struct deployment *deployment)
{
    struct sl_deploy_counts now;

    if (engine_of(deployment)->counts(host_of(deployment), deployment->name, &now) != 0)
        return;
    sl_effects_of(&deployment->effects, deployment->live)->after =
        rates_between(&deployment->live_counts, &now, deployment_now_ns(deployment) - deployment->live_ns);
}

static void deployment_save_effects(struct deployment *deployment)
{
    struct sl_err ignored = {0}; /* nothing is decided by them */

    (void)sl_effects_save(&deployment->generations, &deployment->effects, &ignored);
}

static void deployment_note_swap(struct deployment *deployment, uint32_t number)
{
    struct sl_rates before;

    deployment_note_rates(deployment);
    before = sl_effects_of(&deployment->effects, deployment->live)->after;
    sl_effects_of(&deployment->effects, number)->before = before;
    deployment_save_effects(deployment);
    (void)engine_of(deployment)->counts(host_of(deployment), deployment->name, &deployment->live_counts);
    deployment->live_ns = deployment_now_ns(deployment);
}

static void deployment_note_verdict(struct deployment *deployment, const char *text)
{
    struct sl_effect *effect = sl_effects_of(&deployment->effects, deployment->number);

    (void)snprintf(effect->verdict, sizeof(effect->verdict), "%.255s", text);
}

/* ---- live ---- */

void deployment_forget_candidate(struct deployment *deployment)
{
    deployment->candidate = NULL;
    deployment->number = 0;
    deployment->walking = deployment->held = deployment->warmed = deployment->unclear_said = deployment->sides_failed_said = false;
    deployment->says[0] = '\0';
    deployment->seen = deployment->beside = 0;
    deployment->expect_before = sl_expect_free(deployment->expect_before);
    deployment->expect_before = deployment->plan.expect; /* the engine may still be ending the shadow that reads it */
    sl_plan_init(&deployment->plan);
}

static uint32_t number_in(const struct deployment *deployment, enum sl_generation_state state)
{
    const struct sl_generation_row *row = sl_generations_in(&deployment->generations, state);

    return row == NULL ? 0 : row->number;
}

int deployment_settle(struct deployment *deployment, struct sl_err *err)
{
    struct deployment_owed *owed = &deployment->owed;

    if (!owed->due)
        return 0;
    if (row_set(deployment, owed->live, SL_GENERATION_LIVE, 1, NULL, err) != 0 ||
        (owed->previous != 0 && row_set(deployment, owed->previous, SL_GENERATION_PREVIOUS, 0, NULL, err) != 0) ||
        (owed->failed != 0 && row_set(deployment, owed->failed, SL_GENERATION_FAILED, 0, owed->reason, err) != 0))
        return sl_while(err, "generation %" PRIu32 " is live, but cannot be written down as such", owed->live);
    owed->due = false;
    return 0;
}

static void deployment_take_back(struct deployment *deployment, const struct deployment_owed *owed)
{
    struct sl_err err = {0};

    deployment->owed = *owed;
    deployment->owed.due = true;
    if (deployment_settle(deployment, &err) != 0)
        deployment_say(deployment, owed->live, NULL, "%s; it is tried again each second, and a start before that would run another one",
                       err.text);
}

int deployment_promote(struct deployment *deployment, bool failed, struct sl_swap_report *ret_report, struct sl_err *err)
{
    struct deployment_owed owed = {.live = deployment->live, .previous = number_in(deployment, SL_GENERATION_PREVIOUS),
                                   .failed = failed ? deployment->number : 0};
    struct sl_generation_row before = *sl_generations_find(&deployment->generations, deployment->number);

    assert(deployment->candidate != NULL);
    if (before.state < SL_GENERATION_LIVE && deployment->says[0] != '\0')
        deployment_note_verdict(deployment, deployment->says);
    deployment_keep_differences(deployment);
    if (row_step(deployment, SL_GENERATION_LIVE, 1, err) != 0)
        return -(int)err->code;
    if (engine_of(deployment)->promote(host_of(deployment), deployment->candidate, ret_report, err) != 0) {
        (void)snprintf(owed.reason, sizeof(owed.reason), "%.255s", err->text);
        deployment_take_back(deployment, &owed);
        deployment_forget_candidate(deployment);
        return -(int)err->code;
    }
    deployment_note_swap(deployment, deployment->number);
    deployment->live = deployment->number;
    deployment->live_digest = deployment->digest;
    deployment->live_digest_now = deployment->digest_now;
    deployment_forget_candidate(deployment);
    return 0;
}

/* ---- out ---- */

void deployment_out(struct deployment *deployment, const char *reason)
{
    struct sl_err err = {0};
    uint32_t number = deployment->number;

    assert(deployment->candidate != NULL);
    deployment_keep_differences(deployment);
    engine_of(deployment)->discard(host_of(deployment), deployment->candidate);
    deployment_note_verdict(deployment, deployment->says[0] != '\0' ? deployment->says : reason);
    if (row_set(deployment, number, SL_GENERATION_FAILED, 0, reason, &err) != 0)
        deployment_say(deployment, number, NULL, "it is out, but that cannot be written down (the next start does): %s", err.text);
    deployment_save_effects(deployment);
    deployment_forget_candidate(deployment);
}
