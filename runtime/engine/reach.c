/* reach.c: asks back-ends for something that changes nothing.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/engine/reach.h"

#include <stddef.h>
#include <string.h>

#include "runtime/engine/op.h"
#include "runtime/engine/worker_http.h"
#include "runtime/kafka/klog.h"

enum { REACH_BROKERS_MS = 3000 };

static enum sl_reach reach_answer(const struct sl_http_request *request, struct sl_err *err)
{
    if (request->failure != SL_HTTP_NONE)
        (void)sl_fail(err, SL_E_IO, SL_REMEDY_RETRY, 0, "%s", request->why);
    else if (request->status == 401 || request->status == 403)
        (void)sl_fail(err, SL_E_IO, SL_REMEDY_RETRY, 0, "it answers HTTP %d: %s", request->status,
                      request->status == 401 ? "authentication failed" : "access denied");
    else
        return SL_REACH_FINE;
    return SL_REACH_SILENT;
}

enum sl_reach sl_reach_host(const struct sl_component *sink, uint32_t host, struct sl_err *err)
{
    union { /* the head is the first member of its kind */
        const struct sl_head *head;
        const struct sl_sink_kind *sink;
    } u = {.head = sink->head};
    struct sl_http_request request;
    enum sl_reach reach = SL_REACH_SILENT;
    int status;

    if (sink->role != SL_SINK || u.sink->probe == NULL)
        return SL_REACH_NONE;
    status = u.sink->probe(sink->config, host, &request, err);
    if (status <= 0)
        return status == 0 ? SL_REACH_NONE : SL_REACH_UNASKED;
    if (sl_worker_http_once(&request, err) == 0)
        reach = reach_answer(&request, err);
    request.done(&request);
    return reach;
}

static const void *reach_setting(const struct sl_component *sink, const char *name, enum sl_field_type type)
{
    for (const struct sl_field *field = sink->head->fields; field != NULL && field->name != NULL; field++)
        if (field->type == type && strcmp(field->name, name) == 0)
            return (const char *)sink->config + field->offset;
    return NULL;
}

/* By the settings that every kind has that writes to Kafka: brokers of its own, or a connection of the process. */
static int reach_brokers(const struct sl_topology *topology, const struct sl_component *sink, struct sl_err *err)
{
    const struct sl_strings *brokers = reach_setting(sink, "brokers", SL_F_STRINGS);
    const char *const *name = reach_setting(sink, "connection", SL_F_STRING);
    struct sl_connection own = {.brokers = brokers != NULL ? *brokers : (struct sl_strings){NULL, 0}};
    const struct sl_connection *connection = &own;
    struct sl_klog *klog = sl_klog_rdkafka();

    for (uint32_t i = 0; name != NULL && *name != NULL && i < topology->connections_count; i++)
        if (strcmp(topology->connections[i].name, *name) == 0)
            connection = &topology->connections[i];
    return klog->kind->reach(klog, connection, REACH_BROKERS_MS, err);
}

/* A cluster of which a node is being restarted is reachable: one host that answers is enough. */
static int reach_sink(const struct sl_topology *topology, const struct sl_component *sink, struct sl_err *err)
{
    enum sl_reach reach = SL_REACH_SILENT;

    if (reach_setting(sink, "brokers", SL_F_STRINGS) != NULL)
        reach = reach_brokers(topology, sink, err) == 0 ? SL_REACH_FINE : SL_REACH_UNASKED;
    for (uint32_t host = 0; reach == SL_REACH_SILENT; host++)
        reach = sl_reach_host(sink, host, err);
    if (reach == SL_REACH_FINE)
        return 0;
    return sl_while(err, "sinks.%s: require: reachable", sink->name);
}

int sl_reach_required(const struct sl_topology *topology, struct sl_err *err)
{
    for (uint32_t c = 0; c < topology->components_count; c++)
        if (topology->components[c].role == SL_SINK && topology->components[c].sink.reachable &&
            reach_sink(topology, &topology->components[c], err) != 0)
            return -(int)err->code;
    return 0;
}
