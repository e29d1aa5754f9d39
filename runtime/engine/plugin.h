/* plugin.h: the interface of operators that are built outside of Sluice (`type: plugin`). It is installed as sluice/plugin.h, needs
 * nothing but the C library, and leaves no symbol to be found at link: all that a plugin asks of Sluice goes through the table `api`.
 *
 * A plugin is a shared object that exports one function, `const struct sl_plugin *sl_plugin(void)`. What it returns is copied; the
 * code stays loaded as long as its version of the topology, a newer version's is loaded beside it, and it is unloaded behind its last
 * close(). So nothing of it may stay: no thread, signal handler, pthread key. What it knows begins anew with every version.
 *
 * Threads: an instance (self) belongs to one thread; it takes no lock, starts no thread, waits for nothing. Several instances run at
 * once, so state lies in self, never in a static variable.
 * Memory: what view points to, and what api->alloc gives, dies when process() returns.
 * Versions: a plugin is taken when its major is Sluice's; minor versions only append members, told by `bytes`.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SLUICE_PLUGIN_H
#define SLUICE_PLUGIN_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define SL_PLUGIN_MAGIC 0x534c5047u
#define SL_PLUGIN_MAJOR 1u
#define SL_PLUGIN_MINOR 0u
#define SL_PLUGIN_PAD 64u /* bytes that may be read behind every text of a record */

/* ---- settings ---- */

/* The C type behind each, at `offset` of the settings. */
enum sl_plugin_type {
    SL_PLUGIN_STRING,      /* const char * */
    SL_PLUGIN_BOOL,        /* bool */
    SL_PLUGIN_U64,         /* uint64_t */
    SL_PLUGIN_BYTES,       /* uint64_t: 128MiB */
    SL_PLUGIN_DURATION,    /* uint64_t nanoseconds: 60s */
    SL_PLUGIN_SHARE,       /* double 0..1: 10% */
    SL_PLUGIN_ENUM,        /* int, index into `values` */
    SL_PLUGIN_STRINGS,     /* struct sl_plugin_strings */
    SL_PLUGIN_MAP,         /* struct sl_plugin_map */
    SL_PLUGIN_FIELD_NAME,  /* const char *: a field of the record */
    SL_PLUGIN_INPUT_PATH,  /* const char *: a file, relative to the topology's file; absolute here */
    SL_PLUGIN_TYPES
};

struct sl_plugin_strings {
    const char *const *items;
    uint32_t count;
};

struct sl_plugin_pair {
    const char *name, *value;
    uint32_t line, column; /* in the topology's file */
};

struct sl_plugin_map {
    const struct sl_plugin_pair *items;
    uint32_t count;
};

struct sl_plugin_field {
    const char *name; /* NULL ends the list; in snake_case */
    uint32_t type;    /* enum sl_plugin_type */
    uint32_t required;
    size_t offset;
    const char *def;           /* as a user would write it, or NULL */
    const char *min, *max;     /* likewise */
    const char *const *values; /* SL_PLUGIN_ENUM: NULL-terminated */
    const char *help;          /* one sentence */
};

/* ---- records ---- */

enum sl_plugin_fate { SL_PLUGIN_LIVE = 0, SL_PLUGIN_FILTERED = 2, SL_PLUGIN_DEAD = 6 };
enum sl_plugin_value { SL_PLUGIN_ABSENT, SL_PLUGIN_NULL, SL_PLUGIN_TRUTH, SL_PLUGIN_NUMBER, SL_PLUGIN_TEXT, SL_PLUGIN_OBJECT, SL_PLUGIN_ARRAY };
enum sl_plugin_level { SL_PLUGIN_NO_LEVEL, SL_PLUGIN_TRACE, SL_PLUGIN_DEBUG, SL_PLUGIN_INFO, SL_PLUGIN_WARN, SL_PLUGIN_ERROR, SL_PLUGIN_FATAL };

struct sl_plugin_slice { /* never NUL-terminated */
    const char *data;
    uint32_t bytes;
};

struct sl_plugin_span {
    uint32_t at, bytes;
};

/* A field of all records. value: a string's text with its escapes resolved, else the JSON token; span: where the token stands in the
 * record's text, a string's quotes included. NULL arrays: nobody has read the field (the records were not parsed). */
struct sl_plugin_column {
    struct sl_plugin_slice *value;
    struct sl_plugin_span *span;
    uint8_t *type;     /* enum sl_plugin_value */
    uint8_t *repeated; /* the key came twice; the first one is in value */
};

/* A batch as this stage sees it. Arrays are indexed by row; `rows` are those that are still on their way, ascending. */
struct sl_plugin_view {
    uint32_t count;
    const uint16_t *rows;
    uint32_t rows_count;
    const struct sl_plugin_slice *text;    /* the records */
    const struct sl_plugin_column *columns; /* by the index that api->column gave */
    uint32_t columns_count;
    const int64_t *time_unix_ms;
    const uint32_t *service; /* api->service gives the name; or NULL */
    const uint8_t *level;    /* enum sl_plugin_level; or NULL */
    const uint64_t *offset;
    const struct sl_plugin_slice *key; /* or NULL */
    const char *topic, *partition;
    bool json;     /* the texts are JSON values */
    uint8_t *fate; /* set SL_PLUGIN_FILTERED to drop a record; api->dead sets one aside */
    void *engine;
};

struct sl_plugin_err {
    char text[400];
};

/* Functions that return int give 0, or -1 where memory is short or an argument is wrong: give process() up then, with -1. */
struct sl_plugin_api {
    uint32_t bytes;
    uint16_t major, minor;
    void *env;
    const char *topology, *component, *base_dir;
    uint32_t slot, slots; /* this is instance `slot` of `slots` */
    uint64_t (*now_ns)(void *env); /* monotonic, read once a batch */
    int64_t (*unix_ms)(void *env);
    uint64_t (*random)(void *env);
    void (*log)(void *env, const char *text); /* rate limited */
    /* In open() only: the column of a field of the payload such as user.email; < 0: err says why. */
    int (*column)(void *env, const char *field, struct sl_plugin_err *err);
    struct sl_plugin_slice (*service)(uint32_t service);
    /* In process() only. */
    void *(*alloc)(struct sl_plugin_view *view, size_t bytes); /* NULL: over budget */
    int (*edit)(struct sl_plugin_view *view, uint16_t row, struct sl_plugin_span cut, struct sl_plugin_slice paste);
    int (*replace)(struct sl_plugin_view *view, uint16_t row, struct sl_plugin_slice text); /* copied; must be a JSON object */
    int (*derive)(struct sl_plugin_view *view, uint16_t row, struct sl_plugin_slice text);  /* a further record; see flags */
    int (*dead)(struct sl_plugin_view *view, uint16_t row, const char *reason);             /* a dead letter; copied */
};

enum sl_plugin_flags { SL_PLUGIN_DERIVES = 1 /* may call api->derive */ };

struct sl_plugin {
    uint32_t magic; /* SL_PLUGIN_MAGIC */
    uint16_t major, minor;
    uint32_t bytes; /* sizeof(struct sl_plugin) */
    uint32_t flags;
    const char *name, *version, *summary;
    const struct sl_plugin_field *fields; /* ended by a row without a name; or NULL */
    size_t settings_bytes, self_bytes;    /* both are zeroed memory of Sluice's */
    int (*check)(const void *settings, struct sl_plugin_err *err); /* at `sluice check` and start; may be NULL */
    int (*open)(void *self, const struct sl_plugin_api *api, const void *settings, struct sl_plugin_err *err); /* may be NULL */
    int (*process)(void *self, struct sl_plugin_view *view, struct sl_plugin_err *err); /* -1: the topology is stopped */
    void (*close)(void *self); /* accepts a self whose open failed; may be NULL */
};

/* Fills err and gives -1. */
__attribute__((format(printf, 2, 3), unused)) static int sl_plugin_fail(struct sl_plugin_err *err, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(err->text, sizeof(err->text), format, args);
    va_end(args);
    return -1;
}

#define SL_PLUGIN_EXPORT __attribute__((visibility("default")))
#ifdef __cplusplus
extern "C"
#endif
SL_PLUGIN_EXPORT const struct sl_plugin *sl_plugin(void);

#endif
