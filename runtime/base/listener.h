/* listener.h: the sockets that this process listens on, by name: whoever asks for one that is held already gets a duplicate of it.
 *
 * So a source with changed settings can open beside the one it takes the place of, and a socket outlives the instance that reads it,
 * and even the process: `sluice upgrade` passes it on, and connections that come meanwhile wait in its backlog instead of being refused.
 *
 *   (nothing) --get--> held by 1 .. n --last put--> closed, or while keeping: held by nobody --get--> held again
 *   (nothing) --inherit--> held by nobody                                    --keep(false) with nobody--> closed
 *
 * Invariants: 1. a name has one socket. 2. All who hold it at a time give the same owner.
 * Ownership: the table has its own descriptor of each; a holder closes the one that it got.
 * Threads: any.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_BASE_LISTENER_H
#define SL_RUNTIME_BASE_LISTENER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/base/err.h"

struct sockaddr;

enum { SL_LISTENER_NAME_BYTES = 160, SL_LISTENERS_MAX = 1024 };

/* "tcp HOST:PORT" or "udp HOST:PORT" of a resolved address, in numbers. Empty for port 0: such a socket has no name to be found by, and
 * is not kept here. text: SL_LISTENER_NAME_BYTES; returned. */
const char *sl_listener_name(const char *transport, const struct sockaddr *address, char *text);

/* open makes a bound socket that listens, close-on-exec (0 or -code). name "": always a new socket. Refuses a name that another owner
 * holds, as the kernel would. *ret_fd is the caller's to close. */
int sl_listener_get(const char *name, const char *owner, int (*open)(void *user, int *ret_fd, struct sl_err *err), void *user,
                    int *ret_fd, struct sl_err *err);
/* A holder is gone (it closes its descriptor by itself, before or after). The last one's going refuses connections at once, but while
 * keeping. */
void sl_listener_put(const char *name, int fd);

/* While keeping, sockets stay open with nobody there; afterwards those are closed. Who answers on a connection should ask for its end
 * meanwhile, since this process may stop reading it. */
void sl_listener_keep(bool keep);
bool sl_listener_keeping(void);

/* ---- from process to process ---- */
/* Each socket with its name; until each() returns other than 0, which is returned. It must not call back. */
int sl_listener_each(int (*each)(void *user, const char *name, int fd), void *user);
/* Takes fd: whoever asks for that name gets it. -code where the name is taken or unfit; fd is closed then. */
int sl_listener_inherit(const char *name, int fd, struct sl_err *err);

#endif
