/* test_plugin_load.c: files that are no plugins are refused with a reason, however they are damaged; nothing of them is opened. Versions
 * of one plugin live side by side, whatever becomes of their files, and go without a trace.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <dirent.h>
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

/* ---- versions ---- */

struct probe_self { /* tests/support/plugin_probe.c */
    char version[32];
    int count;
    unsigned cold;
};

struct version {
    struct sl_pool pool;
    const struct plugin_code *code;
    struct probe_self self;
};

/* The fit probe as version `number` at PATH of the bench's folder; an older file there is written over, not replaced. */
static const char *write_version(const char *name, int number)
{
    static char path[256];
    char *data = NULL, *at, text[16];
    size_t bytes;
    FILE *file;

    assert_true(sl_fs_read_file(sl_fs_posix(), SL_PROBES "/probe_fit.so", 1 << 24, &data, &bytes) >= 0);
    (void)snprintf(text, sizeof(text), "VERSION-%02d", number);
    at = memmem(data, bytes, "VERSION-00", 10);
    assert_non_null(at);
    memcpy(at, text, 10);
    (void)snprintf(path, sizeof(path), "%s/%s", bench.dir, name);
    file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, bytes, file), bytes);
    assert_int_equal(fclose(file), 0);
    free(data);
    return path;
}

static void version_load(struct version *version, const char *path)
{
    struct sl_err err = {.text = ""};

    memset(version, 0, sizeof(*version));
    sl_pool_init(&version->pool);
    version->code = plugin_load(&version->pool, path, &err);
    if (version->code == NULL)
        fail_msg("%s", err.text);
    assert_int_equal(version->code->table.self_bytes, sizeof(version->self));
}

static void version_runs(struct version *version, const char *name, int count)
{
    version->self.cold = 0;
    assert_int_equal(version->code->table.process(&version->self, NULL, NULL), 0);
    assert_string_equal(version->self.version, name);
    assert_string_equal(version->code->table.version, name);
    assert_int_equal(version->self.count, count);
    assert_int_equal(version->self.cold, 3);
}

static uint32_t mappings(const char *of)
{
    char line[1024];
    uint32_t count = 0;
    FILE *maps = fopen("/proc/self/maps", "r");

    assert_non_null(maps);
    while (fgets(line, sizeof(line), maps) != NULL)
        count += strstr(line, of) != NULL;
    (void)fclose(maps);
    return count;
}

static uint32_t descriptors(void)
{
    uint32_t count = 0;
    DIR *folder = opendir("/proc/self/fd");

    assert_non_null(folder);
    while (readdir(folder) != NULL)
        count++;
    (void)closedir(folder);
    return count;
}

static void test_two_versions_of_one_soname_live_side_by_side(void **state)
{
    struct version one, two;
    (void)state;
    version_load(&one, write_version("one.so", 1));
    version_runs(&one, "VERSION-01", 1);
    version_runs(&one, "VERSION-01", 2);
    version_load(&two, write_version("two.so", 2));
    version_runs(&two, "VERSION-02", 1);
    version_runs(&one, "VERSION-01", 3);
    sl_pool_fini(&one.pool);
    version_runs(&two, "VERSION-02", 2);
    sl_pool_fini(&two.pool);
}

static void test_one_path_holds_another_version_later(void **state)
{
    struct version one, two, again;
    (void)state;
    version_load(&one, write_version("mask.so", 1));
    version_load(&two, write_version("mask.so", 2));
    version_load(&again, write_version("mask.so", 2)); /* the same bytes: a copy of its own all the same */
    version_runs(&two, "VERSION-02", 1);
    version_runs(&again, "VERSION-02", 1);
    version_runs(&one, "VERSION-01", 1);
    sl_pool_fini(&again.pool);
    sl_pool_fini(&one.pool);
    version_runs(&two, "VERSION-02", 2);
    sl_pool_fini(&two.pool);
}

/* As `cp` does it: the file is emptied first. */
static void test_a_file_that_is_written_over_breaks_nothing(void **state)
{
    struct version one;
    const char *path;
    (void)state;
    path = write_version("mask.so", 1);
    version_load(&one, path);
    assert_int_equal(truncate(path, 0), 0);
    version_runs(&one, "VERSION-01", 1);
    assert_int_equal(truncate(path, 1 << 20), 0);
    version_runs(&one, "VERSION-01", 2);
    assert_int_equal(unlink(path), 0);
    version_runs(&one, "VERSION-01", 3);
    sl_pool_fini(&one.pool);
}

static void test_ten_versions_leave_nothing_behind(void **state)
{
    uint32_t all = 0, open = 0;
    (void)state;
    for (int i = 0; i < 12; i++) {
        struct version version;
        char name[16];
        version_load(&version, write_version("mask.so", i));
        (void)snprintf(name, sizeof(name), "VERSION-%02d", i);
        version_runs(&version, name, 1);
        assert_true(mappings("memfd:mask.so") >= 2);
        sl_pool_fini(&version.pool);
        assert_int_equal(mappings("memfd:"), 0);
        if (i == 1) { /* what the loader and the heap keep for themselves is there by now */
            all = mappings("");
            open = descriptors();
        }
    }
    assert_true(mappings("") <= all);
    assert_int_equal(descriptors(), open);
}

static void test_what_could_not_be_unloaded_is_refused(void **state)
{
    static const struct {
        const char *probe, *says;
    } unfit[] = {{"nodelete", "linked with -z nodelete"},
                 {"static_tls", "thread-local variables are in static TLS"},
                 {"thread_exit", "thread-local variables with destructors (__cxa_thread_atexit_impl)"},
                 {"major", "is built for major version 2 of the plugin interface, this is 1.0"},
                 {"short", "table has 16 bytes"}};
    uint32_t open = descriptors();
    (void)state;
    for (size_t i = 0; i < sizeof(unfit) / sizeof(unfit[0]); i++) {
        char path[256], *data = NULL;
        size_t bytes;
        (void)snprintf(path, sizeof(path), SL_PROBES "/probe_%s.so", unfit[i].probe);
        assert_true(sl_fs_read_file(sl_fs_posix(), path, 1 << 24, &data, &bytes) >= 0);
        refused(data, bytes, unfit[i].says);
        free(data);
    }
    assert_int_equal(mappings("memfd:"), 0);
    assert_int_equal(descriptors(), open);
}

/* Its headers are whole, but a segment lies behind the end: touching it would end the process. */
static void test_a_segment_beyond_the_end_is_refused(void **state)
{
    char *data = NULL;
    size_t bytes;
    Elf64_Ehdr head;
    (void)state;
    assert_true(sl_fs_read_file(sl_fs_posix(), SL_PROBES "/probe_fit.so", 1 << 24, &data, &bytes) >= 0);
    memcpy(&head, data, sizeof(head));
    for (uint32_t i = 0; i < head.e_phnum; i++) {
        char *at = data + head.e_phoff + (size_t)i * head.e_phentsize;
        Elf64_Phdr segment, wrong;
        memcpy(&segment, at, sizeof(segment));
        if (segment.p_type != PT_LOAD)
            continue;
        wrong = segment;
        wrong.p_offset += (bytes + 4095) & ~(size_t)4095;
        memcpy(at, &wrong, sizeof(wrong));
        refused(data, bytes, "the plugin's file is damaged");
        wrong = segment;
        wrong.p_filesz = UINT64_MAX - 5;
        memcpy(at, &wrong, sizeof(wrong));
        refused(data, bytes, "the plugin's file is damaged");
        memcpy(at, &segment, sizeof(segment));
    }
    free(data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_library_that_is_no_plugin_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_every_cut_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_damage_is_read_past_the_end, setup, teardown),
        cmocka_unit_test_setup_teardown(test_two_versions_of_one_soname_live_side_by_side, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_path_holds_another_version_later, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_file_that_is_written_over_breaks_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ten_versions_leave_nothing_behind, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_could_not_be_unloaded_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_segment_beyond_the_end_is_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
