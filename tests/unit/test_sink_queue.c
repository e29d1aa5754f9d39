/* test_sink_queue.c: a sink with when_full: spool that does not answer, beside one that does: who waits for whom, what lies on disk,
 * what the next start delivers and in which order. A slot over a scripted source, a modelled disk, the real spool driven by hand.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "operators/stages/stages.h"
#include "runtime/cli/pages.h"
#include "runtime/config/topology.h"
#include "runtime/engine/drive.h"
#include "runtime/engine/slot.h"
#include "runtime/engine/slot/queue_codec.h"
#include "runtime/store/commit_log.h"
#include "runtime/store/spool.h"
#include "tests/support/disk.h"

enum { HELD = 100000, PAD_BYTES = 400 };

enum mood { WELL, MUTE, FULL, FAILS, STOPS };

static struct {
    uint32_t count, given;       /* records of the source; how many it gave */
    enum mood mood;              /* of the sick sink */
    struct sl_ref held[HELD];    /* what the sick sink has not answered */
    uint32_t held_count;
    uint32_t got[HELD], got_count; /* record numbers, as they came to the sick sink */
    uint32_t well_count;         /* at the healthy one */
    uint32_t again;              /* so many refs are answered "again" */
    uint32_t room;               /* it takes so many, 0: all */
    uint32_t owner;              /* slot that reads the source */
    char said[4096];
    uint64_t now_ns;
    struct sl_job *jobs, **jobs_last;
} script;

/* ---- source: records {"n":17,"service":"s1",…}, ten a batch ---- */

struct source {
    struct sl_partition *partition;
};

static int source_open(void *self, const struct sl_api *api, const void *config, struct sl_slot *slot, struct sl_err *err)
{
    struct source *source = self;

    (void)config;
    if (api->slot != script.owner)
        return 0;
    if (sl_slot_assign(slot, self, "script", "0", 0, NULL, 0, 0, NULL, &source->partition, NULL, err) != 0)
        return -(int)err->code;
    script.given = (uint32_t)source->partition->next;
    return 0;
}

static int source_poll(void *self, struct sl_batch *batch, struct sl_err *err)
{
    struct source *source = self;
    uint32_t count = script.count - script.given < 10 ? script.count - script.given : 10;

    (void)err;
    if (source->partition == NULL || count == 0)
        return 0;
    batch->raw = sl_arena_alloc(batch->arena, count * sizeof(*batch->raw));
    batch->offset = sl_arena_alloc(batch->arena, count * sizeof(*batch->offset));
    batch->append_unix_ms = sl_arena_alloc(batch->arena, count * sizeof(*batch->append_unix_ms));
    batch->key = sl_arena_alloc(batch->arena, count * sizeof(*batch->key));
    for (uint32_t i = 0; i < count; i++) {
        char text[PAD_BYTES + 128];
        int bytes = snprintf(text, sizeof(text), "{\"n\":%u,\"service\":\"s%u\",\"level\":\"warn\",\"pad\":\"%0*d\"}", script.given + i,
                             (script.given + i) % 3, PAD_BYTES, 0);
        batch->raw[i] = sl_arena_copy(batch->arena, (struct sl_slice){text, (uint32_t)bytes});
        batch->offset[i] = script.given + i;
        batch->append_unix_ms[i] = 1700000000000 + script.given + i;
        bytes = snprintf(text, sizeof(text), "key%u", script.given + i);
        batch->key[i] = sl_arena_copy(batch->arena, (struct sl_slice){text, (uint32_t)bytes});
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
            NULL, NULL, NULL                                                                                                     \
    }

static const struct sl_source_kind source_kind = {.head = HEAD(sl_source_kind, "script", source), .open = source_open,
                                                  .poll = source_poll, .release = source_release, .seek = source_seek,
                                                  .at_end = source_at_end, .close = any_close};

/* ---- sinks ---- */

struct sink {
    struct sl_slot *slot;
    int column; /* of the field n */
};

static int sink_open(void *self, const struct sl_api *api, const void *config, struct sl_names *names, struct sl_slot *slot,
                     struct sl_err *err)
{
    struct sink *sink = self;
    struct sl_name name;

    (void)api;
    (void)config;
    sink->slot = slot;
    if (sl_name_parse("n", &name, err) != 0)
        return -(int)err->code;
    sink->column = names->column(names, &name, err);
    sl_name_fini(&name);
    return sink->column < 0 ? -(int)err->code : 0;
}

static int well_submit(void *self, const struct sl_parcel *parcel, struct sl_err *err)
{
    struct sink *sink = self;

    (void)err;
    script.well_count += parcel->count;
    for (uint32_t i = 0; i < parcel->count; i++)
        sl_slot_done(sink->slot, self, &parcel->items[i].ref, 1, SL_ACK, NULL);
    return 0;
}

/* What the sink was given is what the source gave, all that may be asked of it included. */
static uint32_t sick_number(const struct sink *sink, const struct sl_parcel *parcel, uint32_t i)
{
    const struct sl_item *item = &parcel->items[i];
    const struct sl_view *view = parcel->view;
    const struct sl_column *column = &view->decoded->columns[sink->column];
    char text[PAD_BYTES + 128], key[32];
    uint32_t n = (uint32_t)view->batch->offset[item->row];

    (void)snprintf(text, sizeof(text), "{\"n\":%u,\"service\":\"s%u\",\"level\":\"warn\",\"pad\":\"%0*d\"}", n, n % 3, PAD_BYTES, 0);
    (void)snprintf(key, sizeof(key), "key%u", n);
    assert_true(sl_slice_is(item->body, text));
    assert_true(sl_slice_is(view->batch->key[item->row], key));
    assert_int_equal(view->batch->append_unix_ms[item->row], 1700000000000 + n);
    assert_int_equal(view->decoded->level[item->row], SL_LEVEL_WARN);
    assert_string_equal(view->batch->partition->topic, "script");
    assert_int_equal(column->type[item->row], SL_T_NUMBER);
    (void)snprintf(text, sizeof(text), "%u", n);
    assert_true(sl_slice_is(column->value[item->row], text));
    return n;
}

static uint64_t sick_credit(void *self)
{
    (void)self;
    if (script.room > 0 && script.got_count >= script.room)
        return 0;
    return script.mood == FULL || script.held_count > 50 ? 0 : 1 << 20;
}

static int sick_submit(void *self, const struct sl_parcel *parcel, struct sl_err *err)
{
    struct sink *sink = self;

    if (script.mood == FAILS || script.mood == STOPS) {
        script.held_count = 0;
        return sl_fail(err, SL_E_BROKER, script.mood == STOPS ? SL_REMEDY_HALT : SL_REMEDY_RETRY, 0, "no such index");
    }
    for (uint32_t i = 0; i < parcel->count; i++) {
        script.got[script.got_count++] = sick_number(sink, parcel, i);
        assert_true(script.got_count < HELD);
        if (script.mood == MUTE)
            script.held[script.held_count++] = parcel->items[i].ref;
        else if (script.again > 0 && script.again--)
            sl_slot_done(sink->slot, self, &parcel->items[i].ref, 1, SL_RETRY, &(struct sl_err){.text = "not now"});
        else
            sl_slot_done(sink->slot, self, &parcel->items[i].ref, 1, SL_ACK, NULL);
    }
    return 0;
}

static int sick_turn(void *self, uint64_t now_ns, uint64_t *ret_wake_ns, struct sl_err *err)
{
    struct sink *sink = self;

    (void)now_ns;
    (void)ret_wake_ns;
    (void)err;
    if (script.mood != WELL)
        return 0;
    sl_slot_done(sink->slot, self, script.held, script.held_count, SL_ACK, NULL);
    script.held_count = 0;
    return 0;
}

static const struct sl_sink_kind well_kind = {.head = HEAD(sl_sink_kind, "well", sink), .open = sink_open, .submit = well_submit,
                                              .close = any_close};
static const struct sl_sink_kind sick_kind = {.head = HEAD(sl_sink_kind, "sick", sink), .open = sink_open, .credit = sick_credit,
                                              .submit = sick_submit, .turn = sick_turn, .close = any_close};

static const struct sl_source_kind *const sources[] = {&source_kind, NULL};
static const struct sl_op_kind *const operators[] = {&sl_op_parse, NULL};
static const struct sl_sink_kind *const sinks[] = {&well_kind, &sick_kind, NULL};
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
    return 1700000000000 + (int64_t)(script.now_ns / 1000000);
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

static void env_log(void *user, const char *topology, const struct sl_err *err, const char *what)
{
    size_t at = strlen(script.said);

    (void)user;
    (void)topology;
    (void)what;
    (void)snprintf(script.said + at, sizeof(script.said) - at, "%s\n", err->text);
}

struct rig {
    struct sl_disk *disk;
    struct sl_topology *topology;
    struct sl_commit_log *log;
    struct sl_spool *spool;
    struct sl_slot *slots[2];
    struct sl_shared shared;
    uint64_t numbers;
};

static struct sl_topology *rig_topology(const char *sick)
{
    char path[] = "/tmp/sluice-queue-XXXXXX", text[2048];
    struct sl_topology *topology;
    struct sl_diags diags;
    int fd = mkstemp(path);
    int bytes = snprintf(text, sizeof(text),
                         "name: t\nsources: { in: { type: script } }\noperators: { parsed: { type: parse, inputs: [in], format: json } }\n"
                         "sinks:\n  well: { type: well, inputs: [parsed] }\n%s\ndead_letters: { type: well }\n",
                         sick);

    assert_int_equal(write(fd, text, (size_t)bytes), bytes);
    (void)close(fd);
    sl_diags_init(&diags);
    if (sl_topology_load(path, &registry, NULL, &diags, &topology) != 0)
        fail_msg("%u: %s", diags.items[0].line, diags.items[0].text);
    sl_diags_fini(&diags);
    (void)unlink(path);
    return topology;
}

/* A start of the process, with the topology's `sick` line as it is now. */
static void rig_start(struct rig *rig, const char *sick, uint32_t slots, bool once)
{
    struct sl_env env = {.fs = sl_disk_fs(rig->disk), .now_ns = env_now, .unix_ms = env_unix, .random = env_random,
                         .submit = env_submit, .wake = env_wake, .log = env_log};
    struct sl_spool_settings settings = {.segment_bytes = 1 << 20, .append_queue_bytes = 64 << 20, .unix_ms = env_unix,
                                         .now_ns = env_now, .no_thread = true};
    struct sl_err err = {0};

    rig->topology = rig_topology(sick);
    if (sl_commit_log_open(sl_disk_fs(rig->disk), "/commit.log", &rig->log, &err) != 0 ||
        sl_spool_open(sl_disk_fs(rig->disk), "/spool", &settings, &rig->spool, &err) != 0)
        fail_msg("%s", err.text);
    rig->shared = (struct sl_shared){.topology = rig->topology, .node = "n", .data_dir = "/", .epoch = 1, .slots = slots,
                                     .memory_bytes = 64 << 20, .max_record_bytes = 1 << 20, .commit_log = rig->log,
                                     .spool = rig->spool, .flush_number = &rig->numbers, .once = once};
    script.jobs_last = &script.jobs;
    for (uint32_t s = 0; s < slots; s++) {
        rig->slots[s] = sl_slot_new(&env, &rig->shared, s, &err);
        if (rig->slots[s] == NULL)
            fail_msg("%s", err.text);
    }
}

static void rig_stop(struct rig *rig)
{
    for (int s = 0; s < 2; s++)
        rig->slots[s] = sl_slot_free(rig->slots[s]);
    script.jobs = NULL;
    script.jobs_last = &script.jobs;
    script.held_count = 0;
    rig->spool = rig->spool != NULL ? sl_spool_close(rig->spool) : NULL;
    rig->log = rig->log != NULL ? sl_commit_log_close(rig->log) : NULL;
    rig->topology = sl_topology_free(rig->topology);
}

static void rig_open(struct rig *rig, const char *sick, bool once)
{
    memset(rig, 0, sizeof(*rig));
    rig->disk = sl_disk_new(1);
    rig_start(rig, sick, 1, once);
}

static void rig_kill(struct rig *rig)
{
    sl_disk_crash_after(rig->disk, 0);
    rig_stop(rig);
    sl_disk_restart(rig->disk, 1);
}

static void rig_close(struct rig *rig)
{
    rig_stop(rig);
    rig->disk = sl_disk_free(rig->disk);
}

static struct sl_slot_queue_status rig_queue(struct rig *rig, uint64_t *ret_committed)
{
    struct sl_slot_queue_status queue = {0};
    struct sl_slot_status status;

    assert_int_equal(sl_slot_status(rig->slots[0], &status), 0);
    assert_true(sl_pages_balanced(&status.ledger));
    if (status.queues_count == 1)
        queue = status.queues[0];
    if (ret_committed != NULL)
        *ret_committed = status.partitions_count == 1 ? status.partitions[0].committed : 0;
    sl_slot_status_fini(&status);
    return queue;
}

/* The account of the sick sink. */
static struct sl_ledger_row rig_account(struct rig *rig)
{
    struct sl_slot_status status;
    struct sl_ledger_row sum = {0};

    assert_int_equal(sl_slot_status(rig->slots[0], &status), 0);
    for (uint32_t c = 0; c < rig->topology->components_count; c++)
        if (strcmp(rig->topology->components[c].name, "sick") == 0)
            sl_ledger_sum(&status.ledger, c, &sum);
    sl_slot_status_fini(&status);
    return sum;
}

static void rig_turns(struct rig *rig, int turns)
{
    for (int i = 0; i < turns; i++) {
        for (uint32_t s = 0; s < rig->shared.slots; s++)
            (void)sl_slot_turn(rig->slots[s]);
        (void)sl_spool_write_turn(rig->spool);
        while (script.jobs != NULL) {
            struct sl_job *job = script.jobs;
            script.jobs = job->next;
            if (script.jobs == NULL)
                script.jobs_last = &script.jobs;
            job->run(job);
            job->done(job);
        }
        script.now_ns += 100000000ull;
    }
}

static int script_reset(void **state)
{
    (void)state;
    memset(&script, 0, sizeof(script));
    script.now_ns = 1000000000;
    script.jobs_last = &script.jobs;
    script.count = 2000;
    return 0;
}

/* All numbers below count, once each and in order. */
static void assert_all(uint32_t count)
{
    for (uint32_t i = 0; i < script.got_count; i++)
        if (script.got[i] != i)
            fail_msg("record %u came where %u was due", script.got[i], i);
    assert_int_equal(script.got_count, count);
}

static void assert_each(uint32_t count)
{
    bool *seen = calloc(count, sizeof(*seen));

    for (uint32_t i = 0; i < script.got_count; i++)
        seen[script.got[i]] = true;
    for (uint32_t n = 0; n < count; n++)
        if (!seen[n])
            fail_msg("record %u never came", n);
    free(seen);
}

#define SICK "  sick: { type: sick, inputs: [parsed], required: false }"
#define SICK_REQUIRED "  sick: { type: sick, inputs: [parsed], when_full: spool }"

/* ---- tests ---- */

static void test_a_mute_sink_holds_up_neither_the_others_nor_the_offsets(void **state)
{
    uint64_t committed;
    struct rig rig;

    (void)state;
    script.mood = MUTE;
    rig_open(&rig, SICK, false);
    rig_turns(&rig, 200);
    assert_int_equal(script.well_count, 2000);
    assert_true(rig_queue(&rig, &committed).records >= 1900);
    assert_int_equal(committed, 2000);
    assert_true(rig_queue(&rig, NULL).oldest_ms > 1000);
    assert_int_equal(rig_account(&rig).fates[SL_DELIVERED], 0);
    assert_int_equal(rig_account(&rig).fates[SL_DEFERRED], 2000);
    script.mood = WELL;
    rig_turns(&rig, 100);
    assert_int_equal(rig_account(&rig).fates[SL_LIVE], 2000);
    assert_int_equal(rig_account(&rig).fates[SL_DELIVERED], 2000);
    assert_int_equal(rig_account(&rig).returned, 2000);
    assert_all(2000);
    assert_int_equal(rig_queue(&rig, NULL).records, 0);
    rig_close(&rig);
}

static void test_what_it_never_answers_is_on_disk_too_before_long(void **state)
{
    struct sl_slot_queue_status queue;
    struct rig rig;

    (void)state;
    script.mood = MUTE;
    script.count = 20; /* it has room for all of them */
    rig_open(&rig, SICK, false);
    rig_turns(&rig, 20);
    queue = rig_queue(&rig, NULL);
    assert_int_equal(queue.records, 0);
    rig_turns(&rig, 200);
    queue = rig_queue(&rig, NULL);
    assert_int_equal(queue.records, 20);
    rig_kill(&rig);
    script.mood = WELL;
    script.got_count = 0;
    rig_start(&rig, SICK, 1, false);
    rig_turns(&rig, 50);
    assert_all(20); /* from the queue: its mark was committed */
    rig_close(&rig);
}

static void test_a_kill_loses_nothing_and_the_next_start_goes_on(void **state)
{
    struct rig rig;

    (void)state;
    script.mood = FULL;
    rig_open(&rig, SICK, false);
    rig_turns(&rig, 150);
    assert_int_equal(script.got_count, 0);
    script.mood = WELL;
    script.room = 300;
    rig_turns(&rig, 30); /* its position is durable within a second */
    assert_true(script.got_count >= 300 && script.got_count < 2000);
    rig_kill(&rig);
    script.room = 0;
    rig_start(&rig, SICK, 1, false);
    rig_turns(&rig, 100);
    assert_all(2000);
    rig_close(&rig);
}

static void test_a_required_sink_is_marked_only_once_it_has_it(void **state)
{
    uint64_t committed;
    struct rig rig;

    (void)state;
    script.mood = FULL;
    rig_open(&rig, SICK_REQUIRED, false);
    rig_turns(&rig, 150);
    assert_int_equal(script.well_count, 2000);
    assert_int_equal(rig_queue(&rig, &committed).records, 2000);
    assert_int_equal(committed, 0);
    rig_kill(&rig);
    rig_start(&rig, SICK_REQUIRED, 1, false);
    rig_turns(&rig, 150); /* all comes again from the source, and what was left is not delivered beside it */
    script.mood = WELL;
    rig_turns(&rig, 100);
    assert_all(2000);
    assert_int_equal(rig_queue(&rig, &committed).records, 0);
    assert_int_equal(committed, 2000);
    rig_close(&rig);
}

static void test_what_fails_comes_again_alone(void **state)
{
    struct rig rig;

    (void)state;
    script.again = 5;
    rig_open(&rig, SICK, false);
    rig_turns(&rig, 300);
    assert_int_equal(script.got_count, 2005);
    assert_int_equal(rig_account(&rig).fates[SL_LIVE], 2000);
    assert_int_equal(rig_account(&rig).fates[SL_DELIVERED], 2000);
    assert_int_equal(script.well_count, 2000); /* nothing was read again */
    assert_int_equal(rig_queue(&rig, NULL).records, 0);
    rig_close(&rig);
}

static void test_a_sink_that_stops_stops_alone(void **state)
{
    struct rig rig;

    (void)state;
    script.mood = STOPS;
    rig_open(&rig, SICK, true);
    rig_turns(&rig, 300);
    assert_int_equal(sl_slot_state(rig.slots[0]), SL_SLOT_ENDED); /* --once, too: its records wait for the next start */
    assert_int_equal(script.well_count, 2000);
    assert_int_equal(rig_queue(&rig, NULL).records, 2000);
    assert_non_null(strstr(rig_queue(&rig, NULL).dead, "no such index"));
    assert_non_null(strstr(script.said, "sink sick: no such index"));
    assert_non_null(strstr(script.said, "2000 records wait in the queue of sink sick for the next start"));
    rig_stop(&rig);
    script.mood = WELL;
    rig_start(&rig, SICK, 1, true);
    rig_turns(&rig, 100);
    assert_int_equal(sl_slot_state(rig.slots[0]), SL_SLOT_ENDED);
    assert_all(2000);
    rig_close(&rig);
}

static void test_once_waits_until_the_queue_is_empty(void **state)
{
    struct rig rig;

    (void)state;
    script.mood = FULL;
    rig_open(&rig, SICK, true);
    rig_turns(&rig, 150);
    assert_int_equal(sl_slot_state(rig.slots[0]), SL_SLOT_DRAINING);
    assert_non_null(strstr(sl_slot_waits_for(rig.slots[0]), "sink sick"));
    script.mood = WELL;
    rig_turns(&rig, 100);
    assert_int_equal(sl_slot_state(rig.slots[0]), SL_SLOT_ENDED);
    assert_all(2000);
    rig_close(&rig);
}

static void test_a_drain_leaves_the_queue_on_disk(void **state)
{
    struct rig rig;

    (void)state;
    script.mood = MUTE;
    rig_open(&rig, SICK, false);
    rig_turns(&rig, 150);
    sl_slot_drain(rig.slots[0]);
    rig_turns(&rig, 60);
    assert_int_equal(sl_slot_state(rig.slots[0]), SL_SLOT_ENDED);
    assert_non_null(strstr(script.said, "records wait in the queue of sink sick for the next start"));
    rig_stop(&rig);
    script.mood = WELL;
    script.got_count = 0;
    rig_start(&rig, SICK, 1, false);
    rig_turns(&rig, 100);
    assert_all(2000);
    rig_close(&rig);
}

static void test_a_full_queue_stops_reading_or_loses(void **state)
{
    struct sl_slot_queue_status queue;
    struct rig rig;

    (void)state;
    script.mood = FULL;
    script.count = 20000; /* about 10 MB */
    rig_open(&rig, "  sick: { type: sick, inputs: [parsed], required: false, queue: { bytes: 2MiB } }", false);
    rig_turns(&rig, 600);
    assert_true(script.well_count > 2000 && script.well_count < 20000);
    queue = rig_queue(&rig, NULL);
    assert_true(queue.bytes < 8 << 20); /* its bound, the memory window, one append */
    assert_int_equal(queue.lost, 0);
    assert_non_null(strstr(script.said, "reading waits"));
    script.mood = WELL;
    rig_turns(&rig, 600);
    assert_all(20000);
    rig_close(&rig);

    (void)script_reset(NULL);
    script.mood = FULL;
    script.count = 20000;
    rig_open(&rig, "  sick: { type: sick, inputs: [parsed], required: false, queue: { bytes: 2MiB, then: lose } }", false);
    rig_turns(&rig, 900);
    assert_int_equal(script.well_count, 20000);
    queue = rig_queue(&rig, NULL);
    assert_true(queue.lost > 0);
    assert_int_equal(queue.lost + queue.records, 20000);
    script.mood = WELL;
    rig_turns(&rig, 300);
    assert_int_equal(script.got_count, 20000 - queue.lost);
    rig_close(&rig);
}

static void test_what_has_waited_too_long_is_lost_where_that_is_wished(void **state)
{
    struct rig rig;

    (void)state;
    script.mood = FULL;
    script.count = 1000;
    rig_open(&rig, "  sick: { type: sick, inputs: [parsed], required: false, queue: { then: lose, age: 60s } }", false);
    rig_turns(&rig, 500); /* 50 s */
    script.count = 2000;
    rig_turns(&rig, 300);
    script.mood = WELL;
    rig_turns(&rig, 100);
    assert_int_equal(script.got_count, 1000);
    assert_int_equal(script.got[0], 1000);
    assert_int_equal(rig_queue(&rig, NULL).lost, 1000);
    assert_int_equal(rig_queue(&rig, NULL).records, 0);
    rig_close(&rig);
}

static void test_fewer_consumers_adopt_the_queues_of_those_gone(void **state)
{
    struct sl_spool_topic *topic;
    uint64_t records, bytes;
    struct rig rig;

    (void)state;
    script.mood = FULL;
    script.owner = 1;
    memset(&rig, 0, sizeof(rig));
    rig.disk = sl_disk_new(1);
    rig_start(&rig, SICK, 2, false);
    rig_turns(&rig, 150);
    assert_int_equal(sl_spool_topic(rig.spool, "@queue/t/sick", 1, &topic, NULL), 0);
    sl_spool_from(topic, 0, 0, &records, &bytes);
    assert_int_equal(records + bytes, 0);
    sl_spool_from(topic, 1, 0, &records, &bytes);
    assert_true(records == 2000 && bytes > 2000 * PAD_BYTES);
    rig_stop(&rig);
    script.mood = WELL;
    script.owner = 0;
    rig_start(&rig, SICK, 1, false);
    assert_int_equal(rig_queue(&rig, NULL).records, 2000);
    rig_turns(&rig, 100);
    assert_all(2000);
    rig_close(&rig);
}

struct damage {
    struct sl_fs *fs;
    uint32_t hurt;
};

static int damage_each(void *user, const char *name)
{
    struct damage *damage = user;
    char path[300];
    int fd;

    if (strstr(name, ".seg") == NULL)
        return 0;
    (void)snprintf(path, sizeof(path), "/spool/%%40queue%%2Ft%%2Fsick/%s", name);
    fd = damage->fs->open(damage->fs, path, O_RDWR, 0);
    assert_true(fd >= 0);
    assert_int_equal(damage->fs->pwrite(damage->fs, fd, "damage", 6, 300000), 6);
    (void)damage->fs->close(damage->fs, fd);
    damage->hurt++;
    return 0;
}

static void test_damage_on_the_disk_is_survived_and_a_required_sink_gets_all(void **state)
{
    static const char *const lines[] = {SICK, SICK_REQUIRED};

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct damage damage;
        struct rig rig;
        (void)script_reset(NULL);
        script.mood = FULL;
        rig_open(&rig, lines[i], false);
        rig_turns(&rig, 150);
        damage = (struct damage){.fs = sl_disk_fs(rig.disk)};
        assert_int_equal(damage.fs->list(damage.fs, "/spool/%40queue%2Ft%2Fsick", damage_each, &damage), 0);
        assert_true(damage.hurt > 0);
        script.mood = WELL;
        rig_turns(&rig, 300);
        assert_int_equal(rig_queue(&rig, NULL).records, 0);
        if (i == 1)
            assert_each(2000); /* those that were hurt came again from the source */
        else
            assert_true(script.got_count < 2000 && script.got_count > 1000 && script.got[script.got_count - 1] == 1999);
        rig_close(&rig);
    }
}

static void test_a_sink_that_is_gone_is_asked_for(void **state)
{
    struct rig rig;

    (void)state;
    script.mood = FULL;
    rig_open(&rig, SICK, false);
    rig_turns(&rig, 150);
    rig_stop(&rig);
    script.said[0] = '\0';
    rig_start(&rig, "  other: { type: well, inputs: [parsed] }", 1, false);
    rig_turns(&rig, 10);
    assert_non_null(strstr(script.said, "2000 records wait for sink sick"));
    rig_stop(&rig);
    script.mood = WELL;
    rig_start(&rig, SICK, 1, false);
    rig_turns(&rig, 100);
    assert_all(2000);
    rig_close(&rig);
}

/* Bytes that no disk gives back sound: each prefix, each byte turned. */
static void test_a_damaged_record_is_refused(void **state)
{
    struct sl_partition partition = {.source = "in", .topic = "script", .id = "0", .number = 0};
    uint64_t offset = 17;
    int64_t time = 5;
    struct sl_slice raw = {"{\"n\":1}", 7}, key = {"k", 1};
    struct sl_header header = {{"h", 1}, {"v", 1}}, *headers = &header;
    uint16_t headers_count = 1;
    struct sl_batch batch = {.partition = &partition, .count = 1, .raw = &raw, .offset = &offset, .append_unix_ms = &time, .key = &key,
                             .headers = &headers, .headers_count = &headers_count};
    struct sl_decoded decoded = {.time_unix_ms = &time};
    struct sl_view view = {.batch = &batch, .decoded = &decoded};
    struct sl_item item = {.body = raw};
    struct sl_queue_columns columns = {0};
    size_t bytes = sl_queue_row_bytes(&columns, &view, &item);
    char *text = malloc(bytes);
    struct sl_queue_row row;

    (void)state;
    assert_ptr_equal(sl_queue_row_put(&columns, &view, &item, true, text), text + bytes);
    assert_int_equal(sl_queue_row_get((struct sl_slice){text, (uint32_t)bytes}, &row), 0);
    assert_true(row.unmarked && row.offset == 17 && sl_slice_eq(row.body, raw) && sl_slice_eq(row.key, key));
    sl_queue_row_headers(&row, &header);
    assert_true(sl_slice_is(header.name, "h") && sl_slice_is(header.value, "v"));
    for (uint32_t cut = 0; cut < bytes - raw.bytes; cut++) {
        char *part = malloc(cut + 1);
        memcpy(part, text, cut);
        assert_int_equal(sl_queue_row_get((struct sl_slice){part, cut}, &row), -1);
        free(part);
    }
    for (uint32_t at = 0; at < bytes - raw.bytes; at++)
        for (int bit = 0; bit < 8; bit++) {
            text[at] = (char)(text[at] ^ 1 << bit);
            (void)sl_queue_row_get((struct sl_slice){text, (uint32_t)bytes}, &row); /* any answer, no crash */
            text[at] = (char)(text[at] ^ 1 << bit);
        }
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_a_mute_sink_holds_up_neither_the_others_nor_the_offsets, script_reset),
        cmocka_unit_test_setup(test_what_it_never_answers_is_on_disk_too_before_long, script_reset),
        cmocka_unit_test_setup(test_a_kill_loses_nothing_and_the_next_start_goes_on, script_reset),
        cmocka_unit_test_setup(test_a_required_sink_is_marked_only_once_it_has_it, script_reset),
        cmocka_unit_test_setup(test_what_fails_comes_again_alone, script_reset),
        cmocka_unit_test_setup(test_a_sink_that_stops_stops_alone, script_reset),
        cmocka_unit_test_setup(test_once_waits_until_the_queue_is_empty, script_reset),
        cmocka_unit_test_setup(test_a_drain_leaves_the_queue_on_disk, script_reset),
        cmocka_unit_test_setup(test_a_full_queue_stops_reading_or_loses, script_reset),
        cmocka_unit_test_setup(test_what_has_waited_too_long_is_lost_where_that_is_wished, script_reset),
        cmocka_unit_test_setup(test_fewer_consumers_adopt_the_queues_of_those_gone, script_reset),
        cmocka_unit_test_setup(test_damage_on_the_disk_is_survived_and_a_required_sink_gets_all, script_reset),
        cmocka_unit_test_setup(test_a_sink_that_is_gone_is_asked_for, script_reset),
        cmocka_unit_test(test_a_damaged_record_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
