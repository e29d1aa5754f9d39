/* pages_components.c: metrics of single sources, operators and sinks: their kinds' counters, and how long requests took.
 *
 * A counter's family is sluice_ROLE_NAME with labels topology and ROLE: kinds of one role that count the same thing share it, so its
 * samples are gathered over all topologies first.
 * SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>

#include "runtime/base/clock.h"
#include "runtime/cli/pages.h"
#include "runtime/control/metrics.h"

static const char *const role_words[] = {[SL_SOURCE] = "source", [SL_OPERATOR] = "operator", [SL_SINK] = "sink"};

struct place { /* a counter of a component of a topology */
    uint32_t topology, component, counter;
};

static const struct sl_counter *place_counter(const struct sl_host_topology *items, const struct place *place)
{
    const struct sl_head *head = items[place->topology].topology->components[place->component].head;
    const struct sl_counter *counters = head == NULL ? NULL : head->counters; /* a gone one's kind is not known any more */

    for (uint32_t i = 0; counters != NULL && i <= place->counter; i++)
        if (counters[i].name == NULL)
            return NULL;
    return counters == NULL || place->counter >= SL_COUNTERS_MAX ? NULL : &counters[place->counter];
}

/* To the next one in order; false: there is none. Begin with counter UINT32_MAX in topology 0, component 0. */
static bool place_next(const struct sl_host_topology *items, uint32_t count, struct place *place)
{
    for (place->counter++; place->topology < count; place->topology++, place->component = 0, place->counter = 0)
        for (; place->component < items[place->topology].topology->components_count; place->component++, place->counter = 0)
            if (place_counter(items, place) != NULL)
                return true;
    return false;
}

static bool place_is_same(const struct sl_host_topology *items, const struct place *a, const struct place *b)
{
    return items[a->topology].topology->components[a->component].role == items[b->topology].topology->components[b->component].role &&
           strcmp(place_counter(items, a)->name, place_counter(items, b)->name) == 0;
}

static bool place_is_first(const struct sl_host_topology *items, uint32_t count, const struct place *place)
{
    struct place other = {0, 0, UINT32_MAX};

    while (place_next(items, count, &other))
        if (place_is_same(items, place, &other))
            return other.topology == place->topology && other.component == place->component && other.counter == place->counter;
    return false;
}

static void components_family(struct sl_metrics *metrics, const struct sl_host_topology *items, uint32_t count,
                              const struct place *first, struct sl_metric_row *row)
{
    const struct sl_counter *counter = place_counter(items, first);
    const char *role = role_words[items[first->topology].topology->components[first->component].role];
    struct place place = *first;
    char name[128];

    (void)snprintf(name, sizeof(name), "sluice_%s_%s", role, counter->name);
    *row = (struct sl_metric_row){name, SL_METRIC_COUNTER, counter->help, {"topology", role}};
    sl_metrics_family(metrics, row);
    do {
        const struct sl_topology *topology = items[place.topology].topology;
        const char *values[] = {topology->name, topology->components[place.component].name};
        if (place_is_same(items, first, &place) && items[place.topology].sum.components != NULL)
            sl_metrics_u64(metrics, row, values, items[place.topology].sum.components[place.component].counters[place.counter]);
    } while (place_next(items, count, &place));
}

static void components_latency(struct sl_metrics *metrics, const struct sl_host_topology *item, uint32_t component,
                               const struct sl_metric_row *row)
{
    const char *values[] = {item->topology->name, item->topology->components[component].name};
    const struct sl_component_counts *counts = &item->sum.components[component];
    double bounds[SL_LATENCY_BOUNDS];

    for (int i = 0; i < SL_LATENCY_BOUNDS; i++)
        bounds[i] = (double)sl_latency_bounds_ns[i] / (double)SL_NS_PER_S;
    sl_metrics_histogram(metrics, row, values, bounds, SL_LATENCY_BOUNDS, counts->latency,
                         (double)counts->latency_sum_ns / (double)SL_NS_PER_S);
}

static bool components_pushes(const struct sl_component *component)
{
    union { /* the head is the first member of its kind */
        const struct sl_head *head;
        const struct sl_sink_kind *sink;
    } u = {.head = component->head};

    return component->role == SL_SINK && (sl_sink_flags_of(u.sink, component->config) & SL_SINK_PUSH) != 0;
}

void sl_pages_metric_components(struct sl_metrics *metrics, const struct sl_host_topology *items, uint32_t count,
                                const struct sl_metric_row *request_seconds)
{
    struct place place = {0, 0, UINT32_MAX};
    struct sl_metric_row rows[2]; /* two families in a row are two rows */
    uint32_t families = 0;

    while (place_next(items, count, &place))
        if (place_is_first(items, count, &place))
            components_family(metrics, items, count, &place, &rows[families++ % 2]);
    sl_metrics_family(metrics, request_seconds);
    for (uint32_t t = 0; t < count; t++)
        for (uint32_t c = 0; items[t].sum.components != NULL && c < items[t].topology->components_count; c++)
            if (components_pushes(&items[t].topology->components[c]))
                components_latency(metrics, &items[t], c, request_seconds);
}
