/* graph_check.c: the wiring of a topology: inputs and ports exist, nothing runs in a circle,
 * everything is read by somebody.
 * SPDX-License-Identifier: Apache-2.0 */
#include <assert.h>
#include <string.h>

#include "runtime/config/draft.h"
#include "runtime/config/nearest.h"
#include "runtime/config/pool.h"

enum { WALK_NEW, WALK_OPEN, WALK_DONE, PLACED }; /* colours */

#define graph_refuse(draft, node, remedy, ...)                                                     \
    sl_diags_add((draft)->bind.diags, false, (draft)->bind.file, (node)->line, (node)->column,     \
                 remedy, __VA_ARGS__)

struct sl_draft_component *sl_draft_find(struct sl_draft *draft, const char *name)
{
    for (uint32_t i = 0; i < draft->count; i++)
        if (strcmp(draft->items[i].component.name, name) == 0)
            return &draft->items[i];
    return NULL;
}

/* ---- inputs ---- */

static const char *graph_port_list(struct sl_draft *draft, const struct sl_draft_component *router)
{
    const char *list = "";

    for (uint32_t i = 0; i < router->ports_count; i++)
        list = sl_pool_printf(draft->bind.pool, "%s%s%s.%s", list, i == 0 ? "" : ", ",
                              router->component.name, router->ports[i]);
    return list;
}

static void graph_unknown_input(struct sl_draft *draft, const struct sl_draft_component *item,
                                const struct sl_yaml *node, const char *name)
{
    struct sl_nearest nearest;

    sl_nearest_init(&nearest, name);
    for (uint32_t i = 0; i < draft->count; i++)
        if (draft->items[i].component.role != SL_SINK && &draft->items[i] != item)
            sl_nearest_offer(&nearest, draft->items[i].component.name);
    graph_refuse(draft, node,
                 nearest.best != NULL
                     ? sl_pool_printf(draft->bind.pool, "did you mean \"%s\"?", nearest.best)
                     : "name a source or an operator of this file",
                 "%s.inputs: nothing is called \"%.80s\"", item->setting, name);
}

/* The port that an input names; UINT32_MAX where refused. */
static uint32_t graph_port(struct sl_draft *draft, const struct sl_draft_component *item,
                           struct sl_draft_component *from, const struct sl_yaml *node,
                           const char *port)
{
    struct sl_nearest nearest;

    if (from->component.head == NULL || (from->ports_count == 0 && port == NULL))
        return 0;
    if (from->ports_count == 0) {
        graph_refuse(draft, node,
                     sl_pool_printf(draft->bind.pool, "write %s", from->component.name),
                     "%s.inputs: %s has one output, no port \"%.64s\"", item->setting,
                     from->component.name, port);
        return UINT32_MAX;
    }
    sl_nearest_init(&nearest, port == NULL ? "" : port);
    for (uint32_t i = 0; i < from->ports_count; i++) {
        if (port != NULL && strcmp(from->ports[i], port) == 0)
            return from->ports_used |= UINT64_C(1) << (i % 64), i;
        sl_nearest_offer(&nearest, from->ports[i]);
    }
    if (port == NULL)
        graph_refuse(
            draft, node,
            sl_pool_printf(draft->bind.pool, "write one of: %s", graph_port_list(draft, from)),
            "%s.inputs: %s has several outputs", item->setting, from->component.name);
    else
        graph_refuse(draft, node,
                     nearest.best != NULL ? sl_pool_printf(draft->bind.pool, "did you mean %s.%s?",
                                                           from->component.name, nearest.best)
                                          : sl_pool_printf(draft->bind.pool, "write one of: %s",
                                                           graph_port_list(draft, from)),
                     "%s.inputs: %s has no port \"%.64s\"", item->setting, from->component.name,
                     port);
    return UINT32_MAX;
}

static void graph_input(struct sl_draft *draft, struct sl_draft_component *item,
                        const struct sl_yaml *node)
{
    const char *dot = strchr(node->text, '.');
    const char *name = dot == NULL
                           ? node->text
                           : sl_pool_text(draft->bind.pool, node->text, (size_t)(dot - node->text));
    struct sl_draft_component *from = sl_draft_find(draft, name);
    struct sl_component *component = &item->component;
    uint32_t port;

    if (from == NULL) {
        graph_unknown_input(draft, item, node, name);
        return;
    }
    if (from->component.role == SL_SINK) {
        graph_refuse(draft, node, "name what the sink itself reads",
                     "%s.inputs: %s is a sink, nothing comes out of it", item->setting, name);
        return;
    }
    from->used = true;
    port = graph_port(draft, item, from, node, dot == NULL ? NULL : dot + 1);
    if (port == UINT32_MAX)
        return;
    for (uint32_t i = 0; i < component->inputs_count; i++)
        if (component->inputs[i].component == (uint32_t)(from - draft->items) &&
            component->inputs[i].port == port) {
            graph_refuse(draft, node, "name it once: records would come twice",
                         "%s.inputs: %s is named twice", item->setting, node->text);
            return;
        }
    component->inputs = sl_pool_grow(draft->bind.pool, component->inputs, component->inputs_count,
                                     sizeof(*component->inputs));
    component->inputs[component->inputs_count++] =
        (struct sl_input){(uint32_t)(from - draft->items), port};
}

static void graph_inputs(struct sl_draft *draft, struct sl_draft_component *item)
{
    const struct sl_yaml *list = item->inputs_item == NULL ? NULL : item->inputs_item->value;
    const struct sl_yaml place = {.line = item->component.line, .column = item->component.column};

    if (item->component.role == SL_SOURCE || strcmp(item->component.name, SL_DEAD_LETTERS) == 0 ||
        item->node->kind != SL_YAML_MAP)
        return;
    if (list == NULL) {
        graph_refuse(draft, &place, "add inputs: [NAME] of a source or an operator",
                     "%s.inputs is missing", item->setting);
        return;
    }
    if (list->kind != SL_YAML_LIST) {
        graph_refuse(draft, list,
                     list->kind == SL_YAML_SCALAR
                         ? sl_pool_printf(draft->bind.pool, "write [%.80s]", list->text)
                         : "write [NAME, NAME]",
                     "%s.inputs: %s is not a list", item->setting,
                     sl_bind_found(&draft->bind, list));
        return;
    }
    if (list->count == 0)
        graph_refuse(draft, list, "name at least one source or operator",
                     "%s.inputs: the list is empty", item->setting);
    for (uint32_t i = 0; i < list->count; i++) {
        const struct sl_yaml *node = list->items[i].value;
        if (node->kind == SL_YAML_SCALAR)
            graph_input(draft, item, node);
        else
            graph_refuse(draft, node, "write [NAME, NAME]", "%s.inputs: %s is no name",
                         item->setting, sl_bind_found(&draft->bind, node));
    }
}

/* ---- circles ---- */

struct walk {
    uint32_t path[SL_COMPONENTS_MAX];
    uint32_t depth;
};

static void graph_report_circle(struct sl_draft *draft, const struct walk *walk, uint32_t back_to)
{
    const struct sl_draft_component *item = &draft->items[walk->path[walk->depth - 1]];
    const struct sl_yaml *place = item->inputs_item->value;
    const char *path = draft->items[back_to].component.name;

    for (uint32_t i = walk->depth; i > 0; i--) { /* the walk goes against the records */
        path = sl_pool_printf(draft->bind.pool, "%s%s%s", path, " -> ",
                              draft->items[walk->path[i - 1]].component.name);
        if (walk->path[i - 1] == back_to)
            break;
    }
    graph_refuse(draft, place, "take one of these inputs out",
                 "%s.inputs: records would run in a circle: %s", item->setting, path);
}

static void graph_walk(struct sl_draft *draft, struct walk *walk, uint32_t index)
{
    struct sl_draft_component *item = &draft->items[index];

    item->colour = WALK_OPEN;
    walk->path[walk->depth++] = index;
    for (uint32_t i = 0; i < item->component.inputs_count; i++) {
        uint32_t from = item->component.inputs[i].component;
        if (draft->items[from].colour == WALK_OPEN)
            graph_report_circle(draft, walk, from);
        else if (draft->items[from].colour == WALK_NEW)
            graph_walk(draft, walk, from);
    }
    walk->depth--;
    item->colour = WALK_DONE;
}

/* ---- what nobody reads ---- */

static void graph_unused(struct sl_draft *draft, const struct sl_draft_component *item)
{
    if (item->component.role == SL_SINK)
        return;
    if (!item->used) {
        sl_diags_add(draft->bind.diags, true, draft->bind.file, item->component.line,
                     item->component.column, "name it in some inputs:, or remove it",
                     "%s: nobody reads it", item->setting);
        return;
    }
    for (uint32_t i = 0; i < item->ports_count && i < 64; i++)
        if ((item->ports_used & UINT64_C(1) << i) == 0)
            sl_diags_add(
                draft->bind.diags, true, draft->bind.file, item->component.line,
                item->component.column,
                "name it in some inputs:, or leave its rule out; its records count as filtered",
                "%s: nobody reads the port %s.%s", item->setting, item->component.name,
                item->ports[i]);
}

void sl_draft_wire(struct sl_draft *draft)
{
    struct walk *walk = sl_pool_alloc(draft->bind.pool, sizeof(*walk));

    for (uint32_t i = 0; i < draft->count; i++)
        graph_inputs(draft, &draft->items[i]);
    for (uint32_t i = 0; i < draft->count; i++)
        if (draft->items[i].colour == WALK_NEW)
            graph_walk(draft, walk, i);
    for (uint32_t i = 0; i < draft->count; i++)
        graph_unused(draft, &draft->items[i]);
}

/* ---- order ---- */

static bool graph_inputs_placed(const struct sl_draft *draft, const struct sl_draft_component *item)
{
    for (uint32_t i = 0; i < item->component.inputs_count; i++)
        if (draft->items[item->component.inputs[i].component].colour != PLACED)
            return false;
    return true;
}

/* Places every component of `role` whose inputs are placed; the file's order where there is a
 * choice. */
static uint32_t graph_place(struct sl_draft *draft, enum sl_role role, bool dead_letters,
                            uint32_t next)
{
    for (uint32_t i = 0; i < draft->count; i++) {
        struct sl_draft_component *item = &draft->items[i];
        bool dead = strcmp(item->component.name, SL_DEAD_LETTERS) == 0;
        if (item->colour == PLACED || item->component.role != role || dead != dead_letters ||
            !graph_inputs_placed(draft, item))
            continue;
        item->order = next++;
        item->colour = PLACED;
        if (role == SL_OPERATOR)
            i = UINT32_MAX; /* an earlier one may be free now */
    }
    return next;
}

void sl_draft_order(struct sl_draft *draft)
{
    uint32_t next = 0;

    for (uint32_t i = 0; i < draft->count; i++)
        assert(draft->items[i].colour == WALK_DONE);
    next = graph_place(draft, SL_SOURCE, false, next);
    next = graph_place(draft, SL_OPERATOR, false, next);
    next = graph_place(draft, SL_SINK, false, next);
    next = graph_place(draft, SL_SINK, true, next);
    assert(next == draft->count);
}
