/* base64.h: bytes as text (RFC 4648, section 4, with padding).
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_BASE_BASE64_H
#define SL_RUNTIME_BASE_BASE64_H

#include "runtime/base/buf.h"

/* Appended to the buffer. */
void sl_base64_write(struct sl_buf *buf, struct sl_slice bytes);

#endif
