/* revoke.c: partitions leave (DELIVERY rule I1): flush and commit within two seconds, or abandon them to the next owner. A commit
 * that names them is waited for; nothing is committed for a lost assignment.
 * SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdlib.h>

#include "runtime/engine/slot/slot_private.h"

static struct sl_revoke *revoke_add(struct sl_slot *slot, struct sl_partition *const *partitions, uint32_t count, bool commit,
                                    void (*done)(void *user), void *user)
{
    struct sl_revoke *revoke = calloc(1, sizeof(*revoke) + count * sizeof(struct sl_partition *));
    struct sl_revoke **last = &slot->revokes;

    assert(slot->magic == SL_SLOT_MAGIC);
    if (revoke == NULL) {
        struct sl_err err;
        (void)sl_fail(&err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "topology %s: no memory to give up partitions", slot->topology->name);
        sl_slot_fail(slot, &err);
        return NULL;
    }
    revoke->partitions = (struct sl_partition **)(revoke + 1);
    revoke->count = count;
    revoke->commit = commit;
    revoke->deadline_ns = slot->env.now_ns(slot->env.user) + SL_REVOKE_NS;
    revoke->done = done;
    revoke->user = user;
    for (uint32_t i = 0; i < count; i++) {
        revoke->partitions[i] = partitions[i];
        slot->revoking[partitions[i]->index] = true;
    }
    while (*last != NULL)
        last = &(*last)->next;
    *last = revoke;
    return revoke;
}

void sl_slot_revoke(struct sl_slot *slot, struct sl_partition *const *partitions, uint32_t count, bool commit,
                    void (*done)(void *user), void *user)
{
    (void)revoke_add(slot, partitions, count, commit, done, user);
}

void sl_slot_revoke_closing(struct sl_slot *slot, void *self, struct sl_partition *const *partitions, uint32_t count)
{
    struct sl_revoke *revoke = revoke_add(slot, partitions, count, true, NULL, NULL);

    if (revoke != NULL)
        revoke->closing = self;
}

/* The source still knows its partitions when it closes. */
static void revoke_close(struct sl_slot *slot, void *self)
{
    for (uint32_t i = 0; i < slot->sources_count; i++) {
        struct sl_slot_source *source = &slot->sources[i];
        if (source->self != self)
            continue;
        if (source->opened)
            source->kind->close(source->self);
        free(source->sinks);
        (void)sl_slot_component_free(source->of);
        memmove(source, source + 1, (--slot->sources_count - i) * sizeof(*source));
        slot->source_next = 0;
        slot->leaving--;
        slot->env.wake(slot->env.user); /* the one that comes after it can be opened now, and nothing else may ask for a turn */
        return;
    }
}

/* A flushed sink that still holds records of a partition that leaves cannot tell them from the others in its files. */
static bool revoke_holds(const struct sl_slot_sink *sink, const struct sl_revoke *revoke)
{
    for (uint32_t i = 0; i < revoke->count; i++) {
        const struct sl_position *position = &sink->positions[revoke->partitions[i]->index];
        if (position->taken.next != position->done.next)
            return true;
    }
    return false;
}

static void revoke_finish(struct sl_slot *slot, struct sl_revoke *revoke)
{
    for (uint32_t s = 0; s < slot->sinks_count; s++) {
        struct sl_slot_sink *sink = &slot->sinks[s];
        bool leaves = sink->leaving != NULL && sink->leaving->was.flushed && sink->leaving->open_items > 0;
        if (!sink->now.flushed || (sink->open_items == 0 && !leaves) || !revoke_holds(sink, revoke))
            continue;
        if (leaves) {
            sl_slot_leave_end(slot, s, true);
        } else {
            sink->now.kind->abandon(sink->now.self, NULL);
            sl_slot_rewind(slot, s, NULL);
        }
        sink->backoff_ns = 0;
    }
    slot->revokes = revoke->next;
    if (revoke->closing != NULL)
        revoke_close(slot, revoke->closing);
    for (uint32_t i = 0; i < revoke->count; i++)
        sl_slot_release(slot, revoke->partitions[i]);
    if (revoke->done != NULL)
        revoke->done(revoke->user);
    free(revoke);
}

static bool revoke_dirty(const struct sl_slot *slot, const struct sl_revoke *revoke)
{
    for (uint32_t i = 0; i < revoke->count; i++)
        for (uint32_t s = 0; s < slot->sinks_count; s++) {
            const struct sl_position *position = &slot->sinks[s].positions[revoke->partitions[i]->index];
            if (position->taken.next != position->committed.next)
                return true;
        }
    return false;
}

void sl_slot_revoke_turn(struct sl_slot *slot, uint64_t *wake_ns)
{
    while (slot->revokes != NULL) {
        struct sl_revoke *revoke = slot->revokes;
        bool busy = slot->commit.state == SL_COMMIT_PREPARING || slot->commit.state == SL_COMMIT_COMMITTING;
        bool late = slot->now_ns >= revoke->deadline_ns;

        if (busy) /* the transaction names them, or may: its end is waited for */
            return;
        if (revoke->commit && !late && slot->state != SL_SLOT_FAILED && slot->domain != NULL && revoke_dirty(slot, revoke)) {
            slot->flush_all = true;
            sl_slot_queues_spill(slot); /* what they have not acknowledged stays with us, on disk, and its mark goes along */
            if (revoke->deadline_ns - slot->now_ns < *wake_ns)
                *wake_ns = revoke->deadline_ns - slot->now_ns;
            return;
        }
        slot->flush_all = slot->state == SL_SLOT_DRAINING;
        revoke_finish(slot, revoke);
    }
}

void sl_slot_revokes_fini(struct sl_slot *slot)
{
    while (slot->revokes != NULL) {
        struct sl_revoke *revoke = slot->revokes;
        slot->revokes = revoke->next;
        free(revoke);
    }
}
