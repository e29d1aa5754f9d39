/* test_process.c: the process file: defaults of a laptop, connections, and what is refused.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/config/process.h"

static int load(const char *text, struct sl_diags *diags, struct sl_process_config **config)
{
    char path[] = "/tmp/sl_process_XXXXXX";
    int fd = mkstemp(path), status;

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    assert_int_equal(close(fd), 0);
    sl_diags_init(diags);
    status = sl_process_load(path, diags, config);
    (void)unlink(path);
    return status;
}

static void refused(const char *text, const char *expected)
{
    struct sl_process_config *config = NULL;
    struct sl_diags diags;
    char found[600];

    assert_int_not_equal(load(text, &diags, &config), 0);
    assert_null(config);
    (void)snprintf(found, sizeof(found), "%u:%u %s", diags.items[0].line, diags.items[0].column,
                   diags.items[0].text);
    assert_string_equal(found, expected);
    assert_true(diags.items[0].remedy[0] != '\0');
    sl_diags_fini(&diags);
}

static void test_no_file_gives_what_works_on_a_laptop(void **state)
{
    struct sl_process_config *config = NULL;
    struct sl_diags diags;

    (void)state;
    sl_diags_init(&diags);
    assert_int_equal(sl_process_load(NULL, &diags, &config), 0);
    assert_string_equal(config->data_dir, "./sluice-data");
    assert_string_equal(config->control_socket, "./sluice-data/control.sock");
    assert_true(config->workers >= 1 && config->node[0] != '\0');
    assert_true(config->memory_bytes == 512ull << 20 && config->max_record_bytes == 1 << 20);
    assert_true(config->spool.hold_bytes == 10ull << 30 && config->spool.partitions == 4 &&
                config->spool.fsync == 1);
    assert_null(sl_process_free(config));
    sl_diags_fini(&diags);
}

static void test_a_whole_file_is_read(void **state)
{
    struct sl_process_config *config = NULL;
    struct sl_diags diags;

    (void)state;
    assert_int_equal(load("node: a1\ndata_dir: /var/lib/sluice\nworkers: 3\nmemory: "
                          "1GiB\ntopologies: [t/a.yaml, /b.yaml]\n"
                          "control: { listen: \"127.0.0.1:7878\", token: { secret: { env: TOKEN } "
                          "} }\nspool: { fsync: each, hold: { age: 1d } }\n"
                          "connections:\n  main: { brokers: [a:9092, b:9092], security_protocol: "
                          "sasl_ssl, sasl_mechanism: SCRAM-SHA-512, sasl_username: u, "
                          "sasl_password: { secret: { env: P } }, ca: /etc/passwd, librdkafka: { "
                          "socket.timeout.ms: 1000 } }\n",
                          &diags, &config),
                     0);
    assert_int_equal(config->connections_count, 1);
    assert_string_equal(config->connections[0].security_protocol, "sasl_ssl");
    assert_string_equal(config->connections[0].sasl_password.env, "P");
    assert_string_equal(config->connections[0].librdkafka.items[0].name, "socket.timeout.ms");
    assert_string_equal(config->topologies.items[0], "/tmp/t/a.yaml");
    assert_string_equal(config->topologies.items[1], "/b.yaml");
    assert_int_equal(config->workers, 3);
    assert_int_equal(config->spool.fsync, 0);
    (void)sl_process_free(config);
    sl_diags_fini(&diags);
}

static void test_wrong_files_are_refused(void **state)
{
    (void)state;
    refused("wrokers: 3", "1:1 unknown key \"wrokers\"");
    refused("node: a/b", "1:7 node: \"a/b\" cannot stand in file names");
    refused("control: { listen: \"0.0.0.0:1\" }",
            "1:10 control.token: missing: whoever reaches the TCP port could deploy");
    refused("connections: { m: { brokers: [localhost] } }",
            "1:30 connections.m.brokers: \"localhost\" is not an address");
    refused("connections: { m: { security_protocol: ssl } }",
            "1:19 connections.m.brokers is missing");
    refused("connections: { m: { brokers: [a:1], security_protocol: sasl_ssl } }",
            "1:19 connections.m.sasl_mechanism: missing, though security_protocol logs in");
    refused(
        "connections: { m: { brokers: [a:1], sasl_username: u } }",
        "1:19 connections.m.security_protocol: does not log in, though sasl_ settings are there");
    refused("connections: { m: { brokers: [a:1], ca: /nonexistent.pem } }",
            "1:41 connections.m.ca: unreachable file /nonexistent.pem: No such file or directory");
    refused("connections: { m: { brokers: [a:1], key: /etc/passwd } }",
            "1:42 connections.m.key: set without its certificate");
    refused("connections: [a]", "1:14 connections: a list is not a mapping of names");
    refused("- a", "1:1 a list is not a mapping");
    refused("memory: 1MiB", "1:9 memory: 1MiB is too small");
}

static void test_secrets_are_fetched_at_use(void **state)
{
    char path[] = "/tmp/sl_secret_XXXXXX", *text = NULL;
    int fd = mkstemp(path);
    struct sl_err err;

    (void)state;
    assert_int_equal(write(fd, "hunter2\r\n", 9), 9);
    assert_int_equal(close(fd), 0);
    assert_int_equal(sl_secret_resolve(&(struct sl_secret){.file = path}, &text, &err), 0);
    assert_string_equal(text, "hunter2");
    free(text);
    (void)unlink(path);
    assert_int_not_equal(sl_secret_resolve(&(struct sl_secret){.file = path}, &text, &err), 0);
    assert_int_equal(setenv("SL_TEST_SECRET", "s", 1), 0);
    assert_int_equal(sl_secret_resolve(&(struct sl_secret){.env = "SL_TEST_SECRET"}, &text, &err),
                     0);
    assert_string_equal(text, "s");
    free(text);
    assert_int_not_equal(
        sl_secret_resolve(&(struct sl_secret){.env = "SL_TEST_NO_SECRET"}, &text, &err), 0);
    assert_int_not_equal(sl_secret_resolve(&(struct sl_secret){0}, &text, &err), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_file_gives_what_works_on_a_laptop),
        cmocka_unit_test(test_a_whole_file_is_read),
        cmocka_unit_test(test_wrong_files_are_refused),
        cmocka_unit_test(test_secrets_are_fetched_at_use),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
