/* diag.h: what is wrong with a configuration: where, what was found, what would be right.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_CONFIG_DIAG_H
#define SL_RUNTIME_CONFIG_DIAG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sl_diag {
    bool warning;
    char *file;
    uint32_t line, column; /* from 1; 0 unknown */
    char *text;   /* "sinks.landing.roll.bytes: 12 parrots is not a size" */
    char *remedy; /* "write a size such as 128MiB, between 64KiB and 8GiB" */
};

struct sl_diags {
    struct sl_diag *items;
    uint32_t count, errors;
};

void sl_diags_init(struct sl_diags *diags);
void sl_diags_fini(struct sl_diags *diags);
void sl_diags_add(struct sl_diags *diags, bool warning, const char *file, uint32_t line, uint32_t column,
                  const char *remedy, const char *format, ...) __attribute__((format(printf, 7, 8)));
/* "FILE:LINE:COLUMN: error: TEXT" and, on a second line, two blanks and the remedy; as snprintf. */
int sl_diag_print(const struct sl_diag *diag, char *out, size_t bytes);

#endif
