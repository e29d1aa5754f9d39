/* reach.h: does a sink's back-end answer, and does it let us in? What `check --connect` asks of every sink, and a deployment of those
 * that say require: reachable.
 *
 * Threads: any; blocks until the answer is there or the request's own time is over.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_ENGINE_REACH_H
#define SL_RUNTIME_ENGINE_REACH_H

#include "runtime/config/topology.h"

enum sl_reach {
    SL_REACH_NONE,    /* the sink has no such host, or nothing that could be asked */
    SL_REACH_FINE,    /* it answers and lets us in */
    SL_REACH_UNASKED, /* err: the request could not be made: a secret */
    SL_REACH_SILENT,  /* err: no answer, or one that does not let us in */
};

/* Of the sink's back-end number `host`, from 0. */
enum sl_reach sl_reach_host(const struct sl_component *sink, uint32_t host, struct sl_err *err);
/* Of each sink with require: reachable at least one host is fine; else err names the sink, why, and what would be right. */
int sl_reach_required(const struct sl_topology *topology, struct sl_err *err);

#endif
