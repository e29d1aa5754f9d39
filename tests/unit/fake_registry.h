/* fake_registry.h: kinds with plausible settings and no code behind them, for tests of the
 * configuration alone.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_TESTS_UNIT_FAKE_REGISTRY_H
#define SL_TESTS_UNIT_FAKE_REGISTRY_H

#include "runtime/engine/op.h"

#define FAKE(owner, field_name, kind, ...)                                                         \
    {                                                                                              \
        .name = #field_name, .type = kind, .offset = offsetof(struct owner, field_name),           \
        __VA_ARGS__                                                                                \
    }
#define FAKE_HEAD(word, text, rows, owner)                                                         \
    .head = {.major = SL_ABI_MAJOR,                                                                \
             .minor = SL_ABI_MINOR,                                                                \
             .bytes = sizeof(struct sl_head),                                                      \
             .name = word,                                                                         \
             .summary = text,                                                                      \
             .fields = rows,                                                                       \
             .config_bytes = sizeof(struct owner)}

/* ---- sources ---- */
struct fake_kafka_in {
    const char *connection, *group;
    struct sl_strings brokers, topics;
    int start, assignor;
    struct sl_map librdkafka;
};
static const char *const fake_starts[] = {"earliest", "latest", NULL}, *const fake_assignors[] = {
                                                                           "range",
                                                                           "cooperative-sticky",
                                                                           NULL};
static const struct sl_field fake_kafka_in_fields[] = {
    FAKE(fake_kafka_in, connection, SL_F_STRING, .help = "A connection of sluice.yaml."),
    FAKE(fake_kafka_in, brokers, SL_F_STRINGS, .min = "1", .help = "HOST:PORT of some brokers."),
    FAKE(fake_kafka_in, topics, SL_F_STRINGS, .flags = SL_F_REQUIRED, .min = "1",
         .help = "Topics, or patterns that begin with ^."),
    FAKE(fake_kafka_in, group, SL_F_STRING, .flags = SL_F_REQUIRED, .help = "The consumer group."),
    FAKE(fake_kafka_in, start, SL_F_ENUM, .def = "earliest", .values = fake_starts,
         .help = "Where a new group begins."),
    FAKE(fake_kafka_in, assignor, SL_F_ENUM, .def = "range", .values = fake_assignors,
         .help = "How partitions are dealt."),
    FAKE(fake_kafka_in, librdkafka, SL_F_MAP, .help = "Passed through."),
    {0}};
static int fake_kafka_in_check(const void *config, struct sl_err *err)
{
    const struct fake_kafka_in *kafka = config;
    if (kafka->connection == NULL && kafka->brokers.count == 0)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0,
                       "connection: neither connection nor brokers is set; add connection: NAME or "
                       "brokers: [HOST:PORT]");
    return 0;
}
struct fake_file {
    struct sl_strings paths;
    int read;
};
static const char *const fake_reads[] = {"follow", "once", NULL};
static const struct sl_field fake_file_fields[] = {
    FAKE(fake_file, paths, SL_F_STRINGS, .flags = SL_F_REQUIRED, .min = "1",
         .help = "Files or patterns."),
    FAKE(fake_file, read, SL_F_ENUM, .def = "follow", .values = fake_reads,
         .help = "follow or once."),
    {0}};
struct fake_spool {
    const char *topic;
};
static const struct sl_field fake_spool_fields[] = {
    FAKE(fake_spool, topic, SL_F_STRING, .flags = SL_F_REQUIRED, .help = "The spool topic."), {0}};
struct fake_http {
    const char *listen;
    uint64_t max_body;
    struct sl_secret token;
    const char *certificate;
};
static const struct sl_field fake_http_fields[] = {
    FAKE(fake_http, listen, SL_F_STRING, .def = "127.0.0.1:8080", .min = "3", .help = "HOST:PORT."),
    FAKE(fake_http, max_body, SL_F_BYTES, .def = "16MiB", .min = "1KiB", .max = "1GiB",
         .help = "Largest body."),
    FAKE(fake_http, token, SL_F_SECRET, .help = "Bearer token."),
    FAKE(fake_http, certificate, SL_F_INPUT_PATH, .help = "PEM file."),
    {0}};
struct fake_generate {
    double rate;
    uint64_t seed, services;
    double bad;
};
static const struct sl_field fake_generate_fields[] = {
    FAKE(fake_generate, rate, SL_F_RATE, .def = "1000/s", .min = "1/h", .max = "10000000/s",
         .help = "Records a second."),
    FAKE(fake_generate, seed, SL_F_U64, .def = "1", .help = "Same seed, same records."),
    FAKE(fake_generate, services, SL_F_U64, .def = "20", .min = "1", .max = "10000",
         .help = "How many services."),
    FAKE(fake_generate, bad, SL_F_SHARE, .def = "0%", .max = "50%",
         .help = "Share of broken records."),
    {0}};
static const struct sl_field fake_no_fields[] = {{0}};
struct fake_nothing {
    int nothing;
};

static const struct sl_source_kind fake_kafka_in = {
    .head = {.name = "kafka",
             .summary = "Kafka.",
             .fields = fake_kafka_in_fields,
             .config_bytes = sizeof(struct fake_kafka_in),
             .check = fake_kafka_in_check},
    .flags = SL_SOURCE_KAFKA};
static const struct sl_source_kind fake_file = {
    FAKE_HEAD("file", "Files.", fake_file_fields, fake_file)};
static const struct sl_source_kind fake_spool = {
    FAKE_HEAD("spool", "The spool.", fake_spool_fields, fake_spool)};
static const struct sl_source_kind fake_http = {
    FAKE_HEAD("http", "HTTP.", fake_http_fields, fake_http)};
static const struct sl_source_kind fake_stdin = {
    FAKE_HEAD("stdin", "Standard input.", fake_no_fields, fake_nothing)};
static const struct sl_source_kind fake_generate = {
    FAKE_HEAD("generate", "Made-up logs.", fake_generate_fields, fake_generate)};
static const struct sl_source_kind *const fake_sources[] = {
    &fake_kafka_in, &fake_file, &fake_spool, &fake_http, &fake_stdin, &fake_generate, NULL};

/* ---- operators ---- */
struct fake_parse {
    int format;
    bool validate;
    struct {
        const char *time, *service, *level, *trace;
    } record;
};
static const char *const fake_formats[] = {"json", "text", NULL};
#define FAKE_RECORD(member, word)                                                                  \
    {                                                                                              \
        .name = #member, .type = SL_F_FIELD_NAME,                                                  \
        .offset =                                                                                  \
            offsetof(struct fake_parse, record.member) - offsetof(struct fake_parse, record),      \
        .def = word, .help = "Where this role is."                                                 \
    }
static const struct sl_field fake_record_fields[] = {FAKE_RECORD(time, "ts"),
                                                     FAKE_RECORD(service, ".service"),
                                                     FAKE_RECORD(level, ".level"),
                                                     FAKE_RECORD(trace, "trace_id"),
                                                     {0}};
static const struct sl_field fake_parse_fields[] = {
    FAKE(fake_parse, format, SL_F_ENUM, .flags = SL_F_REQUIRED, .values = fake_formats,
         .help = "json or text."),
    FAKE(fake_parse, validate, SL_F_BOOL, .def = "true", .help = "Check the whole record."),
    FAKE(fake_parse, record, SL_F_STRUCT, .sub = fake_record_fields,
         .help = "Where the roles are."),
    {0}};
struct fake_filter {
    struct sl_cond *where, *drop_where;
};
static const struct sl_field fake_filter_fields[] = {
    FAKE(fake_filter, where, SL_F_CONDITION, .help = "Keeps."),
    FAKE(fake_filter, drop_where, SL_F_CONDITION, .help = "Drops."),
    {0}};
static int fake_filter_check(const void *config, struct sl_err *err)
{
    const struct fake_filter *filter = config;
    if ((filter->where == NULL) == (filter->drop_where == NULL))
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0,
                       "where: a filter needs one of where and drop_where; write one of them");
    return 0;
}
struct fake_route {
    struct sl_named_conds routes;
    const char *const *names;
};
static const struct sl_field fake_route_fields[] = {FAKE(fake_route, routes, SL_F_CONDITIONS,
                                                         .flags = SL_F_REQUIRED,
                                                         .help = "Ports by condition."),
                                                    {0}};
static uint32_t fake_route_ports(const void *config, const char *const **ret_names)
{
    static const char *names[64];
    const struct fake_route *route = config;
    uint32_t count = route->routes.count < 63 ? route->routes.count : 63;
    for (uint32_t i = 0; i < count; i++)
        names[i] = route->routes.items[i].name;
    names[count] = "rest";
    *ret_names = names;
    return count + 1;
}
struct fake_sample {
    double share;
    const char *consistent;
};
static const struct sl_field fake_sample_fields[] = {
    FAKE(fake_sample, share, SL_F_SHARE, .flags = SL_F_REQUIRED, .help = "What is kept."),
    FAKE(fake_sample, consistent, SL_F_FIELD_NAME, .def = "trace",
         .help = "The field that decides."),
    {0}};
static const struct sl_op_kind fake_parse = {
    FAKE_HEAD("parse", "Parses.", fake_parse_fields, fake_parse)};
static const struct sl_op_kind fake_filter = {.head = {.name = "filter",
                                                       .summary = "Filters.",
                                                       .fields = fake_filter_fields,
                                                       .config_bytes = sizeof(struct fake_filter),
                                                       .check = fake_filter_check}};
static const struct sl_op_kind fake_route = {
    FAKE_HEAD("route", "Routes.", fake_route_fields, fake_route), .ports = fake_route_ports};
static const struct sl_op_kind fake_sample = {
    FAKE_HEAD("sample", "Samples.", fake_sample_fields, fake_sample)};
static const struct sl_op_kind *const fake_operators[] = {&fake_parse, &fake_filter, &fake_route,
                                                          &fake_sample, NULL};

/* ---- sinks ---- */
struct fake_files {
    const char *dir;
    const struct sl_template *path;
    int compression;
    struct {
        uint64_t bytes, every;
    } roll;
    uint64_t max_paths;
};
static const char *const fake_compressions[] = {"none", "zstd", NULL};
static const struct sl_field fake_roll_fields[] = {{.name = "bytes",
                                                    .type = SL_F_BYTES,
                                                    .offset = 0,
                                                    .def = "128MiB",
                                                    .min = "64KiB",
                                                    .max = "8GiB",
                                                    .help = "A file's size."},
                                                   {.name = "every",
                                                    .type = SL_F_DURATION,
                                                    .offset = sizeof(uint64_t),
                                                    .def = "5m",
                                                    .min = "1s",
                                                    .max = "1d",
                                                    .help = "A file's age."},
                                                   {0}};
static const struct sl_field fake_files_fields[] = {
    FAKE(fake_files, dir, SL_F_OUTPUT_PATH, .flags = SL_F_REQUIRED, .help = "The folder."),
    FAKE(fake_files, path, SL_F_TEMPLATE, .def = "", .help = "Folders below it."),
    FAKE(fake_files, compression, SL_F_ENUM, .def = "zstd", .values = fake_compressions,
         .help = "zstd or none."),
    FAKE(fake_files, roll, SL_F_STRUCT, .sub = fake_roll_fields, .help = "When files end."),
    FAKE(fake_files, max_paths, SL_F_U64, .def = "10000", .min = "1", .max = "1000000",
         .help = "Most open paths."),
    {0}};
struct fake_kafka_out {
    const char *connection, *topic, *key;
    struct sl_strings brokers;
    bool exactly_once;
};
static const struct sl_field fake_kafka_out_fields[] = {
    FAKE(fake_kafka_out, connection, SL_F_STRING, .help = "A connection of sluice.yaml."),
    FAKE(fake_kafka_out, brokers, SL_F_STRINGS, .min = "1", .help = "HOST:PORT of some brokers."),
    FAKE(fake_kafka_out, topic, SL_F_STRING, .flags = SL_F_REQUIRED, .help = "The topic."),
    FAKE(fake_kafka_out, key, SL_F_FIELD_NAME, .help = "The record's key."),
    FAKE(fake_kafka_out, exactly_once, SL_F_BOOL, .def = "false", .help = "Ride the commit."),
    {0}};
static const struct sl_sink_kind fake_files = {
    FAKE_HEAD("files", "Files.", fake_files_fields, fake_files), .flags = SL_SINK_FLUSHED};
static const struct sl_sink_kind fake_kafka_out = {
    FAKE_HEAD("kafka", "Kafka.", fake_kafka_out_fields, fake_kafka_out)};
static const struct sl_sink_kind fake_stdout = {
    FAKE_HEAD("stdout", "Standard output.", fake_no_fields, fake_nothing)};
static const struct sl_sink_kind fake_blackhole = {
    FAKE_HEAD("blackhole", "Nowhere.", fake_no_fields, fake_nothing)};
static const struct sl_sink_kind *const fake_sinks[] = {&fake_files, &fake_kafka_out, &fake_stdout,
                                                        &fake_blackhole, NULL};

static const struct sl_registry fake_registry = {fake_sources, fake_operators, fake_sinks};

#endif
