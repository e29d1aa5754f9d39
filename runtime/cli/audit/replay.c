/* replay.c: the second reading: a slot of the topology's own operators and conditions, driven in this process, whose source
 * hands out the segments of the audited ranges and whose sinks count and hash what reaches them.
 *
 * One segment at a time: the source hands out nothing of the next before what the slot's ledger gained has been booked to the
 * flushes whose tiles hold the segment. Time stands still and nothing is committed: only decisions that are functions of the record
 * and its origin are repeatable, and these are all that exactly-once sinks may depend on.
 * SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdlib.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "runtime/cli/audit/audit.h"
#include "runtime/engine/drive.h"
#include "runtime/engine/slot.h"
#include "runtime/store/commit_log.h"

enum {
    REPLAY_IDLE_MAX = 10000, /* turns without a batch: the slot takes a few to start */
    REPLAY_PARTITIONS = 256, /* of one slot; then a new one, for a status walks over all of them */
};

struct replay_source;

struct replay {
    struct audit *audit;
    struct sl_topology topology; /* the audited one with other sources and sinks */
    const struct audit_flush *only;
    const struct audit_replay_hooks *hooks;
    struct sl_slot *slot;
    struct sl_ledger before;        /* the slot's ledger at the last booking */
    struct replay_source **sources; /* by component */
    struct audit_reader *reader;
    const struct audit_segment *segment; /* being read, or NULL */
    struct audit_partition *partition;
    struct sl_partition *assigned; /* the slot's partition of it; NULL: not yet */
    uint64_t position;
    uint64_t first_missing; /* of the segment: its first record */
    uint64_t records;       /* of the segment */
    bool began;
    struct sl_job *jobs, **jobs_last;
    struct sl_err failure;
    int failed;
};

/* ---- the source ---- */

struct replay_source {
    struct replay *replay;
    struct sl_slot *slot;
};

static int replay_source_open(void *self, const struct sl_api *api, const void *config, struct sl_slot *slot, struct sl_err *err)
{
    struct replay_source *source = self;

    (void)config;
    (void)err;
    source->replay = api->shared;
    source->slot = slot;
    for (uint32_t c = 0; c < source->replay->topology.components_count; c++)
        if (strcmp(source->replay->topology.components[c].name, api->component) == 0)
            source->replay->sources[c] = source;
    return 0;
}

/* The incarnation is part of every derived id, so it must be the old one; a mark carries it. */
static int replay_assign(struct replay *replay, struct replay_source *source, struct sl_err *err)
{
    const struct audit_partition *partition = replay->partition;
    struct sl_named_mark marks[2] = {{"", {replay->position, UINT64_MAX, 0, 0}, partition->incarnation}};
    int32_t number = strlen(partition->id) == 32 ? -1 : (int32_t)strtol(partition->id, NULL, 10);

    return sl_slot_assign(source->slot, source, partition->topic, partition->id, number, marks, 1, replay->position, NULL,
                          &replay->assigned, NULL, err);
}

static int replay_source_poll(void *self, struct sl_batch *batch, struct sl_err *err)
{
    struct replay_source *source = self;
    struct replay *replay = source->replay;

    if (replay->segment == NULL || replay->failed != 0 || replay->sources[replay->partition->component] != source ||
        replay->position == replay->segment->next)
        return 0;
    if (replay->assigned == NULL && replay_assign(replay, source, err) != 0)
        return -(int)err->code;
    if (replay->assigned->next < replay->position) /* offsets that no flush covers lie between two segments */
        sl_slot_gap(source->slot, replay->assigned, replay->position, "not audited");
    if (audit_reader_read(replay->reader, replay->position, replay->segment->next, batch, err) < 0) {
        replay->failed = -(int)err->code;
        replay->failure = *err;
        return 0;
    }
    assert(batch->next > replay->position && batch->next <= replay->segment->next);
    if (batch->count > 0 && replay->records == 0)
        replay->first_missing = batch->offset[0];
    replay->records += batch->count;
    replay->audit->replayed += batch->count;
    batch->partition = replay->assigned;
    replay->position = batch->next;
    return 1;
}

static void replay_source_release(void *self)
{
    (void)self;
}

static int replay_source_seek(void *self, struct sl_partition *partition, uint64_t next, struct sl_err *err)
{
    (void)self;
    return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "%s %s: the second reading was asked to go back to %llu", partition->topic,
                   partition->id, (unsigned long long)next);
}

static void replay_close(void *self)
{
    (void)self;
}

static const struct sl_source_kind replay_source_kind = {
    .head = {SL_ABI_MAJOR, SL_ABI_MINOR, sizeof(struct sl_source_kind), "audit", "Ranges read again.", "{}", NULL, 0,
             sizeof(struct replay_source), NULL, NULL, NULL, NULL, NULL, NULL},
    .open = replay_source_open,
    .poll = replay_source_poll,
    .release = replay_source_release,
    .seek = replay_source_seek,
    .close = replay_close,
};

/* ---- the sinks ---- */

struct replay_sink {
    struct replay *replay;
    struct sl_slot *slot;
    uint32_t sink; /* row of audit->sinks; UINT32_MAX: one that has no zone */
};

static int replay_sink_open(void *self, const struct sl_api *api, const void *config, struct sl_names *names, struct sl_slot *slot,
                            struct sl_err *err)
{
    struct replay_sink *sink = self;

    (void)config;
    (void)names;
    (void)err;
    sink->replay = api->shared;
    sink->slot = slot;
    sink->sink = audit_sink_of(sink->replay->audit, api->component);
    return 0;
}

static void replay_take(struct replay_sink *sink, const struct sl_parcel *parcel, struct audit_tile *tile)
{
    struct replay *replay = sink->replay;
    bool letters = replay->audit->sinks[sink->sink].dead;

    for (uint32_t i = 0; i < parcel->count; i++) {
        struct audit_hash hash = audit_hash_of(parcel->items[i].body, letters);
        if (replay->hooks != NULL)
            replay->hooks->body(replay->hooks->user, replay->partition, tile, parcel->view->batch->offset[parcel->items[i].row],
                                hash);
        else
            audit_digest_add(&tile->flush->again, hash);
    }
    if (replay->hooks == NULL)
        tile->flush->delivered[tile->range] += parcel->count;
}

static int replay_sink_submit(void *self, const struct sl_parcel *parcel, struct sl_err *err)
{
    struct replay_sink *sink = self;
    const struct audit_segment *segment = sink->replay->segment;
    struct audit_tile *tile = sink->sink == UINT32_MAX || segment == NULL ? NULL : segment->tiles[sink->sink];

    (void)err;
    if (tile != NULL && (sink->replay->only == NULL || tile->flush == sink->replay->only))
        replay_take(sink, parcel, tile);
    for (uint32_t i = 0; i < parcel->count; i++)
        sl_slot_done(sink->slot, self, &parcel->items[i].ref, 1, SL_ACK, NULL);
    return 0;
}

static const struct sl_sink_kind replay_sink_kind = {
    .head = {SL_ABI_MAJOR, SL_ABI_MINOR, sizeof(struct sl_sink_kind), "audit", "Counts what it gets.", "{}", NULL, 0,
             sizeof(struct replay_sink), NULL, NULL, NULL, NULL, NULL, NULL},
    .open = replay_sink_open,
    .submit = replay_sink_submit,
    .close = replay_close,
};

/* ---- driving ---- */

static uint64_t replay_now(void *user)
{
    (void)user;
    return SL_NS_PER_S; /* it stands still: nothing is due */
}

static int64_t replay_unix(void *user)
{
    (void)user;
    return sl_clock_unix_ms();
}

static uint64_t replay_random(void *user)
{
    (void)user;
    return 4; /* names only */
}

static void replay_submit(void *user, struct sl_job *job)
{
    struct replay *replay = user;

    job->next = NULL;
    *replay->jobs_last = job;
    replay->jobs_last = &job->next;
}

static void replay_wake(void *user)
{
    (void)user;
}

static void replay_log(void *user, const char *topology, const struct sl_err *err, const char *what)
{
    (void)user;
    (void)topology;
    (void)err;
    (void)what;
}

static void replay_turn(struct replay *replay)
{
    (void)sl_slot_turn(replay->slot);
    while (replay->jobs != NULL) {
        struct sl_job *job = replay->jobs;
        replay->jobs = job->next;
        if (replay->jobs == NULL)
            replay->jobs_last = &replay->jobs;
        job->run(job);
        job->done(job);
    }
    if (sl_slot_state(replay->slot) == SL_SLOT_FAILED && replay->failed == 0) {
        replay->failure = *sl_slot_error(replay->slot);
        replay->failed = -(int)replay->failure.code;
    }
}

/* ---- booking ---- */

/* A hole is said as a whole, once it has ended. */
static void hole_say(struct audit *audit, struct audit_partition *partition, uint32_t s)
{
    struct audit_lane *lane = &partition->lanes[s];
    struct audit_hole hole = lane->hole;

    lane->hole = (struct audit_hole){0, 0, 0, 0};
    if (hole.records > 0) {
        lane->wrong = true;
        lane->missing += hole.records;
        audit_say(audit, AUDIT_ERROR, "lost", "sink %s, %s: no manifest covers offsets %llu to %llu; %llu %s %llu",
                  audit->sinks[s].name, audit_partition_name(partition), (unsigned long long)hole.first,
                  (unsigned long long)hole.next - 1, (unsigned long long)hole.records,
                  audit->sinks[s].dead ? "dead letters are missing, the first at or behind" : "records are missing, first at",
                  (unsigned long long)hole.first_record);
    } else if (hole.first < hole.next && !audit->sinks[s].dead) {
        audit_say(audit, AUDIT_NOTE, "gap",
                  "sink %s, %s: no manifest covers offsets %llu to %llu, and the source has no record there%s",
                  audit->sinks[s].name, audit_partition_name(partition), (unsigned long long)hole.first,
                  (unsigned long long)hole.next - 1, hole.first < partition->low ? " any more (retention)" : "");
    }
}

static void book_hole(struct replay *replay, uint32_t s, uint64_t records)
{
    const struct audit_segment *segment = replay->segment;
    struct audit_hole *hole = &segment->partition->lanes[s].hole;

    if (hole->first == hole->next || hole->next != segment->first) {
        hole_say(replay->audit, segment->partition, s);
        *hole = (struct audit_hole){.first = segment->first};
    }
    if (hole->records == 0)
        hole->first_record = replay->first_missing;
    hole->records += records;
    hole->next = segment->next;
}

static void book_row(struct replay *replay, const struct sl_ledger_row *row, uint64_t *hole_records)
{
    struct sl_ledger_row *old = sl_ledger_row(&replay->before, row->sink - 1, row->service, row->level), *to;
    const struct audit_segment *segment = replay->segment;
    uint32_t s = audit_sink_of(replay->audit, replay->topology.components[row->sink - 1].name);
    struct audit_tile *tile = s == UINT32_MAX ? NULL : segment->tiles[s];

    assert(old != NULL);
    if (s != UINT32_MAX && segment->hole[s])
        hole_records[s] += row->fates[SL_LIVE] - old->fates[SL_LIVE];
    for (int f = 0; f < SL_FATES && tile != NULL; f++)
        segment->partition->lanes[s].fates[f] += row->fates[f] - old->fates[f];
    if (tile != NULL && row->fates[SL_LIVE] != old->fates[SL_LIVE]) {
        to = sl_ledger_row(&tile->flush->account, row->sink - 1, row->service, row->level);
        assert(to != NULL);
        for (int f = 0; f < SL_FATES; f++)
            to->fates[f] += row->fates[f] - old->fates[f];
    }
    memcpy(old->fates, row->fates, sizeof(old->fates));
}

static int replay_book(struct replay *replay)
{
    uint64_t *hole_records = audit_alloc(replay->audit->sinks_count * sizeof(*hole_records));
    struct sl_slot_status status = {0};

    if (sl_slot_status(replay->slot, &status) != 0) {
        free(hole_records);
        return sl_fail(&replay->failure, SL_E_LIMIT, SL_REMEDY_HALT, 0, "no memory");
    }
    for (uint32_t i = 0; i < status.ledger.rows_cap; i++)
        if (status.ledger.rows[i].sink != 0)
            book_row(replay, &status.ledger.rows[i], hole_records);
    for (uint32_t s = 0; s < replay->audit->sinks_count; s++)
        if (replay->segment->hole[s])
            book_hole(replay, s, hole_records[s]);
    sl_slot_status_fini(&status);
    free(hole_records);
    return 0;
}

/* ---- segment by segment ---- */

/* What the source no longer has cannot be proved, for the whole flush: its account is one for all its partitions. */
static bool segment_gone(struct replay *replay, const struct audit_segment *segment)
{
    const struct audit_partition *partition = segment->partition;
    bool gone = partition->gone[0] != '\0';

    if (!gone && segment->first >= partition->low)
        return false;
    for (uint32_t s = 0; s < replay->audit->sinks_count; s++)
        if (segment->tiles[s] != NULL && segment->tiles[s]->flush->unproved == NULL)
            segment->tiles[s]->flush->unproved = gone ? partition->gone : "the source's retention has removed a part of its range";
    return gone;
}

static int replay_segment(void *user, const struct audit_segment *segment)
{
    struct replay *replay = user;
    uint32_t idle = 0;

    if (segment_gone(replay, segment))
        return 0;
    replay->segment = segment;
    replay->position = segment->first;
    replay->records = 0;
    while (replay->failed == 0 && replay->position < segment->next) {
        uint64_t before = replay->position;
        replay_turn(replay);
        idle = replay->position == before ? idle + 1 : 0;
        if (idle == REPLAY_IDLE_MAX)
            replay->failed =
                sl_fail(&replay->failure, SL_E_STOPPED, SL_REMEDY_HALT, 0, "the second reading of %s stands still at %llu",
                        audit_partition_name(segment->partition), (unsigned long long)before);
        if (replay->audit->replayed % (64 * SL_BATCH_RECORDS) < SL_BATCH_RECORDS)
            audit_progress(replay->audit, "records read again", replay->audit->replayed, 0);
    }
    if (replay->failed == 0 && replay->hooks == NULL)
        replay->failed = replay_book(replay);
    replay->segment = NULL;
    return replay->failed;
}

static bool partition_touched(const struct audit_partition *partition, const struct audit_flush *only, uint32_t sinks)
{
    for (uint32_t s = 0; s < sinks; s++)
        for (uint32_t t = 0; t < partition->lanes[s].count; t++)
            if (only == NULL || partition->lanes[s].tiles[t].flush == only)
                return true;
    return false;
}

static int replay_partition(struct replay *replay, struct audit_partition *partition)
{
    struct audit *audit = replay->audit;
    int rc;

    if (!partition_touched(partition, replay->only, audit->sinks_count))
        return 0;
    rc = audit_reader_open(audit, partition, &replay->reader, &replay->failure);
    if (rc != 0)
        return rc;
    if (partition->gone[0] != '\0' && replay->hooks == NULL)
        audit_say(audit, AUDIT_NOTE, "unproved", "%s: %s; its records were not read again", audit_partition_name(partition),
                  partition->gone);
    replay->partition = partition;
    replay->assigned = NULL;
    rc = audit_tile_segments(audit, partition, replay->only, replay_segment, replay);
    for (uint32_t s = 0; s < audit->sinks_count; s++)
        hole_say(audit, partition, s);
    replay->reader = audit_reader_close(replay->reader);
    return rc;
}

/* A copy of the topology with our sources and sinks; the settings of the originals are not read. */
static void replay_disguise(struct replay *replay)
{
    const struct sl_topology *topology = replay->audit->topology;
    struct sl_component *components = audit_alloc(topology->components_count * sizeof(*components));

    memcpy(components, topology->components, topology->components_count * sizeof(*components));
    for (uint32_t c = 0; c < topology->components_count; c++) {
        if (components[c].role == SL_SOURCE)
            components[c].head = &replay_source_kind.head;
        else if (components[c].role == SL_SINK) {
            components[c].head = &replay_sink_kind.head;
            components[c].sink.required = true;
            components[c].sink.when_full = SL_FULL_WAIT; /* these sinks are never full, and there is no spool */
        }
    }
    replay->topology = *topology;
    replay->topology.components = components;
}

/* A slot for some partitions. */
static int replay_some(struct replay *replay, const struct sl_shared *shared, uint32_t first, uint32_t count)
{
    struct sl_env env = {replay,        sl_fs_posix(), NULL,        replay_now, replay_unix,
                         replay_random, replay_submit, replay_wake, replay_log, NULL, NULL};

    if (sl_ledger_init(&replay->before) != 0)
        return sl_fail(&replay->failure, SL_E_LIMIT, SL_REMEDY_HALT, 0, "no memory");
    replay->slot = sl_slot_new(&env, shared, 0, &replay->failure);
    if (replay->slot == NULL)
        replay->failed = -(int)replay->failure.code;
    for (uint32_t p = first; replay->failed == 0 && p < first + count; p++)
        replay->failed = replay_partition(replay, replay->audit->partitions[p]);
    if (replay->slot != NULL)
        replay->slot = sl_slot_free(replay->slot);
    sl_ledger_fini(&replay->before);
    return replay->failed;
}

static int replay_drive(struct replay *replay, struct sl_commit_log *log, const char *dir)
{
    const struct sl_process_config *process = replay->audit->process;
    uint32_t left = replay->audit->partitions_count;
    void **shares = audit_alloc(replay->topology.components_count * sizeof(void *));
    uint64_t numbers = 0;
    struct sl_shared shared = {.topology = &replay->topology,
                               .node = "audit",
                               .data_dir = dir,
                               .epoch = 1,
                               .slots = 1,
                               .memory_bytes = process->memory_bytes,
                               .max_record_bytes = process->max_record_bytes,
                               .commit_log = log,
                               .component_shared = shares,
                               .flush_number = &numbers};

    for (uint32_t c = 0; c < replay->topology.components_count; c++)
        if (replay->topology.components[c].role != SL_OPERATOR)
            shares[c] = replay;
    while (left > 0 && replay->failed == 0) {
        uint32_t count = left < REPLAY_PARTITIONS ? left : REPLAY_PARTITIONS;
        replay->failed = replay_some(replay, &shared, replay->audit->partitions_count - left, count);
        left -= count;
    }
    free(shares);
    return replay->failed;
}

int audit_replay(struct audit *audit, const struct audit_flush *only, const struct audit_replay_hooks *hooks, struct sl_err *err)
{
    struct replay replay = {.audit = audit, .only = only, .hooks = hooks};
    struct sl_commit_log *log = NULL;
    char dir[] = "/tmp/sluice-audit-XXXXXX", path[sizeof(dir) + 16];

    replay.jobs_last = &replay.jobs;
    replay_disguise(&replay);
    replay.sources = audit_alloc(audit->topology->components_count * sizeof(struct replay_source *));
    if (mkdtemp(dir) == NULL)
        return sl_fail(err, SL_E_IO, SL_REMEDY_HALT, 0, "cannot make a scratch folder in /tmp");
    (void)snprintf(path, sizeof(path), "%s/commit.log", dir);
    if (sl_commit_log_open(sl_fs_posix(), path, &log, &replay.failure) != 0)
        replay.failed = -(int)replay.failure.code;
    else
        (void)replay_drive(&replay, log, dir);
    (void)sl_commit_log_close(log);
    (void)unlink(path);
    (void)rmdir(dir);
    free(replay.topology.components); /* the copy that replay_disguise made */
    free(replay.sources);
    *err = replay.failure;
    return replay.failed;
}
