/* test_cli_spool.c: `cat spool` and `spool check|repair` over a closed spool with a torn and a damaged segment; looking
 * changes no byte.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/cli/cli.h"
#include "runtime/store/spool.h"

enum { RECORDS = 40 };

static const struct sl_registry no_kinds;
static char dir[64]; /* a data folder */
static char *out, *err_text;

static int64_t unix_ms(void *env)
{
    (void)env;
    return 1714564800000;
}

static uint64_t now_ns(void *env)
{
    (void)env;
    return 1;
}

/* One batch a record in partition 0 of "quickstart.logs", each durable. */
static void fill(bool crash)
{
    const struct sl_spool_settings settings = {.segment_bytes = 1 << 20, .hold_bytes = 1 << 30, .hold_age_ns = UINT64_MAX,
                                               .fsync = SL_SPOOL_EACH, .append_queue_bytes = 1 << 20, .unix_ms = unix_ms,
                                               .now_ns = now_ns, .no_thread = true};
    struct sl_spool *spool;
    struct sl_spool_topic *topic;
    struct sl_err err;
    char path[128];

    (void)snprintf(path, sizeof(path), "%s/spool", dir);
    assert_int_equal(sl_spool_open(sl_fs_posix(), path, &settings, &spool, &err), 0);
    assert_int_equal(sl_spool_topic(spool, "quickstart.logs", 2, &topic, &err), 0);
    for (int i = 0; i < RECORDS; i++) {
        char body[32];
        struct sl_spool_record record;
        (void)snprintf(body, sizeof(body), "{\"n\":%d}", i);
        record = (struct sl_spool_record){.payload = sl_slice_of(body), .key = {i == 0 ? "k" : NULL, i == 0}};
        assert_int_equal(sl_spool_append(topic, 0, &record, 1, NULL, &err), 0);
        (void)sl_spool_write_turn(spool);
    }
    if (crash)
        _exit(0); /* in a child: the segment stays open, with its tail to be cut by the next open */
    (void)sl_spool_close(spool);
}

static char *segment(void)
{
    char pattern[160];
    glob_t found;
    char *path;
    (void)snprintf(pattern, sizeof(pattern), "%s/spool/quickstart.logs/00000-*.seg", dir);
    assert_int_equal(glob(pattern, 0, NULL, &found), 0);
    assert_int_equal(found.gl_pathc, 1);
    path = strdup(found.gl_pathv[0]);
    globfree(&found);
    return path;
}

static void flip_byte(int64_t at)
{
    char *path = segment(), byte;
    int fd = open(path, O_RDWR);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte = (char)(byte ^ 1);
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    (void)close(fd);
    free(path);
}

static int64_t segment_bytes(void)
{
    char *path = segment();
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    free(path);
    return info.st_size;
}

static char *snapshot(void)
{
    char command[200], *text = calloc(1, 8192);
    FILE *pipe;
    (void)snprintf(command, sizeof(command), "cd %s && find . | sort && find . -type f | sort | xargs md5sum", dir);
    pipe = popen(command, "r");
    assert_true(fread(text, 1, 8191, pipe) > 0);
    assert_int_equal(pclose(pipe), 0);
    return text;
}

/* Runs a command whose words are split at blanks; %s in it is the data folder. */
static int sluice(const char *format)
{
    struct sl_cli cli = {.registry = &no_kinds, .commands = sl_cli_commands()};
    char line[300], *argv[16] = {NULL}, *rest = NULL, *word, text[256];
    size_t out_bytes, err_bytes;
    const char *slot = strstr(format, "%s");
    int argc = 0, code;

    free(out);
    free(err_text);
    (void)snprintf(text, sizeof(text), "%.*s%s%s", slot != NULL ? (int)(slot - format) : (int)strlen(format), format,
                   slot != NULL ? dir : "", slot != NULL ? slot + 2 : "");
    (void)snprintf(line, sizeof(line), "sluice %s", text);
    while ((word = strtok_r(argc == 0 ? line : NULL, " ", &rest)) != NULL)
        argv[argc++] = word;
    cli.out = open_memstream(&out, &out_bytes);
    cli.err = open_memstream(&err_text, &err_bytes);
    code = sl_cli_dispatch(&cli, argc, argv);
    (void)fclose(cli.out);
    (void)fclose(cli.err);
    return code;
}

static int begin(void **state)
{
    (void)state;
    (void)snprintf(dir, sizeof(dir), "/tmp/sluice-test-spool-XXXXXX");
    assert_non_null(mkdtemp(dir));
    fill(false);
    return 0;
}

static int begin_crashed(void **state)
{
    int status = -1;
    pid_t child;
    (void)state;
    (void)snprintf(dir, sizeof(dir), "/tmp/sluice-test-spool-XXXXXX");
    assert_non_null(mkdtemp(dir));
    child = fork();
    if (child == 0)
        fill(true);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    return 0;
}

static int end(void **state)
{
    char command[128];
    (void)state;
    free(out);
    free(err_text);
    out = err_text = NULL;
    (void)snprintf(command, sizeof(command), "rm -rf %s", dir);
    return system(command) == 0 ? 0 : -1;
}

static int count_lines(void)
{
    int lines = 0;
    for (const char *at = out; *at != '\0'; at++)
        lines += *at == '\n';
    return lines;
}

static void test_a_whole_spool_is_printed_in_order(void **state)
{
    (void)state;
    assert_int_equal(sluice("cat spool quickstart.logs --data-dir %s"), SL_EXIT_OK);
    assert_int_equal(count_lines(), RECORDS);
    assert_int_equal(strncmp(out, "{\"n\":0}\n{\"n\":1}\n", 16), 0);
    assert_int_equal(sluice("cat spool quickstart.logs --data-dir %s --offset 38 --partition 0"), SL_EXIT_OK);
    assert_string_equal(out, "{\"n\":38}\n{\"n\":39}\n");
    assert_int_equal(sluice("cat spool quickstart.logs --data-dir %s --limit 1 --json"), SL_EXIT_OK);
    assert_string_equal(out, "{\"topic\":\"quickstart.logs\",\"partition\":0,\"offset\":0,\"time_unix_ms\":1714564800000,"
                             "\"key\":\"k\",\"payload\":\"{\\\"n\\\":0}\"}\n");
    assert_int_equal(sluice("cat spool quickstart.logs --data-dir %s --partition 2"), SL_EXIT_FAILED);
    assert_non_null(strstr(err_text, "partitions 0 to 1"));
    assert_int_equal(sluice("cat spool quickstrat.logs --data-dir %s"), SL_EXIT_FAILED);
    assert_non_null(strstr(err_text, "has no topic quickstrat.logs"));
    assert_int_equal(sluice("spool check %s"), SL_EXIT_OK);
}

static void test_looking_at_damage_changes_nothing(void **state)
{
    char *before, *after;
    (void)state;
    flip_byte(segment_bytes() / 2);
    before = snapshot();
    assert_int_equal(sluice("cat spool quickstart.logs --data-dir %s"), SL_EXIT_OK);
    assert_true(count_lines() == RECORDS - 1);
    assert_int_equal(sluice("spool check %s"), SL_EXIT_FAILED);
    assert_non_null(strstr(out, "quickstart.logs partition 0 loses offsets"));
    assert_int_equal(sluice("spool check %s --json"), SL_EXIT_FAILED);
    assert_int_equal(strncmp(out, "{\"findings\":[{\"topic\":\"quickstart.logs\"", 39), 0);
    after = snapshot();
    assert_string_equal(before, after);
    free(before);
    free(after);
}

static void test_looking_at_a_torn_tail_leaves_it(void **state)
{
    char *path = segment(), *before, *after;
    int fd = open(path, O_WRONLY | O_APPEND);
    (void)state;
    assert_int_equal(write(fd, "half a batch", 12), 12);
    (void)close(fd);
    free(path);
    before = snapshot();
    assert_int_equal(sluice("cat spool quickstart.logs --data-dir %s"), SL_EXIT_OK);
    assert_int_equal(count_lines(), RECORDS);
    after = snapshot();
    assert_string_equal(before, after);
    free(before);
    free(after);
}

static void test_repair_leaves_the_rest(void **state)
{
    (void)state;
    flip_byte(segment_bytes() / 2);
    assert_int_equal(sluice("spool repair %s"), SL_EXIT_OK);
    assert_int_equal(sluice("spool check %s"), SL_EXIT_OK);
    assert_int_equal(sluice("cat spool quickstart.logs --data-dir %s"), SL_EXIT_OK);
    assert_int_equal(count_lines(), RECORDS - 1);
}

static void test_a_running_server_is_left_alone(void **state)
{
    char path[128];
    int fd;
    (void)state;
    (void)snprintf(path, sizeof(path), "%s/lock", dir);
    fd = open(path, O_RDWR | O_CREAT, 0600);
    assert_int_equal(write(fd, "4711\n", 5), 5);
    assert_int_equal(flock(fd, LOCK_EX | LOCK_NB), 0);
    assert_int_equal(sluice("cat spool quickstart.logs --data-dir %s"), SL_EXIT_FAILED);
    assert_non_null(strstr(err_text, "in use by process 4711"));
    assert_int_equal(sluice("spool repair %s/spool"), SL_EXIT_FAILED);
    assert_non_null(strstr(err_text, "in use by process 4711"));
    (void)close(fd);
    assert_int_equal(sluice("spool check %s/spool"), SL_EXIT_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_whole_spool_is_printed_in_order, begin, end),
        cmocka_unit_test_setup_teardown(test_looking_at_damage_changes_nothing, begin, end),
        cmocka_unit_test_setup_teardown(test_looking_at_a_torn_tail_leaves_it, begin_crashed, end),
        cmocka_unit_test_setup_teardown(test_repair_leaves_the_rest, begin, end),
        cmocka_unit_test_setup_teardown(test_a_running_server_is_left_alone, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
