/* tsan_threads.c: C11's threads, locks and conditions through pthread's, which the thread sanitizer knows: librdkafka is built on the
 * former, and a thread that the sanitizer did not see begin crashes in its first call. Linked in the tsan preset only.
 *
 * Invariant (glibc's own): mtx_t and cnd_t are large and aligned enough for the pthread types; asserted below.
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <threads.h>

_Static_assert(sizeof(mtx_t) >= sizeof(pthread_mutex_t) && sizeof(cnd_t) >= sizeof(pthread_cond_t), "C11 types hold pthread's");
_Static_assert(sizeof(thrd_t) == sizeof(pthread_t), "a thread's name is pthread's");

struct tsan_thread {
    thrd_start_t run;
    void *user;
};

static int tsan_result(int error)
{
    switch (error) {
    case 0:
        return thrd_success;
    case ENOMEM:
        return thrd_nomem;
    case ETIMEDOUT:
        return thrd_timedout;
    case EBUSY:
        return thrd_busy;
    default:
        return thrd_error;
    }
}

static void *tsan_thread_main(void *user)
{
    struct tsan_thread thread = *(struct tsan_thread *)user;

    free(user);
    return (void *)(long)thread.run(thread.user);
}

int thrd_create(thrd_t *ret_thread, thrd_start_t run, void *user)
{
    struct tsan_thread *thread = malloc(sizeof(*thread));
    int error;

    if (thread == NULL)
        return thrd_nomem;
    *thread = (struct tsan_thread){run, user};
    error = pthread_create(ret_thread, NULL, tsan_thread_main, thread);
    if (error != 0)
        free(thread);
    return tsan_result(error);
}

int thrd_join(thrd_t thread, int *ret_result)
{
    void *result = NULL;
    int error = pthread_join(thread, &result);

    if (ret_result != NULL)
        *ret_result = (int)(long)result;
    return tsan_result(error);
}

int thrd_detach(thrd_t thread)
{
    return tsan_result(pthread_detach(thread));
}

int mtx_init(mtx_t *mutex, int type)
{
    pthread_mutexattr_t attr;
    int error;

    (void)pthread_mutexattr_init(&attr);
    if ((type & mtx_recursive) != 0)
        (void)pthread_mutexattr_settype(&attr, PTHREAD_MUTEX_RECURSIVE);
    error = pthread_mutex_init((pthread_mutex_t *)(void *)mutex, &attr);
    (void)pthread_mutexattr_destroy(&attr);
    return tsan_result(error);
}

void mtx_destroy(mtx_t *mutex)
{
    (void)pthread_mutex_destroy((pthread_mutex_t *)(void *)mutex);
}

int mtx_lock(mtx_t *mutex)
{
    return tsan_result(pthread_mutex_lock((pthread_mutex_t *)(void *)mutex));
}

int mtx_trylock(mtx_t *mutex)
{
    return tsan_result(pthread_mutex_trylock((pthread_mutex_t *)(void *)mutex));
}

int mtx_unlock(mtx_t *mutex)
{
    return tsan_result(pthread_mutex_unlock((pthread_mutex_t *)(void *)mutex));
}

int cnd_init(cnd_t *condition)
{
    return tsan_result(pthread_cond_init((pthread_cond_t *)(void *)condition, NULL));
}

void cnd_destroy(cnd_t *condition)
{
    (void)pthread_cond_destroy((pthread_cond_t *)(void *)condition);
}

int cnd_signal(cnd_t *condition)
{
    return tsan_result(pthread_cond_signal((pthread_cond_t *)(void *)condition));
}

int cnd_broadcast(cnd_t *condition)
{
    return tsan_result(pthread_cond_broadcast((pthread_cond_t *)(void *)condition));
}

int cnd_wait(cnd_t *condition, mtx_t *mutex)
{
    return tsan_result(pthread_cond_wait((pthread_cond_t *)(void *)condition, (pthread_mutex_t *)(void *)mutex));
}

int cnd_timedwait(cnd_t *restrict condition, mtx_t *restrict mutex, const struct timespec *restrict until)
{
    return tsan_result(pthread_cond_timedwait((pthread_cond_t *)(void *)condition, (pthread_mutex_t *)(void *)mutex, until));
}
