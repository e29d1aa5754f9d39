/* resume.c: `sluice resume`: lets a topology go on with a partition that was held because its source is another one (rule A1).
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "runtime/base/json_out.h"
#include "runtime/cli/admin.h"
#include "runtime/cli/cli.h"
#include "runtime/cli/commands.h"

int sl_command_resume(struct sl_cli *cli)
{
    const char *partition = sl_cli_option(cli, "source-changed");
    struct sl_buf members = {0};
    struct sl_json_out out;
    int status;

    if (partition == NULL)
        return sl_cli_say(cli, SL_EXIT_USAGE, "say which partition's source has changed: --source-changed TOPIC:NUMBER");
    sl_json_out_init(&out, &members);
    sl_json_out_object(&out);
    if (cli->args_count > 0)
        sl_json_out_str_at(&out, "topology", cli->args[0]);
    sl_json_out_str_at(&out, "source_changed", partition);
    sl_json_out_end_object(&out);
    status = sl_buf_failed(&members) ? sl_cli_say(cli, SL_EXIT_FAILED, "no memory") : sl_admin_ask(cli, "resume", members.data);
    sl_buf_fini(&members);
    return status;
}
