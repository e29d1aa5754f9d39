/* http.h: what tests ask of the `http` source beyond its kind.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_OPERATORS_SOURCES_HTTP_H
#define SL_OPERATORS_SOURCES_HTTP_H

#include <stdint.h>

/* The port that it listens on (listen: HOST:0 takes a free one). */
uint16_t sl_http_port(const void *shared);

#endif
