/* fuzz_http_ingest.c: any bytes as the body of a POST: unpacked within its bound and cut into records that lie in it, or refused.
 * First byte: low two bits the encoding (identity, gzip, zstd), bit 2 a document instead of lines, the rest max_record in steps of
 * 64 bytes.
 * SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "operators/sources/http/http_body.h"

enum { FUZZ_BODY_MAX = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void fuzz_cut(const char *body, size_t bytes, bool document, uint64_t max_record)
{
    struct sl_http_records records;
    struct sl_err err = {.text = ""};
    const char *at = body;
    int rc = sl_http_records_cut(body, bytes, document, max_record, &records, &err);

    if (rc != 0) {
        assert(err.text[0] != '\0' && (rc == -SL_E_FORMAT || rc == -SL_E_LIMIT));
        return;
    }
    assert(records.count > 0 && (!document || records.count == 1));
    for (uint32_t i = 0; i < records.count; i++) { /* in order, apart, within */
        const struct sl_slice *record = &records.items[i];
        assert(record->data >= at && record->bytes > 0 && record->bytes <= max_record);
        assert(document || memchr(record->data, '\n', record->bytes) == NULL);
        at = record->data + record->bytes;
        assert(at <= body + bytes);
    }
    free(records.items);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    enum sl_http_encoding encoding;
    struct sl_err err = {.text = ""};
    char *plain = NULL;
    size_t plain_bytes = 0;
    uint64_t max_record;
    bool document;

    if (bytes == 0)
        return 0;
    encoding = (enum sl_http_encoding)((data[0] & 3) % 3);
    document = (data[0] & 4) != 0;
    max_record = 64 * (uint64_t)(1 + (data[0] >> 3));
    data++;
    bytes--;
    if (encoding == SL_HTTP_IDENTITY) {
        char *copy = malloc(bytes + 1);
        assert(copy != NULL);
        memcpy(copy, data, bytes);
        fuzz_cut(copy, bytes, document, max_record);
        free(copy);
    } else if (sl_http_inflate(encoding, data, bytes, FUZZ_BODY_MAX, &plain, &plain_bytes, &err) == 0) {
        assert(plain_bytes <= FUZZ_BODY_MAX);
        fuzz_cut(plain, plain_bytes, document, max_record);
        free(plain);
    } else {
        assert(err.text[0] != '\0' && plain == NULL);
    }
    return 0;
}
