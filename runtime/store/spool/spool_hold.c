/* spool_hold.c: who still needs what, which offsets are taken elsewhere, and what may be removed (rule F4).
 *
 * hold_bytes counts per topic. A segment goes when the topic is above hold_bytes, or all of it is older than hold_age_ns, and no
 * hold lies below its end. Under SL_SPOOL_LOSE limits go before holds, and what goes unread is counted as lost. A queue's segment
 * goes as soon as no hold lies below its end, and never before.
 * SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdio.h>

#include "runtime/store/spool/spool_impl.h"

struct spool_hold *spool_hold_set(struct sl_spool_topic *topic, const char *holder, uint32_t partition, uint64_t offset, bool saved)
{
    struct spool_hold *hold = topic->holds;
    size_t bytes = strlen(holder) + 1;

    while (hold != NULL && (hold->partition != partition || strcmp(hold->holder, holder) != 0))
        hold = hold->next;
    if (hold == NULL) {
        hold = malloc(sizeof(*hold) + bytes);
        if (hold == NULL)
            return NULL;
        *hold = (struct spool_hold){.next = topic->holds, .partition = partition, .saved_offset = UINT64_MAX};
        memcpy(hold->holder, holder, bytes);
        topic->holds = hold;
    }
    hold->offset = offset;
    if (saved)
        hold->saved_offset = offset;
    return hold;
}

static uint64_t hold_lowest(const struct sl_spool_topic *topic, uint32_t partition)
{
    uint64_t lowest = UINT64_MAX;
    for (const struct spool_hold *hold = topic->holds; hold != NULL; hold = hold->next)
        if (hold->partition == partition && hold->offset < lowest)
            lowest = hold->offset;
    return lowest;
}

/* ---- retention ---- */

static bool hold_is_old(const struct sl_spool_topic *topic, const struct spool_segment *segment)
{
    const struct sl_spool *spool = topic->spool;
    int64_t now_ms = spool->settings.unix_ms(spool->settings.env);
    int64_t age_ms = (int64_t)(spool->settings.hold_age_ns / 1000000);
    return spool->settings.hold_age_ns > 0 && segment->time_max < now_ms - age_ms;
}

/* The manifest forgets the segment before the file goes: never the other way round, which would look like a loss. */
static int hold_remove(struct sl_spool_topic *topic, struct spool_partition *partition, uint64_t lowest)
{
    struct sl_spool *spool = topic->spool;
    struct spool_segment *segment = partition->segments[0];
    uint64_t first = partition->first;
    char path[SPOOL_PATH_BYTES];
    int rc;

    spool_segment_path(topic, partition->number, segment, path);
    (void)pthread_mutex_lock(&spool->lock);
    partition->first = segment->end;
    partition->segments_count--;
    memmove(partition->segments, partition->segments + 1, partition->segments_count * sizeof(struct spool_segment *));
    (void)pthread_mutex_unlock(&spool->lock);
    rc = spool_manifest_write(topic, NULL);
    (void)pthread_mutex_lock(&spool->lock);
    if (rc < 0) { /* room is there: it was just taken out */
        memmove(partition->segments + 1, partition->segments, partition->segments_count * sizeof(struct spool_segment *));
        partition->segments[0] = segment;
        partition->segments_count++;
        partition->first = first;
    } else {
        topic->bytes -= segment->state == SPOOL_MISSING ? 0 : segment->bytes;
        if (lowest < segment->end)
            spool->stats.lost_offsets += segment->end - (lowest > segment->base ? lowest : segment->base);
    }
    (void)pthread_mutex_unlock(&spool->lock);
    if (rc < 0)
        return rc;
    (void)spool->fs->unlink(spool->fs, path);
    free(segment->index);
    free(segment);
    return 0;
}

static bool hold_blocks(const struct sl_spool_topic *topic)
{
    return topic->queue_bytes > 0 || topic->spool->settings.when_full == SL_SPOOL_BLOCK;
}

/* Removes the partition's first segment if it may go. 1 removed, 0 not, 2 only a hold forbids it, <0 failed. */
static int hold_retain_one(struct sl_spool_topic *topic, struct spool_partition *partition, bool above)
{
    uint64_t lowest = hold_lowest(topic, partition->number);
    struct spool_segment *segment;
    bool held;

    if (partition->segments_count == 0)
        return 0;
    segment = partition->segments[0];
    held = lowest < segment->end;
    if (!above && (topic->queue_bytes > 0 ? held : !hold_is_old(topic, segment)))
        return 0;
    if (held && (hold_blocks(topic) || topic->holds_unknown))
        return above ? 2 : 0;
    if (segment->state == SPOOL_OPEN) {
        if (!above || segment->end == segment->base || spool_writer_seal(topic, partition, NULL) < 0)
            return 0;
    }
    return hold_remove(topic, partition, lowest) == 0 ? 1 : -1;
}

static struct spool_partition *hold_oldest(struct sl_spool_topic *topic, const bool *skip)
{
    struct spool_partition *oldest = NULL;
    for (uint32_t i = 0; i < topic->partitions_count; i++) {
        struct spool_partition *partition = topic->partitions[i];
        if (skip[i] || partition->segments_count == 0)
            continue;
        if (oldest == NULL || partition->segments[0]->time_max < oldest->segments[0]->time_max)
            oldest = partition;
    }
    return oldest;
}

void spool_retain(struct sl_spool_topic *topic)
{
    struct sl_spool *spool = topic->spool;
    uint64_t limit = topic->queue_bytes > 0 ? topic->queue_bytes : spool->settings.hold_bytes;
    bool *skip = calloc((size_t)topic->partitions_count + 1, sizeof(*skip)), full;
    struct spool_partition *partition;

    while (skip != NULL && !topic->holds_unknown && (partition = hold_oldest(topic, skip)) != NULL)
        skip[partition->number] = hold_retain_one(topic, partition, limit > 0 && topic->bytes >= limit) != 1;
    free(skip);
    (void)pthread_mutex_lock(&spool->lock);
    full = limit > 0 && topic->bytes >= limit;
    topic->hold_full = full && hold_blocks(topic);
    (void)pthread_mutex_unlock(&spool->lock);
}

/* ---- holds and reservations ---- */

static bool hold_crossed_segment(const struct spool_partition *partition, const struct spool_hold *hold)
{
    if (hold->saved_offset == UINT64_MAX || hold->offset < hold->saved_offset)
        return true;
    for (uint32_t i = 0; i < partition->segments_count; i++)
        if (partition->segments[i]->end > hold->saved_offset && partition->segments[i]->end <= hold->offset)
            return true;
    return false;
}

/* A new hold and one that moves back are durable on return. One that moves ahead is written when it frees a segment, and at
 * close: until then the file holds back more than needed, never less. */
static int hold_move(struct sl_spool_topic *topic, const char *holder, uint32_t partition, uint64_t offset, bool now,
                     struct sl_err *err)
{
    struct sl_spool *spool = topic->spool;
    struct spool_hold *hold;
    char encoded[600];
    int rc = 0;

    if (partition >= topic->partitions_count || spool_name_encode(holder, encoded, sizeof(encoded)) < 0)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "topic %s has %u partitions; partition %u cannot be held by \"%.60s\"",
                       topic->name, topic->partitions_count, partition, holder);
    (void)pthread_mutex_lock(&spool->io);
    (void)pthread_mutex_lock(&spool->lock);
    hold = spool_hold_set(topic, holder, partition, offset, false);
    if (hold != NULL && offset > topic->partitions[partition]->next_offset)
        topic->partitions[partition]->next_offset = offset;
    (void)pthread_mutex_unlock(&spool->lock);
    if (hold == NULL)
        rc = sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory for a hold on topic %s", topic->name);
    else if ((now && hold->saved_offset != offset) || hold_crossed_segment(topic->partitions[partition], hold))
        rc = spool_marks_write(topic, false, err);
    if (rc == 0)
        spool_retain(topic);
    (void)pthread_mutex_unlock(&spool->io);
    return rc;
}

int sl_spool_hold(struct sl_spool_topic *topic, const char *holder, uint32_t partition, uint64_t offset, struct sl_err *err)
{
    return hold_move(topic, holder, partition, offset, false, err);
}

int sl_spool_settle(struct sl_spool_topic *topic, const char *holder, uint32_t partition, uint64_t offset, struct sl_err *err)
{
    return hold_move(topic, holder, partition, offset, true, err);
}

bool sl_spool_held(struct sl_spool_topic *topic, const char *holder, uint32_t partition, uint64_t *ret_offset)
{
    bool found = false;

    (void)pthread_mutex_lock(&topic->spool->lock);
    for (const struct spool_hold *hold = topic->holds; hold != NULL && !found; hold = hold->next) {
        found = hold->partition == partition && strcmp(hold->holder, holder) == 0;
        if (found)
            *ret_offset = hold->offset;
    }
    (void)pthread_mutex_unlock(&topic->spool->lock);
    return found;
}

int sl_spool_release(struct sl_spool_topic *topic, const char *holder, struct sl_err *err)
{
    struct sl_spool *spool = topic->spool;
    struct spool_hold **at = &topic->holds;
    int rc;

    (void)pthread_mutex_lock(&spool->io);
    (void)pthread_mutex_lock(&spool->lock);
    while (*at != NULL) {
        struct spool_hold *hold = *at;
        if (strcmp(hold->holder, holder) != 0) {
            at = &hold->next;
            continue;
        }
        *at = hold->next;
        free(hold);
    }
    (void)pthread_mutex_unlock(&spool->lock);
    rc = spool_marks_write(topic, false, err);
    if (rc == 0)
        spool_retain(topic);
    (void)pthread_mutex_unlock(&spool->io);
    return rc;
}

int sl_spool_reserve(struct sl_spool_topic *topic, uint32_t partition, uint64_t offset, struct sl_err *err)
{
    struct sl_spool *spool = topic->spool;
    struct spool_partition *of;
    uint64_t reserved;
    int rc = 0;

    if (partition >= topic->partitions_count)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "topic %s has %u partitions, not %u", topic->name,
                       topic->partitions_count, partition + 1);
    of = topic->partitions[partition];
    (void)pthread_mutex_lock(&spool->io);
    if (offset > of->next_offset) {
        (void)pthread_mutex_lock(&spool->lock);
        of->next_offset = offset;
        (void)pthread_mutex_unlock(&spool->lock);
    }
    reserved = of->reserved;
    if (offset > reserved) {
        of->reserved = offset;
        rc = spool_marks_write(topic, false, err);
        if (rc < 0)
            of->reserved = reserved;
    }
    (void)pthread_mutex_unlock(&spool->io);
    return rc;
}

/* ---- queues ---- */

void sl_spool_queue(struct sl_spool_topic *topic, uint64_t bytes)
{
    struct sl_spool *spool = topic->spool;

    assert(bytes > 0);
    (void)pthread_mutex_lock(&spool->io);
    topic->queue_bytes = bytes;
    spool_retain(topic);
    (void)pthread_mutex_unlock(&spool->io);
}

bool sl_spool_has_no_room(const struct sl_spool_topic *topic)
{
    struct sl_spool *spool = topic->spool;
    bool none;

    (void)pthread_mutex_lock(&spool->lock);
    none = spool->sick || topic->hold_full;
    (void)pthread_mutex_unlock(&spool->lock);
    return none;
}

void sl_spool_from(struct sl_spool_topic *topic, uint32_t partition, uint64_t offset, uint64_t *ret_records, uint64_t *ret_bytes)
{
    struct sl_spool *spool = topic->spool;

    *ret_records = *ret_bytes = 0;
    (void)pthread_mutex_lock(&spool->lock);
    for (uint32_t i = 0; partition < topic->partitions_count && i < topic->partitions[partition]->segments_count; i++) {
        const struct spool_segment *segment = topic->partitions[partition]->segments[i];
        if (segment->state == SPOOL_MISSING || segment->end <= offset)
            continue;
        *ret_bytes += segment->bytes;
        *ret_records += segment->end - (segment->base > offset ? segment->base : offset);
    }
    (void)pthread_mutex_unlock(&spool->lock);
}

void sl_spool_each(struct sl_spool *spool, void (*each)(void *user, const char *topic), void *user)
{
    (void)pthread_mutex_lock(&spool->io);
    for (const struct sl_spool_topic *topic = spool->topics; topic != NULL; topic = topic->next)
        each(user, topic->name);
    (void)pthread_mutex_unlock(&spool->io);
}
