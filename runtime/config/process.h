/* process.h: the process file sluice.yaml; every key has a default that works on a laptop.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_CONFIG_PROCESS_H
#define SL_RUNTIME_CONFIG_PROCESS_H

#include "runtime/config/topology.h"

struct sl_spool_config {
    uint64_t hold_bytes, hold_age_ns; /* 10GiB, 7d */
    uint64_t segment_bytes;           /* 64MiB */
    int fsync;                        /* enum sl_spool_fsync of store/spool.h: each, 100ms, off */
    uint32_t partitions;              /* of topics it makes; default 4 */
};

struct sl_process_config {
    const char *path;     /* of the file, or NULL */
    const char *node;     /* default: host name */
    const char *data_dir; /* default ./sluice-data */
    const char *control_socket; /* default data_dir/control.sock */
    const char *control_listen; /* HOST:PORT or NULL */
    struct sl_secret control_token;
    uint32_t workers;     /* default: usable CPUs */
    uint64_t memory_bytes; /* 512MiB */
    uint64_t max_record_bytes; /* 1MiB */
    struct sl_spool_config spool;
    struct sl_connection *connections;
    uint32_t connections_count;
    struct sl_strings topologies; /* files, absolute */
    const char *priorities;
};

/* path NULL: all defaults. Memory belongs to *ret_config. */
int sl_process_load(const char *path, struct sl_diags *diags, struct sl_process_config **ret_config);
struct sl_process_config *sl_process_free(struct sl_process_config *config);
/* The secret's text, malloc'd (caller wipes and frees). */
int sl_secret_resolve(const struct sl_secret *secret, char **ret_text, struct sl_err *err);

/* Settings of the process file and of one of its connections, for the reference docs. */
extern const struct sl_field sl_process_fields[], sl_connection_fields[];

#endif
