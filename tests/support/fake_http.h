/* fake_http.h: http.h in virtual time: requests are kept until their answer is due, which a function of the test makes. Header only.
 *
 * Invariants, asserted: a request is started once at a time and answered once; done() is never called inside start or cancel.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_TESTS_SUPPORT_FAKE_HTTP_H
#define SL_TESTS_SUPPORT_FAKE_HTTP_H

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/engine/http.h"

struct fake_http {
    struct sl_http_request *first, **last; /* by start; cancelled ones too */
    uint32_t flying, started, most;        /* most: that flew at once */
    uint64_t delay_ns;
    /* Sets status, failure, answer … of a request whose time has come. NULL: 200 and {"errors":false}. */
    void (*answer)(void *user, struct sl_http_request *request);
    void *user;
};

struct fake_http_flight { /* request->driver */
    uint64_t due_ns;
};

static inline void fake_http_init(struct fake_http *http)
{
    *http = (struct fake_http){.last = NULL};
}

static inline void fake_http_start(struct fake_http *http, struct sl_http_request *request, uint64_t now_ns)
{
    struct fake_http_flight *flight = malloc(sizeof(*flight));

    assert(flight != NULL && request->driver == NULL && request->done != NULL && request->url != NULL);
    if (http->first == NULL)
        http->last = &http->first;
    flight->due_ns = now_ns + http->delay_ns;
    sl_buf_reset(&request->answer);
    request->status = 0;
    request->failure = SL_HTTP_NONE;
    request->retry_after_ns = request->took_ns = 0;
    request->why[0] = '\0';
    request->sent = false;
    request->driver = flight;
    request->next = NULL;
    *http->last = request;
    http->last = &request->next;
    http->started++;
    if (++http->flying > http->most)
        http->most = http->flying;
}

static inline void fake_http_cancel(struct sl_http_request *request)
{
    if (request->driver == NULL)
        return;
    request->failure = SL_HTTP_CANCELLED;
    ((struct fake_http_flight *)request->driver)->due_ns = 0;
}

static inline void fake_http_fail(struct sl_http_request *request, enum sl_http_failure failure, const char *why)
{
    request->failure = failure;
    request->sent = failure != SL_HTTP_CONNECT;
    (void)snprintf(request->why, sizeof(request->why), "%s", why);
}

static inline void fake_http_reply(struct sl_http_request *request, int status, const char *text)
{
    request->status = status;
    sl_buf_text(&request->answer, text);
}

static inline void fake_http_finish(struct fake_http *http, struct sl_http_request *request)
{
    if (request->failure != SL_HTTP_CANCELLED) {
        if (http->answer != NULL)
            http->answer(http->user, request);
        else
            fake_http_reply(request, 200, "{\"errors\":false}");
        assert((request->failure == SL_HTTP_NONE) == (request->status != 0));
        request->took_ns = http->delay_ns;
    }
    free(request->driver);
    request->driver = NULL;
    http->flying--;
    request->done(request); /* may free it */
}

/* Answers everything that is due, in the order of the starts. */
static inline void fake_http_turn(struct fake_http *http, uint64_t now_ns)
{
    struct sl_http_request *due = NULL, **due_last = &due, **at = &http->first;

    while (*at != NULL) {
        struct sl_http_request *request = *at;
        if (((struct fake_http_flight *)request->driver)->due_ns > now_ns) {
            at = &request->next;
            continue;
        }
        *at = request->next;
        request->next = NULL;
        *due_last = request;
        due_last = &request->next;
    }
    http->last = at;
    while (due != NULL) {
        struct sl_http_request *request = due;
        due = request->next;
        fake_http_finish(http, request);
    }
}

#endif
