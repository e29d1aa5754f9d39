/* taken.c: the instants of the first and of the last batch.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/taken.h"

#include <stdatomic.h>

#include "runtime/base/clock.h"

static _Atomic uint64_t taken_first_ns, taken_last_ns;

void sl_taken_note(void)
{
    uint64_t now_ns = sl_clock_now_ns(), none = 0;

    if (atomic_load_explicit(&taken_first_ns, memory_order_relaxed) == 0)
        (void)atomic_compare_exchange_strong(&taken_first_ns, &none, now_ns);
    atomic_store_explicit(&taken_last_ns, now_ns, memory_order_relaxed);
}

uint64_t sl_taken_first_ns(void)
{
    return atomic_load(&taken_first_ns);
}

uint64_t sl_taken_last_ns(void)
{
    return atomic_load(&taken_last_ns);
}
