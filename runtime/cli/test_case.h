/* test_case.h: one case of a topology's tests folder: what goes in at a source, what must come out at each sink.
 *
 *   source: logs                       # component that the records come from
 *   records:                           # in this order, offsets 0, 1, 2 ...
 *     - '{"ts":"2024-05-01T12:00:00Z","service":"cart","level":"info"}'
 *     - { payload: '{"a":1}', key: k, headers: { h: v }, time: 2024-05-01T12:00:00Z, topic: logs.cart }
 *     - { payload: null }              # a Kafka tombstone
 *   expect:                            # sinks that are not named are not looked at
 *     landing: [ '{"ts":...}' ]        # exactly these bodies, in this order
 *     sampled: { count: 2 }            # this many, whatever they are
 *     dead_letters: [ { reason: "..." } ]   # each reason contains this text; body: '...' may stand beside it
 *
 * It is YAML as everywhere: ${VAR} is replaced, $$ is $. Ownership: everything belongs to the case. Limits: those of
 * runtime/config/yaml.h.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_RUNTIME_CLI_TEST_CASE_H
#define SL_RUNTIME_CLI_TEST_CASE_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/config/diag.h"
#include "runtime/config/field.h"

struct sl_case_record {
    const char *payload; /* NULL: a null payload */
    const char *key;     /* or NULL */
    const char *topic;   /* or NULL */
    int64_t append_unix_ms; /* 0: not said */
    const struct sl_pair *headers;
    uint32_t headers_count;
    uint32_t line;
};

struct sl_case_body {
    const char *body;   /* NULL: any */
    const char *reason; /* dead letters: must be contained; NULL: any */
    uint32_t line;
};

struct sl_case_expect {
    const char *sink; /* component name, or dead_letters */
    uint64_t count;
    bool listed; /* bodies[count], in this order; else only the count is looked at */
    struct sl_case_body *bodies;
    uint32_t line, column;
};

struct sl_pool;

struct sl_test_case {
    struct sl_pool *pool;
    const char *path, *name; /* name: the file's name without .yaml */
    const char *source;
    struct sl_case_record *records;
    uint32_t records_count;
    struct sl_case_expect *expects;
    uint32_t expects_count;
    uint32_t source_line, source_column;
};

/* Every problem is added to diags; 0 and *ret_case only when none is an error. */
int sl_test_case_load(const char *path, struct sl_diags *diags, struct sl_test_case **ret_case);
struct sl_test_case *sl_test_case_free(struct sl_test_case *test);

#endif
