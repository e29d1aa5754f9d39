/* test_intern.c: service names as numbers: stable, shared by threads, bounded.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "runtime/base/intern.h"

enum { THREADS = 4, SHARED = 5000 };

static uint32_t intern_number(struct sl_intern_cache *cache, const char *prefix, int number)
{
    char text[32];
    int bytes = snprintf(text, sizeof(text), "%s%d", prefix, number);
    return sl_intern(cache, (struct sl_slice){text, (uint32_t)bytes});
}

static void test_a_name_keeps_its_number(void **state)
{
    struct sl_intern_cache *cache = sl_intern_cache_new(), *other = sl_intern_cache_new();
    uint32_t id = sl_intern(cache, sl_slice_of("checkout"));
    (void)state;
    assert_true(id > SL_INTERN_OTHER);
    assert_int_equal(sl_intern(cache, sl_slice_of("checkout")), id);
    assert_int_equal(sl_intern(other, sl_slice_of("checkout")), id);
    assert_int_not_equal(sl_intern(cache, sl_slice_of("checkout2")), id);
    assert_true(sl_slice_is(sl_intern_name(id), "checkout"));
    assert_int_equal(sl_intern(cache, (struct sl_slice){NULL, 0}), SL_INTERN_NONE);
    assert_int_equal(sl_intern_name(SL_INTERN_NONE).bytes, 0);
    assert_true(sl_slice_is(sl_intern_name(SL_INTERN_OTHER), "~other"));
    assert_null(sl_intern_cache_free(cache));
    assert_null(sl_intern_cache_free(other));
    assert_null(sl_intern_cache_free(NULL));
}

static void test_a_long_name_is_cut_and_odd_bytes_are_kept(void **state)
{
    struct sl_intern_cache *cache = sl_intern_cache_new();
    char name[300];
    uint32_t id;
    (void)state;
    memset(name, 'x', sizeof(name));
    id = sl_intern(cache, (struct sl_slice){name, sizeof(name)});
    assert_int_equal(sl_intern_name(id).bytes, 128);
    assert_int_equal(sl_intern(cache, (struct sl_slice){name, 128}), id);
    assert_int_not_equal(sl_intern(cache, (struct sl_slice){name, 127}), id);
    id = sl_intern(cache, (struct sl_slice){"a\0b", 3});
    assert_memory_equal(sl_intern_name(id).data, "a\0b", 3);
    sl_intern_cache_free(cache);
}

static void *intern_thread(void *user)
{
    uint32_t *ids = user;
    struct sl_intern_cache *cache = sl_intern_cache_new();
    for (int round = 0; round < 2; round++) /* the second round comes from the cache */
        for (int i = 0; i < SHARED; i++) {
            uint32_t id = intern_number(cache, "shared-", i);
            ids[i] = round == 0 || ids[i] == id ? id : UINT32_MAX;
        }
    sl_intern_cache_free(cache);
    return NULL;
}

static void test_threads_agree(void **state)
{
    static uint32_t ids[THREADS][SHARED];
    pthread_t threads[THREADS];
    (void)state;
    for (int t = 0; t < THREADS; t++)
        assert_int_equal(pthread_create(&threads[t], NULL, intern_thread, ids[t]), 0);
    for (int t = 0; t < THREADS; t++)
        assert_int_equal(pthread_join(threads[t], NULL), 0);
    for (int t = 1; t < THREADS; t++)
        assert_memory_equal(ids[t], ids[0], sizeof(ids[0]));
    for (int i = 0; i < SHARED; i++) {
        char text[32];
        (void)snprintf(text, sizeof(text), "shared-%d", i);
        assert_true(sl_slice_is(sl_intern_name(ids[0][i]), text));
    }
}

/* Last: fills the process's table. */
static void test_the_table_is_bounded(void **state)
{
    struct sl_intern_cache *cache = sl_intern_cache_new();
    uint32_t known = sl_intern(cache, sl_slice_of("known")), highest = 0, last = 0;
    (void)state;
    for (int i = 0; i < SL_INTERN_MAX + 1000; i++) {
        last = intern_number(cache, "many-", i);
        highest = last > highest ? last : highest;
    }
    assert_int_equal(highest, SL_INTERN_MAX - 1);
    assert_int_equal(last, SL_INTERN_OTHER);
    assert_int_equal(sl_intern(cache, sl_slice_of("known")), known);
    assert_int_equal(intern_number(cache, "shared-", 7), intern_number(cache, "shared-", 7));
    assert_true(intern_number(cache, "many-", 9) > SL_INTERN_OTHER);
    sl_intern_cache_free(cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_name_keeps_its_number),
        cmocka_unit_test(test_a_long_name_is_cut_and_odd_bytes_are_kept),
        cmocka_unit_test(test_threads_agree),
        cmocka_unit_test(test_the_table_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
