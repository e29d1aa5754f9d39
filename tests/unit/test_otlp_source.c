/* test_otlp_source.c: the otlp source over real sockets and a real spool: answers in the request's content type, and only when durable.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

#include "operators/sources/http/server.h"
#include "operators/sources/sources.h"
#include "tests/support/fake_slot.c"
#include "tests/support/front_rig.h"

#define JSON "Content-Type: application/json\r\n"
#define PROTOBUF "Content-Type: application/x-protobuf\r\n"

static struct front_rig rig;
static char last[8192]; /* the whole answer */

static void otlp_config(void)
{
    bool yes = true;

    rig_init(&rig, &sl_source_otlp);
    rig_set_text(&rig, "listen", "127.0.0.1:0");
    rig_set_text(&rig, "path", "/v1/logs");
    rig_set_u64(&rig, "max_body", 64 << 10);
    rig_set_u64(&rig, "memory", 1 << 20);
    rig_set_u64(&rig, "connections", 100);
    rig_set_u64(&rig, "timeout", 60000000000ull);
    rig_set_u64(&rig, "partitions", 1);
    rig_set(&rig, "healthz", &yes, sizeof(yes));
    rig.slot.api.max_record_bytes = 200;
}

static void close_all(void)
{
    rig_close(&rig);
    rig_fini(&rig);
}

static int begin(const char *method, const char *path, const char *headers, const void *body, size_t bytes)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(sl_http_port(rig.slot.api.shared)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    char head[1024];
    int n = snprintf(head, sizeof(head), "%s %s HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\nConnection: close\r\n%s\r\n", method, path,
                     bytes, headers);

    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    assert_int_equal(send(fd, head, (size_t)n, MSG_NOSIGNAL), n);
    assert_int_equal(send(fd, body, bytes, MSG_NOSIGNAL), bytes);
    return fd;
}

static size_t last_bytes;

static int end(int fd)
{
    ssize_t n;

    last_bytes = 0;
    while (last_bytes + 1 < sizeof(last) && (n = recv(fd, last + last_bytes, sizeof(last) - 1 - last_bytes, 0)) > 0)
        last_bytes += (size_t)n;
    last[last_bytes] = '\0';
    (void)close(fd);
    assert_true(last_bytes > 12);
    return atoi(last + 9);
}

static int post(const char *headers, const void *body, size_t bytes)
{
    return end(begin("POST", "/v1/logs", headers, body, bytes));
}

static int post_json(const char *body)
{
    return post(JSON, body, strlen(body));
}

static const char *answer(void)
{
    return strstr(last, "\r\n\r\n") + 4;
}

static size_t answer_bytes(void)
{
    return last_bytes - (size_t)(answer() - last);
}

static const char *taken(void)
{
    static char text[8192];
    size_t at = 0;

    while (rig_poll(&rig) == 1)
        for (uint32_t i = 0; i < rig.batch.count; i++)
            at += (size_t)snprintf(text + at, sizeof(text) - at, "%.*s|", (int)rig.batch.raw[i].bytes, rig.batch.raw[i].data);
    text[at] = '\0';
    return text;
}

#define LOGS(records) "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[" records "]}]}]}"
#define SMALL "{\"body\":{\"stringValue\":\"small\"}}"
#define X50 "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
#define LARGE "{\"body\":{\"stringValue\":\"" X50 X50 X50 X50 "\"}}"

/* resource_logs { scope_logs { log_records { body { string_value: "p" } } } } */
static const char small_protobuf[] = "\x0a\x09\x12\x07\x12\x05\x2a\x03\x0a\x01p";

static void test_records_are_durable_when_answered_in_the_content_type_asked(void **state)
{
    (void)state;
    otlp_config();
    rig_open(&rig);
    assert_int_equal(post_json(LOGS(SMALL ",{\"severityNumber\":9}")), 200);
    assert_string_equal(answer(), "{}");
    assert_non_null(strstr(last, "Content-Type: application/json\r\n"));
    assert_string_equal(taken(), "{\"body\":\"small\"}|{\"level\":\"info\",\"severity_number\":9}|");
    assert_int_equal(post(PROTOBUF, small_protobuf, sizeof(small_protobuf) - 1), 200);
    assert_int_equal(answer_bytes(), 0);
    assert_non_null(strstr(last, "Content-Type: application/x-protobuf\r\n"));
    assert_string_equal(taken(), "{\"body\":\"p\"}|");
    assert_int_equal(post(PROTOBUF, "", 0), 200);
    assert_int_equal(post_json("{}"), 200);
    assert_string_equal(taken(), "");
    close_all();
}

static void test_gzip_bodies_are_unpacked(void **state)
{
    char packed[256];
    z_stream z = {.next_in = (z_const Bytef *)(uintptr_t)small_protobuf, .avail_in = sizeof(small_protobuf) - 1,
                  .next_out = (Bytef *)packed, .avail_out = sizeof(packed)};
    (void)state;
    otlp_config();
    rig_open(&rig);
    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    assert_int_equal(post(PROTOBUF "Content-Encoding: gzip\r\n", packed, z.total_out), 200);
    assert_int_equal(post(PROTOBUF "Content-Encoding: gzip\r\n", packed, z.total_out - 3), 400);
    (void)deflateEnd(&z);
    assert_string_equal(taken(), "{\"body\":\"p\"}|");
    close_all();
}

static void test_what_is_wrong_is_refused_with_a_status(void **state)
{
    (void)state;
    otlp_config();
    rig_open(&rig);
    assert_int_equal(post(PROTOBUF, "garbage", 7), 400);
    assert_true(answer_bytes() > 2 && answer()[0] == 0x12); /* google.rpc.Status.message */
    assert_non_null(strstr(answer(), "ExportLogsServiceRequest"));
    assert_int_equal(post_json("{"), 400);
    assert_non_null(strstr(answer(), "{\"message\":\"the body is no JSON"));
    assert_int_equal(post_json("{\"resourceLogs\":{}}"), 400);
    assert_int_equal(post("Content-Type: text/plain\r\n", "x", 1), 415);
    assert_int_equal(post("Content-Type: application/jsonx\r\n", "{}", 2), 415);
    assert_int_equal(post("", "{}", 2), 415);
    assert_int_equal(end(begin("POST", "/v1/traces", JSON, "{}", 2)), 404);
    assert_int_equal(end(begin("PUT", "/v1/logs", JSON, "{}", 2)), 405);
    assert_int_equal(end(begin("GET", "/healthz", "", "", 0)), 200);
    assert_string_equal(taken(), "");
    close_all();
}

static void test_what_can_never_be_taken_is_a_partial_success(void **state)
{
    (void)state;
    otlp_config();
    rig_open(&rig);
    assert_int_equal(post_json(LOGS(LARGE "," SMALL "," LARGE)), 200);
    assert_string_equal(answer(), "{\"partialSuccess\":{\"rejectedLogRecords\":\"2\",\"errorMessage\":\"larger than max_record, with its resource "
                                  "and scope\"}}");
    assert_string_equal(taken(), "{\"body\":\"small\"}|");
    assert_int_equal(post_json(LOGS(LARGE)), 200); /* nothing is left of it: nothing is appended */
    assert_non_null(strstr(answer(), "\"1\""));
    assert_string_equal(taken(), "");
    close_all();
}

static void test_a_full_queue_is_429_with_a_time_to_come_again(void **state)
{
    struct sl_spool_topic *topic;
    int fd;
    (void)state;
    otlp_config();
    rig.spool = sl_spool_close(rig.spool);
    rig.settings.no_thread = true; /* nothing is written until we say so */
    rig.settings.append_queue_bytes = 1;
    rig_spool_open(&rig);
    rig_open(&rig);
    assert_int_equal(sl_spool_topic(rig.spool, "t.s", 1, &topic, NULL), 0);
    fd = begin("POST", "/v1/logs", JSON, LOGS(SMALL), strlen(LOGS(SMALL)));
    while (!sl_spool_is_full(topic))
        (void)sched_yield();
    assert_int_equal(post(PROTOBUF, small_protobuf, sizeof(small_protobuf) - 1), 429);
    assert_non_null(strstr(last, "Retry-After: 1\r\n"));
    assert_true(answer()[0] == 0x12);
    (void)sl_spool_write_turn(rig.spool);
    assert_int_equal(end(fd), 200);
    assert_string_equal(taken(), "{\"body\":\"small\"}|");
    close_all();
}

static atomic_bool disk_full;

static int64_t full_pwrite(struct sl_fs *fs, int fd, const void *data, size_t bytes, uint64_t at)
{
    (void)fs;
    return atomic_load(&disk_full) ? -ENOSPC : sl_fs_posix()->pwrite(sl_fs_posix(), fd, data, bytes, at);
}

static void test_a_full_disk_is_503_until_there_is_room(void **state)
{
    struct sl_fs fs = *sl_fs_posix();
    int status;
    (void)state;
    fs.pwrite = full_pwrite;
    otlp_config();
    rig.spool = sl_spool_close(rig.spool);
    rig.fs = &fs;
    rig_spool_open(&rig);
    rig_open(&rig);
    atomic_store(&disk_full, true);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(post_json(LOGS(SMALL)), 503);
        assert_non_null(strstr(last, "Retry-After: 5"));
        assert_non_null(strstr(answer(), "{\"message\":"));
    }
    atomic_store(&disk_full, false);
    while ((status = post_json(LOGS(SMALL))) == 503 || status == 429)
        (void)sched_yield(); /* the spool finds out by itself */
    assert_int_equal(status, 200);
    assert_string_equal(taken(), "{\"body\":\"small\"}|");
    close_all();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_records_are_durable_when_answered_in_the_content_type_asked),
        cmocka_unit_test(test_gzip_bodies_are_unpacked),
        cmocka_unit_test(test_what_is_wrong_is_refused_with_a_status),
        cmocka_unit_test(test_what_can_never_be_taken_is_a_partial_success),
        cmocka_unit_test(test_a_full_queue_is_429_with_a_time_to_come_again),
        cmocka_unit_test(test_a_full_disk_is_503_until_there_is_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
