/* fail_io.c: an interposed library for tests: makes chosen file operations of a process fail, or stops the process just before them.
 *
 * FAIL_IO="OPERATION:NUMBER:ACTION:TEXT": when OPERATION (fsync, rename) happens for the NUMBERth time on a path that holds TEXT,
 * ACTION: stop (SIGSTOP before it is done), or fail (EIO; the data is not synced). NUMBER counts from 1.
 * FAIL_IO_DONE names a file that is made when it happened, so that a script can wait for it. FAIL_IO_AFTER names one before whose appearance nothing
 * is counted.
 * SPDX-License-Identifier: Apache-2.0 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char fail_operation[16], fail_action[16], fail_text[PATH_MAX];
static const char *fail_after;
static unsigned fail_at;
static atomic_uint fail_seen;

__attribute__((constructor)) static void fail_load(void)
{
    const char *plan = getenv("FAIL_IO");

    fail_after = getenv("FAIL_IO_AFTER");
    if (plan != NULL && sscanf(plan, "%15[^:]:%u:%15[^:]:%4095s", fail_operation, &fail_at, fail_action, fail_text) != 4) {
        (void)fprintf(stderr, "fail_io: FAIL_IO=%s is not OPERATION:NUMBER:ACTION:TEXT\n", plan);
        _exit(2);
    }
}

static void fail_tell(void)
{
    const char *path = getenv("FAIL_IO_DONE");
    int fd = path == NULL ? -1 : open(path, O_WRONLY | O_CREAT, 0644);

    if (fd >= 0)
        (void)close(fd);
}

/* Whether this one is to fail. */
static bool fail_now(const char *operation, const char *path)
{
    if (fail_at == 0 || strcmp(operation, fail_operation) != 0 || strstr(path, fail_text) == NULL)
        return false;
    if (fail_after != NULL && access(fail_after, F_OK) != 0)
        return false;
    if (atomic_fetch_add(&fail_seen, 1) + 1 != fail_at)
        return false;
    fail_tell();
    if (strcmp(fail_action, "stop") == 0) {
        (void)raise(SIGSTOP);
        return false;
    }
    errno = EIO;
    return true;
}

int fsync(int fd)
{
    static int (*real)(int);
    char link[64], path[PATH_MAX] = "";
    ssize_t bytes;

    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, "fsync");
    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    bytes = readlink(link, path, sizeof(path) - 1);
    path[bytes > 0 ? bytes : 0] = '\0';
    return fail_now("fsync", path) ? -1 : real(fd);
}

int rename(const char *from, const char *to)
{
    static int (*real)(const char *, const char *);

    if (real == NULL)
        *(void **)&real = dlsym(RTLD_NEXT, "rename");
    return fail_now("rename", from) ? -1 : real(from, to);
}
