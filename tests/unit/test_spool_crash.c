/* test_spool_crash.c: power cuts after every single disk operation, failed syncs, full disks: what was acknowledged stays.
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

struct world {
    struct sl_disk *disk;
    struct sl_spool *spool;
    struct sl_spool_topic *topic;
    struct sl_spool_model model;
    struct sl_spool_settings settings;
    struct sl_err err;
};

static void world_init(struct world *world, enum sl_spool_fsync fsync)
{
    sl_spool_model_init(&world->model);
    world->disk = sl_disk_new(7);
    world->spool = NULL;
    world->settings = sl_spool_model_settings(&world->model, 2048);
    world->settings.fsync = fsync;
}

static void world_fini(struct world *world)
{
    (void)sl_spool_close(world->spool);
    (void)sl_disk_free(world->disk);
}

static int world_open(struct world *world)
{
    int rc = sl_spool_open(sl_disk_fs(world->disk), "/data/spool", &world->settings, &world->spool, &world->err);
    if (rc == 0)
        rc = sl_spool_topic(world->spool, "t", 2, &world->topic, &world->err);
    return rc;
}

static void world_turn(struct world *world)
{
    world->model.now_ns += 1000000000;
    (void)sl_spool_write_turn(world->spool);
}

/* Two lives of the process: appends of several sizes, rolls, holds, a clean close between. Stops early at a crash. */
static void world_script(struct world *world)
{
    for (uint32_t life = 0; life < 2; life++) {
        if (world_open(world) < 0)
            return;
        for (uint32_t i = 0; i < 12 && !sl_disk_is_crashed(world->disk); i++) {
            (void)sl_spool_model_append(&world->model, world->topic, i % 2, 1 + i % 3, 40 + 90 * (i % 7));
            if (i % 4 == 1)
                (void)sl_spool_model_append(&world->model, world->topic, 1, 2, 700);
            if (i % 3 != 1)
                world_turn(world);
            if (i == 5)
                (void)sl_spool_hold(world->topic, "job", 0, 3, NULL);
        }
        world->spool = sl_spool_close(world->spool);
    }
}

static void world_expect(struct world *world, uint64_t crash, uint64_t seed, const char *when)
{
    const char *trouble = sl_spool_model_verify(&world->model, world->topic, false, NULL);
    if (trouble != NULL)
        fail_msg("stop after %llu operations, seed %llu, %s: %s", (unsigned long long)crash, (unsigned long long)seed, when,
                 trouble);
}

static void world_after(struct world *world, uint64_t crash, uint64_t seed)
{
    struct sl_spool_stats stats;

    if (world_open(world) < 0)
        world->spool = sl_spool_close(world->spool);
    if (world->spool == NULL && world_open(world) < 0) /* one failed sync may refuse one start */
        fail_msg("stop after %llu, seed %llu: %s", (unsigned long long)crash, (unsigned long long)seed, world->err.text);
    world_expect(world, crash, seed, "after the restart");
    sl_spool_stats(world->spool, &stats);
    assert_int_equal(stats.missing_segments, 0); /* a power cut is no missing file */
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(sl_spool_model_append(&world->model, world->topic, i % 2, 2, 100), 0);
    world_turn(world);
    world_expect(world, crash, seed, "after new records");
    world->spool = sl_spool_close(world->spool);
    assert_int_equal(world_open(world), 0);
    world_expect(world, crash, seed, "after a clean close");
    sl_spool_stats(world->spool, &stats);
    assert_int_equal(stats.torn_bytes, 0);
    assert_int_equal(stats.missing_segments, 0);
}

static uint64_t script_length(enum sl_spool_fsync fsync)
{
    static struct world world;
    uint64_t ops;
    world_init(&world, fsync);
    world_script(&world);
    ops = sl_disk_ops(world.disk);
    assert_true(world.model.submitted > 50 && world.model.refused == 0);
    world_fini(&world);
    return ops;
}

static void crash_everywhere(enum sl_spool_fsync fsync, uint64_t seeds)
{
    static struct world world;
    uint64_t length = script_length(fsync);

    for (uint64_t crash = 1; crash <= length; crash++)
        for (uint64_t seed = 1; seed <= seeds; seed++) {
            world_init(&world, fsync);
            sl_disk_crash_after(world.disk, crash);
            world_script(&world);
            world.spool = sl_spool_close(world.spool);
            sl_disk_restart(world.disk, seed);
            world_after(&world, crash, seed);
            world_fini(&world);
        }
}

static void test_a_stop_after_any_operation_loses_nothing_acknowledged(void **state)
{
    (void)state;
    crash_everywhere(SL_SPOOL_EACH, 24);
}

static void test_group_commit_loses_nothing_acknowledged_either(void **state)
{
    (void)state;
    crash_everywhere(SL_SPOOL_100MS, 2);
}

static void test_a_second_stop_during_recovery_loses_nothing(void **state)
{
    static struct world world;
    uint64_t length = script_length(SL_SPOOL_EACH);

    (void)state;
    for (uint64_t crash = 3; crash <= length; crash += 7)
        for (uint64_t second = 1; second <= 14; second++) {
            world_init(&world, SL_SPOOL_EACH);
            sl_disk_crash_after(world.disk, crash);
            world_script(&world);
            world.spool = sl_spool_close(world.spool);
            sl_disk_restart(world.disk, crash);
            sl_disk_crash_after(world.disk, second);
            if (world_open(&world) == 0) {
                (void)sl_spool_model_append(&world.model, world.topic, 0, 1, 50);
                world_turn(&world);
            }
            world.spool = sl_spool_close(world.spool);
            sl_disk_restart(world.disk, second);
            world_after(&world, crash, second);
            world_fini(&world);
        }
}

static void test_without_fsync_offsets_are_still_never_used_twice(void **state)
{
    static struct world world;
    uint64_t length = script_length(SL_SPOOL_OFF);

    (void)state;
    for (uint64_t crash = 1; crash <= length; crash++)
        for (uint64_t seed = 1; seed <= 3; seed++) {
            const char *trouble;
            world_init(&world, SL_SPOOL_OFF);
            sl_disk_crash_after(world.disk, crash);
            world_script(&world);
            world.spool = sl_spool_close(world.spool);
            sl_disk_restart(world.disk, seed);
            assert_int_equal(world_open(&world), 0);
            (void)sl_spool_model_append(&world.model, world.topic, 0, 2, 100);
            (void)sl_spool_model_append(&world.model, world.topic, 1, 2, 100);
            world_turn(&world);
            trouble = sl_spool_model_verify(&world.model, world.topic, true, NULL);
            if (trouble != NULL)
                fail_msg("stop after %llu, seed %llu: %s", (unsigned long long)crash, (unsigned long long)seed, trouble);
            world_fini(&world);
        }
}

/* The nth sync fails once, the machine goes on, later loses power: rule F2. */
static void test_a_failed_fsync_is_survived_wherever_it_strikes(void **state)
{
    static struct world world;
    (void)state;
    for (uint64_t nth = 1; nth <= 120; nth++)
        for (uint64_t seed = 1; seed <= 3; seed++) {
            world_init(&world, SL_SPOOL_EACH);
            sl_disk_fail_fsync(world.disk, nth);
            world_script(&world);
            if (world.spool != NULL) /* open refused: the next attempt must not */
                world.spool = sl_spool_close(world.spool);
            if (world_open(&world) == 0) {
                for (uint32_t i = 0; i < 6; i++) {
                    (void)sl_spool_model_append(&world.model, world.topic, i % 2, 2, 300);
                    world_turn(&world);
                }
                world_expect(&world, nth, seed, "before the power cut");
            }
            sl_disk_crash_after(world.disk, 0);
            world.spool = sl_spool_close(world.spool);
            sl_disk_restart(world.disk, seed);
            world_after(&world, nth, seed);
            world_fini(&world);
        }
}

static void test_a_failed_fsync_is_hidden_by_rewriting(void **state)
{
    static struct world world;
    struct sl_spool_stats stats;

    (void)state;
    world_init(&world, SL_SPOOL_EACH);
    assert_int_equal(world_open(&world), 0);
    assert_int_equal(sl_spool_model_append(&world.model, world.topic, 0, 3, 100), 0);
    world_turn(&world);
    sl_disk_fail_fsync(world.disk, 1);
    assert_int_equal(sl_spool_model_append(&world.model, world.topic, 0, 3, 100), 0);
    world_turn(&world);
    sl_spool_stats(world.spool, &stats);
    assert_int_equal(stats.fsync_failures, 1);
    assert_int_equal(stats.segments, 2); /* rolled */
    assert_int_equal(world.model.refused, 0);
    assert_true(world.model.acked[5]);
    sl_disk_crash_after(world.disk, 0);
    world.spool = sl_spool_close(world.spool);
    sl_disk_restart(world.disk, 1);
    world_after(&world, 0, 1);
    world_fini(&world);
}

static void test_a_full_disk_refuses_and_recovers_by_itself(void **state)
{
    static struct world world;
    uint32_t before;

    (void)state;
    for (uint64_t room = 0; room < 6000; room += 97) {
        world_init(&world, SL_SPOOL_EACH);
        assert_int_equal(world_open(&world), 0);
        assert_int_equal(sl_spool_model_append(&world.model, world.topic, 0, 3, 100), 0);
        world_turn(&world);
        sl_disk_capacity(world.disk, sl_disk_used(world.disk) + room);
        for (uint32_t i = 0; i < 20; i++) {
            (void)sl_spool_model_append(&world.model, world.topic, i % 2, 2, 400);
            world_turn(&world);
        }
        assert_true(world.model.refused > 0);
        assert_true(sl_spool_is_full(world.topic));
        world_expect(&world, room, 0, "while full");
        sl_disk_capacity(world.disk, UINT64_MAX);
        world_turn(&world); /* time passes, nobody appends */
        assert_false(sl_spool_is_full(world.topic));
        before = world.model.refused;
        assert_int_equal(sl_spool_model_append(&world.model, world.topic, 0, 2, 400), 0);
        world_turn(&world);
        assert_int_equal(world.model.refused, before);
        sl_disk_crash_after(world.disk, 0);
        world.spool = sl_spool_close(world.spool);
        sl_disk_restart(world.disk, room);
        world_after(&world, room, 0);
        world_fini(&world);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_stop_after_any_operation_loses_nothing_acknowledged),
        cmocka_unit_test(test_group_commit_loses_nothing_acknowledged_either),
        cmocka_unit_test(test_a_second_stop_during_recovery_loses_nothing),
        cmocka_unit_test(test_without_fsync_offsets_are_still_never_used_twice),
        cmocka_unit_test(test_a_failed_fsync_is_survived_wherever_it_strikes),
        cmocka_unit_test(test_a_failed_fsync_is_hidden_by_rewriting),
        cmocka_unit_test(test_a_full_disk_refuses_and_recovers_by_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
