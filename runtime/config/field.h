/* field.h: settings as data: one row a setting, read from YAML into a struct by offset, printed into the reference docs.
 * A setting out of its bounds is refused with the row's own words, never repaired.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_CONFIG_FIELD_H
#define SL_RUNTIME_CONFIG_FIELD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The C type behind each, at `offset`. Memory behind pointers belongs to the loaded configuration and lives as long. */
enum sl_field_type {
    SL_F_STRING,      /* const char *                                    */
    SL_F_BOOL,        /* bool                                            */
    SL_F_U64,         /* uint64_t                                        */
    SL_F_BYTES,       /* uint64_t, 128MiB                                */
    SL_F_DURATION,    /* uint64_t nanoseconds, 60s                       */
    SL_F_RATE,        /* double per second, 5000/s                       */
    SL_F_SHARE,       /* double 0..1, 10%                                */
    SL_F_ENUM,        /* int, index into `values`                        */
    SL_F_STRINGS,     /* struct sl_strings                               */
    SL_F_MAP,         /* struct sl_map, string to string                 */
    SL_F_CONDITION,   /* struct sl_cond *, parsed and checked            */
    SL_F_CONDITIONS,  /* struct sl_named_conds: name to condition (route)*/
    SL_F_FIELD_NAME,  /* const char *, syntax of a field checked         */
    SL_F_TEMPLATE,    /* struct sl_template *, path template checked     */
    SL_F_SECRET,      /* struct sl_secret                                */
    SL_F_INPUT_PATH,  /* const char *, made absolute against the topology's file  */
    SL_F_OUTPUT_PATH, /* const char *, left relative: data_dir is joined at open  */
    SL_F_STRUCT,      /* nested mapping: `sub` rows at this offset       */
    SL_F_VALUES,      /* struct sl_map, name to JSON text of any value   */
};

struct sl_strings { const char *const *items; uint32_t count; };
struct sl_pair { const char *name, *value; uint32_t line, column; };
struct sl_map { const struct sl_pair *items; uint32_t count; };
struct sl_named_cond { const char *name; struct sl_cond *cond; };
struct sl_named_conds { const struct sl_named_cond *items; uint32_t count; };
struct sl_secret { const char *env, *file, *plain; }; /* exactly one is set; resolved by sl_secret_resolve at use */

enum sl_field_flags {
    SL_F_REQUIRED = 1,
    SL_F_OUTDATED = 2,
    SL_F_IN_PLACE = 4,    /* input path: the file changes while it is used (tables that are read again, certificates): a kept version
                           * reads it where it was, and its own copy only where that is gone */
    SL_F_NOT_KEPT = 8,    /* input path, with SL_F_IN_PLACE: no copy is made (keys) */
    SL_F_BELOW_BASE = 16, /* strings: paths below the folder of the topology's file, which are not copied: logs */
};

struct sl_field {
    const char *name; /* NULL ends the list */
    enum sl_field_type type;
    uint32_t flags;
    size_t offset;
    const char *def;       /* as a user would write it; NULL: none (zero) */
    const char *min, *max; /* likewise, or NULL */
    const char *const *values; /* SL_F_ENUM: NULL-terminated */
    const struct sl_field *sub; /* SL_F_STRUCT */
    const char *help;      /* one sentence */
};

#define SL_FIELD(owner, member, kind, ...) {.name = #member, .type = kind, .offset = offsetof(struct owner, member), __VA_ARGS__}

#endif
