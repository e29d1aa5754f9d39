/* klog_rdkafka_conf.c: from a connection and pass-through properties to a configured librdkafka instance.
 * Order: our defaults, the connection's fields, the user's properties, then what delivery rests on (law). A property that the
 * library does not know is refused with its own words; only our own tuning keys are probed and left out.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/kafka/klog_rdkafka.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/config/process.h"

bool sl_klog_library_at_least(int version)
{
    return rd_kafka_version() >= version;
}

static int conf_set(rd_kafka_conf_t *conf, const char *key, const char *value, bool probe, struct sl_err *err)
{
    char text[300];
    rd_kafka_conf_res_t result = rd_kafka_conf_set(conf, key, value, text, sizeof(text));

    if (result == RD_KAFKA_CONF_OK || (probe && result == RD_KAFKA_CONF_UNKNOWN))
        return 0;
    return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "librdkafka %s: %s", rd_kafka_version_str(), text);
}

static int conf_optional(rd_kafka_conf_t *conf, const char *key, const char *value, struct sl_err *err)
{
    return value == NULL || *value == '\0' ? 0 : conf_set(conf, key, value, false, err);
}

static int conf_brokers(rd_kafka_conf_t *conf, const struct sl_strings *brokers, struct sl_err *err)
{
    size_t bytes = 1;
    char *joined;
    int status;

    if (brokers->count == 0)
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "no brokers are named; write brokers: [HOST:PORT]");
    for (uint32_t i = 0; i < brokers->count; i++)
        bytes += strlen(brokers->items[i]) + 1;
    joined = calloc(1, bytes);
    if (joined == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_RETRY, 0, "no memory for %zu bytes", bytes);
    for (uint32_t i = 0; i < brokers->count; i++) {
        if (i > 0)
            strcat(joined, ",");
        strcat(joined, brokers->items[i]);
    }
    status = conf_set(conf, "bootstrap.servers", joined, false, err);
    free(joined);
    return status;
}

static int conf_password(rd_kafka_conf_t *conf, const struct sl_secret *secret, struct sl_err *err)
{
    char *text;
    int status;

    if (secret->env == NULL && secret->file == NULL && secret->plain == NULL)
        return 0;
    status = sl_secret_resolve(secret, &text, err);
    if (status != 0)
        return sl_while(err, "sasl_password");
    status = conf_set(conf, "sasl.password", text, false, err);
    explicit_bzero(text, strlen(text));
    free(text);
    return status;
}

static int conf_connection(rd_kafka_conf_t *conf, const struct sl_connection *connection, struct sl_err *err)
{
    int status = conf_brokers(conf, &connection->brokers, err);

    if (status == 0)
        status = conf_optional(conf, "security.protocol", connection->security_protocol, err);
    if (status == 0)
        status = conf_optional(conf, "sasl.mechanism", connection->sasl_mechanism, err);
    if (status == 0)
        status = conf_optional(conf, "sasl.username", connection->sasl_username, err);
    if (status == 0)
        status = conf_password(conf, &connection->sasl_password, err);
    if (status == 0)
        status = conf_optional(conf, "ssl.ca.location", connection->ca, err);
    if (status == 0)
        status = conf_optional(conf, "ssl.certificate.location", connection->certificate, err);
    if (status == 0)
        status = conf_optional(conf, "ssl.key.location", connection->key, err);
    return status;
}

static int conf_settings(rd_kafka_conf_t *conf, const struct sl_klog_setting *settings, uint32_t count, bool law,
                         struct sl_err *err)
{
    int status = 0;

    for (uint32_t i = 0; i < count && status == 0; i++)
        if ((settings[i].rank == SL_KLOG_LAW) == law && settings[i].value != NULL)
            status = conf_set(conf, settings[i].key, settings[i].value, settings[i].rank == SL_KLOG_PROBE, err);
    return status;
}

/* By other names the library knows some of our keys, too. */
static const char *conf_alias(const char *key)
{
    static const char *const aliases[][2] = {
        {"metadata.broker.list", "bootstrap.servers"},
        {"auto.commit.enable", "enable.auto.commit"},
        {"delivery.timeout.ms", "message.timeout.ms"},
    };

    for (size_t i = 0; i < sizeof(aliases) / sizeof(aliases[0]); i++)
        if (strcmp(key, aliases[i][0]) == 0)
            return aliases[i][1];
    return key;
}

static int conf_pass_through(rd_kafka_conf_t *conf, const struct sl_map *map, const struct sl_klog_setting *settings,
                             uint32_t count, struct sl_err *err)
{
    int status = 0;

    for (uint32_t i = 0; map != NULL && i < map->count && status == 0; i++) {
        const char *key = conf_alias(map->items[i].name);

        if (strcmp(key, "bootstrap.servers") == 0)
            return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0, "librdkafka: %s: write brokers: [HOST:PORT] instead",
                           map->items[i].name);
        for (uint32_t k = 0; k < count; k++)
            if (settings[k].rank == SL_KLOG_LAW && strcmp(key, settings[k].key) == 0)
                return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, 0,
                               "librdkafka: %s cannot be set: delivery rests on it; take it out", map->items[i].name);
        status = conf_set(conf, map->items[i].name, map->items[i].value, false, err);
    }
    return status;
}

int sl_klog_conf_new(const struct sl_connection *connection, const struct sl_map *more, const struct sl_klog_setting *settings,
                     uint32_t count, rd_kafka_conf_t **ret_conf, struct sl_err *err)
{
    static const struct sl_klog_setting common[] = {
        {SL_KLOG_DEFAULT, "client.id", "sluice"},
        {SL_KLOG_DEFAULT, "socket.nagle.disable", "true"},
        {SL_KLOG_DEFAULT, "socket.keepalive.enable", "true"},
        {SL_KLOG_DEFAULT, "reconnect.backoff.max.ms", "2000"},
        {SL_KLOG_DEFAULT, "topic.metadata.refresh.interval.ms", "30000"}, /* new topics and partitions are seen by then */
        {SL_KLOG_PROBE, "enable.metrics.push", "false"},
    };
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    int status = conf_settings(conf, common, sizeof(common) / sizeof(common[0]), false, err);

    rd_kafka_conf_set_log_cb(conf, sl_klog_log);
    if (status == 0)
        status = conf_settings(conf, settings, count, false, err);
    if (status == 0)
        status = conf_connection(conf, connection, err);
    if (status == 0)
        status = conf_pass_through(conf, &connection->librdkafka, settings, count, err);
    if (status == 0)
        status = conf_pass_through(conf, more, settings, count, err);
    if (status == 0)
        status = conf_settings(conf, settings, count, true, err);
    if (status != 0) {
        rd_kafka_conf_destroy(conf);
        return connection->name == NULL ? status : sl_while(err, "connection %s", connection->name);
    }
    *ret_conf = conf;
    return 0;
}

int sl_klog_handle_new(rd_kafka_type_t type, rd_kafka_conf_t *conf, rd_kafka_t **ret_rk, struct sl_err *err)
{
    char text[300];
    rd_kafka_t *rk = rd_kafka_new(type, conf, text, sizeof(text));

    if (rk == NULL) {
        rd_kafka_conf_destroy(conf);
        return sl_fail(err, SL_E_CONFIG, SL_REMEDY_HALT, (int)rd_kafka_last_error(), "librdkafka %s: %s",
                       rd_kafka_version_str(), text);
    }
    *ret_rk = rk;
    return 0;
}
