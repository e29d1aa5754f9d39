/* wire.h: how the process that hands over and the one that takes over talk: one text a message, with at most one descriptor.
 *
 * The new process finds its end of a socket pair by SL_WIRE_VARIABLE. Words before the first blank say what it is:
 *
 *   new:  hello PROTOCOL VERSION   the first; with the kernel's word for who sends it
 *   old:  slots COUNT TOPOLOGY     how many consumers it has: as many member ids are known to the group; any number of them
 *   old:  begin                    what was told before is all
 *   new:  refused WHY              it cannot take over; it ends
 *   new:  ready                    all is open that needs neither the data folder nor the group
 *   old:  listener NAME            with the socket (base/listener.h); any number of them
 *   old:  lock                     with the data folder's lock (store/data_dir.h)
 *   old:  go LAST_TAKEN_NS         all is closed and committed: yours. Until this has come the new one owns nothing, and where the old one
 *                                  goes away before it, the new one ends
 *   new:  failed WHY               it cannot go on after all; it ends
 *   new:  running FIRST_TAKEN_NS   its first batch is done (or nothing came, and it is ready for some: 0). The old one ends
 *
 * Instants are of the monotonic clock, which processes of one host share; 0: no record was taken.
 * Protocol: raised when a word changes its meaning; words that are not known are passed over.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_UPGRADE_WIRE_H
#define SL_RUNTIME_UPGRADE_WIRE_H

#include <stdint.h>
#include <sys/types.h>

#include "runtime/base/err.h"

enum { SL_WIRE_BYTES = 2048, SL_WIRE_PROTOCOL = 1 };
#define SL_WIRE_VARIABLE "SLUICE_UPGRADE_FD"

struct sl_wire_message {
    char text[SL_WIRE_BYTES];
    int fd;    /* -1: none; the receiver's */
    pid_t pid; /* the sender's, where this end asked for it; else 0 */
};

/* ret_fds[0] is told who sends. Both close-on-exec. */
int sl_wire_pair(int ret_fds[2], struct sl_err *err);
/* fd -1: none. A text that is too long is cut. SL_E_STOPPED: the other end is closed. */
int sl_wire_send(int wire, int fd, struct sl_err *err, const char *format, ...) __attribute__((format(printf, 4, 5)));
/* 1 a message; 0 none came within wait_ms (-1: for ever); <0: SL_E_STOPPED where the other end is closed. */
int sl_wire_receive(int wire, int wait_ms, struct sl_wire_message *ret_message, struct sl_err *err);
/* What stands behind `word` and a blank, if the message begins with it; "" where nothing does; else NULL. */
const char *sl_wire_is(const struct sl_wire_message *message, const char *word);

#endif
