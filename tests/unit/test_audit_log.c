/* test_audit_log.c: a change that was told of is in the audit log, whole, whatever cut the process or the disk short.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/deploy/audit_log.h"
#include "tests/support/disk.h"

static const struct sl_who anna = {"anna", 1000}, token = {"token 10.0.0.7", -1};

static int tell(struct sl_audit_log *log, const struct sl_who *who, uint32_t number, struct sl_err *err)
{
    struct sl_audit_entry entry = {1700000000000, who, "deploy", "orders", number, 0xab, "done", "it is \"live\"\nnow"};

    return sl_audit_log_write(log, &entry, err);
}

/* The file's text, malloc'd; "" where there is none. */
static char *text_of(struct sl_fs *fs, const char *path)
{
    char *text = NULL;
    size_t bytes;

    return sl_fs_read_file(fs, path, 1 << 20, &text, &bytes) == 0 ? text : strdup("");
}

static void test_a_line_says_who_did_what(void **state)
{
    struct sl_disk *disk = sl_disk_new(1);
    struct sl_fs *fs = sl_disk_fs(disk);
    struct sl_audit_log *log = NULL;
    struct sl_audit_entry nowhere = {5, &token, "promote", NULL, 0, 0, "refused", "no topology x runs here"};
    struct sl_err err = {0};
    char *text;
    (void)state;

    assert_int_equal(fs->mkdir(fs, "/data", 0755), 0);
    assert_int_equal(sl_audit_log_open(fs, "/data", SL_AUDIT_BYTES, &log, &err), 0);
    assert_int_equal(tell(log, &anna, 3, &err), 0);
    assert_int_equal(sl_audit_log_write(log, &nowhere, &err), 0);
    log = sl_audit_log_close(log);
    assert_int_equal(sl_audit_log_open(fs, "/data", SL_AUDIT_BYTES, &log, &err), 0);
    assert_int_equal(tell(log, &anna, 4, &err), 0); /* behind the others */
    log = sl_audit_log_close(log);
    text = text_of(fs, "/data/audit.log");
    assert_string_equal(text,
                        "{\"unix_ms\":1700000000000,\"who\":\"anna\",\"uid\":1000,\"command\":\"deploy\",\"topology\":\"orders\",\"generation\":3,"
                        "\"digest\":\"00000000000000ab\",\"result\":\"done\",\"text\":\"it is \\\"live\\\"\\nnow\"}\n"
                        "{\"unix_ms\":5,\"who\":\"token 10.0.0.7\",\"command\":\"promote\",\"result\":\"refused\",\"text\":\"no topology x runs here\"}\n"
                        "{\"unix_ms\":1700000000000,\"who\":\"anna\",\"uid\":1000,\"command\":\"deploy\",\"topology\":\"orders\",\"generation\":4,"
                        "\"digest\":\"00000000000000ab\",\"result\":\"done\",\"text\":\"it is \\\"live\\\"\\nnow\"}\n");
    free(text);
    sl_disk_free(disk);
}

/* Whole lines, and how many: -1 where one is not. */
static int lines_of(const char *text)
{
    int lines = 0;

    for (; *text != '\0'; lines++) {
        const char *end = strchr(text, '\n');
        if (end == NULL || strncmp(text, "{\"unix_ms\":", 11) != 0 || end[-1] != '}')
            return -1;
        text = end + 1;
    }
    return lines;
}

static void test_a_crash_loses_no_line_and_tears_none(void **state)
{
    uint64_t total = UINT64_MAX, tried = 0;
    (void)state;

    for (uint64_t cut = 0; cut < total; cut++)
        for (uint64_t seed = 0; seed < 8; seed++, tried++) {
            struct sl_disk *disk = sl_disk_new(seed);
            struct sl_fs *fs = sl_disk_fs(disk);
            struct sl_audit_log *log = NULL;
            struct sl_err err = {0};
            int told = 0, found, old;
            uint64_t before;
            char *text;

            (void)sl_fs_mkdirs(fs, "/data", 0755);
            before = sl_disk_ops(disk);
            sl_disk_crash_after(disk, cut);
            if (sl_audit_log_open(fs, "/data", 600, &log, &err) == 0) /* three lines a file */
                for (uint32_t i = 1; i <= 5 && tell(log, &anna, i, &err) == 0; i++)
                    told++;
            log = sl_audit_log_close(log);
            if (!sl_disk_is_crashed(disk))
                total = sl_disk_ops(disk) - before;
            sl_disk_crash_after(disk, UINT64_MAX);
            sl_disk_restart(disk, seed * 31 + cut);
            assert_int_equal(sl_audit_log_open(fs, "/data", 600, &log, &err), 0);
            log = sl_audit_log_close(log);
            text = text_of(fs, "/data/audit.log");
            found = lines_of(text);
            free(text);
            text = text_of(fs, "/data/audit.log.1");
            old = lines_of(text);
            free(text);
            assert_true(found >= 0 && old >= 0);
            assert_true(found + old >= told && found + old <= 5);
            sl_disk_free(disk);
        }
    print_message("%llu crashes\n", (unsigned long long)tried);
    assert_true(total < UINT64_MAX && total > 10);
}

static void test_a_full_log_is_kept_as_the_old_one(void **state)
{
    struct sl_disk *disk = sl_disk_new(1);
    struct sl_fs *fs = sl_disk_fs(disk);
    struct sl_audit_log *log = NULL;
    struct sl_err err = {0};
    char *text;
    (void)state;

    assert_int_equal(fs->mkdir(fs, "/data", 0755), 0);
    assert_int_equal(sl_audit_log_open(fs, "/data", 600, &log, &err), 0);
    for (uint32_t i = 1; i <= 8; i++)
        assert_int_equal(tell(log, &anna, i, &err), 0);
    log = sl_audit_log_close(log);
    text = text_of(fs, "/data/audit.log");
    assert_true(lines_of(text) >= 1);
    assert_non_null(strstr(text, "\"generation\":8"));
    free(text);
    text = text_of(fs, "/data/audit.log.1");
    assert_int_equal(lines_of(text), 3);
    free(text);
    sl_disk_free(disk);
}

static void test_after_a_refusal_it_goes_on_with_whole_lines(void **state)
{
    struct sl_disk *disk = sl_disk_new(1);
    struct sl_fs *fs = sl_disk_fs(disk);
    struct sl_audit_log *log = NULL;
    struct sl_err err = {0};
    char *text;
    (void)state;

    assert_int_equal(fs->mkdir(fs, "/data", 0755), 0);
    assert_int_equal(sl_audit_log_open(fs, "/data", SL_AUDIT_BYTES, &log, &err), 0);
    assert_int_equal(tell(log, &anna, 1, &err), 0);
    sl_disk_capacity(disk, sl_disk_used(disk) + 20);
    assert_int_equal(tell(log, &anna, 2, &err), -(int)SL_E_IO);
    assert_non_null(strstr(err.text, "writing /data/audit.log: No space left on device"));
    sl_disk_capacity(disk, UINT64_MAX);
    sl_disk_fail_fsync(disk, 1);
    assert_int_not_equal(tell(log, &anna, 3, &err), 0);
    assert_int_equal(tell(log, &anna, 4, &err), 0);
    log = sl_audit_log_close(log);
    text = text_of(fs, "/data/audit.log");
    assert_true(lines_of(text) >= 2);
    assert_non_null(strstr(text, "\"generation\":4"));
    free(text);
    sl_disk_free(disk);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_line_says_who_did_what),
        cmocka_unit_test(test_a_crash_loses_no_line_and_tears_none),
        cmocka_unit_test(test_a_full_log_is_kept_as_the_old_one),
        cmocka_unit_test(test_after_a_refusal_it_goes_on_with_whole_lines),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
