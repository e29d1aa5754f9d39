/* client.c: one HTTP/1.1 request over a Unix socket; replies by Content-Length, chunked, or up to the close.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/cli/client.h"

#include <assert.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "runtime/base/buf.h"

enum { CLIENT_HEAD_MAX = 64 << 10, CLIENT_TIMEOUT_S = 30, CLIENT_ORDER_S = 900 };

struct client_head {
    int status;
    size_t bytes; /* with the empty line */
    bool chunked, has_length;
    uint64_t length;
};

static int client_malformed(struct sl_err *err, const char *what)
{
    return sl_fail(err, SL_E_FORMAT, SL_REMEDY_HALT, 0, "the server's reply is not HTTP: %s", what);
}

/* ---- reading a reply ---- */

/* Digits of base 10 or 16 at text, up to limit; *ret_after is behind them. -1: none, or too large. */
static int client_number(const char *text, const char *end, uint32_t base, uint64_t *ret_value, const char **ret_after)
{
    const char *at = text;
    uint64_t value = 0;
    for (; at < end; at++) {
        uint32_t digit = *at >= '0' && *at <= '9' ? (uint32_t)(*at - '0')
                         : (*at | 32) >= 'a' && (*at | 32) <= 'f' ? (uint32_t)((*at | 32) - 'a') + 10 : 16;
        if (digit >= base)
            break;
        value = value * base + digit;
        if (value > SL_CLIENT_BODY_MAX)
            return -1;
    }
    *ret_value = value;
    *ret_after = at;
    return at == text ? -1 : 0;
}

static int client_header(struct client_head *head, const char *line, const char *end, struct sl_err *err)
{
    const char *colon = memchr(line, ':', (size_t)(end - line)), *after;
    size_t name_bytes;

    if (colon == NULL)
        return client_malformed(err, "a header line without a colon");
    name_bytes = (size_t)(colon++ - line);
    while (colon < end && (*colon == ' ' || *colon == '\t'))
        colon++;
    if (name_bytes == 14 && strncasecmp(line, "content-length", 14) == 0) {
        head->has_length = true;
        if (client_number(colon, end, 10, &head->length, &after) != 0 || after != end)
            return client_malformed(err, "its Content-Length is no number, or above the limit of 64 MiB");
    }
    if (name_bytes == 17 && strncasecmp(line, "transfer-encoding", 17) == 0)
        head->chunked = end - colon == 7 && strncasecmp(colon, "chunked", 7) == 0;
    return 0;
}

/* 1 read, 0 more is needed, <0 err. */
static int client_read_head(const char *data, size_t bytes, struct client_head *head, struct sl_err *err)
{
    const char *end = memmem(data, bytes, "\r\n\r\n", 4), *line;

    if (end == NULL)
        return bytes > CLIENT_HEAD_MAX ? client_malformed(err, "its head does not end within 64 KiB") : 0;
    *head = (struct client_head){.bytes = (size_t)(end - data) + 4};
    if (end - data < 12 || memcmp(data, "HTTP/1.", 7) != 0 || data[8] != ' ')
        return client_malformed(err, "it does not begin with a status line");
    for (int i = 9; i < 12; i++) {
        if (data[i] < '0' || data[i] > '9')
            return client_malformed(err, "its status is no number of three digits");
        head->status = head->status * 10 + (data[i] - '0');
    }
    line = memmem(data, head->bytes, "\r\n", 2);
    for (line += 2; line < end + 2 && line[0] != '\r';) {
        const char *next = memmem(line, (size_t)(end + 2 - line), "\r\n", 2);
        assert(next != NULL);
        int result = client_header(head, line, next, err);
        if (result != 0)
            return result;
        line = next + 2;
    }
    return 1;
}

/* Joins the chunks into body (room for `bytes`). 1 whole, 0 more is needed, <0 err. */
static int client_join(const char *data, size_t bytes, char *body, size_t *ret_bytes, struct sl_err *err)
{
    const char *at = data, *end = data + bytes, *after;
    size_t joined = 0;

    for (;;) {
        const char *line_end = memmem(at, (size_t)(end - at), "\r\n", 2);
        uint64_t chunk_bytes;
        if (line_end == NULL)
            return 0;
        if (client_number(at, line_end, 16, &chunk_bytes, &after) != 0 || (after != line_end && *after != ';'))
            return client_malformed(err, "a chunk's size is no hexadecimal number, or above the limit of 64 MiB");
        at = line_end + 2;
        if (chunk_bytes == 0)
            break;
        if ((size_t)(end - at) < chunk_bytes + 2)
            return 0;
        if (at[chunk_bytes] != '\r' || at[chunk_bytes + 1] != '\n')
            return client_malformed(err, "a chunk is longer than it says");
        memcpy(body + joined, at, chunk_bytes);
        joined += chunk_bytes;
        at += chunk_bytes + 2;
    }
    *ret_bytes = joined;
    /* Trailers, if any, end with an empty line. */
    return (end - at >= 2 && memcmp(at, "\r\n", 2) == 0) || memmem(at, (size_t)(end - at), "\r\n\r\n", 4) != NULL ? 1 : 0;
}

static int client_read_body(const struct client_head *head, const char *data, size_t bytes, bool ended, char *body,
                            size_t *ret_bytes, struct sl_err *err)
{
    if (head->chunked)
        return client_join(data, bytes, body, ret_bytes, err);
    if (head->status == 204 || head->status == 304)
        bytes = 0;
    else if (head->has_length && bytes < head->length)
        return 0;
    else if (head->has_length)
        bytes = (size_t)head->length;
    else if (!ended)
        return 0;
    memcpy(body, data, bytes);
    *ret_bytes = bytes;
    return 1;
}

int sl_client_parse(const char *data, size_t bytes, bool ended, struct sl_client_reply *ret_reply, struct sl_err *err)
{
    struct client_head head;
    char *body;
    size_t body_bytes = 0;
    int result = client_read_head(data, bytes, &head, err);

    while (result == 1 && head.status >= 100 && head.status < 200) { /* "100 Continue" comes before the answer */
        data += head.bytes;
        bytes -= head.bytes;
        result = client_read_head(data, bytes, &head, err);
    }
    if (result == 1) {
        body = malloc(bytes - head.bytes + 1);
        if (body == NULL)
            return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory for a reply of %zu bytes", bytes);
        result = client_read_body(&head, data + head.bytes, bytes - head.bytes, ended, body, &body_bytes, err);
        if (result == 1) {
            body[body_bytes] = '\0';
            *ret_reply = (struct sl_client_reply){head.status, body, body_bytes};
            return 1;
        }
        free(body);
    }
    if (result == 0 && ended)
        return client_malformed(err, bytes == 0 ? "it closed the connection without one" : "it ends too early");
    return result;
}

void sl_client_reply_fini(struct sl_client_reply *reply)
{
    free(reply->body);
    *reply = (struct sl_client_reply){0, NULL, 0};
}

/* ---- the connection ---- */

static int client_connect(const char *path, int silence_s, int *ret_fd, struct sl_err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval timeout = {.tv_sec = silence_s};
    int fd, sys;

    if (strlen(path) >= sizeof(address.sun_path))
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0,
                       "the socket's path is longer than the %zu bytes that the system allows: %s",
                       sizeof(address.sun_path) - 1, path);
    memcpy(address.sun_path, path, strlen(path));
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return sl_fail(err, SL_E_IO, SL_REMEDY_RETRY, errno, "no socket: %s", strerror(errno));
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout));
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0) {
        *ret_fd = fd;
        return 0;
    }
    sys = errno;
    (void)close(fd);
    if (sys == ENOENT || sys == ECONNREFUSED || sys == ENOTDIR)
        return sl_fail(err, SL_E_STOPPED, SL_REMEDY_RETRY, sys,
                       "no server answers at %s; start one with `sluice run FILE`, or name its socket with --socket", path);
    return sl_fail(err, SL_E_IO, SL_REMEDY_HALT, sys, "cannot connect to %s: %s", path, strerror(sys));
}

static int client_send(int fd, const char *data, size_t bytes, struct sl_err *err)
{
    while (bytes > 0) {
        ssize_t sent = send(fd, data, bytes, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return sl_fail(err, SL_E_IO, SL_REMEDY_RETRY, errno, "the request could not be sent: %s", strerror(errno));
        data += sent;
        bytes -= (size_t)sent;
    }
    return 0;
}

static int client_receive(int fd, struct sl_client_reply *ret_reply, struct sl_err *err)
{
    size_t bytes = 0, room = 16 << 10;
    char *data = malloc(room);
    int result = 0;

    while (result == 0) {
        ssize_t got;
        if (data == NULL || bytes > SL_CLIENT_BODY_MAX + (size_t)CLIENT_HEAD_MAX) {
            result = sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "the server's reply is longer than 64 MiB");
            break;
        }
        got = recv(fd, data + bytes, room - bytes, 0);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            result = sl_fail(err, SL_E_IO, SL_REMEDY_RETRY, errno, "the server does not answer: %s",
                             errno == EAGAIN ? "nothing came for too long" : strerror(errno));
            break;
        }
        bytes += (size_t)got;
        result = sl_client_parse(data, bytes, got == 0, ret_reply, err);
        if (result == 0 && bytes == room) {
            char *more = realloc(data, room *= 2);
            if (more == NULL)
                free(data);
            data = more;
        }
    }
    free(data);
    return result < 0 ? result : 0;
}

int sl_client_request(const char *socket_path, const char *method, const char *target, const char *body,
                      struct sl_client_reply *ret_reply, struct sl_err *err)
{
    char head[1024];
    int fd, result, bytes;

    bytes = snprintf(head, sizeof(head),
                     "%s %s HTTP/1.1\r\nHost: sluice\r\nConnection: close\r\nAccept: application/json\r\n"
                     "Content-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
                     method, target, body != NULL ? strlen(body) : 0);
    if (bytes < 0 || (size_t)bytes >= sizeof(head))
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "the request's path is too long: %s", target);
    /* An order may open back-ends that do not answer; the server ends that by itself. */
    result = client_connect(socket_path, strcmp(method, "POST") == 0 ? CLIENT_ORDER_S : CLIENT_TIMEOUT_S, &fd, err);
    if (result != 0)
        return result;
    result = client_send(fd, head, (size_t)bytes, err);
    if (result == 0 && body != NULL)
        result = client_send(fd, body, strlen(body), err);
    if (result == 0)
        result = client_receive(fd, ret_reply, err);
    (void)close(fd);
    return result;
}

/* ---- lines without an end ---- */

struct client_lines {
    bool (*each)(void *user, const char *line, size_t bytes);
    void *user;
    struct sl_buf held; /* what has not been told yet */
    bool headed;
};

/* Tells whole lines and keeps the rest. False: enough. */
static bool client_tell(struct client_lines *lines)
{
    const char *at = sl_buf_str(&lines->held), *end = at + lines->held.bytes, *newline;
    bool on = true;

    while (on && (newline = memchr(at, '\n', (size_t)(end - at))) != NULL) {
        on = lines->each(lines->user, at, (size_t)(newline - at));
        at = newline + 1;
    }
    memmove(lines->held.data, at, (size_t)(end - at));
    lines->held.bytes = (size_t)(end - at);
    return on;
}

/* 1: go on, 0: enough, <0 err, or the positive status of another answer than a stream behind 1. */
static int client_lines_head(struct client_lines *lines, int *ret_status, struct sl_err *err)
{
    struct client_head head;
    int result = client_read_head(sl_buf_str(&lines->held), lines->held.bytes, &head, err);

    if (result <= 0)
        return result == 0 ? 1 : result;
    if (head.status != 200) {
        *ret_status = head.status;
        return 1;
    }
    lines->headed = true;
    lines->held.bytes -= head.bytes;
    memmove(lines->held.data, lines->held.data + head.bytes, lines->held.bytes);
    return 1;
}

static int client_lines_read(int fd, struct client_lines *lines, struct sl_client_reply *ret_reply, struct sl_err *err)
{
    int status = 0;

    for (;;) {
        char *room = sl_buf_reserve(&lines->held, 16 << 10);
        ssize_t got = room == NULL ? -1 : recv(fd, room, 16 << 10, 0);
        int result;

        if (room == NULL || lines->held.bytes > SL_CLIENT_BODY_MAX)
            return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "no memory for the server's answer");
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return sl_fail(err, SL_E_IO, SL_REMEDY_RETRY, errno, "the server does not answer: %s", strerror(errno));
        sl_buf_added(&lines->held, (size_t)got);
        if (!lines->headed && status == 0 && (result = client_lines_head(lines, &status, err)) <= 0)
            return result;
        if (status != 0) { /* a whole answer, not a stream */
            result = sl_client_parse(sl_buf_str(&lines->held), lines->held.bytes, got == 0, ret_reply, err);
            if (result != 0)
                return result < 0 ? result : status;
        } else if (lines->headed && !client_tell(lines)) {
            return 0;
        }
        if (got == 0)
            return lines->headed ? 0 : client_malformed(err, "it ends within its head");
    }
}

int sl_client_lines(const char *socket_path, const char *target, bool (*each)(void *user, const char *line, size_t bytes), void *user,
                    struct sl_client_reply *ret_reply, struct sl_err *err)
{
    struct client_lines lines = {.each = each, .user = user};
    char head[1024];
    int fd, result, bytes = snprintf(head, sizeof(head), "GET %s HTTP/1.0\r\nHost: sluice\r\n\r\n", target); /* 1.0: no chunks */

    if (bytes < 0 || (size_t)bytes >= sizeof(head))
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "the request's path is too long: %s", target);
    result = client_connect(socket_path, CLIENT_TIMEOUT_S, &fd, err);
    if (result != 0)
        return result;
    result = client_send(fd, head, (size_t)bytes, err);
    if (result == 0)
        result = client_lines_read(fd, &lines, ret_reply, err);
    sl_buf_fini(&lines.held);
    (void)close(fd);
    return result;
}
