/* client.h: one HTTP/1.1 request over a Unix socket: how a command asks the running server.
 *
 * Blocking; one connection a request ("Connection: close"). Limits: SL_CLIENT_BODY_MAX a reply, 30 s without a byte, 15 min for what a POST asks for.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_CLI_CLIENT_H
#define SL_RUNTIME_CLI_CLIENT_H

#include <stdbool.h>
#include <stddef.h>

#include "runtime/base/err.h"

enum { SL_CLIENT_BODY_MAX = 64 << 20 };

struct sl_client_reply {
    int status;
    char *body; /* malloc'd, NUL-terminated beyond bytes; sl_client_reply_fini */
    size_t bytes;
};

/* method GET or POST; body NULL: none (else JSON). err->code is SL_E_STOPPED where nobody listens at socket_path. An answer of
 * any status is a success here. */
int sl_client_request(const char *socket_path, const char *method, const char *target, const char *body,
                      struct sl_client_reply *ret_reply, struct sl_err *err);
/* A GET whose answer is lines without an end: each(user, line) for every one, without its end (empty ones break
 * silence), until it returns false or the server ends. 0; or <0: err; or > 0: the status of an answer that is no stream, *ret_reply has it. */
int sl_client_lines(const char *socket_path, const char *target, bool (*each)(void *user, const char *line, size_t bytes), void *user,
                    struct sl_client_reply *ret_reply, struct sl_err *err);
void sl_client_reply_fini(struct sl_client_reply *reply);

/* Reads a reply out of the bytes received so far; ended: the peer has closed. 1 whole, 0 more is needed, <0 err. */
int sl_client_parse(const char *data, size_t bytes, bool ended, struct sl_client_reply *ret_reply, struct sl_err *err);

#endif
