/* test_trial.c: a candidate beside the live version in one slot. As a shadow: seeded faults of real stages are judged right and shown, and
 * nothing of it leaves. As a canary: whole keys go its way, each record lands once, whatever it does to them, and whatever fails.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "operators/stages/stages.h"
#include "runtime/base/intern.h"
#include "runtime/cli/pages.h"
#include "runtime/config/topology.h"
#include "runtime/engine/derive.h"
#include "runtime/engine/mark_codec.h"
#include "runtime/engine/slot/trial.h"
#include "runtime/engine/split.h"
#include "runtime/store/commit_log.h"
#include "tests/support/disk.h"

enum { RECORDS = 6000, BATCH = 500, TRACES = 300, LOOP = 3000, BODY = 400, PARTITIONS = 2 };

/* ---- the script: one test at a time ---- */

struct row { /* what a sink got of a record */
    char body[BODY], service[32];
    uint32_t times, twins;
};

struct kept {
    struct row rows[RECORDS];
    uint32_t wrong, letters, committed, open;
    uint64_t last[PARTITIONS];
};

static struct {
    uint32_t given[PARTITIONS], limit;
    struct kept plain, zone, more;
    char letter[2048];       /* the last */
    uint32_t dead_generations[8]; /* letters, by generation */
    uint64_t fail_at;        /* the stage "fails" fails at this offset; 0: never */
    uint32_t fail_submit;    /* so many submits of the zone fail */
    uint64_t now_ns, tick_ns; /* tick: how much each look at the clock takes */
    struct sl_job *jobs, **jobs_last;
} script;

/* ---- source: offsets 0, 2, 4 … of partition 0 are records 0, 1, 2 …: holes everywhere ---- */

struct source {
    struct sl_slot *slot;
    struct sl_partition *partitions[PARTITIONS];
    uint32_t turn;
};

static uint32_t record_of(uint64_t offset, uint32_t partition)
{
    return (uint32_t)offset / 2 * PARTITIONS + partition;
}

static void record_text(char *text, size_t bytes, uint32_t n)
{
    static const char *const levels[] = {"info", "debug", "error", "warn"};
    uint32_t trace = n * 7919u % TRACES;

    if (n % 97 == 5)
        (void)snprintf(text, bytes, "no json %u", n); /* dies in parse */
    else
        (void)snprintf(text, bytes,
                       "{\"ts\":\"2026-01-01T00:00:%02u.000Z\",\"level\":\"%s\",\"service\":\"svc-%u\",\"trace_id\":\"%08x%024x\",\"n\":%u,"
                       "\"loop\":%u,\"user\":{\"email\":\"u%u@example.com\"},\"tags\":[\"a\",\"b\"],\"amount\":12.5}",
                       n % 60, levels[n % 4], n % 5, trace * 2654435761u, trace, n, n % LOOP, n);
}

static int source_open(void *self, const struct sl_api *api, const void *config, struct sl_slot *slot, struct sl_err *err)
{
    struct source *source = self;

    (void)api;
    (void)config;
    source->slot = slot;
    for (uint32_t p = 0; p < PARTITIONS; p++) {
        char id[8];
        (void)snprintf(id, sizeof(id), "%u", p);
        if (sl_slot_assign(slot, self, "script", id, (int32_t)p, NULL, 0, 0, NULL, &source->partitions[p], NULL, err) != 0)
            return -(int)err->code;
        script.given[p] = (uint32_t)source->partitions[p]->next;
    }
    return 0;
}

static int source_poll(void *self, struct sl_batch *batch, struct sl_err *err)
{
    struct source *source = self;
    uint32_t p = source->turn++ % PARTITIONS, limit = script.limit / PARTITIONS * 2, offsets;

    (void)err;
    if (script.given[p] >= limit)
        p = (p + 1) % PARTITIONS;
    if (script.given[p] >= limit)
        return 0;
    batch->partition = source->partitions[p];
    batch->first = script.given[p];
    offsets = 2 * BATCH - source->turn % 3 * 100; /* what is read again comes in other batches */
    batch->next = batch->first + offsets < limit ? batch->first + offsets : limit;
    batch->raw = sl_arena_alloc(batch->arena, BATCH * sizeof(*batch->raw));
    batch->offset = sl_arena_alloc(batch->arena, BATCH * sizeof(*batch->offset));
    batch->append_unix_ms = sl_arena_alloc(batch->arena, BATCH * sizeof(*batch->append_unix_ms));
    batch->key = sl_arena_alloc(batch->arena, BATCH * sizeof(*batch->key));
    for (uint64_t offset = (batch->first + 1) / 2 * 2; offset < batch->next; offset += 2) {
        char text[BODY], key[16];
        uint32_t n = record_of(offset, p);
        record_text(text, sizeof(text), n);
        (void)snprintf(key, sizeof(key), "k%u", n % 11);
        batch->raw[batch->count] = sl_arena_copy(batch->arena, sl_slice_of(text));
        batch->key[batch->count] = sl_arena_copy(batch->arena, sl_slice_of(key));
        batch->offset[batch->count] = offset;
        batch->append_unix_ms[batch->count++] = 1767225600000;
    }
    script.given[p] = (uint32_t)batch->next;
    return 1;
}

static void source_release(void *self)
{
    (void)self;
}

static int source_seek(void *self, struct sl_partition *partition, uint64_t next, struct sl_err *err)
{
    (void)self;
    (void)err;
    script.given[partition->number] = (uint32_t)next;
    return 0;
}

static void any_close(void *self)
{
    (void)self;
}

#define HEAD(kind, word, self_type)                                                                                              \
    {                                                                                                                            \
        SL_ABI_MAJOR, SL_ABI_MINOR, sizeof(struct kind), word, "A script.", "{}", NULL, 0, sizeof(struct self_type), NULL, NULL, \
            NULL, NULL, NULL, NULL                                                                                               \
    }

static const struct sl_source_kind source_kind = {.head = HEAD(sl_source_kind, "script", source), .open = source_open,
                                                  .poll = source_poll, .release = source_release, .seek = source_seek, .close = any_close};

/* ---- sinks ---- */

static void kept_item(struct kept *kept, const struct sl_parcel *parcel, const struct sl_item *item)
{
    const struct sl_batch *batch = parcel->view->batch;
    const struct sl_decoded *decoded = parcel->view->decoded;
    uint32_t partition = (uint32_t)batch->partition->number;
    struct row *row = &kept->rows[record_of(batch->offset[item->row], partition)];
    struct sl_slice service = sl_intern_name(decoded->service != NULL ? decoded->service[item->row] : 0);

    if (batch->sub != NULL && batch->sub[item->row] > 0) {
        row->twins++;
        return;
    }
    kept->wrong += batch->offset[item->row] < kept->last[partition]; /* order within a partition */
    kept->last[partition] = batch->offset[item->row];
    row->times++;
    (void)snprintf(row->body, sizeof(row->body), "%.*s", (int)item->body.bytes, item->body.data);
    (void)snprintf(row->service, sizeof(row->service), "%.*s", (int)service.bytes, service.data);
}

struct plain {
    struct sl_slot *slot;
    struct kept *kept;
    uint64_t next[PARTITIONS];
};

static int plain_open(void *self, const struct sl_api *api, const void *config, struct sl_names *names, struct sl_slot *slot, struct sl_err *err)
{
    struct plain *plain = self;

    (void)config;
    (void)names;
    (void)err;
    plain->slot = slot;
    plain->kept = strcmp(api->component, "more") == 0 ? &script.more : &script.plain;
    return 0;
}

static int plain_submit(void *self, const struct sl_parcel *parcel, struct sl_err *err)
{
    struct plain *plain = self;

    (void)err;
    for (uint32_t i = 0; i < parcel->count; i++) {
        kept_item(plain->kept, parcel, &parcel->items[i]);
        sl_slot_done(plain->slot, self, &parcel->items[i].ref, 1, SL_ACK, NULL);
    }
    return 0;
}

static const struct sl_sink_kind plain_kind = {.head = HEAD(sl_sink_kind, "plain", plain), .open = plain_open, .submit = plain_submit,
                                               .close = any_close};

/* Flushed: rows that are not committed are forgotten when it is told to. */
struct zone {
    struct kept *kept; /* NULL: letters */
    struct kept *open; /* taken since the last commit; of the heap */
    bool some;
};

static int zone_open(void *self, const struct sl_api *api, const void *config, struct sl_names *names, struct sl_slot *slot, struct sl_err *err)
{
    struct zone *zone = self;

    (void)config;
    (void)names;
    (void)slot;
    (void)err;
    zone->kept = strcmp(api->component, "dead_letters") == 0 ? NULL : &script.zone;
    zone->open = calloc(1, sizeof(*zone->open));
    return zone->open == NULL ? -1 : 0;
}

static void zone_close(void *self)
{
    free(((struct zone *)self)->open);
}

static int zone_submit(void *self, const struct sl_parcel *parcel, struct sl_err *err)
{
    struct zone *zone = self;

    if (zone->kept != NULL && parcel->count > 0 && script.fail_submit > 0) {
        script.fail_submit--;
        return sl_fail(err, SL_E_IO, SL_REMEDY_RETRY, 0, "no space left");
    }
    zone->some = true;
    for (uint32_t i = 0; i < parcel->count; i++) {
        const char *generation;
        if (zone->kept != NULL) {
            kept_item(zone->open, parcel, &parcel->items[i]);
            continue;
        }
        (void)snprintf(script.letter, sizeof(script.letter), "%.*s", (int)parcel->items[i].body.bytes, parcel->items[i].body.data);
        generation = strstr(script.letter, "\"generation\":");
        script.dead_generations[generation == NULL ? 0 : (unsigned)(generation[13] - '0') % 8]++;
    }
    return 0;
}

static int zone_want(void *self, uint64_t now_ns)
{
    (void)self;
    (void)now_ns;
    return 1;
}

struct zone_flush {
    struct sl_flush base;
    struct kept *kept, *sealed;
};

static int zone_prepare(struct sl_flush *base, struct sl_err *err)
{
    (void)err;
    base->entry = sl_slice_of("entry");
    return 0;
}

static int zone_publish(struct sl_flush *base, struct sl_err *err)
{
    struct zone_flush *flush = (struct zone_flush *)(void *)base;

    (void)err;
    for (uint32_t n = 0; flush->kept != NULL && n < RECORDS; n++) {
        const struct row *from = &flush->sealed->rows[n];
        if (from->times == 0 && from->twins == 0)
            continue;
        memcpy(flush->kept->rows[n].body, from->body, sizeof(from->body));
        memcpy(flush->kept->rows[n].service, from->service, sizeof(from->service));
        flush->kept->rows[n].times += from->times;
        flush->kept->rows[n].twins += from->twins;
    }
    if (flush->kept != NULL)
        flush->kept->wrong += flush->sealed->wrong;
    return 0;
}

static void zone_abandon(void *self, struct sl_flush *flush)
{
    struct zone *zone = self;

    (void)flush;
    memset(zone->open, 0, sizeof(*zone->open));
    zone->some = false;
}

static void zone_release(void *self, struct sl_flush *base)
{
    (void)self;
    free(((struct zone_flush *)(void *)base)->sealed);
    free(base);
}

static int zone_seal(void *self, uint64_t number, struct sl_flush **ret_flush, struct sl_err *err);

static const struct sl_sink_kind zone_kind = {.head = HEAD(sl_sink_kind, "zone", zone), .flags = SL_SINK_FLUSHED, .open = zone_open,
                                              .submit = zone_submit, .want = zone_want, .seal = zone_seal, .prepare = zone_prepare,
                                              .publish = zone_publish, .abandon = zone_abandon, .release_flush = zone_release,
                                              .close = zone_close};

static int zone_seal(void *self, uint64_t number, struct sl_flush **ret_flush, struct sl_err *err)
{
    struct zone *zone = self;
    struct zone_flush *flush = calloc(1, sizeof(*flush));

    (void)err;
    assert_non_null(flush);
    flush->base.kind = &zone_kind;
    flush->base.number = number;
    flush->kept = zone->kept;
    flush->sealed = zone->open;
    zone->open = calloc(1, sizeof(*zone->open));
    assert_non_null(zone->open);
    *ret_flush = &flush->base;
    return 0;
}

/* ---- stages ---- */

struct stage {
    int unused;
};

static int stage_open(void *self, const struct sl_api *api, const void *config, struct sl_names *names, struct sl_err *err)
{
    (void)self;
    (void)api;
    (void)config;
    (void)names;
    (void)err;
    return 0;
}

static int twice_process(void *self, struct sl_view *view, struct sl_err *err)
{
    struct sl_child *children = sl_arena_alloc(view->batch->arena, (view->sel_count + 1u) * sizeof(*children));

    (void)self;
    (void)err;
    for (uint32_t i = 0; i < view->sel_count; i++)
        children[i] = (struct sl_child){.index = view->sel[i], .text = sl_arena_copy(view->batch->arena, sl_slice_of("{\"twin\":true}"))};
    return sl_view_derive(view, children, view->sel_count);
}

static int fails_process(void *self, struct sl_view *view, struct sl_err *err)
{
    (void)self;
    for (uint32_t i = 0; i < view->sel_count; i++)
        if (script.fail_at > 0 && view->batch->offset[view->sel[i]] >= script.fail_at)
            return sl_fail(err, SL_E_STOPPED, SL_REMEDY_HALT, 0, "a bug in the script");
    return 0;
}

static const struct sl_op_kind twice_kind = {.head = HEAD(sl_op_kind, "twice", stage), .open = stage_open, .process = twice_process,
                                             .close = any_close, .flags = SL_OP_DERIVES};
static const struct sl_op_kind fails_kind = {.head = HEAD(sl_op_kind, "fails", stage), .open = stage_open, .process = fails_process,
                                             .close = any_close};

static const struct sl_source_kind *const sources[] = {&source_kind, NULL};
static const struct sl_op_kind *const operators[] = {&sl_op_parse,  &sl_op_filter, &sl_op_route,  &sl_op_sample, &sl_op_set, &sl_op_remove,
                                                     &sl_op_rename, &sl_op_redact, &sl_op_dedupe, &twice_kind, &fails_kind, NULL};
static const struct sl_sink_kind *const sinks[] = {&plain_kind, &zone_kind, NULL};
static const struct sl_registry registry = {sources, operators, sinks};

/* ---- driving ---- */

static uint64_t env_now(void *user)
{
    (void)user;
    return script.now_ns += script.tick_ns;
}

static int64_t env_unix(void *user)
{
    (void)user;
    return 1767225600000;
}

static uint64_t env_random(void *user)
{
    (void)user;
    return 4;
}

static void env_submit(void *user, struct sl_job *job)
{
    (void)user;
    job->next = NULL;
    *script.jobs_last = job;
    script.jobs_last = &job->next;
}

static void env_wake(void *user)
{
    (void)user;
}

struct rig {
    struct sl_disk *disk;
    struct sl_topology *topology, *from;
    struct sl_merge merge;
    struct sl_plan *plan;
    struct sl_commit_log *log;
    struct sl_slot *slot;
    struct sl_shared shared;
    uint64_t numbers;
};

static struct sl_topology *load(const char *middle)
{
    char path[] = "/tmp/sluice-trial-XXXXXX", text[4096];
    struct sl_topology *topology = NULL;
    struct sl_diags diags;
    int fd = mkstemp(path);
    int bytes = snprintf(text, sizeof(text), "name: t\nsources: { in: { type: script } }\n%s\ndead_letters: { type: zone }\n", middle);

    assert_int_equal(write(fd, text, (size_t)bytes), bytes);
    (void)close(fd);
    sl_diags_init(&diags);
    if (sl_topology_load(path, &registry, NULL, &diags, &topology) != 0)
        fail_msg("%u: %s", diags.items[0].line, diags.items[0].text);
    sl_diags_fini(&diags);
    (void)unlink(path);
    return topology;
}

#define PARSED "operators:\n  parsed: { type: parse, inputs: [in] }\n"
#define SINKS(input) "sinks:\n  out: { type: plain, inputs: [" input "] }\n  landing: { type: zone, inputs: [" input "] }\n"
#define LIVE PARSED SINKS("parsed")

static void rig_turns(struct rig *rig, int turns)
{
    for (int i = 0; i < turns; i++) {
        (void)sl_slot_turn(rig->slot);
        while (script.jobs != NULL) {
            struct sl_job *job = script.jobs;
            script.jobs = job->next;
            if (script.jobs == NULL)
                script.jobs_last = &script.jobs;
            job->run(job);
            job->done(job);
        }
        script.now_ns += 1000000000ull;
    }
}

static void rig_open(struct rig *rig, const char *live)
{
    struct sl_env env = {NULL, NULL, NULL, env_now, env_unix, env_random, env_submit, env_wake, NULL, NULL, NULL};
    struct sl_err err = {0};

    memset(rig, 0, sizeof(*rig));
    memset(&script, 0, sizeof(script));
    script.now_ns = 1000000000;
    script.jobs_last = &script.jobs;
    rig->topology = load(live);
    rig->disk = sl_disk_new(1);
    env.fs = sl_disk_fs(rig->disk);
    assert_int_equal(sl_commit_log_open(sl_disk_fs(rig->disk), "/commit.log", &rig->log, &err), 0);
    rig->shared = (struct sl_shared){.topology = rig->topology, .node = "n", .data_dir = "/", .epoch = 1, .slots = 1, .generation = 1,
                                     .memory_bytes = 256 << 20, .max_record_bytes = 1 << 20, .commit_log = rig->log,
                                     .flush_number = &rig->numbers};
    rig->slot = sl_slot_new(&env, &rig->shared, 0, &err);
    if (rig->slot == NULL)
        fail_msg("%s", err.text);
    rig_turns(rig, 3);
}

static void rig_prepare(struct rig *rig, const char *candidate)
{
    struct sl_slot_facts facts;
    struct sl_err err = {0};

    rig->from = load(candidate);
    if (sl_merge(rig->topology, rig->from, &rig->merge, &err) != 0 || sl_slot_facts(rig->slot, &facts, &err) != 0 ||
        (rig->plan = sl_slot_prepare(rig->slot, &facts, rig->merge.topology, NULL, rig->merge.fates, 2, &err)) == NULL)
        fail_msg("%s", err.text);
}

static void rig_close(struct rig *rig)
{
    sl_slot_trial_end(rig->slot);
    rig->plan = sl_plan_free(rig->plan);
    rig->slot = sl_slot_free(rig->slot);
    sl_merge_fini(&rig->merge);
    rig->from = sl_topology_free(rig->from);
    rig->topology = sl_topology_free(rig->topology);
    rig->log = sl_commit_log_close(rig->log);
    rig->disk = sl_disk_free(rig->disk);
}

static void rig_balanced(struct rig *rig)
{
    struct sl_slot_status status;

    assert_int_equal(sl_slot_status(rig->slot, &status), 0);
    assert_string_equal(status.error, "");
    assert_true(sl_pages_balanced(&status.ledger));
    sl_slot_status_fini(&status);
}

static bool is_json(uint32_t n)
{
    return n % 97 != 5;
}

/* Everything up to the limit came once, in order, with its own service beside it. */
static void all_once(const struct kept *kept)
{
    assert_int_equal(kept->wrong, 0);
    for (uint32_t n = 0; n < script.limit; n++) {
        char service[32];
        if (kept->rows[n].times != is_json(n))
            fail_msg("record %u came %u times", n, kept->rows[n].times);
        (void)snprintf(service, sizeof(service), "svc-%u", n % 5);
        if (is_json(n))
            assert_string_equal(kept->rows[n].service, service);
    }
}

/* ---- shadow ---- */

static void shadow_of(struct rig *rig, const char *live, const char *candidate, const struct sl_expect *expect)
{
    struct sl_err err = {0};

    rig_open(rig, live);
    rig_prepare(rig, candidate);
    if (sl_slot_shadow(rig->slot, rig->plan, expect, &err) != 0)
        fail_msg("%s", err.text);
    script.limit = RECORDS;
    rig_turns(rig, 30);
    rig_balanced(rig);
}

static const struct sl_shadow_sink_report *report_sink(const struct sl_shadow_report *report, const char *name)
{
    for (uint32_t s = 0; s < report->sinks_count; s++)
        if (strcmp(report->sinks[s].name, name) == 0)
            return &report->sinks[s];
    fail_msg("no sink %s", name);
    return NULL;
}

static uint64_t kind_count(const struct sl_shadow_sink_report *sink, enum sl_shadow_kind kind)
{
    uint64_t sum = 0;

    for (int level = 0; level < SL_LEVELS; level++)
        sum += sink->differing[kind][level];
    return sum;
}

static uint32_t json_records(void)
{
    uint32_t count = 0;

    for (uint32_t n = 0; n < RECORDS; n++)
        count += is_json(n);
    return count;
}

static void test_an_equal_candidate_differs_in_nothing_and_nothing_of_it_leaves(void **state)
{
    struct rig rig;
    const struct sl_shadow_report *report;
    struct sl_sides sides = {0};

    (void)state;
    shadow_of(&rig, LIVE, LIVE, NULL);
    report = sl_slot_trial_report(rig.slot);
    assert_int_equal(report->differing, 0);
    assert_int_equal(report->ranges_skipped, 0);
    assert_int_equal(report->compared, 2 * json_records() + (RECORDS - json_records())); /* and the letters */
    sl_slot_trial_sides(rig.slot, &sides);
    assert_int_equal(sides.compared, report->compared);
    assert_false(sides.broken);
    all_once(&script.plain);
    all_once(&script.zone);
    assert_int_equal(script.dead_generations[1], RECORDS - json_records());
    assert_int_equal(script.dead_generations[2], 0);
    rig_close(&rig);
}

/* The same, said otherwise: another stage's name, columns in another order, a sink with other settings that are not of its records. */
static void test_a_candidate_that_is_built_otherwise_and_writes_the_same_differs_in_nothing(void **state)
{
    struct rig rig;

    (void)state;
    shadow_of(&rig, PARSED SINKS("parsed"),
              "operators:\n  read: { type: parse, inputs: [in], validate: true }\n  none: { type: filter, inputs: [read], drop_where: { user.email: x } }\n"
              "sinks:\n  out: { type: plain, inputs: [none], on_refused: drop }\n  landing: { type: zone, inputs: [none] }\n", NULL);
    assert_int_equal(sl_slot_trial_report(rig.slot)->differing, 0);
    assert_true(sl_slot_trial_report(rig.slot)->compared > RECORDS);
    all_once(&script.plain);
    rig_close(&rig);
}

#define ENCODED(input)                                                                                                           \
    "sinks:\n  out: { type: plain, inputs: [" input "], encoding: { codec: json, fields: [n, amount, user.email] } }\n"            \
    "  landing: { type: zone, inputs: [" input "] }\n"

struct fault {
    const char *name, *live, *candidate, *sink;
    enum sl_shadow_kind kind;
    const char *path, *other;
};

static const struct fault faults[] = {
    {"a dropped field", LIVE, PARSED "  cut: { type: remove, inputs: [parsed], fields: [user.email] }\n" SINKS("cut"), "out",
     SL_SHADOW_CHANGED, "user.email", NULL},
    {"a doubled record", LIVE, PARSED "  two: { type: twice, inputs: [parsed] }\n" SINKS("two"), "landing", SL_SHADOW_EXTRA, NULL, NULL},
    {"a lost record", LIVE, PARSED "  less: { type: filter, inputs: [parsed], drop_where: { n: 40 } }\n" SINKS("less"), "landing",
     SL_SHADOW_MISSING, NULL, NULL},
    {"a wrong route", PARSED "sinks:\n  out: { type: plain, inputs: [parsed], where: { level: error } }\n  more: { type: plain, inputs: [parsed], where: { level: warn } }\n",
     PARSED "sinks:\n  out: { type: plain, inputs: [parsed], where: { level: warn } }\n  more: { type: plain, inputs: [parsed], where: { level: error } }\n",
     "out", SL_SHADOW_OTHER_SINK, NULL, "more"},
    {"another time", LIVE, "operators:\n  parsed: { type: parse, inputs: [in], record: { time: \"@time\" } }\n" SINKS("parsed"), "out",
     SL_SHADOW_CHANGED, "role:time", NULL},
    {"a lost service", LIVE, "operators:\n  parsed: { type: parse, inputs: [in], record: { service: nothing } }\n" SINKS("parsed"), "out",
     SL_SHADOW_CHANGED, "role:service", NULL},
    {"a renamed field", LIVE, PARSED "  named: { type: rename, inputs: [parsed], fields: { amount: total } }\n" SINKS("named"), "landing",
     SL_SHADOW_CHANGED, "amount", NULL},
    {"another encoding", LIVE,
     PARSED "sinks:\n  out: { type: plain, inputs: [parsed], encoding: { codec: csv, fields: [n] } }\n  landing: { type: zone, inputs: [parsed] }\n",
     "out", SL_SHADOW_CHANGED, "", NULL},
    {"a value behind an encoding that stays", PARSED ENCODED("parsed"),
     PARSED "  more: { type: set, inputs: [parsed], fields: { extra: x, amount: much } }\n" ENCODED("more"), "out", SL_SHADOW_CHANGED, "amount", NULL},
    {"a wrong weight", PARSED "  some: { type: sample, inputs: [parsed], share: 50% }\n" SINKS("some"),
     PARSED "  some: { type: sample, inputs: [parsed], share: 40% }\n" SINKS("some"), "out", SL_SHADOW_CHANGED, "_w", NULL},
    {"records that died before", LIVE, "operators:\n  parsed: { type: parse, inputs: [in], format: text }\n" SINKS("parsed"), "dead_letters",
     SL_SHADOW_OTHER_SINK, NULL, "out"},
};

static void test_faults_of_stages_are_found_and_shown(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++) {
        const struct fault *fault = &faults[i];
        const struct sl_shadow_report *report;
        const struct sl_shadow_sink_report *sink;
        const struct sl_shadow_example *example = NULL;
        struct rig rig;

        shadow_of(&rig, fault->live, fault->candidate, NULL);
        report = sl_slot_trial_report(rig.slot);
        sink = report_sink(report, fault->sink);
        if (report->differing == 0 || kind_count(sink, fault->kind) == 0)
            fail_msg("%s was not found", fault->name);
        for (uint32_t e = 0; e < sink->examples_count; e++)
            example = sink->examples[e]->kind == fault->kind ? sink->examples[e] : example;
        assert_non_null(example);
        if (fault->path != NULL)
            assert_string_equal(example->path, fault->path);
        if (fault->other != NULL)
            assert_string_equal(report->sinks[example->other_sink].name, fault->other);
        rig_close(&rig);
    }
}

static void test_meant_differences_are_no_fault(void **state)
{
    static const char *const fields[] = {"user.email"};
    struct sl_expect *expect = sl_expect_new();
    struct rig rig;

    (void)state;
    assert_int_equal(sl_expect_add(expect, &(struct sl_expect_row){.fields = fields, .fields_count = 1}, NULL), 0);
    shadow_of(&rig, LIVE, faults[0].candidate, expect);
    assert_int_equal(sl_slot_trial_report(rig.slot)->differing, 0);
    assert_int_equal(sl_slot_trial_report(rig.slot)->meant, 2 * json_records());
    rig_close(&rig);
    sl_expect_free(expect);
}

/* Either version masks: neither text shows what it hides. */
static void test_examples_of_a_masked_topology_are_masked(void **state)
{
    static const char masked[] = PARSED "  masked: { type: redact, inputs: [parsed], fields: [user.email], with: \"***\" }\n" SINKS("masked");
    static const char *const ways[][2] = {{masked, LIVE}, {LIVE, masked}};

    (void)state;
    for (int way = 0; way < 2; way++) {
        const struct sl_shadow_sink_report *sink;
        struct rig rig;

        shadow_of(&rig, ways[way][0], ways[way][1], NULL);
        sink = report_sink(sl_slot_trial_report(rig.slot), "out");
        assert_int_equal(kind_count(sink, SL_SHADOW_CHANGED), json_records());
        assert_true(sink->examples_count > 0);
        for (uint32_t e = 0; e < sink->examples_count; e++)
            for (int side = 0; side < SL_SHADOW_SIDES; side++) {
                assert_non_null(sink->examples[e]->text[side].data);
                assert_null(strstr(sink->examples[e]->text[side].data, "example.com"));
            }
        assert_string_equal(sink->examples[0]->path, "user.email");
        rig_close(&rig);
    }
}

static void test_a_shadow_that_fails_is_taken_out_and_the_live_one_goes_on(void **state)
{
    struct sl_sides sides = {0};
    struct sl_err err = {0};
    struct rig rig;

    (void)state;
    rig_open(&rig, LIVE);
    rig_prepare(&rig, PARSED "  bad: { type: fails, inputs: [parsed] }\n" SINKS("bad"));
    script.fail_at = 2 * BATCH;
    assert_int_equal(sl_slot_shadow(rig.slot, rig.plan, NULL, &err), 0);
    script.limit = RECORDS;
    rig_turns(&rig, 30);
    sl_slot_trial_sides(rig.slot, &sides);
    assert_true(sides.broken);
    assert_non_null(strstr(sides.why.text, "operator bad: a bug in the script"));
    assert_int_equal(sides.ranges, 2); /* the first of each partition */
    all_once(&script.plain);
    all_once(&script.zone);
    rig_balanced(&rig);
    rig_close(&rig);
}

/* Each look at the clock takes 50 ms, so a batch costs far more than what a shadow may. */
static void test_a_slow_shadow_skips_whole_ranges(void **state)
{
    struct sl_sides sides = {0};
    struct sl_err err = {0};
    struct rig rig;

    (void)state;
    rig_open(&rig, LIVE);
    rig_prepare(&rig, LIVE);
    assert_int_equal(sl_slot_shadow(rig.slot, rig.plan, NULL, &err), 0);
    script.tick_ns = 50000000;
    script.limit = RECORDS;
    for (int i = 0; i < 30; i++) {
        (void)sl_slot_turn(rig.slot);
        script.now_ns += 1000000; /* a busy slot: turns follow each other at once */
    }
    rig_turns(&rig, 10);
    sl_slot_trial_sides(rig.slot, &sides);
    assert_true(sides.ranges + sides.ranges_skipped >= RECORDS / BATCH);
    assert_in_range(sides.ranges, 1, 3);
    assert_int_equal(sides.differing, 0);
    all_once(&script.plain);
    rig_close(&rig);
}

/* What a sink reads a second time it had before: nothing of that range is compared there. */
static void test_a_sink_that_reads_again_is_left_out_of_its_ranges(void **state)
{
    struct sl_err err = {0};
    struct rig rig;

    (void)state;
    rig_open(&rig, LIVE);
    rig_prepare(&rig, LIVE);
    assert_int_equal(sl_slot_shadow(rig.slot, rig.plan, NULL, &err), 0);
    script.limit = RECORDS;
    script.fail_submit = 3;
    rig_turns(&rig, 60);
    assert_int_equal(sl_slot_trial_report(rig.slot)->differing, 0);
    all_once(&script.plain);
    all_once(&script.zone);
    rig_close(&rig);
}

#define FIRSTS PARSED "  firsts: { type: dedupe, inputs: [parsed], key: [loop], window: 1h }\n" SINKS("firsts")

/* Begun in the middle: it has to know what went by before, and goes no further where it has missed something. */
static void test_a_shadow_knows_what_the_live_version_knows(void **state)
{
    (void)state;
    for (int slow = 0; slow < 2; slow++) {
        struct sl_err err = {0};
        struct sl_sides sides = {0};
        struct rig rig;

        rig_open(&rig, FIRSTS);
        rig_prepare(&rig, FIRSTS);
        script.limit = 1000;
        rig_turns(&rig, 10);
        assert_int_equal(sl_slot_shadow(rig.slot, rig.plan, NULL, &err), 0);
        script.tick_ns = slow ? 3000000 : 0;
        script.limit = LOOP;
        for (int i = 0; i < 30; i++) {
            (void)sl_slot_turn(rig.slot);
            script.now_ns += 1000000;
        }
        rig_turns(&rig, 20); /* time goes by: a slow one is paid for */
        script.tick_ns = 0;
        script.limit = RECORDS; /* what it has missed comes again */
        rig_turns(&rig, 20);
        sl_slot_trial_sides(rig.slot, &sides);
        assert_true(sides.compared > 0);
        assert_true(slow ? sides.ranges_skipped > 0 && sides.ranges > 0 : sides.ranges_skipped == 0);
        assert_int_equal(sides.differing, 0);
        rig_balanced(&rig);
        rig_close(&rig);
    }
}

/* ---- canary ---- */

#define SECOND PARSED "  v2: { type: set, inputs: [parsed], fields: { v: \"2\" } }\n" SINKS("v2")

static bool is_v2(const struct kept *kept, uint32_t n)
{
    return strstr(kept->rows[n].body, "\"v\":\"2\"") != NULL;
}

static void canary_share(struct rig *rig, double share)
{
    struct sl_err err = {0};

    if (sl_slot_canary(rig->slot, rig->plan, share, SL_SPLIT_KEY, &err) != 0)
        fail_msg("%s", err.text);
}

/* Whole traces go one way, more of them with a larger share, and those that were in stay in. */
static void test_a_share_of_whole_keys_goes_through_the_canary(void **state)
{
    static const double shares[] = {0.1, 0.5, 1};
    bool in[TRACES] = {false};
    struct rig rig;

    (void)state;
    rig_open(&rig, LIVE);
    rig_prepare(&rig, SECOND);
    for (int step = 0; step < 3; step++) {
        uint32_t from = script.limit, traces = 0, seen[TRACES] = {0}, two[TRACES] = {0};
        struct sl_sides sides = {0};

        canary_share(&rig, shares[step]);
        script.limit += RECORDS / 3;
        rig_turns(&rig, 15);
        for (uint32_t n = from; n < script.limit; n++) {
            uint32_t trace = n * 7919u % TRACES;
            if (!is_json(n))
                continue;
            assert_int_equal(is_v2(&script.plain, n), is_v2(&script.zone, n));
            seen[trace]++;
            two[trace] += is_v2(&script.plain, n);
        }
        for (uint32_t t = 0; t < TRACES; t++) {
            assert_true(two[t] == 0 || two[t] == seen[t]);
            assert_true(two[t] > 0 || !in[t]);
            in[t] = two[t] > 0;
            traces += two[t] > 0;
        }
        assert_in_range(traces, (uint32_t)(TRACES * (shares[step] - 0.06)), (uint32_t)(TRACES * (shares[step] + 0.06)) + 1);
        sl_slot_trial_sides(rig.slot, &sides);
        assert_int_equal(sides.canary.records + sides.baseline.records, RECORDS / 3);
        assert_int_equal(sides.canary.delivered + sides.baseline.delivered, 2 * (sides.canary.records + sides.baseline.records -
                                                                                sides.canary.dead - sides.baseline.dead));
        assert_false(sides.broken);
    }
    all_once(&script.plain);
    all_once(&script.zone);
    rig_balanced(&rig);
    rig_close(&rig);
}

static void test_what_the_canary_sets_aside_says_its_generation(void **state)
{
    struct sl_sides sides = {0};
    struct rig rig;

    (void)state;
    rig_open(&rig, LIVE);
    rig_prepare(&rig, SECOND);
    canary_share(&rig, 0.5);
    script.limit = RECORDS;
    rig_turns(&rig, 30);
    sl_slot_trial_sides(rig.slot, &sides);
    assert_int_equal(script.dead_generations[1] + script.dead_generations[2], RECORDS - json_records());
    assert_int_equal(script.dead_generations[2], sides.canary.dead);
    assert_int_equal(script.dead_generations[1], sides.baseline.dead);
    assert_true(sides.canary.dead > 5 && sides.baseline.dead > 5);
    assert_true(sides.canary.dead_bursts > 0 && sides.canary.batch_latency.count > 0);
    assert_int_equal(sides.canary.batch_latency.count, sides.baseline.batch_latency.count); /* the control group's */
    rig_close(&rig);
}

/* A sink that stays encodes what either version made of its records. */
static void test_an_encoding_that_stays_serves_both(void **state)
{
    uint32_t much = 0;
    struct rig rig;

    (void)state;
    rig_open(&rig, PARSED ENCODED("parsed"));
    rig_prepare(&rig, PARSED "  more: { type: set, inputs: [parsed], fields: { extra: x, amount: much } }\n" ENCODED("more"));
    canary_share(&rig, 0.5);
    script.limit = RECORDS;
    rig_turns(&rig, 30);
    for (uint32_t n = 0; n < RECORDS; n++) {
        char want[2][BODY];
        bool two = strstr(script.plain.rows[n].body, "much") != NULL;
        if (!is_json(n))
            continue;
        (void)snprintf(want[0], BODY, "{\"n\":%u,\"amount\":12.5,\"user.email\":\"u%u@example.com\"}", n, n);
        (void)snprintf(want[1], BODY, "{\"n\":%u,\"amount\":\"much\",\"user.email\":\"u%u@example.com\"}", n, n);
        assert_string_equal(script.plain.rows[n].body, want[two]);
        assert_int_equal(strstr(script.zone.rows[n].body, "\"extra\":\"x\"") != NULL, two);
        much += two;
    }
    assert_in_range(much, RECORDS / 3, RECORDS / 3 * 2);
    all_once(&script.plain);
    all_once(&script.zone);
    rig_close(&rig);
}

/* A record that the zone reads again goes the way that it went; none is lost or comes twice. */
static void test_a_rewind_goes_the_same_ways(void **state)
{
    struct rig rig;

    (void)state;
    rig_open(&rig, LIVE);
    rig_prepare(&rig, SECOND);
    canary_share(&rig, 0.3);
    script.limit = RECORDS;
    script.fail_submit = 3;
    while (script.fail_submit == 3)
        rig_turns(&rig, 1);
    canary_share(&rig, 0.8); /* while records are to be read again that the other sink has */
    rig_turns(&rig, 80);
    all_once(&script.plain);
    all_once(&script.zone);
    for (uint32_t n = 0; n < RECORDS; n++)
        assert_int_equal(is_v2(&script.plain, n), is_v2(&script.zone, n));
    rig_balanced(&rig);
    rig_close(&rig);
}

static void test_a_canary_may_derive_and_filter(void **state)
{
    struct sl_sides sides = {0};
    uint32_t twins = 0, gone = 0;
    struct rig rig;

    (void)state;
    rig_open(&rig, LIVE);
    rig_prepare(&rig, PARSED "  less: { type: filter, inputs: [parsed], drop_where: { level: debug } }\n"
                             "  two: { type: twice, inputs: [less] }\n" SINKS("two"));
    canary_share(&rig, 0.4);
    script.limit = RECORDS;
    rig_turns(&rig, 30);
    sl_slot_trial_sides(rig.slot, &sides);
    for (uint32_t n = 0; n < RECORDS; n++) {
        const struct row *row = &script.zone.rows[n];
        assert_true(row->times <= 1 && row->twins <= 1);
        assert_true(row->times == 1 || !is_json(n) || n % 4 == 1);
        assert_true(row->twins == 0 || row->times == 1);
        assert_int_equal(script.plain.rows[n].twins, row->twins);
        twins += row->twins;
        gone += is_json(n) && row->times == 0;
    }
    assert_int_equal(script.zone.wrong + script.plain.wrong, 0);
    assert_in_range(twins, RECORDS / 5, RECORDS / 2);
    assert_in_range(gone, RECORDS / 20, RECORDS / 6);
    assert_int_equal(sides.canary.filtered, 2 * (gone + sides.canary.dead) - 2 * sides.canary.dead);
    rig_balanced(&rig);
    rig_close(&rig);
}

static void test_a_canary_that_fails_is_taken_out_and_its_records_go_the_live_way(void **state)
{
    struct sl_sides sides = {0};
    struct sl_err err = {0};
    struct rig rig;

    (void)state;
    rig_open(&rig, LIVE);
    rig_prepare(&rig, PARSED "  bad: { type: fails, inputs: [parsed] }\n  v2: { type: set, inputs: [bad], fields: { v: \"2\" } }\n" SINKS("v2"));
    canary_share(&rig, 0.5);
    script.fail_at = 2 * BATCH + 300;
    script.limit = RECORDS;
    rig_turns(&rig, 30);
    sl_slot_trial_sides(rig.slot, &sides);
    assert_true(sides.broken);
    assert_non_null(strstr(sides.why.text, "operator bad: a bug in the script"));
    all_once(&script.plain);
    all_once(&script.zone);
    for (uint32_t n = 0; n < RECORDS; n++)
        assert_true(!is_v2(&script.plain, n) || n / PARTITIONS * 2 < 2 * BATCH);
    assert_int_equal(script.dead_generations[1] + script.dead_generations[2], RECORDS - json_records());
    assert_int_not_equal(sl_slot_canary(rig.slot, rig.plan, 0.9, SL_SPLIT_KEY, &err), 0);
    assert_non_null(strstr(err.text, "taken out"));
    rig_balanced(&rig);
    rig_close(&rig);
}

static void test_whole_partitions_may_go_instead_of_keys(void **state)
{
    uint32_t whole = 0;

    (void)state;
    for (int share = 0; share <= 10; share += 5) {
        uint32_t two[PARTITIONS] = {0}, all[PARTITIONS] = {0};
        struct sl_err err = {0};
        struct rig rig;

        rig_open(&rig, LIVE);
        rig_prepare(&rig, SECOND);
        assert_int_equal(sl_slot_canary(rig.slot, rig.plan, share / 10.0, SL_SPLIT_PARTITION, &err), 0);
        script.limit = RECORDS;
        rig_turns(&rig, 30);
        for (uint32_t n = 0; n < RECORDS; n++) {
            all[n % PARTITIONS] += is_json(n);
            two[n % PARTITIONS] += is_v2(&script.plain, n);
        }
        for (uint32_t p = 0; p < PARTITIONS; p++) {
            assert_true(two[p] == 0 || two[p] == all[p]);
            whole += two[p] > 0 && share == 10;
            assert_true(share > 0 || two[p] == 0);
        }
        all_once(&script.plain);
        all_once(&script.zone);
        rig_balanced(&rig);
        rig_close(&rig);
    }
    assert_int_equal(whole, PARTITIONS);
}

/* Without a parse stage right behind the source, the record's Kafka key says what belongs together. */
static void test_without_a_trace_the_records_key_is_the_key(void **state)
{
    int32_t ways[11];
    uint32_t in = 0;
    struct rig rig;

    (void)state;
    memset(ways, 0xff, sizeof(ways));
    rig_open(&rig, "operators:\n  all: { type: filter, inputs: [in], drop_where: { \"@topic\": x } }\n  parsed: { type: parse, inputs: [all] }\n" SINKS("parsed"));
    rig_prepare(&rig, SECOND);
    canary_share(&rig, 0.5);
    script.limit = RECORDS;
    rig_turns(&rig, 30);
    for (uint32_t n = 0; n < RECORDS; n++) {
        int two = is_v2(&script.plain, n);
        if (!is_json(n))
            continue;
        assert_true(ways[n % 11] < 0 || ways[n % 11] == two);
        ways[n % 11] = two;
        in += two != 0;
    }
    assert_in_range(in, RECORDS / 11, RECORDS - RECORDS / 11);
    all_once(&script.plain);
    rig_close(&rig);
}

/* A changed sink's condition and encoding hold for the canary's records; what it takes itself must fit the instance that runs. */
static void test_changed_sinks_take_the_canarys_records_where_they_fit(void **state)
{
    struct sl_err err = {0};
    uint32_t missing = 0;
    struct rig rig;

    (void)state;
    rig_open(&rig, LIVE);
    rig_prepare(&rig, PARSED "sinks:\n  out: { type: plain, inputs: [parsed], where: { level: [info, error] } }\n"
                             "  landing: { type: zone, inputs: [parsed] }\n  more: { type: plain, inputs: [parsed] }\n");
    canary_share(&rig, 0.5);
    script.limit = RECORDS;
    rig_turns(&rig, 30);
    for (uint32_t n = 0; n < RECORDS; n++) {
        missing += is_json(n) && script.plain.rows[n].times == 0;
        assert_true(script.plain.rows[n].times == 1 || !is_json(n) || n % 2 == 1);
        assert_int_equal(script.more.rows[n].times, 0); /* new: not before it is live */
    }
    assert_in_range(missing, RECORDS / 6, RECORDS / 3);
    all_once(&script.zone);
    rig_balanced(&rig);
    rig_close(&rig);

    rig_open(&rig, PARSED "sinks:\n  out: { type: plain, inputs: [parsed], required: true }\n");
    rig_prepare(&rig, PARSED "sinks:\n  out: { type: plain, inputs: [parsed], encoding: { codec: csv, fields: [n] } }\n");
    assert_int_equal(sl_slot_canary(rig.slot, rig.plan, 0.5, SL_SPLIT_KEY, &err), 0);
    rig_close(&rig);
}

static int find_split(void *user, struct sl_slice key, struct sl_slice value)
{
    struct sl_split rows;

    if (key.data[0] != SL_KEY_SPLIT || value.data == NULL)
        return 0;
    assert_int_equal(sl_split_scan(value, &rows), 0);
    assert_int_equal(rows.rows[rows.count - 1].generation, 2);
    ++*(uint32_t *)user;
    return 0;
}

static void test_shares_are_committed_and_forgotten_with_the_canary(void **state)
{
    uint32_t found = 0;
    struct rig rig;

    (void)state;
    rig_open(&rig, LIVE);
    rig_prepare(&rig, SECOND);
    canary_share(&rig, 0.5);
    script.limit = RECORDS / 2;
    rig_turns(&rig, 20);
    (void)sl_commit_log_each(rig.log, find_split, &found);
    assert_int_equal(found, PARTITIONS);
    sl_slot_trial_end(rig.slot);
    script.limit = RECORDS;
    rig_turns(&rig, 30);
    found = 0;
    (void)sl_commit_log_each(rig.log, find_split, &found);
    assert_int_equal(found, 0);
    all_once(&script.plain);
    all_once(&script.zone);
    rig_close(&rig);
}

/* The first of each trace passes, whichever version met it and whichever meets the others. */
static void test_a_canary_knows_what_the_live_version_knows(void **state)
{
    uint32_t seen[TRACES] = {0};
    struct sl_err err = {0};
    struct rig rig;

    (void)state;
    rig_open(&rig, "operators:\n  parsed: { type: parse, inputs: [in] }\n  firsts: { type: dedupe, inputs: [parsed], key: [trace_id], window: 1h }\n"
                   "sinks:\n  out: { type: plain, inputs: [firsts] }\n");
    rig_prepare(&rig, "operators:\n  parsed: { type: parse, inputs: [in] }\n  firsts: { type: dedupe, inputs: [parsed], key: [trace_id], window: 1h }\n"
                      "  v2: { type: set, inputs: [firsts], fields: { v: \"2\" } }\nsinks:\n  out: { type: plain, inputs: [v2] }\n");
    script.limit = 200;
    rig_turns(&rig, 10);
    assert_int_equal(sl_slot_shadow(rig.slot, rig.plan, NULL, &err), 0); /* it learns, is fed, and then learns again */
    script.limit = 400;
    rig_turns(&rig, 10);
    sl_slot_trial_end(rig.slot);
    script.limit = 600;
    rig_turns(&rig, 10);
    canary_share(&rig, 0.5);
    script.limit = RECORDS;
    rig_turns(&rig, 40);
    for (uint32_t n = 0; n < RECORDS; n++)
        seen[n * 7919u % TRACES] += script.plain.rows[n].times;
    for (uint32_t t = 0; t < TRACES; t++)
        assert_int_equal(seen[t], 1); /* a trace's records are of one partition: TRACES is even */
    rig_balanced(&rig);
    rig_close(&rig);
}

/* A canary that is promoted: the plan it ran with is the live one from the next batch on. */
static void test_a_promoted_canary_goes_on_whole(void **state)
{
    struct sl_plan *old = NULL;
    struct sl_err err = {0};
    struct rig rig;

    (void)state;
    rig_open(&rig, LIVE);
    rig_prepare(&rig, SECOND);
    canary_share(&rig, 0.5);
    script.limit = RECORDS / 2;
    rig_turns(&rig, 20);
    if (sl_slot_swap(rig.slot, rig.plan, &old, &err) != 0)
        fail_msg("%s", err.text);
    rig.plan = old;
    script.limit = RECORDS;
    rig_turns(&rig, 30);
    for (uint32_t n = RECORDS / 2; n < RECORDS; n++)
        assert_int_equal(is_v2(&script.plain, n), is_json(n));
    all_once(&script.plain);
    all_once(&script.zone);
    rig_balanced(&rig);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_equal_candidate_differs_in_nothing_and_nothing_of_it_leaves),
        cmocka_unit_test(test_a_candidate_that_is_built_otherwise_and_writes_the_same_differs_in_nothing),
        cmocka_unit_test(test_faults_of_stages_are_found_and_shown),
        cmocka_unit_test(test_meant_differences_are_no_fault),
        cmocka_unit_test(test_examples_of_a_masked_topology_are_masked),
        cmocka_unit_test(test_a_shadow_that_fails_is_taken_out_and_the_live_one_goes_on),
        cmocka_unit_test(test_a_slow_shadow_skips_whole_ranges),
        cmocka_unit_test(test_a_sink_that_reads_again_is_left_out_of_its_ranges),
        cmocka_unit_test(test_a_shadow_knows_what_the_live_version_knows),
        cmocka_unit_test(test_a_share_of_whole_keys_goes_through_the_canary),
        cmocka_unit_test(test_what_the_canary_sets_aside_says_its_generation),
        cmocka_unit_test(test_an_encoding_that_stays_serves_both),
        cmocka_unit_test(test_a_rewind_goes_the_same_ways),
        cmocka_unit_test(test_a_canary_may_derive_and_filter),
        cmocka_unit_test(test_a_canary_that_fails_is_taken_out_and_its_records_go_the_live_way),
        cmocka_unit_test(test_whole_partitions_may_go_instead_of_keys),
        cmocka_unit_test(test_without_a_trace_the_records_key_is_the_key),
        cmocka_unit_test(test_changed_sinks_take_the_canarys_records_where_they_fit),
        cmocka_unit_test(test_shares_are_committed_and_forgotten_with_the_canary),
        cmocka_unit_test(test_a_canary_knows_what_the_live_version_knows),
        cmocka_unit_test(test_a_promoted_canary_goes_on_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
