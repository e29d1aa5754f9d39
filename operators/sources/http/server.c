/* server.c: the ground of sources that take POSTs; see the header.
 * SPDX-License-Identifier: Apache-2.0 */
#include "operators/sources/http/server.h"

#include <assert.h>
#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "operators/sources/http/http_body.h"
#include "runtime/base/clock.h"
#include "runtime/config/process.h"

#define SERVER_GRACE_NS (5 * SL_NS_PER_S)  /* for answers to leave at a stop */
#define SERVER_FINISH_NS (1 * SL_NS_PER_S) /* for requests to come whole, where a successor takes the next ones */

const struct sl_field sl_http_tls_fields[] = {
    SL_FIELD(sl_http_tls, certificate, SL_F_INPUT_PATH, .flags = SL_F_IN_PLACE | SL_F_NOT_KEPT, .help = "Certificate chain, PEM."),
    SL_FIELD(sl_http_tls, key, SL_F_INPUT_PATH, .flags = SL_F_IN_PLACE | SL_F_NOT_KEPT, .help = "Private key, PEM."),
    {0},
};

static bool server_secret_set(const struct sl_secret *secret)
{
    return secret->env != NULL || secret->file != NULL || secret->plain != NULL;
}

/* Splits HOST:PORT, [HOST]:PORT or :PORT. */
static int server_listen_split(const char *listen, char *host, size_t host_bytes, char *port, size_t port_bytes)
{
    const char *colon = strrchr(listen, ':');
    size_t bytes = colon == NULL ? 0 : (size_t)(colon - listen);
    char *end = NULL;

    if (colon == NULL || bytes >= host_bytes || colon[1] == '\0' || strlen(colon + 1) >= port_bytes)
        return -1;
    if (strspn(colon + 1, "0123456789") != strlen(colon + 1) || strtoul(colon + 1, &end, 10) > 65535)
        return -1;
    if (bytes >= 2 && listen[0] == '[' && colon[-1] == ']') {
        listen++;
        bytes -= 2;
    } else if (memchr(listen, ':', bytes) != NULL) {
        return -1; /* an IPv6 address without brackets */
    }
    memcpy(host, listen, bytes);
    host[bytes] = '\0';
    (void)snprintf(port, port_bytes, "%s", colon + 1);
    return 0;
}

int sl_http_check(const struct sl_http_settings *c, struct sl_err *err)
{
    char host[256], port[8];

    if (server_listen_split(c->listen, host, sizeof(host), port, sizeof(port)) != 0)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "listen: \"%s\" is not HOST:PORT; write for example 127.0.0.1:8080",
                       c->listen);
    if (c->path[0] != '/')
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "path: \"%s\" does not begin with a slash; write /%s", c->path, c->path);
    if ((c->tls.certificate == NULL) != (c->tls.key == NULL))
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "tls: certificate and key go together; one of them is missing");
    if (c->memory < c->max_body)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "memory: %llu bytes do not hold one body of max_body (%llu); raise memory",
                       (unsigned long long)c->memory, (unsigned long long)c->max_body);
    return 0;
}

const char *sl_http_header(const struct sl_http_post *request, const char *name)
{
    return MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, name);
}

/* ---- answers ---- */

void sl_http_set(struct sl_http_post *request, unsigned status, const char *text)
{
    request->status = status;
    (void)snprintf(request->text, sizeof(request->text), "%s", text);
    for (char *c = request->text; *c != '\0'; c++)
        if (*c == '"' || *c == '\\' || (unsigned char)*c < ' ')
            *c = '\'';
}

static void server_headers(struct MHD_Response *response, const struct sl_http_server *http, unsigned status)
{
    if (status == MHD_HTTP_TOO_MANY_REQUESTS)
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_RETRY_AFTER, "1");
    if (status == MHD_HTTP_SERVICE_UNAVAILABLE)
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_RETRY_AFTER, "5");
    if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "POST");
    if (status == MHD_HTTP_UNAUTHORIZED)
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer");
    if (atomic_load(&http->stopping) || sl_listener_keeping()) /* rule I3 */
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
}

static enum MHD_Result server_answer(struct sl_http_post *request)
{
    struct MHD_Response *response = request->server->kind->response(request);
    enum MHD_Result rc;

    if (response == NULL)
        return MHD_NO;
    server_headers(response, request->server, request->status);
    rc = MHD_queue_response(request->connection, request->status, response);
    MHD_destroy_response(response);
    return rc;
}

/* ---- taking the body ---- */

static bool server_memory_take(struct sl_http_server *http, uint64_t bytes)
{
    bool fits;

    (void)pthread_mutex_lock(&http->lock);
    fits = http->body_bytes + bytes <= http->settings->memory;
    if (fits)
        http->body_bytes += bytes;
    (void)pthread_mutex_unlock(&http->lock);
    return fits;
}

static void server_body_free(struct sl_http_post *request)
{
    (void)pthread_mutex_lock(&request->server->lock);
    request->server->body_bytes -= request->capacity;
    (void)pthread_mutex_unlock(&request->server->lock);
    free(request->body);
    request->body = NULL;
    request->bytes = request->capacity = 0;
}

static void server_refuse_body(struct sl_http_post *request, unsigned status, const char *text)
{
    sl_http_set(request, status, text);
    server_body_free(request);
}

static bool server_body_room(struct sl_http_post *request, size_t bytes)
{
    size_t capacity = request->capacity == 0 ? 4096 : request->capacity;
    char *body;

    while (capacity < request->bytes + bytes)
        capacity *= 2;
    if (capacity > request->server->settings->max_body)
        capacity = request->server->settings->max_body;
    if (capacity == request->capacity)
        return true;
    if (!server_memory_take(request->server, capacity - request->capacity)) {
        server_refuse_body(request, MHD_HTTP_TOO_MANY_REQUESTS, "too many bodies are on their way; come again");
        return false;
    }
    body = realloc(request->body, capacity);
    if (body != NULL)
        request->body = body;
    request->capacity = capacity;
    if (body == NULL)
        server_refuse_body(request, MHD_HTTP_SERVICE_UNAVAILABLE, "no memory for the body");
    return body != NULL;
}

/* A refused body is read over, so that the client sees the answer, but not for ever. */
static enum MHD_Result server_receive(struct sl_http_post *request, const char *data, size_t bytes)
{
    uint64_t max_body = request->server->settings->max_body;

    if (request->status == 0 && request->bytes + bytes > max_body) {
        server_refuse_body(request, MHD_HTTP_CONTENT_TOO_LARGE, "the body is larger than max_body");
    } else if (request->status == 0 && server_body_room(request, bytes)) {
        memcpy(request->body + request->bytes, data, bytes);
        request->bytes += bytes;
        return MHD_YES;
    }
    request->bytes += bytes;
    return request->bytes > 4 * max_body ? MHD_NO : MHD_YES;
}

/* ---- the spool ---- */

/* Under the lock. False: stopping, the answer is set. */
bool sl_http_suspend(struct sl_http_post *request)
{
    if (atomic_load(&request->server->stopping)) {
        sl_http_set(request, MHD_HTTP_SERVICE_UNAVAILABLE, "stopping; come again");
        return false;
    }
    request->server->waiting++;
    request->phase = SL_HTTP_WAITING;
    MHD_suspend_connection(request->connection);
    return true;
}

/* The request may be gone on return, the front is not before `waiting` has fallen. */
void sl_http_resume(struct sl_http_post *request)
{
    struct sl_http_server *http = request->server;

    request->phase = SL_HTTP_ANSWERED;
    MHD_resume_connection(request->connection);
    (void)pthread_mutex_lock(&http->lock);
    http->waiting--;
    (void)pthread_cond_broadcast(&http->change);
    (void)pthread_mutex_unlock(&http->lock);
}

static void server_settle(struct sl_http_post *request)
{
    if (request->server->kind->settled != NULL)
        request->server->kind->settled(request);
    if (request->phase == SL_HTTP_WAITING)
        sl_http_resume(request);
}

static void server_spool_failed(struct sl_http_post *request, const struct sl_err *err)
{
    bool queue = err != NULL && err->code == SL_E_LIMIT && err->sys == 0 && !atomic_load(&request->server->sick);

    if (err != NULL && err->remedy == SL_REMEDY_DEADLETTER) { /* a record above what the spool can hold */
        sl_http_set(request, MHD_HTTP_CONTENT_TOO_LARGE, err->text);
        return;
    }
    sl_http_set(request, queue ? MHD_HTTP_TOO_MANY_REQUESTS : MHD_HTTP_SERVICE_UNAVAILABLE,
             queue ? "the spool's queue is full; come again" : "the spool cannot write now; come again");
    if (!queue && err != NULL)
        sl_front_trouble(&request->server->front, err);
}

/* The spool's writer thread. */
static void server_done(struct sl_spool_wait *wait, int status, uint64_t first_offset, const struct sl_err *err)
{
    struct sl_http_post *request = (struct sl_http_post *)(void *)wait;

    (void)first_offset;
    atomic_store(&request->server->sick, status != 0);
    if (status == 0)
        request->status = MHD_HTTP_OK;
    else
        server_spool_failed(request, err);
    server_settle(request);
}

bool sl_http_append(struct sl_http_post *request, uint32_t partition, const struct sl_spool_record *records, uint32_t count)
{
    struct sl_err err;
    bool suspended;

    request->wait.done = server_done;
    (void)pthread_mutex_lock(&request->server->lock);
    suspended = sl_http_suspend(request);
    (void)pthread_mutex_unlock(&request->server->lock);
    if (suspended && sl_spool_append(request->server->front.topic, partition, records, count, &request->wait, &err) == 0)
        return true;
    if (suspended)
        server_spool_failed(request, &err);
    server_settle(request);
    return suspended;
}

/* ---- requests ---- */

void sl_http_refuse(struct sl_http_post *request, const struct sl_err *err)
{
    sl_http_set(request, err->code == SL_E_FORMAT          ? MHD_HTTP_BAD_REQUEST
                      : err->remedy == SL_REMEDY_RETRY ? MHD_HTTP_SERVICE_UNAVAILABLE
                                                       : MHD_HTTP_CONTENT_TOO_LARGE, err->text);
}

/* True: suspended; a later call brings the answer. Else it is set. */
static bool server_process(struct sl_http_post *request)
{
    enum sl_http_encoding encoding = sl_http_encoding_of(sl_http_header(request, MHD_HTTP_HEADER_CONTENT_ENCODING));
    char *plain = NULL;
    size_t bytes = request->bytes;
    struct sl_err err;
    bool suspended = false;

    if (encoding != SL_HTTP_IDENTITY &&
        sl_http_inflate(encoding, request->body, request->bytes, request->server->settings->max_body, &plain, &bytes, &err) != 0)
        sl_http_refuse(request, &err);
    else
        suspended = request->server->kind->take(request, (struct sl_slice){plain != NULL ? plain : request->body, (uint32_t)bytes});
    free(plain);
    return suspended;
}

static bool server_authorised(const struct sl_http_server *http, struct MHD_Connection *connection)
{
    const char *value = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_AUTHORIZATION);
    size_t want = http->token == NULL ? 0 : strlen(http->token);
    unsigned char differ = 0;

    if (http->token == NULL)
        return true;
    if (value == NULL || strncasecmp(value, "Bearer ", 7) != 0 || strlen(value + 7) != want)
        return false;
    for (size_t i = 0; i < want; i++) /* the whole of it, whatever the first bytes are */
        differ |= (unsigned char)(value[7 + i] ^ http->token[i]);
    return differ == 0;
}

/* What the head alone decides. */
static void server_first(struct sl_http_post *request, const char *url, const char *method)
{
    const struct sl_http_settings *config = request->server->settings;
    struct MHD_Connection *connection = request->connection;
    const char *length = sl_http_header(request, MHD_HTTP_HEADER_CONTENT_LENGTH);
    bool get = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;

    if (config->healthz && get && strcmp(url, "/healthz") == 0)
        request->status = MHD_HTTP_OK;
    else if (strcmp(url, config->path) != 0)
        sl_http_set(request, MHD_HTTP_NOT_FOUND, "there is nothing under this path");
    else if (strcmp(method, "POST") != 0)
        sl_http_set(request, MHD_HTTP_METHOD_NOT_ALLOWED, "send records with POST");
    else if (!server_authorised(request->server, connection))
        sl_http_set(request, MHD_HTTP_UNAUTHORIZED, "the bearer token is missing or wrong");
    else if (atomic_load(&request->server->stopping))
        sl_http_set(request, MHD_HTTP_SERVICE_UNAVAILABLE, "stopping; come again");
    else if (length != NULL && strtoull(length, NULL, 10) > config->max_body)
        sl_http_set(request, MHD_HTTP_CONTENT_TOO_LARGE, "the body is larger than max_body");
    else if (sl_http_encoding_of(sl_http_header(request, MHD_HTTP_HEADER_CONTENT_ENCODING)) ==
             SL_HTTP_UNKNOWN_ENCODING)
        sl_http_set(request, MHD_HTTP_BAD_REQUEST, "Content-Encoding must be gzip, zstd or identity");
    else if (sl_spool_is_full(request->server->front.topic))
        sl_http_set(request, atomic_load(&request->server->sick) ? MHD_HTTP_SERVICE_UNAVAILABLE : MHD_HTTP_TOO_MANY_REQUESTS,
                 "the spool takes nothing now; come again");
    else if (request->server->kind->first != NULL)
        request->server->kind->first(request);
}

static enum MHD_Result server_handle(void *user, struct MHD_Connection *connection, const char *url, const char *method,
                                   const char *version, const char *data, size_t *data_bytes, void **connection_user)
{
    struct sl_http_server *http = user;
    struct sl_http_post *request = *connection_user;

    (void)version;
    if (request == NULL) {
        request = calloc(1, http->kind->request_bytes);
        if (request == NULL)
            return MHD_NO;
        request->server = http;
        request->connection = connection;
        *connection_user = request;
        (void)pthread_mutex_lock(&http->lock);
        http->open++;
        (void)pthread_mutex_unlock(&http->lock);
        server_first(request, url, method);
        return request->status != 0 ? server_answer(request) : MHD_YES;
    }
    if (*data_bytes > 0) {
        enum MHD_Result rc = server_receive(request, data, *data_bytes);
        *data_bytes = 0;
        return rc;
    }
    if (request->phase == SL_HTTP_RECEIVING && request->status == 0) {
        (void)pthread_mutex_lock(&http->lock);
        http->answering++;
        request->counted = true;
        (void)pthread_mutex_unlock(&http->lock);
        if (server_process(request))
            return MHD_YES;
    }
    return server_answer(request);
}

static void server_completed(void *user, struct MHD_Connection *connection, void **connection_user,
                           enum MHD_RequestTerminationCode how)
{
    struct sl_http_server *http = user;
    struct sl_http_post *request = *connection_user;

    (void)connection;
    (void)how;
    if (request == NULL)
        return;
    server_body_free(request);
    (void)pthread_mutex_lock(&http->lock);
    if (request->counted)
        http->answering--;
    http->open--;
    (void)pthread_cond_broadcast(&http->change);
    (void)pthread_mutex_unlock(&http->lock);
    free(request);
    *connection_user = NULL;
}

/* ---- start and stop ---- */

static void server_quiet(void *user, const char *format, va_list args)
{
    (void)user, (void)format, (void)args; /* what clients do wrong is not for our log */
}

static int server_bind(void *user, int *ret_fd, struct sl_err *err)
{
    const struct addrinfo *at = user;
    int one = 1, fd = socket(at->ai_family, at->ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    if (fd >= 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (fd >= 0 && at->ai_family == AF_INET6)
        (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
    if (fd >= 0 && bind(fd, at->ai_addr, at->ai_addrlen) == 0 && listen(fd, SOMAXCONN) == 0) {
        *ret_fd = fd;
        return 0;
    }
    (void)sl_fail(err, SL_E_IO, SL_REMEDY_HALT, errno, "%s", strerror(errno));
    if (fd >= 0)
        (void)close(fd);
    return -SL_E_IO;
}

/* The socket is there, or it is made; then the daemon on it. */
static int server_listen(struct sl_http_server *http, struct addrinfo *found, struct sl_err *err)
{
    const struct sl_http_settings *config = http->settings;
    struct MHD_OptionItem tls[] = {{MHD_OPTION_HTTPS_MEM_CERT, 0, http->certificate},
                                   {MHD_OPTION_HTTPS_MEM_KEY, 0, http->tls_key},
                                   {MHD_OPTION_END, 0, NULL}};
    unsigned flags = MHD_USE_AUTO_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG | MHD_USE_ITC;
    int fd, status;

    (void)sl_listener_name("tcp", found->ai_addr, http->name);
    status = sl_listener_get(http->name, http->owner, server_bind, found, &fd, err);
    if (status != 0)
        return sl_while(err, "cannot listen on %s", config->listen);
    if (http->certificate != NULL)
        flags |= MHD_USE_TLS;
    else
        tls[0].option = MHD_OPTION_END;
    http->daemon = MHD_start_daemon(flags, 0, NULL, NULL, server_handle, http, MHD_OPTION_EXTERNAL_LOGGER, server_quiet, NULL,
                                    MHD_OPTION_LISTEN_SOCKET, (MHD_socket)fd, MHD_OPTION_NOTIFY_COMPLETED, server_completed, http,
                                    MHD_OPTION_CONNECTION_LIMIT, (unsigned)config->connections, MHD_OPTION_CONNECTION_TIMEOUT,
                                    (unsigned)(config->timeout / SL_NS_PER_S), MHD_OPTION_ARRAY, tls, MHD_OPTION_END);
    if (http->daemon != NULL)
        return 0;
    sl_listener_put(http->name, fd);
    (void)close(fd);
    return sl_fail(err, SL_E_IO, SL_REMEDY_HALT, 0, "cannot listen on %s: %s", config->listen,
                   http->certificate != NULL ? "the certificate or key was not accepted" : "no thread");
}

int sl_http_server_start(struct sl_http_server *http, struct sl_err *err)
{
    const char *listen = http->settings->listen;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV}, *found = NULL;
    char host[256], port[8];
    int rc;

    if (server_listen_split(listen, host, sizeof(host), port, sizeof(port)) != 0)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "listen: \"%s\" is not HOST:PORT", listen);
    rc = getaddrinfo(host[0] == '\0' ? NULL : host, port, &hints, &found);
    if (rc != 0)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "listen: %s: %s", listen, gai_strerror(rc));
    rc = server_listen(http, found, err);
    freeaddrinfo(found);
    return rc;
}

static int server_pem(struct sl_fs *fs, const char *path, char **ret_text, struct sl_err *err)
{
    size_t bytes;
    int rc = path == NULL ? 0 : sl_fs_read_file(fs, path, 1 << 20, ret_text, &bytes);

    return rc < 0 ? sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, -rc, "tls: reading %s: %s", path, strerror(-rc)) : 0;
}

static int server_secrets(struct sl_http_server *http, const struct sl_api *api, struct sl_err *err)
{
    const struct sl_http_settings *config = http->settings;

    if (server_secret_set(&config->token) && sl_secret_resolve(&config->token, &http->token, err) != 0)
        return sl_while(err, "token");
    if (http->token != NULL && http->token[0] == '\0')
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "token: it is empty; anybody could send");
    if (server_pem(api->fs, config->tls.certificate, &http->certificate, err) != 0 ||
        server_pem(api->fs, config->tls.key, &http->tls_key, err) != 0)
        return -(int)err->code;
    return 0;
}

int sl_http_server_init(struct sl_http_server *server, const struct sl_http_server_kind *kind, const struct sl_http_settings *settings,
                        const struct sl_api *api, struct sl_err *err)
{
    pthread_condattr_t attr;

    server->kind = kind;
    server->settings = settings;
    server->max_record_bytes = api->max_record_bytes;
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&server->lock, NULL);
    (void)pthread_cond_init(&server->change, &attr);
    if (asprintf(&server->owner, "%s/%s", api->topology, api->component) < 0) {
        server->owner = NULL;
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "no memory");
    }
    if (sl_front_init(&server->front, api, settings->partitions, 0, err) != 0)
        return -(int)err->code;
    return server_secrets(server, api, err);
}

/* Waits until *count is 0, until the time at worst. Under the lock. */
static void server_wait(struct sl_http_server *http, const uint32_t *count, uint64_t until_ns)
{
    struct timespec until = {.tv_sec = (time_t)(until_ns / SL_NS_PER_S), .tv_nsec = (long)(until_ns % SL_NS_PER_S)};
    int rc = 0;

    while (*count > 0 && rc == 0)
        rc = pthread_cond_timedwait(&http->change, &http->lock, &until);
}

/* Every whole request gets its answer; those still waiting for the disk keep us, slow readers only for the grace. */
static void server_drain(struct sl_http_server *http)
{
    uint64_t until_ns = sl_clock_now_ns() + SERVER_GRACE_NS;

    (void)pthread_mutex_lock(&http->lock);
    while (http->waiting > 0)
        (void)pthread_cond_wait(&http->change, &http->lock);
    server_wait(http, &http->answering, until_ns);
    (void)pthread_mutex_unlock(&http->lock);
}

/* A successor waits: what has begun to come is taken still, within a second. */
static void server_finish(struct sl_http_server *http)
{
    (void)pthread_mutex_lock(&http->lock);
    server_wait(http, &http->open, sl_clock_now_ns() + SERVER_FINISH_NS);
    (void)pthread_mutex_unlock(&http->lock);
}

void sl_http_server_stop(struct sl_http_server *http)
{
    MHD_socket listening;

    if (http->daemon == NULL)
        return;
    listening = MHD_quiesce_daemon(http->daemon);
    if (listening != MHD_INVALID_SOCKET)
        sl_listener_put(http->name, listening); /* refuses at once; closed below, as the daemon's thread may still name it */
    if (sl_listener_keeping())
        server_finish(http);
    (void)pthread_mutex_lock(&http->lock);
    atomic_store(&http->stopping, true);
    (void)pthread_mutex_unlock(&http->lock);
    server_drain(http);
    MHD_stop_daemon(http->daemon);
    http->daemon = NULL;
    if (listening != MHD_INVALID_SOCKET)
        (void)close(listening);
}

void sl_http_server_fini(struct sl_http_server *http)
{
    assert(http->daemon == NULL);
    sl_front_fini(&http->front);
    (void)pthread_cond_destroy(&http->change);
    (void)pthread_mutex_destroy(&http->lock);
    if (http->token != NULL)
        explicit_bzero(http->token, strlen(http->token));
    free(http->token);
    free(http->certificate);
    free(http->owner);
    free(http->tls_key);
}

uint16_t sl_http_port(const void *shared)
{
    const struct sl_http_server *http = shared;
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_BIND_PORT);

    return info == NULL ? 0 : info->port;
}
