/* swap.c: one plan gives way to the next between two batches (DELIVERY rules H1, H4), and what the earlier one still holds is
 * finished behind it. Nothing waits here: whatever state a sink is in, the next batch goes the new way.
 *
 * A sink whose settings changed: the row, with its name, marks and tickets, stays; the old instance leaves (struct sl_leaving).
 *   flushed:       its open flush is sealed by the next commit, up to where the new instance began, and the new one is not sealed before
 *                  that is committed. The marks are the name's, so a crash in between needs no record of the cut: what the old one had
 *                  not committed does not exist (rule C), and is read again and given to whichever version is live then, each
 *                  record once.
 *   acknowledging: its tickets stand before the new one's, so the mark waits for them by itself. At the deadline they are dropped and
 *                  read again from the mark, for the new instance: what the old one had in flight may come twice there (counted).
 *   with a queue:  until the old one's answers are in, everything goes to the queue; at the deadline what is out is sent again.
 * A second swap while one leaves: of flushed sinks the middle instance has committed nothing and is dropped, its records read again; of others
 * the leaving one is given up at once.
 * A source whose settings changed gives up its partitions with a commit, is closed, and the new one opened; the other sources read on.
 * SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/engine/slot/slot_private.h"
#include "runtime/engine/slot/trial.h"

#define SWAP_LEAVE_NS (5000 * 1000000ull) /* so long may a sink that was changed take for its last answers */
#define SWAP_SOURCE_BACKOFF_NS (500 * 1000000ull)

/* ---- rows of sinks ---- */

uint32_t sl_slot_sink_of(const struct sl_slot *slot, uint32_t component)
{
    for (uint32_t s = 0; s < slot->sinks_count; s++)
        if (slot->sinks[s].now.kind != NULL && !slot->sinks[s].gone && slot->sinks[s].now.component == component)
            return s;
    return UINT32_MAX;
}

static uint32_t swap_row_named(const struct sl_slot *slot, const char *name)
{
    for (uint32_t s = 0; s < slot->sinks_count; s++)
        if (slot->sinks[s].name != NULL && strcmp(slot->sinks[s].name, name) == 0)
            return s;
    return UINT32_MAX;
}

static bool swap_row_is_free(const struct sl_slot_sink *sink)
{
    return sink->now.kind == NULL;
}

static uint32_t swap_rows_free(const struct sl_slot *slot)
{
    uint32_t count = SL_SLOT_SINKS_MAX - slot->sinks_count;

    for (uint32_t s = 0; s < slot->sinks_count; s++)
        count += swap_row_is_free(&slot->sinks[s]);
    return count;
}

/* Frees what a row keeps beside its instances; a row that is free keeps its place in every table of the slot. */
static void swap_row_clear(struct sl_slot *slot, struct sl_slot_sink *sink)
{
    for (uint32_t i = 0; i < slot->sources_count; i++)
        slot->sources[i].sinks[sink - slot->sinks] = false;
    free(sink->name);
    free(sink->former);
    sink->name = sink->former = NULL;
    sink->gone = false;
    sink->zone[0] = '\0';
    sink->want_flush = false;
    sink->backoff_ns = 0;
    sink->open_items = 0;
    sl_ledger_fini(&sink->open);
    sl_ledger_fini(&sink->sealed_ledger);
    for (uint32_t p = 0; p < slot->partitions_cap; p++)
        sink->positions[p] = (struct sl_position){.head = UINT32_MAX, .tail = UINT32_MAX};
}

/* -1: no memory; nothing has changed then. */
static int swap_row_make(struct sl_slot *slot, struct sl_slot_sink *sink, const char *name)
{
    struct sl_position *positions = sink->positions;

    if (positions == NULL && slot->partitions_cap > 0)
        positions = calloc(slot->partitions_cap, sizeof(*positions));
    *sink = (struct sl_slot_sink){.now = {.component = UINT32_MAX}, .positions = positions, .name = strdup(name)};
    if (sink->name == NULL || (positions == NULL && slot->partitions_cap > 0) || sl_ledger_init(&sink->open) != 0 ||
        sl_ledger_init(&sink->sealed_ledger) != 0)
        return -1;
    for (uint32_t p = 0; p < slot->partitions_cap; p++)
        positions[p] = (struct sl_position){.head = UINT32_MAX, .tail = UINT32_MAX};
    return 0;
}

/* How far any sink has come: while one reads again, that is ahead of where the source stands. */
static uint64_t swap_front(const struct sl_slot *slot, uint32_t p)
{
    uint64_t front = slot->partitions[p]->next;

    for (uint32_t s = 0; s < slot->sinks_count; s++)
        if (!swap_row_is_free(&slot->sinks[s]) && slot->sinks[s].positions[p].taken.next > front)
            front = slot->sinks[s].positions[p].taken.next;
    return front;
}

/* A sink that is new to the topology begins where the topology is: not where another one reads again, since it may have been there before, under
 * this name or the one it had, and have those records. */
static void swap_row_begin(struct sl_slot *slot, struct sl_slot_sink *sink)
{
    for (uint32_t p = 0; p < slot->partitions_cap; p++) {
        struct sl_mark at = {.last_offset = UINT64_MAX};
        if (slot->partitions[p] == NULL)
            continue;
        at.next = swap_front(slot, p);
        if (sl_slot_parted(slot, sink->name, p) > at.next) /* it was there before, and ahead of the others */
            at.next = sl_slot_parted(slot, sink->name, p);
        sink->positions[p] = (struct sl_position){at, at, at, at, UINT32_MAX, UINT32_MAX, false, true};
    }
}

static struct sl_slot_sink *swap_row_add(struct sl_slot *slot, const char *name)
{
    uint32_t s = 0;

    while (s < slot->sinks_count && !swap_row_is_free(&slot->sinks[s]))
        s++;
    if (s == SL_SLOT_SINKS_MAX || swap_row_make(slot, &slot->sinks[s], name) != 0)
        return NULL;
    slot->sinks_count += s == slot->sinks_count;
    return &slot->sinks[s];
}

/* ---- leaving ---- */

static bool swap_is_settled(const struct sl_slot *slot, uint32_t s)
{
    const struct sl_slot_sink *sink = &slot->sinks[s];
    const struct sl_leaving *leaving = sink->leaving;

    if (sink->queue != NULL)
        return !sl_slot_queue_is_out(slot, s);
    if (leaving->over)
        return true;
    for (uint32_t p = 0; p < slot->partitions_cap && p < leaving->cap; p++)
        if (slot->partitions[p] != NULL && leaving->assignment[p] == slot->partitions[p]->assignment &&
            sink->positions[p].done.next < leaving->upto[p].next)
            return false;
    return leaving->was.kind->drain == NULL || leaving->was.kind->drain(leaving->was.self) == 1;
}

/* What is read again: behind the mark, also what the new instance has delivered already. */
static uint64_t swap_again(const struct sl_slot *slot, const struct sl_slot_sink *sink)
{
    uint64_t records = 0;

    for (uint32_t p = 0; p < slot->partitions_cap; p++)
        for (uint32_t t = slot->partitions[p] == NULL ? UINT32_MAX : sink->positions[p].head; t != UINT32_MAX; t = slot->tickets[t].next)
            records += slot->tickets[t].records;
    return records;
}

/* Rule H4: of an acknowledging sink what was in flight is unknown; where records have ids, what comes twice is there once. */
static void swap_lost(struct sl_slot *slot, uint32_t s, const struct sl_instance *was)
{
    struct sl_slot_sink *sink = &slot->sinks[s];
    bool once = sink->now.flushed || (was->flags & sink->now.flags & SL_SINK_KEYED) != 0;
    struct sl_err err = {0};

    (void)sl_fail(&err, SL_E_LIMIT, SL_REMEDY_RETRY, 0,
                  "sink %s did not answer for what its earlier version had sent; it is sent again by the new one%s", sink->name,
                  once ? "" : ", and may arrive twice");
    if (sink->queue != NULL) {
        slot->maybe_duplicated += once ? 0 : sl_slot_queue_out_count(slot, s);
        sl_slot_queue_failed(slot, s, &err);
        return;
    }
    slot->maybe_duplicated += once ? 0 : swap_again(slot, sink);
    sl_slot_rewind(slot, s, &err);
    sink->backoff_ns = 0;
    slot->paused_until_ns = slot->now_ns; /* it is another instance: nothing to wait for */
}

/* What the earlier instance holds beside its sealed flush, and all behind it, is read again; it is closed once that flush is published. */
static void swap_lose_open(struct sl_slot *slot, uint32_t s)
{
    struct sl_slot_sink *sink = &slot->sinks[s];
    struct sl_leaving *leaving = sink->leaving;

    leaving->was.kind->abandon(leaving->was.self, NULL);
    sink->now.kind->abandon(sink->now.self, NULL);
    leaving->open_items = 0;
    sl_ledger_fini(&leaving->open);
    (void)sl_ledger_init(&leaving->open);
    memset(leaving->assignment, 0, leaving->cap * sizeof(*leaving->assignment)); /* its share ends with the flush, not where the new one began */
    sl_slot_rewind(slot, s, NULL);
    sink->backoff_ns = 0;
    slot->paused_until_ns = slot->now_ns;
}

void sl_leaving_free(struct sl_leaving *leaving)
{
    if (leaving == NULL)
        return;
    sl_ledger_fini(&leaving->open);
    free(leaving->upto);
    free(leaving->assignment);
    free(leaving);
}

void sl_slot_leave_end(struct sl_slot *slot, uint32_t s, bool lost)
{
    struct sl_slot_sink *sink = &slot->sinks[s];
    struct sl_leaving *leaving = sink->leaving;

    if (leaving == NULL)
        return;
    if (lost && sink->sealed && sink->sealed_leaving) { /* its last flush is committed and being published: only what it took since is lost */
        swap_lose_open(slot, s);
        return;
    }
    sink->leaving = NULL;
    sink->sealed_leaving = false;
    if (lost && leaving->was.flushed) {
        leaving->was.kind->abandon(leaving->was.self, NULL);
        sink->now.kind->abandon(sink->now.self, NULL); /* its records stand behind those that are lost */
    }
    if (lost)
        swap_lost(slot, s, &leaving->was);
    sl_instance_close(&leaving->was);
    sl_leaving_free(leaving);
    slot->leaving--;
}

/* The timers of an instance that leaves go on. */
static void swap_leaving_turn(struct sl_slot *slot, uint32_t s, uint64_t *wake_ns)
{
    struct sl_slot_sink *sink = &slot->sinks[s];
    struct sl_leaving *leaving = sink->leaving;
    struct sl_err err = {0};

    if (leaving->was.kind->turn != NULL && leaving->was.kind->turn(leaving->was.self, slot->now_ns, wake_ns, &err) != 0) {
        (void)sl_while(&err, "topology %s: the earlier version of sink %s", slot->topology->name, sink->name);
        sl_slot_log(slot, &err, "sink");
        if (!sink->sealed) /* else its commit says what becomes of it */
            sl_slot_leave_end(slot, s, true);
        return;
    }
    if (leaving->was.flushed) {
        if (leaving->open_items == 0 && !sink->sealed)
            sl_slot_leave_end(slot, s, false);
        return;
    }
    if (swap_is_settled(slot, s))
        sl_slot_leave_end(slot, s, false);
    else if (slot->now_ns >= leaving->deadline_ns)
        sl_slot_leave_end(slot, s, true);
    else if (leaving->deadline_ns - slot->now_ns < *wake_ns)
        *wake_ns = leaving->deadline_ns - slot->now_ns;
}

/* A sink that the topology has no more: it goes once it holds nothing, however long that takes. */
static void swap_gone_turn(struct sl_slot *slot, uint32_t s)
{
    struct sl_slot_sink *sink = &slot->sinks[s];

    if (sink->leaving != NULL || sink->sealed || (sink->now.flushed && sink->open_items > 0))
        return;
    if (!sink->now.flushed && (sink->tickets_pending > 0 || (sink->queue != NULL && !sl_slot_queue_is_empty(slot, s)) ||
                               (sink->now.kind->drain != NULL && sink->now.kind->drain(sink->now.self) != 1)))
        return;
    sl_slot_part(slot, s);
    sl_instance_close(&sink->now);
    sl_slot_queue_end(slot, s);
    swap_row_clear(slot, sink);
    slot->leaving--;
}

void sl_slot_leave_turn(struct sl_slot *slot, uint64_t *wake_ns)
{
    if (slot->leaving == 0)
        return;
    for (uint32_t s = 0; s < slot->sinks_count; s++) {
        if (slot->sinks[s].leaving != NULL)
            swap_leaving_turn(slot, s, wake_ns);
        if (slot->sinks[s].gone)
            swap_gone_turn(slot, s);
    }
}

static struct sl_leaving *swap_leaving_new(const struct sl_slot *slot)
{
    struct sl_leaving *leaving = calloc(1, sizeof(*leaving));

    if (leaving == NULL)
        return NULL;
    leaving->cap = slot->partitions_cap;
    leaving->upto = calloc(slot->partitions_cap + 1, sizeof(*leaving->upto));
    leaving->assignment = calloc(slot->partitions_cap + 1, sizeof(*leaving->assignment));
    if (leaving->upto == NULL || leaving->assignment == NULL || sl_ledger_init(&leaving->open) != 0) {
        free(leaving->upto);
        free(leaving->assignment);
        free(leaving);
        return NULL;
    }
    return leaving;
}

/* The instance in between, of a sink that still has one leaving. */
static void swap_between(struct sl_slot *slot, uint32_t s)
{
    struct sl_slot_sink *sink = &slot->sinks[s];
    struct sl_err err = {.code = SL_E_STOPPED, .remedy = SL_REMEDY_RETRY, .origin = __FILE__};

    if (!sink->now.flushed) {
        sl_slot_leave_end(slot, s, true);
        return;
    }
    (void)snprintf(err.text, sizeof(err.text), "changed again before its earlier version had finished");
    sink->now.kind->abandon(sink->now.self, NULL);
    sl_slot_rewind(slot, s, &err);
    sink->backoff_ns = 0;
    slot->paused_until_ns = slot->now_ns;
}

static bool swap_is_busy(const struct sl_slot *slot, uint32_t s)
{
    const struct sl_slot_sink *sink = &slot->sinks[s];

    if (sink->now.flushed)
        return sink->open_items > 0 || sink->sealed;
    return sink->tickets_pending > 0 || (sink->queue != NULL && sl_slot_queue_is_out(slot, s)) ||
           (sink->now.kind->drain != NULL && sink->now.kind->drain(sink->now.self) != 1);
}

/* Its instance leaves, or is closed where it holds nothing: the caller puts the new one in. `spare` is used, or freed. */
static void swap_leave(struct sl_slot *slot, uint32_t s, struct sl_leaving *spare)
{
    struct sl_slot_sink *sink = &slot->sinks[s];

    if (sink->leaving != NULL)
        swap_between(slot, s);
    if (sink->leaving != NULL || !swap_is_busy(slot, s)) {
        sl_instance_close(&sink->now);
        sl_leaving_free(spare);
        return;
    }
    for (uint32_t p = 0; p < slot->partitions_cap; p++)
        if (slot->partitions[p] != NULL) {
            spare->upto[p] = sink->positions[p].taken;
            spare->assignment[p] = slot->partitions[p]->assignment;
        }
    spare->was = sink->now;
    spare->generation = slot->left_generation;
    spare->mixed = sink->open_mix != slot->mix;
    spare->open_items = sink->now.flushed ? sink->open_items : 0;
    spare->deadline_ns = slot->now_ns + SWAP_LEAVE_NS;
    if (sink->now.flushed) {
        struct sl_ledger fresh = spare->open;
        spare->open = sink->open;
        sink->open = fresh;
        sink->open_items = 0;
    }
    sink->sealed_leaving = sink->sealed;
    sink->want_flush = false;
    sink->leaving = spare;
    slot->leaving++;
}

/* ---- what a swap needs, taken before anything is changed ---- */

struct swap_means {
    struct sl_leaving **leaving; /* by row */
    bool **reach;                /* by component, of new sources */
    char **names;                /* by component, of sinks that are renamed */
};

static void swap_means_fini(const struct sl_slot *slot, const struct sl_plan *plan, struct swap_means *means)
{
    for (uint32_t s = 0; means->leaving != NULL && s < slot->sinks_count; s++)
        sl_leaving_free(means->leaving[s]);
    for (uint32_t c = 0; means->reach != NULL && c < plan->components_count; c++)
        free(means->reach[c]);
    for (uint32_t c = 0; means->names != NULL && c < plan->components_count; c++)
        free(means->names[c]);
    free(means->leaving);
    free(means->reach);
    free(means->names);
}

/* Whether the plan brings an instance of its own for this source. */
static bool swap_opens(const struct sl_plan *plan, uint32_t c)
{
    return plan->fates[c] != SL_MERGE_KEPT && plan->fates[c] != SL_MERGE_SET;
}

static int swap_memory(const struct sl_slot *slot, struct sl_err *err)
{
    return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "topology %s: no memory to change it", slot->topology->name);
}

static int swap_means_take(struct sl_slot *slot, const struct sl_plan *plan, struct swap_means *means, struct sl_err *err)
{
    uint32_t paths = plan->paths_count - plan->paths_first;
    void **blocks = realloc(slot->path_blocks, (slot->path_blocks_count + paths + 1) * sizeof(void *));

    slot->path_blocks = blocks != NULL ? blocks : slot->path_blocks;
    means->leaving = calloc(SL_SLOT_SINKS_MAX, sizeof(struct sl_leaving *));
    means->reach = calloc(plan->components_count + 1, sizeof(bool *));
    means->names = calloc(plan->components_count + 1, sizeof(char *));
    if (blocks == NULL || means->leaving == NULL || means->reach == NULL || means->names == NULL)
        return swap_memory(slot, err);
    for (uint32_t s = 0; s < slot->sinks_count; s++)
        if (!swap_row_is_free(&slot->sinks[s]) && (means->leaving[s] = swap_leaving_new(slot)) == NULL)
            return swap_memory(slot, err);
    for (uint32_t c = 0; c < plan->components_count; c++) {
        const struct sl_component *conf = &plan->topology->components[c];
        if (conf->role == SL_SOURCE && swap_opens(plan, c) &&
            (means->reach[c] = calloc(SL_SLOT_SINKS_MAX, sizeof(bool))) == NULL)
            return swap_memory(slot, err);
        if (conf->role == SL_SINK && conf->sink.was != NULL && (means->names[c] = strdup(conf->name)) == NULL)
            return swap_memory(slot, err);
    }
    return 0;
}

static int swap_may(const struct sl_slot *slot, const struct sl_plan *plan, struct sl_err *err)
{
    uint32_t sinks = 0, sources = 0;

    if (slot->state == SL_SLOT_FAILED)
        return sl_fail(err, SL_E_STOPPED, SL_REMEDY_HALT, 0, "topology %s has stopped: %s", slot->topology->name, slot->failure.text);
    if (slot->state != SL_SLOT_RUNNING)
        return sl_fail(err, SL_E_STOPPED, SL_REMEDY_RETRY, 0, "topology %s is ending", slot->topology->name);
    if (!slot->recovered)
        return sl_fail(err, SL_E_STOPPED, SL_REMEDY_RETRY, 0, "topology %s is still starting", slot->topology->name);
    for (uint32_t c = 0; c < plan->components_count; c++) {
        enum sl_role role = plan->topology->components[c].role;
        sinks += role == SL_SINK && plan->fates[c] == SL_MERGE_NEW;
        sources += role == SL_SOURCE && swap_opens(plan, c);
    }
    if (sinks > swap_rows_free(slot) || slot->sources_count + sources > SL_SLOT_SOURCES_MAX)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "topology %s: more than %d sinks or %d sources, those that are still leaving included",
                       slot->topology->name, SL_SLOT_SINKS_MAX, SL_SLOT_SOURCES_MAX);
    return 0;
}

/* ---- the swap ---- */

/* `was:` the row goes on under its new name; the next commit writes its marks and its zone there. */
static void swap_rename(struct sl_slot *slot, struct sl_slot_sink *sink, char **name)
{
    char text[SL_COMMIT_KEY_BYTES];
    struct sl_commit_key key = {.kind = SL_KEY_ZONE, .group = sl_slot_group(slot), .sink = *name};

    free(sink->former);
    sink->former = sink->name;
    sink->name = *name;
    *name = NULL;
    if (sink->zone[0] != '\0')
        sl_slot_commit_later(slot, (struct sl_slice){text, (uint32_t)sl_commit_key_print(&key, text)}, sl_slice_of(sink->zone));
    for (uint32_t p = 0; p < slot->partitions_cap; p++)
        sink->positions[p].unmarked = true;
    slot->commit.again = true;
}

/* A sink that is there again before it had finished: what was read meanwhile is not its, and is not waited for. */
static int swap_back(struct sl_slot *slot, uint32_t s)
{
    struct sl_slot_sink *sink = &slot->sinks[s];

    for (uint32_t p = 0; p < slot->partitions_cap; p++) {
        struct sl_mark at;
        if (slot->partitions[p] == NULL || sink->positions[p].taken.next >= swap_front(slot, p))
            continue;
        at = sink->positions[p].taken;
        at.next = swap_front(slot, p);
        if (!sink->now.flushed && sl_slot_ticket_none(slot, s, p, &at) != 0)
            return -1;
        sink->positions[p].taken = at;
    }
    return 0;
}

static void swap_counts(const struct sl_slot_component *from, struct sl_slot_component *to)
{
    if (from != NULL && to != NULL && from != to && from->conf.head == to->conf.head)
        to->counts = from->counts;
}

static int swap_sink(struct sl_slot *slot, struct sl_plan *plan, uint32_t c, struct swap_means *means, struct sl_err *err)
{
    const struct sl_component *conf = &plan->topology->components[c];
    const char *known = plan->fates[c] == SL_MERGE_NEW && conf->sink.was != NULL ? conf->sink.was : conf->name;
    uint32_t s = swap_row_named(slot, known);
    struct sl_slot_sink *sink;

    if (s != UINT32_MAX) {
        bool back = slot->sinks[s].gone; /* it is there again before it had finished */
        sink = &slot->sinks[s];
        sink->gone = false;
        slot->leaving -= back;
        swap_counts(sink->now.of, plan->components[c]);
        swap_leave(slot, s, means->leaving[s]);
        means->leaving[s] = NULL;
        if (known != conf->name)
            swap_rename(slot, sink, &means->names[c]);
        if (back && swap_back(slot, s) != 0)
            return swap_memory(slot, err);
    } else {
        sink = swap_row_add(slot, conf->name);
        if (sink == NULL)
            return swap_memory(slot, err);
        swap_row_begin(slot, sink);
    }
    sink->now = plan->sinks[c];
    if (plan->zones[c][0] != '\0')
        memcpy(sink->zone, plan->zones[c], sizeof(sink->zone));
    if (sink->queue != NULL)
        sl_slot_queue_move(slot, (uint32_t)(sink - slot->sinks));
    else if (sink->now.common->when_full == SL_FULL_SPOOL)
        return sl_slot_queue_open(slot, (uint32_t)(sink - slot->sinks), err);
    return 0;
}

static void swap_sinks_gone(struct sl_slot *slot, const struct sl_plan *plan)
{
    for (uint32_t s = 0; s < slot->sinks_count; s++) {
        struct sl_slot_sink *sink = &slot->sinks[s];
        uint32_t c = sink->now.component;
        if (sink->now.kind == NULL || sink->gone || plan->fates[c] != SL_MERGE_GONE)
            continue;
        sink->gone = sink->want_flush = true;
        slot->commit.again = true;
        slot->leaving++;
    }
}

static void swap_source_leave(struct sl_slot *slot, struct sl_slot_source *source)
{
    struct sl_partition *partitions[1024];
    uint32_t count = 0;

    source->leaving = true;
    source->tree = NULL;
    slot->leaving++;
    for (uint32_t p = 0; p < slot->partitions_cap; p++)
        if (slot->partitions[p] != NULL && !slot->revoking[p] && count < 1024 && sl_slot_source_of(slot, slot->partitions[p]) == source)
            partitions[count++] = slot->partitions[p];
    sl_slot_revoke_closing(slot, source->self, partitions, count);
}

static void swap_source_add(struct sl_slot *slot, struct sl_plan *plan, uint32_t c, bool **reach)
{
    struct sl_slot_component *component = plan->components[c];

    slot->sources[slot->sources_count++] = (struct sl_slot_source){
        .component = c, .of = component, .kind = (const struct sl_source_kind *)(const void *)component->conf.head,
        .self = component->self, .sinks = *reach,
    };
    *reach = NULL;
}

static void swap_source_set(struct sl_slot *slot, struct sl_slot_source *source, const struct sl_plan *plan)
{
    const void *was = source->of->conf.config;
    struct sl_err err = {0};

    source->of->conf.config = plan->topology->components[source->component].config;
    source->of->conf.digest = plan->topology->components[source->component].digest;
    if (!source->opened || source->kind->change(source->self, was, source->of->conf.config, &err) == 0)
        return;
    (void)sl_while(&err, "topology %s: source %s", plan->topology->name, source->of->conf.name);
    sl_slot_log(slot, &err, "source");
}

static void swap_sources(struct sl_slot *slot, struct sl_plan *plan, struct swap_means *means)
{
    uint32_t before = slot->sources_count;

    for (uint32_t i = 0; i < before; i++) {
        struct sl_slot_source *source = &slot->sources[i];
        enum sl_merge_fate fate = plan->fates[source->component];
        if (source->leaving || fate == SL_MERGE_KEPT)
            continue;
        if (fate == SL_MERGE_SET) {
            swap_source_set(slot, source, plan);
            continue;
        }
        swap_counts(source->of, plan->components[source->component]);
        swap_source_leave(slot, source);
    }
    for (uint32_t c = 0; c < plan->components_count; c++)
        if (plan->topology->components[c].role == SL_SOURCE && swap_opens(plan, c))
            swap_source_add(slot, plan, c, &means->reach[c]);
}

static void swap_reach(const struct sl_node *node, bool *sinks)
{
    for (; node != NULL; node = node->sibling) {
        if (node->sink != UINT32_MAX)
            sinks[node->sink] = true;
        swap_reach(node->child, sinks);
    }
}

/* What a source that leaves still has is committed with the marks of the sinks that are there now: the source that comes after it begins at
 * these, and one that is missing would be taken for a sink that is new. */
static void swap_reach_leaving(struct sl_slot *slot)
{
    for (uint32_t i = 0; i < slot->sources_count; i++)
        for (uint32_t j = 0; slot->sources[i].leaving && j < slot->sources_count; j++)
            if (!slot->sources[j].leaving && slot->sources[j].component == slot->sources[i].component)
                memcpy(slot->sources[i].sinks, slot->sources[j].sinks, SL_SLOT_SINKS_MAX * sizeof(*slot->sources[i].sinks));
}

/* Trees learn the rows of their sinks, sources their trees; letters that are replayed reach all that their sources do. */
static void swap_trees(struct sl_slot *slot, struct sl_plan *plan)
{
    for (uint32_t n = 0; n < plan->nodes_count; n++)
        plan->nodes[n].sink = plan->topology->components[plan->nodes[n].component].role == SL_SINK
                                  ? sl_slot_sink_of(slot, plan->nodes[n].component)
                                  : UINT32_MAX;
    slot->dead_sink = sl_slot_sink_of(slot, (uint32_t)plan->topology->dead_letters);
    for (uint32_t i = 0; i < slot->sources_count; i++) {
        struct sl_slot_source *source = &slot->sources[i];
        if (source->leaving)
            continue;
        memset(source->sinks, 0, SL_SLOT_SINKS_MAX * sizeof(*source->sinks));
        source->tree = plan->trees[source->component];
        swap_reach(source->tree, source->sinks);
        source->sinks[slot->dead_sink] = true;
        for (uint32_t c = 0; slot->shared->replay && c < plan->components_count; c++)
            if (plan->topology->components[c].role == SL_PAST)
                swap_reach(plan->trees[c], source->sinks);
    }
    swap_reach_leaving(slot);
}

static void swap_plan(struct sl_slot *slot, struct sl_plan *plan)
{
    for (uint32_t i = plan->paths_first; i < plan->paths_count; i++)
        slot->path_blocks[slot->path_blocks_count++] = (void *)(uintptr_t)plan->paths[i].segments;
    for (uint32_t c = 0; c < plan->components_count; c++) {
        if (plan->components[c] == NULL)
            continue;
        plan->components[c]->apart = false;
        if (slot->plan != NULL && c < slot->plan->components_count && plan->components[c]->conf.role == SL_OPERATOR)
            swap_counts(slot->plan->components[c], plan->components[c]);
    }
    plan->installed = true;
    slot->plan = plan;
    __atomic_store_n(&slot->topology, plan->topology, __ATOMIC_RELEASE); /* sl_slot_topology, from jobs */
    slot->components = plan->components;
}

static bool swap_masks(const struct sl_plan *plan)
{
    for (uint32_t c = 0; c < plan->components_count; c++)
        if (plan->components[c] != NULL && plan->components[c]->conf.role == SL_OPERATOR &&
            ((const struct sl_op_kind *)(const void *)plan->components[c]->conf.head)->mask != NULL)
            return true;
    return false;
}

/* Rule H3: by name, kind and the version of the state. What cannot be handed over begins anew, and that is said. */
static void swap_states(struct sl_slot *slot, struct sl_plan *old, struct sl_plan *plan)
{
    for (uint32_t c = 0; c < old->components_count; c++) {
        const struct sl_op_kind *kind;
        struct sl_err err = {0};
        if (old->components[c] == NULL || plan->components[c] == NULL || old->components[c]->conf.role != SL_OPERATOR ||
            plan->components[c]->conf.role != SL_OPERATOR || old->components[c]->conf.head != plan->components[c]->conf.head)
            continue;
        kind = (const struct sl_op_kind *)(const void *)plan->components[c]->conf.head;
        if (kind->adopt == NULL || kind->state_version(old->components[c]->self) != kind->state_version(plan->components[c]->self) ||
            kind->adopt(plan->components[c]->self, old->components[c]->self, true, &err) == 0)
            continue;
        (void)sl_while(&err, "topology %s: what stage %s knew is not handed over", plan->topology->name, plan->components[c]->conf.name);
        sl_slot_log(slot, &err, "state");
    }
}

/* Jobs that were submitted under the old plan may still read its topology: once this one has run, none does. */
static void swap_fence_run(struct sl_job *job)
{
    (void)job;
}

static void swap_fence(struct sl_slot *slot);

static void swap_fence_done(struct sl_job *job)
{
    struct sl_slot *slot = (struct sl_slot *)(void *)((char *)job - offsetof(struct sl_slot, fence));
    bool again = slot->fences > 1;

    slot->leaving--;
    slot->fences = 0;
    if (again)
        swap_fence(slot);
}

static void swap_fence(struct sl_slot *slot)
{
    if (slot->fences++ > 0)
        return;
    slot->leaving++;
    slot->fence.run = swap_fence_run;
    slot->fence.done = swap_fence_done;
    slot->env.submit(slot->env.user, &slot->fence);
}

/* What a tap may show was decided under the old version; one that masks for the first time ends the taps. */
static void swap_taps(struct sl_slot *slot, const struct sl_plan *old, const struct sl_plan *plan)
{
    if (!swap_masks(old) && swap_masks(plan))
        slot->taps = NULL;
}

int sl_slot_swap(struct sl_slot *slot, struct sl_plan *plan, struct sl_plan **ret_old, struct sl_err *err)
{
    struct swap_means means = {0};
    struct sl_plan *old = slot->plan;
    int status = swap_may(slot, plan, err);

    assert(slot->magic == SL_SLOT_MAGIC && plan->slot == slot && !plan->installed);
    sl_slot_trial_end(slot); /* of this plan, or of one that is given up */
    if (status == 0)
        status = swap_means_take(slot, plan, &means, err);
    if (status != 0) {
        swap_means_fini(slot, plan, &means);
        return status;
    }
    slot->now_ns = slot->env.now_ns(slot->env.user);
    slot->left_generation = old->generation;
    swap_plan(slot, plan);
    sl_plan_disown(old);
    for (uint32_t c = 0; c < plan->components_count; c++)
        if (plan->topology->components[c].role == SL_SINK && plan->fates[c] != SL_MERGE_KEPT && swap_sink(slot, plan, c, &means, err) != 0)
            status = -(int)err->code;
    swap_sinks_gone(slot, plan);
    swap_sources(slot, plan, &means);
    swap_means_fini(slot, plan, &means);
    slot->swaps++;
    slot->mix++;
    swap_trees(slot, plan);
    swap_states(slot, old, plan);
    swap_taps(slot, old, plan);
    swap_fence(slot);
    slot->faulted = false;
    *ret_old = old;
    slot->env.wake(slot->env.user);
    if (status != 0) /* what is left: no memory, or the spool refuses a queue. The plan is in, and the slot's: this is no refusal */
        sl_slot_fail(slot, err);
    return 0;
}

bool sl_slot_settled(const struct sl_slot *slot)
{
    return slot->leaving == 0;
}

/* ---- the first plan ---- */

static int start_sink(struct sl_slot *slot, struct sl_plan *plan, uint32_t c, struct sl_err *err)
{
    const struct sl_component *conf = &plan->topology->components[c];
    struct sl_slot_sink *sink = slot->sinks_count == SL_SLOT_SINKS_MAX ? NULL : swap_row_add(slot, conf->name);

    if (sink == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "topology %s: no memory for sink %s, or more than %d of them",
                       plan->topology->name, conf->name, SL_SLOT_SINKS_MAX);
    sink->now = plan->sinks[c];
    return sink->now.common->when_full == SL_FULL_SPOOL ? sl_slot_queue_open(slot, (uint32_t)(sink - slot->sinks), err) : 0;
}

static int start_sources(struct sl_slot *slot, struct sl_plan *plan, struct sl_err *err)
{
    for (uint32_t c = 0; c < plan->components_count; c++) {
        bool *reach;
        if (plan->topology->components[c].role != SL_SOURCE)
            continue;
        reach = slot->sources_count == SL_SLOT_SOURCES_MAX ? NULL : calloc(SL_SLOT_SINKS_MAX, sizeof(*reach));
        if (reach == NULL)
            return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "topology %s: no memory for its sources, or more than %d of them",
                           plan->topology->name, SL_SLOT_SOURCES_MAX);
        swap_source_add(slot, plan, c, &reach);
    }
    return 0;
}

int sl_slot_start(struct sl_slot *slot, struct sl_plan *plan, struct sl_err *err)
{
    struct sl_err other;
    int status = 0;

    slot->sinks = calloc(SL_SLOT_SINKS_MAX, sizeof(*slot->sinks));
    slot->sources = calloc(SL_SLOT_SOURCES_MAX, sizeof(*slot->sources));
    slot->live.leaves = calloc(SL_SLOT_SINKS_MAX, sizeof(*slot->live.leaves));
    slot->path_blocks = calloc(plan->paths_count + 1, sizeof(void *));
    if (slot->sinks == NULL || slot->sources == NULL || slot->live.leaves == NULL || slot->path_blocks == NULL) {
        (void)sl_plan_free(plan);
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "no memory for topology %s", slot->topology->name);
    }
    swap_plan(slot, plan);
    for (uint32_t c = 0; c < plan->components_count; c++)
        if (plan->topology->components[c].role == SL_SINK && start_sink(slot, plan, c, err) != 0)
            status = -(int)err->code;
    if (start_sources(slot, plan, status == 0 ? err : &other) != 0 && status == 0) /* also then: they are the slot's to free */
        status = -(int)err->code;
    if (status == 0 && sl_slot_positions_init(slot) != 0)
        status = sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "no memory for topology %s", slot->topology->name);
    if (status == 0)
        swap_trees(slot, plan);
    return status;
}

/* ---- sources that are to be opened ---- */

static bool source_is_leaving(const struct sl_slot *slot, uint32_t component)
{
    for (uint32_t i = 0; i < slot->sources_count; i++)
        if (slot->sources[i].component == component && slot->sources[i].leaving)
            return true;
    return false;
}

static int source_open(struct sl_slot *slot, struct sl_slot_source *source, struct sl_err *err)
{
    if (source->kind->open(source->self, &source->of->api, source->of->conf.config, slot, err) != 0) {
        source->kind->close(source->self);
        memset(source->self, 0, source->kind->head.self_bytes);
        return sl_while(err, "source %s", source->of->conf.name);
    }
    source->opened = true;
    source->backoff_ns = 0;
    return 0;
}

int sl_slot_sources_turn(struct sl_slot *slot, bool start, uint64_t *wake_ns, struct sl_err *err)
{
    for (uint32_t i = 0; i < slot->sources_count; i++) {
        struct sl_slot_source *source = &slot->sources[i];
        if (source->opened || source->leaving || source_is_leaving(slot, source->component))
            continue;
        if (slot->now_ns < source->retry_at_ns) {
            if (source->retry_at_ns - slot->now_ns < *wake_ns)
                *wake_ns = source->retry_at_ns - slot->now_ns;
            continue;
        }
        if (source_open(slot, source, err) == 0)
            continue;
        if (start)
            return -(int)err->code;
        (void)sl_while(err, "topology %s", slot->topology->name);
        sl_slot_log(slot, err, "source");
        source->retry_at_ns = slot->now_ns + SWAP_SOURCE_BACKOFF_NS;
        *wake_ns = SWAP_SOURCE_BACKOFF_NS < *wake_ns ? SWAP_SOURCE_BACKOFF_NS : *wake_ns;
    }
    return 0;
}
