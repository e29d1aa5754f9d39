/* refuse.c: records that a sink will never take become dead letters although their batch is long gone: the sink still has the
 * bytes (DELIVERY rules J3, E2). The record's ticket stays open until the letter is durable, so no mark passes it before.
 *
 * States of a refusal: queued (sl_slot_refused) -letter submitted-> waiting -the dead letters' flush is committed-> done; the dead
 * letters' sink is rewound -> the refusing sink reads again from its mark, and refuses again.
 * A dead-letter sink that acknowledges by itself (kafka) is waited for by its drain, not by record: its letter may come twice.
 * SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/engine/slot/slot_private.h"

static struct sl_slice refuse_copy(char **at, struct sl_slice from)
{
    struct sl_slice copy = {*at, from.bytes};

    if (from.data == NULL)
        return from;
    if (from.bytes > 0)
        memcpy(*at, from.data, from.bytes);
    memset(*at + from.bytes, 0, SL_PAD);
    *at += from.bytes + SL_PAD;
    return copy;
}

/* The ledger took it for delivered. */
static void refuse_account(struct sl_slot *slot, uint32_t sink, const struct sl_refused *record)
{
    struct sl_ledger_row *row = sl_ledger_row(&slot->ledger, slot->sinks[sink].now.component, record->service, record->level);

    if (slot->sinks[sink].queue != NULL) /* counts what it is told of, at the end */
        return;
    if (row != NULL && row->fates[SL_DELIVERED] > 0) {
        row->fates[SL_DELIVERED]--;
        row->fates[SL_DEAD]++;
    }
}

bool sl_slot_is_letters(const struct sl_slot *slot, uint32_t sink)
{
    return sink == slot->letters_sink;
}

static uint32_t refuse_sink_of(const struct sl_slot *slot, const void *self)
{
    for (uint32_t s = 0; s < slot->sinks_count; s++)
        if (slot->sinks[s].now.self == self || (slot->sinks[s].leaving != NULL && slot->sinks[s].leaving->was.self == self))
            return s;
    assert(!"a record refused by no sink");
    return 0;
}

static bool refuse_drops(const struct sl_slot_sink *sink, const void *self)
{
    return sink->now.self == self ? sink->now.common->refused_drop : sink->leaving->was.common->refused_drop;
}

void sl_slot_refused(struct sl_slot *slot, void *self, const struct sl_refused *record, const struct sl_err *why)
{
    uint32_t sink = refuse_sink_of(slot, self);
    struct sl_refusal *refusal = calloc(1, sizeof(*refusal) + record->body.bytes + record->key.bytes + 2 * SL_PAD);
    char *at;

    assert(slot->magic == SL_SLOT_MAGIC);
    if (refuse_drops(&slot->sinks[sink], self)) {
        refuse_account(slot, sink, record);
        sl_slot_done(slot, self, &record->ref, 1, SL_REFUSED, why);
        free(refusal);
        return;
    }
    if (refusal == NULL) { /* the sink reads it again later */
        sl_slot_done(slot, self, &record->ref, 1, SL_RETRY, why);
        return;
    }
    at = (char *)(refusal + 1);
    refusal->record = *record;
    refusal->record.body = refuse_copy(&at, record->body);
    refusal->record.key = refuse_copy(&at, record->key);
    (void)snprintf(refusal->reason, sizeof(refusal->reason), "%s", why->text);
    refusal->sink = sink;
    refusal->next = slot->refusals;
    slot->refusals = refusal;
    slot->env.wake(slot->env.user);
}

static void refuse_account_letter(struct sl_slot *slot, struct sl_refusal *refusal)
{
    struct sl_slot_sink *dead = &slot->sinks[slot->dead_sink];
    struct sl_ledger_row *row = sl_ledger_row(dead->now.flushed ? &dead->open : &slot->ledger, dead->now.component, refusal->record.service,
                                              refusal->record.level);

    if (!refusal->accounted)
        refuse_account(slot, refusal->sink, &refusal->record);
    refusal->accounted = true;
    if (row != NULL) {
        row->fates[SL_LIVE]++;
        row->fates[SL_DELIVERED]++;
        row->weight += 1;
    }
}

static int refuse_letter(struct sl_slot *slot, const struct sl_refusal *refusal, const struct sl_partition *partition,
                         struct sl_err *err)
{
    struct sl_slot_sink *dead = &slot->sinks[slot->dead_sink];
    struct sl_slice raw = refusal->record.body, key = refusal->record.key;
    uint64_t offset = refusal->record.offset;
    bool own = partition->index < slot->partitions_cap && slot->partitions[partition->index] == partition;
    uint64_t taken = own ? dead->positions[partition->index].taken.next : offset;
    int64_t append_unix_ms = refusal->record.append_unix_ms;
    struct sl_decoded decoded = {.time_unix_ms = &append_unix_ms, .trace = -1};
    struct sl_batch batch = {.partition = (struct sl_partition *)(uintptr_t)partition, .first = offset, .next = offset + 1, .count = 1, .may_break = true, .raw = &raw,
                             .offset = &offset, .append_unix_ms = &append_unix_ms, .key = &key, .arena = &slot->arena};
    struct sl_parcel parcel = {.items = slot->items, .count = 1, .first = taken, .next = taken};
    struct sl_view view;

    sl_arena_reset(&slot->arena);
    if (sl_view_all(&view, &batch, &decoded) != 0)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory for a dead letter");
    slot->dead_count = 0;
    if (sl_slot_dead(slot, &batch, 0, NULL, slot->sinks[refusal->sink].now.component, refusal->reason) != 0 ||
        sl_slot_letters(slot, 0, slot->items) != 1)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory for a dead letter");
    slot->items[0].ref.ticket = UINT32_MAX; /* of no ticket: nobody waits for this answer */
    parcel.view = &view;
    parcel.bytes = slot->items[0].body.bytes;
    if (dead->now.kind->submit(dead->now.self, &parcel, err) != 0)
        return -(int)err->code;
    if (dead->open_items == 0)
        dead->open_mix = slot->mix;
    dead->open_items += 2;
    return 0;
}

static void refuse_done(struct sl_slot *slot, struct sl_refusal *refusal, enum sl_outcome outcome)
{
    if (outcome == SL_ACK)
        outcome = SL_REFUSED; /* its letter is durable */
    sl_slot_done(slot, slot->sinks[refusal->sink].now.self, &refusal->record.ref, 1, outcome, NULL);
    free(refusal);
}

/* Where the record came from; false: its attempt is over. */
static bool refuse_partition(struct sl_slot *slot, const struct sl_refusal *refusal, struct sl_partition *scratch,
                             const struct sl_partition **ret_partition)
{
    uint32_t p;

    if (slot->sinks[refusal->sink].queue != NULL)
        return sl_slot_queue_partition(slot, refusal->sink, &refusal->record.ref, scratch, ret_partition);
    p = sl_slot_ticket_partition(slot, &refusal->record.ref);
    if (p == UINT32_MAX)
        return false;
    *ret_partition = slot->partitions[p];
    return true;
}

void sl_slot_refuse_turn(struct sl_slot *slot, uint64_t *wake_ns)
{
    struct sl_slot_sink *dead = &slot->sinks[slot->dead_sink];

    /* letters that the dead letters' sink before a swap still holds are told apart from new ones by there being no new ones */
    if (dead->leaving != NULL || (slot->letters_sink != slot->dead_sink && (slot->letters_open != NULL || slot->letters_sealed != NULL)))
        return;
    slot->letters_sink = slot->dead_sink;
    while (slot->refusals != NULL) {
        struct sl_refusal *refusal = slot->refusals;
        const struct sl_partition *partition;
        struct sl_partition scratch;
        struct sl_err err = {0};
        slot->refusals = refusal->next;
        if (!refuse_partition(slot, refusal, &scratch, &partition)) { /* of an attempt that is over */
            free(refusal);
            continue;
        }
        if (refuse_letter(slot, refusal, partition, &err) != 0) {
            if (dead->now.flushed)
                dead->now.kind->abandon(dead->now.self, NULL);
            refuse_done(slot, refusal, SL_RETRY);
            sl_slot_rewind(slot, slot->dead_sink, &err);
            return;
        }
        *wake_ns = 0; /* the letters' sink has yet to say when it wants its turn */
        refuse_account_letter(slot, refusal);
        if (!dead->now.flushed) {
            refuse_done(slot, refusal, SL_ACK);
            continue;
        }
        refusal->next = slot->letters_open;
        slot->letters_open = refusal;
    }
}

void sl_slot_refuse_sealed(struct sl_slot *slot)
{
    assert(slot->letters_sealed == NULL);
    slot->letters_sealed = slot->letters_open;
    slot->letters_open = NULL;
}

void sl_slot_refuse_committed(struct sl_slot *slot)
{
    while (slot->letters_sealed != NULL) {
        struct sl_refusal *refusal = slot->letters_sealed;
        slot->letters_sealed = refusal->next;
        refuse_done(slot, refusal, SL_ACK);
    }
}

/* The letters are gone: their records are read, and refused, again. */
void sl_slot_refuse_lost(struct sl_slot *slot, bool sealed_too)
{
    struct sl_refusal **lists[] = {&slot->letters_open, &slot->letters_sealed};

    for (int i = 0; i < (sealed_too ? 2 : 1); i++)
        while (*lists[i] != NULL) {
            struct sl_refusal *refusal = *lists[i];
            *lists[i] = refusal->next;
            if (slot->sinks[refusal->sink].queue != NULL) { /* nothing is read again for it: the letter is written again */
                refusal->next = slot->refusals;
                slot->refusals = refusal;
                continue;
            }
            if (sl_slot_ticket_partition(slot, &refusal->record.ref) != UINT32_MAX)
                sl_slot_rewind(slot, refusal->sink, NULL);
            free(refusal);
        }
}

void sl_slot_refuse_fini(struct sl_slot *slot)
{
    struct sl_refusal **lists[] = {&slot->refusals, &slot->letters_open, &slot->letters_sealed};

    for (int i = 0; i < 3; i++)
        while (*lists[i] != NULL) {
            struct sl_refusal *refusal = *lists[i];
            *lists[i] = refusal->next;
            free(refusal);
        }
}
