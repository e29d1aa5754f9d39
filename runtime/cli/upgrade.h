/* upgrade.h: `sluice upgrade` inside the process that runs: the old one's side, which gives everything to a new process, and the new
 * one's, which takes it (runtime/upgrade/giver.h draws the states, wire.h has the words between the two).
 *
 * The command starts it and returns; the rest is watched: GET /watch/~upgrade is a stream of NDJSON lines {"unix_ms", "state", "text"}, the
 * last with "end": "upgraded" or "failed", and "report" (ms): gap from the last record taken by the old to the first one taken by the
 * new process, of that `drain` to finish and commit, and `handover`, the rest of it. The new process answers it as well.
 * Threads: the command and the streams come from the control server's; everything else is main's, on its loop.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_CLI_UPGRADE_H
#define SL_RUNTIME_CLI_UPGRADE_H

#include <stdbool.h>
#include <uv.h>

#include "runtime/base/buf.h"
#include "runtime/control/control.h"

struct sl_host;
struct sl_klog;
struct sl_process_config;
struct sl_taker;
struct sl_topology;

#define SL_UPGRADE_WATCH "~upgrade" /* no topology can be called that */

struct sl_upgrade;

struct sl_upgrade_hooks { /* main's thread */
    void *user;
    const char *data_dir;
    struct sl_host *(*host)(void *user);
    /* NULL, or why this process cannot be upgraded now. */
    const char *(*refuses)(void *user);
    /* Nothing of this process reads, writes or answers any more, but for streams whose read is sl_upgrade_read. */
    void (*close)(void *user);
    int (*reopen)(void *user, struct sl_err *err);
    void (*say)(void *user, const char *text); /* into the process's log */
    /* handed: end this process. Else it goes on; lost: it cannot, end it with an error. */
    void (*ended)(void *user, bool handed, bool lost);
};

struct sl_upgrade *sl_upgrade_new(uv_loop_t *loop, const struct sl_upgrade_hooks *hooks, struct sl_err *err);
/* From the start of an upgrade to its end. Any thread. */
bool sl_upgrade_under_way(struct sl_upgrade *upgrade);
/* Reading was stopped for it: that the host is idle is no reason to end. */
bool sl_upgrade_drains(const struct sl_upgrade *upgrade);
/* As sl_giver_stop. */
bool sl_upgrade_stop(struct sl_upgrade *upgrade);
/* After the loop's handles were closed. Waits up to two seconds for streams to send their last line. */
void sl_upgrade_finish(struct sl_upgrade *upgrade);
struct sl_upgrade *sl_upgrade_free(struct sl_upgrade *upgrade);

/* As sl_control_source.command and .watch. body: {"binary": PATH}; without it the file that this process was started with. */
int sl_upgrade_command(struct sl_upgrade *upgrade, const char *body, struct sl_buf *json);
int sl_upgrade_watch(struct sl_upgrade *upgrade, struct sl_control_stream **ret_stream, struct sl_buf *json);
int64_t sl_upgrade_read(struct sl_control_stream *stream, char *to, size_t bytes);

/* ---- the new process ---- */
struct sl_upgrade_warm {
    const struct sl_process_config *process;
    struct sl_topology *const *topologies; /* `consumers` is filled in where it was left open */
    uint32_t count;
    struct sl_klog *klog;
};
/* Looks at the stores, warms up, says ready, waits until everything is ours. Where that fails, it has told the old one why. */
int sl_upgrade_take(struct sl_taker *taker, const struct sl_upgrade_warm *warm, struct sl_err *err);
/* Asked a few times a second once the host was started: 1: its first batch is done, or nothing came and it is ready; 0: not yet;
 * <0: it failed. *inout_there_ns: 0 at first; since when all topologies have their partitions. */
int sl_upgrade_runs(struct sl_host *host, uint64_t *inout_there_ns, struct sl_err *err);
/* Says so to the old process; the taker ends. upgrade: to answer who watches. */
void sl_upgrade_taken(struct sl_upgrade *upgrade, struct sl_taker *taker);

#endif
