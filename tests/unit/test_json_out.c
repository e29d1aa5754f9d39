/* test_json_out.c: the growable buffer and the JSON writer on it.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/json_out.h"

static void test_a_buffer_grows_and_stays_terminated(void **state)
{
    struct sl_buf buf = {0};
    size_t bytes = 0;
    char *text;
    (void)state;
    assert_string_equal(sl_buf_str(&buf), "");
    for (int i = 0; i < 1000; i++)
        sl_buf_printf(&buf, "%d,", i);
    assert_int_equal(buf.bytes, 3890);
    assert_int_equal(strlen(buf.data), 3890);
    sl_buf_reset(&buf);
    sl_buf_text(&buf, "abc");
    sl_buf_char(&buf, 'd');
    sl_buf_slice(&buf, sl_slice_of("ef"));
    text = sl_buf_take(&buf, &bytes);
    assert_string_equal(text, "abcdef");
    assert_int_equal(bytes, 6);
    assert_null(buf.data);
    free(text);
    text = sl_buf_take(&buf, &bytes); /* an empty one is "", not NULL */
    assert_string_equal(text, "");
    free(text);
}

static void test_an_impossible_size_fails_once_and_for_all(void **state)
{
    struct sl_buf buf = {0};
    (void)state;
    sl_buf_text(&buf, "kept");
    assert_null(sl_buf_reserve(&buf, SIZE_MAX - 1));
    assert_true(sl_buf_failed(&buf));
    sl_buf_text(&buf, "lost");
    assert_string_equal(sl_buf_str(&buf), "kept");
    assert_null(sl_buf_take(&buf, NULL));
}

static void quote_case(const char *text, size_t bytes, const char *expected)
{
    struct sl_buf buf = {0};
    sl_json_quote(&buf, (struct sl_slice){text, (uint32_t)bytes});
    assert_string_equal(sl_buf_str(&buf), expected);
    sl_buf_fini(&buf);
}

static void test_strings_are_escaped_and_always_utf8(void **state)
{
    (void)state;
    quote_case("", 0, "\"\"");
    quote_case("plain", 5, "\"plain\"");
    quote_case("a\"b\\c\b\t\n\f\r\v\x01\0z", 14, "\"a\\\"b\\\\c\\b\\t\\n\\f\\r\\u000b\\u0001\\u0000z\"");
    quote_case("\x7f", 1, "\"\x7f\"");
    quote_case("\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 9, "\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"");
    quote_case("a\xff" "b", 3, "\"a\xEF\xBF\xBD" "b\"");
    quote_case("\xc0\xaf", 2, "\"\xEF\xBF\xBD\xEF\xBF\xBD\"");         /* overlong */
    quote_case("\xed\xa0\x80", 3, "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\""); /* surrogate */
    quote_case("\xf4\x90\x80\x80", 4, "\"\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\"");
    quote_case("\xe2\x82", 2, "\"\xEF\xBF\xBD\"");                       /* cut: one for the part */
    quote_case("\xf0\x9f\x98" "x", 4, "\"\xEF\xBF\xBDx\"");
}

static void test_commas_and_colons_come_by_themselves(void **state)
{
    struct sl_buf buf = {0};
    struct sl_json_out out;
    (void)state;
    sl_json_out_init(&out, &buf);
    sl_json_out_object(&out);
    sl_json_out_str_at(&out, "name", "a\"b");
    sl_json_out_str_at(&out, "none", NULL);
    sl_json_out_key(&out, "list");
    sl_json_out_array(&out);
    sl_json_out_u64(&out, UINT64_MAX);
    sl_json_out_i64(&out, INT64_MIN);
    sl_json_out_array(&out);
    sl_json_out_end_array(&out);
    sl_json_out_object(&out);
    sl_json_out_end_object(&out);
    sl_json_out_bool(&out, false);
    sl_json_out_null(&out);
    sl_json_out_raw(&out, sl_slice_of("{\"x\":1}"));
    sl_json_out_printf(&out, "%d%%", 5);
    sl_json_out_end_array(&out);
    sl_json_out_f64_at(&out, "f", 0.1);
    sl_json_out_f64_at(&out, "nan", (double)NAN);
    sl_json_out_u64_at(&out, "u", 1);
    sl_json_out_i64_at(&out, "i", -1);
    sl_json_out_bool_at(&out, "b", true);
    sl_json_out_slice_at(&out, "s", sl_slice_of("t"));
    assert_false(sl_json_out_done(&out));
    sl_json_out_end_object(&out);
    assert_true(sl_json_out_done(&out));
    assert_string_equal(sl_buf_str(&buf),
                        "{\"name\":\"a\\\"b\",\"none\":null,\"list\":[18446744073709551615,-9223372036854775808,[],{},"
                        "false,null,{\"x\":1},\"5%\"],\"f\":0.1,\"nan\":null,\"u\":1,\"i\":-1,\"b\":true,\"s\":\"t\"}");
    sl_buf_fini(&buf);
}

static void test_doubles_read_back_exactly(void **state)
{
    static const double cases[] = {0, -0.0, 1, 0.1, 1e21, 1.0 / 3, 2.5e-308, 1.7976931348623157e308, 123456789012345680};
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sl_buf buf = {0};
        struct sl_json_out out;
        sl_json_out_init(&out, &buf);
        sl_json_out_f64(&out, cases[i]);
        assert_true(strtod(sl_buf_str(&buf), NULL) == cases[i]);
        sl_buf_fini(&buf);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_buffer_grows_and_stays_terminated),
        cmocka_unit_test(test_an_impossible_size_fails_once_and_for_all),
        cmocka_unit_test(test_strings_are_escaped_and_always_utf8),
        cmocka_unit_test(test_commas_and_colons_come_by_themselves),
        cmocka_unit_test(test_doubles_read_back_exactly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
