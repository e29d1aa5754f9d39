/* queue.h: the local queue of one sink with `when_full: spool`, in one slot (DELIVERY rules F4, F5): what the sink cannot take now
 * lies whole and in order in a topic of the spool, @queue/TOPOLOGY/SINK, partition = slot, and comes back to it from there.
 *
 * Files: queue.c (life, turns, status), queue_take.c (from a batch into the queue, and to disk), queue_pump.c (from the queue to the
 * sink), queue_parcel.c (what it is given), queue_answer.c (acknowledgements, refusals), queue_entry.c (entries), queue_codec.c
 * (a record's bytes on disk).
 *
 * An entry is a run of records of one partition: those of one parcel, or what the pump has read back. States of its bytes:
 *   MEMORY --take_write--> WRITING --durable--> DISK;  WRITING --refused by the disk--> MEMORY
 * and of each of its records: idle --submitted--> out --acknowledged--> done;  out --to be sent again--> idle
 * A queue is behind while some record of it is idle. While it is not, a parcel goes to the sink at once, and its copy in memory dies
 * with the answers. Once it is behind, every parcel goes to its end, and whatever the sink has not acknowledged is written to disk.
 *
 * Marks: the ticket of an entry is done when all its records are; for a sink with `required: false` also once it is on disk.
 * Invariants: (1) entries of `memory` are younger than all that a part holds on disk; (2) a part's entries ascend by offset, and those
 * below `read` hold every record that is not done; (3) nothing below a part's `settled` is needed any more.
 * Ownership: the slot's thread, but for the mail, which the spool's writer fills.
 * Memory: `window_bytes`, half of the sink's share: copies, entries, and the pump's arena.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_ENGINE_SLOT_QUEUE_H
#define SL_RUNTIME_ENGINE_SLOT_QUEUE_H

#include <pthread.h>

#include "runtime/engine/slot/queue_codec.h"
#include "runtime/engine/slot/slot_private.h"
#include "runtime/store/spool.h"

enum { SL_QUEUE_MAGIC = 0x51554555, SL_QUEUE_ARENA_FIRST = 1 << 20, SL_QUEUE_LOADS_A_TURN = 8, SL_QUEUE_ORIGINS = 256 };
enum sl_queue_where { SL_QUEUE_MEMORY, SL_QUEUE_WRITING, SL_QUEUE_DISK };

#define SL_QUEUE_HOLDER "queue"
#define SL_QUEUE_TOPICS "@queue/" /* then TOPOLOGY/SINK */

struct sl_queue_cell { /* of a record: what the ledger will want to know of it */
    uint32_t service, bytes;
    uint8_t level;
    bool derived;
    bool deferred; /* the ledger has it as deferred, of this start or an earlier one; else it has it not at all yet */
    double weight;
};

struct sl_queue_entry {
    struct sl_queue_entry *prev, *next; /* of the list that it is in */
    uint32_t id;                        /* refs' ticket: row in the table, and generation */
    uint32_t part;                      /* on disk: in which */
    uint32_t ticket;
    bool ticketed; /* its ticket waits for it */
    enum sl_queue_where where;
    uint32_t count, kept, left, out; /* records; on disk; not done; of those with the sink */
    uint64_t first, next_offset;     /* in the part, once on disk: record number k of the kept ones has offset first + k */
    uint64_t at_ns;                  /* when it came */
    int64_t queued_unix_ms;
    const struct sl_partition *from; /* where its records come from: of the queue's own, see sl_queue_origin */
    char *rows;                      /* records as on disk, or NULL */
    uint32_t *row_at;                /* [count + 1] where each begins in rows */
    uint64_t bytes;                  /* charged */
    uint64_t *done_bits, *out_bits, *kept_bits; /* [count] */
    struct sl_queue_cell *cells;                /* [count] or NULL while the sink has none of them and the disk has all */
};

/* A partition as sinks see it, kept as long as the queue: sinks may know it again by its address. Its index is none of the slot's. */
struct sl_queue_origin {
    struct sl_partition partition;
    struct sl_queue_origin *next;
};

struct sl_queue_list {
    struct sl_queue_entry *first, *last;
    uint32_t count;
};

struct sl_queue_part { /* this slot's own partition of the topic, or an adopted one: of a slot that is no more, or under the sink's name before */
    struct sl_spool_topic *topic;
    uint32_t number;
    struct sl_spool_reader *reader;
    uint64_t read;     /* the next record to give out */
    uint64_t at;       /* where the reader stands */
    uint64_t end;      /* durable */
    uint64_t settled;  /* as the hold has it */
    uint64_t settling; /* as the job under way wants it */
    int64_t head_unix_ms; /* when the record at `read` was queued, if known, else 0 */
    struct sl_queue_list disk;
};

struct sl_queue_mail; /* answers of the writer thread: outlives the queue while appends are under way */

struct sl_queue {
    uint32_t magic;
    struct sl_slot *slot;
    struct sl_slot_sink *sink;
    uint32_t sink_index;
    const char *name; /* of the sink */
    struct sl_spool_topic *topic;
    struct sl_queue_part *parts; /* adopted ones first, the own last */
    uint32_t parts_count;
    struct sl_queue_list memory;
    uint64_t memory_bytes, window_bytes;
    struct sl_queue_entry **table; /* by id's row; NULL free */
    uint16_t *table_generation;
    uint32_t *table_free, table_free_count, table_cap;
    struct sl_queue_origin *origins[SL_QUEUE_ORIGINS]; /* by hash */
    struct sl_queue_mail *mail;
    struct sl_arena arena;
    struct sl_intern_cache *services;
    bool has_arena;
    bool idle_memory; /* some entry in memory may have idle records */
    bool spill;       /* all that is in memory and not done is to be written */
    bool writing;     /* one append is under way: so that what a failing disk refuses keeps its order */
    bool rewind;   /* the disk has lost what the mark waits for: it is read from the source again */
    bool dead;     /* it said that it will never work again: what comes goes to disk */
    bool full_said;
    struct sl_err why;
    uint64_t retry_at_ns, backoff_ns, write_at_ns;
    uint64_t progress_ns; /* the last acknowledgement */
    uint64_t lost;        /* by queue.then: lose, or by damage on the disk */
    struct sl_job settle_job;
    bool settling;
    uint64_t settled_ns;
};

/* ---- queue_entry.c ---- */
static inline bool sl_queue_bit(const uint64_t *bits, uint32_t row)
{
    return (bits[row / 64] >> row % 64 & 1) != 0;
}

static inline void sl_queue_bit_set(uint64_t *bits, uint32_t row, bool value)
{
    bits[row / 64] = (bits[row / 64] & ~(1ull << row % 64)) | (uint64_t)value << row % 64;
}

/* Records that neither the sink has nor are done. */
static inline uint32_t sl_queue_idle(const struct sl_queue_entry *entry)
{
    return entry->left - entry->out;
}

/* The queue's own partition for records of this one; source, topic and id are read, number and incarnation. NULL: no memory. */
const struct sl_partition *sl_queue_origin(struct sl_queue *queue, const struct sl_partition *like);
void sl_queue_origins_fini(struct sl_queue *queue);
/* A new entry of `count` records, in the table, in no list. NULL: no memory. */
struct sl_queue_entry *sl_queue_entry_new(struct sl_queue *queue, uint32_t count, const struct sl_partition *from);
void sl_queue_entry_free(struct sl_queue *queue, struct sl_queue_entry *entry);
void sl_queue_rows_free(struct sl_queue *queue, struct sl_queue_entry *entry);
struct sl_queue_entry *sl_queue_entry_find(const struct sl_queue *queue, uint32_t id); /* NULL: it is over */
void sl_queue_list_add(struct sl_queue_list *list, struct sl_queue_entry *entry);
void sl_queue_list_take(struct sl_queue_list *list, struct sl_queue_entry *entry);
/* Offset on disk of a kept record, and back; UINT32_MAX: none. */
uint64_t sl_queue_offset_of(const struct sl_queue_entry *entry, uint32_t row);
uint32_t sl_queue_row_of(const struct sl_queue_entry *entry, uint64_t offset);
/* Its ticket, if any waits, is done. */
void sl_queue_ticket_done(struct sl_queue *queue, struct sl_queue_entry *entry);
/* Its records are given out or given up as of now: bits and counts. */
void sl_queue_row_out(struct sl_queue_entry *entry, uint32_t row);
void sl_queue_row_idle(struct sl_queue_entry *entry, uint32_t row); /* was out */
void sl_queue_row_done(struct sl_queue_entry *entry, uint32_t row); /* was out or idle */
/* It waits for a partition that is no longer ours: nobody wants its answer. */
bool sl_queue_entry_is_over(const struct sl_queue *queue, const struct sl_queue_entry *entry);
/* 0, or -1: no memory. Nothing where it has them. */
int sl_queue_cells_new(struct sl_queue *queue, struct sl_queue_entry *entry);
void sl_queue_cells_free(struct sl_queue *queue, struct sl_queue_entry *entry);
/* Counts what became of the record: SL_DEFERRED once it is the queue's, then its fate at the sink. */
void sl_queue_account(struct sl_queue *queue, struct sl_queue_entry *entry, uint32_t row, enum sl_fate fate);
struct sl_queue_columns sl_queue_columns_of(const struct sl_queue *queue);

/* ---- queue_take.c ---- */
/* Writes what is in memory and not done, in order, as far as the spool takes it. */
void sl_queue_spill(struct sl_queue *queue);
/* What the writer said since the last call. */
void sl_queue_written(struct sl_queue *queue);
struct sl_queue_mail *sl_queue_mail_new(const struct sl_env *env); /* NULL: no memory */
void sl_queue_mail_close(struct sl_queue_mail *mail);

/* ---- queue_parcel.c ---- */
struct sl_queue_run { /* records of one entry, idle, and of one partition in order */
    struct sl_queue_entry *entry;
    const struct sl_queue_row *rows;
    const uint32_t *numbers; /* rows of the entry */
    uint32_t count;
};
/* 0: the sink has it, or has failed; -1: no memory. */
int sl_queue_submit(struct sl_queue *queue, const struct sl_queue_run *run);

/* ---- queue_pump.c ---- */
bool sl_queue_behind(const struct sl_queue *queue);
bool sl_queue_sink_takes(const struct sl_queue *queue);
/* Gives the sink what it takes. Returns true where a turn is wanted at once: for more, or for the sink, which was given something
 * behind its turn. */
bool sl_queue_pump(struct sl_queue *queue);
/* Entries at the head that are over leave; marks of what is done follow. */
void sl_queue_reap(struct sl_queue *queue);
/* Below it nothing of the part is needed. */
uint64_t sl_queue_settled(const struct sl_queue_part *part);

/* ---- queue_answer.c ---- */
/* Whatever the sink had is to be sent again, after a pause. */
void sl_queue_sink_failed(struct sl_queue *queue, const struct sl_err *why);
void sl_queue_back_off(struct sl_queue *queue, const struct sl_err *why);

#endif
