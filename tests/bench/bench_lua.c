/* bench_lua.c: nanoseconds that the operator lua takes of one record, by kind of script, beside what parse takes; 1 M records of
 * about 290 bytes each in batches of 4,096. CPU time of this thread, best of three.
 * SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <time.h>

#include "tests/support/stage_json.h"

enum { RECORDS = 1000000, ROUNDS = 3, BYTES = 400 };

static struct stage_json json;
static char texts[SL_BATCH_RECORDS][BYTES];
static const char *rows[SL_BATCH_RECORDS];
static char *numbers[SL_BATCH_RECORDS]; /* of the users: another one in each record of a run */

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
                       "\"user\":{\"email\":\"user-%08u@example.com\",\"id\":%u},\"path\":\"/v1/orders/%u\"}",
                       i % 60, i % 1000, i % 40, levels[i % 6], i * 2654435761u, i % 2000, i * 7919 % 100000, i, i);
        rows[i] = texts[i];
        numbers[i] = strstr(texts[i], "user-") + 5;
    }
}

/* Strings that the script's state has not met yet. */
static void renumber(uint32_t batch)
{
    for (uint32_t i = 0; i < SL_BATCH_RECORDS; i++) {
        uint32_t number = batch * SL_BATCH_RECORDS + i;
        for (int digit = 7; digit >= 0; digit--, number /= 10)
            numbers[i][digit] = (char)('0' + number % 10);
    }
}

static const char *only; /* a part of the names of those that are run; NULL: all */

static void bench(const char *what, const char *settings)
{
    double best = 1e18, parse = 1e18;
    uint32_t batches = RECORDS / SL_BATCH_RECORDS;

    if (only != NULL && strstr(what, only) == NULL)
        return;
    stage_json_init(&json);
    stage_json_open(&json, &sl_op_lua, settings);
    for (int round = 0; round < ROUNDS; round++) {
        double in_parse = 0, in_stage = 0;
        for (uint32_t b = 0; b < batches; b++) {
            double at, parsed;
            renumber((uint32_t)round * batches + b);
            at = cpu_ns();
            stage_json_batch(&json, rows, SL_BATCH_RECORDS);
            parsed = cpu_ns();
            stage_json_process(&json);
            in_parse += parsed - at;
            in_stage += cpu_ns() - parsed;
        }
        best = in_stage < best ? in_stage : best;
        parse = in_parse < parse ? in_parse : parse;
    }
    (void)printf("%-58s %7.1f ns a record (batch and parse %.1f)\n", what, best / batches / SL_BATCH_RECORDS,
                 parse / batches / SL_BATCH_RECORDS);
    stage_json_fini(&json);
}

#define LUA(fields, more, source) "{ type: lua, inputs: [x], fields: " fields more ", source: \"" source "\" }"
#define BOTH(what, fields, source)                                                                                              \
    bench(what, LUA(fields, "", source));                                                                                       \
    bench(what ", jit", LUA(fields, ", jit: true", source))

int main(int count, char **words)
{
    only = count > 1 ? words[1] : NULL;
    make();
    BOTH("batch, role level, drops a sixth", "[]",
         "function process_batch(b) local level = b.level for i = 1, b.count do if level[i] == 'debug' then b:drop(i) end end end");
    BOTH("batch, level and a number", "[duration_ms]",
         "function process_batch(b) local level, ms = b.level, b:column('duration_ms') for i = 1, b.count do "
         "if level[i] == 'debug' or ms[i] > 1990 then b:drop(i) end end end");
    BOTH("batch, level and a field of distinct strings", "[user.email]",
         "function process_batch(b) local level, who = b.level, b:column('user.email') for i = 1, b.count do "
         "if level[i] == 'debug' or who[i] == 'user-00000001@example.com' then b:drop(i) end end end");
    BOTH("record, nothing", "[]", "function process(r) end");
    BOTH("record, level and a field", "[user.email]",
         "function process(r) if r.level == 'debug' or r:get('user.email') == 'user-00000001@example.com' then return false end end");
    BOTH("record, sets a field", "[user.email]", "function process(r) r:set('user.email', '***') end");
    BOTH("record, a table of two", "[]", "function process(r) return { r, { service = 'x', level = 'info', n = 1 } } end");
    return 0;
}
