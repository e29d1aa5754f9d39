/* test_syslog_frame.c: syslog messages out of a TCP stream (RFC 6587), however it is cut.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>

#include "operators/sources/syslog/syslog_frame.h"

enum { OUT_BYTES = 4096 };

/* Feeds `text` in pieces and writes what comes as "[message][message]" and a last "!" for a broken stream. */
static void feed(enum sl_syslog_framing framing, uint64_t max, const char *text, size_t bytes, size_t piece, char *out)
{
    struct sl_syslog_frames frames = {.framing = framing, .max = max};
    enum sl_syslog_step step = SL_SYSLOG_MORE;
    struct sl_slice message;
    size_t held = 0, used, out_bytes = 0;
    const char *at = text;

    for (size_t fed = 0; fed < bytes && step != SL_SYSLOG_BROKEN;) {
        size_t more = piece < bytes - fed ? piece : bytes - fed;
        char *copy; /* of the exact size, for the sanitizer */
        fed += more;
        held += more;
        copy = malloc(held + 1);
        memcpy(copy, at, held);
        for (size_t done = 0;;) {
            step = sl_syslog_frames_next(&frames, copy + done, held, &used, &message);
            assert_true(used <= held);
            if (step == SL_SYSLOG_MESSAGE) {
                assert_true(message.data >= copy + done && message.data + message.bytes <= copy + done + used);
                out_bytes += (size_t)snprintf(out + out_bytes, OUT_BYTES - out_bytes, "[%.*s]", (int)message.bytes, message.data);
            }
            done += used;
            held -= used;
            at += used;
            if (step != SL_SYSLOG_MESSAGE)
                break;
        }
        assert_true(held < sl_syslog_frames_need(&frames) || step == SL_SYSLOG_BROKEN);
        free(copy);
    }
    if (step != SL_SYSLOG_BROKEN)
        step = sl_syslog_frames_end(&frames, at, held, &message);
    if (step == SL_SYSLOG_MESSAGE)
        (void)snprintf(out + out_bytes, OUT_BYTES - out_bytes, "[%.*s]", (int)message.bytes, message.data);
    else
        (void)snprintf(out + out_bytes, OUT_BYTES - out_bytes, "%s", step == SL_SYSLOG_BROKEN ? "!" : "");
}

static void expect_of(enum sl_syslog_framing framing, uint64_t max, const char *text, const char *want)
{
    char out[OUT_BYTES];

    for (size_t piece = 1; piece <= strlen(text) + 1; piece++) { /* however it is cut */
        feed(framing, max, text, strlen(text), piece, out);
        assert_string_equal(out, want);
    }
}

static void expect(const char *text, const char *want)
{
    expect_of(SL_SYSLOG_AUTO, 100, text, want);
}

static void test_octet_counting_is_told_by_its_first_bytes(void **state)
{
    (void)state;
    expect("5 <1>ab4 <2>c", "[<1>ab][<2>c]");
    expect("6 <1>\na\n4 <2>c", "[<1>\na][<2>c]"); /* line ends are content here, but for a last one */
    expect("4 <1>a1 \n4 <2>c", "[<1>a][<2>c]");
    expect("4 <1>a\n4 <2>b\n", "[<1>a][<2>b]");      /* some senders do both */
}

static void test_lines_are_told_by_anything_else(void **state)
{
    (void)state;
    expect("<1>a\n<2>b\r\n\n\r\n<3>c", "[<1>a][<2>b][<3>c]");
    expect("2026-01-01 a\n5 b\n", "[2026-01-01 a][5 b]");
    expect("5 apples\n", "[5 apples]");
    expect("0 <1>a\n", "[0 <1>a]");
    expect("12345678901 <1>a\n", "[12345678901 <1>a]");
    expect("12", "[12]");
    expect("7 ", "[7 ]");
    expect("\n", "");
    expect("", "");
}

static void test_a_said_framing_is_not_guessed(void **state)
{
    (void)state;
    expect_of(SL_SYSLOG_NEWLINE, 100, "4 <1>a\n", "[4 <1>a]");
    expect_of(SL_SYSLOG_OCTET, 100, "5 apple", "[apple]");
    expect_of(SL_SYSLOG_OCTET, 100, "<1>a\n", "!");
}

static void test_a_stream_that_loses_its_frames_is_broken(void **state)
{
    (void)state;
    expect("4 <1>a<2>b", "[<1>a]!");
    expect("4 <1>a04 <2>b", "[<1>a]!");
    expect("4 <1>a12345678901 <2>b", "[<1>a]!");
    expect("9 <1>a", "!"); /* ended inside */
    expect("4 <1>a5", "[<1>a]!");
}

static void test_a_message_above_max_comes_cut_and_the_next_is_whole(void **state)
{
    (void)state;
    expect_of(SL_SYSLOG_AUTO, 5, "8 <1>abcde4 <2>b", "[<1>abc][<2>b]");
    expect_of(SL_SYSLOG_AUTO, 5, "6 <1>abc4 <2>b", "[<1>abc][<2>b]");
    expect_of(SL_SYSLOG_AUTO, 5, "9999999999 <1>abcde", "[<1>abc]!");
    expect_of(SL_SYSLOG_AUTO, 5, "<1>abcde\n<2>b\n", "[<1>abc][<2>b]");
    expect_of(SL_SYSLOG_AUTO, 5, "<1>ab\n<1>abc\n<1>abcd\nx", "[<1>ab][<1>abc][<1>abc][x]");
    expect_of(SL_SYSLOG_AUTO, 5, "<1>abcdefghijklmnopqrstuvwxyz", "[<1>abc]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_octet_counting_is_told_by_its_first_bytes),
        cmocka_unit_test(test_lines_are_told_by_anything_else),
        cmocka_unit_test(test_a_said_framing_is_not_guessed),
        cmocka_unit_test(test_a_stream_that_loses_its_frames_is_broken),
        cmocka_unit_test(test_a_message_above_max_comes_cut_and_the_next_is_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
