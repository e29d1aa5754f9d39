/* multiline.h: which lines belong to the line before them: stack traces of Java, Python and Go, or what a pattern says. A source feeds
 * it the lines of one stream (a file; the messages of one program) in their order and joins as it is told.
 *
 * States, of one stream (struct sl_multiline_state, zeroed at first): the lines of the open record so far, and where in a trace each language
 * stands. The rules are written at each language in multiline.c. Time-outs are the caller's: after config->timeout without a line he
 * hands the open record out and calls sl_multiline_reset(); what comes later then begins a record.
 * A pattern that gives up (see formats/regex.c) does not match. Threads: an instance belongs to one thread. Lines are without their ends.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_OPERATORS_SOURCES_MULTILINE_H
#define SL_OPERATORS_SOURCES_MULTILINE_H

#include "runtime/base/err.h"
#include "runtime/base/slice.h"
#include "runtime/config/field.h"

/* A source has it as a member `multiline` with a row SL_F_STRUCT, .sub = sl_multiline_fields. */
struct sl_multiline_config {
    struct sl_strings stack_traces;
    const char *start, *continuation;
    uint64_t timeout; /* ns */
    uint64_t max_lines;
};
extern const struct sl_field sl_multiline_fields[];

struct sl_multiline_state {
    uint64_t lines; /* of the open record; 0: none is open */
    uint8_t trace[3];
};

struct sl_multiline;

/* The settings at `sluice check`; err->text begins with "multiline.…". */
int sl_multiline_check(const struct sl_multiline_config *config, struct sl_err *err);
/* Whether lines are joined at all. */
bool sl_multiline_on(const struct sl_multiline_config *config);
int sl_multiline_new(const struct sl_multiline_config *config, struct sl_multiline **ret_multiline, struct sl_err *err);
struct sl_multiline *sl_multiline_free(struct sl_multiline *multiline);

/* True: the line belongs to the open record; false: it begins one (the open one is complete). The state moves on either way. */
bool sl_multiline_joins(struct sl_multiline *multiline, struct sl_multiline_state *state, struct sl_slice line);
/* The line begins a record, whatever it says: the caller could not join it (max_lines is looked at by sl_multiline_joins itself). */
void sl_multiline_begin(struct sl_multiline *multiline, struct sl_multiline_state *state, struct sl_slice line);
void sl_multiline_reset(struct sl_multiline_state *state);

#endif
