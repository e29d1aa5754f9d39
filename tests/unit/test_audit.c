/* test_audit.c: `sluice audit` over landing zones made by hand: each way in which manifests, files and source can disagree is found
 * and named, and what agrees is good.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "operators/registry.h"
#include "runtime/base/crc32c.h"
#include "runtime/cli/audit/audit.h"

#define FILE_ID "00112233445566778899aabbccddeeff"
#define ZONE "0123456789abcdef0123456789abcdef"

enum { LINES = 10, LINE_BYTES = 8 }; /* "line-0N\n" */

static char root[64], *said;

static const char *at(const char *name)
{
    static char paths[8][256];
    static unsigned turn;
    char *path = paths[turn++ % 8];
    (void)snprintf(path, sizeof(paths[0]), "%s/%s", root, name);
    return path;
}

static void put(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    (void)fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static int begin(void **state)
{
    char text[512] = "";
    (void)state;
    (void)snprintf(root, sizeof(root), "/tmp/sluice-test-audit-XXXXXX");
    assert_non_null(mkdtemp(root));
    assert_int_equal(mkdir(at("data"), 0700), 0);
    assert_int_equal(mkdir(at("data/landing"), 0700), 0);
    for (int i = 0; i < LINES; i++)
        (void)snprintf(text + strlen(text), sizeof(text) - strlen(text), "line-%02d\n", i);
    put(at("in.log"), text);
    (void)snprintf(text, sizeof(text),
                   "name: hand\nsources:\n  logs: { type: file, paths: [%s/in.log], read: once }\nsinks:\n"
                   "  landing: { type: files, inputs: [logs], dir: landing, compression: none }\n",
                   root);
    put(at("t.yaml"), text);
    return 0;
}

static int end(void **state)
{
    char command[128];
    (void)state;
    free(said);
    said = NULL;
    (void)snprintf(command, sizeof(command), "rm -rf %s", root);
    return system(command);
}

/* What a flush says and has; zeroed fields follow from lines [from, to). */
struct hand {
    uint64_t number;
    uint32_t from, to;
    const char *dir;      /* default data/landing */
    const char *content;  /* of the file, instead of the lines */
    const char *topology; /* default hand */
    uint64_t account_in;  /* instead of the number of lines */
    bool no_file;
};

static void flush(const struct hand *hand)
{
    char name[SL_LANDING_NAME_BYTES], final[SL_LANDING_NAME_BYTES + 16], content[512] = "", dir[256], path[512];
    struct sl_landing_file file = {.temporary = ".sluice/tmp/n/1/0-0-0", .final = final, .records = hand->to - hand->from};
    struct sl_landing_range range = {"logs",
                                     at("in.log"),
                                     FILE_ID,
                                     0,
                                     (uint64_t)hand->from * LINE_BYTES,
                                     (uint64_t)hand->to * LINE_BYTES,
                                     hand->to - hand->from};
    uint64_t in = hand->account_in != 0 ? hand->account_in : hand->to - hand->from;
    struct sl_landing_account account = {.fates = {in, in}};
    struct sl_landing_entry entry = {.zone = ZONE,
                                     .node = "n",
                                     .topology = hand->topology != NULL ? hand->topology : "hand",
                                     .component = "landing",
                                     .epoch = 1,
                                     .number = hand->number,
                                     .files = &file,
                                     .ranges = &range,
                                     .accounts = &account,
                                     .files_count = 1,
                                     .ranges_count = 1,
                                     .accounts_count = 1};
    struct sl_err err;
    char *data;
    size_t bytes;

    (void)snprintf(dir, sizeof(dir), "%s", at(hand->dir != NULL ? hand->dir : "data/landing"));
    (void)mkdir(dir, 0700);
    (void)sl_landing_name("n", 1, hand->number, name);
    (void)snprintf(final, sizeof(final), "%s.ndjson", name);
    for (uint32_t i = hand->from; i < hand->to; i++)
        (void)snprintf(content + strlen(content), sizeof(content) - strlen(content), "line-%02u\n", i);
    if (hand->content != NULL)
        (void)snprintf(content, sizeof(content), "%s", hand->content);
    file.bytes = file.raw_bytes = strlen(content);
    file.crc32c = sl_crc32c(0, content, strlen(content));
    (void)snprintf(path, sizeof(path), "%s/%s", dir, final);
    if (!hand->no_file)
        put(path, content);
    assert_int_equal(sl_landing_encode(&entry, &data, &bytes, &err), 0);
    assert_int_equal(sl_landing_manifest_write(sl_fs_posix(), dir, &entry, (struct sl_slice){data, (uint32_t)bytes}, &err), 0);
    free(data);
}

/* Runs the command; its text is in `said`. dir NULL: the topology's own. */
static int audit_with(const char *first_dir, const char *second_dir)
{
    char program[] = "sluice", command[] = "audit", option[] = "--data-dir";
    char *argv[] = {program,
                    command,
                    (char *)(uintptr_t)at("t.yaml"),
                    option,
                    (char *)(uintptr_t)at("data"),
                    (char *)(uintptr_t)first_dir,
                    (char *)(uintptr_t)second_dir,
                    NULL};
    struct sl_cli cli = {.registry = &sl_registry_builtin, .commands = sl_cli_commands()};
    size_t bytes = 0;
    int status;

    free(said);
    said = NULL;
    cli.out = cli.err = open_memstream(&said, &bytes);
    assert_non_null(cli.out);
    status = sl_cli_dispatch(&cli, 5 + (first_dir != NULL) + (second_dir != NULL), argv);
    assert_int_equal(fclose(cli.out), 0);
    return status;
}

static int audit(void)
{
    return audit_with(NULL, NULL);
}

static void says(const char *text)
{
    if (strstr(said, text) == NULL)
        fail_msg("no \"%s\" in:\n%s", text, said);
}

/* ---- tests ---- */

static void what_agrees_is_good(void **state)
{
    (void)state;
    flush(&(struct hand){.number = 1, .from = 4, .to = 10});
    flush(&(struct hand){.number = 0, .from = 0, .to = 4});
    assert_int_equal(audit(), SL_EXIT_OK);
    says("audit: good\n");
    says("[0, 80)");
    says("10 records read again");
}

static void a_hole_is_lost_with_count_and_first(void **state)
{
    (void)state;
    flush(&(struct hand){.number = 0, .from = 0, .to = 4});
    flush(&(struct hand){.number = 1, .from = 7, .to = 10});
    assert_int_equal(audit(), SL_EXIT_FAILED);
    says("no manifest covers offsets 32 to 55; 3 records are missing, first at 32");
}

static void a_beginning_that_is_missing_is_a_hole(void **state)
{
    (void)state;
    flush(&(struct hand){.number = 1, .from = 2, .to = 10});
    assert_int_equal(audit(), SL_EXIT_FAILED);
    says("no manifest covers offsets 0 to 15; 2 records are missing, first at 0");
}

static void an_overlap_is_doubled(void **state)
{
    (void)state;
    flush(&(struct hand){.number = 0, .from = 0, .to = 6});
    flush(&(struct hand){.number = 1, .from = 5, .to = 10});
    assert_int_equal(audit(), SL_EXIT_FAILED);
    says("offsets 40 to 47 were delivered twice, by flush n-0001-00000000 and flush n-0001-00000001");
}

/* Right by size, CRC and counts: only the source tells. */
static void another_body_is_found_by_the_digest(void **state)
{
    (void)state;
    flush(&(struct hand){.number = 0, .from = 0, .to = 3, .content = "line-00\nline-77\nline-02\n"});
    flush(&(struct hand){.number = 1, .from = 3, .to = 10});
    assert_int_equal(audit(), SL_EXIT_FAILED);
    says("offset 8: not in the files of flush n-0001-00000000");
    says("n-0001-00000000.ndjson, line 2: no record of the source became this line");
}

static void a_record_twice_instead_of_another_is_found(void **state)
{
    (void)state;
    flush(&(struct hand){.number = 0, .from = 0, .to = 3, .content = "line-00\nline-02\nline-02\n"});
    flush(&(struct hand){.number = 1, .from = 3, .to = 10});
    assert_int_equal(audit(), SL_EXIT_FAILED);
    says("offset 8: not in the files");
    says("line 3: the same record a second time");
}

static void order_does_not_matter_to_the_digest(void **state)
{
    (void)state;
    flush(&(struct hand){.number = 0, .from = 0, .to = 3, .content = "line-02\nline-00\nline-01\n"});
    flush(&(struct hand){.number = 1, .from = 3, .to = 10});
    assert_int_equal(audit(), SL_EXIT_OK);
}

static void an_account_that_says_otherwise_is_named(void **state)
{
    (void)state;
    flush(&(struct hand){.number = 0, .from = 0, .to = 10, .account_in = 11});
    assert_int_equal(audit(), SL_EXIT_FAILED);
    says("service (none), level none: 11 delivered, the source read again gives 10");
    says("its accounts 11");
}

static void hosts_parts_are_one_zone(void **state)
{
    (void)state;
    flush(&(struct hand){.number = 0, .from = 0, .to = 5, .dir = "host-a"});
    flush(&(struct hand){.number = 1, .from = 5, .to = 10, .dir = "host-b"});
    assert_int_equal(audit_with(at("host-a"), at("host-b")), SL_EXIT_OK);
    says("2 manifests, 2 files with 10 records");
    says("sink dead_letters: none of the folders is a part of its zone; it was not audited");
    assert_int_equal(audit_with(at("host-b"), NULL), SL_EXIT_FAILED);
    says("no manifest covers offsets 0 to 39");
}

static void another_topologys_zone_is_refused(void **state)
{
    (void)state;
    flush(&(struct hand){.number = 0, .from = 0, .to = 10, .topology = "other"});
    assert_int_equal(audit(), SL_EXIT_FAILED);
    says("is of sink landing of topology other");
}

static void a_missing_file_is_expired_not_wrong(void **state)
{
    (void)state;
    flush(&(struct hand){.number = 0, .from = 0, .to = 4, .no_file = true});
    flush(&(struct hand){.number = 1, .from = 4, .to = 10});
    assert_int_equal(audit(), SL_EXIT_OK);
    says("1 of its 1 files are no longer there (first: n-0001-00000000.ndjson)");
    says("as far as it can be proved");
}

static void strangers_are_left_alone_and_orphans_named(void **state)
{
    (void)state;
    flush(&(struct hand){.number = 0, .from = 0, .to = 10});
    put(at("data/landing/mine-1.ndjson"), "x\n");
    assert_int_equal(audit(), SL_EXIT_OK);
    says("mine-1.ndjson is not ours and was left alone");
    put(at("data/landing/n-0001-00000009.ndjson"), "x\n");
    assert_int_equal(audit(), SL_EXIT_FAILED);
    says("n-0001-00000009.ndjson has a name of ours, but no manifest names it");
}

static void damaged_manifests_never_crash(void **state)
{
    char path[256];
    (void)state;
    flush(&(struct hand){.number = 0, .from = 0, .to = 10});
    (void)snprintf(path, sizeof(path), "%s", at("data/landing/.sluice/manifest/n-0001-00000000.entry"));
    for (long cut = 0; cut < 200; cut += 7) {
        assert_int_equal(truncate(path, 200 - cut), 0);
        assert_int_equal(audit(), SL_EXIT_FAILED);
        says("damaged: manifest");
    }
}

static void a_source_that_is_gone_is_said(void **state)
{
    (void)state;
    flush(&(struct hand){.number = 0, .from = 0, .to = 10});
    assert_int_equal(unlink(at("in.log")), 0);
    assert_int_equal(audit(), SL_EXIT_OK);
    says("is no longer there; its records were not read again");
    says("not proved");
}

static void nothing_committed_is_no_proof(void **state)
{
    (void)state;
    assert_int_equal(audit(), SL_EXIT_FAILED);
    says("nothing has been committed");
}

static bool hash_same(struct audit_hash a, struct audit_hash b)
{
    return a.low == b.low && a.high == b.high;
}

static const char *letter_of(const char *time, const char *raw, char text[128])
{
    (void)snprintf(text, 128, "{\"source\":\"s\",\"append_unix_ms\":%s,\"raw\":\"%s\"}", time, raw);
    return text;
}

static void digests_see_what_they_should(void **state)
{
    char a[128], b[128], c[128];
    (void)state;
    assert_true(hash_same(audit_hash_of(sl_slice_of("a\r\nb"), false), audit_hash_of(sl_slice_of("a  b"), false)));
    assert_false(hash_same(audit_hash_of(sl_slice_of("a\nb"), false), audit_hash_of(sl_slice_of("ab"), false)));
    assert_true(hash_same(audit_hash_of(sl_slice_of(""), false), audit_hash_of(sl_slice_of(""), true)));
    (void)letter_of("1", "x", a);
    (void)letter_of("-1764000000000", "x", b);
    (void)letter_of("1", "xy", c);
    assert_true(hash_same(audit_hash_of(sl_slice_of(a), true), audit_hash_of(sl_slice_of(b), true)));
    assert_false(hash_same(audit_hash_of(sl_slice_of(a), false), audit_hash_of(sl_slice_of(b), false)));
    assert_false(hash_same(audit_hash_of(sl_slice_of(a), true), audit_hash_of(sl_slice_of(c), true)));
}

#define WITH(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(what_agrees_is_good),
        WITH(a_hole_is_lost_with_count_and_first),
        WITH(a_beginning_that_is_missing_is_a_hole),
        WITH(an_overlap_is_doubled),
        WITH(another_body_is_found_by_the_digest),
        WITH(a_record_twice_instead_of_another_is_found),
        WITH(order_does_not_matter_to_the_digest),
        WITH(an_account_that_says_otherwise_is_named),
        WITH(hosts_parts_are_one_zone),
        WITH(another_topologys_zone_is_refused),
        WITH(a_missing_file_is_expired_not_wrong),
        WITH(strangers_are_left_alone_and_orphans_named),
        WITH(damaged_manifests_never_crash),
        WITH(a_source_that_is_gone_is_said),
        WITH(nothing_committed_is_no_proof),
        cmocka_unit_test(digests_see_what_they_should),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
