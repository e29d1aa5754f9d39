/* mask.c: what may be shown of a record outside its way through a topology: in dead letters, in taps.
 *
 * Rule: where the source leads to stages that mask (sl_op_kind.mask), everything of its records goes through all of them, whichever
 * stage set a record aside, before or behind them. What is no JSON cannot be masked and is withheld; the letter says where the
 * record can be found. A record that a sink refused is as that sink got it: stages that stand before it on every way are done.
 * SPDX-License-Identifier: Apache-2.0 */
#include "runtime/engine/slot/slot_private.h"

static bool mask_leads_to(const struct sl_node *node, uint32_t component)
{
    bool leads = node->component == component;

    for (const struct sl_node *child = node->child; !leads && child != NULL; child = child->sibling)
        leads = mask_leads_to(child, component);
    return leads;
}

/* A way from node to `component` that does not lead through `mask`. */
static bool mask_way_around(const struct sl_node *node, uint32_t mask, uint32_t component)
{
    bool way = node->component == component;

    if (node->component == mask)
        return false;
    for (const struct sl_node *child = node->child; !way && child != NULL; child = child->sibling)
        way = mask_way_around(child, mask, component);
    return way;
}

static bool mask_is_mask(const struct sl_component *conf)
{
    return conf->role == SL_OPERATOR && ((const struct sl_op_kind *)(const void *)conf->head)->mask != NULL;
}

static bool mask_is_due(const struct sl_plan *plan, const struct sl_node *tree, uint32_t mask, uint32_t component)
{
    if (!mask_is_mask(&plan->topology->components[mask]))
        return false;
    if (tree == NULL) /* of a source that leaves: more is masked than may be due */
        return true;
    if (!mask_leads_to(tree, mask))
        return false;
    return component == UINT32_MAX || plan->topology->components[component].role != SL_SINK || mask_way_around(tree, mask, component);
}

static const struct sl_node *mask_tree(struct sl_slot *slot, const struct sl_plan *plan, const struct sl_partition *partition)
{
    const struct sl_slot_source *source = sl_slot_source_of(slot, partition);

    if (plan == slot->plan)
        return source->tree;
    return source->component < plan->components_count ? plan->trees[source->component] : NULL;
}

/* A letter that is read again came from some source of the topology: what is due behind any of them is due. */
static bool mask_is_due_of(struct sl_slot *slot, const struct sl_plan *plan, const struct sl_partition *partition, uint32_t mask,
                           uint32_t component)
{
    if (!slot->shared->replay)
        return mask_is_due(plan, mask_tree(slot, plan, partition), mask, component);
    for (uint32_t c = 0; c < plan->topology->components_count; c++)
        if (plan->topology->components[c].role == SL_PAST && mask_is_due(plan, plan->trees[c], mask, component))
            return true;
    return false;
}

int sl_slot_mask_of(struct sl_slot *slot, const struct sl_plan *plan, const struct sl_partition *partition, uint32_t component, bool json,
                    struct sl_slice text, struct sl_slice *ret_text)
{
    int status = 1;

    *ret_text = text;
    for (uint32_t c = 0; status == 1 && c < plan->topology->components_count; c++) /* of a topology as loaded, inputs come first */
        if (mask_is_due_of(slot, plan, partition, c, component))
            status = ((const struct sl_op_kind *)(const void *)plan->topology->components[c].head)
                         ->mask(plan->components[c]->self, json, *ret_text, &slot->arena, ret_text);
    return status;
}

int sl_slot_mask(struct sl_slot *slot, const struct sl_partition *partition, uint32_t component, bool json, struct sl_slice text,
                 struct sl_slice *ret_text)
{
    return sl_slot_mask_of(slot, slot->plan, partition, component, json, text, ret_text);
}
