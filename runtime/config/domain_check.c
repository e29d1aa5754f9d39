/* domain_check.c: what is committed together: one Kafka consumer or this process's own sources (rule C1), and exactly-once sinks on the
 * cluster of their source (rule D).
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "runtime/config/draft.h"
#include "runtime/config/pool.h"

static uint32_t domain_flags(const struct sl_component *component)
{
    union { /* the head is the first member of its kind */
        const struct sl_head *head;
        const struct sl_source_kind *source;
    } u = {.head = component->head};

    return u.source->flags;
}

static const struct sl_field *domain_field(const struct sl_component *component, const char *name,
                                             enum sl_field_type type)
{
    for (const struct sl_field *field = component->head->fields;
         field != NULL && field->name != NULL; field++)
        if (field->type == type && strcmp(field->name, name) == 0)
            return field;
    return NULL;
}

static const char *domain_text(const struct sl_component *component, const char *name)
{
    const struct sl_field *field = domain_field(component, name, SL_F_STRING);
    const char *text = NULL;

    if (field != NULL)
        memcpy(&text, (const char *)component->config + field->offset, sizeof(text));
    return text;
}

/* Brokers of one cluster in any order would be needed to be sure; written alike is what can be seen
 * without the network. */
static bool domain_same_cluster(const struct sl_component *a, const struct sl_component *b)
{
    const char *one = domain_text(a, "connection"), *other = domain_text(b, "connection");
    const struct sl_field *fa = domain_field(a, "brokers", SL_F_STRINGS),
                          *fb = domain_field(b, "brokers", SL_F_STRINGS);
    const struct sl_strings *sa, *sb;

    if (one != NULL || other != NULL)
        return one != NULL && other != NULL && strcmp(one, other) == 0;
    if (fa == NULL || fb == NULL)
        return false;
    sa = (const void *)((const char *)a->config + fa->offset);
    sb = (const void *)((const char *)b->config + fb->offset);
    for (uint32_t i = 0; i < sa->count && sa->count == sb->count; i++)
        if (strcmp(sa->items[i], sb->items[i]) != 0)
            return false;
    return sa->count == sb->count;
}

/* Rule C1: what is committed together is one Kafka consumer, or this process's own sources. */
static void domain_one(struct sl_draft *draft)
{
    const struct sl_draft_component *kafka = NULL, *own = NULL;

    for (uint32_t i = 0; i < draft->count; i++) {
        const struct sl_draft_component *item = &draft->items[i];
        bool is_kafka;
        if (item->component.role != SL_SOURCE || item->component.head == NULL)
            continue;
        is_kafka = (domain_flags(&item->component) & SL_SOURCE_KAFKA) != 0;
        if (is_kafka && kafka != NULL)
            sl_diags_add(draft->bind.diags, false, draft->bind.file, item->component.line, item->component.column,
                         "give one source all topics, or make it two topologies",
                         "sources.%s: a second kafka source beside %s: one consumer's offsets are one commit", item->component.name,
                         kafka->component.name);
        if (is_kafka ? own != NULL : kafka != NULL)
            sl_diags_add(draft->bind.diags, false, draft->bind.file, item->component.line, item->component.column,
                         "make it two topologies", "sources.%s: kafka and a source of this process (%s) cannot be committed together",
                         item->component.name, is_kafka ? own->component.name : kafka->component.name);
        if (is_kafka && kafka == NULL)
            kafka = item;
        else if (!is_kafka && own == NULL)
            own = item;
    }
}

/* The sources that reach a component; each is looked at once. */
static void domain_reach(struct sl_draft *draft, uint32_t index, bool *seen)
{
    if (seen[index])
        return;
    seen[index] = true;
    for (uint32_t i = 0; i < draft->items[index].component.inputs_count; i++)
        domain_reach(draft, draft->items[index].component.inputs[i].component, seen);
}

static bool domain_is_exactly_once(const struct sl_component *component)
{
    const struct sl_field *field = component->role == SL_SINK && component->head != NULL
                                       ? domain_field(component, "exactly_once", SL_F_BOOL)
                                       : NULL;

    return field != NULL && *((const char *)component->config + field->offset) != 0;
}

/* Rule D: the sink's records ride the source's transaction, so both are on one cluster. */
static void domain_exactly_once(struct sl_draft *draft, uint32_t index)
{
    const struct sl_draft_component *sink = &draft->items[index];
    bool *seen = sl_pool_alloc(draft->bind.pool, draft->count * sizeof(*seen));
    const struct sl_yaml_item *item = sl_yaml_find(sink->node, "exactly_once");

    domain_reach(draft, index, seen);
    for (uint32_t i = 0; i < draft->count; i++) {
        const struct sl_component *source = &draft->items[i].component;
        if (!seen[i] || source->role != SL_SOURCE || source->head == NULL)
            continue;
        if ((domain_flags(source) & SL_SOURCE_KAFKA) != 0 &&
            domain_same_cluster(source, &sink->component))
            continue;
        sl_diags_add(draft->bind.diags, false, draft->bind.file,
                     item == NULL ? sink->component.line : item->value->line,
                     item == NULL ? sink->component.column : item->value->column,
                     "read from the same Kafka connection, or leave out exactly_once: delivery is "
                     "then at least once, with a sluice-origin header",
                     "%s.exactly_once: the source %s is not on the sink's Kafka cluster",
                     sink->setting, source->name);
    }
}

void sl_draft_check_domain(struct sl_draft *draft)
{
    domain_one(draft);
    for (uint32_t i = 0; i < draft->count; i++)
        if (domain_is_exactly_once(&draft->items[i].component))
            domain_exactly_once(draft, i);
}
