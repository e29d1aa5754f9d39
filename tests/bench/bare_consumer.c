/* bare_consumer.c: the yardstick for Kafka: librdkafka's batch consumer with mimalloc and nothing behind it.
 *
 * bare_consumer BROKERS TOPIC [PROPERTY=VALUE…]. Assigns all partitions from the beginning, takes batches from the consumer's
 * queue, looks at each payload's first byte and length, and ends when every partition has said its end. No group, no commit.
 * Settings are those of a well set up consumer (docs: Kafka); a PROPERTY given overrides them. Prints records, bytes, seconds and CPU seconds of the
 * whole process, librdkafka's threads included.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include <librdkafka/rdkafka.h>

enum { BATCH = 2000, WAIT_MS = 20, METADATA_MS = 30000 };

struct consumer {
    rd_kafka_t *kafka;
    rd_kafka_queue_t *queue;
    int partitions, ended;
    uint64_t records, bytes, first_bytes;
};

static void consumer_die(const char *what, const char *why)
{
    fprintf(stderr, "bare_consumer: %s: %s\n", what, why);
    exit(1);
}

static void consumer_set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char text[512];

    if (rd_kafka_conf_set(conf, name, value, text, sizeof(text)) != RD_KAFKA_CONF_OK)
        consumer_die(name, text);
}

static rd_kafka_conf_t *consumer_conf(const char *brokers, char *const *properties)
{
    static const char *const defaults[][2] = {
        {"group.id", "bare-consumer"},      {"enable.auto.commit", "false"},       {"enable.auto.offset.store", "false"},
        {"enable.partition.eof", "true"},   {"fetch.min.bytes", "65536"},          {"fetch.wait.max.ms", "100"},
        {"fetch.max.bytes", "16777216"},    {"queued.min.messages", "1000000"},    {"queued.max.messages.kbytes", "262144"},
        {"check.crcs", "true"},             {"allow.auto.create.topics", "false"}, {"socket.nagle.disable", "true"},
        {"auto.offset.reset", "error"},
    };
    rd_kafka_conf_t *conf = rd_kafka_conf_new();

    consumer_set(conf, "bootstrap.servers", brokers);
    for (size_t i = 0; i < sizeof(defaults) / sizeof(defaults[0]); i++)
        consumer_set(conf, defaults[i][0], defaults[i][1]);
    for (; *properties != NULL; properties++) {
        char *equals = strchr(*properties, '=');
        if (equals == NULL)
            consumer_die(*properties, "a property is written NAME=VALUE");
        *equals = 0;
        consumer_set(conf, *properties, equals + 1);
    }
    return conf;
}

/* All partitions of the topic, from the beginning. */
static void consumer_assign(struct consumer *consumer, const char *topic_name)
{
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_topic_t *topic = rd_kafka_topic_new(consumer->kafka, topic_name, NULL);
    rd_kafka_topic_partition_list_t *list;
    rd_kafka_resp_err_t code = rd_kafka_metadata(consumer->kafka, 0, topic, &metadata, METADATA_MS);

    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        consumer_die(topic_name, rd_kafka_err2str(code));
    if (metadata->topics[0].err != RD_KAFKA_RESP_ERR_NO_ERROR)
        consumer_die(topic_name, rd_kafka_err2str(metadata->topics[0].err));
    consumer->partitions = metadata->topics[0].partition_cnt;
    list = rd_kafka_topic_partition_list_new(consumer->partitions);
    for (int i = 0; i < consumer->partitions; i++)
        rd_kafka_topic_partition_list_add(list, topic_name, metadata->topics[0].partitions[i].id)->offset =
            RD_KAFKA_OFFSET_BEGINNING;
    code = rd_kafka_assign(consumer->kafka, list);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        consumer_die("assign", rd_kafka_err2str(code));
    rd_kafka_topic_partition_list_destroy(list);
    rd_kafka_metadata_destroy(metadata);
    rd_kafka_topic_destroy(topic);
}

static void consumer_take(struct consumer *consumer, const rd_kafka_message_t *message)
{
    if (message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
        consumer->ended++;
    } else if (message->err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        consumer_die("consume", rd_kafka_message_errstr(message));
    } else {
        consumer->records++;
        consumer->bytes += message->len;
        consumer->first_bytes += message->len > 0 ? *(const uint8_t *)message->payload : 0;
    }
}

static void consumer_run(struct consumer *consumer)
{
    static rd_kafka_message_t *messages[BATCH];

    while (consumer->ended < consumer->partitions) {
        ssize_t count = rd_kafka_consume_batch_queue(consumer->queue, WAIT_MS, messages, BATCH);
        if (count < 0)
            consumer_die("consume", rd_kafka_err2str(rd_kafka_last_error()));
        for (ssize_t i = 0; i < count; i++) {
            consumer_take(consumer, messages[i]);
            rd_kafka_message_destroy(messages[i]);
        }
    }
}

static double consumer_now_s(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double consumer_cpu_s(void)
{
    struct rusage usage;

    (void)getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

int main(int argc, char **argv)
{
    struct consumer consumer = {0};
    double begin_s = consumer_now_s();
    char text[512];

    if (argc < 3) {
        fprintf(stderr, "usage: bare_consumer BROKERS TOPIC [PROPERTY=VALUE...]\n");
        return 2;
    }
    consumer.kafka = rd_kafka_new(RD_KAFKA_CONSUMER, consumer_conf(argv[1], argv + 3), text, sizeof(text));
    if (consumer.kafka == NULL)
        consumer_die("librdkafka", text);
    (void)rd_kafka_poll_set_consumer(consumer.kafka);
    consumer.queue = rd_kafka_queue_get_consumer(consumer.kafka);
    consumer_assign(&consumer, argv[2]);
    consumer_run(&consumer);
    printf("{\"records\":%llu,\"bytes\":%llu,\"seconds\":%.3f,\"cpu_s\":%.3f,\"check\":%llu}\n",
           (unsigned long long)consumer.records, (unsigned long long)consumer.bytes, consumer_now_s() - begin_s,
           consumer_cpu_s(), (unsigned long long)consumer.first_bytes);
    rd_kafka_queue_destroy(consumer.queue);
    (void)rd_kafka_consumer_close(consumer.kafka);
    rd_kafka_destroy(consumer.kafka);
    return 0;
}
