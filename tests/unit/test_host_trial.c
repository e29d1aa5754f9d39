/* test_host_trial.c: candidates on trial on a running host, with its threads and real files: shadows that write the same in other files,
 * canaries that come, grow, are promoted and taken out while records flow. Each record lands once.
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
#include "runtime/base/buf.h"
#include "runtime/config/process.h"
#include "runtime/engine/generation.h"

enum { RECORDS = 300000 };

struct rig {
    char dir[64], data_dir[96];
    struct sl_process_config process;
    struct sl_topology *topology;
    const struct sl_topology *topologies[1];
    struct sl_host *host;
};

#define HEAD "name: t\nsources:\n  logs: { type: file, paths: [\"in/*.ndjson\"], read: once }\noperators:\n  parsed: { type: parse, inputs: [logs] }\n"
#define FILES(input, more) "sinks:\n  landing: { type: files, inputs: [" input "], dir: landing, roll: { every: 200ms }, " more " }\n"
static const char live[] = HEAD FILES("parsed", "compression: none");
static const char marked[] = HEAD "  v2: { type: set, inputs: [parsed], fields: { v: two } }\n" FILES("v2", "compression: none");
/* What is written is the same; how it lies on the disk is not. */
static const char packed[] = HEAD FILES("parsed", "compression: zstd, level: 7, max_paths: 50, path: \"level={level}\"");

static char said[480];

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

/* Paused: nothing is read before the trial has begun, or little. */
static int setup(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    struct sl_host_settings settings = {.topologies_count = 1, .log = note, .ended = ended, .once = true};
    struct sl_err err = {.text = ""};
    char path[96];
    FILE *file;

    *state = rig;
    said[0] = '\0';
    (void)snprintf(rig->dir, sizeof(rig->dir), "/tmp/sl-host-trial-XXXXXX");
    assert_non_null(mkdtemp(rig->dir));
    (void)snprintf(path, sizeof(path), "mkdir %s/in", rig->dir);
    assert_int_equal(system(path), 0);
    (void)snprintf(rig->data_dir, sizeof(rig->data_dir), "%s/data", rig->dir);
    (void)snprintf(path, sizeof(path), "%s/in/a.ndjson", rig->dir);
    file = fopen(path, "w");
    assert_non_null(file);
    for (uint32_t i = 0; i < RECORDS; i++)
        assert_true(fprintf(file, "{\"n\":%u,\"level\":\"%s\",\"service\":\"s%u\",\"trace_id\":\"t%u\"}\n", i, i % 3 ? "info" : "error", i % 7, i / 5) > 0);
    assert_int_equal(fclose(file), 0);
    rig->topology = load(rig, live);
    rig->process = (struct sl_process_config){.data_dir = rig->data_dir, .node = "n", .workers = 1, .memory_bytes = 256 << 20,
                                              .max_record_bytes = 1 << 20,
                                              .spool = {.segment_bytes = 64 << 20, .hold_bytes = 1 << 30, .fsync = 2}};
    rig->topologies[0] = rig->topology;
    settings.process = &rig->process;
    settings.topologies = rig->topologies;
    rig->host = sl_host_open(&settings, &err);
    if (rig->host == NULL || sl_host_start(rig->host, &err) != 0 || sl_host_pause(rig->host, "t", true, &err) != 0)
        fail_msg("%s", err.text);
    return 0;
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

/* NULL: the topology is ending. */
static struct sl_candidate *prepare(struct rig *rig, const char *text, uint32_t number)
{
    struct sl_topology *topology = load(rig, text);
    struct sl_candidate *candidate = NULL;
    struct sl_err err = {.text = ""};

    while (sl_host_prepare(rig->host, topology, number, NULL, NULL, &candidate, &err) != 0) {
        if (strstr(err.text, "starting") != NULL)
            continue;
        (void)sl_topology_free(topology);
        if (strstr(err.text, "ending") == NULL)
            fail_msg("%s", err.text);
        return NULL;
    }
    return candidate;
}

static void go(struct rig *rig)
{
    struct sl_err err = {.text = ""};

    assert_int_equal(sl_host_pause(rig->host, "t", false, &err), 0);
}

static void wait_for_the_end(struct rig *rig)
{
    while (!sl_host_idle(rig->host))
        (void)usleep(2000); /* poll */
}

static uint64_t lines(const struct rig *rig, const char *pattern, const char *count)
{
    char command[300];
    unsigned long long value = 0;
    FILE *pipe;

    (void)snprintf(command, sizeof(command), "cd %s/landing && find . -name '*.ndjson' -exec cat {} + | grep -e '%s' | grep -o '\"n\":[0-9]*' | %s | wc -l",
                   rig->data_dir, pattern, count);
    pipe = popen(command, "r");
    assert_true(pipe != NULL && fscanf(pipe, "%llu", &value) == 1 && pclose(pipe) == 0);
    return value;
}

static void all_once(const struct rig *rig)
{
    assert_int_equal(lines(rig, "", "cat"), RECORDS);
    assert_int_equal(lines(rig, "", "sort -u"), RECORDS);
    assert_string_equal(said, "");
}

static void test_other_files_and_compression_are_no_difference(void **state)
{
    struct rig *rig = *state;
    struct sl_candidate *candidate = prepare(rig, packed, 2);
    struct sl_sides sides;
    struct sl_buf json = {0};
    struct sl_err err = {.text = ""};

    assert_int_equal(sl_host_shadow(rig->host, candidate, NULL, &err), 0);
    go(rig);
    wait_for_the_end(rig);
    assert_int_equal(sl_host_sides(rig->host, candidate, &sides, &err), 0);
    assert_true(sides.compared > 0 && sides.ranges > 0);
    assert_int_equal(sides.differing, 0);
    assert_int_equal(sl_host_differences(rig->host, candidate, &json, &err), 0);
    assert_non_null(strstr(sl_buf_str(&json), "\"sink\":\"landing\",\"in\":\"both\""));
    sl_buf_fini(&json);
    sl_host_discard(rig->host, candidate);
    all_once(rig);
}

static void test_a_shadow_shows_what_differs(void **state)
{
    struct rig *rig = *state;
    struct sl_candidate *candidate = prepare(rig, marked, 2);
    struct sl_sides sides;
    struct sl_buf json = {0};
    struct sl_err err = {.text = ""};

    assert_int_equal(sl_host_shadow(rig->host, candidate, NULL, &err), 0);
    go(rig);
    wait_for_the_end(rig);
    assert_int_equal(sl_host_sides(rig->host, candidate, &sides, &err), 0);
    assert_true(sides.compared > 0);
    assert_int_equal(sides.differing, sides.compared);
    assert_int_equal(sl_host_differences(rig->host, candidate, &json, &err), 0);
    assert_non_null(strstr(sl_buf_str(&json), "\"what\":\"field was added\",\"field\":\"v\""));
    sl_buf_fini(&json);
    sl_host_discard(rig->host, candidate);
    all_once(rig);
    assert_int_equal(lines(rig, "\"v\":", "cat"), 0);
}

static void test_a_canary_grows_and_is_promoted(void **state)
{
    static const double shares[] = {0.01, 0.1, 0.5, 1};
    struct rig *rig = *state;
    struct sl_candidate *candidate = prepare(rig, marked, 2);
    struct sl_swap_report report;
    struct sl_sides sides;
    struct sl_err err = {.text = ""};

    for (int i = 0; i < 4; i++) {
        assert_int_equal(sl_host_canary(rig->host, candidate, shares[i], SL_SPLIT_KEY, &err), 0);
        if (i == 0)
            go(rig);
        do { /* some of this share */
            assert_int_equal(sl_host_sides(rig->host, candidate, &sides, &err), 0);
        } while (sides.canary.records + sides.baseline.records < 5000 && !sl_host_idle(rig->host));
        assert_false(sides.broken);
    }
    if (sl_host_promote(rig->host, candidate, &report, &err) != 0)
        assert_non_null(strstr(err.text, "ending"));
    wait_for_the_end(rig);
    all_once(rig);
    assert_true(lines(rig, "\"v\":", "cat") > 1000);
}

static void test_canaries_come_and_are_taken_out(void **state)
{
    struct rig *rig = *state;
    struct sl_err err = {.text = ""};
    uint32_t number = 2;

    for (struct sl_candidate *candidate; (candidate = prepare(rig, marked, number)) != NULL; number++) {
        struct sl_sides sides;

        assert_int_equal(sl_host_canary(rig->host, candidate, 0.3, number % 2 ? SL_SPLIT_KEY : SL_SPLIT_PARTITION, &err), 0);
        if (number == 2)
            go(rig);
        do {
            assert_int_equal(sl_host_sides(rig->host, candidate, &sides, &err), 0);
        } while (sides.canary.records + sides.baseline.records < 10000 && !sl_host_idle(rig->host));
        assert_false(sides.broken);
        if (number % 3 == 0)
            assert_int_equal(sl_host_shadow(rig->host, candidate, NULL, &err), 0);
        sl_host_discard(rig->host, candidate);
        if (sl_host_idle(rig->host))
            break;
    }
    assert_true(number > 5);
    wait_for_the_end(rig);
    all_once(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_other_files_and_compression_are_no_difference, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_shadow_shows_what_differs, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_canary_grows_and_is_promoted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_canaries_come_and_are_taken_out, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
