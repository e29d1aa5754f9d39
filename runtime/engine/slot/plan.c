/* plan.c: one version of a topology in a slot: opens its instances and unfolds the graph behind each source into a tree: a stage with several
 * inputs stands in several places and is one instance. Collects what each stage reads, so that decoding is pushed down to it.
 *
 * Built beside the plan that runs, of which it takes over the columns' numbers and the instances that stay; what runs is only read. Nothing of it runs
 * before it is put in (swap.c).
 * SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/engine/slot/replay.h"
#include "runtime/engine/slot/slot_private.h"

/* ---- names: one column space for the topology ---- */

static struct sl_plan *plan_of(struct sl_names *names)
{
    return (struct sl_plan *)(void *)((char *)names - offsetof(struct sl_plan, names));
}

static bool plan_path_eq(const struct sl_field_path *a, const struct sl_field_path *b)
{
    if (a->segments_count != b->segments_count)
        return false;
    for (uint32_t i = 0; i < a->segments_count; i++)
        if (strcmp(a->segments[i], b->segments[i]) != 0)
            return false;
    return true;
}

/* Copies into one block: the pointers, then the text. */
static int plan_path_copy(const struct sl_field_path *from, struct sl_field_path *ret_path)
{
    size_t bytes = from->segments_count * sizeof(char *);
    char **segments, *text;

    for (uint32_t i = 0; i < from->segments_count; i++)
        bytes += strlen(from->segments[i]) + 1;
    segments = malloc(bytes);
    if (segments == NULL)
        return -1;
    text = (char *)(segments + from->segments_count);
    for (uint32_t i = 0; i < from->segments_count; i++) {
        size_t length = strlen(from->segments[i]) + 1;
        segments[i] = memcpy(text, from->segments[i], length);
        text += length;
    }
    *ret_path = (struct sl_field_path){(const char *const *)segments, from->segments_count};
    return 0;
}

static int plan_bound(struct sl_plan *plan, uint32_t column, struct sl_err *err)
{
    struct sl_slot_component *reader = plan->components[plan->opening];

    for (uint32_t i = 0; i < reader->columns_count; i++)
        if (reader->columns[i] == column)
            return 0;
    if (reader->columns_count == reader->columns_cap) {
        uint32_t cap = reader->columns_cap == 0 ? 8 : reader->columns_cap * 2;
        uint32_t *columns = realloc(reader->columns, cap * sizeof(*columns));
        if (columns == NULL)
            return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "no memory for a topology's fields");
        reader->columns = columns;
        reader->columns_cap = cap;
    }
    reader->columns[reader->columns_count++] = column;
    return 0;
}

static int plan_column(struct sl_names *names, const struct sl_name *name, struct sl_err *err)
{
    struct sl_plan *plan = plan_of(names);
    uint32_t column = 0;

    assert(name->kind == SL_NAME_PATH);
    while (column < plan->paths_count && !plan_path_eq(&plan->paths[column], &name->path))
        column++;
    if (column == plan->paths_count) {
        if (column == plan->paths_cap) {
            uint32_t cap = plan->paths_cap == 0 ? 16 : plan->paths_cap * 2;
            struct sl_field_path *paths = realloc(plan->paths, cap * sizeof(*paths));
            struct sl_path_asks *asks = realloc(plan->paths_asks, cap * sizeof(*asks));
            plan->paths = paths != NULL ? paths : plan->paths;
            plan->paths_asks = asks != NULL ? asks : plan->paths_asks;
            if (paths == NULL || asks == NULL)
                return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "no memory for a topology's fields");
            plan->paths_cap = cap;
        }
        if (plan_path_copy(&name->path, &plan->paths[column]) != 0)
            return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "no memory for a topology's fields");
        plan->paths_asks[column] = (struct sl_path_asks){0, 0};
        plan->paths_count++;
    }
    plan->paths_asks[column].all++;
    if (plan_bound(plan, column, err) != 0)
        return -(int)err->code;
    return (int)column;
}

static const struct sl_field_path *plan_path(struct sl_names *names, uint32_t column)
{
    struct sl_plan *plan = plan_of(names);

    assert(column < plan->paths_count);
    return &plan->paths[column];
}

static uint32_t plan_count(struct sl_names *names)
{
    return plan_of(names)->paths_count;
}

static void plan_appended(struct sl_names *names, uint32_t column)
{
    struct sl_plan *plan = plan_of(names);

    assert(column < plan->paths_count);
    plan->paths_asks[column].appended++;
}

static bool plan_is_appended(struct sl_names *names, uint32_t column)
{
    const struct sl_plan *plan = plan_of(names);

    assert(column < plan->paths_count);
    return plan->paths_asks[column].appended == plan->paths_asks[column].all;
}

static void plan_whole(struct sl_names *names)
{
    struct sl_plan *plan = plan_of(names);

    plan->whole = plan->components[plan->opening]->whole = true;
}

static bool plan_is_whole(struct sl_names *names)
{
    return plan_of(names)->whole;
}

/* The columns of the live plan, under the same numbers; whoever stays has asked for its own once. */
static int plan_names_from(struct sl_plan *plan, const struct sl_plan *live, struct sl_err *err)
{
    plan->names = (struct sl_names){plan_column, plan_path, plan_count, plan_appended, plan_is_appended, plan_whole, plan_is_whole};
    if (live == NULL)
        return 0;
    plan->paths_cap = live->paths_count + 16;
    plan->paths = calloc(plan->paths_cap, sizeof(*plan->paths));
    plan->paths_asks = calloc(plan->paths_cap, sizeof(*plan->paths_asks));
    if (plan->paths == NULL || plan->paths_asks == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "no memory for a topology's fields");
    if (live->paths_count > 0)
        memcpy(plan->paths, live->paths, live->paths_count * sizeof(*plan->paths));
    plan->paths_count = plan->paths_first = live->paths_count;
    return 0;
}

static void plan_names_keep(struct sl_plan *plan, const struct sl_slot_component *kept)
{
    for (uint32_t i = 0; i < kept->columns_count; i++)
        plan->paths_asks[kept->columns[i]].all++;
    plan->whole = plan->whole || kept->whole;
}

/* ---- trees ---- */

static struct sl_node *plan_node(struct sl_plan *plan, uint32_t component, uint32_t port, struct sl_err *err)
{
    const struct sl_component *conf = &plan->topology->components[component];
    struct sl_node *node;
    struct sl_node **last;

    if (plan->nodes_count == SL_SLOT_NODES_MAX) {
        (void)sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0,
                      "topology %s: more than %d ways from its sources to its sinks; join fewer branches again",
                      plan->topology->name, SL_SLOT_NODES_MAX);
        return NULL;
    }
    node = &plan->nodes[plan->nodes_count++];
    *node = (struct sl_node){.component = component, .port = port, .sink = UINT32_MAX};
    if (conf->role == SL_OPERATOR) {
        node->kind = (const struct sl_op_kind *)(const void *)conf->head;
        node->self = plan->components[component]->self;
        node->frame = &plan->components[component]->frame;
    }
    last = &node->child;
    for (uint32_t c = 0; c < plan->topology->components_count; c++) {
        const struct sl_component *reader = &plan->topology->components[c];
        for (uint32_t i = 0; i < reader->inputs_count; i++) {
            if (reader->inputs[i].component != component)
                continue;
            *last = plan_node(plan, c, reader->inputs[i].port, err);
            if (*last == NULL)
                return NULL;
            last = &(*last)->sibling;
        }
    }
    return node;
}

/* Letters that are replayed go the ways of the sources that they came from. */
static int plan_trees(struct sl_plan *plan, struct sl_err *err)
{
    for (uint32_t c = 0; c < plan->topology->components_count; c++) {
        enum sl_role role = plan->topology->components[c].role;
        if (role != SL_SOURCE && role != SL_PAST)
            continue;
        plan->trees[c] = plan_node(plan, c, 0, err);
        if (plan->trees[c] == NULL)
            return -(int)err->code;
    }
    return 0;
}

/* Marks the columns that node and everything behind it read. */
static void plan_read(const struct sl_plan *plan, const struct sl_node *node, bool *columns)
{
    const struct sl_slot_component *component = plan->components[node->component];

    for (uint32_t i = 0; i < component->columns_count; i++)
        columns[component->columns[i]] = true;
    for (const struct sl_node *child = node->child; child != NULL; child = child->sibling)
        plan_read(plan, child, columns);
}

static int plan_ready(struct sl_plan *plan, uint32_t component, struct sl_err *err)
{
    const struct sl_op_kind *kind = (const struct sl_op_kind *)(const void *)plan->topology->components[component].head;
    bool *reads;
    uint32_t *columns, count = 0;
    int status;

    if (kind->ready == NULL)
        return 0;
    reads = calloc(plan->paths_count + 1, sizeof(*reads));
    columns = calloc(plan->paths_count + 1, sizeof(*columns));
    if (reads == NULL || columns == NULL) {
        free(reads);
        free(columns);
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "no memory for a topology's fields");
    }
    for (uint32_t n = 0; n < plan->nodes_count; n++)
        if (plan->nodes[n].component == component)
            plan_read(plan, &plan->nodes[n], reads);
    for (uint32_t c = 0; c < plan->paths_count; c++)
        if (reads[c])
            columns[count++] = c;
    plan->opening = component;
    sl_blame_enter(&plan->components[component]->frame);
    status = kind->ready(plan->components[component]->self, columns, count, &plan->names, err);
    sl_blame_leave();
    free(reads);
    free(columns);
    return status;
}

/* ---- opening ---- */

static bool plan_keeps(const struct sl_plan *plan, uint32_t component)
{
    return plan->fates != NULL && (plan->fates[component] == SL_MERGE_KEPT || plan->fates[component] == SL_MERGE_SET);
}

static int plan_component(struct sl_plan *plan, const struct sl_plan *live, uint32_t c, struct sl_err *err)
{
    const struct sl_component *conf = &plan->topology->components[c];
    struct sl_slot_component *component;

    if (conf->role == SL_GONE)
        return 0;
    if (plan_keeps(plan, c)) {
        plan->components[c] = live->components[c];
        plan_names_keep(plan, live->components[c]);
        return 0;
    }
    component = plan->components[c] =
        sl_slot_component_new(plan->slot, plan->topology, c, plan->component_shared != NULL ? plan->component_shared[c] : NULL);
    if (component == NULL || (conf->role != SL_PAST && (component->self = calloc(1, conf->head->self_bytes)) == NULL))
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "no memory for %s", conf->name);
    return 0;
}

static int plan_open_operator(struct sl_plan *plan, uint32_t c, struct sl_err *err)
{
    struct sl_slot_component *component = plan->components[c];
    const struct sl_op_kind *kind = (const struct sl_op_kind *)(const void *)component->conf.head;
    int status;

    plan->opening = c;
    component->frame = (struct sl_blame_frame){component->api.topology, component->conf.name, plan->generation,
                                               (sl_op_flags_of(kind, component->conf.config) & SL_OP_CODE) != 0};
    sl_blame_enter(&component->frame);
    status = kind->open(component->self, &component->api, component->conf.config, &plan->names, err);
    sl_blame_leave();
    return status == 0 ? 0 : sl_while(err, "operator %s", component->conf.name);
}

static int plan_open_sink(struct sl_plan *plan, uint32_t c, struct sl_err *err)
{
    struct sl_slot_component *component = plan->components[c];
    const struct sl_component *conf = &component->conf;
    struct sl_instance *sink = &plan->sinks[c];

    sink->component = c;
    sink->of = component;
    sink->kind = (const struct sl_sink_kind *)(const void *)conf->head;
    sink->common = &conf->sink;
    sink->flags = sl_sink_flags_of(sink->kind, conf->config);
    sink->flushed = (sink->flags & SL_SINK_FLUSHED) != 0;
    sink->needs_zone = sink->kind->zone != NULL;
    sink->self = component->self;
    plan->opening = c;
    if (conf->sink.where != NULL && sl_cond_bind(conf->sink.where, &plan->names, &sink->where, err) != 0)
        return sl_while(err, "sink %s: where", conf->name);
    if (conf->sink.encoding != NULL && (int)c != plan->topology->dead_letters &&
        sl_encoder_new(conf->sink.encoding, &plan->names, &sink->encoder, err) != 0)
        return sl_while(err, "sink %s: encoding", conf->name);
    if (sink->kind->open(sink->self, &component->api, conf->config, &plan->names, plan->slot, err) != 0)
        return sl_while(err, "sink %s", conf->name);
    return 0;
}

static int plan_open(struct sl_plan *plan, const struct sl_plan *live, struct sl_err *err)
{
    const struct sl_component *conf = plan->topology->components;
    uint32_t count = plan->topology->components_count;

    for (uint32_t c = 0; c < count; c++)
        if (plan_component(plan, live, c, err) != 0)
            return -(int)err->code;
    for (uint32_t c = 0; c < count; c++)
        if (conf[c].role == SL_OPERATOR && plan_open_operator(plan, c, err) != 0)
            return -(int)err->code;
    for (uint32_t c = 0; c < count; c++)
        if (conf[c].role == SL_SINK && !plan_keeps(plan, c) && plan_open_sink(plan, c, err) != 0)
            return -(int)err->code;
    if (plan_trees(plan, err) != 0)
        return -(int)err->code;
    for (uint32_t c = 0; c < count; c++)
        if (conf[c].role == SL_OPERATOR && plan_ready(plan, c, err) != 0)
            return -(int)err->code;
    for (uint32_t c = 0; c < count; c++) {
        plan->opening = c;
        if (plan->sinks[c].encoder != NULL &&
            sl_encoder_ready(plan->sinks[c].encoder, plan->components[c]->columns, plan->components[c]->columns_count, &plan->names, err) != 0)
            return -(int)err->code;
    }
    return 0;
}

struct sl_plan *sl_plan_new(struct sl_slot *slot, const struct sl_topology *topology, void **component_shared,
                            const enum sl_merge_fate *fates, const struct sl_plan *live, uint32_t generation, struct sl_err *err)
{
    struct sl_plan *plan = calloc(1, sizeof(*plan));
    uint32_t count = topology->components_count;

    assert((fates == NULL) == (live == NULL));
    if (plan == NULL) {
        (void)sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "no memory for topology %s", topology->name);
        return NULL;
    }
    plan->slot = slot;
    plan->topology = topology;
    plan->component_shared = component_shared;
    plan->fates = fates;
    plan->generation = generation;
    plan->components_count = count;
    plan->components = calloc(count + 1, sizeof(struct sl_slot_component *));
    plan->sinks = calloc(count + 1, sizeof(*plan->sinks));
    plan->nodes = calloc(SL_SLOT_NODES_MAX, sizeof(*plan->nodes));
    plan->trees = calloc(count + 1, sizeof(struct sl_node *));
    plan->zones = calloc(count + 1, sizeof(*plan->zones));
    if (plan->zones == NULL || plan->components == NULL || plan->sinks == NULL || plan->nodes == NULL || plan->trees == NULL) {
        (void)sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "no memory for topology %s", topology->name);
        return sl_plan_free(plan);
    }
    if (plan_names_from(plan, live, err) != 0 || plan_open(plan, live, err) != 0)
        return sl_plan_free(plan);
    return plan;
}

struct sl_slot *sl_plan_slot(const struct sl_plan *plan)
{
    return plan->slot;
}

/* ---- the end ---- */

struct sl_slot_component *sl_slot_component_free(struct sl_slot_component *component)
{
    if (component == NULL)
        return NULL;
    free(component->self);
    free(component->columns);
    free(component);
    return NULL;
}

void sl_instance_close(struct sl_instance *instance)
{
    if (instance->kind != NULL)
        instance->kind->close(instance->self);
    sl_cond_unbind(instance->where);
    instance->encoder = sl_encoder_free(instance->encoder);
    (void)sl_slot_component_free(instance->of);
    *instance = (struct sl_instance){.component = UINT32_MAX};
}

void sl_plan_disown(struct sl_plan *plan)
{
    for (uint32_t c = 0; plan != NULL && c < plan->components_count; c++)
        if (plan->components[c] != NULL && (plan->components[c]->conf.role == SL_SINK || plan->components[c]->conf.role == SL_SOURCE))
            plan->components[c] = NULL;
}

/* Operators are the plan's always; sinks and sources until it was put in. */
static void plan_close(struct sl_plan *plan, uint32_t c)
{
    struct sl_slot_component *component = plan->components[c];

    if (component == NULL || plan_keeps(plan, c)) /* a slot that was freed first has taken what it had with it */
        return;
    switch (component->conf.role) {
    case SL_OPERATOR:
        if (component->self != NULL)
            ((const struct sl_op_kind *)(const void *)component->conf.head)->close(component->self);
        (void)sl_slot_component_free(component);
        return;
    case SL_SINK:
        if (plan->sinks[c].of != NULL)
            sl_instance_close(&plan->sinks[c]);
        else
            (void)sl_slot_component_free(component);
        return;
    case SL_SOURCE:
    case SL_PAST:
        (void)sl_slot_component_free(component);
        return;
    case SL_GONE:
        return;
    }
}

struct sl_plan *sl_plan_free(struct sl_plan *plan)
{
    if (plan == NULL)
        return NULL;
    for (uint32_t c = 0; plan->components != NULL && c < plan->components_count; c++)
        plan_close(plan, c);
    for (uint32_t i = plan->paths_first; !plan->installed && i < plan->paths_count; i++)
        free((void *)(uintptr_t)plan->paths[i].segments);
    free(plan->components);
    free(plan->sinks);
    free(plan->nodes);
    free(plan->trees);
    free(plan->zones);
    free(plan->paths);
    free(plan->paths_asks);
    free(plan);
    return NULL;
}
