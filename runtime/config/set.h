/* set.h: settings said on the command line, --set PATH=VALUE, put into a parsed topology before it is bound; so they are checked like
 * those of the file.
 *
 * PATH: keys with dots between them (a dot in a key is \.), a number in a list: sinks.landing.level, sources.in.paths.0. Sources,
 * operators and sinks must be in the file; settings need not. VALUE: YAML: 3, v2.lua, [a, b], { cpu: 70% }; nothing is the empty text.
 * ${VAR} is filled in as in the file. A later one of the same path wins.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_CONFIG_SET_H
#define SL_RUNTIME_CONFIG_SET_H

#include "runtime/config/field.h"
#include "runtime/config/yaml.h"

struct sl_pool;

/* Lines from here on are of sets: SL_SET_LINE + index. Diags of such nodes name the set instead of the file (sl_set_name_diags). */
enum { SL_SET_LINE = 1 << 30, SL_SETS_MAX = 1000 };

/* The tree with all sets in it; `root` itself is not changed. NULL with diags. */
const struct sl_yaml *sl_set_apply(struct sl_pool *pool, const struct sl_yaml *root, const struct sl_strings *sets,
                                   struct sl_diags *diags);
/* Of the diags from number `from` on: those of a set's line say "--set PATH=VALUE" instead of file and line. */
void sl_set_name_diags(const struct sl_strings *sets, struct sl_diags *diags, uint32_t from);

#endif
