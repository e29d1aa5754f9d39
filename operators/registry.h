/* registry.h: everything that this program can put into a topology.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_OPERATORS_REGISTRY_H
#define SL_OPERATORS_REGISTRY_H

#include "runtime/config/kind.h"

extern const struct sl_registry sl_registry_builtin;

#endif
