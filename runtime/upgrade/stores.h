/* stores.h: whether this version can read what an older or newer one has written under data_dir, found out without its lock.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_UPGRADE_STORES_H
#define SL_RUNTIME_UPGRADE_STORES_H

#include "runtime/base/err.h"
#include "runtime/base/fs.h"

/* Reads the first bytes of each store's files while another process writes to them: data_dir's own, commit logs, spool topics,
 * generations. 0, or SL_E_FORMAT for the first that only a newer version can read. What is not there yet, or is just being replaced, is
 * passed over: the opening judges the rest. */
int sl_upgrade_stores(struct sl_fs *fs, const char *data_dir, struct sl_err *err);

#endif
