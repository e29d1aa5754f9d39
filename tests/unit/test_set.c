/* test_set.c: --set PATH=VALUE: what it changes, what it refuses and in which words.
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

#include "runtime/config/process.h"
#include "runtime/config/template.h"
#include "runtime/config/topology.h"
#include "tests/unit/fake_registry.h"

static const struct sl_process_config process = {.memory_bytes = 512ull << 20};

static const char text[] = "name: t\n"
                           "sources:\n  in: { type: file, paths: [a.log, b.log] }\n  up: &up { type: generate, seed: 3 }\n  two: *up\n"
                           "operators:\n  split: { type: route, inputs: [in, up, two], routes: { errors: { level: error } } }\n"
                           "sinks:\n  out: { type: files, inputs: [split.errors], dir: l }\n  rest: { type: stdout, inputs: [split.rest] }\n";

static int load(const char *const *items, uint32_t count, struct sl_diags *diags, struct sl_topology **topology)
{
    char path[] = "/tmp/sl_set_XXXXXX";
    struct sl_strings sets = {items, count};
    int fd = mkstemp(path), status;

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(close(fd), 0);
    sl_diags_init(diags);
    status = sl_topology_load_set(path, &sets, &fake_registry, &process, diags, topology);
    (void)unlink(path);
    return status;
}

static struct sl_topology *load_fine(const char *const *items, uint32_t count)
{
    struct sl_topology *topology = NULL;
    struct sl_diags diags;
    int status = load(items, count, &diags, &topology);

    for (uint32_t i = 0; status != 0 && i < diags.count; i++)
        print_error("%s: %s\n", diags.items[i].file, diags.items[i].text);
    assert_int_equal(status, 0);
    sl_diags_fini(&diags);
    return topology;
}

static const struct sl_component *named(const struct sl_topology *topology, const char *name)
{
    for (uint32_t c = 0; c < topology->components_count; c++)
        if (strcmp(topology->components[c].name, name) == 0)
            return &topology->components[c];
    fail_msg("no %s", name);
    return NULL;
}

static void test_settings_are_changed_added_and_the_last_one_wins(void **state)
{
    const char *const sets[] = {"memory=64MiB",
                                "sinks.out.roll.bytes=1MiB",
                                "sinks.out.roll.bytes=2MiB",
                                "sinks.out.path=service={service}/day={day}", /* only the first = parts */
                                "sinks.rest.retry.backoff_max=10s",
                                "sources.in.paths.1=c d.log",
                                "operators.split.routes={ errors: { level: [error, fatal] }, pay: { service: pay } }",
                                "commit={ every: 2s }"};
    struct sl_topology *topology = load_fine(sets, 8);
    const struct fake_files *files = named(topology, "out")->config;
    const struct fake_file *file = named(topology, "in")->config;

    (void)state;
    assert_int_equal(topology->memory_bytes, 64 << 20);
    assert_int_equal(topology->commit_every_ns, 2000000000);
    assert_int_equal(files->roll.bytes, 2 << 20);
    assert_string_equal(files->path->text, "service={service}/day={day}");
    assert_string_equal(file->paths.items[0], "a.log");
    assert_string_equal(file->paths.items[1], "c d.log");
    assert_int_equal(named(topology, "rest")->sink.backoff_max_ns, 10000000000);
    assert_int_equal(((const struct fake_route *)named(topology, "split")->config)->routes.count, 2);
    assert_int_equal(named(topology, "rest")->inputs[0].port, 2);
    assert_int_equal(topology->sets.count, 8);
    assert_string_equal(topology->sets.items[0], sets[0]);
    assert_true(topology->sets.items[0] != sets[0]); /* its own */
    (void)sl_topology_free(topology);
}

static void test_an_alias_is_changed_in_one_place(void **state)
{
    const char *const sets[] = {"sources.two.seed=9"};
    struct sl_topology *topology = load_fine(sets, 1);

    (void)state;
    assert_int_equal(((const struct fake_generate *)named(topology, "up")->config)->seed, 3);
    assert_int_equal(((const struct fake_generate *)named(topology, "two")->config)->seed, 9);
    (void)sl_topology_free(topology);
}

static void test_it_is_the_same_as_written_in_the_file(void **state)
{
    const char *const sets[] = {"sources.up.seed=3", "sinks.out.required=true"}, *const other[] = {"sources.up.seed=4"};
    struct sl_topology *plain = load_fine(NULL, 0), *same = load_fine(sets, 2), *changed = load_fine(other, 1);

    (void)state;
    assert_true(plain->digest == same->digest);
    assert_true(plain->digest != changed->digest);
    assert_true(named(plain, "up")->digest != named(changed, "up")->digest);
    (void)sl_topology_free(plain);
    (void)sl_topology_free(same);
    (void)sl_topology_free(changed);
}

static void test_variables_and_empty_values(void **state)
{
    const char *const sets[] = {"sinks.out.dir=${SL_SET_TEST:-elsewhere}", "sinks.out.path="};
    struct sl_topology *topology = load_fine(sets, 2);
    const struct fake_files *files = named(topology, "out")->config;

    (void)state;
    assert_string_equal(files->dir, "elsewhere");
    assert_int_equal(files->path->count, 0);
    assert_string_equal(topology->sets.items[0], sets[0]); /* kept as it was said */
    (void)sl_topology_free(topology);
}

static void test_what_is_wrong_names_the_set_and_what_would_be_right(void **state)
{
    static const struct {
        const char *set, *said;
    } cases[] = {
        {"memory", "--set memory: error: there is no = in it\n  write --set PATH=VALUE, such as --set sinks.landing.level=3"},
        {"=3", "--set : error: there is no path before the =\n  write --set PATH=VALUE, such as --set sinks.landing.level=3"},
        {"sinks..dir=x", "--set sinks..dir: error: a name in the path is empty\n  write names with one dot between them, such as "
                         "sinks.landing.level"},
        {"sinks.out.=x", "--set sinks.out.: error: a name in the path is empty\n  write names with one dot between them, such as "
                         "sinks.landing.level"},
        {"sinks.ouf.dir=x", "--set sinks.ouf.dir: error: there is no \"ouf\" below sinks:\n  did you mean out? There are: out, rest"},
        {"operators.enrich.script=x", "--set operators.enrich.script: error: there is no \"enrich\" below operators:\n  there are: split; "
                                      "new ones are added in the file"},
        {"sinks.out.dri=x", "--set sinks.out.dri: error: sinks.out: unknown key \"dri\"\n  did you mean \"dir\"? Allowed: type, inputs, dir, path, "},
        {"sinks.out.roll.bites=1MiB", "--set sinks.out.roll.bites: error: sinks.out.roll: unknown key \"bites\"\n  did you mean \"bytes\"? "
                                      "Allowed: bytes, every"},
        {"memroy=1GiB", "--set memroy: error: unknown key \"memroy\"\n  did you mean \"memory\"? Allowed: sources, operators, sinks, "
                        "dead_letters, name, memory, consumers, commit, max_age, max_future"},
        {"memory=parrots", "--set memory: error: memory: \"parrots\" is not a size\n  write a size such as 128MiB (KiB, MiB, GiB, TiB; KB, MB, GB, TB; a plain number is bytes); between 8MiB and 1024TiB"},
        {"memory.more=1", "--set memory.more: error: memory: a mapping is not a size\n  write a size such as 128MiB, between 8MiB and "
                          "1024TiB"},
        {"name.first=1", "--set name.first: error: name is a single value, there is no \"first\" below it\n  write --set name=VALUE"},
        {"sources.in.paths.2=x", "--set sources.in.paths.2: error: sources.in.paths is a list of 2, \"2\" is none of its places\n  write a "
                                 "number from 0 to 1, or the whole list: sources.in.paths=[…]"},
        {"sources.in.paths.first=x", "--set sources.in.paths.first: error: sources.in.paths is a list of 2, \"first\" is none of its "
                                     "places\n  write a number from 0 to 1, or the whole list: sources.in.paths=[…]"},
        {"sources.in.paths=[a", NULL},
        {"sinks.out.dir=${SL_NOT_SET_ANYWHERE}", "--set sinks.out.dir: error: the environment variable SL_NOT_SET_ANYWHERE is not set\n  set "
                                                 "it, or write ${SL_NOT_SET_ANYWHERE:-default}"},
        {"sinks.rest.type=stdoot", "--set sinks.rest.type: error: sinks.rest.type: \"stdoot\" is no type of sink\n  did you mean stdout? "
                                   "Allowed: files, kafka, stdout, blackhole"},
        {"sinks.rest.inputs=[nobody]", NULL},
        {"sources=3", NULL},
        {"sinks.rest=3", NULL},
        {"operators.split.routes.errors.levle=[", NULL},
        {"a.b.c.d.e.f.g=\t", NULL},
        {"sinks.out.dir=*nothing", NULL},
        {"sinks.out.dir=!!python/object x", NULL},
        {"sinks.rest.was=out", "--set sinks.rest.was: error: sinks.rest.was: the sink out is still there, and goes on by itself\n  leave it "
                               "out, or take the sink out out of the file"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sl_topology *topology = NULL;
        struct sl_diags diags;
        char said[1024];
        assert_int_not_equal(load(&cases[i].set, 1, &diags, &topology), 0);
        assert_null(topology);
        assert_true(diags.count > 0);
        (void)sl_diag_print(&diags.items[0], said, sizeof(said));
        if (strncmp(said, "--set ", 6) != 0 || strchr(said, '\n') == NULL)
            fail_msg("%s: %s", cases[i].set, said);
        if (cases[i].said != NULL)
            if (strncmp(said, cases[i].said, strlen(cases[i].said)) != 0)
                assert_string_equal(said, cases[i].said);
        sl_diags_fini(&diags);
    }
}

static void test_a_value_that_may_be_a_secret_is_not_said(void **state)
{
    const char *const sets[] = {"sources.in={ password: hunter2, x: [ }"}, *const deep[] = {"name.x=hunter2"};
    struct sl_topology *topology = NULL;
    struct sl_diags diags;

    (void)state;
    for (uint32_t i = 0; i < 2; i++) {
        char said[1024];
        assert_int_not_equal(load(i == 0 ? sets : deep, 1, &diags, &topology), 0);
        for (uint32_t d = 0; d < diags.count; d++) {
            (void)sl_diag_print(&diags.items[d], said, sizeof(said));
            assert_null(strstr(said, "hunter2"));
        }
        sl_diags_fini(&diags);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_settings_are_changed_added_and_the_last_one_wins),
        cmocka_unit_test(test_an_alias_is_changed_in_one_place),
        cmocka_unit_test(test_it_is_the_same_as_written_in_the_file),
        cmocka_unit_test(test_variables_and_empty_values),
        cmocka_unit_test(test_what_is_wrong_names_the_set_and_what_would_be_right),
        cmocka_unit_test(test_a_value_that_may_be_a_secret_is_not_said),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
