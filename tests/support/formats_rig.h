/* formats_rig.h: one format of parse, opened with fields that somebody reads, as columns alone and with whole records. For unit tests and
 * the fuzz target; what it checks of every record is the contract of formats/format.h. Header only; state is static to the test.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_TESTS_SUPPORT_FORMATS_RIG_H
#define SL_TESTS_SUPPORT_FORMATS_RIG_H

#include "operators/stages/formats/format.h"
#include "operators/stages/stages.h"
#include "runtime/base/utf8.h"
#include "tests/support/stage_bench.h"
#include "tests/support/stage_config.h"

enum { FORMATS_FIELDS = BENCH_COLUMNS };

struct formats_half { /* one instance */
    struct bench bench;
    char self[4096];
    uint32_t columns[FORMATS_FIELDS];
};

struct formats_rig {
    struct formats_half plain, whole;
    struct sl_name names[FORMATS_FIELDS];
    uint32_t names_count;
    struct sl_json_decoder *decoder; /* of the same fields, for bodies */
    struct sl_column columns[FORMATS_FIELDS];
    bool bytes; /* values need not be UTF-8 where there are no bodies */
    struct sl_err err;
};

static inline bool formats_yes(struct sl_names *names)
{
    (void)names;
    return true;
}

static inline void formats_check(bool holds, const char *what)
{
    if (!holds) {
        (void)fprintf(stderr, "formats: %s\n", what);
        abort();
    }
}

static inline void formats_half_open(struct formats_rig *rig, struct formats_half *half, const void *config, bool whole)
{
    uint32_t all[BENCH_COLUMNS];

    bench_init(&half->bench);
    half->bench.names.is_whole = whole ? formats_yes : NULL;
    formats_check(sl_op_parse.head.self_bytes <= sizeof(half->self), "self is too small");
    formats_check(sl_op_parse.open(half->self, &half->bench.api, config, &half->bench.names, &rig->err) == 0, rig->err.text);
    for (uint32_t i = 0; i < rig->names_count; i++) {
        int column = half->bench.names.column(&half->bench.names, &rig->names[i], &rig->err);
        formats_check(column >= 0, "too many columns");
        half->columns[i] = (uint32_t)column;
    }
    for (uint32_t i = 0; i < half->bench.columns_count; i++)
        all[i] = i;
    formats_check(sl_op_parse.ready(half->self, all, half->bench.columns_count, &half->bench.names, &rig->err) == 0, rig->err.text);
}

/* settings: of the stage, a YAML flow mapping; fields: paths as users write them, NULL behind the last. */
static inline void formats_open(struct formats_rig *rig, const char *settings, const char *const *fields)
{
    struct sl_json_field projected[FORMATS_FIELDS];
    struct sl_json_projection projection = {projected, 0, true};
    const void *config = config_of(&sl_op_parse.head, settings);

    memset(rig, 0, sizeof(*rig));
    rig->bytes = strstr(settings, "format: text") != NULL;
    for (; fields[rig->names_count] != NULL; rig->names_count++) {
        char path[256];
        (void)snprintf(path, sizeof(path), ".%s", fields[rig->names_count]);
        formats_check(sl_name_parse(path, &rig->names[rig->names_count], &rig->err) == 0, rig->err.text);
        projected[rig->names_count] = (struct sl_json_field){rig->names[rig->names_count].path, rig->names_count};
    }
    projection.fields_count = rig->names_count;
    formats_check(sl_json_decoder_new(&projection, &rig->decoder, &rig->err) == 0, rig->err.text);
    formats_half_open(rig, &rig->plain, config, false);
    formats_half_open(rig, &rig->whole, config, true);
}

static inline void formats_close(struct formats_rig *rig)
{
    sl_op_parse.close(rig->plain.self);
    sl_op_parse.close(rig->whole.self);
    bench_fini(&rig->plain.bench);
    bench_fini(&rig->whole.bench);
    rig->decoder = sl_json_decoder_free(rig->decoder);
    for (uint32_t i = 0; i < rig->names_count; i++)
        sl_name_fini(&rig->names[i]);
    config_fini();
}

/* A batch of records of any bytes. */
static inline void formats_batch(struct bench *bench, const struct sl_slice *records, uint32_t count)
{
    const char *texts[64];

    formats_check(count <= 64, "too many records");
    for (uint32_t i = 0; i < count; i++)
        texts[i] = "";
    bench_batch(bench, texts, count);
    for (uint32_t i = 0; i < count; i++) {
        bench->batch.raw[i] = sl_arena_copy(&bench->arena, records[i]);
        formats_check(bench->batch.raw[i].data != NULL, "the arena is too small");
    }
}

static inline void formats_half_process(struct formats_rig *rig, struct formats_half *half, const struct sl_slice *records, uint32_t count)
{
    formats_batch(&half->bench, records, count);
    formats_check(sl_op_parse.process(half->self, &half->bench.view, &rig->err) == 0, rig->err.text);
}

static inline void formats_same_cell(const struct sl_column *a, const struct sl_column *b, uint32_t row, const char *what)
{
    formats_check(a->type[row] == b->type[row], what);
    if (a->type[row] != SL_T_ABSENT)
        formats_check(sl_slice_eq(a->value[row], b->value[row]), what);
}

/* A row's columns are the same in both halves and as a JSON reader finds them in the body, spans included. */
static inline void formats_compare_row(struct formats_rig *rig, uint32_t row)
{
    const struct sl_decoded *plain = rig->plain.bench.view.decoded, *whole = rig->whole.bench.view.decoded;
    struct sl_slice body = sl_view_text(&rig->whole.bench.view, row);

    formats_check(body.data == whole->body[row].data, "a record has no body");
    for (uint32_t i = 0; i < rig->names_count; i++) {
        const struct sl_column *column = &whole->columns[rig->whole.columns[i]];
        struct sl_span span = column->span[row], found = rig->columns[i].span[row];
        formats_same_cell(column, &rig->columns[i], row, "a column differs from what its body says");
        if (!rig->bytes) /* format text hands out what it got while nobody wants JSON */
            formats_same_cell(column, &plain->columns[rig->plain.columns[i]], row, "a column differs without bodies");
        if (column->type[row] != SL_T_ABSENT)
            formats_check(span.at == found.at && span.bytes == found.bytes, "a span is not that of its value");
    }
    formats_check(plain->time_unix_ms[row] == whole->time_unix_ms[row] && plain->level[row] == whole->level[row] &&
                      plain->service[row] == whole->service[row],
                  "a role differs without bodies");
}

static inline void formats_process(struct formats_rig *rig, const struct sl_slice *records, uint32_t count)
{
    struct bench *bench = &rig->whole.bench;
    uint8_t *verdict;

    formats_half_process(rig, &rig->plain, records, count);
    formats_half_process(rig, &rig->whole, records, count);
    formats_check(memcmp(bench->view.fate, rig->plain.bench.view.fate, count) == 0, "a fate differs without bodies");
    formats_check(memcmp(bench->view.reason, rig->plain.bench.view.reason, count) == 0, "a reason differs without bodies");
    sl_view_compact(&bench->view);
    verdict = bench_array(bench, count, 1);
    for (uint32_t i = 0; i < rig->names_count; i++)
        rig->columns[i] = (struct sl_column){bench_array(bench, count, sizeof(struct sl_slice)), bench_array(bench, count, sizeof(struct sl_span)),
                                             bench_array(bench, count, 1), bench_array(bench, count, 1)};
    for (uint32_t i = 0; i < count; i++) {
        formats_check(bench->view.fate[i] == SL_LIVE || sl_op_parse.head.reasons[bench->view.reason[i]] != NULL, "a dead record without a reason");
        formats_check((bench->view.fate[i] == SL_LIVE) == (bench->view.decoded->body[i].data != NULL), "a dead record has a body");
    }
    formats_check(sl_json_decode(rig->decoder, bench->view.decoded->body, bench->view.sel, bench->view.sel_count, rig->columns, verdict, &bench->arena) == 0,
                  "the arena is too small");
    for (uint32_t i = 0; i < bench->view.sel_count; i++) {
        uint16_t row = bench->view.sel[i];
        formats_check(verdict[row] == SL_JSON_FINE, "a body is not valid JSON");
        formats_compare_row(rig, row);
    }
}

#endif
