/* worker_http.h: http.h for production: libcurl's multi handle on a worker's libuv loop. Names are resolved on libcurl's own
 * threads; connections are kept alive and shared by all slots of the worker; redirects are never followed.
 *
 * Threads: all calls belong to the loop's thread (before it starts and after it has ended: to the one that made the worker).
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_ENGINE_WORKER_HTTP_H
#define SL_RUNTIME_ENGINE_WORKER_HTTP_H

#include <uv.h>

#include "runtime/engine/http.h"

struct sl_worker_http;

/* finished(owner, request): the answer is in, or there will be none. Called from the loop or inside a cancel; whoever listens keeps
 * the request for later and calls request->done() in the owner's turn. */
struct sl_worker_http *sl_worker_http_new(uv_loop_t *loop, void (*finished)(void *owner, struct sl_http_request *request),
                                          struct sl_err *err);
int sl_worker_http_start(struct sl_worker_http *http, void *owner, struct sl_http_request *request, struct sl_err *err);
/* Does nothing when the request has finished already: its done() is on the way. */
void sl_worker_http_cancel(struct sl_worker_http *http, struct sl_http_request *request);
/* One request, waited for, on a loop of its own: for commands. done() is the caller's to call. Non-zero: it was not even started. */
int sl_worker_http_once(struct sl_http_request *request, struct sl_err *err);
/* Nothing may be started any more; what runs is cancelled. The memory goes with the last of its handles, so the loop must run on
 * until it has none. Returns NULL. */
struct sl_worker_http *sl_worker_http_close(struct sl_worker_http *http);

#endif
