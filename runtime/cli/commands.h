/* commands.h: the commands' entry points, as named in the table. Each returns an enum sl_exit.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_CLI_COMMANDS_H
#define SL_RUNTIME_CLI_COMMANDS_H

struct sl_cli;

int sl_command_run(struct sl_cli *cli);
int sl_command_check(struct sl_cli *cli);
int sl_command_test(struct sl_cli *cli);
int sl_command_graph(struct sl_cli *cli);
int sl_command_operators(struct sl_cli *cli);
int sl_command_topologies(struct sl_cli *cli);
int sl_command_init(struct sl_cli *cli);
int sl_command_cat(struct sl_cli *cli);
int sl_command_status(struct sl_cli *cli);
int sl_command_diff(struct sl_cli *cli);
int sl_command_deploy(struct sl_cli *cli);
int sl_command_promote(struct sl_cli *cli);
int sl_command_rollback(struct sl_cli *cli);
int sl_command_shadow(struct sl_cli *cli);
int sl_command_history(struct sl_cli *cli);
int sl_command_pause(struct sl_cli *cli);
int sl_command_resume(struct sl_cli *cli);
int sl_command_upgrade(struct sl_cli *cli);
int sl_command_drain(struct sl_cli *cli);
int sl_command_replay(struct sl_cli *cli);
int sl_command_tap(struct sl_cli *cli);
int sl_command_audit(struct sl_cli *cli);
int sl_command_spool(struct sl_cli *cli);
int sl_command_version(struct sl_cli *cli);
int sl_command_help(struct sl_cli *cli);
int sl_command_docs(struct sl_cli *cli);
int sl_command_complete(struct sl_cli *cli);

#endif
