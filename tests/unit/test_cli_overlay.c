/* test_cli_overlay.c: whatever is done through an overlay, the folder below stays as it was.
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
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/cli/overlay.h"

static char root[64];
static struct sl_overlay *overlay;
static struct sl_fs *fs;

static const char *at(const char *name)
{
    static char paths[4][128];
    static int turn;
    turn = (turn + 1) % 4;
    (void)snprintf(paths[turn], sizeof(paths[0]), "%s/%s", root, name);
    return paths[turn];
}

static void put(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    (void)fputs(text, file);
    (void)fclose(file);
}

/* Names and contents of everything below root, as the kernel sees them. */
static char *snapshot(void)
{
    char command[256], *text = calloc(1, 4096);
    FILE *pipe;
    (void)snprintf(command, sizeof(command), "cd %s && find . | sort && find . -type f | sort | xargs md5sum && find . -type f | sort | xargs stat -c %%Y:%%s", root);
    pipe = popen(command, "r");
    assert_non_null(pipe);
    assert_true(fread(text, 1, 4095, pipe) > 0);
    assert_int_equal(pclose(pipe), 0);
    return text;
}

static int begin(void **state)
{
    struct sl_err err;
    (void)snprintf(root, sizeof(root), "/tmp/sluice-test-overlay-XXXXXX");
    assert_non_null(mkdtemp(root));
    assert_int_equal(mkdir(at("d"), 0700), 0);
    put(at("d/a"), "below");
    put(at("d/b"), "other");
    assert_int_equal(sl_overlay_open(root, &overlay, &err), 0);
    fs = sl_overlay_fs(overlay);
    *state = snapshot();
    return 0;
}

static int end(void **state)
{
    char *after = snapshot(), command[128];
    int same = strcmp(*state, after);
    (void)sl_overlay_close(overlay);
    free(*state);
    free(after);
    (void)snprintf(command, sizeof(command), "rm -rf %s", root);
    return same != 0 || system(command) != 0 ? -1 : 0;
}

static void assert_reads(const char *name, const char *text)
{
    char data[64] = "";
    int fd = fs->open(fs, at(name), O_RDONLY, 0);
    assert_true(fd >= 0);
    assert_int_equal(fs->pread(fs, fd, data, sizeof(data) - 1, 0), strlen(text));
    assert_string_equal(data, text);
    assert_int_equal(fs->close(fs, fd), 0);
}

static int collect(void *user, const char *name)
{
    strcat(user, name);
    strcat(user, " ");
    return 0;
}

static void assert_lists(const char *names)
{
    char text[256] = "";
    assert_int_equal(fs->list(fs, at("d"), collect, text), 0);
    assert_string_equal(text, names);
}

static void test_writes_are_seen_through_it_only(void **state)
{
    int fd = fs->open(fs, at("d/a"), O_RDWR, 0);
    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(fs->truncate(fs, fd, 3), 0);
    assert_int_equal(fs->pwrite(fs, fd, "XY", 2, 3), 2);
    assert_int_equal(fs->fsync(fs, fd), 0);
    assert_int_equal(fs->close(fs, fd), 0);
    assert_reads("d/a", "belXY");
    assert_reads("d/b", "other");
    assert_lists("a b ");
}

static void test_new_removed_and_renamed_names(void **state)
{
    struct sl_fs_stat stat;
    int fd;
    (void)state;
    assert_int_equal(fs->mkdir(fs, at("e"), 0755), 0);
    assert_int_equal(fs->mkdir(fs, at("e"), 0755), -EEXIST);
    assert_int_equal(fs->mkdir(fs, at("d"), 0755), -EEXIST);
    fd = fs->open(fs, at("d/c"), O_CREAT | O_EXCL | O_WRONLY, 0644);
    assert_true(fd >= 0);
    assert_int_equal(fs->close(fs, fd), 0);
    assert_lists("a b c ");
    assert_int_equal(fs->unlink(fs, at("d/a")), 0);
    assert_int_equal(fs->unlink(fs, at("d/a")), -ENOENT);
    assert_int_equal(fs->open(fs, at("d/a"), O_RDONLY, 0), -ENOENT);
    assert_int_equal(fs->stat(fs, at("d/a"), &stat), -ENOENT);
    assert_lists("b c ");
    assert_int_equal(fs->rename(fs, at("d/b"), at("d/z")), 0);
    assert_reads("d/z", "other");
    assert_lists("c z ");
    assert_int_equal(fs->rename(fs, at("d/z"), at("d/a")), 0); /* a removed name may come again */
    assert_reads("d/a", "other");
    assert_lists("a c ");
}

static void test_exclusive_creation_sees_what_is_below(void **state)
{
    (void)state;
    assert_int_equal(fs->open(fs, at("d/a"), O_CREAT | O_EXCL | O_WRONLY, 0644), -EEXIST);
}

static void test_paths_outside_are_refused(void **state)
{
    struct sl_fs_stat stat;
    char beside[128];
    (void)state;
    (void)snprintf(beside, sizeof(beside), "%sx/a", root);
    assert_int_equal(fs->open(fs, "/etc/passwd", O_RDONLY, 0), -EXDEV);
    assert_int_equal(fs->stat(fs, beside, &stat), -EXDEV);
    assert_int_equal(fs->unlink(fs, beside), -EXDEV);
}

/* Durable mkdir asks about each folder on the way, from / on. */
static void test_folders_that_lead_to_root_are_there(void **state)
{
    struct sl_fs_stat stat;
    (void)state;
    assert_int_equal(sl_fs_mkdirs(fs, at("d/new"), 0755), 0);
    assert_int_equal(fs->stat(fs, "/tmp", &stat), 0);
    assert_int_equal(fs->mkdir(fs, "/tmp", 0755), -EEXIST);
    assert_int_equal(fs->mkdir(fs, "/tmp/other", 0755), -EXDEV);
    assert_int_equal(access(at("d/new"), F_OK), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_writes_are_seen_through_it_only, begin, end),
        cmocka_unit_test_setup_teardown(test_new_removed_and_renamed_names, begin, end),
        cmocka_unit_test_setup_teardown(test_exclusive_creation_sees_what_is_below, begin, end),
        cmocka_unit_test_setup_teardown(test_paths_outside_are_refused, begin, end),
        cmocka_unit_test_setup_teardown(test_folders_that_lead_to_root_are_there, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
