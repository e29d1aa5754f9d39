/* sources.h: the source kinds of this folder, for operators/registry.c and tests.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_OPERATORS_SOURCES_SOURCES_H
#define SL_OPERATORS_SOURCES_SOURCES_H

#include "runtime/engine/op.h"

extern const struct sl_source_kind sl_source_kafka, sl_source_spool, sl_source_generate, sl_source_file, sl_source_http, sl_source_otlp, sl_source_stdin,
    sl_source_syslog;

#endif
