/* sim_main.c: runs seeds: sim --seed N replays one with its trace, sim --seeds FROM COUNT many, sim --file PATH those listed.
 * Exit code 0: no law was broken; 1: one was, and the seed is printed; 2: usage.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/sim/sim.h"

static struct sim_result main_sum;
static bool main_sick, main_generations;

static int main_one(uint64_t seed, bool trace)
{
    struct sim_settings settings = {.seed = seed, .trace = trace, .sick = main_sick, .generations = main_generations};
    struct sim_result result;
    sim_run(&settings, &result);
    main_sum.steps += result.steps;
    main_sum.records += result.records;
    main_sum.crashes += result.crashes;
    main_sum.commits += result.commits;
    main_sum.stops += result.stops;
    main_sum.swaps += result.swaps;
    if (result.fine)
        return 0;
    (void)printf("seed %llu: %s\n", (unsigned long long)seed, result.why);
    (void)fflush(stdout);
    return 1;
}

static int main_many(uint64_t from, uint64_t count)
{
    int broken = 0;
    (void)printf("seeds %llu to %llu\n", (unsigned long long)from, (unsigned long long)(from + count - 1));
    (void)fflush(stdout);
    for (uint64_t i = 0; i < count; i++)
        broken += main_one(from + i, false);
    return broken;
}

/* One seed a line; what follows it is a comment. */
static int main_file(const char *path)
{
    char line[512];
    int broken = 0;
    FILE *file = fopen(path, "r");
    if (file == NULL) {
        (void)fprintf(stderr, "sim: cannot read %s\n", path);
        return 1;
    }
    while (fgets(line, sizeof(line), file) != NULL)
        if (line[0] >= '0' && line[0] <= '9')
            broken += main_one(strtoull(line, NULL, 10), false);
    (void)fclose(file);
    return broken;
}

static int main_usage(void)
{
    (void)fprintf(stderr, "usage: sim [--sick | --generations] --seed N | --seeds FROM COUNT | --file PATH\n"
                          "  --sick               with a queue before a back-end that falls ill\n"
                          "  --generations        new versions of the topology are put in while it runs\n"
                          "  --seed N             one seed with its trace\n"
                          "  --seeds FROM COUNT   COUNT seeds; FROM \"env\" takes SLUICE_SEED, else 1\n"
                          "  --file PATH          the seeds in a file, one a line\n");
    return 2;
}

static uint64_t main_from(const char *text)
{
    const char *seed = getenv("SLUICE_SEED");
    if (strcmp(text, "env") != 0)
        return strtoull(text, NULL, 10);
    return seed != NULL && seed[0] != '\0' ? strtoull(seed, NULL, 10) : 1;
}

int main(int argc, char **argv)
{
    int broken;
    main_sick = argc > 1 && strcmp(argv[1], "--sick") == 0;
    main_generations = argc > 1 && strcmp(argv[1], "--generations") == 0;
    if (main_sick || main_generations) {
        argc--;
        argv++;
    }
    if (sim_topologies_load() != 0)
        return 1;
    if (argc == 3 && strcmp(argv[1], "--seed") == 0)
        broken = main_one(strtoull(argv[2], NULL, 10), true);
    else if (argc == 4 && strcmp(argv[1], "--seeds") == 0)
        broken = main_many(main_from(argv[2]), strtoull(argv[3], NULL, 10));
    else if (argc == 3 && strcmp(argv[1], "--file") == 0)
        broken = main_file(argv[2]);
    else
        return main_usage();
    sim_topologies_free();
    (void)printf("%llu steps, %llu records, %llu crashes, %llu stops, %llu swaps: %d seeds broke a law\n",
                 (unsigned long long)main_sum.steps, (unsigned long long)main_sum.records,
                 (unsigned long long)main_sum.crashes, (unsigned long long)main_sum.stops, (unsigned long long)main_sum.swaps,
                 broken);
    return broken == 0 ? 0 : 1;
}
