/* filter.c: keeps the records that meet a condition (`where`), or drops those that do (`drop_where`).
 * SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "operators/stages/stages.h"
#include "runtime/engine/match.h"

enum { FILTER_MAGIC = 0x66696c74 };
enum filter_counter { FILTER_C_DROPPED, FILTER_C_PATTERN_LIMITS };

struct filter_config {
    struct sl_cond *where, *drop_where;
};

struct filter_stage {
    uint32_t magic;
    const struct sl_api *api;
    struct sl_bound_cond *bound;
    uint8_t drops; /* a match of this value drops */
    uint64_t limits_told;
};

static int filter_check(const void *config, struct sl_err *err)
{
    const struct filter_config *filter = config;

    if (filter->where == NULL && filter->drop_where == NULL)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0,
                       "where: a filter needs a condition; write where (what to keep) or drop_where (what to drop)");
    if (filter->where != NULL && filter->drop_where != NULL)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0,
                       "drop_where: where is set as well, and a filter has one condition; put it into where as not: {...}, or into a filter of its own");
    return 0;
}

static int filter_open(void *self, const struct sl_api *api, const void *config, struct sl_names *names, struct sl_err *err)
{
    struct filter_stage *stage = self;
    const struct filter_config *filter = config;

    memset(stage, 0, sizeof(*stage));
    stage->magic = FILTER_MAGIC;
    stage->api = api;
    stage->drops = filter->drop_where != NULL;
    return sl_cond_bind(filter->drop_where != NULL ? filter->drop_where : filter->where, names, &stage->bound, err);
}

static void filter_tally(struct filter_stage *stage, uint64_t dropped)
{
    uint64_t limits = sl_cond_limits(stage->bound);

    if (stage->api->tally == NULL)
        return;
    if (dropped > 0)
        stage->api->tally(stage->api->env, stage, FILTER_C_DROPPED, dropped);
    if (limits > stage->limits_told)
        stage->api->tally(stage->api->env, stage, FILTER_C_PATTERN_LIMITS, limits - stage->limits_told);
    stage->limits_told = limits;
}

static int filter_process(void *self, struct sl_view *view, struct sl_err *err)
{
    struct filter_stage *stage = self;
    uint8_t *match = sl_arena_alloc(view->batch->arena, (size_t)view->batch->count + 1);
    uint64_t dropped = 0;

    assert(stage->magic == FILTER_MAGIC);
    if (match == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "a batch of %u records does not fit its arena", view->batch->count);
    sl_cond_eval(stage->bound, view, match);
    for (uint32_t i = 0; i < view->sel_count; i++) {
        uint16_t row = view->sel[i];
        if (match[row] != stage->drops)
            continue;
        view->fate[row] = SL_FILTERED;
        dropped++;
    }
    filter_tally(stage, dropped);
    return 0;
}

static void filter_close(void *self)
{
    struct filter_stage *stage = self;

    stage->bound = sl_cond_unbind(stage->bound);
    memset(stage, 0, sizeof(*stage));
}

static const struct sl_field filter_fields[] = {
    SL_FIELD(filter_config, where, SL_F_CONDITION, .help = "Records that meet it are kept; exactly one of where and drop_where."),
    SL_FIELD(filter_config, drop_where, SL_F_CONDITION, .help = "Records that meet it are dropped."),
    {0},
};

static const struct sl_counter filter_counters[] = {
    [FILTER_C_DROPPED] = {"dropped_total", "records", "Records that the filter dropped."},
    [FILTER_C_PATTERN_LIMITS] = {"pattern_limits_total", "records", "Records on which a pattern gave up; they count as no match."},
    [FILTER_C_PATTERN_LIMITS + 1] = {0},
};

const struct sl_op_kind sl_op_filter = {
    .head = {.major = SL_ABI_MAJOR,
             .minor = SL_ABI_MINOR,
             .bytes = sizeof(struct sl_op_kind),
             .name = "filter",
             .summary = "Keeps or drops records by a condition.",
             .example = "{ type: filter, inputs: [parsed], drop_where: { level: [debug, trace] } }",
             .fields = filter_fields,
             .config_bytes = sizeof(struct filter_config),
             .self_bytes = sizeof(struct filter_stage),
             .counters = filter_counters,
             .check = filter_check},
    .open = filter_open,
    .process = filter_process,
    .close = filter_close,
};
