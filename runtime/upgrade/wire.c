/* wire.c: messages and descriptors over a Unix socket pair.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/upgrade/wire.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union wire_control { /* of one descriptor and the sender's credentials */
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
};

int sl_wire_pair(int ret_fds[2], struct sl_err *err)
{
    int fds[2], one = 1;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, errno, "a socket pair: %s", strerror(errno));
    (void)setsockopt(fds[0], SOL_SOCKET, SO_PASSCRED, &one, sizeof(one));
    ret_fds[0] = fds[0];
    ret_fds[1] = fds[1];
    return 0;
}

static int wire_gone(struct sl_err *err)
{
    return sl_fail(err, SL_E_STOPPED, SL_REMEDY_HALT, 0, "the other process is gone");
}

int sl_wire_send(int wire, int fd, struct sl_err *err, const char *format, ...)
{
    union wire_control control = {.bytes = {0}};
    char text[SL_WIRE_BYTES];
    struct iovec part = {.iov_base = text};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    struct cmsghdr *head;
    ssize_t sent;
    va_list args;
    int bytes;

    va_start(args, format);
    bytes = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    part.iov_len = bytes < (int)sizeof(text) ? (size_t)bytes : sizeof(text) - 1;
    if (fd >= 0) {
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(sizeof(fd));
        head = CMSG_FIRSTHDR(&message);
        head->cmsg_level = SOL_SOCKET;
        head->cmsg_type = SCM_RIGHTS;
        head->cmsg_len = CMSG_LEN(sizeof(fd));
        memcpy(CMSG_DATA(head), &fd, sizeof(fd));
    }
    do {
        sent = sendmsg(wire, &message, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    if (sent >= 0)
        return 0;
    return errno == EPIPE || errno == ECONNRESET ? wire_gone(err)
                                                 : sl_fail(err, SL_E_IO, SL_REMEDY_HALT, errno, "sending: %s", strerror(errno));
}

/* 1 readable or closed; 0 not in time. A signal's handler may take some of the time. */
static int wire_wait(int wire, int wait_ms)
{
    struct pollfd look = {.fd = wire, .events = POLLIN};
    int got;

    do {
        got = poll(&look, 1, wait_ms);
    } while (got < 0 && errno == EINTR);
    return got;
}

static void wire_take(struct msghdr *message, struct sl_wire_message *ret_message)
{
    struct ucred who;

    for (struct cmsghdr *head = CMSG_FIRSTHDR(message); head != NULL; head = CMSG_NXTHDR(message, head)) {
        if (head->cmsg_level != SOL_SOCKET)
            continue;
        if (head->cmsg_type == SCM_RIGHTS && head->cmsg_len == CMSG_LEN(sizeof(int)))
            memcpy(&ret_message->fd, CMSG_DATA(head), sizeof(int));
        if (head->cmsg_type == SCM_CREDENTIALS && head->cmsg_len == CMSG_LEN(sizeof(who))) {
            memcpy(&who, CMSG_DATA(head), sizeof(who));
            ret_message->pid = who.pid;
        }
    }
}

int sl_wire_receive(int wire, int wait_ms, struct sl_wire_message *ret_message, struct sl_err *err)
{
    union wire_control control;
    struct iovec part = {.iov_base = ret_message->text, .iov_len = sizeof(ret_message->text) - 1};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes)};
    ssize_t got;

    if (wire_wait(wire, wait_ms) == 0)
        return 0;
    do {
        got = recvmsg(wire, &message, MSG_CMSG_CLOEXEC);
    } while (got < 0 && errno == EINTR);
    if (got == 0 || (got < 0 && errno == ECONNRESET))
        return wire_gone(err);
    if (got < 0)
        return sl_fail(err, SL_E_IO, SL_REMEDY_HALT, errno, "receiving: %s", strerror(errno));
    ret_message->text[got] = '\0';
    ret_message->fd = -1;
    ret_message->pid = 0;
    wire_take(&message, ret_message);
    return 1;
}

const char *sl_wire_is(const struct sl_wire_message *message, const char *word)
{
    size_t bytes = strlen(word);

    if (strncmp(message->text, word, bytes) != 0)
        return NULL;
    return message->text[bytes] == ' ' ? message->text + bytes + 1 : message->text[bytes] == '\0' ? message->text + bytes : NULL;
}
