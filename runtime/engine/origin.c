/* origin.c: a record's origin as bytes, see the header.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/engine/origin.h"

#include <assert.h>
#include <stdio.h>

enum { ORIGIN_SOURCE = 128, ORIGIN_TOPIC = 400, ORIGIN_PARTITION = 40 };

static int origin_cut(struct sl_slice text, uint32_t most)
{
    return (int)(text.bytes < most ? text.bytes : most);
}

size_t sl_origin_print(const struct sl_origin *origin, char text[SL_ORIGIN_BYTES])
{
    int bytes = snprintf(text, SL_ORIGIN_BYTES - 8, "%.*s%c%.*s%c%.*s%c%u", origin_cut(origin->source, ORIGIN_SOURCE), origin->source.data,
                         0, origin_cut(origin->topic, ORIGIN_TOPIC), origin->topic.data, 0,
                         origin_cut(origin->partition, ORIGIN_PARTITION), origin->partition.data, 0, origin->incarnation);
    size_t at = (size_t)bytes + 1;

    assert(bytes > 0 && at <= SL_ORIGIN_BYTES - 8);
    for (int i = 0; i < 8; i++) /* the same bytes on every machine */
        text[at++] = (char)(origin->offset >> (8 * i) & 0xff);
    return at;
}

/* The text before the next NUL; data NULL: there is none. */
static struct sl_slice origin_field(struct sl_slice *inout_rest)
{
    const char *nul = memchr(inout_rest->data, 0, inout_rest->bytes);
    struct sl_slice field = {NULL, 0};

    if (nul == NULL)
        return field;
    field = (struct sl_slice){inout_rest->data, (uint32_t)(nul - inout_rest->data)};
    inout_rest->bytes -= field.bytes + 1;
    inout_rest->data = nul + 1;
    return field;
}

int sl_origin_scan(struct sl_slice text, struct sl_origin *ret_origin)
{
    struct sl_origin origin = {.source = origin_field(&text)};
    struct sl_slice number = {NULL, 0};
    uint64_t incarnation = 0;

    if (origin.source.data != NULL)
        origin.topic = origin_field(&text);
    if (origin.topic.data != NULL)
        origin.partition = origin_field(&text);
    if (origin.partition.data != NULL)
        number = origin_field(&text);
    if (number.data == NULL || number.bytes == 0 || number.bytes > 10 || text.bytes != 8)
        return -1;
    for (uint32_t i = 0; i < number.bytes; i++) {
        if (number.data[i] < '0' || number.data[i] > '9')
            return -1;
        incarnation = incarnation * 10 + (uint64_t)(number.data[i] - '0');
    }
    if (incarnation > UINT32_MAX)
        return -1;
    origin.incarnation = (uint32_t)incarnation;
    for (int i = 0; i < 8; i++)
        origin.offset |= (uint64_t)(unsigned char)text.data[i] << (8 * i);
    *ret_origin = origin;
    return 0;
}
