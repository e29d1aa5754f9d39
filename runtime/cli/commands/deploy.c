/* deploy.c: `sluice deploy`: gives the running server a topology's new version, and with --wait shows what becomes of it.
 *
 * The server reads the files, so it is told absolute paths, not contents.
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "runtime/cli/ask.h"
#include "runtime/cli/cli.h"
#include "runtime/cli/commands.h"

/* As the user wrote it, from this folder: links are not followed, so that messages name what was asked for. */
static int deploy_absolute(struct sl_cli *cli, const char *path, char text[PATH_MAX])
{
    char folder[PATH_MAX];
    int bytes;

    if (path[0] != '/' && getcwd(folder, sizeof(folder)) == NULL)
        return sl_cli_say(cli, SL_EXIT_FAILED, "this folder has no path: %s", strerror(errno));
    bytes = path[0] == '/' ? snprintf(text, PATH_MAX, "%s", path) : snprintf(text, PATH_MAX, "%s/%s", folder, path);
    return bytes >= 0 && bytes < PATH_MAX ? SL_EXIT_OK : sl_cli_say(cli, SL_EXIT_USAGE, "%s: the path is too long", path);
}

/* now and canary are plans by name; all else is a file. */
static int deploy_plan(struct sl_cli *cli, const char *plan, char text[PATH_MAX])
{
    if (strcmp(plan, "now") != 0 && strcmp(plan, "canary") != 0)
        return deploy_absolute(cli, plan, text);
    (void)snprintf(text, PATH_MAX, "%s", plan);
    return SL_EXIT_OK;
}

static void deploy_sets(struct sl_ask *ask)
{
    struct sl_cli *cli = ask->cli;

    if (!sl_cli_has(cli, "set"))
        return;
    sl_json_out_key(&ask->out, "set");
    sl_json_out_array(&ask->out);
    for (uint32_t i = 0; i < cli->given_count; i++)
        if (strcmp(cli->given[i].option->name, "set") == 0)
            sl_json_out_str(&ask->out, cli->given[i].value);
    sl_json_out_end_array(&ask->out);
}

int sl_command_deploy(struct sl_cli *cli)
{
    const char *plan = sl_cli_option(cli, "plan");
    char file[PATH_MAX], plan_text[PATH_MAX];
    struct sl_ask ask;
    int status = deploy_absolute(cli, cli->args[0], file);

    if (status == SL_EXIT_OK && plan != NULL)
        status = deploy_plan(cli, plan, plan_text);
    if (status != SL_EXIT_OK)
        return status;
    sl_ask_init(&ask, cli, UINT32_MAX);
    sl_json_out_str_at(&ask.out, "file", file);
    if (plan != NULL)
        sl_json_out_str_at(&ask.out, "plan", plan_text);
    deploy_sets(&ask);
    sl_ask_leave_on_interrupt(cli, NULL);
    return sl_ask_send(&ask, "deploy");
}
