/* listen.c: makes the control server's listening sockets and judges who connects.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/control/listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "runtime/control/control.h"

enum { LISTEN_BACKLOG = 64, LISTEN_MODE = 0660 };

static int listen_address(const char *path, struct sockaddr_un *ret_address, struct sl_err *err)
{
    size_t bytes = strlen(path);
    if (bytes == 0 || bytes >= sizeof(ret_address->sun_path))
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, ENAMETOOLONG,
                       "control socket %s: the path has %zu bytes, a Unix socket's may have 1 to %zu; name a shorter one "
                       "with control.socket",
                       path, bytes, sizeof(ret_address->sun_path) - 1);
    memset(ret_address, 0, sizeof(*ret_address));
    ret_address->sun_family = AF_UNIX;
    memcpy(ret_address->sun_path, path, bytes + 1);
    return 0;
}

static int listen_socket(const char *path, struct sl_err *err)
{
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return sl_fail(err, SL_E_IO, SL_REMEDY_HALT, errno, "control socket %s: %s", path, strerror(errno));
    return fd;
}

/* Somebody answers there, or nobody: then the file was left by a process that died. */
static int listen_remove_stale(const char *path, const struct sockaddr_un *address, struct sl_err *err)
{
    struct stat found;
    if (lstat(path, &found) != 0)
        return errno == ENOENT ? 0
                               : sl_fail(err, SL_E_IO, SL_REMEDY_HALT, errno, "control socket %s: %s", path, strerror(errno));
    if (!S_ISSOCK(found.st_mode))
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, EEXIST,
                       "control socket %s: a file that is no socket is in the way; name another path with control.socket",
                       path);
    int fd = listen_socket(path, err);
    if (fd < 0)
        return fd;
    int status = connect(fd, (const struct sockaddr *)address, sizeof(*address)), sys = errno;
    (void)close(fd);
    if (status == 0 || (sys != ECONNREFUSED && sys != ENOENT))
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, status == 0 ? EADDRINUSE : sys,
                       "control socket %s: %s; stop that process or name another path with control.socket", path,
                       status == 0 ? "another process listens there" : strerror(sys));
    if (unlink(path) != 0 && errno != ENOENT)
        return sl_fail(err, SL_E_IO, SL_REMEDY_HALT, errno, "control socket %s: removing a stale one: %s", path,
                       strerror(errno));
    return 0;
}

/* The mode is given to the socket before it has a name, so that at no moment a wider one is seen. */
static int listen_bind(int fd, const char *path, const struct sockaddr_un *address, struct sl_err *err)
{
    if (fchmod(fd, LISTEN_MODE) != 0 || bind(fd, (const struct sockaddr *)address, sizeof(*address)) != 0)
        return sl_fail(err, SL_E_IO, SL_REMEDY_HALT, errno, "control socket %s: bind: %s", path, strerror(errno));
    if (chmod(path, LISTEN_MODE) != 0 || listen(fd, LISTEN_BACKLOG) != 0) {
        int sys = errno;
        (void)unlink(path);
        return sl_fail(err, SL_E_IO, SL_REMEDY_HALT, sys, "control socket %s: listen: %s", path, strerror(sys));
    }
    return 0;
}

int sl_listen_unix(const char *path, int *ret_fd, uint64_t *ret_device, uint64_t *ret_inode, struct sl_err *err)
{
    struct sockaddr_un address;
    struct stat made;
    int status = listen_address(path, &address, err);
    if (status == 0)
        status = listen_remove_stale(path, &address, err);
    if (status != 0)
        return status;
    int fd = listen_socket(path, err);
    if (fd < 0)
        return fd;
    status = listen_bind(fd, path, &address, err);
    if (status == 0 && lstat(path, &made) != 0)
        status = sl_fail(err, SL_E_IO, SL_REMEDY_HALT, errno, "control socket %s: %s", path, strerror(errno));
    if (status != 0) {
        (void)close(fd);
        return status;
    }
    *ret_fd = fd;
    *ret_device = (uint64_t)made.st_dev;
    *ret_inode = (uint64_t)made.st_ino;
    return 0;
}

void sl_unlisten_unix(const char *path, uint64_t device, uint64_t inode)
{
    struct stat found;
    if (lstat(path, &found) == 0 && (uint64_t)found.st_dev == device && (uint64_t)found.st_ino == inode)
        (void)unlink(path);
}

/* Splits HOST:PORT at the last colon; the brackets of an IPv6 address are taken off. */
static int listen_split(const char *address, char *ret_host, size_t host_bytes, const char **ret_port, struct sl_err *err)
{
    const char *colon = strrchr(address, ':');
    size_t bytes = colon != NULL ? (size_t)(colon - address) : 0;
    char *end;
    if (colon == NULL || bytes == 0 || colon[1] < '0' || colon[1] > '9' || strtoul(colon + 1, &end, 10) > 65535 || *end != '\0')
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0,
                       "control.listen \"%s\": write HOST:PORT, such as 127.0.0.1:8080 or [::1]:8080", address);
    if (address[0] == '[' && address[bytes - 1] == ']') {
        address++;
        bytes -= 2;
    }
    if (bytes >= host_bytes)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "control.listen \"%s\": the host name is too long", address);
    memcpy(ret_host, address, bytes);
    ret_host[bytes] = '\0';
    *ret_port = colon + 1;
    return 0;
}

static int listen_try(const struct addrinfo *info, uint16_t *ret_port)
{
    struct sockaddr_storage bound;
    socklen_t bytes = sizeof(bound);
    int one = 1, fd = socket(info->ai_family, info->ai_socktype | SOCK_CLOEXEC, info->ai_protocol);
    if (fd < 0)
        return -1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (bind(fd, info->ai_addr, info->ai_addrlen) != 0 || listen(fd, LISTEN_BACKLOG) != 0 ||
        getsockname(fd, (struct sockaddr *)&bound, &bytes) != 0) {
        int sys = errno;
        (void)close(fd);
        errno = sys;
        return -1;
    }
    struct sockaddr_in in = {0};
    struct sockaddr_in6 in6 = {0};
    if (bound.ss_family == AF_INET6) {
        memcpy(&in6, &bound, sizeof(in6));
        *ret_port = ntohs(in6.sin6_port);
    } else {
        memcpy(&in, &bound, sizeof(in));
        *ret_port = ntohs(in.sin_port);
    }
    return fd;
}

int sl_listen_tcp(const char *address, int *ret_fd, uint16_t *ret_port, struct sl_err *err)
{
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    char host[256];
    const char *port;
    int fd = -1, status = listen_split(address, host, sizeof(host), &port, err);
    if (status != 0)
        return status;
    status = getaddrinfo(host, port, &hints, &found);
    if (status != 0)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "control.listen \"%s\": %s", address, gai_strerror(status));
    for (const struct addrinfo *info = found; info != NULL && fd < 0; info = info->ai_next)
        fd = listen_try(info, ret_port);
    status = errno;
    freeaddrinfo(found);
    if (fd < 0)
        return sl_fail(err, SL_E_IO, SL_REMEDY_HALT, status, "control.listen \"%s\": %s", address, strerror(status));
    *ret_fd = fd;
    return 0;
}

bool sl_listen_peer_allowed(int fd)
{
    struct ucred peer;
    socklen_t bytes = sizeof(peer);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) != 0)
        return false;
    return peer.uid == 0 || peer.uid == geteuid() || peer.gid == getegid();
}

/* A user without a name (of a container, or gone) is told by its number. */
bool sl_listen_peer(int fd, struct sl_control_who *ret_who)
{
    struct ucred peer;
    struct passwd entry, *found = NULL;
    char text[4096];
    socklen_t bytes = sizeof(peer);
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) != 0)
        return false;
    *ret_who = (struct sl_control_who){.local = true, .uid = peer.uid, .gid = peer.gid, .pid = peer.pid};
    if (getpwuid_r(peer.uid, &entry, text, sizeof(text), &found) == 0 && found != NULL && found->pw_name[0] != '\0')
        (void)snprintf(ret_who->text, sizeof(ret_who->text), "%s", found->pw_name);
    else
        (void)snprintf(ret_who->text, sizeof(ret_who->text), "uid %u", (unsigned)peer.uid);
    return true;
}

void sl_listen_from(const struct sockaddr *address, struct sl_control_who *ret_who)
{
    char host[NI_MAXHOST] = "";
    socklen_t bytes = address == NULL                     ? 0
                      : address->sa_family == AF_INET6 ? (socklen_t)sizeof(struct sockaddr_in6)
                                                       : (socklen_t)sizeof(struct sockaddr_in);
    *ret_who = (struct sl_control_who){.local = false};
    if (address == NULL || getnameinfo(address, bytes, host, sizeof(host), NULL, 0, NI_NUMERICHOST) != 0)
        (void)snprintf(host, sizeof(host), "unknown");
    (void)snprintf(ret_who->text, sizeof(ret_who->text), "token %.56s", host);
}
