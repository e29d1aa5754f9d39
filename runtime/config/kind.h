/* kind.h: what every source, operator and sink says of itself, and the registry that lists them all. The configuration and
 * the reference docs read these tables; the engine's interfaces (engine/op.h) begin with one.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_CONFIG_KIND_H
#define SL_RUNTIME_CONFIG_KIND_H

#include "runtime/base/err.h"
#include "runtime/config/field.h"

#define SL_ABI_MAJOR 1u
#define SL_ABI_MINOR 0u

struct sl_api;
struct sl_bind;
struct sl_yaml;

struct sl_counter { /* a metrics row */
    const char *name, *unit, *help;
};

/* First member of every kind. Tables are const, rows of NULL end lists. */
struct sl_head {
    uint16_t major, minor;
    uint32_t bytes;                /* sizeof the kind */
    const char *name;              /* the configuration's keyword */
    const char *summary;           /* one sentence for docs */
    const char *example;           /* a YAML flow mapping that passes `check` */
    const struct sl_field *fields; /* settings, filled into config_bytes of zeroed memory */
    size_t config_bytes, self_bytes;
    const struct sl_counter *counters;
    const char *const *reasons;    /* of dead letters; row 0 unused */
    /* Further checks across settings at `check`; nothing is opened. err->text names the setting. May be NULL. */
    int (*check)(const void *config, struct sl_err *err);
    /* Once per process and component before any open(); the result lands in api->shared. May be NULL. */
    int (*share)(const struct sl_api *api, const void *config, void **ret_shared, struct sl_err *err);
    void (*unshare)(void *shared);
    /* Binds what no row of `fields` can say (settings by a plugin's own rows), after them: `node` is the component's mapping, `setting`
     * its name in messages. False where something was refused, with diags (config/bind.h). May be NULL. */
    bool (*bind)(struct sl_bind *bind, const struct sl_yaml *node, const char *setting, void *config);
};

struct sl_op_kind;
struct sl_source_kind;
struct sl_sink_kind;

/* NULL-terminated lists; each kind's first member is its struct sl_head. */
struct sl_registry {
    const struct sl_source_kind *const *sources;
    const struct sl_op_kind *const *operators;
    const struct sl_sink_kind *const *sinks;
};

#endif
