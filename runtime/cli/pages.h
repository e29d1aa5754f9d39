/* pages.h: what a running process tells of itself: the status document, the metrics page, the summary at the end.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_CLI_PAGES_H
#define SL_RUNTIME_CLI_PAGES_H

#include <stdio.h>

#include "runtime/base/json_out.h"
#include "runtime/cli/answer.h"
#include "runtime/engine/host.h"

struct sl_cli;
struct sl_deployer;

/* Both: 0, or -1 (no memory). started_ns: monotonic. deployer: NULL where nothing is deployed. */
int sl_pages_status(struct sl_host *host, const struct sl_process_config *process, struct sl_deployer *deployer, uint64_t started_ns,
                    struct sl_buf *json);
int sl_pages_metrics(struct sl_host *host, struct sl_deployer *deployer, uint64_t started_ns, struct sl_buf *text);
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
/* pages_generations.c: what the deployer says of all topologies, read once (sl_answer_fini it); a topology's members "live" and
 * "candidate"; whether it is paused. */
void sl_pages_generations_read(struct sl_deployer *deployer, struct sl_answer *ret_answer);
void sl_pages_generations_write(struct sl_json_out *out, const struct sl_answer *answer, const char *topology);
bool sl_pages_generations_paused(const struct sl_answer *answer, const char *topology);
struct sl_metrics;
struct sl_metric_row;
void sl_pages_generations_metric(struct sl_metrics *metrics, const struct sl_metric_row *row, const struct sl_answer *answer);

#endif
