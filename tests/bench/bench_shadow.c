/* bench_shadow.c: what a shadow's digest costs a record: both sides' records of one sink handed over and compared, nothing differs.
 *
 * bench_shadow [BYTES] [ROUNDS]: bodies of BYTES (400), ranges of 4,096 records. Prints nanoseconds of CPU for one record of one
 * side, best and median, once for the digests and once for a range whose every record differs in a meant field.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "runtime/engine/shadow.h"

enum { ROUNDS_MAX = 1001, BODY_MAX = 1 << 16 };

static char *bench_bodies[SL_SHADOW_SIDES];

static double bench_cpu_ns(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int bench_compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* {"n":1000,"pad":"…"} of exactly `bytes`. */
static void bench_body(char *to, uint32_t bytes, uint32_t n)
{
    int used = snprintf(to, bytes, "{\"n\":%u,\"pad\":\"", 1000000 + n);

    memset(to + used, 'x', bytes - (uint32_t)used);
    memcpy(to + bytes - 2, "\"}", 2);
}

static void bench_range(struct sl_shadow *shadow, uint32_t bytes, uint64_t first)
{
    struct sl_shadow_range range = {"logs", "app", "3", 0, first, first + SL_BATCH_RECORDS};

    sl_shadow_begin(shadow, &range);
    for (int side = 0; side < SL_SHADOW_SIDES; side++)
        for (uint32_t i = 0; i < SL_BATCH_RECORDS; i++) {
            struct sl_shadow_record record = {.offset = first + i, .level = (uint8_t)(i % SL_LEVELS), .time_unix_ms = i,
                                              .body = {bench_bodies[side] + (size_t)i * bytes, bytes}};
            sl_shadow_add(shadow, (enum sl_shadow_side)side, 0, &record);
        }
    if (sl_shadow_end(shadow))
        abort();
}

static void bench_run(const char *name, const struct sl_expect *expect, uint32_t bytes, int rounds)
{
    static const struct sl_shadow_sink sink = {"landing", {true, true}};
    struct sl_shadow *shadow = sl_shadow_new(&(struct sl_shadow_options){&sink, 1, expect, NULL, NULL});
    double ns[ROUNDS_MAX];

    for (int round = 0; shadow != NULL && round < rounds; round++) {
        double begin = bench_cpu_ns();

        bench_range(shadow, bytes, (uint64_t)round * SL_BATCH_RECORDS);
        ns[round] = (bench_cpu_ns() - begin) / (SL_BATCH_RECORDS * SL_SHADOW_SIDES);
    }
    if (shadow == NULL)
        exit(1);
    qsort(ns, (size_t)rounds, sizeof(ns[0]), bench_compare);
    (void)printf("%-10s best %6.1f ns, median %6.1f ns a record and side\n", name, ns[0], ns[rounds / 2]);
    sl_shadow_free(shadow);
}

int main(int argc, char **argv)
{
    uint32_t bytes = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 400;
    int rounds = argc > 2 ? atoi(argv[2]) : 201;
    struct sl_expect *expect = sl_expect_new();

    if (bytes < 64 || bytes > BODY_MAX || rounds < 1 || rounds > ROUNDS_MAX || expect == NULL) {
        (void)fprintf(stderr, "usage: bench_shadow [BYTES 64-65536] [ROUNDS 1-1001]\n");
        return 2;
    }
    for (int side = 0; side < SL_SHADOW_SIDES; side++) {
        bench_bodies[side] = malloc((size_t)bytes * SL_BATCH_RECORDS + 1);
        for (uint32_t i = 0; bench_bodies[side] != NULL && i < SL_BATCH_RECORDS; i++)
            bench_body(bench_bodies[side] + (size_t)i * bytes, bytes, i);
    }
    if (bench_bodies[0] == NULL || bench_bodies[1] == NULL ||
        sl_expect_add(expect, &(struct sl_expect_row){.fields = (const char *const[]){"n"}, .fields_count = 1}, NULL) != 0)
        return 1;
    (void)printf("bodies of %u bytes\n", bytes);
    bench_run("digest", NULL, bytes, rounds);
    for (uint32_t i = 0; i < SL_BATCH_RECORDS; i++)
        bench_body(bench_bodies[SL_SHADOW_CANDIDATE] + (size_t)i * bytes, bytes, i + 1);
    bench_run("meant", expect, bytes, rounds);
    sl_expect_free(expect);
    free(bench_bodies[0]);
    free(bench_bodies[1]);
    return 0;
}
