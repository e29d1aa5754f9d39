/* encoding_check.c: does what comes to a sink suit its `encoding`? Fields need a parse stage; codec raw would write lines of a
 * foreign format as they came, without what stages changed.
 * SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "runtime/config/draft.h"
#include "runtime/config/encoding.h"
#include "runtime/config/pool.h"

enum { SEEN_PLAIN = 1, SEEN_EDITED = 2, SEEN_STAMPED = 4 };

struct encoding_walk {
    struct sl_draft *draft;
    const struct sl_draft_component *sink;
    const struct sl_encoding *encoding; /* NULL: raw */
    uint8_t *seen;                      /* by component: in which states the walk was there */
    bool refused, warned;
};

static uint32_t encoding_op_flags(const struct sl_draft_component *item)
{
    union { /* the head is the first member of its kind */
        const struct sl_head *head;
        const struct sl_op_kind *op;
    } u = {.head = item->component.head};

    return item->component.role != SL_OPERATOR || u.head == NULL ? 0 : sl_op_flags_of(u.op, item->component.config);
}

/* Where `encoding` stands, or the sink. */
static void encoding_say(struct encoding_walk *walk, bool warning, const char *remedy, const char *problem)
{
    const struct sl_draft_component *sink = walk->sink;
    const struct sl_yaml_item *item = sink->node->kind == SL_YAML_MAP ? sl_yaml_find(sink->node, "encoding") : NULL;

    sl_diags_add(walk->draft->bind.diags, warning, walk->draft->bind.file, item == NULL ? sink->component.line : item->value->line,
                 item == NULL ? sink->component.column : item->value->column, remedy, "%s.encoding: %s", sink->setting, problem);
    if (warning)
        walk->warned = true;
    else
        walk->refused = true;
}

static void encoding_at_parse(struct encoding_walk *walk, const struct sl_draft_component *parse, const struct sl_draft_component *edits,
                              const struct sl_draft_component *stamps)
{
    struct sl_pool *pool = walk->draft->bind.pool;

    if (walk->encoding != NULL || (encoding_op_flags(parse) & SL_OP_FOREIGN) == 0)
        return;
    if (edits != NULL && !walk->refused)
        encoding_say(walk, false, "write encoding: { codec: json }",
                     sl_pool_printf(pool, "codec raw would write what %s read as it came, without what %s changes, as it is not JSON",
                                    parse->component.name, edits->component.name));
    else if (stamps != NULL && !walk->warned && !walk->refused)
        encoding_say(walk, true, sl_pool_printf(pool, "write encoding: { codec: json }, or stamp: false at %s", stamps->component.name),
                     sl_pool_printf(pool, "codec raw writes what %s read as it came, without the stamps of %s, as it is not JSON",
                                    parse->component.name, stamps->component.name));
}

/* Against the records, from the sink to the nearest parse stage of each way. */
static void encoding_walk(struct encoding_walk *walk, const struct sl_draft_component *at, const struct sl_draft_component *edits,
                          const struct sl_draft_component *stamps)
{
    uint8_t state = edits != NULL ? SEEN_EDITED : stamps != NULL ? SEEN_STAMPED : SEEN_PLAIN;
    uint8_t *seen = &walk->seen[at - walk->draft->items];
    uint32_t flags = encoding_op_flags(at);

    if ((*seen & state) != 0)
        return;
    *seen |= state;
    if ((flags & SL_OP_PARSES) != 0) {
        encoding_at_parse(walk, at, edits, stamps);
        return;
    }
    if (at->component.role == SL_SOURCE && walk->encoding != NULL && !walk->refused && sl_encoding_needs_parse(walk->encoding))
        encoding_say(walk, false, "put an operator of type parse before the sink",
                     sl_pool_printf(walk->draft->bind.pool,
                                    "it needs the fields of records, and no parse stage stands between %s and this sink",
                                    at->component.name));
    edits = edits == NULL && (flags & SL_OP_EDITS) != 0 ? at : edits;
    stamps = stamps == NULL && (flags & SL_OP_STAMPS) != 0 ? at : stamps;
    for (uint32_t i = 0; i < at->component.inputs_count; i++)
        encoding_walk(walk, &walk->draft->items[at->component.inputs[i].component], edits, stamps);
}

void sl_draft_encodings(struct sl_draft *draft)
{
    struct encoding_walk walk = {.draft = draft, .seen = sl_pool_alloc(draft->bind.pool, draft->count + 1)};

    for (uint32_t i = 0; i < draft->count; i++) {
        if (draft->items[i].component.role != SL_SINK || draft->items[i].component.head == NULL ||
            strcmp(draft->items[i].component.name, SL_DEAD_LETTERS) == 0)
            continue;
        walk.sink = &draft->items[i];
        walk.encoding = walk.sink->component.sink.encoding;
        walk.refused = walk.warned = false;
        memset(walk.seen, 0, draft->count + 1);
        encoding_walk(&walk, walk.sink, NULL, NULL);
    }
}
