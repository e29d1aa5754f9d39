/* walk.c: a candidate that takes records is looked at twice a second: the judge answers, and a plan's next step follows.
 *
 *   enter a step --HOLD--> look again     PASS -> the next step, or live     FAIL -> out     FEW -> the plan's when_unsure
 * A step that somebody took by hand has no next one; its judge only takes out what fails. A plan that holds is looked at like that, too:
 * it goes on by promote or rollback.
 * SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "runtime/base/clock.h"
#include "runtime/config/units.h"
#include "runtime/deploy/deployment.h"

#define WALK_LOOK_NS (SL_NS_PER_S / 2)

static void walk_who(const struct deployment *deployment, struct sl_who *ret_who)
{
    *ret_who = (struct sl_who){.uid = -1};
    (void)snprintf(ret_who->text, sizeof(ret_who->text), "the plan of %.40s", deployment->who);
}

static void walk_out(struct deployment *deployment, const char *reason, const char *end)
{
    struct sl_who who;
    uint32_t number = deployment->number;
    char text[480];

    walk_who(deployment, &who);
    (void)snprintf(text, sizeof(text), "%s", reason);
    deployment_out(deployment, text);
    deployment_audit(deployment, &who, "rollback", number, "done", text);
    deployment_say(deployment, number, end, "%s: %s; generation %" PRIu32 " is live as before",
                   strcmp(end, "failed") == 0 ? "it failed" : "rolled back", text, deployment->live);
}

static void walk_hold(struct deployment *deployment, const char *why)
{
    deployment->held = true;
    deployment_say(deployment, deployment->number, "held", "%s; the plan holds: `sluice promote %s` or `sluice rollback %s`", why,
                   deployment->name, deployment->name);
}

static void walk_live(struct deployment *deployment)
{
    struct sl_swap_report report = {0};
    struct sl_err err = {0};
    struct sl_who who;
    uint32_t number = deployment->number;
    char text[DEPLOYMENT_TEXT];

    walk_who(deployment, &who);
    if (deployment_promote(deployment, true, &report, &err) == 0) {
        (void)snprintf(text, sizeof(text), "live, swapped in %.3g ms", (double)report.wall_ns / (double)SL_NS_PER_MS);
        deployment_audit(deployment, &who, "promote", number, "done", text);
        deployment_say(deployment, number, "live", "%s", text);
        return;
    }
    deployment_audit(deployment, &who, "promote", number, "failed", err.text);
    if (deployment->candidate != NULL)
        walk_hold(deployment, err.text);
    else
        deployment_say(deployment, number, "failed", "it failed: %s; generation %" PRIu32 " is live as before", err.text, deployment->live);
}

static void walk_enter(struct deployment *deployment)
{
    const struct sl_step *step = &deployment->plan.steps[deployment->step];
    struct sl_err err = {0};
    struct sl_who who;
    char text[64];
    int status;

    deployment->unclear_said = false;
    if (step->kind == SL_STEP_LIVE) {
        walk_live(deployment);
        return;
    }
    status = step->kind == SL_STEP_SHADOW ? deployment_shadow(deployment, &err)
                                          : deployment_canary(deployment, step->share, deployment->plan.by, step->hold_ns, &err);
    if (status != 0 && deployment->row_refused) {
        walk_hold(deployment, err.text);
        return;
    }
    if (status != 0) {
        walk_out(deployment, err.text, "failed");
        return;
    }
    walk_who(deployment, &who);
    (void)sl_step_print(step, text);
    deployment_audit(deployment, &who, step->kind == SL_STEP_SHADOW ? "shadow" : "promote", deployment->number, "done", text);
    deployment_say(deployment, deployment->number, NULL, "step %" PRIu32 " of %" PRIu32 ": %s", deployment->step + 1,
                   deployment->plan.steps_count, text);
}

void deployment_walk(struct deployment *deployment)
{
    deployment->walking = true;
    deployment->step = 0;
    walk_enter(deployment);
}

static void walk_next(struct deployment *deployment)
{
    deployment_say(deployment, deployment->number, NULL, "passed: %s", deployment->says);
    if (deployment->step + 1 < deployment->plan.steps_count) {
        deployment->step++;
        walk_enter(deployment);
        return;
    }
    walk_hold(deployment, "the plan's last step is over");
}

static void walk_unsure(struct deployment *deployment)
{
    char text[400];

    (void)snprintf(text, sizeof(text), "%s", deployment->says);
    if (deployment->plan.when_unsure == SL_UNSURE_HOLD)
        walk_hold(deployment, text);
    else if (deployment->plan.when_unsure == SL_UNSURE_ROLLBACK)
        walk_out(deployment, text, "rolled_back");
    else
        walk_next(deployment);
}

static void walk_say_unclear(struct deployment *deployment)
{
    char patience[SL_UNITS_TEXT];

    if (deployment->unclear_said || deployment->says[0] == '\0')
        return;
    deployment->unclear_said = true;
    sl_duration_print(deployment->plan.limits.patience_ns, patience);
    deployment_say(deployment, deployment->number, NULL, "the step goes on, for %s at most: %s", patience, deployment->says);
}

static void walk_answer(struct deployment *deployment, enum sl_verdict_answer answer, bool must_out)
{
    char text[400];

    if (answer == SL_VERDICT_FAIL && must_out) {
        (void)snprintf(text, sizeof(text), "%s", deployment->says);
        walk_out(deployment, text, "rolled_back");
        return;
    }
    if (!deployment->walking || deployment->held)
        return;
    if (answer == SL_VERDICT_PASS)
        walk_next(deployment);
    else if (answer == SL_VERDICT_FEW)
        walk_unsure(deployment);
    else
        walk_say_unclear(deployment);
}

/* False: the slots do not answer now. */
static bool walk_sides(struct deployment *deployment, struct sl_sides *ret_sides)
{
    const struct sl_deployer *deployer = deployment->deployer;
    struct sl_err err = {0};

    if (deployer->engine->sides(deployer->settings.host, deployment->candidate, ret_sides, &err) == 0)
        return true;
    if (!deployment->sides_failed_said)
        deployment_say(deployment, deployment->number, NULL, "the judge sees nothing: %s", err.text);
    deployment->sides_failed_said = true;
    return false;
}

static void walk_look(struct deployment *deployment, bool shadow)
{
    enum sl_verdict_answer answer;
    struct sl_sides sides;

    memset(&sides, 0, sizeof(sides));
    if (!walk_sides(deployment, &sides))
        return;
    deployment->seen = shadow ? sides.compared : sides.canary.records;
    deployment->beside = shadow ? sides.differing : sides.baseline.records;
    answer = shadow ? sl_verdict_look_shadow(&deployment->verdict, &sides, deployment_now_ns(deployment), deployment->says)
                    : sl_verdict_look(&deployment->verdict, &sides, deployment_now_ns(deployment), deployment->says);
    /* A shadow by hand is there to be looked at: only what broke ends it. */
    walk_answer(deployment, answer, !shadow || deployment->walking || sides.broken);
}

uint64_t deployment_turn(struct deployment *deployment)
{
    struct sl_err ignored = {0};
    const struct sl_generation_row *row;

    if (deployment->owed.due && deployment_settle(deployment, &ignored) != 0)
        return SL_NS_PER_S;
    row = deployment->candidate == NULL || deployment->doing != NULL ? NULL : sl_generations_find(&deployment->generations, deployment->number);
    if (row == NULL || (row->state != SL_GENERATION_SHADOW && row->state != SL_GENERATION_CANARY))
        return UINT64_MAX;
    walk_look(deployment, row->state == SL_GENERATION_SHADOW);
    return deployment->candidate != NULL || deployment->owed.due ? WALK_LOOK_NS : UINT64_MAX;
}
