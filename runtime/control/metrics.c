/* metrics.c: prints metric families and samples in the Prometheus text format, version 0.0.4.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/control/metrics.h"

#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

const char *sl_metric_type_name(enum sl_metric_type type)
{
    static const char *const names[] = {"counter", "gauge", "histogram"};
    assert((unsigned)type < sizeof(names) / sizeof(names[0]));
    return names[type];
}

/* Backslash and line feed everywhere, the quote in label values only: the format's own rules. */
static void metrics_escape(struct sl_buf *buf, const char *text, bool quoted)
{
    for (; text != NULL && *text != '\0'; text++) {
        if (*text == '\\')
            sl_buf_text(buf, "\\\\");
        else if (*text == '\n')
            sl_buf_text(buf, "\\n");
        else if (*text == '"' && quoted)
            sl_buf_text(buf, "\\\"");
        else
            sl_buf_char(buf, *text);
    }
}

static bool metrics_is_total(const char *name)
{
    size_t bytes = strlen(name);
    return bytes > 6 && strcmp(name + bytes - 6, "_total") == 0;
}

void sl_metrics_family(struct sl_metrics *metrics, const struct sl_metric_row *row)
{
    assert(row->type != SL_METRIC_COUNTER || metrics_is_total(row->name));
    assert(metrics->family != row);
    metrics->family = row;
    sl_buf_printf(metrics->buf, "# HELP %s ", row->name);
    metrics_escape(metrics->buf, row->help, false);
    sl_buf_printf(metrics->buf, "\n# TYPE %s %s\n", row->name, sl_metric_type_name(row->type));
}

static void metrics_label(struct sl_buf *buf, bool *some, const char *name, const char *value)
{
    sl_buf_printf(buf, "%s%s=\"", *some ? "," : "{", name);
    metrics_escape(buf, value, true);
    sl_buf_char(buf, '"');
    *some = true;
}

/* name_suffix{label="value",…,le="…"} and a blank. */
static void metrics_name(struct sl_metrics *metrics, const struct sl_metric_row *row, const char *suffix,
                         const char *const *values, const char *le)
{
    bool some = false;
    assert(metrics->family == row);
    sl_buf_printf(metrics->buf, "%s%s", row->name, suffix);
    for (uint32_t i = 0; i < SL_METRIC_LABELS && row->labels[i] != NULL; i++)
        metrics_label(metrics->buf, &some, row->labels[i], values[i]);
    if (le != NULL)
        metrics_label(metrics->buf, &some, "le", le);
    sl_buf_text(metrics->buf, some ? "} " : " ");
}

/* The shortest text that reads back as the same number. */
static void metrics_number(double value, char *ret_text, size_t bytes)
{
    if (isnan(value))
        (void)snprintf(ret_text, bytes, "NaN");
    else if (isinf(value))
        (void)snprintf(ret_text, bytes, value > 0 ? "+Inf" : "-Inf");
    else
        for (int digits = 15; digits <= 17; digits++) {
            (void)snprintf(ret_text, bytes, "%.*g", digits, value);
            if (strtod(ret_text, NULL) == value)
                break;
        }
}

void sl_metrics_u64(struct sl_metrics *metrics, const struct sl_metric_row *row, const char *const *values, uint64_t value)
{
    assert(row->type != SL_METRIC_HISTOGRAM);
    metrics_name(metrics, row, "", values, NULL);
    sl_buf_printf(metrics->buf, "%" PRIu64 "\n", value);
}

void sl_metrics_f64(struct sl_metrics *metrics, const struct sl_metric_row *row, const char *const *values, double value)
{
    char text[40];
    assert(row->type != SL_METRIC_HISTOGRAM);
    metrics_number(value, text, sizeof(text));
    metrics_name(metrics, row, "", values, NULL);
    sl_buf_printf(metrics->buf, "%s\n", text);
}

void sl_metrics_histogram(struct sl_metrics *metrics, const struct sl_metric_row *row, const char *const *values,
                          const double *bounds, uint32_t bounds_count, const uint64_t *counts, double sum)
{
    uint64_t below = 0;
    char text[40];
    assert(row->type == SL_METRIC_HISTOGRAM);
    for (uint32_t i = 0; i <= bounds_count; i++) {
        metrics_number(i < bounds_count ? bounds[i] : (double)INFINITY, text, sizeof(text));
        below += counts[i];
        metrics_name(metrics, row, "_bucket", values, text);
        sl_buf_printf(metrics->buf, "%" PRIu64 "\n", below);
    }
    metrics_number(sum, text, sizeof(text));
    metrics_name(metrics, row, "_sum", values, NULL);
    sl_buf_printf(metrics->buf, "%s\n", text);
    metrics_name(metrics, row, "_count", values, NULL);
    sl_buf_printf(metrics->buf, "%" PRIu64 "\n", below);
}
