/* template.h: path templates: literal text with {service} {day} {topic} …, taken apart once, filled
 * in per record by the sinks. Constant after parsing; memory belongs to the configuration's pool.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_CONFIG_TEMPLATE_H
#define SL_RUNTIME_CONFIG_TEMPLATE_H

#include "runtime/config/name.h"

struct sl_pool;

enum sl_part_kind {
    SL_PART_LITERAL, /* text, as it is */
    SL_PART_NAME, /* a role, @topic, @key, @header:NAME or a payload field, by sl_template_value */
    SL_PART_DAY,  /* YYYY-MM-DD of the record's time, UTC */
    SL_PART_HOUR, /* 00-23 */
    SL_PART_PARTITION, /* the partition's id */
};

struct sl_part {
    enum sl_part_kind kind;
    struct sl_slice text; /* SL_PART_LITERAL; NUL-terminated too */
    struct sl_name name;  /* SL_PART_NAME */
};

struct sl_template {
    const char *text; /* as written */
    const struct sl_part *parts;
    uint32_t count; /* 0: the empty path */
};

enum { SL_TEMPLATE_VALUE_BYTES = 128, SL_TEMPLATE_BYTES = 1024, SL_TEMPLATE_PARTS = 32 };

/* Refused: absolute, empty or dotted (. and ..) segments, a first segment that begins with a dot
 * (.sluice is ours), braces that do not pair, unknown @names, control characters, more than
 * SL_TEMPLATE_BYTES or SL_TEMPLATE_PARTS. err->text ends in the remedy. */
int sl_template_parse(struct sl_pool *pool, const char *text,
                      const struct sl_template **ret_template, struct sl_err *err);

/* A value as one piece of a path: all but [A-Za-z0-9._-] percent-encoded, at most
 * SL_TEMPLATE_VALUE_BYTES and never cut inside an escape; empty is __none__. A leading dot is
 * encoded too: so a value is never . or .., and never our own .sluice. Returns the bytes written;
 * no NUL. */
uint32_t sl_template_value(struct sl_slice value, char out[SL_TEMPLATE_VALUE_BYTES]);

#endif
