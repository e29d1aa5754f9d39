/* blame.c: which stage of which generation runs on this thread.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/blame.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>

enum { BLAME_STACK_BYTES = 64 << 10, BLAME_GUARD_BYTES = 64 << 10 }; /* the guard holds a page of any size */

_Thread_local const struct sl_blame_frame *volatile sl_blame_now __attribute__((tls_model("initial-exec")));

#if SL_BLAME_OFF

void sl_blame_thread(void)
{
}

#else

static pthread_once_t blame_once = PTHREAD_ONCE_INIT;
static pthread_key_t blame_key;
static bool blame_keyed;

static void blame_end(void *stack)
{
    stack_t none = {.ss_flags = SS_DISABLE};

    (void)sigaltstack(&none, NULL);
    (void)munmap(stack, BLAME_STACK_BYTES + BLAME_GUARD_BYTES);
}

static void blame_make_key(void)
{
    blame_keyed = pthread_key_create(&blame_key, blame_end) == 0;
}

void sl_blame_thread(void)
{
    stack_t stack = {.ss_size = BLAME_STACK_BYTES};
    char *memory;

    (void)pthread_once(&blame_once, blame_make_key);
    if (!blame_keyed || pthread_getspecific(blame_key) != NULL)
        return;
    memory = mmap(NULL, BLAME_STACK_BYTES + BLAME_GUARD_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return;
    stack.ss_sp = memory + BLAME_GUARD_BYTES;
    if (mprotect(stack.ss_sp, BLAME_STACK_BYTES, PROT_READ | PROT_WRITE) != 0 || pthread_setspecific(blame_key, memory) != 0 ||
        sigaltstack(&stack, NULL) != 0) {
        (void)pthread_setspecific(blame_key, NULL);
        (void)munmap(memory, BLAME_STACK_BYTES + BLAME_GUARD_BYTES);
    }
}

#endif
