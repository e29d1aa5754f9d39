/* sim.h: whole processes in virtual time from one seed: real slots, spool, commit log and operators over a modelled disk and a
 * modelled Kafka, with crashes, torn disks, rebalances and sick brokers between any two steps.
 *
 * A run has two halves: the bad times, with faults, while records come in; then quiet, until every record that is due
 * has been delivered and every process has drained. Then everything on the disks is counted (sim_check.c).
 * Threads: none. Two runs of one seed are the same, step by step.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_TESTS_SIM_SIM_H
#define SL_TESTS_SIM_SIM_H

#include <stdbool.h>
#include <stdint.h>

struct sim_settings {
    uint64_t seed;
    bool trace;  /* every fault, every log line of the slots, to stdout */
    bool quick;  /* fewer records */
    bool sick;   /* topologies with a queue before a back-end that falls ill */
    bool generations; /* new versions of the topology are put in while it runs */
};

struct sim_result {
    bool fine;
    char why[1024]; /* not fine: the first law that was broken */
    uint64_t steps, records, commits, crashes, restarts, stops, rewinds, swaps, virtual_ms;
};

void sim_run(const struct sim_settings *settings, struct sim_result *ret_result);
/* Loads the topologies once, before the first run; 0, or -1 with the problems on stderr. */
int sim_topologies_load(void);
void sim_topologies_free(void);

#endif
