/* joint.h: what several arms have for one sink, as one output: rows of all of them in order of offsets, with what is known of each where
 * its own arm has put it. Arms may have derived records and read other fields: all arrays are gathered anew.
 * Everything made lies in the batch's arena.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_ENGINE_SLOT_JOINT_H
#define SL_RUNTIME_ENGINE_SLOT_JOINT_H

#include "runtime/engine/slot/arm.h"

enum { SL_JOINT_PARTS = 3 };

struct sl_joint_part {
    struct sl_output output;
    uint8_t side; /* the part has the rows of the source's batch that are of this side */
};

/* sides: by row of the source's batch. items: room for the rows of all parts. -1: over budget, or more rows than a view may have. */
int sl_joint(const uint8_t *sides, const struct sl_joint_part *parts, uint32_t count, struct sl_item *items, struct sl_output *ret_output);

#endif
