/* http_server.h: a small HTTP/1.1 server on the loopback with scripted answers, for tests of clients: it answers, resets, hangs or
 * breaks off, with or without TLS.
 *
 * Threads: one accepts, one serves each connection; a test scripts and looks at what came under the server's own lock.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_TESTS_SUPPORT_HTTP_SERVER_H
#define SL_TESTS_SUPPORT_HTTP_SERVER_H

#include <stdbool.h>
#include <stdint.h>

enum http_reply_kind {
    HTTP_REPLY_ANSWER,
    HTTP_REPLY_RESET,       /* RST once the head is read, without the body */
    HTTP_REPLY_CLOSE,       /* closed after the whole request, no answer */
    HTTP_REPLY_BREAK,       /* half of the answer's body, then closed */
    HTTP_REPLY_HANG         /* nothing, until the client goes away */
};

struct http_reply {
    enum http_reply_kind kind;
    int status;
    const char *headers; /* further ones, each with its end of line; NULL: none */
    const char *body;    /* NULL: empty */
};

struct http_server;

/* One reply for each request in the order of their arrival; all later ones get 200 and "ok". */
struct http_server *http_server_start(const struct http_reply *script, uint32_t count);
/* certificate and key: PEM files. */
struct http_server *http_server_start_tls(const struct http_reply *script, uint32_t count, const char *certificate, const char *key);
uint16_t http_server_port(const struct http_server *server);
uint32_t http_server_requests(struct http_server *server);
uint32_t http_server_connections(struct http_server *server);
/* The last request's head and body; valid until the next request. */
const char *http_server_head(struct http_server *server);
const char *http_server_body(struct http_server *server, uint32_t *ret_bytes);
/* Until so many requests have come. */
void http_server_wait(struct http_server *server, uint32_t requests);
struct http_server *http_server_stop(struct http_server *server);

/* A self-signed certificate for `host` and its key, as PEM files. */
void http_server_certificate(const char *host, const char *certificate, const char *key);

#endif
