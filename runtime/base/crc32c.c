/* crc32c.c: CRC-32C by SSE4.2 or ARMv8 instruction, chosen at the first call, else eight bytes a step from tables.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/base/crc32c.h"

#include <pthread.h>
#include <string.h>
#if defined(__x86_64__)
#include <nmmintrin.h>
#elif defined(__aarch64__)
#include <arm_acle.h>
#include <sys/auxv.h>
#endif

#define CRC32C_POLYNOMIAL 0x82f63b78u /* reflected */

static uint32_t crc32c_table[8][256];
static uint32_t (*crc32c_run)(uint32_t crc, const unsigned char *data, size_t bytes);
static pthread_once_t crc32c_once = PTHREAD_ONCE_INIT;

static uint32_t crc32c_by_table(uint32_t crc, const unsigned char *data, size_t bytes)
{
    for (; bytes >= 8; data += 8, bytes -= 8) {
        uint32_t low = crc ^ ((uint32_t)data[0] | (uint32_t)data[1] << 8 | (uint32_t)data[2] << 16 | (uint32_t)data[3] << 24);
        crc = crc32c_table[7][low & 255] ^ crc32c_table[6][low >> 8 & 255] ^ crc32c_table[5][low >> 16 & 255] ^
              crc32c_table[4][low >> 24] ^ crc32c_table[3][data[4]] ^ crc32c_table[2][data[5]] ^
              crc32c_table[1][data[6]] ^ crc32c_table[0][data[7]];
    }
    for (; bytes > 0; data++, bytes--)
        crc = crc >> 8 ^ crc32c_table[0][(crc ^ *data) & 255];
    return crc;
}

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) static uint32_t crc32c_by_sse42(uint32_t crc, const unsigned char *data, size_t bytes)
{
    uint64_t wide = crc;
    for (; bytes >= 8; data += 8, bytes -= 8) {
        uint64_t word;
        memcpy(&word, data, 8);
        wide = _mm_crc32_u64(wide, word);
    }
    crc = (uint32_t)wide;
    for (; bytes > 0; data++, bytes--)
        crc = _mm_crc32_u8(crc, *data);
    return crc;
}
#elif defined(__aarch64__)
__attribute__((target("+crc"))) static uint32_t crc32c_by_armv8(uint32_t crc, const unsigned char *data, size_t bytes)
{
    for (; bytes >= 8; data += 8, bytes -= 8) {
        uint64_t word;
        memcpy(&word, data, 8);
        crc = __crc32cd(crc, word);
    }
    for (; bytes > 0; data++, bytes--)
        crc = __crc32cb(crc, *data);
    return crc;
}
#endif

static void crc32c_init(void)
{
    for (uint32_t i = 0; i < 256; i++) {
        uint32_t crc = i;
        for (int bit = 0; bit < 8; bit++)
            crc = (crc & 1) != 0 ? crc >> 1 ^ CRC32C_POLYNOMIAL : crc >> 1;
        crc32c_table[0][i] = crc;
    }
    for (int t = 1; t < 8; t++)
        for (int i = 0; i < 256; i++)
            crc32c_table[t][i] = crc32c_table[t - 1][i] >> 8 ^ crc32c_table[0][crc32c_table[t - 1][i] & 255];
    crc32c_run = crc32c_by_table;
#if defined(__x86_64__)
    __builtin_cpu_init();
    if (__builtin_cpu_supports("sse4.2"))
        crc32c_run = crc32c_by_sse42;
#elif defined(__aarch64__)
    if ((getauxval(AT_HWCAP) & (1ul << 7)) != 0) /* HWCAP_CRC32 */
        crc32c_run = crc32c_by_armv8;
#endif
}

uint32_t sl_crc32c(uint32_t crc, const void *data, size_t bytes)
{
    (void)pthread_once(&crc32c_once, crc32c_init);
    return ~crc32c_run(~crc, data, bytes);
}

uint32_t sl_crc32c_portable(uint32_t crc, const void *data, size_t bytes)
{
    (void)pthread_once(&crc32c_once, crc32c_init);
    return ~crc32c_by_table(~crc, data, bytes);
}
