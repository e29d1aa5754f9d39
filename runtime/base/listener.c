/* listener.c: the table of listening sockets.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/listener.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct listener {
    char name[SL_LISTENER_NAME_BYTES];
    char *owner; /* of those who hold it now */
    int fd;
    uint32_t holders;
    struct listener *next;
};

static pthread_mutex_t listener_lock = PTHREAD_MUTEX_INITIALIZER;
static struct listener *listeners; /* under the lock, as all below */
static uint32_t listeners_count;
static bool listener_kept;

const char *sl_listener_name(const char *transport, const struct sockaddr *address, char *text)
{
    socklen_t bytes = address->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    char host[NI_MAXHOST], port[NI_MAXSERV];

    text[0] = '\0';
    if (getnameinfo(address, bytes, host, sizeof(host), port, sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV) != 0 ||
        strcmp(port, "0") == 0)
        return text;
    if (snprintf(text, SL_LISTENER_NAME_BYTES, address->sa_family == AF_INET6 ? "%s [%s]:%s" : "%s %s:%s", transport, host, port) >=
        SL_LISTENER_NAME_BYTES)
        text[0] = '\0';
    return text;
}

static struct listener *listener_find(const char *name)
{
    for (struct listener *at = listeners; at != NULL; at = at->next)
        if (strcmp(at->name, name) == 0)
            return at;
    return NULL;
}

static struct listener *listener_add(const char *name, int fd)
{
    struct listener *made = listeners_count < SL_LISTENERS_MAX ? calloc(1, sizeof(*made)) : NULL;

    assert(strlen(name) < sizeof(made->name));
    if (made == NULL)
        return NULL;
    (void)snprintf(made->name, sizeof(made->name), "%s", name);
    made->fd = fd;
    made->next = listeners;
    listeners = made;
    listeners_count++;
    return made;
}

/* Duplicates of it may live on in a holder that is just closing: it listens no more all the same. */
static void listener_remove(struct listener *gone)
{
    struct listener **at = &listeners;

    while (*at != gone)
        at = &(*at)->next;
    *at = gone->next;
    listeners_count--;
    (void)shutdown(gone->fd, SHUT_RDWR);
    (void)close(gone->fd);
    free(gone->owner);
    free(gone);
}

static int listener_refuse(const struct listener *at, struct sl_err *err)
{
    return sl_fail(err, SL_E_IO, SL_REMEDY_HALT, EADDRINUSE, "%s: %s listens there already", at->name, at->owner);
}

static int listener_hold(struct listener *at, const char *owner, int *ret_fd, struct sl_err *err)
{
    char *copy;
    int fd;

    if (at->holders > 0 && strcmp(at->owner, owner) != 0)
        return listener_refuse(at, err);
    copy = strdup(owner);
    fd = fcntl(at->fd, F_DUPFD_CLOEXEC, 0);
    if (copy == NULL || fd < 0) {
        free(copy);
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, errno, "%s: %s", at->name, strerror(errno));
    }
    free(at->owner);
    at->owner = copy;
    at->holders++;
    *ret_fd = fd;
    return 0;
}

static int listener_make(const char *name, const char *owner, int (*open)(void *user, int *ret_fd, struct sl_err *err), void *user,
                         int *ret_fd, struct sl_err *err)
{
    struct listener *at;
    int fd, status = open(user, &fd, err);

    if (status != 0)
        return status;
    at = listener_add(name, fd);
    if (at == NULL) {
        (void)close(fd);
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "%s: no room for another listening socket", name);
    }
    status = listener_hold(at, owner, ret_fd, err);
    if (status != 0)
        listener_remove(at);
    return status;
}

int sl_listener_get(const char *name, const char *owner, int (*open)(void *user, int *ret_fd, struct sl_err *err), void *user,
                    int *ret_fd, struct sl_err *err)
{
    struct listener *at;
    int status;

    if (name[0] == '\0')
        return open(user, ret_fd, err);
    (void)pthread_mutex_lock(&listener_lock);
    at = listener_find(name);
    status = at != NULL ? listener_hold(at, owner, ret_fd, err) : listener_make(name, owner, open, user, ret_fd, err);
    (void)pthread_mutex_unlock(&listener_lock);
    return status;
}

void sl_listener_put(const char *name, int fd)
{
    struct listener *at;

    if (name[0] == '\0') {
        (void)shutdown(fd, SHUT_RDWR);
        return;
    }
    (void)pthread_mutex_lock(&listener_lock);
    at = listener_find(name);
    assert(at != NULL && at->holders > 0);
    at->holders--;
    if (at->holders == 0 && !listener_kept)
        listener_remove(at);
    (void)pthread_mutex_unlock(&listener_lock);
}

void sl_listener_keep(bool keep)
{
    (void)pthread_mutex_lock(&listener_lock);
    listener_kept = keep;
    for (struct listener *at = listeners, *next; !keep && at != NULL; at = next) {
        next = at->next;
        if (at->holders == 0)
            listener_remove(at);
    }
    (void)pthread_mutex_unlock(&listener_lock);
}

bool sl_listener_keeping(void)
{
    bool keeping;

    (void)pthread_mutex_lock(&listener_lock);
    keeping = listener_kept;
    (void)pthread_mutex_unlock(&listener_lock);
    return keeping;
}

int sl_listener_each(int (*each)(void *user, const char *name, int fd), void *user)
{
    int status = 0;

    (void)pthread_mutex_lock(&listener_lock);
    for (const struct listener *at = listeners; at != NULL && status == 0; at = at->next)
        status = each(user, at->name, at->fd);
    (void)pthread_mutex_unlock(&listener_lock);
    return status;
}

int sl_listener_inherit(const char *name, int fd, struct sl_err *err)
{
    int status = 0;

    (void)pthread_mutex_lock(&listener_lock);
    if (name[0] == '\0' || strlen(name) >= SL_LISTENER_NAME_BYTES || listener_find(name) != NULL)
        status = sl_fail(err, SL_E_FORMAT, SL_REMEDY_HALT, 0, "an inherited socket is called \"%.160s\", which is %s", name,
                         name[0] == '\0' || strlen(name) >= SL_LISTENER_NAME_BYTES ? "no name" : "taken");
    else if (listener_add(name, fd) == NULL)
        status = sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "no room for the inherited socket %s", name);
    (void)pthread_mutex_unlock(&listener_lock);
    if (status != 0)
        (void)close(fd);
    return status;
}
