/* upgrade.c: `sluice upgrade`: asks the running process to hand over to a new one, and shows how that goes.
 *
 * The upgrade is the running process's: whoever interrupts this command leaves it as it is.
 * SPDX-License-Identifier: Apache-2.0 */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/json_out.h"
#include "runtime/cli/admin.h"
#include "runtime/cli/cli.h"
#include "runtime/cli/client.h"
#include "runtime/cli/commands.h"
#include "runtime/cli/upgrade.h"
#include "runtime/config/pool.h"
#include "runtime/config/yaml.h"

struct upgrade_show {
    struct sl_cli *cli;
    int status; /* -1: the end has not come */
};

static const char *upgrade_text(const struct sl_yaml *root, const char *key)
{
    const struct sl_yaml_item *item = root != NULL && root->kind == SL_YAML_MAP ? sl_yaml_find(root, key) : NULL;

    return item != NULL && item->value->kind == SL_YAML_SCALAR ? item->value->text : NULL;
}

static void upgrade_show(struct upgrade_show *show, const struct sl_yaml *root, const char *line, size_t bytes)
{
    const char *text = upgrade_text(root, "text"), *end = upgrade_text(root, "end");
    bool json = sl_cli_has(show->cli, "json"), fine = end != NULL && strcmp(end, "upgraded") == 0;

    if (end != NULL)
        show->status = fine ? SL_EXIT_OK : SL_EXIT_FAILED;
    if (json && end != NULL)
        (void)fprintf(show->cli->out, "%.*s\n", (int)bytes, line);
    else if (!json && text != NULL && end != NULL && !fine)
        (void)sl_cli_say(show->cli, SL_EXIT_FAILED, "%s", text);
    else if (!json && text != NULL)
        (void)fprintf(show->cli->out, "%s\n", text);
    (void)fflush(show->cli->out);
}

static bool upgrade_line(void *user, const char *line, size_t bytes)
{
    struct upgrade_show *show = user;
    struct sl_pool pool;
    struct sl_diags diags;

    if (bytes == 0)
        return true;
    sl_pool_init(&pool);
    sl_diags_init(&diags);
    upgrade_show(show, sl_yaml_parse(&pool, "line", line, bytes, &diags), line, bytes);
    sl_diags_fini(&diags);
    sl_pool_fini(&pool);
    return show->status < 0;
}

static int upgrade_refused(struct sl_cli *cli, const struct sl_client_reply *reply)
{
    struct sl_pool pool;
    struct sl_diags diags;
    const char *why;

    sl_pool_init(&pool);
    sl_diags_init(&diags);
    why = upgrade_text(sl_yaml_parse(&pool, "answer", reply->body, reply->bytes, &diags), "error");
    (void)sl_cli_say(cli, SL_EXIT_FAILED, "%.900s", why != NULL ? why : reply->body);
    sl_diags_fini(&diags);
    sl_pool_fini(&pool);
    return SL_EXIT_FAILED;
}

static int upgrade_watch(struct sl_cli *cli, const char *socket_path)
{
    struct upgrade_show show = {cli, -1};
    struct sl_client_reply reply = {0};
    struct sl_err err;
    int status = sl_client_lines(socket_path, "/watch/" SL_UPGRADE_WATCH, upgrade_line, &show, &reply, &err);

    if (status > 0)
        show.status = upgrade_refused(cli, &reply);
    sl_client_reply_fini(&reply);
    if (show.status >= 0)
        return show.status;
    return sl_cli_say(cli, SL_EXIT_FAILED, "the process went away before it said how the upgrade ended; see `sluice status`");
}

/* Where the command is given is not where the process runs; a bare name is looked up in PATH there. */
static int upgrade_body(struct sl_cli *cli, struct sl_buf *body)
{
    const char *binary = sl_cli_option(cli, "binary");
    char whole[PATH_MAX];
    struct sl_json_out out;

    if (binary != NULL && realpath(binary, whole) == NULL)
        return sl_cli_say(cli, SL_EXIT_USAGE, "--binary: %s is not there", binary);
    sl_json_out_init(&out, body);
    sl_json_out_object(&out);
    if (binary != NULL)
        sl_json_out_str_at(&out, "binary", whole);
    sl_json_out_end_object(&out);
    return sl_buf_failed(body) ? sl_cli_say(cli, SL_EXIT_FAILED, "no memory") : SL_EXIT_OK;
}

int sl_command_upgrade(struct sl_cli *cli)
{
    struct sl_client_reply reply;
    struct sl_buf body = {0};
    struct sl_err err;
    char socket_path[PATH_MAX];
    int status = upgrade_body(cli, &body);

    (void)sl_cli_socket(cli, socket_path, sizeof(socket_path));
    if (status == SL_EXIT_OK && sl_client_request(socket_path, "POST", "/command/upgrade", sl_buf_str(&body), &reply, &err) != 0)
        status = sl_cli_say_err(cli, err.code == SL_E_STOPPED ? SL_EXIT_NO_SERVER : SL_EXIT_FAILED, &err);
    else if (status == SL_EXIT_OK) {
        status = reply.status == 200 ? upgrade_watch(cli, socket_path) : upgrade_refused(cli, &reply);
        sl_client_reply_fini(&reply);
    }
    sl_buf_fini(&body);
    return status;
}
