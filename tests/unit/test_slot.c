/* test_slot.c: a slot over a scripted source and scripted sinks: what is refused becomes a letter and holds the mark until that is
 * durable; a failed sink is read again alone; several ways to one sink deliver once; what is too large holds nothing up.
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
#include "runtime/cli/pages.h"
#include "runtime/config/topology.h"
#include "runtime/engine/derive.h"
#include "runtime/engine/drive.h"
#include "runtime/engine/slot.h"
#include "runtime/store/commit_log.h"
#include "tests/support/disk.h"

enum { RECORDS = 10, BODIES = 64 };

/* ---- the script: one test at a time ---- */

struct kept {
    char bodies[BODIES][512];
    uint32_t count, committed; /* a flushed sink's: those of committed flushes */
};

static struct {
    const char *records[RECORDS];
    uint32_t count, given, large; /* large: index + 1 of a record above max_record */
    struct kept plain, flushed, dead;
    uint32_t refuse;       /* index + 1: the plain sink refuses this one */
    uint32_t fail_submit;  /* so many submits of the flushed sink fail */
    uint64_t fail_from;    /* and those of offsets from here on; 0: none */
    uint32_t fail_prepare; /* so many flushes of the flushed sink fail */
    bool hold_letters;     /* the dead letters' flush is not wanted yet */
    uint64_t now_ns;
    struct sl_job *jobs, **jobs_last;
} script;

/* ---- source ---- */

struct source {
    struct sl_slot *slot;
    struct sl_partition *partition;
};

static int source_open(void *self, const struct sl_api *api, const void *config, struct sl_slot *slot, struct sl_err *err)
{
    struct source *source = self;

    (void)api;
    (void)config;
    source->slot = slot;
    if (sl_slot_assign(slot, self, "script", "0", 0, NULL, 0, 0, NULL, &source->partition, NULL, err) != 0)
        return -(int)err->code;
    script.given = (uint32_t)source->partition->next;
    return 0;
}

/* Two records a batch, a large one alone. */
static int source_poll(void *self, struct sl_batch *batch, struct sl_err *err)
{
    struct source *source = self;
    uint32_t count = script.count - script.given < 2 ? script.count - script.given : 2;

    (void)err;
    if (count == 0)
        return 0;
    if (script.large == script.given + 1 || script.large == script.given + 2)
        count = 1;
    batch->large = script.large == script.given + 1;
    batch->raw = sl_arena_alloc(batch->arena, count * sizeof(*batch->raw));
    batch->offset = sl_arena_alloc(batch->arena, count * sizeof(*batch->offset));
    batch->append_unix_ms = sl_arena_alloc(batch->arena, count * sizeof(*batch->append_unix_ms));
    for (uint32_t i = 0; i < count; i++) {
        batch->raw[i] = sl_arena_copy(batch->arena, sl_slice_of(script.records[script.given + i]));
        batch->offset[i] = script.given + i;
        batch->append_unix_ms[i] = 1700000000000;
    }
    batch->partition = source->partition;
    batch->first = script.given;
    batch->next = script.given + count;
    batch->count = count;
    script.given += count;
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

static int source_at_end(void *self)
{
    (void)self;
    return script.given == script.count;
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
                                                  .poll = source_poll, .release = source_release, .seek = source_seek,
                                                  .at_end = source_at_end, .close = any_close};

/* ---- a sink that acknowledges ---- */

struct plain {
    struct sl_slot *slot;
};

static int plain_open(void *self, const struct sl_api *api, const void *config, struct sl_names *names, struct sl_slot *slot,
                      struct sl_err *err)
{
    (void)api;
    (void)config;
    (void)names;
    (void)err;
    ((struct plain *)self)->slot = slot;
    return 0;
}

static void kept_add(struct kept *kept, struct sl_slice body)
{
    assert_true(kept->count < BODIES);
    (void)snprintf(kept->bodies[kept->count++], sizeof(kept->bodies[0]), "%.*s", (int)body.bytes, body.data);
}

static int plain_submit(void *self, const struct sl_parcel *parcel, struct sl_err *err)
{
    struct plain *plain = self;

    for (uint32_t i = 0; i < parcel->count; i++) {
        const struct sl_item *item = &parcel->items[i];
        uint64_t offset = parcel->view->batch->offset[item->row];
        if (offset + 1 == script.refuse) {
            struct sl_refused record = {item->ref, item->body, {NULL, 0}, offset, 1700000000000, 0, 0};
            (void)sl_fail(err, SL_E_LIMIT, SL_REMEDY_DEADLETTER, 0, "too large for it");
            sl_slot_refused(plain->slot, self, &record, err);
            continue;
        }
        assert_true(memchr(item->body.data, '\n', item->body.bytes) == NULL || parcel->view->batch->may_break);
        kept_add(&script.plain, item->body);
        sl_slot_done(plain->slot, self, &item->ref, 1, SL_ACK, NULL);
    }
    return 0;
}

static const struct sl_sink_kind plain_kind = {.head = HEAD(sl_sink_kind, "plain", plain), .open = plain_open,
                                               .submit = plain_submit, .close = any_close};

/* ---- a flushed sink; the dead letters' one is of the same kind ---- */

struct flush {
    struct sl_flush base;
    struct kept *kept;
    uint32_t upto;
};

struct flushed {
    struct kept *kept;
    uint32_t sealed; /* bodies below it belong to a sealed flush */
};

static int flushed_open(void *self, const struct sl_api *api, const void *config, struct sl_names *names, struct sl_slot *slot,
                        struct sl_err *err)
{
    struct flushed *flushed = self;

    (void)config;
    (void)names;
    (void)slot;
    (void)err;
    flushed->kept = strcmp(api->component, "dead_letters") == 0 ? &script.dead : &script.flushed;
    flushed->sealed = flushed->kept->committed;
    return 0;
}

static int flushed_submit(void *self, const struct sl_parcel *parcel, struct sl_err *err)
{
    struct flushed *flushed = self;

    if (flushed->kept == &script.flushed && parcel->count > 0 && script.fail_submit > 0) {
        script.fail_submit--;
        return sl_fail(err, SL_E_IO, SL_REMEDY_RETRY, 0, "no space left");
    }
    if (flushed->kept == &script.flushed && script.fail_from > 0 && parcel->first >= script.fail_from)
        return sl_fail(err, SL_E_IO, SL_REMEDY_RETRY, 0, "no space left");
    for (uint32_t i = 0; i < parcel->count; i++)
        kept_add(flushed->kept, parcel->items[i].body);
    return 0;
}

static int flushed_want(void *self, uint64_t now_ns)
{
    const struct flushed *flushed = self;

    (void)now_ns;
    return flushed->kept != &script.dead || !script.hold_letters;
}

static int flushed_seal(void *self, uint64_t number, struct sl_flush **ret_flush, struct sl_err *err);

static int flushed_prepare(struct sl_flush *base, struct sl_err *err)
{
    struct flush *flush = (struct flush *)(void *)base;

    if (flush->kept == &script.flushed && script.fail_prepare > 0) {
        script.fail_prepare--;
        return sl_fail(err, SL_E_IO, SL_REMEDY_RETRY, 0, "fsync: Input/output error");
    }
    base->entry = sl_slice_of("entry");
    return 0;
}

static int flushed_publish(struct sl_flush *base, struct sl_err *err)
{
    struct flush *flush = (struct flush *)(void *)base;

    (void)err;
    flush->kept->committed = flush->upto;
    return 0;
}

/* What is not committed is gone; with a flush: that flush and all behind it, as the engine asks for both. */
static void flushed_abandon(void *self, struct sl_flush *flush)
{
    struct flushed *flushed = self;

    if (flush != NULL)
        flushed->sealed = flushed->kept->committed;
    flushed->kept->count = flushed->sealed;
}

static void flushed_release(void *self, struct sl_flush *flush)
{
    (void)self;
    free(flush);
}

static const struct sl_sink_kind flushed_kind = {.head = HEAD(sl_sink_kind, "flushed", flushed), .flags = SL_SINK_FLUSHED,
                                                 .open = flushed_open, .submit = flushed_submit, .want = flushed_want,
                                                 .seal = flushed_seal, .prepare = flushed_prepare, .publish = flushed_publish,
                                                 .abandon = flushed_abandon, .release_flush = flushed_release, .close = any_close};

static int flushed_seal(void *self, uint64_t number, struct sl_flush **ret_flush, struct sl_err *err)
{
    struct flushed *flushed = self;
    struct flush *flush = calloc(1, sizeof(*flush));

    (void)err;
    assert_non_null(flush);
    flush->base.kind = &flushed_kind;
    flush->base.number = number;
    flush->kept = flushed->kept;
    flush->upto = flushed->sealed = flushed->kept->count;
    *ret_flush = &flush->base;
    return 0;
}

static const struct sl_source_kind *const sources[] = {&source_kind, NULL};
/* ---- stages: one makes a twin of each record, one sets twins aside ---- */

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
    struct sl_child children[2];
    uint32_t count = view->batch->count;

    (void)self;
    (void)err;
    assert_true(count <= 2);
    for (uint32_t i = 0; i < count; i++)
        children[i] = (struct sl_child){.index = (uint16_t)i, .text = sl_arena_copy(view->batch->arena, sl_slice_of("{\"twin\":true}"))};
    return sl_view_derive(view, children, count);
}

static int aside_process(void *self, struct sl_view *view, struct sl_err *err)
{
    (void)self;
    (void)err;
    view->note = sl_arena_alloc(view->batch->arena, (view->batch->count + 1u) * sizeof(*view->note));
    for (uint32_t i = 0; i < view->sel_count; i++) {
        uint16_t row = view->sel[i];
        view->note[row] = row % 4 == 1 ? "a twin, set aside" : NULL; /* the batch's first twin is noted, its second is not */
        if (view->batch->sub[row] == 0)
            continue;
        view->fate[row] = SL_DEAD;
        view->reason[row] = 1;
    }
    return 0;
}

/* Only records of odd offsets pass. */
static int odd_process(void *self, struct sl_view *view, struct sl_err *err)
{
    (void)self;
    (void)err;
    for (uint32_t i = 0; i < view->sel_count; i++)
        if (view->batch->offset[view->sel[i]] % 2 == 0)
            view->fate[view->sel[i]] = SL_FILTERED;
    return 0;
}

/* Every record becomes a text of two lines. */
static int lines_process(void *self, struct sl_view *view, struct sl_err *err)
{
    struct sl_decoded *decoded = sl_arena_alloc(view->batch->arena, sizeof(*decoded));
    struct sl_slice *body = sl_arena_alloc(view->batch->arena, (view->batch->count + 1u) * sizeof(*body));

    (void)self;
    (void)err;
    *decoded = *view->decoded;
    for (uint32_t i = 0; i < view->batch->count; i++)
        body[i] = sl_arena_copy(view->batch->arena, sl_slice_of("{\"level\":\n\"fatal\"}"));
    decoded->body = body;
    view->decoded = decoded;
    return 0;
}

static const char *const aside_reasons[] = {"", "by the table's words", NULL};

static const struct sl_op_kind twice_kind = {.head = HEAD(sl_op_kind, "twice", stage), .open = stage_open, .process = twice_process,
                                             .close = any_close, .flags = SL_OP_DERIVES};
static const struct sl_op_kind aside_kind = {.head = {.major = SL_ABI_MAJOR, .bytes = sizeof(struct sl_op_kind), .name = "aside", .summary = "A script.",
                                                      .example = "{}", .self_bytes = sizeof(struct stage), .reasons = aside_reasons},
                                             .open = stage_open, .process = aside_process, .close = any_close};

static const struct sl_op_kind odd_kind = {.head = HEAD(sl_op_kind, "odd", stage), .open = stage_open, .process = odd_process, .close = any_close};
static const struct sl_op_kind lines_kind = {.head = HEAD(sl_op_kind, "lines", stage), .open = stage_open, .process = lines_process,
                                             .close = any_close};

static const struct sl_op_kind *const operators[] = {&sl_op_parse, &sl_op_filter, &sl_op_route, &twice_kind,
                                                     &aside_kind,  &odd_kind,     &lines_kind,  NULL};
static const struct sl_sink_kind *const sinks[] = {&plain_kind, &flushed_kind, NULL};
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
    struct sl_topology *topology;
    struct sl_commit_log *log;
    struct sl_slot *slot;
    struct sl_shared shared;
    uint64_t numbers;
};

static void rig_start(struct rig *rig, bool once)
{
    struct sl_env env = {NULL, sl_disk_fs(rig->disk), NULL, env_now, env_unix, env_random, env_submit, env_wake, NULL,
                         NULL, NULL};
    struct sl_err err = {0};

    rig->shared = (struct sl_shared){.topology = rig->topology, .node = "n", .data_dir = "/", .epoch = 1, .slots = 1,
                                     .memory_bytes = 64 << 20, .max_record_bytes = 1 << 20, .commit_log = rig->log,
                                     .flush_number = &rig->numbers, .once = once};
    script.jobs_last = &script.jobs;
    rig->slot = sl_slot_new(&env, &rig->shared, 0, &err);
    if (rig->slot == NULL)
        fail_msg("%s", err.text);
}

static void rig_open(struct rig *rig, const char *middle, bool once)
{
    char path[] = "/tmp/sluice-slot-XXXXXX", text[2048];
    struct sl_diags diags;
    struct sl_err err = {0};
    int fd = mkstemp(path);
    int bytes = snprintf(text, sizeof(text), "name: t\nsources: { in: { type: script } }\n%s\ndead_letters: { type: flushed }\n", middle);

    memset(rig, 0, sizeof(*rig));
    assert_int_equal(write(fd, text, (size_t)bytes), bytes);
    (void)close(fd);
    sl_diags_init(&diags);
    if (sl_topology_load(path, &registry, NULL, &diags, &rig->topology) != 0)
        fail_msg("%u: %s", diags.items[0].line, diags.items[0].text);
    sl_diags_fini(&diags);
    (void)unlink(path);
    rig->disk = sl_disk_new(1);
    assert_int_equal(sl_commit_log_open(sl_disk_fs(rig->disk), "/commit.log", &rig->log, &err), 0);
    rig_start(rig, once);
}

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

static void rig_status(struct rig *rig, struct sl_slot_status *status)
{
    assert_int_equal(sl_slot_status(rig->slot, status), 0);
    assert_true(sl_pages_balanced(&status->ledger));
}

static void rig_close(struct rig *rig)
{
    rig->slot = sl_slot_free(rig->slot);
    rig->log = sl_commit_log_close(rig->log);
    rig->topology = sl_topology_free(rig->topology);
    rig->disk = sl_disk_free(rig->disk);
}

static int script_reset(void **state)
{
    (void)state;
    memset(&script, 0, sizeof(script));
    script.now_ns = 1000000000;
    script.jobs_last = &script.jobs;
    for (uint32_t i = 0; i < RECORDS; i++) {
        static const char *const records[RECORDS] = {
            "{\"n\":0,\"level\":\"info\"}", "{\"n\":1,\"level\":\"error\"}", "{\"n\":2,\"level\":\"info\"}", "{\"n\":3}",
            "{\"n\":4,\"level\":\"error\"}", "{\"n\":5}", "{\"n\":6}", "{\"n\":7,\"level\":\"error\"}", "{\"n\":8}", "{\"n\":9}"};
        script.records[i] = records[i];
    }
    script.count = RECORDS;
    return 0;
}

static void assert_all_once(const struct kept *kept)
{
    assert_int_equal(kept->count, RECORDS);
    for (uint32_t i = 0; i < RECORDS; i++)
        assert_string_equal(kept->bodies[i], script.records[i]);
}

static uint64_t fate_of(const struct sl_slot_status *status, const struct sl_topology *topology, const char *sink, enum sl_fate fate)
{
    for (uint32_t c = 0; c < topology->components_count; c++) {
        struct sl_ledger_row sum;
        if (strcmp(topology->components[c].name, sink) != 0)
            continue;
        sl_ledger_sum(&status->ledger, c, &sum);
        return sum.fates[fate];
    }
    fail_msg("no sink %s", sink);
    return 0;
}

/* ---- tests ---- */

#define BOTH "sinks:\n  out: { type: plain, inputs: [in] }\n  zone: { type: flushed, inputs: [in] }\n"

static void test_a_refused_record_holds_the_mark_until_its_letter_is_durable(void **state)
{
    struct sl_slot_status status;
    struct rig rig;

    (void)state;
    script.refuse = 5;
    script.hold_letters = true;
    rig_open(&rig, "sinks: { out: { type: plain, inputs: [in] } }\n", false);
    rig_turns(&rig, 20);
    assert_int_equal(script.plain.count, RECORDS - 1);
    assert_int_equal(script.dead.count, 1);
    rig_status(&rig, &status);
    assert_true(status.partitions[0].committed <= 4); /* the batch of the refused one, and all behind it, wait */
    sl_slot_status_fini(&status);
    script.hold_letters = false;
    rig_turns(&rig, 10);
    rig_status(&rig, &status);
    assert_int_equal(script.dead.committed, 1);
    assert_int_equal(status.partitions[0].committed, RECORDS);
    assert_int_equal(fate_of(&status, rig.topology, "out", SL_DEAD), 1);
    assert_int_equal(fate_of(&status, rig.topology, "out", SL_DELIVERED), RECORDS - 1);
    assert_non_null(strstr(script.dead.bodies[0], "\"stage\":\"out\",\"reason\":\"too large for it\""));
    assert_non_null(strstr(script.dead.bodies[0], "\"offset\":4,"));
    sl_slot_status_fini(&status);
    rig_close(&rig);
}

static void test_a_letter_lost_in_a_crash_is_written_again(void **state)
{
    struct rig rig;

    (void)state;
    script.refuse = 5;
    script.hold_letters = true;
    rig_open(&rig, "sinks: { out: { type: plain, inputs: [in] } }\n", false);
    rig_turns(&rig, 20);
    rig.slot = sl_slot_free(rig.slot);
    script.dead.count = 0; /* it was in memory only */
    script.hold_letters = false;
    rig_start(&rig, true);
    rig_turns(&rig, 40);
    assert_int_equal(sl_slot_state(rig.slot), SL_SLOT_ENDED);
    assert_int_equal(script.dead.committed, 1);
    assert_int_equal(script.plain.count, RECORDS - 1 + 5); /* from the mark at 4 on they come again: at least once */
    rig_close(&rig);
}

static void test_a_refused_record_may_be_dropped_instead(void **state)
{
    struct sl_slot_status status;
    struct rig rig;

    (void)state;
    script.refuse = 5;
    rig_open(&rig, "sinks: { out: { type: plain, inputs: [in], on_refused: drop } }\n", false);
    rig_turns(&rig, 20);
    rig_status(&rig, &status);
    assert_int_equal(script.dead.count, 0);
    assert_int_equal(status.partitions[0].committed, RECORDS);
    assert_int_equal(fate_of(&status, rig.topology, "out", SL_DEAD), 1);
    sl_slot_status_fini(&status);
    rig_close(&rig);
}

static void test_a_drain_waits_for_the_letters_of_refused_records(void **state)
{
    struct rig rig;

    (void)state;
    script.refuse = 10;
    script.hold_letters = true;
    rig_open(&rig, "sinks: { out: { type: plain, inputs: [in] } }\n", true);
    rig_turns(&rig, 40);
    assert_int_equal(sl_slot_state(rig.slot), SL_SLOT_ENDED);
    assert_int_equal(script.dead.committed, 1);
    rig_close(&rig);
}

static void test_a_failed_sink_is_read_again_and_no_other(void **state)
{
    struct sl_slot_status status;
    struct rig rig;

    (void)state;
    script.fail_submit = 3;
    rig_open(&rig, BOTH, true);
    rig_turns(&rig, 100);
    assert_int_equal(sl_slot_state(rig.slot), SL_SLOT_ENDED);
    assert_all_once(&script.plain);
    assert_all_once(&script.flushed);
    assert_int_equal(script.flushed.committed, RECORDS);
    rig_status(&rig, &status);
    assert_int_equal(status.rewinds, 3);
    assert_int_equal(fate_of(&status, rig.topology, "zone", SL_LIVE), RECORDS); /* not counted twice (rule J4) */
    sl_slot_status_fini(&status);
    rig_close(&rig);
}

static void test_a_failed_fsync_is_read_again_from_the_mark(void **state)
{
    struct rig rig;

    (void)state;
    script.fail_prepare = 2;
    rig_open(&rig, BOTH, true);
    rig_turns(&rig, 100);
    assert_int_equal(sl_slot_state(rig.slot), SL_SLOT_ENDED);
    assert_all_once(&script.plain);
    assert_all_once(&script.flushed);
    rig_close(&rig);
}

static void test_a_restart_skips_what_each_sink_has_done(void **state)
{
    struct rig rig;

    (void)state;
    script.count = 6;
    rig_open(&rig, BOTH, true);
    rig_turns(&rig, 40);
    rig.slot = sl_slot_free(rig.slot);
    script.count = RECORDS;
    rig_start(&rig, true);
    rig_turns(&rig, 40);
    assert_all_once(&script.plain);
    assert_all_once(&script.flushed);
    rig_close(&rig);
}

static void test_several_ways_to_a_sink_deliver_once(void **state)
{
    struct sl_slot_status status;
    struct rig rig;

    (void)state;
    rig_open(&rig,
             "operators:\n  parsed: { type: parse, inputs: [in], format: json }\n"
             "  split: { type: route, inputs: [parsed], routes: { errors: { level: error }, named: { level: { exists: true } } } }\n"
             "  all: { type: filter, inputs: [parsed], where: { n: { gte: 4 } } }\n"
             "sinks: { out: { type: plain, inputs: [split.errors, split.named, all] } }\n",
             true);
    rig_turns(&rig, 40);
    rig_status(&rig, &status);
    assert_int_equal(fate_of(&status, rig.topology, "out", SL_LIVE), RECORDS);
    assert_int_equal(fate_of(&status, rig.topology, "out", SL_DELIVERED), 9);
    assert_int_equal(fate_of(&status, rig.topology, "out", SL_FILTERED), 1);
    assert_int_equal(script.plain.count, 9); /* 0, 1, 2 by their level, 4 to 9 by their number */
    assert_string_equal(script.plain.bodies[3], script.records[4]);
    sl_slot_status_fini(&status);
    rig_close(&rig);
}

static void test_a_record_that_is_too_large_holds_nothing_up(void **state)
{
    struct sl_slot_status status;
    struct rig rig;

    (void)state;
    script.large = 4;
    rig_open(&rig, BOTH, true);
    rig_turns(&rig, 60);
    rig_status(&rig, &status);
    assert_int_equal(status.partitions[0].committed, RECORDS);
    assert_int_equal(script.plain.count, RECORDS - 1);
    assert_int_equal(script.dead.count, 1);
    assert_non_null(strstr(script.dead.bodies[0], "larger than max_record"));
    assert_int_equal(fate_of(&status, rig.topology, "zone", SL_DEAD), 1);
    sl_slot_status_fini(&status);
    rig_close(&rig);
}

static uint64_t derived_of(const struct sl_slot_status *status)
{
    struct sl_ledger_row sum;

    sl_ledger_sum(&status->ledger, UINT32_MAX, &sum);
    return sum.derived;
}

static void test_derived_records_go_with_their_record(void **state)
{
    struct sl_slot_status status;
    struct rig rig;

    (void)state;
    script.fail_submit = 2;
    script.fail_prepare = 1;
    rig_open(&rig, "operators: { twice: { type: twice, inputs: [in] } }\n"
                   "sinks:\n  out: { type: plain, inputs: [twice] }\n  zone: { type: flushed, inputs: [twice] }\n", true);
    rig_turns(&rig, 100);
    assert_int_equal(sl_slot_state(rig.slot), SL_SLOT_ENDED);
    rig_status(&rig, &status);
    assert_int_equal(status.partitions[0].committed, RECORDS);
    assert_int_equal(fate_of(&status, rig.topology, "zone", SL_LIVE), 2 * RECORDS);
    assert_int_equal(fate_of(&status, rig.topology, "zone", SL_DELIVERED), 2 * RECORDS);
    assert_int_equal(derived_of(&status), 2 * RECORDS); /* at both sinks */
    assert_int_equal(script.plain.count, 2 * RECORDS);
    assert_int_equal(script.flushed.committed, 2 * RECORDS);
    for (uint32_t i = 0; i < RECORDS; i++) {
        assert_string_equal(script.flushed.bodies[2 * i], script.records[i]);
        assert_string_equal(script.flushed.bodies[2 * i + 1], "{\"twin\":true}");
        assert_string_equal(script.plain.bodies[2 * i], script.records[i]);
    }
    sl_slot_status_fini(&status);
    rig_close(&rig);
}

/* One sink has done five records, the other four: the batch of the fifth and sixth is read again, and cut between records. */
static void test_a_restart_skips_derived_records_with_theirs(void **state)
{
    struct rig rig;

    (void)state;
    script.count = 4;
    rig_open(&rig, "operators: { twice: { type: twice, inputs: [in] } }\n"
                   "sinks:\n  out: { type: plain, inputs: [twice] }\n  zone: { type: flushed, inputs: [twice] }\n", true);
    rig_turns(&rig, 40);
    rig.slot = sl_slot_free(rig.slot);
    script.count = 5;
    script.fail_from = 4;
    rig_start(&rig, false);
    rig_turns(&rig, 40);
    rig.slot = sl_slot_free(rig.slot);
    assert_int_equal(script.plain.count, 2 * 5);
    assert_int_equal(script.flushed.committed, 2 * 4);
    script.count = RECORDS;
    script.fail_from = 0;
    rig_start(&rig, true);
    rig_turns(&rig, 40);
    assert_int_equal(script.plain.count, 2 * RECORDS);
    assert_int_equal(script.flushed.committed, 2 * RECORDS);
    for (uint32_t i = 0; i < RECORDS; i++) {
        assert_string_equal(script.plain.bodies[2 * i], script.records[i]);
        assert_string_equal(script.flushed.bodies[2 * i], script.records[i]);
    }
    rig_close(&rig);
}

static void test_letters_of_derived_records_name_record_and_ordinal(void **state)
{
    struct sl_slot_status status;
    struct rig rig;

    (void)state;
    rig_open(&rig, "operators: { twice: { type: twice, inputs: [in] }, aside: { type: aside, inputs: [twice] } }\n"
                   "sinks: { out: { type: plain, inputs: [aside] } }\n", true);
    rig_turns(&rig, 60);
    rig_status(&rig, &status);
    assert_int_equal(script.plain.count, RECORDS);
    assert_int_equal(script.dead.committed, RECORDS);
    assert_int_equal(fate_of(&status, rig.topology, "out", SL_DEAD), RECORDS);
    assert_non_null(strstr(script.dead.bodies[2], "\"reason\":\"a twin, set aside\""));
    assert_non_null(strstr(script.dead.bodies[3], "\"reason\":\"by the table's words\""));
    assert_non_null(strstr(script.dead.bodies[3], "\"offset\":3,\"sub\":1,"));
    assert_non_null(strstr(script.dead.bodies[3], "\"raw\":\"{\\\"twin\\\":true}\""));
    sl_slot_status_fini(&status);
    rig_close(&rig);
}

/* The second way's bodies have line breaks, the first way's not: whoever writes lines is told. */
static void test_a_way_whose_bodies_break_lines_is_told(void **state)
{
    struct rig rig;

    (void)state;
    rig_open(&rig, "operators:\n  odd: { type: odd, inputs: [in] }\n  lines: { type: lines, inputs: [in] }\n"
                   "sinks: { out: { type: plain, inputs: [odd, lines] } }\n", true);
    rig_turns(&rig, 40);
    assert_int_equal(script.plain.count, RECORDS);
    assert_non_null(strchr(script.plain.bodies[0], '\n'));
    assert_string_equal(script.plain.bodies[1], script.records[1]);
    rig_close(&rig);
}

static void test_parse_reads_what_a_stage_before_it_wrote(void **state)
{
    struct sl_slot_status status;
    struct rig rig;

    (void)state;
    rig_open(&rig, "operators:\n  lines: { type: lines, inputs: [in] }\n  parsed: { type: parse, inputs: [lines] }\n"
                   "  fatal: { type: filter, inputs: [parsed], where: { level: fatal } }\n"
                   "sinks: { out: { type: plain, inputs: [fatal, in] } }\n", true);
    rig_turns(&rig, 40);
    rig_status(&rig, &status);
    assert_int_equal(fate_of(&status, rig.topology, "out", SL_DELIVERED), RECORDS);
    for (uint32_t i = 0; i < RECORDS; i++) /* the first way has them all: none was filtered */
        assert_non_null(strstr(script.plain.bodies[i], "fatal"));
    sl_slot_status_fini(&status);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_a_refused_record_holds_the_mark_until_its_letter_is_durable, script_reset),
        cmocka_unit_test_setup(test_a_letter_lost_in_a_crash_is_written_again, script_reset),
        cmocka_unit_test_setup(test_a_refused_record_may_be_dropped_instead, script_reset),
        cmocka_unit_test_setup(test_a_drain_waits_for_the_letters_of_refused_records, script_reset),
        cmocka_unit_test_setup(test_a_failed_sink_is_read_again_and_no_other, script_reset),
        cmocka_unit_test_setup(test_a_failed_fsync_is_read_again_from_the_mark, script_reset),
        cmocka_unit_test_setup(test_a_restart_skips_what_each_sink_has_done, script_reset),
        cmocka_unit_test_setup(test_several_ways_to_a_sink_deliver_once, script_reset),
        cmocka_unit_test_setup(test_a_record_that_is_too_large_holds_nothing_up, script_reset),
        cmocka_unit_test_setup(test_derived_records_go_with_their_record, script_reset),
        cmocka_unit_test_setup(test_a_way_whose_bodies_break_lines_is_told, script_reset),
        cmocka_unit_test_setup(test_parse_reads_what_a_stage_before_it_wrote, script_reset),
        cmocka_unit_test_setup(test_a_restart_skips_derived_records_with_theirs, script_reset),
        cmocka_unit_test_setup(test_letters_of_derived_records_name_record_and_ordinal, script_reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
