/* test_case.c: reads a test case; every problem is told with line, column and what would be right.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/cli/test_case.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "runtime/config/nearest.h"
#include "runtime/config/pool.h"
#include "runtime/config/units.h"
#include "runtime/config/yaml.h"

struct case_reader {
    struct sl_diags *diags;
    struct sl_test_case *test;
};

/* ---- small helpers ---- */

static void case_wrong(struct case_reader *reader, uint32_t line, uint32_t column, const char *remedy, const char *text)
{
    sl_diags_add(reader->diags, false, reader->test->path, line, column, remedy, "%s", text);
}

/* keys: NULL-terminated; every other key of map is told, with the nearest. */
static void case_know_keys(struct case_reader *reader, const struct sl_yaml *map, const char *const *keys)
{
    for (uint32_t i = 0; i < map->count; i++) {
        const struct sl_yaml_item *item = &map->items[i];
        struct sl_nearest nearest;
        const char *const *key = keys;
        char text[200], remedy[200] = "the keys here are";

        sl_nearest_init(&nearest, item->key);
        for (; *key != NULL && strcmp(*key, item->key) != 0; key++) {
            sl_nearest_offer(&nearest, *key);
            (void)snprintf(remedy + strlen(remedy), sizeof(remedy) - strlen(remedy), "%s %s", key == keys ? "" : ",", *key);
        }
        if (*key != NULL)
            continue;
        (void)snprintf(text, sizeof(text), "unknown key %.80s%s%s", item->key, nearest.best != NULL ? "; did you mean " : "",
                       nearest.best != NULL ? nearest.best : "");
        case_wrong(reader, item->key_line, item->key_column, remedy, text);
    }
}

/* The scalar behind key; NULL without the key, or with a diagnostic where it is no text. */
static const char *case_text(struct case_reader *reader, const struct sl_yaml *map, const char *key)
{
    const struct sl_yaml_item *item = sl_yaml_find(map, key);
    char text[80];
    if (item == NULL)
        return NULL;
    if (item->value->kind == SL_YAML_SCALAR)
        return item->value->text;
    (void)snprintf(text, sizeof(text), "%s is not a text", key);
    case_wrong(reader, item->value->line, item->value->column, "write a quoted string", text);
    return NULL;
}

/* ---- records ---- */

static void case_read_time(struct case_reader *reader, const struct sl_yaml *map, struct sl_case_record *record)
{
    const char *text = case_text(reader, map, "time"), *rest;
    struct tm parts = {0};
    int64_t ms = 0;

    if (text == NULL)
        return;
    rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &parts);
    if (rest != NULL && rest[0] == '.') {
        char *end;
        ms = (int64_t)(strtod(rest, &end) * 1000 + 0.5);
        rest = end;
    }
    if (rest != NULL && strcmp(rest, "Z") == 0) {
        record->append_unix_ms = (int64_t)timegm(&parts) * 1000 + ms;
        return;
    }
    case_wrong(reader, sl_yaml_find(map, "time")->value->line, sl_yaml_find(map, "time")->value->column,
               "write it as 2024-05-01T12:00:00Z", "time is no UTC time");
}

static void case_read_headers(struct case_reader *reader, const struct sl_yaml *map, struct sl_case_record *record)
{
    const struct sl_yaml_item *item = sl_yaml_find(map, "headers");
    struct sl_pair *headers;

    if (item == NULL)
        return;
    if (item->value->kind != SL_YAML_MAP) {
        case_wrong(reader, item->value->line, item->value->column, "write { name: value }", "headers is not a mapping");
        return;
    }
    headers = sl_pool_alloc(reader->test->pool, (item->value->count + 1) * sizeof(*headers));
    for (uint32_t i = 0; i < item->value->count; i++) {
        const struct sl_yaml_item *header = &item->value->items[i];
        headers[i] = (struct sl_pair){header->key, case_text(reader, item->value, header->key), header->key_line, header->key_column};
    }
    record->headers = headers;
    record->headers_count = item->value->count;
}

static void case_read_record(struct case_reader *reader, const struct sl_yaml *node, struct sl_case_record *record)
{
    static const char *const keys[] = {"payload", "key", "headers", "time", "topic", NULL};
    const struct sl_yaml_item *payload;

    record->line = node->line;
    if (node->kind == SL_YAML_SCALAR) {
        record->payload = node->text;
        return;
    }
    if (node->kind == SL_YAML_LIST) {
        case_wrong(reader, node->line, node->column, "write 'TEXT' or { payload: 'TEXT' }", "a record is a text or a mapping");
        return;
    }
    case_know_keys(reader, node, keys);
    payload = sl_yaml_find(node, "payload");
    if (payload == NULL)
        case_wrong(reader, node->line, node->column, "add payload: '...', or payload: null for a tombstone",
                   "a record without a payload");
    else if (!sl_yaml_is_null(payload->value))
        record->payload = case_text(reader, node, "payload");
    record->key = case_text(reader, node, "key");
    record->topic = case_text(reader, node, "topic");
    case_read_time(reader, node, record);
    case_read_headers(reader, node, record);
}

static void case_read_records(struct case_reader *reader, const struct sl_yaml *node)
{
    struct sl_test_case *test = reader->test;
    if (node->kind != SL_YAML_LIST || node->count == 0) {
        case_wrong(reader, node->line, node->column, "write a list of at least one record", "records is not such a list");
        return;
    }
    test->records = sl_pool_alloc(test->pool, node->count * sizeof(*test->records));
    for (; test->records_count < node->count; test->records_count++)
        case_read_record(reader, node->items[test->records_count].value, &test->records[test->records_count]);
}

/* ---- expectations ---- */

static void case_read_body(struct case_reader *reader, const struct sl_yaml *node, struct sl_case_body *body)
{
    static const char *const keys[] = {"body", "reason", NULL};

    body->line = node->line;
    if (node->kind == SL_YAML_SCALAR) {
        body->body = node->text;
    } else if (node->kind == SL_YAML_MAP) {
        case_know_keys(reader, node, keys);
        body->body = case_text(reader, node, "body");
        body->reason = case_text(reader, node, "reason");
    } else {
        case_wrong(reader, node->line, node->column, "write 'TEXT' or { reason: 'TEXT' }",
                   "an expected record is a text or a mapping");
    }
}

static void case_read_count(struct case_reader *reader, const struct sl_yaml *node, struct sl_case_expect *expect)
{
    static const char *const keys[] = {"count", NULL};
    const char *text = case_text(reader, node, "count");
    struct sl_err err;

    case_know_keys(reader, node, keys);
    if (sl_yaml_find(node, "count") == NULL)
        case_wrong(reader, node->line, node->column, "write { count: 2 }, or a list of bodies", "count is missing");
    else if (text != NULL && sl_count_scan(text, &expect->count, &err) != 0)
        case_wrong(reader, sl_yaml_find(node, "count")->value->line, sl_yaml_find(node, "count")->value->column,
                   "write a whole number, 0 or more", err.text);
}

static void case_read_expect(struct case_reader *reader, const struct sl_yaml_item *item, struct sl_case_expect *expect)
{
    const struct sl_yaml *node = item->value;

    expect->sink = item->key;
    expect->line = item->key_line;
    expect->column = item->key_column;
    if (node->kind == SL_YAML_MAP) {
        case_read_count(reader, node, expect);
        return;
    }
    if (node->kind != SL_YAML_LIST) {
        case_wrong(reader, node->line, node->column, "write [ 'body', ... ], [] for none, or { count: 2 }",
                   "what a sink must get is neither a list nor a count");
        return;
    }
    expect->listed = true;
    expect->bodies = sl_pool_alloc(reader->test->pool, (node->count + 1) * sizeof(*expect->bodies));
    for (; expect->count < node->count; expect->count++)
        case_read_body(reader, node->items[expect->count].value, &expect->bodies[expect->count]);
}

static void case_read_expects(struct case_reader *reader, const struct sl_yaml *node)
{
    struct sl_test_case *test = reader->test;
    if (node->kind != SL_YAML_MAP || node->count == 0) {
        case_wrong(reader, node->line, node->column, "write expect: { SINK: [ 'body' ] }", "expect names no sink");
        return;
    }
    test->expects = sl_pool_alloc(test->pool, node->count * sizeof(*test->expects));
    for (; test->expects_count < node->count; test->expects_count++)
        case_read_expect(reader, &node->items[test->expects_count], &test->expects[test->expects_count]);
}

/* ---- the document ---- */

static void case_read_root(struct case_reader *reader, const struct sl_yaml *root)
{
    static const char *const keys[] = {"source", "records", "expect", NULL};
    struct sl_test_case *test = reader->test;

    if (root->kind != SL_YAML_MAP) {
        case_wrong(reader, root->line, root->column, "write source:, records: and expect:", "a test case is a mapping");
        return;
    }
    case_know_keys(reader, root, keys);
    for (const char *const *key = keys; *key != NULL; key++) {
        char text[40];
        (void)snprintf(text, sizeof(text), "%s is missing", *key);
        if (sl_yaml_find(root, *key) == NULL)
            case_wrong(reader, root->line, root->column, "a case needs source:, records: and expect:", text);
    }
    test->source = case_text(reader, root, "source");
    if (test->source != NULL) {
        test->source_line = sl_yaml_find(root, "source")->value->line;
        test->source_column = sl_yaml_find(root, "source")->value->column;
    }
    if (sl_yaml_find(root, "records") != NULL)
        case_read_records(reader, sl_yaml_find(root, "records")->value);
    if (sl_yaml_find(root, "expect") != NULL)
        case_read_expects(reader, sl_yaml_find(root, "expect")->value);
}

static struct sl_test_case *case_new(const char *path)
{
    struct sl_test_case *test = calloc(1, sizeof(*test));
    struct sl_pool *pool = malloc(sizeof(*pool));
    const char *slash = strrchr(path, '/'), *name = slash != NULL ? slash + 1 : path;
    size_t bytes = strlen(name);

    assert(test != NULL && pool != NULL);
    sl_pool_init(pool);
    if (bytes > 5 && strcmp(name + bytes - 5, ".yaml") == 0)
        bytes -= 5;
    test->pool = pool;
    test->path = sl_pool_text(pool, path, strlen(path));
    test->name = sl_pool_text(pool, name, bytes);
    return test;
}

int sl_test_case_load(const char *path, struct sl_diags *diags, struct sl_test_case **ret_case)
{
    struct case_reader reader = {.diags = diags, .test = case_new(path)};
    uint32_t errors_before = diags->errors;
    const struct sl_yaml *root = sl_yaml_load(reader.test->pool, path, diags);

    if (root != NULL)
        case_read_root(&reader, root);
    if (diags->errors > errors_before) {
        (void)sl_test_case_free(reader.test);
        return -SL_E_CONFIG;
    }
    assert(root != NULL);
    *ret_case = reader.test;
    return 0;
}

struct sl_test_case *sl_test_case_free(struct sl_test_case *test)
{
    if (test == NULL)
        return NULL;
    sl_pool_fini(test->pool);
    free(test->pool);
    free(test);
    return NULL;
}
