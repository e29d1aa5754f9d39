/* envelope.h: the log envelope sluice.v1.Envelope (envelope.proto), packed and unpacked through protobuf-c.
 *
 * Texts that are packed become valid UTF-8 (U+FFFD for what is not); a message whose texts are not is malformed, as proto3 has it.
 * Unknown fields are ignored. Ownership: everything made lies in the arena.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_ENVELOPE_ENVELOPE_H
#define SL_RUNTIME_ENVELOPE_ENVELOPE_H

#include "runtime/base/arena.h"

struct sl_envelope_attribute {
    struct sl_slice name, value;
};

struct sl_envelope { /* texts with bytes 0 are not there */
    uint64_t time_unix_ns; /* 0: not known */
    struct sl_slice host, service, level, trace_id, span_id, format, body;
    const struct sl_envelope_attribute *attributes;
    uint32_t attributes_count;
};

enum sl_envelope_verdict { SL_ENVELOPE_FINE, SL_ENVELOPE_MALFORMED, SL_ENVELOPE_UTF8, SL_ENVELOPE_LARGE, SL_ENVELOPE_BUDGET };

/* With SL_PAD readable bytes behind it. 0, or -1: the arena is over budget. */
int sl_envelope_pack(struct sl_arena *arena, const struct sl_envelope *envelope, struct sl_slice *ret_bytes);
/* LARGE: it would unpack to more than 16 times its size. BUDGET: the arena's end, not the message's fault. */
enum sl_envelope_verdict sl_envelope_unpack(struct sl_arena *arena, struct sl_slice bytes, struct sl_envelope *ret_envelope);

#endif
