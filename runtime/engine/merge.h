/* merge.h: places the components of a new version of a topology beside those that run, in one index space.
 *
 * A component keeps its index for as long as the process lives: (role, name) decides it. So what is counted, tapped or set aside under an index means
 * the same before and after a swap. Names that the new version has no more stay as rows of role SL_GONE: no config, no inputs.
 * Whether a source or sink runs on untouched is told by the digests of its settings (sl_component.digest).
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_ENGINE_MERGE_H
#define SL_RUNTIME_ENGINE_MERGE_H

#include "runtime/config/topology.h"

enum { SL_MERGE_COMPONENTS_MAX = 2048 }; /* rows, those that are gone included */

enum sl_merge_fate {
    SL_MERGE_NONE,    /* of a row that was gone and still is */
    SL_MERGE_KEPT,    /* sources and sinks: same settings, the instance stays (its inputs may be others) */
    SL_MERGE_SET,     /* sources: other settings, which the instance that runs takes in place (sl_source_kind.change) */
    SL_MERGE_CHANGED, /* same role and name, other settings or another type; operators are always NEW */
    SL_MERGE_NEW,
    SL_MERGE_GONE, /* was there, is not any more: its row's role is SL_GONE */
};

struct sl_merge {
    struct sl_topology *topology; /* the new one in the shared index space; shallow: rows point into `from` or, where kept, into
                                   * whatever the running one's row pointed to. Freed by sl_merge_fini, its rows' memory is not */
    enum sl_merge_fate *fates;    /* [topology->components_count] */
};

/* running: what runs now, in the index space (of a first start: as loaded, its own indices are the space). from: as loaded.
 * A kept row is the running one's with other inputs; every other one is `from`'s. A name that comes back gets its index again, in the same
 * role; in another role it is another row, so look names up among rows that are not SL_GONE. A sink's `was` is left to the caller: the old
 * name's row is GONE, the new one's NEW; it is NULL where there is nothing to take over (no running sink of that name, or this one ran).
 * The order of rows says nothing: inputs may come behind those that read them. Names of gone rows belong to the merge.
 * Refuses what cannot change while it runs, naming what and the remedy: the name, commit.* , dead letters' and sinks' change
 * between committed and acknowledged (SL_SINK_FLUSHED), the source that carries the commit (role SL_SOURCE with SL_SOURCE_KAFKA: its
 * connection and group), consumers. */
int sl_merge(const struct sl_topology *running, const struct sl_topology *from, struct sl_merge *ret_merge, struct sl_err *err);
void sl_merge_fini(struct sl_merge *merge);

#endif
