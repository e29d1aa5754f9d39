/* batch.h: what flows: a batch of one partition's records, constant once a source has filled it, and the view that each
 * branch of a topology has of it. The structs are open because they are the hot path.
 *
 * Lifetime: a batch and everything in its arena die in the loop turn that made them (DELIVERY rule B1).
 * Invariants: (1) offset[] ascends strictly (behind derive.h: ascends) and lies in [first, next); (2) [first, next) begins where the partition's
 * previous batch ended (rule A2); (3) a record has exactly one fate per view: fate[i] == SL_LIVE iff i is in sel.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_ENGINE_BATCH_H
#define SL_RUNTIME_ENGINE_BATCH_H

#include <stdbool.h>

#include "runtime/base/arena.h"
#include "runtime/base/column.h"

struct sl_partition;

/* What became of a record at a sink (DESIGN.md section 2); SL_LIVE is "still on its way". */
enum sl_fate { SL_LIVE, SL_DELIVERED, SL_FILTERED, SL_SAMPLED, SL_SHED, SL_DEFERRED, SL_DEAD, SL_FATES };

struct sl_header {
    struct sl_slice name, value;
};

struct sl_batch {
    struct sl_partition *partition;
    uint64_t first, next; /* covers [first, next); holes (compaction, transaction markers) are legal */
    uint32_t count;
    bool may_break;       /* some payload may contain CR or LF */
    bool large;           /* holds one record above max_record's share; only count == 1 */
    struct sl_slice *raw; /* [count], SL_PAD readable behind each; data never NULL */
    uint64_t *offset;
    int64_t *append_unix_ms;   /* Kafka's or the spool's time of the record */
    struct sl_slice *key;      /* or NULL: no record has a key; data NULL: this record has none */
    struct sl_header **headers; /* or NULL; rows of headers_count[i] */
    uint16_t *headers_count;
    uint8_t *null_payload; /* or NULL; 1: a tombstone (raw is empty) */
    bool written; /* payloads are what stages had made of the source's (replay.h): JSON, whatever format parse reads there */
    struct sl_slice *origin; /* or NULL; textual origin carried by the record (spool, replay), else derived */
    /* A view's own batch behind a stage that made several records of one (derive.h); NULL in a source's batch: all 0, each its own. */
    const uint16_t *sub;    /* [count] ordinal of the record among those of its offset; 0: the record itself. Part of its id */
    const uint16_t *parent; /* [count] row in the source's batch */
    struct sl_arena *arena;
};

/* Roles whose values a parse stage takes from fields; their columns are in sl_decoded.role_column. */
enum sl_role_field { SL_ROLE_TIME, SL_ROLE_SERVICE, SL_ROLE_LEVEL, SL_ROLE_TRACE, SL_ROLE_FIELDS };

/* What a parse stage knows of each record; arrays of batch->count, in the arena. */
struct sl_decoded {
    const int64_t *time_unix_ms; /* plausible, else the append time (rule A5) */
    const uint32_t *service;     /* interned, see intern.h; 0 = none */
    const uint8_t *level;        /* enum sl_level */
    struct sl_column *columns;   /* as compiled for this stage */
    uint32_t columns_count;
    int trace; /* column of the trace role, or -1 */
    bool json; /* records (body, else payload) are JSON objects or other JSON values that may be spliced */
    bool foreign; /* the payloads are of a format that is not JSON: codec raw writes them as they came, whatever body says */
    /* [count] or NULL. The record as JSON text where that is not the payload: made by parse of a format that is not JSON, or by a
     * stage that rewrote it (rewrite.h). data NULL, or body NULL: the payload itself. Spans of columns and edits refer to it. Has
     * SL_PAD readable bytes behind it. */
    const struct sl_slice *body;
    int role_column[SL_ROLE_FIELDS]; /* columns that the roles came from, -1: from elsewhere (@topic, a header, nothing) */
    int64_t max_age_ms, max_future_ms; /* what parse takes for a plausible time (rule A5), for times that are read anew; 0, 0: any */
};

/* Cut `cut` out of the payload of record `index` and put `paste` there; cut.bytes may be 0. Sorted by (index, cut.at). */
struct sl_edit {
    uint16_t index;
    struct sl_span cut;
    struct sl_slice paste;
};

/* One branch: all that an operator may change. */
struct sl_view {
    const struct sl_batch *batch;
    const struct sl_decoded *decoded; /* never NULL; before any parse stage: times and nothing else */
    uint16_t *sel;                    /* ascending indices of live records */
    uint32_t sel_count;
    uint8_t *fate;       /* [count]; an operator sets SL_DEAD, SL_FILTERED … to drop a record; the runtime compacts sel */
    uint8_t *reason;     /* [count]; row of the kind's reasons, for SL_DEAD */
    const char **note;   /* [count] or NULL: says of a dead record more than its reason's row does (a script's message); in the arena */
    uint8_t *port;       /* [count]; written by routers only */
    uint64_t *randomness; /* [count] R (56 bit) or NULL while nothing asked for it */
    uint64_t *threshold;  /* [count] T (56 bit) or NULL while nobody sampled; raise only */
    struct sl_edit *edits;
    uint32_t edits_count;
};

/* The record `index` as stages see it, without the view's pending edits. */
static inline struct sl_slice sl_view_text(const struct sl_view *view, uint32_t index)
{
    const struct sl_slice *body = view->decoded->body;

    return body != NULL && body[index].data != NULL ? body[index] : view->batch->raw[index];
}

/* A view over all records of a batch. 0, or -1 when the arena is over budget. */
int sl_view_all(struct sl_view *view, const struct sl_batch *batch, const struct sl_decoded *decoded);
/* A branch of its own: sel, fate, reason and port are copied; edits, thresholds and columns are shared until written. */
int sl_view_branch(struct sl_view *view, const struct sl_view *from);
/* After an operator: takes records with a fate out of sel. */
void sl_view_compact(struct sl_view *view);
/* Replaces the view's edits by its old ones and `edits`, sorted; outermost cut wins. -1: arena over budget. */
int sl_view_edit(struct sl_view *view, const struct sl_edit *edits, uint32_t count);
/* The payload of record `index` with the view's edits spliced in; unchanged payloads are returned as they are (no copy).
 * `cursor` must be 0 before the first and is kept between calls with ascending indices. data NULL: over budget. */
struct sl_slice sl_view_body(const struct sl_view *view, uint32_t index, uint32_t *cursor);

#endif
