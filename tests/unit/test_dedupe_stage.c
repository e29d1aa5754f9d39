/* test_dedupe_stage.c: what is dropped, for how long, and that reading again decides as before (rule H3).
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "tests/support/stage_json.h"

static struct stage_json json;

static int setup(void **state)
{
    (void)state;
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
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
