/* bind_value.h: one value into one field; private to bind*.c.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_CONFIG_BIND_VALUE_H
#define SL_RUNTIME_CONFIG_BIND_VALUE_H

#include "runtime/config/bind.h"

/* Any type but SL_F_STRUCT. `at` points to the member. False where refused (and reported). */
bool sl_bind_value(struct sl_bind *bind, const struct sl_field *field, void *at,
                   const struct sl_yaml *node, const char *setting);
/* "a size such as 128MiB", for remedies and docs. */
const char *sl_field_type_phrase(enum sl_field_type type);

#endif
