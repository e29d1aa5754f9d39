/* yaml.h: a YAML document as a tree of our own: every node knows its line and column, aliases and
 * merge keys are resolved, keys that come twice are refused with both places, and ${VAR} is
 * replaced in scalars. All memory is the pool's.
 * Limits: 1 MiB of text, 64 levels, 100,000 nodes once aliases are written out. UTF-8 without NUL;
 * one document; no tags.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_CONFIG_YAML_H
#define SL_RUNTIME_CONFIG_YAML_H

#include "runtime/config/diag.h"

struct sl_pool;

enum sl_yaml_kind { SL_YAML_SCALAR, SL_YAML_LIST, SL_YAML_MAP };
enum { SL_YAML_BYTES = 1 << 20, SL_YAML_DEPTH = 64, SL_YAML_NODES = 100000 };

struct sl_yaml {
    enum sl_yaml_kind kind;
    bool quoted;           /* a scalar in quotes or a block: text, whatever it looks like */
    uint32_t line, column; /* from 1 */
    const char *text;      /* of a scalar, ${VAR} replaced */
    struct sl_yaml_item *items;
    uint32_t count;
    uint32_t weight; /* nodes in it, itself included */
};

struct sl_yaml_item {
    const char *key; /* of a map; NULL in a list */
    uint32_t key_line, key_column;
    bool merged; /* came by a merge key */
    const struct sl_yaml *value;
};

/* NULL with diags where the text is no document that we accept. `name` is what diags call the file.
 * Undefined ${VAR}s are diags too, but the tree comes back all the same, so that everything else
 * can be checked in one run. */
const struct sl_yaml *sl_yaml_parse(struct sl_pool *pool, const char *name, const char *text,
                                    size_t bytes, struct sl_diags *diags);
const struct sl_yaml *sl_yaml_load(struct sl_pool *pool, const char *path, struct sl_diags *diags);
/* The item of that key, or NULL. */
const struct sl_yaml_item *sl_yaml_find(const struct sl_yaml *map, const char *key);
/* A plain scalar that says nothing: empty, ~ or null. */
bool sl_yaml_is_null(const struct sl_yaml *node);

/* ${VAR} and ${VAR:-default} replaced, $$ is $. NULL: *ret_problem and *ret_remedy say why (pool
 * memory). */
const char *sl_yaml_substitute(struct sl_pool *pool, const char *text, const char **ret_problem,
                               const char **ret_remedy);

#endif
