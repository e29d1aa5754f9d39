/* bench_json.c: what decode costs a record, with and without validation.
 *
 * bench_json FILE [ROUNDS]: the file is read whole, cut into batches of up to 4,096 lines, each copied into padded memory
 * beforehand; four fields are projected (ts, service, level, trace_id); `roles` adds time,
 * level and interned service. Prints nanoseconds of CPU a record, best and median.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "runtime/base/fs.h"
#include "runtime/base/intern.h"
#include "runtime/json/json.h"
#include "runtime/json/json_index.h"
#include "runtime/json/timestamp.h"

enum { FIELDS = 4, ROUNDS_MAX = 101 };

static uint16_t bench_sel[SL_BATCH_RECORDS];
static struct sl_column bench_columns[FIELDS];
static uint8_t bench_verdict[SL_BATCH_RECORDS];

static double bench_cpu_ns(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static struct sl_json_decoder *bench_decoder(bool validate)
{
    static const char *const names[FIELDS] = {"ts", "service", "level", "trace_id"};
    struct sl_json_field fields[FIELDS];
    struct sl_json_projection projection = {fields, FIELDS, validate};
    struct sl_json_decoder *decoder = NULL;

    for (uint32_t i = 0; i < FIELDS; i++)
        fields[i] = (struct sl_json_field){{&names[i], 1}, i};
    if (sl_json_decoder_new(&projection, &decoder, NULL) != 0)
        exit(1);
    return decoder;
}

static int bench_compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* What a parse stage does with the columns; the number of rows in which a role is missing. */
static uint64_t bench_roles(uint32_t batch, struct sl_intern_cache *names)
{
    uint64_t missing = 0;

    for (uint32_t i = 0; i < batch; i++) {
        int64_t unix_ms;
        enum sl_level level;
        missing += sl_time_parse(bench_columns[0].value[i], bench_columns[0].type[i] == SL_T_STRING, &unix_ms) != 0;
        missing += sl_intern(names, bench_columns[1].value[i]) == SL_INTERN_NONE;
        missing += sl_level_parse(bench_columns[2].value[i], (enum sl_type)bench_columns[2].type[i], &level) != 0;
    }
    return missing;
}

static void bench_run(const char *name, struct sl_json_decoder *decoder, const struct sl_slice *raw, uint32_t count,
                      struct sl_arena *arena, int rounds, struct sl_intern_cache *names)
{
    double ns[ROUNDS_MAX];
    uint64_t refused = 0;

    for (int round = 0; round < rounds; round++) {
        double begin = bench_cpu_ns();

        for (uint32_t at = 0; at < count; at += SL_BATCH_RECORDS) {
            uint32_t batch = count - at < SL_BATCH_RECORDS ? count - at : SL_BATCH_RECORDS;

            sl_arena_reset(arena);
            if (decoder == NULL) { /* the first pass alone */
                static struct sl_json_index *index;
                const uint32_t *tokens;
                uint32_t tokens_count;
                if (index == NULL)
                    index = sl_json_index_new();
                for (uint32_t i = 0; i < batch; i++)
                    refused += sl_json_index_of(index, raw[at + i].data, raw[at + i].bytes, &tokens, &tokens_count) != 0;
                continue;
            }
            if (sl_json_decode(decoder, raw + at, bench_sel, batch, bench_columns, bench_verdict, arena) != 0)
                exit(1);
            for (uint32_t i = 0; i < batch; i++)
                refused += bench_verdict[i] != SL_JSON_FINE;
            if (names != NULL)
                refused += bench_roles(batch, names);
        }
        ns[round] = (bench_cpu_ns() - begin) / count;
    }
    qsort(ns, (size_t)rounds, sizeof(ns[0]), bench_compare);
    printf("%-24s best %6.1f  median %6.1f ns a record, %llu refused\n", name, ns[0], ns[rounds / 2],
           (unsigned long long)refused);
    sl_json_decoder_free(decoder);
}

static void bench_columns_new(void)
{
    for (uint32_t i = 0; i < SL_BATCH_RECORDS; i++)
        bench_sel[i] = (uint16_t)i;
    for (uint32_t i = 0; i < FIELDS; i++)
        bench_columns[i] = (struct sl_column){calloc(SL_BATCH_RECORDS, sizeof(struct sl_slice)),
                                              calloc(SL_BATCH_RECORDS, sizeof(struct sl_span)),
                                              calloc(SL_BATCH_RECORDS, 1), calloc(SL_BATCH_RECORDS, 1)};
}

int main(int argc, char **argv)
{
    int rounds = argc > 2 ? atoi(argv[2]) : 15;
    char *data = NULL, *padded;
    size_t bytes = 0;
    uint32_t count = 0;
    struct sl_slice *raw;
    struct sl_arena arena;

    if (argc < 2 || rounds < 1 || rounds > ROUNDS_MAX ||
        sl_fs_read_file(sl_fs_posix(), argv[1], (size_t)1 << 31, &data, &bytes) < 0 ||
        sl_arena_init(&arena, 1 << 20, 1 << 24) != 0) {
        fprintf(stderr, "usage: bench_json FILE [ROUNDS up to %d]\n", ROUNDS_MAX);
        return 2;
    }
    for (size_t i = 0; i < bytes; i++)
        count += data[i] == '\n';
    raw = calloc(count, sizeof(*raw));
    padded = calloc(bytes + SL_PAD, 1);
    if (raw == NULL || padded == NULL)
        return 1;
    memcpy(padded, data, bytes);
    free(data);
    count = 0;
    for (char *line = padded, *end; (end = memchr(line, '\n', (size_t)(padded + bytes - line))) != NULL; line = end + 1)
        raw[count++] = (struct sl_slice){line, (uint32_t)(end - line)};
    bench_columns_new();
    printf("%u records, %.1f bytes each, kernel %s\n", count, (double)bytes / count, sl_json_index_kernel());
    bench_run("index only", NULL, raw, count, &arena, rounds, NULL);
    bench_run("validate: false", bench_decoder(false), raw, count, &arena, rounds, NULL);
    bench_run("validate: true", bench_decoder(true), raw, count, &arena, rounds, NULL);
    bench_run("validate: false, roles", bench_decoder(false), raw, count, &arena, rounds, sl_intern_cache_new());
    sl_arena_fini(&arena);
    return 0;
}
