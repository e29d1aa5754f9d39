/* derive_check.c: a stage that makes several records of one (SL_OP_DERIVES) gives those behind it a batch of their own; so a sink
 * must not be reached from one source both behind such a stage and around it, nor behind two of them.
 *
 * For each source, from the sources to the sinks: how a component's records come to it: not at all, by ways that all share one
 * batch, or mixed. A deriving stage that records reach by two ways makes two batches, since the engine runs it once a way.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "runtime/config/draft.h"
#include "runtime/config/pool.h"

enum { DERIVE_UNREACHED = -3, DERIVE_MIXED = -2, DERIVE_SOURCE = -1 }; /* else the item of the deriving stage */

struct derive_way {
    int batch;   /* whose */
    uint32_t ways; /* 0, 1, 2: more */
    bool known;
};

static bool derive_derives(const struct sl_draft_component *item)
{
    union { /* the head is the first member of its kind */
        const struct sl_head *head;
        const struct sl_op_kind *op;
    } u = {.head = item->component.head};

    return item->component.role == SL_OPERATOR && u.head != NULL && item->component.config != NULL &&
           (sl_op_flags_of(u.op, item->component.config) & SL_OP_DERIVES) != 0;
}

static struct derive_way derive_of(const struct sl_draft *draft, struct derive_way *ways, uint32_t index, uint32_t source)
{
    const struct sl_draft_component *item = &draft->items[index];
    struct derive_way way = {index == source ? DERIVE_SOURCE : DERIVE_UNREACHED, index == source, true};

    if (ways[index].known)
        return ways[index];
    ways[index] = (struct derive_way){DERIVE_UNREACHED, 0, true}; /* circles have been reported: they end here */
    for (uint32_t i = 0; i < item->component.inputs_count; i++) {
        struct derive_way in = derive_of(draft, ways, item->component.inputs[i].component, source);
        if (in.batch == DERIVE_UNREACHED)
            continue;
        way.batch = way.batch == DERIVE_UNREACHED || way.batch == in.batch ? in.batch : DERIVE_MIXED;
        way.ways = way.ways + in.ways > 2 ? 2 : way.ways + in.ways;
    }
    if (way.batch != DERIVE_UNREACHED && derive_derives(item))
        way.batch = way.ways > 1 ? DERIVE_MIXED : (int)index;
    ways[index] = way;
    return way;
}

void sl_draft_check_derived(struct sl_draft *draft)
{
    struct derive_way *ways = sl_pool_alloc(draft->bind.pool, (draft->count + 1) * sizeof(*ways));

    for (uint32_t source = 0; source < draft->count; source++) {
        if (draft->items[source].component.role != SL_SOURCE)
            continue;
        memset(ways, 0, draft->count * sizeof(*ways));
        for (uint32_t i = 0; i < draft->count; i++) {
            const struct sl_draft_component *item = &draft->items[i];
            const struct sl_yaml *at = item->inputs_item == NULL ? NULL : item->inputs_item->value;
            if (item->component.role != SL_SINK || derive_of(draft, ways, i, source).batch != DERIVE_MIXED)
                continue;
            sl_diags_add(draft->bind.diags, false, draft->bind.file, at == NULL ? item->component.line : at->line,
                         at == NULL ? item->component.column : at->column,
                         "give each way a sink of its own, or write max_records_per_record: 1 if the script makes no further records",
                         "%s.inputs: records of %s come both behind a stage that makes several of one and by another way",
                         item->setting, draft->items[source].component.name);
        }
    }
}
