/* deployer.c: opens, finds, walks and closes deployments.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/deploy/deployer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/clock.h"
#include "runtime/deploy/deployment.h"

uint64_t deployment_now_ns(const struct deployment *deployment)
{
    const struct sl_deploy_clock *clock = &deployment->deployer->settings.clock;
    return clock->now_ns != NULL ? clock->now_ns(clock->user) : sl_clock_now_ns();
}

int64_t deployment_unix_ms(const struct deployment *deployment)
{
    const struct sl_deploy_clock *clock = &deployment->deployer->settings.clock;
    return clock->unix_ms != NULL ? clock->unix_ms(clock->user) : sl_clock_unix_ms();
}

struct deployment *deployment_find(struct sl_deployer *deployer, const char *topology, struct sl_err *err)
{
    char names[300] = "";
    size_t bytes = 0;

    if ((topology == NULL || topology[0] == '\0') && deployer->count == 1)
        return &deployer->items[0];
    for (uint32_t i = 0; i < deployer->count; i++) {
        if (topology != NULL && strcmp(deployer->items[i].name, topology) == 0)
            return &deployer->items[i];
        if (bytes < sizeof(names))
            bytes += (size_t)snprintf(names + bytes, sizeof(names) - bytes, "%s%s", i == 0 ? "" : ", ", deployer->items[i].name);
    }
    if (topology == NULL || topology[0] == '\0')
        (void)sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "several topologies run here; name one of %s", names);
    else
        (void)sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "no topology %s runs here, but %s", topology, names);
    return NULL;
}

/* ---- threads ---- */

static void walker_wait(struct deployment *deployment, uint64_t ns)
{
    struct timespec until;

    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += (time_t)(ns / SL_NS_PER_S);
    until.tv_nsec += (long)(ns % SL_NS_PER_S);
    until.tv_sec += until.tv_nsec / (long)SL_NS_PER_S;
    until.tv_nsec %= (long)SL_NS_PER_S;
    (void)pthread_cond_timedwait(&deployment->woken, &deployment->lock, &until);
}

static void *walker_main(void *user)
{
    struct deployment *deployment = user;
    uint64_t wait_ns;

    (void)pthread_mutex_lock(&deployment->lock);
    while (!deployment->closing && (wait_ns = deployment_turn(deployment)) != UINT64_MAX)
        walker_wait(deployment, wait_ns);
    deployment->walker_ended = true;
    (void)pthread_mutex_unlock(&deployment->lock);
    return NULL;
}

/* Lock held; an ended walker holds it no more after that, so it can be joined here. */
void deployment_wake(struct deployment *deployment)
{
    if (deployment->deployer->settings.by_hand)
        return;
    if (deployment->has_walker && deployment->walker_ended) {
        (void)pthread_join(deployment->walker, NULL);
        deployment->has_walker = deployment->walker_ended = false;
    }
    if (deployment->has_walker) {
        (void)pthread_cond_signal(&deployment->woken);
        return;
    }
    deployment->has_walker = pthread_create(&deployment->walker, NULL, walker_main, deployment) == 0;
    if (!deployment->has_walker)
        deployment_say(deployment, deployment->number, NULL, "no thread can be made to watch it; roll it back, or promote it by hand");
}

uint64_t sl_deployer_turn(struct sl_deployer *deployer)
{
    uint64_t wanted_ns = UINT64_MAX;

    deployer_guard(deployer);
    for (uint32_t i = 0; i < deployer->count; i++) {
        struct deployment *deployment = &deployer->items[i];
        uint64_t ns;
        (void)pthread_mutex_lock(&deployment->lock);
        ns = deployment_turn(deployment);
        (void)pthread_mutex_unlock(&deployment->lock);
        if (ns < wanted_ns)
            wanted_ns = ns;
    }
    return wanted_ns;
}

/* ---- holding still ---- */

static int deployment_hold(struct deployment *deployment, const char *why, struct sl_err *err)
{
    char text[DEPLOYMENT_TEXT];
    int status = 0;

    (void)pthread_mutex_lock(&deployment->lock);
    if (deployment_describe(deployment, text))
        status = sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "topology %s: %.250s; `sluice promote %s` or `sluice rollback %s` first",
                         deployment->name, text, deployment->name, deployment->name);
    else
        status = deployment_settle(deployment, err);
    if (status == 0)
        deployment->closed = why;
    (void)pthread_mutex_unlock(&deployment->lock);
    return status;
}

int sl_deployer_hold(struct sl_deployer *deployer, const char *why, struct sl_err *err)
{
    int status = 0;

    for (uint32_t i = 0; status == 0 && i < deployer->count; i++)
        status = deployment_hold(&deployer->items[i], why, err);
    if (status != 0)
        sl_deployer_let(deployer);
    return status;
}

void sl_deployer_let(struct sl_deployer *deployer)
{
    for (uint32_t i = 0; i < deployer->count; i++) {
        (void)pthread_mutex_lock(&deployer->items[i].lock);
        deployer->items[i].closed = NULL;
        (void)pthread_mutex_unlock(&deployer->items[i].lock);
    }
}

/* ---- life ---- */

static int deployment_open(struct sl_deployer *deployer, struct deployment *deployment, struct sl_start_topology *item, struct sl_err *err)
{
    pthread_condattr_t attr;

    deployment->deployer = deployer;
    deployment->name = strdup(item->topology->name);
    if (deployment->name == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, ENOMEM, "no memory for the deployments of %s", item->topology->name);
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&deployment->lock, NULL);
    (void)pthread_cond_init(&deployment->woken, &attr);
    (void)pthread_condattr_destroy(&attr);
    sl_lines_init(&deployment->lines);
    deployer->count++; /* from here on close ends it */
    deployment->generations = item->generations;
    item->generations.dir = NULL;
    sl_effects_load(&deployment->generations, &deployment->effects);
    sl_plan_init(&deployment->plan);
    deployment->live = item->number;
    deployment->live_digest = item->topology->digest;
    deployment->live_digest_now = item->topology->digest_now;
    deployment->live_ns = deployment_now_ns(deployment);
    if (item->fresh && sl_generations_set(&deployment->generations, item->number, SL_GENERATION_LIVE, 1, deployment_unix_ms(deployment), NULL, err) != 0)
        return sl_while(err, "topology %s", deployment->name);
    if (item->file_digest != 0 && sl_generations_started(&deployment->generations, item->file_digest, err) != 0)
        return sl_while(err, "topology %s", deployment->name);
    deployer->engine->number(deployer->settings.host, deployment->name, deployment->live);
    if (deployer->engine->fallback != NULL)
        deployer->engine->fallback(deployer->settings.host, deployment->name,
                                   sl_generations_in(&deployment->generations, SL_GENERATION_PREVIOUS) != NULL);
    if (item->fresh) {
        struct sl_who who = {"start", -1};
        deployment_audit(deployment, &who, "start", deployment->live, "done", item->said[0] != '\0' ? item->said : "the first generation");
    }
    return 0;
}

int sl_deployer_open(const struct sl_deployer_settings *settings, struct sl_start *start, struct sl_deployer **ret_deployer,
                     struct sl_err *err)
{
    struct sl_deployer *deployer = calloc(1, sizeof(*deployer));
    int status = 0;

    if (deployer != NULL)
        deployer->items = calloc(start->count + 1, sizeof(*deployer->items));
    if (deployer == NULL || deployer->items == NULL)
        status = sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, ENOMEM, "no memory for the deployments");
    if (status == 0) {
        deployer->settings = *settings;
        deployer->engine = settings->engine;
        status = sl_audit_log_open(settings->fs, settings->data_dir, SL_AUDIT_BYTES, &deployer->audit, err);
    }
    for (uint32_t i = 0; status == 0 && i < start->count; i++)
        status = deployment_open(deployer, &deployer->items[i], &start->items[i], err);
    if (status == 0)
        status = deployer_guard_start(deployer, err);
    sl_start_fini(start, "the process did not start");
    if (status == 0)
        *ret_deployer = deployer;
    else
        (void)sl_deployer_close(deployer);
    return status;
}

static void deployment_end_walker(struct deployment *deployment)
{
    (void)pthread_mutex_lock(&deployment->lock);
    deployment->closing = true;
    (void)pthread_cond_signal(&deployment->woken);
    (void)pthread_mutex_unlock(&deployment->lock);
    if (deployment->has_walker)
        (void)pthread_join(deployment->walker, NULL);
}

static void deployment_close(struct deployment *deployment)
{
    struct sl_err ignored = {0};

    deployment_end_walker(deployment);
    (void)pthread_mutex_lock(&deployment->lock);
    if (deployment->candidate != NULL)
        deployment_out(deployment, "the process ended before it was live");
    deployment_note_rates(deployment);
    (void)sl_effects_save(&deployment->generations, &deployment->effects, &ignored);
    (void)pthread_mutex_unlock(&deployment->lock);
    sl_lines_close(&deployment->lines);
    sl_lines_fini(&deployment->lines);
    sl_plan_fini(&deployment->plan);
    deployment->expect_before = sl_expect_free(deployment->expect_before);
    sl_buf_fini(&deployment->differences);
    sl_generations_close(&deployment->generations);
    (void)pthread_cond_destroy(&deployment->woken);
    (void)pthread_mutex_destroy(&deployment->lock);
    free(deployment->name);
}

void sl_deployer_audit(struct sl_deployer *deployer, const struct sl_who *who, const char *command, const char *result, const char *text)
{
    struct sl_audit_entry entry = {sl_clock_unix_ms(), who, command, NULL, 0, 0, result, text};
    struct sl_err ignored;

    (void)sl_audit_log_write(deployer->audit, &entry, &ignored);
}

struct sl_deployer *sl_deployer_close(struct sl_deployer *deployer)
{
    if (deployer == NULL)
        return NULL;
    deployer_guard_end(deployer);
    for (uint32_t i = 0; i < deployer->count; i++)
        deployment_close(&deployer->items[i]);
    deployer->audit = sl_audit_log_close(deployer->audit);
    free(deployer->items);
    free(deployer);
    return NULL;
}
