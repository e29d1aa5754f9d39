/* test_split.c: shares of keys, and the rows that make them a function of the offset.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <xxhash.h>

#include "runtime/engine/mark_codec.h"
#include "runtime/engine/split.h"
#include "runtime/store/bytes.h"

enum { RECORDS = 1000000, KEYS = 200000 };

static uint64_t seed = 7;

/* splitmix64 */
static uint64_t next_random(void)
{
    uint64_t z = seed += 0x9E3779B97F4A7C15u;

    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

static const double shares[] = {0, 0.01, 0.1, 0.5, 1};
enum { SHARES = sizeof(shares) / sizeof(shares[0]) };

/* R, keys and origins alike: the share within half a point over a million records. */
static void test_a_share_is_what_it_says(void **state)
{
    (void)state;
    for (int s = 0; s < SHARES; s++) {
        uint64_t threshold = sl_split_threshold(shares[s]), in[3] = {0, 0, 0};
        for (uint64_t i = 0; i < RECORDS; i++) {
            char key[24];
            int bytes = snprintf(key, sizeof(key), "user-%llu", (unsigned long long)i);
            in[0] += sl_split_is_canary(sl_split_hash_randomness(next_random() >> 8, 3), threshold);
            in[1] += sl_split_is_canary(sl_split_hash_key((struct sl_slice){key, (uint32_t)bytes}, 3), threshold);
            in[2] += sl_split_is_canary(sl_split_hash_origin("logs", "app", "4", 0, i, 3), threshold);
        }
        for (int way = 0; way < 3; way++) {
            assert_true(fabs((double)in[way] / RECORDS - shares[s]) < 0.005);
            if (shares[s] == 0 || shares[s] == 1)
                assert_int_equal(in[way], shares[s] == 0 ? 0 : RECORDS);
        }
    }
}

static void test_keys_that_are_in_stay_in_at_a_larger_share(void **state)
{
    (void)state;
    for (uint64_t key = 0; key < KEYS; key++) {
        uint64_t hash = sl_split_hash_key((struct sl_slice){(const char *)&key, sizeof(key)}, 9);
        bool was = false;
        for (int s = 0; s < SHARES; s++) {
            bool in = sl_split_is_canary(hash, sl_split_threshold(shares[s]));
            assert_true(in || !was);
            was = in;
        }
    }
}

/* Other deployments try other keys: a tenth of the tenth. */
static void test_another_generation_takes_other_keys(void **state)
{
    uint64_t threshold = sl_split_threshold(0.1), both = 0;

    (void)state;
    for (uint64_t key = 0; key < KEYS; key++) {
        struct sl_slice text = {(const char *)&key, sizeof(key)};
        both += sl_split_is_canary(sl_split_hash_key(text, 4), threshold) && sl_split_is_canary(sl_split_hash_key(text, 5), threshold);
    }
    assert_in_range(both, KEYS / 100 - 300, KEYS / 100 + 300);
}

/* What a sampler keeps, R >= T, is spread over both arms as everything else. */
static void test_arms_do_not_depend_on_what_a_sampler_keeps(void **state)
{
    uint64_t threshold = sl_split_threshold(0.5), kept = 0, in = 0;

    (void)state;
    for (int i = 0; i < RECORDS; i++) {
        uint64_t r = next_random() >> 8;
        if (r < (1ull << 56) / 10 * 9)
            continue;
        kept++;
        in += sl_split_is_canary(sl_split_hash_randomness(r, 3), threshold);
    }
    assert_true(fabs((double)in / (double)kept - 0.5) < 0.01);
}

static void test_partitions_go_whole_and_stay_in(void **state)
{
    uint32_t in[SHARES] = {0};

    (void)state;
    for (int p = 0; p < 4000; p++) {
        char id[16];
        uint64_t was = 0;
        (void)snprintf(id, sizeof(id), "%d", p);
        for (int s = 0; s < SHARES; s++) {
            uint64_t threshold = sl_split_threshold_partition(shares[s], "logs", "app", id, 2);
            assert_true(threshold == 0 || threshold == SL_SPLIT_ALL);
            assert_true(threshold >= was);
            was = threshold;
            in[s] += threshold != 0;
        }
    }
    assert_int_equal(in[0], 0);
    assert_in_range(in[2], 320, 480);
    assert_int_equal(in[4], 4000);
}

/* ---- rows ---- */

static uint64_t at(const struct sl_split *split, uint64_t offset)
{
    const struct sl_split_row *row = sl_split_at(split, offset, NULL);

    return row == NULL ? 0 : row->threshold;
}

static void test_each_offset_has_the_share_it_was_given(void **state)
{
    struct sl_split split = {.count = 0};
    uint64_t until = 0;
    (void)state;
    assert_int_equal(sl_split_add(&split, 5, 0, 1, NULL), 0);
    assert_int_equal(split.count, 0); /* says what is so without it */
    assert_int_equal(sl_split_add(&split, 10, 100, 1, NULL), 0);
    assert_int_equal(sl_split_add(&split, 15, 100, 1, NULL), 0); /* the same again */
    assert_int_equal(split.count, 1);
    assert_int_equal(sl_split_add(&split, 20, 200, 1, NULL), 0);
    assert_int_equal(sl_split_add(&split, 20, 300, 1, NULL), 0); /* nothing was read under 200 */
    assert_int_equal(sl_split_add(&split, 30, 0, 1, NULL), 0);
    assert_int_equal(split.count, 3);
    assert_int_equal(at(&split, 9), 0);
    assert_int_equal(at(&split, 10), 100);
    assert_int_equal(at(&split, 19), 100);
    assert_int_equal(at(&split, 20), 300);
    assert_int_equal(at(&split, UINT64_MAX), 0);
    assert_int_equal(sl_split_at(&split, 12, &until)->from, 10);
    assert_int_equal(until, 20);
    assert_null(sl_split_at(&split, 0, &until));
    assert_int_equal(until, 10);
    assert_int_equal(sl_split_add(&split, 30, 300, 1, NULL), 0); /* back to what it was: the row between is needless */
    assert_int_equal(split.count, 2);
}

static void test_rows_are_kept_until_every_mark_is_past_them(void **state)
{
    struct sl_split split = {.count = 0}, whole;
    (void)state;
    assert_int_equal(sl_split_add(&split, 10, 100, 1, NULL), 0);
    assert_int_equal(sl_split_add(&split, 20, 200, 1, NULL), 0);
    assert_int_equal(sl_split_add(&split, 30, 0, 1, NULL), 0);
    whole = split;
    for (uint64_t lowest = 0; lowest < 40; lowest++) { /* what can still be read says the same after any pruning */
        split = whole;
        (void)sl_split_prune(&split, lowest);
        for (uint64_t offset = lowest; offset < 60; offset++)
            assert_int_equal(at(&split, offset), at(&whole, offset));
        assert_int_equal(split.count, lowest < 20 ? 3 : lowest < 30 ? 2 : 0);
        assert_false(sl_split_prune(&split, lowest));
    }
    assert_false(sl_split_is_plain(&whole));
    assert_true(sl_split_is_plain(&split));
}

static void test_too_many_changes_are_refused_and_nothing_changes(void **state)
{
    struct sl_split split = {.count = 0};
    struct sl_err err;
    (void)state;
    for (uint32_t i = 0; i < SL_SPLIT_ROWS; i++)
        assert_int_equal(sl_split_add(&split, i * 10, i + 1, 1, &err), 0);
    assert_int_not_equal(sl_split_add(&split, 10000, 5, 1, &err), 0);
    assert_non_null(strstr(err.text, "does not acknowledge"));
    assert_int_equal(split.count, SL_SPLIT_ROWS);
    assert_true(sl_split_prune(&split, 10000));
    assert_int_equal(sl_split_add(&split, 10000, 5, 1, &err), 0);
}

/* ---- bytes ---- */

static void fill(struct sl_split *split, uint32_t count)
{
    uint64_t from = next_random() % 1000;

    split->count = 0;
    while (split->count < count) {
        assert_int_equal(sl_split_add(split, from, next_random() | 1, (uint32_t)next_random(), NULL), 0);
        from += 1 + next_random() % (UINT64_MAX / 2 / SL_SPLIT_ROWS);
    }
}

/* A heap copy without a byte behind it, so that the address sanitizer sees a read past the end. */
static int scan_exactly(const char *text, size_t bytes, struct sl_split *split)
{
    char *copy = malloc(bytes + (bytes == 0));
    int status;

    memcpy(copy, text, bytes);
    status = sl_split_scan((struct sl_slice){copy, (uint32_t)bytes}, split);
    free(copy);
    return status;
}

static void test_rows_come_back(void **state)
{
    (void)state;
    for (uint32_t count = 0; count <= SL_SPLIT_ROWS; count++) {
        struct sl_split split, back = {.count = 99};
        char text[SL_SPLIT_BYTES];
        size_t bytes;
        fill(&split, count);
        bytes = sl_split_print(&split, text);
        assert_true(bytes <= sizeof(text));
        assert_int_equal(scan_exactly(text, bytes, &back), 0);
        assert_int_equal(back.count, count);
        for (uint32_t i = 0; i < count; i++) {
            assert_true(back.rows[i].from == split.rows[i].from);
            assert_true(back.rows[i].threshold == split.rows[i].threshold);
            assert_int_equal(back.rows[i].generation, split.rows[i].generation);
        }
    }
}

static void test_damaged_and_cut_rows_are_refused(void **state)
{
    struct sl_split split, back = {.count = 99};
    char text[SL_SPLIT_BYTES + 1];
    size_t bytes;
    (void)state;
    fill(&split, 5);
    bytes = sl_split_print(&split, text);
    for (size_t cut = 0; cut < bytes; cut++)
        assert_int_equal(scan_exactly(text, cut, &back), -1);
    text[bytes] = 0;
    assert_int_equal(scan_exactly(text, bytes + 1, &back), -1);
    for (size_t at_byte = 0; at_byte < bytes; at_byte++)
        for (int bit = 0; bit < 8; bit++) {
            text[at_byte] = (char)(text[at_byte] ^ 1 << bit);
            assert_int_equal(scan_exactly(text, bytes, &back), -1);
            text[at_byte] = (char)(text[at_byte] ^ 1 << bit);
        }
    assert_int_equal(back.count, 99);
    assert_int_equal(scan_exactly(text, bytes, &back), 0);
}

static void sum_put(char *text, size_t bytes)
{
    sl_put32(text + bytes, (uint32_t)XXH3_64bits(text, bytes));
}

/* Bytes that nobody has damaged, but that say nonsense: a random body with a right sum. */
static void test_nonsense_with_a_right_sum_is_refused_or_sound(void **state)
{
    (void)state;
    for (int round = 0; round < 200000; round++) {
        struct sl_split split = {.count = 0}, back;
        char text[SL_SPLIT_BYTES], again[SL_SPLIT_BYTES];
        size_t body = 1 + next_random() % 60;

        (void)sl_split_print(&split, text); /* its first byte is the format */
        for (size_t i = 1; i < body; i++)
            text[i] = (char)(next_random() % 3 == 0 ? next_random() % 4 : next_random());
        sum_put(text, body);
        if (scan_exactly(text, body + 4, &back) != 0)
            continue;
        assert_true(back.count <= SL_SPLIT_ROWS);
        for (uint32_t i = 1; i < back.count; i++)
            assert_true(back.rows[i].from > back.rows[i - 1].from);
        assert_int_equal(scan_exactly(again, sl_split_print(&back, again), &back), 0);
    }
}

static void test_rows_have_a_key_of_their_own(void **state)
{
    struct sl_commit_key key = {.kind = SL_KEY_SPLIT, .group = "bus", .source = "logs", .topic = "app", .id = "7"}, back;
    char text[SL_COMMIT_KEY_BYTES], memory[SL_COMMIT_KEY_BYTES + 1];
    size_t bytes = sl_commit_key_print(&key, text);
    (void)state;
    assert_memory_equal(text, "s\0bus\0logs\0app\0007", bytes);
    assert_int_equal(sl_commit_key_scan((struct sl_slice){text, (uint32_t)bytes}, memory, &back), 0);
    assert_int_equal(back.kind, SL_KEY_SPLIT);
    assert_string_equal(back.group, "bus");
    assert_string_equal(back.source, "logs");
    assert_string_equal(back.topic, "app");
    assert_string_equal(back.id, "7");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_share_is_what_it_says),
        cmocka_unit_test(test_keys_that_are_in_stay_in_at_a_larger_share),
        cmocka_unit_test(test_another_generation_takes_other_keys),
        cmocka_unit_test(test_arms_do_not_depend_on_what_a_sampler_keeps),
        cmocka_unit_test(test_partitions_go_whole_and_stay_in),
        cmocka_unit_test(test_each_offset_has_the_share_it_was_given),
        cmocka_unit_test(test_rows_are_kept_until_every_mark_is_past_them),
        cmocka_unit_test(test_too_many_changes_are_refused_and_nothing_changes),
        cmocka_unit_test(test_rows_come_back),
        cmocka_unit_test(test_damaged_and_cut_rows_are_refused),
        cmocka_unit_test(test_nonsense_with_a_right_sum_is_refused_or_sound),
        cmocka_unit_test(test_rows_have_a_key_of_their_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
