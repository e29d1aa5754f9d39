/* test_redact_stage.c: what must not leave does not, in whatever it is wrapped; and what is left is JSON.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "operators/stages/redact/detect.h"
#include "tests/support/stage_json.h"

static struct stage_json json;

static int setup(void **state)
{
    (void)state;
    stage_json_init(&json);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    stage_json_fini(&json);
    return 0;
}

static const char *body(uint16_t row)
{
    static char text[4][4096];
    static int next;
    struct sl_slice slice = sl_view_text(&json.bench.view, row);
    char *to = text[next++ % 4];

    (void)snprintf(to, sizeof(text[0]), "%.*s", (int)slice.bytes, slice.data);
    return to;
}

struct change {
    const char *from, *to;
};

static void changes(const char *settings, const struct change *rows, uint32_t count)
{
    const char *texts[64];

    stage_json_open(&json, &sl_op_redact, settings);
    for (uint32_t i = 0; i < count; i++)
        texts[i] = rows[i].from;
    stage_json_batch(&json, texts, count);
    stage_json_process(&json);
    assert_int_equal(json.bench.view.sel_count, count);
    for (uint32_t i = 0; i < count; i++)
        assert_string_equal(body((uint16_t)i), rows[i].to);
}

#define CHANGES(settings, rows) changes(settings, rows, sizeof(rows) / sizeof(rows[0]))

static void test_fields_are_masked_in_every_occurrence(void **state)
{
    static const struct change rows[] = {
        {"{\"user\":{\"email\":\"a@b.c\",\"id\":1}}", "{\"user\":{\"email\":\"***\",\"id\":1}}"},
        {"{\"user\":{\"email\":\"x\",\"email\":7},\"user\":{\"email\":{\"deep\":[1]}},\"user\":null}",
         "{\"user\":{\"email\":\"***\",\"email\":\"***\"},\"user\":{\"email\":\"***\"},\"user\":null}"},
        {"{\"\\u0075ser\":{\"em\\u0061il\":true}}", "{\"\\u0075ser\":{\"em\\u0061il\":\"***\"}}"},
        {"{\"user\":[{\"email\":\"x\"},[{\"email\":1.5}]],\"pw\":[]}", "{\"user\":[{\"email\":\"***\"},[{\"email\":\"***\"}]],\"pw\":\"***\"}"},
        {"{\"email\":\"mine\",\"pw\":null,\"a\":{\"pw\":1}}", "{\"email\":\"mine\",\"pw\":null,\"a\":{\"pw\":1}}"},
        {"[{\"pw\":1}]", "[{\"pw\":\"***\"}]"},
        {"\"pw\"", "\"pw\""},
        {"{ \"pw\" : \"***\" }", "{ \"pw\" : \"***\" }"},
    };
    (void)state;
    CHANGES("{ type: redact, inputs: [x], fields: [user.email, pw] }", rows);
}

#define VISA "4111111111111111"

static void test_detectors_find_it_wherever_it_stands(void **state)
{
    static const struct change rows[] = {
        {"{\"m\":\"mail bob.o'neil+x@ex-ample.co.uk, now\"}", "{\"m\":\"mail ***, now\"}"},
        {"{\"m\":\"user\\u0040example.com\"}", "{\"m\":\"***\"}"},
        {"{\"m\":\"a@b\",\"n\":\"@x.com\",\"o\":\"x@.com\"}", "{\"m\":\"a@b\",\"n\":\"@x.com\",\"o\":\"x@.com\"}"},
        {"{\"bob@x.com\":{\"c\":[\"ann@y.de\"]}}", "{\"***\":{\"c\":[\"***\"]}}"},
        {"{\"n\":" VISA ",\"f\":" VISA ".0,\"e\":4.111111111111111e15,\"t\":1795322096000}", "{\"n\":\"***\",\"f\":\"***\",\"e\":\"***\",\"t\":1795322096000}"},
        {"{\"m\":\"card 4111 1111-1111.1111 exp 12\"}", "{\"m\":\"card *** exp 12\"}"},
        {"{\"m\":\"4111111111111112 and x" VISA "y\"}", "{\"m\":\"4111111111111112 and x***y\"}"},
        {"{\"b\":\"{\\\"user\\\":{\\\"email\\\":\\\"u\\\\u0040example.com\\\",\\\"card\\\":" VISA "}}\"}",
         "{\"b\":\"{\\\"user\\\":{\\\"email\\\":\\\"***\\\",\\\"card\\\":***}}\"}"},
        {"{\"b\":\"\\\"{\\\\\\\"e\\\\\\\":\\\\\\\"a@b.cc\\\\\\\"}\\\"\"}", "{\"b\":\"\\\"{\\\\\\\"e\\\\\\\":\\\\\\\"***\\\\\\\"}\\\"\"}"},
        {"{\"url\":\"/login?user=bob%40example.com&x=1\"}", "{\"url\":\"/login?user=***&x=1\"}"},
        {"{\"h\":\"Authorization: Bearer abc.DEF-123456\"}", "{\"h\":\"Authorization: Bearer ***\"}"},
        {"{\"q\":\"a=1&api_key=s3cr3t-value&b=2\"}", "{\"q\":\"a=1&api_key=***&b=2\"}"},
        {"{\"k\":\"AKIAIOSFODNN7EXAMPLE ghp_abcdefghijklmnopqrstuvwxyz0123456789\"}", "{\"k\":\"*** ***\"}"},
        {"{\"j\":\"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc_def\"}", "{\"j\":\"***\"}"},
        {"{\"i\":\"to DE89 3704 0044 0532 0130 00.\"}", "{\"i\":\"to ***.\"}"},
        {"{\"l\":\"first\\\\nbob@example.com\\\\nlast\"}", "{\"l\":\"first***\\\\nlast\"}"},
        {"{\"fine\":\"C:\\\\Users\\\\x 100% 2026-11-22T05:14:56Z 10.0.0.1\",\"n\":-12.5,\"b\":true,\"z\":null}",
         "{\"fine\":\"C:\\\\Users\\\\x 100% 2026-11-22T05:14:56Z 10.0.0.1\",\"n\":-12.5,\"b\":true,\"z\":null}"},
    };
    (void)state;
    CHANGES("{ type: redact, inputs: [x], detect: [card, email, token, iban] }", rows);
    assert_int_equal(json.bench.counters[0], sizeof(rows) / sizeof(rows[0]) - 2);
}

static void test_patterns_and_partial_masks(void **state)
{
    static const struct change rows[] = {
        {"{\"a\":\"order ORD-12345678 of ORD-1\",\"ORD-22222222\":1}", "{\"a\":\"order ***5678 of ***\",\"***2222\":1}"},
        {"{\"n\":123456789}", "{\"n\":\"***6789\"}"},
        {"{\"p\":\"secret-value\",\"q\":\"short\"}", "{\"p\":\"***alue\",\"q\":\"short\"}"},
        {"{\"p\":\"short\"}", "{\"p\":\"***\"}"},
        {"{\"p\":\"***alue\"}", "{\"p\":\"***alue\"}"},
        {"{\"p\":\"\xc3\xa4\xc3\xb6\xc3\xbc\xc3\x9f\xc3\xa4\xc3\xb6\xc3\xbc\xc3\x9f\"}", "{\"p\":\"***\xc3\xa4\xc3\xb6\xc3\xbc\xc3\x9f\"}"},
    };
    (void)state;
    CHANGES("{ type: redact, inputs: [x], fields: [p], patterns: [\"ORD-[0-9]+\", \"\\\\b[0-9]{9}\\\\b\"], with: partial }", rows);
}

static void test_a_keyed_hash_keeps_equal_values_equal(void **state)
{
    static const char *const texts[] = {"{\"u\":\"bob\"}", "{\"u\":\"\\u0062ob\",\"x\":1}", "{\"u\":\"eve\"}"};
    char first[128];
    (void)state;
    (void)setenv("SL_TEST_KEY", "0123456789abcdef0123456789abcdef", 1);
    stage_json_open(&json, &sl_op_redact, "{ type: redact, inputs: [x], fields: [u], with: hash, key: { secret: { env: SL_TEST_KEY } } }");
    stage_json_batch(&json, texts, 3);
    stage_json_process(&json);
    /* HMAC-SHA-256 of "bob" with that key, as openssl dgst -hmac says it */
    (void)snprintf(first, sizeof(first), "%s", body(0));
    assert_string_equal(first, "{\"u\":\"hash:643cdfc83364b72c5248ec2d45e7cd58" "\"}");
    assert_memory_equal(body(1), first, 44);
    assert_memory_not_equal(body(2), first, 44);
    stage_json_process(&json); /* masked twice is masked once */
    assert_string_equal(body(0), first);
}

static void test_no_json_is_set_aside(void **state)
{
    static const char *const texts[] = {"{\"a\":\"x@y.zz\"", "not json", "{\"a\":\"\\q\"}", "{}"};
    (void)state;
    stage_json_open(&json, &sl_op_redact, "{ type: redact, inputs: [x], detect: [email] }");
    bench_batch(&json.bench, texts, 4); /* nobody parsed it */
    stage_json_process(&json);
    assert_int_equal(json.bench.view.sel_count, 1);
    for (int i = 0; i < 3; i++)
        assert_int_equal(json.bench.view.fate[i], SL_DEAD);
    assert_int_equal(json.bench.counters[2], 3);
}

static void test_a_record_for_a_letter(void **state)
{
    struct sl_slice text = sl_arena_copy(&json.bench.arena, sl_slice_of("{\"pw\":\"x\",\"m\":\"a@b.cc\"}")), shown;
    (void)state;
    stage_json_open(&json, &sl_op_redact, "{ type: redact, inputs: [x], fields: [pw], detect: [email] }");
    assert_int_equal(sl_op_redact.mask(json.stage, true, text, &json.bench.arena, &shown), 1);
    assert_true(sl_slice_is(shown, "{\"pw\":\"***\",\"m\":\"***\"}"));
    text = sl_arena_copy(&json.bench.arena, sl_slice_of("{}"));
    assert_int_equal(sl_op_redact.mask(json.stage, true, text, &json.bench.arena, &shown), 1);
    assert_ptr_equal(shown.data, text.data);
    text = sl_arena_copy(&json.bench.arena, sl_slice_of("{\"pw\":\"x\""));
    assert_int_equal(sl_op_redact.mask(json.stage, true, text, &json.bench.arena, &shown), 0);
    assert_int_equal(sl_op_redact.mask(json.stage, false, sl_slice_of("of a@b.cc"), &json.bench.arena, &shown), 1);
    assert_true(sl_slice_is(shown, "of ***"));
}

static void test_a_card_in_a_long_run_of_groups(void **state)
{
    struct sl_ranges ranges = {NULL, 0, 0};
    char text[1024];
    (void)state;
    for (int before = 0; before < 130; before++) {
        size_t at = 0;
        for (int i = 0; i < before; i++)
            at += (size_t)sprintf(text + at, "%d ", i % 10 == 4 ? 1 : i % 10);
        (void)sprintf(text + at, "4111 1111 1111 1111");
        ranges.count = 0;
        assert_int_equal(sl_detect_cards(sl_slice_of(text), &ranges), 0);
        {
            bool whole = false;
            for (uint32_t i = 0; i < ranges.count; i++)
                whole = whole || (ranges.items[i].at <= at && ranges.items[i].at + ranges.items[i].bytes == strlen(text));
            assert_true(whole);
        }
    }
    free(ranges.items);
}

static void test_tokens_and_what_only_looks_like_one(void **state)
{
    static const struct {
        const char *text, *found; /* NULL: nothing */
    } cases[] = {
        {"Authorization: Bearer abcdefg1", "abcdefg1"},
        {"basic dXNlcjpwYXNz==", "dXNlcjpwYXNz=="},
        {"bearer of good news", NULL},
        {"the basic question, answered", NULL},
        {"x eyJhbGciOi.eyJzdWIiOi.c2ln y", "eyJhbGciOi.eyJzdWIiOi.c2ln"},
        {"eyJust a word", NULL},
        {"/AKIAIOSFODNN7EXAMPLE/", "AKIAIOSFODNN7EXAMPLE"},
        {"XAKIAIOSFODNN7EXAMPLE", NULL},
        {"AKIAIOSFODNN7EXAMPLEX", NULL},
        {"url/ghp_abcdefghijklmnopqrstuvwx", "ghp_abcdefghijklmnopqrstuvwx"},
        {"github_pat_11ABCDEFG0abcdefghij_k", "github_pat_11ABCDEFG0abcdefghij_k"},
        {"glpat-abcdefghij_KLMNOP", "glpat-abcdefghij_KLMNOP"},
        {"xoxb-1234567890-abc", "xoxb-1234567890-abc"},
        {"sk_live_abcdefghij0", "sk_live_abcdefghij0"},
        {"risk_live_abcdefghij0", NULL},
        {"AIzaSyA-abcdefghijklmnopqrstuvwxyz01234", "AIzaSyA-abcdefghijklmnopqrstuvwxyz01234"},
        {"password=hunter2", "hunter2"},
        {"\"Password\": \"hunter2\"", "hunter2"},
        {"db_pwd : hunter2;", "hunter2"},
        {"AWS_SECRET_ACCESS_KEY=wJalr/XUtn+FEMI", "wJalr/XUtn+FEMI"},
        {"token=abc", NULL},
        {"the token is gone", NULL},
        {"keyboard=qwertz", NULL},
        {"-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY----- x", "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----"},
        {"a -----BEGIN PRIVATE KEY-----\nMIIE", "-----BEGIN PRIVATE KEY-----\nMIIE"},
        {"-----BEGIN CERTIFICATE-----", NULL},
    };
    struct sl_ranges ranges = {NULL, 0, 0};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sl_slice text = sl_slice_of(cases[i].text);
        ranges.count = 0;
        assert_int_equal(sl_detect_tokens(text, &ranges), 0);
        if (ranges.count != (cases[i].found != NULL))
            fail_msg("%s: %u found", cases[i].text, ranges.count);
        if (cases[i].found != NULL && !sl_slice_is((struct sl_slice){text.data + ranges.items[0].at, ranges.items[0].bytes}, cases[i].found))
            fail_msg("%s: %.*s", cases[i].text, (int)ranges.items[0].bytes, text.data + ranges.items[0].at);
    }
    free(ranges.items);
}

/* ---- property: generated records, a needle hidden in them ---- */

static uint64_t seed = 20261122;

static uint32_t chance(uint32_t below)
{
    seed = seed * 6364136223846793005ull + 1442695040888963407ull;
    return (uint32_t)(seed >> 33) % below;
}

/* A JSON string of `text`, each character escaped in one of the ways there are. */
static size_t spell(char *to, const char *text)
{
    size_t at = 0;

    to[at++] = '"';
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\' || chance(6) == 0)
            at += (size_t)sprintf(to + at, chance(2) == 0 ? "\\u%04x" : "\\u%04X", (unsigned char)*text);
        else
            to[at++] = *text;
    }
    to[at++] = '"';
    to[at] = '\0';
    return at;
}

static size_t value(char *to, int depth, const char *needle);

static size_t object(char *to, int depth, const char *needle)
{
    static const char *const keys[] = {"user", "email", "password", "a", "msg", "user"};
    size_t at = 0;
    uint32_t count = chance(5);

    to[at++] = '{';
    for (uint32_t i = 0; i < count; i++) {
        const char *key = keys[chance(6)];
        bool secret = strcmp(key, "password") == 0;
        at += (size_t)sprintf(to + at, i == 0 ? "" : chance(2) == 0 ? "," : " , ");
        at += spell(to + at, key);
        at += (size_t)sprintf(to + at, chance(2) == 0 ? ":" : " : ");
        if (secret && depth == 0)
            at += chance(2) == 0 ? spell(to + at, "S3CRET") : (size_t)sprintf(to + at, "[{\"x\":\"S3CRET\"}]");
        else
            at += value(to + at, depth + 1, needle);
    }
    to[at++] = '}';
    to[at] = '\0';
    return at;
}

static size_t value(char *to, int depth, const char *needle)
{
    char inner[8192], outer[32768];
    size_t at;

    switch (chance(depth > 4 ? 4 : 8)) {
    case 0:
        return (size_t)sprintf(to, "%u", chance(1000));
    case 1:
        return (size_t)sprintf(to, "null");
    case 2:
        (void)sprintf(inner, "%s%s%s", chance(2) == 0 ? "by " : "", needle, chance(2) == 0 ? ", then" : "");
        return spell(to, inner);
    case 3:
        return spell(to, "nothing to see");
    case 4:
        if (depth > 2)
            return spell(to, needle);
        (void)object(inner, depth + 2, needle);
        if (strlen(inner) > 600)
            return spell(to, needle);
        (void)spell(outer, inner); /* a string that holds JSON */
        return (size_t)sprintf(to, "%s", outer);
    case 5:
        at = (size_t)sprintf(to, "[");
        at += value(to + at, depth + 1, needle);
        return at + (size_t)sprintf(to + at, "]");
    default:
        return object(to, depth + 1, needle);
    }
}

/* The text with all escapes of all layers resolved holds it. */
static bool holds(const char *text, const char *needle)
{
    char flat[65536];
    size_t at = 0;

    for (int layer = 0; layer < 6; layer++) {
        const char *from = layer == 0 ? text : flat;
        size_t to = 0;
        if (strstr(from, needle) != NULL)
            return true;
        for (at = 0; from[at] != '\0';) {
            unsigned unit;
            if (from[at] == '\\' && from[at + 1] == 'u' && sscanf(from + at + 2, "%4x", &unit) == 1) {
                flat[to++] = (char)unit;
                at += 6;
            } else if (from[at] == '\\' && from[at + 1] != '\0') {
                flat[to++] = from[at + 1];
                at += 2;
            } else {
                flat[to++] = from[at++];
            }
        }
        flat[to] = '\0';
    }
    return false;
}

static void test_no_needle_leaves_whatever_it_is_wrapped_in(void **state)
{
    static char record[1 << 20];
    const char *const needles[] = {"bob@example.com", "4111111111111111", "4111 1111 1111 1111"};
    const char *texts[1] = {record};
    uint32_t masked = 0;
    (void)state;
    stage_json_open(&json, &sl_op_redact, "{ type: redact, inputs: [x], fields: [password], detect: [card, email] }");
    for (int i = 0; i < 3000; i++) {
        const char *needle = needles[i % 3];
        (void)object(record, 0, needle);
        stage_json_batch(&json, texts, 1);
        assert_int_equal(json.bench.view.sel_count, 1);
        stage_json_process(&json);
        assert_int_equal(json.bench.view.sel_count, 1);
        {
            struct sl_slice out = sl_view_text(&json.bench.view, 0);
            char *copy = strndup(out.data, out.bytes);
            const char *again[1] = {copy};
            if (holds(copy, needle) || holds(copy, "S3CRET"))
                fail_msg("%s\nbecame\n%s", record, copy);
            masked += strstr(copy, "***") != NULL;
            stage_json_batch(&json, again, 1); /* and is JSON */
            assert_int_equal(json.bench.view.sel_count, 1);
            free(copy);
        }
    }
    assert_true(masked > 1000);
}

static void test_settings_that_make_no_sense_are_refused(void **state)
{
    static const struct {
        const char *settings, *says;
    } wrong[] = {
        {"{ type: redact, inputs: [x] }", "fields: there is nothing to mask"},
        {"{ type: redact, inputs: [x], fields: [a, a.b] }", "fields: a and a.b are one field"},
        {"{ type: redact, inputs: [x], fields: [\"@key\"] }", "fields: @key is known before parsing"},
        {"{ type: redact, inputs: [x], detect: [cards] }", "detect: there is no detector \"cards\"; write card, email, token or iban"},
        {"{ type: redact, inputs: [x], patterns: [\"a(\"] }", "patterns: the pattern \"a(\" fails at character 3"},
        {"{ type: redact, inputs: [x], patterns: [\"[0-9]*\"] }", "matches where nothing stands"},
        {"{ type: redact, inputs: [x], fields: [a], with: hash }", "key: a hash without a key"},
        {"{ type: redact, inputs: [x], fields: [a], key: { secret: { env: K } } }", "key: only with: hash has a use for it"},
        {"{ type: redact, inputs: [x], fields: [a], with: hash, key: topsecretkey0123456 }", "key: it stands in the file for all to read"},
        {"{ type: redact, inputs: [x], fields: [a], with: '\"' }", "with: a mask stands inside other texts"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_true(config_check(&sl_op_redact.head, wrong[i].settings, &json.err) < 0);
        if (strstr(json.err.text, wrong[i].says) == NULL || strstr(json.err.text, "topsecretkey") != NULL)
            fail_msg("%s: %s", wrong[i].settings, json.err.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_fields_are_masked_in_every_occurrence, setup, teardown),
        cmocka_unit_test_setup_teardown(test_detectors_find_it_wherever_it_stands, setup, teardown),
        cmocka_unit_test_setup_teardown(test_patterns_and_partial_masks, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_keyed_hash_keeps_equal_values_equal, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_json_is_set_aside, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_record_for_a_letter, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_card_in_a_long_run_of_groups, setup, teardown),
        cmocka_unit_test_setup_teardown(test_tokens_and_what_only_looks_like_one, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_needle_leaves_whatever_it_is_wrapped_in, setup, teardown),
        cmocka_unit_test_setup_teardown(test_settings_that_make_no_sense_are_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
