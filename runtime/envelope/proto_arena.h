/* proto_arena.h: memory for protobuf-c out of an arena, with a bound of its own: what a message unpacks to is many times what it
 * was, so a hostile one must not take the memory of all others.
 *
 * Ownership: nothing is freed one by one; it dies with the arena. Not thread-safe.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_ENVELOPE_PROTO_ARENA_H
#define SL_RUNTIME_ENVELOPE_PROTO_ARENA_H

#include <protobuf-c/protobuf-c.h>

#include "runtime/base/arena.h"

struct sl_proto_arena {
    ProtobufCAllocator allocator; /* hand out this */
    struct sl_arena *arena;
    size_t left_bytes;
    bool refused; /* the bound was met: the message is at fault */
    bool failed;  /* the arena is over budget */
};

/* The struct must stay where it is while messages are unpacked. */
void sl_proto_arena_init(struct sl_proto_arena *proto, struct sl_arena *arena, size_t limit_bytes);

#endif
