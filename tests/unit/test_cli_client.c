/* test_cli_client.c: HTTP replies cut at every byte, malformed ones, and a real socket.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "runtime/cli/client.h"

/* The reply in memory of exactly its size, so that the address sanitizer sees a read beyond it. */
static int parse(const char *data, size_t bytes, bool ended, struct sl_client_reply *reply, struct sl_err *err)
{
    char *copy = malloc(bytes > 0 ? bytes : 1);
    int result;
    memcpy(copy, data, bytes);
    result = sl_client_parse(copy, bytes, ended, reply, err);
    free(copy);
    return result;
}

static void test_a_reply_is_whole_at_its_last_byte_and_never_before(void **state)
{
    static const struct { const char *text, *body; int status; } cases[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", "hello", 200},
        {"HTTP/1.1 200 OK\r\ncontent-length:0\r\n\r\n", "", 200},
        {"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n",
         "hello0123456789", 404},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nTrailer: x\r\n\r\n", "a", 200},
        {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 503 Busy\r\nContent-Length: 1\r\n\r\nx", "x", 503},
        {"HTTP/1.1 204 No Content\r\n\r\n", "", 204},
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t whole = strlen(cases[i].text);
        for (size_t bytes = 0; bytes <= whole; bytes++) {
            struct sl_client_reply reply = {0, NULL, 0};
            struct sl_err err;
            assert_int_equal(parse(cases[i].text, bytes, false, &reply, &err), bytes == whole ? 1 : 0);
            if (bytes < whole) {
                assert_int_equal(parse(cases[i].text, bytes, true, &reply, &err), -SL_E_FORMAT);
                assert_null(reply.body);
                continue;
            }
            assert_int_equal(reply.status, cases[i].status);
            assert_string_equal(reply.body, cases[i].body);
            assert_int_equal(reply.bytes, strlen(cases[i].body));
            sl_client_reply_fini(&reply);
        }
    }
}

static void test_without_a_length_the_close_ends_the_reply(void **state)
{
    static const char text[] = "HTTP/1.0 200 OK\r\nServer: x\r\n\r\nall of it";
    struct sl_client_reply reply;
    struct sl_err err;
    (void)state;
    assert_int_equal(parse(text, sizeof(text) - 1, false, &reply, &err), 0);
    assert_int_equal(parse(text, sizeof(text) - 1, true, &reply, &err), 1);
    assert_string_equal(reply.body, "all of it");
    sl_client_reply_fini(&reply);
}

static void test_what_is_not_http_is_refused(void **state)
{
    static const char *const cases[] = {
        "SSH-2.0-OpenSSH_9.2\r\n\r\n",
        "HTTP/1.1 2x0 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nno colon here\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 5 apples\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabcd\r\n0\r\n\r\n",
        "\r\n\r\n",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sl_client_reply reply = {0, NULL, 0};
        struct sl_err err;
        assert_int_equal(parse(cases[i], strlen(cases[i]), false, &reply, &err), -SL_E_FORMAT);
        assert_null(reply.body);
    }
}

struct server {
    int listener;
    const char *reply;
    char request[1024];
};

static void *server_serve(void *user)
{
    struct server *server = user;
    size_t bytes = 0;
    int fd = accept(server->listener, NULL, NULL);
    while (bytes < sizeof(server->request) - 1 && strstr(server->request, "\r\n\r\n") == NULL) {
        ssize_t got = read(fd, server->request + bytes, sizeof(server->request) - 1 - bytes);
        if (got <= 0)
            break;
        bytes += (size_t)got;
    }
    for (const char *at = server->reply; *at != '\0'; at++) /* a byte a packet */
        if (write(fd, at, 1) != 1)
            break;
    (void)close(fd);
    return NULL;
}

static int ask(struct server *server, const char *path, struct sl_client_reply *reply, struct sl_err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    pthread_t thread;
    int result;
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    server->listener = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(server->listener, (const struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(server->listener, 1), 0);
    assert_int_equal(pthread_create(&thread, NULL, server_serve, server), 0);
    result = sl_client_request(path, "GET", "/status", NULL, reply, err);
    (void)pthread_join(thread, NULL);
    (void)close(server->listener);
    return result;
}

static void test_a_request_over_a_socket(void **state)
{
    char dir[] = "/tmp/sluice-test-client-XXXXXX", path[64];
    struct server good = {.reply = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"};
    struct server rude = {.reply = ""};
    struct sl_client_reply reply;
    struct sl_err err;
    (void)state;
    assert_non_null(mkdtemp(dir));
    (void)snprintf(path, sizeof(path), "%s/control.sock", dir);
    assert_int_equal(sl_client_request(path, "GET", "/status", NULL, &reply, &err), -SL_E_STOPPED);
    assert_int_equal(ask(&good, path, &reply, &err), 0);
    assert_string_equal(reply.body, "{}");
    assert_int_equal(strncmp(good.request, "GET /status HTTP/1.1\r\n", 22), 0);
    sl_client_reply_fini(&reply);
    /* The file is still there, but nobody listens. */
    assert_int_equal(sl_client_request(path, "GET", "/status", NULL, &reply, &err), -SL_E_STOPPED);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(ask(&rude, path, &reply, &err), -SL_E_FORMAT);
    assert_non_null(strstr(err.text, "closed the connection"));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rmdir(dir), 0);
}

static void test_a_path_too_long_for_a_socket_is_told(void **state)
{
    struct sl_client_reply reply;
    struct sl_err err;
    char path[300];
    (void)state;
    memset(path, 'a', sizeof(path) - 1);
    path[sizeof(path) - 1] = '\0';
    assert_int_equal(sl_client_request(path, "GET", "/", NULL, &reply, &err), -SL_E_CONFIG);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_reply_is_whole_at_its_last_byte_and_never_before),
        cmocka_unit_test(test_without_a_length_the_close_ends_the_reply),
        cmocka_unit_test(test_what_is_not_http_is_refused),
        cmocka_unit_test(test_a_request_over_a_socket),
        cmocka_unit_test(test_a_path_too_long_for_a_socket_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
