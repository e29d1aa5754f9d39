/* test_diff.c: `sluice diff`: what it tells of two versions, and what it must not tell.
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
#include "runtime/cli/cli.h"
#include "runtime/config/kept.h"
#include "runtime/store/generations.h"

static char root[64], home[512];
static struct {
    int code;
    char *out, *err;
    size_t out_bytes, err_bytes;
} said;

static int setup(void **state)
{
    (void)state;
    (void)strcpy(root, "/tmp/sl_diff_XXXXXX");
    return mkdtemp(root) == NULL || getcwd(home, sizeof(home)) == NULL || chdir(root) != 0;
}

static int teardown(void **state)
{
    char command[128];

    (void)state;
    free(said.out);
    free(said.err);
    memset(&said, 0, sizeof(said));
    (void)snprintf(command, sizeof(command), "rm -rf %s", root);
    return chdir(home) != 0 || system(command) != 0;
}

static void put(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* "sluice diff WORDS"; words end at NULL. */
static const char *diff(const char *first, ...)
{
    struct sl_cli cli = {.registry = &sl_registry_builtin, .commands = sl_cli_commands()};
    char *argv[16] = {strdup("sluice"), strdup("diff"), NULL};
    int argc = 2;
    va_list words;

    va_start(words, first);
    for (const char *word = first; word != NULL && argc < 15; word = va_arg(words, const char *))
        argv[argc++] = strdup(word);
    va_end(words);
    free(said.out);
    free(said.err);
    memset(&said, 0, sizeof(said));
    cli.out = open_memstream(&said.out, &said.out_bytes);
    cli.err = open_memstream(&said.err, &said.err_bytes);
    {
        char *permuted[16];
        memcpy(permuted, argv, sizeof(argv));
        said.code = sl_cli_dispatch(&cli, argc, permuted);
    }
    (void)fclose(cli.out);
    (void)fclose(cli.err);
    if (said.err_bytes > 0)
        print_message("%s", said.err);
    for (int i = 0; i < argc; i++)
        free(argv[i]);
    return said.out;
}

static const char before[] = "name: t\nmemory: 64MiB\n"
                             "sources:\n  in: { type: file, paths: [/var/log/x.log] }\n  other: { type: generate, rate: 5/s }\n"
                             "operators:\n  parsed: { type: parse, inputs: [in, other], format: json }\n"
                             "  made: { type: lua, inputs: [parsed], script: make.lua }\n"
                             "sinks:\n  out: { type: files, inputs: [made], dir: landing, roll: { every: 5m } }\n"
                             "  search: { type: http, inputs: [made], url: \"http://h:9200\", auth: { user: a, password: hunter2 }, headers: { "
                             "X-Token: hunter3, X-Team: one } }\n"
                             "  alerts: { type: stdout, inputs: [made] }\n";

static const char after[] = "# other spelling\nname: t\nmemory: 128MiB\n"
                            "sources:\n  other: { rate: 6/s, type: generate }\n  in: { type: file, paths: [/var/log/x.log] }\n"
                            "operators:\n  read: { type: parse, inputs: [in, other], format: json }\n  made: { type: lua, inputs: [read], script: make.lua }\n"
                            "sinks:\n  out: { type: files, inputs: [made], dir: landing, roll: { every: 300s, bytes: 64MiB } }\n"
                            "  search: { type: http, inputs: [made], url: \"http://h:9200\", auth: { user: a, password: hunter4 }, headers: { "
                            "X-Token: hunter5, X-Team: one } }\n"
                            "  calls: { type: stdout, inputs: [made], was: alerts }\n";

static void test_settings_components_files_and_what_a_deployment_does(void **state)
{
    (void)state;
    assert_int_equal(mkdir("b", 0755), 0);
    put("a.yaml", before);
    put("make.lua", "function process(r) return r end\n");
    put("b/topology.yaml", after);
    put("b/make.lua", "-- two\nfunction process(r) return r end\n");
    assert_string_equal(diff("a.yaml", "b", NULL),
                        "memory: 64MiB -> 128MiB\n"
                        "~ sources.other (generate): opened anew\n"
                        "    rate: 5/s -> 6/s\n"
                        "+ operators.read (parse): opened anew, as all operators are\n"
                        "~ operators.made (lua): opened anew, as all operators are\n"
                        "    inputs: [parsed] -> [read]\n"
                        "    script: the content of make.lua changed\n"
                        "~ sinks.out (files): opened anew\n"
                        "    roll.bytes: 128MiB (default) -> 64MiB\n"
                        "~ sinks.search (http): opened anew\n"
                        "    auth.password: (changed)\n"
                        "    headers: (changed)\n"
                        "+ sinks.calls (stdout): opened, goes on for alerts\n"
                        "- operators.parsed (parse): ended\n"
                        "- sinks.alerts (stdout): goes on as calls\n"
                        "a deployment keeps 2 sources and sinks open, opens 3 anew, opens 1 that are new, ends 1\n");
    assert_int_equal(said.code, SL_EXIT_OK);
    (void)diff("a.yaml", "b", "--exit-code", NULL);
    assert_int_equal(said.code, SL_EXIT_FAILED);
}

static void test_what_is_the_same_says_so(void **state)
{
    (void)state;
    put("make.lua", "function process(r) return r end\n");
    put("a.yaml", before);
    assert_non_null(strstr(diff("a.yaml", "a.yaml", "--set", "sinks.out.roll.every=300s", "--exit-code", NULL),
                           "no difference: topology t, digest "));
    assert_int_equal(said.code, SL_EXIT_OK);
    assert_non_null(strstr(diff("a.yaml", "a.yaml", "--json", NULL), "\"same\":true"));
}

static void test_what_would_be_refused_is_said_with_the_differences(void **state)
{
    (void)state;
    put("make.lua", "function process(r) return r end\n");
    put("a.yaml", before);
    assert_string_equal(diff("a.yaml", "a.yaml", "--set", "consumers=2", NULL),
                        "consumers: not set -> 2\n"
                        "a deployment would be refused: consumers: the number of worker threads that read (0, this one 2; 0 is the default) is "
                        "fixed at start; leave it as it is, or stop the process and start it with this file\n");
    assert_non_null(strstr(diff("a.yaml", "a.yaml", "--set", "consumers=2", "--json", NULL), "\"refused\":\"consumers: "));
}

static void test_secrets_are_never_told(void **state)
{
    (void)state;
    assert_int_equal(mkdir("b", 0755), 0);
    put("make.lua", "function process(r) return r end\n");
    put("b/make.lua", "function process(r) return r end\n");
    put("a.yaml", before);
    put("b/topology.yaml", after);
    (void)diff("a.yaml", "b", NULL);
    assert_int_equal(said.code, SL_EXIT_OK);
    assert_null(strstr(said.out, "hunter"));
    (void)diff("a.yaml", "b", "--json", NULL);
    assert_null(strstr(said.out, "hunter"));
    (void)diff("a.yaml", "a.yaml", "--set", "sinks.search.headers={X-Token: hunter9, X-Team: two}", NULL);
    assert_null(strstr(said.out, "hunter"));
    assert_non_null(strstr(said.out, "headers: { X-Token: (hidden), X-Team: one } -> { X-Token: (hidden), X-Team: two }"));
}

static void test_wrong_files_and_arguments(void **state)
{
    (void)state;
    put("make.lua", "function process(r) return r end\n");
    put("a.yaml", before);
    (void)diff("a.yaml", "none.yaml", NULL);
    assert_int_equal(said.code, SL_EXIT_FAILED);
    assert_non_null(strstr(said.err, "none.yaml: error: cannot read the file"));
    (void)diff("a.yaml", "a.yaml", "--set", "sinks.uot.dir=x", NULL);
    assert_int_equal(said.code, SL_EXIT_FAILED);
    assert_non_null(strstr(said.err, "--set sinks.uot.dir: error: there is no \"uot\" below sinks:"));
    (void)diff("1", "2", NULL);
    assert_int_equal(said.code, SL_EXIT_USAGE);
    assert_non_null(strstr(said.err, "of which topology are the generations 1 and 2? Add --topology NAME"));
    (void)diff("live", "a.yaml", "--data-dir", "nowhere", NULL);
    assert_int_equal(said.code, SL_EXIT_FAILED);
    assert_non_null(strstr(said.err, "nowhere knows no generation \"live\" of topology t"));
    assert_int_equal(access("nowhere", F_OK), -1); /* nothing was made */
    (void)diff("a.yaml", NULL);
    assert_int_equal(said.code, SL_EXIT_USAGE);
}

/* As whoever deploys does it. */
static uint32_t keep(struct sl_generations *generations, const struct sl_topology *topology)
{
    struct sl_generation_file files[8] = {{topology->path, SL_KEPT_TOPOLOGY}, {"origin.tmp", SL_KEPT_ORIGIN}};
    struct sl_generation_row row = {.digest = topology->digest};
    char *origin = sl_kept_origin(topology);
    uint32_t count = 2;
    struct sl_err err = {.text = ""};

    put("origin.tmp", origin);
    free(origin);
    for (uint32_t i = 0; i < topology->inputs_count; i++)
        if (topology->inputs[i].kept != NULL)
            files[count++] = (struct sl_generation_file){topology->inputs[i].path, topology->inputs[i].kept};
    if (sl_generations_add(generations, files, count, &row, &err) != 0 ||
        sl_generations_set(generations, row.number, SL_GENERATION_LIVE, 1, 1, "", &err) != 0)
        fail_msg("%s", err.text);
    return row.number;
}

static void test_generations_are_found_in_the_data_folder(void **state)
{
    char script[128];
    const char *const items[] = {"sources.other.rate=7/s", script};
    const struct sl_strings sets = {items, 2};
    struct sl_topology *topologies[2] = {NULL, NULL};
    struct sl_generations generations;
    struct sl_diags diags;
    struct sl_err err;

    (void)state;
    put("make.lua", "function process(r) return r end\n");
    put("a.yaml", before);
    (void)snprintf(script, sizeof(script), "operators.made.script=%s/make.lua", root); /* absolute: copied all the same */
    sl_diags_init(&diags);
    assert_int_equal(sl_topology_load("a.yaml", &sl_registry_builtin, NULL, &diags, &topologies[0]), 0);
    assert_int_equal(sl_topology_load_set("a.yaml", &sets, &sl_registry_builtin, NULL, &diags, &topologies[1]), 0);
    sl_diags_fini(&diags);
    assert_int_equal(sl_generations_open(sl_fs_posix(), "data", "t", &generations, &err), 0);
    assert_int_equal(keep(&generations, topologies[0]), 1);
    assert_int_equal(keep(&generations, topologies[1]), 2);
    sl_generations_close(&generations);
    assert_int_equal(unlink("make.lua"), 0);
    assert_non_null(strstr(diff("previous", "live", "--topology", "t", "--data-dir", "data", NULL), "rate: 5/s -> 7/s\n"));
    put("make.lua", "function process(r) return r end\n");
    assert_non_null(strstr(diff("2", "a.yaml", "--data-dir", "data", NULL), "rate: 7/s -> 5/s\n"));
    assert_non_null(strstr(diff("a.yaml", "data/generations/t/1", NULL), "no difference"));
    (void)diff("a.yaml", "3", "--data-dir", "data", NULL);
    assert_int_equal(said.code, SL_EXIT_FAILED);
    (void)diff("a.yaml", "2", "--set", "memory=1GiB", "--data-dir", "data", NULL);
    assert_int_equal(said.code, SL_EXIT_USAGE);
    (void)sl_topology_free(topologies[0]);
    (void)sl_topology_free(topologies[1]);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(test_settings_components_files_and_what_a_deployment_does),
        CASE(test_what_is_the_same_says_so),
        CASE(test_what_would_be_refused_is_said_with_the_differences),
        CASE(test_secrets_are_never_told),
        CASE(test_wrong_files_and_arguments),
        CASE(test_generations_are_found_in_the_data_folder),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
