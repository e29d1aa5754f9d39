/* http_server.c: the scripted server. Include it once in a test.
 * SPDX-License-Identifier: Apache-2.0 */
#include "tests/support/http_server.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SERVER_CONNECTIONS = 256, SERVER_HEAD = 16384 };

struct http_connection {
    struct http_server *server;
    pthread_t thread;
    int fd; /* -1: closed by its thread */
    SSL *ssl;
};

struct http_server {
    int listener;
    uint16_t port;
    SSL_CTX *tls;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t some;
    const struct http_reply *script;
    uint32_t script_count, requests, connections_count;
    struct http_connection connections[SERVER_CONNECTIONS];
    char head[SERVER_HEAD];
    char *body;
    uint32_t body_bytes;
};

/* ---- a connection ---- */

static ssize_t connection_read(struct http_connection *connection, void *to, size_t bytes)
{
    return connection->ssl != NULL ? SSL_read(connection->ssl, to, (int)bytes) : recv(connection->fd, to, bytes, 0);
}

static void connection_write(struct http_connection *connection, const char *data, size_t bytes)
{
    while (bytes > 0) {
        ssize_t wrote = connection->ssl != NULL ? SSL_write(connection->ssl, data, (int)bytes)
                                                : send(connection->fd, data, bytes, MSG_NOSIGNAL);
        if (wrote <= 0)
            return;
        data += wrote;
        bytes -= (size_t)wrote;
    }
}

/* The head up to its blank line; false: the client is gone. */
static bool connection_head(struct http_connection *connection, char head[SERVER_HEAD])
{
    size_t bytes = 0;

    while (bytes < SERVER_HEAD - 1 && connection_read(connection, head + bytes, 1) == 1) {
        head[++bytes] = '\0';
        if (bytes >= 4 && memcmp(head + bytes - 4, "\r\n\r\n", 4) == 0)
            return true;
    }
    return false;
}

static bool connection_body(struct http_connection *connection, const char *head, char **ret_body, uint32_t *ret_bytes)
{
    const char *length = strcasestr(head, "\r\ncontent-length:");
    uint32_t bytes = length == NULL ? 0 : (uint32_t)strtoul(length + 17, NULL, 10), got = 0;
    char *body = malloc(bytes + 1u);

    assert(body != NULL);
    while (got < bytes) {
        ssize_t some = connection_read(connection, body + got, bytes - got);
        if (some <= 0) {
            free(body);
            return false;
        }
        got += (uint32_t)some;
    }
    body[bytes] = '\0';
    *ret_body = body;
    *ret_bytes = bytes;
    return true;
}

static struct http_reply connection_reply(struct http_connection *connection, const char *head, char *body, uint32_t body_bytes)
{
    static const struct http_reply usual = {HTTP_REPLY_ANSWER, 200, NULL, "ok"};
    struct http_server *server = connection->server;
    struct http_reply reply;

    (void)pthread_mutex_lock(&server->lock);
    reply = server->requests < server->script_count ? server->script[server->requests] : usual;
    server->requests++;
    (void)snprintf(server->head, sizeof(server->head), "%s", head);
    free(server->body);
    server->body = body;
    server->body_bytes = body_bytes;
    (void)pthread_cond_broadcast(&server->some);
    (void)pthread_mutex_unlock(&server->lock);
    return reply;
}

static bool connection_is_reset(struct http_connection *connection)
{
    struct http_server *server = connection->server;
    bool reset;

    (void)pthread_mutex_lock(&server->lock);
    reset = server->requests < server->script_count && server->script[server->requests].kind == HTTP_REPLY_RESET;
    (void)pthread_mutex_unlock(&server->lock);
    return reset;
}

static void connection_answer(struct http_connection *connection, const struct http_reply *reply, bool body)
{
    char head[512];
    size_t bytes = reply->body == NULL ? 0 : strlen(reply->body);
    int head_bytes = snprintf(head, sizeof(head), "HTTP/1.1 %d x\r\nContent-Length: %zu\r\n%s\r\n", reply->status, bytes,
                              reply->headers != NULL ? reply->headers : "");

    connection_write(connection, head, (size_t)head_bytes);
    if (bytes > 0 && body)
        connection_write(connection, reply->body, reply->kind == HTTP_REPLY_BREAK ? bytes / 2 : bytes);
}

/* False: the connection ends. */
static bool connection_serve(struct http_connection *connection)
{
    struct linger hard = {1, 0};
    char head[SERVER_HEAD], *body = NULL, one;
    uint32_t body_bytes = 0;
    struct http_reply reply;
    bool reset;

    if (!connection_head(connection, head))
        return false;
    reset = connection_is_reset(connection);
    if (!reset && !connection_body(connection, head, &body, &body_bytes))
        return false;
    reply = connection_reply(connection, head, body, body_bytes);
    if (reset) {
        (void)setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
        return false;
    }
    if (reply.kind == HTTP_REPLY_HANG)
        while (connection_read(connection, &one, 1) > 0)
            ;
    if (reply.kind == HTTP_REPLY_ANSWER || reply.kind == HTTP_REPLY_BREAK)
        connection_answer(connection, &reply, strncmp(head, "HEAD ", 5) != 0);
    return reply.kind == HTTP_REPLY_ANSWER;
}

static void *connection_main(void *user)
{
    struct http_connection *connection = user;

    if (connection->server->tls != NULL) {
        connection->ssl = SSL_new(connection->server->tls);
        assert(connection->ssl != NULL && SSL_set_fd(connection->ssl, connection->fd) == 1);
    }
    if (connection->ssl == NULL || SSL_accept(connection->ssl) == 1)
        while (connection_serve(connection))
            ;
    if (connection->ssl != NULL)
        SSL_free(connection->ssl);
    (void)pthread_mutex_lock(&connection->server->lock);
    (void)close(connection->fd);
    connection->fd = -1;
    (void)pthread_mutex_unlock(&connection->server->lock);
    return NULL;
}

/* ---- the server ---- */

static void *server_main(void *user)
{
    struct http_server *server = user;
    int fd;

    while ((fd = accept4(server->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        struct http_connection *connection = &server->connections[server->connections_count];
        assert(server->connections_count < SERVER_CONNECTIONS);
        (void)pthread_mutex_lock(&server->lock);
        *connection = (struct http_connection){.server = server, .fd = fd};
        server->connections_count++;
        (void)pthread_mutex_unlock(&server->lock);
        if (pthread_create(&connection->thread, NULL, connection_main, connection) != 0)
            abort();
    }
    return NULL;
}

struct http_server *http_server_start(const struct http_reply *script, uint32_t count)
{
    return http_server_start_tls(script, count, NULL, NULL);
}

struct http_server *http_server_start_tls(const struct http_reply *script, uint32_t count, const char *certificate, const char *key)
{
    struct http_server *server = calloc(1, sizeof(*server));
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t bytes = sizeof(address);
    bool fine;

    assert(server != NULL);
    (void)signal(SIGPIPE, SIG_IGN); /* SSL_write to a client that is gone */
    server->script = script;
    server->script_count = count;
    if (certificate != NULL) {
        server->tls = SSL_CTX_new(TLS_server_method());
        fine = server->tls != NULL && SSL_CTX_use_certificate_chain_file(server->tls, certificate) == 1 &&
               SSL_CTX_use_PrivateKey_file(server->tls, key, SSL_FILETYPE_PEM) == 1;
        assert(fine);
    }
    (void)pthread_mutex_init(&server->lock, NULL);
    (void)pthread_cond_init(&server->some, NULL);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    fine = bind(server->listener, (struct sockaddr *)&address, sizeof(address)) == 0 && listen(server->listener, 64) == 0 &&
           getsockname(server->listener, (struct sockaddr *)&address, &bytes) == 0;
    assert(fine);
    server->port = ntohs(address.sin_port);
    if (pthread_create(&server->thread, NULL, server_main, server) != 0)
        abort();
    return server;
}

uint16_t http_server_port(const struct http_server *server)
{
    return server->port;
}

uint32_t http_server_requests(struct http_server *server)
{
    uint32_t count;

    (void)pthread_mutex_lock(&server->lock);
    count = server->requests;
    (void)pthread_mutex_unlock(&server->lock);
    return count;
}

uint32_t http_server_connections(struct http_server *server)
{
    uint32_t count;

    (void)pthread_mutex_lock(&server->lock);
    count = server->connections_count;
    (void)pthread_mutex_unlock(&server->lock);
    return count;
}

const char *http_server_head(struct http_server *server)
{
    return server->head;
}

const char *http_server_body(struct http_server *server, uint32_t *ret_bytes)
{
    *ret_bytes = server->body_bytes;
    return server->body;
}

void http_server_wait(struct http_server *server, uint32_t requests)
{
    (void)pthread_mutex_lock(&server->lock);
    while (server->requests < requests)
        (void)pthread_cond_wait(&server->some, &server->lock);
    (void)pthread_mutex_unlock(&server->lock);
}

struct http_server *http_server_stop(struct http_server *server)
{
    (void)shutdown(server->listener, SHUT_RDWR);
    (void)pthread_join(server->thread, NULL);
    (void)close(server->listener);
    (void)pthread_mutex_lock(&server->lock);
    for (uint32_t i = 0; i < server->connections_count; i++)
        if (server->connections[i].fd >= 0)
            (void)shutdown(server->connections[i].fd, SHUT_RDWR);
    (void)pthread_mutex_unlock(&server->lock);
    for (uint32_t i = 0; i < server->connections_count; i++)
        (void)pthread_join(server->connections[i].thread, NULL);
    SSL_CTX_free(server->tls);
    (void)pthread_cond_destroy(&server->some);
    (void)pthread_mutex_destroy(&server->lock);
    free(server->body);
    free(server);
    return NULL;
}

/* ---- a certificate ---- */

static void certificate_extend(X509 *x509, int nid, const char *value)
{
    X509V3_CTX context;
    X509_EXTENSION *extension;

    X509V3_set_ctx(&context, x509, x509, NULL, NULL, 0);
    extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    assert(extension != NULL);
    (void)X509_add_ext(x509, extension, -1);
    X509_EXTENSION_free(extension);
}

void http_server_certificate(const char *host, const char *certificate, const char *key)
{
    EVP_PKEY *pair = EVP_RSA_gen(2048);
    X509 *x509 = X509_new();
    char name[300];
    FILE *file;

    assert(pair != NULL && x509 != NULL);
    (void)X509_set_version(x509, 2);
    (void)ASN1_INTEGER_set(X509_get_serialNumber(x509), 1);
    (void)X509_gmtime_adj(X509_getm_notBefore(x509), -3600);
    (void)X509_gmtime_adj(X509_getm_notAfter(x509), 86400);
    (void)X509_set_pubkey(x509, pair);
    (void)X509_NAME_add_entry_by_txt(X509_get_subject_name(x509), "CN", MBSTRING_ASC, (const unsigned char *)host, -1, -1, 0);
    (void)X509_set_issuer_name(x509, X509_get_subject_name(x509));
    (void)snprintf(name, sizeof(name), "%s:%s", strspn(host, "0123456789.") == strlen(host) ? "IP" : "DNS", host);
    certificate_extend(x509, NID_subject_alt_name, name);
    certificate_extend(x509, NID_basic_constraints, "critical,CA:TRUE");
    (void)X509_sign(x509, pair, EVP_sha256());
    file = fopen(certificate, "w");
    assert(file != NULL);
    (void)PEM_write_X509(file, x509);
    (void)fclose(file);
    file = fopen(key, "w");
    assert(file != NULL);
    (void)PEM_write_PrivateKey(file, pair, NULL, NULL, 0, NULL, NULL);
    (void)fclose(file);
    X509_free(x509);
    EVP_PKEY_free(pair);
}
