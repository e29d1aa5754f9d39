/* glob.h: patterns of whole values: * any run, ? one character, [a-z] or [!a-z] one of a set, a
 * backslash takes the next as it is.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_CONFIG_GLOB_H
#define SL_RUNTIME_CONFIG_GLOB_H

#include <stdbool.h>

#include "runtime/base/err.h"
#include "runtime/base/slice.h"

enum { SL_GLOB_BYTES = 1024 };

/* Refuses an open set, an empty one, a range that runs backwards and a trailing backslash, and more
 * than SL_GLOB_BYTES. */
int sl_glob_check(const char *pattern, struct sl_err *err);
/* A character is a UTF-8 sequence; a byte that is none counts as one. Time: pattern times text at
 * worst. */
bool sl_glob_match(const char *pattern, struct sl_slice text);

#endif
