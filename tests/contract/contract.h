/* contract.h: the world that the contract suite puts every source, operator and sink of the registry into: a slot that only counts,
 * an api over it, a spool, a modelled Kafka, and a file system whose n-th call fails on demand.
 *
 * One at a time: sl_slot_* find it through the pointer they are given, done() through contract_now.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_TESTS_CONTRACT_CONTRACT_H
#define SL_TESTS_CONTRACT_CONTRACT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "operators/registry.h"
#include "tests/sim/model_log.h"
#include "tests/support/fake_http.h"
#include "tests/support/fake_slot.h"
#include "tests/support/stage_bench.h"
#include "tests/support/stage_config.h"

enum { CONTRACT_DONES = 3 * SL_BATCH_RECORDS };

struct contract {
    struct fake_slot fake; /* first: what sl_slot_* get is this */
    struct bench bench;    /* names, batches and the folder; its own api is not used */
    struct sl_api api;
    struct fake_http http;
    struct sl_fs fs; /* the kernel's; the call number fail_at answers fail_code */
    uint64_t calls, fail_at; /* fail_at 0: none */
    int fail_code;
    struct sl_model *model;
    struct sl_model_client *client;
    struct sl_topology topology;
    const struct sl_head *head; /* of the kind under test: bounds its counters */
    uint8_t done[CONTRACT_DONES]; /* answers by ref.ticket * SL_BATCH_RECORDS + ref.index */
    uint64_t acked, refused, retried;
    struct sl_err err;
};

void contract_init(struct contract *contract);
void contract_fini(struct contract *contract);
struct sl_slot *contract_slot(struct contract *contract);
/* Settings for the kind: its own example, or, where that names a place outside this test, the suite's. Checked; ends with config_fini. */
void *contract_config(const struct sl_head *head);
const char *contract_settings(const struct sl_head *head);
/* Time goes on, for the kind and for the modelled log. */
void contract_wait(struct contract *contract, uint64_t ns);
/* Of this process, now. */
uint32_t contract_open_files(void);
uint32_t contract_threads(void);
/* NULL-terminated list of every row's head, in the registry's order. */
const struct sl_head *const *contract_heads(void);

#endif
