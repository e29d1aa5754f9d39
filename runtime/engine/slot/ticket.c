/* ticket.c: what outlives a batch before a sink that acknowledges each record (DELIVERY rules B2, B4). Tickets of one
 * (sink, partition) stand in offset order; the sink's mark follows the unbroken prefix that is done.
 * SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdlib.h>

#include "runtime/engine/slot/slot_private.h"

/* A ref's ticket: low 20 bits index, high 12 bits generation, so that a late answer to a dropped ticket is known as such. */
enum { TICKET_INDEX_BITS = 20, TICKET_INDEX_MASK = (1 << TICKET_INDEX_BITS) - 1, TICKET_GENERATION_MASK = 0xfff };

static int ticket_grow(struct sl_slot *slot)
{
    uint32_t cap = slot->tickets_cap == 0 ? 64 : slot->tickets_cap * 2;
    struct sl_ticket *tickets;

    if (cap > TICKET_INDEX_MASK)
        return -1;
    tickets = realloc(slot->tickets, cap * sizeof(*tickets));
    if (tickets == NULL)
        return -1;
    slot->tickets = tickets;
    for (uint32_t i = slot->tickets_cap; i < cap; i++) {
        tickets[i] = (struct sl_ticket){.next = slot->tickets_free};
        slot->tickets_free = i;
    }
    slot->tickets_cap = cap;
    return 0;
}

static void ticket_release(struct sl_slot *slot, uint32_t index)
{
    struct sl_ticket *ticket = &slot->tickets[index];

    ticket->used = false;
    ticket->generation++;
    ticket->next = slot->tickets_free;
    slot->tickets_free = index;
}

/* Marks follow: finished tickets at the head leave. */
static void ticket_advance(struct sl_slot *slot, uint32_t sink_index, uint32_t partition)
{
    struct sl_slot_sink *sink = &slot->sinks[sink_index];
    struct sl_position *position = &sink->positions[partition];

    while (position->head != UINT32_MAX && slot->tickets[position->head].pending == 0) {
        uint32_t index = position->head;
        position->head = slot->tickets[index].next;
        if (position->head == UINT32_MAX)
            position->tail = UINT32_MAX;
        position->done = slot->tickets[index].upto;
        assert(position->done.next <= position->taken.next);
        ticket_release(slot, index);
        sink->tickets_pending--;
    }
}

int sl_slot_ticket(struct sl_slot *slot, uint32_t sink_index, uint32_t partition, uint32_t pending,
                   const struct sl_mark *upto, uint32_t *ret_ticket)
{
    struct sl_position *position = &slot->sinks[sink_index].positions[partition];
    struct sl_ticket *ticket;
    uint32_t index;

    if (slot->tickets_free == UINT32_MAX && ticket_grow(slot) != 0)
        return -1;
    index = slot->tickets_free;
    ticket = &slot->tickets[index];
    slot->tickets_free = ticket->next;
    *ticket = (struct sl_ticket){ticket->generation, pending, pending, sink_index, partition, *upto, UINT32_MAX, true};
    if (position->tail != UINT32_MAX)
        slot->tickets[position->tail].next = index;
    else
        position->head = index;
    position->tail = index;
    slot->sinks[sink_index].tickets_pending++;
    *ret_ticket = (ticket->generation & TICKET_GENERATION_MASK) << TICKET_INDEX_BITS | index;
    return 0;
}

void sl_slot_tickets_drop(struct sl_slot *slot, uint32_t sink_index, uint32_t partition)
{
    struct sl_slot_sink *sink = &slot->sinks[sink_index];

    for (uint32_t p = 0; p < slot->partitions_cap; p++) {
        struct sl_position *position = &sink->positions[p];
        if (slot->partitions[p] == NULL || (partition != UINT32_MAX && partition != p))
            continue;
        while (position->head != UINT32_MAX) {
            uint32_t index = position->head;
            position->head = slot->tickets[index].next;
            ticket_release(slot, index);
            sink->tickets_pending--;
        }
        position->tail = UINT32_MAX;
    }
}

static struct sl_ticket *ticket_find(const struct sl_slot *slot, const struct sl_ref *ref)
{
    uint32_t index = ref->ticket & TICKET_INDEX_MASK;
    struct sl_ticket *ticket;

    if (ref->ticket == UINT32_MAX) /* a dead letter of a sink: nobody waits for it here */
        return NULL;
    assert(index < slot->tickets_cap);
    ticket = &slot->tickets[index];
    if (!ticket->used || (ticket->generation & TICKET_GENERATION_MASK) != ref->ticket >> TICKET_INDEX_BITS)
        return NULL; /* of an assignment or an attempt that is over (rule B4) */
    return ticket;
}

uint32_t sl_slot_ticket_partition(const struct sl_slot *slot, const struct sl_ref *ref)
{
    const struct sl_ticket *ticket = ticket_find(slot, ref);

    return ticket == NULL ? UINT32_MAX : ticket->partition;
}

int sl_slot_ticket_none(struct sl_slot *slot, uint32_t sink_index, uint32_t partition, const struct sl_mark *upto)
{
    struct sl_position *position = &slot->sinks[sink_index].positions[partition];
    uint32_t ticket;

    if (position->head != UINT32_MAX)
        return sl_slot_ticket(slot, sink_index, partition, 0, upto, &ticket);
    position->taken = position->done = *upto;
    return 0;
}

void sl_slot_ticket_done(struct sl_slot *slot, const struct sl_ref *ref)
{
    struct sl_ticket *ticket = ticket_find(slot, ref);

    if (ticket == NULL)
        return;
    assert(ticket->pending > 0); /* a double acknowledgement is a sink's mistake that must not be hidden (rule J1) */
    ticket->pending--;
    if (ticket->pending == 0)
        ticket_advance(slot, ticket->sink, ticket->partition);
}

static bool ticket_is_of(const struct sl_slot_sink *sink, const void *self)
{
    return sink->now.self == self || (sink->leaving != NULL && sink->leaving->was.self == self);
}

void sl_slot_done(struct sl_slot *slot, void *self, const struct sl_ref *refs, uint32_t count, enum sl_outcome outcome,
                  const struct sl_err *why)
{
    assert(slot->magic == SL_SLOT_MAGIC);
    for (uint32_t s = 0; s < slot->sinks_count; s++)
        if (ticket_is_of(&slot->sinks[s], self) && slot->sinks[s].queue != NULL) {
            sl_slot_queue_done(slot, s, refs, count, outcome, why);
            return;
        }
    switch (outcome) {
    case SL_ACK:
    case SL_REFUSED: /* dropped as the user asked (on_refused: drop); one that is kept goes through sl_slot_refused */
        for (uint32_t i = 0; i < count; i++)
            sl_slot_ticket_done(slot, &refs[i]);
        return;
    case SL_RETRY:
    case SL_UNKNOWN: /* what the sink cannot vouch for is read again from its mark */
        for (uint32_t s = 0; s < slot->sinks_count; s++)
            if (slot->sinks[s].leaving != NULL && slot->sinks[s].leaving->was.self == self)
                slot->sinks[s].leaving->deadline_ns = 0; /* given up in the slot's turn, not inside its own call */
            else if (slot->sinks[s].now.self == self)
                sl_slot_rewind(slot, s, why);
        return;
    }
}
