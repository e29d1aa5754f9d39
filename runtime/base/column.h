/* column.h: fields projected out of the records of a batch: one column a field, one row a record.
 * Decoders fill them, conditions, operators and encoders read them; all arrays live in the batch's arena.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_BASE_COLUMN_H
#define SL_RUNTIME_BASE_COLUMN_H

#include "runtime/base/slice.h"

enum { SL_BATCH_RECORDS = 4096, SL_BATCH_BYTES = 1 << 20 };

enum sl_type { SL_T_ABSENT, SL_T_NULL, SL_T_BOOL, SL_T_NUMBER, SL_T_STRING, SL_T_OBJECT, SL_T_ARRAY };

/* value: a string's text with its escapes resolved, else the raw JSON token ("12.5", "true", "{…}").
 * span: the raw token in the payload, a string's quotes included. bytes 0 and type ABSENT where the field is missing. */
struct sl_column {
    struct sl_slice *value; /* [SL_BATCH_RECORDS] */
    struct sl_span *span;
    uint8_t *type;
    uint8_t *repeated; /* the key came twice; the first one is in value */
};

/* The fields that a topology names behind one parse stage. A path of several segments descends objects:
 * {"user","email"} is the field written user.email; {"user.email"} the one written user\.email. */
struct sl_field_path {
    const char *const *segments; /* NUL-terminated; '\0' inside a key cannot be named */
    uint32_t segments_count;
};

enum sl_level { SL_LEVEL_NONE, SL_LEVEL_TRACE, SL_LEVEL_DEBUG, SL_LEVEL_INFO, SL_LEVEL_WARN, SL_LEVEL_ERROR, SL_LEVEL_FATAL, SL_LEVELS };

#endif
