/* taken.h: when this process took its first and its last batch from any source: the two ends of an upgrade's gap.
 *
 * One clock read a batch. Threads: any.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_BASE_TAKEN_H
#define SL_RUNTIME_BASE_TAKEN_H

#include <stdint.h>

/* A source hands a batch with records to the engine. */
void sl_taken_note(void);
/* On the monotonic clock; 0: none yet. */
uint64_t sl_taken_first_ns(void);
uint64_t sl_taken_last_ns(void);

#endif
