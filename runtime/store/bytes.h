/* bytes.h: little-endian numbers in files, whatever the machine's order and alignment; a growing buffer of bytes; nonces.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_STORE_BYTES_H
#define SL_RUNTIME_STORE_BYTES_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

static inline uint32_t sl_get32(const void *from)
{
    const unsigned char *p = from;
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t sl_get64(const void *from)
{
    return (uint64_t)sl_get32(from) | (uint64_t)sl_get32((const unsigned char *)from + 4) << 32;
}

static inline void sl_put32(void *to, uint32_t value)
{
    unsigned char *p = to;
    p[0] = (unsigned char)value;
    p[1] = (unsigned char)(value >> 8);
    p[2] = (unsigned char)(value >> 16);
    p[3] = (unsigned char)(value >> 24);
}

static inline void sl_put64(void *to, uint64_t value)
{
    sl_put32(to, (uint32_t)value);
    sl_put32((unsigned char *)to + 4, (uint32_t)(value >> 32));
}

struct sl_buffer {
    char *data;
    size_t bytes, room;
};

/* Room for `more` bytes behind buffer->bytes. 0 or -1 (no memory; the buffer stays as it is). */
static inline int sl_buffer_reserve(struct sl_buffer *buffer, size_t more)
{
    size_t room = buffer->room == 0 ? 4096 : buffer->room;
    char *data;
    if (buffer->room - buffer->bytes >= more)
        return 0;
    while (room - buffer->bytes < more)
        room *= 2;
    data = realloc(buffer->data, room);
    if (data == NULL)
        return -1;
    buffer->data = data;
    buffer->room = room;
    return 0;
}

static inline void sl_buffer_fini(struct sl_buffer *buffer)
{
    free(buffer->data);
    memset(buffer, 0, sizeof(*buffer));
}

/* A file's nonce goes into its checksums, so that no payload can hold what would pass for a record of that file. */
static inline uint64_t sl_nonce(void)
{
    uint64_t nonce = 0;
    while (getrandom(&nonce, sizeof(nonce), 0) != (ssize_t)sizeof(nonce))
        continue;
    return nonce;
}

#endif
