/* values.h: values that a stage writes into records: constants, and templates that copy what is known of the record.
 *
 * A text with {NAME} is a template: {service} and the other roles, {@topic}, {@key}, {@header:NAME}, or a field of the record
 * ({user.id}, {.level}); {{ and }} are braces. One that is nothing but a name copies the value as it is (a number stays one, an object
 * too); else the values are joined to a text. A name without a value: there is no result.
 * Ownership: results lie in the arena, or live as long as the value.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_OPERATORS_STAGES_EDIT_VALUES_H
#define SL_OPERATORS_STAGES_EDIT_VALUES_H

#include "runtime/base/buf.h"
#include "runtime/config/name.h"
#include "runtime/engine/op.h"

struct sl_value_part {
    struct sl_slice text; /* literal; data NULL: a name */
    struct sl_name name;
    int column; /* of a field, or -1 */
};

struct sl_value {
    struct sl_slice json; /* a constant; data NULL: the parts */
    struct sl_value_part *parts;
    uint32_t count;
    char *memory; /* of texts */
};

/* json: any JSON value; only texts may be templates. names NULL: only checked. */
int sl_value_open(const char *json, struct sl_names *names, struct sl_value *ret_value, struct sl_err *err);
void sl_value_close(struct sl_value *value);
/* The JSON text for a record. 1; 0: a name has no value; -1: no memory. scratch: the caller's, reused. */
int sl_value_of(const struct sl_value *value, const struct sl_view *view, uint16_t row, struct sl_buf *scratch, struct sl_slice *ret_json);

/* What is known of a record under a name: its type, and as in struct sl_column its value. Times are RFC 3339 texts in `text`. */
enum { SL_VALUE_TIME_BYTES = 32 };
enum sl_type sl_value_cell(const struct sl_view *view, const struct sl_name *name, int column, uint16_t row,
                           char text[SL_VALUE_TIME_BYTES], struct sl_slice *ret_value);

#endif
