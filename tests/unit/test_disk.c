/* test_disk.c: the modelled disk does forget, tear, reorder, fail and fill up; a model that never loses would prove nothing.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/disk.h"

enum { SECTORS = 4, BYTES = SECTORS * 512 };

static int file_of(struct sl_fs *fs, const char *path, char fill, bool synced)
{
    char data[BYTES];
    int fd = fs->open(fs, path, O_RDWR | O_CREAT, 0644);
    memset(data, fill, sizeof(data));
    assert_int_equal(fs->pwrite(fs, fd, data, sizeof(data), 0), BYTES);
    if (synced) {
        assert_int_equal(fs->fsync(fs, fd), 0);
        assert_int_equal(fs->sync_dir(fs, "/"), 0);
    }
    return fd;
}

static bool exists(struct sl_fs *fs, const char *path)
{
    struct sl_fs_stat st;
    return fs->stat(fs, path, &st) == 0;
}

static void test_synced_stays_and_the_rest_may_do_anything(void **state)
{
    unsigned whole = 0, none = 0, torn = 0;
    (void)state;
    for (uint64_t seed = 0; seed < 200; seed++) {
        struct sl_disk *disk = sl_disk_new(1);
        struct sl_fs *fs = sl_disk_fs(disk);
        char data[BYTES], over[BYTES];
        unsigned kept = 0;
        int fd = file_of(fs, "/f", 'a', true);
        memset(over, 'b', sizeof(over));
        assert_int_equal(fs->pwrite(fs, fd, over, sizeof(over), 0), BYTES);
        sl_disk_restart(disk, seed);
        assert_int_equal(fs->pread(fs, fd, data, 1, 0), -EBADF); /* descriptors die */
        fd = fs->open(fs, "/f", O_RDONLY, 0);
        assert_int_equal(fs->pread(fs, fd, data, sizeof(data), 0), BYTES);
        for (unsigned i = 0; i < SECTORS; i++) {
            assert_true(data[512 * i] == data[512 * i + 511]); /* a sector is old or new */
            kept += data[512 * i] == 'b';
        }
        whole += kept == SECTORS;
        none += kept == 0;
        torn += kept > 0 && kept < SECTORS;
        (void)sl_disk_free(disk);
    }
    assert_true(whole > 20 && none > 20 && torn > 20);
}

static void test_names_need_their_folder_synced(void **state)
{
    unsigned first = 0, second = 0, second_only = 0, both_names = 0, no_name = 0, renamed = 0;
    (void)state;
    for (uint64_t seed = 0; seed < 400; seed++) {
        struct sl_disk *disk = sl_disk_new(1);
        struct sl_fs *fs = sl_disk_fs(disk);
        (void)file_of(fs, "/old", 'a', true);
        (void)fs->fsync(fs, file_of(fs, "/one", 'a', false));
        (void)fs->fsync(fs, file_of(fs, "/two", 'a', false));
        assert_int_equal(fs->rename(fs, "/old", "/new"), 0);
        sl_disk_restart(disk, seed);
        first += exists(fs, "/one");
        second += exists(fs, "/two");
        second_only += exists(fs, "/two") && !exists(fs, "/one");
        both_names += exists(fs, "/old") && exists(fs, "/new");
        no_name += !exists(fs, "/old") && !exists(fs, "/new");
        renamed += exists(fs, "/new");
        (void)sl_disk_free(disk);
    }
    assert_true(first > 50 && first < 350 && second > 50 && second < 350 && second_only > 10);
    assert_true(renamed > 50 && renamed < 350);
    assert_int_equal(both_names + no_name, 0); /* a rename is atomic */
}

static void test_a_failed_fsync_forgets_what_is_still_seen(void **state)
{
    struct sl_disk *disk = sl_disk_new(1);
    struct sl_fs *fs = sl_disk_fs(disk);
    char data[BYTES];
    int fd = file_of(fs, "/f", 'a', true);

    (void)state;
    memset(data, 'b', sizeof(data));
    assert_int_equal(fs->pwrite(fs, fd, data, sizeof(data), 0), BYTES);
    sl_disk_fail_fsync(disk, 1);
    assert_int_equal(fs->fsync(fs, fd), -EIO);
    assert_int_equal(fs->fsync(fs, fd), 0); /* and lies */
    assert_int_equal(fs->pread(fs, fd, data, 1, 0), 1);
    assert_int_equal(data[0], 'b');
    sl_disk_restart(disk, 1);
    fd = fs->open(fs, "/f", O_RDONLY, 0);
    assert_int_equal(fs->pread(fs, fd, data, 1, 0), 1);
    assert_int_equal(data[0], 'a');
    (void)sl_disk_free(disk);
}

static void test_after_the_stop_nothing_answers_until_the_restart(void **state)
{
    struct sl_disk *disk = sl_disk_new(1), *copy;
    struct sl_fs *fs = sl_disk_fs(disk);
    struct sl_fs_stat st;
    int fd = file_of(fs, "/f", 'a', true);
    uint64_t ops = sl_disk_ops(disk);

    (void)state;
    copy = sl_disk_copy(disk);
    sl_disk_crash_after(disk, 2);
    assert_int_equal(fs->pwrite(fs, fd, "x", 1, 0), 1);
    assert_int_equal(fs->fsync(fs, fd), -EIO);
    assert_true(sl_disk_is_crashed(disk));
    assert_int_equal(fs->stat(fs, "/f", &st), -EIO);
    assert_int_equal(fs->open(fs, "/g", O_RDWR | O_CREAT, 0644), -EIO);
    assert_int_equal(sl_disk_ops(disk), ops + 2);
    sl_disk_restart(disk, 3);
    assert_int_equal(fs->stat(fs, "/f", &st), 0);
    assert_false(exists(fs, "/g"));
    assert_true(exists(sl_disk_fs(copy), "/f"));
    assert_int_equal(sl_disk_flip(copy, "/f", 0, 0), 0);
    fd = sl_disk_fs(copy)->open(sl_disk_fs(copy), "/f", O_RDONLY, 0);
    assert_int_equal(sl_disk_fs(copy)->pread(sl_disk_fs(copy), fd, &st, 1, 0), 1);
    assert_int_equal(*(char *)&st, 'a' ^ 1);
    (void)sl_disk_free(copy);
    (void)sl_disk_free(disk);
}

static void test_a_lock_goes_with_its_descriptor(void **state)
{
    struct sl_disk *disk = sl_disk_new(1);
    struct sl_fs *fs = sl_disk_fs(disk);
    int one = file_of(fs, "/f", 'a', true), two = fs->open(fs, "/f", O_RDWR, 0);

    (void)state;
    assert_int_equal(fs->lock(fs, one), 0);
    assert_int_equal(fs->lock(fs, one), 0);
    assert_int_equal(fs->lock(fs, two), -EWOULDBLOCK);
    assert_int_equal(fs->close(fs, one), 0);
    assert_int_equal(fs->lock(fs, two), 0);
    (void)sl_disk_free(disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_synced_stays_and_the_rest_may_do_anything),
        cmocka_unit_test(test_names_need_their_folder_synced),
        cmocka_unit_test(test_a_failed_fsync_forgets_what_is_still_seen),
        cmocka_unit_test(test_after_the_stop_nothing_answers_until_the_restart),
        cmocka_unit_test(test_a_lock_goes_with_its_descriptor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
