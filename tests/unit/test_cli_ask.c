/* test_cli_ask.c: the commands of deployments against a scripted server: what they post, what they print, how they end, and what
 * Ctrl-C says.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/cli/ask.h"
#include "runtime/cli/cli.h"

static const struct sl_registry no_kinds;

enum { REPLIES = 4 };

struct rig {
    char dir[64], socket[96];
    int listener;
    const char *replies[REPLIES]; /* whole ones, status line included; NULL ends */
    char requests[REPLIES][2048];
    pthread_t thread;
    int code;
    char *out, *err;
    size_t out_bytes, err_bytes;
};

static int open_rig(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    assert_non_null(rig);
    (void)snprintf(rig->dir, sizeof(rig->dir), "/tmp/sl-ask-XXXXXX");
    assert_non_null(mkdtemp(rig->dir));
    (void)snprintf(rig->socket, sizeof(rig->socket), "%s/control.sock", rig->dir);
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", rig->socket);
    rig->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(rig->listener, (const struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(rig->listener, 4), 0);
    assert_int_equal(setenv("SLUICE_SOCKET", rig->socket, 1), 0);
    *state = rig;
    return 0;
}

static void forget(struct rig *rig)
{
    free(rig->out);
    free(rig->err);
    rig->out = rig->err = NULL;
}

static int close_rig(void **state)
{
    struct rig *rig = *state;

    forget(rig);
    (void)close(rig->listener);
    assert_int_equal(unlink(rig->socket), 0);
    assert_int_equal(rmdir(rig->dir), 0);
    free(rig);
    return 0;
}

/* ---- the server ---- */

static void serve_one(struct rig *rig, int at)
{
    char *request = rig->requests[at], *head_end = NULL, *length;
    size_t bytes = 0;
    int fd = accept(rig->listener, NULL, NULL);

    memset(request, 0, sizeof(rig->requests[at]));
    while (bytes < sizeof(rig->requests[at]) - 1) {
        ssize_t got = read(fd, request + bytes, sizeof(rig->requests[at]) - 1 - bytes);
        if (got <= 0)
            break;
        bytes += (size_t)got;
        head_end = strstr(request, "\r\n\r\n");
        length = strstr(request, "Content-Length: ");
        if (head_end != NULL && strlen(head_end + 4) >= (length == NULL ? 0 : strtoul(length + 16, NULL, 10)))
            break;
    }
    assert_int_equal(send(fd, rig->replies[at], strlen(rig->replies[at]), MSG_NOSIGNAL), strlen(rig->replies[at]));
    (void)close(fd);
}

static void *serve(void *user)
{
    struct rig *rig = user;

    for (int at = 0; at < REPLIES && rig->replies[at] != NULL; at++)
        serve_one(rig, at);
    return NULL;
}

#define FINE "HTTP/1.1 200 OK\r\n\r\n"
#define FAILED "HTTP/1.1 500 Internal Server Error\r\n\r\n"

static int call(struct rig *rig, const char *line)
{
    struct sl_cli cli = {.registry = &no_kinds, .commands = sl_cli_commands()};
    char words[512], *argv[64] = {NULL}, *rest = words, *word;
    int argc = 0;

    forget(rig);
    (void)snprintf(words, sizeof(words), "sluice %s", line);
    while ((word = strtok_r(argc == 0 ? words : NULL, " ", &rest)) != NULL)
        argv[argc++] = word;
    cli.out = open_memstream(&rig->out, &rig->out_bytes);
    cli.err = open_memstream(&rig->err, &rig->err_bytes);
    rig->code = sl_cli_dispatch(&cli, argc, argv);
    (void)fclose(cli.out);
    (void)fclose(cli.err);
    return rig->code;
}

/* Runs "sluice LINE" against these replies. */
static int sluice(struct rig *rig, const char *line, const char *first, const char *second)
{
    int code;

    rig->replies[0] = first;
    rig->replies[1] = second;
    assert_int_equal(pthread_create(&rig->thread, NULL, serve, rig), 0);
    code = call(rig, line);
    assert_int_equal(pthread_join(rig->thread, NULL), 0);
    return code;
}

static void assert_has(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("\"%s\" is missing in:\n%s", part, text);
}

static const char *posted(const struct rig *rig)
{
    const char *body = strstr(rig->requests[0], "\r\n\r\n");

    assert_non_null(body);
    return body + 4;
}

/* ---- what is posted ---- */

static void test_deploy_posts_absolute_paths_and_settings_as_they_are(void **state)
{
    struct rig *rig = *state;
    char folder[512], wanted[2048];

    assert_non_null(getcwd(folder, sizeof(folder)));
    assert_int_equal(sluice(rig, "deploy sub/t.yaml --set sinks.out.url=${URL} --set a.b=$x --plan canary",
                            FINE "{\"said\":\"generation 4 is warm\",\"topology\":\"orders\",\"generation\":4}", NULL),
                     SL_EXIT_OK);
    assert_int_equal(strncmp(rig->requests[0], "POST /command/deploy HTTP/1.1\r\n", 31), 0);
    (void)snprintf(wanted, sizeof(wanted), "{\"file\":\"%s/sub/t.yaml\",\"plan\":\"canary\",\"set\":[\"sinks.out.url=${URL}\",\"a.b=$x\"]}", folder);
    assert_string_equal(posted(rig), wanted);
    assert_string_equal(rig->out, "generation 4 is warm\n");
    assert_int_equal(sluice(rig, "deploy /t.yaml --plan p.yaml --json", FINE "{\"said\":\"x\"}\n", NULL), SL_EXIT_OK);
    (void)snprintf(wanted, sizeof(wanted), "{\"file\":\"/t.yaml\",\"plan\":\"%s/p.yaml\"}", folder);
    assert_string_equal(posted(rig), wanted);
    assert_string_equal(rig->out, "{\"said\":\"x\"}\n");
}

static void test_each_command_posts_its_own(void **state)
{
    static const struct {
        const char *line, *path, *body;
    } cases[] = {
        {"promote", "promote", "{\"share\":1}"},
        {"promote orders --share 10%", "promote", "{\"topology\":\"orders\",\"share\":0.1}"},
        {"promote orders --share 50% --by partition", "promote", "{\"topology\":\"orders\",\"share\":0.5,\"by\":\"partition\"}"},
        {"rollback", "rollback", "{}"},
        {"rollback orders", "rollback", "{\"topology\":\"orders\"}"},
        {"shadow start orders", "shadow", "{\"topology\":\"orders\",\"do\":\"start\"}"},
        {"shadow diff", "shadow", "{\"do\":\"diff\"}"},
        {"pause orders", "pause", "{\"topology\":\"orders\"}"},
        {"resume orders", "resume", "{\"topology\":\"orders\"}"},
        {"resume --source-changed t:3", "resume", "{\"source_changed\":\"t:3\"}"},
        {"drain", "drain", "{}"},
        {"history orders --json", "history", "{\"topology\":\"orders\"}"},
    };
    struct rig *rig = *state;
    char head[64];

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(sluice(rig, cases[i].line, FINE "{\"said\":\"done\"}", NULL), SL_EXIT_OK);
        (void)snprintf(head, sizeof(head), "POST /command/%s HTTP", cases[i].path);
        assert_has(rig->requests[0], head);
        assert_string_equal(posted(rig), cases[i].body);
    }
}

static void test_what_cannot_be_meant_is_not_posted(void **state)
{
    static const char *const lines[] = {"promote --share 0%",     "promote --share 130%",    "promote --share much", "promote --by key",
                                        "promote --by service --share 5%", "shadow", "shadow look", "deploy", "deploy a b", "rollback a b"};
    struct rig *rig = *state;

    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        assert_int_equal(call(rig, lines[i]), SL_EXIT_USAGE);
        assert_has(rig->err, "sluice ");
    }
}

/* ---- answers ---- */

static void test_a_refusal_is_told_and_fails(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(sluice(rig, "deploy t.yaml", FAILED "{\"error\":\"generation 3 is a canary with 10 %; promote or roll it back first\"}", NULL),
                     SL_EXIT_FAILED);
    assert_string_equal(rig->err, "sluice deploy: generation 3 is a canary with 10 %; promote or roll it back first\n");
    assert_string_equal(rig->out, "");
    assert_int_equal(sluice(rig, "promote --json", FAILED "{\"error\":\"no candidate\",\"topology\":\"t\"}", NULL), SL_EXIT_FAILED);
    assert_string_equal(rig->out, "{\"error\":\"no candidate\",\"topology\":\"t\"}\n");
    assert_int_equal(sluice(rig, "promote", FAILED "{\"error\":\"too few\",\"end\":\"held\"}", NULL), SL_EXIT_HELD);
    assert_int_equal(unsetenv("SLUICE_SOCKET"), 0);
    assert_int_equal(call(rig, "rollback --socket /nowhere/control.sock"), SL_EXIT_NO_SERVER);
}

static void test_watching_ends_as_the_deployment_does(void **state)
{
    static const struct {
        const char *end;
        int code;
    } cases[] = {{"live", SL_EXIT_OK}, {"warm", SL_EXIT_OK}, {"failed", SL_EXIT_FAILED}, {"rolled_back", SL_EXIT_ROLLED_BACK}, {"held", SL_EXIT_HELD}};
    struct rig *rig = *state;
    char lines[512];

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        (void)snprintf(lines, sizeof(lines),
                       FINE "{\"unix_ms\":1000,\"generation\":4,\"state\":\"canary\",\"share\":0.1,\"text\":\"10 %% begins ${NOT} read\"}\n\n"
                            "{\"unix_ms\":2000,\"generation\":4,\"state\":\"live\",\"share\":1,\"text\":\"over\",\"end\":\"%s\"}\n",
                       cases[i].end);
        assert_int_equal(sluice(rig, "deploy t.yaml --wait", FINE "{\"said\":\"begun\",\"topology\":\"orders\"}", lines), cases[i].code);
        assert_has(rig->requests[1], "GET /watch/orders HTTP");
        assert_string_equal(rig->out, "begun\n00:00:01Z  canary 10 %   10 % begins ${NOT} read\n00:00:02Z  live          over\n");
    }
    assert_int_equal(sluice(rig, "deploy t.yaml --wait --json", FINE "{\"said\":\"begun\",\"topology\":\"orders\"}",
                            FINE "{\"state\":\"warm\",\"text\":\"a\",\"end\":\"warm\"}\n"),
                     SL_EXIT_OK);
    assert_string_equal(rig->out, "{\"state\":\"warm\",\"text\":\"a\",\"end\":\"warm\"}\n");
}

/* "no change", or --plan now: what is watched would be another deployment. */
static void test_what_is_live_is_not_waited_for(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(sluice(rig, "deploy t.yaml --wait", FINE "{\"said\":\"no change\",\"topology\":\"orders\",\"state\":\"live\"}", NULL), SL_EXIT_OK);
    assert_string_equal(rig->out, "no change\n");
    assert_int_equal(sluice(rig, "deploy t.yaml --wait --json", FINE "{\"topology\":\"orders\",\"state\":\"live\"}", NULL), SL_EXIT_OK);
    assert_string_equal(rig->out, "{\"topology\":\"orders\",\"state\":\"live\"}\n");
}

static void test_a_server_that_ends_meanwhile_is_no_success(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(sluice(rig, "deploy t.yaml --wait", FINE "{\"said\":\"begun\",\"topology\":\"orders\"}",
                            FINE "{\"unix_ms\":1000,\"state\":\"canary\",\"share\":0.1,\"text\":\"a\"}\n"),
                     SL_EXIT_NO_SERVER);
    assert_has(rig->err, "the live generation");
}

static void test_history_is_a_table(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(
        sluice(rig, "history",
               FINE "{\"topology\":\"orders\",\"generations\":["
                    "{\"generation\":3,\"state\":\"failed\",\"digest\":\"fedcba9876543210\",\"who\":\"bob\",\"deployed_unix_ms\":60000,"
                    "\"live_unix_ms\":0,\"ended_unix_ms\":90000,\"share\":0.1,\"crashes\":2,\"reason\":\"errors: 12 against 1\"},"
                    "{\"generation\":2,\"state\":\"live\",\"digest\":\"0123456789abcdef\",\"who\":\"alice\",\"deployed_unix_ms\":30000,"
                    "\"live_unix_ms\":40000,\"ended_unix_ms\":0,\"crashes\":0,\"reason\":\"\","
                    "\"before\":{\"records_per_s\":1200,\"dead_per_s\":0,\"errors_per_s\":0},"
                    "\"after\":{\"records_per_s\":1180.5,\"dead_per_s\":0.25,\"errors_per_s\":0}}]}",
               NULL),
        SL_EXIT_OK);
    assert_has(rig->out, "generation  state   since                 by     digest    what it did");
    assert_has(rig->out, "         3  failed  1970-01-01 00:01:30Z  bob    fedcba98  crashed 2 times ");
    assert_has(rig->out, "  errors: 12 against 1\n");
    assert_has(rig->out, "         2  live    1970-01-01 00:00:40Z  alice  01234567  records 1200/s -> 1180/s, dead 0/s -> 0.25/s, errors 0/s -> 0/s");
}

static void test_status_says_what_is_live_and_what_comes(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(sluice(rig, "status",
                            FINE "{\"version\":\"1\",\"topologies\":[{\"name\":\"orders\",\"state\":\"live\","
                                 "\"live\":{\"generation\":3,\"since_unix_ms\":1000,\"by\":\"alice\",\"digest\":\"0123456789abcdef\"},"
                                 "\"candidate\":{\"generation\":4,\"state\":\"canary\",\"share\":0.015,\"by\":\"bob\",\"plan\":\"canary\",\"step\":1,"
                                 "\"steps\":4,\"records\":70,\"records_beside\":630,\"says\":\"no difference\",\"next\":\"sluice promote orders\"}}]}",
                            NULL),
                     SL_EXIT_OK);
    assert_has(rig->out, "  generation 3 live since 1970-01-01 00:00:01Z by alice, digest 01234567\n");
    assert_has(rig->out, "  generation 4 canary 1.5 % by bob, plan canary, step 1 of 4, 70 records, 630 beside them\n    no difference\n    sluice promote orders\n");
}

static void test_shadow_diff_shows_counts_and_both_texts(void **state)
{
    struct rig *rig = *state;

    assert_int_equal(
        sluice(rig, "shadow diff",
               FINE "{\"topology\":\"orders\",\"generation\":4,\"shadow\":{\"ranges\":9,\"ranges_skipped\":1,\"compared\":1000,\"differing\":3,\"meant\":2,\"sinks\":[{\"sink\":\"landing\","
                    "\"in\":\"both\",\"meant\":2,\"classes\":[{\"level\":\"info\",\"changed\":1,\"missing\":0,\"extra\":0,\"other_sink\":0},"
                    "{\"level\":\"warn\",\"changed\":1,\"missing\":1,\"extra\":0,\"other_sink\":0}],\"examples\":[{\"kind\":\"changed\",\"what\":\"value\","
                    "\"field\":\"user.email\",\"source\":\"logs\",\"topic\":\"logs\",\"partition\":\"0\",\"offset\":17,\"level\":\"info\",\"service\":\"cart\","
                    "\"live\":{\"bytes\":5,\"text\":\"{\\\"a\\\":\\\"${X}\\\"}\"},\"candidate\":null}]},{\"sink\":\"new\",\"in\":\"candidate\",\"meant\":0}]}}",
               NULL),
        SL_EXIT_OK);
    assert_has(rig->out, "1000 outputs compared in 9 ranges: 3 differ, 2 differ as meant; 1 ranges skipped\n");
    assert_has(rig->out, "  landing: 2 changed, 1 missing, 0 extra, 0 at another sink, 2 meant\n");
    assert_has(rig->out, "    changed in user.email (value): service cart, level info, logs partition 0 offset 17\n");
    assert_has(rig->out, "      live      {\"a\":\"${X}\"}\n      candidate (nothing)\n");
    assert_has(rig->out, "  new: only in the new version, not compared;");
}

/* ---- Ctrl-C ---- */

/* A client in a process of its own; the server accepts and is silent: at `wanted` requests the client is interrupted. */
static int interrupt(struct rig *rig, const char *line, const char *first, char *said, size_t said_bytes)
{
    int pipes[2], fd, status = 0;
    size_t bytes = 0;
    pid_t child;

    assert_int_equal(pipe(pipes), 0);
    child = fork();
    if (child == 0) {
        (void)dup2(pipes[1], STDERR_FILENO);
        _exit(call(rig, line));
    }
    (void)close(pipes[1]);
    if (first != NULL) {
        rig->replies[0] = first;
        serve_one(rig, 0);
    }
    fd = accept(rig->listener, NULL, NULL); /* it has connected, so its handler stands */
    assert_int_equal(kill(child, SIGINT), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    for (ssize_t got = 1; got > 0 && bytes < said_bytes - 1; bytes += (size_t)(got > 0 ? got : 0))
        got = read(pipes[0], said + bytes, said_bytes - 1 - bytes);
    said[bytes] = '\0';
    (void)close(fd);
    (void)close(pipes[0]);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void test_ctrl_c_leaves_the_deployment_and_says_how_to_go_on(void **state)
{
    struct rig *rig = *state;
    char said[4096];

    assert_int_equal(interrupt(rig, "deploy t.yaml --plan canary --wait", FINE "{\"said\":\"begun\",\"topology\":\"orders\"}", said, sizeof(said)), 130);
    assert_has(said, "sluice rollback orders takes it back");
    assert_has(said, "sluice promote orders  makes it live");
    assert_has(said, "sluice status");
    /* While the server still opens the new version its name is not known. */
    (void)snprintf(rig->requests[0], sizeof(rig->requests[0]), "deploy t.yaml --socket %s", rig->socket);
    assert_int_equal(interrupt(rig, rig->requests[0], NULL, said, sizeof(said)), 130);
    assert_has(said, "sluice rollback --socket /tmp/sl-ask-");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_deploy_posts_absolute_paths_and_settings_as_they_are, open_rig, close_rig),
        cmocka_unit_test_setup_teardown(test_each_command_posts_its_own, open_rig, close_rig),
        cmocka_unit_test_setup_teardown(test_what_cannot_be_meant_is_not_posted, open_rig, close_rig),
        cmocka_unit_test_setup_teardown(test_a_refusal_is_told_and_fails, open_rig, close_rig),
        cmocka_unit_test_setup_teardown(test_watching_ends_as_the_deployment_does, open_rig, close_rig),
        cmocka_unit_test_setup_teardown(test_what_is_live_is_not_waited_for, open_rig, close_rig),
        cmocka_unit_test_setup_teardown(test_a_server_that_ends_meanwhile_is_no_success, open_rig, close_rig),
        cmocka_unit_test_setup_teardown(test_history_is_a_table, open_rig, close_rig),
        cmocka_unit_test_setup_teardown(test_status_says_what_is_live_and_what_comes, open_rig, close_rig),
        cmocka_unit_test_setup_teardown(test_shadow_diff_shows_counts_and_both_texts, open_rig, close_rig),
        cmocka_unit_test_setup_teardown(test_ctrl_c_leaves_the_deployment_and_says_how_to_go_on, open_rig, close_rig),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
