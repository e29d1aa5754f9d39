/* pages.h: what a running process tells of itself: the status document, the metrics page, the summary at the end.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_CLI_PAGES_H
#define SL_RUNTIME_CLI_PAGES_H

#include <stdio.h>

#include "runtime/base/buf.h"
#include "runtime/engine/host.h"

struct sl_cli;

/* Both: 0, or -1 (no memory). started_ns: monotonic. */
int sl_pages_status(struct sl_host *host, const struct sl_process_config *process, uint64_t started_ns, struct sl_buf *json);
int sl_pages_metrics(struct sl_host *host, uint64_t started_ns, struct sl_buf *text);
/* Tables for a person: by sink, estimates against true counts by level, whether the ledger balances. Returns true if it does. */
bool sl_pages_summary(struct sl_host *host, const struct sl_cli *cli, FILE *out, uint64_t elapsed_ns);
/* Is every row's `in` the sum of its fates? */
bool sl_pages_balanced(const struct sl_ledger *ledger);
/* Is the component a sink with something to tell: one of the live version, or one that is gone whose records are accounted for?
 * *ret_sum: its row of the ledger, in any case. */
bool sl_pages_is_sink(const struct sl_host_topology *item, uint32_t component, struct sl_ledger_row *ret_sum);
/* The metric rows, for the reference docs. */
struct sl_metric_row;
const struct sl_metric_row *sl_pages_metric_rows(void);
/* pages_components.c: counters of the instances' kinds, and the histogram of requests. */
struct sl_metrics;
void sl_pages_metric_components(struct sl_metrics *metrics, const struct sl_host_topology *items, uint32_t count,
                                const struct sl_metric_row *request_seconds);
const char *sl_level_text(uint8_t level);

#endif
