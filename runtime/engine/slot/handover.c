/* handover.c: what a process that hands its slots over asks of them: a commit of what was taken, while reading goes on (rule I3), so that
 * little is left to do once it has stopped.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/engine/slot/slot_private.h"

void sl_slot_flush(struct sl_slot *slot)
{
    for (uint32_t s = 0; s < slot->sinks_count; s++)
        if (slot->sinks[s].open_items > 0)
            slot->sinks[s].want_flush = true;
}

bool sl_slot_flushed(const struct sl_slot *slot)
{
    if (slot->commit.state != SL_COMMIT_IDLE)
        return false;
    for (uint32_t s = 0; s < slot->sinks_count; s++)
        if (slot->sinks[s].want_flush)
            return false;
    return true;
}
