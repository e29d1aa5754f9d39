/* encode_value.c: one value of a record, read and cast.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/engine/encode_value.h"

#include <assert.h>
#include <stdio.h>

#include "runtime/base/intern.h"
#include "runtime/config/encoding.h"
#include "runtime/engine/slot.h"
#include "runtime/json/json_text.h"
#include "runtime/json/level.h"
#include "runtime/json/timestamp.h"

static struct sl_slice value_header(const struct sl_batch *batch, uint32_t row, const char *name)
{
    for (uint32_t i = 0; batch->headers != NULL && i < batch->headers_count[row]; i++)
        if (sl_slice_is(batch->headers[row][i].name, name))
            return batch->headers[row][i].value;
    return (struct sl_slice){NULL, 0};
}

static void value_text(struct sl_encode_value *value, struct sl_slice text)
{
    value->type = text.data == NULL ? SL_T_ABSENT : SL_T_STRING;
    value->text = text;
    value->token = (struct sl_slice){NULL, 0};
}

static void value_number(struct sl_encode_value *value, struct sl_slice token)
{
    value->type = SL_T_NUMBER;
    value->text = value->token = token;
}

static void value_column(struct sl_encode_value *value, const struct sl_view *view, uint32_t row, int column)
{
    const struct sl_decoded *decoded = view->decoded;
    const struct sl_column *cells;

    value->type = SL_T_ABSENT;
    value->token = (struct sl_slice){NULL, 0};
    if (column < 0 || (uint32_t)column >= decoded->columns_count || decoded->columns[column].value == NULL)
        return;
    cells = &decoded->columns[column];
    value->type = (enum sl_type)cells->type[row];
    if (value->type == SL_T_ABSENT)
        return;
    value->text = cells->value[row];
    if (value->type != SL_T_STRING)
        value->token = value->text;
    else if (decoded->json && !decoded->foreign)
        value->token = (struct sl_slice){sl_view_text(view, row).data + cells->span[row].at, cells->span[row].bytes};
}

static char *put_digits(char *at, uint64_t number, int digits)
{
    for (int i = digits - 1; i >= 0; i--, number /= 10)
        at[i] = (char)('0' + number % 10);
    return at + digits;
}

/* "2026-11-22T05:14:56.123Z" */
static void value_rfc3339(struct sl_encode_value *value, int64_t unix_ms)
{
    int64_t days = sl_time_day_number(unix_ms);
    uint64_t ms = (uint64_t)(unix_ms - days * 86400000);
    char *at = value->scratch;

    sl_time_day(unix_ms, at);
    at += SL_TIME_DAY_BYTES - 1;
    *at++ = 'T';
    at = put_digits(at, ms / 3600000, 2);
    *at++ = ':';
    at = put_digits(at, ms / 60000 % 60, 2);
    *at++ = ':';
    at = put_digits(at, ms / 1000 % 60, 2);
    *at++ = '.';
    at = put_digits(at, ms % 1000, 3);
    *at++ = 'Z';
    value_text(value, (struct sl_slice){value->scratch, (uint32_t)(at - value->scratch)});
}

static void value_epoch(struct sl_encode_value *value, int64_t unix_ms, enum sl_cast cast)
{
    const char *sign = unix_ms < 0 ? "-" : "";
    uint64_t ms = unix_ms < 0 ? (uint64_t)-unix_ms : (uint64_t)unix_ms;
    char *to = value->scratch;
    int bytes;

    if (cast == SL_CAST_EPOCH_NS && ms > 0)
        bytes = snprintf(to, sizeof(value->scratch), "%s%llu000000", sign, (unsigned long long)ms);
    else if (cast == SL_CAST_EPOCH_NS || cast == SL_CAST_EPOCH_MS)
        bytes = snprintf(to, sizeof(value->scratch), "%s%llu", sign, (unsigned long long)ms);
    else if (cast == SL_CAST_EPOCH_S || ms % 1000 == 0)
        bytes = snprintf(to, sizeof(value->scratch), "%s%llu", sign, (unsigned long long)(ms / 1000));
    else
        bytes = snprintf(to, sizeof(value->scratch), "%s%llu.%03u", sign, (unsigned long long)(ms / 1000), (unsigned)(ms % 1000));
    value_number(value, (struct sl_slice){to, (uint32_t)bytes});
}

static void value_instant(struct sl_encode_value *value, int64_t unix_ms, enum sl_cast cast)
{
    if (cast == SL_CAST_EPOCH || cast == SL_CAST_EPOCH_S || cast == SL_CAST_EPOCH_MS || cast == SL_CAST_EPOCH_NS)
        value_epoch(value, unix_ms, cast);
    else
        value_rfc3339(value, unix_ms);
}

struct sl_slice sl_encode_level(const struct sl_decoded *decoded, uint32_t row)
{
    uint8_t level = decoded->level == NULL ? SL_LEVEL_NONE : decoded->level[row];

    return level == SL_LEVEL_NONE ? (struct sl_slice){NULL, 0} : sl_slice_of(sl_level_name((enum sl_level)level));
}

struct sl_slice sl_encode_service(const struct sl_decoded *decoded, uint32_t row)
{
    uint32_t service = decoded->service == NULL ? SL_INTERN_NONE : decoded->service[row];

    return service == SL_INTERN_NONE ? (struct sl_slice){NULL, 0} : sl_intern_name(service);
}

static bool slice_is_fold(struct sl_slice text, const char *word)
{
    return text.bytes == strlen(word) && strncasecmp(text.data, word, text.bytes) == 0;
}

static void value_bool(struct sl_encode_value *value)
{
    bool yes = slice_is_fold(value->text, "true") || sl_slice_is(value->text, "1");
    bool no = slice_is_fold(value->text, "false") || sl_slice_is(value->text, "0");

    if (value->type == SL_T_BOOL)
        return;
    value->type = (yes || no) && value->type >= SL_T_BOOL ? SL_T_BOOL : SL_T_ABSENT;
    value->text = value->token = sl_slice_of(yes ? "true" : "false");
}

static void value_cast(struct sl_encode_value *value, enum sl_cast cast)
{
    int64_t unix_ms;

    if (value->type == SL_T_ABSENT || cast == SL_CAST_NONE)
        return;
    if (value->type == SL_T_NULL) {
        value->type = SL_T_ABSENT;
    } else if (cast == SL_CAST_STRING) {
        if (value->type != SL_T_STRING)
            value_text(value, value->text);
    } else if (cast == SL_CAST_BOOL) {
        value_bool(value);
    } else if (cast == SL_CAST_NUMBER) {
        if (value->type == SL_T_STRING && sl_json_is_number(value->text))
            value_number(value, value->text);
        value->type = value->type == SL_T_NUMBER ? SL_T_NUMBER : SL_T_ABSENT;
    } else if ((value->type == SL_T_STRING || value->type == SL_T_NUMBER) &&
               sl_time_parse(value->text, value->type == SL_T_STRING, &unix_ms) == 0) {
        value_instant(value, unix_ms, cast);
    } else {
        value->type = SL_T_ABSENT;
    }
}

struct sl_slice sl_encode_column(const struct sl_view *view, uint32_t row, int column)
{
    struct sl_encode_value value;

    value_column(&value, view, row, column);
    return value.type > SL_T_NULL ? value.text : (struct sl_slice){NULL, 0};
}

void sl_encode_value(const struct sl_encoding_field *field, int column, const struct sl_view *view, uint32_t row,
                     struct sl_encode_value *value)
{
    const struct sl_batch *batch = view->batch;

    switch (field->name.kind) {
    case SL_NAME_TIME:
        value_instant(value, view->decoded->time_unix_ms[row], field->cast);
        return;
    case SL_NAME_APPEND_TIME:
        value_instant(value, batch->append_unix_ms[row], field->cast);
        return;
    case SL_NAME_SERVICE:
        value_text(value, sl_encode_service(view->decoded, row));
        break;
    case SL_NAME_LEVEL:
        value_text(value, sl_encode_level(view->decoded, row));
        break;
    case SL_NAME_TRACE:
        value_column(value, view, row, view->decoded->trace);
        break;
    case SL_NAME_PATH:
        value_column(value, view, row, column);
        break;
    case SL_NAME_TOPIC:
        value_text(value, sl_slice_of(batch->partition->topic));
        break;
    case SL_NAME_KEY:
        value_text(value, batch->key == NULL ? (struct sl_slice){NULL, 0} : batch->key[row]);
        break;
    case SL_NAME_HEADER:
        value_text(value, value_header(batch, row, field->name.header));
        break;
    case SL_NAME_CLASS:
        assert(!"refused by check");
    }
    value_cast(value, field->cast);
}
