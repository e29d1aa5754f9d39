/* opensearch.h: the opensearch sink's own structs, shared by its files: opensearch.c (settings, life, actions), opensearch_index.c
 * (from a record to its index), opensearch_id.c (its id), opensearch_answer.c (what _bulk answers).
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_OPERATORS_SINKS_OPENSEARCH_OPENSEARCH_H
#define SL_OPERATORS_SINKS_OPENSEARCH_OPENSEARCH_H

#include "operators/sinks/push/push.h"
#include "runtime/config/template.h"

enum {
    OPENSEARCH_INDEX_BYTES = 255, /* the back-end's bound */
    OPENSEARCH_RENDER_BYTES = SL_TEMPLATE_BYTES + SL_TEMPLATE_PARTS * SL_TEMPLATE_VALUE_BYTES,
    OPENSEARCH_ID_BYTES = 22, /* 128 bits in base64url */
    OPENSEARCH_ACTION_BYTES = 64,
    OPENSEARCH_PATH_BYTES = 256
};

enum opensearch_id { OPENSEARCH_ORIGIN, OPENSEARCH_AUTO };
enum opensearch_action { OPENSEARCH_INDEX, OPENSEARCH_CREATE };

struct opensearch_config {
    struct push_settings push;
    const struct sl_template *index;
    int id, action;
    bool data_stream;
    const char *index_template, *pipeline;
};

/* opensearch_index.c: one index name is kept: records that follow each other mostly share it. */
struct opensearch_index {
    const struct sl_template *template;
    int columns[SL_TEMPLATE_PARTS]; /* of PATH and TRACE parts */
    bool constant, by_others;       /* by_others: a value that the key below cannot hold */
    bool known;
    struct { uint32_t service; uint8_t level; int64_t bucket; const void *partition; } key;
    int64_t bucket_ms; /* an hour, a day, or 0: no time in the name */
    int status;
    char name[OPENSEARCH_RENDER_BYTES + 1];
    uint32_t bytes;
};

int opensearch_index_check(const struct sl_template *template, struct sl_err *err);
int opensearch_index_open(struct opensearch_index *index, const struct sl_template *template, struct sl_names *names,
                          struct sl_err *err);
void opensearch_index_batch(struct opensearch_index *index); /* a parcel begins */
/* The record's index in index->name; non-zero: no back-end would take that name. */
int opensearch_index_of(struct opensearch_index *index, const struct sl_view *view, uint16_t row, struct sl_err *err);

/* opensearch_id.c (rule E1) */
struct opensearch_origin { /* what all ids of a partition begin with */
    char text[640];
    uint32_t bytes;
};
void opensearch_origin_of(struct opensearch_origin *origin, const struct sl_partition *partition);
void opensearch_id_of(const struct opensearch_origin *origin, const struct sl_batch *batch, uint16_t row,
                      char id[OPENSEARCH_ID_BYTES]);

struct opensearch_sink {
    struct push push; /* first */
    const struct opensearch_config *config;
    struct push_kind kind;
    char path[OPENSEARCH_PATH_BYTES];
    struct opensearch_index index;
    struct opensearch_origin origin;
    bool creates, validates; /* validates: nobody has said that this parcel's bodies are JSON */
    struct sl_json_decoder *decoder;
    struct sl_json_index *answers;
    uint8_t *verdicts; /* of the parcel's items, in its batch's arena */
};

/* opensearch_answer.c */
enum push_verdict opensearch_verdict(void *sink, int status);
int opensearch_judge(void *sink, struct push_bulk *bulk, struct sl_err *ret_why, struct sl_err *err);

#endif
