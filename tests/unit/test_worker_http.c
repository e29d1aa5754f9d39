/* test_worker_http.c: libcurl on libuv against a scripted server on the loopback: answers, what goes wrong and its words, TLS,
 * cancels, the end.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "runtime/engine/worker_http.h"
#include "tests/support/http_server.c"

enum { RIG_REQUESTS = 32 };

struct call {
    struct sl_http_request request; /* first */
    char url[128];
    uint32_t finished;
};

static struct {
    uv_loop_t loop;
    struct sl_worker_http *http;
    struct http_server *server;
    struct call calls[RIG_REQUESTS];
    uint32_t finished;
    bool starting;
} rig;

static int owner;

static void rig_finished(void *user, struct sl_http_request *request)
{
    assert_ptr_equal(user, &owner);
    assert_false(rig.starting); /* never inside a start */
    assert_null(request->driver);
    ((struct call *)request)->finished++;
    rig.finished++;
}

static void rig_done(struct sl_http_request *request)
{
    (void)request;
    fail_msg("done() is the worker's to call");
}

static int rig_setup(void **state)
{
    struct sl_err err;

    (void)state;
    memset(&rig, 0, sizeof(rig));
    assert_int_equal(uv_loop_init(&rig.loop), 0);
    assert_non_null(rig.http = sl_worker_http_new(&rig.loop, rig_finished, &err));
    return 0;
}

static int rig_teardown(void **state)
{
    (void)state;
    rig.http = sl_worker_http_close(rig.http);
    assert_int_equal(uv_run(&rig.loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&rig.loop), 0); /* no handle is left */
    for (int i = 0; i < RIG_REQUESTS; i++) {
        assert_null(rig.calls[i].request.driver);
        sl_buf_fini(&rig.calls[i].request.answer);
    }
    if (rig.server != NULL)
        rig.server = http_server_stop(rig.server);
    return 0;
}

static void rig_serve(const struct http_reply *script, uint32_t count)
{
    rig.server = http_server_start(script, count);
}

static struct sl_http_request *rig_request(uint32_t index, const char *scheme, const char *host, uint16_t port, const char *body)
{
    struct call *call = &rig.calls[index];

    (void)snprintf(call->url, sizeof(call->url), "%s://%s:%u/in?x=1", scheme, host, port);
    call->request.method = "POST";
    call->request.url = call->url;
    call->request.body = (struct sl_slice){body, body == NULL ? 0 : (uint32_t)strlen(body)};
    call->request.answer_max_bytes = 1000;
    call->request.timeout_ns = 30 * SL_NS_PER_S;
    call->request.connect_timeout_ns = 30 * SL_NS_PER_S;
    call->request.done = rig_done;
    return &call->request;
}

static void rig_start(struct sl_http_request *request)
{
    struct sl_err err;

    rig.starting = true;
    assert_int_equal(sl_worker_http_start(rig.http, &owner, request, &err), 0);
    rig.starting = false;
}

static void rig_run(uint32_t finished)
{
    while (rig.finished < finished)
        (void)uv_run(&rig.loop, UV_RUN_ONCE);
}

static struct sl_http_request *rig_post(const char *body)
{
    struct sl_http_request *request = rig_request(0, "http", "127.0.0.1", http_server_port(rig.server), body);

    rig_start(request);
    rig_run(rig.finished + 1);
    return request;
}

/* ---- answers ---- */

static void test_a_request_gets_its_answer(void **state)
{
    static const struct http_reply script[] = {{HTTP_REPLY_ANSWER, 429, "Retry-After: 7\r\n", "slow down"}};
    static const char *const headers[] = {"Content-Type: a/b", "X-Y: z"};
    struct sl_http_request *request;
    uint32_t bytes;

    (void)state;
    rig_serve(script, 1);
    request = rig_request(0, "http", "127.0.0.1", http_server_port(rig.server), "the body");
    request->headers = headers;
    request->headers_count = 2;
    request->user = "someone";
    request->password = "pass:word";
    rig_start(request);
    rig_run(1);
    assert_int_equal(request->failure, SL_HTTP_NONE);
    assert_int_equal(request->status, 429);
    assert_string_equal(sl_buf_str(&request->answer), "slow down");
    assert_int_equal(request->retry_after_ns, 7 * SL_NS_PER_S);
    assert_true(request->sent && request->took_ns > 0 && request->why[0] == '\0');
    assert_memory_equal(http_server_head(rig.server), "POST /in?x=1 HTTP/1.1\r\n", 23);
    assert_non_null(strstr(http_server_head(rig.server), "\r\nContent-Type: a/b\r\n"));
    assert_non_null(strstr(http_server_head(rig.server), "\r\nX-Y: z\r\n"));
    assert_non_null(strstr(http_server_head(rig.server), "\r\nAuthorization: Basic c29tZW9uZTpwYXNzOndvcmQ=\r\n"));
    assert_null(strstr(http_server_head(rig.server), "Expect"));
    assert_string_equal(http_server_body(rig.server, &bytes), "the body");
}

static void test_methods_without_a_body(void **state)
{
    static const char *const methods[] = {"GET", "HEAD", "PUT", "DELETE"};

    (void)state;
    rig_serve(NULL, 0);
    for (uint32_t i = 0; i < 4; i++) {
        struct sl_http_request *request = rig_request(i, "http", "127.0.0.1", http_server_port(rig.server), NULL);
        request->method = methods[i];
        rig_start(request);
        rig_run(i + 1);
        assert_int_equal(request->status, 200);
        assert_memory_equal(http_server_head(rig.server), methods[i], strlen(methods[i]));
    }
}

static void test_connections_are_kept_alive(void **state)
{
    (void)state;
    rig_serve(NULL, 0);
    for (int i = 0; i < 20; i++) {
        assert_int_equal(rig_post("x")->status, 200);
        assert_string_equal(sl_buf_str(&rig.calls[0].request.answer), "ok"); /* of this request alone */
    }
    assert_int_equal(http_server_connections(rig.server), 1);
    assert_int_equal(http_server_requests(rig.server), 20);
}

static void test_many_at_once(void **state)
{
    char *large = malloc((1 << 20) + 1);
    uint32_t bytes;

    (void)state;
    assert_non_null(large);
    memset(large, 'x', 1 << 20);
    large[1 << 20] = '\0';
    rig_serve(NULL, 0);
    for (uint32_t i = 0; i < RIG_REQUESTS; i++)
        rig_start(rig_request(i, "http", "127.0.0.1", http_server_port(rig.server), large));
    rig_run(RIG_REQUESTS);
    for (uint32_t i = 0; i < RIG_REQUESTS; i++) {
        assert_int_equal(rig.calls[i].finished, 1);
        assert_int_equal(rig.calls[i].request.status, 200);
    }
    (void)http_server_body(rig.server, &bytes);
    assert_int_equal(bytes, 1 << 20);
    free(large);
}

static void test_no_redirect_is_followed(void **state)
{
    static const struct http_reply script[] = {{HTTP_REPLY_ANSWER, 302, "Location: http://127.0.0.1:1/\r\n", NULL}};

    (void)state;
    rig_serve(script, 1);
    assert_int_equal(rig_post("x")->status, 302);
    assert_int_equal(http_server_requests(rig.server), 1);
}

/* ---- failures ---- */

static void expect_failure(const struct sl_http_request *request, enum sl_http_failure failure, bool sent, const char *words)
{
    if (request->failure != failure || request->status != 0 || request->sent != sent || strstr(request->why, words) == NULL)
        fail_msg("failure %d, status %d, sent %d: %s", request->failure, request->status, request->sent, request->why);
}

static void test_connections_that_break(void **state)
{
    static const struct http_reply script[] = {{.kind = HTTP_REPLY_RESET}, {.kind = HTTP_REPLY_CLOSE},
                                               {HTTP_REPLY_BREAK, 200, NULL, "half of this is all there is"}};

    (void)state;
    rig_serve(script, 3);
    for (int i = 0; i < 3; i++)
        expect_failure(rig_post("x"), SL_HTTP_RESET, true, "the connection broke before the answer; check the server");
    assert_int_equal(rig_post("x")->status, 200);
}

static void test_nobody_listens(void **state)
{
    uint16_t port;
    struct sl_http_request *request;
    char place[40];

    (void)state;
    rig_serve(NULL, 0);
    port = http_server_port(rig.server);
    rig.server = http_server_stop(rig.server);
    request = rig_request(0, "http", "127.0.0.1", port, "x");
    rig_start(request);
    rig_run(1);
    expect_failure(request, SL_HTTP_CONNECT, false, "no connection; check that the server runs and listens there");
    (void)snprintf(place, sizeof(place), "127.0.0.1:%u: ", port);
    assert_memory_equal(request->why, place, strlen(place));
}

static void test_a_name_that_does_not_resolve(void **state)
{
    struct sl_http_request *request = rig_request(0, "http", "no-such-host.invalid", 9200, "x");

    (void)state;
    rig_start(request);
    rig_run(1);
    expect_failure(request, SL_HTTP_RESOLVE, false, "no-such-host.invalid:9200: the name does not resolve");
}

static void test_no_answer_in_time(void **state)
{
    static const struct http_reply script[] = {{.kind = HTTP_REPLY_HANG}};
    struct sl_http_request *request;

    (void)state;
    rig_serve(script, 1);
    request = rig_request(0, "http", "127.0.0.1", http_server_port(rig.server), "x");
    request->timeout_ns = 50 * SL_NS_PER_MS;
    rig_start(request);
    rig_run(1);
    /* on a machine that stands still for 50 ms it may be the connection */
    assert_true(request->failure == SL_HTTP_TIMEOUT || request->failure == SL_HTTP_CONNECT);
    assert_true(request->why[0] != '\0');
}

static void test_an_answer_that_is_too_large(void **state)
{
    static char large[2001];
    static const struct http_reply script[] = {{HTTP_REPLY_ANSWER, 200, NULL, large}};

    (void)state;
    memset(large, 'x', 2000);
    rig_serve(script, 1);
    expect_failure(rig_post("x"), SL_HTTP_TOO_LARGE, true, "the answer is larger than expected");
    assert_true(rig.calls[0].request.answer.bytes <= 1000);
    assert_int_equal(rig_post("x")->status, 200);
}

static void test_words_hold_no_secrets(void **state)
{
    static const char *const headers[] = {"Authorization: Bearer tok-secret"};
    struct sl_http_request *request = rig_request(0, "http", "127.0.0.1", 1, "x");

    (void)state;
    request->user = "u-secret";
    request->password = "p-secret";
    request->headers = headers;
    request->headers_count = 1;
    rig_start(request);
    rig_run(1);
    assert_true(request->failure != SL_HTTP_NONE);
    assert_null(strstr(request->why, "secret"));
}

/* ---- TLS ---- */

static char pem[2][64];

static void rig_serve_tls(const char *host)
{
    (void)snprintf(pem[0], sizeof(pem[0]), "/tmp/sluice-test-%d.crt", (int)getpid());
    (void)snprintf(pem[1], sizeof(pem[1]), "/tmp/sluice-test-%d.key", (int)getpid());
    http_server_certificate(host, pem[0], pem[1]);
    rig.server = http_server_start_tls(NULL, 0, pem[0], pem[1]);
}

static void rig_forget_tls(void)
{
    assert_int_equal(remove(pem[0]) + remove(pem[1]), 0);
}

static struct sl_http_request *rig_post_tls(const char *ca, bool insecure)
{
    struct sl_http_request *request = rig_request(0, "https", "127.0.0.1", http_server_port(rig.server), "x");

    request->ca = ca;
    request->insecure = insecure;
    rig_start(request);
    rig_run(rig.finished + 1);
    return request;
}

static void test_tls_with_a_trusted_certificate(void **state)
{
    (void)state;
    rig_serve_tls("127.0.0.1");
    assert_int_equal(rig_post_tls(pem[0], false)->status, 200);
    rig_forget_tls();
}

static void test_tls_with_an_unknown_certificate(void **state)
{
    (void)state;
    rig_serve_tls("127.0.0.1");
    expect_failure(rig_post_tls(NULL, false), SL_HTTP_TLS, false, "no trusted TLS connection; check tls: (ca, certificate, key)");
    assert_int_equal(rig_post_tls(NULL, true)->status, 200); /* verify: false */
    assert_int_equal(http_server_requests(rig.server), 1);
    rig_forget_tls();
}

static void test_tls_with_another_hosts_certificate(void **state)
{
    (void)state;
    rig_serve_tls("other.example");
    expect_failure(rig_post_tls(pem[0], false), SL_HTTP_TLS, false, "no trusted TLS connection");
    assert_int_equal(http_server_requests(rig.server), 0);
    rig_forget_tls();
}

/* ---- cancels ---- */

static void test_a_cancelled_request_is_finished_once(void **state)
{
    static const struct http_reply script[] = {{.kind = HTTP_REPLY_HANG}, {.kind = HTTP_REPLY_HANG}};
    struct sl_http_request *request;

    (void)state;
    rig_serve(script, 2);
    request = rig_request(0, "http", "127.0.0.1", http_server_port(rig.server), "x");
    rig_start(request);
    sl_worker_http_cancel(rig.http, request); /* before anything was sent */
    assert_int_equal(rig.finished, 1);
    assert_int_equal(request->failure, SL_HTTP_CANCELLED);
    assert_false(request->sent);
    sl_worker_http_cancel(rig.http, request); /* late: nothing */
    assert_int_equal(rig.finished, 1);
    rig_start(request);
    while (http_server_requests(rig.server) == 0)
        (void)uv_run(&rig.loop, UV_RUN_NOWAIT); /* poll */
    sl_worker_http_cancel(rig.http, request);
    assert_int_equal(rig.finished, 2);
    assert_true(request->sent);
    assert_int_equal(request->status, 0);
}

static void test_closing_cancels_what_runs(void **state)
{
    static const struct http_reply script[] = {{.kind = HTTP_REPLY_HANG}, {.kind = HTTP_REPLY_HANG}, {.kind = HTTP_REPLY_HANG}};

    (void)state;
    rig_serve(script, 3);
    for (uint32_t i = 0; i < 3; i++)
        rig_start(rig_request(i, "http", "127.0.0.1", http_server_port(rig.server), "x"));
    while (http_server_requests(rig.server) < 3)
        (void)uv_run(&rig.loop, UV_RUN_NOWAIT); /* poll */
    rig_start(rig_request(3, "http", "no-such-host.invalid", 80, "x")); /* while a name is being looked up */
    (void)uv_run(&rig.loop, UV_RUN_NOWAIT);
    rig.http = sl_worker_http_close(rig.http);
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(rig.calls[i].finished, 1);
}

#define RIG_TEST(test) cmocka_unit_test_setup_teardown(test, rig_setup, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG_TEST(test_a_request_gets_its_answer),
        RIG_TEST(test_methods_without_a_body),
        RIG_TEST(test_connections_are_kept_alive),
        RIG_TEST(test_many_at_once),
        RIG_TEST(test_no_redirect_is_followed),
        RIG_TEST(test_connections_that_break),
        RIG_TEST(test_nobody_listens),
        RIG_TEST(test_a_name_that_does_not_resolve),
        RIG_TEST(test_no_answer_in_time),
        RIG_TEST(test_an_answer_that_is_too_large),
        RIG_TEST(test_words_hold_no_secrets),
        RIG_TEST(test_tls_with_a_trusted_certificate),
        RIG_TEST(test_tls_with_an_unknown_certificate),
        RIG_TEST(test_tls_with_another_hosts_certificate),
        RIG_TEST(test_a_cancelled_request_is_finished_once),
        RIG_TEST(test_closing_cancels_what_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
