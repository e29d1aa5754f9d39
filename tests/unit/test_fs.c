/* test_fs.c: the helpers of fs.h over the kernel and over the modelled disk, with short writes and failures.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/fs.h"
#include "tests/support/disk.h"

static int names_add(void *user, const char *name)
{
    strcat(strcat(user, name), " ");
    return strcmp(name, "stop") == 0 ? 42 : 0;
}

static void write_text(struct sl_fs *fs, const char *path, const char *text)
{
    assert_int_equal(sl_fs_replace_file(fs, path, text, strlen(text)), 0);
}

/* One story for both implementations. */
static void story(struct sl_fs *fs, const char *dir)
{
    char path[300], other[300], names[300] = "", *data;
    struct sl_fs_stat st;
    size_t bytes;
    int fd;

    (void)snprintf(path, sizeof(path), "%s/a/b//c/", dir);
    assert_int_equal(sl_fs_mkdirs(fs, path, 0755), 0);
    assert_int_equal(sl_fs_mkdirs(fs, path, 0755), 0);
    (void)snprintf(path, sizeof(path), "%s/a/file", dir);
    write_text(fs, path, "one");
    write_text(fs, path, "second");
    assert_int_equal(sl_fs_read_file(fs, path, 100, &data, &bytes), 0);
    assert_int_equal(bytes, 6);
    assert_string_equal(data, "second");
    free(data);
    assert_int_equal(sl_fs_read_file(fs, path, 5, &data, &bytes), -EFBIG);
    assert_int_equal(sl_fs_mkdirs(fs, path, 0755), -ENOTDIR);
    (void)snprintf(other, sizeof(other), "%s/a/none", dir);
    assert_int_equal(sl_fs_read_file(fs, other, 5, &data, &bytes), -ENOENT);
    (void)snprintf(other, sizeof(other), "%s/a", dir);
    assert_int_equal(sl_fs_read_file(fs, other, 5, &data, &bytes), -EISDIR);
    assert_int_equal(fs->list(fs, other, names_add, names), 0);
    assert_string_equal(names, "b file "); /* no temporary is left */
    fd = fs->open(fs, path, O_RDWR, 0);
    assert_true(fd >= 0);
    assert_int_equal(fs->pwrite(fs, fd, "x", 1, 9), 1);
    assert_int_equal(fs->truncate(fs, fd, 12), 0);
    assert_int_equal(fs->fstat(fs, fd, &st), 0);
    assert_int_equal(st.bytes, 12);
    assert_int_equal(fs->pread(fs, fd, names, 100, 6), 6);
    assert_memory_equal(names, "\0\0\0x\0\0", 6);
    assert_int_equal(fs->close(fs, fd), 0);
    assert_int_equal(fs->close(fs, fd), -EBADF);
    assert_int_equal(fs->rmdir(fs, other), -ENOTEMPTY);
    (void)snprintf(other, sizeof(other), "%s/a/stop", dir);
    assert_int_equal(fs->rename(fs, path, other), 0);
    assert_int_equal(fs->stat(fs, path, &st), -ENOENT);
    write_text(fs, path, "");
    (void)snprintf(path, sizeof(path), "%s/a/zoo", dir);
    write_text(fs, path, "");
    names[0] = '\0';
    (void)snprintf(other, sizeof(other), "%s/a", dir);
    assert_int_equal(fs->list(fs, other, names_add, names), 42);
    assert_string_equal(names, "b file stop ");
    assert_int_equal(fs->unlink(fs, path), 0);
    assert_int_equal(fs->unlink(fs, path), -ENOENT);
}

static void test_the_kernel(void **state)
{
    char dir[] = "/tmp/sluice-fs-XXXXXX", command[64];
    (void)state;
    assert_non_null(mkdtemp(dir));
    story(sl_fs_posix(), dir);
    (void)snprintf(command, sizeof(command), "rm -rf %s", dir);
    assert_int_equal(system(command), 0);
}

static void test_the_modelled_disk(void **state)
{
    struct sl_disk *disk = sl_disk_new(1);
    (void)state;
    story(sl_disk_fs(disk), "");
    story(sl_disk_fs(disk), "/deep");
    (void)sl_disk_free(disk);
}

static void test_a_replaced_file_is_the_old_or_the_new_one_at_any_stop(void **state)
{
    (void)state;
    for (uint64_t stop = 1; stop < 7; stop++)
        for (uint64_t seed = 1; seed <= 50; seed++) {
            struct sl_disk *disk = sl_disk_new(seed);
            struct sl_fs *fs = sl_disk_fs(disk);
            char *data;
            size_t bytes;
            int rc;
            write_text(fs, "/file", "old");
            sl_disk_crash_after(disk, stop);
            rc = sl_fs_replace_file(fs, "/file", "newer", 5);
            sl_disk_restart(disk, seed);
            assert_int_equal(sl_fs_read_file(fs, "/file", 100, &data, &bytes), 0);
            assert_true(strcmp(data, "newer") == 0 || (rc != 0 && strcmp(data, "old") == 0));
            free(data);
            (void)sl_disk_free(disk);
        }
}

static void test_short_writes_go_on_until_the_disk_is_full(void **state)
{
    struct sl_disk *disk = sl_disk_new(1);
    struct sl_fs *fs = sl_disk_fs(disk);
    char text[1000];
    int fd = fs->open(fs, "/f", O_RDWR | O_CREAT, 0644);

    (void)state;
    memset(text, 'x', sizeof(text));
    sl_disk_capacity(disk, 600);
    assert_int_equal(fs->pwrite(fs, fd, text, sizeof(text), 0), 600);
    assert_int_equal(sl_fs_write_all(fs, fd, text, sizeof(text), 0), -ENOSPC);
    assert_int_equal(sl_fs_write_all(fs, fd, text, 600, 0), 0);
    (void)sl_disk_free(disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_kernel),
        cmocka_unit_test(test_the_modelled_disk),
        cmocka_unit_test(test_a_replaced_file_is_the_old_or_the_new_one_at_any_stop),
        cmocka_unit_test(test_short_writes_go_on_until_the_disk_is_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
