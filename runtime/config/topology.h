/* topology.h: a checked topology file: components with their settings, wired. Made by sl_topology_load, read by the engine.
 * All memory belongs to the topology and dies with sl_topology_free.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_CONFIG_TOPOLOGY_H
#define SL_RUNTIME_CONFIG_TOPOLOGY_H

#include "runtime/config/diag.h"
#include "runtime/config/kind.h"

/* SL_PAST: made by the engine only: a source that is not read (slot/replay.h). SL_GONE: made by engine/merge.c only: a component that a
 * newer version of the topology has no more; it has a name and nothing else (head and config are NULL). */
enum sl_role { SL_SOURCE, SL_OPERATOR, SL_SINK, SL_PAST, SL_GONE };
enum sl_when_full { SL_FULL_WAIT, SL_FULL_SPOOL, SL_FULL_DEFER, SL_FULL_SHED };
struct sl_encoding; /* encoding.h */
struct sl_yaml;     /* yaml.h */

/* What every sink has beside its kind's own settings. */
struct sl_sink_common {
    bool required;
    int when_full;       /* enum sl_when_full */
    uint64_t queue_bytes, queue_age_ns; /* when_full: spool: limits of the queue; age 0: none */
    bool queue_lose;     /* beyond them records are lost, counted; else reading waits */
    struct sl_cond *where; /* or NULL */
    uint64_t backoff_min_ns, backoff_max_ns; /* retry: { backoff: 100ms..30s } written backoff_min, backoff_max */
    const struct sl_encoding *encoding; /* NULL: codec raw */
    bool refused_drop;   /* on_refused: drop */
    uint64_t deadline_ns; /* retry.deadline; 0: none */
    uint64_t batch_bytes, batch_records, batch_every_ns; /* of a request */
    bool reachable;      /* require: reachable: a deployment asks the back-end first (engine/reach.h) */
    const char *was; /* the sink's name in the version before: marks, zone and queue go on under the new one. NULL: none */
};

struct sl_input {
    uint32_t component; /* index into components */
    uint32_t port;      /* of a router, else 0 */
};

struct sl_component {
    enum sl_role role;
    enum sl_role gone_role; /* role SL_GONE: what it was */
    const char *name, *type;
    const struct sl_head *head; /* of the kind; cast by role */
    void *config;               /* head->config_bytes, filled */
    struct sl_sink_common sink; /* role SL_SINK only */
    struct sl_input *inputs;
    uint32_t inputs_count;
    uint32_t line, column;
    const struct sl_yaml *written; /* its mapping, sets in it */
    const void *common;            /* SL_SINK: sl_sink_common_fields as bound, for comparisons; else NULL */
    /* Of all that its behaviour depends on but its inputs: type, settings with ${VAR} filled in, what every sink has, the connection it
     * names, and what its files and secrets hold at this moment. Not of its name nor of where the topology lies, unless it reads
     * files below that folder (SL_F_BELOW_BASE). Of two loads in one process: equal means that an open instance may stay. */
    uint64_t digest;
};

/* A file that a setting names (SL_F_INPUT_PATH). */
struct sl_input_file {
    const char *setting; /* "operators.enrich.script" */
    const char *written; /* as the topology says it */
    const char *named;   /* as written, without what says nothing (./, //) */
    const char *path;    /* where it was read */
    const char *kept;    /* its name in a generation's folder; NULL: not copied (SL_F_NOT_KEPT), or an earlier row copies it */
    bool in_place;       /* SL_F_IN_PLACE: read where it lies, not part of topology.digest */
    uint64_t digest;     /* of its content (in place and above 64 MiB: of size and time of change); 0: it could not be read */
};

struct sl_connection { /* of sluice.yaml or inline */
    const char *name;
    struct sl_strings brokers;
    const char *security_protocol, *sasl_mechanism, *sasl_username;
    struct sl_secret sasl_password;
    const char *ca, *certificate, *key; /* PEM files */
    struct sl_map librdkafka;           /* passed through */
};

enum sl_commit_mode { SL_COMMIT_AUTO, SL_COMMIT_TRANSACTION, SL_COMMIT_OFFSETS };

struct sl_topology {
    const char *name, *path;
    const char *base_dir; /* the folder where the topology was deployed from: sources' files are relative to it */
    struct sl_component *components; /* as loaded: sources, then operators in an order where inputs come first, then
                                      * sinks. As merged (engine/merge.h): in no order, rows of role SL_GONE between them */
    uint32_t components_count, sources_count, operators_count, sinks_count;
    int dead_letters; /* component index of the dead-letter sink (role SL_SINK, no inputs); always one, default files dir: dead */
    uint64_t memory_bytes; /* 0: an equal part of the process's */
    uint32_t consumers;    /* 0: the default rule */
    int commit_mode;       /* enum sl_commit_mode */
    const char *commit_topic;
    uint64_t commit_every_ns; /* 0: not set */
    const struct sl_connection *connections; /* those of the process file */
    uint32_t connections_count;
    uint64_t max_age_ns, max_future_ns; /* rule A5 */
    /* Which version it is: of the resolved configuration and of what the files hold that travel with it (scripts, plugins, schemas).
     * Not of what changes in place while it runs (secrets, certificates, tables that are read again): a restart after a rotated
     * certificate finds the same version. Not of base_dir. */
    uint64_t digest;
    uint64_t digest_now; /* and of those as well: a deployment changes nothing where both are equal */
    const struct sl_input_file *inputs; /* by setting */
    uint32_t inputs_count;
    struct sl_strings sets; /* it was loaded with: "PATH=VALUE" */
    const struct sl_yaml *written; /* the whole, sets in it */
    const void *settings;          /* sl_topology_fields as bound, for comparisons */
};

struct sl_process_config; /* process.h */

/* Reads, substitutes ${VAR}, checks everything that needs no network. Every problem found is added to diags (not only the first);
 * 0 and *ret_topology only when none is an error. process may be NULL (defaults). */
int sl_topology_load(const char *path, const struct sl_registry *registry, const struct sl_process_config *process,
                     struct sl_diags *diags, struct sl_topology **ret_topology);
/* And with some settings said otherwise (set.h): sets are PATH=VALUE, such as operators.enrich.script=v2.lua; the last of a path wins. */
int sl_topology_load_set(const char *path, const struct sl_strings *sets, const struct sl_registry *registry,
                         const struct sl_process_config *process, struct sl_diags *diags, struct sl_topology **ret_topology);
/* Of a generation's folder, see kept.h. */
int sl_topology_load_kept(const char *dir, const struct sl_registry *registry, const struct sl_process_config *process,
                          struct sl_diags *diags, struct sl_topology **ret_topology);
struct sl_topology *sl_topology_free(struct sl_topology *topology);

/* The memory split of DESIGN.md 4.7. */
struct sl_memory_plan {
    uint64_t total_bytes;
    uint64_t queues_bytes, lanes_bytes, batches_bytes, tables_bytes; /* 40 %, 30 %, 20 %, 10 % */
    uint32_t consumers;
    uint64_t need_bytes; /* the least total that holds `consumers` */
};
/* memory_bytes: what the process gives this topology when it says no `memory:` of its own. consumers: what the default rule gives
 * when it says none. Refuses what cannot hold, with the plan filled all the same. err->text ends in "; REMEDY". */
int sl_topology_memory(const struct sl_topology *topology, uint64_t memory_bytes, uint32_t consumers, uint64_t max_record_bytes,
                       struct sl_memory_plan *ret_plan, struct sl_err *err);
/* The lines that `check` prints of a plan; as snprintf. */
int sl_memory_print(const struct sl_memory_plan *plan, char *out, size_t bytes);

/* Settings of a topology's top level and of every sink, for the reference docs. */
extern const struct sl_field sl_topology_fields[], sl_sink_common_fields[];

#endif
