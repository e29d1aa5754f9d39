/* test_data_dir.c: one process a folder, and a start counter that rises through every stop.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/store/data_dir.h"
#include "tests/support/disk.h"

static void test_a_second_process_is_refused_with_the_first_ones_pid(void **state)
{
    char dir[] = "/tmp/sluice-dir-XXXXXX", path[64], command[64], expect[64];
    struct sl_data_dir second;
    struct sl_err err;
    int ready[2], end[2], status;
    char byte;
    pid_t pid;

    (void)state;
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof(path), "%s/data/deep", dir);
    assert_int_equal(pipe(ready) + pipe(end), 0);
    pid = fork();
    if (pid == 0) {
        struct sl_data_dir first;
        int rc = sl_data_dir_open(sl_fs_posix(), path, &first, NULL);
        byte = rc == 0 && first.epoch == 1 ? 'y' : 'n';
        if (write(ready[1], &byte, 1) != 1 || read(end[0], &byte, 1) < 0)
            _exit(2);
        sl_data_dir_close(&first);
        _exit(rc == 0 ? 0 : 1);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    assert_int_equal(byte, 'y');
    assert_int_equal(sl_data_dir_open(sl_fs_posix(), path, &second, &err), -SL_E_IO);
    assert_int_equal(err.remedy, SL_REMEDY_HALT);
    (void)snprintf(expect, sizeof(expect), "in use by process %ld;", (long)pid);
    assert_non_null(strstr(err.text, expect));
    assert_int_equal(write(end[1], "x", 1), 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    assert_int_equal(sl_data_dir_open(sl_fs_posix(), path, &second, &err), 0);
    assert_int_equal(second.epoch, 2);
    assert_int_equal(second.path[0], '/');
    sl_data_dir_close(&second);
    (void)snprintf(command, sizeof(command), "rm -rf %s", dir);
    assert_int_equal(system(command), 0);
}

static void test_the_epoch_rises_through_a_stop_after_any_operation(void **state)
{
    (void)state;
    for (uint64_t stop = 1; stop < 40; stop++)
        for (uint64_t seed = 1; seed <= 20; seed++) {
            struct sl_disk *disk = sl_disk_new(seed);
            struct sl_fs *fs = sl_disk_fs(disk);
            struct sl_data_dir dir;
            struct sl_err err;
            uint32_t highest = 0;
            sl_disk_crash_after(disk, stop);
            for (int start = 0; start < 4 && sl_data_dir_open(fs, "/var/data", &dir, &err) == 0; start++) {
                assert_true(dir.epoch > highest);
                highest = dir.epoch;
                sl_data_dir_close(&dir);
            }
            sl_disk_restart(disk, seed);
            if (sl_data_dir_open(fs, "/var/data", &dir, &err) < 0)
                fail_msg("stop after %llu, seed %llu: %s", (unsigned long long)stop, (unsigned long long)seed, err.text);
            assert_true(dir.epoch > highest);
            sl_data_dir_close(&dir);
            (void)sl_disk_free(disk);
        }
}

static void test_a_failed_sync_never_gives_an_epoch_away(void **state)
{
    (void)state;
    for (uint64_t nth = 1; nth < 9; nth++) {
        struct sl_disk *disk = sl_disk_new(nth);
        struct sl_fs *fs = sl_disk_fs(disk);
        struct sl_data_dir dir;
        struct sl_err err;
        uint32_t highest = 0;
        sl_disk_fail_fsync(disk, nth);
        for (int start = 0; start < 3; start++) {
            if (sl_data_dir_open(fs, "/data", &dir, &err) < 0)
                continue;
            assert_true(dir.epoch > highest);
            highest = dir.epoch;
            sl_data_dir_close(&dir);
        }
        sl_disk_fail_fsync(disk, 0);
        sl_disk_restart(disk, nth);
        assert_int_equal(sl_data_dir_open(fs, "/data", &dir, &err), 0);
        assert_true(dir.epoch > highest);
        sl_data_dir_close(&dir);
        (void)sl_disk_free(disk);
    }
}

static void test_a_newer_format_and_damage_are_refused(void **state)
{
    struct sl_disk *disk = sl_disk_new(1);
    struct sl_fs *fs = sl_disk_fs(disk);
    struct sl_data_dir dir;
    struct sl_err err;
    struct sl_fs_stat st;

    (void)state;
    assert_int_equal(sl_data_dir_open(fs, "/d", &dir, &err), 0);
    sl_data_dir_close(&dir);
    assert_int_equal(fs->stat(fs, "/d/epoch", &st), 0);
    for (uint64_t at = 0; at < st.bytes; at++) {
        assert_int_equal(sl_disk_flip(disk, "/d/epoch", at, 1), 0);
        assert_int_equal(sl_data_dir_open(fs, "/d", &dir, &err), -SL_E_FORMAT);
        assert_int_equal(sl_disk_flip(disk, "/d/epoch", at, 1), 0);
    }
    assert_int_equal(sl_fs_replace_file(fs, "/d/epoch", "sluice-data 2\nwhatever\n", 23), 0);
    assert_int_equal(sl_data_dir_open(fs, "/d", &dir, &err), -SL_E_FORMAT);
    assert_non_null(strstr(err.text, "newer version"));
    assert_int_equal(sl_fs_replace_file(fs, "/d/epoch", "", 0), 0);
    assert_int_equal(sl_data_dir_open(fs, "/d", &dir, &err), -SL_E_FORMAT);
    (void)sl_disk_free(disk);
}

/* A process's own attempt: 0 it got the folder, else why not. */
static int other_process_tries(const char *path, int adopt)
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        struct sl_data_dir dir;
        struct sl_err err;
        sl_data_dir_adopt(adopt);
        _exit(sl_data_dir_open(sl_fs_posix(), path, &dir, &err) == 0 ? 0 : (int)err.code);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void test_the_lock_is_never_free_while_it_passes(void **state)
{
    char dir[] = "/tmp/sluice-dir-XXXXXX", path[64], elsewhere[64], command[64];
    struct sl_data_dir first, again, other;
    struct sl_err err;
    int lock;

    (void)state;
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof(path), "%s/data", dir);
    (void)snprintf(elsewhere, sizeof(elsewhere), "%s/other", dir);
    assert_int_equal(sl_data_dir_share(path, &lock, &err), -SL_E_IO); /* not held here */
    assert_int_equal(sl_data_dir_open(sl_fs_posix(), path, &first, &err), 0);
    assert_int_equal(sl_data_dir_share(path, &lock, &err), 0);
    assert_int_equal(other_process_tries(path, -1), SL_E_IO);
    sl_data_dir_close(&first);
    assert_int_equal(other_process_tries(path, -1), SL_E_IO); /* closed, not free */
    assert_int_equal(other_process_tries(path, lock), 0);     /* passed on, taken, and its taker died */
    assert_int_equal(other_process_tries(path, -1), SL_E_IO);
    sl_data_dir_adopt(lock);
    assert_int_equal(sl_data_dir_open(sl_fs_posix(), elsewhere, &other, &err), 0); /* has a lock of its own */
    assert_int_equal(sl_data_dir_open(sl_fs_posix(), path, &again, &err), 0);      /* taken back */
    sl_data_dir_adopt(-1);
    assert_int_equal(again.epoch, 3);
    assert_int_equal(close(lock), 0);
    assert_int_equal(other_process_tries(path, -1), SL_E_IO);
    assert_int_equal(other_process_tries(elsewhere, -1), SL_E_IO);
    sl_data_dir_close(&again);
    assert_int_equal(other_process_tries(path, -1), 0);
    sl_data_dir_close(&other);
    (void)snprintf(command, sizeof(command), "rm -rf %s", dir);
    assert_int_equal(system(command), 0);
}

static void test_a_look_at_the_format_needs_no_lock(void **state)
{
    struct sl_disk *disk = sl_disk_new(1);
    struct sl_fs *fs = sl_disk_fs(disk);
    struct sl_data_dir dir;
    struct sl_err err;

    (void)state;
    assert_int_equal(sl_data_dir_check(fs, "/d", &err), 0); /* not there yet */
    assert_int_equal(sl_data_dir_open(fs, "/d", &dir, &err), 0);
    assert_int_equal(sl_data_dir_check(fs, "/d", &err), 0);
    assert_int_equal(sl_fs_replace_file(fs, "/d/epoch", "sluice-data 2\nwhatever\n", 23), 0);
    assert_int_equal(sl_data_dir_check(fs, "/d", &err), -SL_E_FORMAT);
    assert_non_null(strstr(err.text, "newer version"));
    sl_data_dir_close(&dir);
    (void)sl_disk_free(disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_second_process_is_refused_with_the_first_ones_pid),
        cmocka_unit_test(test_the_epoch_rises_through_a_stop_after_any_operation),
        cmocka_unit_test(test_a_failed_sync_never_gives_an_epoch_away),
        cmocka_unit_test(test_a_newer_format_and_damage_are_refused),
        cmocka_unit_test(test_the_lock_is_never_free_while_it_passes),
        cmocka_unit_test(test_a_look_at_the_format_needs_no_lock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
