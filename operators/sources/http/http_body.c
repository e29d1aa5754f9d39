/* http_body.c: the body of a POST to records.
 * Limits: what comes out of a decompressor is counted as it comes; zstd windows above 8 MiB are refused.
 * SPDX-License-Identifier: Apache-2.0 */
#include "operators/sources/http/http_body.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>
#include <zstd.h>

enum { BODY_FIRST_BYTES = 64 << 10, BODY_WINDOW_LOG = 23, BODY_RECORDS_MAX = 1 << 18 };

enum sl_http_encoding sl_http_encoding_of(const char *value)
{
    if (value == NULL || value[0] == '\0' || strcasecmp(value, "identity") == 0)
        return SL_HTTP_IDENTITY;
    if (strcasecmp(value, "gzip") == 0 || strcasecmp(value, "x-gzip") == 0)
        return SL_HTTP_GZIP;
    return strcasecmp(value, "zstd") == 0 ? SL_HTTP_ZSTD : SL_HTTP_UNKNOWN_ENCODING;
}

bool sl_http_is_document(const char *content_type)
{
    static const char json[] = "application/json";
    const size_t bytes = sizeof(json) - 1;

    return content_type != NULL && strncasecmp(content_type, json, bytes) == 0 &&
           (content_type[bytes] == '\0' || content_type[bytes] == ';' || content_type[bytes] == ' ');
}

struct body_out {
    char *data;
    size_t bytes, capacity, max_bytes;
};

/* More room, one byte beyond max_bytes at most: that byte shows that there was more. */
static int out_room(struct body_out *out, struct sl_err *err)
{
    size_t capacity = out->capacity == 0 ? BODY_FIRST_BYTES : out->capacity * 2;
    char *data;

    if (out->bytes < out->capacity)
        return 0;
    if (out->bytes > out->max_bytes)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_DEADLETTER, 0, "the body is larger than %zu bytes when decompressed",
                       out->max_bytes);
    if (capacity > out->max_bytes + 1)
        capacity = out->max_bytes + 1;
    data = realloc(out->data, capacity);
    if (data == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory for the body");
    out->data = data;
    out->capacity = capacity;
    return 0;
}

static int body_damaged(const char *what, struct sl_err *err)
{
    return sl_fail(err, SL_E_FORMAT, SL_REMEDY_DEADLETTER, 0, "the body is not valid %s: it is damaged or cut", what);
}

/* One call of inflate into the room there is; Z_STREAM_END also resets for a member that follows. */
static int gunzip_step(z_stream *z, struct body_out *out)
{
    size_t room = out->capacity - out->bytes;
    int rc;

    z->next_out = (unsigned char *)out->data + out->bytes;
    z->avail_out = (unsigned)room;
    rc = inflate(z, Z_NO_FLUSH);
    out->bytes += room - z->avail_out;
    if (rc == Z_STREAM_END && z->avail_in > 0)
        rc = inflateReset(z);
    return rc;
}

static int body_gunzip(const void *data, size_t bytes, struct body_out *out, struct sl_err *err)
{
    z_stream z = {.avail_in = (unsigned)bytes};
    int rc, failed;

    z.next_in = (z_const Bytef *)(uintptr_t)data;
    if (inflateInit2(&z, 15 + 16) != Z_OK)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory to decompress");
    do {
        failed = out_room(out, err);
        rc = failed != 0 ? Z_STREAM_END : gunzip_step(&z, out);
    } while (rc == Z_OK);
    (void)inflateEnd(&z);
    if (failed == 0 && rc != Z_STREAM_END)
        failed = body_damaged("gzip", err);
    return failed;
}

static int body_unzstd(const void *data, size_t bytes, struct body_out *out, struct sl_err *err)
{
    ZSTD_DCtx *context = ZSTD_createDCtx();
    ZSTD_inBuffer in = {data, bytes, 0};
    size_t rc = 1;
    int failed = 0;

    if (context == NULL || ZSTD_isError(ZSTD_DCtx_setParameter(context, ZSTD_d_windowLogMax, BODY_WINDOW_LOG)))
        failed = sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory to decompress");
    while (failed == 0) {
        ZSTD_outBuffer to;
        size_t before_in = in.pos;

        failed = out_room(out, err);
        if (failed != 0)
            break;
        to = (ZSTD_outBuffer){out->data, out->capacity, out->bytes};
        rc = ZSTD_decompressStream(context, &to, &in);
        if (ZSTD_isError(rc) || (rc != 0 && in.pos == before_in && to.pos == out->bytes))
            failed = body_damaged("zstd", err);
        out->bytes = to.pos;
        if (failed == 0 && in.pos == in.size && rc == 0)
            break;
    }
    (void)ZSTD_freeDCtx(context);
    return failed;
}

int sl_http_inflate(enum sl_http_encoding encoding, const void *data, size_t bytes, size_t max_bytes, char **ret_data,
                    size_t *ret_bytes, struct sl_err *err)
{
    struct body_out out = {.max_bytes = max_bytes};
    int rc;

    assert(encoding == SL_HTTP_GZIP || encoding == SL_HTTP_ZSTD);
    if (bytes == 0)
        return body_damaged(encoding == SL_HTTP_GZIP ? "gzip" : "zstd", err);
    rc = encoding == SL_HTTP_GZIP ? body_gunzip(data, bytes, &out, err) : body_unzstd(data, bytes, &out, err);
    if (rc == 0 && out.bytes > max_bytes)
        rc = sl_fail(err, SL_E_LIMIT, SL_REMEDY_DEADLETTER, 0, "the body is larger than %zu bytes when decompressed", max_bytes);
    if (rc != 0) {
        free(out.data);
        return rc;
    }
    *ret_data = out.data;
    *ret_bytes = out.bytes;
    return 0;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool all_blank(const char *data, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        if (!is_blank(data[i]))
            return false;
    return true;
}

struct body_cut {
    struct sl_http_records *records;
    uint32_t capacity;
    uint64_t max_record;
};

static int cut_add(struct body_cut *cut, const char *data, size_t bytes, struct sl_err *err)
{
    struct sl_http_records *records = cut->records;

    if (bytes > cut->max_record)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_DEADLETTER, 0,
                       "record %u has %zu bytes, more than max_record (%llu); nothing of the body was taken", records->count + 1,
                       bytes, (unsigned long long)cut->max_record);
    if (records->count == BODY_RECORDS_MAX)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_DEADLETTER, 0, "the body has more than %u records", BODY_RECORDS_MAX);
    if (records->count == cut->capacity) {
        uint32_t capacity = cut->capacity == 0 ? 256 : cut->capacity * 2;
        struct sl_slice *items = realloc(records->items, capacity * sizeof(*items));
        if (items == NULL)
            return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory for the records");
        records->items = items;
        cut->capacity = capacity;
    }
    records->items[records->count++] = (struct sl_slice){data, (uint32_t)bytes};
    return 0;
}

static int cut_document(struct body_cut *cut, const char *data, size_t bytes, struct sl_err *err)
{
    while (bytes > 0 && is_blank(data[bytes - 1]))
        bytes--;
    while (bytes > 0 && is_blank(*data)) {
        data++;
        bytes--;
    }
    return bytes == 0 ? 0 : cut_add(cut, data, bytes, err);
}

static int cut_lines(struct body_cut *cut, const char *data, size_t bytes, struct sl_err *err)
{
    const char *end = data + bytes;

    while (data < end) {
        const char *newline = memchr(data, '\n', (size_t)(end - data));
        const char *stop = newline == NULL ? end : newline;

        if (!all_blank(data, (size_t)(stop - data)) && cut_add(cut, data, (size_t)(stop - data), err) != 0)
            return -(int)err->code;
        data = stop + 1;
        if (newline == NULL)
            break;
    }
    return 0;
}

int sl_http_records_cut(const char *data, size_t bytes, bool document, uint64_t max_record,
                        struct sl_http_records *ret_records, struct sl_err *err)
{
    struct sl_http_records records = {NULL, 0};
    struct body_cut cut = {&records, 0, max_record < UINT32_MAX ? max_record : UINT32_MAX};
    int rc = bytes == 0 ? 0 : document ? cut_document(&cut, data, bytes, err) : cut_lines(&cut, data, bytes, err);

    if (rc == 0 && records.count == 0)
        rc = sl_fail(err, SL_E_FORMAT, SL_REMEDY_DEADLETTER, 0, "the body holds no record");
    if (rc != 0) {
        free(records.items);
        return rc;
    }
    *ret_records = records;
    return 0;
}
