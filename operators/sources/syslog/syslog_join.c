/* syslog_join.c: lines of one connection that belong together, such as a stack trace behind the message that it explains, become one
 * record with line ends between them (multiline.h says which). Datagrams are whole messages and are not joined.
 *
 * The open record is complete when a line begins another, after multiline.timeout without a line, and at the connection's end.
 * Limits: max_record a record; its memory is charged to the source's `memory`: what gets none is not joined.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "operators/sources/syslog/syslog_inner.h"

enum { JOIN_BLOCK = 4 << 10 };

void syslog_join_free(struct syslog_front *syslog, struct syslog_conn *conn)
{
    syslog->memory_bytes -= conn->open.capacity;
    free(conn->open.data);
    conn->open.data = NULL;
    conn->open.bytes = conn->open.capacity = 0;
    sl_multiline_reset(&conn->open.state);
}

static bool join_room(struct syslog_front *syslog, struct syslog_conn *conn, size_t bytes)
{
    size_t capacity = conn->open.capacity == 0 ? JOIN_BLOCK : conn->open.capacity;
    char *data;

    while (capacity < bytes)
        capacity *= 2;
    if (capacity == conn->open.capacity)
        return true;
    if (syslog->memory_bytes + capacity - conn->open.capacity > syslog->config->memory ||
        (data = realloc(conn->open.data, capacity)) == NULL)
        return false;
    syslog->memory_bytes += capacity - conn->open.capacity;
    conn->open.data = data;
    conn->open.capacity = capacity;
    return true;
}

static void join_append(struct syslog_front *syslog, struct syslog_conn *conn, struct sl_slice message)
{
    if (conn->open.bytes > 0)
        conn->open.data[conn->open.bytes++] = '\n';
    memcpy(conn->open.data + conn->open.bytes, message.data, message.bytes);
    conn->open.bytes += message.bytes;
    conn->open.heard_ns = syslog->now_ns;
}

void syslog_join_end(struct syslog_front *syslog, struct syslog_conn *conn)
{
    if (conn->open.bytes > 0)
        syslog_take(syslog, SYSLOG_STREAMS, &conn->peer, (struct sl_slice){conn->open.data, (uint32_t)conn->open.bytes});
    syslog_join_free(syslog, conn);
}

void syslog_join(struct syslog_front *syslog, struct syslog_conn *conn, struct sl_slice message)
{
    struct sl_multiline_state state = conn->open.state;
    size_t joined = conn->open.bytes + 1 + message.bytes;

    if (syslog->multiline == NULL) {
        syslog_take(syslog, SYSLOG_STREAMS, &conn->peer, message);
        return;
    }
    if (sl_multiline_joins(syslog->multiline, &state, message) && joined <= syslog->max_record_bytes && join_room(syslog, conn, joined)) {
        conn->open.state = state;
        join_append(syslog, conn, message);
        return;
    }
    syslog_join_end(syslog, conn);
    if (!join_room(syslog, conn, message.bytes)) {
        syslog_take(syslog, SYSLOG_STREAMS, &conn->peer, message);
        return;
    }
    sl_multiline_begin(syslog->multiline, &conn->open.state, message);
    join_append(syslog, conn, message);
}
