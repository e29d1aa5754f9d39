/* crc32c.h: CRC-32C (Castagnoli), with the CPU's instruction where it has one.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_BASE_CRC32C_H
#define SL_RUNTIME_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* crc: 0, or the result over what comes before: sl_crc32c(sl_crc32c(0, a), b) == sl_crc32c(0, ab). Any thread. */
uint32_t sl_crc32c(uint32_t crc, const void *data, size_t bytes);
/* The same from tables alone: what CPUs without the instruction run, and what tests compare against. */
uint32_t sl_crc32c_portable(uint32_t crc, const void *data, size_t bytes);

#endif
