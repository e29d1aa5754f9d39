/* stage_bench.h: what a stage or a sink meets in the engine, made by hand for its unit test: an api, names, batches, a folder.
 * Header only; one test process each, so its state is static to the test. cmocka.h is included before it.
 * SPDX-License-Identifier: Apache-2.0 */
#ifndef SL_TESTS_SUPPORT_STAGE_BENCH_H
#define SL_TESTS_SUPPORT_STAGE_BENCH_H

#include <assert.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "runtime/base/intern.h"
#include "runtime/config/name.h"
#include "runtime/config/pool.h"
#include "runtime/engine/op.h"
#include "runtime/engine/slot.h"

enum { BENCH_COLUMNS = 16, BENCH_COUNTERS = 16 };

struct bench {
    struct sl_names names; /* first: sl_names callbacks get it back */
    struct sl_name column_names[BENCH_COLUMNS];
    uint32_t columns_count;
    struct sl_api api;
    struct sl_partition partition;
    struct sl_arena arena;
    struct sl_intern_cache *cache;
    struct sl_batch batch;
    struct sl_decoded decoded;
    struct sl_view view;
    struct sl_column columns[BENCH_COLUMNS];
    struct sl_item items[SL_BATCH_RECORDS];
    uint64_t counters[BENCH_COUNTERS];
    uint64_t now_ns, random;
    int64_t unix_ms;
    char dir[64]; /* data_dir, removed by bench_fini */
};

static inline bool bench_path_eq(const struct sl_field_path *a, const struct sl_field_path *b)
{
    bool eq = a->segments_count == b->segments_count;

    for (uint32_t i = 0; eq && i < a->segments_count; i++)
        eq = strcmp(a->segments[i], b->segments[i]) == 0;
    return eq;
}

static inline int bench_column(struct sl_names *names, const struct sl_name *name, struct sl_err *err)
{
    struct bench *bench = (struct bench *)(void *)names;

    for (uint32_t i = 0; i < bench->columns_count; i++)
        if (bench->column_names[i].kind == name->kind && bench_path_eq(&bench->column_names[i].path, &name->path))
            return (int)i;
    if (bench->columns_count == BENCH_COLUMNS)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "too many columns for a bench");
    bench->column_names[bench->columns_count] = *name; /* paths are the test's and outlive the bench */
    return (int)bench->columns_count++;
}

static inline const struct sl_field_path *bench_path(struct sl_names *names, uint32_t column)
{
    return &((struct bench *)(void *)names)->column_names[column].path;
}

static inline uint32_t bench_column_count(struct sl_names *names)
{
    return ((struct bench *)(void *)names)->columns_count;
}

static inline uint64_t bench_now(void *env)
{
    return ((struct bench *)env)->now_ns;
}

static inline int64_t bench_unix(void *env)
{
    return ((struct bench *)env)->unix_ms;
}

static inline uint64_t bench_random(void *env)
{
    return ((struct bench *)env)->random++;
}

static inline void bench_tally(void *env, const void *self, uint32_t counter, uint64_t by)
{
    (void)self;
    ((struct bench *)env)->counters[counter] += by;
}

static inline void bench_init(struct bench *bench)
{
    memset(bench, 0, sizeof(*bench));
    bench->names.column = bench_column;
    bench->names.path = bench_path;
    bench->names.count = bench_column_count;
    /* in memory where that can be had: ten thousand files are synced one by one */
    (void)snprintf(bench->dir, sizeof(bench->dir), "%s/sluice-test-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    if (mkdtemp(bench->dir) == NULL || sl_arena_init(&bench->arena, 4 << 20, 64 << 20) != 0)
        abort();
    bench->cache = sl_intern_cache_new();
    bench->now_ns = 1000000000;
    bench->unix_ms = 1795322096000; /* 2026-11-22T05:14:56Z */
    bench->api = (struct sl_api){.env = bench, .fs = sl_fs_posix(), .now_ns = bench_now, .unix_ms = bench_unix,
                                 .random = bench_random, .tally = bench_tally, .node = "n1", .data_dir = bench->dir,
                                 .topology = "t", .component = "c", .base_dir = bench->dir, .epoch = 1, .slots = 1,
                                 .share_bytes = 64 << 20, .max_record_bytes = 1 << 20};
    bench->partition = (struct sl_partition){.source = "logs", .topic = "topic-a", .id = "0", .assignment = 1};
}

static inline int bench_remove(const char *path, const struct stat *st, int type, struct FTW *walk)
{
    (void)st;
    (void)type;
    (void)walk;
    return remove(path);
}

static inline void bench_fini(struct bench *bench)
{
    (void)nftw(bench->dir, bench_remove, 16, FTW_DEPTH | FTW_PHYS);
    sl_arena_fini(&bench->arena);
    bench->cache = sl_intern_cache_free(bench->cache);
}

static inline void *bench_array(struct bench *bench, size_t count, size_t bytes)
{
    void *array = sl_arena_alloc(&bench->arena, (count + 1) * bytes);

    if (array == NULL)
        abort();
    memset(array, 0, (count + 1) * bytes);
    return array;
}

/* A batch of the partition's next `count` offsets; texts are copied and padded. Undecoded: times and nothing else. */
static inline void bench_batch(struct bench *bench, const char *const *texts, uint32_t count)
{
    uint64_t first = bench->partition.next;
    int64_t *times;

    sl_arena_reset(&bench->arena);
    bench->batch = (struct sl_batch){.partition = &bench->partition, .first = first, .next = first + count, .count = count,
                                     .arena = &bench->arena};
    bench->batch.raw = bench_array(bench, count, sizeof(struct sl_slice));
    bench->batch.offset = bench_array(bench, count, sizeof(uint64_t));
    bench->batch.append_unix_ms = bench_array(bench, count, sizeof(int64_t));
    times = bench_array(bench, count, sizeof(int64_t));
    for (uint32_t i = 0; i < count; i++) {
        bench->batch.raw[i] = sl_arena_copy(&bench->arena, sl_slice_of(texts[i]));
        bench->batch.offset[i] = first + i;
        bench->batch.append_unix_ms[i] = times[i] = bench->unix_ms;
    }
    bench->decoded = (struct sl_decoded){.time_unix_ms = times, .trace = -1};
    bench->partition.next += count;
    if (sl_view_all(&bench->view, &bench->batch, &bench->decoded) != 0)
        abort();
}

/* Roles for the batch; services and levels may be NULL. */
static inline void bench_roles(struct bench *bench, const char *const *services, const uint8_t *levels)
{
    uint32_t *ids = bench_array(bench, bench->batch.count, sizeof(*ids));

    for (uint32_t i = 0; services != NULL && i < bench->batch.count; i++)
        ids[i] = sl_intern(bench->cache, sl_slice_of(services[i]));
    bench->decoded.service = services == NULL ? NULL : ids;
    bench->decoded.level = levels;
}

/* All live records of the view as a parcel. */
static inline struct sl_parcel bench_parcel(struct bench *bench)
{
    struct sl_parcel parcel = {.items = bench->items, .view = &bench->view, .first = bench->batch.first, .next = bench->batch.next};
    uint32_t cursor = 0;

    for (uint32_t i = 0; i < bench->view.sel_count; i++) {
        uint16_t row = bench->view.sel[i];
        bench->items[i] = (struct sl_item){.ref = {1, row}, .row = row, .body = sl_view_body(&bench->view, row, &cursor)};
        parcel.bytes += bench->items[i].body.bytes;
        parcel.count++;
    }
    return parcel;
}

#endif
