/* recover.c: what a start does before the first record: the landing zones' ids, and the renames of committed flushes that an
 * earlier start of this node could not finish (DELIVERY rules C2, C6).
 *
 * Other nodes' flushes are finished too where the landing root is shared. Only slot 0 redoes; all slots of a process learn the zones. Entries of the running epoch belong to live flushes.
 * SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/engine/slot/replay.h"
#include "runtime/engine/slot/slot_private.h"

enum { RECOVER_NUMBER_EPOCH_SHIFT = 32 };

struct recover_part {
    char node[256];
    bool foreign; /* another node's: ours to finish only where the root is shared */
    uint64_t stray; /* of a sink that this version has no more, by its name; any of its kind can finish it. 0: not so */
    uint32_t sink, part, parts;
    uint64_t number;
    char *key, *bytes; /* malloc'd */
    uint32_t key_bytes, bytes_count;
};

struct recover_list {
    struct sl_slot *slot;
    struct recover_part *items;
    uint32_t count, cap;
    char (*zones)[33];     /* by sink, empty: none yet */
    char (*zones_was)[33]; /* under the name that it had before */
    bool failed;
};

static void recover_keep(struct recover_list *list, struct recover_part part, struct sl_slice key, struct sl_slice value)
{
    if (list->count == list->cap) {
        uint32_t cap = list->cap == 0 ? 16 : list->cap * 2;
        struct recover_part *items = realloc(list->items, cap * sizeof(*items));
        if (items == NULL) {
            list->failed = true;
            return;
        }
        list->items = items;
        list->cap = cap;
    }
    part.bytes = malloc(value.bytes + 1u);
    part.key = malloc(key.bytes + 1u);
    if (part.key == NULL || part.bytes == NULL) {
        free(part.key);
        free(part.bytes);
        list->failed = true;
        return;
    }
    memcpy(part.key, key.data, key.bytes);
    memcpy(part.bytes, value.data, value.bytes);
    part.key_bytes = key.bytes;
    part.bytes_count = value.bytes;
    list->items[list->count++] = part;
}

/* A slot that replays letters into the zones of a topology that commits to Kafka: its flushes are here, and nobody else redoes them. */
static bool recover_is_apart(const struct sl_slot *slot)
{
    return slot->shared->replay && sl_replay_is_apart(slot->topology);
}

static bool recover_is_was(const struct sl_slot_sink *sink, const char *name)
{
    return sink->now.common->was != NULL && strcmp(sink->now.common->was, name) == 0;
}

static void recover_zone(struct recover_list *list, const struct sl_commit_key *found, struct sl_slice value)
{
    const struct sl_slot *slot = list->slot;

    for (uint32_t s = 0; s < slot->sinks_count && value.bytes == 32; s++)
        if (strcmp(found->group, sl_slot_group(slot)) != 0)
            continue;
        else if (strcmp(slot->sinks[s].name, found->sink) == 0)
            memcpy(list->zones[s], value.data, value.bytes);
        else if (recover_is_was(&slot->sinks[s], found->sink))
            memcpy(list->zones_was[s], value.data, value.bytes);
}

/* A sink that may finish what another one has committed; sinks_count: none. */
static uint32_t recover_any(const struct sl_slot *slot)
{
    uint32_t s = 0;

    while (s < slot->sinks_count && (slot->sinks[s].now.kind == NULL || slot->sinks[s].now.kind->redo == NULL))
        s++;
    return s;
}

static void recover_flush(struct recover_list *list, struct recover_part part, uint32_t sink, struct sl_slice key, struct sl_slice value)
{
    part.sink = sink;
    memcpy(&part.parts, value.data, sizeof(part.parts));
    recover_keep(list, part, key, (struct sl_slice){value.data + sizeof(part.parts), value.bytes - (uint32_t)sizeof(part.parts)});
}

static int recover_each(void *user, struct sl_slice key, struct sl_slice value)
{
    struct recover_list *list = user;
    const struct sl_slot *slot = list->slot;
    struct sl_commit_key found;
    char memory[SL_COMMIT_KEY_BYTES + 1];
    struct recover_part part = {0};
    bool some = false;

    if (sl_commit_key_scan(key, memory, &found) != 0 || value.data == NULL)
        return 0;
    if (found.kind == SL_KEY_ZONE)
        recover_zone(list, &found, value);
    if (found.kind != SL_KEY_FLUSH || (slot->index != 0 && !recover_is_apart(slot)))
        return 0;
    part.foreign = strcmp(found.node, slot->shared->node) != 0;
    if (strcmp(found.group, sl_slot_group(slot)) != 0 || strlen(found.node) >= sizeof(part.node) ||
        (!part.foreign && found.number >> RECOVER_NUMBER_EPOCH_SHIFT >= slot->shared->epoch) || value.bytes < sizeof(part.parts))
        return 0;
    memcpy(part.node, found.node, strlen(found.node) + 1);
    part.part = found.part;
    part.number = found.number;
    for (uint32_t s = 0; s < slot->sinks_count; s++) {
        if (strcmp(slot->sinks[s].name, found.sink) != 0 && !recover_is_was(&slot->sinks[s], found.sink))
            continue;
        some = true;
        recover_flush(list, part, s, key, value);
    }
    part.stray = some || part.foreign || slot->shared->replay ? 0 : sl_record_hash(sl_slice_of(found.sink)) | 1;
    if (part.stray != 0 && recover_any(slot) < slot->sinks_count)
        recover_flush(list, part, recover_any(slot), key, value);
    return 0;
}

static int recover_order(const void *left, const void *right)
{
    const struct recover_part *a = left, *b = right;

    if (a->sink != b->sink)
        return a->sink < b->sink ? -1 : 1;
    if (strcmp(a->node, b->node) != 0)
        return strcmp(a->node, b->node);
    if (a->stray != b->stray)
        return a->stray < b->stray ? -1 : 1;
    if (a->number != b->number)
        return a->number < b->number ? -1 : 1;
    return a->part < b->part ? -1 : a->part > b->part;
}

/* Another node's flush, joined: published where its temporaries lie in our own place (rule C2); that it cannot be is no reason not
 * to start, and its entry is that node's to remove. */
static void recover_foreign(struct sl_slot *slot, const struct recover_part *part, struct sl_slice entry)
{
    const struct sl_slot_sink *sink = &slot->sinks[part->sink];
    struct sl_err err = {0};

    if (sink->now.kind->holds == NULL || sink->now.kind->holds(sink->now.self, entry) != 1 ||
        sink->now.kind->redo(sink->now.self, entry, &err) == 0)
        return;
    (void)sl_while(&err, "topology %s: publishing flush %llu of node %s", slot->topology->name, (unsigned long long)part->number,
                   part->node);
    sl_slot_log(slot, &err, "start");
}

/* One flush: its parts joined, given to the sink; its keys are tombstoned by the first commit. */
static int recover_redo(struct sl_slot *slot, const struct recover_part *parts, uint32_t count, struct sl_err *err)
{
    const struct sl_slot_sink *sink = &slot->sinks[parts[0].sink];
    struct sl_buf entry = {0};
    int status = 0;

    if (sink->now.kind->redo == NULL)
        return 0;
    for (uint32_t i = 0; i < count; i++)
        sl_buf_append(&entry, parts[i].bytes, parts[i].bytes_count);
    if (parts[0].foreign) {
        if (count == parts[0].parts && !sl_buf_failed(&entry))
            recover_foreign(slot, &parts[0], (struct sl_slice){sl_buf_str(&entry), (uint32_t)entry.bytes});
        sl_buf_fini(&entry);
        return 0;
    }
    if (count != parts[0].parts)
        status = sl_fail(err, SL_E_FORMAT, SL_REMEDY_HALT, 0, "flush %llu has %u of its %u parts: the commit record is damaged",
                         (unsigned long long)parts[0].number, count, parts[0].parts);
    else if (sl_buf_failed(&entry))
        status = sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory for a flush entry");
    else
        status = sink->now.kind->redo(sink->now.self, (struct sl_slice){sl_buf_str(&entry), (uint32_t)entry.bytes}, err);
    sl_buf_fini(&entry);
    if (status != 0 && parts[0].stray != 0 && err->remedy == SL_REMEDY_HALT) { /* it stays in the commit record, for the sink to come back */
        (void)sl_while(err, "topology %s: publishing flush %llu of a sink that it has no more", slot->topology->name,
                       (unsigned long long)parts[0].number);
        sl_slot_log(slot, err, "start");
        return 0;
    }
    for (uint32_t i = 0; status == 0 && i < count; i++) {
        sl_buf_append(&slot->commit.tombstones, &parts[i].key_bytes, sizeof(parts[i].key_bytes));
        sl_buf_append(&slot->commit.tombstones, parts[i].key, parts[i].key_bytes);
        slot->commit.tombstones_count = 1;
    }
    return status;
}

static int recover_flushes(struct sl_slot *slot, struct recover_list *list, struct sl_err *err)
{
    int status = 0;

    if (list->count > 0)
        qsort(list->items, list->count, sizeof(*list->items), recover_order);
    sl_buf_reset(&slot->commit.tombstones);
    for (uint32_t from = 0, to = 0; status == 0 && from < list->count; from = to) {
        while (to < list->count && list->items[to].sink == list->items[from].sink &&
               strcmp(list->items[to].node, list->items[from].node) == 0 && list->items[to].stray == list->items[from].stray &&
               list->items[to].number == list->items[from].number)
            to++;
        status = recover_redo(slot, &list->items[from], to - from, err);
    }
    return status;
}

/* The zone was made by the topology's own commits; its folders hold it (rule C6), and the topology's start compares them. */
static int recover_zone_known(const struct sl_slot_sink *sink, char zone[33], struct sl_err *err)
{
    int found = sink->now.kind->zone_known == NULL ? 0 : sink->now.kind->zone_known(sink->now.self, zone, err);

    if (found < 0)
        return found;
    return found == 1 ? 0
                      : sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0,
                                "there is no landing zone yet; let the topology run once before letters are replayed into it");
}

/* The first commit writes the zone under the new name. */
static void recover_renamed(struct sl_slot *slot, uint32_t s, struct recover_list *list)
{
    char text[SL_COMMIT_KEY_BYTES];
    struct sl_commit_key key = {.kind = SL_KEY_ZONE, .group = sl_slot_group(slot), .sink = slot->sinks[s].name};

    memcpy(list->zones[s], list->zones_was[s], sizeof(list->zones[s]));
    sl_slot_commit_later(slot, (struct sl_slice){text, (uint32_t)sl_commit_key_print(&key, text)}, (struct sl_slice){list->zones[s], 32});
}

static int recover_zones(struct sl_slot *slot, struct recover_list *list, struct sl_err *err)
{
    for (uint32_t s = 0; s < slot->sinks_count; s++) {
        const struct sl_slot_sink *sink = &slot->sinks[s];
        const char *name = sink->name;
        uint64_t random[2] = {slot->zone_random[0] + s, slot->zone_random[1] ^ s};
        if (!sink->now.needs_zone)
            continue;
        if (list->zones[s][0] == '\0' && list->zones_was[s][0] != '\0')
            recover_renamed(slot, s, list);
        if (list->zones[s][0] == '\0' && recover_is_apart(slot) && recover_zone_known(sink, list->zones[s], err) != 0)
            return sl_while(err, "sink %s", name);
        if ((list->zones[s][0] == '\0' && sl_domain_zone(slot->domain, sl_slot_group(slot), name, random, list->zones[s], err) != 0) ||
            sink->now.kind->zone(sink->now.self, list->zones[s], err) != 0)
            return sl_while(err, "sink %s", name);
        memcpy(slot->sinks[s].zone, list->zones[s], sizeof(slot->sinks[s].zone));
    }
    return 0;
}

/* The commit record is read once: a scan of the commit topic takes long. */
static int recover_all(struct sl_slot *slot, struct sl_err *err)
{
    struct recover_list list = {.slot = slot, .zones = calloc(slot->sinks_count + 1, sizeof(*list.zones)),
                                .zones_was = calloc(slot->sinks_count + 1, sizeof(*list.zones_was))};
    int status = list.zones == NULL || list.zones_was == NULL ? sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory for zones") : 0;

    if (status == 0)
        status = sl_domain_warm(slot->domain, err);
    if (status == 0)
        status = sl_domain_each(slot->domain, recover_each, &list, err);
    if (status == 0 && list.failed)
        status = sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory for flush entries");
    if (status == 0)
        status = recover_zones(slot, &list, err);
    if (status == 0)
        status = recover_flushes(slot, &list, err);
    for (uint32_t i = 0; i < list.count; i++) {
        free(list.items[i].key);
        free(list.items[i].bytes);
    }
    free(list.items);
    free(list.zones);
    free(list.zones_was);
    return status;
}

static struct sl_slot *recover_slot_of(struct sl_job *job)
{
    return (struct sl_slot *)(void *)((char *)job - offsetof(struct sl_slot, recover_job));
}

static void recover_run(struct sl_job *job)
{
    struct sl_slot *slot = recover_slot_of(job);

    slot->recover_status = recover_all(slot, &slot->recover_err);
}

static void recover_done(struct sl_job *job)
{
    struct sl_slot *slot = recover_slot_of(job);

    slot->recovering = false;
    if (slot->recover_status == 0) {
        slot->recovered = true;
        return;
    }
    (void)sl_while(&slot->recover_err, "topology %s: starting", slot->topology->name);
    sl_slot_log(slot, &slot->recover_err, "start");
    if (slot->recover_err.remedy == SL_REMEDY_HALT) {
        sl_slot_fail(slot, &slot->recover_err);
        return;
    }
    slot->recover_backoff_ns = slot->recover_backoff_ns == 0 ? 500 * 1000000ull : slot->recover_backoff_ns * 2;
    if (slot->recover_backoff_ns > 30ull * 1000000000ull)
        slot->recover_backoff_ns = 30ull * 1000000000ull;
    slot->recover_at_ns = slot->now_ns + slot->recover_backoff_ns;
}

int sl_slot_recover_start(struct sl_slot *slot, struct sl_err *err)
{
    slot->zone_random[0] = slot->env.random(slot->env.user);
    slot->zone_random[1] = slot->env.random(slot->env.user);
    slot->recover_job.run = recover_run;
    slot->recover_job.done = recover_done;
    if (sl_domain_is_kafka(slot->domain))
        return 0; /* blocks: a job, see sl_slot_recover_turn */
    if (recover_all(slot, err) != 0)
        return -(int)err->code;
    slot->recovered = true;
    return 0;
}

void sl_slot_recover_turn(struct sl_slot *slot, uint64_t *wake_ns)
{
    if (slot->recovered || slot->recovering || slot->domain == NULL)
        return;
    if (slot->now_ns < slot->recover_at_ns) {
        if (slot->recover_at_ns - slot->now_ns < *wake_ns)
            *wake_ns = slot->recover_at_ns - slot->now_ns;
        return;
    }
    slot->recovering = true;
    slot->env.submit(slot->env.user, &slot->recover_job);
}
