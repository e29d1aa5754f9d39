/* test_match.c: conditions over a view: each role, each comparison, missing fields, AND/OR/NOT, and
 * only the live records written.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/intern.h"
#include "runtime/config/condition.h"
#include "runtime/config/pool.h"
#include "runtime/config/yaml.h"
#include "runtime/engine/match.h"
#include "runtime/engine/op.h"
#include "runtime/engine/slot.h"

enum { ROWS = 6, COLUMNS = 8, UNTOUCHED = 7 };

/* Fields of the six records; NULL: missing. The first character says the type: s string, n number,
 * b bool, 0 null. */
static const char *const field_status[ROWS] = {"n200", "n500", "s500", NULL, "n500.0", "0null"};
static const char *const field_path[ROWS] = {"s/health", "s/pay/1", "s", "sa.b", "s/pay/2", NULL};
static const char *const field_id[ROWS] = {
    "n9007199254740993", "n9007199254740992", "n-5", "n1e400", "btrue", "o{}"};
static const char *const field_trace[ROWS] = {"sabc", NULL, "sdef", NULL, "sabc", NULL};
static const uint8_t levels[ROWS] = {SL_LEVEL_INFO,  SL_LEVEL_ERROR, SL_LEVEL_NONE,
                                     SL_LEVEL_DEBUG, SL_LEVEL_FATAL, SL_LEVEL_WARN};
static const char *const services[ROWS] = {"pay-api", "pay-web", "", "search", "pay-api", "x"};
/* 2026-11-22T00:00:00Z and hours after it */
static const int64_t times[ROWS] = {1795305600000, 1795309200000, 1795312800000,
                                    1795316400000, 1795320000000, 1795323600000};

struct world {
    struct sl_names names;
    struct sl_pool pool;
    struct sl_column columns[COLUMNS];
    struct sl_slice values[COLUMNS][ROWS];
    uint8_t types[COLUMNS][ROWS];
    uint32_t columns_count;
    struct sl_batch batch;
    struct sl_decoded decoded;
    struct sl_view view;
    struct sl_partition partition;
    uint32_t service_ids[ROWS];
    struct sl_slice keys[ROWS];
    struct sl_header headers[ROWS][2], *header_rows[ROWS];
    uint16_t headers_count[ROWS];
    uint16_t sel[ROWS];
    int64_t append[ROWS];
};
static struct world world;

static enum sl_type type_of(char c)
{
    return c == 's'   ? SL_T_STRING
           : c == 'n' ? SL_T_NUMBER
           : c == 'b' ? SL_T_BOOL
           : c == 'o' ? SL_T_OBJECT
                      : SL_T_NULL;
}

static int world_column(struct sl_names *names, const struct sl_name *name, struct sl_err *err)
{
    static const struct {
        const char *name;
        const char *const *rows;
    } known[] = {
        {"status", field_status}, {"path", field_path}, {"id", field_id}, {"trace", field_trace}};
    uint32_t column = world.columns_count;
    char text[64];

    (void)names;
    (void)sl_name_print(name, text, sizeof(text));
    if (column == COLUMNS)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "too many columns");
    memset(world.types[column], SL_T_ABSENT, sizeof(world.types[column]));
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        for (uint32_t row = 0; strcmp(known[i].name, text) == 0 && row < ROWS; row++) {
            const char *field = known[i].rows[row];
            world.types[column][row] = (uint8_t)(field == NULL ? SL_T_ABSENT : type_of(field[0]));
            world.values[column][row] =
                field == NULL ? (struct sl_slice){NULL, 0} : sl_slice_of(field + 1);
        }
    world.columns[column] =
        (struct sl_column){.value = world.values[column], .type = world.types[column]};
    world.decoded.columns_count = ++world.columns_count;
    return (int)column;
}

static int world_setup(void **state)
{
    struct sl_intern_cache *cache = sl_intern_cache_new();

    (void)state;
    memset(&world, 0, sizeof(world));
    world.names.column = world_column;
    sl_pool_init(&world.pool);
    world.partition.topic = "logs.pay";
    for (uint16_t i = 0; i < ROWS; i++) {
        world.service_ids[i] = sl_intern(cache, sl_slice_of(services[i]));
        world.sel[i] = i;
        world.append[i] = times[i] + 1;
        world.headers[i][0] =
            (struct sl_header){sl_slice_of("tenant"), sl_slice_of(i % 2 == 0 ? "a" : "b")};
        world.headers[i][1] = (struct sl_header){sl_slice_of("tenant"), sl_slice_of("second")};
        world.header_rows[i] = world.headers[i];
        world.headers_count[i] = i == 5 ? 0 : 2;
    }
    world.keys[1] = sl_slice_of("k1");
    world.keys[2] = (struct sl_slice){"", 0};
    world.batch = (struct sl_batch){.partition = &world.partition,
                                    .count = ROWS,
                                    .append_unix_ms = world.append,
                                    .key = world.keys,
                                    .headers = world.header_rows,
                                    .headers_count = world.headers_count};
    world.decoded = (struct sl_decoded){.time_unix_ms = times,
                                        .service = world.service_ids,
                                        .level = levels,
                                        .columns = world.columns,
                                        .trace = -1};
    world.view = (struct sl_view){
        .batch = &world.batch, .decoded = &world.decoded, .sel = world.sel, .sel_count = ROWS};
    (void)sl_intern_cache_free(cache);
    return 0;
}

static int world_teardown(void **state)
{
    (void)state;
    sl_pool_fini(&world.pool);
    return 0;
}

/* The records for which the condition holds, as six 0s and 1s. */
static void holds(const char *yaml, const char *expected)
{
    struct sl_diags diags;
    const struct sl_yaml *root;
    const struct sl_cond *cond;
    struct sl_bound_cond *bound = NULL;
    uint8_t match[ROWS];
    char found[ROWS + 1] = "";
    struct sl_err err;

    world.columns_count = 0;
    sl_diags_init(&diags);
    root = sl_yaml_parse(&world.pool, "t", yaml, strlen(yaml), &diags);
    cond = root == NULL ? NULL : sl_cond_parse(&world.pool, root, "t", "where", &diags);
    if (cond == NULL)
        print_error("%s\n", diags.items[0].text);
    assert_non_null(cond);
    assert_int_equal(sl_cond_bind(cond, &world.names, &bound, &err), 0);
    for (int round = 0; round < 2; round++) { /* the second run finds the caches filled */
        memset(match, UNTOUCHED, sizeof(match));
        sl_cond_eval(bound, &world.view, match);
        for (uint32_t i = 0; i < ROWS; i++)
            found[i] = (char)('0' + match[i]);
        if (strcmp(found, expected) != 0)
            print_error("%s\n", yaml);
        assert_string_equal(found, expected);
    }
    (void)sl_cond_unbind(bound);
    sl_diags_fini(&diags);
}

static void test_levels_compare_by_severity(void **state)
{
    (void)state;
    holds("level: error", "010000");
    holds("level: [ERROR, Warning]", "010001");
    holds("level: { gte: warn }", "010011");
    holds("level: { gt: info, lt: fatal }", "010001");
    holds("level: { lte: debug }", "000100");
    holds("level: { exists: true }", "110111");
    holds("level: { exists: false }", "001000");
    holds("not: { level: { gte: trace } }", "001000");
    holds("level: { glob: \"*a*\" }", "000011");
    holds("level: { matches: \"^(err|fat)\" }", "010010");
    holds("level: 50", "010000");
}

static void test_services_are_looked_up_once_a_name(void **state)
{
    (void)state;
    holds("service: pay-api", "100010");
    holds("service: { glob: \"pay-*\" }", "110010");
    holds("service: { in: [x, search] }", "000101");
    holds("service: { matches: \"web$\" }", "010000");
    holds("service: { exists: false }", "001000");
    holds("not: { service: pay-api }", "011101");
}

static void test_numbers_compare_as_numbers_when_both_sides_are(void **state)
{
    (void)state;
    holds("status: 500", "011010");          /* 500, the text 500, and 500.0 */
    holds("status: \"500\"", "011000");      /* text: 500.0 is not 500 */
    holds("status: { gte: 300 }", "011011"); /* null against a number: by bytes, n > 3 */
    holds("status: { lt: 500 }", "100000");
    holds("id: 9007199254740993", "100000");
    holds("id: { gt: 9007199254740992 }", "100111"); /* 1e400, and true and {} by bytes */
    holds("id: { lt: -4.5 }", "001000");
}

static void test_missing_fields_match_nothing_but_not(void **state)
{
    (void)state;
    holds("path: { exists: true }", "111110");
    holds("status: null", "000001");
    holds("nowhere: 1", "000000");
    holds("not: { nowhere: 1 }", "111111");
    holds("nowhere: { exists: false }", "111111");
    holds("status: { exists: true }", "111011");
}

static void test_texts_by_bytes_globs_and_patterns(void **state)
{
    (void)state;
    holds("path: /health", "100000");
    holds("path: \"\"", "001000");
    holds("path: { glob: \"/pay/?\" }", "010010");
    holds("path: { glob: [\"/h*\", \"a.[a-c]\"] }", "100100");
    holds("path: { matches: \"pay/[12]\" }", "010010");
    holds("path: { gte: /p }", "010110");
    holds("path: [{ glob: \"/h*\" }, a.b]", "100100");
}

static void test_what_is_known_before_parsing(void **state)
{
    (void)state;
    holds("\"@topic\": { glob: \"logs.*\" }", "111111");
    holds("\"@topic\": other", "000000");
    holds("\"@key\": k1", "010000");
    holds("\"@key\": { exists: true }", "011000");
    holds("\"@header:tenant\": a", "101010");
    holds("\"@header:tenant\": second", "000000");
    holds("\"@header:tenant\": { exists: false }", "000001");
    holds("time: { gte: 2026-11-22T02:00:00Z }", "001111");
    holds("time: 2026-11-22T02:00:00+01:00", "010000");
    holds("\"@time\": { gt: 2026-11-22T01:00:00.001Z }", "001111");
    holds("trace: abc", "100010");
}

static void test_and_or_not_nest(void **state)
{
    (void)state;
    holds("{ service: { glob: \"pay*\" }, level: { gte: error } }", "010010");
    holds("[{ level: debug }, { service: x }]", "000101");
    holds(
        "any: [{ level: debug }, { all: [{ path: { matches: pay } }, { not: { status: 500 } }] }]",
        "000100");
    holds("not: { any: [{ level: debug }, { service: x }], status: 500 }", "111111");
    holds("not: { not: { level: debug } }", "000100");
    holds("{ any: [{ path: /health }, { path: { matches: pay } }], level: { gte: info }, status: { "
          "gte: 500 } }",
          "010010");
}

static void test_only_live_records_are_written(void **state)
{
    (void)state;
    world.sel[0] = 1;
    world.sel[1] = 4;
    world.view.sel_count = 2;
    holds("{ level: { gte: error }, any: [{ path: /pay/1 }, { status: 1 }] }", "717707");
}

static void test_without_a_parse_stage_fields_are_missing(void **state)
{
    (void)state;
    world.decoded.level = NULL;
    world.decoded.service = NULL;
    world.decoded.columns = NULL;
    holds("level: error", "000000");
    holds("not: { service: x }", "111111");
}

static void test_a_pattern_that_explodes_ends(void **state)
{
    static char long_text[2000];

    (void)state;
    memset(long_text, 'a', sizeof(long_text) - 1);
    world.keys[0] = sl_slice_of(long_text);
    holds("\"@key\": { matches: \"^(a+)+(b|aa)+c$\" }", "000000");
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, world_setup, world_teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_levels_compare_by_severity),
        CASE(test_services_are_looked_up_once_a_name),
        CASE(test_numbers_compare_as_numbers_when_both_sides_are),
        CASE(test_missing_fields_match_nothing_but_not),
        CASE(test_texts_by_bytes_globs_and_patterns),
        CASE(test_what_is_known_before_parsing),
        CASE(test_and_or_not_nest),
        CASE(test_only_live_records_are_written),
        CASE(test_without_a_parse_stage_fields_are_missing),
        CASE(test_a_pattern_that_explodes_ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
