/* test_spool.c: what is appended comes back, in order and whole; groups, rolls, holds, times, several topics.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "runtime/store/spool.h"
#include "tests/support/disk.h"

struct fixture {
    struct sl_disk *disk;
    struct sl_spool *spool;
    struct sl_spool_settings settings;
    struct sl_err err;
    uint64_t now_ns;
    int64_t unix_ms;
};

static int64_t fixture_unix_ms(void *env)
{
    return ((struct fixture *)env)->unix_ms;
}

static uint64_t fixture_now_ns(void *env)
{
    return ((struct fixture *)env)->now_ns;
}

static int fixture_open(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    f->disk = sl_disk_new(1);
    f->now_ns = SL_NS_PER_S;
    f->unix_ms = 1700000000000;
    f->settings = (struct sl_spool_settings){.segment_bytes = 16 << 10, .hold_bytes = 0, .fsync = SL_SPOOL_EACH,
                                             .append_queue_bytes = 1 << 20, .unix_ms = fixture_unix_ms, .now_ns = fixture_now_ns,
                                             .env = f, .no_thread = true};
    assert_int_equal(sl_spool_open(sl_disk_fs(f->disk), "/spool", &f->settings, &f->spool, &f->err), 0);
    *state = f;
    return 0;
}

static int fixture_close(void **state)
{
    struct fixture *f = *state;
    (void)sl_spool_close(f->spool);
    (void)sl_disk_free(f->disk);
    free(f);
    return 0;
}

static void fixture_reopen(struct fixture *f)
{
    f->spool = sl_spool_close(f->spool);
    assert_int_equal(sl_spool_open(sl_disk_fs(f->disk), "/spool", &f->settings, &f->spool, &f->err), 0);
}

struct answer {
    struct sl_spool_wait wait;
    int told, status;
    uint64_t first;
};

static void answer_done(struct sl_spool_wait *wait, int status, uint64_t first_offset, const struct sl_err *err)
{
    struct answer *answer = (struct answer *)wait;
    (void)err;
    answer->told++;
    answer->status = status;
    answer->first = first_offset;
}

static struct sl_slice numbered(char *text, size_t room, unsigned number)
{
    (void)snprintf(text, room, "record %u of a test, with some more text behind it", number);
    return sl_slice_of(text);
}

/* Appends `count` numbered records from `number` in one batch and makes them durable. */
static uint64_t put(struct fixture *f, struct sl_spool_topic *topic, uint32_t partition, unsigned number, uint32_t count)
{
    struct sl_spool_record *records = calloc(count, sizeof(*records));
    char (*texts)[80] = calloc(count, sizeof(*texts));
    struct answer answer = {.wait = {.done = answer_done}};
    for (uint32_t i = 0; i < count; i++)
        records[i].payload = numbered(texts[i], sizeof(texts[i]), number + i);
    assert_int_equal(sl_spool_append(topic, partition, records, count, &answer.wait, &f->err), 0);
    (void)sl_spool_write_turn(f->spool);
    assert_int_equal(answer.told, 1);
    assert_int_equal(answer.status, 0);
    free(records);
    free(texts);
    return answer.first;
}

/* Reads from `from` to the end; record at offset o must be number o + shift. Returns how many came. */
static uint32_t get(struct sl_spool_topic *topic, uint32_t partition, uint64_t from, unsigned shift)
{
    struct sl_spool_reader *reader;
    struct sl_arena arena;
    struct sl_batch batch = {.arena = &arena};
    struct sl_err err;
    uint32_t count = 0;
    uint64_t position = from;

    assert_int_equal(sl_arena_init(&arena, 4 << 20, 64 << 20), 0);
    assert_int_equal(sl_spool_reader_open(topic, partition, NULL, NULL, &reader, &err), 0);
    assert_int_equal(sl_spool_seek(reader, from, &err), 0);
    while (sl_spool_read(reader, &batch, &err) == 1) {
        assert_int_equal(batch.first, position);
        for (uint32_t i = 0; i < batch.count; i++) {
            char text[80];
            assert_true(batch.offset[i] >= batch.first && batch.offset[i] < batch.next);
            assert_true(sl_slice_eq(batch.raw[i], numbered(text, sizeof(text), (unsigned)batch.offset[i] + shift)));
        }
        assert_true(batch.count > 0 && batch.count <= SL_BATCH_RECORDS);
        position = batch.next;
        count += batch.count;
        sl_arena_reset(&arena);
    }
    (void)sl_spool_reader_close(reader);
    sl_arena_fini(&arena);
    return count;
}

static void test_what_is_appended_comes_back_in_order(void **state)
{
    struct fixture *f = *state;
    struct sl_spool_topic *topic;
    uint64_t first, end;
    struct sl_spool_stats stats;

    assert_int_equal(sl_spool_topic(f->spool, "a b/ü", 2, &topic, &f->err), 0);
    for (unsigned i = 0; i < 200; i++)
        assert_int_equal(put(f, topic, 0, 10 * i, 10), 10 * i);
    assert_int_equal(put(f, topic, 1, 0, 9000), 0);
    assert_int_equal(get(topic, 0, 0, 0), 2000);
    assert_int_equal(get(topic, 1, 0, 0), 9000);
    for (unsigned from = 0; from < 2000; from += 37)
        assert_int_equal(get(topic, 0, from, 0), 2000 - from);
    assert_int_equal(get(topic, 0, 5000, 0), 0);
    sl_spool_stats(f->spool, &stats);
    assert_true(stats.segments > 5);
    fixture_reopen(f);
    assert_int_equal(sl_spool_topic(f->spool, "a b/ü", 1, &topic, &f->err), 0);
    assert_int_equal(sl_spool_partitions(topic), 2);
    sl_spool_bounds(topic, 0, &first, &end);
    assert_int_equal(first, 0);
    assert_int_equal(end, 2000);
    for (unsigned from = 0; from < 2000; from += 37)
        assert_int_equal(get(topic, 0, from, 0), 2000 - from);
    assert_int_equal(put(f, topic, 0, 2000, 5), 2000);
    assert_int_equal(get(topic, 0, 0, 0), 2005);
}

static void test_keys_headers_nulls_and_times_come_back(void **state)
{
    struct fixture *f = *state;
    struct sl_header headers[2] = {{sl_slice_of("h1"), sl_slice_of("v1")}, {sl_slice_of("h2"), {NULL, 0}}};
    struct sl_spool_record records[4] = {
        {.payload = sl_slice_of("one\ntwo"), .key = sl_slice_of("k"), .headers = headers, .headers_count = 2, .append_unix_ms = 77},
        {.null_payload = true, .key = sl_slice_of("")},
        {.payload = sl_slice_of("")},
        {.payload = sl_slice_of("plain"), .append_unix_ms = -5}};
    struct sl_spool_topic *topic;
    struct sl_spool_reader *reader;
    struct sl_arena arena;
    struct sl_batch batch = {.arena = &arena};
    uint64_t offset = 99;

    assert_int_equal(sl_arena_init(&arena, 1 << 20, 1 << 20), 0);
    assert_int_equal(sl_spool_topic(f->spool, "t", 1, &topic, &f->err), 0);
    assert_int_equal(sl_spool_append(topic, 0, records, 4, NULL, &f->err), 0);
    assert_int_equal(sl_spool_reader_open(topic, 0, NULL, NULL, &reader, &f->err), 0);
    assert_int_equal(sl_spool_read(reader, &batch, &f->err), 0); /* rule F1: not durable yet */
    (void)sl_spool_write_turn(f->spool);
    assert_int_equal(sl_spool_read(reader, &batch, &f->err), 1);
    assert_int_equal(batch.count, 4);
    assert_true(batch.may_break);
    assert_true(sl_slice_is(batch.raw[0], "one\ntwo") && sl_slice_is(batch.key[0], "k"));
    assert_int_equal(batch.headers_count[0], 2);
    assert_true(sl_slice_is(batch.headers[0][0].name, "h1") && sl_slice_is(batch.headers[0][0].value, "v1"));
    assert_true(sl_slice_is(batch.headers[0][1].name, "h2") && batch.headers[0][1].value.data == NULL);
    assert_int_equal(batch.append_unix_ms[0], 77);
    assert_true(batch.null_payload[1] == 1 && batch.raw[1].bytes == 0 && batch.raw[1].data != NULL);
    assert_true(batch.key[1].data != NULL && batch.key[1].bytes == 0 && batch.key[2].data == NULL);
    assert_true(batch.null_payload[2] == 0 && batch.headers_count[2] == 0);
    assert_int_equal(batch.append_unix_ms[2], f->unix_ms);
    assert_int_equal(batch.append_unix_ms[3], -5);
    assert_int_equal(sl_spool_offset_of_time(topic, 0, 78, &offset, &f->err), 0);
    assert_int_equal(offset, 1);
    assert_int_equal(sl_spool_offset_of_time(topic, 0, f->unix_ms + 1, &offset, &f->err), 0);
    assert_int_equal(offset, 4);
    (void)sl_spool_reader_close(reader);
    sl_arena_fini(&arena);
}

static void test_a_record_larger_than_a_batch_comes_alone(void **state)
{
    struct fixture *f = *state;
    size_t bytes = 3 << 20;
    char *large = malloc(bytes);
    struct sl_spool_record records[3] = {
        {.payload = sl_slice_of("a")}, {.payload = {large, (uint32_t)bytes}}, {.payload = sl_slice_of("b")}};
    struct sl_spool_topic *topic;
    struct sl_spool_reader *reader;
    struct sl_arena arena;
    struct sl_batch batch = {.arena = &arena};
    uint32_t seen = 0;

    memset(large, 'x', bytes);
    assert_int_equal(sl_arena_init(&arena, 1 << 20, 16 << 20), 0);
    assert_int_equal(sl_spool_topic(f->spool, "t", 1, &topic, &f->err), 0);
    assert_int_equal(sl_spool_append(topic, 0, records, 3, NULL, &f->err), 0);
    (void)sl_spool_write_turn(f->spool);
    assert_int_equal(sl_spool_reader_open(topic, 0, NULL, NULL, &reader, &f->err), 0);
    while (sl_spool_read(reader, &batch, &f->err) == 1) {
        for (uint32_t i = 0; i < batch.count; i++, seen++)
            assert_true(sl_slice_eq(batch.raw[i], records[seen].payload));
        assert_true(batch.large == (batch.raw[0].bytes == bytes));
        assert_true(!batch.large || batch.count == 1);
        sl_arena_reset(&arena);
    }
    assert_int_equal(seen, 3);
    (void)sl_spool_reader_close(reader);
    sl_arena_fini(&arena);
    free(large);
}

static void test_group_commit_waits_its_100ms(void **state)
{
    struct fixture *f = *state;
    struct sl_spool_record record = {.payload = sl_slice_of("x")};
    struct answer first = {.wait = {.done = answer_done}}, second = first;
    struct sl_spool_topic *topic;

    f->settings.fsync = SL_SPOOL_100MS;
    fixture_reopen(f);
    assert_int_equal(sl_spool_topic(f->spool, "t", 1, &topic, &f->err), 0);
    assert_int_equal(sl_spool_append(topic, 0, &record, 1, &first.wait, &f->err), 0);
    assert_true(sl_spool_write_turn(f->spool) == UINT64_MAX);
    assert_int_equal(first.told, 1); /* nobody else to wait for */
    assert_int_equal(sl_spool_append(topic, 0, &record, 1, &second.wait, &f->err), 0);
    assert_int_equal(sl_spool_write_turn(f->spool), 100 * SL_NS_PER_MS);
    assert_int_equal(second.told, 0);
    f->now_ns += 100 * SL_NS_PER_MS;
    (void)sl_spool_write_turn(f->spool);
    assert_int_equal(second.told, 1);
    assert_int_equal(second.first, 1);
}

static void test_a_full_queue_refuses(void **state)
{
    struct fixture *f = *state;
    char big[600000] = "";
    struct sl_spool_record record = {.payload = {big, sizeof(big)}};
    struct sl_spool_topic *topic;

    assert_int_equal(sl_spool_topic(f->spool, "t", 1, &topic, &f->err), 0);
    assert_int_equal(sl_spool_append(topic, 0, &record, 1, NULL, &f->err), 0);
    assert_int_equal(sl_spool_append(topic, 0, &record, 1, NULL, &f->err), -SL_E_LIMIT);
    assert_int_equal(f->err.remedy, SL_REMEDY_RETRY);
    (void)sl_spool_write_turn(f->spool);
    assert_int_equal(sl_spool_append(topic, 0, &record, 1, NULL, &f->err), 0);
}

static void test_holds_decide_what_goes(void **state)
{
    struct fixture *f = *state;
    struct sl_spool_record record = {.payload = sl_slice_of("x")};
    struct sl_spool_topic *topic;
    uint64_t first, end;
    unsigned number = 0;

    f->settings.hold_bytes = 64 << 10;
    fixture_reopen(f);
    assert_int_equal(sl_spool_topic(f->spool, "t", 1, &topic, &f->err), 0);
    assert_int_equal(sl_spool_hold(topic, "job one", 0, 0, &f->err), 0);
    while (!sl_spool_is_full(topic)) {
        (void)put(f, topic, 0, number, 10);
        number += 10;
        assert_true(number < 10000);
    }
    assert_int_equal(sl_spool_append(topic, 0, &record, 1, NULL, &f->err), -SL_E_LIMIT);
    assert_int_equal(get(topic, 0, 0, 0), number);
    fixture_reopen(f); /* the hold is durable */
    assert_int_equal(sl_spool_topic(f->spool, "t", 1, &topic, &f->err), 0);
    assert_true(sl_spool_is_full(topic));
    assert_int_equal(sl_spool_hold(topic, "job one", 0, number / 2, &f->err), 0);
    assert_false(sl_spool_is_full(topic));
    sl_spool_bounds(topic, 0, &first, &end);
    assert_true(first > 0 && first <= number / 2 && end == number);
    assert_int_equal(get(topic, 0, number / 2, 0), number - number / 2);
    for (int i = 0; i < 1000; i++) { /* nobody holds: room is made for ever */
        if (i == 0)
            assert_int_equal(sl_spool_release(topic, "job one", &f->err), 0);
        (void)put(f, topic, 0, number, 10);
        number += 10;
    }
}

static void test_lose_makes_room_and_counts(void **state)
{
    struct fixture *f = *state;
    struct sl_spool_topic *topic;
    struct sl_spool_stats stats;
    uint64_t first, end;

    f->settings.hold_bytes = 64 << 10;
    f->settings.when_full = SL_SPOOL_LOSE;
    fixture_reopen(f);
    assert_int_equal(sl_spool_topic(f->spool, "t", 1, &topic, &f->err), 0);
    assert_int_equal(sl_spool_hold(topic, "job", 0, 0, &f->err), 0);
    for (unsigned i = 0; i < 300; i++)
        (void)put(f, topic, 0, 10 * i, 10);
    sl_spool_bounds(topic, 0, &first, &end);
    sl_spool_stats(f->spool, &stats);
    assert_int_equal(end, 3000);
    assert_true(first > 0);
    assert_int_equal(stats.lost_offsets, first);
    assert_int_equal(get(topic, 0, 0, 0), end - first); /* the first batch begins at 0: the gap is seen */
}

static void test_a_queue_keeps_what_its_holder_needs_and_no_more(void **state)
{
    struct sl_spool_record record = {.payload = {"full", 4}};
    struct fixture *f = *state;
    struct sl_spool_topic *topic;
    uint64_t first, end, records, bytes, held, number = 0;

    f->settings.when_full = SL_SPOOL_LOSE; /* is not for queues */
    fixture_reopen(f);
    assert_int_equal(sl_spool_topic(f->spool, "@queue/t/s", 1, &topic, &f->err), 0);
    assert_false(sl_spool_held(topic, "queue", 0, &held));
    assert_int_equal(sl_spool_settle(topic, "queue", 0, 0, &f->err), 0);
    sl_spool_queue(topic, 64 << 10);
    while (!sl_spool_has_no_room(topic)) {
        (void)put(f, topic, 0, (unsigned)number, 10);
        number += 10;
        assert_true(number < 10000);
    }
    assert_int_equal(sl_spool_append(topic, 0, &record, 1, NULL, &f->err), -SL_E_LIMIT);
    sl_spool_from(topic, 0, 0, &records, &bytes);
    assert_true(records == number && bytes >= 64 << 10 && bytes < 80 << 10);
    assert_int_equal(sl_spool_settle(topic, "queue", 0, number / 2, &f->err), 0);
    assert_false(sl_spool_has_no_room(topic));
    sl_spool_bounds(topic, 0, &first, &end);
    assert_true(first > number / 4 && first <= number / 2 && end == number); /* gone at once, far below any limit */
    sl_disk_crash_after(f->disk, 0);
    f->spool = sl_spool_close(f->spool);
    sl_disk_restart(f->disk, 1);
    assert_int_equal(sl_spool_open(sl_disk_fs(f->disk), "/spool", &f->settings, &f->spool, &f->err), 0);
    assert_int_equal(sl_spool_topic(f->spool, "@queue/t/s", 1, &topic, &f->err), 0);
    assert_true(sl_spool_held(topic, "queue", 0, &held));
    assert_int_equal(held, number / 2); /* durable, also within a segment */
    assert_int_equal(get(topic, 0, number / 2, 0), number - number / 2);
}

static void test_reserved_offsets_are_never_handed_out(void **state)
{
    struct fixture *f = *state;
    struct sl_spool_topic *topic;

    assert_int_equal(sl_spool_topic(f->spool, "t", 1, &topic, &f->err), 0);
    assert_int_equal(put(f, topic, 0, 0, 3), 0);
    assert_int_equal(sl_spool_reserve(topic, 0, 1000, &f->err), 0);
    assert_int_equal(put(f, topic, 0, 1000, 3), 1000);
    assert_int_equal(get(topic, 0, 0, 0), 6);
    assert_int_equal(sl_spool_reserve(topic, 0, 5000, &f->err), 0);
    fixture_reopen(f);
    assert_int_equal(sl_spool_topic(f->spool, "t", 1, &topic, &f->err), 0);
    assert_int_equal(put(f, topic, 0, 5000, 1), 5000);
}

struct thread_answer {
    struct sl_spool_wait wait;
    pthread_mutex_t lock;
    pthread_cond_t told;
    unsigned left;
};

static void thread_done(struct sl_spool_wait *wait, int status, uint64_t first_offset, const struct sl_err *err)
{
    struct thread_answer *answer = (struct thread_answer *)wait;
    (void)first_offset;
    (void)err;
    assert_int_equal(status, 0);
    (void)pthread_mutex_lock(&answer->lock);
    answer->left--;
    (void)pthread_cond_signal(&answer->told);
    (void)pthread_mutex_unlock(&answer->lock);
}

static int64_t real_unix_ms(void *env)
{
    (void)env;
    return sl_clock_unix_ms();
}

static uint64_t real_now_ns(void *env)
{
    (void)env;
    return sl_clock_now_ns();
}

static void test_the_writer_thread_answers_everybody(void **state)
{
    char dir[] = "/tmp/sluice-spool-XXXXXX", command[64];
    struct sl_spool_settings settings = {.segment_bytes = 1 << 20, .fsync = SL_SPOOL_100MS, .append_queue_bytes = 64 << 20,
                                         .unix_ms = real_unix_ms, .now_ns = real_now_ns};
    struct thread_answer answer = {.wait = {.done = thread_done}, .lock = PTHREAD_MUTEX_INITIALIZER,
                                   .told = PTHREAD_COND_INITIALIZER, .left = 100};
    struct sl_spool *spool;
    struct sl_spool_topic *topic;
    struct sl_err err;
    char text[80];

    (void)state;
    assert_non_null(mkdtemp(dir));
    assert_int_equal(sl_spool_open(sl_fs_posix(), dir, &settings, &spool, &err), 0);
    assert_int_equal(sl_spool_topic(spool, "t", 1, &topic, &err), 0);
    for (unsigned i = 0; i < 100; i++) {
        struct sl_spool_record record = {.payload = numbered(text, sizeof(text), i)};
        assert_int_equal(sl_spool_append(topic, 0, &record, 1, &answer.wait, &err), 0);
    }
    (void)pthread_mutex_lock(&answer.lock);
    while (answer.left > 0)
        (void)pthread_cond_wait(&answer.told, &answer.lock);
    (void)pthread_mutex_unlock(&answer.lock);
    assert_int_equal(get(topic, 0, 0, 0), 100);
    spool = sl_spool_close(spool);
    assert_int_equal(sl_spool_open(sl_fs_posix(), dir, &settings, &spool, &err), 0);
    assert_int_equal(sl_spool_topic(spool, "t", 1, &topic, &err), 0);
    assert_int_equal(get(topic, 0, 0, 0), 100);
    (void)sl_spool_close(spool);
    (void)snprintf(command, sizeof(command), "rm -rf %s", dir);
    assert_int_equal(system(command), 0);
}

#define WITH_SPOOL(test) cmocka_unit_test_setup_teardown(test, fixture_open, fixture_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SPOOL(test_what_is_appended_comes_back_in_order),
        WITH_SPOOL(test_keys_headers_nulls_and_times_come_back),
        WITH_SPOOL(test_a_record_larger_than_a_batch_comes_alone),
        WITH_SPOOL(test_group_commit_waits_its_100ms),
        WITH_SPOOL(test_a_full_queue_refuses),
        WITH_SPOOL(test_holds_decide_what_goes),
        WITH_SPOOL(test_lose_makes_room_and_counts),
        WITH_SPOOL(test_a_queue_keeps_what_its_holder_needs_and_no_more),
        WITH_SPOOL(test_reserved_offsets_are_never_handed_out),
        cmocka_unit_test(test_the_writer_thread_answers_everybody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
