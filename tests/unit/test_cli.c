/* test_cli.c: the option parser, the exit codes, and what is printed from the command table.
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

#include "runtime/cli/cli.h"

static const struct sl_registry no_kinds;

/* What one command said and returned. */
struct said {
    int code;
    char *out, *err;
    size_t out_bytes, err_bytes;
    char rest[256]; /* arguments and options as the command saw them */
};
static struct said said;

static int walk_run(struct sl_cli *cli)
{
    said.rest[0] = '\0';
    for (uint32_t i = 0; i < cli->args_count; i++)
        (void)snprintf(said.rest + strlen(said.rest), sizeof(said.rest) - strlen(said.rest), "%s ", cli->args[i]);
    (void)snprintf(said.rest + strlen(said.rest), sizeof(said.rest) - strlen(said.rest), "speed=%s fast=%d",
                   sl_cli_option(cli, "speed") != NULL ? sl_cli_option(cli, "speed") : "none", sl_cli_has(cli, "fast"));
    return SL_EXIT_HELD;
}

static const struct sl_option walk_options[] = {
    {"speed", "RATE", "How fast."}, {"fast", NULL, "Faster."}, {NULL, NULL, NULL}};
static const char *const walk_words[] = {"north", "south", NULL};
static const struct sl_command walk_table[] = {
    {"walk", "north|south [STEPS]", 1, 2, "Walk.", "sluice walk north 3", walk_options, walk_words, walk_run},
    {NULL, NULL, 0, 0, NULL, NULL, NULL, NULL, NULL}};

static int end(void **state)
{
    (void)state;
    free(said.out);
    free(said.err);
    memset(&said, 0, sizeof(said));
    return 0;
}

/* Runs "sluice LINE" over a table; words are split at blanks, '' is an empty word. */
static int run_over(const struct sl_command *table, const char *line)
{
    struct sl_cli cli = {.registry = &no_kinds, .commands = table};
    char words[512], *argv[64] = {NULL}, *rest = words, *word;
    int argc = 0;

    (void)end(NULL);
    (void)snprintf(words, sizeof(words), "sluice %s", line);
    while ((word = strtok_r(argc == 0 ? words : NULL, " ", &rest)) != NULL)
        argv[argc++] = strcmp(word, "''") == 0 ? word + 2 : word;
    cli.out = open_memstream(&said.out, &said.out_bytes);
    cli.err = open_memstream(&said.err, &said.err_bytes);
    said.code = sl_cli_dispatch(&cli, argc, argv);
    (void)fclose(cli.out);
    (void)fclose(cli.err);
    return said.code;
}

static int walk(const char *line)
{
    return run_over(walk_table, line);
}

static int sluice(const char *line)
{
    return run_over(sl_cli_commands(), line);
}

static void assert_has(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("\"%s\" is missing in:\n%s", part, text);
}

static void test_options_may_stand_anywhere_and_in_both_forms(void **state)
{
    (void)state;
    assert_int_equal(walk("walk --speed 5/s north --fast 3"), SL_EXIT_HELD);
    assert_string_equal(said.rest, "north 3 speed=5/s fast=1");
    assert_int_equal(walk("walk --speed=5/s --speed=a=b north"), SL_EXIT_HELD);
    assert_string_equal(said.rest, "north speed=a=b fast=0"); /* the last one counts */
    assert_int_equal(walk("walk north -- --fast"), SL_EXIT_HELD);
    assert_string_equal(said.rest, "north --fast speed=none fast=0");
    assert_int_equal(walk("walk north -"), SL_EXIT_HELD);
    assert_string_equal(said.rest, "north - speed=none fast=0");
    assert_int_equal(walk("walk --speed --fast north"), SL_EXIT_HELD); /* a value may look like an option */
    assert_string_equal(said.rest, "north speed=--fast fast=0");
}

static void test_what_does_not_fit_is_refused_with_the_nearest(void **state)
{
    static const struct { const char *line, *text; } cases[] = {
        {"walk north --sped 3", "did you mean --speed?"},
        {"walk north --hlep", "did you mean --help?"},
        {"walk north --completely-else", "`sluice walk --help` lists them"},
        {"walk north --speed", "--speed needs a value: --speed RATE"},
        {"walk north --speed=", "--speed has an empty value"},
        {"walk north --speed ''", "--speed has an empty value"},
        {"walk north --fast=yes", "--fast is a flag and takes no value; found \"yes\""},
        {"walk north -f", "unknown option -f; options are written --name"},
        {"walk", "an argument is missing: sluice walk north|south [STEPS]"},
        {"walk north 3 4", "\"4\" is one argument too many"},
        {"walk west", "\"west\" is not what comes here: sluice walk north|south"},
        {"wakl", "unknown command \"wakl\"; did you mean walk?"},
        {"quarrel", "unknown command \"quarrel\"; `sluice help` lists them"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(walk(cases[i].line), SL_EXIT_USAGE);
        assert_has(said.err, cases[i].text);
        assert_string_equal(said.out, "");
        assert_string_equal(said.rest, "");
    }
}

static void test_too_many_options_are_refused(void **state)
{
    char line[400] = "walk north";
    (void)state;
    for (int i = 0; i < SL_CLI_OPTIONS_MAX; i++)
        strcat(line, " --fast");
    assert_int_equal(walk(line), SL_EXIT_HELD);
    strcat(line, " --fast");
    assert_int_equal(walk(line), SL_EXIT_USAGE);
}

static void test_no_command_is_a_usage_error_that_lists_them(void **state)
{
    (void)state;
    assert_int_equal(walk(""), SL_EXIT_USAGE);
    assert_has(said.err, "walk");
    assert_string_equal(said.out, "");
}

static void test_every_command_has_help_with_its_options_and_example(void **state)
{
    (void)state;
    for (const struct sl_command *command = sl_cli_commands(); command->name != NULL; command++) {
        char line[64];
        (void)snprintf(line, sizeof(line), "%s --help", command->name);
        assert_int_equal(sluice(line), SL_EXIT_OK);
        assert_string_equal(said.err, "");
        assert_has(said.out, command->summary);
        assert_has(said.out, command->example);
        assert_int_equal(strncmp(command->example, "sluice ", 7) == 0 || strncmp(command->example, "source <(sluice", 15) == 0, 1);
        for (const struct sl_option *option = command->options; option->name != NULL; option++) {
            assert_has(said.out, option->name);
            assert_has(said.out, option->help);
            assert_int_equal(option->help[strlen(option->help) - 1], '.');
        }
        (void)snprintf(line, sizeof(line), "help %s", command->name);
        assert_int_equal(sluice(line), SL_EXIT_OK);
        assert_has(said.out, command->summary);
    }
}

static void test_printed_forms_name_every_command_and_option(void **state)
{
    static const char *const forms[] = {"docs", "docs --man", "complete bash", "help"};
    (void)state;
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        assert_int_equal(sluice(forms[i]), SL_EXIT_OK);
        for (const struct sl_command *command = sl_cli_commands(); command->name != NULL; command++) {
            assert_has(said.out, command->name);
            for (const struct sl_option *option = command->options; i < 3 && option->name != NULL; option++) {
                char name[64], *to = name;
                for (const char *at = option->name; *at != '\0'; at++) { /* roff writes a dash as \- */
                    if (*at == '-' && i == 1)
                        *to++ = '\\';
                    *to++ = *at;
                }
                *to = '\0';
                assert_has(said.out, name);
            }
        }
    }
    assert_int_equal(sluice("help chekc"), SL_EXIT_USAGE);
    assert_has(said.err, "did you mean check?");
}

static void test_the_completion_is_a_script_that_bash_accepts(void **state)
{
    FILE *bash;
    (void)state;
    assert_int_equal(sluice("complete bash"), SL_EXIT_OK);
    bash = popen("bash -n", "w");
    assert_non_null(bash);
    assert_int_equal(fputs(said.out, bash) >= 0, 1);
    assert_int_equal(pclose(bash), 0);
    assert_int_equal(sluice("complete fish"), SL_EXIT_USAGE);
}

static void test_a_command_without_server_says_so(void **state)
{
    (void)state;
    assert_int_equal(sluice("status --socket /nowhere/control.sock"), SL_EXIT_NO_SERVER);
    assert_has(said.err, "no server answers at /nowhere/control.sock");
    assert_has(said.err, "--socket");
}

static void test_version_and_json_strings(void **state)
{
    char *text = NULL;
    size_t bytes;
    FILE *stream;
    (void)state;
    assert_int_equal(sluice("--version"), SL_EXIT_OK);
    assert_has(said.out, "sluice " SLUICE_VERSION);
    assert_int_equal(sluice("version --json"), SL_EXIT_OK);
    assert_has(said.out, "{\"version\":\"" SLUICE_VERSION "\"");
    stream = open_memstream(&text, &bytes);
    sl_cli_print_json(stream, "a\"\\\n\x01\xff");
    sl_cli_print_json(stream, NULL);
    (void)fclose(stream);
    assert_int_equal(strncmp(text, "\"a\\\"\\\\\\n\\u0001", 14), 0);
    assert_has(text, "null");
    free(text);
}

static void test_topologies_lists_the_folders_with_their_purpose(void **state)
{
    (void)state;
    assert_int_equal(sluice("topologies --dir " SL_SOURCE_DIR "/topologies"), SL_EXIT_OK);
    assert_has(said.out, "company-bus");
    assert_has(said.out, "every log topic of a company's Kafka");
    assert_has(said.out, "quickstart");
    assert_int_equal(sluice("topologies --dir /nowhere"), SL_EXIT_FAILED);
    assert_has(said.err, "name the folder with --dir");
}

static void write_file(const char *dir, const char *name, const char *text)
{
    char path[256];
    FILE *file;
    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    file = fopen(path, "w");
    assert_non_null(file);
    (void)fputs(text, file);
    (void)fclose(file);
}

static void test_cat_prints_committed_files_in_name_order(void **state)
{
    char dir[] = "/tmp/sluice-test-cat-XXXXXX", path[128], line[256];
    (void)state;
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof(path), "%s/.sluice", dir);
    assert_int_equal(mkdir(path, 0700), 0);
    write_file(path, "t.ndjson", "uncommitted\n");
    write_file(dir, "b.ndjson", "two\nthree\n");
    write_file(dir, "a.ndjson", "one\n");
    write_file(dir, "notes.txt", "foreign\n");
    write_file(dir, "c.ndjson.zst", "not zstd");
    (void)snprintf(line, sizeof(line), "cat --limit 2 %s", dir);
    assert_int_equal(sluice(line), SL_EXIT_OK);
    assert_string_equal(said.out, "one\ntwo\n");
    (void)snprintf(line, sizeof(line), "cat %s", dir);
    assert_int_equal(sluice(line), SL_EXIT_FAILED);
    assert_string_equal(said.out, "one\ntwo\nthree\n");
    assert_has(said.err, "c.ndjson.zst is damaged");
    assert_int_equal(sluice("cat --limit many /nowhere"), SL_EXIT_USAGE);
    (void)snprintf(line, sizeof(line), "cat spool logs --data-dir %s/nowhere", dir);
    assert_int_equal(sluice(line), SL_EXIT_FAILED);
    assert_has(said.err, "name a data folder or its spool");
    (void)snprintf(line, sizeof(line), "rm -rf %s", dir);
    assert_int_equal(system(line), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_options_may_stand_anywhere_and_in_both_forms, end),
        cmocka_unit_test_teardown(test_what_does_not_fit_is_refused_with_the_nearest, end),
        cmocka_unit_test_teardown(test_too_many_options_are_refused, end),
        cmocka_unit_test_teardown(test_no_command_is_a_usage_error_that_lists_them, end),
        cmocka_unit_test_teardown(test_every_command_has_help_with_its_options_and_example, end),
        cmocka_unit_test_teardown(test_printed_forms_name_every_command_and_option, end),
        cmocka_unit_test_teardown(test_the_completion_is_a_script_that_bash_accepts, end),
        cmocka_unit_test_teardown(test_a_command_without_server_says_so, end),
        cmocka_unit_test_teardown(test_version_and_json_strings, end),
        cmocka_unit_test_teardown(test_topologies_lists_the_folders_with_their_purpose, end),
        cmocka_unit_test_teardown(test_cat_prints_committed_files_in_name_order, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
