/* tap.h: the server's side of `sluice tap`: a stream of what a stage lets out.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_CLI_TAP_H
#define SL_RUNTIME_CLI_TAP_H

#include "runtime/base/buf.h"
#include "runtime/control/control.h"

struct sl_host;

enum { SL_TAP_RATE = 100, SL_TAP_RATE_MAX = 10000 }; /* records a second */

/* As sl_control_source.tap: path is TOPOLOGY/STAGE or TOPOLOGY/STAGE/RATE. Lines: the records (slot/tap.h), and once a second
 * {"tap":{"shown":…,"passed":…,"lost":…}} where something came. Refused upstream of a redact operator. */
int sl_tap_serve(struct sl_host *host, const char *path, struct sl_control_stream **ret_stream, struct sl_buf *json);

#endif
