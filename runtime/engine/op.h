/* op.h: the interface of operators, sources and sinks (refined from the design's sketch), and the one way out, `api`.
 *
 * Threads: an instance belongs to one slot (one worker thread); it takes no lock, starts no thread, blocks on nothing.
 * Whatever blocks (fsync, a Kafka transaction) is a job: `run` on the slot's clerk thread, `done` on the slot's own.
 * Time, randomness, files and jobs come through `api` alone, so the simulator drives the same code.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_ENGINE_OP_H
#define SL_RUNTIME_ENGINE_OP_H

#include <stddef.h>

#include "runtime/base/err.h"
#include "runtime/base/fs.h"
#include "runtime/config/kind.h"
#include "runtime/config/name.h"
#include "runtime/engine/batch.h"
#include "runtime/engine/http.h"

struct sl_slot; /* slot.h */
struct sl_spool; /* store/spool.h */
struct sl_flush;
struct sl_topology;
struct sl_klog;
struct sl_klog_producer;
struct sl_sink_common; /* config/topology.h */
struct sl_ledger;
struct sl_commit; /* commit.h */

/* The columns of a topology: one index space for all its stages. Slot thread, at open only. */
struct sl_names {
    /* Index into view->decoded->columns of a payload field (SL_NAME_PATH), >= 0, the same for the same path; < 0: err. Names of
     * other kinds need no column and are not passed here, but SL_NAME_TRACE, which asks for the trace role's own column. */
    int (*column)(struct sl_names *names, const struct sl_name *name, struct sl_err *err);
    /* The path behind a column index; paths live as long as the topology. */
    const struct sl_field_path *(*path)(struct sl_names *names, uint32_t column);
    uint32_t (*count)(struct sl_names *names);
    /* Said of a column just asked for: stages append the field to records, behind all others. A parse stage that trusts its input
     * may then look for it only in records that have been appended to. May be NULL. */
    void (*appended)(struct sl_names *names, uint32_t column);
    /* Whether everybody who asked for the column said so: one plain reader makes it an ordinary field. May be NULL: none is. */
    bool (*is_appended)(struct sl_names *names, uint32_t column);
    /* Said at open by a stage or sink that needs whole records as JSON (an encoder, a rewrite): parse of another format then makes
     * them (sl_decoded.body); else it makes columns only. May be NULL. */
    void (*whole)(struct sl_names *names);
    bool (*is_whole)(struct sl_names *names); /* asked at ready(); NULL: nobody needs them */
};

/* Work beside the loop. Embed it; the memory is the caller's again when done() is called. */
struct sl_job {
    void (*run)(struct sl_job *job);  /* clerk thread; touches only what the job owns */
    void (*done)(struct sl_job *job); /* slot thread, never inside the call that submitted it */
    struct sl_job *next;
    void (*drop)(struct sl_job *job); /* instead of done(), where the driver ends before; right before close(). NULL: nothing to undo */
};

/* Given to every instance at open; lives as long as the instance. */
struct sl_api {
    void *env;
    struct sl_fs *fs;
    uint64_t (*now_ns)(void *env);       /* monotonic, read once a turn */
    int64_t (*unix_ms)(void *env);       /* wall, for append times and names only */
    uint64_t (*random)(void *env);
    void (*submit)(void *env, struct sl_job *job); /* in order, one at a time per slot */
    void (*wake)(void *env);                       /* any thread: run a turn soon */
    int (*http)(void *env, struct sl_http_request *request, struct sl_err *err); /* http.h; NULL: no network here */
    void (*http_cancel)(void *env, struct sl_http_request *request);
    void (*tally)(void *env, const void *self, uint32_t counter, uint64_t by);
    void (*observe)(void *env, uint64_t ns); /* how long a request to the back-end took: this instance's histogram; NULL: none */
    void (*log)(void *env, const struct sl_err *err, const char *what); /* the loop's log, rate limited */
    const char *node, *data_dir, *topology, *component; /* names for paths and messages */
    const char *base_dir;   /* folder of the topology's file; inputs are relative to it */
    uint32_t epoch;         /* start counter kept in data_dir */
    uint32_t slot, slots;   /* this instance is slot of slots */
    uint64_t share_bytes;   /* this instance's part of `memory:` */
    uint64_t max_record_bytes;
    struct sl_spool *spool; /* the process's; also at share(), where there is no slot yet */
    const struct sl_sink_common *common; /* sinks: the settings that every sink has; NULL: their defaults */
    void *shared;           /* what the kind's share() made once per process and component, or NULL */
};

/* ---- operators: synchronous over a view ---- */
enum sl_op_flags {
    SL_OP_PARSES = 1,  /* makes the fields of records: view->decoded */
    SL_OP_FOREIGN = 2, /* and the payloads are not JSON: codec raw behind it writes them as they came */
    SL_OP_EDITS = 4,   /* changes what records say: refused before codec raw behind a foreign parse, where it would be lost */
    SL_OP_STAMPS = 8,  /* adds to records what may be lost there: a warning */
    SL_OP_DERIVES = 16, /* may make several records of one (derive.h) */
    SL_OP_CODE = 32,    /* runs code that did not come with Sluice (a script, a plugin): sl_blame_frame.foreign */
};

struct sl_op_kind {
    struct sl_head head;
    uint32_t (*ports)(const void *config, const char *const **ret_names); /* routers; NULL: one output */
    /* `names` registers the fields this stage reads, once, before any process(). */
    int (*open)(void *self, const struct sl_api *api, const void *config, struct sl_names *names, struct sl_err *err);
    /* After all stages are open: the columns that this stage and those behind it read (parse decodes just these). May be NULL. */
    int (*ready)(void *self, const uint32_t *columns, uint32_t count, struct sl_names *names, struct sl_err *err);
    int (*process)(void *self, struct sl_view *view, struct sl_err *err); /* non-zero: the topology is at fault */
    void (*close)(void *self); /* accepts a self whose open failed or never ran (zeroed) */
    uint32_t flags;            /* enum sl_op_flags; see sl_op_flags_of */
    uint32_t (*config_flags)(const void *config); /* further flags, by its settings; may be NULL */
    /* Stages that mask: a text as it may be shown beside the topology (slot/mask.c). json: a whole record, which has SL_PAD readable
     * bytes behind it; else any text. 1: *ret_text, in the arena or the text itself; 0: it cannot be masked; -1: no memory. NULL: none */
    int (*mask)(void *self, bool json, struct sl_slice text, struct sl_arena *arena, struct sl_slice *ret_text);
    /* What a stage knows that outlives its generation (rule H3). Both NULL: every generation begins anew. Slot thread.
     * state_version: a hash of what the state means: its layout and the settings that make it. Of two open instances of one name and
     * kind the engine compares these; only where they are equal it calls adopt. */
    uint64_t (*state_version)(const void *self);
    /* self (open and ready) learns what old_self knows, between two batches, and is bounded to about a millisecond whatever the size.
     * move: old_self has processed its last batch and is closed next; what it knows becomes self's. self may have been fed before (a
     *   canary): then it knows both. 0, or err: self goes on with what it has.
     * else: a copy, for a shadow or a canary. 0: self knows all that old_self knows at this boundary; 1: there is more. Called at one
     *   boundary after the other, while old_self goes on, until all stages of a version say 0 at the same one: from there on self is fed.
     *   Both stay open in between. A copy may be given up at any time by closing self. < 0: err, self is empty. */
    int (*adopt)(void *self, void *old_self, bool move, struct sl_err *err);
};

static inline uint32_t sl_op_flags_of(const struct sl_op_kind *kind, const void *config)
{
    return kind->flags | (kind->config_flags == NULL ? 0 : kind->config_flags(config));
}

/* ---- sources ---- */
enum sl_source_flags {
    SL_SOURCE_KAFKA = 1,  /* commits through its own Kafka consumer (commit domain), else through the local commit log */
    SL_SOURCE_ENDS = 2,   /* can be at its end */
    SL_SOURCE_JOINS = 4,  /* a record may be several lines, joined in time: reading again may find other records (config_flags) */
};

struct sl_source_kind {
    struct sl_head head;
    uint32_t flags;
    int (*open)(void *self, const struct sl_api *api, const void *config, struct sl_slot *slot, struct sl_err *err);
    /* How many partitions there are to share out, for the default of `consumers:`; may block; NULL: few. */
    int (*partitions)(const struct sl_api *api, const void *config, const struct sl_topology *topology, struct sl_klog *log,
                      uint32_t *ret_count, struct sl_err *err);
    /* Fills `batch` (arrays in batch->arena). Returns 1 a batch, 0 nothing now, <0 failed (err says the remedy). The
     * borrowed payloads stay valid until the next poll() or release(). Calls sl_slot_assign/revoke as partitions come and go. */
    int (*poll)(void *self, struct sl_batch *batch, struct sl_err *err);
    void (*release)(void *self);
    /* The engine wants partition to go on from `next` (at assignment, and to read again after a sink failed). */
    int (*seek)(void *self, struct sl_partition *partition, uint64_t next, struct sl_err *err);
    /* Everything below `next` is committed: holds may be released. May be NULL. */
    void (*committed)(void *self, struct sl_partition *partition, uint64_t next);
    /* Re-reads the record at `offset` for rule A1. 1 found, 0 gone, <0 not possible. May be NULL. */
    int (*fingerprint)(void *self, struct sl_partition *partition, uint64_t offset, uint64_t *ret_hash);
    /* Records and ms behind; -1 unknown. */
    void (*lag)(void *self, int64_t *ret_records, int64_t *ret_ms);
    /* --once: 1 when positions have reached the ends taken at the first call. May be NULL: never ends. */
    int (*at_end)(void *self);
    void (*pause)(void *self, bool paused); /* memory: stop fetching; may be NULL */
    void (*close)(void *self);
    /* After a poll() that gave 0: ask again this much later even without a wake(). NULL: only wake() brings news. */
    uint64_t (*wait_ns)(void *self);
    /* The first offset that can be read of a partition that is held as changed, where its next incarnation begins (rule A1). NULL:
     * this source never holds one. */
    int (*first)(void *self, struct sl_partition *partition, uint64_t *ret_first, struct sl_err *err);
    /* In a turn in which poll() is not called (back-pressure, draining, failed): hears what the group wants, reads nothing. NULL: has
     * nothing to hear. */
    void (*serve)(void *self);
    uint32_t (*config_flags)(const void *config); /* further flags, by its settings; may be NULL */
    /* A new version has other settings for this source, and closing it would cost more than it must (a group's rebalance). self NULL: 0 if
     * `config` can follow `was` in place, else err says which setting cannot and the deployment is refused. self: takes them, soon; `config`
     * lives as long as the instance; a failure is told by poll(). NULL: the source is closed and opened anew. */
    int (*change)(void *self, const void *was, const void *config, struct sl_err *err);
    /* A process that waits for its turn (`sluice upgrade`): opens ahead for one slot what takes long to open and owns nothing, so that
     * open() finds it. May block, never needs to succeed. NULL: opening is quick. */
    int (*ahead)(const struct sl_api *api, const void *config, const struct sl_topology *topology, struct sl_klog *log, struct sl_err *err);
};

/* ---- sinks ---- */
/* A sink is either FLUSHED: what it took exists only once a commit names it (files, exactly-once Kafka), or it acknowledges
 * each record by api done(). */
enum sl_sink_flags {
    SL_SINK_FLUSHED = 1,
    SL_SINK_NEEDS_KAFKA_COMMIT = 2,
    SL_SINK_LINES = 4, /* bodies must not hold CR, LF */
    SL_SINK_JSON = 8,  /* bodies must be JSON objects: codec json is its default, others are refused at check */
    SL_SINK_TEXT = 32, /* bodies must be text: codec protobuf is refused at check */
    SL_SINK_PUSH = 16, /* sends requests: batch: and retry.deadline are for it; may refuse records, so it takes no dead letters */
    SL_SINK_KEYED = 64, /* a record has an id made of its origin: sent twice, it is there once */
};

enum sl_outcome { SL_ACK, SL_RETRY, SL_REFUSED, SL_UNKNOWN };

struct sl_ref { /* names a record of a ticket */
    uint32_t ticket;
    uint16_t index;
};

struct sl_item {
    struct sl_ref ref;
    uint16_t row; /* index into the view's batch arrays */
    struct sl_slice body;
};

struct sl_parcel { /* borrowed: dead after submit() returns */
    const struct sl_item *items;
    uint32_t count;
    const struct sl_view *view; /* metadata of the rows */
    uint64_t first, next;       /* the range of the batch's partition that it covers for this sink; ranges tile */
    uint64_t bytes;
};

struct sl_sink_kind {
    struct sl_head head;
    uint32_t flags; /* see sl_sink_flags_of */
    uint32_t (*config_flags)(const void *config); /* further flags, by its settings; may be NULL */
    int (*open)(void *self, const struct sl_api *api, const void *config, struct sl_names *names, struct sl_slot *slot,
                struct sl_err *err);
    /* FLUSHED: the id of the zone of (group, sink), 32 hex digits, told once before redo() and the first submit (rule C6); clerk
     * thread or start. Refuses a place that belongs to another zone. NULL: the sink has no zone. */
    int (*zone)(void *self, const char *zone_id, struct sl_err *err);
    /* The id of the zone that lies at the sink's place, for a slot whose commits are not where that was made (replay.h): 1; 0: none. */
    int (*zone_known)(void *self, char ret_zone[33], struct sl_err *err);
    /* Bytes that it can take now; 0 stops the slot's polling (back-pressure). NULL: always takes. */
    uint64_t (*credit)(void *self);
    /* Takes the parcel whole. Non-zero: it failed and has abandoned everything not yet committed; the engine reads again
     * from the sink's marks after a back-off (rule F2). */
    int (*submit)(void *self, const struct sl_parcel *parcel, struct sl_err *err);
    int (*turn)(void *self, uint64_t now_ns, uint64_t *ret_wake_ns, struct sl_err *err); /* timers, polls; may be NULL */
    /* FLUSHED only. want: 1 when a flush is due (bytes, time, paths). seal: what was taken since the last seal becomes one
     * flush; later submits belong to the next. A sink has at most one sealed flush. NULL result: nothing was taken. */
    int (*want)(void *self, uint64_t now_ns);
    int (*seal)(void *self, uint64_t flush_number, struct sl_flush **ret_flush, struct sl_err *err);
    int (*prepare)(struct sl_flush *flush, struct sl_err *err); /* clerk: write, fsync; fills flush->entry */
    /* Exactly-once Kafka sinks: clerk, inside the commit's transaction: produce what the flush holds. Others: NULL. */
    int (*transact)(struct sl_flush *flush, struct sl_klog *log, struct sl_klog_producer *producer, struct sl_err *err);
    int (*publish)(struct sl_flush *flush, struct sl_err *err); /* clerk: after the commit: renames; must be repeatable */
    void (*abandon)(void *self, struct sl_flush *flush); /* failed or refused: remove temporaries. flush NULL: what is not sealed */
    void (*release_flush)(void *self, struct sl_flush *flush); /* after publish or abandon: free */
    /* FLUSHED: clerk or start: redo the publish of an entry found committed; forget temporaries no entry names. */
    int (*redo)(void *self, struct sl_slice entry, struct sl_err *err);
    /* Another node's committed entry: 1: its temporaries lie in this sink's own place (a shared root), so that redo() may publish
     * them if that node never comes back; 0: they do not. Start or clerk. NULL: never. */
    int (*holds)(void *self, struct sl_slice entry);
    int (*drain)(void *self); /* 1: nothing in flight */
    void (*close)(void *self);
    /* `check --connect`: a request that changes nothing and shows whether back-end number `host` answers and lets us in. 1: filled;
     * its done() frees what it points to; 0: there is no such host; <0: err. NULL: there is none to ask. */
    int (*probe)(const void *config, uint32_t host, struct sl_http_request *request, struct sl_err *err);
};

static inline uint32_t sl_sink_flags_of(const struct sl_sink_kind *kind, const void *config)
{
    return kind->flags | (kind->config_flags == NULL ? 0 : kind->config_flags(config));
}

struct sl_flush { /* first member of a sink's own flush struct */
    const struct sl_sink_kind *kind;
    uint64_t number;
    struct sl_slice entry; /* bytes for the commit record, owned by the flush; set by prepare; data NULL: none */
    const struct sl_ledger *ledger; /* set by the engine before prepare: what this flush accounts for, by service and level */
    uint32_t generation; /* set by the engine before prepare: version of the topology that was live at the seal; 0: not known */
    bool several;        /* and some of its records went through another one */
};

#endif
