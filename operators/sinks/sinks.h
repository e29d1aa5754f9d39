/* sinks.h: the sink kinds of this folder, for operators/registry.c and tests.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_OPERATORS_SINKS_SINKS_H
#define SL_OPERATORS_SINKS_SINKS_H

#include "runtime/engine/op.h"

extern const struct sl_sink_kind sl_sink_files, sl_sink_stdout, sl_sink_blackhole, sl_sink_kafka, sl_sink_http;
#ifdef SLUICE_OPENSEARCH
extern const struct sl_sink_kind sl_sink_opensearch;
#endif

#endif
