/* tap.h: a live sample of the records that a stage lets out, for whoever looks (`sluice tap`).
 *
 * A tap has a ring for each slot of its topology. A slot writes into its own, as lines of JSON, while the tap is plugged in; without
 * one it looks at a pointer once a stage and batch. It never waits: a ring that is full, or being read, costs the record its place,
 * counted. Threads: plug and unplug on the slot's (sl_host_ask); take, from one thread, any.
 * Limits: per_s records a second over all slots, TAP_A_BATCH a batch, 64 KiB a record, 1 MiB a ring.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_ENGINE_SLOT_TAP_H
#define SL_RUNTIME_ENGINE_SLOT_TAP_H

#include "runtime/base/buf.h"
#include "runtime/engine/drive.h"

struct sl_tap;
struct sl_tap_ring;

struct sl_tap_counts {
    uint64_t shown;  /* taken by the reader, or waiting for it */
    uint64_t passed; /* seen and not copied: above per_s */
    uint64_t lost;   /* the ring had no room, or the record is too large */
};

/* component: index in the topology's list. NULL: no memory. */
struct sl_tap *sl_tap_new(uint32_t component, uint32_t slots, uint32_t per_s);
struct sl_tap *sl_tap_free(struct sl_tap *tap); /* unplugged everywhere */
void sl_slot_tap_plug(struct sl_slot *slot, struct sl_tap *tap);
void sl_slot_tap_unplug(struct sl_slot *slot, struct sl_tap *tap);
/* Appends the lines that wait. */
void sl_tap_take(struct sl_tap *tap, struct sl_buf *lines);
void sl_tap_counts(struct sl_tap *tap, struct sl_tap_counts *ret_counts);

/* Slot thread, while slot->taps is not NULL: the records that a source or an operator has let out. */
void sl_slot_tap_view(struct sl_slot *slot, uint32_t component, const struct sl_view *view);
/* What a sink has taken. */
void sl_slot_tap_items(struct sl_slot *slot, uint32_t component, const struct sl_view *view, const struct sl_item *items, uint32_t count);

#endif
