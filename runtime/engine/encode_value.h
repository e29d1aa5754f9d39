/* encode_value.h: one value of a record as an encoder writes it: where it comes from, and what its cast makes of it.
 *
 * A value of a JSON record comes with the token that stands there; casts that do not fit make it missing (SL_T_ABSENT).
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_ENGINE_ENCODE_VALUE_H
#define SL_RUNTIME_ENGINE_ENCODE_VALUE_H

#include "runtime/engine/batch.h"

struct sl_encoding_field;

enum { SL_ENCODE_SCRATCH_BYTES = 48 };

struct sl_encode_value {
    enum sl_type type;
    struct sl_slice text;  /* a string's text, else the token */
    struct sl_slice token; /* as JSON, data NULL: to be made */
    char scratch[SL_ENCODE_SCRATCH_BYTES]; /* text may lie here: it goes with the struct */
};

/* column: of a payload field; < 0: others, or none. */
void sl_encode_value(const struct sl_encoding_field *field, int column, const struct sl_view *view, uint32_t row,
                     struct sl_encode_value *value);
/* The text of a column's value, of the level, of the service; data NULL: missing or null. */
struct sl_slice sl_encode_column(const struct sl_view *view, uint32_t row, int column);
struct sl_slice sl_encode_level(const struct sl_decoded *decoded, uint32_t row);
struct sl_slice sl_encode_service(const struct sl_decoded *decoded, uint32_t row);

#endif
