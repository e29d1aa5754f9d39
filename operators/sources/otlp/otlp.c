/* otlp.c: the `otlp` source: OpenTelemetry logs over HTTP (OTLP/HTTP 1.x, POST /v1/logs, protobuf or JSON, gzip too), each log record
 * one JSON record (otlp_record.h), answered 200 only when they are durable in the spool.
 *
 * Answers are in the request's content type: an ExportLogsServiceResponse, with partial_success where some records were rejected
 * (never to be sent again), else a google.rpc.Status. 429 and 503 carry Retry-After, as the specification asks of those that may
 * be sent again; 400 and 413 may not. All records of a body go to one partition, in order.
 * Threads and limits: see http/server.h. Beside the body, what it unpacks to: at most OTLP_GROWTH times max_body for the records and 8
 * times the body for lists, of one request at a time, since the server has one thread.
 * SPDX-License-Identifier: Apache-2.0 */
#include <microhttpd.h>
#include <stdlib.h>
#include <strings.h>

#include "operators/sources/http/server.h"
#include "operators/sources/otlp/otlp.pb-c.h"
#include "operators/sources/otlp/otlp_record.h"
#include "operators/sources/sources.h"
#include "runtime/base/json_out.h"

#define OTLP_PROTOBUF "application/x-protobuf"
#define OTLP_JSON "application/json"

struct otlp_config {
    struct sl_http_settings server;
};

struct otlp_front {
    struct sl_http_server server; /* first: api->shared is a struct sl_front */
};

struct otlp_post {
    struct sl_http_post post; /* first */
    uint64_t rejected;
    const char *why; /* static */
};

static const struct sl_field otlp_fields[] = {SL_HTTP_SETTINGS(otlp_config, "127.0.0.1:4318", "/v1/logs"), {0}};

static int otlp_check(const void *config, struct sl_err *err)
{
    return sl_http_check(&((const struct otlp_config *)config)->server, err);
}

/* ---- content types ---- */

static bool otlp_type_is(const struct sl_http_post *post, const char *type)
{
    const char *value = sl_http_header(post, MHD_HTTP_HEADER_CONTENT_TYPE);
    size_t bytes = strlen(type);

    return value != NULL && strncasecmp(value, type, bytes) == 0 && (value[bytes] == '\0' || value[bytes] == ';' || value[bytes] == ' ');
}

/* ---- answers ---- */

static struct MHD_Response *otlp_packed(const ProtobufCMessage *message)
{
    size_t bytes = protobuf_c_message_get_packed_size(message);
    uint8_t *packed = malloc(bytes + 1);
    struct MHD_Response *response;

    if (packed == NULL)
        return NULL;
    (void)protobuf_c_message_pack(message, packed);
    response = MHD_create_response_from_buffer(bytes, packed, MHD_RESPMEM_MUST_FREE);
    if (response == NULL)
        free(packed);
    return response;
}

/* protobuf-c's texts are not const; packing only reads them. */
static char *otlp_lent(const char *text)
{
    return (char *)(uintptr_t)text;
}

static struct MHD_Response *otlp_protobuf(const struct otlp_post *otlp)
{
    Sluice__Otlp__ExportLogsServiceResponse fine = SLUICE__OTLP__EXPORT_LOGS_SERVICE_RESPONSE__INIT;
    Sluice__Otlp__ExportLogsPartialSuccess partial = SLUICE__OTLP__EXPORT_LOGS_PARTIAL_SUCCESS__INIT;
    Sluice__Otlp__Status status = SLUICE__OTLP__STATUS__INIT;

    if (otlp->post.status != MHD_HTTP_OK) {
        status.message = otlp_lent(otlp->post.text);
        return otlp_packed(&status.base);
    }
    if (otlp->rejected > 0) {
        partial.rejected_log_records = (int64_t)otlp->rejected;
        partial.error_message = otlp_lent(otlp->why);
        fine.partial_success = &partial;
    }
    return otlp_packed(&fine.base);
}

/* Integers of 64 bits are strings in protobuf's JSON. */
static struct MHD_Response *otlp_json(const struct otlp_post *otlp)
{
    struct sl_buf text = {0};
    struct sl_json_out out;
    struct MHD_Response *response = NULL;

    sl_json_out_init(&out, &text);
    sl_json_out_object(&out);
    if (otlp->post.status != MHD_HTTP_OK) {
        sl_json_out_str_at(&out, "message", otlp->post.text);
    } else if (otlp->rejected > 0) {
        sl_json_out_key(&out, "partialSuccess");
        sl_json_out_object(&out);
        sl_json_out_key(&out, "rejectedLogRecords");
        sl_json_out_printf(&out, "%llu", (unsigned long long)otlp->rejected);
        sl_json_out_str_at(&out, "errorMessage", otlp->why);
        sl_json_out_end_object(&out);
    }
    sl_json_out_end_object(&out);
    if (!sl_buf_failed(&text))
        response = MHD_create_response_from_buffer(text.bytes, text.data, MHD_RESPMEM_MUST_COPY);
    sl_buf_fini(&text);
    return response;
}

static struct MHD_Response *otlp_response(struct sl_http_post *post)
{
    const struct otlp_post *otlp = (const struct otlp_post *)(void *)post;
    bool protobuf = otlp_type_is(post, OTLP_PROTOBUF); /* answered as it was asked */
    struct MHD_Response *response = protobuf ? otlp_protobuf(otlp) : otlp_json(otlp);

    if (response != NULL)
        (void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, protobuf ? OTLP_PROTOBUF : OTLP_JSON);
    return response;
}

/* ---- requests ---- */

static void otlp_first(struct sl_http_post *post)
{
    if (!otlp_type_is(post, OTLP_PROTOBUF) && !otlp_type_is(post, OTLP_JSON))
        sl_http_set(post, MHD_HTTP_UNSUPPORTED_MEDIA_TYPE, "Content-Type must be " OTLP_PROTOBUF " or " OTLP_JSON);
}

/* True: suspended, and no more to be touched. */
static bool otlp_send(struct sl_http_post *post, const struct otlp_records *taken)
{
    struct sl_spool_record *records = calloc(taken->count, sizeof(*records));
    bool suspended;

    if (records == NULL) {
        sl_http_set(post, MHD_HTTP_SERVICE_UNAVAILABLE, "no memory for the records");
        return false;
    }
    for (uint32_t i = 0; i < taken->count; i++)
        records[i] = (struct sl_spool_record){.payload = otlp_record(taken, i)};
    suspended = sl_http_append(post, sl_front_partition(&post->server->front), records, taken->count);
    free(records);
    return suspended;
}

static bool otlp_take(struct sl_http_post *post, struct sl_slice body)
{
    struct otlp_post *otlp = (struct otlp_post *)(void *)post;
    struct otlp_records records;
    struct sl_err err;
    bool suspended = false;
    int rc;

    otlp_records_init(&records, post->server->max_record_bytes, post->server->settings->max_body);
    rc = otlp_type_is(post, OTLP_PROTOBUF) ? otlp_read_proto(body, &records, &err) : otlp_read_json(body, &records, &err);
    otlp->rejected = records.rejected;
    otlp->why = records.why;
    if (rc != 0)
        sl_http_refuse(post, &err);
    else if (records.count == 0)
        post->status = MHD_HTTP_OK; /* nothing was sent, or nothing that could be taken */
    else
        suspended = otlp_send(post, &records);
    otlp_records_fini(&records);
    return suspended;
}

static const struct sl_http_server_kind otlp_kind = {.request_bytes = sizeof(struct otlp_post),
                                                     .first = otlp_first,
                                                     .take = otlp_take,
                                                     .response = otlp_response};

/* ---- start and stop ---- */

static void otlp_unshare(void *shared)
{
    struct otlp_front *otlp = shared;

    if (otlp == NULL)
        return;
    sl_http_server_stop(&otlp->server);
    sl_http_server_fini(&otlp->server);
    free(otlp);
}

static int otlp_share(const struct sl_api *api, const void *config, void **ret_shared, struct sl_err *err)
{
    struct otlp_front *otlp = calloc(1, sizeof(*otlp));
    int rc;

    if (otlp == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "source %s: no memory", api->component);
    rc = sl_http_server_init(&otlp->server, &otlp_kind, &((const struct otlp_config *)config)->server, api, err);
    if (rc == 0)
        rc = sl_http_server_start(&otlp->server, err);
    if (rc != 0) {
        otlp_unshare(otlp);
        return sl_while(err, "source %s", api->component);
    }
    *ret_shared = otlp;
    return 0;
}

static int otlp_partitions(const struct sl_api *api, const void *config, const struct sl_topology *topology, struct sl_klog *log,
                           uint32_t *ret_count, struct sl_err *err)
{
    (void)api, (void)topology, (void)log, (void)err;
    *ret_count = (uint32_t)((const struct otlp_config *)config)->server.partitions;
    return 0;
}

const struct sl_source_kind sl_source_otlp = {
    .head = {.major = SL_ABI_MAJOR,
             .minor = SL_ABI_MINOR,
             .bytes = sizeof(struct sl_source_kind),
             .name = "otlp",
             .summary = "Takes OpenTelemetry logs over HTTP, protobuf or JSON, each as one JSON record, and answers 200 when they are durable.",
             .example = "{ type: otlp, listen: \"127.0.0.1:4318\" }",
             .fields = otlp_fields,
             .config_bytes = sizeof(struct otlp_config),
             .self_bytes = sizeof(struct sl_front_slot),
             .check = otlp_check,
             .share = otlp_share,
             .unshare = otlp_unshare},
    SL_FRONT_SLOTS,
    .partitions = otlp_partitions,
};
