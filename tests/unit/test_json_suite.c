/* test_json_suite.c: the verdict of validation: cases in the manner of the public suites (y: every parser must accept,
 * n: must refuse, i: free, and what we chose), truncation at every byte, and generated and damaged documents against the
 * second opinion of json_fixture.h. Each document ends where readable memory ends.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/json/json_index.h"
#include "tests/unit/json_fixture.h"

struct suite_case {
    const char *text;
    uint32_t bytes;
};
#define CASE(text) {text, sizeof(text) - 1}

static const struct suite_case must_accept[] = {
    /* arrays */
    CASE("[]"), CASE("[ ]"), CASE("[[]   ]"), CASE("[\"\"]"), CASE("[false]"), CASE("[null, 1, \"1\", {}]"), CASE("[null]"),
    CASE("[1\n]"), CASE(" [1]"), CASE("[1,null,null,null,2]"), CASE("[2] "), CASE("[[[[[[]]]]]]"), CASE("[[],[],{}]"),
    /* numbers */
    CASE("[123e65]"), CASE("[0e+1]"), CASE("[0e1]"), CASE("[ 4]"), CASE("[-0.000000000000000000000000000000000000001]"),
    CASE("[20e1]"), CASE("[-0]"), CASE("[-123]"), CASE("[-1]"), CASE("[1E22]"), CASE("[1E-2]"), CASE("[1E+2]"), CASE("[123e45]"),
    CASE("[123.456e78]"), CASE("[1e-2]"), CASE("[1e+2]"), CASE("[123]"), CASE("[123.456789]"), CASE("[0.0]"), CASE("[-0.0e-0]"), CASE("[0]"),
    CASE("[10]"), CASE("[1.5e00]"), CASE("[0.1e001]"),
    /* objects */
    CASE("{\"a\":\"b\"}"), CASE("{\"a\":\"b\",\"a\":\"c\"}"), CASE("{\"a\":\"b\",\"a\":\"b\"}"), CASE("{}"), CASE("{\"\":0}"),
    CASE("{\"a\\u0000b\":1}"), CASE("{ \"min\": -1.0e+28, \"max\": 1.0e+28 }"), CASE("{\"x\":[{\"id\": \"xx\"}], \"id\": \"yy\"}"),
    CASE("{\"a\":[]}"), CASE("{\"t\":\"\\u041f\\u043e\\u043b\" }"), CASE("{\n\"a\": \"b\"\n}"), CASE("{\"a\" :1}"), CASE("{\"a\":{}}"),
    /* strings */
    CASE("[\"\\u0060\\u012a\\u12AB\"]"), CASE("[\"\\ud801\\udc37\"]"), CASE("[\"\\ud83d\\ude39\\ud83d\\udc8d\"]"),
    CASE("[\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"]"), CASE("[\"\\\\u0000\"]"), CASE("[\"\\\"\"]"), CASE("[\"a/*b*/c/*d//e\"]"), CASE("[\"\\\\a\"]"),
    CASE("[\"\\\\n\"]"), CASE("[\"\\u0012\"]"), CASE("[\"\\uFFFF\"]"), CASE("[\"asd\"]"), CASE("[ \"asd\"]"), CASE("[\"\\uDBFF\\uDFFF\"]"),
    CASE("[\"new\xC2\xA0line\"]"), CASE("[\"\xF4\x8F\xBF\xBF\"]"), CASE("[\"\xEF\xBF\xBF\"]"), CASE("[\"\\u0000\"]"), CASE("[\"\\u002c\"]"),
    CASE("[\"\xCF\x80\"]"), CASE("[\"\xF0\x9B\xBF\xBF\"]"), CASE("\" \""), CASE("[\"\\uD834\\uDd1e\"]"), CASE("[\"\\u0821\"]"), CASE("[\"\\u0123\"]"),
    CASE("[\"\xE2\x80\xA8\"]"), CASE("[\"\xE2\x80\xA9\"]"), CASE("[\"\\u0061\\u30af\\u30EA\"]"), CASE("[\"new\\u000Aline\"]"), CASE("[\"\x7f\"]"),
    CASE("[\"\\uA66D\"]"), CASE("[\"\\u005C\"]"), CASE("[\"\xE2\x8D\x82\xE3\x88\xB4\"]"), CASE("[\"\\u200B\"]"), CASE("[\"\\uFDD0\"]"), CASE("[\"\\u0022\"]"),
    CASE("[\"a\x7f" "a\"]"), CASE("[\"\\\\\\\\\"]"), CASE("[\"\\\\\\\"\"]"), CASE("[\"]\"]"), CASE("[\",\"]"), CASE("[\"{\",\"}\",\":\"]"),
    /* the whole */
    CASE("false"), CASE("42"), CASE("-0.1"), CASE("null"), CASE("\"asd\""), CASE("true"), CASE("\"\""), CASE("[\"a\"]\n"), CASE("[true]"),
    CASE(" [] "), CASE("\r\n\t [\t\r\n] \n"), CASE("{\"a\":null}\r"),
};

static const struct suite_case must_refuse[] = {
    /* arrays */
    CASE("[1 true]"), CASE("[a\xe5]"), CASE("[\"\": 1]"), CASE("[\"\"],"), CASE("[,1]"), CASE("[1,,2]"), CASE("[\"x\",,]"), CASE("[\"x\"]]"),
    CASE("[\"\",]"), CASE("[\"x\""), CASE("[x"), CASE("[3[4]]"), CASE("[\xff]"), CASE("[1:2]"), CASE("[,]"), CASE("[-]"), CASE("[   , \"\"]"),
    CASE("[\"a\",\n4\n,1,"), CASE("[1,]"), CASE("[\"\x0b" "a\"\\f]"), CASE("[*]"), CASE("[\"\""), CASE("[1,"), CASE("[1,\n1\n,1"), CASE("[{}"),
    CASE("["), CASE("[[]"), CASE("[]]"), CASE("]["), CASE("[)"), CASE("[1}"), CASE("[{]}"), CASE("[\x0c]"), CASE("[\x1a" "1]"), CASE("[1\x0c" "2]"),
    /* words */
    CASE("[fals]"), CASE("[nul]"), CASE("[tru]"), CASE("[falsee]"), CASE("[nulll]"), CASE("[truee]"), CASE("[True]"), CASE("[NULL]"), CASE("[nan]"),
    CASE("[NaN]"), CASE("[Infinity]"), CASE("[-Infinity]"), CASE("[+Inf]"), CASE("[undefined]"), CASE("[true\"\"]"), CASE("[t]"), CASE("[true\\]"),
    CASE("[tr\x00" "e]"), CASE("[\xEF\xBC\x91]"),
    /* numbers */
    CASE("[++1234]"), CASE("[+1]"), CASE("[-01]"), CASE("[-1.0.]"), CASE("[-2.]"), CASE("[-NaN]"), CASE("[.-1]"), CASE("[.2e-3]"), CASE("[0.1.2]"),
    CASE("[0.3e+]"), CASE("[0.3e]"), CASE("[0.e1]"), CASE("[0E+]"), CASE("[0E]"), CASE("[0e+]"), CASE("[0e]"), CASE("[1.0e+]"), CASE("[1.0e-]"),
    CASE("[1.0e]"), CASE("[1 000.0]"), CASE("[1eE2]"), CASE("[2.e+3]"), CASE("[2.e-3]"), CASE("[2.e3]"), CASE("[9.e+]"), CASE("[1+2]"), CASE("[0x1]"),
    CASE("[0x42]"), CASE("[0e+-1]"), CASE("[-foo]"), CASE("[- 1]"), CASE("[-012]"), CASE("[-.123]"), CASE("[-1x]"), CASE("[1ea]"), CASE("[1e\xe5]"),
    CASE("[1.]"), CASE("[.123]"), CASE("[1.2a-3]"), CASE("[1.8011670033376514H-308]"), CASE("[012]"), CASE("[00]"), CASE("[-00]"), CASE("[1\"\"]"),
    CASE("[1\\]"), CASE("[1,2\x00]"), CASE("[1e1.5]"), CASE("[1-]"), CASE("[--1]"), CASE("[1'000]"),
    /* objects */
    CASE("[\"a\", \"b\":1]"), CASE("{[: \"x\"}"), CASE("{\"x\", null}"), CASE("{\"x\"::\"b\"}"), CASE("{\"a\":\"a\" 123}"), CASE("{key: 'value'}"),
    CASE("{\"\xb9\":\"0\",}"), CASE("{\"a\" b}"), CASE("{:\"b\"}"), CASE("{\"a\" \"b\"}"), CASE("{\"a\":"), CASE("{\"a\""), CASE("{1:1}"),
    CASE("{9999E9999:1}"), CASE("{null:null,null:null}"), CASE("{\"id\":0,,,,,}"), CASE("{'a':0}"), CASE("{\"id\":0,}"), CASE("{\"a\":\"b\"}/**/"),
    CASE("{\"a\":\"b\"}/"), CASE("{\"a\":\"b\"}//"), CASE("{\"a\":\"b\",,\"c\":\"d\"}"), CASE("{a: \"b\"}"), CASE("{\"a\":\"a"), CASE("{ \"foo\" : \"bar\", \"a\" }"),
    CASE("{\"a\":\"b\"}#"), CASE("{"), CASE("}"), CASE("{}}"), CASE("{,}"), CASE("{\"a\"}"), CASE("{\"a\":}"), CASE("{\"a\":,}"), CASE("{\"a\":1]"),
    CASE("{\"a\":1 \"b\":2}"), CASE("{{}:1}"), CASE("{\"a\":1:2}"), CASE("{\"a\"x:1}"), CASE("{x\"a\":1}"), CASE("{\"a\"\"b\":1}"), CASE("{\"a\":\"b\"\"c\"}"),
    CASE("{\"a\":\"b\"x}"), CASE("{\"a\":x\"b\"}"), CASE("{true:1}"), CASE("{[]:1}"), CASE("{\"a\":{\"b\":[1,2}]}"),
    /* strings */
    CASE("[\"\\uD800\\\"]"), CASE("[\"\\uD800\\u\"]"), CASE("[\"\\uD800\\u1\"]"), CASE("[\"\\uD800\\u1x\"]"), CASE("[\xc3\xa9]"), CASE("[\"\\x00\"]"),
    CASE("[\"\\\\\\\"]"), CASE("[\"\\\t\"]"), CASE("[\"\\\xF0\x9F\x8C\x80\"]"), CASE("[\"\\\"]"), CASE("[\"\\u00A\"]"), CASE("[\"\\uD834\\uDd\"]"),
    CASE("[\"\\uD800\\uD800\\x\"]"), CASE("[\"\\u\xe5\"]"), CASE("[\"\\a\"]"), CASE("[\"\\uqqqq\"]"), CASE("[\"\\\xe5\"]"), CASE("[\\u0020\"asd\"]"),
    CASE("[\\n]"), CASE("\""), CASE("['single quote']"), CASE("abc"), CASE("[\"\\"), CASE("[\"a\x00" "a\"]"), CASE("[\"new\nline\"]"), CASE("[\"\t\"]"),
    CASE("\"\\UA66D\""), CASE("\"\"x"), CASE("[\"\\u12\"]"), CASE("[\"\\u\"]"), CASE("[\"\\0\"]"), CASE("[\"\\'\"]"), CASE("[\"\x1f\"]"), CASE("[\"\\u 123\"]"),
    CASE("[\"\\u-123\"]"), CASE("[\"\\\n\"]"),
    /* UTF-8 */
    CASE("[\"\xff\"]"), CASE("[\"\xC0\xAF\"]"), CASE("[\"\xE0\x80\xAF\"]"), CASE("[\"\xF4\x90\x80\x80\"]"), CASE("[\"\xED\xA0\x80\"]"), CASE("[\"\x81\"]"),
    CASE("[\"\xE2\x82\"]"), CASE("[\"\xF8\x88\x80\x80\x80\"]"), CASE("[\"\xE9\"]"), CASE("[\"\xC3\"]"), CASE("[\"\xF0\x80\x80\x80\"]"), CASE("[\"\xFE\"]"),
    CASE("\xFF\xFE[\x00\"\x00\xE9\x00\"\x00]\x00"), CASE("\x00[\x00\"\x00\xE9\x00\"\x00]"), CASE("{\"a\":\"b\"}\xff"), CASE("\xc3(\""),
    /* the whole */
    CASE(""), CASE(" "), CASE("\n"), CASE("<.>"), CASE("[<null>]"), CASE("[1]x"), CASE("[1]]"), CASE("[\"asd]"), CASE("a\xc3\xa5"), CASE("[True]"), CASE("1]"),
    CASE("{\"x\": true,"), CASE("{}\x00"), CASE("[\xE2\x81\xA0]"), CASE("\xEF\xBB\xBF"), CASE("\xEF\xBB{}"), CASE("{]"), CASE("[1]1"), CASE("{} {}"), CASE("[][]"),
    CASE("[\x0c" "]"), CASE("2@"), CASE("{}}"), CASE("[,"), CASE("{,"), CASE("['"), CASE("[\"a\",\"b\" \"c\"]"), CASE("*"), CASE("{\"a\":\"b\"}#{}"), CASE("\xC2\xA0[]"),
    CASE("[\xC2\xA0]"), CASE("/*x*/1"), CASE("1 // x"), CASE("`a`"), CASE("()"), CASE(":"), CASE(","), CASE("\\"), CASE("-"), CASE("[\"x\"\x0b]"),
};

/* Free by RFC 8259; what we do: numbers of any size are kept as text; half surrogates and byte order marks are refused. */
static const struct suite_case may_and_do[] = {
    CASE("[123.456e-789]"), CASE("[0.4e00669999999999999999999999999999999999999999999999999999999999999999999999999999999999999999999969999999006]"),
    CASE("[-1e+9999]"), CASE("[1.5e+9999]"), CASE("[-123123e100000]"), CASE("[123123123123123123123123123123]"), CASE("[-123123123123123123123123123123]"),
    CASE("[100000000000000000000]"), CASE("[-237462374673276894279832749832423479823246327846]"), CASE("[\"\\uDBFF\\uDFFE\"]"),
};
static const struct suite_case may_and_do_not[] = {
    CASE("[\"\\uDADA\"]"), CASE("[\"\\uD888\\u1234\"]"), CASE("[\"\\uD800\\n\"]"), CASE("[\"\\uDd1ea\"]"), CASE("[\"\\uD800\\uD800\\n\"]"), CASE("[\"\\ud800\"]"),
    CASE("[\"\\ud800abc\"]"), CASE("[\"\\uDd1e\\uD834\"]"), CASE("[\"\\uDFAA\"]"), CASE("{\"\\uDFAA\":0}"), CASE("\xEF\xBB\xBF{}"),
};

static int setup(void **state)
{
    static const char *const a[] = {"a", NULL}, *const x[] = {"x", NULL}, *const ab[] = {"a", "b", NULL}, *const level[] = {"level", NULL};
    static const char *const *const paths[] = {a, x, ab, level};
    *state = json_fixture_new(paths, 4);
    return 0;
}

static int teardown(void **state)
{
    json_fixture_free(*state);
    return 0;
}

/* Verdicts may not depend on what lies behind the record; the trusting walk refuses nothing that the validating accepts, and
 * then both find the same fields. Returns whether the text is accepted. */
static bool accepted(struct json_fixture *fixture, const char *text, uint32_t bytes)
{
    static const char pads[] = {' ', '"', '9', '}', '\\', (char)0xBF};
    uint8_t verdict = json_fixture_decode(fixture, text, bytes, true, 0), type[FIXTURE_FIELDS];
    struct sl_span span[FIXTURE_FIELDS];

    memcpy(type, fixture->type, sizeof(type));
    memcpy(span, fixture->span, sizeof(span));
    for (size_t i = 0; i < sizeof(pads); i++)
        assert_int_equal(json_fixture_decode(fixture, text, bytes, true, pads[i]), verdict);
    assert_true(verdict < SL_JSON_VERDICTS);
    if (json_fixture_decode(fixture, text, bytes, false, '"') != SL_JSON_FINE) {
        assert_int_not_equal(verdict, SL_JSON_FINE);
    } else if (verdict == SL_JSON_FINE) {
        assert_memory_equal(type, fixture->type, sizeof(type));
        assert_memory_equal(span, fixture->span, sizeof(span));
    }
    return verdict == SL_JSON_FINE;
}

static void run_cases(void **state, const struct suite_case *cases, size_t count, bool expected)
{
    for (size_t i = 0; i < count; i++) {
        if (accepted(*state, cases[i].text, cases[i].bytes) != expected)
            fail_msg("%s: must %sbe accepted", cases[i].text, expected ? "" : "not ");
        if (json_reference_is_json(cases[i].text, cases[i].bytes) != expected)
            fail_msg("%s: the second opinion differs", cases[i].text);
    }
}

#define RUN_CASES(cases, expected) run_cases(state, cases, sizeof(cases) / sizeof(cases[0]), expected)

static void test_what_is_json_is_accepted(void **state)
{
    RUN_CASES(must_accept, true);
}

static void test_what_is_not_json_is_refused(void **state)
{
    RUN_CASES(must_refuse, false);
}

static void test_what_is_free_is_decided(void **state)
{
    RUN_CASES(may_and_do, true);
    RUN_CASES(may_and_do_not, false);
}

/* Moved through all places of a 64-byte step, inside a string, behind blanks and as an element. */
static void test_no_case_depends_on_its_place(void **state)
{
    char text[512];
    for (uint32_t shift = 0; shift < 67; shift++)
        for (size_t i = 0; i < sizeof(must_refuse) / sizeof(must_refuse[0]); i++) {
            uint32_t bytes = (uint32_t)sprintf(text, "[\"%*s\",", (int)shift, "");
            memcpy(text + bytes, must_refuse[i].text, must_refuse[i].bytes);
            bytes += must_refuse[i].bytes;
            text[bytes++] = ']';
            if (accepted(*state, text, bytes) != json_reference_is_json(text, bytes))
                fail_msg("%s", text);
        }
    for (uint32_t shift = 0; shift < 67; shift++)
        for (size_t i = 0; i < sizeof(must_accept) / sizeof(must_accept[0]); i++) {
            uint32_t bytes = (uint32_t)sprintf(text, "{\"%*s\":", (int)shift, "");
            memcpy(text + bytes, must_accept[i].text, must_accept[i].bytes);
            bytes += must_accept[i].bytes;
            text[bytes++] = '}';
            if (!accepted(*state, text, bytes))
                fail_msg("%s", text);
        }
}

static void test_no_proper_prefix_of_a_record_is_a_record(void **state)
{
    static const char *const records[] = {
        "{\"ts\":\"2026-01-01T00:00:00.000Z\",\"level\":\"info\",\"a\":{\"b\":[1,2.5e3,true,null,\"x\\\"\\u00e9\"]},\"x\":\"Z\xc3\xbcrich \xf0\x9f\x98\x80\"}",
        "{\"level\":{\"a\":[[],{},[{}]]},\"\":-0.0e-0,\"x\":false,\"a\":\"\\\\\",\"b\":\"\\ud83d\\ude00\"}",
        "[\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\",1]",
    };
    for (size_t i = 0; i < sizeof(records) / sizeof(records[0]); i++) {
        uint32_t bytes = (uint32_t)strlen(records[i]);
        assert_true(accepted(*state, records[i], bytes));
        for (uint32_t cut = 0; cut < bytes; cut++)
            assert_false(accepted(*state, records[i], cut));
    }
}

/* ---- generated documents ---- */

static uint64_t suite_random(uint64_t *random)
{
    uint64_t z = *random += 0x9E3779B97F4A7C15u;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

struct suite_out {
    char text[8192];
    uint32_t bytes;
    uint64_t random;
};

static uint32_t suite_below(struct suite_out *out, uint32_t limit)
{
    return (uint32_t)(suite_random(&out->random) % limit);
}

static void suite_put(struct suite_out *out, const char *text)
{
    uint32_t bytes = (uint32_t)strlen(text);
    assert_true(out->bytes + bytes < sizeof(out->text));
    memcpy(out->text + out->bytes, text, bytes);
    out->bytes += bytes;
}

static void suite_pick(struct suite_out *out, const char *const *texts, uint32_t count)
{
    suite_put(out, texts[suite_below(out, count)]);
}
#define PICK(out, ...) suite_pick(out, (const char *const[]){__VA_ARGS__}, sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static void suite_blanks(struct suite_out *out)
{
    PICK(out, "", "", "", "", "", " ", "\n", "\t ", "\r\n", "                                  ");
}

static void suite_string(struct suite_out *out)
{
    suite_put(out, "\"");
    for (uint32_t pieces = suite_below(out, 6); pieces > 0; pieces--)
        PICK(out, "a", "level", "x", "\\\"", "\\\\", "\\n", "\\u0061", "\\ud83d\\ude00", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80",
             "{\\\"level\\\":1}", ",", ":", "}", "]", "[", "{", " ", "0123456789012345678901234567890123456789012345678901234567890123");
    suite_put(out, "\"");
}

static void suite_key(struct suite_out *out)
{
    if (suite_below(out, 3) == 0)
        suite_string(out);
    else
        PICK(out, "\"a\"", "\"b\"", "\"x\"", "\"level\"", "\"\\u0061\"", "\"lev\\u0065l\"", "\"\"");
}

static void suite_value(struct suite_out *out, uint32_t depth)
{
    uint32_t kind = suite_below(out, depth == 0 || out->bytes > 4000 ? 3 : 6);

    suite_blanks(out);
    if (kind == 0) {
        PICK(out, "0", "-0", "1", "-12", "3.25", "1e5", "2E-7", "1.5e+300", "12345678901234567890", "true", "false", "null");
    } else if (kind <= 2) {
        suite_string(out);
    } else {
        bool object = kind <= 4;
        suite_put(out, object ? "{" : "[");
        suite_blanks(out);
        for (uint32_t i = 0, count = suite_below(out, 5); i < count; i++) {
            if (i > 0) {
                suite_put(out, ",");
                suite_blanks(out);
            }
            if (object) {
                suite_key(out);
                suite_blanks(out);
                suite_put(out, ":");
            }
            suite_value(out, depth - 1);
        }
        suite_put(out, object ? "}" : "]");
    }
    suite_blanks(out);
}

static void test_generated_documents_are_accepted_and_damaged_ones_judged(void **state)
{
    static struct suite_out out;
    enum { DOCUMENTS = 3000, DAMAGES = 20 };
    uint32_t still_fine = 0;

    for (uint64_t seed = 1; seed <= DOCUMENTS; seed++) {
        out.bytes = 0;
        out.random = seed;
        suite_value(&out, 5);
        if (!accepted(*state, out.text, out.bytes))
            fail_msg("seed %llu: a sound document is refused: %.*s", (unsigned long long)seed, (int)out.bytes, out.text);
        for (int damage = 0; damage < DAMAGES; damage++) {
            static const char poison[] = "\"\\{}[],:0-.eEu \n\ttfn\x01\x80\xc3\xff\x1a\x0c";
            uint32_t at = suite_below(&out, out.bytes), bytes = out.bytes;
            char text[sizeof(out.text)];
            memcpy(text, out.text, bytes);
            if (damage % 3 == 0) {
                text[at] = poison[suite_below(&out, sizeof(poison))]; /* its NUL too */
            } else if (damage % 3 == 1) {
                memmove(text + at, text + at + 1, bytes - at - 1);
                bytes--;
            } else {
                memmove(text + at + 1, text + at, bytes - at);
                text[at] = poison[suite_below(&out, sizeof(poison))];
                bytes++;
            }
            if (accepted(*state, text, bytes) != json_reference_is_json(text, bytes))
                fail_msg("seed %llu damage %d: the second opinion differs: %.*s", (unsigned long long)seed, damage, (int)bytes, text);
            still_fine += json_reference_is_json(text, bytes);
        }
    }
    assert_true(still_fine > 1000 && still_fine < DOCUMENTS * DAMAGES - 1000); /* both answers were tried */
}

/* ---- the other vector kernels ---- */

#define FORCE_KERNEL "SIMDJSON_FORCE_IMPLEMENTATION"

static bool suite_runs_here(const char *kernel)
{
#if defined(__x86_64__)
    if (strcmp(kernel, "haswell") == 0)
        return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("pclmul");
    if (strcmp(kernel, "westmere") == 0)
        return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul");
#endif
    return strcmp(kernel, "fallback") == 0;
}

/* simdjson chooses once a process: this program runs itself again for each, with the choice made for it. */
static void test_every_kernel_gives_the_same_verdicts(void **state)
{
    static const char *const kernels[] = {"haswell", "westmere", "fallback"};
    (void)state;
    if (getenv(FORCE_KERNEL) != NULL) {
        assert_string_equal(sl_json_index_kernel(), getenv(FORCE_KERNEL));
        return;
    }
    for (size_t i = 0; i < sizeof(kernels) / sizeof(kernels[0]); i++) {
        int status = -1;
        pid_t child;
        if (!suite_runs_here(kernels[i]))
            continue;
        child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            (void)setenv(FORCE_KERNEL, kernels[i], 1);
            (void)execl("/proc/self/exe", "test_json_suite", (char *)NULL);
            _exit(127);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        if (status != 0)
            fail_msg("kernel %s fails", kernels[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_is_json_is_accepted, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_not_json_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_free_is_decided, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_case_depends_on_its_place, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_proper_prefix_of_a_record_is_a_record, setup, teardown),
        cmocka_unit_test_setup_teardown(test_generated_documents_are_accepted_and_damaged_ones_judged, setup, teardown),
        cmocka_unit_test(test_every_kernel_gives_the_same_verdicts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
