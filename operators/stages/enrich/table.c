/* table.c: a table of a file, for look-ups by key.
 * SPDX-License-Identifier: Apache-2.0 */
#include "operators/stages/enrich/table.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "runtime/base/arena.h"
#include "runtime/config/name.h"
#include "runtime/json/json.h"

enum { TABLE_MAGIC = 0x7461626c, TABLE_ARENA_FIRST = 64 * 1024 };

struct sl_table {
    uint32_t magic;
    struct sl_arena arena; /* texts */
    struct sl_slice *cells; /* [rows_room][1 + columns]: the key's text, then JSON values */
    uint32_t columns, rows, rows_room;
    uint32_t *index; /* of rows plus one; 0: none */
    uint32_t index_mask;
    uint32_t *lines; /* by row, while it is loaded */
    uint64_t bytes, max_bytes;
    struct sl_table_stamp stamp;
};

struct table_load {
    struct sl_table *table;
    const struct sl_table_want *want;
    char *text;
    size_t bytes, at;
    uint32_t line; /* of the record that is being read, from 1 */
};

/* ---- rows ---- */

static int table_budget(const struct table_load *load, struct sl_err *err)
{
    return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "%s: the table needs more than %llu bytes; raise max_bytes, or leave columns out",
                   load->want->path, (unsigned long long)load->want->max_bytes);
}

/* Room for one more row; its cells, all empty. NULL: over budget. */
static struct sl_slice *table_row(struct sl_table *table)
{
    size_t each = (size_t)(table->columns + 1) * sizeof(struct sl_slice);

    if (table->rows == table->rows_room) {
        uint32_t room = table->rows_room == 0 ? 64 : table->rows_room * 2;
        struct sl_slice *cells;
        uint32_t *lines;

        if (table->bytes + room * (each + 4 * sizeof(uint32_t)) > table->max_bytes)
            return NULL;
        cells = realloc(table->cells, room * each);
        table->cells = cells != NULL ? cells : table->cells;
        lines = realloc(table->lines, room * sizeof(*lines));
        table->lines = lines != NULL ? lines : table->lines;
        if (cells == NULL || lines == NULL)
            return NULL;
        table->rows_room = room;
    }
    memset(&table->cells[(size_t)table->rows * (table->columns + 1)], 0, each);
    return &table->cells[(size_t)table->rows * (table->columns + 1)];
}

static uint32_t table_cell(const struct sl_table *table, struct sl_slice key)
{
    uint32_t cell = (uint32_t)XXH3_64bits(key.data, key.bytes) & table->index_mask;

    while (table->index[cell] != 0 && !sl_slice_eq(table->cells[(size_t)(table->index[cell] - 1) * (table->columns + 1)], key))
        cell = (cell + 1) & table->index_mask;
    return cell;
}

static int table_index(struct table_load *load, struct sl_err *err)
{
    struct sl_table *table = load->table;
    uint32_t cells = 16;

    while (cells < table->rows * 2)
        cells *= 2;
    table->index = calloc(cells, sizeof(*table->index));
    table->index_mask = cells - 1;
    if (table->index == NULL)
        return table_budget(load, err);
    for (uint32_t row = 0; row < table->rows; row++) {
        struct sl_slice key = table->cells[(size_t)row * (table->columns + 1)];
        uint32_t cell = table_cell(table, key);

        if (table->index[cell] != 0)
            return sl_fail(err, SL_E_FORMAT, SL_REMEDY_HALT, 0, "%s:%u: the key \"%.*s\" stands in line %u already; each key has one row",
                           load->want->path, table->lines[row], key.bytes < 60 ? (int)key.bytes : 60, key.data,
                           table->lines[table->index[cell] - 1]);
        table->index[cell] = row + 1;
    }
    return 0;
}

/* ---- CSV ---- */

struct table_csv {
    struct sl_slice cells[SL_TABLE_COLUMNS];
    uint32_t count;
};

static bool csv_ends(const struct table_load *load)
{
    return load->at == load->bytes || load->text[load->at] == '\n' ||
           (load->text[load->at] == '\r' && (load->at + 1 == load->bytes || load->text[load->at + 1] == '\n'));
}

/* A quoted cell; its doubled quotes become one where they stand, in the text itself. */
static int csv_quoted(struct table_load *load, struct sl_slice *ret_cell, struct sl_err *err)
{
    size_t from = ++load->at, to = from;
    uint32_t line = load->line;

    for (; load->at < load->bytes; load->at++) {
        if (load->text[load->at] == '"') {
            if (load->at + 1 == load->bytes || load->text[load->at + 1] != '"')
                break;
            load->at++;
        }
        load->line += load->text[load->at] == '\n';
        load->text[to++] = load->text[load->at];
    }
    if (load->at == load->bytes)
        return sl_fail(err, SL_E_FORMAT, SL_REMEDY_HALT, 0, "%s:%u: a quote is not closed", load->want->path, line);
    load->at++;
    *ret_cell = (struct sl_slice){load->text + from, (uint32_t)(to - from)};
    if (!csv_ends(load) && load->text[load->at] != load->want->separator)
        return sl_fail(err, SL_E_FORMAT, SL_REMEDY_HALT, 0, "%s:%u: text stands behind a closing quote; double quotes inside a cell",
                       load->want->path, load->line);
    return 0;
}

static int csv_record(struct table_load *load, struct table_csv *csv, struct sl_err *err)
{
    csv->count = 0;
    for (;;) {
        struct sl_slice cell = {load->text + load->at, 0};

        if (csv->count == SL_TABLE_COLUMNS)
            return sl_fail(err, SL_E_FORMAT, SL_REMEDY_HALT, 0, "%s:%u: more than %d cells", load->want->path, load->line, SL_TABLE_COLUMNS);
        if (load->at < load->bytes && load->text[load->at] == '"') {
            if (csv_quoted(load, &cell, err) != 0)
                return -(int)err->code;
        } else {
            while (!csv_ends(load) && load->text[load->at] != load->want->separator)
                load->at++;
            cell.bytes = (uint32_t)(load->text + load->at - cell.data);
        }
        csv->cells[csv->count++] = cell;
        if (csv_ends(load))
            break;
        load->at++;
    }
    load->at += load->at < load->bytes && load->text[load->at] == '\r';
    load->at += load->at < load->bytes;
    return 0;
}

static int csv_column(const struct table_load *load, const struct table_csv *header, const char *name, uint32_t *ret_column, struct sl_err *err)
{
    char known[160] = "";
    size_t at = 0;

    for (uint32_t i = 0; i < header->count; i++) {
        if (sl_slice_is(header->cells[i], name)) {
            *ret_column = i;
            return 0;
        }
        if (at < sizeof(known) - 40)
            at += (size_t)snprintf(known + at, sizeof(known) - at, "%s%.*s", i == 0 ? "" : ", ",
                                   header->cells[i].bytes < 30 ? (int)header->cells[i].bytes : 30, header->cells[i].data);
    }
    return sl_fail(err, SL_E_FORMAT, SL_REMEDY_HALT, 0, "%s:1: there is no column \"%.40s\"; the header has %s", load->want->path, name, known);
}

static int csv_row(struct table_load *load, const struct table_csv *csv, const uint32_t *columns, uint32_t line, struct sl_err *err)
{
    struct sl_table *table = load->table;
    struct sl_slice *row = table_row(table);

    if (row == NULL)
        return table_budget(load, err);
    if (csv->cells[columns[0]].bytes == 0)
        return sl_fail(err, SL_E_FORMAT, SL_REMEDY_HALT, 0, "%s:%u: the row has no key", load->want->path, line);
    row[0] = sl_arena_copy(&table->arena, csv->cells[columns[0]]);
    if (row[0].data == NULL)
        return table_budget(load, err);
    for (uint32_t c = 1; c <= table->columns; c++) {
        row[c] = sl_json_escape(&table->arena, csv->cells[columns[c]]);
        if (row[c].data == NULL)
            return table_budget(load, err);
    }
    table->lines[table->rows++] = line;
    return 0;
}

static int csv_load(struct table_load *load, struct sl_err *err)
{
    struct table_csv header = {.count = 0}, csv;
    uint32_t columns[SL_TABLE_COLUMNS + 1] = {0};

    load->at = load->bytes >= 3 && memcmp(load->text, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
    if (load->at == load->bytes)
        return sl_fail(err, SL_E_FORMAT, SL_REMEDY_HALT, 0, "%s:1: the file is empty; its first line must name the columns", load->want->path);
    if (csv_record(load, &header, err) != 0)
        return -(int)err->code;
    load->line++;
    if (load->want->key != NULL && csv_column(load, &header, load->want->key, &columns[0], err) != 0)
        return -(int)err->code;
    for (uint32_t c = 0; c < load->table->columns; c++)
        if (csv_column(load, &header, load->want->columns[c], &columns[c + 1], err) != 0)
            return -(int)err->code;
    while (load->at < load->bytes) {
        uint32_t line = load->line;

        if (csv_record(load, &csv, err) != 0)
            return -(int)err->code;
        load->line++;
        if (csv.count == 1 && csv.cells[0].bytes == 0) /* a line with nothing in it */
            continue;
        if (csv.count != header.count)
            return sl_fail(err, SL_E_FORMAT, SL_REMEDY_HALT, 0, "%s:%u: the row has %u cells, the header %u", load->want->path, line, csv.count,
                           header.count);
        if (csv_row(load, &csv, columns, line, err) != 0)
            return -(int)err->code;
    }
    return 0;
}

/* ---- NDJSON ---- */

struct table_ndjson {
    struct sl_name *names; /* [1 + columns] */
    struct sl_json_decoder *decoder;
    struct sl_column *columns; /* of one row */
    struct sl_slice *values;
    struct sl_span *spans;
    uint8_t *types; /* [2 * (1 + columns)]: types, then repeated */
};

static int ndjson_open(const struct table_load *load, struct table_ndjson *json, struct sl_err *err)
{
    uint32_t count = load->table->columns + 1;
    struct sl_json_field *fields = calloc(count, sizeof(*fields));
    struct sl_json_projection projection = {fields, count, true};
    int rc = 0;

    memset(json, 0, sizeof(*json));
    json->names = calloc(count, sizeof(*json->names));
    json->columns = calloc(count, sizeof(*json->columns));
    json->values = calloc(count, sizeof(*json->values));
    json->spans = calloc(count, sizeof(*json->spans));
    json->types = calloc(2 * (size_t)count, 1);
    if (fields == NULL || json->names == NULL || json->columns == NULL || json->values == NULL || json->spans == NULL || json->types == NULL)
        rc = sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory for a table");
    for (uint32_t i = 0; rc == 0 && i < count; i++) {
        char path[512];

        (void)snprintf(path, sizeof(path), ".%.500s", i == 0 ? load->want->key : load->want->columns[i - 1]);
        rc = sl_name_parse(path, &json->names[i], err);
        json->columns[i] = (struct sl_column){&json->values[i], &json->spans[i], &json->types[i], &json->types[count + i]};
        fields[i] = (struct sl_json_field){json->names[i].path, i};
    }
    if (rc == 0)
        rc = sl_json_decoder_new(&projection, &json->decoder, err);
    free(fields);
    return rc;
}

static void ndjson_close(const struct table_load *load, struct table_ndjson *json)
{
    for (uint32_t i = 0; json->names != NULL && i <= load->table->columns; i++)
        sl_name_fini(&json->names[i]);
    json->decoder = sl_json_decoder_free(json->decoder);
    free(json->names);
    free(json->columns);
    free(json->values);
    free(json->spans);
    free(json->types);
}

static int ndjson_row(struct table_load *load, struct table_ndjson *json, struct sl_slice text, struct sl_err *err)
{
    struct sl_table *table = load->table;
    const uint16_t row_zero = 0;
    uint8_t verdict = SL_JSON_FINE;
    struct sl_slice *row = table_row(table);

    if (row == NULL || sl_json_decode(json->decoder, &text, &row_zero, 1, json->columns, &verdict, &table->arena) != 0)
        return table_budget(load, err);
    if (verdict != SL_JSON_FINE)
        return sl_fail(err, SL_E_FORMAT, SL_REMEDY_HALT, 0, "%s:%u: %s", load->want->path, load->line, sl_json_reasons[verdict]);
    if ((json->types[0] != SL_T_STRING && json->types[0] != SL_T_NUMBER) || json->values[0].bytes == 0)
        return sl_fail(err, SL_E_FORMAT, SL_REMEDY_HALT, 0, "%s:%u: the row has no %s, or not as a text or number", load->want->path,
                       load->line, load->want->key);
    row[0] = sl_arena_copy(&table->arena, json->values[0]);
    if (row[0].data == NULL)
        return table_budget(load, err);
    for (uint32_t c = 1; c <= table->columns; c++) {
        if (json->types[c] == SL_T_ABSENT)
            continue;
        row[c] = sl_arena_copy(&table->arena, (struct sl_slice){text.data + json->spans[c].at, json->spans[c].bytes});
        if (row[c].data == NULL)
            return table_budget(load, err);
    }
    table->lines[table->rows++] = load->line;
    return 0;
}

static bool ndjson_blank(struct sl_slice text)
{
    for (uint32_t i = 0; i < text.bytes; i++)
        if (text.data[i] != ' ' && text.data[i] != '\t' && text.data[i] != '\r')
            return false;
    return true;
}

static int ndjson_load(struct table_load *load, struct sl_err *err)
{
    struct table_ndjson json;
    int rc = ndjson_open(load, &json, err);

    for (; rc == 0 && load->at < load->bytes; load->line++) {
        const char *end = memchr(load->text + load->at, '\n', load->bytes - load->at);
        struct sl_slice text = {load->text + load->at,
                                (uint32_t)((end == NULL ? load->bytes : (size_t)(end - load->text)) - load->at)};

        if (!ndjson_blank(text))
            rc = ndjson_row(load, &json, text, err);
        load->at += text.bytes + 1u;
    }
    ndjson_close(load, &json);
    return rc;
}

/* ---- files ---- */

int sl_table_stat(struct sl_fs *fs, const char *path, struct sl_table_stamp *ret_stamp)
{
    struct sl_fs_stat stat;
    int rc = fs->stat(fs, path, &stat);

    if (rc >= 0)
        *ret_stamp = (struct sl_table_stamp){stat.bytes, stat.device, stat.inode, stat.mtime_unix_ms};
    return rc < 0 ? rc : 0;
}

static bool table_is_ndjson(const struct sl_table_want *want)
{
    const char *end = strrchr(want->path, '.');

    if (want->format != SL_TABLE_AUTO)
        return want->format == SL_TABLE_NDJSON;
    return end != NULL && (strcmp(end, ".ndjson") == 0 || strcmp(end, ".jsonl") == 0 || strcmp(end, ".json") == 0);
}

/* The file's text with SL_PAD bytes behind it. */
static int table_read(struct sl_fs *fs, struct table_load *load, struct sl_err *err)
{
    char *padded;
    int rc;

    rc = sl_table_stat(fs, load->want->path, &load->table->stamp);
    if (rc == 0)
        rc = sl_fs_read_file(fs, load->want->path, load->want->max_bytes, &load->text, &load->bytes);
    if (rc == -EFBIG)
        return table_budget(load, err);
    if (rc < 0)
        return sl_fail(err, SL_E_IO, SL_REMEDY_HALT, -rc, "%s: %s", load->want->path, strerror(-rc));
    padded = realloc(load->text, load->bytes + SL_PAD + 1);
    if (padded == NULL)
        return table_budget(load, err);
    load->text = padded;
    memset(padded + load->bytes, 0, SL_PAD + 1);
    load->table->bytes = load->bytes;
    return 0;
}

/* A file that changed while it was read is read again later. */
static int table_unchanged(struct sl_fs *fs, const struct table_load *load, struct sl_err *err)
{
    struct sl_table_stamp now = {0};

    if (sl_table_stat(fs, load->want->path, &now) == 0 && memcmp(&now, &load->table->stamp, sizeof(now)) == 0)
        return 0;
    return sl_fail(err, SL_E_IO, SL_REMEDY_RETRY, EAGAIN, "%s: the file changed while it was read; replace it by a rename", load->want->path);
}

int sl_table_load(struct sl_fs *fs, const struct sl_table_want *want, struct sl_table **ret_table, struct sl_err *err)
{
    struct table_load load = {.want = want, .line = 1, .table = calloc(1, sizeof(*load.table))};
    int rc;

    if (load.table == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, ENOMEM, "no memory for a table");
    load.table->magic = TABLE_MAGIC;
    load.table->columns = want->columns_count;
    load.table->max_bytes = want->max_bytes;
    rc = sl_arena_init(&load.table->arena, TABLE_ARENA_FIRST, want->max_bytes) != 0 ? table_budget(&load, err) : table_read(fs, &load, err);
    if (rc == 0)
        rc = table_is_ndjson(want) ? ndjson_load(&load, err) : csv_load(&load, err);
    if (rc == 0)
        rc = table_index(&load, err);
    if (rc == 0)
        rc = table_unchanged(fs, &load, err);
    free(load.text);
    if (rc != 0) {
        (void)sl_table_free(load.table);
        return rc;
    }
    free(load.table->lines);
    load.table->lines = NULL;
    load.table->bytes = load.table->arena.used + load.table->arena.chunk_bytes +
                        (uint64_t)load.table->rows_room * (load.table->columns + 1) * sizeof(struct sl_slice) +
                        ((uint64_t)load.table->index_mask + 1) * sizeof(uint32_t);
    *ret_table = load.table;
    return 0;
}

struct sl_table *sl_table_free(struct sl_table *table)
{
    if (table != NULL) {
        assert(table->magic == TABLE_MAGIC);
        sl_arena_fini(&table->arena);
        free(table->cells);
        free(table->index);
        free(table->lines);
        table->magic = 0;
        free(table);
    }
    return NULL;
}

const struct sl_slice *sl_table_find(const struct sl_table *table, struct sl_slice key)
{
    uint32_t cell;

    assert(table->magic == TABLE_MAGIC);
    cell = table_cell(table, key);
    return table->index[cell] == 0 ? NULL : &table->cells[(size_t)(table->index[cell] - 1) * (table->columns + 1) + 1];
}

uint32_t sl_table_rows(const struct sl_table *table)
{
    return table->rows;
}

uint64_t sl_table_bytes(const struct sl_table *table)
{
    return table->bytes;
}

const struct sl_table_stamp *sl_table_stamp(const struct sl_table *table)
{
    return &table->stamp;
}
