/* yaml_json.h: a YAML node as the JSON value that it stands for.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_CONFIG_YAML_JSON_H
#define SL_RUNTIME_CONFIG_YAML_JSON_H

#include "runtime/config/yaml.h"

/* Plain true, false, null (~, nothing) and numbers of JSON's form are themselves; every other scalar is a string. NUL-terminated,
 * the pool's. */
const char *sl_yaml_json(struct sl_pool *pool, const struct sl_yaml *node);

#endif
