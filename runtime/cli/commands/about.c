/* about.c: the commands that speak of the program itself: version, help, docs, complete.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/cli/cli.h"

#include <libfyaml.h>
#include <zstd.h>

#include "runtime/cli/commands.h"
#include "runtime/cli/reference.h"

int sl_command_version(struct sl_cli *cli)
{
    const char *compiler = __VERSION__;
    if (sl_cli_has(cli, "json")) {
        (void)fputs("{\"version\":\"" SLUICE_VERSION "\",\"interface\":", cli->out);
        (void)fprintf(cli->out, "\"%u.%u\",\"compiler\":", SL_ABI_MAJOR, SL_ABI_MINOR);
        sl_cli_print_json(cli->out, compiler);
        (void)fprintf(cli->out, ",\"libraries\":{\"zstd\":\"%s\",\"libfyaml\":\"%s\"}}\n", ZSTD_versionString(),
                      fy_library_version());
        return SL_EXIT_OK;
    }
    (void)fprintf(cli->out, "sluice " SLUICE_VERSION "\noperator interface %u.%u, compiler %s, zstd %s, libfyaml %s\n",
                  SL_ABI_MAJOR, SL_ABI_MINOR, compiler, ZSTD_versionString(), fy_library_version());
    return SL_EXIT_OK;
}

int sl_command_help(struct sl_cli *cli)
{
    const struct sl_command *command;

    if (cli->args_count == 0) {
        sl_cli_print_usage(cli, cli->out);
        return SL_EXIT_OK;
    }
    command = sl_cli_find(cli->commands, cli->args[0]);
    if (command == NULL)
        return sl_cli_say_unknown(cli, cli->args[0]);
    sl_cli_print_command(cli, cli->out, command);
    return SL_EXIT_OK;
}

int sl_command_docs(struct sl_cli *cli)
{
    if (sl_cli_has(cli, "man"))
        sl_cli_print_man(cli, cli->out);
    else if (sl_cli_has(cli, "settings"))
        sl_reference_settings(cli->out);
    else if (sl_cli_has(cli, "metrics"))
        sl_reference_metrics(cli->out);
    else
        sl_cli_print_markdown(cli, cli->out);
    return SL_EXIT_OK;
}

int sl_command_complete(struct sl_cli *cli)
{
    sl_cli_print_completion(cli, cli->out);
    return SL_EXIT_OK;
}
