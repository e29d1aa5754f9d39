/* utf8.h: is this UTF-8? (RFC 3629: no surrogates, no overlong forms, nothing above U+10FFFF)
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_BASE_UTF8_H
#define SL_RUNTIME_BASE_UTF8_H

#include "runtime/base/slice.h"

bool sl_utf8_valid(struct sl_slice text);

#endif
