/* test_spool_source.c: the spool source: partitions over slots, starts, marks, holds, ends.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "operators/sources/sources.h"
#include "tests/support/fake_slot.c"
#include "tests/support/front_rig.h"

struct told {
    struct sl_spool_wait wait;
    pthread_mutex_t lock;
    pthread_cond_t change;
    int left;
};

static void told_done(struct sl_spool_wait *wait, int status, uint64_t first_offset, const struct sl_err *err)
{
    struct told *told = (struct told *)(void *)wait;

    (void)first_offset, (void)err;
    assert_int_equal(status, 0);
    (void)pthread_mutex_lock(&told->lock);
    told->left = 0;
    (void)pthread_cond_broadcast(&told->change);
    (void)pthread_mutex_unlock(&told->lock);
}

/* Appends one durable record. */
static void put(struct front_rig *rig, const char *topic_name, uint32_t partitions, uint32_t partition, const char *text,
                int64_t unix_ms)
{
    struct told told = {.wait.done = told_done, .left = 1};
    struct sl_spool_record record = {.payload = sl_slice_of(text), .append_unix_ms = unix_ms};
    struct sl_spool_topic *topic;

    (void)pthread_mutex_init(&told.lock, NULL);
    (void)pthread_cond_init(&told.change, NULL);
    assert_int_equal(sl_spool_topic(rig->spool, topic_name, partitions, &topic, NULL), 0);
    assert_int_equal(sl_spool_append(topic, partition, &record, 1, &told.wait, NULL), 0);
    (void)pthread_mutex_lock(&told.lock);
    while (told.left > 0)
        (void)pthread_cond_wait(&told.change, &told.lock);
    (void)pthread_mutex_unlock(&told.lock);
}

static const char *all(struct front_rig *rig)
{
    static char text[4096];
    size_t at = 0;

    while (rig_poll(rig) == 1)
        for (uint32_t i = 0; i < rig->batch.count; i++)
            at += (size_t)snprintf(text + at, sizeof(text) - at, "%.*s ", (int)rig->batch.raw[i].bytes, rig->batch.raw[i].data);
    text[at] = '\0';
    return text;
}

static void test_records_come_with_their_offsets_and_end(void **state)
{
    struct front_rig rig;
    int64_t records, ms;
    (void)state;
    rig_init(&rig, &sl_source_spool);
    rig_set_text(&rig, "topic", "a/b");
    put(&rig, "a/b", 2, 0, "p0r0", 1000);
    put(&rig, "a/b", 2, 0, "p0r1", 2000);
    put(&rig, "a/b", 2, 1, "p1r0", 3000);
    rig_open(&rig);
    assert_int_equal(rig.kind->at_end(rig.self), 0);
    assert_string_equal(all(&rig), "p0r0 p0r1 p1r0 ");
    assert_int_equal(rig.kind->at_end(rig.self), 1);
    rig.kind->lag(rig.self, &records, &ms);
    assert_int_equal(records, 0);
    assert_int_equal(ms, 0);
    assert_int_equal(rig.slot.partitions[0]->number, 0);
    assert_string_equal(rig.slot.partitions[1]->id, "1");
    assert_int_equal(rig.slot.partitions[0]->next, 2);
    rig_close(&rig);
    rig_fini(&rig);
}

static void test_partitions_are_divided_over_the_slots(void **state)
{
    struct front_rig rig;
    (void)state;
    rig_init(&rig, &sl_source_spool);
    rig_set_text(&rig, "topic", "t");
    for (uint32_t p = 0; p < 5; p++)
        put(&rig, "t", 5, p, (const char *[]){"p0", "p1", "p2", "p3", "p4"}[p], 0);
    rig.slot.api.slots = 2;
    rig.slot.api.slot = 1;
    rig_open(&rig);
    assert_string_equal(all(&rig), "p1 p3 ");
    rig_close(&rig);
    rig_fini(&rig);
}

static void test_starts_apply_where_there_is_no_mark(void **state)
{
    static const char *const want[] = {"r0 r1 r2 r3 ", "", "r2 r3 ", "r1 r2 r3 "};
    for (int start = 0; start < 4; start++) {
        struct front_rig rig;
        (void)state;
        rig_init(&rig, &sl_source_spool);
        rig_set_text(&rig, "topic", "t");
        rig_set(&rig, "start", &start, sizeof(start));
        if (start == 2)
            rig_set_u64(&rig, "timestamp", 2500);
        if (start == 3)
            rig_set_u64(&rig, "offset", 1);
        for (int i = 0; i < 4; i++)
            put(&rig, "t", 1, 0, (const char *[]){"r0", "r1", "r2", "r3"}[i], 1000 + 1000 * i);
        rig_open(&rig);
        assert_string_equal(all(&rig), want[start]);
        rig_close(&rig);
        put(&rig, "t", 1, 0, "later", 9000);
        rig_open(&rig); /* now the mark decides, or the start again where nothing was read */
        assert_string_equal(all(&rig), start == 1 ? "" : "later ");
        rig_close(&rig);
        rig_fini(&rig);
    }
}

static void test_a_partition_that_appears_is_read_from_its_beginning(void **state)
{
    struct front_rig rig;
    int latest = 1;
    (void)state;
    rig_init(&rig, &sl_source_spool);
    rig_set_text(&rig, "topic", "t");
    rig_set(&rig, "start", &latest, sizeof(latest));
    put(&rig, "t", 1, 0, "old", 0);
    rig_open(&rig);
    assert_string_equal(all(&rig), "");
    put(&rig, "t", 2, 1, "new", 0); /* rule A3 */
    assert_string_equal(all(&rig), "new ");
    rig_close(&rig);
    rig_fini(&rig);
}

static void test_durable_records_wake_the_slot(void **state)
{
    struct front_rig rig;
    (void)state;
    rig_init(&rig, &sl_source_spool);
    rig_set_text(&rig, "topic", "t");
    rig_open(&rig);
    assert_int_equal(rig_poll(&rig), 0);
    put(&rig, "t", 1, 0, "one", 0);
    rig_next(&rig);
    assert_int_equal(rig.batch.count, 1);
    rig_close(&rig);
    rig_fini(&rig);
}

static void test_a_seek_goes_back_and_fingerprints_disturb_nothing(void **state)
{
    struct front_rig rig;
    uint64_t hash = 0;
    (void)state;
    rig_init(&rig, &sl_source_spool);
    rig_set_text(&rig, "topic", "t");
    put(&rig, "t", 1, 0, "r0", 0);
    put(&rig, "t", 1, 0, "r1", 0);
    rig_open(&rig);
    assert_string_equal(all(&rig), "r0 r1 ");
    rig.slot.partitions[0]->next = 0;
    assert_int_equal(rig.kind->seek(rig.self, rig.slot.partitions[0], 0, NULL), 0);
    assert_int_equal(rig.kind->fingerprint(rig.self, rig.slot.partitions[0], 1, &hash), 1);
    assert_int_equal(hash, sl_record_hash(sl_slice_of("r1")));
    assert_int_equal(rig.kind->fingerprint(rig.self, rig.slot.partitions[0], 2, &hash), 0);
    assert_string_equal(all(&rig), "r0 r1 ");
    rig_close(&rig);
    rig_fini(&rig);
}

static void test_a_batch_that_was_not_taken_comes_again(void **state)
{
    struct front_rig rig;
    (void)state;
    rig_init(&rig, &sl_source_spool);
    rig_set_text(&rig, "topic", "t");
    put(&rig, "t", 1, 0, "r0", 0);
    rig_open(&rig);
    assert_string_equal(all(&rig), "r0 ");
    put(&rig, "t", 1, 0, "r1", 0);
    rig.slot.partitions[0]->next = 0; /* the engine did not take the first batch, and says nothing */
    assert_string_equal(all(&rig), "r0 r1 ");
    assert_int_equal(rig.slot.gaps, 0);
    rig_close(&rig);
    rig_fini(&rig);
}

static void test_another_record_at_the_mark_holds_the_partition(void **state)
{
    struct front_rig rig;
    (void)state;
    rig_init(&rig, &sl_source_spool);
    rig_set_text(&rig, "topic", "t");
    put(&rig, "t", 1, 0, "r0", 0);
    put(&rig, "t", 1, 0, "r1", 0);
    rig.slot.marks[rig.slot.marks_count++] =
        (struct fake_mark){.id = "0", .mark = {.next = 1, .last_offset = 0, .last_hash = 1234}};
    rig_open(&rig);
    assert_string_equal(all(&rig), ""); /* rule A1 */
    assert_int_equal(rig.slot.holds, 1);
    assert_non_null(strstr(rig.slot.held_why, "source changed"));
    rig_close(&rig);
    rig_fini(&rig);
}

static void test_a_mark_beyond_the_end_moves_the_next_offset_up_to_it(void **state)
{
    struct front_rig rig;
    (void)state;
    rig_init(&rig, &sl_source_spool);
    rig_set_text(&rig, "topic", "t");
    put(&rig, "t", 1, 0, "r0", 0);
    rig.slot.marks[rig.slot.marks_count++] =
        (struct fake_mark){.id = "0", .mark = {.next = 100, .last_offset = 99, .last_hash = 1}};
    rig_open(&rig);
    assert_string_equal(all(&rig), "");
    put(&rig, "t", 1, 0, "new", 0); /* rule F1: not at offset 1, which is behind the mark */
    assert_string_equal(all(&rig), "new ");
    assert_int_equal(rig.slot.partitions[0]->next, 101);
    assert_int_equal(rig.slot.holds, 0);
    rig_close(&rig);
    rig_fini(&rig);
}

static void test_commits_move_the_hold_on_the_clerk(void **state)
{
    struct front_rig rig;
    (void)state;
    rig_init(&rig, &sl_source_spool);
    rig_set_text(&rig, "topic", "t");
    put(&rig, "t", 2, 0, "r0", 0);
    put(&rig, "t", 2, 1, "r1", 0);
    rig_open(&rig);
    assert_string_equal(all(&rig), "r0 r1 ");
    rig.kind->committed(rig.self, rig.slot.partitions[0], 1);
    rig.kind->committed(rig.self, rig.slot.partitions[1], 1); /* while the first job is out: the next takes it */
    assert_non_null(rig.slot.jobs);
    assert_null(rig.slot.jobs->next);
    fake_slot_jobs(&rig.slot);
    assert_null(rig.slot.jobs);
    rig.kind->committed(rig.self, rig.slot.partitions[0], 1);
    rig_close(&rig); /* the job outlives the source */
    rig_fini(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_records_come_with_their_offsets_and_end),
        cmocka_unit_test(test_partitions_are_divided_over_the_slots),
        cmocka_unit_test(test_starts_apply_where_there_is_no_mark),
        cmocka_unit_test(test_a_partition_that_appears_is_read_from_its_beginning),
        cmocka_unit_test(test_durable_records_wake_the_slot),
        cmocka_unit_test(test_a_seek_goes_back_and_fingerprints_disturb_nothing),
        cmocka_unit_test(test_a_batch_that_was_not_taken_comes_again),
        cmocka_unit_test(test_another_record_at_the_mark_holds_the_partition),
        cmocka_unit_test(test_a_mark_beyond_the_end_moves_the_next_offset_up_to_it),
        cmocka_unit_test(test_commits_move_the_hold_on_the_clerk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
