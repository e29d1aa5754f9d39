/* commit.c: what the commit says: each sink's mark of each partition, and flushes that are committed but whose manifest is
 * not yet written (a kill between commit and rename): their files may still have their temporary names.
 *
 * Own sources: the commit log of the data folder. Kafka sources: the commit topic.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "runtime/base/buf.h"
#include "runtime/cli/audit/audit.h"
#include "runtime/config/topology.h"
#include "runtime/store/commit_log.h"

struct commit_part { /* of a flush entry */
    uint32_t sink, part, parts;
    uint64_t number;
    char *node, *bytes;
    uint32_t bytes_count;
};

struct commit_row { /* of a commit topic; later ones replace earlier ones */
    char *key, *value;
    uint32_t key_bytes, value_bytes;
};

struct audit_commit {
    struct audit *audit;
    bool again; /* the second look: marks alone */
    bool whole; /* it could be read */
    const char *group;
    struct commit_part *parts;
    struct commit_row *rows;
    uint32_t parts_count, rows_count;
};

static void commit_take_mark(struct audit_commit *look, const struct sl_commit_key *key, uint32_t sink, struct sl_slice value)
{
    struct audit_partition *partition;
    struct sl_mark mark;
    uint32_t incarnation;

    if (sl_mark_scan(value, &mark, &incarnation) != 0) {
        audit_say(look->audit, AUDIT_ERROR, "commit", "the committed mark of sink %s for %s %s cannot be read", key->sink,
                  key->topic, key->id);
        return;
    }
    partition = audit_partition_of(look->audit, key->source, key->topic, key->id, incarnation);
    if (look->again) {
        partition->lanes[sink].mark_again = mark.next;
        return;
    }
    partition->lanes[sink].marked = true;
    partition->lanes[sink].mark = mark.next;
    partition->lanes[sink].began = mark.last_offset != UINT64_MAX;
}

static void commit_take_part(struct audit_commit *look, const struct sl_commit_key *key, uint32_t sink, struct sl_slice value)
{
    struct commit_part part = {.sink = sink, .part = key->part, .number = key->number};

    if (value.bytes < sizeof(part.parts))
        return;
    memcpy(&part.parts, value.data, sizeof(part.parts));
    part.node = strdup(key->node);
    part.bytes_count = value.bytes - (uint32_t)sizeof(part.parts);
    part.bytes = audit_alloc(part.bytes_count);
    memcpy(part.bytes, value.data + sizeof(part.parts), part.bytes_count);
    look->parts = audit_realloc(look->parts, (look->parts_count + 1) * sizeof(part));
    look->parts[look->parts_count++] = part;
}

static int commit_each(void *user, struct sl_slice text, struct sl_slice value)
{
    struct audit_commit *look = user;
    char memory[SL_COMMIT_KEY_BYTES + 1];
    struct sl_commit_key key;
    uint32_t sink;

    if (value.data == NULL || sl_commit_key_scan(text, memory, &key) != 0 || strcmp(key.group, look->group) != 0)
        return 0;
    if (key.kind != SL_KEY_MARK && key.kind != SL_KEY_FLUSH)
        return 0;
    sink = audit_sink_of(look->audit, key.sink);
    if (sink == UINT32_MAX)
        return 0;
    if (key.kind == SL_KEY_MARK)
        commit_take_mark(look, &key, sink, value);
    else if (!look->again)
        commit_take_part(look, &key, sink, value);
    return 0;
}

/* ---- flushes that have no manifest yet ---- */

static int commit_part_order(const void *left, const void *right)
{
    const struct commit_part *a = left, *b = right;
    int nodes = strcmp(a->node, b->node);

    if (a->sink != b->sink)
        return a->sink < b->sink ? -1 : 1;
    if (nodes != 0)
        return nodes;
    if (a->number != b->number)
        return a->number < b->number ? -1 : 1;
    return a->part < b->part ? -1 : a->part > b->part;
}

static bool commit_same_flush(const struct commit_part *a, const struct commit_part *b)
{
    return a->sink == b->sink && a->number == b->number && strcmp(a->node, b->node) == 0;
}

static bool commit_published(const struct audit *audit, const char *name, uint32_t sink)
{
    for (uint32_t f = 0; f < audit->flushes_count; f++)
        if (audit->flushes[f]->sink == sink && strcmp(audit->flushes[f]->name, name) == 0)
            return true;
    return false;
}

/* Its files lie in one of the sink's folders: that of the host which committed. */
static const char *commit_dir(const struct audit *audit, const struct sl_landing_entry *entry, uint32_t sink)
{
    const char *first = NULL;

    for (uint32_t d = 0; d < audit->dirs_count; d++) {
        char path[PATH_MAX];
        struct audit_flush probe = {.entry = (struct sl_landing_entry *)(uintptr_t)entry, .dir = audit->dirs[d], .pending = true};
        if (audit->dirs_sink[d] != sink)
            continue;
        first = first == NULL ? audit->dirs[d] : first;
        if (entry->files_count > 0 && audit_zone_path(audit, &probe, 0, path))
            return audit->dirs[d];
    }
    return first;
}

static void commit_join(struct audit *audit, const struct commit_part *parts, uint32_t count)
{
    struct sl_landing_entry *entry = NULL;
    char name[SL_LANDING_NAME_BYTES];
    struct sl_buf bytes = {0};
    struct sl_err err = {0};
    struct audit_flush *flush;

    for (uint32_t i = 0; i < count; i++)
        sl_buf_append(&bytes, parts[i].bytes, parts[i].bytes_count);
    if (count != parts[0].parts)
        audit_say(audit, AUDIT_ERROR, "commit", "flush %llu of sink %s has %u of its %u parts in the commit record",
                  (unsigned long long)parts[0].number, audit->sinks[parts[0].sink].name, count, parts[0].parts);
    else if (sl_landing_decode((struct sl_slice){sl_buf_str(&bytes), (uint32_t)bytes.bytes}, &entry, &err) != 0)
        audit_say(audit, AUDIT_ERROR, "commit", "flush %llu of sink %s: %s", (unsigned long long)parts[0].number,
                  audit->sinks[parts[0].sink].name, err.text);
    sl_buf_fini(&bytes);
    if (entry == NULL)
        return;
    (void)sl_landing_name(entry->node, entry->epoch, entry->number, name);
    if (commit_published(audit, name, parts[0].sink)) {
        (void)sl_landing_entry_free(entry);
        return;
    }
    audit_say(audit, AUDIT_NOTE, "pending",
              "flush %s of sink %s is committed and not yet published: the next start will rename its files", name,
              audit->sinks[parts[0].sink].name);
    flush = audit_zone_add(audit, entry, commit_dir(audit, entry, parts[0].sink), parts[0].sink);
    flush->pending = true;
}

static void commit_flushes(struct audit_commit *look)
{
    if (look->parts_count > 0)
        qsort(look->parts, look->parts_count, sizeof(*look->parts), commit_part_order);
    for (uint32_t from = 0, to = 0; from < look->parts_count; from = to) {
        for (to = from + 1; to < look->parts_count && commit_same_flush(&look->parts[from], &look->parts[to]);)
            to++;
        commit_join(look->audit, &look->parts[from], to - from);
    }
}

/* ---- the two places ---- */

static void commit_local(struct audit_commit *look)
{
    struct audit *audit = look->audit;
    struct sl_commit_log *log = NULL;
    struct sl_fs_stat stat;
    struct sl_err err = {0};
    char path[PATH_MAX];

    if (snprintf(path, sizeof(path), "%s/topologies/%s/commit.log", audit->data_dir, audit->topology->name) >= (int)sizeof(path))
        return;
    if (audit->fs->stat(audit->fs, path, &stat) != 0) {
        audit_say(audit, AUDIT_NOTE, "commit", "no commit log %s: whether the last manifests are there cannot be told", path);
        return;
    }
    if (sl_commit_log_open(audit->fs, path, &log, &err) != 0) {
        audit_say(audit, AUDIT_ERROR, "commit", "%s", err.text);
        return;
    }
    (void)sl_commit_log_each(log, commit_each, look);
    look->whole = true;
    (void)sl_commit_log_close(log);
}

static struct commit_row *commit_row_find(struct audit_commit *look, struct sl_slice key)
{
    for (uint32_t i = look->rows_count; i > 0; i--) {
        struct commit_row *row = &look->rows[i - 1];
        if (row->key_bytes == key.bytes && memcmp(row->key, key.data, key.bytes) == 0)
            return row;
    }
    look->rows = audit_realloc(look->rows, (look->rows_count + 1) * sizeof(*look->rows));
    look->rows[look->rows_count] = (struct commit_row){.key = audit_alloc(key.bytes), .key_bytes = key.bytes};
    memcpy(look->rows[look->rows_count].key, key.data, key.bytes);
    return &look->rows[look->rows_count++];
}

static int commit_topic_each(void *user, struct sl_slice key, struct sl_slice value)
{
    struct commit_row *row = commit_row_find(user, key);

    free(row->value);
    row->value = NULL;
    row->value_bytes = 0;
    if (value.data != NULL) {
        row->value = audit_alloc(value.bytes);
        row->value_bytes = value.bytes;
        memcpy(row->value, value.data, value.bytes);
    }
    return 0;
}

static void commit_kafka(struct audit_commit *look, const struct sl_component *source)
{
    const struct audit *audit = look->audit;
    const char *topic = audit->topology->commit_topic;
    struct sl_connection own;
    const struct sl_connection *connection = audit_kafka_connection(audit, source, &own);
    const struct sl_klog_kind *kind = audit->klog->kind;
    struct sl_err err = {0};
    uint32_t partitions = 0;
    uint64_t offset = 0;

    if (connection == NULL || topic == NULL)
        return;
    if (kind->partition_count(audit->klog, connection, topic, &partitions, &err) != 0 || partitions == 0 ||
        kind->scan(audit->klog, connection, topic, sl_commit_partition(look->group, partitions), &offset, commit_topic_each, look,
                   &err) != 0) {
        audit_say(look->audit, AUDIT_NOTE, "commit",
                  "the commit topic %s was not read (%s): whether the last manifests are there cannot be told", topic, err.text);
        return;
    }
    look->whole = true;
    for (uint32_t i = 0; i < look->rows_count; i++)
        (void)commit_each(look, (struct sl_slice){look->rows[i].key, look->rows[i].key_bytes},
                          (struct sl_slice){look->rows[i].value, look->rows[i].value_bytes});
}

/* The Kafka source, or NULL: then commits are local. */
static const struct sl_component *commit_source(const struct audit *audit)
{
    for (uint32_t c = 0; c < audit->topology->sources_count; c++)
        if (audit_is_kafka(&audit->topology->components[c]))
            return &audit->topology->components[c];
    return NULL;
}

static struct audit_commit *commit_look(struct audit *audit, bool again)
{
    const struct sl_component *kafka = commit_source(audit);
    struct audit_commit *look = audit_alloc(sizeof(*look));

    look->audit = audit;
    look->again = again;
    look->group = kafka != NULL ? audit_kafka_group(audit, kafka) : audit->topology->name;
    if (kafka != NULL)
        commit_kafka(look, kafka);
    else
        commit_local(look);
    return look;
}

static void commit_free(struct audit_commit *look)
{
    for (uint32_t i = 0; i < look->parts_count; i++) {
        free(look->parts[i].node);
        free(look->parts[i].bytes);
    }
    for (uint32_t i = 0; i < look->rows_count; i++) {
        free(look->rows[i].key);
        free(look->rows[i].value);
    }
    free(look->parts);
    free(look->rows);
    free(look);
}

void audit_commit_look(struct audit *audit)
{
    audit->commit = commit_look(audit, false);
}

/* Beyond the mark of the first look, and within that of the second one: a server has gone on. */
static void commit_tell_later(struct audit *audit)
{
    uint32_t later = 0;

    for (uint32_t f = 0; f < audit->flushes_count; f++) {
        struct audit_flush *flush = audit->flushes[f];
        for (uint32_t r = 0; r < flush->entry->ranges_count; r++) {
            const struct sl_landing_range *range = &flush->entry->ranges[r];
            const struct audit_lane *lane =
                &audit_partition_of(audit, range->source, range->topic, range->id, range->incarnation)->lanes[flush->sink];
            if (range->next > (lane->marked ? lane->mark : 0) && range->next <= lane->mark_again)
                flush->later = true;
        }
        later += flush->later;
    }
    if (later > 0)
        audit_say(audit, AUDIT_NOTE, "later", "%u flushes were committed while the audit began; they are not part of it", later);
}

void audit_commit_join(struct audit *audit)
{
    struct audit_commit *first = audit->commit;

    commit_flushes(first);
    if (first->whole && commit_source(audit) != NULL) {
        commit_free(commit_look(audit, true));
        commit_tell_later(audit);
    }
    commit_free(first);
    audit->commit = NULL;
}
