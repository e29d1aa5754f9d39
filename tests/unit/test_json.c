/* test_json.c: the right fields out of awkward records, in both modes, at the very end of readable memory.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/json_out.h"
#include "tests/unit/json_fixture.h"

enum { TS, SERVICE, LEVEL, EMAIL, USER, DOTTED, DEEP, FIELDS };

static const char *const *const paths[FIELDS] = {
    [TS] = (const char *const[]){"ts", NULL},
    [SERVICE] = (const char *const[]){"service", NULL},
    [LEVEL] = (const char *const[]){"level", NULL},
    [EMAIL] = (const char *const[]){"user", "email", NULL},
    [USER] = (const char *const[]){"user", NULL},
    [DOTTED] = (const char *const[]){"user.email", NULL},
    [DEEP] = (const char *const[]){"a-rather-long-key", "another-rather-long-key", "x", NULL},
};

static int setup(void **state)
{
    *state = json_fixture_new(paths, FIELDS);
    return 0;
}

static int teardown(void **state)
{
    json_fixture_free(*state);
    return 0;
}

static uint8_t decode(void **state, const char *text, bool validate)
{
    return json_fixture_decode(*state, text, (uint32_t)strlen(text), validate, '"');
}

/* What the field is, as text: "ABSENT", or its type's letter, '!' if repeated, and its value. */
static const char *field(void **state, int which)
{
    static const char letters[] = "ANBDSOL"; /* absent null bool (number) string object list */
    static char text[4][512];
    static int turn;
    struct json_fixture *fixture = *state;
    char *to = text[turn++ & 3];
    if (fixture->type[which] == SL_T_ABSENT) {
        assert_int_equal(fixture->value[which].bytes, 0);
        assert_int_equal(fixture->span[which].bytes, 0);
        assert_int_equal(fixture->repeated[which], 0);
        return "ABSENT";
    }
    (void)snprintf(to, sizeof(text[0]), "%c%s %.*s", letters[fixture->type[which]], fixture->repeated[which] ? "!" : "",
                   (int)fixture->value[which].bytes, fixture->value[which].data);
    return to;
}

/* The raw token that the span names. */
static const char *token(void **state, const char *record, int which)
{
    static char text[512];
    struct json_fixture *fixture = *state;
    assert_true(fixture->span[which].at + fixture->span[which].bytes <= strlen(record));
    (void)snprintf(text, sizeof(text), "%.*s", (int)fixture->span[which].bytes, record + fixture->span[which].at);
    return text;
}

static void test_fields_come_in_any_order_and_with_blanks(void **state)
{
    static const char *const records[] = {
        "{\"ts\":1,\"service\":\"s\",\"level\":\"info\",\"user\":{\"email\":\"e\"}}",
        "{\"user\":{\"email\":\"e\"},\"level\":\"info\",\"service\":\"s\",\"ts\":1}",
        " \t\r\n{ \"level\" \t: \"info\" , \"x\":[1,2,{\"ts\":9}] ,\r\n\"service\":\n\"s\" , \"user\" : { \"email\" :\t\"e\"  } , \"ts\" : 1  }\r\n ",
    };
    for (size_t i = 0; i < 3; i++)
        for (int validate = 0; validate < 2; validate++) {
            assert_int_equal(decode(state, records[i], validate), SL_JSON_FINE);
            assert_string_equal(field(state, TS), "D 1");
            assert_string_equal(field(state, SERVICE), "S s");
            assert_string_equal(field(state, LEVEL), "S info");
            assert_string_equal(field(state, EMAIL), "S e");
            assert_string_equal(token(state, records[i], SERVICE), "\"s\"");
            assert_string_equal(token(state, records[i], TS), "1");
            assert_string_equal(field(state, DOTTED), "ABSENT");
        }
}

static void test_each_type_is_told(void **state)
{
    static const struct {
        const char *record, *expected, *token;
    } cases[] = {
        {"{\"level\":null}", "N null", "null"},
        {"{\"level\":true }", "B true", "true"},
        {"{\"level\":false}", "B false", "false"},
        {"{\"level\":-12.5e+3 }", "D -12.5e+3", "-12.5e+3"},
        {"{\"level\":\"\"}", "S ", "\"\""},
        {"{\"level\":\"30\"}", "S 30", "\"30\""},
        {"{\"level\": { \"a\" : [ ] } }", "O { \"a\" : [ ] }", "{ \"a\" : [ ] }"},
        {"{\"level\":{}}", "O {}", "{}"},
        {"{\"level\":[1, [2] ]}", "L [1, [2] ]", "[1, [2] ]"},
        {"{\"level\":[]}", "L []", "[]"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        for (int validate = 0; validate < 2; validate++) {
            assert_int_equal(decode(state, cases[i].record, validate), SL_JSON_FINE);
            assert_string_equal(field(state, LEVEL), cases[i].expected);
            assert_string_equal(token(state, cases[i].record, LEVEL), cases[i].token);
        }
}

static void test_a_nested_or_quoted_field_does_not_fool_it(void **state)
{
    static const char *const records[] = {
        "{\"ctx\":{\"level\":\"error\",\"service\":\"x\"},\"list\":[{\"level\":\"error\"}],\"level\":\"info\"}",
        "{\"msg\":\"{\\\"level\\\":\\\"error\\\",\\\"service\\\":\\\"x\\\"}\",\"level\":\"info\"}",
        "{\"msg\":\"\\\\\\\",\\\"level\\\":\\\"error\",\"level\":\"info\"}",
        "{\"msg\":\"\\\\\",\"level\":\"info\"}",
        "{\"xlevel\":\"error\",\"level2\":\"error\",\"leve\":\"error\",\"LEVEL\":\"error\",\"levei\":\"error\",\"levelxy\":\"error\",\"level\":\"info\"}",
        "{\"level \":\"error\",\"\":\"error\",\"level\":\"info\"}",
        "{\"msg\":\"level\",\"x\":[\"level\",\"error\"],\"level\":\"info\"}",
    };
    for (size_t i = 0; i < sizeof(records) / sizeof(records[0]); i++)
        for (int validate = 0; validate < 2; validate++) {
            assert_int_equal(decode(state, records[i], validate), SL_JSON_FINE);
            assert_string_equal(field(state, LEVEL), "S info");
            assert_string_equal(field(state, SERVICE), "ABSENT");
        }
}

static void test_escapes_are_resolved_in_keys_and_values(void **state)
{
    static const struct {
        const char *record, *expected;
    } cases[] = {
        {"{\"lev\\u0065l\":\"info\"}", "S info"},
        {"{\"\\u006c\\u0065\\u0076\\u0065\\u006C\":\"info\"}", "S info"},
        {"{\"level\":\"in\\u0066o\"}", "S info"},
        {"{\"level\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"}", "S \"\\/\b\f\n\r\t"},
        {"{\"level\":\"\\u00e9\\u20AC\\ud83d\\ude00|\\uD83D\\uDE00\"}", "S \xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80|\xf0\x9f\x98\x80"},
        {"{\"a\\\\\":1,\"level\":\"info\"}", "S info"},
        {"{\"lev\\\\el\":\"error\",\"level\":\"info\"}", "S info"},
        {"{\"level\":\"Z\xc3\xbcrich\"}", "S Z\xc3\xbcrich"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        for (int validate = 0; validate < 2; validate++) {
            assert_int_equal(decode(state, cases[i].record, validate), SL_JSON_FINE);
            assert_string_equal(field(state, LEVEL), cases[i].expected);
        }
    assert_int_equal(decode(state, "{\"us\\u0065r\":{\"em\\u0061il\":\"e\"}}", true), SL_JSON_FINE);
    assert_string_equal(field(state, EMAIL), "S e");
    assert_int_equal(decode(state, "{\"level\":\"a\\u0000b\"}", true), SL_JSON_FINE);
    assert_int_equal(((struct json_fixture *)*state)->value[LEVEL].bytes, 3);
    assert_memory_equal(((struct json_fixture *)*state)->value[LEVEL].data, "a\0b", 3);
    assert_string_equal(token(state, "{\"level\":\"a\\u0000b\"}", LEVEL), "\"a\\u0000b\"");
}

static void test_the_first_of_repeated_keys_wins(void **state)
{
    assert_int_equal(decode(state, "{\"level\":\"info\",\"lev\\u0065l\":\"error\",\"service\":\"s\"}", true), SL_JSON_FINE);
    assert_string_equal(field(state, LEVEL), "S! info");
    assert_string_equal(field(state, SERVICE), "S s");
    assert_int_equal(decode(state, "{\"level\":null,\"level\":{\"a\":1},\"level\":[2]}", true), SL_JSON_FINE);
    assert_string_equal(field(state, LEVEL), "N! null");
    /* A path is met in document order, through every occurrence of its parents. */
    assert_int_equal(decode(state, "{\"user\":5,\"user\":{\"email\":\"a\"},\"user\":{\"email\":\"b\"}}", true), SL_JSON_FINE);
    assert_string_equal(field(state, EMAIL), "S! a");
    assert_string_equal(field(state, USER), "D! 5");
    assert_int_equal(decode(state, "{\"user\":{\"x\":1},\"user\":{\"email\":\"b\"}}", true), SL_JSON_FINE);
    assert_string_equal(field(state, EMAIL), "S b");
    /* The trusting walk has no reason to stop here, since other fields are missing: it sees the second one too. */
    assert_int_equal(decode(state, "{\"level\":\"info\",\"level\":\"error\"}", false), SL_JSON_FINE);
    assert_string_equal(field(state, LEVEL), "S! info");
}

static void test_paths_descend_objects_only(void **state)
{
    static const char record[] = "{\"user\":{\"x\":{\"email\":\"no\"},\"email\":\"e\"},\"user.email\":\"dotted\","
                                 "\"a-rather-long-key\":{\"another-rather-long-kez\":{\"x\":0},\"another-rather-long-key\":{\"x\":[1]}}}";
    for (int validate = 0; validate < 2; validate++) {
        assert_int_equal(decode(state, record, validate), SL_JSON_FINE);
        assert_string_equal(field(state, EMAIL), "S e");
        assert_string_equal(field(state, USER), "O {\"x\":{\"email\":\"no\"},\"email\":\"e\"}");
        assert_string_equal(field(state, DOTTED), "S dotted");
        assert_string_equal(field(state, DEEP), "L [1]");
        assert_int_equal(decode(state, "{\"user\":[{\"email\":\"e\"}],\"level\":\"x\"}", validate), SL_JSON_FINE);
        assert_string_equal(field(state, EMAIL), "ABSENT");
        assert_string_equal(field(state, USER), "L [{\"email\":\"e\"}]");
        assert_string_equal(field(state, LEVEL), "S x");
    }
}

static void test_other_values_than_objects_are_json_without_fields(void **state)
{
    static const char *const records[] = {"5", "[1]", "\"level\"", "null", "true", " -0.5e1 ", "[]", "{}", "[{\"level\":\"info\"}]"};
    for (size_t i = 0; i < sizeof(records) / sizeof(records[0]); i++)
        for (int validate = 0; validate < 2; validate++) {
            assert_int_equal(decode(state, records[i], validate), SL_JSON_FINE);
            for (int which = 0; which < FIELDS; which++)
                assert_string_equal(field(state, which), "ABSENT");
        }
}

static void test_each_refusal_has_its_reason(void **state)
{
    static const struct {
        const char *record;
        uint8_t verdict;
    } cases[] = {
        {"", SL_JSON_EMPTY}, {" \r\n\t", SL_JSON_EMPTY},
        {"hello", SL_JSON_NOT_JSON}, {"{\"level\" \"info\"}", SL_JSON_NOT_JSON}, {"{level:1}", SL_JSON_NOT_JSON},
        {"{\"level\":\"info\",}", SL_JSON_NOT_JSON}, {"[1,]", SL_JSON_NOT_JSON}, {"[1 2]", SL_JSON_NOT_JSON},
        {"{\"level\":\"info\"]", SL_JSON_NOT_JSON}, {"[tru]", SL_JSON_NOT_JSON}, {"{\"a\":nul}", SL_JSON_NOT_JSON},
        {"{'level':1}", SL_JSON_NOT_JSON}, {"\xEF\xBB\xBF{}", SL_JSON_NOT_JSON}, {"]", SL_JSON_NOT_JSON}, {",", SL_JSON_NOT_JSON},
        {"{\"level\":\"info\"", SL_JSON_TRUNCATED}, {"{\"level\":\"inf", SL_JSON_TRUNCATED}, {"{\"level\":", SL_JSON_TRUNCATED},
        {"{\"level\"", SL_JSON_TRUNCATED}, {"{", SL_JSON_TRUNCATED}, {"[[]", SL_JSON_TRUNCATED}, {"[1,", SL_JSON_TRUNCATED},
        {"{\"level\":\"\xff\"}", SL_JSON_UTF8}, {"{\"x\":\"\xed\xa0\x80\"}", SL_JSON_UTF8}, {"{\"\xc3\":1}", SL_JSON_UTF8},
        {"{} {}", SL_JSON_TRAILING}, {"{}x", SL_JSON_TRAILING}, {"1 2", SL_JSON_TRAILING}, {"{\"a\":1}\n{\"b\":2}", SL_JSON_TRAILING},
        {"{\"level\":\"\\x\"}", SL_JSON_ESCAPE}, {"{\"level\":\"\\u12g4\"}", SL_JSON_ESCAPE}, {"{\"level\":\"\\u123\"}", SL_JSON_ESCAPE},
        {"{\"level\":\"\\ud800\"}", SL_JSON_ESCAPE}, {"{\"level\":\"\\udc00\"}", SL_JSON_ESCAPE},
        {"{\"level\":\"\\ud800\\u0041\"}", SL_JSON_ESCAPE}, {"{\"\\q\":1}", SL_JSON_ESCAPE},
        {"{\"level\":\"a\tb\"}", SL_JSON_CONTROL}, {"{\"x\":\"a\nb\"}", SL_JSON_CONTROL},
        {"{\"level\":01}", SL_JSON_NUMBER}, {"{\"level\":-}", SL_JSON_NUMBER}, {"{\"level\":1.}", SL_JSON_NUMBER},
        {"{\"level\":1e}", SL_JSON_NUMBER}, {"{\"level\":1e+}", SL_JSON_NUMBER}, {"{\"level\":0x1}", SL_JSON_NUMBER},
        {"{\"level\":1.2.3}", SL_JSON_NUMBER}, {"{\"level\":1\"a\"}", SL_JSON_NUMBER}, {"{\"level\":12-3}", SL_JSON_NUMBER},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t verdict = decode(state, cases[i].record, true);
        if (verdict != cases[i].verdict)
            print_error("%s: %s\n", cases[i].record, sl_json_reasons[verdict]);
        assert_int_equal(verdict, cases[i].verdict);
        for (int which = 0; which < FIELDS; which++)
            assert_string_equal(field(state, which), "ABSENT");
        /* No field is found before any of these flaws but where `level` is sound: the trusting walk meets them too. */
        if (strstr(cases[i].record, "\"x\"") == NULL && strstr(cases[i].record, "nul") == NULL && strstr(cases[i].record, "tru") == NULL)
            assert_int_equal(decode(state, cases[i].record, false), strstr(cases[i].record, "\\q") ? SL_JSON_ESCAPE : cases[i].verdict);
    }
    for (int verdict = 0; verdict < SL_JSON_VERDICTS; verdict++)
        assert_true(strlen(sl_json_reasons[verdict]) > 8);
    assert_null(sl_json_reasons[SL_JSON_VERDICTS]);
}

static void test_bytes_zero_are_refused_inside_and_outside(void **state)
{
    assert_int_equal(json_fixture_decode(*state, "{\"a\":\"\0\"}", 9, true, 0), SL_JSON_CONTROL);
    assert_int_equal(json_fixture_decode(*state, "{\"a\":1\0}", 8, true, 0), SL_JSON_NUMBER);
    assert_int_equal(json_fixture_decode(*state, "{}\0", 3, true, 0), SL_JSON_TRAILING);
    assert_int_equal(json_fixture_decode(*state, "\0", 1, true, 0), SL_JSON_NOT_JSON);
}

static void test_trust_stops_at_the_last_field(void **state)
{
    static const char *const level[] = {"level", NULL};
    static const char *const records[] = {
        "{\"level\":\"info\",\"a\":01}", "{\"level\":\"info\",\"a\" 1}", "{\"level\":\"info\"", "{\"level\":\"info\"} x",
        "{\"a\":tru,\"b\":{\"x\" 1},\"level\":\"info\"}", "{\"a\":\"\\x\",\"level\":\"info\"}",
    };
    struct json_fixture *fixture = json_fixture_new(&(const char *const *){level}, 1);
    (void)state;
    for (size_t i = 0; i < sizeof(records) / sizeof(records[0]); i++) {
        assert_int_not_equal(json_fixture_decode(fixture, records[i], (uint32_t)strlen(records[i]), true, ' '), SL_JSON_FINE);
        assert_int_equal(json_fixture_decode(fixture, records[i], (uint32_t)strlen(records[i]), false, ' '), SL_JSON_FINE);
        assert_int_equal(fixture->type[0], SL_T_STRING);
        assert_true(sl_slice_is(fixture->value[0], "info"));
    }
    assert_int_equal(json_fixture_decode(fixture, "{\"level\":\"info\",\"level\":1}", 26, false, ' '), SL_JSON_FINE);
    assert_int_equal(fixture->repeated[0], 0);
    json_fixture_free(fixture);
}

static void test_depth_has_a_limit(void **state)
{
    static char text[2 * SL_JSON_DEPTH + 200];
    for (uint32_t depth = SL_JSON_DEPTH - 1; depth <= SL_JSON_DEPTH + 1; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        assert_int_equal(json_fixture_decode(*state, text, 2 * depth, true, ']'),
                         depth <= SL_JSON_DEPTH ? SL_JSON_FINE : SL_JSON_DEEP);
    }
    memset(text, '[', sizeof(text));
    assert_int_equal(json_fixture_decode(*state, text, sizeof(text), true, ']'), SL_JSON_DEEP);
    assert_int_equal(json_fixture_decode(*state, text, 100, true, ']'), SL_JSON_TRUNCATED);
}

static void test_a_large_record_is_decoded_whole(void **state)
{
    enum { LARGE = (1 << 20) - 200 };
    char *text = malloc(LARGE + 100);
    uint32_t bytes = (uint32_t)sprintf(text, "{\"msg\":\"");
    memset(text + bytes, 'x', LARGE);
    bytes += LARGE;
    bytes += (uint32_t)sprintf(text + bytes, "\",\"level\":\"info\"}");
    for (int validate = 0; validate < 2; validate++) {
        assert_int_equal(json_fixture_decode(*state, text, bytes, validate, '"'), SL_JSON_FINE);
        assert_string_equal(field(state, LEVEL), "S info");
    }
    free(text);
}

static void test_only_selected_rows_of_a_batch_are_touched(void **state)
{
    static struct sl_slice raw[5], value[5];
    static struct sl_span span[5];
    static uint8_t type[5], repeated[5], verdict[5];
    static const char *const records[5] = {"{\"v\":1}", "nonsense", "{\"v\":3}", "", "{\"w\":5}"};
    const uint16_t sel[] = {0, 1, 4};
    static const char *const segments[] = {"v"};
    struct sl_json_field one = {{segments, 1}, 0};
    struct sl_column column = {value, span, type, repeated};
    struct sl_json_decoder *decoder = NULL;
    struct sl_arena arena;
    char padded[5][128];
    (void)state;
    assert_int_equal(sl_json_decoder_new(&(struct sl_json_projection){&one, 1, true}, &decoder, NULL), 0);
    assert_int_equal(sl_arena_init(&arena, 4096, 4096), 0);
    for (int i = 0; i < 5; i++) {
        memset(padded[i], 0, sizeof(padded[i]));
        memcpy(padded[i], records[i], strlen(records[i]));
        raw[i] = (struct sl_slice){padded[i], (uint32_t)strlen(records[i])};
        type[i] = verdict[i] = 99;
    }
    assert_int_equal(sl_json_decode(decoder, raw, sel, 3, &column, verdict, &arena), 0);
    assert_memory_equal(verdict, ((uint8_t[]){SL_JSON_FINE, SL_JSON_NOT_JSON, 99, 99, SL_JSON_FINE}), 5);
    assert_memory_equal(type, ((uint8_t[]){SL_T_NUMBER, SL_T_ABSENT, 99, 99, SL_T_ABSENT}), 5);
    sl_arena_fini(&arena);
    sl_json_decoder_free(decoder);
}

/* Whether `_t` was found behind the last awaited field, `level`. */
static bool finds_appended(struct json_fixture *fixture, const char *record, bool validate)
{
    assert_int_equal(json_fixture_decode(fixture, record, (uint32_t)strlen(record), validate, ' '), SL_JSON_FINE);
    assert_int_equal(fixture->type[0], SL_T_STRING);
    return fixture->type[1] != SL_T_ABSENT;
}

static void test_trust_looks_for_appended_fields_where_they_are(void **state)
{
    static const char *const level[] = {"level", NULL}, *const stamp[] = {"_t", NULL}, *const *const both[] = {level, stamp};
    static const struct {
        const char *record;
        bool found;
    } cases[] = {
        {"{\"level\":\"info\",\"a\":1,\"_t\":\"8\",\"_g\":17}", true},
        {"{\"level\":\"info\",\"a\":1,\"_t\":\"8\" , \"_g\" : 17 } \r", true},
        {"{\"_t\":\"8\",\"level\":\"info\",\"a\":1}", true}, /* met on the way */
        {"{\"level\":\"info\",\"_g\":\"x\"}", false},
        {"{\"level\":\"info\",\"_t\":\"8\",\"a\":1}", false}, /* moved */
        {"{\"level\":\"info\",\"_t\":\"8\",\"_g\":[1]}", false},
        {"{\"level\":\"info\",\"_t\":\"8\",\"a\":{\"_g\":1}}", false},
        {"{\"level\":\"info\"}", false},
    };
    struct json_fixture *fixture = json_fixture_new(both, 2);

    (void)state;
    for (int validate = 0; validate < 2; validate++)
        sl_json_decoder_appended(fixture->decoder[validate], "_g", &(uint32_t){1}, 1);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(finds_appended(fixture, cases[i].record, false), cases[i].found);
        assert_int_equal(finds_appended(fixture, cases[i].record, true), strstr(cases[i].record, "_t") != NULL);
    }
    json_fixture_free(fixture);
}

static void test_an_arena_at_its_end_is_said(void **state)
{
    static const char *const segments[] = {"v"};
    static char text[5000] = "{\"v\":\"\\n";
    struct sl_json_field one = {{segments, 1}, 0};
    struct json_fixture *fixture = *state;
    struct sl_json_decoder *decoder = NULL;
    struct sl_arena arena;
    uint8_t verdict;
    for (int validate = 0; validate < 2; validate++) {
        memset(text + 8, 'x', 4000);
        strcpy(text + 4008, "\"}");
        assert_int_equal(sl_json_decoder_new(&(struct sl_json_projection){&one, 1, validate}, &decoder, NULL), 0);
        assert_int_equal(sl_arena_init(&arena, 1024, 1024), 0);
        assert_int_equal(sl_json_decode(decoder, &(struct sl_slice){text, 4010}, &(uint16_t){0}, 1, fixture->column, &verdict, &arena),
                         -SL_E_LIMIT);
        sl_arena_fini(&arena);
        sl_json_decoder_free(decoder);
    }
}

static void test_wrong_projections_are_refused(void **state)
{
    static const char *const level[] = {"level"};
    struct sl_json_field fields[] = {{{level, 1}, 0}, {{level, 1}, 1}};
    struct sl_json_decoder *decoder = NULL;
    struct sl_err err = {0};
    (void)state;
    assert_int_equal(sl_json_decoder_new(&(struct sl_json_projection){fields, 2, true}, &decoder, &err), -SL_E_CONFIG);
    assert_non_null(strstr(err.text, "level"));
    fields[1].path.segments_count = 0;
    assert_int_equal(sl_json_decoder_new(&(struct sl_json_projection){fields, 2, true}, &decoder, &err), -SL_E_CONFIG);
    assert_null(decoder);
    assert_null(sl_json_decoder_free(NULL));
}

/* Keys of every length up to 100, several of each, named in no order of length. */
static void test_keys_of_all_lengths_are_told_apart(void **state)
{
    enum { KEYS = 300 };
    static char key[KEYS][128], text[KEYS * 140];
    static const char *segment[KEYS];
    static struct sl_json_field fields[KEYS];
    static struct sl_column column[KEYS];
    static struct sl_slice value[KEYS];
    static struct sl_span span[KEYS];
    static uint8_t type[KEYS], repeated[KEYS];
    struct sl_json_decoder *decoder = NULL;
    struct json_fixture *fixture = *state;
    uint8_t verdict = 99;
    uint32_t bytes = 0;
    for (uint32_t i = 0; i < KEYS; i++) {
        uint32_t length = i * 37 % 100 + 1;
        memset(key[i], 'k', length);
        key[i][length - 1] = (char)('a' + i / 100); /* keys of one length differ in their last byte only */
        segment[i] = key[i];
        fields[i] = (struct sl_json_field){{&segment[i], 1}, i};
        column[i] = (struct sl_column){&value[i], &span[i], &type[i], &repeated[i]};
    }
    for (uint32_t i = 0; i < KEYS; i++)
        bytes += (uint32_t)sprintf(text + bytes, "%s\"%sx\":0,\"%s\":%u", i == 0 ? "{" : ",", key[i], key[i], i);
    bytes += (uint32_t)sprintf(text + bytes, "}");
    assert_int_equal(sl_json_decoder_new(&(struct sl_json_projection){fields, KEYS, true}, &decoder, NULL), 0);
    assert_int_equal(sl_json_decode(decoder, &(struct sl_slice){text, bytes}, &(uint16_t){0}, 1, column, &verdict, &fixture->arena), 0);
    assert_int_equal(verdict, SL_JSON_FINE);
    for (uint32_t i = 0; i < KEYS; i++) {
        assert_int_equal(type[i], SL_T_NUMBER);
        assert_int_equal(strtoul(value[i].data, NULL, 10), i);
        assert_int_equal(repeated[i], 0);
    }
    sl_json_decoder_free(decoder);
}

static void test_no_fields_still_validate(void **state)
{
    struct json_fixture *fixture = json_fixture_new(NULL, 0);
    (void)state;
    assert_int_equal(json_fixture_decode(fixture, "{\"a\":1}", 7, true, 0), SL_JSON_FINE);
    assert_int_equal(json_fixture_decode(fixture, "{\"a\":1", 6, true, 0), SL_JSON_TRUNCATED);
    assert_int_equal(json_fixture_decode(fixture, "{\"a\":1", 6, false, 0), SL_JSON_FINE);
    assert_int_equal(json_fixture_decode(fixture, "", 0, false, 0), SL_JSON_EMPTY);
    json_fixture_free(fixture);
}

/* What escape writes, decode reads back, whatever the bytes were. */
static void test_escaped_text_comes_back(void **state)
{
    struct json_fixture *fixture = *state;
    char text[128], record[1024];
    for (unsigned c = 0; c < 256; c++) {
        struct sl_slice quoted;
        sl_arena_reset(&fixture->arena);
        text[0] = 'a', text[1] = (char)c, text[2] = 'b';
        quoted = sl_json_escape(&fixture->arena, (struct sl_slice){text, 3});
        assert_non_null(quoted.data);
        assert_int_equal(snprintf(record, sizeof(record), "{\"level\":%.*s}", (int)quoted.bytes, quoted.data), quoted.bytes + 10);
        assert_int_equal(decode(state, record, true), SL_JSON_FINE);
        assert_int_equal(fixture->value[LEVEL].bytes, c < 0x80 ? 3 : 5);
        if (c < 0x80)
            assert_memory_equal(fixture->value[LEVEL].data, text, 3);
        else
            assert_memory_equal(fixture->value[LEVEL].data, "a\xEF\xBF\xBD" "b", 5);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_fields_come_in_any_order_and_with_blanks, setup, teardown),
        cmocka_unit_test_setup_teardown(test_each_type_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_nested_or_quoted_field_does_not_fool_it, setup, teardown),
        cmocka_unit_test_setup_teardown(test_escapes_are_resolved_in_keys_and_values, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_first_of_repeated_keys_wins, setup, teardown),
        cmocka_unit_test_setup_teardown(test_paths_descend_objects_only, setup, teardown),
        cmocka_unit_test_setup_teardown(test_other_values_than_objects_are_json_without_fields, setup, teardown),
        cmocka_unit_test_setup_teardown(test_each_refusal_has_its_reason, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bytes_zero_are_refused_inside_and_outside, setup, teardown),
        cmocka_unit_test(test_trust_stops_at_the_last_field),
        cmocka_unit_test(test_trust_looks_for_appended_fields_where_they_are),
        cmocka_unit_test_setup_teardown(test_depth_has_a_limit, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_large_record_is_decoded_whole, setup, teardown),
        cmocka_unit_test(test_only_selected_rows_of_a_batch_are_touched),
        cmocka_unit_test_setup_teardown(test_an_arena_at_its_end_is_said, setup, teardown),
        cmocka_unit_test(test_wrong_projections_are_refused),
        cmocka_unit_test_setup_teardown(test_keys_of_all_lengths_are_told_apart, setup, teardown),
        cmocka_unit_test(test_no_fields_still_validate),
        cmocka_unit_test_setup_teardown(test_escaped_text_comes_back, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
