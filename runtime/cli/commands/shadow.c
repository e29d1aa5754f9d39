/* shadow.c: `sluice shadow`: lets the candidate work on the same records with its sinks closed, and shows what it does otherwise.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/cli/ask.h"
#include "runtime/cli/cli.h"
#include "runtime/cli/commands.h"

int sl_command_shadow(struct sl_cli *cli)
{
    struct sl_ask ask;

    sl_ask_init(&ask, cli, 1);
    sl_json_out_str_at(&ask.out, "do", cli->args[0]);
    return sl_ask_send(&ask, "shadow");
}
