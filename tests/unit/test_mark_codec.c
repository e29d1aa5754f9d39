/* test_mark_codec.c: marks and commit keys come back as they were, and nothing else passes for one.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/engine/mark_codec.h"

static const struct sl_mark mark_cases[] = {
    {0, UINT64_MAX, 0, 0},
    {1, 0, 1, 0},
    {42, UINT64_MAX, 0, 0},
    {1000, 999, 0xfedcba9876543210u, 1700000000000},
    {5000, 17, UINT64_MAX, -1},
    {UINT64_MAX, UINT64_MAX - 1, 7, INT64_MAX},
    {INT64_MAX, 0, 7, INT64_MIN},
};
enum { MARK_CASES = sizeof(mark_cases) / sizeof(mark_cases[0]) };

static void mark_equal(const struct sl_mark *a, const struct sl_mark *b)
{
    assert_true(a->next == b->next);
    assert_true(a->last_offset == b->last_offset);
    assert_true(a->last_hash == b->last_hash);
    assert_true(a->last_unix_ms == b->last_unix_ms);
}

/* A heap copy without a byte behind it, so that the address sanitizer sees a read past the end. */
static int scan_exactly(const char *text, size_t bytes, struct sl_mark *mark, uint32_t *incarnation)
{
    char *copy = malloc(bytes + (bytes == 0));
    int status;

    memcpy(copy, text, bytes);
    status = sl_mark_scan((struct sl_slice){copy, (uint32_t)bytes}, mark, incarnation);
    free(copy);
    return status;
}

static void test_a_mark_comes_back(void **state)
{
    (void)state;
    for (size_t i = 0; i < MARK_CASES; i++) {
        char text[SL_MARK_BYTES];
        struct sl_mark back;
        uint32_t incarnation = 0;
        size_t bytes = sl_mark_print(&mark_cases[i], UINT32_MAX - (uint32_t)i, text);

        assert_int_equal(scan_exactly(text, bytes, &back, &incarnation), 0);
        mark_equal(&back, &mark_cases[i]);
        assert_int_equal(incarnation, UINT32_MAX - (uint32_t)i);
    }
}

static void test_a_damaged_or_cut_mark_is_refused(void **state)
{
    char text[SL_MARK_BYTES + 1];
    struct sl_mark back;
    uint32_t incarnation;
    size_t bytes = sl_mark_print(&mark_cases[3], 9, text);

    (void)state;
    for (size_t cut = 0; cut < bytes; cut++)
        assert_int_equal(scan_exactly(text, cut, &back, &incarnation), -1);
    for (size_t i = 0; i < bytes; i++)
        for (int bit = 0; bit < 8; bit++) {
            text[i] = (char)(text[i] ^ (1 << bit));
            assert_int_equal(scan_exactly(text, bytes, &back, &incarnation), -1);
            text[i] = (char)(text[i] ^ (1 << bit));
        }
    text[bytes] = 0;
    assert_int_equal(scan_exactly(text, bytes + 1, &back, &incarnation), -1);
}

static void test_metadata_brings_every_sink_back(void **state)
{
    struct sl_named_mark rows[MARK_CASES];
    static const char *const names[MARK_CASES] = {"", "landing", "search", "a b", "\xc3\xa4", "x", "dead_letters"};
    static struct sl_marks marks;
    char text[SL_MARK_METADATA_BYTES + 1];
    uint32_t written;
    size_t bytes;

    (void)state;
    for (uint32_t i = 0; i < MARK_CASES; i++)
        rows[i] = (struct sl_named_mark){names[i], mark_cases[i], i};
    for (uint32_t count = 0; count <= MARK_CASES; count++) {
        bytes = sl_marks_print(rows, count, text, &written);
        assert_int_equal(bytes, strlen(text));
        assert_int_equal(written, count);
        assert_int_equal(sl_marks_scan((struct sl_slice){text, (uint32_t)bytes}, &marks), 0);
        assert_int_equal(marks.count, count);
        assert_false(marks.partial);
        for (uint32_t i = 0; i < count; i++) {
            assert_string_equal(marks.rows[i].sink, names[i]);
            assert_int_equal(marks.rows[i].incarnation, i);
            mark_equal(&marks.rows[i].mark, &mark_cases[i]);
        }
    }
}

static void test_metadata_never_exceeds_its_limit_and_says_so(void **state)
{
    enum { ROWS = 300 };
    static struct sl_named_mark rows[ROWS];
    static char names[ROWS][SL_MARK_SINK_BYTES + 1];
    static struct sl_marks marks;
    char text[SL_MARK_METADATA_BYTES + 1];

    (void)state;
    for (size_t length = 0; length <= SL_MARK_SINK_BYTES; length += 5) {
        uint32_t written;
        size_t bytes;

        for (uint32_t i = 0; i < ROWS; i++) {
            memset(names[i], 'a' + (int)(i % 26), length);
            names[i][length] = '\0';
            rows[i] = (struct sl_named_mark){names[i], mark_cases[5], i};
        }
        bytes = sl_marks_print(rows, ROWS, text, &written);
        assert_true(bytes <= SL_MARK_METADATA_BYTES);
        assert_true(written > 0 && written < ROWS);
        assert_int_equal(sl_marks_scan((struct sl_slice){text, (uint32_t)bytes}, &marks), 0);
        assert_true(marks.partial);
        assert_int_equal(marks.count, written);
        assert_string_equal(marks.rows[written - 1].sink, names[written - 1]);
        assert_int_equal(sl_marks_print(rows, written, text, &written), bytes);
    }
}

static void test_foreign_metadata_is_refused(void **state)
{
    static const char *const foreign[] = {"", "s", "s1", "s1A", "s1AAAAAA", "{\"a\":1}", "s3AAAA", "s1====", "s1AAAA AAAA",
                                          "metadata written by a tool"};
    static struct sl_marks marks;
    char text[SL_MARK_METADATA_BYTES + 1];
    struct sl_named_mark row = {"landing", mark_cases[3], 1};
    uint32_t written;
    size_t bytes;

    (void)state;
    for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++)
        assert_int_equal(sl_marks_scan(sl_slice_of(foreign[i]), &marks), -1);
    bytes = sl_marks_print(&row, 1, text, &written);
    for (size_t cut = 0; cut < bytes; cut++)
        assert_int_equal(sl_marks_scan((struct sl_slice){text, (uint32_t)cut}, &marks), -1);
    for (size_t i = 2; i < bytes; i++) {
        char was = text[i];

        text[i] = was == 'Q' ? 'R' : 'Q';
        assert_int_equal(sl_marks_scan((struct sl_slice){text, (uint32_t)bytes}, &marks), -1);
        assert_int_equal(marks.count, 0);
        text[i] = was;
    }
}

static void same(const char *a, const char *b)
{
    assert_true((a == NULL) == (b == NULL));
    if (a != NULL)
        assert_string_equal(a, b);
}

static void test_keys_come_back_and_differ(void **state)
{
    static const struct sl_commit_key keys[] = {
        {SL_KEY_MARK, "g", "landing", "logs", "logs.a", "12", NULL, 0, 0},
        {SL_KEY_MARK, "g", "landing", "logs", "/var/log/a b\n", "0123456789abcdef0123456789abcdef", NULL, 0, 0},
        {SL_KEY_MARK, "", "", "", "", "", NULL, 0, 0},
        {SL_KEY_FLUSH, "g", "landing", NULL, NULL, NULL, "node-1", 18446744073709551615u, 99999},
        {SL_KEY_FLUSH, "g", "landing", NULL, NULL, NULL, "node-1", 2, 0},
        {SL_KEY_FLUSH, "g", "landing", NULL, NULL, NULL, "node-1", 10, 0},
        {SL_KEY_ZONE, "g", "landing", NULL, NULL, NULL, NULL, 0, 0},
        {SL_KEY_INCARNATION, "g", NULL, "logs", "logs.a", "12", NULL, 0, 0},
    };
    enum { KEYS = sizeof(keys) / sizeof(keys[0]) };
    static char text[KEYS][SL_COMMIT_KEY_BYTES];
    static char memory[SL_COMMIT_KEY_BYTES + 1];
    size_t bytes[KEYS];

    (void)state;
    for (size_t i = 0; i < KEYS; i++) {
        struct sl_commit_key back;

        bytes[i] = sl_commit_key_print(&keys[i], text[i]);
        assert_true(bytes[i] > 0);
        assert_int_equal(sl_commit_key_scan((struct sl_slice){text[i], (uint32_t)bytes[i]}, memory, &back), 0);
        assert_int_equal(back.kind, keys[i].kind);
        same(back.group, keys[i].group);
        same(back.sink, keys[i].sink);
        same(back.source, keys[i].source);
        same(back.topic, keys[i].topic);
        same(back.id, keys[i].id);
        same(back.node, keys[i].node);
        assert_true(back.number == keys[i].number && back.part == keys[i].part);
        for (size_t k = 0; k < i; k++)
            assert_false(bytes[k] == bytes[i] && memcmp(text[k], text[i], bytes[i]) == 0);
        for (size_t cut = 0; cut < bytes[i]; cut++) { /* a cut key may be a shorter name, never a crash or a full key */
            if (sl_commit_key_scan((struct sl_slice){text[i], (uint32_t)cut}, memory, &back) == 0)
                assert_int_not_equal(keys[i].kind, SL_KEY_FLUSH);
        }
    }
    assert_true(memcmp(text[4], text[5], bytes[4]) < 0); /* flush 2 is before flush 10 */
}

static void test_foreign_keys_are_refused(void **state)
{
    static const struct sl_slice foreign[] = {
        {"", 0}, {"m", 1}, {"x\0g", 3}, {"z\0g", 3}, {"z\0g\0s\0t", 7}, {"mg\0s", 4},
        {"f\0g\0s\0n\0" "1\0" "2", 12},
        {"f\0g\0s\0n\0" "18446744073709551616\0" "00000", 34},
        {"f\0g\0s\0n\0" "0000000000000000000a\0" "00000", 34},
    };
    static char memory[SL_COMMIT_KEY_BYTES + 1], text[SL_COMMIT_KEY_BYTES];
    char *path = malloc(SL_COMMIT_KEY_BYTES + 1);
    struct sl_commit_key back;

    (void)state;
    for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++)
        assert_int_equal(sl_commit_key_scan(foreign[i], memory, &back), -1);
    memset(path, 'p', SL_COMMIT_KEY_BYTES);
    path[SL_COMMIT_KEY_BYTES] = '\0';
    assert_int_equal(sl_commit_key_print(&(struct sl_commit_key){SL_KEY_ZONE, "g", path, NULL, NULL, NULL, NULL, 0, 0}, text), 0);
    free(path);
}

static void test_a_group_has_one_partition(void **state)
{
    (void)state;
    assert_int_equal(sl_commit_partition("company-bus", 1), 0);
    assert_int_equal(sl_commit_partition("company-bus", 50), sl_commit_partition("company-bus", 50));
    for (uint32_t partitions = 1; partitions < 60; partitions++)
        assert_in_range(sl_commit_partition("company-bus", partitions), 0, partitions - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_mark_comes_back),
        cmocka_unit_test(test_a_damaged_or_cut_mark_is_refused),
        cmocka_unit_test(test_metadata_brings_every_sink_back),
        cmocka_unit_test(test_metadata_never_exceeds_its_limit_and_says_so),
        cmocka_unit_test(test_foreign_metadata_is_refused),
        cmocka_unit_test(test_keys_come_back_and_differ),
        cmocka_unit_test(test_foreign_keys_are_refused),
        cmocka_unit_test(test_a_group_has_one_partition),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
