/* make_holes.c: writes numbered records in transactions of which some are aborted: the topic then has offsets that no reader sees.
 *
 * make_holes BROKERS TOPIC PARTITION P COUNT EACH: records {"p":P,"n":N,...} of N = 0 .. COUNT - 1, EACH to a transaction; before
 * each one, a transaction with records numbered 900000000 and on is written and aborted.
 * SPDX-License-Identifier: Apache-2.0 */
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>

static void hole_die(const char *what, const char *why)
{
    (void)fprintf(stderr, "make_holes: %s: %s\n", what, why);
    exit(1);
}

static void hole_fine(rd_kafka_error_t *error, const char *what)
{
    if (error != NULL)
        hole_die(what, rd_kafka_error_string(error));
}

static void hole_write(rd_kafka_t *rk, char **argv, int from, int to)
{
    char text[256];

    for (int n = from; n < to; n++) {
        int bytes = snprintf(text, sizeof(text), "{\"p\":%s,\"n\":%d,\"service\":\"holes\",\"msg\":\"a record in a transaction\"}", argv[4], n);
        rd_kafka_resp_err_t code = rd_kafka_producev(rk, RD_KAFKA_V_TOPIC(argv[2]), RD_KAFKA_V_PARTITION(atoi(argv[3])),
                                                     RD_KAFKA_V_VALUE(text, (size_t)bytes), RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                                                     RD_KAFKA_V_END);
        if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
            hole_die("produce", rd_kafka_err2str(code));
        (void)rd_kafka_poll(rk, 0);
    }
    if (rd_kafka_flush(rk, 30000) != RD_KAFKA_RESP_ERR_NO_ERROR)
        hole_die("flush", "timed out");
}

int main(int argc, char **argv)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char why[256], id[128];
    rd_kafka_t *rk;

    if (argc != 7)
        hole_die("usage", "make_holes BROKERS TOPIC PARTITION P COUNT EACH");
    (void)snprintf(id, sizeof(id), "make-holes-%s-%s", argv[2], argv[3]);
    if (rd_kafka_conf_set(conf, "bootstrap.servers", argv[1], why, sizeof(why)) != RD_KAFKA_CONF_OK ||
        rd_kafka_conf_set(conf, "transactional.id", id, why, sizeof(why)) != RD_KAFKA_CONF_OK ||
        (rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof(why))) == NULL)
        hole_die("open", why);
    hole_fine(rd_kafka_init_transactions(rk, 60000), "init_transactions");
    for (int n = 0, each = atoi(argv[6]), count = atoi(argv[5]); n < count; n += each) {
        hole_fine(rd_kafka_begin_transaction(rk), "begin");
        hole_write(rk, argv, 900000000 + n, 900000000 + n + 20);
        hole_fine(rd_kafka_abort_transaction(rk, 30000), "abort");
        hole_fine(rd_kafka_begin_transaction(rk), "begin");
        hole_write(rk, argv, n, n + each < count ? n + each : count);
        hole_fine(rd_kafka_commit_transaction(rk, 30000), "commit");
    }
    rd_kafka_destroy(rk);
    return 0;
}
