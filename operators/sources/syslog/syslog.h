/* syslog.h: what tests ask of the `syslog` source beyond its kind.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_OPERATORS_SOURCES_SYSLOG_H
#define SL_OPERATORS_SOURCES_SYSLOG_H

#include <stdint.h>

/* The port of the listener with this index in `listen` (HOST:0 takes a free one). */
uint16_t sl_syslog_port(const void *shared, uint32_t listener);
/* A counter by its name, as counted so far. */
uint64_t sl_syslog_count(const void *shared, const char *name);

#endif
