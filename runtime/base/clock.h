/* clock.h: the two clocks, read by programs and loops only (never by sampling/ or an operator).
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_BASE_CLOCK_H
#define SL_RUNTIME_BASE_CLOCK_H

#include <stdint.h>
#include <time.h>

#define SL_NS_PER_MS 1000000ull
#define SL_NS_PER_S 1000000000ull

static inline uint64_t sl_clock_now_ns(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * SL_NS_PER_S + (uint64_t)t.tv_nsec;
}

static inline int64_t sl_clock_unix_ms(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_REALTIME, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

#endif
