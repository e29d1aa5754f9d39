/* topology.h: a checked topology file: components with their settings, wired. Made by sl_topology_load, read by the engine.
 * All memory belongs to the topology and dies with sl_topology_free.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_CONFIG_TOPOLOGY_H
#define SL_RUNTIME_CONFIG_TOPOLOGY_H

#include "runtime/config/diag.h"
#include "runtime/config/kind.h"

/* SL_PAST: made by the engine only: a source that is not read (slot/replay.h). */
enum sl_role { SL_SOURCE, SL_OPERATOR, SL_SINK, SL_PAST };
enum sl_when_full { SL_FULL_WAIT, SL_FULL_SPOOL, SL_FULL_DEFER, SL_FULL_SHED };
struct sl_encoding; /* encoding.h */

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
};

struct sl_input {
    uint32_t component; /* index into components */
    uint32_t port;      /* of a router, else 0 */
};

struct sl_component {
    enum sl_role role;
    const char *name, *type;
    const struct sl_head *head; /* of the kind; cast by role */
    void *config;               /* head->config_bytes, filled */
    struct sl_sink_common sink; /* role SL_SINK only */
    struct sl_input *inputs;
    uint32_t inputs_count;
    uint32_t line, column;
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
    const char *name, *path, *base_dir;
    struct sl_component *components; /* sources, then operators in an order where inputs come first, then sinks */
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
    uint64_t digest; /* of the resolved configuration */
};

struct sl_process_config; /* process.h */

/* Reads, substitutes ${VAR}, checks everything that needs no network. Every problem found is added to diags (not only the first);
 * 0 and *ret_topology only when none is an error. process may be NULL (defaults). */
int sl_topology_load(const char *path, const struct sl_registry *registry, const struct sl_process_config *process,
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
