/* rollback.c: `sluice rollback`: takes the candidate out, or brings the previous generation back.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/cli/ask.h"
#include "runtime/cli/cli.h"
#include "runtime/cli/commands.h"

int sl_command_rollback(struct sl_cli *cli)
{
    struct sl_ask ask;

    sl_ask_init(&ask, cli, 0);
    return sl_ask_send(&ask, "rollback");
}
