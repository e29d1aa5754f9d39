/* spool_model.h: what a spool must hold, kept beside it by a test: which records were acknowledged at which offset.
 *
 * Every record carries a number of its own. After whatever happened to the disk sl_spool_model_verify reads everything back and
 * says in a sentence what is wrong, or NULL.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_TESTS_SUPPORT_SPOOL_MODEL_H
#define SL_TESTS_SUPPORT_SPOOL_MODEL_H

#include "runtime/store/spool.h"

enum { SL_MODEL_PARTITIONS = 2, SL_MODEL_RECORDS = 4096 };

struct sl_spool_model {
    uint32_t submitted;                    /* numbers below were appended */
    bool acked[SL_MODEL_RECORDS];
    uint64_t offset[SL_MODEL_RECORDS];     /* of acknowledged ones */
    uint8_t partition[SL_MODEL_RECORDS];
    uint64_t beyond[SL_MODEL_PARTITIONS];  /* no offset below was free at the last look: later appends must get at least this */
    uint32_t refused, torn_acks;
    int64_t unix_ms;
    uint64_t now_ns;
    char trouble[200];
};

void sl_spool_model_init(struct sl_spool_model *model);
/* Settings for a spool driven by hand under the model's clocks. */
struct sl_spool_settings sl_spool_model_settings(struct sl_spool_model *model, uint64_t segment_bytes);
/* Queues `count` records, each about `bytes` long. 0, or the refusal. */
int sl_spool_model_append(struct sl_spool_model *model, struct sl_spool_topic *topic, uint32_t partition, uint32_t count,
                          uint32_t bytes);
/* Reads all partitions. lost_allowed: acknowledged records may be missing (the disk was damaged), never wrong. Sets beyond.
 * *ret_missing (may be NULL): how many acknowledged ones did not come back. */
const char *sl_spool_model_verify(struct sl_spool_model *model, struct sl_spool_topic *topic, bool lost_allowed,
                                  uint32_t *ret_missing);

#endif
