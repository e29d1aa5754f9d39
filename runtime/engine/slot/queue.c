/* queue.c: the life of a sink's queue: opening what an earlier start left, turns, the end, status.
 *
 * Positions: `settled` goes into the hold of the topic once a second, durably, so that a start after a kill reads again at most what
 * was acknowledged in the last second (DELIVERY rule F5).
 * A process with fewer slots than the one before: slot s reads the partitions p with p % slots == s before its own.
 * SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/engine/slot/queue.h"

#define QUEUE_SETTLE_NS (1000 * 1000000ull)
#define QUEUE_SPILL_NS (10000 * 1000000ull)   /* so long may an acknowledgement take before its record is also on disk */
#define QUEUE_GRACE_NS (5000 * 1000000ull)    /* so long a drain waits for what is in flight, where nothing waits on disk */
#define QUEUE_GIVE_UP_NS (30000 * 1000000ull) /* --once: without any acknowledgement for so long, the rest is left for the next start */

/* ---- opening ---- */

static int queue_topic_name(const struct sl_slot *slot, const char *sink, char text[256])
{
    return snprintf(text, 256, SL_QUEUE_TOPICS "%s/%s", slot->topology->name, sink);
}

static int queue_part_open(struct sl_queue *queue, struct sl_spool_topic *topic, uint32_t number, struct sl_err *err)
{
    struct sl_queue_part *part = &queue->parts[queue->parts_count++];
    uint64_t first, end, start;

    sl_spool_bounds(topic, number, &first, &end);
    if (!sl_spool_held(topic, SL_QUEUE_HOLDER, number, &start) || start < first)
        start = first;
    *part = (struct sl_queue_part){.topic = topic, .number = number, .read = start, .at = UINT64_MAX, .end = end > start ? end : start, .settled = start};
    if (sl_spool_settle(topic, SL_QUEUE_HOLDER, number, start, err) != 0)
        return -(int)err->code;
    return sl_spool_reader_open(topic, number, NULL, NULL, &part->reader, err);
}

static int queue_parts_open(struct sl_queue *queue, struct sl_spool_topic *was, struct sl_err *err)
{
    const struct sl_slot *slot = queue->slot;
    uint32_t slots = slot->shared->slots, partitions = sl_spool_partitions(queue->topic), before = was == NULL ? 0 : sl_spool_partitions(was);

    queue->parts = calloc(before / slots + partitions / slots + 4, sizeof(*queue->parts));
    if (queue->parts == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "no memory for a queue");
    for (uint32_t p = slot->index; p < before; p += slots)
        if (queue_part_open(queue, was, p, err) != 0)
            return -(int)err->code;
    for (uint32_t p = slots + slot->index; p < partitions; p += slots)
        if (queue_part_open(queue, queue->topic, p, err) != 0)
            return -(int)err->code;
    return queue_part_open(queue, queue->topic, slot->index, err);
}

struct queue_look {
    const char *name;
    bool found;
};

static void queue_look_each(void *user, const char *topic)
{
    struct queue_look *look = user;
    look->found = look->found || strcmp(topic, look->name) == 0;
}

/* What lies in the queue that the sink had under the name before (`was:`), unless a sink of that name is there; *ret_topic NULL: none. */
static int queue_was(const struct sl_queue *queue, struct sl_spool_topic **ret_topic, struct sl_err *err)
{
    const struct sl_slot *slot = queue->slot;
    const char *was = queue->sink->now.common->was;
    char name[256];
    struct queue_look look = {name, false};

    *ret_topic = NULL;
    for (uint32_t s = 0; was != NULL && s < slot->sinks_count; s++)
        if (slot->sinks[s].name != NULL && strcmp(slot->sinks[s].name, was) == 0)
            return 0;
    if (was == NULL)
        return 0;
    (void)queue_topic_name(slot, was, name);
    sl_spool_each(slot->shared->spool, queue_look_each, &look);
    return look.found ? sl_spool_topic(slot->shared->spool, name, 1, ret_topic, err) : 0;
}

static int queue_open(struct sl_queue *queue, struct sl_err *err)
{
    const struct sl_slot *slot = queue->slot;
    struct sl_spool_topic *was;
    char topic[256];

    if (slot->shared->spool == NULL)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "when_full: spool needs the process's spool, and there is none here");
    (void)queue_topic_name(slot, queue->name, topic);
    queue->mail = sl_queue_mail_new(&slot->env);
    queue->services = sl_intern_cache_new();
    if (queue->mail == NULL || queue->services == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "no memory for a queue");
    if (sl_spool_topic(slot->shared->spool, topic, slot->shared->slots, &queue->topic, err) != 0 || queue_was(queue, &was, err) != 0 ||
        queue_parts_open(queue, was, err) != 0)
        return sl_while(err, "queue");
    sl_spool_queue(queue->topic, queue->sink->now.common->queue_bytes);
    return 0;
}

static struct sl_queue *queue_free(struct sl_queue *queue)
{
    if (queue == NULL)
        return NULL;
    assert(queue->magic == SL_QUEUE_MAGIC);
    if (queue->mail != NULL)
        sl_queue_mail_close(queue->mail);
    for (uint32_t row = 0; row < queue->table_cap; row++)
        if (queue->table[row] != NULL)
            sl_queue_entry_free(queue, queue->table[row]);
    for (uint32_t p = 0; p < queue->parts_count; p++)
        (void)sl_spool_reader_close(queue->parts[p].reader);
    if (queue->has_arena)
        sl_arena_fini(&queue->arena);
    if (queue->services != NULL)
        (void)sl_intern_cache_free(queue->services);
    sl_queue_origins_fini(queue);
    free(queue->parts);
    free(queue->table);
    free(queue->table_generation);
    free(queue->table_free);
    queue->magic = 0;
    free(queue);
    return NULL;
}

int sl_slot_queue_open(struct sl_slot *slot, uint32_t sink_index, struct sl_err *err)
{
    struct sl_slot_sink *sink = &slot->sinks[sink_index];
    struct sl_queue *queue = calloc(1, sizeof(*queue));

    if (queue == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "no memory for a queue");
    queue->magic = SL_QUEUE_MAGIC;
    queue->slot = slot;
    queue->sink = sink;
    queue->sink_index = sink_index;
    queue->name = sink->name;
    queue->window_bytes = sink->now.of->api.share_bytes * 2; /* two thirds are its, see slot_share */
    queue->progress_ns = slot->now_ns;
    sink->queue = queue;
    return queue_open(queue, err) == 0 ? 0 : sl_while(err, "sink %s", queue->name);
}

void sl_slot_queues_fini(struct sl_slot *slot)
{
    for (uint32_t s = 0; s < slot->sinks_count; s++)
        slot->sinks[s].queue = queue_free(slot->sinks[s].queue);
}

void sl_slot_queue_move(struct sl_slot *slot, uint32_t sink_index)
{
    struct sl_slot_sink *sink = &slot->sinks[sink_index];
    struct sl_queue *queue = sink->queue;

    queue->name = sink->name;
    queue->window_bytes = sink->now.of->api.share_bytes * 2;
    queue->dead = false; /* it said that for the settings it had */
    queue->retry_at_ns = queue->backoff_ns = 0;
    sl_spool_queue(queue->topic, sink->now.common->queue_bytes);
}

void sl_slot_queue_end(struct sl_slot *slot, uint32_t sink_index)
{
    slot->sinks[sink_index].queue = queue_free(slot->sinks[sink_index].queue);
}

static bool queue_is_empty(const struct sl_queue *queue);

static uint64_t queue_out(const struct sl_queue_list *list)
{
    uint64_t out = 0;

    for (const struct sl_queue_entry *entry = list->first; entry != NULL; entry = entry->next)
        out += entry->out;
    return out;
}

uint64_t sl_slot_queue_out_count(const struct sl_slot *slot, uint32_t sink_index)
{
    const struct sl_queue *queue = slot->sinks[sink_index].queue;
    uint64_t out = queue_out(&queue->memory);

    for (uint32_t p = 0; p < queue->parts_count; p++)
        out += queue_out(&queue->parts[p].disk);
    return out;
}

bool sl_slot_queue_is_empty(const struct sl_slot *slot, uint32_t sink_index)
{
    const struct sl_queue *queue = slot->sinks[sink_index].queue;

    return queue_is_empty(queue) && !queue->settling; /* the clerk has it in hand */
}

bool sl_slot_queue_is_out(const struct sl_slot *slot, uint32_t sink_index)
{
    return sl_slot_queue_out_count(slot, sink_index) > 0;
}

/* ---- queues of sinks that are no more ---- */

struct queue_orphans {
    const struct sl_slot *slot;
    char names[64][72];
    uint32_t count;
};

static void queue_orphan_each(void *user, const char *topic)
{
    struct queue_orphans *orphans = user;
    const struct sl_slot *slot = orphans->slot;
    char prefix[256];
    size_t bytes = (size_t)queue_topic_name(slot, "", prefix);

    if (strncmp(topic, prefix, bytes) != 0 || orphans->count == 64 || strlen(topic + bytes) >= sizeof(orphans->names[0]))
        return;
    for (uint32_t s = 0; s < slot->sinks_count; s++)
        if (slot->sinks[s].queue != NULL &&
            (strcmp(slot->sinks[s].queue->name, topic + bytes) == 0 ||
             (slot->sinks[s].now.common->was != NULL && strcmp(slot->sinks[s].now.common->was, topic + bytes) == 0)))
            return;
    (void)snprintf(orphans->names[orphans->count++], sizeof(orphans->names[0]), "%s", topic + bytes);
}

static void queue_orphan_say(struct sl_slot *slot, const char *sink)
{
    struct sl_spool_topic *topic;
    uint64_t held, some, bytes, records = 0;
    char name[256];
    struct sl_err err;

    (void)queue_topic_name(slot, sink, name);
    if (sl_spool_topic(slot->shared->spool, name, 1, &topic, &err) != 0)
        return;
    for (uint32_t p = 0; p < sl_spool_partitions(topic); p++) {
        if (!sl_spool_held(topic, SL_QUEUE_HOLDER, p, &held))
            held = 0;
        sl_spool_from(topic, p, held, &some, &bytes);
        records += some;
    }
    if (records == 0)
        return;
    (void)sl_fail(&err, SL_E_LIMIT, SL_REMEDY_RETRY, 0,
                  "topology %s: %llu records wait for sink %s, which is not in it with when_full: spool any more; give it back to have "
                  "them delivered; else, to drop them, remove the folder of topic %s from the spool while sluice does not run",
                  slot->topology->name, (unsigned long long)records, sink, name);
    sl_slot_log(slot, &err, "queue");
}

void sl_slot_queues_look(struct sl_slot *slot)
{
    struct queue_orphans *orphans;

    if (slot->index != 0 || slot->shared->spool == NULL || (orphans = calloc(1, sizeof(*orphans))) == NULL)
        return;
    orphans->slot = slot;
    sl_spool_each(slot->shared->spool, queue_orphan_each, orphans);
    for (uint32_t i = 0; i < orphans->count; i++)
        queue_orphan_say(slot, orphans->names[i]);
    free(orphans);
}

/* ---- positions ---- */

static struct sl_queue *queue_of_job(struct sl_job *job)
{
    return (struct sl_queue *)(void *)((char *)job - offsetof(struct sl_queue, settle_job));
}

/* One that could not be written is tried again: more is kept, and read again after a kill, than need be. */
static void queue_settle_run(struct sl_job *job)
{
    struct sl_queue *queue = queue_of_job(job);

    for (uint32_t p = 0; p < queue->parts_count; p++) {
        struct sl_queue_part *part = &queue->parts[p];
        struct sl_err err;
        if (part->settling != part->settled &&
            sl_spool_settle(part->topic, SL_QUEUE_HOLDER, part->number, part->settling, &err) != 0)
            part->settling = part->settled;
    }
}

static void queue_settle_done(struct sl_job *job)
{
    struct sl_queue *queue = queue_of_job(job);

    for (uint32_t p = 0; p < queue->parts_count; p++)
        queue->parts[p].settled = queue->parts[p].settling;
    queue->settling = false;
}

static bool queue_settle_due(const struct sl_queue *queue)
{
    for (uint32_t p = 0; p < queue->parts_count; p++)
        if (sl_queue_settled(&queue->parts[p]) > queue->parts[p].settled)
            return true;
    return false;
}

static void queue_wake(const struct sl_queue *queue, uint64_t *wake_ns, uint64_t at_ns)
{
    uint64_t now_ns = queue->slot->now_ns, left = at_ns > now_ns ? at_ns - now_ns : 0;

    *wake_ns = left < *wake_ns ? left : *wake_ns;
}

static void queue_settle(struct sl_queue *queue, uint64_t *wake_ns)
{
    struct sl_slot *slot = queue->slot;
    uint64_t due_ns = queue->settled_ns + QUEUE_SETTLE_NS;

    if (queue->settling || !queue_settle_due(queue))
        return;
    if (slot->now_ns < due_ns && slot->state != SL_SLOT_DRAINING) {
        queue_wake(queue, wake_ns, due_ns);
        return;
    }
    for (uint32_t p = 0; p < queue->parts_count; p++) {
        struct sl_queue_part *part = &queue->parts[p];
        uint64_t settled = sl_queue_settled(part);
        part->settling = settled > part->settled ? settled : part->settled; /* what was lost and is sent again does not move it back */
    }
    queue->settling = true;
    queue->settled_ns = slot->now_ns;
    queue->settle_job.run = queue_settle_run;
    queue->settle_job.done = queue_settle_done;
    slot->env.submit(slot->env.user, &queue->settle_job);
}

/* ---- turns ---- */

/* A sink that does not answer: its mark must not stay behind for ever. */
static void queue_age(struct sl_queue *queue, uint64_t *wake_ns)
{
    const struct sl_queue_entry *oldest = queue->memory.first;

    if (oldest == NULL || queue->sink->now.common->required || queue->spill || queue->writing)
        return;
    if (queue->slot->now_ns >= oldest->at_ns + QUEUE_SPILL_NS)
        sl_queue_spill(queue);
    else
        queue_wake(queue, wake_ns, oldest->at_ns + QUEUE_SPILL_NS);
}

static void queue_rewind(struct sl_queue *queue)
{
    struct sl_err err;

    queue->rewind = false;
    (void)sl_fail(&err, SL_E_FORMAT, SL_REMEDY_RETRY, 0, "records of its queue are damaged on disk");
    sl_slot_rewind(queue->slot, queue->sink_index, &err);
}

static void queue_turn(struct sl_queue *queue, uint64_t *wake_ns)
{
    uint64_t now_ns = queue->slot->now_ns;

    sl_queue_written(queue);
    if (sl_queue_pump(queue))
        *wake_ns = 0;
    if (queue->rewind)
        queue_rewind(queue);
    sl_queue_reap(queue);
    queue_age(queue, wake_ns);
    queue_settle(queue, wake_ns);
    if (queue->spill && !queue->writing)
        queue_wake(queue, wake_ns, queue->write_at_ns > now_ns ? queue->write_at_ns : now_ns);
    if (!queue->dead && now_ns < queue->retry_at_ns && sl_queue_behind(queue))
        queue_wake(queue, wake_ns, queue->retry_at_ns);
}

void sl_slot_queues_turn(struct sl_slot *slot, uint64_t *wake_ns)
{
    for (uint32_t s = 0; s < slot->sinks_count; s++)
        if (slot->sinks[s].queue != NULL)
            queue_turn(slot->sinks[s].queue, wake_ns);
}

bool sl_slot_queue_is_dead(const struct sl_slot *slot, uint32_t sink_index)
{
    return slot->sinks[sink_index].queue != NULL && slot->sinks[sink_index].queue->dead;
}

void sl_slot_queues_spill(struct sl_slot *slot)
{
    for (uint32_t s = 0; s < slot->sinks_count; s++)
        if (slot->sinks[s].queue != NULL && !slot->sinks[s].now.common->required)
            sl_queue_spill(slot->sinks[s].queue);
}

/* ---- the end ---- */

static uint64_t queue_records_on_disk(const struct sl_queue *queue, uint64_t *ret_bytes)
{
    uint64_t records = 0;

    *ret_bytes = 0;
    for (uint32_t p = 0; p < queue->parts_count; p++) {
        uint64_t some, bytes, settled = sl_queue_settled(&queue->parts[p]);
        if (settled >= queue->parts[p].end)
            continue;
        sl_spool_from(queue->parts[p].topic, queue->parts[p].number, settled, &some, &bytes);
        records += some;
        *ret_bytes += bytes;
    }
    return records;
}

static uint64_t queue_records(const struct sl_queue *queue)
{
    uint64_t bytes, records = queue_records_on_disk(queue, &bytes);

    for (const struct sl_queue_entry *entry = queue->memory.first; entry != NULL; entry = entry->next)
        records += entry->where == SL_QUEUE_WRITING || queue->spill ? entry->left : sl_queue_idle(entry);
    return records;
}

static bool queue_is_empty(const struct sl_queue *queue)
{
    if (queue->memory.first != NULL || sl_queue_behind(queue))
        return false;
    for (uint32_t p = 0; p < queue->parts_count; p++)
        if (sl_queue_settled(&queue->parts[p]) < queue->parts[p].end)
            return false;
    return true;
}

/* Whether the drain goes on waiting for this sink's acknowledgements; what they do not come for waits on disk. */
static bool queue_waits(const struct sl_queue *queue, uint64_t *wake_ns)
{
    const struct sl_slot *slot = queue->slot;
    bool all = slot->shared->once && !slot->asked; /* --once: it ends when everything is delivered */
    uint64_t since_ns = all && queue->progress_ns > slot->drain_ns ? queue->progress_ns : slot->drain_ns;
    uint64_t until_ns = since_ns + (all ? QUEUE_GIVE_UP_NS : QUEUE_GRACE_NS);

    if (queue_is_empty(queue) || queue->dead || slot->now_ns >= until_ns)
        return false;
    if (!all && sl_queue_behind(queue))
        return false;
    queue_wake(queue, wake_ns, until_ns);
    return true;
}

bool sl_slot_queues_out(struct sl_slot *slot, uint64_t *wake_ns)
{
    for (uint32_t s = 0; s < slot->sinks_count; s++) {
        struct sl_queue *queue = slot->sinks[s].queue;
        if (queue == NULL || queue->sink->now.common->required)
            continue; /* a required one: its tickets say it */
        if (queue_waits(queue, wake_ns)) {
            (void)snprintf(slot->waits_for, sizeof(slot->waits_for), "sink %s to take %llu records", queue->name,
                           (unsigned long long)(queue_records(queue) + queue->memory.count));
            return true;
        }
        if (queue->memory.first != NULL)
            sl_queue_spill(queue);
        if (queue->memory.first != NULL || queue->settling || queue_settle_due(queue)) {
            (void)snprintf(slot->waits_for, sizeof(slot->waits_for), "the queue of sink %s to be on disk", queue->name);
            return true;
        }
    }
    return false;
}

void sl_slot_queues_say(struct sl_slot *slot)
{
    for (uint32_t s = 0; s < slot->sinks_count; s++) {
        const struct sl_queue *queue = slot->sinks[s].queue;
        struct sl_err err;
        if (queue == NULL || queue->sink->now.common->required || queue_records(queue) == 0)
            continue;
        (void)sl_fail(&err, SL_E_STOPPED, SL_REMEDY_RETRY, 0, "topology %s: %llu records wait in the queue of sink %s for the next start",
                      slot->topology->name, (unsigned long long)queue_records(queue), queue->name);
        sl_slot_log(slot, &err, "queue");
    }
}

/* ---- status ---- */

static int64_t queue_oldest(const struct sl_queue *queue)
{
    for (uint32_t p = 0; p < queue->parts_count; p++) {
        const struct sl_queue_part *part = &queue->parts[p];
        if (sl_queue_settled(part) >= part->end)
            continue;
        return part->disk.first != NULL && part->disk.first->first < part->read ? part->disk.first->queued_unix_ms : part->head_unix_ms;
    }
    return queue->memory.first != NULL && queue_records(queue) > 0 ? queue->memory.first->queued_unix_ms : 0;
}

void sl_slot_queue_status(const struct sl_slot *slot, uint32_t sink_index, struct sl_slot_queue_status *ret_status)
{
    const struct sl_queue *queue = slot->sinks[sink_index].queue;
    struct sl_slot_queue_status status = {.component = queue->sink->now.component, .records = queue_records(queue), .lost = queue->lost};
    int64_t oldest_unix_ms = queue_oldest(queue), now_unix_ms = slot->env.unix_ms(slot->env.user);

    status.out = sl_slot_queue_out_count(slot, sink_index);
    (void)queue_records_on_disk(queue, &status.bytes);
    if (queue->spill || queue->writing)
        status.bytes += queue->memory_bytes;
    if (oldest_unix_ms != 0 && now_unix_ms > oldest_unix_ms)
        status.oldest_ms = (uint64_t)(now_unix_ms - oldest_unix_ms);
    if (queue->dead)
        (void)snprintf(status.dead, sizeof(status.dead), "%s", queue->why.text);
    *ret_status = status;
}
