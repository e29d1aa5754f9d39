/* sim_check.c: the laws: every due record once and in order in the landing zones of all processes, no final name without a commit
 * record, every name of a commit record there, ledgers balanced.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "runtime/engine/mark_codec.h"
#include "runtime/store/commit_log.h"
#include "runtime/store/landing.h"
#include "tests/sim/sim_inner.h"

/* ---- what commit records name ---- */

static int check_name_find(const struct sim *sim, const char *name)
{
    for (uint32_t i = sim->names_count; i-- > 0;)
        if (strcmp(sim->names[i], name) == 0)
            return 1;
    return 0;
}

static void check_entry(struct sim *sim, uint32_t process, struct sl_slice value)
{
    struct sl_landing_entry *entry;
    struct sl_err err;
    uint32_t parts;
    if (value.bytes <= sizeof(parts))
        return;
    memcpy(&parts, value.data, sizeof(parts));
    if (parts != 1 || sl_landing_decode((struct sl_slice){value.data + sizeof(parts), value.bytes - (uint32_t)sizeof(parts)},
                                        &entry, &err) != 0)
        return; /* of a sink that leaves no files */
    for (uint32_t i = 0; i < entry->files_count; i++) {
        char name[600];
        (void)snprintf(name, sizeof(name), "%u/%s/%s", process, entry->component, entry->files[i].final);
        if (check_name_find(sim, name))
            continue;
        assert(sim->names_count < SIM_NAMES_MAX);
        sim_trace(sim, "committed: %s", name);
        sim->names[sim->names_count] = strdup(name);
        assert(sim->names[sim->names_count] != NULL);
        sim->names_count++;
    }
    entry = sl_landing_entry_free(entry);
}

static void check_change(struct sim *sim, uint32_t process, struct sl_slice key, struct sl_slice value)
{
    char memory[SL_COMMIT_KEY_BYTES + 1];
    struct sl_commit_key found;
    unsigned node = process;
    if (value.data == NULL || key.bytes == 0 || key.data[0] != SL_KEY_FLUSH || sl_commit_key_scan(key, memory, &found) != 0)
        return;
    (void)sscanf(found.node, "node%u", &node);
    check_entry(sim, node, value);
}

struct check_log {
    struct sim *sim;
    uint32_t process;
};

static int check_local_each(void *user, struct sl_slice key, struct sl_slice value)
{
    const struct check_log *log = user;
    check_change(log->sim, log->process, key, value);
    return 0;
}

static int check_topic_each(void *user, const struct sl_klog_message *message)
{
    const struct check_log *log = user;
    check_change(log->sim, 0, message->key, message->payload);
    return 0;
}

void sim_check_commits(struct sim_process *process)
{
    struct sim *sim = process->sim;
    struct check_log log = {sim, process->index};
    if (!sim->kind->kafka && process->shared.commit_log != NULL)
        (void)sl_commit_log_each(process->shared.commit_log, check_local_each, &log);
}

static void check_topic(struct sim *sim)
{
    const char *topic = sim->kind->topology->commit_topic;
    struct check_log log = {sim, 0};
    for (uint32_t p = 0; p < sl_model_partitions(sim->model, topic); p++)
        (void)sl_model_read(sim->model, topic, (int32_t)p, check_topic_each, &log);
}

/* ---- walking a landing zone ---- */

static const char *check_component(const struct sim *sim, uint32_t sink);

/* The names and folders that a sink has had, over all versions; NULL: it has no other. */
static const char *check_name(const struct sim *sim, uint32_t sink, uint32_t other)
{
    return other == 0 ? check_component(sim, sink) : sim->kind->sinks[sink].renamed;
}

static const char *check_dir(const struct sim *sim, uint32_t sink, uint32_t other)
{
    return other == 0 ? sim->kind->sinks[sink].dir : sim->kind->sinks[sink].moved;
}

struct check_walk {
    struct sim_process *process;
    uint32_t sink;
    const char *root;
    char path[700];
    bool read;
    int64_t last[SIM_PARTITIONS_MAX];
};

static void check_walk_dir(struct check_walk *walk);

static int check_line(void *user, struct sl_slice line, struct sl_err *err)
{
    struct check_walk *walk = user;
    struct sim *sim = walk->process->sim;
    const char *at = memchr(line.data, '#', line.bytes);
    unsigned number = UINT32_MAX;
    (void)err;
    if (at == NULL || sscanf(at, "#%u#", &number) != 1 || number >= sim->records_count) {
        sim_fail(sim, "%s: %s holds a line that was never sent: %.*s", walk->process->node, walk->path, (int)line.bytes,
                 line.data);
        return 0;
    }
    struct sim_record *record = &sim->records[number];
    sim_trace(sim, "%s: %u", walk->path, number);
    if (record->seen[walk->sink] < 255)
        record->seen[walk->sink]++;
    if (walk->last[record->partition] >= (int64_t)number &&
        !(sim->kind->sick && sim->kind->sinks[walk->sink].due == SIM_DUE_INVALID)) /* letters of refused records come when they come */
        sim_fail(sim, "%s: %s: record %u of partition %u comes after %lld", walk->process->node, walk->path, number,
                 record->partition, (long long)walk->last[record->partition]);
    walk->last[record->partition] = number;
    return 0;
}

static void check_file(struct check_walk *walk)
{
    struct sim *sim = walk->process->sim;
    char name[1000];
    struct sl_err err;
    bool named = false;
    for (uint32_t n = 0; n < 2 && check_name(sim, walk->sink, n) != NULL; n++) {
        (void)snprintf(name, sizeof(name), "%u/%s/%s", walk->process->index, check_name(sim, walk->sink, n), walk->path + strlen(walk->root) + 1);
        named = named || check_name_find(sim, name);
    }
    sim_trace(sim, "%s: %s", walk->process->node, walk->path);
    if (!named)
        sim_fail(sim, "%s: %s is visible, but no commit record names it", walk->process->node, walk->path);
    for (uint32_t p = 0; p < SIM_PARTITIONS_MAX; p++)
        walk->last[p] = -1;
    if (walk->read && sl_landing_lines(sl_disk_fs(walk->process->disk), walk->path, check_line, walk, &err) != 0)
        sim_fail(sim, "%s: reading %s: %s", walk->process->node, walk->path, err.text);
}

static int check_each(void *user, const char *name)
{
    struct check_walk *walk = user;
    struct sl_fs *fs = sl_disk_fs(walk->process->disk);
    struct sl_fs_stat found;
    size_t bytes = strlen(walk->path);
    if (strcmp(name, SL_LANDING_HIDDEN) == 0)
        return 0;
    (void)snprintf(walk->path + bytes, sizeof(walk->path) - bytes, "/%s", name);
    if (fs->stat(fs, walk->path, &found) == 0 && found.is_dir)
        check_walk_dir(walk);
    else
        check_file(walk);
    walk->path[bytes] = '\0';
    return 0;
}

static void check_walk_dir(struct check_walk *walk)
{
    struct sl_fs *fs = sl_disk_fs(walk->process->disk);
    (void)fs->list(fs, walk->path, check_each, walk);
}

static const char *check_component(const struct sim *sim, uint32_t sink)
{
    const struct sl_topology *topology = sim->kind->topology;
    bool dead = sim->kind->sinks[sink].due == SIM_DUE_INVALID;
    return dead ? topology->components[topology->dead_letters].name : sim->kind->sinks[sink].name;
}

static void check_zone(struct sim_process *process, uint32_t sink, const char *dir, bool read)
{
    char root[64];
    struct check_walk walk = {.process = process, .sink = sink, .read = read, .root = root};
    (void)snprintf(root, sizeof(root), "%s/%s", SIM_DATA, dir);
    (void)snprintf(walk.path, sizeof(walk.path), "%s", root);
    check_walk_dir(&walk);
}

static void check_zones(struct sim *sim, bool read)
{
    if (sim->kind->kafka)
        check_topic(sim);
    for (uint32_t p = 0; p < sim->processes_count; p++)
        for (uint32_t s = 0; s < sim->kind->sinks_count; s++)
            for (uint32_t d = 0; d < 2; d++)
                if (check_dir(sim, s, d) != NULL)
                    check_zone(&sim->processes[p], s, check_dir(sim, s, d), read);
}

void sim_check_names(struct sim *sim)
{
    check_zones(sim, false);
}

/* Whether a committed name, "PROCESS/COMPONENT/FINAL", is one of this sink's and not there, in none of its folders. */
static bool check_is_absent(const struct sim *sim, const char *name, uint32_t sink)
{
    struct sl_fs *fs = sl_disk_fs(sim->processes[atoi(name)].disk);
    const char *component, *final = strchr(name, '/') + 1;
    struct sl_fs_stat found;
    bool absent = false;
    for (uint32_t n = 0; sim->kind->sinks[sink].dir != NULL && n < 2 && (component = check_name(sim, sink, n)) != NULL; n++) {
        size_t bytes = strlen(component);
        if (strncmp(final, component, bytes) != 0 || final[bytes] != '/')
            continue;
        absent = true;
        for (uint32_t d = 0; absent && d < 2 && check_dir(sim, sink, d) != NULL; d++) {
            char path[800];
            (void)snprintf(path, sizeof(path), "%s/%s%s", SIM_DATA, check_dir(sim, sink, d), final + bytes);
            absent = fs->stat(fs, path, &found) != 0;
        }
    }
    return absent;
}

/* The first name that a commit record ever gave and that is not there; NULL: all are. */
static const char *check_absent(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->names_count; i++)
        for (uint32_t s = 0; s < sim->kind->sinks_count; s++)
            if (check_is_absent(sim, sim->names[i], s))
                return sim->names[i];
    return NULL;
}

const char *sim_check_absent(struct sim *sim)
{
    if (sim->kind->kafka)
        check_topic(sim);
    return check_absent(sim);
}

/* ---- counting ---- */

static int check_out_each(void *user, const struct sl_klog_message *message)
{
    struct check_walk *walk = user;
    return check_line(walk, message->payload, NULL);
}

static void check_out(struct sim *sim, uint32_t sink)
{
    const char *topic = sim->kind->sinks[sink].topic;
    struct check_walk walk = {.process = &sim->processes[0], .sink = sink, .read = true};
    for (uint32_t p = 0; p < sl_model_partitions(sim->model, topic); p++) {
        for (uint32_t i = 0; i < SIM_PARTITIONS_MAX; i++)
            walk.last[i] = -1;
        (void)snprintf(walk.path, sizeof(walk.path), "topic %s/%u", topic, p);
        (void)sl_model_read(sim->model, topic, (int32_t)p, check_out_each, &walk);
    }
}

static bool check_is_due(const struct sim_record *record, enum sim_due due)
{
    switch (due) {
    case SIM_DUE_VALID:
        return record->valid;
    case SIM_DUE_USEFUL:
        return record->valid && !record->debug;
    case SIM_DUE_INVALID:
        return !record->valid;
    }
    return false;
}

/* Whether it must be at the sink, and whether it may. */
static bool check_must(const struct sim *sim, const struct sim_record *record, uint32_t sink)
{
    if (record->refused || !record->durable)
        return false;
    return sim->kind->changes ? sim_version_every(sim, record, sink) : check_is_due(record, sim->kind->sinks[sink].due);
}

static bool check_may(const struct sim *sim, const struct sim_record *record, uint32_t sink)
{
    if (record->refused)
        return false;
    return sim->kind->changes ? sim_version_some(sim, record, sink) : check_is_due(record, sim->kind->sinks[sink].due);
}

static uint32_t check_backend(const struct sim *sim)
{
    uint32_t sink = 0;
    while (sink < sim->kind->sinks_count && !sim->kind->sinks[sink].backend)
        sink++;
    return sink;
}

static void check_count(struct sim *sim, uint32_t number, uint32_t sink)
{
    const struct sim_record *record = &sim->records[number];
    uint32_t least = check_must(sim, record, sink), most = check_may(sim, record, sink), seen = record->seen[sink];
    uint32_t backend = check_backend(sim);
    if (sim->kind->sinks[sink].backend) { /* under one key, so however often it came, it is there once */
        least = sim_sick_keeps(sim, number) && !sim->orphans ? least : 0;
        most = most > 0 && sim_sick_keeps(sim, number) ? 255 : 0;
    } else if (sim->kind->sinks[sink].due == SIM_DUE_INVALID && backend < sim->kind->sinks_count && sim_sick_refuses(sim, number) &&
               check_may(sim, record, backend)) { /* a letter, keyed by its origin too (rule J3) */
        least = !sim->orphans && check_must(sim, record, backend);
        most = 255;
    }
    if (seen < least)
        sim_fail(sim, "record %u of partition %u (process %u) is lost at %s", number, record->partition, record->process,
                 sim->kind->sinks[sink].name);
    if (seen > most)
        sim_fail(sim, "record %u of partition %u (process %u) is %u times at %s, where %u may be", number, record->partition,
                 record->process, seen, sim->kind->sinks[sink].name, most);
}

static void check_row(struct sim *sim, const struct sl_ledger_row *row)
{
    uint64_t sum = 0;
    for (int fate = SL_LIVE + 1; fate < SL_FATES; fate++)
        sum += row->fates[fate];
    if (row->sink != 0 && sum != row->fates[SL_LIVE] + row->returned)
        sim_fail(sim, "ledger: sink %u service %u level %u: %llu in, %llu returned, %llu accounted for", row->sink, row->service,
                 row->level, (unsigned long long)row->fates[SL_LIVE], (unsigned long long)row->returned, (unsigned long long)sum);
}

void sim_check_ledgers(struct sim_process *process)
{
    for (uint32_t s = 0; process->up && s < process->slots_count; s++) {
        struct sl_slot_status status;
        if (sl_slot_status(process->slots[s].slot, &status) != 0)
            continue;
        for (uint32_t r = 0; r < status.ledger.rows_cap; r++)
            check_row(process->sim, &status.ledger.rows[r]);
        sl_slot_status_fini(&status);
    }
}

void sim_check_end(struct sim *sim)
{
    check_zones(sim, true);
    const char *absent = check_absent(sim);
    if (absent != NULL)
        sim_fail(sim, "%s was committed, but is not there", absent);
    for (uint32_t s = 0; s < sim->kind->sinks_count; s++)
        if (sim->kind->sinks[s].topic != NULL)
            check_out(sim, s);
    for (uint32_t i = 0; i < sim->records_count; i++)
        for (uint32_t s = 0; s < sim->kind->sinks_count; s++)
            check_count(sim, i, s);
    for (uint32_t p = 0; p < sim->processes_count; p++)
        sim_check_ledgers(&sim->processes[p]);
}

/* ---- is everything home? ---- */

static int check_last_each(void *user, const struct sl_klog_message *message)
{
    *(int64_t *)user = (int64_t)message->offset + 1;
    return 0;
}

static bool check_committed_kafka(struct sim *sim)
{
    for (uint32_t p = 0; p < sl_model_partitions(sim->model, "in"); p++) {
        int64_t end = 0, committed = 0;
        struct sl_slice metadata;
        (void)sl_model_read(sim->model, "in", (int32_t)p, check_last_each, &end);
        if (end > 0 && (sl_model_committed(sim->model, "g", "in", (int32_t)p, &committed, &metadata) == 0 || committed < end))
            return false;
    }
    return true;
}

static bool check_slot_committed(const struct sim_slot *slot, struct sl_spool_topic *topic, uint32_t *inout_owned)
{
    struct sl_slot_status status;
    bool all = sl_slot_status(slot->slot, &status) == 0;
    *inout_owned += all ? status.partitions_count : 0;
    for (uint32_t i = 0; all && i < status.partitions_count; i++) {
        uint64_t first, end;
        sl_spool_bounds(topic, (uint32_t)atoi(status.partitions[i].id), &first, &end);
        all = status.partitions[i].committed >= end;
    }
    sl_slot_status_fini(&status);
    return all;
}

static bool check_committed_spool(struct sim *sim)
{
    for (uint32_t p = 0; p < sim->processes_count; p++) {
        struct sim_process *process = &sim->processes[p];
        struct sl_spool_topic *topic;
        struct sl_err err;
        uint32_t owned = 0;
        if (!process->up || sim_input_waits(process) || sl_spool_topic(process->spool, "input", sim->partitions, &topic, &err) != 0)
            return false;
        for (uint32_t s = 0; s < process->slots_count; s++)
            if (!check_slot_committed(&process->slots[s], topic, &owned))
                return false;
        if (owned < sim->partitions)
            return false;
    }
    return true;
}

/* A sink that is not required holds no offset: what its queue holds is waited for here. *ret_record: what is not there yet. */
static bool check_delivered(const struct sim *sim, uint32_t *ret_record)
{
    for (uint32_t s = 0; s < sim->kind->sinks_count; s++)
        for (uint32_t i = 0; sim->kind->sinks[s].backend && i < sim->records_count; i++)
            if (check_must(sim, &sim->records[i], s) && sim_sick_keeps(sim, i) && sim->records[i].seen[s] == 0) {
                *ret_record = i;
                return false;
            }
    return true;
}

/* And so are records that it refuses: each is to become a letter before its queue lets go of it. */
static bool check_queues_empty(const struct sim *sim)
{
    uint64_t records = 0;
    for (uint32_t p = 0; sim->kind->sick && p < sim->processes_count; p++)
        for (uint32_t s = 0; s < sim->processes[p].slots_count; s++) {
            struct sl_slot_status status;
            if (sl_slot_status(sim->processes[p].slots[s].slot, &status) != 0)
                return false;
            for (uint32_t q = 0; q < status.queues_count; q++)
                records += status.queues[q].records + status.queues[q].out;
            sl_slot_status_fini(&status);
        }
    return records == 0;
}

const char *sim_check_missing(struct sim *sim)
{
    static char text[128];
    uint32_t i = 0;
    for (uint32_t p = 0; p < sim->processes_count; p++)
        if (!sim->processes[p].up || sim->now_ns < sim->processes[p].stopped_until_ns)
            return "a process is away"; /* it may have files to give their names */
    for (uint32_t p = 0; p < sim->processes_count; p++)
        if (sim->kind->changes && !sim_deploy_is_over(&sim->processes[p]))
            return "something of an earlier version is left";
    if (!sim->orphans && !check_delivered(sim, &i)) {
        (void)snprintf(text, sizeof(text), "record %u of partition %u (process %u) never came to the back-end", i, sim->records[i].partition,
                       sim->records[i].process);
        return text;
    }
    if (!check_queues_empty(sim))
        return "a queue is not empty";
    if (!(sim->kind->kafka ? check_committed_kafka(sim) : check_committed_spool(sim)))
        return "not everything is committed";
    return sim_check_absent(sim) != NULL ? "what was committed is not there" : NULL;
}

bool sim_check_all_committed(struct sim *sim)
{
    if (sim->now_ns < sim->seen_ns + 100 * SIM_MS)
        return false;
    sim->seen_ns = sim->now_ns;
    return sim_check_missing(sim) == NULL;
}
