/* slot_private.h: the inside of a slot, shared by the files that are its parts: plan (tree), branch (a batch through the tree),
 * account (ledger), position (partitions and marks), ticket (acknowledgements), flush (commit state machine), revoke.
 *
 * Ownership: everything here belongs to the slot's thread; a struct sl_flush and the commit's buffers belong to the clerk
 * between submit and done of a job.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_ENGINE_SLOT_PRIVATE_H
#define SL_RUNTIME_ENGINE_SLOT_PRIVATE_H

#include "runtime/base/buf.h"
#include "runtime/base/intern.h"
#include "runtime/config/topology.h"
#include "runtime/engine/slot/account.h"
#include "runtime/engine/domain.h"
#include "runtime/engine/drive.h"
#include "runtime/engine/encode.h"
#include "runtime/engine/mark_codec.h"
#include "runtime/engine/match.h"
#include "runtime/engine/slot.h"

enum {
    SL_SLOT_MAGIC = 0x534c4f54,
    SL_PARTITION_MAGIC = 0x50415254,
    SL_SLOT_NODES_MAX = 4096,   /* stages of one tree, diamonds unfolded */
    SL_SLOT_BATCHES_A_TURN = 4 /* then other slots of the worker have their turn */
};

#define SL_REVOKE_NS (2ull * 1000000000ull) /* rule I1 */

/* One input batch on its way through one ACK sink: done when nothing is pending. */
struct sl_ticket {
    uint32_t generation, pending;
    uint32_t sink, partition;
    struct sl_mark upto; /* what the sink's mark becomes */
    uint32_t next;       /* queue or free list */
    bool used;
};

/* A sink's progress in one partition. taken >= sealed >= committed for flushed sinks; taken >= done >= committed for others. */
struct sl_position {
    struct sl_mark taken;     /* up to here the sink has been given everything */
    struct sl_mark done;      /* durable at the sink: flushed: of the last committed flush; others: acknowledged without a hole */
    struct sl_mark sealed;    /* of the commit that is under way */
    struct sl_mark committed; /* in the commit record */
    uint32_t head, tail;      /* tickets in order; UINT32_MAX none */
    bool in_commit;           /* its mark is written by the commit under way */
    bool unmarked;            /* the commit record has no mark of it yet: the partition's next commit writes one, moved or not, so
                               * that a missing mark always means a sink that is new to the topology */
};

struct sl_slot_component {
    struct sl_slot *slot;
    uint32_t index; /* in topology->components */
    void *self;
    struct sl_api api;
    uint32_t *columns; /* bound at open, for projections */
    uint32_t columns_count, columns_cap;
    struct sl_component_counts counts;
};

struct sl_slot_sink {
    uint32_t component;
    const struct sl_sink_kind *kind;
    void *self;
    const struct sl_sink_common *common;
    struct sl_bound_cond *where;
    struct sl_encoder *encoder; /* NULL: codec raw */
    bool encoded; /* of this batch: a replay brings bodies that it had refused, encoded as they are */
    uint32_t flags; /* enum sl_sink_flags */
    bool flushed, needs_zone;
    struct sl_position *positions; /* [slot->partitions_cap] */
    uint64_t open_items;           /* parcels and records taken since the last seal */
    struct sl_ledger open, sealed_ledger; /* flushed: counted in the slot's ledger once committed (rule J4) */
    struct sl_flush *flush;        /* sealed, of the commit under way */
    bool sealed, want_flush;
    uint64_t backoff_ns;
    const struct sl_view *views[8]; /* leaves of this batch, in tree order */
    uint32_t views_count;
    uint32_t tickets_pending;
    struct sl_queue *queue; /* when_full: spool (queue.h), or NULL */
};

struct sl_node { /* a stage in the tree of one source */
    uint32_t component;
    const struct sl_op_kind *kind; /* NULL: a sink or the source itself */
    void *self;
    uint32_t sink; /* index into slot->sinks, or UINT32_MAX */
    uint32_t port; /* of the parent that feeds it */
    struct sl_node *child, *sibling;
};

struct sl_slot_source {
    uint32_t component;
    const struct sl_source_kind *kind;
    void *self;
    struct sl_node *tree;
    bool *sinks; /* [sinks_count] reached by its tree; dead letters always */
    bool ended;
    uint64_t retry_at_ns, backoff_ns;
};

struct sl_dead { /* a record set aside in this batch */
    const struct sl_batch *batch; /* the source's, or a view's own (derive.h) */
    uint16_t index;
    uint32_t component; /* UINT32_MAX: the engine */
    const char *reason;
};

struct sl_refusal { /* refuse.c */
    struct sl_refused record; /* its bytes lie behind the struct */
    uint32_t sink;
    bool accounted; /* as dead, at its sink */
    char reason[sizeof(((struct sl_err *)NULL)->text)];
    struct sl_refusal *next;
};

struct sl_revoke {
    struct sl_partition **partitions;
    uint32_t count;
    bool commit, attempted;
    uint64_t deadline_ns;
    void (*done)(void *user);
    void *user;
    struct sl_revoke *next;
};

/* The commit state machine (flush.c):
 *   IDLE --flush_begin--> PREPARING --prepared, flush_commit--> COMMITTING --committed--> PUBLISHING --published--> IDLE
 *   PREPARING or COMMITTING --failed, flush_abandon--> IDLE; COMMITTING --not known--> COMMITTING again after a back-off;
 *   PUBLISHING --failed--> PUBLISHING again after a back-off */
enum sl_commit_state { SL_COMMIT_IDLE, SL_COMMIT_PREPARING, SL_COMMIT_COMMITTING, SL_COMMIT_PUBLISHING };

struct sl_slot_commit {
    struct sl_job job; /* first: the job is the commit */
    struct sl_slot *slot;
    enum sl_commit_state state;
    uint64_t number, assignments; /* assignments: partitions of later ones are not in it */
    int status;
    struct sl_err err;
    uint32_t failed_sink;
    bool waiting; /* PUBLISHING failed, or whether COMMITTING happened is not known: again at retry_at_ns */
    uint64_t retry_at_ns, backoff_ns, last_ns;
    struct sl_domain_commit what;
    struct sl_buf tombstones; /* u32 length + key, of published entries, for the next commit */
    uint32_t tombstones_count;
    struct sl_buf sealed_tombstones; /* those named by the commit under way */
};

struct sl_slot {
    uint32_t magic, index;
    struct sl_env env;
    const struct sl_shared *shared;
    const struct sl_topology *topology;
    enum sl_slot_state state;
    struct sl_err failure;
    uint64_t now_ns, start_ns;

    struct sl_slot_component *components; /* [topology->components_count] */
    struct sl_slot_source *sources;
    uint32_t sources_count, source_next;
    struct sl_slot_sink *sinks;
    uint32_t sinks_count, dead_sink;
    void **operators; /* selves, by component */
    struct sl_slot_replay *replay; /* replay.h: this slot reads letters again; NULL: an ordinary one */
    struct sl_node **past;         /* by component: trees of the sources that letters came from */
    struct sl_node *nodes; /* arena of trees */
    uint32_t nodes_count;

    struct sl_names names; /* first of the projection */
    struct sl_field_path *paths;
    struct sl_path_asks { uint32_t all, appended; } *paths_asks; /* how many asked for it, and as a field that stages append */
    uint32_t paths_count, paths_cap;
    bool whole;       /* somebody needs whole records as JSON */
    uint32_t opening; /* component whose open() runs */

    struct sl_partition **partitions; /* by index; NULL free */
    uint32_t partitions_cap;
    uint64_t assignments;
    bool *revoking; /* by partition index */

    struct sl_arena arena;
    struct sl_batch batch;
    struct sl_item *items; /* of the parcel being made; grows (sl_slot_room) */
    struct sl_dead *dead;
    uint32_t items_cap, dead_count, dead_cap;

    struct sl_ticket *tickets;
    uint32_t tickets_cap, tickets_free;

    struct sl_ledger ledger;
    struct sl_account *account;

    struct sl_domain *domain;
    struct sl_slot_commit commit;
    struct sl_revoke *revokes;
    struct sl_refusal *refusals, *letters_open, *letters_sealed;
    bool recovering, recovered, flush_all;
    bool asked;        /* from outside: --once does not wait for what waits in queues then */
    uint64_t drain_ns; /* when draining began */
    struct sl_job recover_job;
    int recover_status;
    struct sl_err recover_err;
    uint64_t recover_at_ns, recover_backoff_ns;
    uint64_t zone_random[2];
    char *group;
    struct sl_tap_ring *taps; /* tap.h: whoever looks; NULL: nobody */
    uint64_t paused_until_ns;
    uint64_t batches, records, bytes, commits, commit_failures, rewinds, gap_offsets;
    char waits_for[192];
};

/* plan.c */
int sl_slot_plan(struct sl_slot *slot, struct sl_err *err);
int sl_slot_open_sources(struct sl_slot *slot, struct sl_err *err);
/* recover.c: zone ids, redo of committed flushes (rule C2); Kafka's runs as a job and is tried until it succeeds. */
int sl_slot_recover_start(struct sl_slot *slot, struct sl_err *err);
void sl_slot_recover_turn(struct sl_slot *slot, uint64_t *wake_ns);
/* position.c */
int sl_slot_positions_init(struct sl_slot *slot);
void sl_slot_positions_fini(struct sl_slot *slot);
struct sl_slot_source *sl_slot_source_of(struct sl_slot *slot, const struct sl_partition *partition);
uint64_t sl_slot_lowest(const struct sl_slot *slot, uint32_t partition, bool required_only,
                        uint64_t (*which)(const struct sl_position *position));
void sl_slot_release(struct sl_slot *slot, struct sl_partition *partition);
/* The sink has lost what it took since `done`: read again. */
void sl_slot_rewind(struct sl_slot *slot, uint32_t sink, const struct sl_err *why);
/* branch.c: the batch through its source's tree. */
int sl_slot_run(struct sl_slot *slot, struct sl_slot_source *source, struct sl_batch *batch, struct sl_err *err);
/* dead.c: room for `count` items. 0, or -1: no memory. */
int sl_slot_room(struct sl_slot *slot, uint32_t count);
/* Sets a record aside; `reason` lives as long as the batch. 0, or -1: no memory. */
int sl_slot_dead(struct sl_slot *slot, const struct sl_batch *batch, uint16_t index, uint32_t component, const char *reason);
/* Bodies of dead letters for slot->dead, into `items`, whose rows are of the source's batch. Returns the count, <0 over budget. */
int sl_slot_letters(struct sl_slot *slot, uint64_t skip_below, struct sl_item *items);
/* mask.c: a text of a partition's record (json: the whole record) as it may be shown: with a letter's component, or UINT32_MAX.
 * 1: *ret_text; 0: it cannot be masked: withhold it; -1: over budget. */
int sl_slot_mask(struct sl_slot *slot, const struct sl_partition *partition, uint32_t component, bool json, struct sl_slice text,
                 struct sl_slice *ret_text);
/* ticket.c */
int sl_slot_ticket(struct sl_slot *slot, uint32_t sink, uint32_t partition, uint32_t pending, const struct sl_mark *upto,
                   uint32_t *ret_ticket);
void sl_slot_tickets_drop(struct sl_slot *slot, uint32_t sink, uint32_t partition); /* UINT32_MAX: any partition */
/* The partition of a ref's ticket, UINT32_MAX when that is over. */
uint32_t sl_slot_ticket_partition(const struct sl_slot *slot, const struct sl_ref *ref);
/* Nothing of the range is waited for: its end is the mark once all before it is done. 0, or -1: no memory. */
int sl_slot_ticket_none(struct sl_slot *slot, uint32_t sink, uint32_t partition, const struct sl_mark *upto);
void sl_slot_ticket_done(struct sl_slot *slot, const struct sl_ref *ref); /* one of its pending; a late one is dropped (rule B4) */
/* queue*.c: sinks with when_full: spool; `sink` has a queue */
int sl_slot_queue_open(struct sl_slot *slot, uint32_t sink, struct sl_err *err);
void sl_slot_queues_fini(struct sl_slot *slot); /* once the sinks are closed */
void sl_slot_queues_look(struct sl_slot *slot); /* says what waits for sinks that are no more */
/* Takes the parcel (not empty), for the sink or the queue; *ret_taken, for the account: SL_FATES, or SL_LIVE: lost. */
int sl_slot_queue_take(struct sl_slot *slot, uint32_t sink, const struct sl_parcel *parcel, const struct sl_mark *upto,
                       enum sl_fate *ret_taken, struct sl_err *err);
bool sl_slot_queue_takes(struct sl_slot *slot, uint32_t sink); /* else reading waits */
void sl_slot_queues_turn(struct sl_slot *slot, uint64_t *wake_ns);
void sl_slot_queues_spill(struct sl_slot *slot); /* of sinks that are not required: marks are to follow soon */
bool sl_slot_queues_out(struct sl_slot *slot, uint64_t *wake_ns); /* a drain waits for some; waits_for says what */
void sl_slot_queues_say(struct sl_slot *slot);   /* what waits for the next start */
bool sl_slot_queue_is_dead(const struct sl_slot *slot, uint32_t sink); /* false where it has no queue */
void sl_slot_queue_failed(struct sl_slot *slot, uint32_t sink, const struct sl_err *why);
void sl_slot_queue_done(struct sl_slot *slot, uint32_t sink, const struct sl_ref *refs, uint32_t count, enum sl_outcome outcome,
                        const struct sl_err *why);
/* The partition that a refused record came from; scratch holds one that is not ours. False: the record is not the sink's any more. */
bool sl_slot_queue_partition(struct sl_slot *slot, uint32_t sink, const struct sl_ref *ref, struct sl_partition *scratch,
                             const struct sl_partition **ret_partition);
void sl_slot_queue_status(const struct sl_slot *slot, uint32_t sink, struct sl_slot_queue_status *ret_status);
/* refuse.c */
void sl_slot_refuse_turn(struct sl_slot *slot, uint64_t *wake_ns);
void sl_slot_refuse_sealed(struct sl_slot *slot);    /* the dead letters' flush was sealed */
void sl_slot_refuse_committed(struct sl_slot *slot); /* and committed */
void sl_slot_refuse_lost(struct sl_slot *slot, bool sealed_too);
void sl_slot_refuse_fini(struct sl_slot *slot);
/* flush.c */
void sl_slot_flush_turn(struct sl_slot *slot, uint64_t *wake_ns);
bool sl_slot_committed_all(const struct sl_slot *slot);
/* The name under which this slot's commits are kept: the consumer group, or the topology. */
const char *sl_slot_group(const struct sl_slot *slot);
uint64_t sl_slot_flush_number(struct sl_slot *slot);
void sl_slot_commit_fini(struct sl_slot *slot);
/* revoke.c */
void sl_slot_revoke_turn(struct sl_slot *slot, uint64_t *wake_ns);
void sl_slot_revokes_fini(struct sl_slot *slot);
/* slot.c */
void sl_slot_fail(struct sl_slot *slot, const struct sl_err *err);
void sl_slot_log(struct sl_slot *slot, const struct sl_err *err, const char *what);

#endif
