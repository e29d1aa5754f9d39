/* draft.h: a topology while it is being read; private to topology.c, component.c, digest.c and *_check.c.
 * A component whose settings were refused stays in the draft, so that the wiring is checked in the
 * same run.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_CONFIG_DRAFT_H
#define SL_RUNTIME_CONFIG_DRAFT_H

#include "runtime/config/bind.h"
#include "runtime/config/topology.h"
#include "runtime/engine/op.h"

enum { SL_COMPONENTS_MAX = 1000 };
#define SL_DEAD_LETTERS "dead_letters"

struct sl_draft_component {
    struct sl_component component;
    const char *setting; /* "sinks.landing" */
    const struct sl_yaml *node;
    const struct sl_yaml_item *inputs_item; /* or NULL */
    const char *const *ports;               /* of a router */
    uint32_t ports_count;                   /* 0: one output */
    uint64_t ports_used;                    /* bit (port % 64): warnings only */
    bool used;
    uint8_t colour; /* of the walk for cycles */
    uint32_t order; /* final index */
    uint32_t files_first, files_count; /* its rows of bind.inputs */
};

struct sl_draft {
    struct sl_bind bind;
    const struct sl_registry *registry;
    const struct sl_process_config *process; /* or NULL */
    struct sl_draft_component *items;
    uint32_t count;
};

/* Adds one component: its name, type and settings. Problems are diags. */
void sl_draft_add(struct sl_draft *draft, enum sl_role role, const char *name,
                  const struct sl_yaml_item *item, const char *setting);
/* Resolves inputs, finds cycles, warns of what nobody reads. */
void sl_draft_wire(struct sl_draft *draft);
/* Does what comes to each sink suit its encoding? */
void sl_draft_encodings(struct sl_draft *draft);
/* Is every sink's way behind stages that derive records one way? */
void sl_draft_check_derived(struct sl_draft *draft);
/* Sets `order` of every component: sources, operators behind their inputs, sinks, the dead-letter
 * sink. No cycles may be left. */
void sl_draft_order(struct sl_draft *draft);
/* Digests of the topology and its components, which are placed and wired. */
void sl_draft_digest(struct sl_draft *draft, struct sl_topology *topology);
/* Can all of it be committed together? */
void sl_draft_check_domain(struct sl_draft *draft);
/* No two sinks were one, and no sink goes on for one that is still there. */
void sl_draft_check_was(struct sl_draft *draft);
struct sl_draft_component *sl_draft_find(struct sl_draft *draft, const char *name);

#endif
