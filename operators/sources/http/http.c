/* http.c: the `http` source: POSTed lines or documents, answered 200 only when they are durable in the spool.
 *
 * A request: (http_first) refused by its head, or RECEIVING -> (http_process) WAITING: suspended while its batch is written, or
 * while another request with the same key is -> (http_done, http_follow) ANSWERED: resumed -> (http_answer) the response is
 * queued -> (http_completed) freed.
 * All records of a body go to one partition, in order. The last carries the Idempotency-Key and the count as headers: where it is
 * durable, all are. From these the table of keys is made again at a start.
 * Threads: libmicrohttpd's own; answers come from the spool's writer. `lock` guards the keys and the counts.
 * Limits: max_body a body, `memory` for all bodies together, `connections`.
 * SPDX-License-Identifier: Apache-2.0 */
#include "operators/sources/http/http.h"

#include <assert.h>
#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "operators/sources/front.h"
#include "operators/sources/http/http_body.h"
#include "operators/sources/http/http_keys.h"
#include "operators/sources/sources.h"
#include "runtime/base/clock.h"
#include "runtime/config/process.h"

#define HTTP_KEY_HEADER "idempotency-key"
#define HTTP_COUNT_HEADER "idempotency-records"
#define HTTP_GRACE_NS (5 * SL_NS_PER_S) /* for answers to leave at a stop */

struct http_tls {
    const char *certificate, *key;
};

struct http_config {
    const char *listen, *path, *key_header;
    uint64_t max_body, memory, connections, timeout, idempotency, partitions;
    struct sl_secret token;
    struct http_tls tls;
    bool healthz;
};

struct http_front {
    struct sl_front front; /* first: api->shared is a struct sl_front */
    const struct http_config *config;
    uint64_t max_record_bytes;
    struct MHD_Daemon *daemon;
    char *token, *certificate, *tls_key;
    struct sl_http_keys *keys; /* NULL: off */
    pthread_mutex_t lock;
    pthread_cond_t change;
    atomic_bool stopping; /* set under the lock: no request is suspended after it */
    uint32_t waiting;     /* suspended requests; the daemon must not stop while there is one */
    uint32_t answering;   /* requests whose body has come whole and whose answer has not left */
    uint64_t body_bytes;  /* memory of all bodies */
    atomic_bool sick;     /* the last append failed on the disk: refusals are 503 until one succeeds */
};

enum http_phase { HTTP_RECEIVING, HTTP_WAITING, HTTP_ANSWERED };

struct http_request {
    struct sl_spool_wait wait; /* first: the spool's answer */
    struct http_front *http;
    struct MHD_Connection *connection;
    struct http_request *next; /* of those that wait for the same key */
    enum http_phase phase;
    bool counted;
    char *body;
    size_t bytes, capacity;
    struct sl_http_key *key;
    char key_text[SL_HTTP_KEY_BYTES + 1];
    unsigned status;
    uint32_t records;
    char text[256];
};

static const struct sl_field http_tls_fields[] = {
    SL_FIELD(http_tls, certificate, SL_F_INPUT_PATH, .help = "Certificate chain, PEM."),
    SL_FIELD(http_tls, key, SL_F_INPUT_PATH, .help = "Private key, PEM."),
    {0},
};

static const struct sl_field http_fields[] = {
    SL_FIELD(http_config, listen, SL_F_STRING, .def = "127.0.0.1:8080", .help = "HOST:PORT; an IPv6 host in brackets."),
    SL_FIELD(http_config, path, SL_F_STRING, .def = "/", .help = "Path that takes POSTs; others are answered 404."),
    SL_FIELD(http_config, max_body, SL_F_BYTES, .def = "16MiB", .min = "1KiB", .max = "1GiB",
             .help = "Largest body, compressed and decompressed; larger ones are answered 413."),
    SL_FIELD(http_config, memory, SL_F_BYTES, .def = "64MiB", .min = "1KiB", .max = "64GiB",
             .help = "Memory of all bodies on their way; above it requests are answered 429."),
    SL_FIELD(http_config, connections, SL_F_U64, .def = "1000", .min = "1", .max = "100000", .help = "Open connections at most."),
    SL_FIELD(http_config, timeout, SL_F_DURATION, .def = "60s", .min = "1s", .max = "1h",
             .help = "A connection that sends nothing for so long is closed."),
    SL_FIELD(http_config, idempotency, SL_F_DURATION, .def = "10m", .min = "0s", .max = "24h",
             .help = "How long an Idempotency-Key is kept; 0s ignores the header."),
    SL_FIELD(http_config, key_header, SL_F_STRING,
             .help = "Request header whose value becomes the key of the records and chooses the partition."),
    SL_FIELD(http_config, token, SL_F_SECRET, .help = "If set, requests need Authorization: Bearer TOKEN."),
    SL_FIELD(http_config, tls, SL_F_STRUCT, .sub = http_tls_fields, .help = "Serve HTTPS with this certificate and key."),
    SL_FIELD(http_config, healthz, SL_F_BOOL, .def = "true", .help = "Answer GET /healthz with 200."),
    SL_FIELD(http_config, partitions, SL_F_U64, .def = "4", .min = "1", .max = "1024",
             .help = "Partitions of the spool topic TOPOLOGY.SOURCE that the records go through."),
    {0},
};

static bool http_secret_set(const struct sl_secret *secret)
{
    return secret->env != NULL || secret->file != NULL || secret->plain != NULL;
}

/* Splits HOST:PORT, [HOST]:PORT or :PORT. */
static int http_listen_split(const char *listen, char *host, size_t host_bytes, char *port, size_t port_bytes)
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

static int http_check(const void *config, struct sl_err *err)
{
    const struct http_config *c = config;
    char host[256], port[8];

    if (http_listen_split(c->listen, host, sizeof(host), port, sizeof(port)) != 0)
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

/* ---- answers ---- */

static void http_set(struct http_request *request, unsigned status, const char *text)
{
    request->status = status;
    (void)snprintf(request->text, sizeof(request->text), "%s", text);
    for (char *c = request->text; *c != '\0'; c++)
        if (*c == '"' || *c == '\\' || (unsigned char)*c < ' ')
            *c = '\'';
}

static void http_headers(struct MHD_Response *response, const struct http_front *http, unsigned status)
{
    (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "application/json");
    if (status == MHD_HTTP_TOO_MANY_REQUESTS)
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_RETRY_AFTER, "1");
    if (status == MHD_HTTP_SERVICE_UNAVAILABLE)
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_RETRY_AFTER, "5");
    if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "POST");
    if (status == MHD_HTTP_UNAUTHORIZED)
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_WWW_AUTHENTICATE, "Bearer");
    if (atomic_load(&http->stopping))
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
}

static enum MHD_Result http_answer(struct http_request *request)
{
    char body[320];
    int bytes = request->status == MHD_HTTP_OK ? snprintf(body, sizeof(body), "{\"records\":%u}\n", request->records)
                                               : snprintf(body, sizeof(body), "{\"error\":\"%s\"}\n", request->text);
    struct MHD_Response *response = MHD_create_response_from_buffer((size_t)bytes, body, MHD_RESPMEM_MUST_COPY);
    enum MHD_Result rc;

    if (response == NULL)
        return MHD_NO;
    http_headers(response, request->http, request->status);
    rc = MHD_queue_response(request->connection, request->status, response);
    MHD_destroy_response(response);
    return rc;
}

/* ---- taking the body ---- */

static bool http_memory_take(struct http_front *http, uint64_t bytes)
{
    bool fits;

    (void)pthread_mutex_lock(&http->lock);
    fits = http->body_bytes + bytes <= http->config->memory;
    if (fits)
        http->body_bytes += bytes;
    (void)pthread_mutex_unlock(&http->lock);
    return fits;
}

static void http_body_free(struct http_request *request)
{
    (void)pthread_mutex_lock(&request->http->lock);
    request->http->body_bytes -= request->capacity;
    (void)pthread_mutex_unlock(&request->http->lock);
    free(request->body);
    request->body = NULL;
    request->bytes = request->capacity = 0;
}

static void http_refuse_body(struct http_request *request, unsigned status, const char *text)
{
    http_set(request, status, text);
    http_body_free(request);
}

static bool http_body_room(struct http_request *request, size_t bytes)
{
    size_t capacity = request->capacity == 0 ? 4096 : request->capacity;
    char *body;

    while (capacity < request->bytes + bytes)
        capacity *= 2;
    if (capacity > request->http->config->max_body)
        capacity = request->http->config->max_body;
    if (capacity == request->capacity)
        return true;
    if (!http_memory_take(request->http, capacity - request->capacity)) {
        http_refuse_body(request, MHD_HTTP_TOO_MANY_REQUESTS, "too many bodies are on their way; come again");
        return false;
    }
    body = realloc(request->body, capacity);
    if (body != NULL)
        request->body = body;
    request->capacity = capacity;
    if (body == NULL)
        http_refuse_body(request, MHD_HTTP_SERVICE_UNAVAILABLE, "no memory for the body");
    return body != NULL;
}

/* A refused body is read over, so that the client sees the answer, but not for ever. */
static enum MHD_Result http_receive(struct http_request *request, const char *data, size_t bytes)
{
    uint64_t max_body = request->http->config->max_body;

    if (request->status == 0 && request->bytes + bytes > max_body) {
        http_refuse_body(request, MHD_HTTP_CONTENT_TOO_LARGE, "the body is larger than max_body");
    } else if (request->status == 0 && http_body_room(request, bytes)) {
        memcpy(request->body + request->bytes, data, bytes);
        request->bytes += bytes;
        return MHD_YES;
    }
    request->bytes += bytes;
    return request->bytes > 4 * max_body ? MHD_NO : MHD_YES;
}

/* ---- the spool ---- */

/* Under the lock. False: stopping, the answer is set. */
static bool http_suspend(struct http_request *request)
{
    if (atomic_load(&request->http->stopping)) {
        http_set(request, MHD_HTTP_SERVICE_UNAVAILABLE, "stopping; come again");
        return false;
    }
    request->http->waiting++;
    request->phase = HTTP_WAITING;
    MHD_suspend_connection(request->connection);
    return true;
}

/* The request may be gone on return, the front is not before `waiting` has fallen. */
static void http_resume(struct http_request *request)
{
    struct http_front *http = request->http;

    request->phase = HTTP_ANSWERED;
    MHD_resume_connection(request->connection);
    (void)pthread_mutex_lock(&http->lock);
    http->waiting--;
    (void)pthread_cond_broadcast(&http->change);
    (void)pthread_mutex_unlock(&http->lock);
}

/* The first request's answer goes to all that came with the same key. Under the lock; returns the others, to be resumed after it. */
static struct http_request *http_follow(struct http_request *request)
{
    struct http_front *http = request->http;
    struct http_request *waiters = NULL;

    if (request->key == NULL)
        return NULL;
    waiters = request->key->waiters;
    request->key->waiters = NULL;
    if (request->status == MHD_HTTP_OK)
        sl_http_keys_finish(http->keys, request->key, request->records, sl_clock_now_ns());
    else
        sl_http_keys_drop(http->keys, request->key);
    request->key = NULL;
    return waiters;
}

static void http_settle(struct http_request *request)
{
    struct http_front *http = request->http;
    struct http_request *waiter;

    (void)pthread_mutex_lock(&http->lock);
    waiter = http_follow(request);
    (void)pthread_mutex_unlock(&http->lock);
    while (waiter != NULL) {
        struct http_request *next = waiter->next;
        waiter->status = request->status;
        waiter->records = request->records;
        memcpy(waiter->text, request->text, sizeof(waiter->text));
        http_resume(waiter);
        waiter = next;
    }
    if (request->phase == HTTP_WAITING)
        http_resume(request);
}

static void http_spool_failed(struct http_request *request, const struct sl_err *err)
{
    bool queue = err != NULL && err->code == SL_E_LIMIT && err->sys == 0 && !atomic_load(&request->http->sick);

    if (err != NULL && err->remedy == SL_REMEDY_DEADLETTER) { /* a record above what the spool can hold */
        http_set(request, MHD_HTTP_CONTENT_TOO_LARGE, err->text);
        return;
    }
    http_set(request, queue ? MHD_HTTP_TOO_MANY_REQUESTS : MHD_HTTP_SERVICE_UNAVAILABLE,
             queue ? "the spool's queue is full; come again" : "the spool cannot write now; come again");
    if (!queue && err != NULL)
        sl_front_trouble(&request->http->front, err);
}

/* The spool's writer thread. */
static void http_done(struct sl_spool_wait *wait, int status, uint64_t first_offset, const struct sl_err *err)
{
    struct http_request *request = (struct http_request *)(void *)wait;

    (void)first_offset;
    atomic_store(&request->http->sick, status != 0);
    if (status == 0)
        request->status = MHD_HTTP_OK;
    else
        http_spool_failed(request, err);
    http_settle(request);
}

static uint32_t http_partition(struct http_front *http, struct sl_slice key)
{
    if (key.data == NULL)
        return sl_front_partition(&http->front);
    return (uint32_t)(XXH3_64bits(key.data, key.bytes) % http->front.partitions);
}

static int http_append(struct http_request *request, const struct sl_http_records *cut, struct sl_err *err)
{
    struct http_front *http = request->http;
    const char *key_header = http->config->key_header;
    const char *key_text = key_header == NULL ? NULL
                                              : MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, key_header);
    struct sl_slice key = key_text == NULL ? (struct sl_slice){NULL, 0} : sl_slice_of(key_text);
    struct sl_spool_record *records = calloc(cut->count, sizeof(*records));
    char count_text[16];
    struct sl_header headers[2] = {{sl_slice_of(HTTP_KEY_HEADER), sl_slice_of(request->key_text)},
                                   {sl_slice_of(HTTP_COUNT_HEADER), {count_text, 0}}};
    int rc;

    if (records == NULL)
        return sl_fail(err, SL_E_IO, SL_REMEDY_RETRY, ENOMEM, "no memory for the records");
    for (uint32_t i = 0; i < cut->count; i++)
        records[i] = (struct sl_spool_record){.payload = cut->items[i], .key = key};
    if (request->key != NULL) {
        headers[1].value.bytes = (uint32_t)snprintf(count_text, sizeof(count_text), "%u", cut->count);
        records[cut->count - 1].headers = headers;
        records[cut->count - 1].headers_count = 2;
    }
    rc = sl_spool_append(http->front.topic, http_partition(http, key), records, cut->count, &request->wait, err);
    free(records);
    return rc;
}

/* Suspends first: the answer may come before append returns. True: suspended, and no more to be touched. */
static bool http_send(struct http_request *request, const struct sl_http_records *cut)
{
    struct sl_err err;
    bool suspended;

    request->records = cut->count;
    request->wait.done = http_done;
    (void)pthread_mutex_lock(&request->http->lock);
    suspended = http_suspend(request);
    (void)pthread_mutex_unlock(&request->http->lock);
    if (suspended && http_append(request, cut, &err) == 0)
        return true;
    if (suspended)
        http_spool_failed(request, &err);
    http_settle(request);
    return suspended;
}

/* ---- keys ---- */

static int http_key_scan(struct http_request *request)
{
    const char *text = request->http->keys == NULL
                           ? NULL
                           : MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, "Idempotency-Key");

    if (text == NULL)
        return 0;
    if (text[0] == '\0' || strlen(text) > SL_HTTP_KEY_BYTES)
        return -1;
    (void)snprintf(request->key_text, sizeof(request->key_text), "%s", text);
    return 0;
}

/* NEW: go on and append (also without a key). PENDING: suspended behind the first. DONE, REFUSED: the answer is set. */
static enum sl_http_key_state http_key_begin(struct http_request *request)
{
    struct http_front *http = request->http;
    enum sl_http_key_state state = SL_HTTP_KEY_NEW;
    struct sl_http_key *key = NULL;

    if (request->key_text[0] == '\0')
        return state;
    (void)pthread_mutex_lock(&http->lock);
    state = sl_http_keys_begin(http->keys, request->key_text, sl_clock_now_ns(), &key);
    if (state == SL_HTTP_KEY_NEW) {
        request->key = key;
    } else if (state == SL_HTTP_KEY_PENDING && http_suspend(request)) {
        request->next = key->waiters;
        key->waiters = request;
    } else if (state == SL_HTTP_KEY_PENDING) {
        state = SL_HTTP_KEY_REFUSED;
    } else if (state == SL_HTTP_KEY_DONE) {
        request->status = MHD_HTTP_OK;
        request->records = key->records;
    } else {
        http_set(request, MHD_HTTP_TOO_MANY_REQUESTS, "too many idempotency keys at once; come again");
    }
    (void)pthread_mutex_unlock(&http->lock);
    return state;
}

static void http_key_found(struct http_front *http, const struct sl_batch *batch, uint32_t row)
{
    char text[SL_HTTP_KEY_BYTES + 1] = "", count[16] = "";
    int64_t age_ms = sl_clock_unix_ms() - batch->append_unix_ms[row];
    uint64_t now_ns = sl_clock_now_ns(), age_ns = age_ms > 0 ? (uint64_t)age_ms * SL_NS_PER_MS : 0;
    struct sl_http_key *key;

    for (uint16_t h = 0; h < batch->headers_count[row]; h++) {
        const struct sl_header *header = &batch->headers[row][h];
        if (sl_slice_is(header->name, HTTP_KEY_HEADER) && header->value.bytes < sizeof(text))
            (void)snprintf(text, sizeof(text), "%.*s", (int)header->value.bytes, header->value.data);
        if (sl_slice_is(header->name, HTTP_COUNT_HEADER) && header->value.bytes < sizeof(count))
            (void)snprintf(count, sizeof(count), "%.*s", (int)header->value.bytes, header->value.data);
    }
    if (text[0] == '\0' || age_ns >= http->config->idempotency)
        return;
    if (sl_http_keys_begin(http->keys, text, now_ns, &key) == SL_HTTP_KEY_NEW) {
        sl_http_keys_finish(http->keys, key, (uint32_t)strtoul(count, NULL, 10), now_ns);
        key->until_ns -= age_ns;
    }
}

/* The keys of what was appended lately, out of the spool itself. */
static int http_keys_read(struct http_front *http, uint32_t partition, struct sl_err *err)
{
    int64_t since_unix_ms = sl_clock_unix_ms() - (int64_t)(http->config->idempotency / SL_NS_PER_MS);
    struct sl_spool_reader *reader = NULL;
    struct sl_arena arena;
    struct sl_batch batch = {.arena = &arena};
    uint64_t offset = 0;
    int got = sl_spool_offset_of_time(http->front.topic, partition, since_unix_ms, &offset, err);

    if (got == 0)
        got = sl_spool_reader_open(http->front.topic, partition, NULL, NULL, &reader, err);
    if (got != 0)
        return got;
    if (sl_arena_init(&arena, 4 << 20, 1u << 30) != 0) {
        (void)sl_spool_reader_close(reader);
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory to read back the idempotency keys");
    }
    got = sl_spool_seek(reader, offset, err);
    while (got == 0 && (got = sl_spool_read(reader, &batch, err)) == 1) {
        for (uint32_t i = 0; batch.headers != NULL && i < batch.count; i++)
            http_key_found(http, &batch, i);
        sl_arena_reset(&arena);
        batch = (struct sl_batch){.arena = &arena};
        got = 0;
    }
    sl_arena_fini(&arena);
    (void)sl_spool_reader_close(reader);
    return got;
}

/* ---- requests ---- */

static bool http_take(struct http_request *request, const struct sl_http_records *cut)
{
    enum sl_http_key_state state = http_key_begin(request);

    return state == SL_HTTP_KEY_NEW ? http_send(request, cut) : state == SL_HTTP_KEY_PENDING;
}

/* True: suspended; a later call brings the answer. Else it is set. */
static bool http_process(struct http_request *request)
{
    bool suspended = false;
    struct http_front *http = request->http;
    const char *encoding_text = MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_ENCODING);
    const char *type = MHD_lookup_connection_value(request->connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_TYPE);
    enum sl_http_encoding encoding = sl_http_encoding_of(encoding_text);
    struct sl_http_records cut = {NULL, 0};
    char *plain = NULL, *data = request->body;
    size_t bytes = request->bytes;
    struct sl_err err = {.code = SL_OK};
    int rc = 0;

    if (encoding != SL_HTTP_IDENTITY)
        rc = sl_http_inflate(encoding, request->body, request->bytes, http->config->max_body, &plain, &bytes, &err);
    data = plain != NULL ? plain : data;
    if (rc == 0)
        rc = sl_http_records_cut(data, bytes, sl_http_is_document(type), http->max_record_bytes, &cut, &err);
    if (rc != 0)
        http_set(request, rc == -SL_E_FORMAT              ? MHD_HTTP_BAD_REQUEST
                          : err.remedy == SL_REMEDY_RETRY ? MHD_HTTP_SERVICE_UNAVAILABLE
                                                          : MHD_HTTP_CONTENT_TOO_LARGE, err.text);
    else
        suspended = http_take(request, &cut);
    free(cut.items);
    free(plain);
    return suspended;
}

static bool http_authorised(const struct http_front *http, struct MHD_Connection *connection)
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
static void http_first(struct http_request *request, const char *url, const char *method)
{
    const struct http_config *config = request->http->config;
    struct MHD_Connection *connection = request->connection;
    const char *length = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_LENGTH);
    bool get = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;

    if (config->healthz && get && strcmp(url, "/healthz") == 0)
        request->status = MHD_HTTP_OK;
    else if (strcmp(url, config->path) != 0)
        http_set(request, MHD_HTTP_NOT_FOUND, "there is nothing under this path");
    else if (strcmp(method, "POST") != 0)
        http_set(request, MHD_HTTP_METHOD_NOT_ALLOWED, "send records with POST");
    else if (!http_authorised(request->http, connection))
        http_set(request, MHD_HTTP_UNAUTHORIZED, "the bearer token is missing or wrong");
    else if (atomic_load(&request->http->stopping))
        http_set(request, MHD_HTTP_SERVICE_UNAVAILABLE, "stopping; come again");
    else if (length != NULL && strtoull(length, NULL, 10) > config->max_body)
        http_set(request, MHD_HTTP_CONTENT_TOO_LARGE, "the body is larger than max_body");
    else if (http_key_scan(request) != 0)
        http_set(request, MHD_HTTP_BAD_REQUEST, "Idempotency-Key must have 1 to 255 bytes");
    else if (sl_http_encoding_of(MHD_lookup_connection_value(connection, MHD_HEADER_KIND, MHD_HTTP_HEADER_CONTENT_ENCODING)) ==
             SL_HTTP_UNKNOWN_ENCODING)
        http_set(request, MHD_HTTP_BAD_REQUEST, "Content-Encoding must be gzip, zstd or identity");
    else if (sl_spool_is_full(request->http->front.topic))
        http_set(request, atomic_load(&request->http->sick) ? MHD_HTTP_SERVICE_UNAVAILABLE : MHD_HTTP_TOO_MANY_REQUESTS,
                 "the spool takes nothing now; come again");
}

static enum MHD_Result http_handle(void *user, struct MHD_Connection *connection, const char *url, const char *method,
                                   const char *version, const char *data, size_t *data_bytes, void **connection_user)
{
    struct http_front *http = user;
    struct http_request *request = *connection_user;

    (void)version;
    if (request == NULL) {
        request = calloc(1, sizeof(*request));
        if (request == NULL)
            return MHD_NO;
        request->http = http;
        request->connection = connection;
        *connection_user = request;
        http_first(request, url, method);
        return request->status != 0 ? http_answer(request) : MHD_YES;
    }
    if (*data_bytes > 0) {
        enum MHD_Result rc = http_receive(request, data, *data_bytes);
        *data_bytes = 0;
        return rc;
    }
    if (request->phase == HTTP_RECEIVING && request->status == 0) {
        (void)pthread_mutex_lock(&http->lock);
        http->answering++;
        request->counted = true;
        (void)pthread_mutex_unlock(&http->lock);
        if (http_process(request))
            return MHD_YES;
    }
    return http_answer(request);
}

static void http_completed(void *user, struct MHD_Connection *connection, void **connection_user,
                           enum MHD_RequestTerminationCode how)
{
    struct http_front *http = user;
    struct http_request *request = *connection_user;

    (void)connection;
    (void)how;
    if (request == NULL)
        return;
    http_body_free(request);
    (void)pthread_mutex_lock(&http->lock);
    if (request->counted)
        http->answering--;
    (void)pthread_cond_broadcast(&http->change);
    (void)pthread_mutex_unlock(&http->lock);
    free(request);
    *connection_user = NULL;
}

/* ---- start and stop ---- */

static void http_quiet(void *user, const char *format, va_list args)
{
    (void)user, (void)format, (void)args; /* what clients do wrong is not for our log */
}

static int http_listen(struct http_front *http, const struct sockaddr *address, unsigned flags)
{
    const struct http_config *config = http->config;
    struct MHD_OptionItem tls[] = {{MHD_OPTION_HTTPS_MEM_CERT, 0, http->certificate},
                                   {MHD_OPTION_HTTPS_MEM_KEY, 0, http->tls_key},
                                   {MHD_OPTION_END, 0, NULL}};

    if (http->certificate != NULL)
        flags |= MHD_USE_TLS;
    else
        tls[0].option = MHD_OPTION_END;
    errno = 0;
    http->daemon = MHD_start_daemon(
        flags | MHD_USE_AUTO_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG | MHD_USE_ITC, 0, NULL, NULL,
        http_handle, http, MHD_OPTION_EXTERNAL_LOGGER, http_quiet, NULL, MHD_OPTION_SOCK_ADDR, address,
        MHD_OPTION_NOTIFY_COMPLETED, http_completed, http, MHD_OPTION_CONNECTION_LIMIT, (unsigned)config->connections,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)(config->timeout / SL_NS_PER_S), MHD_OPTION_ARRAY, tls, MHD_OPTION_END);
    return http->daemon == NULL ? -1 : 0;
}

static int http_start(struct http_front *http, struct sl_err *err)
{
    const char *listen = http->config->listen;
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV}, *found = NULL;
    char host[256], port[8];
    int rc;

    if (http_listen_split(listen, host, sizeof(host), port, sizeof(port)) != 0)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "listen: \"%s\" is not HOST:PORT", listen);
    rc = getaddrinfo(host[0] == '\0' ? NULL : host, port, &hints, &found);
    if (rc != 0)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "listen: %s: %s", listen, gai_strerror(rc));
    rc = http_listen(http, found->ai_addr, found->ai_family == AF_INET6 ? MHD_USE_IPv6 : 0);
    freeaddrinfo(found);
    if (rc != 0)
        return sl_fail(err, SL_E_IO, SL_REMEDY_HALT, errno, "cannot listen on %s: %s", listen,
                       errno != 0 ? strerror(errno) : "the certificate or key was not accepted");
    return 0;
}

static int http_pem(struct sl_fs *fs, const char *path, char **ret_text, struct sl_err *err)
{
    size_t bytes;
    int rc = path == NULL ? 0 : sl_fs_read_file(fs, path, 1 << 20, ret_text, &bytes);

    return rc < 0 ? sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, -rc, "tls: reading %s: %s", path, strerror(-rc)) : 0;
}

static int http_prepare(struct http_front *http, const struct sl_api *api, struct sl_err *err)
{
    const struct http_config *config = http->config;

    if (http_secret_set(&config->token) && sl_secret_resolve(&config->token, &http->token, err) != 0)
        return sl_while(err, "token");
    if (http->token != NULL && http->token[0] == '\0')
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "token: it is empty; anybody could send");
    if (http_pem(api->fs, config->tls.certificate, &http->certificate, err) != 0 ||
        http_pem(api->fs, config->tls.key, &http->tls_key, err) != 0)
        return -(int)err->code;
    if (config->idempotency == 0)
        return 0;
    http->keys = sl_http_keys_new(config->idempotency);
    if (http->keys == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory for the idempotency keys");
    for (uint32_t p = 0; p < http->front.partitions; p++)
        if (http_keys_read(http, p, err) != 0)
            return sl_while(err, "reading back the idempotency keys");
    return 0;
}

/* Waits until every whole request has its answer; those still waiting for the disk keep us, slow readers only for the grace. */
static void http_drain(struct http_front *http)
{
    uint64_t until_ns = sl_clock_now_ns() + HTTP_GRACE_NS;
    struct timespec until = {.tv_sec = (time_t)(until_ns / SL_NS_PER_S), .tv_nsec = (long)(until_ns % SL_NS_PER_S)};
    int rc = 0;

    (void)pthread_mutex_lock(&http->lock);
    while (http->waiting > 0)
        (void)pthread_cond_wait(&http->change, &http->lock);
    while (http->answering > 0 && rc == 0)
        rc = pthread_cond_timedwait(&http->change, &http->lock, &until);
    (void)pthread_mutex_unlock(&http->lock);
}

static void http_unshare(void *shared)
{
    struct http_front *http = shared;

    if (http == NULL)
        return;
    if (http->daemon != NULL) {
        MHD_socket listening = MHD_quiesce_daemon(http->daemon);
        if (listening != MHD_INVALID_SOCKET)
            (void)shutdown(listening, SHUT_RDWR); /* refuses at once; closed below, as the daemon's thread may still name it */
        (void)pthread_mutex_lock(&http->lock);
        atomic_store(&http->stopping, true);
        (void)pthread_mutex_unlock(&http->lock);
        http_drain(http);
        MHD_stop_daemon(http->daemon);
        if (listening != MHD_INVALID_SOCKET)
            (void)close(listening);
    }
    (void)sl_http_keys_free(http->keys);
    sl_front_fini(&http->front);
    (void)pthread_cond_destroy(&http->change);
    (void)pthread_mutex_destroy(&http->lock);
    if (http->token != NULL)
        explicit_bzero(http->token, strlen(http->token));
    free(http->token);
    free(http->certificate);
    free(http->tls_key);
    free(http);
}

static int http_partitions(const struct sl_api *api, const void *config, const struct sl_topology *topology,
                         struct sl_klog *log, uint32_t *ret_count, struct sl_err *err)
{
    (void)api, (void)topology, (void)log, (void)err;
    *ret_count = (uint32_t)((const struct http_config *)config)->partitions;
    return 0;
}

static int http_share(const struct sl_api *api, const void *config, void **ret_shared, struct sl_err *err)
{
    struct http_front *http = calloc(1, sizeof(*http));
    pthread_condattr_t attr;
    int rc;

    if (http == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "source %s: no memory", api->component);
    http->config = config;
    http->max_record_bytes = api->max_record_bytes;
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_mutex_init(&http->lock, NULL);
    (void)pthread_cond_init(&http->change, &attr);
    rc = sl_front_init(&http->front, api, http->config->partitions, 0, err);
    if (rc == 0)
        rc = http_prepare(http, api, err);
    if (rc == 0)
        rc = http_start(http, err);
    if (rc != 0) {
        http_unshare(http);
        return sl_while(err, "source %s", api->component);
    }
    *ret_shared = http;
    return 0;
}

uint16_t sl_http_port(const void *shared)
{
    const struct http_front *http = shared;
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_BIND_PORT);

    return info == NULL ? 0 : info->port;
}

const struct sl_source_kind sl_source_http = {
    .head = {.major = SL_ABI_MAJOR,
             .minor = SL_ABI_MINOR,
             .bytes = sizeof(struct sl_source_kind),
             .name = "http",
             .summary = "Takes POSTed NDJSON or one JSON document, gzip or zstd, and answers 200 when it is durable.",
             .example = "{ type: http, listen: \"127.0.0.1:8080\", path: /logs }",
             .fields = http_fields,
             .config_bytes = sizeof(struct http_config),
             .self_bytes = sizeof(struct sl_front_slot),
             .check = http_check,
             .share = http_share,
             .unshare = http_unshare},
    SL_FRONT_SLOTS,
    .partitions = http_partitions,
};
