/* listen.h: the two places at which the control server listens: a Unix socket of ours, and a TCP address.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_CONTROL_LISTEN_H
#define SL_RUNTIME_CONTROL_LISTEN_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/err.h"

struct sl_control_who; /* control.h */
struct sockaddr;

/* A bound, listening Unix socket with mode 0660, close-on-exec. A socket file that nobody listens on is removed first; a
 * live one, or a file that is no socket, is refused. ret_device and ret_inode name the file made (sl_unlisten_unix). */
int sl_listen_unix(const char *path, int *ret_fd, uint64_t *ret_device, uint64_t *ret_inode, struct sl_err *err);
/* Removes the socket file if it is still the one made. */
void sl_unlisten_unix(const char *path, uint64_t device, uint64_t inode);
/* HOST:PORT, [IPV6]:PORT; port 0 lets the kernel choose: ret_port tells. */
int sl_listen_tcp(const char *address, int *ret_fd, uint16_t *ret_port, struct sl_err *err);
/* May the process at the other end of a Unix connection give orders here? Root, our user, or our group. */
bool sl_listen_peer_allowed(int fd);
/* Who is at the other end of a Unix connection: as it was when it connected. False: the kernel does not say. */
bool sl_listen_peer(int fd, struct sl_control_who *ret_who);
/* Who holds the token: "token ADDRESS"; address NULL: not known. */
void sl_listen_from(const struct sockaddr *address, struct sl_control_who *ret_who);

#endif
