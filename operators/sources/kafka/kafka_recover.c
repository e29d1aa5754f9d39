/* kafka_recover.c: what the clerk finds out of partitions before they are read: the committed offsets with every sink's mark, the
 * commit topic's marks, where the partitions begin and end, and whether the last record is still the one that was committed.
 *
 * Which mark counts (rule C5): metadata with marks is of the last commit, and decides. An offset without marks was set by hand: a
 * sink whose records exist only by commits keeps the commit topic's mark; the others follow the hand. No offset at all: the commit
 * topic's marks.
 * SPDX-License-Identifier: Apache-2.0 */
#include "operators/sources/kafka/kafka.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

enum { KAFKA_COMMIT_PARTITIONS = 8, KAFKA_NO_MEMORY = -1000 }; /* from within a scan, where no err is at hand; no code of sl_err is that */

/* ---- the commit topic's marks, kept between assignments ---- */
static struct kafka_known *known_find(struct kafka_source *source, const char *topic, const char *id, const char *sink)
{
    for (uint32_t i = 0; i < source->known_count; i++) {
        struct kafka_known *known = &source->known[i];

        if (strcmp(known->id, id) == 0 && strcmp(known->topic, topic) == 0 && strcmp(known->sink, sink) == 0)
            return known;
    }
    return NULL;
}

static void known_remove(struct kafka_source *source, struct kafka_known *known)
{
    free(known->topic);
    free(known->id);
    free(known->sink);
    *known = source->known[--source->known_count];
}

void kafka_known_fini(struct kafka_source *source)
{
    while (source->known_count > 0)
        known_remove(source, &source->known[source->known_count - 1]);
    free(source->known);
    source->known = NULL;
}

static struct kafka_known *known_add(struct kafka_source *source, const struct sl_commit_key *key)
{
    struct kafka_known *grown = realloc(source->known, (source->known_count + 1) * sizeof(*grown));
    struct kafka_known *known;

    if (grown == NULL)
        return NULL;
    source->known = grown;
    known = &grown[source->known_count];
    *known = (struct kafka_known){.topic = strdup(key->topic), .id = strdup(key->id), .sink = strdup(key->sink)};
    source->known_count++;
    if (known->topic != NULL && known->id != NULL && known->sink != NULL)
        return known;
    known_remove(source, known);
    return NULL;
}

static int known_each(void *user, struct sl_slice key, struct sl_slice value)
{
    struct kafka_source *source = user;
    char memory[SL_COMMIT_KEY_BYTES + 1];
    struct sl_commit_key found;
    struct kafka_known *known;

    if (sl_commit_key_scan(key, memory, &found) != 0 || found.kind != SL_KEY_MARK || strcmp(found.group, source->group) != 0 ||
        strcmp(found.source, source->api->component) != 0)
        return 0;
    known = known_find(source, found.topic, found.id, found.sink);
    if (value.data == NULL) {
        if (known != NULL)
            known_remove(source, known);
        return 0;
    }
    if (known == NULL && (known = known_add(source, &found)) == NULL)
        return KAFKA_NO_MEMORY;
    if (sl_mark_scan(value, &known->mark, &known->incarnation) != 0)
        known_remove(source, known); /* a newer format, or not ours: as good as none */
    return 0;
}

static int known_read(struct kafka_source *source, struct sl_err *err)
{
    const struct sl_klog_kind *kind = source->log->kind;
    const char *topic = sl_slot_commit_topic(source->slot);
    uint32_t partitions;
    int status = 0;

    if (!source->transactional)
        return 0;
    if (source->known_partition < 0) {
        status = kind->topic_ensure(source->log, source->connection, topic, KAFKA_COMMIT_PARTITIONS, err);
        if (status == 0)
            status = kind->partition_count(source->log, source->connection, topic, &partitions, err);
        if (status == 0)
            source->known_partition = sl_commit_partition(source->group, partitions);
    }
    if (status == 0)
        status = kind->scan(source->log, source->connection, topic, source->known_partition, &source->known_offset, known_each,
                            source, err);
    if (status == KAFKA_NO_MEMORY)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory for the marks of topic %s", topic);
    return status == 0 ? 0 : sl_while(err, "reading the commit topic %s", topic);
}

/* ---- one partition ---- */
static bool sink_is_flushed(const struct sl_topology *topology, const char *sink)
{
    for (uint32_t i = 0; i < topology->components_count; i++) {
        const struct sl_component *component = &topology->components[i];

        if (component->role == SL_SINK && strcmp(component->name, sink) == 0)
            return (sl_sink_flags_of((const struct sl_sink_kind *)(const void *)component->head, component->config) &
                    SL_SINK_FLUSHED) != 0;
    }
    return false;
}

static struct sl_named_mark *found_row(struct kafka_found *found, const char *sink)
{
    for (uint32_t i = 0; i < found->rows_count; i++)
        if (strcmp(found->rows[i].sink, sink) == 0)
            return &found->rows[i];
    return NULL;
}

static void found_add(struct kafka_found *found, const struct sl_named_mark *row)
{
    if (found->rows_count < SL_MARK_ROWS && found_row(found, row->sink) == NULL)
        found->rows[found->rows_count++] = *row;
}

static void found_from_topic(struct kafka_source *source, const struct sl_klog_partition *item, struct kafka_found *found,
                             bool flushed_only)
{
    const struct sl_topology *topology = sl_slot_topology(source->slot);
    char id[16];

    (void)snprintf(id, sizeof(id), "%d", (int)item->partition);
    for (uint32_t i = 0; i < source->known_count; i++) {
        const struct kafka_known *known = &source->known[i];

        if (strcmp(known->id, id) != 0 || strcmp(known->topic, item->topic) != 0)
            continue;
        if (!flushed_only || sink_is_flushed(topology, known->sink))
            found_add(found, &(struct sl_named_mark){known->sink, known->mark, known->incarnation});
    }
}

/* The sinks that follow an offset set by hand. */
static void found_by_hand(struct kafka_source *source, const struct sl_klog_partition *item, struct kafka_found *found)
{
    const struct sl_topology *topology = sl_slot_topology(source->slot);
    uint32_t incarnation = 0;

    for (uint32_t i = 0; i < found->rows_count; i++)
        incarnation = found->rows[i].incarnation > incarnation ? found->rows[i].incarnation : incarnation;
    for (uint32_t i = 0; i < topology->components_count; i++)
        if (topology->components[i].role == SL_SINK)
            found_add(found, &(struct sl_named_mark){topology->components[i].name,
                                                     {(uint64_t)item->offset, UINT64_MAX, 0, 0}, incarnation});
}

/* After a source that was accepted as a new one, marks of the old incarnation say nothing. */
static void found_drop_old(struct kafka_found *found)
{
    uint32_t newest = 0, kept = 0;

    for (uint32_t i = 0; i < found->rows_count; i++)
        newest = found->rows[i].incarnation > newest ? found->rows[i].incarnation : newest;
    for (uint32_t i = 0; i < found->rows_count; i++)
        if (found->rows[i].incarnation == newest)
            found->rows[kept++] = found->rows[i];
    found->rows_count = kept;
}

static int found_marks(struct kafka_source *source, const struct sl_klog_partition *item, struct kafka_found *found,
                       struct sl_err *err)
{
    struct sl_slice metadata = {item->metadata, item->metadata_bytes};

    found->marks = found->marks == NULL ? malloc(sizeof(*found->marks)) : found->marks;
    if (found->marks == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory for the marks of %s", item->topic);
    found->rows_count = 0;
    if (item->offset >= 0 && metadata.data != NULL && sl_marks_scan(metadata, found->marks) == 0) {
        for (uint32_t i = 0; i < found->marks->count; i++)
            found_add(found, &found->marks->rows[i]);
        if (found->marks->partial)
            found_from_topic(source, item, found, false);
    } else if (item->offset >= 0) {
        found_from_topic(source, item, found, true);
        found->reset = found->rows_count > 0;
        found_by_hand(source, item, found);
    } else {
        found_from_topic(source, item, found, false);
    }
    found_drop_old(found);
    found->committed = item->offset >= 0 || found->rows_count > 0;
    return 0;
}

/* ---- rule A1 ---- */
static const struct sl_mark *found_highest(const struct kafka_found *found)
{
    const struct sl_mark *highest = NULL;

    for (uint32_t i = 0; i < found->rows_count; i++) {
        const struct sl_mark *mark = &found->rows[i].mark;

        if (mark->last_offset != UINT64_MAX && (highest == NULL || mark->last_offset > highest->last_offset))
            highest = mark;
    }
    return highest;
}

/* What needs no record to be read; the mark whose last record does, or NULL. */
static const struct sl_mark *found_verify(struct kafka_found *found)
{
    const struct sl_mark *mark = found_highest(found);
    uint64_t top = 0;

    for (uint32_t i = 0; i < found->rows_count; i++)
        top = found->rows[i].mark.next > top ? found->rows[i].mark.next : top;
    found->beyond = top > found->end;
    found->changed[0] = '\0';
    found->unverified = false;
    if (found->beyond)
        (void)snprintf(found->changed, sizeof(found->changed),
                       "source changed: %llu was committed, but the partition ends at %llu", (unsigned long long)top,
                       (unsigned long long)found->end);
    if (found->beyond || mark == NULL)
        return NULL;
    found->unverified = mark->last_offset < found->low;
    return found->unverified ? NULL : mark;
}

static void found_compare(struct kafka_found *found, const struct sl_klog_print *print)
{
    const struct sl_mark *mark = found_highest(found);

    found->unverified = !print->found;
    if (print->found && print->hash != mark->last_hash)
        (void)snprintf(found->changed, sizeof(found->changed),
                       "source changed: offset %llu holds another record than the one that was committed",
                       (unsigned long long)mark->last_offset);
}

/* All partitions' last records are read at once: one by one they would be most of the time that a taking over takes. */
static int look_verify(struct kafka_look *look, struct sl_err *err)
{
    struct kafka_source *source = look->source;
    struct sl_klog_print *prints = calloc(look->list.count, sizeof(*prints));
    uint32_t count = 0;
    int status;

    if (prints == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory for %u partitions", (unsigned)look->list.count);
    for (uint32_t i = 0; i < look->list.count; i++) {
        const struct sl_mark *mark = found_verify(&look->found[i]);
        if (mark != NULL)
            prints[count++] = (struct sl_klog_print){look->list.items[i].topic, look->list.items[i].partition, mark->last_offset, false, 0};
    }
    status = source->log->kind->fingerprints(source->consumer, prints, count, err);
    if (status != 0)
        (void)sl_while(err, "comparing the last records of %u partitions", (unsigned)count);
    for (uint32_t i = 0, p = 0; i < look->list.count && p < count && status == 0; i++)
        if (prints[p].topic == look->list.items[i].topic && prints[p].partition == look->list.items[i].partition)
            found_compare(&look->found[i], &prints[p++]);
    free(prints);
    return status;
}

/* ---- the job ---- */
static int look_ends(struct kafka_look *look, int64_t which, struct sl_err *err)
{
    const struct sl_klog_kind *kind = look->source->log->kind;
    struct sl_klog_list list = {NULL, 0};
    int status = 0;

    for (uint32_t i = 0; i < look->list.count && status == 0; i++)
        if (sl_klog_list_add(&list, look->list.items[i].topic, look->list.items[i].partition, -1, NULL, 0) != 0)
            status = sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory for %u partitions", (unsigned)look->list.count);
    if (status == 0)
        status = kind->offsets(look->source->consumer, &list, which, KAFKA_TIMEOUT_MS, err);
    for (uint32_t i = 0; i < list.count && status == 0; i++) {
        struct kafka_found *found = &look->found[i];
        const struct sl_klog_partition *got = &list.items[i];

        if (got->error != 0 || (got->offset < 0 && which < 0))
            status = sl_fail(err, SL_E_BROKER, SL_REMEDY_RETRY, got->error, "%s [%d]: its bounds cannot be asked for now", got->topic,
                             (int)got->partition);
        else if (which == -2)
            found->low = found->start = (uint64_t)got->offset;
        else if (which == -1)
            found->end = (uint64_t)got->offset;
        else
            found->start = got->offset < 0 ? found->end : (uint64_t)got->offset; /* nothing is that young */
    }
    sl_klog_list_fini(&list);
    return status;
}

static int look_start(struct kafka_look *look, struct sl_err *err)
{
    const struct kafka_config *config = look->source->config;
    bool known = look->known_subscription;

    for (uint32_t i = 0; i < look->list.count; i++)
        known = known || look->found[i].committed;
    if (known) /* rule A3: what has no mark is new, and read from its beginning */
        return 0;
    if (config->start == KAFKA_TIMESTAMP)
        return look_ends(look, (int64_t)config->timestamp, err);
    for (uint32_t i = 0; i < look->list.count; i++) {
        struct kafka_found *found = &look->found[i];

        if (config->start == KAFKA_LATEST)
            found->start = found->end;
        else if (config->start == KAFKA_OFFSET)
            found->start = config->offset < found->low ? found->low : config->offset > found->end ? found->end : config->offset;
    }
    return 0;
}

static int look_at(struct kafka_look *look, struct sl_err *err)
{
    struct kafka_source *source = look->source;
    int status = source->log->kind->committed(source->consumer, &look->list, KAFKA_TIMEOUT_MS, err);

    if (status == 0)
        status = known_read(source, err);
    if (status == 0)
        status = look_ends(look, -2, err);
    if (status == 0)
        status = look_ends(look, -1, err);
    for (uint32_t i = 0; i < look->list.count && status == 0; i++)
        status = found_marks(source, &look->list.items[i], &look->found[i], err);
    if (status == 0)
        status = look_verify(look, err);
    return status == 0 ? look_start(look, err) : status;
}

static void look_run(struct sl_job *job)
{
    struct kafka_look *look = (struct kafka_look *)(void *)job;

    look->status = look->list.count == 0 ? 0 : look_at(look, &look->err);
}

void kafka_look_init(struct kafka_look *look, struct kafka_source *source, void (*done)(struct sl_job *job))
{
    *look = (struct kafka_look){.job = {.run = look_run, .done = done}, .source = source};
}

void kafka_look_fini(struct kafka_look *look)
{
    for (uint32_t i = 0; look->found != NULL && i < look->list.count; i++)
        free(look->found[i].marks);
    free(look->found);
    look->found = NULL;
    sl_klog_list_fini(&look->list);
}

int kafka_look_fill(struct kafka_look *look, const struct sl_klog_list *list)
{
    kafka_look_fini(look);
    for (uint32_t i = 0; i < list->count; i++)
        if (sl_klog_list_add(&look->list, list->items[i].topic, list->items[i].partition, -1, NULL, 0) != 0)
            return -1;
    look->found = calloc(list->count + 1, sizeof(*look->found));
    look->attempts = 0;
    look->retry_at_ns = 0;
    look->cancelled = false;
    return look->found == NULL ? -1 : 0;
}
