/* klog_rdkafka_error.c: what each of the library's errors means for us, and in which words.
 * RETRY is the rule: networks, elections and moved coordinators pass. FENCE is another owner's doing. HALT needs a person.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/kafka/klog_rdkafka.h"

#include <stdio.h>

struct error_row {
    rd_kafka_resp_err_t code;
    enum sl_remedy remedy;
    const char *advice; /* %s is the name of what is concerned */
};

static const struct error_row error_rows[] = {
    /* another owner */
    {RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID, SL_REMEDY_FENCE,
     "another process has joined with the same instance id (two hosts with one node: name?)"},
    {RD_KAFKA_RESP_ERR_ILLEGAL_GENERATION, SL_REMEDY_FENCE, "the group has moved on without this member"},
    {RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID, SL_REMEDY_FENCE, "the group has dropped this member"},
    {RD_KAFKA_RESP_ERR__ASSIGNMENT_LOST, SL_REMEDY_FENCE, "the partitions are no longer ours"},
    {RD_KAFKA_RESP_ERR__MAX_POLL_EXCEEDED, SL_REMEDY_FENCE, "the group has dropped this member: it did not poll for too long"},
    {RD_KAFKA_RESP_ERR__FENCED, SL_REMEDY_FENCE, "a newer producer has taken over the transactional id %s"},
    {RD_KAFKA_RESP_ERR_PRODUCER_FENCED, SL_REMEDY_FENCE, "a newer producer has taken over the transactional id %s"},
    {RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH, SL_REMEDY_FENCE, "a newer producer has taken over the transactional id %s"},
    /* rights */
    {RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, SL_REMEDY_HALT,
     "grant this user Describe and Read (sources), Write (sinks, commit topic), or Create (a topic to be made) on topic %s"},
    {RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED, SL_REMEDY_HALT, "grant this user Read on group %s"},
    {RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED, SL_REMEDY_HALT,
     "grant this user IdempotentWrite (producers before Kafka 2.8) or Create (the commit topic) on the cluster"},
    {RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED, SL_REMEDY_HALT,
     "grant this user Describe and Write on transactional id %s, or set commit: { mode: offsets }"},
    {RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED, SL_REMEDY_HALT, "check sasl_username and sasl_password"},
    {RD_KAFKA_RESP_ERR__AUTHENTICATION, SL_REMEDY_HALT, "check sasl_mechanism, sasl_username and sasl_password"},
    {RD_KAFKA_RESP_ERR_UNSUPPORTED_SASL_MECHANISM, SL_REMEDY_HALT, "check sasl_mechanism"},
    {RD_KAFKA_RESP_ERR_SECURITY_DISABLED, SL_REMEDY_HALT, "the broker has no security: take security_protocol out"},
    /* settings */
    {RD_KAFKA_RESP_ERR_INVALID_TRANSACTION_TIMEOUT, SL_REMEDY_HALT,
     "the broker's transaction.max.timeout.ms is lower; shorten commit.every"},
    {RD_KAFKA_RESP_ERR_INVALID_SESSION_TIMEOUT, SL_REMEDY_HALT,
     "session_timeout must lie between the broker's group.min.session.timeout.ms and group.max.session.timeout.ms"},
    {RD_KAFKA_RESP_ERR_OFFSET_METADATA_TOO_LARGE, SL_REMEDY_HALT, "raise the broker's offset.metadata.max.bytes to 4096"},
    {RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, SL_REMEDY_HALT, "raise max.message.bytes of topic %s"},
    {RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE, SL_REMEDY_HALT, "raise segment.bytes of topic %s"},
    {RD_KAFKA_RESP_ERR_INVALID_RECORD, SL_REMEDY_HALT, "topic %s refuses it (a compacted topic needs a key)"},
    {RD_KAFKA_RESP_ERR_INCONSISTENT_GROUP_PROTOCOL, SL_REMEDY_HALT,
     "the group's other members use another assignor: set assignor: as they have it"},
    {RD_KAFKA_RESP_ERR_INVALID_GROUP_ID, SL_REMEDY_HALT, "%s is not a group id that Kafka takes"},
    {RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION, SL_REMEDY_HALT, "%s is not a topic name that Kafka takes"},
    {RD_KAFKA_RESP_ERR_INVALID_PARTITIONS, SL_REMEDY_HALT, NULL},
    {RD_KAFKA_RESP_ERR_INVALID_REPLICATION_FACTOR, SL_REMEDY_HALT, NULL},
    {RD_KAFKA_RESP_ERR_INVALID_CONFIG, SL_REMEDY_HALT, NULL},
    {RD_KAFKA_RESP_ERR_POLICY_VIOLATION, SL_REMEDY_HALT, NULL},
    {RD_KAFKA_RESP_ERR_UNSUPPORTED_VERSION, SL_REMEDY_HALT, "this Kafka is too old; commit: { mode: offsets } may serve"},
    {RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE, SL_REMEDY_HALT, "this Kafka is too old; commit: { mode: offsets } may serve"},
    {RD_KAFKA_RESP_ERR__INVALID_ARG, SL_REMEDY_HALT, NULL},
    {RD_KAFKA_RESP_ERR__STATE, SL_REMEDY_HALT, NULL},
    {RD_KAFKA_RESP_ERR__SSL, SL_REMEDY_HALT, "check ca, certificate and key"},
    {RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC, SL_REMEDY_HALT, "there is no topic %s: make it, or correct its name"},
    {RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION, SL_REMEDY_HALT, "topic %s has fewer partitions"},
    {RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, SL_REMEDY_RETRY, "there is no topic %s (yet?), or this user may not see it"},
};

static const struct error_row *error_row(rd_kafka_resp_err_t code)
{
    for (size_t i = 0; i < sizeof(error_rows) / sizeof(error_rows[0]); i++)
        if (error_rows[i].code == code)
            return &error_rows[i];
    return NULL;
}

enum sl_remedy sl_klog_remedy(rd_kafka_resp_err_t code)
{
    const struct error_row *row = error_row(code);

    return row == NULL ? SL_REMEDY_RETRY : row->remedy;
}

/* Puts name in for the %s of the table's advice: no format of a caller comes here. */
static void error_advice(const char *advice, const char *name, char *text, size_t bytes)
{
    const char *hole = strstr(advice, "%s");

    if (hole == NULL)
        (void)snprintf(text, bytes, "%s", advice);
    else
        (void)snprintf(text, bytes, "%.*s%s%s", (int)(hole - advice), advice, name == NULL ? "?" : name, hole + 2);
}

/* The library sent a nonce of its own making until 2.6.1, which Kafka 4 refuses with the words for a wrong password. */
static bool error_is_old_scram(rd_kafka_resp_err_t code, const char *detail)
{
    return (code == RD_KAFKA_RESP_ERR__AUTHENTICATION || code == RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED) &&
           detail != NULL && strstr(detail, "SCRAM") != NULL && !sl_klog_library_at_least(0x020601ff);
}

int sl_klog_fail(struct sl_err *err, rd_kafka_resp_err_t code, const char *doing, const char *name, const char *detail)
{
    const struct error_row *row = error_row(code);
    char advice[300] = "";

    if (row != NULL && row->advice != NULL)
        error_advice(row->advice, name, advice, sizeof(advice));
    if (error_is_old_scram(code, detail))
        (void)snprintf(advice, sizeof(advice),
                       "check sasl_username and sasl_password; if they are right: Kafka 4 refuses the SCRAM of librdkafka %s "
                       "(2.6.1 mends it), sasl_mechanism: PLAIN works", rd_kafka_version_str());
    return sl_fail(err, SL_E_BROKER, sl_klog_remedy(code), (int)code, "%s: %s%s%s", doing,
                   detail != NULL && *detail != '\0' ? detail : rd_kafka_err2str(code), *advice == '\0' ? "" : "; ", advice);
}

int sl_klog_fail_error(struct sl_err *err, rd_kafka_error_t *error, const char *doing, const char *name)
{
    int status = sl_klog_fail(err, rd_kafka_error_code(error), doing, name, rd_kafka_error_string(error));

    rd_kafka_error_destroy(error);
    return status;
}

int sl_klog_fatal(rd_kafka_t *rk, const char *doing, struct sl_err *err)
{
    char text[300] = "";
    rd_kafka_resp_err_t code = rd_kafka_fatal_error(rk, text, sizeof(text));
    int status;

    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        return 0;
    status = sl_klog_fail(err, code, doing, NULL, text);
    if (err != NULL && err->remedy == SL_REMEDY_RETRY)
        err->remedy = SL_REMEDY_FENCE; /* this instance is dead, whatever killed it: a new one must start from the marks */
    return status;
}
