/* topologies.h: where the topologies lie that come with sluice.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_CLI_TOPOLOGIES_H
#define SL_RUNTIME_CLI_TOPOLOGIES_H

#include <stddef.h>

struct sl_cli;

/* --dir, else ./topologies, else those installed beside this binary, else those of the checkout it was built in, else
 * /usr/local/share/sluice/topologies. `text` keeps it where needed. */
const char *sl_topologies_dir(const struct sl_cli *cli, char *text, size_t bytes);

#endif
