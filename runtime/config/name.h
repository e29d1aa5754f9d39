/* name.h: how a user names a field: a role (time, service, level, trace, class), something known before parsing (@topic, @key,
 * @time, @header:NAME), or a path into the payload (user.email; .level is the payload's own; user\.email is one key).
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_CONFIG_NAME_H
#define SL_RUNTIME_CONFIG_NAME_H

#include <stddef.h>

#include "runtime/base/column.h"
#include "runtime/base/err.h"

struct sl_pool;

enum sl_name_kind { SL_NAME_PATH, SL_NAME_TIME, SL_NAME_SERVICE, SL_NAME_LEVEL, SL_NAME_TRACE, SL_NAME_CLASS,
                    SL_NAME_TOPIC, SL_NAME_KEY, SL_NAME_APPEND_TIME, SL_NAME_HEADER };

struct sl_name {
    enum sl_name_kind kind;
    struct sl_field_path path; /* SL_NAME_PATH */
    const char *header;        /* SL_NAME_HEADER */
};

/* Memory: one malloc'd block, freed by sl_name_fini. Refused: empty names or segments, an unknown @name, a trailing backslash;
 * more than 16 segments. */
int sl_name_parse(const char *text, struct sl_name *ret_name, struct sl_err *err);
void sl_name_fini(struct sl_name *name);
/* A copy whose memory is the pool's: no fini. */
struct sl_name sl_name_copy(struct sl_pool *pool, const struct sl_name *name);
/* As a user would write it, as snprintf. */
int sl_name_print(const struct sl_name *name, char *out, size_t bytes);

#endif
