/* consistent.h: OpenTelemetry's consistent probability sampling: 56-bit randomness R and rejection threshold T; keep iff R >= T.
 * Source: OpenTelemetry specification, "TraceState: Probability Sampling" (rv, th). Downstream may only raise T, so chained
 * samplers compose by max and the weight 2^56 / (2^56 - T) stays right. Pure.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_SAMPLING_CONSISTENT_H
#define SL_SAMPLING_CONSISTENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SL_R_BITS 56
#define SL_R_LIMIT (1ull << SL_R_BITS)

/* T of a share 0 < share <= 1; a share below 2^-56 gives the largest T. */
uint64_t sl_threshold_of_share(double share);
/* 2^56 / (2^56 - T), T < 2^56. */
double sl_weight_of_threshold(uint64_t threshold);
static inline bool sl_keep(uint64_t randomness, uint64_t threshold)
{
    return randomness >= threshold;
}
/* R of any key: hash56 with one public seed; a W3C trace id (32 hex digits) whose low 56 bits are asserted random may be used
 * as it is by sl_randomness_of_hex. */
uint64_t sl_randomness_of_bytes(const void *data, size_t bytes);
/* 1 and the low 56 bits when text is exactly 32 hex digits, else 0. */
int sl_randomness_of_hex(const char *text, size_t bytes, uint64_t *ret_randomness);
/* One of 64 groups, independent of R: for honest intervals (weights summed by group). */
uint32_t sl_group_of_bytes(const void *data, size_t bytes);
/* T as OpenTelemetry writes it: up to 14 hex digits, trailing zeros left out, "0" for all. text holds 15 bytes. Returns its length. */
size_t sl_threshold_print(uint64_t threshold, char *text);
/* 0, or -1 when text is not 1 to 14 hex digits. */
int sl_threshold_scan(const char *text, size_t bytes, uint64_t *ret_threshold);

#endif
