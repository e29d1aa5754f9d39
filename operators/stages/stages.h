/* stages.h: the operator kinds of this folder, for operators/registry.c and tests.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_OPERATORS_STAGES_STAGES_H
#define SL_OPERATORS_STAGES_STAGES_H

#include "runtime/engine/op.h"

extern const struct sl_op_kind sl_op_parse, sl_op_filter, sl_op_route, sl_op_sample;
extern const struct sl_op_kind sl_op_set, sl_op_remove, sl_op_rename, sl_op_redact, sl_op_dedupe, sl_op_enrich;
extern const struct sl_op_kind sl_op_plugin;
extern const struct sl_op_kind sl_op_lua; /* with SLUICE_LUA only */

#endif
