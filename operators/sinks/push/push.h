/* push.h: the ground under sinks that push records to a back-end over HTTP: bulks, several hosts, retries. A sink brings a push_kind:
 * how a record is written into a request, and what an answer means.
 *
 * Files: push.c (life, turns), push_settings.c (settings of all such sinks), push_wires.c (what
 * requests point to), push_bulk.c (rows and their bytes), push_host.c (which
 * host, breaker, retry budget), push_send.c (a bulk becomes a request), push_judge.c (what becomes of it).
 *
 * States of a bulk: open (rows are added) -bytes, records or time-> waiting (until due) -sent-> flying -done()-> answered -judged->
 * released; or waiting again, whole or the rows that were turned away, or in halves.
 * Invariants: (1) a row is answered to the engine once: its state leaves PUSH_PENDING once; (2) used_bytes is what all bulks hold;
 * (3) at most `limit` requests fly, which is at most `concurrency`.
 * Ownership: a record is copied once, into its bulk; a flying bulk belongs to its request: a sink that closes cancels it, forgets it,
 * and done() frees it. Threads: slot thread only.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_OPERATORS_SINKS_PUSH_PUSH_H
#define SL_OPERATORS_SINKS_PUSH_PUSH_H

#include "operators/sinks/push/push_settings.h"
#include "runtime/engine/slot.h"

enum { PUSH_MAGIC = 0x70757368, PUSH_HOSTS_MAX = 64, PUSH_LABEL_BYTES = 128, PUSH_REFS = 1024 };

#define PUSH_SAY_NS (5ull * 1000000000ull)

enum push_counter {
    PUSH_REQUESTS,
    PUSH_RETRIES,
    PUSH_RECORDS,
    PUSH_BYTES,
    PUSH_REFUSED,
    PUSH_TURNED_AWAY,
    PUSH_BREAKS,
    PUSH_COUNTERS
};
/* Rows of every push sink's counters; end the sink's own list with {0}. */
#define PUSH_COUNTER_ROWS                                                                                                      \
    [PUSH_REQUESTS] = {"requests_total", "requests", "Requests sent to the back-end, those sent again included."},            \
    [PUSH_RETRIES] = {"retries_total", "requests", "Requests that had to be sent again."},                                    \
    [PUSH_RECORDS] = {"acknowledged_records_total", "records", "Records that the back-end has acknowledged."},                \
    [PUSH_BYTES] = {"sent_bytes_total", "bytes", "Bytes of request bodies, compressed where they are."},                      \
    [PUSH_REFUSED] = {"refused_records_total", "records", "Records that the back-end will never take."},                      \
    [PUSH_TURNED_AWAY] = {"turned_away_records_total", "records", "Records that the back-end sent back for later."},          \
    [PUSH_BREAKS] = {"breaker_opened_total", "times", "Times that a host was left alone after failures in a row."}

enum push_row_state { PUSH_PENDING, PUSH_TAKEN, PUSH_DEAD, PUSH_AGAIN };

enum { PUSH_NONE = UINT32_MAX };

struct push_row { /* a record; its bytes are text[at .. at + head + body + tail], then the kind's `between` */
    uint64_t offset;
    int64_t append_unix_ms;
    struct sl_ref ref;
    uint32_t at, head_bytes, body_bytes, tail_bytes;
    uint32_t key_at, key_bytes; /* in keys; key_bytes PUSH_NONE: no key */
    uint32_t raw_bytes;         /* in keys behind the key: the record as it was, where body is another form of it; PUSH_NONE: it is not */
    uint32_t service;
    uint8_t level, state;
};

struct push_wires { /* what requests point to; lives until the last of them is done */
    uint32_t refs, headers_count, urls_count;
    char **urls, **setup_urls; /* by host */
    char **headers;
    char *password;
};

struct push_hunt { /* the search for the records that make a request refused: shared by the pieces of one bulk */
    uint32_t refs, left, spent; /* left: requests it may still cost; what is accepted adds to them */
};

struct push_bulk {
    struct sl_http_request request; /* first: the request is the bulk */
    struct push *push;              /* NULL: the sink has closed; done() frees the bulk */
    struct push_wires *wires;       /* while flying */
    struct push_bulk *next;
    struct push_row *rows;
    uint32_t rows_count, rows_cap;
    struct sl_buf text, keys, wire; /* wire: compressed, made when first sent */
    struct push_hunt *hunt;
    uint64_t opened_ns, sealed_ns, due_ns, sent_ns, charged_bytes;
    size_t rows_end; /* of the rows in text, once it has been sent: behind it stands `last` */
    uint32_t attempts, host;
    bool setup;     /* no rows: the request that comes before all others */
    bool by_host;   /* it waits because a host failed: sent at once when one comes back */
};

enum push_host_state { PUSH_HOST_CLOSED, PUSH_HOST_OPEN, PUSH_HOST_HALF };

struct push_host {
    char label[PUSH_LABEL_BYTES]; /* HOST:PORT */
    enum push_host_state state;
    uint32_t failures, opens, proofs, flying;
    uint32_t turned;    /* times in a row that it was full */
    uint64_t turned_ns; /* when it last was: of requests sent together only the first counts */
    uint64_t until_ns;  /* nothing is sent to it before */
    bool asked;         /* by itself (Retry-After) */
};

/* What an HTTP status means for the whole request. */
enum push_verdict {
    PUSH_READ,     /* 2xx: the kind reads the answer */
    PUSH_LATER,    /* 429: the back-end is full */
    PUSH_SICK,     /* 5xx: this host cannot now */
    PUSH_UNKNOWN,  /* 401, 403, 404 …: somebody must change something; records wait */
    PUSH_TOO_BIG,  /* 413: in halves */
    PUSH_BAD       /* 400 …: some record in it is at fault: in halves, within bounds */
};

struct push_kind {
    const char *method, *content_type;
    const char *path; /* behind each url */
    const char *first, *last; /* of a body; NULL: none */
    char between;             /* follows each row; '\0': nothing does */
    bool keep_last;           /* the last row too keeps its `between` */
    /* A parcel begins: caches. May be NULL. */
    int (*begin)(void *sink, const struct sl_parcel *parcel, struct sl_err *err);
    /* Appends the record to `text` and sets head_bytes, body_bytes, tail_bytes; raw_bytes 0: keep the record as it is too. Non-zero: it can never be sent, err says why; what was
     * appended is taken back. */
    int (*encode)(void *sink, const struct sl_parcel *parcel, uint32_t item, struct push_row *row, struct sl_buf *text,
                  struct sl_err *err);
    enum push_verdict (*verdict)(void *sink, int status);
    /* The answer of a request that was PUSH_READ: sets the state of every row that is PUSH_PENDING to TAKEN or AGAIN, or calls
     * push_refuse. Non-zero: not understood, err says why; rows left pending are sent again. *ret_why: why some are AGAIN. */
    int (*judge)(void *sink, struct push_bulk *bulk, struct sl_err *ret_why, struct sl_err *err);
};

struct push {
    uint32_t magic;
    const struct sl_api *api;
    void *sink;
    struct sl_slot *slot;
    const struct push_settings *settings;
    const struct push_kind *kind;
    struct push_wires *wires;
    struct push_host hosts[PUSH_HOSTS_MAX];
    uint32_t hosts_count, host_next;
    uint64_t bulk_bytes, bulk_records, every_ns, backoff_min_ns, backoff_max_ns, deadline_ns;
    struct push_bulk *open, *waiting, **waiting_last, *flying, *answered, **answered_last;
    uint32_t flying_count;
    uint32_t limit, clean; /* requests that may fly: halved when the back-end is full, one more for each `limit` clean answers */
    uint64_t limited_ns;
    struct push_reject *rejects; /* push.c */
    bool setup_pending;
    uint64_t used_bytes;
    uint64_t budget_nt, budget_ns; /* nano-tokens of the retry budget; when they were last counted */
    void *compressor;              /* ZSTD_CCtx */
    uint64_t said_ns;              /* when it was last said why something is sent again */
    uint32_t unsaid;
    struct sl_ref refs[PUSH_REFS];
    uint32_t refs_count;
};

/* push.c */
int push_open(struct push *push, const struct sl_api *api, void *sink, struct sl_slot *slot, const struct push_settings *settings,
              const struct push_kind *kind, struct sl_err *err);
/* A request that must have succeeded before any bulk is sent: `body` to METHOD url + path. Once, after push_open. */
int push_setup(struct push *push, const char *path, const char *body, size_t body_bytes, struct sl_err *err);
uint64_t push_credit(const struct push *push);
int push_submit(struct push *push, const struct sl_parcel *parcel, struct sl_err *err);
int push_turn(struct push *push, uint64_t now_ns, uint64_t *ret_wake_ns, struct sl_err *err);
int push_drain(const struct push *push);
void push_close(struct push *push);
void push_wait(struct push *push, struct push_bulk *bulk); /* to the end of what waits */
void push_wait_first(struct push *push, struct push_bulk *bulk);

/* push_wires.c */
int push_wires_new(const struct push_settings *settings, const char *path, const char *content_type, struct push_wires **ret_wires,
                   struct sl_err *err);
void push_wires_unref(struct push_wires *wires);
/* By host, malloc'd: the urls with a path behind them; NULL: no memory. */
char **push_wires_urls(const struct push_settings *settings, const char *path);
/* A sink kind's probe(). */
int push_probe(const struct push_settings *settings, uint32_t host, const char *method, const char *path,
               struct sl_http_request *request, struct sl_err *err);

/* push_bulk.c */
struct push_bulk *push_bulk_new(struct push *push);
void push_bulk_free(struct push_bulk *bulk); /* uncharged; accepts NULL */
void push_bulk_charge(struct push_bulk *bulk); /* counts again what it holds */
/* Room for one row more; NULL: no memory. The row counts once rows_count is raised. */
struct push_row *push_bulk_row(struct push_bulk *bulk);
/* A bulk of rows [from, to) whose state is `state`, pending again; NULL: no memory. */
struct push_bulk *push_bulk_part(const struct push_bulk *bulk, uint32_t from, uint32_t to, enum push_row_state state);
struct sl_slice push_row_body(const struct push_bulk *bulk, const struct push_row *row);
struct sl_slice push_row_key(const struct push_bulk *bulk, const struct push_row *row);

/* push_host.c */
uint64_t push_backoff(struct push *push, uint32_t attempts);
/* Index of a host that may be sent to now, -1: none; *ret_at_ns: when to look again (lowered only). */
int push_host_choose(struct push *push, uint64_t now_ns, uint64_t *ret_at_ns);
void push_host_fine(struct push *push, uint32_t host, uint64_t now_ns);
void push_host_failed(struct push *push, uint32_t host, uint64_t now_ns);
/* It is full, as the answer to this bulk says: a pause, as long as it asks for or longer with each time, and fewer requests at once. */
void push_host_full(struct push *push, const struct push_bulk *bulk, uint64_t now_ns);
void push_host_rest(struct push *push, uint32_t host, uint64_t until_ns); /* it asked for a pause */
void push_limit_fewer(struct push *push, const struct push_bulk *bulk, uint64_t now_ns);
void push_limit_more(struct push *push);
bool push_host_other(const struct push *push, uint32_t host, uint64_t now_ns); /* another one is fit */
/* A retry costs a token; first sends earn a fifth of one, and a second gives five. False: none is left; *ret_at_ns as above. */
bool push_budget_take(struct push *push, uint64_t now_ns, uint64_t *ret_at_ns);
void push_budget_earn(struct push *push);
void push_budget_return(struct push *push); /* the retry was of use */

/* push_send.c: 0: it flies; else it waits as before, err says why. */
int push_send(struct push *push, struct push_bulk *bulk, uint32_t host, struct sl_err *err);

/* push_judge.c */
/* Says why something is sent again: at most once in PUSH_SAY_NS, with how often it was not said. */
void push_say(struct push *push, uint64_t now_ns, const struct sl_err *why);
void push_judge(struct push *push, struct push_bulk *bulk, uint64_t now_ns);
/* The row will never be taken: a dead letter with why->text as its reason. */
void push_refuse(struct push_bulk *bulk, struct push_row *row, const struct sl_err *why);
/* Every pending row of it is a dead letter; the bulk is freed. */
void push_give_up(struct push *push, struct push_bulk *bulk, const struct sl_err *why);

#endif
