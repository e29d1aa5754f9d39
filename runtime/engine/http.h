/* http.h: a request to a back-end, as sinks see it: started on the slot's thread, answered there by done(), never inside the call
 * that started it. In production libcurl's multi handle on the worker's loop carries it out (worker_http.c), in tests a model.
 *
 * States: idle -> started (http() returned 0) -> done() called once -> idle again. A cancelled request is done() too, soon, with
 * SL_HTTP_CANCELLED. All memory that the request points to is the caller's and must live until done(), which may free it. A sink
 * that closes cancels what it has started and leaves it to done() to free: done() then comes after the sink is gone, and before the
 * process ends.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_ENGINE_HTTP_H
#define SL_RUNTIME_ENGINE_HTTP_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/buf.h"
#include "runtime/base/err.h"
#include "runtime/base/slice.h"

/* Why there is no answer. NONE: there is one, `status` says which. */
enum sl_http_failure {
    SL_HTTP_NONE,
    SL_HTTP_RESOLVE,   /* the host's name */
    SL_HTTP_CONNECT,   /* refused, unreachable, timed out before a connection stood */
    SL_HTTP_TLS,       /* certificate or handshake */
    SL_HTTP_TIMEOUT,   /* no whole answer in time */
    SL_HTTP_RESET,     /* the connection broke */
    SL_HTTP_TOO_LARGE, /* the answer exceeds answer_max_bytes */
    SL_HTTP_CANCELLED,
    SL_HTTP_OTHER
};

struct sl_http_request {
    const char *method; /* "POST", "GET", "PUT", "HEAD" */
    const char *url;    /* with scheme, host, port, path, query */
    const char *const *headers; /* "Name: value", without the end of line; headers_count of them */
    uint32_t headers_count;
    struct sl_slice body;        /* data NULL: none */
    const char *user, *password; /* basic authentication; NULL: none */
    const char *ca, *certificate, *key; /* PEM files; NULL: the system's CAs, no client certificate */
    bool insecure;               /* neither certificate nor name are checked */
    uint64_t connect_timeout_ns, timeout_ns; /* 0: none */
    uint64_t answer_max_bytes;
    void (*done)(struct sl_http_request *request); /* slot thread */
    void *user_data;

    /* the answer */
    int status;                   /* HTTP's, 0 without one */
    enum sl_http_failure failure;
    bool sent;                    /* some of the body may have reached the server: the outcome is unknown if failure is set */
    uint64_t retry_after_ns;      /* of a Retry-After in seconds or as a date; 0: none */
    uint64_t took_ns;
    struct sl_buf answer;         /* the body; emptied by the next start, freed by the caller */
    char why[256];                /* a sentence, when failure is set */

    void *driver; /* the driver's own, while started */
    struct sl_http_request *next;
};

#endif
