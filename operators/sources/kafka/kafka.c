/* kafka.c: the `kafka` source: topics read as a member of a consumer group: settings, opening, lag and end.
 * SPDX-License-Identifier: Apache-2.0 */
#include "operators/sources/kafka/kafka.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "operators/sources/sources.h"
#include "runtime/config/bind.h"

static const char *const kafka_starts[] = {"earliest", "latest", "timestamp", "offset", NULL};
static const char *const kafka_assignors[] = {"range", "cooperative-sticky", NULL};
static const char *const kafka_gaps[] = {"stop", "record", NULL};

static const struct sl_field kafka_fields[] = {
    SL_FIELD(kafka_config, connection, SL_F_STRING, .help = "A connection of sluice.yaml; or brokers: here."),
    SL_FIELD(kafka_config, brokers, SL_F_STRINGS, .help = "HOST:PORT of some brokers, where no connection is named."),
    SL_FIELD(kafka_config, topics, SL_F_STRINGS, .flags = SL_F_REQUIRED,
             .help = "Topics; one that begins with ^ is a pattern, and topics that match later are read from their beginning."),
    SL_FIELD(kafka_config, group, SL_F_STRING, .help = "Consumer group; the topology's name if left out."),
    SL_FIELD(kafka_config, start, SL_F_ENUM, .def = "earliest", .values = kafka_starts,
             .help = "Where the group's first run begins; afterwards the commits decide."),
    SL_FIELD(kafka_config, timestamp, SL_F_U64, .def = "0",
             .help = "With start: timestamp: the first record at or after this many ms since 1970."),
    SL_FIELD(kafka_config, offset, SL_F_U64, .def = "0", .help = "With start: offset: this offset in every partition."),
    SL_FIELD(kafka_config, assignor, SL_F_ENUM, .def = "range", .values = kafka_assignors,
             .help = "How partitions are shared out; all members of a group must have the same."),
    SL_FIELD(kafka_config, on_gap, SL_F_ENUM, .def = "stop", .values = kafka_gaps,
             .help = "When retention has removed what was not read yet: stop the partition, or record the gap and go on."),
    SL_FIELD(kafka_config, headers, SL_F_BOOL, .def = "false",
             .help = "Read record headers, for @header:NAME and sinks that pass them on."),
    SL_FIELD(kafka_config, static_member, SL_F_BOOL, .def = "true",
             .help = "Keep the partitions over a restart shorter than session_timeout (instance id NODE/TOPOLOGY/SLOT)."),
    SL_FIELD(kafka_config, session_timeout, SL_F_DURATION, .def = "45s", .min = "1s", .max = "30m",
             .help = "A member silent for so long loses its partitions; longer than the group's coordinator takes to be replaced "
                     "(a broker is missed after 9 s), else a member that is well may be taken for two and stop as fenced."),
    SL_FIELD(kafka_config, librdkafka, SL_F_MAP, .help = "Any further librdkafka property, passed through."),
    {0},
};

static const struct sl_counter kafka_counters[] = {
    [KAFKA_REBALANCES] = {"kafka_rebalances_total", "rebalances", "Assignments and revocations by the group."},
    [KAFKA_GAPS] = {"kafka_gaps_total", "gaps", "Gaps by retention that were recorded."},
    [KAFKA_HOLES] = {"kafka_hole_offsets_total", "offsets", "Offsets without a record (compaction, transaction markers)."},
    [KAFKA_SKIPPED] = {"kafka_skipped_total", "records", "Records read again although every sink had them."},
    [KAFKA_UNVERIFIED] = {"kafka_unverified_total", "partitions", "Assignments whose last record was gone, so not compared."},
    [KAFKA_ERRORS] = {"kafka_errors_total", "errors", "Errors that the client reported and goes on from."},
    [KAFKA_ASSIGNMENTS] = {"kafka_assignments_total", "assignments", "Assignments by the group that are taken up: what they name is being read."},
    {0},
};

static int kafka_check(const void *config, struct sl_err *err)
{
    const struct kafka_config *c = config;

    if ((c->connection == NULL) == (c->brokers.count == 0))
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "%s; write connection: NAME, or brokers: [HOST:PORT], one of the two",
                       c->connection == NULL ? "connection: missing" : "connection: given beside brokers");
    if (c->topics.count == 0)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "topics: empty; name at least one topic");
    if (c->start == KAFKA_TIMESTAMP && c->timestamp == 0)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "timestamp: missing; start: timestamp needs it, in ms since 1970");
    if (c->start != KAFKA_TIMESTAMP && c->timestamp != 0)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "timestamp: set, but start is not timestamp; write start: timestamp");
    if (c->start != KAFKA_OFFSET && c->offset != 0)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "offset: set, but start is not offset; write start: offset");
    return 0;
}

void kafka_fail(struct kafka_source *source, const struct sl_err *err)
{
    if (source->failed != 0)
        return;
    source->failed = -(int)err->code;
    source->failure = *err;
}

/* ---- open ---- */
static const struct sl_connection *kafka_connection(const struct kafka_config *config, const struct sl_topology *topology,
                                                    struct sl_connection *own)
{
    *own = (struct sl_connection){.brokers = config->brokers};
    for (uint32_t i = 0; config->connection != NULL && i < topology->connections_count; i++)
        if (strcmp(topology->connections[i].name, config->connection) == 0)
            return &topology->connections[i];
    return config->connection == NULL ? own : NULL;
}

/* Marks are in the commit topic, too, where commits are transactions. */
static bool kafka_transactional(const struct sl_topology *topology)
{
    if (topology->commit_mode != SL_COMMIT_AUTO)
        return topology->commit_mode == SL_COMMIT_TRANSACTION;
    for (uint32_t i = 0; i < topology->components_count; i++) {
        const struct sl_component *component = &topology->components[i];

        if (component->role == SL_SINK &&
            (sl_sink_flags_of((const struct sl_sink_kind *)(const void *)component->head, component->config) & SL_SINK_FLUSHED))
            return true;
    }
    return false;
}

static void kafka_wake(void *user)
{
    const struct kafka_source *source = user;

    source->api->wake(source->api->env);
}

enum { KAFKA_INSTANCE_BYTES = 512 };

/* instance: KAFKA_INSTANCE_BYTES, for as long as the settings are used. */
static struct sl_klog_consumer_settings kafka_settings(const struct kafka_config *c, const struct sl_api *api,
                                                       const struct sl_connection *connection, char *instance)
{
    (void)snprintf(instance, KAFKA_INSTANCE_BYTES, "%s/%s/%u", api->node, api->topology, api->slot);
    return (struct sl_klog_consumer_settings){
        .connection = connection, .topics = c->topics, .group = c->group != NULL ? c->group : api->topology,
        .instance_id = c->static_member ? instance : NULL, .cooperative = c->assignor == KAFKA_COOPERATIVE,
        .queue_bytes = api->share_bytes, .read_committed = true, .want_headers = c->headers,
        .session_timeout_ms = c->session_timeout / 1000000, .properties = &c->librdkafka,
    };
}

static int kafka_open(void *self, const struct sl_api *api, const void *config, struct sl_slot *slot, struct sl_err *err)
{
    struct kafka_source *source = self;
    const struct sl_topology *topology = sl_slot_topology(slot);
    const struct kafka_config *c = config;
    char instance[KAFKA_INSTANCE_BYTES];
    struct sl_klog_consumer_settings settings;

    *source = (struct kafka_source){.magic = KAFKA_MAGIC, .api = api, .config = c, .slot = slot, .log = sl_slot_klog(slot),
                                    .known_partition = -1};
    source->events_end = &source->events;
    source->group = c->group != NULL ? c->group : api->topology;
    source->transactional = kafka_transactional(topology);
    source->connection = kafka_connection(c, topology, &source->own);
    if (source->connection == NULL)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "source %s: no connection is called %s", api->component, c->connection);
    settings = kafka_settings(c, api, source->connection, instance);
    settings.wake = kafka_wake;
    settings.user = source;
    settings.event = kafka_on_event;
    kafka_look_init(&source->look, source, kafka_look_done);
    kafka_look_init(&source->range, source, kafka_range_done);
    source->lag.source = source;
    source->lag.job = (struct sl_job){.run = kafka_lag_run, .done = kafka_lag_done};
    if (source->log->kind->consumer_open(source->log, &settings, &source->consumer, err) != 0)
        return sl_while(err, "source %s", api->component);
    sl_slot_use_consumer(slot, source->log, source->connection, source->consumer, source->group);
    return 0;
}

static void kafka_close(void *self)
{
    struct kafka_source *source = self;

    if (source->magic != KAFKA_MAGIC)
        return;
    if (source->consumer != NULL)
        source->log->kind->consumer_close(source->consumer);
    while (source->events != NULL) {
        struct kafka_event *event = source->events;

        source->events = event->next;
        sl_klog_list_fini(&event->list);
        free(event);
    }
    kafka_look_fini(&source->look);
    kafka_look_fini(&source->range);
    sl_klog_list_fini(&source->lag.list);
    kafka_items_fini(source);
    kafka_known_fini(source);
    source->magic = 0;
}

static int kafka_ahead(const struct sl_api *api, const void *config, const struct sl_topology *topology, struct sl_klog *log,
                       struct sl_err *err)
{
    const struct kafka_config *c = config;
    char instance[KAFKA_INSTANCE_BYTES];
    struct sl_connection own;
    const struct sl_connection *connection = kafka_connection(c, topology, &own);
    struct sl_klog_consumer_settings settings = kafka_settings(c, api, connection, instance);
    const char *topic = kafka_transactional(topology) ? topology->commit_topic : NULL;
    uint32_t partitions = 0;

    if (connection == NULL || log->kind->ahead == NULL)
        return 0;
    if (topic != NULL && log->kind->partition_count(log, connection, topic, &partitions, err) != 0)
        return -(int)err->code;
    return log->kind->ahead(log, &settings, topic, topic == NULL ? 0 : sl_commit_partition(settings.group, partitions), err);
}

static int kafka_partitions(const struct sl_api *api, const void *config, const struct sl_topology *topology, struct sl_klog *log,
                            uint32_t *ret_count, struct sl_err *err)
{
    const struct kafka_config *c = config;
    struct sl_connection own;
    const struct sl_connection *connection = kafka_connection(c, topology, &own);
    uint32_t sum = 0;

    (void)api;
    for (uint32_t i = 0; connection != NULL && i < c->topics.count; i++) {
        uint32_t count;

        if (c->topics.items[i][0] == '^')
            continue;
        if (log->kind->partition_count(log, connection, c->topics.items[i], &count, err) != 0)
            return -(int)err->code;
        sum += count;
    }
    *ret_count = sum;
    return 0;
}

/* ---- asked by the engine ---- */
static void kafka_release(void *self)
{
    (void)self; /* payloads were copied into the batch's arena */
}

static void kafka_lag(void *self, int64_t *ret_records, int64_t *ret_ms)
{
    const struct kafka_source *source = self;
    int64_t now_ms = source->api->unix_ms(source->api->env);

    *ret_records = source->items_count == 0 ? 0 : -1;
    *ret_ms = source->items_count == 0 ? 0 : -1;
    for (uint32_t i = 0; i < source->items_count; i++) {
        const struct kafka_item *item = source->items[i];
        int64_t behind, ms;

        if (item->partition == NULL || item->end_now < 0)
            continue;
        behind = item->end_now - (int64_t)item->partition->next;
        behind = behind < 0 ? 0 : behind;
        ms = behind == 0 ? 0 : item->last_unix_ms > 0 && now_ms > item->last_unix_ms ? now_ms - item->last_unix_ms : 0;
        *ret_records = (*ret_records < 0 ? 0 : *ret_records) + behind;
        *ret_ms = ms > *ret_ms ? ms : *ret_ms;
    }
}

/* The end of a partition was taken when it was assigned; a held one has none that could be waited for. Between a revocation and the
 * assignment that follows it nothing is ours, and nothing has ended. */
static int kafka_at_end(void *self)
{
    struct kafka_source *source = self;

    if (!source->settled || source->events != NULL || source->look.out || source->pending_at < source->pending_count)
        return 0;
    for (uint32_t i = 0; i < source->items_count; i++) {
        const struct kafka_item *item = source->items[i];
        uint64_t next = 0;

        if (item->partition == NULL || item->partition->held != NULL || item->revoking)
            continue;
        if (source->log->kind->position(source->consumer, item->topic, item->number, &next) != 0 || next < item->end)
            return 0;
    }
    return 1;
}

static bool kafka_topics_are_alike(const struct sl_strings *a, const struct sl_strings *b)
{
    bool alike = a->count == b->count;

    for (uint32_t i = 0; alike && i < a->count; i++)
        alike = strcmp(a->items[i], b->items[i]) == 0;
    return alike;
}

/* The member stays; with other topics the group hands out their partitions anew (cooperative: those that stay are read on). Where a partition without
 * a mark begins is asked at its assignment. The rest is the client's, and fixed with it. */
static int kafka_change(void *self, const void *was, const void *config, struct sl_err *err)
{
    static const char *const free_ones[] = {"topics", "start", "timestamp", "offset", "on_gap", NULL};
    struct kafka_source *source = self;

    for (const struct sl_field *field = kafka_fields; source == NULL && field->name != NULL; field++) {
        const struct sl_field row[] = {*field, {0}};
        uint32_t i = 0;
        while (free_ones[i] != NULL && strcmp(free_ones[i], field->name) != 0)
            i++;
        if (free_ones[i] == NULL && sl_fields_hash(row, was, NULL, false, 1) != sl_fields_hash(row, config, NULL, false, 1))
            return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0,
                           "%s: it belongs to the client's membership in the group and cannot change while the topology runs; leave it as it "
                           "is, or stop the process and start it with this file",
                           field->name);
    }
    if (source == NULL)
        return 0;
    source->other_topics = source->other_topics || !kafka_topics_are_alike(&((const struct kafka_config *)was)->topics,
                                                                          &((const struct kafka_config *)config)->topics);
    source->next_config = config;
    return 0;
}

static uint64_t kafka_wait_ns(void *self)
{
    (void)self;
    return 200000000; /* lag, retries, and the client's own housekeeping */
}

const struct sl_source_kind sl_source_kafka = {
    .head = {.major = SL_ABI_MAJOR, .minor = SL_ABI_MINOR, .bytes = sizeof(struct sl_source_kind), .name = "kafka",
             .summary = "Reads Kafka topics as a member of a consumer group; commits carry every sink's mark.",
             .example = "{ type: kafka, brokers: [\"localhost:9092\"], topics: [\"^logs\\\\..*\"], group: company-bus }",
             .fields = kafka_fields, .config_bytes = sizeof(struct kafka_config), .self_bytes = sizeof(struct kafka_source),
             .counters = kafka_counters, .check = kafka_check},
    .flags = SL_SOURCE_KAFKA | SL_SOURCE_ENDS,
    .open = kafka_open,
    .partitions = kafka_partitions,
    .ahead = kafka_ahead,
    .poll = kafka_source_poll,
    .release = kafka_release,
    .seek = kafka_source_seek,
    .first = kafka_source_first,
    .lag = kafka_lag,
    .at_end = kafka_at_end,
    .close = kafka_close,
    .wait_ns = kafka_wait_ns,
    .serve = kafka_source_serve,
    .change = kafka_change,
};
