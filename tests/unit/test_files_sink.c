/* test_files_sink.c: the landing zone: paths, frames, flush, commit, redo, refusals, and memory with many paths.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "operators/sinks/files.h"
#include "operators/sinks/sinks.h"
#include "tests/support/stage_bench.h"

#define ZONE "00112233445566778899aabbccddeeff"
#define OTHER_ZONE "ff112233445566778899aabbccddeeff"

struct rig {
    struct bench bench;
    struct sl_pool pool;
    struct files_config config;
    char self[2048];
    uint64_t number;
    struct sl_fs sick; /* the kernel's, with faults */
    struct sl_err err;
    char dir[128];
};

/* ---- faults ---- */

static int fail_fsync_in, fail_write_in, fail_code; /* 0: never; n: the n-th call from now fails */

static int sick_fsync(struct sl_fs *fs, int fd)
{
    (void)fs;
    return fail_fsync_in > 0 && --fail_fsync_in == 0 ? -fail_code : sl_fs_posix()->fsync(sl_fs_posix(), fd);
}

static int64_t sick_pwrite(struct sl_fs *fs, int fd, const void *data, size_t bytes, uint64_t at)
{
    (void)fs;
    return fail_write_in > 0 && --fail_write_in == 0 ? -fail_code : sl_fs_posix()->pwrite(sl_fs_posix(), fd, data, bytes, at);
}

static int dead_unlink(struct sl_fs *fs, const char *path)
{
    (void)fs;
    (void)path;
    return -EIO;
}

/* ---- the rig ---- */

static void rig_config(struct rig *rig, const char *path)
{
    rig->config = (struct files_config){.dir = "landing", .compression = FILES_ZSTD, .level = 1,
                                        .roll = {128 << 20, 300ull * 1000000000}, .max_paths = 10000};
    assert_int_equal(sl_template_parse(&rig->pool, path, &rig->config.path, &rig->err), 0);
}

static int rig_open(struct rig *rig, const char *zone)
{
    assert_true(sl_sink_files.head.self_bytes <= sizeof(rig->self));
    memset(rig->self, 0, sizeof(rig->self));
    assert_int_equal(sl_sink_files.open(rig->self, &rig->bench.api, &rig->config, &rig->bench.names, NULL, &rig->err), 0);
    return sl_sink_files.zone(rig->self, zone, &rig->err);
}

static int setup(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));

    bench_init(&rig->bench);
    sl_pool_init(&rig->pool);
    rig->sick = *sl_fs_posix();
    rig->sick.fsync = sick_fsync;
    rig->sick.pwrite = sick_pwrite;
    rig->bench.api.fs = &rig->sick;
    fail_fsync_in = fail_write_in = 0;
    (void)snprintf(rig->dir, sizeof(rig->dir), "%s/landing", rig->bench.dir);
    rig_config(rig, "");
    *state = rig;
    return 0;
}

static int teardown(void **state)
{
    struct rig *rig = *state;

    sl_sink_files.close(rig->self);
    sl_pool_fini(&rig->pool);
    bench_fini(&rig->bench);
    free(rig);
    return 0;
}

static int rig_submit(struct rig *rig)
{
    struct sl_parcel parcel = bench_parcel(&rig->bench);

    return sl_sink_files.submit(rig->self, &parcel, &rig->err);
}

static int rig_take(struct rig *rig, const char *text)
{
    bench_batch(&rig->bench, &text, 1);
    return rig_submit(rig);
}

static struct sl_flush *rig_seal(struct rig *rig)
{
    struct sl_flush *flush = NULL;

    assert_int_equal(sl_sink_files.seal(rig->self, ++rig->number, &flush, &rig->err), 0);
    return flush;
}

static void rig_flush(struct rig *rig)
{
    struct sl_flush *flush = rig_seal(rig);

    assert_non_null(flush);
    assert_int_equal(sl_sink_files.prepare(flush, &rig->err), 0);
    assert_int_equal(sl_sink_files.publish(flush, &rig->err), 0);
    sl_sink_files.release_flush(rig->self, flush);
}

/* ---- looking at the zone ---- */

struct seen {
    char text[8192];
    size_t bytes;
    uint64_t lines;
};

static int see_line(void *user, struct sl_slice line, struct sl_err *err)
{
    struct seen *seen = user;

    (void)err;
    seen->lines++;
    if (seen->bytes + line.bytes + 2 < sizeof(seen->text))
        seen->bytes += (size_t)sprintf(seen->text + seen->bytes, "%.*s|", (int)line.bytes, line.data);
    return 0;
}

static struct seen *rig_read(struct rig *rig, const char *name)
{
    static struct seen seen;
    char path[512];

    memset(&seen, 0, sizeof(seen));
    (void)snprintf(path, sizeof(path), "%s/%s", rig->dir, name);
    assert_int_equal(sl_landing_lines(sl_fs_posix(), path, see_line, &seen, &rig->err), 0);
    return &seen;
}

static bool rig_has(struct rig *rig, const char *name)
{
    struct stat st;
    char path[512];

    (void)snprintf(path, sizeof(path), "%s/%s", rig->dir, name);
    return stat(path, &st) == 0;
}

static int take_name(void *user, const char *name)
{
    (void)snprintf(user, 256, "%s", name);
    return 0;
}

/* The only temporary there is. */
static const char *rig_temporary(struct rig *rig)
{
    static char text[512];
    char path[512], name[256] = "none";

    (void)snprintf(path, sizeof(path), "%s/.sluice/tmp/n1/1", rig->dir);
    assert_int_equal(sl_fs_posix()->list(sl_fs_posix(), path, take_name, name), 0);
    (void)snprintf(text, sizeof(text), ".sluice/tmp/n1/1/%.255s", name);
    return text;
}

static int count_name(void *user, const char *name)
{
    (void)name;
    (*(int *)user)++;
    return 0;
}

static int rig_count(struct rig *rig, const char *folder)
{
    char path[512];
    int count = 0;

    (void)snprintf(path, sizeof(path), "%s/%s", rig->dir, folder);
    return sl_fs_posix()->list(sl_fs_posix(), path, count_name, &count) == 0 ? count : 0;
}

static void rig_write(struct rig *rig, const char *name, const char *text)
{
    char path[512];
    FILE *file;

    (void)snprintf(path, sizeof(path), "%s/%s", rig->dir, name);
    assert_non_null(file = fopen(path, "w"));
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* ---- tests ---- */

static void test_records_come_out_in_order_at_their_paths(void **state)
{
    static const char *const texts[] = {"one", "two", "three", "four"}, *const services[] = {"a", "b/c", "a", ""};
    static const uint8_t levels[] = {SL_LEVEL_INFO, SL_LEVEL_WARN, SL_LEVEL_INFO, SL_LEVEL_NONE};
    struct rig *rig = *state;

    rig_config(rig, "service={service}/{level}/dt={day}/hour={hour}");
    assert_int_equal(rig_open(rig, ZONE), 0);
    bench_batch(&rig->bench, texts, 4);
    bench_roles(&rig->bench, services, levels);
    assert_int_equal(rig_submit(rig), 0);
    rig_flush(rig);
    assert_string_equal(rig_read(rig, "service=a/info/dt=2026-11-22/hour=04/n1-0001-00000001.ndjson.zst")->text, "one|three|");
    assert_string_equal(rig_read(rig, "service=b%2Fc/warn/dt=2026-11-22/hour=04/n1-0001-00000001.ndjson.zst")->text, "two|");
    assert_string_equal(rig_read(rig, "service=__none__/__none__/dt=2026-11-22/hour=04/n1-0001-00000001.ndjson.zst")->text, "four|");
    assert_int_equal(rig_count(rig, ".sluice/tmp/n1/1"), 0);
}

static void test_breaks_become_blanks_only_where_they_may_be(void **state)
{
    struct rig *rig = *state;
    const char *text = "{\r\n\"a\":1\n}";

    rig->config.compression = FILES_NONE;
    assert_int_equal(rig_open(rig, ZONE), 0);
    bench_batch(&rig->bench, &text, 1);
    rig->bench.batch.may_break = true;
    assert_int_equal(rig_submit(rig), 0);
    rig_flush(rig);
    assert_string_equal(rig_read(rig, "n1-0001-00000001.ndjson")->text, "{  \"a\":1 }|");
}

static void test_records_larger_than_a_buffer_survive(void **state)
{
    struct rig *rig = *state;
    size_t sizes[] = {FILES_BUFFER_MAX - 2, FILES_BUFFER_MAX - 1, FILES_BUFFER_MAX, FILES_BUFFER_MAX + 1, 3 * FILES_BUFFER_MAX + 5, 1};
    uint64_t total = 0;

    assert_int_equal(rig_open(rig, ZONE), 0);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        char *text = malloc(sizes[i] + 1);
        memset(text, 'a' + (int)i, sizes[i]);
        text[sizes[i]] = '\0';
        assert_int_equal(rig_take(rig, text), 0);
        total += sizes[i] + 1;
        free(text);
    }
    rig_flush(rig);
    assert_int_equal(rig_read(rig, "n1-0001-00000001.ndjson.zst")->lines, 6);
    assert_int_equal(rig->bench.counters[FILES_C_RAW_BYTES], total);
}

static int keep_entry(void *user, const struct sl_landing_entry *entry, struct sl_err *err)
{
    struct rig *rig = user;

    (void)err;
    assert_string_equal(entry->zone, ZONE);
    assert_int_equal(entry->files_count, 1);
    assert_int_equal(entry->files[0].records, 2);
    assert_int_equal(entry->files[0].raw_bytes, 8);
    assert_int_equal(entry->ranges_count, 2);
    assert_string_equal(entry->ranges[0].source, "logs");
    assert_string_equal(entry->ranges[0].topic, "topic-a");
    assert_int_equal(entry->ranges[0].first, 0);
    assert_int_equal(entry->ranges[0].next, 2); /* the second batch was empty for this sink */
    assert_int_equal(entry->ranges[0].delivered, 1);
    assert_int_equal(entry->ranges[1].first, 10);
    assert_int_equal(entry->ranges[1].next, 11);
    rig->number = entry->number;
    return 0;
}

static void test_ranges_tile_and_the_manifest_tells_them(void **state)
{
    struct rig *rig = *state;
    struct sl_parcel parcel;
    const char *text = "x";
    char path[512];
    uint32_t crc32c = 0;
    uint64_t bytes = 0;

    assert_int_equal(rig_open(rig, ZONE), 0);
    assert_int_equal(rig_take(rig, "one"), 0);
    bench_batch(&rig->bench, &text, 1);
    parcel = bench_parcel(&rig->bench);
    parcel.count = 0;
    assert_int_equal(sl_sink_files.submit(rig->self, &parcel, &rig->err), 0);
    rig->bench.partition.next = 10; /* retention took the rest */
    assert_int_equal(rig_take(rig, "two"), 0);
    rig_flush(rig);
    rig->number = 0;
    assert_int_equal(sl_landing_each(sl_fs_posix(), rig->dir, keep_entry, rig, &rig->err), 0);
    assert_int_equal(rig->number, 1);
    assert_true(rig_has(rig, ".sluice/manifest/n1-0001-00000001.json"));
    (void)snprintf(path, sizeof(path), "%s/n1-0001-00000001.ndjson.zst", rig->dir);
    assert_int_equal(sl_landing_file_crc(sl_fs_posix(), path, &crc32c, &bytes, &rig->err), 0);
    assert_int_equal(rig->bench.counters[FILES_C_BYTES], bytes);
}

static void test_nothing_is_visible_before_the_commit(void **state)
{
    struct rig *rig = *state;
    struct sl_flush *flush;

    assert_int_equal(rig_open(rig, ZONE), 0);
    assert_null(rig_seal(rig));
    assert_int_equal(rig_take(rig, "one"), 0);
    flush = rig_seal(rig);
    assert_int_equal(sl_sink_files.prepare(flush, &rig->err), 0);
    assert_int_equal(rig_count(rig, ""), 1); /* .sluice */
    assert_int_equal(rig_count(rig, ".sluice/tmp/n1/1"), 1);
    sl_sink_files.abandon(rig->self, flush);
    assert_int_equal(rig_count(rig, ".sluice/tmp/n1/1"), 0);
    sl_sink_files.release_flush(rig->self, flush);
    assert_int_equal(rig_take(rig, "two"), 0);
    rig_flush(rig);
    assert_string_equal(rig_read(rig, "n1-0001-00000003.ndjson.zst")->text, "two|");
}

static struct sl_flush *rig_prepared(struct rig *rig)
{
    struct sl_flush *flush;

    assert_int_equal(rig_open(rig, ZONE), 0);
    assert_int_equal(rig_take(rig, "one"), 0);
    flush = rig_seal(rig);
    assert_int_equal(sl_sink_files.prepare(flush, &rig->err), 0);
    return flush;
}

/* Prepared and committed, then the process dies; steps: how far publish came. */
static void crash_and_redo(struct rig *rig, int steps)
{
    struct sl_flush *flush;
    char entry[4096], stays[512];
    struct sl_slice data = {entry, 0};
    uint64_t wake = UINT64_MAX;

    flush = rig_prepared(rig);
    assert_true(flush->entry.bytes <= sizeof(entry));
    memcpy(entry, flush->entry.data, flush->entry.bytes);
    data.bytes = flush->entry.bytes;
    if (steps > 0)
        assert_int_equal(sl_sink_files.publish(flush, &rig->err), 0);
    sl_sink_files.release_flush(rig->self, flush);
    assert_int_equal(rig_take(rig, "never committed"), 0);
    assert_int_equal(rig_count(rig, ".sluice/tmp/n1/1"), steps > 0 ? 0 : 1);
    rig->sick.unlink = dead_unlink; /* the crash: nothing is removed any more */
    sl_sink_files.close(rig->self);
    rig->sick.unlink = sl_fs_posix()->unlink;
    (void)snprintf(stays, sizeof(stays), ".sluice/tmp/n1/1/0-7-0");
    rig_write(rig, stays, "of a flush that no commit names");
    if (steps == 2) /* the manifest was not durable */
        assert_int_equal(unlink(strcat(strcpy(stays, rig->dir), "/.sluice/manifest/n1-0001-00000001.entry")), 0);
    rig->bench.api.epoch = 2;
    assert_int_equal(rig_open(rig, ZONE), 0);
    assert_int_equal(sl_sink_files.redo(rig->self, data, &rig->err), 0);
    assert_int_equal(sl_sink_files.redo(rig->self, data, &rig->err), 0);
    assert_int_equal(sl_sink_files.turn(rig->self, 1, &wake, &rig->err), 0);
    assert_string_equal(rig_read(rig, "n1-0001-00000001.ndjson.zst")->text, "one|");
    assert_true(rig_has(rig, ".sluice/manifest/n1-0001-00000001.entry"));
    assert_int_equal(rig_count(rig, ".sluice/tmp/n1/1"), 1); /* kept for one more start */
    sl_sink_files.close(rig->self);
    rig->bench.api.epoch = 3;
    assert_int_equal(rig_open(rig, ZONE), 0);
    assert_int_equal(sl_sink_files.turn(rig->self, 1, &wake, &rig->err), 0);
    assert_int_equal(rig_count(rig, ".sluice/tmp/n1"), 0);
}

/* Rule C2: the root is shared, its owner never comes back. */
static void test_another_node_finishes_what_lies_in_a_shared_root(void **state)
{
    struct rig *rig = *state;
    struct sl_flush *flush = rig_prepared(rig);
    char entry[4096];
    struct sl_slice data = {entry, flush->entry.bytes};

    assert_true(flush->entry.bytes <= sizeof(entry));
    memcpy(entry, flush->entry.data, flush->entry.bytes);
    sl_sink_files.release_flush(rig->self, flush);
    sl_sink_files.close(rig->self);
    rig->bench.api.node = "n2";
    assert_int_equal(rig_open(rig, ZONE), 0);
    assert_int_equal(sl_sink_files.holds(rig->self, data), 1);
    assert_int_equal(sl_sink_files.redo(rig->self, data, &rig->err), 0);
    assert_string_equal(rig_read(rig, "n1-0001-00000001.ndjson.zst")->text, "one|");
    assert_int_equal(sl_sink_files.holds(rig->self, data), 0); /* finished, or never here: not to be touched */
    sl_sink_files.close(rig->self);
    (void)snprintf(rig->dir, sizeof(rig->dir), "%s/other-host", rig->bench.dir);
    rig_config(rig, "");
    assert_int_equal(rig_open(rig, ZONE), 0);
    assert_int_equal(sl_sink_files.holds(rig->self, data), 0);
}

static void test_a_crash_after_the_commit_is_redone(void **state)
{
    crash_and_redo(*state, 0);
}

static void test_a_crash_after_the_renames_is_redone(void **state)
{
    crash_and_redo(*state, 1);
}

static void test_a_crash_before_the_manifest_is_redone(void **state)
{
    crash_and_redo(*state, 2);
}

static void test_both_names_after_a_crash_become_one(void **state)
{
    struct rig *rig = *state;
    struct sl_flush *flush = rig_prepared(rig);
    char from[512], to[512];

    (void)snprintf(from, sizeof(from), "%s/%s", rig->dir, rig_temporary(rig));
    (void)snprintf(to, sizeof(to), "%s/n1-0001-00000001.ndjson.zst", rig->dir);
    assert_int_equal(link(from, to), 0);
    assert_int_equal(sl_sink_files.publish(flush, &rig->err), 0);
    assert_int_equal(rig_count(rig, ".sluice/tmp/n1/1"), 0);
    assert_string_equal(rig_read(rig, "n1-0001-00000001.ndjson.zst")->text, "one|");
    sl_sink_files.release_flush(rig->self, flush);
}

static void test_a_foreign_file_is_never_overwritten(void **state)
{
    struct rig *rig = *state;
    struct sl_flush *flush = rig_prepared(rig);

    rig_write(rig, "n1-0001-00000001.ndjson.zst", "mine");
    assert_true(sl_sink_files.publish(flush, &rig->err) < 0);
    assert_int_equal(rig->err.remedy, SL_REMEDY_HALT);
    assert_non_null(strstr(rig->err.text, "n1-0001-00000001.ndjson.zst"));
    assert_true(rig_has(rig, rig_temporary(rig)));
    sl_sink_files.release_flush(rig->self, flush);
    assert_true(rig_has(rig, rig_temporary(rig))); /* for the redo, once the file is moved away */
    rig_write(rig, "n1-0001-00000002.ndjson.zst", "mine too");
    assert_int_equal(rig_take(rig, "two"), 0);
    flush = rig_seal(rig);
    assert_true(sl_sink_files.prepare(flush, &rig->err) < 0); /* met before the commit where it can be */
    assert_int_equal(rig->err.remedy, SL_REMEDY_HALT);
    sl_sink_files.abandon(rig->self, flush);
    sl_sink_files.release_flush(rig->self, flush);
}

static void test_a_missing_file_is_expired_in_a_redo_only(void **state)
{
    struct rig *rig = *state;
    struct sl_flush *flush = rig_prepared(rig);
    char path[512];

    (void)snprintf(path, sizeof(path), "%s/%s", rig->dir, rig_temporary(rig));
    assert_int_equal(unlink(path), 0);
    assert_true(sl_sink_files.publish(flush, &rig->err) < 0);
    assert_int_equal(sl_sink_files.redo(rig->self, flush->entry, &rig->err), 0);
    assert_int_equal(rig->bench.counters[FILES_C_EXPIRED], 1);
    sl_sink_files.release_flush(rig->self, flush);
}

static void test_a_folder_of_others_is_refused(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(rig_open(rig, ZONE), 0);
    sl_sink_files.close(rig->self);
    assert_int_equal(rig_open(rig, ZONE), 0);
    sl_sink_files.close(rig->self);
    assert_true(rig_open(rig, OTHER_ZONE) < 0);
    assert_int_equal(rig->err.remedy, SL_REMEDY_HALT);
    assert_non_null(strstr(rig->err.text, ZONE));
    sl_sink_files.close(rig->self);
    rig->config.dir = "full";
    (void)snprintf(rig->dir, sizeof(rig->dir), "%s/full", rig->bench.dir);
    assert_int_equal(mkdir(rig->dir, 0755), 0);
    rig_write(rig, "photo.jpg", "x");
    assert_true(rig_open(rig, ZONE) < 0);
    assert_non_null(strstr(rig->err.text, "photo.jpg"));
    assert_false(rig_has(rig, ".sluice"));
}

static void test_a_failed_fsync_condemns_the_flush(void **state)
{
    struct rig *rig = *state;
    struct sl_flush *flush;

    assert_int_equal(rig_open(rig, ZONE), 0);
    assert_int_equal(rig_take(rig, "one"), 0);
    flush = rig_seal(rig);
    fail_fsync_in = 1;
    fail_code = EIO;
    assert_true(sl_sink_files.prepare(flush, &rig->err) < 0);
    assert_int_equal(rig->err.remedy, SL_REMEDY_RETRY);
    sl_sink_files.abandon(rig->self, flush);
    sl_sink_files.abandon(rig->self, NULL);
    sl_sink_files.release_flush(rig->self, flush);
    assert_int_equal(rig_count(rig, ".sluice/tmp/n1/1"), 0);
    assert_int_equal(rig_take(rig, "one"), 0); /* read again */
    rig_flush(rig);
    assert_string_equal(rig_read(rig, "n1-0001-00000002.ndjson.zst")->text, "one|");
}

static void test_a_full_disk_gives_up_what_is_open_and_says_so(void **state)
{
    struct rig *rig = *state;
    char *text = malloc(FILES_BUFFER_MAX);
    int rc = 0;

    memset(text, 'x', FILES_BUFFER_MAX - 1);
    text[FILES_BUFFER_MAX - 1] = '\0';
    assert_int_equal(rig_open(rig, ZONE), 0);
    fail_write_in = 2;
    fail_code = ENOSPC;
    /* the zone's id is written already: the second write from here is a temporary's */
    for (int i = 0; i < 4 && rc == 0; i++)
        rc = rig_take(rig, text);
    assert_true(rc < 0);
    assert_int_equal(rig->err.remedy, SL_REMEDY_RETRY);
    assert_int_equal(rig->err.sys, ENOSPC);
    assert_non_null(strstr(rig->err.text, "space"));
    assert_non_null(strstr(rig->err.text, rig->dir));
    assert_int_equal(rig_count(rig, ".sluice/tmp/n1/1"), 0);
    assert_null(rig_seal(rig));
    assert_int_equal(rig_take(rig, "again"), 0);
    rig_flush(rig);
    assert_string_equal(rig_read(rig, "n1-0001-00000002.ndjson.zst")->text, "again|");
    free(text);
}

static void test_a_flush_is_due_by_bytes_time_and_paths(void **state)
{
    struct rig *rig = *state;

    rig_config(rig, "{partition}");
    rig->config.max_paths = 4;
    assert_int_equal(rig_open(rig, ZONE), 0);
    assert_int_equal(sl_sink_files.want(rig->self, UINT64_MAX), 0);
    assert_int_equal(rig_take(rig, "one"), 0);
    assert_int_equal(sl_sink_files.want(rig->self, rig->bench.now_ns), 0);
    assert_int_equal(sl_sink_files.want(rig->self, rig->bench.now_ns + rig->config.roll.every - 1), 0);
    assert_int_equal(sl_sink_files.want(rig->self, rig->bench.now_ns + rig->config.roll.every), 1);
    for (int i = 1; i < 6; i++) {
        (void)snprintf(rig->bench.partition.id, sizeof(rig->bench.partition.id), "%d", i);
        assert_int_equal(rig_take(rig, "more"), 0);
    }
    assert_int_equal(sl_sink_files.want(rig->self, rig->bench.now_ns), 0);
    assert_int_equal(sl_sink_files.want(rig->self, rig->bench.now_ns + 10000000000), 1);
    assert_int_equal(rig->bench.counters[FILES_C_OTHER], 2);
    rig_flush(rig);
    assert_string_equal(rig_read(rig, "__other__/n1-0001-00000001.ndjson.zst")->text, "more|more|");
    rig->config.roll.bytes = 1;
    assert_int_equal(rig_take(rig, "one"), 0);
    assert_int_equal(sl_sink_files.want(rig->self, rig->bench.now_ns), 0); /* nothing on disk yet */
}

/* What the memory split counts for a writer is not less than zstd takes, at any level. */
static void test_a_writer_stays_within_its_bound(void **state)
{
    struct rig *rig = *state;
    char *raw = malloc(FILES_BUFFER_MAX);
    uint32_t random = 1;

    for (size_t i = 0; i < FILES_BUFFER_MAX; i++) {
        random = random * 1664525 + 1013904223;
        raw[i] = (char)(random >> 24);
    }
    for (int level = 1; level <= 19; level++) {
        struct files_writer writer;
        assert_int_equal(files_writer_init(&writer, true, level, &rig->err), 0);
        for (size_t bytes = 1; bytes <= FILES_BUFFER_MAX; bytes *= 2)
            assert_false(ZSTD_isError(ZSTD_compress2(writer.cctx, writer.out, writer.out_bytes, raw, bytes)));
        assert_true(ZSTD_sizeof_CCtx(writer.cctx) + writer.out_bytes <= files_writer_bytes(true, level));
        files_writer_fini(&writer);
    }
    assert_int_equal(files_writer_bytes(false, 1), 0);
    free(raw);
}

/* 10,000 paths, 40 records each, in a share of 16 MiB. */
static void test_many_paths_stay_within_the_share(void **state)
{
    enum { PATHS = 10000, ROUNDS = 40 };
    struct rig *rig = *state;
    static char services[PATHS][16];
    static const char *texts[SL_BATCH_RECORDS], *names[SL_BATCH_RECORDS];
    char body[300];
    struct mallinfo2 before, after;
    uint64_t most = 0;
    int at = 0;

    memset(body, 'b', sizeof(body) - 1);
    body[sizeof(body) - 1] = '\0';
    for (int i = 0; i < PATHS; i++)
        (void)snprintf(services[i], sizeof(services[i]), "s%d", i);
    rig_config(rig, "{service}");
    rig->bench.api.share_bytes = 16 << 20;
    rig->sick.fsync = sick_fsync;
    assert_int_equal(rig_open(rig, ZONE), 0);
    before = mallinfo2();
    for (int batch = 0; batch < PATHS * ROUNDS / 4000; batch++) {
        for (int i = 0; i < 4000; i++, at++) {
            texts[i] = body;
            names[i] = services[at % PATHS];
        }
        bench_batch(&rig->bench, texts, 4000);
        bench_roles(&rig->bench, names, NULL);
        assert_int_equal(rig_submit(rig), 0);
        after = mallinfo2();
        if (after.uordblks + after.hblkhd - before.uordblks - before.hblkhd > most)
            most = after.uordblks + after.hblkhd - before.uordblks - before.hblkhd;
    }
    sl_arena_reset(&rig->bench.arena);
    print_message("10,000 paths: at most %llu KiB held\n", (unsigned long long)most / 1024);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) /* whose malloc tells nothing */
    assert_true(most > 1 << 20); /* the measurement measures */
#endif
    assert_true(most <= rig->bench.api.share_bytes);
    assert_int_equal(rig->bench.counters[FILES_C_OTHER], 0);
    rig_flush(rig);
    assert_int_equal(rig_read(rig, "s9999/n1-0001-00000001.ndjson.zst")->lines, ROUNDS);
    assert_int_equal(rig_read(rig, "s0/n1-0001-00000001.ndjson.zst")->lines, ROUNDS);
    assert_int_equal(rig->bench.counters[FILES_C_RAW_BYTES], (uint64_t)PATHS * ROUNDS * sizeof(body));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_records_come_out_in_order_at_their_paths, setup, teardown),
        cmocka_unit_test_setup_teardown(test_breaks_become_blanks_only_where_they_may_be, setup, teardown),
        cmocka_unit_test_setup_teardown(test_records_larger_than_a_buffer_survive, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ranges_tile_and_the_manifest_tells_them, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nothing_is_visible_before_the_commit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_another_node_finishes_what_lies_in_a_shared_root, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_crash_after_the_commit_is_redone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_crash_after_the_renames_is_redone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_crash_before_the_manifest_is_redone, setup, teardown),
        cmocka_unit_test_setup_teardown(test_both_names_after_a_crash_become_one, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_foreign_file_is_never_overwritten, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_missing_file_is_expired_in_a_redo_only, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_folder_of_others_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_failed_fsync_condemns_the_flush, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_full_disk_gives_up_what_is_open_and_says_so, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_flush_is_due_by_bytes_time_and_paths, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_writer_stays_within_its_bound, setup, teardown),
        cmocka_unit_test_setup_teardown(test_many_paths_stay_within_the_share, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
