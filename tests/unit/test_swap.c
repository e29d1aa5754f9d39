/* test_swap.c: one version of a topology gives way to the next in a slot: what the earlier one still holds is finished or read again, once,
 * by the right instance, whatever its sinks and the commit are doing (DELIVERY rules H1, H4).
 *
 * Every delivery is noted as "SINK.N:RECORD", N being the setting by which instances of two versions are told from each other.
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

#include "runtime/config/field.h"
#include "runtime/config/topology.h"
#include "runtime/engine/drive.h"
#include "runtime/engine/mark_codec.h"
#include "runtime/engine/slot.h"
#include "runtime/store/commit_log.h"
#include "tests/support/disk.h"

enum { VERSIONS = 6, HELD = 32, NOTE_BYTES = 512 };
#define S 1000000000ull

/* ---- the script: one test at a time ---- */

static struct {
    const char *records; /* one letter each */
    uint32_t given;
    char landed[NOTE_BYTES], acked[NOTE_BYTES];
    char zone[33];         /* that `out` or its successor was told last */
    uint64_t hold, silent; /* instances with this N do not want a flush, do not answer */
    uint32_t fail_prepare;
    int open; /* instances that were opened and not closed */
    uint64_t now_ns;
    struct sl_job *jobs, **jobs_last;
} script;

struct config {
    uint64_t n;
};

static const struct sl_field config_fields[] = {
    SL_FIELD(config, n, SL_F_U64, .def = "1", .help = "Tells versions apart."),
    {0},
};

#define HEAD(kind, word, self_type)                                                                                                        \
    {                                                                                                                                      \
        .major = SL_ABI_MAJOR, .minor = SL_ABI_MINOR, .bytes = sizeof(struct kind), .name = word, .summary = "A script.", .example = "{}", \
        .fields = config_fields, .config_bytes = sizeof(struct config), .self_bytes = sizeof(struct self_type)                             \
    }

/* ---- source: a record a batch ---- */

struct source {
    struct sl_partition *partition;
};

static int source_open(void *self, const struct sl_api *api, const void *config, struct sl_slot *slot, struct sl_err *err)
{
    struct source *source = self;

    (void)api;
    (void)config;
    if (sl_slot_assign(slot, self, "script", "0", 0, NULL, 0, 0, NULL, &source->partition, NULL, err) != 0)
        return -(int)err->code;
    script.given = (uint32_t)source->partition->next;
    script.open++;
    return 0;
}

static int source_poll(void *self, struct sl_batch *batch, struct sl_err *err)
{
    struct source *source = self;

    (void)err;
    if (script.given == strlen(script.records))
        return 0;
    batch->raw = sl_arena_alloc(batch->arena, sizeof(*batch->raw));
    batch->offset = sl_arena_alloc(batch->arena, sizeof(*batch->offset));
    batch->append_unix_ms = sl_arena_alloc(batch->arena, sizeof(*batch->append_unix_ms));
    batch->raw[0] = sl_arena_copy(batch->arena, (struct sl_slice){script.records + script.given, 1});
    batch->offset[0] = script.given;
    batch->append_unix_ms[0] = 1700000000000;
    batch->partition = source->partition;
    batch->first = script.given;
    batch->next = ++script.given;
    batch->count = 1;
    return 1;
}

static void source_release(void *self)
{
    (void)self;
}

static int source_seek(void *self, struct sl_partition *partition, uint64_t next, struct sl_err *err)
{
    (void)self;
    (void)partition;
    (void)err;
    script.given = (uint32_t)next;
    return 0;
}

static void any_close(void *self)
{
    (void)self;
    script.open--;
}

static const struct sl_source_kind source_kind = {.head = HEAD(sl_source_kind, "script", source), .open = source_open, .poll = source_poll,
                                                  .release = source_release, .seek = source_seek, .close = any_close};

/* ---- sinks ---- */

struct sink {
    struct sl_slot *slot;
    char name[32];
    uint64_t n;
    char held[HELD]; /* letters taken and not sealed, or not answered for */
    struct sl_ref refs[HELD];
    uint32_t count;
};

static int sink_open(void *self, const struct sl_api *api, const void *config, struct sl_names *names, struct sl_slot *slot, struct sl_err *err)
{
    struct sink *sink = self;

    (void)names;
    (void)err;
    sink->slot = slot;
    sink->n = ((const struct config *)config)->n;
    (void)snprintf(sink->name, sizeof(sink->name), "%s", api->component);
    script.open++;
    return 0;
}

static void note(char notes[NOTE_BYTES], const char *sink, uint64_t n, char letter)
{
    size_t bytes = strlen(notes);

    (void)snprintf(notes + bytes, NOTE_BYTES - bytes, "%s%s.%llu:%c", bytes == 0 ? "" : " ", sink, (unsigned long long)n, letter);
}

static int sink_take(void *self, const struct sl_parcel *parcel, struct sl_err *err)
{
    struct sink *sink = self;

    (void)err;
    for (uint32_t i = 0; i < parcel->count; i++) {
        assert_true(sink->count < HELD);
        sink->refs[sink->count] = parcel->items[i].ref;
        sink->held[sink->count++] = parcel->items[i].body.data[0];
    }
    return 0;
}

static int ack_turn(void *self, uint64_t now_ns, uint64_t *ret_wake_ns, struct sl_err *err)
{
    struct sink *sink = self;

    (void)now_ns;
    (void)ret_wake_ns;
    (void)err;
    for (uint32_t i = 0; sink->n != script.silent && i < sink->count; i++) {
        note(script.acked, sink->name, sink->n, sink->held[i]);
        sl_slot_done(sink->slot, sink, &sink->refs[i], 1, SL_ACK, NULL);
    }
    sink->count = sink->n != script.silent ? 0 : sink->count;
    return 0;
}

static int ack_drain(void *self)
{
    return ((struct sink *)self)->count == 0;
}

static const struct sl_sink_kind ack_kind = {.head = HEAD(sl_sink_kind, "ack", sink), .open = sink_open, .submit = sink_take, .turn = ack_turn,
                                             .drain = ack_drain, .close = any_close};

struct flush {
    struct sl_flush base;
    struct sink of; /* as it was sealed */
};

static int flushed_zone(void *self, const char *zone, struct sl_err *err)
{
    (void)err;
    if (strcmp(((struct sink *)self)->name, "dead_letters") != 0)
        (void)snprintf(script.zone, sizeof(script.zone), "%s", zone);
    return 0;
}

static int flushed_want(void *self, uint64_t now_ns)
{
    (void)now_ns;
    return ((struct sink *)self)->n != script.hold;
}

static int flushed_seal(void *self, uint64_t number, struct sl_flush **ret_flush, struct sl_err *err);

static int flushed_prepare(struct sl_flush *base, struct sl_err *err)
{
    if (script.fail_prepare > 0) {
        script.fail_prepare--;
        return sl_fail(err, SL_E_IO, SL_REMEDY_RETRY, 0, "fsync: Input/output error");
    }
    base->entry = sl_slice_of("entry");
    return 0;
}

static int flushed_publish(struct sl_flush *base, struct sl_err *err)
{
    const struct flush *flush = (const struct flush *)(const void *)base;

    (void)err;
    for (uint32_t i = 0; i < flush->of.count; i++)
        note(script.landed, flush->of.name, flush->of.n, flush->of.held[i]);
    return 0;
}

static void flushed_abandon(void *self, struct sl_flush *flush)
{
    if (flush == NULL)
        ((struct sink *)self)->count = 0;
}

static void flushed_release(void *self, struct sl_flush *flush)
{
    (void)self;
    free(flush);
}

static const struct sl_sink_kind flushed_kind = {.head = HEAD(sl_sink_kind, "flushed", sink), .flags = SL_SINK_FLUSHED, .open = sink_open,
                                                 .zone = flushed_zone, .submit = sink_take, .want = flushed_want, .seal = flushed_seal,
                                                 .prepare = flushed_prepare, .publish = flushed_publish, .abandon = flushed_abandon,
                                                 .release_flush = flushed_release, .close = any_close};

static int flushed_seal(void *self, uint64_t number, struct sl_flush **ret_flush, struct sl_err *err)
{
    struct sink *sink = self;
    struct flush *flush = calloc(1, sizeof(*flush));

    (void)err;
    assert_non_null(flush);
    flush->base.kind = &flushed_kind;
    flush->base.number = number;
    flush->of = *sink;
    sink->count = 0;
    *ret_flush = &flush->base;
    return 0;
}

static const struct sl_source_kind *const sources[] = {&source_kind, NULL};
static const struct sl_op_kind *const operators[] = {NULL};
static const struct sl_sink_kind *const sinks[] = {&ack_kind, &flushed_kind, NULL};
static const struct sl_registry registry = {sources, operators, sinks};

/* ---- driving ---- */

static uint64_t env_now(void *user)
{
    (void)user;
    return script.now_ns;
}

static int64_t env_unix(void *user)
{
    (void)user;
    return 1700000000000;
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
    struct sl_commit_log *log;
    struct sl_slot *slot;
    struct sl_shared shared;
    uint64_t numbers;
    struct sl_topology *from[VERSIONS];
    struct sl_merge merges[VERSIONS];
    struct sl_plan *old[VERSIONS];
    uint32_t versions;
    const struct sl_topology *live;
};

static struct sl_topology *rig_load(const char *outs)
{
    char path[] = "/tmp/sluice-swap-XXXXXX", text[1024];
    struct sl_topology *topology = NULL;
    struct sl_diags diags;
    int fd = mkstemp(path);
    int bytes = snprintf(text, sizeof(text), "name: t\nsources: { in: { type: script } }\nsinks:\n%sdead_letters: { type: flushed }\n", outs);

    assert_int_equal(write(fd, text, (size_t)bytes), bytes);
    (void)close(fd);
    sl_diags_init(&diags);
    if (sl_topology_load(path, &registry, NULL, &diags, &topology) != 0)
        fail_msg("%u: %s", diags.items[0].line, diags.items[0].text);
    sl_diags_fini(&diags);
    (void)unlink(path);
    return topology;
}

static void rig_start(struct rig *rig)
{
    const struct sl_env env = {.fs = sl_disk_fs(rig->disk), .now_ns = env_now, .unix_ms = env_unix, .random = env_random, .submit = env_submit,
                               .wake = env_wake};
    struct sl_err err = {0};

    rig->shared = (struct sl_shared){.topology = rig->live, .node = "n", .data_dir = "/", .epoch = 1, .slots = 1, .memory_bytes = 64 << 20,
                                     .max_record_bytes = 1 << 20, .commit_log = rig->log, .flush_number = &rig->numbers};
    script.jobs = NULL;
    script.jobs_last = &script.jobs;
    rig->slot = sl_slot_new(&env, &rig->shared, 0, &err);
    if (rig->slot == NULL)
        fail_msg("%s", err.text);
}

static void rig_open(struct rig *rig, const char *outs)
{
    struct sl_err err = {0};

    memset(rig, 0, sizeof(*rig));
    rig->live = rig->from[rig->versions++] = rig_load(outs);
    rig->disk = sl_disk_new(1);
    assert_int_equal(sl_commit_log_open(sl_disk_fs(rig->disk), "/commit.log", &rig->log, &err), 0);
    rig_start(rig);
}

static void rig_jobs(void)
{
    while (script.jobs != NULL) {
        struct sl_job *job = script.jobs;
        script.jobs = job->next;
        if (script.jobs == NULL)
            script.jobs_last = &script.jobs;
        job->run(job);
        job->done(job);
    }
}

static void rig_turns(struct rig *rig, int turns)
{
    for (int i = 0; i < turns; i++) {
        (void)sl_slot_turn(rig->slot);
        rig_jobs();
        script.now_ns += S;
    }
}

static void zones_done(void *user, struct sl_plan *plan)
{
    (void)plan;
    *(bool *)user = true;
}

/* Puts the next version in; what the clerk was doing, it goes on doing. */
static void rig_swap(struct rig *rig, const char *outs)
{
    static struct sl_slot_facts facts;
    static void *shared[64];
    uint32_t v = rig->versions++;
    struct sl_plan *plan;
    struct sl_err err = {0};
    bool zones = false;

    assert_true(v < VERSIONS);
    rig->from[v] = rig_load(outs);
    if (sl_merge(rig->live, rig->from[v], &rig->merges[v], &err) != 0 || sl_slot_facts(rig->slot, &facts, &err) != 0)
        fail_msg("%s", err.text);
    plan = sl_slot_prepare(rig->slot, &facts, rig->merges[v].topology, shared, rig->merges[v].fates, v, &err);
    if (plan == NULL)
        fail_msg("%s", err.text);
    if (sl_plan_zones(plan, zones_done, &zones)) {
        rig_jobs();
        assert_true(zones);
        assert_int_equal(sl_plan_zones_err(plan)->code, SL_OK);
    }
    if (sl_slot_swap(rig->slot, plan, &rig->old[v], &err) != 0)
        fail_msg("%s", err.text);
    rig->live = rig->merges[v].topology;
}

static void rig_close(struct rig *rig)
{
    rig->slot = sl_slot_free(rig->slot);
    for (uint32_t v = rig->versions; v-- > 0;) {
        rig->old[v] = sl_plan_free(rig->old[v]);
        sl_merge_fini(&rig->merges[v]);
    }
    for (uint32_t v = 0; v < rig->versions; v++)
        rig->from[v] = sl_topology_free(rig->from[v]);
    rig->log = sl_commit_log_close(rig->log);
    rig->disk = sl_disk_free(rig->disk);
    assert_int_equal(script.open, 0);
}

static uint64_t maybe_duplicated(struct rig *rig)
{
    struct sl_slot_status status;
    uint64_t count;

    assert_int_equal(sl_slot_status(rig->slot, &status), 0);
    count = status.maybe_duplicated;
    sl_slot_status_fini(&status);
    return count;
}

struct marks {
    const char *sink;
    uint64_t next;
    uint32_t count;
};

static int marks_each(void *user, struct sl_slice key, struct sl_slice value)
{
    struct marks *marks = user;
    char memory[SL_COMMIT_KEY_BYTES + 1];
    struct sl_commit_key found;
    struct sl_mark mark;
    uint32_t incarnation;

    if (sl_commit_key_scan(key, memory, &found) != 0 || found.kind != SL_KEY_MARK || strcmp(found.sink, marks->sink) != 0 ||
        value.data == NULL || sl_mark_scan(value, &mark, &incarnation) != 0)
        return 0;
    marks->next = mark.next;
    marks->count++;
    return 0;
}

static struct marks marks_of(struct rig *rig, const char *sink)
{
    struct marks marks = {.sink = sink};

    (void)sl_commit_log_each(rig->log, marks_each, &marks);
    return marks;
}

static int script_reset(void **state)
{
    (void)state;
    memset(&script, 0, sizeof(script));
    script.now_ns = S;
    script.jobs_last = &script.jobs;
    script.records = "";
    return 0;
}

/* ---- tests ---- */

#define OUT(n) "  out: { type: flushed, inputs: [in], n: " #n " }\n"
#define ACK(n) "  out: { type: ack, inputs: [in], n: " #n " }\n"
#define OTHER "  other: { type: flushed, inputs: [in], n: 9 }\n"

static void test_a_commit_under_way_is_the_earlier_versions(void **state)
{
    struct rig rig;

    (void)state;
    script.records = "ab";
    rig_open(&rig, OUT(1));
    (void)sl_slot_turn(rig.slot); /* both are taken and sealed; the clerk has not begun */
    assert_non_null(script.jobs);
    rig_swap(&rig, OUT(2));
    script.records = "abcd";
    (void)sl_slot_turn(rig.slot);
    assert_string_equal(script.landed, "");
    rig_turns(&rig, 10);
    assert_string_equal(script.landed, "out.1:a out.1:b out.2:c out.2:d");
    assert_true(sl_slot_settled(rig.slot));
    rig_close(&rig);
}

static void test_what_was_open_is_sealed_before_the_new_versions(void **state)
{
    struct rig rig;

    (void)state;
    script.records = "ab";
    script.hold = 1;
    rig_open(&rig, OUT(1));
    rig_turns(&rig, 3);
    assert_string_equal(script.landed, "");
    rig_swap(&rig, OUT(2));
    script.records = "abc";
    rig_turns(&rig, 10);
    assert_string_equal(script.landed, "out.1:a out.1:b out.2:c");
    assert_true(sl_slot_settled(rig.slot));
    rig_close(&rig);
}

static void test_a_version_in_between_is_read_again_by_the_next(void **state)
{
    struct rig rig;

    (void)state;
    script.records = "ab";
    rig_open(&rig, OUT(1));
    (void)sl_slot_turn(rig.slot);
    rig_swap(&rig, OUT(2));
    script.records = "abc";
    (void)sl_slot_turn(rig.slot); /* 2 has c, and cannot seal it before 1 is committed */
    rig_swap(&rig, OUT(3));
    script.records = "abcd";
    rig_turns(&rig, 10);
    assert_string_equal(script.landed, "out.1:a out.1:b out.3:c out.3:d");
    assert_true(sl_slot_settled(rig.slot));
    rig_close(&rig);
}

static void test_a_failed_commit_of_the_earlier_version_is_read_again_by_the_new_one(void **state)
{
    struct rig rig;

    (void)state;
    script.records = "ab";
    script.fail_prepare = 1;
    rig_open(&rig, OUT(1));
    (void)sl_slot_turn(rig.slot);
    rig_swap(&rig, OUT(2));
    script.records = "abc";
    (void)sl_slot_turn(rig.slot);
    rig_turns(&rig, 10);
    assert_string_equal(script.landed, "out.2:a out.2:b out.2:c");
    assert_true(sl_slot_settled(rig.slot));
    rig_close(&rig);
}

static void test_a_sink_that_never_answers_is_given_up_at_the_deadline(void **state)
{
    struct rig rig;

    (void)state;
    script.records = "ab";
    script.silent = 1;
    rig_open(&rig, ACK(1));
    (void)sl_slot_turn(rig.slot);
    rig_swap(&rig, ACK(2));
    script.records = "abc";
    rig_turns(&rig, 4);
    assert_string_equal(script.acked, "out.2:c"); /* goes its way meanwhile */
    assert_false(sl_slot_settled(rig.slot));
    assert_int_equal(maybe_duplicated(&rig), 0);
    rig_turns(&rig, 6);
    assert_true(sl_slot_settled(rig.slot));
    assert_string_equal(script.acked, "out.2:c out.2:a out.2:b out.2:c");
    assert_int_equal(maybe_duplicated(&rig), 3);
    assert_int_equal(marks_of(&rig, "out").next, 3);
    rig_close(&rig);
}

static void test_a_sink_that_answers_late_is_waited_for(void **state)
{
    struct rig rig;

    (void)state;
    script.records = "ab";
    script.silent = 1;
    rig_open(&rig, ACK(1));
    (void)sl_slot_turn(rig.slot);
    rig_swap(&rig, ACK(2));
    rig_turns(&rig, 2);
    script.silent = 0;
    rig_turns(&rig, 4);
    assert_string_equal(script.acked, "out.1:a out.1:b");
    assert_true(sl_slot_settled(rig.slot));
    assert_int_equal(maybe_duplicated(&rig), 0);
    rig_close(&rig);
}

static void test_a_removed_sink_finishes_what_it_took(void **state)
{
    struct rig rig;

    (void)state;
    script.records = "ab";
    script.hold = 1;
    rig_open(&rig, OUT(1) OTHER);
    rig_turns(&rig, 2);
    assert_string_equal(script.landed, "other.9:a other.9:b");
    rig_swap(&rig, OTHER);
    script.records = "abc";
    rig_turns(&rig, 10);
    assert_string_equal(script.landed, "other.9:a other.9:b out.1:a out.1:b other.9:c");
    assert_true(sl_slot_settled(rig.slot));
    assert_int_equal(script.open, 3); /* the source, other, dead letters */
    rig_close(&rig);
}

/* What it had is not given to it again when it comes back, also where the others stand behind it and nothing of the swap is committed yet. */
static void test_a_removed_sink_that_comes_back_in_a_crash_goes_on_behind_its_own(void **state)
{
    struct rig rig;

    (void)state;
    script.records = "ab";
    script.hold = 9; /* other takes, and commits nothing */
    rig_open(&rig, OUT(1) OTHER);
    rig_turns(&rig, 3);
    rig_swap(&rig, OTHER);
    rig_turns(&rig, 3);
    assert_true(sl_slot_settled(rig.slot));
    rig.slot = sl_slot_free(rig.slot);
    rig.live = rig.from[0];
    rig_start(&rig);
    script.hold = 0;
    script.records = "abc";
    rig_turns(&rig, 6);
    assert_string_equal(script.landed, "out.1:a out.1:b out.1:c other.9:a other.9:b other.9:c");
    rig_close(&rig);
}

static void test_a_renamed_sink_goes_on_under_its_new_name(void **state)
{
    char zone[33];
    struct rig rig;

    (void)state;
    script.records = "ab";
    rig_open(&rig, OUT(1));
    rig_turns(&rig, 3);
    memcpy(zone, script.zone, sizeof(zone));
    assert_int_equal(marks_of(&rig, "out").next, 2);
    rig_swap(&rig, "  fresh: { type: flushed, inputs: [in], n: 1, was: out }\n");
    rig_turns(&rig, 3); /* nothing is read: the marks are written all the same */
    assert_int_equal(marks_of(&rig, "out").count, 0);
    assert_int_equal(marks_of(&rig, "fresh").next, 2);
    rig.slot = sl_slot_free(rig.slot);
    memset(script.zone, 0, sizeof(script.zone));
    rig.live = rig.from[1];
    rig_start(&rig);
    script.records = "abc";
    rig_turns(&rig, 5);
    assert_string_equal(script.landed, "out.1:a out.1:b fresh.1:c");
    assert_string_equal(script.zone, zone);
    rig_close(&rig);
}

static void test_a_rename_that_was_not_committed_is_made_at_the_start(void **state)
{
    char zone[33];
    struct rig rig;

    (void)state;
    script.records = "ab";
    rig_open(&rig, OUT(1));
    rig_turns(&rig, 3);
    memcpy(zone, script.zone, sizeof(zone));
    rig_swap(&rig, "  fresh: { type: flushed, inputs: [in], n: 1, was: out }\n");
    rig.slot = sl_slot_free(rig.slot); /* before any commit */
    memset(script.zone, 0, sizeof(script.zone));
    rig.live = rig.from[1];
    rig_start(&rig);
    script.records = "abc";
    rig_turns(&rig, 5);
    assert_string_equal(script.landed, "out.1:a out.1:b fresh.1:c");
    assert_string_equal(script.zone, zone);
    assert_int_equal(marks_of(&rig, "out").count, 0);
    rig_close(&rig);
}

static void test_a_new_sink_begins_where_the_topology_is(void **state)
{
    struct rig rig;

    (void)state;
    script.records = "ab";
    rig_open(&rig, OUT(1));
    rig_turns(&rig, 3);
    rig_swap(&rig, OUT(1) OTHER);
    script.records = "abc";
    rig_turns(&rig, 5);
    assert_string_equal(script.landed, "out.1:a out.1:b out.1:c other.9:c");
    rig_close(&rig);
}

/* The source stands at a while one sink reads again: what is new begins behind b all the same. */
static void test_a_new_sink_does_not_begin_where_another_reads_again(void **state)
{
    struct rig rig;

    (void)state;
    script.records = "ab";
    script.fail_prepare = 1;
    rig_open(&rig, OUT(1));
    (void)sl_slot_turn(rig.slot);
    rig_jobs(); /* its commit fails: back to a */
    assert_int_equal(script.given, 0);
    rig_swap(&rig, OUT(1) OTHER);
    script.records = "abc";
    rig_turns(&rig, 6);
    assert_string_equal(script.landed, "out.1:a out.1:b out.1:c other.9:c");
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_a_commit_under_way_is_the_earlier_versions, script_reset),
        cmocka_unit_test_setup(test_what_was_open_is_sealed_before_the_new_versions, script_reset),
        cmocka_unit_test_setup(test_a_version_in_between_is_read_again_by_the_next, script_reset),
        cmocka_unit_test_setup(test_a_failed_commit_of_the_earlier_version_is_read_again_by_the_new_one, script_reset),
        cmocka_unit_test_setup(test_a_sink_that_never_answers_is_given_up_at_the_deadline, script_reset),
        cmocka_unit_test_setup(test_a_sink_that_answers_late_is_waited_for, script_reset),
        cmocka_unit_test_setup(test_a_removed_sink_finishes_what_it_took, script_reset),
        cmocka_unit_test_setup(test_a_removed_sink_that_comes_back_in_a_crash_goes_on_behind_its_own, script_reset),
        cmocka_unit_test_setup(test_a_renamed_sink_goes_on_under_its_new_name, script_reset),
        cmocka_unit_test_setup(test_a_rename_that_was_not_committed_is_made_at_the_start, script_reset),
        cmocka_unit_test_setup(test_a_new_sink_begins_where_the_topology_is, script_reset),
        cmocka_unit_test_setup(test_a_new_sink_does_not_begin_where_another_reads_again, script_reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
