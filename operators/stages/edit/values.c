/* values.c: constants and templates that a stage writes into records.
 * SPDX-License-Identifier: Apache-2.0 */
#include "operators/stages/edit/values.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/base/intern.h"
#include "runtime/base/json_out.h"
#include "runtime/engine/slot.h"
#include "runtime/json/json.h"
#include "runtime/json/json_text.h"
#include "runtime/json/level.h"
#include "runtime/json/timestamp.h"

enum { VALUES_PARTS = 64 };

/* ---- what is known of a record ---- */

static enum sl_type value_column(const struct sl_view *view, int column, uint16_t row, struct sl_slice *ret_value)
{
    const struct sl_decoded *decoded = view->decoded;

    if (column < 0 || (uint32_t)column >= decoded->columns_count || decoded->columns[column].value == NULL)
        return SL_T_ABSENT;
    *ret_value = decoded->columns[column].value[row];
    return (enum sl_type)decoded->columns[column].type[row];
}

static void value_time(int64_t unix_ms, char text[SL_VALUE_TIME_BYTES])
{
    char day[SL_TIME_DAY_BYTES], hour[SL_TIME_HOUR_BYTES];
    int64_t in_hour = unix_ms % 3600000;

    in_hour += in_hour < 0 ? 3600000 : 0;
    sl_time_day(unix_ms, day);
    sl_time_hour(unix_ms, hour);
    (void)snprintf(text, SL_VALUE_TIME_BYTES, "%sT%s:%02d:%02d.%03dZ", day, hour, (int)(in_hour / 60000), (int)(in_hour / 1000 % 60),
                   (int)(in_hour % 1000));
}

static struct sl_slice value_header(const struct sl_batch *batch, uint16_t row, const char *name)
{
    for (uint32_t i = 0; batch->headers != NULL && i < batch->headers_count[row]; i++)
        if (sl_slice_is(batch->headers[row][i].name, name))
            return batch->headers[row][i].value;
    return (struct sl_slice){NULL, 0};
}

enum sl_type sl_value_cell(const struct sl_view *view, const struct sl_name *name, int column, uint16_t row,
                           char text[SL_VALUE_TIME_BYTES], struct sl_slice *ret_value)
{
    const struct sl_decoded *decoded = view->decoded;
    const struct sl_batch *batch = view->batch;

    switch (name->kind) {
    case SL_NAME_PATH:
        return value_column(view, column, row, ret_value);
    case SL_NAME_TRACE:
        return value_column(view, decoded->trace, row, ret_value);
    case SL_NAME_TIME:
    case SL_NAME_APPEND_TIME:
        value_time(name->kind == SL_NAME_TIME ? decoded->time_unix_ms[row] : batch->append_unix_ms[row], text);
        *ret_value = sl_slice_of(text);
        return SL_T_STRING;
    case SL_NAME_SERVICE:
        if (decoded->service == NULL || decoded->service[row] == SL_INTERN_NONE)
            return SL_T_ABSENT;
        *ret_value = sl_intern_name(decoded->service[row]);
        return SL_T_STRING;
    case SL_NAME_LEVEL:
        if (decoded->level == NULL || decoded->level[row] == SL_LEVEL_NONE)
            return SL_T_ABSENT;
        *ret_value = sl_slice_of(sl_level_name((enum sl_level)decoded->level[row]));
        return SL_T_STRING;
    case SL_NAME_TOPIC:
        *ret_value = sl_slice_of(batch->partition->topic);
        return SL_T_STRING;
    case SL_NAME_KEY:
        *ret_value = batch->key == NULL ? (struct sl_slice){NULL, 0} : batch->key[row];
        return ret_value->data == NULL ? SL_T_ABSENT : SL_T_STRING;
    case SL_NAME_HEADER:
        *ret_value = value_header(batch, row, name->header);
        return ret_value->data == NULL ? SL_T_ABSENT : SL_T_STRING;
    case SL_NAME_CLASS:
        break; /* refused at check */
    }
    return SL_T_ABSENT;
}

/* ---- a template taken apart ---- */

static int value_name(const char *from, size_t bytes, struct sl_names *names, struct sl_value_part *part, struct sl_err *err)
{
    char text[512];
    int rc;

    if (bytes == 0 || bytes >= sizeof(text))
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "{%.20s}: a name of 1 to 500 bytes stands between braces, {{ is a brace", from);
    memcpy(text, from, bytes);
    text[bytes] = '\0';
    part->column = -1;
    rc = sl_name_parse(text, &part->name, err);
    if (rc == 0 && part->name.kind == SL_NAME_CLASS)
        rc = sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "{class} is not known in this version; name a field, service, level, time or trace");
    if (rc != 0 || names == NULL || (part->name.kind != SL_NAME_PATH && part->name.kind != SL_NAME_TRACE))
        return rc;
    part->column = names->column(names, &part->name, err);
    return part->column < 0 ? part->column : 0;
}

/* Appends literal text to the last part, or begins one. */
static void value_literal(struct sl_value *value, char *at, char c)
{
    struct sl_value_part *last = value->count > 0 ? &value->parts[value->count - 1] : NULL;

    *at = c;
    if (last != NULL && last->text.data != NULL && last->text.data + last->text.bytes == at)
        last->text.bytes++;
    else
        value->parts[value->count++] = (struct sl_value_part){.text = {at, 1}, .column = -1};
}

static int value_parse(struct sl_value *value, struct sl_slice text, struct sl_names *names, struct sl_err *err)
{
    char *to = value->memory;

    for (uint32_t i = 0; i < text.bytes; i++) {
        const char *close;
        bool twice = i + 1 < text.bytes && text.data[i + 1] == text.data[i];
        int rc;

        if (value->count == VALUES_PARTS)
            return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "more than %d parts; write a shorter template", VALUES_PARTS - 1);
        if ((text.data[i] == '{' || text.data[i] == '}') && twice) {
            value_literal(value, to++, text.data[i++]);
            continue;
        }
        if (text.data[i] == '}')
            return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "a } without its {; write }} for a brace");
        if (text.data[i] != '{') {
            value_literal(value, to++, text.data[i]);
            continue;
        }
        close = memchr(text.data + i, '}', text.bytes - i);
        if (close == NULL)
            return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "a { without its }; write {{ for a brace");
        rc = value_name(text.data + i + 1, (size_t)(close - text.data) - i - 1, names, &value->parts[value->count], err);
        value->count++;
        if (rc != 0)
            return rc;
        i = (uint32_t)(close - text.data);
    }
    return 0;
}

int sl_value_open(const char *json, struct sl_names *names, struct sl_value *ret_value, struct sl_err *err)
{
    struct sl_value value = {.json = sl_slice_of(json)};
    struct sl_slice inside = {json + 1, value.json.bytes - 2};
    uint32_t bytes = 0;
    char *text;
    int rc;

    if (json[0] != '"' || (memchr(inside.data, '{', inside.bytes) == NULL && memchr(inside.data, '}', inside.bytes) == NULL)) {
        *ret_value = value;
        return 0;
    }
    text = malloc((size_t)inside.bytes + 1);
    value.memory = malloc((size_t)inside.bytes + 1);
    value.parts = calloc(VALUES_PARTS + 1, sizeof(*value.parts));
    if (text == NULL || value.memory == NULL || value.parts == NULL)
        rc = sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory for a template");
    else
        rc = sl_json_unescape(inside, text, &bytes);
    if (rc == 0) {
        value.json.data = NULL;
        rc = value_parse(&value, (struct sl_slice){text, bytes}, names, err);
    }
    free(text);
    if (rc != 0)
        sl_value_close(&value);
    else
        *ret_value = value;
    return rc;
}

void sl_value_close(struct sl_value *value)
{
    for (uint32_t i = 0; value->parts != NULL && i < value->count; i++)
        sl_name_fini(&value->parts[i].name);
    free(value->parts);
    free(value->memory);
    memset(value, 0, sizeof(*value));
}

/* ---- of a record ---- */

static int value_copy(const struct sl_value_part *part, const struct sl_view *view, uint16_t row, struct sl_slice *ret_json)
{
    char text[SL_VALUE_TIME_BYTES];
    struct sl_slice cell = {NULL, 0};
    enum sl_type type = sl_value_cell(view, &part->name, part->column, row, text, &cell);

    if (type == SL_T_ABSENT)
        return 0;
    *ret_json = type == SL_T_STRING ? sl_json_escape(view->batch->arena, cell) : cell;
    return ret_json->data == NULL ? -1 : 1;
}

int sl_value_of(const struct sl_value *value, const struct sl_view *view, uint16_t row, struct sl_buf *scratch, struct sl_slice *ret_json)
{
    if (value->json.data != NULL) {
        *ret_json = value->json;
        return 1;
    }
    if (value->count == 1 && value->parts[0].text.data == NULL)
        return value_copy(&value->parts[0], view, row, ret_json);
    sl_buf_reset(scratch);
    for (uint32_t i = 0; i < value->count; i++) {
        const struct sl_value_part *part = &value->parts[i];
        char text[SL_VALUE_TIME_BYTES];
        struct sl_slice cell = part->text;

        if (cell.data == NULL && sl_value_cell(view, &part->name, part->column, row, text, &cell) <= SL_T_NULL)
            return 0;
        sl_buf_slice(scratch, cell);
    }
    if (sl_buf_failed(scratch))
        return -1;
    *ret_json = sl_json_escape(view->batch->arena, (struct sl_slice){sl_buf_str(scratch), (uint32_t)scratch->bytes});
    return ret_json->data == NULL ? -1 : 1;
}
