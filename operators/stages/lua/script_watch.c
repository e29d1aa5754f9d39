/* script_watch.c: takes the thread back from a script that does not return.
 * SPDX-License-Identifier: Apache-2.0 */
#include "operators/stages/lua/script_watch.h"

#include <pthread.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define WATCH_NS_PER_MS UINT64_C(1000000)

static _Thread_local struct script_watch *volatile watch_now; /* the one that is armed on this thread */
static pthread_once_t watch_once = PTHREAD_ONCE_INIT;

static void watch_tick(int number)
{
    struct script_watch *watch = watch_now;

    (void)number;
    if (watch == NULL || !watch->entered)
        return;
    if (watch->seen != watch->call) {
        watch->seen = watch->call;
        watch->ticks = 0;
    }
    watch->ticks++;
    if (watch->ticks <= watch->ticks_max || watch->busy)
        return;
    watch->entered = 0;
    siglongjmp(watch->out, 1);
}

/* SA_NODEFER: the jump leaves the handler for good, so the signal must not stay blocked. */
static void watch_install(void)
{
    struct sigaction action;

    memset(&action, 0, sizeof(action));
    action.sa_handler = watch_tick;
    action.sa_flags = SA_RESTART | SA_NODEFER;
    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(SIGVTALRM, &action, NULL);
}

void script_watch_init(struct script_watch *watch, uint64_t limit_ns)
{
    uint64_t tick_ns = SCRIPT_TICK_MS * WATCH_NS_PER_MS;

    memset(watch, 0, sizeof(*watch));
    watch->ticks_max = (uint32_t)((limit_ns + tick_ns - 1) / tick_ns);
}

static int watch_timer(struct script_watch *watch)
{
    struct sigevent event;
    int thread = (int)syscall(SYS_gettid);

    if (watch->thread == thread)
        return 0;
    script_watch_fini(watch);
    (void)pthread_once(&watch_once, watch_install);
    memset(&event, 0, sizeof(event));
    event.sigev_notify = SIGEV_THREAD_ID;
    event.sigev_signo = SIGVTALRM;
    event._sigev_un._tid = thread;
    if (timer_create(CLOCK_THREAD_CPUTIME_ID, &event, &watch->timer) != 0)
        return -1;
    watch->thread = thread;
    return 0;
}

static int watch_set(struct script_watch *watch, long tick_ns)
{
    struct itimerspec every = {.it_interval = {0, tick_ns}, .it_value = {0, tick_ns}};

    return timer_settime(watch->timer, 0, &every, NULL);
}

bool script_watch_begin(struct script_watch *watch)
{
    if (watch->armed || watch_timer(watch) != 0 || watch_set(watch, (long)(SCRIPT_TICK_MS * WATCH_NS_PER_MS)) != 0)
        return false;
    watch_now = watch;
    watch->armed = true;
    return true;
}

void script_watch_end(struct script_watch *watch)
{
    watch_now = NULL;
    watch->armed = false;
    if (watch->thread != 0)
        (void)watch_set(watch, 0);
}

void script_watch_fini(struct script_watch *watch)
{
    if (watch->thread != 0)
        (void)timer_delete(watch->timer);
    watch->thread = 0;
}
