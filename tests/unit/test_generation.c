/* test_generation.c: versions of a topology exchanged on a running host, with its threads: each record lands once, whichever version
 * took it; what cannot be exchanged is refused and changes nothing; nothing of an old version is left.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "operators/registry.h"
#include "runtime/config/process.h"
#include "runtime/engine/generation.h"

enum { RECORDS = 500000, VERSIONS = 5, SWAPS = 20 };

struct rig {
    char dir[64], data_dir[96];
    struct sl_process_config process;
    struct sl_topology *topology;
    const struct sl_topology *topologies[1];
    struct sl_host *host;
};

static char said[480];

#define SOURCE "sources:\n  logs: { type: file, paths: [\"in/*.ndjson\"], read: once }\n"
#define KEEP(name) "  " name ": { type: filter, inputs: [parsed], drop_where: { level: debug } }\n"
#define LANDING(more) "  landing: { type: files, inputs: [kept], compression: none, roll: { every: 100ms }, " more " }\n"

/* The landing zone as it is, with another roll, in another folder, in two, beside other sinks. */
static const char *const yaml[VERSIONS] = {
    "name: t\n" SOURCE "operators:\n  parsed: { type: parse, inputs: [logs], format: json }\n" KEEP("kept")
    "sinks:\n" LANDING("dir: one") "  out: { type: blackhole, inputs: [parsed] }\n",
    "name: t\n" SOURCE "operators:\n  parsed: { type: parse, inputs: [logs], format: json }\n" KEEP("kept")
    "sinks:\n" LANDING("dir: one, max_paths: 99") "  out: { type: blackhole, inputs: [parsed] }\n",
    "name: t\n" SOURCE "operators:\n  parsed: { type: parse, inputs: [logs], format: json, validate: false }\n" KEEP("other")
    "  kept: { type: filter, inputs: [other], drop_where: { level: trace } }\n"
    "sinks:\n" LANDING("dir: one") "  more: { type: blackhole, inputs: [other], required: false }\n",
    "name: t\n" SOURCE "operators:\n  parsed: { type: parse, inputs: [logs], format: json }\n" KEEP("kept")
    "sinks:\n" LANDING("dir: two") "  out: { type: blackhole, inputs: [kept], where: { level: info } }\n",
    "name: t\n" SOURCE "operators:\n  parsed: { type: parse, inputs: [logs], format: json }\n" KEEP("kept")
    "sinks:\n" LANDING("dir: two, path: \"{day}\"") "  out: { type: blackhole, inputs: [kept] }\n",
};

static void note(void *user, const char *topology, const struct sl_err *err, const char *what)
{
    (void)user, (void)topology, (void)what;
    if (err->code != SL_OK)
        (void)snprintf(said, sizeof(said), "%s", err->text);
}

static void ended(void *user)
{
    (void)user;
}

static struct sl_topology *load(const struct rig *rig, const char *text)
{
    struct sl_topology *topology = NULL;
    struct sl_diags diags;
    char path[96];
    FILE *file;

    (void)snprintf(path, sizeof(path), "%s/t.yaml", rig->dir);
    file = fopen(path, "w");
    assert_true(file != NULL && fputs(text, file) >= 0 && fclose(file) == 0);
    sl_diags_init(&diags);
    if (sl_topology_load(path, &sl_registry_builtin, NULL, &diags, &topology) != 0)
        fail_msg("%s: %s", diags.items[0].text, diags.items[0].remedy);
    sl_diags_fini(&diags);
    return topology;
}

static void write_records(const struct rig *rig, uint32_t records)
{
    char path[96];
    FILE *file;

    (void)snprintf(path, sizeof(path), "%s/in/a.ndjson", rig->dir);
    file = fopen(path, "w");
    assert_non_null(file);
    for (uint32_t i = 0; i < records; i++)
        assert_true(fprintf(file, "{\"n\":%u,\"level\":\"info\",\"service\":\"s%u\"}\n", i, i % 7) > 0);
    assert_int_equal(fclose(file), 0);
}

static void begin(struct rig *rig, uint32_t records)
{
    struct sl_host_settings settings = {.topologies_count = 1, .log = note, .ended = ended};
    struct sl_err err = {.text = ""};
    char path[96];

    (void)snprintf(rig->dir, sizeof(rig->dir), "/tmp/sl-generation-XXXXXX");
    assert_non_null(mkdtemp(rig->dir));
    (void)snprintf(path, sizeof(path), "mkdir %s/in", rig->dir);
    assert_int_equal(system(path), 0);
    (void)snprintf(rig->data_dir, sizeof(rig->data_dir), "%s/data", rig->dir);
    write_records(rig, records);
    rig->topology = load(rig, yaml[0]);
    rig->process = (struct sl_process_config){.data_dir = rig->data_dir, .node = "n", .workers = 1, .memory_bytes = 256 << 20,
                                              .max_record_bytes = 1 << 20,
                                              .spool = {.segment_bytes = 64 << 20, .hold_bytes = 1 << 30, .fsync = 2}};
    rig->topologies[0] = rig->topology;
    settings.process = &rig->process;
    settings.topologies = rig->topologies;
    rig->host = sl_host_open(&settings, &err);
    if (rig->host == NULL || sl_host_start(rig->host, &err) != 0)
        fail_msg("%s", err.text);
}

static int setup(void **state)
{
    *state = calloc(1, sizeof(struct rig));
    said[0] = '\0';
    return *state == NULL;
}

static int teardown(void **state)
{
    struct rig *rig = *state;
    char command[128];

    rig->host = sl_host_close(rig->host);
    rig->topology = sl_topology_free(rig->topology);
    (void)snprintf(command, sizeof(command), "rm -rf %s", rig->dir);
    assert_int_equal(system(command), 0);
    free(rig);
    return 0;
}

static uint64_t lines(const struct rig *rig, const char *count)
{
    char command[300];
    unsigned long long value = 0;
    FILE *pipe;

    (void)snprintf(command, sizeof(command), "cd %s && find one two -name '*.ndjson' -exec cat {} + 2>/dev/null | sort | %s | wc -l",
                   rig->data_dir, count);
    pipe = popen(command, "r");
    assert_true(pipe != NULL && fscanf(pipe, "%llu", &value) == 1 && pclose(pipe) == 0);
    return value;
}

static uint32_t released;

static void release(void *user)
{
    (void)user;
    released++;
}

/* 0: live; else why not. */
static int deploy(struct rig *rig, const char *text, uint32_t number, struct sl_err *err)
{
    struct sl_topology *topology = load(rig, text);
    struct sl_candidate *candidate = NULL;
    struct sl_swap_report report;

    if (sl_host_prepare(rig->host, topology, number, release, NULL, &candidate, err) != 0) {
        (void)sl_topology_free(topology);
        return -(int)err->code;
    }
    return sl_host_promote(rig->host, candidate, &report, err);
}

/* Everything has been read and is committed, and nothing of an earlier version is left. */
static bool is_over(struct rig *rig, uint32_t count)
{
    struct sl_host_topology *items;
    bool over = sl_host_settled(rig->host, "t");

    assert_int_equal(sl_host_view(rig->host, &items), 0);
    if (items[0].failed > 0)
        fail_msg("%s", items[0].sum.error);
    over = over && items[0].sum.records >= count && items[0].sum.partitions_count == 1 &&
           items[0].sum.partitions[0].committed == items[0].sum.partitions[0].next;
    sl_host_view_fini(rig->host, items);
    return over;
}

static void finish(struct rig *rig, uint32_t count)
{
    while (!is_over(rig, count))
        (void)sched_yield();
    sl_host_drain(rig->host);
    while (!sl_host_idle(rig->host))
        (void)sched_yield();
    assert_int_equal(lines(rig, "uniq"), count);
    assert_int_equal(lines(rig, "cat"), count);
}

/* Refused only while it is still starting. */
static void live(struct rig *rig, const char *text, uint32_t number)
{
    struct sl_err err = {.text = ""};

    while (deploy(rig, text, number, &err) != 0)
        if (strstr(err.text, "starting") == NULL)
            fail_msg("version %u: %s", number, err.text);
    assert_int_equal(sl_host_live(rig->host, "t"), number);
}

static void test_each_record_lands_once_whatever_version_took_it(void **state)
{
    struct rig *rig = *state;

    begin(rig, RECORDS);
    released = 0;
    for (uint32_t swap = 1; swap <= SWAPS; swap++)
        live(rig, yaml[(swap * 3) % VERSIONS], swap);
    finish(rig, RECORDS);
    assert_true(sl_host_settled(rig->host, "t"));
    assert_true(released + 4 >= SWAPS); /* the live one, and those of sinks that stayed */
}

static void test_what_cannot_be_opened_changes_nothing(void **state)
{
    static const char *const bad[] = {
        "name: t\n" SOURCE "operators:\n  parsed: { type: parse, inputs: [logs], format: json }\n" KEEP("kept")
        "sinks:\n" LANDING("dir: /proc/nowhere") ,
        "name: t\ncommit: { every: 3s }\n" SOURCE "operators:\n  parsed: { type: parse, inputs: [logs], format: json }\n" KEEP("kept")
        "sinks:\n" LANDING("dir: one"),
        "name: t\n" SOURCE "operators:\n  parsed: { type: parse, inputs: [logs], format: json }\n" KEEP("kept")
        "sinks:\n  landing: { type: blackhole, inputs: [kept] }\n",
    };
    struct rig *rig = *state;
    struct sl_err err = {.text = ""};

    begin(rig, RECORDS / 10);
    for (uint32_t i = 0; i < sizeof(bad) / sizeof(bad[0]);) {
        if (deploy(rig, bad[i], 7, &err) == 0)
            fail_msg("version %u was taken", i);
        if (strstr(err.text, "starting") != NULL)
            continue;
        assert_true(err.text[0] != '\0');
        assert_int_equal(sl_host_live(rig->host, "t"), 0);
        i++;
    }
    finish(rig, RECORDS / 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_each_record_lands_once_whatever_version_took_it, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_cannot_be_opened_changes_nothing, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
