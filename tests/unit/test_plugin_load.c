/* test_plugin_load.c: files that are no plugins are refused with a reason, however they are damaged; nothing of them is opened.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dlfcn.h>
#include <elf.h>

#include "operators/stages/plugin/plugin_load.h"
#include "runtime/base/fs.h"
#include "runtime/config/pool.h"
#include "tests/support/stage_bench.h"

enum { ROUNDS = 3000 };

static struct bench bench;
static char *library; /* a real shared object that is no plugin: cmocka's */
static size_t library_bytes;
static uint32_t seed = 11;

static uint32_t chance(uint32_t below)
{
    seed = seed * 1103515245u + 12345u;
    return (uint32_t)((uint64_t)(seed >> 4) * below >> 28);
}

static int setup(void **state)
{
    Dl_info info;
    (void)state;
    bench_init(&bench);
    assert_true(dladdr(__extension__(void *) _cmocka_run_group_tests, &info) != 0);
    assert_true(sl_fs_read_file(sl_fs_posix(), info.dli_fname, 1 << 24, &library, &library_bytes) >= 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    free(library);
    bench_fini(&bench);
    return 0;
}

/* Loads a file of these bytes; it must be refused. */
static void refused(const char *data, size_t bytes, const char *says)
{
    struct sl_pool pool;
    struct sl_err err = {.text = ""};
    char path[128];
    FILE *file;

    (void)snprintf(path, sizeof(path), "%s/plugin.so", bench.dir);
    file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, bytes, file), bytes);
    assert_int_equal(fclose(file), 0);
    sl_pool_init(&pool);
    assert_null(plugin_load(&pool, path, &err));
    sl_pool_fini(&pool);
    if (strstr(err.text, says) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", err.text, says);
}

static void test_a_library_that_is_no_plugin_is_refused(void **state)
{
    (void)state;
    refused(library, library_bytes, "exports no function sl_plugin");
}

static void test_every_cut_is_refused(void **state)
{
    (void)state;
    for (size_t bytes = 0; bytes < library_bytes; bytes += bytes < 200 ? 1 : 331)
        refused(library, bytes, bytes < sizeof(Elf64_Ehdr) ? "no shared object" : "the plugin");
}

/* Numbers of the headers and of the tables that are read, changed at random. */
static void test_no_damage_is_read_past_the_end(void **state)
{
    char *copy = malloc(library_bytes);
    Elf64_Ehdr head;
    (void)state;
    assert_non_null(copy);
    memcpy(&head, library, sizeof(head));
    for (int round = 0; round < ROUNDS; round++) {
        uint32_t table_bytes = (uint32_t)head.e_shnum * (uint32_t)sizeof(Elf64_Shdr);
        memcpy(copy, library, library_bytes);
        for (uint32_t flips = 1 + chance(4); flips > 0; flips--) {
            size_t at = chance(2) == 0 ? sizeof(head.e_ident) + chance(sizeof(head) - sizeof(head.e_ident))
                                       : (size_t)head.e_shoff + chance(table_bytes);
            copy[at] = (char)chance(256);
        }
        refused(copy, library_bytes, "the plugin");
    }
    free(copy);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_library_that_is_no_plugin_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_every_cut_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_damage_is_read_past_the_end, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
