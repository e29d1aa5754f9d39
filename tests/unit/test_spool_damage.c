/* test_spool_damage.c: cut, flipped and missing bytes: never a crash, never a wrong record, each loss counted and named.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/support/disk.h"
#include "tests/support/spool_model.h"

enum { SEGMENT_BYTES = 8 << 10, FILES_MOST = 64 };

struct world {
    struct sl_disk *disk;
    struct sl_spool *spool;
    struct sl_spool_topic *topic;
    struct sl_spool_model model;
    struct sl_spool_settings settings;
    struct sl_err err;
};

/* A disk with a written spool, kept as it was after a clean close, and after a kill. */
struct fixture {
    struct sl_disk *clean, *killed;
    struct sl_spool_model model;
    char files[FILES_MOST][200]; /* all of topic t, in name order */
    uint64_t file_bytes[FILES_MOST];
    uint32_t files_count;
};

struct findings {
    uint32_t count;
    uint64_t lost;
    char last[200];
};

static int world_open(struct world *world)
{
    int rc = sl_spool_open(sl_disk_fs(world->disk), "/spool", &world->settings, &world->spool, &world->err);
    return rc == 0 ? sl_spool_topic(world->spool, "t", 2, &world->topic, &world->err) : rc;
}

static void world_turn(struct world *world)
{
    world->model.now_ns += 1000000000;
    (void)sl_spool_write_turn(world->spool);
}

static void world_begin(struct world *world, const struct fixture *f, const struct sl_disk *disk)
{
    *world = (struct world){.disk = sl_disk_copy(disk), .model = f->model};
    world->settings = sl_spool_model_settings(&world->model, SEGMENT_BYTES);
}

static void world_end(struct world *world)
{
    (void)sl_spool_close(world->spool);
    (void)sl_disk_free(world->disk);
}

static int fixture_file(void *user, const char *name)
{
    struct fixture *f = user;
    struct sl_fs *fs = sl_disk_fs(f->clean);
    struct sl_fs_stat st;

    assert_true(f->files_count < FILES_MOST);
    (void)snprintf(f->files[f->files_count], sizeof(f->files[0]), "/spool/t/%s", name);
    assert_int_equal(fs->stat(fs, f->files[f->files_count], &st), 0);
    f->file_bytes[f->files_count++] = st.bytes;
    return 0;
}

static int fixture_make(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    static struct world world;

    memset(&world, 0, sizeof(world));
    world.disk = sl_disk_new(3);
    sl_spool_model_init(&world.model);
    world.settings = sl_spool_model_settings(&world.model, SEGMENT_BYTES);
    assert_int_equal(world_open(&world), 0);
    for (uint32_t i = 0; i < 150; i++) {
        assert_int_equal(sl_spool_model_append(&world.model, world.topic, i % 4 == 3, 1 + i % 3, 60 + 37 * (i % 11)), 0);
        world_turn(&world);
    }
    assert_int_equal(sl_spool_hold(world.topic, "job", 0, 0, &world.err), 0);
    f->killed = sl_disk_copy(world.disk); /* every write is durable, no close was seen */
    world.spool = sl_spool_close(world.spool);
    f->model = world.model;
    f->clean = world.disk;
    assert_int_equal(f->model.refused, 0);
    assert_int_equal(sl_disk_fs(f->clean)->list(sl_disk_fs(f->clean), "/spool/t", fixture_file, f), 0);
    assert_true(f->files_count > 8);
    *state = f;
    return 0;
}

static int fixture_free(void **state)
{
    struct fixture *f = *state;
    (void)sl_disk_free(f->clean);
    (void)sl_disk_free(f->killed);
    free(f);
    return 0;
}

/* The last segment of partition 0, and how many files are segments. */
static uint32_t last_segment(const struct fixture *f)
{
    uint32_t last = 0;
    for (uint32_t i = 0; i < f->files_count; i++)
        if (strncmp(f->files[i], "/spool/t/00000-", 15) == 0)
            last = i;
    return last;
}

static void findings_add(void *user, const struct sl_spool_finding *finding)
{
    struct findings *findings = user;
    findings->count++;
    findings->lost += finding->next_offset - finding->first_offset;
    assert_non_null(finding->what);
    assert_non_null(finding->file);
    (void)snprintf(findings->last, sizeof(findings->last), "%s", finding->file);
}

/* Opens what is left, reads all, appends more, reads again. Returns how many acknowledged records are missing. */
static uint32_t world_survives(struct world *world, const char *what, uint64_t at)
{
    struct sl_spool_stats stats;
    uint32_t missing = 0;
    const char *trouble;

    if (world_open(world) < 0)
        fail_msg("%s at %llu: %s", what, (unsigned long long)at, world->err.text);
    trouble = sl_spool_model_verify(&world->model, world->topic, true, &missing);
    if (trouble == NULL) {
        for (uint32_t i = 0; i < 2; i++)
            assert_int_equal(sl_spool_model_append(&world->model, world->topic, i, 2, 80), 0);
        world_turn(world);
        assert_true(world->model.acked[world->model.submitted - 1]);
        trouble = sl_spool_model_verify(&world->model, world->topic, true, NULL);
    }
    if (trouble != NULL)
        fail_msg("%s at %llu: %s", what, (unsigned long long)at, trouble);
    sl_spool_stats(world->spool, &stats);
    if (missing > 0 && stats.lost_offsets + stats.torn_bytes == 0)
        fail_msg("%s at %llu: %u records are missing and nothing was counted", what, (unsigned long long)at, missing);
    return missing;
}

static void cut_everywhere(const struct fixture *f, const struct sl_disk *disk, bool clean)
{
    static struct world world;
    uint32_t file = last_segment(f), before = 0;
    uint64_t bytes = f->file_bytes[file], from = bytes > 4096 ? bytes - 4096 : 0;

    for (uint64_t at = bytes; at-- > from;) {
        struct sl_spool_stats stats;
        uint32_t missing;
        world_begin(&world, f, disk);
        assert_int_equal(sl_disk_cut(world.disk, f->files[file], at), 0);
        missing = world_survives(&world, "cut", at);
        sl_spool_stats(world.spool, &stats);
        assert_true(missing >= before); /* a longer file has no less */
        assert_true(!clean || stats.lost_offsets == missing);
        before = missing;
        world_end(&world);
    }
    assert_true(before > 0);
}

static void test_a_cut_at_every_byte_loses_only_what_was_cut(void **state)
{
    const struct fixture *f = *state;
    cut_everywhere(f, f->clean, true);
}

/* After a kill nobody wrote down where the log ended: a cut at a batch's end cannot be seen, but offsets still go on above. */
static void test_a_cut_after_a_kill_never_uses_an_offset_twice(void **state)
{
    static struct world world;
    const struct fixture *f = *state;
    uint32_t file = last_segment(f);
    uint64_t bytes = f->file_bytes[file], from = bytes > 4096 ? bytes - 4096 : 0;

    for (uint64_t at = bytes; at-- > from;) {
        const char *trouble;
        uint32_t missing = 0;
        world_begin(&world, f, f->killed);
        assert_int_equal(sl_disk_cut(world.disk, f->files[file], at), 0);
        assert_int_equal(world_open(&world), 0);
        trouble = sl_spool_model_verify(&world.model, world.topic, true, &missing);
        for (uint32_t i = 0; i < 2 && trouble == NULL; i++)
            assert_int_equal(sl_spool_model_append(&world.model, world.topic, i, 2, 80), 0);
        world_turn(&world);
        if (trouble == NULL)
            trouble = sl_spool_model_verify(&world.model, world.topic, true, NULL);
        if (trouble != NULL)
            fail_msg("cut at %llu: %s", (unsigned long long)at, trouble);
        world_end(&world);
    }
}

static uint64_t next_random(uint64_t *random)
{
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    return *random;
}

static void flip_many(const struct fixture *f, const struct sl_disk *disk, uint64_t random, uint32_t times)
{
    static struct world world;
    uint32_t most_missing = 0, with_loss = 0;

    for (uint32_t i = 0; i < times; i++) {
        uint32_t file = (uint32_t)(next_random(&random) % f->files_count), missing;
        uint64_t at = next_random(&random) % f->file_bytes[file];
        world_begin(&world, f, disk);
        if (sl_disk_flip(world.disk, f->files[file], at, (unsigned)(next_random(&random) % 8)) < 0) {
            world_end(&world);
            continue; /* marks and manifest are shorter on this disk */
        }
        missing = world_survives(&world, f->files[file], at);
        most_missing = missing > most_missing ? missing : most_missing;
        with_loss += missing > 0;
        world_end(&world);
    }
    assert_true(with_loss > times / 4);
    assert_true(most_missing <= 3); /* one batch: the largest has three records */
}

static void test_a_flipped_bit_costs_one_batch_at_most(void **state)
{
    const struct fixture *f = *state;
    flip_many(f, f->clean, 88172645463325252u, 2000);
    flip_many(f, f->killed, 1181783497276652981u, 2000);
}

/* Every byte of the two text files and of each segment's header. */
static void test_damage_to_what_describes_the_log_costs_no_record(void **state)
{
    static struct world world;
    const struct fixture *f = *state;

    for (uint32_t file = 0; file < f->files_count; file++) {
        bool text = strstr(f->files[file], ".seg") == NULL;
        for (uint64_t at = 0; at < (text ? f->file_bytes[file] : 40); at++) {
            world_begin(&world, f, f->clean);
            assert_int_equal(sl_disk_flip(world.disk, f->files[file], at, at % 8), 0);
            if (world_survives(&world, f->files[file], at) != 0)
                fail_msg("%s at %llu: records are missing", f->files[file], (unsigned long long)at);
            world_end(&world);
        }
    }
}

static void take_segment(const struct fixture *f, const struct sl_disk *disk, uint32_t file)
{
    static struct world world;
    struct findings findings = {0};
    struct sl_spool_stats stats;
    uint32_t missing;

    world_begin(&world, f, disk);
    assert_int_equal(sl_disk_take(world.disk, f->files[file]), 0);
    assert_int_equal(sl_spool_check(sl_disk_fs(world.disk), "/spool", false, findings_add, &findings, &stats, &world.err), 0);
    assert_int_equal(stats.missing_segments, 1);
    assert_int_equal(findings.count, 1);
    assert_string_equal(findings.last, f->files[file]); /* named */
    missing = world_survives(&world, "taken", file);
    assert_true(missing > 0);
    sl_spool_stats(world.spool, &stats);
    assert_int_equal(stats.missing_segments, 1);
    assert_true(stats.lost_offsets >= missing);
    world_end(&world);
}

static void test_a_missing_segment_is_counted_and_named(void **state)
{
    const struct fixture *f = *state;
    uint32_t last = last_segment(f);
    take_segment(f, f->clean, last);
    take_segment(f, f->killed, last);
    take_segment(f, f->clean, last - 2);
    take_segment(f, f->killed, last - 2);
    take_segment(f, f->clean, 0);
}

static void test_repair_leaves_a_sound_spool_with_the_same_records(void **state)
{
    static struct world world;
    const struct fixture *f = *state;
    uint64_t random = 2463534242u;

    for (uint32_t round = 0; round < 100; round++) {
        struct findings found = {0}, again = {0};
        struct sl_spool_stats stats;
        uint32_t before = 0, after = 0;
        const char *trouble;

        world_begin(&world, f, round % 2 ? f->clean : f->killed);
        for (uint32_t i = 0; i < 5; i++) {
            uint32_t file = (uint32_t)(next_random(&random) % f->files_count);
            (void)sl_disk_flip(world.disk, f->files[file], next_random(&random) % f->file_bytes[file], i);
        }
        if (round % 5 == 0)
            (void)sl_disk_take(world.disk, f->files[3]);
        assert_int_equal(world_open(&world), 0);
        assert_null(sl_spool_model_verify(&world.model, world.topic, true, &before));
        sl_spool_close(world.spool);
        world.spool = NULL;
        assert_int_equal(sl_spool_check(sl_disk_fs(world.disk), "/spool", true, findings_add, &found, &stats, &world.err), 0);
        assert_true(found.count > 0);
        assert_int_equal(sl_spool_check(sl_disk_fs(world.disk), "/spool", false, findings_add, &again, &stats, &world.err), 0);
        if (again.count != 0)
            fail_msg("round %u: %u findings after the repair, the last in %s", round, again.count, again.last);
        assert_int_equal(world_open(&world), 0);
        trouble = sl_spool_model_verify(&world.model, world.topic, true, &after);
        if (trouble != NULL)
            fail_msg("round %u: %s", round, trouble);
        assert_int_equal(after, before);
        world_end(&world);
    }
}

/* A payload that holds a whole segment of the same topic; then the batch before it is damaged, so that the walk looks inside. */
static void test_a_payload_that_quotes_batches_is_not_taken_for_them(void **state)
{
    static struct world world;
    const struct fixture *f = *state;
    struct sl_fs *fs;
    struct sl_spool_topic *other;
    struct sl_spool_record record = {0};
    struct sl_spool_reader *reader;
    struct sl_arena arena;
    struct sl_batch batch = {.arena = &arena};
    char *quote, file[300] = "";
    size_t bytes;

    world_begin(&world, f, f->clean);
    world.settings.segment_bytes = 1 << 20;
    fs = sl_disk_fs(world.disk);
    assert_int_equal(sl_fs_read_file(fs, f->files[0], 1 << 20, &quote, &bytes), 0);
    record.payload = (struct sl_slice){quote, (uint32_t)bytes};
    assert_int_equal(world_open(&world), 0);
    assert_int_equal(sl_spool_topic(world.spool, "q", 1, &other, &world.err), 0);
    assert_int_equal(sl_spool_append(other, 0, &record, 1, NULL, &world.err), 0);
    world_turn(&world);
    record.payload = sl_slice_of("after");
    for (uint32_t i = 0; i < 200; i++) /* so that the quoted offsets would lie within this log */
        assert_int_equal(sl_spool_append(other, 0, &record, 1, NULL, &world.err), 0);
    world_turn(&world);
    {
        struct sl_fs_stat st;
        char *manifest;
        size_t manifest_bytes;
        unsigned long long base, nonce;
        assert_int_equal(sl_fs_read_file(fs, "/spool/q/manifest", 1 << 20, &manifest, &manifest_bytes), 0);
        assert_int_equal(sscanf(strstr(manifest, "segment"), "segment 0 %llu %llx", &base, &nonce), 2);
        (void)snprintf(file, sizeof(file), "/spool/q/00000-%020llu-%016llx.seg", base, nonce);
        assert_int_equal(fs->stat(fs, file, &st), 0);
        free(manifest);
    }
    assert_int_equal(sl_disk_flip(world.disk, file, 40 + 8, 0), 0); /* the quoting batch's header */
    assert_int_equal(sl_arena_init(&arena, 2 << 20, 8 << 20), 0);
    assert_int_equal(sl_spool_reader_open(other, 0, NULL, NULL, &reader, &world.err), 0);
    assert_int_equal(sl_spool_read(reader, &batch, &world.err), 1);
    assert_int_equal(batch.count, 200);
    assert_int_equal(batch.first, 0);
    assert_int_equal(batch.offset[0], 1);
    for (uint32_t i = 0; i < batch.count; i++)
        assert_true(sl_slice_is(batch.raw[i], "after"));
    (void)sl_spool_reader_close(reader);
    sl_arena_fini(&arena);
    free(quote);
    world_end(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_cut_at_every_byte_loses_only_what_was_cut),
        cmocka_unit_test(test_a_cut_after_a_kill_never_uses_an_offset_twice),
        cmocka_unit_test(test_a_flipped_bit_costs_one_batch_at_most),
        cmocka_unit_test(test_damage_to_what_describes_the_log_costs_no_record),
        cmocka_unit_test(test_a_missing_segment_is_counted_and_named),
        cmocka_unit_test(test_repair_leaves_a_sound_spool_with_the_same_records),
        cmocka_unit_test(test_a_payload_that_quotes_batches_is_not_taken_for_them),
    };
    return cmocka_run_group_tests(tests, fixture_make, fixture_free);
}
