/* control.h: the control server: HTTP/1.1 and JSON on a Unix socket and, if asked for, on TCP behind a bearer token.
 *
 * Threads: one a listening place and one a connection, made here; questions come from them one at a time (a lock inside), commands and
 * streams any number at a time: what a command waits for keeps no probe and no other command waiting. A source must hand over to the
 * engine's threads by itself. Close returns after the last of them.
 * Routes: GET / (a page that shows the status), /status (JSON), /metrics (Prometheus text), /healthz, /readyz; POST /command/NAME; GET /tap/TOPOLOGY/STAGE[/RATE]
 * and GET /watch/TOPOLOGY: streams of lines, an empty one each second in which nothing came.
 * Whatever fails is JSON: {"error": "…"} with 400, 401, 403, 404, 405, 413, 500 or 503.
 * Limits: bodies 1 MiB, 64 connections a place, 30 s of silence a connection.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_CONTROL_CONTROL_H
#define SL_RUNTIME_CONTROL_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/base/buf.h"
#include "runtime/base/err.h"

struct sl_control;

/* Who asks: over the socket what the kernel knows of the process at the other end, over TCP where it comes from. */
struct sl_control_who {
    char text[64]; /* the user's name, else "uid NUMBER"; or "token ADDRESS" */
    bool local;    /* the rest holds */
    uint32_t uid, gid;
    int32_t pid;
};

/* An answer without an end: lines as they come. Made by the source, closed by the server. */
struct sl_control_stream {
    /* Up to `bytes` bytes: their count; 0: nothing came in a tenth of a second; < 0: it is over. One thread, without the lock. */
    int64_t (*read)(struct sl_control_stream *stream, char *to, size_t bytes);
    void (*close)(struct sl_control_stream *stream);
};

/* What the server asks of the process. NULL slots: not offered (404). */
struct sl_control_source {
    void *user;
    int (*status)(void *user, struct sl_buf *json);  /* 0, or non-zero: not to be had now (503) */
    int (*metrics)(void *user, struct sl_buf *text); /* likewise */
    int (*healthy)(void *user, char *why, size_t bytes); /* 1 yes; 0 no, and why (503) */
    int (*ready)(void *user, char *why, size_t bytes);   /* likewise */
    /* path: what stands behind /command/; body: NUL-terminated, "" without one. 0: json is the answer; 1: no such command (404);
     * < 0: it failed, json says how (500, or a default text where json is empty). */
    int (*command)(void *user, const struct sl_control_who *who, const char *path, const char *body, struct sl_buf *json);
    /* path: what stands behind /tap/. 0, or < 0: refused, json says why (403). */
    int (*tap)(void *user, const char *path, struct sl_control_stream **ret_stream, struct sl_buf *json);
    /* path: what stands behind /watch/: a topology, or "" where one runs. 0, or < 0: there is none, json says why (404). */
    int (*watch)(void *user, const char *path, struct sl_control_stream **ret_stream, struct sl_buf *json);
};

struct sl_control_settings {
    const char *socket; /* path, or NULL: none */
    const char *listen; /* HOST:PORT, or NULL: none */
    const char *token;  /* bearer token of listen; required with it, at least 16 bytes */
};

int sl_control_open(const struct sl_control_settings *settings, const struct sl_control_source *source,
                    struct sl_control **ret_control, struct sl_err *err);
struct sl_control *sl_control_close(struct sl_control *control);
/* Takes no new connections: they wait until whoever has the sockets next (base/listener.h) answers, here after resume or another
 * process. Those that are open go on, but streams are closed now, except those whose read is `spare`. */
void sl_control_quiesce(struct sl_control *control,
                        int64_t (*spare)(struct sl_control_stream *stream, char *to, size_t bytes));
int sl_control_resume(struct sl_control *control, struct sl_err *err);
uint16_t sl_control_port(const struct sl_control *control); /* of listen; 0: none */

#endif
