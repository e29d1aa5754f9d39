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

/* Of which versions are made as a run goes: sim_version.c. */
static struct sim_topology sim_topologies_changing[] = {
    {.name = "spool, version by version",
     .text = "name: sim\n"
             "sources:\n"
             "  in: { type: spool, topic: input }\n" SIM_MIDDLE "sinks:\n" SIM_FILES SIM_END,
     .sick = true,
     .changes = true,
     .sinks = {{"landing", "landing", NULL, SIM_DUE_VALID, false, "landed", "moved-landing"},
               {"part", "part", NULL, SIM_DUE_USEFUL, false, "piece", "moved-part"},
               {"dead_letters", "dead", NULL, SIM_DUE_INVALID, false, NULL, "moved-dead"},
               {"sick", NULL, NULL, SIM_DUE_USEFUL, true, "ill", NULL}},
     .sinks_count = 4},
    {.name = "kafka, version by version",
     .text = "name: sim\n"
             "sources:\n"
             "  in: { type: kafka, brokers: [\"sim:9092\"], topics: [\"in\"], group: g }\n" SIM_MIDDLE "sinks:\n" SIM_FILES SIM_END,
     .kafka = true,
     .sick = true,
     .changes = true,
     .sinks = {{"landing", "landing", NULL, SIM_DUE_VALID, false, "landed", "moved-landing"},
               {"part", "part", NULL, SIM_DUE_USEFUL, false, "piece", "moved-part"},
               {"dead_letters", "dead", NULL, SIM_DUE_INVALID, false, NULL, "moved-dead"},
               {"sick", NULL, NULL, SIM_DUE_USEFUL, true, "ill", NULL},
               {"out", NULL, "out", SIM_DUE_USEFUL, false, "outer", NULL}},
     .sinks_count = 5},
};

enum { SIM_TOPOLOGIES_CHANGING = sizeof(sim_topologies_changing) / sizeof(sim_topologies_changing[0]) };

struct sl_topology *sim_topology_parse(const char *name, const char *text)
{
    char path[] = "/tmp/sl-sim-XXXXXX.yaml";
    struct sl_topology *topology = NULL;
    struct sl_diags diags;
    int fd = mkstemps(path, 5);
    if (fd < 0 || write(fd, text, strlen(text)) != (ssize_t)strlen(text))
        goto out;
    sl_diags_init(&diags);
    if (sl_topology_load(path, topology_registry(), NULL, &diags, &topology) != 0)
        topology = NULL;
    for (uint32_t i = 0; i < diags.count && topology == NULL; i++)
        (void)fprintf(stderr, "%s:%u:%u: %s (%s)\n", name, diags.items[i].line, diags.items[i].column, diags.items[i].text,
                      diags.items[i].remedy != NULL ? diags.items[i].remedy : "");
    sl_diags_fini(&diags);
out:
    if (fd >= 0)
        (void)close(fd);
    (void)unlink(path);
    return topology;
}

static int topology_load(struct sim_topology *kind)
{
    kind->topology = sim_topology_parse(kind->name, kind->text);
    return kind->topology != NULL ? 0 : -1;
}

int sim_topologies_load(void)
{
    int status = 0;
    for (size_t i = 0; i < SIM_TOPOLOGIES && status == 0; i++)
        status = topology_load(&sim_topologies[i]);
    for (size_t i = 0; i < SIM_TOPOLOGIES_SICK && status == 0; i++)
        status = topology_load(&sim_topologies_sick[i]);
    for (size_t i = 0; i < SIM_TOPOLOGIES_CHANGING && status == 0; i++)
        status = topology_load(&sim_topologies_changing[i]);
    return status;
}

void sim_topologies_free(void)
{
    for (size_t i = 0; i < SIM_TOPOLOGIES; i++)
        sim_topologies[i].topology = sl_topology_free(sim_topologies[i].topology);
    for (size_t i = 0; i < SIM_TOPOLOGIES_SICK; i++)
        sim_topologies_sick[i].topology = sl_topology_free(sim_topologies_sick[i].topology);
    for (size_t i = 0; i < SIM_TOPOLOGIES_CHANGING; i++)
        sim_topologies_changing[i].topology = sl_topology_free(sim_topologies_changing[i].topology);
}

const struct sim_topology *sim_topology_of(uint64_t lot, const struct sim_settings *settings)
{
    if (settings->generations)
        return &sim_topologies_changing[lot % SIM_TOPOLOGIES_CHANGING];
    if (settings->sick)
        return &sim_topologies_sick[lot % SIM_TOPOLOGIES_SICK];
    return &sim_topologies[lot % SIM_TOPOLOGIES];
}
