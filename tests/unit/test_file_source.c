/* test_file_source.c: the file source: lines and offsets, identity (rule A4), long lines, sharing between slots.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "operators/sources/file/file_glob.h"
#include "operators/sources/file/file_set.h"
#include "operators/sources/multiline.h"
#include "operators/sources/sources.h"
#include "tests/support/fake_slot.c"

/* The layout of the kind's settings, through its own rows. */
static void set_config(void *config, const char *name, const void *value, size_t bytes)
{
    for (const struct sl_field *f = sl_source_file.head.fields; f->name != NULL; f++)
        if (strcmp(f->name, name) == 0) {
            memcpy((char *)config + f->offset, value, bytes);
            return;
        }
    fail_msg("no setting %s", name);
}

enum { FOLLOW, ONCE };

struct rig {
    char dir[64];
    struct fake_slot slot;
    struct sl_arena arena;
    void *self, *config;
    struct sl_batch batch;
    const char *patterns[2];
};

static void rig_path(struct rig *rig, const char *name, char *out)
{
    (void)snprintf(out, 256, "%s/%s", rig->dir, name);
}

static void rig_put(struct rig *rig, const char *name, const char *text, size_t bytes, int flags)
{
    char path[256];
    int fd;

    rig_path(rig, name, path);
    fd = open(path, O_WRONLY | O_CREAT | flags, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, bytes), (ssize_t)bytes);
    (void)close(fd);
}

static void rig_append(struct rig *rig, const char *name, const char *text)
{
    rig_put(rig, name, text, strlen(text), O_APPEND);
}

static void rig_write(struct rig *rig, const char *name, const char *text)
{
    rig_put(rig, name, text, strlen(text), O_TRUNC);
}

static void rig_init(struct rig *rig)
{
    memset(rig, 0, sizeof(*rig));
    (void)snprintf(rig->dir, sizeof(rig->dir), "/tmp/sl-file-XXXXXX");
    assert_non_null(mkdtemp(rig->dir));
    fake_slot_init(&rig->slot, sl_fs_posix(), rig->dir, NULL);
    assert_int_equal(sl_arena_init(&rig->arena, 1 << 18, 1 << 20), 0);
}

static const struct sl_multiline_config *rig_share_joined;

static int rig_share(struct rig *rig, const char *pattern, int read, struct sl_err *err)
{
    struct sl_strings paths = {rig->patterns, 1};

    rig->patterns[0] = pattern;
    rig->config = calloc(1, sl_source_file.head.config_bytes);
    set_config(rig->config, "paths", &paths, sizeof(paths));
    set_config(rig->config, "read", &read, sizeof(read));
    if (rig_share_joined != NULL)
        set_config(rig->config, "multiline", rig_share_joined, sizeof(*rig_share_joined));
    assert_int_equal(sl_source_file.head.check(rig->config, err), 0);
    return sl_source_file.head.share(&rig->slot.api, rig->config, &rig->slot.api.shared, err);
}

static void rig_open(struct rig *rig, const char *pattern, int read)
{
    struct sl_err err = {.code = SL_OK};

    if (rig_share(rig, pattern, read, &err) != 0)
        fail_msg("%s", err.text);
    rig->self = calloc(1, sl_source_file.head.self_bytes);
    assert_int_equal(sl_source_file.open(rig->self, &rig->slot.api, rig->config, (struct sl_slot *)&rig->slot, &err), 0);
}

static void rig_close(struct rig *rig)
{
    sl_source_file.close(rig->self);
    fake_slot_jobs(&rig->slot);
    sl_source_file.head.unshare(rig->slot.api.shared);
    free(rig->self);
    free(rig->config);
    for (uint32_t i = 0; i < rig->slot.count; i++)
        free(rig->slot.partitions[i]);
    rig->slot.count = 0;
}

static void rig_fini(struct rig *rig)
{
    char command[128];

    fake_slot_fini(&rig->slot);
    sl_arena_fini(&rig->arena);
    (void)snprintf(command, sizeof(command), "rm -rf %s", rig->dir);
    assert_int_equal(system(command), 0);
}

static int rig_poll(struct rig *rig)
{
    struct sl_err err = {.code = SL_OK};
    int got;

    sl_arena_reset(&rig->arena);
    memset(&rig->batch, 0, sizeof(rig->batch));
    rig->batch.arena = &rig->arena;
    got = sl_source_file.poll(rig->self, &rig->batch, &err);
    if (got < 0)
        fail_msg("%s", err.text);
    if (got == 1)
        fake_slot_take(&rig->slot, &rig->batch);
    fake_slot_jobs(&rig->slot);
    return got;
}

/* The records until nothing more comes, each followed by '|'; time moves on twice so that idle files are looked at. */
static const char *rig_read(struct rig *rig)
{
    static char text[1 << 16];
    size_t at = 0;

    for (int quiet = 0; quiet < 4;) {
        if (rig_poll(rig) == 0) {
            quiet++;
            rig->slot.now_ns += 2000000000;
            continue;
        }
        quiet = 0;
        for (uint32_t i = 0; i < rig->batch.count; i++) {
            assert_true(at + rig->batch.raw[i].bytes + 2 < sizeof(text));
            memcpy(text + at, rig->batch.raw[i].data, rig->batch.raw[i].bytes);
            at += rig->batch.raw[i].bytes;
            text[at++] = '|';
        }
    }
    text[at] = '\0';
    return text;
}

static void test_once_reads_all_lines_and_the_last_without_a_newline(void **state)
{
    struct rig rig;
    (void)state;
    rig_init(&rig);
    rig_write(&rig, "a.log", "one\r\n\n{\"x\":1}\nlast");
    rig_write(&rig, "b.log", "b1\nb2\n");
    rig_write(&rig, "empty.log", "");
    rig_open(&rig, "*.log", ONCE);
    assert_int_equal(sl_source_file.at_end(rig.self), 0);
    assert_string_equal(rig_read(&rig), "one\r||{\"x\":1}|last|b1|b2|");
    assert_int_equal(sl_source_file.at_end(rig.self), 1);
    assert_int_equal(rig.slot.count, 2);
    assert_int_equal(rig.slot.partitions[0]->next, 18);
    assert_int_equal(rig.slot.partitions[1]->next, 6);
    assert_int_equal(strlen(rig.slot.partitions[0]->id), 32);
    rig_close(&rig);
    rig_fini(&rig);
}

static void test_a_seek_reads_again_even_after_the_end(void **state)
{
    struct rig rig;
    (void)state;
    rig_init(&rig);
    rig_write(&rig, "a.log", "one\ntwo\nthree\n");
    rig_open(&rig, "a.log", ONCE);
    assert_string_equal(rig_read(&rig), "one|two|three|");
    rig.slot.partitions[0]->next = 4;
    assert_int_equal(sl_source_file.seek(rig.self, rig.slot.partitions[0], 4, NULL), 0);
    assert_int_equal(sl_source_file.at_end(rig.self), 0);
    assert_string_equal(rig_read(&rig), "two|three|");
    assert_int_equal(sl_source_file.at_end(rig.self), 1);
    rig_close(&rig);
    rig_fini(&rig);
}

static void test_follow_waits_for_whole_lines_and_new_files(void **state)
{
    struct rig rig;
    (void)state;
    rig_init(&rig);
    rig_write(&rig, "a.log", "one\ntw");
    rig_open(&rig, "*.log", FOLLOW);
    assert_string_equal(rig_read(&rig), "one|");
    rig_append(&rig, "a.log", "o\nthree");
    assert_string_equal(rig_read(&rig), "two|");
    rig_write(&rig, "b.log", "new\n");
    rig_append(&rig, "a.log", "\n");
    assert_string_equal(rig_read(&rig), "three|new|");
    assert_int_equal(sl_source_file.at_end(rig.self), 0); /* the ends are taken now */
    (void)rig_read(&rig);
    assert_int_equal(sl_source_file.at_end(rig.self), 1);
    rig_close(&rig);
    rig_fini(&rig);
}

static void test_a_renamed_file_is_followed_and_its_successor_is_another(void **state)
{
    struct rig rig;
    char from[256], to[256];
    (void)state;
    rig_init(&rig);
    rig_write(&rig, "app.log", "one\n");
    rig_open(&rig, "app.log*", FOLLOW);
    assert_string_equal(rig_read(&rig), "one|");
    rig_path(&rig, "app.log", from);
    rig_path(&rig, "app.log.1", to);
    assert_int_equal(rename(from, to), 0);
    rig_append(&rig, "app.log.1", "late\n");
    rig_write(&rig, "app.log", "fresh\n");
    assert_string_equal(rig_read(&rig), "late|fresh|");
    assert_int_equal(rig.slot.tallies[0], 0);
    assert_int_equal(rig.slot.count, 2);
    rig_close(&rig);
    rig_fini(&rig);
}

static void test_a_deleted_file_is_read_to_its_end_and_let_go_when_committed(void **state)
{
    struct rig rig;
    char path[256];
    (void)state;
    rig_init(&rig);
    rig_write(&rig, "a.log", "one\n");
    rig_open(&rig, "*.log", FOLLOW);
    assert_int_equal(rig_poll(&rig), 1);
    rig_append(&rig, "a.log", "two\n");
    rig_path(&rig, "a.log", path);
    assert_int_equal(unlink(path), 0);
    assert_string_equal(rig_read(&rig), "two|");
    for (int i = 0; i < 20; i++) {
        rig.slot.now_ns += 2000000000;
        assert_int_equal(rig_poll(&rig), 0);
    }
    assert_int_equal(rig.slot.count, 1); /* not committed: it may have to be read again */
    sl_source_file.committed(rig.self, rig.slot.partitions[0], 8);
    rig.slot.now_ns += 2000000000;
    assert_int_equal(rig_poll(&rig), 0);
    assert_int_equal(rig.slot.count, 0);
    rig_close(&rig);
    rig_fini(&rig);
}

static void test_copytruncate_begins_again_under_a_new_id(void **state)
{
    struct rig rig;
    char id[40];
    (void)state;
    rig_init(&rig);
    rig_write(&rig, "a.log", "one\ntwo\n");
    rig_open(&rig, "*.log", FOLLOW);
    assert_string_equal(rig_read(&rig), "one|two|");
    (void)snprintf(id, sizeof(id), "%s", rig.slot.partitions[0]->id);
    rig_write(&rig, "a.log", "new\n");
    assert_string_equal(rig_read(&rig), "new|");
    assert_int_equal(rig.slot.count, 1);
    assert_string_not_equal(rig.slot.partitions[0]->id, id);
    assert_int_equal(rig.slot.tallies[0], 1);
    rig_write(&rig, "a.log", "longer than all that stood here before it was truncated\n"); /* no smaller size tells */
    assert_string_equal(rig_read(&rig), "longer than all that stood here before it was truncated|");
    assert_int_equal(rig.slot.tallies[0], 2);
    rig_close(&rig);
    rig_fini(&rig);
}

static void test_positions_survive_a_restart_and_a_rename_meanwhile(void **state)
{
    struct rig rig;
    char from[256], to[256];
    (void)state;
    rig_init(&rig);
    rig_write(&rig, "a.log", "one\ntwo\n");
    rig_open(&rig, "*.log", FOLLOW);
    assert_string_equal(rig_read(&rig), "one|two|");
    rig_close(&rig);
    rig_path(&rig, "a.log", from);
    rig_path(&rig, "z.log", to);
    assert_int_equal(rename(from, to), 0);
    rig_append(&rig, "z.log", "three\n");
    rig_write(&rig, "a.log", "fresh\n");
    rig_open(&rig, "*.log", FOLLOW);
    assert_string_equal(rig_read(&rig), "fresh|three|");
    rig_close(&rig);
    rig_fini(&rig);
}

static void test_other_bytes_in_place_of_a_file_are_another_file(void **state)
{
    static const char *const after[] = {"two\n", "one\nTWO\nthree\n", "one\n"};
    for (size_t i = 0; i < 3; i++) { /* shorter than the mark; another last record; cut within the committed part */
        struct rig rig;
        char id[40], want[64] = "";
        (void)state;
        rig_init(&rig);
        rig_write(&rig, "a.log", "one\ntwo\n");
        rig_open(&rig, "*.log", FOLLOW);
        assert_string_equal(rig_read(&rig), "one|two|");
        (void)snprintf(id, sizeof(id), "%s", rig.slot.partitions[0]->id);
        rig_close(&rig);
        rig_write(&rig, "a.log", after[i]);
        for (const char *c = after[i]; *c != '\0'; c++)
            (void)snprintf(want + strlen(want), 2, "%c", *c == '\n' ? '|' : *c);
        rig_open(&rig, "*.log", FOLLOW);
        assert_string_equal(rig_read(&rig), want);
        assert_string_not_equal(rig.slot.partitions[0]->id, id);
        rig_close(&rig);
        rig_fini(&rig);
    }
}

static void test_equal_heads_do_not_hide_another_last_record_or_a_shorter_file(void **state)
{
    char head[2100];
    (void)state;
    memset(head, 'h', sizeof(head));
    head[2098] = '\n';
    head[2099] = '\0';
    for (int shorter = 0; shorter < 2; shorter++) {
        struct rig rig;
        char id[40];
        rig_init(&rig);
        rig_write(&rig, "a.log", head);
        rig_append(&rig, "a.log", "two\n");
        rig_open(&rig, "*.log", FOLLOW);
        (void)rig_read(&rig);
        (void)snprintf(id, sizeof(id), "%s", rig.slot.partitions[0]->id);
        rig_close(&rig);
        rig_write(&rig, "a.log", head);
        if (!shorter)
            rig_append(&rig, "a.log", "TWO\nthree\n");
        rig_open(&rig, "*.log", FOLLOW);
        assert_non_null(strstr(rig_read(&rig), "hhh|"));
        assert_string_not_equal(rig.slot.partitions[0]->id, id);
        rig_close(&rig);
        rig_fini(&rig);
    }
}

static void test_a_damaged_id_file_is_refused(void **state)
{
    struct rig rig;
    struct sl_err err = {.code = SL_OK};
    char path[256], text[512];
    ssize_t bytes;
    int fd;
    (void)state;
    rig_init(&rig);
    rig_write(&rig, "a%20 b.log", "one\n");
    rig_open(&rig, "*.log", FOLLOW);
    rig_close(&rig);
    rig_path(&rig, "topologies/t/files-s", path);
    fd = open(path, O_RDONLY);
    bytes = read(fd, text, sizeof(text));
    (void)close(fd);
    assert_true(bytes > 100);
    for (ssize_t at = 0; at <= bytes; at++) { /* each byte flipped; then, at == bytes, cut by one */
        char copy[512];
        memcpy(copy, text, (size_t)bytes);
        if (at < bytes)
            copy[at] ^= 1;
        rig_put(&rig, "topologies/t/files-s", copy, (size_t)(at < bytes ? bytes : bytes - 1), O_TRUNC);
        assert_int_equal(rig_share(&rig, "*.log", FOLLOW, &err), -SL_E_FORMAT);
        assert_non_null(strstr(err.text, "is damaged"));
        free(rig.config);
    }
    rig_fini(&rig);
}

static void test_long_lines_come_alone_and_the_longest_are_cut(void **state)
{
    struct rig rig;
    size_t mid = 3000, big = 700000;
    char *text = malloc(mid + big + 64), *at = text;
    (void)state;
    rig_init(&rig);
    rig.slot.api.max_record_bytes = 1024; /* 16 times that is below the window's 256 KiB */
    at += sprintf(at, "a\n");
    memset(at, 'm', mid);
    at[mid] = '\n';
    at += mid + 1;
    at += sprintf(at, "b\n");
    memset(at, 'x', big);
    at[big] = '\n';
    at += big + 1;
    at += sprintf(at, "c\n");
    rig_put(&rig, "a.log", text, (size_t)(at - text), O_TRUNC);
    rig_open(&rig, "a.log", FOLLOW);
    assert_int_equal(rig_poll(&rig), 1);
    assert_int_equal(rig.batch.count, 1);
    assert_false(rig.batch.large);
    assert_int_equal(rig_poll(&rig), 1);
    assert_true(rig.batch.large && rig.batch.count == 1 && rig.batch.raw[0].bytes == mid);
    assert_int_equal(rig_poll(&rig), 1);
    assert_int_equal(rig.batch.raw[0].bytes, 1);
    assert_int_equal(rig_poll(&rig), 1);
    assert_true(rig.batch.large && rig.batch.count == 1 && rig.batch.raw[0].bytes == 256 << 10);
    assert_int_equal(rig.batch.next - rig.batch.first, big + 1);
    assert_int_equal(rig.slot.tallies[2], 1);
    {
        uint64_t hash = 0;
        assert_int_equal(sl_source_file.fingerprint(rig.self, rig.slot.partitions[0], rig.batch.first, &hash), 1);
        assert_int_equal(hash, sl_record_hash(rig.batch.raw[0]));
    }
    assert_string_equal(rig_read(&rig), "c|");
    rig_close(&rig);
    rig_fini(&rig);
    free(text);
}

static void test_fingerprints_find_records_and_miss_what_is_not_there(void **state)
{
    struct rig rig;
    uint64_t hash = 0;
    (void)state;
    rig_init(&rig);
    rig_write(&rig, "a.log", "one\ntwo\n");
    rig_open(&rig, "a.log", FOLLOW);
    (void)rig_read(&rig);
    assert_int_equal(sl_source_file.fingerprint(rig.self, rig.slot.partitions[0], 4, &hash), 1);
    assert_int_equal(hash, sl_record_hash(sl_slice_of("two")));
    assert_int_equal(sl_source_file.fingerprint(rig.self, rig.slot.partitions[0], 8, &hash), 0);
    rig_close(&rig);
    rig_fini(&rig);
}

static void test_two_slots_share_the_files(void **state)
{
    struct rig rig[2];
    uint32_t records[2] = {0, 0};
    struct sl_err err;
    (void)state;
    rig_init(&rig[0]);
    rig_init(&rig[1]);
    for (int f = 0; f < 8; f++) {
        char name[16];
        (void)snprintf(name, sizeof(name), "%d.log", f);
        for (int line = 0; line < 5000; line++) {
            char text[128];
            (void)snprintf(text, sizeof(text), "%d %d %080d\n", f, line, 0);
            rig_append(&rig[0], name, text);
        }
    }
    rig_open(&rig[0], "*.log", ONCE);
    rig[1].slot.api.shared = rig[0].slot.api.shared;
    rig[1].slot.api.slot = 1;
    rig[0].slot.api.slots = rig[1].slot.api.slots = 2;
    rig[1].self = calloc(1, sl_source_file.head.self_bytes);
    assert_int_equal(sl_source_file.open(rig[1].self, &rig[1].slot.api, rig[0].config, (struct sl_slot *)&rig[1].slot, &err), 0);
    for (int busy = 1; busy;) {
        busy = 0;
        for (int s = 0; s < 2; s++)
            if (rig_poll(&rig[s]) == 1) {
                records[s] += rig[s].batch.count;
                busy = 1;
            }
    }
    assert_int_equal(records[0], 20000);
    assert_int_equal(records[1], 20000);
    assert_int_equal(sl_source_file.at_end(rig[0].self), 1);
    assert_int_equal(sl_source_file.at_end(rig[1].self), 1);
    sl_source_file.close(rig[1].self);
    free(rig[1].self);
    rig_close(&rig[0]);
    rig_fini(&rig[0]);
    rig_fini(&rig[1]);
}

static struct sl_file_set *rig_set(struct rig *rig, const char *pattern)
{
    struct sl_file_set_settings settings = {.paths = {&pattern, 1}};
    struct sl_file_set *set = NULL;
    struct sl_err err = {.code = SL_OK};

    assert_int_equal(sl_file_set_open(&rig->slot.api, &settings, &set, &err), 0);
    return set;
}

static void test_two_versions_share_the_files_and_what_they_know_of_them(void **state)
{
    struct rig rig;
    struct sl_file_set *before, *after;
    struct sl_file_entry *read, *found;
    struct sl_file_look old, new;
    struct sl_err err = {.code = SL_OK};
    (void)state;

    rig_init(&rig);
    rig_write(&rig, "a.log", "first\n");
    before = rig_set(&rig, "*.log");
    after = rig_set(&rig, "*.log");
    read = sl_file_set_claim(before);
    assert_non_null(read);
    assert_null(sl_file_set_claim(after)); /* a slot of the earlier version has it, and has not committed */
    rig_write(&rig, "b.log", "second\n");
    assert_int_equal(sl_file_set_scan(before, &err), 0);
    assert_null(sl_file_set_claim(after)); /* not before it has looked at what the other has written */
    assert_true(sl_file_set_due(after, 5000000000ull));
    assert_int_equal(sl_file_set_scan(after, &err), 0);
    found = sl_file_set_claim(after);
    assert_non_null(found);
    assert_null(sl_file_set_claim(before));
    sl_file_set_look(after, found, &new);
    sl_file_set_give_back(after, found, SL_FILE_FREE, false);
    found = sl_file_set_claim(before);
    assert_non_null(found);
    sl_file_set_look(before, found, &old);
    assert_string_equal(old.id, new.id); /* else it would be read from its beginning again */
    sl_file_set_look(before, read, &old);
    sl_file_set_give_back(before, read, SL_FILE_FREE, false);
    found = sl_file_set_claim(after);
    assert_non_null(found);
    sl_file_set_look(after, found, &new);
    assert_string_equal(old.id, new.id);
    (void)sl_file_set_close(before);
    (void)sl_file_set_close(after);
    rig_fini(&rig);
}

static void test_a_missing_file_is_refused_with_read_once(void **state)
{
    struct rig rig;
    struct sl_err err;
    (void)state;
    rig_init(&rig);
    assert_int_equal(rig_share(&rig, "nothing.log", ONCE, &err), -SL_E_CONFIG);
    assert_non_null(strstr(err.text, "there is no file"));
    free(rig.config);
    rig_fini(&rig);
}

static int glob_collect(void *user, const char *path, const struct sl_fs_stat *stat)
{
    (void)stat;
    strcat(strcat(user, strrchr(path, '/') + 1), " ");
    return 0;
}

static void test_the_files_are_counted_for_the_number_of_consumers(void **state)
{
    struct rig rig;
    struct sl_err err;
    uint32_t count = 0;
    struct sl_strings exclude = {(const char *[]){"c.*"}, 1};
    (void)state;
    rig_init(&rig);
    rig_write(&rig, "a.log", "1\n");
    rig_write(&rig, "b.log", "2\n");
    rig_write(&rig, "c.log", "3\n");
    rig_open(&rig, "*.log", ONCE);
    assert_int_equal(sl_source_file.partitions(&rig.slot.api, rig.config, NULL, NULL, &count, &err), 0);
    assert_int_equal(count, 3);
    set_config(rig.config, "exclude", &exclude, sizeof(exclude));
    assert_int_equal(sl_source_file.partitions(&rig.slot.api, rig.config, NULL, NULL, &count, &err), 0);
    assert_int_equal(count, 2);
    rig_close(&rig);
    rig_fini(&rig);
}

static void test_patterns_descend_folders(void **state)
{
    struct rig rig;
    char path[256], found[256] = "";
    (void)state;
    rig_init(&rig);
    rig_path(&rig, "d", path);
    assert_int_equal(mkdir(path, 0700), 0);
    rig_path(&rig, "d/e", path);
    assert_int_equal(mkdir(path, 0700), 0);
    rig_write(&rig, "1.log", "");
    rig_write(&rig, "d/2.log", "");
    rig_write(&rig, "d/e/3.log", "");
    rig_write(&rig, "d/e/.hidden.log", "");
    rig_write(&rig, "d/e/4.txt", "");
    rig_path(&rig, "**/*.log", path);
    assert_int_equal(sl_file_glob(sl_fs_posix(), path, glob_collect, found), 0);
    assert_string_equal(found, "1.log 2.log 3.log ");
    found[0] = '\0';
    rig_path(&rig, "*/[a-e]/?.???", path);
    assert_int_equal(sl_file_glob(sl_fs_posix(), path, glob_collect, found), 0);
    assert_string_equal(found, "3.log 4.txt ");
    rig_fini(&rig);
}

/* ---- lines that are joined ---- */

static void rig_join(struct rig *rig, const char *pattern, int read, const char *start, uint64_t max_lines)
{
    static const char *const java[] = {"java"};
    struct sl_multiline_config multiline = {.start = start, .timeout = 5000000000, .max_lines = max_lines};
    struct sl_err err = {.code = SL_OK};

    if (start == NULL)
        multiline.stack_traces = (struct sl_strings){java, 1};
    rig_share_joined = &multiline;
    if (rig_share(rig, pattern, read, &err) != 0)
        fail_msg("%s", err.text);
    rig_share_joined = NULL;
    rig->self = calloc(1, sl_source_file.head.self_bytes);
    assert_int_equal(sl_source_file.open(rig->self, &rig->slot.api, rig->config, (struct sl_slot *)&rig->slot, &err), 0);
    assert_int_equal(sl_source_file.config_flags(rig->config), SL_SOURCE_JOINS);
}

/* What comes now, without the clock moving on by itself. */
static const char *rig_now(struct rig *rig, uint64_t later_ns)
{
    static char text[4096];
    size_t at = 0;

    rig->slot.now_ns += later_ns;
    while (rig_poll(rig) == 1)
        for (uint32_t i = 0; i < rig->batch.count; i++) {
            memcpy(text + at, rig->batch.raw[i].data, rig->batch.raw[i].bytes);
            at += rig->batch.raw[i].bytes;
            text[at++] = '|';
        }
    text[at] = '\0';
    return text;
}

static void test_a_trace_is_one_record_with_its_line_ends(void **state)
{
    struct rig rig;
    (void)state;
    rig_init(&rig);
    rig_write(&rig, "a.log", "one\nERROR\r\njava.lang.Error: x\r\n\tat f\r\n\tat g\nnext\n\tat h\n\tat end");
    rig_join(&rig, "a.log", ONCE, NULL, 1000);
    assert_string_equal(rig_read(&rig), "one|ERROR\r\njava.lang.Error: x\r\n\tat f\r\n\tat g|next\n\tat h\n\tat end|");
    assert_int_equal(sl_source_file.at_end(rig.self), 1);
    rig.slot.partitions[0]->next = 4; /* and the same again */
    assert_int_equal(sl_source_file.seek(rig.self, rig.slot.partitions[0], 4, NULL), 0);
    assert_string_equal(rig_read(&rig), "ERROR\r\njava.lang.Error: x\r\n\tat f\r\n\tat g|next\n\tat h\n\tat end|");
    rig_close(&rig);
    rig_fini(&rig);
}

static void test_an_open_record_waits_for_its_time_out(void **state)
{
    struct rig rig;
    (void)state;
    rig_init(&rig);
    rig_write(&rig, "a.log", "one\nERROR\n");
    rig_join(&rig, "a.log", FOLLOW, NULL, 1000);
    assert_string_equal(rig_now(&rig, 0), "one|");
    assert_string_equal(rig_now(&rig, 4000000000), "");
    rig_append(&rig, "a.log", "java.lang.Error\n");
    assert_string_equal(rig_now(&rig, 200000000), "");
    assert_string_equal(rig_now(&rig, 4900000000), ""); /* the clock began anew with the line */
    rig_append(&rig, "a.log", "\tat");
    assert_string_equal(rig_now(&rig, 200000000), "ERROR\njava.lang.Error|"); /* a part of a line does not count */
    rig_append(&rig, "a.log", " late\n\tat later\n");
    assert_string_equal(rig_now(&rig, 200000000), "");
    rig_append(&rig, "a.log", "two\n");
    assert_string_equal(rig_now(&rig, 200000000), "\tat late\n\tat later|");
    assert_int_equal(sl_source_file.at_end(rig.self), 0);
    assert_string_equal(rig_now(&rig, 200000000), "two|"); /* --once does not wait */
    assert_string_equal(rig_now(&rig, 200000000), "");
    assert_int_equal(sl_source_file.at_end(rig.self), 1);
    rig_close(&rig);
    rig_fini(&rig);
}

/* The time-out moves the position: what stood before the old one must not be looked for before the new one (rule A4). */
static void test_a_file_that_grows_after_a_time_out_is_the_same(void **state)
{
    struct rig rig;
    (void)state;
    rig_init(&rig);
    rig_write(&rig, "a.log", "one\nERROR\n");
    rig_join(&rig, "a.log", FOLLOW, NULL, 1000);
    assert_string_equal(rig_now(&rig, 0), "one|");
    assert_string_equal(rig_now(&rig, 6000000000), "ERROR|");
    rig_append(&rig, "a.log", "two\n");
    assert_string_equal(rig_now(&rig, 200000000), "");
    assert_string_equal(rig_now(&rig, 6000000000), "two|");
    assert_int_equal(rig.slot.tallies[0], 0);
    rig_close(&rig);
    rig_fini(&rig);
}

static void test_no_record_reaches_across_the_place_of_a_sink(void **state)
{
    struct rig rig;
    (void)state;
    rig_init(&rig);
    rig_write(&rig, "a.log", "ERROR\n\tat f\n\tat g\n\tat h\nnext\n");
    rig.slot.boundary = 12; /* another sink has "ERROR\n\tat f\n", split there by a time-out */
    rig_join(&rig, "a.log", ONCE, NULL, 1000);
    assert_string_equal(rig_read(&rig), "ERROR\n\tat f|\tat g\n\tat h|next|");
    rig_close(&rig);
    rig_fini(&rig);
}

static void test_a_restart_goes_on_behind_a_joined_record(void **state)
{
    struct rig rig;
    (void)state;
    rig_init(&rig);
    rig_write(&rig, "a.log", "one\nERROR\n\tat f\nnext\n");
    rig_join(&rig, "a.log", FOLLOW, NULL, 1000);
    assert_string_equal(rig_now(&rig, 0), "one|ERROR\n\tat f|");
    rig_close(&rig);
    rig_join(&rig, "a.log", FOLLOW, NULL, 1000); /* the mark's record is found again, all its lines (rule A1) */
    assert_string_equal(rig_read(&rig), "next|");
    assert_int_equal(rig.slot.tallies[0], 0);
    rig_close(&rig);
    rig_fini(&rig);
}

static void test_joined_records_have_their_limits(void **state)
{
    static char line[600001];
    struct rig rig;
    (void)state;
    rig_init(&rig);
    rig_write(&rig, "a.log", "> 1\n2\n3\n4\n> 5\n");
    rig_join(&rig, "a.log", ONCE, "^>", 3);
    assert_string_equal(rig_read(&rig), "> 1\n2\n3|4|> 5|");
    rig_close(&rig);
    memset(line, 'x', sizeof(line));
    line[sizeof(line) - 1] = '\n';
    rig_put(&rig, "b.log", "> 1\n", 4, O_TRUNC);
    for (int i = 0; i < 3; i++)
        rig_put(&rig, "b.log", line, sizeof(line), O_APPEND);
    rig_put(&rig, "b.log", "> 2\n", 4, O_APPEND);
    rig_join(&rig, "b.log", ONCE, "^>", 1000);
    assert_int_equal(rig_poll(&rig), 1); /* max_record is 1 MiB */
    assert_int_equal(rig.batch.raw[0].bytes, 600004);
    assert_int_equal(rig_poll(&rig), 1);
    assert_int_equal(rig.batch.raw[0].bytes, 600000);
    rig_close(&rig);
    rig_fini(&rig);
}

/* Any cut of the file into appends gives the same records, while nothing times out. */
static void test_records_do_not_depend_on_how_the_file_grew(void **state)
{
    static const char text[] = "one\nERROR\njava.lang.Error: x\n\tat f\n\n\tat g\ntwo\nthree\nCaused by: y\n\tat h\nfour\n";
    char all[256], expected[256];
    (void)state;
    for (size_t cut = 1; cut <= sizeof(text) - 1; cut++) {
        struct rig rig;
        size_t at;
        rig_init(&rig);
        rig_put(&rig, "a.log", text, cut, O_TRUNC);
        rig_join(&rig, "a.log", FOLLOW, NULL, 1000);
        at = (size_t)sprintf(all, "%s", rig_now(&rig, 0));
        rig_put(&rig, "a.log", text + cut, sizeof(text) - 1 - cut, O_APPEND);
        at += (size_t)sprintf(all + at, "%s", rig_now(&rig, 200000000));
        (void)sprintf(all + at, "%s", rig_now(&rig, 6000000000));
        if (cut == 1)
            (void)strcpy(expected, all);
        assert_string_equal(all, expected);
        rig_close(&rig);
        rig_fini(&rig);
    }
    assert_string_equal(expected, "one|ERROR\njava.lang.Error: x\n\tat f|\n\tat g|two|three\nCaused by: y\n\tat h|four|");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_once_reads_all_lines_and_the_last_without_a_newline),
        cmocka_unit_test(test_a_seek_reads_again_even_after_the_end),
        cmocka_unit_test(test_follow_waits_for_whole_lines_and_new_files),
        cmocka_unit_test(test_a_renamed_file_is_followed_and_its_successor_is_another),
        cmocka_unit_test(test_a_deleted_file_is_read_to_its_end_and_let_go_when_committed),
        cmocka_unit_test(test_copytruncate_begins_again_under_a_new_id),
        cmocka_unit_test(test_positions_survive_a_restart_and_a_rename_meanwhile),
        cmocka_unit_test(test_other_bytes_in_place_of_a_file_are_another_file),
        cmocka_unit_test(test_equal_heads_do_not_hide_another_last_record_or_a_shorter_file),
        cmocka_unit_test(test_a_damaged_id_file_is_refused),
        cmocka_unit_test(test_long_lines_come_alone_and_the_longest_are_cut),
        cmocka_unit_test(test_fingerprints_find_records_and_miss_what_is_not_there),
        cmocka_unit_test(test_two_slots_share_the_files),
        cmocka_unit_test(test_two_versions_share_the_files_and_what_they_know_of_them),
        cmocka_unit_test(test_a_missing_file_is_refused_with_read_once),
        cmocka_unit_test(test_the_files_are_counted_for_the_number_of_consumers),
        cmocka_unit_test(test_patterns_descend_folders),
        cmocka_unit_test(test_a_trace_is_one_record_with_its_line_ends),
        cmocka_unit_test(test_an_open_record_waits_for_its_time_out),
        cmocka_unit_test(test_a_file_that_grows_after_a_time_out_is_the_same),
        cmocka_unit_test(test_no_record_reaches_across_the_place_of_a_sink),
        cmocka_unit_test(test_a_restart_goes_on_behind_a_joined_record),
        cmocka_unit_test(test_joined_records_have_their_limits),
        cmocka_unit_test(test_records_do_not_depend_on_how_the_file_grew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
