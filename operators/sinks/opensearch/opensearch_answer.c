/* opensearch_answer.c: what _bulk answers: {"errors":…,"items":[{"index":{"status":…,"error":{"type":…,"reason":…}}},…]}, one item
 * a record in their order (DELIVERY rule E2), walked once over simdjson's index of tokens.
 *
 * 2xx is delivered; 409 of a create too: the document is there. 429 and 5xx, and 401 and 403 (an index that is blocked, a right that
 * is missing: a person's to change), are sent again, those items only. Any other status is the record's own fault: a dead letter.
 * An answer of another form decides nothing: all is sent again.
 * SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "operators/sinks/opensearch/opensearch.h"
#include "runtime/base/arena.h"
#include "runtime/json/json_index.h"
#include "runtime/json/json_text.h"

enum { ANSWER_REASON_BYTES = 320, ANSWER_TYPE_BYTES = 80, ANSWER_STRING_BYTES = 4096 };

struct walk {
    const char *text;
    const uint32_t *at; /* tokens; at[count] is the text's end */
    uint32_t count, next;
};

struct item {
    uint32_t status;
    struct sl_slice type, reason; /* insides of strings, escapes unresolved */
};

/* ---- tokens ---- */

static char walk_token(const struct walk *walk)
{
    return walk->next < walk->count ? walk->text[walk->at[walk->next]] : '\0';
}

static bool walk_take(struct walk *walk, char token)
{
    if (walk_token(walk) != token)
        return false;
    walk->next++;
    return true;
}

/* The inside of the string that stands next; false: it is none. */
static bool walk_string(struct walk *walk, struct sl_slice *ret_inside)
{
    uint32_t from, to;

    if (walk_token(walk) != '"')
        return false;
    from = walk->at[walk->next] + 1;
    to = walk->at[walk->next + 1];
    while (to > from && walk->text[to - 1] != '"')
        to--;
    if (to == from)
        return false;
    *ret_inside = (struct sl_slice){walk->text + from, to - 1 - from};
    walk->next++;
    return true;
}

/* Over one value, however deep. */
static bool walk_skip(struct walk *walk)
{
    uint32_t depth = 0;

    do {
        char token = walk_token(walk);
        if (token == '\0')
            return false;
        if (token == '{' || token == '[')
            depth++;
        else if (token == '}' || token == ']') {
            if (depth == 0)
                return false;
            depth--;
        } else if (depth == 0 && (token == ',' || token == ':'))
            return false;
        walk->next++;
    } while (depth > 0);
    return true;
}

/* The next member of an object: its key is read, the value stands next. 1; 0 at the end; -1 not JSON. `first` before the first. */
static int walk_member(struct walk *walk, bool *first, struct sl_slice *ret_key)
{
    if (walk_take(walk, '}'))
        return 0;
    if (!*first && !walk_take(walk, ','))
        return -1;
    *first = false;
    return walk_string(walk, ret_key) && walk_take(walk, ':') ? 1 : -1;
}

/* ---- items ---- */

static int item_error(struct walk *walk, struct item *item)
{
    struct sl_slice key;
    bool first = true;
    int more;

    if (walk_token(walk) == '"') /* old back-ends: a string */
        return walk_string(walk, &item->reason) ? 0 : -1;
    if (!walk_take(walk, '{'))
        return walk_skip(walk) ? 0 : -1;
    while ((more = walk_member(walk, &first, &key)) == 1) {
        bool is_type = sl_slice_is(key, "type"), fine;
        fine = (is_type || sl_slice_is(key, "reason")) && walk_token(walk) == '"'
                   ? walk_string(walk, is_type ? &item->type : &item->reason)
                   : walk_skip(walk);
        if (!fine)
            return -1;
    }
    return more;
}

static int item_status(struct walk *walk, struct item *item)
{
    const char *at = walk->text + walk->at[walk->next];

    item->status = 0;
    while (*at >= '0' && *at <= '9' && item->status < 1000)
        item->status = item->status * 10 + (uint32_t)(*at++ - '0');
    return walk_skip(walk) && item->status >= 100 && item->status < 600 ? 0 : -1;
}

static int item_result(struct walk *walk, struct item *item)
{
    struct sl_slice key;
    bool first = true;
    int more, status = 0;

    if (!walk_take(walk, '{'))
        return -1;
    while (status == 0 && (more = walk_member(walk, &first, &key)) != 0) {
        if (more < 0)
            return -1;
        if (sl_slice_is(key, "status"))
            status = item_status(walk, item);
        else if (sl_slice_is(key, "error"))
            status = item_error(walk, item);
        else
            status = walk_skip(walk) ? 0 : -1;
    }
    return status == 0 && item->status != 0 ? 0 : -1;
}

/* {"index":{…}} */
static int item_read(struct walk *walk, struct item *item)
{
    struct sl_slice action;
    bool first = true;

    *item = (struct item){0, {"", 0}, {"", 0}};
    if (!walk_take(walk, '{') || walk_member(walk, &first, &action) != 1 || item_result(walk, item) != 0)
        return -1;
    return walk_take(walk, '}') ? 0 : -1;
}

/* ---- verdicts ---- */

static void item_text(struct sl_slice inside, char *text, size_t text_bytes)
{
    char whole[ANSWER_STRING_BYTES];
    uint32_t bytes = 0;

    if (inside.bytes > sizeof(whole) - 1) { /* cut before a backslash that might be half an escape */
        inside.bytes = sizeof(whole) - 1;
        for (uint32_t back = 0; back < 16 && inside.bytes > 0; back++)
            if (inside.data[inside.bytes - 1 - back] == '\\') {
                inside.bytes -= back + 1;
                break;
            }
    }
    if (sl_json_unescape(inside, whole, &bytes) != 0)
        bytes = 0;
    if (bytes > text_bytes - 1)
        bytes = (uint32_t)text_bytes - 1;
    while (bytes > 0 && ((unsigned char)whole[bytes - 1] & 0xc0) == 0x80) /* whole characters only */
        bytes--;
    if (bytes > 0 && (unsigned char)whole[bytes - 1] >= 0xc0)
        bytes--;
    for (uint32_t i = 0; i < bytes; i++)
        text[i] = (unsigned char)whole[i] < 0x20 ? ' ' : whole[i];
    text[bytes] = '\0';
}

static void item_why(const struct item *item, enum sl_remedy remedy, struct sl_err *why)
{
    char type[ANSWER_TYPE_BYTES], reason[ANSWER_REASON_BYTES];

    item_text(item->type, type, sizeof(type));
    item_text(item->reason, reason, sizeof(reason));
    (void)sl_fail(why, SL_E_BROKER, remedy, 0, "%u %s%s%s", (unsigned)item->status, type, reason[0] != '\0' ? ": " : "", reason);
}

static void item_judge(const struct opensearch_sink *sink, struct push_bulk *bulk, struct push_row *row, const struct item *item,
                       struct sl_err *ret_why)
{
    uint32_t status = item->status;
    struct sl_err why;

    if (row->state != PUSH_PENDING)
        return;
    if (status < 300 || (status == 409 && sink->creates)) {
        row->state = PUSH_TAKEN;
    } else if (status == 429 || status >= 500 || status == 401 || status == 403) {
        row->state = PUSH_AGAIN;
        item_why(item, SL_REMEDY_RETRY, ret_why);
    } else {
        item_why(item, SL_REMEDY_DEADLETTER, &why);
        push_refuse(bulk, row, &why);
    }
}

/* Whether the items are as many as the rows, before any row is judged. */
static int items_count(struct walk walk, uint32_t *ret_count)
{
    struct item item;

    *ret_count = 0;
    if (!walk_take(&walk, '['))
        return -1;
    if (walk_take(&walk, ']'))
        return 0;
    do {
        if (item_read(&walk, &item) != 0)
            return -1;
        ++*ret_count;
    } while (walk_take(&walk, ','));
    return walk_take(&walk, ']') ? 0 : -1;
}

static int items_judge(const struct opensearch_sink *sink, struct push_bulk *bulk, struct walk *walk, struct sl_err *ret_why)
{
    uint32_t count;
    struct item item;

    if (items_count(*walk, &count) != 0 || count != bulk->rows_count)
        return -1;
    walk->next++;
    for (uint32_t i = 0; i < count; i++, walk->next++) { /* over the comma */
        (void)item_read(walk, &item);
        item_judge(sink, bulk, &bulk->rows[i], &item, ret_why);
    }
    return 0;
}

static void rows_taken(struct push_bulk *bulk)
{
    for (uint32_t i = 0; i < bulk->rows_count; i++)
        if (bulk->rows[i].state == PUSH_PENDING)
            bulk->rows[i].state = PUSH_TAKEN;
}

static int answer_walk(const struct opensearch_sink *sink, struct push_bulk *bulk, struct walk *walk, struct sl_err *ret_why)
{
    struct walk items = {0};
    struct sl_slice key;
    bool first = true, errors = true, some_errors = false;
    int more;

    if (!walk_take(walk, '{'))
        return -1;
    while ((more = walk_member(walk, &first, &key)) == 1) {
        if (sl_slice_is(key, "errors")) {
            some_errors = true;
            errors = walk_token(walk) != 'f';
        } else if (sl_slice_is(key, "items")) {
            items = *walk;
        }
        if (some_errors && !errors) { /* every item is fine: they need not be read */
            rows_taken(bulk);
            return 0;
        }
        if (!walk_skip(walk))
            return -1;
    }
    return more == 0 && some_errors && items.text != NULL ? items_judge(sink, bulk, &items, ret_why) : -1;
}

int opensearch_judge(void *self, struct push_bulk *bulk, struct sl_err *ret_why, struct sl_err *err)
{
    struct opensearch_sink *sink = self;
    struct sl_buf *answer = &bulk->request.answer;
    struct walk walk = {.next = 0};
    enum sl_json_index_result result;

    if (sl_buf_reserve(answer, SL_PAD) == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory to read the answer");
    memset(answer->data + answer->bytes, 0, SL_PAD);
    walk.text = answer->data;
    result = sl_json_index_of(sink->answers, answer->data, (uint32_t)answer->bytes, &walk.at, &walk.count);
    if (result != SL_JSON_INDEX_FINE || answer_walk(sink, bulk, &walk, ret_why) != 0)
        return sl_fail(err, SL_E_FORMAT, SL_REMEDY_RETRY, 0,
                       "the answer is not what _bulk gives (%.60s); check that url: is OpenSearch or Elasticsearch",
                       answer->bytes > 0 ? sl_buf_str(answer) : "it is empty");
    return 0;
}

enum push_verdict opensearch_verdict(void *sink, int status)
{
    (void)sink;
    if (status >= 200 && status < 300)
        return PUSH_READ;
    if (status == 429)
        return PUSH_LATER;
    if (status >= 500 || status == 408)
        return PUSH_SICK;
    if (status == 413)
        return PUSH_TOO_BIG;
    return status == 400 || status == 422 ? PUSH_BAD : PUSH_UNKNOWN;
}
