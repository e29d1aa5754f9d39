/* test_syslog_source.c: the syslog source over real sockets and a real spool.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <sched.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "operators/sources/sources.h"
#include "operators/sources/syslog/syslog.h"
#include "tests/support/fake_slot.c"
#include "tests/support/front_rig.h"

static const char *const listeners[] = {"udp://127.0.0.1:0", "tcp://127.0.0.1:0", "tls://127.0.0.1:0"};

enum { UDP, TCP, TLS };

static void syslog_rig(struct front_rig *rig, uint32_t listeners_count)
{
    static struct sl_strings listen;
    bool yes = true;

    listen = (struct sl_strings){listeners, listeners_count};
    rig_init(rig, &sl_source_syslog);
    rig_set(rig, "listen", &listen, sizeof(listen));
    rig_set_u64(rig, "connections", 100);
    rig_set_u64(rig, "memory", 4 << 20);
    rig_set_u64(rig, "timeout", 60000000000ull);
    rig_set_u64(rig, "receive_buffer", 1 << 20);
    rig_set_u64(rig, "partitions", 1);
    rig_set(rig, "peer", &yes, sizeof(yes));
}

static int dial(const struct front_rig *rig, uint32_t listener)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(sl_syslog_port(rig->slot.api.shared, listener)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, listener == UDP ? SOCK_DGRAM : SOCK_STREAM, 0);

    assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
    return fd;
}

static void put(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* The next records, joined by '|', until there are so many. */
static void expect(struct front_rig *rig, uint32_t count, const char *want)
{
    char got[4096] = "";
    size_t bytes = 0;

    for (uint32_t seen = 0; seen < count;) {
        rig_next(rig);
        for (uint32_t i = 0; i < rig->batch.count; i++, seen++)
            bytes += (size_t)snprintf(got + bytes, sizeof(got) - bytes, "%s%.*s", seen > 0 ? "|" : "", (int)rig->batch.raw[i].bytes,
                                      rig->batch.raw[i].data);
    }
    assert_string_equal(got, want);
}

/* Four records in any order: that of two connections is nobody's. */
static void expect_set(struct front_rig *rig, uint32_t count, const char *a, const char *b, const char *c, const char *d)
{
    const char *const want[] = {a, b, c, d};
    uint32_t found = 0, seen = 0;

    while (seen < count) {
        rig_next(rig);
        for (uint32_t i = 0; i < rig->batch.count; i++, seen++)
            for (uint32_t w = 0; w < 4; w++)
                found |= sl_slice_is(rig->batch.raw[i], want[w]) ? 1u << w : 0;
    }
    assert_int_equal(found, 15);
}

static void await_count(const struct front_rig *rig, const char *counter, uint64_t count)
{
    while (sl_syslog_count(rig->slot.api.shared, counter) < count)
        (void)sched_yield();
}

/* The other side closes. */
static void expect_closed(int fd)
{
    char byte;

    assert_true(recv(fd, &byte, 1, 0) <= 0);
    (void)close(fd);
}

static void test_datagrams_come_with_their_sender(void **state)
{
    struct front_rig rig;
    int fd;
    (void)state;
    syslog_rig(&rig, 1);
    rig_open(&rig);
    fd = dial(&rig, UDP);
    put(fd, "<34>1 first");
    put(fd, "\n");
    put(fd, "<34>Oct 11 second\n");
    expect(&rig, 2, "<34>1 first|<34>Oct 11 second");
    assert_int_equal(rig.batch.headers_count[0], 1);
    assert_true(sl_slice_is(rig.batch.headers[0][0].name, "sluice-peer"));
    assert_true(sl_slice_is(rig.batch.headers[0][0].value, "127.0.0.1"));
    assert_int_equal(sl_syslog_count(rig.slot.api.shared, "messages_total"), 2);
    while (rig.slot.tallies[0] < 2) /* told to the slot too */
        (void)rig_poll(&rig);
    (void)close(fd);
    rig_close(&rig);
    rig_fini(&rig);
}

static void test_each_connection_has_its_framing(void **state)
{
    struct front_rig rig;
    int octet, lines;
    (void)state;
    syslog_rig(&rig, 2);
    rig_open(&rig);
    octet = dial(&rig, TCP);
    lines = dial(&rig, TCP);
    put(octet, "7 <1>a\nbc6 <2>");
    expect(&rig, 1, "<1>a\nbc");
    put(lines, "<3>one\r\n<4>two\n<5>thr");
    expect(&rig, 2, "<3>one|<4>two");
    put(octet, "xyz");
    expect(&rig, 1, "<2>xyz");
    put(lines, "ee\n");
    expect(&rig, 1, "<5>three");
    put(lines, "<6>no end");
    (void)close(lines);
    expect(&rig, 1, "<6>no end");
    (void)close(octet);
    rig_close(&rig);
    rig_fini(&rig);
}

struct flood {
    int fd;
    uint32_t lines;
};

static void *flood(void *user)
{
    const struct flood *flood = user;
    char block[64 << 10];
    size_t bytes = 0;

    for (uint32_t i = 0; i < flood->lines; i++) {
        bytes += (size_t)snprintf(block + bytes, 64, "<1>line %u of a flood that the spool cannot take\n", i);
        for (size_t at = 0; (bytes > sizeof(block) - 100 || i + 1 == flood->lines) && bytes > 0;) {
            ssize_t n = send(flood->fd, block + at, bytes - at, MSG_NOSIGNAL);
            assert_true(n > 0);
            at += (size_t)n;
            if (at == bytes)
                bytes = 0;
        }
    }
    (void)close(flood->fd);
    return NULL;
}

static void test_a_spool_that_refuses_stops_the_sender_and_loses_nothing(void **state)
{
    enum { LINES = 300000 };
    struct front_rig rig;
    struct flood sender = {.lines = LINES};
    uint32_t next = 0;
    pthread_t thread;
    (void)state;
    syslog_rig(&rig, 2);
    rig.spool = sl_spool_close(rig.spool);
    rig.settings.append_queue_bytes = 1 << 16;
    rig_spool_open(&rig);
    rig_open(&rig);
    sender.fd = dial(&rig, TCP);
    assert_int_equal(pthread_create(&thread, NULL, flood, &sender), 0);
    while (next < LINES) {
        rig_next(&rig);
        for (uint32_t i = 0; i < rig.batch.count; i++, next++) {
            char want[96];
            assert_int_equal(rig.batch.raw[i].bytes, sprintf(want, "<1>line %u of a flood that the spool cannot take", next));
            assert_memory_equal(rig.batch.raw[i].data, want, rig.batch.raw[i].bytes);
        }
    }
    (void)pthread_join(thread, NULL);
    rig_close(&rig);
    rig_fini(&rig);
}

static void test_every_datagram_is_kept_or_counted_as_lost(void **state)
{
    enum { DATAGRAMS = 20000 };
    struct front_rig rig;
    uint64_t kept = 0, lost = 0, told = 0;
    int fd;
    (void)state;
    syslog_rig(&rig, 1);
    rig_set_u64(&rig, "receive_buffer", 4096);
    rig_open(&rig);
    fd = dial(&rig, UDP);
    for (int i = 0; i < DATAGRAMS; i++)
        put(fd, "<13>a datagram of a burst that a small buffer cannot hold");
    while (kept + lost < DATAGRAMS) {
        kept = sl_syslog_count(rig.slot.api.shared, "messages_total");
        lost = sl_syslog_count(rig.slot.api.shared, "lost_kernel_total");
        (void)sched_yield();
    }
    assert_int_equal(kept + lost, DATAGRAMS);
    assert_true(lost > 0 && kept > 0);
    while (told < kept) {
        rig_next(&rig);
        told += rig.batch.count;
    }
    assert_int_equal(told, kept);
    (void)close(fd);
    rig_close(&rig);
    rig_fini(&rig);
}

static void test_a_message_above_max_record_is_set_aside_and_the_connection_goes_on(void **state)
{
    struct front_rig rig;
    char *text = malloc(300000);
    int fd;
    (void)state;
    syslog_rig(&rig, 2);
    rig.slot.api.max_record_bytes = 100000;
    rig_open(&rig);
    fd = dial(&rig, TCP);
    memset(text, 'x', 300000);
    put(fd, "200000 <1>");
    assert_int_equal(send(fd, text, 199997, MSG_NOSIGNAL), 199997);
    put(fd, "5 <2>ok");
    rig_next(&rig);
    assert_true(rig.batch.large && rig.batch.count == 1 && rig.batch.raw[0].bytes == 100001);
    expect(&rig, 1, "<2>ok");
    assert_int_equal(sl_syslog_count(rig.slot.api.shared, "too_large_total"), 1);
    (void)close(fd);
    fd = dial(&rig, TCP);
    assert_int_equal(send(fd, text, 300000, MSG_NOSIGNAL), 300000);
    put(fd, "\n<3>ok\n");
    rig_next(&rig);
    assert_true(rig.batch.large && rig.batch.count == 1);
    expect(&rig, 1, "<3>ok");
    (void)close(fd);
    free(text);
    rig_close(&rig);
    rig_fini(&rig);
}

static void test_a_broken_stream_is_closed_and_others_go_on(void **state)
{
    struct front_rig rig;
    int good, bad;
    (void)state;
    syslog_rig(&rig, 2);
    rig_open(&rig);
    good = dial(&rig, TCP);
    bad = dial(&rig, TCP);
    put(bad, "4 <1>aoops");
    expect_closed(bad);
    put(good, "4 <2>b");
    expect(&rig, 2, "<1>a|<2>b");
    assert_int_equal(sl_syslog_count(rig.slot.api.shared, "broken_total"), 1);
    (void)close(good);
    rig_close(&rig);
    rig_fini(&rig);
}

static void test_a_message_that_never_becomes_whole_ends_its_connection(void **state)
{
    struct front_rig rig;
    int octet, line;
    (void)state;
    syslog_rig(&rig, 2);
    rig_set_u64(&rig, "timeout", 1000000000ull);
    rig_open(&rig);
    octet = dial(&rig, TCP);
    line = dial(&rig, TCP);
    put(octet, "4 <1>a100 <2>never");
    put(line, "<3>a line without its end");
    expect_closed(octet);
    expect_closed(line);
    expect(&rig, 2, "<1>a|<3>a line without its end");
    assert_int_equal(sl_syslog_count(rig.slot.api.shared, "timed_out_total"), 2);
    assert_int_equal(sl_syslog_count(rig.slot.api.shared, "broken_total"), 1);
    rig_close(&rig);
    rig_fini(&rig);
}

static void test_more_connections_than_allowed_are_turned_away(void **state)
{
    struct front_rig rig;
    int first, second;
    (void)state;
    syslog_rig(&rig, 2);
    rig_set_u64(&rig, "connections", 1);
    rig_open(&rig);
    first = dial(&rig, TCP);
    put(first, "4 <1>a");
    expect(&rig, 1, "<1>a");
    second = dial(&rig, TCP);
    expect_closed(second);
    (void)close(first);
    rig_close(&rig);
    rig_fini(&rig);
}

static void test_unfinished_messages_share_a_bounded_memory(void **state)
{
    enum { SENDERS = 12, BYTES = 900000 };
    struct front_rig rig;
    char *text = malloc(BYTES);
    int fds[SENDERS];
    uint32_t got = 0;
    (void)state;
    syslog_rig(&rig, 2);
    rig_set_u64(&rig, "memory", 1 << 20); /* one large message at a time */
    rig_open(&rig);
    memset(text, 'y', BYTES);
    for (int i = 0; i < SENDERS; i++) {
        fds[i] = dial(&rig, TCP);
        put(fds[i], "900003 <1>");
    }
    for (int i = 0; i < SENDERS; i++) { /* one after another: each is whole before the next needs its memory */
        for (size_t at = 0; at < BYTES;)
            at += (size_t)send(fds[i], text + at, BYTES - at, MSG_NOSIGNAL);
        await_count(&rig, "messages_total", (uint64_t)i + 1);
    }
    while (got < SENDERS) {
        rig_next(&rig);
        for (uint32_t i = 0; i < rig.batch.count; i++, got++)
            assert_int_equal(rig.batch.raw[i].bytes, BYTES + 3);
    }
    for (int i = 0; i < SENDERS; i++)
        (void)close(fds[i]);
    free(text);
    rig_close(&rig);
    rig_fini(&rig);
}

static void test_a_stop_keeps_what_was_sent(void **state)
{
    enum { LINES = 1000 };
    struct front_rig rig;
    struct sl_spool_topic *topic;
    uint64_t first, end;
    int tcp, udp;
    (void)state;
    syslog_rig(&rig, 2);
    rig_open(&rig);
    tcp = dial(&rig, TCP);
    udp = dial(&rig, UDP);
    put(tcp, "<1>begin\n");
    await_count(&rig, "messages_total", 1);
    for (int i = 0; i < LINES; i++) {
        put(tcp, "<1>line\n");
        put(udp, "<2>datagram");
    }
    put(tcp, "<1>half a li");
    rig_close(&rig);
    assert_int_equal(sl_spool_topic(rig.spool, "t.s", 1, &topic, NULL), 0);
    sl_spool_bounds(topic, 0, &first, &end);
    assert_int_equal(end, 2 * LINES + 2);
    (void)close(tcp);
    (void)close(udp);
    rig_fini(&rig);
}

static void test_a_stack_trace_is_one_record(void **state)
{
    static const char *const languages[] = {"java"};
    struct sl_strings traces = {languages, 1};
    struct front_rig rig;
    int one, other;
    (void)state;
    syslog_rig(&rig, 2);
    rig_set(&rig, "multiline.stack_traces", &traces, sizeof(traces));
    rig_set_u64(&rig, "multiline.timeout", 300000000ull);
    rig_set_u64(&rig, "multiline.max_lines", 100);
    rig_open(&rig);
    one = dial(&rig, TCP);
    other = dial(&rig, TCP);
    put(one, "<3>failed\njava.io.IOException: no\n\tat a.B.c(B.java:1)\n");
    put(other, "<4>elsewhere\n");
    put(one, "\tat a.B.d(B.java:2)\n<3>next\n");
    await_count(&rig, "messages_total", 3); /* the last by its time-out */
    put(one, "\tat too.Late.f(L.java:3)\n");
    (void)close(one);
    await_count(&rig, "messages_total", 4);
    expect_set(&rig, 4, "<3>failed\njava.io.IOException: no\n\tat a.B.c(B.java:1)\n\tat a.B.d(B.java:2)", "<4>elsewhere", "<3>next",
               "\tat too.Late.f(L.java:3)");
    (void)close(other);
    rig_close(&rig);
    rig_fini(&rig);
}

static void test_what_is_joined_is_whole_and_in_order(void **state)
{
    struct front_rig rig;
    int fd;
    (void)state;
    syslog_rig(&rig, 2);
    rig.slot.api.max_record_bytes = 2000;
    rig_set_text(&rig, "multiline.start", "^<");
    rig_set_u64(&rig, "multiline.timeout", 60000000000ull);
    rig_set_u64(&rig, "multiline.max_lines", 3);
    rig_open(&rig);
    fd = dial(&rig, TCP);
    put(fd, "<1>a\n b\n c\n d\n<2>e\n f\n<3>g");
    (void)close(fd); /* ends the last, without its line's end */
    expect(&rig, 4, "<1>a\n b\n c| d|<2>e\n f|<3>g");
    rig_close(&rig);
    rig_fini(&rig);
}

/* ---- TLS ---- */

/* A certificate of its own authority, and its key, as DIR/NAME.pem and DIR/NAME.key. */
static void make_certificate(const char *dir, const char *name, char *certificate, char *key)
{
    EVP_PKEY *pair = EVP_EC_gen("P-256");
    X509 *x509 = X509_new();
    FILE *file;

    (void)snprintf(certificate, 128, "%s/%s.pem", dir, name);
    (void)snprintf(key, 128, "%s/%s.key", dir, name);
    (void)X509_set_version(x509, 2);
    (void)ASN1_INTEGER_set(X509_get_serialNumber(x509), 1);
    (void)X509_gmtime_adj(X509_getm_notBefore(x509), -3600);
    (void)X509_gmtime_adj(X509_getm_notAfter(x509), 3600);
    (void)X509_set_pubkey(x509, pair);
    (void)X509_NAME_add_entry_by_txt(X509_get_subject_name(x509), "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    (void)X509_set_issuer_name(x509, X509_get_subject_name(x509));
    assert_true(X509_sign(x509, pair, EVP_sha256()) > 0);
    file = fopen(certificate, "w");
    assert_true(file != NULL && PEM_write_X509(file, x509) == 1 && fclose(file) == 0);
    file = fopen(key, "w");
    assert_true(file != NULL && PEM_write_PrivateKey(file, pair, NULL, NULL, 0, NULL, NULL) == 1 && fclose(file) == 0);
    X509_free(x509);
    EVP_PKEY_free(pair);
}

struct tls_rig {
    struct front_rig rig;
    char certificate[128], key[128], client[128], client_key[128];
    SSL_CTX *context;
};

static void tls_open(struct tls_rig *tls, bool ca)
{
    syslog_rig(&tls->rig, 3);
    make_certificate(tls->rig.dir, "server", tls->certificate, tls->key);
    make_certificate(tls->rig.dir, "client", tls->client, tls->client_key);
    rig_set_text(&tls->rig, "tls.certificate", tls->certificate);
    rig_set_text(&tls->rig, "tls.key", tls->key);
    if (ca)
        rig_set_text(&tls->rig, "tls.ca", tls->client);
    rig_open(&tls->rig);
    tls->context = SSL_CTX_new(TLS_client_method());
    assert_int_equal(SSL_CTX_load_verify_locations(tls->context, tls->certificate, NULL), 1);
    SSL_CTX_set_verify(tls->context, SSL_VERIFY_PEER, NULL);
}

static void tls_close(struct tls_rig *tls)
{
    SSL_CTX_free(tls->context);
    rig_close(&tls->rig);
    rig_fini(&tls->rig);
}

static SSL *tls_dial(struct tls_rig *tls)
{
    SSL *ssl = SSL_new(tls->context);

    (void)SSL_set_fd(ssl, dial(&tls->rig, TLS));
    return ssl;
}

static void tls_hang_up(SSL *ssl)
{
    int fd = SSL_get_fd(ssl);

    (void)SSL_shutdown(ssl);
    SSL_free(ssl);
    (void)close(fd);
}

static void test_tls_carries_messages_larger_than_its_records(void **state)
{
    struct tls_rig tls;
    char *text = malloc(500000);
    SSL *ssl;
    (void)state;
    tls_open(&tls, false);
    ssl = tls_dial(&tls);
    assert_int_equal(SSL_connect(ssl), 1);
    memset(text, 'z', 500000);
    memcpy(text, "499993 <1>", 10); /* 7 bytes of head and 499,993 of message */
    assert_int_equal(SSL_write(ssl, text, 500000), 500000);
    rig_next(&tls.rig);
    assert_int_equal(tls.rig.batch.raw[0].bytes, 499993);
    assert_int_equal(SSL_write(ssl, "5 <2>ok", 7), 7);
    expect(&tls.rig, 1, "<2>ok");
    tls_hang_up(ssl);
    free(text);
    tls_close(&tls);
}

static void test_tls_with_a_ca_wants_a_certificate(void **state)
{
    struct tls_rig tls;
    SSL *ssl;
    char byte;
    (void)state;
    tls_open(&tls, true);
    ssl = tls_dial(&tls);
    (void)SSL_connect(ssl); /* TLS 1.3: the client learns of the refusal when it reads */
    assert_true(SSL_read(ssl, &byte, 1) <= 0);
    tls_hang_up(ssl);
    await_count(&tls.rig, "tls_failed_total", 1);
    assert_int_equal(SSL_CTX_use_certificate_file(tls.context, tls.client, SSL_FILETYPE_PEM), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey_file(tls.context, tls.client_key, SSL_FILETYPE_PEM), 1);
    ssl = tls_dial(&tls);
    assert_int_equal(SSL_connect(ssl), 1);
    assert_int_equal(SSL_write(ssl, "5 <1>ok", 7), 7);
    expect(&tls.rig, 1, "<1>ok");
    tls_hang_up(ssl);
    tls_close(&tls);
}

static void test_plain_text_at_a_tls_listener_is_refused(void **state)
{
    struct tls_rig tls;
    int fd;
    (void)state;
    tls_open(&tls, false);
    fd = dial(&tls.rig, TLS);
    put(fd, "5 <1>ok of somebody who speaks no TLS");
    expect_closed(fd);
    assert_int_equal(sl_syslog_count(tls.rig.slot.api.shared, "tls_failed_total"), 1);
    tls_close(&tls);
}

static void test_a_key_of_another_certificate_is_refused(void **state)
{
    struct front_rig rig;
    char certificate[128], key[128], other_key[128];
    struct sl_err err = {.text = ""};
    void *shared;
    (void)state;
    syslog_rig(&rig, 3);
    make_certificate(rig.dir, "other", certificate, key);
    (void)snprintf(other_key, sizeof(other_key), "%s", key);
    rig_set_text(&rig, "tls.key", other_key);
    make_certificate(rig.dir, "server", certificate, key);
    rig_set_text(&rig, "tls.certificate", certificate);
    assert_int_equal(rig.kind->head.share(&rig.slot.api, rig.config, &shared, &err), -SL_E_CONFIG);
    assert_non_null(strstr(err.text, "tls.key"));
    rig_fini(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_datagrams_come_with_their_sender),
        cmocka_unit_test(test_each_connection_has_its_framing),
        cmocka_unit_test(test_a_spool_that_refuses_stops_the_sender_and_loses_nothing),
        cmocka_unit_test(test_every_datagram_is_kept_or_counted_as_lost),
        cmocka_unit_test(test_a_message_above_max_record_is_set_aside_and_the_connection_goes_on),
        cmocka_unit_test(test_a_broken_stream_is_closed_and_others_go_on),
        cmocka_unit_test(test_a_message_that_never_becomes_whole_ends_its_connection),
        cmocka_unit_test(test_more_connections_than_allowed_are_turned_away),
        cmocka_unit_test(test_unfinished_messages_share_a_bounded_memory),
        cmocka_unit_test(test_a_stop_keeps_what_was_sent),
        cmocka_unit_test(test_a_stack_trace_is_one_record),
        cmocka_unit_test(test_what_is_joined_is_whole_and_in_order),
        cmocka_unit_test(test_tls_carries_messages_larger_than_its_records),
        cmocka_unit_test(test_tls_with_a_ca_wants_a_certificate),
        cmocka_unit_test(test_plain_text_at_a_tls_listener_is_refused),
        cmocka_unit_test(test_a_key_of_another_certificate_is_refused),
    };
    (void)signal(SIGPIPE, SIG_IGN); /* the client's own */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
