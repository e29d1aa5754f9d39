/* server.h: what sources that take POSTs have in common (http, otlp): settings, listening, TLS, the token, bodies within their memory,
 * decompression, and answers only when the spool has made the records durable.
 *
 * A request: refused by its head, or RECEIVING -> (kind's take(), which calls sl_http_append) WAITING: suspended while its batch is
 * written -> (server_done, sl_http_settle) ANSWERED: resumed -> the response is queued -> freed.
 * Threads: libmicrohttpd's own; the spool's answers come from its writer. `lock` guards the counts and what a kind keeps under it.
 * Limits: max_body a body, `memory` for all bodies together, `connections`.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_OPERATORS_SOURCES_HTTP_SERVER_H
#define SL_OPERATORS_SOURCES_HTTP_SERVER_H

#include "operators/sources/front.h"
#include "runtime/base/listener.h"
#include "runtime/base/slice.h"
#include "runtime/config/field.h"

struct MHD_Connection;
struct MHD_Daemon;
struct MHD_Response;

/* Member `server` of a kind's own settings; SL_HTTP_SETTINGS(struct's name, default of listen, default of path) are its rows. */
struct sl_http_settings {
    const char *listen, *path;
    uint64_t max_body, memory, connections, timeout, partitions;
    struct sl_secret token;
    struct sl_http_tls {
        const char *certificate, *key;
    } tls;
    bool healthz;
};

extern const struct sl_field sl_http_tls_fields[];

#define SL_HTTP_ROW(owner, member, kind, ...) {.name = #member, .type = kind, .offset = offsetof(struct owner, server.member), __VA_ARGS__}
#define SL_HTTP_SETTINGS(owner, listen_default, path_default)                                                                    \
    SL_HTTP_ROW(owner, listen, SL_F_STRING, .def = listen_default, .help = "HOST:PORT; an IPv6 host in brackets."),              \
    SL_HTTP_ROW(owner, path, SL_F_STRING, .def = path_default, .help = "Path that takes POSTs; others are answered 404."),       \
    SL_HTTP_ROW(owner, max_body, SL_F_BYTES, .def = "16MiB", .min = "1KiB", .max = "1GiB",                                       \
                .help = "Largest body, compressed and decompressed; larger ones are answered 413."),                            \
    SL_HTTP_ROW(owner, memory, SL_F_BYTES, .def = "64MiB", .min = "1KiB", .max = "64GiB",                                        \
                .help = "Memory of all bodies on their way; above it requests are answered 429."),                              \
    SL_HTTP_ROW(owner, connections, SL_F_U64, .def = "1000", .min = "1", .max = "100000", .help = "Open connections at most."),  \
    SL_HTTP_ROW(owner, timeout, SL_F_DURATION, .def = "60s", .min = "1s", .max = "1h",                                           \
                .help = "A connection that sends nothing for so long is closed."),                                              \
    SL_HTTP_ROW(owner, token, SL_F_SECRET, .help = "If set, requests need Authorization: Bearer TOKEN."),                        \
    SL_HTTP_ROW(owner, tls, SL_F_STRUCT, .sub = sl_http_tls_fields, .help = "Serve HTTPS with this certificate and key."),       \
    SL_HTTP_ROW(owner, healthz, SL_F_BOOL, .def = "true", .help = "Answer GET /healthz with 200."),                              \
    SL_HTTP_ROW(owner, partitions, SL_F_U64, .def = "4", .min = "1", .max = "1024",                                              \
                .help = "Partitions of the spool topic TOPOLOGY.SOURCE that the records go through.")

struct sl_http_server;

enum sl_http_phase { SL_HTTP_RECEIVING, SL_HTTP_WAITING, SL_HTTP_ANSWERED };

/* First member of a kind's requests, which begin zeroed. */
struct sl_http_post {
    struct sl_spool_wait wait; /* first: the spool's answer */
    struct sl_http_server *server;
    struct MHD_Connection *connection;
    enum sl_http_phase phase;
    bool counted;
    char *body;
    size_t bytes, capacity;
    unsigned status; /* 0: not known yet */
    char text[256];  /* why, where the status is not 200 */
};

struct sl_http_server_kind {
    size_t request_bytes; /* of the kind's own struct */
    /* Further refusals by the head alone (sl_http_set); may be NULL. */
    void (*first)(struct sl_http_post *request);
    /* The whole body, decompressed and borrowed. True: suspended, and the request may be gone. False: the answer is set. */
    bool (*take)(struct sl_http_post *request, struct sl_slice body);
    /* The answer, with its content type; NULL: no memory. */
    struct MHD_Response *(*response)(struct sl_http_post *request);
    /* The status is known, before the request is resumed; any thread. May be NULL. */
    void (*settled)(struct sl_http_post *request);
};

struct sl_http_server {
    struct sl_front front; /* first: api->shared is a struct sl_front */
    const struct sl_http_server_kind *kind;
    const struct sl_http_settings *settings;
    uint64_t max_record_bytes;
    struct MHD_Daemon *daemon;
    char *token, *certificate, *tls_key, *owner;
    char name[SL_LISTENER_NAME_BYTES]; /* of its socket (base/listener.h) */
    pthread_mutex_t lock;
    pthread_cond_t change;
    atomic_bool stopping; /* set under the lock: no request is suspended after it */
    uint32_t waiting;     /* suspended requests; the daemon must not stop while there is one */
    uint32_t answering;   /* requests whose body has come whole and whose answer has not left */
    uint32_t open;        /* all requests whose head has come and whose answer has not left */
    uint64_t body_bytes;  /* memory of all bodies */
    atomic_bool sick;     /* the last append failed on the disk: refusals are 503 until one succeeds */
};

int sl_http_check(const struct sl_http_settings *settings, struct sl_err *err);

/* Everything but listening, so that the kind can read back what it needs first. After a failure: sl_http_server_fini. */
int sl_http_server_init(struct sl_http_server *server, const struct sl_http_server_kind *kind, const struct sl_http_settings *settings,
                        const struct sl_api *api, struct sl_err *err);
int sl_http_server_start(struct sl_http_server *server, struct sl_err *err);
/* Stops taking, waits for the answers that are due, ends the daemon. Accepts one whose start failed. Where the socket is kept for a
 * successor (base/listener.h), requests that have begun are taken first, and new ones wait for it. */
void sl_http_server_stop(struct sl_http_server *server);
void sl_http_server_fini(struct sl_http_server *server);
/* The port that it listens on (listen: HOST:0 takes a free one). shared: api->shared of such a source. */
uint16_t sl_http_port(const void *shared);

/* The answer; quotes and control characters of the text become apostrophes. */
void sl_http_set(struct sl_http_post *request, unsigned status, const char *text);
/* By what the body's reader said: 400, 413 or 503. */
void sl_http_refuse(struct sl_http_post *request, const struct sl_err *err);
const char *sl_http_header(const struct sl_http_post *request, const char *name);
/* Under the lock. False: stopping, the answer is set. */
bool sl_http_suspend(struct sl_http_post *request);
/* The request may be gone on return, the server is not. */
void sl_http_resume(struct sl_http_post *request);
/* Suspends first: the answer may come before append returns. True: suspended, and no more to be touched. The records are copied. */
bool sl_http_append(struct sl_http_post *request, uint32_t partition, const struct sl_spool_record *records, uint32_t count);

#endif
