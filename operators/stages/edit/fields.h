/* fields.h: fields of JSON objects set, removed and renamed by their paths: the ground of the stages set, remove, rename and enrich.
 *
 * A record is read (sl_fields_read), the stage wishes something of each field, and the wishes become edits (sl_fields_write).
 * A path's first occurrence in the text is the one that is read, as everywhere; what is removed is removed in every occurrence, and
 * what is set stands once afterwards. Parents that are missing are made, at the end of the nearest parent that exists; one that is no
 * object gives way to an object (unless the wish is soft). Keys are compared with their escapes resolved. Arrays are not descended.
 *
 * Ownership: edits and made texts lie in the arena given. Threads: one instance a slot.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_OPERATORS_STAGES_EDIT_FIELDS_H
#define SL_OPERATORS_STAGES_EDIT_FIELDS_H

#include "runtime/config/field.h"
#include "runtime/config/name.h"
#include "runtime/engine/batch.h"

enum sl_wish_kind {
    SL_WISH_LEAVE,
    SL_WISH_REMOVE,
    SL_WISH_SET,      /* json: the value */
    SL_WISH_SET_SOFT, /* the same, but no value that is there gives way: neither the field's own nor a parent's */
    SL_WISH_RENAME    /* json: the new key, quoted; the field stays where it is */
};

struct sl_wish {
    enum sl_wish_kind kind;
    struct sl_slice json;
};

struct sl_fields;

/* Paths must not lead through one another (sl_fields_clash). They are copied. */
int sl_fields_new(const struct sl_field_path *paths, uint32_t count, struct sl_fields **ret_fields, struct sl_err *err);
struct sl_fields *sl_fields_free(struct sl_fields *fields);

enum sl_fields_found { SL_FIELDS_READ, SL_FIELDS_NO_OBJECT, SL_FIELDS_WRONG, SL_FIELDS_NO_MEMORY };
/* text has SL_PAD readable bytes behind it and stays until the write. NO_OBJECT: JSON, or a payload that is empty, but no object. */
enum sl_fields_found sl_fields_read(struct sl_fields *fields, struct sl_slice text);
/* Of the record just read: the raw JSON of a field's first occurrence; data NULL: it has none. */
struct sl_slice sl_fields_value(const struct sl_fields *fields, uint32_t index);

struct sl_fields_edits { /* of a batch */
    struct sl_edit *edits; /* grown as needed; NULL to begin with, freed by the owner */
    uint32_t count, room;
    uint64_t conflicts; /* parents that gave way to an object, or to which a soft wish gave way */
};
/* wishes[count]: one a path. 0, or -1: no memory. */
int sl_fields_write(struct sl_fields *fields, uint16_t row, const struct sl_wish *wishes, struct sl_arena *arena,
                    struct sl_fields_edits *edits);

/* The fields that a setting names, each the payload's own: `level` means .level; @names are refused, and so are paths that are one
 * another or lead through one another. err->text begins with the setting. */
struct sl_field_names {
    struct sl_name *names;
    struct sl_field_path *paths; /* of the names */
    uint32_t count;
};
int sl_field_names_parse(const char *setting, const char *const *texts, uint32_t count, struct sl_field_names *ret_names,
                         struct sl_err *err);
/* The same of a map's keys. */
int sl_field_names_of_keys(const char *setting, const struct sl_map *map, struct sl_field_names *ret_names, struct sl_err *err);
void sl_field_names_fini(struct sl_field_names *names);

#endif
