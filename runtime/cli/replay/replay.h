/* replay.h: sends dead letters again (DELIVERY rule J3): reads them from their files, keeps the spool topic of the replays filled
 * with each once, and has the host read it. Inside the running process by POST /command/replay, or in a process of its own.
 *
 * Order: index read from the topic -> letters that are not in it appended, durable -> index saved -> the host reads. A crash
 * between any two steps neither loses nor doubles one: what is in the topic is what was sent.
 * Threads: one at a time a process (the control server's lock, or main's).
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_CLI_REPLAY_REPLAY_H
#define SL_RUNTIME_CLI_REPLAY_REPLAY_H

#include "runtime/base/buf.h"
#include "runtime/engine/host.h"

struct sl_replay_filter {
    const char *stage;     /* that set it aside; NULL: any */
    const char *reason;    /* part of its reason; NULL: any */
    int64_t since_unix_ms; /* records appended at or after; 0: any */
};

struct sl_replay_result {
    uint64_t sent, seen_before, filtered, withheld, strange, without_way;
    char why[400]; /* of the first without a way */
};

int sl_replay_send(struct sl_host *host, const struct sl_topology *topology, const struct sl_replay_filter *filter,
                   struct sl_replay_result *ret_result, struct sl_err *err);
/* In words, a sentence. */
void sl_replay_say(const struct sl_topology *topology, const struct sl_replay_result *result, struct sl_buf *text);

#endif
