/* deployment.h: one topology of a deployer: its generations and what is being done with its candidate. Private to this folder.
 *
 * `lock` is held while anything here is read or changed, also around the engine's steps (2 s at worst) and the disk's. It is not held
 * while a version is loaded and opened, which may take long: `doing` keeps everything else away meanwhile.
 * The transitions (deployment.c) write rows and call the engine in the order that deployer.h explains.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_DEPLOY_DEPLOYMENT_H
#define SL_RUNTIME_DEPLOY_DEPLOYMENT_H

#include <pthread.h>

#include "runtime/deploy/audit_log.h"
#include "runtime/deploy/deployer.h"
#include "runtime/deploy/effects.h"
#include "runtime/deploy/lines.h"
#include "runtime/deploy/steps.h"
#include "runtime/deploy/verdict.h"

enum { DEPLOYMENT_WHO = 64, DEPLOYMENT_TEXT = 640 };

/* Rows that a refused swap leaves to be set right, as soon as the disk takes them. */
struct deployment_owed {
    bool due;
    uint32_t live, previous, failed; /* 0: none */
    char reason[256];
};

struct deployment {
    struct sl_deployer *deployer;
    char *name;
    pthread_mutex_t lock;
    pthread_cond_t woken; /* the walker: something has changed */
    struct sl_generations generations;
    struct sl_effects effects;
    struct sl_lines lines;
    bool paused, drained;
    const char *closed; /* why nothing may be changed now, sl_deployer_hold(); NULL: it may */

    uint32_t live;
    uint64_t live_digest, live_digest_now; /* as it was loaded in this process */
    struct sl_deploy_counts live_counts;   /* when it became live */
    uint64_t live_ns;

    const char *doing; /* "is being opened": words for a person; NULL: nothing that takes long */
    bool may_cancel;   /* by a rollback: it goes once it is open */
    char doing_who[DEPLOYMENT_WHO], cancelled_by[DEPLOYMENT_WHO];
    struct deployment_owed owed;
    char fault[300]; /* why the live one is being taken back by itself; empty: it is not */

    struct sl_candidate *candidate; /* NULL: none */
    uint32_t number;                /* its generation */
    uint64_t digest, digest_now;
    char who[DEPLOYMENT_WHO]; /* who deployed it */

    struct sl_plan plan;
    struct sl_expect *expect_before; /* of the candidate before this one */
    uint32_t step;
    bool walking, held; /* the plan goes on by itself; it waits for a person */
    bool warmed;        /* a canary has run already */
    bool row_refused;   /* by the disk, at the latest transition */
    bool unclear_said, sides_failed_said;
    struct sl_verdict verdict;
    char says[400]; /* the judge's latest words */
    uint64_t seen, beside; /* at the last look: records of the canary and of the live one, or outputs compared and those that differ */
    struct sl_buf differences;
    uint32_t differences_of; /* the generation whose shadow they are of; 0: none */

    pthread_t walker;
    bool has_walker, walker_ended, closing;
};

struct sl_deployer {
    struct sl_deployer_settings settings;
    const struct sl_deploy_engine *engine;
    struct sl_audit_log *audit;
    struct deployment *items;
    uint32_t count;
    pthread_t guard; /* guard.c */
    pthread_mutex_t guard_lock;
    pthread_cond_t guard_woken;
    bool has_guard, guard_ready, guard_over;
};

/* ---- deployer.c ---- */
struct deployment *deployment_find(struct sl_deployer *deployer, const char *topology, struct sl_err *err);
uint64_t deployment_now_ns(const struct deployment *deployment);
int64_t deployment_unix_ms(const struct deployment *deployment);
void deployment_wake(struct deployment *deployment); /* something is to be walked: the thread, if there are threads */

/* ---- guard.c ---- */
int deployer_guard_start(struct sl_deployer *deployer, struct sl_err *err);
void deployer_guard_end(struct sl_deployer *deployer); /* no lock held */
void deployer_guard(struct sl_deployer *deployer);     /* one look, no lock held */

/* ---- say.c ---- */
/* A line for those who watch, and for the log. end: as in deployer.h, or NULL. */
void deployment_say(struct deployment *deployment, uint32_t number, const char *end, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void deployment_say_nothing(struct deployment *deployment);
void deployment_audit(struct deployment *deployment, const struct sl_who *who, const char *command, uint32_t number, const char *result,
                      const char *text);
/* "generation 4 (deployed by anna) is canary at 10%": of the candidate or of what is being done. False: neither. */
bool deployment_describe(const struct deployment *deployment, char text[DEPLOYMENT_TEXT]);

/* ---- deployment.c: transitions; lock held ---- */
/* The row, then the engine. 0; -code: the row was refused (row_refused) and nothing has changed, or the engine refused and the candidate is
 * warm. */
int deployment_shadow(struct deployment *deployment, struct sl_err *err);
int deployment_canary(struct deployment *deployment, double share, enum sl_split_by by, uint64_t hold_ns, struct sl_err *err);
/* The candidate is consumed but where the row could not be written. `failed`: the candidate's row fails if the engine refuses. */
int deployment_promote(struct deployment *deployment, bool failed, struct sl_swap_report *ret_report, struct sl_err *err);
/* The engine, then the row. */
void deployment_out(struct deployment *deployment, const char *reason);
/* Rows that are owed: 0 once there are none. */
int deployment_settle(struct deployment *deployment, struct sl_err *err);
/* Rates of the live generation so far, into its effects. */
void deployment_note_rates(struct deployment *deployment);
void deployment_forget_candidate(struct deployment *deployment);

/* ---- walk.c; lock held ---- */
/* Begins with the plan's first step. */
void deployment_walk(struct deployment *deployment);
/* As sl_deployer_turn. */
uint64_t deployment_turn(struct deployment *deployment);

#endif
