/* csv.c: format csv: RFC 4180: fields parted by one character, quoted where they hold it, a quote in a quoted field doubled.
 *
 * `columns` names the fields; a record with more or fewer is set aside. A quote inside a field that does not begin with one is a character like
 * any other; blanks are part of the field. A header line is a record as any other: drop it with a filter. A byte order mark is cut off.
 * SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdlib.h>

#include "operators/stages/formats/fields.h"

struct csv_format {
    char separator, quote;
    uint32_t columns_count; /* skipped ones too */
    int *field;             /* [columns_count] index among the named ones, or SL_FORMAT_NO_FIELD: skipped */
    const char **names;
    uint32_t names_count;
    struct sl_format_fields *fields;
    struct sl_format_member *members;
};

/* ---- settings ---- */

/* names has room for all columns. */
static int csv_names(const struct sl_format_config *config, const char **names, uint32_t *ret_count, struct sl_err *err)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < config->columns.count; i++) {
        const char *name = config->columns.items[i];
        for (uint32_t k = 0; k < count; k++)
            if (strcmp(names[k], name) == 0)
                return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "columns: %s is named twice; each column has a name of its own", name);
        if (name[0] != '\0')
            names[count++] = name;
    }
    *ret_count = count;
    return count > 0 ? 0 : sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "columns: no name among them; name at least one column");
}

static int csv_character(const char *setting, const char *text, char otherwise, char *ret_character, struct sl_err *err)
{
    if (text == NULL) {
        *ret_character = otherwise;
        return 0;
    }
    if (strlen(text) != 1 || (unsigned char)text[0] >= 0x80 || text[0] == '\n' || text[0] == '\r')
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "%s: \"%s\" is not one ASCII character; write one, such as \";\" or \"\\t\"", setting,
                       text);
    *ret_character = text[0];
    return 0;
}

static int csv_characters(const struct sl_format_config *config, char *separator, char *quote, struct sl_err *err)
{
    int rc = csv_character("separator", config->separator, ',', separator, err);

    if (rc == 0)
        rc = csv_character("quote", config->quote, '"', quote, err);
    if (rc == 0 && *separator == *quote)
        rc = sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "separator: it is the quote too; they must differ");
    return rc;
}

static int csv_check(const struct sl_format_config *config, struct sl_err *err)
{
    const char **names = calloc((size_t)config->columns.count + 1, sizeof(*names));
    uint32_t count = 0;
    char separator, quote;
    int rc = 0;

    if (names == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory for a format");
    if (config->columns.count == 0)
        rc = sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "columns: missing; format csv needs the names of the fields in their order, such as [id, name]");
    else if (config->columns.count > SL_FORMAT_MEMBERS)
        rc = sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "columns: %u of them; at most %d", config->columns.count, SL_FORMAT_MEMBERS);
    if (rc == 0)
        rc = csv_names(config, names, &count, err);
    if (rc == 0)
        rc = csv_characters(config, &separator, &quote, err);
    if (rc == 0)
        rc = sl_format_types_check(config, names, count, err);
    if (rc == 0)
        rc = sl_format_roles_check(config, names, count, err);
    free(names);
    return rc;
}

/* ---- open ---- */

static void csv_close(void *self)
{
    struct csv_format *csv = self;

    csv->fields = sl_format_fields_free(csv->fields);
    free(csv->field);
    free(csv->names);
    free(csv->members);
    free(csv);
}

static int csv_open(const struct sl_format_open *open, void **ret_self, struct sl_err *err)
{
    const struct sl_strings *columns = &open->config->columns;
    struct csv_format *csv = calloc(1, sizeof(*csv));
    int rc = 0, field = 0;

    if (csv == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory for a format");
    csv->columns_count = columns->count;
    csv->field = calloc((size_t)columns->count + 1, sizeof(*csv->field));
    csv->names = calloc((size_t)columns->count + 1, sizeof(*csv->names));
    csv->members = calloc((size_t)columns->count + 1, sizeof(*csv->members));
    if (csv->field == NULL || csv->names == NULL || csv->members == NULL)
        rc = sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory for a format");
    for (uint32_t i = 0; rc == 0 && i < columns->count; i++)
        csv->field[i] = columns->items[i][0] == '\0' ? SL_FORMAT_NO_FIELD : field++;
    if (rc == 0)
        rc = csv_names(open->config, csv->names, &csv->names_count, err);
    if (rc == 0)
        rc = csv_characters(open->config, &csv->separator, &csv->quote, err);
    if (rc == 0)
        rc = sl_format_fields_new(open, csv->names, csv->names_count, &csv->fields, err);
    if (rc != 0)
        csv_close(csv);
    else
        *ret_self = csv;
    return rc;
}

/* ---- decode ---- */

struct csv_walk {
    const struct csv_format *csv;
    struct sl_arena *arena;
    const char *at, *end;
    bool failed; /* over budget */
};

/* Without the doubled quotes. */
static struct sl_format_value csv_single(struct csv_walk *walk, const char *from, const char *to)
{
    char *text = sl_arena_alloc(walk->arena, (size_t)(to - from) + SL_PAD), *out = text;

    if (text == NULL) {
        walk->failed = true;
        return sl_format_null();
    }
    for (; from < to; from++) {
        *out++ = *from;
        from += *from == walk->csv->quote;
    }
    return sl_format_string(text, (size_t)(out - text));
}

/* at stands behind the opening quote. */
static uint8_t csv_quoted(struct csv_walk *walk, struct sl_format_value *ret_value)
{
    const char *from = walk->at, *close = from, quote = walk->csv->quote;
    bool doubled = false;

    for (;;) {
        close = memchr(close, quote, (size_t)(walk->end - close));
        if (close == NULL)
            return SL_FORMAT_CSV_QUOTE;
        if (close + 1 == walk->end || close[1] != quote)
            break;
        doubled = true;
        close += 2;
    }
    walk->at = close + 1;
    *ret_value = doubled ? csv_single(walk, from, close) : sl_format_string(from, (size_t)(close - from));
    return walk->at == walk->end || *walk->at == walk->csv->separator ? 0 : SL_FORMAT_CSV_BEHIND;
}

static uint8_t csv_field(struct csv_walk *walk, struct sl_format_value *ret_value)
{
    const char *from = walk->at, *to;

    if (from < walk->end && *from == walk->csv->quote) {
        walk->at++;
        return csv_quoted(walk, ret_value);
    }
    to = from == walk->end ? NULL : memchr(from, walk->csv->separator, (size_t)(walk->end - from));
    walk->at = to == NULL ? walk->end : to;
    *ret_value = sl_format_string(from, (size_t)(walk->at - from));
    return 0;
}

/* 0, or the reason; members are the named fields. */
static uint8_t csv_record(struct csv_format *csv, struct csv_walk *walk)
{
    for (uint32_t i = 0;; i++) {
        struct sl_format_value value;
        uint8_t reason = csv_field(walk, &value);
        if (reason != 0)
            return reason;
        if (i >= csv->columns_count)
            return SL_FORMAT_CSV_MORE;
        if (csv->field[i] >= 0)
            csv->members[csv->field[i]] = (struct sl_format_member){.field = csv->field[i], .value = value};
        if (walk->at == walk->end)
            return i + 1 < csv->columns_count ? SL_FORMAT_CSV_FEWER : 0;
        walk->at++;
    }
}

static int csv_decode(void *self, const struct sl_format_batch *batch)
{
    struct csv_format *csv = self;
    const struct sl_view *view = batch->view;

    sl_format_fields_batch(csv->fields, batch);
    for (uint32_t i = 0; i < view->sel_count; i++) {
        uint16_t row = view->sel[i];
        struct csv_walk walk = {.csv = csv, .arena = view->batch->arena};
        struct sl_slice line;
        uint8_t reason;
        if (sl_format_line(batch, row, &line) != 0)
            return -1;
        if (line.bytes >= 3 && memcmp(line.data, "\xEF\xBB\xBF", 3) == 0)
            line = (struct sl_slice){line.data + 3, line.bytes - 3};
        walk.at = line.data;
        walk.end = line.data + line.bytes;
        reason = line.bytes == 0 ? SL_FORMAT_EMPTY : csv_record(csv, &walk);
        if (walk.failed)
            return -1;
        if (reason != 0)
            sl_format_dead(batch, row, reason);
        else if (sl_format_fields_put(csv->fields, row, csv->members, csv->names_count) != 0)
            return -1;
    }
    return 0;
}

const struct sl_format_kind sl_format_csv = {
    .name = "csv",
    .roles = {"ts", "service", "level", "trace_id"},
    .check = csv_check,
    .open = csv_open,
    .decode = csv_decode,
    .close = csv_close,
};
