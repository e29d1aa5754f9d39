/* registry.c: the one list of sources, operators and sinks: to add one, write its file and its row here.
 * SPDX-License-Identifier: Apache-2.0 */
#include "operators/registry.h"

#include "operators/sinks/sinks.h"
#include "operators/sources/sources.h"
#include "operators/stages/stages.h"

static const struct sl_source_kind *const registry_sources[] = {
    &sl_source_kafka, &sl_source_spool, &sl_source_file, &sl_source_http, &sl_source_otlp, &sl_source_syslog, &sl_source_stdin, &sl_source_generate, NULL,
};

static const struct sl_op_kind *const registry_operators[] = {
    &sl_op_parse, &sl_op_filter, &sl_op_route, &sl_op_sample, &sl_op_set, &sl_op_remove, &sl_op_rename, &sl_op_redact,
    &sl_op_dedupe, &sl_op_enrich,
#ifdef SLUICE_LUA
    &sl_op_lua,
#endif
    &sl_op_plugin,
    NULL,
};

static const struct sl_sink_kind *const registry_sinks[] = {
    &sl_sink_files,  &sl_sink_kafka,
#ifdef SLUICE_OPENSEARCH
    &sl_sink_opensearch,
#endif
    &sl_sink_http,   &sl_sink_stdout, &sl_sink_blackhole, NULL,
};

const struct sl_registry sl_registry_builtin = {registry_sources, registry_operators, registry_sinks};
