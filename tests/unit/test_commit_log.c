/* test_commit_log.c: commits are whole and stay; stops after every operation, failed syncs, damage, compaction.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/store/commit_log.h"
#include "tests/support/disk.h"

enum { KEYS = 8, COMMITS = 40 };

/* Commit number n sets key n % KEYS to "n…" and removes key (n + 3) % KEYS, and sets "last" to n: three changes or none. */
struct model {
    int value[KEYS]; /* -1: absent */
    int last;
};

static void model_init(struct model *model)
{
    for (int i = 0; i < KEYS; i++)
        model->value[i] = -1;
    model->last = -1;
}

static void model_apply(struct model *model, int number)
{
    model->value[number % KEYS] = number;
    model->value[(number + 3) % KEYS] = -1;
    model->last = number;
}

static int commit(struct sl_commit_log *log, int number, struct sl_err *err)
{
    char set[16], gone[16], value[900], last[16];
    struct sl_commit_change changes[3];

    (void)snprintf(set, sizeof(set), "key %d", number % KEYS);
    (void)snprintf(gone, sizeof(gone), "key %d", (number + 3) % KEYS);
    (void)snprintf(value, sizeof(value), "%-*d", 100 + number * 17 % 700, number);
    (void)snprintf(last, sizeof(last), "%d", number);
    changes[0] = (struct sl_commit_change){sl_slice_of(set), sl_slice_of(value)};
    changes[1] = (struct sl_commit_change){sl_slice_of(gone), {NULL, 0}};
    changes[2] = (struct sl_commit_change){sl_slice_of("last"), sl_slice_of(last)};
    return sl_commit_log_append(log, changes, 3, err);
}

static int model_read(void *user, struct sl_slice key, struct sl_slice value)
{
    struct model *model = user;
    char text[16] = "";
    memcpy(text, value.data, value.bytes < 15 ? value.bytes : 15);
    if (sl_slice_is(key, "last"))
        model->last = atoi(text);
    else
        model->value[key.data[4] - '0'] = atoi(text);
    return 0;
}

/* The log's content is that of all commits up to its own "last", and of nothing else. */
static int verify(struct sl_commit_log *log, int *ret_last)
{
    struct model found, right;
    model_init(&found);
    model_init(&right);
    if (sl_commit_log_each(log, model_read, &found) != 0)
        return -1;
    for (int i = 0; i <= found.last; i++)
        model_apply(&right, i);
    *ret_last = found.last;
    return memcmp(&found, &right, sizeof(found)) == 0 ? 0 : -1;
}

static void test_a_stop_after_any_operation_keeps_whole_commits(void **state)
{
    (void)state;
    for (uint64_t stop = 1; stop < 100; stop++)
        for (uint64_t seed = 1; seed <= 10; seed++) {
            struct sl_disk *disk = sl_disk_new(1);
            struct sl_commit_log *log = NULL;
            struct sl_err err;
            int acked = -1, last = -1;
            sl_disk_crash_after(disk, stop);
            for (int number = 0; number < COMMITS; number++) {
                if (number % 15 == 0) {
                    log = sl_commit_log_close(log);
                    if (sl_commit_log_open(sl_disk_fs(disk), "/log", &log, &err) < 0)
                        break;
                }
                if (commit(log, number, &err) < 0)
                    break;
                acked = number;
            }
            log = sl_commit_log_close(log);
            sl_disk_restart(disk, seed);
            if (sl_commit_log_open(sl_disk_fs(disk), "/log", &log, &err) < 0)
                fail_msg("stop %llu, seed %llu: %s", (unsigned long long)stop, (unsigned long long)seed, err.text);
            if (verify(log, &last) < 0 || last < acked || last > acked + 1)
                fail_msg("stop %llu, seed %llu: last is %d, acknowledged %d", (unsigned long long)stop, (unsigned long long)seed,
                         last, acked);
            assert_int_equal(commit(log, last + 1, &err), 0);
            log = sl_commit_log_close(log);
            assert_int_equal(sl_commit_log_open(sl_disk_fs(disk), "/log", &log, &err), 0);
            acked = last + 1;
            assert_int_equal(verify(log, &last), 0);
            assert_int_equal(last, acked);
            (void)sl_commit_log_close(log);
            (void)sl_disk_free(disk);
        }
}

/* Rule F2. A commit that is reported failed is tried again, as its maker would. */
static void test_a_failed_sync_rolls_and_loses_nothing(void **state)
{
    (void)state;
    for (uint64_t nth = 1; nth < 60; nth++)
        for (uint64_t seed = 1; seed <= 4; seed++) {
            struct sl_disk *disk = sl_disk_new(1);
            struct sl_commit_log *log = NULL;
            struct sl_err err;
            int last = -1, refused = 0;
            sl_disk_fail_fsync(disk, nth);
            if (sl_commit_log_open(sl_disk_fs(disk), "/log", &log, &err) < 0)
                assert_int_equal(sl_commit_log_open(sl_disk_fs(disk), "/log", &log, &err), 0);
            for (int number = 0; number < COMMITS; number++)
                while (commit(log, number, &err) < 0)
                    refused++;
            assert_int_equal(refused, 0); /* one failure is hidden by the new file */
            sl_disk_fail_fsync(disk, 0);
            sl_disk_crash_after(disk, 0);
            log = sl_commit_log_close(log);
            sl_disk_restart(disk, seed);
            assert_int_equal(sl_commit_log_open(sl_disk_fs(disk), "/log", &log, &err), 0);
            assert_int_equal(verify(log, &last), 0);
            assert_int_equal(last, COMMITS - 1);
            (void)sl_commit_log_close(log);
            (void)sl_disk_free(disk);
        }
}

static void test_a_full_disk_refuses_and_goes_on_later(void **state)
{
    (void)state;
    for (uint64_t room = 0; room < 4000; room += 61) {
        struct sl_disk *disk = sl_disk_new(1);
        struct sl_commit_log *log = NULL;
        struct sl_err err;
        int number = 3, last = -1;
        assert_int_equal(sl_commit_log_open(sl_disk_fs(disk), "/log", &log, &err), 0);
        for (int i = 0; i < number; i++)
            assert_int_equal(commit(log, i, &err), 0);
        sl_disk_capacity(disk, sl_disk_used(disk) + room);
        while (commit(log, number, &err) == 0)
            number++;
        assert_int_equal(err.remedy, SL_REMEDY_RETRY);
        sl_disk_capacity(disk, UINT64_MAX);
        assert_int_equal(commit(log, number, &err), 0);
        sl_disk_crash_after(disk, 0);
        log = sl_commit_log_close(log);
        sl_disk_restart(disk, room);
        assert_int_equal(sl_commit_log_open(sl_disk_fs(disk), "/log", &log, &err), 0);
        assert_int_equal(verify(log, &last), 0);
        assert_int_equal(last, number);
        (void)sl_commit_log_close(log);
        (void)sl_disk_free(disk);
    }
}

/* A log of five commits, written by one process that was killed (not rolled since). */
static struct sl_disk *damaged_base(uint64_t *ret_bytes, uint64_t *ret_last_at)
{
    struct sl_disk *disk = sl_disk_new(1);
    struct sl_fs *fs = sl_disk_fs(disk);
    struct sl_commit_log *log = NULL;
    struct sl_fs_stat st = {0};
    struct sl_err err;

    assert_int_equal(sl_commit_log_open(fs, "/log", &log, &err), 0);
    for (int i = 0; i < 5; i++) {
        if (fs->stat(fs, "/log", &st) == 0)
            *ret_last_at = st.bytes;
        assert_int_equal(commit(log, i, &err), 0);
    }
    (void)sl_commit_log_close(log);
    assert_int_equal(fs->stat(fs, "/log", &st), 0);
    *ret_bytes = st.bytes;
    return disk;
}

static void test_a_torn_last_commit_is_cut_and_damage_before_it_is_refused(void **state)
{
    uint64_t bytes = 0, last_at = 0;
    struct sl_disk *base = damaged_base(&bytes, &last_at);

    (void)state;
    for (uint64_t at = 0; at < bytes; at++)
        for (int cut = 0; cut < 2; cut++) {
            struct sl_disk *disk = sl_disk_copy(base);
            struct sl_commit_log *log = NULL;
            struct sl_err err = {0};
            int last = -1, rc;
            assert_int_equal(cut ? sl_disk_cut(disk, "/log", at) : sl_disk_flip(disk, "/log", at, at % 8), 0);
            rc = sl_commit_log_open(sl_disk_fs(disk), "/log", &log, &err);
            if (cut ? at < 40 : at < last_at) {
                assert_int_equal(rc, -SL_E_FORMAT);
                assert_int_equal(err.remedy, SL_REMEDY_HALT);
            } else {
                assert_int_equal(rc, 0);
                assert_int_equal(verify(log, &last), 0);
                assert_true(cut || last == 3);
            }
            (void)sl_commit_log_close(log);
            (void)sl_disk_free(disk);
        }
    (void)sl_disk_free(base);
}

static void test_the_file_stays_small(void **state)
{
    struct sl_disk *disk = sl_disk_new(1);
    struct sl_fs *fs = sl_disk_fs(disk);
    struct sl_commit_log *log = NULL;
    struct sl_fs_stat st;
    struct sl_err err;
    char *value = calloc(1, 1 << 20);
    struct sl_commit_change change = {sl_slice_of("k"), {value, 1 << 20}};

    (void)state;
    assert_int_equal(sl_commit_log_open(fs, "/log", &log, &err), 0);
    for (int i = 0; i < 40; i++) {
        assert_int_equal(sl_commit_log_append(log, &change, 1, &err), 0);
        assert_int_equal(fs->stat(fs, "/log", &st), 0);
        assert_true(st.bytes < 8u << 20);
    }
    (void)sl_commit_log_close(log);
    (void)sl_disk_free(disk);
    free(value);
}

static int order_check(void *user, struct sl_slice key, struct sl_slice value)
{
    struct sl_slice *before = user;
    uint32_t bytes = before->bytes < key.bytes ? before->bytes : key.bytes;
    int order = bytes > 0 ? memcmp(before->data, key.data, bytes) : 0;
    assert_true(order < 0 || (order == 0 && before->bytes < key.bytes));
    assert_true(value.data != NULL);
    *before = key;
    return value.bytes == 1 && value.data[0] == 'x' ? 7 : 0;
}

static void test_keys_are_any_bytes_and_come_in_order(void **state)
{
    struct sl_disk *disk = sl_disk_new(1);
    struct sl_commit_log *log = NULL;
    struct sl_err err;
    struct sl_slice before = {"", 0};
    char *large = calloc(1, (16 << 20) + 1);
    struct sl_commit_change changes[4] = {{{"b\0b", 3}, {"", 0}},
                                          {{"b", 1}, {"\0", 1}},
                                          {{"\xff", 1}, {"x", 1}},
                                          {{"\xff\xff", 2}, {"y", 1}}};
    struct sl_commit_change too_large = {{"k", 1}, {large, (16 << 20) + 1}}, fits = {{large, 16 << 20}, {large, 16 << 20}};

    (void)state;
    assert_int_equal(sl_commit_log_open(sl_disk_fs(disk), "/log", &log, &err), 0);
    assert_int_equal(sl_commit_log_append(log, changes, 4, &err), 0);
    assert_int_equal(sl_commit_log_append(log, &too_large, 1, &err), -SL_E_LIMIT);
    assert_int_equal(sl_commit_log_append(log, NULL, 0, &err), 0);
    assert_int_equal(sl_commit_log_each(log, order_check, &before), 7);
    assert_int_equal(sl_commit_log_append(log, &fits, 1, &err), 0);
    log = sl_commit_log_close(log);
    assert_int_equal(sl_commit_log_open(sl_disk_fs(disk), "/log", &log, &err), 0);
    before = (struct sl_slice){"", 0};
    assert_int_equal(sl_commit_log_each(log, order_check, &before), 7);
    (void)sl_commit_log_close(log);
    (void)sl_disk_free(disk);
    free(large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_stop_after_any_operation_keeps_whole_commits),
        cmocka_unit_test(test_a_failed_sync_rolls_and_loses_nothing),
        cmocka_unit_test(test_a_full_disk_refuses_and_goes_on_later),
        cmocka_unit_test(test_a_torn_last_commit_is_cut_and_damage_before_it_is_refused),
        cmocka_unit_test(test_the_file_stays_small),
        cmocka_unit_test(test_keys_are_any_bytes_and_come_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
