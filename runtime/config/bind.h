/* bind.h: fills structs from YAML mappings by rows of settings (field.h), says everything that is
 * wrong with them, prints the rows as reference docs and hashes what was bound.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_CONFIG_BIND_H
#define SL_RUNTIME_CONFIG_BIND_H

#include <stdio.h>

#include "runtime/config/diag.h"
#include "runtime/config/field.h"
#include "runtime/config/later.h"
#include "runtime/config/yaml.h"

struct sl_pool;

struct sl_input_file; /* topology.h */
struct sl_inputs {
    struct sl_input_file *items; /* in the order in which they were bound */
    uint32_t count;
};

struct sl_bind {
    struct sl_pool *pool;
    struct sl_diags *diags;
    const char *file;
    const char *base_dir;     /* input paths are relative to it */
    const char *kept_dir;     /* input paths are looked for in this folder of a generation (kept.h); NULL: where they are */
    struct sl_inputs *inputs; /* gets each input path; NULL: nobody asks */
};

/* One table of rows and the struct it fills. */
struct sl_bind_part {
    const struct sl_field *fields;
    void *config; /* zeroed */
};

/* A mapping whose keys come from several tables, plus words that the caller reads itself. */
struct sl_bind_map {
    const struct sl_bind_part *parts;
    uint32_t parts_count;
    const char *const *own;       /* NULL-terminated, or NULL */
    const struct sl_later *later; /* keys refused as not built, or NULL */
    const char *setting;          /* dotted name of the mapping; "" at the top */
    bool extensions;              /* keys that begin with x- are left alone (a place for anchors) */
};

/* False where something was refused. `node` may be NULL: defaults only (the place of a missing
 * required setting is then 0:0). */
bool sl_bind_fill(struct sl_bind *bind, const struct sl_bind_map *map, const struct sl_yaml *node);
/* "sinks.landing" and "path" -> "sinks.landing.path". */
const char *sl_bind_setting(struct sl_bind *bind, const char *prefix, const char *name);
/* How a node is called in a message: a list, a mapping, nothing, or the text in quotes. Pool
 * memory. */
const char *sl_bind_found(struct sl_bind *bind, const struct sl_yaml *node);
/* [A-Za-z0-9_-]{1,64} */
bool sl_bind_is_name(const char *text);
/* Of a file's content; 0 where it cannot be read. in_place: above 64 MiB of its size and time of change. */
uint64_t sl_digest_file(const char *path, bool in_place);

/* Reference docs in Markdown: a table of name, type, default, bounds and help. Nested rows come as
 * `roll.bytes`. */
void sl_fields_print(const struct sl_field *fields, FILE *out);
/* Chains over the bound values, defaults included: equal settings give equal hashes however they were written. Of input paths only
 * whether they are set: digest.c adds what they are. `now`: what secrets hold at this moment, too, and base_dir where a setting names
 * files below it. */
uint64_t sl_fields_hash(const struct sl_field *fields, const void *config, const char *base_dir, bool now, uint64_t seed);
/* Of a secret, likewise. Nothing of it can be told from the hash of one that is hard to guess; it is never stored. */
uint64_t sl_secret_hash(const struct sl_secret *secret, const char *base_dir, bool now, uint64_t seed);

#endif
