/* reference.h: the reference pages of the docs, printed from the tables that the program itself works with.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_CLI_REFERENCE_H
#define SL_RUNTIME_CLI_REFERENCE_H

#include <stdio.h>

struct sl_field;

/* What a user writes for it: "duration (60s)". */
const char *sl_reference_type(const struct sl_field *field);
/* ", 1 to 10: a, b": bounds and words of a setting, as text behind its type. */
void sl_reference_limits(FILE *out, const struct sl_field *field);
/* A Markdown table of settings; nested ones are written roll.bytes. Nothing where there is none. */
void sl_reference_fields(FILE *out, const struct sl_field *fields);
/* Whole pages: sluice.yaml, a topology's top level and what every sink has; the rows of /metrics. */
void sl_reference_settings(FILE *out);
void sl_reference_metrics(FILE *out);

#endif
