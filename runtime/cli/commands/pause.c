/* pause.c: `sluice pause`, `sluice resume`, `sluice drain`: whether a topology reads.
 *
 * resume has a second meaning that is older: with --source-changed a partition goes on that was held since its source is another
 * one (rule A1).
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/cli/ask.h"
#include "runtime/cli/cli.h"
#include "runtime/cli/commands.h"

int sl_command_pause(struct sl_cli *cli)
{
    struct sl_ask ask;

    sl_ask_init(&ask, cli, 0);
    return sl_ask_send(&ask, "pause");
}

int sl_command_resume(struct sl_cli *cli)
{
    const char *partition = sl_cli_option(cli, "source-changed");
    struct sl_ask ask;

    sl_ask_init(&ask, cli, 0);
    if (partition != NULL)
        sl_json_out_str_at(&ask.out, "source_changed", partition);
    return sl_ask_send(&ask, "resume");
}

int sl_command_drain(struct sl_cli *cli)
{
    struct sl_ask ask;

    sl_ask_init(&ask, cli, 0);
    return sl_ask_send(&ask, "drain");
}
