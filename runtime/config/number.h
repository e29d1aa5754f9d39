/* number.h: numbers as conditions compare them: integers exactly, everything else as double.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_CONFIG_NUMBER_H
#define SL_RUNTIME_CONFIG_NUMBER_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/slice.h"

struct sl_number {
    bool is;      /* the text is a JSON number */
    bool integer; /* and fits int64 */
    int64_t whole;
    double real;
};

struct sl_number sl_number_of(struct sl_slice text);
/* < 0, 0, > 0. Both must be numbers. */
int sl_number_compare(const struct sl_number *a, const struct sl_number *b);

#endif
