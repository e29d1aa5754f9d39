/* test_enrich_stage.c: tables of CSV and NDJSON, what they add to records, and what happens when their file changes.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "operators/stages/enrich/table.h"
#include "tests/support/stage_json.h"

static struct stage_json json;
static char path[128];
static struct sl_job *job;
static char logged[480];

static void submit(void *env, struct sl_job *asked)
{
    (void)env;
    assert_null(job);
    job = asked;
}

static void tell(void *env, const struct sl_err *err, const char *what)
{
    (void)env;
    (void)what;
    (void)snprintf(logged, sizeof(logged), "%s", err->text);
}

static int setup(void **state)
{
    (void)state;
    stage_json_init(&json);
    json.bench.api.submit = submit;
    json.bench.api.log = tell;
    job = NULL;
    logged[0] = '\0';
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    stage_json_fini(&json);
    return 0;
}

/* By a rename, as a table should be replaced. */
static void file_is(const char *name, const char *text, size_t bytes)
{
    char temporary[160];
    FILE *file;

    (void)snprintf(path, sizeof(path), "%s/%s", json.bench.dir, name);
    (void)snprintf(temporary, sizeof(temporary), "%s.new", path);
    file = fopen(temporary, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, bytes, file), bytes);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(rename(temporary, path), 0);
}

static struct sl_table *table(const char *name, const char *text, const char *key, const char *const *columns, uint32_t count)
{
    struct sl_table_want want = {.path = path, .separator = ',', .key = key, .columns = columns, .columns_count = count, .max_bytes = 1 << 20};
    struct sl_table *loaded = NULL;

    file_is(name, text, strlen(text));
    json.err.text[0] = '\0';
    (void)sl_table_load(sl_fs_posix(), &want, &loaded, &json.err);
    return loaded;
}

static const char *value(const struct sl_table *from, const char *key, uint32_t column)
{
    static char text[256];
    const struct sl_slice *values = sl_table_find(from, sl_slice_of(key));

    if (values == NULL)
        return "(no row)";
    if (values[column].data == NULL)
        return "(none)";
    (void)snprintf(text, sizeof(text), "%.*s", (int)values[column].bytes, values[column].data);
    return text;
}

static void test_csv_as_rfc_4180_has_it(void **state)
{
    static const char *const columns[] = {"b", "c"};
    struct sl_table *loaded;
    (void)state;
    loaded = table("t.csv", "\xEF\xBB\xBF" "a,b,\"c\"\r\n1,x,\r\n\"2\",\"say \"\"hi\"\", twice\",\"two\nlines\"\n\n3, y ,z", NULL, columns, 2);
    assert_non_null(loaded);
    assert_int_equal(sl_table_rows(loaded), 3);
    assert_string_equal(value(loaded, "1", 0), "\"x\"");
    assert_string_equal(value(loaded, "1", 1), "\"\"");
    assert_string_equal(value(loaded, "2", 0), "\"say \\\"hi\\\", twice\"");
    assert_string_equal(value(loaded, "2", 1), "\"two\\nlines\"");
    assert_string_equal(value(loaded, "3", 0), "\" y \"");
    assert_string_equal(value(loaded, "3", 1), "\"z\"");
    assert_string_equal(value(loaded, "4", 1), "(no row)");
    assert_true(sl_table_bytes(loaded) > 0 && sl_table_bytes(loaded) < 1 << 20);
    (void)sl_table_free(loaded);
}

static void test_ndjson_keeps_types(void **state)
{
    static const char *const columns[] = {"v", "o.p"};
    struct sl_table *loaded;
    (void)state;
    loaded = table("t.ndjson", "{\"k\":\"a\\u0062\",\"v\":1.50,\"o\":{\"p\":[1, 2]}}\n \n{\"v\":null,\"k\":7}\r\n", "k", columns, 2);
    assert_non_null(loaded);
    assert_string_equal(value(loaded, "ab", 0), "1.50");
    assert_string_equal(value(loaded, "ab", 1), "[1, 2]");
    assert_string_equal(value(loaded, "7", 0), "null");
    assert_string_equal(value(loaded, "7", 1), "(none)");
    (void)sl_table_free(loaded);
}

static void test_broken_tables_are_refused_with_their_line(void **state)
{
    static const char *const columns[] = {"b"};
    static const struct {
        const char *name, *text, *key, *says;
    } wrong[] = {
        {"t.csv", "", NULL, ":1: the file is empty"},
        {"t.csv", "a,c\n1,2\n", NULL, ":1: there is no column \"b\"; the header has a, c"},
        {"t.csv", "a,b\n1,2\n", "k", ":1: there is no column \"k\""},
        {"t.csv", "a,b\n1,2\n2\n", NULL, ":3: the row has 1 cells, the header 2"},
        {"t.csv", "a,b\n1,\"2\n\n", NULL, ":2: a quote is not closed"},
        {"t.csv", "a,b\n\"1\"x,2\n", NULL, ":2: text stands behind a closing quote"},
        {"t.csv", "a,b\n\"x\ny\",2\n,3\n", NULL, ":4: the row has no key"},
        {"t.csv", "a,b\n1,2\n2,3\n1,4\n", NULL, ":4: the key \"1\" stands in line 2 already"},
        {"t.ndjson", "{\"k\":1,\"b\":2}\n{\"k\":1}\n", "k", ":2: the key \"1\" stands in line 1 already"},
        {"t.ndjson", "{\"k\":1}\n{\"k\":", "k", ":2: truncated"},
        {"t.ndjson", "{\"b\":1}\n", "k", ":1: the row has no k"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_null(table(wrong[i].name, wrong[i].text, wrong[i].key, columns, 1));
        if (strstr(json.err.text, wrong[i].says) == NULL)
            fail_msg("%s: %s", wrong[i].text, json.err.text);
    }
}

static void test_a_table_keeps_to_its_bytes(void **state)
{
    static const char *const columns[] = {"b"};
    static char text[900000];
    size_t at = (size_t)sprintf(text, "a,b\n");
    (void)state;
    for (int i = 0; at < sizeof(text) - 64; i++)
        at += (size_t)sprintf(text + at, "%d,%d\n", i, i);
    assert_null(table("t.csv", text, NULL, columns, 1)); /* below a MiB as a file, above it as a table */
    assert_non_null(strstr(json.err.text, "the table needs more than 1048576 bytes"));
}

static const char *body(uint16_t row)
{
    static char text[4][512];
    static int next;
    struct sl_slice slice = sl_view_text(&json.bench.view, row);
    char *to = text[next++ % 4];

    (void)snprintf(to, sizeof(text[0]), "%.*s", (int)slice.bytes, slice.data);
    return to;
}

static void open_with(const char *more)
{
    char settings[512];

    (void)snprintf(settings, sizeof(settings), "{ type: enrich, inputs: [x], table: \"%s\", key: service, fields: { team: team, owner.email: email }%s }",
                   path, more);
    stage_json_open(&json, &sl_op_enrich, settings);
}

static const char teams[] = "service,team,email\npay,money,m@x.com\ncart,shop,s@x.com\n";

static void test_rows_are_added_to_records(void **state)
{
    static const char *const texts[] = {"{\"service\":\"pay\",\"team\":\"?\"}", "{\"service\":\"c\\u0061rt\"}", "{\"service\":\"other\"}", "{}", "[]"};
    (void)state;
    file_is("teams.csv", teams, strlen(teams));
    open_with("");
    stage_json_batch(&json, texts, 5);
    stage_json_process(&json);
    assert_string_equal(body(0), "{\"service\":\"pay\",\"team\":\"money\",\"owner\":{\"email\":\"m@x.com\"}}");
    assert_string_equal(body(1), "{\"service\":\"c\\u0061rt\",\"team\":\"shop\",\"owner\":{\"email\":\"s@x.com\"}}");
    assert_string_equal(body(2), texts[2]);
    assert_string_equal(body(3), texts[3]);
    assert_string_equal(body(4), texts[4]);
    assert_int_equal(json.bench.counters[3], 2);
    assert_int_equal(json.bench.counters[4], 2);
}

static void test_missing_keys_may_be_dead(void **state)
{
    static const char *const texts[] = {"{\"service\":\"pay\"}", "{\"service\":\"other\"}"};
    (void)state;
    file_is("teams.csv", teams, strlen(teams));
    open_with(", missing: dead");
    stage_json_batch(&json, texts, 2);
    stage_json_process(&json);
    assert_int_equal(json.bench.view.sel_count, 1);
    assert_int_equal(json.bench.view.fate[1], SL_DEAD);
    assert_string_equal(sl_op_enrich.head.reasons[json.bench.view.reason[1]], "no row of the table has the record's key");
}

/* A record goes through; then whatever look was asked for happens. */
static const char *after_a_second(const char *text)
{
    const char *texts[1] = {text};
    struct sl_job *asked;

    json.bench.now_ns += 1000000000;
    stage_json_batch(&json, texts, 1);
    stage_json_process(&json);
    asked = job;
    job = NULL;
    if (asked != NULL) {
        asked->run(asked);
        asked->done(asked);
    }
    return body(0);
}

static void test_a_changed_file_is_read_again_and_a_broken_one_is_not(void **state)
{
    static const char one[] = "{\"service\":\"pay\"}";
    static const char newer[] = "service,team,email\npay,bank,m@x.com\n";
    (void)state;
    file_is("teams.csv", teams, strlen(teams));
    open_with("");
    (void)after_a_second(one); /* looks, finds nothing new */
    assert_int_equal(json.bench.counters[5], 0);
    file_is("teams.csv", newer, strlen(newer));
    assert_non_null(strstr(after_a_second(one), "money")); /* asked for behind this batch */
    assert_int_equal(json.bench.counters[5], 1);
    assert_non_null(strstr(after_a_second(one), "bank"));
    file_is("teams.csv", "service\n", 8);
    (void)after_a_second(one);
    assert_int_equal(json.bench.counters[6], 1);
    assert_non_null(strstr(logged, "the old table stays"));
    assert_non_null(strstr(logged, "there is no column \"team\""));
    logged[0] = '\0';
    assert_non_null(strstr(after_a_second(one), "bank"));
    assert_string_equal(logged, ""); /* told once */
    assert_int_equal(unlink(path), 0);
    assert_non_null(strstr(after_a_second(one), "bank"));
    file_is("teams.csv", teams, strlen(teams));
    (void)after_a_second(one);
    assert_non_null(strstr(after_a_second(one), "money"));
}

static void test_at_most_one_look_a_second(void **state)
{
    static const char *const texts[] = {"{\"service\":\"pay\"}"};
    (void)state;
    file_is("teams.csv", teams, strlen(teams));
    open_with("");
    json.bench.now_ns += 999999999;
    stage_json_batch(&json, texts, 1);
    stage_json_process(&json);
    assert_null(job);
    json.bench.now_ns += 1;
    stage_json_process(&json);
    assert_non_null(job);
    json.bench.now_ns += 5000000000;
    stage_json_process(&json); /* submit() fails the test if it is asked again */
}

static void test_settings_that_make_no_sense_are_refused(void **state)
{
    static const struct {
        const char *rest, *says;
    } wrong[] = {
        {"key: service, fields: {}", "fields: name 1 to 255 fields"},
        {"key: service, fields: { a: team, a.b: email }", "fields: a and a.b are one field"},
        {"key: service, fields: { a: nothing }", "table: "},
        {"key: service, format: ndjson, fields: { a: team }", "column: NDJSON has no first column"},
        {"key: service, format: ndjson, column: k, fields: { a: k }", "fields: the column k is the key"},
        {"key: service, format: ndjson, column: k, fields: { a: v, b: v }", "fields: the column v is named twice"},
        {"key: service, column: nothing, fields: { a: team }", "there is no column \"nothing\""},
        {"key: service, separator: \";\", fields: { a: team }", "there is no column \"team\""},
    };
    (void)state;
    file_is("teams.csv", teams, strlen(teams));
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        char settings[512];
        (void)snprintf(settings, sizeof(settings), "{ type: enrich, inputs: [x], table: \"%s\", %s }", path, wrong[i].rest);
        assert_true(config_check(&sl_op_enrich.head, settings, &json.err) < 0);
        if (strstr(json.err.text, wrong[i].says) == NULL)
            fail_msg("%s: %s", settings, json.err.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_csv_as_rfc_4180_has_it, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ndjson_keeps_types, setup, teardown),
        cmocka_unit_test_setup_teardown(test_broken_tables_are_refused_with_their_line, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_table_keeps_to_its_bytes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_rows_are_added_to_records, setup, teardown),
        cmocka_unit_test_setup_teardown(test_missing_keys_may_be_dead, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_changed_file_is_read_again_and_a_broken_one_is_not, setup, teardown),
        cmocka_unit_test_setup_teardown(test_at_most_one_look_a_second, setup, teardown),
        cmocka_unit_test_setup_teardown(test_settings_that_make_no_sense_are_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
