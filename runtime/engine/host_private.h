/* host_private.h: the inside of a host, shared by its parts: host.c (life), host_replay.c (dead letters once more), host_view.c (status),
 * generation.c (one version of a topology gives way to the next).
 *
 * Locks: `replay_lock` around replays and the flags beside them; `change` of a topology around its versions. Whoever looks at a topology's rows from
 * outside its slots pins them first (sl_host_hold), then reads `topology`: nothing is freed that could have been read since.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_ENGINE_HOST_PRIVATE_H
#define SL_RUNTIME_ENGINE_HOST_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>

#include "runtime/engine/generation.h"
#include "runtime/engine/host.h"
#include "runtime/store/data_dir.h"

struct sl_worker;

/* One loaded version of a topology: what it shares among slots, and its place in the index space (merge.h). */
struct host_version {
    uint32_t number;
    struct sl_topology *from; /* as loaded; NULL: the settings' own, of the start */
    void (*release)(void *user);
    void *user;
    struct sl_merge merge;           /* topology NULL: the start's */
    const struct sl_topology *topology; /* merge's, or the start's */
    struct sl_api *apis;             /* by component, for share(); kept because a share may keep its api */
    void **shared;                   /* by component: its own shares, and those of what it kept */
    struct host_version **origins;   /* by component: the version whose settings and share it has; NULL: gone */
    struct host_version **settings;  /* by component: the same, but for a source that was set anew in place: the later one */
    struct sl_plan **plans;          /* by slot; of a candidate its own; of one that was live what is to be freed */
    uint32_t components_count, slots;
    bool live, retired; /* retired: its plans run no more; freed once no origin names it */
    atomic_uint waiting; /* for jobs of clerks */
    struct host_version *next;
};

struct host_topology {
    char *name;
    const struct sl_topology *_Atomic topology; /* the live version's, in the index space */
    struct sl_shared shared;
    struct host_version *live, *versions; /* all that are not freed, the live one among them */
    uint64_t flush_number;
    pthread_mutex_t change; /* one change of versions at a time */
    struct sl_worker *replay; /* reads dead letters again; NULL: nobody asked for it. Under the host's replay_lock */
    struct sl_topology *replay_topology;
    struct sl_shared replay_shared;
    struct host_version *replay_version; /* whose rows the replay's topology was made of: it is not freed */
};

struct sl_candidate {
    struct sl_host *host;
    struct host_topology *at;
    struct host_version *version;
};

struct sl_host {
    struct sl_host_settings settings;
    struct sl_fs *fs;
    struct sl_data_dir data_dir;
    bool has_data_dir;
    struct sl_spool *spool;
    struct host_topology *topologies;
    uint32_t topologies_count;
    struct sl_worker **workers;
    uint32_t workers_count;
    pthread_mutex_t replay_lock;
    atomic_uint pins;
    bool draining, started; /* under replay_lock */
};

/* host.c */
struct host_topology *sl_host_find(struct sl_host *host, const char *name, struct sl_err *err);
/* What the component's kind shares among the slots of this version; into version->shared. */
int sl_host_share(struct sl_host *host, struct host_topology *at, struct host_version *version, uint32_t component, struct sl_err *err);
void sl_host_unshare(struct host_version *version, uint32_t component);
void sl_host_ask_at(struct sl_host *host, struct host_topology *at, void (*each)(void *user, struct sl_slot *slot), void *user);
/* host_replay.c */
void sl_host_replay_again(struct sl_host *host, struct host_topology *at);
void sl_host_replay_close(struct host_topology *at);
/* host_trial.c: under `change` */
void sl_host_trial_end(struct sl_host *host, struct host_topology *at, struct host_version *version);
/* generation.c */
struct host_version *sl_host_version_new(struct host_topology *at, const struct sl_topology *topology, uint32_t number, struct sl_err *err);
void sl_host_versions_close(struct host_topology *at); /* once no slot runs */

#endif
