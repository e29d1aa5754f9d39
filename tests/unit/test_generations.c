/* test_generations.c: one generation is live, the right one, wherever a crash cuts a deployment short.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <assert.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/store/generations.h"
#include "tests/support/disk.h"

static void put(struct sl_fs *fs, const char *path, const char *text)
{
    int fd = fs->open(fs, path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

    if (fd >= 0) {
        (void)sl_fs_write_all(fs, fd, text, strlen(text), 0);
        (void)fs->fsync(fs, fd);
        (void)fs->close(fs, fd);
    }
}

static void sources(struct sl_fs *fs)
{
    (void)sl_fs_mkdirs(fs, "/src", 0755);
    put(fs, "/src/topology.yaml", "name: t\n");
    put(fs, "/src/a.lua", "return 1\n");
    (void)fs->sync_dir(fs, "/src");
}

static const struct sl_generation_file files[] = {{"/src/topology.yaml", "topology.yaml"}, {"/src/a.lua", "scripts/a.lua"}};

/* 0 or the error's code; *ret_number even when a later step fails. */
static int deploy(struct sl_generations *generations, uint64_t digest, uint32_t *ret_number)
{
    struct sl_generation_row row = {.digest = digest, .deployed_unix_ms = 1000 + (int64_t)digest};
    struct sl_err err = {0};

    (void)snprintf(row.who, sizeof(row.who), "jane doe-%%");
    if (sl_generations_add(generations, files, 2, &row, &err) != 0)
        return (int)err.code;
    *ret_number = row.number;
    return 0;
}

static int promote(struct sl_generations *generations, uint32_t number)
{
    struct sl_err err = {0};

    return sl_generations_set(generations, number, SL_GENERATION_LIVE, 1, 5000, NULL, &err) == 0 ? 0 : (int)err.code;
}

static void test_rows_come_back(void **state)
{
    struct sl_disk *disk = sl_disk_new(1);
    struct sl_fs *fs = sl_disk_fs(disk);
    struct sl_generations generations;
    struct sl_err err = {0};
    uint32_t one = 0, two = 0;
    char path[PATH_MAX], *text;
    size_t bytes;
    (void)state;

    sources(fs);
    assert_int_equal(sl_generations_open(fs, "/data", "t", &generations, &err), 0);
    assert_null(sl_generations_in(&generations, SL_GENERATION_LIVE));
    assert_int_equal(deploy(&generations, 7, &one), 0);
    assert_int_equal(promote(&generations, one), 0);
    assert_int_equal(deploy(&generations, 8, &two), 0);
    assert_int_equal(sl_generations_set(&generations, two, SL_GENERATION_CANARY, 0.1, 0, NULL, &err), 0);
    assert_int_equal(deploy(&generations, 9, &(uint32_t){0}), SL_E_CONFIG); /* one at a time */
    assert_int_equal(promote(&generations, two), 0);
    assert_int_equal(sl_generations_set(&generations, two, SL_GENERATION_FAILED, 0, 0, "no", &err), -(int)SL_E_CONFIG);
    sl_generations_close(&generations);

    assert_int_equal(sl_generations_open(fs, "/data", "t", &generations, &err), 0);
    assert_int_equal(sl_generations_in(&generations, SL_GENERATION_LIVE)->number, two);
    assert_int_equal(sl_generations_in(&generations, SL_GENERATION_LIVE)->digest, 8);
    assert_int_equal(sl_generations_in(&generations, SL_GENERATION_PREVIOUS)->number, one);
    assert_string_equal(sl_generations_in(&generations, SL_GENERATION_PREVIOUS)->who, "jane doe-%");
    assert_int_equal(sl_fs_read_file(fs, sl_generations_path(&generations, two, path), 100, &text, &bytes), 0);
    assert_string_equal(text, "name: t\n");
    free(text);
    sl_generations_close(&generations);
    sl_disk_free(disk);
}

static void test_a_rollback_is_one_write(void **state)
{
    struct sl_disk *disk = sl_disk_new(1);
    struct sl_fs *fs = sl_disk_fs(disk);
    struct sl_generations generations;
    struct sl_err err = {0};
    uint32_t one = 0, two = 0, crashes = 0;
    (void)state;

    sources(fs);
    assert_int_equal(sl_generations_open(fs, "/data", "t", &generations, &err), 0);
    assert_int_equal(deploy(&generations, 1, &one), 0);
    assert_int_equal(promote(&generations, one), 0);
    assert_int_equal(deploy(&generations, 2, &two), 0);
    assert_int_equal(promote(&generations, two), 0);
    assert_int_equal(sl_generations_crashed(&generations, two, &crashes, &err), 0);
    assert_int_equal(crashes, 1);
    assert_int_equal(promote(&generations, one), 0);
    assert_int_equal(sl_generations_set(&generations, two, SL_GENERATION_FAILED, 0, 6000, "rolled back: too many\nerrors", &err), 0);
    sl_generations_close(&generations);
    assert_int_equal(sl_generations_open(fs, "/data", "t", &generations, &err), 0);
    assert_int_equal(sl_generations_in(&generations, SL_GENERATION_LIVE)->number, one);
    assert_string_equal(sl_generations_find(&generations, two)->reason, "rolled back: too many\nerrors");
    assert_int_equal(sl_generations_find(&generations, two)->crashes, 1);
    sl_generations_close(&generations);
    sl_disk_free(disk);
}

/* Two deployments, the second promoted; the machine stops after each number of changing calls. Afterwards the one that promote had
 * acknowledged is live, or the one that it was being changed to. */
static void test_a_crash_leaves_one_live(void **state)
{
    uint64_t total = UINT64_MAX, tried = 0;
    (void)state;

    for (uint64_t cut = 0; cut < total; cut++)
        for (uint64_t seed = 0; seed < 6; seed++) {
            struct sl_disk *disk = sl_disk_new(seed);
            struct sl_fs *fs = sl_disk_fs(disk);
            struct sl_generations generations;
            struct sl_err err = {0};
            uint32_t one = 0, two = 0, acknowledged = 0, asked = 0;
            const struct sl_generation_row *live;
            uint64_t before;

            sources(fs);
            (void)fs->sync_dir(fs, "/");
            before = sl_disk_ops(disk);
            sl_disk_crash_after(disk, cut);
            if (sl_generations_open(fs, "/data", "t", &generations, &err) == 0) {
                if (deploy(&generations, 1, &one) == 0) {
                    asked = one;
                    if (promote(&generations, one) == 0)
                        acknowledged = one;
                }
                if (acknowledged != 0 && deploy(&generations, 2, &two) == 0) {
                    asked = two;
                    if (promote(&generations, two) == 0)
                        acknowledged = two;
                }
                sl_generations_close(&generations);
            }
            if (!sl_disk_is_crashed(disk))
                total = sl_disk_ops(disk) - before;
            sl_disk_crash_after(disk, UINT64_MAX);
            sl_disk_restart(disk, seed * 31 + cut);
            assert_int_equal(sl_generations_open(fs, "/data", "t", &generations, &err), 0);
            live = sl_generations_in(&generations, SL_GENERATION_LIVE);
            if (acknowledged != 0)
                assert_non_null(live);
            if (live != NULL) {
                char path[PATH_MAX], *text;
                size_t bytes;
                assert_true(live->number == acknowledged || live->number == asked);
                assert_int_equal(sl_fs_read_file(fs, sl_generations_path(&generations, live->number, path), 100, &text, &bytes), 0);
                assert_string_equal(text, "name: t\n");
                free(text);
            }
            assert_null(sl_generations_candidate(&generations));
            assert_int_equal(deploy(&generations, 3, &two), 0); /* and it goes on */
            assert_true(two > acknowledged);
            sl_generations_close(&generations);
            sl_disk_free(disk);
            tried++;
        }
    print_message("%llu crashes\n", (unsigned long long)tried);
    assert_true(total < UINT64_MAX && total > 10);
}

static void test_damage_is_refused(void **state)
{
    struct sl_disk *disk = sl_disk_new(1);
    struct sl_fs *fs = sl_disk_fs(disk);
    struct sl_generations generations;
    struct sl_err err = {0};
    uint32_t one = 0;
    (void)state;

    sources(fs);
    assert_int_equal(sl_generations_open(fs, "/data", "t", &generations, &err), 0);
    assert_int_equal(deploy(&generations, 1, &one), 0);
    assert_int_equal(promote(&generations, one), 0);
    sl_generations_close(&generations);
    assert_int_equal(sl_disk_flip(disk, "/data/generations/t/state", 40, 3), 0);
    assert_int_not_equal(sl_generations_open(fs, "/data", "t", &generations, &err), 0);
    assert_non_null(strstr(err.text, "is damaged"));
    put(fs, "/data/generations/t/state", "sluice-generations 2\n");
    assert_int_not_equal(sl_generations_open(fs, "/data", "t", &generations, &err), 0);
    assert_non_null(strstr(err.text, "newer version"));
    sl_disk_free(disk);
}

static void test_old_ones_make_room(void **state)
{
    struct sl_disk *disk = sl_disk_new(1);
    struct sl_fs *fs = sl_disk_fs(disk);
    struct sl_generations generations;
    struct sl_err err = {0};
    struct sl_fs_stat found;
    uint32_t last = 0;
    (void)state;

    sources(fs);
    assert_int_equal(sl_generations_open(fs, "/data", "t", &generations, &err), 0);
    for (uint64_t i = 0; i < 3 * SL_GENERATIONS_KEPT; i++) {
        assert_int_equal(deploy(&generations, i, &last), 0);
        assert_int_equal(promote(&generations, last), 0);
    }
    assert_int_equal(last, 3 * SL_GENERATIONS_KEPT);
    assert_int_equal(generations.count, SL_GENERATIONS_KEPT);
    assert_true(fs->stat(fs, "/data/generations/t/1", &found) < 0);
    assert_int_equal(fs->stat(fs, "/data/generations/t/96", &found), 0);
    sl_generations_close(&generations);
    sl_disk_free(disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_come_back),         cmocka_unit_test(test_a_rollback_is_one_write),
        cmocka_unit_test(test_a_crash_leaves_one_live), cmocka_unit_test(test_damage_is_refused),
        cmocka_unit_test(test_old_ones_make_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
