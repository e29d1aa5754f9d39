/* replay.h: a slot that reads dead letters again (DELIVERY rule J3): from the spool topic "@replay.TOPOLOGY", each through the stage
 * or sink that had failed and what is behind it, and nowhere else.
 *
 * It is a slot of a topology of its own, made of the other (sl_replay_topology): the same operators and sinks, but the sources are
 * SL_PAST, only the beginnings of trees, and one spool source "@replay" is read. It commits to the same local commit log, under
 * the same group, as a partition of its own: marks and flushes are exact as any. Where the topology itself commits to Kafka, the
 * local log is this slot's alone: it takes the zone's id from the folder, and redoes its own flushes before the topology's slots start. A record's headers say what it was:
 *   sluice-replay         STAGE LF SOURCE LF MODE: where it goes on; MODE 1: the body is not what the source had read (a sink refused
 *                         it, or a stage had derived it), so on the way to the stage only parse stages run
 *   sluice-replay-origin  origin.h; with sluice-replay-sub, decimal, where a stage had derived it
 *   sluice-replay-letter  where the letter stood: who replays letters again knows it by this
 * A batch is cut so that all of its records go the same way and came from the same topic.
 * Invariant: a sink that is reached both behind the stage and around it gets nothing: whether it has the record cannot be told. Who
 * sends letters refuses them (sl_replay_way).
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_ENGINE_SLOT_REPLAY_H
#define SL_RUNTIME_ENGINE_SLOT_REPLAY_H

#include "runtime/config/topology.h"
#include "runtime/engine/origin.h"
#include "runtime/engine/slot.h"

#define SL_REPLAY_SOURCE "@replay"
#define SL_REPLAY_TOPIC "@replay." /* TOPOLOGY */
#define SL_REPLAY_HEADER "sluice-replay"
#define SL_REPLAY_ORIGIN "sluice-replay-origin"
#define SL_REPLAY_SUB "sluice-replay-sub"
#define SL_REPLAY_LETTER "sluice-replay-letter"

enum { SL_REPLAY_BYTES = 1024 };

struct sl_node;

struct sl_slot_replay { /* of the batch under way */
    uint32_t stage, source; /* components; UINT32_MAX: no longer there */
    bool decoded;           /* MODE 1 */
    uint32_t inside;        /* depth below the stage */
    /* The slot's partition under the topic that the letters came from, so that @topic says what it said: one for each topic, kept. */
    struct sl_replay_alias *aliases;
};

/* ---- any thread ---- */
/* The topology that replays another's letters; freed by free(), before the other. spool: the registry's kind of that name.
 * NULL: no memory. */
struct sl_topology *sl_replay_topology(const struct sl_topology *topology, const struct sl_head *spool);
/* Whether the topology commits to Kafka while its letters, replayed, are committed here (of either topology). */
bool sl_replay_is_apart(const struct sl_topology *topology);
/* 0, or why a letter of this stage cannot be replayed into the topology. */
int sl_replay_way(const struct sl_topology *topology, const char *stage, const char *source, struct sl_err *err);

/* ---- slot thread ---- */
/* Cuts the batch, finds its way, gives it origins, and a partition that has their topic. */
int sl_slot_replay_begin(struct sl_slot *slot, struct sl_batch *batch, struct sl_err *err);
struct sl_slot_replay *sl_slot_replay_free(struct sl_slot_replay *replay);
/* What becomes of a node on the batch's way: not entered; entered for what is behind it; run. */
enum sl_replay_step { SL_REPLAY_SKIP, SL_REPLAY_PASS, SL_REPLAY_RUN };
enum sl_replay_step sl_slot_replay_enter(struct sl_slot *slot, const struct sl_node *node);
void sl_slot_replay_leave(struct sl_slot *slot, const struct sl_node *node);
/* Where a record of a batch of this slot came from and had died, for its next letter. The batch of a refused record has no headers:
 * the spool is read. `text` keeps it. -1: it cannot be told; nothing is set. */
int sl_slot_replay_from(struct sl_slot *slot, const struct sl_batch *batch, uint32_t row, char text[SL_REPLAY_BYTES],
                        struct sl_origin *ret_origin, struct sl_slice *ret_stage, uint32_t *ret_sub);

#endif
