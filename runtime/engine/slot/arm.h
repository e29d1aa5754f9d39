/* arm.h: one version's way through a batch: its operators change views, and what is left of each way lies at its sinks. The live version
 * has an arm, a shadow has one, a canary has one beside the live one's.
 *
 * A leaf is a place where views of a batch come out: by node->sink, which for the live arm is the row of a sink in the slot. Views and
 * bodies lie in the batch's arena and die with it.
 * Threads: the slot's.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_ENGINE_SLOT_ARM_H
#define SL_RUNTIME_ENGINE_SLOT_ARM_H

#include "runtime/engine/op.h"

struct sl_instance;
struct sl_node;
struct sl_plan;

enum { SL_LEAF_WAYS = 8 };

struct sl_leaf {
    const struct sl_instance *sink; /* whose condition and encoding hold; NULL: nothing comes out here */
    uint32_t row;                   /* of the slot's sinks, or UINT32_MAX */
    bool encoded; /* of this batch: a replay brings bodies that it had refused, encoded as they are */
    const struct sl_view *views[SL_LEAF_WAYS]; /* of this batch, in tree order */
    uint32_t views_count;
};

struct sl_arm {
    struct sl_plan *plan;
    struct sl_leaf *leaves;
    uint32_t leaves_count;
    bool live; /* taps look at it, replays have their say */
};

/* Before a batch. */
void sl_arm_begin(struct sl_arm *arm);
/* All stages behind `tree`. Records that stages set aside are added to slot->dead. Non-zero: a stage failed, or the arena is over budget. */
int sl_arm_run(struct sl_slot *slot, struct sl_arm *arm, const struct sl_node *tree, struct sl_view *root, struct sl_err *err);
/* Behind a stage that has processed the view already: its dead, its taps, the stages behind it. */
int sl_arm_behind(struct sl_slot *slot, struct sl_arm *arm, const struct sl_node *node, struct sl_view *view, struct sl_err *err);

/* What a leaf has for its sink. Several ways to it: the fate of a record is that of the first way on which it is alive, else of the first. */
struct sl_output {
    const struct sl_view *face; /* stands for all ways: its batch and what is known of the rows */
    uint8_t *fate;              /* by row */
    struct sl_item *items;      /* of live rows, ascending */
    uint32_t count;
};
/* From row `skip` on, into `items`, which has room for the rows of its batch. The leaf has views. -1: over budget. */
int sl_arm_output(struct sl_slot *slot, struct sl_leaf *leaf, uint32_t skip, struct sl_item *items, struct sl_output *ret_output);

/* The error of a batch that needs more than its arena. */
int sl_arm_budget(const struct sl_slot *slot, struct sl_err *err);

#endif
