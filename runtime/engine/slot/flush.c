/* flush.c: the commit state machine of a slot (DELIVERY rules C1-C3, J4). The states and their arrows are drawn at
 * enum sl_commit_state. Everything before the commit record is invisible, everything after it can be redone.
 *
 * Invariants: (1) at most one commit is under way; (2) a mark is committed only together with, or after, what it stands for;
 * (3) a sealed flush is either published, or abandoned and its sink rewound, before the next seal; (4) what happens to batches
 * meanwhile belongs to the next commit.
 * SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/engine/slot/slot_private.h"
#include "runtime/engine/slot/trial.h"

#define FLUSH_BACKOFF_MIN_NS (100 * 1000000ull)
#define FLUSH_BACKOFF_MAX_NS (30 * 1000000000ull)

enum { FLUSH_PART_BYTES = 512 * 1024, FLUSH_EVERY_DEFAULT_S = 1, FLUSH_EVERY_EXACT_S = 10 };

static uint64_t flush_sealed(const struct sl_position *position)
{
    return position->sealed.next;
}

static bool flush_mark_eq(const struct sl_mark *a, const struct sl_mark *b)
{
    return a->next == b->next && a->last_offset == b->last_offset;
}

/* ---- what to commit ---- */

/* What a sink may have committed without a flush: all that is acknowledged; of a flushed sink, all while it holds nothing. */
static const struct sl_mark *flush_free_mark(const struct sl_slot_sink *sink, const struct sl_position *position)
{
    if (!sink->now.flushed)
        return &position->done;
    return sink->open_items == 0 && sink->flush == NULL && sink->leaving == NULL ? &position->taken : &position->done;
}

static bool flush_dirty(const struct sl_slot *slot)
{
    for (uint32_t p = 0; p < slot->partitions_cap; p++) {
        if (slot->partitions[p] == NULL)
            continue;
        for (uint32_t s = 0; s < slot->sinks_count; s++) {
            const struct sl_position *position = &slot->sinks[s].positions[p];
            if (!flush_mark_eq(flush_free_mark(&slot->sinks[s], position), &position->committed))
                return true;
        }
    }
    return slot->commit.tombstones_count > 0 || slot->commit.later.bytes > 0 || slot->commit.again || slot->commit.again_sealed;
}

static uint64_t flush_every_ns(const struct sl_slot *slot, uint64_t otherwise_s)
{
    return slot->topology->commit_every_ns != 0 ? slot->topology->commit_every_ns : otherwise_s * 1000000000ull;
}

static void flush_wake(uint64_t *wake_ns, uint64_t now_ns, uint64_t at_ns)
{
    uint64_t left = at_ns > now_ns ? at_ns - now_ns : 0;

    *wake_ns = left < *wake_ns ? left : *wake_ns;
}

/* Exactly-once records become visible at the commit's rhythm (rule D). */
static bool flush_rhythm(const struct sl_slot *slot, const struct sl_slot_sink *sink, uint64_t *wake_ns)
{
    uint64_t due_ns = slot->commit.last_ns + flush_every_ns(slot, FLUSH_EVERY_EXACT_S);

    if ((sink->now.flags & SL_SINK_NEEDS_KAFKA_COMMIT) == 0)
        return false;
    if (slot->now_ns < due_ns)
        flush_wake(wake_ns, slot->now_ns, due_ns);
    return slot->now_ns >= due_ns;
}

static bool flush_wanted(struct sl_slot *slot, uint64_t *wake_ns)
{
    bool wanted = false;

    for (uint32_t s = 0; s < slot->sinks_count; s++) {
        struct sl_slot_sink *sink = &slot->sinks[s];
        if (sink->leaving != NULL && sink->leaving->was.flushed) { /* it holds the new instance's flushes up */
            wanted = wanted || sink->leaving->open_items > 0;
            continue;
        }
        if (!sink->now.flushed || sink->open_items == 0 || sink->now.kind == NULL)
            continue;
        if (sink->want_flush || slot->flush_all || sink->now.kind->want(sink->now.self, slot->now_ns) || flush_rhythm(slot, sink, wake_ns))
            sink->want_flush = wanted = true;
    }
    if (wanted && slot->sinks[slot->dead_sink].now.flushed && slot->sinks[slot->dead_sink].open_items > 0)
        slot->sinks[slot->dead_sink].want_flush = true; /* letters go along: alone they would hold the offsets for their own rhythm */
    return wanted;
}

static void flush_log(struct sl_slot *slot, struct sl_err *err, const char *what)
{
    (void)sl_while(err, "topology %s", slot->topology->name);
    sl_slot_log(slot, err, what);
}

static int flush_add_flush(struct sl_slot_commit *commit, struct sl_flush *flush)
{
    struct sl_flush **flushes = realloc(commit->what.flushes, (commit->what.flushes_count + 1) * sizeof(struct sl_flush *));

    if (flushes == NULL)
        return -1;
    commit->what.flushes = flushes;
    flushes[commit->what.flushes_count++] = flush;
    return 0;
}

/* A sink whose earlier instance has not finished: that one's turn, up to where the new one began. */
static bool flush_seals_leaving(const struct sl_slot_sink *sink)
{
    return sink->leaving != NULL && sink->leaving->was.flushed && sink->leaving->open_items > 0;
}

static bool flush_seals(const struct sl_slot_sink *sink)
{
    return flush_seals_leaving(sink) || (sink->leaving == NULL && sink->now.kind != NULL && sink->now.flushed && sink->want_flush && sink->open_items > 0);
}

static int flush_seal_sink(struct sl_slot *slot, uint32_t s, struct sl_err *err)
{
    struct sl_slot_sink *sink = &slot->sinks[s];
    struct sl_leaving *leaving = flush_seals_leaving(sink) ? sink->leaving : NULL;
    const struct sl_instance *of = leaving != NULL ? &leaving->was : &sink->now;
    struct sl_ledger *open = leaving != NULL ? &leaving->open : &sink->open;

    if (of->kind->seal(of->self, slot->commit.number, &sink->flush, err) != 0)
        return -(int)err->code;
    if (sink->flush != NULL) {
        sink->flush->generation = leaving != NULL ? leaving->generation : slot->plan->generation;
        sink->flush->several = leaving != NULL ? leaving->mixed : sink->open_mix != slot->mix || sl_trial_is_canary(slot);
    }
    sink->sealed = true; /* flush NULL: only empty ranges were taken; their marks are free */
    sink->sealed_leaving = leaving != NULL;
    sink->flush_self = of->self;
    if (leaving != NULL) {
        leaving->open_items = 0;
    } else {
        sink->want_flush = false;
        sink->open_items = 0;
    }
    if (sl_slot_is_letters(slot, s))
        sl_slot_refuse_sealed(slot);
    sl_ledger_fini(&sink->sealed_ledger);
    sink->sealed_ledger = *open;
    if (sink->flush != NULL)
        sink->flush->ledger = &sink->sealed_ledger;
    if (sl_ledger_init(open) != 0)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory for a ledger");
    return 0;
}

/* What the sink's mark of this commit is. */
static const struct sl_mark *flush_seal_mark(const struct sl_slot *slot, const struct sl_slot_sink *sink, uint32_t p)
{
    const struct sl_position *position = &sink->positions[p];

    if (!sink->sealed)
        return flush_free_mark(sink, position);
    if (!sink->sealed_leaving)
        return &position->taken;
    return p < sink->leaving->cap && sink->leaving->assignment[p] == slot->partitions[p]->assignment ? &sink->leaving->upto[p]
                                                                                                   : &position->done;
}

/* Seals what is wanted and notes every sink's mark of this commit. The number rises over restarts: the epoch leads it. */
static int flush_seal(struct sl_slot *slot, struct sl_err *err)
{
    struct sl_slot_commit *commit = &slot->commit;
    int status = 0;

    commit->number = sl_slot_flush_number(slot);
    for (uint32_t s = 0; s < slot->sinks_count && status == 0; s++) {
        slot->sinks[s].sealed = false;
        if (!flush_seals(&slot->sinks[s]))
            continue;
        commit->failed_sink = s;
        status = flush_seal_sink(slot, s, err);
        if (status == 0 && slot->sinks[s].flush != NULL && flush_add_flush(commit, slot->sinks[s].flush) != 0)
            status = sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory for a commit");
    }
    for (uint32_t p = 0; p < slot->partitions_cap; p++) {
        if (slot->partitions[p] == NULL)
            continue;
        for (uint32_t s = 0; s < slot->sinks_count; s++) {
            struct sl_position *position = &slot->sinks[s].positions[p];
            position->in_commit = false;
            position->sealed = *flush_seal_mark(slot, &slot->sinks[s], p);
        }
    }
    return status;
}

/* The entry, in as many records as it needs: each part's value is the number of parts and its piece. */
static void flush_add_entry(struct sl_slot *slot, const struct sl_slot_sink *sink)
{
    struct sl_slot_commit *commit = &slot->commit;
    struct sl_slice entry = sink->flush->entry;
    uint32_t parts = entry.bytes / FLUSH_PART_BYTES + 1;
    struct sl_buf value = {0};
    char text[SL_COMMIT_KEY_BYTES];

    for (uint32_t part = 0; part < parts; part++) {
        struct sl_commit_key key = {.kind = SL_KEY_FLUSH, .group = sl_slot_group(slot), .node = slot->shared->node,
                                    .sink = sink->name, .number = commit->number,
                                    .part = part};
        uint32_t from = part * FLUSH_PART_BYTES, left = entry.bytes - from;
        struct sl_slice name;
        name = (struct sl_slice){text, (uint32_t)sl_commit_key_print(&key, text)};
        sl_buf_reset(&value);
        sl_buf_append(&value, &parts, sizeof(parts));
        sl_buf_append(&value, entry.data + from, left < FLUSH_PART_BYTES ? left : FLUSH_PART_BYTES);
        if (sl_buf_failed(&value))
            commit->what.changes.failed = true;
        else
            sl_domain_change(&commit->what, name, (struct sl_slice){value.data, (uint32_t)value.bytes});
        sl_buf_append(&commit->sealed_tombstones, &name.bytes, sizeof(name.bytes));
        sl_buf_append(&commit->sealed_tombstones, text, name.bytes);
    }
    sl_buf_fini(&value);
}

static void flush_add_mark(struct sl_slot *slot, const struct sl_partition *partition, const char *sink, const struct sl_mark *mark)
{
    char text[SL_COMMIT_KEY_BYTES], value[SL_MARK_BYTES];
    const struct sl_commit_key key = {.kind = SL_KEY_MARK, .group = sl_slot_group(slot), .source = partition->source, .sink = sink,
                                      .topic = partition->topic, .id = partition->id};
    const struct sl_slice name = {text, (uint32_t)sl_commit_key_print(&key, text)};

    sl_domain_change(&slot->commit.what, name, mark == NULL ? (struct sl_slice){NULL, 0}
                                                            : (struct sl_slice){value, (uint32_t)sl_mark_print(mark, partition->incarnation, value)});
}

static bool flush_is_name(const struct sl_slot *slot, const char *name)
{
    for (uint32_t s = 0; s < slot->sinks_count; s++)
        if (slot->sinks[s].name != NULL && strcmp(slot->sinks[s].name, name) == 0)
            return true;
    return false;
}

/* Marks under the name that the sink had before go in the commit that writes them under its own. */
static void flush_add_renamed(struct sl_slot *slot, const struct sl_partition *partition, const struct sl_slot_sink *sink)
{
    const char *names[] = {sink->former, sink->now.common->was};

    for (int n = 0; n < 2; n++)
        if (names[n] != NULL && !flush_is_name(slot, names[n]))
            flush_add_mark(slot, partition, names[n], NULL);
}

/* A sink that the topology has no more is not reached, but what it finishes is its own. */
static bool flush_is_marked(const struct sl_slot_source *source, const struct sl_slot_sink *sink, uint32_t s)
{
    return source->sinks[s] || (sink->gone && sink->now.kind != NULL);
}

static void flush_add_marks(struct sl_slot *slot, struct sl_partition *partition)
{
    const struct sl_slot_source *source = sl_slot_source_of(slot, partition);

    for (uint32_t s = 0; s < slot->sinks_count; s++) {
        struct sl_slot_sink *sink = &slot->sinks[s];
        struct sl_position *position = &sink->positions[partition->index];
        if (!flush_is_marked(source, sink, s) || (!position->unmarked && flush_mark_eq(&position->sealed, &position->committed)))
            continue;
        position->in_commit = true;
        if (position->unmarked)
            flush_add_renamed(slot, partition, sink);
        flush_add_mark(slot, partition, sink->name, &position->sealed);
    }
}

/* ---- marks of sinks that are no more ---- */

static uint64_t flush_identity(const struct sl_partition *partition)
{
    return sl_record_hash(sl_slice_of(partition->source)) ^ sl_record_hash(sl_slice_of(partition->topic)) * 3 ^
           sl_record_hash(sl_slice_of(partition->id)) * 5;
}

uint64_t sl_slot_parted(const struct sl_slot *slot, const char *sink, uint32_t partition)
{
    uint64_t next = 0;

    for (const struct sl_parted *parted = slot->parted; parted != NULL; parted = parted->next)
        if (strcmp(parted->sink, sink) == 0 && parted->identity == flush_identity(slot->partitions[partition]) &&
            parted->incarnation == slot->partitions[partition]->incarnation && parted->mark.next > next)
            next = parted->mark.next;
    return next;
}

void sl_slot_part(struct sl_slot *slot, uint32_t s)
{
    const struct sl_slot_sink *sink = &slot->sinks[s];
    size_t bytes = strlen(sink->name) + 1;

    for (uint32_t p = 0; p < slot->partitions_cap; p++) {
        struct sl_parted *parted = slot->partitions[p] == NULL ? NULL : malloc(sizeof(*parted) + bytes);
        if (parted == NULL) /* of another assignment, or no memory: the mark stays where it is */
            continue;
        *parted = (struct sl_parted){.mark = sink->positions[p].committed, .partition = p, .incarnation = slot->partitions[p]->incarnation,
                                     .assignment = slot->partitions[p]->assignment, .identity = flush_identity(slot->partitions[p]),
                                     .next = slot->parted};
        memcpy(parted->sink, sink->name, bytes);
        slot->parted = parted;
    }
}

/* A partition of our own that was assigned again, as to a source that was changed. */
static bool flush_parted_again(const struct sl_slot *slot, struct sl_parted *parted)
{
    for (uint32_t p = 0; !sl_domain_is_kafka(slot->domain) && p < slot->partitions_cap; p++) {
        if (slot->partitions[p] == NULL || slot->partitions[p]->incarnation != parted->incarnation ||
            flush_identity(slot->partitions[p]) != parted->identity)
            continue;
        parted->partition = p;
        parted->assignment = slot->partitions[p]->assignment;
        return true;
    }
    return false;
}

/* What is over: its partition was given up, or there is a sink of that name again. `committed`: and what this commit has removed. */
static void flush_parted_sweep(struct sl_slot *slot, bool committed)
{
    struct sl_parted **last = &slot->parted;

    while (*last != NULL) {
        struct sl_parted *parted = *last;
        const struct sl_partition *partition = slot->partitions[parted->partition];
        bool owned = partition != NULL && partition->assignment == parted->assignment;
        if ((committed && parted->in_commit) || flush_is_name(slot, parted->sink) ||
            (!owned && !flush_parted_again(slot, parted) && sl_domain_is_kafka(slot->domain))) {
            *last = parted->next;
            free(parted);
            continue;
        }
        parted->in_commit = false;
        last = &parted->next;
    }
}

static void flush_add_parted(struct sl_slot *slot, const struct sl_partition *partition)
{
    uint64_t lowest = sl_slot_lowest(slot, partition->index, false, flush_sealed);

    for (uint32_t s = 0; s < slot->sinks_count; s++) /* one that goes and has not finished may come back, and be the slowest */
        if (slot->sinks[s].gone && slot->sinks[s].positions[partition->index].sealed.next < lowest)
            lowest = slot->sinks[s].positions[partition->index].sealed.next;
    for (struct sl_parted *parted = slot->parted; parted != NULL; parted = parted->next) {
        if (parted->partition != partition->index || parted->assignment != partition->assignment || lowest < parted->mark.next)
            continue;
        parted->in_commit = true;
        flush_add_mark(slot, partition, parted->sink, NULL);
    }
}

/* Kafka: the committed offset is the lowest over the required sinks; every sink's own mark is its metadata (rule B3). */
static int flush_add_offset(struct sl_slot *slot, const struct sl_partition *partition)
{
    const struct sl_slot_source *source = sl_slot_source_of(slot, partition);
    struct sl_named_mark rows[SL_MARK_ROWS];
    char metadata[SL_MARK_METADATA_BYTES + 1];
    uint32_t count = 0, written = 0;
    size_t bytes;

    for (uint32_t s = 0; s < slot->sinks_count && count < SL_MARK_ROWS; s++)
        if (flush_is_marked(source, &slot->sinks[s], s))
            rows[count++] = (struct sl_named_mark){slot->sinks[s].name,
                                                   slot->sinks[s].positions[partition->index].sealed,
                                                   partition->incarnation};
    for (const struct sl_parted *parted = slot->parted; parted != NULL && count < SL_MARK_ROWS; parted = parted->next)
        if (parted->partition == partition->index && !parted->in_commit)
            rows[count++] = (struct sl_named_mark){parted->sink, parted->mark, parted->incarnation};
    bytes = sl_marks_print(rows, count, metadata, &written);
    return sl_klog_list_add(&slot->commit.what.offsets, partition->topic, partition->number,
                            (int64_t)sl_slot_lowest(slot, partition->index, true, flush_sealed), metadata, (uint32_t)bytes);
}

/* Also where a sink has no mark yet, or none under its new name: the same commit may remove those of its old one, and a mark that is missing
 * would then be taken for a sink that is new. */
static bool flush_moved(struct sl_slot *slot, uint32_t p)
{
    const struct sl_slot_source *source = sl_slot_source_of(slot, slot->partitions[p]);

    if (slot->commit.again_sealed)
        return true;
    for (uint32_t s = 0; s < slot->sinks_count; s++) {
        const struct sl_position *position = &slot->sinks[s].positions[p];
        if (!flush_mark_eq(&position->sealed, &position->committed) || (source->sinks[s] && position->unmarked))
            return true;
    }
    return false;
}

static void flush_add_tombstones(struct sl_slot_commit *commit)
{
    size_t at = 0;

    while (at < commit->tombstones.bytes) {
        uint32_t bytes;
        memcpy(&bytes, commit->tombstones.data + at, sizeof(bytes));
        at += sizeof(bytes);
        sl_domain_change(&commit->what, (struct sl_slice){commit->tombstones.data + at, bytes}, (struct sl_slice){NULL, 0});
        at += bytes;
    }
}

void sl_slot_commit_later(struct sl_slot *slot, struct sl_slice key, struct sl_slice value)
{
    uint32_t value_bytes = value.data == NULL ? UINT32_MAX : value.bytes;

    sl_buf_append(&slot->commit.later, &key.bytes, sizeof(key.bytes));
    sl_buf_append(&slot->commit.later, &value_bytes, sizeof(value_bytes));
    sl_buf_append(&slot->commit.later, key.data, key.bytes);
    sl_buf_append(&slot->commit.later, value.data, value.data == NULL ? 0 : value.bytes);
}

/* What a swap has left for the commit: first, since marks of this commit go above it. */
static void flush_add_later(struct sl_slot_commit *commit)
{
    size_t at = 0;

    commit->later_sealed = commit->later.bytes;
    while (at < commit->later_sealed) {
        uint32_t bytes[2];
        const char *key;
        memcpy(bytes, commit->later.data + at, sizeof(bytes));
        key = commit->later.data + at + sizeof(bytes);
        sl_domain_change(&commit->what, (struct sl_slice){key, bytes[0]},
                         bytes[1] == UINT32_MAX ? (struct sl_slice){NULL, 0} : (struct sl_slice){key + bytes[0], bytes[1]});
        at += sizeof(bytes) + bytes[0] + (bytes[1] == UINT32_MAX ? 0 : bytes[1]);
    }
}

static void flush_later_done(struct sl_slot_commit *commit)
{
    struct sl_buf rest = {0};

    sl_buf_append(&rest, commit->later.data + commit->later_sealed, commit->later.bytes - commit->later_sealed);
    sl_buf_fini(&commit->later);
    commit->later = rest;
    commit->later_sealed = 0;
}

static int flush_compose(struct sl_slot *slot, struct sl_err *err)
{
    struct sl_slot_commit *commit = &slot->commit;

    sl_buf_reset(&commit->sealed_tombstones);
    commit->again_sealed = commit->again_sealed || commit->again;
    commit->again = false;
    flush_add_later(commit);
    flush_parted_sweep(slot, false);
    for (uint32_t s = 0; s < slot->sinks_count; s++) {
        const struct sl_slot_sink *sink = &slot->sinks[s];
        if (!sink->sealed || sink->flush == NULL)
            continue;
        if (sink->flush->entry.data != NULL)
            flush_add_entry(slot, sink);
    }
    for (uint32_t p = 0; p < slot->partitions_cap; p++) {
        if (slot->partitions[p] == NULL || !flush_moved(slot, p))
            continue;
        flush_add_marks(slot, slot->partitions[p]);
        flush_add_parted(slot, slot->partitions[p]);
        if (sl_domain_is_kafka(slot->domain) && flush_add_offset(slot, slot->partitions[p]) != 0)
            return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory for a commit");
    }
    flush_add_tombstones(commit);
    return 0;
}

/* ---- the machine ---- */

static struct sl_slot_commit *flush_of(struct sl_job *job)
{
    return (struct sl_slot_commit *)job;
}

static void flush_submit(struct sl_slot *slot, enum sl_commit_state state, void (*run)(struct sl_job *), void (*done)(struct sl_job *))
{
    slot->commit.state = state;
    slot->commit.status = 0;
    slot->commit.job.run = run;
    slot->commit.job.done = done;
    slot->env.submit(slot->env.user, &slot->commit.job);
}

static void flush_idle(struct sl_slot *slot)
{
    sl_domain_commit_reset(slot->domain, &slot->commit.what);
    slot->commit.state = SL_COMMIT_IDLE;
    slot->commit.last_ns = slot->now_ns;
}

static void flush_back_off(struct sl_slot_commit *commit, uint64_t now_ns)
{
    commit->backoff_ns = commit->backoff_ns == 0 ? FLUSH_BACKOFF_MIN_NS : commit->backoff_ns * 2;
    if (commit->backoff_ns > FLUSH_BACKOFF_MAX_NS)
        commit->backoff_ns = FLUSH_BACKOFF_MAX_NS;
    commit->retry_at_ns = now_ns + commit->backoff_ns;
}

static void flush_release(struct sl_slot_sink *sink)
{
    if (sink->flush != NULL)
        sink->flush->kind->release_flush(sink->flush_self, sink->flush);
    sink->flush = NULL;
}

/* Nothing of this commit happened: its flushes are removed and their sinks read again. */
static void flush_abandon(struct sl_slot *slot, const struct sl_err *why)
{
    struct sl_err err = *why;

    slot->commit_failures++;
    for (uint32_t s = 0; s < slot->sinks_count; s++) {
        struct sl_slot_sink *sink = &slot->sinks[s];
        if (!sink->sealed)
            continue;
        if (sink->now.kind != NULL)
            sink->now.kind->abandon(sink->now.self, NULL);
        if (sink->sealed_leaving)
            sink->leaving->was.kind->abandon(sink->leaving->was.self, NULL);
        if (sink->flush != NULL)
            sink->flush->kind->abandon(sink->flush_self, sink->flush);
        flush_release(sink);
        sink->sealed = false;
        if (sl_slot_is_letters(slot, s))
            sl_slot_refuse_lost(slot, true);
        if (sink->sealed_leaving)
            sl_slot_leave_end(slot, s, true);
        else
            sl_slot_rewind(slot, s, NULL);
    }
    flush_back_off(&slot->commit, slot->now_ns);
    flush_log(slot, &err, "commit failed");
    flush_idle(slot);
    if (why->remedy == SL_REMEDY_HALT)
        sl_slot_fail(slot, &err);
}

static void flush_publish_done(struct sl_job *job);

static void flush_publish_run(struct sl_job *job)
{
    struct sl_slot_commit *commit = flush_of(job);

    for (uint32_t i = 0; i < commit->what.flushes_count && commit->status == 0; i++) {
        struct sl_flush *flush = commit->what.flushes[i];
        if (flush->kind->publish != NULL)
            commit->status = flush->kind->publish(flush, &commit->err);
    }
}

static void flush_publish_done(struct sl_job *job)
{
    struct sl_slot_commit *commit = flush_of(job);
    struct sl_slot *slot = commit->slot;

    if (commit->status != 0) { /* committed: it must be published, now or after a restart */
        flush_back_off(commit, slot->now_ns);
        commit->waiting = true;
        flush_log(slot, &commit->err, "committed files wait to be published");
        if (commit->err.remedy == SL_REMEDY_HALT)
            sl_slot_fail(slot, &commit->err);
        return;
    }
    commit->backoff_ns = 0;
    for (uint32_t s = 0; s < slot->sinks_count; s++) {
        struct sl_slot_sink *sink = &slot->sinks[s];
        if (!sink->sealed)
            continue;
        sink->sealed = false;
        sink->backoff_ns = 0;
        flush_release(sink);
        if (sink->sealed_leaving && sink->leaving->open_items == 0)
            sl_slot_leave_end(slot, s, false);
        sink->sealed_leaving = false;
    }
    sl_buf_reset(&commit->tombstones);
    sl_buf_append(&commit->tombstones, commit->sealed_tombstones.data, commit->sealed_tombstones.bytes);
    commit->tombstones_count = commit->tombstones.bytes > 0;
    flush_idle(slot);
}

/* The commit record exists: marks are what it says, and the ledger's rows count (rule J4). */
static void flush_apply(struct sl_slot *slot)
{
    slot->commits++;
    flush_later_done(&slot->commit);
    slot->commit.again_sealed = false;
    flush_parted_sweep(slot, true);
    for (uint32_t s = 0; s < slot->sinks_count; s++) {
        struct sl_slot_sink *sink = &slot->sinks[s];
        if (!sink->sealed)
            continue;
        if (sl_slot_is_letters(slot, s))
            sl_slot_refuse_committed(slot);
        if (sl_ledger_add(&slot->ledger, &sink->sealed_ledger) != 0) {
            struct sl_err err;
            (void)sl_fail(&err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory for the ledger: counters are too low from here on");
            flush_log(slot, &err, "ledger");
        }
    }
    for (uint32_t p = 0; p < slot->partitions_cap; p++) {
        struct sl_slot_source *source;
        if (slot->partitions[p] == NULL || slot->partitions[p]->assignment > slot->commit.assignments)
            continue;
        for (uint32_t s = 0; s < slot->sinks_count; s++) {
            struct sl_position *position = &slot->sinks[s].positions[p];
            position->committed = position->sealed;
            position->unmarked = position->unmarked && !position->in_commit;
            position->in_commit = false;
            if (slot->sinks[s].now.flushed && position->done.next < position->sealed.next)
                position->done = position->sealed;
        }
        source = sl_slot_source_of(slot, slot->partitions[p]);
        if (source->kind->committed != NULL)
            source->kind->committed(source->self, slot->partitions[p], sl_slot_lowest(slot, p, false, flush_sealed));
    }
}

static void flush_commit_run(struct sl_job *job)
{
    struct sl_slot_commit *commit = flush_of(job);

    commit->status = sl_domain_commit(commit->slot->domain, &commit->what, &commit->err);
}

static void flush_commit_done(struct sl_job *job)
{
    struct sl_slot_commit *commit = flush_of(job);
    struct sl_slot *slot = commit->slot;

    if (commit->status != 0 && commit->what.unknown) { /* nothing may be undone: the same commit is asked again */
        flush_back_off(commit, slot->now_ns);
        commit->waiting = true;
        flush_log(slot, &commit->err, "commit");
        return;
    }
    if (commit->status != 0) {
        flush_abandon(slot, &commit->err);
        return;
    }
    flush_apply(slot);
    if (commit->what.flushes_count == 0) {
        commit->status = 0;
        flush_publish_done(job);
        return;
    }
    flush_submit(slot, SL_COMMIT_PUBLISHING, flush_publish_run, flush_publish_done);
}

static void flush_prepare_run(struct sl_job *job)
{
    struct sl_slot_commit *commit = flush_of(job);

    for (uint32_t f = 0; f < commit->what.flushes_count && commit->status == 0; f++) { /* the slot's own tables change meanwhile */
        struct sl_flush *flush = commit->what.flushes[f];
        commit->failed_flush = flush;
        commit->status = flush->kind->prepare(flush, &commit->err);
    }
}

static const char *flush_name(const struct sl_slot *slot, const struct sl_flush *flush)
{
    for (uint32_t s = 0; s < slot->sinks_count; s++)
        if (slot->sinks[s].flush == flush)
            return slot->sinks[s].name;
    return "";
}

static void flush_prepare_done(struct sl_job *job)
{
    struct sl_slot_commit *commit = flush_of(job);
    struct sl_slot *slot = commit->slot;

    if (commit->status == 0)
        commit->status = flush_compose(slot, &commit->err);
    else
        (void)sl_while(&commit->err, "sink %s", flush_name(slot, commit->failed_flush));
    if (commit->status != 0) {
        flush_abandon(slot, &commit->err);
        return;
    }
    flush_submit(slot, SL_COMMIT_COMMITTING, flush_commit_run, flush_commit_done);
}

static void flush_begin(struct sl_slot *slot)
{
    struct sl_slot_commit *commit = &slot->commit;

    commit->slot = slot;
    commit->assignments = slot->assignments;
    if (sl_domain_is_kafka(slot->domain)) { /* in the turn that snapshots the offsets (rule C1) */
        struct sl_klog *log = slot->env.klog;
        commit->what.group = log->kind->group_snapshot(sl_domain_consumer(slot->domain));
    }
    if (flush_seal(slot, &commit->err) != 0) {
        flush_abandon(slot, &commit->err);
        sl_slot_rewind(slot, commit->failed_sink, NULL);
        return;
    }
    flush_submit(slot, SL_COMMIT_PREPARING, flush_prepare_run, flush_prepare_done);
}

void sl_slot_flush_turn(struct sl_slot *slot, uint64_t *wake_ns)
{
    struct sl_slot_commit *commit = &slot->commit;

    if (commit->waiting) {
        if (slot->now_ns < commit->retry_at_ns) {
            flush_wake(wake_ns, slot->now_ns, commit->retry_at_ns);
            return;
        }
        commit->waiting = false;
        if (commit->state == SL_COMMIT_PUBLISHING)
            flush_submit(slot, SL_COMMIT_PUBLISHING, flush_publish_run, flush_publish_done);
        else
            flush_submit(slot, SL_COMMIT_COMMITTING, flush_commit_run, flush_commit_done);
        return;
    }
    if (commit->state != SL_COMMIT_IDLE || slot->domain == NULL || !slot->recovered)
        return;
    if (slot->now_ns < commit->retry_at_ns) {
        flush_wake(wake_ns, slot->now_ns, commit->retry_at_ns);
        return;
    }
    if (flush_wanted(slot, wake_ns)) {
        flush_begin(slot);
        return;
    }
    if (!flush_dirty(slot))
        return;
    /* a swap has changed whose marks there are: until that is written, a start with another version than the one that runs goes astray */
    if (slot->flush_all || commit->again || commit->later.bytes > 0 ||
        slot->now_ns >= commit->last_ns + flush_every_ns(slot, FLUSH_EVERY_DEFAULT_S))
        flush_begin(slot);
    else
        flush_wake(wake_ns, slot->now_ns, commit->last_ns + flush_every_ns(slot, FLUSH_EVERY_DEFAULT_S));
}

bool sl_slot_committed_all(const struct sl_slot *slot)
{
    if (slot->commit.state != SL_COMMIT_IDLE)
        return false;
    for (uint32_t s = 0; s < slot->sinks_count; s++)
        if (slot->sinks[s].now.flushed && (slot->sinks[s].open_items > 0 || slot->sinks[s].leaving != NULL))
            return false;
    for (uint32_t p = 0; p < slot->partitions_cap; p++) {
        if (slot->partitions[p] == NULL || slot->partitions[p]->held != NULL)
            continue;
        for (uint32_t s = 0; s < slot->sinks_count; s++)
            if (!flush_mark_eq(&slot->sinks[s].positions[p].taken, &slot->sinks[s].positions[p].committed))
                return false;
    }
    return true;
}

void sl_slot_commit_fini(struct sl_slot *slot)
{
    for (uint32_t s = 0; s < slot->sinks_count; s++) {
        struct sl_slot_sink *sink = &slot->sinks[s];
        if (sink->flush == NULL)
            continue;
        /* once the commit was asked for it may have happened: the next start looks, and publishes or removes */
        if (slot->commit.state == SL_COMMIT_PREPARING)
            sink->flush->kind->abandon(sink->flush_self, sink->flush);
        flush_release(sink);
    }
    if (slot->domain != NULL)
        flush_idle(slot);
    sl_buf_fini(&slot->commit.what.changes);
    sl_buf_fini(&slot->commit.tombstones);
    sl_buf_fini(&slot->commit.later);
    while (slot->parted != NULL) {
        struct sl_parted *parted = slot->parted;
        slot->parted = parted->next;
        free(parted);
    }
    sl_buf_fini(&slot->commit.sealed_tombstones);
}
