/* main.c: the program: the command line over the registry of everything that operators/ holds. The one file of runtime/ that
 * may include operators/.
 * SPDX-License-Identifier: Apache-2.0 */
#include "operators/registry.h"
#include "runtime/cli/cli.h"

int main(int argc, char **argv)
{
    return sl_cli_main(argc, argv, &sl_registry_builtin);
}
