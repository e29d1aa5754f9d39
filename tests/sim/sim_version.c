/* sim_version.c: the versions of a topology that a run makes as it goes, as users would write them, and what each says of a record.
 *
 * Which version decided about a record is not known from outside: around a swap, or after a crash, it may be the one or the other. So a
 * record notes every version that was live in a process that may have read it, from the moment it was sent until all sinks had committed
 * it; where all of them agree, what must become of it is known exactly.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>

#include "runtime/engine/slot/slot_private.h"
#include "tests/sim/sim_inner.h"

enum { VERSION_TEXT_BYTES = 8192, VERSION_CHANGES_MAX = 4 };

/* Rows of sinks of the kinds that change. */
enum { VERSION_LANDING, VERSION_PART, VERSION_DEAD, VERSION_SICK, VERSION_OUT };

static const char *const version_drops[] = {"debug", "info", "trace"};
static const char *const version_files[] = {
    "compression: none, roll: { bytes: 64KiB, every: 2s }",
    "compression: none, roll: { bytes: 64KiB, every: 400ms }",
    "compression: zstd, level: 3, roll: { bytes: 64KiB, every: 900ms }",
};
/* Two of each: whether there is a queue, and what it may mean, stays (engine/merge.c). */
static const char *const version_sick[] = {
    "when_full: spool, retry: { backoff_max: 3s }",
    "when_full: spool, retry: { backoff_max: 4s }",
    "required: false, queue: { bytes: 1MiB }",
    "required: false, queue: { bytes: 2MiB }",
    "retry: { backoff_max: 3s }",
    "retry: { backoff_max: 4s }",
};
static const char *const version_out[] = {"compression: zstd", "compression: lz4", "compression: none"};
static const char *const version_spool[] = {"start: earliest", "start: offset, offset: 0", "start: earliest"};

enum { VERSION_FILES = 3, VERSION_SICKS = 6, VERSION_SOURCES = 3 };

/* ---- as text ---- */

static const char *version_name(const struct sim *sim, const struct sim_version *version, uint32_t sink, bool other)
{
    const struct sim_sink *row = &sim->kind->sinks[sink];
    return row->renamed != NULL && version->renamed[sink] != other ? row->renamed : row->name;
}

static int version_sink(const struct sim *sim, const struct sim_version *version, uint32_t sink, char *text, size_t bytes)
{
    const struct sim_sink *row = &sim->kind->sinks[sink];
    const char *name = version_name(sim, version, sink, false), *dir = version->moved[sink] ? row->moved : row->dir;
    const char *inputs = row->due == SIM_DUE_VALID ? "parsed" : "useful";
    char was[64] = "";
    if (!version->has[sink] || sink == VERSION_DEAD)
        return 0;
    if (version->was[sink])
        (void)snprintf(was, sizeof(was), ", was: %s", version_name(sim, version, sink, true));
    if (row->backend)
        return snprintf(text, bytes, "  %s: { type: sick, inputs: [%s], %s%s }\n", name, inputs, version_sick[version->settings[sink]], was);
    if (dir == NULL)
        return snprintf(text, bytes, "  %s: { type: kafka, inputs: [%s], brokers: [\"sim:9092\"], topic: out, exactly_once: true, %s%s }\n",
                        name, inputs, version_out[version->settings[sink]], was);
    return snprintf(text, bytes, "  %s: { type: files, inputs: [%s], dir: %s, path: \"s={service}\", %s%s }\n", name, inputs, dir,
                    version_files[version->settings[sink]], was);
}

static void version_print(const struct sim *sim, const struct sim_version *version, char text[VERSION_TEXT_BYTES])
{
    char source[256];
    size_t at;
    if (sim->kind->kafka)
        (void)snprintf(source, sizeof(source), "type: kafka, brokers: [\"sim:9092\"], topics: [\"^in$\"], group: g");
    else
        (void)snprintf(source, sizeof(source), "type: spool, topic: input, %s", version_spool[version->source]);
    at = (size_t)snprintf(text, VERSION_TEXT_BYTES,
                          "name: sim\nsources:\n  in: { %s }\noperators:\n  parsed: { type: parse, inputs: [in], format: json }\n"
                          "  useful: { type: filter, inputs: [parsed], drop_where: { level: [%s] } }\nsinks:\n",
                          source, version_drops[version->drops]);
    for (uint32_t s = 0; s < sim->kind->sinks_count; s++)
        at += (size_t)version_sink(sim, version, s, text + at, VERSION_TEXT_BYTES - at);
    (void)snprintf(text + at, VERSION_TEXT_BYTES - at,
                   "dead_letters: { type: files, dir: %s, %s }\nmemory: 64MiB\ncommit: { every: 300ms }\n",
                   version->moved[VERSION_DEAD] ? sim->kind->sinks[VERSION_DEAD].moved : sim->kind->sinks[VERSION_DEAD].dir,
                   version_files[version->settings[VERSION_DEAD]]);
}

struct sl_topology *sim_version_load(struct sim *sim, uint32_t number)
{
    char text[VERSION_TEXT_BYTES];
    struct sl_topology *topology;
    version_print(sim, &sim->versions[number], text);
    topology = sim_topology_parse("a version", text);
    sim_trace(sim, "version %u of the topology:\n%s", number, text);
    if (topology == NULL)
        sim_fail(sim, "version %u of the topology cannot be loaded:\n%s", number, text);
    return topology;
}

/* ---- making them ---- */

static uint32_t version_settings(struct sim *sim, uint32_t sink)
{
    uint32_t first = sim->versions_count == 0 ? (uint32_t)sim_random(sim, VERSION_SICKS) : sim->versions[0].settings[sink];
    if (sink == VERSION_SICK)
        return first / 2 * 2 + (uint32_t)sim_random(sim, 2);
    return (uint32_t)sim_random(sim, VERSION_FILES);
}

/* A version that calls a sink something else without saying what it was called has another sink. */
bool sim_version_follows(const struct sim *sim, uint32_t number, uint32_t live)
{
    const struct sim_version *to = &sim->versions[number], *from = &sim->versions[live];
    for (uint32_t s = 0; s < sim->kind->sinks_count; s++)
        if (to->has[s] && from->has[s] && to->renamed[s] != from->renamed[s] && !to->was[s])
            return false;
    return true;
}

/* Members of one group may run different versions. One that knows a sink by another name, or not at all, says nothing of its marks, so what
 * happens to such a sink while a partition moves is not exact: there all have the same sinks. */
static bool version_shares_group(const struct sim *sim)
{
    return sim->kind->kafka && sim->processes_count > 1;
}

static void version_change_sink(struct sim *sim, struct sim_version *version, uint32_t s)
{
    const struct sim_sink *row = &sim->kind->sinks[s];
    switch (sim_random(sim, 6)) {
    case 0:
        version->moved[s] = row->moved != NULL && !version->moved[s];
        return;
    case 1:
        if (row->renamed == NULL || version_shares_group(sim) || !version->has[s])
            return;
        version->renamed[s] = !version->renamed[s];
        version->was[s] = true;
        return;
    case 2:
        if (s == VERSION_DEAD || version_shares_group(sim))
            return;
        version->has[s] = !version->has[s];
        version->was[s] = false;
        return;
    default:
        version->settings[s] = version_settings(sim, s);
    }
}

static void version_change(struct sim *sim, struct sim_version *version)
{
    switch (sim_random(sim, 6)) {
    case 0:
        version->drops = (uint32_t)sim_random(sim, 3);
        return;
    case 1:
        version->source = (uint32_t)sim_random(sim, VERSION_SOURCES);
        return;
    default:
        version_change_sink(sim, version, (uint32_t)sim_random(sim, sim->kind->sinks_count));
    }
}

uint32_t sim_version_make(struct sim *sim, uint32_t from)
{
    struct sim_version *version = &sim->versions[sim->versions_count];
    uint32_t changes = 1 + (uint32_t)sim_random(sim, VERSION_CHANGES_MAX);
    if (sim->versions_count == SIM_VERSIONS_MAX)
        return SIM_VERSIONS_MAX;
    *version = sim->versions[from];
    for (uint32_t i = 0; i < changes; i++)
        version_change(sim, version);
    if (!version->has[VERSION_PART] && !version->has[VERSION_SICK]) /* the filter has to lead somewhere */
        version->has[VERSION_PART] = true;
    return sim->versions_count++;
}

void sim_versions_begin(struct sim *sim)
{
    struct sim_version *version = &sim->versions[0];
    *version = (struct sim_version){.drops = 0};
    for (uint32_t s = 0; s < sim->kind->sinks_count; s++) {
        version->has[s] = s <= VERSION_DEAD || sim_lot(sim, 700);
        version->settings[s] = version_settings(sim, s);
    }
    sim->versions_count = 1;
}

/* ---- what they say ---- */

static bool version_says(const struct sim *sim, const struct sim_version *version, const struct sim_record *record, uint32_t sink)
{
    const char *level = record->debug ? "debug" : "info";
    if (!version->has[sink])
        return false;
    switch (sim->kind->sinks[sink].due) {
    case SIM_DUE_VALID:
        return record->valid;
    case SIM_DUE_USEFUL:
        return record->valid && strcmp(version_drops[version->drops], level) != 0;
    case SIM_DUE_INVALID:
        return !record->valid;
    }
    return false;
}

static bool version_was_gone(const struct sim *sim, const struct sim_record *record, uint32_t sink)
{
    for (uint32_t v = 0; v < sim->versions_count; v++)
        if ((record->after >> v & 1) != 0 && !sim->versions[v].has[sink])
            return true;
    return false;
}

/* A sink that was gone and came back may go on at its old mark after a crash, so with what was read meanwhile: once, as ever. */
bool sim_version_some(const struct sim *sim, const struct sim_record *record, uint32_t sink)
{
    uint64_t versions = record->versions | (version_was_gone(sim, record, sink) ? record->after : 0);
    for (uint32_t v = 0; v < sim->versions_count; v++)
        if ((versions >> v & 1) != 0 && version_says(sim, &sim->versions[v], record, sink))
            return true;
    return false;
}

bool sim_version_every(const struct sim *sim, const struct sim_record *record, uint32_t sink)
{
    if (sim->kind->sinks[sink].backend && version_was_gone(sim, record, sink))
        return false; /* after a crash its queue waits on disk */
    for (uint32_t v = 0; v < sim->versions_count; v++)
        if ((record->versions >> v & 1) != 0 && !version_says(sim, &sim->versions[v], record, sink))
            return false;
    return true;
}

/* ---- which of them decide ---- */

static uint64_t version_committed(const struct sl_position *position)
{
    return position->committed.next;
}

static bool version_is_of(const struct sim *sim, const struct sim_record *record, uint32_t process, uint32_t partition)
{
    return record->partition == partition && (sim->kind->kafka || record->process == process);
}

static void version_settle_slot(struct sim *sim, uint32_t process, const struct sl_slot *slot)
{
    for (uint32_t p = 0; p < slot->partitions_cap; p++) {
        uint64_t lowest;
        uint32_t number;
        if (slot->partitions[p] == NULL)
            continue;
        lowest = sl_slot_lowest(slot, p, false, version_committed);
        for (uint32_t s = 0; s < slot->sinks_count; s++) /* it may come back before it has finished, and go on */
            if (slot->sinks[s].gone && slot->sinks[s].positions[p].committed.next < lowest)
                lowest = slot->sinks[s].positions[p].committed.next;
        number = (uint32_t)strtoul(slot->partitions[p]->id, NULL, 10);
        for (uint32_t i = 0; i < sim->records_count; i++)
            if (sim->records[i].placed && sim->records[i].offset < lowest && version_is_of(sim, &sim->records[i], process, number))
                sim->records[i].settled = true;
    }
}

void sim_version_live(struct sim_process *process, uint32_t number)
{
    struct sim *sim = process->sim;
    for (uint32_t p = 0; p < sim->processes_count; p++)
        for (uint32_t s = 0; sim->processes[p].up && s < sim->processes[p].slots_count; s++)
            if (sim->processes[p].slots[s].slot != NULL)
                version_settle_slot(sim, p, sim->processes[p].slots[s].slot);
    for (uint32_t i = 0; i < sim->records_count; i++)
        if (sim->kind->kafka || sim->records[i].process == process->index)
            sim->records[i].after |= 1ull << number;
    for (uint32_t i = 0; i < sim->records_count; i++)
        if (!sim->records[i].settled && (sim->kind->kafka || sim->records[i].process == process->index))
            sim->records[i].versions |= 1ull << number;
}

uint64_t sim_versions_of(const struct sim *sim, uint32_t process)
{
    uint64_t versions = 0;
    for (uint32_t p = 0; sim->kind->changes && p < sim->processes_count; p++)
        if (sim->kind->kafka || p == process)
            versions |= sim_lives_versions(&sim->processes[p]);
    return versions;
}
