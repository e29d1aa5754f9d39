/* taker.h: the process that takes over: says that it is ready, waits for everything, says that it runs.
 *
 *   sl_taker_open -> (load, look, warm up) -> sl_taker_ready -> (open the host) -> sl_taker_running
 *                          \-> sl_taker_refuse                       \-> sl_taker_failed         in each case this process ends then
 *
 * Threads: one.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_UPGRADE_TAKER_H
#define SL_RUNTIME_UPGRADE_TAKER_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/err.h"

struct sl_taker;

/* *ret_taker NULL: nobody hands anything over, this is an ordinary start. Says hello, and hears what the old process has to say first; the
 * variable is gone from the environment then. */
int sl_taker_open(struct sl_taker **ret_taker, struct sl_err *err);
void sl_taker_refuse(struct sl_taker *taker, const char *why);
/* Says so and waits for `go`. Then listening sockets are inherited and kept (base/listener.h), the data folder's lock is adopted
 * (store/data_dir.h), both until sl_taker_free. SL_E_STOPPED: the old process has called it off or is gone; nothing is ours. */
int sl_taker_ready(struct sl_taker *taker, struct sl_err *err);
/* How many consumers the topology had; 0: not told. */
uint32_t sl_taker_slots(const struct sl_taker *taker, const char *topology);
uint64_t sl_taker_last_taken_ns(const struct sl_taker *taker); /* by the old one; 0: nothing */
/* When everything was ours, on the monotonic clock. */
uint64_t sl_taker_go_ns(const struct sl_taker *taker);
void sl_taker_failed(struct sl_taker *taker, const char *why);
int sl_taker_running(struct sl_taker *taker, uint64_t first_taken_ns, struct sl_err *err);
/* Ends keeping and adopting: sockets that nobody took are closed. */
struct sl_taker *sl_taker_free(struct sl_taker *taker);

#endif
