/* host_trial.c: a candidate beside the live version in every slot of a topology: as a shadow, as a canary; and what came of it.
 *
 * Each slot has its part of a trial (slot/trial.h); begun and ended between two of its turns. Where one slot refuses, it ends in all.
 * SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "runtime/engine/host_private.h"
#include "runtime/engine/slot/trial.h"

static struct sl_plan *trial_plan_of(const struct host_version *version, const struct sl_slot *slot)
{
    for (uint32_t s = 0; s < version->slots; s++)
        if (version->plans[s] != NULL && sl_plan_slot(version->plans[s]) == slot)
            return version->plans[s];
    return NULL;
}

static void trial_end_each(void *user, struct sl_slot *slot)
{
    struct sl_plan *plan = trial_plan_of(user, slot);

    if (plan != NULL && sl_trial_plan(slot) == plan)
        sl_slot_trial_end(slot);
}

void sl_host_trial_end(struct sl_host *host, struct host_topology *at, struct host_version *version)
{
    if (version->plans != NULL)
        sl_host_ask_at(host, at, trial_end_each, version);
}

/* ---- begin ---- */

struct trial_begin {
    struct host_version *version;
    int (*put)(const struct trial_begin *begin, struct sl_slot *slot, struct sl_plan *plan, struct sl_err *err);
    const struct sl_expect *expect;
    double share;
    enum sl_split_by by;
    struct sl_err err;
    bool failed;
};

static int trial_put_shadow(const struct trial_begin *begin, struct sl_slot *slot, struct sl_plan *plan, struct sl_err *err)
{
    return sl_slot_shadow(slot, plan, begin->expect, err);
}

static int trial_put_canary(const struct trial_begin *begin, struct sl_slot *slot, struct sl_plan *plan, struct sl_err *err)
{
    return sl_slot_canary(slot, plan, begin->share, begin->by, err);
}

static void trial_begin_each(void *user, struct sl_slot *slot)
{
    struct trial_begin *begin = user;
    struct sl_plan *plan = trial_plan_of(begin->version, slot);

    if (!begin->failed && plan != NULL && begin->put(begin, slot, plan, &begin->err) != 0)
        begin->failed = true;
}

static int trial_begin(struct sl_candidate *candidate, struct trial_begin *begin, struct sl_err *err)
{
    struct host_topology *at = candidate->at;

    begin->version = candidate->version;
    (void)pthread_mutex_lock(&at->change);
    sl_host_ask_at(candidate->host, at, trial_begin_each, begin);
    if (begin->failed)
        sl_host_trial_end(candidate->host, at, candidate->version);
    (void)pthread_mutex_unlock(&at->change);
    if (!begin->failed)
        return 0;
    *err = begin->err;
    return -(int)err->code;
}

int sl_host_shadow(struct sl_host *host, struct sl_candidate *candidate, const struct sl_expect *expect, struct sl_err *err)
{
    struct trial_begin begin = {.put = trial_put_shadow, .expect = expect};

    assert(candidate->host == host);
    return trial_begin(candidate, &begin, err);
}

int sl_host_canary(struct sl_host *host, struct sl_candidate *candidate, double share, enum sl_split_by by, struct sl_err *err)
{
    struct trial_begin begin = {.put = trial_put_canary, .share = share, .by = by};

    assert(candidate->host == host);
    if (!(share >= 0) || share > 1)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "a canary's share is from 0%% to 100%%");
    return trial_begin(candidate, &begin, err);
}

/* ---- what came of it ---- */

static void sides_each(void *user, struct sl_slot *slot)
{
    sl_slot_trial_sides(slot, user);
}

int sl_host_sides(struct sl_host *host, struct sl_candidate *candidate, struct sl_sides *ret_sides, struct sl_err *err)
{
    (void)err; /* nothing can fail but the caller's memory */
    memset(ret_sides, 0, sizeof(*ret_sides));
    sl_host_ask_at(host, candidate->at, sides_each, ret_sides);
    return 0;
}

struct differences {
    struct sl_shadow_report sum;
    bool failed;
};

static void differences_each(void *user, struct sl_slot *slot)
{
    struct differences *differences = user;
    const struct sl_shadow_report *report = sl_slot_trial_report(slot);

    if (report != NULL && sl_shadow_report_add(&differences->sum, report) != 0)
        differences->failed = true;
}

int sl_host_differences(struct sl_host *host, struct sl_candidate *candidate, struct sl_buf *json, struct sl_err *err)
{
    struct differences differences = {0};
    struct sl_json_out out;

    sl_host_ask_at(host, candidate->at, differences_each, &differences);
    sl_json_out_init(&out, json);
    sl_shadow_report_print(&differences.sum, &out);
    sl_shadow_report_fini(&differences.sum);
    if (differences.failed || sl_buf_failed(json))
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory to say what a shadow of topology %s has found", candidate->at->name);
    return 0;
}
