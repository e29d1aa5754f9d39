/* admin.h: what a client asks a running process to do: POST /command/NAME, a JSON object in, a JSON object out.
 *
 * Threads: the control server's, any number at a time: what concerns deployments waits for its topology alone (deploy/deployer.h), all
 * else is done one at a time. A command that concerns slots goes to their threads by sl_host_ask and waits.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_CLI_ADMIN_H
#define SL_RUNTIME_CLI_ADMIN_H

#include "runtime/base/buf.h"
#include "runtime/base/err.h"

struct sl_control_stream;
struct sl_control_who;
struct sl_deployer;
struct sl_host;

struct sl_admin { /* what commands are about; borrowed */
    struct sl_host *host;
    struct sl_deployer *deployer; /* NULL: this process deploys nothing */
};

/* As sl_control_source.command: 0 json is the answer, 1 no such command, < 0 failed, json = {"error": "…"}. */
int sl_admin_command(const struct sl_admin *admin, const struct sl_control_who *who, const char *name, const char *body,
                     struct sl_buf *json);
/* As sl_control_source.watch: the lines of a topology's deployment; path "": the only one that runs. */
int sl_admin_watch(const struct sl_admin *admin, const char *path, struct sl_control_stream **ret_stream, struct sl_buf *json);

#endif
