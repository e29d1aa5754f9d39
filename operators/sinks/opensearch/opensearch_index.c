/* opensearch_index.c: the name of a record's index, from the template: rendered once for records that agree in what it names.
 *
 * Names follow the back-end's rules: lower case, none of \ / * ? " < > | , # : or blanks, no -, _ or + in front, at most 255 bytes.
 * The literal parts are held to that by `check`; values are percent-encoded as in paths and folded to lower case, and what is still
 * no name makes the record a dead letter.
 * SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "operators/sinks/opensearch/opensearch.h"
#include "runtime/base/intern.h"
#include "runtime/json/timestamp.h"

#define INDEX_HOUR_MS ((int64_t)3600000)

/* ---- at check ---- */

static int index_check_literal(const struct sl_template *template, const struct sl_slice *text, struct sl_err *err)
{
    for (uint32_t i = 0; i < text->bytes; i++) {
        unsigned char c = (unsigned char)text->data[i];
        if (isupper(c))
            return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "index: %.200s has a capital letter; write it in lower case",
                           template->text);
        if (!isgraph(c) || strchr("\\/*?\"<>|,#:{}", c) != NULL)
            return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0,
                           "index: %.200s has a %s, which no index's name may have; write letters, digits, - _ and .",
                           template->text, isgraph(c) ? (char[2]){(char)c, '\0'} : "blank or a character beyond ASCII");
    }
    return 0;
}

int opensearch_index_check(const struct sl_template *template, struct sl_err *err)
{
    size_t literal = 0;

    if (template == NULL || template->count == 0)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "index: empty; write a name such as logs-{day}");
    for (uint32_t i = 0; i < template->count; i++) {
        if (template->parts[i].kind != SL_PART_LITERAL)
            continue;
        literal += template->parts[i].text.bytes;
        if (index_check_literal(template, &template->parts[i].text, err) != 0)
            return -(int)err->code;
    }
    if (strchr("-_+", template->text[0]) != NULL)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "index: %.200s begins with %c; begin it with a letter or digit",
                       template->text, template->text[0]);
    if (literal > OPENSEARCH_INDEX_BYTES)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "index: %.60s… is longer than %d bytes; write a shorter name",
                       template->text, OPENSEARCH_INDEX_BYTES);
    return 0;
}

/* ---- open ---- */

static int index_open_part(struct opensearch_index *index, uint32_t at, struct sl_names *names, struct sl_err *err)
{
    const struct sl_part *part = &index->template->parts[at];

    index->constant = index->constant && part->kind == SL_PART_LITERAL;
    if (part->kind == SL_PART_HOUR)
        index->bucket_ms = INDEX_HOUR_MS;
    if (part->kind == SL_PART_DAY && index->bucket_ms == 0)
        index->bucket_ms = 24 * INDEX_HOUR_MS;
    if (part->kind != SL_PART_NAME)
        return 0;
    if (part->name.kind == SL_NAME_PATH || part->name.kind == SL_NAME_TRACE) {
        index->columns[at] = names->column(names, &part->name, err);
        if (index->columns[at] < 0)
            return sl_while(err, "index");
    }
    index->by_others = index->by_others || (part->name.kind != SL_NAME_SERVICE && part->name.kind != SL_NAME_LEVEL &&
                                            part->name.kind != SL_NAME_TOPIC);
    return 0;
}

int opensearch_index_open(struct opensearch_index *index, const struct sl_template *template, struct sl_names *names,
                          struct sl_err *err)
{
    index->template = template;
    index->constant = true;
    for (uint32_t i = 0; i < template->count; i++) {
        index->columns[i] = -1;
        if (index_open_part(index, i, names, err) != 0)
            return -(int)err->code;
    }
    return 0;
}

/* Partitions come and go, and their memory is used again. */
void opensearch_index_batch(struct opensearch_index *index)
{
    index->known = index->known && index->constant;
}

/* ---- a record's name ---- */

static struct sl_slice index_column(const struct sl_view *view, uint16_t row, int column)
{
    const struct sl_decoded *decoded = view->decoded;

    if (column < 0 || (uint32_t)column >= decoded->columns_count || decoded->columns[column].value == NULL ||
        decoded->columns[column].type[row] <= SL_T_NULL)
        return (struct sl_slice){"", 0};
    return decoded->columns[column].value[row];
}

static struct sl_slice index_header(const struct sl_batch *batch, uint16_t row, const char *name)
{
    for (uint16_t i = 0; batch->headers != NULL && i < batch->headers_count[row]; i++)
        if (sl_slice_is(batch->headers[row][i].name, name))
            return batch->headers[row][i].value;
    return (struct sl_slice){"", 0};
}

static uint32_t index_service(const struct sl_view *view, uint16_t row)
{
    return view->decoded->service == NULL ? SL_INTERN_NONE : view->decoded->service[row];
}

static uint8_t index_level(const struct sl_view *view, uint16_t row)
{
    return view->decoded->level == NULL ? (uint8_t)SL_LEVEL_NONE : view->decoded->level[row];
}

static int64_t index_time(const struct sl_view *view, uint16_t row)
{
    return view->decoded->time_unix_ms != NULL ? view->decoded->time_unix_ms[row] : view->batch->append_unix_ms[row];
}

static struct sl_slice index_value(const struct opensearch_index *index, uint32_t part, const struct sl_view *view, uint16_t row)
{
    const struct sl_name *name = &index->template->parts[part].name;
    struct sl_slice none = {"", 0};

    switch (name->kind) {
    case SL_NAME_SERVICE:
        return sl_intern_name(index_service(view, row));
    case SL_NAME_LEVEL:
        return index_level(view, row) == SL_LEVEL_NONE ? none
                                                       : sl_slice_of(sl_level_name((enum sl_level)index_level(view, row)));
    case SL_NAME_TOPIC:
        return sl_slice_of(view->batch->partition->topic);
    case SL_NAME_KEY:
        return view->batch->key == NULL || view->batch->key[row].data == NULL ? none : view->batch->key[row];
    case SL_NAME_HEADER:
        return index_header(view->batch, row, name->header);
    case SL_NAME_TRACE:
    case SL_NAME_PATH:
        return index_column(view, row, index->columns[part]);
    case SL_NAME_TIME:
    case SL_NAME_APPEND_TIME:
    case SL_NAME_CLASS:
        break; /* refused by the template */
    }
    return none;
}

static void index_put(struct opensearch_index *index, struct sl_slice value)
{
    uint32_t from = index->bytes;

    index->bytes += sl_template_value(value, index->name + index->bytes);
    for (uint32_t i = from; i < index->bytes; i++)
        index->name[i] = (char)tolower((unsigned char)index->name[i]);
}

static void index_render(struct opensearch_index *index, const struct sl_view *view, uint16_t row)
{
    char day[SL_TIME_DAY_BYTES], hour[SL_TIME_HOUR_BYTES];

    index->bytes = 0;
    for (uint32_t i = 0; i < index->template->count; i++) {
        const struct sl_part *part = &index->template->parts[i];
        switch (part->kind) {
        case SL_PART_LITERAL:
            memcpy(index->name + index->bytes, part->text.data, part->text.bytes);
            index->bytes += part->text.bytes;
            break;
        case SL_PART_NAME:
            index_put(index, index_value(index, i, view, row));
            break;
        case SL_PART_DAY:
            sl_time_day(index_time(view, row), day);
            index_put(index, sl_slice_of(day));
            break;
        case SL_PART_HOUR:
            sl_time_hour(index_time(view, row), hour);
            index_put(index, sl_slice_of(hour));
            break;
        case SL_PART_PARTITION:
            index_put(index, sl_slice_of(view->batch->partition->id));
            break;
        }
    }
    assert(index->bytes <= OPENSEARCH_RENDER_BYTES);
    index->name[index->bytes] = '\0';
}

static bool index_is_same(struct opensearch_index *index, const struct sl_view *view, uint16_t row)
{
    int64_t unix_ms = index->bucket_ms == 0 ? 0 : index_time(view, row);
    int64_t bucket = index->bucket_ms == 0 ? 0 : (unix_ms - (unix_ms < 0 ? index->bucket_ms - 1 : 0)) / index->bucket_ms;
    uint32_t service = index_service(view, row);
    uint8_t level = index_level(view, row);
    bool same = index->known && !index->by_others && index->key.service == service && index->key.level == level &&
                index->key.bucket == bucket && index->key.partition == view->batch->partition;

    index->key.service = service;
    index->key.level = level;
    index->key.bucket = bucket;
    index->key.partition = view->batch->partition;
    return same || (index->known && index->constant);
}

int opensearch_index_of(struct opensearch_index *index, const struct sl_view *view, uint16_t row, struct sl_err *err)
{
    if (!index_is_same(index, view, row)) {
        index_render(index, view, row);
        index->known = true;
    }
    if (index->bytes > OPENSEARCH_INDEX_BYTES)
        return sl_fail(err, SL_E_FORMAT, SL_REMEDY_DEADLETTER, 0, "the index's name %.64s… is longer than %d bytes", index->name,
                       OPENSEARCH_INDEX_BYTES);
    if (strchr("-_+", index->name[0]) != NULL)
        return sl_fail(err, SL_E_FORMAT, SL_REMEDY_DEADLETTER, 0,
                       "%.100s is no name of an index: it begins with %c; put a letter before the first value of index:",
                       index->name, index->name[0]);
    return 0;
}
