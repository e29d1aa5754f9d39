/* generate_log.h: makes realistic JSON log lines: services by a Zipf law, levels by shares, traces of a few records, messages
 * from the service's own templates, and a stated share of bad records.
 *
 * Deterministic: the seed and the times passed in decide every byte. No clock, no lock; one owner thread.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_OPERATORS_SOURCES_GENERATE_LOG_H
#define SL_OPERATORS_SOURCES_GENERATE_LOG_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/base/column.h"

enum { SL_GENERATE_LOG_MAX = 768 }; /* no line is longer */

enum sl_generate_bad { SL_BAD_NONE, SL_BAD_TRUNCATED, SL_BAD_UTF8, SL_BAD_TEXT, SL_BAD_EMPTY, SL_BADS };

struct sl_generate_log_settings {
    uint64_t seed;
    uint32_t services;
    double exponent;
    double bad;               /* share of records that are no valid JSON */
    double levels[SL_LEVELS]; /* shares by enum sl_level; info takes the rest */
};

/* What was made last, for tests that count. service 0 is the most frequent. */
struct sl_generate_made {
    uint32_t service;
    enum sl_level level;
    enum sl_generate_bad bad;
};

struct sl_generate_log;

/* NULL: no memory. */
struct sl_generate_log *sl_generate_log_new(const struct sl_generate_log_settings *settings);
struct sl_generate_log *sl_generate_log_free(struct sl_generate_log *log);
/* Writes one line, without a newline, into text (SL_GENERATE_LOG_MAX bytes); returns its length. ret_made may be NULL. */
uint32_t sl_generate_log_next(struct sl_generate_log *log, int64_t unix_ms, char *text, struct sl_generate_made *ret_made);

/* Records due `elapsed_ns` after the start at a mean rate whose peak is `factor` times its trough over `period_ns` (1: flat). The
 * day begins at its mean, rising. */
double sl_generate_due(double rate_per_s, double factor, uint64_t period_ns, uint64_t elapsed_ns);

#endif
