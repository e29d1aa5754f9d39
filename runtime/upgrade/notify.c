/* notify.c: sd_notify's datagram.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/upgrade/notify.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

bool sl_notify(const char *text)
{
    const char *path = getenv("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t bytes = path == NULL ? 0 : strlen(path);
    ssize_t sent;
    int fd;

    if (bytes < 2 || bytes >= sizeof(address.sun_path) || (path[0] != '/' && path[0] != '@'))
        return false;
    memcpy(address.sun_path, path, bytes);
    if (path[0] == '@') /* an abstract name */
        address.sun_path[0] = '\0';
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    sent = sendto(fd, text, strlen(text), MSG_NOSIGNAL, (const struct sockaddr *)&address,
                  (socklen_t)(offsetof(struct sockaddr_un, sun_path) + bytes));
    (void)close(fd);
    return sent == (ssize_t)strlen(text);
}

bool sl_notify_main(pid_t pid)
{
    char text[64];

    (void)snprintf(text, sizeof(text), "MAINPID=%ld\n", (long)pid);
    return sl_notify(text);
}

const char *sl_notify_refuses(void)
{
    const char *unit = getenv("SYSTEMD_EXEC_PID"); /* of the process that systemd started for the unit */

    if (getpid() == 1)
        return "this is the first process of its container, which would end with it; start a new container instead";
    if (unit != NULL && strtol(unit, NULL, 10) == (long)getpid() && getenv("NOTIFY_SOCKET") == NULL)
        return "the systemd unit would end with this process; give it Type=notify and NotifyAccess=main, or restart it";
    return NULL;
}
