/* kept.h: what a generation's folder holds of a topology, so that it loads again from there as it was deployed.
 *
 * DIR/topology.yaml  the file as written, ${VAR} not filled in
 * DIR/origin         where it was deployed from and with which --set: lines, see kept.c
 * DIR/PATH           an input with a relative path, at that path
 * DIR/.inputs/HASH/NAME  an input with an absolute path or one with .. in it; HASH is of the path as written
 *
 * To keep a topology that sl_topology_load(_set) or sl_topology_load_kept gave: write sl_kept_origin()'s text to a file; copy
 * topology->path to topology.yaml, that file to origin, and of topology->inputs each row's `path` to its `kept` (rows whose kept is NULL
 * are not copied). Then load the copy by sl_topology_load_kept(DIR) and run that: its digest is the one to write down (files may
 * change while they are copied). What is loaded so has base_dir, sets and digest of the original, though that may be gone.
 * Outputs need nothing: they are relative to data_dir. `sluice test`, file sources and inputs that are read in place
 * (SL_F_IN_PLACE) go on using the original folder.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_CONFIG_KEPT_H
#define SL_RUNTIME_CONFIG_KEPT_H

#include "runtime/config/topology.h"

#define SL_KEPT_TOPOLOGY "topology.yaml"
#define SL_KEPT_ORIGIN "origin"

struct sl_pool;

/* Text of DIR/origin, NUL-terminated, malloc'd; NULL: no memory. */
char *sl_kept_origin(const struct sl_topology *topology);
/* DIR/origin, read; memory is the pool's. */
int sl_kept_origin_read(struct sl_pool *pool, const char *dir, const char **ret_base_dir, struct sl_strings *ret_sets, struct sl_err *err);
/* A path without what says nothing in it: ./ and //; the pool's. */
const char *sl_kept_plain(struct sl_pool *pool, const char *written);
/* The name in a generation's folder of an input that is written so; the pool's. */
const char *sl_kept_name(struct sl_pool *pool, const char *written);

#endif
