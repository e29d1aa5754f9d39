/* plan.c: opens a topology's instances for one slot and unfolds the graph behind each source into a tree: a stage with several
 * inputs stands in several places and is one instance. Collects what each stage reads, so that decoding is pushed down to it.
 * SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "runtime/engine/slot/replay.h"
#include "runtime/engine/slot/slot_private.h"

/* ---- names: one column space for the topology ---- */

static struct sl_slot *plan_slot_of(struct sl_names *names)
{
    return (struct sl_slot *)(void *)((char *)names - offsetof(struct sl_slot, names));
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

static int plan_bound(struct sl_slot *slot, uint32_t column, struct sl_err *err)
{
    struct sl_slot_component *reader = &slot->components[slot->opening];

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
    struct sl_slot *slot = plan_slot_of(names);
    uint32_t column = 0;

    assert(name->kind == SL_NAME_PATH);
    while (column < slot->paths_count && !plan_path_eq(&slot->paths[column], &name->path))
        column++;
    if (column == slot->paths_count) {
        if (column == slot->paths_cap) {
            uint32_t cap = slot->paths_cap == 0 ? 16 : slot->paths_cap * 2;
            struct sl_field_path *paths = realloc(slot->paths, cap * sizeof(*paths));
            struct sl_path_asks *asks = realloc(slot->paths_asks, cap * sizeof(*asks));
            slot->paths = paths != NULL ? paths : slot->paths;
            slot->paths_asks = asks != NULL ? asks : slot->paths_asks;
            if (paths == NULL || asks == NULL)
                return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "no memory for a topology's fields");
            slot->paths_cap = cap;
        }
        if (plan_path_copy(&name->path, &slot->paths[column]) != 0)
            return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "no memory for a topology's fields");
        slot->paths_asks[column] = (struct sl_path_asks){0, 0};
        slot->paths_count++;
    }
    slot->paths_asks[column].all++;
    if (plan_bound(slot, column, err) != 0)
        return -(int)err->code;
    return (int)column;
}

static const struct sl_field_path *plan_path(struct sl_names *names, uint32_t column)
{
    struct sl_slot *slot = plan_slot_of(names);

    assert(column < slot->paths_count);
    return &slot->paths[column];
}

static uint32_t plan_count(struct sl_names *names)
{
    return plan_slot_of(names)->paths_count;
}

static void plan_appended(struct sl_names *names, uint32_t column)
{
    struct sl_slot *slot = plan_slot_of(names);

    assert(column < slot->paths_count);
    slot->paths_asks[column].appended++;
}

static bool plan_is_appended(struct sl_names *names, uint32_t column)
{
    const struct sl_slot *slot = plan_slot_of(names);

    assert(column < slot->paths_count);
    return slot->paths_asks[column].appended == slot->paths_asks[column].all;
}

static void plan_whole(struct sl_names *names)
{
    plan_slot_of(names)->whole = true;
}

static bool plan_is_whole(struct sl_names *names)
{
    return plan_slot_of(names)->whole;
}

/* ---- trees ---- */

static uint32_t plan_sink_of(const struct sl_slot *slot, uint32_t component)
{
    for (uint32_t s = 0; s < slot->sinks_count; s++)
        if (slot->sinks[s].component == component)
            return s;
    return UINT32_MAX;
}

static struct sl_node *plan_node(struct sl_slot *slot, uint32_t component, uint32_t port, struct sl_err *err)
{
    struct sl_node *node;
    struct sl_node **last;

    if (slot->nodes_count == SL_SLOT_NODES_MAX) {
        (void)sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0,
                      "topology %s: more than %d ways from its sources to its sinks; join fewer branches again",
                      slot->topology->name, SL_SLOT_NODES_MAX);
        return NULL;
    }
    node = &slot->nodes[slot->nodes_count++];
    *node = (struct sl_node){.component = component, .port = port, .sink = plan_sink_of(slot, component)};
    if (slot->topology->components[component].role == SL_OPERATOR) {
        node->kind = (const struct sl_op_kind *)slot->topology->components[component].head;
        node->self = slot->operators[component];
    }
    last = &node->child;
    for (uint32_t c = 0; c < slot->topology->components_count; c++) {
        const struct sl_component *reader = &slot->topology->components[c];
        for (uint32_t i = 0; i < reader->inputs_count; i++) {
            if (reader->inputs[i].component != component)
                continue;
            *last = plan_node(slot, c, reader->inputs[i].port, err);
            if (*last == NULL)
                return NULL;
            last = &(*last)->sibling;
        }
    }
    return node;
}

static void plan_reach(const struct sl_node *node, bool *sinks)
{
    for (; node != NULL; node = node->sibling) {
        if (node->sink != UINT32_MAX)
            sinks[node->sink] = true;
        plan_reach(node->child, sinks);
    }
}

/* Marks the columns that node and everything behind it read. */
static void plan_read(const struct sl_slot *slot, const struct sl_node *node, bool *columns)
{
    const struct sl_slot_component *component = &slot->components[node->component];

    for (uint32_t i = 0; i < component->columns_count; i++)
        columns[component->columns[i]] = true;
    for (const struct sl_node *child = node->child; child != NULL; child = child->sibling)
        plan_read(slot, child, columns);
}

static int plan_ready(struct sl_slot *slot, uint32_t component, struct sl_err *err)
{
    const struct sl_op_kind *kind = (const struct sl_op_kind *)slot->topology->components[component].head;
    bool *reads;
    uint32_t *columns, count = 0;
    int status;

    if (kind->ready == NULL)
        return 0;
    reads = calloc(slot->paths_count + 1, sizeof(*reads));
    columns = calloc(slot->paths_count + 1, sizeof(*columns));
    if (reads == NULL || columns == NULL) {
        free(reads);
        free(columns);
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "no memory for a topology's fields");
    }
    for (uint32_t n = 0; n < slot->nodes_count; n++)
        if (slot->nodes[n].component == component)
            plan_read(slot, &slot->nodes[n], reads);
    for (uint32_t c = 0; c < slot->paths_count; c++)
        if (reads[c])
            columns[count++] = c;
    slot->opening = component;
    status = kind->ready(slot->operators[component], columns, count, &slot->names, err);
    free(reads);
    free(columns);
    return status;
}

/* ---- opening ---- */

static int plan_open_operator(struct sl_slot *slot, uint32_t component, struct sl_err *err)
{
    const struct sl_component *conf = &slot->topology->components[component];
    const struct sl_op_kind *kind = (const struct sl_op_kind *)conf->head;
    void *self = calloc(1, conf->head->self_bytes);

    if (self == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "no memory for operator %s", conf->name);
    slot->operators[component] = slot->components[component].self = self;
    slot->opening = component;
    if (kind->open(self, &slot->components[component].api, conf->config, &slot->names, err) != 0)
        return sl_while(err, "operator %s", conf->name);
    return 0;
}

static int plan_open_sink(struct sl_slot *slot, struct sl_slot_sink *sink, uint32_t component, struct sl_err *err)
{
    const struct sl_component *conf = &slot->topology->components[component];

    sink->component = component;
    sink->kind = (const struct sl_sink_kind *)conf->head;
    sink->common = &conf->sink;
    sink->flags = sl_sink_flags_of(sink->kind, conf->config);
    sink->flushed = (sink->flags & SL_SINK_FLUSHED) != 0;
    sink->needs_zone = sink->kind->zone != NULL;
    sink->self = slot->components[component].self = calloc(1, conf->head->self_bytes);
    if (sink->self == NULL || sl_ledger_init(&sink->open) != 0 || sl_ledger_init(&sink->sealed_ledger) != 0)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "no memory for sink %s", conf->name);
    slot->opening = component;
    if (conf->sink.where != NULL && sl_cond_bind(conf->sink.where, &slot->names, &sink->where, err) != 0)
        return sl_while(err, "sink %s: where", conf->name);
    if (conf->sink.encoding != NULL && (int)component != slot->topology->dead_letters &&
        sl_encoder_new(conf->sink.encoding, &slot->names, &sink->encoder, err) != 0)
        return sl_while(err, "sink %s: encoding", conf->name);
    if (sink->kind->open(sink->self, &slot->components[component].api, conf->config, &slot->names, slot, err) != 0)
        return sl_while(err, "sink %s", conf->name);
    return conf->sink.when_full == SL_FULL_SPOOL ? sl_slot_queue_open(slot, (uint32_t)(sink - slot->sinks), err) : 0;
}

static int plan_ready_encoder(struct sl_slot *slot, const struct sl_slot_sink *sink, struct sl_err *err)
{
    const struct sl_slot_component *component = &slot->components[sink->component];

    slot->opening = sink->component;
    return sl_encoder_ready(sink->encoder, component->columns, component->columns_count, &slot->names, err);
}

static int plan_open_source(struct sl_slot *slot, struct sl_slot_source *source, uint32_t component, struct sl_err *err)
{
    const struct sl_component *conf = &slot->topology->components[component];

    source->kind = (const struct sl_source_kind *)conf->head;
    source->component = component;
    slot->opening = component;
    if (source->kind->open(source->self, &slot->components[component].api, conf->config, slot, err) != 0)
        return sl_while(err, "source %s", conf->name);
    return 0;
}

static int plan_sources(struct sl_slot *slot, struct sl_err *err)
{
    for (uint32_t c = 0, i = 0; c < slot->topology->components_count; c++) {
        const struct sl_component *conf = &slot->topology->components[c];
        struct sl_slot_source *source = &slot->sources[i];
        if (conf->role != SL_SOURCE)
            continue;
        i++;
        slot->sources_count = i;
        source->component = c;
        source->self = slot->components[c].self = calloc(1, conf->head->self_bytes);
        source->sinks = calloc(slot->sinks_count + 1, sizeof(*source->sinks));
        if (source->self == NULL || source->sinks == NULL)
            return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "no memory for source %s", conf->name);
        source->tree = plan_node(slot, c, 0, err);
        if (source->tree == NULL)
            return -(int)err->code;
        plan_reach(source->tree, source->sinks);
        source->sinks[slot->dead_sink] = true;
    }
    return 0;
}

/* Letters go the ways of the sources that they came from, and reach all of their sinks. */
static int plan_past(struct sl_slot *slot, struct sl_err *err)
{
    const struct sl_topology *topology = slot->topology;

    slot->replay = calloc(1, sizeof(*slot->replay));
    slot->past = calloc(topology->components_count, sizeof(struct sl_node *));
    if (slot->replay == NULL || slot->past == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "no memory for topology %s", topology->name);
    for (uint32_t c = 0; c < topology->components_count; c++) {
        if (topology->components[c].role != SL_PAST)
            continue;
        slot->past[c] = plan_node(slot, c, 0, err);
        if (slot->past[c] == NULL)
            return -(int)err->code;
        plan_reach(slot->past[c], slot->sources[0].sinks);
    }
    return 0;
}

int sl_slot_plan(struct sl_slot *slot, struct sl_err *err)
{
    const struct sl_topology *topology = slot->topology;

    slot->names = (struct sl_names){plan_column, plan_path, plan_count, plan_appended, plan_is_appended, plan_whole, plan_is_whole};
    slot->nodes = calloc(SL_SLOT_NODES_MAX, sizeof(*slot->nodes));
    slot->operators = calloc(topology->components_count + 1, sizeof(*slot->operators));
    slot->sinks = calloc(topology->sinks_count + 1, sizeof(*slot->sinks));
    slot->sources = calloc(topology->sources_count + 1, sizeof(*slot->sources));
    if (slot->nodes == NULL || slot->operators == NULL || slot->sinks == NULL || slot->sources == NULL)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "no memory for topology %s", topology->name);
    for (uint32_t c = 0; c < topology->components_count; c++)
        if (topology->components[c].role == SL_OPERATOR && plan_open_operator(slot, c, err) != 0)
            return -(int)err->code;
    for (uint32_t c = 0; c < topology->components_count; c++) {
        if (topology->components[c].role != SL_SINK)
            continue;
        if ((int)c == topology->dead_letters)
            slot->dead_sink = slot->sinks_count;
        slot->sinks_count++;
        if (plan_open_sink(slot, &slot->sinks[slot->sinks_count - 1], c, err) != 0)
            return -(int)err->code;
    }
    if (plan_sources(slot, err) != 0 || (slot->shared->replay && plan_past(slot, err) != 0))
        return -(int)err->code;
    if (sl_slot_positions_init(slot) != 0)
        return sl_fail(err, SL_E_LIMIT, SL_REMEDY_HALT, 0, "no memory for topology %s", topology->name);
    for (uint32_t c = 0; c < topology->components_count; c++)
        if (topology->components[c].role == SL_OPERATOR && plan_ready(slot, c, err) != 0)
            return -(int)err->code;
    for (uint32_t s = 0; s < slot->sinks_count; s++)
        if (slot->sinks[s].encoder != NULL && plan_ready_encoder(slot, &slot->sinks[s], err) != 0)
            return -(int)err->code;
    return 0;
}

/* Sources come last and once marks can be found: they may assign in open(). */
int sl_slot_open_sources(struct sl_slot *slot, struct sl_err *err)
{
    for (uint32_t i = 0; i < slot->sources_count; i++)
        if (plan_open_source(slot, &slot->sources[i], slot->sources[i].component, err) != 0)
            return -(int)err->code;
    return 0;
}
