/* http.c: the `http` sink: records as the body of a POST or PUT, framed as the back-end wants them: NDJSON (ClickHouse, Splunk with
 * wrap), a JSON array, plain lines, a form, or Loki's streams. At least once: a request whose answer was lost is sent again.
 * SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "operators/sinks/lines.h"
#include "operators/sinks/push/push.h"
#include "operators/sinks/sinks.h"
#include "runtime/base/json_out.h"

enum http_framing { HTTP_NDJSON, HTTP_JSON_ARRAY, HTTP_LINES, HTTP_FORM, HTTP_LOKI };
enum { HTTP_STATUSES = 600 };

struct http_config {
    struct push_settings push;
    int method, framing;
    struct { const char *before, *after; } wrap;
    const char *form_field;
    struct sl_map labels;
    struct sl_strings success, retry_on;
};

struct http_sink {
    struct push push; /* first */
    const struct http_config *config;
    struct push_kind kind;
    struct sl_buf first; /* of HTTP_LOKI */
    bool success[HTTP_STATUSES], retry_on[HTTP_STATUSES];
};

static const char *const http_methods[] = {"POST", "PUT", NULL};
static const char *const http_framings[] = {"ndjson", "json_array", "lines", "form", "loki", NULL};
static const char *const http_success[] = {"200-299"};
/* What a person can put right, and what passes by itself. */
static const char *const http_retry_on[] = {"401", "403-405", "407", "408", "425", "429", "500-599"};

#define WRAP(member, ...)                                                                                                      \
    {.name = #member, .type = SL_F_STRING, .offset = offsetof(struct http_config, wrap.member) - offsetof(struct http_config, wrap), \
     __VA_ARGS__}

static const struct sl_field http_wrap_fields[] = {
    WRAP(before, .max = "1024", .help = "Before each record, such as '{\"event\":'."),
    WRAP(after, .max = "1024", .help = "Behind each record, such as '}'."),
    {0},
};

static const struct sl_field http_fields[] = {
    PUSH_FIELDS(http_config),
    SL_FIELD(http_config, method, SL_F_ENUM, .def = "POST", .values = http_methods, .help = "Of the request."),
    SL_FIELD(http_config, framing, SL_F_ENUM, .def = "ndjson", .values = http_framings,
             .help = "How records stand in the body: ndjson (ClickHouse FORMAT JSONEachRow; Splunk with wrap), json_array, lines (any "
                     "text), form (form_field=RECORD&…), loki (one stream with labels; lines are the records)."),
    SL_FIELD(http_config, wrap, SL_F_STRUCT, .sub = http_wrap_fields, .help = "Text around each record, with ndjson and json_array."),
    SL_FIELD(http_config, form_field, SL_F_STRING, .min = "1", .max = "64", .help = "Name of the form's field, with framing: form."),
    SL_FIELD(http_config, labels, SL_F_MAP, .help = "Labels of the stream, with framing: loki."),
    SL_FIELD(http_config, success, SL_F_STRINGS, .min = "1",
             .help = "Status codes that mean delivered; default [\"200-299\"]."),
    SL_FIELD(http_config, retry_on, SL_F_STRINGS, .min = "1",
             .help = "Status codes after which the same request is sent again; default [\"401\", \"403-405\", \"407\", \"408\", \"425\", "
                     "\"429\", \"500-599\"]. After 413 it is sent in halves, and so after any other until the record at fault stands "
                     "alone: a dead letter."),
    {0},
};

static const struct sl_counter http_counters[] = {PUSH_COUNTER_ROWS, {0}};

/* ---- status codes ---- */

/* "429" or "500-599"; false: neither. */
static bool codes_scan(const char *text, uint32_t *ret_from, uint32_t *ret_to)
{
    int used = 0;
    unsigned from, to;

    if (sscanf(text, "%3u-%3u%n", &from, &to, &used) == 2 && text[used] == '\0' && used == 7)
        ;
    else if (sscanf(text, "%3u%n", &from, &used) == 1 && text[used] == '\0' && used == 3)
        to = from;
    else
        return false;
    *ret_from = from;
    *ret_to = to;
    return from >= 200 && from <= to && to < HTTP_STATUSES;
}

static int codes_check(const char *setting, const struct sl_strings *codes, struct sl_err *err)
{
    uint32_t from, to;

    for (uint32_t i = 0; i < codes->count; i++)
        if (!codes_scan(codes->items[i], &from, &to))
            return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0,
                           "%s: \"%.40s\" is no status code; write one such as 202 or a range such as 200-299, from 200 to 599",
                           setting, codes->items[i]);
    return 0;
}

static void codes_set(bool codes[HTTP_STATUSES], const char *const *items, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t from = 0, to = 0;
        bool good = codes_scan(items[i], &from, &to);
        assert(good);
        for (uint32_t code = from; code <= to; code++)
            codes[code] = true;
    }
}

static int codes_check_both(const struct http_config *c, struct sl_err *err)
{
    bool success[HTTP_STATUSES] = {false}, retry_on[HTTP_STATUSES] = {false};

    if (codes_check("success", &c->success, err) != 0 || codes_check("retry_on", &c->retry_on, err) != 0)
        return -(int)err->code;
    codes_set(success, c->success.items, c->success.count);
    codes_set(retry_on, c->retry_on.items, c->retry_on.count);
    for (int code = 200; code < HTTP_STATUSES; code++)
        if (success[code] && retry_on[code])
            return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "retry_on: %d is among success too; write it in one of the two", code);
    return 0;
}

/* ---- check ---- */

static int http_check_framing(const struct http_config *c, struct sl_err *err)
{
    bool wraps = c->wrap.before != NULL || c->wrap.after != NULL;

    if (wraps && c->framing != HTTP_NDJSON && c->framing != HTTP_JSON_ARRAY)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "wrap: has no effect with framing: %s; leave it out",
                       http_framings[c->framing]);
    if ((wraps && c->wrap.before != NULL && strpbrk(c->wrap.before, "\r\n") != NULL) ||
        (wraps && c->wrap.after != NULL && strpbrk(c->wrap.after, "\r\n") != NULL))
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "wrap: it has a line break; write it in one line");
    if ((c->form_field != NULL) != (c->framing == HTTP_FORM))
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "form_field: %s",
                       c->form_field != NULL ? "given without framing: form; leave it out"
                                             : "missing; write the name of the form's field");
    for (const char *at = c->form_field; at != NULL && *at != '\0'; at++)
        if (strchr("&=%+# ", *at) != NULL || (unsigned char)*at < 0x21 || (unsigned char)*at > 0x7e)
            return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "form_field: \"%.64s\" is no name of a form's field; write letters and digits",
                           c->form_field);
    if ((c->labels.count > 0) != (c->framing == HTTP_LOKI))
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "labels: %s",
                       c->labels.count > 0 ? "given without framing: loki; leave them out"
                                           : "missing; Loki takes no stream without one, write { job: sluice }");
    return 0;
}

static int http_check(const void *config, struct sl_err *err)
{
    const struct http_config *c = config;

    if (push_settings_check(&c->push, err) != 0 || http_check_framing(c, err) != 0)
        return -(int)err->code;
    return codes_check_both(c, err);
}

/* Lines may be anything; a form and Loki quote what they get. */
static uint32_t http_flags(const void *config)
{
    const struct http_config *c = config;

    return c->framing == HTTP_NDJSON || c->framing == HTTP_JSON_ARRAY ? SL_SINK_LINES | SL_SINK_JSON
           : c->framing == HTTP_LINES                                ? SL_SINK_LINES
           : c->framing == HTTP_LOKI                                 ? SL_SINK_TEXT
                                                                     : 0;
}

/* ---- a record in the body ---- */

static void encode_percent(struct sl_slice body, struct sl_buf *text)
{
    static const char hex[] = "0123456789ABCDEF";
    char *to = sl_buf_reserve(text, (size_t)body.bytes * 3);
    size_t bytes = 0;

    if (to == NULL)
        return;
    for (uint32_t i = 0; i < body.bytes; i++) {
        unsigned char c = (unsigned char)body.data[i];
        if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr("-_.~", c | (c == 0)) != NULL) {
            to[bytes++] = (char)c;
            continue;
        }
        to[bytes++] = '%';
        to[bytes++] = hex[c >> 4];
        to[bytes++] = hex[c & 15];
    }
    sl_buf_added(text, bytes);
}

static void encode_form(const struct http_sink *sink, const struct sl_item *item, struct push_row *row, struct sl_buf *text)
{
    size_t from = text->bytes;

    sl_buf_text(text, sink->config->form_field);
    sl_buf_char(text, '=');
    row->head_bytes = (uint32_t)(text->bytes - from);
    encode_percent(item->body, text);
    row->body_bytes = (uint32_t)(text->bytes - from) - row->head_bytes;
    row->raw_bytes = 0;
}

/* ["TIME_NS","the record"] */
static void encode_loki(const struct sl_parcel *parcel, const struct sl_item *item, struct push_row *row, struct sl_buf *text)
{
    const struct sl_view *view = parcel->view;
    const int64_t *times = view->decoded->time_unix_ms != NULL ? view->decoded->time_unix_ms : view->batch->append_unix_ms;
    size_t from = text->bytes;

    sl_buf_printf(text, "[\"%lld000000\",", (long long)(times[item->row] > 0 ? times[item->row] : 0));
    sl_json_quote(text, item->body);
    sl_buf_char(text, ']');
    row->body_bytes = (uint32_t)(text->bytes - from);
    row->raw_bytes = 0;
}

static int encode_json_check(const struct sl_item *item, struct sl_err *err)
{
    uint32_t at = 0;

    while (at < item->body.bytes && (item->body.data[at] == ' ' || item->body.data[at] == '\t' || item->body.data[at] == '\r' ||
                                     item->body.data[at] == '\n'))
        at++;
    return at < item->body.bytes && item->body.data[at] == '{'
               ? 0
               : sl_fail(err, SL_E_FORMAT, SL_REMEDY_DEADLETTER, 0, "not a JSON object, which framing: ndjson and json_array need");
}

static void encode_plain(const struct http_sink *sink, const struct sl_parcel *parcel, const struct sl_item *item, struct push_row *row,
                         struct sl_buf *text)
{
    const char *before = sink->config->wrap.before, *after = sink->config->wrap.after;
    char *to;

    row->head_bytes = before != NULL ? (uint32_t)strlen(before) : 0;
    row->tail_bytes = after != NULL ? (uint32_t)strlen(after) : 0;
    row->body_bytes = item->body.bytes;
    if (before != NULL)
        sl_buf_text(text, before);
    to = sl_buf_reserve(text, item->body.bytes);
    if (to != NULL) {
        lines_copy(to, item->body.data, item->body.bytes, lines_may_break(parcel->view));
        sl_buf_added(text, item->body.bytes);
    }
    if (after != NULL)
        sl_buf_text(text, after);
}

static int http_encode(void *self, const struct sl_parcel *parcel, uint32_t index, struct push_row *row, struct sl_buf *text,
                       struct sl_err *err)
{
    struct http_sink *sink = self;
    const struct sl_item *item = &parcel->items[index];

    switch ((enum http_framing)sink->config->framing) {
    case HTTP_FORM:
        encode_form(sink, item, row, text);
        return 0;
    case HTTP_LOKI:
        encode_loki(parcel, item, row, text);
        return 0;
    case HTTP_NDJSON:
    case HTTP_JSON_ARRAY:
        if (encode_json_check(item, err) != 0)
            return -(int)err->code;
        break;
    case HTTP_LINES:
        break;
    }
    encode_plain(sink, parcel, item, row, text);
    return 0;
}

/* ---- answers ---- */

static enum push_verdict http_verdict(void *self, int status)
{
    const struct http_sink *sink = self;

    if (status < 200 || status >= HTTP_STATUSES)
        return PUSH_SICK;
    if (sink->success[status])
        return PUSH_READ;
    if (sink->retry_on[status])
        return status == 429 ? PUSH_LATER : status >= 500 || status == 408 || status == 425 ? PUSH_SICK : PUSH_UNKNOWN;
    if (status < 400)
        return PUSH_UNKNOWN;
    return status == 413 ? PUSH_TOO_BIG : PUSH_BAD;
}

static int http_judge(void *self, struct push_bulk *bulk, struct sl_err *ret_why, struct sl_err *err)
{
    (void)self;
    (void)ret_why;
    (void)err;
    for (uint32_t i = 0; i < bulk->rows_count; i++)
        if (bulk->rows[i].state == PUSH_PENDING)
            bulk->rows[i].state = PUSH_TAKEN;
    return 0;
}

/* ---- life ---- */

static int http_open_loki(struct http_sink *sink, struct sl_err *err)
{
    struct sl_json_out out;

    if (sink->config->framing != HTTP_LOKI)
        return 0;
    sl_buf_text(&sink->first, "{\"streams\":[{\"stream\":");
    sl_json_out_init(&out, &sink->first);
    sl_json_out_object(&out);
    for (uint32_t i = 0; i < sink->config->labels.count; i++)
        sl_json_out_str_at(&out, sink->config->labels.items[i].name, sink->config->labels.items[i].value);
    sl_json_out_end_object(&out);
    sl_buf_text(&sink->first, ",\"values\":[");
    sink->kind.first = sl_buf_str(&sink->first);
    return sl_buf_failed(&sink->first) ? sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory") : 0;
}

static void http_open_kind(struct http_sink *sink)
{
    static const struct push_kind frames[] = {
        [HTTP_NDJSON] = {.content_type = "application/x-ndjson", .between = '\n', .keep_last = true},
        [HTTP_JSON_ARRAY] = {.content_type = "application/json", .first = "[", .between = ',', .last = "]"},
        [HTTP_LINES] = {.content_type = "text/plain; charset=utf-8", .between = '\n', .keep_last = true},
        [HTTP_FORM] = {.content_type = "application/x-www-form-urlencoded", .between = '&'},
        [HTTP_LOKI] = {.content_type = "application/json", .between = ',', .last = "]}]}"},
    };

    sink->kind = frames[sink->config->framing];
    sink->kind.method = http_methods[sink->config->method];
    sink->kind.path = "";
    sink->kind.encode = http_encode;
    sink->kind.verdict = http_verdict;
    sink->kind.judge = http_judge;
}

static int http_open(void *self, const struct sl_api *api, const void *config, struct sl_names *names, struct sl_slot *slot,
                     struct sl_err *err)
{
    struct http_sink *sink = self;
    const struct http_config *c = config;

    sink->config = c;
    http_open_kind(sink);
    codes_set(sink->success, c->success.count > 0 ? c->success.items : http_success, c->success.count > 0 ? c->success.count : 1);
    codes_set(sink->retry_on, c->retry_on.count > 0 ? c->retry_on.items : http_retry_on,
              c->retry_on.count > 0 ? c->retry_on.count : sizeof(http_retry_on) / sizeof(http_retry_on[0]));
    for (int code = 0; code < HTTP_STATUSES; code++) /* what the user calls success is none of the default's */
        sink->retry_on[code] = sink->retry_on[code] && !sink->success[code];
    if ((http_flags(c) & SL_SINK_JSON) != 0 && names->whole != NULL)
        names->whole(names);
    if (http_open_loki(sink, err) != 0 || push_open(&sink->push, api, sink, slot, &c->push, &sink->kind, err) != 0)
        return sl_while(err, "sink %s", api->component);
    return 0;
}

/* OPTIONS writes nothing, whatever the url means. */
static int http_probe(const void *config, uint32_t host, struct sl_http_request *request, struct sl_err *err)
{
    return push_probe(&((const struct http_config *)config)->push, host, "OPTIONS", "", request, err);
}

static void http_close(void *self)
{
    struct http_sink *sink = self;

    push_close(&sink->push);
    sl_buf_fini(&sink->first);
}

static uint64_t http_credit(void *self)
{
    return push_credit(&((struct http_sink *)self)->push);
}

static int http_submit(void *self, const struct sl_parcel *parcel, struct sl_err *err)
{
    return push_submit(&((struct http_sink *)self)->push, parcel, err);
}

static int http_turn(void *self, uint64_t now_ns, uint64_t *ret_wake_ns, struct sl_err *err)
{
    return push_turn(&((struct http_sink *)self)->push, now_ns, ret_wake_ns, err);
}

static int http_drain(void *self)
{
    return push_drain(&((struct http_sink *)self)->push);
}

const struct sl_sink_kind sl_sink_http = {
    .head = {.major = SL_ABI_MAJOR, .minor = SL_ABI_MINOR, .bytes = sizeof(struct sl_sink_kind), .name = "http",
             .summary = "Posts records to any back-end that takes NDJSON, JSON arrays, lines, forms or Loki's streams over HTTP.",
             .example = "{ type: http, inputs: [useful], url: \"http://localhost:8123/?query=INSERT%20INTO%20logs%20FORMAT%20JSONEachRow\" }",
             .fields = http_fields, .config_bytes = sizeof(struct http_config), .self_bytes = sizeof(struct http_sink),
             .counters = http_counters, .check = http_check},
    .flags = SL_SINK_PUSH,
    .config_flags = http_flags,
    .open = http_open,
    .credit = http_credit,
    .submit = http_submit,
    .turn = http_turn,
    .drain = http_drain,
    .close = http_close,
    .probe = http_probe,
};
