/* test_audit_kafka.c: the audit's Kafka reader over the modelled log: whatever the segments, it gives each readable record of a
 * range once and in order, with its key, headers and null payload; markers, aborted and compacted records and what retention has
 * removed are holes; nothing is ever committed.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "operators/registry.h"
#include "runtime/cli/audit/audit.h"
#include "tests/sim/model_log.h"

enum { PARTITIONS = 3, MAX_RECORD = 64 << 10 };

static struct audit audit;
static struct sl_process_config process = {.max_record_bytes = MAX_RECORD};
static struct sl_model *model;
static struct sl_model_client *client;
static char path[64];

static int begin(void **state)
{
    struct sl_model_settings settings = {.seed = 7, .max_record_bytes = 1 << 20};
    struct sl_diags diags;
    FILE *file;
    int fd;

    (void)state;
    (void)snprintf(path, sizeof(path), "/tmp/sluice-test-audit-kafka-XXXXXX");
    fd = mkstemp(path);
    assert_true(fd >= 0);
    file = fdopen(fd, "w");
    assert_non_null(file);
    (void)fputs("name: live\nsources:\n  logs: { type: kafka, brokers: [\"model:1\"], topics: [in], headers: true }\n"
                "sinks:\n  landing: { type: files, inputs: [logs], dir: landing }\n",
                file);
    assert_int_equal(fclose(file), 0);
    memset(&audit, 0, sizeof(audit));
    sl_diags_init(&diags);
    assert_int_equal(sl_topology_load(path, &sl_registry_builtin, NULL, &diags, &audit.topology), 0);
    sl_diags_fini(&diags);
    model = sl_model_new(&settings);
    sl_model_topic(model, "in", PARTITIONS);
    client = sl_model_client_new(model, NULL, NULL);
    audit.klog = sl_model_client_klog(client);
    audit.process = &process;
    return 0;
}

static int end(void **state)
{
    (void)state;
    audit_source_fini(&audit);
    for (uint32_t p = 0; p < audit.partitions_count; p++) {
        free(audit.partitions[p]->lanes);
        free(audit.partitions[p]->source);
        free(audit.partitions[p]->topic);
        free(audit.partitions[p]->id);
        free(audit.partitions[p]);
    }
    free(audit.partitions);
    audit.topology = sl_topology_free(audit.topology);
    client = sl_model_client_free(client);
    model = sl_model_free(model);
    return unlink(path);
}

/* ---- what is in the log ---- */

static void append(int32_t partition, const char *payload, const char *key)
{
    struct sl_header header = {sl_slice_of("h"), sl_slice_of("v")};
    struct sl_klog_record record = {.topic = "in",
                                    .partition = partition,
                                    .payload = sl_slice_of(payload != NULL ? payload : ""),
                                    .null_payload = payload == NULL,
                                    .headers = &header,
                                    .headers_count = 1};
    if (key != NULL)
        record.key = sl_slice_of(key);
    (void)sl_model_append(model, &record);
}

/* Plain records, a committed and an aborted transaction, a tombstone, one above max_record. */
static void fill(int32_t partition)
{
    struct sl_klog_record two[2] = {{.topic = "in", .partition = partition, .payload = sl_slice_of("t1")},
                                    {.topic = "in", .partition = partition, .payload = sl_slice_of("t2")}};
    char text[32], *large = calloc(1, MAX_RECORD + 2);

    assert_non_null(large);
    for (int i = 0; i < 20; i++) {
        (void)snprintf(text, sizeof(text), "p%d-%d", partition, i);
        append(partition, text, i % 3 == 0 ? "k" : NULL);
    }
    sl_model_append_transaction(model, two, 2, true);
    sl_model_append_transaction(model, two, 2, false);
    append(partition, NULL, "gone");
    memset(large, 'x', MAX_RECORD + 1);
    append(partition, large, NULL);
    append(partition, "after", NULL);
    sl_model_append_transaction(model, two, 1, true); /* the last offset is a marker */
    free(large);
}

struct want {
    uint64_t offsets[128];
    uint64_t payloads[128]; /* hashes */
    uint32_t count;
};

static int want_each(void *user, const struct sl_klog_message *message)
{
    struct want *want = user;

    assert_true(want->count < 128);
    want->offsets[want->count] = message->offset;
    want->payloads[want->count++] = sl_record_hash(message->payload);
    return 0;
}

/* ---- reading in segments of a given size ---- */

static void check_batch(const struct sl_batch *batch, uint64_t from, uint64_t upto)
{
    assert_int_equal(batch->first, from);
    assert_true(batch->next > from && batch->next <= upto);
    for (uint32_t i = 0; i < batch->count; i++) {
        assert_true(batch->offset[i] >= from && batch->offset[i] < batch->next);
        assert_int_equal(batch->raw[i].data[batch->raw[i].bytes], '\0'); /* padded */
    }
    if (batch->large)
        assert_int_equal(batch->count, 1);
}

static void read_range(struct audit_partition *partition, uint64_t from, uint64_t to, uint64_t step, struct want *got)
{
    struct audit_reader *reader = NULL;
    struct sl_arena arena;
    struct sl_err err = {0};

    assert_int_equal(sl_arena_init(&arena, 4 << 20, 64 << 20), 0);
    assert_int_equal(audit_reader_open(&audit, partition, &reader, &err), 0);
    assert_non_null(reader);
    for (uint64_t at = from; at < to;) {
        uint64_t upto = at + step < to ? at + step : to;
        while (at < upto) {
            struct sl_batch batch = {.arena = &arena};
            sl_arena_reset(&arena);
            assert_int_equal(audit_reader_read(reader, at, upto, &batch, &err), 1);
            check_batch(&batch, at, upto);
            for (uint32_t i = 0; i < batch.count; i++) {
                got->offsets[got->count] = batch.offset[i];
                got->payloads[got->count++] = sl_record_hash(batch.raw[i]);
            }
            at = batch.next;
        }
    }
    reader = audit_reader_close(reader);
    sl_arena_fini(&arena);
}

static void check_partition(int32_t number, uint64_t from, uint64_t step)
{
    uint64_t first, stable, log_end;
    char id[16];
    struct want *want = calloc(1, sizeof(*want)), *got = calloc(1, sizeof(*got));
    struct audit_partition *partition;
    uint32_t at = 0;

    assert_true(want != NULL && got != NULL);
    (void)snprintf(id, sizeof(id), "%d", number);
    partition = audit_partition_of(&audit, "logs", "in", id, 0);
    sl_model_bounds(model, "in", number, &first, &stable, &log_end);
    assert_int_equal(sl_model_read(model, "in", number, want_each, want), 0);
    read_range(partition, from, log_end, step, got);
    while (at < want->count && want->offsets[at] < from)
        at++;
    assert_int_equal(got->count, want->count - at);
    assert_memory_equal(got->offsets, want->offsets + at, got->count * sizeof(uint64_t));
    assert_memory_equal(got->payloads, want->payloads + at, got->count * sizeof(uint64_t));
    assert_int_equal(partition->low, first);
    free(want);
    free(got);
}

/* ---- tests ---- */

static void any_segments_give_each_record_once(void **state)
{
    static const uint64_t steps[] = {1, 2, 3, 7, 1000};

    (void)state;
    for (int32_t p = 0; p < PARTITIONS; p++)
        fill(p);
    for (uint32_t s = 0; s < sizeof(steps) / sizeof(steps[0]); s++)
        for (int32_t p = 0; p < PARTITIONS; p++)
            check_partition(p, 0, steps[s]);
    for (uint64_t from = 1; from < 25; from += 5)
        check_partition(1, from, 4);
}

static void retention_and_compaction_are_holes(void **state)
{
    (void)state;
    fill(0);
    fill(1);
    sl_model_retain(model, "in", 0, 9);
    sl_model_compact(model, "in", 1);
    check_partition(0, 0, 5);
    check_partition(0, 3, 1000);
    check_partition(1, 0, 3);
}

static void a_partition_that_is_gone_is_said(void **state)
{
    struct audit_partition *partition = audit_partition_of(&audit, "logs", "in", "9", 0);
    struct audit_reader *reader = NULL;
    struct sl_err err = {0};

    (void)state;
    fill(0);
    assert_int_equal(audit_reader_open(&audit, partition, &reader, &err), 0);
    assert_null(reader);
    assert_string_equal(partition->gone, "topic in has no partition 9 any more");
}

static void keys_headers_and_nulls_come_along(void **state)
{
    struct audit_partition *partition = audit_partition_of(&audit, "logs", "in", "2", 0);
    struct audit_reader *reader = NULL;
    struct sl_arena arena;
    struct sl_batch batch = {.arena = &arena};
    struct sl_err err = {0};

    (void)state;
    append(2, "with", "key");
    append(2, NULL, NULL);
    assert_int_equal(sl_arena_init(&arena, 1 << 20, 1 << 22), 0);
    assert_int_equal(audit_reader_open(&audit, partition, &reader, &err), 0);
    for (uint32_t seen = 0; seen < 2; seen += batch.count) {
        assert_int_equal(audit_reader_read(reader, seen, 2, &batch, &err), 1);
        for (uint32_t i = 0; i < batch.count; i++) {
            bool first = batch.offset[i] == 0;
            assert_int_equal(batch.null_payload[i], !first);
            assert_int_equal(batch.key[i].data != NULL && sl_slice_is(batch.key[i], "key"), first);
            assert_int_equal(batch.headers_count[i], 1);
            assert_true(sl_slice_is(batch.headers[i][0].value, "v"));
        }
    }
    reader = audit_reader_close(reader);
    sl_arena_fini(&arena);
}

static void nothing_is_committed_and_the_group_is_not_joined(void **state)
{
    struct sl_slice metadata;
    uint32_t generation;
    int64_t offset;

    (void)state;
    fill(0);
    check_partition(0, 0, 4);
    assert_int_equal(sl_model_committed(model, "live", "in", 0, &offset, &metadata), 0);
    assert_int_equal(sl_model_members(model, "live", &generation), 0);
}

#define WITH(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH(any_segments_give_each_record_once),
        WITH(retention_and_compaction_are_holes),
        WITH(a_partition_that_is_gone_is_said),
        WITH(keys_headers_and_nulls_come_along),
        WITH(nothing_is_committed_and_the_group_is_not_joined),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
