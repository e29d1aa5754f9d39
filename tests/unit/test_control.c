/* test_control.c: the control server with a real client on its socket, its places to listen at, and the metrics format.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <math.h>
#include <netinet/in.h>
#include <pthread.h>
#include <pwd.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "runtime/base/clock.h"
#include "runtime/base/listener.h"
#include "runtime/control/control.h"
#include "runtime/control/listen.h"
#include "runtime/control/metrics.h"

#define TOKEN "0123456789abcdef"

struct bench {
    char dir[64], path[96];
    struct sl_control *control;
    bool healthy, fails;
    char asked[64], body[64];
    size_t body_bytes;
    struct sl_control_who who;
    pthread_barrier_t *inside; /* the command "slow" waits here twice */
};

static int bench_status(void *user, struct sl_buf *json)
{
    struct bench *bench = user;
    if (bench->fails)
        return -1;
    sl_buf_text(json, "{\"node\":\"n\"}");
    return 0;
}

static int bench_metrics(void *user, struct sl_buf *text)
{
    (void)user;
    sl_buf_text(text, "# HELP a_total b\n");
    return 0;
}

static int bench_healthy(void *user, char *why, size_t bytes)
{
    struct bench *bench = user;
    (void)snprintf(why, bytes, "topology secret is \"stuck\"");
    return bench->healthy;
}

static int bench_command(void *user, const struct sl_control_who *who, const char *path, const char *body, struct sl_buf *json)
{
    struct bench *bench = user;
    bench->who = *who;
    (void)snprintf(bench->asked, sizeof(bench->asked), "%s", path);
    (void)snprintf(bench->body, sizeof(bench->body), "%s", body);
    bench->body_bytes = strlen(body);
    if (strcmp(path, "slow") == 0) {
        (void)pthread_barrier_wait(bench->inside);
        (void)pthread_barrier_wait(bench->inside);
    }
    if (strcmp(path, "unknown") == 0)
        return 1;
    if (strcmp(path, "broken") == 0)
        return -1;
    sl_buf_text(json, strcmp(path, "told") == 0 ? "{\"error\":\"told\"}" : "{\"done\":true}");
    return strcmp(path, "told") == 0 ? -1 : 0;
}

struct bench_stream {
    struct sl_control_stream stream; /* first */
    int lines;
};

static int64_t bench_stream_read(struct sl_control_stream *self, char *to, size_t bytes)
{
    struct bench_stream *stream = (struct bench_stream *)(void *)self;
    assert_true(bytes >= 32);
    return stream->lines == 3 ? -1 : snprintf(to, bytes, "{\"line\":%d}\n", ++stream->lines);
}

static void bench_stream_close(struct sl_control_stream *self)
{
    free(self);
}

static int bench_watch(void *user, const char *path, struct sl_control_stream **ret_stream, struct sl_buf *json)
{
    struct bench *bench = user;
    struct bench_stream *stream = calloc(1, sizeof(*stream));
    (void)snprintf(bench->asked, sizeof(bench->asked), "%s", path);
    if (strcmp(path, "nothing") == 0) {
        free(stream);
        sl_buf_text(json, "{\"error\":\"no topology nothing\"}");
        return -1;
    }
    if (strcmp(path, "endless") == 0)
        stream->lines = -1000000000;
    stream->stream = (struct sl_control_stream){bench_stream_read, bench_stream_close};
    *ret_stream = &stream->stream;
    return 0;
}

static int bench_open(void **state)
{
    struct bench *bench = calloc(1, sizeof(*bench));
    struct sl_err err;
    assert_non_null(bench);
    (void)snprintf(bench->dir, sizeof(bench->dir), "/tmp/sl-control-XXXXXX");
    assert_non_null(mkdtemp(bench->dir));
    (void)snprintf(bench->path, sizeof(bench->path), "%s/control.sock", bench->dir);
    bench->healthy = true;
    struct sl_control_source source = {.user = bench,
                                       .status = bench_status,
                                       .metrics = bench_metrics,
                                       .healthy = bench_healthy,
                                       .ready = bench_healthy,
                                       .command = bench_command,
                                       .watch = bench_watch};
    struct sl_control_settings settings = {.socket = bench->path, .listen = "127.0.0.1:0", .token = TOKEN};
    assert_int_equal(sl_control_open(&settings, &source, &bench->control, &err), 0);
    *state = bench;
    return 0;
}

static int bench_close(void **state)
{
    struct bench *bench = *state;
    bench->control = sl_control_close(bench->control);
    assert_int_equal(access(bench->path, F_OK), -1); /* its name is gone */
    assert_int_equal(rmdir(bench->dir), 0);
    free(bench);
    return 0;
}

static int connect_unix(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

static int connect_tcp(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

/* Sends one request and reads the answer to its end. The status; the whole answer in ret_answer. */
static int exchange(int fd, const char *method, const char *path, const char *headers, const char *body, size_t body_bytes,
                    struct sl_buf *ret_answer)
{
    struct sl_buf request = {0};
    int status = 0;
    sl_buf_printf(&request, "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%sContent-Length: %zu\r\n\r\n", method, path,
                  headers, body_bytes);
    sl_buf_append(&request, body, body_bytes);
    for (size_t sent = 0; sent < request.bytes;) {
        ssize_t count = send(fd, request.data + sent, request.bytes - sent, MSG_NOSIGNAL);
        assert_true(count > 0);
        sent += (size_t)count;
    }
    sl_buf_reset(ret_answer);
    for (;;) {
        char *room = sl_buf_reserve(ret_answer, 4096);
        ssize_t count = read(fd, room, 4096);
        if (count <= 0)
            break;
        sl_buf_added(ret_answer, (size_t)count);
    }
    (void)close(fd);
    sl_buf_fini(&request);
    assert_int_equal(sscanf(sl_buf_str(ret_answer), "HTTP/1.1 %d", &status), 1);
    return status;
}

static int ask(struct bench *bench, const char *method, const char *path, const char *body, struct sl_buf *ret_answer)
{
    return exchange(connect_unix(bench->path), method, path, "", body, strlen(body), ret_answer);
}

static void test_status_metrics_and_the_page_are_served(void **state)
{
    struct bench *bench = *state;
    struct sl_buf answer = {0};
    assert_int_equal(ask(bench, "GET", "/status", "", &answer), 200);
    assert_non_null(strstr(answer.data, "application/json"));
    assert_non_null(strstr(answer.data, "\r\n\r\n{\"node\":\"n\"}"));
    assert_int_equal(ask(bench, "GET", "/metrics", "", &answer), 200);
    assert_non_null(strstr(answer.data, "text/plain; version=0.0.4"));
    assert_int_equal(ask(bench, "GET", "/", "", &answer), 200);
    assert_non_null(strstr(answer.data, "text/html"));
    assert_non_null(strstr(answer.data, "</html>"));
    assert_null(strstr(answer.data, "http://")); /* nothing from elsewhere */
    assert_null(strstr(answer.data, "https://"));
    assert_int_equal(ask(bench, "HEAD", "/status", "", &answer), 200);
    assert_null(strstr(answer.data, "node"));
    bench->fails = true;
    assert_int_equal(ask(bench, "GET", "/status", "", &answer), 503);
    sl_buf_fini(&answer);
}

static void test_probes_tell_the_reason(void **state)
{
    struct bench *bench = *state;
    struct sl_buf answer = {0};
    assert_int_equal(ask(bench, "GET", "/healthz", "", &answer), 200);
    assert_int_equal(ask(bench, "GET", "/readyz", "", &answer), 200);
    bench->healthy = false;
    assert_int_equal(ask(bench, "GET", "/healthz", "", &answer), 503);
    assert_non_null(strstr(answer.data, "{\"error\":\"topology secret is \\\"stuck\\\"\"}"));
    assert_int_equal(ask(bench, "GET", "/readyz", "", &answer), 503);
    sl_buf_fini(&answer);
}

static void test_wrong_paths_and_methods_are_refused_in_json(void **state)
{
    struct bench *bench = *state;
    struct sl_buf answer = {0};
    assert_int_equal(ask(bench, "GET", "/nothing", "", &answer), 404);
    assert_non_null(strstr(answer.data, "\r\n\r\n{\"error\":\"no such path"));
    assert_int_equal(ask(bench, "GET", "/statusx", "", &answer), 404);
    assert_int_equal(ask(bench, "POST", "/status", "x", &answer), 405);
    assert_non_null(strstr(answer.data, "Allow: GET"));
    assert_int_equal(ask(bench, "GET", "/command/audit", "", &answer), 405);
    assert_non_null(strstr(answer.data, "Allow: POST"));
    assert_int_equal(ask(bench, "DELETE", "/", "", &answer), 405);
    sl_buf_fini(&answer);
}

static void test_a_command_gets_its_path_and_body(void **state)
{
    struct bench *bench = *state;
    struct sl_buf answer = {0};
    assert_int_equal(ask(bench, "POST", "/command/audit/now", "{\"a\":1}", &answer), 200);
    assert_string_equal(bench->asked, "audit/now");
    assert_string_equal(bench->body, "{\"a\":1}");
    assert_non_null(strstr(answer.data, "{\"done\":true}"));
    assert_int_equal(ask(bench, "POST", "/command/empty", "", &answer), 200);
    assert_string_equal(bench->body, "");
    assert_int_equal(ask(bench, "POST", "/command/unknown", "", &answer), 404);
    assert_int_equal(ask(bench, "POST", "/command/broken", "", &answer), 500);
    assert_non_null(strstr(answer.data, "{\"error\":"));
    assert_int_equal(ask(bench, "POST", "/command/told", "", &answer), 500);
    assert_non_null(strstr(answer.data, "{\"error\":\"told\"}"));
    sl_buf_fini(&answer);
}

static void test_a_command_is_told_who_asks(void **state)
{
    struct bench *bench = *state;
    struct sl_buf answer = {0};
    const struct passwd *user = getpwuid(geteuid());
    assert_int_equal(ask(bench, "POST", "/command/x", "", &answer), 200);
    assert_true(bench->who.local);
    assert_int_equal(bench->who.uid, geteuid());
    assert_int_equal(bench->who.gid, getegid());
    assert_int_equal(bench->who.pid, getpid());
    if (user != NULL)
        assert_string_equal(bench->who.text, user->pw_name);
    assert_int_equal(exchange(connect_tcp(sl_control_port(bench->control)), "POST", "/command/x",
                              "Authorization: Bearer " TOKEN "\r\n", "", 0, &answer), 200);
    assert_false(bench->who.local);
    assert_string_equal(bench->who.text, "token 127.0.0.1");
    sl_buf_fini(&answer);
}

static void *ask_slow(void *user)
{
    struct sl_buf answer = {0};
    int status = ask(user, "POST", "/command/slow", "", &answer);
    sl_buf_fini(&answer);
    return (void *)(uintptr_t)status; /* NOLINT: a number */
}

/* A deployment that opens a hanging back-end must not make the process look dead. */
static void test_a_command_that_takes_long_keeps_no_question_waiting(void **state)
{
    struct bench *bench = *state;
    pthread_barrier_t inside;
    struct sl_buf answer = {0};
    pthread_t thread;
    void *status;
    (void)pthread_barrier_init(&inside, NULL, 2);
    bench->inside = &inside;
    assert_int_equal(pthread_create(&thread, NULL, ask_slow, bench), 0);
    (void)pthread_barrier_wait(&inside);
    assert_int_equal(ask(bench, "GET", "/healthz", "", &answer), 200);
    assert_int_equal(ask(bench, "GET", "/status", "", &answer), 200);
    assert_int_equal(ask(bench, "GET", "/watch/t", "", &answer), 200);
    assert_int_equal(ask(bench, "POST", "/command/rollback", "", &answer), 200); /* nor another command */
    (void)pthread_barrier_wait(&inside);
    assert_int_equal(pthread_join(thread, &status), 0);
    assert_int_equal((uintptr_t)status, 200);
    (void)pthread_barrier_destroy(&inside);
    sl_buf_fini(&answer);
}

static void *close_it(void *user)
{
    struct bench *bench = user;
    bench->control = sl_control_close(bench->control);
    return NULL;
}

/* `sluice drain` of the last topology: the process ends because of it. */
static void test_an_order_that_ends_the_process_is_answered(void **state)
{
    struct bench *bench = *state;
    pthread_barrier_t inside;
    pthread_t asks, closes;
    void *status;
    (void)pthread_barrier_init(&inside, NULL, 2);
    bench->inside = &inside;
    assert_int_equal(pthread_create(&asks, NULL, ask_slow, bench), 0);
    (void)pthread_barrier_wait(&inside);
    assert_int_equal(pthread_create(&closes, NULL, close_it, bench), 0);
    while (access(bench->path, F_OK) == 0) /* closing has begun */
        (void)sched_yield();
    (void)pthread_barrier_wait(&inside);
    assert_int_equal(pthread_join(asks, &status), 0);
    assert_int_equal((uintptr_t)status, 200);
    assert_int_equal(pthread_join(closes, NULL), 0);
    (void)pthread_barrier_destroy(&inside);
}

static void test_what_is_watched_comes_as_lines_until_it_ends(void **state)
{
    struct bench *bench = *state;
    struct sl_buf answer = {0};
    assert_int_equal(ask(bench, "GET", "/watch/orders", "", &answer), 200);
    assert_string_equal(bench->asked, "orders");
    assert_non_null(strstr(answer.data, "application/x-ndjson"));
    assert_non_null(strstr(answer.data, "{\"line\":1}"));
    assert_non_null(strstr(answer.data, "{\"line\":3}"));
    assert_int_equal(ask(bench, "GET", "/watch/nothing", "", &answer), 404);
    assert_non_null(strstr(answer.data, "{\"error\":\"no topology nothing\"}"));
    assert_int_equal(ask(bench, "GET", "/tap/t/s", "", &answer), 404);
    assert_int_equal(exchange(connect_tcp(sl_control_port(bench->control)), "GET", "/watch/orders", "", "", 0, &answer), 401);
    sl_buf_fini(&answer);
}

static void test_a_body_above_the_limit_is_refused(void **state)
{
    struct bench *bench = *state;
    struct sl_buf answer = {0};
    size_t bytes = (1 << 20) + 1;
    char *body = malloc(bytes);
    memset(body, 'a', bytes);
    assert_int_equal(exchange(connect_unix(bench->path), "POST", "/command/x", "", body, bytes, &answer), 413);
    assert_string_equal(bench->asked, "");
    assert_int_equal(exchange(connect_unix(bench->path), "POST", "/command/x", "", body, bytes - 1, &answer), 200);
    assert_int_equal(bench->body_bytes, bytes - 1);
    free(body);
    sl_buf_fini(&answer);
}

static void test_tcp_wants_the_token_and_the_socket_does_not(void **state)
{
    struct bench *bench = *state;
    struct sl_buf answer = {0};
    uint16_t port = sl_control_port(bench->control);
    const char *wrong[] = {"", "Authorization: Bearer 0123456789abcdeX\r\n", "Authorization: Bearer 0123456789abcde\r\n",
                           "Authorization: Bearer 0123456789abcdef0\r\n", "Authorization: Basic " TOKEN "\r\n"};
    assert_true(port > 0);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_int_equal(exchange(connect_tcp(port), "GET", "/status", wrong[i], "", 0, &answer), 401);
        assert_non_null(strstr(answer.data, "WWW-Authenticate: Bearer"));
        assert_int_equal(exchange(connect_tcp(port), "POST", "/command/x", wrong[i], "", 0, &answer), 401);
    }
    assert_string_equal(bench->asked, "");
    assert_int_equal(
        exchange(connect_tcp(port), "GET", "/status", "Authorization: Bearer " TOKEN "\r\n", "", 0, &answer), 200);
    assert_int_equal(exchange(connect_tcp(port), "GET", "/", "", "", 0, &answer), 200);
    bench->healthy = false;
    assert_int_equal(exchange(connect_tcp(port), "GET", "/healthz", "", "", 0, &answer), 503);
    assert_null(strstr(answer.data, "secret")); /* a stranger learns the verdict, not the reason */
    sl_buf_fini(&answer);
}

static void *ask_often(void *user)
{
    struct bench *bench = user;
    struct sl_buf answer = {0};
    uintptr_t good = 0;
    for (int i = 0; i < 20; i++)
        good += ask(bench, "GET", "/status", "", &answer) == 200;
    sl_buf_fini(&answer);
    return (void *)good; /* NOLINT: a count */
}

static void test_many_clients_at_once_are_all_answered(void **state)
{
    pthread_t threads[8];
    for (int i = 0; i < 8; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, ask_often, *state), 0);
    for (int i = 0; i < 8; i++) {
        void *good;
        assert_int_equal(pthread_join(threads[i], &good), 0);
        assert_int_equal((uintptr_t)good, 20);
    }
}

static void test_the_socket_is_for_user_and_group_only(void **state)
{
    struct bench *bench = *state;
    struct stat found;
    assert_int_equal(stat(bench->path, &found), 0);
    assert_true(S_ISSOCK(found.st_mode));
    assert_int_equal(found.st_mode & 0777, 0660);
}

/* Connects to an abstract socket as nobody; the child's creds are what the listener sees. */
static void stranger(const struct sockaddr_un *address)
{
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    char byte;
    if (setgid(65534) != 0 || setuid(65534) != 0 || connect(fd, (const struct sockaddr *)address, sizeof(*address)) != 0)
        _exit(1);
    (void)read(fd, &byte, 1); /* until the listener hangs up */
    _exit(0);
}

static void test_a_strangers_process_is_not_allowed(void **state)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int status = 1, listener = socket(AF_UNIX, SOCK_STREAM, 0);
    (void)state;
    if (geteuid() != 0)
        skip(); /* nobody else to be */
    (void)snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "sl-test-%d", (int)getpid());
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(listener, 2), 0);
    pid_t child = fork();
    if (child == 0)
        stranger(&address);
    int theirs = accept(listener, NULL, NULL);
    assert_false(sl_listen_peer_allowed(theirs));
    (void)close(theirs);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    int mine = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(connect(mine, (struct sockaddr *)&address, sizeof(address)), 0);
    int accepted = accept(listener, NULL, NULL);
    assert_true(sl_listen_peer_allowed(accepted));
    (void)close(accepted);
    (void)close(mine);
    (void)close(listener);
}

static void test_a_live_socket_is_refused_and_a_stale_one_replaced(void **state)
{
    struct bench *bench = *state;
    struct sl_control_source source = {0};
    struct sl_control_settings settings = {.socket = bench->path};
    struct sl_control *second = NULL;
    struct sl_err err;
    struct sl_buf answer = {0};
    assert_int_equal(sl_control_open(&settings, &source, &second, &err), -SL_E_IO);
    assert_non_null(strstr(err.text, bench->path));
    assert_non_null(strstr(err.text, "listens there already"));
    assert_int_equal(ask(bench, "GET", "/status", "", &answer), 200); /* the first one is unharmed */

    char stale[96], live[96];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int other = socket(AF_UNIX, SOCK_STREAM, 0); /* as good as another process's: nothing here knows of it */
    (void)snprintf(live, sizeof(live), "%s/live", bench->dir);
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", live);
    assert_int_equal(bind(other, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(other, 1), 0);
    settings.socket = live;
    assert_int_equal(sl_control_open(&settings, &source, &second, &err), -SL_E_CONFIG);
    assert_non_null(strstr(err.text, "another process listens there"));
    (void)close(other);
    assert_int_equal(unlink(live), 0);
    (void)snprintf(stale, sizeof(stale), "%s/stale", bench->dir);
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", stale);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    (void)close(fd); /* its file stays, nobody listens */
    settings.socket = stale;
    assert_int_equal(sl_control_open(&settings, &source, &second, &err), 0);
    assert_int_equal(exchange(connect_unix(stale), "GET", "/readyz", "", "", 0, &answer), 200);
    assert_int_equal(exchange(connect_unix(stale), "GET", "/status", "", "", 0, &answer), 404); /* not offered */
    second = sl_control_close(second);
    assert_int_equal(access(stale, F_OK), -1);
    sl_buf_fini(&answer);
}

static void test_quiesced_connections_wait_until_it_goes_on(void **state)
{
    struct bench *bench = *state;
    struct sl_buf answer = {0};
    struct sl_err err;
    int waits, kept = connect_unix(bench->path);
    static const char request[] = "GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    char byte;

    sl_listener_keep(true);
    sl_control_quiesce(bench->control, NULL);
    waits = connect_unix(bench->path); /* not refused */
    assert_int_equal(send(waits, request, sizeof(request) - 1, 0), sizeof(request) - 1);
    assert_int_equal(recv(waits, &byte, 1, MSG_DONTWAIT), -1); /* and not answered */
    assert_int_equal(sl_control_resume(bench->control, &err), 0);
    sl_listener_keep(false);
    assert_int_equal(recv(waits, &byte, 1, 0), 1);
    assert_int_equal(byte, 'H');
    assert_int_equal(ask(bench, "GET", "/status", "", &answer), 200);
    (void)close(waits);
    (void)close(kept);
    sl_buf_fini(&answer);
}

/* What comes in one second; true: the end of the stream was in it. */
static bool stream_ends(int fd)
{
    struct timeval patience = {.tv_sec = 60};
    uint64_t until_ns = sl_clock_now_ns() + SL_NS_PER_S;
    char text[65536];
    ssize_t got = 1;

    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)), 0);
    while (got > 0 && sl_clock_now_ns() < until_ns) {
        got = recv(fd, text, sizeof(text), 0);
        assert_true(got >= 0);
        if (got >= 5 && memcmp(text + got - 5, "0\r\n\r\n", 5) == 0)
            return true;
    }
    return got == 0;
}

static void test_quiescing_ends_streams_but_for_those_spared(void **state)
{
    struct bench *bench = *state;
    struct sl_err err;
    static const char request[] = "GET /watch/endless HTTP/1.1\r\nHost: x\r\n\r\n";
    int fd = connect_unix(bench->path);

    assert_int_equal(send(fd, request, sizeof(request) - 1, 0), sizeof(request) - 1);
    sl_listener_keep(true);
    assert_false(stream_ends(fd));
    sl_control_quiesce(bench->control, bench_stream_read);
    assert_false(stream_ends(fd));
    assert_int_equal(sl_control_resume(bench->control, &err), 0);
    sl_control_quiesce(bench->control, NULL);
    while (!stream_ends(fd)) /* what was on its way comes first */
        ;
    assert_int_equal(sl_control_resume(bench->control, &err), 0);
    sl_listener_keep(false);
    (void)close(fd);
}

static void test_a_file_in_the_way_is_not_removed(void **state)
{
    struct bench *bench = *state;
    struct sl_control_settings settings = {0};
    struct sl_control *second = NULL;
    struct sl_err err;
    char path[96];
    (void)snprintf(path, sizeof(path), "%s/file", bench->dir);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    (void)fclose(file);
    settings.socket = path;
    assert_int_equal(sl_control_open(&settings, &(struct sl_control_source){0}, &second, &err), -SL_E_CONFIG);
    assert_non_null(strstr(err.text, "no socket"));
    assert_int_equal(unlink(path), 0);
}

static void test_a_socket_replaced_by_another_is_left_alone_at_close(void **state)
{
    struct bench *bench = *state;
    struct sl_control_settings settings = {0};
    struct sl_control *second = NULL;
    struct sl_err err;
    char path[96];
    (void)snprintf(path, sizeof(path), "%s/second", bench->dir);
    settings.socket = path;
    assert_int_equal(sl_control_open(&settings, &(struct sl_control_source){0}, &second, &err), 0);
    assert_int_equal(rename(bench->path, path), 0); /* over ours: now it is the first one's */
    second = sl_control_close(second);
    assert_int_equal(rename(path, bench->path), 0);
}

static void test_bad_places_are_refused_with_the_reason(void **state)
{
    static const char *const listens[] = {"8080", ":8080", "127.0.0.1:", "127.0.0.1:99999", "127.0.0.1:8x"};
    struct sl_control_settings settings = {.token = TOKEN};
    struct sl_control *control = NULL;
    struct sl_err err;
    char path[200];
    (void)state;
    for (size_t i = 0; i < sizeof(listens) / sizeof(listens[0]); i++) {
        settings.listen = listens[i];
        assert_true(sl_control_open(&settings, &(struct sl_control_source){0}, &control, &err) < 0);
        assert_non_null(strstr(err.text, listens[i]));
    }
    settings.listen = "127.0.0.1:0";
    settings.token = "short";
    assert_int_equal(sl_control_open(&settings, &(struct sl_control_source){0}, &control, &err), -SL_E_CONFIG);
    assert_non_null(strstr(err.text, "control.token"));
    settings.listen = NULL;
    memset(path, 'a', sizeof(path));
    path[0] = '/';
    path[108] = '\0'; /* one too long */
    settings.socket = path;
    assert_int_equal(sl_control_open(&settings, &(struct sl_control_source){0}, &control, &err), -SL_E_CONFIG);
    assert_non_null(strstr(err.text, "108 bytes"));
    settings.socket = "/nonexistent-folder/control.sock";
    assert_int_equal(sl_control_open(&settings, &(struct sl_control_source){0}, &control, &err), -SL_E_IO);
    assert_non_null(strstr(err.text, settings.socket));
}

static void test_metrics_have_headers_and_escaped_labels(void **state)
{
    static const struct sl_metric_row records = {
        "sluice_records_total", SL_METRIC_COUNTER, "Records\nby \\fate.", {"sink", "fate", NULL}};
    static const struct sl_metric_row lag = {"sluice_lag_seconds", SL_METRIC_GAUGE, "Lag.", {NULL}};
    static const struct sl_metric_row batch = {"sluice_batch_seconds", SL_METRIC_HISTOGRAM, "Time.", {"sink", NULL}};
    const char *values[] = {"a\"b\\c\nd", NULL};
    const double bounds[] = {0.1, 1};
    const uint64_t counts[] = {2, 0, 3};
    struct sl_buf buf = {0};
    struct sl_metrics metrics = {.buf = &buf};
    (void)state;
    sl_metrics_family(&metrics, &records);
    sl_metrics_u64(&metrics, &records, values, UINT64_MAX);
    sl_metrics_family(&metrics, &lag);
    sl_metrics_f64(&metrics, &lag, NULL, 0.1);
    sl_metrics_f64(&metrics, &lag, NULL, (double)NAN);
    sl_metrics_f64(&metrics, &lag, NULL, -(double)INFINITY);
    sl_metrics_family(&metrics, &batch);
    values[0] = "s";
    sl_metrics_histogram(&metrics, &batch, values, bounds, 2, counts, 12.5);
    assert_string_equal(sl_buf_str(&buf), "# HELP sluice_records_total Records\\nby \\\\fate.\n"
                                          "# TYPE sluice_records_total counter\n"
                                          "sluice_records_total{sink=\"a\\\"b\\\\c\\nd\",fate=\"\"} 18446744073709551615\n"
                                          "# HELP sluice_lag_seconds Lag.\n"
                                          "# TYPE sluice_lag_seconds gauge\n"
                                          "sluice_lag_seconds 0.1\n"
                                          "sluice_lag_seconds NaN\n"
                                          "sluice_lag_seconds -Inf\n"
                                          "# HELP sluice_batch_seconds Time.\n"
                                          "# TYPE sluice_batch_seconds histogram\n"
                                          "sluice_batch_seconds_bucket{sink=\"s\",le=\"0.1\"} 2\n"
                                          "sluice_batch_seconds_bucket{sink=\"s\",le=\"1\"} 2\n"
                                          "sluice_batch_seconds_bucket{sink=\"s\",le=\"+Inf\"} 5\n"
                                          "sluice_batch_seconds_sum{sink=\"s\"} 12.5\n"
                                          "sluice_batch_seconds_count{sink=\"s\"} 5\n");
    sl_buf_fini(&buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_status_metrics_and_the_page_are_served, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_probes_tell_the_reason, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_wrong_paths_and_methods_are_refused_in_json, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_a_command_gets_its_path_and_body, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_a_command_is_told_who_asks, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_a_command_that_takes_long_keeps_no_question_waiting, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_an_order_that_ends_the_process_is_answered, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_what_is_watched_comes_as_lines_until_it_ends, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_a_body_above_the_limit_is_refused, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_tcp_wants_the_token_and_the_socket_does_not, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_many_clients_at_once_are_all_answered, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_the_socket_is_for_user_and_group_only, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_a_live_socket_is_refused_and_a_stale_one_replaced, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_quiesced_connections_wait_until_it_goes_on, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_quiescing_ends_streams_but_for_those_spared, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_a_file_in_the_way_is_not_removed, bench_open, bench_close),
        cmocka_unit_test_setup_teardown(test_a_socket_replaced_by_another_is_left_alone_at_close, bench_open, bench_close),
        cmocka_unit_test(test_a_strangers_process_is_not_allowed),
        cmocka_unit_test(test_bad_places_are_refused_with_the_reason),
        cmocka_unit_test(test_metrics_have_headers_and_escaped_labels),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
