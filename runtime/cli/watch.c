/* watch.c: `--wait`: shows how a deployment goes on until it ends.
 *
 * A line a step, as the server tells them. On a terminal the last line is one that is rewritten each second with what the candidate
 * does now, from /status; with --json the server's lines go out as they are.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/cli/ask.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "runtime/cli/answer.h"
#include "runtime/cli/cli.h"

struct watch {
    struct sl_cli *cli;
    const char *topology, *socket;
    bool json, terminal, shown; /* shown: the rewritten line stands there */
    bool ended;
    int code;
};

static void watch_wipe(struct watch *watch)
{
    if (watch->shown)
        (void)fputs("\r\033[K", watch->cli->out);
    watch->shown = false;
}

/* "canary 10 %: 1234 records, 11106 beside them; step 2 of 4; no difference so far" */
static void watch_candidate(struct watch *watch, const struct sl_yaml *candidate)
{
    FILE *out = watch->cli->out;
    const char *says = sl_answer_text(candidate, "says");
    char state[64];

    (void)fputs(sl_ask_state(candidate, state), out);
    if (sl_answer_text(candidate, "records") != NULL)
        (void)fprintf(out, ": %s records, %s beside them", sl_answer_text(candidate, "records"), sl_answer_text(candidate, "records_beside"));
    if (sl_answer_text(candidate, "compared") != NULL)
        (void)fprintf(out, ": %s outputs compared, %s differ", sl_answer_text(candidate, "compared"), sl_answer_text(candidate, "differing"));
    if (sl_answer_i64(candidate, "steps") > 0)
        (void)fprintf(out, "; step %s of %s", sl_answer_text(candidate, "step"), sl_answer_text(candidate, "steps"));
    if (says != NULL)
        (void)fprintf(out, "; %s", says);
}

/* What the candidate does now; nothing where the server cannot say. */
static void watch_now(struct watch *watch)
{
    struct sl_client_reply reply;
    struct sl_answer answer;
    struct sl_err err;
    const struct sl_yaml *candidate;

    if (!watch->terminal || sl_client_request(watch->socket, "GET", "/status", NULL, &reply, &err) != 0)
        return;
    sl_answer_read(&answer, reply.body, reply.bytes);
    candidate = sl_answer_map(sl_answer_find(sl_answer_list(answer.root, "topologies"), "name", watch->topology), "candidate");
    watch_wipe(watch);
    if (candidate != NULL) {
        (void)fputs(sl_cli_ink(watch->cli, watch->cli->out, SL_INK_DIM), watch->cli->out);
        watch_candidate(watch, candidate);
        (void)fputs(sl_cli_ink(watch->cli, watch->cli->out, SL_INK_OFF), watch->cli->out);
        watch->shown = true;
    }
    (void)fflush(watch->cli->out);
    sl_answer_fini(&answer);
    sl_client_reply_fini(&reply);
}

static void watch_step(struct watch *watch, const struct sl_yaml *step, const char *end)
{
    FILE *out = watch->cli->out;
    const char *text = sl_answer_text(step, "text");
    time_t at = (time_t)(sl_answer_i64(step, "unix_ms") / 1000);
    enum sl_ink ink = end == NULL ? SL_INK_BOLD : sl_ask_exit(end) == SL_EXIT_OK ? SL_INK_GREEN : SL_INK_RED;
    struct tm parts;
    char when[16], state[64];

    (void)strftime(when, sizeof(when), "%H:%M:%SZ", gmtime_r(&at, &parts));
    watch_wipe(watch);
    (void)fprintf(out, "%s  %s%-12s%s  %s\n", when, sl_cli_ink(watch->cli, out, ink), sl_ask_state(step, state),
                  sl_cli_ink(watch->cli, out, SL_INK_OFF), text != NULL ? text : "");
    (void)fflush(out);
}

static bool watch_line(void *user, const char *line, size_t bytes)
{
    struct watch *watch = user;
    struct sl_answer answer;
    const char *end;

    if (bytes == 0) { /* a second without news */
        watch_now(watch);
        return true;
    }
    sl_answer_read(&answer, line, bytes);
    end = sl_answer_text(answer.root, "end");
    if (watch->json)
        (void)fprintf(watch->cli->out, "%.*s\n", (int)bytes, line);
    else
        watch_step(watch, answer.root, end);
    (void)fflush(watch->cli->out);
    if (end != NULL) {
        watch->ended = true;
        watch->code = sl_ask_exit(end);
    }
    sl_answer_fini(&answer);
    return !watch->ended;
}

static int watch_refused(struct sl_cli *cli, struct sl_client_reply *reply)
{
    struct sl_answer answer;
    const char *error;
    int code;

    sl_answer_read(&answer, reply->body, reply->bytes);
    error = sl_answer_text(answer.root, "error");
    code = sl_cli_say(cli, SL_EXIT_FAILED, "%s", error != NULL ? error : reply->body);
    sl_answer_fini(&answer);
    sl_client_reply_fini(reply);
    return code;
}

int sl_ask_watch(struct sl_cli *cli, const char *topology)
{
    char socket_path[PATH_MAX], target[128];
    struct watch watch = {.cli = cli, .topology = topology, .json = sl_cli_has(cli, "json"), .code = SL_EXIT_FAILED};
    struct sl_client_reply reply = {0};
    struct sl_err err;
    int fd = fileno(cli->out), status;

    watch.terminal = !watch.json && fd >= 0 && isatty(fd) == 1;
    watch.socket = sl_cli_socket(cli, socket_path, sizeof(socket_path));
    sl_ask_leave_on_interrupt(cli, topology);
    (void)snprintf(target, sizeof(target), "/watch/%s", topology);
    status = sl_client_lines(watch.socket, target, watch_line, &watch, &reply, &err);
    watch_wipe(&watch);
    if (status < 0)
        return sl_cli_say(cli, err.code == SL_E_STOPPED ? SL_EXIT_NO_SERVER : SL_EXIT_FAILED,
                          "%s; the deployment is where it was: `sluice status` shows it once a server runs", err.text);
    if (status > 0)
        return watch_refused(cli, &reply);
    if (!watch.ended)
        return sl_cli_say(cli, SL_EXIT_NO_SERVER,
                          "the server ended while its deployment went on; a start brings back the live generation");
    return watch.code;
}
