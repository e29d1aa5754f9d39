/* trial_private.h: the inside of a trial, shared by trial.c (its life), trial_shadow.c and trial_canary.c.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_ENGINE_SLOT_TRIAL_PRIVATE_H
#define SL_RUNTIME_ENGINE_SLOT_TRIAL_PRIVATE_H

#include "runtime/engine/slot/joint.h"
#include "runtime/engine/slot/slot_private.h"
#include "runtime/engine/slot/trial.h"
#include "runtime/engine/split.h"

enum trial_kind { TRIAL_SHADOW, TRIAL_CANARY };
enum trial_side { TRIAL_REST, TRIAL_CONTROL, TRIAL_CANDIDATE, TRIAL_SIDES };

struct trial_wrote { /* by the live version, to one sink, in the batch that is being shadowed */
    uint32_t sink;
    const struct sl_view *view;
    uint32_t items_first, items_count; /* in trial->items */
    bool whole;                        /* the sink had nothing of the batch before */
};

struct trial_split { /* of a partition */
    uint64_t assignment;
    struct sl_split rows;
};

struct sl_trial {
    struct sl_plan *plan;
    enum trial_kind kind;
    bool broken;
    struct sl_err why;
    struct sl_arm arm;   /* the candidate's; leaves by component */
    uint32_t *leaf_of;   /* [SL_SLOT_SINKS_MAX] by row: leaf of arm, or UINT32_MAX */
    size_t arena_bytes;  /* what the arena was given more for it */
    bool ready;          /* its stages know what the live version's know (rule H3) */
    bool states;         /* some stage of either version knows something from record to record */
    bool *anew;          /* by component: could not learn, begins anew */
    struct sl_item *items;
    uint32_t items_count, items_cap;

    /* a shadow */
    struct sl_shadow *shadow;
    struct sl_partition *partition; /* of the batch, for masks */
    uint32_t *pair_of;              /* [SL_SLOT_SINKS_MAX] by row: number of the sink in shadow */
    uint32_t *leaf_pair;            /* by leaf: likewise */
    struct trial_wrote wrote[SL_SLOT_SINKS_MAX];
    uint32_t wrote_count;
    bool taken;          /* this batch is shadowed */
    uint64_t *stale;     /* by partition index: the assignment of which a range was skipped, and a state does not know it */
    uint32_t stale_cap;
    int64_t credit_ns;
    uint64_t last_ns;

    /* a canary */
    double share;
    enum sl_split_by by;
    struct sl_arm control, again; /* of the live version; leaves by row */
    struct trial_split *splits;   /* by partition index */
    uint32_t splits_cap;
    uint8_t *sides;               /* of this batch, by row; NULL: it was not split */
    uint64_t *hashes;             /* likewise, of keys; NULL: whole partitions */
    uint64_t threshold;           /* of this batch's last row */
    uint64_t control_ns;          /* when the control group was last an arm of its own */
    struct sl_arm *parts[TRIAL_SIDES]; /* the arm that has run for a side; NULL: no record is of it */
    struct sl_view *roots[TRIAL_SIDES];
    struct sl_side canary, baseline;
    struct sl_judge_bursts bursts[2];
};

/* trial.c */
int sl_trial_items(struct sl_trial *trial, uint32_t count); /* room in trial->items. 0, or -1 */
/* A copy of what the live version's stages know, a piece at each batch boundary; true once all of it is there: from this batch on the
 * candidate is fed. */
bool sl_trial_is_ready(struct sl_slot *slot, struct sl_trial *trial);
void sl_trial_break(struct sl_slot *slot, struct sl_trial *trial, const struct sl_err *why);
struct sl_trial *sl_trial_new(struct sl_slot *slot, struct sl_plan *plan, enum trial_kind kind, struct sl_err *err);
void sl_trial_put(struct sl_slot *slot, struct sl_trial *trial); /* ends what there was */
struct sl_trial *sl_trial_free(struct sl_slot *slot, struct sl_trial *trial);
/* trial_canary.c */
void sl_trial_splits_fini(struct sl_slot *slot, struct sl_trial *trial);

#endif
