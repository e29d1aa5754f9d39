/* slot_private.h: the inside of a slot, shared by the files that are its parts: plan (one version's instances and trees), swap (one
 * plan gives way to the next), branch (a batch to the sinks, arm: through the tree), account (ledger), position (partitions and marks), ticket
 * (acknowledgements), flush (commit state machine), revoke.
 *
 * What belongs to a version of the topology is in struct sl_plan; what must outlive it (sources, sinks by name with their marks, tickets,
 * partitions, ledger, commit) is in struct sl_slot.
 *
 * Ownership: everything here belongs to the slot's thread; a struct sl_flush and the commit's buffers belong to the clerk
 * between submit and done of a job.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_ENGINE_SLOT_PRIVATE_H
#define SL_RUNTIME_ENGINE_SLOT_PRIVATE_H

#include "runtime/base/blame.h"
#include "runtime/base/buf.h"
#include "runtime/base/intern.h"
#include "runtime/config/topology.h"
#include "runtime/engine/slot/account.h"
#include "runtime/engine/slot/arm.h"
#include "runtime/engine/domain.h"
#include "runtime/engine/drive.h"
#include "runtime/engine/encode.h"
#include "runtime/engine/mark_codec.h"
#include "runtime/engine/match.h"
#include "runtime/engine/merge.h"
#include "runtime/engine/slot.h"

enum {
    SL_SLOT_MAGIC = 0x534c4f54,
    SL_PARTITION_MAGIC = 0x50415254,
    SL_SLOT_NODES_MAX = 4096,   /* stages of one tree, diamonds unfolded */
    SL_SLOT_SINKS_MAX = 256,    /* sinks, those that leave included */
    SL_SLOT_SOURCES_MAX = 128,
    SL_SLOT_BATCHES_A_TURN = 4 /* then other slots of the worker have their turn */
};

#define SL_REVOKE_NS (2ull * 1000000000ull) /* rule I1 */

/* One input batch on its way through one ACK sink: done when nothing is pending. */
struct sl_ticket {
    uint32_t generation, pending, records; /* pending: of the records, those that are not answered for */
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

/* An instance, with the way out that it was given. Of one plan, but for sources and sinks that the next one keeps. */
struct sl_slot_component {
    struct sl_slot *slot;
    struct sl_component conf; /* a copy: the topology's own rows go with it; not its inputs */
    uint32_t index; /* in topology->components */
    bool apart;     /* not yet, or no more, on the slot's thread: the turn's clock is not its own */
    void *self;
    struct sl_api api;
    uint32_t *columns; /* bound at open, for projections */
    uint32_t columns_count, columns_cap;
    bool whole; /* it asked for whole records */
    struct sl_blame_frame frame; /* of an operator: who runs, should the process crash */
    struct sl_component_counts counts;
};

struct sl_instance { /* of a sink */
    uint32_t component;
    struct sl_slot_component *of; /* NULL: none */
    const struct sl_sink_kind *kind;
    void *self;
    const struct sl_sink_common *common;
    struct sl_bound_cond *where;
    struct sl_encoder *encoder; /* NULL: codec raw */
    uint32_t flags; /* enum sl_sink_flags */
    bool flushed, needs_zone;
};

/* The instance that a sink had before a swap, until what it took is committed or acknowledged (swap.c). While there is one, the new instance
 * of a flushed sink is not sealed; a commit seals the old one first, up to where the new one began. */
struct sl_leaving {
    struct sl_instance was;
    struct sl_mark *upto; /* [cap] by partition index: where the new instance began */
    uint64_t *assignment; /* [cap] of which upto is; 0: none */
    uint32_t cap;
    uint64_t open_items;  /* flushed: not yet sealed */
    bool mixed;           /* of more than one version */
    uint32_t generation;  /* that was live when it began to leave */
    struct sl_ledger open;
    uint64_t deadline_ns; /* acknowledging sinks: then what it has not answered is read again */
    bool over;            /* its tickets were dropped with the sink's others: nothing of it is waited for */
};

struct sl_slot_sink { /* one name; a row is free where now.kind is NULL */
    struct sl_instance now;
    struct sl_leaving *leaving;
    char *name;
    char *former;  /* its name before a swap, or NULL: its marks there go once they are under the new one */
    bool gone;     /* the topology has it no more; it finishes what it took, and its queue */
    char zone[33]; /* once it is known */
    struct sl_position *positions; /* [slot->partitions_cap] */
    uint64_t open_items;           /* parcels and records taken since the last seal */
    uint64_t open_mix;             /* slot->mix at the first of them */
    struct sl_ledger open, sealed_ledger; /* flushed: counted in the slot's ledger once committed (rule J4) */
    struct sl_flush *flush;        /* sealed, of the commit under way */
    void *flush_self;              /* whose it is: now's, or leaving's */
    bool sealed, want_flush;
    bool sealed_leaving;           /* what is sealed is leaving's */
    uint64_t backoff_ns;
    uint32_t tickets_pending;
    struct sl_queue *queue; /* when_full: spool (queue.h), or NULL */
};

/* The last mark of a sink that the topology has no more and that has finished. It stays in the commit record until all others have come as far:
 * were it missing, a sink of that name that comes back would begin where the slowest of the others stands, and be given records again. */
struct sl_parted {
    struct sl_mark mark;
    uint32_t partition, incarnation;
    uint64_t assignment, identity; /* identity: of source, topic and id; one of our own sources may assign it again */
    bool in_commit; /* its removal is */
    struct sl_parted *next;
    char sink[]; /* name */
};

struct sl_node { /* a stage in the tree of one source */
    uint32_t component;
    const struct sl_op_kind *kind; /* NULL: a sink or the source itself */
    void *self;
    const struct sl_blame_frame *frame;
    uint32_t sink; /* index into slot->sinks, or UINT32_MAX */
    uint32_t port; /* of the parent that feeds it */
    struct sl_node *child, *sibling;
};

struct sl_slot_source {
    uint32_t component;
    struct sl_slot_component *of;
    const struct sl_source_kind *kind;
    void *self;
    struct sl_node *tree;
    bool *sinks; /* [SL_SLOT_SINKS_MAX] reached by its tree; dead letters always */
    bool opened; /* false: it is tried at retry_at_ns, once an instance of its name that leaves is gone */
    bool leaving; /* nothing is read of it; its partitions are being given up */
    uint64_t retry_at_ns, backoff_ns;
};

/* One version of the topology in this slot: operators opened for it alone, trees, and the columns that all who read are bound to. Columns
 * keep their index from plan to plan, so that sinks that stay need not be bound again. */
struct sl_plan {
    struct sl_slot *slot;
    const struct sl_topology *topology; /* in the index space of the process (merge.h) */
    void **component_shared;            /* by component */
    const enum sl_merge_fate *fates;    /* by component; NULL: the first plan, all is new */
    uint32_t generation;
    uint32_t components_count; /* the topology's, kept to free by */
    struct sl_slot_component **components; /* by component; NULL: gone. Those of kept sources and sinks are the slot's */
    struct sl_instance *sinks;             /* by component; opened here, before the swap */
    struct sl_node *nodes;                 /* arena of trees */
    uint32_t nodes_count;
    struct sl_node **trees; /* by component: SL_SOURCE, SL_PAST */

    struct sl_names names;
    struct sl_field_path *paths;
    struct sl_path_asks { uint32_t all, appended; } *paths_asks; /* how many asked for it, and as a field that stages append */
    uint32_t paths_count, paths_cap, paths_first; /* from paths_first on: made by this plan */
    bool whole;       /* somebody needs whole records as JSON */
    uint32_t opening; /* component whose open() runs */
    bool installed;

    char (*zones)[33]; /* by component: of flushed sinks opened here; empty: not known yet (swap_prepare.c) */
    struct sl_job zones_job;
    int zones_status;
    struct sl_err zones_err;
    uint64_t zones_random[2];
    void (*zones_done)(void *user, struct sl_plan *plan);
    void *zones_user;
};

struct sl_dead { /* a record set aside in this batch */
    const struct sl_batch *batch; /* the source's, or a view's own (derive.h) */
    uint16_t index;
    const struct sl_plan *plan; /* whose stage it was; NULL: the live one's */
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
    void *closing; /* the source's instance that is closed with it, or NULL */
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
    const struct sl_flush *failed_flush; /* that could not be prepared */
    bool waiting; /* PUBLISHING failed, or whether COMMITTING happened is not known: again at retry_at_ns */
    uint64_t retry_at_ns, backoff_ns, last_ns;
    struct sl_domain_commit what;
    struct sl_buf tombstones; /* u32 length + key, of published entries, for the next commit */
    uint32_t tombstones_count;
    struct sl_buf sealed_tombstones; /* those named by the commit under way */
    struct sl_buf later; /* changes that the next commit brings along: u32 lengths of key and value (UINT32_MAX: removed), key, value */
    size_t later_sealed; /* so much of it is in the commit under way */
    bool again, again_sealed; /* due though no mark has moved: a sink that held the offset back is no more */
};

struct sl_slot {
    uint32_t magic, index;
    struct sl_env env;
    const struct sl_shared *shared;
    const struct sl_topology *topology;
    enum sl_slot_state state;
    struct sl_err failure;
    uint64_t now_ns, start_ns;

    struct sl_plan *plan;                  /* the live one; topology and components are its */
    struct sl_arm live;                    /* its way through a batch */
    struct sl_trial *trial;                /* trial.h: a candidate at work beside it, or NULL */
    bool was_idle;                         /* at the last turn the sources had nothing */
    struct sl_slot_component **components; /* [topology->components_count] NULL: gone */
    struct sl_slot_source *sources; /* [SL_SLOT_SOURCES_MAX] */
    uint32_t sources_count, source_next;
    struct sl_slot_sink *sinks; /* [SL_SLOT_SINKS_MAX] */
    uint32_t sinks_count, dead_sink;
    struct sl_parted *parted;
    struct sl_slot_replay *replay; /* replay.h: this slot reads letters again; NULL: an ordinary one */
    void **path_blocks; /* memory of the paths of all plans: who is bound to a column may keep its path */
    uint32_t path_blocks_count;
    uint32_t leaving; /* instances of sinks, and sources, that have not finished yet */
    uint32_t left_generation; /* that was live before the last swap */
    uint64_t mix; /* raised whenever records begin or cease to go through another version: a swap, a canary */
    uint64_t swaps, maybe_duplicated;
    bool paused; /* by a person */
    bool faulted;      /* the version that is live cannot go on: `failure` says why; nothing is read, for another one to be put in */
    uint64_t fault_ns; /* since when */
    struct sl_job fence; /* swap.c */
    uint32_t fences;

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
    uint32_t letters_sink; /* that holds the last two */
    bool recovering, recovered, flush_all;
    bool transactional; /* commits to Kafka carry flushes */
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
/* Opens what is new of the topology: operators, sinks; on any thread, one plan of a slot at a time. `live`: the plan that runs, or NULL. Marks,
 * tickets and whatever moves in the slot are not touched. */
struct sl_plan *sl_plan_new(struct sl_slot *slot, const struct sl_topology *topology, void **component_shared,
                            const enum sl_merge_fate *fates, const struct sl_plan *live, uint32_t generation, struct sl_err *err);
/* Its sinks and sources are the slot's alone from here on: what it still points to may be closed before it. */
void sl_plan_disown(struct sl_plan *plan);
/* The row of a sink's component, UINT32_MAX: none. */
uint32_t sl_slot_sink_of(const struct sl_slot *slot, uint32_t component);
void sl_instance_close(struct sl_instance *instance); /* and its component; zeroed */
struct sl_slot_component *sl_slot_component_free(struct sl_slot_component *component);
/* slot.c */
struct sl_slot_component *sl_slot_component_new(struct sl_slot *slot, const struct sl_topology *topology, uint32_t index, void *shared);
/* swap.c */
/* The first plan, of a slot that is being opened. */
int sl_slot_start(struct sl_slot *slot, struct sl_plan *plan, struct sl_err *err);
/* Opens the sources that are not open and may be; retries what failed. At start: the first failure is the slot's. */
int sl_slot_sources_turn(struct sl_slot *slot, bool start, uint64_t *wake_ns, struct sl_err *err);
void sl_slot_leave_turn(struct sl_slot *slot, uint64_t *wake_ns);
void sl_leaving_free(struct sl_leaving *leaving); /* beside its instance; NULL: nothing */
/* What the leaving instance held is committed, or will be read again by the new one (lost). */
void sl_slot_leave_end(struct sl_slot *slot, uint32_t sink, bool lost);
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
/* The partition is read again from what its sinks still need: the batch under way went through none of them. */
void sl_slot_again(struct sl_slot *slot, struct sl_partition *partition);
/* The sink has lost what it took since `done`: read again. */
void sl_slot_rewind(struct sl_slot *slot, uint32_t sink, const struct sl_err *why);
/* branch.c: the batch through its source's tree. */
int sl_slot_run(struct sl_slot *slot, struct sl_slot_source *source, struct sl_batch *batch, struct sl_err *err);
/* dead.c: room for `count` items. 0, or -1: no memory. */
int sl_slot_room(struct sl_slot *slot, uint32_t count);
/* Sets a record aside; `reason` lives as long as the batch. 0, or -1: no memory. */
int sl_slot_dead(struct sl_slot *slot, const struct sl_batch *batch, uint16_t index, const struct sl_plan *plan, uint32_t component,
                 const char *reason);
/* Bodies of dead letters for slot->dead, into `items`, whose rows are of the source's batch. Returns the count, <0 over budget. */
int sl_slot_letters(struct sl_slot *slot, uint64_t skip_below, struct sl_item *items);
/* mask.c: a text of a partition's record (json: the whole record) as it may be shown: with a letter's component, or UINT32_MAX.
 * 1: *ret_text; 0: it cannot be masked: withhold it; -1: over budget. */
int sl_slot_mask(struct sl_slot *slot, const struct sl_partition *partition, uint32_t component, bool json, struct sl_slice text,
                 struct sl_slice *ret_text);
/* By the masks of another version than the live one. */
int sl_slot_mask_of(struct sl_slot *slot, const struct sl_plan *plan, const struct sl_partition *partition, uint32_t component, bool json,
                    struct sl_slice text, struct sl_slice *ret_text);
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
/* After the sink's instance was exchanged: its settings, its name. */
void sl_slot_queue_move(struct sl_slot *slot, uint32_t sink);
void sl_slot_queue_end(struct sl_slot *slot, uint32_t sink); /* the sink is gone: what lies on disk stays there */
bool sl_slot_queue_is_empty(const struct sl_slot *slot, uint32_t sink);
bool sl_slot_queue_is_out(const struct sl_slot *slot, uint32_t sink); /* the sink has records of it that it has not answered for */
uint64_t sl_slot_queue_out_count(const struct sl_slot *slot, uint32_t sink);
void sl_slot_queue_status(const struct sl_slot *slot, uint32_t sink, struct sl_slot_queue_status *ret_status);
/* refuse.c */
void sl_slot_refuse_turn(struct sl_slot *slot, uint64_t *wake_ns);
void sl_slot_refuse_sealed(struct sl_slot *slot);    /* the dead letters' flush was sealed */
void sl_slot_refuse_committed(struct sl_slot *slot); /* and committed */
void sl_slot_refuse_lost(struct sl_slot *slot, bool sealed_too);
void sl_slot_refuse_fini(struct sl_slot *slot);
bool sl_slot_is_letters(const struct sl_slot *slot, uint32_t sink); /* the sink holds the letters of letters_open and letters_sealed */
/* flush.c */
/* The next commit brings this change along; value.data NULL: removes the key. Copied. */
void sl_slot_commit_later(struct sl_slot *slot, struct sl_slice key, struct sl_slice value);
/* The row's sink has finished and goes: its marks stay for a while. */
void sl_slot_part(struct sl_slot *slot, uint32_t sink);
/* How far a sink of that name had come that is no more; 0: not known. */
uint64_t sl_slot_parted(const struct sl_slot *slot, const char *sink, uint32_t partition);
void sl_slot_flush_turn(struct sl_slot *slot, uint64_t *wake_ns);
bool sl_slot_committed_all(const struct sl_slot *slot);
/* The name under which this slot's commits are kept: the consumer group, or the topology. */
const char *sl_slot_group(const struct sl_slot *slot);
uint64_t sl_slot_flush_number(struct sl_slot *slot);
void sl_slot_commit_fini(struct sl_slot *slot);
/* revoke.c */
void sl_slot_revoke_turn(struct sl_slot *slot, uint64_t *wake_ns);
void sl_slot_revokes_fini(struct sl_slot *slot);
/* Revokes them with a commit; then the source's instance `self` is closed and its row leaves. */
void sl_slot_revoke_closing(struct sl_slot *slot, void *self, struct sl_partition *const *partitions, uint32_t count);
/* slot.c */
void sl_slot_fail(struct sl_slot *slot, const struct sl_err *err);
void sl_slot_log(struct sl_slot *slot, const struct sl_err *err, const char *what);

#endif
