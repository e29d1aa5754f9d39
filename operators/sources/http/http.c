/* http.c: the `http` source: POSTed lines or documents, answered 200 only when they are durable in the spool.
 *
 * What it adds to server.h: the cut of a body into records, keys that choose the partition, and Idempotency-Keys: a request waits
 * while another with the same key is on its way, and gets that one's answer.
 * All records of a body go to one partition, in order. The last carries the Idempotency-Key and the count as headers: where it is
 * durable, all are. From these the table of keys is made again at a start.
 * Threads: see server.h; its lock guards the keys too.
 * SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <errno.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#define XXH_INLINE_ALL
#include <xxhash.h>

#include "operators/sources/http/http_body.h"
#include "operators/sources/http/http_keys.h"
#include "operators/sources/http/server.h"
#include "operators/sources/sources.h"
#include "runtime/base/clock.h"

#define HTTP_KEY_HEADER "idempotency-key"
#define HTTP_COUNT_HEADER "idempotency-records"

struct http_config {
    struct sl_http_settings server;
    const char *key_header;
    uint64_t idempotency;
};

struct http_front {
    struct sl_http_server server; /* first: api->shared is a struct sl_front */
    const struct http_config *config;
    struct sl_http_keys *keys; /* NULL: off */
};

struct http_request {
    struct sl_http_post request; /* first */
    struct http_request *next; /* of those that wait for the same key */
    struct sl_http_key *key;
    char key_text[SL_HTTP_KEY_BYTES + 1];
    uint32_t records;
};

static const struct sl_field http_fields[] = {
    SL_HTTP_SETTINGS(http_config, "127.0.0.1:8080", "/"),
    SL_FIELD(http_config, idempotency, SL_F_DURATION, .def = "10m", .min = "0s", .max = "24h",
             .help = "How long an Idempotency-Key is kept; 0s ignores the header."),
    SL_FIELD(http_config, key_header, SL_F_STRING,
             .help = "Request header whose value becomes the key of the records and chooses the partition."),
    {0},
};

static int http_check(const void *config, struct sl_err *err)
{
    return sl_http_check(&((const struct http_config *)config)->server, err);
}

static struct http_front *http_front_of(const struct http_request *request)
{
    return (struct http_front *)(void *)request->request.server;
}

static struct http_request *http_of(struct sl_http_post *request)
{
    return (struct http_request *)(void *)request;
}

static struct MHD_Response *http_response(struct sl_http_post *request)
{
    char body[320];
    int bytes = request->status == MHD_HTTP_OK ? snprintf(body, sizeof(body), "{\"records\":%u}\n", http_of(request)->records)
                                               : snprintf(body, sizeof(body), "{\"error\":\"%s\"}\n", request->text);
    struct MHD_Response *response = MHD_create_response_from_buffer((size_t)bytes, body, MHD_RESPMEM_MUST_COPY);

    if (response != NULL)
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, "application/json");
    return response;
}

/* ---- the spool ---- */

/* The first request's answer goes to all that came with the same key. Under the lock; returns the others, to be resumed after it. */
static struct http_request *http_follow(struct http_request *request)
{
    struct http_front *http = http_front_of(request);
    struct http_request *waiters = NULL;

    if (request->key == NULL)
        return NULL;
    waiters = request->key->waiters;
    request->key->waiters = NULL;
    if (request->request.status == MHD_HTTP_OK)
        sl_http_keys_finish(http->keys, request->key, request->records, sl_clock_now_ns());
    else
        sl_http_keys_drop(http->keys, request->key);
    request->key = NULL;
    return waiters;
}

static void http_settled(struct sl_http_post *settled)
{
    struct http_request *request = http_of(settled), *waiter;
    pthread_mutex_t *lock = &settled->server->lock;

    (void)pthread_mutex_lock(lock);
    waiter = http_follow(request);
    (void)pthread_mutex_unlock(lock);
    while (waiter != NULL) {
        struct http_request *next = waiter->next;
        waiter->request.status = settled->status;
        waiter->records = request->records;
        memcpy(waiter->request.text, settled->text, sizeof(waiter->request.text));
        sl_http_resume(&waiter->request);
        waiter = next;
    }
}

static uint32_t http_partition(struct http_front *http, struct sl_slice key)
{
    if (key.data == NULL)
        return sl_front_partition(&http->server.front);
    return (uint32_t)(XXH3_64bits(key.data, key.bytes) % http->server.front.partitions);
}

/* True: suspended, and no more to be touched. */
static bool http_send(struct http_request *request, const struct sl_http_records *cut)
{
    struct http_front *http = http_front_of(request);
    const char *key_header = http->config->key_header;
    const char *key_text = key_header == NULL ? NULL : sl_http_header(&request->request, key_header);
    struct sl_slice key = key_text == NULL ? (struct sl_slice){NULL, 0} : sl_slice_of(key_text);
    struct sl_spool_record *records = calloc(cut->count, sizeof(*records));
    char count_text[16];
    struct sl_header headers[2] = {{sl_slice_of(HTTP_KEY_HEADER), sl_slice_of(request->key_text)},
                                   {sl_slice_of(HTTP_COUNT_HEADER), {count_text, 0}}};
    bool suspended;

    if (records == NULL) {
        sl_http_set(&request->request, MHD_HTTP_SERVICE_UNAVAILABLE, "no memory for the records");
        http_settled(&request->request);
        return false;
    }
    for (uint32_t i = 0; i < cut->count; i++)
        records[i] = (struct sl_spool_record){.payload = cut->items[i], .key = key};
    if (request->key != NULL) {
        headers[1].value.bytes = (uint32_t)snprintf(count_text, sizeof(count_text), "%u", cut->count);
        records[cut->count - 1].headers = headers;
        records[cut->count - 1].headers_count = 2;
    }
    request->records = cut->count;
    suspended = sl_http_append(&request->request, http_partition(http, key), records, cut->count);
    free(records);
    return suspended;
}

/* ---- keys ---- */

static void http_first(struct sl_http_post *first)
{
    struct http_request *request = http_of(first);
    const char *text = http_front_of(request)->keys == NULL ? NULL : sl_http_header(first, "Idempotency-Key");

    if (text == NULL)
        return;
    if (text[0] == '\0' || strlen(text) > SL_HTTP_KEY_BYTES)
        sl_http_set(first, MHD_HTTP_BAD_REQUEST, "Idempotency-Key must have 1 to 255 bytes");
    else
        (void)snprintf(request->key_text, sizeof(request->key_text), "%s", text);
}

/* NEW: go on and append (also without a key). PENDING: suspended behind the first. DONE, REFUSED: the answer is set. */
static enum sl_http_key_state http_key_begin(struct http_request *request)
{
    struct http_front *http = http_front_of(request);
    enum sl_http_key_state state = SL_HTTP_KEY_NEW;
    struct sl_http_key *key = NULL;

    if (request->key_text[0] == '\0')
        return state;
    (void)pthread_mutex_lock(&http->server.lock);
    state = sl_http_keys_begin(http->keys, request->key_text, sl_clock_now_ns(), &key);
    if (state == SL_HTTP_KEY_NEW) {
        request->key = key;
    } else if (state == SL_HTTP_KEY_PENDING && sl_http_suspend(&request->request)) {
        request->next = key->waiters;
        key->waiters = request;
    } else if (state == SL_HTTP_KEY_PENDING) {
        state = SL_HTTP_KEY_REFUSED;
    } else if (state == SL_HTTP_KEY_DONE) {
        request->request.status = MHD_HTTP_OK;
        request->records = key->records;
    } else {
        sl_http_set(&request->request, MHD_HTTP_TOO_MANY_REQUESTS, "too many idempotency keys at once; come again");
    }
    (void)pthread_mutex_unlock(&http->server.lock);
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
    int got = sl_spool_offset_of_time(http->server.front.topic, partition, since_unix_ms, &offset, err);

    if (got == 0)
        got = sl_spool_reader_open(http->server.front.topic, partition, NULL, NULL, &reader, err);
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

static bool http_take(struct sl_http_post *taken, struct sl_slice body)
{
    struct http_request *request = http_of(taken);
    struct sl_http_records cut = {NULL, 0};
    enum sl_http_key_state state;
    struct sl_err err;
    bool suspended;

    if (sl_http_records_cut(body.data, body.bytes, sl_http_is_document(sl_http_header(taken, MHD_HTTP_HEADER_CONTENT_TYPE)),
                            taken->server->max_record_bytes, &cut, &err) != 0) {
        sl_http_refuse(taken, &err);
        return false;
    }
    state = http_key_begin(request);
    suspended = state == SL_HTTP_KEY_NEW ? http_send(request, &cut) : state == SL_HTTP_KEY_PENDING;
    free(cut.items);
    return suspended;
}

static const struct sl_http_server_kind http_kind = {.request_bytes = sizeof(struct http_request),
                                                     .first = http_first,
                                                     .take = http_take,
                                                     .response = http_response,
                                                     .settled = http_settled};

/* ---- start and stop ---- */

static void http_unshare(void *shared)
{
    struct http_front *http = shared;

    if (http == NULL)
        return;
    sl_http_server_stop(&http->server);
    (void)sl_http_keys_free(http->keys);
    sl_http_server_fini(&http->server);
    free(http);
}

static int http_prepare(struct http_front *http, struct sl_err *err)
{
    if (http->config->idempotency == 0)
        return 0;
    http->keys = sl_http_keys_new(http->config->idempotency);
    if (http->keys == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory for the idempotency keys");
    for (uint32_t p = 0; p < http->server.front.partitions; p++)
        if (http_keys_read(http, p, err) != 0)
            return sl_while(err, "reading back the idempotency keys");
    return 0;
}

static int http_partitions(const struct sl_api *api, const void *config, const struct sl_topology *topology,
                           struct sl_klog *log, uint32_t *ret_count, struct sl_err *err)
{
    (void)api, (void)topology, (void)log, (void)err;
    *ret_count = (uint32_t)((const struct http_config *)config)->server.partitions;
    return 0;
}

static int http_share(const struct sl_api *api, const void *config, void **ret_shared, struct sl_err *err)
{
    struct http_front *http = calloc(1, sizeof(*http));
    int rc;

    if (http == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "source %s: no memory", api->component);
    http->config = config;
    rc = sl_http_server_init(&http->server, &http_kind, &http->config->server, api, err);
    if (rc == 0)
        rc = http_prepare(http, err);
    if (rc == 0)
        rc = sl_http_server_start(&http->server, err);
    if (rc != 0) {
        http_unshare(http);
        return sl_while(err, "source %s", api->component);
    }
    *ret_shared = http;
    return 0;
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
