/* kafka.c: the `kafka` sink: records to a topic, at least once with their origin in a header, or exactly once inside the commit.
 * SPDX-License-Identifier: Apache-2.0 */
#include "operators/sinks/kafka.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "operators/sinks/sinks.h"
#include "runtime/engine/origin.h"

static const char *const kafka_partitioners[] = {"murmur2_random", "consistent_random", "random", "murmur2", "consistent",
                                                 "fnv1a_random", NULL};
static const char *const kafka_compressions[] = {"zstd", "lz4", "snappy", "gzip", "none", NULL};

static const struct sl_field kafka_sink_fields[] = {
    SL_FIELD(kafka_sink_config, connection, SL_F_STRING, .help = "A connection of sluice.yaml; or brokers: here."),
    SL_FIELD(kafka_sink_config, brokers, SL_F_STRINGS, .help = "HOST:PORT of some brokers, where no connection is named."),
    SL_FIELD(kafka_sink_config, topic, SL_F_STRING, .flags = SL_F_REQUIRED, .help = "The topic; it must exist."),
    SL_FIELD(kafka_sink_config, key, SL_F_FIELD_NAME,
             .help = "Field whose text is the record's key: a payload field, service, trace, @key, @topic, @header:NAME."),
    SL_FIELD(kafka_sink_config, partitioner, SL_F_ENUM, .def = "murmur2_random", .values = kafka_partitioners,
             .help = "How a key chooses the partition; murmur2_random does as Java clients do."),
    SL_FIELD(kafka_sink_config, compression, SL_F_ENUM, .def = "zstd", .values = kafka_compressions,
             .help = "Of batches; with exactly_once the connection's librdkafka: { compression.type } decides."),
    SL_FIELD(kafka_sink_config, headers, SL_F_MAP, .help = "Headers that every record gets, beside sluice-origin."),
    SL_FIELD(kafka_sink_config, exactly_once, SL_F_BOOL, .def = "false",
             .help = "Records are part of the commit: read_committed readers see each once, at the rhythm of commit.every."),
    SL_FIELD(kafka_sink_config, librdkafka, SL_F_MAP, .help = "Any further librdkafka property, passed through."),
    {0},
};

static const struct sl_counter kafka_sink_counters[] = {
    [KAFKA_SINK_SENT] = {"kafka_sent_total", "records", "Records that the brokers have acknowledged."},
    [KAFKA_SINK_REFUSED] = {"kafka_refused_total", "records", "Records that the brokers will never take."},
    [KAFKA_SINK_REOPENED] = {"kafka_senders_reopened_total", "senders", "Senders that died and were replaced."},
    {0},
};

static int kafka_sink_check(const void *config, struct sl_err *err)
{
    const struct kafka_sink_config *c = config;

    if ((c->connection == NULL) == (c->brokers.count == 0))
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "%s; write connection: NAME, or brokers: [HOST:PORT], one of the two",
                       c->connection == NULL ? "connection: missing" : "connection: given beside brokers");
    if (c->topic == NULL || c->topic[0] == '\0')
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "topic: empty; name the topic to write to");
    if (c->exactly_once && c->librdkafka.count > 0)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0,
                       "librdkafka: has no effect with exactly_once, whose records are sent by the commit; set it on the connection");
    return 0;
}

static uint32_t kafka_sink_flags(const void *config)
{
    return ((const struct kafka_sink_config *)config)->exactly_once ? SL_SINK_FLUSHED | SL_SINK_NEEDS_KAFKA_COMMIT : 0;
}

/* ---- blocks ---- */
static size_t origin_print(const struct sl_batch *batch, uint32_t row, char text[KAFKA_ORIGIN_BYTES])
{
    uint32_t sub = batch->sub != NULL ? batch->sub[row] : 0; /* a record derived from the one at that offset */
    struct sl_origin origin = {.topic = sl_slice_of(batch->partition->topic), .partition = sl_slice_of(batch->partition->id),
                               .offset = batch->offset[row]};
    int bytes;

    if (batch->origin != NULL && batch->origin[row].data != NULL) /* a replayed record's, as it was the first time */
        (void)sl_origin_scan(batch->origin[row], &origin);
    bytes = snprintf(text, KAFKA_ORIGIN_BYTES, "%.*s:%.*s:%llu", (int)origin.topic.bytes, origin.topic.data,
                     (int)origin.partition.bytes, origin.partition.data, (unsigned long long)origin.offset);
    if (sub > 0 && bytes < KAFKA_ORIGIN_BYTES)
        bytes += snprintf(text + bytes, (size_t)(KAFKA_ORIGIN_BYTES - bytes), ".%u", sub);
    return bytes < KAFKA_ORIGIN_BYTES ? (size_t)bytes : KAFKA_ORIGIN_BYTES - 1;
}

static struct sl_slice block_put(char **at, const void *data, size_t bytes)
{
    struct sl_slice copy = {*at, (uint32_t)bytes};

    if (bytes > 0)
        memcpy(*at, data, bytes);
    *at += bytes;
    return copy;
}

/* An upper bound of what a row copies. */
static size_t row_bytes(const struct kafka_sink *sink, const struct sl_view *view, const struct sl_item *item)
{
    const struct sl_batch *batch = view->batch;
    size_t origin = batch->origin != NULL && batch->origin[item->row].data != NULL ? batch->origin[item->row].bytes + 64u
                                                                                  : strlen(batch->partition->topic) + 64;

    return item->body.bytes + kafka_key_of(sink, view, item->row).bytes + origin;
}

static void row_fill(const struct kafka_sink *sink, const struct sl_view *view, const struct sl_item *item, struct kafka_row *row,
                     char **at)
{
    const struct sl_batch *batch = view->batch;
    struct sl_slice key = kafka_key_of(sink, view, item->row);
    char origin[KAFKA_ORIGIN_BYTES];

    row->ref = item->ref;
    row->payload = block_put(at, item->body.data, item->body.bytes);
    row->key = key.data == NULL ? key : block_put(at, key.data, key.bytes);
    row->origin = block_put(at, origin, origin_print(batch, item->row, origin));
    row->null_payload = batch->null_payload != NULL && batch->null_payload[item->row] != 0 && item->body.bytes == 0;
    row->offset = batch->offset[item->row];
    row->append_unix_ms = batch->append_unix_ms[item->row];
    if (view->decoded != NULL && view->decoded->service != NULL) {
        row->service = view->decoded->service[item->row];
        row->level = view->decoded->level[item->row];
    }
    row->unix_ms = view->decoded != NULL && view->decoded->time_unix_ms != NULL ? view->decoded->time_unix_ms[item->row]
                                                                               : batch->append_unix_ms[item->row];
}

int kafka_blocks_add(struct kafka_sink *sink, struct kafka_blocks *blocks, const struct sl_parcel *parcel)
{
    size_t bytes = sizeof(struct kafka_block) + parcel->count * sizeof(struct kafka_row);
    struct kafka_block *block;
    char *at;

    for (uint32_t i = 0; i < parcel->count; i++)
        bytes += row_bytes(sink, parcel->view, &parcel->items[i]);
    block = malloc(bytes);
    if (block == NULL)
        return -1;
    *block = (struct kafka_block){.prev = blocks->last, .count = parcel->count, .left = parcel->count, .bytes = bytes};
    at = (char *)&block->rows[parcel->count];
    for (uint32_t i = 0; i < parcel->count; i++) {
        block->rows[i] = (struct kafka_row){.block = block};
        row_fill(sink, parcel->view, &parcel->items[i], &block->rows[i], &at);
    }
    assert(at <= (char *)block + bytes);
    if (blocks->last != NULL)
        blocks->last->next = block;
    else
        blocks->first = block;
    blocks->last = block;
    blocks->bytes += bytes;
    blocks->rows += block->count;
    return 0;
}

void kafka_blocks_remove(struct kafka_blocks *blocks, struct kafka_block *block)
{
    *(block->prev != NULL ? &block->prev->next : &blocks->first) = block->next;
    *(block->next != NULL ? &block->next->prev : &blocks->last) = block->prev;
    blocks->bytes -= block->bytes;
    blocks->rows -= block->count;
    free(block);
}

void kafka_blocks_clear(struct kafka_blocks *blocks)
{
    while (blocks->first != NULL)
        kafka_blocks_remove(blocks, blocks->first);
}

struct sl_klog_record kafka_record(const struct kafka_sink *sink, const struct kafka_row *row, struct sl_header *headers)
{
    uint16_t count = (uint16_t)(1 + sink->config->headers.count);

    headers[0].value = row->origin;
    return (struct sl_klog_record){.topic = sink->config->topic, .partition = -1, .key = row->key, .payload = row->payload,
                                   .null_payload = row->null_payload, .headers = headers, .headers_count = count,
                                   .unix_ms = row->unix_ms};
}

/* ---- life ---- */
static int kafka_sink_tables(struct kafka_sink *sink, struct sl_err *err)
{
    const struct kafka_sink_config *c = sink->config;
    uint32_t count = 0;

    sink->headers = calloc(1 + c->headers.count, sizeof(*sink->headers));
    sink->properties = calloc(2 + c->librdkafka.count, sizeof(*sink->properties));
    if (sink->headers == NULL || sink->properties == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory for sink %s", sink->api->component);
    sink->headers[0].name = sl_slice_of("sluice-origin");
    for (uint32_t i = 0; i < c->headers.count; i++)
        sink->headers[1 + i] = (struct sl_header){sl_slice_of(c->headers.items[i].name), sl_slice_of(c->headers.items[i].value)};
    sink->properties[count++] = (struct sl_pair){"compression.type", kafka_compressions[c->compression], 0, 0};
    sink->properties[count++] = (struct sl_pair){"partitioner", kafka_partitioners[c->partitioner], 0, 0};
    for (uint32_t i = 0; i < c->librdkafka.count; i++)
        sink->properties[count++] = c->librdkafka.items[i];
    sink->property_map = (struct sl_map){sink->properties, count};
    return 0;
}

static int kafka_sink_connect(struct kafka_sink *sink, const struct sl_topology *topology, struct sl_err *err)
{
    const struct kafka_sink_config *c = sink->config;

    sink->own = (struct sl_connection){.brokers = c->brokers};
    sink->connection = c->connection == NULL ? &sink->own : NULL;
    for (uint32_t i = 0; sink->connection == NULL && i < topology->connections_count; i++)
        if (strcmp(topology->connections[i].name, c->connection) == 0)
            sink->connection = &topology->connections[i];
    return sink->connection != NULL ? 0
                                    : sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "no connection is called %s", c->connection);
}

static void kafka_sink_close(void *self)
{
    struct kafka_sink *sink = self;

    if (sink->magic != KAFKA_SINK_MAGIC)
        return;
    if (sink->sender != NULL)
        sink->log->kind->sender_close(sink->sender); /* before the payloads that it still points to */
    kafka_blocks_clear(&sink->blocks);
    if (sink->has_key)
        sl_name_fini(&sink->key);
    free(sink->headers);
    free(sink->properties);
    sink->magic = 0;
}

static int kafka_sink_open(void *self, const struct sl_api *api, const void *config, struct sl_names *names, struct sl_slot *slot,
                           struct sl_err *err)
{
    struct kafka_sink *sink = self;

    *sink = (struct kafka_sink){.magic = KAFKA_SINK_MAGIC, .api = api, .config = config, .slot = slot, .log = sl_slot_klog(slot)};
    if (kafka_sink_connect(sink, sl_slot_topology(slot), err) != 0 || kafka_sink_tables(sink, err) != 0 ||
        kafka_key_open(sink, names, err) != 0)
        return sl_while(err, "sink %s", api->component);
    if (sink->config->exactly_once) /* the commit's producer sends */
        return 0;
    return kafka_send_turn(sink, 0, NULL, err) == 0 ? 0 : sl_while(err, "sink %s", api->component);
}

static uint64_t kafka_sink_credit(void *self)
{
    const struct kafka_sink *sink = self;
    uint64_t used = sink->blocks.bytes + sink->sealed_bytes;

    return used >= sink->api->share_bytes ? 0 : sink->api->share_bytes - used;
}

static int kafka_sink_submit(void *self, const struct sl_parcel *parcel, struct sl_err *err)
{
    struct kafka_sink *sink = self;

    assert(sink->magic == KAFKA_SINK_MAGIC);
    if (parcel->count == 0)
        return 0;
    if (!sink->config->exactly_once)
        return kafka_send_submit(sink, parcel, err);
    if (kafka_blocks_add(sink, &sink->blocks, parcel) == 0)
        return 0;
    kafka_blocks_clear(&sink->blocks);
    return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory for %u records", (unsigned)parcel->count);
}

static int kafka_sink_turn(void *self, uint64_t now_ns, uint64_t *ret_wake_ns, struct sl_err *err)
{
    struct kafka_sink *sink = self;

    return sink->config->exactly_once ? 0 : kafka_send_turn(sink, now_ns, ret_wake_ns, err);
}

static int kafka_sink_drain(void *self)
{
    const struct kafka_sink *sink = self;

    return sink->blocks.first == NULL && sink->sealed_bytes == 0;
}

const struct sl_sink_kind sl_sink_kafka = {
    .head = {.major = SL_ABI_MAJOR, .minor = SL_ABI_MINOR, .bytes = sizeof(struct sl_sink_kind), .name = "kafka",
             .summary = "Writes records to a Kafka topic, at least once with their origin, or exactly once with the commit.",
             .example = "{ type: kafka, inputs: [useful], brokers: [\"localhost:9092\"], topic: alerts }",
             .fields = kafka_sink_fields, .config_bytes = sizeof(struct kafka_sink_config),
             .self_bytes = sizeof(struct kafka_sink), .counters = kafka_sink_counters, .check = kafka_sink_check},
    .config_flags = kafka_sink_flags,
    .open = kafka_sink_open,
    .credit = kafka_sink_credit,
    .submit = kafka_sink_submit,
    .turn = kafka_sink_turn,
    .want = kafka_exact_want,
    .seal = kafka_exact_seal,
    .prepare = kafka_exact_prepare,
    .transact = kafka_exact_transact,
    .publish = kafka_exact_publish,
    .abandon = kafka_exact_abandon,
    .release_flush = kafka_exact_release,
    .drain = kafka_sink_drain,
    .close = kafka_sink_close,
};
