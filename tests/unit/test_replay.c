/* test_replay.c: what the replay of dead letters stands on: origins as bytes, which ways are open, which letters were sent.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "operators/registry.h"
#include "operators/sinks/opensearch/opensearch.h"
#include "runtime/base/clock.h"
#include "runtime/cli/replay/index.h"
#include "runtime/cli/replay/letters.h"
#include "runtime/engine/slot/replay.h"

static const struct sl_origin origin = {.source = {"logs", 4}, .topic = {"/var/log/a b.log", 16}, .partition = {"7", 1},
                                        .incarnation = 3, .offset = 0x0102030405060708ull};

static void test_an_origin_comes_back_as_it_was(void **state)
{
    char text[SL_ORIGIN_BYTES];
    struct sl_origin read;
    size_t bytes = sl_origin_print(&origin, text);
    (void)state;
    assert_int_equal(sl_origin_scan((struct sl_slice){text, (uint32_t)bytes}, &read), 0);
    assert_true(sl_slice_is(read.source, "logs") && sl_slice_is(read.topic, "/var/log/a b.log") && sl_slice_is(read.partition, "7"));
    assert_int_equal(read.incarnation, 3);
    assert_true(read.offset == origin.offset);
    for (size_t cut = 0; cut < bytes; cut++) /* no part of one is one */
        assert_int_equal(sl_origin_scan((struct sl_slice){text, (uint32_t)cut}, &read), -1);
    assert_int_equal(sl_origin_scan(sl_slice_of("topic:0:12"), &read), -1);
}

#ifdef SLUICE_OPENSEARCH
static void test_a_replayed_record_is_the_same_document(void **state)
{
    struct sl_partition partition = {.source = "logs", .topic = "/var/log/a b.log", .id = "7", .incarnation = 3};
    uint64_t offset = origin.offset;
    struct sl_batch batch = {.partition = &partition, .count = 1, .offset = &offset};
    struct opensearch_origin known;
    char text[SL_ORIGIN_BYTES], first[OPENSEARCH_ID_BYTES], again[OPENSEARCH_ID_BYTES];
    struct sl_slice carried = {text, (uint32_t)sl_origin_print(&origin, text)};
    (void)state;
    opensearch_origin_of(&known, &partition);
    opensearch_id_of(&known, &batch, 0, first);
    offset = 0; /* of the replay */
    batch.origin = &carried;
    opensearch_id_of(&known, &batch, 0, again);
    assert_memory_equal(first, again, sizeof(first));
}
#endif

/* ---- ways ---- */

static struct sl_topology *load(const char *yaml)
{
    char path[] = "/tmp/sl_replay_XXXXXX";
    struct sl_topology *topology = NULL;
    struct sl_diags diags;
    int fd = mkstemp(path);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, yaml, strlen(yaml)), strlen(yaml));
    assert_int_equal(close(fd), 0);
    sl_diags_init(&diags);
    if (sl_topology_load(path, &sl_registry_builtin, NULL, &diags, &topology) != 0)
        fail_msg("%s", diags.items[0].text);
    sl_diags_fini(&diags);
    (void)unlink(path);
    return topology;
}

static const char ways_yaml[] = "name: t\n"
                                "sources:\n"
                                "  one: { type: generate }\n"
                                "  two: { type: generate }\n"
                                "operators:\n"
                                "  parsed: { type: parse, inputs: [one], format: json }\n"
                                "  errors: { type: filter, inputs: [parsed], where: { level: error } }\n"
                                "sinks:\n"
                                "  both: { type: blackhole, inputs: [parsed, errors] }\n"
                                "  only: { type: blackhole, inputs: [errors] }\n"
                                "  other: { type: blackhole, inputs: [two] }\n";

static void shut(const struct sl_topology *topology, const char *stage, const char *source, const char *words)
{
    struct sl_err err;

    assert_true(sl_replay_way(topology, stage, source, &err) < 0);
    if (strstr(err.text, words) == NULL)
        fail_msg("%s", err.text);
}

static void test_letters_go_where_it_can_be_told_who_missed_them(void **state)
{
    struct sl_topology *topology = load(ways_yaml);
    struct sl_err err;
    (void)state;
    assert_int_equal(sl_replay_way(topology, "parsed", "one", &err), 0);
    assert_int_equal(sl_replay_way(topology, "both", "one", &err), 0); /* the sink itself refused them */
    assert_int_equal(sl_replay_way(topology, "one", "one", &err), 0);
    assert_int_equal(sl_replay_way(topology, "other", "two", &err), 0);
    shut(topology, "errors", "one", "sink both is reached behind errors and around it");
    shut(topology, "parsed", "two", "no longer fed by source two");
    shut(topology, "prased", "one", "no stage prased any more");
    shut(topology, "parsed", "three", "no source three any more");
    shut(topology, "dead_letters", "one", "no stage dead_letters any more");
    (void)sl_topology_free(topology);
}

/* ---- the index ---- */

struct spool_rig {
    char dir[64], path[96];
    struct sl_spool *spool;
    struct sl_spool_topic *topic;
};

static int64_t unix_ms(void *env)
{
    (void)env;
    return sl_clock_unix_ms();
}

static uint64_t now_ns(void *env)
{
    (void)env;
    return sl_clock_now_ns();
}

static void spool_begin(struct spool_rig *rig)
{
    struct sl_spool_settings settings = {.segment_bytes = 1 << 20, .hold_bytes = 1 << 30, .fsync = SL_SPOOL_EACH, .no_thread = true,
                                         .append_queue_bytes = 1 << 20, .unix_ms = unix_ms, .now_ns = now_ns};
    struct sl_err err;

    (void)snprintf(rig->dir, sizeof(rig->dir), "/tmp/sl-replay-XXXXXX");
    assert_non_null(mkdtemp(rig->dir));
    (void)snprintf(rig->path, sizeof(rig->path), "%s/spool", rig->dir);
    assert_int_equal(sl_spool_open(sl_fs_posix(), rig->path, &settings, &rig->spool, &err), 0);
    assert_int_equal(sl_spool_topic(rig->spool, "@replay.t", 1, &rig->topic, &err), 0);
    (void)snprintf(rig->path, sizeof(rig->path), "%s/replayed", rig->dir);
}

static void spool_end(struct spool_rig *rig)
{
    char command[96];

    rig->spool = sl_spool_close(rig->spool);
    (void)snprintf(command, sizeof(command), "rm -rf %s", rig->dir);
    assert_int_equal(system(command), 0);
}

static void spool_letter(struct spool_rig *rig, const char *file, uint64_t line)
{
    char text[128];
    struct sl_header header = {sl_slice_of(SL_REPLAY_LETTER), {text, (uint32_t)snprintf(text, sizeof(text), "%s\n%llu", file, (unsigned long long)line)}};
    struct sl_spool_record record = {.payload = {"x", 1}, .headers = &header, .headers_count = 1};
    struct sl_err err;

    assert_int_equal(sl_spool_append(rig->topic, 0, &record, 1, NULL, &err), 0);
    (void)sl_spool_write_turn(rig->spool);
}

static struct sl_replay_index *index_again(struct spool_rig *rig, struct sl_replay_index *index)
{
    struct sl_err err;

    (void)sl_replay_index_close(index);
    index = sl_replay_index_open(rig->path, &err);
    assert_non_null(index);
    assert_int_equal(sl_replay_index_read(index, rig->topic, &err), 0);
    return index;
}

static void test_what_is_in_the_topic_was_sent_whatever_the_index_says(void **state)
{
    struct spool_rig rig;
    struct sl_replay_index *index;
    struct sl_err err;
    (void)state;
    spool_begin(&rig);
    index = index_again(&rig, NULL);
    assert_false(sl_replay_index_has(index, "a.ndjson", 0));
    for (uint64_t line = 0; line < 200; line += line < 100 ? 1 : 7)
        spool_letter(&rig, "a.ndjson", line);
    spool_letter(&rig, "day=1/b.ndjson.zst", 5);
    assert_int_equal(sl_replay_index_read(index, rig.topic, &err), 0);
    assert_int_equal(sl_replay_index_save(index, rig.topic, &err), 0);
    spool_letter(&rig, "a.ndjson", 1000); /* and the process died before it was saved */
    index = index_again(&rig, index);
    for (uint64_t line = 0; line < 200; line++)
        assert_int_equal(sl_replay_index_has(index, "a.ndjson", line), line < 100 || (line - 100) % 7 == 0);
    assert_true(sl_replay_index_has(index, "a.ndjson", 1000));
    assert_false(sl_replay_index_has(index, "a.ndjson", 1001));
    assert_true(sl_replay_index_has(index, "day=1/b.ndjson.zst", 5));
    assert_false(sl_replay_index_has(index, "b.ndjson.zst", 5));
    (void)sl_replay_index_close(index);
    spool_end(&rig);
}

static void test_a_damaged_index_stops_a_replay(void **state)
{
    static const char *const damaged[] = {"", "other 1 5\n", "sluice-replayed 1 5\na.ndjson\n", "sluice-replayed 1 5\na.ndjson\t4-2\n",
                                          "sluice-replayed 1 5\na.ndjson\t1,x\n", "sluice-replayed 1 5\na.ndjson\t1-99999999999\n"};
    struct spool_rig rig;
    struct sl_err err;
    (void)state;
    spool_begin(&rig);
    for (size_t i = 0; i < sizeof(damaged) / sizeof(damaged[0]); i++) {
        assert_int_equal(sl_fs_replace_file(sl_fs_posix(), rig.path, damaged[i], strlen(damaged[i])), 0);
        assert_null(sl_replay_index_open(rig.path, &err));
        assert_non_null(strstr(err.text, "is damaged"));
    }
    spool_end(&rig);
}

/* ---- letters ---- */

struct seen {
    uint32_t count;
    char text[1024];
};

static int see(void *user, const struct sl_letter *letter, struct sl_err *err)
{
    struct seen *seen = user;
    size_t bytes = strlen(seen->text);

    (void)err;
    seen->count++;
    (void)snprintf(seen->text + bytes, sizeof(seen->text) - bytes, "%s:%llu %.*s %.*s %llu.%u %s%.*s\n", letter->file,
                   (unsigned long long)letter->line, (int)letter->stage.bytes, letter->stage.data, (int)letter->origin.topic.bytes,
                   letter->origin.topic.data, (unsigned long long)letter->origin.offset, letter->sub,
                   letter->withheld ? "withheld" : letter->null_payload ? "null" : "", (int)letter->raw.bytes, letter->raw.data != NULL ? letter->raw.data : "");
    return 0;
}

static void test_letters_are_read_as_they_were_written(void **state)
{
    static const char file[] =
        "{\"topology\":\"t\",\"stage\":\"parsed\",\"reason\":\"r\",\"source\":\"s\",\"topic\":\"a\",\"partition\":\"0\",\"incarnation\":0,\"offset\":7,\"append_unix_ms\":5,\"raw\":\"x\\n\\\"y\"}\n"
        "not a letter\n"
        "{\"stage\":\"parsed\",\"reason\":\"r\"}\n"
        "{\"stage\":\"out\",\"reason\":\"r\",\"source\":\"s\",\"topic\":\"a\",\"partition\":\"0\",\"incarnation\":0,\"offset\":8,\"sub\":2,\"append_unix_ms\":5,\"raw_base64\":\"/wCA\"}\n"
        "{\"stage\":\"p\",\"reason\":\"r\",\"source\":\"s\",\"topic\":\"a\",\"partition\":\"0\",\"incarnation\":0,\"offset\":18446744073,\"append_unix_ms\":5,\"raw\":null}\n"
        "{\"stage\":\"p\",\"reason\":\"r\",\"source\":\"s\",\"topic\":\"a\",\"partition\":\"0\",\"incarnation\":0,\"offset\":9,\"append_unix_ms\":5,\"withheld\":\"why\",\"bytes\":4}\n"
        "{\"stage\":\"torn";
    struct seen seen = {0};
    char dir[] = "/tmp/sl-letters-XXXXXX", path[96], command[128];
    uint64_t strange;
    struct sl_err err;
    (void)state;
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof(path), "%s/.sluice", dir);
    assert_int_equal(sl_fs_mkdirs(sl_fs_posix(), path, 0755), 0);
    (void)snprintf(path, sizeof(path), "%s/.sluice/x.ndjson", dir); /* not committed */
    assert_int_equal(sl_fs_replace_file(sl_fs_posix(), path, file, sizeof(file) - 1), 0);
    (void)snprintf(path, sizeof(path), "%s/x.ndjson", dir);
    assert_int_equal(sl_fs_replace_file(sl_fs_posix(), path, file, sizeof(file) - 1), 0);
    assert_int_equal(sl_letters_each(dir, see, &seen, &strange, &err), 0);
    assert_int_equal(strange, 2);
    assert_string_equal(seen.text, "x.ndjson:0 parsed a 7.0 x\n\"y\n"
                                   "x.ndjson:3 out a 8.2 \xff\n" /* a NUL ends what printf shows */
                                   "x.ndjson:4 p a 18446744073.0 null\n"
                                   "x.ndjson:5 p a 9.0 withheld\n");
    assert_int_equal(sl_letters_each("/tmp/sl-no-such-folder", see, &seen, &strange, &err), 0);
    (void)snprintf(command, sizeof(command), "rm -rf %s", dir);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_origin_comes_back_as_it_was),
#ifdef SLUICE_OPENSEARCH
        cmocka_unit_test(test_a_replayed_record_is_the_same_document),
#endif
        cmocka_unit_test(test_letters_go_where_it_can_be_told_who_missed_them),
        cmocka_unit_test(test_what_is_in_the_topic_was_sent_whatever_the_index_says),
        cmocka_unit_test(test_a_damaged_index_stops_a_replay),
        cmocka_unit_test(test_letters_are_read_as_they_were_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
