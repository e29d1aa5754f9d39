/* answer.h: a JSON document that came over the control socket, read as a tree: the server's requests, the client's answers.
 *
 * JSON is YAML, so the configuration's reader serves; but a dollar sign means nothing here: no ${VAR} is filled in.
 * Limits: yaml.h's (1 MiB); what is longer or no object has root NULL.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_CLI_ANSWER_H
#define SL_RUNTIME_CLI_ANSWER_H

#include "runtime/config/pool.h"
#include "runtime/config/yaml.h"

struct sl_answer {
    struct sl_pool pool;
    struct sl_diags diags;
    const struct sl_yaml *root; /* a map, or NULL */
};

/* Always followed by fini. */
void sl_answer_read(struct sl_answer *answer, const char *text, size_t bytes);
void sl_answer_fini(struct sl_answer *answer);

/* Members of a map; map may be NULL. text: NULL where there is none, or it is null or no scalar. */
const char *sl_answer_text(const struct sl_yaml *map, const char *key);
int64_t sl_answer_i64(const struct sl_yaml *map, const char *key); /* 0 where it is no number */
double sl_answer_f64(const struct sl_yaml *map, const char *key);  /* likewise */
const struct sl_yaml *sl_answer_map(const struct sl_yaml *map, const char *key);  /* NULL: no map */
const struct sl_yaml *sl_answer_list(const struct sl_yaml *map, const char *key); /* NULL: no list */
/* The object of a list whose member `key` is `text`; NULL: none. */
const struct sl_yaml *sl_answer_find(const struct sl_yaml *list, const char *key, const char *text);

#endif
