/* syslog_conn.c: syslog over TCP and TLS: bytes come into a connection's buffer, are cut into messages, and go into the lane's
 * batch. While there is no batch nothing is read: the sender waits. What was read is never dropped, but for a counted message
 * whose rest never comes.
 *
 * One serving: cut what is held -> read more -> ..., a few rounds; then the connection waits for (conn_settle) news from epoll,
 * or stands in the list of those that are due: without a batch, without memory, or behind others.
 * Limits: a buffer's first block is free, more is charged to `memory`; who gets none waits, and its time runs.
 * SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "operators/sources/syslog/syslog_inner.h"

enum { CONN_BLOCK = 16 << 10, CONN_ROUNDS = 8, CONN_ACCEPTS = 64, CONN_KEEPALIVE_S = 300, CONN_LAST_ROUNDS = 256 };

enum conn_fate { CONN_ON, CONN_NEWS, CONN_STARVED, CONN_CRAMPED, CONN_OVER };

static void conn_say(struct syslog_front *syslog, const struct syslog_conn *conn, const char *what)
{
    struct sl_err err;

    (void)sl_fail(&err, SL_E_FORMAT, SL_REMEDY_RETRY, 0, "source %s: %s: %s: the connection is closed", syslog->front.component,
                  conn->peer.text, what);
    sl_front_trouble(&syslog->front, &err);
}

/* ---- the buffer ---- */

/* 0, or -1: no memory now. */
static int conn_resize(struct syslog_front *syslog, struct syslog_conn *conn, size_t capacity)
{
    uint64_t charge = capacity > CONN_BLOCK ? capacity - CONN_BLOCK : 0;
    char *data;

    if (syslog->memory_bytes - conn->charged + charge > syslog->config->memory)
        return -1;
    if (capacity == 0) {
        free(conn->data);
        conn->data = NULL;
    } else {
        data = realloc(conn->data, capacity);
        if (data == NULL)
            return -1;
        conn->data = data;
    }
    syslog->memory_bytes = syslog->memory_bytes - conn->charged + charge;
    conn->charged = charge;
    conn->capacity = capacity;
    return 0;
}

static int conn_room(struct syslog_front *syslog, struct syslog_conn *conn)
{
    size_t most = sl_syslog_frames_need(&conn->frames), capacity = conn->capacity * 2;

    if (conn->bytes < conn->capacity)
        return 0;
    if (capacity < CONN_BLOCK)
        capacity = CONN_BLOCK;
    if (capacity > most && most > CONN_BLOCK)
        capacity = most;
    assert(capacity > conn->bytes); /* a decoder gets on with `most` */
    return conn_resize(syslog, conn, capacity);
}

static bool conn_is_inside(const struct syslog_conn *conn)
{
    return conn->bytes > 0 || conn->frames.passing > 0 || conn->frames.passing_line;
}

static void conn_used(struct syslog_front *syslog, struct syslog_conn *conn, size_t used)
{
    conn->bytes -= used;
    if (conn->bytes > 0 && used > 0)
        memmove(conn->data, conn->data + used, conn->bytes);
    if (conn->bytes == 0 && conn->capacity > 0)
        (void)conn_resize(syslog, conn, 0);
    else if (conn->capacity > CONN_BLOCK && conn->bytes <= CONN_BLOCK / 2)
        (void)conn_resize(syslog, conn, CONN_BLOCK);
}

/* ---- one serving ---- */

static enum conn_fate conn_cut(struct syslog_front *syslog, struct syslog_conn *conn)
{
    enum conn_fate fate = CONN_ON;
    size_t at = 0;

    while (conn->bytes > at && fate == CONN_ON) {
        struct sl_slice message;
        enum sl_syslog_step step;
        size_t used;

        if (!syslog_room(syslog, SYSLOG_STREAMS)) {
            fate = CONN_STARVED;
            break;
        }
        step = sl_syslog_frames_next(&conn->frames, conn->data + at, conn->bytes - at, &used, &message);
        at += used;
        if (step == SL_SYSLOG_MESSAGE) {
            syslog_join(syslog, conn, message);
            conn->since_ns = syslog->now_ns;
        } else if (step == SL_SYSLOG_BROKEN) {
            syslog_tally(syslog, SYSLOG_BROKEN, 1);
            conn_say(syslog, conn, "a message does not begin with its length and a blank, although the first one did");
            return CONN_OVER;
        } else {
            break;
        }
    }
    conn_used(syslog, conn, at);
    if (!conn_is_inside(conn))
        conn->since_ns = 0;
    return fate;
}

static enum conn_fate conn_fill(struct syslog_front *syslog, struct syslog_conn *conn)
{
    uint32_t events = EPOLLIN;
    int64_t got;

    if (conn_room(syslog, conn) != 0)
        return CONN_CRAMPED;
    do {
        got = conn->ssl != NULL ? syslog_tls_read(conn->ssl, conn->data + conn->bytes, conn->capacity - conn->bytes, &events)
                                : recv(conn->fd, conn->data + conn->bytes, conn->capacity - conn->bytes, 0);
        if (got < 0 && conn->ssl == NULL)
            got = -errno;
    } while (got == -EINTR);
    if (got == -EAGAIN || got == -EWOULDBLOCK) {
        conn_used(syslog, conn, 0); /* gives an empty buffer back */
        syslog_watch(syslog, conn->fd, conn, &conn->events, events);
        return CONN_NEWS;
    }
    if (got <= 0) {
        conn->state = SYSLOG_END;
        return CONN_ON;
    }
    if (!conn_is_inside(conn))
        conn->since_ns = syslog->now_ns;
    conn->heard_ns = syslog->now_ns;
    conn->bytes += (size_t)got;
    return CONN_ON;
}

static enum conn_fate conn_end(struct syslog_front *syslog, struct syslog_conn *conn)
{
    struct sl_slice message;

    if (!conn_is_inside(conn) && conn->open.bytes == 0)
        return CONN_OVER;
    if (!syslog_room(syslog, SYSLOG_STREAMS))
        return CONN_STARVED;
    if (!conn_is_inside(conn)) {
        syslog_join_end(syslog, conn);
        return CONN_OVER;
    }
    switch (sl_syslog_frames_end(&conn->frames, conn->data, conn->bytes, &message)) {
    case SL_SYSLOG_MESSAGE:
        syslog_join(syslog, conn, message);
        break;
    case SL_SYSLOG_BROKEN:
        syslog_tally(syslog, SYSLOG_BROKEN, 1);
        conn_say(syslog, conn, "it ended, or stood still, inside a counted message, which is not kept");
        break;
    case SL_SYSLOG_MORE:
        break;
    }
    conn->frames = (struct sl_syslog_frames){.framing = conn->frames.framing, .max = conn->frames.max};
    conn_used(syslog, conn, conn->bytes);
    return CONN_ON; /* once more, for the open record */
}

static enum conn_fate conn_handshake(struct syslog_front *syslog, struct syslog_conn *conn)
{
    char why[160] = "", text[200];
    uint32_t events = EPOLLIN;
    int rc = syslog_tls_accept(conn->ssl, &events, why, sizeof(why));

    if (rc == -EAGAIN) {
        syslog_watch(syslog, conn->fd, conn, &conn->events, events);
        return CONN_NEWS;
    }
    if (rc != 0) {
        syslog_tally(syslog, SYSLOG_TLS_FAILED, 1);
        (void)snprintf(text, sizeof(text), "TLS failed: %s", why);
        conn_say(syslog, conn, text);
        return CONN_OVER;
    }
    conn->state = SYSLOG_OPEN;
    conn->since_ns = 0;
    return CONN_ON;
}

/* ---- lists ---- */

static void conn_undue(struct syslog_front *syslog, struct syslog_conn *conn)
{
    struct syslog_conn **at = &syslog->due;

    while (conn->due && *at != conn)
        at = &(*at)->due_next;
    if (conn->due)
        *at = conn->due_next;
    conn->due = false;
}

static void conn_close(struct syslog_front *syslog, struct syslog_conn *conn)
{
    conn_undue(syslog, conn);
    *conn->at = conn->next;
    if (conn->next != NULL)
        conn->next->at = conn->at;
    syslog->conns_count--;
    if (conn->ssl != NULL) {
        if (conn->state != SYSLOG_HANDSHAKE)
            (void)SSL_shutdown(conn->ssl);
        SSL_free(conn->ssl);
    }
    (void)close(conn->fd);
    syslog_join_free(syslog, conn);
    syslog->memory_bytes -= conn->charged;
    free(conn->data);
    free(conn);
}

static void conn_settle(struct syslog_front *syslog, struct syslog_conn *conn, enum conn_fate fate)
{
    conn->starved = fate == CONN_STARVED;
    conn->turn = fate == CONN_ON;
    if (fate == CONN_OVER) {
        conn_close(syslog, conn);
    } else if (fate != CONN_NEWS) {
        syslog_watch(syslog, conn->fd, conn, &conn->events, 0);
        if (!conn->due) {
            conn->due = true;
            conn->due_next = syslog->due;
            syslog->due = conn;
        }
    }
}

static enum conn_fate conn_rounds(struct syslog_front *syslog, struct syslog_conn *conn, int rounds)
{
    enum conn_fate fate = conn->state == SYSLOG_HANDSHAKE ? conn_handshake(syslog, conn) : CONN_ON;

    for (int round = 0; fate == CONN_ON && round < rounds; round++) {
        fate = conn_cut(syslog, conn);
        if (fate == CONN_ON)
            fate = conn->state == SYSLOG_END ? conn_end(syslog, conn) : conn_fill(syslog, conn);
    }
    return fate;
}

void syslog_conn_serve(struct syslog_front *syslog, struct syslog_conn *conn)
{
    conn_settle(syslog, conn, conn_rounds(syslog, conn, CONN_ROUNDS));
}

bool syslog_conn_serve_due(struct syslog_front *syslog)
{
    struct syslog_conn *conn = syslog->due;
    bool turn = false;

    syslog->due = NULL;
    while (conn != NULL) {
        struct syslog_conn *next = conn->due_next;
        conn->due = false;
        syslog_conn_serve(syslog, conn);
        conn = next;
    }
    for (conn = syslog->due; conn != NULL; conn = conn->due_next)
        turn = turn || conn->turn;
    return turn;
}

/* ---- coming and going ---- */

static void conn_new(struct syslog_front *syslog, const struct syslog_place *place, int fd, const struct sockaddr_storage *from)
{
    struct syslog_conn *conn = calloc(1, sizeof(*conn));
    int one = 1, idle = CONN_KEEPALIVE_S;

    if (conn != NULL && place->transport == SYSLOG_TLS && ((conn->ssl = SSL_new(syslog->tls)) == NULL ||
                                                           SSL_set_fd(conn->ssl, fd) != 1)) {
        SSL_free(conn->ssl);
        free(conn);
        conn = NULL;
    }
    if (conn == NULL) {
        syslog_tally(syslog, SYSLOG_TURNED_AWAY, 1);
        (void)close(fd);
        return;
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one)); /* a sender that vanished is not kept for ever */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
    conn->handle = SYSLOG_CONN;
    conn->fd = fd;
    conn->state = conn->ssl != NULL ? SYSLOG_HANDSHAKE : SYSLOG_OPEN;
    if (conn->ssl != NULL)
        SSL_set_accept_state(conn->ssl);
    conn->frames = (struct sl_syslog_frames){.framing = (enum sl_syslog_framing)syslog->config->framing,
                                             .max = syslog->max_record_bytes};
    conn->heard_ns = syslog->now_ns;
    conn->since_ns = conn->ssl != NULL ? syslog->now_ns : 0;
    syslog_peer_name(from, conn->peer.text, sizeof(conn->peer.text));
    conn->next = syslog->conns;
    conn->at = &syslog->conns;
    if (conn->next != NULL)
        conn->next->at = &conn->next;
    syslog->conns = conn;
    syslog->conns_count++;
    syslog_conn_serve(syslog, conn);
}

void syslog_conn_accept(struct syslog_front *syslog, struct syslog_place *place)
{
    for (int i = 0; i < CONN_ACCEPTS; i++) {
        struct sockaddr_storage from = {.ss_family = AF_UNSPEC};
        socklen_t bytes = sizeof(from);
        int fd = accept4(place->fd, (struct sockaddr *)&from, &bytes, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (fd < 0)
            return; /* none, or none now: it is asked again */
        if (syslog->conns_count >= syslog->config->connections) {
            syslog_tally(syslog, SYSLOG_TURNED_AWAY, 1);
            (void)close(fd);
            continue;
        }
        conn_new(syslog, place, fd, &from);
    }
}

/* A line without its end is kept; of a counted message nothing is. */
static void conn_time_out(struct syslog_front *syslog, struct syslog_conn *conn)
{
    syslog_tally(syslog, SYSLOG_TIMED_OUT, 1);
    if (conn->state == SYSLOG_HANDSHAKE) {
        conn_close(syslog, conn);
        return;
    }
    conn_undue(syslog, conn);
    conn->state = SYSLOG_END;
    syslog_conn_serve(syslog, conn);
}

void syslog_conn_look(struct syslog_front *syslog)
{
    const struct syslog_config *config = syslog->config;

    for (struct syslog_conn *conn = syslog->conns, *next; conn != NULL; conn = next) {
        next = conn->next;
        if (conn->open.bytes > 0 && syslog->now_ns - conn->open.heard_ns >= config->multiline.timeout && syslog_room(syslog, SYSLOG_STREAMS))
            syslog_join_end(syslog, conn);
        if (conn->starved || conn->turn || conn->state == SYSLOG_END) {
            conn->since_ns = conn->since_ns != 0 ? syslog->now_ns : 0;
            conn->heard_ns = syslog->now_ns;
        } else if ((conn->since_ns != 0 && syslog->now_ns - conn->since_ns >= config->timeout) ||
                   (config->idle != 0 && syslog->now_ns - conn->heard_ns >= config->idle)) {
            conn_time_out(syslog, conn);
        }
    }
}

void syslog_conn_stop(struct syslog_front *syslog)
{
    while (syslog->conns != NULL) {
        struct syslog_conn *conn = syslog->conns;

        if (conn->state != SYSLOG_HANDSHAKE && conn_rounds(syslog, conn, CONN_LAST_ROUNDS) != CONN_OVER && conn->state != SYSLOG_END) {
            conn->state = SYSLOG_END;
            (void)conn_rounds(syslog, conn, CONN_LAST_ROUNDS);
        }
        conn_close(syslog, conn);
    }
}
