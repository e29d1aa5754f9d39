/* fuzz_envelope.c: any bytes as a sluice.v1.Envelope: refused within its bound of memory, or read, and the same after being packed and
 * read again.
 * SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdint.h>

#include "runtime/envelope/envelope.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void fuzz_same(const struct sl_envelope *a, const struct sl_envelope *b)
{
    assert(a->time_unix_ns == b->time_unix_ns && a->attributes_count == b->attributes_count);
    assert(sl_slice_eq(a->host, b->host) && sl_slice_eq(a->service, b->service) && sl_slice_eq(a->level, b->level));
    assert(sl_slice_eq(a->trace_id, b->trace_id) && sl_slice_eq(a->span_id, b->span_id));
    assert(sl_slice_eq(a->format, b->format) && sl_slice_eq(a->body, b->body));
    for (uint32_t i = 0; i < a->attributes_count; i++)
        assert(sl_slice_eq(a->attributes[i].name, b->attributes[i].name) && sl_slice_eq(a->attributes[i].value, b->attributes[i].value));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct sl_envelope envelope, again;
    struct sl_slice packed;
    struct sl_arena arena;
    enum sl_envelope_verdict verdict;
    int rc = sl_arena_init(&arena, 64 << 10, 256 << 20);

    assert(rc == 0 && bytes < UINT32_MAX);
    verdict = sl_envelope_unpack(&arena, (struct sl_slice){(const char *)data, (uint32_t)bytes}, &envelope);
    assert(verdict != SL_ENVELOPE_BUDGET);
    if (verdict == SL_ENVELOPE_FINE) {
        rc = sl_envelope_pack(&arena, &envelope, &packed);
        assert(rc == 0);
        verdict = sl_envelope_unpack(&arena, packed, &again);
        assert(verdict == SL_ENVELOPE_FINE || verdict == SL_ENVELOPE_LARGE); /* unknown fields were part of its size */
        if (verdict == SL_ENVELOPE_FINE)
            fuzz_same(&envelope, &again);
    }
    sl_arena_fini(&arena);
    return 0;
}
