/* push_send.c: a bulk becomes a request: its end set, compressed once, addressed, started.
 * SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

#include "operators/sinks/push/push.h"

enum { SEND_GZIP_LEVEL = 1, SEND_ZSTD_LEVEL = 1, SEND_GZIP_WINDOW = 15 + 16, SEND_ANSWER_BYTES = 1 << 20, SEND_ROW_ANSWER_BYTES = 1024 };

static void send_done(struct sl_http_request *request)
{
    struct push_bulk *bulk = (struct push_bulk *)request, **at;
    struct push *push = bulk->push;

    push_wires_unref(bulk->wires);
    bulk->wires = NULL;
    if (push == NULL) {
        push_bulk_free(bulk);
        return;
    }
    assert(push->magic == PUSH_MAGIC);
    for (at = &push->flying; *at != bulk; at = &(*at)->next)
        assert(*at != NULL);
    *at = bulk->next;
    push->flying_count--;
    push->hosts[bulk->host].flying--;
    bulk->next = NULL;
    *push->answered_last = bulk; /* judged in the turn that follows: its clock is the answer's */
    push->answered_last = &bulk->next;
}

/* What ends a body: `between` of the last row goes, `last` comes. Once: a bulk that is sent again has it. */
static int send_end(const struct push *push, struct push_bulk *bulk)
{
    if (bulk->setup || bulk->rows_end != 0)
        return 0;
    bulk->rows_end = bulk->text.bytes;
    if (push->kind->between != '\0' && !push->kind->keep_last)
        bulk->text.bytes--;
    if (push->kind->last != NULL)
        sl_buf_text(&bulk->text, push->kind->last);
    return sl_buf_failed(&bulk->text) ? -1 : 0;
}

static int send_gzip(struct sl_slice text, struct sl_buf *wire)
{
    z_stream stream = {0};
    uLong bound;
    int status;

    if (deflateInit2(&stream, SEND_GZIP_LEVEL, Z_DEFLATED, SEND_GZIP_WINDOW, 8, Z_DEFAULT_STRATEGY) != Z_OK)
        return -1;
    bound = deflateBound(&stream, text.bytes);
    stream.next_out = (Bytef *)sl_buf_reserve(wire, bound);
    stream.avail_out = (uInt)bound;
    stream.next_in = (Bytef *)(uintptr_t)text.data;
    stream.avail_in = text.bytes;
    status = stream.next_out == NULL ? Z_MEM_ERROR : deflate(&stream, Z_FINISH);
    if (status == Z_STREAM_END)
        sl_buf_added(wire, stream.total_out);
    (void)deflateEnd(&stream);
    return status == Z_STREAM_END ? 0 : -1;
}

static int send_zstd(struct push *push, struct sl_slice text, struct sl_buf *wire)
{
    size_t bound = ZSTD_compressBound(text.bytes), bytes;
    char *to = sl_buf_reserve(wire, bound);

    if (push->compressor == NULL)
        push->compressor = ZSTD_createCCtx();
    if (to == NULL || push->compressor == NULL)
        return -1;
    bytes = ZSTD_compressCCtx(push->compressor, to, bound, text.data, text.bytes, SEND_ZSTD_LEVEL);
    if (ZSTD_isError(bytes))
        return -1;
    sl_buf_added(wire, bytes);
    return 0;
}

static int send_body(struct push *push, struct push_bulk *bulk, struct sl_err *err)
{
    struct sl_slice text;
    int status = 0;

    if (send_end(push, bulk) != 0) {
        bulk->text.failed = false;
        bulk->text.bytes = bulk->rows_end;
        bulk->rows_end = 0;
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory for the end of a request");
    }
    bulk->request.body = text = (struct sl_slice){bulk->text.data, (uint32_t)bulk->text.bytes};
    if (push->settings->compression == PUSH_PLAIN || bulk->setup)
        return 0;
    if (bulk->wire.bytes == 0) {
        sl_buf_reset(&bulk->wire);
        status = push->settings->compression == PUSH_GZIP ? send_gzip(text, &bulk->wire) : send_zstd(push, text, &bulk->wire);
        push_bulk_charge(bulk);
    }
    if (status != 0) {
        sl_buf_fini(&bulk->wire);
        push_bulk_charge(bulk);
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory to compress a request");
    }
    bulk->request.body = (struct sl_slice){bulk->wire.data, (uint32_t)bulk->wire.bytes};
    return 0;
}

static void send_address(struct push *push, struct push_bulk *bulk, uint32_t host)
{
    const struct push_settings *settings = push->settings;
    struct sl_http_request *request = &bulk->request;
    struct push_wires *wires = push->wires;

    request->method = bulk->setup ? "PUT" : push->kind->method;
    request->url = bulk->setup ? wires->setup_urls[host] : wires->urls[host];
    request->headers = (const char *const *)wires->headers;
    request->headers_count = wires->headers_count;
    if (bulk->setup && settings->compression != PUSH_PLAIN)
        request->headers_count--; /* the last says how bodies are compressed; this one is not */
    request->user = wires->password != NULL ? settings->auth.user : NULL;
    request->password = wires->password;
    request->ca = settings->tls.ca;
    request->certificate = settings->tls.certificate;
    request->key = settings->tls.key;
    request->insecure = !settings->tls.verify;
    request->connect_timeout_ns = settings->connect_timeout;
    request->timeout_ns = settings->timeout;
    request->answer_max_bytes = SEND_ANSWER_BYTES + (uint64_t)bulk->rows_count * SEND_ROW_ANSWER_BYTES;
    request->done = send_done;
}

int push_send(struct push *push, struct push_bulk *bulk, uint32_t host, struct sl_err *err)
{
    assert(bulk->request.driver == NULL && bulk->next == NULL && bulk->push == push);
    if (send_body(push, bulk, err) != 0)
        return -(int)err->code;
    send_address(push, bulk, host);
    if (push->api->http(push->api->env, &bulk->request, err) != 0)
        return -(int)err->code;
    bulk->wires = push->wires;
    bulk->wires->refs++;
    bulk->host = host;
    bulk->sent_ns = push->api->now_ns(push->api->env);
    bulk->next = push->flying;
    push->flying = bulk;
    push->flying_count++;
    push->hosts[host].flying++;
    push->api->tally(push->api->env, push->sink, PUSH_REQUESTS, 1);
    push->api->tally(push->api->env, push->sink, PUSH_BYTES, bulk->request.body.bytes);
    return 0;
}
