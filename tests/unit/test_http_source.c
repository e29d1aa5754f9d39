/* test_http_source.c: the http source over real sockets and a real spool.
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
#include <zstd.h>

#include "operators/sources/http/server.h"
#include "operators/sources/http/http_body.h"
#include "operators/sources/http/http_keys.h"
#include "operators/sources/sources.h"
#include "runtime/config/kind.h"
#include "tests/support/fake_slot.c"
#include "tests/support/front_rig.h"

static void http_config(struct front_rig *rig)
{
    bool yes = true;

    rig_init(rig, &sl_source_http);
    rig_set_text(rig, "listen", "127.0.0.1:0");
    rig_set_text(rig, "path", "/logs");
    rig_set_u64(rig, "max_body", 64 << 10);
    rig_set_u64(rig, "memory", 1 << 20);
    rig_set_u64(rig, "connections", 100);
    rig_set_u64(rig, "timeout", 60000000000ull);
    rig_set_u64(rig, "idempotency", 600000000000ull);
    rig_set_u64(rig, "partitions", 2);
    rig_set(rig, "healthz", &yes, sizeof(yes));
    rig->slot.api.max_record_bytes = 1000;
}

static int http_connect(const struct front_rig *rig)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(sl_http_port(rig->slot.api.shared)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    return fd;
}

static void http_write(int fd, const void *data, size_t bytes)
{
    for (size_t at = 0; at < bytes;) {
        ssize_t n = send(fd, (const char *)data + at, bytes - at, MSG_NOSIGNAL);
        if (n <= 0)
            return; /* refused early: the answer says why */
        at += (size_t)n;
    }
}

static void http_send(int fd, const char *method, const char *path, const char *headers, const void *body, size_t bytes)
{
    char head[1024];
    int n = snprintf(head, sizeof(head), "%s %s HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\nConnection: close\r\n%s\r\n", method,
                     path, bytes, headers);

    http_write(fd, head, (size_t)n);
    http_write(fd, body, bytes);
}

/* The whole answer; returns its status. */
static int http_read(int fd, char *answer, size_t room)
{
    size_t at = 0;
    ssize_t n;

    while (at + 1 < room && (n = recv(fd, answer + at, room - 1 - at, 0)) > 0)
        at += (size_t)n;
    answer[at] = '\0';
    (void)close(fd);
    assert_true(at > 12);
    return atoi(answer + 9);
}

static char last[4096];

static int http_request(const struct front_rig *rig, const char *method, const char *path, const char *headers,
                        const void *body, size_t bytes)
{
    int fd = http_connect(rig);

    http_send(fd, method, path, headers, body, bytes);
    return http_read(fd, last, sizeof(last));
}

static int post(const struct front_rig *rig, const char *headers, const char *body)
{
    return http_request(rig, "POST", "/logs", headers, body, strlen(body));
}

/* What is in the spool and not yet read, in partition order. */
static const char *taken(struct front_rig *rig)
{
    static char text[8192];
    size_t at = 0;

    while (rig_poll(rig) == 1)
        for (uint32_t i = 0; i < rig->batch.count; i++)
            at += (size_t)snprintf(text + at, sizeof(text) - at, "%.*s|", (int)rig->batch.raw[i].bytes, rig->batch.raw[i].data);
    text[at] = '\0';
    return text;
}

static void test_lines_and_documents_are_durable_when_answered(void **state)
{
    struct front_rig rig;
    (void)state;
    http_config(&rig);
    rig_open(&rig);
    assert_int_equal(post(&rig, "", "{\"a\":1}\r\n\n \t\n{\"b\":2}"), 200);
    assert_non_null(strstr(last, "{\"records\":2}"));
    assert_string_equal(taken(&rig), "{\"a\":1}\r|{\"b\":2}|");
    assert_int_equal(post(&rig, "Content-Type: application/json; charset=utf-8\r\n", " {\n\"a\":\n1}\n"), 200);
    assert_non_null(strstr(last, "{\"records\":1}"));
    assert_string_equal(taken(&rig), "{\n\"a\":\n1}|");
    rig_close(&rig);
    rig_fini(&rig);
}

static void test_gzip_and_zstd_bodies_are_unpacked_and_bombs_refused(void **state)
{
    struct front_rig rig;
    char packed[1 << 16], *big = calloc(1, 1 << 20);
    size_t bytes;
    z_stream z = {.next_in = (z_const Bytef *)(uintptr_t) "one\ntwo\n", .avail_in = 8, .next_out = (Bytef *)packed, .avail_out = sizeof(packed)};
    (void)state;
    http_config(&rig);
    rig_open(&rig);
    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    assert_int_equal(http_request(&rig, "POST", "/logs", "Content-Encoding: gzip\r\n", packed, z.total_out), 200);
    assert_int_equal(http_request(&rig, "POST", "/logs", "Content-Encoding: gzip\r\n", packed, z.total_out - 1), 400);
    (void)deflateEnd(&z);
    bytes = ZSTD_compress(packed, sizeof(packed), "three\n", 6, 1);
    assert_int_equal(http_request(&rig, "POST", "/logs", "Content-Encoding: zstd\r\n", packed, bytes), 200);
    assert_int_equal(http_request(&rig, "POST", "/logs", "Content-Encoding: zstd\r\n", packed, bytes - 1), 400);
    assert_int_equal(http_request(&rig, "POST", "/logs", "Content-Encoding: br\r\n", packed, bytes), 400);
    bytes = ZSTD_compress(packed, sizeof(packed), big, 1 << 20, 1);
    assert_int_equal(http_request(&rig, "POST", "/logs", "Content-Encoding: zstd\r\n", packed, bytes), 413);
    assert_non_null(strstr(taken(&rig), "one|two|"));
    free(big);
    rig_close(&rig);
    rig_fini(&rig);
}

static void test_what_is_wrong_is_refused_and_nothing_taken(void **state)
{
    struct front_rig rig;
    char *big = malloc(100000);
    (void)state;
    memset(big, 'x', 100000);
    http_config(&rig);
    rig_open(&rig);
    assert_int_equal(post(&rig, "", ""), 400);
    assert_int_equal(post(&rig, "", "\n \n"), 400);
    assert_int_equal(http_request(&rig, "POST", "/other", "", "x", 1), 404);
    assert_int_equal(http_request(&rig, "PUT", "/logs", "", "x", 1), 405);
    assert_non_null(strstr(last, "Allow: POST"));
    assert_int_equal(http_request(&rig, "POST", "/logs", "", big, 100000), 413);
    memcpy(big, "ok\n", 3);
    assert_int_equal(http_request(&rig, "POST", "/logs", "", big, 3 + 1001), 413);
    assert_non_null(strstr(last, "record 2 has 1001 bytes"));
    assert_int_equal(http_request(&rig, "POST", "/logs", "", big, 3 + 1000), 200);
    assert_int_equal(http_request(&rig, "GET", "/healthz", "", "", 0), 200);
    assert_int_equal(strlen(taken(&rig)), 3 + 1001);
    rig_close(&rig);
    rig_fini(&rig);
    free(big);
}

static void test_a_token_is_asked_for(void **state)
{
    struct front_rig rig;
    struct sl_secret token = {.plain = "s3cret"};
    (void)state;
    http_config(&rig);
    rig_set(&rig, "token", &token, sizeof(token));
    rig_open(&rig);
    assert_int_equal(post(&rig, "", "x"), 401);
    assert_int_equal(post(&rig, "Authorization: Bearer s3creT\r\n", "x"), 401);
    assert_int_equal(post(&rig, "Authorization: Bearer s3cret\r\n", "x"), 200);
    rig_close(&rig);
    rig_fini(&rig);
}

static void test_a_repeated_key_is_answered_without_appending_also_after_a_restart(void **state)
{
    struct front_rig rig;
    (void)state;
    http_config(&rig);
    rig_open(&rig);
    assert_int_equal(post(&rig, "Idempotency-Key: k1\r\n", "a\nb\nc\n"), 200);
    assert_int_equal(post(&rig, "Idempotency-Key: k1\r\n", "a\nb\nc\n"), 200);
    assert_non_null(strstr(last, "{\"records\":3}"));
    assert_int_equal(post(&rig, "Idempotency-Key: k2\r\n", ""), 400); /* a refused one may come again */
    assert_int_equal(post(&rig, "Idempotency-Key: k2\r\n", "d\n"), 200);
    assert_int_equal(strlen(taken(&rig)), 8);
    rig_close(&rig);
    rig.spool = sl_spool_close(rig.spool);
    rig_spool_open(&rig);
    rig_open(&rig);
    assert_int_equal(post(&rig, "Idempotency-Key: k1\r\n", "a\nb\nc\n"), 200);
    assert_non_null(strstr(last, "{\"records\":3}"));
    assert_int_equal(post(&rig, "Idempotency-Key: k2\r\n", "d\n"), 200);
    assert_string_equal(taken(&rig), "");
    rig_close(&rig);
    rig_fini(&rig);
}

static void test_a_full_queue_is_429_and_the_key_may_come_again(void **state)
{
    struct front_rig rig;
    struct sl_spool_topic *topic;
    int fd[2];
    (void)state;
    http_config(&rig);
    rig.spool = sl_spool_close(rig.spool);
    rig.settings.no_thread = true; /* nothing is written until we say so */
    rig.settings.append_queue_bytes = 1;
    rig_spool_open(&rig);
    rig_open(&rig);
    assert_int_equal(sl_spool_topic(rig.spool, "t.s", 2, &topic, NULL), 0);
    for (int i = 0; i < 2; i++) { /* one is taken and waits, its twin waits behind it or is refused */
        fd[i] = http_connect(&rig);
        http_send(fd[i], "POST", "/logs", "Idempotency-Key: k\r\n", "first\n", 6);
        while (i == 0 && !sl_spool_is_full(topic))
            (void)sched_yield();
    }
    assert_int_equal(post(&rig, "", "second\n"), 429);
    assert_non_null(strstr(last, "Retry-After: 1"));
    (void)sl_spool_write_turn(rig.spool);
    assert_int_equal(http_read(fd[0], last, sizeof(last)), 200);
    (void)http_read(fd[1], last, sizeof(last));
    assert_string_equal(taken(&rig), "first|");
    rig_close(&rig);
    rig_fini(&rig);
}

static atomic_bool disk_full;

static int64_t full_pwrite(struct sl_fs *fs, int fd, const void *data, size_t bytes, uint64_t at)
{
    (void)fs;
    return atomic_load(&disk_full) ? -ENOSPC : sl_fs_posix()->pwrite(sl_fs_posix(), fd, data, bytes, at);
}

static void test_a_full_disk_is_503_until_there_is_room_and_doubles_nothing(void **state)
{
    struct front_rig rig;
    struct sl_fs fs = *sl_fs_posix();
    int status;
    (void)state;
    fs.pwrite = full_pwrite;
    http_config(&rig);
    rig.spool = sl_spool_close(rig.spool);
    rig.fs = &fs;
    rig_spool_open(&rig);
    rig_open(&rig);
    assert_int_equal(post(&rig, "", "before\n"), 200);
    atomic_store(&disk_full, true);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(post(&rig, "Idempotency-Key: k\r\n", "late\n"), 503);
        assert_non_null(strstr(last, "Retry-After: 5"));
    }
    atomic_store(&disk_full, false);
    while ((status = post(&rig, "Idempotency-Key: k\r\n", "late\n")) == 503 || status == 429)
        (void)sched_yield(); /* the spool finds out by itself */
    assert_int_equal(status, 200);
    assert_string_equal(taken(&rig), "before|late|");
    rig_close(&rig);
    rig_fini(&rig);
}

static void test_a_key_header_keeps_equal_keys_together(void **state)
{
    struct front_rig rig;
    int32_t partition = -1;
    (void)state;
    http_config(&rig);
    rig_set_text(&rig, "key_header", "X-Tenant");
    rig_open(&rig);
    for (int i = 0; i < 8; i++)
        assert_int_equal(post(&rig, "X-Tenant: blue\r\n", "x\n"), 200);
    while (rig_poll(&rig) == 1) {
        assert_true(partition < 0 || partition == rig.batch.partition->number);
        partition = rig.batch.partition->number;
        assert_true(sl_slice_is(rig.batch.key[0], "blue"));
    }
    assert_true(partition >= 0);
    rig_close(&rig);
    rig_fini(&rig);
}

static void test_keys_are_forgotten_in_time_and_bounded(void **state)
{
    struct sl_http_keys *keys = sl_http_keys_new(1000);
    struct sl_http_key *key, *pending;
    char text[32];
    (void)state;
    assert_int_equal(sl_http_keys_begin(keys, "p", 0, &pending), SL_HTTP_KEY_NEW);
    assert_int_equal(sl_http_keys_begin(keys, "a", 0, &key), SL_HTTP_KEY_NEW);
    sl_http_keys_finish(keys, key, 7, 10);
    assert_int_equal(sl_http_keys_begin(keys, "a", 1009, &key), SL_HTTP_KEY_DONE);
    assert_int_equal(key->records, 7);
    assert_int_equal(sl_http_keys_begin(keys, "a", 1010, &key), SL_HTTP_KEY_NEW);
    sl_http_keys_drop(keys, key);
    for (int i = 0; i < SL_HTTP_KEYS_MAX + 100; i++) {
        (void)snprintf(text, sizeof(text), "k%d", i);
        assert_int_equal(sl_http_keys_begin(keys, text, 2000, &key), SL_HTTP_KEY_NEW);
        sl_http_keys_finish(keys, key, 1, 2000);
        assert_true(sl_http_keys_count(keys) <= SL_HTTP_KEYS_MAX);
    }
    assert_int_equal(sl_http_keys_begin(keys, "p", 2000, &key), SL_HTTP_KEY_PENDING);
    assert_int_equal(sl_http_keys_begin(keys, text, 2000, &key), SL_HTTP_KEY_DONE);
    (void)sl_http_keys_free(keys);
}

static void test_a_refused_address_is_named(void **state)
{
    struct front_rig rig;
    struct sl_err err;
    (void)state;
    http_config(&rig);
    rig_set_text(&rig, "listen", "nonsense");
    assert_int_equal(rig.kind->head.check(rig.config, &err), -SL_E_CONFIG);
    assert_non_null(strstr(err.text, "listen"));
    rig_set_text(&rig, "listen", "192.0.2.1:80"); /* not ours */
    assert_true(rig.kind->head.share(&rig.slot.api, rig.config, &rig.slot.api.shared, &err) < 0);
    assert_non_null(strstr(err.text, "192.0.2.1:80"));
    rig_fini(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines_and_documents_are_durable_when_answered),
        cmocka_unit_test(test_gzip_and_zstd_bodies_are_unpacked_and_bombs_refused),
        cmocka_unit_test(test_what_is_wrong_is_refused_and_nothing_taken),
        cmocka_unit_test(test_a_token_is_asked_for),
        cmocka_unit_test(test_a_repeated_key_is_answered_without_appending_also_after_a_restart),
        cmocka_unit_test(test_a_full_queue_is_429_and_the_key_may_come_again),
        cmocka_unit_test(test_a_full_disk_is_503_until_there_is_room_and_doubles_nothing),
        cmocka_unit_test(test_a_key_header_keeps_equal_keys_together),
        cmocka_unit_test(test_keys_are_forgotten_in_time_and_bounded),
        cmocka_unit_test(test_a_refused_address_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
