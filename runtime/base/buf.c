/* buf.c: a growable string on the heap.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/buf.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void sl_buf_fini(struct sl_buf *buf)
{
    free(buf->data);
    sl_buf_init(buf);
}

void sl_buf_reset(struct sl_buf *buf)
{
    buf->bytes = 0;
    buf->failed = false;
    if (buf->data != NULL)
        buf->data[0] = 0;
}

char *sl_buf_reserve(struct sl_buf *buf, size_t bytes)
{
    size_t needed = buf->bytes + bytes + 1, capacity = buf->capacity != 0 ? buf->capacity : 256;
    char *data;

    if (buf->failed || needed <= bytes) {
        buf->failed = true;
        return NULL;
    }
    if (needed <= buf->capacity)
        return buf->data + buf->bytes;
    while (capacity < needed)
        capacity += capacity / 2;
    data = realloc(buf->data, capacity);
    if (data == NULL) {
        buf->failed = true;
        return NULL;
    }
    buf->data = data;
    buf->capacity = capacity;
    data[buf->bytes] = 0;
    return data + buf->bytes;
}

void sl_buf_added(struct sl_buf *buf, size_t bytes)
{
    assert(buf->bytes + bytes < buf->capacity);
    buf->bytes += bytes;
    buf->data[buf->bytes] = 0;
}

void sl_buf_append(struct sl_buf *buf, const void *data, size_t bytes)
{
    char *to = sl_buf_reserve(buf, bytes);

    if (to == NULL)
        return;
    if (bytes > 0)
        memcpy(to, data, bytes);
    sl_buf_added(buf, bytes);
}

void sl_buf_text(struct sl_buf *buf, const char *text)
{
    sl_buf_append(buf, text, strlen(text));
}

void sl_buf_slice(struct sl_buf *buf, struct sl_slice slice)
{
    sl_buf_append(buf, slice.data, slice.bytes);
}

void sl_buf_char(struct sl_buf *buf, char c)
{
    sl_buf_append(buf, &c, 1);
}

void sl_buf_vprintf(struct sl_buf *buf, const char *format, va_list args)
{
    va_list again;
    char *to;
    int bytes;

    va_copy(again, args);
    bytes = vsnprintf(NULL, 0, format, args);
    to = bytes < 0 ? NULL : sl_buf_reserve(buf, (size_t)bytes);
    if (to == NULL) {
        buf->failed = true;
    } else {
        (void)vsnprintf(to, (size_t)bytes + 1, format, again);
        sl_buf_added(buf, (size_t)bytes);
    }
    va_end(again);
}

void sl_buf_printf(struct sl_buf *buf, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    sl_buf_vprintf(buf, format, args);
    va_end(args);
}

char *sl_buf_take(struct sl_buf *buf, size_t *ret_bytes)
{
    char *data = NULL;

    if (sl_buf_reserve(buf, 0) != NULL) {
        data = buf->data;
        if (ret_bytes != NULL)
            *ret_bytes = buf->bytes;
        sl_buf_init(buf);
    } else {
        sl_buf_fini(buf);
    }
    return data;
}
