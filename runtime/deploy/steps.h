/* steps.h: a plan: the steps that a candidate is walked through, and the limits of its judge.
 *
 * Built in: `now` (live at once), `canary` (1 % for 2 m, 10 % for 5 m, 50 % for 5 m, live). Else a YAML file:
 *   steps: [{ shadow: 5m }, { canary: 1%, hold: 2m }, { canary: 10%, hold: 5m }, live]
 *   by: key                      # or partition
 *   judge: { alpha: 0.01, ratio: 1.2, latency: true, filtered: true, min_records: 1000, warm_up: 60s, patience: 30m }
 *   when_unsure: hold            # or promote, rollback: a step is over and there was too little traffic to tell
 *   expect:                      # differences that are meant; a shadow does not count them (engine/expect.h)
 *     - { sink: search, levels: [error], service: "web-*", fields: [user.email], count: true }
 * Shares rise, shadows come before them, `live` last; a plan that does not end with it stays at its last step.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_DEPLOY_STEPS_H
#define SL_RUNTIME_DEPLOY_STEPS_H

#include "runtime/config/diag.h"
#include "runtime/deploy/verdict.h"
#include "runtime/engine/expect.h"

enum { SL_STEPS_MAX = 32 };

enum sl_step_kind { SL_STEP_SHADOW, SL_STEP_CANARY, SL_STEP_LIVE };

struct sl_step {
    enum sl_step_kind kind;
    double share;     /* of a canary */
    uint64_t hold_ns; /* at least that long */
};

enum sl_unsure { SL_UNSURE_HOLD, SL_UNSURE_PROMOTE, SL_UNSURE_ROLLBACK };

struct sl_plan {
    char name[128];
    struct sl_step steps[SL_STEPS_MAX];
    uint32_t steps_count;
    enum sl_split_by by;
    enum sl_unsure when_unsure;
    struct sl_verdict_limits limits;
    struct sl_expect *expect; /* NULL: none */
};

/* name: built in, or a file's path. ret_plan: fini in any case. */
int sl_plan_load(const char *name, struct sl_diags *diags, struct sl_plan *ret_plan);
/* No steps, the judge's defaults: of what is done by hand. */
void sl_plan_init(struct sl_plan *plan);
void sl_plan_fini(struct sl_plan *plan);
/* "canary 10%, 5m"; text of 64 bytes, returned. */
const char *sl_step_print(const struct sl_step *step, char text[64]);

/* Settings of a plan's file, of a step and of its judge, for the reference docs. */
extern const struct sl_field sl_plan_fields[], sl_step_fields[], sl_judge_fields[], sl_expect_fields[];

#endif
