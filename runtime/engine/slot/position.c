/* position.c: which partitions a slot owns and how far each sink has come in them (DELIVERY rules A1, B3, B4).
 *
 * Invariants: a flushed sink: committed <= done <= sealed <= taken while a commit runs; any sink: done <= taken; a partition's
 * next <= every reached sink's taken only after a rewind, else next == the highest taken.
 * SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "runtime/engine/slot/slot_private.h"
#include "runtime/store/commit_log.h"

enum { POSITION_FIRST_CAP = 16 };

uint64_t sl_record_hash(struct sl_slice payload)
{
    return XXH3_64bits(payload.data, payload.bytes);
}

static int position_grow(struct sl_slot *slot, uint32_t cap)
{
    struct sl_partition **partitions = realloc(slot->partitions, cap * sizeof(struct sl_partition *));
    bool *revoking;

    if (partitions == NULL)
        return -1;
    slot->partitions = partitions;
    revoking = realloc(slot->revoking, cap * sizeof(*revoking));
    if (revoking == NULL)
        return -1;
    slot->revoking = revoking;
    for (uint32_t s = 0; s < slot->sinks_count; s++) {
        struct sl_position *positions = realloc(slot->sinks[s].positions, cap * sizeof(*positions));
        if (positions == NULL)
            return -1;
        slot->sinks[s].positions = positions;
    }
    for (uint32_t i = slot->partitions_cap; i < cap; i++) {
        slot->partitions[i] = NULL;
        slot->revoking[i] = false;
    }
    slot->partitions_cap = cap;
    return 0;
}

int sl_slot_positions_init(struct sl_slot *slot)
{
    return position_grow(slot, POSITION_FIRST_CAP);
}

void sl_slot_positions_fini(struct sl_slot *slot)
{
    if (slot->sinks == NULL)
        return;
    for (uint32_t i = 0; i < slot->partitions_cap; i++) {
        if (slot->partitions[i] != NULL)
            free((void *)(uintptr_t)slot->partitions[i]->held);
        free(slot->partitions[i]);
    }
    free(slot->partitions);
    free(slot->revoking);
    for (uint32_t s = 0; s < slot->sinks_count; s++)
        free(slot->sinks[s].positions);
}

struct sl_slot_source *sl_slot_source_of(struct sl_slot *slot, const struct sl_partition *partition)
{
    for (uint32_t i = 0; i < slot->sources_count; i++)
        if (strcmp(slot->sources[i].of->conf.name, partition->source) == 0)
            return &slot->sources[i]; /* of two of one name the first, which leaves: the other has none yet */
    assert(!"a partition of no source");
    return NULL;
}

/* ---- marks of own sources: in the local commit log ---- */

struct position_look {
    const struct sl_slot *slot;
    struct sl_commit_key want;
    struct sl_named_mark *marks;
    uint32_t count;
};

/* The name that the sink had before (`was:`, also of a version in between), or NULL: also where a sink of that name is there (again). */
static const char *position_was(const struct sl_slot *slot, const struct sl_slot_sink *sink)
{
    const char *was = sink->now.common == NULL || sink->now.common->was == NULL ? sink->former : sink->now.common->was;

    for (uint32_t s = 0; was != NULL && s < slot->sinks_count; s++)
        if (slot->sinks[s].name != NULL && strcmp(slot->sinks[s].name, was) == 0)
            return NULL;
    return was;
}

static int position_look_each(void *user, struct sl_slice key, struct sl_slice value)
{
    struct position_look *look = user;
    struct sl_commit_key found;
    char memory[SL_COMMIT_KEY_BYTES + 1];
    uint32_t incarnation;

    if (sl_commit_key_scan(key, memory, &found) != 0 || found.kind != SL_KEY_MARK || value.data == NULL)
        return 0;
    if (strcmp(found.group, look->want.group) != 0 || strcmp(found.source, look->want.source) != 0 ||
        strcmp(found.id, look->want.id) != 0 || strcmp(found.topic, look->want.topic) != 0)
        return 0;
    for (uint32_t s = 0; s < look->slot->sinks_count; s++) {
        const char *name = look->slot->sinks[s].name, *was = position_was(look->slot, &look->slot->sinks[s]);
        if (name == NULL || strcmp(found.sink, name) != 0)
            name = was;
        if (name == NULL || strcmp(found.sink, name) != 0)
            continue;
        look->marks[look->count].sink = name;
        if (sl_mark_scan(value, &look->marks[look->count].mark, &incarnation) == 0)
            look->marks[look->count++].incarnation = incarnation;
    }
    return 0;
}

/* Marks under the name that the sink had before (`was:`) are its own: the further one counts, since marks never go back. (One that a version in
 * between had left behind may still lie under either name.) */
static const struct sl_mark *position_find(const struct sl_slot *slot, const struct sl_named_mark *marks, uint32_t count,
                                           const struct sl_slot_sink *sink)
{
    const char *names[] = {sink->name, position_was(slot, sink)};
    const struct sl_mark *found = NULL;

    for (int n = 0; n < 2; n++)
        for (uint32_t i = 0; names[n] != NULL && i < count; i++)
            if (strcmp(marks[i].sink, names[n]) == 0 && (found == NULL || marks[i].mark.next > found->next))
                found = &marks[i].mark;
    return found;
}

static struct sl_partition *position_new(struct sl_slot *slot, const char *source, const char *topic, const char *id)
{
    size_t topic_bytes = strlen(topic) + 1, source_bytes = strlen(source) + 1;
    struct sl_partition *partition;
    char *names;
    uint32_t index = 0;

    while (index < slot->partitions_cap && slot->partitions[index] != NULL)
        index++;
    if (index == slot->partitions_cap && position_grow(slot, slot->partitions_cap * 2) != 0)
        return NULL;
    partition = calloc(1, sizeof(*partition) + topic_bytes + source_bytes);
    if (partition == NULL)
        return NULL;
    names = (char *)(partition + 1);
    memcpy(names, topic, topic_bytes);
    memcpy(names + topic_bytes, source, source_bytes);
    partition->topic = names;
    partition->source = names + topic_bytes;
    (void)snprintf(partition->id, sizeof(partition->id), "%s", id);
    partition->magic = SL_PARTITION_MAGIC;
    partition->index = index;
    partition->assignment = ++slot->assignments;
    slot->partitions[index] = partition;
    slot->revoking[index] = false;
    return partition;
}

static bool position_is_name(const struct sl_slot *slot, const char *sink)
{
    for (uint32_t s = 0; s < slot->sinks_count; s++)
        if (slot->sinks[s].name != NULL && strcmp(slot->sinks[s].name, sink) == 0)
            return true;
    return false;
}

/* Sets every sink's position from its mark, else from `start`; next is the lowest of the sinks that the source reaches. */
static void position_place(struct sl_slot *slot, const struct sl_slot_source *source, struct sl_partition *partition,
                           const struct sl_named_mark *marks, uint32_t count, uint64_t start, struct sl_mark *ret_mark)
{
    uint64_t lowest = UINT64_MAX;
    struct sl_mark highest = {.next = UINT64_MAX};

    for (uint32_t i = 0; i < count; i++) { /* a sink that is new to the topology begins where the topology is, not at the start */
        if (lowest == UINT64_MAX || marks[i].mark.next < lowest)
            lowest = marks[i].mark.next;
        if (marks[i].mark.last_offset != UINT64_MAX &&
            (highest.next == UINT64_MAX || marks[i].mark.last_offset > highest.last_offset))
            highest = marks[i].mark;
    }
    if (lowest != UINT64_MAX)
        start = lowest;
    for (uint32_t i = 0; i < count; i++) /* the offset may be that of a sink that is no more */
        slot->commit.again = slot->commit.again || !position_is_name(slot, marks[i].sink);
    partition->next = UINT64_MAX;
    for (uint32_t s = 0; s < slot->sinks_count; s++) {
        struct sl_position *position = &slot->sinks[s].positions[partition->index];
        const struct sl_mark *mark = position_find(slot, marks, count, &slot->sinks[s]);
        struct sl_mark at = {start, UINT64_MAX, 0, 0};
        if (mark != NULL)
            at = *mark;
        *position = (struct sl_position){at, at, at, at, UINT32_MAX, UINT32_MAX, false, mark == NULL || position_was(slot, &slot->sinks[s]) != NULL};
        if (source->sinks[s] && at.next < partition->next)
            partition->next = at.next;
    }
    assert(partition->next != UINT64_MAX);
    if (ret_mark != NULL)
        *ret_mark = highest;
}

int sl_slot_assign(struct sl_slot *slot, void *source, const char *topic, const char *id, int32_t number,
                   const struct sl_named_mark *marks, uint32_t marks_count, uint64_t start, void *user,
                   struct sl_partition **ret_partition, struct sl_mark *ret_mark, struct sl_err *err)
{
    struct sl_slot_source *from = NULL;
    struct sl_partition *partition;
    struct position_look look = {.slot = slot};

    for (uint32_t i = 0; i < slot->sources_count; i++)
        if (slot->sources[i].self == source)
            from = &slot->sources[i];
    assert(from != NULL);
    partition = position_new(slot, from->of->conf.name, topic, id);
    look.marks = calloc(2 * slot->sinks_count + 1, sizeof(*look.marks)); /* under either name */
    if (partition == NULL || look.marks == NULL) {
        free(look.marks);
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory for partition %s of %s", id, topic);
    }
    partition->number = number;
    partition->user = user;
    if (marks == NULL && slot->shared->commit_log != NULL) {
        look.want = (struct sl_commit_key){.group = sl_slot_group(slot), .source = partition->source, .topic = topic, .id = id};
        (void)sl_commit_log_each(slot->shared->commit_log, position_look_each, &look);
        marks = look.marks;
        marks_count = look.count;
    }
    for (uint32_t i = 0; i < marks_count; i++)
        partition->incarnation = marks[i].incarnation > partition->incarnation ? marks[i].incarnation : partition->incarnation;
    position_place(slot, from, partition, marks, marks_count, start, ret_mark);
    free(look.marks);
    *ret_partition = partition;
    return 0;
}

uint64_t sl_slot_boundary(const struct sl_slot *slot, const struct sl_partition *partition, uint64_t after)
{
    uint64_t boundary = UINT64_MAX;

    for (uint32_t s = 0; s < slot->sinks_count; s++) {
        uint64_t taken = slot->sinks[s].positions[partition->index].taken.next;
        if (taken > after && taken < boundary)
            boundary = taken;
    }
    return boundary;
}

void sl_slot_hold(struct sl_slot *slot, struct sl_partition *partition, const struct sl_err *why)
{
    char text[sizeof(why->text)];

    (void)snprintf(text, sizeof(text), "%s", why->text);
    if (partition->held == NULL)
        partition->held = strdup(text);
    sl_slot_log(slot, why, "partition held");
}

int sl_slot_reincarnate(struct sl_slot *slot, struct sl_partition *partition, uint64_t start, struct sl_err *err)
{
    (void)err;
    partition->incarnation++;
    free((void *)(uintptr_t)partition->held);
    partition->held = NULL;
    partition->changed = false;
    for (uint32_t s = 0; s < slot->sinks_count; s++)
        sl_slot_tickets_drop(slot, s, partition->index);
    position_place(slot, sl_slot_source_of(slot, partition), partition, NULL, 0, start, NULL);
    for (uint32_t s = 0; s < slot->sinks_count; s++) /* unlike any mark: the next commit replaces those of the old incarnation */
        slot->sinks[s].positions[partition->index].committed.last_offset = UINT64_MAX - 1;
    return 0;
}

/* Whether a person means this partition: "TOPIC:ID", or the id alone. */
static bool position_is_named(const struct sl_partition *partition, const char *name)
{
    size_t topic_bytes = strlen(partition->topic);

    if (strcmp(partition->id, name) == 0)
        return true;
    return strncmp(name, partition->topic, topic_bytes) == 0 && name[topic_bytes] == ':' &&
           strcmp(name + topic_bytes + 1, partition->id) == 0;
}

static int position_resume(struct sl_slot *slot, struct sl_partition *partition, struct sl_err *err)
{
    struct sl_slot_source *source = sl_slot_source_of(slot, partition);
    uint64_t first = 0;

    if (partition->held == NULL)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "partition %s:%s is not held", partition->topic, partition->id);
    if (!partition->changed || source->kind->first == NULL)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "partition %s:%s is held for another reason: %s", partition->topic,
                       partition->id, partition->held);
    if (source->kind->first(source->self, partition, &first, err) != 0 || sl_slot_reincarnate(slot, partition, first, err) != 0)
        return -(int)err->code;
    return source->kind->seek(source->self, partition, partition->next, err);
}

int sl_slot_resume_changed(struct sl_slot *slot, const char *name, uint32_t *ret_named, struct sl_err *err)
{
    int status = 0;

    for (uint32_t p = 0; status == 0 && p < slot->partitions_cap; p++) {
        struct sl_partition *partition = slot->partitions[p];
        if (partition == NULL || slot->revoking[p] || !position_is_named(partition, name))
            continue;
        ++*ret_named;
        status = position_resume(slot, partition, err);
    }
    return status;
}

void sl_slot_gap(struct sl_slot *slot, struct sl_partition *partition, uint64_t to, const char *why)
{
    struct sl_err note = {.code = SL_E_LIMIT, .remedy = SL_REMEDY_RETRY, .origin = __FILE__};

    assert(to >= partition->next);
    slot->gap_offsets += to - partition->next;
    (void)snprintf(note.text, sizeof(note.text), "topology %s: %s %s: offsets %llu to %llu can no longer be had (%s)",
                   slot->topology->name, partition->topic, partition->id, (unsigned long long)partition->next,
                   (unsigned long long)to, why);
    sl_slot_log(slot, &note, "gap");
    partition->next = to;
}

uint64_t sl_slot_lowest(const struct sl_slot *slot, uint32_t partition, bool required_only,
                        uint64_t (*which)(const struct sl_position *position))
{
    struct sl_slot_source *source = sl_slot_source_of((struct sl_slot *)(uintptr_t)slot, slot->partitions[partition]);
    uint64_t lowest = UINT64_MAX;

    for (uint32_t s = 0; s < slot->sinks_count; s++) {
        uint64_t next;
        if (!source->sinks[s] || (required_only && (slot->sinks[s].now.common == NULL || !slot->sinks[s].now.common->required)))
            continue;
        next = which(&slot->sinks[s].positions[partition]);
        lowest = next < lowest ? next : lowest;
    }
    return lowest == UINT64_MAX ? slot->partitions[partition]->next : lowest;
}

void sl_slot_release(struct sl_slot *slot, struct sl_partition *partition)
{
    for (uint32_t s = 0; s < slot->sinks_count; s++)
        sl_slot_tickets_drop(slot, s, partition->index);
    slot->partitions[partition->index] = NULL;
    slot->revoking[partition->index] = false;
    free((void *)(uintptr_t)partition->held);
    partition->magic = 0;
    free(partition);
}

static uint64_t position_taken(const struct sl_position *position)
{
    return position->taken.next;
}

/* The sources go back to what the sink still needs; the others skip what they have taken already. */
static void position_seek(struct sl_slot *slot, struct sl_partition *partition)
{
    struct sl_slot_source *source = sl_slot_source_of(slot, partition);
    uint64_t next = sl_slot_lowest(slot, partition->index, false, position_taken);
    struct sl_err err = {0};

    if (next >= partition->next)
        return;
    partition->next = next;
    if (source->kind->seek(source->self, partition, next, &err) != 0) {
        (void)sl_while(&err, "reading %s %s again from %llu", partition->topic, partition->id, (unsigned long long)next);
        sl_slot_hold(slot, partition, &err);
    }
}

/* Where the sink reads again from. What a running commit has sealed is not lost: it is either committed or abandoned by flush.c; nor is
 * what an earlier instance of a flushed sink still has. */
static const struct sl_mark *position_back(const struct sl_slot_sink *sink, const struct sl_partition *partition)
{
    const struct sl_position *position = &sink->positions[partition->index];
    const struct sl_leaving *leaving = sink->leaving;

    if (leaving != NULL && leaving->was.flushed && partition->index < leaving->cap &&
        leaving->assignment[partition->index] == partition->assignment)
        return &leaving->upto[partition->index];
    return sink->sealed ? &position->sealed : &position->done;
}

void sl_slot_again(struct sl_slot *slot, struct sl_partition *partition)
{
    if (partition != NULL && partition->held == NULL && !slot->revoking[partition->index])
        position_seek(slot, partition);
}

void sl_slot_rewind(struct sl_slot *slot, uint32_t sink_index, const struct sl_err *why)
{
    struct sl_slot_sink *sink = &slot->sinks[sink_index];

    if (why != NULL) {
        struct sl_err said = *why;
        (void)sl_while(&said, "topology %s: sink %s", slot->topology->name, sink->name);
        sl_slot_log(slot, &said, "sink failed; reading again from its mark");
    }
    slot->rewinds++;
    if (sink->now.common != NULL) {
        sink->backoff_ns = sink->backoff_ns == 0 ? sink->now.common->backoff_min_ns : sink->backoff_ns * 2;
        if (sink->backoff_ns > sink->now.common->backoff_max_ns)
            sink->backoff_ns = sink->now.common->backoff_max_ns;
        slot->paused_until_ns = slot->now_ns + sink->backoff_ns;
    }
    sl_slot_tickets_drop(slot, sink_index, UINT32_MAX);
    if (sink->leaving != NULL)
        sink->leaving->over = !sink->leaving->was.flushed;
    if (sl_slot_is_letters(slot, sink_index) && sink->now.flushed && sink->leaving == NULL)
        sl_slot_refuse_lost(slot, false);
    sl_ledger_fini(&sink->open);
    (void)sl_ledger_init(&sink->open);
    sink->open_items = 0;
    sink->want_flush = false;
    for (uint32_t p = 0; p < slot->partitions_cap; p++) {
        struct sl_partition *partition = slot->partitions[p];
        if (partition == NULL || !sl_slot_source_of(slot, partition)->sinks[sink_index])
            continue;
        sink->positions[p].taken = *position_back(sink, partition);
        if (partition->held == NULL && !slot->revoking[p])
            position_seek(slot, partition);
    }
}
