/* shadow.h: what a candidate would have written beside what the live generation wrote, compared without keeping either.
 *
 * A range is one batch of one partition. For each range both sides name every record that they hand to a sink; what is compared is,
 * for each (sink, level): how many, and the sum mod 2^128 of hash128(origin, output). Sums do not depend on order, batching, files or
 * compression: those are no difference. Where the sums of a range part, its records are laid side by side while their bytes are
 * still there, so that examples need nothing to be read again.
 *
 * Compared of a record: its origin and its ordinal among those derived from it, its body as encoded (stamps and masks included), and
 * what sinks go by beside the body: time, service, level, weight. Not compared: settings of sinks (a path template), and key and
 * headers, which no stage can change. Dead letters are compared by their reasons.
 * Sinks that one side only has are counted, not compared. A record that comes at another sink than it did is one difference.
 *
 * Protocol: begin, any number of add, end; or skip. Threads: one owner (a slot); reports are gathered on its thread.
 * Ownership: bodies are borrowed from begin to end; expect for as long as the shadow. Memory: rows of one range, and the examples.
 * Running out of memory makes a range a skipped one, never an error.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_ENGINE_SHADOW_H
#define SL_RUNTIME_ENGINE_SHADOW_H

#include "runtime/base/column.h"
#include "runtime/base/json_out.h"
#include "runtime/engine/expect.h"
#include "runtime/engine/text_diff.h"

enum {
    SL_SHADOW_EXAMPLES = 20,      /* a sink */
    SL_SHADOW_ALIKE = 4,          /* of them at most, of one kind and field */
    SL_SHADOW_TEXT_BYTES = 4096   /* of each side of an example */
};

enum sl_shadow_side { SL_SHADOW_LIVE, SL_SHADOW_CANDIDATE, SL_SHADOW_SIDES };

enum sl_shadow_kind {
    SL_SHADOW_CHANGED,    /* both wrote it, not the same */
    SL_SHADOW_MISSING,    /* only the live one wrote it */
    SL_SHADOW_EXTRA,      /* only the candidate wrote it */
    SL_SHADOW_OTHER_SINK, /* the candidate wrote it elsewhere; counted at the live one's sink */
    SL_SHADOW_KINDS
};
const char *sl_shadow_kind_name(enum sl_shadow_kind kind);

struct sl_shadow_record {
    uint64_t offset, threshold; /* T; 0: all */
    int64_t time_unix_ms;
    uint32_t service; /* interned */
    uint16_t sub;
    uint8_t level;
    struct sl_slice body;
};

struct sl_shadow_digest {
    uint64_t count, low, high; /* the sum: high * 2^64 + low */
};

struct sl_shadow_sink {
    const char *name; /* as the live generation calls it, else the candidate */
    bool sides[SL_SHADOW_SIDES]; /* who has it */
};

struct sl_shadow_options {
    const struct sl_shadow_sink *sinks; /* copied */
    uint32_t sinks_count;
    const struct sl_expect *expect; /* may be NULL */
    /* An example's text as it may be shown. 1: *ret_text, good until the next call; 0: it may not be shown; -1: no memory. May be NULL */
    int (*mask)(void *user, struct sl_slice text, struct sl_slice *ret_text);
    void *user;
};

struct sl_shadow_range {
    const char *source, *topic, *partition;
    uint32_t incarnation;
    uint64_t first, next;
};

struct sl_shadow;

struct sl_shadow *sl_shadow_new(const struct sl_shadow_options *options); /* NULL: no memory */
struct sl_shadow *sl_shadow_free(struct sl_shadow *shadow);

void sl_shadow_begin(struct sl_shadow *shadow, const struct sl_shadow_range *range); /* its strings live until end */
void sl_shadow_add(struct sl_shadow *shadow, enum sl_shadow_side side, uint32_t sink, const struct sl_shadow_record *record);
/* The sink did not get this range from the live side, which has had it: nothing of it is compared. */
void sl_shadow_leave(struct sl_shadow *shadow, uint32_t sink);
/* True: it holds a difference that is not meant. */
bool sl_shadow_end(struct sl_shadow *shadow);
/* The range of that many records is not compared. Also between begin and end. */
void sl_shadow_skip(struct sl_shadow *shadow, uint64_t records);

/* ---- what came out, over one or more slots ---- */
struct sl_shadow_text {
    char *data; /* NULL: this side has none, or it is withheld */
    uint32_t bytes, whole_bytes; /* kept; as it was */
    bool there, withheld;
};

struct sl_shadow_example {
    enum sl_shadow_kind kind;
    enum sl_text_verdict verdict; /* of CHANGED */
    char path[SL_TEXT_PATH_BYTES]; /* of CHANGED: the first field that differs; or, beside the text, role:time, role:service, role:level, weight */
    uint32_t other_sink;           /* OTHER_SINK: where the candidate wrote it */
    char *source, *topic, *partition;
    uint64_t offset;
    uint16_t sub;
    uint8_t level;
    uint32_t service;
    struct sl_shadow_text text[SL_SHADOW_SIDES];
};

struct sl_shadow_sink_report {
    char *name;
    bool sides[SL_SHADOW_SIDES];
    struct sl_shadow_digest digests[SL_SHADOW_SIDES][SL_LEVELS];
    uint64_t differing[SL_SHADOW_KINDS][SL_LEVELS];
    uint64_t meant; /* records whose difference expect allows */
    struct sl_shadow_example *examples[SL_SHADOW_EXAMPLES];
    uint32_t examples_count;
};

struct sl_shadow_report {
    struct sl_shadow_sink_report *sinks;
    uint32_t sinks_count;
    uint64_t ranges, ranges_differing, ranges_skipped, records_skipped;
    uint64_t compared;  /* outputs of the live side in compared ranges, at sinks that both have */
    uint64_t differing; /* that are not meant: the sum of all kinds */
    uint64_t meant;
    uint64_t uncompared; /* outputs to sinks that one side only has */
};

/* The shadow's own, to read. */
const struct sl_shadow_report *sl_shadow_report(const struct sl_shadow *shadow);
/* Adds what `from` has (of a shadow with the same sinks) to a zeroed or earlier report. 0, or -1: no memory. */
int sl_shadow_report_add(struct sl_shadow_report *report, const struct sl_shadow_report *from);
void sl_shadow_report_fini(struct sl_shadow_report *report);
/* As one JSON object. */
void sl_shadow_report_print(const struct sl_shadow_report *report, struct sl_json_out *out);

#endif
