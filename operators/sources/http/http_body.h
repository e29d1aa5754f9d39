/* http_body.h: the body of a POST to records: bounded decompression and the cut into lines or one document. Pure; the fuzz target
 * fuzz_http_ingest drives it.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_OPERATORS_SOURCES_HTTP_BODY_H
#define SL_OPERATORS_SOURCES_HTTP_BODY_H

#include <stddef.h>

#include "runtime/base/err.h"
#include "runtime/base/slice.h"

enum sl_http_encoding { SL_HTTP_IDENTITY, SL_HTTP_GZIP, SL_HTTP_ZSTD, SL_HTTP_UNKNOWN_ENCODING };

/* Of a Content-Encoding header's value; NULL is identity. */
enum sl_http_encoding sl_http_encoding_of(const char *value);
/* True for Content-Type application/json (with or without parameters): one document; anything else is lines. */
bool sl_http_is_document(const char *content_type);

/* malloc'd plain bytes. -SL_E_FORMAT: damaged or cut; -SL_E_LIMIT: more than max_bytes come out. Several gzip members or zstd frames
 * in a row are one body. Not for identity. */
int sl_http_inflate(enum sl_http_encoding encoding, const void *data, size_t bytes, size_t max_bytes, char **ret_data,
                    size_t *ret_bytes, struct sl_err *err);

struct sl_http_records {
    struct sl_slice *items; /* malloc'd; slices into the body */
    uint32_t count;
};

/* Lines without their LF (a CR stays), blank ones left out; or the one document without the blanks around it. -SL_E_FORMAT: no
 * record; -SL_E_LIMIT: a record above max_record, named in the text, or too many. */
int sl_http_records_cut(const char *data, size_t bytes, bool document, uint64_t max_record,
                        struct sl_http_records *ret_records, struct sl_err *err);

#endif
