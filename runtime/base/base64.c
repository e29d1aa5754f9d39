/* base64.c: bytes as text.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/base64.h"

void sl_base64_write(struct sl_buf *buf, struct sl_slice bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (uint32_t i = 0; i < bytes.bytes; i += 3) {
        uint32_t left = bytes.bytes - i, group = (uint32_t)(unsigned char)bytes.data[i] << 16;
        if (left > 1)
            group |= (uint32_t)(unsigned char)bytes.data[i + 1] << 8;
        if (left > 2)
            group |= (uint32_t)(unsigned char)bytes.data[i + 2];
        sl_buf_char(buf, digits[group >> 18]);
        sl_buf_char(buf, digits[group >> 12 & 63]);
        sl_buf_char(buf, left > 1 ? digits[group >> 6 & 63] : '=');
        sl_buf_char(buf, left > 2 ? digits[group & 63] : '=');
    }
}
