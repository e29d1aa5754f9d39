/* trial.h: a candidate at work in a slot before it is live: as a shadow, which gets every batch and whose output is only compared, or as a
 * canary, which gets a share of the records and whose output goes where the live one's goes.
 *
 * States: none --sl_slot_shadow--> shadow --sl_slot_canary--> canary --sl_slot_canary (other share)--> canary; any --sl_slot_trial_end--> none.
 *         A stage of the candidate that fails: broken. It gets nothing more, its records of that batch go through the live version, and
 *         sides say why.
 * Shadow (rule H5): its time is at most 1/100 of the slot's, and half of what the slot does not use; else whole batches are skipped.
 *         A candidate is fed once its stages know what the live version's know (rule H3); where they know anything, a skipped range ends the
 *         comparison of its partition. What a script or plugin keeps in variables of its own is not known here: shadow such a version
 *         only where it keeps up.
 * Canary (rule H2): its records go through the candidate's stages, conditions and encodings, and to the live version's instances of the sinks.
 *         So marks, tickets and flushes know nothing of it, and a record that is read again may go either way without being lost or
 *         doubled. A sink that only the candidate has gets nothing before it is live. Refused where that cannot be: canary_sinks().
 *         In some batches a control group of keys, as large as the canary's share, goes through the live version as an arm of its own: what
 *         small arms cost is compared with what small arms cost.
 * Threads: the slot's. Ownership: the plan is the caller's, who frees it after the end (or has it swapped in, which ends the trial).
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_ENGINE_SLOT_TRIAL_H
#define SL_RUNTIME_ENGINE_SLOT_TRIAL_H

#include "runtime/engine/generation.h"
#include "runtime/engine/shadow.h"
#include "runtime/engine/slot/arm.h"

struct sl_slot;
struct sl_slot_source;
struct sl_trial;

/* expect may be NULL; it must stay until the trial ends. Again for the same plan: begins anew. */
int sl_slot_shadow(struct sl_slot *slot, struct sl_plan *plan, const struct sl_expect *expect, struct sl_err *err);
/* From the next batch on. Ends a shadow. */
int sl_slot_canary(struct sl_slot *slot, struct sl_plan *plan, double share, enum sl_split_by by, struct sl_err *err);
void sl_slot_trial_end(struct sl_slot *slot); /* nothing where there is none */
/* Adds this slot's to the sums; counts of a canary since its share last changed. Nothing where there is none. */
void sl_slot_trial_sides(const struct sl_slot *slot, struct sl_sides *sides);
/* What the shadow found, or NULL. Slot thread: it changes with the next batch. */
const struct sl_shadow_report *sl_slot_trial_report(const struct sl_slot *slot);

/* ---- branch.c, of one batch ---- */
/* Idle time since the last turn is for a shadow. */
void sl_trial_turn(struct sl_slot *slot, bool was_idle);
/* The batch through the trees: the live version's, and a canary's share through its own. */
int sl_trial_run(struct sl_slot *slot, const struct sl_slot_source *source, struct sl_view *root, struct sl_err *err);
/* What all arms have for a sink, records from offset `taken` on; *ret_skip: rows of the output's batch before that. In slot->items. */
int sl_trial_output(struct sl_slot *slot, uint32_t sink, uint64_t taken, struct sl_output *ret_output, uint32_t *ret_skip, struct sl_err *err);
bool sl_trial_is_split(const struct sl_slot *slot); /* this batch: sl_trial_output has what goes to sinks, else the live arm */
/* A shadow takes this batch: then it hears of what the live one writes (batch by batch), and runs at the end of it. */
void sl_trial_shadow_begin(struct sl_slot *slot, const struct sl_batch *batch);
void sl_trial_shadow_wrote(struct sl_slot *slot, uint32_t sink, const struct sl_output *output, uint32_t skip);
void sl_trial_shadow_run(struct sl_slot *slot, const struct sl_slot_source *source, const struct sl_view *root);

/* ---- flush.c ---- */
bool sl_trial_is_canary(const struct sl_slot *slot); /* some records go through the candidate */

/* ---- mask.c, dead.c ---- */
const struct sl_plan *sl_trial_plan(const struct sl_slot *slot); /* NULL: no trial */

#endif
