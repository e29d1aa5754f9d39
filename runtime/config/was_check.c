/* was_check.c: sinks that go on under another name: each for one sink that is there no more.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "runtime/config/draft.h"
#include "runtime/config/pool.h"

static void was_refuse(struct sl_draft *draft, const struct sl_draft_component *item, const char *remedy, const char *problem)
{
    const struct sl_yaml *place = sl_yaml_find(item->node, "was")->value;

    sl_diags_add(draft->bind.diags, false, draft->bind.file, place->line, place->column, remedy, "%s.was: %s", item->setting, problem);
}

static bool was_is_sink(struct sl_draft *draft, const char *name)
{
    const struct sl_draft_component *other = sl_draft_find(draft, name);

    return other != NULL && other->component.role == SL_SINK;
}

static void was_check(struct sl_draft *draft, const struct sl_draft_component *item)
{
    const char *was = item->component.sink.was;
    struct sl_pool *pool = draft->bind.pool;

    if (!sl_bind_is_name(was))
        was_refuse(draft, item, "write the name that the sink had: 1 to 64 of A-Z a-z 0-9 _ -",
                   sl_pool_printf(pool, "\"%.64s\" is not a name", was));
    else if (strcmp(item->component.name, SL_DEAD_LETTERS) == 0)
        was_refuse(draft, item, "leave it out", "the dead-letter sink has one name for ever");
    else if (strcmp(was, item->component.name) == 0)
        was_refuse(draft, item, "write the name that it had before, or leave it out",
                   sl_pool_printf(pool, "%s is the sink's own name", was));
    else if (was_is_sink(draft, was))
        was_refuse(draft, item, sl_pool_printf(pool, "leave it out, or take the sink %s out of the file", was),
                   sl_pool_printf(pool, "the sink %s is still there, and goes on by itself", was));
}

void sl_draft_check_was(struct sl_draft *draft)
{
    for (uint32_t i = 0; i < draft->count; i++) {
        const char *was = draft->items[i].component.sink.was;
        if (was == NULL)
            continue;
        was_check(draft, &draft->items[i]);
        for (uint32_t other = 0; other < i; other++)
            if (draft->items[other].component.sink.was != NULL && strcmp(draft->items[other].component.sink.was, was) == 0)
                was_refuse(draft, &draft->items[i], "keep it at one of the two; the other begins as a new sink",
                           sl_pool_printf(draft->bind.pool, "the sink %s says so too, and only one can go on for %s",
                                          draft->items[other].component.name, was));
    }
}
