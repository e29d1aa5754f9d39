/* giver_child.c: starting, watching and killing the new process.
 *
 * A wrapper script may start it without exec: then the child is the script, and the one who said hello (the kernel tells who sent it)
 * is another. Both are killed and both are waited for, since a process that still runs could still write.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/upgrade/giver_child.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "runtime/upgrade/wire.h"

extern char **environ;

enum { CHILD_WIRE_FD = 3 };

static void child_closed(uv_handle_t *handle)
{
    ((struct giver_child *)handle->data)->closed = true;
}

static void child_exited(uv_process_t *process, int64_t status, int signal)
{
    struct giver_child *child = process->data;

    child->ended = true;
    if (signal != 0)
        (void)snprintf(child->how, sizeof(child->how), "it was killed by signal %d", signal);
    else
        (void)snprintf(child->how, sizeof(child->how), "it ended with status %lld", (long long)status);
    uv_close((uv_handle_t *)process, child_closed);
    child->on_end(child->user);
}

/* Our environment with the wire in it; the array is malloc'd, its strings are not. */
static char **child_environment(char *wire)
{
    size_t count = 0, kept = 0;
    char **made;

    while (environ[count] != NULL)
        count++;
    made = calloc(count + 2, sizeof(char *));
    for (size_t i = 0; made != NULL && i < count; i++)
        if (strncmp(environ[i], SL_WIRE_VARIABLE "=", sizeof(SL_WIRE_VARIABLE)) != 0)
            made[kept++] = environ[i];
    if (made != NULL)
        made[kept] = wire;
    return made;
}

int giver_child_start(struct giver_child *child, uv_loop_t *loop, const char *file, char *const *args, int wire_fd, struct sl_err *err)
{
    uv_stdio_container_t files[CHILD_WIRE_FD + 1];
    char wire[64];
    uv_process_options_t options = {.exit_cb = child_exited, .file = file, .args = (char **)(uintptr_t)args,
                                    .stdio = files, .stdio_count = CHILD_WIRE_FD + 1};
    int status;

    (void)snprintf(wire, sizeof(wire), SL_WIRE_VARIABLE "=%d", CHILD_WIRE_FD);
    options.env = child_environment(wire);
    if (options.env == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory");
    for (int i = 0; i < CHILD_WIRE_FD; i++)
        files[i] = (uv_stdio_container_t){.flags = UV_INHERIT_FD, .data.fd = i};
    files[CHILD_WIRE_FD] = (uv_stdio_container_t){.flags = UV_INHERIT_FD, .data.fd = wire_fd};
    child->process.data = child;
    child->ended = child->closed = false;
    child->pid = 0;
    child->pid_fd = -1;
    status = uv_spawn(loop, &child->process, &options);
    free(options.env);
    child->started = status == 0;
    if (status == 0)
        return 0;
    uv_close((uv_handle_t *)&child->process, child_closed);
    return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, -status, "%s cannot be run: %s", file, strerror(-status));
}

void giver_child_hello(struct giver_child *child, pid_t pid)
{
    child->pid = pid;
    if (pid != child->process.pid && pid > 0)
        child->pid_fd = (int)syscall(SYS_pidfd_open, pid, 0);
}

void giver_child_kill(struct giver_child *child)
{
    if (child->started && !child->ended)
        (void)uv_process_kill(&child->process, SIGKILL);
    if (child->pid_fd >= 0)
        (void)syscall(SYS_pidfd_send_signal, child->pid_fd, SIGKILL, NULL, 0);
    else if (child->pid > 0 && child->pid != child->process.pid)
        (void)kill(child->pid, SIGKILL);
}

static bool child_other_lives(const struct giver_child *child)
{
    struct pollfd look = {.fd = child->pid_fd, .events = POLLIN};

    if (child->pid <= 0 || child->pid == child->process.pid)
        return false;
    return child->pid_fd >= 0 ? poll(&look, 1, 0) == 0 : kill(child->pid, 0) == 0 || errno != ESRCH;
}

bool giver_child_gone(struct giver_child *child)
{
    return (!child->started || child->ended) && child->closed && !child_other_lives(child);
}

pid_t giver_child_pid(const struct giver_child *child)
{
    return child->pid > 0 ? child->pid : child->process.pid;
}

void giver_child_fini(struct giver_child *child)
{
    if (child->pid_fd >= 0)
        (void)close(child->pid_fd);
    child->pid_fd = -1;
    child->pid = 0;
    child->started = false;
}
