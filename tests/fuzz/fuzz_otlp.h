/* fuzz_otlp.h: what the two fuzz targets of OTLP share: every record that comes out is one JSON object on one line, within its bounds.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_TESTS_FUZZ_OTLP_H
#define SL_TESTS_FUZZ_OTLP_H

#include <assert.h>
#include <stdint.h>
#include <string.h>

#include "operators/sources/otlp/otlp_record.h"
#include "runtime/json/json.h"

enum { FUZZ_RECORD_MAX = 4096, FUZZ_BODY_MAX = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static inline void fuzz_is_json(struct sl_json_decoder *decoder, struct sl_slice record)
{
    struct sl_arena arena;
    uint16_t row = 0;
    uint8_t verdict = SL_JSON_EMPTY;
    int rc = sl_arena_init(&arena, 64 << 10, 64 << 20);
    struct sl_slice padded = rc == 0 ? sl_arena_copy(&arena, record) : (struct sl_slice){NULL, 0};

    assert(padded.data != NULL && record.bytes <= FUZZ_RECORD_MAX && record.data[0] == '{');
    assert(memchr(record.data, '\n', record.bytes) == NULL && memchr(record.data, '\r', record.bytes) == NULL);
    rc = sl_json_decode(decoder, &padded, &row, 1, NULL, &verdict, &arena);
    assert(rc == 0 && verdict == SL_JSON_FINE);
    sl_arena_fini(&arena);
}

static inline void fuzz_read(int (*read)(struct sl_slice body, struct otlp_records *records, struct sl_err *err), const uint8_t *data,
                             size_t bytes)
{
    static const struct sl_json_projection nothing = {NULL, 0, true};
    struct sl_json_decoder *decoder = NULL;
    struct otlp_records records;
    struct sl_err err = {.text = ""};
    int rc = sl_json_decoder_new(&nothing, &decoder, &err);

    assert(rc == 0 && bytes < UINT32_MAX);
    otlp_records_init(&records, FUZZ_RECORD_MAX, FUZZ_BODY_MAX);
    rc = read((struct sl_slice){(const char *)data, (uint32_t)bytes}, &records, &err);
    assert(rc == 0 || ((rc == -SL_E_FORMAT || rc == -SL_E_LIMIT) && err.text[0] != '\0'));
    for (uint32_t i = 0; rc == 0 && i < records.count; i++)
        fuzz_is_json(decoder, otlp_record(&records, i));
    assert(records.rejected == 0 || records.why != NULL);
    otlp_records_fini(&records);
    (void)sl_json_decoder_free(decoder);
}

#endif
