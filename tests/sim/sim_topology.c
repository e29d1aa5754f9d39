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

enum { SIM_TOPOLOGIES = sizeof(sim_topologies) / sizeof(sim_topologies[0]) };

static int topology_load(struct sim_topology *kind)
{
    char path[] = "/tmp/sl-sim-XXXXXX.yaml";
    struct sl_diags diags;
    int status = -1, fd = mkstemps(path, 5);
    if (fd < 0 || write(fd, kind->text, strlen(kind->text)) != (ssize_t)strlen(kind->text))
        goto out;
    sl_diags_init(&diags);
    status = sl_topology_load(path, &sl_registry_builtin, NULL, &diags, &kind->topology);
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
    return status;
}

void sim_topologies_free(void)
{
    for (size_t i = 0; i < SIM_TOPOLOGIES; i++)
        sim_topologies[i].topology = sl_topology_free(sim_topologies[i].topology);
}

const struct sim_topology *sim_topology_of(uint64_t lot)
{
    return &sim_topologies[lot % SIM_TOPOLOGIES];
}
