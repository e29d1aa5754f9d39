/* format.h: what parse needs of a format: a row of sl_formats that opens a decoder for the projected fields and turns the live
 * rows of a batch into columns, and into JSON bodies where somebody behind it needs whole records.
 *
 * To add one: formats/NAME.c with a const struct sl_format_kind, a line below and in the list of format.c (its place there is the value
 * of config->format). Settings of its own are members of sl_format_config with a row in parse.c (and one in format.c's format_owners,
 * if it is of no use to other formats).
 * Reasons for dead letters are shared by all formats: rows of enum sl_format_reason.
 *
 * A format whose records are fields with keys leaves columns, bodies and casts to fields.h.
 *
 * Contract of decode(): for each row in view->sel either (1) the row of every projected column is filled (type SL_T_ABSENT where the
 * record has no such field; rows are absent beforehand) and, where batch->body is not NULL, body[row] is the whole record as one JSON
 * object with SL_PAD readable bytes behind it, and the spans of the columns refer to that text; or (2) view->fate[row] is SL_DEAD,
 * view->reason[row] says why, and the row of every column is absent. Values are slices of the raw record wherever they stand there as they
 * are, else of memory in the batch's arena. Strings are valid UTF-8 in a body, where what is not becomes U+FFFD.
 * Threads: an instance belongs to its slot.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_OPERATORS_STAGES_FORMATS_FORMAT_H
#define SL_OPERATORS_STAGES_FORMATS_FORMAT_H

#include "runtime/engine/op.h"
#include "runtime/json/json.h"

/* The settings of parse, of all formats together. */
struct sl_format_config {
    int format; /* row of sl_formats */
    bool validate;
    struct sl_format_roles { /* fields, as a user writes them; NULL: the format's own default */
        const char *time, *service, *level, *trace;
    } record;
    uint64_t max_age, max_future;
    const char *pattern;         /* regex */
    struct sl_strings columns;   /* csv: names of the fields; "" skips one */
    const char *separator, *quote; /* csv; NULL: comma, double quote */
    struct sl_map types;         /* field to number, bool or string */
    const char *time_format;     /* of the time role, see json/time_format.h; NULL: the format's own, and those of timestamp.h */
    const char *time_zone;       /* of times that name none; NULL: UTC */
};

/* The reasons of sl_json_verdict come first, under the same numbers. */
enum sl_format_reason {
    SL_FORMAT_EMPTY = SL_JSON_VERDICTS,
    SL_FORMAT_MANY, /* fields */
    SL_FORMAT_NO_MATCH,
    SL_FORMAT_GAVE_UP,
    SL_FORMAT_CLF_SHAPE,
    SL_FORMAT_CLF_QUOTE,
    SL_FORMAT_CLF_STATUS,
    SL_FORMAT_CLF_BYTES,
    SL_FORMAT_LOGFMT_NO_PAIR,
    SL_FORMAT_LOGFMT_NO_KEY,
    SL_FORMAT_LOGFMT_QUOTE,
    SL_FORMAT_SYSLOG_SHAPE,
    SL_FORMAT_SYSLOG_PRIORITY,
    SL_FORMAT_SYSLOG_HEADER,
    SL_FORMAT_SYSLOG_DATA,
    SL_FORMAT_CSV_QUOTE,
    SL_FORMAT_CSV_BEHIND,
    SL_FORMAT_CSV_FEWER,
    SL_FORMAT_CSV_MORE,
    SL_FORMAT_PROTOBUF_SHAPE,
    SL_FORMAT_PROTOBUF_UTF8,
    SL_FORMAT_PROTOBUF_LARGE,
    SL_FORMAT_REASONS
};
extern const char *const sl_format_reasons[SL_FORMAT_REASONS + 1];

struct sl_format_open { /* lives until open() returns, but for api, config and names, which outlive the instance */
    const struct sl_api *api;
    const struct sl_format_config *config;
    const struct sl_json_field *fields; /* the projection: paths, which live as long as the topology, and their columns */
    uint32_t fields_count;
    bool whole; /* bodies are wanted */
    struct sl_names *names;
};

struct sl_format_batch {
    struct sl_view *view;
    struct sl_column *columns; /* those of the projection have their arrays, all rows absent */
    struct sl_slice *body;     /* [count], data NULL beforehand; NULL: not wanted, or the payload is JSON anyway */
    uint64_t *mistyped;        /* values that are not of the type in config->types are counted here */
};

struct sl_format_kind {
    const char *name;
    bool json;                    /* a payload is the JSON text itself: no body is ever asked for */
    struct sl_format_roles roles; /* default fields of the roles */
    /* The settings, at `sluice check`; nothing is opened. err->text names the setting. May be NULL. */
    int (*check)(const struct sl_format_config *config, struct sl_err *err);
    /* When all stages are open. *ret_self is given back to the others and to close(). */
    int (*open)(const struct sl_format_open *open, void **ret_self, struct sl_err *err);
    /* Once a batch. 0, or -1: the arena is over budget. */
    int (*decode)(void *self, const struct sl_format_batch *batch);
    /* A time in the format's own way of writing one; 0, or -1: not that (what timestamp.h reads is tried next). May be NULL. */
    int (*time)(void *self, struct sl_slice text, int64_t append_unix_ms, int64_t *ret_unix_ms);
    void (*close)(void *self);
};

extern const struct sl_format_kind sl_format_json, sl_format_text, sl_format_regex, sl_format_clf, sl_format_logfmt, sl_format_syslog,
    sl_format_csv, sl_format_protobuf;

/* The formats by config->format, and their names for the setting; both end with NULL. */
extern const struct sl_format_kind *const sl_formats[];
extern const char *const sl_format_names[];

/* config->time_zone as minutes east of Greenwich. */
int32_t sl_format_zone(const struct sl_format_config *config);

/* Settings that are of no use to the chosen format are refused, then the format's own check is asked. */
int sl_format_check(const struct sl_format_config *config, struct sl_err *err);

/* Makes *text valid UTF-8: itself, or a copy in the arena where each maximal wrong part is U+FFFD. 0, or -1: over budget. */
int sl_format_utf8(const struct sl_format_batch *batch, struct sl_slice *text);

/* A row that cannot be read. */
static inline void sl_format_dead(const struct sl_format_batch *batch, uint16_t row, uint8_t reason)
{
    batch->view->fate[row] = SL_DEAD;
    batch->view->reason[row] = reason;
}

#endif
