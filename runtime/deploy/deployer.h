/* deployer.h: owns the life of every topology's generations in a running process: takes the commands, walks the plans, writes down
 * each step, tells those who watch.
 *
 *            deploy                 shadow             canary, promote --share          promote
 *   (none) --------> checked, warm -------> shadow ------------------------> canary ---------> live -> previous -> retired
 *                        |                     |                                |                        |
 *                        +---------------------+----- rollback, the judge ------+-> failed               +-- rollback: live again
 *
 * One deployment of a topology at a time; a second is refused with the first one's state and how to go on.
 *
 * Order of a step and its row (store/generations.h). What was answered must hold after a kill, and a kill in between must leave one
 * live generation. Records are safe either way: marks belong to sinks' names, so whichever generation starts goes on from them.
 *  - Forward (shadow, canary, live): the row first, then the engine. A disk that refuses the row stops the step with nothing changed,
 *    whereas a swap that cannot be written down would have to be undone. Killed in between, the next start has the new generation,
 *    which was asked for and proved, and of which nobody was told that it is not live. Where a slot refuses the swap, the row of the old
 *    one is made live again before the refusal is answered.
 *  - Out (rollback of a candidate, FAIL of the judge): the engine first, then the row. A full disk must not keep a bad version in,
 *    and a start makes a candidate failed by itself.
 *  - Rollback of a live one is a promote of the previous one, so: row first.
 *
 * Commands write their answer, a JSON object, into `json`: {"said": "…", "topology": …, "generation": N, "state": "…"} and 0, or
 * {"error": "…", …} and a code below 0. topology NULL or "": the only one that runs.
 * Threads: any but a slot's; calls wait for the engine (2 s at worst, but for what deploy and rollback open), those about one topology
 * for each other, so no lock around them is needed. Each candidate that takes records has a thread that watches it and walks its plan.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_DEPLOY_DEPLOYER_H
#define SL_RUNTIME_DEPLOY_DEPLOYER_H

#include "runtime/base/buf.h"
#include "runtime/deploy/engine.h"
#include "runtime/deploy/load.h"
#include "runtime/deploy/start.h"
#include "runtime/deploy/who.h"

struct sl_deployer;

struct sl_deploy_clock { /* NULL slots: the real one */
    uint64_t (*now_ns)(void *user);
    int64_t (*unix_ms)(void *user);
    void *user;
};

struct sl_deployer_settings {
    struct sl_host *host;
    const struct sl_deploy_engine *engine; /* sl_deploy_engine() */
    struct sl_deploy_load load;
    struct sl_fs *fs;
    const char *data_dir;
    struct sl_deploy_clock clock;
    bool by_hand; /* no threads: sl_deployer_turn walks the plans (tests, the simulator) */
    /* A line that belongs into the process's log: a step of a plan, a verdict, what could not be written down. Any thread. */
    void (*log)(void *user, const char *topology, const char *line);
    void *user;
};

/* After the host was opened with start's topologies, before it is started: tells the engine the generations' numbers and writes down
 * those that live from this start on. start: emptied (its generations are taken over), also on failure. */
int sl_deployer_open(const struct sl_deployer_settings *settings, struct sl_start *start, struct sl_deployer **ret_deployer,
                     struct sl_err *err);
/* Before the host is closed. Candidates are discarded; their rows become failed, as a start would make them. */
struct sl_deployer *sl_deployer_close(struct sl_deployer *deployer);
/* From now on no command changes anything: `why` (static) says until when, such as "the binary is being upgraded". Refused while there is a
 * candidate, with its state and how to go on. let: they may again. */
int sl_deployer_hold(struct sl_deployer *deployer, const char *why, struct sl_err *err);
void sl_deployer_let(struct sl_deployer *deployer);
/* by_hand: what is due at this time of the clock. Returns ns until it wants the next call, UINT64_MAX: not before a command. */
uint64_t sl_deployer_turn(struct sl_deployer *deployer);

/* ---- commands ---- */

struct sl_deploy_request {
    const char *file; /* the topology's, absolute; a folder's topology.yaml may be left out */
    const char *const *sets; /* PATH=VALUE */
    uint32_t sets_count;
    const char *plan; /* NULL: to warm; "now", "canary", or a plan's file, absolute */
};
int sl_deployer_deploy(struct sl_deployer *deployer, const struct sl_deploy_request *request, const struct sl_who *who,
                       struct sl_buf *json);
/* share 0 or 1: live; else canary. A plan ends here: its further steps are by hand. */
int sl_deployer_promote(struct sl_deployer *deployer, const char *topology, double share, enum sl_split_by by, const struct sl_who *who,
                        struct sl_buf *json);
/* Of the candidate; without one, back to the previous generation. */
int sl_deployer_rollback(struct sl_deployer *deployer, const char *topology, const struct sl_who *who, struct sl_buf *json);
/* The candidate gets the same batches, with its sinks closed; off: warm again. */
int sl_deployer_shadow(struct sl_deployer *deployer, const char *topology, bool on, const struct sl_who *who, struct sl_buf *json);
/* What the shadow found different, with examples. */
int sl_deployer_shadow_diff(struct sl_deployer *deployer, const char *topology, struct sl_buf *json);
int sl_deployer_pause(struct sl_deployer *deployer, const char *topology, bool paused, const struct sl_who *who, struct sl_buf *json);
int sl_deployer_drain(struct sl_deployer *deployer, const char *topology, const struct sl_who *who, struct sl_buf *json);

/* {"topology": …, "generations": [{"generation", "state", "digest", "who", "deployed_unix_ms", "live_unix_ms", "ended_unix_ms", "share",
 * "crashes", "reason", "verdict", "before": {"records_per_s", "dead_per_s", "errors_per_s"}, "after": {the same}}]}, newest first. */
int sl_deployer_history(struct sl_deployer *deployer, const char *topology, struct sl_buf *json);
/* All topologies where NULL: {"deployments": [{"topology", "live": N, "paused", "live_unix_ms", "live_who", "live_digest", "generation",
 * "state", "share", "who", "plan", "step", "steps", "doing", "says", "next"}]}; the members from "generation" on only where there is a
 * candidate; of a canary also "records" and "records_beside", of a shadow "compared" and "differing", since the share last changed. For
 * `sluice status`. */
int sl_deployer_status(struct sl_deployer *deployer, const char *topology, struct sl_buf *json);
/* Where generation `number` is kept: a folder for sl_topology_load_kept; 0: the live one. text: PATH_MAX bytes. */
int sl_deployer_kept(struct sl_deployer *deployer, const char *topology, uint32_t number, char *text, struct sl_err *err);

/* A line of the audit log about the process itself, no topology. That it cannot be written is no reason not to do it. */
void sl_deployer_audit(struct sl_deployer *deployer, const struct sl_who *who, const char *command, const char *result, const char *text);

/* ---- watching ---- */

/* The lines of the topology's current or latest deployment from its first one on, then those to come, as NDJSON:
 * {"unix_ms", "generation", "state", "share", "text"}; the last one has "end": live, failed, rolled_back, held or warm as well.
 * Where nothing was deployed since the start: one line that says so, with "end": "live". */
struct sl_watch;
int sl_deployer_watch(struct sl_deployer *deployer, const char *topology, struct sl_watch **ret_watch, struct sl_err *err);
/* The next line with its end of line, waited for up to wait_ms: its bytes; 0: none came; -1: it is over. What does not fit is cut into
 * several reads. One thread. */
int64_t sl_watch_read(struct sl_watch *watch, char *to, size_t bytes, uint32_t wait_ms);
/* Before the deployer is closed. */
struct sl_watch *sl_watch_close(struct sl_watch *watch);

#endif
