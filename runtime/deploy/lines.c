/* lines.c: see lines.h, and what deployer.h says of watching.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/deploy/lines.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "runtime/deploy/deployer.h"
#include "runtime/deploy/deployment.h"

struct sl_watch {
    struct sl_lines *lines;
    uint64_t next;
    size_t at; /* bytes of line `next` that were read */
    bool over;
};

void sl_lines_init(struct sl_lines *lines)
{
    pthread_condattr_t attr;

    memset(lines, 0, sizeof(*lines));
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&lines->lock, NULL);
    (void)pthread_cond_init(&lines->added, &attr);
    (void)pthread_condattr_destroy(&attr);
}

void sl_lines_fini(struct sl_lines *lines)
{
    for (int i = 0; i < SL_LINES_KEPT; i++)
        free(lines->items[i].text);
    (void)pthread_cond_destroy(&lines->added);
    (void)pthread_mutex_destroy(&lines->lock);
}

void sl_lines_add(struct sl_lines *lines, char *text, bool ends)
{
    uint64_t at;

    (void)pthread_mutex_lock(&lines->lock);
    at = lines->next % SL_LINES_KEPT;
    if (lines->run_ended)
        lines->run = lines->next;
    lines->run_ended = ends;
    free(lines->items[at].text);
    lines->items[at].text = text;
    lines->items[at].ends = ends;
    lines->next++;
    (void)pthread_cond_broadcast(&lines->added);
    (void)pthread_mutex_unlock(&lines->lock);
}

bool sl_lines_any(struct sl_lines *lines)
{
    bool any;

    (void)pthread_mutex_lock(&lines->lock);
    any = lines->next > 0;
    (void)pthread_mutex_unlock(&lines->lock);
    return any;
}

void sl_lines_close(struct sl_lines *lines)
{
    (void)pthread_mutex_lock(&lines->lock);
    lines->closed = true;
    (void)pthread_cond_broadcast(&lines->added);
    (void)pthread_mutex_unlock(&lines->lock);
}

/* ---- watching ---- */

int sl_deployer_watch(struct sl_deployer *deployer, const char *topology, struct sl_watch **ret_watch, struct sl_err *err)
{
    struct deployment *deployment = deployment_find(deployer, topology, err);
    struct sl_watch *watch;

    if (deployment == NULL)
        return -(int)err->code;
    watch = calloc(1, sizeof(*watch));
    if (watch == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory to watch %s", deployment->name);
    (void)pthread_mutex_lock(&deployment->lock);
    if (!sl_lines_any(&deployment->lines))
        deployment_say_nothing(deployment);
    (void)pthread_mutex_unlock(&deployment->lock);
    watch->lines = &deployment->lines;
    (void)pthread_mutex_lock(&watch->lines->lock);
    watch->next = watch->lines->run;
    (void)pthread_mutex_unlock(&watch->lines->lock);
    *ret_watch = watch;
    return 0;
}

/* Lock held. False: nothing came in that time. */
static bool watch_wait(struct sl_watch *watch, uint32_t wait_ms)
{
    struct sl_lines *lines = watch->lines;
    struct timespec until;

    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += wait_ms / 1000;
    until.tv_nsec += (long)(wait_ms % 1000) * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    while (watch->next == lines->next && !lines->closed)
        if (pthread_cond_timedwait(&lines->added, &lines->lock, &until) != 0)
            break;
    return watch->next < lines->next;
}

/* Lock held; there is a line. */
static int64_t watch_take(struct sl_watch *watch, char *to, size_t bytes)
{
    struct sl_lines *lines = watch->lines;
    const char *text;
    size_t rest, taken;

    if (watch->next + SL_LINES_KEPT < lines->next) { /* overtaken */
        watch->next = lines->next - SL_LINES_KEPT;
        watch->at = 0;
    }
    text = lines->items[watch->next % SL_LINES_KEPT].text;
    rest = strlen(text) - watch->at;
    taken = rest < bytes ? rest : bytes;
    memcpy(to, text + watch->at, taken);
    watch->at += taken;
    if (taken == rest) {
        watch->over = lines->items[watch->next % SL_LINES_KEPT].ends;
        watch->next++;
        watch->at = 0;
    }
    return (int64_t)taken;
}

int64_t sl_watch_read(struct sl_watch *watch, char *to, size_t bytes, uint32_t wait_ms)
{
    int64_t taken = 0;

    assert(bytes > 0);
    if (watch->over)
        return -1;
    (void)pthread_mutex_lock(&watch->lines->lock);
    if (watch_wait(watch, wait_ms))
        taken = watch_take(watch, to, bytes);
    else if (watch->lines->closed)
        taken = -1;
    (void)pthread_mutex_unlock(&watch->lines->lock);
    return taken;
}

struct sl_watch *sl_watch_close(struct sl_watch *watch)
{
    free(watch);
    return NULL;
}
