/* units.h: how people write amounts: sizes 128MiB, durations 1h30m, rates 5000/s, shares 10%,
 * counts. Exact or refused: integers never overflow or lose a fraction. Prints are canonical and
 * read back as the same amount.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_CONFIG_UNITS_H
#define SL_RUNTIME_CONFIG_UNITS_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/base/err.h"

/* err->text says what is wrong with the text, then ": ", then what to write: "12 parrots is not a
 * size: write …". */
int sl_bytes_scan(const char *text, uint64_t *ret_bytes, struct sl_err *err);
int sl_duration_scan(const char *text, uint64_t *ret_ns, struct sl_err *err);
int sl_rate_scan(const char *text, double *ret_per_s, struct sl_err *err);
int sl_share_scan(const char *text, double *ret_share, struct sl_err *err);
int sl_count_scan(const char *text, uint64_t *ret_count, struct sl_err *err);

enum { SL_UNITS_TEXT = 80 }; /* room for any print */
void sl_bytes_print(uint64_t amount_bytes, char out[SL_UNITS_TEXT]);
void sl_duration_print(uint64_t duration_ns, char out[SL_UNITS_TEXT]);
void sl_rate_print(double per_s, char out[SL_UNITS_TEXT]);
void sl_share_print(double share, char out[SL_UNITS_TEXT]);

#endif
