/* bench_protobuf.c: nanoseconds that parse takes of one envelope (format: protobuf): its roles and one attribute as columns, and with the
 * record as JSON. 1 M envelopes of about 230 bytes in batches of 1,000; CPU time of this thread, best of three.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <time.h>

#include "operators/stages/stages.h"
#include "runtime/envelope/envelope.h"
#include "tests/support/stage_bench.h"
#include "tests/support/stage_config.h"

enum { RECORDS = 1000000, ROUNDS = 3, BATCH = 1000, PARSE_BYTES = 8192 };

static struct bench bench;
static _Alignas(16) char parse[PARSE_BYTES];
static struct sl_arena packs;
static struct sl_slice envelopes[BATCH];
static bool whole;

static bool is_whole(struct sl_names *of)
{
    (void)of;
    return whole;
}

static double cpu_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static void make(void)
{
    static const char *const levels[] = {"info", "info", "info", "debug", "warn", "error"};
    char service[32], trace[40], body[160], user[48];

    for (uint32_t i = 0; i < BATCH; i++) {
        struct sl_envelope_attribute attributes[2];
        struct sl_envelope envelope = {.time_unix_ns = 1795322096000000000ull + i * 1000000ull};
        (void)snprintf(service, sizeof(service), "service-%u", i % 40);
        (void)snprintf(trace, sizeof(trace), "4bf92f3577b34da6a3ce929d%08x", i * 2654435761u);
        (void)snprintf(body, sizeof(body), "the request /v1/orders/%u was answered, and nothing else is to be said of it here", i);
        (void)snprintf(user, sizeof(user), "user-%u@example.com", i * 7919 % 100000);
        attributes[0] = (struct sl_envelope_attribute){sl_slice_of("user.email"), sl_slice_of(user)};
        attributes[1] = (struct sl_envelope_attribute){sl_slice_of("region"), sl_slice_of("eu-central-1")};
        envelope.host = sl_slice_of("host-17.example.com");
        envelope.service = sl_slice_of(service);
        envelope.level = sl_slice_of(levels[i % 6]);
        envelope.trace_id = sl_slice_of(trace);
        envelope.body = sl_slice_of(body);
        envelope.attributes = attributes;
        envelope.attributes_count = 2;
        if (sl_envelope_pack(&packs, &envelope, &envelopes[i]) != 0)
            abort();
    }
}

static void run(const char *what)
{
    struct sl_name name;
    struct sl_err err;
    uint32_t columns[BENCH_COLUMNS];
    static const char *texts[BATCH];
    double best = 1e18;

    bench_init(&bench);
    bench.names.is_whole = is_whole;
    if (sl_name_parse("attributes.region", &name, &err) != 0 || bench.names.column(&bench.names, &name, &err) < 0 ||
        sl_op_parse.open(parse, &bench.api, config_of(&sl_op_parse.head, "{ type: parse, inputs: [x], format: protobuf }"), &bench.names,
                         &err) != 0)
        abort();
    for (uint32_t i = 0; i < BENCH_COLUMNS; i++)
        columns[i] = i;
    if (sl_op_parse.ready(parse, columns, bench.columns_count, &bench.names, &err) != 0)
        abort();
    for (uint32_t i = 0; i < BATCH; i++)
        texts[i] = "";
    for (int round = 0; round < ROUNDS; round++) {
        double taken = 0;
        for (uint32_t b = 0; b < RECORDS / BATCH; b++) {
            double at;
            bench_batch(&bench, texts, BATCH);
            memcpy(bench.batch.raw, envelopes, sizeof(envelopes));
            at = cpu_ns();
            if (sl_op_parse.process(parse, &bench.view, &err) != 0)
                abort();
            taken += cpu_ns() - at;
        }
        best = taken < best ? taken : best;
    }
    printf("%-34s %6.0f ns a record\n", what, best / RECORDS);
    sl_op_parse.close(parse);
    sl_name_fini(&name);
    config_fini();
    bench_fini(&bench);
}

int main(void)
{
    if (sl_arena_init(&packs, 1 << 20, 1 << 26) != 0)
        return 1;
    make();
    printf("envelopes of %u bytes\n", envelopes[BATCH / 2].bytes);
    run("format protobuf, roles and a field");
    whole = true;
    run("format protobuf, as JSON");
    sl_arena_fini(&packs);
    return 0;
}
