/* overlay.h: a file system for looking only: reads come from a folder, every change goes to a scratch folder beside it, so that
 * code which recovers what it opens (the spool cuts torn tails) may run over files that must stay as they are.
 *
 * A file that is opened for writing is copied to the scratch folder first; a name that is removed is only hidden. One thread.
 * Limits: OVERLAY_HIDDEN_MAX removed names.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_CLI_OVERLAY_H
#define SL_RUNTIME_CLI_OVERLAY_H

#include "runtime/base/err.h"
#include "runtime/base/fs.h"

struct sl_overlay;

/* root: the folder to protect; paths given to the file system begin with it. The scratch folder lies in TMPDIR or /tmp. */
int sl_overlay_open(const char *root, struct sl_overlay **ret_overlay, struct sl_err *err);
struct sl_fs *sl_overlay_fs(struct sl_overlay *overlay);
/* Removes the scratch folder. */
struct sl_overlay *sl_overlay_close(struct sl_overlay *overlay);

#endif
