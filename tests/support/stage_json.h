/* stage_json.h: a parse stage before the stage under test, so that conditions and samplers see real columns. Header only.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_TESTS_SUPPORT_STAGE_JSON_H
#define SL_TESTS_SUPPORT_STAGE_JSON_H

#include "operators/stages/stages.h"
#include "tests/support/stage_bench.h"
#include "tests/support/stage_config.h"

struct stage_json {
    struct bench bench;
    _Alignas(16) char parse[4096], stage[16384]; /* their selves */
    const struct sl_op_kind *kind;
    const void *config;
    struct sl_err err;
};

static inline void stage_json_init(struct stage_json *json)
{
    memset(json, 0, sizeof(*json));
    bench_init(&json->bench);
}

/* Opens parse and then `kind` with its settings, as the engine does. */
static inline void stage_json_open(struct stage_json *json, const struct sl_op_kind *kind, const char *settings)
{
    uint32_t columns[BENCH_COLUMNS];

    json->kind = kind;
    json->config = config_of(&kind->head, settings);
    if (sl_op_parse.head.self_bytes > sizeof(json->parse) || kind->head.self_bytes > sizeof(json->stage) ||
        sl_op_parse.open(json->parse, &json->bench.api, config_of(&sl_op_parse.head, "{ type: parse, inputs: [x] }"),
                         &json->bench.names, &json->err) != 0 ||
        kind->open(json->stage, &json->bench.api, json->config, &json->bench.names, &json->err) != 0)
        abort();
    for (uint32_t i = 0; i < json->bench.columns_count; i++)
        columns[i] = i;
    if (sl_op_parse.ready(json->parse, columns, json->bench.columns_count, &json->bench.names, &json->err) != 0 ||
        (kind->ready != NULL && kind->ready(json->stage, columns, json->bench.columns_count, &json->bench.names, &json->err) != 0))
        abort();
    memset(json->bench.counters, 0, sizeof(json->bench.counters));
}

/* The batch through parse; counters are cleared, so that they are the stage's own afterwards. */
static inline void stage_json_batch(struct stage_json *json, const char *const *texts, uint32_t count)
{
    bench_batch(&json->bench, texts, count);
    if (sl_op_parse.process(json->parse, &json->bench.view, &json->err) != 0)
        abort();
    sl_view_compact(&json->bench.view);
    memset(json->bench.counters, 0, sizeof(json->bench.counters));
}

static inline void stage_json_process(struct stage_json *json)
{
    if (json->kind->process(json->stage, &json->bench.view, &json->err) != 0)
        abort();
    sl_view_compact(&json->bench.view);
}

static inline void stage_json_fini(struct stage_json *json)
{
    if (json->kind != NULL)
        json->kind->close(json->stage);
    sl_op_parse.close(json->parse);
    config_fini();
    bench_fini(&json->bench);
}

#endif
