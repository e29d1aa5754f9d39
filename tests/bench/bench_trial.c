/* bench_trial.c: what a candidate on trial costs the version that runs: a file read once into a landing zone and past a filter, beside
 * nothing, a shadow, a shadow that is slow, a canary of 1, 10 and 50 %.
 *
 * bench_trial FILE [PAIRS]: FILE of JSON lines (make_logs). Each way is timed against the plain one in ABBA order, PAIRS times (7): prints
 * the median of the ratios of CPU time, best and worst, that of wall time, and what a shadow compared and skipped. One worker.
 * SPDX-License-Identifier: Apache-2.0 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "operators/registry.h"
#include "runtime/base/clock.h"
#include "runtime/config/process.h"
#include "runtime/engine/generation.h"

enum { PAIRS_MAX = 99 };

#define BENCH_LIVE(more, last)                                                                                                  \
    "name: t\nsources:\n  logs: { type: file, paths: [\"%s\"], read: once }\noperators:\n  parsed: { type: parse, inputs: [logs] }\n" \
    "  kept: { type: filter, inputs: [parsed], drop_where: { level: trace } }\n" more                                          \
    "sinks:\n  landing: { type: files, inputs: [" last "], dir: landing }\n  out: { type: blackhole, inputs: [" last "] }\n"
#define BENCH_SLOW "  slow: { type: redact, inputs: [kept], detect: [card, email, token], fields: [nothing] }\n"

enum bench_way { BENCH_PLAIN, BENCH_SHADOW, BENCH_SLOW_SHADOW, BENCH_CANARY_1, BENCH_CANARY_10, BENCH_CANARY_50, BENCH_WAYS };
static const char *const bench_names[BENCH_WAYS] = {"plain", "shadow", "slow shadow", "canary 1 %", "canary 10 %", "canary 50 %"};
static const double bench_shares[BENCH_WAYS] = {0, 0, 0, 0.01, 0.1, 0.5};

static const char *bench_file;

static void bench_die(const char *what, const struct sl_err *err)
{
    (void)fprintf(stderr, "bench_trial: %s: %s\n", what, err != NULL ? err->text : "");
    exit(1);
}

static void bench_log(void *user, const char *topology, const struct sl_err *err, const char *what)
{
    (void)user, (void)topology;
    if (err->code != SL_OK)
        bench_die(what, err);
}

static void bench_ended(void *user)
{
    (void)user;
}

static struct sl_topology *bench_load(const char *dir, const char *form)
{
    struct sl_topology *topology = NULL;
    struct sl_diags diags;
    char path[128];
    FILE *file;

    (void)snprintf(path, sizeof(path), "%s/t.yaml", dir);
    file = fopen(path, "w");
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* both forms stand above */
    if (file == NULL || fprintf(file, form, bench_file) < 0 || fclose(file) != 0)
        bench_die(path, NULL);
#pragma GCC diagnostic pop
    sl_diags_init(&diags);
    if (sl_topology_load(path, &sl_registry_builtin, NULL, &diags, &topology) != 0)
        bench_die(diags.items[0].text, NULL);
    sl_diags_fini(&diags);
    return topology;
}

static struct sl_candidate *bench_candidate(struct sl_host *host, const char *dir, enum bench_way way)
{
    struct sl_topology *from =
        bench_load(dir, way == BENCH_SLOW_SHADOW ? BENCH_LIVE(BENCH_SLOW, "slow") : BENCH_LIVE("", "kept"));
    struct sl_candidate *candidate = NULL;
    struct sl_err err;

    while (sl_host_prepare(host, from, 2, NULL, NULL, &candidate, &err) != 0)
        if (strstr(err.text, "starting") == NULL)
            bench_die("prepare", &err);
    if ((way <= BENCH_SLOW_SHADOW ? sl_host_shadow(host, candidate, NULL, &err)
                                  : sl_host_canary(host, candidate, bench_shares[way], SL_SPLIT_KEY, &err)) != 0)
        bench_die(bench_names[way], &err);
    return candidate;
}

struct bench_took {
    double cpu_s, wall_s; /* from the first record to the last */
};

static double bench_cpu_s(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static struct bench_took bench_run(enum bench_way way, struct sl_sides *sides)
{
    char dir[] = "/tmp/sl-bench-trial-XXXXXX", data_dir[64], command[96];
    struct sl_process_config process = {.node = "n", .workers = 1, .memory_bytes = 256 << 20, .max_record_bytes = 1 << 20,
                                        .spool = {.segment_bytes = 64 << 20, .hold_bytes = 1 << 30, .fsync = 2}};
    struct sl_host_settings settings = {.process = &process, .topologies_count = 1, .log = bench_log, .ended = bench_ended, .once = true};
    const struct sl_topology *topologies[1];
    struct sl_topology *topology;
    struct sl_candidate *candidate = NULL;
    struct sl_host *host;
    struct sl_err err;
    struct bench_took took;

    if (mkdtemp(dir) == NULL)
        bench_die(dir, NULL);
    (void)snprintf(data_dir, sizeof(data_dir), "%s/data", dir);
    process.data_dir = data_dir;
    topology = bench_load(dir, BENCH_LIVE("", "kept"));
    topologies[0] = topology;
    settings.topologies = topologies;
    host = sl_host_open(&settings, &err);
    if (host == NULL || sl_host_start(host, &err) != 0 || sl_host_pause(host, "t", true, &err) != 0)
        bench_die("start", &err);
    if (way != BENCH_PLAIN)
        candidate = bench_candidate(host, dir, way);
    took = (struct bench_took){bench_cpu_s(), (double)sl_clock_now_ns() / 1e9};
    (void)sl_host_pause(host, "t", false, &err);
    while (!sl_host_idle(host))
        (void)usleep(500); /* poll */
    took = (struct bench_took){bench_cpu_s() - took.cpu_s, (double)sl_clock_now_ns() / 1e9 - took.wall_s};
    memset(sides, 0, sizeof(*sides));
    if (candidate != NULL) {
        (void)sl_host_sides(host, candidate, sides, &err);
        sl_host_discard(host, candidate);
    }
    host = sl_host_close(host);
    topology = sl_topology_free(topology);
    (void)snprintf(command, sizeof(command), "rm -rf %s", dir);
    if (system(command) != 0)
        bench_die(command, NULL);
    return took;
}

static int bench_order(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void bench_way(enum bench_way way, int pairs)
{
    double cpu[PAIRS_MAX], wall[PAIRS_MAX];
    struct sl_sides sides, none;

    for (int pair = 0; pair < pairs; pair++) {
        bool plain_first = pair % 2 == 0;
        struct bench_took first = bench_run(plain_first ? BENCH_PLAIN : way, plain_first ? &none : &sides);
        struct bench_took second = bench_run(plain_first ? way : BENCH_PLAIN, plain_first ? &sides : &none);
        cpu[pair] = plain_first ? second.cpu_s / first.cpu_s : first.cpu_s / second.cpu_s;
        wall[pair] = plain_first ? second.wall_s / first.wall_s : first.wall_s / second.wall_s;
    }
    qsort(cpu, (size_t)pairs, sizeof(cpu[0]), bench_order);
    qsort(wall, (size_t)pairs, sizeof(wall[0]), bench_order);
    (void)printf("%-12s CPU x%.3f (%.3f to %.3f), wall x%.3f", bench_names[way], cpu[pairs / 2], cpu[0], cpu[pairs - 1], wall[pairs / 2]);
    if (way <= BENCH_SLOW_SHADOW)
        (void)printf(", compared %llu, differing %llu, ranges skipped %llu of %llu", (unsigned long long)sides.compared,
                     (unsigned long long)sides.differing, (unsigned long long)sides.ranges_skipped,
                     (unsigned long long)(sides.ranges + sides.ranges_skipped));
    else
        (void)printf(", canary %llu of %llu records", (unsigned long long)sides.canary.records,
                     (unsigned long long)(sides.canary.records + sides.baseline.records));
    (void)printf("\n");
    (void)fflush(stdout);
}

int main(int argc, char **argv)
{
    int pairs = argc > 2 ? atoi(argv[2]) : 7;

    if (argc < 2 || pairs < 1 || pairs > PAIRS_MAX) {
        (void)fprintf(stderr, "usage: bench_trial FILE [PAIRS]\n");
        return 2;
    }
    bench_file = argv[1];
    for (int way = BENCH_SHADOW; way < BENCH_WAYS; way++)
        bench_way((enum bench_way)way, pairs);
    return 0;
}
