/* bench_edits.c: nanoseconds that the stages which change, mask and drop records take of one record, beside what parse takes; 1 M
 * records of about 290 bytes each in batches of 4,096. CPU time of this thread, best of three.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <time.h>

#include "tests/support/stage_json.h"

enum { RECORDS = 1000000, ROUNDS = 3, BYTES = 400, SERVICES = 40 };

static struct stage_json json;
static char texts[SL_BATCH_RECORDS][BYTES];
static const char *rows[SL_BATCH_RECORDS];

static double cpu_ns(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static void make(void)
{
    static const char *const levels[] = {"info", "info", "info", "debug", "warn", "error"};

    for (uint32_t i = 0; i < SL_BATCH_RECORDS; i++) {
        (void)snprintf(texts[i], BYTES,
                       "{\"ts\":\"2026-11-22T05:14:%02u.%03uZ\",\"service\":\"service-%u\",\"level\":\"%s\",\"trace_id\":\"4bf92f3577b34da6a3ce929d%08x\","
                       "\"message\":\"the request was answered, and nothing else is to be said of it\",\"duration_ms\":%u,"
                       "\"user\":{\"email\":\"user-%u@example.com\",\"id\":%u},\"path\":\"/v1/orders/%u\"}",
                       i % 60, i % 1000, i % SERVICES, levels[i % 6], i * 2654435761u, i % 2000, i * 7919 % 100000, i, i);
        rows[i] = texts[i];
    }
}

static void bench(const char *what, const struct sl_op_kind *kind, const char *settings)
{
    double best = 1e18, parse = 1e18;
    uint32_t batches = RECORDS / SL_BATCH_RECORDS;

    stage_json_open(&json, kind, settings);
    for (int round = 0; round < ROUNDS; round++) {
        double in_parse = 0, in_stage = 0;
        for (uint32_t b = 0; b < batches; b++) {
            double at = cpu_ns(), parsed;
            stage_json_batch(&json, rows, SL_BATCH_RECORDS);
            parsed = cpu_ns();
            stage_json_process(&json);
            in_parse += parsed - at;
            in_stage += cpu_ns() - parsed;
            json.bench.now_ns = 1000000000; /* an enrich stage looks at no file */
        }
        best = in_stage < best ? in_stage : best;
        parse = in_parse < parse ? in_parse : parse;
    }
    (void)printf("%-44s %7.1f ns a record (batch and parse %.1f)\n", what, best / batches / SL_BATCH_RECORDS,
                 parse / batches / SL_BATCH_RECORDS);
    stage_json_fini(&json);
    stage_json_init(&json);
}

static void bench_enrich(void)
{
    char path[128], settings[512];
    FILE *file;

    (void)snprintf(path, sizeof(path), "%s/teams.csv", json.bench.dir);
    file = fopen(path, "w");
    if (file == NULL)
        abort();
    (void)fputs("service,team,email\n", file);
    for (int i = 0; i < SERVICES; i++)
        (void)fprintf(file, "service-%d,team-%d,team-%d@example.com\n", i, i, i);
    (void)fclose(file);
    (void)snprintf(settings, sizeof(settings), "{ type: enrich, inputs: [x], table: \"%s\", key: service, fields: { team: team, owner.email: email } }", path);
    bench("enrich: two columns", &sl_op_enrich, settings);
}

int main(void)
{
    make();
    stage_json_init(&json);
    bench("set: one constant", &sl_op_set, "{ type: set, inputs: [x], fields: { environment: production } }");
    bench("set: a template and a copy, nested", &sl_op_set, "{ type: set, inputs: [x], fields: { where: \"{service}-{path}\", u.id: \"{user.id}\" } }");
    bench("remove: two fields", &sl_op_remove, "{ type: remove, inputs: [x], fields: [duration_ms, user.email] }");
    bench("rename: one in place, one moved", &sl_op_rename, "{ type: rename, inputs: [x], fields: { message: msg, path: http.path } }");
    bench("redact: one field", &sl_op_redact, "{ type: redact, inputs: [x], fields: [user.email] }");
    bench("redact: detect card and email", &sl_op_redact, "{ type: redact, inputs: [x], detect: [card, email] }");
    bench("redact: detect card, email, token, iban", &sl_op_redact, "{ type: redact, inputs: [x], detect: [card, email, token, iban] }");
    (void)setenv("SL_BENCH_KEY", "0123456789abcdef", 1);
    bench("redact: one field, hashed", &sl_op_redact, "{ type: redact, inputs: [x], fields: [user.email], with: hash, key: { secret: { env: SL_BENCH_KEY } } }");
    bench("dedupe: by a field", &sl_op_dedupe, "{ type: dedupe, inputs: [x], key: [trace_id] }");
    bench("dedupe: by the whole record", &sl_op_dedupe, "{ type: dedupe, inputs: [x] }");
    bench_enrich();
    stage_json_fini(&json);
    return 0;
}
