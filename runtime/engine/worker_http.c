/* worker_http.c: libcurl's sockets are watched by uv_poll handles, its one timer is a uv_timer; each request is an easy handle.
 *
 * Ownership: a transfer (easy handle, its headers, its error text) is ours from start to finish; easy handles are used again, since
 * making one costs more than a small request. A socket's watcher lives from libcurl's first word of it to its last, and is freed
 * when libuv has closed it. Invariant: request->driver is its transfer exactly while libcurl has it.
 * Secrets: user, password and headers go to libcurl and into no text of ours; texts name scheme-less HOST:PORT only.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/engine/worker_http.h"

#include <assert.h>
#include <curl/curl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "runtime/base/clock.h"

enum { WORKER_HTTP_MAGIC = 0x68747470, WORKER_HTTP_SPARE = 8, WORKER_HTTP_CONNECTIONS = 64 };

struct transfer {
    struct transfer *next; /* among those that run, or the spare ones */
    struct sl_worker_http *http;
    struct sl_http_request *request;
    void *owner;
    CURL *easy;
    struct curl_slist *headers;
    uint64_t started_ns;
    bool too_large;
    char text[CURL_ERROR_SIZE];
};

struct watcher {
    uv_poll_t poll; /* first */
    struct sl_worker_http *http;
    curl_socket_t socket;
};

struct sl_worker_http {
    uint32_t magic;
    uv_loop_t *loop;
    CURLM *multi;
    uv_timer_t timer;
    void (*finished)(void *owner, struct sl_http_request *request);
    struct transfer *running, *spare;
    uint32_t spare_count;
    bool closing;
};

/* ---- what went wrong, in words ---- */

static void http_place(const char *url, char *text, size_t bytes)
{
    CURLU *parts = curl_url();
    char *host = NULL, *port = NULL;

    if (parts != NULL && curl_url_set(parts, CURLUPART_URL, url, 0) == CURLUE_OK &&
        curl_url_get(parts, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
        curl_url_get(parts, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK)
        (void)snprintf(text, bytes, "%.100s:%.8s", host, port);
    else
        (void)snprintf(text, bytes, "the back-end");
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(parts);
}

static bool http_is_local(const char *place)
{
    return strncasecmp(place, "localhost:", 10) == 0 || strncmp(place, "127.", 4) == 0 || strncmp(place, "[::1]:", 6) == 0;
}

static enum sl_http_failure http_failure(const struct transfer *transfer, CURLcode code)
{
    curl_off_t connected_us = 0;

    if (transfer->too_large)
        return SL_HTTP_TOO_LARGE;
    switch ((int)code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
        return SL_HTTP_RESOLVE;
    case CURLE_COULDNT_CONNECT:
        return SL_HTTP_CONNECT;
    case CURLE_OPERATION_TIMEDOUT:
        (void)curl_easy_getinfo(transfer->easy, CURLINFO_PRETRANSFER_TIME_T, &connected_us);
        return connected_us > 0 ? SL_HTTP_TIMEOUT : SL_HTTP_CONNECT;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CIPHER:
    case CURLE_SSL_ISSUER_ERROR:
    case CURLE_SSL_ENGINE_NOTFOUND:
    case CURLE_SSL_ENGINE_SETFAILED:
    case CURLE_SSL_INVALIDCERTSTATUS:
        return SL_HTTP_TLS;
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_GOT_NOTHING:
    case CURLE_PARTIAL_FILE:
        return SL_HTTP_RESET;
    default:
        return SL_HTTP_OTHER;
    }
}

static const char *http_advice(enum sl_http_failure failure)
{
    switch (failure) {
    case SL_HTTP_RESOLVE:
        return "the name does not resolve; check the host in the url and this machine's DNS";
    case SL_HTTP_CONNECT:
        return "no connection; check that the server runs and listens there";
    case SL_HTTP_TLS:
        return "no trusted TLS connection; check tls: (ca, certificate, key) and the name in the url";
    case SL_HTTP_TIMEOUT:
        return "no whole answer in time; check the server's load, or raise timeout:";
    case SL_HTTP_RESET:
        return "the connection broke before the answer; check the server, and what stands between";
    case SL_HTTP_TOO_LARGE:
        return "the answer is larger than expected";
    case SL_HTTP_NONE:
    case SL_HTTP_CANCELLED:
    case SL_HTTP_OTHER:
        break;
    }
    return "the request failed; check the url";
}

static void http_explain(struct transfer *transfer, enum sl_http_failure failure, CURLcode code)
{
    struct sl_http_request *request = transfer->request;
    const char *detail = transfer->text[0] != '\0' ? transfer->text : curl_easy_strerror(code);
    char place[128];

    request->failure = failure;
    http_place(request->url, place, sizeof(place));
    if (failure == SL_HTTP_TOO_LARGE)
        (void)snprintf(request->why, sizeof(request->why), "%s: %s", place, http_advice(failure));
    else
        (void)snprintf(request->why, sizeof(request->why), "%s: %s (%.90s)", place, http_advice(failure), detail);
}

/* ---- a transfer's life ---- */

static struct transfer *transfer_new(struct sl_worker_http *http)
{
    struct transfer *transfer = http->spare;

    if (transfer != NULL) {
        http->spare = transfer->next;
        http->spare_count--;
        return transfer;
    }
    transfer = calloc(1, sizeof(*transfer));
    if (transfer != NULL && (transfer->easy = curl_easy_init()) == NULL) {
        free(transfer);
        return NULL;
    }
    if (transfer != NULL)
        transfer->http = http;
    return transfer;
}

static void transfer_free(struct transfer *transfer)
{
    curl_slist_free_all(transfer->headers);
    curl_easy_cleanup(transfer->easy);
    free(transfer);
}

static void transfer_release(struct transfer *transfer)
{
    struct sl_worker_http *http = transfer->http;

    if (http->closing || http->spare_count == WORKER_HTTP_SPARE) {
        transfer_free(transfer);
        return;
    }
    curl_slist_free_all(transfer->headers);
    transfer->headers = NULL;
    transfer->request = NULL;
    curl_easy_reset(transfer->easy); /* forgets credentials too */
    transfer->next = http->spare;
    http->spare = transfer;
    http->spare_count++;
}

/* Out of libcurl's hands; the request belongs to its owner again once finished() has passed it on. */
static void transfer_end(struct transfer *transfer)
{
    struct sl_worker_http *http = transfer->http;
    struct sl_http_request *request = transfer->request;
    void *owner = transfer->owner;
    struct transfer **at = &http->running;

    while (*at != transfer)
        at = &(*at)->next;
    *at = transfer->next;
    (void)curl_multi_remove_handle(http->multi, transfer->easy);
    request->driver = NULL;
    request->took_ns = sl_clock_now_ns() - transfer->started_ns;
    transfer_release(transfer);
    http->finished(owner, request);
}

static void transfer_answer(struct transfer *transfer, CURLcode code)
{
    struct sl_http_request *request = transfer->request;
    curl_off_t sent_bytes = 0, retry_after_s = 0;
    long status = 0, head_bytes = 0;

    (void)curl_easy_getinfo(transfer->easy, CURLINFO_SIZE_UPLOAD_T, &sent_bytes);
    (void)curl_easy_getinfo(transfer->easy, CURLINFO_REQUEST_SIZE, &head_bytes);
    request->sent = sent_bytes > 0 || head_bytes > 0;
    if (code != CURLE_OK) {
        http_explain(transfer, http_failure(transfer, code), code);
        return;
    }
    (void)curl_easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
    (void)curl_easy_getinfo(transfer->easy, CURLINFO_RETRY_AFTER, &retry_after_s);
    request->status = (int)status;
    request->retry_after_ns = retry_after_s > 0 && retry_after_s < 86400 ? (uint64_t)retry_after_s * SL_NS_PER_S : 0;
    if (sl_buf_failed(&request->answer)) {
        transfer->text[0] = '\0';
        http_explain(transfer, SL_HTTP_OTHER, CURLE_OUT_OF_MEMORY);
    }
}

static size_t transfer_write(char *data, size_t size, size_t count, void *user)
{
    struct transfer *transfer = user;
    struct sl_buf *answer = &transfer->request->answer;
    uint64_t max = transfer->request->answer_max_bytes;

    if (max != 0 && answer->bytes + size * count > max) {
        transfer->too_large = true;
        return 0; /* ends the transfer */
    }
    sl_buf_append(answer, data, size * count);
    return size * count;
}

/* ---- starting ---- */

static long http_ms(uint64_t ns)
{
    return (long)((ns + SL_NS_PER_MS - 1) / SL_NS_PER_MS);
}

static int transfer_headers(struct transfer *transfer)
{
    const struct sl_http_request *request = transfer->request;
    struct curl_slist *list = curl_slist_append(NULL, "Expect:"); /* no second round trip before each body */

    for (uint32_t i = 0; list != NULL && i < request->headers_count; i++) {
        struct curl_slist *longer = curl_slist_append(list, request->headers[i]);
        if (longer == NULL)
            curl_slist_free_all(list);
        list = longer;
    }
    transfer->headers = list;
    return list == NULL ? -1 : 0;
}

static void transfer_set_body(CURL *easy, const struct sl_http_request *request)
{
    if (request->body.data != NULL) {
        (void)curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request->body.data);
        (void)curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.bytes);
    } else if (strcmp(request->method, "HEAD") == 0) {
        (void)curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
    } else if (strcmp(request->method, "GET") != 0) {
        (void)curl_easy_setopt(easy, CURLOPT_POSTFIELDS, "");
        (void)curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)0);
    }
    if (strcmp(request->method, "HEAD") != 0)
        (void)curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, request->method);
}

static void transfer_set_trust(CURL *easy, const struct sl_http_request *request)
{
    if (request->user != NULL) {
        (void)curl_easy_setopt(easy, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
        (void)curl_easy_setopt(easy, CURLOPT_USERNAME, request->user);
        (void)curl_easy_setopt(easy, CURLOPT_PASSWORD, request->password != NULL ? request->password : "");
    }
    if (request->ca != NULL)
        (void)curl_easy_setopt(easy, CURLOPT_CAINFO, request->ca);
    if (request->certificate != NULL)
        (void)curl_easy_setopt(easy, CURLOPT_SSLCERT, request->certificate);
    if (request->key != NULL)
        (void)curl_easy_setopt(easy, CURLOPT_SSLKEY, request->key);
    if (request->insecure) {
        (void)curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
        (void)curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
    }
}

/* The url is what may be refused here; every other value is checked with the configuration. */
static CURLcode transfer_set(struct transfer *transfer)
{
    const struct sl_http_request *request = transfer->request;
    CURL *easy = transfer->easy;
    char place[128];

    (void)curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    (void)curl_easy_setopt(easy, CURLOPT_TCP_KEEPALIVE, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, 256L * 1024);
    (void)curl_easy_setopt(easy, CURLOPT_USERAGENT, "sluice/" SLUICE_VERSION);
    (void)curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer);
    (void)curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->text);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, transfer_write);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
    (void)curl_easy_setopt(easy, CURLOPT_HTTPHEADER, transfer->headers);
    (void)curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, http_ms(request->timeout_ns));
    (void)curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, http_ms(request->connect_timeout_ns));
    http_place(request->url, place, sizeof(place));
    if (http_is_local(place))
        (void)curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
    transfer_set_body(easy, request);
    transfer_set_trust(easy, request);
    return curl_easy_setopt(easy, CURLOPT_URL, request->url);
}

int sl_worker_http_start(struct sl_worker_http *http, void *owner, struct sl_http_request *request, struct sl_err *err)
{
    struct transfer *transfer = transfer_new(http);

    assert(http->magic == WORKER_HTTP_MAGIC && !http->closing && request->driver == NULL);
    if (transfer == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory for a request");
    sl_buf_reset(&request->answer);
    request->status = 0;
    request->failure = SL_HTTP_NONE;
    request->sent = false;
    request->retry_after_ns = request->took_ns = 0;
    request->why[0] = '\0';
    transfer->request = request;
    transfer->owner = owner;
    transfer->started_ns = sl_clock_now_ns();
    transfer->too_large = false;
    transfer->text[0] = '\0';
    if (transfer_headers(transfer) != 0 || transfer_set(transfer) != CURLE_OK ||
        curl_multi_add_handle(http->multi, transfer->easy) != CURLM_OK) {
        transfer_release(transfer);
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory for a request");
    }
    request->driver = transfer;
    transfer->next = http->running;
    http->running = transfer;
    return 0;
}

void sl_worker_http_cancel(struct sl_worker_http *http, struct sl_http_request *request)
{
    struct transfer *transfer = request->driver;

    assert(http->magic == WORKER_HTTP_MAGIC);
    if (transfer == NULL)
        return;
    transfer_answer(transfer, CURLE_OK); /* whether something was sent */
    request->status = 0;
    request->failure = SL_HTTP_CANCELLED;
    (void)snprintf(request->why, sizeof(request->why), "cancelled");
    transfer_end(transfer);
}

/* ---- libcurl on libuv ---- */

static void http_collect(struct sl_worker_http *http)
{
    int left;

    for (CURLMsg *message = curl_multi_info_read(http->multi, &left); message != NULL;
         message = curl_multi_info_read(http->multi, &left)) {
        struct transfer *transfer = NULL;
        CURLcode code = message->data.result;
        if (message->msg != CURLMSG_DONE)
            continue;
        (void)curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, (char **)&transfer);
        transfer_answer(transfer, code);
        transfer_end(transfer);
    }
}

static void http_act(struct sl_worker_http *http, curl_socket_t socket, int what)
{
    int running;

    (void)curl_multi_socket_action(http->multi, socket, what, &running);
    http_collect(http);
}

static void http_on_poll(uv_poll_t *handle, int status, int events)
{
    struct watcher *watcher = handle->data;
    int what = status < 0 ? CURL_CSELECT_ERR : 0;

    if (events & UV_READABLE)
        what |= CURL_CSELECT_IN;
    if (events & UV_WRITABLE)
        what |= CURL_CSELECT_OUT;
    http_act(watcher->http, watcher->socket, what);
}

static void http_on_timer(uv_timer_t *handle)
{
    http_act(handle->data, CURL_SOCKET_TIMEOUT, 0);
}

static int http_timer(CURLM *multi, long wait_ms, void *user)
{
    struct sl_worker_http *http = user;

    (void)multi;
    if (wait_ms < 0)
        (void)uv_timer_stop(&http->timer);
    else
        (void)uv_timer_start(&http->timer, http_on_timer, (uint64_t)wait_ms, 0);
    return 0;
}

static void watcher_closed(uv_handle_t *handle)
{
    free(handle->data);
}

static struct watcher *watcher_new(struct sl_worker_http *http, curl_socket_t socket)
{
    struct watcher *watcher = calloc(1, sizeof(*watcher));

    if (watcher == NULL)
        return NULL;
    if (uv_poll_init_socket(http->loop, &watcher->poll, socket) != 0) {
        free(watcher);
        return NULL;
    }
    watcher->poll.data = watcher;
    watcher->http = http;
    watcher->socket = socket;
    (void)curl_multi_assign(http->multi, socket, watcher);
    return watcher;
}

static int http_socket(CURL *easy, curl_socket_t socket, int what, void *user, void *of_socket)
{
    struct sl_worker_http *http = user;
    struct watcher *watcher = of_socket;
    int events = (what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0);

    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (watcher != NULL) {
            (void)curl_multi_assign(http->multi, socket, NULL);
            uv_close((uv_handle_t *)&watcher->poll, watcher_closed);
        }
        return 0;
    }
    if (watcher == NULL && (watcher = watcher_new(http, socket)) == NULL)
        return -1;
    return uv_poll_start(&watcher->poll, events, http_on_poll) == 0 ? 0 : -1;
}

/* ---- life ---- */

static void http_global_init(void)
{
    (void)curl_global_init(CURL_GLOBAL_DEFAULT);
}

struct sl_worker_http *sl_worker_http_new(uv_loop_t *loop, void (*finished)(void *owner, struct sl_http_request *request),
                                          struct sl_err *err)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct sl_worker_http *http = calloc(1, sizeof(*http));

    (void)pthread_once(&once, http_global_init);
    if (http == NULL || (http->multi = curl_multi_init()) == NULL || uv_timer_init(loop, &http->timer) != 0) {
        if (http != NULL && http->multi != NULL)
            (void)curl_multi_cleanup(http->multi);
        free(http);
        (void)sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "no memory for an HTTP client");
        return NULL;
    }
    http->magic = WORKER_HTTP_MAGIC;
    http->loop = loop;
    http->finished = finished;
    http->timer.data = http;
    (void)curl_multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION, http_socket);
    (void)curl_multi_setopt(http->multi, CURLMOPT_SOCKETDATA, http);
    (void)curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, http_timer);
    (void)curl_multi_setopt(http->multi, CURLMOPT_TIMERDATA, http);
    (void)curl_multi_setopt(http->multi, CURLMOPT_MAXCONNECTS, (long)WORKER_HTTP_CONNECTIONS);
    return http;
}

static void http_closed(uv_handle_t *handle)
{
    struct sl_worker_http *http = handle->data;

    http->magic = 0;
    free(http);
}

struct sl_worker_http *sl_worker_http_close(struct sl_worker_http *http)
{
    if (http == NULL)
        return NULL;
    assert(http->magic == WORKER_HTTP_MAGIC);
    http->closing = true;
    while (http->running != NULL)
        sl_worker_http_cancel(http, http->running->request);
    while (http->spare != NULL) {
        struct transfer *transfer = http->spare;
        http->spare = transfer->next;
        transfer_free(transfer);
    }
    (void)curl_multi_cleanup(http->multi); /* lets go of the sockets it still watches */
    uv_close((uv_handle_t *)&http->timer, http_closed);
    return NULL;
}

/* ---- one request ---- */

static void once_finished(void *owner, struct sl_http_request *request)
{
    (void)request;
    uv_stop(owner);
}

int sl_worker_http_once(struct sl_http_request *request, struct sl_err *err)
{
    struct sl_worker_http *http;
    uv_loop_t loop;
    int status;

    if (uv_loop_init(&loop) != 0)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "making an event loop");
    http = sl_worker_http_new(&loop, once_finished, err);
    status = http == NULL ? -(int)err->code : sl_worker_http_start(http, &loop, request, err);
    if (status == 0)
        (void)uv_run(&loop, UV_RUN_DEFAULT);
    (void)sl_worker_http_close(http);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    (void)uv_loop_close(&loop);
    return status;
}
