/* opensearch.c: the `opensearch` sink (Elasticsearch too): records as documents through _bulk, each under an id made of its origin,
 * so that what is sent twice is there once (DELIVERY rule E1).
 * SPDX-License-Identifier: Apache-2.0 */
#include "operators/sinks/opensearch/opensearch.h"

#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "operators/sinks/lines.h"
#include "operators/sinks/sinks.h"
#include "runtime/json/json.h"
#include "runtime/json/json_index.h"

enum { OPENSEARCH_TEMPLATE_MAX = 1 << 20 };

static const char *const opensearch_ids[] = {"origin", "auto", NULL};
static const char *const opensearch_actions[] = {"index", "create", NULL};

static const struct sl_field opensearch_fields[] = {
    PUSH_FIELDS(opensearch_config),
    SL_FIELD(opensearch_config, index, SL_F_TEMPLATE, .flags = SL_F_REQUIRED,
             .help = "Index or data stream, such as logs-{day}; values are percent-encoded and in lower case."),
    SL_FIELD(opensearch_config, id, SL_F_ENUM, .def = "origin", .values = opensearch_ids,
             .help = "origin: a document's _id is made of its record's origin, so each is there once; auto: the back-end chooses."),
    SL_FIELD(opensearch_config, action, SL_F_ENUM, .def = "index", .values = opensearch_actions,
             .help = "create: a document that is there already stays as it is, and counts as delivered."),
    SL_FIELD(opensearch_config, data_stream, SL_F_BOOL, .def = "false",
             .help = "The index is a data stream: action is create. At least once across a rollover."),
    SL_FIELD(opensearch_config, index_template, SL_F_INPUT_PATH,
             .help = "JSON file, put as _index_template/sluice-TOPOLOGY-SINK before the first record is sent."),
    SL_FIELD(opensearch_config, pipeline, SL_F_STRING, .min = "1", .max = "128", .help = "Ingest pipeline of the back-end."),
    {0},
};

static const struct sl_counter opensearch_counters[] = {PUSH_COUNTER_ROWS, {0}};

/* ---- check ---- */

/* A JSON object of at most 1 MiB; malloc'd. */
static int template_read(const char *path, char **ret_text, size_t *ret_bytes, struct sl_err *err)
{
    static const struct sl_json_projection whole = {.validate = true};
    struct sl_json_decoder *decoder = NULL;
    struct sl_arena arena = {0};
    struct sl_slice text;
    char *file = NULL;
    size_t bytes = 0;
    uint16_t sel = 0;
    uint8_t verdict = SL_JSON_NOT_JSON;
    int status = sl_fs_read_file(sl_fs_posix(), path, OPENSEARCH_TEMPLATE_MAX, &file, &bytes);

    if (status != 0)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, -status, "index_template: %.200s cannot be read: %s", path, strerror(-status));
    if (sl_json_decoder_new(&whole, &decoder, err) == 0 && sl_arena_init(&arena, bytes + 4096, 4 * bytes + 65536) == 0) {
        text = sl_arena_copy(&arena, (struct sl_slice){file, (uint32_t)bytes});
        if (text.data != NULL)
            (void)sl_json_decode(decoder, &text, &sel, 1, NULL, &verdict, &arena);
        sl_arena_fini(&arena);
    }
    decoder = sl_json_decoder_free(decoder);
    if (verdict != SL_JSON_FINE || file[strspn(file, " \t\r\n")] != '{') {
        free(file);
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "index_template: %.200s is not a JSON object (%s); write one with index_patterns",
                       path, verdict == SL_JSON_FINE ? "another value" : sl_json_reasons[verdict]);
    }
    *ret_text = file;
    *ret_bytes = bytes;
    return 0;
}

static int opensearch_check_url(const char *setting, const char *url, struct sl_err *err)
{
    return strchr(url, '?') == NULL
               ? 0
               : sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "%s: %.120s has a query; write the address without ?", setting, url);
}

static int opensearch_check(const void *config, struct sl_err *err)
{
    const struct opensearch_config *c = config;
    char *text;
    size_t bytes;

    if (push_settings_check(&c->push, err) != 0 || opensearch_index_check(c->index, err) != 0)
        return -(int)err->code;
    if (c->push.url != NULL && opensearch_check_url("url", c->push.url, err) != 0)
        return -(int)err->code;
    for (uint32_t i = 0; i < c->push.urls.count; i++)
        if (opensearch_check_url("urls", c->push.urls.items[i], err) != 0)
            return -(int)err->code;
    for (const char *at = c->pipeline; at != NULL && *at != '\0'; at++)
        if (!isalnum((unsigned char)*at) && strchr("-_.", *at) == NULL)
            return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "pipeline: \"%.64s\" is no name; write A-Z a-z 0-9 - _ and .",
                           c->pipeline);
    if (c->index_template == NULL)
        return 0;
    if (template_read(c->index_template, &text, &bytes, err) != 0)
        return -(int)err->code;
    free(text);
    return 0;
}

/* ---- a record's action and document ---- */

static int opensearch_begin(void *self, const struct sl_parcel *parcel, struct sl_err *err)
{
    struct opensearch_sink *sink = self;
    struct sl_arena *arena = parcel->view->batch->arena;
    struct sl_slice *bodies;
    uint16_t *sel;

    opensearch_index_batch(&sink->index);
    opensearch_origin_of(&sink->origin, parcel->view->batch->partition);
    sink->validates = !parcel->view->decoded->json;
    if (!sink->validates || parcel->count == 0)
        return 0;
    bodies = sl_arena_alloc(arena, parcel->count * sizeof(*bodies));
    sel = sl_arena_alloc(arena, parcel->count * sizeof(*sel));
    sink->verdicts = sl_arena_alloc(arena, parcel->count);
    if (bodies == NULL || sel == NULL || sink->verdicts == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "a batch needs more memory than its share; raise `memory:`");
    for (uint32_t i = 0; i < parcel->count; i++) {
        bodies[i] = parcel->items[i].body;
        sel[i] = (uint16_t)i;
    }
    if (sl_json_decode(sink->decoder, bodies, sel, parcel->count, NULL, sink->verdicts, arena) != 0)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "a batch needs more memory than its share; raise `memory:`");
    return 0;
}

static int document_check(const struct opensearch_sink *sink, const struct sl_item *item, uint32_t index, struct sl_err *err)
{
    uint32_t at = 0;

    if (sink->validates && sink->verdicts[index] != SL_JSON_FINE)
        return sl_fail(err, SL_E_FORMAT, SL_REMEDY_DEADLETTER, 0, "not a JSON object: %s", sl_json_reasons[sink->verdicts[index]]);
    while (at < item->body.bytes && strchr(" \t\r\n", item->body.data[at]) != NULL && item->body.data[at] != '\0')
        at++;
    if (at < item->body.bytes && item->body.data[at] == '{')
        return 0;
    return sl_fail(err, SL_E_FORMAT, SL_REMEDY_DEADLETTER, 0, "not a JSON object, so it cannot be a document");
}

static void action_put(struct sl_buf *text, const char *data, size_t bytes)
{
    memcpy(text->data + text->bytes, data, bytes); /* room is reserved */
    text->bytes += bytes;
}

#define ACTION_PUT(text, literal) action_put(text, literal, sizeof(literal) - 1)

static void action_write(struct opensearch_sink *sink, const struct sl_parcel *parcel, const struct sl_item *item, struct sl_buf *text)
{
    char id[OPENSEARCH_ID_BYTES];

    if (sink->creates)
        ACTION_PUT(text, "{\"create\":{\"_index\":\"");
    else
        ACTION_PUT(text, "{\"index\":{\"_index\":\"");
    action_put(text, sink->index.name, sink->index.bytes);
    if (sink->config->id == OPENSEARCH_ORIGIN) {
        opensearch_id_of(&sink->origin, parcel->view->batch, item->row, id);
        ACTION_PUT(text, "\",\"_id\":\"");
        action_put(text, id, sizeof(id));
    }
    ACTION_PUT(text, "\"}}\n");
}

static int opensearch_encode(void *self, const struct sl_parcel *parcel, uint32_t index, struct push_row *row, struct sl_buf *text,
                             struct sl_err *err)
{
    struct opensearch_sink *sink = self;
    const struct sl_item *item = &parcel->items[index];
    size_t from = text->bytes;

    if (document_check(sink, item, index, err) != 0 || opensearch_index_of(&sink->index, parcel->view, item->row, err) != 0)
        return -(int)err->code;
    if (sl_buf_reserve(text, OPENSEARCH_ACTION_BYTES + sink->index.bytes + OPENSEARCH_ID_BYTES + item->body.bytes) == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory");
    action_write(sink, parcel, item, text);
    row->head_bytes = (uint32_t)(text->bytes - from);
    row->body_bytes = item->body.bytes;
    lines_copy(text->data + text->bytes, item->body.data, item->body.bytes, lines_may_break(parcel->view));
    text->bytes += item->body.bytes;
    return 0;
}

/* ---- life ---- */

static const struct push_kind opensearch_push = {
    .method = "POST",
    .content_type = "application/x-ndjson",
    .between = '\n',
    .keep_last = true,
    .begin = opensearch_begin,
    .encode = opensearch_encode,
    .verdict = opensearch_verdict,
    .judge = opensearch_judge,
};

static int opensearch_open_template(struct opensearch_sink *sink, struct sl_err *err)
{
    const struct sl_api *api = sink->push.api;
    char path[OPENSEARCH_PATH_BYTES], *text;
    size_t bytes;
    int status;

    if (sink->config->index_template == NULL)
        return 0;
    if (template_read(sink->config->index_template, &text, &bytes, err) != 0)
        return -(int)err->code;
    (void)snprintf(path, sizeof(path), "/_index_template/sluice-%.100s-%.100s", api->topology, api->component);
    for (char *at = path; *at != '\0'; at++)
        *at = (char)tolower((unsigned char)*at);
    status = push_setup(&sink->push, path, text, bytes, err);
    free(text);
    return status;
}

static int opensearch_open(void *self, const struct sl_api *api, const void *config, struct sl_names *names, struct sl_slot *slot,
                           struct sl_err *err)
{
    static const struct sl_json_projection whole = {.validate = true};
    struct opensearch_sink *sink = self;
    const struct opensearch_config *c = config;

    sink->config = c;
    sink->creates = c->data_stream || c->action == OPENSEARCH_CREATE;
    sink->kind = opensearch_push;
    sink->kind.path = sink->path;
    (void)snprintf(sink->path, sizeof(sink->path), "/_bulk?filter_path=errors,items.*.status,items.*.error.type,items.*.error.reason%s%s",
                   c->pipeline != NULL ? "&pipeline=" : "", c->pipeline != NULL ? c->pipeline : "");
    if (names->whole != NULL)
        names->whole(names);
    if (push_open(&sink->push, api, sink, slot, &c->push, &sink->kind, err) != 0 ||
        opensearch_index_open(&sink->index, c->index, names, err) != 0 || opensearch_open_template(sink, err) != 0 ||
        sl_json_decoder_new(&whole, &sink->decoder, err) != 0)
        return sl_while(err, "sink %s", api->component);
    sink->answers = sl_json_index_new();
    return sink->answers != NULL ? 0 : sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory for sink %s", api->component);
}

static int opensearch_probe(const void *config, uint32_t host, struct sl_http_request *request, struct sl_err *err)
{
    return push_probe(&((const struct opensearch_config *)config)->push, host, "GET", "/", request, err);
}

static void opensearch_close(void *self)
{
    struct opensearch_sink *sink = self;

    push_close(&sink->push);
    sink->decoder = sl_json_decoder_free(sink->decoder);
    sink->answers = sl_json_index_free(sink->answers);
}

static uint64_t opensearch_credit(void *self)
{
    return push_credit(&((struct opensearch_sink *)self)->push);
}

static int opensearch_submit(void *self, const struct sl_parcel *parcel, struct sl_err *err)
{
    return push_submit(&((struct opensearch_sink *)self)->push, parcel, err);
}

static int opensearch_turn(void *self, uint64_t now_ns, uint64_t *ret_wake_ns, struct sl_err *err)
{
    return push_turn(&((struct opensearch_sink *)self)->push, now_ns, ret_wake_ns, err);
}

static int opensearch_drain(void *self)
{
    return push_drain(&((struct opensearch_sink *)self)->push);
}

static uint32_t opensearch_flags(const void *config)
{
    return ((const struct opensearch_config *)config)->id == OPENSEARCH_ORIGIN ? SL_SINK_KEYED : 0;
}

const struct sl_sink_kind sl_sink_opensearch = {
    .head = {.major = SL_ABI_MAJOR, .minor = SL_ABI_MINOR, .bytes = sizeof(struct sl_sink_kind), .name = "opensearch",
             .summary = "Indexes records in OpenSearch or Elasticsearch, each once under an id made of its origin.",
             .example = "{ type: opensearch, inputs: [useful], url: \"http://localhost:9200\", index: \"logs-{day}\" }",
             .fields = opensearch_fields, .config_bytes = sizeof(struct opensearch_config),
             .self_bytes = sizeof(struct opensearch_sink), .counters = opensearch_counters, .check = opensearch_check},
    .flags = SL_SINK_LINES | SL_SINK_JSON | SL_SINK_PUSH,
    .config_flags = opensearch_flags,
    .open = opensearch_open,
    .credit = opensearch_credit,
    .submit = opensearch_submit,
    .turn = opensearch_turn,
    .drain = opensearch_drain,
    .close = opensearch_close,
    .probe = opensearch_probe,
};
