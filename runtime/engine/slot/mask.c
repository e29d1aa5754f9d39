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

static bool mask_is_due(const struct sl_slot *slot, const struct sl_node *tree, uint32_t mask, uint32_t component)
{
    const struct sl_component *conf = &slot->topology->components[mask];

    if (tree == NULL) /* of a source that leaves: more is masked than may be due */
        return conf->role == SL_OPERATOR && ((const struct sl_op_kind *)conf->head)->mask != NULL;
    if (conf->role != SL_OPERATOR || ((const struct sl_op_kind *)conf->head)->mask == NULL || !mask_leads_to(tree, mask))
        return false;
    return component == UINT32_MAX || slot->topology->components[component].role != SL_SINK || mask_way_around(tree, mask, component);
}

/* A letter that is read again came from some source of the topology: what is due behind any of them is due. */
static bool mask_is_due_of(struct sl_slot *slot, const struct sl_partition *partition, uint32_t mask, uint32_t component)
{
    if (!slot->shared->replay)
        return mask_is_due(slot, sl_slot_source_of(slot, partition)->tree, mask, component);
    for (uint32_t c = 0; c < slot->topology->components_count; c++)
        if (slot->topology->components[c].role == SL_PAST && mask_is_due(slot, slot->plan->trees[c], mask, component))
            return true;
    return false;
}

int sl_slot_mask(struct sl_slot *slot, const struct sl_partition *partition, uint32_t component, bool json, struct sl_slice text,
                 struct sl_slice *ret_text)
{
    int status = 1;

    *ret_text = text;
    for (uint32_t c = 0; status == 1 && c < slot->topology->components_count; c++) /* of a topology as loaded, inputs come first */
        if (mask_is_due_of(slot, partition, c, component))
            status = ((const struct sl_op_kind *)slot->topology->components[c].head)
                         ->mask(slot->components[c]->self, json, *ret_text, &slot->arena, ret_text);
    return status;
}
