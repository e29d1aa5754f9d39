/* metrics.h: the Prometheus text format from rows: a family's HELP and TYPE once, then its samples with escaped labels.
 * A row's table is also what the reference docs print, so no metric exists without unit-bearing name, type and help.
 *
 * Invariants, asserted: samples follow the header of their own family; a sample has as many label values as its row has
 * labels; a counter's name ends in _total. Running out of memory is the buffer's affair (sl_buf_failed).
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_CONTROL_METRICS_H
#define SL_RUNTIME_CONTROL_METRICS_H

#include "runtime/base/buf.h"

#define SL_METRIC_LABELS 8

enum sl_metric_type { SL_METRIC_COUNTER, SL_METRIC_GAUGE, SL_METRIC_HISTOGRAM };

struct sl_metric_row {
    const char *name; /* base unit last, counters _total; NULL ends a table */
    enum sl_metric_type type;
    const char *help;                     /* one sentence */
    const char *labels[SL_METRIC_LABELS]; /* NULL ends */
};

struct sl_metrics { /* a page under construction; zeroed but for buf */
    struct sl_buf *buf;
    const struct sl_metric_row *family;
};

const char *sl_metric_type_name(enum sl_metric_type type);
void sl_metrics_family(struct sl_metrics *metrics, const struct sl_metric_row *row);
/* values: one a label, NULL counts as "". */
void sl_metrics_u64(struct sl_metrics *metrics, const struct sl_metric_row *row, const char *const *values, uint64_t value);
void sl_metrics_f64(struct sl_metrics *metrics, const struct sl_metric_row *row, const char *const *values, double value);
/* counts[i]: observations at or below bounds[i] but above bounds[i - 1]; counts[bounds_count]: above them all. */
void sl_metrics_histogram(struct sl_metrics *metrics, const struct sl_metric_row *row, const char *const *values,
                          const double *bounds, uint32_t bounds_count, const uint64_t *counts, double sum);

#endif
