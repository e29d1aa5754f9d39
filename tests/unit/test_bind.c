/* test_bind.c: settings by rows: YAML with anchors, merges and variables, every type, docs and
 * hashes.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/config/bind.h"
#include "runtime/config/pool.h"

struct thing {
    const char *name;
    bool on;
    uint64_t count, bytes, pause;
    double rate, share;
    int word;
    struct sl_strings list;
    struct sl_map map;
    struct sl_cond *where;
    struct sl_named_conds routes;
    const char *field;
    const struct sl_template *path;
    struct sl_secret secret;
    const char *in, *out;
    struct thing_sub {
        uint64_t deep;
    } sub;
};

static const char *const words[] = {"alpha", "beta", NULL};
static const struct sl_field sub_fields[] = {
    SL_FIELD(thing_sub, deep, SL_F_U64, .def = "9", .max = "10", .help = "How deep."), {0}};
static const struct sl_field fields[] = {
    SL_FIELD(thing, name, SL_F_STRING, .flags = SL_F_REQUIRED, .help = "Its name."),
    SL_FIELD(thing, on, SL_F_BOOL, .def = "true", .help = "Whether."),
    SL_FIELD(thing, count, SL_F_U64, .def = "3", .min = "1", .max = "5", .help = "How many."),
    SL_FIELD(thing, bytes, SL_F_BYTES, .min = "64KiB", .max = "8GiB", .help = "How large."),
    SL_FIELD(thing, pause, SL_F_DURATION, .def = "5s", .help = "How long."),
    SL_FIELD(thing, rate, SL_F_RATE, .help = "How fast."),
    SL_FIELD(thing, share, SL_F_SHARE, .help = "How much."),
    SL_FIELD(thing, word, SL_F_ENUM, .def = "beta", .values = words, .help = "Which."),
    SL_FIELD(thing, list, SL_F_STRINGS, .def = "[a, b]", .min = "1", .help = "Some."),
    SL_FIELD(thing, map, SL_F_MAP, .help = "Pairs."),
    SL_FIELD(thing, where, SL_F_CONDITION, .help = "When."),
    SL_FIELD(thing, routes, SL_F_CONDITIONS, .help = "Where to."),
    SL_FIELD(thing, field, SL_F_FIELD_NAME, .help = "Of which field."),
    SL_FIELD(thing, path, SL_F_TEMPLATE, .def = "", .help = "Below which path."),
    SL_FIELD(thing, secret, SL_F_SECRET, .help = "Hidden."),
    SL_FIELD(thing, in, SL_F_INPUT_PATH, .help = "From."),
    SL_FIELD(thing, out, SL_F_OUTPUT_PATH, .help = "To."),
    SL_FIELD(thing, sub, SL_F_STRUCT, .sub = sub_fields, .help = "Nested."),
    {0}};

static struct sl_pool pool;
static struct sl_diags diags;

static int setup(void **state)
{
    (void)state;
    sl_pool_init(&pool);
    sl_diags_init(&diags);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    sl_diags_fini(&diags);
    sl_pool_fini(&pool);
    return 0;
}

static bool fill(const char *text, struct thing *thing)
{
    struct sl_bind bind = {.pool = &pool, .diags = &diags, .file = "t", .base_dir = "/etc"};
    const struct sl_bind_part part = {fields, thing};
    const struct sl_bind_map map = {.parts = &part, .parts_count = 1, .setting = ""};
    const struct sl_yaml *root = sl_yaml_parse(&pool, "t", text, strlen(text), &diags);

    memset(thing, 0, sizeof(*thing));
    return root != NULL && sl_bind_fill(&bind, &map, root) && diags.errors == 0;
}

static void refused(const char *text, const char *expected)
{
    struct thing thing;
    char found[700];

    sl_diags_fini(&diags);
    assert_false(fill(text, &thing));
    assert_true(diags.count >= 1);
    (void)snprintf(found, sizeof(found), "%u:%u %s | %s", diags.items[0].line,
                   diags.items[0].column, diags.items[0].text, diags.items[0].remedy);
    assert_string_equal(found, expected);
}

static void test_defaults_and_every_type(void **state)
{
    struct thing thing;

    (void)state;
    assert_true(fill("name: x", &thing));
    assert_true(thing.on && thing.count == 3 && thing.pause == 5000000000 && thing.word == 1 &&
                thing.list.count == 2 && thing.sub.deep == 9);
    assert_string_equal(thing.list.items[1], "b");
    assert_true(fill(
        "name: 7\non: false\ncount: 5\nbytes: 64KiB\npause: 1m\nrate: 5/s\nshare: 10%\nword: "
        "alpha\nlist: [z]\nmap: { a: 1, b.c: two }\n"
        "where: { level: error }\nroutes: { r: { a: 1 } }\nfield: user.email\npath: "
        "\"{day}\"\nsecret: { secret: { file: s } }\nin: passwd\nout: ../o\nsub: { deep: 1 }\n",
        &thing));
    assert_true(!thing.on && thing.count == 5 && thing.bytes == 65536 && thing.rate == 5 &&
                thing.share == 0.1 && thing.word == 0);
    assert_string_equal(thing.name, "7");
    assert_string_equal(thing.map.items[1].name, "b.c");
    assert_int_equal(thing.map.items[1].line, 10);
    assert_string_equal(thing.secret.file, "/etc/s");
    assert_string_equal(thing.in, "/etc/passwd");
    assert_string_equal(thing.out, "../o");
    assert_int_equal(thing.sub.deep, 1);
    assert_non_null(thing.where);
    assert_int_equal(thing.routes.count, 1);
}

static void test_refusals_say_what_would_be_right(void **state)
{
    (void)state;
    refused("on: true", "1:1 name is missing | add name: Its name.");
    refused("name: x\ncuont: 3",
            "2:1 unknown key \"cuont\" | did you mean \"count\"? Allowed: name, on, count, bytes, "
            "pause, rate, share, word, list, map, where, "
            "routes, field, path, secret, in, out, sub");
    refused("name: x\ncount: 6",
            "2:8 count: 6 is too large | write a whole number, between 1 and 5");
    refused("name: x\nbytes: 12 parrots",
            "2:8 bytes: \"12 parrots\" is not a size | write a size such as 128MiB (KiB, MiB, GiB, "
            "TiB; KB, MB, GB, TB; a plain number is "
            "bytes); between 64KiB and 8GiB");
    refused("name: x\nbytes: 1KiB",
            "2:8 bytes: 1KiB is too small | write a size such as 128MiB, between 64KiB and 8GiB");
    refused("name: x\ncount: \"3\"",
            "2:8 count: \"3\" in quotes is text, not a number | leave out the quotes");
    refused("name: x\non: yes", "2:5 on: \"yes\" is not true or false | write true or false");
    refused("name: [x]", "1:7 name: a list is not text | write text");
    refused("name:", "1:1 name: nothing is not text | write text");
    refused("name: x\nword: alpa",
            "2:7 word: \"alpa\" is not allowed | did you mean alpha? Allowed: alpha, beta");
    refused("name: x\nlist: a", "2:7 list: \"a\" is not a list | write [a]");
    refused("name: x\nshare: 10", "2:8 share: 10 without % is more than everything | write 10%");
    refused("name: x\nsub: { deep: 11 }",
            "2:14 sub.deep: 11 is too large | write a whole number, at most 10");
    refused("name: x\nsub: 5", "2:6 sub: \"5\" is not a mapping | write a mapping: KEY: VALUE");
    refused("name: x\nin: nope", "2:5 in: unreachable file /etc/nope: No such file or directory | "
                                 "write the path of a file that this user may read");
    refused("name: x\nsecret: { env: hunter2 }",
            "2:9 secret: this is not a secret | write { secret: { env: NAME } } or { secret: { "
            "file: PATH } }");
    refused("name: x\nname: y",
            "2:1 the key \"name\" is set twice, first in line 1 column 1 | write it once");
}

static void test_variables_are_replaced_before_typing(void **state)
{
    struct thing thing;

    (void)state;
    assert_int_equal(setenv("SL_TEST_COUNT", "4", 1), 0);
    assert_int_equal(setenv("SL_TEST_EMPTY", "", 1), 0);
    assert_int_equal(unsetenv("SL_TEST_NONE"), 0);
    assert_true(
        fill("name: \"a${SL_TEST_COUNT}-${SL_TEST_NONE:-b:-c}-${SL_TEST_EMPTY:-d}-$$x-$y\"\ncount: "
             "${SL_TEST_COUNT}",
             &thing));
    assert_string_equal(thing.name, "a4-b:-c-d-$x-$y");
    assert_int_equal(thing.count, 4);
    refused("name: ${SL_TEST_NONE}", "1:7 name: the environment variable SL_TEST_NONE is not set | "
                                     "set it, or write ${SL_TEST_NONE:-default}");
    refused("name: \"${SL_TEST\"", "1:7 name: \"${SL_TEST\" opens ${ and does not close it | write "
                                   "${NAME} or ${NAME:-default}, and $$ for a dollar sign");
    refused("name: \"${1}\"", "1:7 name: \"${1}\" names no environment variable | write ${NAME} or "
                              "${NAME:-default}, and $$ for a dollar sign");
}

static void test_anchors_and_merges(void **state)
{
    struct thing thing;

    (void)state;
    assert_true(fill("name: &n x\nfield: *n\nsub: { <<: &s { deep: 4 } }\nmap: { <<: [*s, { deep: "
                     "5, other: 6 }], other: 7 }",
                     &thing));
    assert_string_equal(thing.field, "x");
    assert_int_equal(thing.sub.deep, 4);
    assert_int_equal(thing.map.count, 2);
    assert_string_equal(thing.map.items[0].value, "4");
    assert_string_equal(thing.map.items[1].value, "7");
    refused("name: *nope", "1:7 the alias *nope has no anchor | define it above with &NAME");
    refused("name: &a [*a]",
            "1:11 the alias *a stands inside its own anchor | name another anchor");
    refused("map: { <<: 5 }\nname: x", "1:12 a merge key needs mappings | write <<: *anchor of a "
                                       "mapping, or a list of at most 16 such");
    refused("name: !!str x", "1:13 tags (!…) have no meaning here | leave out the tag");
    refused("name: x\n---\nname: y", "2:1 a second document begins | write one document a file");
}

static void test_documents_that_double_themselves_are_refused(void **state)
{
    char text[4000] = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
    struct thing thing;

    (void)state;
    for (int i = 1; i < 30; i++)
        (void)snprintf(text + strlen(text), sizeof(text) - strlen(text),
                       "a%d: &a%d [*a%d, *a%d, *a%d, *a%d]\n", i, i, i - 1, i - 1, i - 1, i - 1);
    assert_false(fill(text, &thing));
    assert_string_equal(diags.items[0].text,
                        "more than 100000 values once aliases are written out");
}

static void test_docs_come_from_the_rows(void **state)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);

    (void)state;
    sl_fields_print(fields, out);
    assert_int_equal(fclose(out), 0);
    assert_non_null(strstr(text, "| `name` | text | required |  | Its name. |\n"));
    assert_non_null(strstr(text, "| `count` | number | `3` | `1` to `5` | How many. |\n"));
    assert_non_null(strstr(text, "| `sub.deep` | number | `9` | at most `10` | How deep. |\n"));
    assert_non_null(strstr(text, "| `word` | word | `beta` | `alpha`, `beta` | Which. |\n"));
    free(text);
}

static void test_hashes_see_values_only(void **state)
{
    struct thing a, b;

    (void)state;
    assert_true(fill("name: x", &a));
    assert_true(fill("{ \"name\": 'x', pause: 5000ms, list: [a, b] }", &b));
    assert_true(sl_fields_hash(fields, &a, "/etc", false, 1) == sl_fields_hash(fields, &b, "/etc", false, 1));
    assert_true(fill("name: x\nlist: [ab]", &b));
    assert_true(sl_fields_hash(fields, &a, "/etc", false, 1) != sl_fields_hash(fields, &b, "/etc", false, 1));
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(test_defaults_and_every_type),
        CASE(test_refusals_say_what_would_be_right),
        CASE(test_variables_are_replaced_before_typing),
        CASE(test_anchors_and_merges),
        CASE(test_documents_that_double_themselves_are_refused),
        CASE(test_docs_come_from_the_rows),
        CASE(test_hashes_see_values_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
