/* sim_topology.c: the topologies that are simulated, as users write them, loaded once by the real loader.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "operators/registry.h"
#include "runtime/config/topology.h"
#include "tests/sim/sim_inner.h"

#define SIM_MIDDLE                                                                                                     \
    "operators:\n"                                                                                                     \
    "  parsed: { type: parse, inputs: [in], format: json }\n"                                                          \
    "  useful: { type: filter, inputs: [parsed], drop_where: { level: [debug] } }\n"

#define SIM_FILES                                                                                                      \
    "  landing: { type: files, inputs: [parsed], dir: landing, path: \"s={service}\", compression: none,"              \
    " roll: { bytes: 64KiB, every: 2s } }\n"                                                                           \
    "  part: { type: files, inputs: [useful], dir: part, compression: none, roll: { bytes: 64KiB, every: 500ms } }\n"

#define SIM_END "dead_letters: { type: files, dir: dead, compression: none, roll: { every: 1s } }\nmemory: 64MiB\n"

static struct sim_topology sim_topologies[] = {
    {.name = "spool",
     .text = "name: sim\n"
             "sources:\n"
             "  in: { type: spool, topic: input }\n" SIM_MIDDLE "sinks:\n" SIM_FILES SIM_END
             "commit: { every: 300ms }\n",
     .sinks = {{"landing", "landing", NULL, SIM_DUE_VALID}, {"part", "part", NULL, SIM_DUE_USEFUL},
               {"dead_letters", "dead", NULL, SIM_DUE_INVALID}},
     .sinks_count = 3},
    {.name = "kafka",
     .kafka = true,
     .text = "name: sim\n"
             "sources:\n"
             "  in: { type: kafka, brokers: [\"sim:9092\"], topics: [\"^in$\"], group: g }\n" SIM_MIDDLE
             "sinks:\n" SIM_FILES SIM_END "commit: { every: 300ms }\n",
     .sinks = {{"landing", "landing", NULL, SIM_DUE_VALID}, {"part", "part", NULL, SIM_DUE_USEFUL},
               {"dead_letters", "dead", NULL, SIM_DUE_INVALID}},
     .sinks_count = 3},
    {.name = "kafka to kafka",
     .kafka = true,
     .text = "name: sim\n"
             "sources:\n"
             "  in: { type: kafka, brokers: [\"sim:9092\"], topics: [\"in\"], group: g }\n" SIM_MIDDLE
             "sinks:\n" SIM_FILES
             "  out: { type: kafka, inputs: [useful], brokers: [\"sim:9092\"], topic: out, exactly_once: true }\n" SIM_END
             "commit: { every: 300ms }\n",
     .sinks = {{"landing", "landing", NULL, SIM_DUE_VALID}, {"part", "part", NULL, SIM_DUE_USEFUL},
               {"dead_letters", "dead", NULL, SIM_DUE_INVALID}, {"out", NULL, "out", SIM_DUE_USEFUL}},
     .sinks_count = 4},
};

#define SIM_SICK_SINKS                                                                                                 \
    {{"landing", "landing", NULL, SIM_DUE_VALID, false}, {"dead_letters", "dead", NULL, SIM_DUE_INVALID, false},        \
     {"sick", NULL, NULL, SIM_DUE_USEFUL, true}}
#define SIM_SICK_LANDING                                                                                               \
    "  landing: { type: files, inputs: [parsed], dir: landing, path: \"s={service}\", compression: none,"              \
    " roll: { bytes: 64KiB, every: 2s } }\n"

static struct sim_topology sim_topologies_sick[] = {
    {.name = "spool to a sick sink, not required",
     .sick = true,
     .text = "name: sim\n"
             "sources:\n"
             "  in: { type: spool, topic: input }\n" SIM_MIDDLE "sinks:\n" SIM_SICK_LANDING
             "  sick: { type: sick, inputs: [useful], required: false, queue: { bytes: 1MiB } }\n" SIM_END
             "commit: { every: 300ms }\n",
     .sinks = SIM_SICK_SINKS,
     .sinks_count = 3},
    {.name = "kafka to a sick sink, not required",
     .kafka = true,
     .sick = true,
     .text = "name: sim\n"
             "sources:\n"
             "  in: { type: kafka, brokers: [\"sim:9092\"], topics: [\"in\"], group: g }\n" SIM_MIDDLE "sinks:\n" SIM_SICK_LANDING
             "  sick: { type: sick, inputs: [useful], required: false }\n" SIM_END
             "commit: { every: 300ms }\n",
     .sinks = SIM_SICK_SINKS,
     .sinks_count = 3},
    {.name = "kafka to a sick sink, required",
     .kafka = true,
     .sick = true,
     .text = "name: sim\n"
             "sources:\n"
             "  in: { type: kafka, brokers: [\"sim:9092\"], topics: [\"in\"], group: g }\n" SIM_MIDDLE "sinks:\n" SIM_SICK_LANDING
             "  sick: { type: sick, inputs: [useful], when_full: spool, retry: { backoff_max: 3s } }\n" SIM_END
             "commit: { every: 300ms }\n",
     .sinks = SIM_SICK_SINKS,
     .sinks_count = 3},
    {.name = "spool to a sick sink, required",
     .sick = true,
     .sick_drops = true,
     .text = "name: sim\n"
             "sources:\n"
             "  in: { type: spool, topic: input }\n" SIM_MIDDLE "sinks:\n" SIM_SICK_LANDING
             "  sick: { type: sick, inputs: [useful], when_full: spool, on_refused: drop }\n" SIM_END
             "commit: { every: 300ms }\n",
     .sinks = SIM_SICK_SINKS,
     .sinks_count = 3},
};

enum { SIM_TOPOLOGIES_SICK = sizeof(sim_topologies_sick) / sizeof(sim_topologies_sick[0]), SIM_KINDS_MAX = 64 };

/* The operators that are built in, and the sick sink. */
static const struct sl_registry *topology_registry(void)
{
    static const struct sl_sink_kind *sinks[SIM_KINDS_MAX];
    static struct sl_registry registry;
    uint32_t count = 0;

    while (sl_registry_builtin.sinks[count] != NULL && count + 2 < SIM_KINDS_MAX) {
        sinks[count] = sl_registry_builtin.sinks[count];
        count++;
    }
    sinks[count] = &sim_sink_sick;
    registry = sl_registry_builtin;
    registry.sinks = sinks;
    return &registry;
}

enum { SIM_TOPOLOGIES = sizeof(sim_topologies) / sizeof(sim_topologies[0]) };

static int topology_load(struct sim_topology *kind)
{
    char path[] = "/tmp/sl-sim-XXXXXX.yaml";
    struct sl_diags diags;
    int status = -1, fd = mkstemps(path, 5);
    if (fd < 0 || write(fd, kind->text, strlen(kind->text)) != (ssize_t)strlen(kind->text))
        goto out;
    sl_diags_init(&diags);
    status = sl_topology_load(path, topology_registry(), NULL, &diags, &kind->topology);
    for (uint32_t i = 0; i < diags.count; i++)
        (void)fprintf(stderr, "%s:%u:%u: %s (%s)\n", kind->name, diags.items[i].line, diags.items[i].column, diags.items[i].text,
                      diags.items[i].remedy != NULL ? diags.items[i].remedy : "");
    sl_diags_fini(&diags);
out:
    if (fd >= 0)
        (void)close(fd);
    (void)unlink(path);
    return status;
}

int sim_topologies_load(void)
{
    int status = 0;
    for (size_t i = 0; i < SIM_TOPOLOGIES && status == 0; i++)
        status = topology_load(&sim_topologies[i]);
    for (size_t i = 0; i < SIM_TOPOLOGIES_SICK && status == 0; i++)
        status = topology_load(&sim_topologies_sick[i]);
    return status;
}

void sim_topologies_free(void)
{
    for (size_t i = 0; i < SIM_TOPOLOGIES; i++)
        sim_topologies[i].topology = sl_topology_free(sim_topologies[i].topology);
    for (size_t i = 0; i < SIM_TOPOLOGIES_SICK; i++)
        sim_topologies_sick[i].topology = sl_topology_free(sim_topologies_sick[i].topology);
}

const struct sim_topology *sim_topology_of(uint64_t lot, bool sick)
{
    if (sick)
        return &sim_topologies_sick[lot % SIM_TOPOLOGIES_SICK];
    return &sim_topologies[lot % SIM_TOPOLOGIES];
}
