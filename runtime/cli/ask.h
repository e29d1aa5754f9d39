/* ask.h: the client's side of a command: posts it to the running server, prints what it says, watches what goes on behind it.
 *
 * Ctrl-C ends the client and nothing else: what the server does with a deployment goes on, and the client says so before it ends.
 * Threads: main's only.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_CLI_ASK_H
#define SL_RUNTIME_CLI_ASK_H

#include "runtime/base/json_out.h"
#include "runtime/cli/client.h"

struct sl_cli;
struct sl_yaml;

/* A request's body: an object that is begun, with the topology in it where the command line names one as argument number `argument`. */
struct sl_ask {
    struct sl_cli *cli;
    struct sl_buf text;
    struct sl_json_out out; /* for further members */
};
void sl_ask_init(struct sl_ask *ask, struct sl_cli *cli, uint32_t argument);
/* Ends the object, posts it as /command/NAME and prints the answer's "said", or the whole answer with --json. With option --wait (of
 * commands that have it) the topology's deployment is watched then. Returns an enum sl_exit; the request is freed. */
int sl_ask_send(struct sl_ask *ask, const char *name);
/* The same without printing: SL_EXIT_OK and *ret_reply, of status 200; else it has been told. */
int sl_ask_reply(struct sl_ask *ask, const char *name, struct sl_client_reply *ret_reply);
/* Prints an answer that no other form is known for: its "said", or all of it. */
void sl_ask_print(struct sl_cli *cli, const struct sl_client_reply *reply);

/* Shows the topology's deployment until it ends: a line a step; on a terminal, below them, one that is rewritten each second. The
 * exit code says how it ended. */
int sl_ask_watch(struct sl_cli *cli, const char *topology);

/* Ctrl-C from now on: says that the deployment goes on, and how to take it up. topology NULL: not known yet. */
void sl_ask_leave_on_interrupt(struct sl_cli *cli, const char *topology);

/* What a line says of a step: "canary 10 %". text of 64 bytes, returned. */
const char *sl_ask_state(const struct sl_yaml *map, char text[64]);
/* enum sl_exit of the "end" of a deployment; NULL or a word of a newer server: SL_EXIT_FAILED. */
int sl_ask_exit(const char *end);

#endif
