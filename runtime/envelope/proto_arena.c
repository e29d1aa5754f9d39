/* proto_arena.c: an allocator for protobuf-c over an arena.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/envelope/proto_arena.h"

static void *proto_alloc(void *user, size_t bytes)
{
    struct sl_proto_arena *proto = user;
    void *memory;

    if (bytes > proto->left_bytes) {
        proto->refused = true;
        return NULL;
    }
    memory = sl_arena_alloc(proto->arena, bytes);
    proto->failed |= memory == NULL;
    proto->left_bytes -= bytes;
    return memory;
}

static void proto_free(void *user, void *memory)
{
    (void)user, (void)memory; /* dies with the arena */
}

void sl_proto_arena_init(struct sl_proto_arena *proto, struct sl_arena *arena, size_t limit_bytes)
{
    *proto = (struct sl_proto_arena){.allocator = {proto_alloc, proto_free, proto}, .arena = arena, .left_bytes = limit_bytes};
}
