/* test_landing.c: flush entries, hostile ones included, and reading damaged files.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zstd.h>

#include "runtime/base/column.h"
#include "runtime/base/crc32c.h"
#include "runtime/store/landing.h"

static char dir[] = "/tmp/sluice-landing-XXXXXX";
static struct sl_err err;

static int group_setup(void **state)
{
    (void)state;
    return mkdtemp(dir) == NULL ? -1 : 0;
}

static int group_teardown(void **state)
{
    char command[128];
    (void)state;
    (void)snprintf(command, sizeof(command), "rm -rf %s", dir);
    return system(command);
}

static struct sl_landing_file files[] = {{".sluice/tmp/n/1/0-0-0", "a=b/n-0001-00000007.ndjson.zst", 100, 5, 500, 0xdeadbeef},
                                         {".sluice/tmp/n/1/0-0-1", "n-0001-00000007.ndjson.zst", 1, 2, 3, 4}};
static struct sl_landing_range ranges[] = {{"logs", "topic", "3", 2, 10, 20, 7}};
static struct sl_landing_account accounts[] = {{{"p\0y", 3}, SL_LEVEL_ERROR, {7, 6, 0, 1, 0, 0, 0}}};

static struct sl_landing_entry sample_entry(void)
{
    return (struct sl_landing_entry){.zone = "00112233445566778899aabbccddeeff", .node = "n", .topology = "t", .component = "landing",
                                     .epoch = 1, .number = 7, .unix_ms = 1795322096000, .files = files, .files_count = 2,
                                     .ranges = ranges, .ranges_count = 1, .accounts = accounts, .accounts_count = 1};
}

static struct sl_slice encoded(const struct sl_landing_entry *entry)
{
    char *data = NULL;
    size_t bytes = 0;

    assert_int_equal(sl_landing_encode(entry, &data, &bytes, &err), 0);
    return (struct sl_slice){data, (uint32_t)bytes};
}

static void test_an_entry_comes_back_as_it_was(void **state)
{
    struct sl_landing_entry entry = sample_entry(), *back = NULL;
    struct sl_slice data = encoded(&entry);
    (void)state;
    assert_int_equal(sl_landing_decode(data, &back, &err), 0);
    assert_string_equal(back->zone, entry.zone);
    assert_string_equal(back->component, "landing");
    assert_int_equal(back->number, 7);
    assert_int_equal(back->files_count, 2);
    assert_string_equal(back->files[0].final, files[0].final);
    assert_string_equal(back->files[1].temporary, files[1].temporary);
    assert_int_equal(back->files[0].crc32c, 0xdeadbeef);
    assert_int_equal(back->files[0].raw_bytes, 500);
    assert_string_equal(back->ranges[0].topic, "topic");
    assert_int_equal(back->ranges[0].incarnation, 2);
    assert_int_equal(back->ranges[0].delivered, 7);
    assert_true(sl_slice_eq(back->accounts[0].service, accounts[0].service));
    assert_memory_equal(back->accounts[0].fates, accounts[0].fates, sizeof(accounts[0].fates));
    (void)sl_landing_entry_free(back);
    free((char *)(uintptr_t)data.data);
}

static void test_every_cut_and_every_flipped_byte_is_refused(void **state)
{
    struct sl_landing_entry entry = sample_entry(), *back = NULL;
    struct sl_slice data = encoded(&entry);
    char *copy = malloc(data.bytes);
    (void)state;
    for (uint32_t bytes = 0; bytes < data.bytes; bytes++) {
        memcpy(copy, data.data, bytes);
        assert_int_equal(sl_landing_decode((struct sl_slice){copy, bytes}, &back, &err), -SL_E_FORMAT);
    }
    for (uint32_t at = 0; at < data.bytes; at++) {
        memcpy(copy, data.data, data.bytes);
        copy[at] = (char)(copy[at] ^ 0x20);
        assert_int_equal(sl_landing_decode((struct sl_slice){copy, data.bytes}, &back, &err), -SL_E_FORMAT);
    }
    free(copy);
    free((char *)(uintptr_t)data.data);
}

/* Damage that a checksum made anew hides: what a hostile writer to the commit topic could do. */
static void test_lies_with_a_right_checksum_are_refused_or_harmless(void **state)
{
    struct sl_landing_entry entry = sample_entry(), *back = NULL;
    struct sl_slice data = encoded(&entry);
    char *copy = malloc(data.bytes);
    (void)state;
    for (uint32_t at = 8; at < data.bytes - 4; at++) {
        uint32_t crc32c;
        memcpy(copy, data.data, data.bytes);
        copy[at] = (char)0xff;
        crc32c = sl_crc32c(0, copy, data.bytes - 4);
        for (int i = 0; i < 4; i++)
            copy[data.bytes - 4 + (uint32_t)i] = (char)(crc32c >> (8 * i) & 255);
        if (sl_landing_decode((struct sl_slice){copy, data.bytes}, &back, &err) == 0)
            back = sl_landing_entry_free(back);
    }
    free(copy);
    free((char *)(uintptr_t)data.data);
}

static void test_names_that_leave_the_folder_are_refused(void **state)
{
    static const char *const finals[] = {"../x", "/etc/passwd", "a/../b", "a//b", ".", "a/", "", ".sluice/zone"};
    static const char *const temporaries[] = {"x", ".sluice/tmp/../../x", "/.sluice/tmp/x", ".sluice/zone", ".sluice/tmp"};
    struct sl_landing_file file = files[0];
    struct sl_landing_entry entry = sample_entry(), *back = NULL;
    (void)state;
    entry.files = &file;
    entry.files_count = 1;
    for (size_t i = 0; i < sizeof(finals) / sizeof(finals[0]) + sizeof(temporaries) / sizeof(temporaries[0]); i++) {
        struct sl_slice data;
        file = files[0];
        if (i < sizeof(finals) / sizeof(finals[0]))
            file.final = finals[i];
        else
            file.temporary = temporaries[i - sizeof(finals) / sizeof(finals[0])];
        data = encoded(&entry);
        assert_int_equal(sl_landing_decode(data, &back, &err), -SL_E_FORMAT);
        free((char *)(uintptr_t)data.data);
    }
}

static void test_names_are_escaped_and_sorted_by_time(void **state)
{
    char a[SL_LANDING_NAME_BYTES], b[SL_LANDING_NAME_BYTES];
    (void)state;
    (void)sl_landing_name("host/1", 2, 9, a);
    (void)sl_landing_name("host/1", 2, 10, b);
    assert_string_equal(a, "host%2F1-0002-00000009");
    assert_true(strcmp(a, b) < 0);
    (void)sl_landing_name("n", 7, (uint64_t)7 << 32 | 12, a);
    assert_string_equal(a, "n-0007-00000012");
}

/* ---- zone ---- */

static void test_a_start_that_died_while_claiming_may_claim_again(void **state)
{
    char path[256], zone[SL_ZONE_ID_BYTES + 1];
    FILE *file;
    (void)state;
    (void)snprintf(path, sizeof(path), "%s/half/.sluice", dir);
    assert_int_equal(sl_fs_mkdirs(sl_fs_posix(), path, 0755), 0);
    (void)snprintf(path, sizeof(path), "%s/half/.sluice/zone.tmp", dir);
    assert_non_null(file = fopen(path, "w"));
    assert_int_equal(fclose(file), 0);
    (void)snprintf(path, sizeof(path), "%s/half", dir);
    assert_int_equal(sl_landing_zone_read(sl_fs_posix(), path, zone, &err), 0);
    assert_int_equal(sl_landing_zone_claim(sl_fs_posix(), path, "00112233445566778899aabbccddeeff", &err), 0);
    assert_int_equal(sl_landing_zone_read(sl_fs_posix(), path, zone, &err), 1);
    assert_string_equal(zone, "00112233445566778899aabbccddeeff");
}

static void test_a_zone_file_of_something_else_is_refused(void **state)
{
    char path[256];
    (void)state;
    (void)snprintf(path, sizeof(path), "%s/odd/.sluice", dir);
    assert_int_equal(sl_fs_mkdirs(sl_fs_posix(), path, 0755), 0);
    (void)snprintf(path, sizeof(path), "%s/odd/.sluice/zone", dir);
    assert_int_equal(sl_fs_replace_file(sl_fs_posix(), path, "hello", 5), 0);
    (void)snprintf(path, sizeof(path), "%s/odd", dir);
    assert_true(sl_landing_zone_claim(sl_fs_posix(), path, "00112233445566778899aabbccddeeff", &err) < 0);
    assert_int_equal(err.remedy, SL_REMEDY_HALT);
}

/* ---- reading ---- */

struct count {
    uint64_t lines, bytes;
};

static int count_line(void *user, struct sl_slice line, struct sl_err *error)
{
    struct count *count = user;
    (void)error;
    count->lines++;
    count->bytes += line.bytes;
    return 0;
}

static int read_lines(const void *data, size_t bytes, const char *name, struct count *count)
{
    char path[256];

    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    assert_int_equal(sl_fs_replace_file(sl_fs_posix(), path, data, bytes), 0);
    memset(count, 0, sizeof(*count));
    return sl_landing_lines(sl_fs_posix(), path, count_line, count, &err);
}

static void test_lines_span_frames_and_the_last_may_lack_its_end(void **state)
{
    char packed[1024];
    size_t at = ZSTD_compress(packed, sizeof(packed), "one\ntw", 6, 1);
    struct count count;
    (void)state;
    at += ZSTD_compress(packed + at, sizeof(packed) - at, "o\n\nlast", 7, 1);
    assert_int_equal(read_lines(packed, at, "a.zst", &count), 0);
    assert_int_equal(count.lines, 4);
    assert_int_equal(count.bytes, 10);
    assert_int_equal(read_lines("x\ny\n", 4, "a.ndjson", &count), 0);
    assert_int_equal(count.lines, 2);
    assert_int_equal(read_lines("", 0, "b.zst", &count), 0);
    assert_int_equal(count.lines, 0);
}

static void test_a_truncated_file_is_told_from_a_whole_one(void **state)
{
    enum { RAW = 400000 };
    char *raw = malloc(RAW), *packed = malloc(ZSTD_compressBound(RAW));
    struct count count;
    size_t first, bytes;
    uint32_t seed = 1;
    (void)state;
    for (int i = 0; i < RAW; i++) {
        seed = seed * 1664525 + 1013904223;
        raw[i] = i % 100 == 99 ? '\n' : (char)('a' + (seed >> 27));
    }
    first = ZSTD_compress(packed, ZSTD_compressBound(RAW), raw, RAW / 2, 1);
    bytes = first + ZSTD_compress(packed + first, ZSTD_compressBound(RAW) - first, raw + RAW / 2, RAW / 2, 1);
    assert_int_equal(read_lines(packed, bytes, "c.zst", &count), 0);
    assert_int_equal(count.lines, RAW / 100);
    for (size_t cut = 1; cut < bytes; cut += 4999)
        assert_int_equal(read_lines(packed, cut, "c.zst", &count), cut == first ? 0 : -SL_E_FORMAT);
    packed[first / 2] = (char)~packed[first / 2];
    packed[first] = 0; /* no frame begins so */
    assert_true(read_lines(packed, bytes, "c.zst", &count) < 0);
    free(raw);
    free(packed);
}

/* The decoder's last call fills the reader's buffer just as the frame ends. */
static void test_a_frame_as_large_as_the_reader_s_buffer_is_whole(void **state)
{
    for (size_t raw_bytes = 64u << 10; raw_bytes <= 512u << 10; raw_bytes *= 2) {
        char *raw = malloc(raw_bytes), *packed = malloc(ZSTD_compressBound(raw_bytes));
        struct count count;
        for (size_t i = 0; i < raw_bytes; i++)
            raw[i] = i % 128 == 127 ? '\n' : 'x';
        assert_int_equal(read_lines(packed, ZSTD_compress(packed, ZSTD_compressBound(raw_bytes), raw, raw_bytes, 1), "c.zst", &count), 0);
        assert_int_equal(count.lines, raw_bytes / 128);
        free(raw);
        free(packed);
    }
    (void)state;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_entry_comes_back_as_it_was),
        cmocka_unit_test(test_every_cut_and_every_flipped_byte_is_refused),
        cmocka_unit_test(test_lies_with_a_right_checksum_are_refused_or_harmless),
        cmocka_unit_test(test_names_that_leave_the_folder_are_refused),
        cmocka_unit_test(test_names_are_escaped_and_sorted_by_time),
        cmocka_unit_test(test_a_start_that_died_while_claiming_may_claim_again),
        cmocka_unit_test(test_a_zone_file_of_something_else_is_refused),
        cmocka_unit_test(test_lines_span_frames_and_the_last_may_lack_its_end),
        cmocka_unit_test(test_a_truncated_file_is_told_from_a_whole_one),
        cmocka_unit_test(test_a_frame_as_large_as_the_reader_s_buffer_is_whole),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
