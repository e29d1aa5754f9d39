/* notify.h: what the service manager is told: a datagram to NOTIFY_SOCKET (sd_notify(3)), without its library.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_UPGRADE_NOTIFY_H
#define SL_RUNTIME_UPGRADE_NOTIFY_H

#include <stdbool.h>
#include <sys/types.h>

/* Lines such as "READY=1"; nothing without NOTIFY_SOCKET. True: sent. */
bool sl_notify(const char *text);
/* The process that the manager watches is this one from now on. */
bool sl_notify_main(pid_t pid);
/* May this process end and another go on in its place? NULL, or what would end with it: the container that it is the first process of,
 * or a systemd unit that is not told of its main process. */
const char *sl_notify_refuses(void);

#endif
