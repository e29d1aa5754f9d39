/* load.h: how a deployer comes by topologies: from a user's file, and from a generation's folder; as a table, so that a test needs
 * neither files nor kinds.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_DEPLOY_LOAD_H
#define SL_RUNTIME_DEPLOY_LOAD_H

#include "runtime/config/topology.h"
#include "runtime/store/generations.h"

struct sl_deploy_load {
    /* As sl_topology_load_set and sl_topology_load_kept. */
    int (*file)(void *user, const char *path, const struct sl_strings *sets, struct sl_diags *diags, struct sl_topology **ret_topology);
    int (*kept)(void *user, const char *dir, struct sl_diags *diags, struct sl_topology **ret_topology);
    struct sl_topology *(*free)(struct sl_topology *topology);
    /* As sl_generations_add, with what the topology's generation has to keep. */
    int (*keep)(void *user, const struct sl_topology *topology, struct sl_generations *generations, struct sl_generation_row *row,
                struct sl_err *err);
    void *user; /* struct sl_deploy_kinds */
};

struct sl_deploy_kinds {
    const struct sl_registry *registry;
    const struct sl_process_config *process;
};

/* By runtime/config. kinds is borrowed. */
struct sl_deploy_load sl_deploy_load(const struct sl_deploy_kinds *kinds);

#endif
