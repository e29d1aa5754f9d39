/* test_multiline.c: which lines belong together: traces of Java, Python and Go as they are printed, alone and behind a logger's line; patterns.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "operators/sources/multiline.h"

static struct sl_err err;

/* text: lines; a line that must begin a record has a '|' before it, which is not part of it. */
static void expect(const struct sl_multiline_config *config, const char *text)
{
    struct sl_multiline *multiline = NULL;
    struct sl_multiline_state state = {0};

    if (sl_multiline_new(config, &multiline, &err) != 0)
        fail_msg("%s", err.text);
    while (*text != '\0') {
        const char *end = strchr(text, '\n');
        bool begins = *text == '|';
        struct sl_slice line = {text + begins, (uint32_t)(end - text - begins)};

        if (sl_multiline_joins(multiline, &state, line) == begins)
            fail_msg("%s: %.*s", begins ? "was joined" : "began a record", (int)line.bytes, line.data);
        text = end + 1;
    }
    multiline = sl_multiline_free(multiline);
}

static void expect_trace(const char *language, const char *text)
{
    struct sl_multiline_config config = {.stack_traces = {&language, 1}, .max_lines = 1000};

    expect(&config, text);
}

static void test_java(void **state)
{
    (void)state;
    expect_trace("java", "|12:00 INFO fine\n"
                         "|12:00 ERROR failed\n"
                         "java.lang.RuntimeException: outer: text\n"
                         "\tat com.x.A.f(A.java:1)\n"
                         "\tat com.x.A.lambda$g$0(A.java:2) ~[x.jar:1.0]\n"
                         "\tSuppressed: java.io.IOException: close\n"
                         "\t\tat com.x.A.close(A.java:3)\n"
                         "\t\t... 2 more\n"
                         "Caused by: java.lang.IllegalStateException\n"
                         "\tat com.x.B.f(B.java:1)\n"
                         "\t... 23 common frames omitted\n"
                         "|12:01 INFO fine\n"
                         "|Exception in thread \"main\" java.lang.Error: bare\n"
                         "\tat com.x.Main.main(Main.java:5)\n"
                         "|java.lang.NullPointerException\n"
                         "\tat com.x.Main.main(Main.java:5)\n"
                         "|java.lang.NullPointerException: two in a row\n"
                         "\tat com.x.Main.main(Main.java:5)\n"
                         "|com.x.NotAnException2: text\n"
                         "|at the end\n"
                         "|  indented, but no frame\n"
                         "|... and so on\n"
                         "|\n");
}

static void test_python(void **state)
{
    (void)state;
    expect_trace("python", "|ERROR:root:failed\n"
                           "Traceback (most recent call last):\n"
                           "  File \"a.py\", line 1, in f\n"
                           "    g()\n"
                           "    ^^^\n"
                           "  [Previous line repeated 996 more times]\n"
                           "ValueError: first\n"
                           "\n"
                           "During handling of the above exception, another exception occurred:\n"
                           "\n"
                           "Traceback (most recent call last):\n"
                           "  File \"a.py\", line 3, in h\n"
                           "KeyError: 'k'\n"
                           "|INFO:root:fine\n"
                           "|INFO:root:fine\n"
                           "Traceback (most recent call last):\n"
                           "  File \"a.py\", line 3, in h\n"
                           "pydantic.ValidationError: 1 error\n"
                           "  field required\n"
                           "|Traceback (most recent call last):\n"
                           "  File \"a.py\", line 3, in h\n"
                           "KeyError: 'k'\n"
                           "\n"
                           "|\n"
                           "|  indented\n");
}

static void test_go(void **state)
{
    (void)state;
    expect_trace("go", "|2026/11/22 05:14:56 fine\n"
                       "|panic: runtime error: invalid memory address or nil pointer dereference [recovered]\n"
                       "\tpanic: again\n"
                       "[signal SIGSEGV: segmentation violation code=0x1 addr=0x0 pc=0x48]\n"
                       "\n"
                       "goroutine 1 [running]:\n"
                       "main.(*T).f(0x0?, {0x1, 0x2})\n"
                       "\t/src/main.go:9 +0x18\n"
                       "main.main()\n"
                       "\t/src/main.go:5 +0x1d\n"
                       "created by main.start in goroutine 7\n"
                       "\t/src/main.go:7 +0x11\n"
                       "\n"
                       "goroutine 18 [chan receive, 2 minutes]:\n"
                       "main.worker(...)\n"
                       "\t/src/main.go:12\n"
                       "exit status 2\n"
                       "|2026/11/22 05:14:57 fine\n"
                       "|2026/11/22 05:14:57 stack\n"
                       "goroutine 1 [running]:\n"
                       "runtime/debug.Stack()\n"
                       "\t/go/debug.go:24\n"
                       "|2026/11/22 05:14:58 done (really)\n"
                       "|\tindented\n");
}

static void test_languages_together(void **state)
{
    static const char *const languages[] = {"go", "java", "python"};
    struct sl_multiline_config config = {.stack_traces = {languages, 3}, .max_lines = 1000};

    (void)state;
    expect(&config, "|x\nTraceback (most recent call last):\n  File\nKeyError: 'k'\n|y\njava.lang.Error\n\tat f\n|panic: z\n\ngoroutine 1 [running]:\n|w\n");
}

static void test_patterns(void **state)
{
    struct sl_multiline_config starts = {.start = "^\\d{4}-", .max_lines = 1000}, more = {.continuation = "^\\s", .max_lines = 3};

    (void)state;
    expect(&starts, "|orphan\nof a record\n|2026- one\ntwo\n\n three\n|2026- four\n");
    expect(&more, "| orphan\n two\n|one\n two\n three\n| four\n five\n|\xff\n \xff\n");
}

static void test_a_record_that_was_handed_out_is_not_gone_on_with(void **state)
{
    const char *java = "java";
    struct sl_multiline_config config = {.stack_traces = {&java, 1}, .max_lines = 1000};
    struct sl_multiline *multiline = NULL;
    struct sl_multiline_state at = {0};

    (void)state;
    assert_int_equal(sl_multiline_new(&config, &multiline, &err), 0);
    assert_false(sl_multiline_joins(multiline, &at, sl_slice_of("ERROR")));
    assert_true(sl_multiline_joins(multiline, &at, sl_slice_of("\tat f")));
    sl_multiline_reset(&at);
    assert_false(sl_multiline_joins(multiline, &at, sl_slice_of("\tat g")));
    assert_true(sl_multiline_joins(multiline, &at, sl_slice_of("\tat h")));
    multiline = sl_multiline_free(multiline);
}

/* 4 KiB of what the pattern is bad at, a thousand times. */
static void test_a_bad_pattern_gives_up(void **state)
{
    struct sl_multiline_config config = {.continuation = "^(a+)+$", .max_lines = 1000};
    struct sl_multiline *multiline = NULL;
    struct sl_multiline_state at = {0};
    static char line[4097];

    (void)state;
    memset(line, 'a', sizeof(line));
    line[4000] = 'b';
    assert_int_equal(sl_multiline_new(&config, &multiline, &err), 0);
    for (int i = 0; i < 1000; i++)
        assert_false(sl_multiline_joins(multiline, &at, (struct sl_slice){line, sizeof(line)}));
    multiline = sl_multiline_free(multiline);
}

static void test_wrong_settings_are_refused(void **state)
{
    static const char *const ruby[] = {"java", "ruby"};
    const struct sl_multiline_config wrong[] = {{.stack_traces = {ruby, 2}}, {.start = "("}, {.continuation = "a\\C"}, {.start = "a", .continuation = "b"},
                                                {.start = "a", .stack_traces = {ruby, 1}}};
    static const char *const says[] = {"\"ruby\" is not known", "multiline.start: fails at character 2", "multiline.continuation: fails", "write it alone",
                                       "write it alone"};

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_true(sl_multiline_on(&wrong[i]));
        assert_true(sl_multiline_check(&wrong[i], &err) != 0);
        assert_non_null(strstr(err.text, says[i]));
    }
    assert_false(sl_multiline_on(&(struct sl_multiline_config){.max_lines = 1}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_java),
        cmocka_unit_test(test_python),
        cmocka_unit_test(test_go),
        cmocka_unit_test(test_languages_together),
        cmocka_unit_test(test_patterns),
        cmocka_unit_test(test_a_record_that_was_handed_out_is_not_gone_on_with),
        cmocka_unit_test(test_a_bad_pattern_gives_up),
        cmocka_unit_test(test_wrong_settings_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
