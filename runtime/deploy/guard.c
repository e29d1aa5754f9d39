/* guard.c: a version that went live and cannot go on (a stage that fails, a sink that refuses for good) is taken back by itself, as
 * `sluice rollback` would: the engine has stopped reading and waits some seconds for it. What earlier versions have left is freed here, too.
 * Threads: one for all topologies; by_hand: none, sl_deployer_turn looks.
 * SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "runtime/base/clock.h"
#include "runtime/deploy/deployment.h"

#define GUARD_LOOK_NS (SL_NS_PER_S / 5)

/* True once nothing stands in the way; the reason is what the history will say. */
static bool guard_begin(struct deployment *deployment, const char *why)
{
    bool back;

    (void)pthread_mutex_lock(&deployment->lock);
    back = deployment->doing == NULL && deployment->closed == NULL &&
           sl_generations_in(&deployment->generations, SL_GENERATION_PREVIOUS) != NULL;
    if (back)
        (void)snprintf(deployment->fault, sizeof(deployment->fault), "it could not go on: %.270s", why);
    (void)pthread_mutex_unlock(&deployment->lock);
    return back;
}

static void guard_back(struct deployment *deployment, const char *why)
{
    struct sl_deployer *deployer = deployment->deployer;
    struct sl_who who = {"the engine", -1};
    struct sl_buf json = {0};
    bool candidate;

    if (!guard_begin(deployment, why))
        return;
    (void)pthread_mutex_lock(&deployment->lock);
    candidate = deployment->candidate != NULL;
    (void)pthread_mutex_unlock(&deployment->lock);
    if (candidate) /* it stands on what is taken back */
        (void)sl_deployer_rollback(deployer, deployment->name, &who, &json);
    (void)sl_deployer_rollback(deployer, deployment->name, &who, &json);
    sl_buf_fini(&json);
    (void)pthread_mutex_lock(&deployment->lock);
    deployment->fault[0] = '\0';
    (void)pthread_mutex_unlock(&deployment->lock);
}

void deployer_guard(struct sl_deployer *deployer)
{
    char why[480];

    for (uint32_t i = 0; i < deployer->count; i++) {
        struct deployment *deployment = &deployer->items[i];
        if (deployer->engine->settle != NULL)
            (void)deployer->engine->settle(deployer->settings.host, deployment->name);
        if (deployer->engine->fault != NULL && deployer->engine->fault(deployer->settings.host, deployment->name, why, sizeof(why)))
            guard_back(deployment, why);
    }
}

static void *guard_main(void *user)
{
    struct sl_deployer *deployer = user;

    (void)pthread_mutex_lock(&deployer->guard_lock);
    while (!deployer->guard_over) {
        struct timespec until;
        (void)pthread_mutex_unlock(&deployer->guard_lock);
        deployer_guard(deployer);
        (void)clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += (long)GUARD_LOOK_NS;
        until.tv_sec += until.tv_nsec / (long)SL_NS_PER_S;
        until.tv_nsec %= (long)SL_NS_PER_S;
        (void)pthread_mutex_lock(&deployer->guard_lock);
        if (!deployer->guard_over)
            (void)pthread_cond_timedwait(&deployer->guard_woken, &deployer->guard_lock, &until);
    }
    (void)pthread_mutex_unlock(&deployer->guard_lock);
    return NULL;
}

int deployer_guard_start(struct sl_deployer *deployer, struct sl_err *err)
{
    pthread_condattr_t attr;
    int status;

    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&deployer->guard_lock, NULL);
    (void)pthread_cond_init(&deployer->guard_woken, &attr);
    (void)pthread_condattr_destroy(&attr);
    deployer->guard_ready = true;
    status = deployer->settings.by_hand ? 0 : pthread_create(&deployer->guard, NULL, guard_main, deployer);
    if (status != 0)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, status, "starting a thread: %s", strerror(status));
    deployer->has_guard = !deployer->settings.by_hand;
    return 0;
}

void deployer_guard_end(struct sl_deployer *deployer)
{
    if (!deployer->guard_ready)
        return;
    (void)pthread_mutex_lock(&deployer->guard_lock);
    deployer->guard_over = true;
    (void)pthread_cond_signal(&deployer->guard_woken);
    (void)pthread_mutex_unlock(&deployer->guard_lock);
    if (deployer->has_guard)
        (void)pthread_join(deployer->guard, NULL);
    (void)pthread_cond_destroy(&deployer->guard_woken);
    (void)pthread_mutex_destroy(&deployer->guard_lock);
}
