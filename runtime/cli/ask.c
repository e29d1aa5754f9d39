/* ask.c: posts a command to the running server and prints what it says.
 *
 * The handler of Ctrl-C writes one prepared text and ends the process: at no moment does the client hold anything that needs more.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/cli/ask.h"

#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "runtime/cli/answer.h"
#include "runtime/cli/cli.h"

enum { ASK_LEAVE_BYTES = 2048 };

/* ---- Ctrl-C ---- */

static char ask_leave_texts[2][ASK_LEAVE_BYTES]; /* in turn: the handler may look at one at any moment */
static const char *volatile ask_leave_text;

static void ask_on_interrupt(int number)
{
    const char *text = ask_leave_text;

    if (text != NULL && write(STDERR_FILENO, text, strlen(text)) < 0)
        _exit(128 + number);
    _exit(128 + number);
}

/* The place of the server is repeated where it is not the usual one. */
static void ask_place(const struct sl_cli *cli, char *text, size_t bytes)
{
    const char *socket = sl_cli_option(cli, "socket"), *dir = sl_cli_option(cli, "data-dir");

    text[0] = '\0';
    if (socket != NULL)
        (void)snprintf(text, bytes, " --socket %.380s", socket);
    else if (dir != NULL)
        (void)snprintf(text, bytes, " --data-dir %.380s", dir);
}

void sl_ask_leave_on_interrupt(struct sl_cli *cli, const char *topology)
{
    struct sigaction on_interrupt = {.sa_handler = ask_on_interrupt};
    char *text = ask_leave_texts[ask_leave_text == ask_leave_texts[0]], place[400], name[80] = "";

    ask_place(cli, place, sizeof(place));
    if (topology != NULL)
        (void)snprintf(name, sizeof(name), " %.64s", topology);
    (void)snprintf(text, ASK_LEAVE_BYTES,
                   "\nsluice %s: left; the server goes on with it as it stands.\n"
                   "  sluice status%s     shows how far it is\n"
                   "  sluice promote%s%s  makes it live\n"
                   "  sluice rollback%s%s takes it back\n",
                   cli->command->name, place, name, place, name, place);
    ask_leave_text = text;
    (void)sigaction(SIGINT, &on_interrupt, NULL);
}

/* ---- words ---- */

const char *sl_ask_state(const struct sl_yaml *map, char text[64])
{
    const char *state = sl_answer_text(map, "state");
    double share = sl_answer_f64(map, "share");

    if (state == NULL)
        state = "-";
    if (strcmp(state, "canary") == 0 && share > 0)
        (void)snprintf(text, 64, "canary %.4g %%", share * 100);
    else
        (void)snprintf(text, 64, "%.60s", state);
    return text;
}

int sl_ask_exit(const char *end)
{
    static const struct {
        const char *end;
        int code;
    } ends[] = {{"live", SL_EXIT_OK}, {"warm", SL_EXIT_OK}, {"rolled_back", SL_EXIT_ROLLED_BACK}, {"held", SL_EXIT_HELD}};

    for (size_t i = 0; end != NULL && i < sizeof(ends) / sizeof(ends[0]); i++)
        if (strcmp(ends[i].end, end) == 0)
            return ends[i].code;
    return SL_EXIT_FAILED;
}

/* ---- asking ---- */

void sl_ask_init(struct sl_ask *ask, struct sl_cli *cli, uint32_t argument)
{
    *ask = (struct sl_ask){.cli = cli};
    sl_json_out_init(&ask->out, &ask->text);
    sl_json_out_object(&ask->out);
    if (argument < cli->args_count)
        sl_json_out_str_at(&ask->out, "topology", cli->args[argument]);
}

/* A refusal: the sentence for a person on stderr; with --json the whole answer on stdout, for programs. */
static int ask_refused(struct sl_cli *cli, const struct sl_client_reply *reply)
{
    struct sl_answer answer;
    const char *error, *end;
    int code;

    sl_answer_read(&answer, reply->body, reply->bytes);
    error = sl_answer_text(answer.root, "error");
    end = sl_answer_text(answer.root, "end");
    code = end == NULL ? SL_EXIT_FAILED : sl_ask_exit(end);
    if (sl_cli_has(cli, "json"))
        (void)fprintf(cli->out, "%.*s\n", (int)reply->bytes, reply->body);
    (void)sl_cli_say(cli, code, "%s", error != NULL ? error : reply->body);
    sl_answer_fini(&answer);
    return code == SL_EXIT_OK ? SL_EXIT_FAILED : code;
}

int sl_ask_reply(struct sl_ask *ask, const char *name, struct sl_client_reply *ret_reply)
{
    struct sl_cli *cli = ask->cli;
    struct sl_client_reply reply = {0};
    struct sl_err err;
    char socket_path[PATH_MAX], target[64];
    int status = SL_EXIT_OK;

    sl_json_out_end_object(&ask->out);
    (void)snprintf(target, sizeof(target), "/command/%s", name);
    if (sl_buf_failed(&ask->text))
        status = sl_cli_say(cli, SL_EXIT_FAILED, "no memory");
    else if (sl_client_request(sl_cli_socket(cli, socket_path, sizeof(socket_path)), "POST", target, ask->text.data, &reply, &err) != 0)
        status = sl_cli_say_err(cli, err.code == SL_E_STOPPED ? SL_EXIT_NO_SERVER : SL_EXIT_FAILED, &err);
    sl_buf_fini(&ask->text);
    if (status != SL_EXIT_OK)
        return status;
    if (reply.status == 200) {
        *ret_reply = reply;
        return SL_EXIT_OK;
    }
    status = ask_refused(cli, &reply);
    sl_client_reply_fini(&reply);
    return status;
}

void sl_ask_print(struct sl_cli *cli, const struct sl_client_reply *reply)
{
    struct sl_answer answer;
    const char *said;
    size_t bytes = reply->bytes - (reply->bytes > 0 && reply->body[reply->bytes - 1] == '\n');

    sl_answer_read(&answer, reply->body, reply->bytes);
    said = sl_answer_text(answer.root, "said");
    if (sl_cli_has(cli, "json") || said == NULL)
        (void)fprintf(cli->out, "%.*s\n", (int)bytes, reply->body);
    else
        (void)fprintf(cli->out, "%s\n", said);
    (void)fflush(cli->out);
    sl_answer_fini(&answer);
}

/* The answer names the topology, also where the command line did not. What is live already, or was before, has nothing to wait for. */
static int ask_wait(struct sl_cli *cli, const struct sl_client_reply *reply)
{
    struct sl_answer answer;
    const char *topology, *state;
    int status = SL_EXIT_OK;

    sl_answer_read(&answer, reply->body, reply->bytes);
    topology = sl_answer_text(answer.root, "topology");
    state = sl_answer_text(answer.root, "state");
    if (!sl_cli_has(cli, "json") || (state != NULL && strcmp(state, "live") == 0))
        sl_ask_print(cli, reply);
    if (topology == NULL)
        status = sl_cli_say(cli, SL_EXIT_FAILED, "the server does not say which topology it is about");
    else if (state == NULL || strcmp(state, "live") != 0)
        status = sl_ask_watch(cli, topology);
    sl_answer_fini(&answer);
    return status;
}

static bool ask_waits(const struct sl_cli *cli)
{
    for (const struct sl_option *option = cli->command->options; option->name != NULL; option++)
        if (strcmp(option->name, "wait") == 0)
            return sl_cli_has(cli, "wait");
    return false;
}

int sl_ask_send(struct sl_ask *ask, const char *name)
{
    struct sl_cli *cli = ask->cli;
    struct sl_client_reply reply;
    int status = sl_ask_reply(ask, name, &reply);

    if (status != SL_EXIT_OK)
        return status;
    if (ask_waits(cli))
        status = ask_wait(cli, &reply);
    else
        sl_ask_print(cli, &reply);
    sl_client_reply_fini(&reply);
    return status;
}
