/* test_topology.c: whole topology files: what is loaded, how it is wired, which order, digest and
 * memory it has.
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

#include "runtime/config/bind.h"
#include "runtime/config/process.h"
#include "runtime/config/template.h"
#include "tests/unit/fake_registry.h"

static void write_file(char path[64], const char *text)
{
    FILE *file;
    int fd;

    strcpy(path, "/tmp/sl_topology_XXXXXX");
    fd = mkstemp(path);
    assert_true(fd >= 0);
    file = fdopen(fd, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static int load(const char *text, const struct sl_process_config *process, struct sl_diags *diags,
                struct sl_topology **topology)
{
    char path[64];
    int status;

    write_file(path, text);
    sl_diags_init(diags);
    status = sl_topology_load(path, &fake_registry, process, diags, topology);
    (void)unlink(path);
    return status;
}

static struct sl_topology *load_fine(const char *text, const struct sl_process_config *process)
{
    struct sl_topology *topology = NULL;
    struct sl_diags diags;
    int status = load(text, process, &diags, &topology);

    for (uint32_t i = 0; status != 0 && i < diags.count; i++)
        print_error("%u:%u %s\n", diags.items[i].line, diags.items[i].column, diags.items[i].text);
    assert_int_equal(status, 0);
    assert_int_equal(diags.count, 0);
    sl_diags_fini(&diags);
    return topology;
}

/* Every problem, one "LINE:COLUMN TEXT | REMEDY" each, joined by newlines. */
static void load_refused(const char *text, const struct sl_process_config *process,
                         const char *expected)
{
    struct sl_topology *topology = NULL;
    struct sl_diags diags;
    char all[4096] = "";

    assert_int_not_equal(load(text, process, &diags, &topology), 0);
    assert_null(topology);
    for (uint32_t i = 0; i < diags.count; i++)
        if (!diags.items[i].warning)
            (void)snprintf(all + strlen(all), sizeof(all) - strlen(all), "%s%u:%u %s | %s",
                           all[0] == '\0' ? "" : "\n", diags.items[i].line, diags.items[i].column,
                           diags.items[i].text, diags.items[i].remedy);
    assert_string_equal(all, expected);
    sl_diags_fini(&diags);
}

static const char company_bus[] =
    "name: company-bus\n"
    "sources:\n"
    "  logs: { type: kafka, connection: main, topics: [\"^logs\\\\..*\"], group: company-bus }\n"
    "operators:\n"
    "  split: { type: route, inputs: [useful], routes: { errors: { level: [error, fatal] } } }\n"
    "  useful: { type: filter, inputs: [parsed], drop_where: { level: [debug, trace] } }\n"
    "  parsed: { type: parse, inputs: [logs], format: json }\n"
    "sinks:\n"
    "  landing: { type: files, inputs: [parsed], dir: landing, path: "
    "\"service={service}/dt={day}/hour={hour}\", roll: { bytes: 1MiB } }\n"
    "  alerts: { type: kafka, inputs: [split.errors], where: { service: { glob: \"pay*\" } }, "
    "connection: main, topic: alerts, exactly_once: true }\n"
    "  rest: { type: stdout, inputs: [split.rest], retry: { backoff_max: 10s } }\n"
    "memory: 64MiB\n"
    "consumers: 2\n"
    "commit: { every: 2s }\n";

static struct sl_connection main_connection = {.name = "main"};
static const struct sl_process_config process = {
    .connections = &main_connection, .connections_count = 1, .memory_bytes = 512ull << 20};

static void test_a_whole_topology_is_read(void **state)
{
    struct sl_topology *topology = load_fine(company_bus, &process);
    const struct fake_files *files;
    const struct sl_component *c;

    (void)state;
    assert_string_equal(topology->name, "company-bus");
    assert_int_equal(topology->sources_count, 1);
    assert_int_equal(topology->operators_count, 3);
    assert_int_equal(topology->sinks_count, 4);
    assert_int_equal(topology->components_count, 8);
    c = topology->components;
    assert_string_equal(c[0].name, "logs");
    assert_string_equal(c[1].name, "parsed"); /* inputs come first, whatever the file's order */
    assert_string_equal(c[2].name, "useful");
    assert_string_equal(c[3].name, "split");
    assert_string_equal(c[4].name, "landing");
    assert_string_equal(c[7].name, "dead_letters");
    assert_int_equal(topology->dead_letters, 7);
    assert_int_equal(c[3].inputs[0].component, 2);
    assert_int_equal(c[5].inputs[0].component, 3);
    assert_int_equal(c[5].inputs[0].port, 0);
    assert_int_equal(c[6].inputs[0].port, 1);
    assert_non_null(c[5].sink.where);
    assert_int_equal(c[6].sink.backoff_min_ns, 100000000);
    assert_int_equal(c[6].sink.backoff_max_ns, 10000000000);
    assert_true(c[6].sink.required);
    files = c[4].config;
    assert_int_equal(files->roll.bytes, 1 << 20);
    assert_int_equal(files->roll.every, 300000000000);
    assert_int_equal(files->path->count, 6);
    files = c[7].config;
    assert_string_equal(files->dir, "dead/company-bus");
    assert_int_equal(topology->commit_every_ns, 2000000000);
    assert_int_equal(topology->max_age_ns, 30ull * 86400 * 1000000000);
    assert_null(sl_topology_free(topology));
}

static const char small[] =
    "name: t\nsources:\n  in: { type: stdin }\nsinks:\n  out: { type: stdout, inputs: [in]%s }\n%s";

static struct sl_topology *load_small(const char *sink, const char *top)
{
    char text[2048];

    (void)snprintf(text, sizeof(text), small, sink, top);
    return load_fine(text, NULL);
}

static void test_the_digest_sees_settings_and_not_spelling(void **state)
{
    struct sl_topology *plain = load_small("", "");
    struct sl_topology *same =
        load_small(", when_full: wait, \"required\": true",
                   "max_age: 720h\nx-notes: anything\ndead_letters: { dir: dead/t, type: files }\n");
    struct sl_topology *other = load_small(", on_refused: drop", "");
    struct sl_topology *where = load_small(", where: { a: 1 }", ""),
                       *quoted = load_small(", where: { a: \"1\" }", "");

    (void)state;
    assert_true(plain->digest == same->digest);
    assert_true(plain->digest != other->digest);
    assert_true(plain->digest != where->digest);
    assert_true(where->digest != quoted->digest);
    (void)sl_topology_free(plain);
    (void)sl_topology_free(same);
    (void)sl_topology_free(other);
    (void)sl_topology_free(where);
    (void)sl_topology_free(quoted);
}

static void test_circles_are_refused_with_their_path(void **state)
{
    (void)state;
    load_refused("name: t\nsources: { in: { type: stdin } }\noperators:\n"
                 "  a: { type: filter, where: { x: 1 }, inputs: [in, c] }\n"
                 "  b: { type: filter, where: { x: 1 }, inputs: [a] }\n"
                 "  c: { type: filter, where: { x: 1 }, inputs: [b] }\n"
                 "sinks: { out: { type: stdout, inputs: [c] } }\n",
                 NULL,
                 "5:47 operators.b.inputs: records would run in a circle: a -> b -> c -> a | take "
                 "one of these inputs out");
    load_refused("name: t\nsources: { in: { type: stdin } }\noperators: { a: { type: filter, "
                 "where: { x: 1 }, inputs: [a, in] } }\n"
                 "sinks: { out: { type: stdout, inputs: [a] } }\n",
                 NULL,
                 "3:58 operators.a.inputs: records would run in a circle: a -> a | take one of "
                 "these inputs out");
}

static void test_every_problem_is_said_in_one_run(void **state)
{
    (void)state;
    load_refused("name: a b\nsources:\n  in: { type: stdin, rate: 5 }\nsinks:\n  out: { type: "
                 "stdout, inputs: [on], requird: true }\n  out2: { type: file, inputs: [in.x] }\n",
                 NULL,
                 "1:7 name: \"a b\" is not a name | write 1 to 64 of A-Z a-z 0-9 _ -\n"
                 "3:22 sources.in: unknown key \"rate\" | allowed: type\n"
                 "5:38 sinks.out: unknown key \"requird\" | did you mean \"required\"? Allowed: "
                 "type, inputs, where, required, when_full, queue, retry, batch, "
                 "encoding, on_refused, require, was\n"
                 "6:17 sinks.out2.type: file is a source, not a sink | move it below sources:, or "
                 "write one of: files, kafka, stdout, blackhole\n"
                 "5:33 sinks.out.inputs: nothing is called \"on\" | did you mean \"in\"?\n"
                 "6:32 sinks.out2.inputs: in has one output, no port \"x\" | write in");
}

static void test_one_topology_has_one_commit_domain(void **state)
{
    (void)state;
    load_refused("name: t\nsources:\n  a: { type: kafka, brokers: [h:1], topics: [x], group: g }\n"
                 "  b: { type: kafka, brokers: [h:1], topics: [y], group: g }\n"
                 "sinks:\n  out: { type: stdout, inputs: [a, b] }\n",
                 NULL,
                 "4:3 sources.b: a second kafka source beside a: one consumer's offsets are one commit | give one source all "
                 "topics, or make it two topologies");
}

static void test_exactly_once_needs_one_cluster(void **state)
{
    (void)state;
    load_refused("name: t\nsources:\n  a: { type: kafka, brokers: [h:1], topics: [x], group: g }\n "
                 " b: { type: stdin }\n"
                 "sinks:\n  out: { type: kafka, inputs: [a, b], brokers: [h:1], topic: o, "
                 "exactly_once: true }\n",
                 NULL,
                 "4:3 sources.b: kafka and a source of this process (a) cannot be committed together | make it two topologies\n"
                 "6:79 sinks.out.exactly_once: the source b is not on the sink's Kafka cluster | "
                 "read from the same Kafka connection, or leave out "
                 "exactly_once: delivery is then at least once, with a sluice-origin header");
    (void)sl_topology_free(
        load_fine("name: t\nsources:\n  a: { type: kafka, brokers: [h:1], topics: [x], group: g }\n"
                  "sinks:\n  out: { type: kafka, inputs: [a], brokers: [h:1], topic: o, "
                  "exactly_once: true }\n",
                  NULL));
}

static void test_unread_components_are_only_warned_of(void **state)
{
    struct sl_topology *topology = NULL;
    struct sl_diags diags;

    (void)state;
    assert_int_equal(
        load("name: t\nsources:\n  in: { type: stdin }\n  idle: { type: stdin }\noperators:\n  r: "
             "{ type: route, inputs: [in], routes: { a: { x: 1 } } }\n"
             "sinks: { out: { type: stdout, inputs: [r.a] } }\n",
             NULL, &diags, &topology),
        0);
    assert_int_equal(diags.errors, 0);
    assert_int_equal(diags.count, 2);
    assert_true(diags.items[0].warning);
    assert_string_equal(diags.items[0].text, "sources.idle: nobody reads it");
    assert_string_equal(diags.items[1].text, "operators.r: nobody reads the port r.rest");
    sl_diags_fini(&diags);
    (void)sl_topology_free(topology);
}

static void test_memory_that_cannot_hold_is_refused(void **state)
{
    struct sl_topology *topology = load_small("", "memory: 16MiB\n");
    struct sl_memory_plan plan;
    struct sl_err err;
    char text[400];

    (void)state;
    load_refused("name: t\nmemory: 16MiB\nconsumers: 2\nsources: { in: { type: stdin } }\nsinks: { "
                 "out: { type: stdout, inputs: [in] } }\n",
                 NULL,
                 "2:9 memory: 16MiB cannot hold 2 consumers and 2 sinks | write memory: 20MiB, or "
                 "fewer consumers");
    assert_int_not_equal(sl_topology_memory(topology, 0, 2, 1 << 20, &plan, &err), 0);
    assert_string_equal(err.text, "memory: 16MiB cannot hold 2 consumers and 2 sinks; write "
                                  "memory: 20MiB, or fewer consumers");
    topology->consumers = 1;
    assert_int_equal(sl_topology_memory(topology, 0, 1, 1 << 20, &plan, &err), 0);
    assert_int_equal(plan.queues_bytes, (16u << 20) * 40ull / 100);
    assert_true(plan.queues_bytes + plan.lanes_bytes + plan.batches_bytes + plan.tables_bytes <=
                plan.total_bytes);
    (void)sl_memory_print(&plan, text, sizeof(text));
    assert_string_equal(text, "memory 16.0 MiB for 1 consumer: source queues 6.4, lanes 4.8, "
                              "batches 3.2, tickets and tables 1.6 MiB (at least 10.0 MiB needed)");
    assert_int_not_equal(sl_topology_memory(topology, 0, 1, UINT64_MAX / 4, &plan, &err), 0);
    (void)sl_topology_free(topology);
}

static void test_a_missing_file_is_said_with_its_name(void **state)
{
    struct sl_topology *topology = NULL;
    struct sl_diags diags;
    char text[400];

    (void)state;
    sl_diags_init(&diags);
    assert_int_not_equal(
        sl_topology_load("/nonexistent/t.yaml", &fake_registry, NULL, &diags, &topology), 0);
    (void)sl_diag_print(&diags.items[0], text, sizeof(text));
    assert_string_equal(text, "/nonexistent/t.yaml: error: cannot read the file: No such file or "
                              "directory\n  name a YAML file that this user may read");
    sl_diags_fini(&diags);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_whole_topology_is_read),
        cmocka_unit_test(test_the_digest_sees_settings_and_not_spelling),
        cmocka_unit_test(test_circles_are_refused_with_their_path),
        cmocka_unit_test(test_every_problem_is_said_in_one_run),
        cmocka_unit_test(test_one_topology_has_one_commit_domain),
        cmocka_unit_test(test_exactly_once_needs_one_cluster),
        cmocka_unit_test(test_unread_components_are_only_warned_of),
        cmocka_unit_test(test_memory_that_cannot_hold_is_refused),
        cmocka_unit_test(test_a_missing_file_is_said_with_its_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
