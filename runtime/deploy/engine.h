/* engine.h: the engine as a deployer uses it, as a table: the running one, or a test's.
 * The slots are the functions of engine/generation.h (see there) and what else is asked of a host.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_DEPLOY_ENGINE_H
#define SL_RUNTIME_DEPLOY_ENGINE_H

#include "runtime/base/buf.h"
#include "runtime/engine/generation.h"

/* What became of a topology's records since the process started; errors: commits that failed, and rewinds. */
struct sl_deploy_counts {
    uint64_t records, dead, errors;
};

/* NULL slots: what this engine cannot do; a command that needs one is refused. */
struct sl_deploy_engine {
    int (*prepare)(struct sl_host *host, struct sl_topology *from, uint32_t number, void (*release)(void *user), void *user,
                   struct sl_candidate **ret_candidate, struct sl_err *err);
    int (*promote)(struct sl_host *host, struct sl_candidate *candidate, struct sl_swap_report *ret_report, struct sl_err *err);
    void (*discard)(struct sl_host *host, struct sl_candidate *candidate);
    void (*number)(struct sl_host *host, const char *topology, uint32_t number);
    int (*shadow)(struct sl_host *host, struct sl_candidate *candidate, const struct sl_expect *expect, struct sl_err *err);
    int (*canary)(struct sl_host *host, struct sl_candidate *candidate, double share, enum sl_split_by by, struct sl_err *err);
    int (*sides)(struct sl_host *host, struct sl_candidate *candidate, struct sl_sides *ret_sides, struct sl_err *err);
    /* What a shadow found so far, as one JSON object (engine/shadow.h). */
    int (*differences)(struct sl_host *host, struct sl_candidate *candidate, struct sl_buf *json, struct sl_err *err);
    int (*pause)(struct sl_host *host, const char *topology, bool paused, struct sl_err *err);
    int (*drain)(struct sl_host *host, const char *topology, struct sl_err *err);
    /* The live version cannot go on and waits for another; why: its words. */
    bool (*fault)(struct sl_host *host, const char *topology, char *why, size_t bytes);
    void (*fallback)(struct sl_host *host, const char *topology, bool there);
    bool (*settle)(struct sl_host *host, const char *topology); /* frees what nobody uses any more */
    int (*counts)(struct sl_host *host, const char *topology, struct sl_deploy_counts *ret_counts);
};

/* The running one. Static storage. */
const struct sl_deploy_engine *sl_deploy_engine(void);

#endif
