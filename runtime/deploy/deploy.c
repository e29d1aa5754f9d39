/* deploy.c: the command deploy: checked, kept, opened, warm; and then what its plan says.
 *
 * Of a deployment that somebody cancels while it is being opened nothing stays; so does one that is refused.
 * SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/clock.h"
#include "runtime/deploy/answer.h"
#include "runtime/engine/reach.h"

struct deploy {
    struct answer answer;
    const struct sl_deploy_request *request;
    struct sl_diags diags;
    struct sl_plan plan;
    struct sl_topology *file, *kept; /* as FILE has it; as it is kept */
};

static const struct sl_deploy_load *deploy_load(const struct deploy *deploy)
{
    return &deploy->answer.deployer->settings.load;
}

/* ---- before anything is changed ---- */

static int deploy_refuse_diags(struct deploy *deploy, const char *what)
{
    struct sl_err err = {0};

    (void)sl_fail(&err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "%s cannot be read", what);
    return answer_diags(&deploy->answer, &deploy->diags, &err);
}

static bool deploy_has_sink(const struct sl_topology *topology, const char *name)
{
    for (uint32_t i = 0; i < topology->components_count; i++)
        if (topology->components[i].role == SL_SINK && strcmp(topology->components[i].name, name) == 0)
            return true;
    return false;
}

/* A difference that is expected at a sink that is not there would hide nothing and surprise. */
static int deploy_check_plan(struct deploy *deploy, struct sl_err *err)
{
    for (uint32_t i = 0; deploy->plan.expect != NULL && i < sl_expect_count(deploy->plan.expect); i++) {
        const char *sink = sl_expect_sink(deploy->plan.expect, i);
        if (sink != NULL && !deploy_has_sink(deploy->file, sink))
            return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "plan %s: expect.%" PRIu32 ": %s has no sink %s", deploy->plan.name, i,
                           deploy->file->path, sink);
    }
    return 0;
}

static int deploy_read(struct deploy *deploy)
{
    const struct sl_strings sets = {deploy->request->sets, deploy->request->sets_count};
    struct sl_err err = {0};

    if (deploy->request->plan != NULL && sl_plan_load(deploy->request->plan, &deploy->diags, &deploy->plan) != 0)
        return deploy_refuse_diags(deploy, deploy->request->plan);
    if (deploy_load(deploy)->file(deploy_load(deploy)->user, deploy->request->file, &sets, &deploy->diags, &deploy->file) != 0)
        return deploy_refuse_diags(deploy, deploy->request->file);
    deploy->answer.deployment = deployment_find(deploy->answer.deployer, deploy->file->name, &err);
    if (deploy->answer.deployment == NULL || deploy_check_plan(deploy, &err) != 0)
        return answer_err(&deploy->answer, &err);
    return 0;
}

/* Lock held. 0, or -code: refused with the first one's state and how to go on. */
static int deploy_claim(struct deploy *deploy)
{
    struct deployment *deployment = deploy->answer.deployment;
    char first[DEPLOYMENT_TEXT];
    struct sl_err err = {0};

    if (deployment_describe(deployment, first))
        (void)sl_fail(&err, SL_E_CONFIG, SL_REMEDY_HALT, 0,
                      "topology %s: %.250s; one deployment at a time: `sluice promote %s` makes it live, `sluice rollback %s` takes it out",
                      deployment->name, first, deployment->name, deployment->name);
    else if (deployment->drained)
        (void)sl_fail(&err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "topology %s was drained and has ended; it begins again at the next start of the process",
                      deployment->name);
    else if (deployment->closed != NULL)
        (void)sl_fail(&err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "topology %s: %s; nothing is changed until then", deployment->name,
                      deployment->closed);
    else
        (void)deployment_settle(deployment, &err);
    if (err.code != SL_OK)
        return answer_err(&deploy->answer, &err);
    deployment->doing = "is being opened";
    deployment->may_cancel = true;
    (void)snprintf(deployment->doing_who, sizeof(deployment->doing_who), "%s", deploy->answer.who->text);
    deployment->cancelled_by[0] = '\0';
    return 0;
}

/* ---- kept and opened; without the lock, behind `doing` ---- */

static int deploy_keep(struct deploy *deploy, struct sl_err *err)
{
    struct deployment *deployment = deploy->answer.deployment;
    struct sl_generation_row row = {.digest = deploy->file->digest, .deployed_unix_ms = deployment_unix_ms(deployment)};
    char dir[PATH_MAX];
    int status;

    (void)snprintf(row.who, sizeof(row.who), "%s", deploy->answer.who->text);
    (void)pthread_mutex_lock(&deployment->lock);
    status = deploy_load(deploy)->keep(deploy_load(deploy)->user, deploy->file, &deployment->generations, &row, err);
    if (status == 0)
        deploy->answer.number = row.number;
    (void)snprintf(dir, sizeof(dir), "%s/%" PRIu32, deployment->generations.dir, row.number);
    if (status == 0)
        deployment_say(deployment, row.number, NULL, "checked, deployed by %s", row.who);
    (void)pthread_mutex_unlock(&deployment->lock);
    if (status != 0)
        return status;
    if (deploy_load(deploy)->kept(deploy_load(deploy)->user, dir, &deploy->diags, &deploy->kept) != 0)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "what was kept of it in %s does not load: %.250s", dir,
                       deploy->diags.count > 0 ? deploy->diags.items[deploy->diags.count - 1].text : "no reason is known");
    if (deploy->kept->digest != deploy->file->digest)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_RETRY, 0, "its files changed while they were copied; deploy it again");
    return 0;
}

static int deploy_prepare(struct deploy *deploy, struct sl_candidate **ret_candidate, struct sl_err *err)
{
    struct sl_deployer *deployer = deploy->answer.deployer;
    uint64_t digest = deploy->kept->digest, digest_now = deploy->kept->digest_now;
    struct deployment *deployment = deploy->answer.deployment;

    if (sl_reach_required(deploy->kept, err) != 0 ||
        deployer->engine->prepare(deployer->settings.host, deploy->kept, deploy->answer.number, NULL, NULL, ret_candidate, err) != 0)
        return -(int)err->code;
    deploy->kept = NULL; /* the host's */
    (void)pthread_mutex_lock(&deployment->lock);
    deployment->digest = digest;
    deployment->digest_now = digest_now;
    (void)pthread_mutex_unlock(&deployment->lock);
    return 0;
}

/* ---- warm, and on; lock held ---- */

static void deploy_fail_row(struct deploy *deploy, const char *reason)
{
    struct deployment *deployment = deploy->answer.deployment;
    struct sl_err ignored = {0}; /* a start fails it, too */

    if (deploy->answer.number != 0)
        (void)sl_generations_set(&deployment->generations, deploy->answer.number, SL_GENERATION_FAILED, 0, deployment_unix_ms(deployment),
                                 reason, &ignored);
}

static int deploy_refused(struct deploy *deploy, const struct sl_err *err)
{
    deploy_fail_row(deploy, err->text);
    if (deploy->answer.number != 0)
        deployment_say(deploy->answer.deployment, deploy->answer.number, "failed", "refused: %s", err->text);
    return answer_err(&deploy->answer, err);
}

static int deploy_now(struct deploy *deploy)
{
    struct deployment *deployment = deploy->answer.deployment;
    struct sl_swap_report report = {0};
    struct sl_err err = {0};

    if (deployment_promote(deployment, true, &report, &err) != 0) {
        if (deployment->candidate != NULL)
            deployment_say(deployment, deploy->answer.number, "warm", "%s", err.text);
        else
            deployment_say(deployment, deploy->answer.number, "failed", "it failed: %s", err.text);
        return answer_err(&deploy->answer, &err);
    }
    deployment_say(deployment, deploy->answer.number, "live", "live, swapped in %.3g ms", (double)report.wall_ns / (double)SL_NS_PER_MS);
    return answer_done(&deploy->answer, "done", "topology %s: generation %" PRIu32 " is live (%" PRIu32 " slots swapped in %.3g ms); `sluice rollback %s` goes back",
                       deployment->name, deploy->answer.number, report.slots, (double)report.wall_ns / (double)SL_NS_PER_MS, deployment->name);
}

static int deploy_begin_plan(struct deploy *deploy)
{
    struct deployment *deployment = deploy->answer.deployment;
    uint32_t number = deploy->answer.number;
    const struct sl_generation_row *row;
    char first[64];
    struct sl_err err = {0};

    deployment->plan = deploy->plan;
    deploy->plan.expect = NULL;
    (void)sl_step_print(&deployment->plan.steps[0], first);
    deployment_walk(deployment);
    row = sl_generations_find(&deployment->generations, number);
    if (row != NULL && row->state == SL_GENERATION_FAILED) {
        (void)sl_fail(&err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "topology %s: generation %" PRIu32 " failed at its first step: %.250s", deployment->name,
                      number, row->reason);
        return answer_err(&deploy->answer, &err);
    }
    return answer_done(&deploy->answer, "done", "topology %s: generation %" PRIu32 " walks plan %s, now: %s; `sluice rollback %s` takes it out at any time",
                       deployment->name, number, deploy->request->plan, first, deployment->name);
}

static int deploy_go_on(struct deploy *deploy, struct sl_candidate *candidate)
{
    struct deployment *deployment = deploy->answer.deployment;
    struct sl_err err = {0};

    deployment->candidate = candidate;
    deployment->number = deploy->answer.number;
    (void)snprintf(deployment->who, sizeof(deployment->who), "%s", deploy->answer.who->text);
    if (deployment->cancelled_by[0] != '\0')
        (void)sl_fail(&err, SL_E_STOPPED, SL_REMEDY_HALT, 0, "rolled back by %s while it was being opened", deployment->cancelled_by);
    else
        (void)sl_generations_set(&deployment->generations, deploy->answer.number, SL_GENERATION_WARM, 0, deployment_unix_ms(deployment), NULL, &err);
    if (err.code != SL_OK) {
        deployment_out(deployment, err.text);
        return deploy_refused(deploy, &err);
    }
    deployment_say(deployment, deploy->answer.number, deploy->request->plan == NULL ? "warm" : NULL, "warm: everything of it is open");
    if (deploy->request->plan == NULL)
        return answer_done(&deploy->answer, "done",
                           "topology %s: generation %" PRIu32 " is warm, nothing goes through it yet; go on with `sluice shadow start %s`, `sluice promote %s --share 1%%`, `sluice promote %s` or `sluice rollback %s`",
                           deployment->name, deploy->answer.number, deployment->name, deployment->name, deployment->name, deployment->name);
    if (deploy->plan.steps_count == 1 && deploy->plan.steps[0].kind == SL_STEP_LIVE)
        return deploy_now(deploy);
    return deploy_begin_plan(deploy);
}

static int deploy_open(struct deploy *deploy)
{
    struct deployment *deployment = deploy->answer.deployment;
    struct sl_candidate *candidate = NULL;
    struct sl_err err = {0};
    int status = deploy_keep(deploy, &err);

    if (status == 0)
        status = deploy_prepare(deploy, &candidate, &err);
    (void)pthread_mutex_lock(&deployment->lock);
    deployment->doing = NULL;
    if (status == 0)
        status = deploy_go_on(deploy, candidate);
    else
        status = deploy_refused(deploy, &err);
    deployment_wake(deployment);
    (void)pthread_mutex_unlock(&deployment->lock);
    return status;
}

static int deploy_run(struct deploy *deploy)
{
    struct deployment *deployment;
    bool same;
    int status = deploy_read(deploy);

    if (status != 0)
        return status;
    deployment = deploy->answer.deployment;
    (void)pthread_mutex_lock(&deployment->lock);
    same = deploy->file->digest == deployment->live_digest && deploy->file->digest_now == deployment->live_digest_now;
    status = same ? 0 : deploy_claim(deploy);
    if (same) {
        deploy->answer.number = deployment->live;
        (void)answer_done(&deploy->answer, "no change", "topology %s: no change, generation %" PRIu32 " is live with the same content",
                          deployment->name, deployment->live);
    }
    (void)pthread_mutex_unlock(&deployment->lock);
    return same || status != 0 ? status : deploy_open(deploy);
}

int sl_deployer_deploy(struct sl_deployer *deployer, const struct sl_deploy_request *request, const struct sl_who *who,
                       struct sl_buf *json)
{
    struct deploy deploy = {.answer = {deployer, NULL, who, "deploy", json, 0}, .request = request};
    int status;

    sl_diags_init(&deploy.diags);
    sl_plan_init(&deploy.plan);
    status = deploy_run(&deploy);
    if (deploy.file != NULL)
        (void)deployer->settings.load.free(deploy.file);
    if (deploy.kept != NULL)
        (void)deployer->settings.load.free(deploy.kept);
    sl_plan_fini(&deploy.plan);
    sl_diags_fini(&deploy.diags);
    return status;
}
