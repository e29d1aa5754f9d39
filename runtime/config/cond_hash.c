/* cond_hash.c: conditions as a number: equal for equal ones, wherever they were written.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "runtime/config/condition.h"

static uint64_t cond_hash_bytes(const void *data, size_t bytes, uint64_t seed)
{
    return XXH3_64bits_withSeed(data, bytes, seed + bytes);
}

uint64_t sl_cond_hash(const struct sl_cond *cond, uint64_t seed)
{
    uint32_t head[] = {(uint32_t)cond->kind, cond->count, (uint32_t)cond->op, cond->operands_count,
                       cond->exists};
    uint64_t hash = cond_hash_bytes(head, sizeof(head), seed);
    char name[512];

    for (uint32_t i = 0; i < cond->count; i++)
        hash = sl_cond_hash(cond->items[i], hash);
    if (cond->kind != SL_COND_TEST)
        return hash;
    (void)sl_name_print(&cond->name, name, sizeof(name));
    hash = cond_hash_bytes(name, strlen(name), hash);
    for (uint32_t i = 0; i < cond->operands_count; i++) {
        const struct sl_operand *operand = &cond->operands[i];
        hash = cond_hash_bytes(operand->text.data, operand->text.bytes, hash + operand->number.is);
    }
    return hash;
}
