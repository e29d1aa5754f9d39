/* spool_segment.c: topics, partitions and segments as structures in memory.
 * SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdio.h>

#include "runtime/store/spool/spool_impl.h"

void spool_segment_path(const struct sl_spool_topic *topic, uint32_t partition, const struct spool_segment *segment, char *to)
{
    (void)snprintf(to, SPOOL_PATH_BYTES, "%s/%05" PRIu32 "-%020" PRIu64 "-%016" PRIx64 ".seg", topic->folder, partition,
                   segment->base, segment->nonce);
}

struct spool_segment *spool_segment_add(struct spool_partition *partition, uint64_t base, uint64_t nonce)
{
    struct spool_segment *segment = calloc(1, sizeof(*segment));
    uint32_t at = partition->segments_count;

    if (segment == NULL)
        return NULL;
    if (at == partition->segments_room) {
        uint32_t room = at == 0 ? 16 : 2 * at;
        struct spool_segment **segments = realloc(partition->segments, room * sizeof(*segments));
        if (segments == NULL) {
            free(segment);
            return NULL;
        }
        partition->segments = segments;
        partition->segments_room = room;
    }
    *segment = (struct spool_segment){.base = base, .end = base, .nonce = nonce};
    for (; at > 0 && partition->segments[at - 1]->base > base; at--)
        partition->segments[at] = partition->segments[at - 1];
    partition->segments[at] = segment;
    partition->segments_count++;
    return segment;
}

void spool_segment_take(struct spool_partition *partition, struct spool_segment *segment)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < partition->segments_count; i++)
        if (partition->segments[i] != segment)
            partition->segments[kept++] = partition->segments[i];
    partition->segments_count = kept;
    free(segment->index);
    free(segment);
}

/* Times may run backwards (a clock that jumps), so a row keeps the latest time of all that lies before it. */
void spool_segment_note(struct spool_segment *segment, const struct sl_spool_batch *batch, uint64_t at)
{
    bool first = segment->index_count == 0;
    if (first || at >= segment->index[segment->index_count - 1].at + SPOOL_INDEX_STEP) {
        if (segment->index_count == segment->index_room) {
            uint32_t room = segment->index_room == 0 ? 16 : 2 * segment->index_room;
            struct spool_index_row *index = realloc(segment->index, room * sizeof(*index));
            if (index == NULL)
                return; /* sparser, still right */
            segment->index = index;
            segment->index_room = room;
        }
        segment->index[segment->index_count++] =
            (struct spool_index_row){batch->base, at, first ? INT64_MIN : segment->time_max};
    }
    segment->time_min = first || batch->time_min < segment->time_min ? batch->time_min : segment->time_min;
    segment->time_max = first || batch->time_max > segment->time_max ? batch->time_max : segment->time_max;
}

struct spool_segment *spool_partition_open_segment(struct spool_partition *partition)
{
    struct spool_segment *last;
    if (partition->segments_count == 0)
        return NULL;
    last = partition->segments[partition->segments_count - 1];
    return last->state == SPOOL_OPEN ? last : NULL;
}

struct spool_partition *spool_topic_partition_add(struct sl_spool_topic *topic)
{
    struct spool_partition *partition = calloc(1, sizeof(*partition));
    struct spool_partition **partitions =
        realloc(topic->partitions, ((size_t)topic->partitions_count + 1) * sizeof(struct spool_partition *));

    if (partitions != NULL)
        topic->partitions = partitions;
    if (partition == NULL || partitions == NULL) {
        free(partition);
        return NULL;
    }
    *partition = (struct spool_partition){.number = topic->partitions_count, .fd = -1};
    partition->queue.last = &partition->queue.first;
    topic->partitions[topic->partitions_count++] = partition;
    return partition;
}

struct sl_spool_topic *spool_topic_new(struct sl_spool *spool, const char *name, struct sl_err *err)
{
    char folder[SPOOL_FOLDER_BYTES];
    struct sl_spool_topic *topic;

    if (spool_name_encode(name, folder, sizeof(folder)) < 0) {
        (void)sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0,
                      "\"%.80s\" is no name for a spool topic: it must have 1 to %d bytes (3 for each that is not a letter, digit, "
                      "'.', '_' or '-')", name, SPOOL_FOLDER_BYTES - 1);
        return NULL;
    }
    topic = calloc(1, sizeof(*topic));
    if (topic != NULL) {
        topic->spool = spool;
        topic->name = strdup(name);
        if (asprintf(&topic->folder, "%s/%s", spool->dir, folder) < 0)
            topic->folder = NULL;
    }
    if (topic == NULL || topic->name == NULL || topic->folder == NULL) {
        (void)sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory for topic %s", name);
        return spool_topic_free(topic);
    }
    return topic;
}

static void spool_partition_free(struct sl_spool_topic *topic, struct spool_partition *partition)
{
    while (partition->segments_count > 0)
        spool_segment_take(partition, partition->segments[0]);
    while (partition->queue.first != NULL) {
        struct spool_pending *next = partition->queue.first->next;
        free(partition->queue.first);
        partition->queue.first = next;
    }
    if (partition->fd >= 0)
        (void)topic->spool->fs->close(topic->spool->fs, partition->fd);
    free(partition->segments);
    free(partition);
}

struct sl_spool_topic *spool_topic_free(struct sl_spool_topic *topic)
{
    if (topic == NULL)
        return NULL;
    for (uint32_t i = 0; i < topic->partitions_count; i++)
        spool_partition_free(topic, topic->partitions[i]);
    while (topic->holds != NULL) {
        struct spool_hold *next = topic->holds->next;
        free(topic->holds);
        topic->holds = next;
    }
    free(topic->partitions);
    free(topic->name);
    free(topic->folder);
    free(topic);
    return NULL;
}
