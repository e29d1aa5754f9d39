/* json_text.h: the grammar inside one token of JSON: escapes of a string, the form of a number.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_JSON_JSON_TEXT_H
#define SL_RUNTIME_JSON_JSON_TEXT_H

#include <stdbool.h>

#include "runtime/base/slice.h"

/* Resolves the escapes of a string's inside (without quotes) into `to`, which has room for as many bytes; `to` NULL only
 * checks. 0, or -1: an escape that JSON does not know, or half of a surrogate pair. */
int sl_json_unescape(struct sl_slice inside, char *to, uint32_t *ret_bytes);
/* The whole slice is one number of RFC 8259. */
bool sl_json_is_number(struct sl_slice token);

#endif
