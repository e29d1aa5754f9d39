/* fields.h: from the fields that a format found in a record to its row of the columns and to its body.
 *
 * A format tells at open which fields its records may have (fields with a fixed place: CLF, groups of a pattern, columns), or nothing
 * (keys come with the record: logfmt). For each record it then gives one member a field; columns and casts are looked up here.
 * A field is one key of the record: a path of several segments leads into a value that is an object, and is its format's own affair (syslog.c).
 * Ownership: bodies and cast values lie in the batch's arena. Threads: an instance belongs to its format's instance.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_OPERATORS_STAGES_FORMATS_FIELDS_H
#define SL_OPERATORS_STAGES_FORMATS_FIELDS_H

#include "operators/stages/formats/format.h"

enum { SL_FORMAT_MEMBERS = 1024, SL_FORMAT_NO_FIELD = -1 }; /* members of one record; rows above are set aside as SL_FORMAT_MANY */

/* A string's text with nothing escaped, or the JSON token of another type. Absent: the record has no such field. */
struct sl_format_value {
    struct sl_slice text;
    uint8_t type; /* enum sl_type */
};

struct sl_format_member {
    int field;           /* its index among the known ones, or SL_FORMAT_NO_FIELD: see key */
    struct sl_slice key; /* only read with SL_FORMAT_NO_FIELD; SL_PAD readable bytes behind it */
    struct sl_format_value value;
};

struct sl_format_fields;

/* names: the known fields. Of the projection, paths of one segment are the fields of that name. `err` also where config->types names
 * a field that cannot be, or a type that is unknown. */
int sl_format_fields_new(const struct sl_format_open *open, const char *const *names, uint32_t count,
                         struct sl_format_fields **ret_fields, struct sl_err *err);
struct sl_format_fields *sl_format_fields_free(struct sl_format_fields *fields);
/* Before the rows of a batch. */
void sl_format_fields_batch(struct sl_format_fields *fields, const struct sl_format_batch *batch);
/* The record of a row. Of two members with one key the first counts. Known fields come at most once each. Values are changed where
 * they are cast. 0, or -1: the arena is over budget. */
int sl_format_fields_put(struct sl_format_fields *fields, uint16_t row, struct sl_format_member *members, uint32_t count);
/* Where the known field's token begins in the body that was put last; only after a put with that field. */
uint32_t sl_format_fields_at(const struct sl_format_fields *fields, uint32_t field);
/* Whether anybody wants the known field: its column or the body. */
bool sl_format_fields_wanted(const struct sl_format_fields *fields, uint32_t field);

/* A role that the user points at a field, must be one of the known fields. */
int sl_format_roles_check(const struct sl_format_config *config, const char *const *names, uint32_t count, struct sl_err *err);
/* config->types at `sluice check`: known types only; names NULL: any field may be named. */
int sl_format_types_check(const struct sl_format_config *config, const char *const *names, uint32_t count, struct sl_err *err);

static inline struct sl_format_value sl_format_string(const char *data, size_t bytes)
{
    return (struct sl_format_value){{data, (uint32_t)bytes}, SL_T_STRING};
}

static inline struct sl_format_value sl_format_null(void)
{
    return (struct sl_format_value){{"null", 4}, SL_T_NULL};
}

/* The record of a row as text: without the CR and LF at its end, valid UTF-8 (a copy where it was not), SL_PAD readable bytes behind
 * it. 0, or -1: over budget. */
int sl_format_line(const struct sl_format_batch *batch, uint16_t row, struct sl_slice *ret_line);

#endif
