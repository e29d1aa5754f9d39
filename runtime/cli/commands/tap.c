/* tap.c: `sluice tap TOPOLOGY STAGE`: shows what a stage of the running server lets out, a record a line.
 *
 * Without --meta a line is the record; one that has line breaks is shown as a JSON string. What was not shown is said at the end.
 * SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/cli/answer.h"
#include "runtime/cli/cli.h"
#include "runtime/cli/client.h"
#include "runtime/cli/commands.h"
#include "runtime/cli/tap.h"
#include "runtime/config/units.h"

struct tap_show {
    struct sl_cli *cli;
    bool meta;
    uint64_t left, shown, passed, lost;
};

static volatile sig_atomic_t tap_interrupted;

static void tap_on_signal(int number)
{
    (void)number;
    tap_interrupted = 1;
}

static void tap_counts(struct tap_show *show, const struct sl_yaml *root)
{
    const struct sl_yaml *counts = sl_answer_map(root, "tap");

    if (counts == NULL)
        return;
    show->passed = (uint64_t)sl_answer_i64(counts, "passed");
    show->lost = (uint64_t)sl_answer_i64(counts, "lost");
}

/* A string is the last member: its raw text lies between this and the line's end. */
static void tap_body(struct tap_show *show, const char *line, size_t bytes, const struct sl_yaml *root)
{
    static const char mark[] = ",\"body\":";
    const char *body = sl_answer_text(root, "body");
    const char *raw = memmem(line, bytes, mark, sizeof(mark) - 1); /* inside a string its quotes would be escaped */

    if (body != NULL && strpbrk(body, "\r\n") == NULL)
        (void)fprintf(show->cli->out, "%s\n", body);
    else if (raw != NULL)
        (void)fprintf(show->cli->out, "%.*s\n", (int)(line + bytes - 1 - raw - (ptrdiff_t)sizeof(mark) + 1), raw + sizeof(mark) - 1);
}

static bool tap_line(void *user, const char *line, size_t bytes)
{
    static const char counts[] = "{\"tap\":";
    struct tap_show *show = user;
    bool record = bytes < sizeof(counts) || memcmp(line, counts, sizeof(counts) - 1) != 0;
    struct sl_answer answer;

    if (bytes == 0) /* nothing came in this second */
        return !tap_interrupted;
    if (record && show->meta) {
        (void)fprintf(show->cli->out, "%.*s\n", (int)bytes, line);
    } else {
        sl_answer_read(&answer, line, bytes);
        if (record)
            tap_body(show, line, bytes, answer.root);
        else
            tap_counts(show, answer.root);
        sl_answer_fini(&answer);
    }
    show->shown += record;
    return fflush(show->cli->out) == 0 && show->shown < show->left && !tap_interrupted;
}

static int tap_scan(struct sl_cli *cli, const char *option, uint64_t *inout_value)
{
    const char *text = sl_cli_option(cli, option);
    struct sl_err err;

    if (text == NULL || sl_count_scan(text, inout_value, &err) == 0)
        return SL_EXIT_OK;
    return sl_cli_say(cli, SL_EXIT_USAGE, "--%s: %s", option, err.text);
}

static int tap_refused(struct sl_cli *cli, struct sl_client_reply *reply)
{
    struct sl_answer answer;
    const char *error;
    int status;

    sl_answer_read(&answer, reply->body, reply->bytes);
    error = sl_answer_text(answer.root, "error");
    status = sl_cli_say(cli, SL_EXIT_FAILED, "%.900s", error != NULL ? error : reply->body);
    sl_answer_fini(&answer);
    sl_client_reply_fini(reply);
    return status;
}

int sl_command_tap(struct sl_cli *cli)
{
    struct tap_show show = {.cli = cli, .meta = sl_cli_has(cli, "meta"), .left = UINT64_MAX};
    struct sigaction on_signal = {.sa_handler = tap_on_signal}; /* the wait for bytes goes on until the next line, a second at most */
    struct sl_client_reply reply = {0};
    struct sl_err err;
    char socket_path[PATH_MAX], target[900];
    uint64_t rate = SL_TAP_RATE;
    int status = tap_scan(cli, "limit", &show.left);

    if (status == SL_EXIT_OK)
        status = tap_scan(cli, "rate", &rate);
    if (status != SL_EXIT_OK)
        return status;
    (void)sigaction(SIGINT, &on_signal, NULL);
    (void)snprintf(target, sizeof(target), "/tap/%s/%s/%" PRIu64, cli->args[0], cli->args[1], rate);
    status = sl_client_lines(sl_cli_socket(cli, socket_path, sizeof(socket_path)), target, tap_line, &show, &reply, &err);
    if (status < 0 && !tap_interrupted)
        return sl_cli_say_err(cli, err.code == SL_E_STOPPED ? SL_EXIT_NO_SERVER : SL_EXIT_FAILED, &err);
    if (status > 0)
        return tap_refused(cli, &reply);
    (void)fprintf(cli->err, "%" PRIu64 " records shown, %" PRIu64 " passed over (--rate %" PRIu64 "), %" PRIu64 " lost to a full ring\n",
                  show.shown, show.passed, rate, show.lost);
    return SL_EXIT_OK;
}
