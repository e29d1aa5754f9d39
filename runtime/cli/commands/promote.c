/* promote.c: `sluice promote`: makes the candidate live, or gives it a share of the keys.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "runtime/cli/ask.h"
#include "runtime/cli/cli.h"
#include "runtime/cli/commands.h"
#include "runtime/config/units.h"

int sl_command_promote(struct sl_cli *cli)
{
    const char *share = sl_cli_option(cli, "share"), *by = sl_cli_option(cli, "by");
    struct sl_ask ask;
    struct sl_err err;
    double value = 1;

    if (share != NULL && sl_share_scan(share, &value, &err) != 0)
        return sl_cli_say(cli, SL_EXIT_USAGE, "--share: %s", err.text);
    if (value <= 0)
        return sl_cli_say(cli, SL_EXIT_USAGE, "--share: %s is nothing; `sluice rollback` takes the candidate back", share);
    if (by != NULL && strcmp(by, "key") != 0 && strcmp(by, "partition") != 0)
        return sl_cli_say(cli, SL_EXIT_USAGE, "--by: \"%s\" is not what comes here: key or partition", by);
    if (by != NULL && value >= 1)
        return sl_cli_say(cli, SL_EXIT_USAGE, "--by says how a share is cut: it needs --share, less than 100%%");
    sl_ask_init(&ask, cli, 0);
    sl_json_out_f64_at(&ask.out, "share", value);
    if (by != NULL)
        sl_json_out_str_at(&ask.out, "by", by);
    sl_ask_leave_on_interrupt(cli, cli->args_count > 0 ? cli->args[0] : NULL);
    return sl_ask_send(&ask, "promote");
}
