/* worker.c: drives slots with libuv: an async for wakes and finished jobs, a timer for what is due, an idle handle while a slot
 * has more to do at once.
 *
 * Threads: the loop thread runs all turns; each host's clerk thread runs its jobs in order. `lock` guards the hand-over of
 * finished jobs and the status copies, nothing on the hot path.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/engine/worker.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <uv.h>

#include "runtime/base/blame.h"
#include "runtime/base/clock.h"
#include "runtime/engine/worker_http.h"

#define WORKER_STATUS_NS (200ull * SL_NS_PER_MS)

struct clerk {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t some;
    struct sl_job *first, **last;
    bool stop, started;
};

struct host { /* one slot, where it lives */
    struct sl_worker *worker;
    struct sl_slot *slot;
    const struct sl_shared *shared;
    uint32_t index;
    uint64_t due_ns, copied_ns;
    atomic_bool woken;
    bool over;
    struct clerk clerk;
    struct sl_job *done_first, **done_last; /* under worker->lock */
    struct sl_http_request *answered_first, **answered_last; /* loop thread: their done() is due in this slot's turn */
    struct sl_slot_status status;           /* under worker->lock */
    char waits_for[192];
    bool has_status;
};

struct ask { /* on the stack of who asks */
    const struct sl_shared *shared;
    void (*each)(void *user, struct sl_slot *slot);
    void *user;
    bool done;
    struct ask *next;
};

struct sl_worker {
    struct sl_worker_settings settings;
    uv_loop_t loop;
    uv_async_t async;
    uv_timer_t timer;
    uv_idle_t idle;
    struct sl_worker_http *http;
    uv_thread_t thread;
    bool started;
    pthread_mutex_t lock;
    pthread_cond_t answered;
    struct ask *asks; /* under lock */
    struct host *hosts;
    uint32_t hosts_count;
    atomic_bool drain, stop;
    atomic_uint over_count;
    atomic_uint_fast64_t random_next; /* also asked by who opens instances beside the loop */
    uint64_t random_salt;
};

/* ---- the clerk ---- */

static void *clerk_main(void *user)
{
    struct host *host = user;
    struct clerk *clerk = &host->clerk;

    (void)pthread_mutex_lock(&clerk->lock);
    for (;;) {
        struct sl_job *job = clerk->first;
        if (clerk->stop)
            break;
        if (job == NULL) {
            (void)pthread_cond_wait(&clerk->some, &clerk->lock);
            continue;
        }
        clerk->first = job->next;
        if (clerk->first == NULL)
            clerk->last = &clerk->first;
        (void)pthread_mutex_unlock(&clerk->lock);
        job->run(job);
        job->next = NULL;
        (void)pthread_mutex_lock(&host->worker->lock);
        *host->done_last = job;
        host->done_last = &job->next;
        (void)pthread_mutex_unlock(&host->worker->lock);
        (void)uv_async_send(&host->worker->async);
        (void)pthread_mutex_lock(&clerk->lock);
    }
    (void)pthread_mutex_unlock(&clerk->lock);
    return NULL;
}

static int clerk_start(struct host *host, struct sl_err *err)
{
    struct clerk *clerk = &host->clerk;
    int status;

    clerk->last = &clerk->first;
    (void)pthread_mutex_init(&clerk->lock, NULL);
    (void)pthread_cond_init(&clerk->some, NULL);
    status = pthread_create(&clerk->thread, NULL, clerk_main, host);
    if (status != 0)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, status, "starting a thread: %s", strerror(status));
    clerk->started = true;
    return 0;
}

/* Waits for the job that runs; those behind it never run. */
static void clerk_stop(struct clerk *clerk)
{
    if (!clerk->started)
        return;
    (void)pthread_mutex_lock(&clerk->lock);
    clerk->stop = true;
    (void)pthread_cond_signal(&clerk->some);
    (void)pthread_mutex_unlock(&clerk->lock);
    (void)pthread_join(clerk->thread, NULL);
    (void)pthread_mutex_destroy(&clerk->lock);
    (void)pthread_cond_destroy(&clerk->some);
    clerk->started = false;
}

/* After the clerk has ended: neither what it has run nor what it has not will be told to the slot. */
static void clerk_drop(struct sl_job *job)
{
    while (job != NULL) {
        struct sl_job *next = job->next;
        if (job->drop != NULL)
            job->drop(job);
        job = next;
    }
}

/* ---- the slot's world ---- */

static uint64_t host_now(void *user)
{
    (void)user;
    return sl_clock_now_ns();
}

static int64_t host_unix(void *user)
{
    (void)user;
    return sl_clock_unix_ms();
}

/* xoroshiro-like step is not needed: names and jitter only. splitmix64 (Steele et al., OOPSLA 2014). */
static uint64_t host_random(void *user)
{
    struct host *host = user;
    uint64_t z = atomic_fetch_add(&host->worker->random_next, 0x9e3779b97f4a7c15ull) + 0x9e3779b97f4a7c15ull;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return (z ^ (z >> 31)) ^ host->worker->random_salt;
}

static void host_submit(void *user, struct sl_job *job)
{
    struct host *host = user;

    job->next = NULL;
    (void)pthread_mutex_lock(&host->clerk.lock);
    *host->clerk.last = job;
    host->clerk.last = &job->next;
    (void)pthread_cond_signal(&host->clerk.some);
    (void)pthread_mutex_unlock(&host->clerk.lock);
}

static void host_wake(void *user)
{
    struct host *host = user;

    if (!atomic_exchange(&host->woken, true))
        (void)uv_async_send(&host->worker->async);
}

static int host_http(void *user, struct sl_http_request *request, struct sl_err *err)
{
    struct host *host = user;
    return sl_worker_http_start(host->worker->http, host, request, err);
}

static void host_http_cancel(void *user, struct sl_http_request *request)
{
    struct host *host = user;
    sl_worker_http_cancel(host->worker->http, request);
}

static void host_http_finished(void *owner, struct sl_http_request *request)
{
    struct host *host = owner;

    request->next = NULL;
    *host->answered_last = request;
    host->answered_last = &request->next;
    host_wake(host);
}

static void host_log(void *user, const char *topology, const struct sl_err *err, const char *what)
{
    struct host *host = user;
    host->worker->settings.log(host->worker->settings.user, topology, err, what);
}

/* ---- the loop ---- */

static void host_copy(struct host *host, uint64_t now_ns)
{
    struct sl_slot_status status;

    if (sl_slot_status(host->slot, &status) != 0)
        return;
    (void)pthread_mutex_lock(&host->worker->lock);
    if (host->has_status)
        sl_slot_status_fini(&host->status);
    host->status = status;
    host->has_status = true;
    host->copied_ns = now_ns;
    (void)snprintf(host->waits_for, sizeof(host->waits_for), "%s", sl_slot_waits_for(host->slot));
    (void)pthread_mutex_unlock(&host->worker->lock);
}

static void host_jobs_done(struct host *host)
{
    struct sl_job *job;

    (void)pthread_mutex_lock(&host->worker->lock);
    job = host->done_first;
    host->done_first = NULL;
    host->done_last = &host->done_first;
    (void)pthread_mutex_unlock(&host->worker->lock);
    while (job != NULL) {
        struct sl_job *next = job->next;
        job->done(job);
        job = next;
        host->due_ns = 0;
    }
}

static void host_http_done(struct host *host)
{
    struct sl_http_request *request = host->answered_first;

    host->answered_first = NULL;
    host->answered_last = &host->answered_first;
    while (request != NULL) {
        struct sl_http_request *next = request->next;
        request->done(request); /* may free it */
        request = next;
        host->due_ns = 0;
    }
}

static void host_turn(struct host *host, uint64_t now_ns)
{
    enum sl_slot_state state;
    uint64_t wait_ns;

    host_jobs_done(host);
    host_http_done(host);
    if (atomic_load(&host->worker->drain))
        sl_slot_drain(host->slot);
    if (atomic_exchange(&host->woken, false) || host->due_ns <= now_ns) {
        wait_ns = sl_slot_turn(host->slot);
        host->due_ns = wait_ns > UINT64_MAX - now_ns ? UINT64_MAX : now_ns + wait_ns;
    }
    state = sl_slot_state(host->slot);
    if (!host->over && (state == SL_SLOT_ENDED || state == SL_SLOT_FAILED)) {
        host->over = true;
        host_copy(host, now_ns);
        (void)atomic_fetch_add(&host->worker->over_count, 1);
        host->worker->settings.ended(host->worker->settings.user);
    } else if (now_ns - host->copied_ns >= WORKER_STATUS_NS) {
        host_copy(host, now_ns);
    }
}

/* An ask is never behind another's answer: the list is taken whole. */
static void worker_answer(struct sl_worker *worker)
{
    struct ask *ask;

    (void)pthread_mutex_lock(&worker->lock);
    ask = worker->asks;
    worker->asks = NULL;
    (void)pthread_mutex_unlock(&worker->lock);
    while (ask != NULL) {
        struct ask *next = ask->next;
        for (uint32_t i = 0; i < worker->hosts_count; i++) {
            if (worker->hosts[i].shared != ask->shared)
                continue;
            ask->each(ask->user, worker->hosts[i].slot);
            worker->hosts[i].due_ns = 0;
        }
        (void)pthread_mutex_lock(&worker->lock);
        ask->done = true;
        (void)pthread_cond_broadcast(&worker->answered);
        (void)pthread_mutex_unlock(&worker->lock);
        ask = next;
    }
}

void sl_worker_ask(struct sl_worker *worker, const struct sl_shared *shared, void (*each)(void *user, struct sl_slot *slot),
                   void *user)
{
    struct ask ask = {.shared = shared, .each = each, .user = user};

    (void)pthread_mutex_lock(&worker->lock);
    ask.next = worker->asks;
    worker->asks = &ask;
    (void)uv_async_send(&worker->async);
    while (!ask.done)
        (void)pthread_cond_wait(&worker->answered, &worker->lock);
    (void)pthread_mutex_unlock(&worker->lock);
}

static void worker_round(struct sl_worker *worker);

static void worker_on_idle(uv_idle_t *handle)
{
    worker_round(handle->data);
}

static void worker_on_timer(uv_timer_t *handle)
{
    worker_round(handle->data);
}

static void worker_on_async(uv_async_t *handle)
{
    worker_round(handle->data);
}

static void worker_round(struct sl_worker *worker)
{
    uint64_t due_ns = UINT64_MAX, now_ns;

    if (atomic_load(&worker->stop)) {
        uv_stop(&worker->loop);
        return;
    }
    worker_answer(worker);
    for (uint32_t i = 0; i < worker->hosts_count; i++) {
        host_turn(&worker->hosts[i], sl_clock_now_ns());
        due_ns = worker->hosts[i].due_ns < due_ns ? worker->hosts[i].due_ns : due_ns;
    }
    now_ns = sl_clock_now_ns();
    if (due_ns <= now_ns) {
        (void)uv_idle_start(&worker->idle, worker_on_idle);
        return;
    }
    (void)uv_idle_stop(&worker->idle);
    if (due_ns - now_ns > WORKER_STATUS_NS) /* the copy for readers is due earlier than any work */
        due_ns = now_ns + WORKER_STATUS_NS;
    (void)uv_timer_start(&worker->timer, worker_on_timer, (due_ns - now_ns + SL_NS_PER_MS - 1) / SL_NS_PER_MS, 0);
}

static void worker_main(void *user)
{
    struct sl_worker *worker = user;

    sl_blame_thread();
    worker_round(worker);
    (void)uv_run(&worker->loop, UV_RUN_DEFAULT);
}

/* ---- life ---- */

struct sl_worker *sl_worker_new(const struct sl_worker_settings *settings, struct sl_err *err)
{
    struct sl_worker *worker = calloc(1, sizeof(*worker));
    uint64_t random[2] = {0, 0};

    if (worker == NULL || (worker->hosts = calloc(settings->slots_max + 1, sizeof(*worker->hosts))) == NULL) {
        free(worker);
        (void)sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "no memory for a worker");
        return NULL;
    }
    worker->settings = *settings;
    (void)pthread_mutex_init(&worker->lock, NULL);
    (void)pthread_cond_init(&worker->answered, NULL);
    if (getrandom(random, sizeof(random), 0) != sizeof(random))
        random[0] = sl_clock_now_ns();
    atomic_init(&worker->random_next, random[0]);
    worker->random_salt = random[1];
    if (uv_loop_init(&worker->loop) != 0 || uv_async_init(&worker->loop, &worker->async, worker_on_async) != 0 ||
        uv_timer_init(&worker->loop, &worker->timer) != 0 || uv_idle_init(&worker->loop, &worker->idle) != 0) {
        (void)sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "making an event loop");
        free(worker->hosts);
        free(worker);
        return NULL;
    }
    worker->async.data = worker->timer.data = worker->idle.data = worker;
    worker->http = sl_worker_http_new(&worker->loop, host_http_finished, err);
    return worker->http == NULL ? sl_worker_free(worker) : worker;
}

int sl_worker_add(struct sl_worker *worker, const struct sl_shared *shared, uint32_t index, struct sl_err *err)
{
    struct host *host = &worker->hosts[worker->hosts_count];
    struct sl_env env = {host, worker->settings.fs, worker->settings.klog, host_now, host_unix,
                         host_random, host_submit, host_wake, host_log, host_http, host_http_cancel};

    assert(!worker->started && worker->hosts_count < worker->settings.slots_max);
    host->worker = worker;
    host->shared = shared;
    host->index = index;
    host->done_last = &host->done_first;
    host->answered_last = &host->answered_first;
    worker->hosts_count++;
    if (clerk_start(host, err) != 0)
        return -(int)err->code;
    host->slot = sl_slot_new(&env, shared, index, err);
    return host->slot == NULL ? -(int)err->code : 0;
}

int sl_worker_start(struct sl_worker *worker, struct sl_err *err)
{
    int status = uv_thread_create(&worker->thread, worker_main, worker);

    if (status != 0)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, -status, "starting a worker thread: %s", uv_strerror(status));
    worker->started = true;
    return 0;
}

void sl_worker_drain(struct sl_worker *worker)
{
    atomic_store(&worker->drain, true);
    for (uint32_t i = 0; i < worker->hosts_count; i++)
        atomic_store(&worker->hosts[i].woken, true);
    (void)uv_async_send(&worker->async);
}

bool sl_worker_idle(struct sl_worker *worker)
{
    return atomic_load(&worker->over_count) == worker->hosts_count;
}

static void worker_close_handle(uv_handle_t *handle, void *user)
{
    (void)user;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

struct sl_worker *sl_worker_free(struct sl_worker *worker)
{
    if (worker == NULL)
        return NULL;
    if (worker->started) {
        atomic_store(&worker->stop, true);
        (void)uv_async_send(&worker->async);
        (void)uv_thread_join(&worker->thread);
    }
    for (uint32_t i = 0; i < worker->hosts_count; i++) {
        struct host *host = &worker->hosts[i];
        clerk_stop(&host->clerk);
        clerk_drop(host->done_first);
        clerk_drop(host->clerk.first);
        host->slot = sl_slot_free(host->slot);
        if (host->has_status)
            sl_slot_status_fini(&host->status);
    }
    worker->http = sl_worker_http_close(worker->http);
    for (uint32_t i = 0; i < worker->hosts_count; i++) /* what closed sinks have cancelled: they gave up the memory for done() to free */
        host_http_done(&worker->hosts[i]);
    uv_walk(&worker->loop, worker_close_handle, NULL);
    (void)uv_run(&worker->loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&worker->loop);
    (void)pthread_mutex_destroy(&worker->lock);
    (void)pthread_cond_destroy(&worker->answered);
    free(worker->hosts);
    free(worker);
    return NULL;
}

void sl_worker_view(struct sl_worker *worker,
                    void (*each)(void *user, const struct sl_shared *shared, uint32_t index,
                                 const struct sl_slot_status *status, uint64_t age_ns, const char *waits_for),
                    void *user)
{
    uint64_t now_ns = sl_clock_now_ns();

    (void)pthread_mutex_lock(&worker->lock);
    for (uint32_t i = 0; i < worker->hosts_count; i++) {
        const struct host *host = &worker->hosts[i];
        if (host->has_status)
            each(user, host->shared, host->index, &host->status, now_ns - host->copied_ns, host->waits_for);
    }
    (void)pthread_mutex_unlock(&worker->lock);
}
