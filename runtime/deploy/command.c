/* command.c: promote, rollback, shadow, pause and drain.
 * SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "runtime/base/clock.h"
#include "runtime/config/units.h"
#include "runtime/deploy/answer.h"

/* The topology, locked; NULL: answered, *ret_status says how. */
static struct deployment *command_begin(struct answer *answer, const char *topology, int *ret_status)
{
    struct deployment *deployment;
    struct sl_err err = {0};

    deployment = answer->deployment = deployment_find(answer->deployer, topology, &err);
    if (deployment == NULL) {
        *ret_status = answer_err(answer, &err);
        return NULL;
    }
    (void)pthread_mutex_lock(&deployment->lock);
    answer->number = deployment->candidate != NULL ? deployment->number : deployment->live;
    if (deployment->closed == NULL)
        return deployment;
    (void)sl_fail(&err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "topology %s: %s; nothing is changed until then", deployment->name, deployment->closed);
    *ret_status = answer_err(answer, &err);
    (void)pthread_mutex_unlock(&deployment->lock);
    return NULL;
}

static int command_end(struct answer *answer, int status)
{
    deployment_wake(answer->deployment);
    (void)pthread_mutex_unlock(&answer->deployment->lock);
    return status;
}

/* Nothing is being opened: the engine takes one call at a time. Else answered. */
static bool command_free(struct answer *answer, int *ret_status)
{
    const struct deployment *deployment = answer->deployment;
    char text[DEPLOYMENT_TEXT];
    struct sl_err err = {0};

    if (deployment->doing == NULL || !deployment_describe(deployment, text))
        return true;
    (void)sl_fail(&err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "topology %s: %.300s; wait for it%s%s%s", deployment->name, text,
                  deployment->may_cancel ? ", or `sluice rollback " : "", deployment->may_cancel ? deployment->name : "",
                  deployment->may_cancel ? "`" : "");
    *ret_status = answer_err(answer, &err);
    return false;
}

/* A candidate that may be taken a step further; else answered. */
static bool command_candidate(struct answer *answer, const char *what, int *ret_status)
{
    const struct deployment *deployment = answer->deployment;
    struct sl_err err = {0};

    if (!command_free(answer, ret_status))
        return false;
    if (deployment->candidate != NULL)
        return true;
    (void)sl_fail(&err, SL_E_CONFIG, SL_REMEDY_HALT, 0,
                  "topology %s: generation %" PRIu32 " is live, and there is no other one to %s; `sluice deploy FILE` makes one",
                  deployment->name, deployment->live, what);
    *ret_status = answer_err(answer, &err);
    return false;
}

/* ---- promote ---- */

static int promote_live(struct answer *answer)
{
    struct deployment *deployment = answer->deployment;
    struct sl_swap_report report = {0};
    struct sl_err err = {0};

    if (deployment_promote(deployment, true, &report, &err) != 0) {
        if (deployment->candidate == NULL)
            deployment_say(deployment, answer->number, "failed", "it failed: %s; generation %" PRIu32 " is live as before", err.text,
                           deployment->live);
        return answer_err(answer, &err);
    }
    deployment_say(deployment, answer->number, "live", "live, promoted by %s, swapped in %.3g ms", answer->who->text,
                   (double)report.wall_ns / (double)SL_NS_PER_MS);
    return answer_done(answer, "done", "topology %s: generation %" PRIu32 " is live (%" PRIu32 " slots swapped in %.3g ms); `sluice rollback %s` goes back",
                       deployment->name, answer->number, report.slots, (double)report.wall_ns / (double)SL_NS_PER_MS, deployment->name);
}

static int promote_share(struct answer *answer, double share, enum sl_split_by by)
{
    struct deployment *deployment = answer->deployment;
    struct sl_err err = {0};
    char text[SL_UNITS_TEXT];

    if (deployment_canary(deployment, share, by, 0, &err) != 0) {
        if (!deployment->row_refused) /* it takes nothing any more, so a plan has nothing to go on with */
            deployment->walking = deployment->held = false;
        return answer_err(answer, &err);
    }
    deployment->walking = deployment->held = false;
    sl_share_print(share, text);
    deployment_say(deployment, answer->number, NULL, "canary at %s of the %s, by %s", text, by == SL_SPLIT_KEY ? "keys" : "partitions",
                   answer->who->text);
    return answer_done(answer, "done", "topology %s: generation %" PRIu32 " takes %s of the %s; the judge takes it out if it is worse; `sluice promote %s` makes it live",
                       deployment->name, answer->number, text, by == SL_SPLIT_KEY ? "keys" : "partitions", deployment->name);
}

int sl_deployer_promote(struct sl_deployer *deployer, const char *topology, double share, enum sl_split_by by, const struct sl_who *who,
                        struct sl_buf *json)
{
    struct answer answer = {deployer, NULL, who, "promote", json, 0};
    struct sl_err err = {0};
    int status = 0;

    if (command_begin(&answer, topology, &status) == NULL)
        return status;
    if (!(share >= 0 && share <= 1)) {
        (void)sl_fail(&err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "%g is not a share: write more than 0 and at most 100%%", share);
        status = answer_err(&answer, &err);
    } else if (command_candidate(&answer, "promote", &status)) {
        status = share > 0 && share < 1 ? promote_share(&answer, share, by) : promote_live(&answer);
    }
    return command_end(&answer, status);
}

/* ---- rollback ---- */

static int rollback_candidate(struct answer *answer)
{
    struct deployment *deployment = answer->deployment;
    char reason[128];

    (void)snprintf(reason, sizeof(reason), "rolled back by %s", answer->who->text);
    deployment_out(deployment, reason);
    deployment_say(deployment, answer->number, "rolled_back", "%s; generation %" PRIu32 " is live as before", reason, deployment->live);
    return answer_done(answer, "done", "topology %s: generation %" PRIu32 " is out, generation %" PRIu32 " is live as before", deployment->name,
                       answer->number, deployment->live);
}

struct rollback_opened {
    struct sl_candidate *candidate;
    uint64_t digest, digest_now;
};

/* Without the lock, behind `doing`: the generation is loaded and opened again, as a candidate that has a row already. */
static int rollback_prepare(struct answer *answer, uint32_t number, struct rollback_opened *ret_opened, struct sl_err *err)
{
    struct deployment *deployment = answer->deployment;
    const struct sl_deployer_settings *settings = &answer->deployer->settings;
    struct sl_topology *kept = NULL;
    struct sl_diags diags;
    char dir[PATH_MAX];
    int status;

    (void)snprintf(dir, sizeof(dir), "%s/%" PRIu32, deployment->generations.dir, number);
    sl_diags_init(&diags);
    status = settings->load.kept(settings->load.user, dir, &diags, &kept);
    if (status != 0)
        status = sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "what is kept in %s does not load: %.250s", dir,
                         diags.count > 0 ? diags.items[diags.count - 1].text : "no reason is known");
    sl_diags_fini(&diags);
    if (status != 0)
        return status;
    ret_opened->digest = kept->digest;
    ret_opened->digest_now = kept->digest_now;
    status = settings->engine->prepare(settings->host, kept, number, NULL, NULL, &ret_opened->candidate, err);
    if (status != 0)
        (void)settings->load.free(kept);
    return status;
}

static void rollback_note(struct answer *answer, uint32_t number)
{
    struct deployment *deployment = answer->deployment;
    struct sl_err ignored = {0}; /* it is no candidate any more; only the history would not say why */
    char reason[300];

    (void)snprintf(reason, sizeof(reason), "rolled back by %s", answer->who->text);
    if (deployment->fault[0] != '\0')
        (void)snprintf(reason, sizeof(reason), "%s", deployment->fault);
    (void)sl_generations_set(&deployment->generations, number, SL_GENERATION_FAILED, 0, deployment_unix_ms(deployment), reason, &ignored);
}

/* Lock held before and after, not meanwhile. It is the candidate then. */
static int rollback_open(struct answer *answer, uint32_t number, bool may_cancel, struct sl_err *err)
{
    struct deployment *deployment = answer->deployment;
    struct rollback_opened opened = {0};
    int status;

    deployment->doing = "is being opened again";
    deployment->may_cancel = may_cancel;
    (void)snprintf(deployment->doing_who, sizeof(deployment->doing_who), "%s", answer->who->text);
    deployment->cancelled_by[0] = '\0';
    (void)pthread_mutex_unlock(&deployment->lock);
    status = rollback_prepare(answer, number, &opened, err);
    (void)pthread_mutex_lock(&deployment->lock);
    deployment->doing = NULL;
    if (status != 0)
        return status;
    deployment->candidate = opened.candidate;
    deployment->number = number;
    deployment->digest = opened.digest;
    deployment->digest_now = opened.digest_now;
    return 0;
}

static int rollback_live(struct answer *answer)
{
    struct deployment *deployment = answer->deployment;
    const struct sl_generation_row *row = sl_generations_in(&deployment->generations, SL_GENERATION_PREVIOUS);
    struct sl_swap_report report = {0};
    struct sl_err err = {0};
    uint32_t from = deployment->live, to = row == NULL ? 0 : row->number;

    if (to == 0) {
        (void)sl_fail(&err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "topology %s: generation %" PRIu32 " is live, and there is none before it to go back to",
                      deployment->name, from);
        return answer_err(answer, &err);
    }
    if (deployment_settle(deployment, &err) != 0 || rollback_open(answer, to, false, &err) != 0) {
        (void)sl_while(&err, "topology %s: generation %" PRIu32 " stays live; going back to generation %" PRIu32, deployment->name, from, to);
        return answer_err(answer, &err);
    }
    if (deployment_promote(deployment, false, &report, &err) != 0) {
        if (deployment->candidate != NULL)
            deployment->deployer->engine->discard(deployment->deployer->settings.host, deployment->candidate);
        deployment_forget_candidate(deployment);
        return answer_err(answer, &err);
    }
    rollback_note(answer, from);
    answer->number = to;
    deployment_say(deployment, from, "rolled_back", "rolled back by %s; generation %" PRIu32 " is live again", answer->who->text, to);
    return answer_done(answer, "done", "topology %s: generation %" PRIu32 " is live again (%" PRIu32 " slots swapped in %.3g ms), generation %" PRIu32 " is out",
                       deployment->name, to, report.slots, (double)report.wall_ns / (double)SL_NS_PER_MS, from);
}

int sl_deployer_rollback(struct sl_deployer *deployer, const char *topology, const struct sl_who *who, struct sl_buf *json)
{
    struct answer answer = {deployer, NULL, who, "rollback", json, 0};
    struct deployment *deployment;
    struct sl_err err = {0};
    int status = 0;

    deployment = command_begin(&answer, topology, &status);
    if (deployment == NULL)
        return status;
    if (deployment->doing != NULL && !deployment->may_cancel) {
        (void)sl_fail(&err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "topology %s: %s is at it already", deployment->name, deployment->doing_who);
        status = answer_err(&answer, &err);
    } else if (deployment->doing != NULL) {
        (void)snprintf(deployment->cancelled_by, sizeof(deployment->cancelled_by), "%s", who->text);
        status = answer_done(&answer, "done", "topology %s: what %s there goes as soon as it is open; generation %" PRIu32 " is live as before",
                             deployment->name, deployment->doing, deployment->live);
    } else {
        status = deployment->candidate != NULL ? rollback_candidate(&answer) : rollback_live(&answer);
    }
    return command_end(&answer, status);
}

/* ---- shadow ---- */

/* The engine has no way back from a shadow but out; so it is opened once more. */
static int shadow_stop(struct answer *answer)
{
    struct deployment *deployment = answer->deployment;
    uint32_t number = deployment->number;
    struct sl_err err = {0};

    deployment_out(deployment, "its shadow was stopped");
    if (sl_generations_set(&deployment->generations, number, SL_GENERATION_CHECKED, 0, deployment_unix_ms(deployment), "", &err) != 0 ||
        rollback_open(answer, number, true, &err) != 0)
        goto failed;
    if (deployment->cancelled_by[0] != '\0') {
        (void)sl_fail(&err, SL_E_STOPPED, SL_REMEDY_HALT, 0, "rolled back by %s", deployment->cancelled_by);
        deployment_out(deployment, err.text);
        goto failed;
    }
    if (sl_generations_set(&deployment->generations, number, SL_GENERATION_WARM, 0, deployment_unix_ms(deployment), NULL, &err) != 0) {
        deployment_out(deployment, err.text);
        goto failed;
    }
    deployment_say(deployment, number, "warm", "shadow stopped by %s; warm", answer->who->text);
    return answer_done(answer, "done", "topology %s: generation %" PRIu32 " is no shadow any more, but warm", deployment->name, number);
failed:
    rollback_note(answer, number);
    deployment_say(deployment, number, "failed", "%s", err.text);
    return answer_err(answer, &err);
}

static int shadow_start(struct answer *answer)
{
    struct deployment *deployment = answer->deployment;
    struct sl_err err = {0};

    deployment->walking = deployment->held = false;
    if (deployment_shadow(deployment, &err) != 0)
        return answer_err(answer, &err);
    deployment_say(deployment, answer->number, NULL, "shadow, by %s", answer->who->text);
    return answer_done(answer, "done", "topology %s: generation %" PRIu32 " gets all batches, its sinks closed; `sluice shadow diff %s` shows what differs",
                       deployment->name, answer->number, deployment->name);
}

int sl_deployer_shadow(struct sl_deployer *deployer, const char *topology, bool on, const struct sl_who *who, struct sl_buf *json)
{
    struct answer answer = {deployer, NULL, who, "shadow", json, 0};
    const struct sl_generation_row *row;
    struct sl_err err = {0};
    int status = 0;

    if (command_begin(&answer, topology, &status) == NULL)
        return status;
    if (!command_candidate(&answer, "shadow", &status))
        return command_end(&answer, status);
    row = sl_generations_find(&answer.deployment->generations, answer.number);
    if (on && row->state == SL_GENERATION_CANARY)
        (void)sl_fail(&err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "topology %s: generation %" PRIu32 " is a canary and writes already; a shadow comes before that",
                      answer.deployment->name, answer.number);
    else if (!on && row->state != SL_GENERATION_SHADOW)
        (void)sl_fail(&err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "topology %s: generation %" PRIu32 " is no shadow, but %s", answer.deployment->name,
                      answer.number, sl_generation_state_text(row->state));
    if (err.code != SL_OK)
        status = answer_err(&answer, &err);
    else
        status = on ? shadow_start(&answer) : shadow_stop(&answer);
    return command_end(&answer, status);
}

/* ---- the topology as a whole ---- */

int sl_deployer_pause(struct sl_deployer *deployer, const char *topology, bool paused, const struct sl_who *who, struct sl_buf *json)
{
    struct answer answer = {deployer, NULL, who, paused ? "pause" : "resume", json, 0};
    struct deployment *deployment;
    struct sl_err err = {0};
    int status = 0;

    deployment = command_begin(&answer, topology, &status);
    if (deployment == NULL)
        return status;
    if (!command_free(&answer, &status))
        return command_end(&answer, status);
    answer.number = deployment->live;
    if (deployer->engine->pause(deployer->settings.host, deployment->name, paused, &err) != 0)
        return command_end(&answer, answer_err(&answer, &err));
    deployment->paused = paused;
    status = paused ? answer_done(&answer, "done", "topology %s: reading has stopped, until `sluice resume %s` or the next start", deployment->name,
                                  deployment->name)
                    : answer_done(&answer, "done", "topology %s: reading goes on", deployment->name);
    return command_end(&answer, status);
}

int sl_deployer_drain(struct sl_deployer *deployer, const char *topology, const struct sl_who *who, struct sl_buf *json)
{
    struct answer answer = {deployer, NULL, who, "drain", json, 0};
    struct deployment *deployment;
    struct sl_err err = {0};
    int status = 0;

    deployment = command_begin(&answer, topology, &status);
    if (deployment == NULL)
        return status;
    if (!command_free(&answer, &status))
        return command_end(&answer, status);
    if (deployment->candidate != NULL) { /* it would stand in the way of the last commit */
        deployment_out(deployment, "the topology was drained");
        deployment_say(deployment, answer.number, "failed", "out: the topology was drained by %s", who->text);
    }
    answer.number = deployment->live;
    if (deployer->engine->drain(deployer->settings.host, deployment->name, &err) != 0)
        return command_end(&answer, answer_err(&answer, &err));
    deployment->drained = true;
    status = answer_done(&answer, "done", "topology %s: reading has stopped, what it holds is finished and committed, then it ends; the others go on",
                         deployment->name);
    return command_end(&answer, status);
}
