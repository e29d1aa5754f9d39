/* expect.h: the differences that are meant: what a candidate may write otherwise than the live generation without being at fault.
 *
 * A row names where it holds (a sink, levels, a service) and what may differ there: fields of the records, or that records come or
 * stay away at all. Several rows that hold for one record add up.
 * A field is a path as everywhere (user.email). The roles time, service and level also let what is known of the record beside its
 * text differ (it decides paths, indices and accounts); _w, _t, _r and _g let its weight differ.
 * Ownership: rows are copied. Threads: constant once filled, read by any number of slots; free it when no shadow has it any more.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_ENGINE_EXPECT_H
#define SL_RUNTIME_ENGINE_EXPECT_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/base/column.h"
#include "runtime/base/err.h"
#include "runtime/base/slice.h"

enum { SL_EXPECT_ROWS = 256, SL_EXPECT_FIELDS = 64 };

struct sl_expect;

struct sl_expect_row { /* as given; all of it is copied */
    const char *sink;    /* a sink's name, or NULL: all */
    uint32_t levels;     /* bit (1 << enum sl_level) of each; 0: all */
    const char *service; /* a name, or a beginning and `*`; NULL: all */
    const char *const *fields; /* that may differ, also by being there or not */
    uint32_t fields_count;
    bool counts; /* records may be missing, or come beside */
};

struct sl_expect *sl_expect_new(void); /* NULL: no memory */
/* Refused: a row that lets nothing differ, names that are no fields, too many rows or fields. */
int sl_expect_add(struct sl_expect *expect, const struct sl_expect_row *row, struct sl_err *err);
struct sl_expect *sl_expect_free(struct sl_expect *expect);
uint32_t sl_expect_count(const struct sl_expect *expect);
/* The name of the sink of a row, or NULL: for the check that there is such a sink. */
const char *sl_expect_sink(const struct sl_expect *expect, uint32_t row);

/* ---- for shadow.c ---- */
struct sl_expect_grant { /* what may differ in one record */
    bool counts, time, service, level, weight;
    const struct sl_field_path *paths[SL_EXPECT_FIELDS];
    uint32_t paths_count;
};
/* False: nothing may. expect may be NULL. */
bool sl_expect_of(const struct sl_expect *expect, const char *sink, uint8_t level, struct sl_slice service, struct sl_expect_grant *ret_grant);

#endif
