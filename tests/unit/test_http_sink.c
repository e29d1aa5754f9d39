/* test_http_sink.c: the http sink, and through it the ground of all push sinks: batches, hosts, breaker, budget, deadline, halves,
 * in virtual time.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <zlib.h>
#include <zstd.h>

#include "operators/sinks/sinks.h"
#include "tests/support/push_rig.h"

#define PLAIN "{ type: http, inputs: [x], url: \"http://one/in\" }"
#define THREE "{ type: http, inputs: [x], urls: [\"http://a\", \"http://b:1\", \"https://c/p?q=1\"] }"

enum { BACK_BODY = 8192 };

static struct {
    char body[BACK_BODY], url[256], headers[512];
    uint32_t body_bytes, requests, by_host[3];
    int (*judge)(struct sl_http_request *request); /* a status, or -failure */
} back;

static void back_answer(void *user, struct sl_http_request *request)
{
    int status = back.judge != NULL ? back.judge(request) : 200;

    (void)user;
    back.requests++;
    for (int host = 0; host < 3; host++)
        back.by_host[host] += strchr("abc", request->url[strstr(request->url, "://") - request->url + 3]) != NULL &&
                              request->url[strstr(request->url, "://") - request->url + 3] == "abc"[host];
    back.body_bytes = request->body.bytes < BACK_BODY - 1 ? request->body.bytes : BACK_BODY - 1;
    memcpy(back.body, request->body.data, back.body_bytes);
    back.body[back.body_bytes] = '\0';
    (void)snprintf(back.url, sizeof(back.url), "%s %s", request->method, request->url);
    back.headers[0] = '\0';
    for (uint32_t i = 0; i < request->headers_count; i++)
        (void)snprintf(back.headers + strlen(back.headers), sizeof(back.headers) - strlen(back.headers), "%s|", request->headers[i]);
    if (status < 0)
        fake_http_fail(request, (enum sl_http_failure) - status, "it broke");
    else
        fake_http_reply(request, status, status < 300 ? "" : "because of that");
}

static void rig(const char *settings)
{
    memset(&back, 0, sizeof(back));
    push_rig_open(&sl_sink_http, settings);
    push_rig.http.answer = back_answer;
}

static void send_two(const char *settings)
{
    static const char *const texts[] = {"{\"a\":\"1 &\"}", "{\"b\":2}"};

    rig(settings);
    push_rig_submit(texts, 2);
    push_rig_run(2 * SL_NS_PER_S);
    assert_int_equal(push_rig.acked, 2);
    assert_int_equal(back.requests, 1);
}

static void expect_sent(const char *settings, const char *body, const char *headers)
{
    send_two(settings);
    assert_string_equal(back.body, body);
    assert_string_equal(back.headers, headers);
    push_rig_close(NULL);
}

/* ---- bodies ---- */

static void test_framings(void **state)
{
    (void)state;
    expect_sent(PLAIN, "{\"a\":\"1 &\"}\n{\"b\":2}\n", "Content-Type: application/x-ndjson|");
    expect_sent("{ type: http, inputs: [x], url: \"http://one\", framing: json_array }", "[{\"a\":\"1 &\"},{\"b\":2}]",
                "Content-Type: application/json|");
    expect_sent("{ type: http, inputs: [x], url: \"http://one\", framing: lines, headers: { Content-Type: a/b } }",
                "{\"a\":\"1 &\"}\n{\"b\":2}\n", "Content-Type: a/b|");
    expect_sent("{ type: http, inputs: [x], url: \"http://one\", framing: form, form_field: f }",
                "f=%7B%22a%22%3A%221%20%26%22%7D&f=%7B%22b%22%3A2%7D", "Content-Type: application/x-www-form-urlencoded|");
    expect_sent("{ type: http, inputs: [x], url: \"http://one\", framing: loki, labels: { job: \"a\\\"b\" } }",
                "{\"streams\":[{\"stream\":{\"job\":\"a\\\"b\"},\"values\":[[\"1795322096000000000\",\"{\\\"a\\\":\\\"1 &\\\"}\"],"
                "[\"1795322096000000000\",\"{\\\"b\\\":2}\"]]}]}",
                "Content-Type: application/json|");
    expect_sent("{ type: http, inputs: [x], url: \"http://one\", wrap: { before: '{\"event\":', after: '}' }, "
                "auth: { header: Authorization, value: Splunk t } }",
                "{\"event\":{\"a\":\"1 &\"}}\n{\"event\":{\"b\":2}}\n", "Authorization: Splunk t|Content-Type: application/x-ndjson|");
}

static void test_the_url_is_sent_as_it_is_written(void **state)
{
    (void)state;
    send_two("{ type: http, inputs: [x], url: \"https://one:8443/a/?query=INSERT%20INTO%20t\", method: PUT }");
    assert_string_equal(back.url, "PUT https://one:8443/a/?query=INSERT%20INTO%20t");
}

static void test_bodies_are_compressed(void **state)
{
    char text[256];
    z_stream stream = {0};

    (void)state;
    send_two("{ type: http, inputs: [x], url: \"http://one\", compression: zstd, framing: json_array }");
    assert_string_equal(back.headers, "Content-Type: application/json|Content-Encoding: zstd|");
    assert_int_equal(ZSTD_decompress(text, sizeof(text), back.body, back.body_bytes), 21);
    assert_memory_equal(text, "[{\"a\":\"1 &\"},{\"b\":2}]", 21);
    push_rig_close(NULL);
    send_two("{ type: http, inputs: [x], url: \"http://one\", compression: gzip }");
    assert_string_equal(back.headers, "Content-Type: application/x-ndjson|Content-Encoding: gzip|");
    assert_int_equal(inflateInit2(&stream, 15 + 16), Z_OK);
    stream.next_in = (Bytef *)back.body;
    stream.avail_in = back.body_bytes;
    stream.next_out = (Bytef *)text;
    stream.avail_out = sizeof(text);
    assert_int_equal(inflate(&stream, Z_FINISH), Z_STREAM_END);
    assert_memory_equal(text, "{\"a\":\"1 &\"}\n{\"b\":2}\n", 20);
    (void)inflateEnd(&stream);
}

/* ---- when a request is full ---- */

static void test_batches_by_records_bytes_and_time(void **state)
{
    (void)state;
    rig(PLAIN);
    push_rig.common.batch_records = 10;
    push_rig_reopen(PLAIN);
    push_rig_submit(NULL, 25);
    push_rig_run(SL_NS_PER_MS);
    assert_int_equal(back.requests, 2);
    assert_int_equal(push_rig.acked, 20);
    push_rig_run(SL_NS_PER_S - 3 * SL_NS_PER_MS);
    assert_int_equal(push_rig.acked, 20);
    push_rig_run(4 * SL_NS_PER_MS); /* every: 1s */
    assert_int_equal(push_rig.acked, 25);
    push_rig.common.batch_records = 50000;
    push_rig.common.batch_bytes = 4096;
    push_rig_reopen(PLAIN);
    back.requests = 0;
    push_rig_submit(NULL, 1000); /* 10 bytes each, and room for one more is 256 */
    push_rig_run(2 * SL_NS_PER_S);
    assert_int_equal(push_rig.acked, 1025);
    assert_in_range(back.requests, 2, 4);
}

static int judge_never(struct sl_http_request *request)
{
    (void)request;
    return -SL_HTTP_TIMEOUT;
}

static void test_requests_in_flight_are_bounded_and_memory_too(void **state)
{
    static char large[64 << 10];
    const char *texts[16];

    (void)state;
    rig("{ type: http, inputs: [x], url: \"http://one\", concurrency: 3, framing: lines }");
    push_rig.bench.api.share_bytes = 4 << 20;
    push_rig_reopen("{ type: http, inputs: [x], url: \"http://one\", concurrency: 3, framing: lines }");
    push_rig.http.delay_ns = 60 * SL_NS_PER_S;
    back.judge = judge_never;
    memset(large, 'x', sizeof(large) - 1);
    for (int i = 0; i < 16; i++)
        texts[i] = large;
    for (int i = 0; i < 100 && push_rig.kind->credit(push_rig.self) > 0; i++) {
        push_rig_submit(texts, 16);
        (void)push_rig_turn();
    }
    assert_int_equal(push_rig.http.most, 3);
    assert_int_equal(push_rig.kind->credit(push_rig.self), 0);
    assert_in_range(push_rig.taken, 32, 80); /* the share, and one parcel */
    back.judge = NULL;
    push_rig.http.delay_ns = SL_NS_PER_MS;
    push_rig_run(120 * SL_NS_PER_S);
    assert_int_equal(push_rig.acked, push_rig.taken);
    assert_int_equal(push_rig.kind->credit(push_rig.self), 4 << 20); /* nothing is kept */
}

/* ---- hosts ---- */

static void test_hosts_take_turns(void **state)
{
    (void)state;
    rig(THREE);
    for (int i = 0; i < 9; i++) {
        push_rig_submit(NULL, 1);
        push_rig_run(2 * SL_NS_PER_S);
    }
    for (int host = 0; host < 3; host++)
        assert_int_equal(back.by_host[host], 3);
}

static int judge_a_is_dead(struct sl_http_request *request)
{
    return strncmp(request->url, "http://a", 8) == 0 ? -SL_HTTP_CONNECT : 200;
}

static void test_a_dead_host_is_left_alone_and_found_again(void **state)
{
    uint32_t before;

    (void)state;
    rig(THREE);
    back.judge = judge_a_is_dead;
    for (int i = 0; i < 60; i++) {
        push_rig_submit(NULL, 1);
        push_rig_run(SL_NS_PER_S + SL_NS_PER_MS * 20);
        assert_int_equal(push_rig.acked, push_rig.taken); /* the others take it at once: nobody waits for a back-off */
    }
    assert_int_equal(push_rig_count(PUSH_BREAKS) > 0, 1);
    assert_in_range(back.by_host[0], 5, 12); /* five failures open the breaker; then a try now and then */
    back.judge = NULL;
    push_rig_run(31 * SL_NS_PER_S);
    before = back.by_host[0];
    for (int i = 0; i < 12; i++) {
        push_rig_submit(NULL, 1);
        push_rig_run(2 * SL_NS_PER_S);
    }
    assert_int_equal(back.by_host[0] - before, 4); /* again a third */
}

static int judge_dead(struct sl_http_request *request)
{
    (void)request;
    return -SL_HTTP_CONNECT;
}

static void test_an_outage_is_outlasted_and_not_hammered(void **state)
{
    uint32_t tries;

    (void)state;
    rig(PLAIN);
    push_rig.common.batch_records = 100;
    push_rig_reopen(PLAIN);
    back.judge = judge_dead;
    push_rig_submit(NULL, 3000);
    push_rig_run(3600 * SL_NS_PER_S);
    tries = back.requests;
    assert_int_equal(push_rig.acked + push_rig.refused, 0);
    assert_in_range(tries, 100, 400); /* an hour, a try each 15 to 30 s, and the first ones */
    back.judge = NULL;
    push_rig_run(60 * SL_NS_PER_S); /* the breaker's longest, and all 30 requests go at once */
    assert_int_equal(push_rig.acked, 3000);
    assert_in_range(back.requests - tries, 30, 31);
    assert_in_range(push_rig.logs, 50, 3600 / 5 + 1); /* said now and then, not each time */
}

static int judge_busy(struct sl_http_request *request)
{
    request->retry_after_ns = 7 * SL_NS_PER_S;
    return 429;
}

static void test_retry_after_is_honoured(void **state)
{
    (void)state;
    rig(PLAIN);
    back.judge = judge_busy;
    push_rig_submit(NULL, 1);
    push_rig_run(SL_NS_PER_S + SL_NS_PER_MS * 5);
    assert_int_equal(back.requests, 1);
    push_rig_submit(NULL, 1); /* others wait too */
    push_rig_run(6 * SL_NS_PER_S);
    assert_int_equal(back.requests, 1);
    back.judge = NULL;
    push_rig_run(2 * SL_NS_PER_S);
    assert_int_equal(push_rig.acked, 2);
}

/* ---- the retry budget ---- */

static int judge_later(struct sl_http_request *request)
{
    (void)request;
    return 404; /* no breaker, no pause: what is left is the back-off, and the budget */
}

static void test_retries_are_a_share_of_requests(void **state)
{
    (void)state;
    rig("{ type: http, inputs: [x], url: \"http://one\", concurrency: 64 }");
    push_rig.common.batch_records = 1;
    push_rig.common.backoff_min_ns = push_rig.common.backoff_max_ns = SL_NS_PER_MS;
    push_rig_reopen("{ type: http, inputs: [x], url: \"http://one\", concurrency: 64 }");
    back.judge = judge_later;
    push_rig_submit(NULL, 200);
    push_rig_run(10 * SL_NS_PER_S);
    assert_in_range(back.requests, 200 + 45, 200 + 20 + 50 + 5); /* 20 saved up, five a second */
}

/* ---- the deadline ---- */

static void test_after_the_deadline_records_are_dead_letters(void **state)
{
    (void)state;
    rig(PLAIN);
    push_rig.common.deadline_ns = 60 * SL_NS_PER_S;
    push_rig_reopen(PLAIN);
    back.judge = judge_dead;
    push_rig_submit(NULL, 10);
    push_rig_run(59 * SL_NS_PER_S);
    assert_int_equal(push_rig.refused, 0);
    push_rig_run(60 * SL_NS_PER_S);
    assert_int_equal(push_rig.refused, 10);
    assert_non_null(strstr(push_rig.refused_why, "given up after 60000 ms (retry.deadline): "));
    assert_int_equal(push_rig.kind->drain(push_rig.self), 1);
}

/* ---- halves ---- */

static int judge_bad_ones(struct sl_http_request *request)
{
    char text[BACK_BODY];

    (void)snprintf(text, sizeof(text), "%.*s", (int)request->body.bytes, request->body.data);
    return strstr(text, "{\"n\":77}") != NULL || strstr(text, "{\"n\":400}") != NULL ? 400 : 200;
}

static void test_the_records_at_fault_are_found(void **state)
{
    (void)state;
    rig(PLAIN);
    back.judge = judge_bad_ones;
    push_rig_submit(NULL, 500);
    push_rig_run(60 * SL_NS_PER_S);
    assert_int_equal(push_rig.acked, 498);
    assert_int_equal(push_rig.refused, 2);
    assert_int_equal(push_rig.answers[77] + push_rig.answers[400], 2);
    assert_string_equal(push_rig.refused_why, "one:80: HTTP 400: because of that");
    assert_in_range(back.requests, 10, 40);
}

static int judge_all_bad(struct sl_http_request *request)
{
    (void)request;
    return 422;
}

static void test_the_search_is_bounded(void **state)
{
    (void)state;
    rig("{ type: http, inputs: [x], url: \"http://one\", framing: form, form_field: f }");
    back.judge = judge_all_bad;
    for (int i = 0; i < 2; i++)
        push_rig_submit(NULL, 4000);
    push_rig_run(600 * SL_NS_PER_S);
    assert_int_equal(push_rig.refused, 8000);
    assert_true(back.requests <= 1 + 128); /* nothing is ever accepted */
    assert_int_equal(strncmp(push_rig.refused_body, "{\"n\":", 5), 0); /* the record, not its form */
}

static int judge_every_tenth(struct sl_http_request *request)
{
    char text[1 << 17];
    const char *at = text;

    (void)snprintf(text, sizeof(text), "%.*s", (int)request->body.bytes, request->body.data);
    for (; (at = strstr(at, "{\"n\":")) != NULL; at++)
        if (strtoul(at + 5, NULL, 10) % 10 == 0)
            return 400;
    return 200;
}

static void test_a_search_among_many_ends_too(void **state)
{
    (void)state;
    rig(PLAIN);
    back.judge = judge_every_tenth;
    push_rig_submit(NULL, 4000);
    push_rig_run(600 * SL_NS_PER_S);
    assert_int_equal(push_rig.acked + push_rig.refused, 4000);
    assert_true(push_rig.refused >= 400 && push_rig.acked > 0);
    assert_true(back.requests <= 1 + 512);
}

static int judge_teapot(struct sl_http_request *request)
{
    (void)request;
    return back.requests == 0 ? 302 : 418;
}

static void test_codes_are_what_the_settings_say(void **state)
{
    (void)state;
    rig("{ type: http, inputs: [x], url: \"http://one\", success: [\"418\"], retry_on: [\"500-599\"] }");
    back.judge = judge_teapot;
    push_rig_submit(NULL, 3);
    push_rig_run(10 * SL_NS_PER_S);
    assert_int_equal(push_rig.acked, 3); /* after a redirect, which nobody follows */
    back.judge = judge_later;
    push_rig_submit(NULL, 1);
    push_rig_run(10 * SL_NS_PER_S);
    assert_int_equal(push_rig.refused, 1); /* 404 is no longer among those to retry */
}

/* ---- the end ---- */

static void test_a_sink_may_close_with_requests_in_flight(void **state)
{
    (void)state;
    rig(THREE);
    push_rig.http.delay_ns = 10 * SL_NS_PER_S;
    push_rig_submit(NULL, 100);
    push_rig_run(2 * SL_NS_PER_S);
    assert_int_equal(push_rig.http.flying, 1);
    push_rig_submit(NULL, 100);
    push_rig_close(NULL); /* done() comes when the sink is gone */
    assert_int_equal(push_rig.acked, 0);
}

static void test_latencies_are_observed(void **state)
{
    (void)state;
    send_two(PLAIN);
    assert_int_equal(push_rig.observed, 1);
    assert_int_equal(push_rig_count(PUSH_REQUESTS), 1);
    assert_int_equal(push_rig_count(PUSH_RECORDS), 2);
    assert_int_equal(push_rig_count(PUSH_BYTES), 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(test_framings, push_rig_close),
        cmocka_unit_test_teardown(test_the_url_is_sent_as_it_is_written, push_rig_close),
        cmocka_unit_test_teardown(test_bodies_are_compressed, push_rig_close),
        cmocka_unit_test_teardown(test_batches_by_records_bytes_and_time, push_rig_close),
        cmocka_unit_test_teardown(test_requests_in_flight_are_bounded_and_memory_too, push_rig_close),
        cmocka_unit_test_teardown(test_hosts_take_turns, push_rig_close),
        cmocka_unit_test_teardown(test_a_dead_host_is_left_alone_and_found_again, push_rig_close),
        cmocka_unit_test_teardown(test_an_outage_is_outlasted_and_not_hammered, push_rig_close),
        cmocka_unit_test_teardown(test_retry_after_is_honoured, push_rig_close),
        cmocka_unit_test_teardown(test_retries_are_a_share_of_requests, push_rig_close),
        cmocka_unit_test_teardown(test_after_the_deadline_records_are_dead_letters, push_rig_close),
        cmocka_unit_test_teardown(test_the_records_at_fault_are_found, push_rig_close),
        cmocka_unit_test_teardown(test_the_search_is_bounded, push_rig_close),
        cmocka_unit_test_teardown(test_a_search_among_many_ends_too, push_rig_close),
        cmocka_unit_test_teardown(test_codes_are_what_the_settings_say, push_rig_close),
        cmocka_unit_test_teardown(test_a_sink_may_close_with_requests_in_flight, push_rig_close),
        cmocka_unit_test_teardown(test_latencies_are_observed, push_rig_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
