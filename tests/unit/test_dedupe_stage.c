/* test_dedupe_stage.c: what is dropped, for how long, that reading again decides as before, and that the next generation knows what the
 * one before knew (rule H3).
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/support/stage_json.h"

static struct stage_json json;
static uint32_t submits; /* jobs of the stage that wait */

static int setup(void **state)
{
    (void)state;
    submits = 0;
    stage_json_init(&json);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    stage_json_fini(&json);
    return 0;
}

/* Which records of a batch live, as "x.x": the partition's next offsets. */
static const char *kept(const char *const *texts, uint32_t count)
{
    static char marks[64];

    stage_json_batch(&json, texts, count);
    stage_json_process(&json);
    for (uint32_t i = 0; i < count; i++)
        marks[i] = json.bench.view.fate[i] == SL_LIVE ? 'x' : json.bench.view.fate[i] == SL_FILTERED ? '.' : '?';
    marks[count] = '\0';
    return marks;
}

static void test_equal_keys_pass_once(void **state)
{
    static const char *const texts[] = {"{\"id\":1,\"u\":\"a\"}", "{\"id\":1,\"u\":\"a\",\"n\":2}", "{\"id\":\"1\",\"u\":\"a\"}", "{\"id\":1,\"u\":\"b\"}",
                                        "{\"u\":\"\\u0061\",\"id\":1}", "{\"u\":\"a\"}", "{\"u\":\"a\"}", "{\"id\":null,\"u\":\"a\"}"};
    (void)state;
    stage_json_open(&json, &sl_op_dedupe, "{ type: dedupe, inputs: [x], key: [id, u] }");
    assert_string_equal(kept(texts, 8), "x.xx.xxx");
    assert_int_equal(json.bench.counters[0], 2);
    assert_int_equal(json.bench.counters[1], 3); /* without a key */
    assert_string_equal(kept(texts, 2), "..");
}

static void test_values_do_not_run_together(void **state)
{
    static const char *const texts[] = {"{\"a\":\"xy\",\"b\":\"z\"}", "{\"a\":\"x\",\"b\":\"yz\"}", "{\"a\":\"xy\",\"b\":\"z\"}"};
    (void)state;
    stage_json_open(&json, &sl_op_dedupe, "{ type: dedupe, inputs: [x], key: [a, b] }");
    assert_string_equal(kept(texts, 3), "xx.");
}

static void test_without_a_key_the_whole_record_counts(void **state)
{
    static const char *const texts[] = {"{\"a\":1}", "{\"a\": 1}", "{\"a\":1}"};
    (void)state;
    stage_json_open(&json, &sl_op_dedupe, "{ type: dedupe, inputs: [x] }");
    assert_string_equal(kept(texts, 3), "xx.");
}

static void test_the_window_ends(void **state)
{
    static const char *const texts[] = {"{\"a\":1}"};
    (void)state;
    stage_json_open(&json, &sl_op_dedupe, "{ type: dedupe, inputs: [x], window: 10s }");
    assert_string_equal(kept(texts, 1), "x");
    json.bench.unix_ms += 10000;
    assert_string_equal(kept(texts, 1), ".");
    json.bench.unix_ms += 1;
    assert_string_equal(kept(texts, 1), "x"); /* counted from the first, and begins anew */
    json.bench.unix_ms += 10000;
    assert_string_equal(kept(texts, 1), ".");
}

static void test_what_is_read_again_is_decided_as_before(void **state)
{
    static const char *const texts[] = {"{\"a\":1}", "{\"a\":2}", "{\"a\":1}", "{\"a\":1}"};
    int64_t begin;
    (void)state;
    stage_json_open(&json, &sl_op_dedupe, "{ type: dedupe, inputs: [x], window: 10s }");
    begin = json.bench.unix_ms;
    assert_string_equal(kept(texts, 4), "xx..");
    json.bench.unix_ms += 20000;
    assert_string_equal(kept(texts, 2), "xx");
    json.bench.partition.next = 0; /* a sink failed: read again from the start */
    json.bench.unix_ms = begin;
    assert_string_equal(kept(texts, 4), "xx..");
    json.bench.unix_ms += 20000;
    assert_string_equal(kept(texts, 2), "xx");
    json.bench.partition.next = 2; /* and from the middle: the first is not known to be later */
    json.bench.unix_ms = begin;
    assert_string_equal(kept(texts + 2, 2), "x.");
}

static void test_partitions_do_not_meet(void **state)
{
    static const char *const texts[] = {"{\"a\":1}"};
    (void)state;
    stage_json_open(&json, &sl_op_dedupe, "{ type: dedupe, inputs: [x] }");
    assert_string_equal(kept(texts, 1), "x");
    (void)snprintf(json.bench.partition.id, sizeof(json.bench.partition.id), "1");
    assert_string_equal(kept(texts, 1), "x");
    json.bench.partition.incarnation++;
    assert_string_equal(kept(texts, 1), "x");
    (void)snprintf(json.bench.partition.id, sizeof(json.bench.partition.id), "0");
    json.bench.partition.incarnation--;
    assert_string_equal(kept(texts, 1), ".");
}

static void test_a_carried_origin_passes(void **state)
{
    static const char *const texts[] = {"{\"a\":1}", "{\"a\":1}"};
    struct sl_slice origins[2] = {sl_slice_of("logs/0/17"), sl_slice_of("logs/0/17")};
    (void)state;
    stage_json_open(&json, &sl_op_dedupe, "{ type: dedupe, inputs: [x] }");
    stage_json_batch(&json, texts, 2);
    json.bench.batch.origin = origins;
    stage_json_process(&json);
    assert_int_equal(json.bench.view.sel_count, 2);
    origins[0] = sl_slice_of("logs/0/18");
    stage_json_batch(&json, texts, 1);
    json.bench.batch.origin = origins;
    stage_json_process(&json);
    assert_int_equal(json.bench.view.sel_count, 0);
}

/* A plain model: what a table of few entries says, against a list. */
static void test_the_oldest_are_forgotten(void **state)
{
    enum { MOST = 7, RECORDS = 20000 };
    int64_t ring[MOST];
    uint32_t count = 0, evicted = 0;
    uint64_t seed = 7;
    (void)state;
    stage_json_open(&json, &sl_op_dedupe, "{ type: dedupe, inputs: [x], key: [id], max_entries: 7 }");
    for (int i = 0; i < RECORDS; i++) {
        char text[64];
        const char *texts[1] = {text};
        int64_t id;
        bool known = false;
        seed = seed * 6364136223846793005ull + 1442695040888963407ull;
        id = (int64_t)(seed >> 33) % 12;
        (void)snprintf(text, sizeof(text), "{\"id\":%lld}", (long long)id);
        for (uint32_t k = 0; k < count; k++)
            known = known || ring[k] == id;
        assert_string_equal(kept(texts, 1), known ? "." : "x");
        evicted += !known && count == MOST;
        assert_int_equal(json.bench.counters[2], !known && count == MOST);
        if (known)
            continue;
        if (count == MOST)
            memmove(ring, ring + 1, --count * sizeof(*ring));
        ring[count++] = id;
    }
    assert_true(evicted > 1000);
}

/* ---- generations ---- */

enum { INSTANCES = 3, SLICE = 4096 /* of the stage */, SUBMITS = 64 };

static _Alignas(16) char selves[INSTANCES][sizeof(json.stage)];
static struct sl_job *submitted[SUBMITS];

static void *instance(uint32_t number, const char *settings)
{
    void *self = selves[number];

    assert_int_equal(sl_op_dedupe.open(self, &json.bench.api, config_of(&sl_op_dedupe.head, settings), &json.bench.names, &json.err), 0);
    return self;
}

static void keep_job(void *env, struct sl_job *job)
{
    (void)env;
    assert_true(submits < SUBMITS);
    submitted[submits++] = job;
}

static void run_jobs(void)
{
    for (uint32_t i = 0; i < submits; i++) {
        submitted[i]->run(submitted[i]);
        submitted[i]->done(submitted[i]);
    }
    submits = 0;
}

/* As kept(), by any instance and without a new batch: the bench's is looked at as it came. */
static const char *decides(void *self, uint32_t count)
{
    static char marks[2][SL_BATCH_RECORDS + 1];
    static uint32_t turn;
    char *mark = marks[turn++ % 2];
    struct sl_view view;

    assert_int_equal(sl_view_branch(&view, &json.bench.view), 0);
    assert_int_equal(sl_op_dedupe.process(self, &view, &json.err), 0);
    for (uint32_t i = 0; i < count; i++)
        mark[i] = view.fate[i] == SL_LIVE ? 'x' : '.';
    mark[count] = '\0';
    return mark;
}

static const char *asked(void *self, const char *const *texts, uint32_t count)
{
    stage_json_batch(&json, texts, count);
    return decides(self, count);
}

/* A batch of records with ids first, first + step, ... */
static void batch_of_ids(uint64_t first, uint64_t step, uint32_t count)
{
    static char text[SL_BATCH_RECORDS][32];
    const char *texts[SL_BATCH_RECORDS];

    assert_true(count <= SL_BATCH_RECORDS);
    for (uint32_t i = 0; i < count; i++) {
        (void)snprintf(text[i], sizeof(text[i]), "{\"id\":%llu}", (unsigned long long)(first + i * step));
        texts[i] = text[i];
    }
    stage_json_batch(&json, texts, count);
}

static void feed_ids(void *self, uint64_t first, uint64_t count)
{
    for (uint64_t at = 0; at < count; at += SL_BATCH_RECORDS) {
        uint32_t part = (uint32_t)(count - at < SL_BATCH_RECORDS ? count - at : SL_BATCH_RECORDS);
        batch_of_ids(first + at, 1, part);
        (void)decides(self, part);
    }
}

/* How many of these ids are known; those that are not are afterwards. */
static uint32_t known_ids(void *self, uint64_t first, uint64_t step, uint32_t count)
{
    const char *mark;
    uint32_t known = 0;

    batch_of_ids(first, step, count);
    mark = decides(self, count);
    for (uint32_t i = 0; i < count; i++)
        known += mark[i] == '.';
    return known;
}

static int adopt(void *self, void *old, bool move)
{
    assert_true(sl_op_dedupe.state_version(self) == sl_op_dedupe.state_version(old));
    return sl_op_dedupe.adopt(self, old, move, &json.err);
}

/* The whole copy; returns how many calls it took. */
static uint32_t copy_all(void *self, void *old)
{
    uint32_t calls = 1;
    int rc;

    while ((rc = adopt(self, old, false)) == 1)
        calls++;
    assert_int_equal(rc, 0);
    return calls;
}

static void test_versions_are_equal_where_entries_mean_the_same(void **state)
{
    static const char *const other[] = {"{ type: dedupe, inputs: [x] }", "{ type: dedupe, inputs: [x], key: [u, id] }", "{ type: dedupe, inputs: [x], key: [id] }",
                                        "{ type: dedupe, inputs: [x], key: [id.u] }"};
    uint64_t version;
    void *self;
    (void)state;
    stage_json_open(&json, &sl_op_dedupe, "{ type: dedupe, inputs: [x], key: [id, u] }");
    version = sl_op_dedupe.state_version(json.stage);
    self = instance(0, "{ type: dedupe, inputs: [x], key: [id, u], window: 3s, max_entries: 9 }");
    assert_true(sl_op_dedupe.state_version(self) == version);
    sl_op_dedupe.close(self);
    for (size_t i = 0; i < sizeof(other) / sizeof(other[0]); i++) {
        self = instance(0, other[i]);
        assert_true(sl_op_dedupe.state_version(self) != version);
        sl_op_dedupe.close(self);
    }
}

static void test_the_next_generation_knows_what_the_last_one_knew(void **state)
{
    static const char *const texts[] = {"{\"a\":1}", "{\"a\":2}", "{\"a\":3}"};
    void *next, *back;
    (void)state;
    stage_json_open(&json, &sl_op_dedupe, "{ type: dedupe, inputs: [x], window: 10s }");
    assert_string_equal(kept(texts, 2), "xx");
    next = instance(0, "{ type: dedupe, inputs: [x], window: 20s }");
    assert_int_equal(adopt(next, json.stage, true), 0);
    assert_string_equal(asked(next, texts, 3), "..x");
    json.bench.unix_ms += 15000;
    assert_string_equal(asked(next, texts, 3), "..."); /* its own time counts */
    json.bench.partition.next = 0;
    json.bench.unix_ms -= 15000;
    assert_string_equal(asked(next, texts, 2), "xx"); /* read again: they meet themselves */
    back = instance(1, "{ type: dedupe, inputs: [x], window: 10s }");
    assert_int_equal(adopt(back, next, true), 0);
    sl_op_dedupe.close(next);
    json.bench.partition.next = 100;
    assert_string_equal(asked(back, texts, 3), "...");
    sl_op_dedupe.close(back);
}

static void test_a_copy_leaves_the_original_alone(void **state)
{
    static const char *const texts[] = {"{\"a\":1}", "{\"a\":2}", "{\"a\":3}"};
    void *copy;
    (void)state;
    stage_json_open(&json, &sl_op_dedupe, "{ type: dedupe, inputs: [x] }");
    assert_string_equal(kept(texts, 2), "xx");
    copy = instance(0, "{ type: dedupe, inputs: [x] }");
    assert_int_equal(copy_all(copy, json.stage), 1);
    assert_string_equal(asked(copy, texts, 3), "..x");
    assert_string_equal(kept(texts, 3), "..x"); /* what the copy has learned is its own */
    sl_op_dedupe.close(copy);
    assert_string_equal(kept(texts, 3), "...");
}

/* Slices behind a live one that goes on, over several windows' lengths, with few and with many free places. */
static void test_a_copy_made_by_slices_decides_as_the_original(void **state)
{
    enum { MOST = 3 * SLICE, ROUNDS = 40 };
    (void)state;
    stage_json_open(&json, &sl_op_dedupe, "{ type: dedupe, inputs: [x], key: [id], max_entries: 12288 }");
    for (int full = 0; full < 2; full++) {
        void *copy = instance(0, "{ type: dedupe, inputs: [x], key: [id], max_entries: 12288 }");
        uint32_t calls = 0, drops = 0;
        uint64_t seed = 3;
        feed_ids(json.stage, 1000000 * (uint64_t)full, full ? 2 * MOST : 2 * SLICE + 17);
        for (int rc = 1; rc == 1; calls++) { /* new records, and old ones, in between */
            rc = adopt(copy, json.stage, false);
            if (rc == 1)
                feed_ids(json.stage, 500000 + 1000000 * (uint64_t)full + 500 * calls, 1000);
        }
        assert_true(calls >= 3 && calls < 6);
        for (int round = 0; round < ROUNDS; round++) {
            const char *live, *other;
            seed = seed * 6364136223846793005ull + 1442695040888963407ull;
            batch_of_ids(1000000 * (uint64_t)full + (seed >> 33) % (3 * MOST), 3, SL_BATCH_RECORDS);
            live = decides(json.stage, SL_BATCH_RECORDS);
            other = decides(copy, SL_BATCH_RECORDS);
            assert_string_equal(live, other);
            for (uint32_t i = 0; i < SL_BATCH_RECORDS; i++)
                drops += live[i] == '.';
        }
        assert_true(drops > 1000 && drops < ROUNDS * SL_BATCH_RECORDS - 1000);
        sl_op_dedupe.close(copy);
    }
}

static void test_a_copy_begins_anew_when_something_is_read_again(void **state)
{
    uint64_t begin;
    void *copy;
    (void)state;
    stage_json_open(&json, &sl_op_dedupe, "{ type: dedupe, inputs: [x], key: [id] }");
    begin = json.bench.partition.next;
    feed_ids(json.stage, 0, 2 * SLICE);
    copy = instance(0, "{ type: dedupe, inputs: [x], key: [id] }");
    assert_int_equal(adopt(copy, json.stage, false), 1);
    json.bench.partition.next = begin + 100; /* id 0 comes with an offset below that of its entry's neighbours */
    feed_ids(json.stage, 150, 1);            /* its entry is of offset 150: now it is of 100 */
    assert_int_equal(adopt(copy, json.stage, false), 1);
    assert_int_equal(copy_all(copy, json.stage), 1);
    json.bench.partition.next = begin + 120;
    assert_int_equal(known_ids(copy, 150, 1, 1), 1);
    json.bench.partition.next = begin + 3 * SLICE;
    for (uint64_t at = 0; at < 2 * SLICE; at += SL_BATCH_RECORDS)
        assert_int_equal(known_ids(copy, at, 1, SL_BATCH_RECORDS), SL_BATCH_RECORDS);
    sl_op_dedupe.close(copy);
}

/* Another stage has more to copy: the original goes on meanwhile, and what it learns is asked for again. */
static void test_a_copy_that_is_complete_follows_until_it_is_fed(void **state)
{
    void *copy;
    (void)state;
    stage_json_open(&json, &sl_op_dedupe, "{ type: dedupe, inputs: [x], key: [id] }");
    feed_ids(json.stage, 0, 3 * SLICE);
    copy = instance(0, "{ type: dedupe, inputs: [x], key: [id] }");
    assert_int_equal(copy_all(copy, json.stage), 3);
    feed_ids(json.stage, 100000, 500);
    assert_int_equal(adopt(copy, json.stage, false), 0); /* only what is new */
    feed_ids(json.stage, 200000, 500);
    assert_int_equal(adopt(copy, json.stage, false), 0);
    assert_int_equal(known_ids(copy, 0, 3, SLICE), SLICE);
    assert_int_equal(known_ids(copy, 100000, 1, 500), 500);
    assert_int_equal(known_ids(copy, 200000, 1, 500), 500);
    assert_int_equal(known_ids(copy, 300000, 1, 10), 0);
    assert_int_equal(adopt(copy, json.stage, false), 1); /* it was fed: a copy from the start */
    (void)copy_all(copy, json.stage);
    json.bench.api.submit = keep_job;
    assert_int_equal(adopt(copy, json.stage, true), 0); /* promoted before it was fed again: the window itself, nothing to join */
    assert_int_equal(known_ids(copy, 300000, 1, 10), 0);
    assert_int_equal(known_ids(copy, 0, 3, SLICE), SLICE);
    assert_int_equal(submits, 0);
    sl_op_dedupe.close(copy);
}

/* The canary has seen a part of the records, the live one the others. */
static void test_promoting_a_canary_knows_both_sides(void **state)
{
    void *canary;
    (void)state;
    json.bench.api.submit = keep_job;
    stage_json_open(&json, &sl_op_dedupe, "{ type: dedupe, inputs: [x], key: [id] }");
    feed_ids(json.stage, 0, 3 * SLICE);
    canary = instance(0, "{ type: dedupe, inputs: [x], key: [id] }");
    assert_int_equal(copy_all(canary, json.stage), 3);
    feed_ids(canary, 100000, 2 * SLICE);
    feed_ids(json.stage, 200000, 2 * SLICE);
    assert_int_equal(adopt(canary, json.stage, true), 0);
    sl_op_dedupe.close(json.stage);
    for (uint64_t at = 0; at < 2 * SLICE; at += SL_BATCH_RECORDS) { /* known before, while and after the windows are joined */
        assert_int_equal(known_ids(canary, 200000 + at, 1, SL_BATCH_RECORDS), SL_BATCH_RECORDS);
        assert_int_equal(known_ids(canary, 100000 + at, 1, SL_BATCH_RECORDS), SL_BATCH_RECORDS);
        assert_int_equal(known_ids(canary, at, 1, SL_BATCH_RECORDS), SL_BATCH_RECORDS);
    }
    assert_int_equal(known_ids(canary, 300000, 1, 100), 0);
    assert_int_equal(submits, 1); /* the other window is given back on the clerk's thread */
    run_jobs();
    assert_int_equal(known_ids(canary, 200000, 5, 1600), 1600);
    sl_op_dedupe.close(canary);
}

static void test_promoting_a_full_canary_keeps_the_latest_of_both(void **state)
{
    void *canary;
    (void)state;
    stage_json_open(&json, &sl_op_dedupe, "{ type: dedupe, inputs: [x], key: [id], max_entries: 20000 }");
    feed_ids(json.stage, 0, 30000);
    canary = instance(0, "{ type: dedupe, inputs: [x], key: [id], max_entries: 20000 }");
    assert_int_equal(copy_all(canary, json.stage), 5);
    json.bench.unix_ms += 1000;
    feed_ids(canary, 100000, 2000);
    feed_ids(json.stage, 200000, 4000);
    assert_int_equal(adopt(canary, json.stage, true), 0);
    for (int turn = 0; turn < 4; turn++) {
        assert_int_equal(known_ids(canary, 200000, 1, 4000), 4000);
        assert_int_equal(known_ids(canary, 100000, 1, 2000), 2000);
        assert_int_equal(known_ids(canary, 27000, 1, 3000), 3000);
    }
    sl_op_dedupe.close(canary);
}

static void test_another_size_keeps_the_latest(void **state)
{
    void *small, *large;
    (void)state;
    stage_json_open(&json, &sl_op_dedupe, "{ type: dedupe, inputs: [x], key: [id], max_entries: 40000 }");
    feed_ids(json.stage, 0, 60000); /* 20000 to 59999 are left */
    small = instance(0, "{ type: dedupe, inputs: [x], key: [id], max_entries: 10000 }");
    assert_int_equal(adopt(small, json.stage, true), 0);
    assert_int_equal(known_ids(small, 50000, 10, 1000), 1000); /* one slice is in, the rest is asked where it lies */
    assert_int_equal(known_ids(small, 50000, 10, 1000), 1000);
    for (int turn = 0; turn < 6; turn++)
        batch_of_ids(59999, 1, 1), (void)decides(small, 1);
    large = instance(1, "{ type: dedupe, inputs: [x], key: [id], max_entries: 100000 }");
    assert_int_equal(adopt(large, small, true), 0);
    assert_int_equal(known_ids(large, 50000, 10, 1000), 1000);
    assert_int_equal(known_ids(large, 49000, 1, 1000), 0);
    sl_op_dedupe.close(small);
    feed_ids(large, 100000, 40000);
    assert_int_equal(known_ids(large, 50000, 10, 1000), 1000);
    assert_int_equal(known_ids(large, 100000, 10, 4000), 4000);
    sl_op_dedupe.close(large);
}

/* Swaps faster than windows are joined: three windows in a row, and a copy of that. */
static void test_swaps_in_a_row_lose_nothing(void **state)
{
    void *two, *three, *copy;
    (void)state;
    stage_json_open(&json, &sl_op_dedupe, "{ type: dedupe, inputs: [x], key: [id], max_entries: 60000 }");
    feed_ids(json.stage, 0, 20000);
    two = instance(0, "{ type: dedupe, inputs: [x], key: [id], max_entries: 70000 }");
    assert_int_equal(adopt(two, json.stage, true), 0);
    feed_ids(two, 100000, 100);
    three = instance(1, "{ type: dedupe, inputs: [x], key: [id], max_entries: 80000 }");
    assert_int_equal(adopt(three, two, true), 0);
    sl_op_dedupe.close(two);
    assert_int_equal(known_ids(three, 0, 5, 4000), 4000);
    copy = instance(2, "{ type: dedupe, inputs: [x], key: [id], max_entries: 80000 }");
    assert_true(copy_all(copy, three) > 3);
    assert_int_equal(known_ids(copy, 0, 5, 4000), 4000);
    assert_int_equal(known_ids(copy, 100000, 1, 100), 100);
    assert_int_equal(known_ids(three, 100000, 1, 100), 100);
    assert_int_equal(known_ids(three, 1, 5, 4000), 4000);
    sl_op_dedupe.close(copy);
    sl_op_dedupe.close(three);
}

static void test_what_finds_no_room_is_counted(void **state)
{
    void *next;
    (void)state;
    stage_json_open(&json, &sl_op_dedupe, "{ type: dedupe, inputs: [x], key: [id], window: 10s, max_entries: 1000 }");
    feed_ids(json.stage, 0, 300);
    json.bench.unix_ms += 60000;
    feed_ids(json.stage, 1000, 500);
    next = instance(0, "{ type: dedupe, inputs: [x], key: [id], window: 10s, max_entries: 100 }");
    assert_int_equal(adopt(next, json.stage, true), 0);
    batch_of_ids(1499, 1, 1);
    assert_string_equal(decides(next, 1), ".");
    assert_int_equal(json.bench.counters[2], 400); /* of the last 500; the 300 before are too old to count */
    sl_op_dedupe.close(next);
}

static void test_settings_that_make_no_sense_are_refused(void **state)
{
    void *config;
    (void)state;
    assert_true(config_check(&sl_op_dedupe.head, "{ type: dedupe, inputs: [x], key: [id, id] }", &json.err) < 0);
    assert_string_equal(json.err.text, "key: id is named twice; once is enough");
    assert_true(config_check(&sl_op_dedupe.head, "{ type: dedupe, inputs: [x], key: [\"@time\"] }", &json.err) < 0);
    assert_true(config_check(&sl_op_dedupe.head, "{ type: dedupe, inputs: [x], key: [\"a..b\"] }", &json.err) < 0);
    stage_json_open(&json, &sl_op_dedupe, "{ type: dedupe, inputs: [x] }");
    config = config_of(&sl_op_dedupe.head, "{ type: dedupe, inputs: [x], max_entries: 1000000000 }");
    sl_op_dedupe.close(json.stage);
    assert_true(sl_op_dedupe.open(json.stage, &json.bench.api, config, &json.bench.names, &json.err) < 0);
    assert_non_null(strstr(json.err.text, "this stage's share holds"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_equal_keys_pass_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_values_do_not_run_together, setup, teardown),
        cmocka_unit_test_setup_teardown(test_without_a_key_the_whole_record_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_window_ends, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_read_again_is_decided_as_before, setup, teardown),
        cmocka_unit_test_setup_teardown(test_partitions_do_not_meet, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_carried_origin_passes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_oldest_are_forgotten, setup, teardown),
        cmocka_unit_test_setup_teardown(test_settings_that_make_no_sense_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_versions_are_equal_where_entries_mean_the_same, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_next_generation_knows_what_the_last_one_knew, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_copy_leaves_the_original_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_copy_made_by_slices_decides_as_the_original, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_copy_begins_anew_when_something_is_read_again, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_copy_that_is_complete_follows_until_it_is_fed, setup, teardown),
        cmocka_unit_test_setup_teardown(test_promoting_a_canary_knows_both_sides, setup, teardown),
        cmocka_unit_test_setup_teardown(test_promoting_a_full_canary_keeps_the_latest_of_both, setup, teardown),
        cmocka_unit_test_setup_teardown(test_another_size_keeps_the_latest, setup, teardown),
        cmocka_unit_test_setup_teardown(test_swaps_in_a_row_lose_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_finds_no_room_is_counted, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
